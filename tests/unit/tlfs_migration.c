/* Live migration: TSC rates, the reference TSC page, reenlightenment, TSC emulation. TLFS 6.0b §12.7.3, §16.6. */
#include "tests/unit/tlfs_fixture.h"

enum {
    TIME_REF_COUNT = 0x40000020,
    REFERENCE_TSC = 0x40000021,
    TSC_FREQUENCY = 0x40000022,
    APIC_FREQUENCY = 0x40000023,
    STIMER0_CONFIG = 0x400000b0,
    STIMER0_COUNT = 0x400000b1,
    REENLIGHTENMENT_CONTROL = 0x40000106,
    TSC_EMULATION_CONTROL = 0x40000107,
    TSC_EMULATION_STATUS = 0x40000108,
};
#define PAGE_AT 0x200000ULL

static void partition_end(struct partition **p)
{
    partition_destroy(*p);
}
#define PARTITION(name, ...) __attribute__((cleanup(partition_end))) struct partition *name = __VA_ARGS__

static struct partition *with_page(uint64_t hz)
{
    struct partition *p = partition_of("ws2019", 2, hz, VENDOR_AMD);
    cr_assert(wr(p, 0, REFERENCE_TSC, PAGE_AT | 1) == MSR_OK);
    return p;
}

static void to_rate(struct partition *p, uint64_t hz)
{
    partition_migrate(p, &(struct migration){.tsc_hz = hz});
}

/* The guest's own arithmetic, §12.7.3.3. */
static uint64_t page_time(struct partition *p, unsigned vp)
{
    uint32_t sequence = (uint32_t)mem64(p, PAGE_AT);
    if (sequence == 0) {
        return rd(p, vp, TIME_REF_COUNT);
    }
    uint64_t scale = mem64(p, PAGE_AT + 8), offset = mem64(p, PAGE_AT + 16);
    return (uint64_t)((unsigned __int128)vp_tsc(p->vps[vp].vcpu) * scale >> 64) + offset;
}

Test(migration, the_tsc_goes_on_at_the_new_rate_without_a_jump)
{
    PARTITION(p, with_page(GHZ));
    p->machine->clock.cycle = 1000;
    to_rate(p, 1500000000);
    cr_expect_eq(vp_tsc(p->vps[1].vcpu), 1000);
    p->machine->clock.cycle = 1000 + GHZ;
    cr_expect_eq(vp_tsc(p->vps[0].vcpu), 1000 + 1500000000);
    cr_expect_eq(rd(p, 0, TSC_FREQUENCY), 1500000000);
    cr_expect_eq(rd(p, 0, APIC_FREQUENCY), 200000000);
    to_rate(p, 500000000);
    p->machine->clock.cycle += 2 * GHZ;
    cr_expect_eq(vp_tsc(p->vps[0].vcpu), 1000 + 1500000000 + GHZ);
}

/* The invariant: page formula and counter agree at any moment, whatever the rates, and time never goes back or stops.
 */
Test(migration, page_and_counter_agree_and_time_goes_on_over_many_migrations)
{
    struct prng prng = {99};
    for (int round = 0; round < 20; round++) {
        uint64_t clock_hz = 1000000 + prng_next(&prng) % (4 * GHZ);
        PARTITION(p, with_page(clock_hz));
        uint64_t before = 0, migrations = 0;
        for (int i = 0; i < 300; i++) {
            p->machine->clock.cycle += prng_next(&prng) >> (20 + prng_next(&prng) % 40);
            if (prng_next(&prng) % 8 == 0) {
                uint64_t time = rd(p, 0, TIME_REF_COUNT);
                to_rate(p, 1000000 + prng_next(&prng) % (10 * GHZ - 1000000));
                cr_assert_eq(rd(p, 0, TIME_REF_COUNT), time, "continuous");
                migrations++;
            }
            uint64_t now = rd(p, i % 2, TIME_REF_COUNT);
            cr_assert_eq(page_time(p, 1), now);
            cr_assert_geq(now, before);
            before = now;
            uint64_t exact = mul_div(p->machine->clock.cycle, RATE_100NS_HZ, clock_hz);
            cr_assert(now <= exact + 1 + migrations && now + 2 * (migrations + 1) >= exact, "%llu, %llu exactly",
                      (unsigned long long)now, (unsigned long long)exact);
        }
    }
}

/* §12.7.3.2: the sequence moves whenever scale or offset do, and never to 0 or all ones while the page is valid. */
Test(migration, the_sequence_moves_with_the_line_and_passes_the_special_values)
{
    PARTITION(p, with_page(GHZ));
    cr_expect_eq((uint32_t)mem64(p, PAGE_AT), 1);
    to_rate(p, GHZ);
    cr_expect_eq((uint32_t)mem64(p, PAGE_AT), 1, "the same rate is the same line");
    to_rate(p, 2 * GHZ);
    cr_expect_eq((uint32_t)mem64(p, PAGE_AT), 2);
    p->reference_sequence = UINT32_MAX - 1;
    to_rate(p, GHZ);
    cr_expect_eq((uint32_t)mem64(p, PAGE_AT), 1);
}

Test(migration, an_invalid_page_sends_the_guest_to_the_counter_until_the_next_host)
{
    PARTITION(p, with_page(GHZ));
    partition_migrate(p, &(struct migration){.tsc_hz = 2 * GHZ, .page_invalid = true});
    cr_expect_eq((uint32_t)mem64(p, PAGE_AT), 0);
    p->machine->clock.cycle += 12345;
    cr_expect_eq(page_time(p, 0), 123);
    to_rate(p, 2 * GHZ);
    cr_expect((uint32_t)mem64(p, PAGE_AT) > 1);
    cr_expect_eq(page_time(p, 0), 123);
}

Test(migration, a_timer_expires_where_the_counter_says_so_on_the_new_line)
{
    struct prng prng = {5};
    for (int i = 0; i < 100; i++) {
        PARTITION(p, with_page(GHZ));
        sleep_all(p);
        apic_on(p);
        uint64_t due = 2000 + prng_next(&prng) % 100000;
        cr_assert(wr(p, 1, STIMER0_CONFIG, 0x1ed9) == MSR_OK && wr(p, 1, STIMER0_COUNT, due) == MSR_OK);
        p->machine->clock.cycle = prng_next(&prng) % 200000;
        to_rate(p, 1000000 + prng_next(&prng) % (5 * GHZ));
        uint64_t at = events_next(p->machine->events);
        p->machine->clock.cycle = at - 1;
        cr_assert(rd(p, 0, TIME_REF_COUNT) == due - 1 && !irr(p, 1, 0xed));
        p->machine->clock.cycle = at;
        events_run(p->machine->events, at);
        cr_assert(rd(p, 0, TIME_REF_COUNT) == due && irr(p, 1, 0xed));
    }
}

/* ---- the local APIC's timer, which knows nothing of all this ---- */

Test(migration, a_tsc_deadline_is_met_on_the_new_rate)
{
    struct partition_config config = {.ram_bytes = MIB, .cpu = {.cost = cost_table_by_name("ipc1"), .vps = 1}};
    const char *why;
    cr_assert(cpu_model_init(&config.cpu.model, "v2", VENDOR_INTEL, GHZ, 1));
    cr_assert(cpu_model_set(&config.cpu.model, "tsc_deadline", true, &why), "%s", why);
    PARTITION(p, partition_create(&config, &why));
    sleep_all(p);
    apic_on(p);
    struct vcpu *v = p->vps[0].vcpu;
    lapic_write(v, 0x320, 0x40040); /* TSC deadline, vector 0x40 */
    cr_assert(lapic_wrmsr(v, 0x6e0, 10000) == MSR_OK);
    cr_expect_eq(events_next(p->machine->events), 10000);
    p->machine->clock.cycle = 4000;
    to_rate(p, 3 * GHZ);
    cr_expect_eq(events_next(p->machine->events), 6000, "6000 counts at three a cycle");
    to_rate(p, GHZ / 2);
    cr_expect_eq(events_next(p->machine->events), 16000);
    p->machine->clock.cycle = 16000;
    events_run(p->machine->events, 16000);
    cr_expect(irr(p, 0, 0x40) && vp_tsc(v) == 10000);
}

Test(migration, the_apic_timer_keeps_its_rate)
{
    PARTITION(p, fresh("ws2019"));
    apic_on(p);
    lapic_write(p->vps[0].vcpu, 0x3e0, 0xb); /* divide by 1 */
    lapic_write(p->vps[0].vcpu, 0x320, 0x40);
    lapic_write(p->vps[0].vcpu, 0x380, 1000);
    to_rate(p, 3 * GHZ);
    cr_expect_eq(events_next(p->machine->events), 5000, "200 MHz");
}

/* ---- reenlightenment, §16.6.1 ---- */

Test(reenlightenment, each_migration_interrupts_the_named_vp)
{
    PARTITION(p, with_page(GHZ));
    apic_on(p);
    to_rate(p, 2 * GHZ);
    cr_assert(wr(p, 0, REENLIGHTENMENT_CONTROL, 1ULL << 32 | 0xee) == MSR_OK);
    to_rate(p, GHZ);
    cr_expect_not(irr(p, 1, 0xee), "not enabled");
    cr_assert(wr(p, 0, REENLIGHTENMENT_CONTROL, 1ULL << 32 | 1 << 16 | 0xee) == MSR_OK);
    cr_expect_eq(rd(p, 1, REENLIGHTENMENT_CONTROL), 1ULL << 32 | 1 << 16 | 0xee);
    to_rate(p, GHZ);
    cr_expect(irr(p, 1, 0xee) && !irr(p, 0, 0xee), "even at the same rate");
}

Test(reenlightenment, an_enabled_control_names_a_fixed_vector_and_a_vp)
{
    PARTITION(p, with_page(GHZ));
    static const uint64_t bad[] = {1 << 16 | 15, 1 << 16, 2ULL << 32 | 1 << 16 | 0xee, ~0ULL << 32 | 1 << 16 | 0xee,
                                   1 << 8,       1 << 17};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        cr_expect(wr(p, 0, REENLIGHTENMENT_CONTROL, bad[i]) == MSR_GP, "%zu", i);
        cr_expect_eq(rd(p, 0, REENLIGHTENMENT_CONTROL), 0);
    }
    cr_expect(wr(p, 0, REENLIGHTENMENT_CONTROL, 7ULL << 32) == MSR_OK, "disabled it names nothing");
}

/* ---- TSC emulation, §16.6.2 ---- */

Test(tsc_emulation, the_old_rate_stays_until_the_guest_releases_it)
{
    PARTITION(p, with_page(GHZ));
    cr_expect_eq(rd(p, 0, TSC_EMULATION_STATUS), 0);
    cr_assert(wr(p, 0, TSC_EMULATION_CONTROL, 1) == MSR_OK);
    p->machine->clock.cycle = 1000;
    to_rate(p, 2 * GHZ);
    cr_expect_eq(rd(p, 0, TSC_EMULATION_STATUS), 1);
    cr_expect_eq(rd(p, 0, TSC_FREQUENCY), 2 * GHZ, "what the guest is to prepare for");
    p->machine->clock.cycle = 6000;
    cr_expect_eq(vp_tsc(p->vps[0].vcpu), 6000);
    cr_expect((uint32_t)mem64(p, PAGE_AT) == 1 && page_time(p, 1) == 60, "the page is right for the TSC that is read");
    cr_assert(wr(p, 1, TSC_EMULATION_STATUS, 1) == MSR_OK);
    cr_expect_eq(rd(p, 0, TSC_EMULATION_STATUS), 1, "one does not end it");
    cr_assert(wr(p, 1, TSC_EMULATION_STATUS, 0) == MSR_OK);
    cr_expect_eq(rd(p, 0, TSC_EMULATION_STATUS), 0);
    cr_expect((uint32_t)mem64(p, PAGE_AT) == 2 && page_time(p, 1) == 60);
    p->machine->clock.cycle = 7000;
    cr_expect_eq(vp_tsc(p->vps[0].vcpu), 8000);
    cr_expect_eq(page_time(p, 0), 70);
    cr_assert(wr(p, 1, TSC_EMULATION_STATUS, 1) == MSR_OK);
    cr_expect_eq(rd(p, 0, TSC_EMULATION_STATUS), 0, "and one does not begin it");
}

Test(tsc_emulation, is_not_needed_where_the_rate_is_the_same_and_ends_on_the_way_back)
{
    PARTITION(p, with_page(GHZ));
    cr_assert(wr(p, 0, TSC_EMULATION_CONTROL, 1) == MSR_OK);
    to_rate(p, GHZ);
    cr_expect_eq(rd(p, 0, TSC_EMULATION_STATUS), 0);
    to_rate(p, 2 * GHZ);
    cr_expect_eq(rd(p, 0, TSC_EMULATION_STATUS), 1);
    to_rate(p, GHZ);
    cr_expect_eq(rd(p, 0, TSC_EMULATION_STATUS), 0);
}

Test(tsc_emulation, a_reset_of_the_guest_ends_it)
{
    PARTITION(p, with_page(GHZ));
    cr_assert(wr(p, 0, TSC_EMULATION_CONTROL, 1) == MSR_OK);
    to_rate(p, 2 * GHZ);
    p->machine->clock.cycle = 5000;
    partition_reset(p);
    cr_expect(rd(p, 0, TSC_EMULATION_CONTROL) == 0 && rd(p, 0, TSC_EMULATION_STATUS) == 0);
    cr_expect(vp_tsc(p->vps[0].vcpu) == 0 && rd(p, 0, TIME_REF_COUNT) == 0);
    p->machine->clock.cycle = 6000;
    cr_expect(vp_tsc(p->vps[1].vcpu) == 2000 && rd(p, 0, TIME_REF_COUNT) == 10);
}

/* ---- away ---- */

/* inc r15; jmp */
static const uint8_t counter[] = {0x49, 0xff, 0xc7, 0xeb, 0xfb};

Test(migration, no_vp_runs_while_it_is_away_and_time_passes)
{
    PARTITION(p, with_page(GHZ));
    guest(p, BOOT_MODE_64, CODE, counter, sizeof counter);
    partition_run(p, 100000);
    uint64_t counted = vp_gpr(p->vps[0].vcpu, R15);
    partition_migrate(p, &(struct migration){.tsc_hz = 2 * GHZ, .away_cycles = 5000000});
    partition_run(p, 5099999);
    cr_expect_eq(vp_gpr(p->vps[0].vcpu, R15), counted);
    cr_expect_eq(rd(p, 0, TIME_REF_COUNT), 50999);
    partition_run(p, 5200000);
    cr_expect(vp_gpr(p->vps[0].vcpu, R15) > counted);
    cr_expect_lt(p->vps[0].run_cycles, 210000);
}

Test(migration, an_event_during_the_absence_happens_at_its_time)
{
    PARTITION(p, with_page(GHZ));
    guest(p, BOOT_MODE_64, CODE, counter, sizeof counter);
    apic_on(p);
    struct seen seen;
    see(p, "stimer_expiry", &seen);
    cr_assert(wr(p, 0, STIMER0_CONFIG, 0x1ed9) == MSR_OK && wr(p, 0, STIMER0_COUNT, 300) == MSR_OK);
    partition_migrate(p, &(struct migration){.away_cycles = 1000000});
    partition_run(p, 900000);
    cr_assert_eq(seen.count, 1);
    cr_expect_eq(seen.event[0].cycle, 30000);
}

/* ---- state ---- */

static bool saved_and_restored(struct partition *p, struct partition *q)
{
    struct state *s = state_begin_save();
    machine_state(s, p->machine);
    partition_state(s, p);
    size_t length;
    uint8_t *bytes = state_finish_save(s, &length);
    state_end(s);
    if (bytes == NULL) {
        return false;
    }
    s = state_begin_restore(bytes, length);
    machine_state(s, q->machine);
    partition_state(s, q);
    bool ok = state_finish_restore(s);
    state_end(s);
    free(bytes);
    return ok;
}

Test(state, a_migrated_partition_is_restored_with_its_rates_and_its_absence)
{
    PARTITION(p, with_page(GHZ));
    PARTITION(q, fresh("ws2019"));
    guest(p, BOOT_MODE_64, CODE, counter, sizeof counter);
    partition_run(p, 777);
    to_rate(p, 2999999999);
    cr_assert(wr(p, 0, TSC_EMULATION_CONTROL, 1) == MSR_OK &&
              wr(p, 0, REENLIGHTENMENT_CONTROL, 1ULL << 32 | 1 << 16 | 0xee) == MSR_OK);
    partition_run(p, 5000);
    partition_migrate(p, &(struct migration){.tsc_hz = 1234567890, .away_cycles = 3000000, .page_invalid = true});
    cr_assert(saved_and_restored(p, q));
    cr_assert(digest_equal(digest_of(p), digest_of(q)));
    partition_run(p, 4000000);
    partition_run(q, 4000000);
    cr_assert(digest_equal(digest_of(p), digest_of(q)));
    cr_assert(wr(p, 0, TSC_EMULATION_STATUS, 0) == MSR_OK && wr(q, 0, TSC_EMULATION_STATUS, 0) == MSR_OK);
    partition_run(p, 5000000);
    partition_run(q, 5000000);
    cr_expect(digest_equal(digest_of(p), digest_of(q)));
    cr_expect(page_time(p, 0) == page_time(q, 0) && rd(p, 0, TIME_REF_COUNT) == rd(q, 0, TIME_REF_COUNT));
}

Test(state, a_time_that_no_migration_leads_to_is_refused)
{
    for (int i = 0; i < 4; i++) {
        PARTITION(p, with_page(GHZ));
        PARTITION(q, with_page(GHZ));
        p->reference.tsc_offset = i == 0 ? 1 : 0;
        p->reference.offset_100ns = i == 1 ? 1ULL << 63 : 0;
        p->reference_sequence = i == 2 ? 0 : 1;
        p->registers.reenlightenment_control = i == 3 ? 1 << 16 : 0;
        cr_expect_not(saved_and_restored(p, q), "%d", i);
    }
}
