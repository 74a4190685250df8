/* Random numbers that are a function of the seed: SplitMix64. State is one word, so it saves and compares. */
#ifndef ORRERY_MACHINE_PRNG_H
#define ORRERY_MACHINE_PRNG_H

#include "machine/types.h"

struct prng {
    uint64_t state;
};

static inline uint64_t prng_next(struct prng *p)
{
    uint64_t z = (p->state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

#endif
