/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/telemetry/access_log.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/json/json_write.h"
#include "proxy/telemetry/parts.h"

struct access_log {
    struct loop *loop;
    int fd;
    struct flush flush;
    struct text waiting; /* whole lines */
    count dropped;
};

/* --- one line --- */

static void member_cut(struct json_write *w, const char *name, slice s,
                       size_t max)
{
    json_member_text(w, name, slice_sub(s, 0, max));
}

static void http_members(struct json_write *w, const struct access_entry *e,
                         size_t max)
{
    slice path = e->path, query;

    (void)slice_cut(e->path, '?', &path, &query);
    member_cut(w, "method", e->method, max);
    member_cut(w, "authority", e->authority, max);
    member_cut(w, "path", path, max);
    member_cut(w, "requestId", e->request_id, max);
    json_member_int(w, "status", (int64_t)e->status);
}

static void time_member(struct json_write *w, int64_t real_ns)
{
    char date[21], text[32];

    clock_format_rfc3339(real_ns / NSEC_PER_SEC, date);
    int n = snprintf(text, sizeof text, "%.19s.%03dZ", date,
                     (int)(real_ns / NSEC_PER_MSEC % 1000));
    json_member_string(w, "time", slice_of(text, (size_t)n));
}

static void line(struct text *out, const struct access_entry *e,
                 int64_t real_ns, size_t max)
{
    struct json_write w;

    json_write_init(&w, out);
    json_write_object(&w);
    time_member(&w, real_ns);
    json_member_string(&w, "direction",
                       e->inbound ? SLICE("inbound") : SLICE("outbound"));
    json_member_string(&w, "protocol", e->http ? SLICE("http") : SLICE("tcp"));
    member_cut(&w, "client", e->client, max);
    member_cut(&w, "peer", e->peer, max);
    member_cut(&w, "service", e->service, max);
    member_cut(&w, "endpoint", e->endpoint, max);
    json_member_bool(&w, "tls", e->secured);
    if (e->http)
        http_members(&w, e, max);
    member_cut(&w, "sni", e->sni, max);
    if (e->fault != FAULT_NONE)
        json_member_string(&w, "fault", fault_row(e->fault)->name);
    json_member_u64(&w, "attempts", e->attempts);
    json_member_u64(&w, "bytesIn", e->bytes_in);
    json_member_u64(&w, "bytesOut", e->bytes_out);
    json_member_int(&w, "durationUs", e->duration / NSEC_PER_USEC);
    json_write_object_end(&w);
    text_add_char(out, '\n');
}

/* A byte may become six (\u001f): cut harder until the line fits. */
void access_line(struct text *out, const struct access_entry *e,
                 int64_t real_ns)
{
    for (size_t max = 1024; max >= 16; max /= 4) {
        char room[ACCESS_LINE_MAX + 1]; /* lent: no allocation a line */
        struct text one = {
            .ptr = room, .cap = sizeof room, .limit = ACCESS_LINE_MAX};

        line(&one, e, real_ns, max);
        if (!one.failed) {
            text_add(out, text_slice(&one));
            return;
        }
    }
    assert(false); /* nine names of 16 bytes, escaped, fit */
}

/* --- lines of a pass --- */

/* Whole lines of at most ACCESS_LINE_MAX bytes off the front. */
static slice take_lines(slice *rest)
{
    slice part = slice_sub(*rest, 0, ACCESS_LINE_MAX);
    ptrdiff_t last = slice_rfind(part, '\n');

    part = slice_sub(part, 0, (size_t)last + 1);
    *rest = slice_sub(*rest, part.len, rest->len);
    return part;
}

static bool writable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};

    return poll(&p, 1, 0) == 1 && !(p.revents & (POLLERR | POLLNVAL));
}

static bool write_part(int fd, slice part)
{
    ssize_t n;

    if (!writable(fd))
        return false;
    do {
        n = write(fd, part.ptr, part.len);
    } while (n < 0 && errno == EINTR);
    return n == (ssize_t)part.len;
}

static uint64_t lines_in(slice s)
{
    uint64_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += s.ptr[i] == '\n';
    return n;
}

static void write_waiting(struct access_log *log)
{
    slice rest = text_slice(&log->waiting);

    while (rest.len) {
        slice part = take_lines(&rest);

        if (!write_part(log->fd, part))
            count_add(&log->dropped, lines_in(part));
    }
    text_clear(&log->waiting);
}

static void on_flush(struct flush *f)
{
    write_waiting(CONTAINER_OF(f, struct access_log, flush));
}

struct access_log *access_log_new(struct loop *l, int fd)
{
    struct access_log *log = MEM_NEW(struct access_log);

    log->loop = l;
    log->fd = fd;
    text_init(&log->waiting, ACCESS_WAITING_MAX + ACCESS_LINE_MAX);
    flush_init(&log->flush, on_flush);
    return log;
}

void access_log_free(struct access_log *log)
{
    if (!log)
        return;
    write_waiting(log);
    flush_cancel(&log->flush);
    text_fini(&log->waiting);
    mem_free(log);
}

void access_log_add(struct access_log *log, const struct access_entry *e,
                    int64_t real_ns)
{
    access_line(&log->waiting, e, real_ns);
    if (log->waiting.len >= ACCESS_WAITING_MAX)
        write_waiting(log);
    loop_flush_later(log->loop, &log->flush);
}

uint64_t access_log_dropped(const struct access_log *log)
{
    return count_get(&log->dropped);
}
