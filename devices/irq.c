/* ISA interrupt lines: sources, their OR, and who hears of it.
 *
 * Invariant: a listener has been told the level of every line; at the start all are low. State is one level per source.
 */
#include "devices/irq.h"

#include <stdlib.h>

#include "devices/trace_ids.h"

enum { IRQ_SOURCES = 16, IRQ_LISTENERS = 4 };

struct irq_source {
    uint8_t irq;
    bool level;
};
struct irq_listener {
    irq_listener_fn *fn;
    void *owner;
};
struct irq_lines {
    struct trace *trace;
    unsigned source_count, listener_count;
    struct irq_source sources[IRQ_SOURCES];
    struct irq_listener listeners[IRQ_LISTENERS];
};

struct irq_lines *irq_lines_create(struct machine *m)
{
    struct irq_lines *lines = calloc(1, sizeof *lines);
    if (lines != NULL) {
        lines->trace = m->trace;
    }
    return lines;
}

void irq_lines_destroy(struct irq_lines *lines)
{
    free(lines);
}

unsigned irq_connect(struct irq_lines *lines, unsigned irq)
{
    assert(irq < IRQ_LINES && lines->source_count < IRQ_SOURCES);
    lines->sources[lines->source_count] = (struct irq_source){.irq = (uint8_t)irq};
    return lines->source_count++;
}

void irq_listen(struct irq_lines *lines, irq_listener_fn *fn, void *owner)
{
    assert(lines->listener_count < IRQ_LISTENERS);
    lines->listeners[lines->listener_count++] = (struct irq_listener){fn, owner};
}

static bool line_level(const struct irq_lines *lines, unsigned irq)
{
    for (unsigned i = 0; i < lines->source_count; i++) {
        if (lines->sources[i].irq == irq && lines->sources[i].level) {
            return true;
        }
    }
    return false;
}

void irq_set(struct irq_lines *lines, unsigned source, bool level)
{
    assert(source < lines->source_count);
    struct irq_source *from = &lines->sources[source];
    if (from->level == level) {
        return;
    }
    bool before = line_level(lines, from->irq);
    from->level = level;
    if (line_level(lines, from->irq) == before) {
        return; /* another source holds it high */
    }
    TRACE(lines->trace, irq_line, TRACE_NO_VP, from->irq, level);
    for (unsigned i = 0; i < lines->listener_count; i++) {
        lines->listeners[i].fn(lines->listeners[i].owner, from->irq, level);
    }
}

void irq_lines_state(struct state *s, struct irq_lines *lines)
{
    state_section(s, "irq", 1);
    for (unsigned i = 0; i < lines->source_count; i++) {
        state_bool(s, &lines->sources[i].level);
    }
}
