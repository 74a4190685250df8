/* Trace points: who listens, and the way from a point to its listeners.
 *
 * Invariant: bit n of `armed` is set exactly when row n is declared and somebody listens to it or keeps it, so a silent point
 * stays one load and one test. Listeners may come and go while an event is told: who comes hears the next event, who goes hears
 * no more. Left out: formats (ctf.c writes files, ring.c keeps the last events). */
#include "machine/trace.h"

#include <inttypes.h>
#include <string.h>

#include "machine/alloc.h"
#include "machine/ring.h"
#include "machine/trace_ids.h"

#define TRACE_EVENT TRACE_EVENT_ROW
const struct trace_row machine_trace_rows[] = {
#include "machine/trace.def"
};
#undef TRACE_EVENT

struct listener {
    const struct trace_row *row; /* NULL: every event */
    trace_listener_fn *fn;       /* NULL: gone */
    void *owner;
};

struct trace_listeners {
    const struct trace_row *rows[TRACE_IDS_MAX];
    struct listener *list;
    size_t count, room;
    unsigned depth; /* emits under way: the list is not packed while one walks it */
};

struct trace *trace_create(const struct clock *clock)
{
    struct trace *t = host_alloc(1, sizeof *t);
    t->clock = clock;
    t->listeners = host_alloc(1, sizeof *t->listeners);
    return t;
}

void trace_destroy(struct trace *t)
{
    if (t != NULL) {
        free(t->listeners->list);
        free(t->listeners);
        free(t);
    }
}

static void rearm(struct trace *t)
{
    const struct trace_listeners *l = t->listeners;
    memset(t->told, 0, sizeof t->told);
    for (unsigned id = 0; id < TRACE_IDS_MAX; id++) {
        for (size_t i = 0; l->rows[id] != NULL && i < l->count; i++) {
            if (l->list[i].fn != NULL && (l->list[i].row == NULL || l->list[i].row == l->rows[id])) {
                t->told[id / 64] |= 1ULL << (id % 64);
                break;
            }
        }
    }
    for (unsigned i = 0; i < TRACE_IDS_MAX / 64; i++) {
        t->armed[i] = t->told[i] | t->kept[i];
    }
}

void trace_declare(struct trace *t, const struct trace_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert(rows[i].id < TRACE_IDS_MAX && rows[i].field_count <= TRACE_FIELDS_MAX);
        assert(t->listeners->rows[rows[i].id] == NULL && trace_row_by_name(t, rows[i].name) == NULL);
        t->listeners->rows[rows[i].id] = &rows[i];
    }
    rearm(t);
}

const struct trace_row *trace_row_by_name(const struct trace *t, const char *name)
{
    for (unsigned id = 0; id < TRACE_IDS_MAX; id++) {
        const struct trace_row *row = t->listeners->rows[id];
        if (row != NULL && strcmp(row->name, name) == 0) {
            return row;
        }
    }
    return NULL;
}

size_t trace_rows(const struct trace *t, const struct trace_row **rows, size_t max)
{
    size_t count = 0;
    for (unsigned id = 0; id < TRACE_IDS_MAX; id++) {
        if (t->listeners->rows[id] != NULL) {
            if (count < max) {
                rows[count] = t->listeners->rows[id];
            }
            count++;
        }
    }
    return count;
}

/* ---- listeners ---- */

void trace_listen(struct trace *t, const struct trace_row *row, trace_listener_fn *fn, void *owner)
{
    struct trace_listeners *l = t->listeners;
    if (l->count == l->room) {
        l->room = l->room > 0 ? l->room * 2 : 8;
        l->list = realloc(l->list, l->room * sizeof *l->list);
        if (l->list == NULL) {
            host_out_of_memory();
        }
    }
    l->list[l->count++] = (struct listener){row, fn, owner};
    rearm(t);
}

static void pack(struct trace_listeners *l)
{
    size_t kept = 0;
    for (size_t i = 0; i < l->count; i++) {
        if (l->list[i].fn != NULL) {
            l->list[kept++] = l->list[i];
        }
    }
    l->count = kept;
}

void trace_unlisten(struct trace *t, trace_listener_fn *fn, void *owner)
{
    struct trace_listeners *l = t->listeners;
    for (size_t i = 0; i < l->count; i++) {
        if (l->list[i].fn == fn && l->list[i].owner == owner) {
            l->list[i].fn = NULL;
        }
    }
    if (l->depth == 0) {
        pack(l);
    }
    rearm(t);
}

/* ---- events ---- */

static uint64_t field_mask(const struct trace_field *f)
{
    return f->bytes >= 8 ? UINT64_MAX : (1ULL << (8 * f->bytes)) - 1;
}

void trace_event_cut(struct trace_event *e)
{
    for (unsigned i = 0; i < e->row->field_count; i++) {
        e->values[i] &= field_mask(&e->row->fields[i]);
    }
}

void trace_keep(struct trace *t, struct ring *ring, const struct trace_row *row)
{
    t->ring = ring;
    if (row != NULL) {
        t->kept[row->id / 64] |= 1ULL << (row->id % 64);
    } else {
        memset(t->kept, 0, sizeof t->kept);
    }
    rearm(t);
}

static void tell(struct trace *t, struct trace_event *e)
{
    struct trace_listeners *l = t->listeners;
    trace_event_cut(e);
    l->depth++;
    for (size_t i = 0, listening = l->count; i < listening; i++) {
        struct listener who = l->list[i]; /* a copy: the list may move while it is told */
        if (who.fn != NULL && (who.row == NULL || who.row == e->row)) {
            who.fn(who.owner, e);
        }
    }
    if (--l->depth == 0) {
        pack(l);
    }
}

void trace_emit(struct trace *t, unsigned id, uint32_t vp, const uint64_t *values, size_t count)
{
    const struct trace_row *row = id < TRACE_IDS_MAX ? t->listeners->rows[id] : NULL;
    if (row == NULL) {
        return;
    }
    assert(count == row->field_count);
    const uint64_t bit = 1ULL << (id % 64);
    if (t->kept[id / 64] & bit) {
        struct trace_event *e = ring_next(t->ring);
        e->cycle = clock_now(t->clock);
        e->row = row;
        e->vp = vp;
        for (size_t i = 0; i < count; i++) {
            e->values[i] = values[i];
        }
    }
    if (t->told[id / 64] & bit) {
        struct trace_event e = {.cycle = clock_now(t->clock), .row = row, .vp = vp};
        memcpy(e.values, values, count * sizeof *values);
        tell(t, &e);
    }
}

size_t trace_event_text(const struct trace_event *e, char *text, size_t room)
{
    size_t used = 0;
#define ADD(...)                                                                                                               \
    do {                                                                                                                       \
        int n_ = snprintf(used < room ? text + used : NULL, used < room ? room - used : 0, __VA_ARGS__);                       \
        used += n_ > 0 ? (size_t)n_ : 0;                                                                                       \
    } while (0)
    ADD("%" PRIu64, e->cycle);
    if (e->vp != TRACE_NO_VP) {
        ADD(" vp%" PRIu32, e->vp);
    }
    ADD(" %s", e->row->name);
    for (unsigned i = 0; i < e->row->field_count; i++) {
        const struct trace_field *f = &e->row->fields[i];
        ADD(f->hex ? " %s=0x%" PRIx64 : " %s=%" PRIu64, f->name, e->values[i]);
    }
#undef ADD
    return used;
}
