/* What a device is: one file that ends in one `const struct device_type`. All types stand in one table, in start order
 * (devices/platform.c). A device owns its registers; it touches the machine only through regions, events and lines.
 */
#ifndef ORRERY_DEVICES_DEVICE_H
#define ORRERY_DEVICES_DEVICE_H

#include "cpu/cpu.h"
#include "machine/machine.h"

/* Where a device plugs in. */
struct device_env {
    struct machine *machine;
    struct cpu *cpu;
    struct irq_lines *irqs; /* ISA interrupt lines 0-15: to the 8259 pair and the IOAPIC */
    const struct platform_config *config;
};
struct device_type {
    const char *name;
    /* NULL on failure of the host. Regions and events are registered here, in a fixed order. */
    void *(*create)(const struct device_env *env);
    void (*reset)(void *device);
    void (*state)(struct state *s, void *device); /* one visitor: save, restore, digest */
    void (*destroy)(void *device);
};

/* ISA line `irq` (0-15) is driven high or low by one source. */
void irq_set(struct irq_lines *lines, unsigned irq, bool level);

#endif
