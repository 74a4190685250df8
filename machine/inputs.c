/* The input log. Invariants: cycles never fall; entries before `taken` have been given out; all bytes stand in one pool, in
 * order. A file has exactly one form for a log (no other spelling is read), so equal logs are equal files. Left out: who feeds
 * devices (tlfs/partition's owner) and recordings, which carry this log among other things. */
#include "machine/inputs.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "machine/alloc.h"
#include "machine/digest.h"
#include "machine/state.h"

struct entry {
    uint64_t cycle;
    size_t offset, length;
    char source[INPUT_SOURCE_MAX + 1];
};

struct inputs {
    struct entry *entries;
    size_t count, taken;
    uint8_t *pool;
    size_t pool_bytes, pool_room;
};

struct inputs *inputs_create(void)
{
    return host_alloc(1, sizeof(struct inputs));
}

void inputs_destroy(struct inputs *in)
{
    if (in != NULL) {
        free(in->entries);
        free(in->pool);
        free(in);
    }
}

/* ---- the log ---- */

static bool source_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

static bool source_fits(const char *source)
{
    size_t n = 0;
    while (n <= INPUT_SOURCE_MAX && source_char(source[n])) {
        n++;
    }
    return n >= 1 && n <= INPUT_SOURCE_MAX && source[n] == '\0';
}

static void pool_reserve(struct inputs *in, size_t bytes)
{
    if (in->pool_room - in->pool_bytes < bytes) {
        in->pool_room = (in->pool_room + bytes) * 2;
        in->pool = realloc(in->pool, in->pool_room);
        if (in->pool == NULL) {
            host_out_of_memory();
        }
    }
}

bool inputs_append(struct inputs *in, uint64_t cycle, const char *source, const void *bytes, size_t length)
{
    if (in->count == INPUTS_MAX || length > INPUT_BYTES_MAX || length > INPUTS_BYTES_MAX - in->pool_bytes ||
        !source_fits(source) || cycle > CLOCK_CYCLE_MAX || (in->count > 0 && cycle < in->entries[in->count - 1].cycle)) {
        return false;
    }
    in->entries = host_room(in->entries, in->count, sizeof *in->entries);
    struct entry *e = &in->entries[in->count++];
    *e = (struct entry){.cycle = cycle, .offset = in->pool_bytes, .length = length};
    memcpy(e->source, source, strlen(source));
    if (length > 0) {
        pool_reserve(in, length);
        memcpy(in->pool + in->pool_bytes, bytes, length);
        in->pool_bytes += length;
    }
    return true;
}

size_t inputs_count(const struct inputs *in)
{
    return in->count;
}

struct input inputs_at(const struct inputs *in, size_t index)
{
    assert(index < in->count);
    const struct entry *e = &in->entries[index];
    return (struct input){e->cycle, e->source, e->length > 0 ? in->pool + e->offset : NULL, e->length};
}

uint64_t inputs_due(const struct inputs *in)
{
    return in->taken < in->count ? in->entries[in->taken].cycle : CYCLE_NEVER;
}

bool inputs_take(struct inputs *in, uint64_t now_cycle, struct input *taken)
{
    if (in->taken == in->count || in->entries[in->taken].cycle > now_cycle) {
        return false;
    }
    *taken = inputs_at(in, in->taken++);
    return true;
}

/* ---- the file ---- */

#define FIRST_LINE "orrery-inputs 1\n"

static bool plain(uint8_t c)
{
    return c >= ' ' && c <= '~' && c != '"' && c != '\\';
}

static void write_last_line(FILE *f, size_t count, const char *text, size_t length)
{
    char sum[33];
    XXH128_hash_t h = XXH3_128bits(text, length);
    digest_text((struct digest){h.low64, h.high64}, sum);
    fprintf(f, "end %zu %s\n", count, sum);
}

char *inputs_write(const struct inputs *in, size_t *length)
{
    char *text = NULL;
    FILE *f = open_memstream(&text, length);
    if (f == NULL) {
        host_out_of_memory();
    }
    fputs(FIRST_LINE, f);
    for (size_t i = 0; i < in->count; i++) {
        const struct entry *e = &in->entries[i];
        fprintf(f, "%" PRIu64 " %s \"", e->cycle, e->source);
        for (size_t k = 0; k < e->length; k++) {
            uint8_t c = in->pool[e->offset + k];
            fprintf(f, plain(c) ? "%c" : "\\x%02x", c);
        }
        fputs("\"\n", f);
    }
    if (fflush(f) != 0) {
        host_out_of_memory();
    }
    write_last_line(f, in->count, text, *length);
    if (fclose(f) != 0) {
        host_out_of_memory();
    }
    return text;
}

struct reader {
    const char *at, *end;
    size_t line;
    char *why;
    size_t why_room;
    bool failed;
};

__attribute__((format(printf, 2, 3))) static bool refuse(struct reader *r, const char *format, ...)
{
    if (!r->failed) {
        char what[128];
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(what, sizeof what, format, arguments);
        va_end(arguments);
        snprintf(r->why, r->why_room, "line %zu: %s", r->line, what);
        r->failed = true;
    }
    return false;
}

static bool read_word(struct reader *r, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(r->end - r->at) < n || memcmp(r->at, word, n) != 0) {
        return false;
    }
    r->at += n;
    return true;
}

/* Decimal, no sign, no leading zero. */
static bool read_number(struct reader *r, uint64_t *value)
{
    const char *from = r->at;
    *value = 0;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9') {
        if (__builtin_mul_overflow(*value, 10ULL, value) || __builtin_add_overflow(*value, (uint64_t)(*r->at - '0'), value)) {
            return refuse(r, "a number beyond 64 bits");
        }
        r->at++;
    }
    if (r->at == from || (*from == '0' && r->at - from > 1)) {
        return refuse(r, "a decimal number should stand here");
    }
    return true;
}

static bool read_source(struct reader *r, char source[INPUT_SOURCE_MAX + 1])
{
    size_t n = 0;
    while (r->at < r->end && source_char(*r->at) && n < INPUT_SOURCE_MAX) {
        source[n++] = *r->at++;
    }
    source[n] = '\0';
    return n > 0 || refuse(r, "the name of a source should stand here");
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Up to the closing quote. */
static bool read_bytes(struct reader *r, uint8_t *bytes, size_t *length)
{
    *length = 0;
    while (r->at < r->end && *r->at != '"') {
        uint8_t c = (uint8_t)*r->at++;
        if (c == '\\') {
            int high = r->end - r->at >= 3 && r->at[0] == 'x' ? hex_digit(r->at[1]) : -1;
            int low = high >= 0 ? hex_digit(r->at[2]) : -1;
            if (low < 0 || plain((uint8_t)(high << 4 | low))) {
                return refuse(r, "\\x and two lower-case hexadecimal digits stand for bytes that have no plain form only");
            }
            c = (uint8_t)(high << 4 | low);
            r->at += 3;
        } else if (!plain(c)) {
            return refuse(r, "a byte that should be written as \\xNN");
        }
        if (*length == INPUT_BYTES_MAX) {
            return refuse(r, "an input of more than %d bytes", INPUT_BYTES_MAX);
        }
        bytes[(*length)++] = c;
    }
    return read_word(r, "\"\n") || refuse(r, "the line should end in a quote");
}

static bool read_entry(struct reader *r, struct inputs *in, uint8_t *bytes)
{
    uint64_t cycle;
    char source[INPUT_SOURCE_MAX + 1];
    size_t length;
    if (!read_number(r, &cycle)) {
        return false;
    }
    if (!read_word(r, " ") || !read_source(r, source) || !read_word(r, " \"")) {
        return refuse(r, "an input has the form: CYCLE SOURCE \"BYTES\"");
    }
    if (!read_bytes(r, bytes, &length)) {
        return false;
    }
    return inputs_append(in, cycle, source, bytes, length) ||
           refuse(r, "an input earlier than the one before, or beyond the limits");
}

static bool read_end(struct reader *r, const struct inputs *in, const char *text)
{
    char sum[33];
    uint64_t count;
    XXH128_hash_t h = XXH3_128bits(text, (size_t)(r->at - text));
    digest_text((struct digest){h.low64, h.high64}, sum);
    if (!read_word(r, "end ") || !read_number(r, &count) || !read_word(r, " ")) {
        return refuse(r, "the last line has the form: end COUNT CHECKSUM");
    }
    if (count != in->count || !read_word(r, sum)) {
        return refuse(r, "count or checksum do not fit the lines before");
    }
    return (read_word(r, "\n") && r->at == r->end) || refuse(r, "something stands after the end");
}

struct inputs *inputs_read(const char *text, size_t length, char *why, size_t why_room)
{
    struct reader r = {.at = text, .end = text + length, .line = 1, .why = why, .why_room = why_room};
    struct inputs *in = inputs_create();
    uint8_t *bytes = host_alloc(INPUT_BYTES_MAX, 1);
    bool fine = read_word(&r, FIRST_LINE) || refuse(&r, "this is not an input log that this program reads");
    r.line++;
    while (fine && r.at < r.end && *r.at != 'e') {
        fine = read_entry(&r, in, bytes);
        r.line++;
    }
    fine = fine && read_end(&r, in, text);
    free(bytes);
    if (!fine) {
        inputs_destroy(in);
        return NULL;
    }
    return in;
}

/* ---- save and restore ---- */

static void restore_entry(struct state *s, struct inputs *in, uint8_t *bytes)
{
    uint64_t cycle = 0;
    uint32_t length = 0;
    char source[INPUT_SOURCE_MAX + 1];
    state_u64(s, &cycle);
    state_bytes(s, source, INPUT_SOURCE_MAX);
    source[INPUT_SOURCE_MAX] = '\0';
    state_u32_in(s, &length, 0, INPUT_BYTES_MAX, "length of an input");
    state_bytes(s, bytes, length);
    for (size_t i = strlen(source); i < INPUT_SOURCE_MAX; i++) {
        if (source[i] != '\0') {
            state_fail(s, "an input's source has bytes after its end");
        }
    }
    if (state_ok(s) && !inputs_append(in, cycle, source, bytes, length)) {
        state_fail(s, "the saved input log is out of order or beyond the limits");
    }
}

static void restore_entries(struct state *s, struct inputs *in, uint32_t count)
{
    uint8_t *bytes = host_alloc(INPUT_BYTES_MAX, 1);
    in->count = in->pool_bytes = 0;
    for (uint32_t i = 0; i < count && state_ok(s); i++) {
        restore_entry(s, in, bytes);
    }
    free(bytes);
}

static void save_entries(struct state *s, struct inputs *in)
{
    for (size_t i = 0; i < in->count; i++) {
        struct entry *e = &in->entries[i];
        uint32_t length = (uint32_t)e->length;
        state_u64(s, &e->cycle);
        state_bytes(s, e->source, INPUT_SOURCE_MAX);
        state_u32(s, &length);
        if (length > 0) {
            state_bytes(s, in->pool + e->offset, length);
        }
    }
}

void inputs_state(struct state *s, struct inputs *in)
{
    if (state_mode(s) == STATE_DIGEST) {
        return;
    }
    state_section(s, "inputs", 1);
    uint32_t count = (uint32_t)in->count, taken = (uint32_t)in->taken;
    state_u32_in(s, &count, 0, INPUTS_MAX, "number of inputs");
    state_u32_in(s, &taken, 0, count, "number of inputs taken");
    if (state_restoring(s)) {
        restore_entries(s, in, count);
        in->taken = state_ok(s) ? taken : in->count;
    } else {
        save_entries(s, in);
    }
}
