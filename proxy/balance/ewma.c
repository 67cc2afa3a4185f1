/* SPDX-License-Identifier: Apache-2.0 */
/* The estimate fades towards 0 while nothing is observed: an endpoint that was
 * slow once is tried again some day, also when better ones answer everything
 * meanwhile. Two bounds keep that harmless: below FLOOR endpoints count as
 * equal and requests in flight decide, so nobody gets a flood for being
 * forgotten; and an endpoint of which nothing is known gets one request, no
 * second one until the first is answered (UNKNOWN is the price of the second).
 */
#include "proxy/balance/ewma.h"

#include "lib/base/clock.h"

static const double TAU = 10e9;
static const double FLOOR = 100e3;
static const double CEILING = 60e9;
static const double UNKNOWN = 1e9;
/* A failure costs FAIL_TIMES the estimate and FAIL_PLUS: the first one sets a
 * fast endpoint back for half a minute, some in a row for minutes. */
static const double FAIL_TIMES = 4, FAIL_PLUS = 10e6, FAIL_MAX = 10e9;

/* exp(-elapsed / TAU), near enough, without libm. */
static double fade(int64_t elapsed)
{
    double x = elapsed > 0 ? (double)elapsed / TAU : 0;

    return 1 / (1 + x + x * x / 2 + x * x * x / 6);
}

static double now_value(const struct ewma *e, int64_t now)
{
    return e->value * fade(now - e->stamp);
}

static double bounded(int64_t latency)
{
    double d = latency > 0 ? (double)latency : 0;

    return d < CEILING ? d : CEILING;
}

static void set(struct ewma *e, int64_t now, double value)
{
    e->value = value;
    e->stamp = now;
    e->known = true;
}

void ewma_observe(struct ewma *e, int64_t now, int64_t latency)
{
    double sample = bounded(latency), keep = fade(now - e->stamp);

    if (!e->known || sample >= e->value)
        set(e, now, sample);
    else
        set(e, now, e->value * keep + sample * (1 - keep));
}

void ewma_fail(struct ewma *e, int64_t now, int64_t latency)
{
    double was = e->known ? now_value(e, now) : FLOOR;
    double sample = bounded(latency), price = was * FAIL_TIMES + FAIL_PLUS;

    if (price > FAIL_MAX)
        price = was > FAIL_MAX ? was : FAIL_MAX;
    set(e, now, sample > price ? sample : price);
}

void ewma_waited(struct ewma *e, int64_t now, int64_t waited)
{
    double sample = bounded(waited);

    if (e->known && sample > now_value(e, now))
        set(e, now, sample);
}

double ewma_cost(const struct ewma *e, int64_t now, uint32_t inflight)
{
    double value;

    if (!e->known)
        return inflight * UNKNOWN;
    value = now_value(e, now);
    return (value > FLOOR ? value : FLOOR) * ((double)inflight + 1);
}
