/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/vec.h"

#include <stdint.h>
#include <stdlib.h>

void *vec_grow(void *at, size_t *cap, size_t need, size_t size)
{
    size_t next = *cap ? *cap : 4;

    while (next < need) {
        if (next > SIZE_MAX / 2)
            abort();
        next *= 2;
    }
    if (next == *cap)
        return at;
    if (next > SIZE_MAX / size)
        abort();
    *cap = next;
    return mem_resize(at, next * size);
}
