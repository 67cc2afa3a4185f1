/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/http/fault.h"

#define NEVER true
#define MAYBE false

static const struct fault_row rows[FAULTS] = {
    [FAULT_NONE] = {SLICE_INIT("none"), SIDE_US, 0, false},
#define X(id, name, side, status, delivered) \
    [FAULT_##id] = {SLICE_INIT(name), SIDE_##side, status, delivered},
#include "proxy/http/fault.def"
#undef X
};

const struct fault_row *fault_row(enum fault f)
{
    return &rows[f];
}

bool fault_elsewhere(enum fault f)
{
    return rows[f].never_delivered && rows[f].side != SIDE_DOWNSTREAM;
}

enum fault fault_find(slice name)
{
    for (int f = 1; f < FAULTS; f++)
        if (slice_eq(rows[f].name, name))
            return (enum fault)f;
    return FAULT_NONE;
}

enum fault fault_of_status(unsigned status)
{
    switch (status) {
    case 408:
        return FAULT_REQUEST_TIMEOUT;
    case 414:
        return FAULT_URI_TOO_LONG;
    case 417:
        return FAULT_EXPECTATION;
    case 431:
        return FAULT_HEAD_TOO_LARGE;
    case 501:
        return FAULT_NOT_IMPLEMENTED;
    case 505:
        return FAULT_BAD_VERSION;
    default:
        return FAULT_BAD_REQUEST;
    }
}

enum fault fault_of_reset(enum reset_why why)
{
    switch (why) {
    case RESET_REFUSED:
        return FAULT_REFUSED;
    case RESET_STALE:
        return FAULT_STALE;
    case RESET_TIMEOUT:
        return FAULT_UPSTREAM_TIMEOUT;
    case RESET_PROTOCOL:
        return FAULT_UPSTREAM_PROTOCOL;
    case RESET_TOO_LARGE:
        return FAULT_HEAD_TOO_LARGE;
    case RESET_LIMIT:
        return FAULT_UPSTREAM_HEAD;
    default:
        return FAULT_UPSTREAM_RESET;
    }
}

enum fault fault_of_connect(enum status rc)
{
    switch (rc) {
    case ERR_TIMEOUT:
        return FAULT_CONNECT_TIMEOUT;
    case ERR_TLS:
        return FAULT_TLS_FAILED;
    default:
        return FAULT_CONNECT_FAILED;
    }
}
