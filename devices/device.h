/* What a device is: one file that ends in one `const struct device_type`. All types stand in one table, in start order
 * (devices/platform.c). A device owns its registers; it touches the machine only through regions, events and lines.
 */
#ifndef ORRERY_DEVICES_DEVICE_H
#define ORRERY_DEVICES_DEVICE_H

#include "cpu/cpu.h"
#include "devices/irq.h"
#include "machine/machine.h"

struct platform_config;

/* Where a device plugs in. All are borrowed and outlive the device. */
struct device_env {
    struct machine *machine;
    struct cpu *cpu;
    struct irq_lines *irqs; /* ISA interrupt lines 0-15: to the 8259 pair and the IOAPIC */
    const struct platform_config *config;
};
struct device_type {
    const char *name;
    /* NULL on failure of the host. Regions, lines and events are registered here, in a fixed order; reset follows. */
    void *(*create)(const struct device_env *env);
    void (*reset)(void *device);
    void (*state)(struct state *s, void *device); /* one visitor: save, restore, digest */
    void (*destroy)(void *device);
};

extern const struct device_type pic_device, ioapic_device, pit_device, rtc_device, pm_device, kbc_device, uart_device,
    debug_device;

/* A visited byte that may not exceed `max`: refused on restore otherwise. */
static inline void device_state_u8(struct state *s, uint8_t *v, uint8_t max, const char *what)
{
    uint32_t wide = *v;
    state_u32_in(s, &wide, 0, max, what);
    *v = (uint8_t)wide;
}
/* A register that has only the bits of `mask`. */
static inline void device_state_bits(struct state *s, uint8_t *v, uint8_t mask, const char *what)
{
    state_u8(s, v);
    if ((*v & ~mask) != 0) {
        state_fail(s, "%s: reserved bits are set", what);
        *v = 0;
    }
}

#endif
