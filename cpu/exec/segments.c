/* Instructions on segment registers, descriptor tables and selectors.
 *
 * MOV, PUSH and POP of segment registers, LDS LES LSS LFS LGS, LGDT LIDT SGDT SIDT, LLDT LTR SLDT STR, LAR LSL VERR VERW ARPL:
 * SDM 2, each instruction's page. The rules of segment loads are in segment.c.
 */
#include <Zydis/Zydis.h>

#include "cpu/exec/control.h"
#include "cpu/exec/system.h"

/* ---- MOV, PUSH, POP ---- */

static HANDLER(mov_from_segment)
{
    write_rm16(v, u, v->s.seg[u->s].selector);
    NEXT;
}

/* SDM 3A §6.8.3: until after the instruction that follows a load of SS, interrupts and debug traps wait. */
static void shadow_after_ss(struct vcpu *v, unsigned segment)
{
    if (segment == SEG_SS) {
        v->s.interrupt_shadow |= 2;
        v->no_step_trap = true;
    }
}

static HANDLER(mov_to_segment)
{
    vp_begin_system(v, u);
    segment_load(v, u->d, read_rm16(v, u, u->s));
    shadow_after_ss(v, u->d);
    LEAVE_NEXT;
}

/* The other forms of MOV, PUSH and POP are in move.c. */
static bool emit_mov_segment(struct emit *e, const struct insn *in, const void *argument)
{
    static const struct system_form from = {mov_from_segment, ALWAYS}, to = {mov_to_segment, ALWAYS};
    if (in->op[0].kind == OPERAND_SEG) {
        e->ends_block = true;
        return in->op[0].reg < SEGMENTS && in->op[0].reg != SEG_CS && emit_system(e, in, &to);
    }
    return in->op[1].kind == OPERAND_SEG && in->op[1].reg < SEGMENTS && emit_system(e, in, &from);
}

static HANDLER(push_segment)
{
    v->current = u;
    stack_push(v, v->s.seg[u->d].selector, operand_bytes(u));
    NEXT;
}

static HANDLER(pop_segment)
{
    vp_begin_system(v, u);
    unsigned bytes = operand_bytes(u);
    uint64_t rsp = v->s.gpr[RSP] + bytes, mask = stack_mask(v);
    segment_load(v, u->d, (uint16_t)stack_peek(v, 0, bytes));
    v->s.gpr[RSP] = (v->s.gpr[RSP] & ~mask) | (rsp & mask); /* as wide as the old SS says */
    shadow_after_ss(v, u->d);
    LEAVE_NEXT;
}

static bool emit_stack_segment(struct emit *e, const struct insn *in, const void *form)
{
    bool push = in->mnemonic == ZYDIS_MNEMONIC_PUSH;
    e->ends_block = !push;
    return in->op[0].kind == OPERAND_SEG && (push || in->op[0].reg != SEG_CS) && emit_system(e, in, form);
}

/* ---- far pointers ---- */

static void load_far_pointer(struct vcpu *v, const struct uop *u, unsigned segment)
{
    vp_begin_system(v, u);
    unsigned bytes = operand_bytes(u);
    uint64_t at = ea_general(v, u, bytes + 2, ACCESS_READ);
    uint64_t offset = vp_load(v, at, bytes);
    segment_load(v, segment, (uint16_t)vp_load(v, system_linear(v, at + bytes), 2));
    write_gpr(v, u->d, bytes, offset);
}

#define FAR_POINTER(name, segment)                                                                                             \
    static HANDLER(name)                                                                                                       \
    {                                                                                                                          \
        load_far_pointer(v, u, segment);                                                                                       \
        LEAVE_NEXT;                                                                                                            \
    }
FAR_POINTER(lds, SEG_DS)
FAR_POINTER(les, SEG_ES)
FAR_POINTER(lss, SEG_SS)
FAR_POINTER(lfs, SEG_FS)
FAR_POINTER(lgs, SEG_GS)

/* ---- GDTR, IDTR ---- */

static void load_table(struct vcpu *v, const struct uop *u, struct descriptor_table *table)
{
    vp_begin_system(v, u);
    require_cpl0(v);
    unsigned base_bytes = v->mode == CODE_64 ? 8 : 4;
    uint64_t at = ea_general(v, u, 2 + base_bytes, ACCESS_READ);
    uint16_t limit = (uint16_t)vp_load(v, at, 2);
    uint64_t base = vp_load(v, system_linear(v, at + 2), base_bytes);
    if (base_bytes == 4 && operand_bytes(u) == 2) {
        base &= 0xffffff;
    }
    if (base_bytes == 8 && !canonical(v, base)) {
        vp_gp0(v);
    }
    *table = (struct descriptor_table){.base = base, .limit = limit};
}

/* All bytes or none: the operand may cross a page. */
static void store_table(struct vcpu *v, const struct uop *u, const struct descriptor_table *table, uint8_t withheld)
{
    vp_begin_system(v, u);
    require_umip(v, withheld);
    unsigned base_bytes = v->mode == CODE_64 ? 8 : 4;
    uint8_t image[10];
    __builtin_memcpy(image, &table->limit, 2);
    __builtin_memcpy(image + 2, &table->base, 8);
    vp_store_bytes(v, ea_general(v, u, 2 + base_bytes, ACCESS_WRITE), image, 2 + base_bytes);
}

static HANDLER(lgdt)
{
    load_table(v, u, &v->s.gdtr);
    LEAVE_NEXT;
}

static HANDLER(lidt)
{
    load_table(v, u, &v->s.idtr);
    LEAVE_NEXT;
}

static HANDLER(sgdt)
{
    store_table(v, u, &v->s.gdtr, WITHHELD_SGDT);
    LEAVE_NEXT;
}

static HANDLER(sidt)
{
    store_table(v, u, &v->s.idtr, WITHHELD_SIDT);
    LEAVE_NEXT;
}

/* ---- LDTR, TR ---- */

static HANDLER(lldt)
{
    vp_begin_system(v, u);
    require_protected(v);
    require_cpl0(v);
    segment_lldt(v, read_rm16(v, u, u->d));
    LEAVE_NEXT;
}

static HANDLER(ltr)
{
    vp_begin_system(v, u);
    require_protected(v);
    require_cpl0(v);
    segment_ltr(v, read_rm16(v, u, u->d));
    LEAVE_NEXT;
}

static HANDLER(sldt)
{
    vp_begin_system(v, u);
    require_protected(v);
    require_umip(v, WITHHELD_SLDT);
    write_rm16(v, u, v->s.ldtr.seg.selector);
    LEAVE_NEXT;
}

static HANDLER(str)
{
    vp_begin_system(v, u);
    require_protected(v);
    require_umip(v, WITHHELD_STR);
    write_rm16(v, u, v->s.tr.seg.selector);
    LEAVE_NEXT;
}

/* ---- questions about selectors: ZF answers ---- */

static void set_zf(struct vcpu *v, bool zf)
{
    v->fl = (uint16_t)((v->fl & ~FL_ZF) | (zf ? FL_ZF : 0));
}

static HANDLER(lar)
{
    vp_begin_system(v, u);
    require_protected(v);
    uint32_t rights = 0;
    bool found = segment_lar(v, read_rm16(v, u, u->s), &rights);
    if (found) {
        write_gpr(v, u->d, operand_bytes(u), rights);
    }
    set_zf(v, found);
    LEAVE_NEXT;
}

static HANDLER(lsl)
{
    vp_begin_system(v, u);
    require_protected(v);
    uint32_t limit = 0;
    bool found = segment_lsl(v, read_rm16(v, u, u->s), &limit);
    if (found) {
        write_gpr(v, u->d, operand_bytes(u), limit);
    }
    set_zf(v, found);
    LEAVE_NEXT;
}

static HANDLER(verr)
{
    vp_begin_system(v, u);
    require_protected(v);
    set_zf(v, segment_verify(v, read_rm16(v, u, u->d), false));
    LEAVE_NEXT;
}

static HANDLER(verw)
{
    vp_begin_system(v, u);
    require_protected(v);
    set_zf(v, segment_verify(v, read_rm16(v, u, u->d), true));
    LEAVE_NEXT;
}

/* SDM 2A ARPL: raises the RPL of the destination to that of the source. */
static HANDLER(arpl)
{
    vp_begin_system(v, u);
    require_protected(v);
    bool memory = u->x & X_MEMORY;
    uint64_t at = memory ? ea_general(v, u, 2, ACCESS_WRITE) : 0;
    uint16_t selector = memory ? load16(v, u, at) : reg16(v, u->d);
    unsigned rpl = reg16(v, u->s) & 3;
    bool raised = (selector & 3u) < rpl;
    if (raised) {
        selector = (uint16_t)((selector & ~3u) | rpl);
        if (memory) {
            store16(v, u, at, selector);
        } else {
            set_reg16(v, u->d, selector);
        }
    }
    set_zf(v, raised);
    LEAVE_NEXT;
}

#define END INSN_ENDS_BLOCK
#define STACK_ROW(mnemonic, handler)                                                                                           \
    {                                                                                                                          \
        ZYDIS_MNEMONIC_##mnemonic, COST_LOAD_STORE, 0, emit_stack_segment, &(const struct system_form)                         \
        {                                                                                                                      \
            handler, ALWAYS                                                                                                    \
        }                                                                                                                      \
    }
const struct insn_row segments_rows[] = {
    {ZYDIS_MNEMONIC_MOV, COST_LOAD_STORE, 0, emit_mov_segment, NULL},
    STACK_ROW(PUSH, push_segment),
    STACK_ROW(POP, pop_segment),
    SYSTEM_ROW(LDS, COST_SYSTEM, END | INSN_NOT_64, lds, ALWAYS),
    SYSTEM_ROW(LES, COST_SYSTEM, END | INSN_NOT_64, les, ALWAYS),
    SYSTEM_ROW(LSS, COST_SYSTEM, END, lss, ALWAYS),
    SYSTEM_ROW(LFS, COST_SYSTEM, END, lfs, ALWAYS),
    SYSTEM_ROW(LGS, COST_SYSTEM, END, lgs, ALWAYS),
    SYSTEM_ROW(LGDT, COST_SYSTEM, END, lgdt, ALWAYS),
    SYSTEM_ROW(LIDT, COST_SYSTEM, END, lidt, ALWAYS),
    SYSTEM_ROW(SGDT, COST_SYSTEM, END, sgdt, ALWAYS),
    SYSTEM_ROW(SIDT, COST_SYSTEM, END, sidt, ALWAYS),
    SYSTEM_ROW(LLDT, COST_SYSTEM, END, lldt, ALWAYS),
    SYSTEM_ROW(LTR, COST_SYSTEM, END, ltr, ALWAYS),
    SYSTEM_ROW(SLDT, COST_SYSTEM, END, sldt, ALWAYS),
    SYSTEM_ROW(STR, COST_SYSTEM, END, str, ALWAYS),
    SYSTEM_ROW(LAR, COST_SYSTEM, END, lar, ALWAYS),
    SYSTEM_ROW(LSL, COST_SYSTEM, END, lsl, ALWAYS),
    SYSTEM_ROW(VERR, COST_SYSTEM, END, verr, ALWAYS),
    SYSTEM_ROW(VERW, COST_SYSTEM, END, verw, ALWAYS),
    SYSTEM_ROW(ARPL, COST_SYSTEM, END | INSN_NOT_64, arpl, ALWAYS),
};
const size_t segments_row_count = ARRAY_COUNT(segments_rows);
