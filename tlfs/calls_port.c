/* Hypercalls of inter-partition communication: post a message, signal an event. TLFS 6.0b §11.11.
 *
 * Leaves out: what a connection leads to (ports.c), the calls of parents.
 */
#include <string.h>

#include "tlfs/calls.h"
#include "tlfs/hypervisor.h"

/* §11.11.1. The four bytes after the connection are padding, and are not looked at. */
hv_status_t call_post_message(struct hypercall *c)
{
    struct {
        uint32_t connection, padding, type, bytes;
        uint8_t payload[MESSAGE_PAYLOAD_MAX];
    } in;
    memcpy(&in, c->input, sizeof in);
    return connection_post(c->p, in.connection, in.type, in.payload, in.bytes);
}

/* §11.11.2. RsvdZ after the flag number: as a flag number that no port has. */
hv_status_t call_signal_event(struct hypercall *c)
{
    struct {
        uint32_t connection;
        uint16_t flag, reserved;
    } in;
    memcpy(&in, c->input, sizeof in);
    return connection_signal(c->p, in.connection, (uint32_t)in.reserved << 16 | in.flag);
}
