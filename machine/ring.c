/* A ring of events. Invariant: events[(noted - count + i) % size] is the i-th oldest kept. Left out: what an exit is; the owner
 * chooses the rows. */
#include "machine/ring.h"

#include "machine/alloc.h"

struct ring {
    size_t size, next; /* next == noted % size */
    uint64_t noted;
    struct trace_event *events;
};

struct ring *ring_create(size_t events)
{
    struct ring *r = host_alloc(1, sizeof *r);
    r->size = events < 1 ? 1 : events > 65536 ? 65536 : events;
    r->events = host_alloc(r->size, sizeof *r->events);
    return r;
}

void ring_destroy(struct ring *r)
{
    if (r != NULL) {
        free(r->events);
        free(r);
    }
}

void ring_note(void *ring, const struct trace_event *e)
{
    *ring_next(ring) = *e;
}

struct trace_event *ring_next(struct ring *r)
{
    struct trace_event *e = &r->events[r->next];
    r->next = r->next + 1 == r->size ? 0 : r->next + 1;
    r->noted++;
    return e;
}

size_t ring_count(const struct ring *r)
{
    return r->noted < r->size ? (size_t)r->noted : r->size;
}

const struct trace_event *ring_at(struct ring *r, size_t index)
{
    size_t count = ring_count(r);
    if (index >= count) {
        return NULL;
    }
    struct trace_event *e = &r->events[(r->noted - count + index) % r->size];
    trace_event_cut(e);
    return e;
}
