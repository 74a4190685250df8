/* The table of synthetic MSRs. TLFS 6.0b appendix C. Private to tlfs/ and to tests that walk it. */
#ifndef ORRERY_TLFS_MSR_H
#define ORRERY_TLFS_MSR_H

#include "cpu/cpu.h"
#include "tlfs/profile.h"

struct partition;
struct hv_vp;

enum msr_access { MSR_READ = 1, MSR_WRITE = 2, MSR_READ_WRITE = 3 };
enum msr_scope { SCOPE_PARTITION, SCOPE_VP };

struct msr_row {
    uint32_t index;
    const char *name, *section;
    enum hv_feature gate;  /* not announced: #GP */
    uint8_t access;        /* enum msr_access */
    uint8_t scope;         /* enum msr_scope */
    uint16_t offset;       /* of the stored value in partition_registers or vp_registers; used where there is no handler */
    uint64_t must_be_zero; /* RsvdZ: set bits raise #GP */
    enum msr_outcome (*read)(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t *value);
    enum msr_outcome (*write)(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t value);
};
extern const struct msr_row hv_msr_rows[];
extern const size_t hv_msr_row_count;

#endif
