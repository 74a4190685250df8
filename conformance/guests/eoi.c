/* Lazy EOI: the EOI field of the assist page. Clauses: apic.assist.* and apic.eoi.level-ends; TLFS 6.0b §10.3.4-10.3.5.
 *
 * LOW, MIDDLE and HIGH are vectors of three priority classes. Tests avoid WAIT_FOR, whose timer interrupts would move the
 * field.
 */
#include "vps.h"

enum { LOW = 0x50, MIDDLE = 0x60, HIGH = 0x70, NO_EOI_REQUIRED = 1, PIT_COMMAND = 0x43, PIT_CHANNEL0 = 0x40 };
#define SETTLE (20 * US_100NS)

static volatile uint32_t *page; /* the EOI field of VP 0 */

static bool page_on(void)
{
    page = page_alloc();
    if (wrmsr_try(HV_X64_MSR_VP_ASSIST_PAGE, gpa_of(page) | 1) != NO_FAULT) {
        EXPECT(false, "the assist page could not be enabled");
        return false;
    }
    return true;
}

static void page_off(void)
{
    wrmsr_try(HV_X64_MSR_VP_ASSIST_PAGE, 0);
}

/* The text's way to end an interrupt. True: no EOI was required. */
static bool interrupt_end(void)
{
    bool carry;
    __asm__ volatile("lock btrl $0, %1" : "=@ccc"(carry), "+m"(*page)::"memory");
    if (!carry) {
        wrmsr(HV_X64_MSR_EOI, 0);
    }
    return carry;
}

/* What handlers saw and are to do. */
static struct {
    uint32_t field[256]; /* by vector, on entry */
    bool ended_lazily[256];
    uint32_t field_after; /* behind what the handler did besides */
    bool in_service_after;
    void (*middle)(void); /* between entry and end, in the handler of MIDDLE */
    bool leave;           /* that handler ends nothing */
} h;

static void handler(unsigned vector)
{
    h.field[vector] = *page;
    if (vector == MIDDLE && h.middle != NULL) {
        h.middle();
    }
    if (!(vector == MIDDLE && h.leave)) {
        h.ended_lazily[vector] = interrupt_end();
    }
}

static void handlers_on(void)
{
    const unsigned vectors[] = {LOW, MIDDLE, HIGH};
    memset(&h, 0, sizeof h);
    for (unsigned i = 0; i < ARRAY_COUNT(vectors); i++) {
        irq_on(vectors[i], handler);
        irq_eoi(vectors[i], false);
    }
}

static bool nothing_in_service(void)
{
    for (unsigned v = 0; v < 256; v += 32) {
        if (lapic_read(LAPIC_ISR + v / 2) != 0) {
            return false;
        }
    }
    return true;
}

TEST(set_for_edge, "apic.assist.offset", "apic.assist.set-edge")
{
    NEEDS(AccessIntrCtrlRegs);
    REQUIRE(page_on());
    handlers_on();
    ipi(0, MIDDLE);
    take_interrupts(SETTLE);
    page_off();
    EXPECT_EQ(irq_count(MIDDLE), 1);
    EXPECT_EQ(h.field[MIDDLE], NO_EOI_REQUIRED);
}

TEST(upper_bits_zero, "apic.assist.upper-zero")
{
    NEEDS(AccessIntrCtrlRegs);
    REQUIRE(page_on());
    handlers_on();
    ipi(0, MIDDLE);
    ipi(0, LOW);
    take_interrupts(SETTLE);
    page_off();
    EXPECT_EQ(h.field[MIDDLE] >> 1, 0);
    EXPECT_EQ(h.field[LOW] >> 1, 0);
}

/* ---- a level-triggered interrupt: the PIT's output at pin 2 of the I/O APIC ---- */

#define IOAPIC 0xfec00000ULL
enum { IOREGSEL = 0, IOWIN = 0x10, PIN = 2, LEVEL = 1 << 15, PIN_MASKED = 1 << 16 };

static void ioapic_write(uint32_t index, uint32_t value)
{
    *(volatile uint32_t *)(IOAPIC + IOREGSEL) = index;
    *(volatile uint32_t *)(IOAPIC + IOWIN) = value;
}

static void pin_set(uint32_t low)
{
    ioapic_write(0x10 + 2 * PIN + 1, (uint32_t)vp_apic_id(0) << 24);
    ioapic_write(0x10 + 2 * PIN, low);
}

/* Mode 0: OUT is low from the mode's write until the count has run down, then high. */
static void line_low(void)
{
    out8(PIT_COMMAND, 0x30);
}

static void line_high_soon(void)
{
    line_low();
    out8(PIT_CHANNEL0, 10);
    out8(PIT_CHANNEL0, 0);
}

TEST(clear_for_level, "apic.assist.not-level")
{
    NEEDS(AccessIntrCtrlRegs);
    REQUIRE(page_on());
    handlers_on();
    h.middle = line_low;
    line_low();
    pin_set(LEVEL | MIDDLE);
    line_high_soon();
    take_interrupts(300 * US_100NS);
    pin_set(PIN_MASKED);
    page_off();
    EXPECT_EQ(irq_count(MIDDLE), 1);
    EXPECT_EQ(h.field[MIDDLE], 0);
}

static unsigned level_left;

static void level_handler(unsigned vector)
{
    if (--level_left == 0) {
        line_low();
    }
    wrmsr(HV_X64_MSR_EOI, 0);
}

TEST(level_reaches_ioapic, "apic.eoi.level-ends")
{
    NEEDS(AccessIntrCtrlRegs);
    level_left = 3;
    irq_on(MIDDLE, level_handler);
    irq_eoi(MIDDLE, false);
    line_low();
    pin_set(LEVEL | MIDDLE);
    line_high_soon();
    take_interrupts(300 * US_100NS);
    pin_set(PIN_MASKED);
    EXPECT_EQ(irq_count(MIDDLE), 3);
}

/* ---- lower interrupts ---- */

TEST(clear_when_lower_pending, "apic.assist.not-pending")
{
    NEEDS(AccessIntrCtrlRegs);
    REQUIRE(page_on());
    handlers_on();
    ipi(0, MIDDLE);
    ipi(0, LOW);
    take_interrupts(SETTLE);
    page_off();
    EXPECT_EQ(irq_count(MIDDLE) + irq_count(LOW), 2);
    EXPECT_EQ(h.field[MIDDLE], 0);
}

static void request_lower(void)
{
    ipi(0, LOW);
    h.field_after = *page;
}

TEST(cleared_by_later_lower, "apic.assist.later-lower", "apic.assist.later-lower-delivered")
{
    NEEDS(AccessIntrCtrlRegs);
    REQUIRE(page_on());
    handlers_on();
    h.middle = request_lower;
    ipi(0, MIDDLE);
    take_interrupts(SETTLE);
    page_off();
    EXPECT_EQ_FOR("apic.assist.later-lower", h.field_after, 0);
    EXPECT_EQ_FOR("apic.assist.later-lower-delivered", h.ended_lazily[MIDDLE], 0);
    EXPECT_EQ_FOR("apic.assist.later-lower-delivered", irq_count(LOW), 1);
}

/* ---- ending ---- */

TEST(cleared_ends, "apic.assist.clear-ends")
{
    NEEDS(AccessIntrCtrlRegs);
    REQUIRE(page_on());
    handlers_on();
    ipi(0, MIDDLE);
    take_interrupts(SETTLE);
    bool lazily = h.ended_lazily[MIDDLE];
    ipi(0, MIDDLE);
    take_interrupts(SETTLE);
    ipi(0, LOW);
    take_interrupts(SETTLE);
    EXPECT(lazily, "an EOI was required");
    EXPECT_EQ(irq_count(MIDDLE), 2);
    EXPECT_EQ(irq_count(LOW), 1);
    EXPECT(nothing_in_service(), "something is still in service");
    page_off();
}

TEST(zero_needs_write, "apic.assist.zero-needs-eoi")
{
    NEEDS(AccessIntrCtrlRegs);
    REQUIRE(page_on());
    handlers_on();
    h.leave = true;
    ipi(0, MIDDLE);
    ipi(0, LOW);
    take_interrupts(SETTLE);
    EXPECT_EQ(h.field[MIDDLE], 0);
    EXPECT_EQ(irq_count(LOW), 0);
    EXPECT(lapic_bit(LAPIC_ISR, MIDDLE), "it is no longer in service");
    wrmsr(HV_X64_MSR_EOI, 0);
    take_interrupts(SETTLE);
    EXPECT_EQ(irq_count(LOW), 1);
    page_off();
}

static void end_conventionally(void)
{
    wrmsr(HV_X64_MSR_EOI, 0);
    h.in_service_after = lapic_bit(LAPIC_ISR, MIDDLE);
}

static bool low_kept;

static void low_with_middle(unsigned vector)
{
    irqs(true);
    ipi(0, MIDDLE);
    spin_100ns(SETTLE);
    irqs(false);
    low_kept = lapic_bit(LAPIC_ISR, LOW);
    wrmsr(HV_X64_MSR_EOI, 0);
}

TEST(conventional_anyway, "apic.assist.conventional")
{
    NEEDS(AccessIntrCtrlRegs);
    REQUIRE(page_on());
    handlers_on();
    h.middle = end_conventionally;
    h.leave = true;
    irq_on(LOW, low_with_middle);
    ipi(0, LOW);
    take_interrupts(2 * SETTLE);
    EXPECT_EQ(irq_count(MIDDLE), 1);
    EXPECT(!h.in_service_after, "the higher one is still in service");
    EXPECT(low_kept, "the lower one was ended too");
    EXPECT(nothing_in_service(), "something is still in service");
    page_off();
}

static uint32_t low_field_at_end;

static void low_nesting(unsigned vector)
{
    irqs(true);
    ipi(0, MIDDLE);
    spin_100ns(SETTLE);
    irqs(false);
    low_field_at_end = *page;
    interrupt_end();
}

TEST(nested_once, "apic.assist.nested")
{
    NEEDS(AccessIntrCtrlRegs);
    REQUIRE(page_on());
    handlers_on();
    irq_on(LOW, low_nesting);
    ipi(0, LOW);
    take_interrupts(2 * SETTLE);
    EXPECT_EQ(irq_count(MIDDLE), 1);
    EXPECT_EQ(low_field_at_end, 0);
    EXPECT(nothing_in_service(), "something is still in service");
    irq_on(LOW, handler);
    ipi(0, LOW);
    take_interrupts(SETTLE);
    EXPECT_EQ(irq_count(LOW), 2);
    page_off();
}

static void memory_end(void)
{
    lapic_write(LAPIC_EOI, 0);
    h.in_service_after = lapic_bit(LAPIC_ISR, MIDDLE);
}

TEST(memory_eoi, "apic.assist.memory-eoi")
{
    NEEDS(AccessIntrCtrlRegs);
    REQUIRE(page_on());
    handlers_on();
    h.middle = memory_end;
    h.leave = true;
    ipi(0, MIDDLE);
    take_interrupts(SETTLE);
    EXPECT(!h.in_service_after, "it is still in service");
    h.middle = NULL;
    h.leave = false;
    ipi(0, MIDDLE);
    take_interrupts(SETTLE);
    EXPECT_EQ(irq_count(MIDDLE), 2);
    EXPECT(nothing_in_service(), "something is still in service");
    page_off();
}

/* ---- enabling and disabling ---- */

static void enable_inside(unsigned vector)
{
    page_on();
    interrupt_end();
    h.in_service_after = lapic_bit(LAPIC_ISR, vector);
}

TEST(enable_in_handler, "apic.assist.enable-any-time")
{
    NEEDS(AccessIntrCtrlRegs);
    handlers_on();
    irq_on(HIGH, enable_inside);
    ipi(0, HIGH);
    take_interrupts(SETTLE);
    EXPECT(!h.in_service_after, "it is still in service");
    ipi(0, MIDDLE);
    take_interrupts(SETTLE);
    EXPECT_EQ(irq_count(MIDDLE), 1);
    EXPECT(nothing_in_service(), "something is still in service");
    page_off();
}

static void disable_inside(void)
{
    page_off();
    wrmsr(HV_X64_MSR_EOI, 0);
    h.in_service_after = lapic_bit(LAPIC_ISR, MIDDLE);
}

TEST(disable_in_handler, "apic.assist.disable-any-time")
{
    NEEDS(AccessIntrCtrlRegs);
    REQUIRE(page_on());
    handlers_on();
    h.middle = disable_inside;
    h.leave = true;
    ipi(0, MIDDLE);
    take_interrupts(SETTLE);
    EXPECT_EQ(irq_count(MIDDLE), 1);
    EXPECT(!h.in_service_after, "it is still in service");
    irq_on(LOW, NULL);
    irq_eoi(LOW, true);
    ipi(0, LOW);
    take_interrupts(SETTLE);
    EXPECT_EQ(irq_count(LOW), 1);
}

TEST(disabled_page, "apic.assist.disabled")
{
    NEEDS(AccessIntrCtrlRegs);
    page = page_alloc();
    memset((void *)page, 0xa4, PAGE_BYTES);
    wrmsr(HV_X64_MSR_VP_ASSIST_PAGE, gpa_of(page));
    irq_eoi(MIDDLE, false);
    ipi(0, MIDDLE);
    ipi(0, LOW);
    take_interrupts(SETTLE);
    EXPECT_EQ(irq_count(MIDDLE), 1);
    EXPECT_EQ(irq_count(LOW), 0);
    wrmsr(HV_X64_MSR_EOI, 0);
    take_interrupts(SETTLE);
    EXPECT_EQ(irq_count(LOW), 1);
    EXPECT_EQ(page[0], 0xa4a4a4a4);
    page_off();
}

/* ---- other sources and VPs ---- */

TEST(auto_eoi_leaves_clear, "apic.assist.auto-eoi")
{
    NEEDS(AccessIntrCtrlRegs);
    NEEDS(AccessSynicRegs);
    NEEDS(AccessSyntheticTimerRegs);
    NEEDS(AccessPartitionReferenceCounter);
    REQUIRE(page_on());
    REQUIRE(synic_enable());
    irq_eoi(MIDDLE, false);
    wrmsr(HV_X64_MSR_SINT0 + 2, HV_SYNIC_SINT_AUTO_EOI | MIDDLE);
    wrmsr(HV_X64_MSR_STIMER0_CONFIG, HV_STIMER_SINT(2));
    wrmsr(HV_X64_MSR_STIMER0_COUNT, ref_time() + 100 * US_100NS);
    wrmsr(HV_X64_MSR_STIMER0_CONFIG, HV_STIMER_SINT(2) | HV_STIMER_ENABLED);
    take_interrupts(200 * US_100NS);
    EXPECT_EQ(irq_count(MIDDLE), 1);
    EXPECT_EQ(*page, 0);
    page_off();
}

static void other_page_job(void *gpa)
{
    wrmsr(HV_X64_MSR_VP_ASSIST_PAGE, *(const uint64_t *)gpa);
}

TEST(each_vp, "apic.assist.per-vp")
{
    NEEDS(AccessIntrCtrlRegs);
    NEEDS_VPS(2);
    volatile uint32_t *other = page_alloc();
    uint64_t gpa = gpa_of(other) | 1, off = 0;
    REQUIRE(page_on());
    on_vp(1, other_page_job, &gpa);
    *page = 0;
    ipi(1, MIDDLE); /* the kit ends it conventionally */
    spin_100ns(5 * SETTLE);
    EXPECT_EQ(irq_count_on(1, MIDDLE), 1);
    EXPECT_EQ(*page, 0);
    on_vp(1, other_page_job, &off);
    page_off();
}
