/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/injector/pods.h"

struct row {
    const char *pod, *ns;
    bool asked;
    enum verdict verdict;
    const char *why; /* a part of the sentence */
};

#define META(x) "{'metadata':{" x "},'spec':{'containers':[{'name':'a'}]}}"
#define SPEC(x) "{'metadata':{},'spec':{" x "}}"
#define CONTAINER(x) SPEC("'containers':[{'name':'app'," x "}]")

static const struct row rows[] = {
    /* asked? */
    {META(""), "shop", true, VERDICT_INJECT, NULL},
    {META(""), "shop", false, VERDICT_LEAVE, "neither the pod nor"},
    {META("'annotations':{'tulle.dev/inject':'enabled'}"), "shop", false,
     VERDICT_INJECT, NULL},
    {META("'labels':{'tulle.dev/inject':'enabled'}"), "shop", false,
     VERDICT_INJECT, NULL},
    {META("'annotations':{'tulle.dev/inject':'disabled'}"), "shop", true,
     VERDICT_LEAVE, "disabled"},
    {META("'labels':{'tulle.dev/inject':'disabled'}"), "shop", true,
     VERDICT_LEAVE, "disabled"},
    {META("'annotations':{'tulle.dev/inject':'true'}"), "shop", true,
     VERDICT_REFUSE,
     "annotation tulle.dev/inject: 'true' is not valid; expected enabled or "
     "disabled"},
    {META("'labels':{'tulle.dev/inject':'on'}"), "shop", false, VERDICT_REFUSE,
     "label tulle.dev/inject: 'on'"},
    {META("'annotations':{'tulle.dev/inject':'enabled'},"
          "'labels':{'tulle.dev/inject':'disabled'}"),
     "shop", true, VERDICT_REFUSE, "the annotation says enabled, the label"},
    /* can it be done? */
    {META(""), "kube-system", true, VERDICT_TELL, "never meshed"},
    {META(""), "kube-public", true, VERDICT_TELL, "never meshed"},
    {META(""), "kube-node-lease", true, VERDICT_TELL, "never meshed"},
    {META(""), "tulle-system", true, VERDICT_TELL, "never meshed"},
    {META("'annotations':{'kubernetes.io/config.mirror':'x'}"), "shop", true,
     VERDICT_LEAVE, "static pod"},
    {SPEC("'hostNetwork':true,'containers':[]"), "shop", true, VERDICT_TELL,
     "hostNetwork"},
    {SPEC("'hostNetwork':true,'containers':[]"), "shop", false, VERDICT_LEAVE,
     "neither"},
    {SPEC("'hostNetwork':false,'containers':[]"), "shop", true, VERDICT_INJECT,
     NULL},
    {SPEC("'os':{'name':'windows'},'containers':[]"), "shop", true,
     VERDICT_TELL, "Windows"},
    {SPEC("'nodeSelector':{'kubernetes.io/os':'windows'},'containers':[]"),
     "shop", true, VERDICT_TELL, "Windows"},
    {SPEC("'os':{'name':'linux'},'containers':[]"), "shop", true,
     VERDICT_INJECT, NULL},
    {SPEC("'containers':[{'name':'a'},{'name':'istio-proxy'}]"), "shop", true,
     VERDICT_TELL, "istio-proxy"},
    {SPEC("'initContainers':[{'name':'linkerd-proxy'}],'containers':[]"),
     "shop", true, VERDICT_TELL, "linkerd-proxy"},
    /* what makes no difference */
    {SPEC("'hostPID':true,'hostIPC':true,'shareProcessNamespace':true,"
          "'hostUsers':false,'automountServiceAccountToken':false,"
          "'restartPolicy':'Never','containers':[]"),
     "shop", true, VERDICT_INJECT, NULL},
    /* our uid and gid */
    {CONTAINER("'securityContext':{'runAsUser':2102}"), "shop", true,
     VERDICT_REFUSE, "container app: runAsUser 2102"},
    {CONTAINER("'securityContext':{'runAsGroup':2102}"), "shop", true,
     VERDICT_REFUSE, "container app: runAsGroup 2102"},
    {SPEC("'securityContext':{'runAsUser':2102},'containers':[{'name':'b'}]"),
     "shop", true, VERDICT_REFUSE, "container b: runAsUser 2102"},
    {SPEC("'securityContext':{'runAsUser':2102},'containers':[{'name':'b',"
          "'securityContext':{'runAsUser':1000}}]"),
     "shop", true, VERDICT_INJECT, NULL},
    {SPEC("'initContainers':[{'name':'i','securityContext':{'runAsUser':2102}"
          "}],'containers':[{'name':'b'}]"),
     "shop", true, VERDICT_REFUSE, "container i: runAsUser 2102"},
    {CONTAINER("'securityContext':{'runAsUser':2101,'runAsGroup':0}"), "shop",
     true, VERDICT_INJECT, NULL},
    /* ports */
    {CONTAINER("'ports':[{'containerPort':80},{'containerPort':15001}]"),
     "shop", true, VERDICT_REFUSE, "container app: port 15001"},
    {CONTAINER("'ports':[{'containerPort':15006,'protocol':'TCP'}]"), "shop",
     true, VERDICT_REFUSE, "15006"},
    {CONTAINER("'ports':[{'containerPort':15020}]"), "shop", true,
     VERDICT_REFUSE, "15020"},
    {CONTAINER("'ports':[{'containerPort':15021}]"), "shop", true,
     VERDICT_REFUSE, "15021"},
    {CONTAINER("'ports':[{'containerPort':15021,'protocol':'UDP'}]"), "shop",
     true, VERDICT_INJECT, NULL},
    {CONTAINER("'ports':[{'containerPort':15002}]"), "shop", true,
     VERDICT_INJECT, NULL},
    /* names */
    {SPEC("'containers':[{'name':'tulle-proxy'}]"), "shop", true,
     VERDICT_REFUSE, "container tulle-proxy: the name"},
    {SPEC("'initContainers':[{'name':'tulle-init','securityContext':"
          "{'runAsUser':0}},{'name':'tulle-proxy','securityContext':"
          "{'runAsUser':2102}}],'containers':[{'name':'b'}]"),
     "shop", true, VERDICT_INJECT, NULL},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct json_doc *doc = pod_doc(rows[i].pod);
        struct eligible_pod p = {json_root(doc),
                                 slice_str(rows[i].ns),
                                 SLICE("tulle-system"),
                                 rows[i].asked,
                                 2102,
                                 2102};
        struct error why = {""};
        enum verdict v = eligible(&p, &why);

        if (v != rows[i].verdict)
            fail_msg("%s: verdict %d: %s", rows[i].pod, v, why.text);
        if (rows[i].why && !strstr(why.text, rows[i].why))
            fail_msg("%s: %s", rows[i].pod, why.text);
        json_free(doc);
    }
}

static void test_namespace(void **state)
{
    struct json_doc *yes = pod_doc("{'tulle.dev/inject':'enabled'}");
    struct json_doc *no = pod_doc("{'tulle.dev/inject':'disabled'}");
    struct json_doc *bad = pod_doc("{'tulle.dev/inject':'yes'}");
    struct error why = {""};

    (void)state;
    assert_true(eligible_namespace_asks(json_root(yes), &why));
    assert_false(eligible_namespace_asks(json_root(no), &why));
    assert_false(eligible_namespace_asks((struct json){0}, &why));
    assert_string_equal(why.text, "");
    assert_false(eligible_namespace_asks(json_root(bad), &why));
    assert_string_equal(why.text, "label tulle.dev/inject: 'yes' is not valid; "
                                  "expected enabled or disabled");
    json_free(yes);
    json_free(no);
    json_free(bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_namespace),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
