/* SPDX-License-Identifier: Apache-2.0 */
/* TULLE_PROBES: what is taken can be written as a request without any byte that
 * would end a line. */
#include <stdlib.h>

#include "proxy/admin/probes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(slice s, bool blanks)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (c == '\r' || c == '\n' || c == 0 || (c == ' ' && !blanks))
            abort();
    }
}

static void check(const struct probes *all, const struct probe *p)
{
    if (!probes_find(all, p->path) || p->port == 0 || p->timeout <= 0)
        abort();
    if (!slice_starts(p->target, SLICE("/")))
        abort();
    check_line(p->target, false);
    check_line(p->host, false);
    for (uint32_t i = 0; i < p->headers_len; i++) {
        check_line(p->headers[i].name, false);
        check_line(p->headers[i].value, true);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct probes all;
    struct error e = {""};

    if (probes_parse(slice_of(data, size), &all, &e) == OK)
        for (uint32_t i = 0; i < all.len; i++)
            check(&all, &all.at[i]);
    else if (!e.text[0])
        abort();
    probes_fini(&all);
    return 0;
}
