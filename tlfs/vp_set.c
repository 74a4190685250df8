/* Sets of VPs in hypercall input. TLFS 6.0b §7.8.7.3-7.8.7.5.
 *
 * The texts do not say what a variable header of the wrong length is: here its size is part of the control word, so the status
 * is that of a wrong control word. VPs that do not exist are left to the caller, for some calls ignore and others refuse them.
 */
#include "tlfs/vp_set.h"

#include <string.h>

#include "tlfs/hypervisor.h"

static_assert(VPS_MAX <= 64 * VP_SET_BANKS, "every VP has a bit");

struct vp_set vp_set_of_mask(uint64_t mask)
{
    return (struct vp_set){.bank = {mask}};
}

struct vp_set vp_set_of_all(const struct partition *p)
{
    struct vp_set set = {.beyond = false};
    for (unsigned i = 0; i < p->vp_count; i++) {
        set.bank[i / 64] |= 1ULL << i % 64;
    }
    return set;
}

hv_status_t vp_set_parse(const struct partition *p, uint64_t format, uint64_t valid_banks, const uint8_t *banks,
                         unsigned bank_count, struct vp_set *set, bool *named)
{
    if (format == VP_SET_ALL) {
        *set = vp_set_of_all(p);
        *named = true;
        return HV_STATUS_SUCCESS;
    }
    if (format != VP_SET_SPARSE) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    if ((unsigned)__builtin_popcountll(valid_banks) != bank_count) {
        return HV_STATUS_INVALID_HYPERCALL_INPUT;
    }
    *set = (struct vp_set){.beyond = false};
    *named = valid_banks != 0;
    for (unsigned bank = 0, at = 0; bank < 64; bank++) {
        if (!(valid_banks >> bank & 1)) {
            continue;
        }
        uint64_t content;
        memcpy(&content, banks + 8 * at++, sizeof content);
        if (bank < VP_SET_BANKS) {
            set->bank[bank] = content;
        } else {
            set->beyond |= content != 0;
        }
    }
    return HV_STATUS_SUCCESS;
}

bool vp_set_exceeds(const struct partition *p, const struct vp_set *set)
{
    const struct vp_set all = vp_set_of_all(p);
    bool exceeds = set->beyond;
    for (unsigned i = 0; i < VP_SET_BANKS; i++) {
        exceeds |= (set->bank[i] & ~all.bank[i]) != 0;
    }
    return exceeds;
}
