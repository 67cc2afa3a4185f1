/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "proxy/discovery/apply.h"
#include "tests/unit/proxy/discovery/views.h"

static enum apply apply_line(const char *line, const struct view *current,
                             struct view **v, struct error *why)
{
    struct msg m;
    *why = (struct error){{0}};
    if (msg_decode(slice_str(line), &m, why))
        fail_msg("%s", why->text);
    enum apply out = apply_message(&m, current, v, why);
    msg_fini(&m);
    return out;
}

static void view_line(struct text *t, const struct view *v)
{
    struct msg m = {.type = MSG_VIEW,
                    .kind = v->kind,
                    .key = v->key,
                    .hash = slice_str(v->hash),
                    .view = (struct view *)(uintptr_t)v};
    text_init(t, 1 << 16);
    msg_encode(&m, t);
}

static void test_view(void **state)
{
    struct view *v = backend_of("shop/cart:80", "1.1.1.1:1"), *out;
    struct view *other = backend_of("shop/cart:80", "1.1.1.2:1");
    struct text t;
    struct error why;
    (void)state;
    view_line(&t, v);
    assert_int_equal(apply_line(text_cstr(&t), NULL, &out, &why), APPLY_PUT);
    assert_string_equal(out->hash, v->hash);
    view_unref(out);
    assert_int_equal(apply_line(text_cstr(&t), other, &out, &why), APPLY_PUT);
    view_unref(out);
    assert_int_equal(apply_line(text_cstr(&t), v, &out, &why), APPLY_KEEP);
    assert_null(out);
    text_fini(&t);
    view_unref(v);
    view_unref(other);
}

static void test_needs(void **state)
{
    struct view *out;
    struct error why;
    (void)state;
    assert_int_equal(
        apply_line("{\"type\":\"backend\",\"key\":\"shop/cart:80\",\"hash\":"
                   "\"0123456789abcdef0123456789abcdef\","
                   "\"needs\":[\"backend-delta/1\",\"magic/1\"],"
                   "\"view\":{\"service\":\"shop/cart:80\",\"endpoints\":[]}}",
                   NULL, &out, &why),
        APPLY_NACK);
    assert_null(out);
    assert_non_null(strstr(why.text, "magic/1"));
    assert_int_equal(
        apply_line("{\"type\":\"backend\",\"key\":\"shop/cart:80\",\"hash\":"
                   "\"0123456789abcdef0123456789abcdef\","
                   "\"needs\":[\"backend-delta/1\"],"
                   "\"view\":{\"service\":\"shop/cart:80\",\"endpoints\":[]}}",
                   NULL, &out, &why),
        APPLY_PUT);
    view_unref(out);
}

static void test_delta(void **state)
{
    struct view *v = backend_of("shop/cart:80", "1.1.1.1:1"), *out;
    struct error why;
    char line[512];
    (void)state;
    static const char form[] =
        "{\"type\":\"delta\",\"kind\":\"backend\",\"key\":\"shop/cart:80\","
        "\"base\":\"%s\",\"hash\":\"%s\",\"put\":[],\"gone\":[\"1.1.1.1:1\"]}";
    /* none here, another base, a result that is not what was announced */
    snprintf(line, sizeof line, form, v->hash,
             "0123456789abcdef0123456789abcdef");
    assert_int_equal(apply_line(line, NULL, &out, &why), APPLY_RESUBSCRIBE);
    assert_int_equal(apply_line(line, v, &out, &why), APPLY_RESUBSCRIBE);
    assert_null(out);
    struct view *other = backend_of("shop/cart:80", "1.1.1.2:1");
    assert_int_equal(apply_line(line, other, &out, &why), APPLY_RESUBSCRIBE);
    /* already there */
    snprintf(line, sizeof line, form, "0123456789abcdef0123456789abcdef",
             v->hash);
    assert_int_equal(apply_line(line, v, &out, &why), APPLY_KEEP);
    /* right */
    struct view *empty = view_of(VIEW_BACKEND, SLICE("shop/cart:80"),
                                 SLICE("{\"service\":\"shop/cart:80\","
                                       "\"endpoints\":[]}"));
    snprintf(line, sizeof line, form, v->hash, empty->hash);
    assert_int_equal(apply_line(line, v, &out, &why), APPLY_PUT);
    assert_int_equal(out->backend.endpoints_len, 0);
    assert_string_equal(out->hash, empty->hash);
    view_unref(out);
    view_unref(empty);
    view_unref(other);
    view_unref(v);
}

static void test_others(void **state)
{
    struct view *v = backend_of("shop/cart:80", "1.1.1.1:1"), *out;
    struct error why;
    char line[256];
    (void)state;
    snprintf(line, sizeof line,
             "{\"type\":\"same\",\"kind\":\"backend\",\"key\":\"shop/cart:80\","
             "\"hash\":\"%s\"}",
             v->hash);
    assert_int_equal(apply_line(line, v, &out, &why), APPLY_KEEP);
    assert_int_equal(apply_line(line, NULL, &out, &why), APPLY_RESUBSCRIBE);
    assert_int_equal(apply_line("{\"type\":\"remove\",\"kind\":\"backend\","
                                "\"key\":\"shop/cart:80\"}",
                                v, &out, &why),
                     APPLY_REMOVE);
    assert_int_equal(apply_line("{\"type\":\"heartbeat\"}", v, &out, &why),
                     APPLY_IGNORE);
    assert_int_equal(apply_line("{\"type\":\"tap\"}", v, &out, &why),
                     APPLY_IGNORE);
    /* nobody sends this way what goes the other */
    assert_int_equal(apply_line("{\"type\":\"unsubscribe\",\"kind\":"
                                "\"backend\",\"key\":\"shop/cart:80\"}",
                                v, &out, &why),
                     APPLY_IGNORE);
    view_unref(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_view),
        cmocka_unit_test(test_needs),
        cmocka_unit_test(test_delta),
        cmocka_unit_test(test_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
