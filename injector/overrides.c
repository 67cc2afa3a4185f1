/* SPDX-License-Identifier: Apache-2.0 */
/* For each row of the table: the pod's word, else the namespace's, else what was
 * there; checked and spelled in one way by the row's kind. */
#include "injector/overrides.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "injector/quantity.h"
#include "lib/base/clock.h"
#include "lib/base/text.h"
#include "lib/detect/declared.h"
#include "lib/http/path.h"
#include "lib/mesh/labels.h"

enum { VALUE_MAX = 1024, LIST_MAX = 64, COMPLAINT_VALUE = 100 };

/* Appends the one spelling of `v`. */
typedef enum status spell_fn(slice v, struct text *out);

/* --- kinds --- */

static enum status one_of(slice v, const char *const *words, struct text *out)
{
    for (; *words; words++) {
        if (!slice_eq(v, slice_str(*words)))
            continue;
        text_add(out, v);
        return OK;
    }
    return ERR_INVALID;
}

static enum status spell_mtls(slice v, struct text *out)
{
    static const char *const words[] = {"permissive", "strict", NULL};

    return one_of(v, words, out);
}

static enum status spell_bool(slice v, struct text *out)
{
    static const char *const words[] = {"true", "false", NULL};

    return one_of(v, words, out);
}

static enum status spell_ports(slice v, struct text *out)
{
    uint16_t first, last;
    unsigned n = 0;

    if (declared_ports_check(v, NULL))
        return ERR_INVALID;
    for (; declared_ports_next(&v, &first, &last); n++) {
        if (n == LIST_MAX)
            return ERR_TOO_BIG;
        text_printf(out, "%s%u", n ? "," : "", first);
        if (last != first)
            text_printf(out, "-%u", last);
    }
    return OK;
}

/* Clears the bits behind the first `bits`. */
static void mask(unsigned char *ip, size_t len, uint64_t bits)
{
    for (size_t i = 0; i < len; i++) {
        uint64_t kept = bits > 8 * i ? bits - 8 * i : 0;

        if (kept < 8)
            ip[i] &= (unsigned char)(0xff00 >> kept);
    }
}

static enum status spell_subnet(slice v, struct text *out)
{
    unsigned char ip[16];
    char text[INET6_ADDRSTRLEN];
    slice address = v, length = SLICE_NONE;
    bool prefix = slice_cut(v, '/', &address, &length);
    int family = slice_find(address, ':') >= 0 ? AF_INET6 : AF_INET;
    uint64_t most = family == AF_INET ? 32 : 128, bits = most;

    if (slice_to_cstr(address, text, sizeof text) ||
        inet_pton(family, text, ip) != 1)
        return ERR_INVALID;
    if (prefix && slice_to_u64(length, most, &bits))
        return ERR_INVALID;
    mask(ip, most / 8, bits);
    if (!inet_ntop(family, ip, text, sizeof text))
        return ERR_INVALID;
    text_printf(out, "%s/%u", text, (unsigned)bits);
    return OK;
}

static enum status spell_subnets(slice v, struct text *out)
{
    slice part;
    unsigned n = 0;

    if (slice_empty(slice_trim(v)))
        return OK;
    for (; slice_next(&v, ',', &part); n++) {
        if (n == LIST_MAX)
            return ERR_TOO_BIG;
        if (n)
            text_add_char(out, ',');
        if (spell_subnet(slice_trim(part), out))
            return ERR_INVALID;
    }
    return OK;
}

static enum status spell_cpu(slice v, struct text *out)
{
    char buf[QUANTITY_TEXT];
    uint64_t milli;

    if (quantity_cpu(v, &milli))
        return ERR_INVALID;
    text_add(out, quantity_cpu_format(milli, buf));
    return OK;
}

static enum status spell_memory(slice v, struct text *out)
{
    char buf[QUANTITY_TEXT];
    uint64_t bytes;
    bool binary;

    if (quantity_memory(v, &bytes, &binary))
        return ERR_INVALID;
    text_add(out, quantity_memory_format(bytes, binary, buf));
    return OK;
}

static enum status spell_workers(slice v, struct text *out)
{
    uint64_t n;

    if (slice_to_u64(v, 64, &n) || n == 0)
        return ERR_INVALID;
    text_printf(out, "%u", (unsigned)n);
    return OK;
}

static enum status spell_duration(slice v, int64_t min, int64_t max,
                                  struct text *out)
{
    int64_t ns;

    if (slice_to_duration(v, &ns) || ns < min || ns > max)
        return ERR_INVALID;
    text_add(out, v);
    return OK;
}

static enum status spell_grace(slice v, struct text *out)
{
    return spell_duration(v, 0, 3600 * NSEC_PER_SEC, out);
}

/* What Kubernetes' sleep takes. */
static enum status spell_delay(slice v, struct text *out)
{
    int64_t ns;

    if (slice_to_duration(v, &ns) || ns < 0 || ns > 60 * NSEC_PER_SEC ||
        ns % NSEC_PER_SEC)
        return ERR_INVALID;
    text_add(out, v);
    return OK;
}

static enum status spell_detect(slice v, struct text *out)
{
    return spell_duration(v, NSEC_PER_MSEC, 10 * NSEC_PER_SEC, out);
}

static enum status spell_path_rule(slice v, struct text *out)
{
    enum path_rule rule;

    if (path_rule_find(v, &rule))
        return ERR_INVALID;
    text_add(out, v);
    return OK;
}

static bool is_name(slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' &&
            c != '_')
            return false;
    }
    return s.len > 0;
}

static enum status spell_levels(slice v, struct text *out)
{
    static const char *const levels[] = {"error", "warn",  "info",
                                         "debug", "trace", NULL};
    slice part, rest = v;
    unsigned n = 0;

    for (; slice_next(&rest, ',', &part); n++) {
        slice area, level = part;

        if (slice_cut(part, '=', &area, &level) && !is_name(area))
            return ERR_INVALID;
        if (n)
            text_add_char(out, ',');
        if (level.ptr != part.ptr)
            text_printf(out, "%.*s=", FMT(area));
        if (one_of(level, levels, out))
            return ERR_INVALID;
    }
    return n ? OK : ERR_INVALID;
}

/* [registry[:port]/]path[:tag][@digest], with a tag that stands still. */
static enum status spell_image(slice v, struct text *out)
{
    slice rest = v, last, tag = SLICE_NONE, digest = SLICE_NONE, before;
    bool fixed = slice_rcut(v, '@', &rest, &digest);

    for (size_t i = 0; i < v.len; i++) {
        char c = v.ptr[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
            !(c >= '0' && c <= '9') && !strchr("._-/:@", c))
            return ERR_INVALID;
    }
    if (!slice_rcut(rest, '/', &before, &last))
        last = rest;
    (void)slice_cut(last, ':', &last, &tag);
    if (slice_empty(last) || slice_starts(rest, SLICE("/")))
        return ERR_INVALID;
    if (fixed ? !slice_starts(digest, SLICE("sha256:")) || digest.len != 71
              : slice_empty(tag) || slice_eq(tag, SLICE("latest")))
        return ERR_INVALID;
    text_add(out, v);
    return OK;
}

/* --- rows --- */

enum kind {
    KIND_MTLS,
    KIND_BOOL,
    KIND_PORTS,
    KIND_SUBNETS,
    KIND_CPU,
    KIND_MEMORY,
    KIND_WORKERS,
    KIND_GRACE,
    KIND_DELAY,
    KIND_DETECT,
    KIND_PATH_RULE,
    KIND_LEVELS,
    KIND_IMAGE,
};

static spell_fn *const spellers[] = {
    [KIND_MTLS] = spell_mtls,
    [KIND_BOOL] = spell_bool,
    [KIND_PORTS] = spell_ports,
    [KIND_SUBNETS] = spell_subnets,
    [KIND_CPU] = spell_cpu,
    [KIND_MEMORY] = spell_memory,
    [KIND_WORKERS] = spell_workers,
    [KIND_GRACE] = spell_grace,
    [KIND_DETECT] = spell_detect,
    [KIND_LEVELS] = spell_levels,
    [KIND_IMAGE] = spell_image,
    [KIND_DELAY] = spell_delay,
    [KIND_PATH_RULE] = spell_path_rule,
};

struct row {
    enum kind kind;
    const char *annotation, *expects;
    size_t offset;
};

static const struct row rows[] = {
#define X(kind_, field, annotation_, whose, expects_, help) \
    {.kind = KIND_##kind_,                                  \
     .annotation = (annotation_),                           \
     .expects = (expects_),                                 \
     .offset = offsetof(struct overrides, field)},
#include "injector/annotations.def"
#undef X
};
enum { ROWS = sizeof rows / sizeof *rows };

static slice *value_of(struct overrides *o, const struct row *r)
{
    return (slice *)((char *)o + r->offset);
}

/* "No limit". Lists are empty in their own right. */
static bool may_be_empty(const struct row *r)
{
    return r->offset == offsetof(struct overrides, proxy_cpu_limit) ||
           r->offset == offsetof(struct overrides, proxy_memory_limit);
}

/* Says it in the one spelling, in `arena`. */
static enum status spell(const struct row *r, slice v, struct arena *arena,
                         slice *out)
{
    struct text t;
    enum status rc;

    if (v.len > VALUE_MAX)
        return ERR_TOO_BIG;
    if (slice_empty(v) && may_be_empty(r)) {
        *out = SLICE("");
        return OK;
    }
    text_init(&t, 8 * VALUE_MAX);
    rc = spellers[r->kind](v, &t);
    if (!rc && t.failed)
        rc = ERR_TOO_BIG;
    if (!rc)
        rc = arena_copy(arena, text_slice(&t), out);
    if (!rc && !out->ptr)
        *out = SLICE("");
    text_fini(&t);
    return rc;
}

static void complain_of_value(struct error *e, const char *what,
                              const char *name, const struct row *r, slice v)
{
    error_set(e, ERR_INVALID, "%s%s: '%.*s%s' is not valid; expected %s", what,
              name, FMT(slice_sub(v, 0, COMPLAINT_VALUE)),
              v.len > COMPLAINT_VALUE ? "..." : "", r->expects);
}

static void complain_of_size(struct error *e, const char *what,
                             const char *name, slice v)
{
    if (v.len > VALUE_MAX)
        error_set(e, ERR_TOO_BIG, "%s%s: %zu bytes, at most %d are allowed",
                  what, name, v.len, VALUE_MAX);
    else
        error_set(e, ERR_TOO_BIG, "%s%s: more than %d items", what, name,
                  LIST_MAX);
}

static void complain(struct error *e, enum status rc, const char *what,
                     const char *name, const struct row *r, slice v)
{
    if (rc == ERR_TOO_BIG)
        complain_of_size(e, what, name, v);
    else
        complain_of_value(e, what, name, r, v);
}

enum status overrides_check(struct overrides *o, struct arena *arena,
                            struct error *e)
{
    for (size_t i = 0; i < ROWS; i++) {
        const struct row *r = &rows[i];
        slice *v = value_of(o, r), given = *v;

        if (slice_empty(given)) {
            *v = SLICE("");
            continue;
        }
        enum status rc = spell(r, given, arena, v);
        if (!rc)
            continue;
        complain(e, rc, "", r->annotation + sizeof ANNOTATION_PREFIX - 1, r,
                 given);
        return ERR_INVALID;
    }
    return OK;
}

/* --- reading --- */

/* The annotation's text; false without one. What is no text, which only a file
 * can say, is no value that any setting has. */
static bool said(struct json annotations, const struct row *r, slice *v)
{
    struct error ignored;

    *v = SLICE_NONE;
    if (json_opt_string(annotations, r->annotation, v, &ignored))
        *v = SLICE("(not a text)");
    return v->ptr != NULL;
}

static void read_namespace(struct overrides *out, const struct row *r, slice v,
                           struct notes *notes)
{
    slice *to = value_of(out, r);
    struct error why;
    enum status rc = spell(r, v, notes->arena, to);

    if (!rc)
        return;
    if (r->kind == KIND_MTLS)
        *to = SLICE("strict"); /* fails closed */
    complain(&why, rc, "annotation ", r->annotation, r, v);
    notes_add(notes, NOTE_NAMESPACE, "%s; %s holds", why.text,
              r->kind == KIND_MTLS ? "strict" : "the default");
}

static enum status read_row(struct overrides *out, const struct row *r,
                            struct json pod, struct json ns,
                            struct notes *notes, struct error *e)
{
    slice v;

    if (said(pod, r, &v)) {
        enum status rc = spell(r, v, notes->arena, value_of(out, r));

        if (!rc)
            return OK;
        complain(e, rc, "annotation ", r->annotation, r, v);
        return ERR_INVALID;
    }
    if (said(ns, r, &v))
        read_namespace(out, r, v, notes);
    return OK;
}

static bool is_known(slice name)
{
    static const char *const others[] = {LABEL_INJECT, ANNOTATION_INJECTED,
                                         ANNOTATION_NOT_INJECTED};

    for (size_t i = 0; i < ROWS; i++)
        if (slice_eq(name, slice_str(rows[i].annotation)))
            return true;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (slice_eq(name, slice_str(others[i])))
            return true;
    return false;
}

static void warn_of_unknown(struct json annotations, struct notes *notes)
{
    for (struct json i = json_first(annotations); json_present(i);
         i = json_next(i)) {
        slice name = json_name(i);

        if (slice_starts(name, SLICE(ANNOTATION_PREFIX)) && !is_known(name))
            notes_add(notes, NOTE_WARNING,
                      "annotation %.*s: there is no such setting",
                      FMT(slice_sub(name, 0, COMPLAINT_VALUE)));
    }
}

/* A request over its limit is what the API server would refuse, and in most
 * cases nobody asked for it: the request is a default, the limit was written. */
static void cut_requests(struct overrides *o)
{
    uint64_t request, limit;
    bool binary;

    if (!quantity_cpu(o->proxy_cpu_limit, &limit) &&
        !quantity_cpu(o->proxy_cpu_request, &request) && request > limit)
        o->proxy_cpu_request = o->proxy_cpu_limit;
    if (!quantity_memory(o->proxy_memory_limit, &limit, &binary) &&
        !quantity_memory(o->proxy_memory_request, &request, &binary) &&
        request > limit)
        o->proxy_memory_request = o->proxy_memory_limit;
}

enum status overrides_read(struct overrides *out,
                           const struct overrides *defaults, struct json pod,
                           struct json ns, struct notes *notes, struct error *e)
{
    *out = *defaults;
    for (size_t i = 0; i < ROWS; i++) {
        enum status rc = read_row(out, &rows[i], pod, ns, notes, e);

        if (rc)
            return rc;
    }
    warn_of_unknown(pod, notes);
    cut_requests(out);
    return OK;
}

int64_t overrides_stop_delay(const struct overrides *o)
{
    int64_t ns = 0;

    return slice_to_duration(o->stop_delay, &ns) ? 0 : ns / NSEC_PER_SEC;
}

int64_t overrides_grace(const struct overrides *o)
{
    int64_t ns;

    return slice_to_duration(o->shutdown_grace, &ns) ? 0 : ns;
}
