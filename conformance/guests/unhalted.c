/* The time-unhalted timer. TLFS 6.0b §12.6, §7.8.7.2. */
#include "kit.h"

enum { VECTOR = 0x51, ENABLED = 1 << 8, PERIOD_100NS = 3000, ASSIST_EXPIRED = 56 };

static const uint32_t config_msr = HV_X64_MSR_STIME_UNHALTED_TIMER_CONFIG, count_msr = HV_X64_MSR_STIME_UNHALTED_TIMER_COUNT;

#define NEEDS_TIMER()                                                                                                          \
    NEEDS_EDITION(EDITION_6_0, EDITION_LAST);                                                                                  \
    NEEDS(AccessSyntheticTimerRegs);                                                                                           \
    NEEDS(SyntheticTimeUnhaltedTimerAvailable)

static void timer_start(uint64_t period_100ns, uint64_t config)
{
    wrmsr(config_msr, 0);
    wrmsr(count_msr, period_100ns);
    wrmsr(config_msr, config);
}

TEST(registers_answer, "unhalted.msr.present")
{
    NEEDS_TIMER();
    uint64_t config = 1, count = 1;
    EXPECT(rdmsr_try(config_msr, &config) == NO_FAULT);
    EXPECT(rdmsr_try(count_msr, &count) == NO_FAULT);
    EXPECT_EQ(config, 0); /* the first test: as created */
    EXPECT_EQ(count, 0);
}

TEST(withheld_faults, "unhalted.msr.privilege")
{
    NEEDS_EDITION(EDITION_6_0, EDITION_LAST);
    NEEDS_THAT(hv_present() && !(has(AccessSyntheticTimerRegs) && has(SyntheticTimeUnhaltedTimerAvailable)), "it is announced");
    uint64_t value;
    EXPECT(rdmsr_try(config_msr, &value) == VEC_GP);
    EXPECT(wrmsr_try(config_msr, 0) == VEC_GP);
    EXPECT(rdmsr_try(count_msr, &value) == VEC_GP);
    EXPECT(wrmsr_try(count_msr, 0) == VEC_GP);
}

static void set_timer(void *unused)
{
    wrmsr(count_msr, 1000000);
    wrmsr(config_msr, ENABLED | VECTOR);
}

TEST(registers_are_per_vp, "unhalted.msr.per-vp")
{
    NEEDS_TIMER();
    NEEDS_THAT(vp_count() > 1, "one VP");
    smp_start();
    wrmsr(config_msr, 0);
    wrmsr(count_msr, 7);
    on_vp(1, set_timer, NULL);
    EXPECT_EQ(rdmsr(config_msr), 0);
    EXPECT_EQ(rdmsr(count_msr), 7);
}

TEST(config_fields, "unhalted.config.fields", "unhalted.count.round-trip")
{
    NEEDS_TIMER();
    const uint64_t counts[] = {1, 0x123456789abcdef0, ~0ULL, 10000000};
    for (unsigned i = 0; i < ARRAY_COUNT(counts); i++) {
        wrmsr(count_msr, counts[i]);
        EXPECT_EQ_FOR("unhalted.count.round-trip", rdmsr(count_msr), counts[i]);
    }
    const uint64_t configs[] = {0x51, ENABLED | 0xf0, ENABLED | 2, 0};
    for (unsigned i = 0; i < ARRAY_COUNT(configs); i++) {
        wrmsr(config_msr, configs[i]);
        EXPECT_EQ_FOR("unhalted.config.fields", rdmsr(config_msr), configs[i]);
    }
}

TEST(config_reserved_bits, "unhalted.config.reserved")
{
    NEEDS_TIMER();
    wrmsr(config_msr, VECTOR);
    for (unsigned bit = 9; bit < 64; bit++) {
        EXPECT(wrmsr_try(config_msr, VECTOR | 1ULL << bit) == VEC_GP, "bit %u can be set", bit);
        EXPECT_EQ(rdmsr(config_msr), VECTOR);
    }
}

static void run_for(uint64_t time_100ns)
{
    irqs(true);
    spin_100ns(time_100ns);
    irqs(false);
}

/* The interrupt's own handler takes a little of the time. */
TEST(fires_after_count, "unhalted.count.period", "unhalted.time.running", "unhalted.fire.fixed")
{
    NEEDS_TIMER();
    timer_start(PERIOD_100NS, ENABLED | VECTOR);
    run_for(PERIOD_100NS / 2);
    EXPECT(irq_count(VECTOR) == 0, "after half a period");
    run_for(PERIOD_100NS);
    EXPECT(irq_count(VECTOR) == 1, "%u interrupts after one and a half periods", irq_count(VECTOR));
}

TEST(fires_again, "unhalted.fire.periodic")
{
    NEEDS_TIMER();
    timer_start(PERIOD_100NS, ENABLED | VECTOR);
    run_for(10 * PERIOD_100NS + PERIOD_100NS / 2);
    EXPECT(irq_count(VECTOR) >= 9 && irq_count(VECTOR) <= 11, "%u interrupts in ten periods", irq_count(VECTOR));
}

TEST(halted_time_does_not_count, "unhalted.time.halted")
{
    NEEDS_TIMER();
    timer_start(20 * PERIOD_100NS, ENABLED | VECTOR);
    irqs(true);
    WAIT_FOR(false, 40 * PERIOD_100NS); /* asleep nearly all of the time */
    irqs(false);
    EXPECT(irq_count(VECTOR) == 0, "%u interrupts", irq_count(VECTOR));
    run_for(21 * PERIOD_100NS);
    EXPECT(irq_count(VECTOR) != 0, "it does not go on when the VP runs");
}

TEST(disabled_is_silent, "unhalted.fire.disabled")
{
    NEEDS_TIMER();
    timer_start(PERIOD_100NS, VECTOR);
    run_for(3 * PERIOD_100NS);
    EXPECT_EQ(irq_count(VECTOR), 0);
    timer_start(PERIOD_100NS, ENABLED | VECTOR);
    run_for(PERIOD_100NS + PERIOD_100NS / 2);
    EXPECT_EQ(irq_count(VECTOR), 1);
    wrmsr(config_msr, VECTOR);
    run_for(3 * PERIOD_100NS);
    EXPECT_EQ(irq_count(VECTOR), 1);
}

TEST(vector_2_is_an_nmi, "unhalted.fire.nmi")
{
    NEEDS_TIMER();
    timer_start(PERIOD_100NS, ENABLED | 2);
    spin_100ns(PERIOD_100NS + PERIOD_100NS / 2); /* with IF clear: no NMI's matter */
    wrmsr(config_msr, 0);
    EXPECT_EQ(nmi_count(), 1);
}

TEST(assist_page_tells, "unhalted.fire.assist-page", "unhalted.fire.assist-page-clear")
{
    NEEDS_TIMER();
    NEEDS(AccessIntrCtrlRegs); /* of the assist page's register */
    volatile uint8_t *expired = (uint8_t *)page_alloc() + ASSIST_EXPIRED;
    wrmsr(HV_X64_MSR_VP_ASSIST_PAGE, (gpa_of(expired) & ~0xfffULL) | 1);
    *expired = 0;
    timer_start(PERIOD_100NS, ENABLED | VECTOR);
    EXPECT_EQ_FOR("unhalted.fire.assist-page", *expired, 0);
    run_for(PERIOD_100NS + PERIOD_100NS / 2);
    EXPECT_EQ_FOR("unhalted.fire.assist-page", *expired, 1);
    *expired = 0;
    EXPECT_EQ_FOR("unhalted.fire.assist-page-clear", *expired, 0);
    run_for(PERIOD_100NS);
    EXPECT_EQ_FOR("unhalted.fire.assist-page-clear", *expired, 1);
}
