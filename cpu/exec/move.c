/* Data movement: MOV, MOVZX, MOVSX, MOVSXD, LEA, XCHG, CMOVcc, XLAT, sign extensions of the accumulator, XADD, CMPXCHG,
 * CMPXCHG8B, CMPXCHG16B, SETcc, BSWAP. SDM 2.
 *
 * LOCK needs nothing: VPs take turns between instructions, so every instruction is atomic.
 */
#include <Zydis/Zydis.h>

#include "cpu/access.h"
#include "cpu/exec/arith.h"
#include "cpu/exec/stack.h"

/* ---- MOV ---- */

static inline uint64_t ea_base(const struct vcpu *v, const struct uop *u)
{
    return slot64(v, u->base) + (uint64_t)(int64_t)u->disp;
}

#define MOV_WIDTH(bits, type)                                                                                                  \
    static HANDLER(mov_rr##bits)                                                                                               \
    {                                                                                                                          \
        set_reg##bits(v, u->d, reg##bits(v, u->s));                                                                            \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    static HANDLER(mov_ri##bits)                                                                                               \
    {                                                                                                                          \
        set_reg##bits(v, u->d, (type)u->imm);                                                                                  \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    MOV_MEMORY(bits, type, _miss, EA_IN_FLAT)                                                                                  \
    MOV_MEMORY(bits, type, _g, EA_IN_GENERAL)                                                                                  \
    MOV_HIT(bits, type, , ea_flat(v, u))                                                                                       \
    MOV_HIT(bits, type, _b, ea_base(v, u))                                                                                     \
    static HANDLER(mov_load_absolute##bits)                                                                                    \
    {                                                                                                                          \
        uint64_t a = u->imm + slot64(v, u->base);                                                                              \
        set_reg##bits(v, SLOT_GPR, load##bits(v, u, a));                                                                       \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    static HANDLER(mov_store_absolute##bits)                                                                                   \
    {                                                                                                                          \
        uint64_t a = u->imm + slot64(v, u->base);                                                                              \
        store##bits(v, u, a, reg##bits(v, SLOT_GPR));                                                                          \
        NEXT;                                                                                                                  \
    }
#define MOV_MEMORY(bits, type, variant, EA)                                                                                    \
    static NOINLINE HANDLER(mov_rm##bits##variant)                                                                             \
    {                                                                                                                          \
        set_reg##bits(v, u->d, load##bits(v, u, EA(bits / 8, ACCESS_READ)));                                                   \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    static NOINLINE HANDLER(mov_mr##bits##variant)                                                                             \
    {                                                                                                                          \
        store##bits(v, u, EA(bits / 8, ACCESS_WRITE), reg##bits(v, u->s));                                                     \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    static NOINLINE HANDLER(mov_mi##bits##variant)                                                                             \
    {                                                                                                                          \
        store##bits(v, u, EA(bits / 8, ACCESS_WRITE), (type)u->imm);                                                           \
        NEXT;                                                                                                                  \
    }
/* Every fourth instruction is one of these; most of them have no index (_b). */
#define MOV_HIT(bits, type, variant, address)                                                                                  \
    static HANDLER(mov_rm##bits##variant)                                                                                      \
    {                                                                                                                          \
        const uint64_t a = address;                                                                                            \
        const struct tlb_entry *e = tlb_entry_of(v, a);                                                                        \
        if (!tlb_hit(a, e->read_tag, sizeof(type))) {                                                                          \
            TAIL_CALL mov_rm##bits##_miss(v, u);                                                                               \
        }                                                                                                                      \
        type x;                                                                                                                \
        __builtin_memcpy(&x, tlb_host(e, a), sizeof x);                                                                        \
        set_reg##bits(v, u->d, x);                                                                                             \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    static HANDLER(mov_mr##bits##variant)                                                                                      \
    {                                                                                                                          \
        const uint64_t a = address;                                                                                            \
        const struct tlb_entry *e = tlb_entry_of(v, a);                                                                        \
        if (!tlb_hit(a, e->write_tag, sizeof(type))) {                                                                         \
            TAIL_CALL mov_mr##bits##_miss(v, u);                                                                               \
        }                                                                                                                      \
        const type x = reg##bits(v, u->s);                                                                                     \
        __builtin_memcpy(tlb_host(e, a), &x, sizeof x);                                                                        \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    static HANDLER(mov_mi##bits##variant)                                                                                      \
    {                                                                                                                          \
        const uint64_t a = address;                                                                                            \
        const struct tlb_entry *e = tlb_entry_of(v, a);                                                                        \
        if (!tlb_hit(a, e->write_tag, sizeof(type))) {                                                                         \
            TAIL_CALL mov_mi##bits##_miss(v, u);                                                                               \
        }                                                                                                                      \
        const type x = (type)u->imm;                                                                                           \
        __builtin_memcpy(tlb_host(e, a), &x, sizeof x);                                                                        \
        NEXT;                                                                                                                  \
    }
WIDTHS(MOV_WIDTH)

static uop_fn *const mov_rr[4] = BY_WIDTH(mov_rr), *const mov_ri[4] = BY_WIDTH(mov_ri);
static uop_fn *const mov_load_absolute[4] = BY_WIDTH(mov_load_absolute), *const mov_store_absolute[4] =
                                                                             BY_WIDTH(mov_store_absolute);
static const struct handler_pair mov_rm[4] = PAIRS_BY_WIDTH(mov_rm), mov_mr[4] = PAIRS_BY_WIDTH(mov_mr),
                                 mov_mi[4] = PAIRS_BY_WIDTH(mov_mi);
static uop_fn *const mov_rm_b[4] = {mov_rm8_b, mov_rm16_b, mov_rm32_b, mov_rm64_b},
                     *const mov_mr_b[4] = {mov_mr8_b, mov_mr16_b, mov_mr32_b, mov_mr64_b},
                     *const mov_mi_b[4] = {mov_mi8_b, mov_mi16_b, mov_mi32_b, mov_mi64_b};

/* A 64-bit absolute address (opcodes A0-A3 without 67h in 64-bit mode) does not fit the uop's displacement. */
static bool emit_mov_absolute(struct emit *e, const struct insn *in, unsigned n)
{
    e->u->imm = (uint64_t)in->mem.disp;
    e->u->base = in->mem.segment >= SEG_FS ? (uint8_t)(SLOT_SEG + 8 * in->mem.segment) : SLOT_ZERO;
    e->u->ea = (uint8_t)(in->mem.segment << EA_SEGMENT_SHIFT);
    e->u->fn = in->op[0].kind == OPERAND_MEM ? mov_store_absolute[n] : mov_load_absolute[n];
    return true;
}

static uop_fn *memory_handler(struct emit *e, const struct insn *in, const struct handler_pair *pair, uop_fn *without_index)
{
    bool flat = emit_memory(e, in);
    return flat && e->u->index == SLOT_ZERO ? without_index : pick(pair, flat);
}

/* MOV to and from segment, control and debug registers belongs to the system family, which has its own row for it. */
static bool emit_mov(struct emit *e, const struct insn *in, const void *argument)
{
    const struct operand *d = &in->op[0], *s = &in->op[1];
    unsigned special = 1u << OPERAND_SEG | 1u << OPERAND_CR | 1u << OPERAND_DR;
    if ((1u << d->kind | 1u << s->kind) & special) {
        return false;
    }
    unsigned n = size_index(d->bytes);
    if (in->opcode_map == 0 && in->opcode >= 0xa0 && in->opcode <= 0xa3 && in->address_bytes == 8) {
        return emit_mov_absolute(e, in, n);
    }
    struct uop *u = e->u;
    u->imm = in->imm;
    if (d->kind == OPERAND_GPR) {
        u->d = operand_slot(d);
        if (s->kind == OPERAND_GPR) {
            u->s = operand_slot(s);
            u->fn = mov_rr[n];
        } else {
            u->fn = s->kind == OPERAND_IMM ? mov_ri[n] : memory_handler(e, in, &mov_rm[n], mov_rm_b[n]);
        }
    } else if (s->kind == OPERAND_GPR) {
        u->s = operand_slot(s);
        u->fn = memory_handler(e, in, &mov_mr[n], mov_mr_b[n]);
    } else {
        u->fn = memory_handler(e, in, &mov_mi[n], mov_mi_b[n]);
    }
    return true;
}

/* ---- MOVZX, MOVSX, MOVSXD: from 8, 16, 32 bits into 16, 32, 64 ---- */

#define EXTEND(name, to, from, cast)                                                                                           \
    static HANDLER(name##_r##from##_##to)                                                                                      \
    {                                                                                                                          \
        set_reg##to(v, u->d, (uint##to##_t)(cast)reg##from(v, u->s));                                                          \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    static HANDLER(name##_m##from##_##to)                                                                                      \
    {                                                                                                                          \
        set_reg##to(v, u->d, (uint##to##_t)(cast)load##from(v, u, ea_flat(v, u)));                                             \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    static HANDLER(name##_m##from##_##to##_g)                                                                                  \
    {                                                                                                                          \
        set_reg##to(v, u->d, (uint##to##_t)(cast)load##from(v, u, ea_general(v, u, from / 8, ACCESS_READ)));                   \
        NEXT;                                                                                                                  \
    }
#define EXTENSIONS(name, c8, c16, c32)                                                                                         \
    EXTEND(name, 16, 8, c8)                                                                                                    \
    EXTEND(name, 32, 8, c8)                                                                                                    \
    EXTEND(name, 64, 8, c8)                                                                                                    \
    EXTEND(name, 16, 16, c16)                                                                                                  \
    EXTEND(name, 32, 16, c16) EXTEND(name, 64, 16, c16) EXTEND(name, 32, 32, c32) EXTEND(name, 64, 32, c32)
EXTENSIONS(zero_extend, uint8_t, uint16_t, uint32_t)
EXTENSIONS(sign_extend, int8_t, int16_t, int32_t)

struct extend_table {
    struct {
        uop_fn *reg;
        struct handler_pair mem;
    } to[3][3]; /* [from 8 16 32][to 16 32 64] */
};
#define EXTEND_ENTRY(name, from, to)                                                                                           \
    {                                                                                                                          \
        name##_r##from##_##to,                                                                                                 \
        {                                                                                                                      \
            name##_m##from##_##to, name##_m##from##_##to##_g                                                                   \
        }                                                                                                                      \
    }
#define EXTEND_TABLE(name)                                                                                                     \
    static const struct extend_table name##_table = {                                                                          \
        {{EXTEND_ENTRY(name, 8, 16), EXTEND_ENTRY(name, 8, 32), EXTEND_ENTRY(name, 8, 64)},                                    \
         {EXTEND_ENTRY(name, 16, 16), EXTEND_ENTRY(name, 16, 32), EXTEND_ENTRY(name, 16, 64)},                                 \
         {{NULL, {NULL, NULL}}, EXTEND_ENTRY(name, 32, 32), EXTEND_ENTRY(name, 32, 64)}}};
EXTEND_TABLE(zero_extend)
EXTEND_TABLE(sign_extend)

static bool emit_extend(struct emit *e, const struct insn *in, const void *argument)
{
    const struct extend_table *t = argument;
    unsigned from = size_index(in->op[1].bytes), to = size_index(in->op[0].bytes) - 1;
    if (in->mnemonic == ZYDIS_MNEMONIC_MOVSXD && in->op[0].bytes == 2) { /* 66h: a 16-bit move */
        from = 1;
    }
    e->u->d = operand_slot(&in->op[0]);
    if (in->op[1].kind == OPERAND_GPR) {
        e->u->s = operand_slot(&in->op[1]);
        e->u->fn = t->to[from][to].reg;
    } else {
        e->u->fn = pick(&t->to[from][to].mem, emit_memory(e, in));
    }
    return e->u->fn != NULL;
}

/* ---- LEA ---- */

static HANDLER(lea64)
{
    set_reg64(v, u->d, ea_flat(v, u));
    NEXT;
}
static HANDLER(lea32)
{
    set_reg32(v, u->d, (uint32_t)ea_flat(v, u));
    NEXT;
}
static HANDLER(lea_general)
{
    uint64_t a = ea_offset(v, u);
    u->x == 2 ? set_reg16(v, u->d, (uint16_t)a) : u->x == 4 ? set_reg32(v, u->d, (uint32_t)a) : set_reg64(v, u->d, a);
    NEXT;
}

static bool emit_lea(struct emit *e, const struct insn *in, const void *argument)
{
    struct insn plain = *in;
    plain.mem.segment = SEG_DS; /* no segment base enters */
    bool flat = emit_memory(e, &plain);
    e->u->d = operand_slot(&in->op[0]);
    e->u->x = in->op[0].bytes;
    e->u->fn = flat && in->op[0].bytes == 8 ? lea64 : flat && in->op[0].bytes == 4 ? lea32 : lea_general;
    return true;
}

/* ---- XCHG, XADD, CMPXCHG ---- */

#define EXCHANGE(bits, type)                                                                                                   \
    static HANDLER(xchg_rr##bits)                                                                                              \
    {                                                                                                                          \
        type a = reg##bits(v, u->d), b = reg##bits(v, u->s);                                                                   \
        set_reg##bits(v, u->d, b);                                                                                             \
        set_reg##bits(v, u->s, a);                                                                                             \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    static HANDLER(xadd_rr##bits)                                                                                              \
    {                                                                                                                          \
        type a = reg##bits(v, u->d), old = a;                                                                                  \
        v->fl = add##bits(&a, reg##bits(v, u->s), 0);                                                                          \
        set_reg##bits(v, u->s, old);                                                                                           \
        set_reg##bits(v, u->d, a);                                                                                             \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    static HANDLER(cmpxchg_rr##bits)                                                                                           \
    {                                                                                                                          \
        type old = reg##bits(v, u->d), a = reg##bits(v, SLOT_GPR);                                                             \
        bool equal = a == old;                                                                                                 \
        v->fl = sub##bits(&a, old, 0);                                                                                         \
        if (equal) {                                                                                                           \
            set_reg##bits(v, u->d, reg##bits(v, u->s));                                                                        \
        } else {                                                                                                               \
            set_reg##bits(v, SLOT_GPR, old);                                                                                   \
        }                                                                                                                      \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    EXCHANGE_MEMORY(bits, type, , EA_IN_FLAT)                                                                                  \
    EXCHANGE_MEMORY(bits, type, _g, EA_IN_GENERAL)
#define EXCHANGE_MEMORY(bits, type, variant, EA)                                                                               \
    static HANDLER(xchg_mr##bits##variant)                                                                                     \
    {                                                                                                                          \
        unaligned_##type *p = modify##bits(v, u, EA(bits / 8, ACCESS_WRITE));                                                  \
        type old = *p;                                                                                                         \
        *p = reg##bits(v, u->s);                                                                                               \
        set_reg##bits(v, u->s, old);                                                                                           \
        modify_done(v, u, p);                                                                                                  \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    static HANDLER(xadd_mr##bits##variant)                                                                                     \
    {                                                                                                                          \
        unaligned_##type *p = modify##bits(v, u, EA(bits / 8, ACCESS_WRITE));                                                  \
        type old = *p, a = old;                                                                                                \
        v->fl = add##bits(&a, reg##bits(v, u->s), 0);                                                                          \
        *p = a;                                                                                                                \
        set_reg##bits(v, u->s, old);                                                                                           \
        modify_done(v, u, p);                                                                                                  \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    static HANDLER(cmpxchg_mr##bits##variant)                                                                                  \
    {                                                                                                                          \
        unaligned_##type *p = modify##bits(v, u, EA(bits / 8, ACCESS_WRITE));                                                  \
        type old = *p, a = reg##bits(v, SLOT_GPR);                                                                             \
        bool equal = a == old;                                                                                                 \
        v->fl = sub##bits(&a, old, 0);                                                                                         \
        if (equal) {                                                                                                           \
            *p = reg##bits(v, u->s);                                                                                           \
        } else {                                                                                                               \
            set_reg##bits(v, SLOT_GPR, old);                                                                                   \
            *p = old; /* the destination is written in either case (SDM 2A CMPXCHG) */                                         \
        }                                                                                                                      \
        modify_done(v, u, p);                                                                                                  \
        NEXT;                                                                                                                  \
    }
WIDTHS(EXCHANGE)

struct exchange_table {
    uop_fn *rr[4];
    struct handler_pair mr[4];
};
static const struct exchange_table xchg_table = {BY_WIDTH(xchg_rr), PAIRS_BY_WIDTH(xchg_mr)};
static const struct exchange_table xadd_table = {BY_WIDTH(xadd_rr), PAIRS_BY_WIDTH(xadd_mr)};
static const struct exchange_table cmpxchg_table = {BY_WIDTH(cmpxchg_rr), PAIRS_BY_WIDTH(cmpxchg_mr)};

static bool emit_exchange(struct emit *e, const struct insn *in, const void *argument)
{
    const struct exchange_table *t = argument;
    const struct operand *d = &in->op[0], *s = &in->op[1];
    if (d->kind == OPERAND_GPR && s->kind == OPERAND_MEM) { /* XCHG is symmetric */
        const struct operand *swap = d;
        d = s;
        s = swap;
    }
    unsigned n = size_index(d->bytes);
    e->u->s = operand_slot(s);
    if (d->kind == OPERAND_GPR) {
        e->u->d = operand_slot(d);
        e->u->fn = t->rr[n];
    } else {
        e->u->fn = pick(&t->mr[n], emit_memory(e, in));
    }
    return true;
}

/* CMPXCHG8B m64 and CMPXCHG16B m128: the only operation that must read and write 16 bytes at once. */
static HANDLER(cmpxchg8b)
{
    uint64_t a = ea_general(v, u, 8, ACCESS_WRITE);
    unaligned_uint64_t *p = modify64(v, u, a);
    uint64_t old = *p, expected = (uint64_t)reg32(v, slot_gpr(RDX)) << 32 | reg32(v, slot_gpr(RAX));
    if (old == expected) {
        *p = (uint64_t)reg32(v, slot_gpr(RCX)) << 32 | reg32(v, slot_gpr(RBX));
        v->fl |= FL_ZF;
    } else {
        *p = old;
        set_reg32(v, slot_gpr(RAX), (uint32_t)old);
        set_reg32(v, slot_gpr(RDX), (uint32_t)(old >> 32));
        v->fl &= (uint16_t)~FL_ZF;
    }
    modify_done(v, u, p);
    NEXT;
}

static HANDLER(cmpxchg16b)
{
    uint64_t a = ea_general(v, u, 16, ACCESS_WRITE);
    if (a & 15) {
        vp_gp0(v);
    }
    unaligned_uint64_t *p = modify_slow(v, u, a, 16);
    uint64_t low = p[0], high = p[1];
    if (low == v->s.gpr[RAX] && high == v->s.gpr[RDX]) {
        p[0] = v->s.gpr[RBX];
        p[1] = v->s.gpr[RCX];
        v->fl |= FL_ZF;
    } else {
        p[0] = low;
        v->s.gpr[RAX] = low;
        v->s.gpr[RDX] = high;
        v->fl &= (uint16_t)~FL_ZF;
    }
    modify_done(v, u, p);
    NEXT;
}

static bool emit_memory_only(struct emit *e, const struct insn *in, const void *argument)
{
    emit_memory(e, in);
    e->u->fn = *(uop_fn *const *)argument;
    return in->has_mem;
}
#define PLAIN(handler) static uop_fn *const handler##_fn = handler;
PLAIN(cmpxchg8b)
PLAIN(cmpxchg16b)

/* ---- CMOVcc, SETcc ---- */

#define CMOV(cc)                                                                                                               \
    static HANDLER(cmov_##cc)                                                                                                  \
    {                                                                                                                          \
        bool yes = condition_holds(v->fl, cc);                                                                                 \
        if (u->x == 8) {                                                                                                       \
            if (yes) {                                                                                                         \
                set_reg64(v, u->d, reg64(v, u->s));                                                                            \
            }                                                                                                                  \
        } else if (u->x == 4) {                                                                                                \
            set_reg32(v, u->d, yes ? reg32(v, u->s) : reg32(v, u->d)); /* the upper half is cleared either way */              \
        } else if (yes) {                                                                                                      \
            set_reg16(v, u->d, reg16(v, u->s));                                                                                \
        }                                                                                                                      \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    static HANDLER(setcc_##cc)                                                                                                 \
    {                                                                                                                          \
        set_reg8(v, u->d, condition_holds(v->fl, cc));                                                                         \
        NEXT;                                                                                                                  \
    }
CONDITIONS(CMOV)
#define CMOV_NAME(cc) cmov_##cc,
#define SETCC_NAME(cc) setcc_##cc,
static uop_fn *const cmov_rr[16] = {CONDITIONS(CMOV_NAME)};
static uop_fn *const setcc_r[16] = {CONDITIONS(SETCC_NAME)};

/* The memory operand is read, and may fault, whether or not the condition holds. */
static HANDLER(cmov_memory)
{
    uint64_t a = ea_general(v, u, u->x & 15, ACCESS_READ);
    bool yes = condition_holds(v->fl, u->s);
    if (u->x == 8) {
        uint64_t b = load64(v, u, a);
        set_reg64(v, u->d, yes ? b : reg64(v, u->d));
    } else if (u->x == 4) {
        uint32_t b = load32(v, u, a);
        set_reg32(v, u->d, yes ? b : reg32(v, u->d));
    } else {
        uint16_t b = load16(v, u, a);
        set_reg16(v, u->d, yes ? b : reg16(v, u->d));
    }
    NEXT;
}
static HANDLER(setcc_memory)
{
    store8(v, u, ea_general(v, u, 1, ACCESS_WRITE), condition_holds(v->fl, u->s));
    NEXT;
}

static bool emit_cmov(struct emit *e, const struct insn *in, const void *argument)
{
    int cc = condition_of_cmovcc(in->mnemonic);
    e->u->d = operand_slot(&in->op[0]);
    e->u->x = in->op[0].bytes;
    if (in->op[1].kind == OPERAND_GPR) {
        e->u->s = operand_slot(&in->op[1]);
        e->u->fn = cmov_rr[cc];
    } else {
        emit_memory(e, in);
        e->u->s = (uint8_t)cc;
        e->u->fn = cmov_memory;
    }
    return true;
}

static bool emit_setcc(struct emit *e, const struct insn *in, const void *argument)
{
    int cc = condition_of_setcc(in->mnemonic);
    if (in->op[0].kind == OPERAND_GPR) {
        e->u->d = operand_slot(&in->op[0]);
        e->u->fn = setcc_r[cc];
    } else {
        emit_memory(e, in);
        e->u->s = (uint8_t)cc;
        e->u->fn = setcc_memory;
    }
    return true;
}

/* ---- XLAT, BSWAP, CBW family ---- */

static HANDLER(xlat)
{
    v->current = u;
    uint64_t mask = u->x == 8 ? ~0ULL : u->x == 4 ? 0xffffffffULL : 0xffffULL;
    uint64_t offset = (v->s.gpr[RBX] + reg8(v, slot_gpr(RAX))) & mask;
    set_reg8(v, slot_gpr(RAX), (uint8_t)vp_load(v, segment_linear(v, u->s, offset, 1, ACCESS_READ), 1));
    NEXT;
}
static bool emit_xlat(struct emit *e, const struct insn *in, const void *argument)
{
    e->u->x = in->address_bytes;
    e->u->s = in->mem.segment;
    e->u->fn = xlat;
    return true;
}

static HANDLER(bswap32)
{
    set_reg32(v, u->d, __builtin_bswap32(reg32(v, u->d)));
    NEXT;
}
static HANDLER(bswap64)
{
    set_reg64(v, u->d, __builtin_bswap64(reg64(v, u->d)));
    NEXT;
}
static HANDLER(bswap16) /* undefined (SDM 2A BSWAP); both vendors' processors leave zeros */
{
    set_reg16(v, u->d, 0);
    NEXT;
}
static bool emit_bswap(struct emit *e, const struct insn *in, const void *argument)
{
    e->u->d = operand_slot(&in->op[0]);
    e->u->fn = in->op[0].bytes == 8 ? bswap64 : in->op[0].bytes == 4 ? bswap32 : bswap16;
    return true;
}

#define ACCUMULATOR(name, body)                                                                                                \
    static HANDLER(name)                                                                                                       \
    {                                                                                                                          \
        body;                                                                                                                  \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    PLAIN(name)
ACCUMULATOR(cbw, set_reg16(v, slot_gpr(RAX), (uint16_t)(int8_t)reg8(v, slot_gpr(RAX))))
ACCUMULATOR(cwde, set_reg32(v, slot_gpr(RAX), (uint32_t)(int16_t)reg16(v, slot_gpr(RAX))))
ACCUMULATOR(cdqe, set_reg64(v, slot_gpr(RAX), (uint64_t)(int32_t)reg32(v, slot_gpr(RAX))))
ACCUMULATOR(cwd, set_reg16(v, slot_gpr(RDX), (int16_t)reg16(v, slot_gpr(RAX)) < 0 ? 0xffff : 0))
ACCUMULATOR(cdq, set_reg32(v, slot_gpr(RDX), (int32_t)reg32(v, slot_gpr(RAX)) < 0 ? 0xffffffff : 0))
ACCUMULATOR(cqo, set_reg64(v, slot_gpr(RDX), (int64_t)reg64(v, slot_gpr(RAX)) < 0 ? ~0ULL : 0))

#define SETCC_ROW(cc)                                                                                                          \
    {                                                                                                                          \
        ZYDIS_MNEMONIC_SET##cc, COST_SIMPLE, 0, emit_setcc, NULL                                                               \
    }
#define CMOV_ROW(cc)                                                                                                           \
    {                                                                                                                          \
        ZYDIS_MNEMONIC_CMOV##cc, COST_SIMPLE, 0, emit_cmov, NULL                                                               \
    }

const struct insn_row move_rows[] = {
    {ZYDIS_MNEMONIC_MOV, COST_LOAD_STORE, 0, emit_mov, NULL},
    {ZYDIS_MNEMONIC_MOVZX, COST_SIMPLE, 0, emit_extend, &zero_extend_table},
    {ZYDIS_MNEMONIC_MOVSX, COST_SIMPLE, 0, emit_extend, &sign_extend_table},
    {ZYDIS_MNEMONIC_MOVSXD, COST_SIMPLE, 0, emit_extend, &sign_extend_table},
    {ZYDIS_MNEMONIC_LEA, COST_SIMPLE, 0, emit_lea, NULL},
    {ZYDIS_MNEMONIC_XCHG, COST_LOAD_STORE, 0, emit_exchange, &xchg_table},
    {ZYDIS_MNEMONIC_XADD, COST_LOAD_STORE, 0, emit_exchange, &xadd_table},
    {ZYDIS_MNEMONIC_CMPXCHG, COST_LOAD_STORE, 0, emit_exchange, &cmpxchg_table},
    {ZYDIS_MNEMONIC_CMPXCHG8B, COST_LOAD_STORE, 0, emit_memory_only, &cmpxchg8b_fn},
    {ZYDIS_MNEMONIC_CMPXCHG16B, COST_LOAD_STORE, 0, emit_memory_only, &cmpxchg16b_fn},
    {ZYDIS_MNEMONIC_XLAT, COST_LOAD_STORE, 0, emit_xlat, NULL},
    {ZYDIS_MNEMONIC_BSWAP, COST_SIMPLE, 0, emit_bswap, NULL},
    {ZYDIS_MNEMONIC_CBW, COST_SIMPLE, 0, emit_plain, &cbw_fn},
    {ZYDIS_MNEMONIC_CWDE, COST_SIMPLE, 0, emit_plain, &cwde_fn},
    {ZYDIS_MNEMONIC_CDQE, COST_SIMPLE, 0, emit_plain, &cdqe_fn},
    {ZYDIS_MNEMONIC_CWD, COST_SIMPLE, 0, emit_plain, &cwd_fn},
    {ZYDIS_MNEMONIC_CDQ, COST_SIMPLE, 0, emit_plain, &cdq_fn},
    {ZYDIS_MNEMONIC_CQO, COST_SIMPLE, 0, emit_plain, &cqo_fn},
    SETCC_ROW(O),
    SETCC_ROW(NO),
    SETCC_ROW(B),
    SETCC_ROW(NB),
    SETCC_ROW(Z),
    SETCC_ROW(NZ),
    SETCC_ROW(BE),
    SETCC_ROW(NBE),
    SETCC_ROW(S),
    SETCC_ROW(NS),
    SETCC_ROW(P),
    SETCC_ROW(NP),
    SETCC_ROW(L),
    SETCC_ROW(NL),
    SETCC_ROW(LE),
    SETCC_ROW(NLE),
    CMOV_ROW(O),
    CMOV_ROW(NO),
    CMOV_ROW(B),
    CMOV_ROW(NB),
    CMOV_ROW(Z),
    CMOV_ROW(NZ),
    CMOV_ROW(BE),
    CMOV_ROW(NBE),
    CMOV_ROW(S),
    CMOV_ROW(NS),
    CMOV_ROW(P),
    CMOV_ROW(NP),
    CMOV_ROW(L),
    CMOV_ROW(NL),
    CMOV_ROW(LE),
    CMOV_ROW(NLE),
};
const size_t move_row_count = ARRAY_COUNT(move_rows);
