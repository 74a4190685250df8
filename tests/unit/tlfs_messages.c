/* SynIC messages: slots, queues, the occasions at which they are looked at; held slots; saved and restored. TLFS 6.0b §11.3,
 * §11.4. */
#include "tests/unit/synic_fixture.h"

#define MS 1000000ULL /* cycles at 1 GHz */

static void setup(void)
{
    synic_setup("ws2019");
    synic_on(0, 2, 0x50);
}
static void teardown(void)
{
    partition_destroy(p);
}
TestSuite(messages, .init = setup, .fini = teardown);

/* §11.10.4 */
Test(messages, a_slot_holds_header_and_payload)
{
    uint8_t payload[240];
    for (unsigned i = 0; i < sizeof payload; i++) {
        payload[i] = (uint8_t)(i + 1);
    }
    cr_assert(host_post(p, 0, 2, 0x7fffffff, payload, 240) == HV_STATUS_SUCCESS);
    struct slot s = slot_of(0, 2);
    cr_expect(s.type == 0x7fffffff && s.payload_bytes == 240 && s.flags == 0 && s.reserved == 0 && s.origin == 0);
    cr_expect_arr_eq(s.payload, payload, 240);
    cr_expect(irr(p, 0, 0x50));
}

/* §11.11.1: only the bytes of the message are sent. */
Test(messages, an_empty_message_is_a_header)
{
    cr_assert(host_post(p, 0, 2, 1, "", 0) == HV_STATUS_SUCCESS);
    cr_expect(slot_of(0, 2).type == 1 && slot_of(0, 2).payload_bytes == 0);
}

/* §11.4: it stays queued, no interrupt; the flag of the message in the slot tells. */
Test(messages, behind_an_occupied_slot_a_message_waits)
{
    cr_assert(post(0, 2, 7) == HV_STATUS_SUCCESS);
    irr_clear(p, 0, 0x50);
    cr_expect_eq(slot_of(0, 2).flags, 0);
    cr_assert(post(0, 2, 8) == HV_STATUS_SUCCESS);
    cr_expect(slot_of(0, 2).type == 7 && slot_of(0, 2).flags == 1 && !irr(p, 0, 0x50));
}

/* The guest's own type, written by hand, occupies it as well (§11.9: like RAM). */
Test(messages, any_type_but_zero_occupies_a_slot)
{
    static const uint32_t mine = 0x80000000;
    cr_assert(memory_write(p->machine->memory, gpa(sim_at(0) + 512), &mine, 4));
    cr_assert(post(0, 2, 7) == HV_STATUS_SUCCESS);
    cr_expect(slot_of(0, 2).type == mine && slot_of(0, 2).flags == 1 && !irr(p, 0, 0x50));
}

/* §11.8.6 */
Test(messages, eom_delivers_the_next_and_interrupts)
{
    for (uint32_t type = 1; type <= 3; type++) {
        cr_assert(post(0, 2, type) == HV_STATUS_SUCCESS);
    }
    for (uint32_t type = 1; type <= 3; type++) {
        struct slot s = slot_of(0, 2);
        cr_expect(s.type == type && s.flags == (type < 3), "%u", type);
        irr_clear(p, 0, 0x50);
        cr_assert(wr(p, 0, EOM, 0) == MSR_OK);
        cr_expect(slot_of(0, 2).type == type && !irr(p, 0, 0x50), "the slot is still in use");
        slot_free(0, 2);
        cr_assert(wr(p, 0, EOM, type) == MSR_OK);
        cr_expect_eq(irr(p, 0, 0x50), type < 3);
    }
    cr_expect_eq(slot_of(0, 2).type, 0);
}

Test(messages, eom_scans_all_sints_of_its_vp_and_no_other)
{
    synic_on(0, 3, 0x51);
    synic_on(1, 2, 0x52);
    for (uint32_t type = 1; type <= 2; type++) {
        cr_assert(post(0, 2, type) == HV_STATUS_SUCCESS && post(0, 3, type) == HV_STATUS_SUCCESS);
        cr_assert(post(1, 2, type) == HV_STATUS_SUCCESS);
    }
    slot_free(0, 2), slot_free(0, 3), slot_free(1, 2);
    cr_assert(wr(p, 0, EOM, 0) == MSR_OK);
    cr_expect(slot_of(0, 2).type == 2 && slot_of(0, 3).type == 2 && slot_of(1, 2).type == 0);
}

Test(messages, eom_drains_a_masked_sint_without_interrupts)
{
    cr_assert(wr(p, 0, SINT0 + 2, 0x50 | MASKED) == MSR_OK);
    cr_assert(post(0, 2, 1) == HV_STATUS_SUCCESS && post(0, 2, 2) == HV_STATUS_SUCCESS);
    slot_free(0, 2);
    cr_assert(wr(p, 0, EOM, 0) == MSR_OK);
    cr_expect(slot_of(0, 2).type == 2 && !irr(p, 0, 0x50));
}

Test(messages, eom_with_nothing_queued_changes_nothing)
{
    uint8_t before[PAGE_BYTES], after[PAGE_BYTES];
    cr_assert(memory_read(p->machine->memory, gpa(sim_at(0)), before, sizeof before));
    cr_assert(wr(p, 0, EOM, 0) == MSR_OK);
    cr_assert(memory_read(p->machine->memory, gpa(sim_at(0)), after, sizeof after));
    cr_expect_arr_eq(before, after, sizeof before);
    cr_expect(!irr(p, 0, 0x50) && events_next(p->machine->events) == CYCLE_NEVER);
}

/* §11.4: the EOI of the SINT's vector, by any way of writing it; that of another does not. */
Test(messages, the_eoi_of_the_vector_delivers_the_next)
{
    cr_assert(post(0, 2, 1) == HV_STATUS_SUCCESS && post(0, 2, 2) == HV_STATUS_SUCCESS);
    lapic_interrupt(p->vps[0].vcpu, 0x61, false);
    cr_assert(lapic_acknowledge(p->vps[0].vcpu) == 0x61);
    slot_free(0, 2);
    lapic_eoi(p->vps[0].vcpu);
    cr_expect_eq(slot_of(0, 2).type, 0);
    cr_assert(lapic_acknowledge(p->vps[0].vcpu) == 0x50);
    cr_assert(wr(p, 0, 0x40000070, 0) == MSR_OK);
    cr_expect(slot_of(0, 2).type == 2 && irr(p, 0, 0x50));
}

/* §11.4: without EOI or EOM it is tried again, "typically on the order of milliseconds". */
Test(messages, a_slot_freed_silently_is_found_after_a_while)
{
    cr_assert(post(0, 2, 1) == HV_STATUS_SUCCESS && post(0, 2, 2) == HV_STATUS_SUCCESS);
    run_to(MS / 2);
    slot_free(0, 2);
    run_to(MS / 2 + 1000);
    cr_expect_eq(slot_of(0, 2).type, 0);
    run_to(2 * MS);
    cr_expect_eq(slot_of(0, 2).type, 2);
    cr_expect_eq(events_next(p->machine->events), CYCLE_NEVER, "nothing waits any more");
}

Test(messages, those_that_come_do_not_put_the_others_off)
{
    cr_assert(post(0, 2, 1) == HV_STATUS_SUCCESS && post(0, 2, 2) == HV_STATUS_SUCCESS);
    slot_free(0, 2);
    for (unsigned i = 1; i <= 8; i++) {
        run_to(i * MS / 4);
        slot_free(1, 2); /* nothing of interest */
        synic_hold_slot(&p->vps[0], 3, 0);
    }
    cr_expect_eq(slot_of(0, 2).type, 2);
}

/* Queues are apart: one blocked SINT or VP blocks no other. */
Test(messages, queues_do_not_block_each_other)
{
    synic_on(0, 3, 0x51);
    synic_on(1, 2, 0x52);
    cr_assert(post(0, 2, 1) == HV_STATUS_SUCCESS && post(0, 2, 2) == HV_STATUS_SUCCESS);
    cr_expect(post(0, 3, 3) == HV_STATUS_SUCCESS && slot_of(0, 3).type == 3);
    cr_expect(post(1, 2, 4) == HV_STATUS_SUCCESS && slot_of(1, 2).type == 4);
}

/* §11.4: a VP whose SynIC or SIM page is off is no target, and what waits there waits on. */
Test(messages, with_synic_or_page_off_nothing_is_taken_or_delivered)
{
    static const struct {
        uint32_t msr;
        uint64_t off, on;
    } rows[] = {{SCONTROL, 0, 1}, {SIMP, SIM_AT, SIM_AT | 1}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        cr_assert(post(0, 2, 1) == HV_STATUS_SUCCESS && post(0, 2, 2) == HV_STATUS_SUCCESS);
        slot_free(0, 2);
        cr_assert(wr(p, 0, rows[i].msr, rows[i].off) == MSR_OK && wr(p, 0, EOM, 0) == MSR_OK);
        cr_expect_eq(post(0, 2, 3), HV_STATUS_INVALID_SYNIC_STATE);
        run_to(machine_now(p->machine) + 5 * MS);
        cr_assert(wr(p, 0, rows[i].msr, rows[i].on) == MSR_OK);
        cr_expect_eq(slot_of(0, 2).type, 2, "%zu: enabled again, it is looked at", i);
        slot_free(0, 2);
    }
    cr_assert(wr(p, 0, SIEFP, 0) == MSR_OK);
    cr_expect_eq(post(0, 2, 3), HV_STATUS_SUCCESS, "the page of event flags has no part in it");
}

/* §11.3.5: queues are empty after a reset. */
Test(messages, a_reset_empties_the_queues)
{
    for (unsigned i = 0; i < 5; i++) {
        cr_assert(post(0, 2, 1 + i) == HV_STATUS_SUCCESS);
    }
    partition_reset(p);
    apic_on(p);
    synic_on(0, 2, 0x50);
    cr_assert(wr(p, 0, EOM, 0) == MSR_OK);
    cr_expect(slot_of(0, 2).type == 0 && !irr(p, 0, 0x50));
    cr_expect_eq(events_next(p->machine->events), CYCLE_NEVER);
}

/* The guest must write the EOI for which a message waits, so it is offered no way around it (§10.3.5). */
Test(messages, what_waits_takes_the_lazy_eoi_away)
{
    struct vcpu *v = p->vps[0].vcpu;
    cr_assert(wr(p, 0, 0x40000073, 0x600001) == MSR_OK);
    cr_assert(post(0, 2, 1) == HV_STATUS_SUCCESS && lapic_acknowledge(v) == 0x50);
    cr_expect_eq(mem64(p, 0x600000), 1, "offered");
    cr_assert(post(0, 2, 2) == HV_STATUS_SUCCESS);
    cr_expect_eq(mem64(p, 0x600000), 0, "withdrawn");
    slot_free(0, 2);
    lapic_eoi(v);
    cr_expect_eq(slot_of(0, 2).type, 2);
    cr_assert(post(0, 2, 3) == HV_STATUS_SUCCESS && lapic_acknowledge(v) == 0x50);
    cr_expect_eq(mem64(p, 0x600000), 0, "not offered");
}

/* ---- held slots ---- */

Test(messages, a_held_slot_counts_as_busy_until_its_cycle)
{
    host_hold_slot(p, 0, 2, 3 * MS);
    cr_assert(post(0, 2, 7) == HV_STATUS_SUCCESS);
    cr_assert(wr(p, 0, EOM, 0) == MSR_OK);
    run_to(3 * MS - 1);
    cr_expect(slot_of(0, 2).type == 0 && !irr(p, 0, 0x50));
    run_to(3 * MS);
    cr_expect(slot_of(0, 2).type == 7 && irr(p, 0, 0x50));
}

/* ---- save and restore ---- */

Test(messages, what_waits_goes_through_a_file)
{
    struct partition *q = partition_of("ws2019", 2, GHZ, VENDOR_AMD);
    synic_on(1, 9, 0x52);
    host_hold_slot(p, 1, 9, 9 * MS);
    for (uint32_t type = 1; type <= 4; type++) {
        cr_assert(post(0, 2, type) == HV_STATUS_SUCCESS && post(1, 9, 0x100 + type) == HV_STATUS_SUCCESS);
    }
    cr_assert(post(0, 2, 0x7fffffff) == HV_STATUS_SUCCESS);
    slot_free(0, 2);
    cr_assert(through_file(q));
    cr_expect(digest_equal(digest_of(p), digest_of(q)));
    run_to(20 * MS);
    cr_assert(partition_run(q, 20 * MS) == PARTITION_UNTIL);
    cr_expect(digest_equal(digest_of(p), digest_of(q)));
    partition_destroy(p);
    p = q;
    for (uint32_t type = 2; type <= 4; type++) {
        cr_expect_eq(slot_of(0, 2).type, type);
        slot_free(0, 2);
        cr_assert(wr(p, 0, EOM, 0) == MSR_OK);
    }
    cr_expect_eq(slot_of(0, 2).type, 0x7fffffff);
}

static void expect_refused(const char *what)
{
    struct partition *q = partition_of("ws2019", 2, GHZ, VENDOR_AMD);
    cr_expect_not(through_file(q), "%s", what);
    partition_destroy(q);
}

Test(messages, impossible_queues_are_refused)
{
    cr_assert(post(0, 2, 1) == HV_STATUS_SUCCESS && post(0, 2, 2) == HV_STATUS_SUCCESS && post(0, 2, 3) == HV_STATUS_SUCCESS);
    struct message_queue *q = &p->vps[0].synic.queue[2];
    struct hv_message *m = &p->messages.buffers[q->first].message, good = *m;
    m->type = 0;
    expect_refused("no type");
    m->type = 0x80000010;
    expect_refused("a hypervisor's type in a port's buffer");
    *m = good;
    uint32_t second = p->messages.buffers[q->first].next;
    p->messages.buffers[q->first].next = second;
    p->vps[1].synic.queue[4] = (struct message_queue){.first = q->last, .last = q->last, .count = 1};
    expect_refused("one buffer in two queues");
    p->vps[1].synic.queue[4].count = 0;
    p->vps[1].synic.queue[4].first = p->vps[1].synic.queue[4].last = BUFFER_NONE;
    p->vps[1].registers.synic.sint[3] = 0xf;
    expect_refused("a vector below 16");
    p->vps[1].registers.synic.sint[3] = 0x1000f;
    struct partition *twin = partition_of("ws2019", 2, GHZ, VENDOR_AMD);
    cr_expect(through_file(twin));
    partition_destroy(twin);
}

/* ---- INIT ---- */

/* §11.8, §11.9, §11.3.5, §12.5.1: a processor reset; of that VP alone. */
Test(messages, init_resets_synic_queues_and_timers_of_its_vp)
{
    synic_on(1, 2, 0x52);
    for (unsigned vp = 0; vp < 2; vp++) {
        cr_assert(post(vp, 2, 1) == HV_STATUS_SUCCESS && post(vp, 2, 2) == HV_STATUS_SUCCESS);
        cr_assert(wr(p, vp, 0x400000b1, 100000) == MSR_OK && wr(p, vp, 0x400000b0, 0x20001) == MSR_OK);
        set_mem64(p, SIEF_AT + vp * VP_STRIDE, 7);
    }
    cr_assert(wr(p, 0, 0x40000071, 1ULL << 56 | 0x4500) == MSR_OK, "INIT to VP 1");
    run_to(MS);
    cr_expect(rd(p, 1, SCONTROL) == 0 && rd(p, 1, SIMP) == 0 && rd(p, 1, SIEFP) == 0 && rd(p, 1, SINT0 + 2) == 0x10000);
    cr_expect(rd(p, 1, 0x400000b0) == 0 && rd(p, 1, 0x400000b1) == 0);
    synic_on(1, 2, 0x52);
    cr_assert(wr(p, 1, EOM, 0) == MSR_OK);
    cr_expect(slot_of(1, 2).type == 0 && mem64(p, SIEF_AT + VP_STRIDE) == 0);
    run_to(20 * MS);
    cr_expect_eq(slot_of(1, 2).type, 0);
    cr_expect(rd(p, 0, SCONTROL) == 1 && slot_of(0, 2).type == 1 && mem64(p, SIEF_AT) == 7, "VP 0 goes on");
}
