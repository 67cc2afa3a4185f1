/* SPDX-License-Identifier: Apache-2.0 */
/* protocol = name [ "/" version ], both tokens. The name decides. */
#include "lib/http/upgrade.h"

#include "lib/http/chars.h"
#include "lib/http/message.h"

static bool hides_requests(slice name)
{
    static const slice names[] = {SLICE_INIT("http"), SLICE_INIT("tls"),
                                  SLICE_INIT("h2"), SLICE_INIT("h2c"),
                                  SLICE_INIT("h3")};
    slice draft, rest; /* h2-14, h2c-16 ... */

    if (slice_cut(name, '-', &draft, &rest))
        name = draft;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (slice_eq_nocase(name, names[i]))
            return true;
    return false;
}

static bool may_be_offered(slice protocol)
{
    slice name = protocol, version = SLICE_NONE;

    if (slice_cut(protocol, '/', &name, &version) &&
        !header_name_valid(version))
        return false;
    return header_name_valid(name) && !hides_requests(name);
}

slice upgrade_offer(slice value)
{
    slice rest = value, part, first = SLICE_NONE;
    bool all = true;

    while (slice_next(&rest, ',', &part)) {
        part = slice_trim(part);
        if (!may_be_offered(part))
            all = false;
        else if (slice_empty(first))
            first = part;
    }
    return all ? slice_trim(value) : first;
}
