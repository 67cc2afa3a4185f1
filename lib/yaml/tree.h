/* SPDX-License-Identifier: Apache-2.0 */
/* One YAML document as nodes that know where in the text they are: to change a
 * text by hand's measure (edit.h), and to read what yaml_read refuses because no
 * manifest of a mesh needs it, but other people's do: aliases and merge keys. */
#ifndef TULLE_YAML_TREE_H
#define TULLE_YAML_TREE_H

#include "lib/base/arena.h"
#include "lib/base/vec.h"
#include "lib/json/json.h"
#include "lib/yaml/yaml.h"

/* --- documents of a text --- */

struct yaml_part {
    slice text;    /* with its --- and the comments before it */
    unsigned line; /* of the whole text, from 1, where it begins */
};
struct yaml_parts {
    struct yaml_part *at;
    size_t len, cap;
};

/* Cuts a text before each "---"; the parts together are the text. Borrows. The
 * sentence of an error is that of yaml_read. Always yaml_parts_fini. */
CHECKED enum status yaml_split(slice text, slice source, struct yaml_parts *out,
                               struct error *e);
void yaml_parts_fini(struct yaml_parts *parts);

/* --- one of them --- */

enum yaml_kind { YAML_SCALAR, YAML_MAPPING, YAML_SEQUENCE, YAML_ALIAS };

enum {
    YAML_NOWHERE = 0, /* the root is node 1 */
    /* More than of what people write: texts grow when they are changed. */
    YAML_TREE_BYTES_MAX = 64 << 20,
    YAML_TREE_VALUES_MAX = 4000000,
};

/* Offsets are bytes of the part. A mapping's children are its values, each with
 * its key. */
struct yaml_node {
    enum yaml_kind kind;
    bool flow;         /* of a collection: [ ] or { } */
    bool plain;        /* of a scalar: neither quoted nor a block */
    bool block;        /* of a scalar: | or > */
    bool named;        /* has an anchor or a tag */
    bool string;       /* a tag makes it a string */
    bool odd_tag;      /* a tag that we do not know */
    bool closed;       /* all of it has been read */
    unsigned line;     /* of the whole text */
    size_t start, end; /* end: after its last byte that means something */
    size_t dash;       /* of an item of a block sequence: its '-' */
    size_t key_start, key_end;
    unsigned key_line;
    bool key_plain;
    slice key;  /* of a member */
    slice text; /* of a scalar */
    uint32_t parent, first, last, next, count;
    uint32_t target; /* of an alias */
};

struct yaml_tree {
    slice text, source;
    struct arena arena;
    VEC(struct yaml_node) nodes; /* at[0] is nobody */
    uint32_t root;               /* YAML_NOWHERE: an empty document */
};

/* `line`: where the part begins, for sentences. Borrows text and source. Always
 * yaml_tree_free (NULL is ignored). */
CHECKED enum status yaml_tree_read(const struct yaml_part *part, slice source,
                                   struct yaml_tree **out, struct error *e);
void yaml_tree_free(struct yaml_tree *t);

static inline const struct yaml_node *yaml_node(const struct yaml_tree *t,
                                                uint32_t i)
{
    return &t->nodes.at[i];
}
/* The member of that name, or YAML_NOWHERE; of a mapping's own, not merged. */
uint32_t yaml_member(const struct yaml_tree *t, uint32_t mapping, slice name);

/* As JSON, with aliases and merge keys (<<) resolved, in the same limits. The document must not be empty. */
CHECKED enum status yaml_tree_json(const struct yaml_tree *t,
                                   struct json_doc **out, struct error *e);

#endif
