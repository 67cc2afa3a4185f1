/* SPDX-License-Identifier: Apache-2.0 */
/* What session.c (life, input), session_send.c (output) and session_json.c (for
 * people) share. Not for others. */
#ifndef TULLE_CONTROLLER_SUBSCRIBE_SESSION_PARTS_H
#define TULLE_CONTROLLER_SUBSCRIBE_SESSION_PARTS_H

#include "controller/subscribe/session.h"
#include "lib/base/fsm.h"

enum session_state {
    SESSION_HELLO,   /* waits for hello */
    SESSION_SERVING, /* subscriptions are served */
    SESSION_BEHIND,  /* too much output on its way: dirty ones wait */
    SESSION_OVER,
};

/* In which turn a dirty subscription is told. */
enum rank {
    RANK_MAKE,  /* workload, backends with endpoints */
    RANK_NAME,  /* destinations */
    RANK_BREAK, /* gone or empty */
    RANKS,
};

struct subscription {
    struct list in_feed;  /* feed.subscribers */
    struct list in_dirty; /* session.dirty[rank] */
    struct session *session;
    struct feed *feed;
    bool asked;             /* by the proxy */
    uint32_t implied;       /* destinations sent that name this backend */
    struct view *sent_view; /* destinations: the one sent, for its names */
    bool told;              /* something, at least a remove, was said */
    bool by_delta;          /* the last view sent was a delta */
    char sent[VIEW_HASH + 1], acked[VIEW_HASH + 1]; /* "" : nothing */
    char *nack; /* the last reason; NULL: none */
};

struct report_summary {
    bool any;
    char epoch[40];
    uint64_t sequence, detect_timeouts, rss, rows;
    uint64_t requests, failures, connections, secured;
    int64_t at, cert_not_after;
    struct silent silent[WIRE_SILENT_MAX];
    uint32_t silent_len;
    char *memory; /* behind the names */
};

struct session {
    struct log log;
    struct feeds *feeds;
    struct session_limits lim;
    const struct session_events *ev;
    void *owner;
    char *name, *names; /* memory of the peer's name and of `client` */
    struct client client;
    int64_t cert_issued, cert_not_after;
    unsigned state;  /* enum session_state */
    struct map subs; /* "kind key" -> subscription */
    uint32_t asked;
    struct list dirty[RANKS];
    struct text line;           /* an incomplete one */
    size_t on_way;              /* bytes of output not yet gone */
    bool deltas;                /* it understands them */
    char version[64], pod[256]; /* as it says, for people */
    double tokens;              /* messages it may send now */
    int64_t tokens_at, started, heard, beat_at;
    uint64_t sent_views, sent_deltas, acks, nacks;
    struct report_summary report;
};

extern const struct fsm_state session_states[];

/* Ends it: tells the owner once. */
void session_end(struct session *s, const char *why);
struct subscription *session_find(const struct session *s, enum view_kind kind,
                                  slice key);
/* Gives the subscription, made when it is not there. ERR_INVALID. */
CHECKED enum status session_open(struct session *s, enum view_kind kind,
                                 slice key, struct subscription **out,
                                 struct error *e);
void session_drop(struct subscription *sub);
void session_mark(struct subscription *sub);
void session_send_msg(struct session *s, const struct msg *m);
void session_send_remove(struct session *s, enum view_kind kind, slice key);

#endif
