/* The work of `orrery conform`: asks in workers, records out of them or out of reports, traces around failures. See conform.h.
 */
#define _GNU_SOURCE
#include "tools/conform.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conformance/trace_window.h"
#include "tools/workers.h"

/* ---- asks ---- */

struct asking {
    const struct plan *plan;
    const size_t *tasks; /* places in the plan */
    size_t task_count, ended;
    struct record *records; /* one for each task */
    size_t failed;
    bool progress, no_memory;
};

static void ask_work(void *owner, size_t task, FILE *out)
{
    const struct asking *w = owner;
    struct record r;
    json_t *o = record_run(&w->plan->asks[w->tasks[task]], &r) ? record_json(&r) : NULL;
    if (o == NULL || json_dumpf(o, out, JSON_COMPACT) != 0) {
        _exit(1);
    }
}

static void show_progress(struct asking *w, const struct ask *a)
{
    if (w->progress) {
        fprintf(stderr, "\r%zu of %zu runs, %zu with failures: %s %s %s\033[K", w->ended, w->task_count, w->failed,
                a->suite->name, a->profile, a->probe);
    }
}

static void ask_done(void *owner, size_t task, const char *bytes, size_t size, const char *lost)
{
    struct asking *w = owner;
    const struct ask *a = &w->plan->asks[w->tasks[task]];
    struct record *r = &w->records[task];
    struct message why = {.text = {0}};
    json_t *o = lost == NULL ? json_loadb(bytes, size, 0, NULL) : NULL;
    if (lost == NULL && !record_from_json(o, r, &why)) {
        lost = why.text;
    }
    if (lost != NULL && !record_lost(a, lost, r)) {
        w->no_memory = true;
    }
    json_decref(o);
    bool failed = r->trouble[0] != 0;
    for (size_t i = 0; i < r->count; i++) {
        failed |= r->lines[i].word == VERDICT_FAIL || r->lines[i].word == VERDICT_BROKEN;
    }
    w->failed += failed;
    w->ended++;
    show_progress(w, a);
}

static bool progress_wanted(const struct conform_arguments *a)
{
    return !a->quiet && isatty(STDERR_FILENO);
}

static void progress_clear(const struct conform_arguments *a)
{
    if (progress_wanted(a)) {
        fputs("\r\033[K", stderr);
    }
}

bool conform_run(const struct conform_arguments *a, const struct plan *p, struct conform_records *records, bool *interrupted,
                 struct message *why)
{
    size_t *tasks = calloc(p->count + 1, sizeof *tasks);
    struct asking w = {.plan = p, .tasks = tasks, .records = calloc(p->count + 1, sizeof *w.records)};
    bool ok = (tasks != NULL && w.records != NULL) || message_say(why, "the host has no memory left");
    for (size_t i = 0; ok && i < p->count; i++) {
        if (a->shards == 0 || i % a->shards == a->shard - 1) {
            tasks[w.task_count++] = i;
        }
    }
    w.progress = progress_wanted(a);
    struct workers workers = {a->jobs, w.task_count, ask_work, ask_done, &w};
    ok = ok && workers_run(&workers, interrupted, why);
    progress_clear(a);
    ok = ok && (!w.no_memory || message_say(why, "the host has no memory left"));
    *records = (struct conform_records){w.records, w.task_count};
    free(tasks);
    return ok;
}

void conform_records_free(struct conform_records *r)
{
    for (size_t i = 0; i < r->count; i++) {
        record_free(&r->list[i]);
    }
    free(r->list);
    *r = (struct conform_records){NULL, 0};
}

/* ---- shards back together ---- */

static bool add_column(const json_t *o, const struct conform_data *d, struct plan_column **columns, size_t *count,
                       struct message *why)
{
    const char *suite = json_string_value(json_object_get(o, "suite")),
               *profile = json_string_value(json_object_get(o, "profile"));
    const struct suite *s = suite != NULL ? suites_find(&d->suites, suite) : NULL;
    const char *own = NULL;
    for (unsigned i = 0; s != NULL && profile != NULL && i < s->profile_count; i++) {
        own = strcmp(s->profiles[i], profile) == 0 ? s->profiles[i] : own;
    }
    if (own == NULL) {
        return message_say(why, "it shows a suite or profile that is not here");
    }
    for (size_t i = 0; i < *count; i++) {
        if ((*columns)[i].suite == s && (*columns)[i].profile == own) {
            return true;
        }
    }
    struct plan_column *list = realloc(*columns, (*count + 1) * sizeof *list);
    if (list == NULL) {
        return message_say(why, "the host has no memory left");
    }
    *columns = list;
    list[(*count)++] = (struct plan_column){s, own};
    return true;
}

struct shards {
    unsigned of;
    uint64_t seen[4]; /* bit set of I - 1 */
};

static bool take_shard(struct shards *s, const char *text, size_t files, struct message *why)
{
    unsigned index = 1, of = 1;
    char more;
    if (text[0] != 0 && (sscanf(text, "%u/%u%c", &index, &of, &more) != 2 || index < 1 || index > of || of > 256)) {
        return message_say(why, "its shard %s is none; I/N is expected", quote_text(text).text);
    }
    if ((s->of != 0 && s->of != of) || of != files) {
        return message_say(why, "it is shard %u of %u, and %zu reports were given; merge all shards of one run", index, of,
                           files);
    }
    if (s->seen[(index - 1) / 64] >> ((index - 1) % 64) & 1) {
        return message_say(why, "shard %u of %u came before", index, of);
    }
    s->of = of;
    s->seen[(index - 1) / 64] |= 1ULL << ((index - 1) % 64);
    return true;
}

static bool merge_file(const char *file, const struct conform_data *d, size_t files, struct shards *shards,
                       struct conform_records *records, struct plan_column **columns, size_t *column_count, struct message *why)
{
    enum { REPORT_MAX = 256 << 20 };
    uint8_t *bytes;
    size_t size;
    char shard[16];
    json_error_t error;
    if (!file_read(file, REPORT_MAX, &bytes, &size, why)) {
        return false;
    }
    json_t *o = json_loadb((const char *)bytes, size, JSON_REJECT_DUPLICATES, &error);
    free(bytes);
    if (o == NULL) {
        return message_say(why, "not JSON: line %d: %s", error.line, error.text);
    }
    bool ok = report_records(o, &records->list, &records->count, shard, why) && take_shard(shards, shard, files, why);
    const json_t *suites = json_object_get(o, "suites");
    for (size_t i = 0; ok && i < json_array_size(suites); i++) {
        ok = add_column(json_array_get(suites, i), d, columns, column_count, why);
    }
    json_decref(o);
    return ok;
}

static int by_number(const void *a, const void *b)
{
    const struct record *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

bool conform_merge(const struct conform_arguments *a, const struct conform_data *d, struct conform_records *records,
                   struct plan_column **columns, size_t *column_count, struct message *why)
{
    struct shards shards = {.of = 0};
    *records = (struct conform_records){NULL, 0};
    *columns = NULL;
    *column_count = 0;
    for (size_t i = 0; i < a->name_count; i++) {
        struct message reason = {.text = {0}};
        if (!merge_file(a->names[i], d, a->name_count, &shards, records, columns, column_count, &reason)) {
            return message_say(why, "cannot merge %s: %s", quote_text(a->names[i]).text, reason.text);
        }
    }
    if (records->count > 0) {
        qsort(records->list, records->count, sizeof *records->list, by_number);
    }
    for (size_t i = 0; i < records->count; i++) {
        if (records->list[i].number != i) {
            return message_say(why, "the reports do not belong to one run: number %zu is missing or twice", i);
        }
    }
    return true;
}

/* ---- traces around failures ---- */

struct watching {
    const struct plan *plan;
    const struct judgement *judgement;
    size_t *asks; /* places in the plan: one for each task */
    size_t task_count;
    struct conform_windows *windows;
    bool no_memory;
};

static bool worth_a_window(const struct clause_result *r)
{
    return r->line != NULL && (r->word == VERDICT_FAIL || r->word == VERDICT_BROKEN || r->word == VERDICT_KNOWN);
}

static bool of_ask(const struct clause_result *r, const struct ask *a)
{
    char *command = r->record->number == a->number ? ask_command(a, CYCLE_NEVER) : NULL;
    bool same = command != NULL && strcmp(command, r->record->command) == 0;
    free(command);
    return same;
}

/* The results of an ask that want a window, in the judgement's order: parent and child count them alike. */
static size_t results_of(const struct judgement *j, const struct ask *a, const struct clause_result **results)
{
    size_t count = 0;
    for (size_t i = 0; i < j->count; i++) {
        for (size_t k = 0; k < j->columns[i].count && count < WINDOWS_MAX; k++) {
            const struct clause_result *r = &j->columns[i].results[k];
            if (worth_a_window(r) && of_ask(r, a)) {
                results[count++] = r;
            }
        }
    }
    return count;
}

/* From the end of the test before it. */
static struct window_wish wish_of(const struct clause_result *r)
{
    struct window_wish w = {0, r->line->cycle};
    for (const struct ktap_line *l = r->record->lines; l < r->line; l++) {
        if (strcmp(l->test, r->line->test) != 0) {
            w.from_cycle = l->cycle;
        }
    }
    return w;
}

static void window_work(void *owner, size_t task, FILE *out)
{
    const struct watching *w = owner;
    const struct ask *a = &w->plan->asks[w->asks[task]];
    const struct clause_result *results[WINDOWS_MAX];
    struct window_wish wishes[WINDOWS_MAX];
    size_t count = results_of(w->judgement, a, results);
    struct window_lines *lines = calloc(count + 1, sizeof *lines);
    struct message why = {.text = {0}};
    for (size_t i = 0; i < count; i++) {
        wishes[i] = wish_of(results[i]);
    }
    if (lines == NULL || !trace_windows(a, wishes, count, lines, &why)) {
        _exit(1);
    }
    json_t *all = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *one = json_array();
        for (unsigned k = 0; k < lines[i].count; k++) {
            json_array_append_new(one, json_string(lines[i].lines[k]));
        }
        json_array_append_new(all, one);
    }
    if (json_dumpf(all, out, JSON_COMPACT) != 0) {
        _exit(1);
    }
}

static bool add_window(struct conform_windows *w, const struct clause_result *r, const json_t *lines)
{
    size_t count = json_array_size(lines);
    struct trace_window *list = realloc(w->list, (w->count + 1) * sizeof *list), *one;
    if (list == NULL) {
        return false;
    }
    w->list = list;
    one = &list[w->count++];
    *one = (struct trace_window){.result = r, .lines = calloc(count + 1, sizeof *one->lines)};
    for (size_t i = 0; one->lines != NULL && i < count; i++) {
        const char *text = json_string_value(json_array_get(lines, i));
        one->lines[i] = strdup(text != NULL ? text : "");
        one->count += one->lines[i] != NULL;
    }
    return one->lines != NULL && one->count == count;
}

/* A window that cannot be had is left out: the verdict stands without it. */
static void window_done(void *owner, size_t task, const char *bytes, size_t size, const char *lost)
{
    struct watching *w = owner;
    const struct clause_result *results[WINDOWS_MAX];
    size_t count = results_of(w->judgement, &w->plan->asks[w->asks[task]], results);
    json_t *all = lost == NULL ? json_loadb(bytes, size, 0, NULL) : NULL;
    for (size_t i = 0; i < count && json_array_size(all) == count; i++) {
        w->no_memory |= !add_window(w->windows, results[i], json_array_get(all, i));
    }
    json_decref(all);
}

bool conform_windows(const struct conform_arguments *a, const struct plan *p, const struct judgement *j,
                     struct conform_windows *windows, bool *interrupted, struct message *why)
{
    struct watching w = {p, j, calloc(p->count + 1, sizeof *w.asks), 0, windows, false};
    *windows = (struct conform_windows){NULL, 0};
    for (size_t i = 0; w.asks != NULL && i < p->count; i++) {
        const struct clause_result *results[WINDOWS_MAX];
        if (results_of(j, &p->asks[i], results) > 0) {
            w.asks[w.task_count++] = i;
        }
    }
    struct workers workers = {a->jobs, w.task_count, window_work, window_done, &w};
    bool ok = w.asks != NULL && workers_run(&workers, interrupted, why) && !w.no_memory;
    free(w.asks);
    return ok || message_say(why, "the host has no memory left");
}

void conform_windows_free(struct conform_windows *w)
{
    for (size_t i = 0; i < w->count; i++) {
        for (size_t k = 0; k < w->list[i].count; k++) {
            free(w->list[i].lines[k]);
        }
        free(w->list[i].lines);
    }
    free(w->list);
    *w = (struct conform_windows){NULL, 0};
}
