/* orrery lint: conformance of the guest. One scenario runs as `orrery run` would run it, and rules listen to its trace. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/lint.h"
#include "tools/commands.h"
#include "tools/terminal.h"

static int help(void)
{
    puts("usage: orrery lint [OPTION]... SCENARIO\n"
         "\n"
         "Runs the scenario and says where its guest breaks what it owes the hypervisor, each with the clause.\n"
         "\n"
         "  --set NAME=VALUE   the value of ${NAME} in the scenario (else the environment's); may be repeated\n"
         "  --seed N           the seed, above the scenario's\n"
         "  --json FILE        the findings as JSON (- for standard output)\n"
         "  --sarif FILE       the findings as SARIF 2.1.0, which code hosts show\n"
         "  --rules            list the rules and run nothing\n"
         "  --console          show the guest's console\n"
         "\n"
         "The scenario's own expectations do not count here. Exit code: 0 nothing found, 1 a finding, or interrupted, 2 bad "
         "input\n"
         "or usage.");
    return EXIT_AS_EXPECTED;
}

struct lint_arguments {
    struct settings settings;
    struct scenario_overrides overrides;
    const char *json, *sarif, *file;
    bool console;
};

static int list_rules(void)
{
    for (size_t i = 0; i < lint_rule_count; i++) {
        printf("%-16s %-8s %-32s %s\n", lint_rules[i].name, lint_severity_names[lint_rules[i].severity], lint_rules[i].clause,
               lint_rules[i].duty);
    }
    return EXIT_AS_EXPECTED;
}

static bool take_seed(struct lint_arguments *a, const char *text, struct message *why)
{
    a->overrides.has_seed = true;
    return quantity_parse(text, &units_count, &a->overrides.seed) == QUANTITY_OK ||
           message_say(why, "--seed %s: expected a whole number", quote_text(text).text);
}

/* -1: go on; else the exit code. */
static int read_arguments(struct lint_arguments *a, int argc, char **argv)
{
    static const struct option options[] = {
        {"set", required_argument, NULL, 's'},  {"seed", required_argument, NULL, 'n'},
        {"json", required_argument, NULL, 'j'}, {"sarif", required_argument, NULL, 'r'},
        {"rules", no_argument, NULL, 'l'},      {"console", no_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},       {0},
    };
    struct message why = {.text = {0}};
    *a = (struct lint_arguments){.json = NULL};
    opterr = 0;
    for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (o) {
        case 'h':
            return help();
        case 'l':
            return list_rules();
        case 's':
            settings_add(&a->settings, optarg, &why);
            break;
        case 'n':
            take_seed(a, optarg, &why);
            break;
        case 'j':
            a->json = optarg;
            break;
        case 'r':
            a->sarif = optarg;
            break;
        case 'c':
            a->console = true;
            break;
        default:
            return complain_of_option("lint", argv);
        }
        if (message_set(&why)) {
            return complain_of(&why);
        }
    }
    if (optind != argc - 1) {
        return complain("lint needs one scenario file; see orrery lint --help");
    }
    a->file = argv[optind];
    return -1;
}

static bool to_stdout(const char *path)
{
    return path != NULL && strcmp(path, "-") == 0;
}

/* Takes `o` over. */
static bool write_json(json_t *o, const char *path, struct message *why)
{
    char *text = o != NULL ? json_dumps(o, JSON_INDENT(2) | JSON_PRESERVE_ORDER) : NULL;
    bool ok = text != NULL || message_say(why, "the host has no memory left for the result");
    if (ok && to_stdout(path)) {
        puts(text);
    } else if (ok) {
        size_t length = strlen(text);
        text[length] = '\n'; /* in the place of the NUL */
        ok = file_write(path, text, length + 1, why);
    }
    free(text);
    json_decref(o);
    return ok;
}

static bool report(const struct lint_arguments *a, const struct lint *l, const struct runner *r, struct message *why)
{
    if ((a->json != NULL && !write_json(lint_json(l, r), a->json, why)) ||
        (a->sarif != NULL && !write_json(lint_sarif(l, r), a->sarif, why))) {
        return false;
    }
    lint_print(to_stdout(a->json) || to_stdout(a->sarif) ? stderr : stdout, l, r);
    return true;
}

struct listening {
    struct terminal *terminal;
    struct lint *lint;
};

static void console(void *owner, unsigned port, uint8_t byte)
{
    struct listening *w = owner;
    terminal_console(w->terminal, port, byte);
}

static bool go_on(void *owner, const struct runner *r)
{
    struct listening *w = owner;
    lint_look(w->lint);
    return terminal_go_on(w->terminal, r);
}

static bool lint(const struct lint_arguments *a, struct scenario *s, struct terminal *t, size_t *found, struct message *why)
{
    enum { LOOKS_A_SECOND = 1000 };
    struct listening w = {.terminal = t};
    const struct run_options options = {.chunk_cycles = s->model.tsc_hz / LOOKS_A_SECOND,
                                        .stop_at_cycle = CYCLE_NEVER,
                                        .console = console,
                                        .go_on = go_on,
                                        .owner = &w};
    struct runner *r = scenario_load_images(s, why) ? runner_create(s, &options, why) : NULL;
    struct lint *l = r != NULL ? lint_create(r) : NULL;
    bool ok = r != NULL && (l != NULL || message_say(why, "the host has no memory left"));
    w.lint = l;
    if (ok) {
        terminal_begin(t);
        ok = runner_run(r, why);
        terminal_end(t);
        lint_end(l);
    }
    ok = ok && report(a, l, r, why);
    if (l != NULL) {
        lint_findings(l, found);
    }
    lint_destroy(l);
    runner_destroy(r);
    return ok;
}

int command_lint(int argc, char **argv)
{
    struct lint_arguments a;
    int code = read_arguments(&a, argc, argv);
    if (code >= 0) {
        return code;
    }
    struct message why = {.text = {0}};
    struct yaml_variables variables = settings_variables(&a.settings);
    struct terminal t;
    size_t found = 0;
    struct scenario *s = scenario_load(a.file, &variables, &a.overrides, &why);
    if (s == NULL) {
        return complain_of(&why);
    }
    terminal_open(&t, !a.console);
    bool ok = lint(&a, s, &t, &found, &why);
    terminal_close(&t);
    scenario_free(s);
    if (!ok) {
        return complain_of(&why);
    }
    return found == 0 && !t.interrupted ? EXIT_AS_EXPECTED : EXIT_NOT_AS_EXPECTED;
}
