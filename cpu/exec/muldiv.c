/* MUL IMUL DIV IDIV, and the decimal adjustments AAA AAS AAM AAD DAA DAS. SDM 2.
 *
 * Flags: MUL and IMUL define CF and OF; DIV and IDIV none. The undefined ones are made definite: after MUL and IMUL, SF ZF PF
 * are those of the low half, AF 0; after DIV and IDIV all six stay as they were.
 */
#include <Zydis/Zydis.h>

#include "cpu/access.h"
#include "cpu/exec/arith.h"
#include "cpu/exec/stack.h"

static uint16_t product_flags(uint64_t low, unsigned bits, bool overflow)
{
    uint16_t fl = overflow ? FL_CF | FL_OF : 0;
    fl |= low == 0 ? FL_ZF : 0;
    fl |= low >> (bits - 1) & 1 ? FL_SF : 0;
    fl |= __builtin_parity((unsigned)(low & 0xff)) ? 0 : FL_PF;
    return fl;
}

/* ---- one-operand MUL, IMUL: rDX:rAX = rAX * r/m; 8 bits: AX ---- */

static void multiply(struct vcpu *v, uint64_t b, unsigned bits, bool is_signed)
{
    if (bits == 8) {
        uint16_t r = is_signed ? (uint16_t)((int8_t)reg8(v, slot_gpr(RAX)) * (int8_t)b)
                               : (uint16_t)(reg8(v, slot_gpr(RAX)) * (uint8_t)b);
        set_reg16(v, slot_gpr(RAX), r);
        v->fl = product_flags(r & 0xff, 8, is_signed ? (int16_t)r != (int8_t)r : r >> 8 != 0);
        return;
    }
    uint64_t low, high;
    bool overflow;
    if (bits == 64) {
        unsigned __int128 r = is_signed ? (unsigned __int128)((__int128)(int64_t)v->s.gpr[RAX] * (int64_t)b)
                                        : (unsigned __int128)v->s.gpr[RAX] * b;
        low = (uint64_t)r;
        high = (uint64_t)(r >> 64);
        overflow = is_signed ? high != (uint64_t)((int64_t)low >> 63) : high != 0;
        v->s.gpr[RAX] = low;
        v->s.gpr[RDX] = high;
    } else if (bits == 32) {
        uint64_t r = is_signed ? (uint64_t)((int64_t)(int32_t)reg32(v, slot_gpr(RAX)) * (int32_t)b)
                               : (uint64_t)reg32(v, slot_gpr(RAX)) * (uint32_t)b;
        low = (uint32_t)r;
        overflow = is_signed ? (int64_t)r != (int32_t)r : r >> 32 != 0;
        set_reg32(v, slot_gpr(RAX), (uint32_t)r);
        set_reg32(v, slot_gpr(RDX), (uint32_t)(r >> 32));
    } else {
        uint32_t r = is_signed ? (uint32_t)((int16_t)reg16(v, slot_gpr(RAX)) * (int16_t)b)
                               : (uint32_t)reg16(v, slot_gpr(RAX)) * (uint16_t)b;
        low = (uint16_t)r;
        overflow = is_signed ? (int32_t)r != (int16_t)r : r >> 16 != 0;
        set_reg16(v, slot_gpr(RAX), (uint16_t)r);
        set_reg16(v, slot_gpr(RDX), (uint16_t)(r >> 16));
    }
    v->fl = product_flags(low, bits, overflow);
}

/* ---- DIV, IDIV: #DE on zero and on a quotient that does not fit ---- */

static void divide_unsigned(struct vcpu *v, uint64_t b, unsigned bits)
{
    uint64_t mask = bits == 64 ? ~0ULL : (1ULL << bits) - 1;
    unsigned __int128 a = bits == 8    ? reg16(v, slot_gpr(RAX))
                          : bits == 64 ? (unsigned __int128)v->s.gpr[RDX] << 64 | v->s.gpr[RAX]
                                       : (unsigned __int128)((v->s.gpr[RDX] & mask) << bits | (v->s.gpr[RAX] & mask));
    b &= mask;
    if (b == 0) {
        vp_raise(v, VEC_DE);
    }
    uint64_t q, r;
    if (a >> 64 == 0) {
        q = (uint64_t)a / b;
        r = (uint64_t)a % b;
    } else {
        if ((uint64_t)(a >> 64) >= b) {
            vp_raise(v, VEC_DE);
        }
        q = (uint64_t)(a / b);
        r = (uint64_t)(a % b);
    }
    if (q > mask) {
        vp_raise(v, VEC_DE);
    }
    if (bits == 8) {
        set_reg16(v, slot_gpr(RAX), (uint16_t)(r << 8 | q));
    } else if (bits == 16) {
        set_reg16(v, slot_gpr(RAX), (uint16_t)q);
        set_reg16(v, slot_gpr(RDX), (uint16_t)r);
    } else {
        v->s.gpr[RAX] = q;
        v->s.gpr[RDX] = r;
    }
}

static void divide_signed(struct vcpu *v, uint64_t divisor, unsigned bits)
{
    int64_t b = (int64_t)(divisor << (64 - bits)) >> (64 - bits);
    __int128 a;
    if (bits == 8) {
        a = (int16_t)reg16(v, slot_gpr(RAX));
    } else if (bits == 16) {
        a = (int32_t)((uint32_t)reg16(v, slot_gpr(RDX)) << 16 | reg16(v, slot_gpr(RAX)));
    } else if (bits == 32) {
        a = (int64_t)((uint64_t)reg32(v, slot_gpr(RDX)) << 32 | reg32(v, slot_gpr(RAX)));
    } else {
        a = (__int128)((unsigned __int128)v->s.gpr[RDX] << 64 | v->s.gpr[RAX]);
    }
    if (b == 0) {
        vp_raise(v, VEC_DE);
    }
    /* by magnitudes: the most negative dividend over -1 has no quotient in the host's type either */
    bool minus_a = a < 0, minus_b = b < 0;
    unsigned __int128 ua = minus_a ? -(unsigned __int128)a : (unsigned __int128)a;
    uint64_t ub = minus_b ? -(uint64_t)b : (uint64_t)b;
    unsigned __int128 uq = ua >> 64 == 0 ? (uint64_t)ua / ub : ua / ub;
    uint64_t ur = ua >> 64 == 0 ? (uint64_t)ua % ub : (uint64_t)(ua % ub);
    uint64_t limit = 1ULL << (bits - 1);
    bool minus = minus_a != minus_b;
    if (uq > (minus ? limit : limit - 1)) {
        vp_raise(v, VEC_DE);
    }
    uint64_t q = minus ? -(uint64_t)uq : (uint64_t)uq, r = minus_a ? -ur : ur;
    if (bits == 8) {
        set_reg16(v, slot_gpr(RAX), (uint16_t)((r & 0xff) << 8 | (q & 0xff)));
    } else if (bits == 16) {
        set_reg16(v, slot_gpr(RAX), (uint16_t)q);
        set_reg16(v, slot_gpr(RDX), (uint16_t)r);
    } else if (bits == 32) {
        set_reg32(v, slot_gpr(RAX), (uint32_t)q);
        set_reg32(v, slot_gpr(RDX), (uint32_t)r);
    } else {
        v->s.gpr[RAX] = q;
        v->s.gpr[RDX] = r;
    }
}

#define ACCUMULATOR_FORM(name, bits, statement)                                                                                \
    static HANDLER(name##_r##bits)                                                                                             \
    {                                                                                                                          \
        uint64_t b = reg##bits(v, u->s);                                                                                       \
        v->current = u;                                                                                                        \
        statement;                                                                                                             \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    static HANDLER(name##_m##bits)                                                                                             \
    {                                                                                                                          \
        uint64_t b = load##bits(v, u, ea_general(v, u, bits / 8, ACCESS_READ));                                                \
        v->current = u;                                                                                                        \
        statement;                                                                                                             \
        NEXT;                                                                                                                  \
    }
#define ACCUMULATOR_WIDTH(bits, type)                                                                                          \
    ACCUMULATOR_FORM(mul, bits, multiply(v, b, bits, false))                                                                   \
    ACCUMULATOR_FORM(imul, bits, multiply(v, b, bits, true))                                                                   \
    ACCUMULATOR_FORM(div, bits, divide_unsigned(v, b, bits))                                                                   \
    ACCUMULATOR_FORM(idiv, bits, divide_signed(v, b, bits))
WIDTHS(ACCUMULATOR_WIDTH)

struct accumulator_table {
    uop_fn *r[4], *m[4];
};
#define ACCUMULATOR_TABLE(name) static const struct accumulator_table name##_table = {BY_WIDTH(name##_r), BY_WIDTH(name##_m)};
ACCUMULATOR_TABLE(mul)
ACCUMULATOR_TABLE(imul)
ACCUMULATOR_TABLE(div)
ACCUMULATOR_TABLE(idiv)

/* ---- IMUL r, r/m and IMUL r, r/m, imm ---- */

#define IMUL_WIDTH(bits, type, stype, wide)                                                                                    \
    static inline type imul_flags##bits(struct vcpu *v, type a, type b)                                                        \
    {                                                                                                                          \
        wide r = (wide)(stype)a * (stype)b;                                                                                    \
        v->fl = product_flags((type)r, bits, r != (stype)r);                                                                   \
        return (type)r;                                                                                                        \
    }                                                                                                                          \
    static HANDLER(imul2_rr##bits)                                                                                             \
    {                                                                                                                          \
        set_reg##bits(v, u->d, imul_flags##bits(v, reg##bits(v, u->d), reg##bits(v, u->s)));                                   \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    static HANDLER(imul2_rm##bits)                                                                                             \
    {                                                                                                                          \
        type b = load##bits(v, u, ea_general(v, u, bits / 8, ACCESS_READ));                                                    \
        set_reg##bits(v, u->d, imul_flags##bits(v, reg##bits(v, u->d), b));                                                    \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    static HANDLER(imul3_rr##bits)                                                                                             \
    {                                                                                                                          \
        set_reg##bits(v, u->d, imul_flags##bits(v, reg##bits(v, u->s), (type)u->imm));                                         \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    static HANDLER(imul3_rm##bits)                                                                                             \
    {                                                                                                                          \
        type b = load##bits(v, u, ea_general(v, u, bits / 8, ACCESS_READ));                                                    \
        set_reg##bits(v, u->d, imul_flags##bits(v, b, (type)u->imm));                                                          \
        NEXT;                                                                                                                  \
    }
IMUL_WIDTH(16, uint16_t, int16_t, int32_t)
IMUL_WIDTH(32, uint32_t, int32_t, int64_t)
IMUL_WIDTH(64, uint64_t, int64_t, __int128)

static uop_fn *const imul2_rr[3] = {imul2_rr16, imul2_rr32, imul2_rr64}, *const imul2_rm[3] = {imul2_rm16, imul2_rm32,
                                                                                               imul2_rm64};
static uop_fn *const imul3_rr[3] = {imul3_rr16, imul3_rr32, imul3_rr64}, *const imul3_rm[3] = {imul3_rm16, imul3_rm32,
                                                                                               imul3_rm64};

static bool emit_accumulator(struct emit *e, const struct insn *in, const void *argument)
{
    const struct accumulator_table *t = argument;
    const struct operand *o = &in->op[0];
    unsigned n = size_index(o->bytes);
    if (o->kind == OPERAND_GPR) {
        e->u->s = operand_slot(o);
        e->u->fn = t->r[n];
    } else {
        emit_memory(e, in);
        e->u->fn = t->m[n];
    }
    return true;
}

static bool emit_imul(struct emit *e, const struct insn *in, const void *argument)
{
    if (in->opcode_map == 0 && (in->opcode & 0xfe) == 0xf6) {
        return emit_accumulator(e, in, &imul_table);
    }
    unsigned n = size_index(in->op[0].bytes) - 1;
    bool three = in->operands == 3;
    e->u->d = operand_slot(&in->op[0]);
    e->u->imm = in->imm;
    if (in->op[1].kind == OPERAND_MEM) {
        emit_memory(e, in);
        e->u->fn = three ? imul3_rm[n] : imul2_rm[n];
    } else {
        e->u->s = operand_slot(&in->op[1]);
        e->u->fn = three ? imul3_rr[n] : imul2_rr[n];
    }
    return true;
}

/* ---- decimal adjustments. SDM 2A AAA, AAD, AAM, AAS, DAA, DAS ---- */

static uint16_t set_fl(uint16_t fl, uint16_t bit, bool on)
{
    return on ? (uint16_t)(fl | bit) : (uint16_t)(fl & ~bit);
}

static void adjust_ascii(struct vcpu *v, int sign)
{
    uint16_t ax = reg16(v, slot_gpr(RAX));
    bool carry = (ax & 15) > 9 || (v->fl & FL_AF);
    if (carry) {
        ax = (uint16_t)(ax + sign * 0x106);
    }
    set_reg16(v, slot_gpr(RAX), ax & 0xff0f);
    v->fl = set_fl(set_fl(v->fl, FL_AF, carry), FL_CF, carry);
}
static HANDLER(aaa)
{
    adjust_ascii(v, 1);
    NEXT;
}
static HANDLER(aas)
{
    adjust_ascii(v, -1);
    NEXT;
}

static void adjust_packed(struct vcpu *v, int sign)
{
    uint8_t al = reg8(v, slot_gpr(RAX)), old = al;
    bool cf = v->fl & FL_CF, old_cf = cf, af = v->fl & FL_AF;
    cf = false;
    if ((al & 15) > 9 || af) {
        cf = old_cf || (sign > 0 ? al > 0xf9 : al < 6);
        al = (uint8_t)(al + sign * 6);
        af = true;
    } else {
        af = false;
    }
    if (old > 0x99 || old_cf) {
        al = (uint8_t)(al + sign * 0x60);
        cf = true;
    } else if (sign > 0) {
        cf = false;
    }
    set_reg8(v, slot_gpr(RAX), al);
    v->fl = set_fl(set_fl(logic_flags8(al), FL_AF, af), FL_CF, cf);
}
static HANDLER(daa)
{
    adjust_packed(v, 1);
    NEXT;
}
static HANDLER(das)
{
    adjust_packed(v, -1);
    NEXT;
}
static HANDLER(aam)
{
    uint8_t al = reg8(v, slot_gpr(RAX)), base = (uint8_t)u->imm;
    if (base == 0) {
        v->current = u;
        vp_raise(v, VEC_DE);
    }
    set_reg16(v, slot_gpr(RAX), (uint16_t)((al / base) << 8 | al % base));
    v->fl = logic_flags8(al % base);
    NEXT;
}
static HANDLER(aad)
{
    uint16_t ax = reg16(v, slot_gpr(RAX));
    uint8_t al = (uint8_t)(ax + (ax >> 8) * (uint8_t)u->imm);
    set_reg16(v, slot_gpr(RAX), al);
    v->fl = logic_flags8(al);
    NEXT;
}
static bool emit_decimal(struct emit *e, const struct insn *in, const void *argument)
{
    e->u->imm = in->imm;
    e->u->fn = *(uop_fn *const *)argument;
    return true;
}
static uop_fn *const aaa_fn = aaa, *const aas_fn = aas, *const daa_fn = daa, *const das_fn = das, *const aam_fn = aam,
                     *const aad_fn = aad;

const struct insn_row muldiv_rows[] = {
    {ZYDIS_MNEMONIC_MUL, COST_MUL, 0, emit_accumulator, &mul_table},
    {ZYDIS_MNEMONIC_IMUL, COST_MUL, 0, emit_imul, NULL},
    {ZYDIS_MNEMONIC_DIV, COST_DIV, 0, emit_accumulator, &div_table},
    {ZYDIS_MNEMONIC_IDIV, COST_DIV, 0, emit_accumulator, &idiv_table},
    {ZYDIS_MNEMONIC_AAA, COST_SIMPLE, INSN_NOT_64, emit_decimal, &aaa_fn},
    {ZYDIS_MNEMONIC_AAS, COST_SIMPLE, INSN_NOT_64, emit_decimal, &aas_fn},
    {ZYDIS_MNEMONIC_DAA, COST_SIMPLE, INSN_NOT_64, emit_decimal, &daa_fn},
    {ZYDIS_MNEMONIC_DAS, COST_SIMPLE, INSN_NOT_64, emit_decimal, &das_fn},
    {ZYDIS_MNEMONIC_AAM, COST_DIV, INSN_NOT_64, emit_decimal, &aam_fn},
    {ZYDIS_MNEMONIC_AAD, COST_MUL, INSN_NOT_64, emit_decimal, &aad_fn},
};
const size_t muldiv_row_count = ARRAY_COUNT(muldiv_rows);
