/* Judges msr.yaml: which synthetic MSRs an edition has, how they may be accessed, and a few numbers of the table itself. */
#include "kit.h"

enum { MSRS_PER_TIMER = 2, TIMERS = 4, SINTS = 16, CRASH_PARAMETERS = 5 };

/* ---- access ---- */

static void expect_read_write(uint32_t msr, uint64_t value)
{
    uint64_t before, after;
    EXPECT(rdmsr_try(msr, &before) == NO_FAULT, "RDMSR 0x%x raised an exception", msr);
    EXPECT(wrmsr_try(msr, value) == NO_FAULT, "WRMSR 0x%x raised an exception", msr);
    EXPECT(rdmsr_try(msr, &after) == NO_FAULT && after == value, "0x%x reads 0x%lx after 0x%lx was written", msr, after, value);
    wrmsr_try(msr, before);
}

static void expect_faults(uint32_t first, uint32_t last)
{
    for (uint32_t msr = first; msr <= last; msr++) {
        uint64_t value;
        EXPECT(rdmsr_try(msr, &value) == VEC_GP, "RDMSR 0x%x did not raise #GP", msr);
        EXPECT(wrmsr_try(msr, 0) == VEC_GP, "WRMSR 0x%x did not raise #GP", msr);
    }
}

#define READABLE_TEST(name, clause, bit, first_edition, last_edition, msr)                                                     \
    TEST(name, clause)                                                                                                         \
    {                                                                                                                          \
        NEEDS(bit);                                                                                                            \
        NEEDS_EDITION(first_edition, last_edition);                                                                            \
        uint64_t value;                                                                                                        \
        EXPECT_EQ(rdmsr_try(msr, &value), NO_FAULT);                                                                           \
    }
#define NOT_WRITABLE_TEST(name, clause, bit, first_edition, last_edition, msr)                                                 \
    TEST(name, clause)                                                                                                         \
    {                                                                                                                          \
        NEEDS(bit);                                                                                                            \
        NEEDS_EDITION(first_edition, last_edition);                                                                            \
        EXPECT_EQ(wrmsr_try(msr, 0), VEC_GP);                                                                                  \
        EXPECT_EQ(wrmsr_try(msr, 1), VEC_GP);                                                                                  \
    }
#define READ_WRITE_TEST(name, clause, bit, first_edition, last_edition, msr, value)                                            \
    TEST(name, clause)                                                                                                         \
    {                                                                                                                          \
        NEEDS(bit);                                                                                                            \
        NEEDS_EDITION(first_edition, last_edition);                                                                            \
        expect_read_write(msr, value);                                                                                         \
    }
#define ABSENT_TEST(name, clause, first_edition, last_edition, first, last)                                                    \
    TEST(name, clause)                                                                                                         \
    {                                                                                                                          \
        NEEDS_THAT(hv_present(), "no hypervisor");                                                                             \
        NEEDS_EDITION(first_edition, last_edition);                                                                            \
        expect_faults(first, last);                                                                                            \
    }

/* clang-format off: a table */
READ_WRITE_TEST(guest_os_id_read_write, "msr.guest-os-id.access", AccessHypercallMsrs, EDITION_2_0, EDITION_LAST,
                HV_X64_MSR_GUEST_OS_ID, 0x8100000000000001)
READ_WRITE_TEST(hypercall_read_write, "msr.hypercall.access", AccessHypercallMsrs, EDITION_2_0, EDITION_LAST,
                HV_X64_MSR_HYPERCALL, 0x100000)
READABLE_TEST(vp_index_readable, "msr.vp-index.read", AccessVpIndex, EDITION_2_0, EDITION_LAST, HV_X64_MSR_VP_INDEX)
NOT_WRITABLE_TEST(vp_index_not_writable, "msr.vp-index.write", AccessVpIndex, EDITION_2_0, EDITION_LAST, HV_X64_MSR_VP_INDEX)
READABLE_TEST(vp_runtime_readable, "msr.vp-runtime.read", AccessVpRunTimeReg, EDITION_2_0, EDITION_LAST, HV_X64_MSR_VP_RUNTIME)
NOT_WRITABLE_TEST(vp_runtime_not_writable, "msr.vp-runtime.write", AccessVpRunTimeReg, EDITION_2_0, EDITION_LAST,
                  HV_X64_MSR_VP_RUNTIME)
READABLE_TEST(time_ref_count_readable, "msr.time-ref-count.read", AccessPartitionReferenceCounter, EDITION_2_0, EDITION_LAST,
              HV_X64_MSR_TIME_REF_COUNT)
NOT_WRITABLE_TEST(time_ref_count_not_writable, "msr.time-ref-count.write", AccessPartitionReferenceCounter, EDITION_2_0,
                  EDITION_LAST, HV_X64_MSR_TIME_REF_COUNT)
READABLE_TEST(tsc_frequency_readable, "msr.tsc-frequency.read", AccessFrequencyRegs, EDITION_3_0, EDITION_LAST,
              HV_X64_MSR_TSC_FREQUENCY)
NOT_WRITABLE_TEST(tsc_frequency_not_writable, "msr.tsc-frequency.write", AccessFrequencyRegs, EDITION_3_0, EDITION_LAST,
                  HV_X64_MSR_TSC_FREQUENCY)
READABLE_TEST(apic_frequency_readable, "msr.apic-frequency.read", AccessFrequencyRegs, EDITION_3_0, EDITION_LAST,
              HV_X64_MSR_APIC_FREQUENCY)
NOT_WRITABLE_TEST(apic_frequency_not_writable, "msr.apic-frequency.write", AccessFrequencyRegs, EDITION_3_0, EDITION_LAST,
                  HV_X64_MSR_APIC_FREQUENCY)
READ_WRITE_TEST(npiep_read_write, "msr.npiep.access", Npiep1Available, EDITION_4_0, EDITION_LAST, HV_X64_MSR_NPIEP_CONFIG, 1)
READ_WRITE_TEST(tpr_read_write, "msr.tpr.access", AccessIntrCtrlRegs, EDITION_2_0, EDITION_LAST, HV_X64_MSR_TPR, 0x20)
READ_WRITE_TEST(assist_read_write, "msr.assist.access", AccessIntrCtrlRegs, EDITION_2_0, EDITION_LAST,
                HV_X64_MSR_VP_ASSIST_PAGE, 0x100000)
READ_WRITE_TEST(scontrol_read_write, "msr.scontrol.access", AccessSynicRegs, EDITION_2_0, EDITION_LAST, HV_X64_MSR_SCONTROL, 1)
READABLE_TEST(sversion_readable, "msr.sversion.read", AccessSynicRegs, EDITION_2_0, EDITION_LAST, HV_X64_MSR_SVERSION)
NOT_WRITABLE_TEST(sversion_not_writable, "msr.sversion.write", AccessSynicRegs, EDITION_2_0, EDITION_LAST, HV_X64_MSR_SVERSION)
READ_WRITE_TEST(siefp_read_write, "msr.siefp.access", AccessSynicRegs, EDITION_2_0, EDITION_LAST, HV_X64_MSR_SIEFP, 0x100000)
READ_WRITE_TEST(simp_read_write, "msr.simp.access", AccessSynicRegs, EDITION_2_0, EDITION_LAST, HV_X64_MSR_SIMP, 0x100000)
NOT_WRITABLE_TEST(guest_idle_not_writable, "msr.guest-idle.write", AccessGuestIdleReg, EDITION_2_0, EDITION_LAST,
                  HV_X64_MSR_GUEST_IDLE)
ABSENT_TEST(no_frequencies_2_0, "msr.absent.frequencies-2008r2", EDITION_2_0, EDITION_2_0, HV_X64_MSR_TSC_FREQUENCY,
            HV_X64_MSR_APIC_FREQUENCY)
ABSENT_TEST(no_crash_2_0, "msr.absent.crash-2008r2", EDITION_2_0, EDITION_2_0, HV_X64_MSR_CRASH_P0, HV_X64_MSR_CRASH_CTL)
ABSENT_TEST(no_npiep_3_0, "msr.absent.npiep-2012", EDITION_2_0, EDITION_3_0, HV_X64_MSR_NPIEP_CONFIG, HV_X64_MSR_NPIEP_CONFIG)
ABSENT_TEST(no_reenlightenment_4_0, "msr.absent.reenlightenment-2012r2", EDITION_2_0, EDITION_4_0,
            HV_X64_MSR_REENLIGHTENMENT_CONTROL, HV_X64_MSR_TSC_EMULATION_STATUS)
ABSENT_TEST(no_unhalted_5_0, "msr.absent.unhalted-5", EDITION_2_0, EDITION_5_0, HV_X64_MSR_STIME_UNHALTED_TIMER_CONFIG,
            HV_X64_MSR_STIME_UNHALTED_TIMER_COUNT)
/* clang-format on */

TEST(reset_read_write, "msr.reset.access")
{
    NEEDS(AccessResetReg);
    uint64_t value;
    EXPECT_EQ(rdmsr_try(HV_X64_MSR_RESET, &value), NO_FAULT);
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_RESET, 0), NO_FAULT);
}

TEST(reference_tsc_read_write, "msr.reference-tsc.access", "msr.reference-tsc.gate")
{
    NEEDS(AccessPartitionReferenceTsc);
    expect_read_write(HV_X64_MSR_REFERENCE_TSC, 0x100000);
}

TEST(eoi_writable, "msr.eoi.write")
{
    NEEDS(AccessIntrCtrlRegs);
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_EOI, 0), NO_FAULT);
}

TEST(eoi_not_readable, "msr.eoi.read")
{
    NEEDS(AccessIntrCtrlRegs);
    uint64_t value;
    EXPECT_EQ(rdmsr_try(HV_X64_MSR_EOI, &value), VEC_GP);
}

TEST(icr_read_write, "msr.icr.access")
{
    enum { VECTOR = 0x69, SELF_SHORTHAND = 1 << 18 };
    NEEDS(AccessIntrCtrlRegs);
    uint64_t value;
    EXPECT_EQ(rdmsr_try(HV_X64_MSR_ICR, &value), NO_FAULT);
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_ICR, VECTOR | SELF_SHORTHAND), NO_FAULT);
    EXPECT_EQ(rdmsr(HV_X64_MSR_ICR) & 0xff, VECTOR);
}

TEST(eom_writable, "msr.eom.write")
{
    NEEDS(AccessSynicRegs);
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_EOM, 0), NO_FAULT);
}

TEST(eom_reads_zero, "msr.eom.read")
{
    NEEDS(AccessSynicRegs);
    uint64_t value = 1;
    EXPECT_EQ(rdmsr_try(HV_X64_MSR_EOM, &value), NO_FAULT);
    EXPECT_EQ(value, 0);
}

TEST(sint_read_write, "msr.sint.access")
{
    NEEDS(AccessSynicRegs);
    for (uint32_t i = 0; i < SINTS; i++) {
        expect_read_write(HV_X64_MSR_SINT0 + i, HV_SYNIC_SINT_MASKED | (0x40 + i));
    }
}

TEST(sint_count, "msr.sint.count")
{
    NEEDS(AccessSynicRegs);
    for (uint32_t i = 0; i < SINTS; i++) {
        EXPECT_EQ(rdmsr(HV_X64_MSR_SINT0 + i), HV_SYNIC_SINT_MASKED);
    }
    expect_faults(HV_X64_MSR_EOM + 1, HV_X64_MSR_SINT0 - 1);
    expect_faults(HV_X64_MSR_SINT15 + 1, HV_X64_MSR_STIMER0_CONFIG - 1);
}

/* Not enabled: a periodic timer for SINT 1, or in direct mode where messages cannot be had. */
static uint64_t timer_config(void)
{
    return has(AccessSynicRegs) ? HV_STIMER_SINT(1) | HV_STIMER_PERIODIC : HV_STIMER_DIRECT | HV_STIMER_APIC_VECTOR(0x6a);
}

TEST(stimer_config_read_write, "msr.stimer-config.access")
{
    NEEDS(AccessSyntheticTimerRegs);
    for (uint32_t i = 0; i < TIMERS; i++) {
        expect_read_write(HV_X64_MSR_STIMER0_CONFIG + MSRS_PER_TIMER * i, timer_config());
    }
}

TEST(stimer_count_read_write, "msr.stimer-count.access")
{
    NEEDS(AccessSyntheticTimerRegs);
    for (uint32_t i = 0; i < TIMERS; i++) {
        expect_read_write(HV_X64_MSR_STIMER0_COUNT + MSRS_PER_TIMER * i, 0x123456789abcdef0);
    }
}

TEST(stimer_count, "msr.stimer.count")
{
    NEEDS(AccessSyntheticTimerRegs);
    uint64_t value;
    for (uint32_t msr = HV_X64_MSR_STIMER0_CONFIG; msr <= HV_X64_MSR_STIMER3_COUNT; msr++) {
        EXPECT(rdmsr_try(msr, &value) == NO_FAULT, "0x%x", msr);
    }
    expect_faults(HV_X64_MSR_STIMER3_COUNT + 1, 0x400000c0);
}

TEST(stats_read_write, "msr.stats.access")
{
    NEEDS(AccessStatsReg);
    NEEDS_EDITION(EDITION_2_0, EDITION_5_0);
    for (uint32_t msr = HV_X64_MSR_STATS_PARTITION_RETAIL_PAGE; msr <= HV_X64_MSR_STATS_VP_INTERNAL_PAGE; msr++) {
        expect_read_write(msr, 0x100000);
    }
}

TEST(guest_idle_readable, "msr.guest-idle.read")
{
    enum { VECTOR = 0x6b };
    NEEDS(AccessGuestIdleReg);
    uint64_t value;
    ipi(this_vp(), VECTOR); /* pending: the idle state ends at once */
    EXPECT_EQ(rdmsr_try(HV_X64_MSR_GUEST_IDLE, &value), NO_FAULT);
}

TEST(debug_exist, "msr.debug.exists")
{
    NEEDS(AccessDebugRegs);
    NEEDS(DebugRegsAvailable);
    NEEDS_EDITION(EDITION_4_0, EDITION_5_0);
    uint64_t value;
    EXPECT_EQ(rdmsr_try(HV_X64_MSR_SYNDBG_CONTROL + 1, &value), NO_FAULT); /* its status */
    for (uint32_t msr = HV_X64_MSR_SYNDBG_CONTROL + 2; msr <= HV_X64_MSR_SYNDBG_PENDING_BUFFER; msr++) {
        EXPECT(rdmsr_try(msr, &value) == NO_FAULT || wrmsr_try(msr, 0) == NO_FAULT, "0x%x", msr);
    }
}

TEST(crash_parameters_read_write, "msr.crash-parameters.access")
{
    NEEDS(GuestCrashRegsAvailable);
    NEEDS_EDITION(EDITION_3_0, EDITION_LAST);
    for (uint32_t i = 0; i < CRASH_PARAMETERS; i++) {
        expect_read_write(HV_X64_MSR_CRASH_P0 + i, 0x1111111111111111 * (i + 1));
    }
}

/* A write with neither bit 63 nor 62 asks for nothing. */
TEST(crash_control_read_write, "msr.crash-control.access")
{
    NEEDS(GuestCrashRegsAvailable);
    NEEDS_EDITION(EDITION_3_0, EDITION_LAST);
    uint64_t value;
    EXPECT_EQ(rdmsr_try(HV_X64_MSR_CRASH_CTL, &value), NO_FAULT);
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_CRASH_CTL, 0), NO_FAULT);
}

TEST(crash_parameters_keep, "msr.crash-parameters.keep")
{
    NEEDS(GuestCrashRegsAvailable);
    NEEDS_EDITION(EDITION_3_0, EDITION_LAST);
    static const uint64_t values[] = {0, 0xffffffffffffffff, 0x123456789abcdef0};
    for (uint32_t i = 0; i < CRASH_PARAMETERS; i++) {
        for (unsigned k = 0; k < ARRAY_COUNT(values); k++) {
            wrmsr(HV_X64_MSR_CRASH_P0 + i, values[k]);
            EXPECT_EQ(rdmsr(HV_X64_MSR_CRASH_P0 + i), values[k]);
        }
    }
}

TEST(crash_parameters_separate, "msr.crash-parameters.separate")
{
    NEEDS(GuestCrashRegsAvailable);
    NEEDS_EDITION(EDITION_3_0, EDITION_LAST);
    for (uint32_t i = 0; i < CRASH_PARAMETERS; i++) {
        wrmsr(HV_X64_MSR_CRASH_P0 + i, 100 + i);
    }
    for (uint32_t i = 0; i < CRASH_PARAMETERS; i++) {
        EXPECT_EQ(rdmsr(HV_X64_MSR_CRASH_P0 + i), 100 + i);
    }
}

TEST(reenlightenment_read_write, "msr.reenlightenment.access")
{
    NEEDS(AccessReenlightenmentControls);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    expect_read_write(HV_X64_MSR_REENLIGHTENMENT_CONTROL, 0xee); /* a vector, not enabled */
}

TEST(tsc_emulation_control_read_write, "msr.tsc-emulation-control.access")
{
    NEEDS(AccessReenlightenmentControls);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    expect_read_write(HV_X64_MSR_TSC_EMULATION_CONTROL, 1);
}

TEST(tsc_emulation_status_read_write, "msr.tsc-emulation-status.access")
{
    NEEDS(AccessReenlightenmentControls);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    uint64_t value;
    EXPECT_EQ(rdmsr_try(HV_X64_MSR_TSC_EMULATION_STATUS, &value), NO_FAULT);
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_TSC_EMULATION_STATUS, 0), NO_FAULT);
}

TEST(unhalted_config_read_write, "msr.unhalted-config.access")
{
    NEEDS(AccessSyntheticTimerRegs);
    NEEDS(SyntheticTimeUnhaltedTimerAvailable);
    NEEDS_EDITION(EDITION_6_0, EDITION_6_0);
    expect_read_write(HV_X64_MSR_STIME_UNHALTED_TIMER_CONFIG, 0x6c); /* a vector, not enabled */
}

TEST(unhalted_count_read_write, "msr.unhalted-count.access")
{
    NEEDS(AccessSyntheticTimerRegs);
    NEEDS(SyntheticTimeUnhaltedTimerAvailable);
    NEEDS_EDITION(EDITION_6_0, EDITION_6_0);
    expect_read_write(HV_X64_MSR_STIME_UNHALTED_TIMER_COUNT, 100000);
}

/* ---- values and scope ---- */

static void remote_read(void *p)
{
    uint64_t *msr_and_value = p;
    msr_and_value[1] = rdmsr((uint32_t)msr_and_value[0]);
}

static uint64_t read_on(unsigned vp, uint32_t msr)
{
    uint64_t msr_and_value[2] = {msr, 0};
    on_vp(vp, remote_read, msr_and_value);
    return msr_and_value[1];
}

TEST(vp_index_is_small, "msr.vp-index.value")
{
    NEEDS(AccessVpIndex);
    EXPECT(rdmsr(HV_X64_MSR_VP_INDEX) < vp_count());
}

TEST(vp_index_differs, "msr.vp-index.scope")
{
    NEEDS(AccessVpIndex);
    NEEDS_THAT(vp_count() > 1, "one processor");
    smp_start();
    for (unsigned a = 0; a < vp_count(); a++) {
        for (unsigned b = 0; b < a; b++) {
            EXPECT(read_on(a, HV_X64_MSR_VP_INDEX) != read_on(b, HV_X64_MSR_VP_INDEX), "VPs %u and %u", a, b);
        }
    }
}

TEST(reset_reads_zero, "msr.reset.reads-zero")
{
    NEEDS(AccessResetReg);
    NEEDS_EDITION(EDITION_2_0, EDITION_2_0);
    EXPECT_EQ(rdmsr(HV_X64_MSR_RESET), 0);
}

TEST(reset_zero_does_nothing, "msr.reset.zero-does-nothing")
{
    NEEDS(AccessResetReg);
    NEEDS_EDITION(EDITION_2_0, EDITION_2_0);
    wrmsr(HV_X64_MSR_RESET, 0);
    EXPECT(true);
}

TEST(reset_reserved, "msr.reset.reserved")
{
    NEEDS(AccessResetReg);
    NEEDS_EDITION(EDITION_2_0, EDITION_2_0);
    unsigned vector = wrmsr_try(HV_X64_MSR_RESET, 2);
    EXPECT(vector == VEC_GP || vector == NO_FAULT);
    EXPECT_EQ(rdmsr(HV_X64_MSR_RESET), 0);
}

TEST(reset_on_every_vp, "msr.reset.every-vp")
{
    NEEDS(AccessResetReg);
    NEEDS_EDITION(EDITION_2_0, EDITION_2_0);
    smp_start();
    for (unsigned vp = 0; vp < vp_count(); vp++) {
        EXPECT_EQ(read_on(vp, HV_X64_MSR_RESET), 0);
    }
}

TEST(vp_runtime_per_vp, "msr.vp-runtime.scope")
{
    NEEDS(AccessVpRunTimeReg);
    NEEDS_THAT(vp_count() > 1, "one processor");
    smp_start();
    uint64_t mine = rdmsr(HV_X64_MSR_VP_RUNTIME), other = read_on(1, HV_X64_MSR_VP_RUNTIME);
    spin_100ns(2 * MS_100NS);
    uint64_t mine_spun = rdmsr(HV_X64_MSR_VP_RUNTIME) - mine, other_idle = read_on(1, HV_X64_MSR_VP_RUNTIME) - other;
    EXPECT(mine_spun > 0, "the run time stood still");
    EXPECT(other_idle != mine_spun, "both counted %lu", mine_spun);
}

static void remote_write_reference_tsc(void *value)
{
    wrmsr(HV_X64_MSR_REFERENCE_TSC, (uint64_t)value);
}

TEST(reference_tsc_partition_wide, "msr.reference-tsc.scope")
{
    NEEDS(AccessPartitionReferenceTsc);
    NEEDS_THAT(vp_count() > 1, "one processor");
    smp_start();
    uint64_t value = gpa_of(page_alloc()) | 1;
    on_vp(1, remote_write_reference_tsc, (void *)value);
    EXPECT_EQ(rdmsr(HV_X64_MSR_REFERENCE_TSC), value);
}

/* Over a hundredth of a second of the counter, within one part in a hundred. */
TEST(tsc_frequency_in_hz, "msr.tsc-frequency.unit")
{
    NEEDS(AccessFrequencyRegs);
    NEEDS(AccessPartitionReferenceCounter);
    uint64_t hz = rdmsr(HV_X64_MSR_TSC_FREQUENCY), time = ref_time(), tsc = rdtsc();
    while (ref_time() - time < 10 * MS_100NS) {
        pause();
    }
    uint64_t ticks = rdtsc() - tsc, passed_100ns = ref_time() - time;
    uint64_t want = hz / 10000 * passed_100ns / 1000;
    EXPECT(ticks > want - want / 100 && ticks < want + want / 100, "%lu ticks in %lu x 100 ns at %lu Hz", ticks, passed_100ns,
           hz);
}

TEST(tsc_frequency_stable, "msr.tsc-frequency.stable")
{
    NEEDS(AccessFrequencyRegs);
    smp_start();
    for (unsigned vp = 0; vp < vp_count(); vp++) {
        EXPECT_EQ(read_on(vp, HV_X64_MSR_TSC_FREQUENCY), rdmsr(HV_X64_MSR_TSC_FREQUENCY));
    }
}

TEST(apic_frequency_in_hz, "msr.apic-frequency.unit")
{
    enum { DIVIDE_BY_1 = 0xb, MASKED = 1 << 16 };
    NEEDS(AccessFrequencyRegs);
    NEEDS(AccessPartitionReferenceCounter);
    uint64_t hz = rdmsr(HV_X64_MSR_APIC_FREQUENCY);
    lapic_write(LAPIC_TIMER_DIVIDE, DIVIDE_BY_1);
    lapic_write(LAPIC_LVT_TIMER, MASKED | 0x6d);
    lapic_write(LAPIC_TIMER_INITIAL, 0xffffffff);
    uint64_t time = ref_time();
    uint32_t first = lapic_read(LAPIC_TIMER_CURRENT);
    while (ref_time() - time < 10 * MS_100NS) {
        pause();
    }
    uint64_t ticks = first - lapic_read(LAPIC_TIMER_CURRENT), passed_100ns = ref_time() - time;
    lapic_write(LAPIC_TIMER_INITIAL, 0);
    uint64_t want = hz / 10000 * passed_100ns / 1000;
    EXPECT(ticks > want - want / 100 && ticks < want + want / 100, "%lu ticks in %lu x 100 ns at %lu Hz", ticks, passed_100ns,
           hz);
}

TEST(apic_frequency_stable, "msr.apic-frequency.stable")
{
    NEEDS(AccessFrequencyRegs);
    smp_start();
    for (unsigned vp = 0; vp < vp_count(); vp++) {
        EXPECT_EQ(read_on(vp, HV_X64_MSR_APIC_FREQUENCY), rdmsr(HV_X64_MSR_APIC_FREQUENCY));
    }
}

/* ---- what an edition does not have ---- */

TEST(no_debug_2_0, "msr.absent.debug-2008r2")
{
    NEEDS_THAT(hv_present() && !has(AccessDebugRegs), "the scenario grants AccessDebugRegs, which later editions have");
    NEEDS_EDITION(EDITION_2_0, EDITION_2_0);
    expect_faults(HV_X64_MSR_SYNDBG_CONTROL, HV_X64_MSR_SYNDBG_PENDING_BUFFER);
}

TEST(no_stats_6_0, "msr.absent.stats-6")
{
    NEEDS_THAT(hv_present() && !has(AccessStatsReg), "AccessStatsReg is granted");
    NEEDS_EDITION(EDITION_6_0, EDITION_6_0);
    expect_faults(HV_X64_MSR_STATS_PARTITION_RETAIL_PAGE, HV_X64_MSR_STATS_VP_INTERNAL_PAGE);
}

TEST(no_debug_6_0, "msr.absent.debug-6")
{
    NEEDS_THAT(hv_present() && !has(AccessDebugRegs), "AccessDebugRegs is granted");
    NEEDS_EDITION(EDITION_6_0, EDITION_6_0);
    expect_faults(HV_X64_MSR_SYNDBG_CONTROL, HV_X64_MSR_SYNDBG_PENDING_BUFFER);
}

enum {
    POWER_TRIGGER_C1 = 0x400000c1,
    POWER_TRIGGER_C3 = 0x400000c3,
    POWER_CONFIG_C1 = 0x400000d1,
    POWER_CONFIG_C3 = 0x400000d3
};

TEST(no_power_6_0, "msr.absent.power-6")
{
    NEEDS_THAT(hv_present(), "no hypervisor");
    NEEDS_EDITION(EDITION_6_0, EDITION_6_0);
    expect_faults(POWER_TRIGGER_C1, POWER_TRIGGER_C3);
    expect_faults(POWER_CONFIG_C1, POWER_CONFIG_C3);
}

TEST(power_withheld, "msr.power.trigger", "msr.power.config")
{
    NEEDS_THAT(hv_present() && !has(CpuManagement), "CpuManagement is granted");
    NEEDS_EDITION(EDITION_2_0, EDITION_5_0);
    expect_faults(POWER_TRIGGER_C1, POWER_TRIGGER_C3);
    expect_faults(POWER_CONFIG_C1, POWER_CONFIG_C3);
}

TEST(nested_withheld, "msr.nested.vp-index", "msr.nested.synic")
{
    NEEDS_THAT(hv_present() && !has(CpuManagement), "CpuManagement is granted");
    NEEDS_EDITION(EDITION_6_0, EDITION_6_0);
    expect_faults(0x40001002, 0x40001002);
    expect_faults(0x40001080, 0x40001084);
    expect_faults(0x40001090, 0x4000109f);
}

TEST(gaps_fault, "msr.absent.gaps")
{
    static const struct {
        uint32_t first, last;
    } gaps[] = {
        {0x40000004, 0x4000000f}, {0x40000011, 0x4000001f}, {0x40000024, 0x4000003f}, {0x40000041, 0x4000006f},
        {0x40000074, 0x4000007f}, {0x40000085, 0x4000008f}, {0x400000a0, 0x400000af}, {0x400000b8, 0x400000c0},
        {0x400000c4, 0x400000d0}, {0x400000d4, 0x400000df}, {0x400000e4, 0x400000ef}, {0x400000f6, 0x400000fe},
    };
    NEEDS_THAT(hv_present(), "no hypervisor");
    for (unsigned i = 0; i < ARRAY_COUNT(gaps); i++) {
        expect_faults(gaps[i].first, gaps[i].last);
    }
}

TEST(beyond_faults, "msr.absent.beyond")
{
    NEEDS_THAT(hv_present(), "no hypervisor");
    expect_faults(0x40000120, 0x40000180);
    expect_faults(0x40000ffe, 0x40001001);
    expect_faults(0x400010a0, 0x40001100);
    expect_faults(0x4000fff0, 0x40010000);
}

static void read_at_cpl3(void *msr)
{
    rdmsr((uint32_t)(uint64_t)msr);
}

static void write_at_cpl3(void *msr)
{
    wrmsr((uint32_t)(uint64_t)msr, 0);
}

TEST(msr_at_cpl3, "msr.cpl3")
{
    static const uint32_t msrs[] = {HV_X64_MSR_GUEST_OS_ID, HV_X64_MSR_HYPERCALL, HV_X64_MSR_VP_INDEX,
                                    HV_X64_MSR_TIME_REF_COUNT};
    NEEDS_THAT(hv_present(), "no hypervisor");
    for (unsigned i = 0; i < ARRAY_COUNT(msrs); i++) {
        EXPECT_EQ(run_at_cpl3(read_at_cpl3, (void *)(uint64_t)msrs[i]).vector, VEC_GP);
        EXPECT_EQ(run_at_cpl3(write_at_cpl3, (void *)(uint64_t)msrs[i]).vector, VEC_GP);
    }
}
