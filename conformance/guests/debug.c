/* Guest debugging with a silent far end. Clauses: conformance/clauses/debug.yaml; TLFS 2.0 §20, 6.0b appendix A. */
#include "vps.h"

enum { CODE_POST = HvCallPostDebugData, CODE_RETRIEVE = HvCallRetrieveDebugData, CODE_RESET = HvCallResetDebugSession };
enum { MAXIMUM = 4088, OPTION_LOOP = 1, OPTION_TEST_ACTIVITY = 2, PURGE_INCOMING = 1, PURGE_OUTGOING = 2 };

#define NEEDS_DEBUGGING()                                                                                                      \
    NEEDS(Debugging);                                                                                                          \
    NEEDS_CALLS()

static unsigned pending; /* the count that the last post gave back */

static unsigned post(uint32_t count, uint32_t options)
{
    uint32_t *in = page_alloc(), *out = page_alloc();
    in[0] = count;
    in[1] = options;
    memset(in + 2, 0xd8, PAGE_BYTES - 8);
    *out = 0xffffffff;
    unsigned status = HV_STATUS_OF(hv_call(CODE_POST, gpa_of(in), gpa_of(out)));
    pending = *out;
    return status;
}

static unsigned retrieve(uint32_t count, uint32_t options, uint64_t timeout_100ns)
{
    uint64_t *in = page_alloc();
    in[0] = (uint64_t)options << 32 | count;
    in[1] = timeout_100ns;
    return HV_STATUS_OF(hv_call(CODE_RETRIEVE, gpa_of(in), gpa_of(page_alloc())));
}

static unsigned purge(uint64_t options)
{
    return HV_STATUS_OF(hv_fast(CODE_RESET, options, 0));
}

/* A session with nothing in its buffers. */
static void empty(void)
{
    purge(PURGE_INCOMING | PURGE_OUTGOING);
}

/* ---- HvPostDebugData ---- */

TEST(post, "debug.post", "debug.post.pending")
{
    NEEDS_DEBUGGING();
    empty();
    EXPECT_EQ(post(16, 0), HV_STATUS_SUCCESS);
    unsigned first = pending;
    EXPECT_EQ(post(16, 0), HV_STATUS_SUCCESS);
    EXPECT(first <= 16, "%u bytes wait", first); /* less when some are on their way already */
    EXPECT(pending <= 32 && pending >= first, "%u, then %u bytes wait", first, pending);
}

TEST(post_maximum, "debug.post.maximum", "debug.post.room")
{
    NEEDS_DEBUGGING();
    empty();
    EXPECT_EQ(post(MAXIMUM, 0), HV_STATUS_SUCCESS);
    unsigned status = post(MAXIMUM, 0);
    if (edition() == EDITION_2_0) {
        EXPECT_EQ_FOR("debug.post.maximum", status == HV_STATUS_SUCCESS || status == HV_STATUS_INSUFFICIENT_BUFFERS, true);
    }
}

TEST(post_too_long, "debug.post.too-long")
{
    NEEDS_DEBUGGING();
    empty();
    EXPECT_EQ(post(MAXIMUM + 1, 0), HV_STATUS_INVALID_PARAMETER);
    EXPECT_EQ(post(0xffffffff, 0), HV_STATUS_INVALID_PARAMETER);
}

TEST(post_query, "debug.post.query")
{
    NEEDS_DEBUGGING();
    empty();
    EXPECT_EQ(post(0, 0), HV_STATUS_SUCCESS);
    EXPECT_EQ(pending, 0);
    post(20, 0);
    unsigned before = pending;
    EXPECT_EQ(post(0, 0), HV_STATUS_SUCCESS);
    EXPECT(pending <= before, "%u bytes after %u", pending, before);
}

TEST(post_options, "debug.post.options")
{
    NEEDS_DEBUGGING();
    empty();
    EXPECT_EQ(post(4, 2), HV_STATUS_INVALID_PARAMETER);
    EXPECT_EQ(post(4, 0x80000000), HV_STATUS_INVALID_PARAMETER);
    EXPECT_EQ(post(0, 0), HV_STATUS_SUCCESS);
    EXPECT_EQ(pending, 0);
}

TEST(post_loop, "debug.post.loop")
{
    NEEDS_DEBUGGING();
    empty();
    EXPECT_EQ(post(4, OPTION_LOOP), HV_STATUS_SUCCESS);
}

TEST(post_until_full, "debug.post.full")
{
    enum { ENOUGH = 4096 }; /* 16 MiB: no buffer is so large, and no line so fast */
    NEEDS_DEBUGGING();
    empty();
    unsigned status = HV_STATUS_SUCCESS, before = 0;
    uint32_t *in = page_alloc(), *out = page_alloc();
    in[0] = MAXIMUM;
    for (unsigned i = 0; i < ENOUGH && status == HV_STATUS_SUCCESS; i++) {
        status = HV_STATUS_OF(hv_call(CODE_POST, gpa_of(in), gpa_of(out)));
        before = status == HV_STATUS_SUCCESS ? *out : before;
    }
    EXPECT_EQ(status, HV_STATUS_INSUFFICIENT_BUFFERS);
    EXPECT_EQ(post(0, 0), HV_STATUS_SUCCESS);
    EXPECT(pending <= before, "%u bytes wait after a refusal, %u before", pending, before);
    empty();
}

/* ---- HvRetrieveDebugData ---- */

TEST(retrieve_empty, "debug.retrieve.empty")
{
    NEEDS_DEBUGGING();
    EXPECT_EQ(retrieve(16, 0, 0), HV_STATUS_NO_DATA);
}

TEST(retrieve_too_long, "debug.retrieve.too-long")
{
    NEEDS_DEBUGGING();
    EXPECT_EQ(retrieve(MAXIMUM + 1, 0, 0), HV_STATUS_INVALID_PARAMETER);
}

TEST(retrieve_query, "debug.retrieve.query")
{
    NEEDS_DEBUGGING();
    EXPECT_EQ(retrieve(0, 0, 0), HV_STATUS_NO_DATA);
}

TEST(retrieve_options, "debug.retrieve.options")
{
    NEEDS_DEBUGGING();
    EXPECT_EQ(retrieve(16, 4, 0), HV_STATUS_INVALID_PARAMETER);
    EXPECT_EQ(retrieve(16, 0x80000000, 0), HV_STATUS_INVALID_PARAMETER);
}

TEST(retrieve_activity, "debug.retrieve.activity")
{
    NEEDS_DEBUGGING();
    retrieve(16, 0, 0);
    EXPECT_EQ(retrieve(16, OPTION_TEST_ACTIVITY, 0), HV_STATUS_INACTIVE);
}

TEST(retrieve_loop, "debug.retrieve.loop")
{
    NEEDS_DEBUGGING();
    NEEDS(AccessPartitionReferenceCounter);
    uint64_t from = ref_time();
    EXPECT_EQ(retrieve(16, OPTION_LOOP, MS_100NS), HV_STATUS_NO_DATA);
    uint64_t passed = ref_time() - from;
    EXPECT(passed <= MS_100NS + 200 * US_100NS, "%lu units passed", passed);
}

/* ---- HvResetDebugSession ---- */

TEST(reset_purges_outgoing, "debug.reset.fast", "debug.reset.purges")
{
    NEEDS_DEBUGGING();
    post(100, 0);
    unsigned before = pending, status = purge(PURGE_OUTGOING);
    EXPECT(status == (before != 0 ? HV_STATUS_SUCCESS : HV_STATUS_NO_DATA), "status 0x%x with %u bytes", status, before);
    EXPECT_EQ(post(0, 0), HV_STATUS_SUCCESS);
    EXPECT_EQ(pending, 0);
}

TEST(reset_options, "debug.reset.none", "debug.reset.options")
{
    NEEDS_DEBUGGING();
    EXPECT_EQ_FOR("debug.reset.options", purge(4), HV_STATUS_INVALID_PARAMETER);
    EXPECT_EQ_FOR("debug.reset.options", purge(PURGE_OUTGOING | 0x80000000), HV_STATUS_INVALID_PARAMETER);
    EXPECT_EQ_FOR("debug.reset.none", purge(0), HV_STATUS_INVALID_PARAMETER);
}

TEST(reset_nothing, "debug.reset.no-data")
{
    NEEDS_DEBUGGING();
    empty();
    EXPECT_EQ(purge(PURGE_INCOMING | PURGE_OUTGOING), HV_STATUS_NO_DATA);
}

/* ---- availability ---- */

TEST(withheld, "debug.post.withheld", "debug.reset.withheld", "debug.retrieve.withheld")
{
    NEEDS_EDITION(EDITION_2_0, EDITION_LAST);
    NEEDS_WITHHELD(Debugging);
    NEEDS_CALLS();
    EXPECT_EQ_FOR("debug.post.withheld", post(4, 0), HV_STATUS_ACCESS_DENIED);
    EXPECT_EQ_FOR("debug.retrieve.withheld", retrieve(16, 0, 0), HV_STATUS_ACCESS_DENIED);
    EXPECT_EQ_FOR("debug.reset.withheld", purge(PURGE_OUTGOING), HV_STATUS_ACCESS_DENIED);
}

TEST(announced_with_privilege, "debug.announced")
{
    NEEDS(Debugging);
    EXPECT(has(GuestDebuggingAvailable));
}

/* ---- registers ---- */

TEST(msrs_withheld, "debug.msr.withheld")
{
    NEEDS_WITHHELD(AccessDebugRegs);
    for (uint32_t msr = HV_X64_MSR_SYNDBG_CONTROL; msr <= HV_X64_MSR_SYNDBG_PENDING_BUFFER; msr++) {
        EXPECT(msr_absent(msr), "MSR 0x%x", msr);
    }
}

#define NEEDS_DEBUG_MSRS()                                                                                                     \
    NEEDS_EDITION(EDITION_5_0, EDITION_5_0);                                                                                   \
    NEEDS(AccessDebugRegs);                                                                                                    \
    NEEDS(DebugRegsAvailable)

TEST(msrs_present, "debug.msr.present")
{
    NEEDS_DEBUG_MSRS();
    uint64_t value;
    for (uint32_t msr = HV_X64_MSR_SYNDBG_CONTROL; msr <= HV_X64_MSR_SYNDBG_PENDING_BUFFER; msr++) {
        EXPECT(rdmsr_try(msr, &value) == NO_FAULT, "MSR 0x%x", msr);
    }
}

TEST(msrs_hold_addresses, "debug.msr.buffers")
{
    NEEDS_DEBUG_MSRS();
    for (uint32_t msr = HV_X64_MSR_SYNDBG_CONTROL + 2; msr <= HV_X64_MSR_SYNDBG_PENDING_BUFFER; msr++) {
        uint64_t gpa = gpa_of(page_alloc());
        EXPECT(wrmsr_try(msr, gpa) == NO_FAULT, "MSR 0x%x", msr);
        EXPECT_EQ(rdmsr(msr), gpa);
        wrmsr(msr, 0);
    }
}
