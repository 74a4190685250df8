/* Near branches: JMP, Jcc, CALL, RET, LOOP, JRCXZ. SDM 2. Conditional jumps are built by the decoder (control.h).
 *
 * In 64-bit mode a direct jump within the page is linked to its target block; others go through the jump cache. In the other
 * modes every jump that is not within the block comes back to the run loop, which checks the code segment's limit.
 */
#include "cpu/exec/control.h"

#include <Zydis/Zydis.h>

#include "cpu/access.h"
#include "cpu/block.h"
#include "cpu/exec/arith.h"
#include "cpu/exec/stack.h"

/* ---- conditions by mnemonic, in tttn order ---- */

static int position(uint16_t mnemonic, const uint16_t *list)
{
    for (int i = 0; i < 16; i++) {
        if (list[i] == mnemonic) {
            return i;
        }
    }
    return -1;
}
#define IN_ORDER(p)                                                                                                            \
    {                                                                                                                          \
        p##O, p##NO, p##B, p##NB, p##Z, p##NZ, p##BE, p##NBE, p##S, p##NS, p##P, p##NP, p##L, p##NL, p##LE, p##NLE             \
    }

int condition_of_jcc(uint16_t mnemonic)
{
    static const uint16_t list[16] = IN_ORDER(ZYDIS_MNEMONIC_J);
    return position(mnemonic, list);
}
int condition_of_setcc(uint16_t mnemonic)
{
    static const uint16_t list[16] = IN_ORDER(ZYDIS_MNEMONIC_SET);
    return position(mnemonic, list);
}
int condition_of_cmovcc(uint16_t mnemonic)
{
    static const uint16_t list[16] = IN_ORDER(ZYDIS_MNEMONIC_CMOV);
    return position(mnemonic, list);
}

int control_condition(const struct insn *in)
{
    /* 70-7F and 0F 80-8F; a 16-bit operand size would cut the instruction pointer. */
    bool jcc = (in->opcode_map == 0 && (in->opcode & 0xf0) == 0x70) || (in->opcode_map == 1 && (in->opcode & 0xf0) == 0x80);
    if (!jcc || in->operands != 1 || in->op[0].kind != OPERAND_IMM || (in->operand_bytes == 2) != (in->mode == CODE_16)) {
        return -1;
    }
    return in->opcode & 15;
}

/* ---- Jcc, and comparison + Jcc ---- */

/* The jump is taken: what the rest of the block was charged comes back, and the exit's target is charged, in one go. */
#define TAKE_EXIT(v, u)                                                                                                        \
    do {                                                                                                                       \
        const struct uop *exit_ = (u) + (u)->x;                                                                                \
        struct block *to_ = exit_->link;                                                                                       \
        if (UNLIKELY(to_ == NULL)) {                                                                                           \
            TAIL_CALL exit_unlinked(v, exit_);                                                                                 \
        }                                                                                                                      \
        (v)->budget += (int64_t)exit_->cost_before - (int64_t)to_->cost;                                                       \
        if (UNLIKELY((v)->budget < 0)) {                                                                                       \
            (v)->instructions -= exit_->before;                                                                                \
            block_refused(v, to_);                                                                                             \
            LEAVE;                                                                                                             \
        }                                                                                                                      \
        (v)->instructions += (uint64_t)to_->insns - exit_->before;                                                             \
        CONTINUE_AT(v, to_->u);                                                                                                \
    } while (0)

static COLD HANDLER(exit_unlinked)
{
    v->budget += u->cost_before;
    v->instructions -= u->before;
    TAIL_CALL goto_unlinked(v, u);
}

#define JCC(cc)                                                                                                                \
    static HANDLER(jcc_##cc)                                                                                                   \
    {                                                                                                                          \
        if (condition_holds(v->fl, cc)) {                                                                                      \
            TAKE_EXIT(v, u);                                                                                                   \
        }                                                                                                                      \
        NEXT;                                                                                                                  \
    }
CONDITIONS(JCC)
#define JCC_NAME(cc) jcc_##cc,
static uop_fn *const jcc[16] = {CONDITIONS(JCC_NAME)};

uop_fn *control_jcc(unsigned condition)
{
    return jcc[condition];
}

#define FUSED(name, operation, operand_b, bits, type, cc)                                                                      \
    static HANDLER(name##bits##_##cc)                                                                                          \
    {                                                                                                                          \
        type a = reg##bits(v, u->d);                                                                                           \
        uint16_t fl = operation##bits(&a, operand_b, 0);                                                                       \
        v->fl = fl;                                                                                                            \
        if (condition_holds(fl, cc)) {                                                                                         \
            TAKE_EXIT(v, u);                                                                                                   \
        }                                                                                                                      \
        NEXT;                                                                                                                  \
    }
#define FUSED_CC(cc)                                                                                                           \
    FUSED(cmp_rr_j, sub, reg32(v, u->s), 32, uint32_t, cc)                                                                     \
    FUSED(cmp_ri_j, sub, (uint32_t)u->imm, 32, uint32_t, cc)                                                                   \
    FUSED(test_rr_j, and, reg32(v, u->s), 32, uint32_t, cc)                                                                    \
    FUSED(test_ri_j, and, (uint32_t)u->imm, 32, uint32_t, cc)                                                                  \
    FUSED(cmp_rr_j, sub, reg64(v, u->s), 64, uint64_t, cc)                                                                     \
    FUSED(cmp_ri_j, sub, u->imm, 64, uint64_t, cc)                                                                             \
    FUSED(test_rr_j, and, reg64(v, u->s), 64, uint64_t, cc)                                                                    \
    FUSED(test_ri_j, and, u->imm, 64, uint64_t, cc)                                                                            \
    FUSED(cmp_rr_j, sub, reg8(v, u->s), 8, uint8_t, cc)                                                                        \
    FUSED(cmp_ri_j, sub, (uint8_t)u->imm, 8, uint8_t, cc)                                                                      \
    FUSED(test_rr_j, and, reg8(v, u->s), 8, uint8_t, cc)                                                                       \
    FUSED(test_ri_j, and, (uint8_t)u->imm, 8, uint8_t, cc)
CONDITIONS(FUSED_CC)

#define FUSED_8(cc) {{cmp_rr_j8_##cc, cmp_ri_j8_##cc}, {test_rr_j8_##cc, test_ri_j8_##cc}},
#define FUSED_32(cc) {{cmp_rr_j32_##cc, cmp_ri_j32_##cc}, {test_rr_j32_##cc, test_ri_j32_##cc}},
#define FUSED_64(cc) {{cmp_rr_j64_##cc, cmp_ri_j64_##cc}, {test_rr_j64_##cc, test_ri_j64_##cc}},
static uop_fn *const fused[3][16][2][2] = {{CONDITIONS(FUSED_8)}, {CONDITIONS(FUSED_32)}, {CONDITIONS(FUSED_64)}};

uop_fn *control_fused(const struct insn *c, unsigned condition)
{
    bool test = c->mnemonic == ZYDIS_MNEMONIC_TEST;
    if ((!test && c->mnemonic != ZYDIS_MNEMONIC_CMP) || c->op[0].kind != OPERAND_GPR || c->op[0].bytes == 2) {
        return NULL;
    }
    if (c->op[1].kind != OPERAND_GPR && c->op[1].kind != OPERAND_IMM) {
        return NULL;
    }
    return fused[c->op[0].bytes == 1 ? 0 : c->op[0].bytes == 4 ? 1 : 2][condition][test][c->op[1].kind == OPERAND_IMM];
}

/* ---- JMP, CALL, RET in 64-bit mode ---- */

static _Noreturn COLD void not_canonical(struct vcpu *v, const struct uop *u)
{
    v->current = u;
    vp_gp0(v);
}
#define CHECK_CANONICAL(v, u, rip)                                                                                             \
    do {                                                                                                                       \
        if (UNLIKELY((uint64_t)((int64_t)((rip) << 16) >> 16) != (rip)) && !canonical(v, rip)) {                               \
            not_canonical(v, u);                                                                                               \
        }                                                                                                                      \
    } while (0)

static HANDLER(jmp_direct64)
{
    GOTO_DIRECT(v, u);
}
static HANDLER(jmp_r64)
{
    uint64_t rip = reg64(v, u->s);
    CHECK_CANONICAL(v, u, rip);
    GOTO_RIP64(v, rip);
}
static HANDLER(jmp_m64)
{
    uint64_t rip = load64(v, u, ea_flat(v, u));
    CHECK_CANONICAL(v, u, rip);
    GOTO_RIP64(v, rip);
}
static HANDLER(jmp_m64_g)
{
    uint64_t rip = load64(v, u, ea_general(v, u, 8, ACCESS_READ));
    CHECK_CANONICAL(v, u, rip);
    GOTO_RIP64(v, rip);
}
static HANDLER(call_direct64)
{
    uint64_t sp = v->s.gpr[RSP] - 8;
    store64(v, u, sp, uop_next_linear(v, u));
    v->s.gpr[RSP] = sp;
    GOTO_DIRECT(v, u);
}
static HANDLER(call_r64)
{
    uint64_t rip = reg64(v, u->s), sp = v->s.gpr[RSP] - 8;
    CHECK_CANONICAL(v, u, rip);
    store64(v, u, sp, uop_next_linear(v, u));
    v->s.gpr[RSP] = sp;
    GOTO_RIP64(v, rip);
}
static HANDLER(call_m64)
{
    uint64_t rip = load64(v, u, ea_flat(v, u)), sp = v->s.gpr[RSP] - 8;
    CHECK_CANONICAL(v, u, rip);
    store64(v, u, sp, uop_next_linear(v, u));
    v->s.gpr[RSP] = sp;
    GOTO_RIP64(v, rip);
}
static HANDLER(call_m64_g)
{
    uint64_t rip = load64(v, u, ea_general(v, u, 8, ACCESS_READ)), sp = v->s.gpr[RSP] - 8;
    CHECK_CANONICAL(v, u, rip);
    store64(v, u, sp, uop_next_linear(v, u));
    v->s.gpr[RSP] = sp;
    GOTO_RIP64(v, rip);
}
static HANDLER(ret64)
{
    uint64_t rip = load64(v, u, v->s.gpr[RSP]);
    CHECK_CANONICAL(v, u, rip);
    v->s.gpr[RSP] += 8 + u->imm;
    GOTO_RIP64(v, rip);
}

/* ---- every other mode and size: u->x operand bytes, which cut the instruction pointer ---- */

/* SDM 2 JMP, CALL, RET: a target beyond the code segment's limit (or not canonical) faults before anything changes. */
static uint64_t check_target(struct vcpu *v, uint64_t rip, unsigned bytes)
{
    if (bytes == 2) {
        rip &= 0xffff;
    } else if (bytes == 4) {
        rip &= 0xffffffff;
    }
    if (v->mode == CODE_64 ? !canonical(v, rip) : rip > v->s.seg[SEG_CS].limit) {
        vp_gp0(v);
    }
    return rip;
}

static HANDLER(jmp_relative)
{
    vp_begin_system(v, u);
    LEAVE_AT(v, check_target(v, uop_next_rip(v, u) + u->imm, u->x));
}
static HANDLER(jmp_register)
{
    vp_begin_system(v, u);
    LEAVE_AT(v, check_target(v, reg64(v, u->s), u->x));
}
static HANDLER(jmp_memory)
{
    vp_begin_system(v, u);
    LEAVE_AT(v, check_target(v, load_sized(v, u, ea_general(v, u, u->x, ACCESS_READ), u->x), u->x));
}
static HANDLER(call_relative)
{
    vp_begin_system(v, u);
    uint64_t next = uop_next_rip(v, u), rip = check_target(v, next + u->imm, u->x);
    stack_push(v, next, u->x);
    LEAVE_AT(v, rip);
}
static HANDLER(call_register)
{
    vp_begin_system(v, u);
    uint64_t rip = check_target(v, reg64(v, u->s), u->x);
    stack_push(v, uop_next_rip(v, u), u->x);
    LEAVE_AT(v, rip);
}
static HANDLER(call_memory)
{
    vp_begin_system(v, u);
    uint64_t rip = check_target(v, load_sized(v, u, ea_general(v, u, u->x, ACCESS_READ), u->x), u->x);
    stack_push(v, uop_next_rip(v, u), u->x);
    LEAVE_AT(v, rip);
}
static HANDLER(ret_any)
{
    vp_begin_system(v, u);
    uint64_t rip = check_target(v, stack_peek(v, 0, u->x), u->x);
    stack_release(v, u->x + u->imm);
    LEAVE_AT(v, rip);
}

/* A jump that the decoder could not build: 16-bit operand size in 32-bit or 64-bit code (or the reverse). */
static HANDLER(jcc_any)
{
    vp_begin_system(v, u);
    uint64_t next = uop_next_rip(v, u);
    if (condition_holds(v->fl, u->s)) {
        LEAVE_AT(v, check_target(v, next + u->imm, u->x));
    }
    LEAVE_AT(v, next);
}

/* LOOP, LOOPE, LOOPNE, JCXZ...: u->s 0-3 as opcodes E0-E3; u->d address bytes of the counter. */
static HANDLER(loop_any)
{
    vp_begin_system(v, u);
    uint64_t next = uop_next_rip(v, u), mask = u->d == 8 ? ~0ULL : u->d == 4 ? 0xffffffffULL : 0xffffULL;
    uint64_t count = v->s.gpr[RCX] & mask;
    bool jump;
    if (u->s == 3) {
        jump = count == 0;
    } else {
        count = (count - 1) & mask;
        bool zf = v->fl & FL_ZF;
        jump = count != 0 && (u->s == 2 || zf == (u->s == 1));
    }
    uint64_t rip = jump ? check_target(v, next + u->imm, u->x) : next;
    if (u->s != 3) {
        u->d == 8   ? set_reg64(v, slot_gpr(RCX), count)
        : u->d == 4 ? set_reg32(v, slot_gpr(RCX), (uint32_t)count)
                    : set_reg16(v, slot_gpr(RCX), (uint16_t)count);
    }
    LEAVE_AT(v, rip);
}
/* LOOP and JRCXZ in 64-bit code, as a direct jump. */
static HANDLER(loop64)
{
    if (--v->s.gpr[RCX] != 0) {
        GOTO_DIRECT(v, u);
    }
    LEAVE_NEXT;
}

/* ---- emit ---- */

static bool direct(struct emit *e, const struct insn *in)
{
    int64_t target = (int64_t)e->u->offset + in->length + (int64_t)in->imm;
    if (in->mode != CODE_64 || in->operand_bytes != 8 || target != (int32_t)target) {
        return false;
    }
    e->u->link = NULL;
    e->u->disp = (int32_t)target;
    return true;
}

static bool emit_jmp_call(struct emit *e, const struct insn *in, const void *argument)
{
    struct uop *u = e->u;
    const struct operand *o = &in->op[0];
    bool call = in->mnemonic == ZYDIS_MNEMONIC_CALL, wide = in->mode == CODE_64 && in->operand_bytes == 8;
    if (o->kind == OPERAND_FAR || (o->kind == OPERAND_MEM && o->bytes != in->operand_bytes)) {
        return false; /* far: the system family's */
    }
    u->x = in->operand_bytes;
    u->ea = SEG_SS << EA_SEGMENT_SHIFT;
    if (o->kind == OPERAND_IMM) {
        u->imm = in->imm;
        u->fn = call ? call_relative : jmp_relative;
        if (direct(e, in)) {
            u->fn = call ? call_direct64 : jmp_direct64;
        }
    } else if (o->kind == OPERAND_GPR) {
        u->s = operand_slot(o);
        u->fn = wide ? (call ? call_r64 : jmp_r64) : (call ? call_register : jmp_register);
    } else {
        bool flat = emit_memory(e, in);
        u->fn = !wide  ? (call ? call_memory : jmp_memory)
                : flat ? (call ? call_m64 : jmp_m64)
                       : (call ? call_m64_g : jmp_m64_g);
    }
    return true;
}

static bool emit_ret(struct emit *e, const struct insn *in, const void *argument)
{
    if (in->opcode != 0xc2 && in->opcode != 0xc3) {
        return false; /* far */
    }
    e->u->x = in->operand_bytes;
    e->u->imm = in->operands != 0 ? in->imm & 0xffff : 0;
    e->u->ea = SEG_SS << EA_SEGMENT_SHIFT;
    e->u->fn = in->mode == CODE_64 && in->operand_bytes == 8 ? ret64 : ret_any;
    return true;
}

static bool emit_jcc(struct emit *e, const struct insn *in, const void *argument)
{
    e->u->imm = in->imm;
    e->u->x = in->operand_bytes;
    e->u->s = in->opcode & 15;
    e->u->fn = jcc_any;
    return true;
}

static bool emit_loop(struct emit *e, const struct insn *in, const void *argument)
{
    e->u->s = in->opcode & 3;
    e->u->d = in->address_bytes;
    e->u->x = in->operand_bytes;
    e->u->imm = in->imm;
    e->u->fn = loop_any;
    if (in->opcode == 0xe2 && in->address_bytes == 8 && direct(e, in)) {
        e->u->fn = loop64;
    }
    return true;
}

#define JCC_ROW(cc)                                                                                                            \
    {                                                                                                                          \
        ZYDIS_MNEMONIC_J##cc, COST_BRANCH, INSN_ENDS_BLOCK, emit_jcc, NULL                                                     \
    }
const struct insn_row control_rows[] = {
    {ZYDIS_MNEMONIC_JMP, COST_BRANCH, INSN_ENDS_BLOCK, emit_jmp_call, NULL},
    {ZYDIS_MNEMONIC_CALL, COST_BRANCH, INSN_ENDS_BLOCK, emit_jmp_call, NULL},
    {ZYDIS_MNEMONIC_RET, COST_BRANCH, INSN_ENDS_BLOCK, emit_ret, NULL},
    {ZYDIS_MNEMONIC_LOOP, COST_BRANCH, INSN_ENDS_BLOCK, emit_loop, NULL},
    {ZYDIS_MNEMONIC_LOOPE, COST_BRANCH, INSN_ENDS_BLOCK, emit_loop, NULL},
    {ZYDIS_MNEMONIC_LOOPNE, COST_BRANCH, INSN_ENDS_BLOCK, emit_loop, NULL},
    {ZYDIS_MNEMONIC_JCXZ, COST_BRANCH, INSN_ENDS_BLOCK, emit_loop, NULL},
    {ZYDIS_MNEMONIC_JECXZ, COST_BRANCH, INSN_ENDS_BLOCK, emit_loop, NULL},
    {ZYDIS_MNEMONIC_JRCXZ, COST_BRANCH, INSN_ENDS_BLOCK, emit_loop, NULL},
    JCC_ROW(O),
    JCC_ROW(NO),
    JCC_ROW(B),
    JCC_ROW(NB),
    JCC_ROW(Z),
    JCC_ROW(NZ),
    JCC_ROW(BE),
    JCC_ROW(NBE),
    JCC_ROW(S),
    JCC_ROW(NS),
    JCC_ROW(P),
    JCC_ROW(NP),
    JCC_ROW(L),
    JCC_ROW(NL),
    JCC_ROW(LE),
    JCC_ROW(NLE),
};
const size_t control_row_count = ARRAY_COUNT(control_rows);
