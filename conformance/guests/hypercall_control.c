/* Judges hypercall.yaml where it is about the control word: its fields and reserved bits, variable headers, XMM registers. */
#include "kit.h"

enum { FLUSH_ALL = 3 };
#define SPIN (HvCallNotifyLongSpinWait | HV_FAST)

static unsigned status_of(uint64_t control)
{
    return HV_STATUS_OF(hv_fast(control, 1, 0));
}

static uint64_t read_cr3(void)
{
    uint64_t cr3;
    __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
    return cr3;
}

/* ---- fields, §3.7 ---- */

TEST(code_is_16_bits, "hc.control.code")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    EXPECT_EQ(HV_STATUS_OF(hv_call(0x10008, 1, 0)), HV_STATUS_SUCCESS);
    EXPECT_EQ(HV_STATUS_OF(hv_call(0x00008, 1, 0)), HV_STATUS_INVALID_ALIGNMENT); /* 1 is a pointer now */
    EXPECT_EQ(HV_STATUS_OF(hv_call(0x18008, 1, 0)) == HV_STATUS_SUCCESS, false);  /* bit 15 is of the code */
}

static void expect_reserved(unsigned first, unsigned last)
{
    for (unsigned bit = first; bit <= last; bit++) {
        unsigned status = status_of(SPIN | 1ULL << bit);
        EXPECT(status == HV_STATUS_INVALID_HYPERCALL_INPUT, "bit %u: status 0x%x", bit, status);
    }
}

#define RESERVED_TEST(name, clause, first_edition, last_edition, first, last)                                                  \
    TEST(name, clause)                                                                                                         \
    {                                                                                                                          \
        NEEDS(AccessHypercallMsrs);                                                                                            \
        NEEDS_EDITION(first_edition, last_edition);                                                                            \
        REQUIRE(hv_enable());                                                                                                  \
        expect_reserved(first, last);                                                                                          \
    }

/* clang-format off: a table */
RESERVED_TEST(reserved_31_17, "hc.control.reserved-2008r2", EDITION_2_0, EDITION_4_0, 17, 31)
RESERVED_TEST(reserved_31_27, "hc.control.reserved-5", EDITION_5_0, EDITION_5_0, 27, 31)
RESERVED_TEST(reserved_30_27, "hc.control.reserved-6", EDITION_6_0, EDITION_6_0, 27, 30)
RESERVED_TEST(reserved_47_44, "hc.control.reserved-47-44", EDITION_2_0, EDITION_LAST, 44, 47)
RESERVED_TEST(reserved_63_60, "hc.control.reserved-63-60", EDITION_2_0, EDITION_LAST, 60, 63)
/* clang-format on */

TEST(reserved_no_effect, "hc.control.reserved-no-effect")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(UseHypercallForAddressSpaceSwitch);
    REQUIRE(hv_enable());
    void *pml4 = page_alloc();
    uint64_t cr3 = read_cr3();
    memcpy(pml4, (void *)(cr3 & ~0xfffULL), PAGE_BYTES);
    static const unsigned bits[] = {27, 44, 47, 60, 63};
    for (unsigned i = 0; i < ARRAY_COUNT(bits); i++) {
        hv_fast(HvCallSwitchVirtualAddressSpace | 1ULL << bits[i], gpa_of(pml4), 0);
        EXPECT_EQ(read_cr3(), cr3);
    }
}

TEST(nested_flag, "hc.control.nested")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_6_0, EDITION_6_0);
    REQUIRE(hv_enable());
    unsigned status = status_of(SPIN | HV_NESTED);
    EXPECT(status == HV_STATUS_SUCCESS || status == HV_STATUS_INVALID_HYPERCALL_INPUT, "status 0x%x", status);
    EXPECT_EQ(status_of(SPIN), HV_STATUS_SUCCESS);
}

TEST(rep_count_on_simple, "hc.control.rep-of-simple")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    EXPECT_EQ(status_of(SPIN | HV_REPS(1)), HV_STATUS_INVALID_HYPERCALL_INPUT);
    EXPECT_EQ(status_of(SPIN | HV_REPS(0xfff)), HV_STATUS_INVALID_HYPERCALL_INPUT);
}

TEST(rep_start_on_simple, "hc.control.start-of-simple")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    EXPECT_EQ(status_of(SPIN | HV_START(1)), HV_STATUS_INVALID_HYPERCALL_INPUT);
}

static unsigned flush_list(uint64_t reps)
{
    uint64_t *in = page_alloc();
    in[1] = FLUSH_ALL;
    return HV_STATUS_OF(hv_call(HvCallFlushVirtualAddressList | reps, gpa_of(in), 0));
}

TEST(rep_count_zero, "hc.control.rep-zero")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    EXPECT_EQ(flush_list(0), HV_STATUS_INVALID_HYPERCALL_INPUT);
}

TEST(rep_start_equal, "hc.control.start-equal")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    EXPECT_EQ(flush_list(HV_REPS(2) | HV_START(2)), HV_STATUS_INVALID_HYPERCALL_INPUT);
    EXPECT_EQ(flush_list(HV_REPS(2) | HV_START(1)), HV_STATUS_SUCCESS);
}

TEST(rep_start_above, "hc.control.start-above")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    EXPECT_EQ(flush_list(HV_REPS(2) | HV_START(3)), HV_STATUS_INVALID_HYPERCALL_INPUT);
    EXPECT_EQ(flush_list(HV_REPS(2) | HV_START(0xfff)), HV_STATUS_INVALID_HYPERCALL_INPUT);
}

TEST(fast_rep_refused, "hc.control.fast-rep")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_2_0, EDITION_5_0);
    REQUIRE(hv_enable());
    uint64_t result = 0;
    EXPECT_EQ(hv_call_try(HvCallFlushVirtualAddressList | HV_FAST | HV_REPS(1), 0, FLUSH_ALL, &result), NO_FAULT);
    EXPECT_EQ(HV_STATUS_OF(result), HV_STATUS_INVALID_HYPERCALL_INPUT);
}

TEST(fast_rep_allowed, "hc.control.fast-rep-6")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(XmmRegistersForFastHypercallAvailable);
    NEEDS_EDITION(EDITION_6_0, EDITION_6_0);
    REQUIRE(hv_enable());
    const uint64_t in[14] = {0, FLUSH_ALL, 0, KIT_GVA, KIT_GVA + PAGE_BYTES};
    uint64_t result = hv_call_xmm(HvCallFlushVirtualAddressList | HV_FAST | HV_REPS(2), in, NULL);
    EXPECT_EQ(HV_STATUS_OF(result), HV_STATUS_SUCCESS);
    EXPECT_EQ(HV_REPS_DONE(result), 2);
}

/* ---- variable headers, §3.7.1: the flush calls with processor sets ---- */

struct flush_ex {
    uint64_t address_space, flags, format, valid_banks, rest[64];
};
enum { FLUSH_EX_FIXED_BYTES = 32, SET_SPARSE = 0, SET_ALL = 1, ALL_SPACES = 2 };

TEST(variable_header_unexpected, "hc.variable.none")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    REQUIRE(hv_enable());
    EXPECT_EQ(status_of(SPIN | HV_VARHEAD(1)), HV_STATUS_INVALID_HYPERCALL_INPUT);
    EXPECT_EQ(flush_list(HV_REPS(1) | HV_VARHEAD(1)), HV_STATUS_INVALID_HYPERCALL_INPUT);
}

TEST(variable_header_zero, "hc.variable.zero")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(UseExProcessorMasks);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    REQUIRE(hv_enable());
    struct flush_ex *in = page_alloc();
    in->flags = ALL_SPACES;
    in->format = SET_ALL;
    EXPECT_EQ(HV_STATUS_OF(hv_call(HvCallFlushVirtualAddressSpaceEx, gpa_of(in), 0)), HV_STATUS_SUCCESS);
}

TEST(variable_header_units, "hc.variable.units")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(UseExProcessorMasks);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    NEEDS(AccessVpIndex);
    REQUIRE(hv_enable());
    struct flush_ex *in = page_alloc();
    in->flags = ALL_SPACES;
    in->format = SET_SPARSE;
    in->valid_banks = 1;
    in->rest[0] = 1ULL << rdmsr(HV_X64_MSR_VP_INDEX);
    EXPECT_EQ(HV_STATUS_OF(hv_call(HvCallFlushVirtualAddressSpaceEx | HV_VARHEAD(1), gpa_of(in), 0)), HV_STATUS_SUCCESS);
    EXPECT(HV_STATUS_OF(hv_call(HvCallFlushVirtualAddressSpaceEx, gpa_of(in), 0)) != HV_STATUS_SUCCESS,
           "a bank without a header passed");
}

TEST(variable_header_before_list, "hc.variable.rep")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(UseExProcessorMasks);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    NEEDS(AccessVpIndex);
    REQUIRE(hv_enable());
    volatile uint64_t *a = page_alloc(), *b = page_alloc(), *at = (volatile uint64_t *)KIT_GVA;
    a[0] = 1;
    b[0] = 2;
    map(KIT_GVA, gpa_of(a), MAP_WRITE);
    EXPECT_EQ(at[0], 1);
    struct flush_ex *in = page_alloc();
    in->address_space = read_cr3();
    in->format = SET_SPARSE;
    in->valid_banks = 1;
    in->rest[0] = 1ULL << rdmsr(HV_X64_MSR_VP_INDEX);
    in->rest[1] = KIT_GVA; /* the list */
    *pte_of(KIT_GVA) = *pte_of(KIT_GVA) - gpa_of(a) + gpa_of(b);
    uint64_t result = hv_call(HvCallFlushVirtualAddressListEx | HV_VARHEAD(1) | HV_REPS(1), gpa_of(in), 0);
    EXPECT_EQ(HV_STATUS_OF(result), HV_STATUS_SUCCESS);
    EXPECT_EQ(HV_REPS_DONE(result), 1);
    EXPECT_EQ(at[0], 2);
}

TEST(variable_header_crosses_page, "hc.variable.crosses")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(UseExProcessorMasks);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    REQUIRE(hv_enable());
    struct flush_ex *in = (struct flush_ex *)((uint8_t *)pages_alloc(2) + PAGE_BYTES - FLUSH_EX_FIXED_BYTES);
    in->flags = ALL_SPACES;
    in->format = SET_SPARSE;
    in->valid_banks = 1;
    in->rest[0] = 1;
    EXPECT_EQ(HV_STATUS_OF(hv_call(HvCallFlushVirtualAddressSpaceEx | HV_VARHEAD(1), gpa_of(in), 0)),
              HV_STATUS_INVALID_ALIGNMENT);
}

/* ---- XMM input, §3.7.2: HvFlushVirtualAddressSpace has its processor mask in XMM0 ---- */

#define XMM_FLUSH (HvCallFlushVirtualAddressSpace | HV_FAST)

static unsigned xmm_flush(uint64_t mask, uint64_t garbage)
{
    const uint64_t in[14] = {read_cr3(), 0,       mask,    garbage, garbage, garbage, garbage,
                             garbage,    garbage, garbage, garbage, garbage, garbage, garbage};
    return HV_STATUS_OF(hv_call_xmm(XMM_FLUSH, in, NULL));
}

TEST(xmm_input, "hc.xmm.input")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(XmmRegistersForFastHypercallAvailable);
    NEEDS(AccessVpIndex);
    REQUIRE(hv_enable());
    EXPECT_EQ(xmm_flush(1ULL << rdmsr(HV_X64_MSR_VP_INDEX), 0), HV_STATUS_SUCCESS);
}

static void no_handler(unsigned vector)
{
}

/* 24 bytes: an empty processor mask in XMM0 is refused, one with this processor is not. Where cluster interrupts with processor
 * sets exist, their 32 bytes arrive or not. */
TEST(xmm_order, "hc.xmm.order")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(XmmRegistersForFastHypercallAvailable);
    NEEDS(AccessVpIndex);
    REQUIRE(hv_enable());
    uint64_t self = 1ULL << rdmsr(HV_X64_MSR_VP_INDEX);
    EXPECT_EQ(xmm_flush(0, self), HV_STATUS_INVALID_PARAMETER);
    EXPECT_EQ(xmm_flush(self, 0), HV_STATUS_SUCCESS);
    if (has(UseSyntheticClusterIpi) && has(UseExProcessorMasks) && edition() >= EDITION_5_0) {
        enum { VECTOR = 0x66 };
        const uint64_t in[14] = {VECTOR, SET_SPARSE, 1, self};
        irq_on(VECTOR, no_handler);
        EXPECT_EQ(HV_STATUS_OF(hv_call_xmm(HvCallSendSyntheticClusterIpiEx | HV_FAST | HV_VARHEAD(1), in, NULL)),
                  HV_STATUS_SUCCESS);
        irqs(true);
        EXPECT(WAIT_FOR(irq_count(VECTOR) == 1, MS_100NS), "the interrupt did not come");
    }
}

TEST(xmm_excess_ignored, "hc.xmm.excess")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(XmmRegistersForFastHypercallAvailable);
    NEEDS(AccessVpIndex);
    REQUIRE(hv_enable());
    EXPECT_EQ(xmm_flush(1ULL << rdmsr(HV_X64_MSR_VP_INDEX), 0xffffffffffffffff), HV_STATUS_SUCCESS);
}

/* The processor mask goes into XMM0 by way of the stack: 1 is the processor with index 0. */
KIT_CODE(call_32_mask_1, 32,
         "mov %edi, %ebp\n push $0\n push $0\n push $0\n push $1\n movups (%esp), %xmm0\n add $16, %esp\n xor %edi, %edi\n"
         "call *%ebp");
KIT_CODE(call_32_mask_0, 32,
         "mov %edi, %ebp\n push $0\n push $0\n push $0\n push $0\n movups (%esp), %xmm0\n add $16, %esp\n xor %edi, %edi\n"
         "call *%ebp");

TEST(xmm_input_32, "hc.xmm.input-32")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(XmmRegistersForFastHypercallAvailable);
    NEEDS(AccessVpIndex);
    NEEDS_THAT(rdmsr(HV_X64_MSR_VP_INDEX) == 0, "the processor's index is not 0");
    REQUIRE(hv_enable());
    struct regs32 r = {.eax = XMM_FLUSH, .ecx = (uint32_t)read_cr3(), .edi = (uint32_t)hv_page()};
    EXPECT_EQ(run_in_32bit_compat(call_32_mask_1, (size_t)(call_32_mask_1_end - call_32_mask_1), &r).vector, NO_FAULT);
    EXPECT_EQ(r.eax & 0xffff, HV_STATUS_SUCCESS);
    r = (struct regs32){.eax = XMM_FLUSH, .ecx = (uint32_t)read_cr3(), .edi = (uint32_t)hv_page()};
    EXPECT_EQ(run_in_32bit_compat(call_32_mask_0, (size_t)(call_32_mask_0_end - call_32_mask_0), &r).vector, NO_FAULT);
    EXPECT_EQ(r.eax & 0xffff, HV_STATUS_INVALID_PARAMETER);
}

TEST(xmm_input_absent, "hc.xmm.absent")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_THAT(!has(XmmRegistersForFastHypercallAvailable), "XMM input is announced");
    REQUIRE(hv_enable());
    uint64_t result = 0;
    EXPECT_EQ(hv_call_try(XMM_FLUSH, 0, FLUSH_ALL, &result), VEC_UD);
}

TEST(xmm_too_large, "hc.xmm.too-large")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(XmmRegistersForFastHypercallAvailable);
    REQUIRE(hv_enable());
    uint64_t result = 0;
    unsigned vector = hv_call_try(HvCallPostMessage | HV_FAST, 0x00abcdef, 8ULL << 32 | 1, &result); /* 256 bytes */
    EXPECT(vector == VEC_UD || (vector == NO_FAULT && HV_STATUS_OF(result) != HV_STATUS_SUCCESS), "vector %u, status 0x%x",
           vector, HV_STATUS_OF(result));
    EXPECT_EQ(status_of(SPIN), HV_STATUS_SUCCESS);
}

TEST(xmm_input_kept, "hc.xmm.kept")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(XmmRegistersForFastHypercallAvailable);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    REQUIRE(hv_enable());
    const uint64_t in[14] = {read_cr3(), FLUSH_ALL, 0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13};
    uint64_t out[14];
    EXPECT_EQ(HV_STATUS_OF(hv_call_xmm(XMM_FLUSH, in, out)), HV_STATUS_SUCCESS);
    for (unsigned i = 0; i < 14; i++) {
        EXPECT(out[i] == in[i], "quadword %u", i);
    }
}

/* ---- XMM output, §3.8.1 ---- */

static uint64_t output_call(void)
{
    return has(EnableExtendedHypercalls) ? HvExtCallQueryCapabilities : has(AccessPartitionId) ? HvCallGetPartitionId : 0;
}
#define NEEDS_OUTPUT_CALL() NEEDS_THAT(output_call() != 0, "no call with output and without input is granted")

TEST(xmm_output, "hc.xmm-output")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(FastHypercallOutputAvailable);
    NEEDS_OUTPUT_CALL();
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    REQUIRE(hv_enable());
    uint64_t *out = page_alloc();
    REQUIRE(HV_STATUS_OF(hv_call(output_call(), 0, gpa_of(out))) == HV_STATUS_SUCCESS);
    struct hv_regs r = {.rcx = output_call() | HV_FAST, .rdx = 0xa5a5a5a5a5a5a5a5};
    EXPECT_EQ(hv_call_regs_try(&r), NO_FAULT);
    EXPECT_EQ(HV_STATUS_OF(r.rax), HV_STATUS_SUCCESS);
    EXPECT_EQ(r.rdx, out[0]);
}

/* HvGetVpRegisters of one register: 20 bytes in, which take RDX, R8 and XMM0; the value is in XMM1. */
TEST(xmm_output_rounding, "hc.xmm-output.rounding")
{
    enum { MSR_LSTAR = 0xc0000082, HvX64RegisterLstar = 0x80009, VP_SELF = (int)0xfffffffe };
    NEEDS(AccessHypercallMsrs);
    NEEDS(FastHypercallOutputAvailable);
    NEEDS(AccessVpRegisters);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST); /* before, only a parent reads and writes registers */
    NEEDS_EDITION(EDITION_6_0, EDITION_6_0);
    REQUIRE(hv_enable());
    wrmsr(MSR_LSTAR, 0x123456789000);
    uint64_t in[14] = {0xffffffffffffffff, (uint32_t)VP_SELF, HvX64RegisterLstar, 0xe7e7e7e7e7e7e7e7}, out[14];
    uint64_t result = hv_call_xmm(HvCallGetVpRegisters | HV_FAST | HV_REPS(1), in, out);
    EXPECT_EQ(HV_STATUS_OF(result), HV_STATUS_SUCCESS);
    EXPECT_EQ(out[4], 0x123456789000);
    EXPECT_EQ(out[5], 0);
    EXPECT_EQ(out[0], in[0]);
    EXPECT_EQ(out[2], in[2]);
}

KIT_CODE(call_32_output, 32, "mov %edi, %ebp\n xor %edi, %edi\n call *%ebp");

TEST(xmm_output_not_32, "hc.xmm-output.64-only")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(FastHypercallOutputAvailable);
    NEEDS_OUTPUT_CALL();
    REQUIRE(hv_enable());
    struct regs32 r = {.eax = (uint32_t)(output_call() | HV_FAST), .edi = (uint32_t)hv_page()};
    unsigned vector = run_in_32bit(call_32_output, (size_t)(call_32_output_end - call_32_output), &r).vector;
    EXPECT(vector == VEC_UD || (vector == NO_FAULT && (r.eax & 0xffff) != HV_STATUS_SUCCESS), "vector %u, status 0x%x", vector,
           r.eax & 0xffff);
}

TEST(xmm_output_absent, "hc.xmm-output.absent")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    NEEDS_THAT(!has(FastHypercallOutputAvailable), "output in registers is announced");
    NEEDS_OUTPUT_CALL();
    REQUIRE(hv_enable());
    uint64_t result = 0;
    EXPECT_EQ(hv_call_try(output_call() | HV_FAST, 0, 0, &result), VEC_UD);
}
