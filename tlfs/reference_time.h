/* Reference time: 100 ns units since the partition's TSC was zero. TLFS 6.0b §12.3, §12.4, §12.7.
 *
 * One function is the truth for the counter MSR, the TSC page and the synthetic timers, and it is the page's own formula: time
 * = (TSC * scale) >> 64, with scale = 2^64 * 10^7 / TSC Hz rounded up. Rounded up, it equals the exact floor(TSC * 10^7 / Hz)
 * for years of virtual time (an error below TSC / 2^64); whatever the rate, all readers agree to the last unit, because they
 * compute the same. At 10 MHz and below the scale does not fit 64 bits: then the page is marked invalid and the quotient itself
 * is the truth.
 */
#ifndef ORRERY_TLFS_REFERENCE_TIME_H
#define ORRERY_TLFS_REFERENCE_TIME_H

#include "machine/clock.h"

struct reference_time {
    uint64_t hz;
    uint64_t scale;        /* 0: no page */
    uint64_t origin_cycle; /* where the TSC was zero */
};

static inline struct reference_time reference_time_init(uint64_t hz, uint64_t origin_cycle)
{
    unsigned __int128 scale = (((unsigned __int128)RATE_100NS_HZ << 64) + hz - 1) / hz;
    return (struct reference_time){.hz = hz, .scale = scale >> 64 ? 0 : (uint64_t)scale, .origin_cycle = origin_cycle};
}

static inline uint64_t reference_time_at(const struct reference_time *r, uint64_t cycle)
{
    uint64_t tsc = cycle - r->origin_cycle;
    return r->scale ? (uint64_t)((unsigned __int128)tsc * r->scale >> 64) : mul_div(tsc, RATE_100NS_HZ, r->hz);
}

/* The first cycle at which reference_time_at() is `time` or more; CYCLE_NEVER when the clock will not reach it. */
static inline uint64_t reference_time_cycle(const struct reference_time *r, uint64_t time)
{
    unsigned __int128 tsc;
    if (r->scale) {
        tsc = (((unsigned __int128)time << 64) + r->scale - 1) / r->scale;
    } else {
        tsc = ((unsigned __int128)time * r->hz + RATE_100NS_HZ - 1) / RATE_100NS_HZ;
    }
    unsigned __int128 cycle = tsc + r->origin_cycle;
    return cycle >= CYCLE_NEVER ? CYCLE_NEVER : (uint64_t)cycle;
}

#endif
