/* SPDX-License-Identifier: Apache-2.0 */
/* Objects that must be written to the API server: a set of keys, never a queue
 * of changes. For each key, when the budget allows, the owner is asked what is to
 * be written now; one write a key is under way at a time, one that failed comes
 * again with backoff and jitter. First come, first served; a key that is added
 * again while it waits keeps its place. */
#ifndef TULLE_CONTROLLER_STATUS_WRITES_H
#define TULLE_CONTROLLER_STATUS_WRITES_H

#include "lib/base/text.h"
#include "lib/kube/kube.h"

struct writes;

struct write_call {
    enum kube_method method;
    struct text path, body; /* empty; limits KUBE_PATH_MAX and KUBE_BODY_MAX */
};

enum write_next {
    WRITE_DONE,
    WRITE_RETRY, /* with backoff; `build` is asked anew */
};

struct writes_options {
    const char *name; /* for the log; not copied */
    uint32_t per_second, burst;
    uint32_t in_flight; /* writes under way at once */
    /* Fills in what to write; false: nothing, the key is done. */
    bool (*build)(void *owner, slice key, struct write_call *out);
    /* What came of it. NULL: success is done, an object that is gone
     * (ERR_NOT_FOUND) too, all else is tried again and logged. */
    enum write_next (*answer)(void *owner, slice key,
                              const struct kube_answer *a);
    void *owner;
};

/* Gives it, paused. */
struct writes *writes_new(struct kube *k, const struct writes_options *opt);
/* Copies the key. */
void writes_add(struct writes *w, slice key);
/* While paused nothing is written, and keys are kept. Who does not lead pauses
 * and forgets (writes_clear). */
void writes_pause(struct writes *w, bool paused);
void writes_clear(struct writes *w);
size_t writes_waiting(const struct writes *w); /* also those under way */
uint64_t writes_done(const struct writes *w);
uint64_t writes_failed(const struct writes *w);
/* Cancels what is under way; nothing of the owner is called any more. Memory
 * ends by itself. NULL is ignored. */
void writes_close(struct writes *w);

#endif
