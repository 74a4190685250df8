/* Event flags and HvSignalEvent. TLFS 6.0b §11.5, §11.10.5, §11.11.2.
 *
 * Through the event ports of synic_use.h. A flag must be there when the call returns; an interrupt may take a moment.
 */
#include "synic_use.h"

static void be_silent(void)
{
    bool before = irqs(true);
    spin_100ns(SILENCE_100NS);
    irqs(before);
}

static uint8_t flag_byte(unsigned sint, unsigned byte)
{
    return *(volatile uint8_t *)(siefp() + sint * SLOT_BYTES + byte);
}

static bool no_flags(void)
{
    for (unsigned i = 0; i < PAGE_BYTES / 8; i++) {
        if (((volatile uint64_t *)siefp())[i] != 0) {
            return false;
        }
    }
    return true;
}

static void flag_clear(unsigned sint, unsigned flag)
{
    __atomic_fetch_and((uint64_t *)&event_flags(sint)[flag / 64], ~(1ULL << flag % 64), __ATOMIC_SEQ_CST);
}

/* ---- which bit ---- */

TEST(signal_sets_flag, "event.signal.sets-flag")
{
    NEEDS_EVENTS();
    sint_on(SINT_EVENTS, VECTOR_A, 0);
    EXPECT_EQ(signal(CONNECTION_EVENTS, 0), HV_STATUS_SUCCESS);
    EXPECT(flag_set(SINT_EVENTS, EVENTS_BASE), "the flag is clear");
}

TEST(flag_layout, "event.flags.layout")
{
    NEEDS_EVENTS();
    sint_on(SINT_FLAG_9, VECTOR_A, 0);
    EXPECT_EQ(signal(CONNECTION_FLAG_9, 0), HV_STATUS_SUCCESS);
    EXPECT_EQ(flag_byte(SINT_FLAG_9, 1), 1 << 1);
    EXPECT_EQ(flag_byte(SINT_FLAG_9, 0), 0);
}

TEST(last_flag, "event.flags.count")
{
    NEEDS_EVENTS();
    sint_on(SINT_LAST_FLAG, VECTOR_A, 0);
    EXPECT_EQ(signal(CONNECTION_LAST_FLAG, 0), HV_STATUS_SUCCESS);
    EXPECT_EQ(flag_byte(SINT_LAST_FLAG, 255), 0x80);
}

TEST(array_by_sint, "synic.pages.flag-arrays")
{
    NEEDS_EVENTS();
    static const struct {
        uint32_t connection;
        unsigned sint;
    } ports[] = {{CONNECTION_EVENTS, SINT_EVENTS}, {CONNECTION_LAST_FLAG, SINT_LAST_FLAG}, {CONNECTION_FLAG_9, SINT_FLAG_9}};
    for (unsigned i = 0; i < ARRAY_COUNT(ports); i++) {
        memset((void *)siefp(), 0, PAGE_BYTES);
        sint_on(ports[i].sint, VECTOR_A, 0);
        EXPECT_EQ(signal(ports[i].connection, 0), HV_STATUS_SUCCESS);
        for (unsigned sint = 0; sint < SINTS; sint++) {
            bool any = false;
            for (unsigned byte = 0; byte < SLOT_BYTES; byte++) {
                any |= flag_byte(sint, byte) != 0;
            }
            EXPECT(any == (sint == ports[i].sint), "SINT%u: array %u", ports[i].sint, sint);
        }
    }
}

TEST(only_that_flag, "event.signal.only-that-flag")
{
    NEEDS_EVENTS();
    sint_on(SINT_EVENTS, VECTOR_A, 0);
    volatile uint64_t *page = (void *)siefp();
    memset((void *)page, 0x5a, PAGE_BYTES);
    flag_clear(SINT_EVENTS, EVENTS_BASE);
    uint64_t before = event_flags(SINT_EVENTS)[0];
    EXPECT_EQ(signal(CONNECTION_EVENTS, 0), HV_STATUS_SUCCESS);
    EXPECT_EQ(event_flags(SINT_EVENTS)[0], before | 1ULL << EVENTS_BASE);
    for (unsigned i = 0; i < PAGE_BYTES / 8; i++) {
        EXPECT(&page[i] == event_flags(SINT_EVENTS) || page[i] == 0x5a5a5a5a5a5a5a5a, "word %u", i);
    }
}

TEST(flag_number_is_relative, "event.signal.base", "event.signal.base-count", "event.signal.last-of-count")
{
    NEEDS_EVENTS();
    sint_on(SINT_EVENTS, VECTOR_A, 0);
    for (unsigned i = 0; i < EVENTS_COUNT; i++) {
        EXPECT(signal(CONNECTION_EVENTS, i) == HV_STATUS_SUCCESS, "number %u", i);
        EXPECT(flag_set(SINT_EVENTS, EVENTS_BASE + i), "number %u", i);
    }
}

TEST(flag_number_past_count, "event.signal.past-count")
{
    NEEDS_EVENTS();
    sint_on(SINT_EVENTS, VECTOR_A, 0);
    EXPECT_EQ(signal(CONNECTION_EVENTS, EVENTS_COUNT), HV_STATUS_INVALID_PARAMETER);
    EXPECT_EQ(signal(CONNECTION_EVENTS, 2047), HV_STATUS_INVALID_PARAMETER);
    EXPECT_EQ(signal(CONNECTION_EVENTS, 0xffff), HV_STATUS_INVALID_PARAMETER);
    EXPECT(no_flags(), "a flag is set");
}

TEST(flag_stays_until_cleared, "event.flags.sticky")
{
    NEEDS_EVENTS();
    sint_on(SINT_EVENTS, VECTOR_A, 0);
    irqs(true);
    signal(CONNECTION_EVENTS, 0);
    EXPECT(WAIT_FOR(irq_count(VECTOR_A) == 1, ARRIVAL_100NS), "no interrupt"); /* the kit writes EOI */
    wrmsr(HV_X64_MSR_EOM, 0);
    EXPECT(flag_set(SINT_EVENTS, EVENTS_BASE), "the flag has gone");
    flag_clear(SINT_EVENTS, EVENTS_BASE);
    be_silent();
    EXPECT(!flag_set(SINT_EVENTS, EVENTS_BASE), "the flag has come back");
}

/* ---- interrupts ---- */

TEST(signal_interrupts, "event.signal.interrupts")
{
    NEEDS_EVENTS();
    sint_on(SINT_EVENTS, VECTOR_A, 0);
    irqs(true);
    signal(CONNECTION_EVENTS, 0);
    EXPECT(WAIT_FOR(irq_count(VECTOR_A) == 1, ARRIVAL_100NS), "no interrupt");
    signal(CONNECTION_EVENTS, 1); /* another flag that was clear */
    EXPECT(WAIT_FOR(irq_count(VECTOR_A) == 2, ARRIVAL_100NS), "no interrupt of another flag");
}

TEST(set_flag_is_silent, "event.signal.set-flag-silent")
{
    NEEDS_EVENTS();
    sint_on(SINT_EVENTS, VECTOR_A, 0);
    irqs(true);
    signal(CONNECTION_EVENTS, 0);
    EXPECT(WAIT_FOR(irq_count(VECTOR_A) == 1, ARRIVAL_100NS), "no interrupt");
    EXPECT_EQ(signal(CONNECTION_EVENTS, 0), HV_STATUS_SUCCESS);
    be_silent();
    EXPECT_EQ(irq_count(VECTOR_A), 1);
    EXPECT(flag_set(SINT_EVENTS, EVENTS_BASE));
}

TEST(cleared_flag_interrupts_again, "event.signal.again")
{
    NEEDS_EVENTS();
    sint_on(SINT_EVENTS, VECTOR_A, 0);
    irqs(true);
    for (unsigned i = 1; i <= 3; i++) {
        signal(CONNECTION_EVENTS, 0);
        EXPECT(WAIT_FOR(irq_count(VECTOR_A) == i, ARRIVAL_100NS), "%u interrupts after %u signals", irq_count(VECTOR_A), i);
        flag_clear(SINT_EVENTS, EVENTS_BASE);
    }
}

TEST(flags_are_not_queued, "event.flags.not-queued")
{
    NEEDS_EVENTS();
    sint_on(SINT_EVENTS, VECTOR_A, 0);
    irqs(true);
    for (unsigned i = 0; i < 3; i++) {
        signal(CONNECTION_EVENTS, 0);
    }
    EXPECT(WAIT_FOR(irq_count(VECTOR_A) == 1, ARRIVAL_100NS), "no interrupt");
    flag_clear(SINT_EVENTS, EVENTS_BASE);
    wrmsr(HV_X64_MSR_EOM, 0);
    be_silent();
    EXPECT_EQ(irq_count(VECTOR_A), 1);
    EXPECT(no_flags(), "the flag has come back");
}

TEST(priority_holds_interrupt, "event.signal.priority")
{
    NEEDS_EVENTS();
    sint_on(SINT_EVENTS, VECTOR_A, 0);
    signal(CONNECTION_EVENTS, 0);
    spin_100ns(SILENCE_100NS);
    EXPECT(irq_count(VECTOR_A) == 0 && lapic_bit(LAPIC_IRR, VECTOR_A), "IF does not hold it");
    lapic_write(LAPIC_TPR, VECTOR_A & 0xf0);
    be_silent();
    EXPECT(irq_count(VECTOR_A) == 0 && lapic_bit(LAPIC_IRR, VECTOR_A), "the priority does not hold it");
    lapic_write(LAPIC_TPR, 0);
    irqs(true);
    EXPECT(WAIT_FOR(irq_count(VECTOR_A) == 1, ARRIVAL_100NS), "it does not come in the end");
}

struct other_vp {
    volatile bool ready, stop;
    bool flag;
};

static void wait_for_event(void *arg)
{
    struct other_vp *o = arg;
    if (!EXPECT(synic_open())) {
        o->ready = true;
        return;
    }
    sint_on(SINT_EVENTS, VECTOR_A, 0);
    irqs(true);
    o->ready = true;
    WAIT_FOR(irq_count_on(1, VECTOR_A) != 0 || o->stop, ARRIVAL_100NS);
    irqs(false);
    o->flag = flag_set(SINT_EVENTS, 0);
}

TEST(signal_to_another_vp, "event.signal.other-vp")
{
    NEEDS_EVENTS();
    NEEDS_THAT(vp_count() > 1, "one VP");
    smp_start();
    sint_on(SINT_EVENTS, VECTOR_A, 0);
    struct other_vp o = {0};
    on_vp_async(1, wait_for_event, &o);
    EXPECT(WAIT_FOR(o.ready, ARRIVAL_100NS));
    EXPECT_EQ(signal(CONNECTION_EVENTS_VP1, 0), HV_STATUS_SUCCESS);
    vp_wait(1);
    be_silent();
    EXPECT(o.flag, "VP 1's flag is clear");
    EXPECT_EQ(irq_count_on(1, VECTOR_A), 1);
    EXPECT_EQ(irq_count_on(0, VECTOR_A), 0);
    EXPECT(no_flags(), "VP 0 has a flag");
}

/* ---- refusals ---- */

static void expect_refused(uint32_t connection, uint32_t flag, unsigned status)
{
    EXPECT_EQ(signal(connection, flag), status);
    be_silent();
    EXPECT_EQ(irq_count(VECTOR_A), 0);
}

TEST(masked_sint_refuses, "event.signal.masked")
{
    NEEDS_EVENTS();
    sint_on(SINT_EVENTS, VECTOR_A, HV_SYNIC_SINT_MASKED);
    expect_refused(CONNECTION_EVENTS, 0, HV_STATUS_INVALID_SYNIC_STATE);
}

TEST(polled_sint_counts_as_unmasked, "synic.sint.polling-unmasks")
{
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    NEEDS(SintPollingModeAvailable);
    NEEDS_EVENTS();
    sint_on(SINT_EVENTS, VECTOR_A, HV_SYNIC_SINT_MASKED | HV_SYNIC_SINT_POLLING);
    expect_refused(CONNECTION_EVENTS, 0, HV_STATUS_SUCCESS);
    EXPECT(flag_set(SINT_EVENTS, EVENTS_BASE), "the flag is clear");
}

TEST(synic_off_receives_nothing, "synic.scontrol.off-events", "event.signal.synic-off")
{
    NEEDS_EVENTS();
    sint_on(SINT_EVENTS, VECTOR_A, 0);
    wrmsr(HV_X64_MSR_SCONTROL, 0);
    expect_refused(CONNECTION_EVENTS, 0, HV_STATUS_INVALID_SYNIC_STATE);
    EXPECT(no_flags(), "a flag is set");
}

TEST(page_off_refuses, "event.signal.page-off")
{
    NEEDS_EVENTS();
    sint_on(SINT_EVENTS, VECTOR_A, 0);
    uint64_t page = rdmsr(HV_X64_MSR_SIEFP);
    wrmsr(HV_X64_MSR_SIEFP, page & ~1ULL);
    expect_refused(CONNECTION_EVENTS, 0, HV_STATUS_INVALID_SYNIC_STATE);
    EXPECT(no_flags(), "the RAM below has a flag");
    wrmsr(HV_X64_MSR_SIEFP, page);
    EXPECT(no_flags(), "the page has a flag");
}

static void open_events(void *unused)
{
    if (EXPECT(synic_open())) {
        sint_on(SINT_ANY_VP, VECTOR_A, 0);
    }
}

static void find_any_flag(void *set)
{
    *(bool *)set = flag_set(SINT_ANY_VP, FLAG_ANY_VP);
}

TEST(signal_to_any_vp, "event.signal.any-vp")
{
    NEEDS_EVENTS();
    NEEDS_THAT(vp_count() > 1, "one VP");
    smp_start();
    wrmsr(HV_X64_MSR_SCONTROL, 0);
    EXPECT_EQ(signal(CONNECTION_EVENTS_ANY, 0), HV_STATUS_INVALID_SYNIC_STATE);
    on_vp(1, open_events, NULL);
    EXPECT_EQ(signal(CONNECTION_EVENTS_ANY, 0), HV_STATUS_SUCCESS);
    bool set = false;
    on_vp(1, find_any_flag, &set);
    EXPECT(set, "VP 1's flag is clear");
    EXPECT(no_flags(), "VP 0, whose SynIC is off, has a flag");
}

TEST(signal_to_missing_vp, "event.signal.vp-gone")
{
    NEEDS_EVENTS();
    EXPECT_EQ(signal(CONNECTION_EVENTS_NO_VP, 0), HV_STATUS_INVALID_VP_INDEX);
}

TEST(unknown_connection, "event.signal.bad-connection")
{
    NEEDS_EVENTS();
    EXPECT_EQ(signal(CONNECTION_NONE, 0), HV_STATUS_INVALID_CONNECTION_ID);
}

TEST(reserved_connection_bits, "event.signal.reserved-id-bits")
{
    NEEDS_EVENTS();
    sint_on(SINT_EVENTS, VECTOR_A, 0);
    for (unsigned bit = 24; bit < 32; bit++) {
        EXPECT(signal(CONNECTION_EVENTS | 1u << bit, 0) == HV_STATUS_INVALID_CONNECTION_ID, "bit %u", bit);
    }
    EXPECT(no_flags(), "a flag is set");
}

TEST(message_port_refuses, "event.signal.message-port")
{
    NEEDS_EVENTS();
    EXPECT_EQ(signal(CONNECTION_SINT3, 0), HV_STATUS_INVALID_PORT_ID);
    EXPECT_EQ(signal(CONNECTION_SINK, 0), HV_STATUS_INVALID_PORT_ID);
}

TEST(refused_signal_changes_nothing, "event.signal.refused-changes-nothing")
{
    NEEDS_EVENTS();
    for (unsigned sint = 0; sint < SINTS; sint++) {
        sint_on(sint, VECTOR_A, 0);
    }
    EXPECT(signal(CONNECTION_NONE, 0) != HV_STATUS_SUCCESS);
    EXPECT(signal(CONNECTION_EVENTS, EVENTS_COUNT) != HV_STATUS_SUCCESS);
    EXPECT(signal(CONNECTION_SINT3, 0) != HV_STATUS_SUCCESS);
    be_silent();
    EXPECT_EQ(irq_count(VECTOR_A), 0);
    EXPECT(no_flags(), "a flag is set");
}

TEST(withheld_denied, "event.signal.privilege")
{
    NEEDS_THAT(hv_present() && has(AccessHypercallMsrs) && !has(SignalEvents), "SignalEvents is announced");
    REQUIRE(hv_enable());
    EXPECT_EQ(signal(CONNECTION_EVENTS, 0), HV_STATUS_ACCESS_DENIED);
    EXPECT_EQ(signal(CONNECTION_NONE, 0), HV_STATUS_ACCESS_DENIED);
}

/* ---- the call ---- */

TEST(both_forms, "event.signal.memory-form", "event.signal.fast-form")
{
    NEEDS_EVENTS();
    sint_on(SINT_EVENTS, VECTOR_A, 0);
    static struct {
        uint32_t connection;
        uint16_t flag, reserved;
    } input __attribute__((aligned(8)));
    input.connection = CONNECTION_EVENTS;
    input.flag = 2;
    EXPECT_EQ_FOR("event.signal.memory-form", HV_STATUS_OF(hv_call(HvCallSignalEvent, gpa_of(&input), 0)), HV_STATUS_SUCCESS);
    EXPECT_FOR("event.signal.memory-form", flag_set(SINT_EVENTS, EVENTS_BASE + 2));
    EXPECT_EQ_FOR("event.signal.fast-form", HV_STATUS_OF(hv_fast(HvCallSignalEvent, CONNECTION_EVENTS | 1ULL << 32, 0)),
                  HV_STATUS_SUCCESS);
    EXPECT_FOR("event.signal.fast-form", flag_set(SINT_EVENTS, EVENTS_BASE + 1));
}

TEST(never_short_of_buffers, "event.signal.no-buffers")
{
    NEEDS_EVENTS();
    sint_on(SINT_EVENTS, VECTOR_A, 0);
    for (unsigned i = 0; i < 1000; i++) {
        REQUIRE(signal(CONNECTION_EVENTS, i % EVENTS_COUNT) == HV_STATUS_SUCCESS, "signal %u", i);
        if (i % 3 == 0) {
            flag_clear(SINT_EVENTS, EVENTS_BASE + i % EVENTS_COUNT);
        }
    }
}
