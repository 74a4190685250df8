/* One run of one scenario: machine, boot, the loop, and how it ended.
 *
 * Invariants: what a run shows is a function of the scenario alone. How far one step of the loop goes (the chunk), whether
 * somebody listens, polls or traces is never visible in it. A run that is saved and restored, in this process or another, ends
 * with the same result.
 */
#ifndef ORRERY_SCENARIOS_RUNNER_H
#define ORRERY_SCENARIOS_RUNNER_H

#include "machine/digest.h"
#include "scenarios/console.h"
#include "scenarios/scenario.h"
#include "scenarios/stage.h"
#include "tlfs/partition.h"

struct runner;
struct ring;

struct run_options {
    uint64_t chunk_cycles;  /* 0: a default; how often go_on() is asked at the least */
    uint64_t stop_at_cycle; /* CYCLE_NEVER: nowhere */
    const char *trace_dir;  /* NULL: no trace is written */
    /* For tests, see struct cpu_config: host-side caches made small or emptied often. 0: default. Never visible in the result.
     */
    unsigned test_host_tlb_entries, test_host_flush_every;
    bool test_no_ring; /* the last exits are not kept: every trace point is off */
    /* May be NULL. A byte that the guest printed; and between steps, whether to go on (false: the run is interrupted). */
    void (*console)(void *owner, unsigned port, uint8_t byte);
    bool (*go_on)(void *owner, const struct runner *r);
    void *owner;
};

/* The scenario's images must be loaded; it is borrowed. The guest is in memory and about to start. NULL with a message. */
struct runner *runner_create(const struct scenario *scenario, const struct run_options *options, struct message *why);
void runner_destroy(struct runner *r);

/* Takes over a saved run of an equal scenario, before the first step. False with a message; the runner can then only be
 * destroyed. */
bool runner_restore(struct runner *r, const uint8_t *bytes, size_t size, struct message *why);
/* The present moment as a file's bytes, freed by the caller; NULL with a message. */
uint8_t *runner_save(struct runner *r, size_t *size, struct message *why);

/* Runs to the end. False with a message when the host fails (a save action's file, the trace): there is no result then. */
bool runner_run(struct runner *r, struct message *why);

/* ---- what came of it ---- */

struct run_link {
    uint64_t cycle;
    struct digest digest;
};
const struct scenario *runner_scenario(const struct runner *r);
enum run_end runner_end(const struct runner *r, uint32_t *code);
struct verdict runner_verdict(const struct runner *r, unsigned expectation);
bool runner_met(const struct runner *r); /* all expectations met, and not interrupted */
uint64_t runner_cycles(const struct runner *r);
uint64_t runner_instructions(const struct runner *r);
struct digest runner_digest(const struct runner *r); /* of the final state */
const struct run_link *runner_links(const struct runner *r, size_t *count);
const struct console *runner_console(const struct runner *r);
bool runner_trace_digest(const struct runner *r, struct digest *d); /* false: no trace was written */
struct partition *runner_partition(struct runner *r);
struct ring *runner_last_exits(const struct runner *r);

#endif
