/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/mesh/probe_path.h"

static void becomes(const char *path, const char *want)
{
    struct text t;

    text_init(&t, PROBE_TARGET_MAX);
    probe_path_write(slice_str(path), &t);
    assert_string_equal(text_cstr(&t), want);
    text_fini(&t);
}

static void test_paths(void **state)
{
    (void)state;
    becomes("", "/");
    becomes("/", "/");
    becomes("healthz", "/healthz");
    becomes("/healthz?deep=1&x=%20", "/healthz?deep=1&x=%20");
    becomes("/a b", "/a%20b");
    becomes("/a\r\nHost: x", "/a%0D%0AHost:%20x");
    becomes("/\xc3\xa4\x7f", "/%C3%A4%7F");
    becomes("/a#b", "/a");
    becomes("#b", "/");
    becomes("//x", "//x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_paths)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
