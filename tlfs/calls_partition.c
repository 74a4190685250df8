/* Hypercalls about the partition as a whole: its id, and the extended calls, which concern its memory. TLFS 6.0b §4.2.1, §3.14,
 * §9.4.7.
 *
 * Invariants: the partition has one id for ever, and no way to another's: it is nobody's parent. Memory is called zeroed only
 * after a look at it. Leaves out: extended calls whose capability bits are not set.
 */
#include "tlfs/calls.h"
#include "tlfs/hypervisor.h"

/* The root partition has the first id. */
enum { HV_PARTITION_ID_OWN = 2, HV_PARTITION_ID_INVALID = 0 };

hv_status_t call_partition_is_self(uint64_t partition_id)
{
    if (partition_id == HV_PARTITION_ID_SELF || partition_id == HV_PARTITION_ID_OWN) {
        return HV_STATUS_SUCCESS;
    }
    return HV_STATUS_INVALID_PARTITION_ID;
}

/* HV_INPUT_VTL: 3:0 VTL, 4 use it (else the caller's), 7:5 reserved. */
bool call_input_vtl_is_0(uint8_t input_vtl)
{
    bool use_target = input_vtl & 0x10;
    return (input_vtl & 0xe0) == 0 && (!use_target || (input_vtl & 0xf) == 0);
}

hv_status_t call_get_partition_id(struct hypercall *c)
{
    call_put_u64(c->output, 0, HV_PARTITION_ID_OWN);
    return HV_STATUS_SUCCESS;
}

/* ---- extended calls ---- */

enum { CAPABILITY_BOOT_ZEROED_MEMORY = 1, CAPABILITY_MEMORY_HEAT_HINT = 2 };

static uint64_t capabilities(const struct partition *p)
{
    return CAPABILITY_BOOT_ZEROED_MEMORY | (p->profile.edition >= EDITION_6_0 ? CAPABILITY_MEMORY_HEAT_HINT : 0);
}

hv_status_t call_ext_query_capabilities(struct hypercall *c)
{
    call_put_u64(c->output, 0, capabilities(c->p));
    return HV_STATUS_SUCCESS;
}

static bool page_is_zero(const struct partition *p, uint64_t page)
{
    uint64_t words[PAGE_BYTES / 8], any = 0;
    if (!memory_read(p->machine->memory, gpa(page << PAGE_SHIFT), words, sizeof words)) {
        return false;
    }
    for (unsigned i = 0; i < ARRAY_COUNT(words); i++) {
        any |= words[i];
    }
    return any == 0;
}

/* The 6.0b figure has one range; the web edition, and those who call, a count and up to 255 ranges, the most useful first. One
 * range is told: what is zero below the end of low RAM, of which a limited part is looked at in one call. */
hv_status_t call_ext_get_boot_zeroed_memory(struct hypercall *c)
{
    enum { RANGE_COUNT = 0, RANGE_START = 8, RANGE_PAGES = 16, LOOKED_AT_MAX = 4096, PAGE_CYCLES = 64 };
    uint64_t ram = memory_ram_bytes(c->p->machine->memory);
    uint64_t end = (ram < MEMORY_HOLE_GPA ? ram : MEMORY_HOLE_GPA) >> PAGE_SHIFT, start = end, looked = 0;
    while (start > 0 && looked < LOOKED_AT_MAX && page_is_zero(c->p, start - 1)) {
        start--;
        looked++;
    }
    vp_charge_more(c->vp->vcpu, EXIT_HYPERCALL, looked * PAGE_CYCLES);
    call_put_u64(c->output, RANGE_COUNT, start < end);
    call_put_u64(c->output, RANGE_START, start < end ? start : 0);
    call_put_u64(c->output, RANGE_PAGES, end - start);
    return HV_STATUS_SUCCESS;
}

/* Listed without a section: the public symbols have a kind (0 cold, 1 hot) in two bits, then a list of page ranges. A hint; the
 * hypervisor has nothing to do with it here. */
hv_status_t check_ext_memory_heat_hint(struct hypercall *c)
{
    return call_u64(c->input, 0) <= 1 ? HV_STATUS_SUCCESS : HV_STATUS_INVALID_PARAMETER;
}

hv_status_t call_ext_memory_heat_hint(struct hypercall *c)
{
    return HV_STATUS_SUCCESS;
}
