/* Trace points: typed events, cycle, VP and guest values only.
 *
 * Each folder declares its events in its own trace.def:
 *     TRACE_EVENT(msr_write, "MSR written by the guest", F(u32, msr) F(x64, value))
 * Field types: u8 u16 u32 u64 (decimal) x8 x16 x32 x64 (hexadecimal). A folder's header then makes its ids with
 * TRACE_IDS and its rows with TRACE_ROWS (see trace_rows.h). A point that nobody listens to costs one load and one test.
 *     TRACE(t, msr_write, vp, msr, value);
 * Listeners (CTF writer, last-exits ring, expectations) get the decoded values. Listening never changes the guest.
 */
#ifndef ORRERY_MACHINE_TRACE_H
#define ORRERY_MACHINE_TRACE_H

#include "machine/clock.h"
#include "machine/types.h"

/* Each folder owns a block of ids. */
enum trace_block {
    TRACE_BLOCK_MACHINE = 0,
    TRACE_BLOCK_CPU = 64,
    TRACE_BLOCK_TLFS = 128,
    TRACE_BLOCK_DEVICES = 192,
    TRACE_BLOCK_VMBUS = 256
};
enum { TRACE_IDS_MAX = 320, TRACE_FIELDS_MAX = 8 };
#define TRACE_NO_VP 0xffffffffu /* the event belongs to no VP */

struct trace_field {
    const char *name;
    uint8_t bytes; /* 1, 2, 4, 8 */
    bool hex;
};
struct trace_row {
    const char *name, *help;
    uint16_t id;
    uint8_t field_count;
    struct trace_field fields[TRACE_FIELDS_MAX];
};
struct trace_event {
    uint64_t cycle;
    const struct trace_row *row;
    uint32_t vp;
    uint64_t values[TRACE_FIELDS_MAX];
};
typedef void trace_listener_fn(void *owner, const struct trace_event *e);

struct ring;
struct trace {
    uint64_t armed[TRACE_IDS_MAX / 64]; /* bit set: told or kept */
    uint64_t told[TRACE_IDS_MAX / 64];  /* somebody listens */
    uint64_t kept[TRACE_IDS_MAX / 64];  /* goes into the ring */
    struct ring *ring;
    const struct clock *clock;
    struct trace_listeners *listeners;
};

struct trace *trace_create(const struct clock *clock);
void trace_destroy(struct trace *t);
void trace_declare(struct trace *t, const struct trace_row *rows, size_t count);
const struct trace_row *trace_row_by_name(const struct trace *t, const char *name); /* NULL when unknown */
size_t trace_rows(const struct trace *t, const struct trace_row **rows, size_t max);
/* `row` NULL listens to every event. Listeners are called in the order in which they came; one that comes while an event is
 * told hears the next one. A listener may end its own or another's listening at any time. */
void trace_listen(struct trace *t, const struct trace_row *row, trace_listener_fn *fn, void *owner);
void trace_unlisten(struct trace *t, trace_listener_fn *fn, void *owner);

/* Every event of the row goes into `ring` (ring.h), which is borrowed: the cheapest way to listen, for what is always on. One
 * ring at a time; `row` NULL ends all keeping. */
void trace_keep(struct trace *t, struct ring *ring, const struct trace_row *row);
/* Cuts the values to the width of their fields. */
void trace_event_cut(struct trace_event *e);

/* Use TRACE(). Values are cut to the width of their fields. */
void trace_emit(struct trace *t, unsigned id, uint32_t vp, const uint64_t *values, size_t count);

/* One line without an end of line: "1200 vp0 msr_write msr=0x40000000 value=0x1". Returns the length it has, which may be more
 * than fits; always ends in NUL when room > 0. 400 bytes hold any event. */
size_t trace_event_text(const struct trace_event *e, char *text, size_t room);

#ifdef ORRERY_NO_TRACE
#define TRACE(t, event, vp, ...) ((void)(t))
#else
#define TRACE(t, event, vp, ...)                                                                                               \
    do {                                                                                                                       \
        if (UNLIKELY((t)->armed[TRACE_ID_##event / 64] >> (TRACE_ID_##event % 64) & 1)) {                                      \
            const uint64_t trace_values_[] = {__VA_ARGS__};                                                                    \
            trace_emit((t), TRACE_ID_##event, (vp), trace_values_, ARRAY_COUNT(trace_values_));                                \
        }                                                                                                                      \
    } while (0)
#endif

#endif
