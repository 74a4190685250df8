/* orrery check: all that a run would refuse before its first instruction, and nothing more. */
#include <getopt.h>
#include <stdio.h>

#include "scenarios/runner.h"
#include "tools/commands.h"

static int help(void)
{
    puts("usage: orrery check [--set NAME=VALUE]... FILE...\n"
         "\n"
         "Reads each scenario and its images, builds the machine and loads the guest; runs nothing.\n"
         "\n"
         "  --set NAME=VALUE   the value of ${NAME} in scenarios (else the environment's)\n"
         "\n"
         "Exit code: 0 all are good, 2 one is not (one line each on standard error).");
    return EXIT_AS_EXPECTED;
}

static bool check_file(const char *path, const struct yaml_variables *variables, struct message *why)
{
    static const struct run_options idle = {.stop_at_cycle = CYCLE_NEVER};
    struct scenario *s = scenario_load(path, variables, NULL, why);
    struct runner *r = s != NULL && scenario_load_images(s, why) ? runner_create(s, &idle, why) : NULL;
    if (r != NULL) {
        printf("%s: good: %s, %u timeline entries, %u expectations\n", path, s->name, s->script.entry_count,
               s->script.expectation_count);
    }
    bool good = r != NULL;
    runner_destroy(r);
    scenario_free(s);
    return good;
}

int command_check(int argc, char **argv)
{
    static const struct option options[] = {{"set", required_argument, NULL, 's'}, {"help", no_argument, NULL, 'h'}, {0}};
    struct settings settings = {.count = 0};
    struct message why = {.text = {0}};
    opterr = 0;
    for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (o == 'h') {
            return help();
        }
        if (o != 's') {
            return complain_of_option("check", argv);
        }
        if (!settings_add(&settings, optarg, &why)) {
            return complain_of(&why);
        }
    }
    if (optind == argc) {
        return complain("check needs a scenario file; see orrery check --help");
    }
    struct yaml_variables variables = settings_variables(&settings);
    int code = EXIT_AS_EXPECTED;
    for (int i = optind; i < argc; i++) {
        struct message wrong = {.text = {0}};
        if (!check_file(argv[i], &variables, &wrong)) {
            code = complain_of(&wrong);
        }
    }
    return code;
}
