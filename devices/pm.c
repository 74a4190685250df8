/* ACPI fixed hardware: PM1a event and control, the 32-bit PM timer, sleep registers; and the reset control register CF9h.
 * ACPI 6.3 §4.8.3 (Fixed Hardware Registers), §4.8.3.7 (Sleep Control/Status); CF9h: Intel 82371SB (PIIX3) §2.6, RC register.
 *
 * The timer is a function of the clock: 3 579 545 Hz, 32 bits (TMR_VAL_EXT). Its carry sets TMR_STS whenever bit 31 changes;
 * the event for it is armed only while TMR_EN is set and TMR_STS is not. SCI (ISA line 9, level) follows status AND enable. The
 * machine is always in ACPI mode: no SMI command port, SCI_EN reads 1. CF8h-CFBh as one 32-bit register would be PCI's
 * configuration address; there is no PCI, so such accesses meet nobody, and only a byte written to CF9h resets. Leaves out:
 * general-purpose events, fixed buttons, and sleep states other than S5 (not declared).
 */
#include "devices/pm.h"

#include <stdlib.h>

#include "devices/device.h"
#include "devices/trace_ids.h"

#define PM_TIMER_HZ 3579545ULL
enum { CARRY_BIT = 31 };
enum { PM1_TMR = 1 << 0, PM1_GBL = 1 << 5, PM1_RTC = 1 << 10, PM1_WAK = 1 << 15 };
enum { PM1_STATUS_BITS = PM1_TMR | PM1_GBL | PM1_RTC | PM1_WAK, PM1_ENABLE_BITS = PM1_TMR | PM1_GBL | PM1_RTC };
enum { CNT_SCI_EN = 1 << 0, CNT_KEPT = 7 << 10 | 1 << 1, CNT_SLP_EN = 1 << 13 };
enum { SLEEP_SLP_EN = 1 << 5, SLEEP_KEPT = 7 << 2, SLEEP_WAK = 1 << 7 };
enum { RESET_CPU = 1 << 2, RESET_KEPT = 1 << 1 | 1 << 3 };

struct pm {
    struct machine *machine;
    struct irq_lines *irqs;
    unsigned source;
    int event;
    uint16_t status, enable, control;
    uint8_t sleep_control, reset_control;
    uint64_t carries; /* changes of the timer's bit 31 that TMR_STS has shown */
};

static uint64_t pm_ticks(const struct pm *p)
{
    return clock_ticks(&p->machine->clock, machine_now(p->machine), PM_TIMER_HZ);
}

/* TMR_STS, the line, and the event for the next carry. */
static void pm_drive(struct pm *p)
{
    uint64_t carries = pm_ticks(p) >> CARRY_BIT;
    if (carries != p->carries) {
        p->carries = carries;
        p->status |= PM1_TMR;
    }
    irq_set(p->irqs, p->source, p->status & p->enable);
    uint64_t due = CYCLE_NEVER;
    if ((p->enable & PM1_TMR) && !(p->status & PM1_TMR)) {
        due = clock_cycle_of_ticks(&p->machine->clock, (carries + 1) << CARRY_BIT, PM_TIMER_HZ);
    }
    if (due != CYCLE_NEVER && due > machine_now(p->machine)) {
        event_arm(p->machine->events, p->event, due);
    } else {
        event_disarm(p->machine->events, p->event);
    }
}

static void pm_due(void *device, uint64_t due_cycle)
{
    pm_drive(device);
}

static void pm_line(void *device, unsigned irq, bool level)
{
    struct pm *p = device;
    if (irq == RTC_IRQ && level) {
        p->status |= PM1_RTC;
        pm_drive(p);
    }
}

static void power_off(struct pm *p, uint16_t port, uint32_t value)
{
    TRACE(p->machine->trace, power_off, TRACE_NO_VP, port, value);
    machine_end(p->machine, END_POWEROFF, 0);
}

/* ---- PM1 block: 12 bytes of registers, any part of which may be read or written ---- */

static uint32_t word_at(const struct pm *p, unsigned offset)
{
    switch (offset) {
    case 0:
        return p->status;
    case 2:
        return p->enable;
    case 4:
        return p->control | CNT_SCI_EN;
    case 8:
        return (uint32_t)pm_ticks(p) & 0xffff;
    case 10:
        return (uint32_t)pm_ticks(p) >> 16;
    default:
        return 0;
    }
}

static uint32_t pm_in(void *device, uint16_t port, unsigned bytes)
{
    struct pm *p = device;
    unsigned offset = port - PM1_EVENT_PORT, word = offset & ~1u;
    pm_drive(p);
    uint64_t value = word_at(p, word) | (uint64_t)word_at(p, word + 2) << 16 | (uint64_t)word_at(p, word + 4) << 32;
    return (uint32_t)(value >> 8 * (offset & 1));
}

/* `mask` has the bits of the word that this access writes. */
static void word_write(struct pm *p, unsigned offset, uint16_t value, uint16_t mask)
{
    switch (offset) {
    case 0:
        p->status &= ~(value & mask); /* write 1 to clear */
        break;
    case 2:
        p->enable = ((p->enable & ~mask) | (value & mask)) & PM1_ENABLE_BITS;
        break;
    case 4:
        p->control = ((p->control & ~mask) | (value & mask)) & CNT_KEPT;
        if ((value & mask & CNT_SLP_EN) && (p->control >> 10 & 7) == SLEEP_TYPE_S5) {
            power_off(p, PM1_CONTROL_PORT, value);
        }
        break;
    default:
        break; /* the timer is read-only */
    }
}

static void pm_out(void *device, uint16_t port, unsigned bytes, uint32_t value)
{
    struct pm *p = device;
    unsigned offset = port - PM1_EVENT_PORT, shift = 8 * (offset & 1);
    uint64_t mask = ((1ULL << 8 * bytes) - 1) << shift, bits = (uint64_t)value << shift;
    pm_drive(p);
    for (unsigned word = offset & ~1u; mask != 0; word += 2, mask >>= 16, bits >>= 16) {
        word_write(p, word, (uint16_t)bits, (uint16_t)mask);
    }
    pm_drive(p);
}

/* ---- sleep registers ---- */

static uint32_t sleep_in(void *device, uint16_t port, unsigned bytes)
{
    struct pm *p = device;
    return port == SLEEP_CONTROL_PORT ? p->sleep_control : 0; /* WAK_STS: nothing ever woke this machine */
}

static void sleep_out(void *device, uint16_t port, unsigned bytes, uint32_t value)
{
    struct pm *p = device;
    if (port == SLEEP_CONTROL_PORT) {
        p->sleep_control = value & SLEEP_KEPT;
        if ((value & SLEEP_SLP_EN) && (value >> 2 & 7) == SLEEP_TYPE_S5) {
            power_off(p, port, value);
        }
    }
}

/* ---- CF9h, amid the ports of a PCI that is not there ---- */

static uint32_t reset_in(void *device, uint16_t port, unsigned bytes)
{
    struct pm *p = device;
    return port == RESET_PORT && bytes == 1 ? p->reset_control : UINT32_MAX;
}

/* RST_CPU rising resets; SYS_RST and FULL_RST choose how hard, which is all the same here. */
static void reset_out(void *device, uint16_t port, unsigned bytes, uint32_t value)
{
    struct pm *p = device;
    if (port != RESET_PORT || bytes != 1) {
        return;
    }
    p->reset_control = value & RESET_KEPT;
    if (value & RESET_CPU) {
        TRACE(p->machine->trace, reset_request, TRACE_NO_VP, port, value);
        machine_end(p->machine, END_RESET, 0);
    }
}

/* ---- the device ---- */

static void *pm_create(const struct device_env *env)
{
    static const struct port_ops ops = {pm_in, pm_out, 4}, sleep_ops = {sleep_in, sleep_out, 1},
                                 reset_ops = {reset_in, reset_out, 4};
    struct pm *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return NULL;
    }
    p->machine = env->machine;
    p->irqs = env->irqs;
    p->source = irq_connect(env->irqs, SCI_IRQ);
    p->event = event_add(env->machine->events, "pm-timer", pm_due, p);
    if (!ports_add(env->machine->ports, "pm", PM1_EVENT_PORT, SLEEP_CONTROL_PORT - PM1_EVENT_PORT, &ops, p) ||
        !ports_add(env->machine->ports, "sleep", SLEEP_CONTROL_PORT, 2, &sleep_ops, p) ||
        !ports_add(env->machine->ports, "reset", RESET_PORT - 1, 4, &reset_ops, p)) {
        free(p);
        return NULL;
    }
    irq_listen(env->irqs, pm_line, p);
    return p;
}

static void pm_reset(void *device)
{
    struct pm *p = device;
    p->status = p->enable = p->control = 0;
    p->sleep_control = p->reset_control = 0;
    p->carries = pm_ticks(p) >> CARRY_BIT;
    pm_drive(p);
}

static void pm_state(struct state *s, void *device)
{
    struct pm *p = device;
    state_section(s, "pm", 1);
    state_u16(s, &p->status);
    state_u16(s, &p->enable);
    state_u16(s, &p->control);
    device_state_bits(s, &p->sleep_control, SLEEP_KEPT, "pm: sleep control");
    device_state_bits(s, &p->reset_control, RESET_KEPT, "pm: reset control");
    state_u64(s, &p->carries);
    if ((p->status & ~PM1_STATUS_BITS) || (p->enable & ~PM1_ENABLE_BITS) || (p->control & ~CNT_KEPT)) {
        state_fail(s, "pm: reserved bits are set");
    }
}

const struct device_type pm_device = {"pm", pm_create, pm_reset, pm_state, free};
