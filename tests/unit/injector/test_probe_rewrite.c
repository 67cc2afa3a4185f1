/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/injector/pods.h"

#include "injector/probes.h"

struct fixture {
    struct arena arena;
    struct patch patch;
    struct json_doc *pod, *before, *after, *table;
    struct error e;
};

static enum status rewrite_with(struct fixture *f, const char *pod,
                                const char *before, const char *skip)
{
    const struct json_limits limits = {1 << 20, 10000};
    struct probes_input in = {.skip_inbound_ports = slice_str(skip),
                              .grace_seconds = 30};
    slice table;
    enum status rc;

    *f = (struct fixture){.pod = pod_doc(pod), .before = pod_doc(before)};
    arena_init(&f->arena, 1 << 20);
    patch_init(&f->patch, &f->arena);
    in.pod = json_root(f->pod);
    in.before = json_root(f->before);
    rc = probes_rewrite(&in, &f->patch, &table, &f->e);
    if (rc)
        return rc;
    assert_int_equal(json_parse(table, &limits, &f->table, &f->e), OK);
    assert_int_equal(patch_apply(&f->patch, in.pod, &f->after, &f->e), OK);
    return OK;
}

static void end(struct fixture *f)
{
    json_free(f->pod);
    json_free(f->before);
    json_free(f->after);
    json_free(f->table);
    patch_fini(&f->patch);
    arena_reset(&f->arena);
}

#define POD(x) "{'spec':{'containers':[{'name':'app'," x "}]}}"
#define OURS(path) "'httpGet':{'path':'" path "','port':15021,'scheme':'HTTP'}"

static void changes(const char *pod, const char *after, const char *table)
{
    struct fixture f;

    if (rewrite_with(&f, pod, "{}", "9000-9010"))
        fail_msg("%s", f.e.text);
    pod_is(json_root(f.after), after);
    pod_is(json_root(f.table), table);
    end(&f);
}

static void stays(const char *pod)
{
    struct fixture f;

    if (rewrite_with(&f, pod, "{}", "9000-9010"))
        fail_msg("%s", f.e.text);
    assert_int_equal(f.patch.ops.len, 0);
    pod_is(json_root(f.table), "{}");
    end(&f);
}

/* The API server takes 0 for 1, and has no bound above. */
static void test_timeouts(void **state)
{
    (void)state;
    changes(POD("'livenessProbe':{'tcpSocket':{'port':8080},"
                "'timeoutSeconds':0}"),
            POD("'livenessProbe':{" OURS(
                "/probe/app/liveness") ","
                                       "'timeoutSeconds':0}"),
            "{'/probe/app/liveness':{'kind':'tcp','port':8080,'timeout':"
            "'1s'}}");
    changes(POD("'livenessProbe':{'tcpSocket':{'port':8080},"
                "'timeoutSeconds':100000}"),
            POD("'livenessProbe':{" OURS(
                "/probe/app/liveness") ","
                                       "'timeoutSeconds':100000}"),
            "{'/probe/app/liveness':{'kind':'tcp','port':8080,'timeout':"
            "'86400s'}}");
}

static void test_tcp(void **state)
{
    (void)state;
    changes(POD("'livenessProbe':{'tcpSocket':{'port':8080},'periodSeconds':5,"
                "'timeoutSeconds':3}"),
            POD("'livenessProbe':{" OURS(
                "/probe/app/liveness") ",'periodSeconds':5,'timeoutSeconds':"
                                       "3}"),
            "{'/probe/app/liveness':{'kind':'tcp','port':8080,'timeout':"
            "'3s'}}");
    /* by the name of a port, or its digits */
    changes(
        POD("'ports':[{'name':'x','containerPort':1},{'name':'db',"
            "'containerPort':5432}],'readinessProbe':{'tcpSocket':{'port':"
            "'db'}},'startupProbe':{'tcpSocket':{'port':'81'}}"),
        POD("'ports':[{'name':'x','containerPort':1},{'name':'db',"
            "'containerPort':5432}],'readinessProbe':{" OURS(
                "/probe/app/readiness") "},'startupProbe':{" OURS("/probe/app/startup") "}"),
        "{'/probe/app/readiness':{'kind':'tcp','port':5432,'timeout':'1s'},"
        "'/probe/app/startup':{'kind':'tcp','port':81,'timeout':'1s'}}");
}

static void test_https(void **state)
{
    (void)state;
    changes(
        POD("'readinessProbe':{'httpGet':{'path':'/h?a=$(B)','port':8443,"
            "'scheme':'HTTPS','httpHeaders':[{'name':'X','value':'$$'},"
            "{'name':'hOst','value':'shop.test'}]}}"),
        POD("'readinessProbe':{" OURS("/probe/app/readiness") "}"),
        "{'/probe/app/readiness':{'kind':'https','port':8443,'timeout':'1s',"
        "'path':'/h?a=$(B)','headers':[['X','$$']],'host':'shop.test'}}");
}

/* Kubernetes would put a variable of its own in the place of $(B). */
static void test_no_dollar(void **state)
{
    struct fixture f;
    struct probes_input in = {0};
    slice table;

    (void)state;
    assert_int_equal(rewrite_with(&f,
                                  POD("'livenessProbe':{'httpGet':{'path':"
                                      "'/$(B)','port':1,'scheme':'HTTPS'}}"),
                                  "{}", ""),
                     OK);
    in.pod = json_root(f.pod);
    assert_int_equal(probes_rewrite(&in, &f.patch, &table, &f.e), OK);
    assert_true(slice_find(table, '$') < 0);
    end(&f);
}

static void test_hooks(void **state)
{
    (void)state;
    changes(
        POD("'lifecycle':{'postStart':{'httpGet':{'port':80}},'preStop':"
            "{'httpGet':{'port':8443,'path':'/bye','scheme':'HTTPS'}}}"),
        POD("'lifecycle':{'postStart':{" OURS(
            "/hook/app/postStart") "},'preStop':{" OURS("/hook/app/preStop") "}}"),
        "{'/hook/app/postStart':{'kind':'http','port':80,'timeout':'600s',"
        "'path':'/','headers':[],'host':''},"
        "'/hook/app/preStop':{'kind':'https','port':8443,'timeout':'30s',"
        "'path':'/bye','headers':[],'host':''}}");
}

static void test_what_stays(void **state)
{
    (void)state;
    stays(POD("'livenessProbe':{'httpGet':{'path':'/','port':80}}"));
    stays(POD("'livenessProbe':{'grpc':{'port':80}}"));
    stays(POD("'livenessProbe':{'exec':{'command':['true']}}"));
    stays(POD("'lifecycle':{'preStop':{'sleep':{'seconds':3}}}"));
    stays(POD("'lifecycle':{'preStop':{'tcpSocket':{'port':3}}}"));
    stays(POD("'lifecycle':{'preStop':{'exec':{'command':['x']}}}"));
    /* asks somebody else */
    stays(POD("'livenessProbe':{'tcpSocket':{'port':80,'host':'10.0.0.1'}}"));
    stays(POD("'livenessProbe':{'httpGet':{'port':80,'host':'x','scheme':"
              "'HTTPS'}}"));
    /* passes by the proxy */
    stays(POD("'livenessProbe':{'tcpSocket':{'port':9005}}"));
    /* means nothing */
    stays(POD("'livenessProbe':{'tcpSocket':{'port':'nope'}}"));
    stays(POD("'livenessProbe':{'tcpSocket':{'port':70000}}"));
    stays(POD("'livenessProbe':{'tcpSocket':{}}"));
    /* is ours */
    stays("{'spec':{'containers':[],'initContainers':[{'name':'tulle-proxy',"
          "'livenessProbe':{'tcpSocket':{'port':1}}}]}}");
}

static void test_sidecars_of_the_user(void **state)
{
    (void)state;
    changes("{'spec':{'containers':[],'initContainers':[{'name':'i'},{'name':"
            "'log','startupProbe':{'tcpSocket':{'port':1}}}]}}",
            "{'spec':{'containers':[],'initContainers':[{'name':'i'},{'name':"
            "'log','startupProbe':{" OURS("/probe/log/startup") "}}]}}",
            "{'/probe/log/startup':{'kind':'tcp','port':1,'timeout':'1s'}}");
}

/* What was rewritten before keeps what it asked. */
static void test_again(void **state)
{
    struct fixture f;
    const char *noted = "{'/probe/app/liveness':{'kind':'tcp','port':8080,"
                        "'timeout':'3s'},'/probe/gone/liveness':{}}";

    (void)state;
    assert_int_equal(
        rewrite_with(&f,
                     POD("'livenessProbe':{" OURS("/probe/app/liveness") "}"),
                     noted, ""),
        OK);
    assert_int_equal(f.patch.ops.len, 0);
    pod_is(json_root(f.table), "{'/probe/app/liveness':{'kind':'tcp','port':"
                               "8080,'timeout':'3s'}}");
    end(&f);
}

static void refused(const char *pod, const char *before, const char *why)
{
    struct fixture f;

    assert_int_equal(rewrite_with(&f, pod, before, ""), ERR_INVALID);
    if (!strstr(f.e.text, why))
        fail_msg("%s", f.e.text);
    end(&f);
}

static void test_our_ports(void **state)
{
    static const char *const pods[] = {
        POD("'livenessProbe':{" OURS("/probe/app/liveness") "}"),
        POD("'livenessProbe':{'httpGet':{'port':15020}}"),
        POD("'livenessProbe':{'tcpSocket':{'port':15021}}"),
        POD("'livenessProbe':{'tcpSocket':{'port':'15001'}}"),
        POD("'lifecycle':{'preStop':{'httpGet':{'port':15006}}}"),
    };

    (void)state;
    for (size_t i = 0; i < sizeof pods / sizeof *pods; i++) {
        refused(pods[i], "{}", "container app: its l");
        refused(pods[i], "{}", "which is the proxy's");
    }
}

/* Nobody could tell their probes apart. The API server refuses these pods, but
 * asks us before; and files are not asked about at all. */
static void test_names(void **state)
{
    const char *tcp = "'livenessProbe':{'tcpSocket':{'port':80}}";
    char pod[512];

    (void)state;
    snprintf(pod, sizeof pod,
             "{'spec':{'containers':[{'name':'a',%s},{'name':'a',%s}]}}", tcp,
             tcp);
    refused(pod, "{}", "container a: the name is there twice");
    snprintf(pod, sizeof pod,
             "{'spec':{'containers':[{'name':'a',%s}],'initContainers':"
             "[{'name':'a',%s}]}}",
             tcp, tcp);
    refused(pod, "{}", "container a: the name is there twice");
    snprintf(pod, sizeof pod, "{'spec':{'containers':[{'name':'a'},{%s}]}}",
             tcp);
    refused(pod, "{}", "containers[1]: a container has no name");
    refused("{'spec':{'containers':["
            "{'name':'a','livenessProbe':{" OURS(
                "/probe/a/liveness") "}},"
                                     "{'name':'a','livenessProbe':{" OURS(
                                         "/probe/a/liveness") "}}]}}",
            "{'/probe/a/liveness':{'kind':'tcp','port':80,'timeout':'1s'}}",
            "container a: the name is there twice");
}

static void test_bounds(void **state)
{
    struct fixture f;
    struct text t;

    (void)state;
    text_init(&t, 1 << 20);
    text_add(&t, SLICE("{'spec':{'containers':[{'name':'app','livenessProbe':"
                       "{'httpGet':{'port':1,'scheme':'HTTPS',"
                       "'httpHeaders':["));
    for (int i = 0; i < 65; i++)
        text_printf(&t, "%s{'name':'a','value':'b'}", i ? "," : "");
    text_add(&t, SLICE("]}}}]}}"));
    assert_int_equal(rewrite_with(&f, text_cstr(&t), "{}", ""), ERR_TOO_BIG);
    assert_non_null(strstr(f.e.text, "httpHeaders: more than 64 headers"));
    end(&f);
    text_clear(&t);
    text_add(&t, SLICE("{'spec':{'containers':[{'name':'app','livenessProbe':"
                       "{'httpGet':{'port':1,'scheme':'HTTPS','path':'/"));
    for (int i = 0; i < 100000; i++)
        text_add_char(&t, 'a');
    text_add(&t, SLICE("'}}}]}}"));
    assert_int_equal(rewrite_with(&f, text_cstr(&t), "{}", ""), ERR_TOO_BIG);
    end(&f);
    text_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tcp),
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_https),
        cmocka_unit_test(test_no_dollar),
        cmocka_unit_test(test_hooks),
        cmocka_unit_test(test_what_stays),
        cmocka_unit_test(test_sidecars_of_the_user),
        cmocka_unit_test(test_again),
        cmocka_unit_test(test_our_ports),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
