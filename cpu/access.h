/* Effective addresses and fast memory access for handlers.
 *
 * A handler exists in two variants. The *flat* one is for 64-bit mode without oddities: EA = base + index*scale + disp, all
 * slots; FS and GS bases are slots too. The *general* one (suffix _g) calls ea_general() for everything else: segments with
 * limits, 16- and 32-bit addresses. The decoder chooses, so generality costs the flat path nothing.
 *
 * Loads and stores look in the software TLB and fall out of line on a miss. The slow forms translate, fault by longjmp, put
 * together page-crossing accesses, and do MMIO, for which they first restart the instruction alone.
 */
#ifndef ORRERY_CPU_ACCESS_H
#define ORRERY_CPU_ACCESS_H

#include "cpu/uop.h"

enum access { ACCESS_READ, ACCESS_WRITE, ACCESS_EXECUTE };

static inline uint64_t ea_flat(const struct vcpu *v, const struct uop *u)
{
    return slot64(v, u->base) + (slot64(v, u->index) << (u->ea & EA_SCALE)) + (uint64_t)(int64_t)u->disp;
}
/* Linear address after segment checks for an access of `bytes`; raises #GP(0) or #SS(0). `access` READ or WRITE (for a
 * read-modify-write: WRITE). */
uint64_t ea_general(struct vcpu *v, const struct uop *u, unsigned bytes, enum access access);
/* The offset alone (LEA), without segment, cut to the address size. */
uint64_t ea_offset(const struct vcpu *v, const struct uop *u);
/* Checks `offset` in a segment and adds its base, in any mode; for stack, string and implicit operands. */
uint64_t segment_linear(struct vcpu *v, unsigned segment, uint64_t offset, unsigned bytes, enum access access);

uint64_t load_slow(struct vcpu *v, const struct uop *u, uint64_t linear, unsigned bytes);
void store_slow(struct vcpu *v, const struct uop *u, uint64_t linear, unsigned bytes, uint64_t value);
void load_wide_slow(struct vcpu *v, const struct uop *u, uint64_t linear, unsigned bytes, void *to); /* up to 64 bytes */
void store_wide_slow(struct vcpu *v, const struct uop *u, uint64_t linear, unsigned bytes,
                     const void *from); /* up to 64 bytes */
/* For a read-modify-write: a pointer to the bytes, readable and writable. If it is v->bounce.data, modify_done() writes it
 * back. */
void *modify_slow(struct vcpu *v, const struct uop *u, uint64_t linear, unsigned bytes);
void modify_done_slow(struct vcpu *v, const struct uop *u);

static inline struct tlb_entry *tlb_entry_of(const struct vcpu *v, uint64_t linear)
{
    return &v->tlb->e[(linear >> PAGE_SHIFT) & v->tlb_mask];
}

/* Whether an access of `bytes` is a hit, and where its bytes then lie. For the few handlers so frequent that they hand a miss
 * to a twin of theirs by a tail call, and so need no stack frame; all others use loadN() and storeN(). */
static inline bool tlb_hit(uint64_t linear, uint64_t tag, unsigned bytes)
{
    return LIKELY((linear ^ tag) <= PAGE_BYTES - bytes);
}
static inline void *tlb_host(const struct tlb_entry *e, uint64_t linear)
{
    return (void *)(linear + e->addend);
}

#define ACCESS_FORMS(bits, type)                                                                                               \
    static inline type load##bits(struct vcpu *v, const struct uop *u, uint64_t linear)                                        \
    {                                                                                                                          \
        const struct tlb_entry *e = tlb_entry_of(v, linear);                                                                   \
        if (LIKELY((linear ^ e->read_tag) <= PAGE_BYTES - sizeof(type))) {                                                     \
            type x;                                                                                                            \
            __builtin_memcpy(&x, (const void *)(linear + e->addend), sizeof x);                                                \
            return x;                                                                                                          \
        }                                                                                                                      \
        return (type)load_slow(v, u, linear, sizeof(type));                                                                    \
    }                                                                                                                          \
    static inline void store##bits(struct vcpu *v, const struct uop *u, uint64_t linear, type x)                               \
    {                                                                                                                          \
        const struct tlb_entry *e = tlb_entry_of(v, linear);                                                                   \
        if (LIKELY((linear ^ e->write_tag) <= PAGE_BYTES - sizeof(type))) {                                                    \
            __builtin_memcpy((void *)(linear + e->addend), &x, sizeof x);                                                      \
            return;                                                                                                            \
        }                                                                                                                      \
        store_slow(v, u, linear, sizeof(type), x);                                                                             \
    }                                                                                                                          \
    typedef type unaligned_##type __attribute__((aligned(1), may_alias));                                                      \
    static inline unaligned_##type *modify##bits(struct vcpu *v, const struct uop *u, uint64_t linear)                         \
    {                                                                                                                          \
        const struct tlb_entry *e = tlb_entry_of(v, linear);                                                                   \
        if (LIKELY((linear ^ e->write_tag) <= PAGE_BYTES - sizeof(type))) {                                                    \
            return (unaligned_##type *)(linear + e->addend);                                                                   \
        }                                                                                                                      \
        return modify_slow(v, u, linear, sizeof(type));                                                                        \
    }
ACCESS_FORMS(8, uint8_t)
ACCESS_FORMS(16, uint16_t)
ACCESS_FORMS(32, uint32_t)
ACCESS_FORMS(64, uint64_t)
#undef ACCESS_FORMS

/* After the new value was put through the pointer of modifyN(). A write permission implies read permission here. */
static inline void modify_done(struct vcpu *v, const struct uop *u, const void *p)
{
    if (UNLIKELY(p == (const void *)v->bounce.data)) {
        modify_done_slow(v, u);
    }
}

static inline xmm_t load128(struct vcpu *v, const struct uop *u, uint64_t linear)
{
    const struct tlb_entry *e = tlb_entry_of(v, linear);
    xmm_t x;
    if (LIKELY((linear ^ e->read_tag) <= PAGE_BYTES - 16)) {
        __builtin_memcpy(&x, (const void *)(linear + e->addend), 16);
    } else {
        load_wide_slow(v, u, linear, 16, &v->bounce.data[32]);
        __builtin_memcpy(&x, &v->bounce.data[32], 16);
    }
    return x;
}
static inline void store128(struct vcpu *v, const struct uop *u, uint64_t linear, xmm_t x)
{
    const struct tlb_entry *e = tlb_entry_of(v, linear);
    if (LIKELY((linear ^ e->write_tag) <= PAGE_BYTES - 16)) {
        __builtin_memcpy((void *)(linear + e->addend), &x, 16);
    } else {
        __builtin_memcpy(&v->bounce.data[32], &x, 16);
        store_wide_slow(v, u, linear, 16, &v->bounce.data[32]);
    }
}

/* Both variants of a handler from one body: EA(bytes, access) gives the linear address in each. Usage:
 *     #define BODY { uint64_t a = EA(8, ACCESS_READ); ...; NEXT; }
 *     HANDLER_PAIR(op_name, BODY)                                        -> op_name (flat) and op_name_g (general)   */
#define EA_IN_FLAT(bytes, access) ea_flat(v, u)
#define EA_IN_GENERAL(bytes, access) ea_general(v, u, bytes, access)

#endif
