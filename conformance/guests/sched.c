/* HvNotifyLongSpinWait and what of scheduling a guest sees. Clauses: conformance/clauses/sched.yaml; TLFS 6.0b §14. */
#include "vps.h"

enum { CODE_SPIN = HvCallNotifyLongSpinWait };

#define NEEDS_SPIN()                                                                                                           \
    NEEDS_EDITION(EDITION_2_0, EDITION_LAST);                                                                                  \
    NEEDS_CALLS()

TEST(spin_fast, "sched.spin.fast", "sched.spin.privilege")
{
    NEEDS_SPIN();
    EXPECT_EQ(hv_fast(CODE_SPIN, 1000, 0), HV_STATUS_SUCCESS);
}

TEST(spin_any_count, "sched.spin.any-count", "sched.spin.only-success")
{
    NEEDS_SPIN();
    const uint64_t counts[] = {0, 1, 0x7fffffff, 0xffffffff};
    for (unsigned i = 0; i < ARRAY_COUNT(counts); i++) {
        EXPECT_EQ(hv_fast(CODE_SPIN, counts[i], 0), HV_STATUS_SUCCESS);
    }
    EXPECT_EQ_FOR("sched.spin.only-success", hv_fast(CODE_SPIN, ~0ULL, 0), HV_STATUS_SUCCESS);
}

TEST(spin_memory, "sched.spin.memory")
{
    NEEDS_SPIN();
    uint64_t *in = page_alloc();
    *in = 1000;
    EXPECT_EQ(hv_call(CODE_SPIN, gpa_of(in), 0), HV_STATUS_SUCCESS);
}

TEST(spin_is_simple, "sched.spin.simple")
{
    NEEDS_SPIN();
    EXPECT_EQ(HV_STATUS_OF(hv_fast(CODE_SPIN | HV_REPS(1), 1000, 0)), HV_STATUS_INVALID_HYPERCALL_INPUT);
    EXPECT_EQ(HV_STATUS_OF(hv_call(CODE_SPIN | HV_REPS(1), gpa_of(page_alloc()), 0)), HV_STATUS_INVALID_HYPERCALL_INPUT);
}

TEST(spin_repeated, "sched.spin.multiples")
{
    NEEDS_EDITION(EDITION_6_0, EDITION_LAST);
    NEEDS_CALLS();
    for (unsigned i = 1; i <= 20; i++) {
        EXPECT_EQ(hv_fast(CODE_SPIN, 0xfffULL * i, 0), HV_STATUS_SUCCESS);
    }
}

static void spin_job(void *status)
{
    *(uint64_t *)status = hv_fast(CODE_SPIN, 1000, 0);
}

TEST(spin_from_each_vp, "sched.spin.all-vps")
{
    NEEDS_SPIN();
    smp_start();
    for (unsigned vp = 0; vp < vp_count(); vp++) {
        uint64_t status = 1;
        on_vp(vp, spin_job, &status);
        EXPECT_EQ(status, HV_STATUS_SUCCESS);
    }
}

static volatile bool lock_held;

static void holder_job(void *unused)
{
    spin_100ns(200 * US_100NS);
    lock_held = false;
}

TEST(spin_lets_holder_run, "sched.spin.progress")
{
    NEEDS_SPIN();
    NEEDS_VPS(2);
    lock_held = true;
    on_vp_async(1, holder_job, NULL);
    uint64_t deadline = now_100ns() + 20 * MS_100NS;
    for (uint64_t spins = 1; lock_held && now_100ns() < deadline; spins++) {
        hv_fast(CODE_SPIN, spins, 0);
    }
    EXPECT(!lock_held, "the holder did not get to the end");
    vp_wait(1);
}

TEST(spin_count_announced, "sched.spin.count")
{
    NEEDS_EDITION(EDITION_2_0, EDITION_LAST);
    NEEDS_THAT(hv_present(), "no hypervisor");
    EXPECT(cpuid(HV_CPUID_RECOMMENDATIONS, 0).ebx != 0, "the count is zero");
}

static volatile uint32_t turns[KIT_VPS_MAX];
static volatile bool stop;

static void counting_job(void *turn)
{
    while (!stop) {
        (*(volatile uint32_t *)turn)++;
    }
}

TEST(every_vp_runs, "sched.fair")
{
    NEEDS_THAT(hv_present(), "no hypervisor");
    NEEDS_VPS(2);
    stop = false;
    for (unsigned vp = 1; vp < vp_count(); vp++) {
        turns[vp] = 0;
        on_vp_async(vp, counting_job, (void *)&turns[vp]);
    }
    spin_100ns(vp_count() * MS_100NS);
    stop = true;
    for (unsigned vp = 1; vp < vp_count(); vp++) {
        vp_wait(vp);
        EXPECT(turns[vp] > 100, "VP %u: %u", vp, turns[vp]);
    }
}
