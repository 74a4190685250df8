/* orrery: the command. Finds the subcommand and hands over; see commands.h for what all share. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "machine/types.h"
#include "tools/commands.h"

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv); /* NULL: planned, not built */
    const char *help;
} commands[] = {
    {"run", command_run, "run scenarios and judge their expectations"},
    {"check", command_check, "check scenarios and their images without running them"},
    {"profile", command_profile, "show a hypervisor profile: what is announced, what is withheld and why"},
    {"conform", command_conform, "judge the hypervisor by the clause ledger: suites of probe guests"},
    {"lint", command_lint, "judge a guest by what it owes the hypervisor"},
    {"record", NULL, NULL},
    {"replay", NULL, NULL},
    {"debug", NULL, NULL},
    {"trace", NULL, NULL},
    {"diff", NULL, NULL},
    {"bisect", NULL, NULL},
    {"explore", NULL, NULL},
    {"dump", NULL, NULL},
};

int complain(const char *format, ...)
{
    va_list args;
    fputs("orrery: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return EXIT_USAGE;
}

int complain_of(const struct message *why)
{
    fprintf(stderr, why->placed ? "%s\n" : "orrery: %s\n", why->text);
    return EXIT_USAGE;
}

int complain_of_option(const char *command, char **argv)
{
    return complain("%s is no option of %s, or its value is missing; see orrery %s --help", quote_text(argv[optind - 1]).text,
                    command, command);
}

static int help(FILE *out)
{
    fputs("orrery - a deterministic x86-64 machine that shows guests Microsoft's Hyper-V interface\n"
          "\n"
          "usage: orrery COMMAND [OPTION...] [ARGUMENT...]\n"
          "\n",
          out);
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        if (commands[i].run != NULL) {
            fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].help);
        }
    }
    fputs("\n"
          "  orrery COMMAND --help    the command's options\n"
          "  orrery --version         the version\n"
          "\n"
          "Exit code: 0 as expected, 1 not as expected, 2 bad input or usage. Manual: orrery(1).\n",
          out);
    return EXIT_AS_EXPECTED;
}

static int dispatch(int argc, char **argv)
{
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        if (strcmp(argv[0], commands[i].name) == 0) {
            return commands[i].run != NULL
                       ? commands[i].run(argc, argv)
                       : complain("%s is not built yet; run, check, profile, conform and lint are", argv[0]);
        }
    }
    return complain("no command has the name %s; see orrery --help", quote_text(argv[0]).text);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* a reader that goes away is a failed write, told at the end */
    int code;
    if (argc < 2) {
        help(stderr);
        code = EXIT_USAGE;
    } else if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        code = help(stdout);
    } else if (strcmp(argv[1], "--version") == 0) {
        puts("orrery " ORRERY_VERSION);
        code = EXIT_AS_EXPECTED;
    } else {
        code = dispatch(argc - 1, argv + 1);
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        return complain("standard output could not be written");
    }
    return code;
}
