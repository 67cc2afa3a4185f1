/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/limits.h"

static void on_hit(void *owner, enum http_limit which)
{
    const struct side *side = owner;
    telemetry_limit(side->telemetry, side->inbound, (enum limit)which);
}

static struct http_limits of_side(struct http_limits all, struct side *side)
{
    all.on_hit = on_hit;
    all.owner = side;
    return all;
}

static struct http_limits limits_of(const struct config *c)
{
    struct http_limits all = http_limits_default;
    all.head_bytes = (uint32_t)c->max_head_bytes;
    all.max_headers = (uint32_t)c->max_headers;
    all.trailer_bytes = (uint32_t)c->max_trailer_bytes;
    all.chunk_line = (uint32_t)c->max_chunk_line;
    all.head_timeout = c->head_timeout;
    all.idle_timeout = c->http_idle_timeout;
    all.body_timeout = c->body_timeout;
    all.body_window = (uint32_t)c->body_window;
    all.max_streams = (uint32_t)c->max_streams;
    all.stream_window = (uint32_t)c->stream_window;
    all.stream_window_max = (uint32_t)c->stream_window_max;
    all.session_window = (uint32_t)c->connection_window;
    all.max_resets = (uint32_t)c->max_resets;
    all.max_controls = (uint32_t)c->max_controls;
    return all;
}

void limits_set(struct worker *w)
{
    const struct config *c = w->config;
    struct http_limits all = limits_of(c);
    struct side *out = &w->sides[false], *in = &w->sides[true];
    *out = (struct side){.telemetry = w->telemetry};
    *in = (struct side){.telemetry = w->telemetry, .inbound = true};
    w->http[false] = of_side(all, out);
    w->http[true] = of_side(all, in);
    w->up.app_limits = of_side(all, in);
    w->up.app_limits.idle_timeout = c->pool_idle;
    /* Its streams are of many clients, of whom some may not read. */
    w->up.app_limits.session_window = (uint32_t)c->link_window;
    w->up.plain_limits = of_side(w->up.app_limits, out);
    /* A proxy adds fields of its own: the next one must take them. */
    w->inbound_link = of_side(all, in);
    w->inbound_link.head_bytes += 4096;
    w->inbound_link.max_headers += 8;
    w->inbound_link.idle_timeout = 2 * c->link_idle;
    /* Who does not read, or send, is cut by the proxy beside him, which knows. */
    w->inbound_link.body_timeout += c->body_timeout / 2;
    w->inbound_link.session_window = (uint32_t)c->link_window;
    /* So are those of a link, whose deadlines may end in one moment. */
    w->inbound_link.max_resets *= 10;
    w->link_limits = of_side(w->inbound_link, out);
    w->max_connections = (uint32_t)(c->max_connections / c->workers);
    w->max_requests = (uint32_t)(c->max_requests / c->workers);
}
