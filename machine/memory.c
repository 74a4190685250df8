/* Guest-physical space: frames, bytes and overlays.
 *
 * Invariants: FRAME_COVERED is set on exactly the RAM frames that an overlay or MMIO hides, so every other RAM page costs
 * memory_frame() one load; `places` is sorted; each frame with MEMORY_DIRTY stands once in `dirty`; a frame without
 * FRAME_TOUCHED holds zeroes. MMIO stands in mmio.c, digest and save state in memory_state.c. Left out: A20, cacheability,
 * the local APIC's page (all cpu/), and anything that the bytes mean. */
#include "machine/memory.h"

#include <string.h>
#include <sys/mman.h>

#include "machine/alloc.h"
#include "machine/memory_map.h"

/* ---- the whole ---- */

static void *map_zeroes(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        return NULL;
    }
    /* Huge pages would charge the host 2 MiB for each page that a guest touches. A kernel without them refuses; no matter. */
    (void)madvise(p, bytes, MADV_NOHUGEPAGE);
    return p;
}

static void unmap(void *p, size_t bytes)
{
    if (p != NULL) {
        munmap(p, bytes);
    }
}

struct memory *memory_create(uint64_t ram_bytes, const char **why)
{
    if (ram_bytes == 0 || ram_bytes % PAGE_BYTES != 0 || ram_bytes > MEMORY_MAX_BYTES) {
        *why = "guest memory must be a multiple of 4 KiB, from 4 KiB to 64 GiB";
        return NULL;
    }
    struct memory *m = host_alloc(1, sizeof *m);
    uint64_t low_bytes = ram_bytes < MEMORY_HOLE_GPA ? ram_bytes : MEMORY_HOLE_GPA;
    m->ram_frames = (uint32_t)(ram_bytes >> PAGE_SHIFT);
    m->low_frames = (uint32_t)(low_bytes >> PAGE_SHIFT);
    m->frame_count = m->ram_frames + MEMORY_OVERLAYS;
    m->host = map_zeroes((size_t)m->frame_count * PAGE_BYTES);
    m->track = map_zeroes(m->frame_count);
    m->digest = map_zeroes(m->frame_count * sizeof *m->digest);
    m->dirty = map_zeroes(m->frame_count * sizeof *m->dirty);
    if (m->host == NULL || m->track == NULL || m->digest == NULL || m->dirty == NULL) {
        memory_destroy(m);
        *why = "the host refuses that much address space for guest memory";
        return NULL;
    }
    return m;
}

void memory_destroy(struct memory *m)
{
    if (m == NULL) {
        return;
    }
    unmap(m->host, (size_t)m->frame_count * PAGE_BYTES);
    unmap(m->track, m->frame_count);
    unmap(m->digest, m->frame_count * sizeof *m->digest);
    unmap(m->dirty, m->frame_count * sizeof *m->dirty);
    free(m->ranges);
    free(m);
}

void memory_listen(struct memory *m, struct memory_listener listener)
{
    m->listener = listener;
}

void map_changed(struct memory *m)
{
    if (m->listener.map_changed != NULL) {
        m->listener.map_changed(m->listener.owner);
    }
}

uint64_t memory_ram_bytes(const struct memory *m)
{
    return (uint64_t)m->ram_frames << PAGE_SHIFT;
}

uint64_t memory_touched_bytes(const struct memory *m)
{
    return m->touched_frames << PAGE_SHIFT;
}

/* ---- frames ---- */

uint32_t places_beyond(const struct memory *m, uint64_t page)
{
    uint32_t low = 0, high = m->place_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (m->places[middle].page <= page) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* NULL when no overlay lies at the page. */
static const struct overlay_place *overlay_seen(const struct memory *m, uint64_t page)
{
    uint32_t beyond = places_beyond(m, page);
    return beyond > 0 && m->places[beyond - 1].page == page ? &m->places[beyond - 1] : NULL;
}

uint32_t memory_frame(const struct memory *m, gpa_t at, bool *writable)
{
    uint64_t page = at.v >> PAGE_SHIFT;
    uint32_t frame = ram_frame_of_page(m, page);
    *writable = true;
    if (LIKELY(frame != FRAME_NONE && !(m->track[frame] & FRAME_COVERED))) {
        return frame;
    }
    const struct overlay_place *p = overlay_seen(m, page);
    if (p == NULL) {
        return FRAME_NONE; /* nothing there, or RAM under MMIO */
    }
    *writable = m->overlays[p->overlay].write == OVERLAY_WRITABLE;
    return m->ram_frames + p->overlay;
}

uint8_t *memory_frame_host(const struct memory *m, uint32_t frame)
{
    return m->host + (size_t)frame * PAGE_BYTES;
}

uint32_t memory_frame_count(const struct memory *m)
{
    return m->frame_count;
}

uint8_t memory_track(const struct memory *m, uint32_t frame)
{
    return m->track[frame] & FRAME_PUBLIC;
}

void memory_track_set(struct memory *m, uint32_t frame, uint8_t bits)
{
    m->track[frame] |= bits & (MEMORY_CODE | MEMORY_TABLE);
    if (bits & MEMORY_DIRTY) {
        memory_dirty(m, frame);
    }
}

void memory_track_clear(struct memory *m, uint32_t frame, uint8_t bits)
{
    m->track[frame] &= (uint8_t) ~(bits & (MEMORY_CODE | MEMORY_TABLE));
}

void memory_dirty(struct memory *m, uint32_t frame)
{
    uint8_t track = m->track[frame];
    if (track & MEMORY_DIRTY) {
        return;
    }
    m->touched_frames += !(track & FRAME_TOUCHED);
    m->track[frame] = track | MEMORY_DIRTY | FRAME_TOUCHED;
    m->dirty[m->dirty_count++] = frame;
}

/* ---- bytes ---- */

static bool all_there(const struct memory *m, gpa_t at, size_t bytes, bool write)
{
    uint64_t last;
    if (__builtin_add_overflow(at.v, (uint64_t)bytes - 1, &last)) {
        return false;
    }
    for (uint64_t page = at.v >> PAGE_SHIFT; page <= last >> PAGE_SHIFT; page++) {
        bool writable;
        if (memory_frame(m, gpa(page << PAGE_SHIFT), &writable) == FRAME_NONE || (write && !writable)) {
            return false;
        }
    }
    return true;
}

static size_t part_in_page(gpa_t at, size_t bytes)
{
    size_t room = PAGE_BYTES - (size_t)(at.v & PAGE_OFFSET_MASK);
    return bytes < room ? bytes : room;
}

bool memory_read(const struct memory *m, gpa_t at, void *to, size_t bytes)
{
    if (bytes == 0) {
        return true;
    }
    if (!all_there(m, at, bytes, false)) {
        return false;
    }
    uint8_t *next = to;
    while (bytes > 0) {
        bool writable;
        size_t part = part_in_page(at, bytes);
        uint32_t frame = memory_frame(m, at, &writable);
        memcpy(next, memory_frame_host(m, frame) + (at.v & PAGE_OFFSET_MASK), part);
        next += part;
        at.v += part;
        bytes -= part;
    }
    return true;
}

/* The one way in which bytes change from outside the processor: told first, then marked, then changed by the caller. */
static void about_to_change(struct memory *m, uint32_t frame, uint32_t offset, uint32_t bytes)
{
    if ((m->track[frame] & (MEMORY_CODE | MEMORY_TABLE)) && m->listener.tracked_write != NULL) {
        m->listener.tracked_write(m->listener.owner, frame, offset, bytes);
    }
    memory_dirty(m, frame);
}

bool memory_write(struct memory *m, gpa_t at, const void *from, size_t bytes)
{
    if (bytes == 0) {
        return true;
    }
    if (!all_there(m, at, bytes, true)) {
        return false;
    }
    const uint8_t *next = from;
    while (bytes > 0) {
        bool writable;
        size_t part = part_in_page(at, bytes);
        uint32_t offset = (uint32_t)(at.v & PAGE_OFFSET_MASK);
        uint32_t frame = memory_frame(m, at, &writable);
        about_to_change(m, frame, offset, (uint32_t)part);
        memcpy(memory_frame_host(m, frame) + offset, next, part);
        next += part;
        at.v += part;
        bytes -= part;
    }
    return true;
}

bool page_is_zero(const uint8_t *page)
{
    for (unsigned i = 0; i < PAGE_BYTES; i += 64) {
        uint64_t w[8];
        memcpy(w, page + i, sizeof w);
        if ((w[0] | w[1] | w[2] | w[3] | w[4] | w[5] | w[6] | w[7]) != 0) {
            return false;
        }
    }
    return true;
}

/* ---- overlays (TLFS 6.0b §5.2.1) ---- */

void page_cover(struct memory *m, uint64_t page)
{
    uint32_t frame = ram_frame_of_page(m, page);
    if (frame == FRAME_NONE) {
        return;
    }
    if (overlay_seen(m, page) != NULL || mmio_takes_page(m, page)) {
        m->track[frame] |= FRAME_COVERED;
    } else {
        m->track[frame] &= (uint8_t)~FRAME_COVERED;
    }
}

int overlay_create(struct memory *m, const char *name, enum overlay_write write)
{
    if (m->overlay_count == MEMORY_OVERLAYS) {
        return -1;
    }
    m->overlays[m->overlay_count] = (struct overlay){.name = name, .write = write};
    return (int)m->overlay_count++;
}

enum overlay_write overlay_write_of(const struct memory *m, uint32_t frame)
{
    assert(frame < m->frame_count);
    return frame < m->ram_frames ? OVERLAY_WRITABLE : m->overlays[frame - m->ram_frames].write;
}

static struct overlay *overlay_of(struct memory *m, int overlay)
{
    assert(overlay >= 0 && (uint32_t)overlay < m->overlay_count);
    return &m->overlays[overlay];
}

/* Out of the sorted list; the caller says what follows. */
static void unplace(struct memory *m, int overlay)
{
    struct overlay *o = overlay_of(m, overlay);
    uint32_t i = places_beyond(m, o->page) - 1;
    while (m->places[i].overlay != (uint32_t)overlay) {
        i--;
    }
    memmove(&m->places[i], &m->places[i + 1], (m->place_count - i - 1) * sizeof m->places[0]);
    m->place_count--;
    o->placed = false;
    page_cover(m, o->page);
}

bool overlay_place(struct memory *m, int overlay, gpa_t at)
{
    struct overlay *o = overlay_of(m, overlay);
    if (at.v >= GPA_LIMIT || (at.v & PAGE_OFFSET_MASK) != 0) {
        return false;
    }
    if (o->placed) {
        unplace(m, overlay);
    }
    o->placed = true;
    o->page = at.v >> PAGE_SHIFT;
    uint32_t i = places_beyond(m, o->page);
    memmove(&m->places[i + 1], &m->places[i], (m->place_count - i) * sizeof m->places[0]);
    m->places[i] = (struct overlay_place){o->page, (uint32_t)overlay};
    m->place_count++;
    page_cover(m, o->page);
    map_changed(m);
    return true;
}

void overlay_remove(struct memory *m, int overlay)
{
    if (overlay_of(m, overlay)->placed) {
        unplace(m, overlay);
        map_changed(m);
    }
}

bool memory_is_overlay(const struct memory *m, gpa_t at)
{
    return overlay_seen(m, at.v >> PAGE_SHIFT) != NULL;
}

uint8_t *overlay_host(struct memory *m, int overlay)
{
    overlay_of(m, overlay);
    return memory_frame_host(m, m->ram_frames + (uint32_t)overlay);
}

void overlay_touch(struct memory *m, int overlay)
{
    overlay_of(m, overlay);
    about_to_change(m, m->ram_frames + (uint32_t)overlay, 0, PAGE_BYTES);
}
