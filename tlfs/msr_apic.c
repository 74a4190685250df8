/* Synthetic MSRs of the local APIC, and the VP assist page. TLFS 6.0b §10.2.3, §7.8.7.
 *
 * Invariants: each register is the local APIC's own, reached another way; with the local APIC off there is nothing to write to.
 * Leaves out: the rest of the local APIC (cpu/lapic.h).
 */
#include "cpu/lapic.h"
#include "tlfs/hypervisor.h"
#include "tlfs/msr.h"

enum { APIC_TPR = 0x080, APIC_ICR_LOW = 0x300, APIC_ICR_HIGH = 0x310, X2APIC_MSR_TPR = 0x808, X2APIC_MSR_ICR = 0x830 };

enum msr_outcome write_eoi(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
    lapic_eoi(vp->vcpu);
    return MSR_OK;
}

enum msr_outcome read_icr(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t *value)
{
    const struct lapic *l = vp_lapic(vp->vcpu);
    *value = (uint64_t)l->icr_high << 32 | l->icr_low;
    return MSR_OK;
}

/* One write sends, whatever the high half was before. With the local APIC off there is nothing to write to. */
enum msr_outcome write_icr(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
    const struct lapic *l = vp_lapic(vp->vcpu);
    if (!lapic_is_enabled(l)) {
        return MSR_GP;
    }
    if (lapic_is_x2(l)) {
        return lapic_wrmsr(vp->vcpu, X2APIC_MSR_ICR, value);
    }
    lapic_write(vp->vcpu, APIC_ICR_HIGH, (uint32_t)(value >> 32));
    lapic_write(vp->vcpu, APIC_ICR_LOW, (uint32_t)value);
    return MSR_OK;
}

enum msr_outcome read_tpr(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t *value)
{
    *value = vp_lapic(vp->vcpu)->tpr & 0xff;
    return MSR_OK;
}

enum msr_outcome write_tpr(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
    const struct lapic *l = vp_lapic(vp->vcpu);
    if (!lapic_is_enabled(l)) {
        return MSR_GP;
    }
    if (lapic_is_x2(l)) {
        return lapic_wrmsr(vp->vcpu, X2APIC_MSR_TPR, value);
    }
    lapic_write(vp->vcpu, APIC_TPR, (uint32_t)value);
    return MSR_OK;
}

/* The EOI assist field stays zero, which is always right: the guest then writes an EOI (§10.3.4). */
enum msr_outcome write_vp_assist(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
    overlay_register_write(p, hv_vp_index(vp), msr, &vp->registers.assist, value);
    return MSR_OK;
}
