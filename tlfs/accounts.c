/* Accounts of the interface's use, line by line. See accounts.h, and cpu.h's vp_account for exits by reason.
 *
 * Invariants: a line's cycles are its count times what the cost table asks for its kind of exit, which is what the processor
 * charged; refused accesses count, for they cost the same. An EOI that was avoided cost nothing: its line says how often.
 */
#include "tlfs/accounts.h"

#include <string.h>

#include "tlfs/hypercall.h"
#include "tlfs/hypervisor.h"
#include "tlfs/msr.h"

void account_hypercall(struct hv_vp *vp, const struct hypercall_row *row)
{
    size_t index = row != NULL ? (size_t)(row - hv_hypercall_rows) : ACCOUNT_HYPERCALLS_MAX - 1; /* the last: unknown codes */
    assert(index < ACCOUNT_HYPERCALLS_MAX && hv_hypercall_row_count < ACCOUNT_HYPERCALLS_MAX);
    vp->account.calls[index]++;
}

void account_state(struct state *s, struct hv_vp *vp)
{
    for (size_t i = 0; i < hv_msr_row_count; i++) {
        state_u64(s, &vp->account.msr_reads[i]);
        state_u64(s, &vp->account.msr_writes[i]);
    }
    for (size_t i = 0; i < hv_hypercall_row_count; i++) {
        state_u64(s, &vp->account.calls[i]);
    }
    state_u64(s, &vp->account.calls[ACCOUNT_HYPERCALLS_MAX - 1]);
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
        uint64_t count = a->calls[known ? index : ACCOUNT_HYPERCALLS_MAX - 1];
        *line = (struct account_line){.name = known ? hv_hypercall_rows[index].name : "unknown hypercalls",
                                      .kind = "called",
                                      .count = count,
                                      .cycles = count * cost[EXIT_HYPERCALL]};
        return true;
    }
    *line = (struct account_line){.name = "EOI", .kind = "avoided", .count = vp_account(p->vps[vp].vcpu).eois_avoided};
    return index == hv_hypercall_row_count + 1;
}
