/* SPDX-License-Identifier: Apache-2.0 */
/* Logs: `time level area id "message" key=value ...` as text, or one JSON
 * object a line. The message is constant; facts are key=value. Levels are per
 * area and may be changed at run time from any thread. */
#ifndef TULLE_BASE_LOG_H
#define TULLE_BASE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/slice.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE };

/* One per area, static: `static struct log_area area = LOG_AREA("link");` It
 * registers itself at first use. */
struct log_area {
    const char *name;
    atomic_int level; /* -1: not yet registered */
    struct log_area *next;
};
#define LOG_AREA(name_)              \
    {                                \
        .name = (name_), .level = -1 \
    }

/* For values that may hold spaces: "why=" LOG_QUOTED, FMT(s) */
#define LOG_QUOTED "\"%.*s\""

/* Who speaks: an area and a number that tells connections apart (0: none). */
struct log {
    struct log_area *area;
    uint64_t id;
};

/* "info" or "info,link=debug,tls=trace". Applies to areas known and to those
 * that come later. ERR_INVALID names what is wrong. */
CHECKED enum status log_set_levels(slice spec, struct error *e);
/* The spec in force. Copies into `dst`. */
void log_get_levels(char *dst, size_t cap);
/* Default: text on stderr. */
void log_set_json(bool json);
/* For tests: every finished line goes to `sink` instead of stderr. */
void log_set_sink(void (*sink)(void *arg, slice line), void *arg);

bool log_on(const struct log *log, enum log_level level);
/* `facts` is a printf format of key=value pairs; values with spaces are quoted
 * by the caller with LOG_QUOTED. At most 2,000 bytes a line, one write(2). */
void log_write(const struct log *log, enum log_level level, const char *message,
               const char *facts, ...) PRINTF(4, 5);

#define log_at(log, level, ...)                     \
    do {                                            \
        if (log_on((log), (level)))                 \
            log_write((log), (level), __VA_ARGS__); \
    } while (0)
/* Message and facts: log_info(&l, "listening", "addr=%s", a); facts "" if none */
#define log_error(log, ...) log_at(log, LOG_ERROR, __VA_ARGS__)
#define log_warn(log, ...) log_at(log, LOG_WARN, __VA_ARGS__)
#define log_info(log, ...) log_at(log, LOG_INFO, __VA_ARGS__)
#define log_debug(log, ...) log_at(log, LOG_DEBUG, __VA_ARGS__)
#define log_trace(log, ...) log_at(log, LOG_TRACE, __VA_ARGS__)

#endif
