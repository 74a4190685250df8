/* Requirements document, leaf 0x40000003: which privileges must be there, which must not, and what each optional one promises
 * when it is announced. What is withheld behaves as absent: an MSR raises #GP, a hypercall is refused.
 */
#include "req.h"

static void expect_msrs(uint32_t first, uint32_t last, unsigned want)
{
    for (uint32_t msr = first; msr <= last; msr++) {
        uint64_t value;
        unsigned got = rdmsr_try(msr, &value);
        EXPECT(got == want, "RDMSR 0x%x: vector %u, not %u", msr, got, want);
    }
}

static void expect_absent(uint32_t first, uint32_t last)
{
    expect_msrs(first, last, VEC_GP);
    for (uint32_t msr = first; msr <= last; msr++) {
        unsigned got = wrmsr_try(msr, 0);
        EXPECT(got == VEC_GP, "WRMSR 0x%x: vector %u, not #GP", msr, got);
    }
}

/* ---- EAX ---- */

TEST(two_that_every_guest_needs, "req.priv.hypercall-msrs", "req.priv.vp-index", "req.minimal.privileges")
{
    NEEDS_HYPERVISOR();
    EXPECT(has(AccessHypercallMsrs) && has(AccessVpIndex));
    EXPECT_EQ_FOR("req.priv.hypercall-msrs", cpuid(HV_CPUID_FEATURES, 0).eax >> 5 & 1, 1);
    EXPECT_EQ_FOR("req.priv.vp-index", cpuid(HV_CPUID_FEATURES, 0).eax >> 6 & 1, 1);
}

TEST(run_time_announced, "req.priv.run-time.announced")
{
    NEEDS(AccessVpRunTimeReg);
    uint64_t clock = now_100ns(), from = rdmsr(HV_X64_MSR_VP_RUNTIME);
    spin_100ns(30 * US_100NS);
    uint64_t ran = rdmsr(HV_X64_MSR_VP_RUNTIME) - from, passed = now_100ns() - clock + 20;
    EXPECT(ran != 0 && ran <= passed, "ran %lu x 100 ns in %lu", ran, passed);
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_VP_RUNTIME, 0), VEC_GP);
}

TEST(run_time_withheld, "req.priv.run-time.withheld")
{
    NEEDS_WITHHELD(AccessVpRunTimeReg);
    expect_absent(HV_X64_MSR_VP_RUNTIME, HV_X64_MSR_VP_RUNTIME);
}

TEST(reference_counter_announced, "req.priv.reference-counter.announced")
{
    NEEDS(AccessPartitionReferenceCounter);
    uint64_t from = ref_time();
    spin_100ns(10 * US_100NS);
    EXPECT(ref_time() > from, "the counter stands");
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_TIME_REF_COUNT, 0), VEC_GP);
}

TEST(reference_counter_withheld, "req.priv.reference-counter.withheld")
{
    NEEDS_WITHHELD(AccessPartitionReferenceCounter);
    expect_absent(HV_X64_MSR_TIME_REF_COUNT, HV_X64_MSR_TIME_REF_COUNT);
}

TEST(synic_announced, "req.priv.synic.announced")
{
    NEEDS(AccessSynicRegs);
    expect_msrs(HV_X64_MSR_SCONTROL, HV_X64_MSR_SIMP, NO_FAULT);
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_EOM, 0), NO_FAULT);
    for (uint32_t msr = HV_X64_MSR_SINT0; msr <= HV_X64_MSR_SINT15; msr++) {
        EXPECT_EQ(wrmsr_try(msr, HV_SYNIC_SINT_MASKED | 0x60), NO_FAULT);
        EXPECT_EQ(rdmsr(msr), HV_SYNIC_SINT_MASKED | 0x60);
    }
    EXPECT(synic_enable(), "message and event pages could not be enabled");
}

TEST(synic_withheld, "req.priv.synic.withheld")
{
    NEEDS_WITHHELD(AccessSynicRegs);
    expect_absent(HV_X64_MSR_SCONTROL, HV_X64_MSR_EOM);
    expect_absent(HV_X64_MSR_SINT0, HV_X64_MSR_SINT15);
}

/* A periodic timer, which needs no clock: by a message where there is a SynIC, else directly. */
TEST(synthetic_timer_announced, "req.priv.synthetic-timer.announced")
{
    enum { SINT = 2, VECTOR = 0x70 };
    NEEDS(AccessSyntheticTimerRegs);
    expect_msrs(HV_X64_MSR_STIMER0_CONFIG, HV_X64_MSR_STIMER3_COUNT, NO_FAULT);
    wrmsr(HV_X64_MSR_STIMER0_COUNT, 20 * US_100NS);
    if (has(AccessSynicRegs)) {
        REQUIRE(synic_enable());
        wrmsr(HV_X64_MSR_SINT0 + SINT, VECTOR);
        wrmsr(HV_X64_MSR_STIMER0_CONFIG, HV_STIMER_ENABLED | HV_STIMER_PERIODIC | HV_STIMER_SINT(SINT));
        irqs(true);
        EXPECT(WAIT_FOR(message_slot(SINT)->type == (uint32_t)HvMessageTimerExpired, 2 * MS_100NS), "no message of the timer");
        EXPECT(WAIT_FOR(irq_count(VECTOR) != 0, MS_100NS), "no interrupt of the SINT");
    } else {
        NEEDS(DirectSyntheticTimers);
        wrmsr(HV_X64_MSR_STIMER0_CONFIG,
              HV_STIMER_ENABLED | HV_STIMER_PERIODIC | HV_STIMER_DIRECT | HV_STIMER_APIC_VECTOR(VECTOR));
        irqs(true);
        EXPECT(WAIT_FOR(irq_count(VECTOR) >= 2, 2 * MS_100NS), "%u interrupts", irq_count(VECTOR));
    }
}

TEST(synthetic_timer_withheld, "req.priv.synthetic-timer.withheld")
{
    NEEDS_WITHHELD(AccessSyntheticTimerRegs);
    expect_absent(HV_X64_MSR_STIMER0_CONFIG, HV_X64_MSR_STIMER3_COUNT);
}

TEST(apic_msrs_announced, "req.priv.apic.announced")
{
    enum { VECTOR = 0x66, ICR_SELF = 1 << 18 };
    NEEDS(AccessIntrCtrlRegs);
    wrmsr(HV_X64_MSR_TPR, 0x50);
    EXPECT_EQ(rdmsr(HV_X64_MSR_TPR), 0x50);
    EXPECT_EQ(lapic_read(LAPIC_TPR), 0x50);
    wrmsr(HV_X64_MSR_TPR, 0);
    irq_eoi(VECTOR, false);
    irqs(true);
    wrmsr(HV_X64_MSR_ICR, ICR_SELF | VECTOR);
    EXPECT(WAIT_FOR(irq_count(VECTOR) == 1, MS_100NS), "the IPI did not arrive");
    EXPECT(lapic_bit(LAPIC_ISR, VECTOR), "ended before the EOI");
    wrmsr(HV_X64_MSR_EOI, 0);
    EXPECT(!lapic_bit(LAPIC_ISR, VECTOR), "the EOI had no effect");
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_VP_ASSIST_PAGE, 0), NO_FAULT);
}

TEST(apic_msrs_withheld, "req.priv.apic.withheld")
{
    NEEDS_WITHHELD(AccessIntrCtrlRegs);
    expect_absent(HV_X64_MSR_EOI, HV_X64_MSR_VP_ASSIST_PAGE);
}

/* That it resets: req_reset.c. */
TEST(reset_announced, "req.priv.reset.announced")
{
    NEEDS(AccessResetReg);
    EXPECT_EQ(rdmsr(HV_X64_MSR_RESET), 0);
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_RESET, 0), NO_FAULT);
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_RESET, 2), VEC_GP);
}

TEST(reset_withheld, "req.priv.reset.withheld")
{
    NEEDS_WITHHELD(AccessResetReg);
    expect_msrs(HV_X64_MSR_RESET, HV_X64_MSR_RESET, VEC_GP);
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_RESET, 1), VEC_GP);
}

/* TLFS 2.0a §21.3.3: bit 0 puts a page of statistics at the address. */
TEST(statistics_announced, "req.priv.stats-msrs.announced")
{
    NEEDS(AccessStatsReg);
    for (uint32_t msr = HV_X64_MSR_STATS_PARTITION_RETAIL_PAGE; msr <= HV_X64_MSR_STATS_VP_INTERNAL_PAGE; msr++) {
        uint64_t page = gpa_of(page_alloc());
        EXPECT_EQ(wrmsr_try(msr, page | 1), NO_FAULT);
        EXPECT_EQ(rdmsr(msr), page | 1);
        EXPECT_EQ(wrmsr_try(msr, 0), NO_FAULT);
        EXPECT_EQ(rdmsr(msr) & 1, 0);
    }
}

TEST(statistics_withheld, "req.priv.stats-msrs.withheld")
{
    NEEDS_WITHHELD(AccessStatsReg);
    expect_absent(HV_X64_MSR_STATS_PARTITION_RETAIL_PAGE, HV_X64_MSR_STATS_VP_INTERNAL_PAGE);
}

TEST(reference_tsc_announced, "req.priv.reference-tsc.announced")
{
    NEEDS(AccessPartitionReferenceTsc);
    uint64_t page = gpa_of(page_alloc());
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_REFERENCE_TSC, page | 1), NO_FAULT);
    EXPECT_EQ(rdmsr(HV_X64_MSR_REFERENCE_TSC), page | 1);
    struct hv_reference_tsc_page *tsc = (void *)page;
    EXPECT(tsc->sequence == 0 || tsc->sequence == 0xffffffff || tsc->scale != 0, "the page is valid and has no scale");
    EXPECT(tsc->sequence != 0 || tsc->scale != 0 || tsc->offset != 0 || !has(AccessPartitionReferenceCounter) ||
               rdmsr_try(HV_X64_MSR_TIME_REF_COUNT, &page) == NO_FAULT,
           "neither the page nor the counter tells the time");
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_REFERENCE_TSC, 0), NO_FAULT);
    EXPECT_EQ(tsc->scale, 0); /* the memory below again */
}

TEST(reference_tsc_withheld, "req.priv.reference-tsc.withheld")
{
    NEEDS_WITHHELD(AccessPartitionReferenceTsc);
    expect_absent(HV_X64_MSR_REFERENCE_TSC, HV_X64_MSR_REFERENCE_TSC);
}

/* That it sleeps and wakes: req_platform.c. */
TEST(guest_idle_withheld, "req.priv.guest-idle.withheld")
{
    NEEDS_WITHHELD(AccessGuestIdleReg);
    expect_absent(HV_X64_MSR_GUEST_IDLE, HV_X64_MSR_GUEST_IDLE);
}

TEST(frequencies_announced, "req.priv.frequency.announced")
{
    enum { PM_TIMER_HZ = 3579545, TICKS = 3580 }; /* a millisecond */
    NEEDS(AccessFrequencyRegs);
    const uint8_t *fadt = acpi_table("FACP");
    NEEDS_THAT(fadt != NULL, "no FADT, so no clock to compare with");
    uint16_t port = (uint16_t)(fadt[76] | fadt[77] << 8);
    uint32_t tick = in32(port), first;
    while ((first = in32(port)) == tick) {
    }
    uint64_t tsc = rdtsc();
    uint32_t ticks;
    while ((ticks = (in32(port) - first) & 0xffffff) < TICKS) {
    }
    uint64_t measured = (rdtsc() - tsc) * PM_TIMER_HZ / ticks, said = rdmsr(HV_X64_MSR_TSC_FREQUENCY);
    EXPECT(said > measured / 100 * 98 && said < measured / 100 * 102, "said %lu Hz, measured %lu", said, measured);
    EXPECT(rdmsr(HV_X64_MSR_APIC_FREQUENCY) != 0);
}

TEST(frequencies_withheld, "req.priv.frequency.withheld")
{
    NEEDS_WITHHELD(AccessFrequencyRegs);
    expect_absent(HV_X64_MSR_TSC_FREQUENCY, HV_X64_MSR_APIC_FREQUENCY);
}

/* ---- EBX ---- */

TEST(not_for_guests, "req.priv.create-partitions", "req.priv.partition-id", "req.priv.memory-pool", "req.priv.message-buffers",
     "req.priv.create-port", "req.priv.access-stats", "req.priv.cpu-management", "req.priv.profiler")
{
    NEEDS_HYPERVISOR();
    EXPECT_FOR("req.priv.create-partitions", !has(CreatePartitions));
    EXPECT_FOR("req.priv.partition-id", !has(AccessPartitionId));
    EXPECT_FOR("req.priv.memory-pool", !has(AccessMemoryPool));
    EXPECT_FOR("req.priv.message-buffers", !has(AdjustMessageBuffers));
    EXPECT_FOR("req.priv.create-port", !has(CreatePort));
    EXPECT_FOR("req.priv.access-stats", !has(AccessStats));
    EXPECT_FOR("req.priv.cpu-management", !has(CpuManagement));
    EXPECT_FOR("req.priv.profiler", !has(ConfigureProfiler));
}

TEST(reserved_bits, "req.priv.eax-reserved", "req.priv.ebx-reserved")
{
    NEEDS_2012();
    struct cpuid c = cpuid(HV_CPUID_FEATURES, 0);
    EXPECT_EQ_FOR("req.priv.eax-reserved", c.eax >> 12, 0);
    EXPECT_EQ_FOR("req.priv.ebx-reserved", c.ebx & 0xffffc600, 0);
}

static bool refused(unsigned status)
{
    return status == HV_STATUS_INVALID_HYPERCALL_CODE || status == HV_STATUS_ACCESS_DENIED;
}

enum { NO_CONNECTION = 0x00abcdef, HvConnectPort_2_0 = 0x005b };

static unsigned post_status(void)
{
    struct hv_post_message_input *in = page_alloc();
    in->connection_id = NO_CONNECTION;
    in->message_type = 1;
    in->payload_bytes = 8;
    return HV_STATUS_OF(hv_call(HvCallPostMessage, gpa_of(in), 0));
}

TEST(post_messages_announced, "req.priv.post-messages.announced")
{
    NEEDS(PostMessages);
    REQUIRE(hv_enable());
    EXPECT_EQ(post_status(), HV_STATUS_INVALID_CONNECTION_ID);
}

TEST(post_messages_withheld, "req.priv.post-messages.withheld")
{
    NEEDS_WITHHELD(PostMessages);
    REQUIRE(hv_enable());
    unsigned status = post_status();
    EXPECT(refused(status), "status 0x%x", status);
}

TEST(signal_events_announced, "req.priv.signal-events.announced")
{
    NEEDS(SignalEvents);
    REQUIRE(hv_enable());
    EXPECT_EQ(HV_STATUS_OF(hv_fast(HvCallSignalEvent, NO_CONNECTION, 0)), HV_STATUS_INVALID_CONNECTION_ID);
}

TEST(signal_events_withheld, "req.priv.signal-events.withheld")
{
    NEEDS_WITHHELD(SignalEvents);
    REQUIRE(hv_enable());
    unsigned status = HV_STATUS_OF(hv_fast(HvCallSignalEvent, NO_CONNECTION, 0));
    EXPECT(refused(status), "status 0x%x", status);
}

TEST(connect_port_withheld, "req.priv.connect-port.withheld")
{
    NEEDS_WITHHELD(ConnectPort);
    REQUIRE(hv_enable());
    unsigned status = HV_STATUS_OF(hv_call(HvConnectPort_2_0, gpa_of(page_alloc()), 0));
    EXPECT(refused(status), "status 0x%x", status);
}

static unsigned debug_status(unsigned code)
{
    return HV_STATUS_OF(hv_call(code, gpa_of(page_alloc()), gpa_of(page_alloc())));
}

TEST(debugging_announced, "req.priv.debugging.announced")
{
    NEEDS(Debugging);
    REQUIRE(hv_enable());
    for (unsigned code = HvCallPostDebugData; code <= HvCallResetDebugSession; code++) {
        EXPECT(!refused(debug_status(code)), "call 0x%x is refused", code);
    }
}

TEST(debugging_withheld, "req.priv.debugging.withheld")
{
    NEEDS_WITHHELD(Debugging);
    REQUIRE(hv_enable());
    for (unsigned code = HvCallPostDebugData; code <= HvCallResetDebugSession; code++) {
        unsigned status = debug_status(code);
        EXPECT(refused(status), "call 0x%x: status 0x%x", code, status);
    }
}

/* ---- all together ---- */

TEST(announced_is_supported, "req.priv.obliges")
{
    static const struct {
        enum hv_bit bit;
        uint32_t msr;
    } rows[] = {
        {AccessVpRunTimeReg, HV_X64_MSR_VP_RUNTIME},
        {AccessPartitionReferenceCounter, HV_X64_MSR_TIME_REF_COUNT},
        {AccessSynicRegs, HV_X64_MSR_SVERSION},
        {AccessSyntheticTimerRegs, HV_X64_MSR_STIMER0_CONFIG},
        {AccessIntrCtrlRegs, HV_X64_MSR_TPR},
        {AccessHypercallMsrs, HV_X64_MSR_GUEST_OS_ID},
        {AccessVpIndex, HV_X64_MSR_VP_INDEX},
        {AccessResetReg, HV_X64_MSR_RESET},
        {AccessStatsReg, HV_X64_MSR_STATS_PARTITION_RETAIL_PAGE},
        {AccessPartitionReferenceTsc, HV_X64_MSR_REFERENCE_TSC},
        {AccessFrequencyRegs, HV_X64_MSR_TSC_FREQUENCY},
    };
    NEEDS_HYPERVISOR();
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        uint64_t value;
        if (has(rows[i].bit)) {
            EXPECT(rdmsr_try(rows[i].msr, &value) == NO_FAULT, "bit %u is announced, and MSR 0x%x faults", rows[i].bit & 31,
                   rows[i].msr);
        }
    }
}

static void features_read(void *c)
{
    *(struct cpuid *)c = cpuid(HV_CPUID_FEATURES, 0);
}

TEST(privileges_are_the_partitions, "req.priv.identical", "req.priv.constant")
{
    struct cpuid first, other;
    NEEDS_HYPERVISOR();
    features_read(&first);
    smp_start();
    for (unsigned i = 1; i < vp_count(); i++) {
        on_vp(i, features_read, &other);
        EXPECT_FOR("req.priv.identical", other.eax == first.eax && other.ebx == first.ebx, "VP %u: 0x%x, 0x%x, not 0x%x, 0x%x",
                   i, other.eax, other.ebx, first.eax, first.ebx);
    }
    REQUIRE(hv_enable());
    for (unsigned i = 0; i < 3; i++) {
        features_read(&other);
        EXPECT_EQ_FOR("req.priv.constant", other.eax, first.eax);
        EXPECT_EQ_FOR("req.priv.constant", other.ebx, first.ebx);
        if (i == 1) {
            hv_disable();
        }
    }
}
