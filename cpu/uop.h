/* Decoded operations and how handlers follow each other.
 *
 * A handler does one instruction and ends with NEXT (the following uop) or LEAVE (back to the run loop). In the threaded build
 * both are tail calls; in the plain build (-O0, sanitizers) a loop calls one handler after the other. A handler loads and
 * checks first and changes state last: a fault in the middle leaves by longjmp and must leave nothing behind.
 */
#ifndef ORRERY_CPU_UOP_H
#define ORRERY_CPU_UOP_H

#include "cpu/vcpu.h"

#ifdef ORRERY_THREADED
#define HANDLER_RESULT void
#if defined(__clang__)
#define TAIL_CALL __attribute__((musttail)) return
#else
#define TAIL_CALL return
#endif
/* The address is in its register before the jump: left to itself, gcc loads the handler from the old one, and moves. */
#define CONTINUE_AT(v, next)                                                                                                   \
    do {                                                                                                                       \
        const struct uop *continue_at_ = (next);                                                                               \
        __asm__("" : "+r"(continue_at_));                                                                                      \
        TAIL_CALL continue_at_->fn(v, continue_at_);                                                                           \
    } while (0)
#define LEAVE return
#else
#define HANDLER_RESULT const struct uop *
#define TAIL_CALL return
#define CONTINUE_AT(v, next) return (next)
#define LEAVE return NULL
#endif

/* HANDLER(name) { ... NEXT; } */
#define HANDLER(name) HANDLER_RESULT name(struct vcpu *v, const struct uop *u)
#define NEXT CONTINUE_AT(v, u + 1)

typedef HANDLER_RESULT uop_fn(struct vcpu *v, const struct uop *u);

struct uop {
    uop_fn *fn; /* NULL marks a block's header (block.h) */
    union {
        uint64_t imm;
        struct block *link; /* of a direct jump: where it leads, once known */
    };
    int32_t disp;         /* displacement; for RIP-relative it counts from the page start, with base = SLOT_CODE_BASE */
    uint16_t offset;      /* of the instruction's first byte from v->code_base */
    uint16_t cost_before; /* cycles of the block's instructions before this one */
    uint8_t d, s;         /* operands: byte offset of a GPR slot (low byte of the operand), or number of an XMM, ST, CR ... */
    uint8_t base, index;  /* byte offsets of 8-byte slots; SLOT_ZERO when absent */
    uint8_t ea;           /* enum ea_bits */
    uint8_t length;       /* of the instruction, in bytes */
    uint8_t before;       /* instructions of the block before this one */
    uint8_t x;            /* the operation's own: condition, count, third register ... */
};
_Static_assert(sizeof(struct uop) == 32, "two to a cache line");

enum ea_bits {
    EA_SCALE = 0x03,
    EA_SEGMENT_SHIFT = 2,
    EA_SEGMENT = 0x1c,
    EA_ADDRESS_SHIFT = 5,
    EA_ADDRESS = 0x60,
    EA_NO_SEGMENT = 7,
    EA_ENDS_BLOCK = 0x80 /* the last instruction of its block, after which nothing follows by itself */
};
/* Address size in ea: 0 = 16 bits, 1 = 32, 2 = 64. */

static inline uint8_t slot_gpr(unsigned r)
{
    return (uint8_t)(SLOT_GPR + 8 * r);
}
/* Address of the instruction, and of the one after it. In 64-bit mode that is RIP; else it is linear, and RIP = linear -
 * CS.base. */
static inline uint64_t uop_linear(const struct vcpu *v, const struct uop *u)
{
    return v->code_base + u->offset;
}
static inline uint64_t uop_next_linear(const struct vcpu *v, const struct uop *u)
{
    return v->code_base + u->offset + u->length;
}
/* RIP after the instruction (wrapped to 32 or 16 bits outside 64-bit mode). */
static inline uint64_t uop_next_rip(const struct vcpu *v, const struct uop *u)
{
    uint64_t linear = uop_next_linear(v, u);
    return LIKELY(v->mode == CODE_64) ? linear
                                      : (uint32_t)(linear - v->s.seg_base[SEG_CS]) & (v->mode == CODE_16 ? 0xffffu : ~0u);
}

/* Registers by slot. Writing 32 bits clears the upper half; 8 and 16 leave the rest. */
static inline uint8_t reg8(const struct vcpu *v, uint8_t slot)
{
    return *((const uint8_t *)v + slot);
}
static inline uint16_t reg16(const struct vcpu *v, uint8_t slot)
{
    uint16_t x;
    __builtin_memcpy(&x, (const char *)v + slot, 2);
    return x;
}
static inline uint32_t reg32(const struct vcpu *v, uint8_t slot)
{
    uint32_t x;
    __builtin_memcpy(&x, (const char *)v + slot, 4);
    return x;
}
static inline uint64_t reg64(const struct vcpu *v, uint8_t slot)
{
    uint64_t x;
    __builtin_memcpy(&x, (const char *)v + slot, 8);
    return x;
}
static inline void set_reg8(struct vcpu *v, uint8_t slot, uint8_t x)
{
    *((uint8_t *)v + slot) = x;
}
static inline void set_reg16(struct vcpu *v, uint8_t slot, uint16_t x)
{
    __builtin_memcpy((char *)v + slot, &x, 2);
}
static inline void set_reg32(struct vcpu *v, uint8_t slot, uint32_t x)
{
    uint64_t wide = x;
    __builtin_memcpy((char *)v + slot, &wide, 8);
}
static inline void set_reg64(struct vcpu *v, uint8_t slot, uint64_t x)
{
    __builtin_memcpy((char *)v + slot, &x, 8);
}

/* ---- ends of blocks (run.c, block.c) ---- */

/* Leaves to the run loop, which looks at attention, time and the block at s.rip. */
#define LEAVE_AT(v, new_rip)                                                                                                   \
    do {                                                                                                                       \
        (v)->s.rip = (new_rip);                                                                                                \
        LEAVE;                                                                                                                 \
    } while (0)
/* For a system instruction that changed nothing the run loop must see: on to the next instruction. */
#define LEAVE_NEXT LEAVE_AT(v, uop_next_rip(v, u))

#endif
