/* Fuzzer of restored state (libFuzzer). A saved run is taken apart into its sections, patched by the input, and packed again
 * with a good checksum: so what is tested is the checks of each component and not the checksum. input: again and again 1 byte
 * section, 2 bytes offset (from the end when bit 7 of the section byte is set), 1 byte value What must hold: no crash, no hang;
 * a refusal comes with a message; an accepted state runs on, and can be saved again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#include "scenarios/runner.h"

enum { HEADER_BYTES = 24, CHECKSUM_BYTES = 16, SECTIONS_MAX = 64, PATCH_BYTES = 4, RUN_ON_CYCLES = 20000 };

struct section {
    uint8_t head[300]; /* name length, name, version */
    size_t head_bytes;
    uint8_t *raw;
    size_t raw_bytes;
};
struct baseline {
    struct scenario *scenario;
    uint8_t *file;
    size_t size;
    struct section sections[SECTIONS_MAX];
    unsigned count;
};

static void need(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

static uint64_t load64(const uint8_t *p)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < 8; i++) {
        v |= (uint64_t)p[i] << (8 * i);
    }
    return v;
}

static void store64(uint8_t *p, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++) {
        p[i] = (uint8_t)(v >> (8 * i));
    }
}

/* Two VPs that print, take timer interrupts and sleep would be better; a guest in mid REP with a busy UART does. */
static struct scenario *scene(void)
{
    static const char text[] =
        "orrery: 1\nscenario: fuzz\npartition: { profile: ws2016, vps: 2, memory: 1 MiB, epoch: 5 us }\n"
        "limits: { time: 1 s, instructions: 100 k }\n"
        "guest: { flat: { image: x.bin, address: 0x7c00, mode: 16 } }\n"
        "timeline: [ { when: { console: 'b' }, do: { send: hello } }, { at: 40 us, do: { send: x } } ]\n"
        "expect: [ { console: 'a.*c' }, { count: { port_out: }, at-least: 4 }, { console: 'b', within: 1 ms } ]\n";
    static const uint8_t guest[] = {0xb8, 0x61, 0x0a, 0xba, 0xf8, 0x03, 0xee, 0xbf, 0x00, 0x20,
                                    0xb9, 0x88, 0x13, 0xf3, 0xaa, 0xfe, 0xc0, 0xeb, 0xf0};
    struct message why = {.text = {0}};
    struct scenario *s = scenario_read("fuzz.yaml", text, sizeof text - 1, NULL, NULL, &why);
    need(s != NULL, why.text);
    s->kernel.bytes = malloc(sizeof guest);
    memcpy(s->kernel.bytes, guest, sizeof guest);
    s->kernel.size = sizeof guest;
    return s;
}

static struct runner *runner_at(const struct scenario *s, uint64_t stop_cycle)
{
    struct run_options options = {.stop_at_cycle = stop_cycle};
    struct message why = {.text = {0}};
    struct runner *r = runner_create(s, &options, &why);
    need(r != NULL, why.text);
    return r;
}

static void take_apart(struct baseline *b)
{
    const uint8_t *at = b->file + HEADER_BYTES;
    const uint8_t *end = b->file + b->size - CHECKSUM_BYTES;
    while (at < end) {
        struct section *s = &b->sections[b->count++];
        need(b->count <= SECTIONS_MAX, "more sections than expected");
        s->head_bytes = 1 + (size_t)at[0] + 4;
        memcpy(s->head, at, s->head_bytes);
        at += s->head_bytes;
        s->raw_bytes = load64(at);
        size_t packed = load64(at + 8);
        at += 16;
        s->raw = malloc(s->raw_bytes + 1);
        need(ZSTD_decompress(s->raw, s->raw_bytes, at, packed) == s->raw_bytes, "the file format has changed");
        at += packed;
    }
}

static void baseline_make(struct baseline *b)
{
    struct message why = {.text = {0}};
    b->scenario = scene();
    struct runner *r = runner_at(b->scenario, 17001);
    need(runner_run(r, &why), why.text);
    b->file = runner_save(r, &b->size, &why);
    need(b->file != NULL, why.text);
    runner_destroy(r);
    take_apart(b);
}

static uint8_t *pack(const struct baseline *b, const uint8_t *data, size_t size, size_t *length)
{
    size_t room = HEADER_BYTES + CHECKSUM_BYTES;
    for (unsigned i = 0; i < b->count; i++) {
        room += b->sections[i].head_bytes + 16 + ZSTD_compressBound(b->sections[i].raw_bytes);
    }
    uint8_t *file = malloc(room), *at = file + HEADER_BYTES;
    memcpy(file, b->file, HEADER_BYTES);
    for (unsigned i = 0; i < b->count; i++) {
        const struct section *s = &b->sections[i];
        uint8_t *raw = malloc(s->raw_bytes + 1);
        memcpy(raw, s->raw, s->raw_bytes);
        for (size_t p = 0; p + PATCH_BYTES <= size; p += PATCH_BYTES) {
            size_t offset = data[p + 1] | (size_t)data[p + 2] << 8;
            if ((data[p] & 0x7f) % b->count == i && offset < s->raw_bytes) {
                raw[data[p] & 0x80 ? s->raw_bytes - 1 - offset : offset] = data[p + 3];
            }
        }
        memcpy(at, s->head, s->head_bytes);
        at += s->head_bytes;
        size_t packed = ZSTD_compress(at + 16, ZSTD_compressBound(s->raw_bytes), raw, s->raw_bytes, 1);
        need(!ZSTD_isError(packed), "zstd");
        store64(at, s->raw_bytes);
        store64(at + 8, packed);
        at += 16 + packed;
        free(raw);
    }
    *length = (size_t)(at - file) + CHECKSUM_BYTES;
    store64(file + 16, *length);
    XXH128_hash_t h = XXH3_128bits(file, *length - CHECKSUM_BYTES);
    store64(at, h.low64);
    store64(at + 8, h.high64);
    return file;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct baseline baseline; /* made once; never changes afterwards */
    if (baseline.scenario == NULL) {
        baseline_make(&baseline);
    }
    size_t length;
    struct message why = {.text = {0}};
    uint8_t *file = pack(&baseline, data, size, &length);
    struct runner *r = runner_at(baseline.scenario, 17001 + RUN_ON_CYCLES);
    bool accepted = runner_restore(r, file, length, &why);
    need(accepted != message_set(&why), "neither restored nor refused");
    need(accepted || size >= PATCH_BYTES, why.text); /* what nobody changed is accepted */
    if (accepted) {
        struct message later = {.text = {0}};
        need(runner_run(r, &later), later.text);
        uint8_t *again = runner_save(r, &length, &later);
        need(again != NULL, later.text);
        free(again);
    }
    runner_destroy(r);
    free(file);
    return 0;
}
