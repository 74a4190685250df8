/* General-purpose instructions against the host's processor: every opcode, operand form and width of 64-bit mode, with random operands.
 *
 * A row of `rows` is an opcode as the SDM's opcode map has it; its forms follow from its kind: register and memory (several ways of
 * addressing, page ends included), each width, each immediate. `flags` are those the instruction defines; where that depends on a count,
 * defined_flags() says so. Instructions that only other modes have are unicorn's affair (oracle_unicorn.c).
 *   oracle_integer [--cases N] [--seed S] [--only NAME]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/oracle/trial.h"

enum { CF = 1, PF = 4, AF = 0x10, ZF = 0x40, SF = 0x80, OF = 0x800, ALL = CF | PF | AF | ZF | SF | OF };

enum kind {
    RM_R,      /* r/m, r */
    R_RM,      /* r, r/m */
    RM_IMM8,   /* r/m, imm8 (sign-extended or a count) */
    RM_IMM,    /* r/m, imm of the width (at most 32 bits) */
    RM,        /* r/m */
    RM_R_IMM8, /* r/m, r, imm8: SHLD */
    R_RM_IMM,  /* IMUL three operands */
    R_RM_IMM8,
    A_IMM,     /* accumulator, imm */
    R_IMM,     /* B0+r, B8+r: a full immediate */
    PLUS_R,    /* opcode + register */
    M_ONLY,    /* m */
    R_M,       /* r, m: LEA */
    NONE,
    BT_RM_R,   /* r/m, r: the register reaches beyond the operand */
    STRING,
    REP_STRING,
    REPNE_STRING,
    STACK,     /* no ModRM; uses RSP */
    STACK_PLUS_R,
    STACK_RM,
    STACK_IMM8,
    STACK_IMM32,
    ENTER_FORM,
    JUMP8,     /* a conditional jump over one INC RAX */
    CALL_NEXT,
    RET_NEXT,
    LEAVE_FORM,
};
enum { W8 = 1, W16 = 2, W32 = 4, W64 = 8, WALL = 15, WIDE = 14, WNONE = 16 };

struct row {
    const char *name;
    uint8_t map;    /* 0 or 0x0f */
    uint8_t opcode; /* of the 8-bit form when `widths` has W8 together with others: the others are opcode | 1 */
    uint8_t kind;
    uint8_t digit;  /* ModRM.reg of an opcode extension */
    uint8_t widths;
    uint16_t flags; /* defined ones */
    uint8_t prefix; /* mandatory */
    bool memory_only, register_only;
};

enum { LOGIC = ALL & ~AF, ONLY_CF_OF = CF | OF, SCAN = ZF, BIT = CF | ZF };

#define ALU(name, base, digit_, fl)                                                                                           \
    {name, 0, base, RM_R, 0, WALL, fl}, {name, 0, base + 2, R_RM, 0, WALL, fl}, {name, 0, base + 4, A_IMM, 0, WALL, fl},       \
        {name, 0, 0x80, RM_IMM, digit_, WALL, fl}, {name, 0, 0x83, RM_IMM8, digit_, WIDE, fl}
#define SHIFT(name, digit_, fl)                                                                                               \
    {name, 0, 0xd0, RM, digit_, WALL, fl}, {name, 0, 0xd2, RM, digit_, WALL, fl}, {name, 0, 0xc0, RM_IMM8, digit_, WALL, fl}
#define BITS(name, op, digit_)                                                                                                \
    {name, 0x0f, op, BT_RM_R, 0, WIDE, BIT}, {name, 0x0f, 0xba, RM_IMM8, digit_, WIDE, BIT}
#define STRINGS(name, op, compares)                                                                                           \
    {name, 0, op, STRING, 0, WALL, ALL}, {"rep " name, 0, op, REP_STRING, 0, WALL, ALL}, {"repne " name, 0, op, REPNE_STRING, 0, WALL, ALL}

static const struct row rows[] = {
    ALU("add", 0x00, 0, ALL), ALU("or", 0x08, 1, LOGIC), ALU("adc", 0x10, 2, ALL), ALU("sbb", 0x18, 3, ALL), ALU("and", 0x20, 4, LOGIC),
    ALU("sub", 0x28, 5, ALL), ALU("xor", 0x30, 6, LOGIC), ALU("cmp", 0x38, 7, ALL),
    {"test", 0, 0x84, RM_R, 0, WALL, LOGIC}, {"test", 0, 0xa8, A_IMM, 0, WALL, LOGIC}, {"test", 0, 0xf6, RM_IMM, 0, WALL, LOGIC},
    {"test", 0, 0xf6, RM_IMM, 1, WALL, LOGIC},
    {"inc", 0, 0xfe, RM, 0, WALL, ALL}, {"dec", 0, 0xfe, RM, 1, WALL, ALL}, {"not", 0, 0xf6, RM, 2, WALL, ALL}, {"neg", 0, 0xf6, RM, 3, WALL, ALL},
    {"mul", 0, 0xf6, RM, 4, WALL, ONLY_CF_OF}, {"imul", 0, 0xf6, RM, 5, WALL, ONLY_CF_OF}, {"div", 0, 0xf6, RM, 6, WALL, 0}, {"idiv", 0, 0xf6, RM, 7, WALL, 0},
    {"imul", 0x0f, 0xaf, R_RM, 0, WIDE, ONLY_CF_OF}, {"imul", 0, 0x69, R_RM_IMM, 0, WIDE, ONLY_CF_OF}, {"imul", 0, 0x6b, R_RM_IMM8, 0, WIDE, ONLY_CF_OF},
    SHIFT("rol", 0, ALL), SHIFT("ror", 1, ALL), SHIFT("rcl", 2, ALL), SHIFT("rcr", 3, ALL), SHIFT("shl", 4, LOGIC), SHIFT("shr", 5, LOGIC),
    SHIFT("sal", 6, LOGIC), SHIFT("sar", 7, LOGIC),
    {"shld", 0x0f, 0xa4, RM_R_IMM8, 0, WIDE, LOGIC}, {"shld", 0x0f, 0xa5, RM_R, 0, WIDE, LOGIC},
    {"shrd", 0x0f, 0xac, RM_R_IMM8, 0, WIDE, LOGIC}, {"shrd", 0x0f, 0xad, RM_R, 0, WIDE, LOGIC},
    BITS("bt", 0xa3, 4), BITS("bts", 0xab, 5), BITS("btr", 0xb3, 6), BITS("btc", 0xbb, 7),
    {"bsf", 0x0f, 0xbc, R_RM, 0, WIDE, SCAN}, {"bsr", 0x0f, 0xbd, R_RM, 0, WIDE, SCAN}, {"popcnt", 0x0f, 0xb8, R_RM, 0, WIDE, ALL, 0xf3},
    {"mov", 0, 0x88, RM_R, 0, WALL, ALL}, {"mov", 0, 0x8a, R_RM, 0, WALL, ALL}, {"mov", 0, 0xc6, RM_IMM, 0, WALL, ALL},
    {"mov", 0, 0xb0, R_IMM, 0, W8, ALL}, {"mov", 0, 0xb8, R_IMM, 0, WIDE, ALL},
    {"movzx8", 0x0f, 0xb6, R_RM, 0, WIDE, ALL}, {"movzx16", 0x0f, 0xb7, R_RM, 0, WIDE, ALL}, {"movsx8", 0x0f, 0xbe, R_RM, 0, WIDE, ALL},
    {"movsx16", 0x0f, 0xbf, R_RM, 0, WIDE, ALL}, {"movsxd", 0, 0x63, R_RM, 0, WIDE, ALL},
    {"lea", 0, 0x8d, R_M, 0, WIDE, ALL, 0, true}, {"xchg", 0, 0x86, RM_R, 0, WALL, ALL}, {"xchg", 0, 0x90, PLUS_R, 0, WIDE, ALL},
    {"xadd", 0x0f, 0xc0, RM_R, 0, WALL, ALL}, {"cmpxchg", 0x0f, 0xb0, RM_R, 0, WALL, ALL},
    {"cmpxchg8b", 0x0f, 0xc7, M_ONLY, 1, W32, ALL, 0, true}, {"cmpxchg16b", 0x0f, 0xc7, M_ONLY, 1, W64, ALL, 0, true},
    {"bswap", 0x0f, 0xc8, PLUS_R, 0, W32 | W64, ALL},
    {"cbw", 0, 0x98, NONE, 0, WIDE, ALL}, {"cwd", 0, 0x99, NONE, 0, WIDE, ALL}, {"cmc", 0, 0xf5, NONE, 0, WNONE, ALL}, {"clc", 0, 0xf8, NONE, 0, WNONE, ALL},
    {"stc", 0, 0xf9, NONE, 0, WNONE, ALL}, {"lahf", 0, 0x9f, NONE, 0, WNONE, ALL}, {"sahf", 0, 0x9e, NONE, 0, WNONE, ALL}, {"nop", 0, 0x90, NONE, 0, WNONE, ALL},
    {"nop", 0x0f, 0x1f, RM, 0, WIDE, ALL},
    STRINGS("movs", 0xa4, false), STRINGS("cmps", 0xa6, true), STRINGS("stos", 0xaa, false), STRINGS("lods", 0xac, false), STRINGS("scas", 0xae, true),
    {"push", 0, 0x50, STACK_PLUS_R, 0, W16 | W64, ALL}, {"pop", 0, 0x58, STACK_PLUS_R, 0, W16 | W64, ALL}, {"push", 0, 0xff, STACK_RM, 6, W16 | W64, ALL},
    {"pop", 0, 0x8f, STACK_RM, 0, W16 | W64, ALL}, {"push", 0, 0x6a, STACK_IMM8, 0, W16 | W64, ALL}, {"push", 0, 0x68, STACK_IMM32, 0, W16 | W64, ALL},
    {"leave", 0, 0xc9, LEAVE_FORM, 0, W16 | W64, ALL}, {"enter", 0, 0xc8, ENTER_FORM, 0, W16 | W64, ALL}, {"call", 0, 0xe8, CALL_NEXT, 0, WNONE, ALL},
    {"ret", 0, 0xc3, RET_NEXT, 0, WNONE, ALL}, {"ret imm16", 0, 0xc2, RET_NEXT, 0, WNONE, ALL},
    {"loopne", 0, 0xe0, JUMP8, 0, WNONE, ALL}, {"loope", 0, 0xe1, JUMP8, 0, WNONE, ALL}, {"loop", 0, 0xe2, JUMP8, 0, WNONE, ALL}, {"jrcxz", 0, 0xe3, JUMP8, 0, WNONE, ALL},
#define CC(n) {"jcc", 0, 0x70 + n, JUMP8, 0, WNONE, ALL}, {"setcc", 0x0f, 0x90 + n, RM, 0, W8, ALL}, {"cmovcc", 0x0f, 0x40 + n, R_RM, 0, WIDE, ALL}
    CC(0), CC(1), CC(2), CC(3), CC(4), CC(5), CC(6), CC(7), CC(8), CC(9), CC(10), CC(11), CC(12), CC(13), CC(14), CC(15),
};

/* ---- encoding ---- */

struct writer {
    uint8_t *bytes;
    unsigned n;
};
static void put(struct writer *w, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        w->bytes[w->n++] = (uint8_t)(value >> (8 * i));
    }
}

struct operands {
    bool memory;
    unsigned reg, rm;          /* register numbers; 8-bit: 4-7 without REX are AH.. */
    unsigned base, index, scale, mode; /* memory: mode 0 [base], 1 disp8, 2 disp32, 3 RIP, 4 [base+index*s+disp8], 5 absolute */
    bool rex;
};

static bool full_opcode_is_wide(const struct row *r, unsigned width)
{
    return (r->widths & W8) && r->widths != W8 && width != 1;
}

/* [prefix][66][REX] opcode ModRM SIB disp; the address goes into the registers. */
static void put_modrm(struct writer *w, const struct row *r, struct operands *o, unsigned width, unsigned reg, uint64_t address, uint64_t gpr[16],
                      unsigned immediate_bytes, struct dice *d)
{
    if (r->prefix) {
        put(w, r->prefix, 1);
    }
    bool no_rexw = r->kind == STACK_RM;
    if (width == 2) {
        put(w, 0x66, 1);
    }
    unsigned rex = (width == 8 && !no_rexw ? 8u : 0u) | (reg & 8 ? 4u : 0u);
    if (o->memory) {
        rex |= o->mode == 4 && (o->index & 8) ? 2u : 0u;
        rex |= (o->mode <= 2 || o->mode == 4) && (o->base & 8) ? 1u : 0u;
    } else {
        rex |= o->rm & 8 ? 1u : 0u;
    }
    if (rex || o->rex) {
        put(w, 0x40 | rex, 1);
    }
    if (r->map) {
        put(w, r->map, 1);
    }
    put(w, r->opcode | (full_opcode_is_wide(r, width) ? 1u : 0u), 1);
    unsigned field = (reg & 7) << 3;
    if (!o->memory) {
        put(w, 0xc0 | field | (o->rm & 7), 1);
        return;
    }
    int32_t disp = 0;
    switch (o->mode) {
    case 3:
        put(w, field | 5, 1);
        disp = (int32_t)(address - (NATIVE_CODE + w->n + 4 + immediate_bytes));
        put(w, (uint32_t)disp, 4);
        return;
    case 5:
        put(w, field | 4, 1);
        put(w, 0x25, 1);
        put(w, (uint32_t)address, 4);
        return;
    default:
        break;
    }
    unsigned mod = o->mode == 0 ? 0 : o->mode == 2 ? 2 : 1;
    if (mod == 0 && (o->base & 7) == RBP) {
        mod = 1;
    }
    disp = mod == 0 ? 0 : mod == 1 ? (int8_t)dice_roll(d) : (int32_t)dice_roll(d) >> (dice_below(d, 2) ? 0 : 8);
    uint64_t value = address - (uint64_t)(int64_t)disp;
    if (o->mode == 4) {
        uint64_t x = dice_below(d, 2) ? dice_roll(d) & 0xffff : dice_roll(d);
        gpr[o->index] = x;
        value -= x << o->scale;
        put(w, mod << 6 | field | 4, 1);
        put(w, o->scale << 6 | (o->index & 7) << 3 | (o->base & 7), 1);
    } else if ((o->base & 7) == RSP) {
        put(w, mod << 6 | field | 4, 1);
        put(w, 0x24, 1);
    } else {
        put(w, mod << 6 | field | (o->base & 7), 1);
    }
    gpr[o->base] = value;
    put(w, (uint32_t)disp, mod == 0 ? 0 : mod == 1 ? 1 : 4);
}

static void choose_operands(struct operands *o, const struct row *r, unsigned width, bool memory, struct dice *d)
{
    *o = (struct operands){.memory = memory};
    o->rex = dice_below(d, 2);
    o->reg = dice_below(d, 16);
    o->rm = dice_below(d, 16);
    o->mode = dice_below(d, 6);
    o->scale = dice_below(d, 4);
    o->base = dice_below(d, 16);
    do {
        o->index = dice_below(d, 16);
    } while (o->index == RSP || o->index == o->base);
}

struct case_info {
    unsigned count; /* of a shift, masked */
    unsigned width;
};

/* Which flags mean something, given the count (SDM 2B: rotates and shifts by 0 change none; OF only for 1; SHL, SHR beyond the width: no CF). */
static uint64_t defined_flags(const struct row *r, const struct case_info *c)
{
    unsigned bits = c->width * 8;
    bool rotate = r->name[0] == 'r' && (r->name[1] == 'o' || r->name[1] == 'c') && r->name[2] != '\0' && strlen(r->name) == 3;
    bool shift = strcmp(r->name, "shl") == 0 || strcmp(r->name, "shr") == 0 || strcmp(r->name, "sal") == 0 || strcmp(r->name, "sar") == 0;
    bool twice = strcmp(r->name, "shld") == 0 || strcmp(r->name, "shrd") == 0;
    if (!rotate && !shift && !twice) {
        return r->flags;
    }
    if (c->count == 0) {
        return ALL;
    }
    uint64_t f = c->count == 1 ? ALL : ALL & ~OF;
    if (rotate) {
        return f;
    }
    f &= ~(uint64_t)AF;
    if (c->count >= bits && strcmp(r->name, "sar") != 0) {
        f &= ~(uint64_t)CF;
    }
    return f;
}

static uint64_t immediate(struct dice *d)
{
    return dice_integer(d);
}

/* Writes the bytes of a random case; false when this combination does not exist. */
static bool build(struct trial *t, const struct row *r, unsigned width, bool memory, struct dice *d, uint64_t address, struct case_info *c)
{
    struct writer w = {t->code, 0};
    uint64_t *gpr = t->in.gpr;
    struct operands o;
    choose_operands(&o, r, width, memory, d);
    *c = (struct case_info){.width = width};
    unsigned imm = width == 8 ? 4 : width;
    uint64_t value = immediate(d);
    uint64_t stack = NATIVE_DATA + 1024 + dice_below(d, NATIVE_DATA_BYTES - 2048);
    switch (r->kind) {
    case RM_R:
    case R_RM:
    case RM_IMM8:
    case RM_IMM:
    case RM:
    case RM_R_IMM8:
    case R_RM_IMM:
    case R_RM_IMM8:
    case M_ONLY:
    case R_M: {
        bool digit = r->kind == RM_IMM8 || r->kind == RM_IMM || r->kind == RM || r->kind == M_ONLY;
        unsigned trailing = r->kind == RM_IMM8 || r->kind == RM_R_IMM8 || r->kind == R_RM_IMM8 ? 1 : r->kind == RM_IMM || r->kind == R_RM_IMM ? imm : 0;
        put_modrm(&w, r, &o, width, digit ? r->digit : o.reg, address, gpr, trailing, d);
        put(&w, value, trailing);
        unsigned mask = width == 8 ? 63 : 31;
        bool by_cl = (r->map == 0 && (r->opcode | 1) == 0xd3) || (r->map && (r->opcode == 0xa5 || r->opcode == 0xad));
        bool by_one = r->map == 0 && (r->opcode | 1) == 0xd1;
        c->count = by_one ? 1 : (unsigned)(by_cl ? gpr[RCX] : value) & mask;
        if (r->map && (r->opcode & 0xf6) == 0xa4 && width == 2 && c->count > 16) {
            return false; /* SDM 2B SHLD: the result is undefined */
        }
        break;
    }
    case BT_RM_R: {
        uint64_t index = (dice_roll(d) & 0x3fff) - 0x2000; /* within 1 KiB to either side */
        if (memory) {
            put_modrm(&w, r, &o, width, o.reg, NATIVE_DATA + 2048 + dice_below(d, NATIVE_DATA_BYTES - 4096), gpr, 0, d);
            if (o.mode != 3 && o.mode != 5 && (o.reg == o.base || (o.mode == 4 && o.reg == o.index))) {
                return false;
            }
            gpr[o.reg] = index;
        } else {
            put_modrm(&w, r, &o, width, o.reg, 0, gpr, 0, d);
        }
        break;
    }
    case A_IMM:
    case NONE:
    case STRING:
    case REP_STRING:
    case REPNE_STRING:
        if (r->kind == REP_STRING || r->kind == REPNE_STRING) {
            put(&w, r->kind == REP_STRING ? 0xf3 : 0xf2, 1);
        }
        if (width == 2) {
            put(&w, 0x66, 1);
        } else if (width == 8) {
            put(&w, 0x48, 1);
        }
        put(&w, r->opcode | (full_opcode_is_wide(r, width) ? 1u : 0u), 1);
        if (r->kind == A_IMM) {
            put(&w, value, imm);
        }
        if (r->kind >= STRING) {
            gpr[RCX] = dice_below(d, 24);
            gpr[RSI] = NATIVE_DATA + 256 + dice_below(d, NATIVE_DATA_BYTES - 512);
            gpr[RDI] = dice_below(d, 3) ? NATIVE_DATA + 256 + dice_below(d, NATIVE_DATA_BYTES - 512) : gpr[RSI] + dice_below(d, 64) - 32;
            t->in.rflags |= dice_below(d, 2) ? RFLAGS_DF : 0;
        }
        break;
    case R_IMM:
    case PLUS_R:
    case STACK_PLUS_R:
        if (width == 2) {
            put(&w, 0x66, 1);
        }
        if (r->kind != STACK_PLUS_R && width == 8) {
            put(&w, 0x48 | (o.reg & 8 ? 1 : 0), 1);
        } else if ((o.reg & 8) || o.rex) {
            put(&w, 0x40 | (o.reg & 8 ? 1 : 0), 1);
        }
        if (r->map) {
            put(&w, r->map, 1);
        }
        put(&w, r->opcode | (o.reg & 7), 1);
        if (r->kind == R_IMM) {
            put(&w, value, width);
        }
        if (r->kind == STACK_PLUS_R) {
            gpr[RSP] = stack;
        }
        break;
    case STACK_RM:
        gpr[RSP] = stack;
        put_modrm(&w, r, &o, width, r->digit, address, gpr, 0, d);
        if (memory && o.mode != 3 && o.mode != 5 && o.base == RSP) {
            return false;
        }
        break;
    case STACK_IMM8:
    case STACK_IMM32:
        if (width == 2) {
            put(&w, 0x66, 1);
        }
        put(&w, r->opcode, 1);
        put(&w, value, r->kind == STACK_IMM8 ? 1 : width == 2 ? 2 : 4);
        gpr[RSP] = stack;
        break;
    case ENTER_FORM:
        if (width == 2) {
            put(&w, 0x66, 1);
        }
        put(&w, r->opcode, 1);
        put(&w, dice_below(d, 128), 2);
        put(&w, dice_below(d, 3) ? 0 : dice_below(d, 32), 1);
        gpr[RSP] = stack;
        gpr[RBP] = NATIVE_DATA + 1024 + dice_below(d, NATIVE_DATA_BYTES - 2048);
        break;
    case LEAVE_FORM:
        if (width == 2) {
            put(&w, 0x66, 1);
        }
        put(&w, r->opcode, 1);
        gpr[RBP] = stack;
        break;
    case JUMP8:
        put(&w, r->opcode, 1);
        put(&w, 3, 1);
        put(&w, 0xc0ff48, 3); /* inc rax */
        gpr[RCX] = dice_below(d, 2) ? dice_below(d, 3) : gpr[RCX];
        break;
    case CALL_NEXT:
        put(&w, 0xe8, 1);
        put(&w, 0, 4);
        gpr[RSP] = stack;
        break;
    case RET_NEXT: {
        unsigned after = r->opcode == 0xc2 ? 8 : 6;
        put(&w, 0x68, 1);
        put(&w, NATIVE_CODE + after, 4);
        put(&w, r->opcode, 1);
        if (r->opcode == 0xc2) {
            put(&w, dice_below(d, 256), 2);
        }
        gpr[RSP] = stack;
        break;
    }
    default:
        return false;
    }
    t->length = w.n;
    return true;
}

/* ---- the run ---- */

static const char *const width_name[] = {[1] = "8", [2] = "16", [4] = "32", [8] = "64", [16] = ""};

struct totals {
    unsigned forms, failed;
    unsigned long cases;
};

static void run_form(const struct row *r, unsigned width, bool memory, unsigned cases, struct dice *d, struct guest *g, struct trial *t, struct totals *total)
{
    unsigned done = 0, tries = 0;
    for (; done < cases && tries < 8 * cases; tries++) {
        trial_randomise(d, &t->in, false);
        uint64_t address = trial_address(d);
        struct case_info c;
        if (!build(t, r, width, memory, d, address, &c)) {
            continue;
        }
        guest_code(g, t->code, t->length);
        trial_run(t, g, address, d);
        done++;
        const char *what = trial_difference(t, defined_flags(r, &c));
        if (what != NULL) {
            printf("  FAIL %s %s%s\n", r->name, memory ? "m" : "r", width_name[width]);
            trial_print(t, what, address);
            total->failed++;
            break;
        }
    }
    total->forms++;
    total->cases += done;
}

static bool has_memory_form(const struct row *r)
{
    return r->kind <= R_RM_IMM8 || r->kind == M_ONLY || r->kind == R_M || r->kind == BT_RM_R || r->kind == STACK_RM;
}
static bool has_register_form(const struct row *r)
{
    return r->kind != M_ONLY && r->kind != R_M;
}

int main(int argc, char **argv)
{
    unsigned cases = 2000;
    struct dice d = {.state = 1};
    const char *only = NULL;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--cases") == 0) {
            cases = (unsigned)strtoul(argv[i + 1], NULL, 0);
        } else if (strcmp(argv[i], "--seed") == 0) {
            d.state = strtoull(argv[i + 1], NULL, 0);
        } else if (strcmp(argv[i], "--only") == 0) {
            only = argv[i + 1];
        }
    }
    if (!native_open()) {
        return 1;
    }
    struct guest *g = guest_create(VENDOR_AMD);
    if (g == NULL) {
        return 1;
    }
    static struct trial t;
    struct totals total = {0};
    const char *shown = NULL;
    unsigned forms_before = 0;
    unsigned long cases_before = 0;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const struct row *r = &rows[i];
        if (only != NULL && strcmp(only, r->name) != 0) {
            continue;
        }
        for (unsigned width = 1; width <= 16; width *= 2) {
            if (!(r->widths & width)) {
                continue;
            }
            if (has_register_form(r)) {
                run_form(r, width, false, cases, &d, g, &t, &total);
            }
            if (has_memory_form(r)) {
                run_form(r, width, true, cases, &d, g, &t, &total);
            }
        }
        if (i + 1 == ARRAY_COUNT(rows) || strcmp(rows[i + 1].name, r->name) != 0 || shown == NULL) {
            shown = r->name;
            printf("%-14s %4u forms %8lu cases\n", r->name, total.forms - forms_before, total.cases - cases_before);
            forms_before = total.forms;
            cases_before = total.cases;
        }
    }
    printf("integer: %u forms, %lu cases, %u failed\n", total.forms, total.cases, total.failed);
    printf("excluded: SHLD/SHRD r/m16 by more than 16 (result undefined, SDM 2B SHLD); flags that the SDM leaves undefined\n");
    guest_destroy(g);
    native_close();
    return total.failed != 0;
}
