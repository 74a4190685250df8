/* What a reset leaves of SynIC and timers. TLFS 6.0b §11.3.5, §11.8, §11.9, §12.5.1.
 *
 * The scenario loads the guest again after a reset, and the platform's clock goes on: by the ACPI PM timer the first start,
 * which uses everything and asks for the reset, is told from the second, which reports. An INIT is not judged: whether it is a
 * processor reset in the texts' sense is left open.
 */
#include "synic_use.h"

enum { SECOND_START_TICKS = 178977 /* of the PM timer: 50 ms */, TIMER_100NS = 400000, SINT_ONE_SHOT = 3, SINT_PERIODIC = 4 };

struct found {
    uint64_t scontrol, siefp, simp, sint[SINTS], config[STIMERS];
};
static bool second;
static struct found found[2];

/* Its port stands in the FADT at byte 76. */
static uint32_t pm_ticks(void)
{
    const uint8_t *fadt = acpi_table("FACP");
    return fadt == NULL ? 0 : in32((uint16_t) * (const uint32_t *)(fadt + 76)) & 0xffffff;
}

static bool can_reset(void)
{
    return has(AccessResetReg) && has(AccessSynicRegs) && has(AccessSyntheticTimerRegs) && has(AccessPartitionReferenceCounter);
}

static void find_registers(void *unused)
{
    struct found *f = &found[this_vp()];
    f->scontrol = rdmsr(HV_X64_MSR_SCONTROL);
    f->siefp = rdmsr(HV_X64_MSR_SIEFP);
    f->simp = rdmsr(HV_X64_MSR_SIMP);
    for (unsigned i = 0; i < SINTS; i++) {
        f->sint[i] = rdmsr(sint_msr(i));
    }
    for (unsigned i = 0; i < STIMERS; i++) {
        f->config[i] = rdmsr(config_msr(i));
    }
}

/* Pages full of ones, unmasked SINTs, a message in SINT2's slot and three behind it; timers that are due later. */
static void use_everything(void *unused)
{
    if (!synic_open()) {
        return;
    }
    for (unsigned timer = 0; timer < STIMERS; timer++) {
        timer_message(timer, 2);
    }
    spin_100ns(SILENCE_100NS);
    memset((void *)simp(), 0xff, PAGE_BYTES);
    memset((void *)siefp(), 0xff, PAGE_BYTES);
    for (unsigned i = 3; i < SINTS; i++) {
        wrmsr(sint_msr(i), 0x40 + i);
    }
    wrmsr(count_msr(0), ref_time() + TIMER_100NS);
    wrmsr(config_msr(0), HV_STIMER_ENABLED | HV_STIMER_SINT(SINT_ONE_SHOT));
    wrmsr(count_msr(1), TIMER_100NS);
    wrmsr(config_msr(1), HV_STIMER_ENABLED | HV_STIMER_PERIODIC | HV_STIMER_SINT(SINT_PERIODIC));
}

void probe_before_report(void)
{
    if (!can_reset()) {
        return;
    }
    smp_start();
    bool other = vp_count() > 1;
    if (pm_ticks() >= SECOND_START_TICKS) {
        second = true;
        find_registers(NULL);
        if (other) {
            on_vp(1, find_registers, NULL);
        }
        return;
    }
    irqs(true);
    WAIT_FOR(pm_ticks() >= SECOND_START_TICKS + SECOND_START_TICKS / 4, 1000 * MS_100NS);
    irqs(false);
    use_everything(NULL);
    if (other) {
        on_vp(1, use_everything, NULL);
    }
    wrmsr(HV_X64_MSR_RESET, 1);
    spin_100ns(100 * MS_100NS); /* what comes here was not reset: the tests say so */
}

#define NEEDS_RESET()                                                                                                          \
    NEEDS(AccessResetReg);                                                                                                     \
    NEEDS(AccessSynicRegs);                                                                                                    \
    NEEDS(AccessSyntheticTimerRegs);                                                                                           \
    NEEDS(AccessPartitionReferenceCounter);                                                                                    \
    REQUIRE(second, "the partition was not restarted")

TEST(synic_registers, "synic.scontrol.after-reset", "synic.siefp.after-reset", "synic.simp.after-reset",
     "synic.sint.after-reset")
{
    NEEDS_RESET();
    for (unsigned vp = 0; vp < 2 && vp < vp_count(); vp++) {
        EXPECT_EQ_FOR("synic.scontrol.after-reset", found[vp].scontrol, 0);
        EXPECT_EQ_FOR("synic.siefp.after-reset", found[vp].siefp, 0);
        EXPECT_EQ_FOR("synic.simp.after-reset", found[vp].simp, 0);
        for (unsigned i = 0; i < SINTS; i++) {
            EXPECT_EQ_FOR("synic.sint.after-reset", found[vp].sint[i], 0x10000);
        }
    }
}

/* With SCONTROL off: nothing that waits somewhere can come into them. */
static void look_at_pages(void *any)
{
    volatile uint64_t *pages = pages_alloc(2);
    wrmsr(HV_X64_MSR_SIMP, gpa_of(pages) | 1);
    wrmsr(HV_X64_MSR_SIEFP, (gpa_of(pages) + PAGE_BYTES) | 1);
    for (unsigned i = 0; i < 2 * PAGE_BYTES / 8; i++) {
        *(uint64_t *)any |= pages[i];
    }
}

TEST(synic_pages, "synic.pages.zero-after-reset")
{
    NEEDS_RESET();
    for (unsigned vp = 0; vp < 2 && vp < vp_count(); vp++) {
        uint64_t any = 0;
        on_vp(vp, look_at_pages, &any);
        EXPECT(any == 0, "VP %u finds 0x%lx", vp, any);
    }
}

static void count_messages(void *full)
{
    if (!EXPECT(synic_enable())) {
        return;
    }
    eom();
    spin_100ns(SILENCE_100NS);
    for (unsigned sint = 0; sint < SINTS; sint++) {
        *(unsigned *)full += slot_full(sint);
    }
}

static void find_expiries(void *fired)
{
    if (EXPECT(synic_enable())) {
        spin_100ns(SILENCE_100NS);
        *(bool *)fired = slot_full(SINT_ONE_SHOT) || slot_full(SINT_PERIODIC);
    }
}

TEST(synic_queues, "message.queue.empty-after-reset")
{
    NEEDS_RESET();
    for (unsigned vp = 0; vp < 2 && vp < vp_count(); vp++) {
        unsigned full = 0;
        on_vp(vp, count_messages, &full);
        EXPECT(full == 0, "VP %u finds %u messages", vp, full);
    }
}

/* Whatever they count from, the timers of the first start would be due by then. */
TEST(timer_registers, "stimer.config.after-reset")
{
    NEEDS_RESET();
    irqs(true);
    WAIT_FOR(false, 3 * TIMER_100NS);
    irqs(false);
    for (unsigned vp = 0; vp < 2 && vp < vp_count(); vp++) {
        for (unsigned i = 0; i < STIMERS; i++) {
            EXPECT(found[vp].config[i] == 0, "VP %u, timer %u: 0x%lx", vp, i, found[vp].config[i]);
        }
        bool fired = false;
        on_vp(vp, find_expiries, &fired);
        EXPECT(!fired, "VP %u: a timer has fired", vp);
    }
}
