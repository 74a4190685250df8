/* A machine with one VP that never runs, and the platform: tests move the clock by hand and look at ports, lines and trace. */
#ifndef ORRERY_TESTS_DEVICES_FIXTURE_H
#define ORRERY_TESTS_DEVICES_FIXTURE_H

#include <criterion/criterion.h>
#include <string.h>

#include "cpu/lapic.h"
#include "devices/platform.h"
#include "devices/trace_ids.h"

enum { LOG_MAX = 4096, MHZ = 1000000 };
#define GHZ 1000000000ULL

struct rig {
    struct machine *machine;
    struct cpu *cpu;
    struct platform *platform;
    char console[LOG_MAX]; /* what the guest wrote, ports mixed */
    size_t console_length;
    struct trace_event last[DEVICES_TRACE_ROWS]; /* the last event of each row, and how many there were */
    unsigned seen[DEVICES_TRACE_ROWS];
    unsigned rises[IRQ_LINES]; /* of ISA lines, with the cycle of the last rise */
    uint64_t rise_cycle[IRQ_LINES];
    bool level[IRQ_LINES];
};

static void rig_console(void *owner, unsigned port, uint8_t byte)
{
    struct rig *r = owner;
    if (r->console_length < LOG_MAX - 1) {
        r->console[r->console_length++] = (char)byte;
    }
}

static void rig_trace(void *owner, const struct trace_event *e)
{
    struct rig *r = owner;
    if (e->row->id < TRACE_BLOCK_DEVICES || e->row->id >= TRACE_DEVICES_END) {
        return;
    }
    r->last[e->row->id - TRACE_BLOCK_DEVICES] = *e;
    r->seen[e->row->id - TRACE_BLOCK_DEVICES]++;
    if (e->row->id == TRACE_ID_irq_line) {
        unsigned irq = (unsigned)e->values[0];
        r->level[irq] = e->values[1];
        r->rises[irq] += r->level[irq];
        r->rise_cycle[irq] = r->level[irq] ? e->cycle : r->rise_cycle[irq];
    }
}

static inline unsigned rig_seen(const struct rig *r, unsigned trace_id)
{
    return r->seen[trace_id - TRACE_BLOCK_DEVICES];
}
static inline uint64_t rig_value(const struct rig *r, unsigned trace_id, unsigned field)
{
    return r->last[trace_id - TRACE_BLOCK_DEVICES].values[field];
}

/* 2026-01-01T00:00:00Z, a Thursday, unless `config` says otherwise. */
static inline struct platform_config rig_config(struct rig *r)
{
    return (struct platform_config){
        .vps = 1, .ram_bytes = 16 << 20, .rtc_unix_seconds = 1767225600, .console_output = rig_console, .console_owner = r};
}

static inline struct rig *rig_create_with(uint64_t clock_hz, const struct platform_config *config)
{
    const char *why = NULL;
    struct rig *r = config != NULL ? config->console_owner : calloc(1, sizeof *r);
    struct platform_config usual = rig_config(r);
    config = config != NULL ? config : &usual;
    r->machine = machine_create(config->ram_bytes, clock_hz, 1, &why);
    cr_assert_not_null(r->machine, "%s", why != NULL ? why : "");
    struct cpu_config cpu = {.cost = cost_table_by_name("ipc1"), .vps = config->vps};
    cr_assert(cpu_model_init(&cpu.model, "v2", VENDOR_AMD, clock_hz, config->vps));
    static const struct cpu_hooks hooks;
    r->cpu = cpu_create(r->machine, &cpu, &hooks);
    cr_assert_not_null(r->cpu);
    r->platform = platform_create(r->machine, r->cpu, config);
    cr_assert_not_null(r->platform);
    trace_listen(r->machine->trace, NULL, rig_trace, r);
    return r;
}
static inline struct rig *rig_create(void)
{
    return rig_create_with(GHZ, NULL);
}
static inline void rig_destroy(struct rig *r)
{
    platform_destroy(r->platform);
    cpu_destroy(r->cpu);
    machine_destroy(r->machine);
    free(r);
}

static inline uint8_t in8(struct rig *r, uint16_t port)
{
    return (uint8_t)ports_in(r->machine->ports, port, 1);
}
static inline void out8(struct rig *r, uint16_t port, uint8_t value)
{
    ports_out(r->machine->ports, port, 1, value);
}

/* The clock goes on to `cycle`; events run at their own moments. */
static inline void run_to(struct rig *r, uint64_t cycle)
{
    while (events_next(r->machine->events) <= cycle) {
        uint64_t due = events_next(r->machine->events);
        if (due > r->machine->clock.cycle) {
            r->machine->clock.cycle = due;
        }
        events_run(r->machine->events, r->machine->clock.cycle);
    }
    r->machine->clock.cycle = cycle;
}
static inline void run_for(struct rig *r, uint64_t cycles)
{
    run_to(r, r->machine->clock.cycle + cycles);
}

#endif
