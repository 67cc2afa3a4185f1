/* SPDX-License-Identifier: Apache-2.0 */
/* JSON values as YAML text. */
#ifndef TULLE_YAML_RENDER_H
#define TULLE_YAML_RENDER_H

#include "lib/base/text.h"
#include "lib/json/json.h"

struct render {
    struct text *out;
    const char *newline; /* "\n" or "\r\n" */
    /* Items of a sequence begin in the column of their key, not two further. */
    bool indentless;
};

/* Plain where that cannot be misread by any reader, else in double quotes. Also
 * for empty collections. */
void render_scalar(const struct render *r, struct json v);
/* Is it written on the line of its key? */
bool render_is_inline(struct json v);
/* The lines of a collection's members or items, each with its indent and without
 * a last newline. `compact`: the first line is begun already, at `column`. */
void render_block(const struct render *r, struct json v, size_t column,
                  bool compact);
/* What follows "key:", newline or space included; `column` is the key's. */
void render_value(const struct render *r, struct json v, size_t column);
/* JSON; over several lines when `lines`, whose first is indented by `column`. */
void render_flow(const struct render *r, struct json v, size_t column,
                 bool lines);
void render_key(const struct render *r, slice key);
void render_spaces(const struct render *r, size_t n);

#endif
