/* Synthetic MSRs of identity: who the guest is, where its hypercall page lies, which VP this is, reset. TLFS 6.0b §2.6, §3.13,
 * §7.8.1; TLFS 2.0a §6.3.5.
 *
 * Invariants: the hypercall page is enabled only while the guest has an identity, unless it is locked; a locked register
 * changes with a reset alone. Leaves out: what lies on the page (overlays.c).
 */
#include "tlfs/hypervisor.h"
#include "tlfs/msr.h"

enum { HV_X64_MSR_HYPERCALL = 0x40000001 };

#define HYPERCALL_LOCKED 2ULL

static bool hypercall_locked(const struct partition *p)
{
    return p->registers.hypercall.value & HYPERCALL_LOCKED && profile_has(&p->profile, HV_HypercallMsrLockAvailable);
}

enum msr_outcome write_guest_os_id(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
    p->registers.guest_os_id = value;
    /* §2.6: without an identity the page is disabled. Against a locked register, which is immutable, even that does nothing. */
    uint64_t hypercall = p->registers.hypercall.value;
    if (value == 0 && hypercall & OVERLAY_ENABLE && !hypercall_locked(p)) {
        overlay_register_write(p, hv_vp_index(vp), HV_X64_MSR_HYPERCALL, &p->registers.hypercall, hypercall & ~OVERLAY_ENABLE);
    }
    return MSR_OK;
}

enum msr_outcome write_hypercall(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
    if (hypercall_locked(p)) {
        return MSR_GP;
    }
    if (value & OVERLAY_ENABLE && !partition_gpa_valid(p, value)) {
        return MSR_GP;
    }
    if (p->registers.guest_os_id == 0) {
        value &= ~OVERLAY_ENABLE; /* "the enable bit will remain zero even if a one is written to it" */
    }
    overlay_register_write(p, hv_vp_index(vp), msr, &p->registers.hypercall, value);
    return MSR_OK;
}

enum msr_outcome read_vp_index(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t *value)
{
    *value = hv_vp_index(vp);
    return MSR_OK;
}

/* TLFS 2.0a §6.3.5: reads as zero; a one resets the partition. */
enum msr_outcome write_reset(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
    if (value & 1) {
        machine_end(p->machine, END_RESET, 0);
    }
    return MSR_OK;
}
