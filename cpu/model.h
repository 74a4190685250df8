/* Processor models as data: which features a guest is shown, and therefore which instructions, MSRs and control bits exist.
 * What is not advertised is #UD or #GP as the SDM says, whatever the host has. */
#ifndef ORRERY_CPU_MODEL_H
#define ORRERY_CPU_MODEL_H

#include "machine/types.h"

enum cpu_vendor { VENDOR_AMD, VENDOR_INTEL };

enum cpu_feature {
#define FEATURE(id, name, leaf, subleaf, reg, bit) FEAT_##id,
#include "cpu/features.def"
#undef FEATURE
    FEATURES
};

struct cpu_model {
    const char *name; /* "v2", "minimal" */
    enum cpu_vendor vendor;
    uint64_t features[2];   /* bit set by enum cpu_feature */
    unsigned physical_bits; /* MAXPHYADDR */
    uint64_t tsc_hz;
    unsigned vps; /* for topology leaves */
};

static inline bool model_has(const struct cpu_model *m, enum cpu_feature f)
{
    return m->features[f / 64] >> (f % 64) & 1;
}
/* IA32_ARCH_CAPABILITIES: what a processor that executes nothing speculatively does not suffer from (SDM 4 table 2-2): RDCL_NO
 * 0, SKIP_L1DFL_VMENTRY 3, SSB_NO 4, MDS_NO 5, IF_PSCHANGE_MC_NO 6, TAA_NO 8, SBDR_SSDP_NO 13, FBSDP_NO 14, PSDP_NO 15, BHI_NO
 * 20, PBRSB_NO 24, GDS_NO 26, RFDS_NO 27, ITS_NO 62. */
#define ARCH_CAPABILITIES 0x400000000d10e179ULL

/* Without `hypervisor`: who shows a hypervisor sets that feature. False when the model's name is unknown. */
bool cpu_model_init(struct cpu_model *m, const char *name, enum cpu_vendor vendor, uint64_t tsc_hz, unsigned vps);
/* One feature on or off by its name in features.def; false with *why set when unknown, not built, not of this vendor, or
 * impossible alone (what others need goes on before them and off after them). */
bool cpu_model_set(struct cpu_model *m, const char *feature, bool on, const char **why);
const char *cpu_feature_name(enum cpu_feature f);

struct cpuid_result {
    uint32_t eax, ebx, ecx, edx;
};
/* The processor's own leaves (not 0x40000000..). Dynamic bits (OSXSAVE, APIC enable, leaf 0xD sizes) from the arguments. */
struct cpuid_dynamic {
    uint32_t apic_id;
    uint64_t cr4, xcr0;
    bool apic_enabled;
};
struct cpuid_result cpu_model_cpuid(const struct cpu_model *m, const struct cpuid_dynamic *d, uint32_t leaf, uint32_t subleaf);

#endif
