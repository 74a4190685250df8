/* Judges the lock bit of HV_X64_MSR_HYPERCALL (hypercall-page.yaml). Only a reset opens the lock again, so this is one test in
 * a probe of its own; reset.c judges the reset. */
#include "kit.h"

struct remote {
    uint64_t value;
};

static void remote_write(void *p)
{
    wrmsr_try(HV_X64_MSR_HYPERCALL, ((struct remote *)p)->value);
}

static bool calls(void)
{
    return HV_STATUS_OF(hv_fast(HvCallNotifyLongSpinWait, 1, 0)) == HV_STATUS_SUCCESS;
}

TEST(lock, "hcpg.lock.bit", "hcpg.lock.immutable", "hcpg.lock.page-stays", "hcpg.lock.identity", "hcpg.lock.other-vp",
     "disc.edx.msr-lock")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(HypercallMsrLockAvailable);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    uint64_t *elsewhere = pages_alloc(2);
    elsewhere[0] = 0x5a5a5a5a5a5a5a5a;
    if (vp_count() > 1) {
        smp_start();
    }
    REQUIRE(hv_enable());
    uint64_t locked = hv_page() | 3;
    EXPECT_EQ_FOR("hcpg.lock.bit", wrmsr_try(HV_X64_MSR_HYPERCALL, locked), NO_FAULT);
    EXPECT_EQ_FOR("hcpg.lock.bit", rdmsr(HV_X64_MSR_HYPERCALL), locked);
    EXPECT_EQ_FOR("disc.edx.msr-lock", rdmsr(HV_X64_MSR_HYPERCALL) & 2, 2);

    static const uint64_t changes[] = {0, 1, 2, 0xffe};
    for (unsigned i = 0; i < ARRAY_COUNT(changes); i++) {
        wrmsr_try(HV_X64_MSR_HYPERCALL, gpa_of(elsewhere) | changes[i]);
        EXPECT_EQ_FOR("hcpg.lock.immutable", rdmsr(HV_X64_MSR_HYPERCALL), locked);
    }
    EXPECT_FOR("hcpg.lock.page-stays", elsewhere[0] == 0x5a5a5a5a5a5a5a5a, "a page appeared elsewhere");
    EXPECT_FOR("hcpg.lock.page-stays", calls(), "calls fail");

    if (vp_count() > 1) {
        struct remote r = {gpa_of(elsewhere) | 1};
        on_vp(1, remote_write, &r);
        EXPECT_EQ_FOR("hcpg.lock.other-vp", rdmsr(HV_X64_MSR_HYPERCALL), locked);
    } else {
        skip_for("hcpg.lock.other-vp", "one processor");
    }

    wrmsr_try(HV_X64_MSR_GUEST_OS_ID, 0);
    EXPECT_EQ_FOR("hcpg.lock.identity", rdmsr(HV_X64_MSR_HYPERCALL) >> 12, hv_page() >> 12);
    wrmsr_try(HV_X64_MSR_GUEST_OS_ID, HV_KIT_GUEST_OS_ID);
    wrmsr_try(HV_X64_MSR_HYPERCALL, gpa_of(elsewhere) | 1);
    EXPECT_EQ_FOR("hcpg.lock.identity", rdmsr(HV_X64_MSR_HYPERCALL) >> 12, hv_page() >> 12);
}
