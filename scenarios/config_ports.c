/* Ports and connections of a partition from the tree, and the actions that need them. See FORMAT.md.
 *
 * What ports.h refuses is refused here with its place in the file, so that creating the ports later cannot fail for a reason
 * that stands in the file. A port's VP need not be there: a port that leads nowhere is a thing to test.
 */
#include "scenarios/config_parts.h"

#include <string.h>

#define KEYS(...) (const char *const[]){__VA_ARGS__}, ARRAY_COUNT(((const char *const[]){__VA_ARGS__}))

static bool number(struct value_reader *r, const struct yaml_node *mapping, const char *key, bool needed, uint64_t min,
                   uint64_t max, uint32_t *value)
{
    const struct yaml_node *n = yaml_find(mapping, key);
    uint64_t found = *value;
    if (n == NULL) {
        return !needed || value_refuse(r, mapping, "the port lacks %s", quote_text(key).text);
    }
    if (!value_quantity(r, n, &units_integer, min, max, &found)) {
        return false;
    }
    *value = (uint32_t)found;
    return true;
}

/* vp: a number, or any. */
static bool read_target(struct value_reader *r, const struct yaml_node *n, struct port_config *c)
{
    const struct yaml_node *vp = yaml_find(n, "vp");
    if (vp != NULL && vp->kind == YAML_IS_SCALAR && strcmp(vp->text, "any") == 0) {
        c->vp = HV_ANY_VP;
    } else if (!number(r, n, "vp", true, 0, 239, &c->vp)) {
        return false;
    }
    return number(r, n, "sint", true, 1, 15, &c->sint);
}

static bool read_ids(struct value_reader *r, const struct yaml_node *n, const struct scenario *s, struct port_config *c)
{
    if (!number(r, n, "connection", true, 0, PORT_ID_MAX, &c->connection)) {
        return false;
    }
    for (unsigned i = 0; i < s->port_count; i++) {
        if (s->ports[i].connection == c->connection) {
            return value_refuse(r, yaml_find(n, "connection"), "another port has connection 0x%x; each port has its own",
                                c->connection);
        }
    }
    c->id = c->connection;
    return number(r, n, "port", false, 0, PORT_ID_MAX, &c->id);
}

static bool read_sink(struct value_reader *r, const struct yaml_node *n, struct port_config *c)
{
    const struct yaml_node *sink = yaml_find(n, "sink");
    return sink == NULL || value_switch(r, sink, &c->hosts);
}

static bool read_message_port(struct value_reader *r, const struct yaml_node *n, const struct scenario *s,
                              struct port_config *c)
{
    c->type = PORT_MESSAGE;
    if (!value_keys(r, n, "a message port", KEYS("connection", "port", "echo-to", "sink")) || !read_ids(r, n, s, c) ||
        !read_sink(r, n, c)) {
        return false;
    }
    const struct yaml_node *echo = yaml_find(n, "echo-to");
    if ((echo != NULL) == c->hosts) {
        return value_refuse(r, n, "a message port has either \"echo-to: { vp, sint }\" or \"sink: on\"");
    }
    return c->hosts || (value_keys(r, echo, "where the messages go: vp, sint", KEYS("vp", "sint")) && read_target(r, echo, c));
}

static bool read_event_port(struct value_reader *r, const struct yaml_node *n, const struct scenario *s, struct port_config *c)
{
    c->type = PORT_EVENT;
    c->flag_count = 1;
    if (!value_keys(r, n, "an event port", KEYS("connection", "port", "vp", "sint", "flag", "flags", "sink")) ||
        !read_ids(r, n, s, c) || !read_sink(r, n, c)) {
        return false;
    }
    if (c->hosts && (yaml_find(n, "vp") != NULL || yaml_find(n, "sint") != NULL)) {
        return value_refuse(r, n, "a port that is a sink has no \"vp\" and no \"sint\"");
    }
    return (c->hosts || read_target(r, n, c)) && number(r, n, "flag", !c->hosts, 0, 2047, &c->base_flag) &&
           number(r, n, "flags", false, 1, 2048 - c->base_flag, &c->flag_count);
}

static bool read_port(struct value_reader *r, const struct yaml_node *n, struct scenario *s)
{
    static const char *const types[] = {"message", "event"};
    unsigned type;
    struct port_config *c = &s->ports[s->port_count];
    *c = (struct port_config){0};
    if (n->kind != YAML_IS_MAPPING || n->count != 1) {
        return value_refuse(r, n, "a port is { message: {...} } or { event: {...} }");
    }
    if (!value_word(r, yaml_key(n, 0), types, ARRAY_COUNT(types), &type) ||
        !(type == 0 ? read_message_port : read_event_port)(r, yaml_value(n, 0), s, c)) {
        return false;
    }
    s->port_count++;
    return true;
}

bool config_ports_read(struct value_reader *r, const struct yaml_node *n, struct scenario *s)
{
    if (n == NULL) {
        return true;
    }
    if (s->profile == NULL) {
        return value_refuse(r, n, "there is no hypervisor to have ports; give a profile other than none");
    }
    if (!value_sequence(r, n, "ports: { message: {...} } or { event: {...} }")) {
        return false;
    }
    if (n->count > SCENARIO_PORTS_MAX) {
        return value_refuse(r, n, "%zu ports; at most %d are possible", n->count, SCENARIO_PORTS_MAX);
    }
    for (size_t i = 0; i < n->count; i++) {
        if (!read_port(r, n->items[i], s)) {
            return false;
        }
    }
    return true;
}

/* ---- actions ---- */

static bool declared(const struct scenario *s, uint32_t connection)
{
    for (unsigned i = 0; i < s->port_count; i++) {
        if (s->ports[i].connection == connection) {
            return true;
        }
    }
    return false;
}

static bool action_check(struct value_reader *r, const struct action *a, const struct scenario *s)
{
    bool of_vp = a->kind == ACTION_POST || a->kind == ACTION_SIGNAL || a->kind == ACTION_HOLD_SLOT;
    bool of_port = a->kind == ACTION_DELETE_PORT || a->kind == ACTION_DISCONNECT;
    if ((of_vp || of_port) && s->profile == NULL) {
        return value_refuse(r, a->where, "there is no hypervisor to do this; give a profile other than none");
    }
    if (of_vp && a->host.vp >= s->vps) {
        return value_refuse(r, a->where, "there is no VP %u; the partition has %u", a->host.vp, s->vps);
    }
    return !of_port || declared(s, a->host.connection) ||
           value_refuse(r, a->where, "no port has connection 0x%x; declare it in partition.ports", a->host.connection);
}

bool config_actions_check(struct value_reader *r, const struct scenario *s)
{
    for (unsigned i = 0; i < s->script.entry_count; i++) {
        const struct timeline_entry *e = &s->script.entries[i];
        for (unsigned k = 0; k < e->action_count; k++) {
            if (!action_check(r, &e->actions[k], s)) {
                return false;
            }
        }
    }
    return true;
}
