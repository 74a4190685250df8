/* ISA interrupt lines 0-15, as wires: a line is high while at least one of its sources drives it high.
 *
 * Sources connect when they are created, in a fixed order, so a source's number is the same in every process. Listeners
 * (the 8259 pair, the IOAPIC, RTC_STS) hear of changes only. Leaves out: lines of PCI (there is none), and edge or level: that
 * is how an interrupt controller looks at a line.
 */
#ifndef ORRERY_DEVICES_IRQ_H
#define ORRERY_DEVICES_IRQ_H

#include "machine/machine.h"

enum { IRQ_LINES = 16 };

struct irq_lines;

struct irq_lines *irq_lines_create(struct machine *m);
void irq_lines_destroy(struct irq_lines *lines);
void irq_lines_state(struct state *s, struct irq_lines *lines);

/* A new source of line `irq` (0-15), driving low. Returns its number. */
unsigned irq_connect(struct irq_lines *lines, unsigned irq);
/* The source drives its line high or low. */
void irq_set(struct irq_lines *lines, unsigned source, bool level);

typedef void irq_listener_fn(void *owner, unsigned irq, bool level);
/* Told of each change of a line; listeners are called in the order in which they came. */
void irq_listen(struct irq_lines *lines, irq_listener_fn *fn, void *owner);

#endif
