/* SPDX-License-Identifier: Apache-2.0 */
/* Changes to a YAML (or JSON) text that leave every other byte as it is. The
 * operations are those of JSON Patch; new text is put where the document's own
 * nodes say, in the style of what is around it. */
#ifndef TULLE_YAML_EDIT_H
#define TULLE_YAML_EDIT_H

#include "lib/base/text.h"
#include "lib/yaml/tree.h"

enum yaml_change_kind { YAML_ADD, YAML_REPLACE, YAML_REMOVE };

struct yaml_change {
    enum yaml_change_kind kind;
    slice path;  /* JSON Pointer; to an item of a list also "-" */
    slice value; /* JSON */
};

/* Appends to `out` the text of `t` with all changes, which must be to different
 * places: none inside of, or at, what another one changes. ERR_INVALID with file
 * and line when the text is written in a way that cannot be changed in place: an
 * alias on the way, a key with '?', two '-' on one line. Who must be sure reads
 * the outcome and compares. */
CHECKED enum status yaml_edit(const struct yaml_tree *t,
                              const struct yaml_change *changes, size_t n,
                              struct text *out, struct error *e);

#endif
