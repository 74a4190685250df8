/* Synthetic timers: registers, expiry, periods. TLFS 6.0b §12.5.
 *
 * Invariants: an enabled timer has a count, and a vector of 16 or more (direct mode) or a SINT other than 0; its event is armed
 * for the first cycle at which the reference counter shows due_100ns, so it never fires early and fires at the first boundary
 * there. A message that waits is not taken back when its timer is stopped.
 * Leaves out: the time-unhalted timer.
 */
#include "tlfs/stimer.h"

#include "cpu/lapic.h"
#include "tlfs/hypervisor.h"
#include "tlfs/msr.h"

enum { HV_X64_MSR_STIMER0_CONFIG = 0x400000b0 };

enum {
    CONFIG_ENABLE = 1 << 0,
    CONFIG_PERIODIC = 1 << 1,
    CONFIG_LAZY = 1 << 2,
    CONFIG_AUTO_ENABLE = 1 << 3,
    CONFIG_VECTOR_SHIFT = 4,
    CONFIG_DIRECT = 1 << 12,
    CONFIG_SINT_SHIFT = 16,
    CONFIG_KNOWN = 0xf1fff,      /* SINTx 19:16; the rest is RsvdZ */
    CONFIG_DIRECT_MODE = 0x1ff0, /* vector and mode: RsvdZ where direct timers are not announced */
};
/* A shorter period is served at this one: expirations that come too fast "may be skipped completely" (§12.1.4), and a guest
 * must get on with its work between two of them. */
enum { PERIOD_LEAST_100NS = 100 };
enum { VECTOR_LEAST = 16 };

static uint8_t config_vector(uint64_t config)
{
    return (uint8_t)(config >> CONFIG_VECTOR_SHIFT);
}

static unsigned config_sint(uint64_t config)
{
    return config >> CONFIG_SINT_SHIFT & 0xf;
}

/* §12.5.1, §12.5.2: a timer without a count, or with a message for SINT 0, cannot be enabled. */
static bool can_run(const struct stimer *t)
{
    return t->count != 0 && (t->config & CONFIG_DIRECT || config_sint(t->config) != 0);
}

static void timer_arm(struct partition *p, struct hv_vp *vp, unsigned timer)
{
    const struct stimer *t = &vp->registers.stimer[timer];
    uint64_t now = machine_now(p->machine);
    uint64_t cycle = reference_time_cycle(&p->reference, t->due_100ns);
    cycle = cycle < now ? now : cycle;
    if (cycle == CYCLE_NEVER) {
        event_disarm(p->machine->events, vp->timer_source[timer].event);
    } else {
        event_arm(p->machine->events, vp->timer_source[timer].event, cycle);
    }
    TRACE(p->machine->trace, stimer_arm, hv_vp_index(vp), timer, t->due_100ns, cycle);
}

/* The registers were written: the timer stops, and starts anew if it is enabled. */
static void timer_restart(struct partition *p, struct hv_vp *vp, unsigned timer)
{
    struct stimer *t = &vp->registers.stimer[timer];
    event_disarm(p->machine->events, vp->timer_source[timer].event);
    if (!can_run(t)) {
        t->config &= ~(uint64_t)CONFIG_ENABLE;
    }
    if (!(t->config & CONFIG_ENABLE)) {
        t->due_100ns = 0;
        return;
    }
    uint64_t now_100ns = partition_reference_time(p);
    t->due_100ns = t->config & CONFIG_PERIODIC ? now_100ns + t->count : t->count;
    if (t->config & CONFIG_PERIODIC && t->due_100ns < now_100ns) {
        t->due_100ns = UINT64_MAX; /* beyond the end of time */
    }
    timer_arm(p, vp, timer);
}

static void timer_expired(void *source, uint64_t due_cycle)
{
    const struct stimer_source *from = source;
    struct hv_vp *vp = from->vp;
    struct partition *p = vp->partition;
    struct stimer *t = &vp->registers.stimer[from->timer];
    if (!(t->config & CONFIG_ENABLE)) {
        return;
    }
    reference_time_check(p);
    uint64_t now_100ns = partition_reference_time(p), due_100ns = t->due_100ns;
    TRACE(p->machine->trace, stimer_expiry, hv_vp_index(vp), from->timer, due_100ns, now_100ns, config_vector(t->config));
    if (t->config & CONFIG_PERIODIC) {
        /* The schedule stays a multiple of the period from the start. What is already past is skipped: both of §12.1.4's
         * techniques allow that, so lazy timers are served like the others. */
        uint64_t period = t->count < PERIOD_LEAST_100NS ? PERIOD_LEAST_100NS : t->count;
        uint64_t late = now_100ns > t->due_100ns ? now_100ns - t->due_100ns : 0;
        uint64_t step = late / period * period + period;
        t->due_100ns = t->due_100ns + step < step ? UINT64_MAX : t->due_100ns + step;
        timer_arm(p, vp, from->timer);
    } else {
        t->config &= ~(uint64_t)CONFIG_ENABLE; /* §12.5.1: a one-shot timer that expired is disabled */
        t->due_100ns = 0;
    }
    if (t->config & CONFIG_DIRECT) {
        lapic_interrupt(vp->vcpu, config_vector(t->config), false);
    } else {
        synic_timer_message(vp, from->timer, config_sint(t->config), due_100ns);
    }
}

static uint64_t config_known(const struct partition *p)
{
    return profile_has(&p->profile, HV_DirectSyntheticTimers) ? CONFIG_KNOWN : CONFIG_KNOWN & ~CONFIG_DIRECT_MODE;
}

enum msr_outcome stimer_write_config(struct partition *p, struct hv_vp *vp, unsigned timer, uint64_t value)
{
    /* A vector below 16 cannot be a fixed interrupt (SDM 3A §10.5.2). The TLFS is silent; it is refused like a reserved bit. */
    if (value & ~config_known(p) || (value & CONFIG_DIRECT && config_vector(value) < VECTOR_LEAST)) {
        return MSR_GP;
    }
    vp->registers.stimer[timer].config = value;
    timer_restart(p, vp, timer);
    return MSR_OK;
}

enum msr_outcome stimer_write_count(struct partition *p, struct hv_vp *vp, unsigned timer, uint64_t value)
{
    struct stimer *t = &vp->registers.stimer[timer];
    t->count = value;
    if (value != 0 && t->config & CONFIG_AUTO_ENABLE) {
        t->config |= CONFIG_ENABLE;
    }
    timer_restart(p, vp, timer);
    return MSR_OK;
}

/* CONFIG stands at even, COUNT at odd indices. */
enum msr_outcome write_stimer_config(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
    return stimer_write_config(p, vp, (msr - HV_X64_MSR_STIMER0_CONFIG) / 2, value);
}

enum msr_outcome write_stimer_count(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
    return stimer_write_count(p, vp, (msr - HV_X64_MSR_STIMER0_CONFIG) / 2, value);
}

void stimers_create(struct partition *p, struct hv_vp *vp)
{
    for (unsigned i = 0; i < STIMERS; i++) {
        vp->timer_source[i] = (struct stimer_source){.vp = vp, .timer = (uint8_t)i};
        vp->timer_source[i].event = event_add(p->machine->events, "stimer", timer_expired, &vp->timer_source[i]);
    }
}

void stimers_reset(struct hv_vp *vp)
{
    for (unsigned i = 0; i < STIMERS; i++) {
        vp->registers.stimer[i] = (struct stimer){0};
        event_disarm(vp->partition->machine->events, vp->timer_source[i].event);
    }
}

void stimers_rearm(struct hv_vp *vp)
{
    for (unsigned i = 0; i < STIMERS; i++) {
        if (vp->registers.stimer[i].config & CONFIG_ENABLE) {
            timer_arm(vp->partition, vp, i);
        }
    }
}

void stimers_state(struct state *s, struct hv_vp *vp)
{
    for (unsigned i = 0; i < STIMERS; i++) {
        struct stimer *t = &vp->registers.stimer[i];
        state_u64(s, &t->config);
        state_u64(s, &t->count);
        state_u64(s, &t->due_100ns);
        bool direct = t->config & CONFIG_DIRECT;
        if (t->config & ~config_known(vp->partition) || (t->config & CONFIG_ENABLE && !can_run(t)) ||
            (direct && config_vector(t->config) < VECTOR_LEAST)) {
            if (state_restoring(s)) {
                state_fail(s, "synthetic timer %u: impossible configuration 0x%llx", i, (unsigned long long)t->config);
                *t = (struct stimer){0};
            }
        }
    }
}
