/* SynIC: registers, message slots, event flags, the interrupts of SINTs. TLFS 6.0b §11.2-11.5, §11.8, §11.9.
 *
 * Invariants: a message enters its slot only when the type there is zero, the type is its last word, and only then comes the
 * interrupt; what waits behind an occupied slot is announced in its MessagePending flag. Queues are looked at when a message
 * comes, at EOM, at the EOI of the SINT's vector, when SynIC or page are enabled, and again after RETRY_100NS while a slot
 * stays in use (§11.4 "on the order of milliseconds"). Chosen where the texts leave it open: a SINT may hold a vector below 16
 * while it is masked, for that is its own reset value; a VP's pages are open to all VPs; a page beyond the GPA space is written
 * unseen.
 */
#include "tlfs/synic.h"

#include <string.h>

#include "cpu/lapic.h"
#include "tlfs/hypervisor.h"
#include "tlfs/msr.h"

enum { HV_X64_MSR_SINT0 = 0x40000090 };
#define SCONTROL_ENABLE 1ULL
#define SINT_MASKED (1ULL << 16)
#define SINT_AUTO_EOI (1ULL << 17)
#define SINT_POLLING (1ULL << 18)
#define SINT_RESET SINT_MASKED
enum { SINT_VECTOR_LEAST = 16 };

/* HV_MESSAGE and HV_SYNIC_EVENT_FLAGS: one element of a page for each SINT (§11.9); see message.h for the order of the header.
 */
enum { ELEMENT_BYTES = 256 };
enum { SLOT_TYPE = 0, SLOT_PAYLOAD_BYTES = 4, SLOT_FLAGS = 5, SLOT_RESERVED = 6, SLOT_ORIGIN = 8, SLOT_PAYLOAD = 16 };
enum { FLAG_MESSAGE_PENDING = 1 };
/* HV_TIMER_MESSAGE_PAYLOAD, §13.3.1 */
enum { TIMER_INDEX = 0, TIMER_EXPIRATION = 8, TIMER_DELIVERY = 16, TIMER_BYTES = 24 };

enum { RETRY_100NS = 10000 };

/* ---- SINTs, §11.8.5 ---- */

static bool sint_polled(const struct hv_vp *vp, unsigned sint)
{
    return vp->registers.synic.sint[sint] & SINT_POLLING && profile_has(&vp->partition->profile, HV_SintPollingModeAvailable);
}

/* "Setting the polling bit will have the effect of unmasking an interrupt source" */
static bool sint_masked(const struct hv_vp *vp, unsigned sint)
{
    return vp->registers.synic.sint[sint] & SINT_MASKED && !sint_polled(vp, sint);
}

static bool sint_interrupts(const struct hv_vp *vp, unsigned sint)
{
    return !(vp->registers.synic.sint[sint] & SINT_MASKED) && !sint_polled(vp, sint);
}

/* Edge-triggered; lost when the SINT is masked or the local APIC takes none. */
static void sint_assert(struct hv_vp *vp, unsigned sint)
{
    if (sint_interrupts(vp, sint)) {
        uint8_t vector = (uint8_t)vp->registers.synic.sint[sint];
        bool taken = lapic_interrupt(vp->vcpu, vector, false);
        TRACE(vp->partition->machine->trace, sint_assert, hv_vp_index(vp), sint, vector, taken);
    }
}

bool synic_auto_eoi(const struct hv_vp *vp, uint8_t vector)
{
    for (unsigned sint = 0; sint < SINTS; sint++) {
        uint64_t value = vp->registers.synic.sint[sint];
        if (value & SINT_AUTO_EOI && (uint8_t)value == vector && sint_interrupts(vp, sint)) {
            return true;
        }
    }
    return false;
}

/* ---- pages, §11.9 ---- */

static bool synic_enabled(const struct hv_vp *vp)
{
    return vp->registers.synic.scontrol & SCONTROL_ENABLE;
}

static uint8_t *element(const struct hv_vp *vp, const struct overlay_register *page, unsigned sint)
{
    return overlay_host(vp->partition->machine->memory, page->overlay) + sint * ELEMENT_BYTES;
}

static uint8_t *element_to_write(const struct hv_vp *vp, const struct overlay_register *page, unsigned sint)
{
    overlay_touch(vp->partition->machine->memory, page->overlay);
    return element(vp, page, sint);
}

static uint32_t slot_type(const struct hv_vp *vp, unsigned sint)
{
    uint32_t type;
    memcpy(&type, element(vp, &vp->registers.synic.simp, sint) + SLOT_TYPE, sizeof type);
    return type;
}

static void slot_write(struct hv_vp *vp, unsigned sint, struct hv_message *m, bool more)
{
    uint8_t *slot = element_to_write(vp, &vp->registers.synic.simp, sint);
    if (m->type == HV_MESSAGE_TIMER_EXPIRED) {
        uint64_t now_100ns = partition_reference_time(vp->partition);
        memcpy(m->payload + TIMER_DELIVERY, &now_100ns, sizeof now_100ns);
    }
    slot[SLOT_PAYLOAD_BYTES] = m->payload_bytes;
    slot[SLOT_FLAGS] = more ? FLAG_MESSAGE_PENDING : 0;
    memset(slot + SLOT_RESERVED, 0, SLOT_ORIGIN - SLOT_RESERVED);
    memcpy(slot + SLOT_ORIGIN, &m->origin, sizeof m->origin);
    memcpy(slot + SLOT_PAYLOAD, m->payload, m->payload_bytes);
    memcpy(slot + SLOT_TYPE, &m->type, sizeof m->type);
}

/* ---- delivery, §11.4 ---- */

hv_status_t synic_takes_messages(const struct hv_vp *vp)
{
    bool takes = synic_enabled(vp) && vp->registers.synic.simp.value & OVERLAY_ENABLE;
    return takes ? HV_STATUS_SUCCESS : HV_STATUS_INVALID_SYNIC_STATE;
}

bool synic_waits(const struct hv_vp *vp)
{
    for (unsigned sint = 0; sint < SINTS; sint++) {
        if (vp->synic.queue[sint].count != 0) {
            return true;
        }
    }
    return false;
}

static bool slot_held(const struct hv_vp *vp, unsigned sint)
{
    return machine_now(vp->partition->machine) < vp->synic.held_until_cycle[sint];
}

static void deliver_first(struct hv_vp *vp, unsigned sint)
{
    struct partition *p = vp->partition;
    const struct message_queue *q = &vp->synic.queue[sint];
    if (q->count == 0 || synic_takes_messages(vp) != HV_STATUS_SUCCESS) {
        return;
    }
    struct hv_message *m = &p->messages.buffers[q->first].message;
    bool busy = slot_type(vp, sint) != HV_MESSAGE_TYPE_NONE;
    if (busy) {
        element_to_write(vp, &vp->registers.synic.simp, sint)[SLOT_FLAGS] |= FLAG_MESSAGE_PENDING;
    }
    if (busy || slot_held(vp, sint) || adversary_slot_busy(p)) {
        TRACE(p->machine->trace, message_wait, hv_vp_index(vp), sint, m->type, q->count);
        lapic_settle(vp->vcpu); /* an EOI must be heard from now on */
        lapic_offer_withdraw(vp->vcpu);
        return;
    }
    message_remove(p, q->first);
    slot_write(vp, sint, m, q->count != 0);
    TRACE(p->machine->trace, message_deliver, hv_vp_index(vp), sint, m->type, m->payload_bytes, m->origin, q->count);
    sint_assert(vp, sint);
}

/* When to look again at what still waits. An earlier moment stays: messages that come do not put the others off. */
static void schedule(struct hv_vp *vp)
{
    struct machine *m = vp->partition->machine;
    uint64_t now = machine_now(m), due = CYCLE_NEVER, armed = event_due(m->events, vp->synic.event);
    uint64_t retry = now + mul_div(RETRY_100NS, m->clock.hz, RATE_100NS_HZ) + 1;
    for (unsigned sint = 0; sint < SINTS; sint++) {
        if (vp->synic.queue[sint].count != 0 && synic_takes_messages(vp) == HV_STATUS_SUCCESS) {
            uint64_t next = slot_held(vp, sint) ? vp->synic.held_until_cycle[sint] : retry;
            due = next < due ? next : due;
        }
    }
    if (due == CYCLE_NEVER) {
        event_disarm(m->events, vp->synic.event);
    } else if (armed <= now || due < armed) {
        event_arm(m->events, vp->synic.event, due);
    }
}

static void scan(struct hv_vp *vp)
{
    for (unsigned sint = 0; sint < SINTS; sint++) {
        deliver_first(vp, sint);
    }
    schedule(vp);
}

static void retry_due(void *owner, uint64_t due_cycle)
{
    scan(owner);
}

void synic_enqueue(struct hv_vp *vp, unsigned sint, uint32_t buffer)
{
    message_append(vp->partition, hv_vp_index(vp), sint, buffer);
    deliver_first(vp, sint);
    schedule(vp);
}

/* §11.4: the EOI is one of the three occasions. */
void synic_end_of_interrupt(struct hv_vp *vp, uint8_t vector)
{
    bool found = false;
    for (unsigned sint = 0; sint < SINTS; sint++) {
        if (vp->synic.queue[sint].count != 0 && (uint8_t)vp->registers.synic.sint[sint] == vector) {
            deliver_first(vp, sint);
            found = true;
        }
    }
    if (found) {
        schedule(vp);
    }
}

void synic_timer_message(struct hv_vp *vp, unsigned timer, unsigned sint, uint64_t due_100ns)
{
    struct partition *p = vp->partition;
    uint32_t buffer = message_timer_buffer(hv_vp_index(vp), timer);
    struct message_buffer *b = &p->messages.buffers[buffer];
    bool in_place = b->queued && b->sint == sint;
    if (b->queued && !in_place) {
        message_remove(p, buffer);
    }
    b->message = (struct hv_message){.type = HV_MESSAGE_TIMER_EXPIRED, .payload_bytes = TIMER_BYTES};
    b->message.payload[TIMER_INDEX] = (uint8_t)timer;
    memcpy(b->message.payload + TIMER_EXPIRATION, &due_100ns, sizeof due_100ns);
    if (in_place) {
        deliver_first(vp, sint); /* it keeps its place in the queue */
        schedule(vp);
    } else {
        synic_enqueue(vp, sint, buffer);
    }
}

void synic_hold_slot(struct hv_vp *vp, unsigned sint, uint64_t until_cycle)
{
    vp->synic.held_until_cycle[sint] = until_cycle;
    TRACE(vp->partition->machine->trace, slot_hold, hv_vp_index(vp), sint, until_cycle);
    schedule(vp);
}

/* ---- event flags, §11.5 ---- */

hv_status_t synic_takes_events(const struct hv_vp *vp, unsigned sint)
{
    bool takes = synic_enabled(vp) && vp->registers.synic.siefp.value & OVERLAY_ENABLE && !sint_masked(vp, sint);
    return takes ? HV_STATUS_SUCCESS : HV_STATUS_INVALID_SYNIC_STATE;
}

void synic_signal(struct hv_vp *vp, unsigned sint, unsigned flag)
{
    const struct overlay_register *page = &vp->registers.synic.siefp;
    uint8_t bit = (uint8_t)(1 << flag % 8), *byte = element_to_write(vp, page, sint) + flag / 8;
    bool was_set = *byte & bit;
    *byte |= bit;
    TRACE(vp->partition->machine->trace, event_flag, hv_vp_index(vp), sint, flag, was_set);
    if (!was_set) {
        sint_assert(vp, sint);
    }
}

/* ---- MSRs, §11.8 ---- */

enum msr_outcome write_scontrol(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
    vp->registers.synic.scontrol = value;
    scan(vp);
    return MSR_OK;
}

enum msr_outcome read_sversion(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t *value)
{
    *value = 1;
    return MSR_OK;
}

enum msr_outcome write_siefp(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
    overlay_register_write(p, hv_vp_index(vp), msr, &vp->registers.synic.siefp, value);
    return MSR_OK;
}

enum msr_outcome write_simp(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
    overlay_register_write(p, hv_vp_index(vp), msr, &vp->registers.synic.simp, value);
    scan(vp);
    return MSR_OK;
}

/* The value is a trigger's and means nothing. */
enum msr_outcome write_eom(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
    TRACE(p->machine->trace, eom, hv_vp_index(vp), value);
    scan(vp);
    return MSR_OK;
}

static bool sint_valid(uint64_t value)
{
    return value & SINT_MASKED || (uint8_t)value >= SINT_VECTOR_LEAST;
}

enum msr_outcome write_sint(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
    if (!sint_valid(value)) {
        return MSR_GP;
    }
    vp->registers.synic.sint[msr - HV_X64_MSR_SINT0] = value;
    return MSR_OK;
}

/* ---- life ---- */

void synic_create(struct partition *p, struct hv_vp *vp)
{
    vp->synic.event = event_add(p->machine->events, "synic", retry_due, vp);
    for (unsigned sint = 0; sint < SINTS; sint++) {
        vp->registers.synic.sint[sint] = SINT_RESET;
    }
}

void synic_reset(struct hv_vp *vp)
{
    vp_page_reset(vp->partition, &vp->registers.synic.siefp);
    vp_page_reset(vp->partition, &vp->registers.synic.simp);
    vp->registers.synic.scontrol = 0;
    for (unsigned sint = 0; sint < SINTS; sint++) {
        vp->registers.synic.sint[sint] = SINT_RESET;
        vp->synic.held_until_cycle[sint] = 0;
        while (vp->synic.queue[sint].count != 0) {
            message_remove(vp->partition, vp->synic.queue[sint].first);
        }
    }
    event_disarm(vp->partition->machine->events, vp->synic.event);
}

void synic_state(struct state *s, struct hv_vp *vp)
{
    state_u64(s, &vp->registers.synic.scontrol);
    state_u64(s, &vp->registers.synic.siefp.value);
    state_u64(s, &vp->registers.synic.simp.value);
    for (unsigned sint = 0; sint < SINTS; sint++) {
        uint64_t *value = &vp->registers.synic.sint[sint];
        state_u64(s, value);
        state_u64(s, &vp->synic.held_until_cycle[sint]);
        if (state_restoring(s) && state_ok(s) && !sint_valid(*value)) {
            state_fail(s, "VP %u, SINT %u: impossible value 0x%llx", hv_vp_index(vp), sint, (unsigned long long)*value);
            *value = SINT_RESET;
        }
    }
}
