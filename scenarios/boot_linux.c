/* Linux: a bzImage by the 64-bit boot protocol (Documentation/arch/x86/boot.rst, "64-bit Boot Protocol" and "The Real-Mode
 * Header").
 *
 * The protected-mode part goes to its preferred address, so nothing is relocated, and the kernel's own decompressor runs. The
 * loader's pages lie low: zero page 0x7000, GDT 0x8000, page tables 0x9000-0xEFFF, command line from 0x20000; the initrd as
 * high as it may. Leaves out: 16- and 32-bit entry, relocation away from the preferred address, setup_data.
 */
#include <string.h>

#include "scenarios/boot_job.h"

enum { ZERO_PAGE = 0x7000, GDT = 0x8000, PAGE_TABLES = 0x9000, COMMAND_LINE = 0x20000 };

/* Offsets of the real-mode header in the image; the same in the zero page. */
enum {
    HDR_SETUP_SECTS = 0x1f1,
    HDR_SYSSIZE = 0x1f4,
    HDR_BOOT_FLAG = 0x1fe,
    HDR_JUMP_LENGTH = 0x201,
    HDR_MAGIC = 0x202,
    HDR_VERSION = 0x206,
    HDR_TYPE_OF_LOADER = 0x210,
    HDR_LOADFLAGS = 0x211,
    HDR_RAMDISK_IMAGE = 0x218,
    HDR_RAMDISK_SIZE = 0x21c,
    HDR_CMD_LINE_PTR = 0x228,
    HDR_INITRD_ADDR_MAX = 0x22c,
    HDR_XLOADFLAGS = 0x236,
    HDR_CMDLINE_SIZE = 0x238,
    HDR_SETUP_DATA = 0x250,
    HDR_PREF_ADDRESS = 0x258,
    HDR_INIT_SIZE = 0x260,
    HDR_END_LEAST = 0x264,
    HDR_END_MOST = 0x290, /* the zero page goes on with other things */
};
enum { ZP_RSDP = 0x070, ZP_E820_ENTRIES = 0x1e8, ZP_SENTINEL = 0x1ef, ZP_E820_TABLE = 0x2d0, E820_ENTRY_BYTES = 20 };
enum { VERSION_2_12 = 0x020c, LOADED_HIGH = 1, XLF_KERNEL_64 = 1, ENTRY_64 = 0x200, LOADER_UNDEFINED = 0xff };

struct bzimage {
    uint64_t header_end, code_offset, code_bytes;
    uint64_t load, init_bytes;
    uint64_t initrd_end_max;
};

static int bzimage_open(struct boot_job *j, struct bzimage *b)
{
    const struct boot_image *i = &j->config->kernel;
    if (i->size < HDR_END_LEAST || image_u16(i, HDR_BOOT_FLAG) != 0xaa55 || memcmp(i->bytes + HDR_MAGIC, "HdrS", 4) != 0) {
        return boot_fail(j, "%s: not a Linux bzImage (no \"HdrS\" at offset 0x202)", i->name);
    }
    if (image_u16(i, HDR_VERSION) < VERSION_2_12 || !(i->bytes[HDR_LOADFLAGS] & LOADED_HIGH) ||
        !(image_u16(i, HDR_XLOADFLAGS) & XLF_KERNEL_64)) {
        return boot_fail(j,
                         "%s: boot protocol 0x%x without a 64-bit entry; a 64-bit kernel of protocol 2.12 or later is needed",
                         i->name, image_u16(i, HDR_VERSION));
    }
    unsigned sectors = i->bytes[HDR_SETUP_SECTS] != 0 ? i->bytes[HDR_SETUP_SECTS] : 4;
    *b = (struct bzimage){
        .header_end = HDR_MAGIC + i->bytes[HDR_JUMP_LENGTH],
        .code_offset = (sectors + 1) * 512,
        .load = image_u64(i, HDR_PREF_ADDRESS),
        .init_bytes = image_u32(i, HDR_INIT_SIZE),
        .initrd_end_max = (uint64_t)image_u32(i, HDR_INITRD_ADDR_MAX) + 1,
    };
    if (b->header_end < HDR_END_LEAST || b->header_end > HDR_END_MOST || b->code_offset >= i->size ||
        b->header_end > b->code_offset) {
        return boot_fail(j, "%s: the setup header (to 0x%llx) or the kernel (from 0x%llx) does not lie inside the file",
                         i->name, (unsigned long long)b->header_end, (unsigned long long)b->code_offset);
    }
    b->code_bytes = i->size - b->code_offset;
    uint64_t stated = (uint64_t)image_u32(i, HDR_SYSSIZE) * 16;
    if (stated > b->code_bytes + 15) {
        return boot_fail(j, "%s: truncated: the header states 0x%llx bytes of kernel, the file has 0x%llx", i->name,
                         (unsigned long long)stated, (unsigned long long)b->code_bytes);
    }
    if (b->code_bytes <= ENTRY_64) {
        return boot_fail(j, "%s: the kernel ends before its 64-bit entry", i->name);
    }
    if (b->init_bytes < b->code_bytes) {
        b->init_bytes = b->code_bytes; /* init_size says what the decompressor uses; the image itself must fit in any case */
    }
    return 0;
}

static int initrd_place(struct boot_job *j, const struct bzimage *b, uint64_t *at)
{
    const struct boot_image *initrd = &j->config->initrd;
    *at = 0;
    if (initrd->bytes == NULL || initrd->size == 0) {
        return 0;
    }
    uint64_t from = b->load + b->init_bytes, top = boot_ram_end(j, b->load);
    top = top < b->initrd_end_max ? top : b->initrd_end_max;
    *at = top > from ? boot_find_high(j, from, top, initrd->size, PAGE_BYTES) : BOOT_NOWHERE;
    if (*at == BOOT_NOWHERE) {
        return boot_fail(
            j, "%s: no room for 0x%llx bytes of initrd between the kernel's end at 0x%llx and 0x%llx; more memory may help",
            initrd->name, (unsigned long long)initrd->size, (unsigned long long)from, (unsigned long long)top);
    }
    return boot_claim(j, "the initrd", *at, initrd->size) || boot_store(j, *at, initrd->bytes, initrd->size) ? -1 : 0;
}

static void put(uint8_t *at, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        at[i] = (uint8_t)(v >> 8 * i);
    }
}

static int zero_page_store(struct boot_job *j, const struct bzimage *b, uint64_t initrd_at)
{
    uint8_t z[PAGE_BYTES] = {0};
    memcpy(z + HDR_SETUP_SECTS, j->config->kernel.bytes + HDR_SETUP_SECTS, b->header_end - HDR_SETUP_SECTS);
    put(z + ZP_RSDP, j->rsdp, 8);
    z[ZP_SENTINEL] = 0;
    z[HDR_TYPE_OF_LOADER] = LOADER_UNDEFINED;
    put(z + HDR_RAMDISK_IMAGE, initrd_at, 4);
    put(z + HDR_RAMDISK_SIZE, initrd_at != 0 ? j->config->initrd.size : 0, 4);
    put(z + HDR_CMD_LINE_PTR, COMMAND_LINE, 4);
    put(z + HDR_SETUP_DATA, 0, 8); /* a list in memory: the image cannot know one */
    z[ZP_E820_ENTRIES] = (uint8_t)j->map_count;
    for (unsigned i = 0; i < j->map_count; i++) {
        uint8_t *e = z + ZP_E820_TABLE + i * E820_ENTRY_BYTES;
        put(e, j->map[i].base, 8);
        put(e + 8, j->map[i].bytes, 8);
        put(e + 16, j->map[i].type, 4);
    }
    return boot_store(j, ZERO_PAGE, z, sizeof z);
}

int boot_linux(struct boot_job *j)
{
    struct bzimage b = {0};
    if (bzimage_open(j, &b)) {
        return -1;
    }
    const struct boot_image *kernel = &j->config->kernel;
    const char *cmdline = boot_cmdline(j);
    uint32_t cmdline_max = image_u32(kernel, HDR_CMDLINE_SIZE);
    if (strlen(cmdline) > cmdline_max) {
        return boot_fail(j, "%s: the command line has %zu bytes; this kernel takes %u", kernel->name, strlen(cmdline),
                         cmdline_max);
    }
    if (b.load < 0x100000) {
        return boot_fail(j, "%s: preferred address 0x%llx; a kernel is loaded at 1 MiB or above", kernel->name,
                         (unsigned long long)b.load);
    }
    uint64_t initrd_at = 0;
    if (boot_claim(j, "the zero page", ZERO_PAGE, PAGE_BYTES) || boot_claim(j, "the GDT", GDT, BOOT_GDT_BYTES) ||
        boot_claim(j, "the page tables", PAGE_TABLES, BOOT_IDENTITY_BYTES) ||
        boot_claim(j, "the command line", COMMAND_LINE, strlen(cmdline) + 1) ||
        boot_claim(j, "the kernel", b.load, b.init_bytes) || initrd_place(j, &b, &initrd_at) ||
        boot_store(j, b.load, kernel->bytes + b.code_offset, b.code_bytes) ||
        boot_store(j, COMMAND_LINE, cmdline, strlen(cmdline) + 1) || zero_page_store(j, &b, initrd_at) ||
        boot_store_gdt(j, GDT, true) || boot_store_identity(j, PAGE_TABLES)) {
        return -1;
    }
    struct vp_state s = boot_state(j);
    boot_state_long(&s, PAGE_TABLES);
    s.gdtr = (struct descriptor_table){GDT, BOOT_GDT_BYTES - 1};
    s.idtr = (struct descriptor_table){0, 0};
    s.rip = b.load + ENTRY_64;
    s.gpr[RSI] = ZERO_PAGE;
    return boot_enter(j, &s);
}
