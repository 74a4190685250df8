/* orrery run: scenarios run, judged and reported.
 *
 * All scenario files are read and checked before the first one runs; result files appear only when they are complete.
 */
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scenarios/account.h"
#include "scenarios/result.h"
#include "tools/commands.h"
#include "tools/terminal.h"

static int help(void)
{
    puts("usage: orrery run [OPTION]... FILE...\n"
         "\n"
         "Runs each scenario, prints the guest's console and the verdict of each expectation.\n"
         "\n"
         "  --set NAME=VALUE   the value of ${NAME} in scenarios (else the environment's); may be repeated\n"
         "  --seed N           the seed, above the scenario's\n"
         "  --cost NAME        the cost table, above the scenario's\n"
         "  --chunk N          run in steps of at most N cycles; never visible in the result\n"
         "  --json FILE        the result as JSON (- for standard output): an object, for several FILEs a list\n"
         "  --account          where the cycles went: by exit reason, MSR and hypercall; in the JSON as `account`\n"
         "  --quiet            no console and no progress on the terminal\n"
         "for one FILE only:\n"
         "  --console FILE     the console's raw bytes\n"
         "  --trace DIR        a trace in Common Trace Format; `babeltrace2 DIR` reads it\n"
         "  --stop-at CYCLE    stop at the first boundary at or after CYCLE\n"
         "  --save FILE        save the machine at the end (with --stop-at: there)\n"
         "  --restore FILE     go on from a saved machine of the same scenario\n"
         "\n"
         "Exit code: 0 all expectations met, 1 not met or interrupted, 2 bad input or usage.");
    return EXIT_AS_EXPECTED;
}

struct run_arguments {
    struct settings settings;
    struct scenario_overrides overrides;
    struct run_options options;
    const char *json, *console, *save, *restore;
    bool quiet, account;
    char **files;
    int file_count;
};

/* ---- arguments ---- */

enum run_option {
    OPT_SET = 256,
    OPT_SEED,
    OPT_COST,
    OPT_CHUNK,
    OPT_JSON,
    OPT_QUIET,
    OPT_ACCOUNT,
    OPT_CONSOLE,
    OPT_TRACE,
    OPT_STOP_AT,
    OPT_SAVE,
    OPT_RESTORE,
    OPT_TEST_HOST_TLB, /* not in the help: for the determinism tests */
    OPT_TEST_HOST_FLUSH,
    OPT_TEST_NO_RING /* for the bench of trace points */
};

static bool take_number(const char *option, const char *text, uint64_t min, uint64_t *value, struct message *why)
{
    if (quantity_parse(text, &units_count, value) != QUANTITY_OK || *value < min) {
        return message_say(why, "--%s %s: expected a whole number such as 1000 or 0x3e8, at least %" PRIu64, option,
                           quote_text(text).text, min);
    }
    return true;
}

static bool take_small_number(const char *option, const char *text, unsigned *value, struct message *why)
{
    uint64_t wide = 0;
    if (!take_number(option, text, 0, &wide, why)) {
        return false;
    }
    if (wide > INT_MAX) {
        return message_say(why, "--%s %s: expected at most %d", option, quote_text(text).text, INT_MAX);
    }
    *value = (unsigned)wide;
    return true;
}

static bool take_option(struct run_arguments *a, int option, struct message *why)
{
    switch (option) {
    case OPT_SET:
        return settings_add(&a->settings, optarg, why);
    case OPT_SEED:
        a->overrides.has_seed = true;
        return take_number("seed", optarg, 0, &a->overrides.seed, why);
    case OPT_COST:
        a->overrides.cost = optarg;
        return true;
    case OPT_CHUNK:
        return take_number("chunk", optarg, 1, &a->options.chunk_cycles, why);
    case OPT_STOP_AT:
        return take_number("stop-at", optarg, 0, &a->options.stop_at_cycle, why);
    case OPT_JSON:
        a->json = optarg;
        return true;
    case OPT_CONSOLE:
        a->console = optarg;
        return true;
    case OPT_TRACE:
        a->options.trace_dir = optarg;
        return true;
    case OPT_SAVE:
        a->save = optarg;
        return true;
    case OPT_RESTORE:
        a->restore = optarg;
        return true;
    case OPT_ACCOUNT:
        a->account = true;
        return true;
    case OPT_QUIET:
        a->quiet = true;
        return true;
    case OPT_TEST_HOST_TLB:
        return take_small_number("test-host-tlb", optarg, &a->options.test_host_tlb_entries, why);
    case OPT_TEST_HOST_FLUSH:
        return take_small_number("test-host-flush", optarg, &a->options.test_host_flush_every, why);
    case OPT_TEST_NO_RING:
        a->options.test_no_ring = true;
        return true;
    default:
        return false;
    }
}

/* -1: go on; else the exit code. */
static int read_arguments(struct run_arguments *a, int argc, char **argv)
{
    static const struct option options[] = {
        {"set", required_argument, NULL, OPT_SET},
        {"seed", required_argument, NULL, OPT_SEED},
        {"cost", required_argument, NULL, OPT_COST},
        {"chunk", required_argument, NULL, OPT_CHUNK},
        {"json", required_argument, NULL, OPT_JSON},
        {"account", no_argument, NULL, OPT_ACCOUNT},
        {"quiet", no_argument, NULL, OPT_QUIET},
        {"console", required_argument, NULL, OPT_CONSOLE},
        {"trace", required_argument, NULL, OPT_TRACE},
        {"stop-at", required_argument, NULL, OPT_STOP_AT},
        {"save", required_argument, NULL, OPT_SAVE},
        {"restore", required_argument, NULL, OPT_RESTORE},
        {"test-host-tlb", required_argument, NULL, OPT_TEST_HOST_TLB},
        {"test-host-flush", required_argument, NULL, OPT_TEST_HOST_FLUSH},
        {"test-no-ring", no_argument, NULL, OPT_TEST_NO_RING},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct message why = {.text = {0}};
    *a = (struct run_arguments){.options.stop_at_cycle = CYCLE_NEVER};
    opterr = 0;
    for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (o == 'h') {
            return help();
        }
        if (!take_option(a, o, &why)) {
            return message_set(&why) ? complain_of(&why) : complain_of_option("run", argv);
        }
    }
    a->files = argv + optind;
    a->file_count = argc - optind;
    if (a->file_count == 0) {
        return complain("run needs a scenario file; see orrery run --help");
    }
    if (a->file_count > 1 && (a->console != NULL || a->options.trace_dir != NULL || a->options.stop_at_cycle != CYCLE_NEVER ||
                              a->save != NULL || a->restore != NULL)) {
        return complain("--console, --trace, --stop-at, --save and --restore are for one FILE");
    }
    a->quiet |= a->json != NULL && strcmp(a->json, "-") == 0;
    return -1;
}

/* ---- one scenario ---- */

static bool restore(struct runner *r, const char *path, struct message *why)
{
    enum { SAVE_MAX_GIB = 16 };
    struct message reason = {.text = {0}};
    uint8_t *bytes = NULL;
    size_t size = 0;
    bool ok = file_read(path, (size_t)SAVE_MAX_GIB << 30, &bytes, &size, &reason) && runner_restore(r, bytes, size, &reason);
    free(bytes);
    return ok || message_say(why, "cannot restore %s: %s", quote_text(path).text, reason.text);
}

/* The files that a run writes: opened before it, so that a wrong path is told at once, and complete or absent after it. */
struct outputs {
    struct file_writer *json, *console, *save;
};

static bool outputs_open(struct outputs *o, const struct run_arguments *a, struct message *why)
{
    const struct {
        const char *path;
        struct file_writer **writer;
    } files[] = {{a->json, &o->json}, {a->console, &o->console}, {a->save, &o->save}};
    for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
        bool wanted = files[i].path != NULL && strcmp(files[i].path, "-") != 0;
        *files[i].writer = wanted ? file_writer_open(files[i].path, why) : NULL;
        if (wanted && *files[i].writer == NULL) {
            return false;
        }
    }
    return true;
}

static bool outputs_close(struct outputs *o, bool keep, struct message *why)
{
    struct file_writer *writers[] = {o->json, o->console, o->save};
    for (size_t i = 0; i < ARRAY_COUNT(writers); i++) {
        if (writers[i] != NULL && keep) {
            keep = file_writer_commit(writers[i], why);
        } else if (writers[i] != NULL) {
            file_writer_abandon(writers[i]);
        }
    }
    return keep;
}

static bool save(struct runner *r, struct file_writer *to, struct message *why)
{
    size_t size;
    uint8_t *bytes = runner_save(r, &size, why);
    if (bytes != NULL) {
        file_writer_put(to, bytes, size);
    }
    free(bytes);
    return bytes != NULL;
}

/* Runs to the end and reports; the result is appended to `results` (if not NULL). False with a message: bad input. */
static bool run_scenario(const struct run_arguments *a, struct scenario *s, struct terminal *t, struct file_writer *save_to,
                         json_t *results, bool *met, struct message *why)
{
    struct run_options options = a->options;
    options.console = terminal_console;
    options.go_on = terminal_go_on;
    options.owner = t;
    terminal_begin(t);
    struct runner *r = scenario_load_images(s, why) ? runner_create(s, &options, why) : NULL;
    bool ok = r != NULL && (a->restore == NULL || restore(r, a->restore, why)) && runner_run(r, why);
    terminal_end(t);
    if (ok && save_to != NULL) {
        ok = save(r, save_to, why);
    }
    if (ok && results != NULL) {
        json_t *result = result_json(r, terminal_cpu_seconds(t));
        bool whole = result != NULL && (!a->account || json_object_set_new(result, "account", account_json(r)) == 0);
        ok = (json_array_append_new(results, result) == 0 && whole) ||
             message_say(why, "the host has no memory left for the result");
    }
    if (ok) {
        *met = runner_met(r);
        bool to_stdout = a->json == NULL || strcmp(a->json, "-") != 0;
        result_print(to_stdout ? stdout : stderr, r);
        if (a->account) {
            account_print(to_stdout ? stdout : stderr, r);
        }
        if (!*met) {
            fflush(stdout);
            evidence_print(stderr, r);
        }
    }
    runner_destroy(r);
    return ok;
}

/* ---- all of them ---- */

static bool write_json(const struct run_arguments *a, json_t *results, struct file_writer *to, struct message *why)
{
    json_t *whole = a->file_count == 1 ? json_array_get(results, 0) : results;
    char *text = json_dumps(whole, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9));
    if (text == NULL) {
        return message_say(why, "the host has no memory left for the result");
    }
    if (to == NULL) {
        puts(text);
    } else {
        size_t length = strlen(text);
        text[length] = '\n'; /* in the place of the NUL */
        file_writer_put(to, text, length + 1);
    }
    free(text);
    return true;
}

static bool load_all(const struct run_arguments *a, struct scenario **scenarios, struct message *why)
{
    struct settings settings = a->settings;
    struct yaml_variables variables = settings_variables(&settings);
    for (int i = 0; i < a->file_count; i++) {
        scenarios[i] = scenario_load(a->files[i], &variables, &a->overrides, why);
        if (scenarios[i] == NULL) {
            return false;
        }
    }
    return true;
}

static bool run_all(const struct run_arguments *a, struct scenario **scenarios, struct terminal *t, bool *met,
                    struct message *why)
{
    struct outputs outputs = {NULL, NULL, NULL};
    json_t *results = a->json != NULL ? json_array() : NULL;
    bool ok = outputs_open(&outputs, a, why);
    t->console = outputs.console;
    *met = true;
    for (int i = 0; ok && i < a->file_count && !t->interrupted; i++) {
        bool one = false;
        ok = run_scenario(a, scenarios[i], t, outputs.save, results, &one, why);
        *met &= one;
        scenario_free(scenarios[i]); /* its images may be large */
        scenarios[i] = NULL;
    }
    ok = ok && (results == NULL || write_json(a, results, outputs.json, why));
    json_decref(results);
    return outputs_close(&outputs, ok, why);
}

int command_run(int argc, char **argv)
{
    struct run_arguments a;
    int code = read_arguments(&a, argc, argv);
    if (code >= 0) {
        return code;
    }
    struct scenario **scenarios = calloc((size_t)a.file_count, sizeof *scenarios);
    if (scenarios == NULL) {
        return complain("the host has no memory left");
    }
    struct message why = {.text = {0}};
    bool met = false, ok = load_all(&a, scenarios, &why);
    if (ok) {
        struct terminal t;
        terminal_open(&t, a.quiet);
        ok = run_all(&a, scenarios, &t, &met, &why);
        terminal_close(&t);
    }
    for (int i = 0; i < a.file_count; i++) {
        scenario_free(scenarios[i]);
    }
    free(scenarios);
    if (!ok) {
        return complain_of(&why);
    }
    return met ? EXIT_AS_EXPECTED : EXIT_NOT_AS_EXPECTED;
}
