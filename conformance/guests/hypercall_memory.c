/* Judges hypercall.yaml where it is about the memory of inputs and outputs: alignment, pages, overlap, holes, overlays. §3.6.
 */
#include "kit.h"

enum { FLUSH_ALL = 3, FLUSH_HEADER_BYTES = 24, REGISTER_HEADER_BYTES = 16, HvX64RegisterLstar = 0x80009 };
#define SELF 0xffffffffffffffffULL
#define VP_SELF 0xfffffffeULL

static unsigned flush_at(uint64_t in)
{
    return HV_STATUS_OF(hv_call(HvCallFlushVirtualAddressSpace, in, 0));
}

static void flush_input(void *at)
{
    uint64_t *in = at;
    in[0] = 0;
    in[1] = FLUSH_ALL;
    in[2] = 0;
}

static uint64_t output_call(void)
{
    return has(EnableExtendedHypercalls) ? HvExtCallQueryCapabilities : has(AccessPartitionId) ? HvCallGetPartitionId : 0;
}
#define NEEDS_OUTPUT_CALL() NEEDS_THAT(output_call() != 0, "no call with output and without input is granted")

static bool alive(void)
{
    return HV_STATUS_OF(hv_fast(HvCallNotifyLongSpinWait, 1, 0)) == HV_STATUS_SUCCESS;
}

static uint64_t beyond_gpa_space(void)
{
    return 1ULL << (cpuid(0x80000008, 0).eax & 0xff);
}

static uint64_t hole(void)
{
    return (memory_bytes() + 0x1fffff) & ~0x1fffffULL;
}

/* HvGetVpRegisters of LSTAR, `count` times. */
static uint64_t get_registers(void *in_page, unsigned count, uint64_t out)
{
    uint64_t *in = in_page;
    in[0] = SELF;
    in[1] = VP_SELF;
    for (unsigned i = 0; i < count; i++) {
        ((uint32_t *)in)[4 + i] = HvX64RegisterLstar;
    }
    return hv_call(HvCallGetVpRegisters | HV_REPS(count), gpa_of(in), out);
}

TEST(input_misaligned, "hc.align.input")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    uint8_t *page = page_alloc();
    for (unsigned offset = 1; offset < 8; offset++) {
        EXPECT(flush_at(gpa_of(page) + offset) == HV_STATUS_INVALID_ALIGNMENT, "offset %u", offset);
    }
}

TEST(output_misaligned, "hc.align.output")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_OUTPUT_CALL();
    REQUIRE(hv_enable());
    uint8_t *page = page_alloc();
    for (unsigned offset = 1; offset < 8; offset++) {
        EXPECT(HV_STATUS_OF(hv_call(output_call(), 0, gpa_of(page) + offset)) == HV_STATUS_INVALID_ALIGNMENT, "offset %u",
               offset);
    }
}

TEST(input_crosses_page, "hc.align.input-crosses")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    uint8_t *pages = pages_alloc(2);
    for (unsigned over = 8; over < FLUSH_HEADER_BYTES; over += 8) {
        uint8_t *in = pages + PAGE_BYTES - over;
        flush_input(in);
        EXPECT(flush_at(gpa_of(in)) == HV_STATUS_INVALID_ALIGNMENT, "%u bytes before the end", over);
    }
}

TEST(list_crosses_page, "hc.align.list-crosses")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    uint8_t *in = (uint8_t *)pages_alloc(2) + PAGE_BYTES - FLUSH_HEADER_BYTES - 16;
    flush_input(in);
    EXPECT_EQ(HV_STATUS_OF(hv_call(HvCallFlushVirtualAddressList | HV_REPS(2), gpa_of(in), 0)), HV_STATUS_SUCCESS);
    EXPECT_EQ(HV_STATUS_OF(hv_call(HvCallFlushVirtualAddressList | HV_REPS(3), gpa_of(in), 0)), HV_STATUS_INVALID_ALIGNMENT);
}

TEST(output_crosses_page, "hc.align.output-crosses")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(AccessVpRegisters);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST); /* before, only a parent reads and writes registers */
    REQUIRE(hv_enable());
    uint8_t *out = (uint8_t *)pages_alloc(2) + PAGE_BYTES - 16;
    EXPECT_EQ(HV_STATUS_OF(get_registers(page_alloc(), 2, gpa_of(out))), HV_STATUS_INVALID_ALIGNMENT);
}

TEST(input_at_page_end, "hc.align.at-page-end")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    uint8_t *in = (uint8_t *)page_alloc() + PAGE_BYTES - FLUSH_HEADER_BYTES;
    flush_input(in);
    EXPECT_EQ(flush_at(gpa_of(in)), HV_STATUS_SUCCESS);
}

TEST(output_at_page_end, "hc.align.output-at-page-end")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_OUTPUT_CALL();
    REQUIRE(hv_enable());
    uint64_t *out = page_alloc();
    EXPECT_EQ(HV_STATUS_OF(hv_call(output_call(), 0, gpa_of(out) + PAGE_BYTES - 8)), HV_STATUS_SUCCESS);
}

TEST(input_and_output_overlap, "hc.align.overlap")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(AccessVpRegisters);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST); /* before, only a parent reads and writes registers */
    REQUIRE(hv_enable());
    uint64_t *page = page_alloc();
    page[4] = page[5] = 0xa5a5a5a5a5a5a5a5;
    uint64_t result = get_registers(page, 1, gpa_of(page));
    EXPECT(HV_STATUS_OF(result) <= HV_STATUS_INVALID_PARAMETER, "status 0x%x", HV_STATUS_OF(result));
    EXPECT(page[4] == 0xa5a5a5a5a5a5a5a5 && page[5] == 0xa5a5a5a5a5a5a5a5, "bytes behind input and output changed");
    EXPECT(alive());
}

TEST(input_and_output_share_page, "hc.align.same-page")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(AccessVpRegisters);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST); /* before, only a parent reads and writes registers */
    REQUIRE(hv_enable());
    uint64_t *page = page_alloc();
    EXPECT_EQ(HV_STATUS_OF(get_registers(page, 1, gpa_of(page + 256))), HV_STATUS_SUCCESS);
}

TEST(input_beyond_gpa_space, "hc.align.beyond")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    EXPECT_EQ(flush_at(beyond_gpa_space()), HV_STATUS_INVALID_ALIGNMENT);
    EXPECT_EQ(flush_at(0xfffffffffffff000), HV_STATUS_INVALID_ALIGNMENT);
}

TEST(output_beyond_gpa_space, "hc.align.output-beyond")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_OUTPUT_CALL();
    REQUIRE(hv_enable());
    EXPECT_EQ(HV_STATUS_OF(hv_call(output_call(), 0, beyond_gpa_space())), HV_STATUS_INVALID_ALIGNMENT);
    EXPECT_EQ(HV_STATUS_OF(hv_call(output_call(), 0, 0xfffffffffffff000)), HV_STATUS_INVALID_ALIGNMENT);
}

static const uint64_t nonsense[] = {1, 0xfff, 0xffffffffffffffff, 0x123456789abcdef1};

TEST(unused_output_ignored, "hc.unused.output")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    uint64_t *in = page_alloc();
    in[0] = 1;
    for (unsigned i = 0; i < ARRAY_COUNT(nonsense); i++) {
        EXPECT_EQ(HV_STATUS_OF(hv_call(HvCallNotifyLongSpinWait, gpa_of(in), nonsense[i])), HV_STATUS_SUCCESS);
    }
}

TEST(unused_input_ignored, "hc.unused.input")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_OUTPUT_CALL();
    REQUIRE(hv_enable());
    uint64_t *out = page_alloc();
    for (unsigned i = 0; i < ARRAY_COUNT(nonsense); i++) {
        EXPECT_EQ(HV_STATUS_OF(hv_call(output_call(), nonsense[i], gpa_of(out))), HV_STATUS_SUCCESS);
    }
}

TEST(input_in_overlay, "hc.overlay.input")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    uint64_t result = 0;
    EXPECT_EQ(hv_call_try(HvCallFlushVirtualAddressSpace, hv_page() + 2048, 0, &result), NO_FAULT);
    EXPECT_EQ(hv_call_try(HvCallNotifyLongSpinWait, hv_page() + 2048, 0, &result), NO_FAULT);
    EXPECT(alive());
}

static uint64_t read_cr3(void)
{
    uint64_t cr3;
    __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
    return cr3;
}

TEST(input_in_hole, "hc.map.input")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    uint64_t cr3 = read_cr3(), result = 0;
    EXPECT_EQ(hv_call_try(HvCallSwitchVirtualAddressSpace, hole(), 0, &result), NO_FAULT);
    EXPECT(HV_STATUS_OF(result) != HV_STATUS_SUCCESS);
    EXPECT_EQ(read_cr3(), cr3);
    EXPECT(alive());
}

TEST(output_in_hole, "hc.map.output")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_OUTPUT_CALL();
    REQUIRE(hv_enable());
    uint64_t result = 0;
    EXPECT_EQ(hv_call_try(output_call(), 0, hole(), &result), NO_FAULT);
    EXPECT(HV_STATUS_OF(result) != HV_STATUS_SUCCESS);
    EXPECT(alive());
}

TEST(output_read_only, "hc.map.output-read-only")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_OUTPUT_CALL();
    REQUIRE(hv_enable());
    const volatile uint64_t *target = (const volatile uint64_t *)(hv_page() + 2048);
    uint64_t before = *target, result = 0;
    EXPECT_EQ(hv_call_try(output_call(), 0, gpa_of(target), &result), NO_FAULT);
    EXPECT(HV_STATUS_OF(result) != HV_STATUS_SUCCESS);
    EXPECT_EQ(*target, before);
    EXPECT(alive());
}
