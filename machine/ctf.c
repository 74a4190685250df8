/* Common Trace Format 1.8, written by hand: all integers little-endian and byte-aligned, so a packet is packed bytes.
 *
 *     packet  = header { magic, uuid, stream id } + context { sizes in bits, first and last cycle, lost, number } + events
 *     event   = header { u16 id, u64 cycle } + context { i32 vp } + fields
 *
 * Invariants: babeltrace2 refuses a whole trace for one torn packet, so a packet goes out in one piece and a short write is cut
 * off again; cycles in the stream never fall (a clock that ran backwards ends the file with an error, not the trace with a
 * lie). Left out: several streams, indexes, enumerations' names. */
#include "machine/ctf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "machine/alloc.h"

enum {
    CTF_MAGIC = 0xC1FC1FC1,
    HEADER_BYTES = 4 + 16 + 4,
    CONTEXT_BYTES = 8 + 8 + 8 + 8 + 8 + 8,
    PACKET_START = HEADER_BYTES + CONTEXT_BYTES,
    EVENT_BYTES_MAX = 2 + 8 + 4 + TRACE_FIELDS_MAX * 8,
};
#define STREAM_FILE "events"
#define METADATA_FILE "metadata"

struct ctf {
    struct trace *trace;
    int file; /* -1: digest only, or given up */
    uint8_t uuid[16];
    uint8_t *packet;
    size_t packet_bytes, used;
    uint64_t first_cycle, last_cycle;
    uint64_t packets, count;
    XXH3_state_t *hash;
    char error[160]; /* the first failure; "" when none */
};

static uint8_t *put(uint8_t *to, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        *to++ = (uint8_t)(value >> (8 * i));
    }
    return to;
}

/* ---- metadata ---- */

/* Text between quotes: what TSDL's strings could trip over becomes '?'. */
static void put_quoted(FILE *f, const char *text)
{
    fputc('"', f);
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        fputc(c < ' ' || c > '~' || c == '"' || c == '\\' ? '?' : c, f);
    }
    fputc('"', f);
}

static void put_head(FILE *f, const struct ctf_config *config, uint64_t clock_hz)
{
    fputs("/* CTF 1.8 */\n\n", f);
    for (unsigned bits = 8; bits <= 64; bits *= 2) {
        fprintf(f, "typealias integer { size = %u; align = 8; signed = false; } := u%u;\n", bits, bits);
        fprintf(f, "typealias integer { size = %u; align = 8; signed = false; base = 16; } := x%u;\n", bits, bits);
    }
    fputs("typealias integer { size = 32; align = 8; signed = true; } := i32;\n\n", f);
    fputs("trace {\n    major = 1;\n    minor = 8;\n    uuid = \"", f);
    for (unsigned i = 0; i < 16; i++) {
        fprintf(f, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", config->uuid[i]);
    }
    fputs("\";\n    byte_order = le;\n    packet.header := struct { u32 magic; u8 uuid[16]; u32 stream_id; };\n};\n\n", f);
    fputs("env {\n    tracer_name = \"orrery\";\n", f);
    if (config->scenario != NULL) {
        fputs("    scenario = ", f);
        put_quoted(f, config->scenario);
        fputs(";\n", f);
    }
    fprintf(f, "    vps = %" PRIu32 ";\n};\n\n", config->vp_count);
    fprintf(f, "clock { name = cycles; freq = %" PRIu64 "; offset = 0; absolute = false; };\n", clock_hz);
    fputs("typealias integer { size = 64; align = 8; signed = false; map = clock.cycles.value; } := tick;\n\n", f);
    fputs("stream {\n    id = 0;\n"
          "    packet.context := struct {\n        u64 packet_size; u64 content_size;\n"
          "        tick timestamp_begin; tick timestamp_end;\n        u64 events_discarded; u64 packet_seq_num;\n    };\n"
          "    event.header := struct { u16 id; tick timestamp; };\n"
          "    event.context := struct { i32 vp; }; /* -1: of no VP */\n};\n",
          f);
}

/* Readers drop one leading '_' of a field's name; with it no name is a word of the language. */
static void put_row(FILE *f, const struct trace_row *row)
{
    fputs("\nevent {\n    name = ", f);
    put_quoted(f, row->name);
    fprintf(f, ";\n    id = %u;\n    stream_id = 0;\n    fields := struct {", row->id);
    for (unsigned i = 0; i < row->field_count; i++) {
        const struct trace_field *field = &row->fields[i];
        fprintf(f, " %c%u _%s;", field->hex ? 'x' : 'u', 8u * field->bytes, field->name);
    }
    fputs(" };\n};\n", f);
}

char *ctf_metadata(const struct ctf_config *config, const struct trace_row *const *rows, size_t row_count, uint64_t clock_hz)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&text, &bytes);
    if (f == NULL) {
        host_out_of_memory();
    }
    put_head(f, config, clock_hz);
    for (size_t i = 0; i < row_count; i++) {
        put_row(f, rows[i]);
    }
    if (fclose(f) != 0) {
        host_out_of_memory();
    }
    return text;
}

/* ---- packets ---- */

static void give_up(struct ctf *c, const char *what)
{
    if (c->error[0] == '\0') {
        snprintf(c->error, sizeof c->error, "%s", what);
    }
    if (c->file >= 0) {
        close(c->file);
        c->file = -1;
    }
}

/* All bytes or none: a part that went out is cut off again. */
static bool write_whole(int file, const uint8_t *bytes, size_t length)
{
    off_t before = lseek(file, 0, SEEK_CUR);
    for (size_t done = 0; done < length;) {
        ssize_t n = write(file, bytes + done, length - done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            int reason = n < 0 ? errno : ENOSPC;
            if (before < 0 || ftruncate(file, before) != 0) {
                /* the reader will find a torn packet: nothing more can be done */
            }
            errno = reason;
            return false;
        }
        done += (size_t)n;
    }
    return true;
}

static void packet_flush(struct ctf *c)
{
    if (c->used == PACKET_START || c->file < 0) {
        return;
    }
    uint64_t bits = (uint64_t)c->used * 8;
    uint8_t *to = put(c->packet, CTF_MAGIC, 4);
    memcpy(to, c->uuid, 16);
    to = put(to + 16, 0, 4);
    to = put(to, bits, 8);
    to = put(to, bits, 8);
    to = put(to, c->first_cycle, 8);
    to = put(to, c->last_cycle, 8);
    to = put(to, 0, 8);
    put(to, c->packets, 8);
    if (!write_whole(c->file, c->packet, c->used)) {
        char what[160];
        snprintf(what, sizeof what, "cannot write the trace: %s", strerror(errno));
        give_up(c, what);
        return;
    }
    c->packets++;
    c->used = PACKET_START;
}

static void ctf_note(void *owner, const struct trace_event *e)
{
    struct ctf *c = owner;
    uint8_t raw[EVENT_BYTES_MAX], *to = raw;
    to = put(to, e->row->id, 2);
    to = put(to, e->cycle, 8);
    to = put(to, e->vp, 4);
    for (unsigned i = 0; i < e->row->field_count; i++) {
        to = put(to, e->values[i], e->row->fields[i].bytes);
    }
    size_t bytes = (size_t)(to - raw);
    XXH3_128bits_update(c->hash, raw, bytes);
    c->count++;
    if (c->file < 0) {
        return;
    }
    if (e->cycle < c->last_cycle) {
        packet_flush(c);
        give_up(c, "the trace ends early: the clock ran backwards");
        return;
    }
    if (c->used + bytes > c->packet_bytes) {
        packet_flush(c);
        if (c->file < 0) {
            return;
        }
    }
    if (c->used == PACKET_START) {
        c->first_cycle = e->cycle;
    }
    c->last_cycle = e->cycle;
    memcpy(c->packet + c->used, raw, bytes);
    c->used += bytes;
}

/* ---- files ---- */

static int create_in(const char *directory, const char *name)
{
    size_t room = strlen(directory) + strlen(name) + 2;
    char *path = host_alloc(room, 1);
    snprintf(path, room, "%s/%s", directory, name);
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    int reason = errno;
    free(path);
    errno = reason;
    return file;
}

/* Readers take every file in the directory for a stream, hidden ones apart; so nothing else may be there. */
static bool directory_ready(const char *directory, char *why, size_t why_room)
{
    if (mkdir(directory, 0777) == 0) {
        return true;
    }
    int reason = errno;
    DIR *d = reason == EEXIST ? opendir(directory) : NULL;
    if (d == NULL) {
        snprintf(why, why_room, "%s: cannot make the trace's directory: %s", directory, strerror(reason));
        return false;
    }
    bool empty = true;
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        empty = empty && (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0);
    }
    closedir(d);
    if (!empty) {
        snprintf(why, why_room, "%s: a trace needs a new or an empty directory", directory);
    }
    return empty;
}

static bool open_files(struct ctf *c, const char *directory, const char *metadata, char *why, size_t why_room)
{
    if (!directory_ready(directory, why, why_room)) {
        return false;
    }
    int file = create_in(directory, METADATA_FILE);
    bool done = file >= 0 && write_whole(file, (const uint8_t *)metadata, strlen(metadata));
    done = (file < 0 || close(file) == 0) && done;
    c->file = done ? create_in(directory, STREAM_FILE) : -1;
    if (c->file < 0) {
        snprintf(why, why_room, "%s: cannot write the trace: %s", directory, strerror(errno));
    }
    return c->file >= 0;
}

static size_t packet_size(size_t wanted)
{
    if (wanted == 0) {
        return CTF_PACKET_BYTES_DEFAULT;
    }
    return wanted < CTF_PACKET_BYTES_MIN ? CTF_PACKET_BYTES_MIN : wanted > CTF_PACKET_BYTES_MAX ? CTF_PACKET_BYTES_MAX : wanted;
}

struct ctf *ctf_open(struct trace *t, const struct ctf_config *config, char *why, size_t why_room)
{
    const struct trace_row *all[TRACE_IDS_MAX];
    const struct trace_row *const *rows = config->rows;
    size_t row_count = config->row_count;
    if (rows == NULL) {
        row_count = trace_rows(t, all, ARRAY_COUNT(all));
        rows = all;
    }
    struct ctf *c = host_alloc(1, sizeof *c);
    c->trace = t;
    c->file = -1;
    c->packet_bytes = packet_size(config->packet_bytes);
    c->packet = host_alloc(c->packet_bytes, 1);
    c->used = PACKET_START;
    c->hash = XXH3_createState();
    if (c->hash == NULL) {
        host_out_of_memory();
    }
    XXH3_128bits_reset(c->hash);
    memcpy(c->uuid, config->uuid, sizeof c->uuid);
    if (config->directory != NULL) {
        char *metadata = ctf_metadata(config, rows, row_count, t->clock->hz);
        bool opened = open_files(c, config->directory, metadata, why, why_room);
        free(metadata);
        if (!opened) {
            ctf_close(c, NULL, 0);
            return NULL;
        }
    }
    for (size_t i = 0; i < row_count; i++) {
        trace_listen(t, rows[i], ctf_note, c);
    }
    return c;
}

struct digest ctf_digest(const struct ctf *c)
{
    XXH128_hash_t h = XXH3_128bits_digest(c->hash);
    return (struct digest){h.low64, h.high64};
}

uint64_t ctf_count(const struct ctf *c)
{
    return c->count;
}

bool ctf_close(struct ctf *c, char *why, size_t why_room)
{
    if (c == NULL) {
        return true;
    }
    trace_unlisten(c->trace, ctf_note, c);
    packet_flush(c);
    if (c->file >= 0 && close(c->file) != 0) {
        snprintf(c->error, sizeof c->error, "cannot write the trace: %s", strerror(errno));
    }
    bool whole = c->error[0] == '\0';
    if (!whole && why != NULL) {
        snprintf(why, why_room, "%s", c->error);
    }
    XXH3_freeState(c->hash);
    free(c->packet);
    free(c);
    return whole;
}
