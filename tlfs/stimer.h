/* Synthetic timers of one VP. TLFS 6.0b §12.1, §12.2, §12.5.
 *
 * Four timers a VP, each one-shot or periodic. Expiry raises an edge interrupt in the VP's local APIC (direct mode) or sends a
 * message to one of its SINTs, for which each timer has one buffer: what expires while its last message still waits replaces
 * it.
 */
#ifndef ORRERY_TLFS_STIMER_H
#define ORRERY_TLFS_STIMER_H

#include "cpu/cpu.h"

struct partition;
struct hv_vp;

enum { STIMERS = 4 };

struct stimer {
    uint64_t config, count;
    uint64_t due_100ns; /* of an enabled timer: when it expires next */
};
/* Who an event belongs to; borrowed by the event queue. */
struct stimer_source {
    struct hv_vp *vp;
    uint8_t timer;
    int event;
};

void stimers_create(struct partition *p, struct hv_vp *vp);
void stimers_reset(struct hv_vp *vp);
enum msr_outcome stimer_write_config(struct partition *p, struct hv_vp *vp, unsigned timer, uint64_t value);
enum msr_outcome stimer_write_count(struct partition *p, struct hv_vp *vp, unsigned timer, uint64_t value);
/* Reference time runs on another line: what is armed expires where that line says. */
void stimers_rearm(struct hv_vp *vp);
void stimers_state(struct state *s, struct hv_vp *vp);

#endif
