/* SPDX-License-Identifier: Apache-2.0 */
/* An outbound connection: what is the destination? Known at once for all but the
 * first of them; else the connection waits, unread, for the controller's answer.
 *
 *   resolving -> conduit                      known, external, explicit
 *             -> plaintext conduit or reset   unknown
 */
#include "lib/base/mem.h"
#include "proxy/accept/accept.h"
#include "proxy/accept/conduit.h"

struct resolving {
    struct connection conn;
    struct stream *s;
    struct lookup_wait wait;
    struct address client, original;
    bool transparent;
    char *key;
};

static void start(struct worker *w, struct stream *s, struct target *t)
{
    struct conduit_options opt = {.target = t,
                                  .silence = w->config->detect_timeout};
    conduit_start(s, &opt);
    target_unref(t);
}

static void to_address(struct worker *w, struct stream *s, slice key,
                       const struct address *client)
{
    struct target *t = target_address(w, key, key, client);
    if (t)
        start(w, s, t);
    else
        stream_close(s, STREAM_RESET);
}

static void resolved(struct worker *w, struct stream *s, slice key,
                     bool transparent, const struct address *client,
                     const struct view *answer)
{
    const struct destination_view *d = &answer->destination;
    bool over = lookup_over_limit(w->lookup, answer);
    if (d->resolution == RESOLUTION_UNKNOWN)
        telemetry_count(w->telemetry, COUNTER_UNKNOWN_DESTINATIONS);
    if (over) {
        telemetry_count(w->telemetry, COUNTER_OVER_LIMIT_DESTINATIONS);
        telemetry_limit(w->telemetry, false, LIMIT_DESTINATIONS);
    }
    if (d->resolution == RESOLUTION_KNOWN || !transparent) {
        start(w, s, target_service(w, key, client));
        return;
    }
    if (d->resolution == RESOLUTION_UNKNOWN &&
        (worker_strict(w) || !w->config->unknown_passthrough)) {
        telemetry_fault(w->telemetry, false,
                        over ? FAULT_TOO_MANY_DESTINATIONS
                             : FAULT_UNKNOWN_DESTINATION);
        stream_close(s, STREAM_RESET);
        return;
    }
    to_address(w, s, key, client);
}

static void let_go(struct resolving *r)
{
    lookup_wait_cancel(&r->wait);
    connection_remove(&r->conn);
    mem_free(r->key);
    mem_free(r);
}

static void on_answer(struct lookup_wait *wait, struct view *v)
{
    struct resolving *r = CONTAINER_OF(wait, struct resolving, wait);
    resolved(r->conn.worker, r->s, slice_str(r->key), r->transparent,
             &r->client, v);
    let_go(r);
}

static void on_data(struct stream *s, const char *ptr, size_t len)
{
    (void)s, (void)ptr, (void)len; /* never read here */
}

static void on_end(struct stream *s)
{
    (void)s;
}

static void on_fail(struct stream *s, enum status why)
{
    struct resolving *r = s->owner;
    (void)why;
    stream_close(s, STREAM_NOW);
    let_go(r);
}

static const struct stream_events waiting_events = {
    .on_data = on_data,
    .on_end = on_end,
    .on_fail = on_fail,
};

static void on_close(struct connection *conn)
{
    struct resolving *r = CONTAINER_OF(conn, struct resolving, conn);
    stream_close(r->s, STREAM_RESET);
    let_go(r);
}

static void on_drain(struct connection *conn)
{
    (void)conn; /* answered within a second */
}

void outbound_accept(struct worker *w, struct stream *s, slice key,
                     const struct address *original,
                     const struct address *client)
{
    struct view *v;
    struct resolving *r = MEM_NEW(struct resolving);
    enum status rc = lookup_destination(w->lookup, key, &v, &r->wait, on_answer,
                                        r);
    if (rc == OK) {
        mem_free(r);
        resolved(w, s, key, original != NULL, client, v);
        return;
    }
    r->s = s;
    r->client = *client;
    r->transparent = original != NULL;
    r->key = mem_str(key);
    r->conn.drain = on_drain;
    r->conn.close = on_close;
    connection_add(&r->conn, w, false);
    stream_own(s, &waiting_events, r);
}
