/* SPDX-License-Identifier: Apache-2.0 */
/* Time as a value. Deadlines and durations: monotonic nanoseconds. Dates:
 * seconds since 1970. Pure code takes `now`; only edges call these. */
#ifndef TULLE_BASE_CLOCK_H
#define TULLE_BASE_CLOCK_H

#include <stdint.h>

#include "lib/base/slice.h"

#define NSEC_PER_USEC INT64_C(1000)
#define NSEC_PER_MSEC INT64_C(1000000)
#define NSEC_PER_SEC INT64_C(1000000000)

int64_t clock_mono_ns(void); /* CLOCK_MONOTONIC */
int64_t clock_real_ns(void); /* CLOCK_REALTIME */

/* "2026-11-22T13:08:00Z" (20 characters and a 0) from seconds since 1970. */
void clock_format_rfc3339(int64_t seconds, char out[21]);
/* Back: that one form and no other. ERR_INVALID for any other text. */
CHECKED enum status clock_parse_rfc3339(slice text, int64_t *seconds);

#endif
