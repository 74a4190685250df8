/* ADD OR ADC SBB AND SUB XOR CMP TEST INC DEC NEG NOT. SDM 2. Register, memory and immediate forms in four widths. */
#include <Zydis/Zydis.h>

#include "cpu/access.h"
#include "cpu/exec/arith.h"

/* Forms of a two-operand operation that writes its destination. `m` = memory; EA_ is flat or general. */
#define TWO_OPERANDS(op, bits, type)                                                                                           \
    static HANDLER(op##_rr##bits)                                                                                              \
    {                                                                                                                          \
        type a = reg##bits(v, u->d);                                                                                           \
        v->fl = op##bits(&a, reg##bits(v, u->s), v->fl);                                                                       \
        set_reg##bits(v, u->d, a);                                                                                             \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    static HANDLER(op##_ri##bits)                                                                                              \
    {                                                                                                                          \
        type a = reg##bits(v, u->d);                                                                                           \
        v->fl = op##bits(&a, (type)u->imm, v->fl);                                                                             \
        set_reg##bits(v, u->d, a);                                                                                             \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    TWO_OPERANDS_MEMORY(op, bits, type, , EA_IN_FLAT)                                                                          \
    TWO_OPERANDS_MEMORY(op, bits, type, _g, EA_IN_GENERAL)

#define TWO_OPERANDS_MEMORY(op, bits, type, variant, EA)                                                                       \
    static HANDLER(op##_rm##bits##variant)                                                                                     \
    {                                                                                                                          \
        type b = load##bits(v, u, EA(bits / 8, ACCESS_READ)), a = reg##bits(v, u->d);                                          \
        v->fl = op##bits(&a, b, v->fl);                                                                                        \
        set_reg##bits(v, u->d, a);                                                                                             \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    static HANDLER(op##_mr##bits##variant)                                                                                     \
    {                                                                                                                          \
        unaligned_##type *p = modify##bits(v, u, EA(bits / 8, ACCESS_WRITE));                                                  \
        type a = *p;                                                                                                           \
        uint16_t fl = op##bits(&a, reg##bits(v, u->s), v->fl);                                                                 \
        *p = a;                                                                                                                \
        v->fl = fl;                                                                                                            \
        modify_done(v, u, p);                                                                                                  \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    static HANDLER(op##_mi##bits##variant)                                                                                     \
    {                                                                                                                          \
        unaligned_##type *p = modify##bits(v, u, EA(bits / 8, ACCESS_WRITE));                                                  \
        type a = *p;                                                                                                           \
        uint16_t fl = op##bits(&a, (type)u->imm, v->fl);                                                                       \
        *p = a;                                                                                                                \
        v->fl = fl;                                                                                                            \
        modify_done(v, u, p);                                                                                                  \
        NEXT;                                                                                                                  \
    }

/* CMP and TEST: flags only. */
#define COMPARISON(op, by, bits, type)                                                                                         \
    static HANDLER(op##_rr##bits)                                                                                              \
    {                                                                                                                          \
        type a = reg##bits(v, u->d);                                                                                           \
        v->fl = by##bits(&a, reg##bits(v, u->s), 0);                                                                           \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    static HANDLER(op##_ri##bits)                                                                                              \
    {                                                                                                                          \
        type a = reg##bits(v, u->d);                                                                                           \
        v->fl = by##bits(&a, (type)u->imm, 0);                                                                                 \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    COMPARISON_MEMORY(op, by, bits, type, , EA_IN_FLAT)                                                                        \
    COMPARISON_MEMORY(op, by, bits, type, _g, EA_IN_GENERAL)

#define COMPARISON_MEMORY(op, by, bits, type, variant, EA)                                                                     \
    static HANDLER(op##_rm##bits##variant)                                                                                     \
    {                                                                                                                          \
        type b = load##bits(v, u, EA(bits / 8, ACCESS_READ)), a = reg##bits(v, u->d);                                          \
        v->fl = by##bits(&a, b, 0);                                                                                            \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    static HANDLER(op##_mr##bits##variant)                                                                                     \
    {                                                                                                                          \
        type a = load##bits(v, u, EA(bits / 8, ACCESS_READ));                                                                  \
        v->fl = by##bits(&a, reg##bits(v, u->s), 0);                                                                           \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    static HANDLER(op##_mi##bits##variant)                                                                                     \
    {                                                                                                                          \
        type a = load##bits(v, u, EA(bits / 8, ACCESS_READ));                                                                  \
        v->fl = by##bits(&a, (type)u->imm, 0);                                                                                 \
        NEXT;                                                                                                                  \
    }

#define ONE_OPERAND(op, bits, type)                                                                                            \
    static HANDLER(op##_r##bits)                                                                                               \
    {                                                                                                                          \
        type a = reg##bits(v, u->d);                                                                                           \
        v->fl = op##bits(&a, v->fl);                                                                                           \
        set_reg##bits(v, u->d, a);                                                                                             \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    ONE_OPERAND_MEMORY(op, bits, type, , EA_IN_FLAT)                                                                           \
    ONE_OPERAND_MEMORY(op, bits, type, _g, EA_IN_GENERAL)

#define ONE_OPERAND_MEMORY(op, bits, type, variant, EA)                                                                        \
    static HANDLER(op##_m##bits##variant)                                                                                      \
    {                                                                                                                          \
        unaligned_##type *p = modify##bits(v, u, EA(bits / 8, ACCESS_WRITE));                                                  \
        type a = *p;                                                                                                           \
        uint16_t fl = op##bits(&a, v->fl);                                                                                     \
        *p = a;                                                                                                                \
        v->fl = fl;                                                                                                            \
        modify_done(v, u, p);                                                                                                  \
        NEXT;                                                                                                                  \
    }

struct two_operand_table {
    uop_fn *rr[4], *ri[4];
    struct handler_pair rm[4], mr[4], mi[4];
};
struct one_operand_table {
    uop_fn *r[4];
    struct handler_pair m[4];
};

#define TABLE_TWO(op)                                                                                                          \
    static const struct two_operand_table op##_table = {BY_WIDTH(op##_rr), BY_WIDTH(op##_ri), PAIRS_BY_WIDTH(op##_rm),         \
                                                        PAIRS_BY_WIDTH(op##_mr), PAIRS_BY_WIDTH(op##_mi)};
#define TABLE_ONE(op) static const struct one_operand_table op##_table = {BY_WIDTH(op##_r), PAIRS_BY_WIDTH(op##_m)};

#define TWO(op)                                                                                                                \
    TWO_OPERANDS(op, 8, uint8_t)                                                                                               \
    TWO_OPERANDS(op, 16, uint16_t) TWO_OPERANDS(op, 32, uint32_t) TWO_OPERANDS(op, 64, uint64_t) TABLE_TWO(op)
#define COMPARE(op, by)                                                                                                        \
    COMPARISON(op, by, 8, uint8_t)                                                                                             \
    COMPARISON(op, by, 16, uint16_t) COMPARISON(op, by, 32, uint32_t) COMPARISON(op, by, 64, uint64_t) TABLE_TWO(op)
#define ONE(op)                                                                                                                \
    ONE_OPERAND(op, 8, uint8_t)                                                                                                \
    ONE_OPERAND(op, 16, uint16_t) ONE_OPERAND(op, 32, uint32_t) ONE_OPERAND(op, 64, uint64_t) TABLE_ONE(op)

TWO(add)
TWO(or)
TWO(adc)
TWO(sbb)
TWO(and)
TWO(sub)
TWO(xor)
COMPARE(cmp, sub)
COMPARE(test, and)
ONE(inc)
ONE(dec)
ONE(neg)
ONE(not )

/* XOR r32, r32 and XOR r64, r64 with itself, the usual zero. */
static HANDLER(zero_register)
{
    set_reg64(v, u->d, 0);
    v->fl = FL_ZF | FL_PF;
    NEXT;
}

static bool emit_two(struct emit *e, const struct insn *in, const void *argument)
{
    const struct two_operand_table *t = argument;
    const struct operand *d = &in->op[0], *s = &in->op[1];
    struct uop *u = e->u;
    unsigned n = size_index(d->bytes);
    u->imm = in->imm;
    if (d->kind == OPERAND_GPR) {
        u->d = operand_slot(d);
        if (s->kind == OPERAND_GPR) {
            u->s = operand_slot(s);
            u->fn = t == &xor_table && u->d == u->s && n >= 2 ? zero_register : t->rr[n];
        } else if (s->kind == OPERAND_IMM) {
            u->fn = t->ri[n];
        } else {
            u->fn = pick(&t->rm[n], emit_memory(e, in));
        }
        return true;
    }
    bool flat = emit_memory(e, in);
    if (s->kind == OPERAND_GPR) {
        u->s = operand_slot(s);
        u->fn = pick(&t->mr[n], flat);
    } else {
        u->fn = pick(&t->mi[n], flat);
    }
    return true;
}

static bool emit_one(struct emit *e, const struct insn *in, const void *argument)
{
    const struct one_operand_table *t = argument;
    unsigned n = size_index(in->op[0].bytes);
    if (in->op[0].kind == OPERAND_GPR) {
        e->u->d = operand_slot(&in->op[0]);
        e->u->fn = t->r[n];
    } else {
        e->u->fn = pick(&t->m[n], emit_memory(e, in));
    }
    return true;
}

const struct insn_row alu_rows[] = {
    {ZYDIS_MNEMONIC_ADD, COST_SIMPLE, 0, emit_two, &add_table},   {ZYDIS_MNEMONIC_OR, COST_SIMPLE, 0, emit_two, &or_table},
    {ZYDIS_MNEMONIC_ADC, COST_SIMPLE, 0, emit_two, &adc_table},   {ZYDIS_MNEMONIC_SBB, COST_SIMPLE, 0, emit_two, &sbb_table},
    {ZYDIS_MNEMONIC_AND, COST_SIMPLE, 0, emit_two, &and_table},   {ZYDIS_MNEMONIC_SUB, COST_SIMPLE, 0, emit_two, &sub_table},
    {ZYDIS_MNEMONIC_XOR, COST_SIMPLE, 0, emit_two, &xor_table},   {ZYDIS_MNEMONIC_CMP, COST_SIMPLE, 0, emit_two, &cmp_table},
    {ZYDIS_MNEMONIC_TEST, COST_SIMPLE, 0, emit_two, &test_table}, {ZYDIS_MNEMONIC_INC, COST_SIMPLE, 0, emit_one, &inc_table},
    {ZYDIS_MNEMONIC_DEC, COST_SIMPLE, 0, emit_one, &dec_table},   {ZYDIS_MNEMONIC_NEG, COST_SIMPLE, 0, emit_one, &neg_table},
    {ZYDIS_MNEMONIC_NOT, COST_SIMPLE, 0, emit_one, &not_table},
};
const size_t alu_row_count = ARRAY_COUNT(alu_rows);
