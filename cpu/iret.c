/* IRET, IRETD, IRETQ: return from an interrupt in every mode.
 *
 * SDM 2A IRET ("Operation"). Everything is read and checked first; flags, segments and pointers change last. NMIs are unblocked
 * even by an IRET that faults (3A §6.7.1; the VMX chapter says so of blocking by NMI).
 */
#include "cpu/segment.h"

#define FLAGS_ALWAYS (RFLAGS_ARITHMETIC | RFLAGS_TF | RFLAGS_DF | RFLAGS_NT)
#define FLAGS_32 (RFLAGS_RF | RFLAGS_AC | RFLAGS_ID)

static void merge_flags(struct vcpu *v, uint64_t popped, uint64_t changeable, unsigned bytes)
{
    if (bytes == 2) {
        changeable &= 0xffff;
    }
    vp_set_rflags(v, (vp_rflags(v) & ~changeable) | (popped & changeable));
}

/* Which flags a return may change in protected mode depends on the privilege it leaves. */
static uint64_t changeable_flags(const struct vcpu *v)
{
    uint64_t changeable = FLAGS_ALWAYS | FLAGS_32;
    if (v->s.cpl <= vp_iopl(v)) {
        changeable |= RFLAGS_IF;
    }
    if (v->s.cpl == 0) {
        changeable |= RFLAGS_IOPL | RFLAGS_VIF | RFLAGS_VIP;
    }
    return changeable;
}

/* ---- real and v86 mode ---- */

static void iret_real(struct vcpu *v, unsigned bytes)
{
    bool v86 = vp_v86(v), virtual_if = false;
    if (v86 && vp_iopl(v) != 3) {
        if (!(v->s.cr4 & CR4_VME) || bytes != 2) {
            vp_gp0(v);
        }
        virtual_if = true; /* 3A §20.3: IF is seen as VIF */
    }
    uint64_t rip = stack_peek(v, 0, bytes);
    uint16_t selector = (uint16_t)stack_peek(v, bytes, bytes);
    uint64_t flags = stack_peek(v, 2 * bytes, bytes);
    if (rip > (v86 ? 0xffff : v->s.seg[SEG_CS].limit)) {
        vp_gp0(v);
    }
    uint64_t changeable = FLAGS_ALWAYS | FLAGS_32 | RFLAGS_IF | (v86 ? 0 : RFLAGS_IOPL);
    if (virtual_if) {
        if ((flags & RFLAGS_TF) || ((flags & RFLAGS_IF) && (v->s.rflags & RFLAGS_VIP))) {
            vp_gp0(v);
        }
        changeable &= ~RFLAGS_IF;
    }
    stack_set_pointer(v, v->s.gpr[RSP] + 3 * bytes);
    segment_load_real(v, SEG_CS, selector);
    v->s.rip = rip;
    merge_flags(v, flags, changeable, bytes);
    if (virtual_if) {
        v->s.rflags = (v->s.rflags & ~RFLAGS_VIF) | (flags & RFLAGS_IF ? RFLAGS_VIF : 0);
    }
    vp_derive(v);
}

/* ---- protected mode ---- */

/* "RETURN-TO-VIRTUAL-8086-MODE": nine doublewords, from ring 0. */
static void iret_to_v86(struct vcpu *v, uint64_t rip, uint16_t cs, uint64_t flags)
{
    uint64_t rsp = stack_peek(v, 12, 4);
    uint16_t selector[5];
    static const uint8_t order[5] = {SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    for (unsigned i = 0; i < ARRAY_COUNT(order); i++) {
        selector[i] = (uint16_t)stack_peek(v, 16 + 4 * i, 4);
    }
    if (rip > 0xffff) {
        vp_gp0(v);
    }
    segment_set_v86(v, SEG_CS, cs);
    for (unsigned i = 0; i < ARRAY_COUNT(order); i++) {
        segment_set_v86(v, order[i], selector[i]);
    }
    v->s.gpr[RSP] = rsp;
    v->s.rip = (uint32_t)rip;
    v->s.cpl = 3;
    vp_set_rflags(v, flags);
    vp_derive(v);
}

/* NT set: back to the task that the current TSS names (3A §7.4). */
static void iret_task(struct vcpu *v, uint64_t next_rip)
{
    if (!(v->s.tr.seg.attributes & ATTR_P) || v->s.tr.seg.limit < 1) {
        vp_raise_error(v, VEC_TS, selector_error(v->s.tr.seg.selector));
    }
    uint16_t link = (uint16_t)sys_load(v, system_linear(v, v->s.tr.base), 2);
    task_switch(v, link, TASK_IRET, next_rip, NULL);
}

enum { FRAME_RIP, FRAME_CS, FRAME_FLAGS, FRAME_RSP, FRAME_SS, FRAME_WORDS };

static void frame_load(struct vcpu *v, uint64_t *frame, unsigned first, unsigned count, unsigned bytes)
{
    for (unsigned i = first; i < first + count; i++) {
        frame[i] = stack_peek(v, i * bytes, bytes);
    }
}

/* To another privilege, or any return in 64-bit mode: SS and RSP are popped too. */
static void iret_with_stack(struct vcpu *v, unsigned bytes, const uint64_t *frame, struct descriptor *cs)
{
    uint16_t selector = (uint16_t)frame[FRAME_CS], new_ss = (uint16_t)frame[FRAME_SS];
    uint64_t rip = frame[FRAME_RIP];
    unsigned cpl = selector_rpl(selector);
    bool outer = cpl > v->s.cpl;
    struct descriptor ss;
    bool null_ss = return_stack_load(v, new_ss, cs, cpl, &ss);
    code_check_offset(v, cs, rip);
    descriptor_mark_accessed(v, cs);
    uint64_t changeable = changeable_flags(v);
    if (null_ss) {
        segment_set_null(v, SEG_SS, new_ss);
    } else {
        descriptor_mark_accessed(v, &ss);
        segment_set(v, SEG_SS, new_ss, &ss);
    }
    merge_flags(v, frame[FRAME_FLAGS], changeable, bytes);
    code_commit(v, selector, cs, cpl, rip);
    stack_set_pointer(v, frame[FRAME_RSP]);
    if (outer) {
        return_drop_segments(v);
    }
}

static void iret_protected(struct vcpu *v, unsigned bytes, uint64_t next_rip)
{
    if (UNLIKELY(v->s.rflags & RFLAGS_NT)) {
        if (vp_long(v)) {
            vp_gp0(v);
        }
        iret_task(v, next_rip);
        return;
    }
    uint64_t frame[FRAME_WORDS];
    bool whole = v->mode == CODE_64;
    if (!LIKELY(whole && bytes == 8 && load_quads(v, v->tlb, v->s.gpr[RSP], frame, FRAME_WORDS))) {
        frame_load(v, frame, FRAME_RIP, whole ? FRAME_WORDS : FRAME_RSP, bytes);
    }
    uint64_t rip = frame[FRAME_RIP], flags = frame[FRAME_FLAGS];
    uint16_t selector = (uint16_t)frame[FRAME_CS];
    if (UNLIKELY((flags & RFLAGS_VM) && bytes == 4 && v->s.cpl == 0 && !vp_long(v))) {
        iret_to_v86(v, rip, selector, flags);
        return;
    }
    struct descriptor cs;
    return_code_load(v, selector, &cs);
    if (!whole && selector_rpl(selector) > v->s.cpl) {
        frame_load(v, frame, FRAME_RSP, 2, bytes);
        whole = true;
    }
    if (whole) {
        iret_with_stack(v, bytes, frame, &cs);
        return;
    }
    code_check_offset(v, &cs, rip);
    descriptor_mark_accessed(v, &cs);
    uint64_t changeable = changeable_flags(v);
    stack_set_pointer(v, v->s.gpr[RSP] + 3 * bytes);
    merge_flags(v, flags, changeable, bytes);
    code_commit(v, selector, &cs, v->s.cpl, rip);
}

void exception_iret(struct vcpu *v, unsigned operand_bytes, uint64_t next_rip)
{
    v->s.nmi_blocked = false;
    if (!vp_protected(v) || vp_v86(v)) {
        iret_real(v, operand_bytes);
    } else {
        iret_protected(v, operand_bytes, next_rip);
    }
}
