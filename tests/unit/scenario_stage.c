/* Timeline and expectations on made-up streams of console bytes and trace events. Clauses of scenarios/script.h and stage.h. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/trace_ids.h"
#include "scenarios/stage.h"

enum { HZ = 1000000 }; /* a cycle is a microsecond */

struct play {
    struct yaml_tree *tree;
    struct script script;
    struct stage *stage;
};

/* `text` holds "timeline:" and "expect:". The stage borrows the script, so a play does not move. */
static struct play *play(const char *text)
{
    struct play *p = calloc(1, sizeof *p);
    struct message why = {.text = {0}};
    p->tree = yaml_tree_read("f", text, strlen(text), NULL, &why);
    cr_assert_not_null(p->tree, "%s", why.text);
    cr_assert(script_read(&p->script, yaml_find(p->tree->root, "timeline"), yaml_find(p->tree->root, "expect"), "f", &why),
              "%s", why.text);
    p->stage = stage_create(&p->script, HZ);
    return p;
}

static void over(struct play *p)
{
    stage_destroy(p->stage);
    script_free(&p->script);
    yaml_tree_free(p->tree);
    free(p);
}

/* One byte a cycle from `cycle` on; true when an action became due. */
static bool says(struct play *p, unsigned port, uint64_t cycle, const char *text)
{
    bool due = false;
    for (; *text != 0; text++) {
        due |= stage_console(p->stage, port, (uint8_t)*text, cycle++);
    }
    return due;
}

static bool event(struct play *p, const char *name, uint32_t vp, uint64_t cycle, uint64_t first, uint64_t second)
{
    struct trace_event e = {.cycle = cycle, .row = script_event(name), .vp = vp, .values = {first, second}};
    cr_assert_not_null(e.row);
    return stage_event(p->stage, &e);
}

static void decided(struct play *p, unsigned index, bool met, uint64_t cycle)
{
    struct verdict v = stage_verdict(p->stage, index, RUN_POWEROFF, 0, 1000);
    cr_expect_eq(v.met, met, "expectation %u: %s", index, p->script.expectations[index].text);
    cr_expect_eq(v.cycle, cycle, "expectation %u decided at %llu", index, (unsigned long long)v.cycle);
}

/* ---- expectations ---- */

Test(stage, console_decides_at_the_byte_that_completes_the_match)
{
    struct play *p = play("expect: [ { console: 'login:' }, { console: nothing } ]");
    says(p, 0, 100, "x\nhost login: ");
    decided(p, 0, true, 112);
    decided(p, 1, false, 1000);
    over(p);
}

Test(stage, console_matches_within_one_line_of_one_port)
{
    struct play *p = play("expect: [ { console: 'a.*b' }, { console: '^b' } ]");
    says(p, 0, 100, "a\r\n");
    says(p, 1, 200, "cb");
    decided(p, 0, false, 1000);
    decided(p, 1, false, 1000);
    says(p, 0, 300, "b");
    decided(p, 1, true, 300);
    over(p);
}

Test(stage, carriage_returns_do_not_count)
{
    struct play *p = play("expect: [ { console: '^ab$' }, { console: '^$' } ]");
    says(p, 0, 100, "a\rb\r\n\r\n");
    decided(p, 0, true, 102);
    decided(p, 1, true, 106);
    over(p);
}

Test(stage, event_must_have_all_fields_and_the_vp)
{
    struct play *p =
        play("expect: [ { event: msr_write, msr: 0x40000000, vp: 1 }, { msr_write: { value: 7 } }, { msr_write: } ]");
    event(p, "msr_write", 0, 10, 0x40000000, 1);
    event(p, "msr_read", 1, 20, 0x40000000, 7);
    event(p, "msr_write", 1, 30, 0x40000001, 7);
    event(p, "msr_write", 1, 40, 0x40000000, 9);
    decided(p, 0, true, 40);
    decided(p, 1, true, 30);
    decided(p, 2, true, 10);
    over(p);
}

Test(stage, within_includes_its_last_cycle)
{
    struct play *p =
        play("expect: [ { console: a, within: 100 us }, { console: b, within: 100 us }, { console: c, within: 100 cycles } ]");
    says(p, 0, 100, "ab");
    decided(p, 0, true, 100);
    decided(p, 1, false, 100);
    decided(p, 2, false, 100);
    over(p);
}

Test(stage, within_counts_from_after)
{
    struct play *p = play(
        "expect: [ { console: a, after: { console: start }, within: 100 us }, { console: a, after: { console: never } } ]");
    says(p, 0, 100, "a\nstart\n"); /* seen at 106; the first "a" does not count, nor does that of "start" */
    says(p, 0, 206, "a");
    decided(p, 0, true, 206);
    decided(p, 1, false, 1000);
    over(p);
}

Test(stage, within_after_is_too_late_a_cycle_later)
{
    struct play *p = play("expect: [ { console: a, after: { event: halt }, within: 100 us } ]");
    event(p, "halt", 0, 50, 0, 0);
    says(p, 0, 151, "a");
    decided(p, 0, false, 150);
    over(p);
}

Test(stage, before_wants_the_first_then_the_second)
{
    static const char text[] = "expect: [ { before: [ { console: a }, { console: b } ] } ]";
    struct play *good = play(text), *bad = play(text), *half = play(text);
    says(good, 0, 100, "ab");
    decided(good, 0, true, 101);
    says(bad, 0, 100, "ba");
    decided(bad, 0, false, 100);
    says(half, 0, 100, "a");
    decided(half, 0, false, 1000);
    over(good), over(bad), over(half);
}

Test(stage, never_is_broken_by_the_first_and_met_at_the_end)
{
    struct play *p = play("expect: [ { never: { console: BUG } }, { never: { exception: { vector: 8 } } } ]");
    says(p, 0, 100, "BUG BUG\nBUG");
    event(p, "exception", 0, 200, 6, 0);
    decided(p, 0, false, 102);
    decided(p, 1, true, 1000);
    over(p);
}

Test(stage, a_line_counts_once)
{
    struct play *p = play("expect: [ { count: { console: x }, is: 2 }, { count: { console: x }, at-least: 2 }, { count: { "
                          "console: x }, at-most: 1 },"
                          "{ count: { event: halt }, is: 0 }, { count: { console: x }, at-least: 3, at-most: 4 } ]");
    says(p, 0, 100, "xxx\nyx\n");
    decided(p, 0, true, 1000);
    decided(p, 1, true, 105);
    decided(p, 2, false, 105);
    decided(p, 3, true, 1000);
    decided(p, 4, false, 1000);
    over(p);
}

Test(stage, end_compares_kind_and_code)
{
    struct play *p = play("expect: [ { end: poweroff }, { end: debug-exit:3 }, { end: stop-at } ]");
    cr_expect(stage_verdict(p->stage, 0, RUN_POWEROFF, 0, 7).met);
    cr_expect_not(stage_verdict(p->stage, 0, RUN_RESET, 0, 7).met);
    cr_expect(stage_verdict(p->stage, 1, RUN_DEBUG_EXIT, 3, 7).met);
    cr_expect_not(stage_verdict(p->stage, 1, RUN_DEBUG_EXIT, 4, 7).met);
    cr_expect(stage_verdict(p->stage, 2, RUN_STOP_AT, 0, 7).met);
    cr_expect_eq(stage_verdict(p->stage, 2, RUN_STOP_AT, 0, 7).cycle, 7);
    over(p);
}

/* ---- timeline ---- */

/* The texts of all actions due, joined; "!" for stop. */
static void performs(struct play *p, uint64_t cycle, const char *want)
{
    char got[100] = "";
    const struct action *a;
    while ((a = stage_next_action(p->stage, cycle)) != NULL) {
        strcat(got, a->kind == ACTION_STOP ? "!" : a->text);
    }
    cr_expect_str_eq(got, want);
}

Test(stage, timed_actions_become_due_in_order_of_time)
{
    struct play *p = play("timeline: [ { at: 30 us, do: stop }, { at: 20 cycles, do: [ { send: a }, { send: b } ] }, { at: 20 "
                          "us, do: { send: c } } ]");
    cr_expect_eq(stage_next_cycle(p->stage), 20);
    stage_clock(p->stage, 19);
    performs(p, 19, "");
    stage_clock(p->stage, 20);
    performs(p, 20, "abc");
    cr_expect_eq(stage_next_cycle(p->stage), 30);
    stage_clock(p->stage, 35);
    performs(p, 35, "!");
    cr_expect_eq(stage_next_cycle(p->stage), CYCLE_NEVER);
    over(p);
}

Test(stage, when_fires_once_at_its_byte)
{
    struct play *p = play("timeline: [ { when: { console: 'login: $' }, do: { send: root } } ]");
    cr_expect_not(says(p, 0, 10, "login:"));
    cr_expect(says(p, 0, 20, " "));
    performs(p, 20, "root");
    cr_expect_not(says(p, 0, 30, "\nlogin: "));
    performs(p, 40, "");
    over(p);
}

Test(stage, after_previous_looks_at_what_comes_later)
{
    struct play *p = play("timeline: [ { when: { console: '# ' }, do: { send: a } }, { when: { console: '# ' }, after: "
                          "previous, do: { send: b } } ]");
    cr_expect(says(p, 0, 10, "# "));
    performs(p, 11, "a");
    cr_expect_not(says(p, 0, 20, "a\r\n"), "the rest of the line that matched before");
    cr_expect(says(p, 0, 30, "# "));
    performs(p, 31, "b");
    over(p);
}

Test(stage, after_previous_follows_a_timed_entry_too)
{
    struct play *p =
        play("timeline: [ { at: 10 us, do: { send: a } }, { when: { event: halt }, after: previous, do: { send: b } } ]");
    event(p, "halt", 0, 5, 0, 0);
    performs(p, 5, "");
    stage_clock(p->stage, 10);
    cr_expect(event(p, "halt", 0, 12, 0, 0));
    performs(p, 12, "ab");
    over(p);
}

Test(stage, postponed_action_holds_back_those_behind_it)
{
    struct play *p = play("timeline: [ { at: 10 us, do: [ { send: a }, stop ] } ]");
    stage_clock(p->stage, 10);
    const struct action *a = stage_next_action(p->stage, 10);
    stage_postpone(p->stage, a, 50);
    performs(p, 10, "");
    cr_expect_eq(stage_next_cycle(p->stage), 50);
    stage_clock(p->stage, 50);
    performs(p, 50, "a!");
    over(p);
}

/* ---- state ---- */

Test(stage, saved_in_mid_line_and_restored_it_decides_the_same)
{
    static const char text[] =
        "timeline: [ { when: { console: '^ab$' }, do: { send: x } }, { when: { console: c }, after: previous, do: stop } ]\n"
        "expect: [ { console: 'a.*d' }, { count: { console: c }, is: 1 }, { console: c, after: { console: b }, within: 5 us } "
        "]";
    struct play *a = play(text), *b = play(text);
    says(a, 0, 100, "ab");
    size_t size;
    struct state *s = state_begin_save();
    stage_state(s, a->stage);
    uint8_t *bytes = state_finish_save(s, &size);
    state_end(s);
    s = state_begin_restore(bytes, size);
    stage_state(s, b->stage);
    cr_assert(state_finish_restore(s), "%s", state_error(s));
    state_end(s);
    free(bytes);
    struct play *both[] = {a, b};
    for (unsigned i = 0; i < 2; i++) {
        performs(both[i], 101, "x");
        cr_expect(says(both[i], 0, 102, "cd\n"));
        performs(both[i], 105, "!");
        decided(both[i], 0, true, 103);
        decided(both[i], 1, true, 1000);
        decided(both[i], 2, true, 102);
        over(both[i]);
    }
}
