/* SPDX-License-Identifier: Apache-2.0 */
/* The one table of failures (fault.def). */
#ifndef TULLE_PROXY_HTTP_FAULT_H
#define TULLE_PROXY_HTTP_FAULT_H

#include "lib/http/exchange.h"

enum fault {
    FAULT_NONE,
#define X(id, name, side, status, delivered) FAULT_##id,
#include "proxy/http/fault.def"
#undef X
    FAULTS,
};

enum fault_side { SIDE_DOWNSTREAM, SIDE_US, SIDE_UPSTREAM };

struct fault_row {
    slice name; /* "none" for FAULT_NONE */
    enum fault_side side;
    unsigned status;
    bool never_delivered;
};

/* Another endpoint may do better: the application did not see it, and it is not
 * the request itself that is wrong. */
bool fault_elsewhere(enum fault f);

const struct fault_row *fault_row(enum fault f);
/* FAULT_NONE when there is no such name. */
enum fault fault_find(slice name);
/* What a refused or late message of a downstream is (400, 408, 431 ...). */
enum fault fault_of_status(unsigned status);
/* What a broken upstream exchange is. */
enum fault fault_of_reset(enum reset_why why);
/* What a failed connect is. */
enum fault fault_of_connect(enum status rc);

#define FAULT_HEADER "tulle-fault"

#endif
