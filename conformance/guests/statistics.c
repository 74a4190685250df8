/* Judges statistics.yaml: the pages about itself that a guest maps by four MSRs. TLFS 2.0a chapter 21. */
#include "kit.h"

enum { PAGES = 4, FIRST = HV_X64_MSR_STATS_PARTITION_RETAIL_PAGE, VEC_MC = 18 };

#define NEEDS_STATISTICS()                                                                                                     \
    NEEDS(AccessStatsReg);                                                                                                     \
    NEEDS_EDITION(EDITION_2_0, EDITION_4_0)
#define NEEDS_MACHINE_CHECKS() NEEDS_THAT(cpuid(1, 0).edx >> 7 & 1, "the processor has no machine checks")

static void quiet(void)
{
    for (uint32_t i = 0; i < PAGES; i++) {
        wrmsr_try(FIRST + i, 0);
    }
}

static uint64_t *patterned_page(void)
{
    uint64_t *page = page_alloc();
    for (unsigned i = 0; i < PAGE_BYTES / 8; i++) {
        page[i] = 0x5a5a000000000000ULL + i;
    }
    return page;
}

static bool pattern_whole(const void *page)
{
    for (unsigned i = 0; i < PAGE_BYTES / 8; i++) {
        if (((const volatile uint64_t *)page)[i] != 0x5a5a000000000000ULL + i) {
            return false;
        }
    }
    return true;
}

/* ---- registers, 21.3.3 ---- */

static void read_all(void *values)
{
    for (uint32_t i = 0; i < PAGES; i++) {
        ((uint64_t *)values)[i] = rdmsr(FIRST + i);
    }
}

TEST(registers_start_disabled, "stats.msr.reset")
{
    NEEDS_STATISTICS();
    smp_start();
    for (unsigned vp = 0; vp < vp_count(); vp++) {
        uint64_t values[PAGES];
        on_vp(vp, read_all, values);
        for (unsigned i = 0; i < PAGES; i++) {
            EXPECT(values[i] == 0, "0x%x of VP %u reads 0x%lx", FIRST + i, vp, values[i]);
        }
    }
}

TEST(registers_keep, "stats.msr.layout")
{
    NEEDS_STATISTICS();
    for (uint32_t i = 0; i < PAGES; i++) {
        uint64_t page = gpa_of(page_alloc());
        wrmsr(FIRST + i, page | 1);
        EXPECT_EQ(rdmsr(FIRST + i) & ~0xffeULL, page | 1);
        wrmsr(FIRST + i, page);
        EXPECT_EQ(rdmsr(FIRST + i) & ~0xffeULL, page);
    }
    quiet();
}

TEST(registers_reserved_bits, "stats.msr.reserved")
{
    NEEDS_STATISTICS();
    for (uint32_t i = 0; i < PAGES; i++) {
        uint64_t *page = patterned_page(), *next = patterned_page();
        EXPECT_EQ(wrmsr_try(FIRST + i, gpa_of(page) | 0xfff), NO_FAULT);
        EXPECT(!pattern_whole(page));
        EXPECT(pattern_whole(next));
        wrmsr(FIRST + i, 0);
    }
    quiet();
}

TEST(page_appears, "stats.msr.enable")
{
    NEEDS_STATISTICS();
    for (uint32_t i = 0; i < PAGES; i++) {
        uint64_t *page = patterned_page();
        wrmsr(FIRST + i, gpa_of(page) | 1);
        EXPECT(!pattern_whole(page), "register 0x%x", FIRST + i);
        wrmsr(FIRST + i, 0);
    }
    quiet();
}

TEST(page_disappears, "stats.msr.disable")
{
    NEEDS_STATISTICS();
    for (uint32_t i = 0; i < PAGES; i++) {
        uint64_t *page = patterned_page();
        wrmsr(FIRST + i, gpa_of(page) | 1);
        wrmsr(FIRST + i, gpa_of(page));
        EXPECT(pattern_whole(page), "register 0x%x", FIRST + i);
    }
    quiet();
}

TEST(page_beyond, "stats.msr.beyond")
{
    NEEDS_STATISTICS();
    uint64_t end = 1ULL << (cpuid(0x80000008, 0).eax & 0xff);
    for (uint32_t i = 0; i < PAGES; i++) {
        EXPECT_EQ(wrmsr_try(FIRST + i, end | 1), NO_FAULT);
        EXPECT_EQ(wrmsr_try(FIRST + i, ~0xfffULL | 1), NO_FAULT);
    }
    quiet();
}

static void write_vp_page(void *value)
{
    wrmsr(HV_X64_MSR_STATS_VP_RETAIL_PAGE, (uint64_t)value);
    wrmsr(HV_X64_MSR_STATS_VP_INTERNAL_PAGE, (uint64_t)value);
}

TEST(vp_registers_per_vp, "stats.msr.vp-scope")
{
    NEEDS_STATISTICS();
    NEEDS_THAT(vp_count() > 1, "one processor");
    smp_start();
    on_vp(1, write_vp_page, (void *)0x200000);
    EXPECT_EQ(rdmsr(HV_X64_MSR_STATS_VP_RETAIL_PAGE), 0);
    EXPECT_EQ(rdmsr(HV_X64_MSR_STATS_VP_INTERNAL_PAGE), 0);
    on_vp(1, write_vp_page, NULL);
}

static void expect_refused(void)
{
    for (uint32_t i = 0; i < PAGES; i++) {
        uint64_t value;
        EXPECT(rdmsr_try(FIRST + i, &value) == VEC_GP, "RDMSR 0x%x did not raise #GP", FIRST + i);
        EXPECT(wrmsr_try(FIRST + i, 0) == VEC_GP, "WRMSR 0x%x did not raise #GP", FIRST + i);
    }
}

TEST(refused_without_privilege, "stats.privilege")
{
    NEEDS_THAT(hv_present() && !has(AccessStatsReg), "AccessStatsReg is granted");
    NEEDS_EDITION(EDITION_2_0, EDITION_4_0);
    expect_refused();
}

TEST(refused_without_privilege_5_0, "stats.privilege.later")
{
    NEEDS_THAT(hv_present() && !has(AccessStatsReg), "AccessStatsReg is granted");
    NEEDS_EDITION(EDITION_5_0, EDITION_5_0);
    expect_refused();
}

/* ---- pages, 21.1.2 ---- */

TEST(page_is_overlay, "stats.page.overlay")
{
    NEEDS_STATISTICS();
    uint64_t *a = patterned_page(), *b = patterned_page();
    wrmsr(FIRST, gpa_of(a) | 1);
    EXPECT(!pattern_whole(a));
    wrmsr(FIRST, gpa_of(b) | 1);
    EXPECT(pattern_whole(a));
    EXPECT(!pattern_whole(b));
    wrmsr(FIRST, 0);
    EXPECT(pattern_whole(b));
    quiet();
}

static void store(void *at)
{
    *(volatile uint64_t *)at = 0xcccccccccccccccc;
}

/* Without CR4.MCE a machine check is the end. */
static unsigned store_with_machine_checks(uint64_t *at)
{
    enum { CR4_MCE = 1 << 6 };
    uint64_t cr4;
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    __asm__ volatile("mov %0, %%cr4" ::"r"(cr4 | CR4_MCE));
    unsigned vector = try_run(store, at).vector;
    __asm__ volatile("mov %0, %%cr4" ::"r"(cr4));
    return vector;
}

TEST(page_write_protected, "stats.page.write")
{
    NEEDS_STATISTICS();
    NEEDS_MACHINE_CHECKS();
    uint64_t *page = page_alloc();
    wrmsr(FIRST, gpa_of(page) | 1);
    EXPECT_EQ(store_with_machine_checks(page), VEC_MC);
    quiet();
}

TEST(page_write_changes_nothing, "stats.page.write-unchanged")
{
    NEEDS_STATISTICS();
    NEEDS_MACHINE_CHECKS();
    uint64_t *page = page_alloc();
    wrmsr(FIRST, gpa_of(page) | 1);
    store_with_machine_checks(page + 511);
    EXPECT(((volatile uint64_t *)page)[511] != 0xcccccccccccccccc);
    quiet();
}

/* ---- format, 21.1.3 ---- */

/* The header is the first of a group's 64-bit values (chapter 33) and tightly packed, with a version of 32 bits, as its
 * constants have it. The declarations as C lays them out would take more. */
struct __attribute__((packed)) group {
    uint16_t type;
    uint16_t version_minor, version_major;
    uint16_t length;
};
enum { GROUPS_MAX = 64, TYPE_END_OF_LIST = 0, TYPE_END_OF_PAGE = 1, TYPE_RELEASE = 3 };

/* The groups of a page up to the end of its list; 0: no end was found. */
static unsigned groups_read(const void *page, struct group *groups)
{
    unsigned at = 0;
    for (unsigned n = 0; n < GROUPS_MAX && at + sizeof(struct group) <= PAGE_BYTES; n++) {
        memcpy(&groups[n], (const uint8_t *)page + at, sizeof(struct group));
        if (groups[n].type <= TYPE_END_OF_PAGE) {
            return n + 1;
        }
        at += sizeof(struct group) + groups[n].length;
    }
    return 0;
}

static unsigned page_groups(uint32_t msr, struct group *groups)
{
    void *page = page_alloc();
    wrmsr(msr, gpa_of(page) | 1);
    unsigned count = groups_read(page, groups);
    wrmsr(msr, 0);
    return count;
}

TEST(page_is_a_list_of_groups, "stats.format.groups")
{
    NEEDS_STATISTICS();
    struct group groups[GROUPS_MAX];
    for (uint32_t i = 0; i < PAGES; i++) {
        EXPECT(page_groups(FIRST + i, groups) != 0, "the list of register 0x%x has no end", FIRST + i);
    }
}

TEST(group_lengths, "stats.format.length")
{
    NEEDS_STATISTICS();
    struct group groups[GROUPS_MAX];
    for (uint32_t i = 0; i < PAGES; i++) {
        unsigned count = page_groups(FIRST + i, groups);
        EXPECT(count > 0);
        for (unsigned n = 0; n < count; n++) {
            EXPECT(groups[n].length % 8 == 0, "length %u", groups[n].length);
        }
    }
}

TEST(list_ends, "stats.format.end")
{
    NEEDS_STATISTICS();
    struct group groups[GROUPS_MAX];
    for (uint32_t i = 0; i < PAGES; i++) {
        unsigned count = page_groups(FIRST + i, groups);
        REQUIRE(count > 0);
        EXPECT(groups[count - 1].version_minor == 0 && groups[count - 1].version_major == 0 && groups[count - 1].length == 0);
    }
}

TEST(group_types_unique, "stats.format.unique")
{
    NEEDS_STATISTICS();
    struct group groups[GROUPS_MAX];
    for (uint32_t i = 0; i < PAGES; i++) {
        unsigned count = page_groups(FIRST + i, groups);
        EXPECT(count > 0);
        for (unsigned a = 0; a < count; a++) {
            for (unsigned b = 0; b < a; b++) {
                EXPECT(groups[a].type != groups[b].type, "type %u twice", groups[a].type);
            }
        }
    }
}

TEST(group_types_known, "stats.types")
{
    NEEDS_STATISTICS();
    struct group groups[GROUPS_MAX];
    for (uint32_t i = 0; i < PAGES; i++) {
        unsigned count = page_groups(FIRST + i, groups);
        EXPECT(count > 0);
        for (unsigned n = 0; n < count; n++) {
            EXPECT(groups[n].type <= TYPE_RELEASE, "type %u", groups[n].type);
        }
    }
}

/* ---- the counters, chapter 33 ---- */

enum { TYPE_ARCHITECTED = 2 };

/* The counters of the architected group in a page, and their number; NULL: it has none. */
static const volatile uint64_t *architected(const void *page, unsigned *count)
{
    const uint8_t *at = page;
    for (struct group g; memcpy(&g, at, sizeof g), g.type > TYPE_END_OF_PAGE; at += sizeof g + g.length) {
        if (at + sizeof g + g.length > (const uint8_t *)page + PAGE_BYTES - sizeof g) {
            return NULL;
        }
        if (g.type == TYPE_ARCHITECTED && g.version_major == 1) {
            *count = g.length / 8;
            return (const volatile uint64_t *)(at + sizeof g);
        }
    }
    return NULL;
}

static void processors_counted_on(void *msr)
{
    void *page = page_alloc();
    unsigned count;
    wrmsr((uint32_t)(uint64_t)msr, gpa_of(page) | 1);
    const volatile uint64_t *counters = architected(page, &count);
    REQUIRE(counters != NULL && count >= 1);
    EXPECT_EQ(counters[0], vp_count());
}

TEST(partition_counts_processors, "stats.counters.partition")
{
    NEEDS_STATISTICS();
    smp_start();
    for (unsigned vp = 0; vp < vp_count(); vp++) {
        on_vp(vp, processors_counted_on, (void *)HV_X64_MSR_STATS_PARTITION_RETAIL_PAGE);
    }
    quiet();
}

/* With what the register of run time says, before and after: a page may be as old as a hypervisor likes, but not ahead. */
TEST(vp_counts_run_time, "stats.counters.vp")
{
    NEEDS_STATISTICS();
    NEEDS(AccessVpRunTimeReg);
    void *page = page_alloc();
    unsigned count;
    uint64_t before = rdmsr(HV_X64_MSR_VP_RUNTIME);
    wrmsr(HV_X64_MSR_STATS_VP_RETAIL_PAGE, gpa_of(page) | 1);
    const volatile uint64_t *counters = architected(page, &count);
    REQUIRE(counters != NULL && count >= 2);
    uint64_t first = counters[0];
    EXPECT(first <= rdmsr(HV_X64_MSR_VP_RUNTIME), "%lu", first);
    spin_100ns(100 * MS_100NS);
    uint64_t last = counters[0];
    EXPECT(last > before && last > first, "%lu, then %lu", first, last);
    EXPECT(last <= rdmsr(HV_X64_MSR_VP_RUNTIME), "%lu", last);
    EXPECT(counters[1] <= counters[0], "%lu of them in the hypervisor", counters[1]);
    quiet();
}

TEST(vp_counts_hypervisor_time, "stats.counters.vp-hypervisor")
{
    NEEDS_STATISTICS();
    void *page = page_alloc();
    unsigned count;
    wrmsr(HV_X64_MSR_STATS_VP_RETAIL_PAGE, gpa_of(page) | 1);
    const volatile uint64_t *counters = architected(page, &count);
    REQUIRE(counters != NULL && count >= 2);
    uint64_t first = counters[1], deadline = now_100ns() + 100 * MS_100NS;
    while (now_100ns() < deadline) {
        rdmsr(HV_X64_MSR_STATS_VP_RETAIL_PAGE); /* no processor answers that */
    }
    EXPECT(counters[1] > first, "%lu, then %lu", first, counters[1]);
    quiet();
}

static void own_page_job(void *out)
{
    void *page = page_alloc();
    unsigned count;
    wrmsr(HV_X64_MSR_STATS_VP_RETAIL_PAGE, gpa_of(page) | 1);
    const volatile uint64_t *counters = architected(page, &count);
    *(uint64_t *)out = counters != NULL ? counters[0] : ~0ULL;
}

TEST(vp_counts_its_own, "stats.counters.vp-own")
{
    NEEDS_STATISTICS();
    NEEDS_THAT(vp_count() > 1, "one processor");
    uint64_t mine, other;
    spin_100ns(100 * MS_100NS); /* the other one has not started yet */
    own_page_job(&mine);
    smp_start();
    on_vp(1, own_page_job, &other);
    EXPECT(other < mine, "%lu of VP 1, %lu of VP 0", other, mine);
    on_vp(1, write_vp_page, NULL);
    quiet();
}

/* ---- the hypercalls ---- */

static void expect_denied(unsigned code)
{
    EXPECT_EQ(HV_STATUS_OF(hv_call(code, gpa_of(page_alloc()), 0)), HV_STATUS_ACCESS_DENIED);
}

TEST(map_refused, "stats.map.refused")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_THAT(!has(AccessStats), "AccessStats is granted");
    NEEDS_EDITION(EDITION_2_0, EDITION_4_0);
    REQUIRE(hv_enable());
    expect_denied(0x6c);
}

TEST(unmap_refused, "stats.unmap.refused")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_THAT(!has(AccessStats), "AccessStats is granted");
    NEEDS_EDITION(EDITION_2_0, EDITION_4_0);
    REQUIRE(hv_enable());
    expect_denied(0x6d);
}
