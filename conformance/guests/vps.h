/* What probes about several VPs share: enough of them, their indices, and what it takes to call a feature withheld. */
#ifndef GUESTS_VPS_H
#define GUESTS_VPS_H

#include "kit.h"

enum { HV_STATUS_INVALID_VTL_STATE = 0x51, HV_STATUS_INVALID_DEVICE_ID = 0x57 };
#define HV_PARTITION_ID_SELF 0xffffffffffffffffULL
#define HV_VP_INDEX_SELF 0xfffffffeU

/* The test is about what a guest meets without the bit. */
#define NEEDS_WITHHELD(bit)                                                                                                    \
    do {                                                                                                                       \
        if (!hv_present() || has(bit)) {                                                                                       \
            skip("%s is announced", #bit);                                                                                     \
            return;                                                                                                            \
        }                                                                                                                      \
    } while (0)
/* All VPs run, and there are as many as that. */
#define NEEDS_VPS(count)                                                                                                       \
    do {                                                                                                                       \
        if (vp_count() < (count)) {                                                                                            \
            skip("%u VPs, not %u", vp_count(), (unsigned)(count));                                                             \
            return;                                                                                                            \
        }                                                                                                                      \
        smp_start();                                                                                                           \
    } while (0)
/* The hypercall page stands, or the test has nothing to ask. */
#define NEEDS_CALLS()                                                                                                          \
    do {                                                                                                                       \
        if (!has(AccessHypercallMsrs) || !hv_enable()) {                                                                       \
            skip("no hypercall page");                                                                                         \
            return;                                                                                                            \
        }                                                                                                                      \
    } while (0)

static void vp_index_job(void *to)
{
    *(uint64_t *)to = rdmsr(HV_X64_MSR_VP_INDEX);
}

/* The hypervisor's index of a VP; without the MSR the kit's own order. */
__attribute__((unused)) static unsigned vp_index(unsigned vp)
{
    uint64_t index = vp;
    if (has(AccessVpIndex)) {
        on_vp(vp, vp_index_job, &index);
    }
    return (unsigned)index;
}

/* ---- work on another VP in one line ---- */

struct msr_access {
    uint32_t msr;
    unsigned vector;
    uint64_t value;
};

static void msr_read_job(void *a)
{
    struct msr_access *m = a;
    m->vector = rdmsr_try(m->msr, &m->value);
}

static void msr_write_job(void *a)
{
    struct msr_access *m = a;
    m->vector = wrmsr_try(m->msr, m->value);
}

__attribute__((unused)) static uint64_t rdmsr_on(unsigned vp, uint32_t msr)
{
    struct msr_access m = {.msr = msr};
    on_vp(vp, msr_read_job, &m);
    EXPECT(m.vector == NO_FAULT, "RDMSR 0x%x on VP %u: exception %u", msr, vp, m.vector);
    return m.value;
}

__attribute__((unused)) static unsigned wrmsr_on(unsigned vp, uint32_t msr, uint64_t value)
{
    struct msr_access m = {.msr = msr, .value = value};
    on_vp(vp, msr_write_job, &m);
    return m.vector;
}

/* A read and a write both raise #GP. */
__attribute__((unused)) static bool msr_absent(uint32_t msr)
{
    uint64_t value;
    return rdmsr_try(msr, &value) == VEC_GP && wrmsr_try(msr, 0) == VEC_GP;
}

/* Takes what is pending: interrupts on for that long. */
__attribute__((unused)) static void take_interrupts(uint64_t for_100ns)
{
    bool before = irqs(true);
    spin_100ns(for_100ns);
    irqs(before);
}

#endif
