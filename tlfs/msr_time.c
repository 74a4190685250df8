/* Synthetic MSRs of time: run time, reference counter, reference TSC page, frequencies, and what a migration
 * does to them. TLFS 6.0b §7.9.1, §12.4, §12.7, §16.6.
 *
 * Invariants: all of them are functions of the partition's cycle counter (reference_time.h, turns.c); what the page's formula
 * gives is what the counter's MSR reads. Leaves out: synthetic timers (stimer.c), the migration itself
 * (migration.c).
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
    reference_time_check(p);
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
    *value = p->host_tsc_hz; /* while the TSC is emulated: what it will be */
    return MSR_OK;
}

enum msr_outcome read_apic_frequency(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t *value)
{
    *value = lapic_timer_hz(p->machine);
    return MSR_OK;
}

/* ---- after a migration, §16.6 ---- */

enum { REENLIGHTENMENT_ENABLED = 1 << 16, VECTOR_LEAST = 16 };

/* "Must correspond to a fixed APIC interrupt", and TargetVp is the index of a VP: else an enabled register is refused. */
enum msr_outcome write_reenlightenment_control(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
    if (value & REENLIGHTENMENT_ENABLED && ((uint8_t)value < VECTOR_LEAST || value >> 32 >= p->vp_count)) {
        return MSR_GP;
    }
    p->registers.reenlightenment_control = value;
    return MSR_OK;
}

enum msr_outcome read_tsc_emulation_status(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t *value)
{
    *value = tsc_emulated(p);
    return MSR_OK;
}

/* InProgress can only be cleared; the rest is RsvdP, and nothing is kept there. */
enum msr_outcome write_tsc_emulation_status(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
    if (!(value & 1)) {
        tsc_emulation_end(p);
    }
    return MSR_OK;
}
