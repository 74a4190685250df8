/* The ground as a whole: made in one order, ended in the reverse one.
 * Left out: who runs VPs and when events are taken (tlfs/partition), and every device. */
#include "machine/machine.h"

#include "machine/alloc.h"
#include "machine/trace_ids.h"

struct machine *machine_create(uint64_t ram_bytes, uint64_t clock_hz, uint64_t seed, const char **why)
{
    if (clock_hz < CLOCK_HZ_MIN || clock_hz > CLOCK_HZ_MAX) {
        *why = "the clock must run at 1 MHz to 10 GHz";
        return NULL;
    }
    struct memory *memory = memory_create(ram_bytes, why);
    if (memory == NULL) {
        return NULL;
    }
    struct machine *m = host_alloc(1, sizeof *m);
    m->memory = memory;
    m->ports = ports_create();
    m->events = events_create();
    m->trace = trace_create(&m->clock);
    m->clock.hz = clock_hz;
    m->prng.state = seed;
    trace_declare(m->trace, machine_trace_rows, MACHINE_TRACE_ROWS);
    return m;
}

void machine_destroy(struct machine *m)
{
    if (m == NULL) {
        return;
    }
    trace_destroy(m->trace);
    events_destroy(m->events);
    ports_destroy(m->ports);
    memory_destroy(m->memory);
    free(m);
}

void machine_end(struct machine *m, enum machine_end end, uint32_t code)
{
    if (m->end != END_NONE || end == END_NONE) {
        return;
    }
    m->end = end;
    m->end_code = code;
    TRACE(m->trace, machine_end, TRACE_NO_VP, end, code);
    if (m->end_requested != NULL) {
        m->end_requested(m->end_owner);
    }
}

void machine_state(struct state *s, struct machine *m)
{
    assert(m->clock.running_now == NULL);
    state_section(s, "machine", 1);
    uint64_t hz = m->clock.hz;
    uint32_t end = m->end;
    state_u64_in(s, &hz, m->clock.hz, m->clock.hz, "clock rate in Hz");
    state_u64_in(s, &m->clock.cycle, 0, CLOCK_CYCLE_MAX, "clock");
    state_u64(s, &m->prng.state);
    state_u32_in(s, &end, END_NONE, END_HALTED, "how the machine ended");
    state_u32(s, &m->end_code);
    m->end = (enum machine_end)end;
    events_state(s, m->events);
    memory_state(s, m->memory);
}
