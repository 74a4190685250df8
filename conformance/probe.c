/* Asking a probe for its tests. See probe.h. */
#define _GNU_SOURCE
#include "conformance/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scenarios/runner.h"

/* Any profile does: a probe lists its tests before it looks for a hypervisor. */
static const char scene[] = "orrery: 1\n"
                            "scenario: conformance/list\n"
                            "partition: { profile: hv1-minimal, vps: 1, memory: 16 MiB }\n"
                            "guest: { multiboot: { kernel: \"${PROBE}\", cmdline: list } }\n"
                            "limits: { time: 1 s, instructions: 100 M }\n";

struct list_reader {
    struct probe *probe;
    struct message *why;
    char line[1024];
    size_t used;
};

/* The next word of the line, cut off; NULL: none. */
static char *next_word(char **at)
{
    *at += strspn(*at, " ");
    char *word = *at;
    size_t n = strcspn(word, " ");
    if (n == 0) {
        return NULL;
    }
    *at = word + n + (word[n] != 0);
    word[n] = 0;
    return word;
}

static bool name_good(const char *text)
{
    static const char bytes[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
    return strlen(text) < KTAP_NAME_MAX && strspn(text, bytes) == strlen(text);
}

static bool read_test(struct list_reader *r, char *at)
{
    struct probe *p = r->probe;
    struct probe_test t = {.clause_count = 0};
    const char *name = next_word(&at);
    if (name == NULL || !name_good(name) || p->count == PROBE_TESTS_MAX) {
        return false;
    }
    strcpy(t.name, name);
    for (const char *clause; (clause = next_word(&at)) != NULL; t.clause_count++) {
        if (t.clause_count == PROBE_CLAUSES_MAX || !name_good(clause)) {
            return false;
        }
        strcpy(t.clauses[t.clause_count], clause);
    }
    struct probe_test *tests = realloc(p->tests, (p->count + 1) * sizeof *tests);
    if (tests == NULL) {
        return false;
    }
    p->tests = tests;
    tests[p->count++] = t;
    return t.clause_count > 0;
}

static void list_byte(void *owner, unsigned port, uint8_t byte)
{
    struct list_reader *r = owner;
    if (port != 0) {
        return;
    }
    if (byte != '\n') {
        if (byte != '\r' && r->used + 1 < sizeof r->line) {
            r->line[r->used++] = byte >= 0x20 && byte < 0x7f ? (char)byte : '?';
        }
        return;
    }
    r->line[r->used] = 0;
    r->used = 0;
    if (strncmp(r->line, "test ", 5) == 0) {
        const struct quoted shown = quote_text(r->line);
        if (!read_test(r, r->line + 5)) {
            message_say(r->why, "it lists a test that is none: %s", shown.text);
        }
    }
}

static const char *probe_path(void *owner, const char *name)
{
    return strcmp(name, "PROBE") == 0 ? owner : NULL;
}

static bool run_list(const char *path, struct list_reader *r)
{
    const struct yaml_variables variables = {probe_path, (void *)path};
    const struct run_options options = {.stop_at_cycle = CYCLE_NEVER, .console = list_byte, .owner = r};
    struct scenario *s = scenario_read("list", scene, sizeof scene - 1, &variables, NULL, r->why);
    struct runner *run = s != NULL && scenario_load_images(s, r->why) ? runner_create(s, &options, r->why) : NULL;
    bool ok = run != NULL && runner_run(run, r->why) && !message_set(r->why);
    uint32_t code = 0;
    if (ok && (runner_end(run, &code) != RUN_DEBUG_EXIT || code != 0)) {
        char end[32];
        run_end_text(runner_end(run, &code), code, end);
        ok = message_say(r->why, "asked for its list, it ended by %s instead of debug-exit:0", end);
    }
    runner_destroy(run);
    scenario_free(s);
    return ok && (r->probe->count > 0 || message_say(r->why, "it lists no test"));
}

bool probe_list(const char *folder, const char *file, struct probe *p, struct message *why)
{
    struct message reason = {.text = {0}};
    struct list_reader r = {.probe = p, .why = &reason};
    size_t length = strlen(file);
    char *path;
    *p = (struct probe){.count = 0};
    length -= length > 4 && strcmp(file + length - 4, ".elf") == 0 ? 4 : 0;
    if (length >= sizeof p->name || asprintf(&path, "%s/%s", folder, file) < 0) {
        return message_say(why, "probe %s: its name is too long, or the host has no memory left", quote_text(file).text);
    }
    memcpy(p->name, file, length);
    bool ok = run_list(path, &r) || message_say(why, "probe %s: %s", quote_text(path).text, reason.text);
    free(path);
    return ok;
}

void probe_free(struct probe *p)
{
    free(p->tests);
    *p = (struct probe){.count = 0};
}

const struct probe_test *probe_find(const struct probe *p, const char *test)
{
    for (size_t i = 0; i < p->count; i++) {
        if (strcmp(p->tests[i].name, test) == 0) {
            return &p->tests[i];
        }
    }
    return NULL;
}

bool probe_test_names(const struct probe_test *t, const char *clause)
{
    for (unsigned i = 0; i < t->clause_count; i++) {
        if (strcmp(t->clauses[i], clause) == 0) {
            return true;
        }
    }
    return false;
}
