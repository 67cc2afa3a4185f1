/* SPDX-License-Identifier: Apache-2.0 */
/* Makes a JSON document from something that is not JSON text, value by value,
 * each with its line. For lib/yaml and tests. */
#ifndef TULLE_JSON_JSON_BUILD_H
#define TULLE_JSON_JSON_BUILD_H

#include "lib/json/json.h"

struct json_build;

/* `source` (copied) names the document in sentences: "mesh/cart.yaml". */
struct json_build *json_build_new(slice source,
                                  const struct json_limits *limits);
void json_build_free(struct json_build *b);

/* The name of the member that comes next in the open object. */
CHECKED enum status json_build_name(struct json_build *b, slice name,
                                    unsigned line, struct error *e);
/* Opens an object or an array as the next value. ERR_TOO_BIG when deeper than
 * JSON_DEPTH_MAX; all of these also when over the limits. */
CHECKED enum status json_build_object(struct json_build *b, unsigned line,
                                      struct error *e);
CHECKED enum status json_build_array(struct json_build *b, unsigned line,
                                     struct error *e);
/* Closes the innermost object or array. */
void json_build_end(struct json_build *b);

/* ERR_INVALID when `s` holds a NUL. */
CHECKED enum status json_build_string(struct json_build *b, slice s,
                                      unsigned line, struct error *e);
CHECKED enum status json_build_number(struct json_build *b, double d,
                                      unsigned line, struct error *e);
CHECKED enum status json_build_bool(struct json_build *b, bool v, unsigned line,
                                    struct error *e);
CHECKED enum status json_build_null(struct json_build *b, unsigned line,
                                    struct error *e);

/* Gives the document; the builder is empty after and takes another. Refuses a
 * name given twice: "mesh/cart.yaml:7: spec.port: given twice". */
CHECKED enum status json_build_finish(struct json_build *b,
                                      struct json_doc **out, struct error *e);

#endif
