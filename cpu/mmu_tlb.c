/* The software TLBs: a few address spaces for each VP, and in each a direct-mapped TLB for user, supervisor, and supervisor
 * with AC. A cache on the host's side: nothing here is ever visible to the guest.
 */
#include <string.h>

#include "cpu/mmu_parts.h"

static void clear_entry(struct tlb *t, unsigned i)
{
    t->e[i] = (struct tlb_entry){.read_tag = tlb_empty_tag(i), .write_tag = tlb_empty_tag(i), .leaf_gpa = UINT64_MAX};
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
    a->io.linear_page = UINT64_MAX;
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
    tables_forget(c);
}

void tlb_switch_space(struct vcpu *v, uint64_t key)
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
                    e->write_tag = tlb_empty_tag(i);
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

void tlb_drop_leaf(struct cpu *c, uint64_t leaf, bool code, uint64_t linear)
{
    for (unsigned n = 0; n < c->vp_count; n++) {
        struct vcpu *v = c->vps[n];
        for (unsigned k = 0; k < ADDRESS_SPACES * TLB_KINDS; k++) {
            drop_from_tlb(v, &v->spaces[k / TLB_KINDS].tlbs[k % TLB_KINDS], leaf, linear);
        }
        for (unsigned k = 0; k < ADDRESS_SPACES; k++) {
            if (v->spaces[k].io.leaf_gpa == leaf) {
                v->spaces[k].io.linear_page = UINT64_MAX;
            }
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
