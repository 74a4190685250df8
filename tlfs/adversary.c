/* Spurious wake-ups and busy message slots. See adversary.h. TLFS 6.0b §7.5 and SDM 2A HLT promise when a VP wakes at the
 * latest, not that it sleeps until then; §11.4 lets a message wait.
 *
 * Invariants: moments are cycles of the clock and counts of deliveries; each VP that sleeps is woken in its turn; nothing but
 * HLT, MWAIT and the idle state is left; what waits is delivered by the usual retry.
 */
#include "tlfs/adversary.h"

#include "tlfs/hypervisor.h"

static void wake_due(void *owner, uint64_t due_cycle)
{
    struct partition *p = owner;
    struct adversary *a = &p->adversary;
    for (unsigned i = 0; i < p->vp_count; i++) {
        unsigned index = (a->next_vp + i) % p->vp_count;
        if (vp_wake(p->vps[index].vcpu)) {
            TRACE(p->machine->trace, spurious_wake, index);
            a->next_vp = (index + 1) % p->vp_count;
            break;
        }
    }
    event_arm(p->machine->events, a->event, due_cycle + a->spurious_wake_cycles);
}

void adversary_create(struct partition *p, const struct partition_config *config)
{
    struct adversary *a = &p->adversary;
    a->spurious_wake_cycles = config->spurious_wake_cycles;
    a->busy_slots_every = config->busy_slots_every;
    if (a->spurious_wake_cycles != 0) {
        a->event = event_add(p->machine->events, "spurious-wake", wake_due, p);
        event_arm(p->machine->events, a->event, machine_now(p->machine) + a->spurious_wake_cycles);
    }
}

bool adversary_slot_busy(struct partition *p)
{
    struct adversary *a = &p->adversary;
    if (a->busy_slots_every == 0) {
        return false;
    }
    a->slots_asked = (a->slots_asked + 1) % a->busy_slots_every;
    return a->slots_asked == 0;
}

void adversary_state(struct state *s, struct partition *p)
{
    struct adversary *a = &p->adversary;
    uint32_t every = a->busy_slots_every;
    uint64_t wake = a->spurious_wake_cycles;
    state_u64_in(s, &wake, wake, wake, "cycles between spurious wake-ups");
    state_u32_in(s, &every, every, every, "how often a slot looks busy");
    state_u32_in(s, &a->next_vp, 0, p->vp_count - 1, "the VP that wakes next");
    state_u32_in(s, &a->slots_asked, 0, every != 0 ? every - 1 : 0, "deliveries since a slot looked busy");
}
