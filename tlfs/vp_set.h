/* Sets of VPs as hypercalls name them: a mask of the first 64, or an HV_VP_SET. TLFS 6.0b §7.8.7.3, §7.8.7.4. */
#ifndef ORRERY_TLFS_VP_SET_H
#define ORRERY_TLFS_VP_SET_H

#include "tlfs/hypercall.h"

enum { VP_SET_BANKS = 4 }; /* VPS_MAX of them in banks of 64 */
struct vp_set {
    uint64_t bank[VP_SET_BANKS];
    bool beyond; /* a VP that no bank here can name */
};
enum vp_set_format { VP_SET_SPARSE = 0, VP_SET_ALL = 1 };

struct vp_set vp_set_of_mask(uint64_t mask);
struct vp_set vp_set_of_all(const struct partition *p);
/* An HV_VP_SET: its two words, and the banks that the call's variable header holds. *named: some bank is (or all are). */
hv_status_t vp_set_parse(const struct partition *p, uint64_t format, uint64_t valid_banks, const uint8_t *banks,
                         unsigned bank_count, struct vp_set *set, bool *named);
/* Is this VP in it? `index` is below VPS_MAX. */
static inline bool vp_set_has(const struct vp_set *set, unsigned index)
{
    return set->bank[index / 64] >> index % 64 & 1;
}
/* Does it name a VP that the partition does not have? */
bool vp_set_exceeds(const struct partition *p, const struct vp_set *set);

#endif
