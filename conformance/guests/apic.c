/* The local APIC and its three MSRs. Clauses: conformance/clauses/apic.yaml; TLFS 6.0b §10.2.
 *
 * Vectors: LOW and HIGH are of two priority classes. Tests send from VP 0; interrupts are off unless a line says otherwise.
 */
#include "vps.h"

enum { LOW = 0x50, HIGH = 0x61, LAPIC_VERSION = 0x30 };
enum { ICR_LOWEST = 1 << 8, ICR_SMI = 2 << 8, ICR_NMI = 4 << 8, ICR_LOGICAL = 1 << 11, ICR_PENDING = 1 << 12 };
enum {
    ICR_SELF = 1 << 18,
    ICR_ALL = 2 << 18,
    ICR_OTHERS = 3 << 18,
    SVR_ENABLE = 0x100,
    LVT_MASKED = 1 << 16,
    LVT_EXTINT = 7 << 8
};
#define LAPIC 0xfee00000ULL
#define SETTLE (20 * US_100NS)

static uint64_t icr_to(unsigned vp, uint32_t low)
{
    return (uint64_t)vp_apic_id(vp) << 56 | low;
}

/* ---- memory-mapped registers ---- */

TEST(mmio_registers, "apic.mmio.registers")
{
    NEEDS(AccessIntrCtrlRegs);
    unsigned version = lapic_read(LAPIC_VERSION) & 0xff;
    EXPECT(version >= 0x10 && version <= 0x1f, "version 0x%x", version);
}

static void tpr_write_job(void *value)
{
    lapic_write(LAPIC_TPR, *(const uint32_t *)value);
}

static void tpr_read_job(void *value)
{
    *(uint32_t *)value = lapic_read(LAPIC_TPR);
}

TEST(mmio_each_vp, "apic.mmio.own")
{
    NEEDS(AccessIntrCtrlRegs);
    NEEDS_VPS(2);
    uint32_t value = 0x30, seen = 0;
    on_vp(1, tpr_write_job, &value);
    EXPECT_EQ(lapic_read(LAPIC_TPR), 0);
    lapic_write(LAPIC_TPR, 0x20);
    on_vp(1, tpr_read_job, &seen);
    EXPECT_EQ(seen, 0x30);
    value = 0;
    on_vp(1, tpr_write_job, &value);
}

TEST(mmio_mov_store, "apic.mmio.store")
{
    NEEDS(AccessIntrCtrlRegs);
    __asm__ volatile("movl %%ecx, (%%rdx)" ::"c"(0x20), "d"(LAPIC + LAPIC_TPR) : "memory"); /* 89 0a */
    EXPECT_EQ(lapic_read(LAPIC_TPR), 0x20);
}

TEST(mmio_mov_load, "apic.mmio.load")
{
    NEEDS(AccessIntrCtrlRegs);
    lapic_write(LAPIC_TPR, 0x30);
    uint32_t got;
    __asm__ volatile("movl (%%rdx), %%ecx" : "=c"(got) : "d"(LAPIC + LAPIC_TPR) : "memory"); /* 8b 0a */
    EXPECT_EQ(got, 0x30);
}

TEST(mmio_moffs_load, "apic.mmio.load-moffs")
{
    NEEDS(AccessIntrCtrlRegs);
    lapic_write(LAPIC_TPR, 0x40);
    uint32_t got;
    __asm__ volatile("movabsl 0xfee00080, %%eax" : "=a"(got)::"memory"); /* a1 */
    EXPECT_EQ(got, 0x40);
}

TEST(mmio_moffs_store, "apic.mmio.store-moffs")
{
    NEEDS(AccessIntrCtrlRegs);
    __asm__ volatile("movabsl %%eax, 0xfee00080" ::"a"(0x50) : "memory"); /* a3 */
    EXPECT_EQ(lapic_read(LAPIC_TPR), 0x50);
}

TEST(mmio_mov_immediate, "apic.mmio.store-immediate")
{
    NEEDS(AccessIntrCtrlRegs);
    __asm__ volatile("movl $0x60, (%%rdx)" ::"d"(LAPIC + LAPIC_TPR) : "memory"); /* c7 /0 */
    EXPECT_EQ(lapic_read(LAPIC_TPR), 0x60);
}

KIT_CODE(push_version, 32, "movl $0xfee00030, %edx\n pushl (%edx)\n popl %eax"); /* ff /6 */

TEST(mmio_push, "apic.mmio.push")
{
    NEEDS(AccessIntrCtrlRegs);
    struct regs32 r = {0};
    struct fault f = run_in_32bit(push_version, push_version_end - push_version, &r);
    EXPECT(f.vector == NO_FAULT, "exception %u", f.vector);
    EXPECT_EQ(r.eax, lapic_read(LAPIC_VERSION));
}

static void exchange_job(void *unused)
{
    uint32_t value = 0x70;
    __asm__ volatile("xchgl %0, (%1)" : "+r"(value) : "r"(LAPIC + LAPIC_TPR) : "memory");
}

TEST(mmio_other_forms, "apic.mmio.other-forms")
{
    NEEDS(AccessIntrCtrlRegs);
    lapic_write(LAPIC_TPR, 0x10);
    struct fault f = try_run(exchange_job, NULL);
    EXPECT(f.vector == NO_FAULT || f.vector == VEC_GP, "exception %u", f.vector);
    EXPECT_EQ(lapic_read(LAPIC_TPR), f.vector == NO_FAULT ? 0x70 : 0x10);
}

TEST(mmio_timer, "apic.mmio.timer")
{
    NEEDS(AccessIntrCtrlRegs);
    lapic_write(LAPIC_TIMER_DIVIDE, 0xb);
    lapic_write(LAPIC_LVT_TIMER, LOW);
    lapic_write(LAPIC_TIMER_INITIAL, 10000);
    uint32_t first = lapic_read(LAPIC_TIMER_CURRENT), second = lapic_read(LAPIC_TIMER_CURRENT);
    EXPECT(second < first, "0x%x, then 0x%x", first, second);
    irqs(true);
    uint64_t deadline = now_100ns() + 10 * MS_100NS;
    while (irq_count(LOW) == 0 && now_100ns() < deadline) {
        pause();
    }
    irqs(false);
    EXPECT_EQ(irq_count(LOW), 1);
}

TEST(software_disabled, "apic.mmio.spurious-disable")
{
    NEEDS(AccessIntrCtrlRegs);
    lapic_write(LAPIC_SVR, VECTOR_SPURIOUS);
    wrmsr_try(HV_X64_MSR_ICR, icr_to(0, LOW));
    take_interrupts(SETTLE);
    EXPECT_EQ(irq_count(LOW), 0);
    lapic_write(LAPIC_SVR, SVR_ENABLE | VECTOR_SPURIOUS);
}

/* ---- where it may differ ---- */

enum { IA32_APIC_BASE = 0x1b };
#define APIC_BASE_ENABLE (1ULL << 11)

TEST(base_same_everywhere, "apic.base.partition-wide")
{
    NEEDS(AccessIntrCtrlRegs);
    NEEDS_VPS(2);
    for (unsigned vp = 1; vp < vp_count(); vp++) {
        EXPECT_EQ(rdmsr_on(vp, IA32_APIC_BASE) & ~0xfffULL, rdmsr(IA32_APIC_BASE) & ~0xfffULL);
    }
}

TEST(base_global_enable, "apic.base.global-enable")
{
    NEEDS(AccessIntrCtrlRegs);
    uint64_t before = rdmsr(IA32_APIC_BASE);
    unsigned vector = wrmsr_try(IA32_APIC_BASE, before & ~APIC_BASE_ENABLE);
    uint64_t off = rdmsr(IA32_APIC_BASE);
    wrmsr_try(IA32_APIC_BASE, before);
    lapic_write(LAPIC_SVR, SVR_ENABLE | VECTOR_SPURIOUS);
    lapic_write(LAPIC_LVT_LINT0, LVT_MASKED);
    lapic_write(LAPIC_LVT_LINT1, LVT_MASKED);
    EXPECT(vector == NO_FAULT, "exception %u", vector);
    EXPECT_EQ(off | APIC_BASE_ENABLE, before | APIC_BASE_ENABLE);
    EXPECT_EQ(rdmsr(IA32_APIC_BASE), before);
}

TEST(smi_harmless, "apic.smi.absent")
{
    NEEDS(AccessIntrCtrlRegs);
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_ICR, icr_to(0, ICR_SMI)), NO_FAULT);
    spin_100ns(SETTLE);
    for (unsigned v = 0; v < 256; v += 32) {
        EXPECT_EQ(lapic_read(LAPIC_IRR + v / 2), 0);
    }
}

TEST(id_write, "apic.id.fixed")
{
    NEEDS(AccessIntrCtrlRegs);
    uint32_t before = lapic_read(LAPIC_ID), other = before ^ 0x0f000000;
    lapic_write(LAPIC_ID, other);
    uint32_t now = lapic_read(LAPIC_ID);
    lapic_write(LAPIC_ID, before);
    EXPECT(now == before || now == other, "0x%x", now);
}

/* ---- EOI ---- */

static struct {
    uint64_t eoi;                           /* what the handler writes */
    unsigned vector;                        /* of the write */
    bool in_service, ended, low_in_service; /* ISR bits before and after it */
} seen;

static void eoi_handler(unsigned vector)
{
    seen.in_service = lapic_bit(LAPIC_ISR, vector);
    seen.vector = wrmsr_try(HV_X64_MSR_EOI, seen.eoi);
    seen.ended = !lapic_bit(LAPIC_ISR, vector);
    seen.low_in_service = lapic_bit(LAPIC_ISR, LOW);
}

static void eoi_by(unsigned vector, uint64_t value)
{
    memset(&seen, 0, sizeof seen);
    seen.eoi = value;
    irq_on(vector, eoi_handler);
    irq_eoi(vector, false);
    ipi(0, vector);
    take_interrupts(SETTLE);
    EXPECT_EQ(irq_count(vector), 1);
    EXPECT(seen.in_service, "the ISR bit is not set in the handler");
}

TEST(eoi_ends, "apic.eoi.ends")
{
    NEEDS(AccessIntrCtrlRegs);
    eoi_by(LOW, 0);
    EXPECT_EQ(seen.vector, NO_FAULT);
    EXPECT(seen.ended, "the ISR bit is still set");
}

TEST(eoi_read_faults, "apic.eoi.read")
{
    NEEDS(AccessIntrCtrlRegs);
    uint64_t value;
    EXPECT_EQ(rdmsr_try(HV_X64_MSR_EOI, &value), VEC_GP);
}

TEST(eoi_any_value, "apic.eoi.value")
{
    NEEDS(AccessIntrCtrlRegs);
    eoi_by(LOW, 0xffffffff);
    EXPECT_EQ(seen.vector, NO_FAULT);
    EXPECT(seen.ended, "the ISR bit is still set");
}

TEST(eoi_upper_bits, "apic.eoi.upper-ignored")
{
    NEEDS(AccessIntrCtrlRegs);
    eoi_by(LOW, 0xffffffff00000000);
    EXPECT_EQ(seen.vector, NO_FAULT);
    EXPECT(seen.ended, "the ISR bit is still set");
}

static void nesting_handler(unsigned vector)
{
    irqs(true);
    ipi(0, HIGH);
    spin_100ns(SETTLE);
    irqs(false);
}

TEST(eoi_highest_only, "apic.eoi.highest")
{
    NEEDS(AccessIntrCtrlRegs);
    memset(&seen, 0, sizeof seen);
    irq_on(LOW, nesting_handler); /* the kit ends LOW behind it */
    irq_on(HIGH, eoi_handler);
    irq_eoi(HIGH, false);
    ipi(0, LOW);
    take_interrupts(2 * SETTLE);
    EXPECT_EQ(irq_count(HIGH), 1);
    EXPECT(seen.ended, "the higher one is still in service");
    EXPECT(seen.low_in_service, "the lower one was ended too");
}

static unsigned low_seen_inside;

static void waiting_handler(unsigned vector)
{
    irqs(true);
    ipi(0, LOW);
    spin_100ns(SETTLE);
    irqs(false);
    low_seen_inside = irq_count(LOW);
    wrmsr_try(HV_X64_MSR_EOI, 0);
}

TEST(eoi_releases_next, "apic.eoi.next")
{
    NEEDS(AccessIntrCtrlRegs);
    irq_on(HIGH, waiting_handler);
    irq_eoi(HIGH, false);
    ipi(0, HIGH);
    take_interrupts(2 * SETTLE);
    EXPECT_EQ(low_seen_inside, 0);
    EXPECT_EQ(irq_count(LOW), 1);
}

TEST(eoi_without_interrupt, "apic.eoi.idle")
{
    NEEDS(AccessIntrCtrlRegs);
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_EOI, 0), NO_FAULT);
    ipi(0, LOW);
    take_interrupts(SETTLE);
    EXPECT_EQ(irq_count(LOW), 1);
}

/* ---- ICR ---- */

static void icr_memory_job(void *value)
{
    lapic_write(LAPIC_ICR_HIGH, 0x02000000);
    lapic_write(LAPIC_ICR, ICR_SELF | LOW);
    *(uint64_t *)value = rdmsr(HV_X64_MSR_ICR);
}

TEST(icr_memory_to_msr, "apic.icr.halves", "apic.registers-by-msr")
{
    NEEDS(AccessIntrCtrlRegs);
    NEEDS_VPS(2);
    uint64_t value; /* on a processor that has written none by its MSR */
    on_vp(vp_count() - 1, icr_memory_job, &value);
    EXPECT_EQ(value & ~(uint64_t)ICR_PENDING, 0x0200000000000000ULL | ICR_SELF | LOW);
}

TEST(icr_msr_to_memory, "apic.icr.write")
{
    NEEDS(AccessIntrCtrlRegs);
    wrmsr(HV_X64_MSR_ICR, 0x0300000000000000ULL | ICR_SELF | LOW);
    EXPECT_EQ(lapic_read(LAPIC_ICR_HIGH), 0x03000000);
    EXPECT_EQ(lapic_read(LAPIC_ICR) & ~ICR_PENDING, ICR_SELF | LOW);
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_ICR, 0xff00000000000000ULL | ICR_SELF | LOW), NO_FAULT);
    EXPECT_EQ(lapic_read(LAPIC_ICR_HIGH), 0xff000000);
}

static bool arrived_on(unsigned vp, unsigned vector)
{
    uint64_t deadline = now_100ns() + 5 * MS_100NS;
    while (irq_count_on(vp, vector) == 0 && now_100ns() < deadline) {
        pause();
    }
    return irq_count_on(vp, vector) == 1;
}

TEST(icr_one_write, "apic.icr.one-write")
{
    NEEDS(AccessIntrCtrlRegs);
    NEEDS_VPS(2);
    lapic_write(LAPIC_ICR_HIGH, (uint32_t)vp_apic_id(0) << 24);
    wrmsr(HV_X64_MSR_ICR, icr_to(1, LOW));
    EXPECT(arrived_on(1, LOW), "VP 1 did not get it once");
    take_interrupts(SETTLE);
    EXPECT_EQ(irq_count_on(0, LOW), 0);
}

TEST(icr_shorthand_self, "apic.icr.self")
{
    NEEDS(AccessIntrCtrlRegs);
    NEEDS_VPS(2);
    wrmsr(HV_X64_MSR_ICR, ICR_SELF | LOW);
    take_interrupts(SETTLE);
    EXPECT_EQ(irq_count_on(0, LOW), 1);
    EXPECT_EQ(irq_count(LOW), 1);
}

TEST(icr_shorthand_all, "apic.icr.all")
{
    NEEDS(AccessIntrCtrlRegs);
    NEEDS_VPS(2);
    wrmsr(HV_X64_MSR_ICR, ICR_ALL | LOW);
    irqs(true);
    for (unsigned vp = 0; vp < vp_count(); vp++) {
        EXPECT(arrived_on(vp, LOW), "VP %u: %u times", vp, irq_count_on(vp, LOW));
    }
    irqs(false);
}

TEST(icr_shorthand_others, "apic.icr.all-but-self")
{
    NEEDS(AccessIntrCtrlRegs);
    NEEDS_VPS(2);
    wrmsr(HV_X64_MSR_ICR, ICR_OTHERS | LOW);
    for (unsigned vp = 1; vp < vp_count(); vp++) {
        EXPECT(arrived_on(vp, LOW), "VP %u: %u times", vp, irq_count_on(vp, LOW));
    }
    take_interrupts(SETTLE);
    EXPECT_EQ(irq_count_on(0, LOW), 0);
}

TEST(icr_physical, "apic.icr.physical")
{
    NEEDS(AccessIntrCtrlRegs);
    NEEDS_VPS(3);
    wrmsr(HV_X64_MSR_ICR, icr_to(2, LOW));
    EXPECT(arrived_on(2, LOW), "VP 2 did not get it once");
    take_interrupts(SETTLE);
    EXPECT_EQ(irq_count(LOW), 1);
}

static void logical_id_job(void *id)
{
    lapic_write(LAPIC_DFR, 0xffffffff);
    lapic_write(LAPIC_LDR, *(const uint32_t *)id << 24);
}

/* VP n answers to bit n. */
static void logical_ids_set(unsigned vps)
{
    for (unsigned vp = 0; vp < vps; vp++) {
        uint32_t id = 1U << vp;
        on_vp(vp, logical_id_job, &id);
    }
}

TEST(icr_logical, "apic.icr.logical")
{
    NEEDS(AccessIntrCtrlRegs);
    NEEDS_VPS(3);
    logical_ids_set(3);
    wrmsr(HV_X64_MSR_ICR, 5ULL << 56 | ICR_LOGICAL | LOW);
    EXPECT(arrived_on(2, LOW), "VP 2 did not get it once");
    take_interrupts(SETTLE);
    EXPECT_EQ(irq_count_on(0, LOW), 1);
    EXPECT_EQ(irq_count_on(1, LOW), 0);
}

TEST(icr_lowest_priority, "apic.icr.lowest-priority")
{
    NEEDS(AccessIntrCtrlRegs);
    NEEDS_VPS(3);
    logical_ids_set(3);
    irqs(true);
    wrmsr(HV_X64_MSR_ICR, 7ULL << 56 | ICR_LOGICAL | ICR_LOWEST | LOW);
    spin_100ns(5 * SETTLE);
    irqs(false);
    EXPECT_EQ(irq_count(LOW), 1);
}

static volatile bool nmi_target_up, nmi_target_stop;

static void nmi_target_job(void *unused)
{
    irqs(false);
    nmi_target_up = true;
    while (!nmi_target_stop) {
        pause();
    }
}

TEST(icr_nmi, "apic.icr.nmi")
{
    NEEDS(AccessIntrCtrlRegs);
    NEEDS_VPS(2);
    nmi_target_up = nmi_target_stop = false;
    on_vp_async(1, nmi_target_job, NULL);
    WAIT_FOR(nmi_target_up, 5 * MS_100NS);
    wrmsr(HV_X64_MSR_ICR, icr_to(1, ICR_NMI));
    WAIT_FOR(nmi_count() != 0, 5 * MS_100NS);
    nmi_target_stop = true;
    vp_wait(1);
    EXPECT_EQ(nmi_count(), 1);
}

/* ---- TPR ---- */

static uint64_t cr8(void)
{
    uint64_t value;
    __asm__ volatile("mov %%cr8, %0" : "=r"(value));
    return value;
}

TEST(tpr_write_read, "apic.tpr.write")
{
    NEEDS(AccessIntrCtrlRegs);
    const uint8_t values[] = {0x20, 0x31, 0xff, 0};
    for (unsigned i = 0; i < ARRAY_COUNT(values); i++) {
        wrmsr(HV_X64_MSR_TPR, values[i]);
        EXPECT_EQ(rdmsr(HV_X64_MSR_TPR), values[i]);
    }
}

TEST(tpr_msr_and_memory, "apic.registers-by-msr", "apic.tpr.memory")
{
    NEEDS(AccessIntrCtrlRegs);
    wrmsr(HV_X64_MSR_TPR, 0x50);
    EXPECT_EQ(lapic_read(LAPIC_TPR), 0x50);
    lapic_write(LAPIC_TPR, 0x60);
    EXPECT_EQ(rdmsr(HV_X64_MSR_TPR), 0x60);
}

TEST(tpr_cr8, "apic.tpr.cr8")
{
    NEEDS(AccessIntrCtrlRegs);
    wrmsr(HV_X64_MSR_TPR, 0x70);
    EXPECT_EQ(cr8(), 7);
    __asm__ volatile("mov %0, %%cr8" ::"r"(9ULL));
    EXPECT_EQ(rdmsr(HV_X64_MSR_TPR), 0x90);
}

TEST(tpr_holds_and_releases, "apic.tpr.holds", "apic.tpr.releases")
{
    NEEDS(AccessIntrCtrlRegs);
    wrmsr(HV_X64_MSR_TPR, LOW & 0xf0);
    irqs(true);
    ipi(0, LOW);
    spin_100ns(SETTLE);
    unsigned held = irq_count(LOW);
    wrmsr(HV_X64_MSR_TPR, 0);
    unsigned released = irq_count(LOW); /* the read comes a few instructions behind the write */
    irqs(false);
    EXPECT_EQ_FOR("apic.tpr.holds", held, 0);
    EXPECT_EQ_FOR("apic.tpr.releases", released, 1);
}

TEST(tpr_lets_higher, "apic.tpr.above")
{
    NEEDS(AccessIntrCtrlRegs);
    wrmsr(HV_X64_MSR_TPR, LOW & 0xf0);
    ipi(0, HIGH);
    take_interrupts(SETTLE);
    EXPECT_EQ(irq_count(HIGH), 1);
}

TEST(tpr_reserved, "apic.tpr.reserved-read", "apic.tpr.reserved-write")
{
    NEEDS(AccessIntrCtrlRegs);
    wrmsr(HV_X64_MSR_TPR, 0x20);
    EXPECT_EQ_FOR("apic.tpr.reserved-read", rdmsr(HV_X64_MSR_TPR) >> 8, 0);
    for (unsigned bit = 8; bit < 64; bit += 11) {
        unsigned vector = wrmsr_try(HV_X64_MSR_TPR, 1ULL << bit | 0x30);
        EXPECT_FOR("apic.tpr.reserved-write", vector == VEC_GP || vector == NO_FAULT, "exception %u", vector);
        EXPECT_EQ_FOR("apic.tpr.reserved-write", rdmsr(HV_X64_MSR_TPR), vector == VEC_GP ? 0x20 : 0x30);
        wrmsr(HV_X64_MSR_TPR, 0x20);
    }
}

TEST(msr_each_vp, "apic.msr.own")
{
    NEEDS(AccessIntrCtrlRegs);
    NEEDS_VPS(2);
    wrmsr(HV_X64_MSR_TPR, 0x30);
    unsigned other = vp_count() - 1; /* where no other test has written it */
    EXPECT_EQ(rdmsr_on(other, HV_X64_MSR_TPR), 0);
    EXPECT_EQ(wrmsr_on(other, HV_X64_MSR_TPR, 0x40), NO_FAULT);
    EXPECT_EQ(rdmsr(HV_X64_MSR_TPR), 0x30);
    wrmsr_on(other, HV_X64_MSR_TPR, 0);
}

/* ---- availability, external interrupts ---- */

TEST(withheld, "apic.msr.withheld-assist", "apic.msr.withheld-eoi", "apic.msr.withheld-icr", "apic.msr.withheld-tpr")
{
    NEEDS_WITHHELD(AccessIntrCtrlRegs);
    EXPECT_EQ_FOR("apic.msr.withheld-eoi", wrmsr_try(HV_X64_MSR_EOI, 0), VEC_GP);
    EXPECT_FOR("apic.msr.withheld-icr", msr_absent(HV_X64_MSR_ICR));
    EXPECT_FOR("apic.msr.withheld-tpr", msr_absent(HV_X64_MSR_TPR));
    EXPECT_FOR("apic.msr.withheld-assist", msr_absent(HV_X64_MSR_VP_ASSIST_PAGE));
}

TEST(recommended_and_granted, "apic.msr.recommended")
{
    NEEDS(UseApicMsrs);
    EXPECT(has(AccessIntrCtrlRegs));
}

enum {
    PIC1 = 0x20,
    PIC1_DATA = 0x21,
    PIC2 = 0xa0,
    PIC2_DATA = 0xa1,
    PIT_COMMAND = 0x43,
    PIT_CHANNEL0 = 0x40,
    IRQ0_VECTOR = 0x30
};

static void pics_start(uint8_t mask)
{
    out8(PIC1, 0x11);
    out8(PIC1_DATA, IRQ0_VECTOR);
    out8(PIC1_DATA, 4);
    out8(PIC1_DATA, 1);
    out8(PIC2, 0x11);
    out8(PIC2_DATA, IRQ0_VECTOR + 8);
    out8(PIC2_DATA, 2);
    out8(PIC2_DATA, 1);
    out8(PIC2_DATA, 0xff);
    out8(PIC1_DATA, mask);
}

TEST(extint_ignores_priority, "apic.extint.priority")
{
    NEEDS(AccessIntrCtrlRegs);
    out8(PIT_COMMAND, 0x30); /* channel 0, both bytes, mode 0: OUT falls now and rises at the end */
    pics_start(0xfe);
    lapic_write(LAPIC_LVT_LINT0, LVT_EXTINT);
    lapic_write(LAPIC_TPR, 0xf0);
    irq_eoi(IRQ0_VECTOR, false); /* nothing is in service at the local APIC */
    out8(PIT_CHANNEL0, 20);
    out8(PIT_CHANNEL0, 0);
    take_interrupts(500 * US_100NS);
    out8(PIC1, 0x20);
    out8(PIC1_DATA, 0xff);
    lapic_write(LAPIC_LVT_LINT0, LVT_MASKED);
    EXPECT_EQ(irq_count(IRQ0_VECTOR), 1);
}
