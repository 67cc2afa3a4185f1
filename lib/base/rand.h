/* SPDX-License-Identifier: Apache-2.0 */
/* A fast generator per loop (xoshiro256**), seedable for tests. Never for
 * secrets: those come from OpenSSL. */
#ifndef TULLE_BASE_RAND_H
#define TULLE_BASE_RAND_H

#include <stdint.h>

struct rand {
    uint64_t s[4];
};

void rand_seed(struct rand *r, uint64_t seed);
/* From the kernel's entropy. */
void rand_seed_random(struct rand *r);
uint64_t rand_u64(struct rand *r);
/* Uniform in [0, bound), bound > 0, without modulo bias. */
uint64_t rand_below(struct rand *r, uint64_t bound);
/* Uniform in [0, 1). */
double rand_unit(struct rand *r);
/* `value` spread evenly over [value * (1 - share), value * (1 + share)]. */
int64_t rand_jitter(struct rand *r, int64_t value, double share);

#endif
