/* Requirements document: the three MSRs, the hypercall page, unknown calls, and the calls that recommendations stand for. */
#include "req.h"

/* ---- MSRs ---- */

TEST(required_msrs, "req.msr.guest-os-id", "req.msr.hypercall", "req.msr.vp-index", "req.minimal.msrs")
{
    NEEDS_HYPERVISOR();
    uint64_t value = 0, page = gpa_of(page_alloc());
    EXPECT_EQ_FOR("req.msr.guest-os-id", wrmsr_try(HV_X64_MSR_GUEST_OS_ID, HV_KIT_GUEST_OS_ID), NO_FAULT);
    EXPECT_EQ_FOR("req.msr.guest-os-id", rdmsr_try(HV_X64_MSR_GUEST_OS_ID, &value), NO_FAULT);
    EXPECT_EQ_FOR("req.msr.guest-os-id", value, HV_KIT_GUEST_OS_ID);
    EXPECT_EQ_FOR("req.msr.hypercall", rdmsr_try(HV_X64_MSR_HYPERCALL, &value), NO_FAULT);
    EXPECT_EQ_FOR("req.msr.hypercall", value & 1, 0);
    EXPECT_EQ_FOR("req.msr.hypercall", wrmsr_try(HV_X64_MSR_HYPERCALL, page | 1), NO_FAULT);
    EXPECT_EQ_FOR("req.msr.hypercall", rdmsr(HV_X64_MSR_HYPERCALL), page | 1);
    EXPECT_EQ_FOR("req.msr.vp-index", rdmsr_try(HV_X64_MSR_VP_INDEX, &value), NO_FAULT);
    EXPECT_FOR("req.msr.vp-index", value < 0x10000, "index 0x%lx", value);
    EXPECT_EQ_FOR("req.msr.vp-index", wrmsr_try(HV_X64_MSR_VP_INDEX, 0), VEC_GP);
    for (uint32_t msr = HV_X64_MSR_GUEST_OS_ID; msr <= HV_X64_MSR_VP_INDEX; msr++) {
        EXPECT_EQ_FOR("req.minimal.msrs", rdmsr_try(msr, &value), NO_FAULT);
    }
}

/* What the least profile does not have is not there, also where the TLFS would put it. */
TEST(no_other_msrs, "req.msr.absent")
{
    static const uint32_t ranges[][2] = {
        {HV_X64_MSR_RESET, HV_X64_MSR_RESET},
        {HV_X64_MSR_VP_RUNTIME, HV_X64_MSR_VP_RUNTIME},
        {HV_X64_MSR_TIME_REF_COUNT, HV_X64_MSR_APIC_FREQUENCY},
        {HV_X64_MSR_NPIEP_CONFIG, HV_X64_MSR_NPIEP_CONFIG},
        {HV_X64_MSR_EOI, HV_X64_MSR_VP_ASSIST_PAGE},
        {HV_X64_MSR_SCONTROL, HV_X64_MSR_EOM},
        {HV_X64_MSR_SINT0, HV_X64_MSR_SINT15},
        {HV_X64_MSR_STIMER0_CONFIG, HV_X64_MSR_STIMER3_COUNT},
        {HV_X64_MSR_STATS_PARTITION_RETAIL_PAGE, HV_X64_MSR_STATS_VP_INTERNAL_PAGE},
        {HV_X64_MSR_GUEST_IDLE, HV_X64_MSR_SYNDBG_PENDING_BUFFER},
        {HV_X64_MSR_CRASH_P0, HV_X64_MSR_TSC_EMULATION_STATUS},
        {HV_X64_MSR_STIME_UNHALTED_TIMER_CONFIG, HV_X64_MSR_TSC_INVARIANT_CONTROL},
    };
    NEEDS_THAT(hv_present() && profile_is("hv1-minimal"), "the profile is not the least one");
    for (unsigned i = 0; i < ARRAY_COUNT(ranges); i++) {
        for (uint32_t msr = ranges[i][0]; msr <= ranges[i][1]; msr++) {
            uint64_t value;
            EXPECT(rdmsr_try(msr, &value) == VEC_GP, "MSR 0x%x can be read", msr);
            EXPECT(wrmsr_try(msr, 0) == VEC_GP, "MSR 0x%x can be written", msr);
        }
    }
}

TEST(index_stays, "req.msr.vp-index.stable")
{
    NEEDS(AccessVpIndex);
    uint64_t first = rdmsr(HV_X64_MSR_VP_INDEX);
    REQUIRE(hv_enable());
    EXPECT_EQ(rdmsr(HV_X64_MSR_VP_INDEX), first);
    hv_call(0x0fff, 0, 0);
    EXPECT_EQ(rdmsr(HV_X64_MSR_VP_INDEX), first);
    hv_disable();
    EXPECT_EQ(rdmsr(HV_X64_MSR_VP_INDEX), first);
}

/* ---- the page ---- */

static void page_read(void *page)
{
    for (unsigned i = 0; i < PAGE_BYTES / 8; i++) {
        (void)((volatile uint64_t *)page)[i];
    }
}

TEST(page_is_mapped, "req.hc.map", "req.hc.read", "req.minimal.hypercall")
{
    NEEDS(AccessHypercallMsrs);
    volatile uint64_t *page = page_alloc();
    memset((void *)page, 0x5a, PAGE_BYTES);
    wrmsr(HV_X64_MSR_GUEST_OS_ID, HV_KIT_GUEST_OS_ID);
    wrmsr(HV_X64_MSR_HYPERCALL, gpa_of(page) | 1);
    EXPECT_EQ_FOR("req.hc.map", rdmsr(HV_X64_MSR_HYPERCALL), gpa_of(page) | 1);
    EXPECT_FOR("req.hc.read", page[0] != 0x5a5a5a5a5a5a5a5a, "the memory below shows through");
    EXPECT_EQ_FOR("req.hc.read", try_run(page_read, (void *)page).vector, NO_FAULT);
    REQUIRE(hv_enable());
    EXPECT_EQ_FOR("req.minimal.hypercall", HV_STATUS_OF(hv_call(0x0fff, 0, 0)), HV_STATUS_INVALID_HYPERCALL_CODE);
}

/* Wherever the guest wants it in its memory: near the start, in the middle, at the end. */
TEST(page_is_mapped_anywhere, "req.hc.map.anywhere", "req.hc.unmap")
{
    NEEDS(AccessHypercallMsrs);
    const uint64_t places[] = {0xd000, gpa_of(page_alloc()), (memory_bytes() - PAGE_BYTES) & ~0xfffULL};
    wrmsr(HV_X64_MSR_GUEST_OS_ID, HV_KIT_GUEST_OS_ID);
    for (unsigned i = 0; i < ARRAY_COUNT(places); i++) {
        volatile uint64_t *at = (void *)places[i];
        at[0] = 0x1122334455667788;
        EXPECT_EQ_FOR("req.hc.map.anywhere", wrmsr_try(HV_X64_MSR_HYPERCALL, places[i] | 1), NO_FAULT);
        EXPECT_FOR("req.hc.map.anywhere", at[0] != 0x1122334455667788, "nothing at 0x%lx", places[i]);
        wrmsr(HV_X64_MSR_HYPERCALL, 0);
        EXPECT_EQ_FOR("req.hc.unmap", at[0], 0x1122334455667788);
    }
}

TEST(page_is_executable, "req.hc.execute")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    struct hv_regs r;
    memset(&r, 0, sizeof r);
    r.rcx = 0x0fff;
    EXPECT_EQ(hv_call_regs_try(&r), NO_FAULT); /* and came back by its RET, with the stack as it was */
}

static uint64_t page_sum(void)
{
    const volatile uint64_t *page = (void *)hv_page();
    uint64_t sum = 0;
    for (unsigned i = 0; i < PAGE_BYTES / 8; i++) {
        sum = (sum << 7 | sum >> 57) ^ page[i];
    }
    return sum;
}

static void page_sum_job(void *sum)
{
    uint64_t in = 0;
    hv_call_try(0x0fff, 0, 0, &in);
    *(uint64_t *)sum = page_sum();
}

TEST(page_does_not_change, "req.hc.constant", "req.hc.constant.every-vp", "req.hc.remap")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    uint64_t first = page_sum(), other = 0;
    /* Known or not, with input of zeroes: all but the call that would load CR3 from it. */
    for (unsigned code = HvCallFlushVirtualAddressSpace; code < 16; code++) {
        hv_call(code, gpa_of(page_alloc()), gpa_of(page_alloc()));
    }
    spin_100ns(50 * US_100NS);
    EXPECT_EQ_FOR("req.hc.constant", page_sum(), first);
    smp_start();
    for (unsigned i = 1; i < vp_count(); i++) {
        on_vp(i, page_sum_job, &other);
        EXPECT_EQ_FOR("req.hc.constant.every-vp", other, first);
    }
    EXPECT_EQ_FOR("req.hc.constant", page_sum(), first);
    hv_disable();
    REQUIRE(hv_enable());
    EXPECT_EQ_FOR("req.hc.remap", HV_STATUS_OF(hv_call(0x0fff, 0, 0)), HV_STATUS_INVALID_HYPERCALL_CODE);
}

/* ---- unknown calls ---- */

static const unsigned unknown_codes[] = {0x0030, 0x0abc, 0x0fff, 0x7fff};

TEST(unknown_call_is_refused, "req.hc.unknown")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    for (unsigned i = 0; i < ARRAY_COUNT(unknown_codes); i++) {
        uint64_t result = 0;
        EXPECT(hv_call_try(unknown_codes[i], 0, 0, &result) == NO_FAULT, "call 0x%x faults", unknown_codes[i]);
        EXPECT(HV_STATUS_OF(result) == HV_STATUS_INVALID_HYPERCALL_CODE, "call 0x%x: status 0x%x", unknown_codes[i],
               HV_STATUS_OF(result));
        EXPECT_EQ(HV_REPS_DONE(result), 0);
    }
}

TEST(no_call_at_all, "req.hc.none")
{
    NEEDS_THAT(hv_present() && profile_is("hv1-minimal"), "the profile is not the least one");
    REQUIRE(hv_enable());
    uint64_t in = gpa_of(page_alloc()), out = gpa_of(page_alloc());
    for (unsigned code = 1; code <= 0xffff; code += code < 0x100 ? 1 : 0x333) {
        uint64_t result = 0;
        EXPECT(hv_call_try(code, in, out, &result) == NO_FAULT && HV_STATUS_OF(result) == HV_STATUS_INVALID_HYPERCALL_CODE,
               "call 0x%x: status 0x%x", code, HV_STATUS_OF(result));
    }
}

/* A caller cannot tell the document's three instructions from a hypervisor that knows none of the calls. */
TEST(as_the_stub_answers, "req.hc.stub", "req.hc.stub.balance")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    struct hv_regs r;
    memset(&r, 0, sizeof r);
    r.rcx = 0x0fff;
    r.rbx = r.rbp = r.r12 = r.r15 = 0x1234567890abcdef;
    hv_call_regs(&r);
    EXPECT_EQ_FOR("req.hc.stub", r.rax, 2);
    EXPECT_EQ_FOR("req.hc.stub", r.rdx, 0);
    EXPECT_EQ_FOR("req.hc.stub.balance", r.rbx & r.rbp & r.r12 & r.r15, 0x1234567890abcdef);
}

/* mov ebp, page; call ebp: with the control word in EDX:EAX, the result comes back there. */
static struct fault call_32(struct fault run(const void *, size_t, struct regs32 *), struct regs32 *r)
{
    uint32_t page = (uint32_t)hv_page();
    uint8_t code[7] = {0xbd, 0, 0, 0, 0, 0xff, 0xd5};
    memcpy(code + 1, &page, 4);
    return run(code, sizeof code, r);
}

TEST(as_the_stub_answers_32_bits, "req.hc.stub.32bit")
{
    struct regs32 r = {.eax = 0x0fff};
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    EXPECT_EQ(call_32(run_in_32bit_compat, &r).vector, NO_FAULT);
    EXPECT_EQ(r.eax, 2);
    EXPECT_EQ(r.edx, 0);
    r = (struct regs32){.eax = 0x0fff};
    EXPECT_EQ(call_32(run_in_32bit, &r).vector, NO_FAULT);
    EXPECT_EQ(r.eax, 2);
    EXPECT_EQ(r.edx, 0);
}

/* ---- recommendations ---- */

TEST(nothing_is_recommended, "req.rec.optional")
{
    NEEDS_HYPERVISOR();
    NEEDS_THAT(cpuid(HV_CPUID_RECOMMENDATIONS, 0).eax == 0, "something is recommended");
    /* Then what a guest does without advice works: here a flush by CR3, and the local APIC by MMIO. */
    volatile uint64_t *a = page_alloc(), *b = page_alloc(), *window = (void *)KIT_GVA;
    a[0] = 1, b[0] = 2;
    map(KIT_GVA, gpa_of(a), MAP_WRITE);
    EXPECT_EQ(window[0], 1);
    *pte_of(KIT_GVA) = gpa_of(b) | 7;
    __asm__ volatile("mov %%cr3, %%rax; mov %%rax, %%cr3" ::: "rax", "memory");
    EXPECT_EQ(window[0], 2);
    irqs(true);
    ipi(this_vp(), 0x61);
    EXPECT(WAIT_FOR(irq_count(0x61) == 1, MS_100NS));
}

TEST(address_space_switch, "req.rec.switch")
{
    NEEDS(UseHypercallForAddressSpaceSwitch);
    REQUIRE(hv_enable());
    uint64_t cr3, after;
    __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
    EXPECT_EQ(HV_STATUS_OF(hv_fast(HvCallSwitchVirtualAddressSpace, cr3, 0)), HV_STATUS_SUCCESS);
    __asm__ volatile("mov %%cr3, %0" : "=r"(after));
    EXPECT_EQ(after, cr3);
}

/* TLFS 2.0a §12.4.2, §12.4.3: address space, flags, processors; then the ranges of the list form. */
struct flush_input {
    uint64_t space, flags, processors, range;
};
enum { FLUSH_ALL_SPACES = 2 };

static unsigned flush(bool list, uint64_t processors)
{
    struct flush_input *in = page_alloc();
    *in = (struct flush_input){0, FLUSH_ALL_SPACES, processors, KIT_GVA};
    uint64_t result = list ? hv_call(HvCallFlushVirtualAddressList | HV_REPS(1), gpa_of(in), 0)
                           : hv_call(HvCallFlushVirtualAddressSpace, gpa_of(in), 0);
    return HV_STATUS_OF(result);
}

static void window_read(void *value)
{
    *(uint64_t *)value = *(volatile uint64_t *)KIT_GVA;
}

static void index_read(void *index)
{
    *(uint64_t *)index = rdmsr(HV_X64_MSR_VP_INDEX);
}

/* A translation that a VP has used; the table changes; after the call it must not be used again. */
static void expect_flush(unsigned vp, bool list)
{
    uint64_t *a = page_alloc(), *b = page_alloc(), seen = 0, index = 0;
    a[0] = 1, b[0] = 2;
    on_vp(vp, index_read, &index);
    map(KIT_GVA, gpa_of(a), MAP_WRITE);
    on_vp(vp, window_read, &seen);
    EXPECT_EQ(seen, 1);
    *pte_of(KIT_GVA) = gpa_of(b) | 7;
    EXPECT_EQ(flush(list, 1ULL << index), HV_STATUS_SUCCESS);
    on_vp(vp, window_read, &seen);
    EXPECT_EQ(seen, 2);
}

TEST(local_flush, "req.rec.local-flush")
{
    NEEDS(UseHypercallForLocalFlush);
    REQUIRE(hv_enable());
    expect_flush(0, false);
    expect_flush(0, true);
}

TEST(remote_flush, "req.rec.remote-flush")
{
    NEEDS(UseHypercallForRemoteFlush);
    REQUIRE(hv_enable());
    smp_start();
    NEEDS_THAT(vp_count() > 1, "one VP");
    expect_flush(1, false);
    expect_flush(vp_count() - 1, true);
}

TEST(apic_msrs_recommended, "req.rec.apic")
{
    NEEDS(UseApicMsrs);
    EXPECT(has(AccessIntrCtrlRegs), "recommended, but not accessible");
    uint64_t value;
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_TPR, 0x20), NO_FAULT);
    EXPECT_EQ(rdmsr_try(HV_X64_MSR_TPR, &value), NO_FAULT);
    EXPECT_EQ(value, 0x20);
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_EOI, 0), NO_FAULT);
}

TEST(reset_msr_recommended, "req.rec.reset")
{
    uint64_t value = 1;
    NEEDS(UseMsrForReset);
    EXPECT(has(AccessResetReg), "recommended, but not accessible");
    EXPECT_EQ(rdmsr_try(HV_X64_MSR_RESET, &value), NO_FAULT);
    EXPECT_EQ(value, 0);
}

static void recommendations_read(void *eax)
{
    *(uint32_t *)eax = cpuid(HV_CPUID_RECOMMENDATIONS, 0).eax;
}

/* Advice alone: no MSR, no call. All that can be seen is that every VP gets the same. */
TEST(relaxed_timing_is_advice, "req.relaxed.bit")
{
    uint32_t own, other = 0;
    NEEDS_HYPERVISOR();
    recommendations_read(&own);
    smp_start();
    for (unsigned i = 1; i < vp_count(); i++) {
        on_vp(i, recommendations_read, &other);
        EXPECT_EQ(other >> 5 & 1, own >> 5 & 1);
    }
}
