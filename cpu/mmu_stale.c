/* Policy `stalest`: every translation that was ever used stays, until a flush that names it. Legal by SDM 3A §4.10, and
 * merciless: a guest that forgets a flush runs on the old translation. The entries are part of the machine's state, kept in a
 * sorted array, so that they save, hash and compare.
 *
 * An entry belongs to an address space, or to all when global. A space is a PCID, whatever tables it names at the moment; while
 * CR4.PCIDE is clear it is the tables' address: only a hypervisor's switch of spaces (TLFS 6.0b §9.4.1), which flushes nothing,
 * leaves entries of several. What would fault by an entry, or must set a dirty bit, is walked anew (§4.10.4.1 asks no more):
 * mmu.c drops such an entry first.
 */
#include <stdlib.h>
#include <string.h>

#include "cpu/mmu.h"

#define STALE_ENTRIES_MAX (4u << 20)
#define SPACE_GLOBAL UINT64_MAX

struct stale_entry {
    uint64_t page;  /* linear */
    uint64_t space; /* SPACE_GLOBAL: every address space */
    uint64_t base;  /* where CR3 pointed when the entry was made, by which a hypervisor's flush names it */
    struct stale_translation to;
};
struct stale_entries {
    struct stale_entry *e; /* sorted by (page, space) */
    size_t count, room;
    uint64_t largest; /* no entry is of a larger page: how far INVLPG must look around */
};

struct stale_entries *stale_create(void)
{
    return calloc(1, sizeof(struct stale_entries));
}

void stale_destroy(struct stale_entries *s)
{
    if (s != NULL) {
        free(s->e);
        free(s);
    }
}

/* Bits 4:3 of CR3 are about caching. */
static uint64_t base_of(uint64_t cr3)
{
    return cr3 & ~0x1fULL;
}

static uint64_t space_of(const struct vcpu *v)
{
    return v->s.cr4 & CR4_PCIDE ? v->s.cr3 & 0xfff : base_of(v->s.cr3);
}

/* Index of the first entry not before (page, space). */
static size_t position(const struct stale_entries *s, uint64_t page, uint64_t space)
{
    size_t low = 0, high = s->count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        const struct stale_entry *e = &s->e[mid];
        if (e->page < page || (e->page == page && e->space < space)) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static struct stale_entry *entry_at(const struct stale_entries *s, uint64_t page, uint64_t space)
{
    size_t n = position(s, page, space);
    return n < s->count && s->e[n].page == page && s->e[n].space == space ? &s->e[n] : NULL;
}

bool stale_find(struct vcpu *v, uint64_t linear, struct stale_translation *t)
{
    uint64_t page = linear & ~PAGE_OFFSET_MASK;
    const struct stale_entry *e = entry_at(v->stale, page, space_of(v));
    if (e == NULL) {
        e = entry_at(v->stale, page, SPACE_GLOBAL);
    }
    if (e == NULL) {
        return false;
    }
    *t = e->to;
    return true;
}

static bool make_room(struct stale_entries *s)
{
    if (s->count < s->room) {
        return true;
    }
    if (s->count >= STALE_ENTRIES_MAX) {
        s->count = 0; /* beyond 16 GiB of remembered pages: forget all, which is legal too */
        return true;
    }
    size_t room = s->room == 0 ? 1024 : s->room * 2;
    struct stale_entry *e = realloc(s->e, room * sizeof *e);
    if (e == NULL) {
        return false;
    }
    s->e = e;
    s->room = room;
    return true;
}

void stale_add(struct vcpu *v, uint64_t linear, const struct stale_translation *t)
{
    struct stale_entries *s = v->stale;
    if (!make_room(s)) {
        abort(); /* the host has no memory: nothing deterministic is left to do */
    }
    uint64_t page = linear & ~PAGE_OFFSET_MASK;
    uint64_t space = t->global ? SPACE_GLOBAL : space_of(v);
    size_t n = position(s, page, space);
    if (n == s->count || s->e[n].page != page || s->e[n].space != space) {
        memmove(&s->e[n + 1], &s->e[n], (s->count - n) * sizeof *s->e);
        s->count++;
    }
    s->e[n] = (struct stale_entry){.page = page, .space = space, .base = base_of(v->s.cr3), .to = *t};
    s->largest = t->page_bytes > s->largest ? t->page_bytes : s->largest;
}

/* Keeps the entries for which `keep` says yes. */
static void filter(struct stale_entries *s, bool (*keep)(const struct stale_entry *e, uint64_t page, uint64_t space),
                   uint64_t page, uint64_t space)
{
    size_t to = 0;
    for (size_t i = 0; i < s->count; i++) {
        if (keep(&s->e[i], page, space)) {
            s->e[to++] = s->e[i];
        }
    }
    s->count = to;
}

static void remove_at(struct stale_entries *s, uint64_t page, uint64_t space)
{
    struct stale_entry *e = entry_at(s, page, space);
    if (e != NULL) {
        size_t n = (size_t)(e - s->e);
        memmove(e, e + 1, (s->count - n - 1) * sizeof *e);
        s->count--;
    }
}

void stale_drop(struct vcpu *v, uint64_t linear)
{
    uint64_t page = linear & ~PAGE_OFFSET_MASK;
    remove_at(v->stale, page, space_of(v));
    remove_at(v->stale, page, SPACE_GLOBAL);
}

void stale_flush(struct vcpu *v)
{
    v->stale->count = 0;
}

/* All parts of the pages that hold `linear`, in one PCID and, when asked, the global ones. */
static void drop_pages_around(struct stale_entries *s, uint64_t linear, uint64_t space, bool global)
{
    if (s->count == 0) {
        return;
    }
    uint64_t low = linear & ~(s->largest - 1);
    size_t from = position(s, low, 0), to = from, i = from;
    for (; i < s->count && s->e[i].page - low < s->largest; i++) {
        const struct stale_entry *e = &s->e[i];
        bool named = e->space == space || (global && e->space == SPACE_GLOBAL);
        if (!named || ((e->page ^ linear) & ~(e->to.page_bytes - 1)) != 0) {
            s->e[to++] = *e;
        }
    }
    memmove(&s->e[to], &s->e[i], (s->count - i) * sizeof *s->e);
    s->count -= i - to;
}

/* SDM 3A §4.10.4.1 INVLPG: the page in the current PCID, and global ones of that page; of a large page that was remembered in
 * parts, all parts. */
void stale_invlpg(struct vcpu *v, uint64_t linear)
{
    drop_pages_around(v->stale, linear, space_of(v), true);
}

static bool keep_global(const struct stale_entry *e, uint64_t page, uint64_t space)
{
    return e->space == SPACE_GLOBAL;
}
static bool keep_other_space(const struct stale_entry *e, uint64_t page, uint64_t space)
{
    return e->space != space;
}

/* SDM 2A INVPCID: 0 one address, 1 one PCID, 2 all with globals, 3 all but globals. */
void stale_invpcid(struct vcpu *v, unsigned type, uint16_t pcid, uint64_t linear)
{
    bool pcids = v->s.cr4 & CR4_PCIDE; /* without them all that is not global has PCID 0 */
    switch (type) {
    case 0:
        drop_pages_around(v->stale, linear, pcids ? pcid : space_of(v), false);
        break;
    case 1:
        filter(v->stale, pcids ? keep_other_space : keep_global, 0, pcid);
        break;
    case 2:
        stale_flush(v);
        break;
    default:
        filter(v->stale, keep_global, 0, 0);
        break;
    }
}

/* SDM 3A §4.10.4.1 MOV to CR3: without PCIDs all but globals; with them those of the new PCID, unless bit 63 says keep. */
void stale_cr3_written(struct vcpu *v, uint64_t value, bool keep)
{
    if (!(v->s.cr4 & CR4_PCIDE)) {
        filter(v->stale, keep_global, 0, 0);
    } else if (!keep) {
        filter(v->stale, keep_other_space, 0, value & 0xfff);
    }
}

static bool keep_other_space_not_global(const struct stale_entry *e, uint64_t page, uint64_t space)
{
    return e->space != space && e->space != SPACE_GLOBAL;
}

/* The entries of the space in use become those of PCID 0, which it is from now on; other spaces have no name any more. */
static void become_pcid_0(struct vcpu *v)
{
    struct stale_entries *s = v->stale;
    size_t to = 0;
    for (size_t i = 0; i < s->count; i++) {
        struct stale_entry e = s->e[i];
        if (e.space == base_of(v->s.cr3) || e.space == SPACE_GLOBAL) {
            e.space = e.space == SPACE_GLOBAL ? SPACE_GLOBAL : 0;
            s->e[to++] = e;
        }
    }
    s->count = to;
}

/* SDM 3A §4.10.4.1 MOV to CR0 and to CR4; a change of PSE or PAE drops globals too, which hypervisors promise their guests.
 * What is not named (WP, SMAP, NXE, PCIDE set, SMEP cleared) keeps all: the rights in an entry are judged by the controls of
 * the moment anyway. */
void stale_controls_changed(struct vcpu *v, uint64_t old_cr0, uint64_t old_cr4)
{
    uint64_t cr0 = v->s.cr0, cr4 = v->s.cr4;
    if (~old_cr4 & cr4 & CR4_PCIDE) {
        become_pcid_0(v);
    }
    if ((old_cr0 & ~cr0 & CR0_PG) || ((old_cr4 ^ cr4) & (CR4_PGE | CR4_PSE | CR4_PAE)) || (old_cr4 & ~cr4 & CR4_PCIDE)) {
        stale_flush(v);
    } else if (~old_cr4 & cr4 & CR4_SMEP) {
        filter(v->stale, keep_other_space_not_global, 0, space_of(v));
    }
}

/* ---- what a hypervisor orders, TLFS 6.0b §9.4.2-9.4.5: a space by its CR3 value, whatever PCID its entries have ---- */

static bool in_space(const struct stale_entry *e, uint64_t cr3, bool all_spaces)
{
    return all_spaces || ((e->base ^ cr3) & ~PAGE_OFFSET_MASK) == 0;
}

void stale_flush_space(struct vcpu *v, uint64_t cr3, bool all_spaces, bool leave_global)
{
    struct stale_entries *s = v->stale;
    size_t to = 0;
    for (size_t i = 0; i < s->count; i++) {
        bool global = s->e[i].space == SPACE_GLOBAL;
        if (global ? leave_global : !in_space(&s->e[i], cr3, all_spaces)) {
            s->e[to++] = s->e[i];
        }
    }
    s->count = to;
}

void stale_flush_range(struct vcpu *v, uint64_t cr3, bool all_spaces, uint64_t from, uint64_t last)
{
    struct stale_entries *s = v->stale;
    if (s->count == 0) {
        return;
    }
    uint64_t low = from & ~(s->largest - 1), high = last | (s->largest - 1);
    size_t first = position(s, low, 0), to = first, i = first;
    for (; i < s->count && s->e[i].page <= high; i++) {
        const struct stale_entry *e = &s->e[i];
        uint64_t page = e->page & ~(e->to.page_bytes - 1);
        bool named = e->space == SPACE_GLOBAL || in_space(e, cr3, all_spaces);
        if (!named || page > last || page + (e->to.page_bytes - 1) < from) {
            s->e[to++] = *e;
        }
    }
    memmove(&s->e[to], &s->e[i], (s->count - i) * sizeof *s->e);
    s->count -= i - to;
}

static bool page_size_exists(uint64_t bytes)
{
    return bytes == 4096 || bytes == 2 << 20 || bytes == 4 << 20 || bytes == 1 << 30;
}

void stale_state(struct state *st, struct vcpu *v)
{
    struct stale_entries *s = v->stale;
    uint64_t count = s->count;
    state_u64_in(st, &count, 0, STALE_ENTRIES_MAX, "translations");
    if (state_restoring(st)) {
        s->count = 0;
    }
    for (uint64_t i = 0; i < count && state_ok(st); i++) {
        if (state_restoring(st) && !make_room(s)) {
            state_fail(st, "no memory for %llu translations", (unsigned long long)count);
            return;
        }
        struct stale_entry e = {0};
        if (!state_restoring(st)) {
            e = s->e[i];
        }
        state_u64(st, &e.page);
        state_u64(st, &e.space);
        state_u64(st, &e.base);
        state_u64(st, &e.to.page);
        state_u64(st, &e.to.rights);
        state_u64(st, &e.to.page_bytes);
        state_bool(st, &e.to.dirty);
        state_bool(st, &e.to.global);
        if (state_restoring(st)) {
            const struct stale_entry *before = s->count == 0 ? NULL : &s->e[s->count - 1];
            if ((e.page & PAGE_OFFSET_MASK) || (e.to.page & PAGE_OFFSET_MASK) ||
                (before != NULL && (before->page > e.page || (before->page == e.page && before->space >= e.space)))) {
                state_fail(st, "translations out of order");
                return;
            }
            if (!page_size_exists(e.to.page_bytes)) {
                state_fail(st, "a translation of a page of no size");
                return;
            }
            s->largest = e.to.page_bytes > s->largest ? e.to.page_bytes : s->largest;
            s->e[s->count++] = e;
        }
    }
}
