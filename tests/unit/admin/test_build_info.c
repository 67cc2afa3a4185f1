/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/admin/build_info.h"

static void says_what_it_is(void **state)
{
    struct text t;
    slice rest;

    (void)state;
    text_init(&t, 1024);
    build_info_json(&t, SLICE("tulle-\"x\""));
    assert_non_null(strstr(text_cstr(&t),
                           "{\"program\":\"tulle-\\\"x\\\"\",\"version\":\""));
    assert_non_null(strstr(text_cstr(&t), ",\"compiler\":\""));
    assert_true(slice_ends(text_slice(&t), SLICE("\"}")));
    text_fini(&t);
    assert_true(slice_find(build_version(), '.') > 0);
    assert_true(slice_cut(build_compiler(), ' ', &rest, &rest));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
