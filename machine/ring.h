/* The last N trace events, for the end of a run that went wrong ("the last 32 exits"). */
#ifndef ORRERY_MACHINE_RING_H
#define ORRERY_MACHINE_RING_H

#include "machine/trace.h"

struct ring;

/* Keeps the last `events` (1 .. 65536). Either trace_keep() fills it, until trace_keep(NULL) before ring_destroy(); or hand
 * ring_note to trace_listen() for each row to keep, with the ring as owner, and take it back with trace_unlisten(). */
struct ring *ring_create(size_t events);
void ring_destroy(struct ring *r);
void ring_note(void *ring, const struct trace_event *e);
/* The place of the next event, which counts as noted; the caller fills it, and its values need not be cut. */
struct trace_event *ring_next(struct ring *r);
size_t ring_count(const struct ring *r);
/* 0 is the oldest that is kept; NULL at ring_count() and beyond. For text see trace_event_text(). */
const struct trace_event *ring_at(struct ring *r, size_t index);

#endif
