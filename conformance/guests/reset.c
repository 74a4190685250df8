/* Judges what a reset of the partition does (msr.yaml, guest-os-id.yaml, hypercall-page.yaml, overlay.yaml).
 *
 * The scenario loads the guest again after a reset, and the clock goes on. So the time stamp counter tells the first start,
 * which leaves marks and asks for the reset, from the second, which reports. `from=1`: another processor asks. `lock`: with a
 * locked page. Where the register is not granted there is one start, which reports that. */
#include "kit.h"

enum { MARK = 0x5a5a5a5a, RTC_INDEX = 0x70, RTC_DATA = 0x71, RTC_YEAR = 9, YEAR_MARK = 0x77 };

static struct {
    bool second;
    uint64_t identity, page;
} found;

static bool year_marked(void)
{
    out8(RTC_INDEX, RTC_YEAR);
    return in8(RTC_DATA) == YEAR_MARK;
}

static void ask(void *unused)
{
    wrmsr(HV_X64_MSR_RESET, 1);
}

void probe_before_report(void)
{
    if (!has(AccessResetReg) || !has(AccessHypercallMsrs)) {
        return;
    }
    if (year_marked()) {
        found.second = true;
        found.identity = rdmsr(HV_X64_MSR_GUEST_OS_ID);
        found.page = rdmsr(HV_X64_MSR_HYPERCALL);
        return;
    }
    if (hv_enable() && arg_present("lock") && has(HypercallMsrLockAvailable)) {
        wrmsr(HV_X64_MSR_HYPERCALL, hv_page() | 3);
    }
    if (arg("from") != 0) {
        smp_start();
    }
    out8(RTC_INDEX, RTC_YEAR);
    out8(RTC_DATA, YEAR_MARK);
    if (arg("from") != 0) {
        on_vp((unsigned)arg("from"), ask, NULL);
    } else {
        ask(NULL);
    }
    spin_100ns(100 * MS_100NS); /* what comes here was not reset: the tests say so */
}

#define NEEDS_RESET()                                                                                                          \
    NEEDS(AccessResetReg);                                                                                                     \
    NEEDS(AccessHypercallMsrs)

TEST(resets, "msr.reset.resets")
{
    NEEDS_RESET();
    NEEDS_THAT(arg("from") == 0, "another processor asks");
    EXPECT(found.second, "the partition was not restarted");
}

TEST(resets_from_another_vp, "msr.reset.resets-other-vp")
{
    NEEDS_RESET();
    NEEDS_THAT(arg("from") != 0, "the first processor asks");
    EXPECT(found.second, "the partition was not restarted");
}

TEST(clears_identity, "osid.reset.after-reset")
{
    NEEDS_RESET();
    REQUIRE(found.second);
    EXPECT_EQ(found.identity, 0);
}

TEST(takes_overlays_away, "ovl.reset")
{
    NEEDS_RESET();
    REQUIRE(found.second);
    EXPECT_EQ(found.page & 1, 0);
    volatile uint32_t *page = (volatile uint32_t *)hv_page();
    page[0] = MARK;
    EXPECT_EQ(page[0], MARK);
}

TEST(resets_a_locked_page, "hcpg.lock.reset")
{
    NEEDS_RESET();
    NEEDS(HypercallMsrLockAvailable);
    NEEDS_THAT(arg_present("lock"), "the page was not locked");
    REQUIRE(found.second);
    EXPECT_EQ(found.page, 0);
    EXPECT(hv_enable());
    EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL), hv_page() | 1);
    hv_disable();
    EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL) & 1, 0);
}
