/* A ROM image: read-only below 4 GiB, where a processor starts after reset (SDM 3A §9.1.4), and its last 256 KiB at the end of
 * the first MiB (a PC has 128 there; a bigger firmware expects its chip set to have copied the rest, and there is none).
 *
 * The copy below 1 MiB is ordinary RAM (shadow RAM, unlocked for good): firmware keeps variables in it, and there is no chip
 * set with locks for it to open. The ROM itself is one read-only overlay a page, which stays for the life of the machine: a
 * restart finds it.
 */
#include <string.h>

#include "scenarios/boot_job.h"

enum { ROM_BYTES_MAX = 4 << 20, SHADOW_BYTES_MAX = 256 << 10 };
#define SHADOW_END 0x100000ULL

/* What a former boot of this machine has placed there. */
static bool page_present(const struct machine *m, uint64_t at)
{
    bool writable;
    return memory_frame(m->memory, gpa(at), &writable) != FRAME_NONE;
}

static int page_map(struct boot_job *j, uint64_t at, const uint8_t *bytes)
{
    struct memory *memory = j->machine->memory;
    if (page_present(j->machine, at)) {
        uint8_t there[PAGE_BYTES];
        return memory_read(memory, gpa(at), there, sizeof there) && memcmp(there, bytes, sizeof there) == 0
                   ? 0
                   : boot_fail(j, "%s: other memory lies at 0x%llx, where the ROM belongs", j->config->kernel.name,
                               (unsigned long long)at);
    }
    int overlay = overlay_create(memory, "rom", OVERLAY_WRITE_LOST);
    if (overlay < 0) {
        return boot_fail(j, "%s: no page is left for the ROM; a smaller one would fit", j->config->kernel.name);
    }
    overlay_touch(memory, overlay);
    memcpy(overlay_host(memory, overlay), bytes, PAGE_BYTES);
    return overlay_place(memory, overlay, gpa(at)) ? 0 : boot_fail(j, "%s: cannot map the ROM", j->config->kernel.name);
}

int boot_rom(struct boot_job *j)
{
    const struct boot_image *rom = &j->config->kernel;
    if (rom->size % PAGE_BYTES != 0 || rom->size > ROM_BYTES_MAX) {
        return boot_fail(j, "%s: a ROM of %zu bytes; whole pages of 4 KiB, at most 4 MiB, can be mapped", rom->name, rom->size);
    }
    for (uint64_t offset = 0; offset < rom->size; offset += PAGE_BYTES) {
        if (page_map(j, BOOT_LIMIT - rom->size + offset, rom->bytes + offset)) {
            return -1;
        }
    }
    /* Not claimed: the memory map calls this range reserved, which is what it is. */
    uint64_t shadow = rom->size < SHADOW_BYTES_MAX ? rom->size : SHADOW_BYTES_MAX;
    return boot_store(j, SHADOW_END - shadow, rom->bytes + rom->size - shadow, shadow); /* VP 0 starts from its reset state */
}
