/* Judges hypercall.yaml where it is about rep calls: order, start index, completed count, errors on the way, continuation.
 *
 * HvFlushVirtualAddressList is there for everyone, but no element of it can fail. Where AccessVpRegisters is granted,
 * HvGetVpRegisters and HvSetVpRegisters have lists with elements that can. */
#include "kit.h"

enum { FLUSH_ALL = 3, LIST_MAX = (PAGE_BYTES - 24) / 8 };
enum {
    HvX64RegisterKernelGsBase = 0x80002,
    HvX64RegisterLstar = 0x80009,
    HvX64RegisterCstar = 0x8000a,
    REGISTER_NONE = 0xfffff
};
enum { MSR_LSTAR = 0xc0000082, MSR_CSTAR = 0xc0000083, MSR_KERNEL_GS_BASE = 0xc0000102 };
#define SELF 0xffffffffffffffffULL
#define VP_SELF 0xfffffffeULL

static uint64_t flush_list(unsigned count, unsigned start)
{
    uint64_t *in = page_alloc();
    in[1] = FLUSH_ALL;
    for (unsigned i = 0; i < count; i++) {
        in[3 + i] = KIT_GVA + i * (uint64_t)PAGE_BYTES;
    }
    return hv_call(HvCallFlushVirtualAddressList | HV_REPS(count) | HV_START(start), gpa_of(in), 0);
}

static uint64_t get_registers(const uint32_t *names, unsigned count, unsigned start, uint64_t *out)
{
    uint64_t *in = page_alloc();
    in[0] = SELF;
    in[1] = VP_SELF;
    memcpy(in + 2, names, count * sizeof *names);
    return hv_call(HvCallGetVpRegisters | HV_REPS(count) | HV_START(start), gpa_of(in), gpa_of(out));
}

/* Sets the kernel's GS base, a register that is none, and LSTAR. */
static uint64_t set_three(uint32_t middle, unsigned start)
{
    struct {
        uint32_t name, padding[3];
        uint64_t low, high;
    } * element;
    uint64_t *in = page_alloc();
    in[0] = SELF;
    in[1] = VP_SELF;
    element = (void *)(in + 2);
    element[0].name = HvX64RegisterKernelGsBase;
    element[0].low = 0x111111111000;
    element[1].name = middle;
    element[1].low = 0x222222222000;
    element[2].name = HvX64RegisterLstar;
    element[2].low = 0x333333333000;
    wrmsr(MSR_KERNEL_GS_BASE, 0);
    wrmsr(MSR_LSTAR, 0);
    wrmsr(MSR_CSTAR, 0);
    return hv_call(HvCallSetVpRegisters | HV_REPS(3) | HV_START(start), gpa_of(in), 0);
}

TEST(reps_in_order, "hc.rep.in-order")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(AccessVpRegisters);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST); /* before, only a parent reads and writes registers */
    REQUIRE(hv_enable());
    uint64_t result = set_three(REGISTER_NONE, 0);
    EXPECT(HV_STATUS_OF(result) != HV_STATUS_SUCCESS);
    EXPECT_EQ(rdmsr(MSR_KERNEL_GS_BASE), 0x111111111000);
    EXPECT_EQ(rdmsr(MSR_LSTAR), 0);
}

TEST(rep_start_honoured, "hc.rep.start")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(AccessVpRegisters);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST); /* before, only a parent reads and writes registers */
    REQUIRE(hv_enable());
    EXPECT_EQ(HV_STATUS_OF(set_three(HvX64RegisterCstar, 1)), HV_STATUS_SUCCESS);
    EXPECT_EQ(rdmsr(MSR_KERNEL_GS_BASE), 0);
    EXPECT_EQ(rdmsr(MSR_CSTAR), 0x222222222000);
    EXPECT_EQ(rdmsr(MSR_LSTAR), 0x333333333000);
    wrmsr(MSR_LSTAR, 0x444444444000);
    uint64_t *out = page_alloc();
    out[0] = out[1] = 0xa5a5a5a5a5a5a5a5;
    static const uint32_t names[] = {HvX64RegisterCstar, HvX64RegisterLstar};
    EXPECT_EQ(HV_STATUS_OF(get_registers(names, 2, 1, out)), HV_STATUS_SUCCESS);
    EXPECT(out[0] == 0xa5a5a5a5a5a5a5a5 && out[1] == 0xa5a5a5a5a5a5a5a5, "element 0 was written");
    EXPECT_EQ(out[2], 0x444444444000);
}

TEST(rep_complete_is_absolute, "hc.rep.complete-count")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    for (unsigned start = 0; start < 5; start++) {
        uint64_t result = flush_list(5, start);
        EXPECT_EQ(HV_STATUS_OF(result), HV_STATUS_SUCCESS);
        EXPECT(HV_REPS_DONE(result) == 5, "start %u: %u", start, HV_REPS_DONE(result));
    }
}

TEST(rep_complete_on_error, "hc.rep.complete-on-error")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(AccessVpRegisters);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST); /* before, only a parent reads and writes registers */
    REQUIRE(hv_enable());
    static const uint32_t names[] = {HvX64RegisterLstar, HvX64RegisterCstar, REGISTER_NONE, HvX64RegisterLstar};
    uint64_t result = get_registers(names, 4, 0, page_alloc());
    EXPECT(HV_STATUS_OF(result) != HV_STATUS_SUCCESS);
    EXPECT_EQ(HV_REPS_DONE(result), 2);
}

TEST(rep_complete_on_error_from_start, "hc.rep.complete-on-error-start")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(AccessVpRegisters);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST); /* before, only a parent reads and writes registers */
    REQUIRE(hv_enable());
    static const uint32_t names[] = {HvX64RegisterLstar, HvX64RegisterCstar, HvX64RegisterLstar, REGISTER_NONE};
    EXPECT_EQ(HV_REPS_DONE(get_registers(names, 4, 1, page_alloc())), 3);
}

TEST(rep_effects_before_error_stay, "hc.rep.effects-stay")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(AccessVpRegisters);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST); /* before, only a parent reads and writes registers */
    REQUIRE(hv_enable());
    set_three(REGISTER_NONE, 0);
    EXPECT_EQ(rdmsr(MSR_KERNEL_GS_BASE), 0x111111111000);
}

TEST(rep_none_after_error, "hc.rep.none-after-error")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(AccessVpRegisters);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST); /* before, only a parent reads and writes registers */
    REQUIRE(hv_enable());
    set_three(REGISTER_NONE, 0);
    EXPECT_EQ(rdmsr(MSR_LSTAR), 0);
}

TEST(rep_makes_progress, "hc.rep.progress")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    for (unsigned count = 1; count <= 64; count *= 4) {
        EXPECT(HV_REPS_DONE(flush_list(count, count - 1)) == count, "count %u", count);
    }
}

TEST(rep_single, "hc.rep.single")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    uint64_t result = flush_list(1, 0);
    EXPECT_EQ(HV_STATUS_OF(result), HV_STATUS_SUCCESS);
    EXPECT_EQ(HV_REPS_DONE(result), 1);
}

TEST(rep_longest, "hc.rep.longest")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    uint64_t result = flush_list(LIST_MAX, 0);
    EXPECT_EQ(HV_STATUS_OF(result), HV_STATUS_SUCCESS);
    EXPECT_EQ(HV_REPS_DONE(result), LIST_MAX);
}

TEST(simple_reports_no_reps, "hc.simple.no-reps")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    EXPECT_EQ(HV_REPS_DONE(hv_fast(HvCallNotifyLongSpinWait, 1, 0)), 0);
}

/* ---- continuation, §3.3 ---- */

/* The gate of one vector leads here for the length of a test: what the interrupted registers were. */
enum { VECTOR = 0x67, GATE_BYTES = 16, LONGEST_WAIT = 1 << 16 };
volatile uint64_t hypercall_rep_rip, hypercall_rep_rcx, hypercall_rep_taken;
extern const uint8_t hypercall_rep_entry[];
__asm__(".pushsection .text\n"
        "hypercall_rep_entry:\n"
        "    push %rax\n"
        "    mov 8(%rsp), %rax\n"
        "    mov %rax, hypercall_rep_rip\n"
        "    mov %rcx, hypercall_rep_rcx\n"
        "    incq hypercall_rep_taken\n"
        "    mov $0xfee000b0, %eax\n"
        "    movl $0, (%rax)\n"
        "    pop %rax\n"
        "    iretq\n"
        ".popsection\n");

struct __attribute__((packed)) table_register {
    uint16_t limit;
    uint64_t base;
};

static uint64_t *gate_of_vector(void)
{
    struct table_register idt;
    __asm__ volatile("sidt %0" : "=m"(idt));
    return (uint64_t *)(idt.base + VECTOR * GATE_BYTES);
}

/* A call of the longest list with an interrupt of the local APIC's timer `ticks` after its start. */
static uint64_t interrupted_call(uint64_t *gate, uint32_t ticks)
{
    uint64_t low = gate[0], high = gate[1], at = (uint64_t)hypercall_rep_entry;
    gate[0] = (low & 0x0000ffffffff0000) | (at & 0xffff) | (at >> 16 & 0xffff) << 48;
    gate[1] = at >> 32;
    hypercall_rep_rip = hypercall_rep_rcx = hypercall_rep_taken = 0;
    lapic_write(LAPIC_TIMER_DIVIDE, 0xb); /* by 1 */
    lapic_write(LAPIC_LVT_TIMER, VECTOR);
    irqs(true);
    lapic_write(LAPIC_TIMER_INITIAL, ticks);
    uint64_t result = flush_list(LIST_MAX, 0);
    for (unsigned i = 0; i < LONGEST_WAIT && hypercall_rep_taken == 0; i++) {
        pause();
    }
    irqs(false);
    lapic_write(LAPIC_TIMER_INITIAL, 0);
    gate[0] = low;
    gate[1] = high;
    return result;
}

static bool interrupted_within(uint64_t *result)
{
    uint64_t *gate = gate_of_vector();
    for (uint32_t ticks = 64; ticks < LONGEST_WAIT; ticks += ticks / 8) {
        *result = interrupted_call(gate, ticks);
        if (hypercall_rep_rip >= hv_page() && hypercall_rep_rip < hv_page() + PAGE_BYTES &&
            (hypercall_rep_rcx >> 48 & 0xfff) > 0 && (hypercall_rep_rcx >> 48 & 0xfff) < LIST_MAX) {
            return true;
        }
    }
    return false;
}

TEST(continuation_keeps_rip, "hc.continue.rip", "hc.continue.rep-start")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    uint64_t result;
    NEEDS_THAT(interrupted_within(&result), "no interrupt fell into a call");
    /* the instruction at the saved pointer is the one that makes the call: both forms begin with 0F 01 */
    const volatile uint8_t *at = (const volatile uint8_t *)hypercall_rep_rip;
    EXPECT_FOR("hc.continue.rip", at[0] == 0x0f && at[1] == 0x01, "0x%x 0x%x", at[0], at[1]);
    unsigned start = (unsigned)(hypercall_rep_rcx >> 48 & 0xfff);
    EXPECT_FOR("hc.continue.rep-start", start > 0 && start < LIST_MAX, "rep start %u", start);
    EXPECT_EQ_FOR("hc.continue.rep-start", hypercall_rep_rcx & 0xffff, HvCallFlushVirtualAddressList);
    EXPECT_EQ(HV_STATUS_OF(result), HV_STATUS_SUCCESS);
    EXPECT_EQ(HV_REPS_DONE(result), LIST_MAX);
}

TEST(continuation_takes_interrupts, "hc.continue.interrupts")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    for (uint32_t ticks = 64; ticks < LONGEST_WAIT; ticks *= 4) {
        uint64_t result = interrupted_call(gate_of_vector(), ticks);
        EXPECT(hypercall_rep_taken == 1, "%lu interrupts after %u ticks", hypercall_rep_taken, ticks);
        EXPECT_EQ(HV_REPS_DONE(result), LIST_MAX);
    }
}

TEST(continuation_is_transparent, "hc.continue.transparent")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    for (unsigned count = 1; count <= LIST_MAX; count += 127) {
        uint64_t result = flush_list(count, 0);
        EXPECT_EQ(HV_STATUS_OF(result), HV_STATUS_SUCCESS);
        EXPECT_EQ(HV_REPS_DONE(result), count);
    }
}
