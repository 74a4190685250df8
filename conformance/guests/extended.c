/* Judges extended.yaml: hypercalls with codes above 0x8000. */
#include "kit.h"

enum { HvExtCallGetBootZeroedMemory = 0x8002, HvExtCallMemoryHeatHint = 0x8003, HvExtCallLast = 0x8006 };

#define NEEDS_EXTENDED()                                                                                                       \
    NEEDS(AccessHypercallMsrs);                                                                                                \
    NEEDS(EnableExtendedHypercalls);                                                                                           \
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);                                                                                  \
    REQUIRE(hv_enable())

static unsigned query(uint64_t *out)
{
    return HV_STATUS_OF(hv_call(HvExtCallQueryCapabilities, 0, gpa_of(out)));
}

static uint64_t capabilities(void)
{
    uint64_t *out = page_alloc();
    EXPECT_EQ(query(out), HV_STATUS_SUCCESS);
    return out[0];
}

static bool alive(void)
{
    return HV_STATUS_OF(hv_fast(HvCallNotifyLongSpinWait, 1, 0)) == HV_STATUS_SUCCESS;
}

static unsigned call(uint64_t control)
{
    return HV_STATUS_OF(hv_call(control, gpa_of(page_alloc()), gpa_of(page_alloc())));
}

static bool refused(unsigned status)
{
    return status == HV_STATUS_INVALID_HYPERCALL_CODE || status == HV_STATUS_ACCESS_DENIED;
}

TEST(same_convention, "ext.convention")
{
    NEEDS_EXTENDED();
    uint64_t *out = page_alloc();
    out[0] = 0xa5a5a5a5a5a5a5a5;
    struct hv_regs r = {.rax = 0xdeaddeaddeaddead, .rcx = HvExtCallQueryCapabilities, .r8 = gpa_of(out)};
    hv_call_regs(&r);
    EXPECT_EQ(r.rax, HV_STATUS_SUCCESS);
    EXPECT(out[0] != 0xa5a5a5a5a5a5a5a5);
}

KIT_CODE(query_32, 32, "mov %edi, %ebp\n xor %edi, %edi\n call *%ebp");

TEST(same_convention_32, "ext.convention.32")
{
    NEEDS_EXTENDED();
    uint64_t *out = page_alloc();
    out[0] = 0xa5a5a5a5a5a5a5a5;
    struct regs32 r = {.eax = HvExtCallQueryCapabilities, .esi = (uint32_t)gpa_of(out), .edi = (uint32_t)hv_page()};
    EXPECT_EQ(run_in_32bit(query_32, (size_t)(query_32_end - query_32), &r).vector, NO_FAULT);
    EXPECT_EQ(r.eax & 0xffff, HV_STATUS_SUCCESS);
    EXPECT(out[0] != 0xa5a5a5a5a5a5a5a5);
}

TEST(refused_without_privilege, "ext.privilege")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    NEEDS_THAT(!has(EnableExtendedHypercalls), "EnableExtendedHypercalls is granted");
    REQUIRE(hv_enable());
    for (unsigned code = HvExtCallQueryCapabilities; code <= HvExtCallLast; code++) {
        EXPECT(refused(call(code)), "code 0x%x", code);
    }
}

TEST(query_writes_mask, "ext.query")
{
    NEEDS_EXTENDED();
    uint64_t *out = page_alloc();
    memset(out, 0xa5, 16);
    EXPECT_EQ(query(out), HV_STATUS_SUCCESS);
    EXPECT(out[0] != 0xa5a5a5a5a5a5a5a5);
}

TEST(query_ignores_input, "ext.query.no-input")
{
    NEEDS_EXTENDED();
    uint64_t *out = page_alloc();
    EXPECT_EQ(HV_STATUS_OF(hv_call(HvExtCallQueryCapabilities, 0xffffffffffffffff, gpa_of(out))), HV_STATUS_SUCCESS);
}

TEST(query_output_misaligned, "ext.query.output-aligned")
{
    NEEDS_EXTENDED();
    EXPECT_EQ(HV_STATUS_OF(hv_call(HvExtCallQueryCapabilities, 0, gpa_of(page_alloc()) + 4)), HV_STATUS_INVALID_ALIGNMENT);
}

TEST(query_stable, "ext.query.stable")
{
    NEEDS_EXTENDED();
    uint64_t first = capabilities();
    EXPECT_EQ(capabilities(), first);
}

TEST(query_writes_eight_bytes, "ext.query.exact")
{
    NEEDS_EXTENDED();
    uint64_t *out = page_alloc();
    memset(out, 0xa5, PAGE_BYTES);
    EXPECT_EQ(query(out + 1), HV_STATUS_SUCCESS);
    for (unsigned i = 0; i < PAGE_BYTES / 8; i++) {
        EXPECT(i == 1 || out[i] == 0xa5a5a5a5a5a5a5a5, "quadword %u", i);
    }
}

TEST(query_takes_no_reps, "ext.query.simple")
{
    NEEDS_EXTENDED();
    EXPECT_EQ(call(HvExtCallQueryCapabilities | HV_REPS(1)), HV_STATUS_INVALID_HYPERCALL_INPUT);
}

TEST(reserved_5_0, "ext.reserved-5")
{
    NEEDS_EDITION(EDITION_5_0, EDITION_5_0);
    NEEDS_EXTENDED();
    EXPECT_EQ(capabilities() & ~1ULL, 0);
}

TEST(reserved_6_0, "ext.reserved-6")
{
    NEEDS_EDITION(EDITION_6_0, EDITION_6_0);
    NEEDS_EXTENDED();
    EXPECT_EQ(capabilities() & ~0x1fULL, 0);
}

/* A code is answered or refused as its bit says. What a call that is answered makes of an empty input is its own affair. */
static void expect_as_announced(unsigned code)
{
    bool announced = capabilities() >> (code - HvExtCallGetBootZeroedMemory) & 1;
    unsigned status = call(code);
    if (refused(status)) { /* a call with a list wants a count */
        status = call(code | HV_REPS(1));
    }
    EXPECT(refused(status) == !announced, "announced: %u, status 0x%x", announced, status);
}

#define ANNOUNCED_TEST(name, clause, first_edition, code)                                                                      \
    TEST(name, clause)                                                                                                         \
    {                                                                                                                          \
        NEEDS_EDITION(first_edition, EDITION_LAST);                                                                            \
        NEEDS_EXTENDED();                                                                                                      \
        expect_as_announced(code);                                                                                             \
    }

ANNOUNCED_TEST(zeroed_as_announced, "ext.zeroed.announced", EDITION_5_0, 0x8002)
ANNOUNCED_TEST(heat_as_announced, "ext.heat.announced", EDITION_6_0, 0x8003)
ANNOUNCED_TEST(epf_as_announced, "ext.epf.announced", EDITION_6_0, 0x8004)
ANNOUNCED_TEST(scheduler_as_announced, "ext.scheduler.announced", EDITION_6_0, 0x8005)
ANNOUNCED_TEST(heat_async_as_announced, "ext.heat-async.announced", EDITION_6_0, 0x8006)

TEST(zeroed_succeeds, "ext.zeroed.announced")
{
    NEEDS_EXTENDED();
    NEEDS_THAT(capabilities() & 1, "the call is not announced");
    EXPECT_EQ(call(HvExtCallGetBootZeroedMemory), HV_STATUS_SUCCESS);
}

TEST(heat_is_a_list, "code.form.rep")
{
    NEEDS_EDITION(EDITION_6_0, EDITION_LAST);
    NEEDS_EXTENDED();
    NEEDS_THAT(capabilities() & 2, "the call is not announced");
    EXPECT_EQ(call(HvExtCallMemoryHeatHint), HV_STATUS_INVALID_HYPERCALL_INPUT);
}

TEST(heat_counts_its_list, "hc.rep.complete-count")
{
    NEEDS_EDITION(EDITION_6_0, EDITION_LAST);
    NEEDS_EXTENDED();
    NEEDS_THAT(capabilities() & 2, "the call is not announced");
    uint64_t result = hv_call(HvExtCallMemoryHeatHint | HV_REPS(2), gpa_of(page_alloc()), 0);
    NEEDS_THAT(HV_STATUS_OF(result) == HV_STATUS_SUCCESS, "an empty hint is none here");
    EXPECT_EQ(HV_REPS_DONE(result), 2);
}

TEST(unknown_extended, "ext.unknown")
{
    NEEDS_EXTENDED();
    static const unsigned codes[] = {0x8010, 0x8100, 0x9000, 0xfffe, 0xffff};
    for (unsigned i = 0; i < ARRAY_COUNT(codes); i++) {
        EXPECT(refused(call(codes[i])), "code 0x%x", codes[i]);
    }
}

TEST(code_8000, "ext.unknown.first")
{
    NEEDS_EXTENDED();
    EXPECT(refused(call(0x8000)));
}

TEST(unknown_extended_harmless, "ext.unknown.harmless")
{
    NEEDS_EXTENDED();
    call(0x8fff);
    EXPECT(alive());
    capabilities();
}
