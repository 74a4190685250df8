/* From bytes to blocks of uops. Zydis decodes; what exists on this processor is decided here, by instruction set and model, and
 * by whether a family of cpu/exec/ has a row for the mnemonic. All else is #UD.
 */
#include <Zydis/Zydis.h>
#include <string.h>

#include "cpu/block.h"
#include "cpu/exec/control.h"

/* ---- one instruction ---- */

static void init_decoder(ZydisDecoder *d, enum code_mode mode)
{
    static const struct {
        ZydisMachineMode machine;
        ZydisStackWidth stack;
    } modes[CODE_MODES] = {
        [CODE_64] = {ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64},
        [CODE_32] = {ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32},
        [CODE_16] = {ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16},
    };
    ZydisDecoderInit(d, modes[mode].machine, modes[mode].stack);
    /* Encodings that are NOPs or older instructions on a processor without these extensions. */
    ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
    ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
    ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_LZCNT, ZYAN_FALSE);
    ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_TZCNT, ZYAN_FALSE);
    ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_WBNOINVD, ZYAN_FALSE);
    ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
}

static void fill_register(struct operand *o, ZydisRegister r)
{
    ZydisRegisterClass class = ZydisRegisterGetClass(r);
    o->reg = (uint8_t)ZydisRegisterGetId(r);
    switch (class) {
    case ZYDIS_REGCLASS_GPR8:
        o->kind = OPERAND_GPR;
        if (r >= ZYDIS_REGISTER_AL && r <= ZYDIS_REGISTER_BL) {
            o->reg = (uint8_t)(r - ZYDIS_REGISTER_AL);
        } else if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH) {
            o->reg = (uint8_t)(r - ZYDIS_REGISTER_AH);
            o->high = true;
        } else {
            o->reg = (uint8_t)(r - ZYDIS_REGISTER_SPL + RSP);
        }
        break;
    case ZYDIS_REGCLASS_GPR16:
    case ZYDIS_REGCLASS_GPR32:
    case ZYDIS_REGCLASS_GPR64:
        o->kind = OPERAND_GPR;
        break;
    case ZYDIS_REGCLASS_XMM:
        o->kind = OPERAND_XMM;
        break;
    case ZYDIS_REGCLASS_MMX:
        o->kind = OPERAND_MMX;
        break;
    case ZYDIS_REGCLASS_X87:
        o->kind = OPERAND_ST;
        break;
    case ZYDIS_REGCLASS_SEGMENT:
        o->kind = OPERAND_SEG;
        break;
    case ZYDIS_REGCLASS_CONTROL:
        o->kind = OPERAND_CR;
        break;
    case ZYDIS_REGCLASS_DEBUG:
        o->kind = OPERAND_DR;
        break;
    default:
        o->kind = OPERAND_NONE;
        break;
    }
}

static int8_t address_register(ZydisRegister r)
{
    if (r == ZYDIS_REGISTER_NONE) {
        return -1;
    }
    if (r == ZYDIS_REGISTER_RIP || r == ZYDIS_REGISTER_EIP) {
        return 16;
    }
    return (int8_t)ZydisRegisterGetId(r);
}

static uint64_t sign_extend(uint64_t value, unsigned bits)
{
    return bits == 0 || bits >= 64 ? value : (uint64_t)((int64_t)(value << (64 - bits)) >> (64 - bits));
}

static void fill_memory(struct insn *in, const ZydisDecodedOperandMem *m)
{
    in->has_mem = true;
    in->mem.base = address_register(m->base);
    in->mem.index = address_register(m->index);
    in->mem.scale_log2 = m->index == ZYDIS_REGISTER_NONE || m->scale <= 1 ? 0 : m->scale == 2 ? 1 : m->scale == 4 ? 2 : 3;
    in->mem.disp = m->disp.value;
    in->mem.segment = m->segment == ZYDIS_REGISTER_NONE ? SEG_DS : (uint8_t)ZydisRegisterGetId(m->segment);
}

static void fill_operand(struct insn *in, struct operand *o, const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *zo,
                         unsigned *immediates)
{
    o->bytes = (uint8_t)(zo->size / 8);
    switch (zo->type) {
    case ZYDIS_OPERAND_TYPE_REGISTER:
        fill_register(o, zo->reg.value);
        break;
    case ZYDIS_OPERAND_TYPE_MEMORY:
        o->kind = OPERAND_MEM;
        fill_memory(in, &zo->mem);
        break;
    case ZYDIS_OPERAND_TYPE_POINTER:
        o->kind = OPERAND_FAR;
        in->imm = zo->ptr.offset;
        in->imm2 = zo->ptr.segment;
        break;
    case ZYDIS_OPERAND_TYPE_IMMEDIATE: {
        o->kind = OPERAND_IMM;
        unsigned n = (*immediates)++;
        uint64_t value = sign_extend(zo->imm.value.u, n < 2 ? zi->raw.imm[n].size : 0);
        *(n == 0 ? &in->imm : &in->imm2) = value;
        break;
    }
    default:
        break;
    }
}

static uint8_t segment_of(ZydisInstructionAttributes a, uint8_t otherwise)
{
    return a & ZYDIS_ATTRIB_HAS_SEGMENT_ES   ? SEG_ES
           : a & ZYDIS_ATTRIB_HAS_SEGMENT_CS ? SEG_CS
           : a & ZYDIS_ATTRIB_HAS_SEGMENT_SS ? SEG_SS
           : a & ZYDIS_ATTRIB_HAS_SEGMENT_DS ? SEG_DS
           : a & ZYDIS_ATTRIB_HAS_SEGMENT_FS ? SEG_FS
           : a & ZYDIS_ATTRIB_HAS_SEGMENT_GS ? SEG_GS
                                             : otherwise;
}

static void fill_prefixes(struct insn *in, const ZydisDecodedInstruction *zi)
{
    in->lock = zi->attributes & ZYDIS_ATTRIB_HAS_LOCK;
    for (unsigned i = 0; i < zi->raw.prefix_count; i++) {
        uint8_t p = zi->raw.prefixes[i].value;
        if (p == 0xf3 || p == 0xf2) { /* the last one counts */
            in->rep = p == 0xf3;
            in->repne = p == 0xf2;
        }
    }
    in->mem.segment_override = zi->attributes & ZYDIS_ATTRIB_HAS_SEGMENT;
    if (!in->has_mem) {
        in->mem.base = in->mem.index = -1;
        in->mem.segment = segment_of(zi->attributes, SEG_DS);
        if (in->mode == CODE_64 && in->mem.segment < SEG_FS) {
            in->mem.segment = SEG_DS;
        }
    }
}

enum decode_status decode_insn(const uint8_t *bytes, unsigned count, enum code_mode mode, struct insn *in)
{
    ZydisDecoder decoder;
    ZydisDecoderContext context;
    ZydisDecodedInstruction zi;
    ZydisDecodedOperand zo[ZYDIS_MAX_OPERAND_COUNT_VISIBLE];
    init_decoder(&decoder, mode);
    ZyanStatus status = ZydisDecoderDecodeInstruction(&decoder, &context, bytes, count > 15 ? 15 : count, &zi);
    if (!ZYAN_SUCCESS(status)) {
        if (status == ZYDIS_STATUS_NO_MORE_DATA) {
            return count >= 15 ? DECODE_TOO_LONG : DECODE_MORE_BYTES;
        }
        return status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG ? DECODE_TOO_LONG : DECODE_INVALID;
    }
    unsigned operands = zi.operand_count_visible > 4 ? 4 : zi.operand_count_visible;
    if (operands != 0 && !ZYAN_SUCCESS(ZydisDecoderDecodeOperands(&decoder, &context, &zi, zo, zi.operand_count_visible))) {
        return DECODE_INVALID;
    }
    *in = (struct insn){
        .mnemonic = (uint16_t)zi.mnemonic,
        .isa_set = (uint16_t)zi.meta.isa_set,
        .length = zi.length,
        .mode = (uint8_t)mode,
        .operand_bytes = (uint8_t)(zi.operand_width / 8),
        .address_bytes = (uint8_t)(zi.address_width / 8),
        .stack_bytes = mode == CODE_64 ? 8 : 0,
        .operands = (uint8_t)operands,
        .opcode = zi.opcode,
        .opcode_map = (uint8_t)zi.opcode_map,
        .modrm = (uint8_t)(zi.raw.modrm.mod << 6 | zi.raw.modrm.reg << 3 | zi.raw.modrm.rm),
    };
    unsigned immediates = 0;
    for (unsigned i = 0; i < operands; i++) {
        fill_operand(in, &in->op[i], &zi, &zo[i], &immediates);
    }
    fill_prefixes(in, &zi);
    return DECODE_OK;
}

const char *decode_mnemonic_name(uint16_t mnemonic)
{
    return ZydisMnemonicGetString((ZydisMnemonic)mnemonic);
}

/* ---- what exists ---- */

/* The feature that brings an instruction set; FEATURES: always there; -1: never. */
static int feature_of_isa_set(uint16_t isa_set)
{
    switch (isa_set) {
    case ZYDIS_ISA_SET_I86:
    case ZYDIS_ISA_SET_I186:
    case ZYDIS_ISA_SET_I286REAL:
    case ZYDIS_ISA_SET_I286PROTECTED:
    case ZYDIS_ISA_SET_I386:
    case ZYDIS_ISA_SET_I486:
    case ZYDIS_ISA_SET_I486REAL:
    case ZYDIS_ISA_SET_PENTIUMREAL:
    case ZYDIS_ISA_SET_PPRO:
    case ZYDIS_ISA_SET_FAT_NOP:
    case ZYDIS_ISA_SET_PREFETCH_NOP:
    case ZYDIS_ISA_SET_PAUSE:
    case ZYDIS_ISA_SET_LONGMODE: /* SYSCALL and others check their own feature */
    case ZYDIS_ISA_SET_AMD:
    case ZYDIS_ISA_SET_RDPMC:
    case ZYDIS_ISA_SET_SVM: /* VMMCALL, VMCALL: of these two sets only they have rows */
    case ZYDIS_ISA_SET_VTX:
        return FEATURES;
    case ZYDIS_ISA_SET_X87:
        return FEAT_FPU;
    case ZYDIS_ISA_SET_FCMOV:
    case ZYDIS_ISA_SET_CMOV:
        return FEAT_CMOV;
    case ZYDIS_ISA_SET_PENTIUMMMX:
        return FEAT_MMX;
    case ZYDIS_ISA_SET_FXSAVE:
    case ZYDIS_ISA_SET_FXSAVE64:
        return FEAT_FXSR;
    case ZYDIS_ISA_SET_SSE:
    case ZYDIS_ISA_SET_SSEMXCSR:
    case ZYDIS_ISA_SET_SSE_PREFETCH:
        return FEAT_SSE;
    case ZYDIS_ISA_SET_SSE2:
    case ZYDIS_ISA_SET_SSE2MMX:
        return FEAT_SSE2;
    case ZYDIS_ISA_SET_SSE3:
    case ZYDIS_ISA_SET_SSE3X87:
        return FEAT_SSE3;
    case ZYDIS_ISA_SET_SSSE3:
    case ZYDIS_ISA_SET_SSSE3MMX:
        return FEAT_SSSE3;
    case ZYDIS_ISA_SET_SSE4:
        return FEAT_SSE41;
    case ZYDIS_ISA_SET_SSE42:
        return FEAT_SSE42;
    case ZYDIS_ISA_SET_POPCNT:
        return FEAT_POPCNT;
    case ZYDIS_ISA_SET_CLFSH:
        return FEAT_CLFLUSH;
    case ZYDIS_ISA_SET_CMPXCHG16B:
        return FEAT_CX16;
    case ZYDIS_ISA_SET_LAHF:
        return FEATURES; /* optional in 64-bit mode only: the row checks */
    case ZYDIS_ISA_SET_MONITOR:
        return FEAT_MONITOR;
    case ZYDIS_ISA_SET_RDTSCP:
        return FEAT_RDTSCP;
    case ZYDIS_ISA_SET_RDWRFSGS:
        return FEAT_FSGSBASE;
    case ZYDIS_ISA_SET_SMAP:
        return FEAT_SMAP;
    case ZYDIS_ISA_SET_XSAVE:
        return FEAT_XSAVE;
    case ZYDIS_ISA_SET_INVPCID:
        return FEAT_INVPCID;
    case ZYDIS_ISA_SET_RDRAND:
        return FEAT_RDRAND;
    case ZYDIS_ISA_SET_RDSEED:
        return FEAT_RDSEED;
    default:
        return -1;
    }
}

/* The first row that takes the instruction fills in *u; NULL: #UD. */
static const struct insn_row *emit_by_rows(const struct cpu *c, const struct insn *in, struct emit *e)
{
    int feature = feature_of_isa_set(in->isa_set);
    if (feature < 0 || (feature != FEATURES && !model_has(&c->config.model, (enum cpu_feature)feature))) {
        return NULL;
    }
    const struct uop blank = *e->u;
    for (unsigned i = 0; i < INSN_ROWS_MAX && c->rows[in->mnemonic][i] != NULL; i++) {
        const struct insn_row *row = c->rows[in->mnemonic][i];
        if ((row->flags & INSN_NOT_64) && in->mode == CODE_64) {
            continue;
        }
        if (row->emit(e, in, row->argument)) {
            e->ends_block |= row->flags & INSN_ENDS_BLOCK;
            return row;
        }
        *e->u = blank;
        e->ends_block = false;
    }
    return NULL;
}

static void add_row(struct cpu *c, const struct insn_row *row)
{
    unsigned i = 0;
    while (c->rows[row->mnemonic][i] != NULL) {
        i++;
        assert(i < INSN_ROWS_MAX);
    }
    c->rows[row->mnemonic][i] = row;
}

void decode_index_rows(struct cpu *c)
{
    _Static_assert(ZYDIS_MNEMONIC_MAX_VALUE < ARRAY_COUNT(((struct cpu *)0)->rows), "room for every mnemonic");
#define X(family)                                                                                                              \
    for (size_t i = 0; i < family##_row_count; i++) {                                                                          \
        add_row(c, &family##_rows[i]);                                                                                         \
    }
    INSN_FAMILIES(X)
#undef X
}

/* ---- helpers of emit functions ---- */

bool emit_plain(struct emit *e, const struct insn *in, const void *argument)
{
    e->u->fn = *(uop_fn *const *)argument;
    return true;
}

static bool fits_int32(int64_t x)
{
    return x == (int32_t)x;
}

bool emit_memory(struct emit *e, const struct insn *in)
{
    struct uop *u = e->u;
    unsigned address = in->address_bytes == 8 ? 2 : in->address_bytes == 4 ? 1 : 0;
    u->base = in->mem.base < 0 ? SLOT_ZERO : slot_gpr((unsigned)in->mem.base);
    u->index = in->mem.index < 0 ? SLOT_ZERO : slot_gpr((unsigned)in->mem.index);
    u->ea = (uint8_t)(in->mem.scale_log2 | in->mem.segment << EA_SEGMENT_SHIFT | address << EA_ADDRESS_SHIFT);
    int64_t disp = in->mem.disp;
    if (in->mem.base == 16) {
        u->base = SLOT_CODE_BASE;
        disp += u->offset + u->length;
        if (!fits_int32(disp)) {
            disp -= 2 * PAGE_BYTES;
            u->index = SLOT_TWO_PAGES;
        }
    }
    u->disp = (int32_t)disp; /* 64-bit absolute addresses (MOV moffs) have handlers of their own */
    if (in->mode != CODE_64 || address != 2) {
        return false;
    }
    if (in->mem.segment >= SEG_FS) {
        uint8_t slot = (uint8_t)(SLOT_SEG + 8 * in->mem.segment);
        if (u->base == SLOT_ZERO) {
            u->base = slot;
        } else if (u->index == SLOT_ZERO) {
            u->index = slot;
        } else {
            return false;
        }
        /* The base is in a slot now: the general variant must not add it again. */
        u->ea = (uint8_t)((u->ea & ~EA_SEGMENT) | SEG_DS << EA_SEGMENT_SHIFT);
    }
    return true;
}

/* ---- blocks ---- */

struct builder {
    struct cpu *c;
    struct block *b;
    struct uop exits[BLOCK_INSNS_MAX]; /* of conditional jumps, in order */
    unsigned exit_count;
    unsigned cost, insns;
    bool ended;
};

/* A conditional jump: its exit record holds where it goes, and for now what was charged up to and with it. */
static void add_exit(struct builder *w, struct uop *jump, const struct insn *in, unsigned at)
{
    int64_t target = (int64_t)at + in->length + (int64_t)in->imm;
    w->exits[w->exit_count++] = (struct uop){.fn = op_goto,
                                             .disp = (int32_t)target,
                                             .base = (uint8_t)(jump - w->b->u),
                                             .cost_before = (uint16_t)w->cost,
                                             .before = (uint8_t)w->insns};
}

static void finish_block(struct builder *w, unsigned next_offset)
{
    struct block *b = w->b;
    if (!w->ended) {
        b->u[b->uops++] = (struct uop){.fn = op_goto, .disp = (int32_t)next_offset};
        b->has_end = 1;
    } else {
        b->u[b->uops - 1].ea |= EA_ENDS_BLOCK;
    }
    for (unsigned i = 0; i < w->exit_count; i++) {
        struct uop *e = &b->u[b->uops];
        *e = w->exits[i];
        e->cost_before = (uint16_t)(w->cost - e->cost_before);
        e->before = (uint8_t)(w->insns - e->before);
        b->u[e->base].x = (uint8_t)(b->uops - e->base);
        b->uops++;
    }
    b->exits = (uint8_t)w->exit_count;
    b->cost = (uint16_t)w->cost;
    b->insns = (uint8_t)w->insns;
}

/* One uop for one instruction; a compare and the conditional jump after it become one uop for both. */
static void add_insn(struct builder *w, const struct insn *in, enum decode_status status, unsigned at,
                     const struct insn *previous)
{
    struct block *b = w->b;
    struct uop *u = &b->u[b->uops];
    *u = (struct uop){
        .offset = (uint16_t)at, .length = in->length, .cost_before = (uint16_t)w->cost, .before = (uint8_t)w->insns};
    struct emit e = {.model = &w->c->config.model, .cost = w->c->cost, .u = u};
    int condition = status == DECODE_OK ? control_condition(in) : -1;
    if (condition >= 0 && fits_int32((int64_t)at + in->length + (int64_t)in->imm)) {
        uop_fn *fused = previous != NULL ? control_fused(previous, (unsigned)condition) : NULL;
        w->cost += w->c->cost->instruction[COST_BRANCH];
        w->insns++;
        if (fused != NULL) {
            u = &b->u[b->uops - 1];
            u->fn = fused;
            u->length = (uint8_t)(u->length + in->length);
        } else {
            u->fn = control_jcc((unsigned)condition);
            b->uops++;
        }
        add_exit(w, u, in, at);
        return;
    }
    const struct insn_row *row = status == DECODE_OK ? emit_by_rows(w->c, in, &e) : NULL;
    if (row != NULL) {
        w->ended = e.ends_block;
    } else {
        u->fn = status == DECODE_TOO_LONG ? op_too_long : op_undefined;
        w->ended = true;
    }
    w->cost += w->c->cost->instruction[row != NULL ? row->cost_class : COST_SIMPLE];
    w->insns++;
    b->uops++;
}

bool decode_block(struct cpu *c, struct block *b, const uint8_t *bytes, unsigned count, unsigned offset, enum code_mode mode,
                  unsigned max_insns)
{
    struct builder w = {.c = c, .b = b};
    *b = (struct block){.offset = (uint16_t)offset, .mode = (uint8_t)mode};
    struct insn in[2] = {{0}};
    unsigned at = 0;
    bool fusible = false;
    while (w.insns < max_insns && !w.ended && at < count) {
        struct insn *this = &in[w.insns & 1];
        enum decode_status status = decode_insn(bytes + at, count - at, mode, this);
        if (status == DECODE_MORE_BYTES) {
            break;
        }
        if (status != DECODE_OK) {
            *this = (struct insn){.length = 1, .mode = (uint8_t)mode};
        }
        unsigned before = b->uops;
        add_insn(&w, this, status, offset + at, fusible ? &in[(w.insns & 1) ^ 1] : NULL);
        fusible = b->uops == before + 1 && !w.ended && control_condition(this) < 0;
        at += this->length;
    }
    if (w.insns == 0) {
        return false;
    }
    b->bytes = (uint16_t)at;
    finish_block(&w, offset + at);
    return true;
}
