/* The loop of a run. See runner.h.
 *
 * The partition is run from one *stop* to the next: end of chunk, epoch, timed action, limit, --stop-at. At a stop, in this
 * order: the epoch's link is taken, the guest's end is looked at, due actions are performed, then stop-at and limits. All but
 * the end of a chunk are functions of the scenario, and at the end of a chunk nothing happens but the question whether to go
 * on.
 */
#include "scenarios/runner.h"

#include "scenarios/files.h"
#include "scenarios/runner_parts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_DEFAULT_CYCLES 10000000ULL
#define CHUNK_MAX_CYCLES 100000000ULL /* so that an interrupt is heard soon */

/* ---- creation ---- */

static void console_byte(void *owner, unsigned port, uint8_t byte)
{
    struct runner *r = owner;
    console_put(&r->console, byte);
    if (r->options.console != NULL) {
        r->options.console(r->options.owner, port, byte);
    }
    if (stage_console(r->stage, port, byte, machine_now(r->machine))) {
        partition_stop(r->partition);
    }
}

static void script_event_seen(void *owner, const struct trace_event *e)
{
    struct runner *r = owner;
    if (stage_event(r->stage, e)) {
        partition_stop(r->partition);
    }
}

/* The event source only keeps the clock from going past a timed action, and a sleeping guest from ending before it. */
static void timeline_due(void *owner, uint64_t due_cycle)
{
    (void)owner, (void)due_cycle;
}

static void listen_to_script(struct runner *r)
{
    const struct script *script = &r->scenario->script;
    for (unsigned i = 0; i < script->condition_count; i++) {
        const struct trace_row *row = script->conditions[i].row;
        bool first = row != NULL;
        for (unsigned k = 0; first && k < i; k++) {
            first = script->conditions[k].row != row;
        }
        if (first) {
            trace_listen(r->machine->trace, row, script_event_seen, r);
        }
    }
}

/* The machine part of a failed creation belongs to the file as a whole. */
static bool refuse(const struct runner *r, const struct yaml_node *where, struct message *why, const char *what)
{
    return message_at(why, r->scenario->file, where->line, where->column, "%s", what);
}

static bool machine_build(struct runner *r, struct message *why)
{
    const struct scenario *s = r->scenario;
    const struct yaml_node *partition_node = yaml_find(s->tree->root, "partition");
    const struct yaml_node *where = partition_node != NULL ? partition_node : s->tree->root;
    const char *reason = "the host refuses";
    struct partition_config config = {
        .ram_bytes = s->memory_bytes,
        .seed = s->seed,
        .turn_cycles = s->turn_cycles,
        .rep_elements_max = s->adversary.rep_elements,
        .rep_stop_random = s->adversary.rep_random,
        .spurious_wake_cycles = s->adversary.spurious_wake_cycles,
        .busy_slots_every = s->adversary.busy_slots,
        .cpu = {.model = s->model,
                .cost = s->cost,
                .vps = s->vps,
                .policy = s->translation,
                .seed = s->seed,
                .host_tlb_entries = r->options.test_host_tlb_entries,
                .host_cache_flush_every = r->options.test_host_flush_every},
        .profile = s->profile,
    };
    r->partition = partition_create(&config, &reason);
    if (r->partition == NULL) {
        return refuse(r, where, why, reason);
    }
    r->machine = partition_machine(r->partition);
    r->platform_config = (struct platform_config){
        .vps = s->vps,
        .ram_bytes = s->memory_bytes,
        .rtc_unix_seconds = s->rtc_unix_seconds,
        .console_output = console_byte,
        .console_owner = r,
    };
    r->platform = platform_create(r->machine, partition_cpu(r->partition), &r->platform_config);
    if (r->platform == NULL) {
        return refuse(r, where, why, "the host has no memory left for the platform");
    }
    partition_wire_platform(r->partition, r->platform, platform_eoi, platform_extint_acknowledge);
    r->timeline_event = event_add(r->machine->events, "timeline", timeline_due, r);
    return true;
}

static bool ports_create_all(struct runner *r, struct message *why)
{
    const struct scenario *s = r->scenario;
    const char *reason = NULL;
    for (unsigned i = 0; i < s->port_count; i++) {
        if (port_create(r->partition, &s->ports[i], &reason) < 0) {
            return refuse(r, yaml_find(yaml_find(s->tree->root, "partition"), "ports"), why, reason);
        }
    }
    return true;
}

static bool guest_load(struct runner *r, struct message *why)
{
    char reason[400] = "refused";
    struct boot_module modules[SCENARIO_MODULES_MAX];
    struct boot_config boot = scenario_boot(r->scenario, modules, &r->platform_config);
    return boot_load(r->machine, partition_cpu(r->partition), &boot, reason, sizeof reason) == 0 ||
           refuse(r, r->scenario->guest_where, why, reason);
}

struct runner *runner_create(const struct scenario *scenario, const struct run_options *options, struct message *why)
{
    struct runner *r = calloc(1, sizeof *r);
    if (r == NULL) {
        message_say(why, "the host has no memory left");
        return NULL;
    }
    r->scenario = scenario;
    r->options = *options;
    r->identity = scenario_identity(scenario);
    r->chain = digest_chain_start(scenario->epoch_cycles);
    r->stage = stage_create(&scenario->script, scenario->model.tsc_hz);
    bool ok = (r->stage != NULL && console_create(&r->console)) || message_say(why, "the host has no memory left");
    if (!ok || !machine_build(r, why) || !ports_create_all(r, why) || !guest_load(r, why)) {
        runner_destroy(r);
        return NULL;
    }
    listen_to_script(r);
    if (!runner_listen(r, why)) {
        runner_destroy(r);
        return NULL;
    }
    return r;
}

void runner_destroy(struct runner *r)
{
    if (r == NULL) {
        return;
    }
    runner_unlisten(r);
    if (r->platform != NULL) {
        platform_destroy(r->platform);
    }
    partition_destroy(r->partition);
    stage_destroy(r->stage);
    console_destroy(&r->console);
    free(r->links);
    free(r);
}

/* ---- the loop ---- */

uint64_t runner_cycles(const struct runner *r)
{
    return r->machine->clock.cycle;
}

uint64_t runner_instructions(const struct runner *r)
{
    struct cpu *c = partition_cpu(r->partition);
    uint64_t sum = 0;
    for (unsigned i = 0; i < cpu_vps(c); i++) {
        sum += vp_account(cpu_vp(c, i)).instructions;
    }
    return sum;
}

static void finish(struct runner *r, enum run_end end, uint32_t code)
{
    if (r->end == RUN_GOING) {
        r->end = end;
        r->end_code = code;
    }
}

static void take_link(struct runner *r)
{
    if (r->link_count == r->link_room) {
        r->link_room = r->link_room == 0 ? 256 : 2 * r->link_room;
        r->links = realloc(r->links, r->link_room * sizeof *r->links);
        if (r->links == NULL) {
            abort(); /* at most SCENARIO_EPOCHS_MAX links, 24 MiB */
        }
    }
    cpu_drop_writable(partition_cpu(r->partition));
    struct digest d = digest_chain_append(&r->chain, r->machine, runner_visit_guest, r);
    r->links[r->link_count++] = (struct run_link){.cycle = runner_cycles(r), .digest = d};
}

/* on-reset: restart. Power-on state, empty memory, the guest loaded again; the clock goes on. */
static bool restart(struct runner *r, struct message *why)
{
    if (r->restarts++ >= r->scenario->limit_restarts) {
        finish(r, RUN_LIMIT, 0);
        return true;
    }
    partition_reset(r->partition);
    platform_reset(r->platform);
    runner_clear_memory(r);
    return guest_load(r, why);
}

static bool look_at_end(struct runner *r, struct message *why)
{
    static const enum run_end ends[] = {
        [END_NONE] = RUN_GOING,
        [END_POWEROFF] = RUN_POWEROFF,
        [END_RESET] = RUN_RESET,
        [END_TRIPLE_FAULT] = RUN_TRIPLE_FAULT,
        [END_DEBUG_EXIT] = RUN_DEBUG_EXIT,
        [END_HALTED] = RUN_HALTED,
    };
    if (r->machine->end == END_RESET && r->scenario->restart_on_reset) {
        return restart(r, why);
    }
    finish(r, ends[r->machine->end], r->machine->end_code);
    return true;
}

static bool save_action(struct runner *r, const struct action *a, struct message *why)
{
    size_t size;
    uint8_t *bytes = runner_save(r, &size, why);
    bool ok = bytes != NULL && file_write(a->text, bytes, size, why);
    free(bytes);
    return ok;
}

static bool migrate_action(struct runner *r, const struct action *a, struct message *why)
{
    uint64_t to_hz = a->migrate.tsc_hz;
    if (to_hz != 0 && to_hz != partition_tsc_hz(r->partition) && partition_shows_invariant_tsc(r->partition)) {
        return refuse(r, a->where, why,
                      "no host may change a TSC that the guest sees as invariant; keep the rate, or take the bit away: cpu: { "
                      "features: { invtsc: off } }");
    }
    partition_migrate(r->partition,
                      &(struct migration){.tsc_hz = to_hz,
                                          .away_cycles = moment_cycles(a->migrate.away, r->scenario->model.tsc_hz),
                                          .page_invalid = a->migrate.page_invalid});
    return true;
}

/* What the host does at the SynIC. False: not now, but a millisecond of the guest's time later: no buffer is free. */
static bool host_action(struct runner *r, const struct action *a)
{
    struct partition *p = r->partition;
    switch (a->kind) {
    case ACTION_POST:
        return host_post(p, a->host.vp, a->host.sint, a->host.type, a->host.payload, a->host.bytes) !=
               HV_STATUS_INSUFFICIENT_BUFFERS;
    case ACTION_SIGNAL:
        host_signal(p, a->host.vp, a->host.sint, a->host.flag);
        return true;
    case ACTION_HOLD_SLOT: {
        uint64_t now = runner_cycles(r), length = moment_cycles(a->host.length, r->scenario->model.tsc_hz);
        host_hold_slot(p, a->host.vp, a->host.sint, length < CYCLE_NEVER - now ? now + length : CYCLE_NEVER);
        return true;
    }
    default:
        break;
    }
    int port = port_of_connection(p, a->host.connection);
    if (port >= 0) {
        (a->kind == ACTION_DELETE_PORT ? port_delete : port_disconnect)(p, port);
    }
    return true;
}

static bool perform_actions(struct runner *r, struct message *why)
{
    uint64_t now = runner_cycles(r);
    const struct action *a;
    stage_clock(r->stage, now);
    while (r->end == RUN_GOING && (a = stage_next_action(r->stage, now)) != NULL) {
        switch (a->kind) {
        case ACTION_STOP:
            finish(r, RUN_STOP_AT, 0);
            break;
        case ACTION_SAVE:
            if (!save_action(r, a, why)) {
                return false;
            }
            break;
        case ACTION_MIGRATE:
            if (!migrate_action(r, a, why)) {
                return false;
            }
            break;
        case ACTION_POST:
        case ACTION_SIGNAL:
        case ACTION_HOLD_SLOT:
        case ACTION_DELETE_PORT:
        case ACTION_DISCONNECT:
            if (!host_action(r, a)) {
                stage_postpone(r->stage, a, now + r->scenario->model.tsc_hz / 1000);
            }
            break;
        case ACTION_SEND:
            /* The receiver's queue is full: the guest does not read. Again in a millisecond of its time. */
            if (!platform_console_input(r->platform, a->port, (const uint8_t *)a->text, a->bytes)) {
                stage_postpone(r->stage, a, now + r->scenario->model.tsc_hz / 1000);
            }
            break;
        }
    }
    uint64_t next = stage_next_cycle(r->stage);
    if (next == CYCLE_NEVER) {
        event_disarm(r->machine->events, r->timeline_event);
    } else {
        event_arm(r->machine->events, r->timeline_event, next);
    }
    return true;
}

static bool any_runnable(struct runner *r)
{
    struct cpu *c = partition_cpu(r->partition);
    for (unsigned i = 0; i < cpu_vps(c); i++) {
        if (vp_runnable(cpu_vp(c, i))) {
            return true;
        }
    }
    return false;
}

/* An instruction costs a cycle or more, so the limit cannot be passed before as many cycles are over as instructions are left:
 * looking again then, and then again, finds the very boundary at which the limit is reached. While all sleep, none can be
 * executed before the next event. */
static void check_instructions(struct runner *r)
{
    uint64_t now = runner_cycles(r);
    if (now < r->instruction_check_cycle) {
        return;
    }
    uint64_t done = runner_instructions(r), limit = r->scenario->limit_instructions;
    if (done >= limit) {
        finish(r, RUN_LIMIT, 0);
        return;
    }
    uint64_t from = now;
    if (!any_runnable(r)) {
        uint64_t next = events_next(r->machine->events);
        from = next == CYCLE_NEVER ? r->scenario->limit_cycles : next > now ? next : now;
    }
    r->instruction_check_cycle = limit - done > CYCLE_NEVER - from ? CYCLE_NEVER : from + (limit - done);
}

/* A sleeping guest costs nothing until its next event, however far that is. */
static uint64_t chunk_end(struct runner *r)
{
    uint64_t from = runner_cycles(r), wanted = r->options.chunk_cycles;
    if (wanted != 0) {
        return from + (wanted < CHUNK_MAX_CYCLES ? wanted : CHUNK_MAX_CYCLES);
    }
    if (!any_runnable(r)) {
        uint64_t next = events_next(r->machine->events);
        from = next > from && next < r->scenario->limit_cycles ? next : from;
    }
    return from + CHUNK_DEFAULT_CYCLES;
}

static uint64_t next_stop(struct runner *r)
{
    const uint64_t stops[] = {
        chunk_end(r),
        r->chain.next_cycle,
        stage_next_cycle(r->stage),
        r->scenario->limit_cycles,
        r->instruction_check_cycle,
        r->options.stop_at_cycle,
    };
    uint64_t first = stops[0];
    for (size_t i = 1; i < ARRAY_COUNT(stops); i++) {
        first = stops[i] < first ? stops[i] : first;
    }
    return first;
}

bool runner_run(struct runner *r, struct message *why)
{
    if (!runner_open_trace(r, why)) {
        return false;
    }
    while (r->end == RUN_GOING) {
        uint64_t now = runner_cycles(r);
        if (now >= r->chain.next_cycle) {
            take_link(r);
        }
        if (!look_at_end(r, why) || (r->end == RUN_GOING && !perform_actions(r, why))) {
            return false;
        }
        if (now >= r->options.stop_at_cycle) {
            finish(r, RUN_STOP_AT, 0);
        }
        if (now >= r->scenario->limit_cycles) {
            finish(r, RUN_LIMIT, 0);
        }
        check_instructions(r);
        if (r->end == RUN_GOING && r->options.go_on != NULL && !r->options.go_on(r->options.owner, r)) {
            finish(r, RUN_INTERRUPTED, 0);
        }
        if (r->end == RUN_GOING) {
            partition_run(r->partition, next_stop(r));
        }
    }
    cpu_drop_writable(partition_cpu(r->partition));
    r->final = digest_now(NULL, r->machine, runner_visit_guest, r);
    return runner_close_trace(r, why);
}

/* ---- results ---- */

const struct scenario *runner_scenario(const struct runner *r)
{
    return r->scenario;
}

enum run_end runner_end(const struct runner *r, uint32_t *code)
{
    *code = r->end_code;
    return r->end;
}

struct verdict runner_verdict(const struct runner *r, unsigned expectation)
{
    return stage_verdict(r->stage, expectation, r->end, r->end_code, runner_cycles(r));
}

bool runner_met(const struct runner *r)
{
    for (unsigned i = 0; i < r->scenario->script.expectation_count; i++) {
        if (!runner_verdict(r, i).met) {
            return false;
        }
    }
    return r->end != RUN_INTERRUPTED && r->end != RUN_GOING;
}

struct digest runner_digest(const struct runner *r)
{
    return r->final;
}

const struct run_link *runner_links(const struct runner *r, size_t *count)
{
    *count = r->link_count;
    return r->links;
}

const struct console *runner_console(const struct runner *r)
{
    return &r->console;
}

struct partition *runner_partition(struct runner *r)
{
    return r->partition;
}
