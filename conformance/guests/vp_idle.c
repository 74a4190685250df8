/* The idle sleep state: HV_X64_MSR_GUEST_IDLE. Clauses: vp.idle.*; TLFS 6.0b §7.5. */
#include "vps.h"

enum { WAKE = 0x50 };

/* The local APIC's timer, in its ticks. */
static void timer_start(uint32_t ticks)
{
    lapic_write(LAPIC_TIMER_DIVIDE, 0xb);
    lapic_write(LAPIC_LVT_TIMER, WAKE);
    lapic_write(LAPIC_TIMER_INITIAL, ticks);
}

static bool timer_runs(void)
{
    return lapic_read(LAPIC_TIMER_CURRENT) != 0;
}

TEST(sleeps_until_interrupt, "vp.idle.enabled", "vp.idle.sleeps")
{
    NEEDS(AccessGuestIdleReg);
    uint64_t value;
    timer_start(100000);
    irqs(true);
    unsigned vector = rdmsr_try(HV_X64_MSR_GUEST_IDLE, &value);
    bool early = timer_runs();
    irqs(false);
    EXPECT_EQ(vector, NO_FAULT);
    EXPECT(!early, "the read ended before the timer did");
    EXPECT_EQ_FOR("vp.idle.enabled", irq_count(WAKE), 1);
}

TEST(wakes_while_masked, "vp.idle.masked")
{
    NEEDS(AccessGuestIdleReg);
    uint64_t value;
    timer_start(100000);
    EXPECT_EQ(rdmsr_try(HV_X64_MSR_GUEST_IDLE, &value), NO_FAULT);
    EXPECT(!timer_runs(), "the read ended before the timer did");
    EXPECT_EQ(irq_count(WAKE), 0);
    EXPECT(lapic_bit(LAPIC_IRR, WAKE), "the interrupt is not pending");
    take_interrupts(10 * US_100NS);
    EXPECT_EQ(irq_count(WAKE), 1);
}

TEST(pending_already, "vp.idle.pending")
{
    NEEDS(AccessGuestIdleReg);
    uint64_t value;
    ipi(0, WAKE);
    timer_start(1000000);
    EXPECT_EQ(rdmsr_try(HV_X64_MSR_GUEST_IDLE, &value), NO_FAULT);
    EXPECT(timer_runs(), "it slept until the timer");
}

static volatile bool asleep, awake;

static void sleeping_job(void *unused)
{
    uint64_t value;
    irqs(false);
    asleep = true;
    rdmsr_try(HV_X64_MSR_GUEST_IDLE, &value);
    awake = true;
}

TEST(woken_by_other_vp, "vp.idle.remote")
{
    NEEDS(AccessGuestIdleReg);
    NEEDS_VPS(2);
    asleep = awake = false;
    on_vp_async(1, sleeping_job, NULL);
    WAIT_FOR(asleep, 10 * MS_100NS);
    spin_100ns(200 * US_100NS);
    EXPECT(!awake, "it did not sleep");
    ipi(1, WAKE);
    vp_wait(1);
    EXPECT(awake, "it did not wake");
}

TEST(asleep_is_not_run_time, "vp.idle.not-running")
{
    NEEDS(AccessGuestIdleReg);
    NEEDS(AccessVpRunTimeReg);
    NEEDS(AccessPartitionReferenceCounter);
    uint64_t value, run = rdmsr(HV_X64_MSR_VP_RUNTIME), from = ref_time();
    timer_start(400000);
    rdmsr_try(HV_X64_MSR_GUEST_IDLE, &value);
    run = rdmsr(HV_X64_MSR_VP_RUNTIME) - run;
    uint64_t passed = ref_time() - from;
    EXPECT(run * 5 < passed, "%lu of %lu", run, passed);
}

TEST(write_faults, "vp.idle.read-only")
{
    NEEDS(AccessGuestIdleReg);
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_GUEST_IDLE, 0), VEC_GP);
}

TEST(withheld, "vp.idle.withheld")
{
    NEEDS_WITHHELD(AccessGuestIdleReg);
    EXPECT(msr_absent(HV_X64_MSR_GUEST_IDLE));
}

TEST(announced_with_privilege, "vp.idle.announced")
{
    NEEDS_THAT(hv_present() && edition() >= EDITION_2_0, "not of edition %u", edition());
    EXPECT_EQ(has(GuestIdleAvailable), has(AccessGuestIdleReg));
}
