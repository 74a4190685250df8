/* Judges hypercall.yaml where it is about one simple call: conventions, environments, result, registers, common statuses.
 * Memory, control word and lists have probes of their own. */
#include "kit.h"

enum { CODE_UNKNOWN = 0x0fff, FLUSH_ALL = 3 /* all processors, all address spaces */ };

static uint64_t read_cr3(void)
{
    uint64_t cr3;
    __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
    return cr3;
}

/* Another address space that maps the same. */
static uint64_t second_address_space(void)
{
    void *pml4 = page_alloc();
    memcpy(pml4, (void *)(read_cr3() & ~0xfffULL), PAGE_BYTES);
    return gpa_of(pml4);
}

static void set_cr3(uint64_t cr3)
{
    __asm__ volatile("mov %0, %%cr3" ::"r"(cr3) : "memory");
}

static unsigned spin_wait(void)
{
    return HV_STATUS_OF(hv_fast(HvCallNotifyLongSpinWait, 1, 0));
}

/* A call without input and with eight bytes of output; 0: none is granted. */
static uint64_t output_call(void)
{
    return has(EnableExtendedHypercalls) ? HvExtCallQueryCapabilities : has(AccessPartitionId) ? HvCallGetPartitionId : 0;
}
#define NEEDS_OUTPUT_CALL() NEEDS_THAT(output_call() != 0, "no call with output and without input is granted")

/* ---- conventions, §3.7 ---- */

TEST(memory_convention, "hc.conventions.memory")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    uint64_t *in = page_alloc(), *out = page_alloc();
    in[0] = 1;
    EXPECT_EQ(HV_STATUS_OF(hv_call(HvCallNotifyLongSpinWait, gpa_of(in), 0)), HV_STATUS_SUCCESS);
    if (output_call() != 0) {
        out[0] = 0x5a5a5a5a5a5a5a5a;
        EXPECT_EQ(HV_STATUS_OF(hv_call(output_call(), 0, gpa_of(out))), HV_STATUS_SUCCESS);
        EXPECT(out[0] != 0x5a5a5a5a5a5a5a5a, "no output");
    }
}

/* The page's address in EBP would not survive the way there, so it comes in EDI and the output GPA is left at zero. */
KIT_CODE(call_32, 32, "mov %edi, %ebp\n xor %edi, %edi\n call *%ebp");

static struct regs32 call_in_32(uint64_t control, uint64_t input, uint32_t esi, bool compat, unsigned *vector)
{
    struct regs32 r = {.eax = (uint32_t)control,
                       .edx = (uint32_t)(control >> 32),
                       .ebx = (uint32_t)(input >> 32),
                       .ecx = (uint32_t)input,
                       .esi = esi,
                       .edi = (uint32_t)hv_page()};
    *vector = (compat ? run_in_32bit_compat : run_in_32bit)(call_32, (size_t)(call_32_end - call_32), &r).vector;
    return r;
}

static void expect_32bit_call(bool compat)
{
    uint64_t *in = page_alloc(), *out = page_alloc();
    unsigned vector;
    in[0] = 1;
    struct regs32 r = call_in_32(HvCallNotifyLongSpinWait, gpa_of(in), 0, compat, &vector);
    EXPECT_EQ(vector, NO_FAULT);
    EXPECT_EQ(r.eax & 0xffff, HV_STATUS_SUCCESS);
    if (output_call() != 0) {
        out[0] = 0x5a5a5a5a5a5a5a5a;
        r = call_in_32(output_call(), 0, (uint32_t)gpa_of(out), compat, &vector);
        EXPECT_EQ(r.eax & 0xffff, HV_STATUS_SUCCESS);
        EXPECT(out[0] != 0x5a5a5a5a5a5a5a5a, "no output");
    }
}

TEST(memory_convention_32, "hc.conventions.memory-32")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    expect_32bit_call(false);
}

TEST(mode_by_lma_and_l, "hc.conventions.mode")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    expect_32bit_call(true);
}

static void no_handler(unsigned vector)
{
}

TEST(fast_convention, "hc.conventions.fast")
{
    NEEDS(AccessHypercallMsrs);
    bool cluster_ipi = has(UseSyntheticClusterIpi) && has(AccessVpIndex) && edition() >= EDITION_5_0;
    NEEDS_THAT(has(UseHypercallForAddressSpaceSwitch) || cluster_ipi, "no fast call with an effect is recommended");
    REQUIRE(hv_enable());
    if (has(UseHypercallForAddressSpaceSwitch)) {
        uint64_t first = read_cr3(), second = second_address_space();
        EXPECT_EQ(HV_STATUS_OF(hv_fast(HvCallSwitchVirtualAddressSpace, second, 0)), HV_STATUS_SUCCESS);
        EXPECT_EQ(read_cr3(), second);
        set_cr3(first);
    }
    if (cluster_ipi) {
        enum { VECTOR = 0x64 };
        irq_on(VECTOR, no_handler);
        EXPECT_EQ(HV_STATUS_OF(hv_fast(HvCallSendSyntheticClusterIpi, VECTOR, 1ULL << rdmsr(HV_X64_MSR_VP_INDEX))),
                  HV_STATUS_SUCCESS);
        irqs(true);
        EXPECT(WAIT_FOR(irq_count(VECTOR) == 1, MS_100NS), "the interrupt did not come");
    }
}

TEST(fast_convention_32, "hc.conventions.fast-32")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    unsigned vector;
    struct regs32 r = call_in_32(HvCallNotifyLongSpinWait | HV_FAST, 1, 0, false, &vector);
    EXPECT_EQ(vector, NO_FAULT);
    EXPECT_EQ(r.eax & 0xffff, HV_STATUS_SUCCESS);
    if (has(PostMessages)) {
        r = call_in_32(HvCallSignalEvent | HV_FAST, 0x00abcdef, 0, false, &vector);
        EXPECT(!has(SignalEvents) || (r.eax & 0xffff) == HV_STATUS_INVALID_CONNECTION_ID, "status 0x%x", r.eax & 0xffff);
    }
}

TEST(both_conventions_agree, "hc.conventions.same")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    uint64_t *in = page_alloc();
    in[0] = 1;
    EXPECT_EQ(hv_call(HvCallNotifyLongSpinWait, gpa_of(in), 0), hv_fast(HvCallNotifyLongSpinWait, 1, 0));
    in[0] = 0x00abcdef; /* no such connection */
    EXPECT_EQ(hv_call(HvCallSignalEvent, gpa_of(in), 0), hv_fast(HvCallSignalEvent, in[0], 0));
}

TEST(fast_unfit, "hc.conventions.fast-unfit")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    uint64_t result = 0;
    unsigned vector = hv_call_try(HvCallPostMessage | HV_FAST, 1, 0, &result); /* 256 bytes of input */
    EXPECT(vector == VEC_UD || (vector == NO_FAULT && HV_STATUS_OF(result) != HV_STATUS_SUCCESS), "vector %u, status 0x%x",
           vector, HV_STATUS_OF(result));
    EXPECT_EQ(spin_wait(), HV_STATUS_SUCCESS);
}

/* ---- structures, §3.1 ---- */

TEST(input_padding_ignored, "hc.padding.input")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(PostMessages);
    REQUIRE(hv_enable());
    struct hv_post_message_input *in = page_alloc();
    *in = (struct hv_post_message_input){.connection_id = 0x00abcdef, .message_type = 1, .payload_bytes = 8};
    unsigned without = HV_STATUS_OF(hv_call(HvCallPostMessage, gpa_of(in), 0));
    in->reserved = 0xffffffff;
    EXPECT_EQ(HV_STATUS_OF(hv_call(HvCallPostMessage, gpa_of(in), 0)), without);
}

TEST(input_tail_ignored, "hc.padding.tail")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    uint64_t *in = page_alloc();
    memset(in, 0xff, PAGE_BYTES);
    in[0] = 1;
    EXPECT_EQ(HV_STATUS_OF(hv_call(HvCallNotifyLongSpinWait, gpa_of(in), 0)), HV_STATUS_SUCCESS);
}

TEST(output_padding, "hc.padding.output")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(AccessVpIndex);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    REQUIRE(hv_enable());
    uint32_t *in = page_alloc(), *out = page_alloc();
    in[0] = in[1] = 0xffffffff; /* HV_PARTITION_ID_SELF */
    in[4] = vp_apic_id(this_vp());
    out[1] = 0xa5a5a5a5;
    unsigned status = HV_STATUS_OF(hv_call(HvCallGetVpIndexFromApicId | HV_REPS(1), gpa_of(in), gpa_of(out)));
    NEEDS_THAT(status == HV_STATUS_SUCCESS, "no call whose output has padding can be made (status 0x%x)", status);
    EXPECT(out[1] == 0xa5a5a5a5 || out[1] == 0, "0x%x", out[1]);
}

TEST(output_not_beyond, "hc.padding.output-beyond")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_OUTPUT_CALL();
    REQUIRE(hv_enable());
    uint64_t *out = page_alloc();
    memset(out, 0xa5, PAGE_BYTES);
    EXPECT_EQ(HV_STATUS_OF(hv_call(output_call(), 0, gpa_of(out + 8))), HV_STATUS_SUCCESS);
    for (unsigned i = 0; i < PAGE_BYTES / 8; i++) {
        EXPECT(i == 8 || out[i] == 0xa5a5a5a5a5a5a5a5, "quadword %u", i);
    }
}

/* Where there are no cluster interrupts, whose vector and VTL share eight bytes, a flush has its processors at offset 16. */
TEST(natural_alignment, "hc.natural-alignment")
{
    enum { VECTOR = 0x65 };
    NEEDS(AccessHypercallMsrs);
    NEEDS(AccessVpIndex);
    REQUIRE(hv_enable());
    uint64_t *in = page_alloc(), self = 1ULL << rdmsr(HV_X64_MSR_VP_INDEX);
    in[0] = read_cr3();
    EXPECT_EQ(HV_STATUS_OF(hv_call(HvCallFlushVirtualAddressSpace, gpa_of(in), 0)), HV_STATUS_INVALID_PARAMETER);
    in[2] = self;
    EXPECT_EQ(HV_STATUS_OF(hv_call(HvCallFlushVirtualAddressSpace, gpa_of(in), 0)), HV_STATUS_SUCCESS);
    if (has(UseSyntheticClusterIpi) && edition() >= EDITION_5_0) {
        in[0] = VECTOR;
        in[1] = self;
        irq_on(VECTOR, no_handler);
        EXPECT_EQ(HV_STATUS_OF(hv_call(HvCallSendSyntheticClusterIpi, gpa_of(in), 0)), HV_STATUS_SUCCESS);
        irqs(true);
        EXPECT(WAIT_FOR(irq_count(VECTOR) == 1, MS_100NS), "the interrupt did not come");
    }
}

TEST(caller_waits, "hc.atomic.caller-waits")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(UseHypercallForAddressSpaceSwitch);
    REQUIRE(hv_enable());
    uint64_t first = read_cr3(), second = second_address_space();
    for (unsigned i = 0; i < 4; i++) {
        uint64_t next = i % 2 == 0 ? second : first;
        hv_fast(HvCallSwitchVirtualAddressSpace, next, 0);
        EXPECT_EQ(read_cr3(), next);
    }
    set_cr3(first);
}

/* ---- environments, §3.5 ---- */

struct try_call {
    uint64_t control, input;
};

static void call_job(void *p)
{
    const struct try_call *c = p;
    uint64_t result = 0, control = c->control, input = c->input;
    register uint64_t r8 __asm__("r8") = 0;
    __asm__ volatile("call *%[at]"
                     : "+a"(result), "+c"(control), "+d"(input), "+r"(r8)
                     : [at] "r"(hv_page())
                     : "r9", "r10", "r11", "memory", "cc");
}

TEST(call_at_cpl3, "hc.mode.cpl3")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    struct try_call c = {HvCallNotifyLongSpinWait | HV_FAST, 1};
    EXPECT_EQ(run_at_cpl3(call_job, &c).vector, VEC_UD);
}

TEST(call_at_cpl3_no_effect, "hc.mode.cpl3-no-effect")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    uint64_t first = read_cr3();
    struct try_call c = {HvCallSwitchVirtualAddressSpace | HV_FAST, second_address_space()};
    EXPECT_EQ(run_at_cpl3(call_job, &c).vector, VEC_UD);
    EXPECT_EQ(read_cr3(), first);
    EXPECT_EQ(spin_wait(), HV_STATUS_SUCCESS);
    set_cr3(first);
}

/* Ring 1 has no place in the kit: a descriptor table with two more entries, and the stack of the task state where this one is.
 */
struct __attribute__((packed)) table_register {
    uint16_t limit;
    uint64_t base;
};
enum { RING1_CODE = 1, RING1_DATA = 2 };
static uint64_t ring1_gdt[1024] __attribute__((aligned(16)));

static void enter_ring1(void *p)
{
    const struct try_call *c = p;
    struct table_register gdt;
    __asm__ volatile("sgdt %0" : "=m"(gdt));
    unsigned entries = (gdt.limit + 1) / 8u;
    uint64_t selector_code = (entries - RING1_DATA) * 8 | 1, selector_data = (entries - RING1_CODE) * 8 | 1;
    uint64_t stack = gpa_of(page_alloc()) + PAGE_BYTES - 64;
    __asm__ volatile("push %[ss]\n push %[stack]\n pushfq\n push %[cs]\n lea 1f(%%rip), %%rax\n push %%rax\n iretq\n"
                     "1: call *%[at]\n int3"
                     :
                     : [ss] "r"(selector_data), [cs] "r"(selector_code), [stack] "r"(stack), [at] "r"(hv_page()),
                       "c"(c->control), "d"(c->input)
                     : "rax", "memory");
}

TEST(call_at_cpl1, "hc.mode.cpl1")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    struct table_register old, new;
    __asm__ volatile("sgdt %0" : "=m"(old));
    unsigned entries = (old.limit + 1) / 8u;
    NEEDS_THAT(entries + 2 <= ARRAY_COUNT(ring1_gdt), "the descriptor table is too large");
    memcpy(ring1_gdt, (void *)old.base, old.limit + 1u);
    ring1_gdt[entries] = 0x00afba000000ffff;     /* code, DPL 1, long */
    ring1_gdt[entries + 1] = 0x00cfb2000000ffff; /* data, DPL 1 */
    new = (struct table_register){(uint16_t)((entries + 2) * 8 - 1), (uint64_t)ring1_gdt};

    uint16_t task;
    __asm__ volatile("str %0" : "=r"(task));
    const uint64_t *descriptor = (const uint64_t *)(old.base + (task & ~7u));
    uint64_t tss = (descriptor[0] >> 16 & 0xffffff) | (descriptor[0] >> 56) << 24 | descriptor[1] << 32;
    uint64_t here, *rsp0 = (uint64_t *)(tss + 4);
    uint64_t rsp0_before;
    memcpy(&rsp0_before, rsp0, sizeof rsp0_before);
    __asm__ volatile("mov %%rsp, %0" : "=r"(here));
    here = (here - 1024) & ~15ULL;
    memcpy(rsp0, &here, sizeof here);

    struct try_call c = {HvCallNotifyLongSpinWait | HV_FAST, 1};
    __asm__ volatile("lgdt %0" ::"m"(new) : "memory");
    struct fault f = try_run(enter_ring1, &c);
    __asm__ volatile("lgdt %0" ::"m"(old) : "memory");
    memcpy(rsp0, &rsp0_before, sizeof rsp0_before);
    EXPECT_EQ(f.vector, VEC_UD);
}

/* In real mode the page has to lie below 64 KiB to be called. */
enum { LOW_PAGE = 0xe000 };
KIT_CODE(call_16, 16, "mov $0xe000, %bx\n call *%bx");

TEST(call_in_real_mode, "hc.mode.real")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    wrmsr(HV_X64_MSR_HYPERCALL, LOW_PAGE | 1);
    REQUIRE(rdmsr(HV_X64_MSR_HYPERCALL) & 1);
    struct regs32 r = {.eax = HvCallNotifyLongSpinWait | HV_FAST, .ecx = 1};
    EXPECT_EQ(run_in_16bit_real(call_16, (size_t)(call_16_end - call_16), &r).vector, VEC_UD);
}

TEST(call_in_protected_mode, "hc.mode.protected-32")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    unsigned vector;
    struct regs32 r = call_in_32(HvCallNotifyLongSpinWait | HV_FAST, 1, 0, false, &vector);
    EXPECT_EQ(vector, NO_FAULT);
    EXPECT_EQ(r.eax & 0xffff, HV_STATUS_SUCCESS);
}

static void call_copy(void *code)
{
    uint64_t result = 0, control = HvCallNotifyLongSpinWait | HV_FAST, input = 1;
    __asm__ volatile("call *%[at]"
                     : "+a"(result), "+c"(control), "+d"(input)
                     : [at] "r"(code)
                     : "r8", "r9", "r10", "r11", "memory", "cc");
    EXPECT_EQ(HV_STATUS_OF(result), HV_STATUS_SUCCESS);
}

TEST(copied_page_is_harmless, "hc.mode.copy")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    void *code = page_alloc();
    memcpy(code, (void *)hv_page(), PAGE_BYTES);
    unsigned vector = try_run(call_copy, code).vector;
    EXPECT(vector == NO_FAULT || vector == VEC_UD, "vector %u", vector);
    EXPECT_EQ(spin_wait(), HV_STATUS_SUCCESS);
}

/* ---- the result, §3.8 ---- */

static struct hv_regs marked_regs(uint64_t control, uint64_t rdx, uint64_t r8)
{
    struct hv_regs r;
    memset(&r, 0xe7, sizeof r);
    r.rcx = control;
    r.rdx = rdx;
    r.r8 = r8;
    return r;
}

TEST(result_in_rax, "hc.result.register")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    struct hv_regs r = marked_regs(HvCallNotifyLongSpinWait | HV_FAST, 1, 0);
    hv_call_regs(&r);
    EXPECT_EQ(HV_STATUS_OF(r.rax), HV_STATUS_SUCCESS);
    r = marked_regs(CODE_UNKNOWN, 0, 0);
    hv_call_regs(&r);
    EXPECT_EQ(HV_STATUS_OF(r.rax), HV_STATUS_INVALID_HYPERCALL_CODE);
}

TEST(result_in_edx_eax, "hc.result.register-32")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    unsigned vector;
    struct regs32 r = call_in_32(CODE_UNKNOWN, 0, 0, false, &vector);
    EXPECT_EQ(r.eax & 0xffff, HV_STATUS_INVALID_HYPERCALL_CODE);
    r = call_in_32(HvCallFlushVirtualAddressList | HV_REPS(0), 0, 0, false, &vector);
    EXPECT_EQ(r.eax & 0xffff, HV_STATUS_INVALID_HYPERCALL_INPUT);
    uint64_t *in = page_alloc();
    in[1] = FLUSH_ALL;
    r = call_in_32(HvCallFlushVirtualAddressList | HV_REPS(3), gpa_of(in), 0, false, &vector);
    EXPECT_EQ(r.eax & 0xffff, HV_STATUS_SUCCESS);
    EXPECT_EQ(r.edx & 0xfff, 3);
    r = call_in_32(HvCallFlushVirtualAddressList | HV_REPS(3) | 1ULL << 48, gpa_of(in), 0, false, &vector);
    EXPECT_EQ(r.eax & 0xffff, HV_STATUS_SUCCESS);
    EXPECT_EQ(r.edx, 3); /* EDX held the start index beside the count */
}

TEST(status_in_low_bits, "hc.result.status")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    EXPECT_EQ(hv_call(CODE_UNKNOWN, 0, 0) & 0xffff, 2);
    EXPECT_EQ(hv_fast(HvCallNotifyLongSpinWait | HV_REPS(1), 1, 0) & 0xffff, 3);
}

TEST(result_reserved_clear, "hc.result.reserved")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    struct hv_regs r = marked_regs(HvCallNotifyLongSpinWait | HV_FAST, 1, 0);
    hv_call_regs(&r);
    EXPECT_EQ(r.rax & 0xfffff000ffff0000, 0);
    r = marked_regs(CODE_UNKNOWN, 1, 0);
    hv_call_regs(&r);
    EXPECT_EQ(r.rax & 0xfffff000ffff0000, 0);
}

TEST(reps_in_bits_43_32, "hc.result.reps")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    uint64_t *in = page_alloc();
    in[1] = FLUSH_ALL;
    uint64_t result = hv_call(HvCallFlushVirtualAddressList | HV_REPS(5), gpa_of(in), 0);
    EXPECT_EQ(HV_STATUS_OF(result), HV_STATUS_SUCCESS);
    EXPECT_EQ(result >> 32 & 0xfff, 5);
}

TEST(result_on_error, "hc.result.on-error")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    uint64_t result = hv_call(HvCallFlushVirtualAddressList | HV_REPS(5) | HV_START(5), 0, 0);
    EXPECT_EQ(HV_STATUS_OF(result), HV_STATUS_INVALID_HYPERCALL_INPUT);
    EXPECT_EQ(result & 0xfffff000ffff0000, 0);
    EXPECT(HV_REPS_DONE(result) <= 5);
}

/* ---- registers, §3.9 ---- */

static void expect_gprs_kept(const struct hv_regs *before, const struct hv_regs *after, bool volatile_too)
{
    EXPECT(after->rbx == before->rbx, "RBX");
    EXPECT(after->rbp == before->rbp, "RBP");
    EXPECT(after->rsi == before->rsi, "RSI");
    EXPECT(after->rdi == before->rdi, "RDI");
    EXPECT(after->r12 == before->r12, "R12");
    EXPECT(after->r13 == before->r13, "R13");
    EXPECT(after->r14 == before->r14, "R14");
    EXPECT(after->r15 == before->r15, "R15");
    if (volatile_too) {
        EXPECT(after->rdx == before->rdx, "RDX");
        EXPECT(after->r8 == before->r8, "R8");
        EXPECT(after->r9 == before->r9, "R9");
        EXPECT(after->r10 == before->r10, "R10");
        EXPECT(after->r11 == before->r11, "R11");
    }
}

TEST(nonvolatile_kept, "hc.registers.kept")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_2_0, EDITION_4_0);
    REQUIRE(hv_enable());
    struct hv_regs before = marked_regs(HvCallNotifyLongSpinWait | HV_FAST, 1, 0), r = before;
    hv_call_regs(&r); /* that it comes back at all shows RSP */
    expect_gprs_kept(&before, &r, false);
    for (unsigned i = 6; i < 16; i++) {
        EXPECT(r.xmm[i][0] == before.xmm[i][0] && r.xmm[i][1] == before.xmm[i][1], "XMM%u", i);
    }
}

/* EBX and ECX carry the input's address: the page of the call comes in EDX and EAX's place, so the control word is built here.
 */
KIT_CODE(call_32_kept, 32,
         "mov %edi, %ebp\n mov $0x13572468, %edi\n mov $0x24681357, %esi\n call *%ebp\n"
         "xor $0x13572468, %edi\n xor $0x24681357, %esi\n or %edi, %esi");

TEST(nonvolatile_kept_32, "hc.registers.kept-32")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_2_0, EDITION_4_0);
    REQUIRE(hv_enable());
    uint64_t *in = page_alloc();
    in[0] = 1;
    struct regs32 r = {.eax = HvCallNotifyLongSpinWait, .ecx = (uint32_t)gpa_of(in), .edi = (uint32_t)hv_page()};
    EXPECT_EQ(run_in_32bit(call_32_kept, (size_t)(call_32_kept_end - call_32_kept), &r).vector, NO_FAULT);
    EXPECT_EQ(r.eax & 0xffff, HV_STATUS_SUCCESS);
    EXPECT(r.esi == 0, "EDI or ESI changed");
    EXPECT_EQ(r.ebx, 0);
}

TEST(only_named_registers_change, "hc.registers.only-named")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    REQUIRE(hv_enable());
    uint64_t *in = page_alloc();
    in[0] = 1;
    const struct hv_regs calls[] = {
        marked_regs(HvCallNotifyLongSpinWait | HV_FAST, 1, 0x1234),
        marked_regs(HvCallNotifyLongSpinWait, gpa_of(in), 0x1234),
        marked_regs(CODE_UNKNOWN, 0x5678, 0x1234),
    };
    for (unsigned i = 0; i < ARRAY_COUNT(calls); i++) {
        struct hv_regs r = calls[i];
        hv_call_regs(&r);
        expect_gprs_kept(&calls[i], &r, true);
        EXPECT(r.rcx == calls[i].rcx, "RCX");
    }
}

TEST(xmm_unchanged, "hc.registers.xmm")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    REQUIRE(hv_enable());
    struct hv_regs before = marked_regs(HvCallNotifyLongSpinWait | HV_FAST, 1, 0), r = before;
    hv_call_regs(&r);
    for (unsigned i = 0; i < 16; i++) {
        EXPECT(r.xmm[i][0] == before.xmm[i][0] && r.xmm[i][1] == before.xmm[i][1], "XMM%u", i);
    }
}

TEST(rep_changes_rcx_only, "hc.registers.rep-rcx")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    REQUIRE(hv_enable());
    uint64_t *in = page_alloc();
    in[1] = FLUSH_ALL;
    struct hv_regs before = marked_regs(HvCallFlushVirtualAddressList | HV_REPS(4), gpa_of(in), 0x1234), r = before;
    hv_call_regs(&r);
    EXPECT_EQ(HV_STATUS_OF(r.rax), HV_STATUS_SUCCESS);
    expect_gprs_kept(&before, &r, true);
}

TEST(rep_rcx_fields, "hc.registers.rep-rcx-fields")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    REQUIRE(hv_enable());
    uint64_t *in = page_alloc();
    in[1] = FLUSH_ALL;
    struct hv_regs before = marked_regs(HvCallFlushVirtualAddressList | HV_REPS(4), gpa_of(in), 0), r = before;
    hv_call_regs(&r);
    EXPECT_EQ(r.rcx & 0xf000ffffffffffff, before.rcx);
    EXPECT((r.rcx >> 48 & 0xfff) <= 4, "rep start %u", (unsigned)(r.rcx >> 48 & 0xfff));
}

TEST(only_named_registers_change_32, "hc.registers.32")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    REQUIRE(hv_enable());
    uint64_t *in = page_alloc();
    in[0] = 1;
    struct regs32 r = {.eax = HvCallNotifyLongSpinWait, .ecx = (uint32_t)gpa_of(in), .edi = (uint32_t)hv_page()};
    EXPECT_EQ(run_in_32bit(call_32_kept, (size_t)(call_32_kept_end - call_32_kept), &r).vector, NO_FAULT);
    EXPECT_EQ(r.eax & 0xffff, HV_STATUS_SUCCESS);
    EXPECT(r.esi == 0, "EDI or ESI changed");
    EXPECT_EQ(r.ebx, 0);
    EXPECT_EQ(r.ecx, gpa_of(in));
}

static uint64_t flags_across(bool down)
{
    enum { DF = 1 << 10 };
    uint64_t result = 0, control = HvCallNotifyLongSpinWait | HV_FAST, input = 1, before, after;
    if (down) {
        __asm__ volatile("std");
    }
    __asm__ volatile("pushfq\n pop %[before]\n call *%[at]\n pushfq\n pop %[after]\n cld"
                     : "+a"(result), "+c"(control), "+d"(input), [before] "=&b"(before), [after] "=&S"(after)
                     : [at] "D"(hv_page())
                     : "r8", "r9", "r10", "r11", "memory", "cc");
    return before ^ after;
}

TEST(control_flags_kept, "hc.registers.flags")
{
    enum { CONDITION_CODES = 0x8d5 };
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    EXPECT_EQ(flags_across(false) & ~CONDITION_CODES, 0);
    EXPECT_EQ(flags_across(true) & ~CONDITION_CODES, 0);
    irqs(true);
    uint64_t changed = flags_across(false) & ~CONDITION_CODES;
    irqs(false);
    EXPECT_EQ(changed, 0);
}

struct system_registers {
    uint64_t cr0, cr2, cr3, cr4, dr0, dr7;
    uint16_t cs, ss, ds, es, fs, gs, tr;
};

static struct system_registers system_registers_read(void)
{
    struct system_registers s;
    memset(&s, 0, sizeof s);
    __asm__ volatile("mov %%cr0, %0" : "=r"(s.cr0));
    __asm__ volatile("mov %%cr2, %0" : "=r"(s.cr2));
    __asm__ volatile("mov %%cr3, %0" : "=r"(s.cr3));
    __asm__ volatile("mov %%cr4, %0" : "=r"(s.cr4));
    __asm__ volatile("mov %%dr0, %0" : "=r"(s.dr0));
    __asm__ volatile("mov %%dr7, %0" : "=r"(s.dr7));
    __asm__ volatile("mov %%cs, %0" : "=r"(s.cs));
    __asm__ volatile("mov %%ss, %0" : "=r"(s.ss));
    __asm__ volatile("mov %%ds, %0" : "=r"(s.ds));
    __asm__ volatile("mov %%es, %0" : "=r"(s.es));
    __asm__ volatile("mov %%fs, %0" : "=r"(s.fs));
    __asm__ volatile("mov %%gs, %0" : "=r"(s.gs));
    __asm__ volatile("str %0" : "=r"(s.tr));
    return s;
}

TEST(system_registers_kept, "hc.registers.system")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    __asm__ volatile("mov %0, %%cr2" ::"r"(0x123456789000ULL));
    struct system_registers before = system_registers_read();
    spin_wait();
    hv_call(CODE_UNKNOWN, 1, 1);
    struct system_registers after = system_registers_read();
    EXPECT(memcmp(&before, &after, sizeof before) == 0);
}

/* ---- restrictions, output, order, common statuses: §3.11, §3.12 ---- */

TEST(privilege_checked, "hc.restrictions.privilege")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_THAT(!has(AccessPartitionId), "AccessPartitionId is granted");
    REQUIRE(hv_enable());
    EXPECT_EQ(HV_STATUS_OF(hv_call(HvCallGetPartitionId, 0, gpa_of(page_alloc()))), HV_STATUS_ACCESS_DENIED);
}

TEST(refused_without_effect, "hc.restrictions.no-effect")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_THAT(!has(AccessPartitionId), "AccessPartitionId is granted");
    REQUIRE(hv_enable());
    uint64_t *out = page_alloc();
    memset(out, 0xa5, PAGE_BYTES);
    hv_call(HvCallGetPartitionId, 0, gpa_of(out));
    EXPECT_EQ(out[0], 0xa5a5a5a5a5a5a5a5);
}

TEST(output_on_failure, "hc.output.on-failure")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_OUTPUT_CALL();
    REQUIRE(hv_enable());
    uint64_t *out = page_alloc();
    memset(out, 0xa5, PAGE_BYTES);
    unsigned status = HV_STATUS_OF(hv_call(output_call() | HV_REPS(1), 0, gpa_of(out + 8)));
    EXPECT(status != HV_STATUS_SUCCESS);
    for (unsigned i = 0; i < PAGE_BYTES / 8; i++) {
        EXPECT(i == 8 || out[i] == 0xa5a5a5a5a5a5a5a5, "quadword %u", i);
    }
}

TEST(output_on_success, "hc.output.on-success")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_OUTPUT_CALL();
    REQUIRE(hv_enable());
    uint64_t *out = page_alloc();
    EXPECT_EQ(HV_STATUS_OF(hv_call(output_call(), 0, gpa_of(out))), HV_STATUS_SUCCESS);
    memset(out + 1, 0xff, 8);
    EXPECT_EQ(HV_STATUS_OF(hv_call(output_call(), 0, gpa_of(out + 1))), HV_STATUS_SUCCESS);
    EXPECT_EQ(out[0], out[1]);
}

TEST(unknown_code_despite_all, "hc.order.code-first")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    unsigned status = HV_STATUS_OF(hv_call(CODE_UNKNOWN, 1, 1));
    EXPECT(status == HV_STATUS_INVALID_HYPERCALL_CODE || status == HV_STATUS_INVALID_ALIGNMENT, "status 0x%x", status);
}

TEST(privilege_before_parameters, "hc.order.privilege-first")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_THAT(!has(AccessPartitionId), "AccessPartitionId is granted");
    REQUIRE(hv_enable());
    EXPECT_EQ(HV_STATUS_OF(hv_call(HvCallGetPartitionId, 0, gpa_of(page_alloc()) + 4)), HV_STATUS_ACCESS_DENIED);
}

TEST(status_success, "hc.status.success")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    EXPECT_EQ(hv_fast(HvCallNotifyLongSpinWait, 1, 0) & 0xffff, 0);
}

TEST(unknown_code, "hc.status.unknown-code")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    static const uint16_t codes[] = {0x0fff, 0x1000, 0x4000, 0x7000, 0x7fff};
    for (unsigned i = 0; i < ARRAY_COUNT(codes); i++) {
        unsigned status = HV_STATUS_OF(hv_call(codes[i], 0, 0));
        EXPECT(status == HV_STATUS_INVALID_HYPERCALL_CODE, "code 0x%x: status 0x%x", codes[i], status);
    }
}

TEST(code_zero, "hc.status.unknown-code-zero")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    EXPECT_EQ(HV_STATUS_OF(hv_call(0, 0, 0)), HV_STATUS_INVALID_HYPERCALL_CODE);
}

TEST(unknown_code_fast, "hc.status.unknown-code-fast")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    EXPECT_EQ(HV_STATUS_OF(hv_fast(CODE_UNKNOWN, 1, 1)), HV_STATUS_INVALID_HYPERCALL_CODE);
}

TEST(unknown_code_harmless, "hc.status.unknown-repeats")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    for (unsigned code = CODE_UNKNOWN; code < CODE_UNKNOWN + 64; code++) {
        hv_call(code, 0, 0);
    }
    EXPECT_EQ(spin_wait(), HV_STATUS_SUCCESS);
}
