/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "lib/base/status.h"

static void names_every_status(void **state)
{
    (void)state;
    for (int rc = OK; rc <= ERR_IO; rc++)
        assert_string_not_equal(status_name((enum status)rc), "unknown");
    assert_string_equal(status_name(ERR_TOO_BIG), "too-big");
    assert_string_equal(status_name((enum status)99), "unknown");
}

static void maps_errno(void **state)
{
    (void)state;
    assert_int_equal(status_from_errno(0), OK);
    assert_int_equal(status_from_errno(ECONNREFUSED), ERR_REFUSED);
    assert_int_equal(status_from_errno(-ECONNRESET), ERR_RESET);
    assert_int_equal(status_from_errno(EMFILE), ERR_RESOURCES);
    assert_int_equal(status_from_errno(ENOTTY), ERR_IO);
}

static void writes_sentences(void **state)
{
    struct error e;

    (void)state;
    assert_int_equal(error_set(&e, ERR_IO, "port %d", 80), ERR_IO);
    assert_int_equal(error_prefix(&e, ERR_IO, "listener %s", "a"), ERR_IO);
    assert_string_equal(e.text, "listener a: port 80");
    assert_int_equal(error_set(NULL, ERR_EOF, "x"), ERR_EOF);
    assert_int_equal(error_prefix(NULL, ERR_EOF, "x"), ERR_EOF);
}

static void cuts_long_sentences(void **state)
{
    struct error e;
    char longer[2000];

    (void)state;
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    assert_int_equal(error_set(&e, ERR_IO, "%s", longer), ERR_IO);
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
    assert_int_equal(error_prefix(&e, ERR_IO, "p"), ERR_IO);
    assert_memory_equal(e.text, "p: aaa", 6);
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
    assert_int_equal(error_prefix(&e, ERR_IO, "%s", longer), ERR_IO);
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_every_status),
        cmocka_unit_test(maps_errno),
        cmocka_unit_test(writes_sentences),
        cmocka_unit_test(cuts_long_sentences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
