/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/injector/pods.h"

#include "injector/review.h"

#define REQUEST(x)                                                  \
    "{'apiVersion':'admission.k8s.io/v1','kind':'AdmissionReview'," \
    "'request':{" x "}}"
#define CREATE                                            \
    "'uid':'u1','operation':'CREATE','namespace':'shop'," \
    "'kind':{'group':'','version':'v1','kind':'Pod'}"

static enum status read(const char *text, struct review *r, struct error *e)
{
    struct json_doc *doc = pod_doc(text);
    char *json = pod_text(json_root(doc));
    enum status rc = review_read(slice_str(json), r, e);

    mem_free(json);
    json_free(doc);
    return rc;
}

static void test_read(void **state)
{
    struct review r;
    struct error e;

    (void)state;
    assert_int_equal(read(REQUEST(CREATE ",'name':'web','dryRun':true,"
                                         "'object':{'spec':{}}"),
                          &r, &e),
                     OK);
    assert_true(slice_eq(r.uid, SLICE("u1")));
    assert_true(slice_eq(r.ns, SLICE("shop")));
    assert_true(slice_eq(r.name, SLICE("web")));
    assert_true(r.dry_run);
    pod_is(r.pod, "{'spec':{}}");
    review_fini(&r);
}

static void test_bad(void **state)
{
    static const char *const bad[] = {
        "[]",
        "{}",
        "{'apiVersion':'admission.k8s.io/v1beta1','kind':'AdmissionReview',"
        "'request':{'uid':'x'}}",
        "{'apiVersion':'admission.k8s.io/v1','kind':'Pod'}",
        "{'apiVersion':'admission.k8s.io/v1','kind':'AdmissionReview'}",
        REQUEST(""),
        REQUEST("'uid':7"),
        REQUEST(CREATE),
        REQUEST(CREATE ",'object':[]"),
        REQUEST(CREATE ",'dryRun':'yes','object':{}"),
    };
    struct review r;
    struct error e;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        e.text[0] = '\0';
        if (read(bad[i], &r, &e) == OK || !e.text[0])
            fail_msg("%s taken", bad[i]);
        review_fini(&r);
    }
    assert_int_equal(review_read(SLICE("{"), &r, &e), ERR_INVALID);
    assert_true(
        slice_starts(slice_str(e.text), SLICE("not an AdmissionReview: ")));
    review_fini(&r);
    assert_int_equal(review_read(SLICE(""), &r, &e), ERR_INVALID);
    review_fini(&r);
}

/* What is not the creation of a pod passes. */
static void test_not_for_us(void **state)
{
    static const char *const others[] = {
        REQUEST("'uid':'u','operation':'UPDATE','kind':{'group':'','kind':"
                "'Pod'},'object':{}"),
        REQUEST("'uid':'u','operation':'CREATE','kind':{'group':'apps','kind':"
                "'Deployment'},'object':{}"),
        REQUEST("'uid':'u','operation':'CREATE','subResource':'eviction',"
                "'kind':{'group':'','kind':'Pod'},'object':{}"),
    };
    struct review r;
    struct error e;

    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct json_doc *doc;
        struct text t;

        assert_int_equal(read(others[i], &r, &e), OK);
        assert_false(json_present(r.pod));
        text_init(&t, 1 << 16);
        review_answer(&r, NULL, &t);
        doc = pod_doc(text_cstr(&t));
        pod_is(json_root(doc),
               "{'apiVersion':'admission.k8s.io/v1','kind':'AdmissionReview',"
               "'response':{'uid':'u','allowed':true}}");
        json_free(doc);
        text_fini(&t);
        review_fini(&r);
    }
}

static void answer_is(struct inject_result *result, const char *want)
{
    struct review r = {.uid = SLICE("u1")};
    struct json_doc *doc;
    struct text t;

    text_init(&t, 1 << 16);
    review_answer(&r, result, &t);
    doc = pod_doc(text_cstr(&t));
    pod_is(json_get(json_root(doc), "response"), want);
    json_free(doc);
    text_fini(&t);
}

static void test_answer(void **state)
{
    struct inject_result r = {.verdict = VERDICT_INJECT};
    struct error e;

    (void)state;
    arena_init(&r.arena, 1 << 16);
    patch_init(&r.patch, &r.arena);
    notes_init(&r.notes, &r.arena);
    answer_is(&r, "{'uid':'u1','allowed':true}");
    assert_int_equal(
        patch_push(&r.patch, PATCH_ADD, SLICE("\"z\""), &e, "/a~1b"), OK);
    /* [{"op":"add","path":"/a~1b","value":"z"}] */
    answer_is(&r,
              "{'uid':'u1','allowed':true,'patchType':'JSONPatch','patch':"
              "'W3sib3AiOiJhZGQiLCJwYXRoIjoiL2F+MWIiLCJ2YWx1ZSI6InoifV0='}");
    notes_add(&r.notes, NOTE_NAMESPACE, "bad");
    notes_add(&r.notes, NOTE_WARNING, "odd");
    r.patch.ops.len = 0;
    r.verdict = VERDICT_REFUSE;
    error_set(&r.why, OK, "no");
    answer_is(&r, "{'uid':'u1','allowed':false,'status':{'status':'Failure',"
                  "'message':'no','reason':'Invalid','code':422},'warnings':"
                  "['tulle: namespace: bad','tulle: odd']}");
    inject_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_not_for_us),
        cmocka_unit_test(test_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
