/* Whole runs of guests of a few bytes: nothing but the scenario shows in the result. Clauses of scenarios/runner.h. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scenarios/files.h"
#include "scenarios/result.h"

/* Fills 5000 bytes with REP STOSB, prints a to z on COM1 with a pause between, leaves by debug-exit 5. */
static const uint8_t alphabet[] = {
    0xbf, 0x00, 0x20, /*    mov di, 0x2000 */
    0xb9, 0x88, 0x13, /*    mov cx, 5000 */
    0xb0, 0x55,       /*    mov al, 0x55 */
    0xf3, 0xaa,       /*    rep stosb */
    0xba, 0xf8, 0x03, /*    mov dx, 0x3f8 */
    0xb0, 0x61,       /*    mov al, 'a' */
    0xee,             /* 1: out dx, al */
    0xb9, 0xc8, 0x00, /*    mov cx, 200 */
    0xe2, 0xfe,       /*    loop . */
    0xfe, 0xc0,       /*    inc al */
    0x3c, 0x7b,       /*    cmp al, 'z' + 1 */
    0x75, 0xf4,       /*    jne 1b */
    0xba, 0xf4, 0x00, /*    mov dx, 0xf4 */
    0xb0, 0x05,       /*    mov al, 5 */
    0xee,             /*    out dx, al */
    0xf4,             /*    hlt */
};
/* Echoes COM1. */
static const uint8_t echo[] = {
    0xba, 0xfd, 0x03, /* 1: mov dx, 0x3fd */
    0xec,             /* 2: in al, dx */
    0xa8, 0x01,       /*    test al, 1 */
    0x74, 0xfb,       /*    jz 2b */
    0xba, 0xf8, 0x03, /*    mov dx, 0x3f8 */
    0xec,             /*    in al, dx */
    0xee,             /*    out dx, al */
    0xeb, 0xf1,       /*    jmp 1b */
};
/* Asks the keyboard controller for a reset; leaves by debug-exit 1 when memory remembers that it did so before. */
static const uint8_t resetter[] = {
    0x80, 0x3e, 0x00, 0x05, 0x00, /*    cmp byte [0x500], 0 */
    0x75, 0x0b,                   /*    jne 1f */
    0xc6, 0x06, 0x00, 0x05, 0x01, /*    mov byte [0x500], 1 */
    0xb0, 0xfe,                   /*    mov al, 0xfe */
    0xe6, 0x64,                   /*    out 0x64, al */
    0xeb, 0xfe,                   /*    jmp . */
    0xba, 0xf4, 0x00,             /* 1: mov dx, 0xf4 */
    0xb0, 0x01,                   /*    mov al, 1 */
    0xee,                         /*    out dx, al */
    0xf4,                         /*    hlt */
};
static const uint8_t spin[] = {0xeb, 0xfe};
static const uint8_t sleep_for_ever[] = {0xfa, 0xf4};

#define HEAD "orrery: 1\nscenario: t\npartition: { profile: none, memory: 1 MiB }\n"
#define SHORT_EPOCHS                                                                                                           \
    "orrery: 1\nscenario: t\npartition: { profile: none, memory: 1 MiB, epoch: 10 us }\nlimits: { time: 1 s }\n"
#define GUEST "guest: { flat: { image: x.bin, address: 0x7c00, mode: 16 } }\n"
#define SCRIPT                                                                                                                 \
    "timeline: [ { when: { console: 'd' }, do: { send: q } } ]\n"                                                              \
    "expect: [ { console: '^abc' }, { count: { port_out: { port: 0x3f8 } }, is: 26 }, { never: { exception: } }, { end: "      \
    "debug-exit:5 } ]\n"

static struct scenario *scene(const char *text, const uint8_t *image, size_t size)
{
    struct message why = {.text = {0}};
    struct scenario *s = scenario_read("t.yaml", text, strlen(text), NULL, NULL, &why);
    cr_assert_not_null(s, "%s", why.text);
    s->kernel.bytes = malloc(size);
    memcpy(s->kernel.bytes, image, size);
    s->kernel.size = size;
    return s;
}

static const struct run_options plain = {.stop_at_cycle = CYCLE_NEVER};

static struct runner *runner_of(const struct scenario *s, const struct run_options *options)
{
    struct message why = {.text = {0}};
    struct runner *r = runner_create(s, options, &why);
    cr_assert_not_null(r, "%s", why.text);
    return r;
}

/* The whole result as text, with the one value that belongs to the host set to zero. */
static char *result_of(struct runner *r)
{
    struct message why = {.text = {0}};
    cr_assert(runner_run(r, &why), "%s", why.text);
    json_t *json = result_json(r, 0);
    char *text = json_dumps(json, JSON_PRESERVE_ORDER);
    json_decref(json);
    return text;
}

static char *run_to_end(const struct scenario *s, const struct run_options *options)
{
    struct runner *r = runner_of(s, options);
    char *text = result_of(r);
    runner_destroy(r);
    return text;
}

static enum run_end end_of(struct runner *r)
{
    struct message why = {.text = {0}};
    uint32_t code;
    cr_assert(runner_run(r, &why), "%s", why.text);
    return runner_end(r, &code);
}

/* ---- results ---- */

Test(run, result_has_the_stable_keys)
{
    struct scenario *s = scene(SHORT_EPOCHS GUEST SCRIPT, alphabet, sizeof alphabet);
    struct runner *r = runner_of(s, &plain);
    free(result_of(r));
    json_t *json = result_json(r, 1.5);
    static const char *const keys[] = {"verdict", "end",           "expectations", "digest",      "epochs",
                                       "cycles",  "instructions",  "exits",        "cpu_seconds", "engine",
                                       "cost",    "deterministic", "images",       "console"};
    cr_expect_eq(json_object_size(json), ARRAY_COUNT(keys));
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
        cr_expect_not_null(json_object_get(json, keys[i]), "%s", keys[i]);
    }
    cr_expect_str_eq(json_string_value(json_object_get(json, "verdict")), "met");
    cr_expect_str_eq(json_string_value(json_object_get(json, "end")), "debug-exit:5");
    cr_expect_str_eq(json_string_value(json_object_get(json, "console")), "abcdefghijklmnopqrstuvwxyz");
    cr_expect_eq(json_integer_value(json_object_get(json_object_get(json, "exits"), "port")), 27);
    cr_expect_gt(json_array_size(json_object_get(json, "epochs")), 3);
    json_decref(json);
    runner_destroy(r);
    scenario_free(s);
}

Test(run, unmet_expectation_makes_the_verdict)
{
    struct scenario *s = scene(HEAD GUEST "expect: [ { console: a }, { console: A } ]\n", alphabet, sizeof alphabet);
    struct runner *r = runner_of(s, &plain);
    cr_expect_eq(end_of(r), RUN_DEBUG_EXIT);
    cr_expect(runner_verdict(r, 0).met);
    cr_expect_not(runner_verdict(r, 1).met);
    cr_expect_not(runner_met(r));
    runner_destroy(r);
    scenario_free(s);
}

Test(run, evidence_shows_registers_code_and_last_exits)
{
    struct scenario *s = scene(SHORT_EPOCHS GUEST SCRIPT, alphabet, sizeof alphabet);
    struct runner *r = runner_of(s, &plain);
    free(result_of(r));
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    evidence_print(out, r);
    fclose(out);
    cr_expect_not_null(strstr(text, "VP 0, "));
    cr_expect_not_null(strstr(text, "Rip    0000000000007c21"), "%s", text);
    cr_expect_not_null(strstr(text, "=> 0000000000007c21  f4 "), "%s", text);
    cr_expect_not_null(strstr(text, "The last 27 exits"), "%s", text);
    cr_expect_not_null(strstr(text, "port_out port=0xf4 bytes=1 value=0x5"), "%s", text);
    free(text);
    runner_destroy(r);
    scenario_free(s);
}

/* ---- what is never visible ---- */

Test(run, chunk_is_never_visible)
{
    static const uint64_t chunks[] = {1, 7, 1000, 10007, 1000000};
    struct scenario *s = scene(SHORT_EPOCHS GUEST SCRIPT, alphabet, sizeof alphabet);
    char *want = run_to_end(s, &plain);
    for (size_t i = 0; i < ARRAY_COUNT(chunks); i++) {
        struct run_options options = plain;
        options.chunk_cycles = chunks[i];
        char *got = run_to_end(s, &options);
        cr_expect_str_eq(got, want, "chunks of %llu cycles", (unsigned long long)chunks[i]);
        free(got);
    }
    free(want);
    scenario_free(s);
}

/* At 60 moments, among them within the REP and within a timeline's action. */
Test(run, saved_and_restored_anywhere_it_ends_with_the_same_result)
{
    struct scenario *s = scene(SHORT_EPOCHS GUEST SCRIPT, alphabet, sizeof alphabet);
    char *want = run_to_end(s, &plain);
    for (uint64_t cycle = 0; cycle < 60000; cycle += 997) {
        struct message why = {.text = {0}};
        struct run_options options = plain;
        options.stop_at_cycle = cycle;
        struct runner *first = runner_of(s, &options), *second = runner_of(s, &plain);
        size_t size;
        cr_assert(runner_run(first, &why), "%s", why.text);
        uint8_t *bytes = runner_save(first, &size, &why);
        cr_assert_not_null(bytes, "%s", why.text);
        cr_assert(runner_restore(second, bytes, size, &why), "at %llu: %s", (unsigned long long)cycle, why.text);
        char *got = result_of(second);
        cr_expect_str_eq(got, want, "saved at %llu", (unsigned long long)cycle);
        free(got);
        free(bytes);
        runner_destroy(second);
        runner_destroy(first);
    }
    free(want);
    scenario_free(s);
}

Test(run, trace_leaves_the_result_as_it_is)
{
    char dir[] = "/tmp/orrery-test-XXXXXX", path[64], file[100];
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/trace", dir);
    struct scenario *s = scene(SHORT_EPOCHS GUEST SCRIPT, alphabet, sizeof alphabet);
    struct run_options options = plain;
    options.trace_dir = path;
    struct runner *with = runner_of(s, &options), *without = runner_of(s, &plain);
    struct digest trace;
    free(result_of(with));
    free(result_of(without));
    cr_expect(runner_trace_digest(with, &trace) && trace.low != 0);
    cr_expect_not(runner_trace_digest(without, &trace));
    cr_expect(runner_digest(with).low == runner_digest(without).low && runner_digest(with).high == runner_digest(without).high);
    runner_destroy(with);
    runner_destroy(without);
    snprintf(file, sizeof file, "rm -r %s", dir);
    cr_expect_eq(system(file), 0);
    scenario_free(s);
}

/* ---- saved files ---- */

Test(run, file_of_another_seed_is_refused)
{
    struct message why = {.text = {0}};
    struct scenario *a = scene(HEAD GUEST, spin, sizeof spin), *b = scene(HEAD GUEST, spin, sizeof spin);
    b->seed = 1;
    struct runner *from = runner_of(a, &plain), *to = runner_of(b, &plain);
    size_t size;
    uint8_t *bytes = runner_save(from, &size, &why);
    cr_expect_not(runner_restore(to, bytes, size, &why));
    cr_expect_not_null(strstr(why.text, "another scenario"), "%s", why.text);
    free(bytes);
    runner_destroy(from);
    runner_destroy(to);
    scenario_free(a);
    scenario_free(b);
}

Test(run, truncated_or_changed_file_is_refused)
{
    struct message why = {.text = {0}};
    struct scenario *s = scene(SHORT_EPOCHS GUEST SCRIPT, alphabet, sizeof alphabet);
    struct runner *from = runner_of(s, &plain);
    size_t size;
    uint8_t *bytes = runner_save(from, &size, &why);
    cr_assert_not_null(bytes);
    for (size_t at = 0; at < size; at += size / 40 + 1) {
        struct message cut = {.text = {0}}, changed = {.text = {0}};
        struct runner *a = runner_of(s, &plain), *b = runner_of(s, &plain);
        cr_expect_not(runner_restore(a, bytes, at, &cut));
        bytes[at] ^= 0x10;
        cr_expect_not(runner_restore(b, bytes, size, &changed), "byte %zu", at);
        bytes[at] ^= 0x10;
        cr_expect(message_set(&cut) && message_set(&changed));
        runner_destroy(a);
        runner_destroy(b);
    }
    free(bytes);
    runner_destroy(from);
    scenario_free(s);
}

/* ---- limits and ends ---- */

Test(run, instruction_limit_is_exact_whatever_the_chunk)
{
    static const uint64_t chunks[] = {0, 1, 7, 1000};
    struct scenario *s =
        scene(HEAD "limits: { instructions: 12345 }\n" GUEST "expect: [ { end: limit } ]\n", spin, sizeof spin);
    for (size_t i = 0; i < ARRAY_COUNT(chunks); i++) {
        struct run_options options = plain;
        options.chunk_cycles = chunks[i];
        struct runner *r = runner_of(s, &options);
        cr_expect_eq(end_of(r), RUN_LIMIT);
        cr_expect_eq(runner_instructions(r), 12345);
        cr_expect(runner_met(r));
        runner_destroy(r);
    }
    scenario_free(s);
}

Test(run, time_limit_is_exact)
{
    struct scenario *s = scene(HEAD "limits: { time: 123456 ns }\n" GUEST, spin, sizeof spin);
    struct runner *r = runner_of(s, &plain);
    cr_expect_eq(end_of(r), RUN_LIMIT);
    cr_expect_eq(runner_cycles(r), 123456);
    runner_destroy(r);
    scenario_free(s);
}

Test(run, guest_that_sleeps_for_ever_has_halted)
{
    struct scenario *s = scene(HEAD GUEST "expect: [ { end: halted } ]\n", sleep_for_ever, sizeof sleep_for_ever);
    struct runner *r = runner_of(s, &plain);
    cr_expect_eq(end_of(r), RUN_HALTED);
    cr_expect_lt(runner_cycles(r), 10000);
    cr_expect(runner_met(r));
    runner_destroy(r);
    scenario_free(s);
}

Test(run, sleeping_guest_waits_for_the_timeline)
{
    struct scenario *s = scene(HEAD GUEST "timeline: [ { at: 1 ms, do: stop } ]\n", sleep_for_ever, sizeof sleep_for_ever);
    struct runner *r = runner_of(s, &plain);
    cr_expect_eq(end_of(r), RUN_STOP_AT);
    cr_expect_eq(runner_cycles(r), 1000000);
    runner_destroy(r);
    scenario_free(s);
}

Test(run, stop_at_is_the_first_boundary_at_or_after)
{
    struct scenario *s = scene(HEAD GUEST, spin, sizeof spin);
    struct run_options options = plain;
    options.stop_at_cycle = 777;
    struct runner *r = runner_of(s, &options);
    cr_expect_eq(end_of(r), RUN_STOP_AT);
    cr_expect_eq(runner_cycles(r), 777);
    runner_destroy(r);
    scenario_free(s);
}

static bool not_on(void *owner, const struct runner *r)
{
    (void)r;
    return ++*(unsigned *)owner < 4;
}

Test(run, interrupted_run_has_a_result_and_is_not_met)
{
    unsigned asked = 0;
    struct scenario *s = scene(HEAD GUEST "expect: [ { never: { exception: } } ]\n", spin, sizeof spin);
    struct run_options options = plain;
    options.chunk_cycles = 100;
    options.go_on = not_on;
    options.owner = &asked;
    struct runner *r = runner_of(s, &options);
    cr_expect_eq(end_of(r), RUN_INTERRUPTED);
    cr_expect_eq(runner_cycles(r), 300);
    cr_expect_not(runner_met(r));
    runner_destroy(r);
    scenario_free(s);
}

/* ---- timeline and reset ---- */

Test(run, keys_reach_the_guest)
{
    struct scenario *s =
        scene(HEAD GUEST
              "timeline:\n  - { at: 10 us, do: { send: hello } }\n  - { when: { console: hello }, do: [ { send: '!' } ] }\n"
              "  - { when: { console: hello! }, do: stop }\nexpect: [ { console: '^hello!$', within: 50 ms } ]\n",
              echo, sizeof echo);
    struct runner *r = runner_of(s, &plain);
    cr_expect_eq(end_of(r), RUN_STOP_AT);
    cr_expect(runner_met(r));
    runner_destroy(r);
    scenario_free(s);
}

/* 60 times 100 bytes do not fit the receiver's 4 KiB queue at once; none may be lost or change places. */
Test(run, keys_beyond_the_receivers_queue_wait)
{
    char text[12000], line[101];
    for (unsigned i = 0; i < 100; i++) {
        line[i] = (char)('a' + i % 26);
    }
    line[100] = 0;
    size_t used = (size_t)snprintf(text, sizeof text, HEAD "limits: { time: 10 s, instructions: 2 G }\n" GUEST "timeline:\n");
    for (unsigned entry = 0; entry < 5; entry++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "  - { at: 1 us, do: [ ");
        for (unsigned i = 0; i < 12; i++) {
            used += (size_t)snprintf(text + used, sizeof text - used, "%s{ send: %s }", i > 0 ? ", " : "", line);
        }
        used += (size_t)snprintf(text + used, sizeof text - used, " ] }\n");
    }
    snprintf(text + used, sizeof text - used, "  - { when: { console: '(%s){8}' }, do: stop }\n", line);
    struct scenario *s = scene(text, echo, sizeof echo);
    struct runner *r = runner_of(s, &plain);
    cr_expect_eq(end_of(r), RUN_STOP_AT);
    runner_destroy(r);
    scenario_free(s);
}

Test(run, save_action_saves_what_a_fresh_process_can_go_on_from)
{
    char dir[] = "/tmp/orrery-test-XXXXXX", path[64], text[1000];
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/saved", dir);
    snprintf(text, sizeof text, "%s%stimeline: [ { when: { console: m }, do: [ { save: %s }, stop ] } ]\n", HEAD, GUEST, path);
    struct scenario *s = scene(text, alphabet, sizeof alphabet);
    struct runner *first = runner_of(s, &plain);
    cr_expect_eq(end_of(first), RUN_STOP_AT);
    struct message why = {.text = {0}};
    uint8_t *bytes;
    size_t size;
    cr_assert(file_read(path, 1 << 24, &bytes, &size, &why), "%s", why.text);
    struct runner *second = runner_of(s, &plain);
    cr_assert(runner_restore(second, bytes, size, &why), "%s", why.text);
    cr_expect_eq(end_of(second), RUN_STOP_AT, "the stop behind the save is still to come");
    cr_expect_eq(runner_cycles(second), runner_cycles(first));
    free(bytes);
    runner_destroy(first);
    runner_destroy(second);
    cr_expect_eq(unlink(path), 0);
    cr_expect_eq(rmdir(dir), 0);
    scenario_free(s);
}

Test(run, a_tsc_shown_as_invariant_is_not_migrated_to_another_rate)
{
    static const char *const rates[] = {"2 GHz", "1 GHz"};
    for (unsigned shown = 0; shown < 2; shown++) {
        for (unsigned same = 0; same < 2; same++) {
            char text[1000];
            snprintf(text, sizeof text,
                     "%scpu: { model: v2, tsc: 1 GHz, features: { invtsc: %s } }\n%s"
                     "timeline: [ { when: { console: m }, do: [ { migrate: { tsc: %s } }, stop ] } ]\n",
                     HEAD, shown ? "on" : "off", GUEST, rates[same]);
            struct scenario *s = scene(text, alphabet, sizeof alphabet);
            struct runner *r = runner_of(s, &plain);
            struct message why = {.text = {0}};
            bool ran = runner_run(r, &why);
            cr_expect_eq(ran, !shown || same, "%s %s", shown ? "shown" : "not shown", rates[same]);
            cr_expect(ran || strstr(why.text, ":6:") != NULL, "%s", why.text);
            runner_destroy(r);
            scenario_free(s);
        }
    }
}

Test(run, reset_ends_the_run_unless_it_restarts)
{
    struct scenario *s = scene(HEAD GUEST, resetter, sizeof resetter);
    struct runner *r = runner_of(s, &plain);
    cr_expect_eq(end_of(r), RUN_RESET);
    runner_destroy(r);
    scenario_free(s);
}

Test(run, restart_clears_memory_and_the_clock_goes_on)
{
    struct scenario *s = scene(HEAD "on-reset: restart\nlimits: { restarts: 3 }\n" GUEST
                                    "expect: [ { count: { event: reset_request }, is: 4 }, { end: limit } ]\n",
                               resetter, sizeof resetter);
    struct runner *r = runner_of(s, &plain);
    cr_expect_eq(end_of(r), RUN_LIMIT, "debug-exit would mean that memory remembers");
    cr_expect(runner_met(r));
    cr_expect_gt(runner_cycles(r), 4 * 6);
    runner_destroy(r);
    scenario_free(s);
}
