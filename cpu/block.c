/* The block cache: an arena, a hash by (frame, offset, mode), and for each frame with code a map of 64-byte lines under code.
 */
#include "cpu/block.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { BUCKETS = 1 << 16, FRAME_BUCKETS = 1 << 12, CROSSINGS = 64 };
#define ARENA_BYTES (24u << 20)

struct code_frame {
    struct code_frame *next;
    uint32_t frame;
    uint64_t lines; /* bit n: bytes [64n, 64n+64) are under code */
    struct block *first;
};

struct blocks {
    uint8_t *arena;
    size_t used_bytes;
    struct block *buckets[BUCKETS];
    struct code_frame *frames[FRAME_BUCKETS];
};

struct crossing {
    uint8_t bytes[16];
    uint8_t count;
    uint8_t mode;
    uint16_t offset;
    _Alignas(32) uint8_t room[sizeof(struct block) + BLOCK_UOPS_MAX * sizeof(struct uop)];
};

struct blocks *blocks_create(struct cpu *c)
{
    struct blocks *b = calloc(1, sizeof *b);
    if (b == NULL) {
        return NULL;
    }
    b->arena = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (b->arena == MAP_FAILED) {
        free(b);
        return NULL;
    }
    return b;
}

void blocks_destroy(struct blocks *b)
{
    if (b != NULL) {
        munmap(b->arena, ARENA_BYTES);
        free(b);
    }
}

static unsigned bucket_of(uint32_t frame, unsigned offset, enum code_mode mode)
{
    return ((frame * 2654435761u) ^ (offset * 40503u) ^ ((unsigned)mode << 13)) & (BUCKETS - 1);
}

static struct code_frame *find_frame(const struct blocks *b, uint32_t frame)
{
    struct code_frame *f = b->frames[frame & (FRAME_BUCKETS - 1)];
    while (f != NULL && f->frame != frame) {
        f = f->next;
    }
    return f;
}

static void *arena_take(struct blocks *b, size_t bytes)
{
    void *p = b->arena + b->used_bytes;
    b->used_bytes += (bytes + 31) & ~(size_t)31;
    return p;
}

bool blocks_full(const struct blocks *b)
{
    return b->used_bytes + 2 * (sizeof(struct block) + BLOCK_UOPS_MAX * sizeof(struct uop)) + sizeof(struct code_frame) >
           ARENA_BYTES;
}

/* Entries of a jump cache die by a new salt: 14 bits of generation, kept clear of bits 62 (user) and 63 by vp_derive(). */
static void empty_jump_caches(struct cpu *c)
{
    for (unsigned i = 0; i < c->vp_count; i++) {
        vp_forget_jumps(c->vps[i]);
    }
}

void blocks_flush(struct cpu *c)
{
    struct blocks *b = c->blocks;
    for (unsigned i = 0; i < FRAME_BUCKETS; i++) {
        for (struct code_frame *f = b->frames[i]; f != NULL; f = f->next) {
            memory_track_clear(c->machine->memory, f->frame, MEMORY_CODE);
        }
    }
    memset(b->buckets, 0, sizeof b->buckets);
    memset(b->frames, 0, sizeof b->frames);
    b->used_bytes = 0;
    empty_jump_caches(c);
}

struct block *block_find(struct cpu *c, uint32_t frame, unsigned offset, enum code_mode mode)
{
    struct block *k = c->blocks->buckets[bucket_of(frame, offset, mode)];
    while (k != NULL && !(k->frame == frame && k->offset == offset && k->mode == mode)) {
        k = k->next;
    }
    return k;
}

static uint64_t lines_of(unsigned offset, unsigned bytes)
{
    unsigned first = offset / CODE_LINE_BYTES, last = (offset + bytes - 1) / CODE_LINE_BYTES;
    if (last > 63) {
        last = 63;
    }
    return (~0ULL << first) & (~0ULL >> (63 - last));
}

static void note_code(struct cpu *c, struct block *k)
{
    struct blocks *b = c->blocks;
    struct code_frame *f = find_frame(b, k->frame);
    if (f == NULL) {
        f = arena_take(b, sizeof *f);
        *f = (struct code_frame){.next = b->frames[k->frame & (FRAME_BUCKETS - 1)], .frame = k->frame};
        b->frames[k->frame & (FRAME_BUCKETS - 1)] = f;
        mmu_withhold_write(c, k->frame, MEMORY_CODE);
    }
    f->lines |= lines_of(k->offset, k->bytes);
    k->next_in_frame = f->first;
    f->first = k;
}

struct block *block_at(struct cpu *c, uint32_t frame, unsigned offset, enum code_mode mode)
{
    struct block *k = block_find(c, frame, offset, mode);
    if (k != NULL) {
        return k;
    }
    struct blocks *b = c->blocks;
    k = (struct block *)(b->arena + b->used_bytes); /* the run loop keeps enough room: blocks_full() */
    const uint8_t *page = memory_frame_host(c->machine->memory, frame);
    if (!decode_block(c, k, page + offset, PAGE_BYTES - offset, offset, mode, BLOCK_INSNS_MAX)) {
        return NULL;
    }
    arena_take(b, sizeof *k + k->uops * sizeof(struct uop));
    k->frame = frame;
    unsigned n = bucket_of(frame, offset, mode);
    k->next = b->buckets[n];
    b->buckets[n] = k;
    note_code(c, k);
    return k;
}

bool blocks_cover(const struct cpu *c, uint32_t frame, unsigned offset, unsigned bytes)
{
    const struct code_frame *f = find_frame(c->blocks, frame);
    return f != NULL && (f->lines & lines_of(offset, bytes)) != 0;
}

static void unhash(struct blocks *b, struct block *k)
{
    struct block **at = &b->buckets[bucket_of(k->frame, k->offset, k->mode)];
    while (*at != k) {
        at = &(*at)->next;
    }
    *at = k->next;
}

void blocks_invalidate(struct cpu *c, uint32_t frame, unsigned offset, unsigned bytes)
{
    struct blocks *b = c->blocks;
    struct code_frame **at = &b->frames[frame & (FRAME_BUCKETS - 1)];
    while (*at != NULL && (*at)->frame != frame) {
        at = &(*at)->next;
    }
    struct code_frame *f = *at;
    if (f == NULL || (f->lines & lines_of(offset, bytes)) == 0) {
        return;
    }
    for (struct block *k = f->first; k != NULL; k = k->next_in_frame) {
        unhash(b, k);
    }
    *at = f->next;
    memory_track_clear(c->machine->memory, frame, MEMORY_CODE);
    empty_jump_caches(c);
}

/* ---- truncated copies ---- */

static struct block *begin_copy(struct vcpu *v, const struct block *like)
{
    struct block *t = v->alone_block;
    *t = (struct block){.frame = like->frame, .offset = like->offset, .mode = like->mode};
    return t;
}

static void end_copy(struct block *t, unsigned next_offset)
{
    t->u[t->uops] = (struct uop){.fn = op_goto, .disp = (int32_t)next_offset};
    t->uops++;
    t->has_end = 1;
}

/* Copies the exit records of the conditional jumps among the first `kept` uops; their refunds shrink by what was not charged.
 */
static void copy_exits(struct block *t, const struct block *b, unsigned kept)
{
    unsigned cost_cut = b->cost - t->cost, insns_cut = b->insns - t->insns;
    for (unsigned i = 0; i < b->exits; i++) {
        const struct uop *e = &b->u[b->uops - b->exits + i];
        if (e->base >= kept) {
            continue;
        }
        struct uop *to = &t->u[t->uops];
        *to = *e;
        to->link = NULL;
        to->cost_before = (uint16_t)(e->cost_before - cost_cut);
        to->before = (uint8_t)(e->before - insns_cut);
        t->u[to->base].x = (uint8_t)(t->uops - to->base);
        t->uops++;
        t->exits++;
    }
}

struct block *block_truncate(struct vcpu *v, const struct block *b, unsigned insns)
{
    if (b == v->alone_block && b->insns <= insns) {
        return v->alone_block;
    }
    struct block *t = begin_copy(v, b);
    unsigned n = 0;
    while (n < (unsigned)(b->uops - b->exits - b->has_end) && b->u[n].before < insns) {
        n++;
    }
    const struct uop *last = &b->u[n - 1];
    unsigned after_last = n < (unsigned)(b->uops - b->exits - b->has_end) ? b->u[n].before : b->insns;
    if (after_last != insns) { /* the boundary lies inside a fused pair: decode that many afresh */
        const uint8_t *page = memory_frame_host(v->machine->memory, b->frame);
        decode_block(v->cpu, t, page + b->offset, PAGE_BYTES - b->offset, b->offset, b->mode, insns);
        t->frame = b->frame;
        return t;
    }
    memcpy(t->u, b->u, n * sizeof(struct uop));
    t->uops = (uint8_t)n;
    t->insns = (uint8_t)insns;
    t->cost = n < (unsigned)(b->uops - b->exits - b->has_end) ? b->u[n].cost_before : b->cost;
    if (!(last->ea & EA_ENDS_BLOCK)) {
        end_copy(t, last->offset + last->length);
    }
    copy_exits(t, b, n);
    return t;
}

struct block *block_single(struct vcpu *v, const struct uop *only)
{
    const struct block *b = block_of(only);
    unsigned n = (unsigned)(only - b->u), end = b->uops - b->exits - b->has_end;
    unsigned cost = (n + 1 < end ? b->u[n + 1].cost_before : b->cost) - only->cost_before;
    const struct uop copy =
        *only; /* `b` may be v->alone_block itself. No conditional jump needs a restart, so no exits come along */
    const struct block like = *b;
    struct block *t = begin_copy(v, &like);
    t->offset = copy.offset;
    t->u[0] = copy;
    t->u[0].cost_before = 0;
    t->u[0].before = 0;
    t->uops = t->insns = 1;
    t->cost = (uint16_t)cost;
    if (!(copy.ea & EA_ENDS_BLOCK)) {
        end_copy(t, copy.offset + copy.length);
    }
    return t;
}

/* ---- instructions across a page end: kept by their bytes, so that nothing need watch the two pages ---- */

struct block *block_crossing(struct vcpu *v, const uint8_t *bytes, unsigned count, unsigned offset)
{
    if (v->crossings == NULL) {
        v->crossings = calloc(CROSSINGS, sizeof *v->crossings);
        if (v->crossings == NULL) {
            abort();
        }
    }
    uint32_t h = offset * 31u + v->mode;
    for (unsigned i = 0; i < count; i++) {
        h = h * 33u + bytes[i];
    }
    struct crossing *x = &v->crossings[(h ^ h >> 12) % CROSSINGS];
    struct block *k = (struct block *)x->room;
    if (x->count == count && x->offset == offset && x->mode == v->mode && memcmp(x->bytes, bytes, count) == 0) {
        return k;
    }
    memcpy(x->bytes, bytes, count);
    x->count = (uint8_t)count;
    x->offset = (uint16_t)offset;
    x->mode = v->mode;
    if (!decode_block(v->cpu, k, bytes, count, offset, v->mode, 1)) {
        abort(); /* 15 bytes always decide */
    }
    k->frame = FRAME_NONE;
    return k;
}
