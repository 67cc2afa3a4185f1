/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/net/fs_watch.h"
#include "tests/unit/http/talk.h"

struct heard {
    struct fs_watch *watch;
    unsigned times;
    bool close;
};

static void on_change(void *arg)
{
    struct heard *h = arg;

    h->times++;
    if (h->close) {
        fs_watch_close(h->watch);
        h->watch = NULL;
    }
}

static void touch(const char *dir)
{
    char path[100];
    FILE *f;

    snprintf(path, sizeof path, "%s/file", dir);
    f = fopen(path, "a");
    assert_non_null(f);
    assert_int_equal(fclose(f), 0);
}

static void drop(const char *dir)
{
    char path[100];

    snprintf(path, sizeof path, "%s/file", dir);
    (void)unlink(path);
    assert_int_equal(rmdir(dir), 0);
}

static void a_change_is_told(void **state)
{
    char dir[] = "/tmp/tulle-test-XXXXXX";
    struct heard h = {0};
    struct turner t;
    struct error e;

    (void)state;
    assert_non_null(mkdtemp(dir));
    turner_init(&t);
    assert_int_equal(fs_watch_open(&h.watch, &t.loop, dir, on_change, &h, &e),
                     OK);
    touch(dir);
    TURN_UNTIL(&t, h.times > 0);
    h.close = true;
    h.times = 0;
    drop(dir);
    TURN_UNTIL(&t, h.times > 0);
    assert_null(h.watch);
    fs_watch_close(NULL);
    turner_fini(&t);
}

static void what_is_not_there_cannot_be_watched(void **state)
{
    struct fs_watch *w = NULL;
    struct turner t;
    struct error e;

    (void)state;
    turner_init(&t);
    assert_int_equal(
        fs_watch_open(&w, &t.loop, "/nowhere/at/all", on_change, NULL, &e),
        status_from_errno(ENOENT));
    assert_non_null(strstr(e.text, "/nowhere/at/all"));
    assert_null(w);
    turner_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_is_told),
        cmocka_unit_test(what_is_not_there_cannot_be_watched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
