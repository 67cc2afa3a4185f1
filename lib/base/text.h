/* SPDX-License-Identifier: Apache-2.0 */
/* A growable string with a limit. Writing past the limit sets `failed` and
 * drops what does not fit: check once, at the end. */
#ifndef TULLE_BASE_TEXT_H
#define TULLE_BASE_TEXT_H

#include "lib/base/slice.h"

struct text {
    char *ptr;
    size_t len, cap, limit;
    bool failed;
    bool secret; /* memory is wiped before it is let go */
};

/* No memory is taken until the first byte. */
void text_init(struct text *t, size_t limit);
/* Of a key or token: what it held is nowhere any more when it grows or ends. */
void text_init_secret(struct text *t, size_t limit);
void text_fini(struct text *t);
void text_add(struct text *t, slice s);
void text_add_char(struct text *t, char c);
void text_printf(struct text *t, const char *fmt, ...) PRINTF(2, 3);
/* With \" \\ \n \uXXXX escapes, without the quotes. Bytes that are not UTF-8
 * become U+FFFD. */
void text_add_json(struct text *t, slice s);
void text_clear(struct text *t);
/* Borrows until the next change. */
static inline slice text_slice(const struct text *t)
{
    return (slice){t->ptr, t->len};
}
/* With a final 0 after the content. Borrows. Never NULL. */
const char *text_cstr(struct text *t);
/* Takes the bytes out (the caller mem_frees them); the text is empty after. */
char *text_take(struct text *t, size_t *len);

#endif
