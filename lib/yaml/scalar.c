/* SPDX-License-Identifier: Apache-2.0 */
/* The core schema of YAML 1.2, and octal numbers with a leading 0 as Kubernetes
 * has them (defaultMode: 0644). What is almost a number is a string, as it is
 * for kubectl: 1.2.3, 1_000, 0x, 10:30. */
#include "lib/yaml/scalar.h"

#include <math.h>
#include <stdlib.h>

static bool is_one_of(slice s, const char *const *words)
{
    for (; *words; words++) {
        if (slice_eq(s, slice_str(*words)))
            return true;
    }
    return false;
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t digits_at(slice s, size_t at)
{
    size_t n = 0;

    while (at + n < s.len && digit(s.ptr[at + n]))
        n++;
    return n;
}

static bool octal(slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '7')
            return false;
    }
    return s.len > 0;
}

/* Digits of base 8 or 16, of which the number is not too large: a double counts
 * on exactly far beyond what is accepted. */
static double in_base(slice s, unsigned base)
{
    double n = 0;

    for (size_t i = 0; i < s.len; i++) {
        int c = (unsigned char)s.ptr[i];
        int value = digit(s.ptr[i]) ? c - '0' : (c | 32) - 'a' + 10;
        n = n * base + value;
    }
    return n;
}

static bool hexadecimal(slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        int c = (unsigned char)s.ptr[i] | 32;
        if (!digit(s.ptr[i]) && !(c >= 'a' && c <= 'f'))
            return false;
    }
    return s.len > 0;
}

/* Without its sign. False: not a whole number. */
static bool whole(slice s, double *out)
{
    slice rest = slice_sub(s, 2, s.len);

    if (slice_starts(s, SLICE("0x")) && hexadecimal(rest)) {
        *out = in_base(rest, 16);
        return true;
    }
    if (slice_starts(s, SLICE("0o")) && octal(rest)) {
        *out = in_base(rest, 8);
        return true;
    }
    if (s.len > 1 && s.ptr[0] == '0' && octal(s)) {
        *out = in_base(s, 8);
        return true;
    }
    if (s.len == 0 || digits_at(s, 0) != s.len)
        return false;
    *out = 0;
    for (size_t i = 0; i < s.len; i++)
        *out = *out * 10 + (s.ptr[i] - '0');
    return true;
}

/* (\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? without its sign. */
static bool float_shaped(slice s)
{
    size_t before = digits_at(s, 0), at = before, after = 0;

    if (at < s.len && s.ptr[at] == '.') {
        after = digits_at(s, at + 1);
        at += 1 + after;
    }
    if (before + after == 0)
        return false;
    if (at < s.len && (s.ptr[at] == 'e' || s.ptr[at] == 'E')) {
        size_t n;
        at++;
        if (at < s.len && (s.ptr[at] == '-' || s.ptr[at] == '+'))
            at++;
        n = digits_at(s, at);
        if (n == 0)
            return false;
        at += n;
    }
    return at == s.len;
}

/* strtod reads the decimal point of the locale; the programs never set one. */
static bool read_float(slice s, double *out)
{
    char buf[64];

    if (!float_shaped(s) || slice_to_cstr(s, buf, sizeof buf))
        return false;
    *out = strtod(buf, NULL);
    return true;
}

static enum status number(slice unsigned_part, bool negative,
                          struct scalar *out, const char **why)
{
    const double edge = 9007199254740992.0; /* 2^53 */
    double n;

    if (whole(unsigned_part, &n)) {
        if (n > edge) {
            *why = "a whole number beyond 2^53; put it in quotes";
            return ERR_INVALID;
        }
    } else if (!read_float(unsigned_part, &n)) {
        return OK; /* a string */
    }
    if (!isfinite(n)) {
        *why = "a number that is too large";
        return ERR_INVALID;
    }
    out->type = SCALAR_NUMBER;
    out->number = negative ? -n : n;
    return OK;
}

enum status scalar_resolve(slice text, struct scalar *out, const char **why)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const trues[] = {"true", "True", "TRUE", NULL};
    static const char *const falses[] = {"false", "False", "FALSE", NULL};
    static const char *const odd[] = {".inf", ".Inf", ".INF", ".nan",
                                      ".NaN", ".NAN", NULL};
    bool negative = slice_starts(text, SLICE("-"));
    bool sign = negative || slice_starts(text, SLICE("+"));
    slice unsigned_part = slice_sub(text, sign ? 1 : 0, text.len);

    *out = (struct scalar){.type = SCALAR_STRING};
    if (is_one_of(text, nulls)) {
        out->type = SCALAR_NULL;
        return OK;
    }
    if (is_one_of(text, trues) || is_one_of(text, falses)) {
        out->type = SCALAR_BOOL;
        out->boolean = is_one_of(text, trues);
        return OK;
    }
    if (is_one_of(unsigned_part, odd)) {
        *why =
            "infinity and not-a-number cannot be said in JSON; put it in quotes";
        return ERR_INVALID;
    }
    return number(unsigned_part, negative, out, why);
}
