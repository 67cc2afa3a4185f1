/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Patch (RFC 6902): what is to be done to a pod, in the order in which it is
 * to be done. Only add, replace and remove. Pure. */
#ifndef TULLE_INJECTOR_PATCH_H
#define TULLE_INJECTOR_PATCH_H

#include "lib/base/arena.h"
#include "lib/base/vec.h"
#include "lib/json/json_write.h"

enum patch_kind { PATCH_ADD, PATCH_REPLACE, PATCH_REMOVE };

struct patch_op {
    enum patch_kind kind;
    slice path;  /* JSON Pointer (RFC 6901), from the pod */
    slice value; /* JSON; empty with PATCH_REMOVE */
};

enum { PATCH_OPS_MAX = 5000 };

struct patch {
    struct arena *arena;
    VEC(struct patch_op) ops;
};

/* Texts are kept in `arena`, which must outlive it. */
void patch_init(struct patch *p, struct arena *arena);
void patch_fini(struct patch *p);

/* Copies `value`. ERR_TOO_BIG over a limit. The path must be escaped already. */
CHECKED enum status patch_push(struct patch *p, enum patch_kind kind,
                               slice value, struct error *e, const char *path,
                               ...) PRINTF(5, 6);
/* Writes the array of operations; `prefix` goes before every path. */
void patch_write(const struct patch *p, slice prefix, struct json_write *w);

/* The same JSON value, whatever the order of members. */
bool patch_same(struct json a, struct json b);

/* --- what is added to a pod --- */

struct patch_annotation {
    const char *name;
    slice value; /* without a pointer: no annotation of that name */
    bool keep;   /* what is there stays */
};
/* Adds, changes and removes until it is so. */
CHECKED enum status patch_annotations(struct patch *p, struct json pod,
                                      const struct patch_annotation *want,
                                      size_t n, struct error *e);

/* Members of an array of spec that are told by their "name". */
struct patch_items {
    const char *list;     /* "initContainers" */
    const char *names[2]; /* ours */
    slice values[2];      /* JSON */
    bool first;           /* ours come first, in this order */
};
CHECKED enum status patch_items(struct patch *p, struct json pod,
                                const struct patch_items *items,
                                struct error *e);

#endif
