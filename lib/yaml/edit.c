/* SPDX-License-Identifier: Apache-2.0 */
/* Each change becomes a splice: so many bytes at an offset are replaced by a
 * text. All offsets are of the text as it was, so the order of the splices is the
 * order of their offsets. */
#include "lib/yaml/edit.h"

#include <stdlib.h>

#include "lib/yaml/render.h"

enum { INSERT_MAX = 4 << 20, PART_MAX = 256 };

struct splice {
    size_t at, del, order;
    char *text;
    size_t len;
};

struct editor {
    const struct yaml_tree *t;
    struct render render;
    struct text made; /* of the splice in work */
    bool too_large;
    VEC(struct splice) splices;
    const struct yaml_change *change;
    struct json value; /* of the change */
    struct error *e;
};

static const struct yaml_node *node(const struct editor *d, uint32_t i)
{
    return yaml_node(d->t, i);
}

static enum status cannot(struct editor *d, uint32_t i, const char *why)
{
    return error_set(d->e, ERR_INVALID, "%.*s:%u: %s", FMT(d->t->source),
                     node(d, i)->line, why);
}

static void splice(struct editor *d, size_t at, size_t end)
{
    struct splice s = {.at = at, .del = end - at, .order = d->splices.len};

    d->too_large |= d->made.failed;
    s.text = text_take(&d->made, &s.len);
    VEC_PUSH(&d->splices, s);
}

/* --- lines --- */

static size_t line_start(const struct editor *d, size_t at)
{
    while (at > 0 && d->t->text.ptr[at - 1] != '\n')
        at--;
    return at;
}

/* The start of the next line; the text's end without one. */
static size_t next_line(const struct editor *d, size_t at)
{
    while (at < d->t->text.len && d->t->text.ptr[at] != '\n')
        at++;
    return at < d->t->text.len ? at + 1 : at;
}

static size_t column_of(const struct editor *d, size_t at)
{
    size_t n = 0;

    /* Bytes that continue a character are no columns. */
    for (size_t i = line_start(d, at); i < at; i++)
        n += ((unsigned char)d->t->text.ptr[i] & 0xc0) != 0x80;
    return n;
}

static bool first_on_line(const struct editor *d, size_t at)
{
    for (size_t i = line_start(d, at); i < at; i++)
        if (d->t->text.ptr[i] != ' ')
            return false;
    return true;
}

/* Whether anything but a comment begins the line at `at`. */
static bool is_comment(const struct editor *d, size_t at)
{
    while (at < d->t->text.len && d->t->text.ptr[at] == ' ')
        at++;
    return at < d->t->text.len && d->t->text.ptr[at] == '#';
}

/* Up over the comment lines right above: they belong to what follows. */
static size_t above_comments(const struct editor *d, size_t at)
{
    while (at > 0 && is_comment(d, line_start(d, at - 1)))
        at = line_start(d, at - 1);
    return at;
}

/* The last node of what is written below `i`. */
static uint32_t last_of(const struct editor *d, uint32_t i)
{
    while (node(d, i)->last && !node(d, i)->flow)
        i = node(d, i)->last;
    return i;
}

/* Where the line after a node begins: after the comment beside it, and after the
 * blank lines that a block scalar may hold. */
static size_t after_lines(const struct editor *d, uint32_t i)
{
    size_t end = node(d, i)->end;

    if (node(d, last_of(d, i))->block && end > 0 &&
        d->t->text.ptr[end - 1] == '\n')
        return end;
    return next_line(d, end);
}

/* Begins text that is to be lines of its own at `at`. */
static void begin_lines(struct editor *d, size_t at)
{
    if (at > 0 && d->t->text.ptr[at - 1] != '\n')
        text_add(&d->made, slice_str(d->render.newline));
}

static void end_line(struct editor *d)
{
    text_add(&d->made, slice_str(d->render.newline));
}

/* --- what a collection looks like --- */

static bool in_flow(const struct editor *d, uint32_t i)
{
    return node(d, i)->flow;
}

/* { } that may be written anew, in block style. */
static bool may_unfold(const struct editor *d, uint32_t i)
{
    const struct yaml_node *n = node(d, i);

    return n->flow && n->count == 0 && !n->named && n->parent &&
           !node(d, n->parent)->flow;
}

/* Its first child is on a line of its own. */
static bool is_spread(const struct editor *d, uint32_t i)
{
    const struct yaml_node *n = node(d, i), *first = node(d, n->first);
    size_t at = n->kind == YAML_MAPPING ? first->key_start : first->start;

    return n->first && line_start(d, at) != line_start(d, n->start);
}

static size_t child_column(const struct editor *d, uint32_t i)
{
    const struct yaml_node *n = node(d, i), *first = node(d, n->first);

    if (n->kind == YAML_MAPPING)
        return column_of(d, first->key_start);
    return column_of(d, n->flow ? first->start : first->dash);
}

/* The byte after the ':' of a member. */
static enum status after_colon(struct editor *d, uint32_t i, size_t *out)
{
    size_t at = node(d, i)->key_end;

    while (at < d->t->text.len && d->t->text.ptr[at] == ' ')
        at++;
    if (at >= d->t->text.len || d->t->text.ptr[at] != ':')
        return cannot(d, i, "a key written like this cannot be edited");
    *out = at + 1;
    return OK;
}

/* --- replacing a value --- */

static enum status replace_in_flow(struct editor *d, uint32_t i)
{
    const struct yaml_node *n = node(d, i);
    size_t start = n->start;

    if (n->start == n->end)
        text_add_char(&d->made, ' ');
    render_flow(&d->render, d->value,
                is_spread(d, n->parent) ? child_column(d, n->parent) : 0,
                is_spread(d, n->parent));
    splice(d, start, n->end);
    return OK;
}

/* The text of a block scalar ends after its last newline, which stays. */
static size_t end_of_value(const struct editor *d, uint32_t i)
{
    const struct yaml_node *n = node(d, i);
    size_t end = n->end;

    if (node(d, last_of(d, i))->block)
        while (end > n->start && (d->t->text.ptr[end - 1] == '\n' ||
                                  d->t->text.ptr[end - 1] == '\r' ||
                                  d->t->text.ptr[end - 1] == ' '))
            end--;
    return end;
}

static enum status replace_member(struct editor *d, uint32_t i)
{
    const struct yaml_node *n = node(d, i);
    size_t colon = 0, column = column_of(d, n->key_start);
    bool below = n->start != n->end &&
                 line_start(d, n->start) != line_start(d, n->key_start);
    enum status rc = after_colon(d, i, &colon);

    if (rc)
        return rc;
    if (below && !n->named && !render_is_inline(d->value)) {
        size_t from = line_start(d, n->start);

        column +=
            json_type(d->value) == JSON_OBJECT || !d->render.indentless ? 2 : 0;
        render_block(&d->render, d->value, column, false);
        splice(d, from, end_of_value(d, i));
        return OK;
    }
    render_value(&d->render, d->value, column);
    splice(d, colon, end_of_value(d, i));
    return OK;
}

static enum status replace_item(struct editor *d, uint32_t i)
{
    const struct yaml_node *n = node(d, i);

    if (n->start == n->end)
        text_add_char(&d->made, ' ');
    if (render_is_inline(d->value))
        render_scalar(&d->render, d->value);
    else
        render_block(&d->render, d->value, column_of(d, n->dash) + 2, true);
    splice(d, n->start == n->end ? n->start : n->dash + 2, end_of_value(d, i));
    return OK;
}

static enum status replace(struct editor *d, uint32_t i)
{
    uint32_t parent = node(d, i)->parent;

    if (!parent)
        return cannot(d, i, "the whole document cannot be replaced");
    if (in_flow(d, parent))
        return replace_in_flow(d, i);
    if (node(d, parent)->kind == YAML_MAPPING)
        return replace_member(d, i);
    return replace_item(d, i);
}

/* --- adding --- */

static void add_key(struct editor *d, slice key, bool quoted)
{
    if (!quoted) {
        render_key(&d->render, key);
        text_add_char(&d->made, ':');
        return;
    }
    text_add_char(&d->made, '"');
    text_add_json(&d->made, key);
    text_add(&d->made, SLICE("\": "));
}

/* Before the closing bracket of what is empty. */
static void into_empty(struct editor *d, uint32_t i, const char *key)
{
    size_t at = node(d, i)->end - 1;

    if (key)
        add_key(d, slice_str(key), true);
    render_flow(&d->render, d->value, 0, false);
    splice(d, at, at);
}

/* {} or [] becomes a block with one child. */
static enum status unfold(struct editor *d, uint32_t i, const char *key)
{
    const struct yaml_node *n = node(d, i);
    bool member = node(d, n->parent)->kind == YAML_MAPPING;
    size_t column, from = n->start;
    enum status rc = OK;

    if (!member) {
        into_empty(d, i, key);
        return OK;
    }
    rc = after_colon(d, i, &from);
    if (rc)
        return rc;
    column = column_of(d, n->key_start);
    column += key || !d->render.indentless ? 2 : 0;
    text_add(&d->made, slice_str(d->render.newline));
    render_spaces(&d->render, column);
    if (key) {
        add_key(d, slice_str(key), false);
        render_value(&d->render, d->value, column);
    } else {
        text_add(&d->made, SLICE("- "));
        if (render_is_inline(d->value))
            render_scalar(&d->render, d->value);
        else
            render_block(&d->render, d->value, column + 2, true);
    }
    splice(d, from, n->end);
    return OK;
}

/* After the last child: ", " or a line of its own. */
static void append_flow(struct editor *d, uint32_t i, const char *key)
{
    size_t at = node(d, node(d, i)->last)->end;
    bool spread = is_spread(d, i);
    size_t column = spread ? child_column(d, i) : 0;

    text_add_char(&d->made, ',');
    if (spread) {
        text_add(&d->made, slice_str(d->render.newline));
        render_spaces(&d->render, column);
    } else {
        text_add_char(&d->made, ' ');
    }
    if (key)
        add_key(d, slice_str(key), true);
    render_flow(&d->render, d->value, column, spread);
    splice(d, at, at);
}

static enum status add_to_empty(struct editor *d, uint32_t i, const char *key)
{
    if (may_unfold(d, i))
        return unfold(d, i, key);
    into_empty(d, i, key);
    return OK;
}

static enum status add_member(struct editor *d, uint32_t i, const char *key)
{
    size_t at, column;

    if (node(d, i)->count == 0)
        return add_to_empty(d, i, key);
    if (in_flow(d, i)) {
        append_flow(d, i, key);
        return OK;
    }
    at = after_lines(d, i);
    column = child_column(d, i);
    begin_lines(d, at);
    render_spaces(&d->render, column);
    add_key(d, slice_str(key), false);
    render_value(&d->render, d->value, column);
    end_line(d);
    splice(d, at, at);
    return OK;
}

static void add_dashed(struct editor *d, size_t at, size_t column)
{
    begin_lines(d, at);
    render_spaces(&d->render, column);
    text_add(&d->made, SLICE("- "));
    if (render_is_inline(d->value))
        render_scalar(&d->render, d->value);
    else
        render_block(&d->render, d->value, column + 2, true);
    end_line(d);
    splice(d, at, at);
}

static void insert_flow(struct editor *d, uint32_t before)
{
    const struct yaml_node *n = node(d, before);
    bool spread = is_spread(d, n->parent);
    size_t column = spread ? child_column(d, n->parent) : 0;

    render_flow(&d->render, d->value, column, spread);
    text_add_char(&d->made, ',');
    if (spread) {
        text_add(&d->made, slice_str(d->render.newline));
        render_spaces(&d->render, column);
    } else {
        text_add_char(&d->made, ' ');
    }
    splice(d, n->start, n->start);
}

/* `before` YAML_NOWHERE: at the end. */
static enum status add_item(struct editor *d, uint32_t i, uint32_t before)
{
    const struct yaml_node *n = node(d, i);

    if (n->count == 0)
        return add_to_empty(d, i, NULL);
    if (n->flow && before)
        insert_flow(d, before);
    else if (n->flow)
        append_flow(d, i, NULL);
    else if (!first_on_line(d, node(d, n->first)->dash))
        return cannot(d, i, "a list written like this cannot be edited");
    else if (before)
        add_dashed(d, above_comments(d, line_start(d, node(d, before)->dash)),
                   child_column(d, i));
    else
        add_dashed(d, after_lines(d, i), child_column(d, i));
    return OK;
}

/* --- removing --- */

static uint32_t before_of(const struct editor *d, uint32_t i)
{
    uint32_t k = node(d, node(d, i)->parent)->first, last = YAML_NOWHERE;

    for (; k != i; k = node(d, k)->next)
        last = k;
    return last;
}

static size_t start_of(const struct editor *d, uint32_t i)
{
    const struct yaml_node *n = node(d, i), *p = node(d, n->parent);

    if (p->kind == YAML_MAPPING)
        return n->key_start;
    return p->flow ? n->start : n->dash;
}

static enum status remove_only(struct editor *d, uint32_t i)
{
    const struct json_limits limits = {16, 4};
    uint32_t parent = node(d, i)->parent;
    bool mapping = node(d, parent)->kind == YAML_MAPPING;
    struct json_doc *doc = NULL;
    enum status rc = json_parse(mapping ? SLICE("{}") : SLICE("[]"), &limits,
                                &doc, d->e);

    if (rc)
        return rc;
    d->value = json_root(doc);
    rc = replace(d, parent);
    json_free(doc);
    return rc;
}

static enum status remove_node(struct editor *d, uint32_t i)
{
    const struct yaml_node *n = node(d, i);
    size_t start = start_of(d, i);

    if (!n->parent || node(d, n->parent)->count == 1)
        return n->parent ? remove_only(d, i)
                         : cannot(d, i, "the whole document cannot be removed");
    if (in_flow(d, n->parent) && !n->next)
        splice(d, node(d, before_of(d, i))->end, n->end);
    else if (in_flow(d, n->parent))
        splice(d, start, start_of(d, n->next));
    else if (first_on_line(d, start))
        splice(d, line_start(d, start), after_lines(d, i));
    else if (n->next)
        splice(d, start, start_of(d, n->next));
    else
        return cannot(d, i, "what is written like this cannot be removed");
    return OK;
}

/* --- a change --- */

/* The next part of a pointer, without its escapes. */
static bool pointer_part(slice *path, char buf[PART_MAX])
{
    size_t n = 0, i = 1;

    if (path->len == 0 || path->ptr[0] != '/')
        return false;
    for (; i < path->len && path->ptr[i] != '/'; i++) {
        char c = path->ptr[i];

        if (c == '~' && i + 1 < path->len)
            c = path->ptr[++i] == '0' ? '~' : '/';
        if (n + 1 == PART_MAX)
            return false;
        buf[n++] = c;
    }
    buf[n] = '\0';
    *path = slice_sub(*path, i, path->len);
    return true;
}

static uint32_t child(const struct editor *d, uint32_t i, const char *part)
{
    uint64_t n;

    if (node(d, i)->kind == YAML_MAPPING)
        return yaml_member(d->t, i, slice_str(part));
    if (node(d, i)->kind != YAML_SEQUENCE ||
        slice_to_u64(slice_str(part), UINT32_MAX, &n))
        return YAML_NOWHERE;
    for (i = node(d, i)->first; i && n > 0; n--)
        i = node(d, i)->next;
    return i;
}

static enum status no_such_place(struct editor *d)
{
    return error_set(d->e, ERR_INVALID,
                     "%.*s: %.*s: written in a way that cannot be edited",
                     FMT(d->t->source), FMT(d->change->path));
}

static bool is_end(const struct editor *d, uint32_t list, const char *part)
{
    uint64_t n;

    return slice_eq(slice_str(part), SLICE("-")) ||
           (!slice_to_u64(slice_str(part), UINT32_MAX, &n) &&
            n == node(d, list)->count);
}

/* "? key": the key is not where its mapping begins. */
static bool has_odd_keys(const struct editor *d, uint32_t mapping)
{
    uint32_t first = node(d, mapping)->first;
    size_t at = node(d, first)->key_start;

    if (node(d, mapping)->flow || !first)
        return false;
    while (at > 0 && d->t->text.ptr[at - 1] == ' ')
        at--;
    return at > 0 && d->t->text.ptr[at - 1] == '?';
}

static enum status act(struct editor *d, uint32_t parent, const char *part)
{
    uint32_t i = child(d, parent, part);
    bool list = node(d, parent)->kind == YAML_SEQUENCE;

    if (!list && has_odd_keys(d, parent))
        return cannot(d, parent, "a key written like this cannot be edited");
    if (i && node(d, i)->named && (!list || d->change->kind != YAML_ADD))
        return cannot(d, i, "what has an anchor or a tag cannot be edited");
    switch (d->change->kind) {
    case YAML_REMOVE:
        return i ? remove_node(d, i) : no_such_place(d);
    case YAML_REPLACE:
        return i ? replace(d, i) : no_such_place(d);
    case YAML_ADD:
        break;
    }
    if (list && !i && !is_end(d, parent, part))
        return no_such_place(d);
    if (list)
        return add_item(d, parent, i);
    return i ? replace(d, i) : add_member(d, parent, part);
}

static enum status walk(struct editor *d)
{
    slice path = d->change->path;
    uint32_t at = d->t->root;
    char part[PART_MAX];

    while (pointer_part(&path, part)) {
        const struct yaml_node *n = node(d, at);

        if (n->kind == YAML_ALIAS)
            return cannot(d, at,
                          "an alias (*) stands where something is to be "
                          "added: write it out");
        if (n->kind == YAML_SCALAR)
            return no_such_place(d);
        if (path.len == 0)
            return act(d, at, part);
        at = child(d, at, part);
        if (!at)
            return no_such_place(d);
    }
    return no_such_place(d);
}

static enum status change(struct editor *d, const struct yaml_change *c)
{
    const struct json_limits limits = {INSERT_MAX, YAML_VALUES_MAX};
    struct json_doc *doc = NULL;
    enum status rc = OK;

    d->change = c;
    d->value = (struct json){0};
    if (c->kind != YAML_REMOVE)
        rc = json_parse(c->value, &limits, &doc, d->e);
    if (!rc && doc)
        d->value = json_root(doc);
    if (!rc)
        rc = walk(d);
    if (!rc && d->too_large)
        rc = error_set(d->e, ERR_TOO_BIG, "%.*s: too large", FMT(d->t->source));
    json_free(doc);
    return rc;
}

/* --- all of them --- */

static int by_offset(const void *a, const void *b)
{
    const struct splice *x = a, *y = b;

    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

static enum status put_together(struct editor *d, struct text *out)
{
    slice text = d->t->text;
    size_t at = 0;

    if (d->splices.len)
        qsort(d->splices.at, d->splices.len, sizeof *d->splices.at, by_offset);
    for (size_t i = 0; i < d->splices.len; i++) {
        const struct splice *s = &d->splices.at[i];

        if (s->at < at)
            return error_set(d->e, ERR_INVALID, "%.*s: changes that overlap",
                             FMT(d->t->source));
        text_add(out, slice_sub(text, at, s->at));
        text_add(out, slice_of(s->text, s->len));
        at = s->at + s->del;
    }
    text_add(out, slice_sub(text, at, text.len));
    return out->failed ? error_set(d->e, ERR_TOO_BIG, "%.*s: too large",
                                   FMT(d->t->source))
                       : OK;
}

static const char *newline_of(slice text)
{
    ptrdiff_t at = slice_find(text, '\n');

    return at > 0 && text.ptr[at - 1] == '\r' ? "\r\n" : "\n";
}

/* As the document's own lists are, or else as kubectl writes them. */
static bool is_indentless(const struct editor *d)
{
    for (uint32_t i = 1; i < d->t->nodes.len; i++) {
        const struct yaml_node *n = node(d, i);

        if (n->kind == YAML_SEQUENCE && !n->flow && n->count && n->parent &&
            node(d, n->parent)->kind == YAML_MAPPING)
            return child_column(d, i) == column_of(d, n->key_start);
    }
    return true;
}

enum status yaml_edit(const struct yaml_tree *t,
                      const struct yaml_change *changes, size_t n,
                      struct text *out, struct error *e)
{
    struct editor d = {.t = t, .e = e};
    enum status rc = OK;

    text_init(&d.made, INSERT_MAX);
    d.render = (struct render){.out = &d.made, .newline = newline_of(t->text)};
    d.render.indentless = is_indentless(&d);
    for (size_t i = 0; i < n && !rc; i++)
        rc = change(&d, &changes[i]);
    if (!rc)
        rc = put_together(&d, out);
    for (size_t i = 0; i < d.splices.len; i++)
        mem_free(d.splices.at[i].text);
    VEC_FINI(&d.splices);
    text_fini(&d.made);
    return rc;
}
