/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/text.h"
#include "lib/kube/access_parts.h"

static char folder[] = "/tmp/tulle-kubeconfig-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static void write_file(const char *name, const char *content)
{
    struct text path;
    struct error e;

    text_init(&path, 300);
    text_printf(&path, "%s/%s", folder, name);
    assert_int_equal(
        file_write_atomic(text_slice(&path), slice_str(content), 0600, &e), OK);
    text_fini(&path);
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"ca", "token", "config"};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct text path;

        text_init(&path, 300);
        text_printf(&path, "%s/%s", folder, names[i]);
        (void)unlink(text_cstr(&path));
        text_fini(&path);
    }
    return rmdir(folder);
}

static enum status read_config(const char *content, struct kube_access **out,
                               struct error *e)
{
    struct text path;
    enum status rc;

    write_file("config", content);
    text_init(&path, 300);
    text_printf(&path, "%s/config", folder);
    rc = kube_access_kubeconfig(out, text_slice(&path), e);
    text_fini(&path);
    return rc;
}

#define HEAD           \
    "apiVersion: v1\n" \
    "kind: Config\n"   \
    "current-context: here\n"
#define CONTEXTS                         \
    "contexts:\n"                        \
    "- name: there\n"                    \
    "  context: {cluster: x, user: y}\n" \
    "- name: here\n"                     \
    "  context: {cluster: c, user: u, namespace: shop}\n"
#define CLUSTERS                           \
    "clusters:\n"                          \
    "- name: c\n"                          \
    "  cluster:\n"                         \
    "    server: https://10.0.0.1:6443/\n" \
    "    certificate-authority-data: Y2E=\n"
#define USERS     \
    "users:\n"    \
    "- name: u\n" \
    "  user: "

static void current_context(void **state)
{
    struct kube_access *a = NULL;
    struct error e = {""};

    (void)state;
    if (read_config(HEAD CONTEXTS CLUSTERS USERS "{token: secret}\n", &a, &e))
        fail_msg("%s", e.text);
    assert_true(
        slice_eq(kube_access_server(a), SLICE("https://10.0.0.1:6443")));
    assert_true(slice_eq(kube_access_namespace(a), SLICE("shop")));
    assert_true(slice_eq(a->ca.content, SLICE("ca")));
    assert_true(slice_eq(a->token.content, SLICE("secret")));
    kube_access_free(a);
    if (read_config(HEAD CONTEXTS CLUSTERS USERS
                    "{client-certificate-data: YQ==, "
                    "client-key-data: Yg==}\n",
                    &a, &e))
        fail_msg("%s", e.text);
    assert_true(slice_eq(a->cert.content, SLICE("a")));
    assert_true(slice_eq(a->key.content, SLICE("b")));
    assert_true(slice_empty(a->token.content));
    kube_access_free(a);
}

static void files_beside_it_are_read_again(void **state)
{
    struct kube_access *a = NULL;
    struct error e = {""};
    int64_t now = 10 * NSEC_PER_SEC;

    (void)state;
    write_file("ca", "CA");
    write_file("token", "one\n");
    if (read_config(HEAD CONTEXTS "clusters:\n"
                                  "- name: c\n"
                                  "  cluster: {server: 'https://h', "
                                  "certificate-authority: ca}\n" USERS
                                  "{tokenFile: token}\n",
                    &a, &e))
        fail_msg("%s", e.text);
    assert_true(slice_eq(a->ca.content, SLICE("CA")));
    assert_true(slice_eq(credential_text(a->token.content), SLICE("one")));
    kube_access_refresh(a, now);
    write_file("token", "two");
    kube_access_refresh(a, now + NSEC_PER_SEC / 2); /* too early to look */
    assert_true(slice_eq(credential_text(a->token.content), SLICE("one")));
    kube_access_refresh(a, now + NSEC_PER_SEC);
    assert_true(slice_eq(credential_text(a->token.content), SLICE("two")));
    /* Empty, then gone: the last one is kept; then there is one again. */
    write_file("token", "");
    kube_access_refresh(a, now + 2 * NSEC_PER_SEC);
    assert_true(slice_eq(credential_text(a->token.content), SLICE("two")));
    assert_int_equal(unlink(a->token.path), 0);
    kube_access_refresh(a, now + 3 * NSEC_PER_SEC);
    assert_true(slice_eq(credential_text(a->token.content), SLICE("two")));
    write_file("token", "three");
    kube_access_refresh(a, now + 4 * NSEC_PER_SEC);
    assert_true(slice_eq(credential_text(a->token.content), SLICE("three")));
    kube_access_free(a);
}

static void refused_with_a_sentence(void **state)
{
    static const struct {
        const char *content, *says;
    } rows[] = {
        {"", "one document"},
        {"a: [", "config:2"},
        {"kind: Config\n", "current-context: missing"},
        {HEAD, "contexts: missing"},
        {HEAD "contexts: []\n", "there is no 'here'"},
        {HEAD CONTEXTS, "clusters: missing"},
        {HEAD CONTEXTS "clusters: []\n", "there is no 'c'"},
        {HEAD CONTEXTS CLUSTERS, "users: missing"},
        {HEAD CONTEXTS CLUSTERS "users: []\n", "there is no 'u'"},
        {HEAD CONTEXTS "clusters:\n- name: c\n  cluster: {server: "
                       "'http://x'}\n",
         "https://"},
        {HEAD CONTEXTS "clusters:\n- name: c\n  cluster: {server: 'https://x', "
                       "insecure-skip-tls-verify: true}\n",
         "insecure-skip-tls-verify: is not supported"},
        {HEAD CONTEXTS "clusters:\n- name: c\n  cluster: {server: 'https://x', "
                       "proxy-url: 'http://p'}\n",
         "proxy-url: is not supported"},
        {HEAD CONTEXTS "clusters:\n- name: c\n  cluster: {server: 'https://x', "
                       "certificate-authority: nowhere}\n",
         "nowhere"},
        {HEAD CONTEXTS CLUSTERS USERS "{exec: {command: x}}\n",
         "exec: is not supported"},
        {HEAD CONTEXTS CLUSTERS USERS "{username: x, password: y}\n",
         "username: is not supported"},
        {HEAD CONTEXTS CLUSTERS USERS "{auth-provider: {name: x}}\n",
         "auth-provider: is not supported"},
        {HEAD CONTEXTS CLUSTERS USERS "{as: root}\n", "as: is not supported"},
        {HEAD CONTEXTS CLUSTERS USERS "{client-certificate-data: YQ==}\n",
         "must both be there"},
        {HEAD CONTEXTS CLUSTERS USERS "{client-certificate-data: '%'}\n",
         "is not base64"},
        {HEAD CONTEXTS CLUSTERS USERS "{tokenFile: no-such-file}\n",
         "no-such-file"},
        {HEAD CONTEXTS CLUSTERS USERS "{token: 7}\n", "token: expected"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct kube_access *a = NULL;
        struct error e = {""};

        if (!read_config(rows[i].content, &a, &e))
            fail_msg("row %zu was taken", i);
        if (!strstr(e.text, rows[i].says))
            fail_msg("row %zu: '%s' does not say '%s'", i, e.text,
                     rows[i].says);
        assert_null(a);
    }
}

static void in_cluster_needs_its_variables(void **state)
{
    struct kube_access *a = NULL;
    struct error e = {""};

    (void)state;
    unsetenv("KUBERNETES_SERVICE_HOST");
    assert_int_equal(kube_access_in_cluster(&a, &e), ERR_NOT_FOUND);
    assert_non_null(strstr(e.text, "KUBERNETES_SERVICE_HOST"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(current_context),
        cmocka_unit_test(files_beside_it_are_read_again),
        cmocka_unit_test(refused_with_a_sentence),
        cmocka_unit_test(in_cluster_needs_its_variables),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
