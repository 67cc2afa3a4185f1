/* SPDX-License-Identifier: Apache-2.0 */
/* JSON (RFC 8259) as values to read. cJSON is behind it and nowhere else.
 *
 * A document owns a tree and never changes; a `struct json` is a place in it,
 * passed by value, and borrows until json_free. Getters that fail write a
 * sentence with the path of what is wrong:
 *     spec.ports[2].port: expected a number from 1 to 65535, not "http"
 * and put the document's name and the line before it when it has them
 * (lib/yaml): "mesh/cart.yaml:12: spec.ports[2].port: ...".
 *
 * Stricter than cJSON, so that two readers of one text never differ: refused
 * are duplicate member names, NUL and other control characters in strings (also
 * as \u0000), text that is not UTF-8, lone surrogates, numbers that RFC 8259
 * does not know, and anything after the value. */
#ifndef TULLE_JSON_JSON_H
#define TULLE_JSON_JSON_H

#include "lib/base/slice.h"

enum { JSON_DEPTH_MAX = 64 };
/* Whole numbers up to here are exact. */
#define JSON_WHOLE_MAX INT64_C(9007199254740992) /* 2^53 */

struct json_doc;

/* A value, or none (absent). Every reader takes an absent value and gives
 * absent ones, so that paths can be walked without asking at each step. */
struct json {
    const struct json_doc *doc;
    const void *node; /* NULL: absent */
};

enum json_type {
    JSON_ABSENT,
    JSON_NULL,
    JSON_BOOL,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

/* What a peer may make us hold. A value costs about 80 bytes beside its text,
 * hence a limit of its own. */
struct json_limits {
    size_t bytes, values;
};

/* Gives a document. ERR_TOO_BIG over a limit or JSON_DEPTH_MAX; ERR_INVALID
 * with a sentence: "line 3, column 12: expected a value". Copies all. */
CHECKED enum status json_parse(slice text, const struct json_limits *limits,
                               struct json_doc **out, struct error *e);
/* As json_parse, but \u0000 in a string reads as U+FFFD: for what an API server
 * says, where one object with a NUL must not make the others unreadable. */
CHECKED enum status json_parse_defused(slice text,
                                       const struct json_limits *limits,
                                       struct json_doc **out, struct error *e);
/* NULL is ignored. */
void json_free(struct json_doc *doc);
struct json json_root(const struct json_doc *doc);

enum json_type json_type(struct json v);
/* Not absent. An explicit null is present. */
static inline bool json_present(struct json v)
{
    return v.node != NULL;
}
/* The member of an object; absent when `v` is none or has none. Reads the
 * members in turn: for objects with few names, or few questions. */
struct json json_get(struct json v, const char *name);
/* Walks the items of an array or the members of an object in their order:
 *     for (struct json i = json_first(v); json_present(i); i = json_next(i))
 */
struct json json_first(struct json v);
struct json json_next(struct json v);
/* The name of a member; empty for items of an array. */
slice json_name(struct json member);
/* Items or members; 0 for anything else. */
size_t json_count(struct json v);
/* The line where the value begins, from 1; 0 when the document has no lines.
 * Absent: 0. */
unsigned json_line(struct json v);

/* The value itself. ERR_INVALID with a sentence when it is of another type;
 * "missing" when it is absent or null. */
CHECKED enum status json_as_string(struct json v, slice *out, struct error *e);
CHECKED enum status json_as_bool(struct json v, bool *out, struct error *e);
CHECKED enum status json_as_double(struct json v, double *out, struct error *e);
/* A whole number within both bounds. Beyond +-2^53 it may have been rounded by
 * whoever wrote it, and is refused. */
CHECKED enum status json_as_int(struct json v, int64_t min, int64_t max,
                                int64_t *out, struct error *e);
/* A counter: a whole number, or its decimal digits in a string, which is how
 * json_write_u64 writes what is over 2^53. */
CHECKED enum status json_as_u64(struct json v, uint64_t *out, struct error *e);

/* A member that must be there. Absent and null are one:
 * "spec.ports: missing". */
CHECKED enum status json_string(struct json obj, const char *name, slice *out,
                                struct error *e);
CHECKED enum status json_bool(struct json obj, const char *name, bool *out,
                              struct error *e);
CHECKED enum status json_int(struct json obj, const char *name, int64_t min,
                             int64_t max, int64_t *out, struct error *e);
CHECKED enum status json_u64(struct json obj, const char *name, uint64_t *out,
                             struct error *e);
CHECKED enum status json_object(struct json obj, const char *name,
                                struct json *out, struct error *e);
CHECKED enum status json_array(struct json obj, const char *name,
                               struct json *out, struct error *e);

/* A member that may be absent or null: then OK, and `*out` keeps what the
 * caller put there (for objects and arrays: becomes absent, which walks as
 * empty). A wrong type is an error all the same. */
CHECKED enum status json_opt_string(struct json obj, const char *name,
                                    slice *out, struct error *e);
CHECKED enum status json_opt_bool(struct json obj, const char *name, bool *out,
                                  struct error *e);
CHECKED enum status json_opt_int(struct json obj, const char *name, int64_t min,
                                 int64_t max, int64_t *out, struct error *e);
CHECKED enum status json_opt_u64(struct json obj, const char *name,
                                 uint64_t *out, struct error *e);
CHECKED enum status json_opt_object(struct json obj, const char *name,
                                    struct json *out, struct error *e);
CHECKED enum status json_opt_array(struct json obj, const char *name,
                                   struct json *out, struct error *e);

/* For checks of the caller's own: writes "<path of v>: <sentence>" with the
 * same prefix, and returns `rc`. */
enum status json_error(struct json v, enum status rc, struct error *e,
                       const char *fmt, ...) PRINTF(4, 5);

#endif
