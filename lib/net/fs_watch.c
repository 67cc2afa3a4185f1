/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/net/fs_watch.h"

#include "lib/base/mem.h"

struct fs_watch {
    uv_fs_event_t uv;
    fs_watch_fn *fn;
    void *arg;
};

static void on_event(uv_fs_event_t *uv, const char *name, int events, int rc)
{
    struct fs_watch *w = uv->data;

    (void)name;
    (void)events;
    (void)rc;
    if (w->fn)
        w->fn(w->arg);
}

static void on_closed(uv_handle_t *h)
{
    mem_free(h->data);
}

enum status fs_watch_open(struct fs_watch **out, struct loop *l,
                          const char *path, fs_watch_fn *fn, void *arg,
                          struct error *e)
{
    struct fs_watch *w = MEM_NEW(struct fs_watch);
    int rc = uv_fs_event_init(&l->uv, &w->uv);

    if (rc) {
        mem_free(w);
        return error_set(e, status_from_errno(-rc), "cannot watch %s: %s", path,
                         uv_strerror(rc));
    }
    w->uv.data = w;
    rc = uv_fs_event_start(&w->uv, on_event, path, 0);
    if (rc) {
        uv_close((uv_handle_t *)&w->uv, on_closed);
        return error_set(e, status_from_errno(-rc), "cannot watch %s: %s", path,
                         uv_strerror(rc));
    }
    w->fn = fn;
    w->arg = arg;
    *out = w;
    return OK;
}

void fs_watch_close(struct fs_watch *w)
{
    if (!w || uv_is_closing((uv_handle_t *)&w->uv))
        return;
    w->fn = NULL;
    uv_close((uv_handle_t *)&w->uv, on_closed);
}
