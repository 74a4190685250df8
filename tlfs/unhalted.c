/* Synthetic time-unhalted timer: a period of a VP's own run time, then an interrupt and a flag in the VP assist page. TLFS 6.0b
 * §12.6, in its layout, not that of 6.0.
 *
 * Invariants: it counts what HV_X64_MSR_VP_RUNTIME counts, so a VP that is halted, idle or waits for its turn gets no nearer;
 * it expires at the first boundary at which the run time has reached the multiple of the period, and what lies further back is
 * skipped. Chosen where the text is silent: a write to either register begins a period; a period of zero never ends; a vector
 * below 16 other than 2 goes to the local APIC, which sets its error register. Leaves out: a least period, for an interrupt
 * that comes at every boundary is what was asked for.
 */
#include "tlfs/unhalted.h"

#include <string.h>

#include "cpu/lapic.h"
#include "tlfs/hypervisor.h"
#include "tlfs/msr.h"

enum { HV_X64_MSR_STIME_UNHALTED_TIMER_CONFIG = 0x40000114 };
enum { CONFIG_ENABLED = 1 << 8, CONFIG_KNOWN = 0x1ff, VECTOR_NMI = 2 };
enum { ASSIST_UNHALTED_EXPIRED = 56 }; /* HV_VP_ASSIST_PAGE.SyntheticTimeUnhaltedTimerExpired, §7.8.7.2 */

static bool enabled(const struct unhalted_timer *t)
{
    return t->config & CONFIG_ENABLED && t->count != 0;
}

static void derive(struct hv_vp *vp)
{
    struct unhalted_timer *t = &vp->registers.unhalted;
    uint64_t hz = vp->partition->machine->clock.hz;
    t->due_run_cycle = enabled(t) ? mul_div_up(t->due_100ns, hz, RATE_100NS_HZ) : CYCLE_NEVER;
}

static void begin_period(struct partition *p, struct hv_vp *vp)
{
    struct unhalted_timer *t = &vp->registers.unhalted;
    uint64_t now = turns_vp_runtime(p, vp);
    t->due_100ns = !enabled(t) ? 0 : t->count > UINT64_MAX - now ? UINT64_MAX : now + t->count;
    derive(vp);
    if (p->running == vp && t->due_run_cycle != CYCLE_NEVER) {
        uint64_t ran = vp->run_cycles + (machine_now(p->machine) - p->running_since);
        uint64_t left = t->due_run_cycle > ran ? t->due_run_cycle - ran : 0;
        if (left < CYCLE_NEVER - machine_now(p->machine)) {
            vp_deadline(vp->vcpu, machine_now(p->machine) + left);
        }
    }
}

enum msr_outcome write_unhalted_timer(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
    struct unhalted_timer *t = &vp->registers.unhalted;
    if (msr == HV_X64_MSR_STIME_UNHALTED_TIMER_CONFIG) {
        t->config = value;
    } else {
        t->count = value;
    }
    begin_period(p, vp);
    return MSR_OK;
}

void unhalted_look(struct hv_vp *vp)
{
    struct unhalted_timer *t = &vp->registers.unhalted;
    struct partition *p = vp->partition;
    if (vp->run_cycles < t->due_run_cycle) {
        return;
    }
    uint64_t now = turns_vp_runtime(p, vp), due = t->due_100ns;
    uint64_t step = now > due ? (now - due) / t->count * t->count : 0;
    t->due_100ns = t->count > UINT64_MAX - (due + step) ? UINT64_MAX : due + step + t->count;
    derive(vp);
    int overlay = vp->registers.assist.overlay;
    overlay_touch(p->machine->memory, overlay);
    overlay_host(p->machine->memory, overlay)[ASSIST_UNHALTED_EXPIRED] = 1;
    TRACE(p->machine->trace, unhalted_expiry, hv_vp_index(vp), due, now, (uint8_t)t->config);
    if ((uint8_t)t->config == VECTOR_NMI) {
        vp_set_nmi(vp->vcpu);
    } else {
        lapic_interrupt(vp->vcpu, (uint8_t)t->config, false);
    }
}

void unhalted_reset(struct hv_vp *vp)
{
    vp->registers.unhalted = (struct unhalted_timer){.due_run_cycle = CYCLE_NEVER};
}

void unhalted_state(struct state *s, struct hv_vp *vp)
{
    struct unhalted_timer *t = &vp->registers.unhalted;
    state_u64_in(s, &t->config, 0, CONFIG_KNOWN, "time-unhalted timer's configuration");
    state_u64(s, &t->count);
    state_u64(s, &t->due_100ns);
    if (state_restoring(s)) {
        derive(vp);
    }
}
