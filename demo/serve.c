/* SPDX-License-Identifier: Apache-2.0 */
/* The three services. libmicrohttpd gives each connection a thread, so an
 * answer may simply wait for the next service.
 *
 * Happy path: handle() -> the role's function fills a reply -> send_reply().
 * When the next service fails, the answer is 502 and says which status and
 * which tulle-fault came back. On SIGTERM: stop accepting, let requests in
 * flight end (each told to close its connection), then stop. */
#include "demo/demo.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 256
#define IDLE_SECONDS 60
#define DRAIN_SECONDS 10
#define SHOWN_MAX 600 /* of a failed upstream's own words */

struct server;
struct reply;
typedef void role_fn(struct server *s, const struct trace *t, bool html,
                     FILE *out, struct reply *r);

struct role {
    const char *name, *path;
    role_fn *answer;
};

struct server {
    const struct options *o;
    const struct role *role;
    struct calls *calls;
    char name[64];      /* catalog-v1 */
    atomic_uint served; /* spreads --fail-percent evenly */
    atomic_bool draining;
    pthread_mutex_t lock; /* guards in_flight */
    pthread_cond_t idle;
    unsigned in_flight;
};

struct reply {
    unsigned status;
    const char *type;
    char served_by[256]; /* upstream's, to be put after our own name */
};

static void put_json(FILE *out, const char *text)
{
    putc('"', out);
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\')
            fprintf(out, "\\%c", *p);
        else if (*p < 0x20 || *p > 0x7e)
            fprintf(out, "\\u%04x", *p);
        else
            putc(*p, out);
    }
    putc('"', out);
}

static void put_html(FILE *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '<')
            fputs("&lt;", out);
        else if (text[i] == '&')
            fputs("&amp;", out);
        else
            putc(text[i], out);
    }
}

static void catalog(struct server *s, const struct trace *t, bool html,
                    FILE *out, struct reply *r)
{
    static const struct {
        const char *id, *name;
        unsigned cents, stock;
    } items[] = {
        {"desk", "Walnut desk", 24900, 4},
        {"lamp", "Brass lamp", 5900, 17},
        {"veil", "Tulle veil", 1200, 230},
    };
    const char *version = s->o->version ? s->o->version : "v1";
    bool stock = strcmp(version, "v1") != 0; /* what is new since v2 */

    (void)t;
    (void)html;
    (void)r;
    fprintf(out, "{\"service\":\"catalog\",\"version\":\"%s\",\"items\":[",
            version);
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        fprintf(out, "%s{\"id\":\"%s\",\"name\":\"%s\",\"price_cents\":%u",
                i ? "," : "", items[i].id, items[i].name, items[i].cents);
        if (stock)
            fprintf(out, ",\"stock\":%u", items[i].stock);
        putc('}', out);
    }
    fputs("]}\n", out);
}

static bool is_object(const struct answer *a)
{
    return a->status == 200 && a->body_len && a->body[0] == '{';
}

static void cart(struct server *s, const struct trace *t, bool html, FILE *out,
                 struct reply *r)
{
    struct answer a;

    (void)html;
    calls_get(s->calls, t, &a);
    memcpy(r->served_by, a.served_by, sizeof r->served_by);
    if (is_object(&a)) {
        while (a.body[a.body_len - 1] == '\n')
            a.body_len--;
        fprintf(out, "{\"service\":\"cart\",\"catalog\":%.*s}\n",
                (int)a.body_len, a.body);
        goto out;
    }
    r->status = MHD_HTTP_BAD_GATEWAY;
    fputs("{\"error\":\"catalog failed\",\"status\":", out);
    fprintf(out, "%ld,\"fault\":", a.status);
    put_json(out, a.fault);
    fputs(",\"problem\":", out);
    put_json(out, a.status == 200 ? "not a JSON object" : a.problem);
    fputs("}\n", out);
out:
    answer_fini(&a);
}

static void put_page(FILE *out, bool html, const char *title,
                     const char *served_by, const struct answer *a)
{
    size_t shown = a->body_len;

    if (a->status != 200 && shown > SHOWN_MAX)
        shown = SHOWN_MAX;
    if (!html) {
        fprintf(out, "%s\nserved by %s\n%.*s", title, served_by, (int)shown,
                a->body ? a->body : "");
        return;
    }
    fputs("<!doctype html><title>Tulle demo shop</title><h1>", out);
    put_html(out, title, strlen(title));
    fputs("</h1><p>served by ", out);
    put_html(out, served_by, strlen(served_by));
    fputs("<pre>", out);
    put_html(out, a->body ? a->body : "", shown);
    fputs("</pre>\n", out);
}

static void web(struct server *s, const struct trace *t, bool html, FILE *out,
                struct reply *r)
{
    struct answer a;
    char title[320], chain[512];

    calls_get(s->calls, t, &a);
    memcpy(r->served_by, a.served_by, sizeof r->served_by);
    snprintf(chain, sizeof chain, "%s%s%s", s->name, *a.served_by ? ", " : "",
             a.served_by);
    r->type = html ? "text/html; charset=utf-8" : "text/plain; charset=utf-8";
    if (is_object(&a)) {
        snprintf(title, sizeof title, "Tulle demo shop");
    } else {
        r->status = MHD_HTTP_BAD_GATEWAY;
        snprintf(title, sizeof title, "cart failed: status %ld%s%s%s%s",
                 a.status, *a.fault ? ", tulle-fault " : "", a.fault,
                 *a.problem ? ", " : "", a.problem);
    }
    put_page(out, html, title, chain, &a);
    answer_fini(&a);
}

static const struct role roles[] = {
    {"web", "/", web},
    {"cart", "/items", cart},
    {"catalog", "/items", catalog},
};

/* True for exactly so many of 100 requests, evenly spread. */
static bool fails_now(struct server *s)
{
    unsigned n = atomic_fetch_add(&s->served, 1) % 100;
    unsigned percent = s->o->fail_percent;

    return (n + 1) * percent / 100 != n * percent / 100;
}

/* Takes `body`, NULL when memory ran out: then the connection just ends. */
static enum MHD_Result send_reply(struct server *s, struct MHD_Connection *c,
                                  char *body, size_t len, const struct reply *r)
{
    struct MHD_Response *resp = NULL;
    enum MHD_Result rc = MHD_NO;
    char chain[512];

    if (!body)
        goto out;
    resp = MHD_create_response_from_buffer(len, body, MHD_RESPMEM_MUST_FREE);
    if (!resp)
        goto out;
    body = NULL; /* moved */
    snprintf(chain, sizeof chain, "%s%s%s", s->name, *r->served_by ? ", " : "",
             r->served_by);
    MHD_add_response_header(resp, "content-type", r->type);
    MHD_add_response_header(resp, "x-served-by", chain);
    if (r->status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(resp, "allow", "GET, HEAD");
    if (atomic_load(&s->draining))
        MHD_add_response_header(resp, "connection", "close");
    rc = MHD_queue_response(c, r->status, resp);
out:
    MHD_destroy_response(resp); /* NULL is fine */
    free(body);
    return rc;
}

static void answer_role(struct server *s, struct MHD_Connection *c, FILE *out,
                        struct reply *r)
{
    const struct trace t = {
        MHD_lookup_connection_value(c, MHD_HEADER_KIND, "traceparent"),
        MHD_lookup_connection_value(c, MHD_HEADER_KIND, "tracestate"),
        MHD_lookup_connection_value(c, MHD_HEADER_KIND, "x-request-id"),
    };
    const char *accept = MHD_lookup_connection_value(c, MHD_HEADER_KIND,
                                                     "accept");
    struct timespec delay = {s->o->delay_ms / 1000,
                             s->o->delay_ms % 1000 * 1000000L};

    nanosleep(&delay, NULL);
    if (fails_now(s)) {
        r->status = MHD_HTTP_INTERNAL_SERVER_ERROR;
        fputs("{\"error\":\"failed as told by --fail-percent\"}\n", out);
        return;
    }
    s->role->answer(s, &t, accept && strstr(accept, "text/html"), out, r);
}

static enum MHD_Result answer(struct server *s, struct MHD_Connection *c,
                              const char *path, const char *method)
{
    struct reply r = {.status = MHD_HTTP_OK, .type = "application/json"};
    char *body = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&body, &len);

    if (!out)
        return MHD_NO;
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        r.status = MHD_HTTP_METHOD_NOT_ALLOWED;
        fputs("{\"error\":\"GET and HEAD only\"}\n", out);
    } else if (!strcmp(path, "/healthz")) {
        r.type = "text/plain";
        fputs("ok\n", out);
    } else if (!strcmp(path, s->role->path)) {
        answer_role(s, c, out, &r);
    } else {
        r.status = MHD_HTTP_NOT_FOUND;
        fprintf(out, "{\"error\":\"not found; try %s\"}\n", s->role->path);
    }
    fclose(out); /* now body is complete; on error it stays NULL or short */
    return send_reply(s, c, body, len, &r);
}

static void count(struct server *s, bool begins)
{
    pthread_mutex_lock(&s->lock);
    s->in_flight += begins ? 1 : -1U;
    if (!s->in_flight)
        pthread_cond_signal(&s->idle);
    pthread_mutex_unlock(&s->lock);
}

/* Called when the head is there, for each part of a body, and at its end. */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *c,
                                  const char *path, const char *method,
                                  const char *version, const char *data,
                                  size_t *data_len, void **state)
{
    struct server *s = cls;

    (void)version;
    (void)data;
    if (!*state) {
        *state = s;
        count(s, true);
        return MHD_YES;
    }
    if (*data_len) {
        *data_len = 0; /* nobody wants a body: read and forget */
        return MHD_YES;
    }
    return answer(s, c, path, method);
}

static void on_request_end(void *cls, struct MHD_Connection *c, void **state,
                           enum MHD_RequestTerminationCode why)
{
    (void)c;
    (void)why;
    if (*state)
        count(cls, false);
    *state = NULL;
}

/* Cuts "[::1]:80" or "127.0.0.1:80" in two; false if it is neither. */
static bool cut_address(const char *text, char *host, size_t size,
                        const char **port)
{
    const char *colon = strrchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : 0;

    if (!len || !colon[1])
        return false;
    if (len > 2 && text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    }
    *port = colon + 1;
    return (size_t)snprintf(host, size, "%.*s", (int)len, text) < size;
}

static int open_listener(const char *text)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    const char *port;
    char host[64];
    int fd = -1, on = 1;

    if (!cut_address(text, host, sizeof host, &port) ||
        getaddrinfo(host, port, &hints, &found)) {
        fprintf(stderr, "tulle-demo: --listen wants ADDR:PORT, not %s\n", text);
        return -1;
    }
    fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
        bind(fd, found->ai_addr, found->ai_addrlen) || listen(fd, 128)) {
        fprintf(stderr, "tulle-demo: cannot listen on %s: %s\n", text,
                strerror(errno));
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

static void announce(int fd)
{
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof addr;
    char host[64], port[16];

    if (getsockname(fd, (struct sockaddr *)&addr, &len) ||
        getnameinfo((struct sockaddr *)&addr, len, host, sizeof host, port,
                    sizeof port, NI_NUMERICHOST | NI_NUMERICSERV))
        return;
    printf(addr.ss_family == AF_INET6 ? "listening [%s]:%s\n"
                                      : "listening %s:%s\n",
           host, port);
    fflush(stdout);
}

static void wait_for_signal(void)
{
    sigset_t stop;
    int which;

    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    sigwait(&stop, &which);
}

static void drain(struct server *s)
{
    struct timespec until;
    int rc = 0;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += DRAIN_SECONDS;
    pthread_mutex_lock(&s->lock);
    while (s->in_flight && !rc)
        rc = pthread_cond_timedwait(&s->idle, &s->lock, &until);
    pthread_mutex_unlock(&s->lock);
}

static int run(struct server *s, int fd)
{
    struct MHD_Daemon *d = MHD_start_daemon(
        MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD |
            MHD_USE_ITC | MHD_USE_POLL,
        0, NULL, NULL, on_request, s, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_NOTIFY_COMPLETED, on_request_end, s,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS, MHD_OPTION_END);

    if (!d) {
        fputs("tulle-demo: cannot start the server\n", stderr);
        close(fd);
        return 1;
    }
    announce(fd);
    wait_for_signal();
    atomic_store(&s->draining, true);
    MHD_quiesce_daemon(d);
    close(fd); /* ours again */
    drain(s);
    MHD_stop_daemon(d);
    return 0;
}

int serve(const struct options *o)
{
    struct server s = {.o = o,
                       .lock = PTHREAD_MUTEX_INITIALIZER,
                       .idle = PTHREAD_COND_INITIALIZER};
    char url[512];
    int fd, rc = 1;

    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (!strcmp(roles[i].name, o->role))
            s.role = &roles[i];
    snprintf(s.name, sizeof s.name, "%s%s%s", o->role, o->version ? "-" : "",
             o->version ? o->version : "");
    /* web asks cart, cart asks catalog: both have their list at /items. */
    if (o->upstream &&
        (size_t)snprintf(url, sizeof url, "%s/items", o->upstream) < sizeof url)
        s.calls = calls_new(url);
    if (o->upstream && !s.calls)
        goto out;
    fd = open_listener(o->listen);
    if (fd >= 0)
        rc = run(&s, fd);
out:
    calls_free(s.calls);
    return rc;
}
