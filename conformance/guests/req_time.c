/* Requirements document: partition reference time and the TSC. Each clock is judged against another. */
#include "req.h"

enum { PM_TIMER_HZ = 3579545, PM_MASK = 0xffffff };

static uint16_t pm_port(void)
{
    const uint8_t *fadt = acpi_table("FACP");
    return fadt != NULL ? (uint16_t)(fadt[76] | fadt[77] << 8) : 0;
}

TEST(counter_exists, "req.time.counter.msr")
{
    uint64_t value;
    NEEDS(AccessPartitionReferenceCounter);
    EXPECT_EQ(rdmsr_try(HV_X64_MSR_TIME_REF_COUNT, &value), NO_FAULT);
}

TEST(counter_counts_100ns, "req.time.counter.unit")
{
    NEEDS(AccessPartitionReferenceCounter);
    uint16_t port = pm_port();
    NEEDS_THAT(port != 0, "no PM timer to compare with");
    uint32_t pm = in32(port), ticks;
    uint64_t from = ref_time();
    while ((ticks = (in32(port) - pm) & PM_MASK) < PM_TIMER_HZ / 500) {
        pause();
    }
    uint64_t passed = ref_time() - from, want = (uint64_t)ticks * 10000000 / PM_TIMER_HZ;
    EXPECT(passed > want - want / 50 && passed < want + want / 50 + 20, "counted %lu in %lu x 100 ns", passed, want);
}

static void ref_time_read(void *value)
{
    *(uint64_t *)value = ref_time();
}

TEST(counter_never_goes_back, "req.time.counter.monotonic")
{
    NEEDS(AccessPartitionReferenceCounter);
    uint64_t last = ref_time();
    for (unsigned i = 0; i < 200; i++) {
        uint64_t t = ref_time();
        EXPECT(t >= last, "%lu after %lu", t, last);
        last = t;
    }
    smp_start();
    for (unsigned i = 0; i < 2 * vp_count(); i++) {
        uint64_t t = 0;
        on_vp(i % vp_count(), ref_time_read, &t);
        EXPECT(t >= last, "VP %u: %lu after %lu", i % vp_count(), t, last);
        last = t;
    }
}

/* ---- the TSC page, TLFS 2.0a §15.4.3 ---- */

static struct hv_reference_tsc_page *tsc_page_map(void)
{
    struct hv_reference_tsc_page *page = page_alloc();
    return wrmsr_try(HV_X64_MSR_REFERENCE_TSC, gpa_of(page) | 1) == NO_FAULT ? page : NULL;
}

/* Sequence 0 (2.0: also 0xffffffff) says: ask the counter. */
static bool page_valid(const struct hv_reference_tsc_page *p)
{
    return p->sequence != 0 && p->sequence != 0xffffffff;
}

static uint64_t page_time(const struct hv_reference_tsc_page *p)
{
    uint32_t sequence;
    uint64_t time;
    do {
        sequence = p->sequence;
        time = (uint64_t)((unsigned __int128)rdtsc() * p->scale >> 64) + (uint64_t)p->offset;
    } while (p->sequence != sequence);
    return time;
}

TEST(tsc_page_exists, "req.time.tsc.msr", "req.time.tsc.page", "req.time.both")
{
    NEEDS(AccessPartitionReferenceTsc);
    uint64_t value;
    EXPECT_EQ_FOR("req.time.tsc.msr", rdmsr_try(HV_X64_MSR_REFERENCE_TSC, &value), NO_FAULT);
    volatile uint64_t *memory = page_alloc();
    memory[0] = memory[1] = memory[2] = 0x5a5a5a5a5a5a5a5a;
    EXPECT_EQ_FOR("req.time.tsc.page", wrmsr_try(HV_X64_MSR_REFERENCE_TSC, gpa_of(memory) | 1), NO_FAULT);
    EXPECT_FOR("req.time.tsc.page", memory[0] != 0x5a5a5a5a5a5a5a5a && memory[1] != 0x5a5a5a5a5a5a5a5a, "no page is there");
    EXPECT_FOR("req.time.both", has(AccessPartitionReferenceCounter), "the page is offered without the counter");
    EXPECT_EQ_FOR("req.time.both", rdmsr_try(HV_X64_MSR_TIME_REF_COUNT, &value), NO_FAULT);
}

TEST(page_and_counter_agree, "req.time.semantics")
{
    NEEDS(AccessPartitionReferenceTsc);
    NEEDS(AccessPartitionReferenceCounter);
    struct hv_reference_tsc_page *p = tsc_page_map();
    REQUIRE(p != NULL);
    NEEDS_THAT(page_valid(p), "the page is invalid: the guest reads the counter");
    for (unsigned i = 0; i < 50; i++) {
        uint64_t before = ref_time(), page = page_time(p), after = ref_time();
        EXPECT(page + 1 >= before && page <= after + 1, "page %lu, counter %lu-%lu", page, before, after);
        spin_100ns(3);
    }
}

/* ---- the TSC ---- */

static uint64_t rate(uint64_t time_100ns, bool asleep)
{
    uint64_t from = ref_time(), tsc = rdtsc(), to;
    if (asleep) {
        irqs(true);
        WAIT_FOR(false, time_100ns);
        irqs(false);
    } else {
        spin_100ns(time_100ns);
    }
    to = ref_time();
    return (rdtsc() - tsc) * 1000 / (to - from); /* in 10 kHz */
}

static bool near(uint64_t a, uint64_t b)
{
    return a > b - b / 100 && a < b + b / 100;
}

TEST(tsc_rate_asleep_and_awake, "req.time.tsc.constant-rate")
{
    NEEDS(AccessPartitionReferenceTsc);
    NEEDS(AccessPartitionReferenceCounter);
    uint64_t awake = rate(MS_100NS / 2, false), asleep = rate(MS_100NS / 2, true), again = rate(MS_100NS / 2, false);
    EXPECT(near(asleep, awake), "%lu awake, %lu asleep (x 10 kHz)", awake, asleep);
    EXPECT(near(again, awake), "%lu, later %lu (x 10 kHz)", awake, again);
}

static bool invariant_tsc(void)
{
    return cpuid(0x80000000, 0).eax >= 0x80000007 && cpuid(0x80000007, 0).edx >> 8 & 1;
}

TEST(invariant_tsc_keeps_its_rate, "req.time.itsc.rate")
{
    NEEDS(AccessPartitionReferenceCounter);
    NEEDS_THAT(invariant_tsc(), "the invariant TSC is not advertised");
    uint64_t first = rate(MS_100NS / 4, false);
    REQUIRE(hv_enable());
    uint64_t enabled = rate(MS_100NS / 4, false), asleep = rate(MS_100NS / 4, true);
    EXPECT(near(enabled, first), "%lu, then %lu (x 10 kHz)", first, enabled);
    EXPECT(near(asleep, first), "%lu, then %lu (x 10 kHz)", first, asleep);
}

struct ping_pong {
    volatile uint64_t tsc;
    volatile uint32_t turn;
    unsigned backwards;
};

enum { ROUNDS = 50 };

/* Each side may read only when it is its turn, so each reading comes after the other's last one. */
static void play(struct ping_pong *p, unsigned side)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        while (p->turn % 2 != side) {
            pause();
        }
        uint64_t tsc = rdtsc();
        if (tsc < p->tsc) {
            p->backwards++;
        }
        p->tsc = tsc;
        p->turn++;
    }
}

static void play_pong(void *p)
{
    play(p, 1);
}

TEST(tscs_are_in_step, "req.time.tsc.sync")
{
    NEEDS(AccessPartitionReferenceTsc);
    NEEDS(AccessPartitionReferenceCounter);
    smp_start();
    NEEDS_THAT(vp_count() > 1, "one VP");
    for (unsigned i = 1; i < vp_count(); i++) {
        struct ping_pong p = {0};
        on_vp_async(i, play_pong, &p);
        play(&p, 0);
        vp_wait(i);
        EXPECT(p.backwards == 0, "VP %u: %u of %u readings lie before the one they followed", i, p.backwards, 2 * ROUNDS);
    }
}
