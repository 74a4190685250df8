/* The local APIC timer against a counter that counts: one-shot, periodic, TSC deadline. SDM 3A §10.5.4. */
#include "lapic_fixture.h"

enum {
    LVT_TIMER_REG = 0x320,
    INITIAL = 0x380,
    CURRENT = 0x390,
    DIVIDE = 0x3e0,
    VECTOR = 0xec,
    PERIODIC = 1 << 17,
    DEADLINE = 1 << 18,
    MASKED = 1 << 16
};

/* Adds the input rate at every cycle and ticks when a whole tick has gathered: no division, no formula. */
struct counter {
    uint64_t gathered, whole, rate;
    uint32_t initial, count;
    bool periodic;
    unsigned expiries;
};
static struct counter counter(uint64_t hz, unsigned divide, uint32_t initial, bool periodic)
{
    uint64_t rate = hz < 200000000 ? hz : 200000000;
    return (struct counter){.whole = hz * divide, .rate = rate, .initial = initial, .count = initial, .periodic = periodic};
}
static void counter_cycle(struct counter *c)
{
    c->gathered += c->rate;
    if (c->gathered < c->whole) {
        return;
    }
    c->gathered -= c->whole;
    if (c->count != 0 && --c->count == 0) {
        c->expiries++;
        c->count = c->periodic ? c->initial : 0;
    }
}

static struct vcpu *timer_vp(struct bench *b, uint32_t lvt, uint32_t divide, uint32_t initial)
{
    struct vcpu *v = enabled_vp(b, 0);
    lapic_write(v, LVT_TIMER_REG, lvt);
    lapic_write(v, DIVIDE, divide);
    lapic_write(v, INITIAL, initial);
    return v;
}
static bool take_expiry(struct vcpu *v)
{
    bool expired = lapic_pending(v) == VECTOR;
    if (expired) {
        lapic_acknowledge(v);
        lapic_eoi(v);
    }
    return expired;
}

/* Cycle by cycle: the count and every expiry, for rates that do and do not divide the clock. */
static void compare(uint64_t hz, unsigned divide, uint32_t divide_bits, uint32_t initial, bool periodic, unsigned cycles)
{
    struct bench *b = bench_with(VENDOR_AMD, 1, hz, NULL);
    b->m->clock.cycle = 12345;
    struct vcpu *v = timer_vp(b, VECTOR | (periodic ? PERIODIC : 0), divide_bits, initial);
    struct counter c = counter(hz, divide, initial, periodic);
    unsigned expiries = 0;
    for (unsigned i = 1; i <= cycles; i++) {
        advance_to(b, 12345 + i);
        counter_cycle(&c);
        expiries += take_expiry(v);
        cr_assert_eq(expiries, c.expiries, "hz %lu divide %u initial %u: cycle %u", hz, divide, initial, i);
        cr_assert_eq(lapic_read(v, CURRENT), c.count, "hz %lu divide %u initial %u: cycle %u", hz, divide, initial, i);
    }
    cr_expect_gt(expiries, 0u);
    bench_destroy(b);
}

Test(lapic_timer, counts_like_a_counter_at_every_divide)
{
    static const struct {
        unsigned divide;
        uint32_t bits;
    } rows[] = {{1, 0xb}, {2, 0x0}, {4, 0x1}, {8, 0x2}, {16, 0x3}, {32, 0x8}, {64, 0x9}, {128, 0xa}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        compare(GHZ, rows[i].divide, rows[i].bits, 7, false, 10000);
        compare(GHZ, rows[i].divide, rows[i].bits, 7, true, 10000);
    }
}

Test(lapic_timer, counts_like_a_counter_at_odd_clock_rates)
{
    static const uint64_t rates[] = {1000000, 3000000, 199999999, 200000001, 2399999987, 10000000000};
    for (size_t i = 0; i < ARRAY_COUNT(rates); i++) {
        compare(rates[i], 1, 0xb, 1, true, 3000);
        compare(rates[i], 2, 0x0, 13, true, 3000);
        compare(rates[i], 1, 0xb, 29, false, 3000);
    }
}

/* Each of a million periods ends where exact arithmetic has it: 3 ticks are a little less than 36 cycles here. */
Test(lapic_timer, long_runs_do_not_drift)
{
    const uint64_t hz = 2399999987;
    struct bench *b = bench_with(VENDOR_AMD, 1, hz, NULL);
    struct vcpu *v = timer_vp(b, VECTOR | PERIODIC, 0xb, 3);
    uint64_t n = 0;
    while (n < 1000000) {
        uint64_t due = events_next(b->m->events);
        advance_to(b, due);
        cr_assert(take_expiry(v));
        n++;
        unsigned __int128 cycles = (unsigned __int128)n * 3 * hz;
        cr_assert_eq(due, (uint64_t)((cycles + 199999999) / 200000000), "period %lu", n);
    }
    bench_destroy(b);
}

/* Expiries that pass while no boundary comes are one interrupt, and the next is the next one on the grid. */
Test(lapic_timer, missed_periods_merge_and_keep_the_grid)
{
    struct bench *b = bench_create(1);
    struct vcpu *v = timer_vp(b, VECTOR | PERIODIC, 0xb, 100); /* 500 cycles */
    advance_to(b, 1777);
    cr_expect(take_expiry(v));
    cr_expect_not(take_expiry(v));
    cr_expect_eq(events_next(b->m->events), 2000u);
    bench_destroy(b);
}

/* SDM 3A §10.5.4: a one-shot stops at 0; a write of 0 to the initial count stops the timer. */
Test(lapic_timer, one_shot_stops_and_zero_stops)
{
    struct bench *b = bench_create(1);
    struct vcpu *v = timer_vp(b, VECTOR, 0xb, 10);
    advance_to(b, 50);
    cr_expect(take_expiry(v));
    cr_expect_eq(lapic_read(v, CURRENT), 0u);
    cr_expect_eq(events_next(b->m->events), CYCLE_NEVER);
    lapic_write(v, INITIAL, 10);
    lapic_write(v, INITIAL, 0);
    cr_expect_eq(events_next(b->m->events), CYCLE_NEVER);
    cr_expect_eq(lapic_read(v, CURRENT), 0u);
    bench_destroy(b);
}

/* SDM 3A §10.5.1: a masked timer counts and does not interrupt; unmasked it goes on from where it is. */
Test(lapic_timer, masked_counts_in_silence)
{
    struct bench *b = bench_create(1);
    struct vcpu *v = timer_vp(b, VECTOR | PERIODIC | MASKED, 0xb, 100);
    advance_to(b, 740);
    cr_expect_not(take_expiry(v));
    cr_expect_eq(lapic_read(v, CURRENT), 52u); /* 148 ticks: one period and 48 */
    lapic_write(v, LVT_TIMER_REG, VECTOR | PERIODIC);
    cr_expect_eq(events_next(b->m->events), 1000u);
    bench_destroy(b);
}

/* What was due before a register changed has happened, even if the change comes before the event queue was looked at. */
Test(lapic_timer, change_after_expiry_does_not_swallow_it)
{
    struct bench *b = bench_create(1);
    struct vcpu *v = timer_vp(b, VECTOR | PERIODIC, 0xb, 100);
    b->m->clock.cycle = 600;
    lapic_write(v, LVT_TIMER_REG, VECTOR | PERIODIC | MASKED);
    cr_expect(take_expiry(v));
    bench_destroy(b);
}

/* A new divide value takes effect from the current count on. */
Test(lapic_timer, new_divide_goes_on_from_the_count)
{
    struct bench *b = bench_create(1);
    struct vcpu *v = timer_vp(b, VECTOR, 0xb, 100);
    advance_to(b, 200); /* 40 ticks */
    lapic_write(v, DIVIDE, 0x0);
    cr_expect_eq(lapic_read(v, CURRENT), 60u);
    advance_to(b, 210);
    cr_expect_eq(lapic_read(v, CURRENT), 59u);
    cr_expect_eq(events_next(b->m->events), 800u);
    bench_destroy(b);
}

/* SDM 3A §10.5.4.1: a change of mode disarms. */
Test(lapic_timer, change_of_mode_disarms)
{
    struct bench *b = bench_create(1);
    struct vcpu *v = timer_vp(b, VECTOR, 0xb, 100);
    lapic_write(v, LVT_TIMER_REG, VECTOR | PERIODIC);
    cr_expect_eq(events_next(b->m->events), CYCLE_NEVER);
    lapic_write(v, INITIAL, 100);
    cr_expect_eq(events_next(b->m->events), 500u);
    bench_destroy(b);
}

/* SDM 3A §10.5.4.1: fires when the TSC reaches the deadline, once, and reads as 0 from then on. */
Test(lapic_timer, deadline_fires_once_at_its_tsc)
{
    struct bench *b = bench_create(1);
    struct vcpu *v = timer_vp(b, VECTOR | DEADLINE, 0xb, 0);
    uint64_t value = 1;
    v->s.tsc_offset = 1000000;
    lapic_wrmsr(v, 0x6e0, 1005000);
    cr_expect_eq(events_next(b->m->events), 5000u);
    lapic_rdmsr(v, 0x6e0, &value);
    cr_expect_eq(value, 1005000u);
    advance_to(b, 4999);
    cr_expect_not(take_expiry(v));
    advance_to(b, 5000);
    cr_expect(take_expiry(v));
    lapic_rdmsr(v, 0x6e0, &value);
    cr_expect_eq(value, 0u);
    cr_expect_eq(events_next(b->m->events), CYCLE_NEVER);
    bench_destroy(b);
}

/* A deadline in the past fires at once; 0 disarms; the initial count is ignored in this mode. */
Test(lapic_timer, past_deadline_fires_and_zero_disarms)
{
    struct bench *b = bench_create(1);
    b->m->clock.cycle = 9000;
    struct vcpu *v = timer_vp(b, VECTOR | DEADLINE, 0xb, 77);
    v->s.tsc_offset = 0;
    cr_expect_eq(lapic_read(v, INITIAL), 0u);
    lapic_wrmsr(v, 0x6e0, 8999);
    cr_expect_leq(events_next(b->m->events), 9000u);
    advance_to(b, 9000);
    cr_expect(take_expiry(v));
    lapic_wrmsr(v, 0x6e0, 10000);
    lapic_wrmsr(v, 0x6e0, 0);
    cr_expect_eq(events_next(b->m->events), CYCLE_NEVER);
    lapic_wrmsr(v, 0x6e0, UINT64_MAX);
    advance_to(b, 20000);
    cr_expect_not(take_expiry(v));
    bench_destroy(b);
}

/* A masked deadline passes without an interrupt, and is gone. */
Test(lapic_timer, masked_deadline_passes)
{
    struct bench *b = bench_create(1);
    struct vcpu *v = timer_vp(b, VECTOR | DEADLINE | MASKED, 0xb, 0);
    v->s.tsc_offset = 0;
    lapic_wrmsr(v, 0x6e0, 100);
    advance_to(b, 100);
    lapic_write(v, LVT_TIMER_REG, VECTOR | DEADLINE);
    advance_to(b, 200);
    cr_expect_not(take_expiry(v));
    bench_destroy(b);
}

/* SDM 3B §17.17.3 and 3A §10.5.4.1: the deadline is compared with the TSC, so a new TSC moves it. */
Test(lapic_timer, new_tsc_moves_the_deadline)
{
    struct bench *b = bench_create(1);
    struct vcpu *v = timer_vp(b, VECTOR | DEADLINE, 0xb, 0);
    v->s.tsc_offset = 0;
    lapic_wrmsr(v, 0x6e0, 100000);
    b->m->clock.cycle = 1000;
    cr_assert_eq(msr_write(v, 0x10, 90000), MSR_OK);
    cr_expect_eq(events_next(b->m->events), 11000u);
    cr_assert_eq(msr_write(v, 0x10, 100001), MSR_OK);
    advance_to(b, 1000);
    cr_expect(take_expiry(v));
    bench_destroy(b);
}

/* SDM 3A §10.5.4.1: without the feature there is no such MSR, and the mode bit is reserved. */
Test(lapic_timer, deadline_needs_the_feature)
{
    struct bench *b = bench_with(VENDOR_INTEL, 1, GHZ, NULL);
    struct vcpu *v = enabled_vp(b, 0);
    uint64_t value;
    cr_expect_eq(msr_read(v, 0x6e0, &value), MSR_GP);
    lapic_write(v, LVT_TIMER_REG, VECTOR | DEADLINE);
    cr_expect_eq(lapic_read(v, LVT_TIMER_REG), (uint32_t)VECTOR);
    bench_destroy(b);
}
