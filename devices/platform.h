/* The platform of a machine: UARTs, 8259 pair, IOAPIC, PIT, RTC, PM timer and power, keyboard controller's reset, debug ports,
 * and the ACPI tables that describe them. */
#ifndef ORRERY_DEVICES_PLATFORM_H
#define ORRERY_DEVICES_PLATFORM_H

#include "devices/device.h"

enum { CONSOLE_DEBUG = 4 }; /* the port of console_output that is no UART */

struct platform_config {
    unsigned vps;
    uint64_t ram_bytes;
    int64_t rtc_unix_seconds; /* the wall clock at cycle 0 */
    bool vmbus;               /* the DSDT has the VMBus device */
    /* Bytes that the guest writes to a UART (port 0-3), or to the debug console (port 4), at an exact moment. May be NULL. */
    void (*console_output)(void *owner, unsigned port, uint8_t byte);
    void *console_owner;
};

/* Machine, processor and console_owner are borrowed; the configuration is copied. The devices are reset. NULL when the host has
 * no memory or a port or address is already taken. Registers events, ports and MMIO that stay with the machine: it ends first.
 */
struct platform;
struct platform *platform_create(struct machine *m, struct cpu *c, const struct platform_config *config);
void platform_destroy(struct platform *p);
void platform_reset(struct platform *p);
void platform_state(struct state *s, struct platform *p);
/* Bytes for a UART's receiver; taken one by one at the line's rate. False when the 4 KiB queue is full (nothing taken). */
bool platform_console_input(struct platform *p, unsigned port, const uint8_t *bytes, size_t count);
/* What cpu_hooks need from the platform (the partition's owner wires them): EOI of level interrupts, 8259 acknowledge. */
void platform_eoi(void *platform, uint8_t vector);
uint8_t platform_extint_acknowledge(void *platform);

/* ACPI tables, built into guest memory from E0000h on; returns the RSDP's GPA, 0 when RAM does not reach to 1 MiB. */
uint64_t acpi_build(struct machine *m, const struct platform_config *config);
/* The memory map in the layout of INT 15h E820h: sorted, without overlaps, within RAM; the number of entries. */
struct e820_entry {
    uint64_t base, bytes;
    uint32_t type; /* 1 RAM, 2 reserved, 3 ACPI, 4 NVS */
};
enum { E820_MAX = 16, E820_RAM = 1, E820_RESERVED = 2 };
unsigned platform_e820(const struct platform_config *config, struct e820_entry map[E820_MAX]);

#endif
