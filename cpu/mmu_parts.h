/* What the four files of the MMU share: mmu_walk.c (the tables as the SDM has them), mmu_tables.c (which entries are in use),
 * mmu_tlb.c (the software TLBs) and mmu.c (translation and its policy). Private to them. */
#ifndef ORRERY_CPU_MMU_PARTS_H
#define ORRERY_CPU_MMU_PARTS_H

#include "cpu/mmu.h"

enum { PTE_P = 1, PTE_W = 2, PTE_U = 4, PTE_A = 0x20, PTE_D = 0x40, PTE_PS = 0x80 };
#define PTE_G 0x100ULL
#define PTE_NX (1ULL << 63)
#define PTE_ADDRESS 0x000ffffffffff000ULL

/* ---- mmu_walk.c ---- */

struct step { /* one table entry that was used */
    uint32_t frame;
    uint16_t offset;
    uint8_t bytes;
    uint64_t entry;
};
struct walk {
    struct step step[5];
    unsigned steps;
    uint64_t rights; /* AND of W and U over all levels; NX or-ed at bit 63 */
    uint64_t page;   /* guest-physical address of the 4 KiB page */
    uint64_t page_bytes;
    uint32_t error; /* of a page fault, when walk_tables() says no: P and RSVD */
};
/* By the tables that CR3 names, in the current mode; false: not mapped, w->error. Changes nothing. */
bool walk_tables(struct vcpu *v, uint64_t linear, struct walk *w);
/* Sets the accessed bits on the way, and for a write the dirty bit. An entry that lies where the
 * guest may not write is returned, with nothing set, when that write is to raise an exception; else NULL. */
const struct step *walk_set_accessed(struct vcpu *v, const struct walk *w, bool write);
uint64_t walk_read_entry(struct vcpu *v, uint64_t address, unsigned bytes, struct step *s);
/* SDM 3A §4.6: may this access use these rights? And the error code if not. */
bool walk_access_allowed(const struct vcpu *v, uint64_t rights, enum access access, enum tlb_kind kind);
uint32_t walk_fault_error(const struct vcpu *v, uint32_t error, enum access access, enum tlb_kind kind);

/* ---- mmu_tables.c ---- */

enum use_kind { USE_UPPER, USE_LEAF, USE_LEAF_OF_CODE };
/* `linear_base`: of the 2 MiB that a table of 4 KiB pages serves; UINT64_MAX when one leaf may stand for several pages. */
void tables_note_use(struct cpu *c, uint32_t frame, unsigned offset, enum use_kind kind, uint64_t linear_base);
bool tables_full(const struct cpu *c);
void tables_forget(struct cpu *c);
/* Would a change of these bytes of a table touch the way to code? Then it must happen in an instruction that runs alone. */
bool tables_write_matters(const struct cpu *c, uint32_t frame, unsigned offset, unsigned bytes);

/* ---- mmu_tlb.c ---- */

/* A tag that no address which selects entry `i` can come near: it names another entry's page. Zero for all but the first, so
 * that memory fresh from the host is an empty TLB and no page of it is touched before it is used. */
static inline uint64_t tlb_empty_tag(unsigned i)
{
    return i == 0 ? PAGE_BYTES : 0;
}
/* Drops what derives from a leaf, in every VP. `linear` is the only address where it can be in use; UINT64_MAX: anywhere.
 * `code`: it is on the way to instructions. */
void tlb_drop_leaf(struct cpu *c, uint64_t leaf, bool code, uint64_t linear);
/* The address space of another CR3: one that is remembered, or else the one used longest ago, emptied. */
void tlb_switch_space(struct vcpu *v, uint64_t key);

#endif
