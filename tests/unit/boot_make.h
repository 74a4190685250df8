/* Well-formed images made by hand, for the loaders' tests and fuzzer, which then spoil them. */
#ifndef ORRERY_TESTS_BOOT_MAKE_H
#define ORRERY_TESTS_BOOT_MAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline void put16(uint8_t *at, uint64_t v)
{
    memcpy(at, &v, 2);
}
static inline void put32(uint8_t *at, uint64_t v)
{
    memcpy(at, &v, 4);
}
static inline void put64(uint8_t *at, uint64_t v)
{
    memcpy(at, &v, 8);
}

struct made {
    uint8_t bytes[96 * 1024];
    size_t size;
};

/* A bzImage: setup of 2 sectors, a kernel of `code` bytes numbered by their offset. */
enum { SETUP_BYTES = 3 * 512, KERNEL_BYTES = 0x3000 };
static inline void make_bzimage(struct made *i)
{
    memset(i, 0, sizeof *i);
    i->size = SETUP_BYTES + KERNEL_BYTES;
    i->bytes[0x1f1] = 2;
    put32(i->bytes + 0x1f4, KERNEL_BYTES / 16);
    put16(i->bytes + 0x1fe, 0xaa55);
    i->bytes[0x200] = 0xeb;
    i->bytes[0x201] = 0x6a; /* the header ends at 0x26c */
    memcpy(i->bytes + 0x202, "HdrS", 4);
    put16(i->bytes + 0x206, 0x20f);
    i->bytes[0x211] = 1;
    put32(i->bytes + 0x22c, 0x7fffffff);
    put32(i->bytes + 0x230, 0x200000);
    put16(i->bytes + 0x236, 0x7f);
    put32(i->bytes + 0x238, 2047);
    put64(i->bytes + 0x258, 0x1000000);
    put32(i->bytes + 0x260, 0x800000);
    for (size_t k = 0; k < KERNEL_BYTES; k += 4) {
        put32(i->bytes + SETUP_BYTES + k, 0xc0de0000 + k);
    }
}

struct segment_made {
    uint32_t type;
    uint64_t offset, virtual, physical, file_bytes, memory_bytes;
};

/* An ELF file of `size` bytes with program headers; contents numbered by offset behind them. */
static inline void make_elf(struct made *i, bool wide, uint64_t entry, const struct segment_made *segments, unsigned count)
{
    memset(i, 0, sizeof *i);
    i->size = 0x4000;
    for (size_t k = 0x400; k < i->size; k += 4) {
        put32(i->bytes + k, 0xe1f00000 + k);
    }
    memcpy(i->bytes,
           "\x7f"
           "ELF",
           4);
    i->bytes[4] = wide ? 2 : 1;
    i->bytes[5] = i->bytes[6] = 1;
    put16(i->bytes + 16, 2);
    put16(i->bytes + 18, wide ? 62 : 3);
    put32(i->bytes + 20, 1);
    const size_t headers = wide ? 64 : 52, each = wide ? 56 : 32;
    if (wide) {
        put64(i->bytes + 24, entry);
        put64(i->bytes + 32, headers);
    } else {
        put32(i->bytes + 24, entry);
        put32(i->bytes + 28, headers);
    }
    put16(i->bytes + (wide ? 54 : 42), each);
    put16(i->bytes + (wide ? 56 : 44), count);
    for (unsigned k = 0; k < count; k++) {
        uint8_t *h = i->bytes + headers + k * each;
        const struct segment_made *s = &segments[k];
        put32(h, s->type);
        if (wide) {
            put64(h + 8, s->offset), put64(h + 16, s->virtual), put64(h + 24, s->physical);
            put64(h + 32, s->file_bytes), put64(h + 40, s->memory_bytes);
        } else {
            put32(h + 4, s->offset), put32(h + 8, s->virtual), put32(h + 12, s->physical);
            put32(h + 16, s->file_bytes), put32(h + 20, s->memory_bytes);
        }
    }
}

static inline void put_multiboot_header(struct made *i, size_t at, uint32_t flags)
{
    put32(i->bytes + at, 0x1badb002);
    put32(i->bytes + at + 4, flags);
    put32(i->bytes + at + 8, 0u - 0x1badb002 - flags);
}

/* A Multiboot ELF32 kernel at 1 MiB, virtually at 0xc0100000, with 0x1000 bytes of bss. */
static const struct segment_made multiboot_segments[] = {{1, 0x1000, 0xc0100000, 0x100000, 0x2000, 0x3000}};
static inline void make_multiboot(struct made *i)
{
    make_elf(i, false, 0xc0100010, multiboot_segments, 1);
    put_multiboot_header(i, 0x1000, 3);
}

/* A PVH kernel: ELF64 with a note at 0x800. */
static const struct segment_made pvh_segments[] = {{1, 0x1000, 0xffffffff81000000, 0x1000000, 0x2000, 0x10000},
                                                   {4, 0x800, 0, 0, 0x40, 0x40}};
static inline void put_note(uint8_t *at, uint32_t name_bytes, uint32_t description_bytes, uint32_t type, uint64_t value)
{
    memset(at, 0, 32);
    put32(at, name_bytes);
    put32(at + 4, description_bytes);
    put32(at + 8, type);
    memcpy(at + 12, "Xen", 4);
    put64(at + 16, value);
}
static inline void make_pvh(struct made *i)
{
    make_elf(i, true, 0x1000000, pvh_segments, 2);
    memset(i->bytes + 0x800, 0, 0x40);
    put_note(i->bytes + 0x800, 4, 8, 5, 0x1234); /* another note first */
    put_note(i->bytes + 0x818, 4, 4, 18, 0x1000850);
}

#endif
