/* SPDX-License-Identifier: Apache-2.0 */
/* The hot question, log_on, is one relaxed load of the area's level. The mutex
 * is taken when an area speaks for the first time and when levels change. A
 * line is built on the stack and leaves in one write(2). */
#include "lib/base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/text.h"

enum { LINE_MAX_BYTES = 2000, SPEC_MAX = 512, RULES_MAX = 32 };

static const char *const level_names[] = {"error", "warn", "info", "debug",
                                          "trace"};

/* "info,link=debug": what areas without a rule get, and the rules. */
struct levels {
    int rest;
    size_t n;
    struct {
        slice area; /* in `spec` */
        int level;
    } rules[RULES_MAX];
    char spec[SPEC_MAX];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct log_area *areas;
static struct levels levels = {.rest = LOG_INFO, .spec = "info"};
static atomic_bool as_json;
static void (*_Atomic sink_fn)(void *arg, slice line);
static void *_Atomic sink_arg;

static int level_of(const struct levels *l, slice area)
{
    for (size_t i = 0; i < l->n; i++) {
        if (slice_eq(l->rules[i].area, area))
            return l->rules[i].level;
    }
    return l->rest;
}

/* With the lock held. */
static void apply(struct log_area *area)
{
    atomic_store_explicit(&area->level,
                          level_of(&levels, slice_str(area->name)),
                          memory_order_relaxed);
}

static __attribute__((noinline)) void enlist(struct log_area *area)
{
    pthread_mutex_lock(&lock);
    if (atomic_load_explicit(&area->level, memory_order_relaxed) < 0) {
        area->next = areas;
        areas = area;
        apply(area);
    }
    pthread_mutex_unlock(&lock);
}

bool log_on(const struct log *log, enum log_level level)
{
    int now = atomic_load_explicit(&log->area->level, memory_order_relaxed);

    if (__builtin_expect(now < 0, 0)) {
        enlist(log->area);
        now = atomic_load_explicit(&log->area->level, memory_order_relaxed);
    }
    return (int)level <= now;
}

static int parse_level(slice s)
{
    for (int i = LOG_ERROR; i <= LOG_TRACE; i++) {
        if (slice_eq_nocase(s, slice_str(level_names[i])))
            return i;
    }
    return -1;
}

static enum status add_rule(struct levels *l, slice part, struct error *e)
{
    slice area = SLICE_NONE, name = part;
    bool named = slice_cut(part, '=', &area, &name);
    int level = parse_level(name);

    if (level < 0)
        return error_set(e, ERR_INVALID,
                         "'%.*s' is not a log level (error, warn, info, debug "
                         "or trace)",
                         FMT(name));
    if (!named) {
        l->rest = level;
        return OK;
    }
    if (slice_empty(area))
        return error_set(e, ERR_INVALID, "'%.*s' names no area", FMT(part));
    if (l->n == RULES_MAX)
        return error_set(e, ERR_INVALID, "more than %d areas", RULES_MAX);
    l->rules[l->n].area = area;
    l->rules[l->n].level = level;
    l->n++;
    return OK;
}

enum status log_set_levels(slice spec, struct error *e)
{
    struct levels next = {.rest = LOG_INFO};
    slice rest, part;
    enum status rc;

    if (slice_to_cstr(spec, next.spec, sizeof next.spec))
        return error_set(e, ERR_INVALID, "log levels: not text below %d bytes",
                         SPEC_MAX);
    /* Rules point into the copy that stays. */
    rest = slice_str(next.spec);
    while (slice_next(&rest, ',', &part)) {
        rc = add_rule(&next, slice_trim(part), e);
        if (rc)
            return error_prefix(e, rc, "log levels");
    }
    pthread_mutex_lock(&lock);
    levels = next;
    for (size_t i = 0; i < levels.n; i++)
        levels.rules[i].area.ptr = levels.spec +
                                   (next.rules[i].area.ptr - next.spec);
    for (struct log_area *a = areas; a; a = a->next)
        apply(a);
    pthread_mutex_unlock(&lock);
    return OK;
}

void log_get_levels(char *dst, size_t cap)
{
    pthread_mutex_lock(&lock);
    snprintf(dst, cap, "%s", levels.spec);
    pthread_mutex_unlock(&lock);
}

void log_set_json(bool json)
{
    atomic_store_explicit(&as_json, json, memory_order_relaxed);
}

void log_set_sink(void (*sink)(void *arg, slice line), void *arg)
{
    atomic_store(&sink_arg, arg);
    atomic_store(&sink_fn, sink);
}

static void add_time(struct text *t)
{
    int64_t now = clock_real_ns();
    char date[21];

    clock_format_rfc3339(now / NSEC_PER_SEC, date);
    text_printf(t, "%.19s.%03dZ", date,
                (int)(now % NSEC_PER_SEC / NSEC_PER_MSEC));
}

/* Peers choose some of the bytes: none may end the line or steer a terminal. */
static void add_clean(struct text *t, slice s)
{
    while (s.len) {
        size_t n = 0;

        while (n < s.len && (unsigned char)s.ptr[n] >= 0x20 && s.ptr[n] != 0x7f)
            n++;
        text_add(t, slice_of(s.ptr, n));
        if (n == s.len)
            return;
        text_printf(t, "\\x%02x", (unsigned)(unsigned char)s.ptr[n]);
        s = slice_sub(s, n + 1, s.len);
    }
}

static void build_text(struct text *t, const struct log *log,
                       enum log_level level, const char *message, slice facts)
{
    add_time(t);
    text_printf(t, " %s %s ", level_names[level], log->area->name);
    if (log->id)
        text_printf(t, "%llu", (unsigned long long)log->id);
    else
        text_add_char(t, '-');
    text_printf(t, " \"%s\"", message);
    if (facts.len) {
        text_add_char(t, ' ');
        add_clean(t, facts);
    }
    t->limit = LINE_MAX_BYTES;
    if (t->failed)
        text_add(t, SLICE("..."));
    text_add_char(t, '\n');
}

/* The length of the key when "key=" stands at the front, else 0. */
static size_t key_len(slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (c == '=')
            return i;
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
              c == '.' || c == '-'))
            return 0;
    }
    return 0;
}

/* Where the value at the front ends. A quoted one ends at a quote before a
 * space; any other before " key=", so a forgotten quote loses nothing. */
static size_t value_len(slice s)
{
    bool quoted = s.len && s.ptr[0] == '"';

    for (size_t i = 1; i < s.len; i++) {
        if (s.ptr[i] != ' ')
            continue;
        if (quoted ? i > 1 && s.ptr[i - 1] == '"'
                   : key_len(slice_sub(s, i + 1, s.len)) > 0)
            return i;
    }
    return s.len;
}

static bool take_fact(slice *facts, slice *key, slice *value)
{
    size_t n;

    while (facts->len && facts->ptr[0] == ' ')
        *facts = slice_sub(*facts, 1, facts->len);
    if (facts->len == 0)
        return false;
    n = key_len(*facts);
    *key = n ? slice_of(facts->ptr, n) : SLICE("facts");
    if (n)
        *facts = slice_sub(*facts, n + 1, facts->len);
    if (facts->len && facts->ptr[0] == ' ')
        n = 0; /* "key= next=1" */
    else
        n = value_len(*facts);
    *value = slice_sub(*facts, 0, n);
    *facts = slice_sub(*facts, n, facts->len);
    if (value->len >= 2 && value->ptr[0] == '"' &&
        value->ptr[value->len - 1] == '"')
        *value = slice_sub(*value, 1, value->len - 1);
    return true;
}

static void add_member(struct text *t, slice key, slice value)
{
    text_add(t, SLICE(",\""));
    text_add(t, key);
    text_add(t, SLICE("\":\""));
    text_add_json(t, value);
    text_add_char(t, '"');
}

static void build_json(struct text *t, const struct log *log,
                       enum log_level level, const char *message, slice facts)
{
    slice key, value;

    text_add(t, SLICE("{\"time\":\""));
    add_time(t);
    text_printf(t, "\",\"level\":\"%s\"", level_names[level]);
    add_member(t, SLICE("area"), slice_str(log->area->name));
    if (log->id)
        text_printf(t, ",\"id\":%llu", (unsigned long long)log->id);
    add_member(t, SLICE("message"), slice_str(message));
    while (take_fact(&facts, &key, &value)) {
        size_t whole = t->len;

        add_member(t, key, value);
        if (!t->failed)
            continue;
        /* A cut line is still one object. */
        t->len = whole;
        t->limit = LINE_MAX_BYTES;
        text_add(t, SLICE(",\"cut\":true"));
        break;
    }
    t->limit = LINE_MAX_BYTES;
    text_add(t, SLICE("}\n"));
}

static void emit(slice line)
{
    void (*sink)(void *, slice) = atomic_load(&sink_fn);
    ssize_t written;

    if (sink) {
        sink(atomic_load(&sink_arg), line);
        return;
    }
    /* Nobody to tell when this fails. */
    written = write(STDERR_FILENO, line.ptr, line.len);
    (void)written;
}

void log_write(const struct log *log, enum log_level level, const char *message,
               const char *facts, ...)
{
    enum { END = 16 }; /* for what closes a cut line */
    char said[LINE_MAX_BYTES], line[LINE_MAX_BYTES + 1];
    struct text t = {
        .ptr = line, .cap = sizeof line, .limit = LINE_MAX_BYTES - END};
    va_list ap;
    size_t len;
    int n;

    va_start(ap, facts);
    n = vsnprintf(said, sizeof said, facts, ap);
    va_end(ap);
    len = n < 0 ? 0 : (size_t)n;
    if (len >= sizeof said)
        len = sizeof said - 1;
    if (atomic_load_explicit(&as_json, memory_order_relaxed))
        build_json(&t, log, level, message, slice_of(said, len));
    else
        build_text(&t, log, level, message, slice_of(said, len));
    emit(text_slice(&t));
}
