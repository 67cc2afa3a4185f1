/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of lib/kube only: one request, as libcurl's handle and as an answer.
 * Who sends it when is kube.c's. */
#ifndef TULLE_KUBE_REQUEST_H
#define TULLE_KUBE_REQUEST_H

#include <curl/curl.h>

#include "lib/base/list.h"
#include "lib/base/text.h"
#include "lib/kube/kube.h"

struct channel;

/* An answer that does not end: what it says is told as it comes. */
struct stream_events {
    /* 2xx: from here on it is told. */
    void (*on_open)(void *owner);
    /* Borrowed for the call. */
    void (*on_data)(void *owner, slice bytes);
    /* Exactly once unless cancelled, also without on_open. OK: it was open and
     * ended where an answer may end. */
    void (*on_end)(void *owner, const struct kube_answer *a);
};

struct request_options {
    const char *accept;                 /* static; NULL: application/json */
    const struct stream_events *stream; /* NULL: `done` gets one answer */
    size_t answer_max;                  /* 0: KUBE_ANSWER_MAX */
};

struct kube_request {
    struct list node;  /* in line, then on its channel */
    struct list fresh; /* there is something to tell */
    struct kube *kube;
    struct channel *channel; /* NULL: in line */
    CURL *easy;
    struct curl_slist *headers;
    enum kube_method method;
    char *path, *body;
    size_t body_len, answer_max;
    int64_t timeout, started; /* ns */
    const char *accept;
    const struct stream_events *stream;
    kube_done_fn *done;
    void *owner;
    struct text in;
    unsigned http_status;
    char why[CURL_ERROR_SIZE];
    CURLcode code;
    bool ended, opened;
    bool full; /* the answer is larger than we take */
    bool busy; /* its owner is being told */
    bool gone; /* cancelled meanwhile */
};

struct kube_request *request_new(const struct kube_call *call,
                                 const struct request_options *opt,
                                 kube_done_fn *done, void *owner);
void request_free(struct kube_request *r);
/* Makes the handle, with what `a` holds now. */
CHECKED enum status request_prepare(struct kube_request *r,
                                    const struct kube_access *a,
                                    const char *agent);
/* Tells `done` or on_end: what came, or `rc` when that is an error. */
void request_answer(struct kube_request *r, enum status rc);

/* What kube.c does when something came: notes it. */
void request_heard(struct kube_request *r);

/* kube_send for streams and the like. */
CHECKED enum status kube_send_as(struct kube *k, const struct kube_call *call,
                                 const struct request_options *opt,
                                 kube_done_fn *done, void *owner,
                                 struct kube_request **out);
/* Keeps the memory until kube_unref. */
void kube_ref(struct kube *k);
void kube_unref(struct kube *k);

#endif
