/* Synthetic MSRs by which a guest reports that it has crashed. TLFS 6.0b §4.3.
 *
 * Invariants: the parameters are plain storage of the partition; reading the control register shows what can be done.
 * The last report is kept, with a copy of its message, until another comes; a reset of the guest leaves it.
 */
#include <string.h>

#include "tlfs/hypervisor.h"
#include "tlfs/msr.h"

#define CRASH_NOTIFY (1ULL << 63)
#define CRASH_MESSAGE (1ULL << 62)
static uint64_t crash_capabilities(const struct partition *p)
{
    return p->profile.edition >= EDITION_6_0 ? CRASH_NOTIFY | CRASH_MESSAGE : CRASH_NOTIFY;
}

enum msr_outcome read_crash_ctl(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t *value)
{
    *value = crash_capabilities(p);
    return MSR_OK;
}

/* P3 is the message's address, P4 its length, which is cut at what the text allows. One that is not in memory is no message. */
static void message_fetch(struct partition *p, struct crash_report *r)
{
    uint64_t bytes = r->parameter[4] > CRASH_MESSAGE_BYTES_MAX ? CRASH_MESSAGE_BYTES_MAX : r->parameter[4];
    if (partition_gpa_valid(p, r->parameter[3]) && memory_read(p->machine->memory, gpa(r->parameter[3]), r->message, bytes)) {
        r->message_bytes = (uint32_t)bytes;
    }
}

enum msr_outcome write_crash_ctl(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
    if (!(value & CRASH_NOTIFY)) {
        return MSR_OK;
    }
    struct crash_report *r = &p->crash;
    const uint64_t *c = p->registers.crash;
    r->count += r->count < UINT32_MAX;
    r->vp = hv_vp_index(vp);
    memcpy(r->parameter, c, sizeof r->parameter);
    memset(r->message, 0, sizeof r->message);
    r->message_bytes = 0;
    if (value & crash_capabilities(p) & CRASH_MESSAGE) {
        message_fetch(p, r);
    }
    TRACE(p->machine->trace, crash_report, r->vp, c[0], c[1], c[2], c[3], c[4], r->message_bytes);
    return MSR_OK;
}

void crash_state(struct state *s, struct partition *p)
{
    struct crash_report *r = &p->crash;
    state_u32(s, &r->count);
    state_u32_in(s, &r->vp, 0, p->vp_count - 1, "the VP that reported a crash");
    for (unsigned i = 0; i < ARRAY_COUNT(r->parameter); i++) {
        state_u64(s, &r->parameter[i]);
    }
    state_u32_in(s, &r->message_bytes, 0, CRASH_MESSAGE_BYTES_MAX, "bytes of a crash message");
    state_bytes(s, r->message, sizeof r->message);
}
