/* What a guest sees of a migration to another TSC rate. Clauses: reenlightenment.*, tsc-emulation.*; TLFS 6.0b §16.6.
 *
 * A test asks for its migration by a line on the console, "# go NAME", for which the scenario's timeline waits; the scenario's
 * rates all differ. Without such a scenario nothing comes, and the test says so. Rates are measured against the reference
 * counter.
 */
#include "vps.h"

enum { CONTROL = HV_X64_MSR_REENLIGHTENMENT_CONTROL, EMULATION = HV_X64_MSR_TSC_EMULATION_CONTROL };
enum { STATUS = HV_X64_MSR_TSC_EMULATION_STATUS, VECTOR = 0x60 };
#define ENABLED (1ULL << 16)
#define STRETCH (400 * US_100NS)

/* The scenario has a timeline that migrates. */
#define NEEDS_MIGRATIONS()                                                                                                     \
    NEEDS(AccessReenlightenmentControls);                                                                                      \
    NEEDS(AccessPartitionReferenceCounter);                                                                                    \
    NEEDS_THAT(arg_present("migrations"), "nobody migrates")

static void wait_ref(uint64_t time_100ns)
{
    uint64_t until = ref_time() + time_100ns;
    while (ref_time() < until) {
        pause();
    }
}

static uint64_t rate(void)
{
    uint64_t from = ref_time(), tsc = rdtsc();
    wait_ref(STRETCH);
    uint64_t to = ref_time(), passed = rdtsc() - tsc;
    return passed * 10000000 / (to - from);
}

/* Within one in two hundred: the counter's grain and the reads are in it. */
static bool same_rate(uint64_t a, uint64_t b)
{
    return a <= b + b / 200 && b <= a + a / 200;
}

static void wait_a_while(void)
{
    wait_ref(2 * MS_100NS); /* the line goes out, the timeline sees it, the migration comes */
}

static unsigned got_on(unsigned vp)
{
    return irq_count_on(vp, VECTOR);
}

TEST(notified, "reenlightenment.control.layout", "reenlightenment.notified", "reenlightenment.target")
{
    NEEDS_MIGRATIONS();
    NEEDS_VPS(2);
    wrmsr(CONTROL, (uint64_t)vp_index(1) << 32 | ENABLED | VECTOR);
    note("go notified");
    wait_a_while();
    wrmsr(CONTROL, 0);
    EXPECT_EQ(got_on(1), 1);
    take_interrupts(10 * US_100NS);
    EXPECT_EQ(got_on(0), 0);
}

TEST(notified_each_time, "reenlightenment.each")
{
    NEEDS_MIGRATIONS();
    wrmsr(CONTROL, (uint64_t)vp_index(0) << 32 | ENABLED | VECTOR);
    irqs(true);
    note("go first");
    wait_a_while();
    unsigned first = got_on(0);
    note("go second");
    wait_a_while();
    irqs(false);
    wrmsr(CONTROL, 0);
    EXPECT_EQ(first, 1);
    EXPECT_EQ(got_on(0), 2);
}

TEST(disabled, "reenlightenment.disabled")
{
    NEEDS_MIGRATIONS();
    wrmsr(CONTROL, VECTOR);
    irqs(true);
    note("go disabled");
    wait_a_while();
    irqs(false);
    EXPECT_EQ(irq_count(VECTOR), 0);
}

TEST(emulated, "tsc-emulation.forward", "tsc-emulation.in-progress", "tsc-emulation.keeps-rate")
{
    NEEDS_MIGRATIONS();
    wrmsr(EMULATION, 1);
    uint64_t before = rate(), tsc = rdtsc();
    note("go emulated");
    wait_a_while();
    uint64_t tsc_after = rdtsc(), status = rdmsr(STATUS), after = rate();
    wrmsr(EMULATION, 0);
    wrmsr(STATUS, 0);
    EXPECT_EQ_FOR("tsc-emulation.in-progress", status & 1, 1);
    EXPECT_FOR("tsc-emulation.keeps-rate", same_rate(before, after), "%lu Hz, then %lu Hz", before, after);
    EXPECT_FOR("tsc-emulation.forward", tsc_after > tsc, "0x%lx, then 0x%lx", tsc, tsc_after);
}

TEST(emulation_ended, "tsc-emulation.ended")
{
    NEEDS_MIGRATIONS();
    wrmsr(EMULATION, 1);
    uint64_t before = rate();
    note("go ended");
    wait_a_while();
    uint64_t during = rdmsr(STATUS);
    EXPECT_EQ(wrmsr_try(STATUS, 0), NO_FAULT);
    uint64_t status = rdmsr(STATUS), after = rate();
    wrmsr(EMULATION, 0);
    EXPECT_EQ(during & 1, 1);
    EXPECT_EQ(status & 1, 0);
    EXPECT(!same_rate(before, after), "%lu Hz before, %lu Hz now", before, after);
}

TEST(not_emulated, "tsc-emulation.forward", "tsc-emulation.not-asked")
{
    NEEDS_MIGRATIONS();
    uint64_t before = rate(), tsc = rdtsc();
    note("go bare");
    wait_a_while();
    uint64_t tsc_after = rdtsc(), status = rdmsr(STATUS), after = rate();
    EXPECT_EQ_FOR("tsc-emulation.not-asked", status & 1, 0);
    EXPECT_FOR("tsc-emulation.not-asked", !same_rate(before, after), "%lu Hz before, %lu Hz now", before, after);
    EXPECT_FOR("tsc-emulation.forward", tsc_after > tsc, "0x%lx, then 0x%lx", tsc, tsc_after);
}

/* Against the PIT, which knows nothing of TSCs: channel 2 counts down at 1193182 Hz. */
static uint64_t pit_ticks_of(uint64_t time_100ns)
{
    enum { CHANNEL2 = 0x42, COMMAND = 0x43, SPEAKER = 0x61 };
    out8(SPEAKER, (in8(SPEAKER) & 0xfc) | 1);
    out8(COMMAND, 0xb0);
    out8(CHANNEL2, 0xff);
    out8(CHANNEL2, 0xff);
    wait_ref(time_100ns);
    out8(COMMAND, 0x80); /* latch */
    uint64_t low = in8(CHANNEL2), high = in8(CHANNEL2);
    return 0xffff - (high << 8 | low);
}

TEST(reference_time_goes_on, "tsc-emulation.reference-time")
{
    NEEDS_MIGRATIONS();
    uint64_t before = ref_time(), ticks = pit_ticks_of(10 * MS_100NS);
    note("go time");
    wait_a_while();
    uint64_t after = ref_time(), ticks_after = pit_ticks_of(10 * MS_100NS);
    EXPECT(after > before, "0x%lx, then 0x%lx", before, after);
    EXPECT(same_rate(ticks, ticks_after), "%lu ticks of the PIT, then %lu, in 10 ms", ticks, ticks_after);
}

static uint64_t page_time(const volatile struct hv_reference_tsc_page *p)
{
    unsigned __int128 product = (unsigned __int128)rdtsc() * p->scale;
    return (uint64_t)(product >> 64) + (uint64_t)p->offset;
}

/* Valid and right, or marked invalid. */
static void expect_page_right(const volatile struct hv_reference_tsc_page *p)
{
    if (p->sequence == 0) {
        return;
    }
    uint64_t low = ref_time(), by_page = page_time(p), high = ref_time();
    EXPECT(by_page + 1 >= low && by_page <= high + 1, "0x%lx is not in 0x%lx to 0x%lx", by_page, low, high);
}

TEST(page_follows, "tsc-emulation.page", "tsc-emulation.sequence")
{
    NEEDS_MIGRATIONS();
    NEEDS(AccessPartitionReferenceTsc);
    const volatile struct hv_reference_tsc_page *p = page_alloc();
    wrmsr(HV_X64_MSR_REFERENCE_TSC, gpa_of(p) | 1);
    expect_page_right(p);
    for (unsigned emulate = 0; emulate < 2; emulate++) {
        wrmsr(EMULATION, emulate);
        uint64_t scale = p->scale;
        int64_t offset = p->offset;
        uint32_t sequence = p->sequence;
        note("go page-%u", emulate);
        wait_a_while();
        expect_page_right(p);
        wrmsr(STATUS, 0);
        expect_page_right(p);
        if (p->scale != scale || p->offset != offset) {
            EXPECT_FOR("tsc-emulation.sequence", p->sequence != sequence, "the sequence is still %u", sequence);
        }
    }
    wrmsr(EMULATION, 0);
    wrmsr(HV_X64_MSR_REFERENCE_TSC, 0);
    EXPECT_FOR("tsc-emulation.sequence", true);
}

TEST(frequency_follows, "tsc-emulation.frequency")
{
    NEEDS_MIGRATIONS();
    NEEDS(AccessFrequencyRegs);
    uint64_t before = rdmsr(HV_X64_MSR_TSC_FREQUENCY);
    note("go frequency");
    wait_a_while();
    uint64_t after = rdmsr(HV_X64_MSR_TSC_FREQUENCY), measured = rate();
    EXPECT(after != before, "still %lu Hz", after);
    EXPECT(same_rate(after, measured), "told %lu Hz, measured %lu Hz", after, measured);
}
