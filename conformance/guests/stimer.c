/* Synthetic timers: registers, expiry, messages, direct mode. TLFS 6.0b §12.1.3-12.1.5, §12.2, §12.5, §13.3.1.
 *
 * Judged by the reference counter alone. Messages go to a masked SINT, so that nothing but the slot changes.
 */
#include "synic_use.h"

enum { SINT = 2, FIELDS = 0xf000f, DIRECT_FIELDS = 0x1ff0 };

#define NEEDS_TIMES()                                                                                                          \
    NEEDS(AccessPartitionReferenceCounter);                                                                                    \
    NEEDS_TIMERS()
#define NEEDS_DIRECT()                                                                                                         \
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);                                                                                  \
    NEEDS(AccessPartitionReferenceCounter);                                                                                    \
    NEEDS(AccessSyntheticTimerRegs);                                                                                           \
    NEEDS(DirectSyntheticTimers)

static const struct hv_timer_message *timer_payload(unsigned sint)
{
    return (const struct hv_timer_message *)(simp() + sint * SLOT_BYTES + 16);
}

static void timer_start(unsigned timer, uint64_t count, uint64_t config)
{
    wrmsr(config_msr(timer), 0);
    wrmsr(count_msr(timer), count);
    wrmsr(config_msr(timer), config | HV_STIMER_ENABLED);
}

static bool enabled(unsigned timer)
{
    return rdmsr(config_msr(timer)) & HV_STIMER_ENABLED;
}

static void wait_100ns(uint64_t time)
{
    uint64_t until = ref_time() + time;
    while (ref_time() < until) {
        pause();
    }
}

/* ---- registers ---- */

static void find_configs(void *arg)
{
    for (unsigned i = 0; i < STIMERS; i++) {
        ((uint64_t *)arg)[i] = rdmsr(config_msr(i));
    }
}

TEST(creation_values, "stimer.config.reset")
{
    NEEDS(AccessSyntheticTimerRegs);
    smp_start();
    for (unsigned vp = 0; vp < vp_count(); vp++) {
        uint64_t config[STIMERS];
        on_vp(vp, find_configs, config);
        for (unsigned i = 0; i < STIMERS; i++) {
            EXPECT(config[i] == 0, "VP %u, timer %u: 0x%lx", vp, i, config[i]);
        }
    }
}

TEST(registers_answer, "stimer.msr.present")
{
    NEEDS(AccessSyntheticTimerRegs);
    uint64_t value;
    for (uint32_t msr = HV_X64_MSR_STIMER0_CONFIG; msr <= HV_X64_MSR_STIMER3_COUNT; msr++) {
        EXPECT(rdmsr_try(msr, &value) == NO_FAULT, "0x%x cannot be read", msr);
        EXPECT(wrmsr_try(msr, 0) == NO_FAULT, "0x%x cannot be written", msr);
    }
}

TEST(withheld_faults, "stimer.msr.privilege")
{
    NEEDS_THAT(hv_present() && !has(AccessSyntheticTimerRegs), "AccessSyntheticTimerRegs is announced");
    uint64_t value;
    for (uint32_t msr = HV_X64_MSR_STIMER0_CONFIG; msr <= HV_X64_MSR_STIMER3_COUNT; msr++) {
        EXPECT(rdmsr_try(msr, &value) == VEC_GP, "0x%x can be read", msr);
        EXPECT(wrmsr_try(msr, 0) == VEC_GP, "0x%x can be written", msr);
    }
}

static void find_counts(void *counts)
{
    for (unsigned i = 0; i < STIMERS; i++) {
        ((uint64_t *)counts)[i] = rdmsr(count_msr(i));
    }
}

static void set_some(void *unused)
{
    for (unsigned i = 0; i < STIMERS; i++) {
        wrmsr(config_msr(i), HV_STIMER_SINT(9) | HV_STIMER_LAZY);
        wrmsr(count_msr(i), 0x1000 + i);
    }
}

TEST(registers_are_per_vp, "stimer.msr.per-vp")
{
    NEEDS(AccessSyntheticTimerRegs);
    NEEDS_THAT(vp_count() > 1, "one VP");
    smp_start();
    uint64_t config[STIMERS], before[STIMERS], after[STIMERS];
    find_counts(before);
    on_vp(1, set_some, NULL);
    find_configs(config);
    find_counts(after);
    for (unsigned i = 0; i < STIMERS; i++) {
        EXPECT(config[i] == 0, "timer %u: 0x%lx", i, config[i]);
        EXPECT(after[i] == before[i], "count of timer %u: 0x%lx, then 0x%lx", i, before[i], after[i]);
    }
    on_vp(1, find_configs, config);
    on_vp(1, find_counts, after);
    EXPECT_EQ(config[3] & FIELDS, HV_STIMER_SINT(9) | HV_STIMER_LAZY);
    EXPECT_EQ(after[3], 0x1003);
}

TEST(config_fields, "stimer.config.fields")
{
    NEEDS(AccessSyntheticTimerRegs);
    for (unsigned i = 0; i < STIMERS; i++) {
        const uint64_t values[] = {HV_STIMER_PERIODIC,
                                   HV_STIMER_LAZY,
                                   HV_STIMER_AUTO_ENABLE,
                                   HV_STIMER_SINT(15),
                                   HV_STIMER_SINT(1) | HV_STIMER_LAZY | HV_STIMER_PERIODIC,
                                   0};
        for (unsigned k = 0; k < ARRAY_COUNT(values); k++) {
            wrmsr(config_msr(i), values[k]);
            EXPECT_EQ(rdmsr(config_msr(i)) & FIELDS, values[k]);
        }
    }
}

TEST(config_direct_fields, "stimer.config.direct-fields")
{
    NEEDS_DIRECT();
    for (unsigned i = 0; i < STIMERS; i++) {
        const uint64_t values[] = {HV_STIMER_DIRECT | HV_STIMER_APIC_VECTOR(0x51),
                                   HV_STIMER_DIRECT | HV_STIMER_APIC_VECTOR(0xff)};
        for (unsigned k = 0; k < ARRAY_COUNT(values); k++) {
            wrmsr(config_msr(i), values[k]);
            EXPECT_EQ(rdmsr(config_msr(i)) & DIRECT_FIELDS, values[k]);
        }
    }
}

TEST(reserved_bits_write_back, "stimer.config.reserved")
{
    NEEDS(AccessSyntheticTimerRegs);
    for (unsigned i = 0; i < STIMERS; i++) {
        for (uint64_t bits = 0; bits < 16; bits += 2) { /* Enable clear */
            EXPECT(wrmsr_try(config_msr(i), bits | HV_STIMER_SINT(3)) == NO_FAULT, "0x%lx", bits);
            uint64_t value = rdmsr(config_msr(i));
            EXPECT((value & ~(uint64_t)(FIELDS | DIRECT_FIELDS)) == 0, "0x%lx", value);
            EXPECT(wrmsr_try(config_msr(i), value) == NO_FAULT, "0x%lx, which it gave", value);
        }
    }
}

TEST(count_round_trip, "stimer.count.round-trip")
{
    NEEDS(AccessSyntheticTimerRegs);
    for (unsigned i = 0; i < STIMERS; i++) {
        const uint64_t values[] = {1, 0x123456789abcdef0, ~0ULL, 0};
        for (unsigned k = 0; k < ARRAY_COUNT(values); k++) {
            wrmsr(count_msr(i), values[k]);
            EXPECT_EQ(rdmsr(count_msr(i)), values[k]);
        }
    }
}

/* ---- one-shot ---- */

/* Looks at the slot first and at the clock then: what is seen there by now was not there later than now. */
static void expect_not_early(uint64_t config)
{
    static const uint64_t delays_100ns[] = {1, 7, 50, 333, 1000, 4321};
    for (unsigned i = 0; i < ARRAY_COUNT(delays_100ns); i++) {
        uint64_t due = ref_time() + delays_100ns[i], limit = due + ARRIVAL_100NS, now;
        timer_start(0, due, config | HV_STIMER_SINT(SINT));
        bool full;
        do {
            full = slot_full(SINT);
            now = ref_time();
        } while (!full && now < limit);
        REQUIRE(full, "not within 20 ms after a delay of %lu", delays_100ns[i]);
        EXPECT(now >= due, "%lu too early", due - now);
        EXPECT(timer_payload(SINT)->delivery_time_100ns >= due, "delivered %lu too early",
               due - timer_payload(SINT)->delivery_time_100ns);
        slot_clear(SINT);
    }
}

TEST(never_early, "stimer.count.absolute", "stimer.count.at-or-after", "stimer.expiry.never-early")
{
    NEEDS_TIMES();
    expect_not_early(0);
}

TEST(past_count_fires_at_once, "stimer.one-shot.past")
{
    NEEDS_TIMES();
    uint64_t now = ref_time();
    const uint64_t past[] = {1, now / 2 + 1, now};
    for (unsigned i = 0; i < ARRAY_COUNT(past); i++) {
        timer_start(0, past[i], HV_STIMER_SINT(SINT));
        uint64_t from = ref_time();
        REQUIRE(slot_fills(SINT), "COUNT %lu at %lu", past[i], from);
        EXPECT(ref_time() - from < 1000, "only %lu later", ref_time() - from);
        slot_clear(SINT);
    }
}

TEST(one_shot_disables_itself, "stimer.one-shot.disabled")
{
    NEEDS_TIMES();
    uint64_t config = HV_STIMER_SINT(SINT) | HV_STIMER_LAZY;
    timer_start(1, ref_time() + 2000, config);
    EXPECT(enabled(1), "disabled before it has expired");
    REQUIRE(slot_fills(SINT));
    EXPECT_EQ(rdmsr(config_msr(1)), config);
}

TEST(one_shot_fires_once, "stimer.one-shot.once")
{
    NEEDS_TIMES();
    timer_start(0, ref_time() + 1000, HV_STIMER_SINT(SINT));
    REQUIRE(slot_fills(SINT));
    message_done(SINT);
    wait_100ns(10000);
    EXPECT(!slot_full(SINT), "a second message");
}

TEST(enable_after_count, "stimer.enable.then")
{
    NEEDS_TIMES();
    wrmsr(config_msr(0), HV_STIMER_SINT(SINT));
    wrmsr(count_msr(0), ref_time() + 500);
    wrmsr(config_msr(0), HV_STIMER_SINT(SINT) | HV_STIMER_ENABLED);
    EXPECT(slot_fills(SINT));
}

TEST(count_alone_starts_nothing, "stimer.enable.count-alone")
{
    NEEDS_TIMES();
    wrmsr(config_msr(0), HV_STIMER_SINT(SINT));
    wrmsr(count_msr(0), ref_time() + 100);
    EXPECT(!enabled(0));
    wait_100ns(5000);
    EXPECT(!slot_full(SINT), "a message");
}

TEST(enable_with_count_zero, "stimer.enable.count-zero")
{
    NEEDS_TIMES();
    for (unsigned periodic = 0; periodic < 2; periodic++) {
        timer_start(0, 0, HV_STIMER_SINT(SINT) | (periodic ? HV_STIMER_PERIODIC : 0));
        wait_100ns(3000);
        EXPECT(!slot_full(SINT), "a message, periodic %u", periodic);
    }
}

TEST(clearing_enable_cancels, "stimer.enable.cancel")
{
    NEEDS_TIMES();
    timer_start(0, ref_time() + 5000, HV_STIMER_SINT(SINT));
    wrmsr(config_msr(0), HV_STIMER_SINT(SINT));
    wait_100ns(10000);
    EXPECT(!slot_full(SINT), "a message");
    EXPECT(!enabled(0));
}

TEST(count_zero_stops, "stimer.count.zero-stops")
{
    NEEDS_TIMES();
    for (unsigned periodic = 0; periodic < 2; periodic++) {
        uint64_t count = periodic ? 3000 : ref_time() + 3000;
        timer_start(0, count, HV_STIMER_SINT(SINT) | (periodic ? HV_STIMER_PERIODIC : 0));
        wrmsr(count_msr(0), 0);
        EXPECT(!enabled(0), "still enabled, periodic %u", periodic);
        wait_100ns(8000);
        EXPECT(!slot_full(SINT), "a message, periodic %u", periodic);
    }
}

TEST(count_zero_stops_auto_enabled, "stimer.count.zero-stops-auto")
{
    NEEDS_TIMES();
    wrmsr(config_msr(0), HV_STIMER_AUTO_ENABLE | HV_STIMER_SINT(SINT));
    wrmsr(count_msr(0), ref_time() + 5000);
    EXPECT(enabled(0));
    wrmsr(count_msr(0), 0);
    EXPECT(!enabled(0), "still enabled");
    wait_100ns(10000);
    EXPECT(!slot_full(SINT), "a message");
}

TEST(count_at_the_end_of_time, "stimer.count.wrap")
{
    NEEDS_TIMES();
    const uint64_t counts[] = {~0ULL, ~0ULL - 1, 1ULL << 63};
    for (unsigned i = 0; i < ARRAY_COUNT(counts); i++) {
        timer_start(0, counts[i], HV_STIMER_SINT(SINT));
        EXPECT_EQ(rdmsr(count_msr(0)), counts[i]);
        wait_100ns(3000);
        EXPECT(!slot_full(SINT), "COUNT 0x%lx", counts[i]);
    }
}

TEST(auto_enable_starts, "stimer.auto.starts")
{
    NEEDS_TIMES();
    wrmsr(config_msr(0), HV_STIMER_AUTO_ENABLE | HV_STIMER_SINT(SINT));
    EXPECT(!enabled(0), "enabled before there is a count");
    wrmsr(count_msr(0), ref_time() + 3000);
    EXPECT(enabled(0), "not enabled by the count");
    EXPECT(slot_fills(SINT));
}

TEST(auto_enable_starts_again, "stimer.auto.again", "stimer.auto.kept")
{
    NEEDS_TIMES();
    wrmsr(config_msr(0), HV_STIMER_AUTO_ENABLE | HV_STIMER_SINT(SINT));
    for (unsigned i = 0; i < 3; i++) {
        wrmsr(count_msr(0), ref_time() + 1000);
        REQUIRE(slot_fills(SINT), "time %u", i + 1);
        message_done(SINT);
        EXPECT_EQ_FOR("stimer.auto.kept", rdmsr(config_msr(0)), HV_STIMER_AUTO_ENABLE | HV_STIMER_SINT(SINT));
    }
}

TEST(sint_zero_disables, "stimer.expiry.sint-zero")
{
    NEEDS_TIMES();
    timer_start(0, ref_time() + 1000, HV_STIMER_SINT(0));
    EXPECT(!enabled(0), "enabled");
    wait_100ns(3000);
    EXPECT(!slot_full(0), "a message for SINT0");
}

TEST(new_count_replaces_old, "stimer.expiry.rewrite")
{
    NEEDS_TIMES();
    uint64_t first = ref_time() + 2000, second = first + 8000;
    timer_start(0, first, HV_STIMER_SINT(SINT));
    wrmsr(config_msr(0), HV_STIMER_SINT(SINT));
    wrmsr(count_msr(0), second);
    wrmsr(config_msr(0), HV_STIMER_SINT(SINT) | HV_STIMER_ENABLED);
    while (ref_time() < first + 3000) {
        pause();
    }
    EXPECT(!slot_full(SINT), "fired at the old time");
    EXPECT(slot_fills(SINT), "did not fire at the new time");
    EXPECT_EQ(timer_payload(SINT)->expiration_time_100ns, second);
}

TEST(four_timers_side_by_side, "stimer.expiry.four-at-once")
{
    NEEDS_TIMES();
    uint64_t now = ref_time();
    for (unsigned i = 0; i < STIMERS; i++) {
        timer_start(i, now + 4000 - 900 * i, HV_STIMER_SINT(SINT + i)); /* the last one first */
    }
    for (unsigned i = 0; i < STIMERS; i++) {
        EXPECT(slot_fills(SINT + i), "timer %u", i);
        EXPECT_EQ(timer_payload(SINT + i)->timer_index, i);
        EXPECT_EQ(timer_payload(SINT + i)->expiration_time_100ns, now + 4000 - 900 * i);
    }
}

TEST(message_to_its_sint, "stimer.expiry.sint")
{
    NEEDS_TIMES();
    for (unsigned sint = 1; sint < SINTS; sint += 7) {
        timer_start(0, ref_time() + 100, HV_STIMER_SINT(sint));
        EXPECT(slot_fills(sint), "SINT%u", sint);
        slot_clear(sint);
        for (unsigned other = 0; other < SINTS; other++) {
            EXPECT(!slot_full(other), "SINT%u: a message for SINT%u", sint, other);
        }
    }
}

/* ---- the message ---- */

TEST(message_format, "message.type.timer", "stimer.message.type", "stimer.message.expiration", "stimer.message.delivery",
     "stimer.message.reserved")
{
    NEEDS_TIMES();
    uint64_t due = ref_time() + 1500;
    memset((void *)(simp() + SINT * SLOT_BYTES + 4), 0xff, SLOT_BYTES - 4);
    timer_start(2, due, HV_STIMER_SINT(SINT));
    REQUIRE(slot_fills(SINT));
    uint64_t now = ref_time();
    const struct hv_message *m = message_slot(SINT);
    EXPECT_EQ_FOR("message.type.timer", m->type, 0x80000010);
    EXPECT_EQ_FOR("stimer.message.type", m->type, 0x80000010);
    EXPECT_EQ_FOR("stimer.message.type", m->payload_bytes, 24);
    EXPECT_EQ_FOR("stimer.message.type", m->sender, 0);
    EXPECT_EQ_FOR("stimer.message.reserved", timer_payload(SINT)->reserved, 0);
    EXPECT_EQ_FOR("stimer.message.expiration", timer_payload(SINT)->expiration_time_100ns, due);
    EXPECT_FOR("stimer.message.delivery",
               timer_payload(SINT)->delivery_time_100ns >= due && timer_payload(SINT)->delivery_time_100ns <= now,
               "delivery at %lu, due at %lu, seen at %lu", timer_payload(SINT)->delivery_time_100ns, due, now);
}

TEST(message_index, "stimer.message.index")
{
    NEEDS_TIMES();
    for (unsigned i = 0; i < STIMERS; i++) {
        timer_start(i, ref_time() + 100, HV_STIMER_SINT(SINT));
        REQUIRE(slot_fills(SINT), "timer %u", i);
        EXPECT_EQ(timer_payload(SINT)->timer_index, i);
        slot_clear(SINT);
    }
}

TEST(delivery_time_of_a_late_message, "stimer.message.delivery-late")
{
    NEEDS_TIMES();
    message_slot(SINT)->type = 7;
    uint64_t due = ref_time() + 500;
    timer_start(0, due, HV_STIMER_SINT(SINT));
    wait_100ns(8000);
    uint64_t from = ref_time();
    slot_clear(SINT);
    wrmsr(HV_X64_MSR_EOM, 0);
    REQUIRE(slot_fills(SINT), "lost");
    uint64_t now = ref_time();
    EXPECT_EQ(timer_payload(SINT)->expiration_time_100ns, due);
    EXPECT(timer_payload(SINT)->delivery_time_100ns >= from && timer_payload(SINT)->delivery_time_100ns <= now,
           "delivery at %lu, the slot was free from %lu to %lu", timer_payload(SINT)->delivery_time_100ns, from, now);
}

TEST(message_waits_for_its_slot, "stimer.message.waits")
{
    NEEDS_TIMES();
    timer_message(0, SINT);
    REQUIRE(slot_fills(SINT));
    timer_message(1, SINT);
    wait_100ns(SILENCE_100NS);
    EXPECT_EQ(timer_payload(SINT)->timer_index, 0);
    slot_clear(SINT);
    EXPECT(message_slot(SINT)->flags & HV_MESSAGE_PENDING, "MessagePending is clear");
    wrmsr(HV_X64_MSR_EOM, 0);
    EXPECT(slot_full(SINT), "EOM brought nothing");
    EXPECT_EQ(timer_payload(SINT)->timer_index, 1);
}

TEST(no_message_without_synic, "stimer.message.synic-off")
{
    NEEDS_TIMES();
    wrmsr(HV_X64_MSR_SCONTROL, 0);
    timer_message(0, SINT);
    wait_100ns(SILENCE_100NS);
    EXPECT(!slot_full(SINT), "a message with the SynIC off");
    wrmsr(HV_X64_MSR_SCONTROL, 1);
    uint64_t page = rdmsr(HV_X64_MSR_SIMP);
    wrmsr(HV_X64_MSR_SIMP, page & ~1ULL);
    timer_message(1, SINT + 1);
    wait_100ns(SILENCE_100NS);
    EXPECT(!slot_full(SINT + 1), "a message in the RAM below the page");
    wrmsr(HV_X64_MSR_SIMP, page);
    timer_message(2, SINT + 2);
    EXPECT(slot_fills(SINT + 2), "the timers are broken");
}

TEST(message_mode_without_synic, "stimer.message.needs-synic")
{
    NEEDS_THAT(has(AccessSyntheticTimerRegs) && !has(AccessSynicRegs), "only for timers without a SynIC");
    irqs(true);
    EXPECT(wrmsr_try(count_msr(0), 1) == NO_FAULT);
    EXPECT(wrmsr_try(config_msr(0), HV_STIMER_ENABLED | HV_STIMER_SINT(SINT)) == NO_FAULT);
    spin_100ns(5000);
    irqs(false);
    for (unsigned vector = 32; vector < VECTOR_KICK; vector++) {
        EXPECT(irq_count(vector) == 0, "vector 0x%x", vector);
    }
}

/* ---- periodic ---- */

enum { PERIOD_100NS = 2000 };

TEST(periodic_rate, "stimer.periodic.rate")
{
    NEEDS_TIMES();
    uint64_t from = ref_time();
    timer_start(0, PERIOD_100NS, HV_STIMER_PERIODIC | HV_STIMER_SINT(SINT));
    for (unsigned i = 1; i <= 20; i++) {
        REQUIRE(slot_fills(SINT), "only %u expirations", i - 1);
        message_done(SINT);
    }
    uint64_t time = ref_time() - from;
    EXPECT(time >= 20 * PERIOD_100NS && time < 21 * PERIOD_100NS, "20 periods took %lu", time);
}

TEST(periodic_first_period, "stimer.periodic.first")
{
    NEEDS_TIMES();
    wrmsr(config_msr(0), 0);
    wrmsr(count_msr(0), PERIOD_100NS);
    wait_100ns(3 * PERIOD_100NS); /* time before the timer is enabled is no matter */
    uint64_t before = ref_time();
    wrmsr(config_msr(0), HV_STIMER_ENABLED | HV_STIMER_PERIODIC | HV_STIMER_SINT(SINT));
    uint64_t after = ref_time();
    REQUIRE(slot_fills(SINT));
    uint64_t expiration = timer_payload(SINT)->expiration_time_100ns;
    EXPECT(expiration >= before + PERIOD_100NS && expiration <= after + PERIOD_100NS, "expired at %lu, enabled at %lu",
           expiration, before);
}

TEST(periodic_expiration_times, "stimer.message.expiration-periodic")
{
    NEEDS_TIMES();
    timer_start(0, PERIOD_100NS, HV_STIMER_PERIODIC | HV_STIMER_SINT(SINT));
    uint64_t last = 0;
    for (unsigned i = 0; i < 5; i++) {
        REQUIRE(slot_fills(SINT));
        uint64_t expiration = timer_payload(SINT)->expiration_time_100ns;
        EXPECT(last == 0 || expiration == last + PERIOD_100NS, "%lu after the one before", expiration - last);
        last = expiration;
        message_done(SINT);
    }
}

TEST(periodic_stays_enabled, "stimer.periodic.stays-enabled")
{
    NEEDS_TIMES();
    timer_start(0, PERIOD_100NS, HV_STIMER_PERIODIC | HV_STIMER_SINT(SINT));
    for (unsigned i = 0; i < 3; i++) {
        REQUIRE(slot_fills(SINT));
        EXPECT(enabled(0), "disabled after expiration %u", i + 1);
        EXPECT_EQ(rdmsr(count_msr(0)), PERIOD_100NS);
        message_done(SINT);
    }
}

TEST(periodic_stops, "stimer.periodic.disable")
{
    NEEDS_TIMES();
    timer_start(0, PERIOD_100NS, HV_STIMER_PERIODIC | HV_STIMER_SINT(SINT));
    REQUIRE(slot_fills(SINT));
    wrmsr(config_msr(0), HV_STIMER_PERIODIC | HV_STIMER_SINT(SINT));
    message_done(SINT);
    if (slot_full(SINT)) { /* one that was under way already */
        message_done(SINT);
    }
    wait_100ns(5 * PERIOD_100NS);
    EXPECT(!slot_full(SINT), "a message after it was disabled");
}

TEST(shortest_period_lets_the_guest_run, "stimer.periodic.short")
{
    NEEDS_TIMES();
    sint_on(SINT, VECTOR_A, 0);
    irqs(true);
    timer_start(0, 1, HV_STIMER_PERIODIC | HV_STIMER_SINT(SINT));
    uint64_t from = ref_time();
    for (volatile unsigned i = 0; i < 10000; i++) {
        if (slot_full(SINT)) {
            message_done(SINT);
        }
    }
    uint64_t time = ref_time() - from;
    irqs(false);
    wrmsr(config_msr(0), 0);
    EXPECT(irq_count(VECTOR_A) != 0, "no interrupt");
    EXPECT(time < 1000000, "10000 rounds took %lu", time);
}

TEST(periodic_after_a_busy_slot, "stimer.periodic.catch-up")
{
    NEEDS_TIMES();
    message_slot(SINT)->type = 7;
    timer_start(0, PERIOD_100NS, HV_STIMER_PERIODIC | HV_STIMER_SINT(SINT));
    wait_100ns(6 * PERIOD_100NS);
    EXPECT_EQ(message_slot(SINT)->type, 7);
    slot_clear(SINT);
    wrmsr(HV_X64_MSR_EOM, 0);
    for (unsigned i = 0; i < 4; i++) {
        EXPECT(slot_fills(SINT), "message %u", i + 1);
        message_done(SINT);
    }
}

TEST(lazy_is_never_early, "stimer.lazy.never-early")
{
    NEEDS_TIMES();
    expect_not_early(HV_STIMER_LAZY);
}

TEST(lazy_periodic_goes_on, "stimer.lazy.periodic")
{
    NEEDS_TIMES();
    uint64_t from = ref_time();
    timer_start(0, PERIOD_100NS, HV_STIMER_PERIODIC | HV_STIMER_LAZY | HV_STIMER_SINT(SINT));
    for (unsigned i = 1; i <= 5; i++) {
        REQUIRE(slot_fills(SINT), "only %u expirations", i - 1);
        EXPECT(ref_time() >= from + i * PERIOD_100NS, "expiration %u is early", i);
        message_done(SINT);
    }
}

/* ---- direct mode ---- */

static uint64_t direct(unsigned vector)
{
    return HV_STIMER_DIRECT | HV_STIMER_APIC_VECTOR(vector);
}

static volatile uint64_t handler_time;

static void note_time(unsigned vector)
{
    handler_time = ref_time();
}

TEST(direct_interrupts, "stimer.direct.interrupt", "stimer.direct.one-shot")
{
    NEEDS_DIRECT();
    irq_on(VECTOR_A, note_time);
    irqs(true);
    for (unsigned timer = 0; timer < STIMERS; timer++) {
        uint64_t due = ref_time() + 1000;
        timer_start(timer, due, direct(VECTOR_A));
        REQUIRE(WAIT_FOR(irq_count(VECTOR_A) == timer + 1, ARRIVAL_100NS), "timer %u", timer);
        EXPECT(handler_time >= due, "%lu too early", due - handler_time);
        EXPECT(!enabled(timer), "timer %u is still enabled", timer);
    }
    spin_100ns(3000);
    EXPECT_EQ(irq_count(VECTOR_A), STIMERS);
}

TEST(direct_sends_no_message, "stimer.direct.no-message")
{
    NEEDS_DIRECT();
    NEEDS(AccessSynicRegs);
    REQUIRE(synic_open());
    irqs(true);
    timer_start(0, ref_time() + 100, direct(VECTOR_A) | HV_STIMER_SINT(SINT));
    EXPECT(WAIT_FOR(irq_count(VECTOR_A) == 1, ARRIVAL_100NS), "no interrupt");
    for (unsigned sint = 0; sint < SINTS; sint++) {
        EXPECT(!slot_full(sint), "a message for SINT%u", sint);
    }
}

TEST(direct_ignores_sint, "stimer.direct.sint-zero")
{
    NEEDS_DIRECT();
    irqs(true);
    timer_start(0, ref_time() + 3000, direct(VECTOR_A) | HV_STIMER_SINT(0));
    EXPECT(enabled(0), "disabled");
    EXPECT(WAIT_FOR(irq_count(VECTOR_A) == 1, ARRIVAL_100NS), "no interrupt");
}

TEST(direct_without_synic, "stimer.direct.without-synic")
{
    NEEDS_DIRECT();
    if (has(AccessSynicRegs)) {
        EXPECT_EQ(rdmsr(HV_X64_MSR_SCONTROL) & 1, 0);
        EXPECT_EQ(rdmsr(HV_X64_MSR_SIMP) & 1, 0);
    }
    irqs(true);
    timer_start(0, ref_time() + 500, direct(VECTOR_A));
    EXPECT(WAIT_FOR(irq_count(VECTOR_A) == 1, ARRIVAL_100NS), "no interrupt");
}

TEST(direct_periodic, "stimer.direct.periodic")
{
    NEEDS_DIRECT();
    irqs(true);
    uint64_t from = ref_time();
    timer_start(0, PERIOD_100NS, direct(VECTOR_A) | HV_STIMER_PERIODIC);
    EXPECT(WAIT_FOR(irq_count(VECTOR_A) == 10, 20 * PERIOD_100NS), "%u interrupts", irq_count(VECTOR_A));
    uint64_t time = ref_time() - from;
    EXPECT(time >= 10 * PERIOD_100NS && time < 11 * PERIOD_100NS, "10 periods took %lu", time);
    EXPECT(enabled(0));
}

TEST(direct_needs_eoi, "stimer.direct.eoi")
{
    NEEDS_DIRECT();
    irq_eoi(VECTOR_A, false);
    irqs(true);
    timer_start(0, ref_time() + 100, direct(VECTOR_A));
    EXPECT(WAIT_FOR(irq_count(VECTOR_A) == 1, ARRIVAL_100NS), "no interrupt");
    EXPECT(lapic_bit(LAPIC_ISR, VECTOR_A), "not in the ISR");
    timer_start(0, ref_time() + 100, direct(VECTOR_A));
    spin_100ns(2000);
    EXPECT_EQ(irq_count(VECTOR_A), 1);
    EXPECT(lapic_bit(LAPIC_IRR, VECTOR_A), "the second does not wait in the IRR");
    lapic_write(LAPIC_EOI, 0);
    EXPECT(WAIT_FOR(irq_count(VECTOR_A) == 2, ARRIVAL_100NS), "EOI does not let it in");
}

TEST(direct_respects_priority, "stimer.direct.priority")
{
    NEEDS_DIRECT();
    irqs(true);
    lapic_write(LAPIC_TPR, VECTOR_A & 0xf0);
    timer_start(0, ref_time() + 100, direct(VECTOR_A));
    spin_100ns(2000);
    EXPECT(irq_count(VECTOR_A) == 0 && lapic_bit(LAPIC_IRR, VECTOR_A), "the priority does not hold it");
    lapic_write(LAPIC_TPR, 0);
    EXPECT(WAIT_FOR(irq_count(VECTOR_A) == 1, ARRIVAL_100NS), "it does not come in the end");
}

TEST(direct_withheld, "stimer.direct.withheld")
{
    NEEDS_THAT(has(AccessSyntheticTimerRegs) && !has(DirectSyntheticTimers), "direct mode is announced");
    irqs(true);
    wrmsr_try(count_msr(0), 1);
    wrmsr_try(config_msr(0), HV_STIMER_ENABLED | direct(VECTOR_A));
    spin_100ns(3000);
    EXPECT_EQ(irq_count(VECTOR_A), 0);
}

static bool anything_requested(void)
{
    uint32_t any = 0;
    for (unsigned vector = 0; vector < 256; vector += 32) {
        any |= lapic_read(LAPIC_IRR + vector / 2) | lapic_read(LAPIC_ISR + vector / 2);
    }
    return any != 0;
}

TEST(direct_vector_below_16, "stimer.direct.bad-vector")
{
    NEEDS_DIRECT();
    for (unsigned vector = 0; vector < 16; vector++) {
        wrmsr_try(config_msr(0), 0);
        wrmsr_try(count_msr(0), 1);
        wrmsr_try(config_msr(0), HV_STIMER_ENABLED | direct(vector));
        spin_100ns(200);
        EXPECT(!anything_requested(), "vector %u", vector);
    }
}
