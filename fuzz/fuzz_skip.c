/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of ports and networks: what is taken is in order, joined, and written as
 * rules without a byte of the user's. */
#include <stdlib.h>

#include "lib/base/mem.h"
#include "proxy/redirect/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_ports(const struct port_set *set)
{
    for (unsigned i = 0; i < set->len; i++) {
        const struct port_range *r = &set->at[i];

        if (r->first == 0 || r->first > r->last)
            abort();
        if (i && set->at[i - 1].last + 1 >= r->first)
            abort();
        if (!port_set_has(set, r->first) || !port_set_has(set, r->last))
            abort();
    }
}

static void check_rules(const struct rules *r)
{
    struct text t;

    text_init(&t, RULES_TEXT_MAX);
    rules_write(r, &t);
    if (t.failed)
        abort();
    for (size_t i = 0; i < t.len; i++)
        if (t.ptr[i] == '\'' || t.ptr[i] == '$' || t.ptr[i] == '@' ||
            (unsigned char)t.ptr[i] >= 0x7f)
            abort();
    text_fini(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rules *r = MEM_NEW(struct rules);
    struct error e = {""};
    slice text = slice_of(data, size);

    if (port_set_parse(text, &r->skip_outbound, &e) == OK)
        check_ports(&r->skip_outbound);
    else if (!e.text[0])
        abort();
    if (subnet_set_parse(text, &r->skip_subnets, &e))
        r->skip_subnets.len = 0;
    r->uid = r->gid = 1;
    check_rules(r);
    mem_free(r);
    return 0;
}
