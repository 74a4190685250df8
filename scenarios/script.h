/* What happens in a scenario besides the guest: conditions, the timeline's actions, and what must be seen.
 *
 * A condition is a moment that a running machine shows: a console line that matches, or a trace event with given fields. Each
 * condition belongs to exactly one timeline entry or expectation. This is the script as written, checked and constant; stage.h
 * performs it.
 *
 *     timeline:
 *       - { at: 20 s, do: stop }
 *       - { when: { console: "login: $" }, do: { send: "root\n" } }
 *       - { when: { console: "# $" }, after: previous, do: [ { send: "poweroff\n" }, { save: before.orrery } ] }
 *     expect:
 *       - { console: "Hypervisor detected", within: 5 s }
 *       - { event: msr_write, msr: 0x40000000, vp: 0 }
 *       - before: [ { msr_write: { msr: 0x40000000 } }, { msr_write: { msr: 0x40000001 } } ]
 *       - never: { exception: { vector: 8 } }
 *       - { count: { console: "tick" }, at-least: 3 }
 *       - end: poweroff
 */
#ifndef ORRERY_SCENARIOS_SCRIPT_H
#define ORRERY_SCENARIOS_SCRIPT_H

#include "machine/trace.h"
#include "scenarios/pattern.h"
#include "scenarios/value.h"
#include "tlfs/ports.h"

/* How a run ends. */
enum run_end {
    RUN_GOING,
    RUN_POWEROFF,
    RUN_RESET,
    RUN_TRIPLE_FAULT,
    RUN_DEBUG_EXIT, /* with the byte as written */
    RUN_HALTED,
    RUN_LIMIT,
    RUN_STOP_AT, /* --stop-at, or the timeline's `stop` */
    RUN_INTERRUPTED,
    RUN_ENDS
};
/* "poweroff", "debug-exit:3" ... */
void run_end_text(enum run_end end, uint32_t code, char text[32]);

enum condition_kind { CONDITION_CONSOLE, CONDITION_EVENT };
struct condition_field {
    uint8_t index;
    uint64_t value;
};
struct condition {
    enum condition_kind kind;
    struct pattern *pattern;     /* console: on the current line of any port */
    const struct trace_row *row; /* event */
    bool one_vp;
    uint32_t vp;
    unsigned field_count;
    struct condition_field fields[TRACE_FIELDS_MAX];
    bool of_entry;  /* whose it is: */
    unsigned owner; /* index into entries or expectations */
    unsigned slot;  /* which of an expectation's two */
};

enum action_kind {
    ACTION_SEND,
    ACTION_STOP,
    ACTION_SAVE,
    ACTION_MIGRATE,
    ACTION_POST,
    ACTION_SIGNAL,
    ACTION_HOLD_SLOT,
    ACTION_DELETE_PORT,
    ACTION_DISCONNECT
};
enum { ACTION_KINDS = ACTION_DISCONNECT + 1 }; /* apart, so that a switch over all kinds stays complete */
struct action {
    enum action_kind kind;
    const struct yaml_node *where;
    const char *text; /* SEND: the keys; SAVE: the file */
    size_t bytes;
    unsigned port; /* SEND: the UART, 0-3 */
    struct {
        uint64_t tsc_hz; /* 0: as before */
        struct moment away;
        bool page_invalid;
    } migrate;
    struct {
        uint32_t vp, sint;
        uint32_t type, bytes; /* POST */
        uint8_t payload[MESSAGE_PAYLOAD_MAX];
        uint32_t flag;        /* SIGNAL */
        struct moment length; /* HOLD_SLOT */
        uint32_t connection;  /* DELETE_PORT, DISCONNECT */
    } host;
};
enum { ACTIONS_MAX = 16, SEND_MAX = 4096 };
struct timeline_entry {
    const struct yaml_node *where;
    bool timed; /* `at`, else `when` */
    struct moment at;
    unsigned condition;
    bool after_previous; /* watched only once the entry before it has happened */
    struct action actions[ACTIONS_MAX];
    unsigned action_count;
};

enum expectation_kind { EXPECT_SEEN, EXPECT_BEFORE, EXPECT_NEVER, EXPECT_COUNT, EXPECT_END };
#define COUNT_FOREVER UINT64_MAX
struct expectation {
    enum expectation_kind kind;
    const struct yaml_node *where;
    char text[240];
    /* Slot 0: what is seen, counted, forbidden, or comes first. Slot 1: BEFORE: what comes second; SEEN: `after`. */
    bool has_within, has_after;
    struct moment within;       /* from the start of the run, or from `after` */
    uint64_t at_least, at_most; /* COUNT */
    enum run_end end;           /* END */
    uint32_t end_code;
};

enum { SCRIPT_CONDITIONS_MAX = 512, SCRIPT_ENTRIES_MAX = 256, SCRIPT_EXPECTATIONS_MAX = 256 };
struct script {
    struct condition *conditions;
    struct timeline_entry *entries;
    struct expectation *expectations;
    unsigned condition_count, entry_count, expectation_count;
};

/* Either node may be NULL. False with a message; script_free() is due in both cases. Nodes are borrowed. */
bool script_read(struct script *s, struct yaml_node *timeline, struct yaml_node *expect, const char *file, struct message *why);
void script_free(struct script *s);

/* A trace event of any room by its name; NULL when unknown. */
const struct trace_row *script_event(const char *name);

#endif
