/* The event queue: what becomes due at which cycle. Ordered by (cycle, sequence), never by pointer.
 *
 * An event *source* is registered once, in a fixed order, at machine creation; it has at most one pending moment.
 * So the queue is plain data: for each source a due cycle and a sequence number.
 */
#ifndef ORRERY_MACHINE_EVENTS_H
#define ORRERY_MACHINE_EVENTS_H

#include "machine/types.h"

struct events;
struct state;

/* `due_cycle` is the armed cycle; the clock may already stand later (at the first boundary at or after it). */
typedef void event_fn(void *owner, uint64_t due_cycle);

struct events *events_create(void);
void events_destroy(struct events *q);
/* Returns the source's number. `name` and `owner` are borrowed. */
int event_add(struct events *q, const char *name, event_fn *fn, void *owner);
/* Replaces an earlier moment of this source. A cycle in the past is due at once; CYCLE_NEVER disarms. Arming the moment that it
 * already has changes nothing, so how often an owner recomputes its moment is not visible in the order of equals. */
void event_arm(struct events *q, int source, uint64_t due_cycle);
void event_disarm(struct events *q, int source);
uint64_t event_due(const struct events *q, int source); /* CYCLE_NEVER when not armed */
uint64_t events_next(const struct events *q);           /* CYCLE_NEVER when nothing is armed */
/* Runs everything due at or before `now`, in order, including what those events arm for `now` or earlier. An owner whose period
 * a guest sets keeps it at one cycle or more, else this would never end. */
void events_run(struct events *q, uint64_t now_cycle);
/* Told whenever event_arm() makes the earliest moment earlier: the running VP must not run past it. */
void events_watch(struct events *q, void (*earlier)(void *owner, uint64_t cycle), void *owner);
/* Section "events". Saved as moment and rank, so equal queues save equal bytes whatever their history. */
void events_state(struct state *s, struct events *q);

#endif
