/* BT BTS BTR BTC BSF BSR POPCNT. SDM 2.
 *
 * BT with a memory operand and a register index reaches up to 2^63 bits away. BSF and BSR of zero set ZF and leave the
 * destination (both vendors; the upper half of a 32-bit destination stays too); their other flags are made definite: 0. BT
 * leaves all flags but CF.
 */
#include <Zydis/Zydis.h>

#include "cpu/access.h"
#include "cpu/exec/arith.h"
#include "cpu/exec/stack.h"

enum bit_op { BT, BTS, BTR, BTC };

static inline uint64_t bit_change(enum bit_op op, uint64_t x, uint64_t bit)
{
    return op == BTS ? x | bit : op == BTR ? x & ~bit : op == BTC ? x ^ bit : x;
}
static inline void set_cf(struct vcpu *v, bool cf)
{
    v->fl = (uint16_t)((v->fl & ~FL_CF) | (cf ? FL_CF : 0));
}

/* u->x: 0 the index is u->imm, 1: a register (u->s). */
#define BIT_WIDTH(bits, type, stype)                                                                                           \
    static inline void bit_r##bits(struct vcpu *v, const struct uop *u, enum bit_op op)                                        \
    {                                                                                                                          \
        uint64_t n = (u->x ? reg64(v, u->s) : u->imm) & (bits - 1), x = reg##bits(v, u->d);                                    \
        set_cf(v, x >> n & 1);                                                                                                 \
        if (op != BT) {                                                                                                        \
            set_reg##bits(v, u->d, (type)bit_change(op, x, 1ULL << n));                                                        \
        }                                                                                                                      \
    }                                                                                                                          \
    static void bit_m##bits(struct vcpu *v, const struct uop *u, enum bit_op op)                                               \
    {                                                                                                                          \
        uint64_t n = u->imm & (bits - 1), far = 0;                                                                             \
        if (u->x) {                                                                                                            \
            stype index = (stype)reg##bits(v, u->s);                                                                           \
            far = (uint64_t)((int64_t)index >> __builtin_ctz(bits)) * (bits / 8);                                              \
            n = (uint64_t)index & (bits - 1);                                                                                  \
        }                                                                                                                      \
        v->current = u;                                                                                                        \
        uint64_t offset = ea_offset(v, u) + far;                                                                               \
        unsigned address = (u->ea & EA_ADDRESS) >> EA_ADDRESS_SHIFT;                                                           \
        offset = address == 0 ? (uint16_t)offset : address == 1 ? (uint32_t)offset : offset;                                   \
        uint64_t a = segment_linear(v, (u->ea & EA_SEGMENT) >> EA_SEGMENT_SHIFT, offset, bits / 8,                             \
                                    op == BT ? ACCESS_READ : ACCESS_WRITE);                                                    \
        if (op == BT) {                                                                                                        \
            set_cf(v, load##bits(v, u, a) >> n & 1);                                                                           \
            return;                                                                                                            \
        }                                                                                                                      \
        unaligned_##type *p = modify##bits(v, u, a);                                                                           \
        type x = *p;                                                                                                           \
        *p = (type)bit_change(op, x, 1ULL << n);                                                                               \
        set_cf(v, x >> n & 1);                                                                                                 \
        modify_done(v, u, p);                                                                                                  \
    }
BIT_WIDTH(16, uint16_t, int16_t)
BIT_WIDTH(32, uint32_t, int32_t)
BIT_WIDTH(64, uint64_t, int64_t)

#define BIT_HANDLER(op, name, bits)                                                                                            \
    static HANDLER(name##_r##bits)                                                                                             \
    {                                                                                                                          \
        bit_r##bits(v, u, op);                                                                                                 \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    static HANDLER(name##_m##bits)                                                                                             \
    {                                                                                                                          \
        bit_m##bits(v, u, op);                                                                                                 \
        NEXT;                                                                                                                  \
    }
struct bit_table {
    uop_fn *r[3], *m[3];
};
#define BIT_OPERATION(op, name)                                                                                                \
    BIT_HANDLER(op, name, 16)                                                                                                  \
    BIT_HANDLER(op, name, 32)                                                                                                  \
    BIT_HANDLER(op, name, 64)                                                                                                  \
    static const struct bit_table name##_table = {{name##_r16, name##_r32, name##_r64}, {name##_m16, name##_m32, name##_m64}};
BIT_OPERATION(BT, bt)
BIT_OPERATION(BTS, bts)
BIT_OPERATION(BTR, btr)
BIT_OPERATION(BTC, btc)

static bool emit_bit(struct emit *e, const struct insn *in, const void *argument)
{
    const struct bit_table *t = argument;
    unsigned n = size_index(in->op[0].bytes) - 1;
    e->u->x = in->op[1].kind == OPERAND_GPR;
    e->u->imm = in->imm & 0xff;
    if (e->u->x) {
        e->u->s = operand_slot(&in->op[1]);
    }
    if (in->op[0].kind == OPERAND_GPR) {
        e->u->d = operand_slot(&in->op[0]);
        e->u->fn = t->r[n];
    } else {
        emit_memory(e, in);
        e->u->fn = t->m[n];
    }
    return true;
}

/* ---- BSF, BSR, POPCNT ---- */

enum scan_op { BSF, BSR, POPCNT };

static inline void scan(struct vcpu *v, const struct uop *u, enum scan_op op, uint64_t x)
{
    uint64_t r;
    if (op == POPCNT) {
        r = (uint64_t)__builtin_popcountll(x);
        v->fl = x == 0 ? FL_ZF : 0; /* SDM 2B POPCNT: all others cleared */
    } else if (x == 0) {
        v->fl = FL_ZF;
        return;
    } else {
        r = (uint64_t)(op == BSF ? __builtin_ctzll(x) : 63 - __builtin_clzll(x));
        v->fl = 0;
    }
    u->x == 2 ? set_reg16(v, u->d, (uint16_t)r) : set_reg64(v, u->d, r);
}
#define SCAN(op, name)                                                                                                         \
    static HANDLER(name##_r)                                                                                                   \
    {                                                                                                                          \
        scan(v, u, op, u->x == 2 ? reg16(v, u->s) : u->x == 4 ? reg32(v, u->s) : reg64(v, u->s));                              \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    static HANDLER(name##_m)                                                                                                   \
    {                                                                                                                          \
        scan(v, u, op, load_sized(v, u, ea_general(v, u, u->x, ACCESS_READ), u->x));                                           \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    static uop_fn *const name##_table[2] = {name##_r, name##_m};
SCAN(BSF, bsf)
SCAN(BSR, bsr)
SCAN(POPCNT, popcnt)

static bool emit_scan(struct emit *e, const struct insn *in, const void *argument)
{
    uop_fn *const *t = argument;
    e->u->d = operand_slot(&in->op[0]);
    e->u->x = in->op[0].bytes;
    if (in->op[1].kind == OPERAND_GPR) {
        e->u->s = operand_slot(&in->op[1]);
        e->u->fn = t[0];
    } else {
        emit_memory(e, in);
        e->u->fn = t[1];
    }
    return true;
}

const struct insn_row bit_rows[] = {
    {ZYDIS_MNEMONIC_BT, COST_SIMPLE, 0, emit_bit, &bt_table},
    {ZYDIS_MNEMONIC_BTS, COST_SIMPLE, 0, emit_bit, &bts_table},
    {ZYDIS_MNEMONIC_BTR, COST_SIMPLE, 0, emit_bit, &btr_table},
    {ZYDIS_MNEMONIC_BTC, COST_SIMPLE, 0, emit_bit, &btc_table},
    {ZYDIS_MNEMONIC_BSF, COST_SIMPLE, 0, emit_scan, bsf_table},
    {ZYDIS_MNEMONIC_BSR, COST_SIMPLE, 0, emit_scan, bsr_table},
    {ZYDIS_MNEMONIC_POPCNT, COST_SIMPLE, 0, emit_scan, popcnt_table},
};
const size_t bit_row_count = ARRAY_COUNT(bit_rows);
