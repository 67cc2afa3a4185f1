/* SPDX-License-Identifier: Apache-2.0 */
/* VEC(T): pointer, length, capacity. Doubling growth; bound the length before
 * pushing what a peer sends. */
#ifndef TULLE_BASE_VEC_H
#define TULLE_BASE_VEC_H

#include "lib/base/mem.h"

#define VEC(T)           \
    struct {             \
        T *at;           \
        size_t len, cap; \
    }

void *vec_grow(void *at, size_t *cap, size_t need, size_t size);

#define VEC_PUSH(v, value)                                       \
    do {                                                         \
        if ((v)->len == (v)->cap)                                \
            (v)->at = vec_grow((v)->at, &(v)->cap, (v)->len + 1, \
                               sizeof *(v)->at);                 \
        (v)->at[(v)->len++] = (value);                           \
    } while (0)
#define VEC_FINI(v)              \
    do {                         \
        mem_free((v)->at);       \
        (v)->at = NULL;          \
        (v)->len = (v)->cap = 0; \
    } while (0)

#endif
