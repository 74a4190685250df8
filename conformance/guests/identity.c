/* Judges guest-os-id.yaml: HV_X64_MSR_GUEST_OS_ID and its power over the hypercall page. */
#include "kit.h"

static void write_identity(void *value)
{
    wrmsr(HV_X64_MSR_GUEST_OS_ID, (uint64_t)value);
}

static void read_identity(void *value)
{
    *(uint64_t *)value = rdmsr(HV_X64_MSR_GUEST_OS_ID);
}

static bool page_enabled(void)
{
    return rdmsr(HV_X64_MSR_HYPERCALL) & 1;
}

/* A page of memory with a pattern that no hypercall page has. */
static uint64_t *patterned_page(void)
{
    uint64_t *page = page_alloc();
    for (unsigned i = 0; i < PAGE_BYTES / 8; i++) {
        page[i] = 0x5a5a000000000000ULL + i;
    }
    return page;
}

static bool pattern_whole(const uint64_t *page)
{
    for (unsigned i = 0; i < PAGE_BYTES / 8; i++) {
        if (((const volatile uint64_t *)page)[i] != 0x5a5a000000000000ULL + i) {
            return false;
        }
    }
    return true;
}

static uint64_t *enable_over_pattern(void)
{
    uint64_t *page = patterned_page();
    wrmsr(HV_X64_MSR_GUEST_OS_ID, HV_KIT_GUEST_OS_ID);
    wrmsr(HV_X64_MSR_HYPERCALL, gpa_of(page) | 1);
    return page;
}

/* ---- the register ---- */

/* The kit writes zero after each test, so what the register held at the start of all is read before the first. */
TEST(initial_zero, "osid.reset")
{
    NEEDS(AccessHypercallMsrs);
    EXPECT_EQ(rdmsr(HV_X64_MSR_GUEST_OS_ID), 0);
}

TEST(keeps_what_is_written, "osid.keeps")
{
    NEEDS(AccessHypercallMsrs);
    static const uint64_t values[] = {0x0001040600001db0, 0x8100060100000000, 0x0123456789abcdef, 0xfedcba9876543210};
    for (unsigned i = 0; i < ARRAY_COUNT(values); i++) {
        wrmsr(HV_X64_MSR_GUEST_OS_ID, values[i]);
        EXPECT_EQ(rdmsr(HV_X64_MSR_GUEST_OS_ID), values[i]);
    }
}

static const uint64_t unusual[] = {1, 0x0000000000010000, 0x8000000000000000, 0xffff000000000000, 0xffffffffffffffff};

TEST(any_value_taken, "osid.any-value")
{
    NEEDS(AccessHypercallMsrs);
    for (unsigned i = 0; i < ARRAY_COUNT(unusual); i++) {
        EXPECT(wrmsr_try(HV_X64_MSR_GUEST_OS_ID, unusual[i]) == NO_FAULT, "0x%lx was refused", unusual[i]);
        EXPECT_EQ(rdmsr(HV_X64_MSR_GUEST_OS_ID), unusual[i]);
    }
}

TEST(any_value_enables, "osid.any-value-enables")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_2_0, EDITION_2_0);
    uint64_t page = gpa_of(page_alloc());
    for (unsigned i = 0; i < ARRAY_COUNT(unusual); i++) {
        wrmsr(HV_X64_MSR_GUEST_OS_ID, unusual[i]);
        wrmsr(HV_X64_MSR_HYPERCALL, page | 1);
        EXPECT(page_enabled(), "identity 0x%lx did not let the page be enabled", unusual[i]);
        wrmsr(HV_X64_MSR_HYPERCALL, page);
    }
}

TEST(partition_wide, "osid.partition-wide")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_THAT(vp_count() > 1, "one processor");
    smp_start();
    wrmsr(HV_X64_MSR_GUEST_OS_ID, HV_KIT_GUEST_OS_ID);
    for (unsigned vp = 1; vp < vp_count(); vp++) {
        uint64_t value = 0;
        on_vp(vp, read_identity, &value);
        EXPECT_EQ(value, HV_KIT_GUEST_OS_ID);
    }
}

TEST(last_write_wins, "osid.partition-wide.last")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_THAT(vp_count() > 1, "one processor");
    smp_start();
    wrmsr(HV_X64_MSR_GUEST_OS_ID, HV_KIT_GUEST_OS_ID);
    on_vp(1, write_identity, (void *)0x8100000000000001);
    EXPECT_EQ(rdmsr(HV_X64_MSR_GUEST_OS_ID), 0x8100000000000001);
}

/* ---- the page ---- */

TEST(page_needs_identity, "osid.page.needs-identity")
{
    NEEDS(AccessHypercallMsrs);
    uint64_t *page = patterned_page();
    wrmsr(HV_X64_MSR_GUEST_OS_ID, 0);
    wrmsr_try(HV_X64_MSR_HYPERCALL, gpa_of(page) | 1);
    EXPECT(!page_enabled(), "enabled without an identity");
    EXPECT(pattern_whole(page), "a page appeared");
}

TEST(zero_disables_page, "osid.page.zeroed-disables")
{
    NEEDS(AccessHypercallMsrs);
    enable_over_pattern();
    REQUIRE(page_enabled());
    wrmsr(HV_X64_MSR_GUEST_OS_ID, 0);
    EXPECT(!page_enabled());
}

TEST(zero_uncovers_memory, "osid.page.zeroed-uncovers")
{
    NEEDS(AccessHypercallMsrs);
    uint64_t *page = enable_over_pattern();
    REQUIRE(!pattern_whole(page));
    wrmsr(HV_X64_MSR_GUEST_OS_ID, 0);
    EXPECT(pattern_whole(page));
}

TEST(zero_by_another_vp, "osid.page.zeroed-by-other")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_THAT(vp_count() > 1, "one processor");
    smp_start();
    uint64_t *page = enable_over_pattern();
    REQUIRE(page_enabled());
    on_vp(1, write_identity, NULL);
    EXPECT(!page_enabled());
    EXPECT(pattern_whole(page));
}

TEST(zero_keeps_address, "osid.page.zeroed-keeps-address")
{
    NEEDS(AccessHypercallMsrs);
    uint64_t *page = enable_over_pattern();
    wrmsr(HV_X64_MSR_GUEST_OS_ID, 0);
    EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL) >> 12, gpa_of(page) >> 12);
}

TEST(change_keeps_page, "osid.page.changed-identity")
{
    NEEDS(AccessHypercallMsrs);
    uint64_t *page = enable_over_pattern();
    wrmsr(HV_X64_MSR_GUEST_OS_ID, 0x8100000000000001);
    EXPECT(page_enabled());
    EXPECT(!pattern_whole(page));
}

TEST(establish_again, "osid.page.again")
{
    NEEDS(AccessHypercallMsrs);
    uint64_t *page = enable_over_pattern();
    wrmsr(HV_X64_MSR_GUEST_OS_ID, 0);
    wrmsr(HV_X64_MSR_GUEST_OS_ID, HV_KIT_GUEST_OS_ID);
    EXPECT(!page_enabled(), "the page came back by itself");
    EXPECT(pattern_whole(page));
    wrmsr(HV_X64_MSR_HYPERCALL, gpa_of(page) | 1);
    EXPECT(page_enabled());
    EXPECT(!pattern_whole(page));
}

/* ---- recommended layouts ---- */

static void expect_works_as(uint64_t identity)
{
    uint64_t page = gpa_of(page_alloc());
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_GUEST_OS_ID, identity), NO_FAULT);
    EXPECT_EQ(rdmsr(HV_X64_MSR_GUEST_OS_ID), identity);
    wrmsr(HV_X64_MSR_HYPERCALL, page | 1);
    EXPECT(page_enabled());
}

TEST(proprietary_layout, "osid.layout.proprietary")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    expect_works_as(1ULL << 48 | 4ULL << 40 | 10ULL << 32 | 17763); /* Microsoft, NT, 10.0, build 17763 */
}

TEST(open_source_layout, "osid.layout.open-source")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    expect_works_as(1ULL << 63 | 1ULL << 56 | 0x000601c0ULL << 16); /* Linux 6.1.192 */
}
