/* SPDX-License-Identifier: Apache-2.0 */
/* All filters, for stack.c. */
#ifndef TULLE_PROXY_HTTP_FILTERS_H
#define TULLE_PROXY_HTTP_FILTERS_H

#include "proxy/http/filter.h"

extern const struct filter log_filter;     /* telemetry/log_filter.c */
extern const struct filter admit_filter;   /* http/admit.c */
extern const struct filter path_filter;    /* http/normal_path.c */
extern const struct filter probe_filter;   /* http/probe_gate.c */
extern const struct filter rewrite_filter; /* http/rewrite_headers.c */
extern const struct filter forward_filter; /* http/forward.c */

#endif
