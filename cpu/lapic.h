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

struct lapic {
    uint64_t base_msr; /* IA32_APIC_BASE: enable 11, x2APIC 10, BSP 8 */
    uint32_t id;       /* APIC id as a number (not shifted) */
    uint32_t ldr, dfr, svr, tpr, esr, esr_pending, icr_low, icr_high;
    uint32_t lvt[7]; /* CMCI (unused), timer, thermal, perf, LINT0, LINT1, error: enum lapic_lvt */
    uint32_t irr[8], isr[8], tmr[8];
    uint32_t timer_initial, timer_divide;
    uint64_t timer_start_cycle; /* cycle at which timer_initial was loaded */
    uint64_t tsc_deadline;
    bool extint_line;
};
enum lapic_lvt { LVT_CMCI, LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR };

enum delivery_mode { DELIVER_FIXED, DELIVER_LOWEST, DELIVER_SMI, DELIVER_RESERVED, DELIVER_NMI, DELIVER_INIT, DELIVER_STARTUP, DELIVER_EXTINT };

struct lapic *vp_lapic(struct vcpu *vp);
void lapic_create(struct vcpu *vp, int timer_event); /* timer_event: source in the event queue, see lapic_timer_due */
void lapic_reset(struct vcpu *vp, bool keep_id);     /* INIT keeps the id */
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
void lapic_set_cr8(struct vcpu *vp, uint64_t value);
void lapic_eoi(struct vcpu *vp);
/* ICR as x2APIC has it: destination in bits 63:32 as a number. */
void lapic_send_ipi(struct vcpu *vp, uint64_t icr);

/* An edge-triggered (or level) interrupt for this VP. Vectors below 16 set the error register. */
void lapic_interrupt(struct vcpu *vp, uint8_t vector, bool level_triggered);
/* A message on the APIC bus, from an IOAPIC or MSI. Returns the number of VPs that took it. */
unsigned cpu_interrupt_message(struct cpu *c, uint32_t destination, bool logical, enum delivery_mode mode, uint8_t vector, bool level_triggered);

/* For the run loop: the vector that may be delivered now (priority above PPR), or -1; ExtINT counts as 256. */
int lapic_pending(const struct vcpu *vp);
/* Moves it from IRR to ISR and returns it; for ExtINT asks the 8259. Spurious when it vanished. */
uint8_t lapic_acknowledge(struct vcpu *vp);
/* The event-queue callback of the timer. */
void lapic_timer_due(void *vp, uint64_t due_cycle);

#endif
