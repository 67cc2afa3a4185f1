/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/fsm.h"

enum { IDLE, BUSY, DONE };

static const struct fsm_state table[] = {
    [IDLE] = {"idle", TO(BUSY)},
    [BUSY] = {"busy", TO(IDLE) | TO(DONE)},
    [DONE] = {"done", 0},
};

static struct log_area area = LOG_AREA("fsm");
static int lines;

static void on_line(void *arg, slice line)
{
    (void)arg;
    lines++;
    assert_true(slice_ends(line, SLICE(" \"state\" from=idle to=busy\n")));
}

static void moves_and_traces(void **state)
{
    struct log log = {&area, 7};
    unsigned s = IDLE;

    (void)state;
    log_set_sink(on_line, NULL);
    assert_int_equal(log_set_levels(SLICE("fsm=trace"), NULL), OK);
    fsm_move(table, &s, BUSY, &log);
    assert_int_equal(s, BUSY);
    assert_int_equal(lines, 1);
    assert_int_equal(log_set_levels(SLICE("info"), NULL), OK);
    fsm_move(table, &s, DONE, &log);
    assert_int_equal(s, DONE);
    assert_int_equal(lines, 1);
    log_set_sink(NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moves_and_traces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
