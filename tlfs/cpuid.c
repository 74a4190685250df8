/* CPUID leaves of the hypervisor. TLFS 6.0b §2.2-2.4.
 *
 * The profile's announced leaves as they are, on every VP and at every time. §2.4 says that leaf 0x40000002 is zero until the
 * guest has written its identity; every host seen so far fills it from the start (Linux prints it before it writes the MSR),
 * and so does this one. Where AccessTscInvariantControls is announced, the processor's invariant TSC is shown only once the
 * guest has asked for it (HV_X64_MSR_TSC_INVARIANT_CONTROL); elsewhere as the processor has it.
 */
#include "tlfs/hypervisor.h"

enum { LEAF_FEATURES = 1, HYPERVISOR_PRESENT = 31, LEAF_POWER = 0x80000007, INVARIANT_TSC = 8 };
enum { LEAF_FIRST = 0x40000000, LEAF_LAST = 0x400000ff };

void hv_cpuid(void *partition, struct vcpu *vcpu, uint32_t leaf, uint32_t subleaf, struct cpuid_result *r)
{
    const struct partition *p = partition;
    if (leaf == LEAF_FEATURES) {
        r->ecx |= 1u << HYPERVISOR_PRESENT;
    } else if (leaf == LEAF_POWER && profile_has(&p->profile, HV_AccessTscInvariantControls) &&
               !p->registers.tsc_invariant_control) {
        r->edx &= ~(1u << INVARIANT_TSC);
    } else if (leaf >= LEAF_FIRST && leaf <= LEAF_LAST) {
        *r = (struct cpuid_result){0}; /* unannounced leaves read zero, not as the highest basic leaf */
        if (leaf <= p->profile.max_leaf) {
            const struct profile_leaf *l = &p->profile.announced[leaf - LEAF_FIRST];
            *r = (struct cpuid_result){.eax = l->eax, .ebx = l->ebx, .ecx = l->ecx, .edx = l->edx};
        }
    }
}
