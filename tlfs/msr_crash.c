/* Synthetic MSRs by which a guest reports that it has crashed. TLFS 6.0b §4.3.
 *
 * Invariants: the parameters are plain storage of the partition; reading the control register shows what can be done.
 */
#include "tlfs/hypervisor.h"
#include "tlfs/msr.h"

#define CRASH_NOTIFY (1ULL << 63)
#define CRASH_MESSAGE (1ULL << 62)
enum { CRASH_MESSAGE_BYTES_MAX = 4096 };

static uint64_t crash_capabilities(const struct partition *p)
{
    return p->profile.edition >= EDITION_6_0 ? CRASH_NOTIFY | CRASH_MESSAGE : CRASH_NOTIFY;
}

enum msr_outcome read_crash_ctl(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t *value)
{
    *value = crash_capabilities(p);
    return MSR_OK;
}

/* The report is a trace event; who listens to it may read the message, whose length is cut at what the text allows. */
enum msr_outcome write_crash_ctl(struct partition *p, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
    if (value & CRASH_NOTIFY) {
        const uint64_t *c = p->registers.crash;
        uint64_t bytes = value & crash_capabilities(p) & CRASH_MESSAGE ? c[4] : 0;
        bytes = bytes > CRASH_MESSAGE_BYTES_MAX ? CRASH_MESSAGE_BYTES_MAX : bytes;
        TRACE(p->machine->trace, crash_report, hv_vp_index(vp), c[0], c[1], c[2], c[3], c[4], bytes);
    }
    return MSR_OK;
}
