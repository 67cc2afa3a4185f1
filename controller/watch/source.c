/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/watch/source.h"

int64_t source_heard(const struct source *s)
{
    int64_t oldest = INT64_MAX;

    for (int k = 0; k < RECORD_KINDS; k++) {
        struct source_health h;

        source_health(s, (enum record_kind)k, &h);
        if (h.heard < oldest)
            oldest = h.heard;
    }
    return oldest;
}
