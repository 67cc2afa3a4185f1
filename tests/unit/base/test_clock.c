/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <time.h>

#include "lib/base/clock.h"

static void is_date(int64_t seconds, const char *want)
{
    char got[21];
    int64_t back = 0;

    clock_format_rfc3339(seconds, got);
    assert_string_equal(got, want);
    if (seconds == INT64_MAX || seconds == INT64_MIN)
        return;
    assert_int_equal(clock_parse_rfc3339(slice_str(want), &back), OK);
    assert_true(back == seconds);
}

static void formats_dates(void **state)
{
    (void)state;
    is_date(0, "1970-01-01T00:00:00Z");
    is_date(-1, "1969-12-31T23:59:59Z");
    is_date(951782400, "2000-02-29T00:00:00Z");
    is_date(INT64_C(1795352880), "2026-11-22T13:08:00Z");
    is_date(INT64_MAX, "9999-12-31T23:59:59Z");
    is_date(INT64_MIN, "0000-01-01T00:00:00Z");
}

static void other_texts_are_no_dates(void **state)
{
    static const char *const rows[] = {
        "",
        "2026-11-22",
        "2026-11-22T13:08:00",
        "2026-11-22 13:08:00Z",
        "2026-11-22T13:08:00z",
        "2026-11-22T13:08:00Z ",
        "2026-13-22T13:08:00Z",
        "2026-00-22T13:08:00Z",
        "2026-02-29T13:08:00Z",
        "2026-04-31T13:08:00Z",
        "2026-11-00T13:08:00Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T13:60:00Z",
        "2026-11-22T13:08:60Z",
        "2026-11-22T13:08:+1Z",
        "+026-11-22T13:08:00Z",
        "2026/11/22T13:08:00Z",
        "2026-11-22T13.08.00Z",
        "2026-11-22T13:08:00.5Z",
        "2026-11-22T13:08:00+01:00",
    };
    int64_t s;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (clock_parse_rfc3339(slice_str(rows[i]), &s) != ERR_INVALID)
            fail_msg("'%s' is a date", rows[i]);
    assert_int_equal(clock_parse_rfc3339(SLICE("9999-12-31T23:59:59Z"), &s),
                     OK);
    assert_true(s == INT64_C(253402300799));
    assert_int_equal(clock_parse_rfc3339(SLICE("0000-01-01T00:00:00Z"), &s),
                     OK);
    assert_true(s == INT64_C(-62167219200));
}

/* Every day of 1600 to 2400 against the C library. */
static void agrees_with_gmtime(void **state)
{
    (void)state;
    for (int64_t day = -135140; day < 157054; day++) {
        time_t t = (time_t)(day * 86400 + (day * 7919 % 86400 + 86400) % 86400);
        struct tm tm;
        char want[32];

        assert_non_null(gmtime_r(&t, &tm));
        strftime(want, sizeof want, "%Y-%m-%dT%H:%M:%SZ", &tm);
        is_date(t, want);
    }
}

static void goes_forward(void **state)
{
    int64_t a = clock_mono_ns(), b = clock_mono_ns();

    (void)state;
    assert_true(a > 0 && b >= a);
    assert_true(clock_real_ns() > INT64_C(1600000000) * NSEC_PER_SEC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_dates),
        cmocka_unit_test(agrees_with_gmtime),
        cmocka_unit_test(other_texts_are_no_dates),
        cmocka_unit_test(goes_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
