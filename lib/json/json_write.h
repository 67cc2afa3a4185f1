/* SPDX-License-Identifier: Apache-2.0 */
/* Writes JSON into a text, piece by piece, without a tree. Commas and escapes
 * are its affair; that begin and end match, and that members have names, is the
 * caller's. The limit and `failed` are the text's.
 *
 *     json_write_object(&w);
 *     json_write_name(&w, "port");
 *     json_write_int(&w, 80);
 *     json_write_object_end(&w);
 */
#ifndef TULLE_JSON_JSON_WRITE_H
#define TULLE_JSON_JSON_WRITE_H

#include "lib/base/text.h"
#include "lib/json/json.h"

struct json_write {
    struct text *out;
    bool comma; /* the next value of this object or array needs one before it */
};

/* Appends to `out`, which must outlive it. */
void json_write_init(struct json_write *w, struct text *out);

void json_write_object(struct json_write *w);
void json_write_object_end(struct json_write *w);
void json_write_array(struct json_write *w);
void json_write_array_end(struct json_write *w);
/* The name of the member that comes next. */
void json_write_name(struct json_write *w, const char *name);
void json_write_name_slice(struct json_write *w, slice name);

void json_write_string(struct json_write *w, slice s);
void json_write_bool(struct json_write *w, bool b);
void json_write_int(struct json_write *w, int64_t n);
/* Over 2^53 as a string of digits, because most readers keep numbers as
 * doubles; json_u64 reads both. */
void json_write_u64(struct json_write *w, uint64_t n);
/* Shortest text that reads back the same; null when not finite. */
void json_write_double(struct json_write *w, double d);
void json_write_null(struct json_write *w);
/* A value that is JSON already. */
void json_write_raw(struct json_write *w, slice json);
/* A value of a document, without white space, members in their order. */
void json_write_value(struct json_write *w, struct json v);

/* Members: name and value. */
void json_member_string(struct json_write *w, const char *name, slice s);
/* Nothing when `s` is empty. */
void json_member_text(struct json_write *w, const char *name, slice s);
void json_member_bool(struct json_write *w, const char *name, bool b);
void json_member_int(struct json_write *w, const char *name, int64_t n);
void json_member_u64(struct json_write *w, const char *name, uint64_t n);

#endif
