/* Boot: the common part of the loaders, and the choice among them.
 *
 * Invariants: see boot_job.h. The memory map is the platform's, so what a guest is told and what a loader uses are the same.
 * Leaves out: the protocols themselves (boot_linux.c, boot_multiboot.c, boot_pvh.c, boot_flat.c, boot_rom.c).
 */
#include "scenarios/boot.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/lapic.h"
#include "scenarios/boot_job.h"

int boot_fail(struct boot_job *j, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(j->why, j->why_size, format, args);
    va_end(args);
    return -1;
}

/* ---- images ---- */

bool image_holds(const struct boot_image *i, uint64_t offset, uint64_t bytes)
{
    return offset <= i->size && bytes <= i->size - offset;
}

static uint64_t image_word(const struct boot_image *i, uint64_t offset, unsigned bytes)
{
    uint64_t v = 0;
    for (unsigned k = 0; k < bytes && image_holds(i, offset, bytes); k++) {
        v |= (uint64_t)i->bytes[offset + k] << 8 * k;
    }
    return v;
}

uint16_t image_u16(const struct boot_image *i, uint64_t offset)
{
    return (uint16_t)image_word(i, offset, 2);
}

uint32_t image_u32(const struct boot_image *i, uint64_t offset)
{
    return (uint32_t)image_word(i, offset, 4);
}

uint64_t image_u64(const struct boot_image *i, uint64_t offset)
{
    return image_word(i, offset, 8);
}

/* ---- memory ---- */

uint64_t boot_ram_end(const struct boot_job *j, uint64_t at)
{
    for (unsigned i = 0; i < j->map_count; i++) {
        const struct e820_entry *e = &j->map[i];
        if (e->type == E820_RAM && at >= e->base && at - e->base < e->bytes) {
            return e->base + e->bytes;
        }
    }
    return 0;
}

static const struct boot_claim *claim_overlapping(const struct boot_job *j, uint64_t start, uint64_t end)
{
    for (unsigned i = 0; i < j->claim_count; i++) {
        if (start < j->claims[i].end && j->claims[i].start < end) {
            return &j->claims[i];
        }
    }
    return NULL;
}

int boot_claim(struct boot_job *j, const char *what, uint64_t start, uint64_t bytes)
{
    if (bytes == 0) {
        return 0;
    }
    uint64_t ram_end = boot_ram_end(j, start);
    if (start >= BOOT_LIMIT || bytes > BOOT_LIMIT - start || ram_end < start + bytes) {
        return boot_fail(
            j, "%s: %s needs 0x%llx bytes at 0x%llx, where there is not that much RAM (below 4 GiB); more memory may help",
            j->config->kernel.name, what, (unsigned long long)bytes, (unsigned long long)start);
    }
    const struct boot_claim *other = claim_overlapping(j, start, start + bytes);
    if (other != NULL) {
        return boot_fail(j, "%s: %s at 0x%llx-0x%llx overlaps %s at 0x%llx-0x%llx", j->config->kernel.name, what,
                         (unsigned long long)start, (unsigned long long)(start + bytes), other->what,
                         (unsigned long long)other->start, (unsigned long long)other->end);
    }
    if (j->claim_count == BOOT_CLAIMS_MAX) {
        return boot_fail(j, "%s: too many parts", j->config->kernel.name);
    }
    j->claims[j->claim_count++] = (struct boot_claim){what, start, start + bytes};
    return 0;
}

uint64_t boot_find_low(const struct boot_job *j, uint64_t from, uint64_t to, uint64_t bytes, uint64_t align)
{
    uint64_t at = (from + align - 1) & ~(align - 1);
    /* Each round leaves one claim or one hole of the map behind. */
    for (unsigned round = 0; round <= BOOT_CLAIMS_MAX + 2 * E820_MAX && at < to && bytes <= to - at; round++) {
        uint64_t ram_end = boot_ram_end(j, at), next;
        const struct boot_claim *taken = claim_overlapping(j, at, at + (bytes ? bytes : 1));
        if (ram_end == 0) {
            next = to;
            for (unsigned i = 0; i < j->map_count; i++) {
                const struct e820_entry *e = &j->map[i];
                next = e->type == E820_RAM && e->base > at && e->base < next ? e->base : next;
            }
        } else if (ram_end < at + bytes) {
            next = ram_end;
        } else if (taken != NULL) {
            next = taken->end;
        } else {
            return at;
        }
        at = (next + align - 1) & ~(align - 1);
    }
    return BOOT_NOWHERE;
}

uint64_t boot_find_high(const struct boot_job *j, uint64_t from, uint64_t to, uint64_t bytes, uint64_t align)
{
    uint64_t end = to;
    for (unsigned round = 0; round <= BOOT_CLAIMS_MAX && end >= from && bytes <= end - from; round++) {
        uint64_t at = (end - bytes) & ~(align - 1);
        if (at < from || boot_ram_end(j, at) < at + bytes) {
            return BOOT_NOWHERE;
        }
        const struct boot_claim *taken = claim_overlapping(j, at, at + (bytes ? bytes : 1));
        if (taken == NULL) {
            return at;
        }
        end = taken->start;
    }
    return BOOT_NOWHERE;
}

int boot_store(struct boot_job *j, uint64_t at, const void *bytes, uint64_t size)
{
    if (size != 0 && !memory_write(j->machine->memory, gpa(at), bytes, size)) {
        return boot_fail(j, "%s: cannot write 0x%llx bytes at 0x%llx: the machine has no RAM there", j->config->kernel.name,
                         (unsigned long long)size, (unsigned long long)at);
    }
    return 0;
}

int boot_store_u32(struct boot_job *j, uint64_t at, uint32_t v)
{
    const uint8_t b[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
    return boot_store(j, at, b, sizeof b);
}

int boot_store_u64(struct boot_job *j, uint64_t at, uint64_t v)
{
    return boot_store_u32(j, at, (uint32_t)v) || boot_store_u32(j, at + 4, (uint32_t)(v >> 32)) ? -1 : 0;
}

const char *boot_cmdline(const struct boot_job *j)
{
    return j->config->cmdline != NULL ? j->config->cmdline : "";
}

int boot_place_modules(struct boot_job *j, uint64_t at[BOOT_MODULES_MAX])
{
    uint64_t from = 0x100000;
    for (size_t i = 0; i < j->config->module_count; i++) {
        const struct boot_image *image = &j->config->modules[i].image;
        at[i] = boot_find_low(j, from, BOOT_LIMIT, image->size, PAGE_BYTES);
        if (at[i] == BOOT_NOWHERE) {
            return boot_fail(j, "%s: no room for 0x%llx bytes of module below 4 GiB; more memory may help", image->name,
                             (unsigned long long)image->size);
        }
        if (boot_claim(j, "a module", at[i], image->size) || boot_store(j, at[i], image->bytes, image->size)) {
            return -1;
        }
        from = at[i] + image->size;
    }
    return 0;
}

/* ---- entry states ---- */

/* Attributes as a descriptor has them, bits 40-55 (cpu/state.h): accessed, present, flat by 4 KiB. */
enum { CODE64_ATTRIBUTES = 0xa09b, CODE32_ATTRIBUTES = 0xc09b, DATA_ATTRIBUTES = 0xc093 };

struct vp_state boot_state(const struct boot_job *j)
{
    struct vp_state s;
    vp_get_state(cpu_vp(j->cpu, 0), &s);
    memset(s.gpr, 0, sizeof s.gpr);
    s.rflags = RFLAGS_FIXED;
    s.activity = VP_RUNNING;
    return s;
}

static void state_segments(struct vp_state *s, uint16_t code_attributes)
{
    for (unsigned i = 0; i < SEGMENTS; i++) {
        s->seg_base[i] = 0;
        s->seg[i] = i == SEG_CS ? (struct segment){BOOT_GDT_CODE, code_attributes, UINT32_MAX}
                                : (struct segment){BOOT_GDT_DATA, DATA_ATTRIBUTES, UINT32_MAX};
    }
    s->cpl = 0;
}

void boot_state_protected(struct vp_state *s)
{
    state_segments(s, CODE32_ATTRIBUTES);
    s->cr0 = CR0_PE | CR0_ET;
    s->cr4 = 0;
    s->efer = 0;
}

void boot_state_long(struct vp_state *s, uint64_t cr3)
{
    state_segments(s, CODE64_ATTRIBUTES);
    s->cr0 = CR0_PE | CR0_ET | CR0_PG;
    s->cr3 = cr3;
    s->cr4 = CR4_PAE;
    s->efer = EFER_LME | EFER_LMA;
}

int boot_store_gdt(struct boot_job *j, uint64_t at, bool wide)
{
    const uint64_t code = wide ? 0x00af9b000000ffffULL : 0x00cf9b000000ffffULL;
    return boot_store_u64(j, at + BOOT_GDT_CODE, code) || boot_store_u64(j, at + BOOT_GDT_DATA, 0x00cf93000000ffffULL) ? -1 : 0;
}

int boot_store_identity(struct boot_job *j, uint64_t at)
{
    enum { PRESENT_WRITABLE = 0x3, LARGE = 0x80, GIB = 4 };
    const uint64_t pml4 = at, pdpt = at + PAGE_BYTES, pd = at + 2 * PAGE_BYTES;
    int failed = boot_store_u64(j, pml4, pdpt | PRESENT_WRITABLE);
    for (uint64_t i = 0; i < GIB; i++) {
        failed |= boot_store_u64(j, pdpt + 8 * i, (pd + i * PAGE_BYTES) | PRESENT_WRITABLE);
    }
    for (uint64_t i = 0; i < GIB * 512; i++) {
        failed |= boot_store_u64(j, pd + 8 * i, i << 21 | LARGE | PRESENT_WRITABLE);
    }
    return failed ? -1 : 0;
}

int boot_enter(struct boot_job *j, const struct vp_state *s)
{
    cpu_set_a20(j->cpu, true);
    if (!vp_set_state(cpu_vp(j->cpu, 0), s)) {
        return boot_fail(j, "%s: the processor refuses the entry state; a model with long mode may be needed",
                         j->config->kernel.name);
    }
    lapic_virtual_wire(cpu_vp(j->cpu, 0));
    return 0;
}

/* ---- the choice ---- */

static int config_check(struct boot_job *j)
{
    const struct boot_config *c = j->config;
    if (c->kernel.bytes == NULL || c->kernel.size == 0) {
        return boot_fail(j, "%s: the image is empty", c->kernel.name);
    }
    if (strlen(boot_cmdline(j)) > BOOT_CMDLINE_MAX) {
        return boot_fail(j, "%s: the command line is longer than %d bytes", c->kernel.name, BOOT_CMDLINE_MAX);
    }
    if (c->module_count > BOOT_MODULES_MAX) {
        return boot_fail(j, "%s: %zu modules; at most %d", c->kernel.name, c->module_count, BOOT_MODULES_MAX);
    }
    for (size_t i = 0; i < c->module_count; i++) {
        if (c->modules[i].cmdline != NULL && strlen(c->modules[i].cmdline) > BOOT_CMDLINE_MAX) {
            return boot_fail(j, "%s: the module's command line is longer than %d bytes", c->modules[i].image.name,
                             BOOT_CMDLINE_MAX);
        }
    }
    return 0;
}

int boot_load(struct machine *m, struct cpu *c, const struct boot_config *config, char *why, size_t why_size)
{
    static int (*const loaders[])(struct boot_job *) = {[BOOT_LINUX] = boot_linux,
                                                        [BOOT_MULTIBOOT] = boot_multiboot,
                                                        [BOOT_PVH] = boot_pvh,
                                                        [BOOT_FLAT] = boot_flat,
                                                        [BOOT_ROM] = boot_rom};
    struct boot_job job = {.machine = m, .cpu = c, .config = config, .why = why, .why_size = why_size};
    job.map_count = platform_e820(config->platform, job.map);
    if (config_check(&job)) {
        return -1;
    }
    /* A ROM brings tables of its own, into the same place. */
    job.rsdp = config->kind == BOOT_ROM ? 0 : acpi_build(m, config->platform);
    return loaders[config->kind](&job);
}
