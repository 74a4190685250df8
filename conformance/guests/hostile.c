/* A guest that wants to break its hypervisor: random MSR writes, hypercalls of random words and inputs, overlays on each other,
 * on MMIO and beyond RAM. It asks for nothing but a status or a fault, and that what it did not name stays as it is.
 *
 * Its clauses are of no document, so no suite lists it: tests/guests/hostile runs it, also under sanitizers.
 *     seed=N rounds=N    what is drawn, and how often (default 1, 10000)
 * Left out, for it would end the guest and not the hypervisor: reset, crash, INIT and SIPI, an address space or registers of
 * its own that it cannot live with, output over its own pages, and a sleep that nobody ends.
 */
#include "kit.h"

enum {
    MSR_FIRST = 0x40000000,
    MSR_COUNT = 0x200,
    WINDOW_PAGES = 16,
    GUARD_PAGES = 4, /* before and behind the window */
    SPACE_PAGES = WINDOW_PAGES + 2 * GUARD_PAGES,
    RESULT_REPS_SHIFT = 32,
};

/* ---- dice ---- */

static uint64_t dice_state;

static uint64_t dice(void) /* splitmix64 */
{
    uint64_t z = dice_state += 0x9e3779b97f4a7c15ULL;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

static uint64_t below(uint64_t end)
{
    return dice() % end;
}

static unsigned rounds(void)
{
    dice_state = arg_present("seed") ? arg("seed") : 1;
    return arg_present("rounds") ? (unsigned)arg("rounds") : 10000;
}

/* ---- memory that is watched ---- */

static uint8_t space[SPACE_PAGES * PAGE_BYTES] __attribute__((aligned(4096)));
static uint8_t *const window = space + GUARD_PAGES * PAGE_BYTES;

static uint64_t pattern(unsigned i)
{
    return (i + 1) * 0x9e3779b97f4a7c15ULL;
}

static void fill(void)
{
    for (unsigned i = 0; i < sizeof space / 8; i++) {
        ((uint64_t *)space)[i] = pattern(i);
    }
}

/* The first quadword of the pages that is not as fill() left it; their end when all are. */
static unsigned spoilt(unsigned page, unsigned count)
{
    for (unsigned i = page * (PAGE_BYTES / 8); i < (page + count) * (PAGE_BYTES / 8); i++) {
        if (((volatile uint64_t *)space)[i] != pattern(i)) {
            return i;
        }
    }
    return (page + count) * (PAGE_BYTES / 8);
}

static bool guards_hold(void)
{
    return spoilt(0, GUARD_PAGES) == GUARD_PAGES * (PAGE_BYTES / 8) &&
           spoilt(GUARD_PAGES + WINDOW_PAGES, GUARD_PAGES) == SPACE_PAGES * (PAGE_BYTES / 8);
}

/* Where an overlay, an input or an output may be asked for: the window above all, and where no RAM is. */
static uint64_t any_gpa(void)
{
    static const uint64_t elsewhere[] = {0xfee00000, 0xfec00000, 0xfed00000, 0xa0000,    0xfffff000,
                                         0x80000000, 1ULL << 36, 1ULL << 40, 1ULL << 52, ~0xfffULL};
    if (below(4) != 0) {
        return (uint64_t)window + below(WINDOW_PAGES) * PAGE_BYTES;
    }
    return elsewhere[below(ARRAY_COUNT(elsewhere))];
}

static uint64_t any_value(void)
{
    switch (below(8)) {
    case 0:
        return below(4);
    case 1:
        return ~0ULL;
    case 2:
        return 1ULL << below(64);
    case 3:
        return dice() >> below(64);
    case 4:
        return dice();
    default:
        return any_gpa() | below(8);
    }
}

/* ---- MSRs ---- */

static const uint32_t overlay_msrs[] = {
    HV_X64_MSR_HYPERCALL,
    HV_X64_MSR_REFERENCE_TSC,
    HV_X64_MSR_VP_ASSIST_PAGE,
    HV_X64_MSR_SIEFP,
    HV_X64_MSR_SIMP,
    HV_X64_MSR_STATS_PARTITION_RETAIL_PAGE,
    HV_X64_MSR_STATS_PARTITION_INTERNAL_PAGE,
    HV_X64_MSR_STATS_VP_RETAIL_PAGE,
    HV_X64_MSR_STATS_VP_INTERNAL_PAGE,
};

/* Registers that go on by themselves, or show what others do. */
static bool goes_on(uint32_t msr)
{
    return msr == HV_X64_MSR_VP_RUNTIME || msr == HV_X64_MSR_TIME_REF_COUNT || msr == HV_X64_MSR_EOM || msr == HV_X64_MSR_EOI ||
           msr == HV_X64_MSR_ICR || (msr >= HV_X64_MSR_STIMER0_CONFIG && msr <= HV_X64_MSR_STIMER3_COUNT) ||
           msr == HV_X64_MSR_STIME_UNHALTED_TIMER_CONFIG || msr == HV_X64_MSR_STIME_UNHALTED_TIMER_COUNT;
}

/* Vectors 16-31 are exceptions to the kit, wherever they come from: another one for the byte at `shift`. */
static uint64_t other_vector(uint64_t value, unsigned shift)
{
    return (value >> shift & 0xff) < 32 ? value | 0x20ULL << shift : value;
}

static uint64_t harmless(uint32_t msr, uint64_t value)
{
    switch (msr) {
    case HV_X64_MSR_RESET:
        return value & ~1ULL;
    case HV_X64_MSR_CRASH_CTL:
        return value & ~(1ULL << 63);
    case HV_X64_MSR_ICR: /* fixed or lowest priority */
        return other_vector(value & ~0x600ULL, 0);
    case HV_X64_MSR_HYPERCALL: /* not locked */
        return value & ~2ULL;
    case HV_X64_MSR_STIME_UNHALTED_TIMER_CONFIG:
        return other_vector(value, 0);
    }
    if (msr >= HV_X64_MSR_SINT0 && msr <= HV_X64_MSR_SINT15) {
        return other_vector(value, 0);
    }
    if (msr >= HV_X64_MSR_STIMER0_CONFIG && msr <= HV_X64_MSR_STIMER3_COUNT && msr % 2 == 0) {
        return other_vector(value, 4);
    }
    return value;
}

/* Returns false when something but NO_FAULT or #GP came of it, or a refused write has changed the register. */
static bool write_one(uint32_t msr, uint64_t value)
{
    uint64_t before = 0, after = 0;
    bool reads = msr != HV_X64_MSR_GUEST_IDLE;
    unsigned read = reads ? rdmsr_try(msr, &before) : VEC_GP, wrote = wrmsr_try(msr, harmless(msr, value));
    if ((read != NO_FAULT && read != VEC_GP) || (wrote != NO_FAULT && wrote != VEC_GP)) {
        note("MSR %x: vector %u at reading, %u at writing %lx", msr, read, wrote, value);
        return false;
    }
    if (read == NO_FAULT && wrote == VEC_GP && !goes_on(msr) && (rdmsr_try(msr, &after) != NO_FAULT || after != before)) {
        note("MSR %x: %lx was refused, and %lx became %lx", msr, value, before, after);
        return false;
    }
    return true;
}

static void overlays_off(void)
{
    for (unsigned i = 0; i < ARRAY_COUNT(overlay_msrs); i++) {
        wrmsr_try(overlay_msrs[i], 0);
    }
    wrmsr_try(HV_X64_MSR_GUEST_OS_ID, 0);
}

TEST(any_msr_takes_any_value_or_refuses_it, "kit.hostile.msr-writes")
{
    NEEDS_THAT(hv_present(), "there is no hypervisor to be hostile to");
    fill();
    bool well = true;
    for (unsigned i = rounds(); i > 0 && well; i--) {
        well = write_one(MSR_FIRST + (uint32_t)below(MSR_COUNT), any_value());
    }
    EXPECT(well);
    kit_quiet();
    overlays_off();
    EXPECT(guards_hold(), "memory that no MSR named has changed");
    EXPECT(spoilt(GUARD_PAGES, WINDOW_PAGES) == (GUARD_PAGES + WINDOW_PAGES) * (PAGE_BYTES / 8),
           "an overlay's end shows other RAM than its beginning hid");
    EXPECT_EQ(rdmsr(HV_X64_MSR_VP_INDEX), 0);
}

/* Each on any page, so that they cover each other in any order, and each off at some time. */
TEST(overlays_come_and_go_anywhere, "kit.hostile.overlays")
{
    NEEDS_THAT(hv_present(), "there is no hypervisor to be hostile to");
    fill();
    bool well = true;
    for (unsigned i = rounds(); i > 0 && well; i--) {
        if (below(16) == 0) {
            well = write_one(HV_X64_MSR_GUEST_OS_ID, below(2) * HV_KIT_GUEST_OS_ID);
        } else {
            well = write_one(overlay_msrs[below(ARRAY_COUNT(overlay_msrs))], (any_gpa() & ~0xfffULL) | (below(4) != 0));
        }
        volatile uint64_t *at = (volatile uint64_t *)window + below(WINDOW_PAGES * (PAGE_BYTES / 8));
        uint64_t seen = *at;
        well = well && *at == seen;
        if (below(512) == 0) {
            overlays_off();
            well = well && spoilt(0, SPACE_PAGES) == SPACE_PAGES * (PAGE_BYTES / 8);
        }
    }
    EXPECT(well);
    overlays_off();
    EXPECT_EQ(spoilt(0, SPACE_PAGES), SPACE_PAGES * (PAGE_BYTES / 8));
}

/* ---- hypercalls ---- */

static uint16_t any_call(void)
{
    static const uint16_t codes[] = {
        HvCallSwitchVirtualAddressSpace,
        HvCallFlushVirtualAddressSpace,
        HvCallFlushVirtualAddressList,
        HvCallGetLogicalProcessorRunTime,
        HvCallNotifyLongSpinWait,
        HvCallSendSyntheticClusterIpi,
        HvCallFlushVirtualAddressSpaceEx,
        HvCallFlushVirtualAddressListEx,
        HvCallSendSyntheticClusterIpiEx,
        HvCallGetPartitionId,
        HvCallGetVpRegisters,
        HvCallSetVpRegisters,
        HvCallTranslateVirtualAddress,
        HvCallPostMessage,
        HvCallSignalEvent,
        HvCallPostDebugData,
        HvCallRetrieveDebugData,
        HvCallResetDebugSession,
        HvCallRetargetDeviceInterrupt,
        HvCallStartVirtualProcessor,
        HvCallGetVpIndexFromApicId,
        HvExtCallQueryCapabilities,
        0x8002,
        0x8003,
    };
    return below(8) == 0 ? (uint16_t)dice() : codes[below(ARRAY_COUNT(codes))];
}

/* An input that now and then means something: identifiers, small numbers, addresses, masks. */
static void any_input(uint64_t *words, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        words[i] = below(3) == 0 ? ~0ULL /* HV_PARTITION_ID_SELF */ : below(2) == 0 ? below(32) : any_value();
    }
}

/* This VP must live on: the space it switches to is none, or its own; registers that it sets, and the VP that it starts, are
 * those of a VP that there is not. */
static void spare_ourselves(uint16_t code, uint64_t *words)
{
    uint64_t cr3 = 0;
    switch (code) {
    case HvCallSwitchVirtualAddressSpace:
        __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
        words[0] = below(2) ? cr3 : 1ULL << 60 | dice();
        break;
    case HvCallSendSyntheticClusterIpi:
    case HvCallSendSyntheticClusterIpiEx:
        words[0] = other_vector(words[0], 0);
        break;
    case HvCallSetVpRegisters:
    case HvCallStartVirtualProcessor:
        words[1] = (words[1] & ~0xffffffffULL) | (2 + below(1000));
        break;
    }
}

/* Those of appendix B, whose last is 0x60 and which keeps 1, 0xf and 0x10 for itself. */
static bool is_status(unsigned status)
{
    return status <= 0x60 && status != 0x01 && status != 0x0f && status != 0x10;
}

static bool call_one(void)
{
    uint16_t code = any_call();
    uint64_t control = code | HV_REPS(below(4)) | HV_START(below(3));
    if (below(3) == 0) {
        control |= HV_FAST;
    }
    if (below(4) == 0) {
        control |= HV_VARHEAD(below(4));
    }
    if (below(8) == 0) {
        control |= 1ULL << below(64) & ~0xffffULL;
    }
    if (below(16) == 0) {
        control = (dice() & ~0xffffULL) | code;
    }
    uint64_t *input = (uint64_t *)(window + below(WINDOW_PAGES - 1) * PAGE_BYTES + below(4) * 8);
    any_input(input, 64);
    spare_ourselves(code, input);
    struct hv_regs r = {.rcx = control, .rflags = 2};
    bool fast = control & HV_FAST;
    if (fast) {
        any_input(&r.xmm[0][0], 12);
        r.rdx = input[0];
        r.r8 = input[1];
    } else {
        /* Rarely another input than the drawn one, and then none in RAM. */
        bool elsewhere = below(8) == 0;
        r.rdx = elsewhere ? 0xfee00000 + below(2) * (1ULL << 40) : (uint64_t)input;
        r.r8 = any_gpa() + below(3) * 8;
    }
    unsigned vector = hv_call_regs_try(&r);
    if (vector != NO_FAULT && vector != VEC_UD && vector != VEC_GP) {
        note("call %lx: vector %u", control, vector);
        return false;
    }
    if (vector == NO_FAULT && (!is_status(HV_STATUS_OF(r.rax)) ||
                               HV_REPS_DONE(r.rax) > (control >> RESULT_REPS_SHIFT & 0xfff) || r.rax & 0xfffff000ffff0000ULL)) {
        note("call %lx: result %lx", control, r.rax);
        return false;
    }
    return true;
}

TEST(any_call_has_a_status, "kit.hostile.hypercalls")
{
    NEEDS_THAT(hv_present(), "there is no hypervisor to be hostile to");
    REQUIRE(hv_enable());
    fill();
    bool well = true;
    for (unsigned i = rounds(); i > 0 && well; i--) {
        well = call_one();
        wrmsr_try(HV_X64_MSR_EOM, 0);
    }
    EXPECT(well);
    EXPECT(guards_hold(), "memory that no call named has changed");
    EXPECT_EQ(rdmsr(HV_X64_MSR_VP_INDEX), 0);
    EXPECT_EQ(HV_STATUS_OF(hv_fast(HvCallSignalEvent, 0xffffff, 0)),
              has(SignalEvents) ? HV_STATUS_INVALID_CONNECTION_ID : HV_STATUS_ACCESS_DENIED);
}
