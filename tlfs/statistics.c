/* Statistics pages: what a partition and its VPs count of themselves. TLFS 2.0a §21 and appendix J (chapter 33).
 *
 * Invariants: each page is a list of groups that a header of zeros ends, and the guest cannot write it. A retail page has the
 * architected group of its object; an internal page, and the release's own groups, which the text gives no form, are empty. A
 * VP's counters are of the moment when its register was written, and anew at each STATISTICS_PERIOD_100NS while a page of a VP
 * is enabled.
 *
 * A header takes 8 bytes: the text's C declarations would give more, but they are tightly packed (§21.1.3), the version is the
 * 32 bits of its constants, and appendix J counts the header as the first of the group's 64-bit values.
 */
#include <string.h>

#include "tlfs/hypervisor.h"
#include "tlfs/msr.h"

enum { STATISTICS_PERIOD_100NS = 10000 };
enum { HV_X64_MSR_STATS_PARTITION_RETAIL_PAGE = 0x400000e0, HV_X64_MSR_STATS_VP_RETAIL_PAGE = 0x400000e2 };
enum { RETAIL };
enum { HV_STATISTICS_TYPE_PA_ID = 2, HV_STATISTICS_TYPE_VPA_ID = 2, VERSION_1_0 = 1 << 16 };

/* One group, and the zeros behind it. */
static void write_group(struct partition *p, int overlay, uint16_t type, const uint64_t *counters, size_t count)
{
    const uint32_t version = VERSION_1_0;
    const uint16_t length = (uint16_t)(count * sizeof *counters);
    overlay_touch(p->machine->memory, overlay);
    uint8_t *page = overlay_host(p->machine->memory, overlay);
    memcpy(page, &type, sizeof type);
    memcpy(page + 2, &version, sizeof version);
    memcpy(page + 6, &length, sizeof length);
    memcpy(page + 8, counters, length);
}

static void partition_counters(struct partition *p)
{
    const uint64_t virtual_processors = p->vp_count;
    write_group(p, p->registers.statistics[RETAIL].overlay, HV_STATISTICS_TYPE_PA_ID, &virtual_processors, 1);
}

static void vp_counters(struct hv_vp *vp)
{
    const struct vp_account account = vp_account(vp->vcpu);
    uint64_t exits_cycles = 0;
    for (unsigned i = 0; i < EXIT_REASONS; i++) {
        exits_cycles += account.event_cycles[i];
    }
    const uint64_t counters_100ns[] = {turns_vp_runtime(vp->partition, vp),
                                       mul_div(exits_cycles, RATE_100NS_HZ, vp->partition->machine->clock.hz)};
    write_group(vp->partition, vp->registers.statistics[RETAIL].overlay, HV_STATISTICS_TYPE_VPA_ID, counters_100ns,
                ARRAY_COUNT(counters_100ns));
}

static bool vp_page_enabled(const struct hv_vp *vp)
{
    return vp->registers.statistics[RETAIL].value & OVERLAY_ENABLE;
}

static void counters_due(void *owner, uint64_t due_cycle)
{
    struct partition *p = owner;
    bool any = false;
    for (unsigned i = 0; i < p->vp_count; i++) {
        if (vp_page_enabled(&p->vps[i])) {
            vp_counters(&p->vps[i]);
            any = true;
        }
    }
    if (any) {
        event_arm(p->machine->events, p->statistics_event,
                  due_cycle + mul_div(STATISTICS_PERIOD_100NS, p->machine->clock.hz, RATE_100NS_HZ));
    }
}

static bool pages_create(struct memory *m, struct overlay_register pages[STATISTICS_PAGES])
{
    bool ok = true;
    for (unsigned i = 0; i < STATISTICS_PAGES; i++) {
        pages[i].overlay = overlay_create(m, "statistics", OVERLAY_WRITE_MC);
        ok = ok && pages[i].overlay >= 0;
    }
    return ok;
}

bool statistics_create(struct partition *p)
{
    bool ok = pages_create(p->machine->memory, p->registers.statistics);
    for (unsigned i = 0; i < p->vp_count; i++) {
        ok = pages_create(p->machine->memory, p->vps[i].registers.statistics) && ok;
    }
    if (ok && profile_has(&p->profile, HV_AccessStatsReg)) {
        p->statistics_event = event_add(p->machine->events, "statistics", counters_due, p);
        partition_counters(p);
    }
    return ok;
}

static void pages_reset(struct partition *p, struct overlay_register pages[STATISTICS_PAGES])
{
    for (unsigned i = 0; i < STATISTICS_PAGES; i++) {
        overlay_remove(p->machine->memory, pages[i].overlay);
        pages[i].value = 0;
    }
}

void statistics_reset(struct partition *p)
{
    pages_reset(p, p->registers.statistics);
    for (unsigned i = 0; i < p->vp_count; i++) {
        vp_statistics_reset(&p->vps[i]);
    }
}

void vp_statistics_reset(struct hv_vp *vp)
{
    pages_reset(vp->partition, vp->registers.statistics);
}

enum msr_outcome write_statistics_page(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
    bool of_vp = msr >= HV_X64_MSR_STATS_VP_RETAIL_PAGE;
    struct overlay_register *pages = of_vp ? vp->registers.statistics : p->registers.statistics;
    overlay_register_write(p, hv_vp_index(vp), msr,
                           &pages[msr - (of_vp ? HV_X64_MSR_STATS_VP_RETAIL_PAGE : HV_X64_MSR_STATS_PARTITION_RETAIL_PAGE)],
                           value);
    if (of_vp && vp_page_enabled(vp)) {
        vp_counters(vp);
        if (event_due(p->machine->events, p->statistics_event) == CYCLE_NEVER) {
            counters_due(p, machine_now(p->machine));
        }
    }
    return MSR_OK;
}
