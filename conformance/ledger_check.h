/* What the ledger says of documents, probes and suites, proven against them.
 *
 *   - each cited section stands in that edition's list (conformance/sections/);
 *   - each named test is in a built probe, which names the clause back; each clause that a probe names is in the ledger and
 * names the test back ("kit." clauses are the probe kit's own and of no document);
 *   - each clause with tests is asked by every suite of its editions, under some profile that the suite runs by itself;
 *   - each scenario of conformance/scenarios stands in a suite.
 * Unique ids and well-formed clauses are the loader's matter. All faults are told, not only the first.
 */
#ifndef ORRERY_CONFORMANCE_LEDGER_CHECK_H
#define ORRERY_CONFORMANCE_LEDGER_CHECK_H

#include <stdio.h>

#include "conformance/plan.h"

struct ledger_checked {
    size_t clauses, tests, probes, faults;
    size_t by_document[2], by_kind[CLAUSE_KINDS], by_reason[CLAUSE_REASONS];
};

/* `plan` holds every suite under its own profiles. Faults go to `faults`, one line each. False with a message when the host
 * fails. */
bool ledger_check(const char *folder, const char *probes, const struct ledger *l, const struct suites *suites,
                  const struct plan *plan, FILE *faults, struct ledger_checked *checked, struct message *why);

#endif
