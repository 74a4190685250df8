/* Requirements document: the virtual guest idle state, IPIs to oneself, and no VMBus device in ACPI. */
#include "req.h"

/* ---- guest idle state; TLFS 2.0a §10.1.4 ---- */

static void timer_in(uint32_t ticks, unsigned vector)
{
    lapic_write(LAPIC_LVT_TIMER, vector);
    lapic_write(LAPIC_TIMER_DIVIDE, 0xb);
    lapic_write(LAPIC_TIMER_INITIAL, ticks);
}

enum { IDLE_VECTOR = 0x58, IDLE_TICKS = 50000 };

TEST(guest_idle, "req.priv.guest-idle.announced", "req.idle.msr", "req.idle.wakes", "req.idle.wakes.masked")
{
    NEEDS(AccessGuestIdleReg);
    uint64_t value, tsc = rdtsc();
    timer_in(IDLE_TICKS, IDLE_VECTOR);
    irqs(true);
    unsigned vector = rdmsr_try(HV_X64_MSR_GUEST_IDLE, &value);
    EXPECT_EQ_FOR("req.idle.msr", vector, NO_FAULT);
    EXPECT_EQ_FOR("req.priv.guest-idle.announced", vector, NO_FAULT);
    EXPECT_EQ_FOR("req.idle.wakes", irq_count(IDLE_VECTOR), 1);
    EXPECT_EQ_FOR("req.idle.wakes", lapic_read(LAPIC_TIMER_CURRENT), 0);
    irqs(false);
    timer_in(IDLE_TICKS, IDLE_VECTOR);
    EXPECT_EQ_FOR("req.idle.wakes.masked", rdmsr_try(HV_X64_MSR_GUEST_IDLE, &value), NO_FAULT);
    EXPECT_FOR("req.idle.wakes.masked", lapic_bit(LAPIC_IRR, IDLE_VECTOR), "woke without an interrupt that waits");
    EXPECT_EQ_FOR("req.idle.wakes.masked", irq_count(IDLE_VECTOR), 1);
    EXPECT_FOR("req.priv.guest-idle.announced", rdtsc() > tsc);
}

static void idle_with_interrupts(void *done)
{
    uint64_t value;
    irqs(true);
    rdmsr_try(HV_X64_MSR_GUEST_IDLE, &value);
    *(volatile uint32_t *)done = 1;
}

TEST(guest_idle_wakes_by_ipi, "req.idle.wakes.ipi")
{
    volatile uint32_t done = 0;
    NEEDS(AccessGuestIdleReg);
    smp_start();
    NEEDS_THAT(vp_count() > 1, "one VP");
    on_vp_async(1, idle_with_interrupts, (void *)&done);
    spin_100ns(50 * US_100NS);
    EXPECT_EQ(done, 0);
    ipi(1, 0x59);
    EXPECT(WAIT_FOR(done != 0, MS_100NS), "still asleep");
    vp_wait(1);
}

/* ---- IPIs to oneself ---- */

enum { IPI_VECTOR = 0x5a, ICR_SELF = 1 << 18, ICR_ALL = 2 << 18, ICR_LOGICAL = 1 << 11, ICR_ASSERT = 1 << 14 };
static volatile uint32_t steps, steps_at_interrupt;

static void note_step(unsigned vector)
{
    steps_at_interrupt = steps;
}

static void ipi_prepare(void)
{
    steps = 0;
    steps_at_interrupt = 99;
    irq_on(IPI_VECTOR, note_step);
    irqs(true);
}

/* The instruction behind the one that sends counts a step: the handler must not have seen it. */
static void icr_write_and_step(uint32_t high, uint32_t low)
{
    lapic_write(LAPIC_ICR_HIGH, high);
    __asm__ volatile("movl %0, (%1)\n\tincl %2" ::"r"(low), "r"(0xfee00300ULL), "m"(steps) : "memory");
}

static void expect_immediate(const char *how)
{
    EXPECT(irq_count(IPI_VECTOR) != 0, "%s: no interrupt", how);
    EXPECT(steps_at_interrupt == 0, "%s: the handler saw %u instructions after the sending one", how, steps_at_interrupt);
}

static void expect_immediate_send(const char *how, uint32_t high, uint32_t low)
{
    ipi_prepare();
    icr_write_and_step(high, low | ICR_ASSERT | IPI_VECTOR);
    expect_immediate(how);
    irqs(false);
}

TEST(self_ipi_by_shorthand, "req.ipi.self.shorthand")
{
    NEEDS_HYPERVISOR();
    expect_immediate_send("self", 0, ICR_SELF);
}

TEST(self_ipi_by_number, "req.ipi.self.physical")
{
    NEEDS_HYPERVISOR();
    expect_immediate_send("own id", (uint32_t)vp_apic_id(0) << 24, 0);
}

TEST(self_ipi_by_logical_destination, "req.ipi.self.logical")
{
    NEEDS_HYPERVISOR();
    lapic_write(LAPIC_DFR, 0xffffffff);
    lapic_write(LAPIC_LDR, 0x01000000);
    expect_immediate_send("logical", 0x01000000, ICR_LOGICAL);
}

static void nothing(void *unused)
{
}

TEST(ipi_to_all, "req.ipi.self.all", "req.ipi.self.all.others", "req.ipi.self.broadcast")
{
    NEEDS_HYPERVISOR();
    smp_start();
    for (unsigned i = 1; i < vp_count(); i++) {
        on_vp(i, nothing, NULL); /* so that it is quiet afterwards */
    }
    ipi_prepare();
    icr_write_and_step(0, ICR_ALL | ICR_ASSERT | IPI_VECTOR);
    EXPECT_FOR("req.ipi.self.all", irq_count_on(0, IPI_VECTOR) == 1, "%u interrupts", irq_count_on(0, IPI_VECTOR));
    EXPECT_FOR("req.ipi.self.all", steps_at_interrupt == 0 || steps_at_interrupt == 1, "%u steps", steps_at_interrupt);
    for (unsigned i = 1; i < vp_count(); i++) {
        EXPECT_FOR("req.ipi.self.all.others", WAIT_FOR(irq_count_on(i, IPI_VECTOR) == 1, MS_100NS), "not on VP %u", i);
    }
    ipi_prepare();
    icr_write_and_step(0xff000000, ICR_ASSERT | IPI_VECTOR);
    EXPECT_FOR("req.ipi.self.broadcast", irq_count_on(0, IPI_VECTOR) == 2, "%u interrupts", irq_count_on(0, IPI_VECTOR));
}

TEST(self_ipi_by_hypervisor_msr, "req.ipi.self.icr-msr")
{
    NEEDS(AccessIntrCtrlRegs);
    ipi_prepare();
    __asm__ volatile("wrmsr\n\tincl %3" ::"c"(HV_X64_MSR_ICR), "a"(ICR_SELF | ICR_ASSERT | IPI_VECTOR), "d"(0), "m"(steps)
                     : "memory");
    expect_immediate("HV_X64_MSR_ICR");
}

enum { IA32_APIC_BASE = 0x1b, X2APIC_EOI = 0x80b, X2APIC_ICR = 0x830, X2APIC_SELF = 0x83f };
#define APIC_BASE_X2 (1ULL << 10)
#define APIC_BASE_ENABLE (1ULL << 11)

static void note_step_x2(unsigned vector)
{
    note_step(vector);
    wrmsr(X2APIC_EOI, 0);
}

TEST(self_ipi_in_x2apic_mode, "req.ipi.self.x2apic")
{
    NEEDS_HYPERVISOR();
    NEEDS_THAT(cpuid(1, 0).ecx >> 21 & 1, "no x2APIC");
    uint64_t base = rdmsr(IA32_APIC_BASE);
    wrmsr(IA32_APIC_BASE, base | APIC_BASE_X2);
    ipi_prepare();
    irq_on(IPI_VECTOR, note_step_x2);
    irq_eoi(IPI_VECTOR, false);
    __asm__ volatile("wrmsr\n\tincl %3" ::"c"(X2APIC_ICR), "a"(ICR_SELF | IPI_VECTOR), "d"(0), "m"(steps) : "memory");
    expect_immediate("x2APIC ICR");
    steps = 0;
    steps_at_interrupt = 99;
    __asm__ volatile("wrmsr\n\tincl %3" ::"c"(X2APIC_SELF), "a"(IPI_VECTOR), "d"(0), "m"(steps) : "memory");
    EXPECT_EQ(irq_count(IPI_VECTOR), 2);
    EXPECT(steps_at_interrupt == 0, "SELF IPI: the handler saw %u instructions after the sending one", steps_at_interrupt);
    irqs(false);
    wrmsr(IA32_APIC_BASE, base & ~APIC_BASE_ENABLE); /* the only way back to the xAPIC */
    wrmsr(IA32_APIC_BASE, base);
}

TEST(self_ipi_waits_until_the_vp_is_ready, "req.ipi.self.not-ready")
{
    NEEDS_HYPERVISOR();
    ipi_prepare();
    irqs(false);
    icr_write_and_step(0, ICR_SELF | ICR_ASSERT | IPI_VECTOR);
    EXPECT_EQ(irq_count(IPI_VECTOR), 0);
    EXPECT(lapic_bit(LAPIC_IRR, IPI_VECTOR), "the interrupt is lost");
    /* STI lets one more instruction pass. */
    __asm__ volatile("sti\n\tincl %0\n\tincl %0" ::"m"(steps) : "memory");
    EXPECT_EQ(irq_count(IPI_VECTOR), 1);
    EXPECT_EQ(steps_at_interrupt, 2);
    /* A priority that holds it back. */
    ipi_prepare();
    lapic_write(LAPIC_TPR, 0xf0);
    icr_write_and_step(0, ICR_SELF | ICR_ASSERT | IPI_VECTOR);
    EXPECT_EQ(irq_count(IPI_VECTOR), 1);
    __asm__ volatile("movl %0, (%1)\n\tincl %2" ::"r"(0), "r"(0xfee00080ULL), "m"(steps) : "memory");
    EXPECT_EQ(irq_count(IPI_VECTOR), 2);
    EXPECT_EQ(steps_at_interrupt, 1);
}

/* ---- ACPI ---- */

static bool contains(const uint8_t *table, const char *text)
{
    uint32_t bytes = *(const uint32_t *)(table + 4), length = 0;
    while (text[length] != '\0') {
        length++;
    }
    for (uint32_t i = 36; i + length <= bytes; i++) {
        if (memcmp(table + i, text, length) == 0) {
            return true;
        }
    }
    return false;
}

/* Names by which drivers look for the device: as text, and MSFT1000 as text too, for it is no EISA id. */
TEST(no_vmbus_device, "req.acpi.vmbus")
{
    static const char *const names[] = {"VMBUS", "VMBus", "vmbus", "MSFT1000", "MSFT1002"};
    NEEDS_HYPERVISOR();
    const uint8_t *fadt = acpi_table("FACP"), *ssdt = acpi_table("SSDT");
    REQUIRE(fadt != NULL, "no FADT");
    uint32_t dsdt;
    memcpy(&dsdt, fadt + 40, 4);
    REQUIRE(memcmp((const void *)(uint64_t)dsdt, "DSDT", 4) == 0, "no DSDT");
    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        EXPECT(!contains((const uint8_t *)(uint64_t)dsdt, names[i]), "%s in the DSDT", names[i]);
        EXPECT(ssdt == NULL || !contains(ssdt, names[i]), "%s in an SSDT", names[i]);
    }
}
