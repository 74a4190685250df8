/* Turns of VPs on the one clock: order, ends of turns, idle time, ends of the machine, and that a chunk's end is invisible. */
#include "tests/unit/tlfs_fixture.h"

enum { LOG = 0x400000, LOG_BYTES = 0x400008 };

static struct partition *p;
static void fini(void)
{
    partition_destroy(p);
    p = NULL;
}

/* RSI is the VP's number. mov ecx,300; 1: eax = 1; lock xadd [LOG],eax; mov [LOG_BYTES+rax],sil; dec ecx; jnz 1b; hlt */
static const uint8_t log_code[] = {0xb9, 0x2c, 0x01, 0x00, 0x00, 0xb8, 0x01, 0x00, 0x00, 0x00, 0xf0,
                                   0x0f, 0xc1, 0x04, 0x25, 0x00, 0x00, 0x40, 0x00, 0x40, 0x88, 0xb0,
                                   0x08, 0x00, 0x40, 0x00, 0xff, 0xc9, 0x75, 0xe7, 0xf4};

static void start(unsigned vps, const void *code, size_t bytes)
{
    p = partition_of("ws2016", vps, GHZ, VENDOR_AMD);
    guest(p, BOOT_MODE_64, CODE, code, bytes);
    for (unsigned i = 1; i < vps; i++) {
        also(p, i, CODE, i);
    }
}

/* 5 instructions an entry and turns of 1000 cycles: 200 entries (and the first move) of each in turn. */
Test(turns, vps_run_in_index_order_for_one_turn_each, .fini = fini)
{
    start(3, log_code, sizeof log_code);
    struct seen switches;
    see(p, "vp_switch", &switches);
    cr_expect(partition_run(p, 10 * MIB) == PARTITION_END && p->machine->end == END_HALTED);
    cr_expect_eq((uint32_t)mem64(p, LOG), 900);
    static const uint8_t order[] = {0, 1, 2, 0, 1, 2};
    cr_assert_eq(switches.count, ARRAY_COUNT(order));
    for (unsigned i = 0; i < ARRAY_COUNT(order); i++) {
        cr_expect_eq(switches.event[i].vp, order[i]);
        cr_expect(i > 3 || switches.event[i].cycle == 1000 * i, "turns end at their cycle");
    }
    uint8_t log[900];
    cr_assert(memory_read(p->machine->memory, gpa(LOG_BYTES), log, sizeof log));
    for (unsigned i = 0; i < 598; i++) {
        cr_assert(log[i] == i / 200 || i % 200 == 199, "entry %u", i); /* a turn may end between count and entry */
    }
}

Test(turns, a_halted_vp_gives_its_turn_away_and_is_skipped, .fini = fini)
{
    start(3, log_code, sizeof log_code);
    struct vp_state s;
    vp_get_state(p->vps[1].vcpu, &s);
    s.activity = VP_HALTED;
    cr_assert(vp_set_state(p->vps[1].vcpu, &s));
    struct seen switches;
    see(p, "vp_switch", &switches);
    partition_run(p, 10 * MIB);
    cr_expect_eq((uint32_t)mem64(p, LOG), 600);
    for (unsigned i = 0; i < switches.count; i++) {
        cr_expect_neq(switches.event[i].vp, 1);
    }
}

/* 1: pause; jmp 1b */
Test(turns, pause_ends_a_turn, .fini = fini)
{
    static const uint8_t code[] = {0xf3, 0x90, 0xeb, 0xfc};
    start(2, code, sizeof code);
    struct seen switches;
    see(p, "vp_switch", &switches);
    cr_expect(partition_run(p, 100) == PARTITION_UNTIL);
    cr_assert_gt(switches.count, 20);
    for (unsigned i = 0; i < switches.count; i++) {
        cr_expect_eq(switches.event[i].vp, i % 2);
    }
}

/* TLFS 6.0b §14.5.1. mov ecx,0x10008; vmmcall; jmp back */
Test(turns, a_long_spin_wait_ends_a_turn, .fini = fini)
{
    static const uint8_t code[] = {0xb9, 8, 0, 1, 0, 0x0f, 0x01, 0xd9, 0xeb, 0xf6};
    start(2, code, sizeof code);
    cr_assert(wr(p, 0, 0x40000000, 1) == MSR_OK && wr(p, 0, 0x40000001, 0x200001) == MSR_OK);
    p->turn_cycles = 1000000;
    struct seen switches;
    see(p, "vp_switch", &switches);
    cr_expect(partition_run(p, 50000) == PARTITION_UNTIL);
    cr_assert_gt(switches.count, 4);
    for (unsigned i = 0; i < switches.count; i++) {
        cr_expect_eq(switches.event[i].vp, i % 2);
    }
}

/* An event in mid-turn runs at its cycle, and the turn goes on with the same VP. */
Test(turns, an_event_does_not_end_a_turn, .fini = fini)
{
    start(2, log_code, sizeof log_code);
    apic_on(p);
    struct seen switches, expiry;
    see(p, "vp_switch", &switches);
    see(p, "stimer_expiry", &expiry);
    cr_assert(wr(p, 1, 0x400000b1, 5) == MSR_OK && wr(p, 1, 0x400000b0, 0x1ed9) == MSR_OK);
    cr_expect(partition_run(p, 1001) == PARTITION_UNTIL);
    cr_assert(expiry.count == 1 && switches.count == 2);
    cr_expect_eq(expiry.event[0].cycle, 500);
    cr_expect_eq(switches.event[1].cycle, 1000);
}

/* With all asleep the clock stands exactly where the next event is. */
Test(turns, idle_time_passes_to_the_cycle_of_the_next_event, .fini = fini)
{
    static const uint8_t hlt[] = {0xfb, 0xf4}; /* sti; hlt */
    start(2, hlt, sizeof hlt);
    apic_on(p);
    struct seen expiry;
    see(p, "stimer_expiry", &expiry);
    cr_assert(wr(p, 1, 0x400000b1, 123456) == MSR_OK && wr(p, 1, 0x400000b0, 0x1ed9) == MSR_OK);
    cr_expect(partition_run(p, 12345599) == PARTITION_UNTIL);
    cr_expect_eq(p->machine->clock.cycle, 12345599);
    cr_expect_eq(expiry.count, 0);
    partition_run(p, 12345600);
    cr_assert_eq(expiry.count, 1);
    cr_expect_eq(expiry.event[0].cycle, 12345600);
}

Test(turns, all_asleep_with_nothing_armed_is_the_end, .fini = fini)
{
    static const uint8_t hlt[] = {0xf4};
    start(2, hlt, sizeof hlt);
    struct seen asleep;
    see(p, "all_asleep", &asleep);
    cr_expect(partition_run(p, CYCLE_NEVER) == PARTITION_END);
    cr_expect(p->machine->end == END_HALTED && asleep.count == 1);
    cr_expect(partition_run(p, CYCLE_NEVER) == PARTITION_END, "and stays the end");
}

/* ud2 without an IDT */
Test(turns, a_triple_fault_ends_the_machine, .fini = fini)
{
    static const uint8_t ud2[] = {0x0f, 0x0b};
    start(1, ud2, sizeof ud2);
    cr_expect(partition_run(p, 1000000) == PARTITION_END);
    cr_expect_eq(p->machine->end, END_TRIPLE_FAULT);
}

/* mov ecx,0x40000003; mov eax,1; xor edx,edx; wrmsr; 1: inc ebx; jmp 1b */
Test(turns, a_reset_register_stops_the_vp_at_its_next_boundary, .fini = fini)
{
    static const uint8_t code[] = {0xb9, 3, 0, 0, 0x40, 0xb8, 1, 0, 0, 0, 0x31, 0xd2, 0x0f, 0x30, 0xff, 0xc3, 0xeb, 0xfc};
    start(1, code, sizeof code);
    const char *why;
    cr_assert(profile_set(&p->profile, "AccessResetReg", true, &why));
    cr_expect(partition_run(p, 1000000) == PARTITION_END);
    cr_expect_eq(p->machine->end, END_RESET);
    cr_expect_eq(vp_gpr(p->vps[0].vcpu, RBX), 0);
}

static void pause_on_expiry(void *owner, const struct trace_event *e)
{
    partition_stop(owner);
}

Test(turns, a_stop_from_a_listener_pauses_and_the_run_goes_on, .fini = fini)
{
    start(2, log_code, sizeof log_code);
    apic_on(p);
    cr_assert(wr(p, 1, 0x400000b1, 5) == MSR_OK && wr(p, 1, 0x400000b0, 0x1ed9) == MSR_OK);
    trace_listen(p->machine->trace, trace_row_by_name(p->machine->trace, "stimer_expiry"), pause_on_expiry, p);
    cr_expect(partition_run(p, 10 * MIB) == PARTITION_PAUSED);
    cr_expect_eq(p->machine->clock.cycle, 500);
    cr_expect(partition_run(p, 10 * MIB) == PARTITION_END);
    cr_expect_eq((uint32_t)mem64(p, LOG), 600);
}

/* §7.9.1: what a VP consumes; the sum over VPs is the time that passed while any ran. */
Test(turns, run_time_adds_up_to_the_clock, .fini = fini)
{
    start(3, log_code, sizeof log_code);
    cr_expect(partition_run(p, 4200) == PARTITION_UNTIL);
    uint64_t sum = 0;
    for (unsigned i = 0; i < 3; i++) {
        sum += p->vps[i].run_cycles;
        cr_expect_eq(rd(p, i, 0x40000010), p->vps[i].run_cycles / 100);
    }
    cr_expect_eq(sum, p->machine->clock.cycle);
    cr_expect_eq(p->vps[2].run_cycles, 1000);
}

/* ---- chunks ---- */

/* A guest with everything in it: timer interrupts, PAUSE, HLT, REP STOS, RDTSC, RDMSR of the counter, a shared log. The handler
 * (at 0x90) counts, logs and ends by the EOI register. Its source: ecx=STIMER0_COUNT: wrmsr 300; CONFIG: wrmsr 0x1ed3; ebx=200;
 * sti 1: log sil; rdtsc; xor [0x500000+8*rsi],eax; ebx%16==0: pause; ebx%32==0: hlt; rep stosb of ebx bytes at 0x600000+rsi
 *      ebx%8==0: rdmsr TIME_REF_COUNT, add [0x500100+8*rsi],eax; dec ebx; jnz 1b; cli; CONFIG: wrmsr 0; hlt */
static const uint8_t busy_code[] = {
    0xb9, 0xb1, 0x00, 0x00, 0x40, 0xb8, 0x2c, 0x01, 0x00, 0x00, 0x31, 0xd2, 0x0f, 0x30, 0xb9, 0xb0, 0x00, 0x00, 0x40,
    0xb8, 0xd3, 0x1e, 0x00, 0x00, 0x0f, 0x30, 0xbb, 0xc8, 0x00, 0x00, 0x00, 0xfb, 0xb8, 0x01, 0x00, 0x00, 0x00, 0xf0,
    0x0f, 0xc1, 0x04, 0x25, 0x00, 0x00, 0x40, 0x00, 0x40, 0x88, 0xb0, 0x08, 0x00, 0x40, 0x00, 0x0f, 0x31, 0x31, 0x04,
    0xf5, 0x00, 0x00, 0x50, 0x00, 0xf7, 0xc3, 0x0f, 0x00, 0x00, 0x00, 0x75, 0x02, 0xf3, 0x90, 0xf7, 0xc3, 0x1f, 0x00,
    0x00, 0x00, 0x75, 0x01, 0xf4, 0x89, 0xd9, 0x48, 0x8d, 0xbe, 0x00, 0x00, 0x60, 0x00, 0xf3, 0xaa, 0xb9, 0x20, 0x00,
    0x00, 0x40, 0xf7, 0xc3, 0x07, 0x00, 0x00, 0x00, 0x75, 0x09, 0x0f, 0x32, 0x01, 0x04, 0xf5, 0x00, 0x01, 0x50, 0x00,
    0xff, 0xcb, 0x75, 0xaa, 0xfa, 0xb9, 0xb0, 0x00, 0x00, 0x40, 0x31, 0xc0, 0x31, 0xd2, 0x0f, 0x30, 0xf4, 0x66, 0x66,
    0x2e, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00, 0x66, 0x90, 0x50, 0x51, 0x52, 0x48, 0xff, 0x04, 0xf5, 0x00,
    0x02, 0x50, 0x00, 0xb8, 0x01, 0x00, 0x00, 0x00, 0xf0, 0x0f, 0xc1, 0x04, 0x25, 0x00, 0x00, 0x40, 0x00, 0xc6, 0x80,
    0x08, 0x00, 0x40, 0x00, 0xff, 0xb9, 0x70, 0x00, 0x00, 0x40, 0x31, 0xc0, 0x0f, 0x30, 0x5a, 0x59, 0x58, 0x48, 0xcf};
enum { HANDLER = CODE + 0x90, IDT = 0x700000, TIMER_VECTOR = 0xed };

static void start_busy(unsigned vps)
{
    start(vps, busy_code, sizeof busy_code);
    set_mem64(p, IDT + 16 * TIMER_VECTOR,
              (HANDLER & 0xffff) | 0x10ULL << 16 | 0x8e00ULL << 32 | (uint64_t)(HANDLER >> 16) << 48);
    apic_on(p);
    for (unsigned i = 0; i < vps; i++) {
        struct vp_state s;
        vp_get_state(p->vps[i].vcpu, &s);
        s.idtr = (struct descriptor_table){IDT, 0xfff};
        cr_assert(vp_set_state(p->vps[i].vcpu, &s));
    }
}

static void mix(void *owner, const struct trace_event *e)
{
    uint64_t *h = owner;
    const uint64_t words[] = {e->cycle, e->row->id, e->vp};
    for (size_t i = 0; i < ARRAY_COUNT(words) + e->row->field_count; i++) {
        *h = (*h ^ (i < ARRAY_COUNT(words) ? words[i] : e->values[i - ARRAY_COUNT(words)])) * 0x100000001b3ULL;
    }
}

struct outcome {
    struct whole_digest digest;
    uint64_t events, cycle, interrupts;
};

static struct outcome busy_run(unsigned vps, uint64_t chunk)
{
    start_busy(vps);
    struct outcome o = {.events = 1};
    trace_listen(p->machine->trace, NULL, mix, &o.events);
    /* The end of the run, not a chunk's, is where digests are comparable. */
    for (uint64_t until = 0; p->machine->end == END_NONE; until += chunk) {
        partition_run(p, until);
        cr_assert_lt(p->machine->clock.cycle, 100 * MIB);
    }
    cr_assert_eq(p->machine->end, END_HALTED);
    o.digest = digest_of(p);
    o.cycle = p->machine->clock.cycle;
    o.interrupts = mem64(p, 0x500200);
    fini();
    return o;
}

static void chunks_are_invisible(unsigned vps)
{
    struct outcome whole = busy_run(vps, CYCLE_NEVER / 2);
    cr_assert_gt(whole.interrupts, 5, "the timer fired");
    static const uint64_t chunks[] = {1, 7, 1000, 10007, 1000000};
    for (size_t i = 0; i < ARRAY_COUNT(chunks); i++) {
        struct outcome o = busy_run(vps, chunks[i]);
        cr_expect(digest_equal(whole.digest, o.digest), "%u VPs, chunk %llu", vps, (unsigned long long)chunks[i]);
        cr_expect_eq(whole.events, o.events, "the same trace");
        cr_expect_eq(whole.cycle, o.cycle);
    }
}

Test(chunks, are_invisible_to_one_vp)
{
    chunks_are_invisible(1);
}

Test(chunks, are_invisible_to_four_vps)
{
    chunks_are_invisible(4);
}

/* Save anywhere, restore into a fresh partition, go on: the same end. */
Test(chunks, a_restored_run_ends_like_the_whole)
{
    struct outcome whole = busy_run(3, CYCLE_NEVER / 2);
    for (uint64_t at = 1; at < whole.cycle; at += whole.cycle / 23 + 1) {
        start_busy(3);
        partition_run(p, at);
        struct state *s = state_begin_save();
        machine_state(s, p->machine);
        partition_state(s, p);
        size_t length;
        uint8_t *bytes = state_finish_save(s, &length);
        state_end(s);
        fini();
        p = partition_of("ws2016", 3, GHZ, VENDOR_AMD);
        s = state_begin_restore(bytes, length);
        machine_state(s, p->machine);
        partition_state(s, p);
        cr_assert(state_finish_restore(s), "%s", state_error(s));
        state_end(s);
        free(bytes);
        cr_assert(partition_run(p, CYCLE_NEVER) == PARTITION_END);
        cr_expect_eq(p->machine->clock.cycle, whole.cycle, "saved at %llu", (unsigned long long)at);
        cr_expect(digest_equal(whole.digest, digest_of(p)), "saved at %llu", (unsigned long long)at);
        fini();
    }
}
