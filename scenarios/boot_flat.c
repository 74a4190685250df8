/* A flat binary: bytes at an address, entered at the first one, in 16-bit real, 32-bit flat protected or 64-bit mode with 4 GiB
 * mapped onto themselves. For probes and small test guests.
 *
 * In 32- and 64-bit mode a GDT (code 0x10, data 0x18) and, for 64-bit mode, page tables lie in low memory beside the image, in
 * the first free pages from 0x9000 on. The stack pointer is zero: the guest sets its own.
 */
#include "scenarios/boot_job.h"

enum { TABLES_FROM = 0x9000 };

/* SDM 3A §20.1.1: base = selector * 16; limits and rights stay as after reset. Below 64 KiB the selector is 0, as a BIOS starts
 * a boot sector at 0000:7C00. */
static void state_real(struct vp_state *s, uint64_t address)
{
    uint16_t code = address < 0x10000 ? 0 : (uint16_t)(address >> 4);
    for (unsigned i = 0; i < SEGMENTS; i++) {
        s->seg[i].selector = i == SEG_CS ? code : 0;
        s->seg_base[i] = (uint64_t)s->seg[i].selector << 4;
    }
    s->rip = address - s->seg_base[SEG_CS];
}

int boot_flat(struct boot_job *j)
{
    const struct boot_config *c = j->config;
    if (c->mode == BOOT_MODE_16 && c->address >= 0x100000) {
        return boot_fail(j, "%s: address 0x%llx; 16-bit code starts below 1 MiB", c->kernel.name,
                         (unsigned long long)c->address);
    }
    if (boot_claim(j, "the image", c->address, c->kernel.size) || boot_store(j, c->address, c->kernel.bytes, c->kernel.size)) {
        return -1;
    }
    struct vp_state s = boot_state(j);
    if (c->mode == BOOT_MODE_16) {
        state_real(&s, c->address);
        return boot_enter(j, &s);
    }
    bool wide = c->mode == BOOT_MODE_64;
    uint64_t bytes = PAGE_BYTES + (wide ? BOOT_IDENTITY_BYTES : 0);
    uint64_t gdt = boot_find_low(j, TABLES_FROM, BOOT_LOW_END, bytes, PAGE_BYTES);
    if (gdt == BOOT_NOWHERE) {
        return boot_fail(j, "%s: no room for the loader's tables in low memory beside the image; load it at 1 MiB or above",
                         c->kernel.name);
    }
    uint64_t tables = gdt + PAGE_BYTES;
    if (boot_claim(j, "the loader's tables", gdt, bytes) || boot_store_gdt(j, gdt, wide) ||
        (wide && boot_store_identity(j, tables))) {
        return -1;
    }
    if (wide) {
        boot_state_long(&s, tables);
    } else {
        boot_state_protected(&s);
    }
    s.gdtr = (struct descriptor_table){gdt, BOOT_GDT_BYTES - 1};
    s.rip = c->address;
    return boot_enter(j, &s);
}
