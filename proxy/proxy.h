/* SPDX-License-Identifier: Apache-2.0 */
/* Owns everything: identity, session with the controller, admin pages, workers.
 * The main thread runs the loop of all but the workers. */
#ifndef TULLE_PROXY_PROXY_H
#define TULLE_PROXY_PROXY_H

#include "lib/net/address.h"
#include "proxy/config.h"
#include "proxy/discovery/store.h"
#include "proxy/pod.h"
#include "proxy/tls/identity.h"

struct proxy;

/* Sets everything up, runs until SIGTERM or SIGINT and the end of the drain, takes
 * everything down. Not OK: could not start; the sentence is in `e`. */
CHECKED enum status proxy_run(const struct config *c, struct error *e);

/* --- for workers; immutable after the start unless said otherwise --- */
const struct config *proxy_config(const struct proxy *p);
struct discovery *proxy_discovery(struct proxy *p);
struct identity *proxy_identity(struct proxy *p);
/* Address that listener `i` got. */
const struct address *proxy_listening(const struct proxy *p, unsigned i);
/* The pod's addresses, and its node's. */
const struct pod *proxy_pod(const struct proxy *p);
/* From a worker's thread: it accepts now; its loop has ended. */
void proxy_worker_open(struct proxy *p);
void proxy_worker_done(struct proxy *p);

#endif
