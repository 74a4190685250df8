/* The ground: one struct that owns guest-physical space, ports, clock, event queue and trace of a partition.
 * It knows regions, events, sections and opaque owners; nothing of processors, hypervisors or devices. */
#ifndef ORRERY_MACHINE_MACHINE_H
#define ORRERY_MACHINE_MACHINE_H

#include "machine/clock.h"
#include "machine/events.h"
#include "machine/memory.h"
#include "machine/ports.h"
#include "machine/prng.h"
#include "machine/state.h"
#include "machine/trace.h"

/* How a guest ends its machine. The first request wins. */
enum machine_end { END_NONE, END_POWEROFF, END_RESET, END_TRIPLE_FAULT, END_DEBUG_EXIT, END_HALTED };

struct machine {
    struct memory *memory;
    struct ports *ports;
    struct events *events;
    struct trace *trace;
    struct clock clock;
    struct prng prng; /* the seed's own stream, for what a device draws */
    enum machine_end end;
    uint32_t end_code;                  /* END_DEBUG_EXIT: the byte as written */
    void (*end_requested)(void *owner); /* set by who runs the VPs: the running VP must stop at its next boundary */
    void *end_owner;
};

/* NULL with *why set on a refused size or rate (clock.h). The clock starts at cycle 0; machine/trace.def is declared. */
struct machine *machine_create(uint64_t ram_bytes, uint64_t clock_hz, uint64_t seed, const char **why);
void machine_destroy(struct machine *m);

static inline uint64_t machine_now(const struct machine *m)
{
    return clock_now(&m->clock);
}
/* From a device, at an exact moment: the guest powered off, asked for a reset ... */
void machine_end(struct machine *m, enum machine_end end, uint32_t code);
/* Sections "machine" (clock, prng, end), "events" and "memory". Everyone else adds sections of their own. While no VP runs. */
void machine_state(struct state *s, struct machine *m);

#endif
