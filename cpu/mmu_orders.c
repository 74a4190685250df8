/* What a hypervisor orders of a VP's MMU on behalf of another: switch the address space, forget translations, walk the tables.
 *
 * Invariants: any VP may be meant, running or not, and the effect is complete on return, for all run on one host thread; under
 * the policy `fresh` there is nothing to forget; no order raises an exception, for the VP that it concerns may be at any
 * point. Leaves out: what the guest orders by its own instructions (mmu.c).
 */
#include "cpu/mmu_parts.h"

bool cpu_cr3_valid(const struct cpu *c, uint64_t cr3)
{
    return cr3 >> c->config.model.physical_bits == 0;
}

/* PAE paging outside IA-32e mode loads four entries with CR3, SDM 3A §4.4.1. */
bool vp_switch_space(struct vcpu *v, uint64_t cr3)
{
    if ((v->s.cr0 & CR0_PG) && (v->s.cr4 & CR4_PAE) && !(v->s.efer & EFER_LME) && !mmu_try_load_pdptes(v, cr3)) {
        return false;
    }
    v->s.cr3 = cr3;
    TRACE(v->trace, cr3_write, v->index, cr3);
    mmu_flush(v);
    return true;
}

void vp_flush_space(struct vcpu *v, uint64_t cr3, bool all_spaces, bool leave_global)
{
    if (v->cpu->config.policy == TRANSLATE_STALEST) {
        stale_flush_space(v, cr3, all_spaces, leave_global);
        mmu_flush(v);
    }
}

void vp_flush_range(struct vcpu *v, uint64_t cr3, bool all_spaces, gva_t from, gva_t last)
{
    if (v->cpu->config.policy == TRANSLATE_STALEST) {
        stale_flush_range(v, cr3, all_spaces, from.v, last.v);
        mmu_flush(v);
    }
}

/* ---- the walk ---- */

static uint64_t table_of_step(const struct vcpu *v, const struct walk *w, unsigned step, uint64_t linear)
{
    if (step > 0) {
        return w->step[step - 1].entry & PTE_ADDRESS;
    }
    bool pae = !(v->s.efer & EFER_LMA) && (v->s.cr4 & CR4_PAE);
    return (pae ? v->s.pdpte[linear >> 30 & 3] : v->s.cr3) & PTE_ADDRESS;
}

/* An entry that was read where no memory is, so that the walk went by all ones. */
static bool table_missing(const struct vcpu *v, const struct walk *w, uint64_t linear, struct vp_walk_result *r)
{
    for (unsigned i = 0; i < w->steps; i++) {
        if (w->step[i].frame == FRAME_NONE) {
            r->page = gpa(table_of_step(v, w, i, linear));
            return true;
        }
    }
    return false;
}

static uint8_t pat_type(const struct vcpu *v, const struct walk *w)
{
    enum { PTE_PWT = 8, PTE_PCD = 16, UNCACHED = 0, WRITE_BACK = 6, UNCACHED_MINUS = 7 };
    if (v->s.cr0 & CR0_CD) {
        return UNCACHED;
    }
    if (w->steps == 0) {
        return WRITE_BACK;
    }
    const uint64_t entry = w->step[w->steps - 1].entry;
    unsigned pat = entry >> (w->page_bytes == PAGE_BYTES ? 7 : 12) & 1;
    unsigned index = pat << 2 | (entry & PTE_PCD ? 2 : 0) | (entry & PTE_PWT ? 1 : 0);
    uint8_t type = (uint8_t)(v->s.pat >> (8 * index));
    return type == UNCACHED_MINUS ? UNCACHED : type;
}

static bool rights_allow(const struct vcpu *v, const struct walk *w, unsigned how)
{
    enum tlb_kind kind = v->s.cpl == 3 && !(how & WALK_AS_SUPERVISOR) ? TLB_USER
                         : v->s.rflags & RFLAGS_AC                    ? TLB_SUPERVISOR_AC
                                                                      : TLB_SUPERVISOR;
    return (!(how & WALK_READ) || walk_access_allowed(v, w->rights, ACCESS_READ, kind)) &&
           (!(how & WALK_WRITE) || walk_access_allowed(v, w->rights, ACCESS_WRITE, kind)) &&
           (!(how & WALK_EXECUTE) || walk_access_allowed(v, w->rights, ACCESS_EXECUTE, kind));
}

/* Of a walk that ended early all but the last entry were used, and keep what that brought them. A table may hold code, or be
 * one that translations were made of. */
static void set_accessed(struct vcpu *v, const struct walk *w, bool mapped, bool dirty)
{
    struct walk used = *w;
    used.steps -= mapped || used.steps == 0 ? 0 : 1;
    for (unsigned i = 0; i < used.steps; i++) {
        if (used.step[i].frame != FRAME_NONE) {
            mmu_tracked_write(v->cpu, used.step[i].frame, used.step[i].offset, used.step[i].bytes);
        }
    }
    (void)walk_set_accessed(v, &used, dirty); /* bits that may not be written stay as they are: no order raises an exception */
}

enum vp_walk vp_walk(struct vcpu *v, gva_t linear, unsigned how, struct vp_walk_result *result)
{
    bool paging = v->s.cr0 & CR0_PG, wide = v->s.efer & EFER_LMA;
    struct walk w;
    *result = (struct vp_walk_result){.page = gpa(0)};
    if (paging && (wide ? !canonical(v, linear.v) : linear.v >> 32 != 0)) {
        return WALK_NOT_PRESENT;
    }
    bool mapped = walk_tables(v, linear.v, &w);
    bool allowed = mapped && rights_allow(v, &w, how);
    if (how & WALK_SET_ACCESSED) {
        set_accessed(v, &w, mapped, allowed && (how & WALK_WRITE));
    }
    if (table_missing(v, &w, linear.v, result)) {
        return WALK_TABLE_MISSING;
    }
    if (!mapped) {
        return w.error != 0 ? WALK_RESERVED_BITS : WALK_NOT_PRESENT;
    }
    if (!allowed) {
        return WALK_FORBIDDEN;
    }
    result->page = gpa(w.page & v->cpu->a20_mask);
    result->pat_type = pat_type(v, &w);
    return WALK_DONE;
}
