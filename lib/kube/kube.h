/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to one API server: libcurl's multi interface on the loop, HTTP/2 on
 * few connections, gzip. Bounded in number, time and size of answers. What comes
 * back is JSON, or the sentence of a metav1.Status as an error. */
#ifndef TULLE_KUBE_KUBE_H
#define TULLE_KUBE_KUBE_H

#include "lib/json/json.h"
#include "lib/kube/access.h"
#include "lib/net/loop.h"

struct kube;
struct kube_request;

enum {
    KUBE_PATH_MAX = 2048,       /* path and query */
    KUBE_BODY_MAX = 3 << 20,    /* what we send: etcd's limit is lower */
    KUBE_ANSWER_MAX = 32 << 20, /* one answer */
    KUBE_OBJECT_MAX =
        8 << 20,              /* one object of a watch: etcd's limit is lower */
    KUBE_IN_FLIGHT_MAX = 64,  /* more wait in line */
    KUBE_WAITING_MAX = 10000, /* in line; more are refused */
};

/* Takes `access` (also on error). Nothing is sent yet. `agent`: User-Agent,
 * copied. */
CHECKED enum status kube_start(struct kube **out, struct loop *l,
                               struct kube_access *access, const char *agent,
                               struct error *e);
/* Cancels every request (their `done` runs with ERR_CANCELED before this
 * returns) and stops watches. Memory ends by itself. NULL is ignored. */
void kube_close(struct kube *k);
/* Calls under way and in line, watches not counted. */
size_t kube_running(const struct kube *k);
struct loop *kube_loop(const struct kube *k);
slice kube_namespace(const struct kube *k);

enum kube_method {
    KUBE_GET,
    KUBE_POST, /* create */
    KUBE_PUT,  /* replace: the body carries resourceVersion */
    KUBE_DELETE,
    KUBE_MERGE_PATCH, /* application/merge-patch+json */
    KUBE_JSON_PATCH,  /* application/json-patch+json */
    KUBE_APPLY,       /* server-side apply: path with fieldManager=... */
};

struct kube_call {
    enum kube_method method;
    slice path;      /* "/api/v1/namespaces/x/pods?limit=1"; copied */
    slice body;      /* JSON (apply: JSON is YAML); copied */
    int64_t timeout; /* ns; 0: 10 s */
};

struct kube_answer {
    /* OK: 2xx. ERR_NOT_FOUND 404, ERR_EXISTS 409 (AlreadyExists),
     * ERR_AGAIN 409 (Conflict): read again and retry; ERR_DENIED 401, 403;
     * ERR_INVALID 400, 422; ERR_RESOURCES 429, 503 (see retry_after);
     * ERR_REFUSED, ERR_TLS, ERR_TIMEOUT, ERR_IO, ERR_CANCELED: no answer. */
    enum status rc;
    unsigned http_status; /* 0: none */
    int64_t retry_after;  /* ns, from Retry-After; 0: not said */
    int64_t date;     /* the server's clock, seconds since 1970; 0: not said */
    struct json body; /* absent when there is none; borrowed */
    slice reason;     /* metav1.Status reason: "Expired"; may be empty */
    const struct error *e; /* the sentence; never NULL */
};

/* Runs exactly once for each kube_send that returned OK. Everything borrows
 * until it returns. May send again. */
typedef void kube_done_fn(void *owner, const struct kube_answer *a);

/* ERR_RESOURCES when too many wait, ERR_TOO_BIG over a limit: then `done` never
 * runs. `out` may be NULL when the caller will not cancel. */
CHECKED enum status kube_send(struct kube *k, const struct kube_call *call,
                              kube_done_fn *done, void *owner,
                              struct kube_request **out);
/* `done` never runs. Not after it ran. */
void kube_cancel(struct kube_request *r);

/* An object's resourceVersion: a number that grows, by now by contract (KEP-5504).
 * 0: it is none. Tells whether an answer or the watch is of later. */
uint64_t kube_version(struct json object);

/* Appends `text` as one segment or query value, percent-encoded (RFC 3986). */
struct text;
void kube_path_add(struct text *path, slice text);

#endif
