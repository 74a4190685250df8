/* Hypercalls of guest debugging. TLFS 2.0a §20; TLFS 6.0b lists them without a section.
 *
 * A session of a partition whose debugger has not connected yet: what is posted waits in a buffer of two blocks, nothing ever
 * arrives. Since nobody reads it, the number of bytes that wait is the session's whole state. "Loop" is a hint that lets the
 * hypervisor hold the VP; it returns at once. Leaves out: a connection to a debugger.
 */
#include "tlfs/calls.h"
#include "tlfs/hypervisor.h"

enum { HV_DEBUG_MAXIMUM_DATA_SIZE = 4088 };
static_assert((int)DEBUG_BUFFER_BYTES >= (int)HV_DEBUG_MAXIMUM_DATA_SIZE, "§20.1.1: at least one block of the greatest size");
enum { DEBUG_COUNT = 0, DEBUG_OPTIONS = 4, DEBUG_DATA = 8, RESET_OPTIONS = 0 };
enum { HV_DEBUG_POST_LOOP = 1, HV_DEBUG_RETRIEVE_LOOP = 1, HV_DEBUG_RETRIEVE_TEST_ACTIVITY = 2 };
enum { HV_DEBUG_PURGE_INCOMING_DATA = 1, HV_DEBUG_PURGE_OUTGOING_DATA = 2 };

/* §20.3.1. All of the block, or nothing. The data must lie in the page of the parameters. */
hv_status_t call_post_debug_data(struct hypercall *c)
{
    uint32_t count = call_u32(c->input, DEBUG_COUNT), options = call_u32(c->input, DEBUG_OPTIONS);
    if (options & ~(uint32_t)HV_DEBUG_POST_LOOP || count > HV_DEBUG_MAXIMUM_DATA_SIZE ||
        DEBUG_DATA + count > c->input_room_bytes) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    if (count > DEBUG_BUFFER_BYTES - c->p->debug_pending_bytes) {
        return HV_STATUS_INSUFFICIENT_BUFFERS;
    }
    c->p->debug_pending_bytes += count;
    call_put_u32(c->output, 0, c->p->debug_pending_bytes);
    return HV_STATUS_SUCCESS;
}

/* §20.3.2. The test of activity comes "before it does any other processing" of data. */
hv_status_t call_retrieve_debug_data(struct hypercall *c)
{
    uint32_t count = call_u32(c->input, DEBUG_COUNT), options = call_u32(c->input, DEBUG_OPTIONS);
    uint32_t known = HV_DEBUG_RETRIEVE_LOOP | HV_DEBUG_RETRIEVE_TEST_ACTIVITY;
    if (options & ~known || count > HV_DEBUG_MAXIMUM_DATA_SIZE) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    return options & HV_DEBUG_RETRIEVE_TEST_ACTIVITY ? HV_STATUS_INACTIVE : HV_STATUS_NO_DATA;
}

/* §20.3.3 */
hv_status_t call_reset_debug_session(struct hypercall *c)
{
    uint32_t options = call_u32(c->input, RESET_OPTIONS);
    uint32_t known = HV_DEBUG_PURGE_INCOMING_DATA | HV_DEBUG_PURGE_OUTGOING_DATA;
    if (options == 0 || options & ~known) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    bool purged = options & HV_DEBUG_PURGE_OUTGOING_DATA && c->p->debug_pending_bytes != 0;
    if (purged) {
        c->p->debug_pending_bytes = 0;
    }
    return purged ? HV_STATUS_SUCCESS : HV_STATUS_NO_DATA;
}
