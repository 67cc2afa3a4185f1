/* SPDX-License-Identifier: Apache-2.0 */
/* What a Secret says of a rotation, and what comes next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "controller/identity/root_state.h"
#include "lib/base/base64.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/tls/cert.h"

#define DOMAIN SLICE("cluster.local")

static const struct json_limits limits = {4 << 20, 1000};

/* --- what comes next --- */

enum { NOW = 1000000, LIFE = 10000 };
static const struct root_rules rules = {
    .life = LIFE, .settle = 60, .deadline = 600, .retire = 300};

static void steps(void **state)
{
    static const struct {
        const char *what;
        enum root_phase phase;
        int64_t passed, left, led;
        bool wanted, others, lacking;
        enum root_step want;
    } rows[] = {
        {"young", ROOT_AT_REST, 0, 9000, 999, .want = ROOT_WAIT},
        {"a fifth is left", ROOT_AT_REST, 0, 2000, 999, .want = ROOT_WAIT},
        {"less is left", ROOT_AT_REST, 0, 1999, 0, .want = ROOT_MAKE},
        {"it has ended", ROOT_AT_REST, 0, -5, 0, .want = ROOT_MAKE},
        {"asked for", ROOT_AT_REST, 0, 9000, 0, .wanted = true,
         .want = ROOT_MAKE},
        {"another's", ROOT_AT_REST, 0, 1, 99, .wanted = true, .others = true,
         .want = ROOT_WAIT},
        {"just told", ROOT_DISTRIBUTING, 59, 9000, 999, .want = ROOT_WAIT},
        {"told", ROOT_DISTRIBUTING, 60, 9000, 60, .want = ROOT_SIGN},
        {"asked again", ROOT_DISTRIBUTING, 60, 1, 60, .wanted = true,
         .want = ROOT_SIGN},
        {"leads since just now", ROOT_DISTRIBUTING, 900, 9000, 59,
         .want = ROOT_WAIT},
        {"not everywhere", ROOT_DISTRIBUTING, 599, 9000, 999, .lacking = true,
         .want = ROOT_WAIT},
        {"the deadline", ROOT_DISTRIBUTING, 600, 9000, 999, .lacking = true,
         .want = ROOT_SIGN},
        {"a clock is ahead", ROOT_DISTRIBUTING, -100, 9000, 999,
         .want = ROOT_WAIT},
        {"still believed", ROOT_RETIRING, 299, 9000, 999, .wanted = true,
         .want = ROOT_WAIT},
        {"all have ended", ROOT_RETIRING, 300, 9000, 0, .want = ROOT_DROP},
        {"become another's", ROOT_RETIRING, 300, 9000, 0, .others = true,
         .want = ROOT_WAIT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct root_state s = {
            .phase = rows[i].phase,
            .since = NOW - rows[i].passed,
            .ours = !rows[i].others,
            .wanted = rows[i].wanted,
            .not_before = NOW + rows[i].left - LIFE - 3600,
            .not_after = NOW + rows[i].left,
        };
        enum root_step got = root_next(&s, &rules, NOW, rows[i].led,
                                       !rows[i].lacking);

        if (got != rows[i].want)
            fail_msg("%s: step %d, not %d", rows[i].what, got, rows[i].want);
    }
}

/* Who asks for shorter roots later: one that was made for long is not old. */
static void the_shorter_life_counts(void **state)
{
    struct root_state s = {.ours = true, .not_after = NOW + 100};

    (void)state;
    s.not_before = NOW - 300; /* 400 in all */
    assert_int_equal(root_next(&s, &rules, NOW, 0, true), ROOT_WAIT);
    s.not_before = NOW - 1000;
    assert_int_equal(root_next(&s, &rules, NOW, 0, true), ROOT_MAKE);
}

/* --- what a Secret says --- */

struct rig {
    struct ca *old, *next, *other;
    char *both;
};

static struct ca *new_ca(slice domain)
{
    struct ca *ca;
    struct error e;

    assert_int_equal(
        ca_new(&ca, domain, clock_real_ns() / NSEC_PER_SEC, 86400, &e), OK);
    return ca;
}

static int rig_init(void **state)
{
    struct rig *r = MEM_NEW(struct rig);
    struct error e;

    r->old = new_ca(DOMAIN);
    r->next = new_ca(DOMAIN);
    r->other = new_ca(SLICE("other.example"));
    slice pems[] = {ca_cert_pem(r->old), ca_cert_pem(r->next),
                    ca_cert_pem(r->other)};
    assert_int_equal(certs_merge(pems, 3, &r->both, &e), OK);
    *state = r;
    return 0;
}

static int rig_fini(void **state)
{
    struct rig *r = *state;

    ca_free(r->old);
    ca_free(r->next);
    ca_free(r->other);
    mem_free(r->both);
    mem_free(r);
    return 0;
}

static void add(struct text *t, const char *name, slice value)
{
    if (slice_empty(value))
        return;
    text_printf(t, "%s\"%s\":\"", t->ptr[t->len - 1] == '{' ? "" : ",", name);
    base64_encode(value, t);
    text_add_char(t, '"');
}

struct secret {
    const char *annotations;
    slice cert, key, roots, next_cert, next_key;
};

static enum status read_secret(const struct secret *s, struct root_state *out,
                               struct error *e)
{
    struct json_doc *doc;
    struct text t;
    enum status rc;

    text_init(&t, 1 << 20);
    text_printf(&t, "{\"metadata\":{\"annotations\":{%s}},\"data\":{",
                s->annotations);
    add(&t, "tls.crt", s->cert);
    add(&t, "tls.key", s->key);
    add(&t, "ca.crt", s->roots);
    add(&t, "next.crt", s->next_cert);
    add(&t, "next.key", s->next_key);
    text_add(&t, SLICE("}}"));
    assert_int_equal(json_parse(text_slice(&t), &limits, &doc, e), OK);
    rc = root_state_read(json_root(doc), DOMAIN, out, e);
    json_free(doc);
    text_fini(&t);
    return rc;
}

#define SINCE "\"tulle.dev/root-phase-since\":\"2026-11-22T13:08:00Z\""
#define DISTRIBUTING "\"tulle.dev/root-phase\":\"distributing\"," SINCE
#define RETIRING "\"tulle.dev/root-phase\":\"retiring\"," SINCE

static void phases_are_read(void **state)
{
    struct rig *r = *state;
    struct secret s = {.annotations = "",
                       .cert = ca_cert_pem(r->old),
                       .key = ca_key_pem(r->old)};
    struct root_state is;
    struct text marks;
    struct error e;

    assert_int_equal(read_secret(&s, &is, &e), OK);
    assert_int_equal(is.phase, ROOT_AT_REST);
    assert_true(is.ours && !is.wanted);
    assert_int_equal(is.not_after, ca_not_after(r->old));
    assert_string_equal(is.next, "");

    s.annotations = DISTRIBUTING ",\"tulle.dev/rotate-root\":\"2\","
                                 "\"tulle.dev/rotated-root\":\"1\"";
    s.roots = slice_str(r->both);
    s.next_cert = ca_cert_pem(r->next);
    s.next_key = ca_key_pem(r->next);
    if (read_secret(&s, &is, &e))
        fail_msg("%s", e.text);
    assert_int_equal(is.phase, ROOT_DISTRIBUTING);
    assert_int_equal(is.since, INT64_C(1795352880));
    assert_true(is.wanted);
    text_init(&marks, ROOT_MARKS_MAX);
    root_marks(slice_str(r->both), &marks);
    assert_int_equal(marks.len, 3 * ROOT_MARK + 2);
    assert_int_equal(strlen(is.next), ROOT_MARK);
    assert_true(root_marked(text_slice(&marks), slice_str(is.next)));
    assert_true(root_marked(text_slice(&marks), slice_str(is.signs)));
    assert_false(root_marked(SLICE(""), slice_str(is.next)));
    assert_false(root_marked(slice_str(is.signs), slice_str(is.next)));
    text_fini(&marks);

    s.annotations = RETIRING ",\"tulle.dev/rotate-root\":\"2\","
                             "\"tulle.dev/rotated-root\":\"2\"";
    s.next_cert = s.next_key = SLICE_NONE;
    assert_int_equal(read_secret(&s, &is, &e), OK);
    assert_int_equal(is.phase, ROOT_RETIRING);
    assert_false(is.wanted);
}

static void what_makes_no_sense_is_refused(void **state)
{
    struct rig *r = *state;
    slice both = slice_str(r->both), one = ca_cert_pem(r->old);
    slice cert = ca_cert_pem(r->next), key = ca_key_pem(r->next);
    const struct {
        const char *annotations;
        slice roots, next_cert, next_key;
        const char *says;
    } rows[] = {
        {"\"tulle.dev/root-phase\":\"x\"," SINCE, both, cert, key,
         "root-phase: is neither"},
        {"\"tulle.dev/root-phase\":\"retiring\"", both, SLICE_NONE, SLICE_NONE,
         "root-phase-since: is no date"},
        {"\"tulle.dev/root-phase\":7", both, SLICE_NONE, SLICE_NONE,
         "root-phase"},
        {"", both, cert, key, "next.crt"},
        {"", both, SLICE_NONE, key, "next.key"},
        {RETIRING, both, cert, key, "next.crt"},
        {DISTRIBUTING, both, SLICE_NONE, key, "next.crt"},
        {DISTRIBUTING, both, cert, SLICE_NONE, "next.key"},
        {DISTRIBUTING, both, cert, ca_key_pem(r->old), "next.crt"},
        {DISTRIBUTING, both, ca_cert_pem(r->other), ca_key_pem(r->other),
         "next.crt: is no root of this trust domain"},
        {DISTRIBUTING, one, cert, key, "ca.crt: does not hold"},
        {DISTRIBUTING, cert, cert, key, "ca.crt: does not hold"},
        {DISTRIBUTING, SLICE_NONE, cert, key, "ca.crt"},
        {DISTRIBUTING, SLICE("nonsense"), cert, key, ""},
        {RETIRING, cert, SLICE_NONE, SLICE_NONE, "ca.crt: does not hold"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct secret s = {rows[i].annotations, one,
                           ca_key_pem(r->old),  rows[i].roots,
                           rows[i].next_cert,   rows[i].next_key};
        struct root_state is;
        struct error e = {""};

        assert_int_not_equal(read_secret(&s, &is, &e), OK);
        if (!strstr(e.text, rows[i].says))
            fail_msg("%zu: '%s' does not say '%s'", i, e.text, rows[i].says);
        assert_null(strstr(e.text, "PRIVATE"));
    }
}

static void a_root_of_others_is_not_ours(void **state)
{
    struct rig *r = *state;
    struct secret s = {.annotations = "",
                       .cert = ca_cert_pem(r->other),
                       .key = ca_key_pem(r->other)};
    struct root_state is;
    struct error e = {""};

    assert_int_equal(read_secret(&s, &is, &e), OK);
    assert_false(is.ours);
    s.annotations = "\"tulle.dev/rotate-root\":\"1\"";
    assert_int_equal(read_secret(&s, &is, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "not ours"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps),
        cmocka_unit_test(the_shorter_life_counts),
        cmocka_unit_test_setup_teardown(phases_are_read, rig_init, rig_fini),
        cmocka_unit_test_setup_teardown(what_makes_no_sense_is_refused,
                                        rig_init, rig_fini),
        cmocka_unit_test_setup_teardown(a_root_of_others_is_not_ours, rig_init,
                                        rig_fini),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
