/* The event queue, clause by clause and against a list that is simply searched. */
#include <criterion/criterion.h>
#include <string.h>
#include <xxhash.h>

#include "machine/events.h"
#include "machine/prng.h"
#include "machine/state.h"

struct log {
    struct events *q;
    int ran[64];
    uint64_t due[64];
    unsigned count;
    int again; /* source to arm from within, at again_due */
    uint64_t again_due;
};
struct source {
    struct log *log;
    int number;
};

static void note(void *owner, uint64_t due)
{
    struct source *s = owner;
    struct log *l = s->log;
    cr_assert_lt(l->count, 64);
    l->ran[l->count] = s->number;
    l->due[l->count++] = due;
    if (l->again >= 0) {
        int again = l->again;
        l->again = -1;
        event_arm(l->q, again, l->again_due);
    }
}

static void add_sources(struct log *l, struct source *s, int count)
{
    *l = (struct log){.q = events_create(), .again = -1};
    for (int i = 0; i < count; i++) {
        s[i].log = l;
        s[i].number = event_add(l->q, "source", note, &s[i]);
    }
}

Test(events, nothing_armed_is_never)
{
    struct log l;
    struct source s[1];
    add_sources(&l, s, 1);
    cr_expect_eq(events_next(l.q), CYCLE_NEVER);
    cr_expect_eq(event_due(l.q, 0), CYCLE_NEVER);
    events_run(l.q, CYCLE_NEVER);
    cr_expect_eq(l.count, 0);
    events_destroy(l.q);
}

Test(events, run_by_cycle_then_by_order_of_arming)
{
    struct log l;
    struct source s[4];
    add_sources(&l, s, 4);
    event_arm(l.q, 3, 20);
    event_arm(l.q, 2, 10);
    event_arm(l.q, 0, 20);
    event_arm(l.q, 1, 20);
    events_run(l.q, 20);
    const int order[] = {2, 3, 0, 1};
    cr_expect_eq(l.count, 4);
    cr_expect_arr_eq(l.ran, order, sizeof order);
    events_destroy(l.q);
}

Test(events, later_moments_stay)
{
    struct log l;
    struct source s[2];
    add_sources(&l, s, 2);
    event_arm(l.q, 0, 10);
    event_arm(l.q, 1, 11);
    events_run(l.q, 10);
    cr_expect_eq(l.count, 1);
    cr_expect_eq(events_next(l.q), 11);
    cr_expect_eq(event_due(l.q, 0), CYCLE_NEVER, "what ran is no longer armed");
    events_destroy(l.q);
}

Test(events, rearming_replaces_the_moment)
{
    struct log l;
    struct source s[1];
    add_sources(&l, s, 1);
    event_arm(l.q, 0, 10);
    event_arm(l.q, 0, 30);
    events_run(l.q, 20);
    cr_expect_eq(l.count, 0);
    event_arm(l.q, 0, 15);
    events_run(l.q, 20);
    cr_expect_eq(l.count, 1);
    cr_expect_eq(l.due[0], 15, "told the armed cycle, not the clock's");
    events_destroy(l.q);
}

Test(events, rearming_the_same_moment_keeps_its_place)
{
    struct log l;
    struct source s[2];
    add_sources(&l, s, 2);
    event_arm(l.q, 0, 10);
    event_arm(l.q, 1, 10);
    event_arm(l.q, 0, 10);
    events_run(l.q, 10);
    cr_expect_eq(l.ran[0], 0);
    events_destroy(l.q);
}

Test(events, arming_for_never_disarms)
{
    struct log l;
    struct source s[1];
    add_sources(&l, s, 1);
    event_arm(l.q, 0, 10);
    event_arm(l.q, 0, CYCLE_NEVER);
    cr_expect_eq(events_next(l.q), CYCLE_NEVER);
    event_disarm(l.q, 0);
    events_run(l.q, CYCLE_NEVER);
    cr_expect_eq(l.count, 0);
    events_destroy(l.q);
}

Test(events, what_an_event_arms_for_now_runs_in_the_same_call)
{
    struct log l;
    struct source s[2];
    add_sources(&l, s, 2);
    l.again = 1;
    l.again_due = 5; /* in the past */
    event_arm(l.q, 0, 10);
    events_run(l.q, 10);
    cr_expect_eq(l.count, 2);
    cr_expect_eq(l.ran[1], 1);
    cr_expect_eq(l.due[1], 5);
    events_destroy(l.q);
}

Test(events, an_event_may_rearm_itself)
{
    struct log l;
    struct source s[1];
    add_sources(&l, s, 1);
    l.again = 0;
    l.again_due = 25;
    event_arm(l.q, 0, 10);
    events_run(l.q, 20);
    cr_expect_eq(l.count, 1);
    cr_expect_eq(events_next(l.q), 25);
    events_destroy(l.q);
}

static void note_earlier(void *owner, uint64_t cycle)
{
    *(uint64_t *)owner = cycle;
}

Test(events, watcher_hears_of_earlier_moments_only)
{
    struct log l;
    struct source s[2];
    add_sources(&l, s, 2);
    uint64_t heard = 0;
    events_watch(l.q, note_earlier, &heard);
    event_arm(l.q, 0, 100);
    cr_expect_eq(heard, 100);
    heard = 0;
    event_arm(l.q, 1, 100);
    event_arm(l.q, 1, 200);
    cr_expect_eq(heard, 0);
    event_arm(l.q, 1, 50);
    cr_expect_eq(heard, 50);
    heard = 0;
    event_disarm(l.q, 1);
    event_arm(l.q, 0, 150);
    cr_expect_eq(heard, 0, "becoming later is not told");
    events_destroy(l.q);
}

/* ---- against a plain list ---- */

enum { SOURCES = 1500 };
struct model {
    struct events *q;
    struct prng r;
    uint64_t due[SOURCES], sequence[SOURCES], next_sequence;
    uint64_t now;
    unsigned ran;
};
struct model_source {
    struct model *m;
    int number;
};

static void model_arm(struct model *m, int s, uint64_t due)
{
    if (m->due[s] != due) {
        m->due[s] = due;
        m->sequence[s] = m->next_sequence++;
    }
    event_arm(m->q, s, due);
}

static int model_first(const struct model *m)
{
    int first = 0;
    for (int i = 1; i < SOURCES; i++) {
        if (m->due[i] < m->due[first] || (m->due[i] == m->due[first] && m->sequence[i] < m->sequence[first])) {
            first = i;
        }
    }
    return first;
}

static void model_fire(void *owner, uint64_t due)
{
    struct model_source *s = owner;
    struct model *m = s->m;
    cr_assert_eq(model_first(m), s->number);
    cr_assert_eq(m->due[s->number], due);
    m->due[s->number] = CYCLE_NEVER;
    m->ran++;
    if (prng_next(&m->r) % 4 == 0) {
        model_arm(m, (int)(prng_next(&m->r) % SOURCES), m->now + prng_next(&m->r) % 40 - 10);
    }
}

Test(events, agree_with_a_plain_list)
{
    static struct model m;
    static struct model_source s[SOURCES];
    m = (struct model){.q = events_create(), .r = {3}, .now = 1000};
    for (int i = 0; i < SOURCES; i++) {
        s[i] = (struct model_source){&m, event_add(m.q, "source", model_fire, &s[i])};
        m.due[i] = CYCLE_NEVER;
    }
    for (unsigned step = 0; step < 6000; step++) {
        uint64_t dice = prng_next(&m.r);
        int source = (int)(prng_next(&m.r) % SOURCES);
        if (dice % 8 == 0) {
            event_disarm(m.q, source);
            m.due[source] = CYCLE_NEVER;
        } else if (dice % 8 == 1) {
            m.now += prng_next(&m.r) % 16;
            events_run(m.q, m.now);
            cr_assert_gt(m.due[model_first(&m)], m.now);
        } else {
            model_arm(&m, source, m.now + prng_next(&m.r) % 300);
        }
        cr_assert_eq(events_next(m.q), m.due[model_first(&m)], "step %u", step);
        cr_assert_eq(event_due(m.q, source), m.due[source]);
    }
    cr_expect_gt(m.ran, 500, "the test ran events at all");
    events_destroy(m.q);
}

/* ---- save and restore ---- */

static uint8_t *save(struct events *q, size_t *length)
{
    struct state *s = state_begin_save();
    events_state(s, q);
    uint8_t *file = state_finish_save(s, length);
    state_end(s);
    return file;
}

static bool restore(struct events *q, const uint8_t *file, size_t length)
{
    struct state *s = state_begin_restore(file, length);
    events_state(s, q);
    bool fine = state_finish_restore(s);
    state_end(s);
    return fine;
}

Test(events, restored_queue_runs_in_the_saved_order)
{
    struct log a, b;
    struct source sa[4], sb[4];
    add_sources(&a, sa, 4);
    add_sources(&b, sb, 4);
    event_arm(a.q, 2, 7);
    event_arm(a.q, 0, 7);
    event_arm(a.q, 3, 5);
    event_arm(b.q, 1, 1); /* forgotten by the restore */
    size_t length;
    uint8_t *file = save(a.q, &length);
    cr_expect(restore(b.q, file, length));
    event_arm(b.q, 1, 7);
    events_run(b.q, 10);
    const int order[] = {3, 2, 0, 1};
    cr_expect_eq(b.count, 4);
    cr_expect_arr_eq(b.ran, order, sizeof order);
    free(file);
    events_destroy(a.q);
    events_destroy(b.q);
}

Test(events, queues_with_equal_futures_save_equal_bytes)
{
    struct log a, b;
    struct source sa[3], sb[3];
    add_sources(&a, sa, 3);
    add_sources(&b, sb, 3);
    event_arm(a.q, 0, 9);
    event_arm(a.q, 1, 9);
    for (unsigned i = 0; i < 10; i++) {
        event_arm(b.q, 2, i);
        event_arm(b.q, 1, i);
    }
    event_disarm(b.q, 2);
    event_arm(b.q, 0, 8);
    event_arm(b.q, 0, 9);
    event_arm(b.q, 1, 8);
    event_arm(b.q, 1, 9);
    size_t la, lb;
    uint8_t *fa = save(a.q, &la), *fb = save(b.q, &lb);
    cr_expect_eq(la, lb);
    cr_expect_arr_eq(fa, fb, la < lb ? la : lb);
    free(fa);
    free(fb);
    events_destroy(a.q);
    events_destroy(b.q);
}

/* The section as a hostile file would write it: for each source due and rank. */
static uint8_t *forge(const uint64_t *due, const uint32_t *rank, const char *names[], uint32_t count, size_t *length)
{
    struct state *s = state_begin_save();
    state_section(s, "events", 1);
    state_u32(s, &count);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t name = XXH3_64bits(names[i], strlen(names[i])), d = due[i];
        uint32_t r = rank[i];
        state_u64(s, &name);
        state_u64(s, &d);
        state_u32(s, &r);
    }
    uint8_t *file = state_finish_save(s, length);
    state_end(s);
    return file;
}

Test(events, impossible_queues_are_refused)
{
    static const struct {
        bool fine;
        uint64_t due[2];
        uint32_t rank[2];
        const char *names[2];
        uint32_t count;
    } cases[] = {
        {true, {5, 6}, {0, 1}, {"source", "source"}, 2},           {true, {5, 5}, {1, 0}, {"source", "source"}, 2},
        {true, {CYCLE_NEVER, 5}, {0, 0}, {"source", "source"}, 2}, {false, {5, 6}, {1, 0}, {"source", "source"}, 2},
        {false, {5, 5}, {0, 0}, {"source", "source"}, 2},          {false, {5, 6}, {0, 2}, {"source", "source"}, 2},
        {false, {5, 6}, {0, UINT32_MAX}, {"source", "source"}, 2}, {false, {CYCLE_NEVER, 5}, {1, 0}, {"source", "source"}, 2},
        {false, {5, 6}, {0, 1}, {"source", "other"}, 2},           {false, {5, 6}, {0, 1}, {"source", "source"}, 1},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct log l;
        struct source s[2];
        add_sources(&l, s, 2);
        size_t length;
        uint8_t *file = forge(cases[i].due, cases[i].rank, (const char **)cases[i].names, cases[i].count, &length);
        cr_expect_eq(restore(l.q, file, length), cases[i].fine, "case %zu", i);
        free(file);
        events_destroy(l.q);
    }
}
