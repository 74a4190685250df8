/* Conformance of the guest: what it owes the hypervisor, by rules over the trace.
 *
 * A rule watches for a breach of one clause of the ledger; a finding is a rule, what it is about (a register, a call), how
 * often and where first. The linter listens and never changes the run; what leaves no trace (whether a guest honours the
 * sequence of the TSC page, say) it cannot judge and has no rule for.
 */
#ifndef ORRERY_CONFORMANCE_LINT_H
#define ORRERY_CONFORMANCE_LINT_H

#include <jansson.h>
#include <stdio.h>

#include "scenarios/runner.h"

enum lint_severity { LINT_NOTE, LINT_WARNING, LINT_ERROR, LINT_SEVERITIES };
extern const char *const lint_severity_names[LINT_SEVERITIES];

struct lint_rule {
    const char *name;   /* "identity-first" */
    const char *clause; /* of the ledger */
    enum lint_severity severity;
    const char *duty; /* what a guest does instead */
};
extern const struct lint_rule lint_rules[];
extern const size_t lint_rule_count;

struct lint_finding {
    const struct lint_rule *rule;
    uint64_t key; /* what it is about: findings of one rule and key are counted together */
    uint64_t count;
    uint64_t cycle, rip; /* of the first; rip 0: unknown */
    uint32_t vp;
    char message[200]; /* of the first */
};
enum { LINT_FINDINGS_MAX = 256 };

struct lint;

/* Listens from now on; `r` is borrowed and has not run. NULL: the host has no memory. */
struct lint *lint_create(struct runner *r);
/* Between steps of the run, at least each millisecond of the guest's time: a guest that forgets something leaves no event. */
void lint_look(struct lint *l);
/* The run is over. */
void lint_end(struct lint *l);
void lint_destroy(struct lint *l);
/* In the order of their first cycles. */
const struct lint_finding *lint_findings(const struct lint *l, size_t *count);

void lint_print(FILE *out, const struct lint *l, const struct runner *r);
json_t *lint_json(const struct lint *l, const struct runner *r);
json_t *lint_sarif(const struct lint *l, const struct runner *r); /* SARIF 2.1.0 */

#endif
