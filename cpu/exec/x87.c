/* The x87's instruction map, and what every x87 instruction does before and after its work. SDM 1 §8; SDM 2D §A.5 (escape
 * opcodes).
 *
 * An escape opcode (D8-DF) is told by its last three bits and the ModR/M byte alone, so the map is a table of that shape: the
 * mnemonic only brings us here. Undocumented doubles (DC D0 FCOM, DD C8 FXCH ...) stand in their places.
 */
#include "cpu/exec/x87.h"

#include <Zydis/Mnemonic.h>

#include "cpu/insn.h"

/* ---- state ---- */

void x87_init(struct fpu_state *f)
{
    f->fcw = FCW_INITIAL;
    f->fsw = 0;
    f->ftw = 0;
    f->fop = 0;
    f->fip = f->fdp = 0;
    f->fcs = f->fds = 0;
}

void x87_summarise(struct fpu_state *f)
{
    bool waiting = f->fsw & ~f->fcw & FSW_EXCEPTIONS;
    f->fsw = (uint16_t)((f->fsw & ~(FSW_ES | FSW_B)) | (waiting ? FSW_ES | FSW_B : 0));
}

uint16_t x87_control_word(uint16_t value)
{
    return (value & 0x1f3f) | 0x40;
}

COLD _Noreturn void x87_unavailable(struct vcpu *v, const struct uop *u)
{
    v->current = u;
    vp_raise(v, v->mmx_blocked ? VEC_NM : VEC_MF);
}

/* FOP: AMD's processors note every opcode, Intel's only one that leaves an unmasked exception behind (SDM 1 §8.1.9.1). FCS and
 * FDS are kept: CPUID.7.0:EBX[13] (their deprecation) is not advertised. */
void x87_finish(struct vcpu *v, const struct uop *u, unsigned clear, unsigned raised)
{
    struct fpu_state *f = &v->s.fpu;
    f->fsw = (uint16_t)((f->fsw & ~clear) | raised);
    f->fip = uop_linear(v, u);
    if (v->mode != CODE_64) {
        f->fip = (uint32_t)(f->fip - v->s.seg_base[SEG_CS]);
    }
    f->fcs = v->s.seg[SEG_CS].selector;
    bool unmasked = raised & ~f->fcw & FSW_EXCEPTIONS;
    if (UNLIKELY(unmasked)) {
        f->fsw |= FSW_ES | FSW_B;
    }
    if (unmasked || vp_is_amd(v)) {
        f->fop = (uint16_t)u->imm;
    }
}

void x87_finish_memory(struct vcpu *v, const struct uop *u, uint64_t linear, unsigned raised)
{
    unsigned segment = u->x >> X87_SEGMENT_SHIFT;
    if (!(u->x & X87_FLAT)) {
        v->s.fpu.fdp = ea_offset(v, u);
    } else {
        v->s.fpu.fdp = segment >= SEG_FS ? linear - v->s.seg_base[segment] : linear;
    }
    v->s.fpu.fds = v->s.seg[segment].selector;
    x87_finish(v, u, FSW_C1, raised);
}

/* ---- the map ---- */

struct escape {
    uop_fn *fn;
    uint8_t s;       /* goes into the uop: the handler's own */
    uint8_t format;  /* memory forms: enum x87_format */
    uint8_t feature; /* 0: that of the x87 itself */
};

/* Operations of op_x87_arith_*: the REG field of D8. Stores: bit 0 pops, bit 1 truncates (FISTTP). */
enum { ADD, MUL, COM, COMP, SUB, SUBR, DIV, DIVR };
enum { STORE, STORE_POP, STORE_TRUNCATED = 3 };

/* clang-format off */
#define OP(handler, own) {.fn = op_x87_##handler, .s = own}
#define MEM(handler, own, its_format) {.fn = op_x87_##handler, .s = own, .format = its_format}
#define GATED(handler, own, its_format, its_feature) \
    {.fn = op_x87_##handler, .s = own, .format = its_format, .feature = its_feature}
#define NONE {.fn = NULL}

/* By the REG field: */
#define ARITH(m) {MEM(arith_m, ADD, m), MEM(arith_m, MUL, m), MEM(arith_m, COM, m), MEM(arith_m, COMP, m), \
                  MEM(arith_m, SUB, m), MEM(arith_m, SUBR, m), MEM(arith_m, DIV, m), MEM(arith_m, DIVR, m)}
#define MOVES(m) MEM(load, 0, m), GATED(store, STORE_TRUNCATED, m, FEAT_SSE3), MEM(store, STORE, m), MEM(store, STORE_POP, m)

static const struct escape memory_map[8][8] = {
    /* D8 */ ARITH(X87_F32),
    /* D9 */ {MEM(load, 0, X87_F32), NONE, MEM(store, STORE, X87_F32), MEM(store, STORE_POP, X87_F32),
              OP(load_environment, 0), OP(load_control, 0), OP(store_environment, 0), OP(store_control, 0)},
    /* DA */ ARITH(X87_I32),
    /* DB */ {MOVES(X87_I32), NONE, MEM(load, 0, X87_F80), NONE, MEM(store, STORE_POP, X87_F80)},
    /* DC */ ARITH(X87_F64),
    /* DD */ {MEM(load, 0, X87_F64), GATED(store, STORE_TRUNCATED, X87_I64, FEAT_SSE3), MEM(store, STORE, X87_F64),
              MEM(store, STORE_POP, X87_F64), OP(restore, 0), NONE, OP(save, 0), OP(store_status, 0)},
    /* DE */ ARITH(X87_I16),
    /* DF */ {MOVES(X87_I16), MEM(load, 0, X87_BCD), MEM(load, 0, X87_I64),
              MEM(store, STORE_POP, X87_BCD), MEM(store, STORE_POP, X87_I64)},
};

/* Register forms whose R/M field is ST(i). Comparisons: s bits 1-0 = pops, bit 2 = unordered (FUCOM). */
enum { QUIET = 4 };
#define ARITH_ST(form) OP(form, ADD), OP(form, MUL), OP(compare, 0), OP(compare, 1), \
                       OP(form, SUB), OP(form, SUBR), OP(form, DIV), OP(form, DIVR)
#define MOVE_IF(condition) GATED(move_if, condition, 0, FEAT_CMOV)
#define COMPARE_FLAGS(own) GATED(compare_flags, own, 0, FEAT_CMOV)

static const struct escape stack_map[8][8] = {
    /* D8 */ {ARITH_ST(arith_st)},
    /* D9 */ {OP(load_st, 0), OP(exchange, 0), NONE, OP(store_st, 3)},
    /* DA: FCMOVB, E, BE, U */
             {MOVE_IF(0), MOVE_IF(1), MOVE_IF(2), MOVE_IF(3)},
    /* DB: FCMOVNB, NE, NBE, NU; FUCOMI, FCOMI */
             {MOVE_IF(4), MOVE_IF(5), MOVE_IF(6), MOVE_IF(7), NONE, COMPARE_FLAGS(QUIET), COMPARE_FLAGS(0)},
    /* DC */ {ARITH_ST(arith_to_st)},
    /* DD */ {OP(free, 0), OP(exchange, 0), OP(store_st, 0), OP(store_st, 1), OP(compare, QUIET), OP(compare, QUIET | 1)},
    /* DE */ {OP(arith_pop, ADD), OP(arith_pop, MUL), OP(compare, 1), NONE,
              OP(arith_pop, SUB), OP(arith_pop, SUBR), OP(arith_pop, DIV), OP(arith_pop, DIVR)},
    /* DF: FFREEP; FUCOMIP, FCOMIP */
             {OP(free, 1), OP(exchange, 0), OP(store_st, 1), OP(store_st, 1), NONE, COMPARE_FLAGS(QUIET | 1), COMPARE_FLAGS(1)},
};
/* clang-format on */

/* Register forms with a whole ModR/M byte of their own. */
struct single {
    uint8_t opcode, modrm;
    struct escape escape;
    uint8_t d; /* ST(i) it uses, or its own */
};
static const struct single single_map[] = {
    {0xd9, 0xd0, OP(nop, 0), 0},
    {0xd9, 0xe0, OP(sign, 0), 0},            /* FCHS */
    {0xd9, 0xe1, OP(sign, 1), 0},            /* FABS */
    {0xd9, 0xe4, OP(test, 0), 0},            /* FTST */
    {0xd9, 0xe5, OP(examine, 0), 0},         /* FXAM */
    {0xd9, 0xe8, OP(load_constant, 0), 0},   /* FLD1 */
    {0xd9, 0xe9, OP(load_constant, 1), 0},   /* FLDL2T */
    {0xd9, 0xea, OP(load_constant, 2), 0},   /* FLDL2E */
    {0xd9, 0xeb, OP(load_constant, 3), 0},   /* FLDPI */
    {0xd9, 0xec, OP(load_constant, 4), 0},   /* FLDLG2 */
    {0xd9, 0xed, OP(load_constant, 5), 0},   /* FLDLN2 */
    {0xd9, 0xee, OP(load_constant, 6), 0},   /* FLDZ */
    {0xd9, 0xf0, OP(power, 0), 0},           /* F2XM1 */
    {0xd9, 0xf1, OP(two_to_one, 0), 1},      /* FYL2X */
    {0xd9, 0xf2, OP(tangent, 0), 0},         /* FPTAN */
    {0xd9, 0xf3, OP(two_to_one, 1), 1},      /* FPATAN */
    {0xd9, 0xf4, OP(extract, 0), 0},         /* FXTRACT */
    {0xd9, 0xf5, OP(remainder, 1), 1},       /* FPREM1 */
    {0xd9, 0xf6, OP(rotate, 7), 0},          /* FDECSTP */
    {0xd9, 0xf7, OP(rotate, 1), 0},          /* FINCSTP */
    {0xd9, 0xf8, OP(remainder, 0), 1},       /* FPREM */
    {0xd9, 0xf9, OP(two_to_one, 2), 1},      /* FYL2XP1 */
    {0xd9, 0xfa, OP(sqrt, 0), 0},            /* FSQRT */
    {0xd9, 0xfb, OP(sine_cosine, 0), 0},     /* FSINCOS */
    {0xd9, 0xfc, OP(round, 0), 0},           /* FRNDINT */
    {0xd9, 0xfd, OP(scale, 0), 1},           /* FSCALE */
    {0xd9, 0xfe, OP(sine, 0), 0},            /* FSIN */
    {0xd9, 0xff, OP(sine, 1), 0},            /* FCOS */
    {0xda, 0xe9, OP(compare, QUIET | 2), 1}, /* FUCOMPP */
    {0xdb, 0xe0, OP(nop_no_wait, 0), 0},     /* FENI of the 8087, and two more that came to nothing */
    {0xdb, 0xe1, OP(nop_no_wait, 0), 0},     /* FDISI */
    {0xdb, 0xe2, OP(clear, 0), 0},           /* FNCLEX */
    {0xdb, 0xe3, OP(init, 0), 0},            /* FNINIT */
    {0xdb, 0xe4, OP(nop_no_wait, 0), 0},     /* FSETPM of the 287 */
    {0xde, 0xd9, OP(compare, 2), 1},         /* FCOMPP */
    {0xdf, 0xe0, OP(store_status_ax, 0), 0}, /* FNSTSW AX */
};

static const struct escape *find_escape(uint8_t opcode, uint8_t modrm, uint8_t *d)
{
    unsigned row = opcode & 7, reg = modrm >> 3 & 7;
    if (modrm < 0xc0) {
        *d = memory_map[row][reg].format;
        return &memory_map[row][reg];
    }
    for (unsigned i = 0; i < ARRAY_COUNT(single_map); i++) {
        if (single_map[i].opcode == opcode && single_map[i].modrm == modrm) {
            *d = single_map[i].d;
            return &single_map[i].escape;
        }
    }
    *d = modrm & 7;
    return &stack_map[row][reg];
}

static bool emit_escape(struct emit *e, const struct insn *in, const void *argument)
{
    struct uop *u = e->u;
    if (in->opcode < 0xd8 || in->opcode > 0xdf || in->lock) {
        return false;
    }
    const struct escape *x = find_escape(in->opcode, in->modrm, &u->d);
    if (x->fn == NULL || (x->feature != 0 && !model_has(e->model, x->feature))) {
        return false;
    }
    u->fn = x->fn;
    u->s = x->s;
    u->imm = (uint64_t)(in->opcode & 7) << 8 | in->modrm;
    u->x = in->operand_bytes == 2 ? X87_OPERAND_16 : 0;
    if (in->has_mem) {
        u->x |= (uint8_t)(in->mem.segment << X87_SEGMENT_SHIFT) | (emit_memory(e, in) ? X87_FLAT : 0);
    }
    return true;
}

static uop_fn *const wait_handler = op_x87_wait;

#define ROW(mnemonic)                                                                                                          \
    {                                                                                                                          \
        ZYDIS_MNEMONIC_##mnemonic, COST_X87, 0, emit_escape, NULL                                                              \
    }
const struct insn_row x87_rows[] = {
    ROW(F2XM1),        ROW(FABS),          ROW(FADD),          ROW(FADDP),
    ROW(FBLD),         ROW(FBSTP),         ROW(FCHS),          ROW(FCMOVB),
    ROW(FCMOVBE),      ROW(FCMOVE),        ROW(FCMOVNB),       ROW(FCMOVNBE),
    ROW(FCMOVNE),      ROW(FCMOVNU),       ROW(FCMOVU),        ROW(FCOM),
    ROW(FCOMI),        ROW(FCOMIP),        ROW(FCOMP),         ROW(FCOMPP),
    ROW(FCOS),         ROW(FDECSTP),       ROW(FDIV),          ROW(FDIVP),
    ROW(FDIVR),        ROW(FDIVRP),        ROW(FFREE),         ROW(FFREEP),
    ROW(FIADD),        ROW(FICOM),         ROW(FICOMP),        ROW(FIDIV),
    ROW(FIDIVR),       ROW(FILD),          ROW(FIMUL),         ROW(FINCSTP),
    ROW(FIST),         ROW(FISTP),         ROW(FISTTP),        ROW(FISUB),
    ROW(FISUBR),       ROW(FLD),           ROW(FLD1),          ROW(FLDCW),
    ROW(FLDENV),       ROW(FLDL2E),        ROW(FLDL2T),        ROW(FLDLG2),
    ROW(FLDLN2),       ROW(FLDPI),         ROW(FLDZ),          ROW(FMUL),
    ROW(FMULP),        ROW(FNCLEX),        ROW(FNINIT),        ROW(FNOP),
    ROW(FNSAVE),       ROW(FNSTCW),        ROW(FNSTENV),       ROW(FNSTSW),
    ROW(FPATAN),       ROW(FPREM),         ROW(FPREM1),        ROW(FPTAN),
    ROW(FRNDINT),      ROW(FRSTOR),        ROW(FSCALE),        ROW(FSIN),
    ROW(FSINCOS),      ROW(FSQRT),         ROW(FST),           ROW(FSTP),
    ROW(FSTPNCE),      ROW(FSUB),          ROW(FSUBP),         ROW(FSUBR),
    ROW(FSUBRP),       ROW(FTST),          ROW(FUCOM),         ROW(FUCOMI),
    ROW(FUCOMIP),      ROW(FUCOMP),        ROW(FUCOMPP),       ROW(FXAM),
    ROW(FXCH),         ROW(FXTRACT),       ROW(FYL2X),         ROW(FYL2XP1),
    ROW(FENI8087_NOP), ROW(FDISI8087_NOP), ROW(FSETPM287_NOP), {ZYDIS_MNEMONIC_FWAIT, COST_X87, 0, emit_plain, &wait_handler},
};
const size_t x87_row_count = ARRAY_COUNT(x87_rows);
