/* Requirements document: what must survive a move of the virtual machine to another host.
 *
 * The scenario moves the partition again and again, each time for `away` x 100 ns during which no VP runs; a gap in the TSC
 * that nothing of the guest's own explains is a move. With `invalid=1` the new hosts have no TSC to build the reference time
 * on.
 */
#include "req.h"

enum { PM_TIMER_HZ = 3579545, PM_MASK = 0xffffff };

struct moment {
    uint64_t tsc, reference, pm;
};
struct move {
    struct moment before, after;
};

static uint16_t pm_port;

/* All three clocks on the same side of a move. */
static void moment_take(struct moment *m, uint64_t gap)
{
    do {
        m->tsc = rdtsc();
        m->reference = ref_time();
        m->pm = in32(pm_port);
    } while (rdtsc() - m->tsc >= gap);
}

/* False after four times the usual distance of moves. */
static bool move_await(struct move *m)
{
    uint64_t gap = arg("away") * (tsc_hz() / 10000000) / 2, limit = ref_time() + 4 * arg("every");
    moment_take(&m->after, gap);
    do {
        m->before = m->after;
        moment_take(&m->after, gap);
    } while (m->after.tsc - m->before.tsc < gap && m->after.reference < limit);
    return m->after.tsc - m->before.tsc >= gap;
}

#define NEEDS_MOVES()                                                                                                          \
    const uint8_t *fadt = acpi_table("FACP");                                                                                  \
    NEEDS(AccessPartitionReferenceCounter);                                                                                    \
    NEEDS_THAT(arg("away") != 0 && fadt != NULL, "nobody moves the machine, or it has no PM timer to compare with");           \
    pm_port = (uint16_t)(fadt[76] | fadt[77] << 8)

/* ---- first of all: the page is valid only until the first of these moves ---- */

static bool page_valid(const struct hv_reference_tsc_page *p)
{
    return p->sequence != 0 && p->sequence != 0xffffffff;
}

/* TLFS 2.0a §15.4.3.3: the sequence tells the guest to leave the page, and another source goes on where it was. */
TEST(page_becomes_invalid, "req.move.fallback")
{
    struct move m;
    NEEDS_MOVES();
    NEEDS(AccessPartitionReferenceTsc);
    NEEDS_THAT(arg("invalid") != 0, "the new host has a TSC");
    struct hv_reference_tsc_page *page = page_alloc();
    wrmsr(HV_X64_MSR_REFERENCE_TSC, gpa_of(page) | 1);
    REQUIRE(page_valid(page), "invalid before any move");
    REQUIRE(move_await(&m), "no move");
    EXPECT(!page_valid(page), "sequence %u after the move", page->sequence);
    EXPECT(m.after.reference >= m.before.reference, "the counter went back from %lu to %lu", m.before.reference,
           m.after.reference);
    EXPECT_EQ(rdmsr(HV_X64_MSR_REFERENCE_TSC), gpa_of(page) | 1);
    uint32_t pm = in32(pm_port); /* and the ACPI timer still runs */
    spin_100ns(20 * US_100NS);
    EXPECT(in32(pm_port) != pm);
}

TEST(reference_time_goes_on, "req.move.reference-time")
{
    NEEDS_MOVES();
    for (unsigned i = 0; i < 2; i++) {
        struct move m;
        REQUIRE(move_await(&m), "no move");
        REQUIRE(m.after.reference >= m.before.reference, "from %lu back to %lu", m.before.reference, m.after.reference);
        uint64_t passed = m.after.reference - m.before.reference;
        uint64_t want = ((m.after.pm - m.before.pm) & PM_MASK) * 10000000 / PM_TIMER_HZ;
        EXPECT(passed > want - want / 50 && passed < want + want / 50 + 20, "%lu x 100 ns while %lu passed", passed, want);
    }
}

static uint64_t rate(void)
{
    uint64_t from = ref_time(), tsc = rdtsc(), to;
    while ((to = ref_time()) < from + MS_100NS / 5) {
        pause();
    }
    return (rdtsc() - tsc) * 1000 / (to - from); /* in 10 kHz */
}

TEST(invariant_tsc_keeps_its_rate, "req.move.itsc-rate")
{
    struct move m;
    NEEDS_MOVES();
    NEEDS_THAT(cpuid(0x80000000, 0).eax >= 0x80000007 && cpuid(0x80000007, 0).edx >> 8 & 1, "no invariant TSC is advertised");
    uint64_t before = rate();
    REQUIRE(move_await(&m), "no move");
    uint64_t after = rate();
    EXPECT(after > before - before / 100 && after < before + before / 100, "%lu before, %lu after (x 10 kHz)", before, after);
}

TEST(privileges_go_along, "req.move.privileges", "req.move.privileges.exempt")
{
    struct move m;
    NEEDS_MOVES();
    struct cpuid before = cpuid(HV_CPUID_FEATURES, 0), after;
    REQUIRE(move_await(&m), "no move");
    after = cpuid(HV_CPUID_FEATURES, 0);
    EXPECT_EQ_FOR("req.move.privileges", after.eax & ~(1U << 9), before.eax & ~(1U << 9));
    EXPECT_EQ_FOR("req.move.privileges", after.ebx, before.ebx);
    /* Bit 9 may come and go; when it is there the MSR is, and when not it is not. */
    uint64_t value;
    EXPECT_EQ_FOR("req.move.privileges.exempt", rdmsr_try(HV_X64_MSR_REFERENCE_TSC, &value),
                  after.eax >> 9 & 1 ? NO_FAULT : VEC_GP);
}
