/* The page tables as the SDM has them: 32-bit, PAE, 4-level and 5-level paging, access rights, error codes, accessed and dirty
 * bits. SDM 3A chapter 4. Accessed and dirty bits are set only when the whole access is allowed (§4.8 leaves it open for
 * faulting ones), and never on a page that the guest may not write.
 */
#include <string.h>

#include "cpu/mmu_parts.h"

uint64_t walk_read_entry(struct vcpu *v, uint64_t address, unsigned bytes, struct step *s)
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

static enum overlay_write write_of(const struct vcpu *v, const struct step *s)
{
    return overlay_write_of(v->machine->memory, s->frame);
}

static void set_bits(struct vcpu *v, const struct step *s, uint64_t bits)
{
    if ((s->entry & bits) != bits && s->frame != FRAME_NONE && write_of(v, s) == OVERLAY_WRITABLE) {
        uint64_t entry = s->entry | bits;
        memory_dirty(v->machine->memory, s->frame);
        memcpy(memory_frame_host(v->machine->memory, s->frame) + s->offset, &entry, s->bytes);
    }
}

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
        uint64_t e = walk_read_entry(v, table + (linear >> (12 + 9 * level) & 511) * 8, 8, s);
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
        uint64_t e = walk_read_entry(v, table + (linear >> (12 + 9 * level) & 511) * 8, 8, s);
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
    uint64_t e = walk_read_entry(v, (v->s.cr3 & 0xfffff000) + (linear >> 22 & 1023) * 4, 4, s);
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
    e = walk_read_entry(v, (e & 0xfffff000) + (linear >> 12 & 1023) * 4, 4, s);
    if (!(e & PTE_P)) {
        return walk_fail(w, 0);
    }
    w->rights &= e;
    w->page_bytes = PAGE_BYTES;
    w->page = e & 0xfffff000;
    return true;
}

bool walk_tables(struct vcpu *v, uint64_t linear, struct walk *w)
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
bool walk_access_allowed(const struct vcpu *v, uint64_t rights, enum access access, enum tlb_kind kind)
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

uint32_t walk_fault_error(const struct vcpu *v, uint32_t error, enum access access, enum tlb_kind kind)
{
    error |= access == ACCESS_WRITE ? 2 : 0;
    error |= kind == TLB_USER ? 4 : 0;
    bool nx = (v->s.efer & EFER_NXE) && (v->s.cr4 & CR4_PAE);
    if (access == ACCESS_EXECUTE && (nx || (v->s.cr4 & CR4_SMEP))) {
        error |= 16;
    }
    return error;
}

static uint64_t accessed_bits(const struct walk *w, unsigned step, bool write)
{
    return write && step + 1 == w->steps ? PTE_A | PTE_D : PTE_A;
}

const struct step *walk_set_accessed(struct vcpu *v, const struct walk *w, bool write)
{
    for (unsigned i = 0; i < w->steps; i++) {
        const struct step *s = &w->step[i];
        bool lacks = s->frame != FRAME_NONE && ~s->entry & accessed_bits(w, i, write);
        if (UNLIKELY(lacks) && write_of(v, s) != OVERLAY_WRITABLE && write_of(v, s) != OVERLAY_WRITE_LOST) {
            return s;
        }
    }
    for (unsigned i = 0; i < w->steps; i++) {
        set_bits(v, &w->step[i], accessed_bits(w, i, write));
    }
    return NULL;
}
