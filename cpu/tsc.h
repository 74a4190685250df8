/* The time-stamp counter's rate on the partition's clock. All VPs share it; each adds an offset of its own
 * (vp_state.tsc_offset).
 *
 * count = base_count + floor((cycle - base_cycle) * hz / clock_hz): a straight line, so nothing drifts however long it runs,
 * and a change of rate begins a new line at the point that the old one has reached, so the count never goes back. The clock
 * itself keeps its rate for ever: seconds are the clock's.
 */
#ifndef ORRERY_CPU_TSC_H
#define ORRERY_CPU_TSC_H

#include "machine/clock.h"

struct tsc {
    uint64_t hz, clock_hz;
    uint64_t base_cycle, base_count;
};

static inline uint64_t tsc_at(const struct tsc *t, uint64_t cycle)
{
    uint64_t passed = cycle - t->base_cycle;
    return t->base_count + (t->hz == t->clock_hz ? passed : mul_div(passed, t->hz, t->clock_hz));
}

/* The first cycle at which tsc_at() is `count` or more, not before base_cycle; CYCLE_NEVER when the clock will not reach it. */
static inline uint64_t tsc_cycle(const struct tsc *t, uint64_t count)
{
    if (count <= t->base_count) {
        return t->base_cycle;
    }
    uint64_t ahead = count - t->base_count;
    ahead = t->hz == t->clock_hz ? ahead : mul_div_up(ahead, t->clock_hz, t->hz);
    return ahead < CYCLE_NEVER - t->base_cycle ? t->base_cycle + ahead : CYCLE_NEVER;
}

static inline struct tsc tsc_at_rate(const struct tsc *t, uint64_t cycle, uint64_t hz)
{
    return (struct tsc){.hz = hz, .clock_hz = t->clock_hz, .base_cycle = cycle, .base_count = tsc_at(t, cycle)};
}

#endif
