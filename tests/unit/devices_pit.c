/* The 8254 and port 61h: devices/pit.c. Intel 8254 data sheet. */
#include "devices_fixture.h"

#define PIT_HZ 1193182ULL
enum { CHANNEL0 = 0x40, CHANNEL2 = 0x42, CONTROL = 0x43, PORT61 = 0x61 };

static void program(struct rig *r, uint8_t control, uint16_t count)
{
    out8(r, CONTROL, control);
    out8(r, CHANNEL0 + (control >> 6), (uint8_t)count);
    out8(r, CHANNEL0 + (control >> 6), (uint8_t)(count >> 8));
}
/* The first cycle at which the PIT's clock shows `tick`. */
static uint64_t cycle_of(const struct rig *r, uint64_t tick)
{
    return clock_cycle_of_ticks(&r->machine->clock, tick, PIT_HZ);
}
static uint16_t count_of(struct rig *r, unsigned channel)
{
    out8(r, CONTROL, (uint8_t)(channel << 6)); /* counter latch command */
    uint8_t low = in8(r, (uint16_t)(CHANNEL0 + channel));
    return (uint16_t)(in8(r, (uint16_t)(CHANNEL0 + channel)) << 8 | low);
}
static uint8_t status_of(struct rig *r, unsigned channel)
{
    out8(r, CONTROL, (uint8_t)(0xe0 | 2 << channel)); /* read-back: status only */
    return in8(r, (uint16_t)(CHANNEL0 + channel));
}
static bool out_of(struct rig *r, unsigned channel)
{
    return status_of(r, channel) >> 7;
}

/* 1 193 182 Hz divided by 11 932 for an hour: neither the rate nor the host's arithmetic may drift. */
Test(pit, a_rate_generator_does_not_drift_in_an_hour)
{
    struct rig *r = rig_create();
    program(r, 0x34, 11932);
    run_to(r, 3600 * GHZ);
    uint64_t expected = (3600 * PIT_HZ - 1) / 11932;
    cr_expect_eq(r->rises[0], expected, "%u rises, not %lu", r->rises[0], expected);
    cr_expect_eq(r->rise_cycle[0], cycle_of(r, 1 + expected * 11932), "the last one at its exact cycle");
    rig_destroy(r);
}

/* Mode 0: OUT falls with the control word and rises N + 1 CLK pulses after the count is written. */
Test(pit, mode_0_raises_out_once_at_terminal_count)
{
    struct rig *r = rig_create();
    out8(r, CONTROL, 0x30);
    cr_expect_not(out_of(r, 0));
    out8(r, CHANNEL0, 100);
    out8(r, CHANNEL0, 0);
    run_to(r, cycle_of(r, 101) - 1);
    cr_expect_eq(r->rises[0], 0);
    run_to(r, 2 * GHZ);
    cr_expect_eq(r->rises[0], 1);
    cr_expect_eq(r->rise_cycle[0], cycle_of(r, 101));
    rig_destroy(r);
}

/* Mode 0: the first byte of a new two-byte count stops the counting and OUT is low. */
Test(pit, mode_0_first_byte_of_a_new_count_stops_the_old_one)
{
    struct rig *r = rig_create();
    program(r, 0x30, 100);
    out8(r, CHANNEL0, 50);
    run_to(r, GHZ);
    cr_expect_eq(r->rises[0], 0);
    out8(r, CHANNEL0, 0);
    run_for(r, GHZ);
    cr_expect_eq(r->rises[0], 1);
    rig_destroy(r);
}

/* After terminal count the counter goes on through FFFFh. */
Test(pit, mode_0_counts_on_below_zero)
{
    struct rig *r = rig_create();
    program(r, 0x30, 10);
    run_to(r, cycle_of(r, 1 + 12));
    cr_expect_eq(count_of(r, 0), 0xfffe);
    rig_destroy(r);
}

Test(pit, mode_2_is_low_for_the_last_tick_of_each_cycle)
{
    struct rig *r = rig_create();
    program(r, 0x34, 5);
    static const bool levels[] = {true, true, true, true, false, true, true, true, true, false, true};
    for (unsigned tick = 0; tick < ARRAY_COUNT(levels); tick++) {
        run_to(r, cycle_of(r, 1 + tick));
        cr_expect_eq(out_of(r, 0), levels[tick], "tick %u", tick);
    }
    rig_destroy(r);
}

Test(pit, mode_2_counts_from_n_down_to_1)
{
    struct rig *r = rig_create();
    program(r, 0x34, 5);
    static const uint16_t counts[] = {5, 4, 3, 2, 1, 5, 4};
    for (unsigned tick = 0; tick < ARRAY_COUNT(counts); tick++) {
        run_to(r, cycle_of(r, 1 + tick));
        cr_expect_eq(count_of(r, 0), counts[tick], "tick %u: %u", tick, count_of(r, 0));
    }
    rig_destroy(r);
}

/* "The current counting sequence is not affected": a new count is loaded at the end of the cycle. */
Test(pit, mode_2_takes_a_new_count_at_the_end_of_the_cycle)
{
    struct rig *r = rig_create();
    program(r, 0x34, 1000);
    run_to(r, cycle_of(r, 300));
    out8(r, CHANNEL0, 100);
    out8(r, CHANNEL0, 0);
    cr_expect(status_of(r, 0) >> 6 & 1, "null count: it is not loaded yet");
    cr_expect_eq(count_of(r, 0), 1000 - 299);
    run_to(r, cycle_of(r, 1001));
    cr_expect_eq(r->rises[0], 1);
    cr_expect_eq(r->rise_cycle[0], cycle_of(r, 1001));
    cr_expect_not(status_of(r, 0) >> 6 & 1);
    run_to(r, cycle_of(r, 1101));
    cr_expect_eq(r->rises[0], 2);
    rig_destroy(r);
}

/* Odd counts: high for (N + 1) / 2 ticks, low for (N - 1) / 2; the counter shows even numbers only. */
Test(pit, mode_3_odd_count_is_high_one_tick_longer)
{
    struct rig *r = rig_create();
    program(r, 0x36, 5);
    static const bool levels[] = {true, true, true, false, false, true};
    static const uint16_t counts[] = {4, 2, 0, 4, 2, 4};
    for (unsigned tick = 0; tick < ARRAY_COUNT(levels); tick++) {
        run_to(r, cycle_of(r, 1 + tick));
        cr_expect_eq(out_of(r, 0), levels[tick], "OUT at tick %u", tick);
        cr_expect_eq(count_of(r, 0), counts[tick], "count at tick %u: %u", tick, count_of(r, 0));
    }
    rig_destroy(r);
}

/* A longer period written early in the machine's life, when its first cycle would have begun before tick 0. */
Test(pit, mode_3_takes_a_new_count_at_the_end_of_the_half_cycle)
{
    struct rig *r = rig_create();
    program(r, 0x36, 10);
    run_to(r, cycle_of(r, 3));
    out8(r, CHANNEL0, 0xe8);
    out8(r, CHANNEL0, 0x03);
    run_to(r, cycle_of(r, 1 + 5) - 1);
    cr_expect(out_of(r, 0), "high to the end of the old half");
    run_to(r, cycle_of(r, 1 + 5));
    cr_expect_not(out_of(r, 0));
    run_to(r, cycle_of(r, 1 + 5 + 500) - 1);
    cr_expect_not(out_of(r, 0), "a whole low half of the new count");
    run_to(r, cycle_of(r, 1 + 5 + 500));
    cr_expect(out_of(r, 0));
    rig_destroy(r);
}

Test(pit, mode_4_strobes_low_for_one_tick)
{
    struct rig *r = rig_create();
    program(r, 0x38, 7);
    run_to(r, cycle_of(r, 1 + 7) - 1);
    cr_expect(out_of(r, 0));
    run_to(r, cycle_of(r, 1 + 7));
    cr_expect_not(out_of(r, 0));
    run_to(r, cycle_of(r, 1 + 8));
    cr_expect(out_of(r, 0));
    cr_expect_eq(events_next(r->machine->events), CYCLE_NEVER, "and not again");
    rig_destroy(r);
}

Test(pit, mode_1_is_triggered_and_retriggered_by_the_gate)
{
    struct rig *r = rig_create();
    program(r, 0xb2, 100);
    run_to(r, cycle_of(r, 50));
    cr_expect(out_of(r, 2), "no trigger yet");
    out8(r, PORT61, 1);
    run_to(r, cycle_of(r, 51));
    cr_expect_not(out_of(r, 2));
    run_to(r, cycle_of(r, 100));
    out8(r, PORT61, 0);
    out8(r, PORT61, 1);
    cr_expect_not(out_of(r, 2), "a retriggered one-shot stays low");
    run_to(r, cycle_of(r, 101 + 98));
    cr_expect_not(out_of(r, 2));
    run_to(r, cycle_of(r, 101 + 100));
    cr_expect(out_of(r, 2));
    rig_destroy(r);
}

Test(pit, mode_5_waits_for_the_gate_and_strobes)
{
    struct rig *r = rig_create();
    program(r, 0xba, 10);
    run_to(r, cycle_of(r, 1000));
    cr_expect(out_of(r, 2));
    out8(r, PORT61, 1);
    run_to(r, cycle_of(r, 1001 + 10));
    cr_expect_not(out_of(r, 2));
    run_to(r, cycle_of(r, 1001 + 11));
    cr_expect(out_of(r, 2));
    rig_destroy(r);
}

/* As every calibration loop uses it: channel 2 in mode 0, gate up, poll port 61h bit 5. */
Test(pit, port_61_gates_channel_2_and_shows_its_out)
{
    struct rig *r = rig_create();
    out8(r, PORT61, 0);
    program(r, 0xb0, 1000);
    run_to(r, cycle_of(r, 5000));
    cr_expect_not(in8(r, PORT61) & 0x20, "the gate is low: nothing counts");
    out8(r, PORT61, 1);
    run_to(r, cycle_of(r, 5000 + 999));
    cr_expect_not(in8(r, PORT61) & 0x20);
    run_to(r, cycle_of(r, 5000 + 1000));
    cr_expect(in8(r, PORT61) & 0x20);
    cr_expect_eq(in8(r, PORT61) & 0x0f, 1);
    rig_destroy(r);
}

Test(pit, a_low_gate_holds_the_count_of_mode_0)
{
    struct rig *r = rig_create();
    out8(r, PORT61, 1);
    program(r, 0xb0, 1000);
    run_to(r, cycle_of(r, 1 + 400));
    out8(r, PORT61, 0);
    run_to(r, cycle_of(r, 9000));
    cr_expect_eq(count_of(r, 2), 600);
    out8(r, PORT61, 1);
    run_to(r, cycle_of(r, 9100));
    cr_expect_eq(count_of(r, 2), 500);
    rig_destroy(r);
}

Test(pit, a_low_gate_raises_out_of_mode_3_at_once_and_a_high_one_starts_anew)
{
    struct rig *r = rig_create();
    out8(r, PORT61, 1);
    program(r, 0xb6, 100);
    run_to(r, cycle_of(r, 1 + 70));
    cr_expect_not(out_of(r, 2));
    out8(r, PORT61, 0);
    cr_expect(out_of(r, 2));
    run_to(r, cycle_of(r, 1000));
    out8(r, PORT61, 1);
    run_to(r, cycle_of(r, 1001 + 49));
    cr_expect(out_of(r, 2));
    run_to(r, cycle_of(r, 1001 + 50));
    cr_expect_not(out_of(r, 2));
    rig_destroy(r);
}

Test(pit, count_0_means_65536)
{
    struct rig *r = rig_create();
    program(r, 0x34, 0);
    run_to(r, cycle_of(r, 1 + 65535));
    cr_expect_eq(r->rises[0], 0);
    run_to(r, cycle_of(r, 1 + 65536));
    cr_expect_eq(r->rises[0], 1);
    rig_destroy(r);
}

/* The sheet forbids a count of 1 in modes 2 and 3; here it is the nearest legal one. */
Test(pit, count_1_of_a_rate_generator_is_taken_as_2)
{
    struct rig *r = rig_create();
    program(r, 0x34, 1);
    run_to(r, cycle_of(r, 1 + 2000));
    cr_expect_eq(r->rises[0], 1000);
    rig_destroy(r);
}

Test(pit, a_bcd_counter_counts_in_decimal)
{
    struct rig *r = rig_create();
    program(r, 0x31, 0x1000);
    run_to(r, cycle_of(r, 1 + 1));
    cr_expect_eq(count_of(r, 0), 0x0999);
    run_to(r, cycle_of(r, 1 + 1000));
    cr_expect_eq(r->rises[0], 1);
    rig_destroy(r);
}

Test(pit, a_latched_count_stays_until_it_is_read)
{
    struct rig *r = rig_create();
    program(r, 0x34, 1000);
    run_to(r, cycle_of(r, 1 + 100));
    out8(r, CONTROL, 0x00);
    run_to(r, cycle_of(r, 1 + 200));
    out8(r, CONTROL, 0x00); /* a second latch command changes nothing */
    uint8_t low = in8(r, CHANNEL0);
    cr_expect_eq(in8(r, CHANNEL0) << 8 | low, 900);
    low = in8(r, CHANNEL0);
    cr_expect_eq(in8(r, CHANNEL0) << 8 | low, 800, "after it the counter itself is read");
    rig_destroy(r);
}

/* Read-Back Command: of both, status comes first; then the count. */
Test(pit, read_back_latches_status_and_count_together)
{
    struct rig *r = rig_create();
    program(r, 0x34, 1000);
    run_to(r, cycle_of(r, 1 + 100));
    out8(r, CONTROL, 0xc2);
    run_to(r, cycle_of(r, 1 + 200));
    cr_expect_eq(in8(r, CHANNEL0), 0xb4, "OUT high, loaded, two bytes, mode 2, binary");
    uint8_t low = in8(r, CHANNEL0);
    cr_expect_eq(in8(r, CHANNEL0) << 8 | low, 900);
    rig_destroy(r);
}

Test(pit, a_count_is_null_until_the_clk_pulse_that_loads_it)
{
    struct rig *r = rig_create();
    out8(r, CONTROL, 0x34);
    cr_expect(status_of(r, 0) & 0x40);
    program(r, 0x34, 1000);
    cr_expect(status_of(r, 0) & 0x40);
    run_to(r, cycle_of(r, 1));
    cr_expect_not(status_of(r, 0) & 0x40);
    rig_destroy(r);
}

/* Linux stops the timer so: mode 0 with count 0, then a control word without a count. */
Test(pit, a_control_word_without_a_count_stops_the_channel)
{
    struct rig *r = rig_create();
    program(r, 0x34, 100);
    program(r, 0x30, 0);
    out8(r, CONTROL, 0x30);
    cr_expect_eq(events_next(r->machine->events), CYCLE_NEVER);
    run_to(r, GHZ);
    cr_expect_eq(r->rises[0], 0);
    rig_destroy(r);
}

Test(pit, refresh_bit_toggles_every_18_ticks)
{
    struct rig *r = rig_create();
    run_to(r, cycle_of(r, 17));
    uint8_t before = in8(r, PORT61) & 0x10;
    run_to(r, cycle_of(r, 18));
    cr_expect_neq(in8(r, PORT61) & 0x10, before);
    rig_destroy(r);
}

/* Whatever a guest programs, a second of time costs at most two events for each tick and cycle. */
Test(pit, no_mode_and_count_floods_the_event_queue)
{
    static const uint16_t counts[] = {0, 1, 2, 3, 0xffff, 0xf};
    for (unsigned clock = 0; clock < 2; clock++) {
        struct rig *r = rig_create_with(clock == 0 ? MHZ : GHZ, NULL);
        uint64_t millisecond = r->machine->clock.hz / 1000;
        for (unsigned control = 0; control < 16; control++) {
            for (unsigned i = 0; i < ARRAY_COUNT(counts); i++) {
                program(r, (uint8_t)(0x30 | control), counts[i]);
                unsigned before = rig_seen(r, TRACE_ID_irq_line);
                run_for(r, millisecond);
                unsigned edges = rig_seen(r, TRACE_ID_irq_line) - before;
                cr_expect_leq(edges, 1195, "control %u count %u: %u edges in a millisecond", control, counts[i], edges);
            }
        }
        rig_destroy(r);
    }
}
