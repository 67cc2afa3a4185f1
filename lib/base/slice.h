/* SPDX-License-Identifier: Apache-2.0 */
/* Text and bytes by value: a pointer and a length. Borrows; never owns. */
#ifndef TULLE_BASE_SLICE_H
#define TULLE_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/status.h"

typedef struct slice {
    const char *ptr;
    size_t len;
} slice;

/* SLICE("literal") */
#define SLICE(lit) ((slice){(lit), sizeof(lit) - 1})
/* For static tables, where a compound literal is not constant. */
#define SLICE_INIT(lit)        \
    {                          \
        (lit), sizeof(lit) - 1 \
    }
#define SLICE_NONE ((slice){NULL, 0})
/* printf("%.*s", FMT(s)) */
#define FMT(s) (int)(s).len, (s).ptr ? (s).ptr : ""

static inline slice slice_of(const void *ptr, size_t len)
{
    return (slice){ptr, len};
}

/* A C string; NULL gives the empty slice. */
static inline slice slice_str(const char *s)
{
    return (slice){s, s ? strlen(s) : 0};
}

static inline bool slice_empty(slice s)
{
    return s.len == 0;
}

static inline bool slice_eq(slice a, slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* ASCII only. */
bool slice_eq_nocase(slice a, slice b);
/* <0, 0, >0, bytewise; shorter first when one is a prefix. */
int slice_cmp(slice a, slice b);
bool slice_starts(slice s, slice prefix);
bool slice_ends(slice s, slice suffix);
/* Index of the first `c`, or -1. */
ptrdiff_t slice_find(slice s, char c);
ptrdiff_t slice_rfind(slice s, char c);
/* Bytes from `from` to before `to`; both are cut to the length. */
slice slice_sub(slice s, size_t from, size_t to);
/* Without spaces and tabs at both ends. */
slice slice_trim(slice s);
/* Takes the part before the first `sep` off the front of `*rest` (and the
 * separator with it); false when `*rest` was used up (ptr NULL after the last
 * part). "a,,b" gives "a", "", "b"; the empty slice with a pointer gives "". */
bool slice_next(slice *rest, char sep, slice *part);
/* Splits at the first / last `sep`; false (outputs untouched) without one. */
bool slice_cut(slice s, char sep, slice *before, slice *after);
bool slice_rcut(slice s, char sep, slice *before, slice *after);

/* Decimal digits only, whole slice, no sign; ERR_INVALID or ERR_TOO_BIG. */
CHECKED enum status slice_to_u64(slice s, uint64_t max, uint64_t *out);
/* Hexadecimal digits only, whole slice, at most 16. */
CHECKED enum status slice_to_hex64(slice s, uint64_t *out);
/* "1.5", "-2", "1e3"? No: digits with one optional dot, optional minus. */
CHECKED enum status slice_to_double(slice s, double *out);
/* "250ms", "5s", "1m", "24h", "10us" and sums like "1h30m" -> nanoseconds. */
CHECKED enum status slice_to_duration(slice s, int64_t *out_ns);
/* "64Ki", "1Mi", "2Gi", "10k", plain bytes -> bytes. */
CHECKED enum status slice_to_size(slice s, uint64_t *out_bytes);
/* "true"/"false" (also "1"/"0", "on"/"off", "yes"/"no"). */
CHECKED enum status slice_to_bool(slice s, bool *out);

/* Copies into `dst` of `cap` bytes with a final 0; ERR_TOO_BIG when it does
 * not fit, ERR_INVALID when it holds a NUL. For library edges. */
CHECKED enum status slice_to_cstr(slice s, char *dst, size_t cap);

/* Seeded 64-bit hash (the seed is per process, random). */
uint64_t slice_hash(slice s);
uint64_t slice_hash_nocase(slice s);

#endif
