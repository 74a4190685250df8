/* orrery conform: the clause ledger against the hypervisor.
 *
 * Everything is read and checked before the first run; every run is one that `orrery run` repeats; report files appear whole or
 * not at all, and what they say does not depend on the number of jobs or shards.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conformance/ledger_check.h"
#include "tools/commands.h"
#include "tools/conform.h"
#include "tools/workers.h"

static int help(void)
{
    puts("usage: orrery conform [OPTION]... [SUITE]...\n"
         "\n"
         "Runs the probes of each suite (all, if none is named) and judges every clause: pass, fail, not-supported, broken, "
         "known.\n"
         "\n"
         "  --profile P         under this profile, not those that a suite runs by itself\n"
         "  --clause GLOB       only clauses that match, such as 'synic.sint.*'\n"
         "  --jobs N            so many runs at a time (else one for each processor)\n"
         "  --json F, --junit F, --ktap F    reports; - is standard output\n"
         "  --html DIR          one page, DIR/index.html\n"
         "  --shard I/N         only the I-th of N parts\n"
         "  --merge             the SUITEs are JSON reports of all shards of a run: judge them as one\n"
         "  --check             check ledger, suites and probes against each other; runs no suite\n"
         "  --update-baseline   what passes has to pass from now on\n"
         "  --list              the suites and their profiles\n"
         "  --data DIR, --probes DIR    the conformance folder; the folder of built probes\n"
         "  --quiet             no progress\n"
         "\n"
         "Exit code: 0 nothing fails, breaks or falls out of the baseline, 1 something does, 2 bad input or usage.");
    return EXIT_AS_EXPECTED;
}

/* ---- arguments ---- */

enum conform_option {
    OPT_PROFILE = 256,
    OPT_CLAUSE,
    OPT_JOBS,
    OPT_SHARD,
    OPT_JUNIT,
    OPT_KTAP,
    OPT_JSON,
    OPT_HTML,
    OPT_CHECK,
    OPT_MERGE,
    OPT_LIST,
    OPT_UPDATE,
    OPT_DATA,
    OPT_PROBES,
    OPT_QUIET
};

static bool take_mode(struct conform_arguments *a, enum conform_mode mode, struct message *why)
{
    if (a->mode != CONFORM_RUN) {
        return message_say(why, "--check, --merge, --list and --update-baseline exclude each other");
    }
    a->mode = mode;
    return true;
}

static bool take_option(struct conform_arguments *a, int option, struct message *why)
{
    char more;
    switch (option) {
    case OPT_PROFILE:
        a->profile = optarg;
        return true;
    case OPT_CLAUSE:
        a->clause_glob = optarg;
        return true;
    case OPT_JOBS:
        return (sscanf(optarg, "%u%c", &a->jobs, &more) == 1 && a->jobs >= 1 && a->jobs <= WORKERS_JOBS_MAX) ||
               message_say(why, "--jobs %s: expected a number from 1 to %d", quote_text(optarg).text, WORKERS_JOBS_MAX);
    case OPT_SHARD:
        return (sscanf(optarg, "%u/%u%c", &a->shard, &a->shards, &more) == 2 && a->shard >= 1 && a->shard <= a->shards &&
                a->shards <= 256) ||
               message_say(why, "--shard %s: expected I/N such as 1/4", quote_text(optarg).text);
    case OPT_JUNIT:
        a->junit = optarg;
        return true;
    case OPT_KTAP:
        a->ktap = optarg;
        return true;
    case OPT_JSON:
        a->json = optarg;
        return true;
    case OPT_HTML:
        a->html = optarg;
        return true;
    case OPT_DATA:
        a->data = optarg;
        return true;
    case OPT_PROBES:
        a->probes = optarg;
        return true;
    case OPT_QUIET:
        a->quiet = true;
        return true;
    case OPT_CHECK:
        return take_mode(a, CONFORM_CHECK, why);
    case OPT_MERGE:
        return take_mode(a, CONFORM_MERGE, why);
    case OPT_LIST:
        return take_mode(a, CONFORM_LIST, why);
    case OPT_UPDATE:
        return take_mode(a, CONFORM_UPDATE_BASELINE, why);
    default:
        return false;
    }
}

static bool arguments_agree(const struct conform_arguments *a, struct message *why)
{
    bool reports = a->json != NULL || a->junit != NULL || a->ktap != NULL || a->html != NULL;
    if (a->mode == CONFORM_MERGE && a->name_count == 0) {
        return message_say(why, "--merge needs the JSON reports of all shards");
    }
    if (a->mode == CONFORM_UPDATE_BASELINE && (a->shards != 0 || a->clause_glob != NULL)) {
        return message_say(why, "--update-baseline wants whole suites: leave --shard and --clause out");
    }
    if (a->shards != 0 && a->mode != CONFORM_RUN) {
        return message_say(why, "--shard is for a run");
    }
    if (reports && (a->mode == CONFORM_CHECK || a->mode == CONFORM_LIST)) {
        return message_say(why, "--check and --list write no report");
    }
    return true;
}

/* -1: go on; else the exit code. */
static int read_arguments(struct conform_arguments *a, int argc, char **argv)
{
    static const struct option options[] = {
        {"profile", required_argument, NULL, OPT_PROFILE},
        {"clause", required_argument, NULL, OPT_CLAUSE},
        {"jobs", required_argument, NULL, OPT_JOBS},
        {"shard", required_argument, NULL, OPT_SHARD},
        {"junit", required_argument, NULL, OPT_JUNIT},
        {"ktap", required_argument, NULL, OPT_KTAP},
        {"json", required_argument, NULL, OPT_JSON},
        {"html", required_argument, NULL, OPT_HTML},
        {"check", no_argument, NULL, OPT_CHECK},
        {"merge", no_argument, NULL, OPT_MERGE},
        {"list", no_argument, NULL, OPT_LIST},
        {"update-baseline", no_argument, NULL, OPT_UPDATE},
        {"data", required_argument, NULL, OPT_DATA},
        {"probes", required_argument, NULL, OPT_PROBES},
        {"quiet", no_argument, NULL, OPT_QUIET},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct message why = {.text = {0}};
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    *a = (struct conform_arguments){.jobs = processors > 0 && processors < 64 ? (unsigned)processors : 2};
    opterr = 0;
    for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (o == 'h') {
            return help();
        }
        if (!take_option(a, o, &why)) {
            return message_set(&why) ? complain_of(&why) : complain_of_option("conform", argv);
        }
    }
    a->names = (const char *const *)argv + optind;
    a->name_count = (size_t)(argc - optind);
    return arguments_agree(a, &why) ? -1 : complain_of(&why);
}

/* ---- reports ---- */

struct report_files {
    struct file_writer *json, *junit, *ktap, *html; /* NULL: not wanted, or standard output */
};

static bool reports_open(struct report_files *f, const struct conform_arguments *a, struct message *why)
{
    char *page = NULL;
    *f = (struct report_files){NULL, NULL, NULL, NULL};
    if (a->html != NULL) {
        if ((mkdir(a->html, 0777) != 0 && errno != EEXIST) || asprintf(&page, "%s/index.html", a->html) < 0) {
            return message_say(why, "--html %s: %s", quote_text(a->html).text, strerror(errno));
        }
    }
    const struct {
        const char *path;
        struct file_writer **writer;
    } files[] = {{a->json, &f->json}, {a->junit, &f->junit}, {a->ktap, &f->ktap}, {page, &f->html}};
    bool ok = true;
    for (size_t i = 0; ok && i < ARRAY_COUNT(files); i++) {
        if (files[i].path != NULL && strcmp(files[i].path, "-") != 0) {
            *files[i].writer = file_writer_open(files[i].path, why);
            ok = *files[i].writer != NULL;
        }
    }
    free(page);
    return ok;
}

static bool reports_close(struct report_files *f, bool keep, struct message *why)
{
    struct file_writer *writers[] = {f->json, f->junit, f->ktap, f->html};
    for (size_t i = 0; i < ARRAY_COUNT(writers); i++) {
        if (writers[i] != NULL && keep) {
            keep = file_writer_commit(writers[i], why);
        } else if (writers[i] != NULL) {
            file_writer_abandon(writers[i]);
        }
    }
    return keep;
}

/* Hands a finished text on, and frees it. */
static bool put(char *text, struct file_writer *to, struct message *why)
{
    if (text == NULL) {
        return message_say(why, "the host has no memory left for the report");
    }
    if (to != NULL) {
        file_writer_put(to, text, strlen(text));
    } else {
        fputs(text, stdout);
    }
    free(text);
    return true;
}

static char *stream_text(void (*report)(FILE *out, const struct judgement *j), const struct judgement *j)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL) {
        return NULL;
    }
    report(out, j);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static char *json_text(const struct conform_arguments *a, const struct judgement *j, const struct conform_records *records)
{
    char shard[32];
    snprintf(shard, sizeof shard, "%u/%u", a->shard, a->shards);
    json_t *o = report_json(j, records->list, records->count, a->shards != 0 ? shard : NULL);
    char *text = o != NULL ? json_dumps(o, JSON_INDENT(1) | JSON_PRESERVE_ORDER) : NULL, *line = NULL;
    json_decref(o);
    if (text != NULL && asprintf(&line, "%s\n", text) < 0) {
        line = NULL;
    }
    free(text);
    return line;
}

static char *html_text(const struct conform_data *d, const struct judgement *j, const struct conform_windows *windows)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL) {
        return NULL;
    }
    report_html(out, j, d->ledger, windows->list, windows->count);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static bool to_stdout(const char *path)
{
    return path != NULL && strcmp(path, "-") == 0;
}

static bool write_reports(const struct conform_arguments *a, const struct conform_data *d, const struct plan *p,
                          const struct judgement *j, const struct conform_records *records, struct report_files *files,
                          bool *interrupted, struct message *why)
{
    struct conform_windows windows = {NULL, 0};
    bool ok = a->html == NULL || conform_windows(a, p, j, &windows, interrupted, why);
    ok = ok && (a->json == NULL || put(json_text(a, j, records), files->json, why)) &&
         (a->junit == NULL || put(stream_text(report_junit, j), files->junit, why)) &&
         (a->ktap == NULL || put(stream_text(report_ktap, j), files->ktap, why)) &&
         (a->html == NULL || put(html_text(d, j, &windows), files->html, why));
    conform_windows_free(&windows);
    return ok;
}

/* ---- modes ---- */

static int list(const struct conform_data *d)
{
    for (size_t i = 0; i < d->suites.count; i++) {
        const struct suite *s = &d->suites.list[i];
        size_t clauses = 0, with_tests = 0;
        for (size_t k = 0; k < d->ledger->count; k++) {
            clauses += suite_has(s, d->ledger->by_id[k]);
            with_tests += suite_has(s, d->ledger->by_id[k]) && d->ledger->by_id[k]->reason == REASON_NONE;
        }
        printf("%-10s %s: %zu clauses, %zu with tests\n           ", s->name, s->title, clauses, with_tests);
        for (unsigned k = 0; k < s->profile_count; k++) {
            printf(" %s%s", s->profiles[k], k >= s->default_count ? " (when asked)" : "");
        }
        putchar('\n');
    }
    return EXIT_AS_EXPECTED;
}

static int check(const struct conform_arguments *a, const struct conform_data *d, struct message *why)
{
    struct plan plan;
    struct ledger_checked checked;
    const struct plan_choice all = {.probes = d->probes};
    bool ok = plan_make(&plan, &d->suites, d->ledger, &all, why) &&
              ledger_check(d->folder, d->probes, d->ledger, &d->suites, &plan, stderr, &checked, why);
    plan_free(&plan);
    if (!ok) {
        return complain_of(why);
    }
    printf("%zu clauses: %zu of requirements, %zu of tlfs;", checked.clauses, checked.by_document[DOCUMENT_REQUIREMENTS],
           checked.by_document[DOCUMENT_TLFS]);
    for (unsigned i = 0; i < CLAUSE_KINDS; i++) {
        printf("%s %zu %s", i > 0 ? "," : "", checked.by_kind[i], clause_kind_names[i]);
    }
    printf("\n%zu with tests", checked.by_reason[REASON_NONE]);
    for (unsigned i = 1; i < CLAUSE_REASONS; i++) {
        printf(", %zu %s", checked.by_reason[i], clause_reason_names[i]);
    }
    printf("; %zu tests in %zu probes\n%zu faults\n", checked.tests, checked.probes, checked.faults);
    return checked.faults == 0 ? EXIT_AS_EXPECTED : EXIT_USAGE;
}

static bool update_baseline(const struct conform_data *d, const struct judgement *j, struct message *why)
{
    char *folder;
    if (asprintf(&folder, "%s/baseline", d->folder) < 0) {
        return message_say(why, "the host has no memory left");
    }
    mkdir(folder, 0777);
    bool ok = true;
    for (size_t i = 0; ok && i < j->count; i++) {
        const struct column_result *c = &j->columns[i];
        char *path = NULL, *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);
        ok = out != NULL && asprintf(&path, "%s/%s@%s.txt", folder, c->suite->name, c->profile) >= 0;
        if (ok) {
            fprintf(out, "# Clauses that have to pass. Written by: orrery conform --update-baseline\n");
            for (size_t k = 0; k < c->count; k++) {
                if (c->results[k].word == VERDICT_PASS) {
                    fprintf(out, "%s\n", c->results[k].clause->id);
                }
            }
        }
        ok = out != NULL && fclose(out) == 0 && ok && file_write(path, text, size, why);
        free(path);
        free(text);
    }
    free(folder);
    return ok || message_say(why, "the host has no memory left");
}

static bool read_baselines(const struct conform_data *d, const struct plan_column *columns, size_t count,
                           struct baseline *baselines, struct message *why)
{
    for (size_t i = 0; baselines != NULL && i < count; i++) {
        if (!baseline_read(d->folder, &columns[i], &baselines[i], why)) {
            return false;
        }
    }
    return baselines != NULL || message_say(why, "the host has no memory left");
}

/* The records become verdicts, the verdicts reports. */
static int judge_and_report(const struct conform_arguments *a, const struct conform_data *d, const struct plan *p,
                            const struct plan_column *columns, size_t column_count, const struct conform_records *records,
                            struct report_files *files, struct message *why)
{
    struct baseline *baselines = calloc(column_count + 1, sizeof *baselines);
    struct judgement j = {.columns = NULL};
    const struct judge_rules rules = {d->ledger, &d->known, baselines, a->clause_glob, a->shards != 0};
    bool interrupted = false;
    bool ok = read_baselines(d, columns, column_count, baselines, why) &&
              (judge(&j, columns, column_count, records->list, records->count, &rules) ||
               message_say(why, "the host has no memory left"));
    ok = ok && write_reports(a, d, p, &j, records, files, &interrupted, why) && !interrupted &&
         (a->mode != CONFORM_UPDATE_BASELINE || update_baseline(d, &j, why));
    ok = reports_close(files, ok, why);
    if (ok) {
        report_text(to_stdout(a->json) || to_stdout(a->junit) || to_stdout(a->ktap) ? stderr : stdout, &j);
    }
    bool good = judgement_good(&j);
    for (size_t i = 0; baselines != NULL && i < column_count; i++) {
        baseline_free(&baselines[i]);
    }
    free(baselines);
    judgement_free(&j);
    if (interrupted) {
        return EXIT_NOT_AS_EXPECTED;
    }
    return !ok ? complain_of(why) : good ? EXIT_AS_EXPECTED : EXIT_NOT_AS_EXPECTED;
}

static int run(const struct conform_arguments *a, const struct conform_data *d, struct message *why)
{
    struct plan plan;
    struct conform_records records = {NULL, 0};
    struct report_files files;
    bool interrupted = false;
    const struct plan_choice choice = {a->names, a->name_count, a->profile, a->clause_glob, d->probes};
    int code = EXIT_NOT_AS_EXPECTED;
    if (!plan_make(&plan, &d->suites, d->ledger, &choice, why)) {
        plan_free(&plan);
        return complain_of(why);
    }
    bool ok = reports_open(&files, a, why) && conform_run(a, &plan, &records, &interrupted, why);
    if (ok && !interrupted) {
        code = judge_and_report(a, d, &plan, plan.columns, plan.column_count, &records, &files, why);
    } else {
        reports_close(&files, false, why);
        code = ok ? EXIT_NOT_AS_EXPECTED : complain_of(why);
    }
    conform_records_free(&records);
    plan_free(&plan);
    return code;
}

static int merge(const struct conform_arguments *a, const struct conform_data *d, struct message *why)
{
    struct plan plan;
    struct conform_records records = {NULL, 0};
    struct plan_column *columns = NULL;
    size_t column_count = 0;
    struct report_files files;
    const struct plan_choice all = {.probes = d->probes};
    int code;
    bool ok = plan_make(&plan, &d->suites, d->ledger, &all, why) && reports_open(&files, a, why);
    if (ok && conform_merge(a, d, &records, &columns, &column_count, why)) {
        code = judge_and_report(a, d, &plan, columns, column_count, &records, &files, why);
    } else {
        if (ok) {
            reports_close(&files, false, why);
        }
        code = complain_of(why);
    }
    free(columns);
    conform_records_free(&records);
    plan_free(&plan);
    return code;
}

int command_conform(int argc, char **argv)
{
    struct conform_arguments a;
    struct conform_data d;
    struct message why = {.text = {0}};
    int code = read_arguments(&a, argc, argv);
    if (code >= 0) {
        return code;
    }
    if (!conform_open(&d, &a, &why)) {
        code = complain_of(&why);
    } else if (a.mode == CONFORM_LIST) {
        code = list(&d);
    } else if (a.mode == CONFORM_CHECK) {
        code = check(&a, &d, &why);
    } else if (a.mode == CONFORM_MERGE) {
        code = merge(&a, &d, &why);
    } else {
        code = run(&a, &d, &why);
    }
    conform_close(&d);
    return code;
}
