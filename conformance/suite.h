/* Suites: which scenarios judge which edition, under which profiles.
 *
 *     suite: tlfs-6.0
 *     title: TLFS 6.0b
 *     edition: "6.0"                    # "2012": the Requirements document
 *     profiles: [ws2019]                # run unless --profile says otherwise
 *     also: [ws2016]                    # only when asked for
 *     scenarios:                        # paths count from the conformance folder
 *       - scenarios/synic*.yaml         # a pattern leaves out what is listed by itself
 *       - { file: scenarios/synic.yaml, set: { VPS: 2 }, profiles: [ws2019] }
 *     except: [scenarios/selftest.yaml]   # no pattern means these
 *
 * Every scenario gets EDITION (what the probe is told), PROFILE and PROBES (the folder of built probes), and what `set` adds:
 * its variables are these alone, never the environment's, so that a run can be repeated from what the report says.
 */
#ifndef ORRERY_CONFORMANCE_SUITE_H
#define ORRERY_CONFORMANCE_SUITE_H

#include "conformance/ledger.h"

enum { SUITE_PROFILES_MAX = 16, SUITE_SETS_MAX = 16, SUITE_ENTRIES_MAX = 1024 };

struct suite_entry {
    const struct yaml_node *where;
    char *file;                  /* with the conformance folder before it */
    const struct yaml_node *set; /* a mapping, or NULL */
    unsigned profiles;           /* bit set of suite.profiles */
};
struct suite {
    struct yaml_tree *tree;
    char *file;
    const char *name, *title;
    enum ledger_edition edition;
    const char *profiles[SUITE_PROFILES_MAX]; /* first those that run by themselves */
    unsigned profile_count, default_count;
    struct suite_entry *entries;
    unsigned entry_count;
    const struct yaml_node *except; /* a list of texts, or NULL */
};
struct suites {
    struct suite *list;
    size_t count;
};

/* All of FOLDER/suites/, by name. False with a message. */
bool suites_read(const char *folder, struct suites *s, struct message *why);
void suites_free(struct suites *s);
const struct suite *suites_find(const struct suites *s, const char *name);

/* Does the suite run the file, or leave it out by name? */
bool suite_lists(const struct suite *s, const char *folder, const char *file);

/* The clauses of a suite: those that its edition states. */
bool suite_has(const struct suite *s, const struct clause *c);

#endif
