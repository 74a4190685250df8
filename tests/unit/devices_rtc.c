/* The MC146818 and CMOS memory: devices/rtc.c. */
#include <stdio.h>

#include "devices_fixture.h"

enum {
    SECOND = 0,
    SECOND_ALARM,
    MINUTE,
    MINUTE_ALARM,
    HOUR,
    HOUR_ALARM,
    WEEKDAY,
    DAY,
    MONTH,
    YEAR,
    A,
    B,
    C,
    D,
    CENTURY = 0x32
};
enum { SET = 0x80, PIE = 0x40, AIE = 0x20, UIE = 0x10, BINARY = 0x04, H24 = 0x02 };

static uint8_t get(struct rig *r, uint8_t index)
{
    out8(r, 0x70, index);
    return in8(r, 0x71);
}
static void set(struct rig *r, uint8_t index, uint8_t value)
{
    out8(r, 0x70, index);
    out8(r, 0x71, value);
}
static void expect_time(struct rig *r, const char *expected)
{
    char text[32];
    snprintf(text, sizeof text, "%02x%02x-%02x-%02x %02x:%02x:%02x day %x", get(r, CENTURY), get(r, YEAR), get(r, MONTH),
             get(r, DAY), get(r, HOUR), get(r, MINUTE), get(r, SECOND), get(r, WEEKDAY));
    cr_expect_str_eq(text, expected, "%s, not %s", text, expected);
}
static struct rig *starting_at(int64_t unix_seconds)
{
    struct rig *r = calloc(1, sizeof *r);
    struct platform_config config = rig_config(r);
    config.rtc_unix_seconds = unix_seconds;
    return rig_create_with(GHZ, &config);
}

Test(rtc, shows_the_configured_date_in_bcd_at_cycle_0)
{
    struct rig *r = rig_create();
    expect_time(r, "2026-01-01 00:00:00 day 5");
    rig_destroy(r);
}

Test(rtc, the_first_second_begins_after_exactly_one_second)
{
    struct rig *r = rig_create();
    run_to(r, GHZ - 1);
    expect_time(r, "2026-01-01 00:00:00 day 5");
    run_to(r, GHZ);
    expect_time(r, "2026-01-01 00:00:01 day 5");
    rig_destroy(r);
}

/* Calendar: leap years are those divisible by 4, not by 100 unless by 400. */
Test(rtc, february_has_29_days_in_leap_years_only)
{
    static const struct {
        int64_t start;
        const char *next;
    } cases[] = {{1709164799, "2024-02-29 00:00:00 day 5"}, {1677628799, "2023-03-01 00:00:00 day 4"},
                 {951782399, "2000-02-29 00:00:00 day 3"},  {4107542399, "2100-03-01 00:00:00 day 2"},
                 {1767225599, "2026-01-01 00:00:00 day 5"}, {-1, "1970-01-01 00:00:00 day 5"}};
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct rig *r = starting_at(cases[i].start);
        run_to(r, GHZ);
        expect_time(r, cases[i].next);
        rig_destroy(r);
    }
}

/* Every day from 1970 to 2199 follows the one before it by the calendar's rule. */
Test(rtc, each_day_of_two_centuries_follows_its_predecessor)
{
    static const uint8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    struct rig *r = starting_at(0);
    set(r, B, BINARY | H24);
    uint64_t day_cycles = 86400 * GHZ;
    unsigned day = 1, month = 1, year = 1970, weekday = 5;
    while (year < 2200) {
        bool right = get(r, DAY) == day && get(r, MONTH) == month && get(r, YEAR) == year % 100 &&
                     get(r, CENTURY) == year / 100 && get(r, WEEKDAY) == weekday;
        cr_assert(right, "%u-%u-%u", year, month, day);
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        weekday = weekday % 7 + 1;
        if (++day > lengths[month - 1] + (month == 2 && leap ? 1u : 0u)) {
            day = 1;
            month = month % 12 + 1;
            year += month == 1;
        }
        run_for(r, day_cycles);
    }
    rig_destroy(r);
}

Test(rtc, binary_mode_shows_numbers)
{
    struct rig *r = starting_at(1767225600 + 86399);
    set(r, B, BINARY | H24);
    cr_expect_eq(get(r, HOUR), 23);
    cr_expect_eq(get(r, SECOND), 59);
    cr_expect_eq(get(r, CENTURY), 20);
    rig_destroy(r);
}

/* 12-hour mode: midnight is 12 AM, noon is 12 PM (bit 7). */
Test(rtc, twelve_hour_mode_marks_the_afternoon)
{
    static const uint8_t expected[24] = {0x12, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x10, 0x11,
                                         0x92, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x90, 0x91};
    struct rig *r = rig_create();
    set(r, B, 0);
    for (unsigned hour = 0; hour < 24; hour++) {
        cr_expect_eq(get(r, HOUR), expected[hour], "hour %u: %02x", hour, get(r, HOUR));
        set(r, HOUR, expected[hour]);
        cr_expect_eq(get(r, HOUR), expected[hour]);
        run_for(r, 3600 * GHZ);
    }
    rig_destroy(r);
}

/* SET stops the updates; the new time goes on in the phase of the old seconds. */
Test(rtc, a_guest_sets_the_clock)
{
    struct rig *r = rig_create();
    run_to(r, GHZ / 4);
    set(r, B, SET | H24);
    static const uint8_t values[][2] = {{SECOND, 0x58}, {MINUTE, 0x59}, {HOUR, 0x23},    {DAY, 0x31},
                                        {MONTH, 0x12},  {YEAR, 0x99},   {CENTURY, 0x19}, {WEEKDAY, 0x06}};
    for (unsigned i = 0; i < ARRAY_COUNT(values); i++) {
        set(r, values[i][0], values[i][1]);
    }
    run_to(r, 10 * GHZ + GHZ / 4);
    expect_time(r, "1999-12-31 23:59:58 day 6");
    set(r, B, H24);
    run_to(r, 11 * GHZ);
    expect_time(r, "1999-12-31 23:59:59 day 6");
    run_to(r, 12 * GHZ);
    expect_time(r, "2000-01-01 00:00:00 day 7");
    cr_expect_eq((int64_t)rig_value(r, TRACE_ID_rtc_set, 0), 946684798);
    rig_destroy(r);
}

/* The chip counts the days of the week by themselves, from where the guest set them. */
Test(rtc, the_day_of_the_week_goes_on_from_what_was_written)
{
    struct rig *r = rig_create();
    set(r, WEEKDAY, 2);
    expect_time(r, "2026-01-01 00:00:00 day 2");
    run_to(r, 86400 * GHZ);
    expect_time(r, "2026-01-02 00:00:00 day 3");
    run_to(r, 6 * 86400 * GHZ);
    expect_time(r, "2026-01-07 00:00:00 day 1");
    rig_destroy(r);
}

/* Divider reset (A[6:5] = 11): "the first update occurs one-half second later". */
Test(rtc, the_first_update_after_a_divider_reset_comes_in_half_a_second)
{
    struct rig *r = rig_create();
    run_to(r, GHZ / 8);
    set(r, A, 0x66);
    run_to(r, 5 * GHZ);
    expect_time(r, "2026-01-01 00:00:00 day 5");
    set(r, A, 0x26);
    run_to(r, 5 * GHZ + GHZ / 2 - 1);
    expect_time(r, "2026-01-01 00:00:00 day 5");
    run_to(r, 5 * GHZ + GHZ / 2);
    expect_time(r, "2026-01-01 00:00:01 day 5");
    rig_destroy(r);
}

/* UIP: an update is at least 244 us away while it reads 0. */
Test(rtc, update_in_progress_shows_244_us_before_the_second)
{
    struct rig *r = rig_create();
    run_to(r, GHZ - 250000);
    cr_expect_eq(get(r, A), 0x26);
    run_to(r, GHZ - 244000);
    cr_expect_eq(get(r, A), 0xa6);
    run_to(r, GHZ);
    cr_expect_eq(get(r, A), 0x26);
    rig_destroy(r);
}

/* Rates of the 32 768 Hz crystal, table 5. */
Test(rtc, periodic_interrupts_come_at_the_selected_rate)
{
    static const unsigned hz[16] = {0, 256, 128, 8192, 4096, 2048, 1024, 512, 256, 128, 64, 32, 16, 8, 4, 2};
    for (uint8_t rate = 0; rate < 16; rate++) {
        struct rig *r = rig_create();
        set(r, A, 0x20 | rate);
        set(r, B, PIE | H24);
        uint64_t cycle = 0;
        while (cycle < GHZ) { /* a guest that serves each interrupt at once */
            uint64_t next = events_next(r->machine->events);
            cycle = next < GHZ ? next : GHZ;
            run_to(r, cycle);
            get(r, C);
        }
        cr_expect_eq(r->rises[8], hz[rate], "rate %u: %u in a second", rate, r->rises[8]);
        rig_destroy(r);
    }
}

Test(rtc, no_second_interrupt_before_register_c_is_read)
{
    struct rig *r = rig_create();
    set(r, A, 0x23);
    set(r, B, PIE | UIE | AIE | H24);
    run_to(r, 100 * GHZ);
    cr_expect_eq(r->rises[8], 1);
    cr_expect_eq(events_next(r->machine->events), CYCLE_NEVER);
    rig_destroy(r);
}

Test(rtc, register_c_tells_the_cause_and_clears_when_read)
{
    struct rig *r = rig_create();
    set(r, A, 0x20);
    get(r, C);
    set(r, B, UIE | H24);
    run_to(r, GHZ);
    cr_expect(r->level[8]);
    cr_expect_eq(get(r, C) & 0xd0, 0x90, "IRQF and UF");
    cr_expect_not(r->level[8]);
    cr_expect_eq(get(r, C), 0);
    rig_destroy(r);
}

Test(rtc, flags_rise_without_their_enables)
{
    struct rig *r = rig_create();
    run_to(r, 2 * GHZ);
    cr_expect_eq(get(r, C), 0x50, "PF and UF; the alarm bytes say midnight");
    for (uint8_t alarm = SECOND_ALARM; alarm <= HOUR_ALARM; alarm += 2) {
        set(r, alarm, 0xff);
    }
    run_to(r, 3 * GHZ);
    cr_expect_eq(get(r, C), 0x70, "and AF");
    cr_expect_eq(r->rises[8], 0);
    rig_destroy(r);
}

static void alarm_case(uint8_t hour, uint8_t minute, uint8_t second, uint64_t expected_second)
{
    struct rig *r = rig_create();
    set(r, HOUR_ALARM, hour);
    set(r, MINUTE_ALARM, minute);
    set(r, SECOND_ALARM, second);
    set(r, B, AIE | H24);
    run_to(r, 86400 * GHZ);
    if (expected_second == 0) {
        cr_expect_eq(r->rises[8], 0, "%02x:%02x:%02x", hour, minute, second);
    } else {
        cr_expect_eq(r->rise_cycle[8], expected_second * GHZ, "%02x:%02x:%02x", hour, minute, second);
    }
    rig_destroy(r);
}

Test(rtc, alarms_match_time_with_wildcards)
{
    alarm_case(0x13, 0x14, 0x15, 13 * 3600 + 14 * 60 + 15);
    alarm_case(0xff, 0x14, 0x15, 14 * 60 + 15);
    alarm_case(0xc0, 0xff, 0x59, 59);
    alarm_case(0xff, 0xff, 0xff, 1);
    alarm_case(0x05, 0xff, 0xff, 5 * 3600);
    alarm_case(0x00, 0x00, 0x00, 86400);
}

Test(rtc, an_alarm_that_is_no_time_never_rings)
{
    alarm_case(0x24, 0x00, 0x00, 0);
    alarm_case(0x01, 0x60, 0x00, 0);
    alarm_case(0x01, 0x00, 0x0a, 0);
}

/* "SET being set clears UIE." */
Test(rtc, set_clears_the_update_interrupt_enable)
{
    struct rig *r = rig_create();
    set(r, B, SET | UIE | H24);
    cr_expect_eq(get(r, B), SET | H24);
    rig_destroy(r);
}

Test(rtc, a_reset_of_the_machine_keeps_time_and_memory_but_no_enables)
{
    struct rig *r = rig_create();
    set(r, 0x40, 0x5a);
    set(r, B, PIE | AIE | UIE | H24);
    run_to(r, 7 * GHZ);
    platform_reset(r->platform);
    expect_time(r, "2026-01-01 00:00:07 day 5");
    cr_expect_eq(get(r, 0x40), 0x5a);
    cr_expect_eq(get(r, B), H24);
    cr_expect_not(r->level[8]);
    rig_destroy(r);
}

Test(rtc, index_keeps_seven_bits_and_cannot_be_read)
{
    struct rig *r = rig_create();
    set(r, 0x40, 0x77);
    out8(r, 0x70, 0xc0); /* bit 7 masks NMI */
    cr_expect_eq(in8(r, 0x71), 0x77);
    cr_expect_eq(in8(r, 0x70), 0xff);
    rig_destroy(r);
}

Test(rtc, cmos_tells_firmware_how_much_memory_there_is)
{
    struct rig *r = calloc(1, sizeof *r);
    struct platform_config config = rig_config(r);
    config.ram_bytes = 5ULL << 30;
    config.vps = 4;
    r = rig_create_with(GHZ, &config);
    cr_expect_eq(get(r, 0x16) << 8 | get(r, 0x15), 640);
    cr_expect_eq(get(r, 0x18) << 8 | get(r, 0x17), 0xffff, "more KiB above 1 MiB than fit");
    cr_expect_eq(get(r, 0x31) << 8 | get(r, 0x30), 0xffff);
    cr_expect_eq((get(r, 0x35) << 8 | get(r, 0x34)) * 65536ULL + (16 << 20), MEMORY_HOLE_GPA);
    cr_expect_eq((get(r, 0x5d) << 16 | get(r, 0x5c) << 8 | get(r, 0x5b)) * 65536ULL, 2ULL << 30, "above 4 GiB");
    cr_expect_eq(get(r, 0x5f), 3);
    unsigned sum = 0;
    for (uint8_t i = 0x10; i <= 0x2d; i++) {
        sum += get(r, i);
    }
    cr_expect_eq((unsigned)get(r, 0x2e) << 8 | get(r, 0x2f), sum);
    rig_destroy(r);
}
