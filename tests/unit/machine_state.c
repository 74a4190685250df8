/* The state visitor, the file it writes, and the machine's own sections. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#include "machine/machine.h"
#include "machine/prng.h"

#define MIB (1ULL << 20)

/* One of each kind of field. */
struct all {
    uint8_t u8;
    uint16_t u16;
    uint32_t u32, in32;
    uint64_t u64, in64;
    int32_t i32;
    int64_t i64;
    bool flag;
    uint8_t bytes[5];
};
static const struct all sample = {0x12,       0x3456, 0x789abcde, 7,    0x0123456789abcdef,
                                  1ULL << 40, -2,     INT64_MIN,  true, {1, 2, 3, 4, 5}};

static void visit(struct state *s, struct all *a)
{
    state_section(s, "first", 3);
    state_u8(s, &a->u8);
    state_u16(s, &a->u16);
    state_u32(s, &a->u32);
    state_u32_in(s, &a->in32, 1, 9, "a small number");
    state_section(s, "second", 1);
    state_u64(s, &a->u64);
    state_u64_in(s, &a->in64, 1, 1ULL << 41, "a large number");
    state_i32(s, &a->i32);
    state_i64(s, &a->i64);
    state_bool(s, &a->flag);
    state_bytes(s, a->bytes, sizeof a->bytes);
}

static uint8_t *save(struct all *a, size_t *length)
{
    struct state *s = state_begin_save();
    visit(s, a);
    uint8_t *file = state_finish_save(s, length);
    state_end(s);
    return file;
}

/* From a heap copy of exactly that size, so that a sanitizer sees every byte read beyond it. */
static bool restore(struct all *a, const uint8_t *file, size_t length)
{
    uint8_t *copy = malloc(length > 0 ? length : 1);
    memcpy(copy, file, length);
    struct state *s = state_begin_restore(copy, length);
    visit(s, a);
    bool fine = state_finish_restore(s);
    cr_assert_eq(fine, state_error(s) == NULL, "a refusal has a reason");
    state_end(s);
    free(copy);
    return fine;
}

/* Makes a changed file's checksum right again, as an enemy would. */
static void reseal(uint8_t *file, size_t length)
{
    XXH128_hash_t h = XXH3_128bits(file, length - 16);
    for (unsigned i = 0; i < 8; i++) {
        file[length - 16 + i] = (uint8_t)(h.low64 >> (8 * i));
        file[length - 8 + i] = (uint8_t)(h.high64 >> (8 * i));
    }
}

Test(state, every_kind_of_field_comes_back)
{
    struct all a = sample, b = {0};
    size_t length;
    uint8_t *file = save(&a, &length);
    cr_expect(restore(&b, file, length));
    cr_expect_eq(b.u8, a.u8);
    cr_expect_eq(b.u16, a.u16);
    cr_expect_eq(b.u32, a.u32);
    cr_expect_eq(b.in32, a.in32);
    cr_expect_eq(b.u64, a.u64);
    cr_expect_eq(b.in64, a.in64);
    cr_expect_eq(b.i32, a.i32);
    cr_expect_eq(b.i64, a.i64);
    cr_expect_eq(b.flag, a.flag);
    cr_expect_arr_eq(b.bytes, a.bytes, sizeof a.bytes);
    free(file);
}

Test(state, every_changed_byte_is_refused)
{
    struct all a = sample, b;
    size_t length;
    uint8_t *file = save(&a, &length);
    for (size_t i = 0; i < length; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            file[i] ^= (uint8_t)(1 << bit);
            cr_expect_not(restore(&b, file, length), "byte %zu bit %u", i, bit);
            file[i] ^= (uint8_t)(1 << bit);
        }
    }
    cr_expect(restore(&b, file, length));
    free(file);
}

Test(state, every_truncation_is_refused)
{
    struct all a = sample, b;
    size_t length;
    uint8_t *file = save(&a, &length);
    for (size_t n = 0; n < length; n++) {
        cr_expect_not(restore(&b, file, n), "%zu bytes", n);
    }
    free(file);
}

/* With a right checksum the file may say anything; it must end well, refused or not. */
Test(state, resealed_changes_never_crash)
{
    struct all a = sample, b;
    size_t length;
    uint8_t *file = save(&a, &length), *bad = malloc(length);
    struct prng r = {4};
    unsigned refused = 0;
    for (unsigned round = 0; round < 20000; round++) {
        memcpy(bad, file, length);
        for (uint64_t n = prng_next(&r) % 4 + 1; n > 0; n--) {
            bad[prng_next(&r) % (length - 16)] = (uint8_t)prng_next(&r);
        }
        size_t cut = prng_next(&r) % 4 == 0 && length > 60 ? 40 + prng_next(&r) % (length - 40) : length;
        for (unsigned i = 0; i < 8 && cut < length; i++) {
            bad[16 + i] = (uint8_t)((uint64_t)cut >> (8 * i)); /* the header's length fits, too */
        }
        reseal(bad, cut);
        refused += !restore(&b, bad, cut);
    }
    cr_expect_gt(refused, 15000);
    free(bad);
    free(file);
}

/* The layout at the head of state.c: one section "s" with a frame of our own making. */
static bool restore_frame(uint64_t raw_bytes, const uint8_t *frame, size_t frame_bytes, size_t read_bytes)
{
    size_t length = 24 + 1 + 1 + 4 + 8 + 8 + frame_bytes + 16;
    uint8_t *file = calloc(length, 1), *to = malloc(read_bytes);
    memcpy(file, "ORRERYST\1\0\0\0\1\0\0\0", 16);
    memcpy(file + 24, "\1s\1\0\0\0", 6);
    for (unsigned i = 0; i < 8; i++) {
        file[16 + i] = (uint8_t)((uint64_t)length >> (8 * i));
        file[30 + i] = (uint8_t)(raw_bytes >> (8 * i));
        file[38 + i] = (uint8_t)((uint64_t)frame_bytes >> (8 * i));
    }
    memcpy(file + 46, frame, frame_bytes);
    reseal(file, length);
    struct state *s = state_begin_restore(file, length);
    state_section(s, "s", 1);
    state_bytes(s, to, read_bytes);
    bool fine = state_finish_restore(s);
    state_end(s);
    free(file);
    free(to);
    return fine;
}

Test(state, frame_must_hold_what_its_section_says_and_ask_for_little_memory)
{
    uint8_t raw[1000] = {0}, frame[2000];
    ZSTD_CCtx *c = ZSTD_createCCtx();
    size_t n = ZSTD_compressCCtx(c, frame, sizeof frame, raw, sizeof raw, 1);
    cr_expect(restore_frame(1000, frame, n, 1000));
    cr_expect_not(restore_frame(1001, frame, n, 1001), "less than it says");
    cr_expect_not(restore_frame(1001, frame, n, 1000), "less than it says, and not read to its end");
    cr_expect_not(restore_frame(UINT64_MAX, frame, n, 1001), "far less");
    cr_expect_not(restore_frame(999, frame, n, 999), "more than it says");
    cr_expect_not(restore_frame(1000, frame, n - 1, 1000), "a torn frame");
    memcpy(frame + n, frame, n);
    cr_expect_not(restore_frame(1000, frame, 2 * n, 1000), "a second frame behind it");
    cr_expect_not(restore_frame(2000, frame, 2 * n, 2000), "and it does not count");
    /* A frame without its size that wants a history of 128 MiB. */
    ZSTD_CCtx_reset(c, ZSTD_reset_session_and_parameters);
    ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, 27);
    ZSTD_inBuffer in = {raw, sizeof raw, 0};
    ZSTD_outBuffer out = {frame, sizeof frame, 0};
    ZSTD_compressStream2(c, &out, &in, ZSTD_e_continue);
    ZSTD_compressStream2(c, &out, &in, ZSTD_e_flush);
    ZSTD_compressStream2(c, &out, &in, ZSTD_e_end);
    cr_expect_not(restore_frame(1000, frame, out.pos, 1000), "too much history");
    ZSTD_freeCCtx(c);
}

Test(state, value_out_of_bounds_is_neither_saved_nor_restored)
{
    struct all a = sample;
    size_t length;
    a.in32 = 10;
    cr_expect_null(save(&a, &length));
    /* A program with wider bounds wrote 10. */
    struct state *s = state_begin_save();
    uint32_t ten = 10;
    state_section(s, "x", 1);
    state_u32(s, &ten);
    uint8_t *file = state_finish_save(s, &length);
    state_end(s);
    s = state_begin_restore(file, length);
    state_section(s, "x", 1);
    state_u32_in(s, &ten, 1, 9, "a small number");
    cr_expect_not(state_finish_restore(s));
    cr_expect_str_eq(state_error(s), "a small number is 10, not 1 to 9");
    cr_expect_eq(ten, 1, "what stays in its place is within the bounds");
    state_end(s);
    free(file);
}

static bool restore_one_byte(const char *name, uint32_t version, size_t bytes, bool as_bool)
{
    struct state *s = state_begin_save();
    uint8_t two[3] = {2, 2, 2};
    size_t length;
    state_section(s, "name", 1);
    state_bytes(s, two, 2);
    uint8_t *file = state_finish_save(s, &length);
    state_end(s);
    s = state_begin_restore(file, length);
    state_section(s, name, version);
    bool flag = false;
    if (as_bool) {
        state_bool(s, &flag);
        bytes--;
    }
    state_bytes(s, two, bytes);
    bool fine = state_finish_restore(s);
    state_end(s);
    free(file);
    return fine;
}

Test(state, section_matches_by_name_version_and_length)
{
    cr_expect(restore_one_byte("name", 1, 2, false));
    cr_expect_not(restore_one_byte("names", 1, 2, false));
    cr_expect_not(restore_one_byte("nam", 1, 2, false));
    cr_expect_not(restore_one_byte("name", 2, 2, false));
    cr_expect_not(restore_one_byte("name", 1, 1, false));
    cr_expect_not(restore_one_byte("name", 1, 3, false));
    cr_expect_not(restore_one_byte("name", 1, 2, true), "2 is neither yes nor no");
}

Test(state, missing_and_additional_sections_are_refused)
{
    struct state *s = state_begin_save();
    uint8_t byte = 1;
    size_t length;
    state_section(s, "a", 1);
    state_u8(s, &byte);
    state_section(s, "b", 1);
    uint8_t *file = state_finish_save(s, &length);
    state_end(s);
    s = state_begin_restore(file, length);
    state_section(s, "a", 1);
    state_u8(s, &byte);
    cr_expect_not(state_finish_restore(s), "b is left over");
    state_end(s);
    s = state_begin_restore(file, length);
    state_section(s, "a", 1);
    state_u8(s, &byte);
    state_section(s, "b", 1);
    state_section(s, "c", 1);
    state_u8(s, &byte);
    cr_expect_eq(byte, 0, "after a failure reads give zeroes");
    cr_expect_not(state_finish_restore(s), "there is no c");
    state_end(s);
    free(file);
}

Test(state, first_failure_wins)
{
    struct state *s = state_begin_save();
    state_fail(s, "first %d", 1);
    state_fail(s, "second");
    cr_expect_str_eq(state_error(s), "first 1");
    state_end(s);
}

Test(state, blocks_larger_than_any_window_come_back)
{
    enum { LARGE = 3 << 20 };
    uint8_t *out = malloc(LARGE), *in = malloc(LARGE);
    struct prng r = {5};
    for (size_t i = 0; i < LARGE; i++) {
        out[i] = (uint8_t)(i < LARGE / 2 ? prng_next(&r) : i >> 12);
    }
    struct state *s = state_begin_save();
    size_t length;
    uint8_t first = 9;
    state_section(s, "large", 1);
    state_u8(s, &first);
    state_bytes(s, out, LARGE);
    state_u8(s, &first);
    uint8_t *file = state_finish_save(s, &length);
    state_end(s);
    s = state_begin_restore(file, length);
    first = 0;
    state_section(s, "large", 1);
    state_u8(s, &first);
    state_bytes(s, in, LARGE);
    cr_expect_eq(first, 9);
    state_u8(s, &first);
    cr_expect(state_finish_restore(s));
    cr_expect_eq(memcmp(in, out, LARGE), 0);
    state_end(s);
    free(file);
    free(in);
    free(out);
}

/* ---- digest ---- */

static struct state_digest digest(struct all *a)
{
    struct state *s = state_begin_digest();
    visit(s, a);
    struct state_digest d = state_finish_digest(s);
    state_end(s);
    return d;
}

Test(state_digest, sees_every_field)
{
    struct all a = sample;
    struct state_digest was = digest(&a);
    cr_expect_eq(digest(&a).low, was.low);
    uint8_t *const fields[] = {&a.u8,
                               (uint8_t *)&a.u16,
                               (uint8_t *)&a.u32,
                               (uint8_t *)&a.in32,
                               (uint8_t *)&a.u64,
                               (uint8_t *)&a.in64,
                               (uint8_t *)&a.i32,
                               (uint8_t *)&a.i64,
                               (uint8_t *)&a.flag,
                               &a.bytes[4]};
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++) {
        *fields[i] ^= 1;
        cr_expect_neq(digest(&a).low, was.low, "field %zu", i);
        *fields[i] ^= 1;
    }
}

Test(state_digest, has_a_part_for_each_section)
{
    struct all a = sample, b = sample;
    struct state_digest d[2][2];
    b.u64++;
    for (unsigned k = 0; k < 2; k++) {
        struct state *s = state_begin_digest();
        visit(s, k ? &b : &a);
        state_finish_digest(s);
        cr_expect_str_eq(state_digest_part(s, 0, &d[k][0]), "first");
        cr_expect_str_eq(state_digest_part(s, 1, &d[k][1]), "second");
        cr_expect_null(state_digest_part(s, 2, &d[k][1]));
        state_end(s);
    }
    cr_expect_eq(d[0][0].low, d[1][0].low);
    cr_expect_neq(d[0][1].low, d[1][1].low);
}

/* state.h gives the formula; here it is computed by hand for one section. */
Test(state_digest, is_what_its_header_says)
{
    struct state *s = state_begin_digest();
    uint16_t field = 0x1234;
    state_section(s, "ab", 5);
    state_u16(s, &field);
    struct state_digest d = state_finish_digest(s);
    state_end(s);
    XXH128_hash_t part = XXH3_128bits("\x34\x12", 2);
    uint8_t raw[] = {'a', 'b', 0, 5, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    for (unsigned i = 0; i < 8; i++) {
        raw[15 + i] = (uint8_t)(part.low64 >> (8 * i));
        raw[23 + i] = (uint8_t)(part.high64 >> (8 * i));
    }
    XXH128_hash_t whole = XXH3_128bits(raw, sizeof raw);
    cr_expect_eq(d.low, whole.low64);
    cr_expect_eq(d.high, whole.high64);
}

/* ---- the machine ---- */

static struct machine *fresh(uint64_t ram, unsigned overlays)
{
    const char *why;
    struct machine *m = machine_create(ram, 1000000000, 7, &why);
    cr_assert_not_null(m);
    for (unsigned i = 0; i < overlays; i++) {
        overlay_create(m->memory, "page", OVERLAY_WRITABLE);
    }
    return m;
}

static uint8_t *save_machine(struct machine *m, size_t *length)
{
    struct state *s = state_begin_save();
    machine_state(s, m);
    uint8_t *file = state_finish_save(s, length);
    state_end(s);
    return file;
}

static bool restore_machine(struct machine *m, const uint8_t *file, size_t length)
{
    struct state *s = state_begin_restore(file, length);
    machine_state(s, m);
    bool fine = state_finish_restore(s);
    state_end(s);
    return fine;
}

static struct machine *lived_in(void)
{
    struct machine *m = fresh(MIB, 3);
    struct prng r = {6};
    for (unsigned i = 0; i < 60; i++) {
        uint64_t value = prng_next(&r);
        memory_write(m->memory, gpa(prng_next(&r) % (MIB - 8)), &value, 8);
    }
    overlay_place(m->memory, 2, gpa(0x5000));
    overlay_place(m->memory, 0, gpa(0x5000));
    overlay_place(m->memory, 1, gpa(0xfee01000));
    memory_write(m->memory, gpa(0xfee01004), "overlay", 7);
    memory_write(m->memory, gpa(0x5000), "top", 3);
    m->clock.cycle = 123456789;
    prng_next(&m->prng);
    machine_end(m, END_DEBUG_EXIT, 0x21);
    return m;
}

Test(machine_state, comes_back_whole)
{
    struct machine *a = lived_in(), *b = fresh(MIB, 3);
    memory_write(b->memory, gpa(0x8888), "old bytes vanish", 16);
    overlay_place(b->memory, 2, gpa(0x9000));
    memory_digest(b->memory); /* as in the midst of a chain */
    size_t la, lb;
    uint8_t *fa = save_machine(a, &la);
    cr_expect(restore_machine(b, fa, la));
    cr_expect_eq(b->clock.cycle, 123456789);
    cr_expect_eq(b->prng.state, a->prng.state);
    cr_expect_eq(b->end, END_DEBUG_EXIT);
    cr_expect_eq(b->end_code, 0x21);
    cr_expect_eq(memory_digest(b->memory).low, memory_digest(a->memory).low);
    uint8_t page[2][PAGE_BYTES];
    for (uint64_t at = 0; at < MIB; at += PAGE_BYTES) {
        memory_read(a->memory, gpa(at), page[0], PAGE_BYTES);
        memory_read(b->memory, gpa(at), page[1], PAGE_BYTES);
        cr_expect_eq(memcmp(page[0], page[1], PAGE_BYTES), 0, "page %llx", (unsigned long long)at);
    }
    char text[7];
    cr_expect(memory_read(b->memory, gpa(0xfee01004), text, 7));
    cr_expect_eq(memcmp(text, "overlay", 7), 0);
    cr_expect_not(memory_read(b->memory, gpa(0x100000), text, 1));
    overlay_remove(a->memory, 0);
    overlay_remove(b->memory, 0);
    uint8_t *fa2 = save_machine(a, &la), *fb = save_machine(b, &lb);
    cr_expect_eq(la, lb);
    cr_expect_eq(memcmp(fa2, fb, la), 0, "the overlay beneath is the same");
    free(fa);
    free(fa2);
    free(fb);
    machine_destroy(a);
    machine_destroy(b);
}

Test(machine_state, history_leaves_no_trace_in_the_file)
{
    struct machine *a = fresh(MIB, 2), *b = fresh(MIB, 2);
    memory_write(b->memory, gpa(0x1000), "x", 1);
    overlay_place(b->memory, 0, gpa(0x2000));
    memory_digest(b->memory);
    overlay_remove(b->memory, 0);
    memory_write(b->memory, gpa(0x1000), "", 1);
    overlay_place(b->memory, 1, gpa(0x3000));
    overlay_place(a->memory, 1, gpa(0x3000));
    size_t la, lb;
    uint8_t *fa = save_machine(a, &la), *fb = save_machine(b, &lb);
    cr_expect_eq(la, lb);
    cr_expect_eq(memcmp(fa, fb, la), 0);
    free(fa);
    free(fb);
    machine_destroy(a);
    machine_destroy(b);
}

Test(machine_state, of_another_machine_is_refused)
{
    struct machine *a = lived_in();
    size_t length;
    uint8_t *file = save_machine(a, &length);
    const char *why;
    struct machine *others[] = {fresh(2 * MIB, 3), fresh(MIB, 2), fresh(MIB, 4), machine_create(MIB, 2000000000, 7, &why),
                                fresh(MIB, 3)};
    event_add(others[4]->events, "timer", NULL, NULL);
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        cr_expect_not(restore_machine(others[i], file, length), "machine %zu", i);
        machine_destroy(others[i]);
    }
    free(file);
    machine_destroy(a);
}

static void count_change(void *owner)
{
    ++*(unsigned *)owner;
}

Test(machine_state, restore_tells_that_the_map_changed)
{
    struct machine *a = fresh(MIB, 0), *b = fresh(MIB, 0);
    unsigned changes = 0;
    memory_listen(b->memory, (struct memory_listener){.owner = &changes, .map_changed = count_change});
    size_t length;
    uint8_t *file = save_machine(a, &length);
    cr_expect(restore_machine(b, file, length));
    cr_expect_gt(changes, 0);
    free(file);
    machine_destroy(a);
    machine_destroy(b);
}

/* A memory section as an enemy writes it. */
struct forged {
    uint32_t placed, overlay[2];
    uint64_t page[2];
    uint32_t frames, frame[2];
    uint8_t byte;
};

static bool restore_forged(const struct forged *f)
{
    struct state *s = state_begin_save();
    uint64_t ram = MIB;
    uint32_t overlays = 2, placed = f->placed, end = FRAME_NONE;
    uint8_t page[PAGE_BYTES] = {f->byte};
    state_section(s, "memory", 1);
    state_u64(s, &ram);
    state_u32(s, &overlays);
    state_u32(s, &placed);
    for (uint32_t i = 0; i < placed && i < 2; i++) {
        uint32_t overlay = f->overlay[i];
        uint64_t at = f->page[i];
        state_u32(s, &overlay);
        state_u64(s, &at);
    }
    for (uint32_t i = 0; i < f->frames; i++) {
        uint32_t frame = f->frame[i];
        state_u32(s, &frame);
        state_bytes(s, page, PAGE_BYTES);
    }
    state_u32(s, &end);
    size_t length;
    uint8_t *file = state_finish_save(s, &length);
    state_end(s);
    struct machine *m = fresh(MIB, 2);
    s = state_begin_restore(file, length);
    memory_state(s, m->memory);
    bool fine = state_finish_restore(s);
    state_end(s);
    free(file);
    machine_destroy(m);
    return fine;
}

Test(machine_state, impossible_memory_is_refused)
{
    const uint32_t last = (MIB >> PAGE_SHIFT) + 1; /* the second overlay's frame */
    const struct {
        bool fine;
        struct forged f;
    } cases[] = {
        {true, {2, {1, 0}, {5, 5}, 2, {0, last}, 1}},
        {false, {2, {1, 1}, {5, 6}, 0, {0}, 1}},        /* one overlay twice */
        {false, {2, {1, 0}, {6, 5}, 0, {0}, 1}},        /* not in order */
        {false, {1, {2}, {5}, 0, {0}, 1}},              /* no such overlay */
        {false, {1, {0}, {1ULL << 40}, 0, {0}, 1}},     /* beyond 2^52 */
        {false, {3, {0, 1}, {5, 5}, 0, {0}, 1}},        /* more than there are */
        {false, {0, {0}, {0}, 2, {4, 4}, 1}},           /* a page twice */
        {false, {0, {0}, {0}, 2, {4, 3}, 1}},           /* not in order */
        {false, {0, {0}, {0}, 1, {last + 1}, 1}},       /* an overlay that was not made */
        {false, {0, {0}, {0}, 1, {FRAME_NONE - 1}, 1}}, /* far outside */
        {false, {0, {0}, {0}, 1, {4}, 0}},              /* zeroes */
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        cr_expect_eq(restore_forged(&cases[i].f), cases[i].fine, "case %zu", i);
    }
}

Test(machine_state, resealed_changes_never_crash)
{
    struct machine *a = lived_in();
    size_t length;
    uint8_t *file = save_machine(a, &length), *bad = malloc(length);
    struct prng r = {8};
    struct machine *b = fresh(MIB, 3);
    unsigned refused = 0;
    for (unsigned round = 0; round < 1000; round++) {
        memcpy(bad, file, length);
        for (uint64_t n = prng_next(&r) % 3 + 1; n > 0; n--) {
            bad[prng_next(&r) % (length - 16)] ^= (uint8_t)(1 << prng_next(&r) % 8);
        }
        reseal(bad, length);
        refused += !restore_machine(b, bad, length);
    }
    cr_expect_gt(refused, 100);
    cr_expect(restore_machine(b, file, length), "and a good file still comes back");
    cr_expect_eq(memory_digest(b->memory).low, memory_digest(a->memory).low);
    free(bad);
    free(file);
    machine_destroy(a);
    machine_destroy(b);
}

static void end_heard(void *owner)
{
    ++*(unsigned *)owner;
}

Test(machine, first_end_wins)
{
    struct machine *m = fresh(MIB, 0);
    unsigned heard = 0;
    m->end_requested = end_heard;
    m->end_owner = &heard;
    machine_end(m, END_RESET, 0);
    machine_end(m, END_DEBUG_EXIT, 5);
    cr_expect_eq(m->end, END_RESET);
    cr_expect_eq(m->end_code, 0);
    cr_expect_eq(heard, 1);
    machine_destroy(m);
}

Test(machine, clock_rates_beyond_the_limits_are_refused)
{
    const char *why = NULL;
    cr_expect_null(machine_create(MIB, CLOCK_HZ_MIN - 1, 0, &why));
    cr_expect_not_null(why);
    cr_expect_null(machine_create(MIB, CLOCK_HZ_MAX + 1, 0, &why));
    struct machine *m = machine_create(MIB, CLOCK_HZ_MAX, 0, &why);
    cr_expect_not_null(m);
    machine_destroy(m);
}
