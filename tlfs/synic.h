/* SynIC of one VP: SINTs, message page (SIMP), event-flags page (SIEFP), message queues. TLFS 6.0b §11.2-11.5, §11.8, §11.9.
 * Private to tlfs/.
 *
 * A message waits in a numbered buffer (messages.h) in the queue of its SINT until its slot is empty; an event flag is a bit of
 * the page and is never queued. Both pages are true overlays: what they hold stays while they are disabled or moved, and is
 * zero after a reset.
 */
#ifndef ORRERY_TLFS_SYNIC_H
#define ORRERY_TLFS_SYNIC_H

#include "cpu/cpu.h"
#include "tlfs/messages.h"
#include "tlfs/overlays.h"
#include "tlfs/status.h"

struct partition;
struct hv_vp;

enum { SINTS = 16, EVENT_FLAGS = 2048 };

struct synic_registers {
    uint64_t scontrol;
    struct overlay_register siefp, simp;
    uint64_t sint[SINTS];
};

struct synic {
    struct message_queue queue[SINTS];
    uint64_t held_until_cycle[SINTS]; /* the host holds the slot: it counts as busy before this cycle */
    int event;                        /* the next attempt to deliver what waits */
};

void synic_create(struct partition *p, struct hv_vp *vp);
/* Registers, pages and queues as at creation. */
void synic_reset(struct hv_vp *vp);
/* Registers and held slots; fields only. The queues are messages_state()'s. */
void synic_state(struct state *s, struct hv_vp *vp);

/* May messages be directed to this VP; event flags to this SINT of it? HV_STATUS_SUCCESS or HV_STATUS_INVALID_SYNIC_STATE. */
hv_status_t synic_takes_messages(const struct hv_vp *vp);
hv_status_t synic_takes_events(const struct hv_vp *vp, unsigned sint);
/* The buffer goes to the end of the SINT's queue, and into the slot if it can. */
void synic_enqueue(struct hv_vp *vp, unsigned sint, uint32_t buffer);
/* Sets an event flag of a SINT that takes events; an interrupt when it was clear. */
void synic_signal(struct hv_vp *vp, unsigned sint, unsigned flag);
/* A timer's message. One that still waits is replaced: each timer has one buffer (§11.3.2). */
void synic_timer_message(struct hv_vp *vp, unsigned timer, unsigned sint, uint64_t due_100ns);
/* Until that cycle the slot counts as busy. */
void synic_hold_slot(struct hv_vp *vp, unsigned sint, uint64_t until_cycle);

/* The local APIC's questions (cpu_hooks). */
bool synic_waits(const struct hv_vp *vp); /* a message waits, for an EOI perhaps */
void synic_end_of_interrupt(struct hv_vp *vp, uint8_t vector);
bool synic_auto_eoi(const struct hv_vp *vp, uint8_t vector);

#endif
