/* What a run came to, for machines (JSON) and for people (verdict lines, and evidence when expectations are not met). */
#ifndef ORRERY_SCENARIOS_RESULT_H
#define ORRERY_SCENARIOS_RESULT_H

#include <jansson.h>
#include <stdio.h>

#include "scenarios/runner.h"

/* The result as one object with stable keys (FORMAT.md names them); NULL when the host has no memory. `cpu_seconds` is the
 * host's, and the only value that may differ between two runs of one scenario. */
json_t *result_json(const struct runner *r, double cpu_seconds);

/* One line for each expectation with the cycle that decided it, then how the run ended. */
void result_print(FILE *out, const struct runner *r);

/* Registers of each VP, the last exits, disassembly around RIP. */
void evidence_print(FILE *out, struct runner *r);

#endif
