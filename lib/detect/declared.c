/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/detect/declared.h"

struct word {
    slice text;
    enum protocol protocol;
};

/* Values of appProtocol, and what comes before the first "-" of a port name.
 * A value that is not here says nothing: the bytes decide. (Treating unknown
 * values as opaque would silently switch off routes.) */
static const struct word words[] = {
    {SLICE_INIT("http"), PROTOCOL_HTTP},
    {SLICE_INIT("http1"), PROTOCOL_HTTP1},
    {SLICE_INIT("http/1.1"), PROTOCOL_HTTP1},
    {SLICE_INIT("kubernetes.io/ws"), PROTOCOL_HTTP1},
    {SLICE_INIT("ws"), PROTOCOL_HTTP1},
    {SLICE_INIT("http2"), PROTOCOL_HTTP2},
    {SLICE_INIT("http/2"), PROTOCOL_HTTP2},
    {SLICE_INIT("h2c"), PROTOCOL_HTTP2},
    {SLICE_INIT("kubernetes.io/h2c"), PROTOCOL_HTTP2},
    {SLICE_INIT("grpc"), PROTOCOL_GRPC},
    {SLICE_INIT("grpc-web"), PROTOCOL_HTTP},
    {SLICE_INIT("https"), PROTOCOL_TLS},
    {SLICE_INIT("tls"), PROTOCOL_TLS},
    {SLICE_INIT("kubernetes.io/wss"), PROTOCOL_TLS},
    {SLICE_INIT("wss"), PROTOCOL_TLS},
    {SLICE_INIT("tcp"), PROTOCOL_OPAQUE},
    {SLICE_INIT("linkerd.io/opaque"), PROTOCOL_OPAQUE},
    {SLICE_INIT("amqp"), PROTOCOL_OPAQUE},
    {SLICE_INIT("cassandra"), PROTOCOL_OPAQUE},
    {SLICE_INIT("ftp"), PROTOCOL_OPAQUE},
    {SLICE_INIT("imap"), PROTOCOL_OPAQUE},
    {SLICE_INIT("kafka"), PROTOCOL_OPAQUE},
    {SLICE_INIT("ldap"), PROTOCOL_OPAQUE},
    {SLICE_INIT("memcache"), PROTOCOL_OPAQUE},
    {SLICE_INIT("memcached"), PROTOCOL_OPAQUE},
    {SLICE_INIT("mongo"), PROTOCOL_OPAQUE},
    {SLICE_INIT("mongodb"), PROTOCOL_OPAQUE},
    {SLICE_INIT("mqtt"), PROTOCOL_OPAQUE},
    {SLICE_INIT("mysql"), PROTOCOL_OPAQUE},
    {SLICE_INIT("nats"), PROTOCOL_OPAQUE},
    {SLICE_INIT("pop3"), PROTOCOL_OPAQUE},
    {SLICE_INIT("postgres"), PROTOCOL_OPAQUE},
    {SLICE_INIT("postgresql"), PROTOCOL_OPAQUE},
    {SLICE_INIT("redis"), PROTOCOL_OPAQUE},
    {SLICE_INIT("smtp"), PROTOCOL_OPAQUE},
    {SLICE_INIT("ssh"), PROTOCOL_OPAQUE},
};

/* SMTP, submission, MySQL and Galera, whose servers speak first; PostgreSQL,
 * Redis, Elasticsearch's transport and memcached, which are never HTTP. */
static const uint16_t opaque_ports[] = {25,   587,  3306, 4444,
                                        5432, 6379, 9300, 11211};

static bool look_up(slice text, enum protocol *out)
{
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (slice_eq_nocase(words[i].text, text)) {
            *out = words[i].protocol;
            return true;
        }
    return false;
}

/* "grpc-web-api" is grpc-web, "http-metrics" is http, "redis" is redis. */
static bool by_name(slice name, enum protocol *out)
{
    slice head;

    if (slice_starts(name, SLICE("grpc-web")))
        name = slice_sub(name, 0, SLICE("grpc-web").len);
    else if (slice_cut(name, '-', &head, &(slice){0}))
        name = head;
    return look_up(name, out);
}

enum protocol declared_protocol(const struct declaration *d)
{
    enum protocol p;

    if (d->opaque)
        return PROTOCOL_OPAQUE;
    if (!slice_empty(d->app_protocol))
        return look_up(d->app_protocol, &p) ? p : PROTOCOL_DETECT;
    if (by_name(d->port_name, &p))
        return p;
    for (size_t i = 0; i < sizeof opaque_ports / sizeof *opaque_ports; i++)
        if (opaque_ports[i] == d->port)
            return PROTOCOL_OPAQUE;
    return PROTOCOL_DETECT;
}

static bool to_port(slice text, uint16_t *out)
{
    uint64_t n;

    if (slice_to_u64(slice_trim(text), UINT16_MAX, &n) || n == 0)
        return false;
    *out = (uint16_t)n;
    return true;
}

static bool to_range(slice part, uint16_t *first, uint16_t *last)
{
    slice low, high;

    if (!slice_cut(part, '-', &low, &high))
        low = high = part;
    return to_port(low, first) && to_port(high, last) && *first <= *last;
}

bool declared_ports_next(slice *rest, uint16_t *first, uint16_t *last)
{
    slice part;

    while (slice_next(rest, ',', &part))
        if (to_range(part, first, last))
            return true;
    return false;
}

bool declared_ports_have(slice list, uint16_t port)
{
    uint16_t first, last;

    while (declared_ports_next(&list, &first, &last))
        if (port >= first && port <= last)
            return true;
    return false;
}

enum status declared_ports_check(slice list, struct error *e)
{
    uint16_t first, last;
    slice part;

    if (slice_empty(slice_trim(list)))
        return OK;
    while (slice_next(&list, ',', &part))
        if (!to_range(part, &first, &last))
            return error_set(e, ERR_INVALID,
                             "'%.*s' is not a port or a range of ports "
                             "(like 25 or 8000-8100)",
                             FMT(slice_trim(part)));
    return OK;
}
