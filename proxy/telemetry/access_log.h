/* SPDX-License-Identifier: Apache-2.0 */
/* One JSON object a line for every request and connection. Lines of one pass of
 * the loop are written together, whole lines of at most 4,096 bytes a write (so
 * that workers that share a pipe do not mix), and only when the file takes them
 * at once: a reader who does not read costs lines, which are counted, never a
 * worker's time. */
#ifndef TULLE_PROXY_TELEMETRY_ACCESS_LOG_H
#define TULLE_PROXY_TELEMETRY_ACCESS_LOG_H

#include "lib/net/loop.h"
#include "proxy/telemetry/telemetry.h"

enum {
    ACCESS_LINE_MAX = 4096,     /* PIPE_BUF */
    ACCESS_WAITING_MAX = 65536, /* bytes of one pass; then they are written */
};

struct access_log;

/* `fd` stays the caller's. */
struct access_log *access_log_new(struct loop *l, int fd);
/* Writes what waits. NULL is ignored. */
void access_log_free(struct access_log *log);
void access_log_add(struct access_log *log, const struct access_entry *e,
                    int64_t real_ns);
/* Lines lost; from any thread. */
uint64_t access_log_dropped(const struct access_log *log);

/* Pure: one line with its newline, at most ACCESS_LINE_MAX bytes; long names are
 * cut. The query of a path is left out, because secrets travel there. */
void access_line(struct text *out, const struct access_entry *e,
                 int64_t real_ns);

#endif
