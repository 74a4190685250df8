/* See integer_forms.h. */
#include "tests/oracle/integer_forms.h"

#include <string.h>

enum { CF = 1, PF = 4, AF = 0x10, ZF = 0x40, SF = 0x80, OF = 0x800, ALL = CF | PF | AF | ZF | SF | OF };

enum kind {
    /* With a ModRM byte; r/m may be memory. */
    RM_R,      /* r/m, r */
    R_RM,      /* r, r/m */
    RM_IMM8,   /* r/m, imm8 (sign-extended or a count) */
    RM_IMM,    /* r/m, imm of the width (at most 32 bits) */
    RM,        /* r/m */
    RM_R_IMM8, /* r/m, r, imm8: SHLD */
    R_RM_IMM,  /* IMUL three operands */
    R_RM_IMM8,
    M_ONLY,  /* m */
    R_M,     /* r, m: LEA, BOUND */
    BT_RM_R, /* r/m, r: the register reaches beyond the operand */
    STACK_RM,
    LAST_MODRM = STACK_RM,
    /* Without. */
    A_IMM,  /* accumulator, imm */
    R_IMM,  /* B0+r, B8+r: a full immediate */
    PLUS_R, /* opcode + register */
    NONE,
    IMM8_ONLY, /* AAM, AAD */
    MOFFS,     /* accumulator and an address in the instruction */
    XLAT,
    STRING,
    REP_STRING,
    REPNE_STRING,
    STACK,     /* uses RSP only */
    POPF_FORM, /* after a PUSH of harmless flags */
    STACK_PLUS_R,
    STACK_IMM8,
    STACK_IMM32,
    ENTER_FORM,
    LEAVE_FORM,
    JUMP8, /* over one INC eAX, or not */
    JUMP_NEAR,
    JUMP_R, /* through a register */
    CALL_NEXT,
    RET_NEXT,
};
enum { W8 = 1, W16 = 2, W32 = 4, W64 = 8, WALL = 15, WIDE = 14, WNONE = 16 };
enum { LOGIC = ALL & ~AF, CARRY_OVERFLOW = CF | OF, SCAN = ZF, BIT = CF | ZF, DECIMAL = SF | ZF | PF };
enum { DEFAULT_SEGMENT = SEGMENTS };

#define ALU(name, base, digit, fl)                                                                                             \
    {name, 0, base, RM_R, 0, WALL, fl}, {name, 0, (base) + 2, R_RM, 0, WALL, fl}, {name, 0, (base) + 4, A_IMM, 0, WALL, fl},   \
        {name, 0, 0x80, RM_IMM, digit, WALL, fl},                                                                              \
    {                                                                                                                          \
        name, 0, 0x83, RM_IMM8, digit, WIDE, fl                                                                                \
    }
#define SHIFT(name, digit, fl)                                                                                                 \
    {name, 0, 0xd0, RM, digit, WALL, fl}, {name, 0, 0xd2, RM, digit, WALL, fl},                                                \
    {                                                                                                                          \
        name, 0, 0xc0, RM_IMM8, digit, WALL, fl                                                                                \
    }
#define BITS(name, op, digit)                                                                                                  \
    {name, 0x0f, op, BT_RM_R, 0, WIDE, BIT},                                                                                   \
    {                                                                                                                          \
        name, 0x0f, 0xba, RM_IMM8, digit, WIDE, BIT                                                                            \
    }
#define STRINGS(name, op)                                                                                                      \
    {name, 0, op, STRING, 0, WALL, ALL}, {"rep " name, 0, op, REP_STRING, 0, WALL, ALL},                                       \
    {                                                                                                                          \
        "repne " name, 0, op, REPNE_STRING, 0, WALL, ALL                                                                       \
    }
#define CC(n)                                                                                                                  \
    {"jcc", 0, 0x70 + (n), JUMP8, 0, WNONE, ALL}, {"jcc near", 0x0f, 0x80 + (n), JUMP_NEAR, 0, WNONE, ALL},                    \
        {"setcc", 0x0f, 0x90 + (n), RM, 0, W8, ALL},                                                                           \
    {                                                                                                                          \
        "cmovcc", 0x0f, 0x40 + (n), R_RM, 0, WIDE, ALL                                                                         \
    }

/* Flags: SDM 2A-2D, "Flags Affected" of each instruction. */
const struct integer_row integer_rows[] = {
    ALU("add", 0x00, 0, ALL),
    ALU("or", 0x08, 1, LOGIC),
    ALU("adc", 0x10, 2, ALL),
    ALU("sbb", 0x18, 3, ALL),
    ALU("and", 0x20, 4, LOGIC),
    ALU("sub", 0x28, 5, ALL),
    ALU("xor", 0x30, 6, LOGIC),
    ALU("cmp", 0x38, 7, ALL),
    {"test", 0, 0x84, RM_R, 0, WALL, LOGIC},
    {"test", 0, 0xa8, A_IMM, 0, WALL, LOGIC},
    {"test", 0, 0xf6, RM_IMM, 0, WALL, LOGIC},
    {"test", 0, 0xf6, RM_IMM, 1, WALL, LOGIC},
    {"inc", 0, 0xfe, RM, 0, WALL, ALL},
    {"inc", 0, 0x40, PLUS_R, 0, W16 | W32, ALL, 0, IN_LEGACY},
    {"dec", 0, 0xfe, RM, 1, WALL, ALL},
    {"dec", 0, 0x48, PLUS_R, 0, W16 | W32, ALL, 0, IN_LEGACY},
    {"not", 0, 0xf6, RM, 2, WALL, ALL},
    {"neg", 0, 0xf6, RM, 3, WALL, ALL},
    {"mul", 0, 0xf6, RM, 4, WALL, CARRY_OVERFLOW},
    {"imul", 0, 0xf6, RM, 5, WALL, CARRY_OVERFLOW},
    {"imul", 0x0f, 0xaf, R_RM, 0, WIDE, CARRY_OVERFLOW},
    {"imul", 0, 0x69, R_RM_IMM, 0, WIDE, CARRY_OVERFLOW},
    {"imul", 0, 0x6b, R_RM_IMM8, 0, WIDE, CARRY_OVERFLOW},
    {"div", 0, 0xf6, RM, 6, WALL, 0},
    {"idiv", 0, 0xf6, RM, 7, WALL, 0},
    {"aaa", 0, 0x37, NONE, 0, WNONE, AF | CF, 0, IN_LEGACY},
    {"aas", 0, 0x3f, NONE, 0, WNONE, AF | CF, 0, IN_LEGACY},
    {"daa", 0, 0x27, NONE, 0, WNONE, ALL & ~OF, 0, IN_LEGACY},
    {"das", 0, 0x2f, NONE, 0, WNONE, ALL & ~OF, 0, IN_LEGACY},
    {"aam", 0, 0xd4, IMM8_ONLY, 0, WNONE, DECIMAL, 0, IN_LEGACY},
    {"aad", 0, 0xd5, IMM8_ONLY, 0, WNONE, DECIMAL, 0, IN_LEGACY},
    {"salc", 0, 0xd6, NONE, 0, WNONE, ALL, 0, IN_LEGACY},
    SHIFT("rol", 0, ALL),
    SHIFT("ror", 1, ALL),
    SHIFT("rcl", 2, ALL),
    SHIFT("rcr", 3, ALL),
    SHIFT("shl", 4, LOGIC),
    SHIFT("shr", 5, LOGIC),
    SHIFT("sal", 6, LOGIC),
    SHIFT("sar", 7, LOGIC),
    {"shld", 0x0f, 0xa4, RM_R_IMM8, 0, WIDE, LOGIC},
    {"shld", 0x0f, 0xa5, RM_R, 0, WIDE, LOGIC},
    {"shrd", 0x0f, 0xac, RM_R_IMM8, 0, WIDE, LOGIC},
    {"shrd", 0x0f, 0xad, RM_R, 0, WIDE, LOGIC},
    BITS("bt", 0xa3, 4),
    BITS("bts", 0xab, 5),
    BITS("btr", 0xb3, 6),
    BITS("btc", 0xbb, 7),
    {"bsf", 0x0f, 0xbc, R_RM, 0, WIDE, SCAN},
    {"bsr", 0x0f, 0xbd, R_RM, 0, WIDE, SCAN},
    {"popcnt", 0x0f, 0xb8, R_RM, 0, WIDE, ALL, 0xf3},
    {"mov", 0, 0x88, RM_R, 0, WALL, ALL},
    {"mov", 0, 0x8a, R_RM, 0, WALL, ALL},
    {"mov", 0, 0xc6, RM_IMM, 0, WALL, ALL},
    {"mov", 0, 0xb0, R_IMM, 0, W8, ALL},
    {"mov", 0, 0xb8, R_IMM, 0, WIDE, ALL},
    {"mov", 0, 0xa0, MOFFS, 0, WALL, ALL},
    {"mov", 0, 0xa2, MOFFS, 0, WALL, ALL},
    {"movzx8", 0x0f, 0xb6, R_RM, 0, WIDE, ALL},
    {"movzx16", 0x0f, 0xb7, R_RM, 0, WIDE, ALL},
    {"movsx8", 0x0f, 0xbe, R_RM, 0, WIDE, ALL},
    {"movsx16", 0x0f, 0xbf, R_RM, 0, WIDE, ALL},
    {"movsxd", 0, 0x63, R_RM, 0, WIDE, ALL, 0, IN_64},
    {"arpl", 0, 0x63, RM_R, 0, W16, ALL, 0, IN_LEGACY | IN_PROTECTED},
    {"bound", 0, 0x62, R_M, 0, W16 | W32, ALL, 0, IN_LEGACY},
    {"lea", 0, 0x8d, R_M, 0, WIDE, ALL},
    {"xchg", 0, 0x86, RM_R, 0, WALL, ALL},
    {"xchg", 0, 0x90, PLUS_R, 0, WIDE, ALL},
    {"xadd", 0x0f, 0xc0, RM_R, 0, WALL, ALL},
    {"cmpxchg", 0x0f, 0xb0, RM_R, 0, WALL, ALL},
    {"cmpxchg8b", 0x0f, 0xc7, M_ONLY, 1, W32, ALL},
    {"cmpxchg16b", 0x0f, 0xc7, M_ONLY, 1, W64, ALL},
    {"bswap", 0x0f, 0xc8, PLUS_R, 0, W32 | W64, ALL},
    {"xlat", 0, 0xd7, XLAT, 0, WNONE, ALL},
    {"cbw", 0, 0x98, NONE, 0, WIDE, ALL},
    {"cwd", 0, 0x99, NONE, 0, WIDE, ALL},
    {"cmc", 0, 0xf5, NONE, 0, WNONE, ALL},
    {"clc", 0, 0xf8, NONE, 0, WNONE, ALL},
    {"stc", 0, 0xf9, NONE, 0, WNONE, ALL},
    {"cld", 0, 0xfc, NONE, 0, WNONE, ALL | RFLAGS_DF},
    {"std", 0, 0xfd, NONE, 0, WNONE, ALL | RFLAGS_DF},
    {"lahf", 0, 0x9f, NONE, 0, WNONE, ALL},
    {"sahf", 0, 0x9e, NONE, 0, WNONE, ALL},
    {"nop", 0, 0x90, NONE, 0, WNONE, ALL},
    {"nop", 0x0f, 0x1f, RM, 0, WIDE, ALL},
    STRINGS("movs", 0xa4),
    STRINGS("cmps", 0xa6),
    STRINGS("stos", 0xaa),
    STRINGS("lods", 0xac),
    STRINGS("scas", 0xae),
    {"push", 0, 0x50, STACK_PLUS_R, 0, WIDE, ALL},
    {"push", 0, 0xff, STACK_RM, 6, WIDE, ALL},
    {"push", 0, 0x6a, STACK_IMM8, 0, WIDE, ALL},
    {"push", 0, 0x68, STACK_IMM32, 0, WIDE, ALL},
    {"pop", 0, 0x58, STACK_PLUS_R, 0, WIDE, ALL},
    {"pop", 0, 0x8f, STACK_RM, 0, WIDE, ALL},
    {"pusha", 0, 0x60, STACK, 0, W16 | W32, ALL, 0, IN_LEGACY},
    {"popa", 0, 0x61, STACK, 0, W16 | W32, ALL, 0, IN_LEGACY},
    {"pushf", 0, 0x9c, STACK, 0, W16 | W32, ALL, 0, IN_LEGACY}, /* the host has IF set */
    {"popf", 0, 0x9d, POPF_FORM, 0, WIDE, ALL | RFLAGS_DF},
    {"leave", 0, 0xc9, LEAVE_FORM, 0, WIDE, ALL},
    {"enter", 0, 0xc8, ENTER_FORM, 0, WIDE, ALL},
    {"call", 0, 0xe8, CALL_NEXT, 0, WIDE, ALL},
    {"call r", 0, 0xff, JUMP_R, 2, WIDE, ALL},
    {"jmp r", 0, 0xff, JUMP_R, 4, WIDE, ALL},
    {"jmp", 0, 0xeb, JUMP8, 0, WNONE, ALL},
    {"jmp near", 0, 0xe9, JUMP_NEAR, 0, WNONE, ALL},
    {"ret", 0, 0xc3, RET_NEXT, 0, WIDE, ALL},
    {"ret imm16", 0, 0xc2, RET_NEXT, 0, WIDE, ALL},
    {"loopne", 0, 0xe0, JUMP8, 0, WNONE, ALL},
    {"loope", 0, 0xe1, JUMP8, 0, WNONE, ALL},
    {"loop", 0, 0xe2, JUMP8, 0, WNONE, ALL},
    {"jcxz", 0, 0xe3, JUMP8, 0, WNONE, ALL},
    CC(0),
    CC(1),
    CC(2),
    CC(3),
    CC(4),
    CC(5),
    CC(6),
    CC(7),
    CC(8),
    CC(9),
    CC(10),
    CC(11),
    CC(12),
    CC(13),
    CC(14),
    CC(15),
};
const unsigned integer_row_count = sizeof integer_rows / sizeof integer_rows[0];

const char *integer_width_name(unsigned width)
{
    return width == 1 ? "8" : width == 2 ? "16" : width == 4 ? "32" : width == 8 ? "64" : "";
}

/* Stack operands have the stack's width or 16 bits in 64-bit mode (SDM 1 §6.2.2), near branches there 64 bits only. */
static bool uses_stack(const struct integer_row *r)
{
    return r->kind == STACK_RM || r->kind >= STACK;
}
static bool is_near_branch(const struct integer_row *r)
{
    return r->kind == CALL_NEXT || r->kind == RET_NEXT || r->kind == JUMP_R;
}

bool integer_exists(const struct integer_row *r, const struct place *p, unsigned width)
{
    unsigned mode = p->bits == 64 ? IN_64 : p->bits == 32 ? IN_32 : IN_16;
    if (!(r->widths & width) || (r->modes != 0 && !(r->modes & mode)) || ((r->modes & IN_PROTECTED) && p->real)) {
        return false;
    }
    if (p->bits == 64) {
        return width == WNONE || !uses_stack(r) || (width != 4 && !(width == 2 && is_near_branch(r)));
    }
    return width != 8;
}
bool integer_has_memory(const struct integer_row *r)
{
    return r->kind <= LAST_MODRM || r->kind == MOFFS;
}
bool integer_has_register(const struct integer_row *r)
{
    return r->kind != M_ONLY && r->kind != R_M && r->kind != MOFFS;
}

/* ---- encoding ---- */

struct operands {
    bool memory, rex;
    unsigned reg, rm; /* register numbers; 8-bit: 4-7 without REX are AH .. BH */
    unsigned mode;    /* of memory, 32- and 64-bit addresses: enum how */
    unsigned base, index, scale;
    unsigned rm16, mod16; /* of memory, 16-bit addresses */
    unsigned address_bits;
    unsigned segment; /* override, or DEFAULT_SEGMENT */
};
enum how { HOW_BASE, HOW_BASE_DISP8, HOW_BASE_DISP32, HOW_INDEXED, HOW_INDEX_ONLY, HOW_ABSOLUTE, HOW_RIP, HOWS };

struct builder {
    const struct integer_row *r;
    const struct place *p;
    struct dice *d;
    uint64_t *gpr;
    struct integer_case *c;
    unsigned width;
    struct operands o;
};

static void put(struct builder *b, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        b->c->code[b->c->length++] = (uint8_t)(value >> (8 * i));
    }
}

static void choose_operands(struct builder *b, bool memory)
{
    const struct place *p = b->p;
    struct dice *d = b->d;
    unsigned registers = p->bits == 64 ? 16 : 8;
    struct operands *o = &b->o;
    *o = (struct operands){.memory = memory, .segment = DEFAULT_SEGMENT};
    o->rex = p->bits == 64 && dice_below(d, 2);
    o->reg = dice_below(d, registers);
    o->rm = dice_below(d, registers);
    o->mode = dice_below(d, p->bits == 64 ? HOWS : HOW_RIP);
    o->scale = dice_below(d, 4);
    o->base = dice_below(d, registers);
    o->rm16 = dice_below(d, 8);
    o->mod16 = dice_below(d, 3);
    do {
        o->index = dice_below(d, registers);
    } while (o->index == RSP || o->index == o->base);
    bool other = dice_below(d, 4) == 0; /* the 67 prefix */
    o->address_bits = p->bits == 64 ? (other ? 32 : 64) : (p->bits == 32) != other ? 32 : 16;
    if (p->bits != 64 && dice_below(d, 3) == 0) {
        o->segment = dice_below(d, SEGMENTS);
        if (o->segment == SEG_CS && !p->real) {
            o->segment = SEG_GS; /* code segments cannot be written to */
        }
    }
}

/* Legacy prefixes in any order; here segment, address size, mandatory or REP, operand size. */
static void put_prefixes(struct builder *b, bool has_address, uint8_t repeat)
{
    static const uint8_t segment_prefix[SEGMENTS] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
    if (has_address && b->o.segment != DEFAULT_SEGMENT) {
        put(b, segment_prefix[b->o.segment], 1);
    }
    if (has_address && b->o.address_bits != b->p->bits) {
        put(b, 0x67, 1);
    }
    if (b->r->prefix != 0 || repeat != 0) {
        put(b, b->r->prefix | repeat, 1);
    }
    if (b->p->bits == 16 ? b->width == 4 : b->width == 2) {
        put(b, 0x66, 1);
    }
}
static void put_opcode(struct builder *b, unsigned rex)
{
    bool wide = (b->r->widths & W8) && b->r->widths != W8 && b->width != 1;
    if (rex != 0 || b->o.rex) {
        put(b, 0x40 | rex, 1);
    }
    if (b->r->map) {
        put(b, b->r->map, 1);
    }
    put(b, b->r->opcode | (wide ? 1u : 0u), 1);
}

/* An offset of the given size into a register; what lies above it stays random. */
static void set_address(struct builder *b, unsigned reg, uint64_t value, unsigned bits)
{
    uint64_t mask = bits == 64 ? ~0ULL : (1ULL << bits) - 1;
    b->gpr[reg] = (b->gpr[reg] & ~mask) | (value & mask);
}
static uint64_t offset_in(const struct builder *b, unsigned default_segment, uint64_t linear)
{
    return linear - b->p->base[b->o.segment == DEFAULT_SEGMENT ? default_segment : b->o.segment];
}

/* SDM 2A table 2-1. */
static void put_address16(struct builder *b, unsigned field, uint64_t linear)
{
    static const int8_t first[8] = {RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX}, second[8] = {RSI, RDI, RSI, RDI, -1, -1, -1, -1};
    unsigned rm = b->o.rm16, mod = b->o.mod16;
    bool absolute = mod == 0 && rm == 6;
    uint64_t offset = offset_in(b, !absolute && first[rm] == RBP ? SEG_SS : SEG_DS, linear);
    uint64_t disp = absolute ? offset : mod == 0 ? 0 : mod == 1 ? (uint64_t)(int64_t)(int8_t)dice_roll(b->d) : dice_roll(b->d);
    put(b, mod << 6 | field | rm, 1);
    put(b, disp, absolute || mod == 2 ? 2 : mod);
    if (absolute) {
        return;
    }
    uint64_t value = offset - disp;
    if (second[rm] >= 0) {
        value -= b->gpr[second[rm]];
    }
    set_address(b, (unsigned)first[rm], value, 16);
}

static uint64_t register_part(const struct builder *b, unsigned reg)
{
    return b->o.address_bits == 64 ? b->gpr[reg] : (uint32_t)b->gpr[reg];
}

/* SDM 2A tables 2-2, 2-3 and §2.2.1.3, §2.2.1.6. `trailing`: bytes of the instruction after the address. */
static void put_address32(struct builder *b, unsigned field, uint64_t linear, unsigned trailing)
{
    const struct operands *o = &b->o;
    if (o->mode == HOW_RIP) {
        b->c->rip_relative = true;
        put(b, field | 5, 1);
        put(b, linear - (b->p->code + b->c->length + 4 + trailing), 4);
        return;
    }
    if (o->mode == HOW_ABSOLUTE) {
        bool sib = b->p->bits == 64;
        put(b, field | (sib ? 4 : 5), 1);
        put(b, 0x25, sib ? 1 : 0);
        put(b, offset_in(b, SEG_DS, linear), 4);
        return;
    }
    if (dice_below(b->d, 2)) {
        b->gpr[o->index] &= 0xffff;
    }
    if (o->mode == HOW_INDEX_ONLY) { /* only the displacement can make up for the index: it is sign-extended */
        b->gpr[o->index] = (b->gpr[o->index] & 0xffff) - 0x8000;
        put(b, field | 4, 1);
        put(b, o->scale << 6 | (o->index & 7) << 3 | 5, 1);
        put(b, offset_in(b, SEG_DS, linear) - (register_part(b, o->index) << o->scale), 4);
        return;
    }
    bool indexed = o->mode == HOW_INDEXED;
    unsigned mod = o->mode == HOW_BASE ? 0 : o->mode == HOW_BASE_DISP32 ? 2 : 1;
    if (mod == 0 && (o->base & 7) == RBP) {
        mod = 1;
    }
    int32_t disp = mod == 0   ? 0
                   : mod == 1 ? (int8_t)dice_roll(b->d)
                              : (int32_t)dice_roll(b->d) >> (dice_below(b->d, 2) ? 0 : 8);
    uint64_t value = offset_in(b, o->base == RSP || o->base == RBP ? SEG_SS : SEG_DS, linear) - (uint64_t)(int64_t)disp;
    bool sib = indexed || (o->base & 7) == RSP;
    put(b, mod << 6 | field | (sib ? 4 : (o->base & 7)), 1);
    if (sib) {
        put(b, (indexed ? o->scale << 6 | (o->index & 7) << 3 : 0x20) | (o->base & 7), 1);
    }
    put(b, (uint32_t)disp, mod == 0 ? 0 : mod == 1 ? 1 : 4);
    set_address(b, o->base, indexed ? value - (register_part(b, o->index) << o->scale) : value, o->address_bits);
}

static bool address_uses(const struct builder *b, unsigned reg)
{
    static const uint8_t used16[8] = {1 << RBX | 1 << RSI,
                                      1 << RBX | 1 << RDI,
                                      1 << RBP | 1 << RSI,
                                      1 << RBP | 1 << RDI,
                                      1 << RSI,
                                      1 << RDI,
                                      1 << RBP,
                                      1 << RBX};
    const struct operands *o = &b->o;
    if (!o->memory) {
        return false;
    }
    if (o->address_bits == 16) {
        return reg < 8 && (used16[o->rm16] >> reg & 1);
    }
    return (o->mode <= HOW_INDEXED && o->base == reg) ||
           ((o->mode == HOW_INDEXED || o->mode == HOW_INDEX_ONLY) && o->index == reg);
}

static void put_modrm(struct builder *b, unsigned reg, uint64_t linear, unsigned trailing)
{
    const struct operands *o = &b->o;
    put_prefixes(b, o->memory, 0);
    unsigned rex = (b->width == 8 && b->r->kind != STACK_RM && b->r->kind != JUMP_R ? 8u : 0u) | (reg & 8 ? 4u : 0u);
    if (o->memory) {
        rex |= address_uses(b, o->index) && (o->index & 8) ? 2u : 0u;
        rex |= address_uses(b, o->base) && (o->base & 8) ? 1u : 0u;
    } else {
        rex |= o->rm & 8 ? 1u : 0u;
    }
    put_opcode(b, rex);
    unsigned field = (reg & 7) << 3;
    if (!o->memory) {
        put(b, 0xc0 | field | (o->rm & 7), 1);
    } else if (o->address_bits == 16) {
        put_address16(b, field, linear);
    } else {
        put_address32(b, field, linear, trailing);
    }
}

/* ---- what a case needs beside its operands ---- */

static bool is_one_of(const char *name, const char *const *names)
{
    while (*names != NULL && strcmp(name, *names) != 0) {
        names++;
    }
    return *names != NULL;
}

/* SDM 2B: rotates and shifts by 0 change no flag; OF means something for 1 only; CF of SHL and SHR nothing beyond the width. */
static uint64_t defined_flags(const struct integer_row *r, unsigned count, unsigned bits)
{
    static const char *const rotates[] = {"rol", "ror", "rcl", "rcr", NULL};
    static const char *const shifts[] = {"shl", "shr", "sal", "shld", "shrd", "sar", NULL};
    bool rotate = is_one_of(r->name, rotates);
    if (!rotate && !is_one_of(r->name, shifts)) {
        return r->flags;
    }
    if (count == 0) {
        return ALL;
    }
    uint64_t f = count == 1 ? ALL : ALL & ~OF;
    if (rotate) {
        return f;
    }
    f &= ~(uint64_t)AF;
    return count >= bits && strcmp(r->name, "sar") != 0 ? f & ~(uint64_t)CF : f;
}

/* A place in the middle of the data, for stacks and strings. */
static uint64_t middle(const struct builder *b, unsigned margin)
{
    return b->p->data + margin + dice_below(b->d, NATIVE_DATA_BYTES - 2 * margin);
}
static void set_stack(struct builder *b, unsigned reg)
{
    set_address(b, reg, middle(b, 1024) - b->p->base[SEG_SS], b->p->bits);
}

static bool build_modrm(struct builder *b)
{
    const struct integer_row *r = b->r;
    struct integer_case *c = b->c;
    unsigned imm = b->width == 8 ? 4 : b->width;
    uint64_t value = dice_integer(b->d);
    bool digit = r->kind == RM_IMM8 || r->kind == RM_IMM || r->kind == RM || r->kind == M_ONLY || r->kind == STACK_RM;
    unsigned trailing = r->kind == RM_IMM8 || r->kind == RM_R_IMM8 || r->kind == R_RM_IMM8 ? 1
                        : r->kind == RM_IMM || r->kind == R_RM_IMM                         ? imm
                                                                                           : 0;
    if (r->kind == BT_RM_R && b->o.memory) {
        c->address = middle(b, 2048);
        if (address_uses(b, b->o.reg)) {
            return false;
        }
    }
    if (r->kind == STACK_RM) {
        set_stack(b, RSP);
        if (address_uses(b, RSP)) {
            return false;
        }
    }
    put_modrm(b, digit ? r->digit : b->o.reg, c->address, trailing);
    put(b, value, trailing);
    if (r->kind == BT_RM_R && b->o.memory) {
        b->gpr[b->o.reg] = (dice_roll(b->d) & 0x3fff) - 0x2000; /* bits: within 1 KiB to either side */
    }
    bool by_cl = (r->map == 0 && (r->opcode | 1) == 0xd3) || (r->map && (r->opcode == 0xa5 || r->opcode == 0xad));
    bool by_one = r->map == 0 && (r->opcode | 1) == 0xd1;
    unsigned count = by_one ? 1 : (unsigned)(by_cl ? b->gpr[RCX] : value) & (b->width == 8 ? 63 : 31);
    if (r->map && (r->opcode & 0xf6) == 0xa4 && b->width == 2 && count > 16) {
        return false; /* SDM 2B SHLD: the result is undefined */
    }
    c->flags = defined_flags(r, count, b->width * 8);
    return true;
}

static void build_string(struct builder *b)
{
    unsigned kind = b->r->kind, bits = b->o.address_bits;
    put_prefixes(b, true, kind == REP_STRING ? 0xf3 : kind == REPNE_STRING ? 0xf2 : 0);
    b->o.rex = false;
    put_opcode(b, b->width == 8 ? 8 : 0);
    uint64_t from = middle(b, 256), to = dice_below(b->d, 3) ? middle(b, 256) : from + dice_below(b->d, 64) - 32;
    set_address(b, RCX, dice_below(b->d, 24), bits);
    set_address(b, RSI, offset_in(b, SEG_DS, from), bits);
    set_address(b, RDI, to - b->p->base[SEG_ES], bits);
}

static void build_plain(struct builder *b)
{
    const struct integer_row *r = b->r;
    bool by_register = r->kind == R_IMM || r->kind == PLUS_R || r->kind == STACK_PLUS_R;
    bool wide = b->width == 8 && !uses_stack(r);
    put_prefixes(b, r->kind == XLAT, 0);
    b->o.rex &= by_register;
    put_opcode(b, (wide ? 8u : 0u) | (by_register && (b->o.reg & 8) ? 1u : 0u));
    if (by_register) {
        b->c->code[b->c->length - 1] |= b->o.reg & 7;
    }
    unsigned immediate = b->width == 8 ? 4 : b->width;
    switch (r->kind) {
    case A_IMM:
    case STACK_IMM32:
        put(b, dice_integer(b->d), immediate);
        break;
    case R_IMM:
        put(b, dice_integer(b->d), b->width);
        break;
    case IMM8_ONLY:
        put(b, dice_below(b->d, 3) ? dice_integer(b->d) : 10, 1);
        break;
    case STACK_IMM8:
        put(b, dice_integer(b->d), 1);
        break;
    case ENTER_FORM:
        put(b, dice_below(b->d, 128), 2);
        put(b, dice_below(b->d, 3) ? 0 : dice_below(b->d, 32), 1);
        break;
    default:
        break;
    }
    if (r->kind == XLAT) {
        uint64_t linear = middle(b, 512);
        set_address(b, RBX, offset_in(b, SEG_DS, linear), b->o.address_bits);
    }
    if (uses_stack(r)) {
        set_stack(b, RSP);
    }
    if (r->kind == ENTER_FORM || r->kind == LEAVE_FORM) {
        set_stack(b, RBP);
    }
}

static void build_moffs(struct builder *b)
{
    put_prefixes(b, true, 0);
    put_opcode(b, b->width == 8 ? 8 : 0);
    put(b, offset_in(b, SEG_DS, b->c->address), b->o.address_bits / 8);
}

/* PUSH imm with TF, IF, IOPL, NT and AC as they are, then POPF. */
static void build_popf(struct builder *b)
{
    put_prefixes(b, false, 0);
    put(b, 0x68, 1);
    put(b, (dice_roll(b->d) & (RFLAGS_ARITHMETIC | RFLAGS_DF)) | RFLAGS_FIXED, b->width == 8 ? 4 : b->width);
    put_prefixes(b, false, 0);
    put(b, b->r->opcode, 1);
    set_stack(b, RSP);
}

static void put_inc_a(struct builder *b)
{
    put(b, 0xc0ff, 2);
}

static void build_branch(struct builder *b)
{
    const struct integer_row *r = b->r;
    unsigned relative = b->p->bits == 16 ? 2 : 4, operand = b->width == WNONE ? relative : b->width == 8 ? 4 : b->width;
    b->o.segment = DEFAULT_SEGMENT;
    b->o.rex = false;
    switch (r->kind) {
    case JUMP8: { /* LOOP and JCXZ count in the register of the address size (SDM 2A LOOP) */
        bool counts = r->opcode >= 0xe0 && r->opcode <= 0xe3;
        put_prefixes(b, counts, 0);
        put_opcode(b, 0);
        put(b, 2, 1);
        put_inc_a(b);
        if (dice_below(b->d, 2)) {
            set_address(b, RCX, dice_below(b->d, 3), b->o.address_bits);
        }
        break;
    }
    case JUMP_NEAR:
        put_opcode(b, 0);
        put(b, 2, relative);
        put_inc_a(b);
        break;
    case CALL_NEXT:
        put_prefixes(b, false, 0);
        put_opcode(b, 0);
        put(b, 2, operand);
        put_inc_a(b);
        break;
    case JUMP_R: {
        do {
            b->o.rm = dice_below(b->d, b->p->bits == 64 ? 16 : 8);
        } while (b->o.rm == RSP);
        put_modrm(b, r->digit, 0, 0);
        put_inc_a(b);
        set_address(b, b->o.rm, b->p->code + b->c->length, b->width * 8);
        break;
    }
    default: { /* RET: PUSH imm of the place after it, then RET */
        unsigned prefixed = b->p->bits == 16 ? b->width == 4 : b->width == 2, own = r->opcode == 0xc2 ? 3 : 1;
        put_prefixes(b, false, 0);
        put(b, 0x68, 1);
        put(b, b->p->code + prefixed + 1 + operand + prefixed + own + 2, operand);
        put_prefixes(b, false, 0);
        put_opcode(b, 0);
        put(b, dice_below(b->d, 256), own - 1);
        put_inc_a(b);
        break;
    }
    }
    if (r->kind == CALL_NEXT || r->kind == RET_NEXT || r->kind == JUMP_R) {
        set_stack(b, RSP);
    }
}

/* An operand of up to 16 bytes within the data: mostly aligned, sometimes not, sometimes across the page end. */
static uint64_t choose_address(const struct place *p, struct dice *d)
{
    unsigned kind = dice_below(d, 8);
    return p->data + (kind == 0   ? PAGE_BYTES - dice_below(d, 16)
                      : kind == 1 ? dice_below(d, NATIVE_DATA_BYTES - 32)
                                  : dice_below(d, (NATIVE_DATA_BYTES - 32) / 16) * 16);
}

bool integer_build(const struct integer_row *r, const struct place *p, unsigned width, bool memory, struct dice *d,
                   struct native_state *in, struct integer_case *c)
{
    struct builder b = {.r = r, .p = p, .d = d, .gpr = in->gpr, .c = c, .width = width};
    *c = (struct integer_case){.flags = r->flags, .address = choose_address(p, d)};
    choose_operands(&b, memory);
    in->rflags |= dice_below(d, 2) ? RFLAGS_DF : 0;
    if (p->real) { /* an exception pushes on the tested stack */
        set_stack(&b, RSP);
        if (memory && address_uses(&b, RSP)) {
            return false;
        }
    }
    bool good = true;
    if (r->kind <= LAST_MODRM) {
        good = build_modrm(&b);
    } else if (r->kind >= STRING && r->kind <= REPNE_STRING) {
        build_string(&b);
    } else if (r->kind >= JUMP8) {
        build_branch(&b);
    } else if (r->kind == MOFFS) {
        build_moffs(&b);
    } else if (r->kind == POPF_FORM) {
        build_popf(&b);
    } else {
        build_plain(&b);
    }
    for (unsigned i = 0; i < 16 && p->bits != 64; i++) {
        in->gpr[i] = i < 8 ? (uint32_t)in->gpr[i] : 0;
    }
    return good;
}
