/* SSE and MMX: faults before an instruction begins, MXCSR, and the choice of a handler by operands. */
#include "cpu/exec/simd.h"

/* SDM 3A §2.5 Control Registers, CR0.EM, CR0.TS, CR4.OSFXSR: #UD goes before #NM. */
COLD HANDLER(sse_fault)
{
    v->current = u;
    vp_raise(v, (v->s.cr0 & CR0_EM) || !(v->s.cr4 & CR4_OSFXSR) ? VEC_UD : VEC_NM);
}

/* SDM 3A table 12-1, SDM 1 §9.6.1: #UD for EM, #NM for TS, then the x87 exception that is pending. */
COLD HANDLER(mmx_fault)
{
    v->current = u;
    vp_raise(v, v->s.cr0 & CR0_EM ? VEC_UD : v->s.cr0 & CR0_TS ? VEC_NM : VEC_MF);
}

COLD void simd_raise_misaligned(struct vcpu *v, const struct uop *u)
{
    v->current = u;
    vp_gp0(v);
}

/* ---- MXCSR ---- */

static uint32_t host_view(uint32_t mxcsr)
{
    return (mxcsr & MXCSR_VALID & ~(uint32_t)MXCSR_FLAGS) | MXCSR_MASKS;
}

void sse_enter_guest(struct vcpu *v)
{
    v->fp_unmasked = (v->s.mxcsr & MXCSR_MASKS) != MXCSR_MASKS;
    host_mxcsr_set(host_view(v->s.mxcsr));
}

void sse_leave_guest(struct vcpu *v)
{
    v->s.mxcsr |= host_mxcsr() & MXCSR_FLAGS;
    host_mxcsr_set(MXCSR_RESET);
}

uint32_t mxcsr_read(const struct vcpu *v)
{
    return v->s.mxcsr | (host_mxcsr() & MXCSR_FLAGS);
}

void mxcsr_write(struct vcpu *v, uint32_t value)
{
    v->s.mxcsr = value;
    sse_enter_guest(v);
}

/* ---- emit ---- */

static uint8_t operand_name(const struct operand *o)
{
    return o->kind == OPERAND_GPR ? operand_slot(o) : o->reg;
}

bool emit_simd(struct emit *e, const struct insn *in, const void *form)
{
    const struct simd_form *f = form;
    const struct operand *d = &in->op[0], *s = &in->op[1];
    const struct simd_set *set = d->kind == OPERAND_MMX || s->kind == OPERAND_MMX ? f->mmx : &f->xmm;
    if (set == NULL) {
        return false;
    }
    if (d->kind == OPERAND_MEM) {
        e->u->fn = emit_memory(e, in) ? set->store : set->store_g;
    } else if (s->kind == OPERAND_MEM) {
        e->u->fn = emit_memory(e, in) ? set->load : set->load_g;
    } else {
        e->u->fn = s->kind == OPERAND_IMM ? set->by_imm : set->reg;
    }
    e->u->d = operand_name(d);
    e->u->s = operand_name(s);
    e->u->imm = in->imm;
    return e->u->fn != NULL;
}

bool emit_simd_sized(struct emit *e, const struct insn *in, const void *forms)
{
    const struct operand *integer = in->op[0].kind == OPERAND_GPR ? &in->op[0] : &in->op[1];
    return emit_simd(e, in, (const struct simd_form *)forms + (integer->bytes == 8));
}
