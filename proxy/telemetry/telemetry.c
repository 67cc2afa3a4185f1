/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's numbers and its table of rows. A row is looked up once per
 * connection or request and then held by reference; a row that nobody holds
 * stays for ten minutes, so that a client's next connection finds its numbers
 * where they were. When the table is full, one row "other" for each direction
 * (and with and without mTLS) takes the rest. */
#include "proxy/telemetry/telemetry.h"

#include <assert.h>

#include "lib/base/clock.h"
#include "proxy/telemetry/parts.h"

enum { STDOUT = 1 };

_Static_assert((int)LIMIT_LINK_DEAD == (int)HTTP_LIMIT_SILENCE,
               "limits.def begins as enum http_limit does");

static void drop(struct telemetry *t, struct traffic *tr)
{
    map_del(&t->rows, tr->key);
    traffic_free(tr);
}

static void sweep(struct telemetry *t, int64_t now)
{
    size_t i = 0;
    slice key;
    void *value;

    pthread_mutex_lock(&t->lock);
    while (map_next(&t->rows, &i, &key, &value)) {
        struct traffic *tr = value;

        if (!tr->refs && now - tr->idle_since >= ROW_IDLE)
            drop(t, tr);
    }
    pthread_mutex_unlock(&t->lock);
}

static void on_sweep(struct timer *timer)
{
    struct telemetry *t = CONTAINER_OF(timer, struct telemetry, sweep);
    int64_t now = loop_now(t->loop);

    sweep(t, now);
    timer_set(&t->loop->timers, timer, now + SWEEP_EVERY);
}

struct telemetry *telemetry_new(struct loop *l, bool access_log)
{
    struct telemetry *t = MEM_NEW(struct telemetry);

    t->loop = l;
    pthread_mutex_init(&t->lock, NULL);
    map_init(&t->rows);
    tallies_init(t);
    if (access_log)
        t->log = access_log_new(l, STDOUT);
    timer_init(&t->sweep, on_sweep);
    timer_set(&l->timers, &t->sweep, loop_now(l) + SWEEP_EVERY);
    return t;
}

void telemetry_free(struct telemetry *t)
{
    size_t i = 0;
    slice key;
    void *value;

    if (!t)
        return;
    timer_stop(&t->loop->timers, &t->sweep);
    access_log_free(t->log);
    while (map_next(&t->rows, &i, &key, &value)) {
        struct traffic *tr = value;

        assert(!tr->refs);
        drop(t, tr);
    }
    map_fini(&t->rows);
    tallies_fini(t);
    pthread_mutex_destroy(&t->lock);
    mem_free(t);
}

size_t put_name(char *dst, slice s, size_t max)
{
    size_t len = s.len < max ? s.len : max;

    for (size_t i = 0; i < len; i++)
        dst[i] = s.ptr[i] < ' ' || s.ptr[i] > '~' ? '?' : s.ptr[i];
    return len;
}

/* A row's key sorts as people read it: outbound or inbound, service, peer,
 * secured. */
struct row_key {
    char text[ROW_KEY_MAX];
    size_t service_len, peer_len, len;
};

static void make_key(struct row_key *k, bool inbound, slice service, slice peer,
                     bool secured)
{
    char *at = k->text;

    *at++ = inbound ? 'i' : 'o';
    k->service_len = put_name(at, service, SERVICE_MAX);
    at += k->service_len;
    *at++ = 0;
    k->peer_len = put_name(at, peer, PEER_MAX);
    at += k->peer_len;
    *at++ = 0;
    *at++ = secured ? 's' : 'p';
    k->len = (size_t)(at - k->text);
}

static struct traffic *row_new(struct telemetry *t, const struct row_key *k,
                               bool inbound, bool secured)
{
    struct traffic *tr = mem_zalloc(sizeof *tr + k->len);
    size_t peer_at = 1 + k->service_len + 1;

    memcpy(tr->text, k->text, k->len);
    tr->t = t;
    tr->inbound = inbound;
    tr->secured = secured;
    tr->key = slice_of(tr->text, k->len);
    tr->service = slice_sub(tr->key, 1, 1 + k->service_len);
    tr->peer = slice_sub(tr->key, peer_at, peer_at + k->peer_len);
    pthread_mutex_lock(&t->lock);
    map_put(&t->rows, tr->key, tr);
    pthread_mutex_unlock(&t->lock);
    return tr;
}

struct traffic *traffic_get(struct telemetry *t, bool inbound, slice service,
                            slice peer, bool secured)
{
    struct row_key k;
    struct traffic *tr;

    make_key(&k, inbound, service, peer, secured);
    tr = map_get(&t->rows, slice_of(k.text, k.len));
    if (!tr && t->rows.len >= ROWS_MAX) {
        make_key(&k, inbound, SLICE("other"), SLICE_NONE, secured);
        tr = map_get(&t->rows, slice_of(k.text, k.len));
    }
    if (!tr)
        tr = row_new(t, &k, inbound, secured);
    return traffic_ref(tr);
}

struct traffic *traffic_ref(struct traffic *tr)
{
    tr->refs++;
    return tr;
}

void traffic_unref(struct traffic *tr)
{
    if (!tr)
        return;
    assert(tr->refs);
    if (--tr->refs == 0)
        tr->idle_since = loop_now(tr->t->loop);
}

void telemetry_count(struct telemetry *t, enum counter c)
{
    count_add(&t->counters[c], 1);
}

void telemetry_gauge(struct telemetry *t, enum gauge g, int64_t value)
{
    atomic_store_explicit(&t->gauges[g], value, memory_order_relaxed);
}

void telemetry_fault(struct telemetry *t, bool inbound, enum fault f)
{
    count_add(&t->faults[inbound][f], 1);
}

void telemetry_limit(struct telemetry *t, bool inbound, enum limit which)
{
    count_add(&t->limits[inbound][which], 1);
}

const char *limit_name(enum limit which)
{
    static const char *const names[LIMITS] = {
        [LIMIT_NONE] = "none",
#define X(id, name) [LIMIT_##id] = name,
#include "proxy/telemetry/limits.def"
#undef X
    };
    return names[which];
}

bool access_log_on(const struct telemetry *t)
{
    return t->log;
}

void access_log_write(struct telemetry *t, const struct access_entry *e)
{
    if (t->log)
        access_log_add(t->log, e, clock_real_ns());
}
