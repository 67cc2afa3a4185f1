/* SPDX-License-Identifier: Apache-2.0 */
/* Output of an HTTP/1 connection: how an owner's head, body and trailers become
 * bytes. The framing is chosen here, from what the head knows. */
#include <assert.h>

#include "lib/http/h1_conn.h"

static struct h1_conn *conn_of(struct exchange *x)
{
    return CONTAINER_OF(x, struct h1_exchange, x)->h;
}

/* RFC 9112 section 6.3 and 6.1: a response to HEAD and 304 may name the length
 * that a body would have had. */
static enum h1_framing response_framing(struct h1_conn *h,
                                        const struct exchange *x,
                                        const struct head *head, bool end)
{
    if (head->status == 204 || head->status < 200 || x->tunnel)
        return H1_NO_BODY;
    if (x->is_head_request || head->status == 304)
        return head->content_length >= 0 ? H1_LENGTH : H1_NO_BODY;
    if (head->content_length >= 0 || end)
        return H1_LENGTH;
    return h->peer_minor >= 1 ? H1_CHUNKED : H1_UNTIL_CLOSE;
}

static enum h1_framing request_framing(const struct head *head, bool end)
{
    if (head->method_id == HTTP_CONNECT)
        return H1_NO_BODY;
    if (end)
        return head->content_length == 0 ? H1_LENGTH : H1_NO_BODY;
    return head->content_length >= 0 ? H1_LENGTH : H1_CHUNKED;
}

/* Bytes go straight into the stream's queue, without a copy of their own. */
static void write_head(struct h1_conn *h, const struct head *head)
{
    struct bufq q;
    bufq_init(&q, &h->c.loop->chunks);
    if (h->c.server)
        h1_write_response(&q, head, h->out_framing, !h->keep_alive);
    else
        h1_write_request(&q, head, h->out_framing, false);
    while (q.len) {
        slice front = bufq_front(&q);
        stream_write(h->c.stream, front.ptr, front.len);
        bufq_drop(&q, front.len);
    }
    bufq_fini(&q);
}

static void start_tunnel(struct h1_conn *h)
{
    h->keep_alive = false;
    h->out_framing = H1_UNTIL_CLOSE;
    if (!h->c.server)
        return;
    if (h->read_state != H1_READ_BODY) /* else when that was read */
        h->read_state = H1_READ_TUNNEL;
    h1_resume(h);
}

static void send_response(struct h1_conn *h, struct exchange *x,
                          const struct head *head, bool end)
{
    if (!x->head_out) { /* informational */
        h->out_framing = H1_NO_BODY;
        if (h->peer_minor == 0)
            return; /* RFC 9110 section 15.2: never to HTTP/1.0 */
        if (stream_queued(h->c.stream) > H1_QUEUE_HIGH)
            return; /* no credit is asked for them: the queue is the bound */
        bool keep = h->keep_alive;
        h->keep_alive = true;
        if (head->status == 100)
            h->expecting = false;
        write_head(h, head);
        h->keep_alive = keep;
        return;
    }
    bool stops = !x->end_in && h->read_state == H1_READ_BODY && end &&
                 !x->rest_wanted;
    /* Behind a CONNECT that was not granted may be what was meant for the tunnel:
     * it must not be taken for requests. */
    bool refused = x->connect && !x->upgrade;
    if (!x->tunnel && (h->c.draining || stops || h->expecting || refused))
        h->keep_alive = false;
    bool none = x->is_head_request || http_status_bodyless(head->status);
    struct head copy = *head;
    if (copy.content_length < 0)
        copy.content_length = 0;
    if (end && !none && !x->tunnel && copy.content_length > 0) {
        h1_break(h, RESET_PROTOCOL,
                 ERR_PROTOCOL); /* promises what never comes */
        return;
    }
    h->out_framing = (uint8_t)response_framing(h, x, head, end);
    if (h->out_framing == H1_UNTIL_CLOSE)
        h->keep_alive = false;
    h->out_left = (uint64_t)copy.content_length;
    bool keep = h->keep_alive;
    if (x->tunnel)
        h->keep_alive = true; /* "connection: upgrade", not close */
    write_head(h, &copy);
    h->keep_alive = keep;
    if (none || end)
        h->out_framing = H1_NO_BODY;
    if (x->tunnel)
        start_tunnel(h);
    else if (x->connect && !x->upgrade && h->read_state == H1_READ_WAIT)
        x->end_in = true; /* no tunnel came of it: the request has ended */
}

static void send_head(struct exchange *x, const struct head *head, bool end)
{
    struct h1_conn *h = conn_of(x);
    h->progress = loop_now(h->c.loop);
    if (h->c.server) {
        send_response(h, x, head, end);
    } else {
        h->method = head->method_id;
        h->out_framing = (uint8_t)request_framing(head, end);
        h->out_left = end || head->content_length < 0
                          ? 0
                          : (uint64_t)head->content_length;
        write_head(h, head);
        if (end)
            h->out_framing = H1_NO_BODY;
    }
    h1_arm(h);
    h1_settle(h);
}

/* False when the owner's bytes do not fit the length it announced: the peer
 * must not take them for something else. */
static bool send_counted(struct h1_conn *h, slice data, bool end)
{
    if (data.len > h->out_left || (end && data.len < h->out_left))
        return false;
    h->out_left -= data.len;
    stream_write(h->c.stream, data.ptr, data.len);
    return true;
}

static void write_chunk(struct h1_conn *h, slice data)
{
    char line[20];
    int n = snprintf(line, sizeof line, "%zx\r\n", data.len);
    stream_write(h->c.stream, line, (size_t)n);
    stream_write(h->c.stream, data.ptr, data.len);
    stream_write(h->c.stream, "\r\n", 2);
}

static void write_last_chunk(struct h1_conn *h, const struct headers *trailers)
{
    struct bufq q;
    bufq_init(&q, &h->c.loop->chunks);
    h1_write_last_chunk(&q, trailers);
    while (q.len) {
        slice front = bufq_front(&q);
        stream_write(h->c.stream, front.ptr, front.len);
        bufq_drop(&q, front.len);
    }
    bufq_fini(&q);
}

void h1_tunnel_answered(struct h1_conn *h, bool granted)
{
    struct exchange *x = &h->x->x;
    size_t n = h->early.len;
    if (x->upgrade) { /* a message, and maybe still under way */
        if (granted && x->request_over)
            h->out_framing = H1_UNTIL_CLOSE;
        return;
    }
    if (!granted) { /* the request was its head: it has ended */
        x->end_out = true;
        bufq_drop(&h->early, n);
        exchange_got_sent(x, n);
        return;
    }
    h->out_framing = H1_UNTIL_CLOSE;
    h->unsent += (uint32_t)n;
    while (h->early.len) {
        slice front = bufq_front(&h->early);
        stream_write(h->c.stream, front.ptr, front.len);
        bufq_drop(&h->early, front.len);
    }
    if (x->end_out)
        stream_end(h->c.stream);
}

/* Bytes of a tunnel must not be taken for another request: they wait. */
static bool tunnel_waits(const struct exchange *x)
{
    return !x->server && x->connect && !x->upgrade && !x->head_in;
}

/* A request has been sent to its end after its upgrade was granted. */
static void message_sent(struct h1_conn *h, const struct exchange *x)
{
    if (!x->server && x->tunnel)
        h->out_framing = H1_UNTIL_CLOSE;
}

static void send_body(struct exchange *x, slice data, bool end)
{
    struct h1_conn *h = conn_of(x);
    if (tunnel_waits(x)) {
        bufq_add(&h->early, data.ptr, data.len);
        return;
    }
    h->unsent += (uint32_t)data.len;
    switch (h->out_framing) {
    case H1_LENGTH:
        if (send_counted(h, data, end))
            break;
        h1_break(h, RESET_PROTOCOL, ERR_PROTOCOL);
        return;
    case H1_CHUNKED:
        if (data.len)
            write_chunk(h, data);
        if (end)
            write_last_chunk(h, NULL);
        break;
    case H1_UNTIL_CLOSE:
        stream_write(h->c.stream, data.ptr, data.len);
        if (end && x->tunnel)
            stream_end(h->c.stream);
        break;
    default: /* the body of an answer to HEAD goes nowhere */
        break;
    }
    if (end)
        message_sent(h, x);
    stream_wake(
        h->c.stream); /* credit comes with the flush, also for nothing */
    h1_arm(h);
    h1_settle(h);
}

static void send_trailers(struct exchange *x, const struct headers *trailers)
{
    struct h1_conn *h = conn_of(x);
    if (tunnel_waits(x))
        return;
    if (h->out_framing == H1_LENGTH && h->out_left) {
        h1_break(h, RESET_PROTOCOL, ERR_PROTOCOL);
        return;
    }
    if (h->out_framing == H1_CHUNKED)
        write_last_chunk(h, trailers);
    else if (x->tunnel && h->out_framing == H1_UNTIL_CLOSE)
        stream_end(h->c.stream);
    message_sent(h, x);
    h1_arm(h);
    h1_settle(h);
}

static void consumed(struct exchange *x, size_t n)
{
    struct h1_conn *h = conn_of(x);
    assert(n <= h->owed);
    h->owed -= (uint32_t)n;
    h->progress = loop_now(h->c.loop); /* the peer could not go on before */
    h1_resume(h);
}

static void drop_rest(struct exchange *x)
{
    h1_settle(conn_of(x));
}

static void reset(struct exchange *x, enum reset_why why)
{
    struct h1_conn *h = conn_of(x);
    /* HTTP/1 has no way to break one exchange: the connection goes. Before the
     * response head a server still could answer, but its owner chose not to. */
    h1_break(h, why, ERR_CANCELED);
}

const struct carrier h1_carrier = {
    .name = "http/1.1",
    .send_head = send_head,
    .send_body = send_body,
    .send_trailers = send_trailers,
    .consumed = consumed,
    .drop_rest = drop_rest,
    .reset = reset,
};
