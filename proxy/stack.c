/* SPDX-License-Identifier: Apache-2.0 */
/* What happens to a request, and in which order. To add behaviour, write one
 * filter file and add one line here.
 *
 * Opaque connections have no filters: accept/conduit.c opens a stream to an
 * endpoint and tcp/relay.c joins the two. */
#include "proxy/http/filters.h"

const struct filter *const outbound_http[] = {
    &log_filter,     /* counts and logs what the rest comes to */
    &admit_filter,   /* limits, memory budget */
    &path_filter,    /* one reading, before anything decides */
    &rewrite_filter, /* hop-by-hop fields, identity headers */
    &forward_filter, /* endpoint, link or connection, both bodies */
    NULL,
};

const struct filter *const inbound_http[] = {
    &log_filter,     &admit_filter,   &path_filter,
    &probe_filter, /* strict mode: of plaintext, probes alone */
    &rewrite_filter, &forward_filter, NULL,
};
