/* SPDX-License-Identifier: Apache-2.0 */
/* One flag is enough: after an opening bracket or a name no comma comes, after
 * any value one does. */
#include "lib/json/json_write.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void json_write_init(struct json_write *w, struct text *out)
{
    *w = (struct json_write){.out = out};
}

static void start(struct json_write *w)
{
    if (w->comma)
        text_add_char(w->out, ',');
    w->comma = true;
}

static void open_with(struct json_write *w, char bracket)
{
    start(w);
    text_add_char(w->out, bracket);
    w->comma = false;
}

static void close_with(struct json_write *w, char bracket)
{
    text_add_char(w->out, bracket);
    w->comma = true;
}

void json_write_object(struct json_write *w)
{
    open_with(w, '{');
}

void json_write_object_end(struct json_write *w)
{
    close_with(w, '}');
}

void json_write_array(struct json_write *w)
{
    open_with(w, '[');
}

void json_write_array_end(struct json_write *w)
{
    close_with(w, ']');
}

void json_write_name(struct json_write *w, const char *name)
{
    json_write_name_slice(w, slice_str(name));
}

void json_write_name_slice(struct json_write *w, slice name)
{
    json_write_string(w, name);
    text_add_char(w->out, ':');
    w->comma = false;
}

void json_write_string(struct json_write *w, slice s)
{
    start(w);
    text_add_char(w->out, '"');
    text_add_json(w->out, s);
    text_add_char(w->out, '"');
}

void json_write_bool(struct json_write *w, bool b)
{
    json_write_raw(w, b ? SLICE("true") : SLICE("false"));
}

void json_write_int(struct json_write *w, int64_t n)
{
    start(w);
    text_printf(w->out, "%" PRId64, n);
}

void json_write_u64(struct json_write *w, uint64_t n)
{
    const char *quote = n > (uint64_t)JSON_WHOLE_MAX ? "\"" : "";

    start(w);
    text_printf(w->out, "%s%" PRIu64 "%s", quote, n, quote);
}

void json_write_double(struct json_write *w, double d)
{
    char s[32];

    if (!isfinite(d)) {
        json_write_null(w);
        return;
    }
    snprintf(s, sizeof s, "%.15g", d);
    if (strtod(s, NULL) != d)
        snprintf(s, sizeof s, "%.17g", d);
    json_write_raw(w, slice_str(s));
}

void json_write_null(struct json_write *w)
{
    json_write_raw(w, SLICE("null"));
}

void json_write_raw(struct json_write *w, slice json)
{
    start(w);
    text_add(w->out, json);
}

static void write_items(struct json_write *w, struct json v)
{
    for (struct json i = json_first(v); json_present(i); i = json_next(i)) {
        if (json_type(v) == JSON_OBJECT)
            json_write_name_slice(w, json_name(i));
        json_write_value(w, i);
    }
}

/* Only called for the right type, so that reading cannot fail. */
static void write_scalar(struct json_write *w, struct json v)
{
    double d;
    slice s;
    bool b;

    if (json_as_string(v, &s, NULL) == OK)
        json_write_string(w, s);
    else if (json_as_double(v, &d, NULL) == OK)
        json_write_double(w, d);
    else if (json_as_bool(v, &b, NULL) == OK)
        json_write_bool(w, b);
    else
        json_write_null(w);
}

/* Recursion is as deep as the document. */
void json_write_value(struct json_write *w, struct json v)
{
    switch (json_type(v)) {
    case JSON_OBJECT:
        json_write_object(w);
        write_items(w, v);
        json_write_object_end(w);
        break;
    case JSON_ARRAY:
        json_write_array(w);
        write_items(w, v);
        json_write_array_end(w);
        break;
    default:
        write_scalar(w, v);
    }
}

void json_member_string(struct json_write *w, const char *name, slice s)
{
    json_write_name(w, name);
    json_write_string(w, s);
}

void json_member_text(struct json_write *w, const char *name, slice s)
{
    if (!slice_empty(s))
        json_member_string(w, name, s);
}

void json_member_bool(struct json_write *w, const char *name, bool b)
{
    json_write_name(w, name);
    json_write_bool(w, b);
}

void json_member_int(struct json_write *w, const char *name, int64_t n)
{
    json_write_name(w, name);
    json_write_int(w, n);
}

void json_member_u64(struct json_write *w, const char *name, uint64_t n)
{
    json_write_name(w, name);
    json_write_u64(w, n);
}
