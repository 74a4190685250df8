/* The last N trace events, for the end of a run that went wrong ("the last 32 exits"). */
#ifndef ORRERY_MACHINE_RING_H
#define ORRERY_MACHINE_RING_H

#include "machine/trace.h"

struct ring;

/* Keeps the last `events` (1 .. 65536). Hand ring_note to trace_listen() for each row to keep, with the ring as owner, and take
 * it back with trace_unlisten() before ring_destroy(). */
struct ring *ring_create(size_t events);
void ring_destroy(struct ring *r);
void ring_note(void *ring, const struct trace_event *e);
size_t ring_count(const struct ring *r);
/* 0 is the oldest that is kept; NULL at ring_count() and beyond. For text see trace_event_text(). */
const struct trace_event *ring_at(const struct ring *r, size_t index);

#endif
