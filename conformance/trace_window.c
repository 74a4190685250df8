/* The trace around failures. See trace_window.h. */
#include "conformance/trace_window.h"

#include <string.h>

#include "machine/machine.h"
#include "machine/ring.h"
#include "scenarios/runner.h"

struct window {
    const struct window_wish *wish;
    struct window_lines *lines;
    bool taken;
};
struct watcher {
    struct ring *ring;
    struct window windows[WINDOWS_MAX];
    size_t count;
};

static bool dull(const struct trace_event *e)
{
    enum { COM1 = 0x3f8, APIC_PAGE = 0xfee00 };
    bool port = strcmp(e->row->name, "port_in") == 0 || strcmp(e->row->name, "port_out") == 0;
    bool mmio = strcmp(e->row->name, "mmio_read") == 0 || strcmp(e->row->name, "mmio_write") == 0;
    return strcmp(e->row->name, "uart_out") == 0 || (mmio && e->values[0] >> PAGE_SHIFT == APIC_PAGE) ||
           strcmp(e->row->name, "vp_switch") == 0 || (port && e->values[0] >= COM1 && e->values[0] < COM1 + 8);
}

static void add_line(struct window_lines *w, const struct trace_event *e)
{
    trace_event_text(e, w->lines[w->count], WINDOW_TEXT);
    w->count++;
}

static void take_window(struct window *w, struct ring *ring)
{
    for (size_t i = 0; !w->taken && i < ring_count(ring); i++) {
        const struct trace_event *e = ring_at(ring, i);
        if (e->cycle > w->wish->from_cycle && e->cycle <= w->wish->at_cycle) {
            add_line(w->lines, e);
        }
    }
    w->taken = true;
}

static void event_seen(void *owner, const struct trace_event *e)
{
    struct watcher *w = owner;
    if (dull(e)) {
        return;
    }
    for (size_t i = 0; i < w->count; i++) {
        struct window *one = &w->windows[i];
        if (e->cycle > one->wish->at_cycle && one->lines->after < WINDOW_AFTER) {
            take_window(one, w->ring);
            add_line(one->lines, e);
            one->lines->after++;
        }
    }
    ring_note(w->ring, e);
}

bool trace_windows(const struct ask *a, const struct window_wish *wishes, size_t count, struct window_lines *windows,
                   struct message *why)
{
    struct watcher w = {.ring = ring_create(WINDOW_BEFORE), .count = count < WINDOWS_MAX ? count : WINDOWS_MAX};
    const struct run_options options = {.stop_at_cycle = CYCLE_NEVER};
    struct runner *run = scenario_load_images(a->scenario, why) ? runner_create(a->scenario, &options, why) : NULL;
    for (size_t i = 0; i < w.count; i++) {
        windows[i].count = windows[i].after = 0;
        w.windows[i] = (struct window){&wishes[i], &windows[i], false};
    }
    bool ok = run != NULL;
    if (ok) {
        struct trace *trace = partition_machine(runner_partition(run))->trace;
        trace_listen(trace, NULL, event_seen, &w);
        ok = runner_run(run, why);
        trace_unlisten(trace, event_seen, &w);
    }
    for (size_t i = 0; ok && i < w.count; i++) {
        take_window(&w.windows[i], w.ring);
    }
    runner_destroy(run);
    ring_destroy(w.ring);
    return ok;
}
