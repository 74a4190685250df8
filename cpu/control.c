/* Control registers, EFER and XCR0: which writes are legal, and what each brings about.
 *
 * SDM 3A §2.5 Control Registers, §4.1 (paging modes), §9.8.5 (activating IA-32e mode), SDM 2B MOV to control registers; XSETBV
 * in 2C. Every check precedes every effect. Bits of features that the model lacks are reserved.
 */
#include "cpu/segment.h"

uint64_t control_read(struct vcpu *v, unsigned cr)
{
    switch (cr) {
    case 0:
        return v->s.cr0;
    case 2:
        return v->s.cr2;
    case 3:
        return v->s.cr3;
    case 4:
        return v->s.cr4;
    case 8:
        return lapic_cr8(v);
    default:
        vp_ud(v);
    }
}

/* PAE paging outside IA-32e mode keeps four PDPTEs in the processor (3A §4.4.1). */
static bool pae_paging(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
    return (cr0 & CR0_PG) && (cr4 & CR4_PAE) && !(efer & EFER_LME);
}

/* ---- CR0 ---- */

#define CR0_KNOWN (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)

/* 3A §9.8.5: setting PG with EFER.LME set. */
static void check_ia32e_entry(struct vcpu *v)
{
    bool tss16 = (v->s.tr.seg.attributes & ATTR_P) && !(attributes_type(v->s.tr.seg.attributes) & 8);
    if (!(v->s.cr4 & CR4_PAE) || (v->s.seg[SEG_CS].attributes & ATTR_L) || tss16) {
        vp_gp0(v);
    }
}

static void write_cr0(struct vcpu *v, uint64_t value)
{
    uint64_t old = v->s.cr0;
    if (value >> 32) {
        vp_gp0(v);
    }
    value = (value & CR0_KNOWN) | CR0_ET; /* reserved bits of the lower half are ignored */
    if (((value & CR0_PG) && !(value & CR0_PE)) || ((value & CR0_NW) && !(value & CR0_CD))) {
        vp_gp0(v);
    }
    if (!(value & CR0_PG) && (old & CR0_PG) && (v->mode == CODE_64 || (v->s.cr4 & CR4_PCIDE))) {
        vp_gp0(v);
    }
    uint64_t changed = old ^ value;
    bool entering = (changed & value & CR0_PG) && (v->s.efer & EFER_LME);
    if (entering) {
        check_ia32e_entry(v);
    }
    if ((changed & (CR0_PG | CR0_CD | CR0_NW)) && pae_paging(value, v->s.cr4, v->s.efer)) {
        mmu_load_pdptes(v, v->s.cr3);
    }
    v->s.cr0 = value;
    if (entering) {
        v->s.efer |= EFER_LMA;
    } else if (!(value & CR0_PG)) {
        v->s.efer &= ~EFER_LMA;
    }
    TRACE(v->trace, cr_write, v->index, 0, value);
    if (changed & (CR0_PG | CR0_WP | CR0_PE)) {
        mmu_paging_changed(v, old, v->s.cr4);
    }
    vp_derive(v);
}

/* ---- CR3 ---- */

static void write_cr3(struct vcpu *v, uint64_t value)
{
    uint64_t old = v->s.cr3;
    bool keep = false;
    if (v->s.cr4 & CR4_PCIDE) { /* 3A §4.10.4.1: bit 63 keeps the PCID's translations */
        keep = value >> 63;
        value &= ~(1ULL << 63);
    }
    if (value >> v->cpu->config.model.physical_bits) {
        vp_gp0(v);
    }
    if (pae_paging(v->s.cr0, v->s.cr4, v->s.efer)) {
        mmu_load_pdptes(v, value);
    }
    v->s.cr3 = value;
    TRACE(v->trace, cr3_write, v->index, value);
    mmu_cr3_written(v, old, value, keep);
}

/* ---- CR4 ---- */

static const struct {
    uint64_t bits;
    enum cpu_feature feature;
} cr4_features[] = {
    {CR4_VME | CR4_PVI, FEAT_VME}, {CR4_TSD, FEAT_TSC},           {CR4_DE, FEAT_DE},
    {CR4_PSE, FEAT_PSE},           {CR4_PAE, FEAT_PAE},           {CR4_PGE, FEAT_PGE},
    {CR4_OSFXSR, FEAT_FXSR},       {CR4_OSXMMEXCPT, FEAT_SSE},    {CR4_UMIP, FEAT_UMIP},
    {CR4_LA57, FEAT_LA57},         {CR4_FSGSBASE, FEAT_FSGSBASE}, {CR4_PCIDE, FEAT_PCID},
    {CR4_OSXSAVE, FEAT_XSAVE},     {CR4_SMEP, FEAT_SMEP},         {CR4_SMAP, FEAT_SMAP},
    {CR4_MCE, FEAT_MCE},
};

/* PCE comes with RDPMC, which every processor here has (and no counters). */
static uint64_t cr4_allowed(const struct vcpu *v)
{
    uint64_t allowed = CR4_PCE;
    for (unsigned i = 0; i < ARRAY_COUNT(cr4_features); i++) {
        allowed |= vp_has(v, cr4_features[i].feature) ? cr4_features[i].bits : 0;
    }
    return allowed;
}

static void write_cr4(struct vcpu *v, uint64_t value)
{
    uint64_t old = v->s.cr4, changed = old ^ value;
    if (value & ~cr4_allowed(v)) {
        vp_gp0(v);
    }
    if (vp_long(v) && (!(value & CR4_PAE) || (changed & CR4_LA57))) {
        vp_gp0(v);
    }
    if ((changed & value & CR4_PCIDE) && (!vp_long(v) || (v->s.cr3 & 0xfff) != 0)) {
        vp_gp0(v);
    }
    if ((changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP)) && pae_paging(v->s.cr0, value, v->s.efer)) {
        mmu_load_pdptes(v, v->s.cr3);
    }
    v->s.cr4 = value;
    TRACE(v->trace, cr_write, v->index, 4, value);
    if (changed & (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP | CR4_LA57)) {
        mmu_paging_changed(v, v->s.cr0, old);
    }
    vp_derive(v);
}

void control_write(struct vcpu *v, unsigned cr, uint64_t value)
{
    switch (cr) {
    case 0:
        write_cr0(v, value);
        return;
    case 2:
        v->s.cr2 = value;
        return;
    case 3:
        write_cr3(v, value);
        return;
    case 4:
        write_cr4(v, value);
        return;
    case 8:
        if (value > 15) {
            vp_gp0(v);
        }
        TRACE(v->trace, cr_write, v->index, 8, value);
        lapic_set_cr8(v, value);
        return;
    default:
        vp_ud(v);
    }
}

/* ---- EFER, SDM 3A §2.2.1 ---- */

static uint64_t efer_allowed(const struct vcpu *v)
{
    uint64_t allowed = EFER_LMA;
    allowed |= vp_has(v, FEAT_SYSCALL) ? EFER_SCE : 0;
    allowed |= vp_has(v, FEAT_LM) ? EFER_LME : 0;
    return allowed | (vp_has(v, FEAT_NX) ? EFER_NXE : 0);
}

enum msr_outcome control_write_efer(struct vcpu *v, uint64_t value)
{
    uint64_t old = v->s.efer;
    if ((value & ~efer_allowed(v)) || (((old ^ value) & EFER_LME) && (v->s.cr0 & CR0_PG))) {
        return MSR_GP;
    }
    value = (value & ~EFER_LMA) | (old & EFER_LMA); /* LMA shows a state; writes to it are ignored */
    v->s.efer = value;
    TRACE(v->trace, cr_write, v->index, 25, value);
    if ((old ^ value) & EFER_NXE) {
        mmu_paging_changed(v, v->s.cr0, v->s.cr4);
    }
    vp_derive(v);
    return MSR_OK;
}

/* What the writes above would have refused on the way to this state, and segments that fit the mode (3A §5.2.1, §9.8.5). */
bool vp_state_reachable(const struct vcpu *v, const struct vp_state *s)
{
    bool lma = s->efer & EFER_LMA, cs_long = s->seg[SEG_CS].attributes & ATTR_L;
    if (s->cr4 & ~cr4_allowed(v) || s->efer & ~(efer_allowed(v)) || s->cr3 >> v->cpu->config.model.physical_bits) {
        return false;
    }
    if (((s->cr4 & CR4_PCIDE) && !lma) || (lma && cs_long && (s->seg[SEG_CS].attributes & ATTR_DB))) {
        return false;
    }
    if ((s->rflags & RFLAGS_VM) && (s->cpl != 3 || lma || !(s->cr0 & CR0_PE))) {
        return false;
    }
    unsigned unused_bits = s->cr4 & CR4_LA57 ? 7 : 16;
    bool rip_fits = lma && cs_long ? (uint64_t)((int64_t)(s->rip << unused_bits) >> unused_bits) == s->rip : s->rip >> 32 == 0;
    if (!rip_fits) {
        return false;
    }
    bool cs_is_code = (s->seg[SEG_CS].attributes & (ATTR_P | ATTR_S | ATTR_CODE)) == (ATTR_P | ATTR_S | ATTR_CODE);
    if ((s->cr0 & CR0_PE) && !(s->rflags & RFLAGS_VM) && !cs_is_code) {
        return false;
    }
    return (s->cr0 & CR0_PE) || s->cpl == 0;
}

/* ---- XCR0, SDM 1 §13.3 ---- */

void control_xsetbv(struct vcpu *v, uint32_t index, uint64_t value)
{
    enum { XCR0_X87 = 1, XCR0_SSE = 2 };
    if (index != 0 || !(value & XCR0_X87) || (value & ~(uint64_t)(XCR0_X87 | XCR0_SSE))) {
        vp_gp0(v);
    }
    v->s.xcr0 = value;
    TRACE(v->trace, cr_write, v->index, 24, value);
    vp_derive(v);
}
