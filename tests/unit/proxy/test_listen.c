/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/text.h"
#include "proxy/listen.h"

enum { MAX = 8 };

static void add(struct text *t, const struct address *a, const char *mark)
{
    char at[ADDRESS_TEXT];
    text_printf(t, "%s%.*s%s", t->len ? " " : "", FMT(address_format(a, at)),
                mark);
}

static void specs_are(const struct config *c, bool ipv6, const char *want)
{
    struct listen_spec specs[MAX];
    struct text t;
    struct error e = {{0}};
    size_t n;
    text_init(&t, 1024);
    if (listen_specs(c, specs, MAX, &n, &e))
        fail_msg("%s", e.text);
    if (!ipv6)
        listen_without_ipv6(specs, &n);
    for (size_t i = 0; i < n; i++)
        add(&t, &specs[i].at, specs[i].v6only ? "!" : "");
    assert_string_equal(text_cstr(&t), want);
    text_fini(&t);
}

static void test_families(void **state)
{
    struct config one = {
        .inbound_transparent = SLICE("[::]:15006"),
        .outbound_transparent = SLICE("127.0.0.1:15001, [::1]:15001")};
    struct config both = {
        .inbound_transparent = SLICE("0.0.0.0:15006,[::]:15006"),
        .outbound_transparent = SLICE("127.0.0.1:15001,[::1]:15001")};
    struct config own = {.outbound = SLICE("[::1]:80=shop/cart:80"),
                         .inbound = SLICE("[::]:0=127.0.0.1:80")};
    (void)state;
    specs_are(&one, true, "[::]:15006 127.0.0.1:15001 [::1]:15001");
    specs_are(&one, false, "0.0.0.0:15006 127.0.0.1:15001");
    specs_are(&both, true,
              "0.0.0.0:15006 [::]:15006! 127.0.0.1:15001 "
              "[::1]:15001");
    specs_are(&both, false, "0.0.0.0:15006 127.0.0.1:15001");
    /* Who names one explicitly wants it, or an error. */
    specs_are(&own, false, "[::]:0 [::1]:80");
}

static void health_is(slice list, bool ipv6, const char *want)
{
    struct config c = {.health = list};
    struct address at[2];
    struct text t;
    struct error e = {{0}};
    unsigned n;
    text_init(&t, 1024);
    if (listen_health(&c, ipv6, at, 2, &n, &e))
        text_add(&t, slice_str(e.text));
    for (unsigned i = 0; i < n && !e.text[0]; i++)
        add(&t, &at[i], "");
    assert_string_equal(text_cstr(&t), want);
    text_fini(&t);
}

static void test_health(void **state)
{
    (void)state;
    health_is(SLICE(""), true, "");
    health_is(SLICE("0.0.0.0:15021"), true, "0.0.0.0:15021");
    health_is(SLICE("[::]:15021"), true, "[::]:15021");
    health_is(SLICE("[::]:15021"), false, "0.0.0.0:15021");
    health_is(SLICE("0.0.0.0:15021,[::]:15021"), true, "[::]:15021");
    health_is(SLICE("[::]:15021, 0.0.0.0:15021"), true, "[::]:15021");
    health_is(SLICE("0.0.0.0:15021,[::]:15021"), false, "0.0.0.0:15021");
    health_is(SLICE("127.0.0.1:1,[::1]:1"), true, "127.0.0.1:1 [::1]:1");
    health_is(SLICE("127.0.0.1:1,[::1]:1"), false, "127.0.0.1:1");
    health_is(SLICE("0.0.0.0:1,[::]:2"), true, "0.0.0.0:1 [::]:2");
    health_is(SLICE("127.0.0.1:1,127.0.0.1:2,127.0.0.1:3"), true,
              "health: more than 2 addresses");
    health_is(SLICE("15021"), true, "health: '15021' is not IP:port");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_health),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
