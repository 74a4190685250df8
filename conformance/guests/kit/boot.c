/* From the loader's registers to the tests: memory, command line, tables.
 *
 * The command line is copied before anything is written that the loader's information may share a page with.
 */
#include "parts.h"

extern uint32_t kit_boot_magic, kit_boot_info;
extern const uint8_t kit_low_image[], kit_low_bytes[];

enum { MULTIBOOT_LOADED = 0x2badb002, PVH_MAGIC = 0x336ec578 };
enum { MULTIBOOT_HAS_MEMORY = 1, MULTIBOOT_HAS_CMDLINE = 4, PVH_MAP_RAM = 1, MAP_BYTES = 24 };

static char cmdline[1024];
const char *kit_cmdline = cmdline;
uint64_t kit_memory_end, kit_rsdp;

static uint32_t word_at(uint64_t at)
{
    return *(const volatile uint32_t *)at;
}

static uint64_t qword_at(uint64_t at)
{
    return *(const volatile uint64_t *)at;
}

static void cmdline_copy(const char *from)
{
    size_t n = 0;
    for (; from[n] != '\0' && n < sizeof cmdline - 1; n++) {
        cmdline[n] = from[n];
    }
    cmdline[n] = '\0';
}

/* Multiboot Specification §3.3. */
static void multiboot_read(uint64_t info)
{
    uint32_t flags = word_at(info);
    if (flags & MULTIBOOT_HAS_MEMORY) {
        kit_memory_end = 0x100000 + (uint64_t)word_at(info + 8) * 1024;
    }
    if (flags & MULTIBOOT_HAS_CMDLINE) {
        cmdline_copy((const char *)(uint64_t)word_at(info + 16));
    }
}

/* struct hvm_start_info, version 1. */
static void pvh_read(uint64_t info)
{
    cmdline_copy((const char *)qword_at(info + 24));
    kit_rsdp = qword_at(info + 32);
    uint64_t map = qword_at(info + 40);
    for (uint32_t i = 0; word_at(info + 4) >= 1 && i < word_at(info + 48); i++) {
        uint64_t base = qword_at(map + i * MAP_BYTES), bytes = qword_at(map + i * MAP_BYTES + 8);
        if (word_at(map + i * MAP_BYTES + 16) == PVH_MAP_RAM && base <= 0x100000 && base + bytes > 0x100000) {
            kit_memory_end = base + bytes;
        }
    }
}

/* QEMU puts the kernel's path in front; words are found anyway. */
const char *arg_text(const char *name)
{
    for (const char *word = cmdline; *word != '\0';) {
        const char *c = word, *n = name;
        while (*n != '\0' && *c == *n) {
            c++, n++;
        }
        if (*n == '\0' && (*c == '=' || *c == ' ' || *c == '\0')) {
            return *c == '=' ? c + 1 : c;
        }
        while (*word != '\0' && *word != ' ') {
            word++;
        }
        while (*word == ' ') {
            word++;
        }
    }
    return NULL;
}

bool arg_present(const char *name)
{
    return arg_text(name) != NULL;
}

uint64_t arg(const char *name)
{
    const char *c = arg_text(name);
    if (c == NULL) {
        return 0;
    }
    uint64_t value = 0, base = 10;
    if (c[0] == '0' && (c[1] == 'x' || c[1] == 'X')) {
        base = 16;
        c += 2;
    }
    for (;; c++) {
        unsigned digit = *c >= '0' && *c <= '9'   ? (unsigned)(*c - '0')
                         : *c >= 'a' && *c <= 'f' ? (unsigned)(*c - 'a' + 10)
                         : *c >= 'A' && *c <= 'F' ? (unsigned)(*c - 'A' + 10)
                                                  : 99;
        if (digit >= base) {
            return value;
        }
        value = value * base + digit;
    }
}

unsigned edition(void)
{
    return arg_present("edition") ? (unsigned)arg("edition") : EDITION_LAST;
}

bool profile_is(const char *name)
{
    const char *c = arg_text("profile");
    while (c != NULL && *name != '\0' && *c == *name) {
        c++, name++;
    }
    return c != NULL && *name == '\0' && (*c == ' ' || *c == '\0');
}

__attribute__((weak)) void probe_start(void)
{
}

void kit_main(void)
{
    if (kit_boot_magic == MULTIBOOT_LOADED) {
        multiboot_read(kit_boot_info);
    } else if (word_at(kit_boot_info) == PVH_MAGIC) {
        pvh_read(kit_boot_info);
    }
    memcpy((void *)LOW_AP, kit_low_image, (size_t)kit_low_bytes);
    kit_traps_start();
    kit_memory_start();
    kit_lapic_start();
    probe_start();
    kit_run_tests();
}
