/* Guest-physical space: frames, bytes, overlays, MMIO, digest. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "machine/memory.h"
#include "machine/prng.h"

#define MIB (1ULL << 20)

static struct memory *fresh(uint64_t bytes)
{
    const char *why = NULL;
    struct memory *m = memory_create(bytes, &why);
    cr_assert_not_null(m, "%s", why != NULL ? why : "");
    return m;
}

static uint32_t frame_at(const struct memory *m, uint64_t at)
{
    bool writable;
    return memory_frame(m, gpa(at), &writable);
}

/* ---- RAM ---- */

Test(memory, refuses_sizes_that_are_zero_uneven_or_too_large)
{
    const uint64_t bad[] = {0, 1, 4095, 4097, MEMORY_MAX_BYTES + PAGE_BYTES, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        const char *why = NULL;
        cr_expect_null(memory_create(bad[i], &why));
        cr_expect_not_null(why);
    }
}

Test(memory, starts_as_zeroes)
{
    struct memory *m = fresh(MIB);
    uint8_t page[PAGE_BYTES];
    memset(page, 1, sizeof page);
    cr_expect(memory_read(m, gpa(MIB - PAGE_BYTES), page, sizeof page));
    for (unsigned i = 0; i < PAGE_BYTES; i++) {
        cr_assert_eq(page[i], 0);
    }
    memory_destroy(m);
}

Test(memory, beyond_the_hole_ram_continues_at_4_gib)
{
    struct memory *m = fresh(MEMORY_HOLE_GPA + 2 * PAGE_BYTES);
    cr_expect_eq(frame_at(m, MEMORY_HOLE_GPA - 1), (MEMORY_HOLE_GPA >> PAGE_SHIFT) - 1);
    cr_expect_eq(frame_at(m, MEMORY_HOLE_GPA), FRAME_NONE);
    cr_expect_eq(frame_at(m, MEMORY_HIGH_GPA - 1), FRAME_NONE);
    cr_expect_eq(frame_at(m, MEMORY_HIGH_GPA), MEMORY_HOLE_GPA >> PAGE_SHIFT);
    cr_expect_eq(frame_at(m, MEMORY_HIGH_GPA + 2 * PAGE_BYTES - 1), (MEMORY_HOLE_GPA >> PAGE_SHIFT) + 1);
    cr_expect_eq(frame_at(m, MEMORY_HIGH_GPA + 2 * PAGE_BYTES), FRAME_NONE);
    cr_expect_eq(frame_at(m, UINT64_MAX), FRAME_NONE);
    memory_destroy(m);
}

Test(memory, small_ram_leaves_4_gib_empty)
{
    struct memory *m = fresh(MIB);
    cr_expect_eq(frame_at(m, MIB), FRAME_NONE);
    cr_expect_eq(frame_at(m, MEMORY_HIGH_GPA), FRAME_NONE);
    memory_destroy(m);
}

static uint64_t resident_bytes(void)
{
    unsigned long long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    cr_assert_not_null(f);
    cr_assert_eq(fscanf(f, "%llu %llu", &size, &resident), 2);
    fclose(f);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

Test(memory, of_64_gib_costs_what_is_touched)
{
    uint64_t before = resident_bytes();
    struct memory *m = fresh(MEMORY_MAX_BYTES);
    for (uint64_t i = 0; i < 64; i++) {
        uint8_t byte = 1;
        cr_expect(memory_write(m, gpa(MEMORY_HIGH_GPA + i * 512 * MIB), &byte, 1));
    }
    memory_digest(m);
    cr_expect_eq(memory_touched_bytes(m), 64 * PAGE_BYTES);
    cr_expect_lt(resident_bytes() - before, 8 * MIB);
    memory_destroy(m);
}

/* ---- bytes ---- */

Test(memory, writes_across_pages_and_reads_back)
{
    struct memory *m = fresh(MIB);
    uint8_t out[3 * PAGE_BYTES], in[3 * PAGE_BYTES];
    for (size_t i = 0; i < sizeof out; i++) {
        out[i] = (uint8_t)(i * 7 + 1);
    }
    cr_expect(memory_write(m, gpa(0x1ffd), out, sizeof out));
    cr_expect(memory_read(m, gpa(0x1ffd), in, sizeof in));
    cr_expect_arr_eq(in, out, sizeof in);
    memory_destroy(m);
}

Test(memory, access_that_leaves_ram_is_refused_whole)
{
    struct memory *m = fresh(MIB);
    uint8_t two[2] = {0x55, 0x55};
    cr_expect_not(memory_write(m, gpa(MIB - 1), two, 2));
    cr_expect(memory_read(m, gpa(MIB - 1), two, 1));
    cr_expect_eq(two[0], 0, "the byte that was there did not change");
    cr_expect_not(memory_read(m, gpa(MIB - 1), two, 2));
    cr_expect_eq(two[1], 0x55, "nothing was read");
    memory_destroy(m);
}

Test(memory, access_that_wraps_or_is_absurdly_long_is_refused)
{
    struct memory *m = fresh(MIB);
    uint8_t byte = 0;
    cr_expect_not(memory_read(m, gpa(UINT64_MAX), &byte, 2));
    cr_expect_not(memory_write(m, gpa(0x1000), &byte, SIZE_MAX));
    cr_expect_not(memory_write(m, gpa(0), &byte, SIZE_MAX));
    cr_expect(memory_write(m, gpa(UINT64_MAX), &byte, 0), "no bytes touch nothing");
    memory_destroy(m);
}

/* ---- tracking ---- */

struct told {
    struct memory *m;
    unsigned writes, maps;
    uint32_t frame, offset, bytes;
    uint8_t byte_then;
};

static void told_write(void *owner, uint32_t frame, uint32_t offset, uint32_t bytes)
{
    struct told *t = owner;
    t->writes++;
    t->frame = frame;
    t->offset = offset;
    t->bytes = bytes;
    t->byte_then = memory_frame_host(t->m, frame)[offset];
}

static void told_map(void *owner)
{
    ((struct told *)owner)->maps++;
}

static struct memory *listened(struct told *t)
{
    *t = (struct told){.m = fresh(MIB)};
    memory_listen(t->m, (struct memory_listener){t, told_write, told_map});
    return t->m;
}

Test(memory, listener_hears_of_tracked_frames_before_the_bytes_change)
{
    struct told t;
    struct memory *m = listened(&t);
    const uint8_t ones[4] = {1, 1, 1, 1}, twos[4] = {2, 2, 2, 2};
    memory_write(m, gpa(0x2ffe), ones, 4);
    cr_expect_eq(t.writes, 0, "frames that nobody tracks are silent");
    memory_track_set(m, 2, MEMORY_CODE);
    memory_write(m, gpa(0x2ffe), twos, 4);
    cr_expect_eq(t.writes, 1);
    cr_expect_eq(t.frame, 2);
    cr_expect_eq(t.offset, 0xffe);
    cr_expect_eq(t.bytes, 2, "only the part in the tracked frame");
    cr_expect_eq(t.byte_then, 1);
    memory_track_clear(m, 2, MEMORY_CODE);
    memory_track_set(m, 3, MEMORY_TABLE);
    memory_write(m, gpa(0x2ffe), ones, 4);
    cr_expect_eq(t.writes, 2);
    cr_expect_eq(t.frame, 3);
    memory_destroy(m);
}

Test(memory, refused_write_is_not_told)
{
    struct told t;
    struct memory *m = listened(&t);
    memory_track_set(m, (MIB >> PAGE_SHIFT) - 1, MEMORY_CODE);
    cr_expect_not(memory_write(m, gpa(MIB - 1), "ab", 2));
    cr_expect_eq(t.writes, 0);
    memory_destroy(m);
}

Test(memory, dirty_is_set_by_writes_and_cleared_by_the_digest_alone)
{
    struct memory *m = fresh(MIB);
    memory_write(m, gpa(0x5000), "x", 1);
    cr_expect_eq(memory_track(m, 5), MEMORY_DIRTY);
    memory_track_clear(m, 5, MEMORY_DIRTY);
    cr_expect_eq(memory_track(m, 5), MEMORY_DIRTY);
    memory_track_set(m, 5, MEMORY_TABLE);
    memory_digest(m);
    cr_expect_eq(memory_track(m, 5), MEMORY_TABLE);
    memory_destroy(m);
}

/* ---- overlays: TLFS 6.0b §5.2.1 ---- */

Test(overlay, hides_ram_and_gives_it_back)
{
    struct memory *m = fresh(MIB);
    int o = overlay_create(m, "page", OVERLAY_WRITABLE);
    uint8_t byte;
    memory_write(m, gpa(0x3000), "r", 1);
    cr_expect(overlay_place(m, o, gpa(0x3000)));
    memory_read(m, gpa(0x3000), &byte, 1);
    cr_expect_eq(byte, 0, "the overlay's own zero");
    memory_write(m, gpa(0x3000), "o", 1);
    overlay_remove(m, o);
    memory_read(m, gpa(0x3000), &byte, 1);
    cr_expect_eq(byte, 'r');
    overlay_place(m, o, gpa(0x8000));
    memory_read(m, gpa(0x8000), &byte, 1);
    cr_expect_eq(byte, 'o', "its bytes go with it");
    memory_destroy(m);
}

Test(overlay, is_seen_beyond_ram_and_over_mmio)
{
    static const struct mmio_ops none = {0};
    struct memory *m = fresh(MIB);
    int o = overlay_create(m, "page", OVERLAY_WRITABLE);
    cr_expect(mmio_add(m, "device", gpa(0xfed00000), 0x400, &none, NULL));
    const uint64_t places[] = {0x10000000, MEMORY_HOLE_GPA, 0xfed00000, MEMORY_HIGH_GPA, (1ULL << 52) - PAGE_BYTES};
    for (size_t i = 0; i < ARRAY_COUNT(places); i++) {
        cr_expect_eq(frame_at(m, places[i]), FRAME_NONE);
        cr_expect(overlay_place(m, o, gpa(places[i])));
        cr_expect_eq(frame_at(m, places[i]), (MIB >> PAGE_SHIFT) + (uint32_t)o);
        cr_expect(memory_write(m, gpa(places[i] + 1), "x", 1));
    }
    overlay_remove(m, o);
    cr_expect_eq(frame_at(m, 0xfed00000), FRAME_NONE);
    memory_destroy(m);
}

Test(overlay, last_placed_is_seen)
{
    struct memory *m = fresh(MIB);
    int a = overlay_create(m, "a", OVERLAY_WRITABLE), b = overlay_create(m, "b", OVERLAY_WRITABLE);
    uint32_t first = (uint32_t)(MIB >> PAGE_SHIFT);
    overlay_place(m, b, gpa(0x1000));
    overlay_place(m, a, gpa(0x1000));
    cr_expect_eq(frame_at(m, 0x1000), first + (uint32_t)a);
    overlay_place(m, b, gpa(0x1000));
    cr_expect_eq(frame_at(m, 0x1000), first + (uint32_t)b, "placing again puts it on top");
    overlay_remove(m, b);
    cr_expect_eq(frame_at(m, 0x1000), first + (uint32_t)a);
    overlay_remove(m, a);
    cr_expect_eq(frame_at(m, 0x1000), 1);
    memory_destroy(m);
}

Test(overlay, refused_place_leaves_it_where_it_was)
{
    struct told t;
    struct memory *m = listened(&t);
    int o = overlay_create(m, "page", OVERLAY_WRITABLE);
    overlay_place(m, o, gpa(0x1000));
    unsigned maps = t.maps;
    cr_expect_not(overlay_place(m, o, gpa(0x1001)));
    cr_expect_not(overlay_place(m, o, gpa(1ULL << 52)));
    cr_expect_not(overlay_place(m, o, gpa(UINT64_MAX & ~PAGE_OFFSET_MASK)));
    cr_expect_eq(frame_at(m, 0x1000), MIB >> PAGE_SHIFT);
    cr_expect_eq(t.maps, maps);
    memory_destroy(m);
}

Test(overlay, read_only_refuses_guest_writes_but_not_its_owner)
{
    struct memory *m = fresh(MIB);
    int o = overlay_create(m, "page", OVERLAY_WRITE_GP);
    bool writable = true;
    overlay_place(m, o, gpa(0x1000));
    memory_frame(m, gpa(0x1000), &writable);
    cr_expect_not(writable);
    cr_expect_not(memory_write(m, gpa(0x1fff), "ab", 2));
    overlay_touch(m, o);
    overlay_host(m, o)[5] = 'o';
    uint8_t byte;
    cr_expect(memory_read(m, gpa(0x1005), &byte, 1));
    cr_expect_eq(byte, 'o');
    memory_destroy(m);
}

Test(overlay, every_change_of_the_map_is_told)
{
    struct told t;
    struct memory *m = listened(&t);
    int o = overlay_create(m, "page", OVERLAY_WRITABLE);
    overlay_remove(m, o);
    cr_expect_eq(t.maps, 0, "it lay nowhere");
    overlay_place(m, o, gpa(0x1000));
    cr_expect_eq(t.maps, 1);
    overlay_place(m, o, gpa(0x2000));
    cr_expect_eq(t.maps, 2);
    overlay_remove(m, o);
    cr_expect_eq(t.maps, 3);
    memory_destroy(m);
}

Test(overlay, touch_tells_of_the_whole_tracked_page)
{
    struct told t;
    struct memory *m = listened(&t);
    int o = overlay_create(m, "page", OVERLAY_WRITABLE);
    memory_track_set(m, (uint32_t)(MIB >> PAGE_SHIFT), MEMORY_CODE);
    overlay_touch(m, o);
    cr_expect_eq(t.writes, 1);
    cr_expect_eq(t.bytes, PAGE_BYTES);
    cr_expect(memory_track(m, (uint32_t)(MIB >> PAGE_SHIFT)) & MEMORY_DIRTY);
    memory_destroy(m);
}

Test(overlay, none_is_left_beyond_the_last)
{
    struct memory *m = fresh(MIB);
    for (int i = 0; i < MEMORY_OVERLAYS; i++) {
        cr_assert_eq(overlay_create(m, "page", OVERLAY_WRITABLE), i);
        cr_assert(overlay_place(m, i, gpa(0x1000)), "all of them at one page");
    }
    cr_expect_eq(overlay_create(m, "page", OVERLAY_WRITABLE), -1);
    cr_expect_eq(frame_at(m, 0x1000), memory_frame_count(m) - 1);
    memory_destroy(m);
}

/* Random placings against a list that is simply searched. */
Test(overlay, agrees_with_a_plain_list)
{
    enum { OVERLAYS = 12, PAGES = 6 };
    static const uint64_t pages[PAGES] = {0, 0x1000, 0xff000, 0x100000, 0xfee00000, MEMORY_HIGH_GPA};
    struct memory *m = fresh(MIB);
    struct prng r = {1};
    int order[OVERLAYS]; /* oldest placing first */
    uint64_t where[OVERLAYS];
    unsigned placed = 0;
    for (int i = 0; i < OVERLAYS; i++) {
        overlay_create(m, "page", OVERLAY_WRITABLE);
    }
    for (unsigned step = 0; step < 20000; step++) {
        int o = (int)(prng_next(&r) % OVERLAYS);
        unsigned kept = 0;
        for (unsigned i = 0; i < placed; i++) {
            if (order[i] != o) {
                order[kept] = order[i];
                where[kept++] = where[i];
            }
        }
        placed = kept;
        if (prng_next(&r) % 3 == 0) {
            overlay_remove(m, o);
        } else {
            order[placed] = o;
            where[placed] = pages[prng_next(&r) % PAGES];
            cr_assert(overlay_place(m, o, gpa(where[placed++])));
        }
        for (unsigned p = 0; p < PAGES; p++) {
            uint32_t expected = pages[p] < MIB ? (uint32_t)(pages[p] >> PAGE_SHIFT) : FRAME_NONE;
            for (unsigned i = 0; i < placed; i++) {
                expected = where[i] == pages[p] ? (uint32_t)(MIB >> PAGE_SHIFT) + (uint32_t)order[i] : expected;
            }
            cr_assert_eq(frame_at(m, pages[p]), expected, "step %u page %u", step, p);
        }
    }
    memory_destroy(m);
}

/* ---- MMIO ---- */

struct device {
    uint64_t offset, value;
    unsigned bytes, reads, writes;
};

static uint64_t device_read(void *owner, uint64_t offset, unsigned bytes)
{
    struct device *d = owner;
    d->reads++;
    d->offset = offset;
    d->bytes = bytes;
    return 0x8877665544332211ULL + offset;
}

static void device_write(void *owner, uint64_t offset, unsigned bytes, uint64_t value)
{
    struct device *d = owner;
    d->writes++;
    d->offset = offset;
    d->bytes = bytes;
    d->value = value;
}

static const struct mmio_ops device_ops = {device_read, device_write};

Test(mmio, hides_the_ram_of_its_pages)
{
    struct memory *m = fresh(MIB);
    struct device d = {0};
    memory_write(m, gpa(0xa0000), "x", 1);
    cr_expect(mmio_add(m, "vga", gpa(0xa0000), 0x20000, &device_ops, &d));
    cr_expect_eq(frame_at(m, 0x9f000), 0x9f);
    cr_expect_eq(frame_at(m, 0xa0000), FRAME_NONE);
    cr_expect_eq(frame_at(m, 0xbf000), FRAME_NONE);
    cr_expect_eq(frame_at(m, 0xc0000), 0xc0);
    cr_expect_not(memory_read(m, gpa(0x9ffff), &(uint16_t){0}, 2));
    memory_destroy(m);
}

Test(mmio, passes_offset_width_and_value)
{
    struct memory *m = fresh(MIB);
    struct device d = {0};
    mmio_add(m, "device", gpa(0xfec00000), 0x1000, &device_ops, &d);
    cr_expect_eq(mmio_read(m, gpa(0xfec00010), 4), 0x44332221, "cut to the access's width");
    cr_expect_eq(d.offset, 0x10);
    cr_expect_eq(d.bytes, 4);
    mmio_write(m, gpa(0xfec00ff8), 8, 0x1122334455667788);
    cr_expect_eq(d.offset, 0xff8);
    cr_expect_eq(d.value, 0x1122334455667788);
    mmio_write(m, gpa(0xfec00fff), 1, 0x1122);
    cr_expect_eq(d.value, 0x22);
    memory_destroy(m);
}

Test(mmio, nobody_there_reads_all_ones)
{
    struct memory *m = fresh(MIB);
    cr_expect_eq(mmio_read(m, gpa(0xd0000000), 1), 0xff);
    cr_expect_eq(mmio_read(m, gpa(0xd0000000), 2), 0xffff);
    cr_expect_eq(mmio_read(m, gpa(0xd0000000), 4), 0xffffffff);
    cr_expect_eq(mmio_read(m, gpa(UINT64_MAX), 8), UINT64_MAX);
    mmio_write(m, gpa(UINT64_MAX), 8, 1);
    memory_destroy(m);
}

Test(mmio, access_across_its_end_is_made_byte_by_byte)
{
    struct memory *m = fresh(MIB);
    struct device d = {0};
    mmio_add(m, "device", gpa(0xfed00000), 0x402, &device_ops, &d);
    cr_expect_eq(mmio_read(m, gpa(0xfed00400), 4), 0xffff1211);
    cr_expect_eq(d.reads, 2);
    cr_expect_eq(d.bytes, 1);
    mmio_write(m, gpa(0xfecfffff), 2, 0xbbaa);
    cr_expect_eq(d.writes, 1);
    cr_expect_eq(d.offset, 0);
    cr_expect_eq(d.value, 0xbb);
    memory_destroy(m);
}

Test(mmio, overlapping_empty_or_absurd_ranges_are_refused)
{
    struct memory *m = fresh(MIB);
    struct device d = {0};
    cr_expect(mmio_add(m, "middle", gpa(0xfec01000), 0x1000, &device_ops, &d));
    cr_expect_not(mmio_add(m, "same", gpa(0xfec01000), 0x1000, &device_ops, &d));
    cr_expect_not(mmio_add(m, "head", gpa(0xfec00fff), 2, &device_ops, &d));
    cr_expect_not(mmio_add(m, "tail", gpa(0xfec01fff), 2, &device_ops, &d));
    cr_expect_not(mmio_add(m, "around", gpa(0xfec00000), 0x10000, &device_ops, &d));
    cr_expect_not(mmio_add(m, "empty", gpa(0x1000), 0, &device_ops, &d));
    cr_expect_not(mmio_add(m, "wraps", gpa(UINT64_MAX), 2, &device_ops, &d));
    cr_expect_not(mmio_add(m, "long", gpa(0x1000), UINT64_MAX, &device_ops, &d));
    cr_expect(mmio_add(m, "before", gpa(0xfec00000), 0x1000, &device_ops, &d));
    cr_expect(mmio_add(m, "after", gpa(0xfec02000), 1, &device_ops, &d));
    memory_destroy(m);
}

/* ---- digest ---- */

/* As memory.h defines it, from the bytes alone. */
static struct memory_digest from_scratch(const struct memory *m)
{
    static const uint8_t zeroes[PAGE_BYTES];
    struct memory_digest d = {0, 0};
    for (uint32_t f = 0; f < memory_frame_count(m); f++) {
        const uint8_t *page = memory_frame_host(m, f);
        if (memcmp(page, zeroes, PAGE_BYTES) != 0) {
            XXH128_hash_t h = XXH3_128bits_withSeed(page, PAGE_BYTES, f);
            d.low += h.low64;
            d.high += h.high64;
        }
    }
    return d;
}

Test(memory_digest, of_zeroes_is_zero)
{
    struct memory *m = fresh(MIB);
    memory_write(m, gpa(0x1000), "x", 1);
    cr_expect_neq(memory_digest(m).low, 0);
    memory_write(m, gpa(0x1000), "", 1);
    cr_expect_eq(memory_digest(m).low, 0);
    cr_expect_eq(memory_digest(m).high, 0);
    memory_destroy(m);
}

Test(memory_digest, incremental_equals_from_scratch)
{
    struct memory *m = fresh(MIB);
    struct prng r = {2};
    int o = overlay_create(m, "page", OVERLAY_WRITABLE);
    for (unsigned round = 0; round < 200; round++) {
        for (unsigned i = 0; i < prng_next(&r) % 12; i++) {
            uint64_t at = prng_next(&r) % (MIB - 16), value[2] = {prng_next(&r) % 3 ? prng_next(&r) : 0, 0};
            memory_write(m, gpa(at), value, 16);
        }
        if (round % 7 == 0) {
            overlay_touch(m, o);
            overlay_host(m, o)[round] ^= 1;
        }
        struct memory_digest a = memory_digest(m), b = from_scratch(m);
        cr_assert(a.low == b.low && a.high == b.high, "round %u", round);
    }
    memory_destroy(m);
}

Test(memory_digest, tells_equal_bytes_at_different_places_apart)
{
    struct memory *a = fresh(MIB), *b = fresh(MIB);
    memory_write(a, gpa(0x1000), "x", 1);
    memory_write(b, gpa(0x2000), "x", 1);
    cr_expect_neq(memory_digest(a).low, memory_digest(b).low);
    memory_destroy(a);
    memory_destroy(b);
}
