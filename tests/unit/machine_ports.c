/* I/O port space. */
#include <criterion/criterion.h>

#include "machine/ports.h"

struct device {
    unsigned calls, bytes;
    uint16_t port;
    uint32_t value;
};

static uint32_t device_in(void *owner, uint16_t port, unsigned bytes)
{
    struct device *d = owner;
    d->calls++;
    d->bytes = bytes;
    d->port = port;
    return 0xdd000000u + port;
}

static void device_out(void *owner, uint16_t port, unsigned bytes, uint32_t value)
{
    struct device *d = owner;
    d->calls++;
    d->bytes = bytes;
    d->port = port;
    d->value = value;
}

static const struct port_ops narrow = {device_in, device_out, 1}, wide = {device_in, device_out, 4};

Test(ports, nobody_there_reads_all_ones_and_swallows_writes)
{
    struct ports *p = ports_create();
    cr_expect_eq(ports_in(p, 0x80, 1), 0xff);
    cr_expect_eq(ports_in(p, 0x80, 2), 0xffff);
    cr_expect_eq(ports_in(p, 0x80, 4), 0xffffffff);
    ports_out(p, 0x80, 4, 1);
    ports_destroy(p);
}

Test(ports, access_within_the_width_is_one_call)
{
    struct ports *p = ports_create();
    struct device d = {0};
    cr_expect(ports_add(p, "pm", 0x408, 4, &wide, &d));
    cr_expect_eq(ports_in(p, 0x408, 4), 0xdd000408);
    cr_expect_eq(ports_in(p, 0x40a, 1), 0x0a, "stray high bits are cut");
    cr_expect_eq(d.calls, 2);
    ports_out(p, 0x408, 2, 0x12345678);
    cr_expect_eq(d.value, 0x5678);
    cr_expect_eq(d.bytes, 2);
    ports_destroy(p);
}

Test(ports, wider_access_is_split_low_port_first)
{
    struct ports *p = ports_create();
    struct device d = {0};
    ports_add(p, "uart", 0x3f8, 8, &narrow, &d);
    cr_expect_eq(ports_in(p, 0x3f8, 4), 0xfbfaf9f8);
    cr_expect_eq(d.calls, 4);
    ports_out(p, 0x3f8, 2, 0xbbaa);
    cr_expect_eq(d.calls, 6);
    cr_expect_eq(d.port, 0x3f9);
    cr_expect_eq(d.value, 0xbb);
    ports_destroy(p);
}

Test(ports, access_across_ranges_reaches_each)
{
    struct ports *p = ports_create();
    struct device a = {0}, b = {0};
    ports_add(p, "a", 0x60, 1, &wide, &a);
    ports_add(p, "b", 0x62, 2, &wide, &b);
    cr_expect_eq(ports_in(p, 0x60, 4), 0x6362ff60);
    cr_expect_eq(a.calls, 1);
    cr_expect_eq(b.calls, 2);
    cr_expect_eq(b.bytes, 1);
    ports_out(p, 0x61, 2, 0xaabb);
    cr_expect_eq(b.value, 0xaa);
    cr_expect_eq(a.calls, 1);
    ports_destroy(p);
}

Test(ports, beyond_the_last_port_is_nobody)
{
    struct ports *p = ports_create();
    struct device first = {0}, last = {0};
    ports_add(p, "first", 0, 1, &wide, &first);
    cr_expect(ports_add(p, "last", 0xffff, 1, &wide, &last));
    cr_expect_eq(ports_in(p, 0xffff, 4), 0xffffffff);
    cr_expect_eq(last.calls, 1);
    cr_expect_eq(first.calls, 0, "no wrap to port 0");
    ports_out(p, 0xfffe, 4, 0);
    cr_expect_eq(first.calls, 0);
    ports_destroy(p);
}

Test(ports, overlaps_and_ranges_off_the_end_are_refused)
{
    struct ports *p = ports_create();
    struct device d = {0};
    cr_expect(ports_add(p, "pic", 0x20, 2, &narrow, &d));
    cr_expect_not(ports_add(p, "x", 0x1f, 2, &narrow, &d));
    cr_expect_not(ports_add(p, "x", 0x21, 1, &narrow, &d));
    cr_expect_not(ports_add(p, "x", 0xffff, 2, &narrow, &d));
    cr_expect_not(ports_add(p, "x", 0x30, 0, &narrow, &d));
    cr_expect(ports_add(p, "x", 0x22, 1, &narrow, &d));
    ports_destroy(p);
}
