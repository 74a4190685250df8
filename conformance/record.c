/* One ask: run, listened to, written down. See record.h. */
#include "conformance/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/machine.h"
#include "scenarios/runner.h"

/* ---- making ---- */

struct listener {
    struct ktap ktap;
    struct runner *runner;
};

static void console_byte(void *owner, unsigned port, uint8_t byte)
{
    struct listener *l = owner;
    if (port == 0) {
        ktap_byte(&l->ktap, byte, machine_now(partition_machine(runner_partition(l->runner))));
    }
}

static void say(struct record *r, const char *text)
{
    if (r->trouble[0] == 0) {
        snprintf(r->trouble, sizeof r->trouble, "%.*s", (int)sizeof r->trouble - 1, text);
    }
}

/* What the guest thinks has passed, its scenario contradicts: that is no verdict. */
static void doubt_passes(struct record *r, const char *text)
{
    for (size_t i = 0; i < r->count; i++) {
        if (r->lines[i].word == VERDICT_PASS) {
            r->lines[i].word = VERDICT_BROKEN;
            snprintf(r->lines[i].message, sizeof r->lines[i].message, "%s", text);
        }
    }
}

static bool begin(const struct ask *a, struct record *r)
{
    *r = (struct record){.number = a->number,
                         .suite = strdup(a->suite->name),
                         .profile = strdup(a->profile),
                         .command = ask_command(a, CYCLE_NEVER),
                         .probe = strdup(a->probe)};
    return r->suite != NULL && r->profile != NULL && r->command != NULL && r->probe != NULL;
}

bool record_lost(const struct ask *a, const char *trouble, struct record *r)
{
    if (!begin(a, r)) {
        record_free(r);
        return false;
    }
    strcpy(r->end, "lost");
    say(r, trouble);
    return true;
}

/* The exit code repeats what the lines say: 0 nothing failed, 1 something failed, 2 broken. */
static void judge_end(struct record *r, const struct runner *run)
{
    uint32_t code;
    enum run_end end = runner_end(run, &code);
    unsigned failed = 0, broken = 0;
    char text[KTAP_MESSAGE_MAX];
    run_end_text(end, code, r->end);
    for (size_t i = 0; i < r->count; i++) {
        failed += r->lines[i].word == VERDICT_FAIL;
        broken += r->lines[i].word == VERDICT_BROKEN;
    }
    if (end != RUN_DEBUG_EXIT || code > 2) {
        snprintf(text, sizeof text, "the probe did not end by debug-exit 0, 1 or 2, but by %s at cycle %llu", r->end,
                 (unsigned long long)r->cycles);
        say(r, text);
    } else if ((code == 0 && failed + broken > 0) || (code == 1 && failed == 0) || (code == 2 && broken == 0)) {
        snprintf(text, sizeof text, "the probe ended by %s, which %u failed and %u broken lines contradict", r->end, failed,
                 broken);
        say(r, text);
    } else if (code == 0 && !runner_met(run)) {
        doubt_passes(r, "the probe found nothing wrong, but an expectation of its scenario is not met");
    }
}

bool record_run(const struct ask *a, struct record *r)
{
    struct message why = {.text = {0}};
    struct listener l = {.runner = NULL};
    if (!begin(a, r)) {
        record_free(r);
        return false;
    }
    const struct run_options options = {.stop_at_cycle = CYCLE_NEVER, .console = console_byte, .owner = &l};
    struct runner *run = scenario_load_images(a->scenario, &why) ? runner_create(a->scenario, &options, &why) : NULL;
    l.runner = run;
    if (run == NULL || !runner_run(run, &why)) {
        strcpy(r->end, "not-run");
        say(r, why.text);
    } else {
        ktap_end(&l.ktap);
        say(r, l.ktap.trouble);
        r->lines = l.ktap.lines;
        r->count = l.ktap.count;
        r->cycles = runner_cycles(run);
        l.ktap.lines = NULL;
        judge_end(r, run);
    }
    runner_destroy(run);
    ktap_free(&l.ktap);
    return true;
}

void record_free(struct record *r)
{
    free(r->suite);
    free(r->profile);
    free(r->command);
    free(r->probe);
    free(r->lines);
    *r = (struct record){0};
}

/* ---- JSON ---- */

static json_t *line_json(const struct ktap_line *l)
{
    json_t *o = json_pack("{s:s, s:s, s:s, s:I}", "test", l->test, "clause", l->clause, "verdict", verdict_names[l->word],
                          "cycle", (json_int_t)l->cycle);
    if (o != NULL && l->message[0] != 0) {
        json_object_set_new(o, "message", json_string(l->message));
    }
    return o;
}

/* Messages hold printable ASCII, or a scenario's place whose path may be anything: then jansson refuses it, and so do we. */
static const char *utf8_or_less(const char *text)
{
    json_t *probe = json_string(text);
    bool good = probe != NULL;
    json_decref(probe);
    return good ? text : "(not UTF-8)";
}

json_t *record_json(const struct record *r)
{
    json_t *lines = json_array();
    for (size_t i = 0; i < r->count; i++) {
        json_array_append_new(lines, line_json(&r->lines[i]));
    }
    json_t *o = json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:I}", "number", (json_int_t)r->number, "suite", r->suite, "profile",
                          r->profile, "command", utf8_or_less(r->command), "probe", utf8_or_less(r->probe), "end", r->end,
                          "cycles", (json_int_t)r->cycles);
    if (o == NULL || lines == NULL) {
        json_decref(lines);
        json_decref(o);
        return NULL;
    }
    if (r->trouble[0] != 0) {
        json_object_set_new(o, "trouble", json_string(utf8_or_less(r->trouble)));
    }
    json_object_set_new(o, "lines", lines);
    return o;
}

/* Text of 1 to room - 1 printable bytes. */
static bool get_text(const json_t *o, const char *key, char *to, size_t room)
{
    const char *text = json_string_value(json_object_get(o, key));
    if (text == NULL || strlen(text) >= room) {
        return false;
    }
    for (const char *c = text; *c != 0; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            return false;
        }
    }
    strcpy(to, text);
    return text[0] != 0;
}

static bool get_number(const json_t *o, const char *key, uint64_t *value)
{
    const json_t *n = json_object_get(o, key);
    *value = json_is_integer(n) ? (uint64_t)json_integer_value(n) : 0;
    return json_is_integer(n) && json_integer_value(n) >= 0;
}

static char *get_copy(const json_t *o, const char *key)
{
    char text[4096];
    return get_text(o, key, text, sizeof text) ? strdup(text) : NULL;
}

static bool read_line(const json_t *o, struct ktap_line *l)
{
    char word[20];
    *l = (struct ktap_line){.word = VERDICT_BROKEN};
    return get_text(o, "test", l->test, sizeof l->test) && get_text(o, "clause", l->clause, sizeof l->clause) &&
           get_text(o, "verdict", word, sizeof word) && verdict_by_name(word, &l->word) && l->word != VERDICT_KNOWN &&
           get_number(o, "cycle", &l->cycle) &&
           (json_object_get(o, "message") == NULL || get_text(o, "message", l->message, sizeof l->message));
}

bool record_from_json(const json_t *o, struct record *r, struct message *why)
{
    const json_t *lines = json_object_get(o, "lines");
    size_t count = json_array_size(lines);
    uint64_t number;
    *r = (struct record){.suite = get_copy(o, "suite"),
                         .profile = get_copy(o, "profile"),
                         .command = get_copy(o, "command"),
                         .probe = get_copy(o, "probe")};
    bool ok = r->suite != NULL && r->profile != NULL && r->command != NULL && r->probe != NULL && json_is_array(lines) &&
              count <= KTAP_LINES_MAX && get_number(o, "number", &number) && get_text(o, "end", r->end, sizeof r->end) &&
              get_number(o, "cycles", &r->cycles) &&
              (json_object_get(o, "trouble") == NULL || get_text(o, "trouble", r->trouble, sizeof r->trouble));
    r->lines = ok ? calloc(count + 1, sizeof *r->lines) : NULL;
    ok = ok && r->lines != NULL;
    r->number = ok ? (size_t)number : 0;
    for (size_t i = 0; ok && i < count; i++, r->count++) {
        ok = read_line(json_array_get(lines, i), &r->lines[i]);
    }
    if (!ok) {
        record_free(r);
        return message_say(why, "a run's record is not as conform writes it");
    }
    return true;
}
