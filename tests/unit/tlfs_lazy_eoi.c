/* EOIs that need no exit: the EOI assist field of the VP assist page. TLFS 6.0b §10.3.5, §7.8.7. */
#include "tests/unit/tlfs_fixture.h"

enum { EOI = 0x40000070, TPR = 0x40000072, VP_ASSIST = 0x40000073 };
#define PAGE_AT 0x200000ULL
#define PAGE_B 0x300000ULL

static void partition_end(struct partition **p)
{
    partition_destroy(*p);
}
#define PARTITION(name, ...) __attribute__((cleanup(partition_end))) struct partition *name = __VA_ARGS__

static struct partition *assisted(void)
{
    struct partition *p = fresh("ws2019");
    apic_on(p);
    cr_assert(wr(p, 0, VP_ASSIST, PAGE_AT | 1) == MSR_OK);
    return p;
}

static void request(struct partition *p, uint8_t vector)
{
    cr_assert(lapic_interrupt(p->vps[0].vcpu, vector, false));
}
static int take(struct partition *p)
{
    return lapic_pending(p->vps[0].vcpu) >= 0 ? lapic_acknowledge(p->vps[0].vcpu) : -1;
}
static bool offered(struct partition *p)
{
    return mem64(p, PAGE_AT) & 1;
}
/* The guest's recommended code: clears the field, and writes the register only when it was clear. False: no write was needed.
 */
static bool guest_eoi(struct partition *p)
{
    uint64_t field = mem64(p, PAGE_AT);
    set_mem64(p, PAGE_AT, field & ~0xffffffffULL);
    if (!(field & 1)) {
        cr_assert(wr(p, 0, EOI, 0) == MSR_OK);
    }
    return !(field & 1);
}
static bool in_service(struct partition *p, uint8_t vector)
{
    return lapic_read(p->vps[0].vcpu, 0x100 + 16u * (vector / 32)) >> vector % 32 & 1;
}

Test(lazy_eoi, an_edge_interrupt_alone_needs_no_eoi)
{
    PARTITION(p, assisted());
    cr_expect_not(offered(p));
    request(p, 0x50);
    cr_expect_not(offered(p), "set when it is injected, not when it is requested");
    cr_expect_eq(take(p), 0x50);
    cr_expect(offered(p));
    cr_expect(in_service(p, 0x50));
    cr_expect_not(guest_eoi(p), "no exit");
    cr_expect_not(in_service(p, 0x50));
    request(p, 0x40);
    cr_expect_eq(take(p), 0x40, "the lower one is not held back");
    cr_expect_eq(vp_account(p->vps[0].vcpu).eois_avoided, 1);
}

Test(lazy_eoi, not_offered_while_a_lower_one_waits)
{
    PARTITION(p, assisted());
    request(p, 0x40);
    request(p, 0x50);
    cr_expect_eq(take(p), 0x50);
    cr_expect_not(offered(p));
    cr_expect_eq(take(p), -1);
    cr_expect(guest_eoi(p));
    cr_expect_eq(take(p), 0x40);
    cr_expect(offered(p), "now nothing waits");
}

Test(lazy_eoi, taken_back_when_a_lower_one_is_requested)
{
    PARTITION(p, assisted());
    static const uint8_t lower[] = {0x40, 0x5f, 0x51, 0x50}; /* the same class waits too, and the same vector */
    for (size_t i = 0; i < ARRAY_COUNT(lower); i++) {
        request(p, 0x51);
        cr_assert_eq(take(p), 0x51);
        cr_assert(offered(p));
        request(p, lower[i]);
        cr_expect_not(offered(p), "%x", lower[i]);
        cr_expect(guest_eoi(p));
        cr_expect_eq(take(p), lower[i]);
        guest_eoi(p);
    }
}

Test(lazy_eoi, stands_when_a_higher_one_is_requested_and_goes_to_it)
{
    PARTITION(p, assisted());
    request(p, 0x50);
    cr_assert(take(p) == 0x50 && offered(p));
    request(p, 0x60);
    cr_expect(offered(p));
    cr_expect_eq(take(p), 0x60);
    cr_expect(offered(p));
    cr_expect_not(guest_eoi(p), "the inner one");
    cr_expect(guest_eoi(p), "only the first EOI can be avoided");
    cr_expect(!in_service(p, 0x50) && !in_service(p, 0x60));
}

Test(lazy_eoi, a_level_triggered_interrupt_takes_it_away_from_the_outer_one)
{
    PARTITION(p, assisted());
    request(p, 0x50);
    cr_assert(take(p) == 0x50 && offered(p));
    cr_assert(lapic_interrupt(p->vps[0].vcpu, 0x60, true));
    cr_expect_eq(take(p), 0x60);
    cr_expect_not(offered(p));
    cr_expect(guest_eoi(p) && guest_eoi(p));
    cr_expect(!in_service(p, 0x50) && !in_service(p, 0x60));
}

/* "Conventional EOIs can still be performed irrespective of the field." */
Test(lazy_eoi, a_conventional_eoi_ends_it_and_clears_the_offer)
{
    PARTITION(p, assisted());
    for (int way = 0; way < 2; way++) {
        request(p, 0x50);
        cr_assert(take(p) == 0x50 && offered(p));
        if (way == 0) {
            cr_assert(wr(p, 0, EOI, 0) == MSR_OK);
        } else {
            lapic_write(p->vps[0].vcpu, 0xb0, 0);
        }
        cr_expect_not(offered(p));
        cr_expect_not(in_service(p, 0x50));
    }
}

Test(lazy_eoi, no_page_no_offer)
{
    PARTITION(p, assisted());
    static const uint64_t values[] = {0, PAGE_AT, 1ULL << 45 | 1};
    for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
        cr_assert(wr(p, 0, VP_ASSIST, values[i]) == MSR_OK);
        request(p, 0x50);
        cr_assert_eq(take(p), 0x50);
        cr_assert(wr(p, 0, VP_ASSIST, PAGE_AT | 1) == MSR_OK);
        cr_expect_not(offered(p), "%zu", i);
        cr_assert(wr(p, 0, EOI, 0) == MSR_OK);
        cr_expect_not(in_service(p, 0x50));
    }
}

Test(lazy_eoi, disabled_in_the_middle_nothing_is_lost)
{
    PARTITION(p, assisted());
    request(p, 0x50);
    cr_assert(take(p) == 0x50 && offered(p));
    cr_assert(wr(p, 0, VP_ASSIST, 0) == MSR_OK);
    cr_expect(in_service(p, 0x50));
    cr_assert(wr(p, 0, EOI, 0) == MSR_OK);
    cr_expect_not(in_service(p, 0x50));
    cr_assert(wr(p, 0, VP_ASSIST, PAGE_AT | 1) == MSR_OK);
    cr_expect_not(offered(p));
    request(p, 0x50);
    cr_assert(take(p) == 0x50 && !guest_eoi(p));
    cr_assert(wr(p, 0, VP_ASSIST, 0) == MSR_OK);
    cr_expect_not(in_service(p, 0x50), "it was ended before");
    request(p, 0x50);
    cr_expect_eq(take(p), 0x50);
}

Test(lazy_eoi, the_offer_moves_with_the_page)
{
    PARTITION(p, assisted());
    request(p, 0x50);
    cr_assert(take(p) == 0x50 && offered(p));
    cr_assert(wr(p, 0, VP_ASSIST, PAGE_B | 1) == MSR_OK);
    cr_expect(mem64(p, PAGE_B) & 1);
    set_mem64(p, PAGE_B, 0);
    cr_expect_not(in_service(p, 0x50));
}

Test(lazy_eoi, what_the_guest_writes_elsewhere_in_the_page_stays)
{
    PARTITION(p, assisted());
    set_mem64(p, PAGE_AT, 0x1234567800000000);
    set_mem64(p, PAGE_AT + 8, 0x99);
    request(p, 0x50);
    cr_assert_eq(take(p), 0x50);
    cr_expect_eq(mem64(p, PAGE_AT), 0x1234567800000001);
    cr_expect_eq(mem64(p, PAGE_AT + 8), 0x99);
}

Test(lazy_eoi, a_software_reset_of_the_local_apic_takes_it_back)
{
    PARTITION(p, assisted());
    request(p, 0x50);
    cr_assert(take(p) == 0x50 && offered(p));
    cr_assert(lapic_wrmsr(p->vps[0].vcpu, 0x1b, 0xfee00000) == MSR_OK);
    cr_expect_not(offered(p));
}

/* The proof that no end is ever lost, and none comes too early: a partition with the page and one without get the same
 * interrupts, task priorities and EOIs, nested as they come; every delivery, and every register that shows them, is the same.
 */
Test(lazy_eoi, deliveries_are_those_of_a_partition_without_it)
{
    struct prng prng = {31};
    unsigned avoided = 0, ends = 0;
    for (int round = 0; round < 40; round++) {
        PARTITION(p, assisted());
        PARTITION(q, fresh("ws2019"));
        apic_on(q);
        unsigned depth = 0;
        for (int i = 0; i < 3000; i++) {
            uint8_t vector = (uint8_t)(0x10 + prng_next(&prng) % 0xf0);
            bool level = prng_next(&prng) % 8 == 0;
            uint64_t what = prng_next(&prng) % 16;
            if (what < 4 && (round % 2 == 0 || prng_next(&prng) % 8 == 0)) {
                lapic_interrupt(p->vps[0].vcpu, vector, level);
                lapic_interrupt(q->vps[0].vcpu, vector, level);
            } else if (what < 9) {
                int got = take(p);
                cr_assert_eq(got, take(q), "round %d, step %d", round, i);
                depth += got >= 0;
            } else if (what < 14 && depth > 0) {
                bool conventional = prng_next(&prng) % 8 == 0;
                if (conventional) {
                    lapic_write(p->vps[0].vcpu, 0xb0, 0);
                } else {
                    avoided += !guest_eoi(p);
                }
                cr_assert(wr(q, 0, EOI, 0) == MSR_OK);
                depth--;
                ends++;
            } else if (what == 14) {
                cr_assert(wr(p, 0, TPR, vector & 0x70) == MSR_OK && wr(q, 0, TPR, vector & 0x70) == MSR_OK);
            } else if (what == 15 && prng_next(&prng) % 4 == 0) {
                cr_assert(wr(p, 0, VP_ASSIST, PAGE_AT | 1) == MSR_OK);
            }
            cr_assert_eq(lapic_pending(p->vps[0].vcpu), lapic_pending(q->vps[0].vcpu), "round %d, step %d", round, i);
            if (prng_next(&prng) % 16 == 0) {
                for (uint32_t reg = 0x80; reg < 0x280; reg += 0x10) {
                    cr_assert_eq(lapic_read(p->vps[0].vcpu, reg), lapic_read(q->vps[0].vcpu, reg), "%x", reg);
                }
            }
        }
    }
    cr_assert(avoided > 500 && avoided + 500 < ends, "%u of %u", avoided, ends);
}

Test(lazy_eoi, is_saved_and_restored_with_an_end_not_yet_noticed)
{
    PARTITION(p, assisted());
    PARTITION(q, fresh("ws2019"));
    request(p, 0x50);
    cr_assert(take(p) == 0x50 && !guest_eoi(p));
    struct state *s = state_begin_save();
    machine_state(s, p->machine);
    partition_state(s, p);
    size_t length;
    uint8_t *bytes = state_finish_save(s, &length);
    state_end(s);
    s = state_begin_restore(bytes, length);
    machine_state(s, q->machine);
    partition_state(s, q);
    cr_assert(state_finish_restore(s));
    state_end(s);
    free(bytes);
    cr_assert(digest_equal(digest_of(p), digest_of(q)));
    request(q, 0x40);
    cr_expect_eq(take(q), 0x40);
}
