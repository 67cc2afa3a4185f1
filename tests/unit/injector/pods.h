/* SPDX-License-Identifier: Apache-2.0 */
/* Pods for tests, as JSON with ' instead of ", and an installation. */
#ifndef TULLE_TESTS_INJECTOR_PODS_H
#define TULLE_TESTS_INJECTOR_PODS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "injector/apply.h"
#include "injector/inject.h"

static inline struct json_doc *pod_doc(const char *text)
{
    static const struct json_limits limits = {4 << 20, 200000};
    char *json = mem_str(slice_str(text));
    struct json_doc *doc = NULL;
    struct error e;

    for (char *p = json; *p; p++)
        if (*p == '\'')
            *p = '"';
    if (json_parse(slice_str(json), &limits, &doc, &e))
        fail_msg("%s: %s", e.text, json);
    mem_free(json);
    return doc;
}

static inline char *pod_text(struct json v)
{
    struct json_write w;
    struct text t;
    char *out;

    text_init(&t, 16 << 20);
    json_write_init(&w, &t);
    json_write_value(&w, v);
    out = mem_str(text_slice(&t));
    text_fini(&t);
    return out;
}

/* Compares with ' read as ". */
static inline void pod_is(struct json v, const char *want)
{
    struct json_doc *doc = pod_doc(want);
    char *have = pod_text(v);

    if (!patch_same(v, json_root(doc)))
        fail_msg("it is %s", have);
    mem_free(have);
    json_free(doc);
}

static inline void pod_settings(struct inject_settings *s)
{
    *s = (struct inject_settings){
        .site = {.version = SLICE("1.0.0"),
                 .pull_policy = SLICE("IfNotPresent"),
                 .ns = SLICE("tulle-system"),
                 .cluster_domain = SLICE("cluster.local"),
                 .controller = SLICE("tulle-controller"),
                 .controller_ip = SLICE("10.96.0.9"),
                 .trust_domain = SLICE("cluster.local"),
                 .bundle_pem = SLICE("PEM"),
                 .controller_port = 8443,
                 .uid = 2102,
                 .gid = 2102},
        .defaults = {.skip_inbound_ports = SLICE(""),
                     .proxy_cpu_request = SLICE("10m"),
                     .proxy_memory_request = SLICE("32Mi"),
                     .workers = SLICE("1"),
                     .proxy_image = SLICE("tulle/proxy:1.0.0"),
                     .shutdown_grace = SLICE("25s"),
                     .stop_delay = SLICE("2s"),
                     .detect_timeout = SLICE("50ms"),
                     .path_rule = SLICE("merge-slashes"),
                     .proxy_log_level = SLICE("info"),
                     .access_log = SLICE("false")},
    };
}

/* Walks "/spec/containers/0". */
static inline struct json pod_at(struct json v, const char *pointer)
{
    slice rest = slice_str(pointer);
    char part[POINTER_PART];

    while (pointer_next(&rest, part)) {
        uint64_t n = 0;

        if (json_type(v) != JSON_ARRAY) {
            v = json_get(v, part);
            continue;
        }
        assert_int_equal(slice_to_u64(slice_str(part), 1000, &n), OK);
        v = json_first(v);
        while (n--)
            v = json_next(v);
    }
    return v;
}

#endif
