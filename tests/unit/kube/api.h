/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: an API server on the same loop, that says what a test makes it say,
 * and a client of it. */
#ifndef TULLE_TESTS_KUBE_API_H
#define TULLE_TESTS_KUBE_API_H

#include <stdlib.h>
#include <unistd.h>

#include "lib/base/base64.h"
#include "lib/base/file.h"
#include "lib/http/server.h"
#include "lib/kube/kube.h"
#include "tests/unit/http/ids.h"
#include "tests/unit/http/talk.h"

#define OTHER_DOMAIN SLICE("other")

struct api;
/* A request has come: answer it now or later. */
typedef void api_fn(struct api *api, struct exchange *x, const struct head *h);

struct api {
    struct turner t;
    struct http_server *server;
    struct ca *ca;
    struct tls_settings *tls;
    api_fn *on_request;
    void *owner;
    unsigned requests, open;
    struct kube *kube;
    char folder[32], config[48], token[48];
    unsigned short port;
};

static void api_head(struct exchange *x, const struct head *h, bool end)
{
    struct api *api = x->owner;

    (void)end;
    api->on_request(api, x, h);
}
static void api_body(struct exchange *x, slice data, bool end)
{
    (void)end;
    exchange_consumed(x, data.len);
}
static void api_trailers(struct exchange *x, const struct headers *t)
{
    (void)x;
    (void)t;
}
static void api_sent(struct exchange *x, size_t n)
{
    (void)x;
    (void)n;
}
static void api_reset(struct exchange *x, enum reset_why why)
{
    struct api *api = x->owner;

    (void)why;
    api->open--;
}
static void api_done(struct exchange *x)
{
    struct api *api = x->owner;

    api->open--;
}
static const struct exchange_events api_events = {
    api_head, api_body, api_trailers, api_sent, api_reset, api_done};

static void api_take(void *arg, struct exchange *x, const struct tls_peer *peer)
{
    struct api *api = arg;

    (void)peer;
    api->requests++;
    api->open++;
    exchange_own(x, &api_events, api);
}

UNUSED static void api_reply(struct exchange *x, unsigned status,
                             const char *body)
{
    exchange_reply(x, status, SLICE("application/json"), slice_str(body), NULL);
}

UNUSED static void api_begin(struct exchange *x)
{
    struct header fields[2];
    struct head out;

    head_init_response(&out, 200, fields, 2);
    exchange_send_head(x, &out, false);
}

static struct tls_settings *api_tls(struct ca *ca)
{
    struct error e = {""};
    char *key, *der, *pem;
    size_t len;
    struct tls_identity *id;
    struct tls_settings *out;
    int64_t now = clock_real_ns() / NSEC_PER_SEC;
    struct tls_options opt = {.role = TLS_SERVER,
                              .alpn = {TLS_ALPN_H2, TLS_ALPN_HTTP1},
                              .alpn_optional = true};
    struct cert_request rq = {.name = SLICE("spiffe://test/server"),
                              .dns = {"localhost"},
                              .not_before = now - 60,
                              .not_after = now + 3600};

    assert_int_equal(key_new(&key, &e), OK);
    assert_int_equal(key_public_der(slice_str(key), &der, &len, &e), OK);
    rq.public_der = slice_of(der, len);
    assert_int_equal(ca_sign(ca, &rq, &pem, &e), OK);
    assert_int_equal(tls_identity_new(&id, slice_str(pem), slice_str(key),
                                      ca_cert_pem(ca), &e),
                     OK);
    assert_int_equal(tls_settings_new(&out, &opt, id, SLICE_NONE, &e), OK);
    tls_identity_unref(id);
    mem_free(pem);
    mem_free(der);
    mem_wipe_free(key, strlen(key));
    return out;
}

static void api_write(const char *path, slice content)
{
    struct error e = {""};

    if (file_write_atomic(slice_str(path), content, 0600, &e))
        fail_msg("%s", e.text);
}

/* What a client needs to come to `port` and trust `ca`. */
static struct kube_access *api_access(struct api *api, slice ca)
{
    struct kube_access *access = NULL;
    struct error e = {""};
    struct text config;

    text_init(&config, 1 << 20);
    text_printf(&config,
                "current-context: a\n"
                "contexts: [{name: a, context: {cluster: b, user: c}}]\n"
                "users: [{name: c, user: {tokenFile: token}}]\n"
                "clusters:\n- name: b\n  cluster:\n"
                "    server: https://localhost:%u\n"
                "    certificate-authority-data: ",
                api->port);
    base64_encode(ca, &config);
    text_add_char(&config, '\n');
    api_write(api->config, text_slice(&config));
    text_fini(&config);
    if (kube_access_kubeconfig(&access, slice_str(api->config), &e))
        fail_msg("%s", e.text);
    return access;
}

UNUSED static void api_connect(struct api *api)
{
    struct error e;

    assert_int_equal(kube_start(&api->kube, &api->t.loop,
                                api_access(api, ca_cert_pem(api->ca)),
                                "tulle-test/1", &e),
                     OK);
}

UNUSED static void api_init(struct api *api, api_fn *on_request, void *owner)
{
    struct http_server_options opt = {.limits = http_limits_default};
    struct error e;

    *api = (struct api){.on_request = on_request, .owner = owner};
    memcpy(api->folder, "/tmp/tulle-api-XXXXXX", 22);
    assert_non_null(mkdtemp(api->folder));
    snprintf(api->config, sizeof api->config, "%s/config", api->folder);
    snprintf(api->token, sizeof api->token, "%s/token", api->folder);
    api_write(api->token, SLICE("a-token"));
    turner_init(&api->t);
    api->ca = ids_ca(SLICE("test"));
    opt.tls = api->tls = api_tls(api->ca);
    assert_int_equal(address_parse(SLICE("127.0.0.1:0"), &opt.at), OK);
    assert_int_equal(
        http_server_start(&api->server, &api->t.loop, &opt, api_take, api, &e),
        OK);
    api->port = ntohs(http_server_address(api->server)->in.sin_port);
}

UNUSED static void api_fini(struct api *api)
{
    kube_close(api->kube);
    if (api->server)
        http_server_close(api->server);
    turner_fini(&api->t);
    tls_settings_unref(api->tls);
    ca_free(api->ca);
    (void)unlink(api->config);
    (void)unlink(api->token);
    (void)rmdir(api->folder);
}

#endif
