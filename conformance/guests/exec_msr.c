/* MSR accesses: what is refused, what is the partition's. Clauses: exec.msr.*; TLFS 6.0b §8.10, 2.0 appendix H. */
#include "vps.h"

#define NEEDS_HV() NEEDS_THAT(hv_present(), "no hypervisor")

/* ---- what is not there ---- */

TEST(unknown_synthetic_msr, "exec.msr.unknown")
{
    NEEDS_HV();
    const uint32_t numbers[] = {0x40000004, 0x4000000f, 0x40000085, 0x400000a0, 0x400000b8, 0x40000ffe, 0x40000fff};
    for (unsigned i = 0; i < ARRAY_COUNT(numbers); i++) {
        EXPECT(msr_absent(numbers[i]), "MSR 0x%x", numbers[i]);
    }
}

TEST(withheld_msrs, "exec.msr.privilege")
{
    NEEDS_HV();
    static const struct {
        enum hv_bit bit;
        uint32_t msr;
    } rows[] = {
        {AccessVpRunTimeReg, HV_X64_MSR_VP_RUNTIME},
        {AccessPartitionReferenceCounter, HV_X64_MSR_TIME_REF_COUNT},
        {AccessSynicRegs, HV_X64_MSR_SCONTROL},
        {AccessSynicRegs, HV_X64_MSR_SINT0},
        {AccessSyntheticTimerRegs, HV_X64_MSR_STIMER0_CONFIG},
        {AccessIntrCtrlRegs, HV_X64_MSR_ICR},
        {AccessResetReg, HV_X64_MSR_RESET},
        {AccessStatsReg, HV_X64_MSR_STATS_PARTITION_RETAIL_PAGE},
        {AccessPartitionReferenceTsc, HV_X64_MSR_REFERENCE_TSC},
        {AccessGuestIdleReg, HV_X64_MSR_GUEST_IDLE},
        {AccessFrequencyRegs, HV_X64_MSR_TSC_FREQUENCY},
        {AccessDebugRegs, HV_X64_MSR_SYNDBG_CONTROL},
        {AccessReenlightenmentControls, HV_X64_MSR_REENLIGHTENMENT_CONTROL},
        {AccessTscInvariantControls, HV_X64_MSR_TSC_INVARIANT_CONTROL},
    };
    unsigned withheld = 0;
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        if (!has(rows[i].bit)) {
            withheld++;
            EXPECT(msr_absent(rows[i].msr), "MSR 0x%x", rows[i].msr);
        }
    }
    NEEDS_THAT(withheld != 0, "every privilege is announced");
}

static void user_rdmsr_job(void *unused)
{
    rdmsr(HV_X64_MSR_GUEST_OS_ID);
}

static void user_wrmsr_job(void *unused)
{
    wrmsr(HV_X64_MSR_GUEST_OS_ID, 1);
}

TEST(msr_at_cpl3, "exec.msr.cpl3")
{
    NEEDS(AccessHypercallMsrs);
    EXPECT_EQ(run_at_cpl3(user_rdmsr_job, NULL).vector, VEC_GP);
    EXPECT_EQ(run_at_cpl3(user_wrmsr_job, NULL).vector, VEC_GP);
    EXPECT_EQ(rdmsr(HV_X64_MSR_GUEST_OS_ID), 0);
}

TEST(power_state_msrs, "exec.msr.power-states")
{
    NEEDS_EDITION(EDITION_2_0, EDITION_5_0);
    NEEDS_HV();
    NEEDS_THAT(!has(CpuManagement), "CpuManagement is announced");
    for (uint32_t i = 1; i <= 3; i++) {
        EXPECT(msr_absent(0x400000c0 + i), "MSR 0x%x", 0x400000c0 + i);
        EXPECT(msr_absent(0x400000d0 + i), "MSR 0x%x", 0x400000d0 + i);
    }
}

TEST(partition_wide_msrs, "exec.msr.partition-wide")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_VPS(2);
    wrmsr(HV_X64_MSR_GUEST_OS_ID, HV_KIT_GUEST_OS_ID);
    EXPECT_EQ(rdmsr_on(1, HV_X64_MSR_GUEST_OS_ID), HV_KIT_GUEST_OS_ID);
    uint64_t page = gpa_of(page_alloc()) | 1;
    EXPECT_EQ(wrmsr_on(1, HV_X64_MSR_HYPERCALL, page), NO_FAULT);
    EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL), page);
    hv_disable();
}
