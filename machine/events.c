/* The event queue: a binary heap of source numbers, ordered by (cycle, sequence).
 *
 * Invariants: source n stands at heap[sources[n].place] when it is armed and nowhere otherwise; sequences of armed sources
 * differ, so the order is total and the heap's shape is never visible. What is saved is each source's moment and its rank
 * among all armed sources: two queues that will run the same events in the same order save the same bytes.
 * Left out: time itself (clock.h) and a limit to what one events_run() does: an owner that arms a moment in the past again and
 * again must bound that itself. */
#include "machine/events.h"

#include <string.h>
#include <xxhash.h>

#include "machine/alloc.h"
#include "machine/state.h"

enum { NOWHERE = -1 };

struct source {
    const char *name;
    event_fn *fn;
    void *owner;
    uint64_t due;
    uint64_t sequence;
    int place; /* in the heap */
};

struct events {
    struct source *sources;
    int *heap;
    int source_count, heap_count;
    uint64_t next_sequence;
    void (*earlier)(void *owner, uint64_t cycle);
    void *earlier_owner;
};

struct events *events_create(void)
{
    return host_alloc(1, sizeof(struct events));
}

void events_destroy(struct events *q)
{
    if (q != NULL) {
        free(q->sources);
        free(q->heap);
        free(q);
    }
}

int event_add(struct events *q, const char *name, event_fn *fn, void *owner)
{
    q->sources = host_room(q->sources, (size_t)q->source_count, sizeof *q->sources);
    q->heap = host_room(q->heap, (size_t)q->source_count, sizeof *q->heap);
    q->sources[q->source_count] = (struct source){.name = name, .fn = fn, .owner = owner, .due = CYCLE_NEVER, .place = NOWHERE};
    return q->source_count++;
}

/* ---- the heap ---- */

static bool before(const struct events *q, int a, int b)
{
    const struct source *x = &q->sources[a], *y = &q->sources[b];
    return x->due != y->due ? x->due < y->due : x->sequence < y->sequence;
}

static void put(struct events *q, int place, int source)
{
    q->heap[place] = source;
    q->sources[source].place = place;
}

static void sift_up(struct events *q, int place)
{
    int source = q->heap[place];
    while (place > 0 && before(q, source, q->heap[(place - 1) / 2])) {
        put(q, place, q->heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    put(q, place, source);
}

static void sift_down(struct events *q, int place)
{
    int source = q->heap[place];
    for (;;) {
        int child = 2 * place + 1;
        if (child >= q->heap_count) {
            break;
        }
        if (child + 1 < q->heap_count && before(q, q->heap[child + 1], q->heap[child])) {
            child++;
        }
        if (!before(q, q->heap[child], source)) {
            break;
        }
        put(q, place, q->heap[child]);
        place = child;
    }
    put(q, place, source);
}

static void heap_remove(struct events *q, int source)
{
    int place = q->sources[source].place;
    int last = q->heap[--q->heap_count];
    q->sources[source].place = NOWHERE;
    if (last != source) {
        put(q, place, last);
        sift_up(q, place);
        sift_down(q, q->sources[last].place);
    }
}

static void heap_add(struct events *q, int source)
{
    put(q, q->heap_count++, source);
    sift_up(q, q->heap_count - 1);
}

/* ---- moments ---- */

void event_arm(struct events *q, int source, uint64_t due_cycle)
{
    assert(source >= 0 && source < q->source_count);
    struct source *e = &q->sources[source];
    if (e->due == due_cycle) {
        return;
    }
    uint64_t earliest = events_next(q);
    event_disarm(q, source);
    if (due_cycle == CYCLE_NEVER) {
        return;
    }
    e->due = due_cycle;
    e->sequence = q->next_sequence++;
    heap_add(q, source);
    if (due_cycle < earliest && q->earlier != NULL) {
        q->earlier(q->earlier_owner, due_cycle);
    }
}

void event_disarm(struct events *q, int source)
{
    assert(source >= 0 && source < q->source_count);
    if (q->sources[source].place != NOWHERE) {
        heap_remove(q, source);
        q->sources[source].due = CYCLE_NEVER;
        q->sources[source].sequence = 0;
    }
}

uint64_t event_due(const struct events *q, int source)
{
    assert(source >= 0 && source < q->source_count);
    return q->sources[source].due;
}

uint64_t events_next(const struct events *q)
{
    return q->heap_count == 0 ? CYCLE_NEVER : q->sources[q->heap[0]].due;
}

void events_run(struct events *q, uint64_t now_cycle)
{
    while (q->heap_count > 0 && q->sources[q->heap[0]].due <= now_cycle) {
        int source = q->heap[0];
        struct source e = q->sources[source]; /* a copy: what runs may add sources */
        event_disarm(q, source);
        e.fn(e.owner, e.due);
    }
}

void events_watch(struct events *q, void (*earlier)(void *owner, uint64_t cycle), void *owner)
{
    q->earlier = earlier;
    q->earlier_owner = owner;
}

/* ---- save, restore, digest ---- */

/* order[rank] = source, for all armed sources: heap order is partial, so take a copy of the queue apart. */
static void rank_sources(const struct events *q, int *order)
{
    struct events copy = *q;
    copy.sources = host_alloc((size_t)q->source_count, sizeof *copy.sources);
    copy.heap = host_alloc((size_t)q->source_count, sizeof *copy.heap);
    if (q->source_count > 0) {
        memcpy(copy.sources, q->sources, (size_t)q->source_count * sizeof *copy.sources);
        memcpy(copy.heap, q->heap, (size_t)q->heap_count * sizeof *copy.heap);
    }
    for (int rank = 0; copy.heap_count > 0; rank++) {
        order[rank] = copy.heap[0];
        heap_remove(&copy, copy.heap[0]);
    }
    free(copy.sources);
    free(copy.heap);
}

static void save_moments(struct state *s, struct events *q)
{
    int *order = host_alloc((size_t)q->source_count, sizeof *order);
    uint32_t *rank = host_alloc((size_t)q->source_count, sizeof *rank);
    rank_sources(q, order);
    for (int i = 0; i < q->heap_count; i++) {
        rank[order[i]] = (uint32_t)i;
    }
    for (int i = 0; i < q->source_count; i++) {
        uint64_t name = XXH3_64bits(q->sources[i].name, strlen(q->sources[i].name));
        state_u64(s, &name);
        state_u64(s, &q->sources[i].due);
        state_u32(s, &rank[i]);
    }
    free(order);
    free(rank);
}

/* The ranks become the new sequence numbers; they must be the order in which this very queue would run. */
static bool ranks_fit(const struct events *q)
{
    int *order = host_alloc((size_t)q->source_count, sizeof *order);
    bool fit = true;
    rank_sources(q, order);
    for (int i = 0; i < q->heap_count; i++) {
        fit = fit && q->sources[order[i]].sequence == (uint64_t)i;
    }
    free(order);
    return fit;
}

static void restore_moments(struct state *s, struct events *q)
{
    q->heap_count = 0;
    for (int i = 0; i < q->source_count; i++) {
        struct source *e = &q->sources[i];
        uint64_t name = 0, due = CYCLE_NEVER;
        uint32_t rank = 0;
        state_u64(s, &name);
        state_u64(s, &due);
        state_u32(s, &rank);
        *e = (struct source){.name = e->name, .fn = e->fn, .owner = e->owner, .due = CYCLE_NEVER, .place = NOWHERE};
        if (!state_ok(s)) {
            continue;
        }
        if (name != XXH3_64bits(e->name, strlen(e->name))) {
            state_fail(s, "event source %d of the saved state is not \"%s\"", i, e->name);
        } else if (due == CYCLE_NEVER && rank != 0) {
            state_fail(s, "event \"%s\" is not armed and yet has a place in the queue", e->name);
        } else if (due != CYCLE_NEVER) {
            e->due = due;
            e->sequence = rank;
            heap_add(q, i);
        }
    }
    q->next_sequence = (uint64_t)q->heap_count;
    if (state_ok(s) && !ranks_fit(q)) {
        state_fail(s, "the places in the event queue do not fit its moments");
    }
}

void events_state(struct state *s, struct events *q)
{
    state_section(s, "events", 1);
    uint32_t count = (uint32_t)q->source_count;
    state_u32_in(s, &count, (uint32_t)q->source_count, (uint32_t)q->source_count, "number of event sources");
    if (state_restoring(s)) {
        restore_moments(s, q);
    } else {
        save_moments(s, q);
    }
}
