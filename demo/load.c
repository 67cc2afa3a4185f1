/* SPDX-License-Identifier: Apache-2.0 */
/* A trickle of load: one request each 1/rps second, at most SLOTS in flight.
 * A request that falls due while all slots are busy is skipped and counted,
 * so that a slow service is not buried. An answer below 400 is a success;
 * anything else, no answer included, is a failure. */
#include "demo/demo.h"

#include <curl/curl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define SLOTS 32
#define TIMEOUT_MS 5000L
#define WAIT_MAX_MS 100

struct slot {
    CURL *curl;
    struct curl_slist *headers; /* of the request in flight; else NULL */
    bool busy;
};

struct run {
    const struct options *o;
    CURLM *multi;
    struct slot slots[SLOTS];
    uint64_t start_ns;
    unsigned long due; /* requests that should have begun by now */
    unsigned long sent, ok, failed, skipped;
};

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static bool told_to_stop(void)
{
    static const struct timespec at_once = {0};
    sigset_t stop;

    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    return sigtimedwait(&stop, NULL, &at_once) > 0;
}

static size_t on_body(char *data, size_t one, size_t len, void *arg)
{
    (void)data;
    (void)one;
    (void)arg;
    return len;
}

static void set_up(struct slot *s, const struct options *o)
{
    curl_easy_setopt(s->curl, CURLOPT_URL, o->url);
    curl_easy_setopt(s->curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(s->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(s->curl, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
    curl_easy_setopt(s->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(s->curl, CURLOPT_PRIVATE, s);
}

static void begin(struct run *r)
{
    char id[64];

    for (struct slot *s = r->slots; s < r->slots + SLOTS; s++) {
        if (s->busy)
            continue;
        snprintf(id, sizeof id, "x-request-id: load-%lu", r->sent + 1);
        s->headers = curl_slist_append(NULL, id);
        curl_easy_setopt(s->curl, CURLOPT_HTTPHEADER, s->headers);
        s->busy = true;
        r->sent++;
        curl_multi_add_handle(r->multi, s->curl);
        return;
    }
    r->skipped++;
}

static void collect(struct run *r)
{
    CURLMsg *m;
    int left;

    while ((m = curl_multi_info_read(r->multi, &left))) {
        CURLcode rc = m->data.result;
        CURL *curl = m->easy_handle;
        struct slot *s = NULL;
        long status = 0;

        curl_easy_getinfo(curl, CURLINFO_PRIVATE, &s);
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        if (!rc && status > 0 && status < 400)
            r->ok++;
        else
            r->failed++;
        curl_multi_remove_handle(r->multi, curl);
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, NULL);
        curl_slist_free_all(s->headers);
        s->headers = NULL;
        s->busy = false;
    }
}

/* Begins what is due; returns how long nothing more will be. */
static int begin_due(struct run *r)
{
    uint64_t gap = 1000000000U / r->o->rps;
    uint64_t passed = now_ns() - r->start_ns;
    uint64_t next;

    while (r->due * gap <= passed) {
        r->due++;
        begin(r);
    }
    next = (r->due * gap - passed + 999999) / 1000000;
    return next < WAIT_MAX_MS ? (int)next : WAIT_MAX_MS;
}

static void drive(struct run *r)
{
    uint64_t length = (uint64_t)r->o->for_seconds * 1000000000U;
    bool stopping = false;
    int running = 0;

    do {
        int wait = WAIT_MAX_MS;

        stopping = stopping || told_to_stop() ||
                   (length && now_ns() - r->start_ns >= length);
        if (!stopping)
            wait = begin_due(r);
        curl_multi_perform(r->multi, &running);
        collect(r);
        if (!stopping || running)
            curl_multi_poll(r->multi, NULL, 0, wait, NULL);
    } while (!stopping || running);
}

int load(const struct options *o)
{
    struct run r = {.o = o, .multi = curl_multi_init()};
    int rc = 1;

    if (!r.multi)
        goto out;
    for (struct slot *s = r.slots; s < r.slots + SLOTS; s++) {
        s->curl = curl_easy_init();
        if (!s->curl)
            goto out;
        set_up(s, o);
    }
    r.start_ns = now_ns();
    drive(&r);
    printf("sent %lu ok %lu failed %lu skipped %lu\n", r.sent, r.ok, r.failed,
           r.skipped);
    rc = 0;
out:
    for (struct slot *s = r.slots; s < r.slots + SLOTS; s++)
        curl_easy_cleanup(s->curl); /* NULL is fine */
    curl_multi_cleanup(r.multi);
    return rc;
}
