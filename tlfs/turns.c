/* Turns: which VP runs, for how long, and where the clock goes when none can. TLFS 6.0b §14 leaves the policy to the
 * hypervisor.
 *
 * Invariants: VPs take turns in index order; a turn ends after turn_cycles, at HLT or at PAUSE. turn_vp and turn_end are the
 * whole state: a turn begins only when its VP is about to run, so where a call of partition_run() ends shows nowhere. A clear
 * bit in `awake` means that the VP cannot run; a set bit is a guess that turn_pick() checks. Leaves out: other policies;
 * weights, caps and reserves.
 */
#include <string.h>

#include "tlfs/hypervisor.h"

void turns_reset(struct partition *p)
{
    memset(p->awake, 0xff, sizeof p->awake);
    p->turn_vp = p->vp_count - 1; /* so that VP 0 is next */
    p->turn_end = p->away_until = 0;
}

void turns_state(struct state *s, struct partition *p)
{
    state_u32_in(s, &p->turn_vp, 0, p->vp_count - 1, "the VP whose turn it is");
    state_u64(s, &p->turn_end);
    state_u64(s, &p->away_until);
    for (unsigned i = 0; i < p->vp_count; i++) {
        state_u64(s, &p->vps[i].run_cycles);
    }
    if (state_restoring(s)) {
        memset(p->awake, 0xff, sizeof p->awake);
    }
}

static void awake_set(struct partition *p, unsigned index, bool on)
{
    uint64_t bit = 1ULL << index % 64;
    p->awake[index / 64] = on ? p->awake[index / 64] | bit : p->awake[index / 64] & ~bit;
}

void turns_activity(struct partition *p, struct vcpu *vcpu)
{
    awake_set(p, vp_index(vcpu), true);
}

void turns_yield(struct partition *p)
{
    p->turn_end = machine_now(p->machine);
    if (p->running != NULL) {
        vp_deadline(p->running->vcpu, p->turn_end);
    }
}

void turns_event_earlier(void *partition, uint64_t cycle)
{
    struct partition *p = partition;
    if (p->running != NULL) {
        vp_deadline(p->running->vcpu, cycle);
    }
}

void turns_end_requested(void *partition)
{
    struct partition *p = partition;
    if (p->running != NULL) {
        vp_stop(p->running->vcpu);
    }
}

void partition_stop(struct partition *p)
{
    p->pause_requested = true;
    turns_end_requested(p);
}

uint64_t turns_vp_runtime(const struct partition *p, const struct hv_vp *vp)
{
    uint64_t cycles = vp->run_cycles + (p->running == vp ? machine_now(p->machine) - p->running_since : 0);
    return mul_div(cycles, RATE_100NS_HZ, p->machine->clock.hz);
}

/* The lowest index from `from` on, then from 0 on, whose bit is set; -1 when all sleep. */
static int awake_next(const struct partition *p, unsigned from)
{
    enum { WORDS = ARRAY_COUNT(p->awake) };
    for (unsigned i = 0; i <= WORDS; i++) {
        unsigned word = (from / 64 + i) % WORDS;
        uint64_t bits = p->awake[word];
        if (i == 0) {
            bits &= ~0ULL << from % 64;
        } else if (i == WORDS) {
            bits &= ~(~0ULL << from % 64);
        }
        /* Bits above the last VP may be set; they are nobody's. */
        while (bits != 0) {
            unsigned index = word * 64 + (unsigned)__builtin_ctzll(bits);
            if (index < p->vp_count) {
                return (int)index;
            }
            bits &= bits - 1;
        }
    }
    return -1;
}

#ifndef NDEBUG
static bool sleepers_sleep(const struct partition *p)
{
    for (unsigned i = 0; i < p->vp_count; i++) {
        if (!(p->awake[i / 64] >> i % 64 & 1) && vp_runnable(p->vps[i].vcpu)) {
            return false;
        }
    }
    return true;
}
#endif

/* The VP to run now: the one whose turn it is, or the next that can run and now begins its turn. NULL: all sleep. */
static struct hv_vp *turn_pick(struct partition *p, uint64_t now)
{
    if (now < p->away_until) {
        return NULL; /* migrated: nobody is there to run */
    }
    if (now < p->turn_end) {
        return &p->vps[p->turn_vp];
    }
    assert(sleepers_sleep(p));
    for (int next; (next = awake_next(p, (p->turn_vp + 1) % p->vp_count)) >= 0;) {
        struct hv_vp *vp = &p->vps[next];
        if (!vp_runnable(vp->vcpu)) {
            awake_set(p, (unsigned)next, false);
            continue;
        }
        /* With one VP there is nobody to make way for. */
        p->turn_end = p->vp_count == 1 || p->turn_cycles > CYCLE_NEVER - now ? CYCLE_NEVER : now + p->turn_cycles;
        if (p->turn_vp != (uint32_t)next) {
            p->turn_vp = (uint32_t)next;
            TRACE(p->machine->trace, vp_switch, p->turn_vp, p->turn_end);
        }
        return vp;
    }
    return NULL;
}

static void turn_run(struct partition *p, struct hv_vp *vp, uint64_t until)
{
    struct machine *m = p->machine;
    /* The processor counts a run's cycles in 63 bits; a run that ends early ends at a boundary and simply goes on. */
    const uint64_t most = 1ULL << 62;
    until = until - m->clock.cycle > most ? m->clock.cycle + most : until;
    uint64_t due = vp->registers.unhalted.due_run_cycle, left = due > vp->run_cycles ? due - vp->run_cycles : 0;
    until = left < until - m->clock.cycle ? m->clock.cycle + left : until;
    p->running = vp;
    p->running_since = m->clock.cycle;
    enum vp_stop stop = vp_run(vp->vcpu, until);
    p->running = NULL;
    vp->run_cycles += m->clock.cycle - p->running_since;
    unhalted_look(vp);
    switch (stop) {
    case STOP_HALT:
        awake_set(p, hv_vp_index(vp), vp_runnable(vp->vcpu));
        p->turn_end = m->clock.cycle;
        break;
    case STOP_PAUSE:
        p->turn_end = m->clock.cycle;
        break;
    case STOP_SHUTDOWN:
        machine_end(m, END_TRIPLE_FAULT, 0);
        break;
    case STOP_UNTIL:
    case STOP_REQUEST:
        break;
    }
}

/* All sleep: the clock jumps to what is due next. When nothing ever will be, the guest is at its end. */
static void idle(struct partition *p, uint64_t until, uint64_t next_event)
{
    if (p->machine->clock.cycle < p->away_until) {
        next_event = next_event < p->away_until ? next_event : p->away_until;
    }
    if (next_event == CYCLE_NEVER) {
        TRACE(p->machine->trace, all_asleep, TRACE_NO_VP, p->vp_count);
        machine_end(p->machine, END_HALTED, 0);
    } else {
        p->machine->clock.cycle = next_event < until ? next_event : until;
    }
}

enum partition_stop partition_run(struct partition *p, uint64_t until_cycle)
{
    struct machine *m = p->machine;
    memset(p->awake, 0xff, sizeof p->awake); /* between two calls anyone may have changed a VP's state */
    for (;;) {
        uint64_t now = m->clock.cycle;
        if (m->end != END_NONE) {
            return PARTITION_END;
        }
        if (events_next(m->events) <= now) {
            events_run(m->events, now);
            if (m->end != END_NONE) {
                return PARTITION_END;
            }
        }
        if (p->pause_requested) {
            p->pause_requested = false;
            return PARTITION_PAUSED;
        }
        if (now >= until_cycle) {
            return PARTITION_UNTIL;
        }
        uint64_t limit = events_next(m->events);
        struct hv_vp *vp = turn_pick(p, now);
        if (vp == NULL) {
            idle(p, until_cycle, limit);
            continue;
        }
        limit = limit < until_cycle ? limit : until_cycle;
        limit = limit < p->turn_end ? limit : p->turn_end;
        turn_run(p, vp, limit);
    }
}
