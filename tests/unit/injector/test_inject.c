/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/injector/pods.h"

struct fixture {
    struct inject_settings settings;
    struct inject_result r;
    struct json_doc *pod, *ns, *after;
};

static void run_with(struct fixture *f, struct json_doc *pod, const char *ns)
{
    struct inject_input in = {.settings = &f->settings,
                              .pod = json_root(pod),
                              .ns = SLICE("shop"),
                              .asked = true};
    struct error e;

    f->pod = pod;
    f->ns = pod_doc(ns);
    f->after = NULL;
    in.ns_annotations = json_root(f->ns);
    inject(&in, &f->r);
    if (patch_apply(&f->r.patch, in.pod, &f->after, &e))
        fail_msg("%s", e.text);
}

static void run(struct fixture *f, const char *pod)
{
    pod_settings(&f->settings);
    run_with(f, pod_doc(pod), "{}");
}

static void end(struct fixture *f)
{
    json_free(f->pod);
    json_free(f->ns);
    json_free(f->after);
    inject_fini(&f->r);
}

static struct json at(const struct fixture *f, const char *pointer)
{
    return pod_at(json_root(f->after), pointer);
}

static const char simple[] =
    "{'metadata':{'name':'web','annotations':{'a':'b'}},"
    "'spec':{'containers':[{'name':'app','image':'x','livenessProbe':"
    "{'tcpSocket':{'port':80}}}],"
    "'initContainers':[{'name':'first'}],'volumes':[{'name':'v'}]}}";

static void test_order(void **state)
{
    struct fixture f;

    (void)state;
    run(&f, simple);
    assert_int_equal(f.r.verdict, VERDICT_INJECT);
    pod_is(at(&f, "/spec/initContainers/0/name"), "'tulle-init'");
    pod_is(at(&f, "/spec/initContainers/1/name"), "'tulle-proxy'");
    pod_is(at(&f, "/spec/initContainers/2"), "{'name':'first'}");
    pod_is(at(&f, "/spec/initContainers/1/restartPolicy"), "'Always'");
    assert_false(json_present(at(&f, "/spec/initContainers/0/restartPolicy")));
    pod_is(at(&f, "/spec/volumes/0"), "{'name':'v'}");
    assert_int_equal(json_count(at(&f, "/spec/volumes")), 3);
    pod_is(
        at(&f, "/metadata/annotations"),
        "{'a':'b','tulle.dev/injected':'1.0.0','tulle.dev/skip-inbound-ports':'',"
        "'kubectl.kubernetes.io/default-container':'app'}");
    end(&f);
}

static void test_security(void **state)
{
    struct fixture f;

    (void)state;
    run(&f, simple);
    pod_is(at(&f, "/spec/initContainers/0/securityContext"),
           "{'allowPrivilegeEscalation':false,'capabilities':{'add':"
           "['NET_ADMIN'],'drop':['ALL']},'readOnlyRootFilesystem':true,"
           "'runAsGroup':0,'runAsNonRoot':false,'runAsUser':0,"
           "'seccompProfile':{'type':'RuntimeDefault'}}");
    pod_is(at(&f, "/spec/initContainers/1/securityContext"),
           "{'allowPrivilegeEscalation':false,'capabilities':{'drop':['ALL']},"
           "'readOnlyRootFilesystem':true,'runAsGroup':2102,'runAsNonRoot':"
           "true,'runAsUser':2102,'seccompProfile':{'type':'RuntimeDefault'}}");
    end(&f);
}

static void test_probes_of_the_proxy(void **state)
{
    struct fixture f;

    (void)state;
    run(&f, simple);
    pod_is(at(&f, "/spec/initContainers/1/startupProbe"),
           "{'failureThreshold':2147483647,'httpGet':{'path':'/ready','port':"
           "15021,'scheme':'HTTP'},'periodSeconds':1,'successThreshold':1,"
           "'timeoutSeconds':1}");
    pod_is(at(&f, "/spec/initContainers/1/livenessProbe/httpGet/path"),
           "'/live'");
    /* Ready once started: never again a matter of the controller. */
    assert_false(json_present(at(&f, "/spec/initContainers/1/readinessProbe")));
    end(&f);
}

static struct json env(const struct fixture *f, int container, const char *name)
{
    char path[64];
    struct json i;

    snprintf(path, sizeof path, "/spec/initContainers/%d/env", container);
    for (i = json_first(at(f, path)); json_present(i); i = json_next(i)) {
        slice s;
        struct error e;

        assert_int_equal(json_string(i, "name", &s, &e), OK);
        if (slice_eq(s, slice_str(name)))
            break;
    }
    return i;
}

static void env_is(const struct fixture *f, int container, const char *name,
                   const char *value)
{
    struct error e;
    slice s = SLICE("");

    if (json_opt_string(env(f, container, name), "value", &s, &e) ||
        !slice_eq(s, slice_str(value)))
        fail_msg("%s is '%.*s'", name, FMT(s));
}

static void test_environment(void **state)
{
    struct fixture f;

    (void)state;
    run(&f, "{'metadata':{'annotations':{"
            "'tulle.dev/skip-inbound-ports':'22,8000-8010',"
            "'tulle.dev/skip-outbound-ports':'25',"
            "'tulle.dev/skip-subnets':'10.0.0.0/8',"
            "'tulle.dev/workers':'3','tulle.dev/access-log':'true',"
            "'tulle.dev/proxy-log-level':'debug',"
            "'tulle.dev/detect-timeout':'20ms',"
            "'tulle.dev/path-rule':'strict',"
            "'tulle.dev/shutdown-grace':'10s'}},"
            "'spec':{'containers':[{'name':'app'}]}}");
    env_is(&f, 0, "TULLE_INIT_PROXY_UID", "2102");
    env_is(&f, 0, "TULLE_INIT_PROXY_GID", "2102");
    env_is(&f, 0, "TULLE_INIT_INBOUND_PORT", "15006");
    env_is(&f, 0, "TULLE_INIT_OUTBOUND_PORT", "15001");
    env_is(&f, 0, "TULLE_INIT_SKIP_INBOUND_PORTS", "22,8000-8010");
    env_is(&f, 0, "TULLE_INIT_SKIP_OUTBOUND_PORTS", "25");
    env_is(&f, 0, "TULLE_INIT_SKIP_SUBNETS", "10.0.0.0/8");
    env_is(&f, 0, "TULLE_INIT_CONTROLLER", "10.96.0.9:8443");
    env_is(&f, 1, "TULLE_CONTROLLER",
           "tulle-controller.tulle-system.svc.cluster.local.:8443,"
           "10.96.0.9:8443");
    env_is(&f, 1, "TULLE_TRUST_DOMAIN", "cluster.local");
    env_is(&f, 1, "TULLE_BUNDLE",
           "/var/run/secrets/tulle.dev/bundle/bundle.pem");
    env_is(&f, 1, "TULLE_BUNDLE_PEM", "PEM");
    env_is(&f, 1, "TULLE_TOKEN_FILE", "/var/run/secrets/tulle.dev/token/token");
    env_is(&f, 1, "TULLE_INBOUND_TRANSPARENT", "0.0.0.0:15006,[::]:15006");
    env_is(&f, 1, "TULLE_OUTBOUND_TRANSPARENT", "127.0.0.1:15001,[::1]:15001");
    env_is(&f, 1, "TULLE_ADMIN", "127.0.0.1:15020");
    env_is(&f, 1, "TULLE_PROBES", "{}");
    env_is(&f, 1, "TULLE_WORKERS", "3");
    env_is(&f, 1, "TULLE_LOG_LEVEL", "debug");
    env_is(&f, 1, "TULLE_ACCESS_LOG", "true");
    env_is(&f, 1, "TULLE_DETECT_TIMEOUT", "20ms");
    env_is(&f, 1, "TULLE_PATH_RULE", "strict");
    env_is(&f, 1, "TULLE_SHUTDOWN_GRACE", "10s");
    pod_is(json_get(env(&f, 1, "TULLE_NODE_IPS"), "valueFrom"),
           "{'fieldRef':{'apiVersion':'v1','fieldPath':'status.hostIPs'}}");
    end(&f);
}

static void test_ipv6_and_no_address(void **state)
{
    struct fixture f;

    (void)state;
    pod_settings(&f.settings);
    f.settings.site.controller_ip = SLICE("fd00::9");
    run_with(&f, pod_doc(simple), "{}");
    env_is(&f, 0, "TULLE_INIT_CONTROLLER", "[fd00::9]:8443");
    end(&f);
    pod_settings(&f.settings);
    f.settings.site.controller_ip = SLICE("");
    run_with(&f, pod_doc(simple), "{}");
    env_is(&f, 0, "TULLE_INIT_CONTROLLER", "");
    env_is(&f, 1, "TULLE_CONTROLLER",
           "tulle-controller.tulle-system.svc.cluster.local.:8443");
    end(&f);
}

static void test_resources(void **state)
{
    struct fixture f;

    (void)state;
    run(&f, simple);
    pod_is(at(&f, "/spec/initContainers/1/resources"),
           "{'requests':{'cpu':'10m','memory':'32Mi'}}");
    assert_false(json_present(env(&f, 1, "TULLE_MEMORY_BUDGET")));
    end(&f);
    run(&f, "{'metadata':{'annotations':{'tulle.dev/proxy-cpu-limit':'1',"
            "'tulle.dev/proxy-memory-limit':'16Mi',"
            "'tulle.dev/proxy-cpu-request':'0.25'}},"
            "'spec':{'containers':[{'name':'a'}]}}");
    for (int i = 0; i < 2; i++) {
        char path[64];

        snprintf(path, sizeof path, "/spec/initContainers/%d/resources", i);
        pod_is(at(&f, path), "{'limits':{'cpu':'1','memory':'16Mi'},"
                             "'requests':{'cpu':'250m','memory':'16Mi'}}");
    }
    env_is(&f, 1, "TULLE_MEMORY_BUDGET", "9830Ki");
    end(&f);
}

/* --- again --- */

static void nothing_to_do(struct json_doc *pod)
{
    struct fixture f;

    pod_settings(&f.settings);
    run_with(&f, pod, "{}");
    assert_int_equal(f.r.verdict, VERDICT_INJECT);
    if (f.r.patch.ops.len)
        fail_msg("%.*s", FMT(f.r.patch.ops.at[0].path));
    end(&f);
}

static struct json_doc *injected(const char *pod)
{
    struct fixture f;
    struct json_doc *after;

    run(&f, pod);
    assert_int_equal(f.r.verdict, VERDICT_INJECT);
    after = f.after;
    f.after = NULL;
    end(&f);
    return after;
}

static void test_again_is_nothing(void **state)
{
    (void)state;
    nothing_to_do(injected(simple));
    nothing_to_do(injected("{'spec':{'containers':[{'name':'a'}]}}"));
    nothing_to_do(
        injected("{'metadata':{'annotations':null},'spec':{'containers':"
                 "[{'name':'a'}],'initContainers':[],'volumes':null}}"));
}

/* Text of an injected pod with one part put in another's place. */
static struct json_doc *meddled(const char *pod, const char *was,
                                const char *now)
{
    struct json_doc *doc = injected(pod);
    char *json = pod_text(json_root(doc)), *hit = strstr(json, was);
    struct json_doc *out;
    struct text t;

    if (!hit)
        fail_msg("no %s in %s", was, json);
    text_init(&t, 1 << 20);
    text_add(&t, slice_of(json, (size_t)(hit - json)));
    text_add(&t, slice_str(now));
    text_add(&t, slice_str(hit + strlen(was)));
    out = pod_doc(text_cstr(&t));
    text_fini(&t);
    mem_free(json);
    json_free(doc);
    return out;
}

/* What others must be able to set on every container stays. */
static void test_others_may(void **state)
{
    (void)state;
    nothing_to_do(meddled(simple, "\"image\":\"tulle/proxy:1.0.0\"",
                          "\"image\":\"mirror.test:5000/x/proxy:1.0.0@sha256:"
                          "00\""));
    nothing_to_do(meddled(simple, "\"IfNotPresent\"", "\"Always\""));
    nothing_to_do(meddled(simple, "\"requests\":{",
                          "\"limits\":{\"cpu\":\"1\",\"memory\":\"1Gi\"},"
                          "\"requests\":{\"ephemeral-storage\":\"1Gi\","));
}

static void mended(struct json_doc *pod, struct json_doc *want)
{
    struct fixture f;

    pod_settings(&f.settings);
    run_with(&f, pod, "{}");
    assert_int_not_equal(f.r.patch.ops.len, 0);
    if (!patch_same(json_root(f.after), json_root(want)))
        fail_msg("%s", pod_text(json_root(f.after)));
    end(&f);
    json_free(want);
}

static void test_changed_is_mended(void **state)
{
    (void)state;
    mended(meddled(simple, "\"tulle/proxy:1.0.0\"", "\"evil/proxy:0.9\""),
           injected(simple));
    mended(meddled(simple, "\"NET_ADMIN\"", "\"SYS_ADMIN\""), injected(simple));
    mended(meddled(simple, "\"volumeMounts\":[",
                   "\"volumeMounts\":[{\"name\":\"kube-api-access\","
                   "\"mountPath\":\"/var/run/secrets/kubernetes.io/"
                   "serviceaccount\"},"),
           injected(simple));
    mended(meddled(simple, "\"optional\":true", "\"optional\":false"),
           injected(simple));
    mended(meddled(simple, "\"tulle.dev/injected\":\"1.0.0\"",
                   "\"tulle.dev/injected\":\"0.1\""),
           injected(simple));
}

/* Somebody else put a container of his before ours. */
static void test_order_is_restored(void **state)
{
    struct json_doc *doc;
    struct fixture f;

    (void)state;
    doc = meddled(simple, "\"initContainers\":[",
                  "\"initContainers\":[{\"name\":\"agent\"},");
    pod_settings(&f.settings);
    run_with(&f, doc, "{}");
    pod_is(at(&f, "/spec/initContainers/0/name"), "'tulle-init'");
    pod_is(at(&f, "/spec/initContainers/1/name"), "'tulle-proxy'");
    pod_is(at(&f, "/spec/initContainers/2/name"), "'agent'");
    pod_is(at(&f, "/spec/initContainers/3/name"), "'first'");
    assert_int_equal(json_count(at(&f, "/spec/initContainers")), 4);
    end(&f);
}

/* A container that came later has its probes turned, the others keep theirs. */
static void test_late_container(void **state)
{
    struct fixture f;

    (void)state;
    pod_settings(&f.settings);
    run_with(&f,
             meddled(simple, "\"containers\":[",
                     "\"containers\":[{\"name\":\"late\",\"startupProbe\":"
                     "{\"tcpSocket\":{\"port\":7}}},"),
             "{}");
    env_is(&f, 1, "TULLE_PROBES",
           "{\"/probe/late/startup\":{\"kind\":\"tcp\",\"port\":7,"
           "\"timeout\":\"1s\"},\"/probe/app/liveness\":{\"kind\":\"tcp\","
           "\"port\":80,\"timeout\":\"1s\"}}");
    end(&f);
}

/* --- leaving and refusing --- */

static void test_told(void **state)
{
    struct fixture f;

    (void)state;
    run(&f, "{'spec':{'hostNetwork':true,'containers':[{'name':'a'}]}}");
    assert_int_equal(f.r.verdict, VERDICT_TELL);
    pod_is(json_root(f.after),
           "{'metadata':{'annotations':{'tulle.dev/not-injected':'the pod uses "
           "the network of its node (hostNetwork: true)'}},"
           "'spec':{'hostNetwork':true,'containers':[{'name':'a'}]}}");
    assert_int_equal(f.r.notes.len, 1);
    assert_int_equal(f.r.notes.at[0].kind, NOTE_POD);
    end(&f);
    /* what was said once and is no longer so goes */
    run(&f, "{'metadata':{'annotations':{'tulle.dev/not-injected':'x'}},"
            "'spec':{'containers':[{'name':'a'}]}}");
    assert_false(
        json_present(at(&f, "/metadata/annotations/tulle.dev~1not-injected")));
    end(&f);
}

static void test_refused(void **state)
{
    static const char *const pods[] = {
        "{'metadata':{'annotations':{'tulle.dev/workers':'x'}},"
        "'spec':{'containers':[{'name':'a'}]}}",
        "{'metadata':{'annotations':{'tulle.dev/workers':2}},"
        "'spec':{'containers':[{'name':'a'}]}}",
        "{'metadata':{'labels':{'tulle.dev/inject':true}},"
        "'spec':{'containers':[{'name':'a'}]}}",
        "{'spec':{'containers':[{'name':'a'}],'volumes':"
        "[{'name':'tulle-token','emptyDir':{}}]}}",
        "{'spec':{'containers':[{'name':'a'}],'volumes':"
        "[{'name':'x'},{'name':'tulle-bundle','emptyDir':{}}]}}",
        "{'metadata':{'annotations':[]},'spec':{'containers':[]}}",
        "{'spec':{'containers':{}}}",
        "{'spec':{}}",
        "{}",
        "[]",
        "{'spec':{'containers':[],'initContainers':'x'}}",
        "{'spec':{'containers':[],'terminationGracePeriodSeconds':-1}}",
        "{'spec':{'containers':[{'name':'a','ports':[{'containerPort':15001}"
        "]}]}}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof pods / sizeof *pods; i++) {
        struct fixture f;

        run(&f, pods[i]);
        if (f.r.verdict != VERDICT_REFUSE || !f.r.why.text[0])
            fail_msg("%s taken", pods[i]);
        assert_int_equal(f.r.patch.ops.len, 0);
        end(&f);
    }
}

/* Odd pods must not break anything; the API server refuses them. */
static void test_odd(void **state)
{
    static const char *const pods[] = {
        "{'spec':{'containers':[1,null,'x',[],{}]}}",
        "{'spec':{'containers':[{'name':7,'ports':3,'livenessProbe':[],"
        "'lifecycle':{'preStop':{'httpGet':7}}}],'volumes':[5,{'name':{}}],"
        "'initContainers':[null,{'name':'tulle-proxy','env':'x'}]}}",
        "{'spec':{'containers':[{'name':'a','livenessProbe':{'httpGet':"
        "{'scheme':'HTTPS','port':1,'httpHeaders':[7,{'name':2}]}}}],"
        "'securityContext':5}}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof pods / sizeof *pods; i++) {
        struct fixture f;

        run(&f, pods[i]);
        end(&f);
    }
}

static void test_stop_delay(void **state)
{
    struct fixture f;

    (void)state;
    run(&f, "{'spec':{'containers':[{'name':'a'},"
            "{'name':'b','lifecycle':{'postStart':{'exec':{'command':['x']}}}},"
            "{'name':'c','lifecycle':{'preStop':{'exec':{'command':['x']}}}},"
            "{'name':'d','lifecycle':null}]}}");
    pod_is(at(&f, "/spec/containers/0/lifecycle"),
           "{'preStop':{'sleep':{'seconds':2}}}");
    pod_is(at(&f, "/spec/containers/1/lifecycle"),
           "{'postStart':{'exec':{'command':['x']}},"
           "'preStop':{'sleep':{'seconds':2}}}");
    pod_is(at(&f, "/spec/containers/2/lifecycle"),
           "{'preStop':{'exec':{'command':['x']}}}");
    pod_is(at(&f, "/spec/containers/3/lifecycle"),
           "{'preStop':{'sleep':{'seconds':2}}}");
    end(&f);
    run(&f, "{'metadata':{'annotations':{'tulle.dev/stop-delay':'30s'}},"
            "'spec':{'terminationGracePeriodSeconds':40,"
            "'containers':[{'name':'a'}]}}");
    pod_is(at(&f, "/spec/containers/0/lifecycle"),
           "{'preStop':{'sleep':{'seconds':10}}}");
    end(&f);
    run(&f, "{'metadata':{'annotations':{'tulle.dev/stop-delay':'0s'}},"
            "'spec':{'containers':[{'name':'a'}]}}");
    assert_false(json_present(at(&f, "/spec/containers/0/lifecycle")));
    end(&f);
    run(&f, "{'spec':{'terminationGracePeriodSeconds':3,"
            "'containers':[{'name':'a'}]}}");
    assert_false(json_present(at(&f, "/spec/containers/0/lifecycle")));
    end(&f);
    run(&f, "{'spec':{'restartPolicy':'OnFailure',"
            "'containers':[{'name':'a'}]}}");
    assert_false(json_present(at(&f, "/spec/containers/0/lifecycle")));
    end(&f);
}

static void test_grace(void **state)
{
    struct fixture f;

    (void)state;
    run(&f, "{'spec':{'terminationGracePeriodSeconds':10,'containers':"
            "[{'name':'a'}]}}");
    env_is(&f, 1, "TULLE_SHUTDOWN_GRACE", "9s");
    assert_int_equal(f.r.notes.len, 1);
    assert_int_equal(f.r.notes.at[0].kind, NOTE_WARNING);
    end(&f);
    run(&f, "{'spec':{'terminationGracePeriodSeconds':0,'containers':"
            "[{'name':'a'}]}}");
    env_is(&f, 1, "TULLE_SHUTDOWN_GRACE", "1s");
    end(&f);
    run(&f, "{'spec':{'terminationGracePeriodSeconds':60,'containers':"
            "[{'name':'a'}]}}");
    env_is(&f, 1, "TULLE_SHUTDOWN_GRACE", "25s");
    assert_int_equal(f.r.notes.len, 0);
    end(&f);
}

static void test_default_container_stays(void **state)
{
    struct fixture f;

    (void)state;
    run(&f, "{'metadata':{'annotations':{'kubectl.kubernetes.io/"
            "default-container':'b'}},'spec':{'containers':[{'name':'a'},"
            "{'name':'b'}]}}");
    pod_is(at(&f, "/metadata/annotations/kubectl.kubernetes.io~1default-"
                  "container"),
           "'b'");
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_security),
        cmocka_unit_test(test_probes_of_the_proxy),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_ipv6_and_no_address),
        cmocka_unit_test(test_resources),
        cmocka_unit_test(test_again_is_nothing),
        cmocka_unit_test(test_others_may),
        cmocka_unit_test(test_changed_is_mended),
        cmocka_unit_test(test_order_is_restored),
        cmocka_unit_test(test_late_container),
        cmocka_unit_test(test_told),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_odd),
        cmocka_unit_test(test_stop_delay),
        cmocka_unit_test(test_grace),
        cmocka_unit_test(test_default_container_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
