/* SPDX-License-Identifier: Apache-2.0 */
/* The path is brought into the one form (lib/http/path.h) that everything behind
 * this filter decides by, and that is forwarded: for both versions, and both
 * ways, so that what one proxy has let through means the same to the next. Of a
 * request that is refused the access log shows the path as it came.
 *
 * A head that was within its limit must be so for the next proxy, too, so a path
 * may not grow by more than LONGER: of that many characters that should have been
 * encoded no URI is made. */
#include "lib/http/path.h"
#include "proxy/http/filters.h"
#include "proxy/http/request.h"

enum { LONGER = 1024 }; /* of the 4 KiB that a link's limit is wider */

static enum verdict on_request(struct request *r)
{
    struct head *h = r->head;
    enum path_rule rule = r->worker->path_rule;
    size_t room = path_room(rule, h->path);
    char *to;

    if (!room)
        return GO_ON;
    to = room <= h->path.len + LONGER ? arena_alloc(&r->down->arena, room)
                                      : NULL;
    if (!to) {
        request_fault(r, FAULT_URI_TOO_LONG);
        return ANSWERED;
    }
    if (path_normalise(rule, h->path, to, &h->path)) {
        request_fault(r, FAULT_BAD_PATH);
        return ANSWERED;
    }
    return GO_ON;
}

const struct filter path_filter = {
    .name = "path",
    .on_request = on_request,
};
