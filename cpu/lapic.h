/* Local APIC of one VP: xAPIC (MMIO page) and x2APIC (MSRs 0x800-0x83F). SDM 3A chapter 10.
 *
 * Plain state inside struct vcpu. Interrupts find their VP here: ICR, IOAPIC and MSI messages, synthetic interrupts.
 * A self-IPI is taken before the next instruction. The timer counts clock cycles divided by the divide configuration;
 * its input is LAPIC_TIMER_HZ of the partition clock. No pointers in struct lapic: the owner comes as an argument.
 */
#ifndef ORRERY_CPU_LAPIC_H
#define ORRERY_CPU_LAPIC_H

#include "cpu/cpu.h"

/* The bus clock that the APIC timer divides; HV_X64_MSR_APIC_FREQUENCY shows it. Never above the partition clock. */
#define LAPIC_TIMER_HZ 200000000ULL
static inline uint64_t lapic_timer_hz(const struct machine *m)
{
    return m->clock.hz < LAPIC_TIMER_HZ ? m->clock.hz : LAPIC_TIMER_HZ;
}

enum lapic_lvt { LVT_CMCI, LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVTS };

struct lapic {
    uint64_t base_msr; /* IA32_APIC_BASE: enable 11, x2APIC 10, BSP 8 */
    uint32_t id;       /* APIC id as a number (not shifted) */
    uint32_t ldr, dfr, svr, tpr;
    uint32_t esr, esr_pending;  /* as read; gathered since the last write */
    uint32_t icr_low, icr_high; /* icr_high: xAPIC has the destination in 31:24, x2APIC in all of it */
    uint32_t lvt[LVTS];         /* LVT_CMCI is not there: masked for ever */
    uint32_t irr[8], isr[8], tmr[8];
    /* The timer counts from timer_count at timer_start_cycle down to 0; a periodic one goes on with timer_initial, again and
     * again. */
    uint32_t timer_initial, timer_count, timer_divide;
    uint64_t timer_start_cycle;
    uint64_t tsc_deadline; /* 0: not armed */
    bool extint_message;   /* an ExtINT message came over the bus and waits */
    bool eoi_offered;      /* the highest vector in service may end, or has ended, without an EOI: see lapic_settle() */
};

enum delivery_mode {
    DELIVER_FIXED,
    DELIVER_LOWEST,
    DELIVER_SMI,
    DELIVER_RESERVED,
    DELIVER_NMI,
    DELIVER_INIT,
    DELIVER_STARTUP,
    DELIVER_EXTINT
};

struct lapic *vp_lapic(struct vcpu *vp);
void lapic_create(struct vcpu *vp,
                  int timer_event); /* timer_event: source in the event queue, see lapic_timer_due; resets too */
/* Power-on state. INIT keeps the id, and IA32_APIC_BASE with the mode it holds (SDM 3A §10.4.7.3, §10.12.5.1). */
void lapic_reset(struct vcpu *vp, bool keep_id);
/* What firmware leaves behind for a guest that knows only the 8259 pair ("virtual wire", MP specification §3.6.2.2):
 * software-enabled, LINT0 = ExtINT, LINT1 = NMI. For loaders that start a guest without a BIOS; VP 0 only. */
void lapic_virtual_wire(struct vcpu *vp);
/* Fields only: the section is the caller's. */
void lapic_state(struct state *s, struct vcpu *vp);

/* Register access by offset in the page (0x020..0x3F0). Misaligned or odd-sized accesses were already refused by the caller. */
uint32_t lapic_read(struct vcpu *vp, uint32_t offset);
void lapic_write(struct vcpu *vp, uint32_t offset, uint32_t value);
/* IA32_APIC_BASE, IA32_TSC_DEADLINE and x2APIC MSRs: MSR_NOT_MINE when `msr` is none of these or the mode has it not. */
enum msr_outcome lapic_rdmsr(struct vcpu *vp, uint32_t msr, uint64_t *value);
enum msr_outcome lapic_wrmsr(struct vcpu *vp, uint32_t msr, uint64_t value);
/* Where the MMIO page is now; UINT64_MAX when disabled or in x2APIC mode. */
uint64_t lapic_mmio_gpa(const struct vcpu *vp);

uint64_t lapic_cr8(const struct vcpu *vp);
void lapic_set_cr8(struct vcpu *vp, uint64_t value); /* bits 3:0 */
void lapic_eoi(struct vcpu *vp);
/* ICR as x2APIC has it: destination in bits 63:32 as a number. */
void lapic_send_ipi(struct vcpu *vp, uint64_t icr);

/* An edge-triggered (or level) interrupt for this VP; false when its local APIC is disabled. Vectors below 16 set the error
 * register. */
bool lapic_interrupt(struct vcpu *vp, uint8_t vector, bool level_triggered);
/* A message on the APIC bus, from an IOAPIC or MSI. Returns the number of VPs that took it. */
unsigned cpu_interrupt_message(struct cpu *c, uint32_t destination, bool logical, enum delivery_mode mode, uint8_t vector,
                               bool level_triggered);

/* For the run loop: the vector that may be delivered now (priority above PPR), or -1; ExtINT counts as 256. */
int lapic_pending(const struct vcpu *vp);
enum { PENDING_EXTINT = 256 };
/* Any interrupt at all has been requested, whatever its priority. */
bool lapic_requested(const struct vcpu *vp);
/* Moves it from IRR to ISR (and out again when hooks.ends_by_itself says so) and returns it; for ExtINT asks the 8259. Spurious
 * when it vanished. */
uint8_t lapic_acknowledge(struct vcpu *vp);
/* If the guest has ended an interrupt by an offer that it took (hooks.eoi_taken), the registers learn of it now. */
void lapic_settle(struct vcpu *vp);
/* The offer does not hold any more: what is in service ends by an EOI. */
void lapic_offer_withdraw(struct vcpu *vp);
/* The event-queue callback of the timer. */
void lapic_timer_due(void *vp, uint64_t due_cycle);
/* IA32_TIME_STAMP_COUNTER was written: the TSC deadline lies elsewhere on the clock. */
void lapic_tsc_changed(struct vcpu *vp);

/* ---- private to lapic*.c ---- */

enum lapic_error { ERROR_SEND_VECTOR = 1 << 5, ERROR_RECEIVE_VECTOR = 1 << 6, ERROR_REGISTER = 1 << 7 };
#define LVT_MASKED (1u << 16)
#define APIC_SOFTWARE_ENABLE (1u << 8) /* in SVR */
#define APIC_BASE_BSP (1ULL << 8)
#define APIC_BASE_EXTD (1ULL << 10)
#define APIC_BASE_ENABLE (1ULL << 11)

static inline bool lapic_is_x2(const struct lapic *l)
{
    return l->base_msr & APIC_BASE_EXTD;
}
static inline bool lapic_is_enabled(const struct lapic *l)
{
    return l->base_msr & APIC_BASE_ENABLE;
}
static inline bool lapic_accepts(const struct lapic *l)
{
    return lapic_is_enabled(l) && (l->svr & APIC_SOFTWARE_ENABLE);
}
void lapic_error(struct vcpu *vp, enum lapic_error error);
void lapic_lvt_trigger(struct vcpu *vp, enum lapic_lvt which); /* the event of an LVT entry happens */
void lapic_notice(struct vcpu *vp);                            /* something may be deliverable: look, wake */
void lapic_notice_if_pending(struct vcpu *vp);
uint8_t lapic_ppr(const struct vcpu *vp);

void lapic_timer_settle(struct vcpu *vp); /* before a change: what is due by now happens first */
void lapic_timer_arm(struct vcpu *vp);    /* after a change: the event queue learns the next expiry */
void lapic_timer_disarm(struct vcpu *vp);
uint32_t lapic_timer_current(const struct vcpu *vp);
void lapic_timer_set_initial(struct vcpu *vp, uint32_t value);
void lapic_timer_set_divide(struct vcpu *vp, uint32_t value);
uint64_t lapic_timer_deadline(struct vcpu *vp);
void lapic_timer_set_deadline(struct vcpu *vp, uint64_t tsc);
bool lapic_timer_is_deadline(const struct lapic *l);

#endif
