/* The state visitor and the file it writes.
 *
 * File, format 1, little-endian:
 *     0   8  "ORRERYST"
 *     8   4  format number
 *    12   4  number of sections
 *    16   8  length of the whole file
 *    24      sections: u8 name length, name, u32 version, u64 raw length, u64 packed length, one zstd frame
 *   end-16   XXH3-128 (low, high) of everything before it
 *
 * Invariants: fields pass through one window, so a section is compressed, unpacked or hashed as it goes and no size in a file
 * decides an allocation; every length is checked against the file before the first field is read.
 * Left out: files themselves (tools/) and secrecy: the checksum finds accidents, and only the checks of each component stand
 * against an enemy who computes it anew. */
#include "machine/state.h"

#include <stdarg.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#include "machine/alloc.h"

enum {
    STATE_FORMAT = 1,
    HEADER_BYTES = 24,
    CHECKSUM_BYTES = 16,
    SECTION_FIXED_BYTES = 1 + 4 + 8 + 8,
    WINDOW_BYTES = 64 << 10,
    ZSTD_LEVEL = 1,
    ZSTD_WINDOW_LOG_MAX = 23, /* a frame may ask for no more than 8 MiB of history */
};
static const char state_magic[8] = {'O', 'R', 'R', 'E', 'R', 'Y', 'S', 'T'};

struct part {
    char name[STATE_NAME_MAX + 1];
    uint32_t version;
    uint64_t length;
    struct state_digest digest;
};

struct state {
    enum state_mode mode;
    bool in_section;
    bool failed;
    char error[256];
    uint64_t section_raw; /* bytes of the open section so far; restore: bytes still to come */

    uint8_t window[WINDOW_BYTES];
    size_t window_used; /* restore: the part of `window_filled` already handed out */
    size_t window_filled;

    /* save */
    uint8_t *out;
    size_t out_bytes, out_room;
    size_t section_lengths; /* where the open section's two lengths stand in `out` */
    ZSTD_CCtx *packer;

    /* restore */
    const uint8_t *in;
    size_t in_end, next_section;
    ZSTD_inBuffer frame;
    bool frame_done;
    ZSTD_DCtx *unpacker;

    /* digest; save and restore count sections here too */
    XXH3_state_t *hash;
    struct part *parts;
    size_t part_count;
};

/* ---- small tools ---- */

static void store(uint8_t *to, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        to[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint64_t load(const uint8_t *from, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++) {
        value |= (uint64_t)from[i] << (8 * i);
    }
    return value;
}

static uint8_t *out_reserve(struct state *s, size_t bytes)
{
    if (s->out_room - s->out_bytes < bytes) {
        s->out_room = (s->out_room + bytes) * 2;
        s->out = realloc(s->out, s->out_room);
        if (s->out == NULL) {
            host_out_of_memory();
        }
    }
    return s->out + s->out_bytes;
}

static struct state *state_new(enum state_mode mode)
{
    struct state *s = host_alloc(1, sizeof *s);
    s->mode = mode;
    return s;
}

enum state_mode state_mode(const struct state *s)
{
    return s->mode;
}

void state_fail(struct state *s, const char *format, ...)
{
    if (s->failed) {
        return;
    }
    s->failed = true;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(s->error, sizeof s->error, format, arguments);
    va_end(arguments);
}

bool state_ok(const struct state *s)
{
    return !s->failed;
}

const char *state_error(const struct state *s)
{
    return s->failed ? s->error : NULL;
}

/* ---- bytes out: save and digest ---- */

static void pack(struct state *s, const void *bytes, size_t length, ZSTD_EndDirective end)
{
    ZSTD_inBuffer in = {bytes, length, 0};
    size_t left;
    do {
        uint8_t *to = out_reserve(s, WINDOW_BYTES);
        ZSTD_outBuffer out = {to, s->out_room - s->out_bytes, 0};
        left = ZSTD_compressStream2(s->packer, &out, &in, end);
        if (ZSTD_isError(left)) {
            host_out_of_memory(); /* the only way in which compressing into room that grows can fail */
        }
        s->out_bytes += out.pos;
    } while (end == ZSTD_e_end ? left != 0 : in.pos < in.size);
}

static void pass_on(struct state *s, const void *bytes, size_t length)
{
    if (s->mode == STATE_SAVE) {
        pack(s, bytes, length, ZSTD_e_continue);
    } else {
        XXH3_128bits_update(s->hash, bytes, length);
    }
}

static void window_flush(struct state *s)
{
    if (s->window_used > 0) {
        pass_on(s, s->window, s->window_used);
        s->window_used = 0;
    }
}

static void bytes_out(struct state *s, const void *bytes, size_t length)
{
    assert(s->in_section);
    s->section_raw += length;
    if (length > WINDOW_BYTES - s->window_used) {
        window_flush(s);
    }
    if (length > WINDOW_BYTES) {
        pass_on(s, bytes, length);
    } else {
        memcpy(s->window + s->window_used, bytes, length);
        s->window_used += length;
    }
}

/* ---- bytes in: restore ---- */

/* Unpacks up to `room` bytes of the open section; at least one, or the visitor fails. Each turn of the loop either
 * eats from the frame or fills `to`, so it ends. */
static size_t unpack(struct state *s, void *to, size_t room)
{
    ZSTD_outBuffer out = {to, room, 0};
    while (out.pos == 0 && !s->frame_done) {
        size_t eaten = s->frame.pos;
        size_t left = ZSTD_decompressStream(s->unpacker, &out, &s->frame);
        if (ZSTD_isError(left)) {
            state_fail(s, "the saved state is damaged: %s", ZSTD_getErrorName(left));
            return 0;
        }
        s->frame_done = left == 0;
        if (out.pos == 0 && s->frame.pos == eaten && !s->frame_done) {
            break;
        }
    }
    if (out.pos == 0) {
        state_fail(s, "the saved state is damaged: section \"%s\" is shorter than it says", s->parts[s->part_count - 1].name);
    }
    return out.pos;
}

static void bytes_in(struct state *s, void *bytes, size_t length)
{
    assert(s->in_section || s->failed);
    uint8_t *to = bytes;
    if (!s->failed && length > s->section_raw) {
        state_fail(s, "section \"%s\" of the saved state is too short", s->parts[s->part_count - 1].name);
    }
    while (length > 0 && !s->failed) {
        if (s->window_used == s->window_filled) {
            s->window_used = 0;
            s->window_filled = unpack(s, s->window, WINDOW_BYTES);
            continue;
        }
        size_t part = s->window_filled - s->window_used;
        part = part < length ? part : length;
        memcpy(to, s->window + s->window_used, part);
        s->window_used += part;
        s->section_raw -= part;
        to += part;
        length -= part;
    }
    memset(to, 0, length);
}

/* ---- fields ---- */

void state_bytes(struct state *s, void *p, size_t bytes)
{
    if (bytes == 0) {
        return;
    }
    if (s->mode == STATE_RESTORE) {
        bytes_in(s, p, bytes);
    } else {
        bytes_out(s, p, bytes);
    }
}

/* On restore `value` is 0 and the field itself unread: it may hold nothing yet. */
static uint64_t number(struct state *s, uint64_t value, unsigned bytes)
{
    uint8_t raw[8];
    if (s->mode != STATE_RESTORE) {
        store(raw, value, bytes);
        bytes_out(s, raw, bytes);
        return value;
    }
    bytes_in(s, raw, bytes);
    return load(raw, bytes);
}

void state_u8(struct state *s, uint8_t *v)
{
    *v = (uint8_t)number(s, state_restoring(s) ? 0 : *v, 1);
}

void state_u16(struct state *s, uint16_t *v)
{
    *v = (uint16_t)number(s, state_restoring(s) ? 0 : *v, 2);
}

void state_u32(struct state *s, uint32_t *v)
{
    *v = (uint32_t)number(s, state_restoring(s) ? 0 : *v, 4);
}

void state_u64(struct state *s, uint64_t *v)
{
    *v = number(s, state_restoring(s) ? 0 : *v, 8);
}

void state_i32(struct state *s, int32_t *v)
{
    *v = (int32_t)(uint32_t)number(s, state_restoring(s) ? 0 : (uint32_t)*v, 4);
}

void state_i64(struct state *s, int64_t *v)
{
    *v = (int64_t)number(s, state_restoring(s) ? 0 : (uint64_t)*v, 8);
}

void state_bool(struct state *s, bool *v)
{
    uint64_t value = number(s, state_restoring(s) ? 0 : *v, 1);
    if (value > 1) {
        state_fail(s, "a yes or no in section \"%s\" is %u", s->parts[s->part_count - 1].name, (unsigned)value);
        value = 0;
    }
    *v = value;
}

void state_u64_in(struct state *s, uint64_t *v, uint64_t min, uint64_t max, const char *what)
{
    uint64_t value = number(s, state_restoring(s) ? 0 : *v, 8);
    if (s->mode != STATE_DIGEST && !s->failed && (value < min || value > max)) {
        state_fail(s, "%s is %llu, not %llu to %llu", what, (unsigned long long)value, (unsigned long long)min,
                   (unsigned long long)max);
    }
    *v = s->failed && s->mode == STATE_RESTORE ? min : value;
}

void state_u32_in(struct state *s, uint32_t *v, uint32_t min, uint32_t max, const char *what)
{
    uint64_t value = number(s, state_restoring(s) ? 0 : *v, 4);
    if (s->mode != STATE_DIGEST && !s->failed && (value < min || value > max)) {
        state_fail(s, "%s is %llu, not %u to %u", what, (unsigned long long)value, min, max);
    }
    *v = s->failed && s->mode == STATE_RESTORE ? min : (uint32_t)value;
}

/* ---- sections ---- */

static struct part *part_new(struct state *s, const char *name, uint32_t version)
{
    s->parts = host_room(s->parts, s->part_count, sizeof *s->parts);
    struct part *p = &s->parts[s->part_count++];
    memset(p, 0, sizeof *p);
    memcpy(p->name, name, strlen(name));
    p->version = version;
    return p;
}

static void save_section_open(struct state *s, const char *name, uint32_t version)
{
    size_t name_bytes = strlen(name);
    uint8_t *to = out_reserve(s, SECTION_FIXED_BYTES + name_bytes);
    to[0] = (uint8_t)name_bytes;
    memcpy(to + 1, name, name_bytes);
    store(to + 1 + name_bytes, version, 4);
    s->section_lengths = s->out_bytes + 1 + name_bytes + 4;
    s->out_bytes += SECTION_FIXED_BYTES + name_bytes;
    ZSTD_CCtx_reset(s->packer, ZSTD_reset_session_only);
}

static void save_section_close(struct state *s)
{
    pack(s, NULL, 0, ZSTD_e_end);
    store(s->out + s->section_lengths, s->section_raw, 8);
    store(s->out + s->section_lengths + 8, s->out_bytes - (s->section_lengths + 16), 8);
}

/* The checks of lengths are done (see sections_fit()), so this only compares. */
static void restore_section_open(struct state *s, const char *name, uint32_t version)
{
    if (s->next_section == s->in_end) {
        state_fail(s, "the saved state ends before section \"%s\"", name);
        return;
    }
    const uint8_t *p = s->in + s->next_section;
    unsigned name_bytes = p[0];
    if (name_bytes != strlen(name) || memcmp(p + 1, name, name_bytes) != 0) {
        char found[STATE_NAME_MAX + 1] = {0};
        for (unsigned i = 0; i < name_bytes; i++) {
            found[i] = p[1 + i] >= ' ' && p[1 + i] < 127 ? (char)p[1 + i] : '?';
        }
        state_fail(s, "the saved state has section \"%s\" where this machine has \"%s\"", found, name);
        return;
    }
    p += 1 + name_bytes;
    if (load(p, 4) != version) {
        state_fail(s, "section \"%s\" of the saved state has version %u, this program reads %u", name, (unsigned)load(p, 4),
                   version);
        return;
    }
    s->section_raw = load(p + 4, 8);
    s->frame = (ZSTD_inBuffer){p + 20, (size_t)load(p + 12, 8), 0};
    s->frame_done = false;
    s->next_section = (size_t)(p + 20 - s->in) + s->frame.size;
    ZSTD_DCtx_reset(s->unpacker, ZSTD_reset_session_only);
}

static void restore_section_close(struct state *s)
{
    const char *name = s->parts[s->part_count - 1].name;
    uint8_t beyond;
    if (s->failed) {
        return;
    }
    if (s->section_raw != 0 || s->window_used != s->window_filled) {
        state_fail(s, "section \"%s\" of the saved state is too long", name);
        return;
    }
    ZSTD_outBuffer out = {&beyond, 1, 0};
    if (!s->frame_done) { /* the frame's end may still be waiting behind the last byte */
        s->frame_done = ZSTD_decompressStream(s->unpacker, &out, &s->frame) == 0;
    }
    if (!s->frame_done || out.pos != 0 || s->frame.pos != s->frame.size) {
        state_fail(s, "section \"%s\" of the saved state does not end where it says", name);
    }
}

static void section_close(struct state *s)
{
    if (!s->in_section) {
        return;
    }
    switch (s->mode) {
    case STATE_SAVE:
        window_flush(s);
        save_section_close(s);
        break;
    case STATE_RESTORE:
        restore_section_close(s);
        break;
    case STATE_DIGEST: {
        window_flush(s);
        XXH128_hash_t h = XXH3_128bits_digest(s->hash);
        s->parts[s->part_count - 1].digest = (struct state_digest){h.low64, h.high64};
        s->parts[s->part_count - 1].length = s->section_raw;
        break;
    }
    }
    s->in_section = false;
}

void state_section(struct state *s, const char *name, uint32_t version)
{
    assert(name[0] != '\0' && strlen(name) <= STATE_NAME_MAX);
    section_close(s);
    part_new(s, name, version);
    s->in_section = true;
    s->section_raw = 0;
    s->window_used = s->window_filled = 0;
    switch (s->mode) {
    case STATE_SAVE:
        save_section_open(s, name, version);
        break;
    case STATE_RESTORE:
        if (!s->failed) {
            restore_section_open(s, name, version);
        }
        break;
    case STATE_DIGEST:
        XXH3_128bits_reset(s->hash);
        break;
    }
}

/* ---- save ---- */

struct state *state_begin_save(void)
{
    struct state *s = state_new(STATE_SAVE);
    s->packer = ZSTD_createCCtx();
    if (s->packer == NULL) {
        host_out_of_memory();
    }
    ZSTD_CCtx_setParameter(s->packer, ZSTD_c_compressionLevel, ZSTD_LEVEL);
    memset(out_reserve(s, WINDOW_BYTES), 0, HEADER_BYTES);
    s->out_bytes = HEADER_BYTES;
    return s;
}

uint8_t *state_finish_save(struct state *s, size_t *length)
{
    assert(s->mode == STATE_SAVE);
    section_close(s);
    if (s->failed) {
        return NULL;
    }
    out_reserve(s, CHECKSUM_BYTES);
    memcpy(s->out, state_magic, sizeof state_magic);
    store(s->out + 8, STATE_FORMAT, 4);
    store(s->out + 12, s->part_count, 4);
    store(s->out + 16, s->out_bytes + CHECKSUM_BYTES, 8);
    XXH128_hash_t sum = XXH3_128bits(s->out, s->out_bytes);
    store(s->out + s->out_bytes, sum.low64, 8);
    store(s->out + s->out_bytes + 8, sum.high64, 8);
    uint8_t *file = s->out;
    *length = s->out_bytes + CHECKSUM_BYTES;
    s->out = NULL;
    s->out_bytes = s->out_room = 0;
    return file;
}

/* ---- restore ---- */

/* Walks from section to section; every length is held against what is left of the file. */
static bool sections_fit(const uint8_t *in, size_t at, size_t end, uint64_t count)
{
    for (; count > 0; count--) {
        if (end - at < SECTION_FIXED_BYTES || in[at] == 0 || in[at] > STATE_NAME_MAX ||
            end - at < SECTION_FIXED_BYTES + (size_t)in[at]) {
            return false;
        }
        at += SECTION_FIXED_BYTES + (size_t)in[at];
        uint64_t packed = load(in + at - 8, 8);
        if (packed > end - at) {
            return false;
        }
        at += (size_t)packed;
    }
    return at == end;
}

static void check_file(struct state *s, const uint8_t *bytes, size_t length)
{
    if (length < sizeof state_magic || memcmp(bytes, state_magic, sizeof state_magic) != 0) {
        state_fail(s, "this is not a saved state of Orrery");
    } else if (length < HEADER_BYTES + CHECKSUM_BYTES) {
        state_fail(s, "the saved state is cut short");
    } else if (load(bytes + 8, 4) != STATE_FORMAT) {
        state_fail(s, "the saved state has format %u, this program reads %u", (unsigned)load(bytes + 8, 4), STATE_FORMAT);
    } else if (load(bytes + 16, 8) != length) {
        state_fail(s, "the saved state has %llu bytes and should have %llu", (unsigned long long)length,
                   (unsigned long long)load(bytes + 16, 8));
    } else {
        size_t end = length - CHECKSUM_BYTES;
        XXH128_hash_t sum = XXH3_128bits(bytes, end);
        if (load(bytes + end, 8) != sum.low64 || load(bytes + end + 8, 8) != sum.high64) {
            state_fail(s, "the saved state is damaged: its checksum differs");
        } else if (!sections_fit(bytes, HEADER_BYTES, end, load(bytes + 12, 4))) {
            state_fail(s, "the saved state is damaged: its sections do not fit the file");
        }
    }
}

struct state *state_begin_restore(const uint8_t *bytes, size_t length)
{
    struct state *s = state_new(STATE_RESTORE);
    check_file(s, bytes, length);
    s->unpacker = ZSTD_createDCtx();
    if (s->unpacker == NULL) {
        host_out_of_memory();
    }
    ZSTD_DCtx_setParameter(s->unpacker, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
    s->in = bytes;
    s->next_section = HEADER_BYTES;
    s->in_end = s->failed ? HEADER_BYTES : length - CHECKSUM_BYTES;
    return s;
}

bool state_finish_restore(struct state *s)
{
    assert(s->mode == STATE_RESTORE);
    section_close(s);
    if (!s->failed && s->next_section != s->in_end) {
        state_fail(s, "the saved state has sections that this machine has not");
    }
    return !s->failed;
}

/* ---- digest ---- */

struct state *state_begin_digest(void)
{
    struct state *s = state_new(STATE_DIGEST);
    s->hash = XXH3_createState();
    if (s->hash == NULL) {
        host_out_of_memory();
    }
    return s;
}

struct state_digest state_finish_digest(struct state *s)
{
    assert(s->mode == STATE_DIGEST);
    section_close(s);
    XXH3_128bits_reset(s->hash);
    for (size_t i = 0; i < s->part_count; i++) {
        const struct part *p = &s->parts[i];
        uint8_t raw[4 + 8 + 16];
        store(raw, p->version, 4);
        store(raw + 4, p->length, 8);
        store(raw + 12, p->digest.low, 8);
        store(raw + 20, p->digest.high, 8);
        XXH3_128bits_update(s->hash, p->name, strlen(p->name) + 1);
        XXH3_128bits_update(s->hash, raw, sizeof raw);
    }
    XXH128_hash_t h = XXH3_128bits_digest(s->hash);
    return (struct state_digest){h.low64, h.high64};
}

const char *state_digest_part(const struct state *s, size_t index, struct state_digest *digest)
{
    if (s->mode != STATE_DIGEST || s->in_section || index >= s->part_count) {
        return NULL;
    }
    *digest = s->parts[index].digest;
    return s->parts[index].name;
}

void state_end(struct state *s)
{
    if (s == NULL) {
        return;
    }
    ZSTD_freeCCtx(s->packer);
    ZSTD_freeDCtx(s->unpacker);
    XXH3_freeState(s->hash);
    free(s->parts);
    free(s->out);
    free(s);
}
