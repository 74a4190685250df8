/* Far transfers: JMP, CALL and RET between code segments, in every mode, directly and through call gates, task gates and TSSs.
 *
 * SDM 2A CALL and JMP, 2B RET ("Operation"); 3A §5.8 Privilege Level Checking When Transferring Program Control. Pushes are
 * checked (limit and pages) before the first byte is written; CS, RIP, SS and RSP change last. Interrupt returns are in iret.c.
 */
#include "cpu/segment.h"

enum far_kind { FAR_JUMP, FAR_CALL };

/* A gate or TSS may be used when neither CPL nor RPL exceeds its DPL, and only when it is present. */
static void check_gate_access(struct vcpu *v, uint16_t selector, const struct descriptor *d)
{
    unsigned dpl = attributes_dpl(d->attributes);
    if (dpl < v->s.cpl || dpl < selector_rpl(selector)) {
        vp_raise_error(v, VEC_GP, selector_error(selector));
    }
    if (!(d->attributes & ATTR_P)) {
        vp_raise_error(v, VEC_NP, selector_error(selector));
    }
}

/* ---- real and v86 mode ---- */

static void check_real_offset(struct vcpu *v, uint64_t offset)
{
    if (offset > (vp_v86(v) ? 0xffff : v->s.seg[SEG_CS].limit)) {
        vp_gp0(v);
    }
}

static void commit_real(struct vcpu *v, uint16_t selector, uint64_t offset)
{
    segment_load_real(v, SEG_CS, selector);
    v->s.rip = offset;
    vp_derive(v);
}

static void push_return(struct vcpu *v, unsigned bytes, uint16_t cs, uint64_t rip)
{
    struct frame k = frame_current(v);
    frame_reserve(v, &k, bytes, 2);
    frame_push(v, &k, bytes, cs);
    frame_push(v, &k, bytes, rip);
    stack_set_pointer(v, k.sp);
}

/* ---- direct transfers ---- */

/* Checks a code segment that a far JMP or CALL names itself (3A §5.8.1). */
static void check_direct(struct vcpu *v, uint16_t selector, const struct descriptor *cs)
{
    unsigned dpl = attributes_dpl(cs->attributes);
    bool allowed =
        attributes_conforming(cs->attributes) ? dpl <= v->s.cpl : selector_rpl(selector) <= v->s.cpl && dpl == v->s.cpl;
    if (!allowed || (code_is_64(v, cs) && (cs->attributes & ATTR_DB))) {
        vp_raise_error(v, VEC_GP, selector_error(selector));
    }
    if (!(cs->attributes & ATTR_P)) {
        vp_raise_error(v, VEC_NP, selector_error(selector));
    }
}

static void direct(struct vcpu *v, enum far_kind kind, uint16_t selector, struct descriptor *cs, uint64_t offset,
                   unsigned operand_bytes, uint64_t next_rip)
{
    check_direct(v, selector, cs);
    if (kind == FAR_CALL) {
        struct frame k = frame_current(v);
        frame_reserve(v, &k, operand_bytes, 2);
        code_check_offset(v, cs, offset);
        descriptor_mark_accessed(v, cs);
        frame_push(v, &k, operand_bytes, v->s.seg[SEG_CS].selector);
        frame_push(v, &k, operand_bytes, next_rip);
        stack_set_pointer(v, k.sp);
    } else {
        code_check_offset(v, cs, offset);
        descriptor_mark_accessed(v, cs);
    }
    code_commit(v, selector, cs, v->s.cpl, offset);
}

/* ---- call gates, 3A §5.8.3-5.8.5 ---- */

struct call_gate {
    uint16_t cs;
    uint64_t offset;
    unsigned width;  /* of what is pushed: 2, 4 or 8 */
    unsigned copies; /* parameters, in units of width */
};

static struct call_gate gate_read(struct vcpu *v, uint16_t selector, struct descriptor *d)
{
    struct call_gate g = {.cs = (uint16_t)(d->raw >> 16), .offset = (d->raw & 0xffff) | (d->raw >> 32 & 0xffff0000)};
    if (vp_long(v)) {
        uint64_t high;
        if (!descriptor_extend(v, selector, d, &high)) {
            vp_raise_error(v, VEC_GP, selector_error(selector));
        }
        g.offset |= high << 32;
        g.width = 8;
    } else if (attributes_type(d->attributes) == TYPE_CALL_GATE) {
        g.width = 4;
        g.copies = d->raw >> 32 & 31;
    } else {
        g.width = 2;
        g.offset &= 0xffff;
        g.copies = d->raw >> 32 & 31;
    }
    return g;
}

static void gate_code_load(struct vcpu *v, enum far_kind kind, uint16_t selector, struct descriptor *cs)
{
    if (selector_null(selector)) {
        vp_gp0(v);
    }
    descriptor_load(v, selector, VEC_GP, cs);
    unsigned dpl = attributes_dpl(cs->attributes);
    bool inner_allowed = attributes_conforming(cs->attributes) || kind == FAR_CALL;
    bool right = attributes_code(cs->attributes) && (inner_allowed ? dpl <= v->s.cpl : dpl == v->s.cpl);
    if (vp_long(v)) {
        right = right && (cs->attributes & (ATTR_L | ATTR_DB)) == ATTR_L;
    }
    if (!right) {
        vp_raise_error(v, VEC_GP, selector_error(selector));
    }
    if (!(cs->attributes & ATTR_P)) {
        vp_raise_error(v, VEC_NP, selector_error(selector));
    }
}

/* "MORE-PRIVILEGE" of CALL: a new stack from the TSS, and on it the old one, the parameters and the return address. */
static void gate_call_inner(struct vcpu *v, const struct call_gate *g, struct descriptor *cs, unsigned dpl, uint64_t next_rip)
{
    struct descriptor ss = {0};
    struct frame k;
    uint16_t new_ss = (uint16_t)dpl;
    if (vp_long(v)) {
        uint64_t rsp = tss_stack64(v, 4 + 8 * dpl);
        k = (struct frame){.mask = UINT64_MAX, .sp = rsp, .any_offset = true, .implicit = v->s.cpl == 3};
    } else {
        uint32_t esp;
        tss_stack(v, dpl, &new_ss, &esp);
        k = frame_inner(v, new_ss, esp, dpl, &ss);
    }
    frame_reserve(v, &k, g->width, 4 + g->copies);
    code_check_offset(v, cs, g->offset);
    uint64_t parameters[31];
    for (unsigned i = 0; i < g->copies; i++) {
        parameters[i] = stack_peek(v, i * g->width, g->width);
    }
    descriptor_mark_accessed(v, cs);
    if (!vp_long(v)) {
        descriptor_mark_accessed(v, &ss);
    }
    frame_push(v, &k, g->width, v->s.seg[SEG_SS].selector);
    frame_push(v, &k, g->width, v->s.gpr[RSP]);
    for (unsigned i = g->copies; i-- > 0;) {
        frame_push(v, &k, g->width, parameters[i]);
    }
    frame_push(v, &k, g->width, v->s.seg[SEG_CS].selector);
    frame_push(v, &k, g->width, next_rip);
    if (vp_long(v)) {
        segment_set_null(v, SEG_SS, new_ss);
    } else {
        segment_set(v, SEG_SS, new_ss, &ss);
    }
    code_commit(v, g->cs, cs, dpl, g->offset);
    stack_set_pointer(v, k.sp);
}

static void through_gate(struct vcpu *v, enum far_kind kind, uint16_t selector, struct descriptor *d, uint64_t next_rip)
{
    check_gate_access(v, selector, d);
    struct call_gate g = gate_read(v, selector, d);
    struct descriptor cs;
    gate_code_load(v, kind, g.cs, &cs);
    unsigned dpl = attributes_dpl(cs.attributes);
    if (kind == FAR_CALL && !attributes_conforming(cs.attributes) && dpl < v->s.cpl) {
        gate_call_inner(v, &g, &cs, dpl, next_rip);
        return;
    }
    if (kind == FAR_CALL) {
        struct frame k = frame_current(v);
        frame_reserve(v, &k, g.width, 2);
        code_check_offset(v, &cs, g.offset);
        descriptor_mark_accessed(v, &cs);
        frame_push(v, &k, g.width, v->s.seg[SEG_CS].selector);
        frame_push(v, &k, g.width, next_rip);
        stack_set_pointer(v, k.sp);
        code_commit(v, g.cs, &cs, v->s.cpl, g.offset);
        return;
    }
    code_check_offset(v, &cs, g.offset);
    descriptor_mark_accessed(v, &cs);
    code_commit(v, g.cs, &cs, v->s.cpl, g.offset);
}

/* ---- tasks ---- */

static void to_task(struct vcpu *v, enum far_kind kind, uint16_t selector, const struct descriptor *d, uint64_t next_rip)
{
    check_gate_access(v, selector, d);
    uint16_t tss = attributes_type(d->attributes) == TYPE_TASK_GATE ? (uint16_t)(d->raw >> 16) : selector;
    task_switch(v, tss, kind == FAR_CALL ? TASK_CALL : TASK_JMP, next_rip, NULL);
}

/* ---- the three instructions ---- */

static void far_transfer(struct vcpu *v, enum far_kind kind, uint16_t selector, uint64_t offset, unsigned operand_bytes,
                         uint64_t next_rip)
{
    if (!vp_protected(v) || vp_v86(v)) {
        check_real_offset(v, offset);
        if (kind == FAR_CALL) {
            push_return(v, operand_bytes, v->s.seg[SEG_CS].selector, next_rip);
        }
        commit_real(v, selector, offset);
        return;
    }
    if (selector_null(selector)) {
        vp_gp0(v);
    }
    struct descriptor d;
    descriptor_load(v, selector, VEC_GP, &d);
    if (attributes_code(d.attributes)) {
        direct(v, kind, selector, &d, offset, operand_bytes, next_rip);
        return;
    }
    if (!(d.attributes & ATTR_S)) {
        switch (attributes_type(d.attributes)) {
        case TYPE_CALL_GATE16:
            if (vp_long(v)) {
                break;
            }
            through_gate(v, kind, selector, &d, next_rip);
            return;
        case TYPE_CALL_GATE:
            through_gate(v, kind, selector, &d, next_rip);
            return;
        case TYPE_TASK_GATE:
        case TYPE_TSS:
        case TYPE_TSS16:
            if (vp_long(v)) { /* 3A §7.7: no hardware tasks in IA-32e mode */
                break;
            }
            to_task(v, kind, selector, &d, next_rip);
            return;
        default:
            break;
        }
    }
    vp_raise_error(v, VEC_GP, selector_error(selector));
}

void far_jump(struct vcpu *v, uint16_t selector, uint64_t offset, unsigned operand_bytes)
{
    /* Only a task switch keeps where it came from. */
    far_transfer(v, FAR_JUMP, selector, offset, operand_bytes, uop_next_rip(v, v->current));
}

void far_call(struct vcpu *v, uint16_t selector, uint64_t offset, unsigned operand_bytes, uint64_t next_rip)
{
    far_transfer(v, FAR_CALL, selector, offset, operand_bytes, next_rip);
}

/* SDM 2B RET, far. */
static void return_outer(struct vcpu *v, uint16_t selector, struct descriptor *cs, uint64_t rip, unsigned bytes,
                         uint16_t pop_bytes)
{
    unsigned cpl = selector_rpl(selector);
    uint64_t rsp = stack_peek(v, 2 * bytes + pop_bytes, bytes);
    uint16_t new_ss = (uint16_t)stack_peek(v, 3 * bytes + pop_bytes, bytes);
    struct descriptor ss = {0};
    bool null_ss = return_stack_load(v, new_ss, cs, cpl, &ss);
    code_check_offset(v, cs, rip);
    descriptor_mark_accessed(v, cs);
    if (null_ss) {
        segment_set_null(v, SEG_SS, new_ss);
    } else {
        descriptor_mark_accessed(v, &ss);
        segment_set(v, SEG_SS, new_ss, &ss);
    }
    code_commit(v, selector, cs, cpl, rip);
    stack_set_pointer(v, rsp + pop_bytes);
    return_drop_segments(v);
}

void far_return(struct vcpu *v, unsigned operand_bytes, uint16_t pop_bytes)
{
    uint64_t rip = stack_peek(v, 0, operand_bytes);
    uint16_t selector = (uint16_t)stack_peek(v, operand_bytes, operand_bytes);
    if (!vp_protected(v) || vp_v86(v)) {
        check_real_offset(v, rip);
        stack_set_pointer(v, v->s.gpr[RSP] + 2 * operand_bytes + pop_bytes);
        commit_real(v, selector, rip);
        return;
    }
    struct descriptor cs;
    return_code_load(v, selector, &cs);
    if (selector_rpl(selector) > v->s.cpl) {
        return_outer(v, selector, &cs, rip, operand_bytes, pop_bytes);
        return;
    }
    code_check_offset(v, &cs, rip);
    descriptor_mark_accessed(v, &cs);
    stack_set_pointer(v, v->s.gpr[RSP] + 2 * operand_bytes + pop_bytes);
    code_commit(v, selector, &cs, v->s.cpl, rip);
}
