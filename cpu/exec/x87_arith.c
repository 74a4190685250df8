/* FADD to FDIVR in all forms, FCOM to FUCOMIP, FTST, FXAM, FSQRT, FRNDINT. SDM 1 §8.3.5, §8.3.6; their pages in SDM 2A. */
#include "cpu/exec/x87.h"

/* ---- operands from memory ---- */

static struct f80 load_operand(struct vcpu *v, const struct uop *u, uint64_t *linear)
{
    static const uint8_t bytes[] = {[X87_F32] = 4, [X87_F64] = 8, [X87_I16] = 2, [X87_I32] = 4};
    *linear = x87_address(v, u, bytes[u->d], ACCESS_READ);
    switch (u->d) {
    case X87_F32:
        return f80_from_f32(load32(v, u, *linear));
    case X87_F64:
        return f80_from_f64(load64(v, u, *linear));
    case X87_I16:
        return f80_from_integer((int16_t)load16(v, u, *linear));
    default:
        return f80_from_integer((int32_t)load32(v, u, *linear));
    }
}

/* ---- the four operations ---- */

/* The operation named by the REG field of D8: ST(0) op operand. Fields 4 to 7 keep that order in the forms that write ST(i),
 * where assemblers swap the names (SDM 2A FSUB, FDIV). */
static st_t operate(struct f80_context *c, unsigned operation, struct f80 st0, struct f80 operand)
{
    switch (operation) {
    case 0:
        return f80_add(c, st0, operand);
    case 1:
        return f80_multiply(c, st0, operand);
    case 4:
        return f80_subtract(c, st0, operand);
    case 5:
        return f80_subtract(c, operand, st0);
    case 6:
        return f80_divide(c, st0, operand);
    default:
        return f80_divide(c, operand, st0);
    }
}

/* ST(to) = ST(0) op ST(i). False: an unmasked exception left everything as it was. */
static bool arith(struct vcpu *v, const struct uop *u, unsigned to, struct f80_context *c)
{
    struct fpu_state *f = &v->s.fpu;
    st_t r;
    if (UNLIKELY(x87_empty(f, 0) || x87_empty(f, u->d))) {
        if (!x87_stack_fault(c, false)) {
            return false;
        }
        r = st_indefinite();
    } else {
        r = operate(c, u->s, f80_unpack(x87_get(f, 0)), f80_unpack(x87_get(f, u->d)));
        if (f80_stopped(c)) {
            return false;
        }
    }
    x87_set(f, to, r);
    return true;
}

X87(arith_st)
{
    struct f80_context c = x87_context(v);
    arith(v, u, 0, &c);
    x87_finish(v, u, FSW_C1, c.raised);
}

X87(arith_to_st)
{
    struct f80_context c = x87_context(v);
    arith(v, u, u->d, &c);
    x87_finish(v, u, FSW_C1, c.raised);
}

X87(arith_pop)
{
    struct f80_context c = x87_context(v);
    if (arith(v, u, u->d, &c)) {
        x87_pop(&v->s.fpu);
    }
    x87_finish(v, u, FSW_C1, c.raised);
}

/* ---- comparisons ---- */

/* C3, C2, C0 as SDM 2A table FCOM has them. */
static unsigned condition(enum f80_order order)
{
    static const uint16_t codes[] = {
        [F80_LESS] = FSW_C0, [F80_EQUAL] = FSW_C3, [F80_GREATER] = 0, [F80_UNORDERED] = FSW_C3 | FSW_C2 | FSW_C0};
    return codes[order];
}

/* Does the order found reach the flags after an unmasked IE or DE? SDM 2A FCOM, FCOMI: not after an unmasked invalid
 * operation. AMD's processors write it all the same. */
static bool order_counts(const struct vcpu *v, const struct f80_context *c)
{
    return !f80_stopped(c) || vp_is_amd(v);
}

static void finish_compare(struct vcpu *v, const struct uop *u, struct f80_context *c, enum f80_order order, uint64_t *linear)
{
    unsigned raised = c->raised;
    if (order_counts(v, c)) {
        v->s.fpu.fsw &= (uint16_t) ~(FSW_C0 | FSW_C2 | FSW_C3);
        raised |= condition(order);
    }
    if (linear != NULL) {
        x87_finish_memory(v, u, *linear, raised);
    } else {
        x87_finish(v, u, FSW_C1, raised);
    }
}

static enum f80_order compare_stack(struct vcpu *v, unsigned i, bool quiet, struct f80_context *c)
{
    const struct fpu_state *f = &v->s.fpu;
    if (UNLIKELY(x87_empty(f, 0) || x87_empty(f, i))) {
        x87_stack_fault(c, false);
        return F80_UNORDERED;
    }
    return f80_compare(c, f80_unpack(x87_get(f, 0)), f80_unpack(x87_get(f, i)), !quiet);
}

static void pop_compared(struct vcpu *v, const struct f80_context *c, unsigned pops)
{
    if (!f80_stopped(c)) {
        for (unsigned i = 0; i < pops; i++) {
            x87_pop(&v->s.fpu);
        }
    }
}

/* FCOM, FCOMP, FCOMPP, FUCOM, FUCOMP, FUCOMPP with ST(i): s bits 1-0 = pops, bit 2 = a QNaN is no exception. */
X87(compare)
{
    struct f80_context c = x87_context(v);
    enum f80_order order = compare_stack(v, u->d, u->s & 4, &c);
    pop_compared(v, &c, u->s & 3);
    finish_compare(v, u, &c, order, NULL);
}

/* FCOMI, FUCOMI and their popping forms: ZF PF CF; OF, SF, AF become 0. */
X87(compare_flags)
{
    static const uint16_t flags[] = {[F80_LESS] = RFLAGS_CF,
                                     [F80_EQUAL] = RFLAGS_ZF,
                                     [F80_GREATER] = 0,
                                     [F80_UNORDERED] = RFLAGS_ZF | RFLAGS_PF | RFLAGS_CF};
    struct f80_context c = x87_context(v);
    enum f80_order order = compare_stack(v, u->d, u->s & 4, &c);
    if (order_counts(v, &c)) {
        v->fl = arithmetic_to_fl(flags[order]);
    }
    pop_compared(v, &c, u->s & 3);
    /* C1 becomes 0 (SDM 2A FCOMI); AMD's processors touch it after a stack fault only. */
    x87_finish(v, u, vp_is_amd(v) && !(c.raised & FSW_SF) ? 0 : FSW_C1, c.raised);
}

X87(test)
{
    struct f80_context c = x87_context(v);
    enum f80_order order = F80_UNORDERED;
    if (x87_empty(&v->s.fpu, 0)) {
        x87_stack_fault(&c, false);
    } else {
        order = f80_compare(&c, f80_unpack(x87_get(&v->s.fpu, 0)), (struct f80){.kind = F80_ZERO}, true);
    }
    finish_compare(v, u, &c, order, NULL);
}

/* FADD to FDIVR m32, m64, FIADD to FIDIVR m16, m32, and among them FCOM, FCOMP, FICOM, FICOMP (fields 2 and 3). */
X87(arith_m)
{
    uint64_t linear;
    struct f80 operand = load_operand(v, u, &linear);
    struct fpu_state *f = &v->s.fpu;
    struct f80_context c = x87_context(v);
    bool compares = u->s == 2 || u->s == 3;
    st_t r = st_indefinite();
    enum f80_order order = F80_UNORDERED;
    if (UNLIKELY(x87_empty(f, 0))) {
        x87_stack_fault(&c, false);
    } else if (compares) {
        order = f80_compare(&c, f80_unpack(x87_get(f, 0)), operand, true);
    } else {
        r = operate(&c, u->s, f80_unpack(x87_get(f, 0)), operand);
    }
    if (compares) {
        pop_compared(v, &c, u->s - 2);
        finish_compare(v, u, &c, order, &linear);
        return;
    }
    if (!f80_stopped(&c)) {
        x87_set(f, 0, r);
    }
    x87_finish_memory(v, u, linear, c.raised);
}

/* FXAM, SDM 2A: the class in C3, C2, C0, the sign in C1 (of an empty register too). */
X87(examine)
{
    static const uint16_t class[] = {
        [F80_ZERO] = FSW_C3,  [F80_FINITE] = FSW_C2,    [F80_INFINITE] = FSW_C2 | FSW_C0,
        [F80_QUIET] = FSW_C0, [F80_SIGNALING] = FSW_C0, [F80_UNSUPPORTED] = 0,
    };
    st_t x = x87_get(&v->s.fpu, 0);
    struct f80 n = f80_unpack(x);
    unsigned raised = x87_empty(&v->s.fpu, 0) ? FSW_C3 | FSW_C0 : n.denormal ? FSW_C3 | FSW_C2 : class[n.kind];
    x87_finish(v, u, FSW_C0 | FSW_C1 | FSW_C2 | FSW_C3, raised | (st_negative(x) ? FSW_C1 : 0));
}

/* ---- one operand ---- */

static void unary(struct vcpu *v, const struct uop *u, st_t (*operation)(struct f80_context *, struct f80))
{
    struct fpu_state *f = &v->s.fpu;
    struct f80_context c = x87_context(v);
    st_t r = st_indefinite();
    if (x87_empty(f, 0)) {
        x87_stack_fault(&c, false);
    } else {
        r = operation(&c, f80_unpack(x87_get(f, 0)));
    }
    if (!f80_stopped(&c)) {
        x87_set(f, 0, r);
    }
    x87_finish(v, u, FSW_C1, c.raised);
}

X87(sqrt)
{
    unary(v, u, f80_sqrt);
}

X87(round)
{
    unary(v, u, f80_round_to_integer);
}

X87(power)
{
    unary(v, u, f80_power_minus_1);
}
