/* SPDX-License-Identifier: Apache-2.0 */
/* For each proof: connect, and see what arrives at our listener within the time.
 *
 *   arrived, and was going where we dialled       proved
 *   arrived, and was going elsewhere              rewritten in connect()
 *   answered, but not by us; refused; nothing     not redirected
 */
#include "proxy/redirect/prove.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "proxy/accept/orig_dst.h"

enum { V4, V6, FAMILIES };
/* How long an accepted connection may come after connect() says it is up. */
static const int64_t MARGIN = 500 * NSEC_PER_MSEC;

static const char *const family_names[FAMILIES] = {"IPv4", "IPv6"};

struct prover {
    const struct prove_options *opt;
    struct text *notes;
    int listeners[FAMILIES]; /* -1: the pod has no such family */
    unsigned proved;
};

enum arrival {
    ARRIVED,
    NO_ROUTE, /* the pod cannot dial it at all */
    FAILED,   /* connect() ended with an error */
    STRAYED,  /* connected to somebody else */
    SILENT,   /* neither within the time */
};

struct seen {
    enum arrival arrival;
    struct address destination; /* as the kernel tells, when it arrived */
    bool told;                  /* it does tell */
    int err;
};

static void shut(int *fd)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    if (*fd < 0)
        return;
    /* Nothing of this shall linger when the proxy takes the port. */
    setsockopt(*fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(*fd);
    *fd = -1;
}

static int open_tcp(int family)
{
    return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* ---- one connection ---- */

static bool is_ours(const struct address *peer, int dialled)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    struct address own;

    if (getsockname(dialled, (struct sockaddr *)&sa, &len))
        return false;
    address_from(&own, (struct sockaddr *)&sa);
    return address_eq(&own, peer);
}

/* True when what `dialled` sent has arrived; other connections are dropped. */
static bool take(int listener, int dialled, struct seen *out)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    struct address peer;
    int fd = accept4(listener, (struct sockaddr *)&sa, &len, SOCK_CLOEXEC);

    if (fd < 0)
        return false;
    address_from(&peer, (struct sockaddr *)&sa);
    bool ours = is_ours(&peer, dialled);
    if (ours) {
        out->arrival = ARRIVED;
        out->told = orig_dst_of(fd, &out->destination) == OK;
    }
    shut(&fd);
    return ours;
}

static int milliseconds(int64_t ns)
{
    int64_t ms = (ns + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC;

    return ms < 0 ? 0 : ms > INT_MAX ? INT_MAX : (int)ms;
}

/* connect() has ended: well, or with an error. */
static void ended(int dialled, struct seen *out, int64_t *until)
{
    socklen_t len = sizeof out->err;

    getsockopt(dialled, SOL_SOCKET, SO_ERROR, &out->err, &len);
    out->arrival = out->err ? FAILED : STRAYED;
    if (!out->err && *until > clock_mono_ns() + MARGIN)
        *until = clock_mono_ns() + MARGIN;
}

static void watch(int listener, int dialled, int64_t timeout, struct seen *out)
{
    int64_t until = clock_mono_ns() + timeout;

    out->arrival = SILENT;
    while (out->arrival != FAILED) {
        struct pollfd p[] = {
            {.fd = listener, .events = POLLIN},
            {.fd = out->arrival == SILENT ? dialled : -1, .events = POLLOUT},
        };
        int64_t left = until - clock_mono_ns();

        if (left <= 0 || (poll(p, 2, milliseconds(left)) < 0 && errno != EINTR))
            return;
        if (p[0].revents && take(listener, dialled, out))
            return;
        if (p[1].revents)
            ended(dialled, out, &until);
    }
}

static enum status dial(int listener, const struct address *to, int64_t timeout,
                        struct seen *out, struct error *e)
{
    int fd = open_tcp(to->sa.sa_family);

    *out = (struct seen){0};
    if (fd < 0)
        return error_set(e, ERR_IO, "cannot open a socket: %s",
                         strerror(errno));
    if (connect(fd, &to->sa, address_len(to)) && errno != EINPROGRESS) {
        out->err = errno;
        out->arrival = errno == ENETUNREACH || errno == EHOSTUNREACH ||
                               errno == EADDRNOTAVAIL
                           ? NO_ROUTE
                           : FAILED;
    } else {
        watch(listener, fd, timeout, out);
    }
    shut(&fd);
    return OK;
}

/* ---- sentences ---- */

static const char *why_not(const struct seen *s)
{
    switch (s->arrival) {
    case FAILED:
    case NO_ROUTE:
        return strerror(s->err);
    case STRAYED:
        return "somebody else answered it";
    default:
        return "nothing happened in time";
    }
}

static enum status not_redirected(const struct prover *p, const char *proof,
                                  const struct address *to,
                                  const struct seen *s, struct error *e)
{
    char text[ADDRESS_TEXT];

    return error_set(
        e, ERR_DENIED,
        "%s failed: a connection to %.*s did not arrive at the proxy's port %u "
        "(%s). The packet rules have no effect in this pod: see that nothing "
        "else sets NAT rules in it, and that the node's kernel has nf_tables "
        "with NAT",
        proof, FMT(address_format(to, text)), p->opt->rules->outbound_port,
        why_not(s));
}

static enum status not_told(const char *proof, const struct address *to,
                            struct error *e)
{
    char text[ADDRESS_TEXT];

    return error_set(e, ERR_DENIED,
                     "%s failed: a connection to %.*s arrived, but the kernel "
                     "does not tell where it was going (SO_ORIGINAL_DST): see "
                     "that nothing turns off connection tracking in this pod",
                     proof, FMT(address_format(to, text)));
}

static enum status rewritten(const char *proof, const struct address *to,
                             const struct seen *s, struct error *e)
{
    char want[ADDRESS_TEXT], have[ADDRESS_TEXT];

    return error_set(
        e, ERR_DENIED,
        "%s failed: a connection to %.*s arrived as one to %.*s. The network "
        "plugin replaces addresses of Services in connect(), so no route would "
        "apply: turn its socket load balancing off in pods (Cilium: "
        "socketLB.hostNamespaceOnly=true)",
        proof, FMT(address_format(to, want)),
        FMT(address_format(&s->destination, have)));
}

static enum status judge(struct prover *p, const char *proof,
                         const struct address *to, const struct seen *s,
                         struct error *e)
{
    char text[ADDRESS_TEXT];

    if (s->arrival != ARRIVED)
        return not_redirected(p, proof, to, s, e);
    if (!s->told)
        return not_told(proof, to, e);
    if (!address_eq(&s->destination, to))
        return rewritten(proof, to, s, e);
    p->proved++;
    text_printf(p->notes, "%s: a connection to %.*s arrives at the proxy\n",
                proof, FMT(address_format(to, text)));
    return OK;
}

/* ---- proof 1 ---- */

/* Addresses for documentation and benchmarks (RFC 5737, 3849, 2544, 9637):
 * nobody has them. */
static const char *const nobodys[FAMILIES][4] = {
    {"192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1"},
    {"[2001:db8::1]", "[3fff::1]", "[2001:2::1]", "[100::1]"},
};
static const uint16_t ports[] = {80, 443, 8080, 1024, 5000, 20000, 60000};

static bool skipped(const struct rules *r, const struct address *a)
{
    return port_set_has(&r->skip_outbound, address_port(a)) ||
           subnet_set_has(&r->skip_subnets, a);
}

/* An address that nobody has and no setting exempts. */
static bool choose(const struct rules *r, int family, struct address *out)
{
    char text[ADDRESS_TEXT];

    for (size_t i = 0; i < 4; i++)
        for (size_t n = 0; n < sizeof ports / sizeof *ports; n++) {
            int len = snprintf(text, sizeof text, "%s:%u", nobodys[family][i],
                               ports[n]);
            if (!address_parse(slice_of(text, (size_t)len), out) &&
                !skipped(r, out))
                return true;
        }
    return false;
}

static enum status prove_redirection(struct prover *p, int family,
                                     struct error *e)
{
    char proof[64];
    struct address to;
    struct seen seen;

    snprintf(proof, sizeof proof, "proof 1 (redirection, %s)",
             family_names[family]);
    if (p->listeners[family] < 0) {
        text_printf(p->notes, "%s: left out, the pod has no %s\n", proof,
                    family_names[family]);
        return OK;
    }
    if (!choose(p->opt->rules, family, &to)) {
        text_printf(p->notes, "%s: left out, all of it is skipped\n", proof);
        return OK;
    }
    enum status rc = dial(p->listeners[family], &to, p->opt->timeout, &seen, e);
    if (rc)
        return rc;
    if (seen.arrival == NO_ROUTE) {
        text_printf(p->notes, "%s: left out, the pod has no default route\n",
                    proof);
        return OK;
    }
    return judge(p, proof, &to, &seen, e);
}

/* ---- proof 2 ---- */

static enum status prove_destination(struct prover *p, const struct address *to,
                                     struct error *e)
{
    static const char proof[] = "proof 2 (original destination)";
    int family = to->sa.sa_family == AF_INET ? V4 : V6;
    char text[ADDRESS_TEXT];
    slice name = address_format(to, text);
    struct seen seen;

    if (skipped(p->opt->rules, to)) {
        text_printf(p->notes, "%s: left out, %.*s is skipped\n", proof,
                    FMT(name));
        return OK;
    }
    if (p->listeners[family] < 0)
        return error_set(e, ERR_DENIED,
                         "%s failed: the controller's address %.*s is %s, "
                         "which this pod does not have",
                         proof, FMT(name), family_names[family]);
    enum status rc = dial(p->listeners[family], to, p->opt->timeout, &seen, e);
    return rc ? rc : judge(p, proof, to, &seen, e);
}

/* ---- both ---- */

static enum status listen_on(struct prover *p, int family, struct error *e)
{
    static const char *const loopback[FAMILIES] = {"127.0.0.1:0", "[::1]:0"};
    struct address at;
    int on = 1;

    if (address_parse(slice_str(loopback[family]), &at))
        return ERR_INVALID; /* cannot be */
    address_set_port(&at, p->opt->rules->outbound_port);
    int fd = open_tcp(at.sa.sa_family);
    p->listeners[family] = fd;
    if (fd < 0 && errno == EAFNOSUPPORT)
        return OK;
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (bind(fd, &at.sa, address_len(&at)) == 0 && listen(fd, 16) == 0)
            return OK;
    }
    int err = errno;
    shut(&p->listeners[family]);
    if (err == EADDRNOTAVAIL)
        return OK;
    return error_set(e, ERR_IO,
                     "the proofs need the proxy's port %u on loopback: %s",
                     p->opt->rules->outbound_port, strerror(err));
}

static enum status check_who(const struct rules *r, struct error *e)
{
    if (geteuid() != r->uid && getegid() != r->gid)
        return OK;
    return error_set(e, ERR_INVALID,
                     "tulle-init runs with the proxy's own user or group id "
                     "(%u:%u), which is not redirected, so nothing can be "
                     "proved: run it as root",
                     r->uid, r->gid);
}

static enum status prove_all(struct prover *p, struct error *e)
{
    enum status rc = OK;

    for (int family = 0; family < FAMILIES && !rc; family++)
        rc = listen_on(p, family, e);
    for (int family = 0; family < FAMILIES && !rc; family++)
        rc = prove_redirection(p, family, e);
    for (unsigned i = 0; i < p->opt->controllers_len && !rc; i++)
        rc = prove_destination(p, &p->opt->controllers[i], e);
    return rc;
}

enum status prove(const struct prove_options *opt, struct text *notes,
                  struct error *e)
{
    struct prover p = {.opt = opt, .notes = notes, .listeners = {-1, -1}};
    enum status rc = check_who(opt->rules, e);

    if (!rc)
        rc = prove_all(&p, e);
    shut(&p.listeners[V4]);
    shut(&p.listeners[V6]);
    return rc;
}
