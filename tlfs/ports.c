/* Ports and connections. TLFS 6.0b §11.6, §11.11. See ports.h.
 *
 * Invariants: configurations never change after creation; deleted and disconnected are the whole state, beside the buffers that
 * wait (messages.c). Statuses come in the order of the tables of §11.11.1 and §11.11.2, and a refused call changes nothing. A
 * message for HV_ANY_VP goes to the lowest VP that takes messages. Leaves out: monitor ports, and the hypercalls of parents.
 */
#include "tlfs/ports.h"

#include <stdlib.h>

#include <string.h>

#include "tlfs/hypervisor.h"

struct port {
    struct port_config config;
    uint32_t buffers; /* the first of PORT_BUFFERS, for messages to the guest */
    bool deleted, disconnected;
};

/* ---- life ---- */

static const char *config_fault(const struct partition *p, const struct port_config *c)
{
    if (p->ports.count == PORTS_MAX) {
        return "too many ports";
    }
    if (c->id > PORT_ID_MAX || (c->connection > PORT_ID_MAX && c->connection != PORT_NO_CONNECTION)) {
        return "ids of ports and connections have 24 bits";
    }
    for (uint32_t i = 0; c->connection != PORT_NO_CONNECTION && i < p->ports.count; i++) {
        if (p->ports.port[i].config.connection == c->connection) {
            return "two ports have one connection";
        }
    }
    /* §11.10.1: SINT0 is the hypervisor's own */
    if (!c->hosts && (c->sint == 0 || c->sint >= SINTS)) {
        return "a port's SINT is 1 to 15";
    }
    if (c->type == PORT_EVENT &&
        (c->flag_count == 0 || c->base_flag >= EVENT_FLAGS || c->flag_count > EVENT_FLAGS - c->base_flag)) {
        return "an event port has one flag or more, all below 2048";
    }
    return NULL;
}

int port_create(struct partition *p, const struct port_config *config, const char **why)
{
    *why = p->enlightened ? config_fault(p, config) : "there is no hypervisor to have ports";
    if (*why != NULL) {
        return -1;
    }
    struct port *more = realloc(p->ports.port, (p->ports.count + 1) * sizeof *more);
    *why = "the host has no memory left";
    if (more == NULL) {
        return -1;
    }
    p->ports.port = more;
    struct port *port = &more[p->ports.count];
    *port = (struct port){.config = *config, .buffers = BUFFER_NONE};
    if (config->type == PORT_MESSAGE && !config->hosts) {
        port->buffers = messages_add_port(p);
        if (port->buffers == BUFFER_NONE) {
            return -1;
        }
    }
    *why = NULL;
    return (int)p->ports.count++;
}

void hv_ports_destroy(struct partition *p)
{
    free(p->ports.port);
    p->ports.port = NULL;
}

void hv_ports_reset(struct partition *p)
{
    for (uint32_t i = 0; i < p->ports.count; i++) {
        p->ports.port[i].deleted = p->ports.port[i].disconnected = false;
    }
}

static struct port *port_of(const struct partition *p, int port)
{
    assert(port >= 0 && (uint32_t)port < p->ports.count);
    return &p->ports.port[port];
}

void port_delete(struct partition *p, int handle)
{
    struct port *port = port_of(p, handle);
    port->deleted = true;
    for (uint32_t i = 0; port->buffers != BUFFER_NONE && i < PORT_BUFFERS; i++) {
        if (p->messages.buffers[port->buffers + i].queued) {
            message_remove(p, port->buffers + i);
        }
    }
}

void port_disconnect(struct partition *p, int port)
{
    port_of(p, port)->disconnected = true;
}

int port_of_connection(const struct partition *p, uint32_t connection)
{
    for (uint32_t i = 0; i < p->ports.count; i++) {
        if (p->ports.port[i].config.connection == connection && !p->ports.port[i].disconnected) {
            return connection == PORT_NO_CONNECTION ? -1 : (int)i;
        }
    }
    return -1;
}

/* ---- targets ---- */

/* What a VP must have to be a target: SynIC and SIM page, or SynIC and SIEF page with the SINT unmasked. */
typedef hv_status_t takes_fn(const struct hv_vp *vp, unsigned sint);

static hv_status_t takes_message(const struct hv_vp *vp, unsigned sint)
{
    return synic_takes_messages(vp);
}

static hv_status_t target(struct partition *p, uint32_t vp, uint32_t sint, takes_fn *takes, struct hv_vp **found)
{
    if (vp != HV_ANY_VP) {
        if (vp >= p->vp_count) {
            return HV_STATUS_INVALID_VP_INDEX;
        }
        *found = &p->vps[vp];
        return takes(*found, sint);
    }
    for (unsigned i = 0; i < p->vp_count; i++) {
        *found = &p->vps[i];
        if (takes(*found, sint) == HV_STATUS_SUCCESS) {
            return HV_STATUS_SUCCESS;
        }
    }
    return HV_STATUS_INVALID_SYNIC_STATE;
}

/* ---- messages, §11.11.1 ---- */

static hv_status_t message_check(uint32_t type, uint32_t bytes)
{
    bool right = type != HV_MESSAGE_TYPE_NONE && !(type & HV_MESSAGE_TYPE_HYPERVISOR_MASK) && bytes <= MESSAGE_PAYLOAD_MAX;
    return right ? HV_STATUS_SUCCESS : HV_STATUS_INVALID_PARAMETER;
}

static struct hv_message message_of(uint32_t type, uint32_t origin, const void *payload, uint32_t bytes)
{
    struct hv_message m = {.type = type, .payload_bytes = (uint8_t)bytes, .origin = origin};
    memcpy(m.payload, payload, bytes);
    return m;
}

/* A message that is in order, to a SINT, through one of sixteen buffers. */
static hv_status_t queue_message(struct partition *p, uint32_t buffers, uint32_t vp, uint32_t sint, const struct hv_message *m)
{
    uint32_t buffer = message_buffer_free(p, buffers);
    if (buffer == BUFFER_NONE) {
        return HV_STATUS_INSUFFICIENT_BUFFERS;
    }
    struct hv_vp *to = NULL;
    hv_status_t status = target(p, vp, sint, takes_message, &to);
    if (status == HV_STATUS_SUCCESS) {
        TRACE(p->machine->trace, message_post, hv_vp_index(to), sint, m->type, m->payload_bytes, m->origin);
        p->messages.buffers[buffer].message = *m;
        synic_enqueue(to, sint, buffer);
    }
    return status;
}

hv_status_t port_post(struct partition *p, int handle, uint32_t type, const void *payload, uint32_t bytes)
{
    const struct port *port = port_of(p, handle);
    const struct port_config *c = &port->config;
    if (port->deleted || c->type != PORT_MESSAGE) {
        return HV_STATUS_INVALID_PORT_ID;
    }
    hv_status_t status = message_check(type, bytes);
    if (status != HV_STATUS_SUCCESS) {
        return status;
    }
    struct hv_message m = message_of(type, c->id, payload, bytes);
    if (!c->hosts) {
        return queue_message(p, port->buffers, c->vp, c->sint, &m);
    }
    status = c->owner.message != NULL ? c->owner.message(c->owner.owner, &m) : HV_STATUS_SUCCESS;
    TRACE(p->machine->trace, message_to_host, TRACE_NO_VP, c->id, type, bytes, status);
    return status;
}

hv_status_t connection_post(struct partition *p, uint32_t connection, uint32_t type, const void *payload, uint32_t bytes)
{
    int port = port_of_connection(p, connection);
    return port < 0 ? HV_STATUS_INVALID_CONNECTION_ID : port_post(p, port, type, payload, bytes);
}

hv_status_t host_post(struct partition *p, uint32_t vp, uint32_t sint, uint32_t type, const void *payload, uint32_t bytes)
{
    hv_status_t status = message_check(type, bytes);
    if (status == HV_STATUS_SUCCESS) {
        struct hv_message m = message_of(type, 0, payload, bytes);
        status = queue_message(p, message_host_buffers(p), vp, sint, &m);
    }
    TRACE(p->machine->trace, host_post, vp, sint, type, bytes, status);
    return status;
}

/* ---- events, §11.11.2 ---- */

static hv_status_t set_flag(struct partition *p, uint32_t vp, uint32_t sint, uint32_t flag)
{
    struct hv_vp *to = NULL;
    hv_status_t status = target(p, vp, sint, synic_takes_events, &to);
    if (status == HV_STATUS_SUCCESS) {
        synic_signal(to, sint, flag);
    }
    return status;
}

hv_status_t port_signal(struct partition *p, int handle, uint32_t flag)
{
    const struct port *port = port_of(p, handle);
    const struct port_config *c = &port->config;
    if (port->deleted || c->type != PORT_EVENT) {
        return HV_STATUS_INVALID_PORT_ID;
    }
    if (flag >= c->flag_count) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    if (!c->hosts) {
        return set_flag(p, c->vp, c->sint, c->base_flag + flag);
    }
    hv_status_t status = c->owner.event != NULL ? c->owner.event(c->owner.owner, c->base_flag + flag) : HV_STATUS_SUCCESS;
    TRACE(p->machine->trace, event_to_host, TRACE_NO_VP, c->id, c->base_flag + flag, status);
    return status;
}

hv_status_t connection_signal(struct partition *p, uint32_t connection, uint32_t flag)
{
    int port = port_of_connection(p, connection);
    return port < 0 ? HV_STATUS_INVALID_CONNECTION_ID : port_signal(p, port, flag);
}

hv_status_t host_signal(struct partition *p, uint32_t vp, uint32_t sint, uint32_t flag)
{
    hv_status_t status = set_flag(p, vp, sint, flag);
    TRACE(p->machine->trace, host_signal, vp, sint, flag, status);
    return status;
}

void host_hold_slot(struct partition *p, uint32_t vp, uint32_t sint, uint64_t until_cycle)
{
    synic_hold_slot(&p->vps[vp], sint, until_cycle);
}

/* ---- save, restore, digest ---- */

static bool buffers_possible(const struct partition *p, const struct port *port)
{
    for (uint32_t i = 0; i < PORT_BUFFERS; i++) {
        const struct message_buffer *b = &p->messages.buffers[port->buffers + i];
        bool fits = b->sint == port->config.sint && (b->vp == port->config.vp || port->config.vp == HV_ANY_VP) &&
                    b->message.origin == port->config.id;
        if (b->queued && (port->deleted || !fits)) {
            return false;
        }
    }
    return true;
}

void hv_ports_state(struct state *s, struct partition *p)
{
    uint32_t count = p->ports.count;
    state_u32_in(s, &count, count, count, "number of ports");
    for (uint32_t i = 0; i < p->ports.count; i++) {
        struct port *port = &p->ports.port[i];
        state_bool(s, &port->deleted);
        state_bool(s, &port->disconnected);
        if (state_restoring(s) && port->buffers != BUFFER_NONE && !buffers_possible(p, port)) {
            state_fail(s, "impossible messages of port 0x%x", port->config.id);
        }
    }
}
