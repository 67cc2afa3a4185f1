/* SPDX-License-Identifier: Apache-2.0 */
/* Text to numbers. Every function reads the whole slice or fails, whatever the
 * bytes are; none depends on the locale. */
#include "lib/base/slice.h"

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Reads the leading digits; `*n` is how many there were. */
static enum status take_digits(slice s, uint64_t max, uint64_t *out, size_t *n)
{
    uint64_t value = 0;
    size_t i;

    for (i = 0; i < s.len && digit(s.ptr[i]); i++) {
        unsigned d = (unsigned)(s.ptr[i] - '0');
        if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, d, &value) || value > max)
            return ERR_TOO_BIG;
    }
    *out = value;
    *n = i;
    return i ? OK : ERR_INVALID;
}

static bool all_digits(slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!digit(s.ptr[i]))
            return false;
    }
    return s.len > 0;
}

enum status slice_to_u64(slice s, uint64_t max, uint64_t *out)
{
    size_t n;

    /* "99x" with max 9 is malformed, not too big. */
    if (!all_digits(s))
        return ERR_INVALID;
    return take_digits(s, max, out, &n);
}

static int hex_value(char c)
{
    if (digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

enum status slice_to_hex64(slice s, uint64_t *out)
{
    uint64_t value = 0;

    if (s.len == 0)
        return ERR_INVALID;
    for (size_t i = 0; i < s.len; i++) {
        int v = hex_value(s.ptr[i]);
        if (v < 0)
            return ERR_INVALID;
        value = value << 4 | (unsigned)v;
    }
    if (s.len > 16)
        return ERR_TOO_BIG;
    *out = value;
    return OK;
}

enum status slice_to_double(slice s, double *out)
{
    double value = 0, scale = 1;
    bool dot = false, minus = s.len && s.ptr[0] == '-';
    size_t digits = 0;

    /* 300 digits stay below the largest double. */
    if (s.len > 300)
        return ERR_TOO_BIG;
    for (size_t i = minus; i < s.len; i++) {
        if (s.ptr[i] == '.' && !dot) {
            dot = true;
            continue;
        }
        if (!digit(s.ptr[i]))
            return ERR_INVALID;
        digits++;
        value = value * 10 + (s.ptr[i] - '0');
        if (dot)
            scale *= 10;
    }
    if (digits == 0)
        return ERR_INVALID;
    *out = (minus ? -value : value) / scale;
    return OK;
}

static const struct {
    slice name;
    int64_t ns;
} units[] = {
    /* "ms" before "m": the first match wins. */
    {SLICE_INIT("ns"), 1},
    {SLICE_INIT("us"), 1000},
    {SLICE_INIT("ms"), 1000000},
    {SLICE_INIT("s"), 1000000000},
    {SLICE_INIT("m"), INT64_C(60) * 1000000000},
    {SLICE_INIT("h"), INT64_C(3600) * 1000000000},
};

static enum status take_unit(slice *s, int64_t *ns)
{
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (slice_starts(*s, units[i].name)) {
            *ns = units[i].ns;
            *s = slice_sub(*s, units[i].name.len, s->len);
            return OK;
        }
    }
    return ERR_INVALID;
}

/* "0" alone needs no unit. */
enum status slice_to_duration(slice s, int64_t *out_ns)
{
    int64_t sum = 0;
    enum status rc;

    if (slice_eq(s, SLICE("0"))) {
        *out_ns = 0;
        return OK;
    }
    if (s.len == 0)
        return ERR_INVALID;
    while (s.len) {
        uint64_t count;
        int64_t ns, part;
        size_t n;

        rc = take_digits(s, INT64_MAX, &count, &n);
        if (rc)
            return rc;
        s = slice_sub(s, n, s.len);
        rc = take_unit(&s, &ns);
        if (rc)
            return rc;
        if (__builtin_mul_overflow((int64_t)count, ns, &part) ||
            __builtin_add_overflow(sum, part, &sum))
            return ERR_TOO_BIG;
    }
    *out_ns = sum;
    return OK;
}

static const struct {
    slice name;
    uint64_t bytes;
} sizes[] = {
    {SLICE_INIT(""), 1},
    {SLICE_INIT("Ki"), UINT64_C(1) << 10},
    {SLICE_INIT("Mi"), UINT64_C(1) << 20},
    {SLICE_INIT("Gi"), UINT64_C(1) << 30},
    {SLICE_INIT("Ti"), UINT64_C(1) << 40},
    {SLICE_INIT("k"), 1000},
    {SLICE_INIT("M"), 1000000},
    {SLICE_INIT("G"), 1000000000},
    {SLICE_INIT("T"), UINT64_C(1000000000000)},
};

enum status slice_to_size(slice s, uint64_t *out_bytes)
{
    uint64_t count, bytes;
    enum status rc;
    size_t n;

    rc = take_digits(s, UINT64_MAX, &count, &n);
    if (rc)
        return rc;
    s = slice_sub(s, n, s.len);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (!slice_eq(s, sizes[i].name))
            continue;
        if (__builtin_mul_overflow(count, sizes[i].bytes, &bytes))
            return ERR_TOO_BIG;
        *out_bytes = bytes;
        return OK;
    }
    return ERR_INVALID;
}

enum status slice_to_bool(slice s, bool *out)
{
    static const slice yes[] = {SLICE_INIT("true"), SLICE_INIT("1"),
                                SLICE_INIT("on"), SLICE_INIT("yes")};
    static const slice no[] = {SLICE_INIT("false"), SLICE_INIT("0"),
                               SLICE_INIT("off"), SLICE_INIT("no")};

    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        if (slice_eq_nocase(s, yes[i])) {
            *out = true;
            return OK;
        }
        if (slice_eq_nocase(s, no[i])) {
            *out = false;
            return OK;
        }
    }
    return ERR_INVALID;
}
