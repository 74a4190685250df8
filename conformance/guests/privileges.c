/* Judges privileges.yaml: without its bit in leaf 0x40000003 an MSR raises #GP and a call is refused, with it both are there.
 */
#include "kit.h"

#define SELF 0xffffffffffffffffULL
#define VP_SELF 0xfffffffeULL
#define UNKNOWN_CONNECTION 0x00abcdefULL
enum { HvX64RegisterLstar = 0x80009 };

static uint32_t features(unsigned which)
{
    struct cpuid c = cpuid(HV_CPUID_FEATURES, 0);
    return which == 0 ? c.eax : which == 1 ? c.ebx : which == 2 ? c.ecx : c.edx;
}

/* ---- MSRs ---- */

static void expect_refused(uint32_t first, uint32_t last)
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

#define CLEAR_TEST(name, clause, bit, first_edition, last_edition, first, last)                                                \
    TEST(name, clause)                                                                                                         \
    {                                                                                                                          \
        NEEDS_THAT(hv_present() && !has(bit), "%s is granted", #bit);                                                          \
        NEEDS_EDITION(first_edition, last_edition);                                                                            \
        expect_refused(first, last);                                                                                           \
    }
#define SET_TEST(name, clause, bit, first_edition, last_edition, first, last)                                                  \
    TEST(name, clause)                                                                                                         \
    {                                                                                                                          \
        NEEDS(bit);                                                                                                            \
        NEEDS_EDITION(first_edition, last_edition);                                                                            \
        expect_readable(first, last);                                                                                          \
    }

/* clang-format off: a table */
CLEAR_TEST(run_time_clear, "priv.run-time.clear", AccessVpRunTimeReg, EDITION_2_0, EDITION_LAST, HV_X64_MSR_VP_RUNTIME,
           HV_X64_MSR_VP_RUNTIME)
SET_TEST(run_time_set, "priv.run-time.set", AccessVpRunTimeReg, EDITION_2_0, EDITION_LAST, HV_X64_MSR_VP_RUNTIME,
         HV_X64_MSR_VP_RUNTIME)
CLEAR_TEST(reference_counter_clear, "priv.reference-counter.clear", AccessPartitionReferenceCounter, EDITION_2_0, EDITION_LAST,
           HV_X64_MSR_TIME_REF_COUNT, HV_X64_MSR_TIME_REF_COUNT)
SET_TEST(reference_counter_set, "priv.reference-counter.set", AccessPartitionReferenceCounter, EDITION_2_0, EDITION_LAST,
         HV_X64_MSR_TIME_REF_COUNT, HV_X64_MSR_TIME_REF_COUNT)
CLEAR_TEST(timers_clear, "priv.timers.clear", AccessSyntheticTimerRegs, EDITION_2_0, EDITION_LAST, HV_X64_MSR_STIMER0_CONFIG,
           HV_X64_MSR_STIMER3_COUNT)
SET_TEST(timers_set, "priv.timers.set", AccessSyntheticTimerRegs, EDITION_2_0, EDITION_LAST, HV_X64_MSR_STIMER0_CONFIG,
         HV_X64_MSR_STIMER3_COUNT)
CLEAR_TEST(interrupt_control_clear, "priv.interrupt-control.clear", AccessIntrCtrlRegs, EDITION_2_0, EDITION_LAST,
           HV_X64_MSR_EOI, HV_X64_MSR_TPR)
CLEAR_TEST(hypercall_msrs_clear, "priv.hypercall-msrs.clear", AccessHypercallMsrs, EDITION_2_0, EDITION_LAST,
           HV_X64_MSR_GUEST_OS_ID, HV_X64_MSR_HYPERCALL)
SET_TEST(hypercall_msrs_set, "priv.hypercall-msrs.set", AccessHypercallMsrs, EDITION_2_0, EDITION_LAST, HV_X64_MSR_GUEST_OS_ID,
         HV_X64_MSR_HYPERCALL)
CLEAR_TEST(vp_index_clear, "priv.vp-index.clear", AccessVpIndex, EDITION_2_0, EDITION_LAST, HV_X64_MSR_VP_INDEX,
           HV_X64_MSR_VP_INDEX)
SET_TEST(vp_index_set, "priv.vp-index.set", AccessVpIndex, EDITION_2_0, EDITION_LAST, HV_X64_MSR_VP_INDEX, HV_X64_MSR_VP_INDEX)
CLEAR_TEST(reset_clear, "priv.reset.clear", AccessResetReg, EDITION_2_0, EDITION_LAST, HV_X64_MSR_RESET, HV_X64_MSR_RESET)
SET_TEST(reset_set, "priv.reset.set", AccessResetReg, EDITION_2_0, EDITION_LAST, HV_X64_MSR_RESET, HV_X64_MSR_RESET)
CLEAR_TEST(statistics_clear, "priv.statistics.clear", AccessStatsReg, EDITION_2_0, EDITION_5_0,
           HV_X64_MSR_STATS_PARTITION_RETAIL_PAGE, HV_X64_MSR_STATS_VP_INTERNAL_PAGE)
SET_TEST(statistics_set, "priv.statistics.set", AccessStatsReg, EDITION_2_0, EDITION_5_0,
         HV_X64_MSR_STATS_PARTITION_RETAIL_PAGE, HV_X64_MSR_STATS_VP_INTERNAL_PAGE)
CLEAR_TEST(reference_tsc_clear, "priv.reference-tsc.clear", AccessPartitionReferenceTsc, EDITION_2_0, EDITION_LAST,
           HV_X64_MSR_REFERENCE_TSC, HV_X64_MSR_REFERENCE_TSC)
SET_TEST(reference_tsc_set, "priv.reference-tsc.set", AccessPartitionReferenceTsc, EDITION_2_0, EDITION_LAST,
         HV_X64_MSR_REFERENCE_TSC, HV_X64_MSR_REFERENCE_TSC)
CLEAR_TEST(guest_idle_clear, "priv.guest-idle.clear", AccessGuestIdleReg, EDITION_2_0, EDITION_LAST, HV_X64_MSR_GUEST_IDLE,
           HV_X64_MSR_GUEST_IDLE)
CLEAR_TEST(frequencies_clear, "priv.frequencies.clear", AccessFrequencyRegs, EDITION_3_0, EDITION_LAST,
           HV_X64_MSR_TSC_FREQUENCY, HV_X64_MSR_APIC_FREQUENCY)
SET_TEST(frequencies_set, "priv.frequencies.set", AccessFrequencyRegs, EDITION_3_0, EDITION_LAST, HV_X64_MSR_TSC_FREQUENCY,
         HV_X64_MSR_APIC_FREQUENCY)
CLEAR_TEST(debug_msrs_clear, "priv.debug-msrs.clear", AccessDebugRegs, EDITION_3_0, EDITION_5_0, HV_X64_MSR_SYNDBG_CONTROL,
           HV_X64_MSR_SYNDBG_PENDING_BUFFER)
CLEAR_TEST(reenlightenment_clear, "priv.reenlightenment.clear", AccessReenlightenmentControls, EDITION_5_0, EDITION_LAST,
           HV_X64_MSR_REENLIGHTENMENT_CONTROL, HV_X64_MSR_TSC_EMULATION_STATUS)
SET_TEST(reenlightenment_set, "priv.reenlightenment.set", AccessReenlightenmentControls, EDITION_5_0, EDITION_LAST,
         HV_X64_MSR_REENLIGHTENMENT_CONTROL, HV_X64_MSR_TSC_EMULATION_STATUS)
CLEAR_TEST(assist_needs_interrupt_control, "priv.interrupt-control.assist", AccessIntrCtrlRegs, EDITION_2_0, EDITION_LAST,
           HV_X64_MSR_VP_ASSIST_PAGE, HV_X64_MSR_VP_ASSIST_PAGE)
/* clang-format on */

TEST(synic_clear, "priv.synic.clear")
{
    NEEDS_THAT(hv_present() && !has(AccessSynicRegs), "AccessSynicRegs is granted");
    expect_refused(HV_X64_MSR_SCONTROL, HV_X64_MSR_EOM);
    expect_refused(HV_X64_MSR_SINT0, HV_X64_MSR_SINT15);
}

TEST(synic_set, "priv.synic.set")
{
    NEEDS(AccessSynicRegs);
    expect_readable(HV_X64_MSR_SCONTROL, HV_X64_MSR_SIMP);
    expect_readable(HV_X64_MSR_SINT0, HV_X64_MSR_SINT15);
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_EOM, 0), NO_FAULT);
}

TEST(interrupt_control_set, "priv.interrupt-control.set")
{
    NEEDS(AccessIntrCtrlRegs);
    expect_readable(HV_X64_MSR_ICR, HV_X64_MSR_TPR);
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_EOI, 0), NO_FAULT);
}

TEST(guest_idle_set, "priv.guest-idle.set")
{
    enum { VECTOR = 0x68 };
    NEEDS(AccessGuestIdleReg);
    uint64_t value;
    ipi(this_vp(), VECTOR); /* pending: the idle state ends at once */
    EXPECT_EQ(rdmsr_try(HV_X64_MSR_GUEST_IDLE, &value), NO_FAULT);
}

TEST(debug_msrs_set, "priv.debug-msrs.set")
{
    NEEDS(AccessDebugRegs);
    NEEDS_EDITION(EDITION_3_0, EDITION_5_0);
    expect_readable(HV_X64_MSR_SYNDBG_CONTROL + 1, HV_X64_MSR_SYNDBG_CONTROL + 1);
}

TEST(unhalted_timer_privilege, "priv.unhalted-timer")
{
    NEEDS(AccessSyntheticTimerRegs);
    NEEDS(SyntheticTimeUnhaltedTimerAvailable);
    NEEDS_EDITION(EDITION_6_0, EDITION_6_0);
    expect_readable(HV_X64_MSR_STIME_UNHALTED_TIMER_CONFIG, HV_X64_MSR_STIME_UNHALTED_TIMER_COUNT);
}

TEST(power_msrs_clear, "priv.power-msrs")
{
    NEEDS_THAT(hv_present() && !has(CpuManagement), "CpuManagement is granted");
    NEEDS_EDITION(EDITION_2_0, EDITION_5_0);
    expect_refused(0x400000c1, 0x400000c3);
    expect_refused(0x400000d1, 0x400000d3);
}

/* ---- calls ---- */

/* 64 bytes of zero input, a page of output. */
static unsigned call(uint64_t control)
{
    return HV_STATUS_OF(hv_call(control, gpa_of(page_alloc()), gpa_of(page_alloc())));
}

static void expect_denied(uint64_t control)
{
    unsigned status = call(control);
    EXPECT(status == HV_STATUS_ACCESS_DENIED || status == HV_STATUS_INVALID_HYPERCALL_CODE, "call 0x%lx: status 0x%x",
           control & 0xffff, status);
}

#define DENIED_TEST(name, clause, bit, first_edition, last_edition, ...)                                                       \
    TEST(name, clause)                                                                                                         \
    {                                                                                                                          \
        NEEDS(AccessHypercallMsrs);                                                                                            \
        NEEDS_THAT(!has(bit), "%s is granted", #bit);                                                                          \
        NEEDS_EDITION(first_edition, last_edition);                                                                            \
        REQUIRE(hv_enable());                                                                                                  \
        static const uint64_t calls[] = {__VA_ARGS__};                                                                         \
        for (unsigned i = 0; i < ARRAY_COUNT(calls); i++) {                                                                    \
            expect_denied(calls[i]);                                                                                           \
        }                                                                                                                      \
    }

/* clang-format off: a table */
DENIED_TEST(call_create_partitions_clear, "priv.call.create-partitions.clear", CreatePartitions, EDITION_2_0, EDITION_LAST,
            HvCallCreatePartition)
DENIED_TEST(call_partition_id_clear, "priv.call.partition-id.clear", AccessPartitionId, EDITION_2_0, EDITION_LAST,
            HvCallGetPartitionId)
DENIED_TEST(call_memory_pool_clear, "priv.call.memory-pool.clear", AccessMemoryPool, EDITION_2_0, EDITION_LAST,
            0x48 | HV_REPS(1), 0x49 | HV_REPS(1), 0x4a)
DENIED_TEST(call_post_messages_clear, "priv.call.post-messages.clear", PostMessages, EDITION_2_0, EDITION_LAST,
            HvCallPostMessage)
DENIED_TEST(call_signal_events_clear, "priv.call.signal-events.clear", SignalEvents, EDITION_2_0, EDITION_LAST,
            HvCallSignalEvent)
DENIED_TEST(call_statistics_calls_clear, "priv.call.statistics-calls.clear", AccessStats, EDITION_2_0, EDITION_LAST, 0x6c, 0x6d)
DENIED_TEST(call_debugging_clear, "priv.call.debugging.clear", Debugging, EDITION_2_0, EDITION_LAST, HvCallPostDebugData,
            HvCallRetrieveDebugData, HvCallResetDebugSession)
DENIED_TEST(call_cpu_management_clear, "priv.call.cpu-management.clear", CpuManagement, EDITION_2_0, EDITION_LAST,
            HvCallGetLogicalProcessorRunTime, HvCallParkedVirtualProcessors)
DENIED_TEST(call_vp_registers_clear, "priv.call.vp-registers.clear", AccessVpRegisters, EDITION_6_0, EDITION_6_0,
            HvCallGetVpRegisters | HV_REPS(1), HvCallSetVpRegisters | HV_REPS(1))
DENIED_TEST(call_extended_clear, "priv.call.extended.clear", EnableExtendedHypercalls, EDITION_5_0, EDITION_LAST,
            HvExtCallQueryCapabilities)
DENIED_TEST(call_start_vp_clear, "priv.call.start-vp.clear", StartVirtualProcessor, EDITION_5_0, EDITION_LAST,
            HvCallStartVirtualProcessor)
DENIED_TEST(call_vsm_clear, "priv.call.vsm.clear", AccessVSM, EDITION_5_0, EDITION_LAST, HvCallEnablePartitionVtl,
            HvCallEnableVpVtl)
DENIED_TEST(children_only_calls_refused, "priv.children-only", CreatePartitions, EDITION_2_0, EDITION_LAST, 0x41, 0x42, 0x43,
            0x4c | HV_REPS(1), 0x4d, 0x4e, 0x4f, 0x53, 0x54, 0x56, 0x5e, 0x5f)
/* clang-format on */

TEST(call_create_port_clear, "priv.call.create-port.clear")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_THAT(!has(CreatePort), "CreatePort is granted");
    REQUIRE(hv_enable());
    expect_denied(edition() < EDITION_5_0 ? 0x57 : 0x95);
}

TEST(call_connect_port_clear, "priv.call.connect-port.clear")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_THAT(!has(ConnectPort), "ConnectPort is granted");
    REQUIRE(hv_enable());
    expect_denied(edition() < EDITION_5_0 ? 0x59 : 0x96);
}

TEST(call_partition_id_set, "priv.call.partition-id.set")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(AccessPartitionId);
    REQUIRE(hv_enable());
    EXPECT_EQ(call(HvCallGetPartitionId), HV_STATUS_SUCCESS);
}

TEST(call_post_messages_set, "priv.call.post-messages.set")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(PostMessages);
    REQUIRE(hv_enable());
    struct hv_post_message_input *in = page_alloc();
    *in = (struct hv_post_message_input){.connection_id = UNKNOWN_CONNECTION, .message_type = 1, .payload_bytes = 8};
    EXPECT_EQ(HV_STATUS_OF(hv_call(HvCallPostMessage, gpa_of(in), 0)), HV_STATUS_INVALID_CONNECTION_ID);
}

TEST(call_signal_events_set, "priv.call.signal-events.set")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(SignalEvents);
    REQUIRE(hv_enable());
    EXPECT_EQ(HV_STATUS_OF(hv_fast(HvCallSignalEvent, UNKNOWN_CONNECTION, 0)), HV_STATUS_INVALID_CONNECTION_ID);
}

TEST(call_debugging_set, "priv.call.debugging.set")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(Debugging);
    REQUIRE(hv_enable());
    unsigned status = HV_STATUS_OF(hv_fast(HvCallResetDebugSession, 0, 0));
    EXPECT(status != HV_STATUS_ACCESS_DENIED && status != HV_STATUS_INVALID_HYPERCALL_CODE, "status 0x%x", status);
}

TEST(call_vp_registers_set, "priv.call.vp-registers.set")
{
    enum { MSR_LSTAR = 0xc0000082 };
    NEEDS(AccessHypercallMsrs);
    NEEDS(AccessVpRegisters);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST); /* before, only a parent reads and writes registers */
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    REQUIRE(hv_enable());
    uint64_t *in = page_alloc(), *out = page_alloc();
    in[0] = SELF;
    in[1] = VP_SELF;
    in[2] = HvX64RegisterLstar;
    wrmsr(MSR_LSTAR, 0x123456789000);
    EXPECT_EQ(HV_STATUS_OF(hv_call(HvCallGetVpRegisters | HV_REPS(1), gpa_of(in), gpa_of(out))), HV_STATUS_SUCCESS);
    EXPECT_EQ(out[0], 0x123456789000);
}

TEST(call_extended_set, "priv.call.extended.set")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(EnableExtendedHypercalls);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    REQUIRE(hv_enable());
    EXPECT_EQ(call(HvExtCallQueryCapabilities), HV_STATUS_SUCCESS);
}

TEST(call_start_vp_set, "priv.call.start-vp.set")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(StartVirtualProcessor);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    REQUIRE(hv_enable());
    unsigned status = call(HvCallStartVirtualProcessor);
    EXPECT(status != HV_STATUS_ACCESS_DENIED && status != HV_STATUS_INVALID_HYPERCALL_CODE, "status 0x%x", status);
}

/* ---- faults ---- */

/* For the length of a test #GP leads here: behind the two bytes of the instruction, with all registers as they are. */
extern const uint8_t privileges_gp_entry[];
__asm__(".pushsection .text\n"
        "privileges_gp_entry:\n"
        "    add $8, %rsp\n"
        "    addq $2, (%rsp)\n"
        "    iretq\n"
        ".popsection\n");

TEST(refused_read_keeps_registers, "priv.fault.rdmsr")
{
    enum { NO_SUCH_MSR = 0x40000004, GATE_BYTES = 16 };
    NEEDS_THAT(hv_present(), "no hypervisor");
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } idt;
    __asm__ volatile("sidt %0" : "=m"(idt));
    uint64_t *gate = (uint64_t *)(idt.base + VEC_GP * GATE_BYTES), low = gate[0], high = gate[1];
    uint64_t at = (uint64_t)privileges_gp_entry, rax = 0x1111222233334444, rdx = 0x5555666677778888, rcx = NO_SUCH_MSR;
    gate[0] = (low & 0x0000ffffffff0000) | (at & 0xffff) | (at >> 16 & 0xffff) << 48;
    gate[1] = at >> 32;
    __asm__ volatile("rdmsr" : "+a"(rax), "+d"(rdx), "+c"(rcx)::"memory");
    gate[0] = low;
    gate[1] = high;
    EXPECT_EQ(rax, 0x1111222233334444);
    EXPECT_EQ(rdx, 0x5555666677778888);
    EXPECT_EQ(rcx, NO_SUCH_MSR);
}

static void raw_wrmsr(void *msr)
{
    wrmsr((uint32_t)(uint64_t)msr, 0x123);
}

TEST(refused_write_changes_nothing, "priv.fault.wrmsr")
{
    NEEDS_THAT(hv_present(), "no hypervisor");
    struct fault f = try_run(raw_wrmsr, (void *)HV_X64_MSR_VP_INDEX);
    EXPECT_EQ(f.vector, VEC_GP);
    EXPECT_EQ(f.error, 0);
    if (has(AccessVpIndex)) {
        EXPECT_EQ(rdmsr(HV_X64_MSR_VP_INDEX), 0);
    }
}

/* ---- the mask ---- */

TEST(mask_constant, "priv.mask.constant")
{
    NEEDS(AccessHypercallMsrs);
    uint32_t eax = features(0), ebx = features(1);
    REQUIRE(hv_enable());
    hv_fast(HvCallNotifyLongSpinWait, 1, 0);
    EXPECT(features(0) == eax && features(1) == ebx);
    hv_disable();
    EXPECT(features(0) == eax && features(1) == ebx);
}

static void remote_features(void *p)
{
    ((uint32_t *)p)[0] = features(0);
    ((uint32_t *)p)[1] = features(1);
}

TEST(mask_same_everywhere, "priv.mask.same-everywhere")
{
    NEEDS_THAT(hv_present() && vp_count() > 1, "one processor");
    smp_start();
    for (unsigned vp = 1; vp < vp_count(); vp++) {
        uint32_t there[2];
        on_vp(vp, remote_features, there);
        EXPECT(there[0] == features(0) && there[1] == features(1), "VP %u", vp);
    }
}

TEST(mask_drives_msrs, "priv.mask.drives")
{
    static const struct {
        enum hv_bit bit;
        uint32_t msr;
    } readable[] = {
        {AccessVpRunTimeReg, HV_X64_MSR_VP_RUNTIME},
        {AccessPartitionReferenceCounter, HV_X64_MSR_TIME_REF_COUNT},
        {AccessSynicRegs, HV_X64_MSR_SCONTROL},
        {AccessSyntheticTimerRegs, HV_X64_MSR_STIMER0_CONFIG},
        {AccessIntrCtrlRegs, HV_X64_MSR_TPR},
        {AccessHypercallMsrs, HV_X64_MSR_GUEST_OS_ID},
        {AccessVpIndex, HV_X64_MSR_VP_INDEX},
        {AccessResetReg, HV_X64_MSR_RESET},
        {AccessStatsReg, HV_X64_MSR_STATS_PARTITION_RETAIL_PAGE},
        {AccessPartitionReferenceTsc, HV_X64_MSR_REFERENCE_TSC},
        {AccessFrequencyRegs, HV_X64_MSR_TSC_FREQUENCY},
        {AccessReenlightenmentControls, HV_X64_MSR_REENLIGHTENMENT_CONTROL},
    };
    NEEDS_THAT(hv_present(), "no hypervisor");
    for (unsigned i = 0; i < ARRAY_COUNT(readable); i++) {
        uint64_t value;
        unsigned want = has(readable[i].bit) ? NO_FAULT : VEC_GP;
        EXPECT(rdmsr_try(readable[i].msr, &value) == want, "MSR 0x%x", readable[i].msr);
    }
}

#define RESERVED_TEST(name, clause, first_edition, last_edition, which, bits)                                                  \
    TEST(name, clause)                                                                                                         \
    {                                                                                                                          \
        NEEDS_THAT(hv_present(), "no hypervisor");                                                                             \
        NEEDS_EDITION(first_edition, last_edition);                                                                            \
        NEEDS_THAT(!arg_present("granted"), "the scenario grants what later editions have");                                   \
        EXPECT((features(which) & (bits)) == 0, "0x%x of 0x%x", features(which) & (bits), features(which));                    \
    }

/* clang-format off: a table */
RESERVED_TEST(reserved_eax_2_0, "priv.mask.reserved-eax-2008r2", EDITION_2_0, EDITION_2_0, 0, 0xfffff800u)
RESERVED_TEST(reserved_eax_3_0, "priv.mask.reserved-eax-2012", EDITION_3_0, EDITION_4_0, 0, 0xffffe000u)
RESERVED_TEST(reserved_eax_5_0, "priv.mask.reserved-eax-5", EDITION_5_0, EDITION_LAST, 0, 0xffffc000u)
RESERVED_TEST(reserved_ebx_2_0, "priv.mask.reserved-ebx-2008r2", EDITION_2_0, EDITION_2_0, 1, 0xffffc600u)
RESERVED_TEST(reserved_ebx_3_0, "priv.mask.reserved-ebx-2012", EDITION_3_0, EDITION_3_0, 1, 0xffffc600u)
RESERVED_TEST(reserved_ebx_4_0, "priv.mask.reserved-ebx-2012r2", EDITION_4_0, EDITION_4_0, 1, 0xffff8600u)
RESERVED_TEST(reserved_ebx_5_0, "priv.mask.reserved-ebx-5", EDITION_5_0, EDITION_LAST, 1, 0xffc46600u)
RESERVED_TEST(reserved_ebx_15_19, "priv.mask.reserved-ebx-15", EDITION_5_0, EDITION_LAST, 1, 1u << 15 | 1u << 19)
RESERVED_TEST(reserved_ebx_3, "priv.mask.reserved-message-buffers", EDITION_6_0, EDITION_6_0, 1, 1u << 3)
/* clang-format on */

TEST(child_has_no_management, "priv.child.no-management")
{
    NEEDS_THAT(hv_present(), "no hypervisor");
    EXPECT(!has(CreatePartitions));
    EXPECT(!has(AccessMemoryPool));
    EXPECT(!has(CreatePort));
    EXPECT(!has(AccessStats));
    EXPECT(!has(CpuManagement));
}
