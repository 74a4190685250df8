/* Power, resets, debug ports, and ports where nobody is: devices/pm.c, kbc.c, debug.c. */
#include "devices_fixture.h"

#define PM_HZ 3579545ULL
enum { PM1_STATUS = 0x600, PM1_ENABLE = 0x602, PM1_CONTROL = 0x604, PM_TIMER = 0x608 };

static uint32_t in(struct rig *r, uint16_t port, unsigned bytes)
{
    return ports_in(r->machine->ports, port, bytes);
}
static void out(struct rig *r, uint16_t port, unsigned bytes, uint32_t value)
{
    ports_out(r->machine->ports, port, bytes, value);
}

/* ACPI 6.3 §4.8.3.3: 3.579545 MHz, 32 bits. */
Test(pm, timer_counts_at_its_rate_without_drift)
{
    struct rig *r = rig_create();
    run_to(r, GHZ);
    cr_expect_eq(in(r, PM_TIMER, 4), PM_HZ);
    run_to(r, 3600 * GHZ);
    cr_expect_eq(in(r, PM_TIMER, 4), (uint32_t)(3600 * PM_HZ));
    cr_expect_eq(in(r, PM_TIMER + 1, 2), (uint32_t)(3600 * PM_HZ) >> 8 & 0xffff, "any part of it");
    rig_destroy(r);
}

/* §4.8.3.1.1: TMR_STS is set whenever the timer's highest bit changes, also without TMR_EN. */
Test(pm, timer_status_follows_the_carry)
{
    struct rig *r = rig_create();
    uint64_t carry = clock_cycle_of_ticks(&r->machine->clock, 1ULL << 31, PM_HZ);
    run_to(r, carry - 1);
    cr_expect_eq(in(r, PM1_STATUS, 2), 0);
    run_to(r, carry);
    cr_expect_eq(in(r, PM1_STATUS, 2), 1);
    cr_expect_not(r->level[9]);
    out(r, PM1_ENABLE, 2, 1);
    cr_expect(r->level[9], "SCI is status AND enable");
    out(r, PM1_STATUS, 2, 1);
    cr_expect_not(r->level[9], "writing 1 clears");
    run_to(r, 2 * carry);
    cr_expect(r->level[9]);
    cr_expect_eq(events_next(r->machine->events), CYCLE_NEVER, "no event until the status is cleared");
    rig_destroy(r);
}

/* §4.8.3.1.1: RTC_STS, set by the RTC's interrupt; enabling an event must stick, or the system reports broken hardware. */
Test(pm, the_rtc_interrupt_sets_rtc_status)
{
    struct rig *r = rig_create();
    out8(r, 0x70, 0x0b);
    out8(r, 0x71, 0x12); /* update-ended interrupt */
    run_to(r, GHZ);
    cr_expect_eq(in(r, PM1_STATUS, 2), 1 << 10);
    cr_expect_not(r->level[9]);
    out(r, PM1_ENABLE, 2, 1 << 10);
    cr_expect_eq(in(r, PM1_ENABLE, 2), 1 << 10);
    cr_expect(r->level[9]);
    out(r, PM1_STATUS, 2, 1 << 10);
    cr_expect_not(r->level[9]);
    rig_destroy(r);
}

Test(pm, registers_take_bytes_words_and_dwords)
{
    struct rig *r = rig_create();
    out(r, PM1_STATUS, 4, 0xffff0000);
    cr_expect_eq(in(r, PM1_STATUS, 4), 0x04210000, "TMR_EN, GBL_EN and RTC_EN");
    out(r, PM1_ENABLE, 1, 0x01);
    cr_expect_eq(in(r, PM1_ENABLE, 2), 0x0401, "the other byte stays");
    out(r, PM1_CONTROL + 1, 1, 0x14);
    cr_expect_eq(in(r, PM1_CONTROL, 2), 0x1401, "SCI_EN reads 1");
    cr_expect_eq(in(r, PM1_CONTROL + 1, 1), 0x14);
    rig_destroy(r);
}

/* Linux writes SLP_TYP alone first, then again with SLP_EN. */
Test(pm, s5_needs_slp_en)
{
    struct rig *r = rig_create();
    out(r, PM1_CONTROL, 2, 0x1400);
    cr_expect_eq(r->machine->end, END_NONE);
    out(r, PM1_CONTROL, 2, 0x3400);
    cr_expect_eq(r->machine->end, END_POWEROFF);
    rig_destroy(r);
}

Test(pm, other_sleep_types_do_nothing)
{
    struct rig *r = rig_create();
    for (uint32_t type = 0; type < 8; type++) {
        if (type != 5) {
            out(r, PM1_CONTROL, 2, 0x2000 | type << 10);
            out(r, 0x60c, 1, 0x20 | type << 2);
        }
    }
    cr_expect_eq(r->machine->end, END_NONE);
    cr_expect_eq(in(r, PM1_CONTROL, 2) & 0x2000, 0, "SLP_EN reads 0");
    rig_destroy(r);
}

/* §4.8.3.7: the sleep control register of hardware-reduced systems. */
Test(pm, sleep_control_register_powers_off)
{
    struct rig *r = rig_create();
    out(r, 0x60d, 1, 0x80);
    out(r, 0x60c, 1, 0x34);
    cr_expect_eq(r->machine->end, END_POWEROFF);
    rig_destroy(r);
}

Test(pm, the_reset_register_resets)
{
    struct rig *r = rig_create();
    out8(r, 0xcf9, 0x02);
    cr_expect_eq(r->machine->end, END_NONE);
    cr_expect_eq(in8(r, 0xcf9), 0x02);
    out8(r, 0xcf9, 0x06);
    cr_expect_eq(r->machine->end, END_RESET);
    rig_destroy(r);
}

/* A probe for PCI writes configuration addresses whose second byte would be a reset. */
Test(pm, a_pci_configuration_address_is_not_a_reset)
{
    struct rig *r = rig_create();
    out8(r, 0xcfb, 0x01);
    out(r, 0xcf8, 4, 0x8000ff04);
    cr_expect_eq(r->machine->end, END_NONE);
    cr_expect_eq(in(r, 0xcf8, 4), 0xffffffff);
    cr_expect_eq(in(r, 0xcfc, 4), 0xffffffff);
    cr_expect_eq(in(r, 0xcf8, 2), 0xffff);
    rig_destroy(r);
}

Test(kbc, pulse_fe_resets)
{
    struct rig *r = rig_create();
    out8(r, 0x64, 0xff);
    cr_expect_eq(r->machine->end, END_NONE, "FFh pulses nothing");
    out8(r, 0x64, 0xfe);
    cr_expect_eq(r->machine->end, END_RESET);
    rig_destroy(r);
}

Test(kbc, self_test_answers_55_and_sets_the_system_flag)
{
    struct rig *r = rig_create();
    cr_expect_eq(in8(r, 0x64), 0x10);
    out8(r, 0x64, 0xaa);
    cr_expect_eq(in8(r, 0x64), 0x1d);
    cr_expect_eq(in8(r, 0x60), 0x55);
    cr_expect_eq(in8(r, 0x64), 0x1c);
    rig_destroy(r);
}

Test(kbc, no_keyboard_answers)
{
    struct rig *r = rig_create();
    out8(r, 0x60, 0xff);
    cr_expect_eq(in8(r, 0x64), 0x51, "time-out");
    cr_expect_eq(in8(r, 0x60), 0xfe);
    cr_expect_eq(r->rises[1], 0);
    rig_destroy(r);
}

Test(kbc, configuration_byte_reads_back_and_enables_irq_1)
{
    struct rig *r = rig_create();
    out8(r, 0x64, 0x60);
    out8(r, 0x60, 0x45);
    out8(r, 0x64, 0x20);
    cr_expect(r->level[1]);
    cr_expect_eq(in8(r, 0x60), 0x45);
    cr_expect_not(r->level[1]);
    rig_destroy(r);
}

Test(kbc, output_port_moves_a20_and_reads_back)
{
    struct rig *r = rig_create();
    out8(r, 0x64, 0xd1);
    out8(r, 0x60, 0xdd);
    cr_expect_eq(rig_seen(r, TRACE_ID_a20), 1);
    cr_expect_eq(rig_value(r, TRACE_ID_a20, 0), 0, "closed");
    out8(r, 0x64, 0xd0);
    cr_expect_eq(in8(r, 0x60), 0xcd);
    out8(r, 0x92, 0x02);
    cr_expect_eq(rig_value(r, TRACE_ID_a20, 0), 1, "port 92h opens it too");
    out8(r, 0x64, 0xd1);
    out8(r, 0x60, 0xdf);
    out8(r, 0x92, 0x00);
    cr_expect_eq(rig_seen(r, TRACE_ID_a20), 2, "open while one of the two opens it");
    rig_destroy(r);
}

Test(kbc, output_port_bit_0_low_resets)
{
    struct rig *r = rig_create();
    out8(r, 0x64, 0xd1);
    out8(r, 0x60, 0xde);
    cr_expect_eq(r->machine->end, END_RESET);
    rig_destroy(r);
}

Test(kbc, port_92_bit_0_resets)
{
    struct rig *r = rig_create();
    out8(r, 0x92, 0x02);
    cr_expect_eq(r->machine->end, END_NONE);
    cr_expect_eq(in8(r, 0x92), 0x02);
    out8(r, 0x92, 0x03);
    cr_expect_eq(r->machine->end, END_RESET);
    rig_destroy(r);
}

Test(debug, exit_reports_the_value_as_written)
{
    static const struct {
        unsigned bytes;
        uint32_t value;
    } cases[] = {{1, 0x10}, {2, 0x1234}, {4, 0xdeadbeef}, {1, 0}};
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct rig *r = rig_create();
        out(r, 0xf4, cases[i].bytes, cases[i].value);
        cr_expect_eq(r->machine->end, END_DEBUG_EXIT);
        cr_expect_eq(r->machine->end_code, cases[i].value);
        rig_destroy(r);
    }
}

Test(debug, consoles_print_and_answer_e9)
{
    struct rig *r = rig_create();
    cr_expect_eq(in8(r, 0xe9), 0xe9);
    cr_expect_eq(in8(r, 0x402), 0xe9);
    out8(r, 0xe9, 'h');
    out8(r, 0x402, 'i');
    cr_expect_str_eq(r->console, "hi");
    rig_destroy(r);
}

Test(platform, ports_where_nobody_is_read_all_ones)
{
    struct rig *r = rig_create();
    static const uint16_t nobody[] = {0x80, 0xcfc, 0x3c0, 0x3da, 0x1f7, 0x2e0, 0xed};
    for (unsigned i = 0; i < ARRAY_COUNT(nobody); i++) {
        out8(r, nobody[i], 0);
        cr_expect_eq(in8(r, nobody[i]), 0xff, "port %x", nobody[i]);
    }
    rig_destroy(r);
}
