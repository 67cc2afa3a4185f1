/* SPDX-License-Identifier: Apache-2.0 */
/* Files are looked at every few seconds, and by their content: what mounts them
 * swaps folders by links, and not every file system tells. A pair that does not
 * fit together is being written; the old one goes on. */
#include "injector/serving_cert.h"

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

enum { FILE_MAX = 64 << 10 };
#define LOOK_EVERY (2 * NSEC_PER_SEC)

static struct log_area area = LOG_AREA("serving");
static struct log log_ = {&area, 0};

struct serving_files {
    struct loop *loop;
    char *cert, *key; /* paths */
    slice pair;       /* what was read last: both, one after the other */
    serving_fn *fn;
    void *owner;
    struct timer timer;
    struct reap reap;
};

enum status serving_cert_make(struct tls_settings **out, slice chain, slice key,
                              int64_t *not_after, struct error *e)
{
    /* API servers speak TLS 1.3, HTTP/2 by choice. */
    static const struct tls_options options = {
        .role = TLS_SERVER,
        .alpn = {TLS_ALPN_H2, TLS_ALPN_HTTP1},
        .alpn_optional = true,
    };
    struct tls_identity *id = NULL;
    enum status rc = tls_identity_new_plain(&id, chain, key, e);

    if (!rc)
        rc = tls_settings_new(out, &options, id, SLICE_NONE, e);
    if (!rc)
        *not_after = tls_identity_not_after(id);
    tls_identity_unref(id);
    return rc;
}

static void wipe(slice s)
{
    if (s.ptr)
        mem_wipe_free((void *)s.ptr, s.len);
}

static slice joined(slice a, slice b)
{
    char *both = mem_alloc(a.len + b.len + 1);

    memcpy(both, a.ptr, a.len);
    memcpy(both + a.len, b.ptr, b.len);
    return slice_of(both, a.len + b.len);
}

/* Nothing happens when it is what we have. */
static enum status use(struct serving_files *f, slice cert, slice key,
                       struct error *e)
{
    slice pair = joined(cert, key);
    struct tls_settings *tls = NULL;
    int64_t not_after;
    enum status rc;

    if (slice_eq(pair, f->pair)) {
        wipe(pair);
        return OK;
    }
    rc = serving_cert_make(&tls, cert, key, &not_after, e);
    if (rc) {
        wipe(pair);
        return rc;
    }
    wipe(f->pair);
    f->pair = pair;
    f->fn(f->owner, tls, not_after);
    tls_settings_unref(tls);
    return OK;
}

static enum status look(struct serving_files *f, struct error *e)
{
    slice cert = SLICE_NONE, key = SLICE_NONE;
    enum status rc = file_read(slice_str(f->cert), FILE_MAX, &cert, e);

    if (!rc)
        rc = file_read(slice_str(f->key), FILE_MAX, &key, e);
    if (!rc)
        rc = use(f, cert, key, e);
    mem_free((void *)cert.ptr);
    wipe(key);
    return rc;
}

void serving_files_refresh(struct serving_files *f)
{
    struct error e;

    if (look(f, &e))
        log_warn(&log_, "certificate not read", "why=" LOG_QUOTED,
                 FMT(slice_str(e.text)));
}

static void on_timer(struct timer *t)
{
    struct serving_files *f = CONTAINER_OF(t, struct serving_files, timer);

    timer_set(&f->loop->timers, t, loop_now(f->loop) + LOOK_EVERY);
    serving_files_refresh(f);
}

static void files_free(struct reap *r)
{
    struct serving_files *f = CONTAINER_OF(r, struct serving_files, reap);

    wipe(f->pair);
    mem_free(f->cert);
    mem_free(f->key);
    mem_free(f);
}

enum status serving_files_start(struct serving_files **out, struct loop *l,
                                slice cert, slice key, serving_fn *fn,
                                void *owner, struct error *e)
{
    struct serving_files *f = MEM_NEW(struct serving_files);
    enum status rc;

    f->loop = l;
    f->cert = mem_str(cert);
    f->key = mem_str(key);
    f->fn = fn;
    f->owner = owner;
    timer_init(&f->timer, on_timer);
    rc = look(f, e);
    if (rc) {
        files_free(&f->reap);
        return rc;
    }
    timer_set(&l->timers, &f->timer, loop_now(l) + LOOK_EVERY);
    *out = f;
    return OK;
}

void serving_files_close(struct serving_files *f)
{
    if (!f)
        return;
    timer_stop(&f->loop->timers, &f->timer);
    loop_reap(f->loop, &f->reap, files_free);
}
