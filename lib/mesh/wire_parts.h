/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of lib/mesh only: the pieces that messages, views and deltas share. */
#ifndef TULLE_MESH_WIRE_PARTS_H
#define TULLE_MESH_WIRE_PARTS_H

#include "lib/json/json.h"
#include "lib/json/json_write.h"
#include "lib/mesh/wire.h"

enum {
    /* 20,000 endpoints of 9 values each, and room for members to come. */
    WIRE_VALUES_MAX = 300000,
    WIRE_NAMES_MAX = 64,       /* capabilities, needs */
    WIRE_NAME_MAX = 128,       /* one of them; versions, epochs */
    WIRE_PEM_MAX = 1 << 20,    /* a bundle or chain */
    WIRE_TOKEN_MAX = 16 << 10, /* a token or CSR */
    WIRE_WEIGHT_MAX = 1000000,
};

/* ---- reading: what is copied goes to `a` ---- */

/* Text that may be left out, then empty. ERR_TOO_BIG over `max` bytes. */
CHECKED enum status read_text(struct json obj, const char *name, size_t max,
                              struct arena *a, slice *out, struct error *e);
/* As read_text, but missing or empty is an error. */
CHECKED enum status read_filled(struct json obj, const char *name, size_t max,
                                struct arena *a, slice *out, struct error *e);
/* An array of names; absent is empty. */
CHECKED enum status read_names(struct json obj, const char *name,
                               struct arena *a, slice **out, uint32_t *len,
                               struct error *e);
/* Items for an array of at most `max` elements of `size`, zeroed. */
CHECKED enum status read_space(struct json list, size_t max, size_t size,
                               struct arena *a, void **out, uint32_t *len,
                               struct error *e);
/* One of `n` words, by index: `expected one of a, b, not "c"`. */
CHECKED enum status read_choice(struct json obj, const char *name,
                                const char *const *words, int n, int *out,
                                struct error *e);
CHECKED enum status read_protocol(struct json obj, enum protocol *out,
                                  struct error *e);
/* 32 hex digits, or empty where `optional`. */
CHECKED enum status read_hash(struct json obj, const char *name, bool optional,
                              struct arena *a, slice *out, struct error *e);
/* "10.1.2.3:8080": something, and a port. */
CHECKED enum status check_address(struct json v, slice address,
                                  struct error *e);

/* Member `name`: endpoints with strictly rising addresses. */
CHECKED enum status endpoints_read(struct json obj, const char *name,
                                   struct arena *a,
                                   struct backend_endpoint **out, uint32_t *len,
                                   struct error *e);
/* The content of a view, without its hash. */
CHECKED enum status view_read(enum view_kind kind, slice key,
                              struct json content, struct view **out,
                              struct error *e);
CHECKED enum status delta_read(struct json obj, struct arena *a,
                               struct delta *out, struct error *e);
CHECKED enum status report_read(struct json obj, struct arena *a,
                                struct report *out, struct error *e);

/* ---- writing ---- */

void names_write(struct json_write *w, const char *name, slice *names,
                 uint32_t len);
void endpoints_write(struct json_write *w, const char *name,
                     const struct backend_endpoint *at, uint32_t len);
/* The content of a view; its endpoints are sorted already. */
void view_write(const struct view *v, struct json_write *w);
/* Members of the open object. */
void delta_write(const struct delta *d, struct json_write *w);
void report_write(const struct report *r, struct json_write *w);

#endif
