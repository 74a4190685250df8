/* Guest-physical space: sparse RAM, true overlay pages, MMIO ranges.
 *
 * RAM starts at 0; what does not fit below MEMORY_HOLE_GPA continues at 4 GiB. Every page that holds bytes (RAM or overlay)
 * is a *frame*: a small number that names it in dirty lists, code caches and page-table tracking. An overlay hides
 * what lies at its GPA and gives it back when it is removed (TLFS 6.0b §5.2.1 Overlay Pages).
 *
 * A frame carries tracking bits. Whoever caches something derived from a frame's bytes (decoded code, translations)
 * sets its bit; a write to a frame with MEMORY_CODE or MEMORY_TABLE is told to the listener *before* the bytes change.
 *
 * At one page an overlay hides MMIO, and MMIO hides RAM; an MMIO range takes whole pages from RAM.
 */
#ifndef ORRERY_MACHINE_MEMORY_H
#define ORRERY_MACHINE_MEMORY_H

#include "machine/types.h"

#define MEMORY_HOLE_GPA 0xc0000000ULL  /* low RAM ends here at the latest */
#define MEMORY_HIGH_GPA 0x100000000ULL /* high RAM starts here */
#define MEMORY_MAX_BYTES (64ULL << 30)
enum { MEMORY_OVERLAYS = 2048 }; /* frames set aside for overlays */
#define FRAME_NONE UINT32_MAX

enum memory_track {
    MEMORY_DIRTY = 1, /* changed since the last digest epoch; kept by memory */
    MEMORY_CODE = 2,  /* decoded instructions derive from it; set and cleared by cpu */
    MEMORY_TABLE = 4, /* cached translations derive from it; set and cleared by cpu */
};

struct memory;
struct state;

/* A device's answer to accesses. `bytes` is 1, 2, 4 or 8; `offset` counts from the region's start. */
struct mmio_ops {
    uint64_t (*read)(void *owner, uint64_t offset, unsigned bytes);
    void (*write)(void *owner, uint64_t offset, unsigned bytes, uint64_t value);
};

/* Who must know of changes under cached things. */
struct memory_listener {
    void *owner;
    /* Bytes [offset, offset+bytes) of a tracked frame (CODE or TABLE) are about to change. */
    void (*tracked_write)(void *owner, uint32_t frame, uint32_t offset, uint32_t bytes);
    /* What a GPA means has changed (overlay placed or removed, RAM restored): drop everything derived. */
    void (*map_changed)(void *owner);
};

/* NULL with *why set when the size is 0, not a multiple of 4 KiB, above 64 GiB, or the host refuses. */
struct memory *memory_create(uint64_t ram_bytes, const char **why);
void memory_destroy(struct memory *m);
void memory_listen(struct memory *m, struct memory_listener listener);
uint64_t memory_ram_bytes(const struct memory *m);
/* Bytes in frames that were ever written (or made writable): what the guest's memory costs the host. */
uint64_t memory_touched_bytes(const struct memory *m);

/* ---- frames: the fast way, for the processor's translation cache ---- */

/* The frame behind a GPA: FRAME_NONE when it is MMIO or nothing. `*writable` is false for a read-only overlay. */
uint32_t memory_frame(const struct memory *m, gpa_t gpa, bool *writable);
/* Frames lie one after the other; `frame` is below memory_frame_count(). Write only after memory_dirty(). */
uint8_t *memory_frame_host(const struct memory *m, uint32_t frame);
uint32_t memory_frame_count(const struct memory *m);
uint8_t memory_track(const struct memory *m, uint32_t frame);
/* CODE and TABLE; MEMORY_DIRTY goes through memory_dirty() and is cleared by memory_digest() alone. */
void memory_track_set(struct memory *m, uint32_t frame, uint8_t bits);
void memory_track_clear(struct memory *m, uint32_t frame, uint8_t bits);
/* To be called before a frame is written through its host pointer. Sets MEMORY_DIRTY; does not tell the listener. */
void memory_dirty(struct memory *m, uint32_t frame);

/* ---- bytes: for devices, loaders, hypercalls ---- */

/* False, and nothing done, when any byte is not RAM or overlay (or, for a write, is a read-only overlay). No bytes: true. */
bool memory_read(const struct memory *m, gpa_t at, void *to, size_t bytes);
bool memory_write(struct memory *m, gpa_t at, const void *from, size_t bytes);

/* ---- overlays ---- */

/* What a guest's write to an overlay does: it is made; or it changes nothing, and is lost or raises #GP(0) or a machine check.
 */
enum overlay_write { OVERLAY_WRITABLE, OVERLAY_WRITE_LOST, OVERLAY_WRITE_GP, OVERLAY_WRITE_MC };
/* An overlay has its own zeroed frame; `name` is borrowed. Returns its id (>= 0), or -1 when none is left. */
int overlay_create(struct memory *m, const char *name, enum overlay_write write);
/* Of any frame but FRAME_NONE; RAM is writable. */
enum overlay_write overlay_write_of(const struct memory *m, uint32_t frame);
/* Hides whatever lies at the page; false (and the overlay stays where it was) if `at` is beyond 2^52 or unaligned.
 * Of several overlays at one page the last placed is seen. */
bool overlay_place(struct memory *m, int overlay, gpa_t at);
void overlay_remove(struct memory *m, int overlay);
/* Its bytes, for the owner. Changing them needs overlay_touch() first. */
uint8_t *overlay_host(struct memory *m, int overlay);
void overlay_touch(struct memory *m, int overlay);
/* Does an overlay lie at the page of `at`? */
bool memory_is_overlay(const struct memory *m, gpa_t at);

/* ---- MMIO ---- */

/* Ranges may not overlap each other; `name`, `ops` and `owner` are borrowed. False on overlap, no bytes, or beyond 2^52. */
bool mmio_add(struct memory *m, const char *name, gpa_t at, uint64_t bytes, const struct mmio_ops *ops, void *owner);
/* An access that memory_frame() answered with FRAME_NONE; 1 to 8 bytes. Nobody there: reads all ones, writes vanish. An access
 * that a range does not hold wholly, or that is not of 1, 2, 4 or 8 bytes, is made byte by byte, lowest first. */
uint64_t mmio_read(struct memory *m, gpa_t at, unsigned bytes);
void mmio_write(struct memory *m, gpa_t at, unsigned bytes, uint64_t value);

/* ---- digest and save state ---- */

struct memory_digest {
    uint64_t low, high;
};
/* Sum over non-zero frames of XXH3-128(bytes, seed = frame), each half mod 2^64. Costs what changed since the last
 * call, and clears MEMORY_DIRTY: the caller must first take back write permissions handed out (cpu_drop_writable()). */
struct memory_digest memory_digest(struct memory *m);
/* Section "memory": placed overlays, then non-zero pages by frame. A restore clears every other page, then tells the listener.
 * In a digest the overlays' places only: the bytes enter by memory_digest(). */
void memory_state(struct state *s, struct memory *m);

#endif
