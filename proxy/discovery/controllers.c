/* SPDX-License-Identifier: Apache-2.0 */
/* next -> names that were not asked lately are -> all have answered, or patience
 * is over -> an address, from what is known by then.
 *
 * A name that fails keeps the addresses it had. */
#include "proxy/discovery/controllers.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

static struct log_area area = LOG_AREA("discovery");
static const struct log log_ = {.area = &area};

/* An answer is good for so long: several connect at the same time. */
static const int64_t FRESH = NSEC_PER_SEC;
/* How long somebody waits for names: with other addresses at hand, without. */
static const int64_t PATIENCE = 2 * NSEC_PER_SEC;
static const int64_t PATIENCE_MAX = 5 * NSEC_PER_SEC;

struct name {
    struct controllers *of;
    char host[DNS_NAME_MAX];
    uint16_t port;
    struct dns_query *query; /* under way */
    int64_t asked;           /* loop time of the last answer, or 0 */
    struct address at[DNS_ADDRESSES_MAX];
    size_t n;
};

struct controllers {
    struct loop *loop;
    struct controllers_resolver resolver;
    struct name names[CONTROLLERS_MAX];
    size_t names_len;
    struct address given[CONTROLLERS_MAX];
    size_t given_len;
    struct list waiting;
};

/* ---- the list ---- */

static bool host_valid(slice host)
{
    if (host.len == 0 || host.len >= DNS_NAME_MAX)
        return false;
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
            !(c >= '0' && c <= '9') && c != '-' && c != '.')
            return false;
    }
    return true;
}

static enum status add(struct controllers *c, slice item, struct error *e)
{
    struct name *n = &c->names[c->names_len];
    slice host, port_text;
    uint64_t port;

    if (c->names_len + c->given_len == CONTROLLERS_MAX)
        return error_set(e, ERR_TOO_BIG, "controller: more than %d",
                         CONTROLLERS_MAX);
    if (address_parse(item, &c->given[c->given_len]) == OK) {
        c->given_len++;
        return OK;
    }
    if (!slice_rcut(item, ':', &host, &port_text) ||
        slice_to_u64(port_text, UINT16_MAX, &port) || port == 0 ||
        !host_valid(host) || slice_to_cstr(host, n->host, sizeof n->host))
        return error_set(e, ERR_INVALID,
                         "controller: '%.*s' is neither IP:port nor name:port",
                         FMT(item));
    n->of = c;
    n->port = (uint16_t)port;
    c->names_len++;
    return OK;
}

enum status controllers_new(struct controllers **out, struct loop *l,
                            slice list, const struct controllers_resolver *r,
                            struct error *e)
{
    static const struct controllers_resolver own = {dns_query, dns_cancel};
    struct controllers *c = MEM_NEW(struct controllers);
    enum status rc = OK;
    slice item;

    c->loop = l;
    c->resolver = r ? *r : own;
    list_init(&c->waiting);
    while (!rc && slice_next(&list, ',', &item))
        rc = add(c, slice_trim(item), e);
    if (rc) {
        mem_free(c);
        return rc;
    }
    *out = c;
    return OK;
}

void controllers_free(struct controllers *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->names_len; i++)
        if (c->names[i].query)
            c->resolver.cancel(c->names[i].query);
    mem_free(c);
}

/* ---- an address ---- */

struct all {
    struct address at[CONTROLLERS_MAX * DNS_ADDRESSES_MAX + CONTROLLERS_MAX];
    size_t n;
};

static void collect(struct all *all, const struct address *at, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t seen = 0;

        while (seen < all->n && !address_eq(&all->at[seen], &at[i]))
            seen++;
        if (seen == all->n)
            all->at[all->n++] = at[i];
    }
}

static bool choose(struct controllers *c, struct controllers_pick *p,
                   struct address *to)
{
    struct all all = {.n = 0};
    size_t first;

    for (size_t i = 0; i < c->names_len; i++)
        collect(&all, c->names[i].at, c->names[i].n);
    first = all.n;
    collect(&all, c->given, c->given_len);
    if (all.n == 0)
        return false;
    if (!p->begun) /* proxies spread over what there is */
        p->next = (uint32_t)rand_below(&c->loop->rand, first ? first : all.n);
    p->begun = true;
    *to = all.at[p->next % all.n];
    p->next = (uint32_t)((p->next + 1) % all.n);
    return true;
}

/* ---- waiting ---- */

static bool asking(const struct controllers *c)
{
    for (size_t i = 0; i < c->names_len; i++)
        if (c->names[i].query)
            return true;
    return false;
}

void controllers_cancel(struct controllers_pick *p)
{
    if (!p->of)
        return;
    timer_stop(&p->of->loop->timers, &p->patience);
    list_remove(&p->node);
    p->of = NULL;
}

static void answer(struct controllers_pick *p)
{
    struct controllers *c = p->of;
    struct address to;

    controllers_cancel(p);
    bool found = choose(c, p, &to);
    p->done(p, found ? &to : NULL);
}

static void on_patience(struct timer *t)
{
    answer(CONTAINER_OF(t, struct controllers_pick, patience));
}

static void on_names(void *arg, enum status rc, const struct address *at,
                     size_t n, const char *why)
{
    struct name *name = arg;
    struct controllers *c = name->of;
    struct list *node;

    name->query = NULL;
    name->asked = loop_now(c->loop);
    if (rc) {
        log_warn(&log_, "the controller's name does not resolve",
                 "name=%s why=\"%s\"", name->host, why);
    } else {
        memcpy(name->at, at, n * sizeof *at);
        name->n = n;
    }
    if (asking(c))
        return;
    while ((node = c->waiting.next) != &c->waiting)
        answer(CONTAINER_OF(node, struct controllers_pick, node));
}

static void ask_names(struct controllers *c)
{
    int64_t now = loop_now(c->loop);

    for (size_t i = 0; i < c->names_len; i++) {
        struct name *n = &c->names[i];

        if (n->query || (n->asked && now - n->asked < FRESH))
            continue;
        if (c->resolver.query(&n->query, c->loop, slice_str(n->host), n->port,
                              on_names, n)) {
            n->query = NULL;
            log_warn(&log_, "the controller's name cannot be asked for",
                     "name=%s", n->host);
        }
    }
}

static bool knows_any(const struct controllers *c)
{
    for (size_t i = 0; i < c->names_len; i++)
        if (c->names[i].n)
            return true;
    return c->given_len > 0;
}

enum status controllers_next(struct controllers *c, struct controllers_pick *p,
                             struct address *to, controllers_fn *done)
{
    ask_names(c);
    if (!asking(c) && choose(c, p, to))
        return OK;
    p->of = c;
    p->done = done;
    timer_init(&p->patience, on_patience);
    timer_set(&c->loop->timers, &p->patience,
              loop_now(c->loop) + (!asking(c)     ? 1
                                   : knows_any(c) ? PATIENCE
                                                  : PATIENCE_MAX));
    list_push_back(&c->waiting, &p->node);
    return ERR_AGAIN;
}
