/* Synthetic MSRs of a VP's own affairs: what its user code may not do, its sleep. TLFS 6.0b §8.12, §7.5.
 *
 * Invariants: NPIEP lives in the processor, which asks at each SGDT, SIDT, SLDT and STR; the idle state is left with any
 * interrupt that is requested. Chosen where the texts are silent: reserved bits of NPIEP raise #GP, for no instruction could be
 * prevented by them; GUEST_IDLE reads as zero.
 */
#include "tlfs/hypervisor.h"
#include "tlfs/msr.h"

/* PreventSgdt 0, PreventSidt 1, PreventSldt 2, PreventStr 3: the processor numbers them alike. */
enum msr_outcome read_npiep_config(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t *value)
{
    *value = vp_withheld(vp->vcpu);
    return MSR_OK;
}

enum msr_outcome write_npiep_config(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
    vp_withhold(vp->vcpu, (uint8_t)value);
    return MSR_OK;
}

enum msr_outcome read_guest_idle(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t *value)
{
    vp_idle(vp->vcpu);
    *value = 0;
    return MSR_OK;
}
