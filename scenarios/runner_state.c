/* A run as bytes: the machine, and what the run itself remembers (links, console, script). See machine/state.h for the file. */
#include "scenarios/runner_parts.h"

#include <stdlib.h>
#include <string.h>

void runner_visit_guest(struct state *s, void *runner)
{
    struct runner *r = runner;
    machine_state(s, r->machine);
    partition_state(s, r->partition);
    platform_state(s, r->platform);
}

static void visit_identity(struct state *s, const struct runner *r)
{
    struct yaml_hash identity = r->identity;
    state_section(s, "scenario", 1);
    state_u64(s, &identity.low);
    state_u64(s, &identity.high);
    if (state_ok(s) && (identity.low != r->identity.low || identity.high != r->identity.high)) {
        state_fail(s, "it was saved from another scenario, seed, cost table or image");
    }
}

static void visit_links(struct state *s, struct runner *r)
{
    uint64_t count = r->link_count;
    state_section(s, "scenario.epochs", 1);
    digest_chain_state(s, &r->chain);
    state_u64_in(s, &count, 0, SCENARIO_EPOCHS_MAX + 1, "epochs");
    if (state_restoring(s)) {
        if (!state_ok(s) || count != r->chain.count || r->chain.epoch_cycles != r->scenario->epoch_cycles) {
            state_fail(s, "the chain of epochs does not fit the scenario");
            return;
        }
        free(r->links);
        r->links = calloc(count + 1, sizeof *r->links);
        r->link_count = r->links != NULL ? count : 0;
        r->link_room = r->links != NULL ? count + 1 : 0;
        if (r->links == NULL) {
            state_fail(s, "the host has no memory left");
            return;
        }
    }
    for (size_t i = 0; i < r->link_count; i++) {
        state_u64(s, &r->links[i].cycle);
        state_u64(s, &r->links[i].digest.low);
        state_u64(s, &r->links[i].digest.high);
    }
}

/* Everything, in this order. The identity comes first: nothing is touched by a file of another scenario. */
static void visit_all(struct state *s, struct runner *r)
{
    visit_identity(s, r);
    if (!state_ok(s)) {
        return;
    }
    runner_visit_guest(s, r);
    visit_links(s, r);
    stage_state(s, r->stage);
    console_state(s, &r->console);
    state_section(s, "scenario.run", 1);
    state_u32_in(s, &r->restarts, 0, r->scenario->limit_restarts + 1, "restarts");
}

uint8_t *runner_save(struct runner *r, size_t *size, struct message *why)
{
    struct state *s = state_begin_save();
    if (s == NULL) {
        message_say(why, "the host has no memory left");
        return NULL;
    }
    visit_all(s, r);
    uint8_t *bytes = state_ok(s) ? state_finish_save(s, size) : NULL;
    if (bytes == NULL) {
        message_say(why, "the run cannot be saved: %s",
                    state_error(s) != NULL ? state_error(s) : "the host has no memory left");
    }
    state_end(s);
    return bytes;
}

bool runner_restore(struct runner *r, const uint8_t *bytes, size_t size, struct message *why)
{
    struct state *s = state_begin_restore(bytes, size);
    if (s == NULL) {
        return message_say(why, "the host has no memory left");
    }
    if (state_ok(s)) {
        visit_all(s, r);
    }
    if (state_ok(s) && !state_finish_restore(s)) {
        state_fail(s, "it holds more than a run of this scenario");
    }
    if (!state_ok(s)) {
        message_say(why, "%s; give a file that was saved from the same scenario", state_error(s));
    }
    state_end(s);
    r->instruction_check_cycle = 0;
    return !message_set(why);
}

/* Pages that are zero already are left untouched, so that memory the guest never used stays unused on the host. */
static void clear_range(struct memory *m, uint64_t from, uint64_t to)
{
    static const uint8_t zeros[PAGE_BYTES] = {0};
    uint8_t page[PAGE_BYTES];
    for (uint64_t at = from; at < to; at += PAGE_BYTES) {
        if (memory_read(m, gpa(at), page, sizeof page) && memcmp(page, zeros, sizeof page) != 0) {
            memory_write(m, gpa(at), zeros, sizeof zeros);
        }
    }
}

void runner_clear_memory(struct runner *r)
{
    struct memory *m = r->machine->memory;
    uint64_t bytes = memory_ram_bytes(m), low = bytes < MEMORY_HOLE_GPA ? bytes : MEMORY_HOLE_GPA;
    clear_range(m, 0, low);
    clear_range(m, MEMORY_HIGH_GPA, MEMORY_HIGH_GPA + (bytes - low));
}
