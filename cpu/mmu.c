/* Translation: policy, the filling of the software TLBs, instruction fetch, and the guest's orders to flush.
 *
 * Policy `fresh`: the guest sees memory as if there were no TLB at all. So every remembered translation must die when a table
 * entry that it derives from changes (mmu_tables.c). INVLPG and CR3 reloads have therefore nothing to do but what the hardware
 * does for itself. Policy `stalest` is in mmu_stale.c.
 */
#include <string.h>

#include "cpu/block.h"
#include "cpu/mmu_parts.h"

/* In 32-bit paging two entries share a slot, and a large page stands for many of ours: then the linear address says nothing. */
static void remember_tables(struct vcpu *v, const struct walk *w, uint64_t linear, bool code)
{
    bool one_page = w->page_bytes == PAGE_BYTES && (v->s.cr4 & CR4_PAE);
    for (unsigned i = 0; i < w->steps; i++) {
        const struct step *s = &w->step[i];
        if (s->frame != FRAME_NONE) {
            bool leaf = i + 1 == w->steps;
            tables_note_use(v->cpu, s->frame, s->offset,
                            !leaf  ? USE_UPPER
                            : code ? USE_LEAF_OF_CODE
                                   : USE_LEAF,
                            one_page ? linear & ~0x1fffffULL : UINT64_MAX);
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

/* Policy `stalest`: true when an old translation serves the access. One that does not (it would fault, or D must be set) is
 * walked anew and goes: a page fault takes the translations of its address with it (SDM 3A §4.10.4.1). What other accesses had
 * of it, data or code, must go with it; where the tables say something else now, that is an effect on the code that runs, so
 * the instruction must run alone. */
static bool stale_serves(struct vcpu *v, uint64_t linear, enum access access, enum tlb_kind kind, struct walk *w)
{
    struct stale_translation t;
    if (!stale_find(v, linear, &t)) {
        return false;
    }
    if (walk_access_allowed(v, t.rights, access, kind) && (access != ACCESS_WRITE || t.dirty)) {
        w->steps = 0;
        w->rights = t.rights;
        w->page = t.page;
        w->page_bytes = t.page_bytes;
        return true;
    }
    bool mapped = walk_tables(v, linear, w) && walk_access_allowed(v, w->rights, access, kind);
    bool same = mapped && w->page == t.page && w->rights == t.rights;
    if (mapped && !same && access != ACCESS_EXECUTE) {
        vp_restart_alone(v);
    }
    stale_drop(v, linear);
    if (!same) {
        mmu_flush(v);
    }
    return false;
}

/* TLFS 6.0b §3.13 (hypercall page: #GP), TLFS 2.0a §21.1.2 (statistics: #MC). A processor without machine checks knows #GP
 * alone. */
void mmu_refuse_write(struct vcpu *v, uint32_t frame)
{
    enum overlay_write write = overlay_write_of(v->machine->memory, frame);
    if (write == OVERLAY_WRITE_LOST) {
        return;
    }
    if (write == OVERLAY_WRITE_MC && vp_has(v, FEAT_MCE)) {
        vp_raise(v, VEC_MC);
    }
    vp_gp0(v);
}

/* A complete, allowed translation, or a page fault. */
static void translate(struct vcpu *v, uint64_t linear, enum access access, enum tlb_kind kind, struct walk *w)
{
    if (UNLIKELY(v->cpu->config.policy == TRANSLATE_STALEST) && (v->s.cr0 & CR0_PG) &&
        stale_serves(v, linear, access, kind, w)) {
        return;
    }
    if (tables_full(v->cpu)) {
        mmu_flush_all(v->cpu);
    }
    if (!walk_tables(v, linear, w)) {
        vp_raise_page_fault(v, linear, walk_fault_error(v, w->error, access, kind));
    }
    if (!walk_access_allowed(v, w->rights, access, kind)) {
        vp_raise_page_fault(v, linear, walk_fault_error(v, 1, access, kind));
    }
    const struct step *refused = walk_set_accessed(v, w, access == ACCESS_WRITE);
    if (UNLIKELY(refused != NULL)) {
        mmu_refuse_write(v, refused->frame);
    }
    if (v->cpu->config.policy == TRANSLATE_STALEST && w->steps != 0) {
        const struct step *leaf = &w->step[w->steps - 1];
        stale_add(v, linear,
                  &(struct stale_translation){.page = w->page,
                                              .rights = w->rights,
                                              .page_bytes = w->page_bytes,
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

static bool io_known(const struct io_translation *io, uint64_t linear, enum access access, enum tlb_kind kind)
{
    return io->linear_page == (linear & ~PAGE_OFFSET_MASK) && io->kind == kind && (access == ACCESS_READ || io->written);
}

/* MMIO comes in twos: the instruction that finds it runs again, alone (access.h). */
static void io_remember(struct vcpu *v, const struct walk *w, const struct place *p, uint64_t linear, enum access access,
                        enum tlb_kind kind)
{
    if (v->cpu->config.policy != TRANSLATE_FRESH) {
        return; /* mmu_stale.c answers */
    }
    remember_tables(v, w, linear, false);
    v->space->io = (struct io_translation){.linear_page = linear & ~PAGE_OFFSET_MASK,
                                           .gpa_page = p->gpa & ~PAGE_OFFSET_MASK,
                                           .leaf_gpa = leaf_of(w),
                                           .kind = kind,
                                           .written = access == ACCESS_WRITE,
                                           .lapic = p->lapic};
}

/* Where an access within one page goes. Leaves the translation in the TLB when that may serve later accesses. */
struct place mmu_place(struct vcpu *v, uint64_t linear, enum access access, enum tlb_kind kind)
{
    if (v->mode != CODE_64 && !vp_long(v)) {
        linear = (uint32_t)linear;
    }
    const struct io_translation *io = &v->space->io;
    if (io_known(io, linear, access, kind)) {
        return (struct place){.gpa = io->gpa_page | (linear & PAGE_OFFSET_MASK), .frame = FRAME_NONE, .lapic = io->lapic};
    }
    struct walk w;
    translate(v, linear, access, kind, &w);
    struct memory *m = v->machine->memory;
    bool writable;
    uint64_t page = w.page & v->cpu->a20_mask;
    struct place p = {.gpa = page | (linear & PAGE_OFFSET_MASK)};
    p.frame = memory_frame(m, gpa(page), &writable);
    if (UNLIKELY(lapic_mmio_gpa(v) == page)) {
        p.frame = FRAME_NONE;
        p.lapic = true;
    }
    p.read_only = p.frame != FRAME_NONE && !writable;
    if (p.frame == FRAME_NONE) {
        io_remember(v, &w, &p, linear, access, kind);
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
    if (e->read_tag == tlb_empty_tag(i)) {
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
    e->write_tag = keep_write ? tag : tlb_empty_tag(i);
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
    return (track & MEMORY_TABLE) && v->cpu->config.policy == TRANSLATE_FRESH &&
           tables_write_matters(v->cpu, p->frame, offset, bytes);
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
        tlb_switch_space(v, value & PTE_ADDRESS);
    }
}

void mmu_paging_changed(struct vcpu *v, uint64_t old_cr0, uint64_t old_cr4)
{
    if (v->cpu->config.policy == TRANSLATE_STALEST) {
        stale_controls_changed(v, old_cr0, old_cr4);
    }
    mmu_flush(v);
}

bool mmu_try_load_pdptes(struct vcpu *v, uint64_t cr3)
{
    uint64_t pdpte[4];
    uint64_t reserved = (PTE_ADDRESS & ~((1ULL << v->cpu->config.model.physical_bits) - 1)) | 0xfff0000000000000ULL | 0x1e6;
    for (unsigned i = 0; i < 4; i++) {
        struct step s;
        pdpte[i] = walk_read_entry(v, (cr3 & 0xffffffe0) + 8 * i, 8, &s);
        if ((pdpte[i] & PTE_P) && (pdpte[i] & reserved)) {
            return false;
        }
    }
    memcpy(v->s.pdpte, pdpte, sizeof pdpte);
    return true;
}

void mmu_load_pdptes(struct vcpu *v, uint64_t cr3)
{
    if (!mmu_try_load_pdptes(v, cr3)) {
        vp_gp0(v);
    }
}
