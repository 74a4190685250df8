/* Judges discovery.yaml: what CPUID says of the hypervisor, and that what is announced is there. */
#include "kit.h"

enum { EAX, EBX, ECX, EDX };

static uint32_t reg(uint32_t leaf, unsigned which)
{
    struct cpuid c = cpuid(leaf, 0);
    return which == EAX ? c.eax : which == EBX ? c.ebx : which == ECX ? c.ecx : c.edx;
}

static bool same(struct cpuid a, struct cpuid b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

static bool zero(struct cpuid c)
{
    return (c.eax | c.ebx | c.ecx | c.edx) == 0;
}

/* Runs CPUID on another VP. */
struct remote {
    uint32_t leaf;
    struct cpuid found;
};

static void remote_cpuid(void *p)
{
    struct remote *r = p;
    r->found = cpuid(r->leaf, 0);
}

static void expect_same_everywhere(const uint32_t *leaves, unsigned count)
{
    smp_start();
    for (unsigned i = 0; i < count; i++) {
        struct cpuid mine = cpuid(leaves[i], 0);
        for (unsigned vp = 0; vp < vp_count(); vp++) {
            struct remote r = {.leaf = leaves[i]};
            on_vp(vp, remote_cpuid, &r);
            EXPECT(same(mine, r.found), "leaf 0x%x differs on VP %u", leaves[i], vp);
        }
    }
}

/* ---- presence and signature ---- */

TEST(present_on_every_vp, "disc.present")
{
    NEEDS_THAT(hv_signs(), "no hypervisor");
    smp_start();
    for (unsigned vp = 0; vp < vp_count(); vp++) {
        struct remote r = {.leaf = 1};
        on_vp(vp, remote_cpuid, &r);
        EXPECT(r.found.ecx >> 31 == 1, "bit 31 is clear on VP %u", vp);
    }
}

TEST(present_at_cpl3, "disc.present.user")
{
    NEEDS_THAT(hv_signs(), "no hypervisor");
    struct remote r = {.leaf = 1};
    EXPECT_EQ(run_at_cpl3(remote_cpuid, &r).vector, NO_FAULT);
    EXPECT(r.found.ecx >> 31 == 1);
}

TEST(leaves_present, "disc.leaf.first-two")
{
    NEEDS_THAT(hv_present(), "no hypervisor");
    EXPECT(reg(HV_CPUID_VENDOR, EAX) >= HV_CPUID_INTERFACE);
    EXPECT(reg(HV_CPUID_INTERFACE, EAX) != 0);
    struct cpuid basic = cpuid(cpuid(0, 0).eax, 0);
    EXPECT(!same(cpuid(HV_CPUID_VENDOR, 0), basic), "leaf 0x40000000 is the highest basic leaf");
    EXPECT(!same(cpuid(HV_CPUID_INTERFACE, 0), basic), "leaf 0x40000001 is the highest basic leaf");
}

TEST(max_leaf, "disc.leaf.max.range", "disc.leaf.max.minimum")
{
    NEEDS_THAT(hv_present(), "no hypervisor");
    uint32_t max = reg(HV_CPUID_VENDOR, EAX);
    EXPECT_FOR("disc.leaf.max.range", max >= HV_CPUID_VENDOR && max <= HV_CPUID_RANGE_LAST, "0x%x", max);
    EXPECT_FOR("disc.leaf.max.minimum", max >= HV_CPUID_LIMITS, "0x%x", max);
}

TEST(signature_whatever_the_vendor, "disc.signature.neutral")
{
    NEEDS_THAT(cpuid(1, 0).ecx >> 31, "no hypervisor");
    EXPECT_EQ(reg(HV_CPUID_INTERFACE, EAX), HV_INTERFACE_SIGNATURE);
}

TEST(vendor, "disc.vendor")
{
    NEEDS_THAT(hv_present(), "no hypervisor");
    EXPECT_EQ(reg(HV_CPUID_VENDOR, EBX), 0x7263694d);
    EXPECT_EQ(reg(HV_CPUID_VENDOR, ECX), 0x666f736f);
    EXPECT_EQ(reg(HV_CPUID_VENDOR, EDX), 0x76482074);
}

TEST(signature, "disc.signature")
{
    NEEDS_THAT(cpuid(1, 0).ecx >> 31, "no hypervisor"); /* not hv_present(), which asks for the signature */
    EXPECT_EQ(reg(HV_CPUID_INTERFACE, EAX), 0x31237648);
}

TEST(signature_rest, "disc.signature.rest")
{
    NEEDS_THAT(hv_present(), "no hypervisor");
    NEEDS_EDITION(EDITION_2_0, EDITION_5_0);
    EXPECT_EQ(reg(HV_CPUID_INTERFACE, EBX), 0);
    EXPECT_EQ(reg(HV_CPUID_INTERFACE, ECX), 0);
    EXPECT_EQ(reg(HV_CPUID_INTERFACE, EDX), 0);
}

TEST(leaves_up_to_five, "disc.leaf.below-max")
{
    NEEDS_THAT(hv_present(), "no hypervisor");
    EXPECT(reg(HV_CPUID_VENDOR, EAX) >= HV_CPUID_LIMITS);
    struct cpuid basic = cpuid(cpuid(0, 0).eax, 0);
    for (uint32_t leaf = HV_CPUID_VERSION; leaf <= HV_CPUID_LIMITS; leaf++) {
        EXPECT(zero(basic) || !same(cpuid(leaf, 0), basic), "leaf 0x%x is the highest basic leaf", leaf);
    }
    EXPECT(reg(HV_CPUID_FEATURES, EAX) != 0, "no privilege at all");
}

/* ---- the version leaf ---- */

static void write_identity(void *value)
{
    wrmsr(HV_X64_MSR_GUEST_OS_ID, (uint64_t)value);
}

TEST(version_before_identity, "disc.version.before-identity")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_2_0, EDITION_LAST);
    wrmsr(HV_X64_MSR_GUEST_OS_ID, 0);
    struct cpuid c = cpuid(HV_CPUID_VERSION, 0);
    EXPECT(zero(c), "0x%x 0x%x 0x%x 0x%x", c.eax, c.ebx, c.ecx, c.edx);
}

TEST(version_after_identity, "disc.version.after-identity")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_2_0, EDITION_LAST);
    wrmsr(HV_X64_MSR_GUEST_OS_ID, HV_KIT_GUEST_OS_ID);
    EXPECT(reg(HV_CPUID_VERSION, EAX) != 0, "no build number");
}

TEST(version_identity_cleared, "disc.version.identity-cleared")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_2_0, EDITION_LAST);
    wrmsr(HV_X64_MSR_GUEST_OS_ID, HV_KIT_GUEST_OS_ID);
    wrmsr(HV_X64_MSR_GUEST_OS_ID, 0);
    EXPECT(zero(cpuid(HV_CPUID_VERSION, 0)));
}

TEST(version_identity_any_vp, "disc.version.identity-any-vp")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_2_0, EDITION_LAST);
    NEEDS_THAT(vp_count() > 1, "one processor");
    smp_start();
    on_vp(1, write_identity, (void *)HV_KIT_GUEST_OS_ID);
    EXPECT(reg(HV_CPUID_VERSION, EAX) != 0);
    wrmsr(HV_X64_MSR_GUEST_OS_ID, 0);
    struct remote r = {.leaf = HV_CPUID_VERSION};
    on_vp(1, remote_cpuid, &r);
    EXPECT(zero(r.found));
}

TEST(version_major_minor, "disc.version.major-minor")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_2_0, EDITION_LAST);
    wrmsr(HV_X64_MSR_GUEST_OS_ID, HV_KIT_GUEST_OS_ID);
    uint32_t v = reg(HV_CPUID_VERSION, EBX);
    EXPECT(v >> 16 == 6 || v >> 16 == 10, "major version %u", v >> 16);
    EXPECT((v & 0xffff) <= 3, "minor version %u", v & 0xffff);
}

static void expect_windows(uint32_t major, uint32_t minor)
{
    wrmsr(HV_X64_MSR_GUEST_OS_ID, HV_KIT_GUEST_OS_ID);
    EXPECT_EQ(reg(HV_CPUID_VERSION, EBX), major << 16 | minor);
}

TEST(version_windows_6_1, "disc.version.windows")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_2_0, EDITION_2_0);
    expect_windows(6, 1);
}

TEST(version_windows_6_2, "disc.version.windows-2012")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_3_0, EDITION_3_0);
    expect_windows(6, 2);
}

TEST(version_windows_6_3, "disc.version.windows-2012r2")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_4_0, EDITION_4_0);
    expect_windows(6, 3);
}

TEST(version_windows_10_0, "disc.version.windows-10")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    expect_windows(10, 0);
}

TEST(version_build_ascends, "disc.version.build")
{
    enum { BUILD_1511 = 10586, BUILD_1809 = 17763 };
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    wrmsr(HV_X64_MSR_GUEST_OS_ID, HV_KIT_GUEST_OS_ID);
    uint32_t build = reg(HV_CPUID_VERSION, EAX);
    EXPECT(build >= (edition() == EDITION_5_0 ? BUILD_1511 : BUILD_1809), "%u", build);
}

TEST(version_stable, "disc.version.stable")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_2_0, EDITION_LAST);
    wrmsr(HV_X64_MSR_GUEST_OS_ID, HV_KIT_GUEST_OS_ID);
    struct cpuid first = cpuid(HV_CPUID_VERSION, 0);
    EXPECT(hv_enable());
    spin_100ns(100 * US_100NS);
    EXPECT(same(first, cpuid(HV_CPUID_VERSION, 0)));
}

TEST(version_same_everywhere, "disc.version.same-everywhere")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_2_0, EDITION_LAST);
    wrmsr(HV_X64_MSR_GUEST_OS_ID, HV_KIT_GUEST_OS_ID);
    expect_same_everywhere((uint32_t[]){HV_CPUID_VERSION}, 1);
}

/* ---- features ---- */

TEST(features_same_everywhere, "disc.features.same-everywhere")
{
    NEEDS_THAT(hv_present(), "no hypervisor");
    expect_same_everywhere((uint32_t[]){HV_CPUID_FEATURES}, 1);
}

TEST(hints_same_everywhere, "disc.features.hints-same-everywhere")
{
    NEEDS_THAT(hv_present(), "no hypervisor");
    expect_same_everywhere((uint32_t[]){HV_CPUID_RECOMMENDATIONS, HV_CPUID_LIMITS}, 2);
}

TEST(features_stable, "disc.features.stable")
{
    NEEDS(AccessHypercallMsrs);
    struct cpuid before = cpuid(HV_CPUID_FEATURES, 0);
    EXPECT(hv_enable());
    EXPECT(same(before, cpuid(HV_CPUID_FEATURES, 0)));
    hv_disable();
    EXPECT(same(before, cpuid(HV_CPUID_FEATURES, 0)));
}

TEST(power_state, "disc.power-state")
{
    NEEDS_THAT(hv_present(), "no hypervisor");
    NEEDS_EDITION(EDITION_2_0, EDITION_2_0);
    EXPECT((reg(HV_CPUID_FEATURES, ECX) & 0xf) <= 3);
}

TEST(power_state_rest, "disc.power-state.rest")
{
    NEEDS_THAT(hv_present(), "no hypervisor");
    NEEDS_EDITION(EDITION_2_0, EDITION_2_0);
    EXPECT_EQ(reg(HV_CPUID_FEATURES, ECX) & ~0xfu, 0);
}

TEST(mwait_announced, "disc.edx.mwait")
{
    NEEDS_THAT(hv_present(), "no hypervisor");
    NEEDS_EDITION(EDITION_2_0, EDITION_2_0);
    EXPECT(!has(MwaitAvailable) || (cpuid(1, 0).ecx >> 3 & 1));
}

TEST(mwait_deprecated, "disc.edx.mwait-deprecated")
{
    NEEDS_THAT(hv_present(), "no hypervisor");
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    EXPECT(!has(MwaitAvailable));
}

TEST(debugging_announced, "disc.edx.debugging")
{
    NEEDS(GuestDebuggingAvailable);
    NEEDS(Debugging);
    REQUIRE(hv_enable());
    unsigned status = HV_STATUS_OF(hv_fast(HvCallResetDebugSession, 0, 0));
    EXPECT(status != HV_STATUS_INVALID_HYPERCALL_CODE && status != HV_STATUS_ACCESS_DENIED, "status 0x%x", status);
}

TEST(performance_monitor_announced, "disc.edx.performance-monitor")
{
    NEEDS_THAT(hv_present() && !has(PerformanceMonitorsAvailable), "performance monitoring is announced");
    EXPECT(cpuid(0, 0).eax < 0xa || (cpuid(0xa, 0).eax & 0xff) == 0, "leaf 0x0A announces version %u",
           cpuid(0xa, 0).eax & 0xff);
}

TEST(xmm_input_announced, "disc.edx.xmm-input")
{
    NEEDS(XmmRegistersForFastHypercallAvailable);
    REQUIRE(hv_enable());
    struct hv_regs r = {.rcx = HvCallFlushVirtualAddressSpace | HV_FAST, .r8 = 3}; /* all processors, all address spaces */
    EXPECT_EQ(hv_call_regs_try(&r), NO_FAULT);
    EXPECT_EQ(HV_STATUS_OF(r.rax), HV_STATUS_SUCCESS);
}

TEST(guest_idle_announced, "disc.edx.guest-idle")
{
    NEEDS(GuestIdleAvailable);
    NEEDS(AccessGuestIdleReg);
    enum { VECTOR = 0x61 };
    uint64_t value;
    ipi(this_vp(), VECTOR); /* pending: the idle state ends at once */
    EXPECT_EQ(rdmsr_try(HV_X64_MSR_GUEST_IDLE, &value), NO_FAULT);
}

TEST(frequencies_announced, "disc.edx.frequencies")
{
    NEEDS(FrequencyRegsAvailable);
    NEEDS(AccessFrequencyRegs);
    uint64_t value;
    EXPECT_EQ(rdmsr_try(HV_X64_MSR_TSC_FREQUENCY, &value), NO_FAULT);
    EXPECT_EQ(rdmsr_try(HV_X64_MSR_APIC_FREQUENCY, &value), NO_FAULT);
}

static void expect_faults(uint32_t first, uint32_t last)
{
    for (uint32_t msr = first; msr <= last; msr++) {
        uint64_t value;
        EXPECT(rdmsr_try(msr, &value) == VEC_GP, "RDMSR 0x%x did not raise #GP", msr);
        EXPECT(wrmsr_try(msr, 0) == VEC_GP, "WRMSR 0x%x did not raise #GP", msr);
    }
}

static void expect_readable(uint32_t first, uint32_t last)
{
    for (uint32_t msr = first; msr <= last; msr++) {
        uint64_t value;
        EXPECT(rdmsr_try(msr, &value) == NO_FAULT, "RDMSR 0x%x raised an exception", msr);
    }
}

TEST(crash_announced, "disc.edx.crash")
{
    NEEDS(GuestCrashRegsAvailable);
    expect_readable(HV_X64_MSR_CRASH_P0, HV_X64_MSR_CRASH_CTL);
}

TEST(crash_withheld, "disc.edx.crash-withheld")
{
    NEEDS_THAT(hv_present() && !has(GuestCrashRegsAvailable), "the crash MSRs are announced");
    NEEDS_EDITION(EDITION_3_0, EDITION_LAST);
    expect_faults(HV_X64_MSR_CRASH_P0, HV_X64_MSR_CRASH_CTL);
}

TEST(debug_msrs_announced, "disc.edx.debug-msrs")
{
    NEEDS(DebugRegsAvailable);
    NEEDS(AccessDebugRegs);
    uint64_t value;
    EXPECT_EQ(rdmsr_try(HV_X64_MSR_SYNDBG_CONTROL + 1, &value), NO_FAULT);
}

TEST(npiep_announced, "disc.edx.npiep")
{
    NEEDS(Npiep1Available);
    expect_readable(HV_X64_MSR_NPIEP_CONFIG, HV_X64_MSR_NPIEP_CONFIG);
}

TEST(npiep_withheld, "disc.edx.npiep-withheld")
{
    NEEDS_THAT(hv_present() && !has(Npiep1Available), "NPIEP is announced");
    NEEDS_EDITION(EDITION_4_0, EDITION_LAST);
    expect_faults(HV_X64_MSR_NPIEP_CONFIG, HV_X64_MSR_NPIEP_CONFIG);
}

TEST(extended_ranges_announced, "disc.edx.extended-gva-ranges")
{
    NEEDS(ExtendedGvaRangesForFlushVirtualAddressListAvailable);
    REQUIRE(hv_enable());
    uint64_t *in = page_alloc();
    in[1] = 3;                    /* all processors, all address spaces */
    in[3] = 0x40000000 | 1 << 11; /* one large page at 1 GiB */
    EXPECT_EQ(HV_STATUS_OF(hv_call(HvCallFlushVirtualAddressList | HV_REPS(1), gpa_of(in), 0)), HV_STATUS_SUCCESS);
}

TEST(xmm_output_announced, "disc.edx.xmm-output")
{
    NEEDS(FastHypercallOutputAvailable);
    NEEDS_THAT(has(EnableExtendedHypercalls) || has(AccessPartitionId), "no call with output and without input is granted");
    REQUIRE(hv_enable());
    struct hv_regs r = {.rcx = (has(EnableExtendedHypercalls) ? HvExtCallQueryCapabilities : HvCallGetPartitionId) | HV_FAST};
    EXPECT_EQ(hv_call_regs_try(&r), NO_FAULT);
    EXPECT_EQ(HV_STATUS_OF(r.rax), HV_STATUS_SUCCESS);
}

TEST(sint_polling_announced, "disc.edx.sint-polling")
{
    NEEDS(SintPollingModeAvailable);
    NEEDS(AccessSynicRegs);
    uint64_t value = 0x60 | HV_SYNIC_SINT_MASKED | HV_SYNIC_SINT_POLLING;
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_SINT0, value), NO_FAULT);
    EXPECT_EQ(rdmsr(HV_X64_MSR_SINT0), value);
}

TEST(direct_timers_announced, "disc.edx.direct-timers")
{
    NEEDS(DirectSyntheticTimers);
    NEEDS(AccessSyntheticTimerRegs);
    uint64_t value = HV_STIMER_DIRECT | HV_STIMER_APIC_VECTOR(0x62);
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_STIMER0_CONFIG, value), NO_FAULT);
    EXPECT_EQ(rdmsr(HV_X64_MSR_STIMER0_CONFIG), value);
}

TEST(unhalted_timer_announced, "disc.edx.unhalted-timer")
{
    NEEDS(SyntheticTimeUnhaltedTimerAvailable);
    NEEDS(AccessSyntheticTimerRegs);
    NEEDS_EDITION(EDITION_6_0, EDITION_6_0);
    expect_readable(HV_X64_MSR_STIME_UNHALTED_TIMER_CONFIG, HV_X64_MSR_STIME_UNHALTED_TIMER_COUNT);
}

TEST(unhalted_timer_withheld, "disc.edx.unhalted-timer-withheld")
{
    NEEDS_THAT(hv_present() && !has(SyntheticTimeUnhaltedTimerAvailable), "the time-unhalted timer is announced");
    NEEDS_EDITION(EDITION_6_0, EDITION_6_0);
    expect_faults(HV_X64_MSR_STIME_UNHALTED_TIMER_CONFIG, HV_X64_MSR_STIME_UNHALTED_TIMER_COUNT);
}

TEST(lbr_withheld, "disc.edx.lbr")
{
    enum { IA32_DEBUGCTL = 0x1d9 };
    NEEDS_THAT(hv_present() && !has(LbrAvailable), "last branch records are announced");
    NEEDS_EDITION(EDITION_6_0, EDITION_6_0);
    uint64_t value = 0;
    if (wrmsr_try(IA32_DEBUGCTL, 1) == NO_FAULT) {
        rdmsr_try(IA32_DEBUGCTL, &value);
        wrmsr_try(IA32_DEBUGCTL, 0);
    }
    EXPECT_EQ(value & 1, 0);
}

static void expect_clear(uint32_t leaf, unsigned which, uint32_t bits)
{
    EXPECT(cpuid(HV_CPUID_VENDOR, 0).eax < leaf || (reg(leaf, which) & bits) == 0, "0x%x of 0x%x", reg(leaf, which) & bits,
           reg(leaf, which));
}

/* The bits of a leaf that an edition leaves reserved. */
#define RESERVED_TEST(name, clause, first, last, leaf, which, bits)                                                            \
    TEST(name, clause)                                                                                                         \
    {                                                                                                                          \
        NEEDS_THAT(hv_present(), "no hypervisor");                                                                             \
        NEEDS_EDITION(first, last);                                                                                            \
        NEEDS_THAT(!arg_present("granted"), "the scenario grants what later editions have");                                   \
        expect_clear(leaf, which, bits);                                                                                       \
    }

/* clang-format off: a table */
RESERVED_TEST(edx_reserved_2_0, "disc.edx.reserved-2008r2", EDITION_2_0, EDITION_2_0, HV_CPUID_FEATURES, EDX, 0xffffffc0u)
RESERVED_TEST(edx_reserved_3_0, "disc.edx.reserved-2012", EDITION_3_0, EDITION_3_0, HV_CPUID_FEATURES, EDX, 0xfffff000u)
RESERVED_TEST(edx_reserved_4_0, "disc.edx.reserved-2012r2", EDITION_4_0, EDITION_4_0, HV_CPUID_FEATURES, EDX, 0xffffc000u)
RESERVED_TEST(edx_reserved_5_0, "disc.edx.reserved-5", EDITION_5_0, EDITION_5_0, HV_CPUID_FEATURES, EDX, 0xfff00000u)
RESERVED_TEST(edx_reserved_16, "disc.edx.reserved-16", EDITION_5_0, EDITION_LAST, HV_CPUID_FEATURES, EDX, 1u << 16)
RESERVED_TEST(edx_reserved_6_0, "disc.edx.reserved-6", EDITION_6_0, EDITION_6_0, HV_CPUID_FEATURES, EDX, 0xfb400000u)
RESERVED_TEST(hint_x2apic_reserved, "disc.hint.x2apic-reserved", EDITION_6_0, EDITION_6_0, HV_CPUID_RECOMMENDATIONS, EAX,
              1u << 8)
RESERVED_TEST(hints_reserved_2_0, "disc.hint.reserved-2008r2", EDITION_2_0, EDITION_2_0, HV_CPUID_RECOMMENDATIONS, EAX,
              0xffffffc0u)
RESERVED_TEST(hints_reserved_3_0, "disc.hint.reserved-2012", EDITION_3_0, EDITION_4_0, HV_CPUID_RECOMMENDATIONS, EAX,
              0xfffffc00u)
RESERVED_TEST(hints_reserved_5_0, "disc.hint.reserved-5", EDITION_5_0, EDITION_5_0, HV_CPUID_RECOMMENDATIONS, EAX, 0xfff90000u)
RESERVED_TEST(hints_reserved_6_0, "disc.hint.reserved-6", EDITION_6_0, EDITION_6_0, HV_CPUID_RECOMMENDATIONS, EAX, 0xfff90000u)
RESERVED_TEST(hint_ecx_zero, "disc.hint.ecx", EDITION_2_0, EDITION_4_0, HV_CPUID_RECOMMENDATIONS, ECX, 0xffffffffu)
RESERVED_TEST(physical_bits_rest, "disc.physical-bits.rest", EDITION_5_0, EDITION_LAST, HV_CPUID_RECOMMENDATIONS, ECX,
              0xffffff80u)
RESERVED_TEST(hint_edx_zero, "disc.hint.edx", EDITION_2_0, EDITION_LAST, HV_CPUID_RECOMMENDATIONS, EDX, 0xffffffffu)
RESERVED_TEST(limit_ecx_zero, "disc.limit.ecx", EDITION_2_0, EDITION_2_0, HV_CPUID_LIMITS, ECX, 0xffffffffu)
RESERVED_TEST(limit_edx_zero, "disc.limit.edx", EDITION_2_0, EDITION_LAST, HV_CPUID_LIMITS, EDX, 0xffffffffu)
RESERVED_TEST(hardware_leaf, "disc.hardware", EDITION_2_0, EDITION_LAST, HV_CPUID_HARDWARE, EAX, 0xfffffc00u)
RESERVED_TEST(hardware_reserved_2_0, "disc.hardware.reserved-2008r2", EDITION_2_0, EDITION_2_0, HV_CPUID_HARDWARE, EAX,
              0xfffffff0u)
RESERVED_TEST(hardware_reserved_3_0, "disc.hardware.reserved-2012", EDITION_3_0, EDITION_3_0, HV_CPUID_HARDWARE, EAX,
              0xffffffc0u)
RESERVED_TEST(hardware_reserved_4_0, "disc.hardware.reserved-2012r2", EDITION_4_0, EDITION_4_0, HV_CPUID_HARDWARE, EAX,
              0xffffff80u)
RESERVED_TEST(hardware_reserved_5_0, "disc.hardware.reserved-10", EDITION_5_0, EDITION_LAST, HV_CPUID_HARDWARE, EAX,
              0xfffffc00u)
/* clang-format on */

/* ---- recommendations ---- */

static uint64_t read_cr3(void)
{
    uint64_t cr3;
    __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
    return cr3;
}

static uint64_t vp_bit(void)
{
    return 1ULL << rdmsr(HV_X64_MSR_VP_INDEX);
}

static unsigned flush_space(uint64_t processors)
{
    uint64_t *in = page_alloc();
    in[0] = read_cr3();
    in[2] = processors;
    return HV_STATUS_OF(hv_call(HvCallFlushVirtualAddressSpace, gpa_of(in), 0));
}

TEST(hint_switch_works, "disc.hint.address-space-switch")
{
    NEEDS(UseHypercallForAddressSpaceSwitch);
    REQUIRE(hv_enable());
    uint64_t cr3 = read_cr3();
    EXPECT_EQ(HV_STATUS_OF(hv_fast(HvCallSwitchVirtualAddressSpace, cr3, 0)), HV_STATUS_SUCCESS);
    EXPECT_EQ(read_cr3(), cr3);
}

TEST(hint_local_flush_works, "disc.hint.local-flush")
{
    NEEDS(UseHypercallForLocalFlush);
    NEEDS(AccessVpIndex);
    REQUIRE(hv_enable());
    EXPECT_EQ(flush_space(vp_bit()), HV_STATUS_SUCCESS);
}

static void get_vp_bit(void *bit)
{
    *(uint64_t *)bit = vp_bit();
}

TEST(hint_remote_flush_works, "disc.hint.remote-flush")
{
    NEEDS(UseHypercallForRemoteFlush);
    NEEDS(AccessVpIndex);
    NEEDS_THAT(vp_count() > 1, "one processor");
    smp_start();
    REQUIRE(hv_enable());
    uint64_t bit;
    on_vp(1, get_vp_bit, &bit);
    EXPECT_EQ(flush_space(bit), HV_STATUS_SUCCESS);
}

TEST(hint_apic_msrs_work, "disc.hint.apic-msrs")
{
    NEEDS(UseApicMsrs);
    uint64_t value;
    EXPECT_EQ(rdmsr_try(HV_X64_MSR_TPR, &value), NO_FAULT);
    EXPECT_EQ(rdmsr_try(HV_X64_MSR_ICR, &value), NO_FAULT);
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_EOI, 0), NO_FAULT);
}

TEST(hint_reset_works, "disc.hint.reset")
{
    NEEDS(UseMsrForReset);
    uint64_t value;
    EXPECT_EQ(rdmsr_try(HV_X64_MSR_RESET, &value), NO_FAULT);
}

static void no_handler(unsigned vector)
{
}

TEST(hint_cluster_ipi_works, "disc.hint.cluster-ipi")
{
    enum { VECTOR = 0x63 };
    NEEDS(UseSyntheticClusterIpi);
    NEEDS(AccessVpIndex);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    REQUIRE(hv_enable());
    irq_on(VECTOR, no_handler);
    EXPECT_EQ(HV_STATUS_OF(hv_fast(HvCallSendSyntheticClusterIpi, VECTOR, vp_bit())), HV_STATUS_SUCCESS);
    irqs(true);
    EXPECT(WAIT_FOR(irq_count(VECTOR) == 1, MS_100NS), "the interrupt did not come");
}

TEST(hint_processor_sets_work, "disc.hint.processor-sets")
{
    NEEDS(UseExProcessorMasks);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    REQUIRE(hv_enable());
    uint64_t *in = page_alloc();
    in[0] = read_cr3();
    in[2] = 1; /* HvGenericSetAll */
    EXPECT_EQ(HV_STATUS_OF(hv_call(HvCallFlushVirtualAddressSpaceEx, gpa_of(in), 0)), HV_STATUS_SUCCESS);
}

TEST(hint_nested, "disc.hint.nested")
{
    NEEDS_THAT(hv_present(), "no hypervisor");
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    NEEDS_THAT(!arg_present("nested"), "the scenario says that the hypervisor is nested");
    EXPECT(!has(Nested));
}

TEST(hint_enlightened_vmcs, "disc.hint.enlightened-vmcs")
{
    NEEDS_THAT(hv_present() && !(cpuid(1, 0).ecx >> 5 & 1), "VMX is reported");
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    EXPECT(!has(UseVmcsEnlightenments));
}

TEST(spin_count, "disc.spin-count")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_2_0, EDITION_LAST);
    REQUIRE(hv_enable());
    EXPECT_EQ(HV_STATUS_OF(hv_fast(HvCallNotifyLongSpinWait, reg(HV_CPUID_RECOMMENDATIONS, EBX), 0)), HV_STATUS_SUCCESS);
}

TEST(spin_count_never, "disc.spin-count.never")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_THAT(reg(HV_CPUID_RECOMMENDATIONS, EBX) == 0xffffffff, "the guest is asked to report");
    REQUIRE(hv_enable());
    EXPECT_EQ(HV_STATUS_OF(hv_fast(HvCallNotifyLongSpinWait, 1, 0)), HV_STATUS_SUCCESS);
}

TEST(physical_bits, "disc.physical-bits")
{
    NEEDS_THAT(hv_present(), "no hypervisor");
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    uint32_t bits = reg(HV_CPUID_RECOMMENDATIONS, ECX) & 0x7f, guest = cpuid(0x80000008, 0).eax & 0xff;
    EXPECT(bits == 0 || bits >= guest, "%u of the machine, %u of the guest", bits, guest);
}

/* ---- limits, hardware, root and nested leaves ---- */

TEST(limit_vps, "disc.limit.vps")
{
    NEEDS_THAT(hv_present(), "no hypervisor");
    uint32_t limit = reg(HV_CPUID_LIMITS, EAX);
    EXPECT(limit == 0 || limit >= vp_count(), "%u, with %u processors", limit, vp_count());
}

TEST(hardware_rest, "disc.hardware.rest")
{
    NEEDS_THAT(hv_present(), "no hypervisor");
    struct cpuid c = cpuid(HV_CPUID_HARDWARE, 0);
    EXPECT_EQ(c.ebx | c.ecx | c.edx, 0);
}

enum { LEAF_ROOT = 0x40000007, LEAF_SVM = 0x40000008, LEAF_NESTED = 0x40000009, LEAF_NESTED_OPTIMISATIONS = 0x4000000a };

TEST(root_leaf_zero, "disc.root-leaf")
{
    NEEDS_THAT(hv_present() && !has(CpuManagement), "a root partition");
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    EXPECT(zero(cpuid(LEAF_ROOT, 0)));
}

TEST(svm_leaf_zero, "disc.svm-leaf")
{
    NEEDS_THAT(hv_present() && !(reg(LEAF_SVM, EAX) & 1), "shared virtual memory is supported");
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    EXPECT_EQ(reg(LEAF_SVM, EAX), 0);
}

TEST(svm_leaf_rest, "disc.svm-leaf.rest")
{
    NEEDS_THAT(hv_present(), "no hypervisor");
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    EXPECT_EQ(reg(LEAF_SVM, EBX) | reg(LEAF_SVM, ECX) | reg(LEAF_SVM, EDX), 0);
}

TEST(nested_leaf_zero, "disc.nested-leaf")
{
    NEEDS_THAT(hv_present() && !has(Nested), "the hypervisor is nested");
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    EXPECT(zero(cpuid(LEAF_NESTED, 0)));
}

TEST(nested_leaf_reserved, "disc.nested-leaf.reserved")
{
    NEEDS_THAT(hv_present(), "no hypervisor");
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    EXPECT_EQ(reg(LEAF_NESTED, EAX) & 0xffffef8b, 0);
    EXPECT_EQ(reg(LEAF_NESTED, EBX) | reg(LEAF_NESTED, ECX), 0);
}

TEST(nested_optimisations_zero, "disc.nested-optimisations")
{
    NEEDS_THAT(hv_present() && !has(UseVmcsEnlightenments) && !has(Nested), "a nested hypervisor can run");
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    EXPECT(zero(cpuid(LEAF_NESTED_OPTIMISATIONS, 0)));
}
