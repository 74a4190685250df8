/* The software TLBs: a few address spaces for each VP, and in each a direct-mapped TLB for user, supervisor, and supervisor
 * with AC. A cache on the host's side: nothing here is ever visible to the guest.
 */
#include <string.h>

#include "cpu/mmu_parts.h"

static struct address_space *in_use_from(struct vcpu *v, struct address_space *a)
{
    for (; a < v->spaces + ADDRESS_SPACES; a++) {
        if (a == v->space || a->key != SPACE_UNUSED) {
            return a;
        }
    }
    return NULL;
}

static struct address_space *first_in_use(struct vcpu *v)
{
    return in_use_from(v, v->spaces);
}

static struct address_space *next_in_use(struct vcpu *v, struct address_space *a)
{
    return in_use_from(v, a + 1);
}

static void clear_entry(struct tlb *t, unsigned i)
{
    t->e[i] = (struct tlb_entry){.read_tag = tlb_empty_tag(i), .write_tag = tlb_empty_tag(i), .leaf_gpa = UINT64_MAX};
}

/* For going over the entries that may be in use: the listed ones while the list holds them, then all. */
static uint32_t used_entries(const struct vcpu *v, const struct tlb *t)
{
    return t->used_count <= ARRAY_COUNT(t->used) ? t->used_count : (uint32_t)v->tlb_mask + 1;
}

static unsigned used_entry(const struct tlb *t, uint32_t n)
{
    return t->used_count <= ARRAY_COUNT(t->used) ? t->used[n] : n;
}

static void flush_tlb(const struct vcpu *v, struct tlb *t)
{
    for (uint32_t n = 0; n < used_entries(v, t); n++) {
        clear_entry(t, used_entry(t, n));
    }
    clear_entry(t, 0); /* in a new one, the only entry that is not empty as it is */
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

/* The other spaces are flushed when they are first taken. */
void mmu_init_vp(struct vcpu *v)
{
    for (unsigned n = 0; n < ADDRESS_SPACES; n++) {
        v->spaces[n].key = SPACE_UNUSED;
    }
    flush_space(v, v->space);
}

void mmu_flush(struct vcpu *v)
{
    for (struct address_space *a = first_in_use(v); a != NULL; a = next_in_use(v, a)) {
        flush_space(v, a);
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

/* For one frame's host address, or for all when it is 0. */
static void revoke_write_in(const struct vcpu *v, struct tlb *t, uintptr_t host)
{
    for (uint32_t n = 0; n < used_entries(v, t); n++) {
        unsigned i = used_entry(t, n);
        if (host == 0 || t->e[i].write_tag + t->e[i].addend == host) {
            t->e[i].write_tag = tlb_empty_tag(i);
        }
    }
}

/* Every VP's write permissions; for one frame, or for all when `frame` is FRAME_NONE. */
static void revoke_write(struct cpu *c, uint32_t frame)
{
    uintptr_t host = frame == FRAME_NONE ? 0 : (uintptr_t)memory_frame_host(c->machine->memory, frame);
    for (unsigned n = 0; n < c->vp_count; n++) {
        struct vcpu *v = c->vps[n];
        for (struct address_space *a = first_in_use(v); a != NULL; a = next_in_use(v, a)) {
            for (unsigned k = 0; k < TLB_KINDS; k++) {
                revoke_write_in(v, &a->tlbs[k], host);
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
    for (uint32_t n = 0; n < used_entries(v, t); n++) {
        unsigned i = used_entry(t, n);
        if (t->e[i].leaf_gpa == leaf) {
            clear_entry(t, i);
        }
    }
}

static void drop_from_code_tlb(struct address_space *a, uint64_t leaf)
{
    for (unsigned i = 0; i < CODE_TLB_ENTRIES; i++) {
        if (a->code_tlb[i].leaf_gpa == leaf) {
            a->code_tlb[i].linear_page = UINT64_MAX;
        }
    }
}

void tlb_drop_leaf(struct cpu *c, uint64_t leaf, bool code, uint64_t linear)
{
    for (unsigned n = 0; n < c->vp_count; n++) {
        struct vcpu *v = c->vps[n];
        for (struct address_space *a = first_in_use(v); a != NULL; a = next_in_use(v, a)) {
            for (unsigned k = 0; k < TLB_KINDS; k++) {
                drop_from_tlb(v, &a->tlbs[k], leaf, linear);
            }
            if (a->io.leaf_gpa == leaf) {
                a->io.linear_page = UINT64_MAX;
            }
            if (code) {
                drop_from_code_tlb(a, leaf);
            }
        }
        if (code) {
            vp_forget_jumps(v);
        }
    }
}
