/* The stack: PUSH, POP, PUSHA, POPA, ENTER, LEAVE. SDM 2. Segment registers are the segments family's (segments.c).
 *
 * RSP changes last: a fault, or a restart to run alone, must find it as it was.
 */
#include "cpu/exec/stack.h"

#include <Zydis/Zydis.h>

#include "cpu/access.h"
#include "cpu/exec/arith.h"

static HANDLER(push_r64)
{
    uint64_t x = reg64(v, u->s), sp = v->s.gpr[RSP] - 8;
    store64(v, u, sp, x);
    v->s.gpr[RSP] = sp;
    NEXT;
}
static HANDLER(push_i64)
{
    uint64_t sp = v->s.gpr[RSP] - 8;
    store64(v, u, sp, u->imm);
    v->s.gpr[RSP] = sp;
    NEXT;
}
static HANDLER(push_m64)
{
    uint64_t x = load64(v, u, ea_flat(v, u)), sp = v->s.gpr[RSP] - 8;
    store64(v, u, sp, x);
    v->s.gpr[RSP] = sp;
    NEXT;
}
static HANDLER(pop_r64)
{
    uint64_t x = load64(v, u, v->s.gpr[RSP]);
    v->s.gpr[RSP] += 8;
    set_reg64(v, u->d, x); /* POP RSP keeps what was popped */
    NEXT;
}

/* All other sizes and modes. u->x: operand bytes. */
static uint64_t register_of(const struct vcpu *v, uint8_t slot, unsigned bytes)
{
    return bytes == 2 ? reg16(v, slot) : bytes == 4 ? reg32(v, slot) : reg64(v, slot);
}
static void set_register(struct vcpu *v, uint8_t slot, unsigned bytes, uint64_t x)
{
    bytes == 2 ? set_reg16(v, slot, (uint16_t)x) : bytes == 4 ? set_reg32(v, slot, (uint32_t)x) : set_reg64(v, slot, x);
}
static HANDLER(push_r)
{
    v->current = u;
    stack_push(v, register_of(v, u->s, u->x), u->x);
    NEXT;
}
static HANDLER(push_i)
{
    v->current = u;
    stack_push(v, u->imm, u->x);
    NEXT;
}
static HANDLER(push_m)
{
    uint64_t x = load_sized(v, u, ea_general(v, u, u->x, ACCESS_READ), u->x);
    stack_push(v, x, u->x);
    NEXT;
}
static HANDLER(pop_r)
{
    v->current = u;
    uint64_t x = stack_peek(v, 0, u->x);
    stack_release(v, u->x);
    set_register(v, u->d, u->x, x);
    NEXT;
}
static HANDLER(pop_m)
{
    v->current = u;
    uint64_t x = stack_peek(v, 0, u->x);
    store_sized(v, u, ea_general(v, u, u->x, ACCESS_WRITE), u->x, x);
    stack_release(v, u->x);
    NEXT;
}

static bool emit_push(struct emit *e, const struct insn *in, const void *argument)
{
    struct uop *u = e->u;
    if (in->op[0].kind == OPERAND_SEG) {
        return false; /* the system family's */
    }
    u->x = in->operand_bytes;
    u->imm = in->imm;
    bool fast = in->mode == CODE_64 && in->operand_bytes == 8;
    if (in->op[0].kind == OPERAND_GPR) {
        u->s = operand_slot(&in->op[0]);
        u->fn = fast ? push_r64 : push_r;
        u->ea = SEG_SS << EA_SEGMENT_SHIFT;
    } else if (in->op[0].kind == OPERAND_IMM) {
        u->fn = fast ? push_i64 : push_i;
        u->ea = SEG_SS << EA_SEGMENT_SHIFT;
    } else {
        u->fn = emit_memory(e, in) && fast ? push_m64 : push_m;
    }
    return true;
}

static bool emit_pop(struct emit *e, const struct insn *in, const void *argument)
{
    struct uop *u = e->u;
    if (in->op[0].kind == OPERAND_SEG) {
        return false; /* the system family's */
    }
    u->x = in->operand_bytes;
    if (in->op[0].kind == OPERAND_GPR) {
        u->d = operand_slot(&in->op[0]);
        u->fn = in->mode == CODE_64 && in->operand_bytes == 8 ? pop_r64 : pop_r;
        u->ea = SEG_SS << EA_SEGMENT_SHIFT;
    } else {
        struct insn moved = *in;
        if (in->mem.base == RSP) {
            moved.mem.disp += in->operand_bytes; /* the address is computed with RSP already incremented (SDM 2B POP) */
        }
        emit_memory(e, &moved);
        u->fn = pop_m;
    }
    return true;
}

static HANDLER(leave64)
{
    uint64_t x = load64(v, u, v->s.gpr[RBP]);
    v->s.gpr[RSP] = v->s.gpr[RBP] + 8;
    v->s.gpr[RBP] = x;
    NEXT;
}
static HANDLER(leave_any)
{
    v->current = u;
    uint64_t mask = stack_mask(v), bp = v->s.gpr[RBP] & mask;
    uint64_t x = vp_load(v, segment_linear(v, SEG_SS, bp, u->x, ACCESS_READ), u->x);
    v->s.gpr[RSP] = (v->s.gpr[RSP] & ~mask) | ((bp + u->x) & mask);
    set_register(v, slot_gpr(RBP), u->x, x);
    NEXT;
}
static bool emit_leave(struct emit *e, const struct insn *in, const void *argument)
{
    e->u->x = in->operand_bytes;
    e->u->ea = SEG_SS << EA_SEGMENT_SHIFT;
    e->u->fn = in->mode == CODE_64 && in->operand_bytes == 8 ? leave64 : leave_any;
    return true;
}

/* SDM 2A ENTER: everything that will be read or written is probed before anything changes. The outer frames' pointers may lie
 * where this instruction itself has just pushed: so they are read one by one between the pushes. */
static HANDLER(enter_any)
{
    v->current = u;
    unsigned bytes = u->x, level = u->s & 31;
    uint64_t mask = stack_mask(v), sp = v->s.gpr[RSP], bp = v->s.gpr[RBP], at = (sp - bytes) & mask;
    uint64_t frame_pointer = (sp & ~mask) | at; /* all of ESP, even where only SP counts */
    for (unsigned i = 1; i < level; i++) {
        vp_load(v, segment_linear(v, SEG_SS, (bp - bytes * i) & mask, bytes, ACCESS_READ), bytes);
    }
    for (unsigned i = 0; i <= level; i++) {
        vp_probe_write(v, segment_linear(v, SEG_SS, (sp - bytes * (i + 1u)) & mask, bytes, ACCESS_WRITE), bytes);
    }
    uint64_t end = (sp - bytes * (level + 1u) - (uint16_t)u->imm) & mask;
    vp_probe_write(v, segment_linear(v, SEG_SS, end, bytes, ACCESS_WRITE), 1);
    vp_store(v, segment_linear(v, SEG_SS, at, bytes, ACCESS_WRITE), bytes, bp);
    for (unsigned i = 1; i <= level; i++) {
        uint64_t outer = i == level ? frame_pointer
                                    : vp_load(v, segment_linear(v, SEG_SS, (bp - bytes * i) & mask, bytes, ACCESS_READ), bytes);
        at = (at - bytes) & mask;
        vp_store(v, segment_linear(v, SEG_SS, at, bytes, ACCESS_WRITE), bytes, outer);
    }
    set_register(v, slot_gpr(RBP), bytes, frame_pointer);
    v->s.gpr[RSP] = (sp & ~mask) | end;
    NEXT;
}
static bool emit_enter(struct emit *e, const struct insn *in, const void *argument)
{
    e->u->x = in->operand_bytes;
    e->u->imm = in->imm & 0xffff;
    e->u->s = (uint8_t)in->imm2;
    e->u->fn = enter_any;
    return true;
}

static HANDLER(pusha)
{
    v->current = u;
    uint64_t sp = v->s.gpr[RSP];
    for (unsigned i = 0; i < 8; i++) {
        stack_probe_push(v, (i + 1) * u->x, u->x);
    }
    for (unsigned r = RAX; r <= RDI; r++) { /* RSP moves last: a push may send the instruction back to run alone */
        uint64_t at = (sp - (r + 1) * u->x) & stack_mask(v);
        vp_store(v, segment_linear(v, SEG_SS, at, u->x, ACCESS_WRITE), u->x, r == RSP ? sp : v->s.gpr[r]);
    }
    stack_release(v, 0 - 8 * (uint64_t)u->x);
    NEXT;
}
static HANDLER(popa)
{
    v->current = u;
    uint64_t x[8];
    for (unsigned i = 0; i < 8; i++) {
        x[i] = stack_peek(v, i * u->x, u->x);
    }
    for (unsigned i = 0; i < 8; i++) {
        unsigned r = RDI - i;
        if (r != RSP) {
            set_register(v, slot_gpr(r), u->x, x[i]);
        }
    }
    stack_release(v, 8 * u->x);
    NEXT;
}
static bool emit_pusha(struct emit *e, const struct insn *in, const void *argument)
{
    e->u->x = in->mnemonic == ZYDIS_MNEMONIC_PUSHAD || in->mnemonic == ZYDIS_MNEMONIC_POPAD ? 4 : 2;
    e->u->fn = in->mnemonic == ZYDIS_MNEMONIC_PUSHA || in->mnemonic == ZYDIS_MNEMONIC_PUSHAD ? pusha : popa;
    return true;
}

const struct insn_row stack_rows[] = {
    {ZYDIS_MNEMONIC_PUSH, COST_LOAD_STORE, 0, emit_push, NULL},
    {ZYDIS_MNEMONIC_POP, COST_LOAD_STORE, 0, emit_pop, NULL},
    {ZYDIS_MNEMONIC_PUSHA, COST_LOAD_STORE, INSN_NOT_64, emit_pusha, NULL},
    {ZYDIS_MNEMONIC_PUSHAD, COST_LOAD_STORE, INSN_NOT_64, emit_pusha, NULL},
    {ZYDIS_MNEMONIC_POPA, COST_LOAD_STORE, INSN_NOT_64, emit_pusha, NULL},
    {ZYDIS_MNEMONIC_POPAD, COST_LOAD_STORE, INSN_NOT_64, emit_pusha, NULL},
    {ZYDIS_MNEMONIC_ENTER, COST_LOAD_STORE, 0, emit_enter, NULL},
    {ZYDIS_MNEMONIC_LEAVE, COST_LOAD_STORE, 0, emit_leave, NULL},
};
const size_t stack_row_count = ARRAY_COUNT(stack_rows);
