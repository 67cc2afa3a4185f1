/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEMO_DEMO_H
#define DEMO_DEMO_H

#include <stdbool.h>
#include <stddef.h>

/* What the command line said. Strings belong to argv and live for ever. */
struct options {
    const char *role;      /* web, cart, catalog or load */
    const char *listen;    /* ADDR:PORT, [ADDR]:PORT; port 0: any */
    const char *upstream;  /* http://HOST:PORT of the next service */
    const char *version;   /* NULL, or v1, v2, ... */
    const char *url;       /* load: what to ask for */
    unsigned delay_ms;     /* every answer waits this long */
    unsigned fail_percent; /* so many of 100 answers are 500 */
    unsigned rps;          /* load: requests a second */
    unsigned for_seconds;  /* load: 0 means until SIGTERM */
};

/* Headers that a request hands on to the next service. Borrowed from the
 * request; NULL where the caller sent none. */
struct trace {
    const char *traceparent;
    const char *tracestate;
    const char *request_id;
};

/* The answer of an upstream. status 0: there was none, `problem` says why.
 * The strings are this struct's own: answer_fini() frees the body. */
struct answer {
    long status;
    char *body; /* ends in a NUL that body_len does not count */
    size_t body_len;
    char fault[64];      /* the tulle-fault header, or empty */
    char served_by[256]; /* the x-served-by header, or empty */
    char problem[160];
};

struct calls;

/* Keeps idle connections to one upstream for all threads. `url` is borrowed
 * for the life of the calls. Returns NULL when libcurl cannot start. */
struct calls *calls_new(const char *url);

/* No call may be running. */
void calls_free(struct calls *c);

/* Asks the upstream and waits, ten seconds at most. Any thread. Always fills
 * `a`; the caller ends it with answer_fini(). */
void calls_get(struct calls *c, const struct trace *t, struct answer *a);
void answer_fini(struct answer *a);

/* Serves until SIGTERM or SIGINT, which main has blocked in every thread;
 * then finishes requests in flight. Returns the exit code. */
int serve(const struct options *o);

/* Sends requests until its time is over, SIGTERM or SIGINT; prints one line
 * of counts. Returns the exit code. */
int load(const struct options *o);

#endif
