/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a ClientHello: what is found lies within its bounds and reads
 * back, and the answer does not depend on how the bytes arrive. */
#include <stdlib.h>

#include "lib/detect/client_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_alpn(const struct client_hello *h)
{
    size_t at = 0, sum = 0;
    slice name;

    while (client_hello_next_alpn(h, &at, &name)) {
        check(name.len > 0 && client_hello_has_alpn(h, name));
        sum += 1 + name.len;
    }
    check(sum == h->alpn_len && sum <= CLIENT_HELLO_ALPN_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct client_hello h, part;
    enum status whole = client_hello_read(slice_of(data, size), &h);

    check(size < CLIENT_HELLO_MAX || whole != ERR_AGAIN);
    check_alpn(&h);
    check(whole == OK || (h.alpn_len == 0 && h.name_len == 0));
    /* Every prefix of a short input, some of a long one. */
    for (size_t n = 0; n < size; n += 1 + size / 100) {
        enum status rc = client_hello_read(slice_of(data, n), &part);

        check(rc == ERR_AGAIN || rc == whole);
        if (rc != OK)
            continue;
        check(slice_eq(client_hello_name(&part), client_hello_name(&h)));
        check(part.alpn_len == h.alpn_len);
    }
    return 0;
}
