/* A built probe and the tests in it, as it says itself: run with the command line `list`, it prints `test NAME CLAUSE...`
 * lines. What it prints is as little trusted as any guest's output. */
#ifndef ORRERY_CONFORMANCE_PROBE_H
#define ORRERY_CONFORMANCE_PROBE_H

#include "conformance/ktap.h"

enum { PROBE_TESTS_MAX = 1024, PROBE_CLAUSES_MAX = 16 };

struct probe_test {
    char name[KTAP_NAME_MAX];
    unsigned clause_count;
    char clauses[PROBE_CLAUSES_MAX][KTAP_NAME_MAX + 1];
};
struct probe {
    char name[48]; /* the file's, without ".elf" */
    struct probe_test *tests;
    size_t count;
};

/* Runs FOLDER/FILE under Orrery, in this process. False with a message. */
bool probe_list(const char *folder, const char *file, struct probe *p, struct message *why);
void probe_free(struct probe *p);
const struct probe_test *probe_find(const struct probe *p, const char *test);
bool probe_test_names(const struct probe_test *t, const char *clause);

#endif
