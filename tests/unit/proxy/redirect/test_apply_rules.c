/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that stand for nft. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "proxy/redirect/apply.h"

static char folder[] = "/tmp/tulle-apply-XXXXXX";

static int setup(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "%s/nft", folder);
    unlink(command);
    snprintf(command, sizeof command, "%s/got", folder);
    unlink(command);
    return rmdir(folder);
}

static enum status run(const char *body, slice script, int64_t timeout,
                       struct error *e)
{
    struct text t;
    char path[64];
    struct error ignored;

    snprintf(path, sizeof path, "%s/nft", folder);
    text_init(&t, 4096);
    text_printf(&t, "#!/bin/sh\ncd %s\n%s\n", folder, body);
    assert_int_equal(
        file_write_atomic(slice_str(path), text_slice(&t), 0755, &ignored), OK);
    text_fini(&t);
    *e = (struct error){{0}};
    return apply_rules(slice_str(path), script, timeout, e);
}

static void test_script_arrives(void **state)
{
    enum { BIG = 300000 };
    struct error e;
    char path[64], *script = mem_alloc(BIG);
    slice got;

    (void)state;
    memset(script, 'x', BIG);
    assert_int_equal(run("[ \"$*\" = '-f -' ] && cat > got",
                         slice_of(script, BIG), 10 * NSEC_PER_SEC, &e),
                     OK);
    snprintf(path, sizeof path, "%s/got", folder);
    assert_int_equal(file_read(slice_str(path), 2 * BIG, &got, &e), OK);
    assert_true(slice_eq(got, slice_of(script, BIG)));
    mem_free((void *)(uintptr_t)got.ptr);
    mem_free(script);
}

static void test_refused(void **state)
{
    struct error e;

    (void)state;
    assert_int_equal(run("echo 'Error: syntax error' >&2; echo more; exit 1",
                         SLICE("x"), 10 * NSEC_PER_SEC, &e),
                     ERR_INVALID);
    assert_string_equal(e.text, "nft ended with 1: Error: syntax error more");
}

static void test_not_permitted(void **state)
{
    struct error e;

    (void)state;
    assert_int_equal(run("echo 'Error: cache: Operation not permitted' >&2;"
                         "exit 1",
                         SLICE("x"), 10 * NSEC_PER_SEC, &e),
                     ERR_DENIED);
    assert_string_equal(
        e.text, "nft may not set packet rules: the container needs the "
                "capability NET_ADMIN and must run as root (nft: Error: cache: "
                "Operation not permitted)");
}

/* It says more than anybody keeps, and reads nothing. */
static void test_talkative(void **state)
{
    enum { BIG = 300000 };
    struct error e;
    char *script = mem_zalloc(BIG);

    (void)state;
    assert_int_equal(run("i=0; while [ $i -lt 5000 ]; do echo "
                         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; i=$((i+1)); done;"
                         "exit 3",
                         slice_of(script, BIG), 20 * NSEC_PER_SEC, &e),
                     ERR_INVALID);
    assert_true(slice_starts(slice_str(e.text), SLICE("nft ended with 3: aa")));
    mem_free(script);
}

static void test_too_slow(void **state)
{
    struct error e;

    (void)state;
    assert_int_equal(run("exec sleep 100", SLICE("x"), 50 * NSEC_PER_MSEC, &e),
                     ERR_TIMEOUT);
    assert_string_equal(e.text, "nft did not end in time");
}

static void test_killed(void **state)
{
    struct error e;

    (void)state;
    assert_int_equal(run("kill -9 $$", SLICE("x"), 10 * NSEC_PER_SEC, &e),
                     ERR_IO);
    assert_string_equal(e.text, "nft was killed by signal 9");
}

static void test_missing(void **state)
{
    struct error e = {{0}};

    (void)state;
    assert_int_equal(
        apply_rules(SLICE("/nowhere/nft"), SLICE("x"), NSEC_PER_SEC, &e),
        ERR_NOT_FOUND);
    assert_string_equal(e.text,
                        "cannot run '/nowhere/nft': No such file or directory");
    assert_int_equal(apply_rules(SLICE(""), SLICE("x"), NSEC_PER_SEC, &e),
                     ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_script_arrives), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_not_permitted),  cmocka_unit_test(test_talkative),
        cmocka_unit_test(test_too_slow),       cmocka_unit_test(test_killed),
        cmocka_unit_test(test_missing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
