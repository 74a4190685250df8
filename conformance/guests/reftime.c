/* The reference counter and the reference TSC page, each judged by the other and by the TSC. TLFS 6.0b §12.1.2, §12.3, §12.4,
 * §12.7.
 *
 * What a move to another host does to them is in tscmigrate.c.
 */
#include "kit.h"

enum { UNITS_PER_S = 10000000, RAM_A = 0xa1, RAM_B = 0xb2 };
#define WORD_OF(byte) ((byte)*0x0101010101010101ULL)

/* ---- the counter ---- */

TEST(counter_starts_near_zero, "reftime.counter.starts-zero")
{
    NEEDS(AccessPartitionReferenceCounter);
    uint64_t now = ref_time(); /* the probe was loaded at once and this test is its first */
    EXPECT(now < UNITS_PER_S, "%lu at the start", now);
}

TEST(counter_withheld_faults, "reftime.counter.privilege")
{
    NEEDS_THAT(hv_present() && !has(AccessPartitionReferenceCounter), "AccessPartitionReferenceCounter is announced");
    uint64_t value;
    EXPECT(rdmsr_try(HV_X64_MSR_TIME_REF_COUNT, &value) == VEC_GP);
    EXPECT(wrmsr_try(HV_X64_MSR_TIME_REF_COUNT, 0) == VEC_GP);
}

TEST(counter_counts_100ns, "reftime.counter.units")
{
    NEEDS(AccessPartitionReferenceCounter);
    NEEDS(AccessFrequencyRegs); /* else there is no word on the TSC's rate */
    uint64_t hz = rdmsr(HV_X64_MSR_TSC_FREQUENCY), from = ref_time(), tsc = rdtsc();
    while (rdtsc() - tsc < hz / 1000) {
        pause();
    }
    uint64_t units = ref_time() - from;
    EXPECT(units >= 10000 && units < 10100, "%lu units in a millisecond", units);
}

TEST(counter_is_read_only, "reftime.counter.read-only")
{
    NEEDS(AccessPartitionReferenceCounter);
    uint64_t before = ref_time();
    EXPECT(wrmsr_try(HV_X64_MSR_TIME_REF_COUNT, 0) == VEC_GP);
    EXPECT(wrmsr_try(HV_X64_MSR_TIME_REF_COUNT, before + UNITS_PER_S) == VEC_GP);
    uint64_t after = ref_time();
    EXPECT(after > before && after - before < UNITS_PER_S / 10, "%lu before, %lu after", before, after);
}

TEST(counter_strictly_increases, "reftime.counter.increases")
{
    NEEDS(AccessPartitionReferenceCounter);
    uint64_t last = ref_time();
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t now = ref_time();
        REQUIRE(now > last, "%lu after %lu", now, last);
        last = now;
    }
}

static void read_counter(void *time)
{
    *(uint64_t *)time = ref_time();
}

TEST(counter_increases_across_vps, "reftime.counter.increases-across-vps", "reftime.counter.partition-wide")
{
    NEEDS(AccessPartitionReferenceCounter);
    NEEDS_THAT(vp_count() > 1, "one VP");
    smp_start();
    uint64_t last = ref_time();
    for (unsigned i = 0; i < 2 * vp_count(); i++) {
        uint64_t now;
        on_vp(i % vp_count(), read_counter, &now);
        EXPECT(now > last && now - last < UNITS_PER_S / 10, "VP %u: %lu after %lu", i % vp_count(), now, last);
        last = now;
    }
}

/* Counter units and TSC cycles of a stretch of time. */
struct stretch {
    uint64_t units, cycles;
};

static struct stretch stretch_of(bool idle)
{
    uint64_t units = ref_time(), cycles = rdtsc();
    irqs(idle);
    WAIT_FOR(false, 2 * MS_100NS);
    irqs(false);
    return (struct stretch){ref_time() - units, rdtsc() - cycles};
}

/* Equal within a part in a thousand. */
static bool same_rate(struct stretch a, struct stretch b)
{
    uint64_t x = a.units * b.cycles, y = b.units * a.cycles, difference = x > y ? x - y : y - x;
    return difference < x / 1000;
}

TEST(counter_rate_is_constant, "reftime.counter.constant-rate")
{
    NEEDS(AccessPartitionReferenceCounter);
    struct stretch busy = stretch_of(false), idle = stretch_of(true), again = stretch_of(false);
    EXPECT(same_rate(busy, idle), "%lu units in %lu cycles busy, %lu in %lu idle", busy.units, busy.cycles, idle.units,
           idle.cycles);
    EXPECT(same_rate(busy, again), "%lu units in %lu cycles, then %lu in %lu", busy.units, busy.cycles, again.units,
           again.cycles);
}

TEST(counter_counts_while_halted, "reftime.counter.while-halted")
{
    NEEDS(AccessPartitionReferenceCounter);
    uint64_t from = ref_time(); /* the other VPs have not started or wait in HLT */
    irqs(true);
    WAIT_FOR(false, 2 * MS_100NS);
    irqs(false);
    uint64_t units = ref_time() - from;
    EXPECT(units >= 19900 && units < 30000, "%lu units", units);
}

TEST(counter_is_64_bits, "reftime.counter.wide")
{
    NEEDS(AccessPartitionReferenceCounter);
    uint32_t low, high;
    uint64_t before = ref_time();
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(HV_X64_MSR_TIME_REF_COUNT));
    uint64_t value = (uint64_t)high << 32 | low, after = ref_time();
    EXPECT(before < value && value < after, "%lu, %lu, %lu", before, value, after);
}

/* ---- the page's register ---- */

TEST(page_register_starts_zero, "tscpage.msr.reset")
{
    NEEDS(AccessPartitionReferenceTsc);
    /* The kit writes 0 after each test and nothing before the first one; only run alone is this the creation's value. */
    EXPECT_EQ(rdmsr(HV_X64_MSR_REFERENCE_TSC), 0);
}

TEST(page_withheld_faults, "tscpage.msr.privilege")
{
    NEEDS_THAT(hv_present() && !has(AccessPartitionReferenceTsc), "AccessPartitionReferenceTsc is announced");
    uint64_t value;
    EXPECT(rdmsr_try(HV_X64_MSR_REFERENCE_TSC, &value) == VEC_GP);
    EXPECT(wrmsr_try(HV_X64_MSR_REFERENCE_TSC, 0) == VEC_GP);
}

static volatile struct hv_reference_tsc_page *page_on(void)
{
    void *page = page_alloc();
    wrmsr(HV_X64_MSR_REFERENCE_TSC, gpa_of(page) | 1);
    return page;
}

TEST(page_register_round_trip, "tscpage.msr.round-trip")
{
    NEEDS(AccessPartitionReferenceTsc);
    uint64_t base = gpa_of(page_alloc());
    for (unsigned enable = 0; enable < 2; enable++) {
        wrmsr(HV_X64_MSR_REFERENCE_TSC, base | enable);
        EXPECT_EQ(rdmsr(HV_X64_MSR_REFERENCE_TSC) & ~0xffeULL, base | enable);
    }
}

TEST(page_register_write_back, "tscpage.msr.reserved")
{
    NEEDS(AccessPartitionReferenceTsc);
    page_on();
    uint64_t value = rdmsr(HV_X64_MSR_REFERENCE_TSC);
    EXPECT(wrmsr_try(HV_X64_MSR_REFERENCE_TSC, value) == NO_FAULT);
    EXPECT_EQ(rdmsr(HV_X64_MSR_REFERENCE_TSC), value);
}

static void read_register(void *value)
{
    *(uint64_t *)value = rdmsr(HV_X64_MSR_REFERENCE_TSC);
}

static void copy_page(void *copy)
{
    memcpy(copy, (const void *)(rdmsr(HV_X64_MSR_REFERENCE_TSC) & ~0xfffULL), PAGE_BYTES);
}

TEST(page_register_is_partition_wide, "tscpage.msr.partition-wide")
{
    NEEDS(AccessPartitionReferenceTsc);
    NEEDS_THAT(vp_count() > 1, "one VP");
    smp_start();
    volatile struct hv_reference_tsc_page *page = page_on();
    uint64_t value;
    void *copy = page_alloc();
    on_vp(1, read_register, &value);
    EXPECT_EQ(value, gpa_of(page) | 1);
    on_vp(1, copy_page, copy);
    EXPECT(memcmp(copy, (const void *)page, 24) == 0, "VP 1 sees another page");
}

/* ---- the page over RAM ---- */

static bool ram_is(const volatile void *page, uint64_t word)
{
    for (unsigned i = 0; i < PAGE_BYTES / 8; i++) {
        if (((const volatile uint64_t *)page)[i] != word) {
            return false;
        }
    }
    return true;
}

static void *ram_alloc(void)
{
    return memset(page_alloc(), RAM_A, PAGE_BYTES);
}

TEST(page_covers_ram, "tscpage.page.covers")
{
    NEEDS(AccessPartitionReferenceTsc);
    void *ram = ram_alloc();
    wrmsr(HV_X64_MSR_REFERENCE_TSC, gpa_of(ram) | 1);
    const volatile uint64_t *words = ram;
    for (unsigned i = 0; i < PAGE_BYTES / 8; i++) {
        REQUIRE(words[i] != WORD_OF(RAM_A), "word %u is RAM's", i);
    }
}

TEST(page_uncovers_ram, "tscpage.page.uncovers")
{
    NEEDS(AccessPartitionReferenceTsc);
    void *ram = ram_alloc();
    wrmsr(HV_X64_MSR_REFERENCE_TSC, gpa_of(ram) | 1);
    wrmsr(HV_X64_MSR_REFERENCE_TSC, gpa_of(ram));
    EXPECT(ram_is(ram, WORD_OF(RAM_A)));
}

TEST(page_moves, "tscpage.page.moves")
{
    NEEDS(AccessPartitionReferenceTsc);
    void *one = ram_alloc(), *two = ram_alloc();
    wrmsr(HV_X64_MSR_REFERENCE_TSC, gpa_of(one) | 1);
    wrmsr(HV_X64_MSR_REFERENCE_TSC, gpa_of(two) | 1);
    EXPECT(ram_is(one, WORD_OF(RAM_A)), "the old place shows no RAM");
    EXPECT(!ram_is(two, WORD_OF(RAM_A)), "the new place shows RAM");
}

TEST(page_beyond_ram, "tscpage.page.beyond")
{
    NEEDS(AccessPartitionReferenceTsc);
    const uint64_t bases[] = {1ULL << 40, 0xfffffffff000ULL, ~0xfffULL};
    for (unsigned i = 0; i < ARRAY_COUNT(bases); i++) {
        EXPECT(wrmsr_try(HV_X64_MSR_REFERENCE_TSC, bases[i] | 1) == NO_FAULT);
        EXPECT_EQ(rdmsr(HV_X64_MSR_REFERENCE_TSC) & ~0xffeULL, bases[i] | 1);
    }
}

/* ---- the time ---- */

static uint64_t page_time(const volatile struct hv_reference_tsc_page *page)
{
    uint32_t sequence;
    uint64_t time;
    do {
        sequence = page->sequence;
        uint64_t tsc = rdtsc();
        time = (uint64_t)(((unsigned __int128)tsc * page->scale) >> 64) + (uint64_t)page->offset;
    } while (sequence != page->sequence);
    return time;
}

#define NEEDS_PAGE(page)                                                                                                       \
    NEEDS(AccessPartitionReferenceTsc);                                                                                        \
    volatile struct hv_reference_tsc_page *page = page_on();                                                                   \
    NEEDS_THAT(page->sequence != 0, "the page says that it is of no use")

TEST(page_layout, "tscpage.page.layout")
{
    NEEDS_PAGE(page);
    EXPECT(page->scale != 0, "no scale");
    uint64_t first = page_time(page), second = page_time(page);
    EXPECT(second >= first && second - first < UNITS_PER_S);
}

TEST(page_agrees_with_counter, "tscpage.time.formula")
{
    NEEDS(AccessPartitionReferenceCounter);
    NEEDS_PAGE(page);
    for (unsigned i = 0; i < 200; i++) {
        uint64_t before = ref_time(), time = page_time(page), after = ref_time();
        REQUIRE(before <= time && time <= after, "%lu, counter %lu to %lu", time, before, after);
    }
}

TEST(page_counts_100ns, "tscpage.time.units")
{
    NEEDS_PAGE(page);
    NEEDS(AccessFrequencyRegs);
    uint64_t hz = rdmsr(HV_X64_MSR_TSC_FREQUENCY), from = page_time(page), tsc = rdtsc();
    EXPECT(from < UNITS_PER_S, "%lu units since the creation", from);
    while (rdtsc() - tsc < hz / 1000) {
        pause();
    }
    uint64_t units = page_time(page) - from;
    EXPECT(units >= 10000 && units < 10100, "%lu units in a millisecond", units);
}

struct both_clocks {
    const volatile struct hv_reference_tsc_page *page;
    uint64_t before, time, after;
};

static void read_both(void *arg)
{
    struct both_clocks *b = arg;
    b->before = ref_time();
    b->time = page_time(b->page);
    b->after = ref_time();
}

TEST(page_agrees_on_every_vp, "tscpage.time.any-vp")
{
    NEEDS(AccessPartitionReferenceCounter);
    NEEDS_PAGE(page);
    smp_start();
    for (unsigned vp = 0; vp < vp_count(); vp++) {
        struct both_clocks b = {.page = page};
        on_vp(vp, read_both, &b);
        EXPECT(b.before <= b.time && b.time <= b.after, "VP %u: %lu, counter %lu to %lu", vp, b.time, b.before, b.after);
    }
}

static void read_page_time(void *arg)
{
    struct both_clocks *b = arg;
    b->time = page_time(b->page);
}

TEST(page_time_never_goes_back, "tscpage.time.monotonic")
{
    NEEDS_PAGE(page);
    smp_start();
    uint64_t last = page_time(page);
    for (unsigned i = 0; i < 500; i++) {
        uint64_t now = page_time(page);
        REQUIRE(now >= last, "%lu after %lu", now, last);
        last = now;
    }
    for (unsigned vp = 0; vp < vp_count(); vp++) {
        struct both_clocks b = {.page = page};
        on_vp(vp, read_page_time, &b);
        EXPECT(b.time >= last, "VP %u: %lu after %lu", vp, b.time, last);
        last = b.time;
    }
}

TEST(page_needs_invariant_tsc, "tscpage.time.invariant-tsc")
{
    NEEDS(AccessPartitionReferenceCounter);
    NEEDS_PAGE(page);
    struct stretch busy = stretch_of(false), idle = stretch_of(true);
    EXPECT(same_rate(busy, idle), "%lu cycles in %lu units busy, %lu in %lu idle", busy.cycles, busy.units, idle.cycles,
           idle.units);
}

TEST(page_scale_matches_tsc, "tscpage.scale.matches-tsc")
{
    NEEDS_PAGE(page);
    NEEDS(AccessFrequencyRegs);
    uint64_t rate = (uint64_t)(((unsigned __int128)page->scale * rdmsr(HV_X64_MSR_TSC_FREQUENCY)) >> 64);
    EXPECT(rate >= UNITS_PER_S - 10 && rate <= UNITS_PER_S + 10, "%lu units a second", rate);
}

TEST(page_sequence, "tscpage.sequence.valid", "tscpage.sequence.range")
{
    NEEDS(AccessPartitionReferenceTsc);
    NEEDS(AccessPartitionReferenceCounter);
    volatile struct hv_reference_tsc_page *page = page_on();
    if (page->sequence == 0) { /* the counter serves instead */
        uint64_t value;
        EXPECT_FOR("tscpage.sequence.valid", rdmsr_try(HV_X64_MSR_TIME_REF_COUNT, &value) == NO_FAULT);
        skip_for("tscpage.sequence.range", "the page says that it is of no use");
        return;
    }
    uint64_t before = ref_time(), time = page_time(page), after = ref_time();
    EXPECT_FOR("tscpage.sequence.valid", before <= time && time <= after, "a page that is good gives a wrong time");
    if (edition() < EDITION_2_0 || edition() > EDITION_4_0) {
        skip_for("tscpage.sequence.range", "not of edition %u", edition());
    } else {
        EXPECT_FOR("tscpage.sequence.range", page->sequence <= 0xfffffffe);
    }
}

TEST(page_sequence_is_stable, "tscpage.sequence.stable")
{
    NEEDS_PAGE(page);
    uint32_t sequence = page->sequence;
    uint64_t scale = page->scale;
    int64_t offset = page->offset;
    for (unsigned i = 0; i < 20; i++) {
        spin_100ns(500);
        EXPECT(page->sequence == sequence && page->scale == scale && page->offset == offset);
    }
}

static void store_in_page(void *page)
{
    memset(page, 0xee, 24);
}

TEST(page_is_the_hypervisors, "tscpage.page.guest-store")
{
    NEEDS(AccessPartitionReferenceCounter);
    NEEDS_PAGE(page);
    try_run(store_in_page, (void *)page); /* refused or not */
    uint64_t before = ref_time();
    wrmsr(HV_X64_MSR_REFERENCE_TSC, 0);
    page = page_on();
    uint64_t time = page_time(page), after = ref_time();
    EXPECT(page->sequence != 0 && before <= time && time <= after, "%lu, counter %lu to %lu", time, before, after);
}

TEST(page_survives_toggling, "tscpage.page.toggle")
{
    NEEDS(AccessPartitionReferenceCounter);
    NEEDS_PAGE(page);
    uint64_t value = rdmsr(HV_X64_MSR_REFERENCE_TSC);
    for (unsigned i = 0; i < 2; i++) {
        if (i == 1) {
            wrmsr(HV_X64_MSR_REFERENCE_TSC, value & ~1ULL);
        }
        wrmsr(HV_X64_MSR_REFERENCE_TSC, value);
        uint64_t before = ref_time(), time = page_time(page), after = ref_time();
        EXPECT(page->sequence != 0, "the page is of no use any more");
        EXPECT(before <= time && time <= after, "%lu, counter %lu to %lu", time, before, after);
    }
}
