/* SPDX-License-Identifier: Apache-2.0 */
/* Found by id (kind, client, key) and by the topics that it depends on. */
#include "controller/subscribe/feed.h"

#include "lib/base/log.h"
#include "lib/mesh/wire.h"

static struct log_area area = LOG_AREA("feed");
static struct log log_ = {&area, 0};

typedef VEC(struct feed *) feed_list;

struct feeds {
    const struct registry *registry;
    const struct resolve_settings *settings;
    feed_changed_fn *changed;
    void *arg;
    struct map by_id;    /* id -> feed */
    struct map by_topic; /* topic -> feed_list */
};

struct feeds *feeds_new(const struct registry *r,
                        const struct resolve_settings *settings,
                        feed_changed_fn *changed, void *arg)
{
    struct feeds *fs = MEM_NEW(struct feeds);

    fs->registry = r;
    fs->settings = settings;
    fs->changed = changed;
    fs->arg = arg;
    map_init(&fs->by_id);
    map_init(&fs->by_topic);
    return fs;
}

void feeds_free(struct feeds *fs)
{
    if (!fs)
        return;
    map_fini(&fs->by_id);
    map_fini(&fs->by_topic);
    mem_free(fs);
}

const struct resolve_settings *feeds_settings(const struct feeds *fs)
{
    return fs->settings;
}

size_t feeds_count(const struct feeds *fs)
{
    return fs->by_id.len;
}

/* --- index by topic --- */

static void index_add(struct feeds *fs, slice topic, struct feed *f)
{
    feed_list *l = map_get(&fs->by_topic, topic);

    if (!l) {
        l = MEM_NEW(feed_list);
        (void)map_put(&fs->by_topic, topic, l);
    }
    VEC_PUSH(l, f);
}

static void index_drop(struct feeds *fs, slice topic, const struct feed *f)
{
    feed_list *l = map_get(&fs->by_topic, topic);

    for (size_t i = 0; l && i < l->len; i++)
        if (l->at[i] == f) {
            l->at[i] = l->at[--l->len];
            break;
        }
    if (l && l->len == 0) {
        (void)map_del(&fs->by_topic, topic);
        VEC_FINI(l);
        mem_free(l);
    }
}

static void index_feed(struct feed *f, bool add)
{
    struct topics t;
    unsigned n = resolve_topics(f->kind, &f->client, f->key, &t);

    for (unsigned i = 0; i < n; i++) {
        if (add)
            index_add(f->all, t.at[i], f);
        else
            index_drop(f->all, t.at[i], f);
    }
}

/* --- content --- */

static void forget_lines(struct feed *f)
{
    mem_free(f->snapshot);
    mem_free(f->delta);
    f->snapshot = f->delta = NULL;
    f->snapshot_len = f->delta_len = 0;
    f->delta_made = false;
}

static bool hash_view(struct view *v)
{
    struct text content;
    bool ok;

    text_init(&content, VIEW_BYTES_MAX);
    view_encode(v, &content);
    ok = !content.failed;
    text_fini(&content);
    return ok;
}

/* Computes. ERR_TOO_BIG leaves what holds: the last good state. */
static enum status compute(const struct feed *f, struct view **out,
                           struct error *e)
{
    const struct feeds *fs = f->all;
    struct view *v = NULL;
    enum status rc;

    rc = resolve(fs->registry, fs->settings, f->kind, &f->client, f->key, &v,
                 e);
    if (!rc && !hash_view(v)) {
        view_unref(v);
        rc = error_set(e, ERR_TOO_BIG, "%s '%.*s' is larger than a view may be",
                       view_kind_name(f->kind), FMT(f->key));
    }
    if (!rc)
        *out = v;
    return rc;
}

static bool same_view(const struct view *a, const struct view *b)
{
    if (!a || !b)
        return a == b;
    return memcmp(a->hash, b->hash, sizeof a->hash) == 0;
}

/* True when the view is another than before. */
static bool update(struct feed *f)
{
    struct view *now = NULL;
    struct error e;
    enum status rc = compute(f, &now, &e);

    if (rc == ERR_TOO_BIG) {
        log_error(&log_, "view not computed, the last one holds",
                  "why=" LOG_QUOTED, FMT(slice_str(e.text)));
        return false;
    }
    if (same_view(f->view, now)) {
        view_unref(now);
        return false;
    }
    view_unref(f->before);
    f->before = f->view;
    f->view = now;
    forget_lines(f);
    return true;
}

/* --- life --- */

/* A backend is the same for everybody; a destination may have routes of the
 * client's namespace; a workload is one pod's. */
static void make_id(struct text *id, enum view_kind kind,
                    const struct client *c, slice key)
{
    text_printf(id, "%s %.*s", view_kind_name(kind), FMT(key));
    if (kind != VIEW_BACKEND)
        text_printf(id, " %.*s", FMT(c->ns));
    if (kind == VIEW_WORKLOAD)
        text_printf(id, " %.*s %.*s %.*s", FMT(c->pod), FMT(c->uid),
                    FMT(c->service_account));
}

static slice place(char **at, slice text)
{
    slice out = slice_of(*at, text.len);

    if (text.len)
        memcpy(*at, text.ptr, text.len);
    *at += text.len;
    return out;
}

static struct feed *feed_new(struct feeds *fs, enum view_kind kind,
                             const struct client *c, slice key, slice id)
{
    struct feed *f = MEM_NEW(struct feed);
    char *at;

    f->all = fs;
    f->kind = kind;
    f->refs = 1;
    list_init(&f->subscribers);
    at = f->names = mem_alloc(key.len + id.len + c->ns.len + c->pod.len +
                              c->uid.len + c->service_account.len);
    f->key = place(&at, key);
    f->id = place(&at, id);
    f->client.ns = place(&at, c->ns);
    f->client.pod = place(&at, c->pod);
    f->client.uid = place(&at, c->uid);
    f->client.service_account = place(&at, c->service_account);
    return f;
}

static void feed_free(struct feed *f)
{
    view_unref(f->view);
    view_unref(f->before);
    forget_lines(f);
    mem_free(f->names);
    mem_free(f);
}

enum status feeds_take(struct feeds *fs, enum view_kind kind,
                       const struct client *c, slice key, struct feed **out,
                       struct error *e)
{
    struct text id;
    struct feed *f;
    enum status rc = OK;

    if (key.len > WIRE_KEY_MAX)
        return error_set(e, ERR_INVALID, "a key of %zu bytes", key.len);
    text_init(&id, 8192);
    make_id(&id, kind, c, key);
    f = map_get(&fs->by_id, text_slice(&id));
    if (f) {
        f->refs++;
        *out = f;
        goto out;
    }
    f = feed_new(fs, kind, c, key, text_slice(&id));
    rc = compute(f, &f->view, e);
    if (rc == ERR_TOO_BIG)
        log_error(&log_, "view not computed", "why=" LOG_QUOTED,
                  FMT(slice_str(e->text)));
    if (rc == ERR_INVALID) {
        feed_free(f);
        goto out;
    }
    rc = OK; /* nothing there yet, or too much of it: it may change */
    (void)map_put(&fs->by_id, f->id, f);
    index_feed(f, true);
    *out = f;
out:
    text_fini(&id);
    return rc;
}

void feed_drop(struct feed *f)
{
    if (--f->refs)
        return;
    index_feed(f, false);
    (void)map_del(&f->all->by_id, f->id);
    feed_free(f);
}

/* --- changes --- */

void feeds_refresh(struct feeds *fs, const struct dirty *d)
{
    feed_list stale = {0};
    slice topic;

    for (size_t i = 0; dirty_next(d, &i, &topic);) {
        feed_list *l = map_get(&fs->by_topic, topic);

        for (size_t n = 0; l && n < l->len; n++) {
            if (!l->at[n]->stale)
                VEC_PUSH(&stale, l->at[n]);
            l->at[n]->stale = true;
        }
    }
    for (size_t i = 0; i < stale.len; i++) {
        stale.at[i]->stale = false;
        if (update(stale.at[i]))
            fs->changed(fs->arg, stale.at[i]);
    }
    VEC_FINI(&stale);
}

/* --- lines --- */

static char *encode(const struct msg *m, size_t *len)
{
    struct text line;
    char *out;

    text_init(&line, WIRE_LINE_MAX);
    msg_encode(m, &line);
    if (line.failed) { /* cannot be: the view fitted with room to spare */
        text_fini(&line);
        return NULL;
    }
    out = text_take(&line, len);
    text_fini(&line);
    return out;
}

slice feed_snapshot(struct feed *f)
{
    struct msg m = {.type = MSG_VIEW, .kind = f->kind, .view = f->view};

    if (!f->snapshot)
        f->snapshot = encode(&m, &f->snapshot_len);
    return slice_of(f->snapshot, f->snapshot_len);
}

static void make_delta(struct feed *f)
{
    struct msg m = {.type = MSG_DELTA, .kind = f->kind, .key = f->key};

    arena_init(&m.arena, 2 * (size_t)VIEW_BYTES_MAX);
    if (delta_make(f->before, f->view, &m.arena, &m.delta))
        f->delta = encode(&m, &f->delta_len);
    arena_reset(&m.arena);
}

slice feed_delta(struct feed *f, slice base)
{
    if (f->kind != VIEW_BACKEND || !f->before || !f->view ||
        !slice_eq(base, slice_str(f->before->hash)))
        return SLICE_NONE;
    if (!f->delta_made)
        make_delta(f);
    f->delta_made = true;
    return slice_of(f->delta, f->delta_len);
}
