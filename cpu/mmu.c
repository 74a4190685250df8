/* Paging: the walk of every mode, and the software TLBs that remember its results.
 *
 * Policy `fresh`: the guest sees memory as if there were no TLB at all. So every translation kept here must die when a table entry
 * that it derives from changes. Page-table frames are watched (MEMORY_TABLE); for each we know which 8-byte slots are in use, as a leaf or
 * higher up. A write to a leaf slot in use drops the translations that name it; to a higher one, everything. A slot not in use
 * (not present, or never walked) costs nothing: so filling page tables is cheap.
 * INVLPG and CR3 reloads have therefore nothing to do but what the hardware does for itself. Policy `stalest` is in mmu_stale.c.
 *
 * Accessed and dirty bits are set only when the whole access is allowed (SDM 3A §4.8 leaves it open for faulting ones).
 */
#include "cpu/mmu.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cpu/block.h"

enum { PTE_P = 1, PTE_W = 2, PTE_U = 4, PTE_A = 0x20, PTE_D = 0x40, PTE_PS = 0x80 };
#define PTE_G 0x100ULL
#define PTE_NX (1ULL << 63)
#define PTE_ADDRESS 0x000ffffffffff000ULL

/* ---- which table entries are in use ---- */

struct table_use {
    uint32_t frame;
    bool many;              /* as a table of 4 KiB pages it was met at several linear addresses */
    uint64_t linear_base;   /* ... or only at this one (UINT64_MAX: at none yet) */
    uint64_t leaf[8], upper[8], code[8]; /* one bit for each 8-byte slot; `code`: a leaf on the way to instructions */
};
struct mmu_shared {
    uint32_t *use_of_frame; /* 0: not a table; else index into `use` + 1. Sparse: host pages appear as touched */
    size_t map_bytes;
    struct table_use *use;
    uint32_t count, room;
};
enum { TABLES_MAX = 4096 }; /* more tables than this in use: forget all translations and begin anew */

struct mmu_shared *mmu_shared_create(struct memory *m)
{
    struct mmu_shared *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return NULL;
    }
    t->map_bytes = (size_t)memory_frame_count(m) * sizeof *t->use_of_frame;
    t->use_of_frame = mmap(NULL, t->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    t->use = calloc(TABLES_MAX, sizeof *t->use);
    if (t->use_of_frame == MAP_FAILED || t->use == NULL) {
        abort();
    }
    t->room = TABLES_MAX;
    return t;
}

void mmu_shared_destroy(struct mmu_shared *t)
{
    if (t != NULL) {
        munmap(t->use_of_frame, t->map_bytes);
        free(t->use);
        free(t);
    }
}

static void forget_table(struct cpu *c, uint32_t n)
{
    struct mmu_shared *t = c->tables;
    t->use_of_frame[t->use[n].frame] = 0;
    memory_track_clear(c->machine->memory, t->use[n].frame, MEMORY_TABLE);
    t->count--;
    if (n != t->count) {
        t->use[n] = t->use[t->count];
        t->use_of_frame[t->use[n].frame] = n + 1;
    }
}

static void forget_tables(struct cpu *c)
{
    while (c->tables->count != 0) {
        forget_table(c, c->tables->count - 1);
    }
}

enum use_kind { USE_UPPER, USE_LEAF, USE_LEAF_OF_CODE };

/* `linear_base`: of the 2 MiB that a table of 4 KiB pages serves; UINT64_MAX when one leaf may stand for several pages. */
static void note_use(struct cpu *c, uint32_t frame, unsigned offset, enum use_kind kind, uint64_t linear_base)
{
    struct mmu_shared *t = c->tables;
    uint32_t n = t->use_of_frame[frame];
    if (n == 0) {
        mmu_withhold_write(c, frame, MEMORY_TABLE);
        t->use[t->count] = (struct table_use){.frame = frame, .linear_base = UINT64_MAX};
        n = t->use_of_frame[frame] = ++t->count;
    }
    struct table_use *u = &t->use[n - 1];
    unsigned slot = offset >> 3;
    uint64_t bit = 1ULL << (slot & 63);
    if (kind == USE_UPPER) {
        u->upper[slot >> 6] |= bit;
        return;
    }
    u->leaf[slot >> 6] |= bit;
    u->code[slot >> 6] |= kind == USE_LEAF_OF_CODE ? bit : 0;
    u->many |= linear_base == UINT64_MAX || (u->linear_base != UINT64_MAX && u->linear_base != linear_base);
    u->linear_base = linear_base;
}

static bool table_unused(const struct table_use *u)
{
    uint64_t any = 0;
    for (unsigned i = 0; i < 8; i++) {
        any |= u->leaf[i] | u->upper[i];
    }
    return any == 0;
}

/* ---- the software TLBs ---- */

/* A tag that no address which selects entry `i` can come near: it names the neighbour's page. */
static uint64_t empty_tag(unsigned i)
{
    return (uint64_t)(i ^ 1) << PAGE_SHIFT;
}

static void clear_entry(struct tlb *t, unsigned i)
{
    t->e[i] = (struct tlb_entry){.read_tag = empty_tag(i), .write_tag = empty_tag(i), .leaf_gpa = UINT64_MAX};
}

static void flush_tlb(const struct vcpu *v, struct tlb *t)
{
    if (t->used_count <= ARRAY_COUNT(t->used)) {
        for (uint32_t i = 0; i < t->used_count; i++) {
            clear_entry(t, t->used[i]);
        }
    } else {
        for (unsigned i = 0; i <= v->tlb_mask; i++) {
            clear_entry(t, i);
        }
    }
    t->used_count = 0;
}

static void flush_space(struct vcpu *v, struct address_space *a)
{
    for (unsigned k = 0; k < TLB_KINDS; k++) {
        flush_tlb(v, &a->tlbs[k]);
    }
    for (unsigned i = 0; i < CODE_TLB_ENTRIES; i++) {
        a->code_tlb[i].linear_page = UINT64_MAX;
    }
    a->key = SPACE_UNUSED;
}

void mmu_init_vp(struct vcpu *v)
{
    for (unsigned n = 0; n < ADDRESS_SPACES; n++) {
        for (unsigned k = 0; k < TLB_KINDS; k++) {
            v->spaces[n].tlbs[k].used_count = UINT32_MAX;
            for (unsigned i = v->tlb_mask + 1; i < TLB_ENTRIES_MAX; i++) {
                clear_entry(&v->spaces[n].tlbs[k], i);
            }
        }
        flush_space(v, &v->spaces[n]);
    }
}

void mmu_flush(struct vcpu *v)
{
    for (unsigned n = 0; n < ADDRESS_SPACES; n++) {
        if (&v->spaces[n] == v->space || v->spaces[n].key != SPACE_UNUSED) {
            flush_space(v, &v->spaces[n]);
        }
    }
    v->space->key = v->s.cr3 & PTE_ADDRESS;
    vp_forget_jumps(v);
}

void mmu_flush_all(struct cpu *c)
{
    for (unsigned i = 0; i < c->vp_count; i++) {
        mmu_flush(c->vps[i]);
    }
    forget_tables(c);
}

/* The address space of another CR3: one that is remembered, or else the one used longest ago, emptied. */
static void switch_space(struct vcpu *v, uint64_t key)
{
    struct address_space *oldest = NULL, *found = NULL;
    for (unsigned n = 0; n < ADDRESS_SPACES; n++) {
        struct address_space *a = &v->spaces[n];
        if (a->key == key) {
            found = a;
        }
        if (a != v->space && (oldest == NULL || a->last_use < oldest->last_use)) {
            oldest = a;
        }
    }
    if (found == NULL) {
        found = oldest;
        flush_space(v, found);
        vp_forget_space_jumps(v, found);
        found->key = key;
    }
    found->last_use = ++v->space_uses;
    v->space = found;
    vp_derive(v);
}

/* Every VP's write permissions; for one frame, or for all when `frame` is FRAME_NONE. */
static void revoke_write(struct cpu *c, uint32_t frame)
{
    uintptr_t host = frame == FRAME_NONE ? 0 : (uintptr_t)memory_frame_host(c->machine->memory, frame);
    for (unsigned n = 0; n < c->vp_count; n++) {
        struct vcpu *v = c->vps[n];
        for (unsigned k = 0; k < ADDRESS_SPACES * TLB_KINDS; k++) {
            struct tlb *t = &v->spaces[k / TLB_KINDS].tlbs[k % TLB_KINDS];
            if (t->used_count == 0) {
                continue;
            }
            for (unsigned i = 0; i <= v->tlb_mask; i++) {
                struct tlb_entry *e = &t->e[i];
                if (frame == FRAME_NONE || e->write_tag + e->addend == host) {
                    e->write_tag = empty_tag(i);
                }
            }
        }
    }
}

void mmu_withhold_write(struct cpu *c, uint32_t frame, uint8_t bit)
{
    /* Only a frame that is already dirty can have a write permission out (see fill()). */
    if (memory_track(c->machine->memory, frame) & MEMORY_DIRTY) {
        revoke_write(c, frame);
    }
    memory_track_set(c->machine->memory, frame, bit);
}

void cpu_drop_writable(struct cpu *c)
{
    revoke_write(c, FRAME_NONE);
}

/* Drops what derives from a leaf. `linear` is the only address where it can be in use; UINT64_MAX: anywhere. */
static void drop_from_tlb(const struct vcpu *v, struct tlb *t, uint64_t leaf, uint64_t linear)
{
    if (t->used_count == 0) {
        return;
    }
    if (linear != UINT64_MAX) {
        unsigned i = (linear >> PAGE_SHIFT) & v->tlb_mask;
        if (t->e[i].leaf_gpa == leaf) {
            clear_entry(t, i);
        }
        return;
    }
    for (unsigned i = 0; i <= v->tlb_mask; i++) {
        if (t->e[i].leaf_gpa == leaf) {
            clear_entry(t, i);
        }
    }
}

static void drop_leaf(struct cpu *c, uint64_t leaf, bool code, uint64_t linear)
{
    for (unsigned n = 0; n < c->vp_count; n++) {
        struct vcpu *v = c->vps[n];
        for (unsigned k = 0; k < ADDRESS_SPACES * TLB_KINDS; k++) {
            drop_from_tlb(v, &v->spaces[k / TLB_KINDS].tlbs[k % TLB_KINDS], leaf, linear);
        }
        if (!code) {
            continue;
        }
        for (unsigned k = 0; k < ADDRESS_SPACES; k++) {
            for (unsigned i = 0; i < CODE_TLB_ENTRIES; i++) {
                if (v->spaces[k].code_tlb[i].leaf_gpa == leaf) {
                    v->spaces[k].code_tlb[i].linear_page = UINT64_MAX;
                }
            }
        }
        vp_forget_jumps(v);
    }
}

/* Would a change of these bytes of a table touch the way to code? Then it must happen in an instruction that runs alone. */
static bool table_write_matters(const struct cpu *c, uint32_t frame, unsigned offset, unsigned bytes)
{
    const struct mmu_shared *t = c->tables;
    uint32_t n = t->use_of_frame[frame];
    if (n == 0) {
        return false;
    }
    const struct table_use *u = &t->use[n - 1];
    for (unsigned slot = offset >> 3; slot <= (offset + bytes - 1) >> 3; slot++) {
        if ((u->upper[slot >> 6] | u->code[slot >> 6]) >> (slot & 63) & 1) {
            return true;
        }
    }
    return false;
}

static void table_written(struct cpu *c, uint32_t frame, unsigned offset, unsigned bytes)
{
    struct mmu_shared *t = c->tables;
    uint32_t n = t->use_of_frame[frame];
    if (n == 0) {
        return;
    }
    struct table_use *u = &t->use[n - 1];
    bool used = false;
    for (unsigned slot = offset >> 3; slot <= (offset + bytes - 1) >> 3; slot++) {
        uint64_t bit = 1ULL << (slot & 63);
        if (u->upper[slot >> 6] & bit) {
            mmu_flush_all(c);
            return;
        }
        if (u->leaf[slot >> 6] & bit) {
            uint64_t linear = u->many || u->linear_base == UINT64_MAX ? UINT64_MAX : u->linear_base + ((uint64_t)slot << PAGE_SHIFT);
            drop_leaf(c, (uint64_t)frame << PAGE_SHIFT | slot << 3, u->code[slot >> 6] & bit, linear);
            u->leaf[slot >> 6] &= ~bit;
            u->code[slot >> 6] &= ~bit;
            used = true;
        }
    }
    if (!used && table_unused(u)) {
        forget_table(c, n - 1); /* no table any more, as far as we know */
    }
}

void mmu_tracked_write(void *cpu, uint32_t frame, uint32_t offset, uint32_t bytes)
{
    struct cpu *c = cpu;
    uint8_t track = memory_track(c->machine->memory, frame);
    if (track & MEMORY_CODE) {
        blocks_invalidate(c, frame, offset, bytes);
    }
    if ((track & MEMORY_TABLE) && c->config.policy == TRANSLATE_FRESH) {
        table_written(c, frame, offset, bytes);
    }
}

void mmu_map_changed(void *cpu)
{
    mmu_flush_all(cpu);
}

/* ---- the walk ---- */

struct step { /* one table entry that was used */
    uint32_t frame;
    uint16_t offset;
    uint8_t bytes;
    uint64_t entry;
};

static uint64_t read_entry(struct vcpu *v, uint64_t address, unsigned bytes, struct step *s)
{
    bool writable;
    uint64_t at = address & v->cpu->a20_mask;
    s->frame = memory_frame(v->machine->memory, gpa(at), &writable);
    s->offset = (uint16_t)(at & PAGE_OFFSET_MASK);
    s->bytes = (uint8_t)bytes;
    s->entry = bytes == 8 ? ~0ULL : 0xffffffffULL; /* nothing there: all ones */
    if (s->frame != FRAME_NONE) {
        s->entry = 0;
        memcpy(&s->entry, memory_frame_host(v->machine->memory, s->frame) + s->offset, bytes);
    }
    return s->entry;
}

static void set_bits(struct vcpu *v, const struct step *s, uint64_t bits)
{
    if ((s->entry & bits) != bits && s->frame != FRAME_NONE) {
        uint64_t entry = s->entry | bits;
        memory_dirty(v->machine->memory, s->frame);
        memcpy(memory_frame_host(v->machine->memory, s->frame) + s->offset, &entry, s->bytes);
    }
}

struct walk {
    struct step step[5];
    unsigned steps;
    uint64_t rights; /* AND of W and U over all levels; NX or-ed at bit 63 */
    uint64_t page;   /* guest-physical address of the 4 KiB page */
    uint64_t page_bytes;
    uint32_t error;  /* of a page fault, when walk_tables() says no: P and RSVD */
};

/* Addresses above MAXPHYADDR and NX without EFER.NXE are reserved (SDM 3A §4.4.2, §4.5.4). */
static uint64_t reserved_bits(const struct vcpu *v)
{
    uint64_t r = PTE_ADDRESS & ~((1ULL << v->cpu->config.model.physical_bits) - 1);
    return v->s.efer & EFER_NXE ? r : r | PTE_NX;
}

static bool walk_fail(struct walk *w, uint32_t error)
{
    w->error = error;
    return false;
}

static bool walk_long(struct vcpu *v, uint64_t linear, struct walk *w)
{
    uint64_t reserved = reserved_bits(v), table = v->s.cr3 & PTE_ADDRESS;
    w->rights = PTE_W | PTE_U;
    for (int level = v->s.cr4 & CR4_LA57 ? 4 : 3; level >= 0; level--) {
        struct step *s = &w->step[w->steps++];
        uint64_t e = read_entry(v, table + (linear >> (12 + 9 * level) & 511) * 8, 8, s);
        if (!(e & PTE_P)) {
            return walk_fail(w, 0);
        }
        bool large = level > 0 && (e & PTE_PS);
        uint64_t r = reserved;
        if (large) {
            if (level > 2 || (level == 2 && !vp_has(v, FEAT_PDPE1GB))) {
                r |= PTE_PS;
            } else {
                r |= ((1ULL << (12 + 9 * level)) - 1) & ~0x1fffULL; /* bit 12 is PAT */
            }
        }
        if (e & r) {
            return walk_fail(w, 1 | 8);
        }
        w->rights = (w->rights & (e | PTE_NX)) | (e & PTE_NX);
        if (level == 0 || large) {
            w->page_bytes = 1ULL << (12 + 9 * level);
            w->page = ((e & PTE_ADDRESS & ~(w->page_bytes - 1)) | (linear & (w->page_bytes - 1))) & ~PAGE_OFFSET_MASK;
            return true;
        }
        table = e & PTE_ADDRESS;
    }
    return false;
}

static bool walk_pae(struct vcpu *v, uint64_t linear, struct walk *w)
{
    uint64_t reserved = reserved_bits(v) | 0x7ff0000000000000ULL, pdpte = v->s.pdpte[linear >> 30 & 3];
    if (!(pdpte & PTE_P)) {
        return walk_fail(w, 0);
    }
    uint64_t table = pdpte & PTE_ADDRESS;
    w->rights = PTE_W | PTE_U;
    for (int level = 1; level >= 0; level--) {
        struct step *s = &w->step[w->steps++];
        uint64_t e = read_entry(v, table + (linear >> (12 + 9 * level) & 511) * 8, 8, s);
        if (!(e & PTE_P)) {
            return walk_fail(w, 0);
        }
        bool large = level == 1 && (e & PTE_PS);
        if (e & (reserved | (large ? 0x1fe000ULL : 0))) {
            return walk_fail(w, 1 | 8);
        }
        w->rights = (w->rights & (e | PTE_NX)) | (e & PTE_NX);
        if (level == 0 || large) {
            w->page_bytes = large ? 2 << 20 : PAGE_BYTES;
            w->page = ((e & PTE_ADDRESS & ~(w->page_bytes - 1)) | (linear & (w->page_bytes - 1))) & ~PAGE_OFFSET_MASK;
            return true;
        }
        table = e & PTE_ADDRESS;
    }
    return false;
}

static bool walk_32bit(struct vcpu *v, uint64_t linear, struct walk *w)
{
    struct step *s = &w->step[w->steps++];
    uint64_t e = read_entry(v, (v->s.cr3 & 0xfffff000) + (linear >> 22 & 1023) * 4, 4, s);
    if (!(e & PTE_P)) {
        return walk_fail(w, 0);
    }
    w->rights = e & (PTE_W | PTE_U);
    if ((e & PTE_PS) && (v->s.cr4 & CR4_PSE)) {
        uint64_t high = vp_has(v, FEAT_PSE36) ? (e >> 13 & 0xff) << 32 : 0;
        uint64_t reserved = vp_has(v, FEAT_PSE36) ? 1u << 21 : 0x3fe000u;
        if ((e & reserved) || (high >> v->cpu->config.model.physical_bits) != 0) {
            return walk_fail(w, 1 | 8);
        }
        w->page_bytes = 4 << 20;
        w->page = high | (e & 0xffc00000) | (linear & 0x3ff000);
        return true;
    }
    s = &w->step[w->steps++];
    e = read_entry(v, (e & 0xfffff000) + (linear >> 12 & 1023) * 4, 4, s);
    if (!(e & PTE_P)) {
        return walk_fail(w, 0);
    }
    w->rights &= e;
    w->page_bytes = PAGE_BYTES;
    w->page = e & 0xfffff000;
    return true;
}

static bool walk_tables(struct vcpu *v, uint64_t linear, struct walk *w)
{
    w->steps = 0;
    w->error = 0;
    if (!(v->s.cr0 & CR0_PG)) {
        w->rights = PTE_W | PTE_U;
        w->page = linear & ~PAGE_OFFSET_MASK;
        w->page_bytes = PAGE_BYTES;
        return true;
    }
    if (v->s.efer & EFER_LMA) {
        return walk_long(v, linear, w);
    }
    return v->s.cr4 & CR4_PAE ? walk_pae(v, linear, w) : walk_32bit(v, linear, w);
}

/* SDM 3A §4.6: may this access use these rights? */
static bool access_allowed(const struct vcpu *v, uint64_t rights, enum access access, enum tlb_kind kind)
{
    bool user = kind == TLB_USER;
    if (!(v->s.cr0 & CR0_PG)) {
        return true;
    }
    if (user && !(rights & PTE_U)) {
        return false;
    }
    switch (access) {
    case ACCESS_EXECUTE:
        return !(rights & PTE_NX) && (user || !(rights & PTE_U) || !(v->s.cr4 & CR4_SMEP));
    case ACCESS_WRITE:
        if (!(rights & PTE_W) && (user || (v->s.cr0 & CR0_WP))) {
            return false;
        }
        break;
    case ACCESS_READ:
        break;
    }
    return user || !(rights & PTE_U) || !(v->s.cr4 & CR4_SMAP) || kind == TLB_SUPERVISOR_AC;
}

static uint32_t fault_error(const struct vcpu *v, uint32_t error, enum access access, enum tlb_kind kind)
{
    error |= access == ACCESS_WRITE ? 2 : 0;
    error |= kind == TLB_USER ? 4 : 0;
    bool nx = (v->s.efer & EFER_NXE) && (v->s.cr4 & CR4_PAE);
    if (access == ACCESS_EXECUTE && (nx || (v->s.cr4 & CR4_SMEP))) {
        error |= 16;
    }
    return error;
}

static void set_accessed(struct vcpu *v, const struct walk *w, bool write)
{
    for (unsigned i = 0; i < w->steps; i++) {
        bool leaf = i + 1 == w->steps;
        set_bits(v, &w->step[i], leaf && write ? PTE_A | PTE_D : PTE_A);
    }
}

/* In 32-bit paging two entries share a slot, and a large page stands for many of ours: then the linear address says nothing. */
static void remember_tables(struct vcpu *v, const struct walk *w, uint64_t linear, bool code)
{
    bool one_page = w->page_bytes == PAGE_BYTES && (v->s.cr4 & CR4_PAE);
    for (unsigned i = 0; i < w->steps; i++) {
        const struct step *s = &w->step[i];
        if (s->frame != FRAME_NONE) {
            bool leaf = i + 1 == w->steps;
            note_use(v->cpu, s->frame, s->offset, !leaf ? USE_UPPER : code ? USE_LEAF_OF_CODE : USE_LEAF, one_page ? linear & ~0x1fffffULL : UINT64_MAX);
        }
    }
}

static uint64_t leaf_of(const struct walk *w)
{
    if (w->steps == 0) {
        return UINT64_MAX;
    }
    const struct step *s = &w->step[w->steps - 1];
    return s->frame == FRAME_NONE ? UINT64_MAX : (uint64_t)s->frame << PAGE_SHIFT | (s->offset & ~7u);
}

/* A complete, allowed translation, or a page fault. */
static void translate(struct vcpu *v, uint64_t linear, enum access access, enum tlb_kind kind, struct walk *w)
{
    if (UNLIKELY(v->cpu->config.policy == TRANSLATE_STALEST) && (v->s.cr0 & CR0_PG)) {
        struct stale_translation t;
        if (stale_find(v, linear, &t) && access_allowed(v, t.rights, access, kind) && (access != ACCESS_WRITE || t.dirty)) {
            w->steps = 0;
            w->rights = t.rights;
            w->page = t.page;
            w->page_bytes = PAGE_BYTES;
            return;
        }
        stale_drop(v, linear); /* what would fault, or must set D, is walked anew (SDM 3A §4.10.4.1) */
    }
    if (v->cpu->tables->count + 8 > v->cpu->tables->room) {
        mmu_flush_all(v->cpu);
    }
    if (!walk_tables(v, linear, w)) {
        vp_raise_page_fault(v, linear, fault_error(v, w->error, access, kind));
    }
    if (!access_allowed(v, w->rights, access, kind)) {
        vp_raise_page_fault(v, linear, fault_error(v, 1, access, kind));
    }
    set_accessed(v, w, access == ACCESS_WRITE);
    if (v->cpu->config.policy == TRANSLATE_STALEST && w->steps != 0) {
        const struct step *leaf = &w->step[w->steps - 1];
        stale_add(v, linear, &(struct stale_translation){.page = w->page,
                                                         .rights = w->rights,
                                                         .dirty = access == ACCESS_WRITE || (leaf->entry & PTE_D),
                                                         .global = (leaf->entry & PTE_G) && (v->s.cr4 & CR4_PGE)});
    }
}

/* ---- filling ---- */

static bool watched_page(const struct vcpu *v, uint64_t linear)
{
    for (unsigned i = 0; i < 4; i++) {
        if ((v->s.dr7 >> (2 * i) & 3) && ((v->s.dr[i] ^ linear) & ~PAGE_OFFSET_MASK) == 0) {
            return true;
        }
    }
    return false;
}

/* Where an access within one page goes. Leaves the translation in the TLB when that may serve later accesses. */
struct place mmu_place(struct vcpu *v, uint64_t linear, enum access access, enum tlb_kind kind)
{
    if (v->mode != CODE_64 && !vp_long(v)) {
        linear = (uint32_t)linear;
    }
    struct walk w;
    translate(v, linear, access, kind, &w);
    struct memory *m = v->machine->memory;
    bool writable;
    uint64_t page = w.page & v->cpu->a20_mask;
    struct place p = {.gpa = page | (linear & PAGE_OFFSET_MASK)};
    p.frame = memory_frame(m, gpa(page), &writable);
    p.read_only = p.frame != FRAME_NONE && !writable;
    if (UNLIKELY(lapic_mmio_gpa(v) == page)) {
        p.frame = FRAME_NONE;
        p.lapic = true;
    }
    if (p.frame == FRAME_NONE) {
        return p;
    }
    uint8_t *host = memory_frame_host(m, p.frame);
    p.host = host + (linear & PAGE_OFFSET_MASK);
    if (v->alignment_check || (v->data_breakpoints && watched_page(v, linear))) {
        return p;
    }
    if (v->cpu->config.policy == TRANSLATE_FRESH) {
        remember_tables(v, &w, linear, false);
    }
    unsigned i = (linear >> PAGE_SHIFT) & v->tlb_mask;
    struct tlb *t = &v->space->tlbs[kind];
    struct tlb_entry *e = &t->e[i];
    if (e->read_tag == empty_tag(i)) {
        if (t->used_count < ARRAY_COUNT(t->used)) {
            t->used[t->used_count] = (uint16_t)i;
        }
        t->used_count++;
    }
    uint64_t tag = linear & ~PAGE_OFFSET_MASK;
    bool keep_write = e->write_tag == tag && (uintptr_t)host == tag + e->addend;
    e->addend = (uintptr_t)host - tag;
    e->leaf_gpa = leaf_of(&w);
    e->read_tag = tag;
    e->write_tag = keep_write ? tag : empty_tag(i);
    if (access == ACCESS_WRITE && writable && !(memory_track(m, p.frame) & (MEMORY_CODE | MEMORY_TABLE))) {
        memory_dirty(m, p.frame);
        e->write_tag = tag;
    }
    return p;
}

uint32_t mmu_fetch_frame(struct vcpu *v, uint64_t linear)
{
    bool user = v->s.cpl == 3;
    uint64_t page = linear & ~PAGE_OFFSET_MASK;
    struct code_tlb_entry *e = &v->space->code_tlb[(page >> PAGE_SHIFT) & (CODE_TLB_ENTRIES - 1)];
    if (LIKELY(e->linear_page == page && e->user == user)) {
        return e->frame;
    }
    struct walk w;
    translate(v, linear, ACCESS_EXECUTE, user ? TLB_USER : TLB_SUPERVISOR, &w);
    bool writable;
    uint32_t frame = memory_frame(v->machine->memory, gpa(w.page & v->cpu->a20_mask), &writable);
    if (frame == FRAME_NONE) {
        return frame;
    }
    if (v->cpu->config.policy == TRANSLATE_FRESH) {
        remember_tables(v, &w, linear, true);
    }
    *e = (struct code_tlb_entry){.linear_page = page, .frame = frame, .user = user, .leaf_gpa = leaf_of(&w)};
    return frame;
}

uint64_t mmu_fetch_gpa(struct vcpu *v, uint64_t linear)
{
    struct walk w;
    translate(v, linear, ACCESS_EXECUTE, v->s.cpl == 3 ? TLB_USER : TLB_SUPERVISOR, &w);
    return (w.page & v->cpu->a20_mask) | (linear & PAGE_OFFSET_MASK);
}

bool mmu_write_needs_alone(struct vcpu *v, const struct place *p, unsigned bytes)
{
    uint8_t track = memory_track(v->machine->memory, p->frame);
    unsigned offset = (unsigned)(p->gpa & PAGE_OFFSET_MASK);
    if ((track & MEMORY_CODE) && blocks_cover(v->cpu, p->frame, offset, bytes)) {
        return true;
    }
    return (track & MEMORY_TABLE) && v->cpu->config.policy == TRANSLATE_FRESH && table_write_matters(v->cpu, p->frame, offset, bytes);
}

bool vp_translate(struct vcpu *v, gva_t linear, gpa_t *physical)
{
    struct walk w;
    if (!canonical(v, linear.v) && vp_long(v)) {
        return false;
    }
    if (!walk_tables(v, linear.v, &w)) {
        return false;
    }
    *physical = gpa((w.page & v->cpu->a20_mask) | (linear.v & PAGE_OFFSET_MASK));
    return true;
}

/* ---- what the guest orders ---- */

void mmu_invlpg(struct vcpu *v, uint64_t linear)
{
    if (v->cpu->config.policy == TRANSLATE_STALEST) {
        stale_invlpg(v, linear);
        mmu_flush(v);
    }
}

void mmu_invpcid(struct vcpu *v, unsigned type, uint16_t pcid, uint64_t linear)
{
    if (v->cpu->config.policy == TRANSLATE_STALEST) {
        stale_invpcid(v, type, pcid, linear);
        mmu_flush(v);
    }
}

void mmu_cr3_written(struct vcpu *v, uint64_t old, uint64_t value, bool keep)
{
    if (v->cpu->config.policy == TRANSLATE_STALEST) {
        stale_cr3_written(v, value, keep);
        mmu_flush(v);
        return;
    }
    if ((v->s.cr4 & CR4_PAE) && !vp_long(v)) {
        mmu_flush(v); /* other PDPTEs, maybe behind the same address */
    } else if ((old ^ value) & PTE_ADDRESS) {
        switch_space(v, value & PTE_ADDRESS);
    }
}

void mmu_paging_changed(struct vcpu *v)
{
    if (v->cpu->config.policy == TRANSLATE_STALEST) {
        stale_flush(v);
    }
    mmu_flush(v);
}

void mmu_load_pdptes(struct vcpu *v, uint64_t cr3)
{
    uint64_t pdpte[4];
    uint64_t reserved = (PTE_ADDRESS & ~((1ULL << v->cpu->config.model.physical_bits) - 1)) | 0xfff0000000000000ULL | 0x1e6;
    for (unsigned i = 0; i < 4; i++) {
        struct step s;
        pdpte[i] = read_entry(v, (cr3 & 0xffffffe0) + 8 * i, 8, &s);
        if ((pdpte[i] & PTE_P) && (pdpte[i] & reserved)) {
            vp_gp0(v);
        }
    }
    memcpy(v->s.pdpte, pdpte, sizeof pdpte);
}
