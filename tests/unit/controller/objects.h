/* SPDX-License-Identifier: Apache-2.0 */
/* Kubernetes objects for tests, as JSON with ' instead of ". */
#ifndef TULLE_TESTS_CONTROLLER_OBJECTS_H
#define TULLE_TESTS_CONTROLLER_OBJECTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "controller/registry/registry.h"
#include "controller/watch/watches.h"
#include "lib/base/text.h"

static inline char *object_quote(const char *text)
{
    char *json = mem_str(slice_str(text));

    for (char *p = json; *p; p++)
        if (*p == '\'')
            *p = '"';
    return json;
}

static inline enum status object_decode(const char *text, struct record **out,
                                        struct error *e)
{
    static const struct json_limits limits = {1 << 20, 100000};
    char *json = object_quote(text);
    struct json_doc *doc = NULL;
    slice api = SLICE_NONE, kind = SLICE_NONE;
    const struct watched *w;
    enum status rc = json_parse(slice_str(json), &limits, &doc, e);

    mem_free(json);
    if (rc)
        fail_msg("%s", e->text);
    assert_int_equal(json_string(json_root(doc), "apiVersion", &api, e), OK);
    assert_int_equal(json_string(json_root(doc), "kind", &kind, e), OK);
    w = watched_find(api, kind);
    assert_non_null(w);
    rc = w->decode(json_root(doc), out, e);
    json_free(doc);
    return rc;
}

static inline struct record *object(const char *text)
{
    struct record *r = NULL;
    struct error e;

    if (object_decode(text, &r, &e))
        fail_msg("%s", e.text);
    return r;
}

static inline void object_put(struct registry *r, const char *text)
{
    registry_put(r, object(text));
}

#endif
