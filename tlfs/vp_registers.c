/* HV_REGISTER_NAME over everything that a VP has. TLFS 6.0b §7.8.2.
 *
 * Invariants: a name means the same state as the instruction that reaches it (MOV, RDMSR, CPUID), with the same gates: a
 * synthetic register whose privilege the partition lacks has no name. A value is taken whole or not at all; the VP must be able
 * to stand in the state that results. Effects beyond the register (TLB flushes, exceptions) are not performed (§7.10.1). Leaves
 * out: registers that stand for nothing here (VSM, YMM, suspension), whose names are unknown; GUEST_IDLE, EOI
 * and EOM, which are acts and no values.
 */
#include "tlfs/vp_registers.h"

#include "cpu/lapic.h"
#include "tlfs/hypervisor.h"
#include "tlfs/msr.h"

#define MSR(name, title, msr)                                                                                                  \
    {                                                                                                                          \
        name, title, msr, false                                                                                                \
    }
#define LEAF(name, title, leaf)                                                                                                \
    {                                                                                                                          \
        name, title, leaf, true                                                                                                \
    }
/* clang-format off: a table */
const struct synthetic_register synthetic_registers[] = {
    LEAF(0x00000100, "HypervisorVersion", 0x40000002),
    LEAF(0x00000200, "PrivilegesAndFeaturesInfo", 0x40000003),
    LEAF(0x00000201, "FeaturesInfo", 0x40000004),
    LEAF(0x00000202, "ImplementationLimitsInfo", 0x40000005),
    LEAF(0x00000203, "HardwareFeaturesInfo", 0x40000006),
    MSR(0x00000210, "GuestCrashP0", 0x40000100),
    MSR(0x00000211, "GuestCrashP1", 0x40000101),
    MSR(0x00000212, "GuestCrashP2", 0x40000102),
    MSR(0x00000213, "GuestCrashP3", 0x40000103),
    MSR(0x00000214, "GuestCrashP4", 0x40000104),
    MSR(0x00000215, "GuestCrashCtl", 0x40000105),
    MSR(0x00000240, "ProcessorClockFrequency", 0x40000022),
    MSR(0x00000241, "InterruptClockFrequency", 0x40000023),
    MSR(0x00090000, "VpRuntime", 0x40000010),
    MSR(0x00090001, "Hypercall", 0x40000001),
    MSR(0x00090002, "GuestOsId", 0x40000000),
    MSR(0x00090003, "VpIndex", 0x40000002),
    MSR(0x00090004, "TimeRefCount", 0x40000020),
    MSR(0x00090011, "Icr", 0x40000071),
    MSR(0x00090012, "Tpr", 0x40000072),
    MSR(0x00090013, "VpAssistPage", 0x40000073),
    MSR(0x00090017, "ReferenceTsc", 0x40000021),
    MSR(0x000a0000, "Sint0", 0x40000090),
    MSR(0x000a0001, "Sint1", 0x40000091),
    MSR(0x000a0002, "Sint2", 0x40000092),
    MSR(0x000a0003, "Sint3", 0x40000093),
    MSR(0x000a0004, "Sint4", 0x40000094),
    MSR(0x000a0005, "Sint5", 0x40000095),
    MSR(0x000a0006, "Sint6", 0x40000096),
    MSR(0x000a0007, "Sint7", 0x40000097),
    MSR(0x000a0008, "Sint8", 0x40000098),
    MSR(0x000a0009, "Sint9", 0x40000099),
    MSR(0x000a000a, "Sint10", 0x4000009a),
    MSR(0x000a000b, "Sint11", 0x4000009b),
    MSR(0x000a000c, "Sint12", 0x4000009c),
    MSR(0x000a000d, "Sint13", 0x4000009d),
    MSR(0x000a000e, "Sint14", 0x4000009e),
    MSR(0x000a000f, "Sint15", 0x4000009f),
    MSR(0x000a0010, "Scontrol", 0x40000080),
    MSR(0x000a0011, "Sversion", 0x40000081),
    MSR(0x000a0012, "Sifp", 0x40000082),
    MSR(0x000a0013, "Sipp", 0x40000083),
    MSR(0x000b0000, "Stimer0Config", 0x400000b0),
    MSR(0x000b0001, "Stimer0Count", 0x400000b1),
    MSR(0x000b0002, "Stimer1Config", 0x400000b2),
    MSR(0x000b0003, "Stimer1Count", 0x400000b3),
    MSR(0x000b0004, "Stimer2Config", 0x400000b4),
    MSR(0x000b0005, "Stimer2Count", 0x400000b5),
    MSR(0x000b0006, "Stimer3Config", 0x400000b6),
    MSR(0x000b0007, "Stimer3Count", 0x400000b7),
    MSR(0x000b0100, "StimeUnhaltedTimerConfig", 0x40000114),
    MSR(0x000b0101, "StimeUnhaltedTimerCount", 0x40000115),
};
/* clang-format on */
const size_t synthetic_register_count = ARRAY_COUNT(synthetic_registers);

static const struct synthetic_register *synthetic_by_name(uint32_t name)
{
    for (size_t i = 0; i < synthetic_register_count; i++) {
        if (synthetic_registers[i].name == name) {
            return &synthetic_registers[i];
        }
    }
    return NULL;
}

static hv_status_t synthetic_get(struct hv_vp *vp, const struct synthetic_register *r, struct register_value *value)
{
    *value = (struct register_value){0, 0};
    if (r->leaf) {
        struct cpuid_result l = {0};
        hv_cpuid(vp->partition, vp->vcpu, r->msr, 0, &l);
        *value = (struct register_value){l.eax | (uint64_t)l.ebx << 32, l.ecx | (uint64_t)l.edx << 32};
        return HV_STATUS_SUCCESS;
    }
    return hv_rdmsr(vp->partition, vp->vcpu, r->msr, &value->low) == MSR_OK ? HV_STATUS_SUCCESS : HV_STATUS_INVALID_PARAMETER;
}

static hv_status_t synthetic_set(struct hv_vp *vp, const struct synthetic_register *r, struct register_value value)
{
    uint64_t old;
    if (r->leaf || hv_rdmsr(vp->partition, vp->vcpu, r->msr, &old) != MSR_OK) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    if (!(msr_row_find(r->msr)->access & MSR_WRITE)) {
        return HV_STATUS_INVALID_PARAMETER; /* §7.10.1: read-only */
    }
    if (value.high != 0 || hv_wrmsr(vp->partition, vp->vcpu, r->msr, value.low) != MSR_OK) {
        return HV_STATUS_INVALID_REGISTER_VALUE;
    }
    return HV_STATUS_SUCCESS;
}

/* ---- what lies in the local APIC, or nowhere ---- */

enum { REGISTER_PENDING_EVENT_0 = 0x00010004, REGISTER_PENDING_EVENT_1 = 0x00010005 };
enum { REGISTER_CR8 = 0x00040004, REGISTER_TSC = 0x00080000, REGISTER_APIC_BASE = 0x00080003, REGISTER_APIC_ID = 0x0008000c };
enum { MSR_IA32_APIC_BASE = 0x1b };

static bool special_get(struct hv_vp *vp, uint32_t name, struct register_value *value)
{
    *value = (struct register_value){0, 0};
    switch (name) {
    case REGISTER_CR8:
        value->low = lapic_cr8(vp->vcpu);
        return true;
    case REGISTER_TSC:
        value->low = vp_tsc(vp->vcpu);
        return true;
    case REGISTER_APIC_BASE:
        return lapic_rdmsr(vp->vcpu, MSR_IA32_APIC_BASE, &value->low) == MSR_OK;
    case REGISTER_APIC_ID:
        value->low = vp_lapic(vp->vcpu)->id;
        return true;
    case REGISTER_PENDING_EVENT_0:
    case REGISTER_PENDING_EVENT_1:
        return true; /* exceptions are delivered at once: none waits between instructions */
    default:
        return false;
    }
}

static hv_status_t special_set(struct hv_vp *vp, uint32_t name, struct register_value value)
{
    if (name == REGISTER_APIC_ID || name == REGISTER_TSC) {
        return HV_STATUS_INVALID_PARAMETER; /* read only: the TSC is a function of time */
    }
    if (name == REGISTER_PENDING_EVENT_0 || name == REGISTER_PENDING_EVENT_1) {
        return value.low & 1 ? HV_STATUS_INVALID_REGISTER_VALUE : HV_STATUS_SUCCESS; /* bit 0: pending */
    }
    if (value.high != 0 || (name == REGISTER_CR8 && value.low > 15)) {
        return HV_STATUS_INVALID_REGISTER_VALUE;
    }
    if (name == REGISTER_CR8) {
        lapic_set_cr8(vp->vcpu, value.low);
        return HV_STATUS_SUCCESS;
    }
    return lapic_wrmsr(vp->vcpu, MSR_IA32_APIC_BASE, value.low) == MSR_OK ? HV_STATUS_SUCCESS
                                                                          : HV_STATUS_INVALID_REGISTER_VALUE;
}

/* ---- all ---- */

hv_status_t vp_register_get(struct hv_vp *vp, uint32_t name, struct register_value *value)
{
    const struct register_row *row = register_by_name(name);
    if (row != NULL) {
        struct vp_state s;
        vp_get_state(vp->vcpu, &s);
        *value = row->get(&s, row->argument);
        return HV_STATUS_SUCCESS;
    }
    if (special_get(vp, name, value)) {
        return HV_STATUS_SUCCESS;
    }
    const struct synthetic_register *synthetic = synthetic_by_name(name);
    return synthetic != NULL ? synthetic_get(vp, synthetic, value) : HV_STATUS_INVALID_PARAMETER;
}

hv_status_t vp_register_set(struct hv_vp *vp, uint32_t name, struct register_value value)
{
    const struct register_row *row = register_by_name(name);
    if (row == NULL) {
        struct register_value old;
        const struct synthetic_register *synthetic = synthetic_by_name(name);
        return special_get(vp, name, &old) ? special_set(vp, name, value)
               : synthetic != NULL         ? synthetic_set(vp, synthetic, value)
                                           : HV_STATUS_INVALID_PARAMETER;
    }
    if (row->set == NULL) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    struct vp_state s;
    vp_get_state(vp->vcpu, &s);
    if (!row->set(&s, row->argument, value) || !vp_state_reachable(vp->vcpu, &s) || !vp_set_state(vp->vcpu, &s)) {
        return HV_STATUS_INVALID_REGISTER_VALUE;
    }
    return HV_STATUS_SUCCESS;
}
