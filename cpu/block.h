/* Blocks: straight runs of decoded instructions, found by the frame and offset of their first byte.
 *
 * A block lies within one page and goes on past conditional jumps that are not taken. Its cost is charged on entry; a jump that
 * is taken gives the rest back. Direct jumps within the page are linked block to block; all others go through the VP's jump
 * cache, keyed by linear address. When a byte under a decoded instruction changes, all blocks of that frame die together, so
 * links never dangle. Memory of dead blocks is reused only after blocks_flush(), which only the run loop calls, between
 * instructions.
 */
#ifndef ORRERY_CPU_BLOCK_H
#define ORRERY_CPU_BLOCK_H

#include "cpu/insn.h"
#include "cpu/uop.h"

enum { BLOCK_INSNS_MAX = 48, BLOCK_UOPS_MAX = 2 * BLOCK_INSNS_MAX + 2, CODE_LINE_BYTES = 64 };

struct block {
    struct block *next; /* of the same hash bucket */
    struct block *next_in_frame;
    uint32_t frame;
    uint16_t offset; /* of the first byte in its page */
    uint16_t bytes;
    uint16_t cost; /* cycles */
    uint8_t insns;
    uint8_t uops; /* including the end and the exits */
    uint8_t mode; /* enum code_mode */
    uint8_t
        exits;    /* exit records of conditional jumps: the last uops. An exit holds the target (link, disp), what a taken jump
                   * gives back (cost_before, before) and the number of its jump (base); the jump's x counts uops to its exit */
    void *marker; /* NULL, at the place of a uop's fn: stops block_of() */
    uint8_t has_end; /* an op_goto follows the last instruction */
    uint8_t unused[23];
    struct uop u[];
};
_Static_assert(offsetof(struct block, u) == 64 && offsetof(struct block, marker) == 32, "block_of() walks back to the marker");

/* The block that a uop stands in. Walks back: for rare moments only. */
static inline struct block *block_of(const struct uop *u)
{
    while (u->fn != NULL) {
        u--;
    }
    return (struct block *)((char *)(uintptr_t)u - 32);
}

struct blocks;
struct blocks *blocks_create(struct cpu *c);
void blocks_destroy(struct blocks *b);
/* Drops everything. */
void blocks_flush(struct cpu *c);
/* True when there is so little room left that the run loop should flush. */
bool blocks_full(const struct blocks *b);

/* The block at a place, decoded now if need be. NULL when its first instruction crosses the page end: see block_crossing(). */
struct block *block_at(struct cpu *c, uint32_t frame, unsigned offset, enum code_mode mode);
struct block *block_find(struct cpu *c, uint32_t frame, unsigned offset, enum code_mode mode); /* NULL when not decoded */
/* A one-instruction block from bytes that span two pages; lives in the VP until the next call that hits the same entry. */
struct block *block_crossing(struct vcpu *v, const uint8_t *bytes, unsigned count, unsigned offset);
/* A copy of `insns` instructions of `b` from its start, or of the single uop `only`, in v->alone_block. */
struct block *block_truncate(struct vcpu *v, const struct block *b, unsigned insns);
struct block *block_single(struct vcpu *v, const struct uop *only);

/* Do the bytes lie under decoded instructions? */
bool blocks_cover(const struct cpu *c, uint32_t frame, unsigned offset, unsigned bytes);
/* They change: drops the frame's blocks (if covered) and empties all jump caches. */
void blocks_invalidate(struct cpu *c, uint32_t frame, unsigned offset, unsigned bytes);

/* ---- decode.c ---- */

enum decode_status { DECODE_OK, DECODE_MORE_BYTES, DECODE_INVALID, DECODE_TOO_LONG };
enum decode_status decode_insn(const uint8_t *bytes, unsigned count, enum code_mode mode, struct insn *in);
/* Decodes instructions from `bytes` (of a page, beginning at `offset`) into `b`; at most max_insns. Returns false when the
 * first one needs more bytes than there are. `b` has room for BLOCK_UOPS_MAX uops. */
bool decode_block(struct cpu *c, struct block *b, const uint8_t *bytes, unsigned count, unsigned offset, enum code_mode mode,
                  unsigned max_insns);
/* Fills c->rows from all families. */
void decode_index_rows(struct cpu *c);
const char *decode_mnemonic_name(uint16_t mnemonic);

/* ---- entering (run.c) ---- */

/* Notes where to go on when the budget does not allow a block. */
void block_refused(struct vcpu *v, const struct block *b);
/* What a direct jump does whose record is not linked: it finds the block and enters it, or leaves with s.rip set. */
HANDLER(goto_unlinked);
/* Looks in the jump cache: the block to enter, or NULL with s.rip set. `linear` is canonical. */
static inline unsigned jump_slot(uint64_t linear)
{
    return (unsigned)(linear ^ (linear >> 12)) & (JUMP_CACHE_ENTRIES - 1);
}

#define ENTER_BLOCK(v, b)                                                                                                      \
    do {                                                                                                                       \
        struct block *enter_ = (b);                                                                                            \
        (v)->budget -= enter_->cost;                                                                                           \
        if (UNLIKELY((v)->budget < 0)) {                                                                                       \
            block_refused(v, enter_);                                                                                          \
            LEAVE;                                                                                                             \
        }                                                                                                                      \
        (v)->instructions += enter_->insns;                                                                                    \
        CONTINUE_AT(v, enter_->u);                                                                                             \
    } while (0)

/* To the target of a direct jump whose record is the uop `e` (link, disp). */
#define GOTO_DIRECT(v, e)                                                                                                      \
    do {                                                                                                                       \
        struct block *goto_ = (e)->link;                                                                                       \
        if (UNLIKELY(goto_ == NULL)) {                                                                                         \
            TAIL_CALL goto_unlinked(v, e); /* a plain call would give every jump a stack frame */                              \
        }                                                                                                                      \
        ENTER_BLOCK(v, goto_);                                                                                                 \
    } while (0)

/* To any canonical RIP in 64-bit mode. */
#define GOTO_RIP64(v, target)                                                                                                  \
    do {                                                                                                                       \
        uint64_t rip_ = (target);                                                                                              \
        const struct jump_entry *jump_ = &(v)->jumps[jump_slot(rip_)];                                                         \
        if (UNLIKELY(jump_->key != (rip_ ^ (v)->jump_salt))) {                                                                 \
            LEAVE_AT(v, rip_);                                                                                                 \
        }                                                                                                                      \
        (v)->code_base = rip_ & ~PAGE_OFFSET_MASK;                                                                             \
        ENTER_BLOCK(v, jump_->block);                                                                                          \
    } while (0)

HANDLER(op_goto);
HANDLER(op_undefined); /* #UD */
HANDLER(op_too_long);  /* #GP(0): more than 15 bytes */

#endif
