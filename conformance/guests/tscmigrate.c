/* The reference TSC page over moves to hosts with other TSC rates. TLFS 6.0b §12.3, §12.7.3.
 *
 * The scenario moves the partition now and then (`migrate`), and says so by `moves=1`. Each test waits for one move, looking at
 * the page all the time.
 */
#include "kit.h"

enum { PATIENCE_100NS = 1000000 };

struct seen {
    uint32_t sequence;
    uint64_t scale;
    int64_t offset;
};

static struct seen look(const volatile struct hv_reference_tsc_page *page)
{
    struct seen s;
    do {
        s = (struct seen){page->sequence, page->scale, page->offset};
    } while (page->sequence != s.sequence);
    return s;
}

static bool moved(struct seen a, struct seen b)
{
    return a.scale != b.scale || a.offset != b.offset;
}

static uint64_t page_time(const volatile struct hv_reference_tsc_page *page)
{
    uint32_t sequence;
    uint64_t time;
    do {
        sequence = page->sequence;
        uint64_t tsc = rdtsc();
        time = (uint64_t)(((unsigned __int128)tsc * page->scale) >> 64) + (uint64_t)page->offset;
    } while (sequence != page->sequence);
    return sequence == 0 ? ref_time() : time;
}

#define NEEDS_MOVES(page)                                                                                                      \
    NEEDS(AccessPartitionReferenceTsc);                                                                                        \
    NEEDS(AccessPartitionReferenceCounter);                                                                                    \
    NEEDS_THAT(arg_present("moves"), "nobody moves the partition");                                                            \
    volatile struct hv_reference_tsc_page *page = page_alloc();                                                                \
    wrmsr(HV_X64_MSR_REFERENCE_TSC, gpa_of(page) | 1);                                                                         \
    NEEDS_THAT(page->sequence != 0, "the page says that it is of no use")

TEST(sequence_changes_with_scale, "tscpage.sequence.changes")
{
    NEEDS_MOVES(page);
    struct seen before = look(page), now;
    uint64_t limit = ref_time() + PATIENCE_100NS;
    do {
        now = look(page);
    } while (!moved(before, now) && ref_time() < limit);
    REQUIRE(moved(before, now), "no move within 100 ms");
    EXPECT(now.sequence != before.sequence, "sequence %u before and after", now.sequence);
    EXPECT(now.sequence != 0xffffffff);
}

TEST(time_is_continuous, "tscpage.sequence.consistent", "tscpage.migrate.new-rate")
{
    NEEDS_MOVES(page);
    struct seen before = look(page);
    uint64_t limit = ref_time() + PATIENCE_100NS, last = page_time(page), after_move = 0;
    while (ref_time() < limit && after_move < 200) {
        uint64_t from = ref_time(), time = page_time(page), to = ref_time();
        REQUIRE(from <= time && time <= to, "%lu, counter %lu to %lu", time, from, to);
        REQUIRE(time >= last, "%lu after %lu", time, last);
        last = time;
        after_move += moved(before, look(page));
    }
    EXPECT(after_move != 0, "no move within 100 ms");
}

TEST(no_time_passes_while_saved, "tscpage.migrate.stopped-time")
{
    NEEDS_MOVES(page);
    struct seen before = look(page);
    uint64_t limit = ref_time() + PATIENCE_100NS, last = ref_time(), step = 0;
    while (!moved(before, look(page)) && last < limit) {
        uint64_t now = ref_time();
        step = now - last > step ? now - last : step;
        last = now;
    }
    EXPECT(moved(before, look(page)), "no move within 100 ms");
    step = ref_time() - last > step ? ref_time() - last : step;
    EXPECT(step < 10000, "the counter jumped by %lu units", step);
}
