/* HvPostMessage: its refusals, its buffers, and what a child may not call. TLFS 6.0b §11.3.1, §11.11.1; 2.0 §14.9. */
#include "synic_use.h"

enum { HvCallCreatePort = 0x57, HvCallConnectPort = 0x59, HvCallSetPortProperty = 0x70, PORT_BUFFERS = 16 };

static bool nothing_arrives(void)
{
    spin_100ns(SILENCE_100NS);
    for (unsigned sint = 0; sint < SINTS; sint++) {
        if (slot_full(sint)) {
            return false;
        }
    }
    return true;
}

/* ---- buffers ---- */

/* The slot is the guest's, so nothing leaves the port's buffers. */
static unsigned posts_until_refused(uint32_t connection, unsigned sint, unsigned *status)
{
    message_slot(sint)->type = 7;
    unsigned accepted = 0;
    while (accepted < 4 * PORT_BUFFERS && (*status = post(connection, accepted)) == HV_STATUS_SUCCESS) {
        accepted++;
    }
    return accepted;
}

TEST(sixteen_buffers, "message.buffers.sixteen", "port.post.no-buffers")
{
    NEEDS_POSTS();
    unsigned status;
    EXPECT_EQ_FOR("message.buffers.sixteen", posts_until_refused(CONNECTION_SINT3, SINT_MESSAGES, &status), PORT_BUFFERS);
    EXPECT_EQ_FOR("port.post.no-buffers", status, HV_STATUS_INSUFFICIENT_BUFFERS);
}

TEST(buffer_is_freed_by_delivery, "synic.eom.frees-buffer")
{
    NEEDS_POSTS();
    unsigned status;
    posts_until_refused(CONNECTION_SINT3, SINT_MESSAGES, &status);
    EXPECT_EQ(status, HV_STATUS_INSUFFICIENT_BUFFERS);
    slot_clear(SINT_MESSAGES);
    eom();
    EXPECT(slot_fills(SINT_MESSAGES), "nothing arrived");
    EXPECT_EQ(post(CONNECTION_SINT3, 100), HV_STATUS_SUCCESS);
    EXPECT_EQ(post(CONNECTION_SINT3, 101), HV_STATUS_INSUFFICIENT_BUFFERS);
}

TEST(buffers_are_per_port, "message.buffers.per-port")
{
    NEEDS_POSTS();
    unsigned status;
    posts_until_refused(CONNECTION_SINT3, SINT_MESSAGES, &status);
    EXPECT_EQ(status, HV_STATUS_INSUFFICIENT_BUFFERS);
    EXPECT_EQ(post(CONNECTION_SINT5, 55), HV_STATUS_SUCCESS);
    EXPECT(slot_fills(SINT_MESSAGES_TOO) && message_number(SINT_MESSAGES_TOO) == 55, "nothing arrived");
}

TEST(timer_message_needs_no_port_buffer, "message.buffers.timer-not-port")
{
    NEEDS(AccessSyntheticTimerRegs);
    NEEDS_POSTS();
    unsigned status;
    posts_until_refused(CONNECTION_SINT3, SINT_MESSAGES, &status);
    EXPECT_EQ(status, HV_STATUS_INSUFFICIENT_BUFFERS);
    timer_message(0, SINT_MESSAGES);
    spin_100ns(SILENCE_100NS);
    bool timer_came = false;
    for (unsigned i = 0; i <= PORT_BUFFERS && !timer_came; i++) {
        slot_clear(SINT_MESSAGES);
        eom();
        timer_came = slot_fills(SINT_MESSAGES) && message_slot(SINT_MESSAGES)->type == (uint32_t)HvMessageTimerExpired;
    }
    EXPECT(timer_came, "the timer's message is lost");
}

/* ---- refusals ---- */

TEST(post_withheld_denied, "port.post.privilege")
{
    NEEDS_THAT(hv_present() && has(AccessHypercallMsrs) && !has(PostMessages), "PostMessages is announced");
    REQUIRE(hv_enable());
    EXPECT_EQ(post(CONNECTION_SINT3, 1), HV_STATUS_ACCESS_DENIED);
    EXPECT_EQ(post(CONNECTION_NONE, 1), HV_STATUS_ACCESS_DENIED);
}

TEST(post_unknown_connection, "port.post.bad-connection")
{
    NEEDS_POSTS();
    EXPECT_EQ(post(CONNECTION_NONE, 1), HV_STATUS_INVALID_CONNECTION_ID);
}

TEST(post_reserved_connection_bits, "port.post.reserved-id-bits")
{
    NEEDS_POSTS();
    for (unsigned bit = 24; bit < 32; bit++) {
        EXPECT(post(CONNECTION_SINT3 | 1u << bit, 1) == HV_STATUS_INVALID_CONNECTION_ID, "bit %u", bit);
    }
    EXPECT(nothing_arrives());
}

TEST(post_to_event_port, "port.post.event-port")
{
    NEEDS_POSTS();
    EXPECT_EQ(post(CONNECTION_EVENTS, 1), HV_STATUS_INVALID_PORT_ID);
}

TEST(connections_are_one_way, "port.one-way")
{
    NEEDS(SignalEvents);
    NEEDS_POSTS();
    EXPECT_EQ(post(CONNECTION_EVENTS, 1), HV_STATUS_INVALID_PORT_ID);
    EXPECT_EQ(signal(CONNECTION_SINT3, 0), HV_STATUS_INVALID_PORT_ID);
}

TEST(post_type_zero, "port.post.type-zero")
{
    NEEDS_POSTS();
    const uint64_t payload = 1;
    EXPECT_EQ(post_with(CONNECTION_SINT3, 0, &payload, 8), HV_STATUS_INVALID_PARAMETER);
    EXPECT(nothing_arrives());
}

TEST(post_hypervisor_type, "port.post.type-hypervisor")
{
    NEEDS_POSTS();
    const uint64_t payload = 1;
    const uint32_t types[] = {0x80000000, 0x80000010, 0xffffffff};
    for (unsigned i = 0; i < ARRAY_COUNT(types); i++) {
        EXPECT_EQ(post_with(CONNECTION_SINT3, types[i], &payload, 8), HV_STATUS_INVALID_PARAMETER);
    }
    EXPECT(nothing_arrives());
}

TEST(post_any_guest_type, "port.post.type-any")
{
    NEEDS_POSTS();
    const uint64_t payload = 1;
    const uint32_t types[] = {1, 2, 0x1000, 0x7fffffff};
    for (unsigned i = 0; i < ARRAY_COUNT(types); i++) {
        EXPECT_EQ(post_with(CONNECTION_SINT3, types[i], &payload, 8), HV_STATUS_SUCCESS);
        EXPECT(slot_fills(SINT_MESSAGES) && message_slot(SINT_MESSAGES)->type == types[i], "type 0x%x", types[i]);
        message_done(SINT_MESSAGES);
    }
}

TEST(post_payload_past_240, "port.post.size-past-max")
{
    NEEDS_POSTS();
    const uint32_t sizes[] = {241, 256, 4096, 0xffffffff};
    const uint64_t payload[HV_MESSAGE_PAYLOAD_BYTES / 8] = {0};
    for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++) {
        EXPECT_EQ(post_with(CONNECTION_SINT3, 1, payload, sizes[i]), HV_STATUS_INVALID_PARAMETER);
    }
    EXPECT(nothing_arrives());
}

TEST(post_empty_payload, "port.post.size-zero")
{
    NEEDS_POSTS();
    EXPECT_EQ(post_with(CONNECTION_SINT3, 9, "", 0), HV_STATUS_SUCCESS);
    EXPECT(slot_fills(SINT_MESSAGES), "nothing arrived");
    EXPECT_EQ(message_slot(SINT_MESSAGES)->type, 9);
    EXPECT_EQ(message_slot(SINT_MESSAGES)->payload_bytes, 0);
}

TEST(post_is_a_snapshot, "port.post.snapshot")
{
    NEEDS_POSTS();
    message_slot(SINT_MESSAGES)->type = 7;
    EXPECT_EQ(post(CONNECTION_SINT3, 0x1234), HV_STATUS_SUCCESS);
    memset(&post_input, 0xee, sizeof post_input);
    slot_clear(SINT_MESSAGES);
    eom();
    EXPECT(slot_fills(SINT_MESSAGES), "nothing arrived");
    EXPECT_EQ(message_number(SINT_MESSAGES), 0x1234);
    EXPECT_EQ(message_slot(SINT_MESSAGES)->type, 1);
}

TEST(post_to_disabled_synic, "port.post.synic-off")
{
    NEEDS_POSTS();
    wrmsr(HV_X64_MSR_SCONTROL, 0);
    EXPECT_EQ(post(CONNECTION_SINT3, 1), HV_STATUS_INVALID_SYNIC_STATE);
    wrmsr(HV_X64_MSR_SCONTROL, 1);
    EXPECT_EQ(post(CONNECTION_SINT3, 2), HV_STATUS_SUCCESS);
    EXPECT(slot_fills(SINT_MESSAGES) && message_number(SINT_MESSAGES) == 2, "the refused one arrived");
}

TEST(post_to_disabled_page, "port.post.page-off")
{
    NEEDS_POSTS();
    uint64_t page = rdmsr(HV_X64_MSR_SIMP);
    wrmsr(HV_X64_MSR_SIMP, page & ~1ULL);
    EXPECT_EQ(post(CONNECTION_SINT3, 1), HV_STATUS_INVALID_SYNIC_STATE);
    wrmsr(HV_X64_MSR_SIMP, page);
    EXPECT_EQ(post(CONNECTION_SINT3, 2), HV_STATUS_SUCCESS);
    EXPECT(slot_fills(SINT_MESSAGES) && message_number(SINT_MESSAGES) == 2, "the refused one arrived");
}

TEST(post_to_masked_sint, "port.post.masked")
{
    NEEDS_POSTS();
    sint_on(SINT_MESSAGES, VECTOR_A, HV_SYNIC_SINT_MASKED);
    EXPECT_EQ(post(CONNECTION_SINT3, 1), HV_STATUS_SUCCESS);
    EXPECT(slot_fills(SINT_MESSAGES), "nothing arrived");
}

TEST(refused_post_queues_nothing, "port.post.refused-queues-nothing")
{
    NEEDS_POSTS();
    const uint64_t payload = 1;
    for (unsigned i = 0; i < 2 * PORT_BUFFERS; i++) { /* nor do they use up buffers */
        EXPECT(post_with(CONNECTION_SINT3, 0, &payload, 8) != HV_STATUS_SUCCESS);
        EXPECT(post_with(CONNECTION_SINT3, 1, &payload, 241) != HV_STATUS_SUCCESS);
        EXPECT(post(CONNECTION_EVENTS, 1) != HV_STATUS_SUCCESS);
    }
    EXPECT(nothing_arrives());
    EXPECT_EQ(post(CONNECTION_SINT3, 2), HV_STATUS_SUCCESS);
    EXPECT(slot_fills(SINT_MESSAGES) && message_number(SINT_MESSAGES) == 2);
}

static void post_one(void *status)
{
    *(unsigned *)status = post(CONNECTION_SINT3, 0x111);
}

TEST(post_from_another_vp, "port.post.from-any-vp")
{
    NEEDS_POSTS();
    NEEDS_THAT(vp_count() > 1, "one VP");
    smp_start();
    unsigned status = ~0u;
    on_vp(1, post_one, &status);
    EXPECT_EQ(status, HV_STATUS_SUCCESS);
    EXPECT(slot_fills(SINT_MESSAGES) && message_number(SINT_MESSAGES) == 0x111, "nothing arrived");
}

/* ---- ports for any VP, and for none ---- */

/* What a VP receives through the port for any VP: its page is open, its slot is looked at until nothing comes any more. */
struct mailbox {
    unsigned messages;
    uint64_t numbers; /* bit N: message N came */
};

static void mailbox_open(void *unused)
{
    EXPECT(synic_open());
}

static void synic_off(void *unused)
{
    wrmsr(HV_X64_MSR_SCONTROL, 0);
}

static void mailbox_empty(void *arg)
{
    struct mailbox *m = arg;
    while (WAIT_FOR(slot_full(SINT_ANY_VP), SILENCE_100NS)) {
        m->messages++;
        m->numbers |= 1ULL << message_number(SINT_ANY_VP) % 64;
        slot_clear(SINT_ANY_VP);
        eom();
    }
}

TEST(post_to_any_vp, "message.target.any-vp")
{
    NEEDS_POSTS();
    NEEDS_THAT(vp_count() > 1, "one VP");
    smp_start();
    for (unsigned off = 0; off < 2; off++) { /* VP 0 without SynIC, then without page */
        REQUIRE(synic_open());
        on_vp(1, mailbox_open, NULL);
        wrmsr(off == 0 ? HV_X64_MSR_SCONTROL : HV_X64_MSR_SIMP, off == 0 ? 0 : simp());
        EXPECT_EQ(post(CONNECTION_ANY_VP, 5), HV_STATUS_SUCCESS);
        struct mailbox one = {0};
        on_vp(1, mailbox_empty, &one);
        EXPECT(one.messages == 1 && one.numbers == 1 << 5, "VP 1 gets %u messages", one.messages);
        EXPECT(!slot_full(SINT_ANY_VP), "VP 0 gets one");
    }
}

TEST(post_to_any_vp_once, "message.order.any-vp")
{
    NEEDS_POSTS();
    NEEDS_THAT(vp_count() > 1, "one VP");
    smp_start();
    on_vp(1, mailbox_open, NULL);
    for (unsigned i = 1; i <= 6; i++) {
        EXPECT_EQ(post(CONNECTION_ANY_VP, i), HV_STATUS_SUCCESS);
    }
    struct mailbox all = {0};
    on_vp(0, mailbox_empty, &all);
    on_vp(1, mailbox_empty, &all);
    EXPECT(all.messages == 6 && all.numbers == 0x7e, "%u messages, numbers 0x%lx", all.messages, all.numbers);
}

TEST(post_to_any_vp_all_off, "port.post.any-vp-off")
{
    NEEDS_POSTS();
    NEEDS_THAT(vp_count() > 1, "one VP");
    smp_start();
    on_vp(1, mailbox_open, NULL);
    wrmsr(HV_X64_MSR_SCONTROL, 0);
    EXPECT_EQ(post(CONNECTION_ANY_VP, 1), HV_STATUS_SUCCESS); /* VP 1 is there */
    struct mailbox one = {0};
    on_vp(1, mailbox_empty, &one);
    on_vp(1, synic_off, NULL);
    EXPECT_EQ(post(CONNECTION_ANY_VP, 2), HV_STATUS_INVALID_SYNIC_STATE);
    wrmsr(HV_X64_MSR_SCONTROL, 1);
    wrmsr(HV_X64_MSR_SIMP, simp()); /* a SynIC without a page is no target either */
    EXPECT_EQ(post(CONNECTION_ANY_VP, 3), HV_STATUS_INVALID_SYNIC_STATE);
}

TEST(post_to_missing_vp, "port.post.vp-gone")
{
    NEEDS_POSTS();
    EXPECT_EQ(post(CONNECTION_NO_VP, 1), HV_STATUS_INVALID_VP_INDEX);
}

/* ---- the parent's calls ---- */

TEST(port_calls_are_refused, "port.create.child-refused", "port.connect.child-refused", "port.property.child-refused")
{
    NEEDS_EDITION(EDITION_2_0, EDITION_4_0);
    NEEDS_THAT(hv_present() && has(AccessHypercallMsrs), "no hypercalls");
    NEEDS_THAT(!has(CreatePort) && !has(ConnectPort), "the partition may create or connect ports");
    REQUIRE(hv_enable());
    uint64_t *input = page_alloc(), output = gpa_of(page_alloc());
    EXPECT_EQ_FOR("port.create.child-refused", HV_STATUS_OF(hv_call(HvCallCreatePort, gpa_of(input), 0)),
                  HV_STATUS_ACCESS_DENIED);
    EXPECT_EQ_FOR("port.connect.child-refused", HV_STATUS_OF(hv_call(HvCallConnectPort, gpa_of(input), 0)),
                  HV_STATUS_ACCESS_DENIED);
    EXPECT_EQ_FOR("port.property.child-refused", HV_STATUS_OF(hv_call(HvCallSetPortProperty, gpa_of(input), output)),
                  HV_STATUS_ACCESS_DENIED);
}
