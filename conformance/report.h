/* A judgement as people and programs read it. Each writes to a stream; whoever opened it looks for errors. */
#ifndef ORRERY_CONFORMANCE_REPORT_H
#define ORRERY_CONFORMANCE_REPORT_H

#include <stdio.h>

#include "conformance/judge.h"

/* For a terminal: a table, then what is wrong, each with the command that shows it again. */
void report_text(FILE *out, const struct judgement *j);

/* {"suites": [ { "suite", "profile", "summary", "clauses": [ { "id", "verdict", "probe", "cycle", "evidence", "message" } ],
 * "excused", "runs" } ], "shard" }. `runs` are the records, from which conform --merge makes the same report again. `shard` is
 * NULL, or "I/N". NULL: no memory. */
json_t *report_json(const struct judgement *j, const struct record *records, size_t record_count, const char *shard);
/* The records of a report, appended; `shard` gets its "I/N" or "". False with a message without place. */
bool report_records(const json_t *report, struct record **records, size_t *count, char shard[16], struct message *why);

void report_junit(FILE *out, const struct judgement *j);
void report_ktap(FILE *out, const struct judgement *j);

/* What happened around a failure, for the page. */
struct trace_window {
    const struct clause_result *result;
    char **lines; /* oldest first */
    size_t count;
};
/* One page that needs nothing else. `windows` may be NULL. */
void report_html(FILE *out, const struct judgement *j, const struct ledger *l, const struct trace_window *windows,
                 size_t window_count);

#endif
