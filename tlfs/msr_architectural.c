/* The processor's own MSRs that a partition sees as the hypervisor has them, not as the SDM does. TLFS 5.0C appendices D and E.
 *
 * Invariants: each reads as a constant, or as the processor has it, and takes every write without effect; none is stored. All
 * other architectural MSRs are the processor's alone (cpu/msr.c).
 */
#include "tlfs/hypervisor.h"
#include "tlfs/msr.h"

enum { ANY_VENDOR = -1, ALWAYS = FEATURES };

static const struct {
    uint32_t index;
    const char *name;
    int vendor;       /* enum cpu_vendor, or ANY_VENDOR */
    unsigned feature; /* enum cpu_feature that it comes with, or ALWAYS */
    bool own;         /* reads as the processor has it */
    uint64_t value;
} rows[] = {
    {0x00000017, "IA32_PLATFORM_ID", VENDOR_INTEL, ALWAYS, false, 0},
    {0x00000079, "IA32_BIOS_UPDT_TRIG", VENDOR_INTEL, ALWAYS, false, 0},
    /* The revision of the microcode stands in the upper half: none later is to be had. */
    {0x0000008b, "IA32_BIOS_SIGN_ID", VENDOR_INTEL, ALWAYS, false, 0x8fffffffULL << 32},
    {0x00000179, "IA32_MCG_CAP", ANY_VENDOR, FEAT_MCA, true, 0},
    {0x000001a0, "IA32_MISC_ENABLE", VENDOR_INTEL, ALWAYS, true, 0},
    {0x000001d9, "IA32_DEBUGCTL", ANY_VENDOR, ALWAYS, false, 0},
};

/* The row's place, or -1. */
static int row_of(const struct partition *p, uint32_t msr)
{
    const struct cpu_model *model = &p->cpu_config.model;
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        bool shown = (rows[i].vendor == ANY_VENDOR || rows[i].vendor == (int)model->vendor) &&
                     (rows[i].feature == ALWAYS || model_has(model, rows[i].feature));
        if (rows[i].index == msr && shown) {
            return (int)i;
        }
    }
    return -1;
}

enum msr_outcome architectural_rdmsr(const struct partition *p, uint32_t msr, uint64_t *value)
{
    int row = row_of(p, msr);
    if (row < 0 || rows[row].own) {
        return MSR_NOT_MINE;
    }
    *value = rows[row].value;
    return MSR_OK;
}

enum msr_outcome architectural_wrmsr(const struct partition *p, uint32_t msr)
{
    return row_of(p, msr) < 0 ? MSR_NOT_MINE : MSR_OK;
}
