/* What the files of `orrery conform` share: arguments, the data on disk, and the work. Private to tools/. */
#ifndef ORRERY_TOOLS_CONFORM_H
#define ORRERY_TOOLS_CONFORM_H

#include "conformance/report.h"
#include "scenarios/files.h"

enum conform_mode { CONFORM_RUN, CONFORM_CHECK, CONFORM_MERGE, CONFORM_LIST, CONFORM_UPDATE_BASELINE };

struct conform_arguments {
    enum conform_mode mode;
    const char *profile, *clause_glob;
    const char *junit, *ktap, *json, *html;
    const char *data, *probes;    /* as given; NULL: found */
    unsigned jobs, shard, shards; /* shards 0: no shards */
    bool quiet;
    const char *const *names; /* suites; with --merge, files */
    size_t name_count;
};

/* Ledger, suites and rules, and where they are. */
struct conform_data {
    char *folder, *probes;
    struct ledger *ledger;
    struct suites suites;
    struct known known;
};
bool conform_open(struct conform_data *d, const struct conform_arguments *a, struct message *why);
void conform_close(struct conform_data *d);

/* Records of a run, in the plan's order. */
struct conform_records {
    struct record *list;
    size_t count;
};
/* Runs the plan's asks (those of the shard). False with a message, or interrupted. */
bool conform_run(const struct conform_arguments *a, const struct plan *p, struct conform_records *records, bool *interrupted,
                 struct message *why);
/* Records out of reports of shards. `columns` are those that the reports show. */
bool conform_merge(const struct conform_arguments *a, const struct conform_data *d, struct conform_records *records,
                   struct plan_column **columns, size_t *column_count, struct message *why);
void conform_records_free(struct conform_records *r);

/* The trace around each failure, from its scenario run again; at most so many as a page can show. */
struct conform_windows {
    struct trace_window *list;
    size_t count;
};
bool conform_windows(const struct conform_arguments *a, const struct plan *p, const struct judgement *j,
                     struct conform_windows *w, bool *interrupted, struct message *why);
void conform_windows_free(struct conform_windows *w);

#endif
