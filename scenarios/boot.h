/* Boot loaders: put a guest's image into memory and VP 0 into the state that the image's protocol promises.
 *
 * Images are hostile: every length and offset in them is checked before use, nothing is written outside RAM, and no part of a
 * guest overlaps another or the loader's own tables. A refused image leaves VP 0 as it was (memory may hold parts of it).
 * Leaves out: reading files (tools/), decompression (the guests do it themselves), EFI.
 */
#ifndef ORRERY_SCENARIOS_BOOT_H
#define ORRERY_SCENARIOS_BOOT_H

#include "cpu/cpu.h"
#include "devices/platform.h"
#include "machine/machine.h"

/* Bytes of a file and its name for messages. Borrowed for the length of the call; ROMs are copied too. */
struct boot_image {
    const char *name;
    const uint8_t *bytes;
    size_t size;
};
struct boot_module {
    struct boot_image image;
    const char *cmdline; /* NULL: empty */
};

enum boot_kind { BOOT_LINUX, BOOT_MULTIBOOT, BOOT_PVH, BOOT_FLAT, BOOT_ROM };
enum boot_mode { BOOT_MODE_16, BOOT_MODE_32, BOOT_MODE_64 }; /* of a flat binary */

struct boot_config {
    enum boot_kind kind;
    struct boot_image kernel;          /* bzImage, ELF, a.out-kludge image, flat binary or ROM */
    struct boot_image initrd;          /* BOOT_LINUX only; bytes NULL: none */
    const struct boot_module *modules; /* BOOT_MULTIBOOT and BOOT_PVH */
    size_t module_count;
    const char *cmdline;                    /* NULL: empty */
    uint64_t address;                       /* BOOT_FLAT: where the first byte lies and runs */
    enum boot_mode mode;                    /* BOOT_FLAT */
    const struct platform_config *platform; /* for the memory map and the ACPI tables */
};

/* Call after the reset of processor and platform. 0, or -1 with a message in *why: what is wrong and what would be right. */
int boot_load(struct machine *m, struct cpu *c, const struct boot_config *config, char *why, size_t why_size);

#endif
