/* SPDX-License-Identifier: Apache-2.0 */
/* Who ends first when memory runs out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/clock.h"
#include "proxy/shed.h"

#define KIB(n) ((size_t)(n) << 10)
#define MSEC(n) ((n)*NSEC_PER_MSEC)

static void stalled_before_busy(void **state)
{
    (void)state;
    /* A fast download holds a window of 1 MiB; who reads nothing holds 128 KiB. */
    double fast = shed_cost(KIB(1024), 500 << 20, MSEC(5000), MSEC(1));
    double stalled = shed_cost(KIB(128), 0, MSEC(500), MSEC(500));
    assert_true(stalled > fast);
    /* A trickle is no progress, though there is always some. */
    double drip = shed_cost(KIB(128), 500, MSEC(500), MSEC(1));
    assert_true(drip > fast);
    /* Nor does it help to have been fast long ago. */
    double was = shed_cost(KIB(128), 500 << 20, MSEC(60000), MSEC(30000));
    assert_true(was > fast);
}

static void more_before_less_and_longer_before_shorter(void **state)
{
    (void)state;
    assert_true(shed_cost(KIB(128), 0, MSEC(100), MSEC(100)) >
                shed_cost(KIB(64), 0, MSEC(100), MSEC(100)));
    assert_true(shed_cost(KIB(64), 0, MSEC(200), MSEC(200)) >
                shed_cost(KIB(64), 0, MSEC(100), MSEC(100)));
    /* Even those who have just begun cost something. */
    assert_true(shed_cost(KIB(4), 0, 0, 0) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stalled_before_busy),
        cmocka_unit_test(more_before_less_and_longer_before_shorter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
