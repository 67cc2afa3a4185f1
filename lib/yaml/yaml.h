/* SPDX-License-Identifier: Apache-2.0 */
/* The YAML documents of a file as JSON values that know file and line:
 *     mesh/cart.yaml:12: spec.ports[0].port: expected a number ..., not "http"
 * libyaml is behind it and nowhere else.
 *
 * Scalars mean what they mean to kubectl: quoted and block scalars are strings;
 * plain ones are null (empty, ~, null), bools (true, false), whole numbers
 * (also 0x1f, 0o17, and 017 as octal), numbers, or else strings. One difference:
 * yes, no, on, off stay strings, as in YAML 1.2, so that a flag written that way
 * is refused with a sentence and never misread. Keys are always text.
 *
 * Refused, each with line and column: aliases (nothing may be written once and
 * mean a thousand), merge keys, tags other than !!str on scalars, keys that are
 * not scalars, names given twice, .inf and .nan, whole numbers beyond 2^53,
 * NUL, and all that is over a limit. */
#ifndef TULLE_YAML_YAML_H
#define TULLE_YAML_YAML_H

#include "lib/json/json.h"

enum {
    YAML_BYTES_MAX = 4 << 20, /* a file */
    YAML_VALUES_MAX = 200000, /* a document */
    YAML_DOCUMENTS_MAX = 5000,
};

struct yaml_documents {
    struct json_doc **at;
    size_t len, cap;
};

/* Reads all documents; empty ones (nothing but comments between two ---) are
 * left out. `source` is the file's name for sentences. ERR_INVALID and
 * ERR_TOO_BIG with a sentence "mesh/cart.yaml:3:7: ..."; then there are no
 * documents at all, because half a file is not what was meant. Copies all.
 * Always pair with yaml_documents_fini. */
CHECKED enum status yaml_read(slice text, slice source,
                              struct yaml_documents *out, struct error *e);
void yaml_documents_fini(struct yaml_documents *docs);

#endif
