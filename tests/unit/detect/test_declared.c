/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/detect/declared.h"

static void the_first_that_speaks_wins(void **state)
{
    static const struct {
        struct declaration d;
        enum protocol want;
    } rows[] = {
        {{false, SLICE_INIT(""), SLICE_INIT(""), 8080}, PROTOCOL_DETECT},
        {{true, SLICE_INIT("http"), SLICE_INIT("http"), 80}, PROTOCOL_OPAQUE},
        {{false, SLICE_INIT("http"), SLICE_INIT("tcp"), 25}, PROTOCOL_HTTP},
        {{false, SLICE_INIT("HTTP"), SLICE_INIT(""), 1}, PROTOCOL_HTTP},
        {{false, SLICE_INIT("kubernetes.io/h2c"), SLICE_INIT(""), 1},
         PROTOCOL_HTTP2},
        {{false, SLICE_INIT("grpc"), SLICE_INIT(""), 1}, PROTOCOL_GRPC},
        {{false, SLICE_INIT("https"), SLICE_INIT(""), 1}, PROTOCOL_TLS},
        {{false, SLICE_INIT("tls"), SLICE_INIT("http"), 1}, PROTOCOL_TLS},
        {{false, SLICE_INIT("mysql"), SLICE_INIT(""), 1}, PROTOCOL_OPAQUE},
        /* An unknown appProtocol says: look. It hides name and number. */
        {{false, SLICE_INIT("acme.io/x"), SLICE_INIT("http"), 25},
         PROTOCOL_DETECT},
        {{false, SLICE_INIT(""), SLICE_INIT("http"), 1}, PROTOCOL_HTTP},
        {{false, SLICE_INIT(""), SLICE_INIT("http-metrics"), 25},
         PROTOCOL_HTTP},
        {{false, SLICE_INIT(""), SLICE_INIT("httpx"), 1}, PROTOCOL_DETECT},
        {{false, SLICE_INIT(""), SLICE_INIT("grpc-api"), 1}, PROTOCOL_GRPC},
        {{false, SLICE_INIT(""), SLICE_INIT("grpc-web-x"), 1}, PROTOCOL_HTTP},
        {{false, SLICE_INIT(""), SLICE_INIT("redis-main"), 1}, PROTOCOL_OPAQUE},
        {{false, SLICE_INIT(""), SLICE_INIT("metrics"), 3306}, PROTOCOL_OPAQUE},
        {{false, SLICE_INIT(""), SLICE_INIT(""), 6379}, PROTOCOL_OPAQUE},
        {{false, SLICE_INIT(""), SLICE_INIT(""), 6380}, PROTOCOL_DETECT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(declared_protocol(&rows[i].d), rows[i].want);
}

static void lists_of_ports(void **state)
{
    (void)state;
    assert_true(declared_ports_have(SLICE("25, 8000-8010 ,3306"), 25));
    assert_true(declared_ports_have(SLICE("25, 8000-8010 ,3306"), 8000));
    assert_true(declared_ports_have(SLICE("25, 8000-8010 ,3306"), 8010));
    assert_true(declared_ports_have(SLICE("25, 8000-8010 ,3306"), 3306));
    assert_false(declared_ports_have(SLICE("25, 8000-8010 ,3306"), 8011));
    assert_false(declared_ports_have(SLICE_NONE, 1));
}

static void bad_lists_are_named(void **state)
{
    static const char *const bad[] = {"x",  "1,,2", "70000", "0",  "9-8",
                                      "1-", "-1",   "1-2-3", "1;2"};
    struct error e;

    (void)state;
    assert_int_equal(declared_ports_check(SLICE(" 1 , 2-3,65535"), &e), OK);
    assert_int_equal(declared_ports_check(SLICE(" "), &e), OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(declared_ports_check(slice_str(bad[i]), &e),
                         ERR_INVALID);
    assert_int_equal(declared_ports_check(SLICE("1,fish"), &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "'fish'"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_that_speaks_wins),
        cmocka_unit_test(lists_of_ports),
        cmocka_unit_test(bad_lists_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
