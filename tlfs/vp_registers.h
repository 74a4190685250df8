/* Registers of a VP by HV_REGISTER_NAME as hypercalls see them: those of the processor (cpu/registers.h), of the local APIC,
 * and the synthetic ones. TLFS 6.0b §7.8.2, §7.10.1, §7.10.2. */
#ifndef ORRERY_TLFS_VP_REGISTERS_H
#define ORRERY_TLFS_VP_REGISTERS_H

#include "cpu/registers.h"
#include "tlfs/hypercall.h"

/* A synthetic register is an MSR under another name, or a CPUID leaf. */
struct synthetic_register {
    uint32_t name;
    const char *title;
    uint32_t msr; /* or the leaf, from 0x40000000 on, when `leaf` */
    bool leaf;
};
extern const struct synthetic_register synthetic_registers[];
extern const size_t synthetic_register_count;

/* HV_STATUS_INVALID_PARAMETER: no such name (or, for a write, read only); INVALID_REGISTER_VALUE. Refused: nothing changed. */
hv_status_t vp_register_get(struct hv_vp *vp, uint32_t name, struct register_value *value);
hv_status_t vp_register_set(struct hv_vp *vp, uint32_t name, struct register_value value);

#endif
