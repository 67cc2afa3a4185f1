/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/clock.h"

#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

int64_t clock_mono_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_real_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

static void put(char *at, int digits, int64_t value)
{
    while (digits--) {
        at[digits] = (char)('0' + value % 10);
        value /= 10;
    }
}

/* Years 0000 to 9999; what lies outside is cut to that range, so that the width
 * never changes. The days-to-date step counts years from March, which puts the
 * leap day last. */
void clock_format_rfc3339(int64_t seconds, char out[21])
{
    const int64_t first = INT64_C(-62167219200), last = INT64_C(253402300799);
    int64_t days, rest, era, day, year, doy, month;

    if (seconds < first)
        seconds = first;
    if (seconds > last)
        seconds = last;
    seconds -= first; /* now counted from 0000-01-01, never negative */
    rest = seconds % 86400;
    days = seconds / 86400 - 60 + 146097; /* from March 1, -400 */
    era = days / 146097;                  /* 400 years */
    day = days % 146097;
    year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    doy = day - (365 * year + year / 4 - year / 100);
    month = (5 * doy + 2) / 153; /* 0 is March */
    day = doy - (153 * month + 2) / 5 + 1;
    year += era * 400 - 400 + (month >= 10);
    month = month < 10 ? month + 3 : month - 9;

    out[4] = out[7] = '-';
    out[10] = 'T';
    out[13] = out[16] = ':';
    out[19] = 'Z';
    out[20] = 0;
    put(out, 4, year);
    put(out + 5, 2, month);
    put(out + 8, 2, day);
    put(out + 11, 2, rest / 3600);
    put(out + 14, 2, rest / 60 % 60);
    put(out + 17, 2, rest % 60);
}

static bool take(slice text, size_t at, unsigned digits, int64_t least,
                 int64_t most, int64_t *out)
{
    *out = 0;
    for (size_t i = at; i < at + digits; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        *out = *out * 10 + (text.ptr[i] - '0');
    }
    return *out >= least && *out <= most;
}

/* What is no date (February 30) does not come back as it was. */
enum status clock_parse_rfc3339(slice text, int64_t *seconds)
{
    int64_t year, month, day, hour, minute, second, days;
    char again[21];

    if (text.len != 20 || !take(text, 0, 4, 0, 9999, &year) ||
        !take(text, 5, 2, 1, 12, &month) || !take(text, 8, 2, 1, 31, &day) ||
        !take(text, 11, 2, 0, 23, &hour) ||
        !take(text, 14, 2, 0, 59, &minute) ||
        !take(text, 17, 2, 0, 59, &second))
        return ERR_INVALID;
    year += 400 - (month < 3); /* from March, never negative */
    month = month < 3 ? month + 9 : month - 3;
    days = year * 365 + year / 4 - year / 100 + year / 400 +
           (153 * month + 2) / 5 + day - 1;
    days -= 719468 + 146097; /* March 1 of the year -400 to 1970 */
    days = days * 86400 + hour * 3600 + minute * 60 + second;
    clock_format_rfc3339(days, again);
    if (!slice_eq(slice_str(again), text))
        return ERR_INVALID;
    *seconds = days;
    return OK;
}
