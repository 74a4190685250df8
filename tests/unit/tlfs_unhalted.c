/* The synthetic time-unhalted timer. TLFS 6.0b §12.6. */
#include "tests/unit/tlfs_fixture.h"

enum { VP_RUNTIME = 0x40000010, VP_ASSIST = 0x40000073, UNHALTED_CONFIG = 0x40000114, UNHALTED_COUNT = 0x40000115 };
#define PAGE_AT 0x200000ULL
enum { ENABLED = 1 << 8, EXPIRED_FIELD = 56 };

static void partition_end(struct partition **p)
{
    partition_destroy(*p);
}
#define PARTITION(name, ...) __attribute__((cleanup(partition_end))) struct partition *name = __VA_ARGS__

/* jmp . ; or hlt and the same again */
static const uint8_t busy[] = {0xeb, 0xfe}, sleepy[] = {0xf4, 0xeb, 0xfd};

static struct partition *running(const uint8_t *code, size_t bytes)
{
    struct partition *p = fresh("ws2019");
    guest(p, BOOT_MODE_64, CODE, code, bytes);
    apic_on(p);
    cr_assert(wr(p, 0, VP_ASSIST, PAGE_AT | 1) == MSR_OK);
    return p;
}
static bool expired_field(struct partition *p)
{
    return mem64(p, PAGE_AT + EXPIRED_FIELD) & 0xff;
}

Test(unhalted, needs_the_feature_and_the_timers_privilege)
{
    PARTITION(p, fresh("ws2019"));
    cr_expect(profile_has(&p->profile, HV_SyntheticTimeUnhaltedTimerAvailable));
    const char *why;
    cr_assert(profile_set(&p->profile, "AccessSyntheticTimerRegs", false, &why));
    cr_expect(rd_outcome(p, 0, UNHALTED_CONFIG) == MSR_GP && wr(p, 0, UNHALTED_COUNT, 1) == MSR_GP);
    PARTITION(q, fresh("ws2016"));
    cr_expect(rd_outcome(q, 0, UNHALTED_CONFIG) == MSR_GP);
}

Test(unhalted, registers_read_as_written_and_reserved_bits_fault)
{
    PARTITION(p, fresh("ws2019"));
    cr_expect(rd(p, 1, UNHALTED_CONFIG) == 0 && rd(p, 1, UNHALTED_COUNT) == 0);
    cr_assert(wr(p, 1, UNHALTED_CONFIG, ENABLED | 0x77) == MSR_OK && wr(p, 1, UNHALTED_COUNT, ~0ULL) == MSR_OK);
    cr_expect(rd(p, 1, UNHALTED_CONFIG) == (ENABLED | 0x77) && rd(p, 1, UNHALTED_COUNT) == ~0ULL);
    cr_expect_eq(rd(p, 0, UNHALTED_CONFIG), 0, "each VP has its own");
    cr_expect(wr(p, 1, UNHALTED_CONFIG, 1 << 9) == MSR_GP);
    partition_reset(p);
    cr_expect(rd(p, 1, UNHALTED_CONFIG) == 0 && rd(p, 1, UNHALTED_COUNT) == 0);
}

Test(unhalted, expires_at_each_multiple_of_the_period_while_it_runs)
{
    PARTITION(p, running(busy, sizeof busy));
    struct seen seen;
    see(p, "unhalted_expiry", &seen);
    cr_assert(wr(p, 0, UNHALTED_COUNT, 50) == MSR_OK && wr(p, 0, UNHALTED_CONFIG, ENABLED | 0x77) == MSR_OK);
    partition_run(p, 26000);
    cr_assert_eq(seen.count, 5, "%u", seen.count);
    for (unsigned i = 0; i < 5; i++) {
        cr_expect_eq(seen.event[i].values[0], 50 * (i + 1));
        cr_expect_eq(seen.event[i].cycle, 5000 * (i + 1), "100 cycles a unit");
    }
    cr_expect(irr(p, 0, 0x77) && expired_field(p));
    cr_expect_eq(mem64(p, PAGE_AT + EXPIRED_FIELD) >> 8, 0);
}

Test(unhalted, the_guest_clears_the_field_and_it_comes_again)
{
    PARTITION(p, running(busy, sizeof busy));
    cr_assert(wr(p, 0, UNHALTED_COUNT, 50) == MSR_OK && wr(p, 0, UNHALTED_CONFIG, ENABLED | 0x77) == MSR_OK);
    partition_run(p, 6000);
    cr_assert(expired_field(p));
    set_mem64(p, PAGE_AT + EXPIRED_FIELD, 0);
    partition_run(p, 9900);
    cr_expect_not(expired_field(p));
    partition_run(p, 10100);
    cr_expect(expired_field(p));
}

Test(unhalted, vector_2_is_an_nmi)
{
    PARTITION(p, running(busy, sizeof busy));
    struct seen seen;
    see(p, "nmi", &seen);
    cr_assert(wr(p, 0, UNHALTED_COUNT, 50) == MSR_OK && wr(p, 0, UNHALTED_CONFIG, ENABLED | 2) == MSR_OK);
    partition_run(p, 5003);
    cr_expect(seen.count == 1 && !irr(p, 0, 2));
}

Test(unhalted, stands_still_while_the_vp_is_halted_or_another_runs)
{
    PARTITION(p, running(sleepy, sizeof sleepy));
    cr_assert(wr(p, 0, UNHALTED_COUNT, 50) == MSR_OK && wr(p, 0, UNHALTED_CONFIG, ENABLED | 0x77) == MSR_OK);
    partition_run(p, 10000000);
    cr_expect_not(irr(p, 0, 0x77));
    cr_expect_lt(rd(p, 0, VP_RUNTIME), 50);

    PARTITION(q, running(busy, sizeof busy));
    also(q, 1, CODE, 0);
    cr_assert(wr(q, 0, UNHALTED_COUNT, 50) == MSR_OK && wr(q, 0, UNHALTED_CONFIG, ENABLED | 0x77) == MSR_OK);
    partition_run(q, 8000);
    cr_expect(!irr(q, 0, 0x77) && rd(q, 0, VP_RUNTIME) == 40, "two VPs in turns of 1000 cycles");
    partition_run(q, 11000);
    cr_expect(irr(q, 0, 0x77));
}

/* Where a call of partition_run() ends shows nowhere. */
Test(unhalted, is_the_same_in_steps_and_after_a_restore)
{
    PARTITION(p, running(busy, sizeof busy));
    PARTITION(q, running(busy, sizeof busy));
    PARTITION(r, fresh("ws2019"));
    cr_assert(wr(p, 0, UNHALTED_COUNT, 37) == MSR_OK && wr(p, 0, UNHALTED_CONFIG, ENABLED | 0x77) == MSR_OK);
    cr_assert(wr(q, 0, UNHALTED_COUNT, 37) == MSR_OK && wr(q, 0, UNHALTED_CONFIG, ENABLED | 0x77) == MSR_OK);
    partition_run(p, 50000);
    for (uint64_t at = 0; at < 25000; at += 77) {
        partition_run(q, at);
    }
    struct state *s = state_begin_save();
    machine_state(s, q->machine);
    partition_state(s, q);
    size_t length;
    uint8_t *bytes = state_finish_save(s, &length);
    state_end(s);
    s = state_begin_restore(bytes, length);
    machine_state(s, r->machine);
    partition_state(s, r);
    cr_assert(state_finish_restore(s));
    state_end(s);
    free(bytes);
    partition_run(r, 50000);
    cr_expect(digest_equal(digest_of(p), digest_of(r)));
}
