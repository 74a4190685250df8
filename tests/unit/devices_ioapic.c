/* The IOAPIC: devices/ioapic.c. 82093AA data sheet. */
#include "devices_fixture.h"

#define SELECT 0xfec00000ULL
#define WINDOW 0xfec00010ULL
enum { MASKED = 1 << 16, LEVEL = 1 << 15, REMOTE_IRR = 1 << 14, ACTIVE_LOW = 1 << 13 };

static uint32_t get(struct rig *r, uint8_t reg)
{
    mmio_write(r->machine->memory, gpa(SELECT), 4, reg);
    return (uint32_t)mmio_read(r->machine->memory, gpa(WINDOW), 4);
}
static void set(struct rig *r, uint8_t reg, uint32_t value)
{
    mmio_write(r->machine->memory, gpa(SELECT), 4, reg);
    mmio_write(r->machine->memory, gpa(WINDOW), 4, value);
}
static uint32_t pin(struct rig *r, unsigned n)
{
    return get(r, (uint8_t)(0x10 + 2 * n));
}
static void set_pin(struct rig *r, unsigned n, uint32_t low)
{
    set(r, (uint8_t)(0x10 + 2 * n), low);
}
static unsigned messages(const struct rig *r)
{
    return rig_seen(r, TRACE_ID_ioapic_message);
}
/* One VP whose local APIC is enabled by software, so that it takes what is sent to id 0. */
static struct rig *with_lapic(void)
{
    struct rig *r = rig_create();
    lapic_write(cpu_vp(r->cpu, 0), 0xf0, 0x1ff);
    return r;
}
static bool requested(struct rig *r, uint8_t vector)
{
    return vp_lapic(cpu_vp(r->cpu, 0))->irr[vector / 32] >> (vector % 32) & 1;
}
/* COM1's transmitter interrupt drives line 4. */
static void irq4(struct rig *r, bool high)
{
    out8(r, 0x3f9, high ? 0x02 : 0x00);
    out8(r, 0x3fc, high ? 0x08 : 0x00);
}
/* The PIT raises line 0. */
static void edge_of_irq0(struct rig *r)
{
    out8(r, 0x43, 0x10);
    out8(r, 0x40, 1);
    run_for(r, 10000);
}

Test(ioapic, has_24_masked_pins_and_version_11h)
{
    struct rig *r = rig_create();
    cr_expect_eq(get(r, 1), 0x00170011);
    for (unsigned n = 0; n < 24; n++) {
        cr_expect_eq(pin(r, n), MASKED);
    }
    cr_expect_eq(get(r, 0x40), 0, "beyond the table");
    cr_expect_eq(get(r, 0x0f), 0, "before it");
    rig_destroy(r);
}

Test(ioapic, registers_keep_only_the_bits_they_have)
{
    struct rig *r = rig_create();
    set(r, 0, 0xffffffff);
    set(r, 1, 0);
    set(r, 0x3e, 0xffffffff & ~(uint32_t)LEVEL);
    set(r, 0x3f, 0xffffffff);
    cr_expect_eq(get(r, 0), 0x0f000000);
    cr_expect_eq(get(r, 1), 0x00170011);
    cr_expect_eq(get(r, 0x3e), 0x00012fff, "delivery status and remote IRR are read-only");
    cr_expect_eq(get(r, 0x3f), 0xff000000);
    rig_destroy(r);
}

Test(ioapic, an_edge_reaches_the_local_apic_with_its_vector)
{
    struct rig *r = with_lapic();
    set_pin(r, 4, 0x41);
    irq4(r, true);
    cr_expect_eq(messages(r), 1);
    cr_expect(requested(r, 0x41));
    irq4(r, false);
    cr_expect_eq(messages(r), 1);
    cr_expect_eq(pin(r, 4), 0x41, "no remote IRR for edges");
    rig_destroy(r);
}

/* §3.2.4: edges on a masked pin are neither delivered nor held pending. */
Test(ioapic, an_edge_on_a_masked_pin_is_lost)
{
    struct rig *r = with_lapic();
    set_pin(r, 4, MASKED | 0x41);
    irq4(r, true);
    set_pin(r, 4, 0x41);
    cr_expect_eq(messages(r), 0);
    rig_destroy(r);
}

Test(ioapic, the_pit_is_pin_2)
{
    struct rig *r = with_lapic();
    set_pin(r, 0, 0x40);
    set_pin(r, 2, 0x42);
    edge_of_irq0(r);
    cr_expect_eq(messages(r), 1);
    cr_expect_eq(rig_value(r, TRACE_ID_ioapic_message, 0), 2);
    cr_expect(requested(r, 0x42));
    rig_destroy(r);
}

Test(ioapic, a_level_sends_once_until_the_eoi_of_its_vector)
{
    struct rig *r = with_lapic();
    set_pin(r, 4, LEVEL | 0x41);
    irq4(r, true);
    cr_expect_eq(messages(r), 1);
    cr_expect_eq(pin(r, 4), LEVEL | REMOTE_IRR | 0x41);
    platform_eoi(r->platform, 0x40);
    cr_expect_eq(messages(r), 1, "another vector's EOI");
    platform_eoi(r->platform, 0x41);
    cr_expect_eq(messages(r), 2, "the line is still high");
    irq4(r, false);
    platform_eoi(r->platform, 0x41);
    cr_expect_eq(messages(r), 2);
    cr_expect_eq(pin(r, 4), LEVEL | 0x41);
    rig_destroy(r);
}

Test(ioapic, a_masked_level_is_sent_when_it_is_unmasked)
{
    struct rig *r = with_lapic();
    set_pin(r, 4, MASKED | LEVEL | 0x41);
    irq4(r, true);
    cr_expect_eq(messages(r), 0);
    set_pin(r, 4, LEVEL | 0x41);
    cr_expect_eq(messages(r), 1);
    rig_destroy(r);
}

/* How systems clear a remote IRR that hangs: to edge and back. */
Test(ioapic, switching_to_edge_clears_remote_irr)
{
    struct rig *r = with_lapic();
    set_pin(r, 4, LEVEL | 0x41);
    irq4(r, true);
    irq4(r, false);
    set_pin(r, 4, MASKED | 0x41);
    set_pin(r, 4, MASKED | LEVEL | 0x41);
    cr_expect_eq(pin(r, 4), MASKED | LEVEL | 0x41);
    rig_destroy(r);
}

Test(ioapic, an_active_low_pin_is_asserted_by_a_low_line)
{
    struct rig *r = with_lapic();
    irq4(r, true);
    set_pin(r, 4, LEVEL | ACTIVE_LOW | 0x41);
    cr_expect_eq(messages(r), 0);
    irq4(r, false);
    cr_expect_eq(messages(r), 1);
    rig_destroy(r);
}

/* A level that no local APIC takes stays a request. */
Test(ioapic, remote_irr_waits_for_a_taker)
{
    struct rig *r = with_lapic();
    set(r, 0x19, 0x7f000000); /* pin 4 to an APIC id that is not there */
    set_pin(r, 4, LEVEL | 0x41);
    irq4(r, true);
    cr_expect_eq(pin(r, 4), LEVEL | 0x41);
    set(r, 0x19, 0);
    cr_expect_eq(pin(r, 4), LEVEL | REMOTE_IRR | 0x41);
    rig_destroy(r);
}

Test(ioapic, reserved_delivery_modes_send_nothing)
{
    struct rig *r = with_lapic();
    for (uint32_t mode = 3; mode <= 6; mode += 3) {
        set_pin(r, 4, mode << 8 | 0x41);
        irq4(r, true);
        irq4(r, false);
    }
    cr_expect_eq(messages(r), 0);
    rig_destroy(r);
}

Test(ioapic, odd_accesses_do_no_harm)
{
    struct rig *r = rig_create();
    struct memory *m = r->machine->memory;
    mmio_write(m, gpa(SELECT), 1, 0x01);
    cr_expect_eq(mmio_read(m, gpa(WINDOW), 1), 0x11, "the low byte");
    cr_expect_eq(mmio_read(m, gpa(WINDOW), 8), 0x00170011);
    mmio_write(m, gpa(SELECT), 4, 0x18);
    mmio_write(m, gpa(WINDOW), 1, 0x55);
    mmio_write(m, gpa(WINDOW + 2), 2, 0x5555);
    cr_expect_eq(pin(r, 4), MASKED, "the window wants 32 bits");
    cr_expect_eq(mmio_read(m, gpa(SELECT + 0xffc), 4), 0);
    rig_destroy(r);
}
