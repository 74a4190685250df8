/* The 8259A pair: devices/pic.c. Intel 8259A data sheet. Lines are driven by the PIT (0), the RTC (8) and UARTs (3, 4). */
#include "devices_fixture.h"

enum { MASTER = 0x20, SLAVE = 0xa0, EOI = 0x20, READ_IRR = 0x0a, READ_ISR = 0x0b, POLL = 0x0c };

static void initialise_with(struct rig *r, uint8_t icw1, uint8_t icw4)
{
    static const uint8_t icw[2][2] = {{0x30, 0x04}, {0x38, 0x02}};
    for (unsigned i = 0; i < 2; i++) {
        uint16_t port = i == 0 ? MASTER : SLAVE;
        out8(r, port, icw1);
        out8(r, port + 1, icw[i][0]);
        out8(r, port + 1, icw[i][1]);
        out8(r, port + 1, icw4);
    }
}
static struct rig *initialised(void)
{
    struct rig *r = rig_create();
    initialise_with(r, 0x11, 0x01);
    return r;
}
static uint8_t irr(struct rig *r, uint16_t chip)
{
    out8(r, chip, READ_IRR);
    return in8(r, chip);
}
static uint8_t isr(struct rig *r, uint16_t chip)
{
    out8(r, chip, READ_ISR);
    return in8(r, chip);
}
static uint8_t acknowledge(struct rig *r)
{
    return platform_extint_acknowledge(r->platform);
}
/* An edge on line 0: mode 0 of the PIT lowers OUT, its count of 1 raises it. */
static void edge_of_irq0(struct rig *r)
{
    out8(r, 0x43, 0x10);
    out8(r, 0x40, 1);
    run_for(r, 10000);
}
/* A UART whose transmitter interrupt is enabled holds its line high; without OUT2 it is low. */
static void uart_line(struct rig *r, uint16_t base, bool high)
{
    out8(r, base + 1, high ? 0x02 : 0x00);
    out8(r, base + 4, high ? 0x08 : 0x00);
}
static void irq4(struct rig *r, bool high)
{
    uart_line(r, 0x3f8, high);
}
static void irq3(struct rig *r, bool high)
{
    uart_line(r, 0x2f8, high);
}
/* The RTC's periodic interrupt at 8 192 Hz; reading register C lowers the line. */
static void irq8(struct rig *r, bool high)
{
    out8(r, 0x70, 0x0a);
    out8(r, 0x71, 0x23);
    out8(r, 0x70, 0x0b);
    out8(r, 0x71, high ? 0x42 : 0x02);
    run_for(r, high ? 1000000 : 0);
    out8(r, 0x70, 0x0c);
    if (!high) {
        in8(r, 0x71);
    }
}

Test(pic, mask_registers_read_back)
{
    struct rig *r = initialised();
    out8(r, MASTER + 1, 0xfb);
    out8(r, SLAVE + 1, 0xa5);
    cr_expect_eq(in8(r, MASTER + 1), 0xfb);
    cr_expect_eq(in8(r, SLAVE + 1), 0xa5);
    rig_destroy(r);
}

Test(pic, before_icw1_nothing_is_requested)
{
    struct rig *r = rig_create();
    irq4(r, true);
    cr_expect_eq(in8(r, MASTER + 1), 0xff);
    cr_expect_eq(acknowledge(r) & 7, 7, "spurious");
    rig_destroy(r);
}

/* ICW2 gives the vector's upper five bits, the input the lower three. */
Test(pic, acknowledge_answers_base_and_input)
{
    struct rig *r = initialised();
    irq4(r, true);
    cr_expect_eq(irr(r, MASTER), 0x10);
    cr_expect_eq(acknowledge(r), 0x34);
    cr_expect_eq(irr(r, MASTER), 0, "the edge is used up");
    cr_expect_eq(isr(r, MASTER), 0x10);
    rig_destroy(r);
}

Test(pic, slave_requests_pass_through_input_2)
{
    struct rig *r = initialised();
    irq8(r, true);
    cr_expect_eq(irr(r, MASTER), 0x04);
    cr_expect_eq(acknowledge(r), 0x38);
    cr_expect_eq(isr(r, MASTER), 0x04);
    cr_expect_eq(isr(r, SLAVE), 0x01);
    rig_destroy(r);
}

Test(pic, a_masked_input_waits)
{
    struct rig *r = initialised();
    out8(r, MASTER + 1, 0x10);
    irq4(r, true);
    cr_expect_eq(acknowledge(r), 0x37, "spurious: input 7");
    cr_expect_eq(isr(r, MASTER), 0, "a spurious interrupt is not in service");
    out8(r, MASTER + 1, 0x00);
    cr_expect_eq(acknowledge(r), 0x34);
    rig_destroy(r);
}

/* "The IR inputs must remain high until after the falling edge of the first INTA." */
Test(pic, an_input_that_falls_before_the_acknowledge_withdraws_its_request)
{
    struct rig *r = initialised();
    irq4(r, true);
    irq4(r, false);
    cr_expect_eq(irr(r, MASTER), 0);
    cr_expect_eq(acknowledge(r), 0x37);
    rig_destroy(r);
}

Test(pic, an_edge_asks_once)
{
    struct rig *r = initialised();
    irq4(r, true);
    acknowledge(r);
    out8(r, MASTER, EOI);
    cr_expect_eq(acknowledge(r), 0x37, "still high, but no new edge");
    rig_destroy(r);
}

/* Fully nested mode: input 0 is the highest; a level in service holds back itself and those below. */
Test(pic, a_higher_input_interrupts_a_lower_one_in_service)
{
    struct rig *r = initialised();
    irq4(r, true);
    acknowledge(r);
    edge_of_irq0(r);
    cr_expect_eq(acknowledge(r), 0x30);
    cr_expect_eq(isr(r, MASTER), 0x11);
    rig_destroy(r);
}

Test(pic, a_lower_input_waits_for_the_eoi_of_a_higher_one)
{
    struct rig *r = initialised();
    irq3(r, true);
    acknowledge(r);
    irq4(r, true);
    cr_expect_eq(acknowledge(r), 0x37);
    out8(r, MASTER, EOI);
    cr_expect_eq(acknowledge(r), 0x34);
    rig_destroy(r);
}

Test(pic, a_non_specific_eoi_ends_the_highest_in_service)
{
    struct rig *r = initialised();
    irq4(r, true);
    acknowledge(r);
    edge_of_irq0(r);
    acknowledge(r);
    out8(r, MASTER, EOI);
    cr_expect_eq(isr(r, MASTER), 0x10);
    rig_destroy(r);
}

Test(pic, a_specific_eoi_ends_the_level_it_names)
{
    struct rig *r = initialised();
    irq4(r, true);
    acknowledge(r);
    edge_of_irq0(r);
    acknowledge(r);
    out8(r, MASTER, 0x64);
    cr_expect_eq(isr(r, MASTER), 0x01);
    rig_destroy(r);
}

/* OCW2 set priority: input 3 becomes the lowest, so input 4 is the highest. */
Test(pic, set_priority_turns_the_ring)
{
    struct rig *r = initialised();
    out8(r, MASTER, 0xc3);
    irq3(r, true);
    irq4(r, true);
    cr_expect_eq(acknowledge(r), 0x34);
    out8(r, MASTER, EOI);
    cr_expect_eq(acknowledge(r), 0x33);
    rig_destroy(r);
}

Test(pic, rotate_on_eoi_makes_the_served_level_the_lowest)
{
    struct rig *r = initialised();
    irq3(r, true);
    acknowledge(r);
    out8(r, MASTER, 0xa0);
    irq3(r, false);
    irq3(r, true);
    irq4(r, true);
    cr_expect_eq(acknowledge(r), 0x34);
    rig_destroy(r);
}

Test(pic, auto_eoi_leaves_nothing_in_service)
{
    struct rig *r = rig_create();
    initialise_with(r, 0x11, 0x03);
    irq4(r, true);
    cr_expect_eq(acknowledge(r), 0x34);
    cr_expect_eq(isr(r, MASTER), 0);
    rig_destroy(r);
}

/* Special mask mode: a level that is masked while in service holds back nobody. */
Test(pic, special_mask_mode_lets_lower_levels_through)
{
    struct rig *r = initialised();
    irq3(r, true);
    acknowledge(r);
    irq4(r, true);
    out8(r, MASTER, 0x68);
    cr_expect_eq(acknowledge(r), 0x37, "not masked yet");
    out8(r, MASTER + 1, 0x08);
    cr_expect_eq(acknowledge(r), 0x34);
    rig_destroy(r);
}

/* The PM timer's SCI, line 9, by the RTC: an update sets RTC_STS. */
static void irq9(struct rig *r)
{
    ports_out(r->machine->ports, 0x602, 2, 0x0400);
}

/* "Special fully nested mode": the slave interrupts its own service at the master. */
Test(pic, special_fully_nested_master_lets_the_slave_interrupt_itself)
{
    for (unsigned nested = 0; nested < 2; nested++) {
        struct rig *r = rig_create();
        initialise_with(r, 0x11, nested ? 0x11 : 0x01);
        irq8(r, true);
        irq9(r);
        out8(r, SLAVE + 1, 0x01);
        cr_expect_eq(acknowledge(r), 0x39);
        out8(r, SLAVE + 1, 0x00);
        cr_expect_eq(acknowledge(r), nested ? 0x38 : 0x37, "line 8 is above line 9");
        rig_destroy(r);
    }
}

/* The slave drops INT during the acknowledge, so that its next request is an edge at the master. */
Test(pic, two_requests_of_the_slave_are_two_edges_at_the_master)
{
    struct rig *r = rig_create();
    initialise_with(r, 0x11, 0x03);
    irq8(r, true);
    irq9(r);
    cr_expect_eq(acknowledge(r), 0x38);
    cr_expect_eq(acknowledge(r), 0x39);
    cr_expect_eq(acknowledge(r), 0x37);
    rig_destroy(r);
}

Test(pic, rotate_in_auto_eoi_makes_the_served_level_the_lowest)
{
    for (unsigned rotate = 0; rotate < 2; rotate++) {
        struct rig *r = rig_create();
        initialise_with(r, 0x11, 0x03);
        out8(r, MASTER, rotate ? 0x80 : 0x00);
        irq3(r, true);
        acknowledge(r);
        irq3(r, false);
        irq3(r, true);
        irq4(r, true);
        cr_expect_eq(acknowledge(r), rotate ? 0x34 : 0x33);
        rig_destroy(r);
    }
}

Test(pic, a_poll_is_an_acknowledge_by_reading)
{
    struct rig *r = initialised();
    irq4(r, true);
    out8(r, MASTER, POLL);
    cr_expect_eq(in8(r, MASTER), 0x84);
    cr_expect_eq(isr(r, MASTER), 0x10);
    out8(r, MASTER, POLL);
    cr_expect_eq(in8(r, MASTER), 0x00, "nothing more is requested");
    rig_destroy(r);
}

/* ELCR: a level-triggered input asks as long as it is high. */
Test(pic, a_level_triggered_input_asks_again_after_eoi)
{
    struct rig *r = initialised();
    out8(r, 0x4d0, 0x10);
    irq4(r, true);
    cr_expect_eq(acknowledge(r), 0x34);
    cr_expect_eq(irr(r, MASTER), 0x10);
    out8(r, MASTER, EOI);
    cr_expect_eq(acknowledge(r), 0x34);
    irq4(r, false);
    out8(r, MASTER, EOI);
    cr_expect_eq(acknowledge(r), 0x37);
    rig_destroy(r);
}

Test(pic, elcr_keeps_only_lines_that_may_be_levels)
{
    struct rig *r = initialised();
    out8(r, 0x4d0, 0xff);
    out8(r, 0x4d1, 0xff);
    cr_expect_eq(in8(r, 0x4d0), 0xf8);
    cr_expect_eq(in8(r, 0x4d1), 0xde);
    rig_destroy(r);
}

/* ICW1 clears the mask and the request latches: an input that is high must fall and rise again. */
Test(pic, icw1_starts_edge_sensing_anew)
{
    struct rig *r = initialised();
    irq4(r, true);
    initialise_with(r, 0x11, 0x01);
    cr_expect_eq(irr(r, MASTER), 0);
    irq4(r, false);
    irq4(r, true);
    cr_expect_eq(irr(r, MASTER), 0x10);
    rig_destroy(r);
}

/* COM1 and COM3 share line 4: it is high while one of them drives it. */
Test(pic, a_shared_line_is_the_or_of_its_sources)
{
    struct rig *r = initialised();
    uart_line(r, 0x3f8, true);
    uart_line(r, 0x3e8, true);
    cr_expect_eq(r->rises[4], 1);
    uart_line(r, 0x3f8, false);
    cr_expect(r->level[4]);
    uart_line(r, 0x3e8, false);
    cr_expect_not(r->level[4]);
    rig_destroy(r);
}
