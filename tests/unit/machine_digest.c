/* The digest chain and the clock's arithmetic. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "machine/digest.h"

#define MIB (1ULL << 20)

static struct machine *fresh(void)
{
    const char *why;
    struct machine *m = machine_create(MIB, 1000000000, 7, &why);
    cr_assert_not_null(m);
    return m;
}

static void visit(struct state *s, void *owner)
{
    machine_state(s, owner);
}

static bool same(struct digest a, struct digest b)
{
    return a.low == b.low && a.high == b.high;
}

Test(digest, text_is_32_digits_high_half_first)
{
    char text[33];
    digest_text((struct digest){.low = 0xfedcba9876543210, .high = 0x1}, text);
    cr_expect_str_eq(text, "0000000000000001fedcba9876543210");
}

/* digest.h gives the formula. */
Test(digest, link_is_what_its_header_says)
{
    struct machine *m = fresh();
    m->clock.cycle = 0x1122;
    memory_write(m->memory, gpa(0x1000), "x", 1);
    struct digest_chain c = digest_chain_start(0x1000);
    c.link = (struct digest){3, 4};
    struct memory_digest ram = memory_digest(m->memory);
    struct state *s = state_begin_digest();
    visit(s, m);
    struct state_digest rest = state_finish_digest(s);
    state_end(s);
    const uint64_t words[] = {3, 4, 0x1122, ram.low, ram.high, rest.low, rest.high};
    uint8_t raw[4 + sizeof words] = {1};
    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        for (unsigned k = 0; k < 8; k++) {
            raw[4 + 8 * i + k] = (uint8_t)(words[i] >> (8 * k));
        }
    }
    XXH128_hash_t h = XXH3_128bits(raw, sizeof raw);
    cr_expect(same(digest_chain_append(&c, m, visit, m), (struct digest){h.low64, h.high64}));
    machine_destroy(m);
}

Test(digest, asking_changes_nothing)
{
    struct machine *m = fresh();
    struct digest_chain c = digest_chain_start(1000);
    memory_write(m->memory, gpa(0x1000), "x", 1);
    struct digest a = digest_now(&c, m, visit, m), b = digest_now(&c, m, visit, m);
    cr_expect(same(a, b));
    cr_expect(same(digest_chain_append(&c, m, visit, m), a));
    cr_expect_not(same(digest_now(&c, m, visit, m), a), "the chain has grown");
    cr_expect_eq(c.count, 1);
    machine_destroy(m);
}

Test(digest, without_a_chain_sees_the_state_alone)
{
    struct machine *m = fresh();
    struct digest_chain c = digest_chain_start(1000);
    struct digest before = digest_now(NULL, m, visit, m);
    digest_chain_append(&c, m, visit, m);
    cr_expect(same(digest_now(NULL, m, visit, m), before));
    machine_destroy(m);
}

Test(digest, sees_ram_overlays_clock_events_and_end)
{
    struct machine *m = fresh();
    int o = overlay_create(m->memory, "page", OVERLAY_WRITABLE), e = event_add(m->events, "timer", NULL, NULL);
    struct digest seen[6];
    seen[0] = digest_now(NULL, m, visit, m);
    memory_write(m->memory, gpa(0), "x", 1);
    seen[1] = digest_now(NULL, m, visit, m);
    overlay_place(m->memory, o, gpa(0x1000));
    seen[2] = digest_now(NULL, m, visit, m);
    m->clock.cycle++;
    seen[3] = digest_now(NULL, m, visit, m);
    event_arm(m->events, e, 5);
    seen[4] = digest_now(NULL, m, visit, m);
    machine_end(m, END_RESET, 0);
    seen[5] = digest_now(NULL, m, visit, m);
    for (unsigned i = 0; i < 6; i++) {
        for (unsigned k = 0; k < i; k++) {
            cr_expect_not(same(seen[i], seen[k]), "%u and %u", i, k);
        }
    }
    machine_destroy(m);
}

Test(digest, next_epoch_is_the_first_multiple_beyond_now)
{
    struct machine *m = fresh();
    struct digest_chain c = digest_chain_start(1000);
    cr_expect_eq(c.next_cycle, 1000);
    m->clock.cycle = 1000;
    digest_chain_append(&c, m, visit, m);
    cr_expect_eq(c.next_cycle, 2000);
    m->clock.cycle = 4001;
    digest_chain_append(&c, m, visit, m);
    cr_expect_eq(c.next_cycle, 5000);
    c = digest_chain_start(0);
    digest_chain_append(&c, m, visit, m);
    cr_expect_eq(c.next_cycle, CYCLE_NEVER);
    c = digest_chain_start(UINT64_MAX / 2 + 1);
    m->clock.cycle = c.next_cycle;
    digest_chain_append(&c, m, visit, m);
    cr_expect_eq(c.next_cycle, CYCLE_NEVER);
    machine_destroy(m);
}

static bool chain_restores(struct digest_chain saved, struct digest_chain *into)
{
    struct state *s = state_begin_save();
    size_t length;
    digest_chain_state(s, &saved);
    uint8_t *file = state_finish_save(s, &length);
    state_end(s);
    s = state_begin_restore(file, length);
    digest_chain_state(s, into);
    bool fine = state_finish_restore(s);
    state_end(s);
    free(file);
    return fine;
}

Test(digest, chain_saves_and_restores)
{
    struct digest_chain a = {1000, 3000, 2, {5, 6}}, b = digest_chain_start(1000);
    cr_expect(chain_restores(a, &b));
    cr_expect_eq(memcmp(&a, &b, sizeof a), 0);
    b = digest_chain_start(999);
    cr_expect_not(chain_restores(a, &b), "another epoch");
    a.next_cycle = 3001;
    b = digest_chain_start(1000);
    cr_expect_not(chain_restores(a, &b), "not a multiple");
}

/* ---- clock.h ---- */

Test(clock, conversions_are_exact_at_the_ends)
{
    cr_expect_eq(mul_div(UINT64_MAX, UINT64_MAX, UINT64_MAX), UINT64_MAX);
    cr_expect_eq(mul_div(UINT64_MAX, 2, 1), UINT64_MAX, "what does not fit is the largest");
    cr_expect_eq(mul_div(7, 3, 2), 10);
    cr_expect_eq(mul_div_up(7, 3, 2), 11);
    cr_expect_eq(mul_div_up(8, 3, 2), 12);
}

Test(clock, a_tick_is_shown_at_its_first_cycle_and_not_before)
{
    const uint64_t rates[] = {1, 1000, 1193182, 3579545, RATE_100NS_HZ, RATE_NS_HZ, 2399999999ULL};
    const uint64_t clocks[] = {CLOCK_HZ_MIN, 999999937, 1000000000, 2399876543ULL, CLOCK_HZ_MAX};
    for (size_t r = 0; r < ARRAY_COUNT(rates); r++) {
        for (size_t k = 0; k < ARRAY_COUNT(clocks); k++) {
            struct clock c = {.hz = clocks[k]};
            for (uint64_t ticks = 1; ticks < 1ULL << 45; ticks = ticks * 3 + 1) {
                uint64_t cycle = clock_cycle_of_ticks(&c, ticks, rates[r]);
                if (cycle == UINT64_MAX) {
                    break; /* beyond 64 bits */
                }
                cr_assert_geq(clock_ticks(&c, cycle, rates[r]), ticks);
                cr_assert_lt(clock_ticks(&c, cycle - 1, rates[r]), ticks);
            }
        }
    }
}
