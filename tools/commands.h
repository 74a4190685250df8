/* The `orrery` command: one file for each subcommand, one table in main.c.
 * Exit codes: 0 as expected, 1 not as expected, 2 bad input or usage. Results go to stdout, diagnostics to stderr. */
#ifndef ORRERY_TOOLS_COMMANDS_H
#define ORRERY_TOOLS_COMMANDS_H

#include "scenarios/message.h"
#include "scenarios/yaml.h"

enum { EXIT_AS_EXPECTED = 0, EXIT_NOT_AS_EXPECTED = 1, EXIT_USAGE = 2 };

/* argv[0] is the subcommand's name. */
int command_run(int argc, char **argv);
int command_check(int argc, char **argv);
int command_profile(int argc, char **argv);
int command_conform(int argc, char **argv);
int command_lint(int argc, char **argv);

/* Says "orrery: MESSAGE" on stderr; returns EXIT_USAGE. */
int complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same with a message about input, which stands alone when it begins with a file's place. */
int complain_of(const struct message *why);
/* getopt_long() has refused an argument. */
int complain_of_option(const char *command, char **argv);

/* ---- --set NAME=VALUE, and behind it the environment ---- */
enum { SETTINGS_MAX = 256 };
struct settings {
    const char *texts[SETTINGS_MAX]; /* borrowed from argv */
    unsigned count;
};
bool settings_add(struct settings *s, const char *text, struct message *why);
struct yaml_variables settings_variables(struct settings *s); /* borrows `s` */

#endif
