/* Reference time: 100 ns units since the partition began, or was reset. TLFS 6.0b §12.3, §12.4, §12.7.
 *
 * One function is the truth for the counter MSR, the TSC page and the synthetic timers, and it is the page's own formula: time
 * =
 * ((TSC * scale) >> 64) + offset, with scale = 2^64 * 10^7 / TSC Hz rounded up. Rounded up, it equals the exact floor(TSC *
 * 10^7 / Hz) for years of virtual time (an error below TSC / 2^64); whatever the rate, all readers agree to the last unit,
 * because they compute the same. At 10 MHz and below the scale does not fit 64 bits: then the page is marked invalid and the
 * quotient itself is the truth. When the TSC's rate changes the offset is chosen so that time goes on from where it is.
 */
#ifndef ORRERY_TLFS_REFERENCE_TIME_H
#define ORRERY_TLFS_REFERENCE_TIME_H

#include "cpu/tsc.h"

struct reference_time {
    struct tsc tsc;        /* the processor's, a copy */
    uint64_t tsc_offset;   /* as VP 0 had it when time began: the TSC of the formula */
    uint64_t scale;        /* 0: no page */
    uint64_t offset_100ns; /* modulo 2^64, a signed number on the page */
};

static inline uint64_t reference_time_scale(uint64_t hz)
{
    unsigned __int128 scale = (((unsigned __int128)RATE_100NS_HZ << 64) + hz - 1) / hz;
    return scale >> 64 ? 0 : (uint64_t)scale;
}

static inline struct reference_time reference_time_init(const struct tsc *tsc, uint64_t tsc_offset, uint64_t offset_100ns)
{
    return (struct reference_time){
        .tsc = *tsc, .tsc_offset = tsc_offset, .scale = reference_time_scale(tsc->hz), .offset_100ns = offset_100ns};
}

static inline uint64_t reference_tsc_at(const struct reference_time *r, uint64_t cycle)
{
    return tsc_at(&r->tsc, cycle) + r->tsc_offset;
}

static inline uint64_t reference_time_at(const struct reference_time *r, uint64_t cycle)
{
    uint64_t tsc = reference_tsc_at(r, cycle);
    uint64_t time = r->scale ? (uint64_t)((unsigned __int128)tsc * r->scale >> 64) : mul_div(tsc, RATE_100NS_HZ, r->tsc.hz);
    return time + r->offset_100ns;
}

/* From `cycle` on the TSC runs as `tsc` says; time goes on. */
static inline struct reference_time reference_time_at_rate(const struct reference_time *r, const struct tsc *tsc,
                                                           uint64_t cycle)
{
    struct reference_time next = reference_time_init(tsc, r->tsc_offset, 0);
    next.offset_100ns = reference_time_at(r, cycle) - reference_time_at(&next, cycle);
    return next;
}

/* The first cycle at which reference_time_at() is `time` or more, but none before the rate's last change; CYCLE_NEVER when the
 * clock will not reach it. */
static inline uint64_t reference_time_cycle(const struct reference_time *r, uint64_t time)
{
    __int128 units = (__int128)time - (int64_t)r->offset_100ns;
    if (units <= 0) {
        return r->tsc.base_cycle;
    }
    unsigned __int128 tsc;
    if (r->scale) {
        if (units >> 64) {
            return CYCLE_NEVER;
        }
        tsc = (((unsigned __int128)units << 64) + r->scale - 1) / r->scale;
    } else {
        tsc = ((unsigned __int128)units * r->tsc.hz + RATE_100NS_HZ - 1) / RATE_100NS_HZ;
    }
    if (tsc >> 64) {
        return CYCLE_NEVER;
    }
    __int128 count = (__int128)tsc - (int64_t)r->tsc_offset;
    return count <= 0 ? r->tsc.base_cycle : count >> 64 ? CYCLE_NEVER : tsc_cycle(&r->tsc, (uint64_t)count);
}

#endif
