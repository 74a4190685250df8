/* IOAPIC with 24 redirection entries at FEC00000h. Intel 82093AA data sheet (290566-001).
 *
 * ISA line n is pin n; the PIT (line 0) is pin 2, as the MADT's override says; pin 0 and pins 16-23 have no wire.
 * Edge: a change to active sends one message; while masked it is lost (§3.2.4: not held pending). Level: while active, unmasked
 * and remote IRR clear, a message is sent; remote IRR is set when a local APIC took it, and cleared by the EOI of its vector.
 * Only Fixed and Lowest Priority can be level-triggered; the other modes need an edge and are sent on one.
 * Leaves out: the EOI register of later versions (version is 11h), and ExtINT from the 8259 pair through pin 0.
 */
#include "devices/ioapic.h"

#include <stdlib.h>

#include "cpu/lapic.h"
#include "devices/device.h"
#include "devices/trace_ids.h"

enum { REG_ID = 0, REG_VERSION = 1, REG_ARBITRATION = 2, REG_TABLE = 0x10 };
enum { OFFSET_SELECT = 0x00, OFFSET_WINDOW = 0x10 };

/* A redirection entry, low half: vector 7:0, delivery mode 10:8, logical 11, delivery status 12 (read-only, never busy here),
 * active low 13, remote IRR 14 (read-only), level 15, mask 16. High half: destination 31:24. */
#define RTE_LOGICAL (1u << 11)
#define RTE_ACTIVE_LOW (1u << 13)
#define RTE_REMOTE_IRR (1u << 14)
#define RTE_LEVEL (1u << 15)
#define RTE_MASK (1u << 16)
#define RTE_LOW_WRITABLE 0x0001afffu
#define RTE_HIGH_WRITABLE 0xff000000u

#define PINS_WIRED 0x0000fffeu

struct ioapic_rte {
    uint32_t low, high;
};
struct ioapic {
    struct machine *machine;
    struct cpu *cpu;
    uint8_t select;
    uint32_t id;     /* bits 27:24 */
    uint32_t inputs; /* electrical levels of the pins */
    struct ioapic_rte table[IOAPIC_PINS];
};

static enum delivery_mode rte_mode(const struct ioapic_rte *e)
{
    return (enum delivery_mode)(e->low >> 8 & 7);
}

static bool rte_is_level(const struct ioapic_rte *e)
{
    return (e->low & RTE_LEVEL) && (rte_mode(e) == DELIVER_FIXED || rte_mode(e) == DELIVER_LOWEST);
}

static bool pin_active(const struct ioapic *a, unsigned pin)
{
    bool high = a->inputs >> pin & 1;
    return (PINS_WIRED >> pin & 1) && high != !!(a->table[pin].low & RTE_ACTIVE_LOW);
}

static void pin_send(struct ioapic *a, unsigned pin)
{
    struct ioapic_rte *e = &a->table[pin];
    enum delivery_mode mode = rte_mode(e);
    if (mode == DELIVER_RESERVED || mode == DELIVER_STARTUP) {
        return; /* 82093AA §3.2.4: reserved */
    }
    uint8_t vector = e->low & 0xff;
    bool level = rte_is_level(e);
    unsigned taken = cpu_interrupt_message(a->cpu, e->high >> 24, e->low & RTE_LOGICAL, mode, vector, level);
    TRACE(a->machine->trace, ioapic_message, TRACE_NO_VP, pin, vector, mode, e->high >> 24, taken);
    if (level && taken != 0) {
        e->low |= RTE_REMOTE_IRR;
    }
}

/* A level-triggered pin that may send, sends. */
static void pin_service_level(struct ioapic *a, unsigned pin)
{
    struct ioapic_rte *e = &a->table[pin];
    if (rte_is_level(e) && pin_active(a, pin) && !(e->low & (RTE_MASK | RTE_REMOTE_IRR))) {
        pin_send(a, pin);
    }
}

static void ioapic_line(void *device, unsigned irq, bool level)
{
    struct ioapic *a = device;
    unsigned pin = irq == 0 ? 2 : irq;
    bool was_active = pin_active(a, pin);
    a->inputs = level ? a->inputs | 1u << pin : a->inputs & ~(1u << pin);
    struct ioapic_rte *e = &a->table[pin];
    if (rte_is_level(e)) {
        pin_service_level(a, pin);
    } else if (!was_active && pin_active(a, pin) && !(e->low & RTE_MASK)) {
        pin_send(a, pin);
    }
}

void ioapic_eoi(void *device, uint8_t vector)
{
    struct ioapic *a = device;
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        struct ioapic_rte *e = &a->table[pin];
        if ((e->low & RTE_REMOTE_IRR) && (e->low & 0xff) == vector) {
            e->low &= ~RTE_REMOTE_IRR;
            pin_service_level(a, pin);
        }
    }
}

static uint32_t register_read(const struct ioapic *a)
{
    switch (a->select) {
    case REG_ID:
    case REG_ARBITRATION: /* the arbitration id is loaded from the id */
        return a->id;
    case REG_VERSION:
        return (IOAPIC_PINS - 1) << 16 | 0x11;
    default:
        break;
    }
    unsigned word = a->select - REG_TABLE;
    if (a->select < REG_TABLE || word >= 2 * IOAPIC_PINS) {
        return 0;
    }
    const struct ioapic_rte *e = &a->table[word / 2];
    return word & 1 ? e->high : e->low;
}

static void register_write(struct ioapic *a, uint32_t value)
{
    TRACE(a->machine->trace, ioapic_write, TRACE_NO_VP, a->select, value);
    if (a->select == REG_ID) {
        a->id = value & 0x0f000000;
        return;
    }
    unsigned word = a->select - REG_TABLE;
    if (a->select < REG_TABLE || word >= 2 * IOAPIC_PINS) {
        return;
    }
    struct ioapic_rte *e = &a->table[word / 2];
    if (word & 1) {
        e->high = value & RTE_HIGH_WRITABLE;
    } else {
        e->low = (e->low & ~RTE_LOW_WRITABLE) | (value & RTE_LOW_WRITABLE);
        if (!rte_is_level(e)) {
            e->low &= ~RTE_REMOTE_IRR; /* undefined for edges (§3.2.4); systems switch to edge and back to clear it */
        }
    }
    pin_service_level(a, word / 2);
}

/* The registers want 32-bit accesses (§3.0). Narrower reads give the low bytes; a narrower write reaches the select register
 * only, whose upper bytes are reserved. The upper half of a 64-bit access meets nothing. */
static uint64_t ioapic_read(void *device, uint64_t offset, unsigned bytes)
{
    const struct ioapic *a = device;
    uint32_t value = offset == OFFSET_SELECT ? a->select : offset == OFFSET_WINDOW ? register_read(a) : 0;
    return bytes >= 4 ? value : value & ((1u << 8 * bytes) - 1);
}

static void ioapic_write(void *device, uint64_t offset, unsigned bytes, uint64_t value)
{
    struct ioapic *a = device;
    if (offset == OFFSET_SELECT) {
        a->select = (uint8_t)value;
    } else if (offset == OFFSET_WINDOW && bytes >= 4) {
        register_write(a, (uint32_t)value);
    }
}

static void *ioapic_create(const struct device_env *env)
{
    static const struct mmio_ops ops = {ioapic_read, ioapic_write};
    struct ioapic *a = calloc(1, sizeof *a);
    if (a == NULL) {
        return NULL;
    }
    a->machine = env->machine;
    a->cpu = env->cpu;
    if (!mmio_add(env->machine->memory, "ioapic", gpa(IOAPIC_GPA), IOAPIC_BYTES, &ops, a)) {
        free(a);
        return NULL;
    }
    irq_listen(env->irqs, ioapic_line, a);
    return a;
}

static void ioapic_reset(void *device)
{
    struct ioapic *a = device;
    a->select = 0;
    a->id = 0;
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        a->table[pin] = (struct ioapic_rte){.low = RTE_MASK};
    }
}

static void ioapic_state(struct state *s, void *device)
{
    struct ioapic *a = device;
    state_section(s, "ioapic", 1);
    state_u8(s, &a->select);
    state_u32(s, &a->id);
    state_u32(s, &a->inputs);
    uint32_t reserved = (a->id & ~0x0f000000u) | (a->inputs & ~PINS_WIRED);
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        struct ioapic_rte *e = &a->table[pin];
        state_u32(s, &e->low);
        state_u32(s, &e->high);
        reserved |= (e->low & ~(RTE_LOW_WRITABLE | RTE_REMOTE_IRR)) | (e->high & ~RTE_HIGH_WRITABLE);
    }
    if (reserved != 0) {
        state_fail(s, "ioapic: reserved bits are set");
    }
}

const struct device_type ioapic_device = {"ioapic", ioapic_create, ioapic_reset, ioapic_state, free};
