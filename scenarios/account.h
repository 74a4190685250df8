/* Where the cycles went: by exit reason and by what the guest used of the hypervisor's interface, in total and by VP. */
#ifndef ORRERY_SCENARIOS_ACCOUNT_H
#define ORRERY_SCENARIOS_ACCOUNT_H

#include <jansson.h>
#include <stdio.h>

#include "scenarios/runner.h"

/* { "total": A, "vps": [ A ... ] } with A = { instructions, guest_cycles, exits: { REASON: { count, cycles } }, enlightenments:
 * { NAME: { KIND: { count, cycles } } } }; what never happened is left out. NULL when the host has no memory. */
json_t *account_json(struct runner *r);
void account_print(FILE *out, struct runner *r);

#endif
