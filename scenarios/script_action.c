/* Actions of the timeline from the tree. See script.h for their shape, FORMAT.md for their meaning.
 *
 * One reader for each action, in one table. What only the whole scenario can tell (is that VP there, that connection declared?)
 * is asked in config_ports.c.
 */
#include "scenarios/script_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool read_stop(struct value_reader *r, struct action *a, struct yaml_node *n)
{
    return value_refuse(r, n, "stop stands alone: do: stop");
}

static bool read_send(struct value_reader *r, struct action *a, struct yaml_node *n)
{
    static const char *const keys[] = {"text", "port"};
    const struct yaml_node *text = n;
    if (n->kind == YAML_IS_MAPPING) {
        if (!value_keys(r, n, "text and port", keys, ARRAY_COUNT(keys))) {
            return false;
        }
        uint64_t port = 0;
        const struct yaml_node *port_node = yaml_find(n, "port");
        if (port_node != NULL && !value_quantity(r, port_node, &units_integer, 0, 3, &port)) {
            return false;
        }
        a->port = (unsigned)port;
        text = yaml_find(n, "text");
        if (text == NULL) {
            return value_refuse(r, n, "send lacks \"text\"");
        }
    }
    if (!value_text(r, text, "the keys to send", &a->text)) {
        return false;
    }
    a->bytes = strlen(a->text);
    if (a->bytes == 0 || a->bytes > SEND_MAX) {
        return value_refuse(r, text, "%zu bytes to send; from 1 to %d are possible", a->bytes, SEND_MAX);
    }
    return true;
}

static bool read_save(struct value_reader *r, struct action *a, struct yaml_node *n)
{
    n->outside = true;
    return value_text(r, n, "a file name", &a->text) &&
           (a->text[0] != 0 || value_refuse(r, n, "an empty file name; write where to save"));
}

static bool read_migrate(struct value_reader *r, struct action *a, struct yaml_node *n)
{
    static const char *const keys[] = {"tsc", "time", "invalid"};
    if (!value_keys(r, n, "the new host: tsc, time, invalid", keys, ARRAY_COUNT(keys))) {
        return false;
    }
    const struct yaml_node *tsc = yaml_find(n, "tsc"), *time = yaml_find(n, "time"), *invalid = yaml_find(n, "invalid");
    return (tsc == NULL || value_quantity(r, tsc, &units_frequency, CLOCK_HZ_MIN, CLOCK_HZ_MAX, &a->migrate.tsc_hz)) &&
           (time == NULL || value_moment(r, time, &a->migrate.away)) &&
           (invalid == NULL || value_switch(r, invalid, &a->migrate.page_invalid));
}

/* ---- the host at the SynIC ---- */

static bool required(struct value_reader *r, const struct yaml_node *n, const char *key, uint64_t min, uint64_t max,
                     uint32_t *value)
{
    const struct yaml_node *found = yaml_find(n, key);
    uint64_t number = 0;
    if (found == NULL) {
        return value_refuse(r, n, "this action lacks %s", quote_text(key).text);
    }
    if (!value_quantity(r, found, &units_integer, min, max, &number)) {
        return false;
    }
    *value = (uint32_t)number;
    return true;
}

/* "48 65 6c": bytes in hexadecimal, two digits each, blanks between them as one likes. */
static bool read_payload(struct value_reader *r, struct action *a, const struct yaml_node *n)
{
    const char *text;
    if (n == NULL) {
        return true;
    }
    if (!value_text(r, n, "bytes in hexadecimal, such as \"48 65 6c\"", &text)) {
        return false;
    }
    while (*(text += strspn(text, " ")) != 0) {
        char digits[3] = {text[0], text[1], 0};
        if (strspn(digits, "0123456789abcdefABCDEF") != 2) {
            return value_refuse(r, n, "the payload holds %s; write bytes of two hexadecimal digits, such as \"48 65 6c\"",
                                quote_text(digits).text);
        }
        if (a->host.bytes == MESSAGE_PAYLOAD_MAX) {
            return value_refuse(r, n, "the payload is too long; a message holds at most %d bytes", MESSAGE_PAYLOAD_MAX);
        }
        a->host.payload[a->host.bytes++] = (uint8_t)strtoul(digits, NULL, 16);
        text += 2;
    }
    return true;
}

static bool read_post(struct value_reader *r, struct action *a, struct yaml_node *n)
{
    static const char *const keys[] = {"vp", "sint", "type", "payload"};
    return value_keys(r, n, "a message: vp, sint, type, payload", keys, ARRAY_COUNT(keys)) &&
           required(r, n, "vp", 0, 239, &a->host.vp) && required(r, n, "sint", 1, 15, &a->host.sint) &&
           required(r, n, "type", 1, HV_MESSAGE_TYPE_HYPERVISOR_MASK - 1, &a->host.type) &&
           read_payload(r, a, yaml_find(n, "payload"));
}

static bool read_signal(struct value_reader *r, struct action *a, struct yaml_node *n)
{
    static const char *const keys[] = {"vp", "sint", "flag"};
    return value_keys(r, n, "an event: vp, sint, flag", keys, ARRAY_COUNT(keys)) && required(r, n, "vp", 0, 239, &a->host.vp) &&
           required(r, n, "sint", 1, 15, &a->host.sint) && required(r, n, "flag", 0, 2047, &a->host.flag);
}

static bool read_hold_slot(struct value_reader *r, struct action *a, struct yaml_node *n)
{
    static const char *const keys[] = {"vp", "sint", "for"};
    const struct yaml_node *length = yaml_find(n, "for");
    return value_keys(r, n, "a message slot: vp, sint, for", keys, ARRAY_COUNT(keys)) &&
           required(r, n, "vp", 0, 239, &a->host.vp) && required(r, n, "sint", 0, 15, &a->host.sint) &&
           (length != NULL || value_refuse(r, n, "this action lacks \"for\": how long, such as 10 ms")) &&
           value_moment(r, length, &a->host.length);
}

static bool read_connection(struct value_reader *r, struct action *a, struct yaml_node *n)
{
    uint64_t connection = 0;
    bool ok = value_quantity(r, n, &units_integer, 0, PORT_ID_MAX, &connection);
    a->host.connection = (uint32_t)connection;
    return ok;
}

/* ---- all ---- */

static const struct {
    const char *name, *shape;
    enum action_kind kind;
    bool (*read)(struct value_reader *r, struct action *a, struct yaml_node *n);
} actions[] = {
    {"stop", "stop", ACTION_STOP, read_stop},
    {"send", "{ send: TEXT }", ACTION_SEND, read_send},
    {"save", "{ save: FILE }", ACTION_SAVE, read_save},
    {"migrate", "{ migrate: { tsc: RATE } }", ACTION_MIGRATE, read_migrate},
    {"post", "{ post: { vp, sint, type, payload } }", ACTION_POST, read_post},
    {"signal", "{ signal: { vp, sint, flag } }", ACTION_SIGNAL, read_signal},
    {"hold-slot", "{ hold-slot: { vp, sint, for } }", ACTION_HOLD_SLOT, read_hold_slot},
    {"delete-port", "{ delete-port: CONNECTION }", ACTION_DELETE_PORT, read_connection},
    {"disconnect", "{ disconnect: CONNECTION }", ACTION_DISCONNECT, read_connection},
};

static bool unknown(struct value_reader *r, const struct yaml_node *n)
{
    char list[400];
    size_t used = 0;
    for (size_t i = 0; i < ARRAY_COUNT(actions) && used < sizeof list; i++) {
        const char *between = i == 0 ? "" : i + 1 < ARRAY_COUNT(actions) ? ", " : " or ";
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", between, actions[i].shape);
    }
    const struct yaml_node *named = n->kind == YAML_IS_MAPPING && n->count > 0 ? yaml_key(n, 0) : n;
    return value_refuse(r, n, "%s is no action; expected %s",
                        named->kind == YAML_IS_SCALAR ? quote_text(named->text).text : "this", list);
}

bool script_action_read(struct value_reader *r, struct action *a, struct yaml_node *n)
{
    *a = (struct action){.where = n};
    if (n->kind == YAML_IS_SCALAR && strcmp(n->text, "stop") == 0) {
        a->kind = ACTION_STOP;
        return true;
    }
    for (size_t i = 0; n->kind == YAML_IS_MAPPING && n->count == 1 && i < ARRAY_COUNT(actions); i++) {
        if (strcmp(yaml_key(n, 0)->text, actions[i].name) == 0) {
            a->kind = actions[i].kind;
            return actions[i].read(r, a, yaml_value(n, 0));
        }
    }
    return unknown(r, n);
}
