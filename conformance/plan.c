/* Suites and profiles to asks. See plan.h. */
#define _GNU_SOURCE
#include "conformance/plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/folder.h"

/* ---- variables of a scenario ---- */

struct ask_variables {
    const struct ask *ask;
    char edition[8];
};

static const char *variable(void *owner, const char *name)
{
    const struct ask_variables *v = owner;
    const struct yaml_node *set = v->ask->entry->set, *value = set != NULL ? yaml_find(set, name) : NULL;
    if (strcmp(name, "EDITION") == 0) {
        return v->edition;
    }
    if (strcmp(name, "PROFILE") == 0) {
        return v->ask->profile;
    }
    if (strcmp(name, "PROBES") == 0) {
        return v->ask->probes;
    }
    return value != NULL ? value->text : NULL;
}

static struct ask_variables variables_of(const struct ask *a)
{
    struct ask_variables v = {.ask = a};
    snprintf(v.edition, sizeof v.edition, "%d", (int)ledger_probe_edition(a->suite->edition));
    return v;
}

/* ---- the command that repeats it ---- */

static void put_word(FILE *out, const char *text)
{
    if (strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./=:,+@") == strlen(text) &&
        text[0] != 0) {
        fputs(text, out);
        return;
    }
    fputc('\'', out);
    for (; *text != 0; text++) {
        fputs(*text == '\'' ? "'\\''" : (const char[]){*text, 0}, out);
    }
    fputc('\'', out);
}

static void put_set(FILE *out, const char *name, const char *value)
{
    fprintf(out, " --set %s=", name);
    put_word(out, value);
}

char *ask_command(const struct ask *a, uint64_t stop_at)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL) {
        return NULL;
    }
    struct ask_variables v = variables_of(a);
    fputs("orrery run ", out);
    put_word(out, a->entry->file);
    put_set(out, "EDITION", v.edition);
    put_set(out, "PROFILE", a->profile);
    put_set(out, "PROBES", a->probes);
    for (size_t i = 0; a->entry->set != NULL && i < a->entry->set->count; i++) {
        put_set(out, yaml_key(a->entry->set, i)->text, yaml_value(a->entry->set, i)->text);
    }
    fprintf(out, " --seed %" PRIu64, a->scenario->seed);
    if (stop_at != CYCLE_NEVER) {
        fprintf(out, " --stop-at %" PRIu64, stop_at);
    }
    return fclose(out) == 0 ? text : NULL;
}

/* ---- making it ---- */

static void probe_name(struct ask *a)
{
    const char *name = a->scenario->kernel.name != NULL ? a->scenario->kernel.name : "";
    size_t length = strlen(name);
    if (length > 4 && strcmp(name + length - 4, ".elf") == 0) {
        length -= 4;
    }
    snprintf(a->probe, sizeof a->probe, "%.*s", (int)(length < sizeof a->probe ? length : sizeof a->probe - 1), name);
}

/* Does the probe judge a clause of the suite that matches? */
static bool wanted(const struct ask *a, const struct ledger *l, const char *glob)
{
    for (size_t i = 0; i < l->count; i++) {
        const struct clause *c = l->by_id[i];
        for (unsigned t = 0; suite_has(a->suite, c) && glob_match(glob, c->id) && t < c->test_count; t++) {
            if (strcmp(c->tests[t].probe, a->probe) == 0) {
                return true;
            }
        }
    }
    return false;
}

static bool add_ask(struct plan *p, struct ask *a, const struct ledger *l, const char *glob, struct message *why)
{
    struct ask_variables v = variables_of(a);
    const struct yaml_variables variables = {variable, &v};
    a->scenario = scenario_load(a->entry->file, &variables, NULL, why);
    if (a->scenario == NULL) {
        return false;
    }
    probe_name(a);
    if (glob != NULL && !wanted(a, l, glob)) {
        scenario_free(a->scenario);
        return true;
    }
    struct ask *asks = realloc(p->asks, (p->count + 1) * sizeof *asks);
    if (asks == NULL) {
        scenario_free(a->scenario);
        return message_say(why, "the host has no memory left");
    }
    p->asks = asks;
    a->number = p->count;
    asks[p->count++] = *a;
    return true;
}

static bool add_column(struct plan *p, const struct suite *s, unsigned profile, const struct ledger *l,
                       const struct plan_choice *choice, struct message *why)
{
    struct plan_column *columns = realloc(p->columns, (p->column_count + 1) * sizeof *columns);
    if (columns == NULL) {
        return message_say(why, "the host has no memory left");
    }
    p->columns = columns;
    columns[p->column_count++] = (struct plan_column){s, s->profiles[profile]};
    for (unsigned i = 0; i < s->entry_count; i++) {
        struct ask a = {.suite = s, .profile = s->profiles[profile], .entry = &s->entries[i], .probes = choice->probes};
        if ((a.entry->profiles >> profile & 1) && !add_ask(p, &a, l, choice->clause_glob, why)) {
            return false;
        }
    }
    return true;
}

static bool suite_chosen(const struct suite *s, const struct plan_choice *choice)
{
    for (size_t i = 0; i < choice->suite_count; i++) {
        if (strcmp(choice->suites[i], s->name) == 0) {
            return true;
        }
    }
    return choice->suite_count == 0;
}

bool plan_make(struct plan *p, const struct suites *suites, const struct ledger *ledger, const struct plan_choice *choice,
               struct message *why)
{
    *p = (struct plan){NULL, 0, NULL, 0};
    for (size_t i = 0; i < choice->suite_count; i++) {
        if (suites_find(suites, choice->suites[i]) == NULL) {
            return message_say(why, "no suite has the name %s; `orrery conform --list` shows them",
                               quote_text(choice->suites[i]).text);
        }
    }
    for (size_t i = 0; i < suites->count; i++) {
        const struct suite *s = &suites->list[i];
        for (unsigned k = 0; suite_chosen(s, choice) && k < s->profile_count; k++) {
            bool chosen = choice->profile == NULL ? k < s->default_count : strcmp(choice->profile, s->profiles[k]) == 0;
            if (chosen && !add_column(p, s, k, ledger, choice, why)) {
                return false;
            }
        }
    }
    return p->column_count > 0 || message_say(why, "no suite runs under profile %s; `orrery conform --list` shows which do",
                                              quote_text(choice->profile != NULL ? choice->profile : "").text);
}

void plan_free(struct plan *p)
{
    for (size_t i = 0; i < p->count; i++) {
        scenario_free(p->asks[i].scenario);
    }
    free(p->asks);
    free(p->columns);
    *p = (struct plan){NULL, 0, NULL, 0};
}
