/* Synthetic timers that send messages. TLFS 6.0b §12.5, §13.3.1, §11.3.2. */
#include "tests/unit/synic_fixture.h"

enum { CONFIG = 0x400000b0, COUNT = 0x400000b1 };
enum { ENABLE = 1, PERIODIC = 2, LAZY = 4, AUTO = 8, DIRECT = 1 << 12 };
#define SINT(n) ((uint64_t)(n) << 16)
#define MS 1000000ULL /* cycles at 1 GHz; 10000 units of 100 ns */

static void setup_profile(const char *profile)
{
    synic_setup(profile);
    synic_on(0, 2, 0x50);
}
static void setup(void)
{
    setup_profile("ws2019");
}
static void teardown(void)
{
    partition_destroy(p);
}
TestSuite(stimer_messages, .init = setup, .fini = teardown);

static void set(unsigned vp, unsigned timer, uint64_t config, uint64_t count)
{
    cr_assert(wr(p, vp, COUNT + 2 * timer, count) == MSR_OK && wr(p, vp, CONFIG + 2 * timer, config) == MSR_OK);
}

struct timer_payload { /* HV_TIMER_MESSAGE_PAYLOAD */
    uint32_t index, reserved;
    uint64_t expiration, delivery;
};
static struct timer_payload payload_of(unsigned vp, unsigned sint)
{
    struct slot s = slot_of(vp, sint);
    struct timer_payload t;
    cr_assert(s.type == 0x80000010 && s.payload_bytes == 24 && s.origin == 0, "type %x", s.type);
    memcpy(&t, s.payload, sizeof t);
    cr_assert_eq(t.reserved, 0);
    return t;
}

/* §13.3.1, and exactly at its cycle. */
Test(stimer_messages, each_timer_sends_its_message_at_the_first_cycle_of_its_count)
{
    for (unsigned timer = 0; timer < 4; timer++) {
        uint64_t count = 5000 * (timer + 1) + 3;
        set(0, timer, ENABLE | SINT(2), count);
        run_to(100 * count - 1);
        cr_expect(slot_of(0, 2).type == 0 && !irr(p, 0, 0x50));
        run_to(100 * count);
        struct timer_payload t = payload_of(0, 2);
        cr_expect(t.index == timer && t.expiration == count && t.delivery == count && irr(p, 0, 0x50));
        cr_expect_eq(rd(p, 0, CONFIG + 2 * timer), SINT(2), "a one-shot is disabled");
        irr_clear(p, 0, 0x50);
        slot_free(0, 2);
    }
}

Test(stimer_messages, a_message_goes_to_the_sint_and_vp_of_its_timer)
{
    synic_on(1, 15, 0x5f);
    set(1, 0, ENABLE | SINT(15), 100);
    run_to(MS);
    cr_expect(payload_of(1, 15).index == 0 && irr(p, 1, 0x5f) && slot_of(0, 15).type == 0 && !irr(p, 0, 0x5f));
}

/* §11.4: behind an occupied slot it waits, and says later when it was delivered. */
Test(stimer_messages, behind_an_occupied_slot_a_message_waits)
{
    cr_assert(post(0, 2, 7) == HV_STATUS_SUCCESS);
    set(0, 1, ENABLE | SINT(2), 1000);
    run_to(MS / 5);
    cr_expect(slot_of(0, 2).type == 7 && slot_of(0, 2).flags == 1);
    slot_free(0, 2);
    cr_assert(wr(p, 0, EOM, 0) == MSR_OK);
    cr_expect(payload_of(0, 2).expiration == 1000 && payload_of(0, 2).delivery == 2000);
}

Test(stimer_messages, timers_and_posts_share_a_queue_in_the_order_of_their_coming)
{
    cr_assert(post(0, 2, 7) == HV_STATUS_SUCCESS);
    set(0, 3, ENABLE | SINT(2), 1000);
    set(0, 0, ENABLE | SINT(2), 2000);
    run_to(MS / 10 + 1);
    cr_assert(post(0, 2, 8) == HV_STATUS_SUCCESS);
    run_to(MS / 4);
    static const uint32_t types[] = {0x80000010, 8, 0x80000010};
    for (size_t i = 0; i < ARRAY_COUNT(types); i++) {
        slot_free(0, 2);
        cr_assert(wr(p, 0, EOM, 0) == MSR_OK);
        cr_expect_eq(slot_of(0, 2).type, types[i]);
    }
}

/* §11.3.2: a buffer for each timer: none is ever lost for want of one, however full a port is. */
Test(stimer_messages, full_ports_do_not_hinder_a_timer)
{
    while (post(0, 2, 7) == HV_STATUS_SUCCESS) {
    }
    set(0, 0, ENABLE | SINT(2), 1000);
    run_to(MS / 2);
    for (unsigned i = 0; i < 17; i++) {
        cr_expect_eq(slot_of(0, 2).type, 7);
        slot_free(0, 2);
        cr_assert(wr(p, 0, EOM, 0) == MSR_OK);
    }
    cr_expect_eq(payload_of(0, 2).expiration, 1000);
}

Test(stimer_messages, periodic_messages_keep_the_schedule)
{
    set(0, 0, ENABLE | PERIODIC | SINT(2), 10000);
    for (uint64_t k = 1; k <= 20; k++) {
        run_to(k * MS);
        cr_expect(payload_of(0, 2).expiration == 10000 * k && payload_of(0, 2).delivery == 10000 * k);
        slot_free(0, 2);
    }
    cr_expect_eq(rd(p, 0, CONFIG), ENABLE | PERIODIC | SINT(2));
}

/* One message of a timer at a time: what expires meanwhile replaces it where it stands. */
Test(stimer_messages, of_a_timer_one_message_waits_the_last_one)
{
    cr_assert(post(0, 2, 7) == HV_STATUS_SUCCESS);
    set(0, 0, ENABLE | PERIODIC | SINT(2), 1000);
    run_to(MS / 10);
    cr_assert(post(0, 2, 8) == HV_STATUS_SUCCESS);
    run_to(MS / 2);
    set(0, 0, 0, 0);
    slot_free(0, 2);
    cr_assert(wr(p, 0, EOM, 0) == MSR_OK);
    cr_expect_eq(payload_of(0, 2).expiration, 5000, "before the post that came later");
    slot_free(0, 2);
    cr_assert(wr(p, 0, EOM, 0) == MSR_OK);
    cr_expect_eq(slot_of(0, 2).type, 8);
    slot_free(0, 2);
    cr_assert(wr(p, 0, EOM, 0) == MSR_OK);
    cr_expect_eq(slot_of(0, 2).type, 0);
}

/* Sent again to another SINT, it leaves the queue in which it waited. */
Test(stimer_messages, a_message_for_another_sint_leaves_the_old_queue)
{
    synic_on(0, 3, 0x51);
    cr_assert(post(0, 2, 7) == HV_STATUS_SUCCESS);
    set(0, 0, ENABLE | SINT(2), 1000);
    run_to(MS / 10);
    set(0, 0, ENABLE | SINT(3), 2000);
    run_to(MS / 5);
    cr_expect_eq(payload_of(0, 3).expiration, 2000);
    slot_free(0, 2);
    cr_assert(wr(p, 0, EOM, 0) == MSR_OK);
    cr_expect_eq(slot_of(0, 2).type, 0);
}

Test(stimer_messages, a_stopped_timer_sends_nothing_more)
{
    set(0, 0, ENABLE | SINT(2), 1000);
    cr_assert(wr(p, 0, CONFIG, SINT(2)) == MSR_OK);
    set(0, 1, ENABLE | AUTO | SINT(2), 1000);
    cr_assert(wr(p, 0, COUNT + 2, 0) == MSR_OK);
    run_to(MS);
    cr_expect_eq(slot_of(0, 2).type, 0);
}

/* A configuration written while the timer runs starts it anew by what it says now. */
Test(stimer_messages, mode_and_sint_may_change_under_way)
{
    synic_on(0, 3, 0x51);
    set(0, 0, ENABLE | SINT(2), 10000);
    run_to(MS / 2);
    cr_assert(wr(p, 0, CONFIG, ENABLE | SINT(3)) == MSR_OK);
    run_to(MS);
    cr_expect(slot_of(0, 2).type == 0 && payload_of(0, 3).expiration == 10000);
    set(0, 0, ENABLE | SINT(2), 20000);
    cr_assert(wr(p, 0, CONFIG, ENABLE | DIRECT | 0xee << 4) == MSR_OK);
    run_to(2 * MS);
    cr_expect(slot_of(0, 2).type == 0 && irr(p, 0, 0xee));
}

Test(stimer_messages, linux_writes_config_first_and_counts_afterwards)
{
    cr_assert(wr(p, 0, CONFIG, ENABLE | AUTO | SINT(2)) == MSR_OK);
    cr_expect_eq(rd(p, 0, CONFIG), AUTO | SINT(2));
    for (uint64_t k = 1; k <= 3; k++) {
        cr_assert(wr(p, 0, COUNT, 1000 * k) == MSR_OK);
        cr_expect_eq(rd(p, 0, CONFIG), ENABLE | AUTO | SINT(2));
        run_to(MS / 10 * k);
        cr_expect_eq(payload_of(0, 2).expiration, 1000 * k);
        slot_free(0, 2);
    }
    cr_assert(wr(p, 0, COUNT, 1) == MSR_OK);
    run_to(MS / 2);
    cr_expect(payload_of(0, 2).expiration == 1 && payload_of(0, 2).delivery == 3000, "the past is at once");
}

/* §11.8.5, §11.4: masked or polled, the message comes without an interrupt. */
Test(stimer_messages, masked_and_polled_sints_get_the_message_alone)
{
    static const uint64_t values[] = {0x50 | MASKED, 0x50 | POLLING};
    for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
        uint64_t now = rd(p, 0, 0x40000020);
        cr_assert(wr(p, 0, SINT0 + 2, values[i]) == MSR_OK);
        set(0, 0, ENABLE | SINT(2), now + 100);
        run_to(machine_now(p->machine) + MS);
        cr_expect(payload_of(0, 2).expiration == now + 100 && !irr(p, 0, 0x50));
        slot_free(0, 2);
    }
}

/* With the SynIC off it waits (§11.4), and comes when the SynIC does. */
Test(stimer_messages, without_synic_the_message_waits_for_it)
{
    cr_assert(wr(p, 0, SCONTROL, 0) == MSR_OK);
    set(0, 0, ENABLE | SINT(2), 100);
    run_to(MS);
    cr_expect_eq(slot_of(0, 2).type, 0);
    cr_assert(wr(p, 0, SCONTROL, 1) == MSR_OK);
    cr_expect(payload_of(0, 2).expiration == 100 && payload_of(0, 2).delivery == 10000);
}

/* Before 5.0 vector and mode are RsvdZ. */
Test(stimer_messages_2_0, without_direct_mode_its_bits_fault)
{
    setup_profile("ws2008r2");
    set(0, 0, SINT(2), 100);
    for (unsigned bit = 4; bit < 64; bit++) {
        if (bit < 16 || bit > 19) {
            cr_expect(wr(p, 0, CONFIG, SINT(2) | 1ULL << bit) == MSR_GP, "bit %u", bit);
        }
    }
    cr_expect_eq(rd(p, 0, CONFIG), SINT(2));
    cr_assert(wr(p, 0, CONFIG, ENABLE | SINT(2)) == MSR_OK);
    run_to(MS);
    cr_expect_eq(payload_of(0, 2).expiration, 100);
    teardown();
}

Test(stimer_messages, what_is_under_way_goes_through_a_file)
{
    struct partition *q = partition_of("ws2019", 2, GHZ, VENDOR_AMD);
    cr_assert(post(0, 2, 7) == HV_STATUS_SUCCESS);
    set(0, 0, ENABLE | PERIODIC | SINT(2), 777);
    set(0, 1, ENABLE | SINT(2), 1000);
    run_to(MS / 5);
    slot_free(0, 2);
    cr_assert(through_file(q));
    run_to(3 * MS);
    cr_assert(partition_run(q, 3 * MS) == PARTITION_UNTIL);
    cr_expect(digest_equal(digest_of(p), digest_of(q)));
    partition_destroy(q);
}
