/* The script on stage: which conditions have happened, which actions are due, which expectations are decided, and at which
 * cycle.
 *
 * The stage hears console bytes and trace events in the order in which they happen, each with its cycle, and never looks at
 * anything else; so what it decides is a function of the guest alone. It is plain data: it saves and restores with the machine.
 */
#ifndef ORRERY_SCENARIOS_STAGE_H
#define ORRERY_SCENARIOS_STAGE_H

#include "machine/state.h"
#include "scenarios/script.h"

enum { CONSOLE_PORTS = 5 }; /* UART 0-3, debug console */

struct stage;

/* `script` is borrowed. NULL when the host has no memory. */
struct stage *stage_create(const struct script *script, uint64_t clock_hz);
void stage_destroy(struct stage *s);

/* Both return true when an action has become due: the run must pause at its next boundary and ask stage_next_action(). */
bool stage_console(struct stage *s, unsigned port, uint8_t byte, uint64_t cycle);
bool stage_event(struct stage *s, const struct trace_event *e);

/* The first moment, later than all moments that stage_clock() was told, at which a timed action (or a postponed one) is due. */
uint64_t stage_next_cycle(const struct stage *s);
/* The clock has reached `cycle`: timed actions up to it become due. */
void stage_clock(struct stage *s, uint64_t cycle);
/* The next action that is due, in the order in which they became due; NULL when there is none. It counts as done,
 * unless stage_postpone() puts it back until a later cycle. */
const struct action *stage_next_action(struct stage *s, uint64_t cycle);
void stage_postpone(struct stage *s, const struct action *a, uint64_t until_cycle);

/* Whether an expectation is met, and the cycle that decided it. */
struct verdict {
    bool met;
    uint64_t cycle;
};
/* As if the run ended so, here and now; the stage itself is left as it is, so the run may go on from a file. */
struct verdict stage_verdict(const struct stage *s, unsigned expectation, enum run_end end, uint32_t end_code, uint64_t cycle);

void stage_state(struct state *visitor, struct stage *s);

#endif
