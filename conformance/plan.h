/* What a conformance run asks: each scenario of each chosen suite under each chosen profile, loaded and in one fixed order.
 *
 * An ask is the unit of work, of shards and of failure: it runs alone, in a process of its own, and what it found is a record
 * (record.h).
 */
#ifndef ORRERY_CONFORMANCE_PLAN_H
#define ORRERY_CONFORMANCE_PLAN_H

#include "conformance/suite.h"
#include "scenarios/scenario.h"

struct ask {
    size_t number; /* its place in the plan */
    const struct suite *suite;
    const char *profile;
    const struct suite_entry *entry;
    const char *probes; /* the folder of built probes */
    struct scenario *scenario;
    char probe[48]; /* the kernel's name without ".elf" */
};
struct plan_column {
    const struct suite *suite;
    const char *profile;
};
struct plan {
    struct plan_column *columns; /* suite x profile, as reports show them */
    size_t column_count;
    struct ask *asks;
    size_t count;
};

struct plan_choice {
    const char *const *suites; /* none: all */
    size_t suite_count;
    const char *profile;     /* NULL: those that each suite runs by itself */
    const char *clause_glob; /* NULL: all; else only scenarios whose probe has tests of matching clauses */
    const char *probes;
};

/* Every scenario is read and checked here. False with a message. */
bool plan_make(struct plan *p, const struct suites *suites, const struct ledger *ledger, const struct plan_choice *choice,
               struct message *why);
void plan_free(struct plan *p);

/* "orrery run FILE --set ... --seed S --stop-at C" as one would type it; freed by the caller. `stop_at` CYCLE_NEVER: left out.
 */
char *ask_command(const struct ask *a, uint64_t stop_at);

#endif
