/* The inside of guest-physical space, shared by memory.c (frames, bytes, overlays), mmio.c and memory_state.c.
 *
 * Frames: RAM first (frame = RAM page), then MEMORY_OVERLAYS overlay frames. All arrays by frame are anonymous mappings that
 * the host fills with zeroes when touched, so 64 GiB of guest memory costs what the guest uses.
 */
#ifndef ORRERY_MACHINE_MEMORY_MAP_H
#define ORRERY_MACHINE_MEMORY_MAP_H

#include "machine/memory.h"

/* Bits of the track array beside enum memory_track; never shown to others. */
enum {
    FRAME_COVERED = 0x40, /* RAM with an overlay or MMIO on top: memory_frame() must look closer */
    FRAME_TOUCHED = 0x80, /* ever dirty, so its bytes may differ from zero */
    FRAME_PUBLIC = MEMORY_DIRTY | MEMORY_CODE | MEMORY_TABLE,
};
#define GPA_LIMIT (1ULL << 52) /* SDM 3A §4.1.4: MAXPHYADDR is at most 52 */

struct overlay {
    const char *name;
    enum overlay_write write;
    bool placed;
    uint64_t page; /* when placed */
};
/* Sorted by page; at one page in order of placement, so the last one is seen. */
struct overlay_place {
    uint64_t page;
    uint32_t overlay;
};
/* Sorted by `first`, no overlaps. */
struct mmio_range {
    const char *name;
    uint64_t first, last; /* bytes, inclusive */
    const struct mmio_ops *ops;
    void *owner;
};

struct memory {
    uint8_t *host;                /* [frame * PAGE_BYTES] */
    uint8_t *track;               /* [frame] */
    struct memory_digest *digest; /* [frame], of the bytes at the last memory_digest(); zero for a zero page */
    uint32_t *dirty;              /* frames with MEMORY_DIRTY */
    uint32_t dirty_count;
    uint32_t ram_frames, low_frames, frame_count;
    uint64_t touched_frames;
    struct memory_digest sum;
    struct memory_listener listener;

    struct overlay overlays[MEMORY_OVERLAYS];
    uint32_t overlay_count;
    struct overlay_place places[MEMORY_OVERLAYS];
    uint32_t place_count;

    struct mmio_range *ranges;
    size_t range_count;
};

/* The RAM frame of a page, whatever lies on top; FRAME_NONE when there is no RAM. */
static inline uint32_t ram_frame_of_page(const struct memory *m, uint64_t page)
{
    if (page < m->low_frames) {
        return (uint32_t)page;
    }
    uint64_t high = page - (MEMORY_HIGH_GPA >> PAGE_SHIFT); /* wraps far beyond ram_frames for pages in the hole */
    return high < m->ram_frames - m->low_frames ? (uint32_t)(m->low_frames + high) : FRAME_NONE;
}

/* Index of the first place beyond `page`; the overlay seen at `page`, if any, stands just before it. */
uint32_t places_beyond(const struct memory *m, uint64_t page);
bool mmio_takes_page(const struct memory *m, uint64_t page);
/* Recomputes FRAME_COVERED of the RAM under a page. */
void page_cover(struct memory *m, uint64_t page);
void map_changed(struct memory *m);
bool page_is_zero(const uint8_t *page);

#endif
