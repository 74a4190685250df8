/* Fuzzer of the decoder (libFuzzer): the input is code, read in each of the three modes. What must hold: no crash; a length of
 * 1 to 15 bytes that are there; the same answer twice, and from exactly the bytes of the instruction; with one byte less no
 * instruction; and of blocks: at most what was asked for, the same twice, all bytes within the page. */
#include <stdlib.h>
#include <string.h>

#include "cpu/block.h"
#include "cpu/vcpu.h"
#include "tests/unit/cpu_system_fixture.h"

enum { BLOCK_BYTES = sizeof(struct block) + BLOCK_UOPS_MAX * sizeof(struct uop) };

static bool insn_equal(const struct insn *a, const struct insn *b)
{
    bool head = a->mnemonic == b->mnemonic && a->isa_set == b->isa_set && a->length == b->length && a->mode == b->mode &&
                a->operand_bytes == b->operand_bytes && a->address_bytes == b->address_bytes &&
                a->stack_bytes == b->stack_bytes && a->lock == b->lock && a->rep == b->rep && a->repne == b->repne &&
                a->has_mem == b->has_mem && a->operands == b->operands;
    bool mem = a->mem.base == b->mem.base && a->mem.index == b->mem.index && a->mem.scale_log2 == b->mem.scale_log2 &&
               a->mem.segment == b->mem.segment && a->mem.segment_override == b->mem.segment_override &&
               a->mem.disp == b->mem.disp;
    bool tail = a->imm == b->imm && a->imm2 == b->imm2 && a->opcode == b->opcode && a->modrm == b->modrm &&
                a->opcode_map == b->opcode_map;
    for (unsigned i = 0; i < a->operands && i < ARRAY_COUNT(a->op); i++) {
        tail &= a->op[i].kind == b->op[i].kind && a->op[i].bytes == b->op[i].bytes && a->op[i].reg == b->op[i].reg &&
                a->op[i].high == b->op[i].high;
    }
    return head && mem && tail;
}

static void insn_try(const uint8_t *bytes, unsigned count, enum code_mode mode)
{
    struct insn one, two; /* filled differently: a field that is left alone shows */
    memset(&one, 0, sizeof one);
    memset(&two, 1, sizeof two);
    enum decode_status status = decode_insn(bytes, count, mode, &one);
    cr_assert(decode_insn(bytes, count, mode, &two) == status);
    cr_assert(status != DECODE_MORE_BYTES || count < 15);
    if (status != DECODE_OK) {
        return;
    }
    cr_assert(one.length >= 1 && one.length <= 15 && one.length <= count && one.operands <= ARRAY_COUNT(one.op));
    cr_assert(insn_equal(&one, &two));
    uint8_t *exact = malloc(one.length); /* ASan guards its end */
    memcpy(exact, bytes, one.length);
    cr_assert(decode_insn(exact, one.length, mode, &two) == DECODE_OK && insn_equal(&one, &two));
    cr_assert(decode_insn(exact, one.length - 1u, mode, &two) != DECODE_OK);
    free(exact);
}

static void block_try(struct cpu *c, const uint8_t *bytes, unsigned count, enum code_mode mode, unsigned max_insns)
{
    static _Alignas(64) uint8_t room[2][BLOCK_BYTES]; /* written anew for each block */
    struct block *a = (struct block *)room[0], *b = (struct block *)room[1];
    memset(room, 0, sizeof room);
    unsigned offset = PAGE_BYTES - count;
    bool made = decode_block(c, a, bytes, count, offset, mode, max_insns);
    cr_assert(made == decode_block(c, b, bytes, count, offset, mode, max_insns));
    if (!made) {
        cr_assert(count < 15);
        return;
    }
    cr_assert(a->insns >= 1 && a->insns <= max_insns && a->uops <= BLOCK_UOPS_MAX && a->bytes <= count);
    cr_assert(a->insns == b->insns && a->uops == b->uops && a->cost == b->cost && a->bytes == b->bytes && a->exits == b->exits);
    for (unsigned i = 0; i < a->uops; i++) {
        cr_assert(a->u[i].fn != NULL && a->u[i].fn == b->u[i].fn && a->u[i].offset == b->u[i].offset &&
                  a->u[i].disp == b->u[i].disp);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct guest guests[2]; /* made once; decoding changes nothing in them */
    if (guests[0].cpu == NULL) {
        guests[0] = guest_create(VENDOR_AMD);
        guests[1] = guest_create(VENDOR_INTEL);
    }
    if (size < 2 || size > 256) {
        return 0;
    }
    const struct guest *g = &guests[data[0] & 1];
    for (unsigned mode = 0; mode < CODE_MODES; mode++) {
        for (size_t at = 1; at < size; at++) {
            insn_try(data + at, (unsigned)(size - at), mode);
        }
        block_try(g->cpu, data + 1, (unsigned)size - 1, mode, 1 + (data[0] >> 1) % BLOCK_INSNS_MAX);
    }
    return 0;
}
