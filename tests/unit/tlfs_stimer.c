/* Synthetic timers: registers and exact moments, in direct mode; messages are tlfs_stimer_messages.c's. TLFS 6.0b §12.1, §12.2,
 * §12.5. No VP runs here, so the clock jumps from event to event, and each moment can be compared with arithmetic. */
#include "tests/unit/tlfs_fixture.h"

enum { CONFIG = 0x400000b0, COUNT = 0x400000b1 };
enum { ENABLE = 1, PERIODIC = 2, LAZY = 4, AUTO = 8, DIRECT = 1 << 12, VECTOR = 0xed << 4, OTHER = 0xee << 4 };

static struct partition *p;
static struct seen expiry;

static void setup_at(uint64_t hz)
{
    p = partition_of("ws2019", 2, hz, VENDOR_AMD);
    sleep_all(p);
    apic_on(p);
    see(p, "stimer_expiry", &expiry);
}
static void setup(void)
{
    setup_at(GHZ);
}
static void teardown(void)
{
    partition_destroy(p);
}
TestSuite(stimer, .init = setup, .fini = teardown);

static void set(unsigned vp, unsigned timer, uint64_t config, uint64_t count)
{
    cr_assert(wr(p, vp, COUNT + 2 * timer, count) == MSR_OK && wr(p, vp, CONFIG + 2 * timer, config) == MSR_OK);
}
/* Runs to a cycle; with all asleep the clock then stands exactly there. Nothing armed any more: a sleep without end, cut short.
 */
static void run_to(uint64_t cycle)
{
    if (partition_run(p, cycle) == PARTITION_END) {
        cr_assert(p->machine->end == END_HALTED && events_next(p->machine->events) == CYCLE_NEVER);
        p->machine->end = END_NONE;
        p->machine->clock.cycle = cycle;
    }
    cr_assert_eq(p->machine->clock.cycle, cycle);
}

/* §12.5.1 */
Test(stimer, all_eight_registers_are_there_zero_and_per_vp)
{
    for (uint32_t msr = CONFIG; msr < CONFIG + 8; msr++) {
        cr_expect_eq(rd(p, 0, msr), 0);
        cr_assert(wr(p, 0, msr, msr & 1 ? 12345 : DIRECT | VECTOR | LAZY) == MSR_OK);
    }
    for (uint32_t msr = CONFIG; msr < CONFIG + 8; msr++) {
        cr_expect_eq(rd(p, 0, msr), msr & 1 ? 12345 : DIRECT | VECTOR | LAZY);
        cr_expect_eq(rd(p, 1, msr), 0);
    }
}

/* §12.5.2: it expires when the counter reaches the count: at that cycle, not one before. */
Test(stimer, one_shot_expires_at_the_first_cycle_of_its_count)
{
    set(0, 0, ENABLE | DIRECT | VECTOR, 5000);
    run_to(499999);
    cr_expect(!irr(p, 0, 0xed) && expiry.count == 0);
    run_to(500000);
    cr_expect(irr(p, 0, 0xed) && !irr(p, 1, 0xed));
    cr_assert_eq(expiry.count, 1);
    cr_expect(expiry.event[0].cycle == 500000 && expiry.event[0].values[2] == 5000);
}

/* The same against brute force for clock rates that are no multiple of 10 MHz. */
Test(stimer_rates, one_shot_is_exact_at_any_rate)
{
    static const uint64_t rates[] = {1000000, 9999999, 10000000, 10000001, 2999999999, 3579545123, 10 * GHZ};
    for (size_t i = 0; i < ARRAY_COUNT(rates); i++) {
        setup_at(rates[i]);
        struct prng prng = {rates[i]};
        for (int k = 0; k < 50; k++) {
            uint64_t now = rd(p, 0, 0x40000020);
            uint64_t count = now + 1 + prng_next(&prng) % 100000;
            set(0, 3, ENABLE | DIRECT | VECTOR, count);
            uint64_t due = events_next(p->machine->events);
            p->machine->clock.cycle = due - 1;
            cr_assert_lt(rd(p, 0, 0x40000020), count);
            run_to(due);
            cr_assert_geq(rd(p, 0, 0x40000020), count);
            cr_assert(irr(p, 0, 0xed));
            irr_clear(p, 0, 0xed);
        }
        teardown();
    }
}

Test(stimer, one_shot_is_disabled_after_expiry_and_fires_once)
{
    set(0, 1, ENABLE | DIRECT | LAZY | VECTOR, 100);
    run_to(10000);
    cr_expect_eq(rd(p, 0, CONFIG + 2), DIRECT | LAZY | VECTOR);
    cr_expect_eq(rd(p, 0, COUNT + 2), 100);
    run_to(100000000);
    cr_expect_eq(expiry.count, 1);
}

/* §12.5.1: "If a one-shot is enabled and the specified count is in the past, it will expire immediately." */
Test(stimer, count_in_the_past_expires_at_once)
{
    run_to(1000000);
    set(0, 0, ENABLE | DIRECT | VECTOR, 1);
    run_to(1000001);
    cr_assert_eq(expiry.count, 1);
    cr_expect_eq(expiry.event[0].cycle, 1000000);
}

Test(stimer, count_beyond_the_clock_never_fires)
{
    set(0, 0, ENABLE | DIRECT | VECTOR, UINT64_MAX);
    cr_expect_eq(rd(p, 0, CONFIG), ENABLE | DIRECT | VECTOR);
    cr_expect_eq(events_next(p->machine->events), CYCLE_NEVER);
}

Test(stimer, clearing_enable_cancels)
{
    set(0, 0, ENABLE | DIRECT | VECTOR, 5000);
    cr_assert(wr(p, 0, CONFIG, DIRECT | VECTOR) == MSR_OK);
    cr_expect_eq(events_next(p->machine->events), CYCLE_NEVER);
}

/* §12.5.2 */
Test(stimer, count_zero_stops_and_disables_whatever_auto_enable_says)
{
    set(0, 0, ENABLE | AUTO | DIRECT | VECTOR, 5000);
    cr_assert(wr(p, 0, COUNT, 0) == MSR_OK);
    cr_expect_eq(rd(p, 0, CONFIG), AUTO | DIRECT | VECTOR);
    cr_expect_eq(events_next(p->machine->events), CYCLE_NEVER);
}

/* Linux writes CONFIG while COUNT is zero. */
Test(stimer, enable_does_not_stick_while_the_count_is_zero)
{
    cr_assert(wr(p, 0, CONFIG, 0x1ed9) == MSR_OK);
    cr_expect_eq(rd(p, 0, CONFIG), 0x1ed8);
    cr_expect_eq(events_next(p->machine->events), CYCLE_NEVER);
}

Test(stimer, auto_enable_starts_on_every_non_zero_count)
{
    cr_assert(wr(p, 0, CONFIG, 0x1ed9) == MSR_OK);
    for (uint64_t k = 1; k <= 3; k++) {
        cr_assert(wr(p, 0, COUNT, 1000 * k) == MSR_OK);
        cr_expect_eq(rd(p, 0, CONFIG), 0x1ed9);
        run_to(100000 * k);
        cr_assert_eq(expiry.count, k);
        cr_expect_eq(expiry.event[k - 1].cycle, 100000 * k);
        cr_expect_eq(rd(p, 0, CONFIG), 0x1ed8);
    }
}

Test(stimer, count_alone_does_not_start)
{
    set(0, 0, DIRECT | VECTOR, 5000);
    cr_expect_eq(events_next(p->machine->events), CYCLE_NEVER);
}

Test(stimer, a_new_count_replaces_the_old_moment)
{
    set(0, 0, ENABLE | DIRECT | VECTOR, 5000);
    cr_assert(wr(p, 0, COUNT, 9000) == MSR_OK);
    run_to(2000000);
    cr_assert_eq(expiry.count, 1);
    cr_expect_eq(expiry.event[0].cycle, 900000);
}

/* §12.5.2: the count is the period, and the first one begins when the timer is enabled. */
Test(stimer, periodic_keeps_its_schedule_without_drift)
{
    run_to(123400);
    set(0, 0, ENABLE | PERIODIC | DIRECT | VECTOR, 10007);
    run_to(123400 + 101 * 1000700);
    cr_assert_eq(expiry.count, 101);
    for (unsigned k = 0; k < 101; k++) {
        cr_assert_eq(expiry.event[k].cycle, 123400 + (k + 1) * 1000700ULL);
    }
    cr_expect_eq(rd(p, 0, CONFIG), ENABLE | PERIODIC | DIRECT | VECTOR, "it stays enabled");
}

/* §12.1.4: what is missed may be skipped; the next one is on the schedule again. */
Test(stimer, periodic_skips_what_is_past_and_returns_to_its_schedule)
{
    set(0, 0, ENABLE | PERIODIC | LAZY | DIRECT | VECTOR, 1000);
    p->machine->clock.cycle = 550000; /* as if one instruction had lasted five periods and a half */
    run_to(700000);
    cr_assert_eq(expiry.count, 3);
    cr_expect(expiry.event[0].cycle == 550000 && expiry.event[1].cycle == 600000 && expiry.event[2].cycle == 700000);
}

/* A period of 100 ns must not eat the clock: ten microseconds are the least. */
Test(stimer, a_tiny_period_is_served_at_ten_microseconds)
{
    set(0, 0, ENABLE | PERIODIC | DIRECT | VECTOR, 1);
    run_to(1000000);
    cr_expect_eq(expiry.count, 100);
}

Test(stimer, a_period_beyond_the_end_of_time_never_fires)
{
    run_to(1000);
    set(0, 0, ENABLE | PERIODIC | DIRECT | VECTOR, UINT64_MAX);
    cr_expect_eq(events_next(p->machine->events), CYCLE_NEVER);
}

/* §12.5.1: SINTx 0 disables an enabled timer that is not in direct mode. */
Test(stimer, a_message_for_sint_0_cannot_be_enabled)
{
    cr_assert(wr(p, 0, COUNT, 5000) == MSR_OK && wr(p, 0, CONFIG, ENABLE | AUTO) == MSR_OK);
    cr_expect_eq(rd(p, 0, CONFIG), AUTO);
    cr_assert(wr(p, 0, COUNT, 6000) == MSR_OK);
    cr_expect_eq(rd(p, 0, CONFIG), AUTO);
    cr_expect_eq(events_next(p->machine->events), CYCLE_NEVER);
}

Test(stimer, direct_vectors_below_16_fault_and_change_nothing)
{
    set(0, 0, ENABLE | DIRECT | VECTOR, 5000);
    for (uint64_t vector = 0; vector < 16; vector++) {
        cr_expect(wr(p, 0, CONFIG, DIRECT | vector << 4) == MSR_GP);
    }
    cr_expect(wr(p, 0, CONFIG + 2, DIRECT | 16 << 4) == MSR_OK);
    cr_expect_eq(rd(p, 0, CONFIG), ENABLE | DIRECT | VECTOR);
    run_to(500000);
    cr_expect_eq(expiry.count, 1);
}

Test(stimer, four_timers_of_each_vp_run_at_once)
{
    for (unsigned vp = 0; vp < 2; vp++) {
        for (unsigned timer = 0; timer < 4; timer++) {
            set(vp, timer, ENABLE | DIRECT | (0x40 + 4 * vp + timer) << 4, 1000 * (1 + 4 * vp + timer));
        }
    }
    for (unsigned k = 0; k < 8; k++) {
        run_to(100000 * (k + 1) - 1);
        cr_expect_not(irr(p, k / 4, (uint8_t)(0x40 + k)));
        run_to(100000 * (k + 1));
        cr_expect(irr(p, k / 4, (uint8_t)(0x40 + k)));
    }
}

/* Of timers due at one cycle each fires, in the order in which they were armed. */
Test(stimer, two_due_at_one_cycle_both_fire)
{
    set(0, 0, ENABLE | DIRECT | VECTOR, 1000);
    set(1, 0, ENABLE | DIRECT | OTHER, 1000);
    run_to(100000);
    cr_assert_eq(expiry.count, 2);
    cr_expect(expiry.event[0].vp == 0 && expiry.event[1].vp == 1);
}

/* A chunk's end at any cycle is invisible. */
Test(stimer, chunks_do_not_move_an_expiry)
{
    set(0, 0, ENABLE | PERIODIC | DIRECT | VECTOR, 777);
    for (uint64_t cycle = 1; cycle < 800000; cycle += 1 + cycle % 977) {
        run_to(cycle);
    }
    cr_assert_eq(expiry.count, 10);
    for (unsigned k = 0; k < 10; k++) {
        cr_expect_eq(expiry.event[k].cycle, 77700 * (k + 1ULL));
    }
}
