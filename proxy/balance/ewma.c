/* SPDX-License-Identifier: Apache-2.0 */
/* The estimate fades towards 0 while nothing is observed (to a third in TAU, 10 s):
 * an endpoint that was slow once is tried again some day, also when better
 * ones answer everything meanwhile. Two bounds keep that harmless: below FLOOR
 * endpoints count as equal and requests in flight decide, so nobody gets a
 * flood for being forgotten; and an endpoint of which nothing is known gets one
 * request, no second one until the first is answered (UNKNOWN is the price of
 * the second).
 *
 * One answer is one answer, and may be slow for reasons of its own. So the first
 * ones, which carry connections being made and caches being filled, count as
 * the fastest of them; one that is far slower raises the estimate RISE times
 * and no further, the next one again; and each faster one takes LEARN of the
 * difference away, however little time has passed. */
#include "proxy/balance/ewma.h"

#include "lib/base/clock.h"

static const double TAU = 10e9;
static const double FLOOR = 100e3;
static const double CEILING = 60e9;
static const double UNKNOWN = 1e9;
static const double RISE = 4, LEARN = 1.0 / 8;
enum { FIRST_ANSWERS = 4 };
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
}

static double risen(double from, double sample)
{
    double most = (from > FLOOR ? from : FLOOR) * RISE;

    return sample < most ? sample : most;
}

static double learnt(double from, double sample, int64_t elapsed)
{
    double share = 1 - fade(elapsed);

    if (share < LEARN)
        share = LEARN;
    return from + (sample - from) * share;
}

bool ewma_is_young(const struct ewma *e)
{
    return e->answers > 0 && e->answers < FIRST_ANSWERS;
}

void ewma_observe(struct ewma *e, int64_t now, int64_t latency)
{
    double sample = bounded(latency);

    if (e->answers < FIRST_ANSWERS) {
        bool best = !e->answers || sample < e->value;
        e->answers++;
        set(e, now, best ? sample : e->value);
        return;
    }
    set(e, now,
        sample >= e->value ? risen(e->value, sample)
                           : learnt(e->value, sample, now - e->stamp));
}

void ewma_fail(struct ewma *e, int64_t now, int64_t latency)
{
    double was = e->answers ? now_value(e, now) : FLOOR;
    double sample = bounded(latency), price = was * FAIL_TIMES + FAIL_PLUS;

    if (price > FAIL_MAX)
        price = was > FAIL_MAX ? was : FAIL_MAX;
    e->answers = FIRST_ANSWERS; /* no fast one makes it forgotten at once */
    set(e, now, sample > price ? sample : price);
}

void ewma_waited(struct ewma *e, int64_t now, int64_t waited)
{
    double sample = bounded(waited);

    if (e->answers && sample > now_value(e, now))
        set(e, now, sample);
}

double ewma_cost(const struct ewma *e, int64_t now, uint32_t inflight)
{
    double value;

    if (!e->answers)
        return inflight * UNKNOWN;
    value = now_value(e, now);
    return (value > FLOOR ? value : FLOOR) * ((double)inflight + 1);
}
