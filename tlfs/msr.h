/* The table of synthetic MSRs. TLFS 6.0b appendix C. Private to tlfs/ and to tests that walk it. */
#ifndef ORRERY_TLFS_MSR_H
#define ORRERY_TLFS_MSR_H

#include "cpu/cpu.h"
#include "tlfs/profile.h"

struct partition;
struct hv_vp;

enum msr_access { MSR_READ = 1, MSR_WRITE = 2, MSR_READ_WRITE = 3 };
enum msr_scope { SCOPE_PARTITION, SCOPE_VP };

typedef enum msr_outcome msr_read_fn(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t *value);
typedef enum msr_outcome msr_write_fn(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t value);

struct msr_row {
    uint32_t index;
    const char *name, *section;
    enum hv_feature gate;  /* not announced: #GP */
    uint8_t access;        /* enum msr_access */
    uint8_t scope;         /* enum msr_scope */
    uint16_t offset;       /* of the stored value in partition_registers or vp_registers; used where there is no handler */
    uint64_t must_be_zero; /* RsvdZ: set bits raise #GP */
    msr_read_fn *read;
    msr_write_fn *write;
};
extern const struct msr_row hv_msr_rows[];
extern const size_t hv_msr_row_count;
/* NULL: there is no such MSR. */
const struct msr_row *msr_row_find(uint32_t msr);

/* ---- msr_architectural.c: MSR_NOT_MINE leaves the MSR to the processor ---- */
enum msr_outcome architectural_rdmsr(const struct partition *p, uint32_t msr, uint64_t *value);
enum msr_outcome architectural_wrmsr(const struct partition *p, uint32_t msr);

/* ---- the handlers, by file ---- */
msr_read_fn read_zero;                                                  /* msr.c */
msr_read_fn read_vp_index;                                              /* msr_identity.c */
msr_write_fn write_guest_os_id, write_hypercall, write_reset;           /* msr_identity.c */
msr_read_fn read_npiep_config, read_guest_idle;                         /* msr_vp.c */
msr_write_fn write_npiep_config;                                        /* msr_vp.c */
msr_write_fn write_statistics_page;                                     /* statistics.c */
msr_read_fn read_vp_runtime, read_time_ref_count;                       /* msr_time.c */
msr_read_fn read_tsc_frequency, read_apic_frequency;                    /* msr_time.c */
msr_write_fn write_reference_tsc;                                       /* msr_time.c */
msr_read_fn read_tsc_emulation_status;                                  /* msr_time.c */
msr_write_fn write_reenlightenment_control, write_tsc_emulation_status; /* msr_time.c */
msr_write_fn write_unhalted_timer;                                      /* unhalted.c */
msr_read_fn read_icr, read_tpr;                                         /* msr_apic.c */
msr_write_fn write_eoi, write_icr, write_tpr, write_vp_assist;          /* msr_apic.c */
msr_read_fn read_crash_ctl;                                             /* msr_crash.c */
msr_write_fn write_crash_ctl;                                           /* msr_crash.c */
msr_write_fn write_stimer_config, write_stimer_count;                   /* stimer.c */
msr_read_fn read_sversion;                                              /* synic.c */
msr_write_fn write_scontrol, write_siefp, write_simp;                   /* synic.c */
msr_write_fn write_eom, write_sint;                                     /* synic.c */

#endif
