/* PVH: an ELF file with a note that names a 32-bit entry (Xen's docs/misc/pvh.pandoc; public/arch-x86/hvm/start_info.h, version
 * 1).
 *
 * EBX points to hvm_start_info, which lies low, as Multiboot's information does and for the same reasons.
 * Leaves out: the Xen interface itself; the guest finds Hyper-V by CPUID.
 */
#include <string.h>

#include "scenarios/boot_job.h"

enum { NOTE_PHYS32_ENTRY = 18, NOTE_HEADER_BYTES = 12 };
enum { START_FROM = 0x10000, START_MAGIC = 0x336ec578, START_BYTES = 56, MODULE_BYTES = 32, MAP_BYTES = 24 };

/* The notes of one segment: name size, description size, type, then both, padded to four bytes. True when the entry was found.
 */
static bool note_find(const struct boot_image *i, uint64_t at, uint64_t bytes, uint64_t *entry)
{
    uint64_t end = at + bytes;
    while (end - at >= NOTE_HEADER_BYTES) {
        uint64_t name_bytes = image_u32(i, at), description_bytes = image_u32(i, at + 4), type = image_u32(i, at + 8);
        uint64_t name = at + NOTE_HEADER_BYTES, description = name + ((name_bytes + 3) & ~3ULL);
        uint64_t next = description + ((description_bytes + 3) & ~3ULL);
        if (description > end || description_bytes > end - description) {
            return false;
        }
        if (type == NOTE_PHYS32_ENTRY && name_bytes == 4 && memcmp(i->bytes + name, "Xen", 4) == 0 && description_bytes >= 4) {
            *entry = description_bytes >= 8 ? image_u64(i, description) : image_u32(i, description);
            return true;
        }
        if (next > end) {
            return false; /* padding of the last note may be missing */
        }
        at = next;
    }
    return false;
}

static int entry_find(struct boot_job *j, const struct elf *e, uint64_t *entry)
{
    for (unsigned i = 0; i < e->segments; i++) {
        struct elf_segment s = elf_segment_at(e, i);
        if (s.type != ELF_PT_NOTE) {
            continue;
        }
        if (!image_holds(e->image, s.offset, s.file_bytes)) {
            return boot_fail(j, "%s: the notes do not lie inside the file: truncated?", e->image->name);
        }
        if (note_find(e->image, s.offset, s.file_bytes, entry)) {
            return boot_ram_end(j, *entry) != 0 && *entry < BOOT_LIMIT
                       ? 0
                       : boot_fail(j, "%s: PVH entry 0x%llx is not in RAM", e->image->name, (unsigned long long)*entry);
        }
    }
    return boot_fail(j, "%s: no PVH entry (ELF note \"Xen\" of type 18)", e->image->name);
}

static uint64_t start_bytes(const struct boot_job *j)
{
    const struct boot_config *c = j->config;
    uint64_t bytes = START_BYTES + c->module_count * MODULE_BYTES + j->map_count * MAP_BYTES + strlen(boot_cmdline(j)) + 1;
    for (size_t i = 0; i < c->module_count; i++) {
        bytes += strlen(c->modules[i].cmdline ? c->modules[i].cmdline : "") + 1;
    }
    return bytes;
}

static int string_store(struct boot_job *j, uint64_t *at, const char *text, uint64_t pointer_at)
{
    uint64_t here = *at, bytes = strlen(text) + 1;
    *at += bytes;
    return boot_store(j, here, text, bytes) || boot_store_u64(j, pointer_at, here) ? -1 : 0;
}

static int start_store(struct boot_job *j, uint64_t start, const uint64_t module_at[BOOT_MODULES_MAX])
{
    const struct boot_config *c = j->config;
    uint64_t modules = start + START_BYTES, map = modules + c->module_count * MODULE_BYTES,
             strings = map + j->map_count * MAP_BYTES;
    int failed = boot_store_u32(j, start, START_MAGIC);
    failed |= boot_store_u32(j, start + 4, 1); /* version */
    failed |= boot_store_u32(j, start + 8, 0); /* flags */
    failed |= boot_store_u32(j, start + 12, (uint32_t)c->module_count);
    failed |= boot_store_u64(j, start + 16, c->module_count != 0 ? modules : 0);
    failed |= string_store(j, &strings, boot_cmdline(j), start + 24);
    failed |= boot_store_u64(j, start + 32, j->rsdp);
    failed |= boot_store_u64(j, start + 40, map);
    failed |= boot_store_u32(j, start + 48, j->map_count);
    for (size_t i = 0; i < c->module_count; i++) {
        uint64_t entry = modules + i * MODULE_BYTES;
        failed |= boot_store_u64(j, entry, module_at[i]);
        failed |= boot_store_u64(j, entry + 8, c->modules[i].image.size);
        failed |= string_store(j, &strings, c->modules[i].cmdline ? c->modules[i].cmdline : "", entry + 16);
    }
    for (unsigned i = 0; i < j->map_count; i++) {
        uint64_t entry = map + i * MAP_BYTES;
        failed |= boot_store_u64(j, entry, j->map[i].base);
        failed |= boot_store_u64(j, entry + 8, j->map[i].bytes);
        failed |= boot_store_u32(j, entry + 16, j->map[i].type);
    }
    return failed ? -1 : 0;
}

int boot_pvh(struct boot_job *j)
{
    struct elf e;
    uint64_t entry = 0, module_at[BOOT_MODULES_MAX];
    if (elf_open(j, &j->config->kernel, &e) || entry_find(j, &e, &entry) || elf_load(j, &e) ||
        boot_place_modules(j, module_at)) {
        return -1;
    }
    uint64_t start = boot_find_low(j, START_FROM, BOOT_LOW_END, start_bytes(j), PAGE_BYTES);
    if (start == BOOT_NOWHERE) {
        return boot_fail(j, "%s: no room for 0x%llx bytes of start info in low memory: kernel or command lines are in the way",
                         j->config->kernel.name, (unsigned long long)start_bytes(j));
    }
    if (boot_claim(j, "the start info", start, start_bytes(j)) || start_store(j, start, module_at)) {
        return -1;
    }
    struct vp_state s = boot_state(j);
    boot_state_protected(&s);
    /* A 32-bit task state segment of the least size, at 0: the protocol promises it, guests load their own. */
    enum { TSS32_BUSY = 0x8b, TSS32_LIMIT = 0x67 };
    s.tr = (struct system_segment){.base = 0, .seg = {0, TSS32_BUSY, TSS32_LIMIT}};
    s.rip = entry;
    s.gpr[RBX] = start;
    return boot_enter(j, &s);
}
