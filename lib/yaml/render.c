/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/yaml/render.h"

#include "lib/json/json_write.h"

void render_spaces(const struct render *r, size_t n)
{
    while (n--)
        text_add_char(r->out, ' ');
}

static void new_line(const struct render *r, size_t column)
{
    text_add(r->out, slice_str(r->newline));
    render_spaces(r, column);
}

static bool letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* What some reader of YAML takes for something else than text. */
static bool is_word(slice s)
{
    static const char *const words[] = {"true", "false", "yes", "no",  "on",
                                        "off",  "y",     "n",   "null"};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (slice_eq_nocase(s, slice_str(words[i])))
            return true;
    return false;
}

static bool is_plain(slice s)
{
    if (s.len == 0 || (!letter(s.ptr[0]) && s.ptr[0] != '/') || is_word(s))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool mid_colon = c == ':' && i + 1 < s.len && s.ptr[i + 1] != ' ';

        if (!letter(c) && !(c >= '0' && c <= '9') && !strchr("_./-", c) &&
            !mid_colon)
            return false;
    }
    return true;
}

static void add_text(const struct render *r, slice s)
{
    if (is_plain(s)) {
        text_add(r->out, s);
        return;
    }
    text_add_char(r->out, '"');
    text_add_json(r->out, s);
    text_add_char(r->out, '"');
}

void render_key(const struct render *r, slice key)
{
    add_text(r, key);
}

void render_scalar(const struct render *r, struct json v)
{
    struct json_write w;
    struct error ignored;
    slice s;

    if (json_type(v) == JSON_STRING && !json_as_string(v, &s, &ignored)) {
        add_text(r, s);
        return;
    }
    json_write_init(&w, r->out);
    json_write_value(&w, v);
}

bool render_is_inline(struct json v)
{
    enum json_type t = json_type(v);

    return (t != JSON_OBJECT && t != JSON_ARRAY) || json_count(v) == 0;
}

void render_value(const struct render *r, struct json v, size_t column)
{
    if (render_is_inline(v)) {
        text_add_char(r->out, ' ');
        render_scalar(r, v);
        return;
    }
    if (json_type(v) == JSON_OBJECT || !r->indentless)
        column += 2;
    text_add(r->out, slice_str(r->newline));
    render_block(r, v, column, false);
}

static void render_item(const struct render *r, struct json v, size_t column)
{
    text_add(r->out, SLICE("- "));
    if (render_is_inline(v))
        render_scalar(r, v);
    else
        render_block(r, v, column + 2, true);
}

/* NOLINTNEXTLINE(misc-no-recursion): JSON_DEPTH_MAX bounds it */
void render_block(const struct render *r, struct json v, size_t column,
                  bool compact)
{
    bool first = true;

    for (struct json i = json_first(v); json_present(i); i = json_next(i)) {
        if (!first)
            new_line(r, column);
        else if (!compact)
            render_spaces(r, column);
        first = false;
        if (json_type(v) == JSON_ARRAY) {
            render_item(r, i, column);
            continue;
        }
        render_key(r, json_name(i));
        text_add_char(r->out, ':');
        render_value(r, i, column);
    }
}

static void render_quoted(const struct render *r, slice s)
{
    text_add_char(r->out, '"');
    text_add_json(r->out, s);
    text_add(r->out, SLICE("\": "));
}

/* NOLINTNEXTLINE(misc-no-recursion): JSON_DEPTH_MAX bounds it */
void render_flow(const struct render *r, struct json v, size_t column,
                 bool lines)
{
    bool object = json_type(v) == JSON_OBJECT, first = true;

    if (!lines || render_is_inline(v)) {
        struct json_write w;

        json_write_init(&w, r->out);
        json_write_value(&w, v);
        return;
    }
    text_add_char(r->out, object ? '{' : '[');
    for (struct json i = json_first(v); json_present(i); i = json_next(i)) {
        if (!first)
            text_add_char(r->out, ',');
        first = false;
        new_line(r, column + 2);
        if (object)
            render_quoted(r, json_name(i));
        render_flow(r, i, column + 2, true);
    }
    new_line(r, column);
    text_add_char(r->out, object ? '}' : ']');
}
