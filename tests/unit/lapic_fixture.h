/* A machine with some VPs and nothing else, for the tests of local APIC and MSRs. No VP runs: the clock is moved by hand. */
#ifndef ORRERY_TESTS_UNIT_LAPIC_FIXTURE_H
#define ORRERY_TESTS_UNIT_LAPIC_FIXTURE_H

#include <criterion/criterion.h>

#include "cpu/lapic.h"
#include "cpu/vcpu.h"

enum { GHZ = 1000000000 };

struct bench {
    struct machine *m;
    struct cpu *cpu;
    unsigned eois, activities, extint_acks;
    uint8_t last_eoi;
};

static inline void bench_eoi(void *owner, uint8_t vector)
{
    struct bench *b = owner;
    b->eois++;
    b->last_eoi = vector;
}
static inline uint8_t bench_extint(void *owner)
{
    struct bench *b = owner;
    b->extint_acks++;
    return 0x77;
}
static inline void bench_activity(void *owner, struct vcpu *v)
{
    struct bench *b = owner;
    b->activities++;
}

/* `features`: names to switch on, NULL at the end. */
static inline struct bench *bench_with(enum cpu_vendor vendor, unsigned vps, uint64_t hz, const char *const *features)
{
    struct bench *b = calloc(1, sizeof *b);
    const char *why = NULL;
    b->m = machine_create(1 << 20, hz, 1, &why);
    cr_assert_not_null(b->m, "%s", why ? why : "");
    struct cpu_config config = {.cost = cost_table_by_name("ipc1"), .vps = vps};
    cr_assert(cpu_model_init(&config.model, "v2", vendor, hz, vps));
    for (; features && *features; features++) {
        cr_assert(cpu_model_set(&config.model, *features, true, &why), "%s", why);
    }
    struct cpu_hooks hooks = {.owner = b, .eoi = bench_eoi, .extint_acknowledge = bench_extint, .activity = bench_activity};
    b->cpu = cpu_create(b->m, &config, &hooks);
    return b;
}
static inline struct bench *bench_create(unsigned vps)
{
    static const char *const features[] = {"x2apic", "tsc_deadline", NULL};
    return bench_with(VENDOR_AMD, vps, GHZ, features);
}
static inline void bench_destroy(struct bench *b)
{
    cpu_destroy(b->cpu);
    machine_destroy(b->m);
    free(b);
}
static inline struct vcpu *vp(struct bench *b, unsigned index)
{
    return cpu_vp(b->cpu, index);
}
static inline void advance_to(struct bench *b, uint64_t cycle)
{
    b->m->clock.cycle = cycle;
    events_run(b->m->events, cycle);
}
/* Software-enabled, as every operating system has it. */
static inline struct vcpu *enabled_vp(struct bench *b, unsigned index)
{
    lapic_write(vp(b, index), 0x0f0, 0x1ff);
    return vp(b, index);
}
static inline bool requested(struct vcpu *v, uint8_t vector)
{
    return lapic_read(v, 0x200 + vector / 32 * 16) >> (vector % 32) & 1;
}
static inline bool in_service(struct vcpu *v, uint8_t vector)
{
    return lapic_read(v, 0x100 + vector / 32 * 16) >> (vector % 32) & 1;
}
static inline uint32_t errors(struct vcpu *v)
{
    lapic_write(v, 0x280, 0);
    return lapic_read(v, 0x280);
}

#endif
