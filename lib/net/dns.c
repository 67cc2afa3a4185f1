/* SPDX-License-Identifier: Apache-2.0 */
/* query -> thread: getaddrinfo -> post to the loop -> done, freed.
 * Canceled meanwhile: the thread, or the post that is on its way, frees. */
#include "lib/net/dns.h"

#include <netdb.h>
#include <pthread.h>

#include "lib/base/mem.h"

enum { STACK = 256 * 1024 };

struct dns_query {
    struct post post;
    struct loop *loop;
    pthread_mutex_t lock;
    bool canceled; /* under the lock, as is the post: nobody posts to a loop
                      that was left in peace */
    char host[DNS_NAME_MAX + 1];
    uint16_t port;
    struct address at[DNS_ADDRESSES_MAX];
    size_t n;
    int err;
    dns_fn *done; /* NULL when canceled after the answer */
    void *arg;
};

/* ---- on the thread ---- */

static void add(struct dns_query *q, const struct sockaddr *sa)
{
    struct address a;

    if (q->n == DNS_ADDRESSES_MAX ||
        (sa->sa_family != AF_INET && sa->sa_family != AF_INET6))
        return;
    address_from(&a, sa);
    address_set_port(&a, q->port);
    for (size_t i = 0; i < q->n; i++)
        if (address_eq(&a, &q->at[i]))
            return;
    q->at[q->n++] = a;
}

static void ask(struct dns_query *q)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *all = NULL;

    q->err = getaddrinfo(q->host, NULL, &hints, &all);
    for (struct addrinfo *i = q->err ? NULL : all; i; i = i->ai_next)
        add(q, i->ai_addr);
    if (!q->err)
        freeaddrinfo(all);
    if (!q->err && q->n == 0)
        q->err = EAI_NONAME;
}

static void free_query(struct dns_query *q)
{
    pthread_mutex_destroy(&q->lock);
    mem_free(q);
}

static void *run(void *arg)
{
    struct dns_query *q = arg;

    ask(q);
    pthread_mutex_lock(&q->lock);
    bool canceled = q->canceled;
    if (!canceled)
        loop_post(q->loop, &q->post);
    pthread_mutex_unlock(&q->lock);
    if (canceled)
        free_query(q);
    return NULL;
}

/* ---- on the loop ---- */

static void on_answer(struct post *p)
{
    struct dns_query *q = CONTAINER_OF(p, struct dns_query, post);

    pthread_mutex_lock(&q->lock); /* the thread has let go of it */
    pthread_mutex_unlock(&q->lock);
    if (q->done)
        q->done(q->arg, q->err ? ERR_NOT_FOUND : OK, q->at, q->n,
                q->err ? gai_strerror(q->err) : "");
    free_query(q);
}

static int start_thread(struct dns_query *q)
{
    pthread_attr_t attr;
    pthread_t thread;
    int err = pthread_attr_init(&attr);

    if (err)
        return err;
    err = pthread_attr_setstacksize(&attr, STACK);
    if (!err)
        err = pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    if (!err)
        err = pthread_create(&thread, &attr, run, q);
    pthread_attr_destroy(&attr);
    return err;
}

enum status dns_query(struct dns_query **out, struct loop *l, slice host,
                      uint16_t port, dns_fn *done, void *arg)
{
    struct dns_query *q = MEM_NEW(struct dns_query);

    if (slice_empty(host) || slice_to_cstr(host, q->host, sizeof q->host)) {
        mem_free(q);
        return ERR_INVALID;
    }
    q->loop = l;
    q->port = port;
    q->done = done;
    q->arg = arg;
    q->post.run = on_answer;
    pthread_mutex_init(&q->lock, NULL);
    if (start_thread(q)) {
        free_query(q);
        return ERR_RESOURCES;
    }
    *out = q;
    return OK;
}

void dns_cancel(struct dns_query *q)
{
    pthread_mutex_lock(&q->lock);
    q->canceled = true;
    q->done = NULL; /* should the post be on its way: then that frees */
    pthread_mutex_unlock(&q->lock);
}
