/* The register table: HV_REGISTER_NAME over struct vp_state. TLFS 6.0b §7.8.2 (names), §7.9 (formats).
 *
 * Invariants: rows are sorted by name; a value that get() gave is accepted by set() and changes nothing; a value that no
 * running VP could hold (reserved bits, non-canonical addresses, impossible attributes) is refused with nothing changed. Checks
 * concern one register: what must fit together (CR0.PG and EFER.LMA ...) or fit the model's features is vp_set_state()'s to
 * judge. An address is canonical for CR4.LA57 as it is. CPL has no name: it is SS.DPL, as on the processor, and travels with SS
 * even when SS is null. Left out: what vp_state does not hold: CR8, APIC_BASE and the initial APIC id (local APIC), the TSC (a
 * function of time), and the hypervisor's own registers; debug traps that are due (their DR6 bits fit no register of this
 * edition).
 */
#include "cpu/registers.h"

#include <string.h>

typedef struct register_value value_t;

static value_t value_of(uint64_t low)
{
    return (value_t){low, 0};
}

static bool fits(value_t v, unsigned bits)
{
    return v.high == 0 && (bits == 64 || v.low >> bits == 0);
}

static bool is_canonical(const struct vp_state *s, uint64_t linear)
{
    unsigned shift = s->cr4 & CR4_LA57 ? 7 : 16;
    return (uint64_t)((int64_t)(linear << shift) >> shift) == linear;
}

/* ---- 64-bit registers that are one field: the argument is the offset ---- */

static uint64_t *field(struct vp_state *s, unsigned offset)
{
    return (uint64_t *)((char *)s + offset);
}

static value_t get_field(const struct vp_state *s, unsigned offset)
{
    return value_of(*(const uint64_t *)((const char *)s + offset));
}

static bool set_field(struct vp_state *s, unsigned offset, value_t v)
{
    if (!fits(v, 64)) {
        return false;
    }
    *field(s, offset) = v.low;
    return true;
}

static bool set_masked(struct vp_state *s, unsigned offset, value_t v, uint64_t allowed, uint64_t fixed)
{
    return (v.low & ~allowed) == 0 && (v.low & fixed) == fixed && set_field(s, offset, v);
}

static bool set_linear(struct vp_state *s, unsigned offset, value_t v)
{
    return is_canonical(s, v.low) && set_field(s, offset, v);
}

static bool set_narrow(struct vp_state *s, unsigned offset, value_t v)
{
    return fits(v, 32) && set_field(s, offset, v);
}

/* SDM 1 §3.4.3: bit 1 is 1; 3, 5, 15 and 63:22 are 0. */
static bool set_rflags(struct vp_state *s, unsigned offset, value_t v)
{
    return set_masked(s, offset, v, 0x3f7fd7, RFLAGS_FIXED);
}

/* SDM 3A §2.5: paging needs protection, NW needs CD, ET is 1. */
static bool set_cr0(struct vp_state *s, unsigned offset, value_t v)
{
    uint64_t allowed = CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG;
    bool whole = (!(v.low & CR0_PG) || (v.low & CR0_PE)) && (!(v.low & CR0_NW) || (v.low & CR0_CD));
    return whole && set_masked(s, offset, v, allowed, CR0_ET);
}

static bool set_cr3(struct vp_state *s, unsigned offset, value_t v)
{
    return set_masked(s, offset, v, 0x000fffffffffffffULL, 0);
}

static bool set_cr4(struct vp_state *s, unsigned offset, value_t v)
{
    uint64_t allowed = CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE | CR4_OSFXSR |
                       CR4_OSXMMEXCPT | CR4_UMIP | CR4_LA57 | CR4_FSGSBASE | CR4_PCIDE | CR4_OSXSAVE | CR4_SMEP | CR4_SMAP;
    return set_masked(s, offset, v, allowed, 0);
}

/* SDM 1 §13.3: x87 always, SSE. */
static bool set_xcr0(struct vp_state *s, unsigned offset, value_t v)
{
    return set_masked(s, offset, v, 3, 1);
}

static bool set_efer(struct vp_state *s, unsigned offset, value_t v)
{
    return set_masked(s, offset, v, EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE, 0);
}

/* SDM 3A §17.2: the fixed bits of DR6 (31:16, 11:4 are 1) and DR7 (10 is 1). */
static bool set_dr6(struct vp_state *s, unsigned offset, value_t v)
{
    return set_masked(s, offset, v, 0xffffefff, 0xffff0ff0);
}

static bool set_dr7(struct vp_state *s, unsigned offset, value_t v)
{
    return set_masked(s, offset, v, 0xffff27ff, 0x400);
}

static bool is_memory_type(uint8_t type, bool in_pat)
{
    return type <= 1 || (type >= 4 && type <= 6) || (in_pat && type == 7);
}

static bool set_types(struct vp_state *s, unsigned offset, value_t v, bool in_pat)
{
    for (unsigned i = 0; i < 64; i += 8) {
        if (!is_memory_type((uint8_t)(v.low >> i), in_pat)) {
            return false;
        }
    }
    return set_field(s, offset, v);
}

static bool set_pat(struct vp_state *s, unsigned offset, value_t v)
{
    return set_types(s, offset, v, true);
}

/* SDM 3A §11.11.2. */
static bool set_mtrr_fixed(struct vp_state *s, unsigned offset, value_t v)
{
    return set_types(s, offset, v, false);
}

static bool set_mtrr_default(struct vp_state *s, unsigned offset, value_t v)
{
    return is_memory_type((uint8_t)v.low, false) && set_masked(s, offset, v, 0xcff, 0);
}

static bool set_mtrr_base(struct vp_state *s, unsigned offset, value_t v)
{
    return is_memory_type((uint8_t)v.low, false) && set_masked(s, offset, v, 0x000ffffffffff0ffULL, 0);
}

static bool set_mtrr_mask(struct vp_state *s, unsigned offset, value_t v)
{
    return set_masked(s, offset, v, 0x000ffffffffff800ULL, 0);
}

/* Bits 0, 11, 12 of IA32_MISC_ENABLE; the last two are read-only. */
static bool set_misc_enable(struct vp_state *s, unsigned offset, value_t v)
{
    return set_masked(s, offset, v, 0x1801, s->misc_enable & 0x1800) && ((v.low ^ s->misc_enable) & 0x1800) == 0;
}

static value_t get_mtrr_capability(const struct vp_state *s, unsigned argument)
{
    return value_of(0x508); /* 8 variable ranges, fixed ranges, write combining */
}

/* ---- interrupt state, §7.9.2 and §7.9.3 ---- */

enum { INTERRUPT_SHADOW = 1, NMI_MASKED = 2, SHADOW_STI = 1 };

static value_t get_interrupt_state(const struct vp_state *s, unsigned argument)
{
    return value_of((s->interrupt_shadow ? INTERRUPT_SHADOW : 0) | (s->nmi_blocked ? NMI_MASKED : 0));
}

/* One bit stands for both kinds of shadow (after STI, after MOV SS): a shadow that is there stays as it is. */
static bool set_interrupt_state(struct vp_state *s, unsigned argument, value_t v)
{
    if (!fits(v, 2)) {
        return false;
    }
    if (!(v.low & INTERRUPT_SHADOW)) {
        s->interrupt_shadow = 0;
    } else if (s->interrupt_shadow == 0) {
        s->interrupt_shadow = SHADOW_STI;
    }
    s->nmi_blocked = v.low & NMI_MASKED;
    return true;
}

/* The one interruption that vp_state can hold is an NMI: pending 0, type 3:1 = 2, vector 31:16 = 2. */
#define PENDING_NMI (1u | 2u << 1 | (uint32_t)VEC_NMI << 16)

static value_t get_pending_interruption(const struct vp_state *s, unsigned argument)
{
    return value_of(s->nmi_pending ? PENDING_NMI : 0);
}

/* Without the pending bit the other fields are ignored. */
static bool set_pending_interruption(struct vp_state *s, unsigned argument, value_t v)
{
    bool pending = v.low & 1;
    if (v.high != 0 || (pending && v.low != PENDING_NMI)) {
        return false;
    }
    s->nmi_pending = pending;
    return true;
}

/* ---- segments and tables, §7.9.5 and §7.9.6: base; then limit 31:0, selector 47:32, attributes 63:48 ---- */

enum { ATTR_RESERVED = 0x0f00, ATTR_DPL = 0x60, SEGMENT_LDTR = SEGMENTS, SEGMENT_TR };

static value_t pack_segment(uint64_t base, const struct segment *seg, unsigned attributes)
{
    return (value_t){base, seg->limit | (uint64_t)seg->selector << 32 | (uint64_t)attributes << 48};
}

/* A present segment's limit must be one that a descriptor can express: with G its low 12 bits are ones, without G it has 20
 * bits. */
static bool unpack_segment(value_t v, struct segment *seg)
{
    *seg = (struct segment){
        .limit = (uint32_t)v.high, .selector = (uint16_t)(v.high >> 32), .attributes = (uint16_t)(v.high >> 48)};
    if (seg->attributes & ATTR_RESERVED) {
        return false;
    }
    if (!(seg->attributes & ATTR_P)) {
        seg->attributes &= ATTR_DPL;
        return true;
    }
    return seg->attributes & ATTR_G ? (seg->limit & 0xfff) == 0xfff : seg->limit <= 0xfffff;
}

static value_t get_segment(const struct vp_state *s, unsigned n)
{
    unsigned dpl_of_null_ss = n == SEG_SS && !(s->seg[n].attributes & ATTR_P) ? (unsigned)s->cpl << ATTR_DPL_SHIFT : 0;
    return pack_segment(s->seg_base[n], &s->seg[n], s->seg[n].attributes | dpl_of_null_ss);
}

static bool set_segment(struct vp_state *s, unsigned n, value_t v)
{
    struct segment seg;
    if (!unpack_segment(v, &seg) || !is_canonical(s, v.low)) {
        return false;
    }
    bool present = seg.attributes & ATTR_P;
    if (present && (!(seg.attributes & ATTR_S) || (n == SEG_SS && (seg.attributes & ATTR_CODE)))) {
        return false;
    }
    if (n == SEG_SS) {
        s->cpl = seg.attributes >> ATTR_DPL_SHIFT & 3;
    }
    if (!present) {
        seg.attributes = 0;
    }
    s->seg[n] = seg;
    s->seg_base[n] = v.low;
    return true;
}

static struct system_segment *system_segment(struct vp_state *s, unsigned which)
{
    return which == SEGMENT_LDTR ? &s->ldtr : &s->tr;
}

static value_t get_system_segment(const struct vp_state *s, unsigned which)
{
    const struct system_segment *g = system_segment((struct vp_state *)s, which);
    return pack_segment(g->base, &g->seg, g->seg.attributes);
}

/* LDTR holds an LDT or nothing; TR a TSS, of 16 or 32 (64) bits, available or busy. SDM 3A table 3-2. */
static bool set_system_segment(struct vp_state *s, unsigned which, value_t v)
{
    struct segment seg;
    if (!unpack_segment(v, &seg) || !is_canonical(s, v.low)) {
        return false;
    }
    unsigned type = seg.attributes & (ATTR_TYPE | ATTR_S);
    bool is_tss = type == 1 || type == 3 || type == 9 || type == 11;
    if ((seg.attributes & ATTR_P) && !(which == SEGMENT_LDTR ? type == 2 : is_tss)) {
        return false;
    }
    if (!(seg.attributes & ATTR_P)) {
        seg.attributes = 0;
    }
    *system_segment(s, which) = (struct system_segment){.base = v.low, .seg = seg};
    return true;
}

/* Three words of padding, the limit, the base. */
static value_t get_table(const struct vp_state *s, unsigned offset)
{
    const struct descriptor_table *t = (const struct descriptor_table *)((const char *)s + offset);
    return (value_t){(uint64_t)t->limit << 48, t->base};
}

static bool set_table(struct vp_state *s, unsigned offset, value_t v)
{
    if ((v.low & 0x0000ffffffffffffULL) != 0 || !is_canonical(s, v.high)) {
        return false;
    }
    *(struct descriptor_table *)((char *)s + offset) =
        (struct descriptor_table){.base = v.high, .limit = (uint16_t)(v.low >> 48)};
    return true;
}

/* ---- floating point and vectors, §7.9.4 ---- */

static value_t get_xmm(const struct vp_state *s, unsigned n)
{
    return (value_t){s->xmm[n].q[0], s->xmm[n].q[1]};
}

static bool set_xmm(struct vp_state *s, unsigned n, value_t v)
{
    s->xmm[n].q[0] = v.low;
    s->xmm[n].q[1] = v.high;
    return true;
}

/* FpMmx n is the physical register Rn: the field of MMn. */
static value_t get_fp(const struct vp_state *s, unsigned n)
{
    return (value_t){s->fpu.r[n].significand, s->fpu.r[n].sign_exponent};
}

static bool set_fp(struct vp_state *s, unsigned n, value_t v)
{
    if (v.high >> 16 != 0) {
        return false;
    }
    s->fpu.r[n] = (st_t){.significand = v.low, .sign_exponent = (uint16_t)v.high};
    return true;
}

/* Control 15:0, status 31:16, abridged tags 39:32, reserved 47:40, last opcode 63:48; then the last instruction: a 64-bit RIP,
 * or EIP with CS above it, told apart by CS being 0. */
static value_t get_fp_control(const struct vp_state *s, unsigned argument)
{
    const struct fpu_state *f = &s->fpu;
    uint64_t low = f->fcw | (uint64_t)f->fsw << 16 | (uint64_t)f->ftw << 32 | (uint64_t)f->fop << 48;
    return (value_t){low, f->fcs ? (f->fip & 0xffffffff) | (uint64_t)f->fcs << 32 : f->fip};
}

/* FCW: bit 6 is 1; 7 and 15:13 are 0 (SDM 1 §8.1.5). FOP has 11 bits. */
static bool set_fp_control(struct vp_state *s, unsigned argument, value_t v)
{
    uint16_t fcw = (uint16_t)v.low, fop = (uint16_t)(v.low >> 48);
    bool long_ip = s->fpu.fcs == 0;
    if ((fcw & 0xe0c0) != 0x40 || (v.low >> 40 & 0xff) != 0 || fop > 0x7ff || (!long_ip && v.high >> 48 != 0)) {
        return false;
    }
    s->fpu.fcw = fcw;
    s->fpu.fsw = (uint16_t)(v.low >> 16);
    s->fpu.ftw = (uint8_t)(v.low >> 32);
    s->fpu.fop = fop;
    s->fpu.fip = long_ip ? v.high : (uint32_t)v.high;
    s->fpu.fcs = long_ip ? 0 : (uint16_t)(v.high >> 32);
    return true;
}

/* The last operand (as above, with DS); MXCSR 31:0 and its mask 63:32. */
#define MXCSR_MASK 0xffffu

static value_t get_xmm_control(const struct vp_state *s, unsigned argument)
{
    const struct fpu_state *f = &s->fpu;
    return (value_t){f->fds ? (f->fdp & 0xffffffff) | (uint64_t)f->fds << 32 : f->fdp, s->mxcsr | (uint64_t)MXCSR_MASK << 32};
}

/* The mask says what the processor has: it is read-only, and ignored here as FXRSTOR ignores it. */
static bool set_xmm_control(struct vp_state *s, unsigned argument, value_t v)
{
    bool long_dp = s->fpu.fds == 0;
    if (((uint32_t)v.high & ~MXCSR_MASK) != 0 || (!long_dp && v.low >> 48 != 0)) {
        return false;
    }
    s->mxcsr = (uint32_t)v.high;
    s->fpu.fdp = long_dp ? v.low : (uint32_t)v.low;
    s->fpu.fds = long_dp ? 0 : (uint16_t)(v.low >> 32);
    return true;
}

/* ---- the table ---- */

#define AT(field) offsetof(struct vp_state, field)
#define GPR(name, title, r)                                                                                                    \
    {                                                                                                                          \
        name, title, 64, get_field, set_field, AT(gpr[r])                                                                      \
    }
#define XMM(n)                                                                                                                 \
    {                                                                                                                          \
        0x00030000 + n, "Xmm" #n, 128, get_xmm, set_xmm, n                                                                     \
    }
#define FP(n)                                                                                                                  \
    {                                                                                                                          \
        0x00030010 + n, "FpMmx" #n, 80, get_fp, set_fp, n                                                                      \
    }
#define DR(n)                                                                                                                  \
    {                                                                                                                          \
        0x00050000 + n, "Dr" #n, 64, get_field, set_field, AT(dr[n])                                                           \
    }
#define SEGMENT(name, title, n)                                                                                                \
    {                                                                                                                          \
        name, title, 128, get_segment, set_segment, n                                                                          \
    }
#define LINEAR(name, title, f)                                                                                                 \
    {                                                                                                                          \
        name, title, 64, get_field, set_linear, AT(f)                                                                          \
    }
#define MTRR_BASE(n)                                                                                                           \
    {                                                                                                                          \
        0x00080010 + n, "MtrrPhysBase" #n, 64, get_field, set_mtrr_base, AT(mtrr_base[n])                                      \
    }
#define MTRR_MASK(n)                                                                                                           \
    {                                                                                                                          \
        0x00080040 + n, "MtrrPhysMask" #n, 64, get_field, set_mtrr_mask, AT(mtrr_mask[n])                                      \
    }
#define MTRR_FIX(name, title, n)                                                                                               \
    {                                                                                                                          \
        name, "MtrrFix" title, 64, get_field, set_mtrr_fixed, AT(mtrr_fixed[n])                                                \
    }

/* clang-format off */
const struct register_row register_rows[] = {
    {0x00010002, "PendingInterruption", 64, get_pending_interruption, set_pending_interruption, 0},
    {0x00010003, "InterruptState", 64, get_interrupt_state, set_interrupt_state, 0},
    GPR(0x00020000, "Rax", RAX), GPR(0x00020001, "Rcx", RCX), GPR(0x00020002, "Rdx", RDX), GPR(0x00020003, "Rbx", RBX),
    GPR(0x00020004, "Rsp", RSP), GPR(0x00020005, "Rbp", RBP), GPR(0x00020006, "Rsi", RSI), GPR(0x00020007, "Rdi", RDI),
    GPR(0x00020008, "R8", R8), GPR(0x00020009, "R9", R9), GPR(0x0002000a, "R10", R10), GPR(0x0002000b, "R11", R11),
    GPR(0x0002000c, "R12", R12), GPR(0x0002000d, "R13", R13), GPR(0x0002000e, "R14", R14), GPR(0x0002000f, "R15", R15),
    {0x00020010, "Rip", 64, get_field, set_field, AT(rip)},
    {0x00020011, "Rflags", 64, get_field, set_rflags, AT(rflags)},
    XMM(0), XMM(1), XMM(2), XMM(3), XMM(4), XMM(5), XMM(6), XMM(7), XMM(8),
    XMM(9), XMM(10), XMM(11), XMM(12), XMM(13), XMM(14), XMM(15),
    FP(0), FP(1), FP(2), FP(3), FP(4), FP(5), FP(6), FP(7),
    {0x00030018, "FpControlStatus", 128, get_fp_control, set_fp_control, 0},
    {0x00030019, "XmmControlStatus", 128, get_xmm_control, set_xmm_control, 0},
    {0x00040000, "Cr0", 64, get_field, set_cr0, AT(cr0)},
    {0x00040001, "Cr2", 64, get_field, set_field, AT(cr2)},
    {0x00040002, "Cr3", 64, get_field, set_cr3, AT(cr3)},
    {0x00040003, "Cr4", 64, get_field, set_cr4, AT(cr4)},
    {0x00040005, "Xfem", 64, get_field, set_xcr0, AT(xcr0)},
    DR(0), DR(1), DR(2), DR(3),
    {0x00050004, "Dr6", 64, get_field, set_dr6, AT(dr6)},
    {0x00050005, "Dr7", 64, get_field, set_dr7, AT(dr7)},
    SEGMENT(0x00060000, "Es", SEG_ES), SEGMENT(0x00060001, "Cs", SEG_CS), SEGMENT(0x00060002, "Ss", SEG_SS),
    SEGMENT(0x00060003, "Ds", SEG_DS), SEGMENT(0x00060004, "Fs", SEG_FS), SEGMENT(0x00060005, "Gs", SEG_GS),
    {0x00060006, "Ldtr", 128, get_system_segment, set_system_segment, SEGMENT_LDTR},
    {0x00060007, "Tr", 128, get_system_segment, set_system_segment, SEGMENT_TR},
    {0x00070000, "Idtr", 128, get_table, set_table, AT(idtr)},
    {0x00070001, "Gdtr", 128, get_table, set_table, AT(gdtr)},
    {0x00080001, "Efer", 64, get_field, set_efer, AT(efer)},
    LINEAR(0x00080002, "KernelGsBase", kernel_gs_base),
    {0x00080004, "Pat", 64, get_field, set_pat, AT(pat)},
    {0x00080005, "SysenterCs", 64, get_field, set_narrow, AT(sysenter_cs)},
    LINEAR(0x00080006, "SysenterRip", sysenter_eip),
    LINEAR(0x00080007, "SysenterRsp", sysenter_esp),
    {0x00080008, "Star", 64, get_field, set_field, AT(star)},
    LINEAR(0x00080009, "Lstar", lstar),
    LINEAR(0x0008000a, "Cstar", cstar),
    {0x0008000b, "Sfmask", 64, get_field, set_narrow, AT(fmask)},
    {0x0008000d, "MtrrCap", 64, get_mtrr_capability, NULL, 0},
    {0x0008000e, "MtrrDefType", 64, get_field, set_mtrr_default, AT(mtrr_def_type)},
    MTRR_BASE(0), MTRR_BASE(1), MTRR_BASE(2), MTRR_BASE(3), MTRR_BASE(4), MTRR_BASE(5), MTRR_BASE(6), MTRR_BASE(7),
    MTRR_MASK(0), MTRR_MASK(1), MTRR_MASK(2), MTRR_MASK(3), MTRR_MASK(4), MTRR_MASK(5), MTRR_MASK(6), MTRR_MASK(7),
    MTRR_FIX(0x00080070, "64k00000", 0), MTRR_FIX(0x00080071, "16k80000", 1), MTRR_FIX(0x00080072, "16kA0000", 2),
    MTRR_FIX(0x00080073, "4kC0000", 3), MTRR_FIX(0x00080074, "4kC8000", 4), MTRR_FIX(0x00080075, "4kD0000", 5),
    MTRR_FIX(0x00080076, "4kD8000", 6), MTRR_FIX(0x00080077, "4kE0000", 7), MTRR_FIX(0x00080078, "4kE8000", 8),
    MTRR_FIX(0x00080079, "4kF0000", 9), MTRR_FIX(0x0008007a, "4kF8000", 10),
    {0x000800a0, "MsrIa32MiscEnable", 64, get_field, set_misc_enable, AT(misc_enable)},
};
/* clang-format on */
const size_t register_row_count = ARRAY_COUNT(register_rows);

const struct register_row *register_by_name(uint32_t name)
{
    size_t low = 0, high = register_row_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (register_rows[middle].name == name) {
            return &register_rows[middle];
        }
        if (register_rows[middle].name < name) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}
