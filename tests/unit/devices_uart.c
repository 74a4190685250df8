/* The 16550A UARTs: devices/uart.c. PC16550D data sheet. */
#include "devices_fixture.h"

enum { COM1 = 0x3f8, DATA = 0, IER, IIR, LCR, MCR, LSR, MSR, SCRATCH, FCR = IIR, DLL = 0, DLM = 1 };
enum { OUT2 = 0x08, LOOP = 0x10, RX = 0x01, THRE = 0x02, LINE = 0x04, MODEM = 0x08 };

static uint8_t get(struct rig *r, unsigned reg)
{
    return in8(r, (uint16_t)(COM1 + reg));
}
static void set(struct rig *r, unsigned reg, uint8_t value)
{
    out8(r, (uint16_t)(COM1 + reg), value);
}
/* 115 200 baud, 8 data bits, no parity, one stop bit: a frame takes 10 / 115 200 s, in cycles rounded up. */
static const uint64_t frame = 86806;
static struct rig *at_115200_8n1(uint8_t fcr)
{
    struct rig *r = rig_create();
    set(r, LCR, 0x83);
    set(r, DLL, 1);
    set(r, DLM, 0);
    set(r, LCR, 0x03);
    set(r, FCR, fcr);
    set(r, MCR, OUT2);
    return r;
}
static void type(struct rig *r, const char *text)
{
    cr_assert(platform_console_input(r->platform, 0, (const uint8_t *)text, strlen(text)));
}

/* Linux autoconfig(): each port must answer so, or it is not found or is taken for a lesser chip. */
Test(uart, all_four_ports_pass_the_probe_of_linux)
{
    static const uint16_t bases[] = {0x3f8, 0x2f8, 0x3e8, 0x2e8};
    struct rig *r = rig_create();
    for (unsigned i = 0; i < 4; i++) {
        out8(r, bases[i] + IER, 0x00);
        cr_expect_eq(in8(r, bases[i] + IER) & 0x0f, 0x00);
        out8(r, bases[i] + IER, 0xff);
        cr_expect_eq(in8(r, bases[i] + IER), 0x0f);
        out8(r, bases[i] + IER, 0x00);
        out8(r, bases[i] + LCR, 0xbf);
        out8(r, bases[i] + FCR, 0x00);
        out8(r, bases[i] + LCR, 0x00);
        out8(r, bases[i] + FCR, 0x01);
        cr_expect_eq(in8(r, bases[i] + IIR) >> 6, 3, "16550A: FIFOs work");
        out8(r, bases[i] + SCRATCH, 0xa5);
        cr_expect_eq(in8(r, bases[i] + SCRATCH), 0xa5);
        out8(r, bases[i] + MCR, LOOP | 0x0a);
        cr_expect_eq(in8(r, bases[i] + MSR) & 0xf0, 0x90, "loopback: RTS is CTS, OUT2 is DCD");
    }
    rig_destroy(r);
}

Test(uart, a_written_byte_leaves_at_once)
{
    struct rig *r = at_115200_8n1(0);
    set(r, DATA, 'A');
    cr_expect_str_eq(r->console, "A");
    cr_expect_eq(get(r, LSR), 0x60, "THRE and TEMT");
    rig_destroy(r);
}

/* §8.6.4 and Linux's test: enabling ETBEI while THR is empty asks each time; reading IIR answers. */
Test(uart, enabling_the_transmitter_interrupt_asks_each_time)
{
    struct rig *r = at_115200_8n1(0);
    for (unsigned i = 0; i < 3; i++) {
        set(r, IER, THRE);
        cr_expect_eq(get(r, IIR), 0x02);
        cr_expect_eq(get(r, IIR), 0x01, "reading IIR clears it");
        set(r, IER, 0);
    }
    rig_destroy(r);
}

/* IRQ 4 is an edge: a write must lower the line and raise it again, also when IIR was never read. */
Test(uart, each_write_gives_a_new_edge)
{
    struct rig *r = at_115200_8n1(0);
    set(r, IER, THRE);
    cr_expect_eq(r->rises[4], 1);
    set(r, DATA, 'a');
    set(r, DATA, 'b');
    cr_expect_eq(r->rises[4], 3);
    get(r, IIR);
    cr_expect_not(r->level[4]);
    rig_destroy(r);
}

Test(uart, out2_and_loopback_gate_the_line)
{
    struct rig *r = at_115200_8n1(0);
    set(r, MCR, 0);
    set(r, IER, THRE);
    cr_expect_not(r->level[4]);
    set(r, MCR, OUT2);
    cr_expect(r->level[4]);
    set(r, MCR, OUT2 | LOOP);
    cr_expect_not(r->level[4]);
    rig_destroy(r);
}

Test(uart, input_arrives_one_frame_after_the_other)
{
    struct rig *r = at_115200_8n1(0x01);
    type(r, "xyz");
    run_to(r, frame - 1);
    cr_expect_eq(get(r, LSR) & 1, 0);
    run_to(r, frame);
    cr_expect_eq(get(r, LSR) & 1, 1);
    cr_expect_eq(get(r, DATA), 'x');
    cr_expect_eq(get(r, LSR) & 1, 0);
    run_to(r, 3 * frame);
    cr_expect_eq(get(r, DATA), 'y');
    cr_expect_eq(get(r, DATA), 'z');
    cr_expect_eq(get(r, DATA), 0, "empty");
    rig_destroy(r);
}

/* Frame length: start, data, parity and stop bits, at divisor x 16 / 1 843 200 s a bit. */
Test(uart, a_frame_takes_the_time_of_its_bits)
{
    static const struct {
        uint8_t lcr;
        uint16_t divisor;
        unsigned half_bits;
    } cases[] = {{0x03, 1, 20},  {0x00, 1, 14}, {0x04, 1, 15},     {0x07, 12, 22},
                 {0x0f, 12, 24}, {0x03, 0, 20}, {0x03, 0xffff, 20}};
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct rig *r = rig_create();
        set(r, LCR, 0x80);
        set(r, DLL, (uint8_t)cases[i].divisor);
        set(r, DLM, (uint8_t)(cases[i].divisor >> 8));
        set(r, LCR, cases[i].lcr);
        uint64_t divisor = cases[i].divisor != 0 ? cases[i].divisor : 65536;
        uint64_t cycles = (cases[i].half_bits * divisor * 8 * GHZ + 1843199) / 1843200;
        type(r, "x");
        cr_expect_eq(events_next(r->machine->events), cycles, "case %u", i);
        rig_destroy(r);
    }
}

/* Linux reads and writes the divisor through DLAB without disturbing IER. */
Test(uart, dlab_shows_the_divisor_instead_of_data_and_ier)
{
    struct rig *r = rig_create();
    set(r, IER, 0x05);
    set(r, LCR, 0x80);
    cr_expect_eq(get(r, DLM) << 8 | get(r, DLL), 12, "9 600 baud after reset");
    set(r, DLM, 0x34);
    set(r, DLL, 0x12);
    cr_expect_eq(get(r, DLM) << 8 | get(r, DLL), 0x3412);
    set(r, LCR, 0x03);
    cr_expect_eq(get(r, IER), 0x05);
    cr_expect_eq(r->console_length, 0);
    rig_destroy(r);
}

Test(uart, without_fifo_one_byte_is_held_and_the_sender_waits)
{
    struct rig *r = at_115200_8n1(0x00);
    type(r, "ab");
    run_to(r, 100 * frame);
    cr_expect_eq(get(r, LSR), 0x61, "no overrun");
    cr_expect_eq(get(r, DATA), 'a');
    cr_expect_eq(get(r, LSR), 0x60);
    run_for(r, frame);
    cr_expect_eq(get(r, DATA), 'b');
    rig_destroy(r);
}

Test(uart, fifo_holds_16_bytes_and_the_sender_waits)
{
    struct rig *r = at_115200_8n1(0x01);
    type(r, "0123456789abcdefXYZ");
    run_to(r, 1000 * frame);
    cr_expect_eq(events_next(r->machine->events), CYCLE_NEVER);
    for (unsigned i = 0; i < 16; i++) {
        cr_expect_eq(get(r, DATA), "0123456789abcdef"[i]);
    }
    cr_expect_eq(get(r, LSR), 0x60);
    run_for(r, 3 * frame);
    cr_expect_eq(get(r, DATA), 'X');
    rig_destroy(r);
}

/* FCR bits 7:6: the received-data interrupt comes at 1, 4, 8 or 14 bytes. */
Test(uart, received_data_interrupt_comes_at_the_trigger_level)
{
    static const unsigned levels[] = {1, 4, 8, 14};
    for (unsigned i = 0; i < 4; i++) {
        struct rig *r = at_115200_8n1((uint8_t)(0x01 | i << 6));
        set(r, IER, RX);
        type(r, "0123456789abcdef");
        run_to(r, levels[i] * frame - 1);
        cr_expect_eq(r->rises[4], 0);
        run_to(r, levels[i] * frame);
        cr_expect_eq(r->rises[4], 1);
        cr_expect_eq(get(r, IIR), 0xc4);
        rig_destroy(r);
    }
}

/* §8.6: below the trigger level, four frames without a new byte or a read raise the time-out. */
Test(uart, a_few_bytes_time_out_after_four_frames)
{
    struct rig *r = at_115200_8n1(0xc1);
    set(r, IER, RX);
    type(r, "ab");
    run_to(r, 6 * frame - 1);
    cr_expect_eq(get(r, IIR), 0xc1);
    run_to(r, 6 * frame);
    cr_expect_eq(r->rise_cycle[4], 6 * frame);
    cr_expect_eq(get(r, IIR), 0xcc);
    cr_expect_eq(get(r, DATA), 'a');
    cr_expect_eq(get(r, IIR), 0xc1, "a read starts it anew");
    run_for(r, 4 * frame);
    cr_expect_eq(get(r, IIR), 0xcc);
    get(r, DATA);
    cr_expect_eq(events_next(r->machine->events), CYCLE_NEVER);
    rig_destroy(r);
}

Test(uart, clearing_the_fifo_drops_what_it_held)
{
    struct rig *r = at_115200_8n1(0x01);
    type(r, "abc");
    run_to(r, 3 * frame);
    set(r, FCR, 0x03);
    cr_expect_eq(get(r, LSR), 0x60);
    type(r, "d");
    run_for(r, frame);
    set(r, FCR, 0x00);
    cr_expect_eq(get(r, LSR), 0x60, "switching the FIFOs off clears them too");
    rig_destroy(r);
}

Test(uart, loopback_returns_data_and_not_to_the_console)
{
    struct rig *r = at_115200_8n1(0x01);
    set(r, MCR, LOOP);
    set(r, DATA, 0x55);
    set(r, DATA, 0xaa);
    cr_expect_eq(get(r, DATA), 0x55);
    cr_expect_eq(get(r, DATA), 0xaa);
    cr_expect_eq(r->console_length, 0);
    rig_destroy(r);
}

Test(uart, loopback_overruns_and_reading_lsr_clears_the_error)
{
    struct rig *r = at_115200_8n1(0x00);
    set(r, MCR, LOOP);
    set(r, IER, LINE);
    set(r, DATA, 'a');
    set(r, DATA, 'b');
    cr_expect_eq(get(r, IIR), 0x06);
    cr_expect_eq(get(r, LSR), 0x63);
    cr_expect_eq(get(r, LSR), 0x61);
    cr_expect_eq(get(r, DATA), 'b', "the receiver buffer was overwritten");
    rig_destroy(r);
}

Test(uart, modem_status_shows_a_ready_peer_and_its_changes_once)
{
    struct rig *r = at_115200_8n1(0x00);
    cr_expect_eq(get(r, MSR), 0xb0);
    set(r, IER, MODEM);
    set(r, MCR, LOOP);
    cr_expect_eq(get(r, IIR), 0x00);
    cr_expect_eq(get(r, MSR), 0x0b, "CTS, DSR and DCD fell");
    cr_expect_eq(get(r, IIR), 0x01);
    set(r, MCR, LOOP | 0x04);
    cr_expect_eq(get(r, MSR), 0x40, "ring begins: no delta");
    set(r, MCR, LOOP);
    cr_expect_eq(get(r, MSR), 0x04, "its trailing edge: TERI");
    rig_destroy(r);
}

/* Table V: line status before received data before time-out before THRE before modem status. */
Test(uart, iir_shows_the_highest_interrupt)
{
    struct rig *r = at_115200_8n1(0x00);
    set(r, MCR, LOOP);
    set(r, IER, 0x0f);
    set(r, DATA, 'a');
    set(r, DATA, 'b');
    cr_expect_eq(get(r, IIR), 0x06);
    get(r, LSR);
    cr_expect_eq(get(r, IIR), 0x04);
    get(r, DATA);
    cr_expect_eq(get(r, IIR), 0x02);
    cr_expect_eq(get(r, IIR), 0x00);
    get(r, MSR);
    cr_expect_eq(get(r, IIR), 0x01);
    rig_destroy(r);
}

Test(uart, queue_takes_4_kib_or_nothing)
{
    struct rig *r = at_115200_8n1(0x00);
    static uint8_t bytes[4097];
    cr_expect_not(platform_console_input(r->platform, 0, bytes, 4097));
    cr_expect(platform_console_input(r->platform, 0, bytes, 4000));
    cr_expect_not(platform_console_input(r->platform, 0, bytes, 97));
    cr_expect(platform_console_input(r->platform, 0, bytes, 96));
    cr_expect_not(platform_console_input(r->platform, 4, bytes, 1), "there is no fifth UART");
    rig_destroy(r);
}

Test(uart, queued_bytes_survive_a_reset)
{
    struct rig *r = at_115200_8n1(0x00);
    type(r, "ab");
    run_to(r, frame);
    platform_reset(r->platform);
    cr_expect_eq(get(r, LSR), 0x60, "what was received is lost");
    run_for(r, 12 * frame);
    cr_expect_eq(get(r, DATA), 'b');
    rig_destroy(r);
}
