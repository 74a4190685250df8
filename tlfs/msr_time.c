/* Synthetic MSRs of time: run time, reference counter, reference TSC page, frequencies. TLFS 6.0b §7.9.1, §12.4, §12.7.
 *
 * Invariants: all of them are functions of the partition's cycle counter (reference_time.h, turns.c); what the page's formula
 * gives is what the counter's MSR reads. Leaves out: synthetic timers (stimer.c).
 */
#include "cpu/lapic.h"
#include "tlfs/hypervisor.h"
#include "tlfs/msr.h"

enum msr_outcome read_vp_runtime(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t *value)
{
    *value = turns_vp_runtime(p, vp);
    return MSR_OK;
}

enum msr_outcome read_time_ref_count(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t *value)
{
    *value = partition_reference_time(p);
    return MSR_OK;
}

enum msr_outcome write_reference_tsc(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
    overlay_register_write(p, hv_vp_index(vp), msr, &p->registers.reference_tsc, value);
    return MSR_OK;
}

enum msr_outcome read_tsc_frequency(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t *value)
{
    *value = p->machine->clock.hz;
    return MSR_OK;
}

enum msr_outcome read_apic_frequency(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t *value)
{
    *value = lapic_timer_hz(p->machine);
    return MSR_OK;
}
