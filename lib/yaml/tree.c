/* SPDX-License-Identifier: Apache-2.0 */
/* libyaml's events give the nodes. Three things they do not say are found out
 * here: bytes (libyaml counts characters), where the '-' of an item is (a second
 * look at the tokens: each item of a block sequence takes the next one), and
 * where a block collection really ends (libyaml says: where the next thing
 * begins): with its last child. */
#include "lib/yaml/tree.h"

#include "lib/base/map.h"
#include "lib/yaml/events.h"

/* --- characters to bytes --- */

/* Marks rise but for little: found from the last one. */
struct cursor {
    slice text;
    size_t chars, bytes;
};

static bool continues(slice text, size_t at)
{
    return at < text.len && ((unsigned char)text.ptr[at] & 0xc0) == 0x80;
}

static void cursor_init(struct cursor *c, slice text)
{
    /* A byte order mark is not among the characters that are counted. */
    size_t bom = slice_starts(text, SLICE("\xef\xbb\xbf")) ? 3 : 0;

    *c = (struct cursor){text, 0, bom};
}

static size_t to_bytes(struct cursor *c, size_t chars)
{
    while (c->chars < chars && c->bytes < c->text.len) {
        c->bytes++;
        while (continues(c->text, c->bytes))
            c->bytes++;
        c->chars++;
    }
    while (c->chars > chars && c->bytes > 0) {
        c->bytes--;
        while (c->bytes > 0 && continues(c->text, c->bytes))
            c->bytes--;
        c->chars--;
    }
    return c->bytes;
}

/* --- documents --- */

struct splitter {
    struct cursor cursor;
    struct yaml_parts *parts;
    slice text, source;
    size_t documents;
    struct error *e;
};

static unsigned lines_in(slice text)
{
    unsigned n = 0;

    for (size_t i = 0; i < text.len; i++)
        n += text.ptr[i] == '\n';
    return n;
}

/* Ends the part that is open, at `at`. */
static void cut(struct splitter *s, size_t at)
{
    struct yaml_part part = {.line = 1};
    size_t from = 0;

    if (s->parts->len) {
        const struct yaml_part *last = &s->parts->at[s->parts->len - 1];

        from = (size_t)(last->text.ptr - s->text.ptr) + last->text.len;
        part.line = last->line + lines_in(last->text);
    }
    part.text = slice_sub(s->text, from, at);
    VEC_PUSH(s->parts, part);
}

static enum status on_split(void *arg, const yaml_event_t *ev)
{
    struct splitter *s = arg;

    if (ev->type != YAML_DOCUMENT_START_EVENT)
        return OK;
    if (s->documents == YAML_DOCUMENTS_MAX)
        return error_set(s->e, ERR_TOO_BIG, "%.*s:%zu: too many documents",
                         FMT(s->source), ev->start_mark.line + 1);
    if (s->documents++)
        cut(s, to_bytes(&s->cursor, ev->start_mark.index));
    return OK;
}

enum status yaml_split(slice text, slice source, struct yaml_parts *out,
                       struct error *e)
{
    struct splitter s = {.parts = out, .text = text, .source = source, .e = e};
    enum status rc;

    *out = (struct yaml_parts){0};
    cursor_init(&s.cursor, text);
    rc = yaml_events_read(text, source, YAML_BYTES_MAX, on_split, &s, e);
    if (rc)
        yaml_parts_fini(out);
    else
        cut(&s, text.len);
    return rc;
}

void yaml_parts_fini(struct yaml_parts *parts)
{
    VEC_FINI(parts);
}

/* --- nodes --- */

struct growing {
    struct yaml_tree *tree;
    struct cursor cursor;
    struct map anchors; /* name -> node number */
    VEC(size_t) dashes;
    size_t dash; /* the next one */
    unsigned line;
    uint32_t open; /* the innermost collection */
    unsigned depth;
    bool key_next;
    struct yaml_node member; /* its key was read */
    struct error *e;
};

static struct yaml_node *node(struct growing *g, uint32_t i)
{
    return &g->tree->nodes.at[i];
}

static enum status refuse(struct growing *g, enum status rc, yaml_mark_t at,
                          const char *why)
{
    return error_set(g->e, rc, "%.*s:%zu:%zu: %s", FMT(g->tree->source),
                     g->line + at.line, at.column + 1, why);
}

static enum status keep(struct growing *g, const yaml_event_t *ev, slice s,
                        slice *out)
{
    if (arena_copy(&g->tree->arena, s, out))
        return refuse(g, ERR_TOO_BIG, ev->start_mark, "too much text");
    return OK;
}

/* Hangs a new node below the open one. */
static enum status grow(struct growing *g, const yaml_event_t *ev,
                        const struct yaml_node *made, uint32_t *out)
{
    uint32_t i = (uint32_t)g->tree->nodes.len;
    struct yaml_node n = *made;

    if (i > YAML_TREE_VALUES_MAX)
        return refuse(g, ERR_TOO_BIG, ev->start_mark, "too many values");
    n.line = g->line + (unsigned)ev->start_mark.line;
    n.parent = g->open;
    if (g->open && node(g, g->open)->kind == YAML_MAPPING) {
        n.key = g->member.key;
        n.key_start = g->member.key_start;
        n.key_end = g->member.key_end;
        n.key_line = g->member.key_line;
        n.key_plain = g->member.key_plain;
    }
    if (g->open && node(g, g->open)->kind == YAML_SEQUENCE &&
        !node(g, g->open)->flow && g->dash < g->dashes.len)
        n.dash = g->dashes.at[g->dash++];
    VEC_PUSH(&g->tree->nodes, n);
    if (!g->open) {
        g->tree->root = i;
    } else {
        struct yaml_node *p = node(g, g->open);

        *(p->last ? &node(g, p->last)->next : &p->first) = i;
        p->last = i;
        p->count++;
    }
    *out = i;
    return OK;
}

static enum status name_it(struct growing *g, const yaml_event_t *ev,
                           const yaml_char_t *anchor, uint32_t i)
{
    (void)ev;
    if (anchor)
        map_put(&g->anchors, slice_str((const char *)anchor),
                (void *)(uintptr_t)i);
    return OK;
}

static void value_done(struct growing *g)
{
    g->key_next = g->open && node(g, g->open)->kind == YAML_MAPPING;
}

static enum status on_key(struct growing *g, const yaml_event_t *ev)
{
    if (ev->type != YAML_SCALAR_EVENT)
        return refuse(g, ERR_INVALID, ev->start_mark,
                      "a key that is not a scalar");
    g->key_next = false;
    g->member = (struct yaml_node){
        .key_start = to_bytes(&g->cursor, ev->start_mark.index),
        .key_end = to_bytes(&g->cursor, ev->end_mark.index),
        .key_line = g->line + (unsigned)ev->start_mark.line,
        .key_plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE,
    };
    return keep(g, ev, slice_of(ev->data.scalar.value, ev->data.scalar.length),
                &g->member.key);
}

static void read_tag(struct yaml_node *n, const yaml_char_t *tag,
                     const char *usual)
{
    slice t = slice_str((const char *)tag);

    if (slice_empty(t))
        return;
    n->named = true;
    n->string = n->kind == YAML_SCALAR &&
                (slice_eq(t, SLICE(YAML_STR_TAG)) || slice_eq(t, SLICE("!")));
    n->odd_tag = !n->string && !slice_eq(t, slice_str(usual));
}

static enum status on_scalar(struct growing *g, const yaml_event_t *ev)
{
    yaml_scalar_style_t style = ev->data.scalar.style;
    struct yaml_node n = {
        .kind = YAML_SCALAR,
        .plain = style == YAML_PLAIN_SCALAR_STYLE,
        .block = style == YAML_LITERAL_SCALAR_STYLE ||
                 style == YAML_FOLDED_SCALAR_STYLE,
        .named = ev->data.scalar.anchor != NULL,
        .start = to_bytes(&g->cursor, ev->start_mark.index),
        .end = to_bytes(&g->cursor, ev->end_mark.index),
        .closed = true,
    };
    uint32_t i = 0;
    enum status rc;

    read_tag(&n, ev->data.scalar.tag, YAML_STR_TAG);
    rc = keep(g, ev, slice_of(ev->data.scalar.value, ev->data.scalar.length),
              &n.text);
    if (!rc)
        rc = grow(g, ev, &n, &i);
    if (!rc)
        rc = name_it(g, ev, ev->data.scalar.anchor, i);
    value_done(g);
    return rc;
}

static enum status on_alias(struct growing *g, const yaml_event_t *ev)
{
    void *target = map_get(&g->anchors,
                           slice_str((const char *)ev->data.alias.anchor));
    struct yaml_node n = {
        .kind = YAML_ALIAS,
        .target = (uint32_t)(uintptr_t)target,
        .start = to_bytes(&g->cursor, ev->start_mark.index),
        .end = to_bytes(&g->cursor, ev->end_mark.index),
        .closed = true,
    };
    uint32_t i = 0;
    enum status rc;

    if (!target)
        return refuse(g, ERR_INVALID, ev->start_mark,
                      "an alias of what is not there");
    if (!node(g, n.target)->closed)
        return refuse(g, ERR_INVALID, ev->start_mark,
                      "an alias inside of what it stands for");
    rc = grow(g, ev, &n, &i);
    value_done(g);
    return rc;
}

static enum status on_open(struct growing *g, const yaml_event_t *ev,
                           const struct yaml_node *made,
                           const yaml_char_t *anchor)
{
    struct yaml_node n = *made;
    uint32_t i = 0;
    enum status rc;

    if (g->depth == JSON_DEPTH_MAX)
        return refuse(g, ERR_TOO_BIG, ev->start_mark,
                      "more than 64 levels deep");
    n.start = to_bytes(&g->cursor, ev->start_mark.index);
    n.end = n.start;
    rc = grow(g, ev, &n, &i);
    if (!rc)
        rc = name_it(g, ev, anchor, i);
    g->depth++;
    g->open = i;
    value_done(g);
    return rc;
}

static enum status on_mapping(struct growing *g, const yaml_event_t *ev)
{
    struct yaml_node n = {
        .kind = YAML_MAPPING,
        .flow = ev->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE,
        .named = ev->data.mapping_start.anchor != NULL,
    };

    read_tag(&n, ev->data.mapping_start.tag, YAML_MAP_TAG);
    return on_open(g, ev, &n, ev->data.mapping_start.anchor);
}

static enum status on_sequence(struct growing *g, const yaml_event_t *ev)
{
    struct yaml_node n = {
        .kind = YAML_SEQUENCE,
        .flow = ev->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE,
        .named = ev->data.sequence_start.anchor != NULL,
    };

    read_tag(&n, ev->data.sequence_start.tag, YAML_SEQ_TAG);
    return on_open(g, ev, &n, ev->data.sequence_start.anchor);
}

static enum status on_close(struct growing *g, const yaml_event_t *ev)
{
    struct yaml_node *n = node(g, g->open);

    n->end = n->flow   ? to_bytes(&g->cursor, ev->end_mark.index)
             : n->last ? node(g, n->last)->end
                       : n->start;
    n->closed = true;
    g->open = n->parent;
    g->depth--;
    value_done(g);
    return OK;
}

static enum status on_event(void *arg, const yaml_event_t *ev)
{
    struct growing *g = arg;
    bool starts = ev->type == YAML_SCALAR_EVENT ||
                  ev->type == YAML_ALIAS_EVENT ||
                  ev->type == YAML_MAPPING_START_EVENT ||
                  ev->type == YAML_SEQUENCE_START_EVENT;

    if (starts && g->key_next)
        return on_key(g, ev);
    switch (ev->type) {
    case YAML_SCALAR_EVENT:
        return on_scalar(g, ev);
    case YAML_ALIAS_EVENT:
        return on_alias(g, ev);
    case YAML_MAPPING_START_EVENT:
        return on_mapping(g, ev);
    case YAML_SEQUENCE_START_EVENT:
        return on_sequence(g, ev);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        return on_close(g, ev);
    default:
        return OK;
    }
}

/* --- dashes --- */

static enum status find_dashes(struct growing *g, const struct yaml_part *part)
{
    struct cursor cursor;
    yaml_parser_t p;
    yaml_token_type_t type = YAML_NO_TOKEN;
    enum status rc = OK;

    cursor_init(&cursor, part->text);
    if (!yaml_parser_initialize(&p))
        return error_set(g->e, ERR_RESOURCES, "no memory");
    (void)yaml_events_input(&p, part->text);
    while (type != YAML_STREAM_END_TOKEN && !rc) {
        yaml_token_t token;

        if (!yaml_parser_scan(&p, &token)) {
            rc = yaml_events_refuse(g->tree->source, &p, g->e);
            break;
        }
        type = token.type;
        if (type == YAML_BLOCK_ENTRY_TOKEN)
            VEC_PUSH(&g->dashes, to_bytes(&cursor, token.start_mark.index));
        yaml_token_delete(&token);
    }
    yaml_parser_delete(&p);
    return rc;
}

enum status yaml_tree_read(const struct yaml_part *part, slice source,
                           struct yaml_tree **out, struct error *e)
{
    struct yaml_tree *t = MEM_NEW(struct yaml_tree);
    struct growing g = {.tree = t, .line = part->line, .e = e};
    enum status rc;

    t->text = part->text;
    t->source = source;
    arena_init(&t->arena, 4 * (size_t)YAML_TREE_BYTES_MAX);
    VEC_PUSH(&t->nodes, (struct yaml_node){0});
    map_init(&g.anchors);
    cursor_init(&g.cursor, part->text);
    rc = find_dashes(&g, part);
    if (!rc)
        rc = yaml_events_read(part->text, source, YAML_TREE_BYTES_MAX, on_event,
                              &g, e);
    map_fini(&g.anchors);
    VEC_FINI(&g.dashes);
    if (rc) {
        yaml_tree_free(t);
        return rc;
    }
    *out = t;
    return OK;
}

void yaml_tree_free(struct yaml_tree *t)
{
    if (!t)
        return;
    VEC_FINI(&t->nodes);
    arena_reset(&t->arena);
    mem_free(t);
}

uint32_t yaml_member(const struct yaml_tree *t, uint32_t mapping, slice name)
{
    uint32_t i = yaml_node(t, mapping)->first;

    if (yaml_node(t, mapping)->kind != YAML_MAPPING)
        return YAML_NOWHERE;
    while (i && !slice_eq(yaml_node(t, i)->key, name))
        i = yaml_node(t, i)->next;
    return i;
}
