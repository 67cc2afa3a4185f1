/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/controller/objects.h"

#include <stdio.h>

#include "controller/watch/manifest.h"
#include "controller/watch/manifest_set.h"

#define META(rest) "'metadata':{'name':'a','namespace':'shop'" rest "}"

static void what_is_wrong_is_named(void **state)
{
    static const struct {
        const char *object, *says;
    } rows[] = {
        {"{'apiVersion':'v1','kind':'Service','spec':{}}", "metadata"},
        {"{'apiVersion':'v1','kind':'Service','metadata':{},'spec':{}}",
         "metadata.name"},
        {"{'apiVersion':'v1','kind':'Service','metadata':{'name':'A_b'},"
         "'spec':{}}",
         "'A_b' is not a valid name"},
        {"{'apiVersion':'v1','kind':'Service','metadata':{'name':'a',"
         "'namespace':'x.y'},'spec':{}}",
         "'x.y' is not a valid namespace"},
        {"{'apiVersion':'v1','kind':'Service'," META("") "}", "spec"},
        {"{'apiVersion':'v1','kind':'Service'," META(
             "") ",'spec':{'ports':["
                 "{'port':80},{'port':0}]}}",
         "spec.ports[1].port"},
        {"{'apiVersion':'v1','kind':'Service'," META("") ",'spec':{'ports':["
                                                         "{'port':'http'}]}}",
         "spec.ports[0].port"},
        {"{'apiVersion':'v1','kind':'Service'," META(
             "") ",'spec':{"
                 "'clusterIP':'300.1.1.1'}}",
         "'300.1.1.1' is not an IP address"},
        {"{'apiVersion':'v1','kind':'Service'," META(
             "") ",'spec':{"
                 "'clusterIPs':'10.0.0.1'}}",
         "spec.clusterIPs"},
        {"{'apiVersion':'discovery.k8s.io/v1','kind':'EndpointSlice'," META(
             "") "}",
         "addressType"},
        {"{'apiVersion':'discovery.k8s.io/v1','kind':'EndpointSlice'," META(
             "") ",'addressType':'IPv5'}",
         "'IPv5'"},
        {"{'apiVersion':'discovery.k8s.io/v1','kind':'EndpointSlice'," META(
             "") ",'addressType':'IPv4','endpoints':[{'addresses':[]}]}",
         "endpoints[0].addresses"},
        {"{'apiVersion':'discovery.k8s.io/v1','kind':'EndpointSlice'," META(
             "") ",'addressType':'IPv4','endpoints':[{'addresses':["
                 "'10.0.0.1'],'conditions':{'ready':'yes'}}]}",
         "endpoints[0].conditions.ready"},
        {"{'apiVersion':'v1','kind':'Pod'," META("") ",'spec':{'containers':"
                                                     "[{}]}}",
         "spec.containers[0].name"},
        {"{'apiVersion':'v1','kind':'Pod'," META(
             "") ",'spec':{'containers':"
                 "[{'name':'x','ports':[{'containerPort':70000}]}]}}",
         "spec.containers[0].ports[0].containerPort"},
        {"{'apiVersion':'v1','kind':'Pod'," META(
             "") ",'spec':{"
                 "'serviceAccountName':'Bad'}}",
         "spec.serviceAccountName"},
        {"{'apiVersion':'v1','kind':'Pod'," META("") ",'spec':{},'status':{"
                                                     "'podIPs':[{'ip':'x'}]}}",
         "status.podIPs[0].ip"},
        {"{'apiVersion':'v1','kind':'Pod'," META("") ",'spec':{},'status':{"
                                                     "'hostIPs':[{'ip':'x'}]}}",
         "status.hostIPs[0].ip"},
        {"{'apiVersion':'v1','kind':'Pod'," META(
             "") ",'spec':{'containers':[{'name':'x','livenessProbe':{"
                 "'httpGet':{'port':0}}}]}}",
         "spec.containers[0].livenessProbe.httpGet.port"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct record *r = NULL;
        struct error e = {""};

        assert_int_equal(object_decode(rows[i].object, &r, &e), ERR_INVALID);
        if (!strstr(e.text, rows[i].says))
            fail_msg("'%s' does not say '%s'", e.text, rows[i].says);
        assert_null(r);
    }
}

static void why_a_sidecar_does_not_run(void **state)
{
    static const struct {
        const char *status, *problem;
        bool ready;
    } rows[] = {
        {"'name':'tulle-proxy','ready':true,'state':{'running':{}}", "", true},
        {"'name':'tulle-proxy','state':{'waiting':{'reason':"
         "'PodInitializing'}}",
         "", false},
        {"'name':'tulle-init','state':{'terminated':{'exitCode':0,'reason':"
         "'Completed'}}",
         "", false},
        {"'name':'tulle-init','state':{'terminated':{'exitCode':1,'reason':"
         "'Error','message':'no redirection\\n'}}",
         "no redirection", false},
        {"'name':'tulle-init','state':{'waiting':{'reason':'CrashLoopBackOff',"
         "'message':'back-off'}},'lastState':{'terminated':{'exitCode':1,"
         "'message':'its last words'}}",
         "its last words", false},
        {"'name':'tulle-proxy','state':{'waiting':{'reason':'ErrImagePull'}}",
         "ErrImagePull", false},
        {"'name':'other','state':{'terminated':{'exitCode':1,'message':'x'}}",
         "", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct record *r = NULL;
        char object[1024];
        struct error e;

        snprintf(object, sizeof object,
                 "{'apiVersion':'v1','kind':'Pod'," META(
                     "") ",'spec':{'containers':[]},'status':{"
                         "'initContainerStatuses':[{%s}]}}",
                 rows[i].status);
        if (object_decode(object, &r, &e))
            fail_msg("%s", e.text);
        if (!slice_eq(r->pod.init_problem, slice_str(rows[i].problem)))
            fail_msg("'%.*s', not '%s'", FMT(r->pod.init_problem),
                     rows[i].problem);
        assert_int_equal(r->pod.proxy_ready, rows[i].ready);
        record_unref(r);
    }
}

static void a_pod(void **state)
{
    struct record *r = object("{'apiVersion':'v1','kind':'Pod'," META(
        ",'uid':'u',"
        "'annotations':{'tulle.dev/mtls':'strict',"
        "'tulle.dev/opaque-ports':'1-2'}") ",'spec':{'nodeName':'n',"
                                           "'initContainers':[{'name':'tulle-proxy','restartPolicy':'Always','ports':["
                                           "{'containerPort':15008}]}],'containers':[{'name':'x','ports':["
                                           "{'containerPort':80},{'containerPort':81,'protocol':'UDP'}]}]},"
                                           "'status':{'phase':'Pending','podIP':'FD00::1','podIPs':["
                                           "{'ip':'fd00::1'},{'ip':'10.0.0.1'}]}}");

    (void)state;
    assert_true(slice_eq(r->pod.uid, SLICE("u")));
    assert_true(slice_eq(r->pod.service_account, SLICE("default")));
    assert_true(slice_eq(r->pod.node, SLICE("n")));
    assert_true(r->pod.meshed);
    assert_true(r->pod.live);
    assert_int_equal(r->pod.ports_len, 1);
    assert_int_equal(r->pod.ports[0], 80);
    assert_int_equal(r->pod.ips_len, 2);
    assert_true(slice_eq(r->pod.ips[0], SLICE("fd00::1")));
    assert_int_equal(r->pod.settings.mtls, MTLS_SAYS_STRICT);
    assert_true(slice_eq(r->pod.settings.opaque_ports, SLICE("1-2")));
    record_unref(r);
}

#define PHASE(phase)                         \
    "{'apiVersion':'v1','kind':'Pod'," META( \
        "") ",'spec':{},'status':{'phase':'" phase "'}}"
#define WITH(list, more)                     \
    "{'apiVersion':'v1','kind':'Pod'," META( \
        "") ",'spec':{'" list "':[{'name':'tulle-proxy'" more "}]}}"

/* An address belongs to whoever has not ended; only what runs along is a
 * sidecar. */
static void life_and_sidecars(void **state)
{
    static const struct {
        const char *object;
        bool live, meshed;
    } rows[] = {
        {PHASE("Pending"), true, false},
        {PHASE("Running"), true, false},
        {PHASE("Unknown"), true, false},
        {PHASE("Succeeded"), false, false},
        {PHASE("Failed"), false, false},
        {WITH("containers", ""), true, true},
        {WITH("initContainers", ",'restartPolicy':'Always'"), true, true},
        {WITH("initContainers", ""), true, false},
        {WITH("initContainers", ",'restartPolicy':'Never'"), true, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct record *r = object(rows[i].object);

        assert_int_equal(r->pod.live, rows[i].live);
        assert_int_equal(r->pod.meshed, rows[i].meshed);
        record_unref(r);
    }
}

/* "80/healthz 81 ...": HTTP with its path, gRPC without. */
static void probes_are(const char *containers, const char *want)
{
    struct text object_text, got;
    struct record *r;

    text_init(&object_text, 65536);
    text_init(&got, 65536);
    text_printf(&object_text,
                "{'apiVersion':'v1','kind':'Pod'," META("") ",'spec':{%s}}",
                containers);
    r = object(text_cstr(&object_text));
    for (uint32_t i = 0; i < r->pod.probes_len; i++)
        text_printf(&got, "%s%u%.*s", i ? " " : "", r->pod.probes[i].port,
                    FMT(r->pod.probes[i].path));
    assert_string_equal(text_cstr(&got), want);
    record_unref(r);
    text_fini(&object_text);
    text_fini(&got);
}

#define PORTS "'ports':[{'name':'web','containerPort':8080}]"

static void plain_probes(void **state)
{
    (void)state;
    probes_are("", "");
    probes_are("'containers':[{'name':'a'," PORTS ","
               "'startupProbe':{'httpGet':{'port':'web'}},"
               "'livenessProbe':{'httpGet':{'path':'/live?a=b','port':81,"
               "'scheme':'HTTP'}},"
               "'readinessProbe':{'grpc':{'port':9090,'service':'x'}}},"
               "{'name':'b','readinessProbe':{'httpGet':{'path':'no-slash',"
               "'port':82}}}]",
               "8080/ 81/live?a=b 9090 82/no-slash");
    /* the same twice, and native sidecars */
    probes_are("'initContainers':[{'name':'i','restartPolicy':'Always',"
               "'startupProbe':{'httpGet':{'port':1}}}],"
               "'containers':[{'name':'a',"
               "'livenessProbe':{'httpGet':{'port':1}},"
               "'readinessProbe':{'httpGet':{'port':1}}}]",
               "1/");
    /* what is rewritten, what asks somebody else, what asks nobody, and ours */
    probes_are("'initContainers':[{'name':'tulle-proxy',"
               "'startupProbe':{'httpGet':{'path':'/ready','port':15021}}}],"
               "'containers':[{'name':'a'," PORTS ","
               "'startupProbe':{'httpGet':{'port':80,'scheme':'HTTPS'}},"
               "'livenessProbe':{'tcpSocket':{'port':80}},"
               "'readinessProbe':{'httpGet':{'port':80,'host':'db'}}},"
               "{'name':'b',"
               "'livenessProbe':{'exec':{'command':['true']}},"
               "'readinessProbe':{'httpGet':{'port':'web'}}}]",
               "");
}

static void addresses_of_the_node(void **state)
{
    struct record *r = object("{'apiVersion':'v1','kind':'Pod'," META(
        "") ",'spec':{},'status':{"
            "'hostIP':'192.0.2.1','hostIPs':[{'ip':'192.0.2.1'},"
            "{'ip':'FD00:0::1'}]}}");
    struct record *none =
        object("{'apiVersion':'v1','kind':'Pod'," META("") ",'spec':{}}");

    (void)state;
    assert_int_equal(r->pod.node_ips_len, 2);
    assert_true(slice_eq(r->pod.node_ips[0], SLICE("192.0.2.1")));
    assert_true(slice_eq(r->pod.node_ips[1], SLICE("fd00::1")));
    assert_int_equal(none->pod.node_ips_len, 0);
    assert_false(record_eq(r, none));
    record_unref(r);
    record_unref(none);
}

static void bad_annotations_are_told_and_harmless(void **state)
{
    struct record *r = object("{'apiVersion':'v1','kind':'Pod'," META(
        ",'annotations':{"
        "'tulle.dev/mtls':'off','tulle.dev/skip-inbound-ports':'x'}") ",'spec':{}}");

    (void)state;
    assert_int_equal(r->pod.settings.mtls, MTLS_SAYS_STRICT);
    assert_true(slice_empty(r->pod.settings.skip_inbound_ports));
    assert_non_null(memmem(r->problem.ptr, r->problem.len, "'off'", 5));
    record_unref(r);
}

/* --- files --- */

static const char two[] = "apiVersion: v1\n"
                          "kind: Namespace\n"
                          "metadata: {name: shop}\n"
                          "---\n"
                          "# nothing\n"
                          "---\n"
                          "apiVersion: v1\n"
                          "kind: List\n"
                          "items:\n"
                          "- apiVersion: apps/v1\n"
                          "  kind: Deployment\n"
                          "- apiVersion: v1\n"
                          "  kind: Service\n"
                          "  metadata: {name: cart, namespace: shop}\n"
                          "  spec:\n"
                          "    ports:\n"
                          "    - port: 80\n";

static void a_file(void **state)
{
    record_vec v = {0};
    struct error e;

    (void)state;
    assert_int_equal(manifest_read(slice_str(two), SLICE("f"), &v, &e), OK);
    assert_int_equal(v.len, 2);
    assert_int_equal(v.at[1]->kind, RECORD_SERVICE);
    record_vec_fini(&v);
}

static void one_mistake_refuses_the_file(void **state)
{
    static const char *const rows[][2] = {
        {"    - port: x\n", "f:18: "},
        {"---\nnonsense\n", "f:19: "},
        {"---\napiVersion: v1\n", "f:19: "},
        {"---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n",
         "f:19: "},
        {"---\n\t: x\n", "f:19:"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        record_vec v = {0};
        struct text t;
        struct error e = {""};

        text_init(&t, 10000);
        text_printf(&t, "%s%s", two, rows[i][0]);
        assert_int_equal(manifest_read(text_slice(&t), SLICE("f"), &v, &e),
                         ERR_INVALID);
        if (strncmp(e.text, rows[i][1], strlen(rows[i][1])) != 0)
            fail_msg("'%s' does not begin with '%s'", e.text, rows[i][1]);
        assert_int_equal(v.len, 0);
        text_fini(&t);
    }
}

/* --- sets --- */

static void on_put(void *owner, struct record *rec)
{
    text_printf(owner, "+%.*s@%.*s ", FMT(rec->name),
                FMT(rec->space.settings.opaque_ports));
    record_unref(rec);
}

static void on_gone(void *owner, enum record_kind kind, slice ns, slice name)
{
    (void)kind;
    (void)ns;
    text_printf(owner, "-%.*s ", FMT(name));
}

static void on_clash(void *owner, const struct record *rec, slice used,
                     slice ignored)
{
    text_printf(owner, "!%.*s:%.*s>%.*s ", FMT(rec->name), FMT(used),
                FMT(ignored));
}

static const struct manifest_set_events set_events = {on_put, on_gone,
                                                      on_clash};

/* A file that declares a namespace, told apart by a port. */
static void file(struct manifest_set *s, const char *path, const char *name,
                 const char *port)
{
    record_vec v = {0};
    struct error e;
    struct text t;

    text_init(&t, 1000);
    text_printf(&t,
                "apiVersion: v1\nkind: Namespace\nmetadata:\n"
                "  name: %s\n  annotations:\n"
                "    tulle.dev/opaque-ports: \"%s\"\n",
                name, port);
    if (manifest_read(text_slice(&t), slice_str(path), &v, &e))
        fail_msg("%s", e.text);
    manifest_set_put(s, slice_str(path), &v);
    text_fini(&t);
}

static void settled(struct manifest_set *s, const char *want)
{
    struct text t;

    text_init(&t, 1000);
    manifest_set_settle(s, &set_events, &t);
    assert_string_equal(text_cstr(&t), want);
    text_fini(&t);
}

static void who_declared_it_first_keeps_it(void **state)
{
    struct manifest_set *s = manifest_set_new();

    (void)state;
    file(s, "m", "a", "1");
    settled(s, "+a@1 ");
    file(s, "b", "a", "2");
    settled(s, "!a:m>b ");
    file(s, "m", "a", "3");
    settled(s, "+a@3 ");
    manifest_set_del(s, SLICE("m")); /* now the other file's holds */
    settled(s, "+a@2 ");
    file(s, "b", "a", "2");
    settled(s, "");
    manifest_set_del(s, SLICE("b"));
    settled(s, "-a ");
    manifest_set_free(s);
}

static void files_that_come_together_go_by_name(void **state)
{
    struct manifest_set *s = manifest_set_new();

    (void)state;
    file(s, "z", "a", "1");
    file(s, "b", "a", "2");
    settled(s, "!a:b>z +a@2 ");
    manifest_set_del(s, SLICE("z"));
    manifest_set_del(s, SLICE("b"));
    settled(s, "-a ");
    manifest_set_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(why_a_sidecar_does_not_run),
        cmocka_unit_test(a_pod),
        cmocka_unit_test(life_and_sidecars),
        cmocka_unit_test(plain_probes),
        cmocka_unit_test(addresses_of_the_node),
        cmocka_unit_test(bad_annotations_are_told_and_harmless),
        cmocka_unit_test(a_file),
        cmocka_unit_test(one_mistake_refuses_the_file),
        cmocka_unit_test(who_declared_it_first_keeps_it),
        cmocka_unit_test(files_that_come_together_go_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
