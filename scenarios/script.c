/* Timeline and expectations from the tree. See script.h for the shape. */
#include "scenarios/script_parts.h"

#include "cpu/trace_ids.h"
#include "devices/trace_ids.h"
#include "machine/trace_ids.h"
#include "tlfs/trace_ids.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- names ---- */

static const char *const end_names[RUN_ENDS] = {
    [RUN_GOING] = "going",
    [RUN_POWEROFF] = "poweroff",
    [RUN_RESET] = "reset",
    [RUN_TRIPLE_FAULT] = "triple-fault",
    [RUN_DEBUG_EXIT] = "debug-exit",
    [RUN_HALTED] = "halted",
    [RUN_LIMIT] = "limit",
    [RUN_STOP_AT] = "stop-at",
    [RUN_INTERRUPTED] = "interrupted",
};

void run_end_text(enum run_end end, uint32_t code, char text[32])
{
    if (end == RUN_DEBUG_EXIT) {
        snprintf(text, 32, "%s:%u", end_names[end], code);
    } else {
        snprintf(text, 32, "%s", end_names[end]);
    }
}

static const struct {
    const struct trace_row *rows;
    size_t count;
} event_tables[] = {
    {machine_trace_rows, MACHINE_TRACE_ROWS},
    {cpu_trace_rows, CPU_TRACE_ROWS},
    {tlfs_trace_rows, TLFS_TRACE_ROWS},
    {devices_trace_rows, DEVICES_TRACE_ROWS},
};

const struct trace_row *script_event(const char *name)
{
    for (size_t t = 0; t < ARRAY_COUNT(event_tables); t++) {
        for (size_t i = 0; i < event_tables[t].count; i++) {
            if (strcmp(event_tables[t].rows[i].name, name) == 0) {
                return &event_tables[t].rows[i];
            }
        }
    }
    return NULL;
}

static bool word_in(const char *word, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(words[i], word) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- conditions ---- */

struct script_reader {
    struct value_reader value;
    struct script *script;
};

/* Keys beside a condition's own, in an expectation's mapping. */
static const char *const modifiers[] = {"within", "after"};

static bool unknown_event(struct script_reader *r, const struct yaml_node *at, const char *name)
{
    char list[480];
    size_t used = 0;
    for (size_t t = 0; t < ARRAY_COUNT(event_tables); t++) {
        for (size_t i = 0; i < event_tables[t].count && used < sizeof list - 40; i++) {
            used +=
                (size_t)snprintf(list + used, sizeof list - used, "%s%s", used > 0 ? ", " : "", event_tables[t].rows[i].name);
        }
    }
    return value_refuse(&r->value, at, "no trace event has the name %s; there are %s%s", quote_text(name).text, list,
                        used >= sizeof list - 40 ? " ..." : "");
}

static bool read_field(struct script_reader *r, struct condition *c, const struct yaml_node *key, const struct yaml_node *value)
{
    if (strcmp(key->text, "vp") == 0) {
        uint64_t vp;
        c->one_vp = true;
        if (!value_quantity(&r->value, value, &units_integer, 0, 239, &vp)) {
            return false;
        }
        c->vp = (uint32_t)vp;
        return true;
    }
    for (uint8_t i = 0; i < c->row->field_count; i++) {
        const struct trace_field *f = &c->row->fields[i];
        if (strcmp(f->name, key->text) == 0) {
            c->fields[c->field_count] = (struct condition_field){.index = i};
            uint64_t most = f->bytes == 8 ? UINT64_MAX : (1ULL << (8 * f->bytes)) - 1;
            return value_quantity(&r->value, value, &units_integer, 0, most, &c->fields[c->field_count++].value);
        }
    }
    char list[200];
    size_t used = 0;
    for (uint8_t i = 0; i < c->row->field_count; i++) {
        used += (size_t)snprintf(list + used, sizeof list - used, "%s, ", c->row->fields[i].name);
    }
    return value_refuse(&r->value, key, "event %s has no field %s; it has %svp", c->row->name, quote_text(key->text).text,
                        list);
}

static bool read_console(struct script_reader *r, struct condition *c, const struct yaml_node *n)
{
    const char *text;
    if (!value_text(&r->value, n, "an extended regular expression", &text)) {
        return false;
    }
    struct message wrong = {.text = {0}};
    c->kind = CONDITION_CONSOLE;
    c->pattern = pattern_create(text, &wrong);
    return c->pattern != NULL || value_refuse(&r->value, n, "%s", wrong.text);
}

/* One condition, appended to the script. With `inline_keys`, the mapping is an expectation's and holds modifiers too. */
static bool read_condition(struct script_reader *r, const struct yaml_node *n, bool inline_keys, struct condition owner)
{
    if (r->script->condition_count == SCRIPT_CONDITIONS_MAX) {
        return value_refuse(&r->value, n, "too many conditions; at most %d in a scenario", SCRIPT_CONDITIONS_MAX);
    }
    if (!value_mapping(&r->value, n, "{ console: EXPRESSION } or { event: NAME, FIELD: VALUE }")) {
        return false;
    }
    struct condition *c = &r->script->conditions[r->script->condition_count++];
    *c = owner;
    const struct yaml_node *console = yaml_find(n, "console"), *event = yaml_find(n, "event"), *fields = NULL;
    if (event != NULL) {
        const char *name;
        if (!value_text(&r->value, event, "the name of a trace event", &name)) {
            return false;
        }
        c->kind = CONDITION_EVENT;
        c->row = script_event(name);
        if (c->row == NULL) {
            return unknown_event(r, event, name);
        }
    }
    for (size_t i = 0; i < n->count; i++) {
        const struct yaml_node *key = yaml_key(n, i), *value = yaml_value(n, i);
        bool own = value == console || value == event;
        if ((own && strcmp(key->text, value == console ? "console" : "event") == 0) ||
            (inline_keys && word_in(key->text, modifiers, ARRAY_COUNT(modifiers)))) {
            continue;
        }
        if (event != NULL && console == NULL) {
            if (!read_field(r, c, key, value)) {
                return false;
            }
        } else if (console == NULL && fields == NULL) { /* the short form: { NAME: { FIELD: VALUE } } */
            c->kind = CONDITION_EVENT;
            c->row = script_event(key->text);
            fields = value;
            if (c->row == NULL) {
                return unknown_event(r, key, key->text);
            }
        } else {
            return value_refuse(&r->value, key, "unknown key %s beside the condition%s", quote_text(key->text).text,
                                inline_keys ? "; expected within or after"
                                            : "; a condition is one console expression or one event");
        }
    }
    if (console != NULL) {
        return read_console(r, c, console);
    }
    if (fields != NULL && !(fields->kind == YAML_IS_SCALAR && fields->text[0] == 0)) {
        if (!value_mapping(&r->value, fields, "{ FIELD: VALUE } of the event")) {
            return false;
        }
        for (size_t i = 0; i < fields->count; i++) {
            if (!read_field(r, c, yaml_key(fields, i), yaml_value(fields, i))) {
                return false;
            }
        }
    }
    return event != NULL || fields != NULL ||
           value_refuse(&r->value, n, "no condition; write { console: EXPRESSION } or { event: NAME, FIELD: VALUE }");
}

/* ---- timeline ---- */

static bool read_action(struct script_reader *r, struct timeline_entry *e, struct yaml_node *n)
{
    if (e->action_count == ACTIONS_MAX) {
        return value_refuse(&r->value, n, "too many actions; at most %d in one entry", ACTIONS_MAX);
    }
    return script_action_read(&r->value, &e->actions[e->action_count++], n);
}

static bool read_entry(struct script_reader *r, struct yaml_node *n, unsigned index)
{
    static const char *const keys[] = {"at", "when", "after", "do"};
    static const char *const previous[] = {"previous"};
    struct timeline_entry *e = &r->script->entries[index];
    *e = (struct timeline_entry){.where = n};
    if (!value_keys(&r->value, n, "at or when, and do", keys, ARRAY_COUNT(keys))) {
        return false;
    }
    struct yaml_node *at = yaml_find(n, "at"), *when = yaml_find(n, "when"), *after = yaml_find(n, "after");
    struct yaml_node *todo = yaml_find(n, "do");
    if ((at == NULL) == (when == NULL) || todo == NULL) {
        return value_refuse(&r->value, n, "a timeline entry has either \"at\" or \"when\", and \"do\"");
    }
    if (after != NULL) {
        unsigned word;
        if (at != NULL || index == 0) {
            return value_refuse(&r->value, after, "\"after: previous\" belongs to a \"when\" that has an entry before it");
        }
        if (!value_word(&r->value, after, previous, 1, &word)) {
            return false;
        }
        e->after_previous = true;
    }
    e->timed = at != NULL;
    if (e->timed && !value_moment(&r->value, at, &e->at)) {
        return false;
    }
    e->condition = r->script->condition_count;
    if (when != NULL && !read_condition(r, when, false, (struct condition){.of_entry = true, .owner = index})) {
        return false;
    }
    if (todo->kind != YAML_IS_SEQUENCE) {
        return read_action(r, e, todo);
    }
    for (size_t i = 0; i < todo->count; i++) {
        if (!read_action(r, e, todo->items[i])) {
            return false;
        }
    }
    return todo->count > 0 || value_refuse(&r->value, todo, "nothing to do; expected stop, { send: TEXT } or { save: FILE }");
}

/* ---- expectations ---- */

static bool read_end(struct script_reader *r, struct expectation *x, const struct yaml_node *n)
{
    const char *text;
    if (!value_text(&r->value, n, "how the run ends", &text)) {
        return false;
    }
    x->kind = EXPECT_END;
    for (unsigned i = RUN_POWEROFF; i < RUN_INTERRUPTED; i++) {
        if (i != RUN_DEBUG_EXIT && strcmp(text, end_names[i]) == 0) {
            x->end = (enum run_end)i;
            return true;
        }
    }
    uint64_t code;
    if (strncmp(text, "debug-exit:", 11) == 0 && quantity_parse(text + 11, &units_integer, &code) == QUANTITY_OK &&
        code <= UINT32_MAX) {
        x->end = RUN_DEBUG_EXIT;
        x->end_code = (uint32_t)code;
        return true;
    }
    return value_refuse(&r->value, n,
                        "%s is no end; expected one of poweroff, reset, triple-fault, debug-exit:N, halted, limit, stop-at",
                        quote_text(text).text);
}

static bool read_count(struct script_reader *r, struct expectation *x, const struct yaml_node *n, unsigned index)
{
    static const char *const keys[] = {"count", "is", "at-least", "at-most"};
    x->kind = EXPECT_COUNT;
    x->at_most = COUNT_FOREVER;
    if (!value_keys(&r->value, n, "count, and is, at-least or at-most", keys, ARRAY_COUNT(keys)) ||
        !read_condition(r, yaml_find(n, "count"), false, (struct condition){.owner = index})) {
        return false;
    }
    const struct yaml_node *is = yaml_find(n, "is"), *least = yaml_find(n, "at-least"), *most = yaml_find(n, "at-most");
    if ((is != NULL) == (least != NULL || most != NULL)) {
        return value_refuse(&r->value, n, "count needs either \"is\", or \"at-least\" and \"at-most\" or one of them");
    }
    if (is != NULL) {
        bool ok = value_quantity(&r->value, is, &units_count, 0, COUNT_FOREVER - 1, &x->at_least);
        x->at_most = x->at_least;
        return ok;
    }
    if ((least != NULL && !value_quantity(&r->value, least, &units_count, 0, COUNT_FOREVER - 1, &x->at_least)) ||
        (most != NULL && !value_quantity(&r->value, most, &units_count, 0, COUNT_FOREVER - 1, &x->at_most))) {
        return false;
    }
    return x->at_least <= x->at_most || value_refuse(&r->value, most, "at-most is below at-least: no count can be right");
}

static bool read_seen(struct script_reader *r, struct expectation *x, const struct yaml_node *n, unsigned index)
{
    const struct yaml_node *within = yaml_find(n, "within"), *after = yaml_find(n, "after");
    x->kind = EXPECT_SEEN;
    x->has_within = within != NULL;
    x->has_after = after != NULL;
    return read_condition(r, n, true, (struct condition){.owner = index}) &&
           (within == NULL || value_moment(&r->value, within, &x->within)) &&
           (after == NULL || read_condition(r, after, false, (struct condition){.owner = index, .slot = 1}));
}

static bool read_expectation(struct script_reader *r, const struct yaml_node *n, unsigned index)
{
    struct expectation *x = &r->script->expectations[index];
    *x = (struct expectation){.where = n};
    if (!value_mapping(&r->value, n, "console, event, before, never, count or end")) {
        return false;
    }
    yaml_text(n, x->text, sizeof x->text);
    size_t length = strlen(x->text); /* without the outer braces */
    if (length >= 2 && x->text[length - 1] == '}') {
        x->text[length - 1] = 0;
        memmove(x->text, x->text + 1, length - 1);
    }
    const struct yaml_node *before = yaml_find(n, "before"), *never = yaml_find(n, "never"), *end = yaml_find(n, "end");
    if (yaml_find(n, "count") != NULL) {
        return read_count(r, x, n, index);
    }
    if (before == NULL && never == NULL && end == NULL) {
        return read_seen(r, x, n, index);
    }
    if (n->count != 1) {
        const struct yaml_node *first = yaml_value(n, 0);
        const struct yaml_node *other = yaml_key(n, first == before || first == never || first == end);
        return value_refuse(&r->value, other, "unknown key %s beside \"%s\", which stands alone", quote_text(other->text).text,
                            before != NULL  ? "before"
                            : never != NULL ? "never"
                                            : "end");
    }
    if (end != NULL) {
        return read_end(r, x, end);
    }
    if (never != NULL) {
        x->kind = EXPECT_NEVER;
        return read_condition(r, never, false, (struct condition){.owner = index});
    }
    x->kind = EXPECT_BEFORE;
    if (before->kind != YAML_IS_SEQUENCE || before->count != 2) {
        return value_refuse(&r->value, before, "before takes a list of two conditions: [ FIRST, SECOND ]");
    }
    return read_condition(r, before->items[0], false, (struct condition){.owner = index}) &&
           read_condition(r, before->items[1], false, (struct condition){.owner = index, .slot = 1});
}

/* ---- all ---- */

static bool list_size(struct script_reader *r, const struct yaml_node *n, const char *what, size_t most, unsigned *count)
{
    if (n == NULL) {
        return true;
    }
    if (!value_sequence(&r->value, n, what)) {
        return false;
    }
    *count = (unsigned)n->count;
    return n->count <= most || value_refuse(&r->value, n, "%zu items; at most %zu are possible", n->count, most);
}

bool script_read(struct script *s, struct yaml_node *timeline, struct yaml_node *expect, const char *file, struct message *why)
{
    struct script_reader r = {.value = {.file = file, .why = why}, .script = s};
    unsigned entries = 0, expectations = 0;
    *s = (struct script){0};
    if (!list_size(&r, timeline, "timeline entries", SCRIPT_ENTRIES_MAX, &entries) ||
        !list_size(&r, expect, "expectations", SCRIPT_EXPECTATIONS_MAX, &expectations)) {
        return false;
    }
    s->conditions = calloc(SCRIPT_CONDITIONS_MAX, sizeof *s->conditions);
    s->entries = calloc(entries + 1, sizeof *s->entries);
    s->expectations = calloc(expectations + 1, sizeof *s->expectations);
    if (s->conditions == NULL || s->entries == NULL || s->expectations == NULL) {
        return message_say(why, "%s: the host has no memory left", file);
    }
    for (unsigned i = 0; i < entries; i++, s->entry_count = i) {
        if (!read_entry(&r, timeline->items[i], i)) {
            return false;
        }
    }
    for (unsigned i = 0; i < expectations; i++, s->expectation_count = i) {
        if (!read_expectation(&r, expect->items[i], i)) {
            return false;
        }
    }
    return true;
}

void script_free(struct script *s)
{
    for (unsigned i = 0; s->conditions != NULL && i < s->condition_count; i++) {
        pattern_destroy(s->conditions[i].pattern);
    }
    free(s->conditions);
    free(s->entries);
    free(s->expectations);
    *s = (struct script){0};
}
