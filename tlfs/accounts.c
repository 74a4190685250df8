/* Accounts of the interface's use, line by line. See accounts.h, and cpu.h's vp_account for exits by reason.
 *
 * Invariants: an MSR's cycles are its count times what the cost table asks for the exit, a hypercall's are what was charged
 * from its exit to its answer; refused accesses and calls count, for they cost the same, but a call that raises an exception
 * has no line. An EOI that was avoided cost nothing: its line says how often.
 */
#include "tlfs/accounts.h"

#include <string.h>

#include "tlfs/hypercall.h"
#include "tlfs/hypervisor.h"
#include "tlfs/msr.h"

void account_hypercall_begins(struct hv_vp *vp)
{
    uint64_t now = vp_event_cycles(vp->vcpu, EXIT_HYPERCALL), exit = vp->partition->cpu_config.cost->event[EXIT_HYPERCALL];
    vp->account.hypercall_cycles_before = now > exit ? now - exit : 0;
}

void account_hypercall(struct hv_vp *vp, const struct hypercall_row *row)
{
    size_t index = row != NULL ? (size_t)(row - hv_hypercall_rows) : ACCOUNT_HYPERCALLS_MAX - 1; /* the last: unknown codes */
    assert(index < ACCOUNT_HYPERCALLS_MAX && hv_hypercall_row_count < ACCOUNT_HYPERCALLS_MAX);
    vp->account.calls[index]++;
    vp->account.call_cycles[index] += vp_event_cycles(vp->vcpu, EXIT_HYPERCALL) - vp->account.hypercall_cycles_before;
}

/* Saved and restored, but no part of a digest: the guest cannot see it, and a refused access leaves all that it sees as it was.
 */
void account_state(struct state *s, struct hv_vp *vp)
{
    if (state_mode(s) == STATE_DIGEST) {
        return;
    }
    for (size_t i = 0; i < hv_msr_row_count; i++) {
        state_u64(s, &vp->account.msr_reads[i]);
        state_u64(s, &vp->account.msr_writes[i]);
    }
    for (size_t i = 0; i < hv_hypercall_row_count; i++) {
        state_u64(s, &vp->account.calls[i]);
        state_u64(s, &vp->account.call_cycles[i]);
    }
    state_u64(s, &vp->account.calls[ACCOUNT_HYPERCALLS_MAX - 1]);
    state_u64(s, &vp->account.call_cycles[ACCOUNT_HYPERCALLS_MAX - 1]);
}

bool partition_account_line(const struct partition *p, unsigned vp, size_t index, struct account_line *line)
{
    const struct hv_account *a = &p->vps[vp].account;
    const uint16_t *cost = p->cpu_config.cost->event;
    if (index < 2 * hv_msr_row_count) {
        size_t row = index / 2;
        bool write = index % 2;
        uint64_t count = write ? a->msr_writes[row] : a->msr_reads[row];
        *line = (struct account_line){.name = hv_msr_rows[row].name,
                                      .kind = write ? "written" : "read",
                                      .count = count,
                                      .cycles = count * cost[write ? EXIT_WRMSR : EXIT_RDMSR]};
        return true;
    }
    index -= 2 * hv_msr_row_count;
    if (index <= hv_hypercall_row_count) {
        bool known = index < hv_hypercall_row_count;
        size_t entry = known ? index : ACCOUNT_HYPERCALLS_MAX - 1;
        *line = (struct account_line){.name = known ? hv_hypercall_rows[index].name : "unknown hypercalls",
                                      .kind = "called",
                                      .count = a->calls[entry],
                                      .cycles = a->call_cycles[entry]};
        return true;
    }
    *line = (struct account_line){.name = "EOI", .kind = "avoided", .count = vp_account(p->vps[vp].vcpu).eois_avoided};
    return index == hv_hypercall_row_count + 1;
}
