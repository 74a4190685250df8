/* The local APIC timer: one-shot, periodic, TSC deadline. SDM 3A §10.5.4.
 *
 * The current count is a function of the clock, never a counter that is decremented: counted from timer_count at
 * timer_start_cycle, floor(elapsed cycles * input rate / (clock rate * divide)) ticks have passed. So reads are exact at any
 * cycle and no period drifts: the n-th expiry of a periodic timer is the first cycle at which count + n * initial ticks have
 * passed since the start.
 *
 * Invariants: the event queue holds the next expiry that can interrupt (a masked count-down needs none; a deadline always,
 * because it is cleared when it passes); an expiry that lies at or before "now" has happened before any register of the timer
 * changes (lapic_timer_settle). Expiries of a short period that fall between two boundaries become one interrupt, as they would
 * in IRR. Chosen where the SDM is silent: a new divide value goes on from the current count; a change of mode clears initial
 * count and deadline.
 */
#include "cpu/lapic.h"

#include "cpu/vcpu.h"

enum timer_mode { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_DEADLINE };

static enum timer_mode timer_mode(const struct lapic *l)
{
    return l->lvt[LVT_TIMER] >> 17 & 3;
}

bool lapic_timer_is_deadline(const struct lapic *l)
{
    return timer_mode(l) == TIMER_DEADLINE;
}

/* Divide configuration: bits 3, 1, 0 select 2, 4 ... 128, then 1. SDM 3A figure 10-10. */
static unsigned divide_shift(uint32_t divide)
{
    return ((divide & 3) + (divide >> 1 & 4) + 1) & 7;
}

/* Cycles a tick = cycles_x / input rate. */
static uint64_t cycles_x(const struct vcpu *v)
{
    return v->machine->clock.hz << divide_shift(v->lapic.timer_divide);
}

static uint64_t ticks_passed(const struct vcpu *v, uint64_t now)
{
    uint64_t start = v->lapic.timer_start_cycle;
    return now <= start ? 0 : mul_div(now - start, lapic_timer_hz(v->machine), cycles_x(v));
}

uint32_t lapic_timer_current(const struct vcpu *v)
{
    const struct lapic *l = &v->lapic;
    if (l->timer_initial == 0 || timer_mode(l) == TIMER_DEADLINE) {
        return 0;
    }
    uint64_t ticks = ticks_passed(v, machine_now(v->machine));
    if (ticks < l->timer_count) {
        return l->timer_count - (uint32_t)ticks;
    }
    if (timer_mode(l) == TIMER_ONE_SHOT) {
        return 0;
    }
    return l->timer_initial - (uint32_t)((ticks - l->timer_count) % l->timer_initial);
}

/* First cycle after `now` at which the count-down reaches 0. */
static uint64_t next_count_down(const struct vcpu *v, uint64_t now)
{
    const struct lapic *l = &v->lapic;
    if (l->timer_initial == 0 || (l->lvt[LVT_TIMER] & LVT_MASKED)) {
        return CYCLE_NEVER;
    }
    uint64_t ticks = ticks_passed(v, now), target = l->timer_count;
    if (ticks >= target) {
        if (timer_mode(l) == TIMER_ONE_SHOT) {
            return CYCLE_NEVER;
        }
        target += ((ticks - target) / l->timer_initial + 1) * l->timer_initial;
    }
    uint64_t due = l->timer_start_cycle + mul_div_up(target, cycles_x(v), lapic_timer_hz(v->machine));
    return due > now ? due : CYCLE_NEVER; /* only a start from a hostile save state can bring it round */
}

/* The cycle at which the TSC reaches the deadline; now, when it has. */
static uint64_t deadline_cycle(const struct vcpu *v, uint64_t now)
{
    uint64_t deadline = v->lapic.tsc_deadline, count = tsc_at(&v->cpu->tsc, now), tsc = count + v->s.tsc_offset;
    if (deadline == 0) {
        return CYCLE_NEVER;
    }
    if (deadline <= tsc) {
        return now;
    }
    return deadline - tsc < UINT64_MAX - count ? tsc_cycle(&v->cpu->tsc, count + (deadline - tsc)) : CYCLE_NEVER;
}

void lapic_timer_arm(struct vcpu *v)
{
    uint64_t now = machine_now(v->machine);
    uint64_t due = lapic_timer_is_deadline(&v->lapic) ? deadline_cycle(v, now) : next_count_down(v, now);
    if (due == CYCLE_NEVER) {
        event_disarm(v->machine->events, v->lapic_timer_event);
    } else {
        event_arm(v->machine->events, v->lapic_timer_event, due);
    }
}

void lapic_timer_due(void *vp, uint64_t due_cycle)
{
    struct vcpu *v = vp;
    bool expired = true;
    if (lapic_timer_is_deadline(&v->lapic)) {
        expired = v->lapic.tsc_deadline != 0;
        v->lapic.tsc_deadline = 0;
    }
    if (expired) {
        lapic_lvt_trigger(v, LVT_TIMER);
    }
    lapic_timer_arm(v);
}

void lapic_timer_settle(struct vcpu *v)
{
    uint64_t due = event_due(v->machine->events, v->lapic_timer_event);
    if (due <= machine_now(v->machine)) {
        lapic_timer_due(v, due);
    }
}

/* SDM 3A §10.5.4.1: a change of mode disarms the timer. */
void lapic_timer_disarm(struct vcpu *v)
{
    v->lapic.timer_initial = v->lapic.timer_count = 0;
    v->lapic.tsc_deadline = 0;
    lapic_timer_arm(v);
}

/* In deadline mode writes to the initial count are ignored. SDM 3A §10.5.4.1. */
void lapic_timer_set_initial(struct vcpu *v, uint32_t value)
{
    if (lapic_timer_is_deadline(&v->lapic)) {
        return;
    }
    lapic_timer_settle(v);
    v->lapic.timer_initial = v->lapic.timer_count = value;
    v->lapic.timer_start_cycle = machine_now(v->machine);
    lapic_timer_arm(v);
}

void lapic_timer_set_divide(struct vcpu *v, uint32_t value)
{
    lapic_timer_settle(v);
    v->lapic.timer_count = lapic_timer_current(v);
    v->lapic.timer_start_cycle = machine_now(v->machine);
    v->lapic.timer_divide = value & 0xb;
    lapic_timer_arm(v);
}

/* IA32_TSC_DEADLINE reads as 0 once the deadline has passed, and in the other modes. */
uint64_t lapic_timer_deadline(struct vcpu *v)
{
    lapic_timer_settle(v);
    return v->lapic.tsc_deadline;
}

void lapic_timer_set_deadline(struct vcpu *v, uint64_t tsc)
{
    if (lapic_timer_is_deadline(&v->lapic)) {
        lapic_timer_settle(v);
        v->lapic.tsc_deadline = tsc;
        lapic_timer_arm(v);
    }
}

void lapic_tsc_changed(struct vcpu *v)
{
    if (lapic_timer_is_deadline(&v->lapic)) {
        lapic_timer_arm(v);
    }
}
