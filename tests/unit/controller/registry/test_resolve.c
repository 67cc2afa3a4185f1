/* SPDX-License-Identifier: Apache-2.0 */
/* Objects in, views out, as the JSON that proxies get. */
#include "tests/unit/controller/objects.h"

#include "controller/registry/owner.h"
#include "controller/registry/resolve.h"
#include "lib/mesh/wire.h"

static const struct resolve_settings settings = {
    .trust_domain = SLICE_INIT("cluster.local"),
    .bundle = SLICE_INIT("PEM"),
    .default_mtls = MTLS_PERMISSIVE,
};

#define CART                                                         \
    "{'apiVersion':'v1','kind':'Service','metadata':{'name':'cart'," \
    "'namespace':'shop'},'spec':{'clusterIP':'10.0.0.1','ports':["   \
    "{'name':'http','port':80,'targetPort':8080},"                   \
    "{'name':'dns','port':53,'protocol':'UDP'}]}}"
#define CART_SLICE(ports, endpoints)                              \
    "{'apiVersion':'discovery.k8s.io/v1','kind':'EndpointSlice'," \
    "'metadata':{'name':'cart-1','namespace':'shop','labels':{"   \
    "'kubernetes.io/service-name':'cart'}},'addressType':'IPv4'," \
    "'ports':[" ports "],'endpoints':[" endpoints "]}"
#define HTTP_8080 "{'name':'http','port':8080}"
#define AT(ip, conditions) \
    "{'addresses':['" ip "'],'conditions':{" conditions "}}"
#define POD(name, ip, meta, spec)                                       \
    "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'" name         \
    "','namespace':'shop','uid':'u-" name "'" meta "},'spec':{"         \
    "'serviceAccountName':'cart'" spec "},'status':{'phase':'Running'," \
    "'podIP':'" ip "'}}"
#define SIDECAR \
    ",'initContainers':[{'name':'tulle-proxy','restartPolicy':'Always'}]"

static void check(struct registry *r, enum view_kind kind, const char *key,
                  const char *want)
{
    static const struct client c = {SLICE_INIT("shop"), SLICE_INIT("cart"),
                                    SLICE_INIT("cart-a"),
                                    SLICE_INIT("u-cart-a")};
    struct view *v = NULL;
    struct error e = {""};
    struct text out;
    enum status rc = resolve(r, &settings, kind, &c, slice_str(key), &v, &e);
    char *expected = object_quote(want);

    text_init(&out, 1 << 20);
    if (rc == OK) {
        view_encode(v, &out);
        assert_false(out.failed);
        view_unref(v);
    } else {
        text_printf(&out, "%s", status_name(rc));
        assert_true(e.text[0] != 0);
    }
    assert_string_equal(text_cstr(&out), expected);
    text_fini(&out);
    mem_free(expected);
}

#define KNOWN(protocol)                                                    \
    "{'resolution':'known','service':'shop/cart:80','protocol':'" protocol \
    "','direct':false,'backends':[{'key':'shop/cart:80',"                  \
    "'weight':1}]}"
#define NOWHERE(resolution)                               \
    "{'resolution':'" resolution "','protocol':'detect'," \
    "'direct':false,'backends':[]}"

static void destinations_of_a_service(void **state)
{
    struct registry *r = registry_new();

    (void)state;
    object_put(r, CART);
    check(r, VIEW_DESTINATION, "shop/cart:80", KNOWN("http"));
    check(r, VIEW_DESTINATION, "10.0.0.1:80", KNOWN("http"));
    /* not in the spec, or not TCP: known, and nobody is there */
    check(r, VIEW_DESTINATION, "10.0.0.1:81",
          "{'resolution':'known','service':'shop/cart:81',"
          "'protocol':'detect','direct':false,'backends':[]}");
    check(r, VIEW_DESTINATION, "shop/cart:53",
          "{'resolution':'known','service':'shop/cart:53',"
          "'protocol':'detect','direct':false,'backends':[]}");
    check(r, VIEW_DESTINATION, "shop/other:80", NOWHERE("unknown"));
    check(r, VIEW_DESTINATION, "10.9.9.9:80", NOWHERE("unknown"));
    registry_set_synced(r, true);
    check(r, VIEW_DESTINATION, "10.9.9.9:80", NOWHERE("external"));
    check(r, VIEW_DESTINATION, "[fd00::1]:80", NOWHERE("external"));
    check(r, VIEW_DESTINATION, "nonsense", "invalid");
    check(r, VIEW_DESTINATION, "shop/cart:0080", "invalid");
    check(r, VIEW_DESTINATION, "shop/cart:99999", "invalid");
    check(r, VIEW_DESTINATION, "::1:80", "invalid");
    check(r, VIEW_DESTINATION, "", "invalid");
    registry_del(r, RECORD_SERVICE, SLICE("shop"), SLICE("cart"));
    check(r, VIEW_DESTINATION, "10.0.0.1:80", NOWHERE("external"));
    registry_free(r);
}

static void aliases_are_external(void **state)
{
    struct registry *r = registry_new();

    (void)state;
    object_put(r, "{'apiVersion':'v1','kind':'Service','metadata':{'name':"
                  "'cart','namespace':'shop'},'spec':{'type':'ExternalName',"
                  "'externalName':'example.com','ports':[{'port':80}]}}");
    check(r, VIEW_DESTINATION, "shop/cart:80", NOWHERE("external"));
    check(r, VIEW_BACKEND, "shop/cart:80", "not-found");
    registry_free(r);
}

static void opaque_by_annotation_of_the_service(void **state)
{
    struct registry *r = registry_new();

    (void)state;
    object_put(r, "{'apiVersion':'v1','kind':'Service','metadata':{'name':"
                  "'cart','namespace':'shop','annotations':{"
                  "'tulle.dev/opaque-ports':'79-80'}},'spec':{'clusterIP':"
                  "'None','ports':[{'name':'http','port':80}]}}");
    check(r, VIEW_DESTINATION, "shop/cart:80", KNOWN("opaque"));
    registry_free(r);
}

static void pods_own_their_address(void **state)
{
    struct registry *r = registry_new();

    (void)state;
    registry_set_synced(r, true);
    object_put(r, POD("cart-a", "10.1.0.1", "", SIDECAR));
    check(r, VIEW_DESTINATION, "10.1.0.1:8080",
          "{'resolution':'known','protocol':'detect','direct':true,"
          "'backends':[{'key':'10.1.0.1:8080','weight':1}]}");
    check(r, VIEW_BACKEND, "10.1.0.1:8080",
          "{'endpoints':[{'address':'10.1.0.1:8080','identity':"
          "'spiffe://cluster.local/ns/shop/sa/cart','pod':'shop/cart-a',"
          "'weight':1,'protocol':'detect','state':'ready'}]}");
    check(r, VIEW_BACKEND, "10.1.0.2:8080", "not-found");
    /* a node's address is not its pods' */
    object_put(r, POD("cart-a", "10.1.0.1", "", SIDECAR ",'hostNetwork':true"));
    check(r, VIEW_DESTINATION, "10.1.0.1:8080", NOWHERE("external"));
    registry_free(r);
}

#define ENDPOINT(ip, rest) "{'address':'" ip ":8080'," rest "}"
#define MESHED_A                                                               \
    ENDPOINT("10.1.0.1", "'identity':'spiffe://cluster.local/ns/shop/sa/cart'" \
                         ",'pod':'shop/cart-a','weight':1,'protocol':'http',"  \
                         "'state':'ready'")
#define CART_ENDPOINTS(list) "{'service':'shop/cart:80','endpoints':[" list "]}"

static void endpoints_by_readiness(void **state)
{
    struct registry *r = registry_new();

    (void)state;
    object_put(r, CART);
    check(r, VIEW_BACKEND, "shop/cart:80", CART_ENDPOINTS(""));
    check(r, VIEW_BACKEND, "shop/cart:81", "not-found");
    object_put(
        r,
        CART_SLICE(
            HTTP_8080 ",{'name':'other','port':9}",
            AT("10.1.0.4", "'ready':false,'serving':true,'terminating':false") "," AT("10.1.0.3", "'ready':false,'serving':true,'terminating':true") "," AT(
                "10.1.0.2",
                "'ready':false,'serving':false,'terminating':true") "," AT("10.1.0.1",
                                                                           "")));
    object_put(r, POD("cart-a", "10.1.0.1", "", SIDECAR));
    check(r, VIEW_BACKEND, "shop/cart:80",
          CART_ENDPOINTS(MESHED_A "," ENDPOINT(
              "10.1.0.3", "'weight':1,'protocol':'http','state':'draining'")));
    registry_free(r);
}

static void doubles_become_one(void **state)
{
    struct registry *r = registry_new();

    (void)state;
    object_put(r, CART);
    object_put(
        r,
        CART_SLICE(
            HTTP_8080,
            AT("10.1.0.1", "'ready':false,'serving':true,'terminating':true") "," AT(
                "10.1.0.1", "'ready':true")));
    check(r, VIEW_BACKEND, "shop/cart:80",
          CART_ENDPOINTS(ENDPOINT(
              "10.1.0.1", "'weight':1,'protocol':'http','state':'ready'")));
    registry_free(r);
}

/* Each row changes one thing about the only pod behind the only endpoint. */
static void an_identity_must_be_earned(void **state)
{
    static const struct {
        const char *pod;
        bool identity, named;
    } rows[] = {
        {POD("cart-a", "10.1.0.1", "", SIDECAR), true, true},
        {POD("cart-a", "10.1.0.1", "",
             ",'containers':[{'name':'tulle-proxy','restartPolicy':'Always'}]"),
         true, true},
        {POD("cart-a", "10.1.0.1", "", ""), false, true},
        {POD("cart-a", "10.1.0.1", "",
             ",'containers':[{'name':'tulle-proxy2'}]"),
         false, true},
        {POD("cart-a", "10.1.0.9", "", SIDECAR), false, false},
        {POD("cart-a", "10.1.0.1", "", SIDECAR ",'hostNetwork':true"), false,
         false},
        {POD("cart-a", "10.1.0.1",
             ",'annotations':{"
             "'tulle.dev/skip-inbound-ports':'1,8000-8100'}",
             SIDECAR),
         false, true},
        {POD("cart-a", "10.1.0.1",
             ",'annotations':{"
             "'tulle.dev/skip-inbound-ports':'1'}",
             SIDECAR),
         true, true},
        /* a bad list skips nothing */
        {POD("cart-a", "10.1.0.1",
             ",'annotations':{"
             "'tulle.dev/skip-inbound-ports':'8080,x'}",
             SIDECAR),
         true, true},
        {"{'apiVersion':'v1','kind':'Pod','metadata':{'name':'cart-a',"
         "'namespace':'shop'},'spec':{'initContainers':[{'name':"
         "'tulle-proxy','restartPolicy':'Always'}]},'status':{'phase':'Succeeded','podIP':'10.1.0.1'}}",
         false, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct registry *r = registry_new();
        struct client c = {.ns = SLICE("shop")};
        struct view *v = NULL;
        struct error e;

        object_put(r, CART);
        object_put(r, CART_SLICE(HTTP_8080, "{'addresses':['10.1.0.1'],"
                                            "'targetRef':{'kind':'Pod',"
                                            "'name':'cart-a'}}"));
        object_put(r, rows[i].pod);
        assert_int_equal(resolve(r, &settings, VIEW_BACKEND, &c,
                                 SLICE("shop/cart:80"), &v, &e),
                         OK);
        assert_int_equal(v->backend.endpoints_len, 1);
        assert_int_equal(!slice_empty(v->backend.endpoints[0].identity),
                         rows[i].identity);
        assert_int_equal(!slice_empty(v->backend.endpoints[0].pod),
                         rows[i].named);
        view_unref(v);
        registry_free(r);
    }
}

/* A node gives an address away before the object of its last user is gone. */
static void an_address_given_to_a_new_pod(void **state)
{
    static const char *const old_pods[] = {
        POD("cart-a", "10.1.0.1", ",'deletionTimestamp':'2026-01-01T00:00:00Z'",
            SIDECAR ",'containers':[{'name':'x','ports':["
                    "{'containerPort':8080}]}]"),
        POD("cart-a", "10.1.0.1", ",'deletionTimestamp':'2026-01-01T00:00:00Z'",
            ""),
    };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct registry *r = registry_new();
        const struct record *owner;

        object_put(r, old_pods[i]);
        owner = owner_of(r, SLICE("10.1.0.1"), 8080);
        assert_non_null(owner);
        assert_true(slice_eq(owner->name, SLICE("cart-a")));
        object_put(r, POD("cart-b", "10.1.0.1", "", SIDECAR));
        owner = owner_of(r, SLICE("10.1.0.1"), 8080);
        assert_non_null(owner);
        assert_true(slice_eq(owner->name, SLICE("cart-b")));
        registry_free(r);
    }
}

static void pods_that_share_an_address_declare_their_ports(void **state)
{
    struct registry *r = registry_new();

    (void)state;
    registry_set_synced(r, true);
    object_put(
        r,
        POD("cart-a", "127.0.0.1", "",
            SIDECAR
            ",'containers':[{'name':'x','ports':[{'containerPort':8080}]}]"));
    object_put(
        r,
        POD("cart-b", "127.0.0.1", "",
            ",'containers':[{'name':'x','ports':[{'containerPort':9090}]}]"));
    check(r, VIEW_BACKEND, "127.0.0.1:8080",
          "{'endpoints':[{'address':'127.0.0.1:8080','identity':"
          "'spiffe://cluster.local/ns/shop/sa/cart','pod':'shop/cart-a',"
          "'weight':1,'protocol':'detect','state':'ready'}]}");
    check(r, VIEW_BACKEND, "127.0.0.1:9090",
          "{'endpoints':[{'address':'127.0.0.1:9090','pod':'shop/cart-b',"
          "'weight':1,'protocol':'detect','state':'ready'}]}");
    check(r, VIEW_DESTINATION, "127.0.0.1:7070", NOWHERE("external"));
    registry_free(r);
}

#define WORKLOAD(mtls, terminating, ports)                            \
    "{'namespace':'shop','pod':'cart-a','serviceAccount':'cart',"     \
    "'mtls':'" mtls "','terminating':" terminating ",'bundle':'PEM'," \
    "'ports':[" ports "]}"
#define PORT(n, protocol, skip) \
    "{'port':" n ",'protocol':'" protocol "','skip':" skip "}"

static void a_workload_sees_its_own_ports(void **state)
{
    struct registry *r = registry_new();

    (void)state;
    check(r, VIEW_WORKLOAD, "", "not-found");
    object_put(r, CART);
    object_put(r, CART_SLICE(HTTP_8080, AT("10.1.0.1", "'ready':false")));
    object_put(
        r,
        POD("cart-a", "10.1.0.1",
            ",'annotations':{"
            "'tulle.dev/skip-inbound-ports':'9','tulle.dev/opaque-ports':'7'}",
            SIDECAR
            ",'containers':[{'name':'x','ports':[{'containerPort':6379},"
            "{'containerPort':53,'protocol':'UDP'},{'containerPort':1234}]}]"));
    check(
        r, VIEW_WORKLOAD, "",
        WORKLOAD(
            "permissive", "false",
            PORT("7", "opaque", "false") "," PORT(
                "9", "detect",
                "true") "," PORT("1234", "detect",
                                 "false") "," PORT("6379", "opaque",
                                                   "false") "," PORT("8080",
                                                                     "http",
                                                                     "false")));
    object_put(r, POD("cart-a", "10.1.0.1",
                      ",'deletionTimestamp':'2026-01-01T00:00:00Z'", SIDECAR));
    check(r, VIEW_WORKLOAD, "",
          WORKLOAD("permissive", "true", PORT("8080", "http", "false")));
    registry_free(r);
}

static void a_workload_sees_its_probes(void **state)
{
    struct registry *r = registry_new();

    (void)state;
    object_put(r,
               "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'cart-a',"
               "'namespace':'shop','uid':'u-cart-a'},'spec':{"
               "'serviceAccountName':'cart','containers':[{'name':'x',"
               "'livenessProbe':{'httpGet':{'path':'/live','port':8080}},"
               "'readinessProbe':{'grpc':{'port':9090}}}]},"
               "'status':{'podIP':'10.1.0.1','hostIPs':[{'ip':'192.0.2.1'}]}}");
    check(r, VIEW_WORKLOAD, "",
          "{'namespace':'shop','pod':'cart-a','serviceAccount':'cart',"
          "'mtls':'permissive','terminating':false,'bundle':'PEM','ports':[],"
          "'probes':[{'port':8080,'kind':'http','path':'/live'},"
          "{'port':9090,'kind':'grpc'}],'nodeIPs':['192.0.2.1']}");
    registry_free(r);
}

static void services_that_disagree(void **state)
{
    struct registry *r = registry_new();

    (void)state;
    object_put(r, CART);
    object_put(r, CART_SLICE(HTTP_8080, AT("10.1.0.1", "")));
    object_put(r, "{'apiVersion':'v1','kind':'Service','metadata':{'name':"
                  "'raw','namespace':'shop'},'spec':{'ports':[{'port':80,"
                  "'appProtocol':'grpc'}]}}");
    object_put(r, "{'apiVersion':'discovery.k8s.io/v1','kind':"
                  "'EndpointSlice','metadata':{'name':'raw-1','namespace':"
                  "'shop','labels':{'kubernetes.io/service-name':'raw'}},"
                  "'addressType':'IPv4','ports':[{'port':8080}],"
                  "'endpoints':[{'addresses':['10.1.0.1']}]}");
    object_put(r, POD("cart-a", "10.1.0.1", "", SIDECAR));
    check(r, VIEW_WORKLOAD, "",
          WORKLOAD("permissive", "false", PORT("8080", "detect", "false")));
    object_put(r, "{'apiVersion':'v1','kind':'Service','metadata':{'name':"
                  "'raw','namespace':'shop'},'spec':{'ports':[{'port':80,"
                  "'appProtocol':'mysql'}]}}");
    check(r, VIEW_WORKLOAD, "",
          WORKLOAD("permissive", "false", PORT("8080", "opaque", "false")));
    registry_free(r);
}

#define SPACE(annotations)                                             \
    "{'apiVersion':'v1','kind':'Namespace','metadata':{'name':'shop'," \
    "'annotations':{" annotations "}}}"

static void mtls_from_pod_then_namespace_then_default(void **state)
{
    struct registry *r = registry_new();

    (void)state;
    object_put(r, POD("cart-a", "10.1.0.1", "", ""));
    object_put(r, SPACE("'tulle.dev/mtls':'strict'"));
    check(r, VIEW_WORKLOAD, "", WORKLOAD("strict", "false", ""));
    object_put(r, POD("cart-a", "10.1.0.1",
                      ",'annotations':{'tulle.dev/mtls':'permissive'}", ""));
    check(r, VIEW_WORKLOAD, "", WORKLOAD("permissive", "false", ""));
    object_put(r, SPACE(""));
    object_put(r, POD("cart-a", "10.1.0.1",
                      ",'annotations':{'tulle.dev/mtls':'yes please'}", ""));
    check(r, VIEW_WORKLOAD, "", WORKLOAD("strict", "false", ""));
    registry_free(r);
}

/* A pod of the same name but another UID is another pod: no view for it. */
static void another_pod_of_that_name(void **state)
{
    struct registry *r = registry_new();

    (void)state;
    object_put(r, "{'apiVersion':'v1','kind':'Pod','metadata':{'name':"
                  "'cart-a','namespace':'shop','uid':'other'},'spec':{}}");
    check(r, VIEW_WORKLOAD, "", "not-found");
    registry_free(r);
}

static void a_client_without_pod_gets_the_mode_and_the_bundle(void **state)
{
    struct client c = {.ns = SLICE("shop"), .service_account = SLICE("job")};
    struct registry *r = registry_new();
    struct view *v = NULL;
    struct error e;

    (void)state;
    object_put(r, SPACE("'tulle.dev/mtls':'strict'"));
    assert_int_equal(
        resolve(r, &settings, VIEW_WORKLOAD, &c, SLICE(""), &v, &e), OK);
    assert_int_equal(v->workload.mtls, MTLS_STRICT);
    assert_int_equal(v->workload.ports_len, 0);
    assert_true(slice_eq(v->workload.bundle, SLICE("PEM")));
    view_unref(v);
    registry_free(r);
}

static void two_families_give_one_list(void **state)
{
    struct registry *r = registry_new();

    (void)state;
    object_put(r, "{'apiVersion':'v1','kind':'Service','metadata':{'name':"
                  "'cart','namespace':'shop'},'spec':{'ipFamilies':['IPv6',"
                  "'IPv4'],'clusterIPs':['FD00:0::0a','10.0.0.1'],'ports':["
                  "{'name':'http','port':80}]}}");
    object_put(r, CART_SLICE(HTTP_8080, AT("10.1.0.1", "")));
    check(r, VIEW_DESTINATION, "[fd00::a]:80", KNOWN("http"));
    check(r, VIEW_BACKEND, "shop/cart:80",
          CART_ENDPOINTS(ENDPOINT(
              "10.1.0.1", "'weight':1,'protocol':'http','state':'ready'")));
    object_put(r, "{'apiVersion':'discovery.k8s.io/v1','kind':"
                  "'EndpointSlice','metadata':{'name':'cart-6','namespace':"
                  "'shop','labels':{'kubernetes.io/service-name':'cart'}},"
                  "'addressType':'IPv6','ports':[" HTTP_8080 "],"
                  "'endpoints':[{'addresses':['fd00::1'],'zone':'z1'}]}");
    check(r, VIEW_BACKEND, "shop/cart:80",
          CART_ENDPOINTS("{'address':'[fd00::1]:8080','zone':'z1','weight':1,"
                         "'protocol':'http','state':'ready'}"));
    registry_free(r);
}

#define SLICE_6(name, endpoints)                                                     \
    "{'apiVersion':'discovery.k8s.io/v1','kind':'EndpointSlice',"                    \
    "'metadata':{'name':'" name "','namespace':'shop','labels':{"                    \
    "'kubernetes.io/service-name':'cart'}},'addressType':'IPv6','ports':[" HTTP_8080 \
    "],'endpoints':[" endpoints "]}"
#define POD_2(name, ip, ip2)                                              \
    "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'" name           \
    "','namespace':'shop'},'spec':{'serviceAccountName':'cart'" SIDECAR   \
    "},'status':{'phase':'Running','podIP':'" ip "','podIPs':[{'ip':'" ip \
    "'}" ip2 "]}}"
#define MESHED(ip, pod)                                         \
    "{'address':'" ip ":8080','identity':"                      \
    "'spiffe://cluster.local/ns/shop/sa/cart','pod':'shop/" pod \
    "','weight':1,'protocol':'http','state':'ready'}"

/* Each pod once: by the first family, where it has that. */
static void a_pod_of_two_families_is_one(void **state)
{
    struct registry *r = registry_new();

    (void)state;
    object_put(r, CART);
    object_put(r, POD_2("cart-a", "10.1.0.1", ",{'ip':'fd00::1'}"));
    object_put(r, POD_2("cart-b", "FD00:0::2", ""));
    object_put(r, CART_SLICE(HTTP_8080, AT("10.1.0.1", "")));
    object_put(r, SLICE_6("cart-6", AT("fd00::1", "") "," AT("fd00::2", "")));
    check(r, VIEW_BACKEND, "shop/cart:80",
          CART_ENDPOINTS(
              MESHED("10.1.0.1", "cart-a") "," MESHED("[fd00::2]", "cart-b")));
    /* The other address of it is as good when the first is not ready. */
    object_put(r, CART_SLICE(HTTP_8080, AT("10.1.0.1", "'ready':false")));
    check(r, VIEW_BACKEND, "shop/cart:80",
          CART_ENDPOINTS(
              MESHED("[fd00::1]", "cart-a") "," MESHED("[fd00::2]", "cart-b")));
    registry_free(r);
}

static void a_service_of_ipv6_alone(void **state)
{
    struct registry *r = registry_new();

    (void)state;
    registry_set_synced(r, true);
    object_put(r, "{'apiVersion':'v1','kind':'Service','metadata':{'name':"
                  "'cart','namespace':'shop'},'spec':{'ipFamilies':['IPv6'],"
                  "'clusterIP':'fd00::a','clusterIPs':['fd00::a'],'ports':["
                  "{'name':'http','port':80}]}}");
    object_put(r, POD_2("cart-a", "fd00::1", ""));
    object_put(r, SLICE_6("cart-6", AT("fd00::1", "")));
    check(r, VIEW_DESTINATION, "[fd00::a]:80", KNOWN("http"));
    check(r, VIEW_DESTINATION, "[fd00:0:0::a]:80", KNOWN("http"));
    check(r, VIEW_DESTINATION, "[fd00::b]:80", NOWHERE("external"));
    check(r, VIEW_BACKEND, "shop/cart:80",
          CART_ENDPOINTS(MESHED("[fd00::1]", "cart-a")));
    check(r, VIEW_DESTINATION, "[fd00::1]:8080",
          "{'resolution':'known','protocol':'http','direct':true,"
          "'backends':[{'key':'[fd00::1]:8080','weight':1}]}");
    registry_free(r);
}

/* A pod of a StatefulSet by its own address: its identity, what its Service
 * declares, and nobody else. */
static void a_peer_of_a_headless_service(void **state)
{
    struct registry *r = registry_new();

    (void)state;
    registry_set_synced(r, true);
    object_put(r, "{'apiVersion':'v1','kind':'Service','metadata':{'name':"
                  "'cart','namespace':'shop'},'spec':{'clusterIP':'None',"
                  "'clusterIPs':['None'],'publishNotReadyAddresses':true,"
                  "'ports':[{'name':'tcp-raft','port':2380}]}}");
    object_put(r, POD_2("cart-0", "10.1.0.1", ",{'ip':'fd00::1'}"));
    object_put(r, POD_2("cart-1", "10.1.0.2", ",{'ip':'fd00::2'}"));
    object_put(r, CART_SLICE("{'name':'tcp-raft','port':2380}",
                             AT("10.1.0.1", "") "," AT("10.1.0.2", "")));
    check(r, VIEW_DESTINATION, "10.1.0.2:2380",
          "{'resolution':'known','protocol':'opaque','direct':true,"
          "'backends':[{'key':'10.1.0.2:2380','weight':1}]}");
    check(r, VIEW_BACKEND, "10.1.0.2:2380",
          "{'endpoints':[{'address':'10.1.0.2:2380','identity':"
          "'spiffe://cluster.local/ns/shop/sa/cart','pod':'shop/cart-1',"
          "'weight':1,'protocol':'opaque','state':'ready'}]}");
    /* A port of its that no Service names. */
    check(r, VIEW_DESTINATION, "10.1.0.2:9999",
          "{'resolution':'known','protocol':'detect','direct':true,"
          "'backends':[{'key':'10.1.0.2:9999','weight':1}]}");
    registry_free(r);
}

/* Addresses that somebody wrote down: outside of the cluster, without identity;
 * and a pod's, which has its own. */
static void a_service_without_selector(void **state)
{
    struct registry *r = registry_new();

    (void)state;
    registry_set_synced(r, true);
    object_put(r, CART);
    object_put(r, POD_2("cart-a", "10.1.0.1", ""));
    object_put(
        r, CART_SLICE(HTTP_8080, AT("192.0.2.7", "") "," AT("10.1.0.1", "")));
    check(r, VIEW_DESTINATION, "10.0.0.1:80", KNOWN("http"));
    check(r, VIEW_BACKEND, "shop/cart:80",
          CART_ENDPOINTS(MESHED("10.1.0.1", "cart-a") "," ENDPOINT(
              "192.0.2.7", "'weight':1,'protocol':'http','state':'ready'")));
    check(r, VIEW_DESTINATION, "192.0.2.7:8080", NOWHERE("external"));
    registry_free(r);
}

/* Whoever may write Services and slices in one namespace declares nothing for the
 * pods of another. */
static void a_strangers_slice_declares_nothing(void **state)
{
    struct registry *r = registry_new();

    (void)state;
    registry_set_synced(r, true);
    object_put(r, CART);
    object_put(r, CART_SLICE(HTTP_8080, AT("10.1.0.1", "")));
    object_put(r, POD("cart-a", "10.1.0.1", "", SIDECAR));
    object_put(r, "{'apiVersion':'v1','kind':'Service','metadata':{'name':"
                  "'evil','namespace':'evil'},'spec':{'ports':[{'port':80,"
                  "'appProtocol':'mysql'}]}}");
    object_put(r, "{'apiVersion':'discovery.k8s.io/v1','kind':"
                  "'EndpointSlice','metadata':{'name':'evil','namespace':"
                  "'evil','labels':{'kubernetes.io/service-name':'evil'}},"
                  "'addressType':'IPv4','ports':[{'port':8080},{'name':'x',"
                  "'port':9}],'endpoints':[{'addresses':['10.1.0.1']}]}");
    check(r, VIEW_WORKLOAD, "",
          WORKLOAD("permissive", "false", PORT("8080", "http", "false")));
    check(r, VIEW_BACKEND, "shop/cart:80", CART_ENDPOINTS(MESHED_A));
    check(r, VIEW_BACKEND, "evil/evil:80",
          "{'service':'evil/evil:80','endpoints':[" MESHED_A "]}");
    registry_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(destinations_of_a_service),
        cmocka_unit_test(aliases_are_external),
        cmocka_unit_test(opaque_by_annotation_of_the_service),
        cmocka_unit_test(pods_own_their_address),
        cmocka_unit_test(endpoints_by_readiness),
        cmocka_unit_test(doubles_become_one),
        cmocka_unit_test(an_identity_must_be_earned),
        cmocka_unit_test(an_address_given_to_a_new_pod),
        cmocka_unit_test(pods_that_share_an_address_declare_their_ports),
        cmocka_unit_test(a_workload_sees_its_own_ports),
        cmocka_unit_test(a_workload_sees_its_probes),
        cmocka_unit_test(services_that_disagree),
        cmocka_unit_test(mtls_from_pod_then_namespace_then_default),
        cmocka_unit_test(another_pod_of_that_name),
        cmocka_unit_test(a_client_without_pod_gets_the_mode_and_the_bundle),
        cmocka_unit_test(two_families_give_one_list),
        cmocka_unit_test(a_pod_of_two_families_is_one),
        cmocka_unit_test(a_service_of_ipv6_alone),
        cmocka_unit_test(a_peer_of_a_headless_service),
        cmocka_unit_test(a_service_without_selector),
        cmocka_unit_test(a_strangers_slice_declares_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
