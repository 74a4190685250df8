/* What each VP used of the hypervisor's interface: accesses by MSR, calls by hypercall. Counted always, for a count costs
 * nothing beside an exit; shown by `orrery run --account`. Saved with the rest, so that a restored run tells all of it. */
#ifndef ORRERY_TLFS_ACCOUNTS_H
#define ORRERY_TLFS_ACCOUNTS_H

#include "machine/types.h"

struct hv_vp;
struct msr_row;
struct hypercall_row;
struct state;

enum { ACCOUNT_MSRS_MAX = 128, ACCOUNT_HYPERCALLS_MAX = 128 };
struct hv_account {
    uint64_t msr_reads[ACCOUNT_MSRS_MAX], msr_writes[ACCOUNT_MSRS_MAX]; /* by row of the tables */
    uint64_t calls[ACCOUNT_HYPERCALLS_MAX], call_cycles[ACCOUNT_HYPERCALLS_MAX];
    uint64_t hypercall_cycles_before; /* the call under way: what had been charged for hypercalls before its exit. Not state */
};

/* A call begins, its exit has just been charged; and it is answered, or will be repeated: `row` NULL, it is unknown. */
void account_hypercall_begins(struct hv_vp *vp);
void account_hypercall(struct hv_vp *vp, const struct hypercall_row *row);
void account_state(struct state *s, struct hv_vp *vp);

#endif
