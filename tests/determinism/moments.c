/* Finds the moments at which saving is hardest: prints cycles of a scenario's run, drawn at random from each class of boundary.
 *
 *     determinism_moments [--set NAME=VALUE]... FILE COUNT [SPAN WINDOWS LENGTH]
 *
 * One line for each moment, "CLASS CYCLE", COUNT of each class (fewer where the run has fewer):
 *   any      a boundary like another        shadow   after STI, MOV SS or POP SS, SDM 3A §6.8.3
 *   rep      between two iterations         pending  with a #DB or an NMI that is due but not delivered
 *   fault    the next step raises one       uart     a received byte waits to be read
 *
 * The run is stepped boundary by boundary, so each cycle printed is one. With SPAN, only WINDOWS windows of LENGTH cycles
 * within the first SPAN cycles are: a long run has moments enough there. The draws come from a fixed seed: the same run gives
 * the same list.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/ports.h"
#include "scenarios/runner_parts.h"
#include "tools/commands.h"

enum moment_class { ANY, REP, SHADOW, PENDING, FAULT, BUSY_UART, CLASSES };
static const char *const class_names[CLASSES] = {"any", "rep", "shadow", "pending", "fault", "uart"};
enum { COUNT_MAX = 1000, WINDOWS_MAX = 1000 };

struct search {
    uint64_t random;
    unsigned count; /* wanted of each class */
    uint64_t seen[CLASSES];
    uint64_t drawn[CLASSES][COUNT_MAX];
    uint64_t windows[WINDOWS_MAX], length; /* first cycles, sorted */
    unsigned window_count, window;
    uint64_t last_cycle, last_exceptions;
    uint64_t last_rip[240], last_rcx[240];
};

/* xorshift64*: good enough to draw lots, and the same everywhere. */
static uint64_t draw(struct search *s, uint64_t below)
{
    s->random ^= s->random >> 12;
    s->random ^= s->random << 25;
    s->random ^= s->random >> 27;
    return (s->random * 0x2545f4914f6cdd1dULL >> 11) % below;
}

/* Each moment of a class ends among the drawn with the same chance. */
static void offer(struct search *s, enum moment_class class, uint64_t cycle)
{
    uint64_t n = s->seen[class]++;
    if (n < s->count) {
        s->drawn[class][n] = cycle;
    } else if ((n = draw(s, n + 1)) < s->count) {
        s->drawn[class][n] = cycle;
    }
}

static bool at_repeated_string(struct vcpu *vp, struct machine *m, uint64_t linear)
{
    bool repeated = false;
    for (unsigned i = 0; i < 15; i++) {
        gpa_t where;
        uint8_t byte;
        if (!vp_translate(vp, gva(linear + i), &where) || !memory_read(m->memory, where, &byte, 1)) {
            return false;
        }
        bool prefix = byte == 0x66 || byte == 0x67 || byte == 0x2e || byte == 0x36 || byte == 0x3e || byte == 0x26 ||
                      byte == 0x64 || byte == 0x65 || (byte & 0xf0) == 0x40;
        if (byte == 0xf2 || byte == 0xf3) {
            repeated = true;
        } else if (!prefix) {
            return repeated &&
                   ((byte >= 0xa4 && byte <= 0xaf && byte != 0xa8 && byte != 0xa9) || (byte >= 0x6c && byte <= 0x6f));
        }
    }
    return false;
}

static void look_at_vp(struct search *s, struct runner *r, unsigned index, uint64_t cycle)
{
    struct vcpu *vp = cpu_vp(partition_cpu(r->partition), index);
    struct vp_state state;
    vp_get_state(vp, &state);
    if (state.activity == VP_RUNNING) {
        if (state.rip == s->last_rip[index] && state.gpr[RCX] != s->last_rcx[index] &&
            at_repeated_string(vp, r->machine, state.rip + state.seg_base[SEG_CS] * !vp_in_64bit_mode(vp))) {
            offer(s, REP, cycle);
        }
        if (state.interrupt_shadow != 0) {
            offer(s, SHADOW, cycle);
        }
        if (state.pending_db != 0 || state.nmi_pending) {
            offer(s, PENDING, cycle);
        }
    }
    s->last_rip[index] = state.rip;
    s->last_rcx[index] = state.gpr[RCX];
}

static uint64_t exceptions(struct runner *r)
{
    struct cpu *c = partition_cpu(r->partition);
    uint64_t sum = 0;
    for (unsigned i = 0; i < cpu_vps(c); i++) {
        sum += vp_account(cpu_vp(c, i)).events[EXIT_EXCEPTION];
    }
    return sum;
}

static void look(struct search *s, struct runner *r)
{
    uint64_t cycle = runner_cycles(r), raised = exceptions(r);
    if (raised != s->last_exceptions) {
        offer(s, FAULT, s->last_cycle);
    }
    offer(s, ANY, cycle);
    for (unsigned i = 0; i < cpu_vps(partition_cpu(r->partition)); i++) {
        look_at_vp(s, r, i, cycle);
    }
    /* LSR of COM1: a byte waits, and the next ones are on the line. Reading takes back error bits, which no guest here
     * provokes. */
    if (ports_in(r->machine->ports, 0x3fd, 1) & 0x01) {
        offer(s, BUSY_UART, cycle);
    }
    s->last_cycle = cycle;
    s->last_exceptions = raised;
}

/* Between two steps: look, and say how far the next one goes. */
static bool step(void *owner, const struct runner *seen)
{
    struct search *s = owner;
    struct runner *r = (struct runner *)(uintptr_t)seen; /* ours: main() made it */
    uint64_t now = runner_cycles(r);
    while (s->window < s->window_count && now >= s->windows[s->window] + s->length) {
        s->window++;
    }
    if (s->window_count > 0 && s->window == s->window_count) {
        return false;
    }
    if (s->window_count > 0 && now < s->windows[s->window]) {
        r->options.chunk_cycles = s->windows[s->window] - now;
        s->last_exceptions = UINT64_MAX;
        return true;
    }
    if (s->last_exceptions == UINT64_MAX) {
        s->last_exceptions = exceptions(r);
    }
    r->options.chunk_cycles = 1;
    look(s, r);
    return true;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void windows_draw(struct search *s, uint64_t span, unsigned count, uint64_t length)
{
    s->window_count = count;
    s->length = length;
    for (unsigned i = 0; i < count; i++) {
        s->windows[i] = draw(s, span);
    }
    qsort(s->windows, count, sizeof s->windows[0], by_value);
}

static int search_run(struct search *s, const char *file, struct settings *settings, struct message *why)
{
    struct yaml_variables variables = settings_variables(settings);
    struct scenario *scenario = scenario_load(file, &variables, NULL, why);
    struct run_options options = {.chunk_cycles = 1, .stop_at_cycle = CYCLE_NEVER, .go_on = step, .owner = s};
    struct runner *r = scenario != NULL && scenario_load_images(scenario, why) ? runner_create(scenario, &options, why) : NULL;
    bool ok = r != NULL && runner_run(r, why);
    runner_destroy(r);
    scenario_free(scenario);
    return ok ? 0 : 2;
}

int main(int argc, char **argv)
{
    struct search *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return 2;
    }
    struct settings settings = {.count = 0};
    struct message why = {.text = {0}};
    int at = 1;
    for (; at + 1 < argc && strcmp(argv[at], "--set") == 0; at += 2) {
        if (!settings_add(&settings, argv[at + 1], &why)) {
            fprintf(stderr, "%s\n", why.text);
            return 2;
        }
    }
    unsigned long numbers[4] = {0};
    for (int i = 0; i < 4 && at + 1 + i < argc; i++) {
        numbers[i] = strtoul(argv[at + 1 + i], NULL, 10);
    }
    bool windows = argc - at == 5;
    if ((argc - at != 2 && !windows) || numbers[0] == 0 || numbers[0] > COUNT_MAX ||
        (windows && (numbers[1] == 0 || numbers[2] == 0 || numbers[2] > WINDOWS_MAX || numbers[3] == 0))) {
        fprintf(stderr, "usage: determinism_moments [--set NAME=VALUE]... FILE COUNT [SPAN WINDOWS LENGTH]\n");
        return 2;
    }
    s->random = 0x9e3779b97f4a7c15;
    s->count = (unsigned)numbers[0];
    if (windows) {
        windows_draw(s, numbers[1], (unsigned)numbers[2], numbers[3]);
    }
    if (search_run(s, argv[at], &settings, &why) != 0) {
        fprintf(stderr, "%s\n", why.text);
        return 2;
    }
    for (unsigned class = 0; class < CLASSES; class ++) {
        uint64_t n = s->seen[class] < s->count ? s->seen[class] : s->count;
        qsort(s->drawn[class], n, sizeof s->drawn[class][0], by_value);
        for (uint64_t i = 0; i < n; i++) {
            printf("%s %" PRIu64 "\n", class_names[class], s->drawn[class][i]);
        }
    }
    free(s);
    return 0;
}
