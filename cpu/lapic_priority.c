/* Local APIC: which interrupt comes next. Acceptance, priorities, acknowledge, EOI. SDM 3A §10.8, errors §10.5.3, ExtINT
 * §10.5.1.
 *
 * Invariants: vectors below 16 never stand in IRR or ISR; a change that can make an interrupt deliverable ends in
 * lapic_notice(), so that it is taken before the next instruction; nothing here keeps a summary of IRR or ISR: eight words are
 * searched from the top. While an offer stands (hooks.eoi_offer) the highest vector in service may be over without ISR knowing:
 * whoever looks at ISR asks in_service() or settles first; nothing that waits becomes deliverable by such an end, because a
 * request that would wait for it takes the offer back. Chosen where the SDM leaves it open: PPR[3:0] = TPR[3:0] when the
 * classes of TPR and ISR are equal; ExtINT comes before any vector.
 */
#include "cpu/lapic.h"

#include <string.h>

#include "cpu/vcpu.h"

/* ---- vectors and priorities, §10.8 ---- */

static int highest(const uint32_t bits[8])
{
    for (int i = 7; i >= 0; i--) {
        if (bits[i] != 0) {
            return 32 * i + 31 - __builtin_clz(bits[i]);
        }
    }
    return -1;
}

static bool has_vector(const uint32_t bits[8], uint8_t vector)
{
    return bits[vector / 32] >> (vector % 32) & 1;
}

static void put_vector(uint32_t bits[8], uint8_t vector, bool on)
{
    uint32_t bit = 1u << (vector % 32);
    bits[vector / 32] = on ? bits[vector / 32] | bit : bits[vector / 32] & ~bit;
}

/* Has the guest ended the highest vector in service without a word? Asked for as long as an offer stands. */
static bool offer_taken(const struct vcpu *v)
{
    const struct cpu_hooks *h = &v->cpu->hooks;
    return UNLIKELY(v->lapic.eoi_offered) && h->eoi_taken && h->eoi_taken(h->owner, v);
}

/* The highest vector in service, as the guest has it. */
static int in_service(const struct vcpu *v)
{
    int top = highest(v->lapic.isr);
    if (LIKELY(!offer_taken(v)) || top < 0) {
        return top;
    }
    uint32_t rest[8];
    memcpy(rest, v->lapic.isr, sizeof rest);
    put_vector(rest, (uint8_t)top, false);
    return highest(rest);
}

uint8_t lapic_ppr(const struct vcpu *v)
{
    int vector = in_service(v);
    unsigned class = vector < 0 ? 0 : (unsigned)vector & 0xf0;
    return (v->lapic.tpr & 0xf0) >= class ? (uint8_t)v->lapic.tpr : (uint8_t) class;
}

/* The 8259 pair reaches a VP through LINT0 as ExtINT, directly when the local APIC is off (§10.4.3), or by a message of the
 * IOAPIC. */
static bool extint_asserted(const struct vcpu *v)
{
    const struct lapic *l = &v->lapic;
    if (l->extint_message) {
        return true;
    }
    bool wired = !lapic_is_enabled(l) || (l->lvt[LVT_LINT0] & (LVT_MASKED | 0x700)) == DELIVER_EXTINT << 8;
    return v->cpu->extint_level && wired;
}

int lapic_pending(const struct vcpu *v)
{
    const struct lapic *l = &v->lapic;
    if (UNLIKELY(v->cpu->extint_level || l->extint_message) && extint_asserted(v)) {
        return PENDING_EXTINT;
    }
    int vector = highest(l->irr);
    return vector >= 0 && (vector & 0xf0) > (lapic_ppr(v) & 0xf0) ? vector : -1;
}

bool lapic_requested(const struct vcpu *v)
{
    return highest(v->lapic.irr) >= 0 || extint_asserted(v);
}

/* §10.8.5. The end of a level-triggered interrupt goes out to the IOAPICs. */
static void interrupt_ends(struct vcpu *v, uint8_t vector)
{
    const struct cpu_hooks *h = &v->cpu->hooks;
    put_vector(v->lapic.isr, vector, false);
    TRACE(v->trace, eoi, v->index, vector);
    if (has_vector(v->lapic.tmr, vector) && h->eoi) {
        h->eoi(h->owner, vector);
    }
}

/* By an EOI, or as an offer taken. */
static void interrupt_ended(struct vcpu *v, uint8_t vector)
{
    const struct cpu_hooks *h = &v->cpu->hooks;
    interrupt_ends(v, vector);
    if (h->end_of_interrupt) {
        h->end_of_interrupt(h->owner, v, vector);
    }
}

void lapic_settle(struct vcpu *v)
{
    int vector = highest(v->lapic.isr);
    if (offer_taken(v) && vector >= 0) {
        v->lapic.eoi_offered = false;
        v->account.eois_avoided++;
        interrupt_ended(v, (uint8_t)vector);
    }
}

void lapic_offer_withdraw(struct vcpu *v)
{
    const struct cpu_hooks *h = &v->cpu->hooks;
    if (v->lapic.eoi_offered && h->eoi_offer) {
        h->eoi_offer(h->owner, v, false);
    }
    v->lapic.eoi_offered = false;
}

/* `vector` has just come into service. Its end may go unheard when it is edge-triggered and nothing waits for it; an interrupt
 * that it interrupts loses its own offer either way, for only one end can be told. */
static void offer_make(struct vcpu *v, uint8_t vector)
{
    struct lapic *l = &v->lapic;
    const struct cpu_hooks *h = &v->cpu->hooks;
    bool offer = !has_vector(l->tmr, vector) && highest(l->irr) < 0;
    if (h->eoi_offer && (offer || l->eoi_offered)) {
        l->eoi_offered = h->eoi_offer(h->owner, v, offer);
    }
}

/* What was requested waits for an end that must therefore be heard. */
static void offer_reconsider(struct vcpu *v, uint8_t requested)
{
    lapic_settle(v);
    if (v->lapic.eoi_offered && (requested & 0xf0) <= (highest(v->lapic.isr) & 0xf0)) {
        lapic_offer_withdraw(v);
    }
}

uint8_t lapic_acknowledge(struct vcpu *v)
{
    struct lapic *l = &v->lapic;
    const struct cpu_hooks *h = &v->cpu->hooks;
    int vector = lapic_pending(v);
    if (vector == PENDING_EXTINT) {
        l->extint_message = false;
        return h->extint_acknowledge ? h->extint_acknowledge(h->owner) : (uint8_t)l->svr;
    }
    if (vector < 0) {
        return (uint8_t)l->svr; /* §10.9: the spurious vector, with nothing in service */
    }
    lapic_settle(v);
    put_vector(l->irr, (uint8_t)vector, false);
    put_vector(l->isr, (uint8_t)vector, true);
    if (h->ends_by_itself && h->ends_by_itself(h->owner, v, (uint8_t)vector)) {
        interrupt_ends(v, (uint8_t)vector);
    } else {
        offer_make(v, (uint8_t)vector);
    }
    return (uint8_t)vector;
}

void lapic_notice(struct vcpu *v)
{
    vp_attention(v);
    vp_kick(v);
    if (v->s.activity != VP_RUNNING && v->cpu->hooks.activity) {
        v->cpu->hooks.activity(v->cpu->hooks.owner, v);
    }
}

/* ---- acceptance, §10.8.4 ---- */

/* §10.5.3: bits gather until ESR is written; that write also arms the error interrupt again. */
void lapic_error(struct vcpu *v, enum lapic_error error)
{
    bool first = v->lapic.esr_pending == 0;
    v->lapic.esr_pending |= error;
    if (first) {
        lapic_lvt_trigger(v, LVT_ERROR);
    }
}

bool lapic_interrupt(struct vcpu *v, uint8_t vector, bool level_triggered)
{
    struct lapic *l = &v->lapic;
    if (!lapic_accepts(l)) {
        return false;
    }
    if (vector < 16) {
        lapic_error(v, ERROR_RECEIVE_VECTOR);
        return true;
    }
    put_vector(l->irr, vector, true);
    put_vector(l->tmr, vector, level_triggered);
    if (UNLIKELY(l->eoi_offered)) {
        offer_reconsider(v, vector);
    }
    lapic_notice(v);
    return true;
}

/* §10.5.1. Timer and error entries are always fixed. Fixed interrupts of LINT0 are taken at the edge. */
void lapic_lvt_trigger(struct vcpu *v, enum lapic_lvt which)
{
    uint32_t lvt = v->lapic.lvt[which];
    if ((lvt & LVT_MASKED) || !lapic_is_enabled(&v->lapic)) {
        return;
    }
    switch (which == LVT_TIMER || which == LVT_ERROR ? DELIVER_FIXED : (enum delivery_mode)(lvt >> 8 & 7)) {
    case DELIVER_FIXED:
        lapic_interrupt(v, (uint8_t)lvt, false);
        break;
    case DELIVER_NMI:
        v->s.nmi_pending = true;
        lapic_notice(v);
        break;
    case DELIVER_INIT:
        v->s.init_pending = true;
        lapic_notice(v);
        break;
    default: /* SMI is not built; ExtINT is a level, seen by lapic_pending(); the rest is reserved */
        break;
    }
}

void cpu_set_extint(struct cpu *c, bool level)
{
    bool rises = level && !c->extint_level;
    c->extint_level = level;
    for (unsigned i = 0; rises && i < c->vp_count; i++) {
        struct vcpu *v = c->vps[i];
        if (extint_asserted(v)) {
            lapic_notice(v);
        } else {
            lapic_lvt_trigger(v, LVT_LINT0);
        }
    }
}

void lapic_notice_if_pending(struct vcpu *v)
{
    if (lapic_pending(v) >= 0) {
        lapic_notice(v);
    }
}

void lapic_eoi(struct vcpu *v)
{
    lapic_settle(v);
    int vector = highest(v->lapic.isr);
    if (vector < 0) {
        return;
    }
    lapic_offer_withdraw(v);
    interrupt_ended(v, (uint8_t)vector);
    lapic_notice_if_pending(v);
}
