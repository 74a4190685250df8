/* Fuzzer of scenario files (libFuzzer): the input is the file's text. What must hold: no crash, no hang; a scenario without a
 * message or a message without a scenario; the message one line that begins with a place in the file; and what was accepted
 * reads back the same, with the same identity. Images are never read: a fuzzer has no business with the host's files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scenarios/scenario.h"
#include "scenarios/stage.h"

static void need(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

static const char *value_of(void *owner, const char *name)
{
    (void)owner;
    return name[0] == 'K' ? "x.bin" : NULL;
}

static void message_is_placed(const struct message *m)
{
    need(m->placed && strncmp(m->text, "f:", 2) == 0 && m->text[2] >= '1' && m->text[2] <= '9', "a message without a place");
    for (const char *c = m->text; *c != 0; c++) {
        need((unsigned char)*c >= 0x20 && *c != 0x7f, "a message with control bytes");
    }
}

/* The stage takes whatever the script says. */
static void play(const struct scenario *s)
{
    static const char line[] = "login: abc # \n\nxyz\r\n";
    struct stage *stage = stage_create(&s->script, s->model.tsc_hz);
    for (uint64_t cycle = 0; cycle < sizeof line - 1; cycle++) {
        stage_console(stage, cycle % CONSOLE_PORTS, (uint8_t)line[cycle], cycle);
        stage_clock(stage, cycle);
        for (const struct action *a; (a = stage_next_action(stage, cycle)) != NULL;) {
            need((unsigned)a->kind < ACTION_KINDS, "an action of no kind");
        }
        need(stage_next_cycle(stage) > cycle, "a moment that is due was not taken");
    }
    for (unsigned i = 0; i < s->script.expectation_count; i++) {
        stage_verdict(stage, i, RUN_POWEROFF, 0, 100);
    }
    stage_destroy(stage);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct yaml_variables variables = {.value = value_of};
    struct message why = {.text = {0}}, again = {.text = {0}};
    struct scenario *s = scenario_read("f", (const char *)data, size, &variables, NULL, &why);
    need((s == NULL) == message_set(&why), "neither scenario nor message, or both");
    if (s == NULL) {
        message_is_placed(&why);
        return 0;
    }
    struct scenario *t = scenario_read("f", (const char *)data, size, &variables, NULL, &again);
    struct yaml_hash a = scenario_identity(s), b = scenario_identity(t);
    need(a.low == b.low && a.high == b.high, "one text, two identities");
    play(s);
    scenario_free(t);
    scenario_free(s);
    return 0;
}
