/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: a middleman on loopback that carries so many bytes and then breaks
 * every connection through it. With all numbers of bytes it is the sweep of "fail
 * the Nth operation" for what dials sockets itself. */
#ifndef TULLE_TESTS_CUT_H
#define TULLE_TESTS_CUT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/net/dial.h"
#include "lib/net/listener.h"

enum cut_how {
    CUT_RESET, /* both ends see a reset */
    CUT_END,   /* both ends see the end of the other */
    CUT_STALL, /* nothing comes any more */
    CUT_HOWS,
};

struct cut {
    struct loop *loop;
    struct listener *listener;
    struct address to;
    enum cut_how how;
    size_t left; /* bytes, both ways and all connections together */
    size_t carried;
    bool done;
    struct list pairs;
};

struct cut_pair {
    struct list node;
    struct cut *cut;
    struct tcp_dial *dial;
    struct stream *s[2]; /* accepted, dialled; NULL once closed */
};

static void cut_pair_close(struct cut_pair *p, enum stream_close how)
{
    if (p->dial)
        tcp_dial_cancel(p->dial);
    p->dial = NULL;
    for (int i = 0; i < 2; i++) {
        if (p->s[i])
            stream_close(p->s[i], how);
        p->s[i] = NULL;
    }
}

static void cut_now(struct cut *c)
{
    c->done = true;
    LIST_EACH(node, &c->pairs) {
        struct cut_pair *p = CONTAINER_OF(node, struct cut_pair, node);
        if (c->how != CUT_STALL)
            cut_pair_close(p, c->how == CUT_RESET ? STREAM_RESET : STREAM_NOW);
        for (int i = 0; i < 2; i++)
            if (p->s[i])
                stream_read(p->s[i], false);
    }
}

static struct stream *cut_other(struct stream *s)
{
    struct cut_pair *p = s->owner;
    return p->s[p->s[0] == s];
}

static void cut_on_data(struct stream *s, const char *ptr, size_t len)
{
    struct cut *c = ((struct cut_pair *)s->owner)->cut;
    size_t n = len < c->left ? len : c->left;
    c->left -= n;
    c->carried += n;
    stream_write(cut_other(s), ptr, n);
    if (c->left == 0)
        cut_now(c);
}

static void cut_on_end(struct stream *s)
{
    stream_end(cut_other(s));
}

static void cut_on_fail(struct stream *s, enum status why)
{
    (void)why;
    cut_pair_close(s->owner, STREAM_RESET);
}

static const struct stream_events cut_events = {
    .on_data = cut_on_data, .on_end = cut_on_end, .on_fail = cut_on_fail};

static void cut_on_dialled(void *arg, enum status rc, struct stream *s)
{
    struct cut_pair *p = arg;
    p->dial = NULL;
    if (rc) {
        cut_pair_close(p, STREAM_RESET);
        return;
    }
    p->s[1] = s;
    stream_own(s, &cut_events, p);
    for (int i = 0; i < 2; i++)
        stream_read(p->s[i], true);
    if (p->cut->done) /* opened too late */
        cut_now(p->cut);
}

static void cut_on_accept(void *owner, int fd, const struct address *peer)
{
    struct cut *c = owner;
    struct cut_pair *p = MEM_NEW(struct cut_pair);
    (void)peer;
    p->cut = c;
    list_push_back(&c->pairs, &p->node);
    assert_int_equal(tcp_stream_open(&p->s[0], c->loop, fd, 0), OK);
    stream_own(p->s[0], &cut_events, p);
    assert_int_equal(tcp_dial_start(&p->dial, c->loop, &c->to,
                                    10 * NSEC_PER_SEC, 0, cut_on_dialled, p),
                     OK);
}

static const struct listener_events cut_listener_events = {
    .on_accept = cut_on_accept};

/* Carries `bytes` to and from `to`, then cuts. */
UNUSED static void cut_open(struct cut *c, struct loop *l,
                            const struct address *to, enum cut_how how,
                            size_t bytes)
{
    struct listener_options opt = {.backlog = 16};
    struct address at;
    struct error e;
    *c = (struct cut){.loop = l, .to = *to, .how = how, .left = bytes};
    list_init(&c->pairs);
    c->done = bytes == 0;
    assert_int_equal(address_parse(SLICE("127.0.0.1:0"), &at), OK);
    assert_int_equal(
        listener_open(&c->listener, l, &at, &opt, &cut_listener_events, c, &e),
        OK);
}

UNUSED static const struct address *cut_address(const struct cut *c)
{
    return listener_address(c->listener);
}

UNUSED static void cut_close(struct cut *c)
{
    struct list *node;
    listener_close(c->listener);
    while ((node = list_pop_front(&c->pairs)) != NULL) {
        struct cut_pair *p = CONTAINER_OF(node, struct cut_pair, node);
        cut_pair_close(p, STREAM_RESET);
        mem_free(p);
    }
}

#endif
