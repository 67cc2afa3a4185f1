/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/accept/passage.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/detect/client_hello.h"

enum { RECORD_HEADER = 5 };

/* --- the server's name --- */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

slice server_name(slice sni, char buf[SERVER_NAME_TEXT])
{
    char before = '.'; /* no label is empty */

    if (sni.len >= SERVER_NAME_TEXT)
        return SLICE("invalid");
    for (size_t i = 0; i < sni.len; i++) {
        buf[i] = lower(sni.ptr[i]);
        if (!is_name_char(buf[i]) && (buf[i] != '.' || before == '.'))
            return SLICE("invalid");
        before = buf[i];
    }
    return sni.len && before == '.' ? SLICE("invalid") : slice_of(buf, sni.len);
}

static void found(struct passage *p, const struct target *t,
                  const struct client_hello *hello)
{
    char buf[SERVER_NAME_TEXT];
    slice name = server_name(client_hello_name(hello), buf);

    telemetry_tally(t->worker->telemetry, TALLY_SERVER_NAME, t->inbound, name);
    p->sni = mem_str(name);
}

/* A first record that is not there as a whole is not worth a look. */
static bool is_whole(const struct passage *p)
{
    const unsigned char *b = (const unsigned char *)p->hello;

    return p->hello_len >= RECORD_HEADER &&
           p->hello_len >= RECORD_HEADER + ((size_t)b[3] << 8 | b[4]);
}

static void stop_looking(struct passage *p)
{
    p->looked = true;
    mem_free(p->hello);
    p->hello = NULL;
    p->hello_len = 0;
}

static void look(struct passage *p, const struct target *t)
{
    struct client_hello hello;
    enum status rc = ERR_AGAIN;

    if (!client_hello_begins(slice_of(p->hello, p->hello_len)))
        rc = ERR_PROTOCOL;
    else if (is_whole(p) || p->hello_len >= CLIENT_HELLO_MAX)
        rc = client_hello_read(slice_of(p->hello, p->hello_len), &hello);
    if (rc == ERR_AGAIN)
        return;
    if (rc == OK)
        found(p, t, &hello);
    stop_looking(p);
}

bool passage_see(struct passage *p, const struct target *t, slice bytes)
{
    if (p->looked || !bytes.len)
        return !p->looked;
    bytes = slice_sub(bytes, 0, CLIENT_HELLO_MAX - p->hello_len);
    p->hello = mem_resize(p->hello, p->hello_len + bytes.len);
    memcpy(p->hello + p->hello_len, bytes.ptr, bytes.len);
    p->hello_len += bytes.len;
    look(p, t);
    return !p->looked;
}

/* --- the line --- */

void passage_init(struct passage *p, const struct worker *w)
{
    *p = (struct passage){.started = loop_now(&w->loop)};
}

void passage_fini(struct passage *p)
{
    stop_looking(p);
    mem_free(p->endpoint);
    mem_free(p->sni);
    p->endpoint = p->sni = NULL;
}

void passage_try(struct passage *p, const struct worker *w,
                 const struct endpoint *ep)
{
    p->attempts++;
    if (!access_log_on(w->telemetry))
        return;
    mem_free(p->endpoint);
    p->endpoint = mem_str(ep->text);
}

static slice text_or_none(const char *s)
{
    return s ? slice_str(s) : SLICE_NONE;
}

void passage_log(const struct passage *p, const struct target *t, enum fault f,
                 uint64_t bytes_in, uint64_t bytes_out)
{
    const struct worker *w = t->worker;
    char client[ADDRESS_TEXT];
    struct access_entry e = {
        .inbound = t->inbound,
        .peer = text_or_none(t->inbound ? t->peer : t->row_peer),
        .service = slice_str(t->service),
        .endpoint = text_or_none(p->endpoint),
        .sni = text_or_none(p->sni),
        .fault = f,
        .attempts = p->attempts,
        .bytes_in = bytes_in,
        .bytes_out = bytes_out,
        .duration = loop_now(&w->loop) - p->started,
        .secured = t->inbound ? t->secured : t->row_secured,
    };

    if (!access_log_on(w->telemetry))
        return;
    e.client = address_format(&t->client, client);
    access_log_write(w->telemetry, &e);
}
