/* A record: what one ask found, as data that travels between processes, into reports and out of shards' files.
 *
 * Its JSON is one form for all of that; reading it back trusts nothing.
 */
#ifndef ORRERY_CONFORMANCE_RECORD_H
#define ORRERY_CONFORMANCE_RECORD_H

#include <jansson.h>

#include "conformance/ktap.h"
#include "conformance/plan.h"

struct record {
    size_t number; /* of the ask in its plan: the order of reports */
    char *suite, *profile;
    char *command; /* the run, without --stop-at */
    char *probe;
    char end[32]; /* "debug-exit:0" */
    uint64_t cycles;
    char trouble[KTAP_MESSAGE_MAX]; /* not empty: clauses of the probe that have no line here are broken, and why */
    struct ktap_line *lines;
    size_t count;
};

/* Runs the ask's scenario to its end, in this process, as `orrery run` does. False only when the host has no memory: all else
 * that goes wrong is the record's trouble. */
bool record_run(const struct ask *a, struct record *r);
/* The record of an ask that never came back. */
bool record_lost(const struct ask *a, const char *trouble, struct record *r);
void record_free(struct record *r);

json_t *record_json(const struct record *r); /* NULL: no memory */
/* False with a message without place. */
bool record_from_json(const json_t *o, struct record *r, struct message *why);

#endif
