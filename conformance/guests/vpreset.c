/* What a processor reset leaves of SynIC and timers: VP 1 uses them, is reset by INIT and SIPI, and looks. TLFS 6.0b §11.3.5,
 * §11.8, §11.9, §12.5.1.
 */
#include "layout.h"
#include "synic_use.h"

enum { ICR_INIT = 5 << 8, ICR_STARTUP = 6 << 8, ICR_ASSERT = 1 << 14 };

/* It runs the kit's start-up code once more and is ready for jobs again. */
static void vp_reset(unsigned vp)
{
    lapic_write(LAPIC_ICR_HIGH, (uint32_t)vp_apic_id(vp) << 24);
    lapic_write(LAPIC_ICR, ICR_INIT | ICR_ASSERT);
    spin_100ns(100);
    lapic_write(LAPIC_ICR_HIGH, (uint32_t)vp_apic_id(vp) << 24);
    lapic_write(LAPIC_ICR, ICR_STARTUP | ICR_ASSERT | LOW_AP >> 12);
    spin_100ns(5000);
}

#define NEEDS_VP_1()                                                                                                           \
    NEEDS_THAT(vp_count() > 1, "one VP");                                                                                      \
    smp_start()

static void use_registers(void *page)
{
    wrmsr(HV_X64_MSR_SIMP, gpa_of(page) | 1);
    wrmsr(HV_X64_MSR_SIEFP, (gpa_of(page) + PAGE_BYTES) | 1);
    wrmsr(HV_X64_MSR_SCONTROL, 1);
    for (unsigned i = 0; i < SINTS; i++) {
        wrmsr(sint_msr(i), 0x40 + i);
    }
}

struct found {
    uint64_t scontrol, siefp, simp, sint[SINTS];
};

static void find_registers(void *arg)
{
    struct found *f = arg;
    f->scontrol = rdmsr(HV_X64_MSR_SCONTROL);
    f->siefp = rdmsr(HV_X64_MSR_SIEFP);
    f->simp = rdmsr(HV_X64_MSR_SIMP);
    for (unsigned i = 0; i < SINTS; i++) {
        f->sint[i] = rdmsr(sint_msr(i));
    }
}

TEST(synic_registers, "synic.scontrol.after-init", "synic.siefp.after-init", "synic.simp.after-init", "synic.sint.after-init")
{
    NEEDS(AccessSynicRegs);
    NEEDS_VP_1();
    struct found f;
    on_vp(1, use_registers, pages_alloc(2));
    vp_reset(1);
    on_vp(1, find_registers, &f);
    EXPECT_EQ_FOR("synic.scontrol.after-init", f.scontrol, 0);
    EXPECT_EQ_FOR("synic.siefp.after-init", f.siefp, 0);
    EXPECT_EQ_FOR("synic.simp.after-init", f.simp, 0);
    for (unsigned i = 0; i < SINTS; i++) {
        EXPECT_EQ_FOR("synic.sint.after-init", f.sint[i], 0x10000);
    }
}

static void fill_pages(void *page)
{
    use_registers(page);
    memset(page, 0x77, 2 * PAGE_BYTES); /* the overlays */
}

static void sum_pages(void *arg)
{
    uint64_t *words = arg;
    use_registers(words);
    uint64_t any = 0;
    for (unsigned i = 0; i < 2 * PAGE_BYTES / 8; i++) {
        any |= words[i];
    }
    wrmsr(HV_X64_MSR_SIMP, 0);
    wrmsr(HV_X64_MSR_SIEFP, 0);
    words[0] = any;
}

TEST(synic_pages, "synic.pages.zero-after-init")
{
    NEEDS(AccessSynicRegs);
    NEEDS_VP_1();
    uint64_t *words = pages_alloc(2);
    on_vp(1, fill_pages, words);
    vp_reset(1);
    on_vp(1, sum_pages, words);
    EXPECT(words[0] == 0, "the pages hold 0x%lx", words[0]);
}

static void queue_messages(void *unused)
{
    if (!EXPECT(synic_open())) {
        return;
    }
    message_slot(2)->type = 7;
    for (unsigned timer = 0; timer < STIMERS; timer++) {
        timer_message(timer, 2);
    }
    spin_100ns(SILENCE_100NS);
}

static void look_for_messages(void *arg)
{
    if (!EXPECT(synic_enable())) {
        return;
    }
    eom();
    spin_100ns(SILENCE_100NS);
    for (unsigned sint = 0; sint < SINTS; sint++) {
        *(unsigned *)arg += slot_full(sint);
    }
}

TEST(synic_queues, "message.queue.empty-after-init")
{
    NEEDS(AccessSynicRegs);
    NEEDS(AccessSyntheticTimerRegs);
    NEEDS_VP_1();
    unsigned full = 0;
    on_vp(1, queue_messages, NULL);
    vp_reset(1);
    on_vp(1, look_for_messages, &full);
    EXPECT(full == 0, "%u messages have survived", full);
}

static void start_timers(void *due)
{
    if (has(AccessSynicRegs) && !EXPECT(synic_open())) {
        return;
    }
    for (unsigned timer = 0; timer < STIMERS; timer++) {
        wrmsr(count_msr(timer), *(uint64_t *)due);
        wrmsr(config_msr(timer), HV_STIMER_ENABLED | HV_STIMER_SINT(2));
    }
}

static void find_timers(void *arg)
{
    for (unsigned timer = 0; timer < STIMERS; timer++) {
        ((uint64_t *)arg)[timer] = rdmsr(config_msr(timer));
    }
    while (has(AccessSynicRegs) && ref_time() < ((uint64_t *)arg)[STIMERS]) {
        pause();
    }
    unsigned full = 0;
    look_for_messages(&full);
    ((uint64_t *)arg)[STIMERS] = full;
}

TEST(timer_registers, "stimer.config.after-init")
{
    NEEDS(AccessSyntheticTimerRegs);
    NEEDS(AccessSynicRegs);
    NEEDS(AccessPartitionReferenceCounter);
    NEEDS_VP_1();
    uint64_t due = ref_time() + 20000;
    on_vp(1, start_timers, &due);
    vp_reset(1);
    EXPECT(ref_time() < due, "the reset took too long");
    uint64_t found[STIMERS + 1] = {0, 0, 0, 0, due + 2000};
    on_vp(1, find_timers, found);
    for (unsigned timer = 0; timer < STIMERS; timer++) {
        EXPECT(found[timer] == 0, "timer %u: 0x%lx", timer, found[timer]);
    }
    EXPECT(found[STIMERS] == 0, "a timer has fired");
}
