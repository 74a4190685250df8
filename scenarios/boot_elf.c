/* ELF files, as much as a loader needs: header, program headers, PT_LOAD. System V ABI, "Object Files".
 *
 * Invariants: elf_open() has checked that the program headers lie in the file; elf_load() checks each segment before it stores
 * it. Leaves out: sections, relocation, dynamic linking: an executable that needs them is refused by its type.
 */
#include "scenarios/boot_job.h"

enum { ELF_CLASS = 4, ELF_DATA = 5, ELF_TYPE = 16, ELF_MACHINE = 18, ELF_ENTRY = 24 };
enum { CLASS_32 = 1, CLASS_64 = 2, DATA_LITTLE = 1, TYPE_EXEC = 2, MACHINE_386 = 3, MACHINE_X86_64 = 62 };

int elf_open(struct boot_job *j, const struct boot_image *image, struct elf *e)
{
    if (image->size < 52 || image_u32(image, 0) != 0x464c457f) {
        return boot_fail(j, "%s: not an ELF file", image->name);
    }
    uint8_t class = image->bytes[ELF_CLASS];
    uint16_t machine = image_u16(image, ELF_MACHINE);
    if ((class != CLASS_32 && class != CLASS_64) || image->bytes[ELF_DATA] != DATA_LITTLE ||
        (machine != MACHINE_386 && machine != MACHINE_X86_64) || (class == CLASS_64 && image->size < 64)) {
        return boot_fail(j, "%s: not an x86 ELF file", image->name);
    }
    if (image_u16(image, ELF_TYPE) != TYPE_EXEC) {
        return boot_fail(j, "%s: ELF type %u; only an executable at fixed addresses (ET_EXEC, 2) can be loaded", image->name,
                         image_u16(image, ELF_TYPE));
    }
    bool wide = class == CLASS_64;
    *e = (struct elf){
        .image = image,
        .wide = wide,
        .entry = wide ? image_u64(image, ELF_ENTRY) : image_u32(image, ELF_ENTRY),
        .segments_offset = wide ? image_u64(image, 32) : image_u32(image, 28),
        .segment_bytes = image_u16(image, wide ? 54 : 42),
        .segments = image_u16(image, wide ? 56 : 44),
    };
    if (e->segments == 0 || e->segments > BOOT_SEGMENTS_MAX || e->segment_bytes < (wide ? 56 : 32) ||
        !image_holds(image, e->segments_offset, (uint64_t)e->segments * e->segment_bytes)) {
        return boot_fail(j, "%s: %u program headers of %u bytes at 0x%llx: not 1 to %d that lie inside the file", image->name,
                         e->segments, e->segment_bytes, (unsigned long long)e->segments_offset, BOOT_SEGMENTS_MAX);
    }
    return 0;
}

struct elf_segment elf_segment_at(const struct elf *e, unsigned index)
{
    const struct boot_image *i = e->image;
    uint64_t at = e->segments_offset + (uint64_t)index * e->segment_bytes;
    if (e->wide) {
        return (struct elf_segment){.type = image_u32(i, at),
                                    .offset = image_u64(i, at + 8),
                                    .virtual = image_u64(i, at + 16),
                                    .physical = image_u64(i, at + 24),
                                    .file_bytes = image_u64(i, at + 32),
                                    .memory_bytes = image_u64(i, at + 40)};
    }
    return (struct elf_segment){.type = image_u32(i, at),
                                .offset = image_u32(i, at + 4),
                                .virtual = image_u32(i, at + 8),
                                .physical = image_u32(i, at + 12),
                                .file_bytes = image_u32(i, at + 16),
                                .memory_bytes = image_u32(i, at + 20)};
}

int elf_load(struct boot_job *j, const struct elf *e)
{
    bool any = false;
    for (unsigned i = 0; i < e->segments; i++) {
        struct elf_segment s = elf_segment_at(e, i);
        if (s.type != ELF_PT_LOAD || s.memory_bytes == 0) {
            continue;
        }
        if (s.file_bytes > s.memory_bytes || !image_holds(e->image, s.offset, s.file_bytes)) {
            return boot_fail(j, "%s: segment %u (0x%llx bytes at offset 0x%llx) does not lie inside the file: truncated?",
                             e->image->name, i, (unsigned long long)s.file_bytes, (unsigned long long)s.offset);
        }
        if (boot_claim(j, "an ELF segment", s.physical, s.memory_bytes) ||
            boot_store(j, s.physical, e->image->bytes + s.offset, s.file_bytes)) {
            return -1;
        }
        any = true;
    }
    return any ? 0 : boot_fail(j, "%s: the ELF file has nothing to load", e->image->name);
}

uint64_t elf_physical(const struct elf *e, uint64_t virtual)
{
    for (unsigned i = 0; i < e->segments; i++) {
        struct elf_segment s = elf_segment_at(e, i);
        if (s.type == ELF_PT_LOAD && virtual >= s.virtual && virtual - s.virtual < s.memory_bytes) {
            return virtual - s.virtual + s.physical;
        }
    }
    return virtual;
}
