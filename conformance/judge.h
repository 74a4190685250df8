/* Judgement: records of a suite under a profile become one verdict for each clause.
 *
 * A clause's verdict is the worst of its answers (verdict_worse()). No answer is an answer too: `broken` when a probe that has
 * a test of it ran, `not-supported` when the suite has no scenario for it under this profile. A failure that known.yaml expects
 * there becomes `known`; what it expects and does not happen is an unexpected pass. The baseline is what must pass.
 */
#ifndef ORRERY_CONFORMANCE_JUDGE_H
#define ORRERY_CONFORMANCE_JUDGE_H

#include "conformance/record.h"

/* ---- known failures: conformance/known.yaml ---- */

struct known_failure {
    const char *clause, *profile, *cause;
};
struct known {
    struct yaml_tree *tree; /* NULL: no such file, nothing is known */
    struct known_failure *list;
    size_t count;
};
bool known_read(const char *file, const struct ledger *l, struct known *k, struct message *why);
void known_free(struct known *k);

/* ---- the must-pass baseline: FOLDER/baseline/SUITE@PROFILE.txt, one clause id a line ---- */

struct baseline {
    char *file, *text; /* text NULL: there is none yet */
    const char **ids;
    size_t count;
};
bool baseline_read(const char *folder, const struct plan_column *c, struct baseline *b, struct message *why);
void baseline_free(struct baseline *b);

/* ---- what no mutant has made fail: FOLDER/unproven.txt, one clause id a line; tests/mutants/run keeps it right ---- */

/* Marks those clauses. No file: none is. */
bool unproven_read(const char *folder, struct ledger *l, struct message *why);

/* ---- verdicts ---- */

struct clause_result {
    const struct clause *clause;
    enum verdict_word word;
    const struct record *record;       /* that decided it; NULL: none did */
    const struct ktap_line *line;      /* NULL: no line decided it */
    const char *message;               /* why it is not a pass; may be NULL */
    const struct known_failure *known; /* word is VERDICT_KNOWN, or it passes unexpectedly */
    bool new_pass;                     /* passes, and is not in the baseline */
};
struct column_result {
    const struct suite *suite;
    const char *profile;
    struct clause_result *results; /* of clauses with tests, in the ledger's order */
    size_t count;
    size_t summary[VERDICT_WORDS];
    size_t excused[CLAUSE_REASONS];
    const char **fallen;                                    /* ids of the baseline that do not pass */
    size_t fallen_count, unexpected, new_passes, strangers; /* strangers: lines that name no clause */
    bool has_baseline;
};
struct judgement {
    struct column_result *columns;
    size_t count;
    const char *clause_glob;   /* of the rules */
    size_t with_tests, judged; /* distinct clauses; judged: pass, fail or known somewhere */
    size_t unproven;           /* of the judged ones */
};

struct judge_rules {
    const struct ledger *ledger;
    const struct known *known;
    const struct baseline *baselines; /* one for each column */
    const char *clause_glob;          /* NULL: all */
    bool partial;                     /* a shard: clauses that no record answers are left out */
};
/* Borrows everything. False: the host has no memory. */
bool judge(struct judgement *j, const struct plan_column *columns, size_t column_count, const struct record *records,
           size_t record_count, const struct judge_rules *rules);
void judgement_free(struct judgement *j);
/* Nothing fails, breaks or falls out of the baseline. */
bool judgement_good(const struct judgement *j);

/* The command that shows the verdict again; freed by the caller; NULL when no run decided it. */
char *result_evidence(const struct clause_result *r);

#endif
