/* Reference time's beginning, and what live migration does to it: another TSC rate, a new line on the TSC page, emulation of
 * the old rate until the guest releases it, the reenlightenment interrupt. TLFS 6.0b §12.7.3, §16.6.
 *
 * Invariants: reference time and the TSC never go back, and never jump: a change of rate begins where the old line ends. What
 * the page's formula makes of the TSC that the guest reads is always what the counter's MSR reads: so while the old rate is
 * emulated the old line stays, and the sequence moves when the TSC does. Sequences 0 and 0xFFFFFFFF are never published as
 * valid. Leaves out: moving memory and devices, which stay where they are.
 */
#include "cpu/lapic.h"
#include "tlfs/hypervisor.h"

enum { REENLIGHTENMENT_ENABLED = 1 << 16 };

static void sequence_next(struct partition *p)
{
    p->reference_sequence++;
    if (p->reference_sequence == 0 || p->reference_sequence == UINT32_MAX) {
        p->reference_sequence = 1;
    }
}

void reference_time_start(struct partition *p)
{
    struct vp_state s;
    vp_get_state(p->vps[0].vcpu, &s);
    p->reference = reference_time_init(cpu_tsc(p->cpu), s.tsc_offset, 0);
    p->reference_page_invalid = false;
    p->reference_sequence = 1;
}

bool tsc_emulated(const struct partition *p)
{
    return cpu_tsc(p->cpu)->hz != p->host_tsc_hz;
}

/* The guest's TSC takes the host's rate. */
static void rate_take(struct partition *p)
{
    cpu_set_tsc_rate(p->cpu, p->host_tsc_hz);
    p->reference = reference_time_at_rate(&p->reference, cpu_tsc(p->cpu), machine_now(p->machine));
    if (!p->enlightened) {
        return;
    }
    sequence_next(p);
    reference_tsc_page_update(p);
    for (unsigned i = 0; i < p->vp_count; i++) {
        stimers_rearm(&p->vps[i]);
    }
    reference_time_check(p);
    TRACE(p->machine->trace, tsc_rate, TRACE_NO_VP, p->host_tsc_hz, partition_reference_time(p), p->reference_sequence);
}

void tsc_emulation_end(struct partition *p)
{
    if (tsc_emulated(p)) {
        rate_take(p);
    }
}

static void page_validity(struct partition *p, bool invalid)
{
    if (p->reference_page_invalid != invalid) {
        p->reference_page_invalid = invalid;
        sequence_next(p);
        reference_tsc_page_update(p);
    }
}

uint64_t partition_tsc_hz(const struct partition *p)
{
    return cpu_tsc(p->cpu)->hz;
}

bool partition_shows_invariant_tsc(const struct partition *p)
{
    return model_has(&p->cpu_config.model, FEAT_INVARIANT_TSC) &&
           (!profile_has(&p->profile, HV_AccessTscInvariantControls) || p->registers.tsc_invariant_control);
}

void partition_migrate(struct partition *p, const struct migration *m)
{
    uint64_t now = machine_now(p->machine), reenlightenment = p->registers.reenlightenment_control;
    p->host_tsc_hz = m->tsc_hz != 0 ? m->tsc_hz : p->host_tsc_hz;
    p->away_until = m->away_cycles < CYCLE_NEVER - now ? now + m->away_cycles : CYCLE_NEVER;
    if (!(p->registers.tsc_emulation_control & 1)) {
        tsc_emulation_end(p);
    }
    if (p->enlightened) {
        page_validity(p, m->page_invalid);
        if (reenlightenment & REENLIGHTENMENT_ENABLED) {
            lapic_interrupt(p->vps[reenlightenment >> 32].vcpu, (uint8_t)reenlightenment, false);
        }
    }
    TRACE(p->machine->trace, migration, TRACE_NO_VP, p->host_tsc_hz, m->away_cycles, tsc_emulated(p), p->reference_sequence);
}

void reference_time_check(const struct partition *p)
{
    const struct reference_page page = reference_tsc_page(p);
    uint64_t now = machine_now(p->machine), time = reference_time_at(&p->reference, now);
    uint64_t tsc = reference_tsc_at(&p->reference, now);
    assert(p->reference.tsc.hz == cpu_tsc(p->cpu)->hz && p->reference.tsc.base_cycle == cpu_tsc(p->cpu)->base_cycle);
    if (page.sequence != 0) {
        assert((uint64_t)((unsigned __int128)tsc * page.scale >> 64) + page.offset == time);
    }
    if (tsc < CLOCK_CYCLE_MAX) { /* beyond, the clock of a hostile state is about to wrap */
        uint64_t first = reference_time_cycle(&p->reference, time);
        assert(first <= now && (first == p->reference.tsc.base_cycle || reference_time_at(&p->reference, first - 1) < time));
        (void)first;
    }
}

void migration_state(struct state *s, struct partition *p)
{
    struct reference_time *r = &p->reference;
    state_u64(s, &r->tsc_offset);
    state_u64(s, &r->offset_100ns);
    state_u64_in(s, &p->host_tsc_hz, CLOCK_HZ_MIN, CLOCK_HZ_MAX, "the host's TSC rate");
    state_u32_in(s, &p->reference_sequence, 1, UINT32_MAX - 1, "the TSC page's sequence");
    state_bool(s, &p->reference_page_invalid);
    if (state_restoring(s)) {
        uint64_t origin = 0 - r->tsc_offset, ahead = r->offset_100ns + CLOCK_CYCLE_MAX;
        if (origin > tsc_at(cpu_tsc(p->cpu), machine_now(p->machine)) || ahead > 2 * CLOCK_CYCLE_MAX) {
            state_fail(s, "reference time that no migration leads to");
            r->tsc_offset = r->offset_100ns = 0;
        }
        *r = reference_time_init(cpu_tsc(p->cpu), r->tsc_offset, r->offset_100ns);
        if (p->enlightened) {
            reference_tsc_page_update(p);
        }
    }
}
