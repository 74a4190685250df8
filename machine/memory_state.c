/* Digest and save state of guest-physical space.
 *
 * The digest is a sum, so a page that changed costs its old and its new value and the order of pages does not matter; a zero
 * page counts nothing, so untouched memory is free. Invariant between two calls: `sum` is the sum of `digest[]`, and
 * digest[f] fits the bytes of every frame without MEMORY_DIRTY.
 * Saved: places of overlays from bottom to top, then every non-zero frame in rising order; equal memory gives equal bytes. */
#include <string.h>
#include <xxhash.h>

#include "machine/memory_map.h"
#include "machine/state.h"

static struct memory_digest frame_digest(const struct memory *m, uint32_t frame)
{
    const uint8_t *page = memory_frame_host(m, frame);
    if (page_is_zero(page)) {
        return (struct memory_digest){0, 0};
    }
    XXH128_hash_t h = XXH3_128bits_withSeed(page, PAGE_BYTES, frame);
    return (struct memory_digest){h.low64, h.high64};
}

/* Writes digest[] only where it differs, so that clean host pages of it stay untouched. */
static void frame_digest_set(struct memory *m, uint32_t frame, struct memory_digest now)
{
    struct memory_digest *old = &m->digest[frame];
    if (old->low != now.low || old->high != now.high) {
        m->sum.low += now.low - old->low;
        m->sum.high += now.high - old->high;
        *old = now;
    }
}

struct memory_digest memory_digest(struct memory *m)
{
    for (uint32_t i = 0; i < m->dirty_count; i++) {
        uint32_t frame = m->dirty[i];
        frame_digest_set(m, frame, frame_digest(m, frame));
        m->track[frame] &= (uint8_t)~MEMORY_DIRTY;
    }
    m->dirty_count = 0;
    return m->sum;
}

/* The first touched frame at or after `frame`, or frame_count: eight untouched ones at a step. */
static uint32_t next_touched(const struct memory *m, uint32_t frame)
{
    while (frame < m->frame_count && !(m->track[frame] & FRAME_TOUCHED)) {
        uint64_t eight;
        if (m->frame_count - frame >= sizeof eight) {
            memcpy(&eight, m->track + frame, sizeof eight);
            if ((eight & 0x0101010101010101ULL * FRAME_TOUCHED) == 0) {
                frame += sizeof eight;
                continue;
            }
        }
        frame++;
    }
    return frame;
}

/* ---- overlays ---- */

static void save_places(struct state *s, struct memory *m)
{
    for (uint32_t i = 0; i < m->place_count; i++) {
        state_u32(s, &m->places[i].overlay);
        state_u64(s, &m->places[i].page);
    }
}

static void forget_places(struct memory *m)
{
    for (uint32_t i = 0; i < m->overlay_count; i++) {
        overlay_remove(m, (int)i);
    }
}

/* Pages must rise, so that a list of places has one form only. */
static void restore_places(struct state *s, struct memory *m, uint32_t count)
{
    uint64_t before = 0;
    forget_places(m);
    for (uint32_t i = 0; i < count && state_ok(s); i++) {
        uint32_t overlay = 0;
        uint64_t page = 0;
        state_u32(s, &overlay);
        state_u64(s, &page);
        if (!state_ok(s)) {
            return;
        }
        if (overlay >= m->overlay_count || m->overlays[overlay].placed || page < before || page >= GPA_LIMIT >> PAGE_SHIFT) {
            state_fail(s, "an overlay page of the saved state has an impossible place");
            return;
        }
        overlay_place(m, (int)overlay, gpa(page << PAGE_SHIFT));
        before = page;
    }
}

/* ---- pages ---- */

static void save_pages(struct state *s, struct memory *m)
{
    for (uint32_t frame = next_touched(m, 0); frame < m->frame_count; frame = next_touched(m, frame + 1)) {
        uint8_t *page = memory_frame_host(m, frame);
        if (!page_is_zero(page)) {
            state_u32(s, &frame);
            state_bytes(s, page, PAGE_BYTES);
        }
    }
    uint32_t end = FRAME_NONE;
    state_u32(s, &end);
}

/* All zero again: as created, but for the tracking bits of others. */
static void clear_pages(struct memory *m)
{
    for (uint32_t frame = next_touched(m, 0); frame < m->frame_count; frame = next_touched(m, frame + 1)) {
        memset(memory_frame_host(m, frame), 0, PAGE_BYTES);
        frame_digest_set(m, frame, (struct memory_digest){0, 0});
        m->track[frame] &= (uint8_t) ~(MEMORY_DIRTY | FRAME_TOUCHED);
    }
    m->dirty_count = 0;
    m->touched_frames = 0;
}

static void restore_pages(struct state *s, struct memory *m)
{
    uint64_t lowest = 0;
    clear_pages(m);
    for (;;) {
        uint32_t frame = FRAME_NONE;
        state_u32(s, &frame);
        if (!state_ok(s) || frame == FRAME_NONE) {
            return;
        }
        if (frame < lowest || frame >= m->ram_frames + m->overlay_count) {
            state_fail(s, "a page of the saved state lies outside this machine's memory");
            return;
        }
        memory_dirty(m, frame);
        state_bytes(s, memory_frame_host(m, frame), PAGE_BYTES);
        if (state_ok(s) && page_is_zero(memory_frame_host(m, frame))) {
            state_fail(s, "the saved state holds a page of zeroes");
        }
        lowest = (uint64_t)frame + 1;
    }
}

void memory_state(struct state *s, struct memory *m)
{
    state_section(s, "memory", 1);
    uint64_t ram_bytes = memory_ram_bytes(m);
    uint32_t overlays = m->overlay_count, places = m->place_count;
    state_u64_in(s, &ram_bytes, ram_bytes, ram_bytes, "size of guest memory");
    state_u32_in(s, &overlays, overlays, overlays, "number of overlay pages");
    state_u32_in(s, &places, 0, overlays, "number of placed overlay pages");
    switch (state_mode(s)) {
    case STATE_SAVE:
        save_places(s, m);
        save_pages(s, m);
        break;
    case STATE_RESTORE:
        restore_places(s, m, places);
        restore_pages(s, m);
        map_changed(m);
        break;
    case STATE_DIGEST:
        save_places(s, m);
        break;
    }
}
