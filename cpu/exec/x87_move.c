/* FLD, FST, FILD, FIST, FISTTP, FBLD, FBSTP, constants, FXCH, FCMOVcc, FCHS, FABS, and the stack's own moves. SDM 1 §8.3.3,
 * §8.3.4. */
#include "cpu/exec/x87.h"

static const uint8_t format_bytes[] = {
    [X87_F32] = 4, [X87_F64] = 8, [X87_F80] = 10, [X87_I16] = 2, [X87_I32] = 4, [X87_I64] = 8, [X87_BCD] = 10};

/* ---- load ---- */

static void push(struct vcpu *v, struct f80_context *c, st_t x)
{
    struct fpu_state *f = &v->s.fpu;
    if (UNLIKELY(!x87_empty(f, 7))) {
        c->raised = 0; /* a stack fault comes before whatever the operand has to say */
        if (!x87_stack_fault(c, true)) {
            return;
        }
        x = st_indefinite();
    } else if (c->raised & ~c->control & FSW_IE) { /* an unmasked DE lets the value in (SDM 1 §8.5.2 leaves it open) */
        return;
    }
    x87_push(f, x);
}

/* FLD m32 and m64 are conversions: SNaN and denormal operands are exceptions there (SDM 2A FLD). */
static st_t from_small(struct f80_context *c, struct f80 x)
{
    if (x.kind == F80_SIGNALING) {
        c->raised |= FSW_IE;
        x.significand |= 1ULL << 62;
    } else if (x.denormal) {
        c->raised |= FSW_DE;
    }
    return f80_pack(x);
}

static st_t load_80(struct vcpu *v, const struct uop *u, uint64_t linear)
{
    uint64_t low = load64(v, u, linear);
    return (st_t){.significand = low, .sign_exponent = load16(v, u, linear + 8)};
}

static st_t load_bcd(struct vcpu *v, const struct uop *u, uint64_t linear)
{
    st_t raw = load_80(v, u, linear);
    uint8_t bytes[10];
    __builtin_memcpy(bytes, &raw.significand, 8);
    __builtin_memcpy(bytes + 8, &raw.sign_exponent, 2);
    return f80_pack(f80_from_bcd(bytes));
}

X87(load)
{
    struct f80_context c = x87_context(v);
    uint64_t linear = x87_address(v, u, format_bytes[u->d], ACCESS_READ);
    st_t x;
    switch (u->d) {
    case X87_F32:
        x = from_small(&c, f80_from_f32(load32(v, u, linear)));
        break;
    case X87_F64:
        x = from_small(&c, f80_from_f64(load64(v, u, linear)));
        break;
    case X87_I16:
        x = f80_pack(f80_from_integer((int16_t)load16(v, u, linear)));
        break;
    case X87_I32:
        x = f80_pack(f80_from_integer((int32_t)load32(v, u, linear)));
        break;
    case X87_I64:
        x = f80_pack(f80_from_integer((int64_t)load64(v, u, linear)));
        break;
    case X87_F80:
        x = load_80(v, u, linear);
        break;
    default:
        x = load_bcd(v, u, linear);
        break;
    }
    push(v, &c, x);
    x87_finish_memory(v, u, linear, c.raised);
}

X87(load_st)
{
    struct fpu_state *f = &v->s.fpu;
    struct f80_context c = x87_context(v);
    if (!x87_empty(f, u->d)) {
        push(v, &c, x87_get(f, u->d));
    } else if (x87_stack_fault(&c, false)) { /* underflow, even if there were no room either */
        x87_push(f, st_indefinite());
    }
    x87_finish(v, u, FSW_C1, c.raised);
}

/* FLD1, FLDL2T, FLDL2E, FLDPI, FLDLG2, FLDLN2, FLDZ: cut to 64 bits here, rounded as RC says; without PE (SDM 2A FLD1). */
X87(load_constant)
{
    static const struct {
        uint64_t significand;
        uint16_t biased_exponent;
        bool inexact, above_half;
    } constants[] = {
        {0x8000000000000000, 0x3fff, false, false},
        {0xd49a784bcd1b8afe, 0x4000, true, false},
        {0xb8aa3b295c17f0bb, 0x3fff, true, true},
        {0xc90fdaa22168c234, 0x4000, true, true},
        {0x9a209a84fbcff798, 0x3ffd, true, true},
        {0xb17217f7d1cf79ab, 0x3ffe, true, true},
        {0, 0, false, false},
    };
    struct f80_context c = x87_context(v);
    enum f80_rounding rounding = f80_rounding(&c);
    bool up = constants[u->s].inexact && (rounding == ROUND_UP || (rounding == ROUND_NEAREST && constants[u->s].above_half));
    push(v, &c, st_make(false, constants[u->s].biased_exponent, constants[u->s].significand + up));
    x87_finish(v, u, FSW_C1, c.raised);
}

/* ---- store ---- */

/* The operand in its memory format. `empty`: the masked response to stack underflow, the format's indefinite (SDM 1 table
 * 8-10). */
static void convert(struct f80_context *c, unsigned format, bool truncate, bool empty, st_t st, uint8_t to[10])
{
    struct f80 x = f80_unpack(empty ? st_indefinite() : st);
    enum f80_rounding rounding = truncate ? ROUND_ZERO : f80_rounding(c);
    uint64_t bits;
    switch (format) {
    case X87_F32:
        bits = f80_to_f32(c, x);
        break;
    case X87_F64:
        bits = f80_to_f64(c, x);
        break;
    case X87_F80:
        st = empty ? st_indefinite() : st;
        __builtin_memcpy(to, &st.significand, 8);
        __builtin_memcpy(to + 8, &st.sign_exponent, 2);
        return;
    case X87_BCD:
        f80_to_bcd(c, x, to);
        return;
    default:
        bits = (uint64_t)f80_to_integer(c, x, format_bytes[format], rounding);
        break;
    }
    __builtin_memcpy(to, &bits, 8);
}

static void store_80(struct vcpu *v, const struct uop *u, uint64_t linear, const uint8_t from[10])
{
    const struct tlb_entry *e = tlb_entry_of(v, linear);
    if (LIKELY((linear ^ e->write_tag) <= PAGE_BYTES - 10)) {
        __builtin_memcpy((void *)(linear + e->addend), from, 10);
    } else {
        store_wide_slow(v, u, linear, 10, from);
    }
}

static void store(struct vcpu *v, const struct uop *u, uint64_t linear, const uint8_t from[10])
{
    uint64_t bits;
    __builtin_memcpy(&bits, from, 8);
    switch (format_bytes[u->d]) {
    case 2:
        store16(v, u, linear, (uint16_t)bits);
        break;
    case 4:
        store32(v, u, linear, (uint32_t)bits);
        break;
    case 8:
        store64(v, u, linear, bits);
        break;
    default:
        store_80(v, u, linear, from);
        break;
    }
}

/* FST, FSTP, FIST, FISTP, FISTTP, FBSTP. After an unmasked IE, OE or UE nothing is stored and nothing popped (SDM 1 §8.5.4). */
X87(store)
{
    struct fpu_state *f = &v->s.fpu;
    struct f80_context c = x87_context(v);
    uint8_t bytes[10];
    uint64_t linear = x87_address(v, u, format_bytes[u->d], ACCESS_WRITE);
    bool empty = x87_empty(f, 0);
    if (UNLIKELY(empty)) {
        x87_stack_fault(&c, false);
    }
    convert(&c, u->d, u->s & 2, empty, x87_get(f, 0), bytes);
    if (!(c.raised & ~c.control & (FSW_IE | FSW_OE | FSW_UE))) {
        store(v, u, linear, bytes);
        if (u->s & 1) {
            x87_pop(f);
        }
    }
    x87_finish_memory(v, u, linear, c.raised);
}

/* FST ST(i), FSTP ST(i): s bit 0 pops; bit 1 is FSTPNCE, undocumented, to which an empty ST(0) is no exception: it is only
 * popped. */
X87(store_st)
{
    struct fpu_state *f = &v->s.fpu;
    struct f80_context c = x87_context(v);
    st_t x = x87_get(f, 0);
    bool stores = true;
    if (x87_empty(f, 0)) {
        stores = !(u->s & 2) && x87_stack_fault(&c, false);
        x = st_indefinite();
    }
    if (!f80_stopped(&c)) {
        if (stores) {
            x87_set(f, u->d, x);
        }
        if (u->s & 1) {
            x87_pop(f);
        }
    }
    x87_finish(v, u, FSW_C1, c.raised);
}

/* ---- within the stack ---- */

X87(exchange)
{
    struct fpu_state *f = &v->s.fpu;
    struct f80_context c = x87_context(v);
    st_t a = x87_empty(f, 0) ? st_indefinite() : x87_get(f, 0), b = x87_empty(f, u->d) ? st_indefinite() : x87_get(f, u->d);
    if (x87_empty(f, 0) || x87_empty(f, u->d)) {
        x87_stack_fault(&c, false);
    }
    if (!f80_stopped(&c)) {
        x87_set(f, u->d, a);
        x87_set(f, 0, b);
    }
    x87_finish(v, u, FSW_C1, c.raised);
}

/* FCMOVcc: s bits 1-0 = B, E, BE, U; bit 2 negates. An empty operand counts whether the condition holds or not. */
X87(move_if)
{
    static const uint16_t tested[] = {RFLAGS_CF, RFLAGS_ZF, RFLAGS_CF | RFLAGS_ZF, RFLAGS_PF};
    struct fpu_state *f = &v->s.fpu;
    struct f80_context c = x87_context(v);
    bool holds = ((fl_to_arithmetic(v->fl) & tested[u->s & 3]) != 0) != (u->s >> 2);
    if (x87_empty(f, 0) || x87_empty(f, u->d)) {
        if (x87_stack_fault(&c, false)) {
            x87_set(f, 0, st_indefinite());
        }
    } else if (holds) {
        x87_set(f, 0, x87_get(f, u->d));
    }
    x87_finish(v, u, c.raised ? FSW_C1 : 0, c.raised);
}

/* FCHS (s 0), FABS (s 1): the sign bit, whatever else the register holds. */
X87(sign)
{
    struct fpu_state *f = &v->s.fpu;
    struct f80_context c = x87_context(v);
    st_t x = x87_get(f, 0);
    x.sign_exponent = u->s ? x.sign_exponent & 0x7fff : x.sign_exponent ^ 0x8000;
    if (x87_empty(f, 0)) {
        x87_stack_fault(&c, false);
        x = st_indefinite();
    }
    if (!f80_stopped(&c)) {
        x87_set(f, 0, x);
    }
    x87_finish(v, u, FSW_C1, c.raised);
}

/* FFREE, FFREEP (s 1), FINCSTP and FDECSTP (s = what is added to TOP), FNOP: control instructions, which leave FIP and its kin
 * alone. */
X87(free)
{
    x87_free(&v->s.fpu, u->d);
    if (u->s) {
        x87_pop(&v->s.fpu);
    }
    v->s.fpu.fsw &= (uint16_t)~FSW_C1;
}

X87(rotate)
{
    x87_rotate(&v->s.fpu, u->s);
    v->s.fpu.fsw &= (uint16_t)~FSW_C1;
}

X87(nop)
{
}
