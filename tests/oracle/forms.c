/* See forms.h. */
#include "tests/oracle/forms.h"

#include <stdio.h>
#include <string.h>

/* ---- dice: splitmix64 ---- */

uint64_t dice_roll(struct dice *d)
{
    uint64_t z = d->state += 0x9e3779b97f4a7c15ULL;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

/* Singles and doubles whose handling differs: zeros, denormals, least and greatest normals, infinities, NaNs of both kinds with
 * payloads, halves, the borders of the integer formats. */
static const uint32_t singles[] = {
    0x00000000, 0x00000001, 0x00000002, 0x007fffff, 0x00400000, 0x00800000, 0x00800001, 0x00ffffff, 0x01000000,
    0x7f7fffff, 0x7f7ffffe, 0x7f000000, 0x7f800000, 0x7f800001, 0x7fbfffff, 0x7fc00000, 0x7fc12345, 0x7fffffff,
    0x7f9abcde, 0x3f800000, 0x3f800001, 0x3f7fffff, 0x3f000000, 0x3effffff, 0x3f000001, 0x3fc00000, 0x40200000,
    0x40000000, 0x4b000000, 0x4b000001, 0x4affffff, 0x4b7fffff, 0x4b800000, 0x4effffff, 0x4f000000, 0x4f000001,
    0x5f000000, 0x5effffff, 0x5f800000, 0x33800000, 0x1f800000, 0x20000000, 0x5f7fffff, 0x00100000,
};
static const uint64_t doubles[] = {
    0x0000000000000000, 0x0000000000000001, 0x000fffffffffffff, 0x0008000000000000, 0x0010000000000000, 0x0010000000000001,
    0x001fffffffffffff, 0x7fefffffffffffff, 0x7fe0000000000000, 0x7ff0000000000000, 0x7ff0000000000001, 0x7ff7ffffffffffff,
    0x7ff8000000000000, 0x7ff8123456789abc, 0x7ff4123456789abc, 0x3ff0000000000000, 0x3ff0000000000001, 0x3fefffffffffffff,
    0x3fe0000000000000, 0x3fdfffffffffffff, 0x3fe0000000000001, 0x3ff8000000000000, 0x4004000000000000, 0x4330000000000000,
    0x4330000000000001, 0x432fffffffffffff, 0x41dfffffffc00000, 0x41dfffffffe00000, 0x41e0000000000000, 0xc1e0000000200000,
    0x43e0000000000000, 0x43dfffffffffffff, 0x47efffffe0000000, 0x47efffffefffffff, 0x47effffff0000000, 0x47f0000000000000,
    0x380fffffffffffff, 0x3810000000000000, 0x36a0000000000000, 0x3690000000000000, 0x3690000000000001, 0x36b8000000000000,
};
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static uint32_t dice_single(struct dice *d)
{
    uint64_t r = dice_roll(d);
    uint32_t sign = (uint32_t)(r >> 63) << 31;
    switch (r % 5) {
    case 0:
        return (uint32_t)(r >> 16);
    case 1: /* near one, so that sums round */
        return sign | (uint32_t)(0x3f800000 + ((r >> 8 & 0x3f) - 32) * 0x800000) | (uint32_t)(r >> 24 & 0x7fffff);
    case 2: /* few bits of fraction: exact results and ties */
        return sign | (uint32_t)(0x40000000 + ((r >> 8 & 0x1f) - 8) * 0x800000) | (uint32_t)(r >> 20 & 7) << 20;
    default:
        return sign | singles[(r >> 8 & 0xffffff) % COUNT(singles)];
    }
}
static uint64_t dice_double(struct dice *d)
{
    uint64_t r = dice_roll(d), q = dice_roll(d), sign = r & 1ULL << 63;
    switch (r % 5) {
    case 0:
        return q;
    case 1:
        return sign | (0x3ff0000000000000 + ((r >> 8 & 0x3f) - 32) * 0x10000000000000) | (q & 0xfffffffffffff);
    case 2:
        return sign | (0x4000000000000000 + ((r >> 8 & 0x3f) - 8) * 0x10000000000000) | (q & 7) << 49;
    default:
        return sign | doubles[(r >> 8 & 0xffffff) % COUNT(doubles)];
    }
}

uint64_t dice_integer(struct dice *d)
{
    uint64_t r = dice_roll(d), q = dice_roll(d);
    unsigned bits = r >> 8 & 63;
    switch (r % 6) {
    case 0:
        return q;
    case 1:
        return q >> bits;
    case 2:
        return (1ULL << bits) - (r >> 16 & 1);
    case 3:
        return 0 - (q >> bits);
    case 4:
        return (uint64_t)(int64_t)(int8_t)(q & 31) - 16;
    default:
        return r >> 20 & 1 ? 0x8000000080008080 : 0x7fffffff7fff7f7f;
    }
}

/* Elements of a small alphabet with an end here and there: string compares then match. */
static void dice_text(struct dice *d, uint8_t *to, unsigned bytes)
{
    unsigned element = 1 + dice_below(d, 2), range = 2 + dice_below(d, 6), first = dice_below(d, 3) ? 'a' : 0xfd;
    memset(to, 0, bytes);
    for (unsigned i = 0; i + element <= bytes; i += element) {
        to[i] = dice_below(d, 16) ? (uint8_t)(first + dice_below(d, range)) : 0;
    }
}

void dice_operand(struct dice *d, uint8_t *to, unsigned bytes)
{
    unsigned kind = dice_below(d, 8);
    if (kind == 7) {
        dice_text(d, to, bytes);
        return;
    }
    for (unsigned i = 0; i < bytes; i += 8) {
        uint64_t x;
        if (kind < 3) {
            x = dice_single(d) | (uint64_t)dice_single(d) << 32;
        } else if (kind < 5) {
            x = dice_double(d);
        } else if (kind == 5) {
            x = dice_integer(d);
        } else {
            x = dice_roll(d);
        }
        memcpy(to + i, &x, bytes - i < 8 ? bytes - i : 8);
    }
}

/* ---- forms ---- */

static bool is_memory(unsigned shape)
{
    return shape >= SHAPE_M8 && shape <= SHAPE_M128;
}
static unsigned memory_bytes(unsigned shape)
{
    return 1u << (shape - SHAPE_M8);
}

bool form_has_memory(const struct form *f)
{
    return is_memory(f->shape[0]) || is_memory(f->shape[1]);
}

static ZydisRegister register_of(unsigned shape, unsigned n)
{
    switch (shape) {
    case SHAPE_XMM:
        return (ZydisRegister)(ZYDIS_REGISTER_XMM0 + n);
    case SHAPE_MMX:
        return (ZydisRegister)(ZYDIS_REGISTER_MM0 + (n & 7));
    case SHAPE_R8: /* AL..BL, SPL..R15B: never AH..BH */
        return n < 4 ? (ZydisRegister)(ZYDIS_REGISTER_AL + n) : (ZydisRegister)(ZYDIS_REGISTER_SPL + n - 4);
    case SHAPE_R16:
        return (ZydisRegister)(ZYDIS_REGISTER_AX + n);
    case SHAPE_R32:
        return (ZydisRegister)(ZYDIS_REGISTER_EAX + n);
    default:
        return (ZydisRegister)(ZYDIS_REGISTER_RAX + n);
    }
}

static ZydisEncoderRequest request_of(const struct form *f)
{
    ZydisEncoderRequest r = {.machine_mode = ZYDIS_MACHINE_MODE_LONG_64,
                             .allowed_encodings = ZYDIS_ENCODABLE_ENCODING_LEGACY,
                             .mnemonic = (ZydisMnemonic)f->mnemonic};
    for (unsigned i = 0; i < FORM_OPERANDS && f->shape[i] != SHAPE_NONE; i++) {
        ZydisEncoderOperand *o = &r.operands[r.operand_count++];
        if (is_memory(f->shape[i])) {
            o->type = ZYDIS_OPERAND_TYPE_MEMORY;
            o->mem.base = ZYDIS_REGISTER_RBX;
            o->mem.size = (ZyanU16)memory_bytes(f->shape[i]);
        } else if (f->shape[i] == SHAPE_IMM8) {
            o->type = ZYDIS_OPERAND_TYPE_IMMEDIATE;
            o->imm.u = 1;
        } else {
            o->type = ZYDIS_OPERAND_TYPE_REGISTER;
            o->reg.value = register_of(f->shape[i], 2);
        }
    }
    return r;
}

/* The encoder takes it, and the decoder reads it back: the same mnemonic, and memory of the size that was asked for (which the
 * encoder does not always check). */
static bool form_exists(struct form *f)
{
    ZydisEncoderRequest r = request_of(f);
    uint8_t code[ZYDIS_MAX_INSTRUCTION_LENGTH];
    ZyanUSize length = sizeof code;
    ZydisDecoder decoder;
    ZydisDecodedInstruction zi;
    ZydisDecodedOperand zo[ZYDIS_MAX_OPERAND_COUNT];
    if (!ZYAN_SUCCESS(ZydisEncoderEncodeInstruction(&r, code, &length))) {
        return false;
    }
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code, length, &zi, zo)) || zi.mnemonic != f->mnemonic) {
        return false;
    }
    for (unsigned i = 0; i < r.operand_count; i++) {
        if (is_memory(f->shape[i]) && zo[i].size != 8 * memory_bytes(f->shape[i])) {
            return false;
        }
    }
    f->isa_set = (uint16_t)zi.meta.isa_set;
    return true;
}

unsigned forms_of(uint16_t mnemonic, struct form *to, unsigned room)
{
    unsigned found = 0;
    for (unsigned a = 0; a < SHAPE_IMM8; a++) {
        for (unsigned b = 0; b < (a == SHAPE_NONE ? 1 : SHAPES); b++) {
            static const uint8_t third[] = {SHAPE_NONE, SHAPE_IMM8};
            for (unsigned c = 0; c < (b == SHAPE_NONE ? 1 : COUNT(third)); c++) {
                struct form f = {.mnemonic = mnemonic, .shape = {(uint8_t)a, (uint8_t)b, third[c]}};
                if (!(is_memory(a) && is_memory(b)) && form_exists(&f)) {
                    if (found < room) {
                        to[found] = f;
                    }
                    found++;
                }
            }
        }
    }
    return found;
}

static unsigned raw_encode(const struct raw_form *raw, unsigned first, unsigned second, uint8_t imm, uint8_t *code)
{
    unsigned reg = raw->reg_is_source ? second : first, rm = raw->reg_is_source ? first : second, n = 0;
    if (raw->prefix != 0) {
        code[n++] = raw->prefix;
    }
    uint8_t rex = (uint8_t)(0x40 | raw->wide << 3 | (reg >> 3) << 2 | rm >> 3);
    if (rex != 0x40) {
        code[n++] = rex;
    }
    code[n++] = 0x0f;
    if (raw->map != 0x0f) {
        code[n++] = raw->map;
    }
    code[n++] = raw->opcode;
    code[n++] = (uint8_t)(0xc0 | (reg & 7) << 3 | (rm & 7));
    if (raw->shape[2] == SHAPE_IMM8) {
        code[n++] = imm;
    }
    return n;
}

bool form_from_raw(const struct raw_form *raw, struct form *to)
{
    uint8_t code[FORM_BYTES_MAX];
    unsigned length = raw_encode(raw, 1, 2, 0, code);
    ZydisDecoder decoder;
    ZydisDecodedInstruction zi;
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, code, length, &zi)) || zi.mnemonic != raw->mnemonic ||
        zi.length != length) {
        return false;
    }
    *to = (struct form){.mnemonic = raw->mnemonic, .isa_set = (uint16_t)zi.meta.isa_set, .raw = raw};
    memcpy(to->shape, raw->shape, sizeof to->shape);
    return true;
}

const char *form_text(const struct form *f, char *buffer, unsigned bytes)
{
    static const char *const names[SHAPES] = {"",   "xmm", "mm",  "r8",  "r16",  "r32", "r64",
                                              "m8", "m16", "m32", "m64", "m128", "imm8"};
    int n = snprintf(buffer, bytes, "%s", ZydisMnemonicGetString((ZydisMnemonic)f->mnemonic));
    for (unsigned i = 0; i < FORM_OPERANDS && f->shape[i] != SHAPE_NONE; i++) {
        n += snprintf(buffer + n, bytes - (unsigned)n, "%s%s", i == 0 ? " " : ", ", names[f->shape[i]]);
    }
    if (f->raw != NULL) {
        snprintf(buffer + n, bytes - (unsigned)n, " (%02x%s %02x %02x)", f->raw->prefix, f->raw->wide ? " W" : "", f->raw->map,
                 f->raw->opcode);
    }
    return buffer;
}

/* ---- cases ---- */

enum { RSP_NUMBER = 4, CASE_32_BIT = 5, CASE_RIP = 8 };

/* [base], [base + index * scale + disp], the same with 32-bit registers, or [rip + disp]. */
static bool choose_address(ZydisEncoderOperand *o, struct dice *d, uint64_t code_at, uint64_t address, uint64_t gpr[16],
                           bool *rip)
{
    static const uint8_t scales[] = {1, 2, 4, 8};
    unsigned base = dice_below(d, 16), index = dice_below(d, 16), kind = dice_below(d, 16);
    uint32_t low = kind < CASE_32_BIT ? (uint32_t)ZYDIS_REGISTER_EAX : (uint32_t)ZYDIS_REGISTER_RAX;
    *rip = kind == CASE_RIP;
    if (*rip) {
        o->mem.base = ZYDIS_REGISTER_RIP;
        o->mem.displacement = (ZyanI64)(address - code_at);
        return true;
    }
    o->mem.base = (ZydisRegister)(low + base);
    o->mem.displacement = dice_below(d, 3) ? (ZyanI64)dice_below(d, 1024) - 512 : 0;
    uint64_t offset = 0;
    if (index != RSP_NUMBER && index != base && dice_below(d, 2)) {
        o->mem.index = (ZydisRegister)(low + index);
        o->mem.scale = scales[dice_below(d, 4)];
        gpr[index] = dice_below(d, 64);
        offset = gpr[index] * o->mem.scale;
    }
    gpr[base] = address - offset - (uint64_t)o->mem.displacement;
    if (kind < CASE_32_BIT) { /* the upper half is ignored */
        gpr[base] = (gpr[base] & 0xffffffff) | dice_roll(d) << 32;
    }
    return true;
}

unsigned form_encode(const struct form *f, struct dice *d, uint64_t code_at, uint64_t address, uint64_t gpr[16],
                     uint8_t code[FORM_BYTES_MAX])
{
    if (f->raw != NULL) {
        unsigned first = dice_below(d, f->shape[0] == SHAPE_MMX ? 8 : 16),
                 second = dice_below(d, f->shape[1] == SHAPE_MMX ? 8 : 16);
        return raw_encode(f->raw, first, second, (uint8_t)dice_roll(d), code);
    }
    ZydisEncoderRequest r = request_of(f);
    bool rip = false;
    for (unsigned i = 0; i < r.operand_count; i++) {
        ZydisEncoderOperand *o = &r.operands[i];
        if (is_memory(f->shape[i])) {
            if (!choose_address(o, d, code_at, address, gpr, &rip)) {
                return 0;
            }
        } else if (f->shape[i] == SHAPE_IMM8) {
            o->imm.u = dice_roll(d) & 0xff;
        } else {
            o->reg.value = register_of(f->shape[i], dice_below(d, 16));
        }
    }
    uint8_t bytes[ZYDIS_MAX_INSTRUCTION_LENGTH];
    ZyanUSize length = sizeof bytes;
    if (!ZYAN_SUCCESS(ZydisEncoderEncodeInstruction(&r, bytes, &length))) {
        return 0;
    }
    if (rip) { /* the displacement counts from the end of the instruction, whose length is known now */
        for (unsigned i = 0; i < r.operand_count; i++) {
            if (is_memory(f->shape[i])) {
                r.operands[i].mem.displacement -= (ZyanI64)length;
            }
        }
        ZyanUSize again = sizeof bytes;
        if (!ZYAN_SUCCESS(ZydisEncoderEncodeInstruction(&r, bytes, &again)) || again != length) {
            return 0;
        }
    }
    memcpy(code, bytes, length);
    return (unsigned)length;
}
