/* Instructions on RFLAGS: CLC STC CMC CLD STD, LAHF SAHF, CLI STI, PUSHF POPF.
 *
 * SDM 2, each page; 3A §20.3 and §20.4 for VIF and VIP: with CR4.VME in v86 mode (IOPL below 3), and with CR4.PVI at CPL 3 in
 * protected mode, CLI, STI and (v86, 16 bits) PUSHF and POPF act on VIF.
 */
#include <Zydis/Zydis.h>

#include "cpu/exec/control.h"
#include "cpu/exec/system.h"

/* ---- single bits ---- */

static HANDLER(clc)
{
    v->fl &= (uint16_t)~FL_CF;
    NEXT;
}

static HANDLER(stc)
{
    v->fl |= FL_CF;
    NEXT;
}

static HANDLER(cmc)
{
    v->fl ^= FL_CF;
    NEXT;
}

static HANDLER(cld)
{
    v->s.rflags &= ~RFLAGS_DF;
    NEXT;
}

static HANDLER(std)
{
    v->s.rflags |= RFLAGS_DF;
    NEXT;
}

/* The high byte of fl is AH but for the fixed bit 1. */
static HANDLER(lahf)
{
    set_reg8(v, SLOT_GPR + 1, (uint8_t)((v->fl >> 8 & 0xd5) | 2));
    NEXT;
}

static HANDLER(sahf)
{
    v->fl = (uint16_t)((v->fl & FL_OF) | (reg8(v, SLOT_GPR + 1) & 0xd5) << 8);
    NEXT;
}

/* In 64-bit mode these two are a feature of their own. */
static bool emit_ah(struct emit *e, const struct insn *in, const void *form)
{
    return (in->mode != CODE_64 || model_has(e->model, FEAT_LAHF)) && emit_system(e, in, form);
}

/* ---- IF ---- */

/* Which flag CLI and STI act on: IF, VIF, or none (#GP). */
static uint64_t interrupt_flag(struct vcpu *v)
{
    if (LIKELY(!vp_protected(v) || v->s.cpl <= vp_iopl(v))) {
        return RFLAGS_IF;
    }
    if (vp_v86(v) ? (v->s.cr4 & CR4_VME) != 0 : v->s.cpl == 3 && (v->s.cr4 & CR4_PVI)) {
        return RFLAGS_VIF;
    }
    vp_gp0(v);
}

static HANDLER(cli)
{
    v->current = u;
    v->s.rflags &= ~interrupt_flag(v);
    NEXT;
}

static HANDLER(sti)
{
    vp_begin_system(v, u);
    uint64_t flag = interrupt_flag(v);
    if (flag == RFLAGS_VIF && (v->s.rflags & RFLAGS_VIP)) {
        vp_gp0(v);
    }
    if (flag == RFLAGS_IF && !(v->s.rflags & RFLAGS_IF)) {
        v->s.interrupt_shadow |= 1; /* interrupts wait for the end of the next instruction */
    }
    v->s.rflags |= flag;
    LEAVE_NEXT;
}

/* ---- PUSHF, POPF ---- */

/* In v86 mode below IOPL 3, only the 16-bit forms, and only with VME. */
static bool virtual_interrupts(struct vcpu *v, const struct uop *u)
{
    if (LIKELY(!vp_v86(v) || vp_iopl(v) == 3)) {
        return false;
    }
    if (!(v->s.cr4 & CR4_VME) || operand_bytes(u) != 2) {
        vp_begin_system(v, u);
        vp_gp0(v);
    }
    return true;
}

static HANDLER(pushf)
{
    v->current = u;
    uint64_t flags = vp_rflags(v) & ~(RFLAGS_RF | RFLAGS_VM);
    if (UNLIKELY(virtual_interrupts(v, u))) {
        flags = (flags & ~RFLAGS_IF) | RFLAGS_IOPL | (flags & RFLAGS_VIF ? RFLAGS_IF : 0);
    }
    stack_push(v, flags, operand_bytes(u));
    NEXT;
}

/* SDM 2B POPF, table 4-15: what may change by mode and privilege. RF is cleared by the wider forms; VM, VIF and VIP stay. */
static uint64_t poppable(const struct vcpu *v, unsigned bytes)
{
    uint64_t changeable = RFLAGS_ARITHMETIC | RFLAGS_TF | RFLAGS_DF | RFLAGS_NT;
    if (!vp_protected(v) || v->s.cpl == 0) {
        changeable |= RFLAGS_IF | RFLAGS_IOPL;
    } else if (v->s.cpl <= vp_iopl(v)) {
        changeable |= RFLAGS_IF;
    }
    return bytes == 2 ? changeable : changeable | RFLAGS_AC | RFLAGS_ID | RFLAGS_RF;
}

static HANDLER(popf)
{
    vp_begin_system(v, u);
    unsigned bytes = operand_bytes(u);
    bool virtual_if = virtual_interrupts(v, u);
    uint64_t popped = stack_peek(v, 0, bytes) & ~RFLAGS_RF, changeable = poppable(v, bytes);
    if (UNLIKELY(virtual_if)) {
        if ((popped & RFLAGS_TF) || ((popped & RFLAGS_IF) && (v->s.rflags & RFLAGS_VIP))) {
            vp_gp0(v);
        }
        v->s.rflags = (v->s.rflags & ~RFLAGS_VIF) | (popped & RFLAGS_IF ? RFLAGS_VIF : 0);
    }
    stack_release(v, bytes);
    vp_set_rflags(v, (vp_rflags(v) & ~changeable) | (popped & changeable));
    LEAVE_NEXT;
}

#define END INSN_ENDS_BLOCK
#define AH_ROW(mnemonic, handler)                                                                                              \
    {                                                                                                                          \
        ZYDIS_MNEMONIC_##mnemonic, COST_SIMPLE, 0, emit_ah, &(const struct system_form)                                        \
        {                                                                                                                      \
            handler, ALWAYS                                                                                                    \
        }                                                                                                                      \
    }
const struct insn_row flags_rows[] = {
    SYSTEM_ROW(CLC, COST_SIMPLE, 0, clc, ALWAYS),
    SYSTEM_ROW(STC, COST_SIMPLE, 0, stc, ALWAYS),
    SYSTEM_ROW(CMC, COST_SIMPLE, 0, cmc, ALWAYS),
    SYSTEM_ROW(CLD, COST_SIMPLE, 0, cld, ALWAYS),
    SYSTEM_ROW(STD, COST_SIMPLE, 0, std, ALWAYS),
    AH_ROW(LAHF, lahf),
    AH_ROW(SAHF, sahf),
    SYSTEM_ROW(CLI, COST_SYSTEM, 0, cli, ALWAYS),
    SYSTEM_ROW(STI, COST_SYSTEM, END, sti, ALWAYS),
    SYSTEM_ROW(PUSHF, COST_LOAD_STORE, 0, pushf, ALWAYS),
    SYSTEM_ROW(PUSHFD, COST_LOAD_STORE, 0, pushf, ALWAYS),
    SYSTEM_ROW(PUSHFQ, COST_LOAD_STORE, 0, pushf, ALWAYS),
    SYSTEM_ROW(POPF, COST_SYSTEM, END, popf, ALWAYS),
    SYSTEM_ROW(POPFD, COST_SYSTEM, END, popf, ALWAYS),
    SYSTEM_ROW(POPFQ, COST_SYSTEM, END, popf, ALWAYS),
};
const size_t flags_row_count = ARRAY_COUNT(flags_rows);
