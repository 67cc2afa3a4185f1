/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/tls/tls_internal.h"

#include <pthread.h>

#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/tls/pem.h"

/* Sessions a client may resume, by the name that it expected when they were
 * made. A session is taken out to be used: TLS 1.3 asks not to use one twice
 * (RFC 8446 appendix C.4), and a resumed connection brings a new one. Servers
 * use OpenSSL's own cache; here is only how long a session may live. */

enum {
    NAMES_MAX = 256,
    SESSIONS_EACH = 2,
    LIFE_MAX = 2 * 3600, /* seconds */
};

struct entry {
    struct list by_age; /* youngest first */
    char *key;
    SSL_SESSION *at[SESSIONS_EACH]; /* oldest first */
    unsigned count;
};

struct tls_sessions {
    pthread_mutex_t lock;
    struct map by_key;
    struct list by_age;
};

struct tls_sessions *tls_sessions_new(void)
{
    struct tls_sessions *s = MEM_NEW(struct tls_sessions);

    (void)pthread_mutex_init(&s->lock, NULL);
    map_init(&s->by_key);
    list_init(&s->by_age);
    return s;
}

static void drop_entry(struct tls_sessions *s, struct entry *entry)
{
    (void)map_del(&s->by_key, slice_str(entry->key));
    list_remove(&entry->by_age);
    for (unsigned i = 0; i < entry->count; i++)
        SSL_SESSION_free(entry->at[i]);
    mem_free(entry->key);
    mem_free(entry);
}

void tls_sessions_free(struct tls_sessions *s)
{
    if (!s)
        return;
    LIST_EACH(node, &s->by_age)
        drop_entry(s, CONTAINER_OF(node, struct entry, by_age));
    map_fini(&s->by_key);
    (void)pthread_mutex_destroy(&s->lock);
    mem_free(s);
}

static struct entry *entry_of(struct tls_sessions *s, slice key)
{
    struct entry *entry = map_get(&s->by_key, key);

    if (entry) {
        list_remove(&entry->by_age);
        list_push_front(&s->by_age, &entry->by_age);
        return entry;
    }
    if (s->by_key.len >= NAMES_MAX)
        drop_entry(s, CONTAINER_OF(s->by_age.prev, struct entry, by_age));
    entry = MEM_NEW(struct entry);
    entry->key = mem_str(key);
    list_push_front(&s->by_age, &entry->by_age);
    (void)map_put(&s->by_key, key, entry);
    return entry;
}

void tls_sessions_put(struct tls_sessions *s, slice key, SSL_SESSION *session)
{
    SSL_SESSION *old = NULL;
    struct entry *entry;

    (void)pthread_mutex_lock(&s->lock);
    entry = entry_of(s, key);
    if (entry->count == SESSIONS_EACH) {
        old = entry->at[0];
        memmove(entry->at, entry->at + 1,
                (SESSIONS_EACH - 1) * sizeof *entry->at);
        entry->count--;
    }
    entry->at[entry->count++] = session;
    (void)pthread_mutex_unlock(&s->lock);
    SSL_SESSION_free(old);
}

static int64_t now_seconds(void)
{
    return clock_real_ns() / NSEC_PER_SEC;
}

/* Seconds since 1970; the older call is refused by compilers that see 3.4. */
static int64_t session_born(const SSL_SESSION *session)
{
#if OPENSSL_VERSION_NUMBER >= 0x30300000L
    return (int64_t)SSL_SESSION_get_time_ex(session);
#else
    return (int64_t)SSL_SESSION_get_time(session);
#endif
}

static bool session_fresh(const SSL_SESSION *session)
{
    int64_t life = SSL_SESSION_get_timeout(session);

    return now_seconds() < session_born(session) + life;
}

SSL_SESSION *tls_sessions_take(struct tls_settings *t, slice key)
{
    struct tls_rules *rules = tls_rules_of_ctx(tls_settings_ctx(t));
    struct tls_sessions *s = rules ? rules->sessions : NULL;
    SSL_SESSION *session = NULL;
    struct entry *entry;

    if (!s)
        return NULL;
    (void)pthread_mutex_lock(&s->lock);
    entry = map_get(&s->by_key, key);
    if (entry) {
        session = entry->at[--entry->count];
        if (entry->count == 0)
            drop_entry(s, entry);
    }
    (void)pthread_mutex_unlock(&s->lock);
    if (session && !session_fresh(session)) {
        /* The older one is no fresher. */
        SSL_SESSION_free(session);
        session = NULL;
    }
    return session;
}

/* Seconds that a session may live: no longer than either certificate. */
static int64_t session_life(const struct tls_rules *rules,
                            const SSL_SESSION *session)
{
    /* OpenSSL 3.0 takes no const here; it only reads. */
    X509 *peer = SSL_SESSION_get0_peer((SSL_SESSION *)(uintptr_t)session);
    int64_t now = now_seconds(), life = LIFE_MAX, end;

    if (rules->id && rules->id->not_after - now < life)
        life = rules->id->not_after - now;
    if (peer && !pem_date(X509_get0_notAfter(peer), &end))
        return 0;
    if (peer && end - now < life)
        life = end - now;
    return life;
}

int tls_sessions_on_new(SSL *ssl, SSL_SESSION *session)
{
    struct tls_rules *rules = tls_rules_of(ssl);
    const struct tls_verify *v = tls_verify_of(ssl);
    int64_t life = rules ? session_life(rules, session) : 0;

    if (life <= 0) {
        (void)SSL_CTX_remove_session(SSL_get_SSL_CTX(ssl), session);
        return 0;
    }
    (void)SSL_SESSION_set_timeout(session, (long)life);
    if (!rules->sessions || !v || v->reason || slice_empty(v->expect))
        return 0;
    tls_sessions_put(rules->sessions, v->expect, session);
    return 1; /* taken */
}
