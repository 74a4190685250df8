/* Local APIC: what a hypervisor is told of ends of interrupts, and interrupts that end without an EOI. */
#include "lapic_fixture.h"

static struct bench *b;
static struct {
    unsigned ended;
    uint8_t last, by_itself;
} seen;

static void note_end(void *owner, struct vcpu *v, uint8_t vector)
{
    seen.ended++;
    seen.last = vector;
}
static bool ends_by_itself(void *owner, struct vcpu *v, uint8_t vector)
{
    return vector == seen.by_itself;
}

static void setup(void)
{
    b = bench_create(1);
    b->cpu->hooks.end_of_interrupt = note_end;
    b->cpu->hooks.ends_by_itself = ends_by_itself;
    seen.by_itself = 0x51;
}
static void teardown(void)
{
    bench_destroy(b);
}
TestSuite(lapic_hooks, .init = setup, .fini = teardown);

Test(lapic_hooks, an_eoi_is_told_with_the_vector_that_it_ends)
{
    struct vcpu *v = enabled_vp(b, 0);
    lapic_eoi(v);
    cr_expect_eq(seen.ended, 0u, "nothing in service: nothing ends");
    lapic_interrupt(v, 0x41, false);
    lapic_acknowledge(v);
    lapic_interrupt(v, 0x62, false);
    lapic_acknowledge(v);
    lapic_eoi(v);
    cr_expect(seen.ended == 1 && seen.last == 0x62);
    lapic_eoi(v);
    cr_expect(seen.ended == 2 && seen.last == 0x41);
}

Test(lapic_hooks, an_interrupt_that_ends_by_itself_holds_nobody_back)
{
    struct vcpu *v = enabled_vp(b, 0);
    lapic_interrupt(v, 0x51, false);
    lapic_interrupt(v, 0x42, false);
    cr_expect_eq(lapic_acknowledge(v), 0x51);
    cr_expect_not(in_service(v, 0x51));
    cr_expect_not(requested(v, 0x51));
    cr_expect_eq(lapic_pending(v), 0x42);
    cr_expect_eq(lapic_acknowledge(v), 0x42);
    cr_expect(in_service(v, 0x42));
    cr_expect_eq(seen.ended, 0u, "it is no EOI of the guest's");
}

/* One in service below it stays there. */
Test(lapic_hooks, it_ends_itself_and_not_another)
{
    struct vcpu *v = enabled_vp(b, 0);
    lapic_interrupt(v, 0x42, false);
    lapic_acknowledge(v);
    lapic_interrupt(v, 0x51, false);
    lapic_acknowledge(v);
    cr_expect(in_service(v, 0x42) && !in_service(v, 0x51));
}

Test(lapic_hooks, a_level_that_ends_by_itself_is_told_to_the_ioapic)
{
    struct vcpu *v = enabled_vp(b, 0);
    lapic_interrupt(v, 0x51, true);
    lapic_acknowledge(v);
    cr_expect(b->eois == 1 && b->last_eoi == 0x51);
}
