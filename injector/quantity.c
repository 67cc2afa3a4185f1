/* SPDX-License-Identifier: Apache-2.0 */
#include "injector/quantity.h"

#include <inttypes.h>
#include <stdio.h>

/* "1.25" in units of 1/1000. At most three decimals and ten digits before. */
static enum status thousandths(slice text, uint64_t *out)
{
    slice whole = text, part = SLICE_NONE;
    uint64_t w = 0, p = 0;

    if (slice_cut(text, '.', &whole, &part) &&
        (part.len == 0 || part.len > 3 || slice_to_u64(part, 999, &p)))
        return ERR_INVALID;
    if (slice_to_u64(whole, UINT64_C(9999999999999), &w))
        return ERR_INVALID;
    for (size_t digits = part.len; digits < 3; digits++)
        p *= 10;
    *out = w * 1000 + p;
    return OK;
}

enum status quantity_cpu(slice text, uint64_t *milli)
{
    enum { CORES_MAX = 1024 };
    enum status rc;

    if (slice_ends(text, SLICE("m")))
        rc = slice_to_u64(slice_sub(text, 0, text.len - 1), CORES_MAX * 1000,
                          milli);
    else
        rc = thousandths(text, milli);
    if (rc || *milli == 0 || *milli > CORES_MAX * 1000)
        return ERR_INVALID;
    return OK;
}

struct unit {
    slice suffix;
    uint64_t factor;
    bool binary;
};

static const struct unit units[] = {
    {SLICE_INIT("Ki"), UINT64_C(1) << 10, true},
    {SLICE_INIT("Mi"), UINT64_C(1) << 20, true},
    {SLICE_INIT("Gi"), UINT64_C(1) << 30, true},
    {SLICE_INIT("Ti"), UINT64_C(1) << 40, true},
    {SLICE_INIT("k"), 1000, false},
    {SLICE_INIT("M"), 1000000, false},
    {SLICE_INIT("G"), 1000000000, false},
    {SLICE_INIT("T"), UINT64_C(1000000000000), false},
};
enum { UNITS = sizeof units / sizeof *units };

enum status quantity_memory(slice text, uint64_t *bytes, bool *binary)
{
    const uint64_t least = UINT64_C(1) << 20, most = UINT64_C(1) << 40;
    struct unit unit = {.factor = 1};
    uint64_t n;

    for (size_t i = 0; i < UNITS; i++)
        if (slice_ends(text, units[i].suffix))
            unit = units[i];
    text = slice_sub(text, 0, text.len - unit.suffix.len);
    if (thousandths(text, &n) || n > most * 1000 / unit.factor)
        return ERR_INVALID;
    *binary = unit.binary;
    *bytes = n * unit.factor / 1000;
    if (n * unit.factor % 1000 || *bytes < least || *bytes > most)
        return ERR_INVALID;
    return OK;
}

slice quantity_cpu_format(uint64_t milli, char buf[QUANTITY_TEXT])
{
    bool whole = milli % 1000 == 0;

    snprintf(buf, QUANTITY_TEXT, "%" PRIu64 "%s", whole ? milli / 1000 : milli,
             whole ? "" : "m");
    return slice_str(buf);
}

slice quantity_memory_format(uint64_t bytes, bool binary,
                             char buf[QUANTITY_TEXT])
{
    struct unit best = {.suffix = SLICE_INIT(""), .factor = 1};

    for (size_t i = 0; i < UNITS; i++)
        if (units[i].binary == binary && bytes % units[i].factor == 0 &&
            units[i].factor > best.factor)
            best = units[i];
    snprintf(buf, QUANTITY_TEXT, "%" PRIu64 "%.*s", bytes / best.factor,
             FMT(best.suffix));
    return slice_str(buf);
}
