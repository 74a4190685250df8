/* Multiboot 1: Multiboot Specification version 0.6.96. ELF32 executables and the a.out kludge, modules, memory map, command
 * line.
 *
 * The information block, and all that it points to, lies in low memory but neither in page 0 (some take address 0 for "none")
 * nor in 0x8000-0xDFFF (where guests like to put their start-up code for other processors). Leaves out: video modes, the symbol
 * table, drives, APM, ELF64 (the specification has 32-bit executables only).
 */
#include <string.h>

#include "scenarios/boot_job.h"

enum { HEADER_MAGIC = 0x1badb002, LOADER_MAGIC = 0x2badb002, SEARCH_BYTES = 8192, HEADER_BYTES = 12, KLUDGE_BYTES = 32 };
enum { FLAG_PAGE_ALIGN = 1 << 0, FLAG_MEMORY = 1 << 1, FLAG_VIDEO = 1 << 2, FLAG_KLUDGE = 1 << 16, FLAGS_MUST_KNOW = 0xffff };
enum { INFO_FROM = 0x10000, INFO_BYTES = 120, MODULE_BYTES = 16, MAP_BYTES = 24 };
/* Fields and flags of the information structure. */
enum {
    INFO_MEM_LOWER = 4,
    INFO_MEM_UPPER = 8,
    INFO_CMDLINE = 16,
    INFO_MODS_COUNT = 20,
    INFO_MODS_ADDR = 24,
    INFO_MMAP_LENGTH = 44,
    INFO_MMAP_ADDR = 48,
    INFO_LOADER_NAME = 64,
    HAS_MEMORY = 1 << 0,
    HAS_CMDLINE = 1 << 2,
    HAS_MODULES = 1 << 3,
    HAS_MAP = 1 << 6,
    HAS_LOADER_NAME = 1 << 9,
};
static const char loader_name[] = "Orrery";

static int header_find(struct boot_job *j, uint64_t *at, uint32_t *flags)
{
    const struct boot_image *i = &j->config->kernel;
    for (uint64_t offset = 0; offset + HEADER_BYTES <= SEARCH_BYTES && image_holds(i, offset, HEADER_BYTES); offset += 4) {
        uint32_t magic = image_u32(i, offset);
        *flags = image_u32(i, offset + 4);
        if (magic != HEADER_MAGIC || magic + *flags + image_u32(i, offset + 8) != 0) {
            continue;
        }
        if (*flags & FLAG_VIDEO) {
            return boot_fail(j, "%s: the Multiboot header wants a video mode; there is no display", i->name);
        }
        if (*flags & FLAGS_MUST_KNOW & ~(FLAG_PAGE_ALIGN | FLAG_MEMORY)) {
            return boot_fail(j, "%s: Multiboot header flags 0x%x ask for something unknown; bits 0 and 1 are known", i->name,
                             *flags);
        }
        if (*flags & FLAG_KLUDGE && !image_holds(i, offset, KLUDGE_BYTES)) {
            return boot_fail(j, "%s: the Multiboot header is cut off", i->name);
        }
        *at = offset;
        return 0;
    }
    return boot_fail(j, "%s: no Multiboot header in the first 8 KiB", i->name);
}

/* §3.1.3: the addresses stand in the header itself. */
static int kludge_load(struct boot_job *j, uint64_t header, uint64_t *entry)
{
    const struct boot_image *i = &j->config->kernel;
    uint64_t header_address = image_u32(i, header + 12), load = image_u32(i, header + 16), load_end = image_u32(i, header + 20);
    uint64_t bss_end = image_u32(i, header + 24);
    *entry = image_u32(i, header + 28);
    if (header_address < load || header_address - load > header) {
        return boot_fail(j,
                         "%s: header address 0x%llx and load address 0x%llx do not fit the header's place 0x%llx in the file",
                         i->name, (unsigned long long)header_address, (unsigned long long)load, (unsigned long long)header);
    }
    uint64_t offset = header - (header_address - load);
    uint64_t file_bytes = load_end == 0 ? i->size - offset : load_end - load;
    if ((load_end != 0 && load_end < load) || !image_holds(i, offset, file_bytes)) {
        return boot_fail(j, "%s: load addresses 0x%llx-0x%llx are more than the file holds: truncated?", i->name,
                         (unsigned long long)load, (unsigned long long)load_end);
    }
    uint64_t end = bss_end > load + file_bytes ? bss_end : load + file_bytes;
    if (*entry < load || *entry >= end) {
        return boot_fail(j, "%s: entry 0x%llx lies outside the image 0x%llx-0x%llx", i->name, (unsigned long long)*entry,
                         (unsigned long long)load, (unsigned long long)end);
    }
    return boot_claim(j, "the kernel", load, end - load) || boot_store(j, load, i->bytes + offset, file_bytes) ? -1 : 0;
}

static int executable_load(struct boot_job *j, uint64_t *entry)
{
    struct elf e;
    if (elf_open(j, &j->config->kernel, &e)) {
        return -1;
    }
    if (e.wide) {
        return boot_fail(j, "%s: a 64-bit ELF file; Multiboot 1 takes 32-bit ones (or the a.out kludge)",
                         j->config->kernel.name);
    }
    *entry = elf_physical(&e, e.entry);
    if (elf_load(j, &e)) {
        return -1;
    }
    return boot_ram_end(j, *entry) != 0
               ? 0
               : boot_fail(j, "%s: entry 0x%llx is not in RAM", j->config->kernel.name, (unsigned long long)*entry);
}

/* Bytes that the block takes, and then the block itself, from `at` on: structure, module list, map, strings. */
static uint64_t info_bytes(const struct boot_job *j)
{
    const struct boot_config *c = j->config;
    uint64_t bytes = INFO_BYTES + c->module_count * MODULE_BYTES + j->map_count * MAP_BYTES + sizeof loader_name +
                     strlen(boot_cmdline(j)) + 1;
    for (size_t i = 0; i < c->module_count; i++) {
        bytes += strlen(c->modules[i].cmdline ? c->modules[i].cmdline : "") + 1;
    }
    return bytes;
}

static int string_store(struct boot_job *j, uint64_t *at, const char *text, uint64_t pointer_at)
{
    uint64_t here = *at, bytes = strlen(text) + 1;
    *at += bytes;
    return boot_store(j, here, text, bytes) || boot_store_u32(j, pointer_at, (uint32_t)here) ? -1 : 0;
}

static int info_store(struct boot_job *j, uint64_t info, const uint64_t module_at[BOOT_MODULES_MAX])
{
    const struct boot_config *c = j->config;
    uint64_t modules = info + INFO_BYTES, map = modules + c->module_count * MODULE_BYTES,
             strings = map + j->map_count * MAP_BYTES;
    uint64_t low_end = boot_ram_end(j, 0), high_end = boot_ram_end(j, 0x100000);
    int failed = boot_store_u32(j, info, HAS_MEMORY | HAS_CMDLINE | HAS_MODULES | HAS_MAP | HAS_LOADER_NAME);
    failed |= boot_store_u32(j, info + INFO_MEM_LOWER, (uint32_t)(low_end >> 10));
    failed |= boot_store_u32(j, info + INFO_MEM_UPPER, high_end ? (uint32_t)((high_end - 0x100000) >> 10) : 0);
    failed |= boot_store_u32(j, info + INFO_MODS_COUNT, (uint32_t)c->module_count);
    failed |= boot_store_u32(j, info + INFO_MODS_ADDR, (uint32_t)modules);
    failed |= boot_store_u32(j, info + INFO_MMAP_LENGTH, j->map_count * MAP_BYTES);
    failed |= boot_store_u32(j, info + INFO_MMAP_ADDR, (uint32_t)map);
    failed |= string_store(j, &strings, boot_cmdline(j), info + INFO_CMDLINE);
    failed |= string_store(j, &strings, loader_name, info + INFO_LOADER_NAME);
    for (size_t i = 0; i < c->module_count; i++) {
        uint64_t entry = modules + i * MODULE_BYTES;
        failed |= boot_store_u32(j, entry, (uint32_t)module_at[i]);
        failed |= boot_store_u32(j, entry + 4, (uint32_t)(module_at[i] + c->modules[i].image.size));
        failed |= string_store(j, &strings, c->modules[i].cmdline ? c->modules[i].cmdline : "", entry + 8);
        failed |= boot_store_u32(j, entry + 12, 0);
    }
    for (unsigned i = 0; i < j->map_count; i++) {
        uint64_t entry = map + i * MAP_BYTES;
        failed |= boot_store_u32(j, entry, MAP_BYTES - 4); /* the size does not count itself */
        failed |= boot_store_u64(j, entry + 4, j->map[i].base);
        failed |= boot_store_u64(j, entry + 12, j->map[i].bytes);
        failed |= boot_store_u32(j, entry + 20, j->map[i].type);
    }
    return failed ? -1 : 0;
}

int boot_multiboot(struct boot_job *j)
{
    uint64_t header = 0, entry = 0, module_at[BOOT_MODULES_MAX];
    uint32_t flags = 0;
    if (header_find(j, &header, &flags) ||
        (flags & FLAG_KLUDGE ? kludge_load(j, header, &entry) : executable_load(j, &entry)) ||
        boot_place_modules(j, module_at)) {
        return -1;
    }
    uint64_t info = boot_find_low(j, INFO_FROM, BOOT_LOW_END, info_bytes(j), PAGE_BYTES);
    if (info == BOOT_NOWHERE) {
        return boot_fail(
            j, "%s: no room for 0x%llx bytes of Multiboot information in low memory: kernel or command lines are in the way",
            j->config->kernel.name, (unsigned long long)info_bytes(j));
    }
    if (boot_claim(j, "the Multiboot information", info, info_bytes(j)) || info_store(j, info, module_at)) {
        return -1;
    }
    struct vp_state s = boot_state(j);
    boot_state_protected(&s);
    s.rip = entry;
    s.gpr[RAX] = LOADER_MAGIC;
    s.gpr[RBX] = info;
    return boot_enter(j, &s);
}
