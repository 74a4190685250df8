/* The one clock of a partition, in cycles, and exact integer conversions. Nothing here knows the host's time.
 *
 * While a VP runs, "now" lies inside it; the runner lends the clock a function that answers exactly, also from within
 * a device callback. Otherwise "now" is the stored cycle.
 */
#ifndef ORRERY_MACHINE_CLOCK_H
#define ORRERY_MACHINE_CLOCK_H

#include "machine/types.h"

#define CLOCK_HZ_MIN 1000000ULL
#define CLOCK_HZ_MAX 10000000000ULL
#define CLOCK_CYCLE_MAX (1ULL << 62) /* fourteen years at 10 GHz; no run goes further, so now + delay < 2^63 never wraps */

struct clock {
    uint64_t cycle;                          /* valid while no VP runs */
    uint64_t hz;                             /* cycles a second; also the TSC's rate. CLOCK_HZ_MIN .. CLOCK_HZ_MAX */
    uint64_t (*running_now)(const void *vp); /* NULL while no VP runs */
    const void *running;
};

static inline uint64_t clock_now(const struct clock *c)
{
    return c->running_now ? c->running_now(c->running) : c->cycle;
}

/* floor(a * b / c) without losing a bit; c > 0; the result must fit 64 bits (else it is UINT64_MAX). */
static inline uint64_t mul_div(uint64_t a, uint64_t b, uint64_t c)
{
    unsigned __int128 q = (unsigned __int128)a * b / c;
    return q > UINT64_MAX ? UINT64_MAX : (uint64_t)q;
}
/* ceil(a * b / c), same limits. */
static inline uint64_t mul_div_up(uint64_t a, uint64_t b, uint64_t c)
{
    unsigned __int128 q = ((unsigned __int128)a * b + (c - 1)) / c;
    return q > UINT64_MAX ? UINT64_MAX : (uint64_t)q;
}

/* Ticks of a counter of `rate_hz` at a cycle, and the first cycle at which that counter shows `ticks`. No drift. */
static inline uint64_t clock_ticks(const struct clock *c, uint64_t cycle, uint64_t rate_hz)
{
    return mul_div(cycle, rate_hz, c->hz);
}
static inline uint64_t clock_cycle_of_ticks(const struct clock *c, uint64_t ticks, uint64_t rate_hz)
{
    return mul_div_up(ticks, c->hz, rate_hz);
}
#define RATE_100NS_HZ 10000000ULL
#define RATE_NS_HZ 1000000000ULL

#endif
