/* Work in processes of its own: a few at a time, each task once, and one that dies takes nothing with it.
 *
 * A task runs in a forked child and writes what it found to a stream; the parent gets the bytes when the child is gone, in the
 * order in which tasks end. Nothing a task does shows in another. Ctrl-C ends all.
 */
#ifndef ORRERY_TOOLS_WORKERS_H
#define ORRERY_TOOLS_WORKERS_H

#include <stdio.h>

#include "scenarios/message.h"

struct workers {
    unsigned jobs;
    size_t tasks;
    /* In the child. */
    void (*work)(void *owner, size_t task, FILE *out);
    /* In the parent. `lost` is NULL, or says how the child died; then the bytes are worth nothing. */
    void (*done)(void *owner, size_t task, const char *bytes, size_t size, const char *lost);
    void *owner;
};

enum { WORKERS_JOBS_MAX = 256 };

/* False with a message when the host has no process left; `*interrupted` when a signal came. Children are gone on return. */
bool workers_run(const struct workers *w, bool *interrupted, struct message *why);

#endif
