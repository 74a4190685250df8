/* Interrupts by instruction, IRET, BOUND, and far JMP, CALL and RET: operands and privilege; the transfers are in exception.c,
 * iret.c and far.c.
 */
#include <Zydis/Zydis.h>

#include "cpu/exec/control.h"
#include "cpu/exec/system.h"

/* ---- INT, INT1, INT3, INTO, BOUND, IRET ---- */

static HANDLER(int_n)
{
    vp_begin_system(v, u);
    exception_software_interrupt(v, (uint8_t)u->imm, uop_next_rip(v, u), false);
    LEAVE;
}

static HANDLER(int3)
{
    vp_begin_system(v, u);
    exception_software_interrupt(v, VEC_BP, uop_next_rip(v, u), true);
    LEAVE;
}

static HANDLER(int1)
{
    vp_begin_system(v, u);
    exception_int1(v, uop_next_rip(v, u));
    LEAVE;
}

static HANDLER(into)
{
    vp_begin_system(v, u);
    if (!(v->fl & FL_OF)) {
        LEAVE_NEXT;
    }
    exception_software_interrupt(v, VEC_OF, uop_next_rip(v, u), true);
    LEAVE;
}

/* SDM 2A BOUND: a signed index between two signed bounds in memory, both inclusive. */
static HANDLER(bound)
{
    vp_begin_system(v, u);
    unsigned bytes = operand_bytes(u);
    uint64_t at = ea_general(v, u, 2 * bytes, ACCESS_READ);
    uint64_t low = vp_load(v, at, bytes), high = vp_load(v, (uint32_t)(at + bytes), bytes);
    int32_t index = bytes == 2 ? (int16_t)reg16(v, u->d) : (int32_t)reg32(v, u->d);
    int32_t first = bytes == 2 ? (int16_t)low : (int32_t)low, last = bytes == 2 ? (int16_t)high : (int32_t)high;
    if (index < first || index > last) {
        vp_raise(v, VEC_BR);
    }
    LEAVE_NEXT;
}

static HANDLER(iret)
{
    vp_begin_system(v, u);
    exception_iret(v, operand_bytes(u), uop_next_rip(v, u));
    LEAVE;
}

/* ---- far transfers ---- */

/* ptr16:16, ptr16:32 in the instruction, or m16:16, m16:32, m16:64. */
static uint16_t far_operand(struct vcpu *v, const struct uop *u, uint64_t *offset)
{
    unsigned bytes = operand_bytes(u);
    if (!(u->x & X_MEMORY)) {
        *offset = u->imm;
        return (uint16_t)u->disp;
    }
    uint64_t at = ea_general(v, u, bytes + 2, ACCESS_READ);
    *offset = vp_load(v, at, bytes);
    return (uint16_t)vp_load(v, system_linear(v, at + bytes), 2);
}

static HANDLER(jmp_far)
{
    vp_begin_system(v, u);
    uint64_t offset;
    uint16_t selector = far_operand(v, u, &offset);
    far_jump(v, selector, offset, operand_bytes(u));
    LEAVE;
}

static HANDLER(call_far)
{
    vp_begin_system(v, u);
    uint64_t offset;
    uint16_t selector = far_operand(v, u, &offset);
    far_call(v, selector, offset, operand_bytes(u), uop_next_rip(v, u));
    LEAVE;
}

static HANDLER(ret_far)
{
    vp_begin_system(v, u);
    far_return(v, operand_bytes(u), (uint16_t)u->imm);
    LEAVE;
}

/* The near forms are in control.c. */
static bool emit_far(struct emit *e, const struct insn *in, const void *form)
{
    const struct operand *o = &in->op[0];
    bool far = in->mnemonic == ZYDIS_MNEMONIC_RET
                   ? in->opcode == 0xca || in->opcode == 0xcb
                   : o->kind == OPERAND_FAR || (o->kind == OPERAND_MEM && o->bytes != in->operand_bytes);
    return far && emit_system(e, in, form);
}

#define END INSN_ENDS_BLOCK
#define FAR_ROW(mnemonic, handler)                                                                                             \
    {                                                                                                                          \
        ZYDIS_MNEMONIC_##mnemonic, COST_SYSTEM, END, emit_far, &(const struct system_form)                                     \
        {                                                                                                                      \
            handler, ALWAYS                                                                                                    \
        }                                                                                                                      \
    }
const struct insn_row interrupt_rows[] = {
    SYSTEM_ROW(INT, COST_SYSTEM, END, int_n, ALWAYS),
    SYSTEM_ROW(INT3, COST_SYSTEM, END, int3, ALWAYS),
    SYSTEM_ROW(INT1, COST_SYSTEM, END, int1, ALWAYS),
    SYSTEM_ROW(INTO, COST_SYSTEM, END | INSN_NOT_64, into, ALWAYS),
    SYSTEM_ROW(BOUND, COST_SYSTEM, END | INSN_NOT_64, bound, ALWAYS),
    SYSTEM_ROW(IRET, COST_SYSTEM, END, iret, ALWAYS),
    SYSTEM_ROW(IRETD, COST_SYSTEM, END, iret, ALWAYS),
    SYSTEM_ROW(IRETQ, COST_SYSTEM, END, iret, ALWAYS),
    FAR_ROW(JMP, jmp_far),
    FAR_ROW(CALL, call_far),
    FAR_ROW(RET, ret_far),
};
const size_t interrupt_row_count = ARRAY_COUNT(interrupt_rows);
