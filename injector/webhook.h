/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTPS server that API servers ask: POST /inject, an AdmissionReview in, one
 * out. What is not one is answered with 400 and a sentence. */
#ifndef TULLE_INJECTOR_WEBHOOK_H
#define TULLE_INJECTOR_WEBHOOK_H

#include "injector/review.h"
#include "lib/http/server.h"

struct webhook;
struct webhook_call;

/* A review of a pod. Called once a call, which must be answered once, now or
 * later; the review lives until then. */
typedef void webhook_fn(void *owner, struct webhook_call *call,
                        const struct review *review);

struct webhook_options {
    struct address at;
    struct tls_settings *tls; /* borrowed for the call */
    unsigned max_connections;
    webhook_fn *fn;
    void *owner;
};

struct webhook_numbers {
    uint64_t reviews, bad; /* since the start; bad: answered with 4xx, 5xx */
    uint64_t running;
};

/* Gives it, listening. */
CHECKED enum status webhook_start(struct webhook **out, struct loop *l,
                                  const struct webhook_options *opt,
                                  struct error *e);
/* Also when nobody waits for it any more. `result` may go afterwards. */
void webhook_answer(struct webhook_call *call,
                    const struct inject_result *result);
const struct address *webhook_address(const struct webhook *w);
/* New connections get this certificate. */
void webhook_set_tls(struct webhook *w, struct tls_settings *tls);
const struct webhook_numbers *webhook_numbers(const struct webhook *w);
/* Takes no new connections; those that are open may ask until they are idle. */
void webhook_drain(struct webhook *w);
/* Connections that are open. */
unsigned webhook_connections(const struct webhook *w);
/* Ends everything now; calls that wait for an answer must still be answered.
 * Memory ends by itself. NULL is ignored. */
void webhook_close(struct webhook *w);

#endif
