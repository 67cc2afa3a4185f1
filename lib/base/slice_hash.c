/* SPDX-License-Identifier: Apache-2.0 */
/* SipHash-1-3 (Aumasson and Bernstein) under a random key of the process: peers
 * choose many of the keys in our maps, so they must not be able to make them
 * collide. */
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

#include "lib/base/slice.h"

static uint64_t key[2];
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static bool key_ready;

static void key_make(void)
{
    if (getrandom(key, sizeof key, 0) != (ssize_t)sizeof key)
        abort(); /* without entropy there is no TLS either */
    __atomic_store_n(&key_ready, true, __ATOMIC_RELEASE);
}

struct sip {
    uint64_t v0, v1, v2, v3;
};

static uint64_t rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static inline void sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v2 = rotate(s->v2, 32);
}

static inline uint64_t word(const char *p, size_t n)
{
    uint64_t w = 0;

    memcpy(&w, p, n);
    return w;
}

/* Sets bit 5 of every byte that is an ASCII capital (eight bytes at once). */
static inline uint64_t lower_word(uint64_t w)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t heptets = w & (ones * 0x7f);
    uint64_t above_z = heptets + ones * (0x7f - 'Z');
    uint64_t from_a = heptets + ones * (0x80 - 'A');
    uint64_t capital = ~w & (from_a ^ above_z) & (ones * 0x80);

    return w | capital >> 2;
}

static inline uint64_t hash(slice s, bool nocase)
{
    struct sip h;
    size_t i, left = s.len % 8;
    uint64_t w;

    if (!__atomic_load_n(&key_ready, __ATOMIC_ACQUIRE))
        pthread_once(&key_once, key_make);
    h = (struct sip){
        key[0] ^ UINT64_C(0x736f6d6570736575),
        key[1] ^ UINT64_C(0x646f72616e646f6d),
        key[0] ^ UINT64_C(0x6c7967656e657261),
        key[1] ^ UINT64_C(0x7465646279746573),
    };
    for (i = 0; i + 8 <= s.len; i += 8) {
        w = nocase ? lower_word(word(s.ptr + i, 8)) : word(s.ptr + i, 8);
        h.v3 ^= w;
        sip_round(&h);
        h.v0 ^= w;
    }
    w = left ? word(s.ptr + i, left) : 0;
    w = (nocase ? lower_word(w) : w) | (uint64_t)s.len << 56;
    h.v3 ^= w;
    sip_round(&h);
    h.v0 ^= w;
    h.v2 ^= 0xff;
    sip_round(&h);
    sip_round(&h);
    sip_round(&h);
    return h.v0 ^ h.v1 ^ h.v2 ^ h.v3;
}

uint64_t slice_hash(slice s)
{
    return hash(s, false);
}

uint64_t slice_hash_nocase(slice s)
{
    return hash(s, true);
}
