/* Which page-table entries are in use by remembered translations, and what happens when they change (policy `fresh`, see
 * mmu.c).
 *
 * Page-table frames are watched (MEMORY_TABLE). For each there is one bit for each 8-byte slot: used as a leaf, as the leaf of
 * code, or higher up. A write to a leaf slot in use drops the translations that name it; to a higher one, everything; to any
 * other slot, nothing.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cpu/block.h"
#include "cpu/mmu_parts.h"

/* ---- which table entries are in use ---- */

struct table_use {
    uint32_t frame;
    bool many;                           /* as a table of 4 KiB pages it was met at several linear addresses */
    uint64_t linear_base;                /* ... or only at this one (UINT64_MAX: at none yet) */
    uint64_t leaf[8], upper[8], code[8]; /* one bit for each 8-byte slot; `code`: a leaf on the way to instructions */
};
struct mmu_shared {
    uint32_t *use_of_frame; /* 0: not a table; else index into `use` + 1. Sparse: host pages appear as touched */
    size_t map_bytes;
    struct table_use *use;
    uint32_t count;
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

void tables_forget(struct cpu *c)
{
    while (c->tables->count != 0) {
        forget_table(c, c->tables->count - 1);
    }
}

void tables_note_use(struct cpu *c, uint32_t frame, unsigned offset, enum use_kind kind, uint64_t linear_base)
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

bool tables_full(const struct cpu *c)
{
    return c->tables->count + 8 > TABLES_MAX;
}

static bool table_unused(const struct table_use *u)
{
    uint64_t any = 0;
    for (unsigned i = 0; i < 8; i++) {
        any |= u->leaf[i] | u->upper[i];
    }
    return any == 0;
}

/* ---- writes to watched frames ---- */

bool tables_write_matters(const struct cpu *c, uint32_t frame, unsigned offset, unsigned bytes)
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
            uint64_t linear =
                u->many || u->linear_base == UINT64_MAX ? UINT64_MAX : u->linear_base + ((uint64_t)slot << PAGE_SHIFT);
            tlb_drop_leaf(c, (uint64_t)frame << PAGE_SHIFT | slot << 3, u->code[slot >> 6] & bit, linear);
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
