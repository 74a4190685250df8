/* The x87's instruction map, and what every x87 instruction does before and after its work. SDM 1 §8; SDM 2D §A.5 (escape opcodes).
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

/* FOP: AMD's processors note every opcode, Intel's only one that leaves an unmasked exception behind (SDM 1 §8.1.9.1). FCS and FDS
 * are kept: CPUID.7.0:EBX[13] (their deprecation) is not advertised. */
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
    uint8_t s;      /* goes into the uop: the handler's own */
    uint8_t format; /* memory forms: enum x87_format */
    uint8_t feature; /* 0: that of the x87 itself */
};

/* Operations of op_x87_arith_*: the REG field of D8. Stores: bit 0 pops, bit 1 truncates (FISTTP). */
enum { ADD, MUL, COM, COMP, SUB, SUBR, DIV, DIVR };
enum { STORE, STORE_POP, STORE_TRUNCATED = 3 };

#define OWN(handler, own) {.fn = op_x87_##handler, .s = own}
#define M(handler, own, its_format) {.fn = op_x87_##handler, .s = own, .format = its_format}
#define GATED(handler, own, its_feature) {.fn = op_x87_##handler, .s = own, .feature = its_feature}
#define GATED_M(handler, own, its_format, its_feature) {.fn = op_x87_##handler, .s = own, .format = its_format, .feature = its_feature}
#define ARITH(format)                                                                                                         \
    {                                                                                                                         \
        M(arith_m, ADD, format), M(arith_m, MUL, format), M(arith_m, COM, format),                          \
            M(arith_m, COMP, format), M(arith_m, SUB, format), M(arith_m, SUBR, format),                    \
            M(arith_m, DIV, format), M(arith_m, DIVR, format),                                                    \
    }
#define INTEGER(format)                                                                                                       \
    [0] = M(load, 0, format), [1] = GATED_M(store, STORE_TRUNCATED, format, FEAT_SSE3), [2] = M(store, STORE, format), \
    [3] = M(store, STORE_POP, format)

static const struct escape memory_map[8][8] = {
    /* D8 */ ARITH(X87_F32),
    /* D9 */
    {[0] = M(load, 0, X87_F32),
     [2] = M(store, STORE, X87_F32),
     [3] = M(store, STORE_POP, X87_F32),
     [4] = OWN(load_environment, 0),
     [5] = OWN(load_control, 0),
     [6] = OWN(store_environment, 0),
     [7] = OWN(store_control, 0)},
    /* DA */ ARITH(X87_I32),
    /* DB */ {INTEGER(X87_I32), [5] = M(load, 0, X87_F80), [7] = M(store, STORE_POP, X87_F80)},
    /* DC */ ARITH(X87_F64),
    /* DD */
    {[0] = M(load, 0, X87_F64),
     [1] = GATED_M(store, STORE_TRUNCATED, X87_I64, FEAT_SSE3),
     [2] = M(store, STORE, X87_F64),
     [3] = M(store, STORE_POP, X87_F64),
     [4] = OWN(restore, 0),
     [6] = OWN(save, 0),
     [7] = OWN(store_status, 0)},
    /* DE */ ARITH(X87_I16),
    /* DF */
    {INTEGER(X87_I16),
     [4] = M(load, 0, X87_BCD),
     [5] = M(load, 0, X87_I64),
     [6] = M(store, STORE_POP, X87_BCD),
     [7] = M(store, STORE_POP, X87_I64)},
};

/* Register forms whose R/M field is ST(i). Comparisons: s bits 1-0 = pops, bit 2 = unordered (FUCOM). */
enum { QUIET = 4 };
static const struct escape stack_map[8][8] = {
    /* D8 */
    {OWN(arith_st, ADD), OWN(arith_st, MUL), OWN(compare, 0), OWN(compare, 1), OWN(arith_st, SUB),
     OWN(arith_st, SUBR), OWN(arith_st, DIV), OWN(arith_st, DIVR)},
    /* D9 */ {[0] = OWN(load_st, 0), [1] = OWN(exchange, 0), [3] = OWN(store_st, 3)},
    /* DA: FCMOVB, E, BE, U */
    {GATED(move_if, 0, FEAT_CMOV), GATED(move_if, 1, FEAT_CMOV), GATED(move_if, 2, FEAT_CMOV),
     GATED(move_if, 3, FEAT_CMOV)},
    /* DB: FCMOVNB, NE, NBE, NU */
    {GATED(move_if, 4, FEAT_CMOV), GATED(move_if, 5, FEAT_CMOV), GATED(move_if, 6, FEAT_CMOV),
     GATED(move_if, 7, FEAT_CMOV), [5] = GATED(compare_flags, QUIET, FEAT_CMOV),
     [6] = GATED(compare_flags, 0, FEAT_CMOV)},
    /* DC */
    {OWN(arith_to_st, ADD), OWN(arith_to_st, MUL), OWN(compare, 0), OWN(compare, 1), OWN(arith_to_st, SUB),
     OWN(arith_to_st, SUBR), OWN(arith_to_st, DIV), OWN(arith_to_st, DIVR)},
    /* DD */
    {OWN(free, 0), OWN(exchange, 0), OWN(store_st, 0), OWN(store_st, 1), OWN(compare, QUIET),
     OWN(compare, QUIET | 1)},
    /* DE */
    {OWN(arith_pop, ADD), OWN(arith_pop, MUL), OWN(compare, 1), {.fn = NULL}, OWN(arith_pop, SUB),
     OWN(arith_pop, SUBR), OWN(arith_pop, DIV), OWN(arith_pop, DIVR)},
    /* DF */
    {OWN(free, 1), OWN(exchange, 0), OWN(store_st, 1), OWN(store_st, 1), {.fn = NULL},
     GATED(compare_flags, QUIET | 1, FEAT_CMOV), GATED(compare_flags, 1, FEAT_CMOV)},
};

/* Register forms with a whole ModR/M byte of their own. */
struct single {
    uint8_t opcode, modrm;
    struct escape escape;
    uint8_t d; /* ST(i) it uses, or its own */
};
static const struct single single_map[] = {
    {0xd9, 0xd0, OWN(nop, 0), 0},
    {0xd9, 0xe0, OWN(sign, 0), 0},             /* FCHS */
    {0xd9, 0xe1, OWN(sign, 1), 0},             /* FABS */
    {0xd9, 0xe4, OWN(test, 0), 0},                /* FTST */
    {0xd9, 0xe5, OWN(examine, 0), 0},             /* FXAM */
    {0xd9, 0xe8, OWN(load_constant, 0), 0},    /* FLD1 */
    {0xd9, 0xe9, OWN(load_constant, 1), 0},    /* FLDL2T */
    {0xd9, 0xea, OWN(load_constant, 2), 0},    /* FLDL2E */
    {0xd9, 0xeb, OWN(load_constant, 3), 0},    /* FLDPI */
    {0xd9, 0xec, OWN(load_constant, 4), 0},    /* FLDLG2 */
    {0xd9, 0xed, OWN(load_constant, 5), 0},    /* FLDLN2 */
    {0xd9, 0xee, OWN(load_constant, 6), 0},    /* FLDZ */
    {0xd9, 0xf0, OWN(power, 0), 0},               /* F2XM1 */
    {0xd9, 0xf1, OWN(two_to_one, 0), 1},       /* FYL2X */
    {0xd9, 0xf2, OWN(tangent, 0), 0},             /* FPTAN */
    {0xd9, 0xf3, OWN(two_to_one, 1), 1},       /* FPATAN */
    {0xd9, 0xf4, OWN(extract, 0), 0},             /* FXTRACT */
    {0xd9, 0xf5, OWN(remainder, 1), 1},        /* FPREM1 */
    {0xd9, 0xf6, OWN(rotate, 7), 0},           /* FDECSTP */
    {0xd9, 0xf7, OWN(rotate, 1), 0},           /* FINCSTP */
    {0xd9, 0xf8, OWN(remainder, 0), 1},        /* FPREM */
    {0xd9, 0xf9, OWN(two_to_one, 2), 1},       /* FYL2XP1 */
    {0xd9, 0xfa, OWN(sqrt, 0), 0},                /* FSQRT */
    {0xd9, 0xfb, OWN(sine_cosine, 0), 0},         /* FSINCOS */
    {0xd9, 0xfc, OWN(round, 0), 0},               /* FRNDINT */
    {0xd9, 0xfd, OWN(scale, 0), 1},               /* FSCALE */
    {0xd9, 0xfe, OWN(sine, 0), 0},             /* FSIN */
    {0xd9, 0xff, OWN(sine, 1), 0},             /* FCOS */
    {0xda, 0xe9, OWN(compare, QUIET | 2), 1},  /* FUCOMPP */
    {0xdb, 0xe0, OWN(nop_no_wait, 0), 0},         /* FENI of the 8087, and two more that came to nothing */
    {0xdb, 0xe1, OWN(nop_no_wait, 0), 0},         /* FDISI */
    {0xdb, 0xe2, OWN(clear, 0), 0},               /* FNCLEX */
    {0xdb, 0xe3, OWN(init, 0), 0},                /* FNINIT */
    {0xdb, 0xe4, OWN(nop_no_wait, 0), 0},         /* FSETPM of the 287 */
    {0xde, 0xd9, OWN(compare, 2), 1},          /* FCOMPP */
    {0xdf, 0xe0, OWN(store_status_ax, 0), 0},     /* FNSTSW AX */
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

#define ROW(mnemonic) {ZYDIS_MNEMONIC_##mnemonic, COST_X87, 0, emit_escape, NULL}
const struct insn_row x87_rows[] = {
    ROW(F2XM1),   ROW(FABS),      ROW(FADD),          ROW(FADDP),          ROW(FBLD),    ROW(FBSTP),         ROW(FCHS),
    ROW(FCMOVB),  ROW(FCMOVBE),   ROW(FCMOVE),        ROW(FCMOVNB),        ROW(FCMOVNBE), ROW(FCMOVNE),      ROW(FCMOVNU),
    ROW(FCMOVU),  ROW(FCOM),      ROW(FCOMI),         ROW(FCOMIP),         ROW(FCOMP),   ROW(FCOMPP),        ROW(FCOS),
    ROW(FDECSTP), ROW(FDIV),      ROW(FDIVP),         ROW(FDIVR),          ROW(FDIVRP),  ROW(FFREE),         ROW(FFREEP),
    ROW(FIADD),   ROW(FICOM),     ROW(FICOMP),        ROW(FIDIV),          ROW(FIDIVR),  ROW(FILD),          ROW(FIMUL),
    ROW(FINCSTP), ROW(FIST),      ROW(FISTP),         ROW(FISTTP),         ROW(FISUB),   ROW(FISUBR),        ROW(FLD),
    ROW(FLD1),    ROW(FLDCW),     ROW(FLDENV),        ROW(FLDL2E),         ROW(FLDL2T),  ROW(FLDLG2),        ROW(FLDLN2),
    ROW(FLDPI),   ROW(FLDZ),      ROW(FMUL),          ROW(FMULP),          ROW(FNCLEX),  ROW(FNINIT),        ROW(FNOP),
    ROW(FNSAVE),  ROW(FNSTCW),    ROW(FNSTENV),       ROW(FNSTSW),         ROW(FPATAN),  ROW(FPREM),         ROW(FPREM1),
    ROW(FPTAN),   ROW(FRNDINT),   ROW(FRSTOR),        ROW(FSCALE),         ROW(FSIN),    ROW(FSINCOS),       ROW(FSQRT),
    ROW(FST),     ROW(FSTP),      ROW(FSTPNCE),       ROW(FSUB),           ROW(FSUBP),   ROW(FSUBR),         ROW(FSUBRP),
    ROW(FTST),    ROW(FUCOM),     ROW(FUCOMI),        ROW(FUCOMIP),        ROW(FUCOMP),  ROW(FUCOMPP),       ROW(FXAM),
    ROW(FXCH),    ROW(FXTRACT),   ROW(FYL2X),         ROW(FYL2XP1),        ROW(FENI8087_NOP), ROW(FDISI8087_NOP), ROW(FSETPM287_NOP),
    {ZYDIS_MNEMONIC_FWAIT, COST_X87, 0, emit_plain, &wait_handler},
};
const size_t x87_row_count = ARRAY_COUNT(x87_rows);
