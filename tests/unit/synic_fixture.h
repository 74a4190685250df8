/* For tests of the SynIC: registers by name, slots and flags as a guest sees them. No VP runs: the clock jumps from event to
 * event. */
#ifndef ORRERY_TESTS_SYNIC_FIXTURE_H
#define ORRERY_TESTS_SYNIC_FIXTURE_H

#include "tests/unit/tlfs_fixture.h"

enum {
    SCONTROL = 0x40000080,
    SVERSION = 0x40000081,
    SIEFP = 0x40000082,
    SIMP = 0x40000083,
    EOM = 0x40000084,
    SINT0 = 0x40000090
};
enum { MASKED = 1 << 16, AUTO_EOI = 1 << 17, POLLING = 1 << 18 };
#define SIM_AT 0x300000ULL
#define SIEF_AT 0x301000ULL
#define VP_STRIDE 0x10000ULL

static struct partition *p;

static inline uint64_t sim_at(unsigned vp)
{
    return SIM_AT + vp * VP_STRIDE;
}
/* Both pages of a VP, its SynIC, and one SINT; the local APIC takes interrupts. */
static inline void synic_on(unsigned vp, unsigned sint, uint64_t value)
{
    cr_assert(wr(p, vp, SIMP, sim_at(vp) | 1) == MSR_OK && wr(p, vp, SIEFP, (SIEF_AT + vp * VP_STRIDE) | 1) == MSR_OK);
    cr_assert(wr(p, vp, SINT0 + sint, value) == MSR_OK && wr(p, vp, SCONTROL, 1) == MSR_OK);
}
static inline void synic_setup(const char *profile)
{
    p = partition_of(profile, 2, GHZ, VENDOR_AMD);
    sleep_all(p);
    apic_on(p);
}

struct slot { /* HV_MESSAGE */
    uint32_t type;
    uint8_t payload_bytes, flags;
    uint16_t reserved;
    uint64_t origin;
    uint8_t payload[240];
};
_Static_assert(sizeof(struct slot) == 256, "HV_MESSAGE_SIZE");

static inline struct slot slot_of(unsigned vp, unsigned sint)
{
    struct slot s;
    cr_assert(memory_read(p->machine->memory, gpa(sim_at(vp) + 256 * sint), &s, sizeof s));
    return s;
}
static inline void slot_free(unsigned vp, unsigned sint)
{
    static const uint32_t none;
    cr_assert(memory_write(p->machine->memory, gpa(sim_at(vp) + 256 * sint), &none, sizeof none));
}
static inline bool flag_of(unsigned vp, unsigned sint, unsigned flag)
{
    uint8_t byte = 0;
    cr_assert(memory_read(p->machine->memory, gpa(SIEF_AT + vp * VP_STRIDE + 256 * sint + flag / 8), &byte, 1));
    return byte >> flag % 8 & 1;
}
static inline hv_status_t post(unsigned vp, unsigned sint, uint32_t type)
{
    return host_post(p, vp, sint, type, &type, sizeof type);
}
/* Runs to a cycle; all asleep, so the clock then stands exactly there. */
static inline void run_to(uint64_t cycle)
{
    if (partition_run(p, cycle) == PARTITION_END) {
        cr_assert(p->machine->end == END_HALTED && events_next(p->machine->events) == CYCLE_NEVER);
        p->machine->end = END_NONE;
        p->machine->clock.cycle = cycle;
    }
    cr_assert_eq(p->machine->clock.cycle, cycle);
}
static inline bool in_service(unsigned vp, uint8_t vector)
{
    return vp_lapic(p->vps[vp].vcpu)->isr[vector / 32] >> vector % 32 & 1;
}
/* The whole partition through a file into a twin; false when the twin refuses it. */
static inline bool through_file(struct partition *to)
{
    struct state *s = state_begin_save();
    machine_state(s, p->machine);
    partition_state(s, p);
    size_t length;
    uint8_t *bytes = state_finish_save(s, &length);
    state_end(s);
    cr_assert(bytes != NULL);
    s = state_begin_restore(bytes, length);
    machine_state(s, to->machine);
    partition_state(s, to);
    bool ok = state_finish_restore(s);
    state_end(s);
    free(bytes);
    return ok;
}

#endif
