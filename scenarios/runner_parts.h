/* The runner's own struct, shared by runner.c (the loop), runner_state.c (save and restore) and runner_trace.c (who listens).
 * Private to them. */
#ifndef ORRERY_SCENARIOS_RUNNER_PARTS_H
#define ORRERY_SCENARIOS_RUNNER_PARTS_H

#include "scenarios/runner.h"

struct runner {
    const struct scenario *scenario;
    struct run_options options;
    struct yaml_hash identity;

    struct partition *partition;
    struct machine *machine; /* the partition's */
    struct platform *platform;
    struct platform_config platform_config;
    int timeline_event;

    struct stage *stage;
    struct console console;
    struct ring *ring; /* the last exits */
    struct ctf *ctf;   /* open only while a run with a trace goes on */
    bool traced;
    struct digest trace_digest;

    struct digest_chain chain;
    struct run_link *links;
    size_t link_count, link_room;
    struct digest final;

    uint32_t restarts;
    uint64_t instruction_check_cycle; /* host-side: when the instruction limit is looked at next */
    enum run_end end;
    uint32_t end_code;
};

/* runner_state.c: all guest-observable state but RAM, for the digest; and RAM back to zeros. */
void runner_visit_guest(struct state *s, void *runner);
void runner_clear_memory(struct runner *r);
/* runner_trace.c */
bool runner_listen(struct runner *r, struct message *why);
bool runner_open_trace(struct runner *r, struct message *why);
bool runner_close_trace(struct runner *r, struct message *why);
void runner_unlisten(struct runner *r);

#endif
