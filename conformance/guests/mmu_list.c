/* HvFlushVirtualAddressList and the Ex forms of both flushes. Clauses: mmu.list.*, mmu.*-ex.*; TLFS 6.0b §9.4.3-9.4.5. */
#include "flush.h"

/* ---- HvFlushVirtualAddressList ---- */

static uint64_t flush_list_at(uint64_t flags, uint64_t mask, const uint64_t *ranges, unsigned count, unsigned start)
{
    uint64_t *in = page_alloc();
    in[0] = cr3();
    in[1] = flags;
    in[2] = mask;
    memcpy(in + 3, ranges, count * sizeof *ranges);
    return hv_call(CODE_LIST | HV_REPS(count) | HV_START(start), gpa_of(in), 0);
}

static void expect_list(uint64_t flags, uint64_t mask, const uint64_t *ranges, unsigned count)
{
    uint64_t result = flush_list_at(flags, mask, ranges, count, 0);
    EXPECT_EQ(HV_STATUS_OF(result), HV_STATUS_SUCCESS);
    EXPECT_EQ(HV_REPS_DONE(result), count);
}

static const uint64_t gva_alone[] = {GVA};

TEST(list_page, "mmu.list.page")
{
    NEEDS_FLUSH();
    change_under(0, GVA, 1, 0);
    expect_list(0, mask_of(0), gva_alone, 1);
    EXPECT_EQ(load(GVA), NEW);
}

TEST(list_remote, "mmu.list.on-return", "mmu.list.remote")
{
    NEEDS_FLUSH();
    NEEDS_VPS(2);
    change_under(1, GVA, 1, 0);
    expect_list(0, mask_of(1), gva_alone, 1);
    EXPECT_EQ(load_on(1, GVA), NEW);
}

TEST(list_range, "mmu.list.range")
{
    NEEDS_FLUSH();
    const uint64_t range = GVA | 3;
    change_under(0, GVA, 4, 0);
    expect_list(0, mask_of(0), &range, 1);
    for (unsigned i = 0; i < 4; i++) {
        EXPECT_EQ(load(GVA + i * PAGE_BYTES), NEW);
    }
}

TEST(list_range_longest, "mmu.list.range-last")
{
    NEEDS_FLUSH();
    const uint64_t range = GVA | 0xfff, last = GVA + 0xfff * PAGE_BYTES;
    change_under(0, GVA, 1, 0);
    change_under(0, last, 1, 0);
    expect_list(0, mask_of(0), &range, 1);
    EXPECT_EQ(load(GVA), NEW);
    EXPECT_EQ(load(last), NEW);
}

static const uint64_t three_pages[] = {GVA, GVA + PAGE_BYTES, GVA + 2 * PAGE_BYTES};

TEST(list_several, "mmu.list.several")
{
    NEEDS_FLUSH();
    change_under(0, GVA, 3, 0);
    expect_list(0, mask_of(0), three_pages, 3);
    for (unsigned i = 0; i < 3; i++) {
        EXPECT_EQ(load(three_pages[i]), NEW);
    }
}

TEST(list_start_index, "mmu.list.start-index")
{
    NEEDS_FLUSH();
    change_under(0, GVA, 3, 0);
    uint64_t result = flush_list_at(0, mask_of(0), three_pages, 3, 1);
    EXPECT_EQ(HV_STATUS_OF(result), HV_STATUS_SUCCESS);
    EXPECT_EQ(HV_REPS_DONE(result), 3);
    EXPECT_EQ(load(three_pages[1]), NEW);
    EXPECT_EQ(load(three_pages[2]), NEW);
}

TEST(list_global, "mmu.list.global")
{
    NEEDS_FLUSH();
    globals_on(true);
    change_under(0, GVA, 1, MAP_GLOBAL);
    expect_list(0, mask_of(0), gva_alone, 1);
    EXPECT_EQ(load(GVA), NEW);
    globals_on(false);
}

TEST(list_large, "mmu.list.large")
{
    NEEDS_FLUSH();
    NEEDS_THAT(large_change_under(0), "0x%lx bytes of memory are too few", memory_bytes());
    const uint64_t range = LARGE_GVA + 0x3000;
    expect_list(0, mask_of(0), &range, 1);
    EXPECT_EQ(load(LARGE_GVA + LARGE_OFFSET), NEW);
}

TEST(list_invalid_gva, "mmu.list.invalid-gva")
{
    NEEDS_FLUSH();
    const uint64_t ranges[] = {0x8000000000000000ULL, GVA};
    change_under(0, GVA, 1, 0);
    expect_list(0, mask_of(0), ranges, 2);
    EXPECT_EQ(load(GVA), NEW);
}

TEST(list_all_processors, "mmu.list.all-processors")
{
    NEEDS_FLUSH();
    NEEDS_VPS(2);
    change_under(1, GVA, 1, 0);
    expect_list(FLUSH_ALL_PROCESSORS, 0, gva_alone, 1);
    EXPECT_EQ(load_on(1, GVA), NEW);
}

TEST(list_all_spaces, "mmu.list.all-spaces")
{
    NEEDS_FLUSH();
    change_under(0, GVA, 1, 0);
    uint64_t *in = page_alloc();
    in[0] = ~0ULL;
    in[1] = FLUSH_ALL_PROCESSORS | FLUSH_ALL_SPACES;
    in[3] = GVA;
    EXPECT_EQ(HV_STATUS_OF(hv_call(CODE_LIST | HV_REPS(1), gpa_of(in), 0)), HV_STATUS_SUCCESS);
    EXPECT_EQ(load(GVA), NEW);
}

static void expect_list_refused(uint64_t flags, uint64_t mask)
{
    uint64_t result = flush_list_at(flags, mask, gva_alone, 1, 0);
    EXPECT_EQ(HV_STATUS_OF(result), HV_STATUS_INVALID_PARAMETER);
    EXPECT_EQ(HV_REPS_DONE(result), 0);
}

TEST(list_empty_mask, "mmu.list.no-target")
{
    NEEDS_FLUSH();
    expect_list_refused(0, 0);
}

TEST(list_non_global_flag, "mmu.list.non-global")
{
    NEEDS_FLUSH();
    expect_list_refused(FLUSH_ALL_PROCESSORS | FLUSH_NON_GLOBAL_ONLY, 0);
}

TEST(list_reserved_flags, "mmu.list.flags-reserved")
{
    NEEDS_FLUSH();
    for (unsigned i = 0; i < ARRAY_COUNT(undefined_flags); i++) {
        expect_list_refused(undefined_flags[i] | FLUSH_ALL_PROCESSORS, 0);
    }
}

TEST(list_bad_id, "mmu.list.bad-id")
{
    NEEDS_FLUSH();
    uint64_t *in = page_alloc();
    in[0] = cr3() | RESERVED_CR3_BIT;
    in[1] = FLUSH_ALL_PROCESSORS;
    in[3] = GVA;
    EXPECT_EQ(HV_STATUS_OF(hv_call(CODE_LIST | HV_REPS(1), gpa_of(in), 0)), HV_STATUS_INVALID_PARAMETER);
}

TEST(list_full_page, "mmu.list.full-page")
{
    enum { FULL = (PAGE_BYTES - 24) / 8 };
    NEEDS_FLUSH();
    uint64_t *in = pages_alloc(2);
    in[0] = cr3();
    in[1] = FLUSH_ALL_PROCESSORS;
    for (unsigned i = 0; i <= FULL; i++) {
        in[3 + i] = GVA;
    }
    uint64_t result = hv_call(CODE_LIST | HV_REPS(FULL), gpa_of(in), 0);
    EXPECT_EQ(HV_STATUS_OF(result), HV_STATUS_SUCCESS);
    EXPECT_EQ(HV_REPS_DONE(result), FULL);
    EXPECT_EQ(HV_STATUS_OF(hv_call(CODE_LIST | HV_REPS(FULL + 1), gpa_of(in), 0)), HV_STATUS_INVALID_ALIGNMENT);
}

TEST(list_zero_count, "mmu.list.zero-count")
{
    NEEDS_FLUSH();
    uint64_t *in = page_alloc();
    in[1] = FLUSH_ALL_PROCESSORS | FLUSH_ALL_SPACES;
    EXPECT_EQ(HV_STATUS_OF(hv_call(CODE_LIST, gpa_of(in), 0)), HV_STATUS_INVALID_HYPERCALL_INPUT);
}

TEST(list_extended, "mmu.list.extended")
{
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    NEEDS_FLUSH();
    NEEDS(ExtendedGvaRangesForFlushVirtualAddressListAvailable);
    change_under(0, GVA, 1, 0);
    expect_list(FLUSH_EXTENDED_RANGES, mask_of(0), gva_alone, 1);
    EXPECT_EQ(load(GVA), NEW);
}

TEST(list_extended_withheld, "mmu.list.extended-withheld")
{
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    NEEDS_WITHHELD(ExtendedGvaRangesForFlushVirtualAddressListAvailable);
    NEEDS_FLUSH();
    expect_list_refused(FLUSH_ALL_PROCESSORS | FLUSH_EXTENDED_RANGES, 0);
}

TEST(list_extended_before, "mmu.list.extended-before")
{
    NEEDS_EDITION(EDITION_2_0, EDITION_4_0);
    NEEDS_FLUSH();
    expect_list_refused(FLUSH_ALL_PROCESSORS | FLUSH_EXTENDED_RANGES, 0);
}

/* ---- the Ex calls ---- */

/* Words from `in` on: space, flags, format, banks' mask, then `banks` bank words and `reps` ranges of GVA. */
static uint64_t flush_ex(unsigned code, uint64_t flags, uint64_t format, uint64_t mask, uint64_t bank, unsigned banks,
                         unsigned reps)
{
    uint64_t *in = page_alloc();
    in[0] = cr3();
    in[1] = flags;
    in[2] = format;
    in[3] = mask;
    for (unsigned i = 0; i < banks; i++) {
        in[4 + i] = i == 0 ? bank : 0;
    }
    for (unsigned i = 0; i < reps; i++) {
        in[4 + banks + i] = GVA + i * PAGE_BYTES;
    }
    return hv_call(code | HV_VARHEAD(banks) | HV_REPS(reps), gpa_of(in), 0);
}

enum { SPARSE = 0, ALL = 1 };

TEST(space_ex_sparse, "mmu.space-ex.sparse")
{
    NEEDS_FLUSH_EX();
    NEEDS_VPS(2);
    change_under(1, GVA, 1, 0);
    EXPECT_EQ(HV_STATUS_OF(flush_ex(CODE_SPACE_EX, 0, SPARSE, 1, mask_of(1), 1, 0)), HV_STATUS_SUCCESS);
    EXPECT_EQ(load_on(1, GVA), NEW);
}

TEST(space_ex_all, "mmu.space-ex.all")
{
    NEEDS_FLUSH_EX();
    NEEDS_VPS(2);
    change_under(1, GVA, 1, 0);
    change_under(0, GVA + PAGE_BYTES, 1, 0);
    EXPECT_EQ(HV_STATUS_OF(flush_ex(CODE_SPACE_EX, 0, ALL, 0, 0, 0, 0)), HV_STATUS_SUCCESS);
    EXPECT_EQ(load_on(1, GVA), NEW);
    EXPECT_EQ(load(GVA + PAGE_BYTES), NEW);
}

TEST(space_ex_flags, "mmu.space-ex.flags")
{
    NEEDS_FLUSH_EX();
    for (unsigned i = 0; i < ARRAY_COUNT(undefined_flags); i++) {
        EXPECT_EQ(HV_STATUS_OF(flush_ex(CODE_SPACE_EX, undefined_flags[i], SPARSE, 1, 1, 1, 0)), HV_STATUS_INVALID_PARAMETER);
    }
}

TEST(space_ex_header, "mmu.space-ex.header")
{
    NEEDS_FLUSH_EX();
    EXPECT_EQ(HV_STATUS_OF(flush_ex(CODE_SPACE_EX, 0, SPARSE, 3, 1, 1, 0)), HV_STATUS_INVALID_HYPERCALL_INPUT);
    EXPECT_EQ(HV_STATUS_OF(flush_ex(CODE_SPACE_EX, 0, SPARSE, 1, 1, 2, 0)), HV_STATUS_INVALID_HYPERCALL_INPUT);
}

TEST(space_ex_format, "mmu.space-ex.format")
{
    NEEDS_FLUSH_EX();
    EXPECT(HV_STATUS_OF(flush_ex(CODE_SPACE_EX, 0, 2, 1, 1, 1, 0)) != HV_STATUS_SUCCESS, "format 2 was taken");
}

TEST(list_ex_sparse, "mmu.list-ex.sparse")
{
    NEEDS_FLUSH_EX();
    NEEDS_VPS(2);
    change_under(1, GVA, 1, 0);
    EXPECT_EQ(HV_STATUS_OF(flush_ex(CODE_LIST_EX, 0, SPARSE, 1, mask_of(1), 1, 1)), HV_STATUS_SUCCESS);
    EXPECT_EQ(load_on(1, GVA), NEW);
}

TEST(list_ex_after_banks, "mmu.list-ex.after-banks", "mmu.list-ex.count")
{
    NEEDS_FLUSH_EX();
    change_under(0, GVA, 3, 0);
    uint64_t result = flush_ex(CODE_LIST_EX, 0, SPARSE, 3, mask_of(0), 2, 3);
    EXPECT_EQ(HV_STATUS_OF(result), HV_STATUS_SUCCESS);
    EXPECT_EQ(HV_REPS_DONE(result), 3);
    for (unsigned i = 0; i < 3; i++) {
        EXPECT_EQ(load(GVA + i * PAGE_BYTES), NEW);
    }
}

TEST(list_ex_all, "mmu.list-ex.all")
{
    NEEDS_FLUSH_EX();
    NEEDS_VPS(2);
    change_under(1, GVA, 1, 0);
    EXPECT_EQ(HV_STATUS_OF(flush_ex(CODE_LIST_EX, 0, ALL, 0, 0, 0, 1)), HV_STATUS_SUCCESS);
    EXPECT_EQ(load_on(1, GVA), NEW);
}

TEST(list_ex_header, "mmu.list-ex.header")
{
    NEEDS_FLUSH_EX();
    EXPECT_EQ(HV_STATUS_OF(flush_ex(CODE_LIST_EX, 0, SPARSE, 3, 1, 1, 1)), HV_STATUS_INVALID_HYPERCALL_INPUT);
    EXPECT_EQ(HV_STATUS_OF(flush_ex(CODE_LIST_EX, 0, SPARSE, 1, 1, 2, 1)), HV_STATUS_INVALID_HYPERCALL_INPUT);
}

TEST(ex_withheld, "mmu.list-ex.withheld", "mmu.space-ex.withheld")
{
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    NEEDS_WITHHELD(UseExProcessorMasks);
    NEEDS_CALLS();
    unsigned space = HV_STATUS_OF(flush_ex(CODE_SPACE_EX, 0, SPARSE, 1, 1, 1, 0));
    unsigned list = HV_STATUS_OF(flush_ex(CODE_LIST_EX, 0, SPARSE, 1, 1, 1, 1));
    EXPECT_FOR("mmu.space-ex.withheld", space == HV_STATUS_INVALID_HYPERCALL_CODE || space == HV_STATUS_ACCESS_DENIED,
               "status 0x%x", space);
    EXPECT_FOR("mmu.list-ex.withheld", list == HV_STATUS_INVALID_HYPERCALL_CODE || list == HV_STATUS_ACCESS_DENIED,
               "status 0x%x", list);
}

TEST(ex_unknown_before, "mmu.ex.before")
{
    NEEDS_EDITION(EDITION_2_0, EDITION_4_0);
    NEEDS_CALLS();
    EXPECT_EQ(HV_STATUS_OF(hv_call(CODE_SPACE_EX, gpa_of(page_alloc()), 0)), HV_STATUS_INVALID_HYPERCALL_CODE);
    EXPECT_EQ(HV_STATUS_OF(hv_call(CODE_LIST_EX | HV_REPS(1), gpa_of(page_alloc()), 0)), HV_STATUS_INVALID_HYPERCALL_CODE);
}
