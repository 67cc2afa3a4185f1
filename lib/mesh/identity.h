/* SPDX-License-Identifier: Apache-2.0 */
/* Names of workloads (SPIFFE IDs, in the form that certificates carry):
 *     spiffe://<trust-domain>/ns/<namespace>/sa/<service-account>
 * and of the controller:
 *     spiffe://<trust-domain>/tulle/controller
 * One name has one spelling: lower case, no escapes, no empty parts, no port,
 * no query; so two names are the same exactly when their bytes are. */
#ifndef TULLE_MESH_IDENTITY_H
#define TULLE_MESH_IDENTITY_H

#include "lib/base/text.h"

enum { WORKLOAD_NAME_MAX = 600 }; /* bytes; the longest valid one has 586 */

struct workload_name {
    slice trust_domain, ns, service_account;
};

/* The parts borrow from `name`. ERR_INVALID with a sentence that quotes it; the
 * controller's name is not a workload's. */
CHECKED enum status workload_name_parse(slice name, struct workload_name *out,
                                        struct error *e);
/* Appends the name. ERR_INVALID (and nothing appended) when a part is not
 * valid: whatever is built can be parsed. */
CHECKED enum status workload_name_build(const struct workload_name *n,
                                        struct text *out, struct error *e);
/* Appends the controller's name. */
CHECKED enum status controller_name_build(slice trust_domain, struct text *out,
                                          struct error *e);
/* Is `name` the controller's, in this trust domain? */
bool controller_name_is(slice name, slice trust_domain);

/* RFC 1123 label: 1 to 63 of a-z 0-9 and inner '-'. Namespaces. */
bool dns_label_valid(slice s);
/* RFC 1123 subdomain as Kubernetes reads it: labels, of any length, joined by
 * '.', at most 253 bytes. Service accounts, trust domains, names of most
 * objects. */
bool dns_subdomain_valid(slice s);

#endif
