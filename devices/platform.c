/* The platform: all devices in start order, and the memory map.
 *
 * Devices are created, reset, visited in table order and destroyed in reverse; so regions, events and lines have the same
 * numbers in every process. Ports where nobody is (80h, PCI's CF8h-CFFh, VGA) need no row: reads there are all ones and writes
 * vanish.
 */
#include "devices/platform.h"

#include <stdlib.h>

#include "devices/ioapic.h"
#include "devices/pic.h"
#include "devices/trace_ids.h"
#include "devices/uart.h"

#define TRACE_EVENT TRACE_EVENT_ROW
const struct trace_row devices_trace_rows[] = {
#include "devices/trace.def"
};
#undef TRACE_EVENT

enum device_row { ROW_PIC, ROW_IOAPIC, ROW_PIT, ROW_RTC, ROW_PM, ROW_KBC, ROW_UART, ROW_DEBUG, DEVICES };

/* Interrupt controllers first: what others drive at reset must find them reset. */
static const struct device_type *const device_types[DEVICES] = {
    [ROW_PIC] = &pic_device, [ROW_IOAPIC] = &ioapic_device, [ROW_PIT] = &pit_device,   [ROW_RTC] = &rtc_device,
    [ROW_PM] = &pm_device,   [ROW_KBC] = &kbc_device,       [ROW_UART] = &uart_device, [ROW_DEBUG] = &debug_device,
};

struct platform {
    struct platform_config config;
    struct irq_lines *irqs;
    void *devices[DEVICES];
};

struct platform *platform_create(struct machine *m, struct cpu *c, const struct platform_config *config)
{
    struct platform *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return NULL;
    }
    p->config = *config;
    p->irqs = irq_lines_create(m);
    if (p->irqs == NULL) {
        platform_destroy(p);
        return NULL;
    }
    trace_declare(m->trace, devices_trace_rows, DEVICES_TRACE_ROWS);
    const struct device_env env = {.machine = m, .cpu = c, .irqs = p->irqs, .config = &p->config};
    for (unsigned i = 0; i < DEVICES; i++) {
        p->devices[i] = device_types[i]->create(&env);
        if (p->devices[i] == NULL) {
            platform_destroy(p);
            return NULL;
        }
    }
    platform_reset(p);
    return p;
}

void platform_destroy(struct platform *p)
{
    if (p == NULL) {
        return;
    }
    for (unsigned i = DEVICES; i-- > 0;) {
        if (p->devices[i] != NULL) {
            device_types[i]->destroy(p->devices[i]);
        }
    }
    irq_lines_destroy(p->irqs);
    free(p);
}

void platform_reset(struct platform *p)
{
    for (unsigned i = 0; i < DEVICES; i++) {
        device_types[i]->reset(p->devices[i]);
    }
}

void platform_state(struct state *s, struct platform *p)
{
    irq_lines_state(s, p->irqs);
    for (unsigned i = 0; i < DEVICES; i++) {
        device_types[i]->state(s, p->devices[i]);
    }
}

bool platform_console_input(struct platform *p, unsigned port, const uint8_t *bytes, size_t count)
{
    return uart_input(p->devices[ROW_UART], port, bytes, count);
}

void platform_eoi(void *platform, uint8_t vector)
{
    struct platform *p = platform;
    ioapic_eoi(p->devices[ROW_IOAPIC], vector);
}

uint8_t platform_extint_acknowledge(void *platform)
{
    struct platform *p = platform;
    return pic_acknowledge(p->devices[ROW_PIC]);
}

/* ---- memory map ---- */

enum { EBDA_START = 0x9fc00, VGA_START = 0xa0000, FIRMWARE_START = 0xe0000, MIB = 1 << 20, LAPIC_GPA = 0xfee00000 };

static unsigned e820_add(struct e820_entry *map, unsigned count, uint64_t from, uint64_t to, uint32_t type)
{
    if (from >= to) {
        return count;
    }
    map[count] = (struct e820_entry){from, to - from, type};
    return count + 1;
}

static uint64_t at_most(uint64_t a, uint64_t limit)
{
    return a < limit ? a : limit;
}

unsigned platform_e820(const struct platform_config *config, struct e820_entry map[E820_MAX])
{
    uint64_t low = at_most(config->ram_bytes, MEMORY_HOLE_GPA), high = config->ram_bytes - low;
    unsigned n = 0;
    n = e820_add(map, n, 0, at_most(low, EBDA_START), E820_RAM);
    n = e820_add(map, n, EBDA_START, at_most(low, VGA_START), E820_RESERVED);
    n = e820_add(map, n, FIRMWARE_START, at_most(low, MIB), E820_RESERVED);
    n = e820_add(map, n, MIB, low, E820_RAM);
    n = e820_add(map, n, IOAPIC_GPA, IOAPIC_GPA + IOAPIC_BYTES, E820_RESERVED);
    n = e820_add(map, n, LAPIC_GPA, LAPIC_GPA + 4096ULL, E820_RESERVED);
    n = e820_add(map, n, MEMORY_HIGH_GPA, MEMORY_HIGH_GPA + high, E820_RAM);
    return n;
}
