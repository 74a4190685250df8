/* Synthetic MSRs: one row each, and the dispatcher that asks the rows. TLFS 6.0b appendix C.
 *
 * Invariants: an MSR whose privilege is not announced raises #GP on every access, as does a write to a read-only one, a read of
 * a write-only one and a set RsvdZ bit; RsvdP bits are kept. Checks first, effects after: a refused write changes nothing.
 * Leaves out: the handlers, which stand with their subjects (msr_*.c, stimer.c, synic.c), and everything of which features.def
 * says that it is not built.
 */
#include "tlfs/msr.h"

#include "tlfs/hypervisor.h"

/* Nothing is stored: it reads as zero. */
enum msr_outcome read_zero(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t *value)
{
    *value = 0;
    return MSR_OK;
}

/* ---- the table ---- */

enum { RO = MSR_READ, WO = MSR_WRITE, RW = MSR_READ_WRITE };
#define PARTITION(field) SCOPE_PARTITION, offsetof(struct partition_registers, field)
#define VP(field) SCOPE_VP, offsetof(struct vp_registers, field)
#define NOWHERE SCOPE_PARTITION, 0

/* clang-format off: a table */
const struct msr_row hv_msr_rows[] = {
    /* index     name and TLFS 6.0b section, then: privilege, access, where it is stored, RsvdZ, read, write */
    {0x40000000, "HV_X64_MSR_GUEST_OS_ID", "§2.6", HV_AccessHypercallMsrs, RW, PARTITION(guest_os_id), 0, NULL,
     write_guest_os_id},
    {0x40000001, "HV_X64_MSR_HYPERCALL", "§3.13", HV_AccessHypercallMsrs, RW, PARTITION(hypercall.value), 0, NULL,
     write_hypercall},
    {0x40000002, "HV_X64_MSR_VP_INDEX", "§7.8.1", HV_AccessVpIndex, RO, NOWHERE, 0, read_vp_index, NULL},
    {0x40000003, "HV_X64_MSR_RESET", "App. C", HV_AccessResetReg, RW, NOWHERE, ~1ULL, read_zero, write_reset},
    {0x40000010, "HV_X64_MSR_VP_RUNTIME", "§7.9.1", HV_AccessVpRunTimeReg, RO, NOWHERE, 0, read_vp_runtime, NULL},
    {0x40000020, "HV_X64_MSR_TIME_REF_COUNT", "§12.4.1", HV_AccessPartitionReferenceCounter, RO, NOWHERE, 0,
     read_time_ref_count, NULL},
    {0x40000021, "HV_X64_MSR_REFERENCE_TSC", "§12.7.1", HV_AccessPartitionReferenceTsc, RW, PARTITION(reference_tsc.value), 0,
     NULL, write_reference_tsc},
    {0x40000022, "HV_X64_MSR_TSC_FREQUENCY", "App. C", HV_AccessFrequencyRegs, RO, NOWHERE, 0, read_tsc_frequency, NULL},
    {0x40000023, "HV_X64_MSR_APIC_FREQUENCY", "App. C", HV_AccessFrequencyRegs, RO, NOWHERE, 0, read_apic_frequency, NULL},
    {0x40000040, "HV_X64_MSR_NPIEP_CONFIG", "§8.12", HV_Npiep1Available, RW, NOWHERE, ~0xfULL, read_npiep_config,
     write_npiep_config},
    {0x40000070, "HV_X64_MSR_EOI", "§10.2.3.1", HV_AccessIntrCtrlRegs, WO, NOWHERE, 0, NULL, write_eoi},
    {0x40000071, "HV_X64_MSR_ICR", "§10.2.3.2", HV_AccessIntrCtrlRegs, RW, NOWHERE, 0, read_icr, write_icr},
    {0x40000072, "HV_X64_MSR_TPR", "§10.2.3.3", HV_AccessIntrCtrlRegs, RW, NOWHERE, ~0xffULL, read_tpr, write_tpr},
    {0x40000073, "HV_X64_MSR_VP_ASSIST_PAGE", "§7.8.7.1", HV_AccessIntrCtrlRegs, RW, VP(assist.value), 0, NULL,
     write_vp_assist},
    {0x40000080, "HV_X64_MSR_SCONTROL", "§11.8.1", HV_AccessSynicRegs, RW, VP(synic.scontrol), 0, NULL, write_scontrol},
    {0x40000081, "HV_X64_MSR_SVERSION", "§11.8.2", HV_AccessSynicRegs, RO, NOWHERE, 0, read_sversion, NULL},
    {0x40000082, "HV_X64_MSR_SIEFP", "§11.8.3", HV_AccessSynicRegs, RW, VP(synic.siefp.value), 0, NULL, write_siefp},
    {0x40000083, "HV_X64_MSR_SIMP", "§11.8.4", HV_AccessSynicRegs, RW, VP(synic.simp.value), 0, NULL, write_simp},
    {0x40000084, "HV_X64_MSR_EOM", "§11.8.6", HV_AccessSynicRegs, RW, NOWHERE, 0, read_zero, write_eom},
    {0x40000090, "HV_X64_MSR_SINT0", "§11.8.5", HV_AccessSynicRegs, RW, VP(synic.sint[0]), 0, NULL, write_sint},
    {0x40000091, "HV_X64_MSR_SINT1", "§11.8.5", HV_AccessSynicRegs, RW, VP(synic.sint[1]), 0, NULL, write_sint},
    {0x40000092, "HV_X64_MSR_SINT2", "§11.8.5", HV_AccessSynicRegs, RW, VP(synic.sint[2]), 0, NULL, write_sint},
    {0x40000093, "HV_X64_MSR_SINT3", "§11.8.5", HV_AccessSynicRegs, RW, VP(synic.sint[3]), 0, NULL, write_sint},
    {0x40000094, "HV_X64_MSR_SINT4", "§11.8.5", HV_AccessSynicRegs, RW, VP(synic.sint[4]), 0, NULL, write_sint},
    {0x40000095, "HV_X64_MSR_SINT5", "§11.8.5", HV_AccessSynicRegs, RW, VP(synic.sint[5]), 0, NULL, write_sint},
    {0x40000096, "HV_X64_MSR_SINT6", "§11.8.5", HV_AccessSynicRegs, RW, VP(synic.sint[6]), 0, NULL, write_sint},
    {0x40000097, "HV_X64_MSR_SINT7", "§11.8.5", HV_AccessSynicRegs, RW, VP(synic.sint[7]), 0, NULL, write_sint},
    {0x40000098, "HV_X64_MSR_SINT8", "§11.8.5", HV_AccessSynicRegs, RW, VP(synic.sint[8]), 0, NULL, write_sint},
    {0x40000099, "HV_X64_MSR_SINT9", "§11.8.5", HV_AccessSynicRegs, RW, VP(synic.sint[9]), 0, NULL, write_sint},
    {0x4000009a, "HV_X64_MSR_SINT10", "§11.8.5", HV_AccessSynicRegs, RW, VP(synic.sint[10]), 0, NULL, write_sint},
    {0x4000009b, "HV_X64_MSR_SINT11", "§11.8.5", HV_AccessSynicRegs, RW, VP(synic.sint[11]), 0, NULL, write_sint},
    {0x4000009c, "HV_X64_MSR_SINT12", "§11.8.5", HV_AccessSynicRegs, RW, VP(synic.sint[12]), 0, NULL, write_sint},
    {0x4000009d, "HV_X64_MSR_SINT13", "§11.8.5", HV_AccessSynicRegs, RW, VP(synic.sint[13]), 0, NULL, write_sint},
    {0x4000009e, "HV_X64_MSR_SINT14", "§11.8.5", HV_AccessSynicRegs, RW, VP(synic.sint[14]), 0, NULL, write_sint},
    {0x4000009f, "HV_X64_MSR_SINT15", "§11.8.5", HV_AccessSynicRegs, RW, VP(synic.sint[15]), 0, NULL, write_sint},
    {0x400000b0, "HV_X64_MSR_STIMER0_CONFIG", "§12.5.1", HV_AccessSyntheticTimerRegs, RW, VP(stimer[0].config), ~0xf1fffULL,
     NULL, write_stimer_config},
    {0x400000b1, "HV_X64_MSR_STIMER0_COUNT", "§12.5.2", HV_AccessSyntheticTimerRegs, RW, VP(stimer[0].count), 0, NULL,
     write_stimer_count},
    {0x400000b2, "HV_X64_MSR_STIMER1_CONFIG", "§12.5.1", HV_AccessSyntheticTimerRegs, RW, VP(stimer[1].config), ~0xf1fffULL,
     NULL, write_stimer_config},
    {0x400000b3, "HV_X64_MSR_STIMER1_COUNT", "§12.5.2", HV_AccessSyntheticTimerRegs, RW, VP(stimer[1].count), 0, NULL,
     write_stimer_count},
    {0x400000b4, "HV_X64_MSR_STIMER2_CONFIG", "§12.5.1", HV_AccessSyntheticTimerRegs, RW, VP(stimer[2].config), ~0xf1fffULL,
     NULL, write_stimer_config},
    {0x400000b5, "HV_X64_MSR_STIMER2_COUNT", "§12.5.2", HV_AccessSyntheticTimerRegs, RW, VP(stimer[2].count), 0, NULL,
     write_stimer_count},
    {0x400000b6, "HV_X64_MSR_STIMER3_CONFIG", "§12.5.1", HV_AccessSyntheticTimerRegs, RW, VP(stimer[3].config), ~0xf1fffULL,
     NULL, write_stimer_config},
    {0x400000b7, "HV_X64_MSR_STIMER3_COUNT", "§12.5.2", HV_AccessSyntheticTimerRegs, RW, VP(stimer[3].count), 0, NULL,
     write_stimer_count},
    {0x400000e0, "HV_X64_MSR_STATS_PARTITION_RETAIL_PAGE", "2.0a §21.3.3", HV_AccessStatsReg, RW,
     PARTITION(statistics[0].value), 0, NULL, write_statistics_page},
    {0x400000e1, "HV_X64_MSR_STATS_PARTITION_INTERNAL_PAGE", "2.0a §21.3.3", HV_AccessStatsReg, RW,
     PARTITION(statistics[1].value), 0, NULL, write_statistics_page},
    {0x400000e2, "HV_X64_MSR_STATS_VP_RETAIL_PAGE", "2.0a §21.3.3", HV_AccessStatsReg, RW, VP(statistics[0].value), 0, NULL,
     write_statistics_page},
    {0x400000e3, "HV_X64_MSR_STATS_VP_INTERNAL_PAGE", "2.0a §21.3.3", HV_AccessStatsReg, RW, VP(statistics[1].value), 0, NULL,
     write_statistics_page},
    {0x400000f0, "HV_X64_MSR_GUEST_IDLE", "§7.5", HV_AccessGuestIdleReg, RO, NOWHERE, 0, read_guest_idle, NULL},
    /* No debugger is ever attached: what is written stays where it is, and the status stays "nothing sent, nothing there". */
    {0x400000f1, "HV_X64_MSR_SYNDBG_CONTROL", "§2.4.4", HV_AccessDebugRegs, RW, PARTITION(debug[0]), 0, NULL, NULL},
    {0x400000f2, "HV_X64_MSR_SYNDBG_STATUS", "§2.4.4", HV_AccessDebugRegs, RO, NOWHERE, 0, read_zero, NULL},
    {0x400000f3, "HV_X64_MSR_SYNDBG_SEND_BUFFER", "§2.4.4", HV_AccessDebugRegs, RW, PARTITION(debug[2]), 0, NULL, NULL},
    {0x400000f4, "HV_X64_MSR_SYNDBG_RECV_BUFFER", "§2.4.4", HV_AccessDebugRegs, RW, PARTITION(debug[3]), 0, NULL, NULL},
    {0x400000f5, "HV_X64_MSR_SYNDBG_PENDING_BUFFER", "§2.4.4", HV_AccessDebugRegs, RW, PARTITION(debug[4]), 0, NULL, NULL},
    {0x40000100, "HV_X64_MSR_CRASH_P0", "§4.3.1", HV_GuestCrashRegsAvailable, RW, PARTITION(crash[0]), 0, NULL, NULL},
    {0x40000101, "HV_X64_MSR_CRASH_P1", "§4.3.1", HV_GuestCrashRegsAvailable, RW, PARTITION(crash[1]), 0, NULL, NULL},
    {0x40000102, "HV_X64_MSR_CRASH_P2", "§4.3.1", HV_GuestCrashRegsAvailable, RW, PARTITION(crash[2]), 0, NULL, NULL},
    {0x40000103, "HV_X64_MSR_CRASH_P3", "§4.3.1", HV_GuestCrashRegsAvailable, RW, PARTITION(crash[3]), 0, NULL, NULL},
    {0x40000104, "HV_X64_MSR_CRASH_P4", "§4.3.1", HV_GuestCrashRegsAvailable, RW, PARTITION(crash[4]), 0, NULL, NULL},
    {0x40000105, "HV_X64_MSR_CRASH_CTL", "§4.3.1.1", HV_GuestCrashRegsAvailable, RW, NOWHERE, 0, read_crash_ctl,
     write_crash_ctl},
    {0x40000106, "HV_X64_MSR_REENLIGHTENMENT_CONTROL", "§16.6.1", HV_AccessReenlightenmentControls, RW,
     PARTITION(reenlightenment_control), 0xfffeff00, NULL, write_reenlightenment_control},
    {0x40000107, "HV_X64_MSR_TSC_EMULATION_CONTROL", "§16.6.2", HV_AccessReenlightenmentControls, RW,
     PARTITION(tsc_emulation_control), ~1ULL, NULL, NULL},
    {0x40000108, "HV_X64_MSR_TSC_EMULATION_STATUS", "§16.6.2", HV_AccessReenlightenmentControls, RW, NOWHERE, 0,
     read_tsc_emulation_status, write_tsc_emulation_status},
    {0x40000114, "HV_X64_MSR_STIME_UNHALTED_TIMER_CONFIG", "§12.6.1", HV_SyntheticTimeUnhaltedTimerAvailable, RW,
     VP(unhalted.config), ~0x1ffULL, NULL, write_unhalted_timer},
    {0x40000115, "HV_X64_MSR_STIME_UNHALTED_TIMER_COUNT", "§12.6.2", HV_SyntheticTimeUnhaltedTimerAvailable, RW,
     VP(unhalted.count), 0, NULL, write_unhalted_timer},
    /* Later than every edition that is at hand; bit 0 lets CPUID show the invariant TSC (cpuid.c). */
    {0x40000118, "HV_X64_MSR_TSC_INVARIANT_CONTROL", "§2.4.4", HV_AccessTscInvariantControls, RW,
     PARTITION(tsc_invariant_control), ~1ULL, NULL, NULL},
};
/* clang-format on */
const size_t hv_msr_row_count = ARRAY_COUNT(hv_msr_rows);
_Static_assert(ARRAY_COUNT(hv_msr_rows) <= ACCOUNT_MSRS_MAX, "an account for each row");

const struct msr_row *msr_row_find(uint32_t msr)
{
    size_t low = 0, high = hv_msr_row_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (hv_msr_rows[middle].index == msr) {
            return &hv_msr_rows[middle];
        }
        if (hv_msr_rows[middle].index < msr) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

static uint64_t *row_storage(const struct msr_row *row, struct partition *p, struct hv_vp *vp)
{
    char *base = row->scope == SCOPE_VP ? (char *)&vp->registers : (char *)&p->registers;
    return (uint64_t *)(base + row->offset);
}

enum msr_outcome hv_rdmsr(void *partition, struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
    struct partition *p = partition;
    const struct msr_row *row = msr_row_find(msr);
    if (row == NULL) {
        return architectural_rdmsr(p, msr, value);
    }
    struct hv_vp *vp = hv_vp_of(p, vcpu);
    vp->account.msr_reads[row - hv_msr_rows]++;
    if (!(row->access & MSR_READ) || !profile_has(&p->profile, row->gate)) {
        return MSR_GP;
    }
    if (row->read != NULL) {
        return row->read(p, vp, msr, value);
    }
    *value = *row_storage(row, p, vp);
    return MSR_OK;
}

enum msr_outcome hv_wrmsr(void *partition, struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
    struct partition *p = partition;
    const struct msr_row *row = msr_row_find(msr);
    if (row == NULL) {
        return architectural_wrmsr(p, msr);
    }
    struct hv_vp *vp = hv_vp_of(p, vcpu);
    vp->account.msr_writes[row - hv_msr_rows]++;
    if (!(row->access & MSR_WRITE) || value & row->must_be_zero || !profile_has(&p->profile, row->gate)) {
        return MSR_GP;
    }
    if (row->write != NULL) {
        return row->write(p, vp, msr, value);
    }
    *row_storage(row, p, vp) = value;
    return MSR_OK;
}
