/* The x87 register stack and status word, as handlers and other owners of x87 state see them. SDM 1 §8.1.
 *
 * Invariants: the tag of a register says only whether it is empty (state.h); FSW.ES and FSW.B are set exactly when an exception
 * flag stands whose mask is clear (x87_summarise() after either changed).
 */
#ifndef ORRERY_CPU_EXEC_X87_H
#define ORRERY_CPU_EXEC_X87_H

#include "cpu/access.h"
#include "cpu/fp/float80.h"

/* FNINIT: SDM 2A. Registers keep their contents, all become empty. */
void x87_init(struct fpu_state *f);
/* ES and B from the exception flags and masks. */
void x87_summarise(struct fpu_state *f);
/* A control word as the processor keeps it: bit 6 always 1, what is reserved 0. */
uint16_t x87_control_word(uint16_t value);

/* ---- stack ---- */

static inline unsigned x87_index(const struct fpu_state *f, unsigned i)
{
    return ((f->fsw >> FSW_TOP_SHIFT) + i) & 7;
}
static inline bool x87_empty(const struct fpu_state *f, unsigned i)
{
    return !(f->ftw >> x87_index(f, i) & 1);
}
static inline st_t x87_get(const struct fpu_state *f, unsigned i)
{
    return f->r[x87_index(f, i)];
}
static inline void x87_set(struct fpu_state *f, unsigned i, st_t x)
{
    unsigned n = x87_index(f, i);
    f->r[n] = x;
    f->ftw |= (uint8_t)(1 << n);
}
static inline void x87_free(struct fpu_state *f, unsigned i)
{
    f->ftw &= (uint8_t) ~(1 << x87_index(f, i));
}
static inline void x87_rotate(struct fpu_state *f, unsigned by)
{
    f->fsw = (uint16_t)((f->fsw & ~FSW_TOP) | ((f->fsw + (by << FSW_TOP_SHIFT)) & FSW_TOP));
}
static inline void x87_pop(struct fpu_state *f)
{
    x87_free(f, 0);
    x87_rotate(f, 1);
}
static inline void x87_push(struct fpu_state *f, st_t x)
{
    x87_rotate(f, 7);
    x87_set(f, 0, x);
}

/* ---- handlers ---- */

/* #NM, or #MF for an exception that waits (SDM 1 §8.3.13; 3A table 2-2). CR0.NE = 0 would tell an external interrupt controller
 * instead (SDM 1 §D.2): that wire is not modelled, and both raise #MF. */
_Noreturn void x87_unavailable(struct vcpu *v, const struct uop *u);

static inline void x87_enter(struct vcpu *v, const struct uop *u)
{
    if (UNLIKELY(v->mmx_blocked | (v->s.fpu.fsw & FSW_ES))) {
        x87_unavailable(v, u);
    }
}
/* For the instructions that do not wait: FNINIT, FNCLEX, FNSTCW, FNSTSW, FNSTENV, FNSAVE. */
static inline void x87_enter_no_wait(struct vcpu *v, const struct uop *u)
{
    if (UNLIKELY(v->mmx_blocked)) {
        x87_unavailable(v, u);
    }
}

/* An instruction's work stands in a function of its own, which is not inlined: the handler itself keeps nothing on the stack
 * and ends in a sibling call. X87(op) { ... } defines op_x87_<op>. */
#define X87_HANDLER(op, enter)                                                                                                 \
    static __attribute__((noinline)) void op##_work(struct vcpu *v, const struct uop *u);                                      \
    HANDLER(op_x87_##op)                                                                                                       \
    {                                                                                                                          \
        enter(v, u);                                                                                                           \
        op##_work(v, u);                                                                                                       \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    static __attribute__((noinline)) void op##_work(struct vcpu *v, const struct uop *u)
#define X87(op) X87_HANDLER(op, x87_enter)
#define X87_NO_WAIT(op) X87_HANDLER(op, x87_enter_no_wait)

/* Of an x87 uop: d = ST(i) or enum x87_format, s = the operation's own, x = enum x87_bits (above them the operand's segment),
 * imm = the eleven bits of FOP. */
enum x87_format { X87_F32, X87_F64, X87_F80, X87_I16, X87_I32, X87_I64, X87_BCD };
enum x87_bits { X87_FLAT = 1, X87_OPERAND_16 = 2, X87_REX_W = 4, X87_SEGMENT_SHIFT = 3 };

/* Linear address of the operand, in any mode. */
static inline uint64_t x87_address(struct vcpu *v, const struct uop *u, unsigned bytes, enum access access)
{
    v->current = u;
    return u->x & X87_FLAT ? ea_flat(v, u) : ea_general(v, u, bytes, access);
}

/* How a non-control instruction ends: notes where it was (SDM 1 §8.1.8, §8.1.9), replaces the status bits in `clear` (C1 for
 * most) by those in `raised`, and summarises. */
void x87_finish(struct vcpu *v, const struct uop *u, unsigned clear, unsigned raised);
/* The same, for one with a memory operand at `linear`. */
void x87_finish_memory(struct vcpu *v, const struct uop *u, uint64_t linear, unsigned raised);

/* For images (FSAVE, FXSAVE, XSAVE): nothing is written unless all of it can be. The check is of canonical addresses. */
void x87_check_image(struct vcpu *v, const struct uop *u, uint64_t linear, unsigned bytes);
void x87_load_image(struct vcpu *v, const struct uop *u, uint64_t linear, unsigned bytes, uint8_t *to);
void x87_store_image(struct vcpu *v, const struct uop *u, uint64_t linear, unsigned bytes, const uint8_t *from);

static inline struct f80_context x87_context(const struct vcpu *v)
{
    return (struct f80_context){.control = v->s.fpu.fcw};
}
/* Stack underflow (or with `overflow` overflow; then C1 is set): true when the masked response is due. SDM 1 §8.5.1.1. */
static inline bool x87_stack_fault(struct f80_context *c, bool overflow)
{
    c->raised |= FSW_IE | FSW_SF | (overflow ? FSW_C1 : 0);
    return c->control & FSW_IE;
}

/* x87_arith.c, x87_move.c, x87_env.c, x87_function.c */
HANDLER(op_x87_arith_st);
HANDLER(op_x87_arith_to_st);
HANDLER(op_x87_arith_pop);
HANDLER(op_x87_arith_m);
HANDLER(op_x87_compare);
HANDLER(op_x87_compare_flags);
HANDLER(op_x87_test);
HANDLER(op_x87_examine);
HANDLER(op_x87_sqrt);
HANDLER(op_x87_round);
HANDLER(op_x87_load);
HANDLER(op_x87_load_st);
HANDLER(op_x87_load_constant);
HANDLER(op_x87_store);
HANDLER(op_x87_store_st);
HANDLER(op_x87_exchange);
HANDLER(op_x87_move_if);
HANDLER(op_x87_sign);
HANDLER(op_x87_free);
HANDLER(op_x87_rotate);
HANDLER(op_x87_nop);
HANDLER(op_x87_scale);
HANDLER(op_x87_extract);
HANDLER(op_x87_remainder);
HANDLER(op_x87_sine);
HANDLER(op_x87_sine_cosine);
HANDLER(op_x87_tangent);
HANDLER(op_x87_power);
HANDLER(op_x87_two_to_one);
HANDLER(op_x87_init);
HANDLER(op_x87_clear);
HANDLER(op_x87_nop_no_wait);
HANDLER(op_x87_load_control);
HANDLER(op_x87_store_control);
HANDLER(op_x87_store_status);
HANDLER(op_x87_store_status_ax);
HANDLER(op_x87_load_environment);
HANDLER(op_x87_store_environment);
HANDLER(op_x87_restore);
HANDLER(op_x87_save);
HANDLER(op_x87_wait);

/* fxsave.c */
HANDLER(op_x87_fxsave);
HANDLER(op_x87_fxrstor);
HANDLER(op_x87_xsave);
HANDLER(op_x87_xrstor);
HANDLER(op_x87_ldmxcsr);
HANDLER(op_x87_stmxcsr);

#endif
