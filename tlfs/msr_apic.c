/* Synthetic MSRs of the local APIC, and the VP assist page with its lazy EOI. TLFS 6.0b §10.2.3, §10.3.5, §7.8.7.
 *
 * Invariants: each register is the local APIC's own, reached another way; with the local APIC off there is nothing to write to.
 * Leaves out: the rest of the local APIC (cpu/lapic.h).
 */
#include <string.h>

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

/* ---- the VP assist page and its EOI assist field, §7.8.7, §10.3.5 ----
 *
 * Bit 0 of the 32 bits at offset 0, "No EOI Required", is an offer: the guest that clears it and finds it set has ended its
 * interrupt. When an offer is made and taken back is the local APIC's affair (cpu/lapic_priority.c): edge-triggered, nothing
 * waiting. The guest sees only what it finds in the page, so the page must be there. */

#define NO_EOI_REQUIRED 1u

static bool assist_is_seen(const struct partition *p, const struct hv_vp *vp)
{
    uint64_t value = vp->registers.assist.value;
    return value & OVERLAY_ENABLE && partition_gpa_valid(p, value);
}

static uint32_t assist_field(const struct partition *p, const struct hv_vp *vp)
{
    uint32_t field;
    memcpy(&field, overlay_host(p->machine->memory, vp->registers.assist.overlay), sizeof field);
    return field;
}

bool hv_eoi_offer(void *partition, struct vcpu *vcpu, bool offer)
{
    struct partition *p = partition;
    struct hv_vp *vp = hv_vp_of(p, vcpu);
    offer = offer && assist_is_seen(p, vp) && !synic_waits(vp); /* a message that waits looks out for the EOI (§11.4) */
    uint32_t field = assist_field(p, vp), wanted = offer ? field | NO_EOI_REQUIRED : field & ~NO_EOI_REQUIRED;
    if (field != wanted) {
        overlay_touch(p->machine->memory, vp->registers.assist.overlay);
        memcpy(overlay_host(p->machine->memory, vp->registers.assist.overlay), &wanted, sizeof wanted);
    }
    return offer;
}

bool hv_eoi_taken(void *partition, const struct vcpu *vcpu)
{
    struct partition *p = partition;
    return !(assist_field(p, hv_vp_of(p, vcpu)) & NO_EOI_REQUIRED);
}

/* "Enabling and disabling can be done at any time": what the guest has done with an offer counts, and one that it cannot see
 * any more is taken back. A page that moves takes its contents along, and the offer stands. */
enum msr_outcome write_vp_assist(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
    lapic_settle(vp->vcpu);
    overlay_register_write(p, hv_vp_index(vp), msr, &vp->registers.assist, value);
    if (!assist_is_seen(p, vp)) {
        lapic_offer_withdraw(vp->vcpu);
    }
    return MSR_OK;
}
