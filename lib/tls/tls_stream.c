/* SPDX-License-Identifier: Apache-2.0 */
/* TLS over another stream.
 *
 *   handshaking --ok--> open --peer's close_notify--> open, input ended
 *        |                |
 *        +---- failed ----+--> failed or closed
 *
 * Input: the lower stream lends ciphertext; a custom BIO reads it in place;
 * plaintext is collected in the loop's second buffer and delivered once. What
 * OpenSSL did not take (the owner stopped reading) is kept in `held`.
 * Output: plaintext is queued in `plain`; in the flush of a pass on_fill adds
 * what waits, then records of up to 16 KiB are written until the lower stream
 * has enough.
 * Handshakes cost hundreds of microseconds: at most HANDSHAKE_STEPS in a pass,
 * the rest comes 1 ms later, after what other connections had to say. */
#include "lib/tls/tls_stream.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/tls/tls_internal.h"

enum {
    RECORD = 16384,
    LOWER_HIGH = 262144, /* ciphertext queued below before we wait */
    LOWER_MAX = LOWER_HIGH + 2 * RECORD, /* with what TLS answers by itself */
    HELD_MAX = 65536, /* ciphertext kept during a handshake */
    HANDSHAKE_STEPS = 4,
};

enum tls_state { TLS_HANDSHAKING, TLS_OPEN, TLS_DEAD };

struct tls_handshake {
    struct timer timeout, retry;
    tls_handshake_fn *done; /* NULL once called or canceled */
    void *arg;
};

struct tls_stream {
    struct stream s;
    struct stream *lower;
    SSL *ssl;
    struct tls_settings *settings;
    enum tls_state state;
    bool input_pending; /* the owner reads again: look at held input */
    bool input_ended;   /* close_notify came */
    bool lower_ended;   /* FIN without close_notify so far */
    bool notify_sent;
    bool closing; /* the owner has given it away: it hears nothing more */
    struct bufq plain, held;
    const char *in; /* lent ciphertext */
    size_t in_len;
    struct flush flush;
    struct reap reap;
    char *expect; /* the name that `verify` borrows */
    struct tls_verify verify;
    struct tls_peer peer;
    struct tls_handshake hs;
};

static struct tls_stream *self(struct stream *s)
{
    return CONTAINER_OF(s, struct tls_stream, s);
}

/* ---- the BIO: held bytes first, then the lent ones ---- */

static int bio_read(BIO *b, char *out, int len)
{
    struct tls_stream *t = BIO_get_data(b);
    size_t want = (size_t)len;
    BIO_clear_retry_flags(b);
    if (t->held.len) {
        size_t n = bufq_copy(&t->held, out, want);
        bufq_drop(&t->held, n);
        return (int)n;
    }
    if (t->in_len == 0) {
        BIO_set_retry_read(b);
        return -1;
    }
    size_t n = t->in_len < want ? t->in_len : want;
    memcpy(out, t->in, n);
    t->in += n;
    t->in_len -= n;
    return (int)n;
}

static int bio_write(BIO *b, const char *ptr, int len)
{
    struct tls_stream *t = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    stream_write(t->lower, ptr, (size_t)len);
    return len;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
    (void)b, (void)num, (void)ptr;
    return cmd == BIO_CTRL_FLUSH;
}

static BIO_METHOD *bio_method;

static void make_bio_method(void)
{
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK,
                              "tulle stream");
    BIO_meth_set_read(bio_method, bio_read);
    BIO_meth_set_write(bio_method, bio_write);
    BIO_meth_set_ctrl(bio_method, bio_ctrl);
}

static BIO *bio_new(struct tls_stream *t)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_bio_method);
    BIO *b = BIO_new(bio_method);
    if (!b)
        return NULL;
    BIO_set_data(b, t);
    BIO_set_init(b, 1);
    return b;
}

/* ---- life ---- */

static void free_tls(struct reap *r)
{
    struct tls_stream *t = CONTAINER_OF(r, struct tls_stream, reap);
    SSL_free(t->ssl);
    ERR_clear_error();
    bufq_fini(&t->plain);
    bufq_fini(&t->held);
    tls_verify_fini(&t->verify);
    mem_free(t->expect);
    tls_settings_unref(t->settings);
    mem_free(t);
}

static void release(struct tls_stream *t, enum stream_close how)
{
    if (t->s.closed)
        return;
    t->s.closed = true;
    t->s.reading = false;
    t->hs.done = NULL;
    timer_stop(&t->s.loop->timers, &t->hs.timeout);
    timer_stop(&t->s.loop->timers, &t->hs.retry);
    flush_cancel(&t->flush);
    stream_close(t->lower, how);
    loop_reap(t->s.loop, &t->reap, free_tls);
}

static void fail(struct tls_stream *t, enum status why)
{
    if (t->state == TLS_DEAD)
        return;
    t->state = TLS_DEAD;
    t->s.reading = false;
    stream_read(t->lower, false);
    bufq_drop(&t->plain, t->plain.len);
    if (!t->closing)
        t->s.events->on_fail(&t->s, why);
}

/* ---- handshake ---- */

static void handshake_failed(struct tls_stream *t, enum status rc,
                             const char *reason)
{
    tls_handshake_fn *done = t->hs.done;
    t->state = TLS_DEAD;
    /* FLUSH: the alert should still arrive. */
    release(t, STREAM_FLUSH);
    if (done)
        done(t->hs.arg, rc, NULL, NULL, reason);
}

static void read_group(struct tls_stream *t)
{
    const char *name = "unknown";
#if OPENSSL_VERSION_NUMBER >= 0x30200000L
    name = SSL_get0_group_name(t->ssl);
#else
    if (SSL_get_negotiated_group(t->ssl))
        name = SSL_group_to_name(t->ssl, (int)SSL_get_negotiated_group(t->ssl));
#endif
    slice s = slice_sub(slice_str(name), 0, sizeof t->peer.group - 1);
    memcpy(t->peer.group, s.ptr, s.len);
}

static void handshake_done(struct tls_stream *t)
{
    const unsigned char *alpn;
    unsigned alpn_len;

    if (tls_verify_finish(t->ssl, &t->verify)) {
        handshake_failed(t, ERR_TLS, t->verify.reason);
        return;
    }
    SSL_get0_alpn_selected(t->ssl, &alpn, &alpn_len);
    t->peer.name = t->verify.name;
    t->peer.extension = t->verify.extension;
    t->peer.not_before = t->verify.not_before;
    t->peer.not_after = t->verify.not_after;
    t->peer.alpn = slice_of(alpn, alpn_len);
    t->peer.resumed = SSL_session_reused(t->ssl) != 0;
    read_group(t);
    t->state = TLS_OPEN;
    stream_read(t->lower, false); /* until the owner says so */
    timer_stop(&t->s.loop->timers, &t->hs.timeout);
    timer_stop(&t->s.loop->timers, &t->hs.retry);
    tls_handshake_fn *done = t->hs.done;
    t->hs.done = NULL;
    done(t->hs.arg, OK, &t->s, &t->peer, NULL);
}

static void handshake_step(struct tls_stream *t)
{
    if (t->s.loop->handshakes >= HANDSHAKE_STEPS) {
        /* A peer that is done may send all that it has: it waits, too. */
        if (t->held.len + t->in_len > HELD_MAX)
            stream_read(t->lower, false);
        timer_set(&t->s.loop->timers, &t->hs.retry,
                  loop_now(t->s.loop) + NSEC_PER_MSEC);
        return;
    }
    if (!t->lower->reading && !t->lower_ended)
        stream_read(t->lower, true);
    t->s.loop->handshakes++;
    ERR_clear_error();
    int rc = SSL_do_handshake(t->ssl);
    if (rc == 1) {
        handshake_done(t);
        return;
    }
    int err = SSL_get_error(t->ssl, rc);
    if (err == SSL_ERROR_WANT_READ && !t->lower_ended)
        return;
    if (err == SSL_ERROR_WANT_READ) {
        handshake_failed(t, ERR_EOF, "ended by the peer");
        return;
    }
    const char *reason = tls_verify_reason(t->ssl);
    ERR_clear_error();
    handshake_failed(t, ERR_TLS, reason);
}

static void on_handshake_timeout(struct timer *timer)
{
    struct tls_stream *t = CONTAINER_OF(timer, struct tls_stream, hs.timeout);
    handshake_failed(t, ERR_TIMEOUT, "handshake timed out");
}

static void on_handshake_retry(struct timer *timer)
{
    handshake_step(CONTAINER_OF(timer, struct tls_stream, hs.retry));
}

/* ---- input ---- */

static void input_end(struct tls_stream *t)
{
    t->input_ended = true;
    t->s.reading = false;
    stream_read(t->lower, false);
    t->s.events->on_end(&t->s);
}

/* Decrypts and delivers until there is no more input or the owner stops. */
static void input_run(struct tls_stream *t)
{
    char *buf = t->s.loop->lent_plain;
    while (t->s.reading && t->state == TLS_OPEN && !t->s.closed) {
        size_t n = 0;
        int rc = 1;
        while (rc > 0 && n + RECORD <= LOOP_LENT) {
            ERR_clear_error();
            rc = SSL_read(t->ssl, buf + n, (int)(LOOP_LENT - n));
            if (rc > 0)
                n += (size_t)rc;
        }
        int err = rc > 0 ? SSL_ERROR_NONE : SSL_get_error(t->ssl, rc);
        if (n)
            t->s.events->on_data(&t->s, buf, n);
        /* An owner that stopped hears of the end when it reads again: OpenSSL
         * says the same then. */
        if (rc > 0 || t->s.closed || !t->s.reading || t->state != TLS_OPEN)
            continue;
        if (err == SSL_ERROR_WANT_READ) {
            if (t->lower_ended) /* a cut without close_notify */
                fail(t, ERR_EOF);
            return;
        }
        ERR_clear_error();
        if (err == SSL_ERROR_ZERO_RETURN)
            input_end(t);
        else
            fail(t, ERR_TLS);
        return;
    }
}

static void keep_rest(struct tls_stream *t)
{
    if (t->in_len && !t->s.closed)
        bufq_add(&t->held, t->in, t->in_len);
    t->in = NULL;
    t->in_len = 0;
}

static void on_lower_data(struct stream *lower, const char *ptr, size_t len)
{
    struct tls_stream *t = lower->owner;
    if (t->state == TLS_HANDSHAKING &&
        t->held.len + len > HELD_MAX + LOOP_LENT) {
        handshake_failed(t, ERR_TLS, "handshake too long");
        return;
    }
    if (t->state == TLS_OPEN && stream_queued(t->lower) > LOWER_MAX) {
        fail(t, ERR_TLS); /* key updates whose answers nobody reads */
        return;
    }
    t->in = ptr;
    t->in_len = len;
    if (t->state == TLS_HANDSHAKING)
        handshake_step(t);
    else if (t->state == TLS_OPEN)
        input_run(t);
    keep_rest(t);
}

static void on_lower_end(struct stream *lower)
{
    struct tls_stream *t = lower->owner;
    t->lower_ended = true;
    if (t->state == TLS_HANDSHAKING)
        handshake_step(t);
    else if (t->state == TLS_OPEN && t->s.reading)
        input_run(t);
}

static void on_lower_fail(struct stream *lower, enum status why)
{
    struct tls_stream *t = lower->owner;
    if (t->state == TLS_HANDSHAKING)
        handshake_failed(t, why, "connection lost");
    else
        fail(t, why);
}

/* ---- output ---- */

static void encrypt(struct tls_stream *t, bool all)
{
    while (t->plain.len && (all || stream_queued(t->lower) < LOWER_HIGH)) {
        slice front = bufq_front(&t->plain);
        size_t n = front.len < RECORD ? front.len : RECORD;
        ERR_clear_error();
        int rc = SSL_write(t->ssl, front.ptr, (int)n);
        if (rc <= 0) { /* our BIO never blocks: the session is broken */
            ERR_clear_error();
            fail(t, ERR_TLS);
            return;
        }
        bufq_drop(&t->plain, (size_t)rc);
    }
}

static void send_end(struct tls_stream *t)
{
    if (t->notify_sent || t->plain.len)
        return;
    t->notify_sent = true;
    ERR_clear_error();
    SSL_shutdown(t->ssl);
    ERR_clear_error();
    stream_end(t->lower);
}

static void on_flush(struct flush *f)
{
    struct tls_stream *t = CONTAINER_OF(f, struct tls_stream, flush);
    if (t->state == TLS_HANDSHAKING) {
        handshake_step(t);
        return;
    }
    if (t->state != TLS_OPEN || !t->s.events)
        return;
    if (t->input_pending) {
        t->input_pending = false;
        input_run(t);
    }
    if (t->s.closed || t->state != TLS_OPEN)
        return;
    if (t->s.events->on_fill)
        t->s.events->on_fill(&t->s);
    if (t->s.closed || t->state != TLS_OPEN)
        return;
    encrypt(t, false);
    if (!t->s.closed && t->s.ended_out && t->state == TLS_OPEN)
        send_end(t);
}

/* The lower queue moved on: encrypt more, and tell. */
static void on_lower_drained(struct stream *lower)
{
    struct tls_stream *t = lower->owner;
    if (t->state != TLS_OPEN || !t->s.events)
        return;
    loop_flush_later(t->s.loop, &t->flush);
    if (t->s.events->on_drained)
        t->s.events->on_drained(&t->s);
}

static const struct stream_events lower_events = {
    .on_data = on_lower_data,
    .on_end = on_lower_end,
    .on_fail = on_lower_fail,
    .on_drained = on_lower_drained,
};

/* ---- the stream ---- */

static void tls_read(struct stream *s, bool on)
{
    struct tls_stream *t = self(s);
    if (s->closed || t->state != TLS_OPEN || t->input_ended)
        return;
    if (s->reading == on)
        return;
    s->reading = on;
    if (!t->lower_ended)
        stream_read(t->lower, on);
    if (on) {
        t->input_pending = true;
        loop_flush_later(s->loop, &t->flush);
    }
}

static void tls_wake(struct stream *s)
{
    struct tls_stream *t = self(s);
    if (!s->closed && t->state == TLS_OPEN)
        loop_flush_later(s->loop, &t->flush);
}

static void tls_write(struct stream *s, const void *ptr, size_t len)
{
    struct tls_stream *t = self(s);
    if (s->closed || s->ended_out || t->state != TLS_OPEN || len == 0)
        return;
    bufq_add(&t->plain, ptr, len);
    loop_flush_later(s->loop, &t->flush);
}

static char *tls_room(struct stream *s, size_t want, size_t *room)
{
    return bufq_room(&self(s)->plain, want, room);
}

static void tls_wrote(struct stream *s, size_t n)
{
    struct tls_stream *t = self(s);
    bufq_wrote(&t->plain, n);
    if (s->closed || s->ended_out || t->state != TLS_OPEN)
        bufq_drop(&t->plain, t->plain.len);
    else
        loop_flush_later(s->loop, &t->flush);
}

static size_t tls_queued(const struct stream *s)
{
    const struct tls_stream *t = self((struct stream *)s);
    return t->plain.len + stream_queued(t->lower);
}

static void tls_end(struct stream *s)
{
    if (s->closed || s->ended_out)
        return;
    s->ended_out = true;
    tls_wake(s);
}

static void tls_close(struct stream *s, enum stream_close how)
{
    struct tls_stream *t = self(s);
    if (s->closed)
        return;
    t->closing = true;
    if (how == STREAM_FLUSH && t->state == TLS_OPEN)
        encrypt(t, true);
    if (how != STREAM_RESET && t->state == TLS_OPEN && !t->notify_sent) {
        t->notify_sent = true;
        SSL_shutdown(t->ssl); /* or OpenSSL drops the session from its cache */
        ERR_clear_error();
    }
    release(t, how);
}

static const struct stream_type tls_type = {
    .name = "tls",
    .read = tls_read,
    .write = tls_write,
    .room = tls_room,
    .wrote = tls_wrote,
    .queued = tls_queued,
    .wake = tls_wake,
    .end = tls_end,
    .close = tls_close,
};

/* ---- start ---- */

static enum status ssl_start(struct tls_stream *t, slice expect)
{
    bool server;
    t->ssl = SSL_new(tls_settings_ctx(t->settings));
    BIO *b = t->ssl ? bio_new(t) : NULL;
    if (!b)
        return ERR_RESOURCES;
    SSL_set_bio(t->ssl, b, b);
    server = SSL_is_server(t->ssl); /* by the method of the settings */
    t->expect = mem_str(expect);
    t->verify.server_side = server;
    t->verify.expect = slice_of(t->expect, expect.len);
    tls_verify_attach(t->ssl, &t->verify);
    if (server) {
        SSL_set_accept_state(t->ssl);
        return OK;
    }
    SSL_set_connect_state(t->ssl);
    SSL_SESSION *session = tls_sessions_take(t->settings, expect);
    if (session) {
        SSL_set_session(t->ssl, session);
        SSL_SESSION_free(session);
    }
    return OK;
}

enum status tls_handshake_start(struct tls_handshake **out,
                                struct stream *lower,
                                struct tls_settings *settings, slice expect,
                                slice first, int64_t timeout,
                                tls_handshake_fn *done, void *arg)
{
    struct tls_stream *t = MEM_NEW(struct tls_stream);
    struct loop *l = lower->loop;
    t->s.type = &tls_type;
    t->s.loop = l;
    t->lower = lower;
    t->settings = tls_settings_ref(settings);
    bufq_init(&t->plain, &l->chunks);
    bufq_init(&t->held, &l->chunks);
    flush_init(&t->flush, on_flush);
    timer_init(&t->hs.timeout, on_handshake_timeout);
    timer_init(&t->hs.retry, on_handshake_retry);
    t->hs.done = done;
    t->hs.arg = arg;
    stream_own(lower, &lower_events, t);
    enum status rc = ssl_start(t, expect);
    if (rc) {
        release(t, STREAM_NOW);
        return rc;
    }
    bufq_add(&t->held, first.ptr, first.len);
    timer_set(&l->timers, &t->hs.timeout, loop_now(l) + timeout);
    stream_read(lower, true);
    loop_flush_later(l, &t->flush); /* a client speaks first */
    *out = &t->hs;
    return OK;
}

void tls_handshake_cancel(struct tls_handshake *h)
{
    struct tls_stream *t = CONTAINER_OF(h, struct tls_stream, hs);
    if (h->done)
        release(t, STREAM_NOW);
}

const struct tls_peer *tls_stream_peer(const struct stream *s)
{
    return &self((struct stream *)s)->peer;
}
