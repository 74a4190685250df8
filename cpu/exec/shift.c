/* SHL SHR SAR ROL ROR RCL RCR SHLD SHRD. SDM 2B.
 *
 * The count is masked to 5 bits (6 for 64-bit operands); a masked count of 0 changes neither operand nor flags. What the SDM
 * leaves undefined is made definite here: AF is 0 after a shift; OF after a count above 1 is what the formula for 1 gives; CF
 * after SHL or SHR by more than the width is the last bit that would have fallen out of a longer register: 0. SHLD and SHRD of
 * 16 bits by more than 16 work on the 48-bit pattern dest:src:dest, as common processors do.
 */
#include <Zydis/Zydis.h>

#include "cpu/access.h"
#include "cpu/exec/arith.h"
#include "cpu/exec/stack.h"

enum shift_op { ROL, ROR, RCL, RCR, SHL, SHR, SAL_UNUSED, SAR };

/* ZF SF PF of a result; CF and OF given; AF 0. */
static uint16_t result_flags(uint64_t r, unsigned bits, bool cf, bool of)
{
    uint16_t fl = 0;
    uint64_t top = r >> (bits - 1) & 1;
    fl |= r == 0 ? FL_ZF : 0;
    fl |= top ? FL_SF : 0;
    fl |= __builtin_parity((unsigned)(r & 0xff)) ? 0 : FL_PF;
    fl |= cf ? FL_CF : 0;
    fl |= of ? FL_OF : 0;
    return fl;
}

static uint16_t with_cf_of(uint16_t fl, bool cf, bool of)
{
    fl &= (uint16_t) ~(FL_CF | FL_OF);
    return (uint16_t)(fl | (cf ? FL_CF : 0) | (of ? FL_OF : 0));
}

static uint64_t mask_of(unsigned bits)
{
    return bits == 64 ? ~0ULL : (1ULL << bits) - 1;
}

/* `count` is already masked and not 0. Returns the result, *fl updated. */
static inline uint64_t shift(enum shift_op op, uint64_t a, unsigned count, unsigned bits, uint16_t *fl)
{
    uint64_t mask = mask_of(bits), r;
    bool cf, top = a >> (bits - 1) & 1;
    unsigned n;
    switch (op) {
    case ROL:
        n = count % bits;
        r = n == 0 ? a : ((a << n) | (a >> (bits - n))) & mask;
        cf = r & 1;
        *fl = with_cf_of(*fl, cf, cf != (bool)(r >> (bits - 1) & 1));
        return r;
    case ROR:
        n = count % bits;
        r = n == 0 ? a : ((a >> n) | (a << (bits - n))) & mask;
        cf = r >> (bits - 1) & 1;
        *fl = with_cf_of(*fl, cf, cf != (bool)(r >> (bits - 2) & 1));
        return r;
    case RCL:
        n = count % (bits + 1);
        cf = *fl & FL_CF;
        r = a;
        if (n != 0) {
            r = n == 1 ? a << 1 | cf : (n == bits ? 0 : a << n) | (uint64_t)cf << (n - 1) | a >> (bits + 1 - n);
            cf = a >> (bits - n) & 1;
            r &= mask;
        }
        *fl = with_cf_of(*fl, cf, cf != (bool)(r >> (bits - 1) & 1));
        return r;
    case RCR:
        n = count % (bits + 1);
        cf = *fl & FL_CF;
        r = a;
        if (n != 0) {
            uint64_t low = n == bits ? 0 : a >> n, carry = (uint64_t)cf << (bits - n), high = n == 1 ? 0 : a << (bits + 1 - n);
            r = (low | carry | high) & mask;
            cf = a >> (n - 1) & 1;
        }
        *fl = with_cf_of(*fl, cf, ((r >> (bits - 1)) ^ (r >> (bits - 2))) & 1);
        return r;
    case SHR:
        r = count >= bits ? 0 : a >> count;
        cf = count <= bits && (a >> (count - 1) & 1);
        *fl = result_flags(r, bits, cf, top);
        return r;
    case SAR: {
        int64_t s = (int64_t)(a << (64 - bits)) >> (64 - bits);
        r = (uint64_t)(s >> (count >= 64 ? 63 : count)) & mask;
        cf = s >> (count > 64 ? 63 : count - 1) & 1;
        *fl = result_flags(r, bits, cf, false);
        return r;
    }
    default: /* SHL */
        r = count >= bits ? 0 : (a << count) & mask;
        cf = count <= bits && (a >> (bits - count) & 1);
        *fl = result_flags(r, bits, cf, cf != (bool)(r >> (bits - 1) & 1));
        return r;
    }
}

/* u->x: 0 count is u->imm (masked at decode), 1: CL. */
static inline unsigned count_of(const struct vcpu *v, const struct uop *u, unsigned bits)
{
    return (u->x ? reg8(v, slot_gpr(RCX)) : (unsigned)u->imm) & (bits == 64 ? 63 : 31);
}

#define SHIFT(op, name, bits, type)                                                                                            \
    static HANDLER(name##_r##bits)                                                                                             \
    {                                                                                                                          \
        unsigned n = count_of(v, u, bits);                                                                                     \
        if (n != 0) {                                                                                                          \
            uint16_t fl = v->fl;                                                                                               \
            type r = (type)shift(op, reg##bits(v, u->d), n, bits, &fl);                                                        \
            v->fl = fl;                                                                                                        \
            set_reg##bits(v, u->d, r);                                                                                         \
        } else if (bits == 32) {                                                                                               \
            set_reg##bits(v, u->d, reg##bits(v, u->d));                                                                        \
        }                                                                                                                      \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    static HANDLER(name##_m##bits)                                                                                             \
    {                                                                                                                          \
        unaligned_##type *p = modify##bits(v, u, ea_general(v, u, bits / 8, ACCESS_WRITE));                                    \
        unsigned n = count_of(v, u, bits);                                                                                     \
        if (n != 0) {                                                                                                          \
            uint16_t fl = v->fl;                                                                                               \
            *p = (type)shift(op, *p, n, bits, &fl);                                                                            \
            v->fl = fl;                                                                                                        \
        }                                                                                                                      \
        modify_done(v, u, p);                                                                                                  \
        NEXT;                                                                                                                  \
    }
#define SHIFT_WIDTHS(op, name, ...)                                                                                            \
    SHIFT(op, name, 8, uint8_t)                                                                                                \
    SHIFT(op, name, 16, uint16_t)                                                                                              \
    SHIFT(op, name, 32, uint32_t)                                                                                              \
    SHIFT(op, name, 64, uint64_t)                                                                                              \
    static const struct shift_table name##_table = {BY_WIDTH(name##_r), BY_WIDTH(name##_m), __VA_ARGS__};

/* SHL, SHR and SAR of a 32- or 64-bit register by 1 to width - 1: compiled code is full of them. There the host's SF, ZF, PF
 * and CF are the SDM's; OF and AF are made definite as above. */
#define SHIFT_IMMEDIATE(name, bits, type, of)                                                                                  \
    static HANDLER(name##_i##bits)                                                                                             \
    {                                                                                                                          \
        const type a = reg##bits(v, u->d);                                                                                     \
        type r = a;                                                                                                            \
        uint16_t fl;                                                                                                           \
        __asm__(#name " %%cl, %0\n\tlahf" : "+r"(r), "=a"(fl) : "c"((uint8_t)u->imm) : "cc");                                  \
        fl &= FL_SF | FL_ZF | FL_PF | FL_CF;                                                                                   \
        v->fl = (uint16_t)(fl | ((of) ? FL_OF : 0));                                                                           \
        set_reg##bits(v, u->d, r);                                                                                             \
        NEXT;                                                                                                                  \
    }
#define SHIFT_IMMEDIATE_WIDTHS(name, of)                                                                                       \
    SHIFT_IMMEDIATE(name, 32, uint32_t, of)                                                                                    \
    SHIFT_IMMEDIATE(name, 64, uint64_t, of)
SHIFT_IMMEDIATE_WIDTHS(shl, (bool)(fl &FL_CF) != (bool)(r >> (sizeof r * 8 - 1)))
SHIFT_IMMEDIATE_WIDTHS(shr, a >> (sizeof a * 8 - 1))
SHIFT_IMMEDIATE_WIDTHS(sar, false)

struct shift_table {
    uop_fn *r[4], *m[4];
    uop_fn *i[4]; /* register by an immediate below the width; NULL: as by any count */
};
#define BY_IMMEDIATE(name)                                                                                                     \
    {                                                                                                                          \
        NULL, NULL, name##_i32, name##_i64                                                                                     \
    }
SHIFT_WIDTHS(ROL, rol, {NULL})
SHIFT_WIDTHS(ROR, ror, {NULL})
SHIFT_WIDTHS(RCL, rcl, {NULL})
SHIFT_WIDTHS(RCR, rcr, {NULL})
SHIFT_WIDTHS(SHL, shl, BY_IMMEDIATE(shl))
SHIFT_WIDTHS(SHR, shr, BY_IMMEDIATE(shr))
SHIFT_WIDTHS(SAR, sar, BY_IMMEDIATE(sar))

static bool emit_shift(struct emit *e, const struct insn *in, const void *argument)
{
    const struct shift_table *t = argument;
    unsigned n = size_index(in->op[0].bytes);
    e->u->x = in->op[1].kind == OPERAND_GPR;
    e->u->imm = in->imm & 0xff;
    if (in->op[0].kind == OPERAND_GPR) {
        bool plain = e->u->x == 0 && e->u->imm != 0 && e->u->imm < 8u * in->op[0].bytes && t->i[n] != NULL;
        e->u->d = operand_slot(&in->op[0]);
        e->u->fn = plain ? t->i[n] : t->r[n];
    } else {
        emit_memory(e, in);
        e->u->fn = t->m[n];
    }
    return true;
}

/* ---- SHLD, SHRD ---- */

static uint64_t double_shift(bool left, uint64_t a, uint64_t b, unsigned n, unsigned bits, uint16_t *fl)
{
    uint64_t mask = mask_of(bits), r;
    bool cf;
    if (bits == 16) {
        uint64_t three = left ? a << 32 | b << 16 | a : a << 32 | b << 16 | a;
        if (left) {
            r = three << n >> 32 & 0xffff;
            cf = n <= 32 && (three >> (48 - n) & 1);
        } else {
            r = three >> n & 0xffff;
            cf = three >> (n - 1) & 1;
        }
    } else if (left) {
        r = ((a << n) | (b >> (bits - n))) & mask;
        cf = a >> (bits - n) & 1;
    } else {
        r = ((a >> n) | (b << (bits - n))) & mask;
        cf = a >> (n - 1) & 1;
    }
    *fl = result_flags(r, bits, cf, ((r ^ a) >> (bits - 1)) & 1);
    return r;
}

#define DOUBLE_SHIFT(name, left, bits, type)                                                                                   \
    static HANDLER(name##_r##bits)                                                                                             \
    {                                                                                                                          \
        unsigned n = count_of(v, u, bits);                                                                                     \
        type r = reg##bits(v, u->d);                                                                                           \
        if (n != 0) {                                                                                                          \
            uint16_t fl = v->fl;                                                                                               \
            r = (type)double_shift(left, r, reg##bits(v, u->s), n, bits, &fl);                                                 \
            v->fl = fl;                                                                                                        \
        }                                                                                                                      \
        set_reg##bits(v, u->d, r);                                                                                             \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    static HANDLER(name##_m##bits)                                                                                             \
    {                                                                                                                          \
        unaligned_##type *p = modify##bits(v, u, ea_general(v, u, bits / 8, ACCESS_WRITE));                                    \
        unsigned n = count_of(v, u, bits);                                                                                     \
        if (n != 0) {                                                                                                          \
            uint16_t fl = v->fl;                                                                                               \
            *p = (type)double_shift(left, *p, reg##bits(v, u->s), n, bits, &fl);                                               \
            v->fl = fl;                                                                                                        \
        }                                                                                                                      \
        modify_done(v, u, p);                                                                                                  \
        NEXT;                                                                                                                  \
    }
#define DOUBLE_WIDTHS(name, left)                                                                                              \
    DOUBLE_SHIFT(name, left, 16, uint16_t)                                                                                     \
    DOUBLE_SHIFT(name, left, 32, uint32_t)                                                                                     \
    DOUBLE_SHIFT(name, left, 64, uint64_t)                                                                                     \
    static const struct shift_table name##_table = {                                                                           \
        {NULL, name##_r16, name##_r32, name##_r64}, {NULL, name##_m16, name##_m32, name##_m64}, {NULL}};
DOUBLE_WIDTHS(shld, true)
DOUBLE_WIDTHS(shrd, false)

static bool emit_double_shift(struct emit *e, const struct insn *in, const void *argument)
{
    const struct shift_table *t = argument;
    unsigned n = size_index(in->op[0].bytes);
    e->u->s = operand_slot(&in->op[1]);
    e->u->x = in->op[2].kind == OPERAND_GPR;
    e->u->imm = in->imm & 0xff;
    if (in->op[0].kind == OPERAND_GPR) {
        e->u->d = operand_slot(&in->op[0]);
        e->u->fn = t->r[n];
    } else {
        emit_memory(e, in);
        e->u->fn = t->m[n];
    }
    return e->u->fn != NULL;
}

/* SALC (D6, undocumented but in every processor): AL = CF ? FF : 0. */
static HANDLER(salc)
{
    set_reg8(v, slot_gpr(RAX), v->fl & FL_CF ? 0xff : 0);
    NEXT;
}
static bool emit_salc(struct emit *e, const struct insn *in, const void *argument)
{
    e->u->fn = salc;
    return true;
}

const struct insn_row shift_rows[] = {
    {ZYDIS_MNEMONIC_ROL, COST_SIMPLE, 0, emit_shift, &rol_table},
    {ZYDIS_MNEMONIC_ROR, COST_SIMPLE, 0, emit_shift, &ror_table},
    {ZYDIS_MNEMONIC_RCL, COST_SIMPLE, 0, emit_shift, &rcl_table},
    {ZYDIS_MNEMONIC_RCR, COST_SIMPLE, 0, emit_shift, &rcr_table},
    {ZYDIS_MNEMONIC_SHL, COST_SIMPLE, 0, emit_shift, &shl_table},
    {ZYDIS_MNEMONIC_SALC, COST_SIMPLE, INSN_NOT_64, emit_salc, NULL},
    {ZYDIS_MNEMONIC_SHR, COST_SIMPLE, 0, emit_shift, &shr_table},
    {ZYDIS_MNEMONIC_SAR, COST_SIMPLE, 0, emit_shift, &sar_table},
    {ZYDIS_MNEMONIC_SHLD, COST_SIMPLE, 0, emit_double_shift, &shld_table},
    {ZYDIS_MNEMONIC_SHRD, COST_SIMPLE, 0, emit_double_shift, &shrd_table},
};
const size_t shift_row_count = ARRAY_COUNT(shift_rows);
