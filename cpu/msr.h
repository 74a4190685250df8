/* The table of the processor's own MSRs: one row each, in the order of their indices. Private to cpu/ and its tests; everybody
 * else reads and writes MSRs through msr_read() and msr_write() (vcpu.h). */
#ifndef ORRERY_CPU_MSR_H
#define ORRERY_CPU_MSR_H

#include "cpu/vcpu.h"

enum msr_access {
    MSR_RW,
    MSR_RO,    /* WRMSR raises #GP(0) */
    MSR_WO,    /* RDMSR raises #GP(0) */
    MSR_FIXED, /* reads as `reset`, writes are taken and have no effect */
};
/* What a written value is checked for beside the reserved bits. */
enum msr_rule {
    MSR_ANY,
    MSR_NARROW,    /* 32 bits: the upper half is reserved on Intel, ignored on AMD */
    MSR_CANONICAL, /* a linear address */
    MSR_ENTRY,     /* a linear address on Intel, 32 bits on AMD (SYSENTER exists there outside long mode only) */
    MSR_TYPES,     /* eight memory types of the PAT */
    MSR_RANGES,    /* eight memory types of an MTRR */
};
enum { MSR_ALWAYS = FEATURES, MSR_ANY_VENDOR = -1, MSR_NO_FIELD = UINT16_MAX };

struct msr_row {
    uint32_t index;
    const char *name, *section;
    uint8_t feature; /* enum cpu_feature that it comes with, or MSR_ALWAYS */
    int8_t vendor;   /* enum cpu_vendor, or MSR_ANY_VENDOR */
    enum msr_access access;
    uint64_t reset, reserved;
    enum msr_rule rule;
    uint16_t field; /* offset in struct vp_state, or MSR_NO_FIELD */
    /* For the exceptions: in place of the field. */
    uint64_t (*read)(struct vcpu *v);
    enum msr_outcome (*write)(struct vcpu *v, uint64_t value);
    bool hook_first; /* a hypervisor may show its guests something else: its hooks are asked before the row */
};
extern const struct msr_row msr_rows[];
extern const size_t msr_row_count;

#endif
