/* Translation, below the access functions. Private to cpu/: mmu.c, mmu_stale.c, access.c. */
#ifndef ORRERY_CPU_MMU_H
#define ORRERY_CPU_MMU_H

#include "cpu/access.h"

/* Where an access that lies within one page goes. */
struct place {
    uint8_t *host; /* NULL: MMIO, the local APIC, or nothing */
    uint64_t gpa;
    uint32_t frame;
    bool read_only; /* a page that the guest may not write: mmu_refuse_write() */
    bool lapic;     /* this VP's local APIC page */
};
struct place mmu_place(struct vcpu *v, uint64_t linear, enum access access, enum tlb_kind kind);
/* A write to a page that the guest may not write: raises what the page's owner wants; returns where it is to be lost. */
void mmu_refuse_write(struct vcpu *v, uint32_t frame);
/* Guest-physical address of an instruction byte that is not in memory. */
uint64_t mmu_fetch_gpa(struct vcpu *v, uint64_t linear);
/* Would writing here change decoded code, or the way to it? Then the instruction must run alone. */
bool mmu_write_needs_alone(struct vcpu *v, const struct place *p, unsigned bytes);

struct mmu_shared *mmu_shared_create(struct memory *m);
void mmu_shared_destroy(struct mmu_shared *t);
void mmu_init_vp(struct vcpu *v);
/* The memory listener. */
void mmu_tracked_write(void *cpu, uint32_t frame, uint32_t offset, uint32_t bytes);
void mmu_map_changed(void *cpu);

/* ---- policy `stalest` (mmu_stale.c): an unbounded TLB that is part of the machine's state ---- */
struct stale_translation {
    uint64_t page;       /* guest-physical */
    uint64_t rights;     /* W, U, NX over all levels */
    uint64_t page_bytes; /* of the page that the tables name: INVLPG takes all its parts */
    bool dirty, global;
};
struct stale_entries *stale_create(void);
void stale_destroy(struct stale_entries *s);
bool stale_find(struct vcpu *v, uint64_t linear, struct stale_translation *t);
void stale_add(struct vcpu *v, uint64_t linear, const struct stale_translation *t);
void stale_drop(struct vcpu *v, uint64_t linear); /* the current space's and global entries of the 4 KiB page */
void stale_flush(struct vcpu *v);                 /* all */
void stale_invlpg(struct vcpu *v, uint64_t linear);
void stale_invpcid(struct vcpu *v, unsigned type, uint16_t pcid, uint64_t linear);
void stale_cr3_written(struct vcpu *v, uint64_t value, bool keep);
void stale_controls_changed(struct vcpu *v, uint64_t old_cr0, uint64_t old_cr4);
void stale_flush_space(struct vcpu *v, uint64_t cr3, bool all_spaces, bool leave_global);
void stale_flush_range(struct vcpu *v, uint64_t cr3, bool all_spaces, uint64_t from, uint64_t last);
void stale_state(struct state *s, struct vcpu *v);

#endif
