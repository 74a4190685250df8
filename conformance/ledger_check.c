/* Proofs about the ledger. See ledger_check.h. */
#define _GNU_SOURCE
#include "conformance/ledger_check.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/folder.h"
#include "conformance/lint.h"
#include "conformance/probe.h"
#include "scenarios/files.h"

struct check {
    const char *folder, *probe_folder;
    const struct ledger *ledger;
    FILE *out;
    struct ledger_checked *checked;
    char *sections[LEDGER_EDITIONS]; /* texts: "\nNUMBER\tTITLE\n..." */
    struct probe *probes;
    size_t probe_count;
};

__attribute__((format(printf, 4, 5))) static void fault(struct check *k, const char *file, const struct yaml_node *where,
                                                        const char *format, ...)
{
    struct message m = {.text = {0}};
    char text[600];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    message_at(&m, file, where != NULL ? where->line : 1, where != NULL ? where->column : 1, "%s", text);
    fprintf(k->out, "%s\n", m.text);
    k->checked->faults++;
}

/* ---- sections ---- */

static bool read_sections(struct check *k, enum ledger_edition e, struct message *why)
{
    enum { SECTIONS_MAX = 1 << 20 };
    struct message reason = {.text = {0}};
    char path[600];
    uint8_t *text;
    size_t bytes;
    snprintf(path, sizeof path, "%s/sections/%s-%s.txt", k->folder, e == LEDGER_2012 ? "requirements" : "tlfs",
             ledger_edition_names[e]);
    if (!file_read(path, SECTIONS_MAX, &text, &bytes, &reason)) {
        return message_say(why, "cannot read %s: %s", quote_text(path).text, reason.text);
    }
    int n = asprintf(&k->sections[e], "\n%s", (const char *)text);
    free(text);
    if (n < 0) {
        k->sections[e] = NULL;
        return message_say(why, "the host has no memory left");
    }
    return true;
}

static bool section_exists(const struct check *k, enum ledger_edition e, const char *section)
{
    char line[300];
    if (snprintf(line, sizeof line, "\n%s\t", section) >= (int)sizeof line || strpbrk(section, "\n\t") != NULL) {
        return false;
    }
    return strstr(k->sections[e], line) != NULL;
}

static void check_sections(struct check *k, const struct clause *c)
{
    for (unsigned e = 0; e < LEDGER_EDITIONS; e++) {
        if (c->sections[e] != NULL && !section_exists(k, (enum ledger_edition)e, c->sections[e]->text)) {
            fault(k, c->chapter->file, c->sections[e], "%s: edition %s has no section %s; its sections are in %s/sections",
                  c->id, ledger_edition_names[e], quote_text(c->sections[e]->text).text, k->folder);
        }
    }
}

/* ---- probes ---- */

static const struct probe *probe_named(const struct check *k, const char *name)
{
    for (size_t i = 0; i < k->probe_count; i++) {
        if (strcmp(k->probes[i].name, name) == 0) {
            return &k->probes[i];
        }
    }
    return NULL;
}

static bool list_probes(struct check *k, struct message *why)
{
    struct folder files;
    if (!folder_read(k->probe_folder, ".elf", &files, why)) {
        folder_free(&files);
        return false;
    }
    k->probes = calloc(files.count + 1, sizeof *k->probes);
    for (size_t i = 0; k->probes != NULL && i < files.count; i++) {
        struct message wrong = {.text = {0}};
        k->probe_count++;
        if (!probe_list(k->probe_folder, files.names[i], &k->probes[i], &wrong)) {
            fprintf(k->out, "%s\n", wrong.text);
            k->checked->faults++;
        }
        k->checked->tests += k->probes[i].count;
    }
    k->checked->probes = k->probe_count;
    folder_free(&files);
    return k->probes != NULL || message_say(why, "the host has no memory left");
}

static void check_tests(struct check *k, const struct clause *c)
{
    for (unsigned i = 0; i < c->test_count; i++) {
        const struct clause_test *t = &c->tests[i];
        const struct probe *p = probe_named(k, t->probe);
        const struct probe_test *in = p != NULL ? probe_find(p, t->test) : NULL;
        if (p == NULL) {
            fault(k, c->chapter->file, t->where, "%s: there is no probe %s in %s", c->id, t->probe, k->probe_folder);
        } else if (in == NULL) {
            fault(k, c->chapter->file, t->where, "%s: probe %s has no test %s", c->id, t->probe, t->test);
        } else if (!probe_test_names(in, c->id)) {
            fault(k, c->chapter->file, t->where, "%s: the test %s/%s does not name this clause", c->id, t->probe, t->test);
        }
    }
}

static bool named_back(const struct clause *c, const char *probe, const char *test)
{
    for (unsigned i = 0; i < c->test_count; i++) {
        if (strcmp(c->tests[i].probe, probe) == 0 && strcmp(c->tests[i].test, test) == 0) {
            return true;
        }
    }
    return false;
}

static void check_probe(struct check *k, const struct probe *p)
{
    char file[600];
    snprintf(file, sizeof file, "%s/%s.elf", k->probe_folder, p->name);
    for (size_t i = 0; i < p->count; i++) {
        const struct probe_test *t = &p->tests[i];
        for (unsigned n = 0; n < t->clause_count; n++) {
            const struct clause *c = ledger_find(k->ledger, t->clauses[n]);
            if (c == NULL && strncmp(t->clauses[n], "kit.", 4) == 0) {
                continue; /* of no document: the kit's own */
            }
            if (c == NULL) {
                fault(k, file, NULL, "the test %s names %s, which is no clause of the ledger", t->name, t->clauses[n]);
            } else if (!named_back(c, p->name, t->name)) {
                fault(k, c->chapter->file, c->where, "%s: the test %s/%s judges this clause, which does not name it", c->id,
                      p->name, t->name);
            }
        }
        for (size_t other = 0; other < i; other++) {
            if (strcmp(p->tests[other].name, t->name) == 0) {
                fault(k, file, NULL, "two tests have the name %s", t->name);
            }
        }
    }
}

/* ---- suites ---- */

static bool suite_asks(const struct suite *s, const struct clause *c, const struct plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        for (unsigned t = 0; plan->asks[i].suite == s && t < c->test_count; t++) {
            if (strcmp(plan->asks[i].probe, c->tests[t].probe) == 0) {
                return true;
            }
        }
    }
    return false;
}

static void check_suites(struct check *k, const struct clause *c, const struct suites *suites, const struct plan *plan)
{
    for (size_t i = 0; c->reason == REASON_NONE && i < suites->count; i++) {
        if (suite_has(&suites->list[i], c) && !suite_asks(&suites->list[i], c, plan)) {
            fault(k, c->chapter->file, c->where, "%s: suite %s runs no scenario with one of its probes", c->id,
                  suites->list[i].name);
        }
    }
}

static bool check_scenarios(struct check *k, const struct suites *suites, struct message *why)
{
    struct folder files;
    char path[600];
    snprintf(path, sizeof path, "%s/scenarios", k->folder);
    bool ok = folder_read(path, ".yaml", &files, why);
    for (size_t i = 0; ok && i < files.count; i++) {
        bool listed = false;
        char file[900];
        snprintf(file, sizeof file, "%s/%s", path, files.names[i]);
        for (size_t s = 0; s < suites->count; s++) {
            listed |= suite_lists(&suites->list[s], k->folder, file);
        }
        if (!listed) {
            fault(k, file, NULL, "no suite runs this scenario");
        }
    }
    folder_free(&files);
    return ok;
}

/* The linter's rules cite clauses of the TLFS; a ledger that knows none of them is of something else. */
static void check_lint(struct check *k)
{
    size_t found = 0;
    for (size_t i = 0; i < lint_rule_count; i++) {
        found += ledger_find(k->ledger, lint_rules[i].clause) != NULL;
    }
    for (size_t i = 0; found > 0 && i < lint_rule_count; i++) {
        if (ledger_find(k->ledger, lint_rules[i].clause) == NULL) {
            fprintf(k->out, "orrery lint: rule %s cites %s, which is no clause of the ledger\n", lint_rules[i].name,
                    lint_rules[i].clause);
            k->checked->faults++;
        }
    }
}

/* ---- all ---- */

static void count(struct ledger_checked *checked, const struct clause *c)
{
    checked->clauses++;
    checked->by_document[c->document]++;
    checked->by_kind[c->kind]++;
    checked->by_reason[c->reason]++;
}

static bool check_all(struct check *k, const struct suites *suites, const struct plan *plan, struct message *why)
{
    static const enum ledger_edition texts[] = {LEDGER_2012, LEDGER_2_0, LEDGER_5_0, LEDGER_6_0};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        if (!read_sections(k, texts[i], why)) {
            return false;
        }
    }
    if (!list_probes(k, why)) {
        return false;
    }
    for (size_t i = 0; i < k->ledger->chapter_count; i++) {
        for (size_t n = 0; n < k->ledger->chapters[i].count; n++) {
            const struct clause *c = &k->ledger->chapters[i].clauses[n];
            count(k->checked, c);
            check_sections(k, c);
            check_tests(k, c);
            check_suites(k, c, suites, plan);
        }
    }
    for (size_t i = 0; i < k->probe_count; i++) {
        check_probe(k, &k->probes[i]);
    }
    check_lint(k);
    return check_scenarios(k, suites, why);
}

bool ledger_check(const char *folder, const char *probes, const struct ledger *l, const struct suites *suites,
                  const struct plan *plan, FILE *faults, struct ledger_checked *checked, struct message *why)
{
    *checked = (struct ledger_checked){.clauses = 0};
    struct check k = {.folder = folder, .probe_folder = probes, .ledger = l, .out = faults, .checked = checked};
    bool ok = check_all(&k, suites, plan, why);
    for (size_t i = 0; i < k.probe_count; i++) {
        probe_free(&k.probes[i]);
    }
    free(k.probes);
    for (unsigned e = 0; e < LEDGER_EDITIONS; e++) {
        free(k.sections[e]);
    }
    return ok;
}
