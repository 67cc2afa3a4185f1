/* SPDX-License-Identifier: Apache-2.0 */
/* What a Secret says of a rotation, and what comes next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "controller/identity/root_patch.h"
#include "controller/identity/root_state.h"
#include "lib/base/base64.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/tls/cert.h"

#define DOMAIN SLICE("cluster.local")

static const struct json_limits limits = {4 << 20, 1000};

/* --- what comes next --- */

enum {
    NOW = 10000000,
    LIFE = 100000,
    SETTLE = 60,
    DEADLINE = 600,
    DAY = 86400,
};
static const struct root_rules rules = {
    .life = LIFE, .settle = SETTLE, .deadline = DEADLINE, .retire = 300};

/* All is well, and has been for long. */
static const struct root_sight well = {
    .now = NOW, .led = 9999, .written = 9999, .stepped = -1, .proxies = 100};

static struct root_state state_of(enum root_phase phase, int64_t passed)
{
    return (struct root_state){
        .phase = phase,
        .since = phase ? NOW - passed : 0,
        .retire = phase == ROOT_RETIRING ? NOW - passed + 300 : 0,
        .ours = true,
        .not_before = NOW - LIFE / 2,
        .not_after = NOW + LIFE / 2,
        .next_from = NOW - passed - 3600,
    };
}

static void expect(const char *what, const struct root_state *s,
                   const struct root_sight *see, enum root_step want)
{
    enum root_step got = root_next(s, &rules, see);

    if (got != want)
        fail_msg("%s: step %d, not %d", what, got, want);
}

static void a_rotation_begins(void **state)
{
    static const struct {
        const char *what;
        int64_t left;
        bool wanted, others;
        enum root_step want;
    } rows[] = {
        {"young", 90000, .want = ROOT_WAIT},
        {"a fifth is left", 20000, .want = ROOT_WAIT},
        {"less is left", 19999, .want = ROOT_MAKE},
        {"it has ended", -5, .want = ROOT_MAKE},
        {"asked for", 90000, .wanted = true, .want = ROOT_MAKE},
        {"another's", 1, .wanted = true, .others = true, .want = ROOT_WAIT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct root_state s = state_of(ROOT_AT_REST, 0);

        s.ours = !rows[i].others;
        s.wanted = rows[i].wanted;
        s.not_before = NOW + rows[i].left - LIFE - 3600;
        s.not_after = NOW + rows[i].left;
        expect(rows[i].what, &s, &well, rows[i].want);
    }
}

/* Who asks for shorter roots later: one that was made for long is not old. */
static void the_shorter_life_counts(void **state)
{
    struct root_state s = state_of(ROOT_AT_REST, 0);

    (void)state;
    s.not_after = NOW + 1000;
    s.not_before = NOW - 3000; /* 4000 in all */
    expect("short", &s, &well, ROOT_WAIT);
    s.not_before = NOW - 10000;
    expect("long", &s, &well, ROOT_MAKE);
}

/* Something that undoes what we do gets root after root, but ever more slowly. */
static void roots_are_not_made_one_after_the_other(void **state)
{
    static const struct {
        unsigned unfinished;
        int64_t stepped;
        enum root_step want;
    } rows[] = {
        {0, -1, ROOT_MAKE},          {0, SETTLE - 1, ROOT_WAIT},
        {0, SETTLE, ROOT_MAKE},      {1, 10 * SETTLE - 1, ROOT_WAIT},
        {1, 10 * SETTLE, ROOT_MAKE}, {3, 40 * SETTLE - 1, ROOT_WAIT},
        {3, 40 * SETTLE, ROOT_MAKE}, {60, DAY - 1, ROOT_WAIT},
        {60, DAY, ROOT_MAKE},        {UINT32_MAX, DAY, ROOT_MAKE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct root_state s = state_of(ROOT_AT_REST, 0);
        struct root_sight see = well;
        char what[40];

        s.wanted = true;
        see.unfinished = rows[i].unfinished;
        see.stepped = rows[i].stepped;
        snprintf(what, sizeof what, "row %zu", i);
        expect(what, &s, &see, rows[i].want);
    }
}

struct sign_row {
    const char *what;
    int64_t passed, led, written;
    size_t replicas, proxies, behind;
    enum root_step want;
};

/* The last row is empty. */
static void check_signs(const struct sign_row *row, int64_t left)
{
    for (; row->what; row++) {
        struct root_state s = state_of(ROOT_DISTRIBUTING, row->passed);
        struct root_sight see = well;

        s.not_after = NOW + left;
        s.not_before = s.not_after - LIFE;
        see.led = row->led;
        see.written = row->written;
        see.replicas = row->replicas;
        see.proxies = row->proxies;
        see.behind = row->behind;
        expect(row->what, &s, &see, row->want);
    }
}

static void it_signs_when_all_have_it(void **state)
{
    static const struct sign_row rows[] = {
        {"told", 60, 60, 60, 0, 9, 0, ROOT_SIGN},
        {"nobody is there", 60, 60, 60, 0, 0, 0, ROOT_SIGN},
        {"objects just now", 999, 999, 59, 0, 9, 0, ROOT_WAIT},
        {"objects not", 999, 999, -1, 0, 9, 0, ROOT_WAIT},
        {"leads since just now", 999, 59, 999, 0, 9, 0, ROOT_WAIT},
        {"a proxy lacks it", 599, 999, 599, 0, 9, 1, ROOT_WAIT},
        {"a replica lacks it", 60, 60, 60, 1, 9, 0, ROOT_WAIT},
        {"a clock is ahead", -100, 999, 999, 0, 9, 0, ROOT_WAIT},
        {0},
    };

    (void)state;
    check_signs(rows, 50000);
}

/* Few proxies are not waited for longer; everything else is. */
static void the_deadline_is_for_few_proxies(void **state)
{
    static const struct sign_row rows[] = {
        {"five", 600, 999, 600, 0, 6, 5, ROOT_SIGN},
        {"all of five", 600, 999, 600, 0, 5, 5, ROOT_WAIT},
        {"the one", 9999, 999, 600, 0, 1, 1, ROOT_WAIT},
        {"six", 600, 999, 600, 0, 100, 6, ROOT_WAIT},
        {"one in twenty", 600, 999, 600, 0, 200, 10, ROOT_SIGN},
        {"more", 600, 999, 600, 0, 200, 11, ROOT_WAIT},
        {"much later", 99999, 999, 600, 0, 200, 11, ROOT_WAIT},
        {"objects not", 99999, 999, -1, 0, 100, 1, ROOT_WAIT},
        {"objects just now", 99999, 999, 59, 0, 100, 1, ROOT_WAIT},
        {"a replica lacks it", 99999, 999, 600, 1, 100, 0, ROOT_WAIT},
        {0},
    };

    (void)state;
    check_signs(rows, 50000);
}

/* Better some are cut off than everybody: but what new pods and the API server go
 * by must be right. */
static void a_root_that_ends_soon(void **state)
{
    static const struct sign_row rows[] = {
        {"proxies", 60, 60, 60, 0, 100, 100, ROOT_SIGN},
        {"replicas", 60, 60, 60, 3, 100, 0, ROOT_SIGN},
        {"objects not", 9999, 999, -1, 0, 100, 0, ROOT_WAIT},
        {"objects just now", 9999, 999, 59, 0, 100, 0, ROOT_WAIT},
        {"leads since just now", 9999, 59, 999, 0, 100, 0, ROOT_WAIT},
        {0},
    };
    static const struct sign_row not_yet[] = {
        {"not yet", 9999, 999, 999, 0, 9, 9, ROOT_WAIT},
        {0},
    };

    (void)state;
    check_signs(rows, LIFE / 10 - 1);
    check_signs(not_yet, LIFE / 10);
}

/* A tenth of ten years is too long to be careless. */
static void soon_is_a_week_at_most(void **state)
{
    const struct root_rules years = {
        .life = 3650 * DAY, .settle = SETTLE, .deadline = DAY, .retire = DAY};
    struct root_state s = state_of(ROOT_DISTRIBUTING, 99999);
    struct root_sight see = well;

    (void)state;
    see.behind = see.proxies;
    s.not_after = NOW + 7 * DAY;
    s.not_before = s.not_after - years.life;
    assert_int_equal(root_next(&s, &years, &see), ROOT_WAIT);
    s.not_after--;
    assert_int_equal(root_next(&s, &years, &see), ROOT_SIGN);
}

/* A namespace without a trust bundle. */
static void whatever_is_missing_is_waited_for(void **state)
{
    struct root_state s = state_of(ROOT_DISTRIBUTING, 99999);
    struct root_sight see = well;

    (void)state;
    see.missing = true;
    expect("late", &s, &see, ROOT_WAIT);
    s.not_after = NOW + 1;
    expect("at the end", &s, &see, ROOT_WAIT);
}

/* Of a maker whose clock was ahead. */
static void a_root_that_is_not_valid_yet_does_not_sign(void **state)
{
    struct root_state s = state_of(ROOT_DISTRIBUTING, 60);

    (void)state;
    s.next_from = NOW + 1;
    expect("to come", &s, &well, ROOT_WAIT);
    s.next_from = NOW;
    expect("now", &s, &well, ROOT_SIGN);
}

static void the_old_one_goes_when_nobody_needs_it(void **state)
{
    struct root_state s = state_of(ROOT_RETIRING, 300);
    struct root_sight see = well;

    (void)state;
    expect("all have ended", &s, &see, ROOT_DROP);
    s.wanted = true;
    expect("asked again", &s, &see, ROOT_DROP);
    s.ours = false;
    expect("become another's", &s, &see, ROOT_WAIT);
    s.ours = true;
    /* What was said when it began to sign counts, and no setting of today. */
    s.retire = NOW + 1;
    expect("was to stay longer", &s, &see, ROOT_WAIT);
    s.retire = NOW;
    see.led = SETTLE - 1;
    expect("leads since just now", &s, &see, ROOT_WAIT);
    see.led = SETTLE;
    see.old = 1;
    expect("one still has its certificate", &s, &see, ROOT_WAIT);
    see.old = 0;
    s.since = NOW + 1;
    expect("a clock is ahead", &s, &see, ROOT_WAIT);
}

static void which_root_a_certificate_is_of(void **state)
{
    struct root_state s = state_of(ROOT_RETIRING, 300);

    (void)state;
    assert_true(root_signed_by_old(&s, &rules, 0)); /* not known */
    assert_true(root_signed_by_old(&s, &rules, s.since));
    /* A replica that had not heard yet. */
    assert_true(root_signed_by_old(&s, &rules, s.since + SETTLE));
    assert_false(root_signed_by_old(&s, &rules, s.since + SETTLE + 1));
    assert_int_equal(root_retire_at(&rules, NOW), NOW + 300);
}

static void a_date_in_the_future_is_reported(void **state)
{
    struct root_state s = state_of(ROOT_DISTRIBUTING, -3600);
    struct error e = {""};

    (void)state;
    assert_int_equal(root_state_check(&s, NOW, &e), OK);
    s.since++;
    assert_int_equal(root_state_check(&s, NOW, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "root-phase-since"));
    assert_non_null(strstr(e.text, "clock"));
    s = state_of(ROOT_AT_REST, 0);
    assert_int_equal(root_state_check(&s, NOW, &e), OK);
}

static void clocks_must_agree(void **state)
{
    struct error e = {""};

    (void)state;
    assert_int_equal(root_clock_check(NOW, 0, &e), OK); /* not said */
    assert_int_equal(root_clock_check(NOW, NOW - 3600, &e), OK);
    assert_int_equal(root_clock_check(NOW, NOW + 3600, &e), OK);
    assert_int_equal(root_clock_check(NOW, NOW - 3601, &e), ERR_INVALID);
    assert_int_equal(root_clock_check(NOW, NOW + 3601, &e), ERR_INVALID);
    assert_string_equal(e.text, "it is 1970-04-26T17:46:40Z here, and "
                                "1970-04-26T18:46:41Z for the API server: is a "
                                "clock wrong?");
}

/* People hear of it when it takes longer than it must. */
static void who_waits_says_so(void **state)
{
    struct root_state s = state_of(ROOT_DISTRIBUTING, 2 * SETTLE);
    struct root_sight see = well;

    (void)state;
    assert_true(root_is_late(&s, &rules, &see));
    see.led = 2 * SETTLE - 1; /* it may not know yet */
    assert_false(root_is_late(&s, &rules, &see));
    see.led = 2 * SETTLE;
    s.since++;
    assert_false(root_is_late(&s, &rules, &see));
    s = state_of(ROOT_RETIRING, 300 + SETTLE);
    assert_true(root_is_late(&s, &rules, &see));
    s.retire++;
    assert_false(root_is_late(&s, &rules, &see));
    s = state_of(ROOT_AT_REST, 0);
    assert_false(root_is_late(&s, &rules, &see));
}

/* --- rules --- */

static void rules_follow_from_settings(void **state)
{
    struct root_times t = {.life = INT64_C(3650) * DAY * NSEC_PER_SEC,
                           .settle = 120 * NSEC_PER_SEC,
                           .deadline = DAY * NSEC_PER_SEC,
                           .cert_life = DAY * NSEC_PER_SEC,
                           .stale_after = 180 * NSEC_PER_SEC};
    struct root_rules r;
    struct error e = {""};

    (void)state;
    assert_int_equal(root_rules_make(&t, &r, &e), OK);
    assert_int_equal(r.life, 3650 * DAY);
    assert_int_equal(r.deadline, DAY);
    assert_int_equal(r.retire, DAY + DAY / 4);
    /* A replica that has not heard of the next root signs for three minutes. */
    assert_int_equal(r.settle, 210);
    t.settle = 300 * NSEC_PER_SEC;
    assert_int_equal(root_rules_make(&t, &r, &e), OK);
    assert_int_equal(r.settle, 300);

    t.deadline = 299 * NSEC_PER_SEC;
    assert_int_equal(root_rules_make(&t, &r, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "--root-deadline"));
    assert_non_null(strstr(e.text, "300s"));
    t.deadline = DAY * NSEC_PER_SEC;
    t.life = 5 * (2 * DAY + DAY / 4) * NSEC_PER_SEC;
    assert_int_equal(root_rules_make(&t, &r, &e), OK);
    t.life -= 5 * NSEC_PER_SEC;
    assert_int_equal(root_rules_make(&t, &r, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "--root-life"));
    assert_non_null(strstr(e.text, "at least 972000s"));
    /* Short lives: a silent replica signs longer than they last. */
    t.life = INT64_C(3650) * DAY * NSEC_PER_SEC;
    t.cert_life = 2 * NSEC_PER_SEC;
    t.stale_after = 4 * NSEC_PER_SEC;
    t.settle = NSEC_PER_SEC / 2;
    assert_int_equal(root_rules_make(&t, &r, &e), OK);
    assert_int_equal(r.settle, 5);
    assert_int_equal(r.retire, 6);
}

/* --- what a Secret says --- */

struct rig {
    struct ca *old, *next, *other;
    char *both;
    char made[2 * ROOT_MARK + 2], mark[ROOT_MARK + 1]; /* both; of the old */
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
    char next[ROOT_MARK + 1];
    struct error e;

    r->old = new_ca(DOMAIN);
    r->next = new_ca(DOMAIN);
    r->other = new_ca(SLICE("other.example"));
    slice pems[] = {ca_cert_pem(r->old), ca_cert_pem(r->next),
                    ca_cert_pem(r->other)};
    assert_int_equal(certs_merge(pems, 3, &r->both, &e), OK);
    assert_int_equal(root_mark_of(pems[0], r->mark, &e), OK);
    assert_int_equal(root_mark_of(pems[1], next, &e), OK);
    snprintf(r->made, sizeof r->made, "%s,%s", r->mark, next);
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
    const char *annotations; /* beside that of the roots that we made */
    const char *made;        /* NULL: as the rig says */
    slice cert, key, roots, next_cert, next_key;
};

static struct json_doc *parse(const struct rig *r, const struct secret *s)
{
    struct json_doc *doc;
    struct text t;
    struct error e;

    text_init(&t, 1 << 20);
    text_printf(&t,
                "{\"metadata\":{\"resourceVersion\":\"7\",\"annotations\":{"
                "\"tulle.dev/made-roots\":\"%s\"%s%s}},\"data\":{",
                s->made ? s->made : r->made, s->annotations[0] ? "," : "",
                s->annotations);
    add(&t, "tls.crt", s->cert);
    add(&t, "tls.key", s->key);
    add(&t, "ca.crt", s->roots);
    add(&t, "next.crt", s->next_cert);
    add(&t, "next.key", s->next_key);
    text_add(&t, SLICE("}}"));
    if (json_parse(text_slice(&t), &limits, &doc, &e))
        fail_msg("%s", e.text);
    text_fini(&t);
    return doc;
}

static enum status read_secret(const struct rig *r, const struct secret *s,
                               struct root_state *out, struct error *e)
{
    struct json_doc *doc = parse(r, s);
    enum status rc = root_state_read(json_root(doc), DOMAIN, out, e);

    json_free(doc);
    return rc;
}

#define SINCE "\"tulle.dev/root-phase-since\":\"2026-11-22T13:08:00Z\""
#define DISTRIBUTING "\"tulle.dev/root-phase\":\"distributing\"," SINCE
#define RETIRES "\"tulle.dev/root-phase\":\"retiring\"," SINCE
#define OLD "\"tulle.dev/old-root\":\"0123456789abcdef\""
#define UNTIL "\"tulle.dev/old-root-until\":\"2026-11-23T19:08:00Z\""
#define RETIRING RETIRES "," OLD "," UNTIL

static void phases_are_read(void **state)
{
    struct rig *r = *state;
    struct secret s = {.annotations = "",
                       .cert = ca_cert_pem(r->old),
                       .key = ca_key_pem(r->old)};
    struct root_state is;
    struct text marks;
    struct error e;

    assert_int_equal(read_secret(r, &s, &is, &e), OK);
    assert_int_equal(is.phase, ROOT_AT_REST);
    assert_true(is.ours && !is.wanted);
    assert_int_equal(is.not_after, ca_not_after(r->old));
    assert_string_equal(is.next, "");
    assert_string_equal(is.signs, r->mark);

    s.annotations = DISTRIBUTING ",\"tulle.dev/rotate-root\":\"2\","
                                 "\"tulle.dev/rotated-root\":\"1\"";
    s.roots = slice_str(r->both);
    s.next_cert = ca_cert_pem(r->next);
    s.next_key = ca_key_pem(r->next);
    if (read_secret(r, &s, &is, &e))
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
    assert_int_equal(read_secret(r, &s, &is, &e), OK);
    assert_int_equal(is.phase, ROOT_RETIRING);
    assert_string_equal(is.old, "0123456789abcdef");
    assert_int_equal(is.retire - is.since, 30 * 3600);
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
         "next.crt: is no root that we made"},
        {RETIRES, both, SLICE_NONE, SLICE_NONE, "old-root: is no mark"},
        {RETIRES "," UNTIL, both, SLICE_NONE, SLICE_NONE,
         "old-root: is no mark"},
        {RETIRES "," OLD, both, SLICE_NONE, SLICE_NONE,
         "old-root-until: is no date"},
        {DISTRIBUTING, one, cert, key, "ca.crt: does not hold"},
        {DISTRIBUTING, cert, cert, key, "ca.crt: does not hold"},
        {DISTRIBUTING, SLICE_NONE, cert, key, "ca.crt"},
        {DISTRIBUTING, SLICE("nonsense"), cert, key, ""},
        {RETIRING, cert, SLICE_NONE, SLICE_NONE, "ca.crt: does not hold"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct secret s = {
            rows[i].annotations, NULL,          one,
            ca_key_pem(r->old),  rows[i].roots, rows[i].next_cert,
            rows[i].next_key};
        struct root_state is;
        struct error e = {""};

        assert_int_not_equal(read_secret(r, &s, &is, &e), OK);
        if (!strstr(e.text, rows[i].says))
            fail_msg("%zu: '%s' does not say '%s'", i, e.text, rows[i].says);
        assert_null(strstr(e.text, "PRIVATE"));
    }
}

/* Whatever it calls itself: ours is what we have noted that we made. */
static void a_root_of_others_is_not_ours(void **state)
{
    struct rig *r = *state;
    struct secret s = {.annotations = "",
                       .cert = ca_cert_pem(r->old),
                       .key = ca_key_pem(r->old)};
    struct root_state is;
    struct error e = {""};

    assert_int_equal(read_secret(r, &s, &is, &e), OK);
    assert_true(is.ours);
    s.made = "";
    assert_int_equal(read_secret(r, &s, &is, &e), OK);
    assert_false(is.ours);
    s.annotations = "\"tulle.dev/rotate-root\":\"1\"";
    assert_int_equal(read_secret(r, &s, &is, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "not ours"));
    /* Somebody has put another one in its place. */
    s = (struct secret){.annotations = "",
                        .made = r->mark,
                        .cert = ca_cert_pem(r->next),
                        .key = ca_key_pem(r->next)};
    assert_int_equal(read_secret(r, &s, &is, &e), OK);
    assert_false(is.ours);
}

/* --- patches --- */

/* A patch of what the Secret says; its documents stay until the end. */
struct patched {
    struct json_doc *secret, *patch;
    struct root_state state;
    struct json data, notes;
};

static void patch(struct patched *p, const struct rig *r,
                  const struct secret *s, enum root_step step)
{
    struct root_change c = {.step = step,
                            .state = &p->state,
                            .rules = &rules,
                            .trust_domain = DOMAIN,
                            .now = clock_real_ns() / NSEC_PER_SEC};
    struct text t;
    struct error e = {""};

    p->secret = parse(r, s);
    assert_int_equal(
        root_state_read(json_root(p->secret), DOMAIN, &p->state, &e), OK);
    text_init_secret(&t, 1 << 20);
    if (root_patch(&c, json_root(p->secret), &t, &e) ||
        json_parse(text_slice(&t), &limits, &p->patch, &e))
        fail_msg("%s", e.text);
    text_fini(&t);
    p->data = json_get(json_root(p->patch), "data");
    p->notes = json_get(json_get(json_root(p->patch), "metadata"),
                        "annotations");
    assert_true(json_present(json_get(json_get(json_root(p->patch), "metadata"),
                                      "resourceVersion")));
}

static void patched_fini(struct patched *p)
{
    json_free(p->secret);
    json_free(p->patch);
}

static void says(struct json in, const char *name, slice want)
{
    slice got = SLICE_NONE;
    struct error e;

    if (json_string(in, name, &got, &e) || !slice_eq(got, want))
        fail_msg("%s: '%.*s', not '%.*s'", name, FMT(got), FMT(want));
}

static void holds(struct json data, const char *name, slice want)
{
    struct text t;

    text_init(&t, 1 << 20);
    base64_encode(want, &t);
    says(data, name, text_slice(&t));
    text_fini(&t);
}

/* The time at which the old one may go is set down when the next one begins. */
static void signing_says_when_the_old_one_may_go(void **state)
{
    struct rig *r = *state;
    struct secret s = {.annotations = DISTRIBUTING,
                       .cert = ca_cert_pem(r->old),
                       .key = ca_key_pem(r->old),
                       .roots = slice_str(r->both),
                       .next_cert = ca_cert_pem(r->next),
                       .next_key = ca_key_pem(r->next)};
    struct patched p;
    int64_t since, until;
    slice text = SLICE_NONE;
    struct error e;

    patch(&p, r, &s, ROOT_SIGN);
    holds(p.data, "tls.crt", ca_cert_pem(r->next));
    holds(p.data, "tls.key", ca_key_pem(r->next));
    assert_false(json_present(json_get(p.data, "ca.crt")));
    says(p.notes, ROOT_OLD, slice_str(r->mark));
    says(p.notes, ROOT_MADE, slice_str(p.state.next));
    assert_int_equal(json_string(p.notes, ROOT_PHASE_SINCE, &text, &e), OK);
    assert_int_equal(clock_parse_rfc3339(text, &since), OK);
    assert_int_equal(json_string(p.notes, ROOT_OLD_UNTIL, &text, &e), OK);
    assert_int_equal(clock_parse_rfc3339(text, &until), OK);
    assert_int_equal(until - since, rules.retire);
    patched_fini(&p);
}

/* What others put into ca.crt stays. */
static void dropping_takes_the_old_one_alone(void **state)
{
    struct rig *r = *state;
    char notes[300];
    struct secret s = {.annotations = notes,
                       .cert = ca_cert_pem(r->next),
                       .key = ca_key_pem(r->next),
                       .roots = slice_str(r->both)};
    struct patched p;
    slice pems[] = {ca_cert_pem(r->next), ca_cert_pem(r->other)};
    struct error e;
    char *rest;

    snprintf(notes, sizeof notes, RETIRES "," UNTIL ",\"%s\":\"%s\"", ROOT_OLD,
             r->mark);
    patch(&p, r, &s, ROOT_DROP);
    assert_int_equal(certs_merge(pems, 2, &rest, &e), OK);
    holds(p.data, "ca.crt", slice_str(rest));
    assert_false(json_present(json_get(p.data, "tls.crt")));
    mem_free(rest);
    patched_fini(&p);
}

static void making_notes_that_we_made_it(void **state)
{
    struct rig *r = *state;
    struct secret s = {.annotations = "\"tulle.dev/rotate-root\":\"now\"",
                       .cert = ca_cert_pem(r->old),
                       .key = ca_key_pem(r->old),
                       .roots = ca_cert_pem(r->other)};
    struct patched p;
    slice made = SLICE_NONE, first, second;
    struct error e;

    patch(&p, r, &s, ROOT_MAKE);
    says(p.notes, ROOT_PHASE, SLICE("distributing"));
    says(p.notes, ROOT_DONE, SLICE("now"));
    assert_int_equal(json_string(p.notes, ROOT_MADE, &made, &e), OK);
    assert_true(slice_cut(made, ',', &first, &second));
    assert_true(slice_eq(first, slice_str(r->mark)));
    assert_int_equal(second.len, ROOT_MARK);
    assert_false(slice_eq(first, second));
    assert_true(json_present(json_get(p.data, "next.key")));
    assert_false(json_present(json_get(p.data, "tls.key")));
    patched_fini(&p);
}

#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, rig_init, rig_fini)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rotation_begins),
        cmocka_unit_test(the_shorter_life_counts),
        cmocka_unit_test(roots_are_not_made_one_after_the_other),
        cmocka_unit_test(it_signs_when_all_have_it),
        cmocka_unit_test(the_deadline_is_for_few_proxies),
        cmocka_unit_test(a_root_that_ends_soon),
        cmocka_unit_test(soon_is_a_week_at_most),
        cmocka_unit_test(whatever_is_missing_is_waited_for),
        cmocka_unit_test(a_root_that_is_not_valid_yet_does_not_sign),
        cmocka_unit_test(the_old_one_goes_when_nobody_needs_it),
        cmocka_unit_test(which_root_a_certificate_is_of),
        cmocka_unit_test(a_date_in_the_future_is_reported),
        cmocka_unit_test(clocks_must_agree),
        cmocka_unit_test(who_waits_says_so),
        cmocka_unit_test(rules_follow_from_settings),
        WITH_RIG(phases_are_read),
        WITH_RIG(what_makes_no_sense_is_refused),
        WITH_RIG(a_root_of_others_is_not_ours),
        WITH_RIG(making_notes_that_we_made_it),
        WITH_RIG(signing_says_when_the_old_one_may_go),
        WITH_RIG(dropping_takes_the_old_one_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
