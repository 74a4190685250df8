/* What the tests of tlfs/ share: a partition, MSR accesses by its hooks, small 64-bit guests. */
#ifndef ORRERY_TESTS_TLFS_FIXTURE_H
#define ORRERY_TESTS_TLFS_FIXTURE_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/lapic.h"
#include "scenarios/boot.h"
#include "tlfs/hypervisor.h"

#define GHZ 1000000000ULL
#define MIB (1ULL << 20)
enum { CODE = 0x100000 };

/* ASan's and criterion's allocations differ, so tests free what they make. */
static struct partition *partition_of(const char *profile_name, unsigned vps, uint64_t hz, enum cpu_vendor vendor)
{
    struct profile profile;
    if (profile_name != NULL) {
        cr_assert(profile_find(profile_name, &profile));
    }
    struct partition_config config = {
        .ram_bytes = 64 * MIB, .seed = 1, .turn_cycles = 1000, .profile = profile_name != NULL ? &profile : NULL};
    cr_assert(cpu_model_init(&config.cpu.model, "v2", vendor, hz, vps));
    config.cpu.cost = cost_table_by_name("ipc1");
    config.cpu.vps = vps;
    const char *why = "";
    struct partition *p = partition_create(&config, &why);
    cr_assert(p != NULL, "%s", why);
    return p;
}

static inline struct partition *fresh(const char *profile_name)
{
    return partition_of(profile_name, 2, GHZ, VENDOR_AMD);
}

static inline enum msr_outcome wr(struct partition *p, unsigned vp, uint32_t msr, uint64_t value)
{
    return hv_wrmsr(p, p->vps[vp].vcpu, msr, value);
}
static inline enum msr_outcome rd_outcome(struct partition *p, unsigned vp, uint32_t msr)
{
    uint64_t value;
    return hv_rdmsr(p, p->vps[vp].vcpu, msr, &value);
}
static inline uint64_t rd(struct partition *p, unsigned vp, uint32_t msr)
{
    uint64_t value = 0xdead;
    cr_assert(hv_rdmsr(p, p->vps[vp].vcpu, msr, &value) == MSR_OK, "RDMSR %x", msr);
    return value;
}

static inline uint64_t mem64(struct partition *p, uint64_t at)
{
    uint64_t v = 0;
    cr_assert(memory_read(p->machine->memory, gpa(at), &v, sizeof v));
    return v;
}
static inline void set_mem64(struct partition *p, uint64_t at, uint64_t v)
{
    cr_assert(memory_write(p->machine->memory, gpa(at), &v, sizeof v));
}

/* All VPs halted with interrupts off: only events move the clock. */
static inline void sleep_all(struct partition *p)
{
    for (unsigned i = 0; i < p->vp_count; i++) {
        struct vp_state s;
        vp_get_state(p->vps[i].vcpu, &s);
        s.activity = VP_HALTED;
        s.rflags &= ~RFLAGS_IF;
        cr_assert(vp_set_state(p->vps[i].vcpu, &s));
    }
}
/* The local APIC takes interrupts (as a guest's SVR write makes it). */
static inline void apic_on(struct partition *p)
{
    for (unsigned i = 0; i < p->vp_count; i++) {
        lapic_write(p->vps[i].vcpu, 0xf0, 0x1ff);
    }
}
static inline bool irr(struct partition *p, unsigned vp, uint8_t vector)
{
    return vp_lapic(p->vps[vp].vcpu)->irr[vector / 32] >> vector % 32 & 1;
}
static inline void irr_clear(struct partition *p, unsigned vp, uint8_t vector)
{
    vp_lapic(p->vps[vp].vcpu)->irr[vector / 32] &= ~(1u << vector % 32);
}

/* VP 0 in 64-bit (or other) mode at CODE, with a stack below it; the code ends in HLT by itself. */
static inline void guest(struct partition *p, enum boot_mode mode, uint64_t address, const void *code, size_t bytes)
{
    struct platform_config platform = {.vps = p->vp_count, .ram_bytes = 64 * MIB};
    struct boot_config config = {
        .kind = BOOT_FLAT, .kernel = {"test", code, bytes}, .address = address, .mode = mode, .platform = &platform};
    char why[200];
    cr_assert(boot_load(p->machine, p->cpu, &config, why, sizeof why) == 0, "%s", why);
    struct vp_state s;
    vp_get_state(p->vps[0].vcpu, &s);
    s.gpr[RSP] = mode == BOOT_MODE_16 ? 0x7000 : 0x80000;
    cr_assert(vp_set_state(p->vps[0].vcpu, &s));
}
/* Another VP in the state of VP 0, elsewhere. */
static inline void also(struct partition *p, unsigned vp, uint64_t rip, uint64_t rsi)
{
    struct vp_state s, other;
    vp_get_state(p->vps[0].vcpu, &s);
    vp_get_state(p->vps[vp].vcpu, &other);
    s.rip = rip;
    s.gpr[RSI] = rsi;
    s.gpr[RSP] = 0x80000 - 0x1000 * vp;
    s.tsc_offset = other.tsc_offset;
    cr_assert(vp_set_state(p->vps[vp].vcpu, &s));
}

struct whole_digest {
    struct state_digest state;
    struct memory_digest memory;
};
static inline struct whole_digest digest_of(struct partition *p)
{
    struct state *s = state_begin_digest();
    machine_state(s, p->machine);
    partition_state(s, p);
    struct whole_digest d = {.state = state_finish_digest(s)};
    state_end(s);
    cpu_drop_writable(p->cpu);
    d.memory = memory_digest(p->machine->memory);
    return d;
}
static inline bool digest_equal(struct whole_digest a, struct whole_digest b)
{
    return a.state.low == b.state.low && a.state.high == b.state.high && a.memory.low == b.memory.low &&
           a.memory.high == b.memory.high;
}

/* The trace events of one kind, as they come. */
enum { SEEN_MAX = 256 };
struct seen {
    unsigned count;
    struct trace_event event[SEEN_MAX];
};
static inline void seen_note(void *owner, const struct trace_event *e)
{
    struct seen *s = owner;
    if (s->count < SEEN_MAX) {
        s->event[s->count++] = *e;
    }
}
static inline void see(struct partition *p, const char *event, struct seen *s)
{
    *s = (struct seen){0};
    const struct trace_row *row = trace_row_by_name(p->machine->trace, event);
    cr_assert(row != NULL, "%s", event);
    trace_listen(p->machine->trace, row, seen_note, s);
}

#endif
