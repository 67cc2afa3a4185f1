/* SPDX-License-Identifier: Apache-2.0 */
/* JSON of one Kubernetes object -> record. Pure: one file a resource, and what
 * they share in decode.c. What is not needed is not looked at; what is needed and
 * wrong is an error whose sentence names the path (json.h). A bad annotation is
 * no error: it is put in record.problem, and the safer meaning holds. */
#ifndef TULLE_CONTROLLER_WATCH_DECODE_H
#define TULLE_CONTROLLER_WATCH_DECODE_H

#include "controller/registry/record.h"
#include "lib/json/json.h"

/* On OK gives a record. */
typedef enum status decode_fn(struct json obj, struct record **out,
                              struct error *e);
CHECKED enum status decode_namespace(struct json obj, struct record **out,
                                     struct error *e);
CHECKED enum status decode_service(struct json obj, struct record **out,
                                   struct error *e);
CHECKED enum status decode_endpoint_slice(struct json obj, struct record **out,
                                          struct error *e);
CHECKED enum status decode_pod(struct json obj, struct record **out,
                               struct error *e);

/* Namespace and name of any object; the namespace of one that has none in its
 * metadata is "default" when `namespaced`. ERR_INVALID when a name is not what
 * Kubernetes would accept. */
CHECKED enum status decode_names(struct json obj, bool namespaced, slice *ns,
                                 slice *name, struct error *e);
/* A new record with the names of `obj`. */
CHECKED enum status decode_begin(struct json obj, enum record_kind kind,
                                 struct record **out, struct error *e);
/* Zeroed array of `n` in the record; ERR_TOO_BIG when over its limit or `max`;
 * `v` is what has too many. */
CHECKED enum status decode_array(struct record *r, struct json v, size_t n,
                                 size_t max, size_t size, void *out,
                                 struct error *e);
/* A copy of an optional text member; keeps `*out` when absent. */
CHECKED enum status decode_text(struct record *r, struct json obj,
                                const char *name, slice *out, struct error *e);
/* An optional "protocol" member: is it TCP (the default)? */
CHECKED enum status decode_is_tcp(struct json port, bool *out, struct error *e);
/* An IP in its one spelling, copied. */
CHECKED enum status decode_ip(struct record *r, struct json v, slice *out,
                              struct error *e);
/* tulle.dev/opaque-ports and its like; a bad list goes to r->problem. */
CHECKED enum status decode_ports(struct record *r, struct json annotations,
                                 const char *name, slice *out, struct error *e);
/* Of a Pod: its plain probes, and the addresses of its node (pod_probes.c). */
CHECKED enum status decode_pod_probes(struct record *r, struct json obj,
                                      struct error *e);
/* Every annotation that pods and namespaces share. */
CHECKED enum status decode_settings(struct record *r, struct json metadata,
                                    struct mesh_settings *out, struct error *e);

#endif
