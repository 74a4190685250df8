/* Ports and connections: how messages and events enter and leave a partition. TLFS 6.0b §11.6, §11.10.6-11.10.8, §11.11.
 *
 * A port of the guest names a VP and a SINT: what is sent to it becomes a message or an event flag there. A port of the host
 * has an owner, whose functions are called. A connection is the id by which the guest sends; the host sends by the port's
 * handle. All ports are created before the first run and in the same order for equal partitions; what happens to them later is
 * state.
 */
#ifndef ORRERY_TLFS_PORTS_H
#define ORRERY_TLFS_PORTS_H

#include "tlfs/message.h"
#include "tlfs/partition.h"
#include "tlfs/status.h"

enum { PORTS_MAX = 4096, PORT_ID_MAX = 0xffffff };
#define HV_ANY_VP 0xffffffffu
#define PORT_NO_CONNECTION UINT32_MAX
enum port_type { PORT_MESSAGE = 1, PORT_EVENT = 2 }; /* HV_PORT_TYPE */

/* Whose port it is, and what is sent to it; called inside the guest's hypercall, whose status is the answer. `owner` is
 * borrowed. A function may be NULL: then everything is accepted and only the trace tells of it. */
struct port_owner {
    void *owner;
    hv_status_t (*message)(void *owner, const struct hv_message *m);
    hv_status_t (*event)(void *owner, uint32_t flag); /* base flag number added */
};

struct port_config {
    enum port_type type;
    uint32_t connection; /* 0-PORT_ID_MAX, or PORT_NO_CONNECTION: only the host sends */
    uint32_t id;         /* HV_PORT_ID: the origination id of its messages */
    bool hosts;          /* of the host, with `owner`; else of the guest, with vp and sint */
    struct port_owner owner;
    uint32_t vp; /* or HV_ANY_VP; one that is not there makes the port a dead end (HV_STATUS_INVALID_VP_INDEX) */
    uint32_t sint;
    uint32_t base_flag, flag_count; /* events; together at most EVENT_FLAGS */
};

/* A handle (>= 0), or -1 with *why set. */
int port_create(struct partition *p, const struct port_config *config, const char **why);
/* What still waits in the port's buffers is gone; connections to it lead nowhere (§11.3.6). Until the next reset. */
void port_delete(struct partition *p, int port);
/* The connection is unknown from now on; what was posted stays (§11.3.6). Until the next reset. */
void port_disconnect(struct partition *p, int port);
/* The port that a connection leads to, or -1. */
int port_of_connection(const struct partition *p, uint32_t connection);

/* HvPostMessage and HvSignalEvent after their privilege check; statuses in the order of the texts' tables. */
hv_status_t connection_post(struct partition *p, uint32_t connection, uint32_t type, const void *payload, uint32_t bytes);
hv_status_t connection_signal(struct partition *p, uint32_t connection, uint32_t flag);
/* The same from the host, by handle. */
hv_status_t port_post(struct partition *p, int port, uint32_t type, const void *payload, uint32_t bytes);
hv_status_t port_signal(struct partition *p, int port, uint32_t flag);

/* ---- the host without a port: a scenario's actions ---- */

/* Through sixteen buffers of its own, with origination id 0. */
hv_status_t host_post(struct partition *p, uint32_t vp, uint32_t sint, uint32_t type, const void *payload, uint32_t bytes);
hv_status_t host_signal(struct partition *p, uint32_t vp, uint32_t sint, uint32_t flag);
/* The slot counts as busy before that cycle. */
void host_hold_slot(struct partition *p, uint32_t vp, uint32_t sint, uint64_t until_cycle);

#endif
