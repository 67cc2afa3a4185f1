/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/net/signals.h"

#include "lib/base/mem.h"

static const int watched[] = {SIGTERM, SIGINT, SIGHUP};
enum { WATCHED = sizeof watched / sizeof *watched };

struct signals {
    uv_signal_t uv[WATCHED];
    unsigned open; /* handles that are not closed yet */
    bool closed;
    signals_fn *fn;
    void *arg;
};

static void on_signal(uv_signal_t *uv, int signum)
{
    struct signals *s = uv->data;

    if (!s->closed)
        s->fn(s->arg, signum);
}

static void on_closed(uv_handle_t *h)
{
    struct signals *s = h->data;

    if (--s->open == 0)
        mem_free(s);
}

enum status signals_start(struct signals **out, struct loop *l, signals_fn *fn,
                          void *arg, struct error *e)
{
    struct signals *s = MEM_NEW(struct signals);
    int rc = 0;

    (void)signal(SIGPIPE, SIG_IGN);
    s->fn = fn;
    s->arg = arg;
    while (s->open < WATCHED && !rc) {
        uv_signal_t *uv = &s->uv[s->open];

        rc = uv_signal_init(&l->uv, uv);
        if (rc)
            break;
        uv->data = s;
        rc = uv_signal_start(uv, on_signal, watched[s->open++]);
    }
    if (!rc) {
        *out = s;
        return OK;
    }
    if (s->open == 0)
        mem_free(s);
    else
        signals_close(s);
    return error_set(e, status_from_errno(-rc), "cannot watch signals: %s",
                     uv_strerror(rc));
}

void signals_close(struct signals *s)
{
    unsigned open;

    if (!s || s->closed)
        return;
    s->closed = true;
    open = s->open;
    for (unsigned i = 0; i < open; i++)
        uv_close((uv_handle_t *)&s->uv[i], on_closed);
}
