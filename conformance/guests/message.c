/* Messages: queues, slots, what makes the hypervisor look at them, and the interrupt of a SINT. TLFS 6.0b §11.3, §11.4,
 * §11.8.5, §11.8.6, §11.10.
 *
 * Posted ones come through the ports of synic_use.h, timers' ones from the VP itself. "At once" means: when the instruction
 * that causes it is over.
 */
#include "synic_use.h"

enum { LAPIC_TMR = 0x180, SVR_ENABLED = 0x100 };

/* Takes the interrupts that are pending and closes the door again. */
static void take_interrupts(void)
{
    irqs(true);
    __asm__ volatile("nop; nop" ::: "memory");
    irqs(false);
}

static void be_silent(void)
{
    bool before = irqs(true);
    spin_100ns(SILENCE_100NS);
    irqs(before);
}

/* ---- as created ---- */

static void count_full_slots(void *arg)
{
    if (!EXPECT(synic_enable())) {
        return;
    }
    eom();
    for (unsigned sint = 0; sint < SINTS; sint++) {
        *(unsigned *)arg += slot_full(sint);
    }
}

TEST(fresh_queues_are_empty, "message.queue.empty-at-creation")
{
    NEEDS(AccessSynicRegs);
    smp_start();
    for (unsigned vp = 0; vp < vp_count(); vp++) {
        unsigned full = 0;
        on_vp(vp, count_full_slots, &full);
        EXPECT(full == 0, "VP %u finds %u messages", vp, full);
    }
}

/* ---- arrival ---- */

TEST(arrives_in_slot, "synic.scontrol.on-messages", "message.deliver.empty-slot", "port.post.accepted")
{
    NEEDS_POSTS();
    sint_on(SINT_MESSAGES, VECTOR_A, 0);
    irqs(true);
    EXPECT_EQ(post(CONNECTION_SINT3, 0x1122334455667788), HV_STATUS_SUCCESS);
    REQUIRE(slot_fills(SINT_MESSAGES), "nothing arrived");
    EXPECT_EQ(message_number(SINT_MESSAGES), 0x1122334455667788);
    EXPECT_FOR("message.deliver.empty-slot", WAIT_FOR(irq_count(VECTOR_A) == 1, ARRIVAL_100NS), "no interrupt");
}

TEST(synic_off_receives_nothing, "synic.scontrol.off-messages")
{
    NEEDS_POSTS();
    sint_on(SINT_MESSAGES, VECTOR_A, 0);
    wrmsr(HV_X64_MSR_SCONTROL, 0);
    EXPECT(post(CONNECTION_SINT3, 1) != HV_STATUS_SUCCESS, "accepted");
    be_silent();
    EXPECT(!slot_full(SINT_MESSAGES));
    EXPECT_EQ(irq_count(VECTOR_A), 0);
}

TEST(slot_by_sint, "synic.pages.message-slots")
{
    NEEDS_TIMERS();
    for (unsigned sint = 1; sint < SINTS; sint++) { /* a timer cannot have SINT0 */
        timer_message(0, sint);
        EXPECT(slot_fills(sint), "SINT%u: its slot stays empty", sint);
        for (unsigned other = 0; other < SINTS; other++) {
            uint32_t type = *(volatile uint32_t *)(simp() + other * SLOT_BYTES);
            EXPECT((type != 0) == (other == sint), "SINT%u: slot %u holds type 0x%x", sint, other, type);
        }
        slot_clear(sint);
    }
}

TEST(header_of_a_guest_message, "message.header.type", "message.header.payload-size", "message.header.origin-port",
     "message.header.reserved", "port.post.input")
{
    NEEDS_POSTS();
    const uint64_t payload[3] = {1, 2, 3};
    EXPECT_EQ(post_with(CONNECTION_SINT3, 0x1234, payload, sizeof payload), HV_STATUS_SUCCESS);
    REQUIRE(slot_fills(SINT_MESSAGES), "nothing arrived");
    const struct hv_message *m = message_slot(SINT_MESSAGES);
    EXPECT_EQ_FOR("message.header.type", m->type, 0x1234);
    EXPECT_EQ_FOR("message.header.payload-size", m->payload_bytes, sizeof payload);
    EXPECT_EQ_FOR("message.header.origin-port", m->sender, PORT_SINT3);
    EXPECT_EQ_FOR("message.header.reserved", m->reserved, 0);
    EXPECT_EQ_FOR("message.header.reserved", m->flags & ~HV_MESSAGE_PENDING, 0);
    EXPECT_FOR("port.post.input", m->type == 0x1234 && m->payload[2] == 3);
}

static void expect_payload(uint32_t bytes)
{
    uint8_t sent[HV_MESSAGE_PAYLOAD_BYTES];
    for (unsigned i = 0; i < sizeof sent; i++) {
        sent[i] = (uint8_t)(i * 7 + 1);
    }
    EXPECT_EQ(post_with(CONNECTION_SINT3, 1, sent, bytes), HV_STATUS_SUCCESS);
    REQUIRE(slot_fills(SINT_MESSAGES), "nothing arrived");
    EXPECT_EQ(message_slot(SINT_MESSAGES)->payload_bytes, bytes);
    EXPECT(memcmp((const void *)(simp() + SINT_MESSAGES * SLOT_BYTES + 16), sent, bytes) == 0, "the payload differs");
}

TEST(payload_arrives_intact, "message.payload.intact", "port.post.first-bytes")
{
    NEEDS_POSTS();
    expect_payload(101);
}

TEST(largest_payload, "message.payload.max", "port.post.size-max")
{
    NEEDS_POSTS();
    expect_payload(240);
}

TEST(hypervisor_types_have_the_high_bit, "message.type.hypervisor-bit")
{
    NEEDS(AccessSyntheticTimerRegs);
    NEEDS_POSTS();
    timer_message(0, 2);
    EXPECT(slot_fills(2) && message_slot(2)->type >> 31 == 1, "a timer's type is 0x%x", message_slot(2)->type);
    post(CONNECTION_SINT3, 1);
    EXPECT(slot_fills(SINT_MESSAGES) && message_slot(SINT_MESSAGES)->type >> 31 == 0);
}

/* ---- full and empty slots ---- */

TEST(type_alone_decides, "message.deliver.type-decides", "message.type.none")
{
    NEEDS_POSTS();
    struct hv_message *m = message_slot(SINT_MESSAGES);
    memset(m, 0xff, sizeof *m);
    m->type = HvMessageTypeNone;
    EXPECT_EQ(post(CONNECTION_SINT3, 5), HV_STATUS_SUCCESS);
    EXPECT(slot_fills(SINT_MESSAGES), "the slot stays empty");
    EXPECT_EQ(message_number(SINT_MESSAGES), 5);
}

TEST(guest_write_blocks_slot, "message.deliver.guest-write-blocks")
{
    NEEDS_POSTS();
    struct hv_message *m = message_slot(SINT_MESSAGES);
    m->type = 7;
    m->payload[0] = 0x77;
    EXPECT_EQ(post(CONNECTION_SINT3, 5), HV_STATUS_SUCCESS);
    be_silent();
    EXPECT(m->type == 7 && m->payload[0] == 0x77, "type %u, payload 0x%lx", m->type, m->payload[0]);
    slot_clear(SINT_MESSAGES);
    eom();
    EXPECT(slot_fills(SINT_MESSAGES) && message_number(SINT_MESSAGES) == 5);
}

TEST(busy_slot_keeps_message_queued, "message.deliver.busy-slot")
{
    NEEDS_POSTS();
    sint_on(SINT_MESSAGES, VECTOR_A, 0);
    EXPECT_EQ(post(CONNECTION_SINT3, 1), HV_STATUS_SUCCESS);
    REQUIRE(slot_fills(SINT_MESSAGES), "nothing arrived");
    take_interrupts();
    EXPECT_EQ(post(CONNECTION_SINT3, 2), HV_STATUS_SUCCESS);
    be_silent();
    EXPECT_EQ(message_number(SINT_MESSAGES), 1);
    EXPECT_EQ(irq_count(VECTOR_A), 1);
}

TEST(busy_sint_holds_no_other, "message.queue.per-sint")
{
    NEEDS_TIMERS();
    message_slot(2)->type = 7;
    timer_message(0, 2);
    timer_message(1, 4);
    EXPECT(slot_fills(4) && message_timer(4) == 1);
    EXPECT_EQ(message_slot(2)->type, 7);
}

struct arrival {
    bool filled;
    unsigned slots;
};

static void message_to_self(void *arg)
{
    struct arrival *a = arg;
    if (!EXPECT(synic_open())) {
        return;
    }
    timer_message(0, 2);
    a->filled = slot_fills(2);
    for (unsigned sint = 0; sint < SINTS; sint++) {
        a->slots += slot_full(sint);
    }
}

TEST(busy_vp_holds_no_other, "message.queue.per-vp")
{
    NEEDS_TIMERS();
    NEEDS_THAT(vp_count() > 1, "one VP");
    smp_start();
    message_slot(2)->type = 7;
    timer_message(0, 2);
    struct arrival a = {0};
    on_vp(1, message_to_self, &a);
    EXPECT(a.filled, "VP 1 gets nothing");
    EXPECT_EQ(message_slot(2)->type, 7);
}

TEST(timer_message_stays_on_its_vp, "message.deliver.right-vp")
{
    NEEDS_TIMERS();
    NEEDS_THAT(vp_count() > 1, "one VP");
    smp_start();
    struct arrival a = {0};
    on_vp(1, message_to_self, &a);
    EXPECT(a.filled && a.slots == 1, "VP 1 has %u messages", a.slots);
    for (unsigned sint = 0; sint < SINTS; sint++) {
        EXPECT(!slot_full(sint), "VP 0 has one for SINT%u", sint);
    }
}

TEST(timers_have_their_own_buffers, "message.buffers.timer")
{
    NEEDS_TIMERS();
    message_slot(2)->type = 7;
    for (unsigned timer = 0; timer < STIMERS; timer++) {
        timer_message(timer, 2);
    }
    spin_100ns(SILENCE_100NS);
    unsigned seen = 0;
    for (unsigned i = 0; i < STIMERS; i++) {
        slot_clear(2);
        eom();
        REQUIRE(slot_fills(2), "only %u of four arrived", i);
        seen |= 1u << message_timer(2) % 32;
    }
    EXPECT(seen == 0xf, "timers 0x%x", seen);
}

TEST(pending_flag, "message.pending.set", "message.pending.clear")
{
    NEEDS_POSTS();
    struct hv_message *m = message_slot(SINT_MESSAGES);
    post(CONNECTION_SINT3, 1);
    REQUIRE(slot_fills(SINT_MESSAGES), "nothing arrived");
    spin_100ns(SILENCE_100NS);
    EXPECT_FOR("message.pending.clear", !(m->flags & HV_MESSAGE_PENDING), "set with nothing behind it");
    post(CONNECTION_SINT3, 2);
    post(CONNECTION_SINT3, 3);
    spin_100ns(SILENCE_100NS);
    slot_clear(SINT_MESSAGES);
    EXPECT_FOR("message.pending.set", m->flags & HV_MESSAGE_PENDING, "clear although two wait");
    eom();
    REQUIRE(slot_fills(SINT_MESSAGES), "the second did not arrive");
    EXPECT_FOR("message.pending.set", m->flags & HV_MESSAGE_PENDING,
               "clear although the third came before the second was there");
    slot_clear(SINT_MESSAGES);
    eom();
    REQUIRE(slot_fills(SINT_MESSAGES), "the third did not arrive");
    EXPECT_FOR("message.pending.clear", !(m->flags & HV_MESSAGE_PENDING), "set in the last one");
}

/* ---- EOM, EOI and what else makes the hypervisor look ---- */

TEST(eom_without_messages, "synic.eom.no-op")
{
    NEEDS(AccessSynicRegs);
    REQUIRE(synic_open());
    for (unsigned sint = 0; sint < SINTS; sint++) {
        sint_on(sint, VECTOR_A, 0);
        message_slot(sint)->payload[29] = sint;
    }
    eom();
    be_silent();
    EXPECT_EQ(irq_count(VECTOR_A), 0);
    for (unsigned sint = 0; sint < SINTS; sint++) {
        EXPECT(!slot_full(sint) && message_slot(sint)->payload[29] == sint, "slot %u has changed", sint);
    }
}

TEST(eom_delivers_next, "synic.eom.delivers", "synic.eom.interrupts", "message.rescan.eom")
{
    NEEDS_POSTS();
    sint_on(SINT_MESSAGES, VECTOR_A, 0);
    post(CONNECTION_SINT3, 1);
    post(CONNECTION_SINT3, 2);
    REQUIRE(slot_fills(SINT_MESSAGES), "nothing arrived");
    take_interrupts();
    EXPECT_EQ(message_number(SINT_MESSAGES), 1);
    EXPECT_FOR("synic.eom.interrupts", !lapic_bit(LAPIC_IRR, VECTOR_A));
    slot_clear(SINT_MESSAGES);
    eom();
    EXPECT(slot_full(SINT_MESSAGES), "the slot is still empty");
    EXPECT_EQ(message_number(SINT_MESSAGES), 2);
    EXPECT_FOR("synic.eom.interrupts", lapic_bit(LAPIC_IRR, VECTOR_A), "no interrupt is pending");
}

TEST(eom_drains_masked_sint, "synic.eom.drains-masked")
{
    NEEDS_POSTS();
    sint_on(SINT_MESSAGES, VECTOR_A, HV_SYNIC_SINT_MASKED);
    for (unsigned i = 1; i <= 5; i++) {
        EXPECT_EQ(post(CONNECTION_SINT3, i), HV_STATUS_SUCCESS);
    }
    REQUIRE(slot_fills(SINT_MESSAGES), "nothing arrived");
    for (unsigned i = 1; i <= 5; i++) {
        EXPECT(slot_full(SINT_MESSAGES) && message_number(SINT_MESSAGES) == i, "message %u", i);
        slot_clear(SINT_MESSAGES);
        eom();
    }
    EXPECT(!slot_full(SINT_MESSAGES));
    EXPECT(!lapic_bit(LAPIC_IRR, VECTOR_A), "an interrupt is pending");
}

TEST(eom_respects_busy_slot, "synic.eom.busy-slot")
{
    NEEDS_POSTS();
    post(CONNECTION_SINT3, 1);
    post(CONNECTION_SINT3, 2);
    REQUIRE(slot_fills(SINT_MESSAGES), "nothing arrived");
    eom();
    EXPECT_EQ(message_number(SINT_MESSAGES), 1);
    spin_100ns(SILENCE_100NS);
    EXPECT_EQ(message_number(SINT_MESSAGES), 1);
}

/* The page off, EOM, the page on again: nothing went into the RAM below, nothing is lost. */
static void expect_queued_while_off(bool write_eom)
{
    post(CONNECTION_SINT3, 1);
    post(CONNECTION_SINT3, 2);
    REQUIRE(slot_fills(SINT_MESSAGES), "nothing arrived");
    slot_clear(SINT_MESSAGES);
    uint64_t page = rdmsr(HV_X64_MSR_SIMP);
    wrmsr(HV_X64_MSR_SIMP, page & ~1ULL);
    if (write_eom) {
        eom();
    }
    spin_100ns(SILENCE_100NS);
    EXPECT(!slot_full(SINT_MESSAGES), "the RAM below has a message");
    wrmsr(HV_X64_MSR_SIMP, page);
    eom();
    EXPECT(slot_fills(SINT_MESSAGES), "the message is lost");
    EXPECT_EQ(message_number(SINT_MESSAGES), 2);
}

TEST(eom_needs_the_page, "synic.eom.page-off")
{
    NEEDS_POSTS();
    expect_queued_while_off(true);
}

TEST(queued_while_page_off, "message.target.page-off")
{
    NEEDS_POSTS();
    expect_queued_while_off(false);
}

TEST(eom_scans_every_queue, "synic.eom.all-queues")
{
    NEEDS_TIMERS();
    message_slot(2)->type = message_slot(9)->type = 7;
    timer_message(0, 2);
    timer_message(1, 9);
    spin_100ns(SILENCE_100NS);
    slot_clear(2);
    slot_clear(9);
    eom();
    EXPECT(slot_full(2), "SINT2's message waits still");
    EXPECT(slot_full(9), "SINT9's message waits still");
}

TEST(eoi_delivers_next, "message.rescan.eoi", "message.rescan.interrupt")
{
    NEEDS_POSTS();
    irq_eoi(VECTOR_A, false);
    sint_on(SINT_MESSAGES, VECTOR_A, 0);
    post(CONNECTION_SINT3, 1);
    post(CONNECTION_SINT3, 2);
    REQUIRE(slot_fills(SINT_MESSAGES), "nothing arrived");
    take_interrupts();
    EXPECT_EQ(irq_count(VECTOR_A), 1);
    slot_clear(SINT_MESSAGES);
    lapic_write(LAPIC_EOI, 0);
    EXPECT(slot_full(SINT_MESSAGES) && message_number(SINT_MESSAGES) == 2, "EOI brought nothing");
    EXPECT_FOR("message.rescan.interrupt", lapic_bit(LAPIC_IRR, VECTOR_A), "no interrupt is pending");
}

TEST(new_message_delivers_next, "message.rescan.queued")
{
    NEEDS_POSTS();
    post(CONNECTION_SINT3, 1);
    post(CONNECTION_SINT3, 2);
    REQUIRE(slot_fills(SINT_MESSAGES), "nothing arrived");
    slot_clear(SINT_MESSAGES);
    post(CONNECTION_SINT3, 3);
    REQUIRE(slot_full(SINT_MESSAGES), "posting another one brought nothing");
    EXPECT_EQ(message_number(SINT_MESSAGES), 2);
    slot_clear(SINT_MESSAGES);
    eom();
    EXPECT(slot_fills(SINT_MESSAGES) && message_number(SINT_MESSAGES) == 3);
}

TEST(retried_without_eom, "message.rescan.later")
{
    NEEDS_POSTS();
    post(CONNECTION_SINT3, 1);
    post(CONNECTION_SINT3, 2);
    REQUIRE(slot_fills(SINT_MESSAGES), "nothing arrived");
    slot_clear(SINT_MESSAGES);
    EXPECT(WAIT_FOR(slot_full(SINT_MESSAGES), 100 * MS_100NS), "not delivered within 100 ms");
    EXPECT_EQ(message_number(SINT_MESSAGES), 2);
}

TEST(order_of_posting, "message.order.one-vp", "message.reliable.queued")
{
    NEEDS_POSTS();
    for (unsigned i = 1; i <= 12; i++) {
        EXPECT_EQ(post(CONNECTION_SINT3, i), HV_STATUS_SUCCESS);
    }
    for (unsigned i = 1; i <= 12; i++) {
        REQUIRE(slot_fills(SINT_MESSAGES), "message %u is lost", i);
        EXPECT(message_number(SINT_MESSAGES) == i, "message %u comes as number %lu", i, message_number(SINT_MESSAGES));
        slot_clear(SINT_MESSAGES);
        eom();
    }
}

/* ---- the SINT's interrupt ---- */

TEST(each_delivery_interrupts, "message.interrupt.each")
{
    NEEDS_POSTS();
    sint_on(SINT_MESSAGES, VECTOR_A, 0);
    irqs(true);
    for (unsigned i = 1; i <= 4; i++) {
        post(CONNECTION_SINT3, i);
        EXPECT(WAIT_FOR(irq_count(VECTOR_A) == i, ARRIVAL_100NS), "%u interrupts after %u messages", irq_count(VECTOR_A), i);
        message_done(SINT_MESSAGES);
    }
}

TEST(unmasked_sint_interrupts, "synic.sint.unmask")
{
    NEEDS_TIMERS();
    for (unsigned sint = 1; sint < SINTS; sint++) {
        unsigned vector = VECTOR_B + sint;
        sint_on(sint, vector, 0);
        irqs(true);
        timer_message(0, sint);
        EXPECT(WAIT_FOR(irq_count(vector) == 1, ARRIVAL_100NS), "SINT%u: %u interrupts", sint, irq_count(vector));
    }
}

static void expect_silent_message(uint64_t sint_bits)
{
    sint_on(2, VECTOR_A, sint_bits);
    irqs(true);
    timer_message(0, 2);
    EXPECT(slot_fills(2), "nothing arrived");
    be_silent();
    EXPECT_EQ(irq_count(VECTOR_A), 0);
}

TEST(masked_sint_is_silent, "synic.sint.masked-silent")
{
    NEEDS_TIMERS();
    expect_silent_message(HV_SYNIC_SINT_MASKED);
}

TEST(lost_interrupt_stays_lost, "synic.sint.not-replayed")
{
    NEEDS_TIMERS();
    expect_silent_message(HV_SYNIC_SINT_MASKED);
    sint_on(2, VECTOR_A, 0);
    be_silent();
    EXPECT(irq_count(VECTOR_A) == 0, "unmasking raised it");
}

TEST(polled_sint_is_silent, "synic.sint.polling-silent")
{
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    NEEDS(SintPollingModeAvailable);
    NEEDS_TIMERS();
    expect_silent_message(HV_SYNIC_SINT_POLLING);
}

static volatile bool isr_in_handler;

static void note_isr(unsigned vector)
{
    isr_in_handler = lapic_bit(LAPIC_ISR, vector);
}

TEST(auto_eoi_clears_isr, "synic.sint.auto-eoi-isr")
{
    NEEDS_TIMERS();
    irq_on(VECTOR_A, note_isr);
    irq_eoi(VECTOR_A, false);
    isr_in_handler = true;
    sint_on(2, VECTOR_A, HV_SYNIC_SINT_AUTO_EOI);
    irqs(true);
    timer_message(0, 2);
    EXPECT(WAIT_FOR(irq_count(VECTOR_A) == 1, ARRIVAL_100NS), "no interrupt");
    EXPECT(!isr_in_handler, "the ISR bit is set");
}

TEST(auto_eoi_needs_no_eoi, "synic.sint.auto-eoi-next")
{
    NEEDS_TIMERS();
    irq_eoi(VECTOR_A, false);
    sint_on(2, VECTOR_A, HV_SYNIC_SINT_AUTO_EOI);
    irqs(true);
    for (unsigned i = 1; i <= 3; i++) {
        timer_message(0, 2);
        EXPECT(WAIT_FOR(irq_count(VECTOR_A) == i, ARRIVAL_100NS), "%u interrupts after %u messages", irq_count(VECTOR_A), i);
        slot_clear(2);
    }
}

TEST(eoi_is_needed_without_auto_eoi, "synic.sint.explicit-eoi")
{
    NEEDS_TIMERS();
    irq_on(VECTOR_A, note_isr);
    irq_eoi(VECTOR_A, false);
    sint_on(2, VECTOR_A, 0);
    irqs(true);
    timer_message(0, 2);
    EXPECT(WAIT_FOR(irq_count(VECTOR_A) == 1, ARRIVAL_100NS), "no interrupt");
    EXPECT(isr_in_handler, "the ISR bit is clear in the handler");
    EXPECT(lapic_bit(LAPIC_ISR, VECTOR_A), "the ISR bit is gone without EOI");
    slot_clear(2);
    timer_message(1, 2);
    EXPECT(slot_fills(2), "the second did not arrive");
    be_silent();
    EXPECT_EQ(irq_count(VECTOR_A), 1);
    EXPECT(lapic_bit(LAPIC_IRR, VECTOR_A), "the second interrupt does not wait in the IRR");
    lapic_write(LAPIC_EOI, 0);
    EXPECT(WAIT_FOR(irq_count(VECTOR_A) == 2, ARRIVAL_100NS), "EOI does not let it in");
}

static void turn_auto_eoi_on(unsigned vector)
{
    sint_on(2, vector, HV_SYNIC_SINT_AUTO_EOI);
}

TEST(auto_eoi_spares_in_flight, "synic.sint.auto-eoi-in-flight")
{
    NEEDS_TIMERS();
    irq_on(VECTOR_A, turn_auto_eoi_on);
    irq_eoi(VECTOR_A, false);
    sint_on(2, VECTOR_A, 0);
    irqs(true);
    timer_message(0, 2);
    EXPECT(WAIT_FOR(irq_count(VECTOR_A) == 1, ARRIVAL_100NS), "no interrupt");
    EXPECT(lapic_bit(LAPIC_ISR, VECTOR_A), "the interrupt has ended by itself");
    lapic_write(LAPIC_EOI, 0);
    EXPECT(!lapic_bit(LAPIC_ISR, VECTOR_A), "EOI does not end it");
}

TEST(auto_eoi_can_be_turned_off, "synic.sint.auto-eoi-off")
{
    NEEDS_TIMERS();
    irq_on(VECTOR_A, note_isr);
    irq_eoi(VECTOR_A, false);
    sint_on(2, VECTOR_A, HV_SYNIC_SINT_AUTO_EOI);
    irqs(true);
    timer_message(0, 2);
    EXPECT(WAIT_FOR(irq_count(VECTOR_A) == 1, ARRIVAL_100NS), "no interrupt");
    slot_clear(2);
    sint_on(2, VECTOR_A, 0);
    timer_message(0, 2);
    EXPECT(WAIT_FOR(irq_count(VECTOR_A) == 2, ARRIVAL_100NS), "no second interrupt");
    EXPECT(isr_in_handler && lapic_bit(LAPIC_ISR, VECTOR_A), "the second one has ended by itself");
}

TEST(sints_may_share_a_vector, "synic.sint.shared-vector")
{
    NEEDS_TIMERS();
    sint_on(2, VECTOR_A, 0);
    sint_on(4, VECTOR_A, 0);
    irqs(true);
    timer_message(0, 2);
    EXPECT(WAIT_FOR(irq_count(VECTOR_A) == 1, ARRIVAL_100NS));
    timer_message(1, 4);
    EXPECT(WAIT_FOR(irq_count(VECTOR_A) == 2, ARRIVAL_100NS));
    EXPECT(slot_full(2) && message_timer(2) == 0);
    EXPECT(slot_full(4) && message_timer(4) == 1);
}

TEST(sint_interrupt_is_edge_triggered, "synic.sint.edge")
{
    NEEDS_TIMERS();
    sint_on(2, VECTOR_A, 0);
    timer_message(0, 2);
    EXPECT(slot_fills(2), "nothing arrived");
    EXPECT(lapic_bit(LAPIC_IRR, VECTOR_A), "no interrupt is pending");
    EXPECT(!lapic_bit(LAPIC_TMR, VECTOR_A), "it counts as level-triggered");
}

TEST(priority_holds_interrupt, "synic.sint.priority")
{
    NEEDS_TIMERS();
    sint_on(2, VECTOR_A, 0);
    lapic_write(LAPIC_TPR, VECTOR_A & 0xf0);
    timer_message(0, 2);
    EXPECT(slot_fills(2), "nothing arrived");
    be_silent();
    EXPECT_EQ(irq_count(VECTOR_A), 0);
    EXPECT(lapic_bit(LAPIC_IRR, VECTOR_A), "it does not wait in the IRR");
    lapic_write(LAPIC_TPR, (VECTOR_A & 0xf0) - 0x10);
    irqs(true);
    EXPECT(WAIT_FOR(irq_count(VECTOR_A) == 1, ARRIVAL_100NS), "a lower priority does not let it in");
}

TEST(interrupt_flag_holds_interrupt, "synic.sint.interrupt-flag")
{
    NEEDS_TIMERS();
    sint_on(2, VECTOR_A, 0);
    timer_message(0, 2);
    EXPECT(slot_fills(2), "nothing arrived");
    spin_100ns(SILENCE_100NS);
    EXPECT_EQ(irq_count(VECTOR_A), 0);
    EXPECT(lapic_bit(LAPIC_IRR, VECTOR_A), "it does not wait in the IRR");
    irqs(true);
    EXPECT(WAIT_FOR(irq_count(VECTOR_A) == 1, ARRIVAL_100NS), "STI does not let it in");
}

TEST(disabled_apic_loses_interrupt, "synic.sint.apic-off")
{
    NEEDS_TIMERS();
    sint_on(2, VECTOR_A, 0);
    lapic_write(LAPIC_SVR, VECTOR_SPURIOUS);
    timer_message(0, 2);
    EXPECT(slot_fills(2), "nothing arrived");
    lapic_write(LAPIC_SVR, SVR_ENABLED | VECTOR_SPURIOUS);
    be_silent();
    EXPECT_EQ(irq_count(VECTOR_A), 0);
    EXPECT(!lapic_bit(LAPIC_IRR, VECTOR_A));
}
