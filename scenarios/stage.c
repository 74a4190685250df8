/* Conditions, timeline and expectations at work. See stage.h.
 *
 * An action becomes *due* at the moment of its condition, gets the next number in line, and is performed by the runner at the
 * first boundary from there on. Due actions of one entry follow each other; those of several entries go by number.
 */
#include "scenarios/stage.h"

#include <stdlib.h>
#include <string.h>

struct condition_state {
    bool watched;            /* false: waits for the entry before it */
    uint8_t spent;           /* bit for each port: the current line has matched already */
    struct pattern_run *run; /* console: one for each port */
};
struct entry_state {
    bool happened;
    uint64_t number;      /* in line; lower first */
    uint32_t done;        /* actions performed */
    uint64_t retry_cycle; /* a postponed action is not due before it */
};
struct expectation_state {
    bool decided;
    struct verdict verdict;
    bool started;         /* slot 1 of BEFORE: slot 0 was seen; `after` of SEEN was seen */
    uint64_t start_cycle; /* of `within` */
    uint64_t count;
};

struct stage {
    const struct script *script;
    uint64_t clock_hz;
    struct condition_state *conditions;
    struct entry_state *entries;
    struct expectation_state *expectations;
    bool line_empty[CONSOLE_PORTS];
    uint64_t next_number;
    uint64_t told_cycle;
};

/* ---- creation ---- */

static bool conditions_create(struct stage *s)
{
    for (unsigned i = 0; i < s->script->condition_count; i++) {
        const struct condition *c = &s->script->conditions[i];
        struct condition_state *state = &s->conditions[i];
        state->watched = !(c->of_entry && s->script->entries[c->owner].after_previous);
        if (c->kind == CONDITION_CONSOLE) {
            state->run = calloc(CONSOLE_PORTS, sizeof *state->run);
            if (state->run == NULL) {
                return false;
            }
            for (unsigned p = 0; p < CONSOLE_PORTS; p++) {
                pattern_begin(c->pattern, &state->run[p]);
            }
        }
    }
    return true;
}

struct stage *stage_create(const struct script *script, uint64_t clock_hz)
{
    struct stage *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return NULL;
    }
    s->script = script;
    s->clock_hz = clock_hz;
    s->conditions = calloc(script->condition_count + 1, sizeof *s->conditions);
    s->entries = calloc(script->entry_count + 1, sizeof *s->entries);
    s->expectations = calloc(script->expectation_count + 1, sizeof *s->expectations);
    for (unsigned p = 0; p < CONSOLE_PORTS; p++) {
        s->line_empty[p] = true;
    }
    if (s->conditions == NULL || s->entries == NULL || s->expectations == NULL || !conditions_create(s)) {
        stage_destroy(s);
        return NULL;
    }
    return s;
}

void stage_destroy(struct stage *s)
{
    if (s == NULL) {
        return;
    }
    for (unsigned i = 0; s->conditions != NULL && i < s->script->condition_count; i++) {
        free(s->conditions[i].run);
    }
    free(s->conditions);
    free(s->entries);
    free(s->expectations);
    free(s);
}

/* ---- expectations ---- */

static void decide(struct expectation_state *x, bool met, uint64_t cycle)
{
    if (!x->decided) {
        x->decided = true;
        x->verdict = (struct verdict){.met = met, .cycle = cycle};
    }
}

/* The last cycle at which a SEEN expectation can still be met; CYCLE_NEVER without `within` or before `after`. */
static uint64_t deadline(const struct stage *s, unsigned index)
{
    const struct expectation *x = &s->script->expectations[index];
    const struct expectation_state *state = &s->expectations[index];
    if (x->kind != EXPECT_SEEN || !x->has_within || (x->has_after && !state->started)) {
        return CYCLE_NEVER;
    }
    uint64_t within = moment_cycles(x->within, s->clock_hz);
    return within > CYCLE_NEVER - state->start_cycle ? CYCLE_NEVER : state->start_cycle + within;
}

static void expectation_seen(struct stage *s, const struct condition *c, uint64_t cycle)
{
    const struct expectation *x = &s->script->expectations[c->owner];
    struct expectation_state *state = &s->expectations[c->owner];
    switch (x->kind) {
    case EXPECT_SEEN:
        if (c->slot == 1) {
            if (!state->started) {
                state->started = true;
                state->start_cycle = cycle;
            }
        } else if (!x->has_after || state->started) {
            uint64_t last = deadline(s, c->owner);
            decide(state, cycle <= last, cycle <= last ? cycle : last);
        }
        return;
    case EXPECT_BEFORE:
        if (c->slot == 0) {
            state->started = true;
        } else {
            decide(state, state->started, cycle);
        }
        return;
    case EXPECT_NEVER:
        decide(state, false, cycle);
        return;
    case EXPECT_COUNT:
        state->count++;
        if (state->count > x->at_most) {
            decide(state, false, cycle);
        } else if (x->at_most == COUNT_FOREVER && state->count >= x->at_least) {
            decide(state, true, cycle);
        }
        return;
    case EXPECT_END:
        return;
    }
}

/* ---- conditions ---- */

/* `after: previous` looks at what comes from now on. */
static void watch_next_entry(struct stage *s, unsigned entry)
{
    if (entry + 1 >= s->script->entry_count || !s->script->entries[entry + 1].after_previous) {
        return;
    }
    unsigned index = s->script->entries[entry + 1].condition;
    const struct condition *c = &s->script->conditions[index];
    struct condition_state *state = &s->conditions[index];
    state->watched = true;
    state->spent = 0;
    for (unsigned p = 0; c->kind == CONDITION_CONSOLE && p < CONSOLE_PORTS; p++) {
        if (s->line_empty[p]) {
            pattern_begin(c->pattern, &state->run[p]);
        } else {
            pattern_begin_inside(c->pattern, &state->run[p]);
        }
    }
}

static void entry_happens(struct stage *s, unsigned entry)
{
    struct entry_state *state = &s->entries[entry];
    if (!state->happened) {
        state->happened = true;
        state->number = s->next_number++;
        watch_next_entry(s, entry);
    }
}

/* True when an action has become due. */
static bool condition_happens(struct stage *s, const struct condition *c, uint64_t cycle)
{
    if (!c->of_entry) {
        expectation_seen(s, c, cycle);
        return false;
    }
    bool news = !s->entries[c->owner].happened;
    entry_happens(s, c->owner);
    return news;
}

/* What one byte does to one expression: true when the line begins to match with it. A line counts once. */
static bool console_byte(struct stage *s, const struct condition *c, struct condition_state *state, unsigned port, uint8_t byte)
{
    struct pattern_run *run = &state->run[port];
    uint8_t bit = (uint8_t)(1 << port);
    if (byte != '\n') {
        pattern_feed(c->pattern, run, byte);
        bool news = !(state->spent & bit) && pattern_matches(c->pattern, run);
        state->spent |= news ? bit : 0;
        return news;
    }
    /* An empty line has no byte of its own to match at. */
    bool news = s->line_empty[port] && !(state->spent & bit) && pattern_matches(c->pattern, run);
    pattern_begin(c->pattern, run);
    state->spent &= (uint8_t)~bit;
    return news;
}

/* First all conditions look, then things happen: an entry that becomes watched by this byte or event does not see it. */
static bool happen(struct stage *s, const uint64_t *hits, uint64_t cycle)
{
    bool due = false;
    for (unsigned i = 0; i < s->script->condition_count; i++) {
        if (hits[i / 64] >> (i % 64) & 1) {
            due |= condition_happens(s, &s->script->conditions[i], cycle);
        }
    }
    return due;
}

bool stage_console(struct stage *s, unsigned port, uint8_t byte, uint64_t cycle)
{
    uint64_t hits[SCRIPT_CONDITIONS_MAX / 64] = {0};
    if (port >= CONSOLE_PORTS || byte == '\r') { /* lines end with \n; \r is only how terminals want it */
        return false;
    }
    for (unsigned i = 0; i < s->script->condition_count; i++) {
        const struct condition *c = &s->script->conditions[i];
        struct condition_state *state = &s->conditions[i];
        if (c->kind == CONDITION_CONSOLE && state->watched && console_byte(s, c, state, port, byte)) {
            hits[i / 64] |= 1ULL << (i % 64);
        }
    }
    s->line_empty[port] = byte == '\n';
    return happen(s, hits, cycle);
}

static bool event_matches(const struct condition *c, const struct trace_event *e)
{
    if (c->row->id != e->row->id || (c->one_vp && c->vp != e->vp)) {
        return false;
    }
    for (unsigned i = 0; i < c->field_count; i++) {
        if (e->values[c->fields[i].index] != c->fields[i].value) {
            return false;
        }
    }
    return true;
}

bool stage_event(struct stage *s, const struct trace_event *e)
{
    uint64_t hits[SCRIPT_CONDITIONS_MAX / 64] = {0};
    for (unsigned i = 0; i < s->script->condition_count; i++) {
        const struct condition *c = &s->script->conditions[i];
        if (c->kind == CONDITION_EVENT && s->conditions[i].watched && event_matches(c, e)) {
            hits[i / 64] |= 1ULL << (i % 64);
        }
    }
    return happen(s, hits, e->cycle);
}

/* ---- time and actions ---- */

static uint64_t entry_cycle(const struct stage *s, unsigned entry)
{
    return moment_cycles(s->script->entries[entry].at, s->clock_hz);
}

uint64_t stage_next_cycle(const struct stage *s)
{
    uint64_t next = CYCLE_NEVER;
    for (unsigned i = 0; i < s->script->entry_count; i++) {
        const struct timeline_entry *e = &s->script->entries[i];
        const struct entry_state *state = &s->entries[i];
        uint64_t cycle = CYCLE_NEVER;
        if (e->timed && !state->happened) {
            cycle = entry_cycle(s, i);
        } else if (state->happened && state->done < e->action_count && state->retry_cycle > s->told_cycle) {
            cycle = state->retry_cycle;
        }
        next = cycle < next ? cycle : next;
    }
    return next;
}

void stage_clock(struct stage *s, uint64_t cycle)
{
    s->told_cycle = cycle;
    for (;;) { /* those that became due since last time, earliest first */
        unsigned first = s->script->entry_count;
        for (unsigned i = 0; i < s->script->entry_count; i++) {
            bool due = s->script->entries[i].timed && !s->entries[i].happened && entry_cycle(s, i) <= cycle;
            if (due && (first == s->script->entry_count || entry_cycle(s, i) < entry_cycle(s, first))) {
                first = i;
            }
        }
        if (first == s->script->entry_count) {
            break;
        }
        entry_happens(s, first);
    }
}

const struct action *stage_next_action(struct stage *s, uint64_t cycle)
{
    unsigned first = s->script->entry_count;
    for (unsigned i = 0; i < s->script->entry_count; i++) {
        const struct entry_state *state = &s->entries[i];
        if (state->happened && state->done < s->script->entries[i].action_count && state->retry_cycle <= cycle &&
            (first == s->script->entry_count || state->number < s->entries[first].number)) {
            first = i;
        }
    }
    return first == s->script->entry_count ? NULL : &s->script->entries[first].actions[s->entries[first].done++];
}

void stage_postpone(struct stage *s, const struct action *a, uint64_t until_cycle)
{
    for (unsigned i = 0; i < s->script->entry_count; i++) {
        const struct timeline_entry *e = &s->script->entries[i];
        if (a >= e->actions && a < e->actions + ACTIONS_MAX) {
            s->entries[i].done = (uint32_t)(a - e->actions);
            s->entries[i].retry_cycle = until_cycle;
        }
    }
}

/* ---- verdicts ---- */

struct verdict stage_verdict(const struct stage *s, unsigned expectation, enum run_end end, uint32_t end_code, uint64_t cycle)
{
    const struct expectation *x = &s->script->expectations[expectation];
    const struct expectation_state *state = &s->expectations[expectation];
    uint64_t last = deadline(s, expectation);
    if (state->decided) {
        return state->verdict;
    }
    switch (x->kind) {
    case EXPECT_NEVER:
        return (struct verdict){true, cycle};
    case EXPECT_COUNT:
        return (struct verdict){state->count >= x->at_least && state->count <= x->at_most, cycle};
    case EXPECT_END:
        return (struct verdict){x->end == end && (end != RUN_DEBUG_EXIT || x->end_code == end_code), cycle};
    default:
        return (struct verdict){false, last < cycle ? last : cycle};
    }
}

/* ---- state ---- */

static void condition_visit(struct state *visitor, const struct condition *c, struct condition_state *state)
{
    state_bool(visitor, &state->watched);
    state_u8(visitor, &state->spent);
    for (unsigned p = 0; c->kind == CONDITION_CONSOLE && p < CONSOLE_PORTS; p++) {
        for (unsigned w = 0; w < pattern_words(c->pattern); w++) {
            state_u64(visitor, &state->run[p].set[w]);
        }
    }
}

void stage_state(struct state *visitor, struct stage *s)
{
    state_section(visitor, "scenario.stage", 1);
    for (unsigned i = 0; i < s->script->condition_count; i++) {
        condition_visit(visitor, &s->script->conditions[i], &s->conditions[i]);
    }
    for (unsigned i = 0; i < s->script->entry_count; i++) {
        struct entry_state *e = &s->entries[i];
        state_bool(visitor, &e->happened);
        state_u64(visitor, &e->number);
        state_u32_in(visitor, &e->done, 0, s->script->entries[i].action_count, "actions done");
        state_u64(visitor, &e->retry_cycle);
    }
    for (unsigned i = 0; i < s->script->expectation_count; i++) {
        struct expectation_state *x = &s->expectations[i];
        state_bool(visitor, &x->decided);
        state_bool(visitor, &x->verdict.met);
        state_u64(visitor, &x->verdict.cycle);
        state_bool(visitor, &x->started);
        state_u64(visitor, &x->start_cycle);
        state_u64(visitor, &x->count);
    }
    for (unsigned p = 0; p < CONSOLE_PORTS; p++) {
        state_bool(visitor, &s->line_empty[p]);
    }
    state_u64(visitor, &s->next_number);
    state_u64(visitor, &s->told_cycle);
}
