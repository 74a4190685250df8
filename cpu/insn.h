/* A decoded instruction, free of the decoder library's types except the mnemonic number; and the rows by which families of
 * instructions (cpu/exec/) say which mnemonics they do. Zydis stands behind decode.c alone (mnemonic numbers apart).
 */
#ifndef ORRERY_CPU_INSN_H
#define ORRERY_CPU_INSN_H

#include "cpu/uop.h"

enum operand_kind {
    OPERAND_NONE,
    OPERAND_GPR,
    OPERAND_XMM,
    OPERAND_MMX,
    OPERAND_ST,
    OPERAND_SEG,
    OPERAND_CR,
    OPERAND_DR,
    OPERAND_MEM,
    OPERAND_IMM,
    OPERAND_FAR
};

struct operand {
    uint8_t kind;
    uint8_t bytes; /* size: 1, 2, 4, 8, 10, 16 ...; 0 for memory without a size (LEA, INVLPG) */
    uint8_t reg;   /* number; for an 8-bit GPR 4-7 with `high` set: AH CH DH BH as 0-3 */
    bool high;
};

struct insn {
    uint16_t mnemonic; /* ZYDIS_MNEMONIC_* */
    uint16_t isa_set;  /* ZYDIS_ISA_SET_* */
    uint8_t length;
    uint8_t mode;          /* enum code_mode */
    uint8_t operand_bytes; /* effective operand size: 2, 4, 8 (8-bit forms: see operands) */
    uint8_t address_bytes; /* 2, 4, 8 */
    uint8_t stack_bytes; /* 2, 4, 8: width of implicit stack accesses' address in CODE_64 is 8; else of SS.B, only known at run
                            time: 0 */
    bool lock, rep, repne; /* prefixes as effective: rep = F3 on a string instruction or PAUSE */
    bool has_mem;
    uint8_t operands; /* explicit ones */
    struct operand op[4];
    struct {
        int8_t base, index; /* GPR number, -1 none; base == 16: RIP */
        uint8_t scale_log2;
        uint8_t segment; /* effective segment register, always named (DS or SS by default) */
        bool segment_override;
        int64_t disp;
    } mem;
    uint64_t imm;  /* sign-extended to 64 bits where the instruction sign-extends; relative branches: the displacement,
                      sign-extended */
    uint64_t imm2; /* second immediate (ENTER), or the selector of a far pointer */
    uint8_t opcode, modrm, opcode_map; /* raw, for the few that need them; map 0 = one-byte, 1 = 0F, 2 = 0F38, 3 = 0F3A */
};

/* Where an instruction's uop goes. Filled in by decode.c before the family's emit function sees it: offset, length,
 * cost_before, before. The emit function sets fn and operands. */
struct emit {
    const struct cpu_model *model;
    const struct cost_table *cost;
    struct uop *u;
    bool ends_block; /* out: nothing follows in this block; the handler must LEAVE or jump */
    uint8_t next_exit;
};

/* False: this row does not do this encoding. Several families may have a row for one mnemonic (MOV, PUSH, MOVSD ...): they are
 * asked in the order of INSN_FAMILIES, and when all decline it is #UD. A declining emit may leave `u` half filled. */
typedef bool insn_emit_fn(struct emit *e, const struct insn *in, const void *argument);

enum insn_flags {
    INSN_ENDS_BLOCK = 1, /* a system instruction, a branch: always the last of its block */
    INSN_NOT_64 = 2,     /* #UD in 64-bit mode */
};
struct insn_row {
    uint16_t mnemonic;
    uint8_t cost_class; /* enum cost_class */
    uint8_t flags;
    insn_emit_fn *emit;
    const void *argument;
};

/* One table for each family, all listed in decode.c. */
/* clang-format off */
#define INSN_FAMILIES(X) \
    X(move) X(stack) X(alu) X(shift) X(muldiv) X(bit) X(control) X(string) X(system) X(segments) X(interrupt) \
    X(fast_call) X(flags) X(io) X(sse) X(sse_convert) X(sse_int) X(sse_move) X(sse_shuffle) X(sse42) X(mmx) X(x87) \
    X(fxsave)
/* clang-format on */
#define X(family)                                                                                                              \
    extern const struct insn_row family##_rows[];                                                                              \
    extern const size_t family##_row_count;
INSN_FAMILIES(X)
#undef X

/* ---- helpers for emit functions (decode.c) ---- */

/* Slot of a GPR operand's low byte (or AH..BH). */
static inline uint8_t operand_slot(const struct operand *o)
{
    return (uint8_t)(slot_gpr(o->reg) + (o->high ? 1 : 0));
}
/* Fills base, index, disp, ea from in->mem. Returns true when the flat variant may be used, false when the general one must. */
bool emit_memory(struct emit *e, const struct insn *in);
/* Index into {1, 2, 4, 8} tables: 0..3. */
static inline unsigned size_index(unsigned bytes)
{
    return bytes == 1 ? 0 : bytes == 2 ? 1 : bytes == 4 ? 2 : 3;
}
/* A handler in its two variants, for memory forms. */
struct handler_pair {
    uop_fn *flat, *general;
};
/* The plainest emit: e->u->fn = (uop_fn *)argument, no operands. */
bool emit_plain(struct emit *e, const struct insn *in, const void *argument);

#endif
