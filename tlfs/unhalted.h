/* The synthetic time-unhalted timer of one VP. TLFS 6.0b §12.6. */
#ifndef ORRERY_TLFS_UNHALTED_H
#define ORRERY_TLFS_UNHALTED_H

#include "cpu/cpu.h"

struct hv_vp;

struct unhalted_timer {
    uint64_t config, count;
    uint64_t due_100ns;     /* of the VP's run time */
    uint64_t due_run_cycle; /* the same in cycles that it ran; CYCLE_NEVER: stopped. Derived */
};

void unhalted_reset(struct hv_vp *vp);
void unhalted_state(struct state *s, struct hv_vp *vp);
/* After a run: the VP's run time has moved. */
void unhalted_look(struct hv_vp *vp);

#endif
