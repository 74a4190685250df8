/* CPUID leaves of the hypervisor. TLFS 6.0b §2.2-2.4.
 *
 * The profile's announced leaves as they are, on every VP and at every time, but for 0x40000002: §2.4.3 has it zero until the
 * guest has written its identity. (Hosts fill it from the start, and Linux prints it before it writes the MSR.)
 */
#include "tlfs/hypervisor.h"

enum { LEAF_FEATURES = 1, HYPERVISOR_PRESENT = 31, LEAF_POWER = 0x80000007, INVARIANT_TSC = 8 };
enum { LEAF_FIRST = 0x40000000, LEAF_VERSION = 0x40000002, LEAF_LAST = 0x400000ff };

void hv_cpuid(void *partition, struct vcpu *vcpu, uint32_t leaf, uint32_t subleaf, struct cpuid_result *r)
{
    const struct partition *p = partition;
    if (leaf == LEAF_FEATURES) {
        r->ecx |= 1u << HYPERVISOR_PRESENT;
    } else if (leaf == LEAF_POWER && !partition_shows_invariant_tsc(p)) {
        r->edx &= ~(1u << INVARIANT_TSC);
    } else if (leaf >= LEAF_FIRST && leaf <= LEAF_LAST) {
        *r = (struct cpuid_result){0}; /* unannounced leaves read zero, not as the highest basic leaf */
        bool hidden = leaf == LEAF_VERSION && p->registers.guest_os_id == 0;
        if (leaf <= p->profile.max_leaf && !hidden) {
            const struct profile_leaf *l = &p->profile.announced[leaf - LEAF_FIRST];
            *r = (struct cpuid_result){.eax = l->eax, .ebx = l->ebx, .ecx = l->ecx, .edx = l->edx};
        }
    }
}
