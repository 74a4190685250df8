/* The interrupt bus between local APICs: who is meant by a destination, and what each kind of message does there.
 * SDM 3A §10.6 (IPIs), §10.11 (messages), §10.12.10 (x2APIC logical ids).
 *
 * Invariants: a message is delivered at once and in VP order, so delivery status always reads idle; a destination that
 * names nobody is lost without an error, as on hardware since the Pentium 4; choice is never random: a lowest-priority message
 * goes to the VP with the lowest processor priority, among equals to the lowest index. Left out: SMI (there is no SMM) and the
 * INIT level de-assert message (ignored, as on those processors). A fixed IPI is edge-triggered whatever ICR's trigger bit
 * says.
 */
#include "cpu/lapic.h"

#include "cpu/vcpu.h"

#define BROADCAST 0xffffffffu

/* A message, before it is known whom it reaches. */
struct message {
    uint32_t destination; /* BROADCAST: everybody */
    bool logical;
    enum delivery_mode mode;
    uint8_t vector;
    bool level;
};

/* xAPIC logical destination, SDM 3A §10.6.2.2: flat model (DFR 0xF) or clusters (DFR 0). */
static bool logical_matches(const struct lapic *l, uint32_t destination)
{
    if (lapic_is_x2(l)) {
        return l->ldr >> 16 == destination >> 16 && (l->ldr & destination & 0xffff) != 0;
    }
    if (destination > 0xff) {
        return false;
    }
    uint32_t own = l->ldr >> 24;
    switch (l->dfr >> 28) {
    case 0xf:
        return (own & destination) != 0;
    case 0:
        return (destination >> 4 == 0xf || destination >> 4 == own >> 4) && (own & destination & 0xf) != 0;
    default:
        return false;
    }
}

static bool is_target(const struct vcpu *v, const struct message *m)
{
    if (m->destination == BROADCAST) {
        return true;
    }
    return m->logical ? logical_matches(&v->lapic, m->destination) : v->lapic.id == m->destination;
}

/* INIT: the run loop resets the VP. A start-up message that came before it is forgotten. */
static void deliver_init(struct vcpu *v)
{
    v->s.init_pending = true;
    v->s.sipi_pending = false;
    lapic_notice(v);
}

/* SIPI is taken only while waiting for it: by an application processor that an INIT has reached. SDM 3A §8.4.3. */
static bool deliver_startup(struct vcpu *v, uint8_t vector)
{
    bool will_wait = v->s.init_pending && !(v->lapic.base_msr & APIC_BASE_BSP);
    if (v->s.activity != VP_WAIT_SIPI && !will_wait) {
        return false;
    }
    v->s.sipi_vector = vector;
    v->s.sipi_pending = true;
    lapic_notice(v);
    return true;
}

static bool deliver(struct vcpu *v, const struct message *m)
{
    if (!lapic_is_enabled(&v->lapic)) {
        return false;
    }
    switch (m->mode) {
    case DELIVER_FIXED:
    case DELIVER_LOWEST:
        return lapic_interrupt(v, m->vector, m->level);
    case DELIVER_NMI:
        v->s.nmi_pending = true;
        lapic_notice(v);
        return true;
    case DELIVER_INIT:
        deliver_init(v);
        return true;
    case DELIVER_STARTUP:
        return deliver_startup(v, m->vector);
    case DELIVER_EXTINT:
        v->lapic.extint_message = true;
        lapic_notice(v);
        return true;
    default:
        return false;
    }
}

static struct vcpu *lowest_priority(struct cpu *c, const struct message *m, const struct vcpu *except)
{
    struct vcpu *best = NULL;
    for (unsigned i = 0; i < c->vp_count; i++) {
        struct vcpu *v = c->vps[i];
        if (v != except && is_target(v, m) && lapic_accepts(&v->lapic) && (best == NULL || lapic_ppr(v) < lapic_ppr(best))) {
            best = v;
        }
    }
    return best;
}

static unsigned send(struct cpu *c, const struct message *m, const struct vcpu *except)
{
    if (m->mode == DELIVER_LOWEST) {
        struct vcpu *v = lowest_priority(c, m, except);
        return v != NULL && deliver(v, m);
    }
    unsigned taken = 0;
    for (unsigned i = 0; i < c->vp_count; i++) {
        if (c->vps[i] != except && is_target(c->vps[i], m)) {
            taken += deliver(c->vps[i], m);
        }
    }
    return taken;
}

/* IOAPIC and MSI messages name 8 bits (0xFF: everybody); wider ids come from remapping interfaces. */
unsigned cpu_interrupt_message(struct cpu *c, uint32_t destination, bool logical, enum delivery_mode mode, uint8_t vector,
                               bool level_triggered)
{
    const struct message m = {.destination = destination == 0xff ? BROADCAST : destination,
                              .logical = logical,
                              .mode = mode,
                              .vector = vector,
                              .level = level_triggered};
    return send(c, &m, NULL);
}

/*  63            32 31   20 19 18 17 16  15   14  13 12  11  10  8 7     0
 * |  destination   |       | short |   | trig|lev|     |log | mode |vector|    SDM 3A figure 10-12 */
void lapic_send_ipi(struct vcpu *v, uint64_t icr)
{
    TRACE(v->trace, ipi, v->index, icr);
    enum shorthand { TO_DESTINATION, TO_SELF, TO_ALL, TO_OTHERS } shorthand = icr >> 18 & 3;
    struct message m = {.destination = (uint32_t)(icr >> 32),
                        .logical = icr >> 11 & 1,
                        .mode = (enum delivery_mode)(icr >> 8 & 7),
                        .vector = (uint8_t)icr};
    if ((m.mode == DELIVER_FIXED || m.mode == DELIVER_LOWEST) && m.vector < 16) {
        lapic_error(v, ERROR_SEND_VECTOR);
        return;
    }
    bool deassert = m.mode == DELIVER_INIT && (icr >> 14 & 3) == 2; /* level 0, trigger mode level */
    if (deassert || m.mode == DELIVER_EXTINT) {
        return; /* a reserved delivery mode in ICR, table 10-2 */
    }
    if (shorthand == TO_SELF) {
        deliver(v, &m);
        return;
    }
    if (shorthand != TO_DESTINATION || (!lapic_is_x2(&v->lapic) && m.destination == 0xff)) {
        m.destination = BROADCAST;
    }
    send(v->cpu, &m, shorthand == TO_OTHERS ? v : NULL);
}
