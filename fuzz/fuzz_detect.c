/* SPDX-License-Identifier: Apache-2.0 */
/* However the bytes arrive, detection says the same: once it has decided, more
 * bytes change nothing; and it decides within its bound. */
#include <stdlib.h>

#include "lib/detect/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum detected whole = protocol_detect(slice_of(data, size));

    if (size >= DETECT_MAX && whole == DETECTED_NEED_MORE)
        abort();
    for (size_t n = 0; n < size; n += 1 + size / 512) {
        enum detected d = protocol_detect(slice_of(data, n));

        if (d == DETECTED_NEED_MORE)
            continue;
        if (d != whole)
            abort();
        break; /* the shortest prefix that decides: longer ones were compared
                  when the fuzzer tried them */
    }
    return 0;
}
