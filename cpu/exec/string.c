/* MOVS STOS LODS CMPS SCAS INS OUTS, with and without REP. SDM 2.
 *
 * A REP instruction is the last of its block. Each iteration costs what the instruction costs (the first one was charged with
 * the block) and is a boundary of its own: the loop ends at the first iteration boundary at or after the end of the budget,
 * with RIP still on the instruction. A fault in an iteration leaves the finished ones done. Bulk copies and fills do many
 * iterations at once, and give exactly the same result.
 */
#include <Zydis/Zydis.h>
#include <string.h>

#include "cpu/access.h"
#include "cpu/exec/arith.h"
#include "cpu/exec/io.h"
#include "cpu/exec/stack.h"

/* u->x: operand bytes; u->d: address bytes; u->s: segment of the source; u->imm: enum repeat. */
enum repeat { REPEAT_NONE, REPEAT_COUNT, REPEAT_WHILE_EQUAL, REPEAT_WHILE_DIFFERENT };

static inline uint64_t address_mask(const struct uop *u)
{
    return u->d == 8 ? ~0ULL : u->d == 4 ? 0xffffffffULL : 0xffffULL;
}
static inline void advance(struct vcpu *v, const struct uop *u, unsigned r, uint64_t by)
{
    uint64_t x = v->s.gpr[r] + by;
    u->d == 8   ? set_reg64(v, slot_gpr(r), x)
    : u->d == 4 ? set_reg32(v, slot_gpr(r), (uint32_t)x)
                : set_reg16(v, slot_gpr(r), (uint16_t)x);
}
static inline uint64_t step_of(const struct vcpu *v, const struct uop *u)
{
    return v->s.rflags & RFLAGS_DF ? -(uint64_t)u->x : u->x;
}
static inline uint64_t source(struct vcpu *v, const struct uop *u)
{
    return segment_linear(v, u->s, v->s.gpr[RSI] & address_mask(u), u->x, ACCESS_READ);
}
static inline uint64_t destination(struct vcpu *v, const struct uop *u, enum access access)
{
    return segment_linear(v, SEG_ES, v->s.gpr[RDI] & address_mask(u), u->x, access);
}

/* ---- one iteration of each ---- */

static inline void movs_one(struct vcpu *v, const struct uop *u)
{
    uint64_t x = load_sized(v, u, source(v, u), u->x);
    store_sized(v, u, destination(v, u, ACCESS_WRITE), u->x, x);
    advance(v, u, RSI, step_of(v, u));
    advance(v, u, RDI, step_of(v, u));
}
static inline void stos_one(struct vcpu *v, const struct uop *u)
{
    store_sized(v, u, destination(v, u, ACCESS_WRITE), u->x, v->s.gpr[RAX]);
    advance(v, u, RDI, step_of(v, u));
}
static inline void lods_one(struct vcpu *v, const struct uop *u)
{
    uint64_t x = load_sized(v, u, source(v, u), u->x);
    uint8_t a = slot_gpr(RAX);
    u->x == 1   ? set_reg8(v, a, (uint8_t)x)
    : u->x == 2 ? set_reg16(v, a, (uint16_t)x)
    : u->x == 4 ? set_reg32(v, a, (uint32_t)x)
                : set_reg64(v, a, x);
    advance(v, u, RSI, step_of(v, u));
}
static uint16_t compare(uint64_t a, uint64_t b, unsigned bytes)
{
    uint8_t a8 = (uint8_t)a;
    uint16_t a16 = (uint16_t)a;
    uint32_t a32 = (uint32_t)a;
    return bytes == 1   ? sub8(&a8, (uint8_t)b, 0)
           : bytes == 2 ? sub16(&a16, (uint16_t)b, 0)
           : bytes == 4 ? sub32(&a32, (uint32_t)b, 0)
                        : sub64(&a, b, 0);
}
static inline void cmps_one(struct vcpu *v, const struct uop *u)
{
    uint64_t a = load_sized(v, u, source(v, u), u->x), b = load_sized(v, u, destination(v, u, ACCESS_READ), u->x);
    v->fl = compare(a, b, u->x);
    advance(v, u, RSI, step_of(v, u));
    advance(v, u, RDI, step_of(v, u));
}
static inline void scas_one(struct vcpu *v, const struct uop *u)
{
    v->fl = compare(v->s.gpr[RAX], load_sized(v, u, destination(v, u, ACCESS_READ), u->x), u->x);
    advance(v, u, RDI, step_of(v, u));
}
static void ins_one(struct vcpu *v, const struct uop *u)
{
    uint64_t to = destination(v, u, ACCESS_WRITE);
    io_check(v, (uint16_t)v->s.gpr[RDX], u->x);
    vp_probe_write(v, to, u->x);
    store_sized(v, u, to, u->x, io_in(v, (uint16_t)v->s.gpr[RDX], u->x));
    advance(v, u, RDI, step_of(v, u));
}
static void outs_one(struct vcpu *v, const struct uop *u)
{
    io_check(v, (uint16_t)v->s.gpr[RDX], u->x);
    uint32_t x = (uint32_t)load_sized(v, u, source(v, u), u->x);
    io_out(v, (uint16_t)v->s.gpr[RDX], u->x, x);
    advance(v, u, RSI, step_of(v, u));
}

/* ---- many iterations at once: in flat 64-bit mode, plain memory within one page of each side ---- */

/* How many iterations the budget still allows, beyond the one already charged. */
static uint64_t iterations_left(const struct vcpu *v, uint64_t cost)
{
    return v->budget <= 0 ? 0 : ((uint64_t)v->budget + cost - 1) / cost;
}

/* The host's bytes at `linear`, and how many of its page lie ahead (or, with DF set, behind: counted from the element's end).
 */
static uint8_t *plain(uint64_t linear, uint64_t tag, uintptr_t addend, bool backwards, unsigned element_bytes,
                      uint64_t *room_bytes)
{
    uint64_t offset = linear ^ tag;
    *room_bytes = offset > PAGE_BYTES - element_bytes ? 0 : backwards ? offset + element_bytes : PAGE_BYTES - offset;
    return (uint8_t *)(linear + addend);
}

/* Iterations from here on that a bulk operation may do: not past the budget, RCX, or the end of a page. */
static uint64_t bulk_iterations(const struct vcpu *v, const struct uop *u, uint64_t cost, uint64_t room_bytes)
{
    uint64_t n = v->s.gpr[RCX], left = 1 + iterations_left(v, cost);
    n = n < left ? n : left;
    return n < room_bytes / u->x ? n : room_bytes / u->x;
}

static uint64_t movs_bulk(struct vcpu *v, const struct uop *u, uint64_t cost)
{
    bool backwards = v->s.rflags & RFLAGS_DF;
    const struct tlb_entry *r = tlb_entry_of(v, v->s.gpr[RSI]), *w = tlb_entry_of(v, v->s.gpr[RDI]);
    uint64_t from_room, to_room;
    const uint8_t *from = plain(v->s.gpr[RSI], r->read_tag, r->addend, backwards, u->x, &from_room);
    uint8_t *to = plain(v->s.gpr[RDI], w->write_tag, w->addend, backwards, u->x, &to_room);
    uint64_t n = bulk_iterations(v, u, cost, from_room < to_room ? from_room : to_room);
    if (n < 2) {
        return 0;
    }
    uint64_t bytes = n * u->x;
    if (backwards) {
        from -= bytes - u->x;
        to -= bytes - u->x;
    }
    /* A copy that runs onto its own source repeats a pattern: there the order of bytes matters. */
    if (backwards ? to < from && (uint64_t)(from - to) < bytes : to > from && (uint64_t)(to - from) < bytes) {
        return 0;
    }
    memmove(to, from, bytes);
    v->s.gpr[RSI] += backwards ? -bytes : bytes;
    v->s.gpr[RDI] += backwards ? -bytes : bytes;
    return n;
}
static uint64_t stos_bulk(struct vcpu *v, const struct uop *u, uint64_t cost)
{
    bool backwards = v->s.rflags & RFLAGS_DF;
    const struct tlb_entry *w = tlb_entry_of(v, v->s.gpr[RDI]);
    uint64_t room, a = v->s.gpr[RAX];
    uint8_t *to = plain(v->s.gpr[RDI], w->write_tag, w->addend, backwards, u->x, &room);
    uint64_t n = bulk_iterations(v, u, cost, room);
    if (n < 2) {
        return 0;
    }
    uint64_t bytes = n * u->x;
    if (backwards) {
        to -= bytes - u->x;
    }
    if (u->x == 1 || a == 0) {
        memset(to, (int)(a & 0xff), bytes);
    } else {
        for (uint64_t i = 0; i < bytes; i += u->x) {
            memcpy(to + i, &a, u->x);
        }
    }
    v->s.gpr[RDI] += backwards ? -bytes : bytes;
    return n;
}

/* ---- the loop ---- */

static inline bool may_bulk(const struct vcpu *v, const struct uop *u)
{
    return v->mode == CODE_64 && u->d == 8 && u->s < SEG_FS;
}

#define COUNT(v, u) ((v)->s.gpr[RCX] & address_mask(u))

/* `one` does an iteration; `bulk` (or NULL) several, and says how many. True when the instruction is complete. */
static inline bool repeat(struct vcpu *v, const struct uop *u, void (*one)(struct vcpu *, const struct uop *),
                          uint64_t (*bulk)(struct vcpu *, const struct uop *, uint64_t))
{
    uint64_t cost = v->cpu->cost->instruction[COST_STRING];
    if (COUNT(v, u) == 0) {
        return true;
    }
    for (;;) {
        uint64_t done = bulk != NULL && may_bulk(v, u) ? bulk(v, u, cost) : 0;
        if (done == 0) {
            one(v, u);
            done = 1;
        }
        advance(v, u, RCX, -done);
        v->budget -= (int64_t)((done - 1) * cost);
        if (COUNT(v, u) == 0) {
            return true;
        }
        bool zf = v->fl & FL_ZF;
        if ((u->imm == REPEAT_WHILE_EQUAL && !zf) || (u->imm == REPEAT_WHILE_DIFFERENT && zf)) {
            return true;
        }
        if (v->budget <= 0) {
            v->instructions--;        /* not retired yet */
            v->s.rflags |= RFLAGS_RF; /* SDM 3B §17.3.1.1: what interrupts a repetition saves RF as 1 */
            v->s.rip = v->mode == CODE_64
                           ? uop_linear(v, u)
                           : (uint32_t)(uop_linear(v, u) - v->s.seg_base[SEG_CS]) & (v->mode == CODE_16 ? 0xffffu : ~0u);
            return false;
        }
        v->budget -= (int64_t)cost; /* of the next iteration */
    }
}

#define STRING(name, bulk)                                                                                                     \
    static HANDLER(name##_once)                                                                                                \
    {                                                                                                                          \
        v->current = u;                                                                                                        \
        name##_one(v, u);                                                                                                      \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    static HANDLER(name##_repeat)                                                                                              \
    {                                                                                                                          \
        v->current = u;                                                                                                        \
        if (repeat(v, u, name##_one, bulk)) {                                                                                  \
            LEAVE_NEXT;                                                                                                        \
        }                                                                                                                      \
        LEAVE;                                                                                                                 \
    }                                                                                                                          \
    static uop_fn *const name##_table[2] = {name##_once, name##_repeat};
STRING(movs, movs_bulk)
STRING(stos, stos_bulk)
STRING(lods, NULL)
STRING(cmps, NULL)
STRING(scas, NULL)

#define STRING_IO(name)                                                                                                        \
    static HANDLER(name##_once)                                                                                                \
    {                                                                                                                          \
        vp_begin_system(v, u);                                                                                                 \
        name##_one(v, u);                                                                                                      \
        LEAVE_NEXT;                                                                                                            \
    }                                                                                                                          \
    static HANDLER(name##_repeat)                                                                                              \
    {                                                                                                                          \
        v->current = u;                                                                                                        \
        if (repeat(v, u, name##_one, NULL)) {                                                                                  \
            LEAVE_NEXT;                                                                                                        \
        }                                                                                                                      \
        LEAVE;                                                                                                                 \
    }                                                                                                                          \
    static uop_fn *const name##_table[2] = {name##_once, name##_repeat};
STRING_IO(ins)
STRING_IO(outs)

struct string_form {
    uop_fn *const *handlers;
    uint8_t bytes;
    bool compares, io;
};

static bool emit_string(struct emit *e, const struct insn *in, const void *argument)
{
    const struct string_form *f = argument;
    if (in->opcode_map != 0) {
        return false; /* MOVSD and CMPSD of SSE2 */
    }
    struct uop *u = e->u;
    bool repeats = in->rep || in->repne;
    u->x = f->bytes;
    u->d = in->address_bytes;
    u->s = in->mem.segment;
    u->ea = (uint8_t)(SEG_DS << EA_SEGMENT_SHIFT);
    u->imm = !repeats ? REPEAT_NONE : !f->compares ? REPEAT_COUNT : in->rep ? REPEAT_WHILE_EQUAL : REPEAT_WHILE_DIFFERENT;
    u->fn = f->handlers[repeats];
    e->ends_block = repeats || f->io;
    return true;
}

#define FORMS(name, compares, io)                                                                                              \
    static const struct string_form name##_8 = {name##_table, 1, compares, io}, name##_16 = {name##_table, 2, compares, io},   \
                                    name##_32 = {name##_table, 4, compares, io}, name##_64 = {name##_table, 8, compares, io};
FORMS(movs, false, false)
FORMS(stos, false, false)
FORMS(lods, false, false)
FORMS(cmps, true, false)
FORMS(scas, true, false)
static const struct string_form ins_8 = {ins_table, 1, false, true}, ins_16 = {ins_table, 2, false, true},
                                ins_32 = {ins_table, 4, false, true};
static const struct string_form outs_8 = {outs_table, 1, false, true}, outs_16 = {outs_table, 2, false, true},
                                outs_32 = {outs_table, 4, false, true};

#define ROW(mnemonic, form)                                                                                                    \
    {                                                                                                                          \
        ZYDIS_MNEMONIC_##mnemonic, COST_STRING, 0, emit_string, &form                                                          \
    }
const struct insn_row string_rows[] = {
    ROW(MOVSB, movs_8),  ROW(MOVSW, movs_16), ROW(MOVSD, movs_32), ROW(MOVSQ, movs_64), ROW(STOSB, stos_8),
    ROW(STOSW, stos_16), ROW(STOSD, stos_32), ROW(STOSQ, stos_64), ROW(LODSB, lods_8),  ROW(LODSW, lods_16),
    ROW(LODSD, lods_32), ROW(LODSQ, lods_64), ROW(CMPSB, cmps_8),  ROW(CMPSW, cmps_16), ROW(CMPSD, cmps_32),
    ROW(CMPSQ, cmps_64), ROW(SCASB, scas_8),  ROW(SCASW, scas_16), ROW(SCASD, scas_32), ROW(SCASQ, scas_64),
    ROW(INSB, ins_8),    ROW(INSW, ins_16),   ROW(INSD, ins_32),   ROW(OUTSB, outs_8),  ROW(OUTSW, outs_16),
    ROW(OUTSD, outs_32),
};
const size_t string_row_count = ARRAY_COUNT(string_rows);
