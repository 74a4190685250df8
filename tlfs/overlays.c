/* Overlay pages of the hypervisor: hypercall code and reference TSC; of each VP assist, SIEF and SIM. TLFS 6.0b §5.2.1, §3.13,
 * §12.7, §7.8.7, §11.9. Those of statistics are in statistics.c.
 *
 * Invariants: each overlay has one frame for the life of the partition, and its contents travel with it; it lies where its MSR
 * says, or nowhere when the MSR is disabled or names a page beyond the GPA space. The guest cannot write the code and the TSC
 * page.
 */
#include <string.h>

#include "tlfs/hypervisor.h"

/* HV_REFERENCE_TSC_PAGE, §12.7.2 */
enum { TSC_PAGE_SEQUENCE = 0, TSC_PAGE_SCALE = 8, TSC_PAGE_OFFSET = 16 };

bool partition_gpa_valid(const struct partition *p, uint64_t address)
{
    return address >> p->cpu_config.model.physical_bits == 0;
}

/* §3.13: a call to the start of the page is a hypercall and a near return. The opcodes are the same in 32- and 64-bit code.
 * What lies behind traps: nobody has business there. */
static void hypercall_page_fill(struct partition *p)
{
    static const uint8_t vmcall_ret[] = {0x0f, 0x01, 0xc1, 0xc3}, vmmcall_ret[] = {0x0f, 0x01, 0xd9, 0xc3};
    enum { INT3 = 0xcc };
    int overlay = p->registers.hypercall.overlay;
    overlay_touch(p->machine->memory, overlay);
    uint8_t *page = overlay_host(p->machine->memory, overlay);
    memset(page, INT3, PAGE_BYTES);
    memcpy(page, p->cpu_config.model.vendor == VENDOR_AMD ? vmmcall_ret : vmcall_ret, sizeof vmcall_ret);
}

void reference_tsc_page_update(struct partition *p)
{
    /* Sequence 0 sends the guest to the counter's MSR (§12.7.3.2): where the scale does not fit, or the host has no such TSC.
     */
    const uint32_t sequence = p->reference.scale && !p->reference_page_invalid ? p->reference_sequence : 0;
    const uint64_t scale = p->reference.scale, offset = p->reference.offset_100ns;
    int overlay = p->registers.reference_tsc.overlay;
    overlay_touch(p->machine->memory, overlay);
    uint8_t *page = overlay_host(p->machine->memory, overlay);
    memcpy(page + TSC_PAGE_SEQUENCE, &sequence, sizeof sequence);
    memcpy(page + TSC_PAGE_SCALE, &scale, sizeof scale);
    memcpy(page + TSC_PAGE_OFFSET, &offset, sizeof offset);
}

struct reference_page reference_tsc_page(const struct partition *p)
{
    const uint8_t *page = overlay_host(p->machine->memory, p->registers.reference_tsc.overlay);
    struct reference_page r;
    memcpy(&r.sequence, page + TSC_PAGE_SEQUENCE, sizeof r.sequence);
    memcpy(&r.scale, page + TSC_PAGE_SCALE, sizeof r.scale);
    memcpy(&r.offset, page + TSC_PAGE_OFFSET, sizeof r.offset);
    return r;
}

enum { VP_PAGES = 3 };
static struct overlay_register *vp_page(struct partition *p, unsigned vp, unsigned page)
{
    struct vp_registers *r = &p->vps[vp].registers;
    struct overlay_register *const pages[VP_PAGES] = {&r->assist, &r->synic.siefp, &r->synic.simp};
    return pages[page];
}

bool overlays_create(struct partition *p)
{
    struct memory *m = p->machine->memory;
    p->registers.hypercall.overlay = overlay_create(m, "hypercall", OVERLAY_WRITE_GP);
    p->registers.reference_tsc.overlay = overlay_create(m, "reference-tsc", OVERLAY_WRITE_GP);
    bool ok = p->registers.hypercall.overlay >= 0 && p->registers.reference_tsc.overlay >= 0;
    ok = statistics_create(p) && ok;
    static const char *const names[VP_PAGES] = {"vp-assist", "siefp", "simp"};
    for (unsigned i = 0; i < p->vp_count * VP_PAGES; i++) {
        struct overlay_register *r = vp_page(p, i / VP_PAGES, i % VP_PAGES);
        r->overlay = overlay_create(m, names[i % VP_PAGES], OVERLAY_WRITABLE);
        ok = ok && r->overlay >= 0;
    }
    if (ok) {
        hypercall_page_fill(p);
        reference_tsc_page_update(p);
    }
    return ok;
}

void vp_page_reset(struct partition *p, struct overlay_register *r)
{
    overlay_remove(p->machine->memory, r->overlay);
    overlay_touch(p->machine->memory, r->overlay);
    memset(overlay_host(p->machine->memory, r->overlay), 0, PAGE_BYTES);
    r->value = 0;
}

static void overlay_register_reset(struct partition *p, struct overlay_register *r)
{
    overlay_remove(p->machine->memory, r->overlay);
    r->value = 0;
}

void overlays_reset(struct partition *p)
{
    overlay_register_reset(p, &p->registers.hypercall);
    overlay_register_reset(p, &p->registers.reference_tsc);
    reference_tsc_page_update(p);
    statistics_reset(p);
    for (unsigned i = 0; i < p->vp_count * VP_PAGES; i++) {
        vp_page_reset(p, vp_page(p, i / VP_PAGES, i % VP_PAGES));
    }
}

void overlay_register_write(struct partition *p, uint32_t vp, uint32_t msr, struct overlay_register *r, uint64_t value)
{
    uint64_t at = value & ~PAGE_OFFSET_MASK;
    r->value = value;
    bool seen = value & OVERLAY_ENABLE && partition_gpa_valid(p, at) && overlay_place(p->machine->memory, r->overlay, gpa(at));
    if (!seen) {
        overlay_remove(p->machine->memory, r->overlay);
    }
    TRACE(p->machine->trace, overlay, vp, msr, at, seen);
}
