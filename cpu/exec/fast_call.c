/* SYSCALL, SYSRET, SYSENTER, SYSEXIT: calls to and from ring 0 through MSRs, with flat segments and no memory access.
 *
 * SDM 2B and 3A §5.8.7-5.8.8; AMD64 APM 2 §6.1. The vendors differ, and so does this: legacy and compatibility-mode SYSCALL is
 * AMD's, SYSENTER in long mode is Intel's; Intel's SYSRET faults in ring 0 on a non-canonical RCX, AMD's in ring 3; AMD's
 * SYSRET changes only SS's selector.
 */
#include <Zydis/Zydis.h>

#include "cpu/exec/system.h"

/* Attributes: P, S, type, DPL, D or L, G. */
enum {
    FLAT_CODE64 = 0xa09b,
    FLAT_CODE32 = 0xc09b,
    FLAT_DATA = 0xc093,
    FLAT_RING3 = 3 << ATTR_DPL_SHIFT,
};

static void set_privilege(struct vcpu *v, unsigned cpl, uint64_t rip)
{
    v->s.cpl = (uint8_t)cpl;
    v->s.rip = rip;
    vp_derive(v);
}

/* ---- SYSCALL, SYSRET ---- */

static HANDLER(syscall)
{
    vp_begin_system(v, u);
    bool long_mode = vp_long(v);
    if (UNLIKELY(!(v->s.efer & EFER_SCE) || !vp_protected(v) || vp_v86(v) || (v->mode != CODE_64 && !vp_is_amd(v)))) {
        vp_ud(v);
    }
    uint64_t next = uop_next_rip(v, u), flags = vp_rflags(v) & ~RFLAGS_RF, target;
    uint16_t cs = (uint16_t)(v->s.star >> 32);
    if (LIKELY(long_mode)) {
        v->s.gpr[RCX] = next;
        v->s.gpr[R11] = flags;
        target = v->mode == CODE_64 ? v->s.lstar : v->s.cstar;
        flags &= ~v->s.fmask;
    } else {
        v->s.gpr[RCX] = (uint32_t)next;
        target = (uint32_t)v->s.star;
        flags &= ~(RFLAGS_IF | RFLAGS_VM);
    }
    segment_set_flat(v, SEG_CS, cs & 0xfffc, long_mode ? FLAT_CODE64 : FLAT_CODE32);
    segment_set_flat(v, SEG_SS, (uint16_t)((cs & 0xfffc) + 8), FLAT_DATA);
    vp_set_rflags(v, flags);
    set_privilege(v, 0, target);
    v->no_step_trap = !(flags & RFLAGS_TF); /* whether SYSCALL itself traps is for the masked TF to say */
    LEAVE;
}

static HANDLER(sysret)
{
    vp_begin_system(v, u);
    bool amd = vp_is_amd(v), to_64 = operand_bytes(u) == 8;
    if (UNLIKELY(!(v->s.efer & EFER_SCE) || !vp_protected(v) || vp_v86(v) || (v->mode != CODE_64 && !amd))) {
        vp_ud(v);
    }
    require_cpl0(v);
    uint64_t target = to_64 ? v->s.gpr[RCX] : (uint32_t)v->s.gpr[RCX];
    if (UNLIKELY(to_64 && !amd && !canonical(v, target))) {
        vp_gp0(v);
    }
    uint16_t base = (uint16_t)(v->s.star >> 48), cs = (uint16_t)(to_64 ? base + 16 : base), ss = (uint16_t)(base + 8);
    uint64_t flags = vp_long(v) ? v->s.gpr[R11] & 0x3c7fd7 : vp_rflags(v) | RFLAGS_IF; /* RF and VM become 0 */
    segment_set_flat(v, SEG_CS, cs | 3, (uint16_t)((to_64 ? FLAT_CODE64 : FLAT_CODE32) | FLAT_RING3));
    if (amd) {
        v->s.seg[SEG_SS].selector = ss | 3;
    } else {
        segment_set_flat(v, SEG_SS, ss | 3, FLAT_DATA | FLAT_RING3);
    }
    vp_set_rflags(v, flags);
    set_privilege(v, 3, target);
    if (UNLIKELY(flags & RFLAGS_TF)) { /* traps at once, as if the SYSCALL before it had completed with TF set */
        v->s.pending_db |= 1u << 14;
    }
    v->no_step_trap = true;
    vp_attention(v);
    LEAVE;
}

/* ---- SYSENTER, SYSEXIT ---- */

static HANDLER(sysenter)
{
    vp_begin_system(v, u);
    bool long_mode = vp_long(v);
    uint16_t cs = (uint16_t)v->s.sysenter_cs & 0xfffc;
    if (long_mode && vp_is_amd(v)) {
        vp_ud(v);
    }
    if (!vp_protected(v) || cs == 0) {
        vp_gp0(v);
    }
    segment_set_flat(v, SEG_CS, cs, long_mode ? FLAT_CODE64 : FLAT_CODE32);
    segment_set_flat(v, SEG_SS, (uint16_t)(cs + 8), FLAT_DATA);
    v->s.gpr[RSP] = long_mode ? v->s.sysenter_esp : (uint32_t)v->s.sysenter_esp;
    vp_set_rflags(v, vp_rflags(v) & ~(RFLAGS_VM | RFLAGS_IF | RFLAGS_RF));
    set_privilege(v, 0, long_mode ? v->s.sysenter_eip : (uint32_t)v->s.sysenter_eip);
    LEAVE;
}

static HANDLER(sysexit)
{
    vp_begin_system(v, u);
    bool to_64 = operand_bytes(u) == 8;
    uint16_t base = (uint16_t)v->s.sysenter_cs & 0xfffc;
    if (vp_long(v) && vp_is_amd(v)) {
        vp_ud(v);
    }
    if (!vp_protected(v) || v->s.cpl != 0 || base == 0) {
        vp_gp0(v);
    }
    uint64_t rip = v->s.gpr[RDX], rsp = v->s.gpr[RCX];
    if (to_64 && (!canonical(v, rip) || !canonical(v, rsp))) {
        vp_gp0(v);
    }
    segment_set_flat(v, SEG_CS, (uint16_t)((base + (to_64 ? 32 : 16)) | 3),
                     (uint16_t)((to_64 ? FLAT_CODE64 : FLAT_CODE32) | FLAT_RING3));
    segment_set_flat(v, SEG_SS, (uint16_t)((base + (to_64 ? 40 : 24)) | 3), FLAT_DATA | FLAT_RING3);
    v->s.gpr[RSP] = to_64 ? rsp : (uint32_t)rsp;
    set_privilege(v, 3, to_64 ? rip : (uint32_t)rip);
    LEAVE;
}

#define END INSN_ENDS_BLOCK
const struct insn_row fast_call_rows[] = {
    SYSTEM_ROW(SYSCALL, COST_SYSTEM, END, syscall, FEAT_SYSCALL),
    SYSTEM_ROW(SYSRET, COST_SYSTEM, END, sysret, FEAT_SYSCALL),
    SYSTEM_ROW(SYSENTER, COST_SYSTEM, END, sysenter, FEAT_SEP),
    SYSTEM_ROW(SYSEXIT, COST_SYSTEM, END, sysexit, FEAT_SEP),
};
const size_t fast_call_row_count = ARRAY_COUNT(fast_call_rows);
