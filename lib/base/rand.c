/* SPDX-License-Identifier: Apache-2.0 */
/* xoshiro256** (Blackman and Vigna), seeded with splitmix64. */
#include "lib/base/rand.h"

#include <stdlib.h>
#include <sys/random.h>

void rand_seed(struct rand *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        r->s[i] = z ^ z >> 31;
    }
}

void rand_seed_random(struct rand *r)
{
    uint64_t seed;

    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        abort();
    rand_seed(r, seed);
}

static uint64_t rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

uint64_t rand_u64(struct rand *r)
{
    uint64_t *s = r->s;
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

/* Lemire's multiplication; the rare low products are drawn again. */
uint64_t rand_below(struct rand *r, uint64_t bound)
{
    unsigned __int128 product = (unsigned __int128)rand_u64(r) * bound;

    if ((uint64_t)product < bound) {
        uint64_t least = -bound % bound;
        while ((uint64_t)product < least)
            product = (unsigned __int128)rand_u64(r) * bound;
    }
    return (uint64_t)(product >> 64);
}

double rand_unit(struct rand *r)
{
    return (double)(rand_u64(r) >> 11) * 0x1.0p-53;
}

int64_t rand_jitter(struct rand *r, int64_t value, double share)
{
    double spread = (double)value * share;
    int64_t sum;

    if (__builtin_add_overflow(
            value, (int64_t)(spread * (2 * rand_unit(r) - 1)), &sum))
        return value;
    return sum;
}
