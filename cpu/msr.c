/* RDMSR and WRMSR: the processor's own registers by one table, the local APIC's by range, all others by hook. SDM 4 chapter 2.
 *
 * Invariants: values live in struct vp_state (or the local APIC) and nowhere else; a refused write changes nothing; what
 * neither the table, the local APIC nor a hook knows raises #GP(0), which operating systems probe for. The hypervisor's range
 * goes to its hook directly and is charged as an intercept; the processor's own registers cost what the instruction costs.
 * Chosen where the vendors' texts leave it open: what AMD's guests write in passing (HWCR, NB_CFG, DE_CFG) reads as a fixed
 * value and takes any write. IA32_MISC_ENABLE offers neither the CPUID limit (bit 22) nor NX disable (bit 34): a 1 there raises
 * #GP. Left out: machine check, performance counters, DEBUGCTL and last-branch records, microcode update.
 */
#include "cpu/msr.h"

#include "cpu/lapic.h"

enum {
    MSR_FS_BASE = 0xc0000100,
    MSR_GS_BASE = 0xc0000101,
    MSR_KERNEL_GS_BASE = 0xc0000102,
    MSR_X2APIC_FIRST = 0x800,
    MSR_X2APIC_COUNT = 0x100,
    MSR_HYPERVISOR_FIRST = 0x40000000,
    MSR_HYPERVISOR_COUNT = 0x200,
};

/* ---- exceptions to the table's rules ---- */

static uint64_t read_tsc(struct vcpu *v)
{
    return vp_tsc(v);
}

/* A write moves the TSC, and IA32_TSC_ADJUST by as much; SDM 3B §17.17.3. */
static void move_tsc(struct vcpu *v, uint64_t by)
{
    v->s.tsc_offset += by;
    v->s.tsc_adjust += by;
    lapic_tsc_changed(v);
}

static enum msr_outcome write_tsc(struct vcpu *v, uint64_t value)
{
    move_tsc(v, value - read_tsc(v));
    return MSR_OK;
}

static uint64_t read_adjust(struct vcpu *v)
{
    return v->s.tsc_adjust;
}

static enum msr_outcome write_adjust(struct vcpu *v, uint64_t value)
{
    move_tsc(v, value - v->s.tsc_adjust);
    return MSR_OK;
}

static uint64_t read_base(struct vcpu *v)
{
    return v->lapic.base_msr;
}

static enum msr_outcome write_base(struct vcpu *v, uint64_t value)
{
    return lapic_wrmsr(v, 0x1b, value);
}

static enum msr_outcome write_deadline(struct vcpu *v, uint64_t value)
{
    lapic_timer_set_deadline(v, value);
    return MSR_OK;
}

static uint64_t read_efer(struct vcpu *v)
{
    return v->s.efer;
}

/* Bits 0 (fast strings), 11 and 12 (no BTS, no PEBS: read-only), 18 (MONITOR: as the model has it, read-only here). */
#define MISC_ENABLE_FAST_STRINGS (1ULL << 0)
#define MISC_ENABLE_MONITOR (1ULL << 18)
#define MISC_ENABLE_RESET (MISC_ENABLE_FAST_STRINGS | 1ULL << 11 | 1ULL << 12)
#define MISC_ENABLE_RESERVED (~(MISC_ENABLE_RESET | MISC_ENABLE_MONITOR))

/* What Linux reads before it trusts the TSC, and what LFENCE does here. */
#define HWCR_TSC_FREQ_SEL (1ULL << 24)
#define DE_CFG_LFENCE_WAITS (1ULL << 1)

static uint64_t read_misc_enable(struct vcpu *v)
{
    return v->s.misc_enable | (vp_has(v, FEAT_MONITOR) ? MISC_ENABLE_MONITOR : 0);
}

static enum msr_outcome write_misc_enable(struct vcpu *v, uint64_t value)
{
    v->s.misc_enable = (v->s.misc_enable & ~MISC_ENABLE_FAST_STRINGS) | (value & MISC_ENABLE_FAST_STRINGS);
    return MSR_OK;
}

/* IA32_PRED_CMD bit 0: there is no prediction to forget. */
static enum msr_outcome write_prediction(struct vcpu *v, uint64_t value)
{
    return MSR_OK;
}

/* ---- the table ---- */

#define ALWAYS MSR_ALWAYS
#define ANY MSR_ANY
#define NARROW MSR_NARROW
#define CANONICAL MSR_CANONICAL
#define RW MSR_RW
#define RO MSR_RO
#define WO MSR_WO
#define FIXED MSR_FIXED
#define ALL MSR_ANY_VENDOR
#define INTEL VENDOR_INTEL
#define AMD VENDOR_AMD
/* Where the value is: in a field, behind two functions, or nowhere. */
#define IN(field) offsetof(struct vp_state, field), NULL, NULL
#define BY(read, write) MSR_NO_FIELD, read, write
#define NOWHERE MSR_NO_FIELD, NULL, NULL
#define HOOK_FIRST true
/* SDM 3A §11.11.2.2, §11.11.2.3. Bits 63:MAXPHYADDR of base and mask depend on the model: mtrr_is_legal(). */
#define MTRR_PAIR(n)                                                                                                           \
    {0x200 + 2 * n, "IA32_MTRR_PHYSBASE" #n, "SDM 3A §11.11.2", FEAT_MTRR, ALL, RW, 0, 0xf00, ANY, IN(mtrr_base[n])},          \
    {                                                                                                                          \
        0x201 + 2 * n, "IA32_MTRR_PHYSMASK" #n, "SDM 3A §11.11.2", FEAT_MTRR, ALL, RW, 0, 0x7ff, ANY, IN(mtrr_mask[n])         \
    }
#define MTRR_FIX(index, n)                                                                                                     \
    {                                                                                                                          \
        index, "IA32_MTRR_FIX" #n, "SDM 3A §11.11.2", FEAT_MTRR, ALL, RW, 0, 0, MSR_RANGES, IN(mtrr_fixed[n])                  \
    }

enum { MTRR_DEF_TYPE_INDEX = 0x2ff };

/* clang-format off */
const struct msr_row msr_rows[] = {
    /* index     name                       section            with, vendor, access, reset, reserved bits, rule, where */
    {0x00000010, "IA32_TIME_STAMP_COUNTER", "SDM 3B §17.17",   FEAT_TSC, ALL, RW, 0, 0, ANY, BY(read_tsc, write_tsc)},
    {0x00000017, "IA32_PLATFORM_ID",        "SDM 4 §2.1",      ALWAYS, INTEL, RO, 0, 0, ANY, NOWHERE, HOOK_FIRST},
    {0x0000001b, "IA32_APIC_BASE",          "SDM 3A §10.4.4",  FEAT_APIC, ALL, RW, 0, 0, ANY, BY(read_base, write_base)},
    {0x0000003b, "IA32_TSC_ADJUST", "SDM 3B §17.17.3", FEAT_TSC_ADJUST, ALL, RW, 0, 0, ANY, BY(read_adjust, write_adjust)},
    {0x00000048, "IA32_SPEC_CTRL",          "SDM 4 §2.1",      FEAT_SPEC_CTRL, INTEL, RW, 0, ~0x3ULL, ANY, IN(spec_ctrl)},
    {0x00000049, "IA32_PRED_CMD", "SDM 4 §2.1", FEAT_SPEC_CTRL, INTEL, WO, 0, ~0x1ULL, ANY, BY(NULL, write_prediction)},
    {0x0000008b, "IA32_BIOS_SIGN_ID",       "SDM 3A §9.11.7.1", ALWAYS, ALL, FIXED, 0, 0, ANY, NOWHERE, HOOK_FIRST},
    {0x000000fe, "IA32_MTRRCAP",            "SDM 3A §11.11.1", FEAT_MTRR, ALL, RO, 0x508, 0, ANY, NOWHERE},
    {0x0000010a, "IA32_ARCH_CAPABILITIES", "SDM 4 §2.1", FEAT_ARCH_CAPABILITIES, INTEL, RO, ARCH_CAPABILITIES, 0, ANY, NOWHERE},
    {0x00000174, "IA32_SYSENTER_CS",        "SDM 3A §5.8.7",   FEAT_SEP, ALL, RW, 0, 0, NARROW, IN(sysenter_cs)},
    {0x00000175, "IA32_SYSENTER_ESP",       "SDM 3A §5.8.7",   FEAT_SEP, ALL, RW, 0, 0, MSR_ENTRY, IN(sysenter_esp)},
    {0x00000176, "IA32_SYSENTER_EIP",       "SDM 3A §5.8.7",   FEAT_SEP, ALL, RW, 0, 0, MSR_ENTRY, IN(sysenter_eip)},
    {0x00000179, "IA32_MCG_CAP",            "SDM 3B §15.3.1.1", FEAT_MCA, ALL, RO, 0, 0, ANY, NOWHERE, HOOK_FIRST},
    {0x0000017a, "IA32_MCG_STATUS",         "SDM 3B §15.3.1.2", FEAT_MCA, ALL, FIXED, 0, 0, ANY, NOWHERE},
    {0x000001a0, "IA32_MISC_ENABLE",        "SDM 4 §2.1",      ALWAYS, INTEL, RW, MISC_ENABLE_RESET, MISC_ENABLE_RESERVED, ANY,
     offsetof(struct vp_state, misc_enable), read_misc_enable, write_misc_enable, HOOK_FIRST},
    MTRR_PAIR(0), MTRR_PAIR(1), MTRR_PAIR(2), MTRR_PAIR(3), MTRR_PAIR(4), MTRR_PAIR(5), MTRR_PAIR(6), MTRR_PAIR(7),
    MTRR_FIX(0x250, 0), MTRR_FIX(0x258, 1), MTRR_FIX(0x259, 2), MTRR_FIX(0x268, 3), MTRR_FIX(0x269, 4), MTRR_FIX(0x26a, 5),
    MTRR_FIX(0x26b, 6), MTRR_FIX(0x26c, 7), MTRR_FIX(0x26d, 8), MTRR_FIX(0x26e, 9), MTRR_FIX(0x26f, 10),
    {0x00000277, "IA32_PAT",                "SDM 3A §11.12.2", FEAT_PAT, ALL, RW, 0x0007040600070406, 0, MSR_TYPES, IN(pat)},
    {0x000002ff, "IA32_MTRR_DEF_TYPE",      "SDM 3A §11.11.2.1", FEAT_MTRR, ALL, RW, 0, ~0xcffULL, ANY, IN(mtrr_def_type)},
    {0x000006e0, "IA32_TSC_DEADLINE",       "SDM 3A §10.5.4.1", FEAT_TSC_DEADLINE, ALL, RW, 0, 0, ANY,
     BY(lapic_timer_deadline, write_deadline)},
    {0xc0000080, "IA32_EFER",               "SDM 3A §2.2.1",   ALWAYS, ALL, RW, 0, 0, ANY, BY(read_efer, control_write_efer)},
    {0xc0000081, "IA32_STAR",               "SDM 3A §5.8.8",   FEAT_SYSCALL, ALL, RW, 0, 0, ANY, IN(star)},
    {0xc0000082, "IA32_LSTAR",              "SDM 3A §5.8.8",   FEAT_SYSCALL, ALL, RW, 0, 0, CANONICAL, IN(lstar)},
    {0xc0000083, "IA32_CSTAR",              "APM 2 §6.1.1",    FEAT_SYSCALL, ALL, RW, 0, 0, CANONICAL, IN(cstar)},
    {0xc0000084, "IA32_FMASK",              "SDM 3A §5.8.8",   FEAT_SYSCALL, ALL, RW, 0, 0, NARROW, IN(fmask)},
    {0xc0000100, "IA32_FS_BASE",            "SDM 3A §3.4.4",   FEAT_LM, ALL, RW, 0, 0, CANONICAL, IN(seg_base[SEG_FS])},
    {0xc0000101, "IA32_GS_BASE",            "SDM 3A §3.4.4",   FEAT_LM, ALL, RW, 0, 0, CANONICAL, IN(seg_base[SEG_GS])},
    {0xc0000102, "IA32_KERNEL_GS_BASE",     "SDM 3A §5.8.8",   FEAT_LM, ALL, RW, 0, 0, CANONICAL, IN(kernel_gs_base)},
    {0xc0000103, "IA32_TSC_AUX",            "SDM 3B §17.17.2", FEAT_RDTSCP, ALL, RW, 0, 0, NARROW, IN(tsc_aux)},
    {0xc0010010, "SYSCFG",                  "APM 2 §3.2.2",    FEAT_MTRR, AMD, FIXED, 0, 0, ANY, NOWHERE},
    {0xc0010015, "HWCR",                    "APM 2 §3.2.10",   ALWAYS, AMD, FIXED, HWCR_TSC_FREQ_SEL, 0, ANY, NOWHERE},
    {0xc001001f, "NB_CFG",                  "APM 2 §A", ALWAYS, AMD, FIXED, 0, 0, ANY, NOWHERE},
    {0xc0011029, "DE_CFG",                  "APM 2 §3.1",      ALWAYS, AMD, FIXED, DE_CFG_LFENCE_WAITS, 0, ANY, NOWHERE},
};
/* clang-format on */
const size_t msr_row_count = ARRAY_COUNT(msr_rows);

static const struct msr_row *find_row(const struct vcpu *v, uint32_t msr)
{
    size_t low = 0, high = ARRAY_COUNT(msr_rows);
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (msr_rows[middle].index < msr) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == ARRAY_COUNT(msr_rows) || msr_rows[low].index != msr) {
        return NULL;
    }
    const struct msr_row *row = &msr_rows[low];
    bool shown = row->feature == MSR_ALWAYS || vp_has(v, row->feature);
    return shown && (row->vendor == ALL || row->vendor == (int)v->cpu->config.model.vendor) ? row : NULL;
}

static uint64_t *field_of(struct vcpu *v, const struct msr_row *row)
{
    return (uint64_t *)((char *)&v->s + row->field);
}

void msr_reset(struct vcpu *v)
{
    for (size_t i = 0; i < ARRAY_COUNT(msr_rows); i++) {
        const struct msr_row *row = find_row(v, msr_rows[i].index);
        if (row != NULL && row->field != MSR_NO_FIELD) {
            *field_of(v, row) = row->reset;
        }
    }
}

/* ---- checks of a written value ---- */

/* Memory types: 0 UC, 1 WC, 4 WT, 5 WP, 6 WB, and in the PAT 7 UC-. SDM 3A table 11-10. */
static bool is_memory_type(uint8_t type, bool in_pat)
{
    return type <= 1 || (type >= 4 && type <= 6) || (in_pat && type == 7);
}

static bool are_memory_types(uint64_t value, bool in_pat)
{
    for (unsigned i = 0; i < 64; i += 8) {
        if (!is_memory_type((uint8_t)(value >> i), in_pat)) {
            return false;
        }
    }
    return true;
}

/* A base or mask of an MTRR ends at MAXPHYADDR; a base and the default hold one type. */
static bool mtrr_is_legal(const struct vcpu *v, uint32_t msr, uint64_t value)
{
    bool is_variable = msr < 0x210, holds_type = msr == MTRR_DEF_TYPE_INDEX || (msr & 1) == 0;
    if (is_variable && value >> v->cpu->config.model.physical_bits) {
        return false;
    }
    return !holds_type || is_memory_type((uint8_t)value, false);
}

static bool is_legal(const struct vcpu *v, const struct msr_row *row, uint64_t value)
{
    if (value & row->reserved) {
        return false;
    }
    switch (row->rule) {
    case MSR_NARROW:
        return vp_is_amd(v) || value >> 32 == 0;
    case MSR_CANONICAL:
        return canonical(v, value);
    case MSR_ENTRY:
        return vp_is_amd(v) || canonical(v, value);
    case MSR_TYPES:
        return are_memory_types(value, true);
    case MSR_RANGES:
        return are_memory_types(value, false);
    default:
        return row->feature != FEAT_MTRR || mtrr_is_legal(v, row->index, value);
    }
}

/* ---- by row ---- */

static enum msr_outcome row_read(struct vcpu *v, const struct msr_row *row, uint64_t *value)
{
    if (row->access == MSR_WO) {
        return MSR_GP;
    }
    *value = row->read ? row->read(v) : row->field != MSR_NO_FIELD ? *field_of(v, row) : row->reset;
    return MSR_OK;
}

static enum msr_outcome row_write(struct vcpu *v, const struct msr_row *row, uint64_t value)
{
    if (row->access == MSR_FIXED) {
        return MSR_OK;
    }
    if (row->access == MSR_RO || !is_legal(v, row, value)) {
        return MSR_GP;
    }
    if (row->rule == MSR_NARROW || (row->rule == MSR_ENTRY && vp_is_amd(v))) {
        value = (uint32_t)value;
    }
    if (row->write) {
        return row->write(v, value);
    }
    *field_of(v, row) = value;
    return MSR_OK;
}

/* ---- whose register is it? ---- */

static bool in_range(uint32_t msr, uint32_t first, uint32_t count)
{
    return msr - first < count;
}

static void charge(struct vcpu *v, enum vp_exit reason)
{
    vp_charge(v, reason, v->cpu->cost->event[reason]);
}

static enum msr_outcome hook_read(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    const struct cpu_hooks *h = &v->cpu->hooks;
    return h->rdmsr ? h->rdmsr(h->owner, v, msr, value) : MSR_NOT_MINE;
}

static enum msr_outcome hook_write(struct vcpu *v, uint32_t msr, uint64_t value)
{
    const struct cpu_hooks *h = &v->cpu->hooks;
    return h->wrmsr ? h->wrmsr(h->owner, v, msr, value) : MSR_NOT_MINE;
}

static enum msr_outcome find_and_read(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    if (in_range(msr, MSR_HYPERVISOR_FIRST, MSR_HYPERVISOR_COUNT)) {
        charge(v, EXIT_RDMSR);
        return hook_read(v, msr, value);
    }
    if (in_range(msr, MSR_X2APIC_FIRST, MSR_X2APIC_COUNT) && lapic_is_x2(&v->lapic)) {
        charge(v, EXIT_APIC);
        return lapic_rdmsr(v, msr, value);
    }
    const struct msr_row *row = find_row(v, msr);
    if (row == NULL || row->hook_first) {
        enum msr_outcome outcome = hook_read(v, msr, value);
        if (outcome != MSR_NOT_MINE || row == NULL) {
            return outcome;
        }
    }
    return row_read(v, row, value);
}

static enum msr_outcome find_and_write(struct vcpu *v, uint32_t msr, uint64_t value)
{
    if (in_range(msr, MSR_HYPERVISOR_FIRST, MSR_HYPERVISOR_COUNT)) {
        charge(v, EXIT_WRMSR);
        return hook_write(v, msr, value);
    }
    if (in_range(msr, MSR_X2APIC_FIRST, MSR_X2APIC_COUNT) && lapic_is_x2(&v->lapic)) {
        charge(v, EXIT_APIC);
        return lapic_wrmsr(v, msr, value);
    }
    const struct msr_row *row = find_row(v, msr);
    if (row == NULL || row->hook_first) {
        enum msr_outcome outcome = hook_write(v, msr, value);
        if (outcome != MSR_NOT_MINE || row == NULL) {
            return outcome;
        }
    }
    return row_write(v, row, value);
}

/* The bases that operating systems touch at every switch go around the search; every model with these MSRs is a 64-bit one. */
static uint64_t *hot_base(struct vcpu *v, uint32_t msr)
{
    switch (msr) {
    case MSR_FS_BASE:
        return &v->s.seg_base[SEG_FS];
    case MSR_GS_BASE:
        return &v->s.seg_base[SEG_GS];
    case MSR_KERNEL_GS_BASE:
        return &v->s.kernel_gs_base;
    default:
        return NULL;
    }
}

enum msr_outcome msr_read(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    const uint64_t *base = hot_base(v, msr);
    enum msr_outcome outcome = MSR_OK;
    if (LIKELY(base && vp_has(v, FEAT_LM))) {
        *value = *base;
    } else {
        outcome = find_and_read(v, msr, value);
    }
    if (UNLIKELY(outcome != MSR_OK)) {
        TRACE(v->trace, msr_refused, v->index, msr, 0, 0, v->s.rip);
        return MSR_GP;
    }
    TRACE(v->trace, msr_read, v->index, msr, *value, v->s.rip);
    return MSR_OK;
}

enum msr_outcome msr_write(struct vcpu *v, uint32_t msr, uint64_t value)
{
    uint64_t *base = hot_base(v, msr);
    enum msr_outcome outcome = MSR_OK;
    if (LIKELY(base && vp_has(v, FEAT_LM))) {
        outcome = canonical(v, value) ? MSR_OK : MSR_GP;
        if (outcome == MSR_OK) {
            *base = value;
        }
    } else {
        outcome = find_and_write(v, msr, value);
    }
    if (UNLIKELY(outcome != MSR_OK)) {
        TRACE(v->trace, msr_refused, v->index, msr, 1, value, v->s.rip);
        return MSR_GP;
    }
    TRACE(v->trace, msr_write, v->index, msr, value, v->s.rip);
    return MSR_OK;
}
