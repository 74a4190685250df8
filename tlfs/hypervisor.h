/* Inside the hypervisor: what the files of tlfs/ share about a partition and its VPs. Private to tlfs/.
 *
 * Invariants: every register value here is one that some guest's writes can produce; overlays follow their MSRs; nothing holds
 * time but cycles and 100 ns units of the partition's own clock. Plain registers lie in structs so that the MSR table can name
 * them by offset.
 */
#ifndef ORRERY_TLFS_HYPERVISOR_H
#define ORRERY_TLFS_HYPERVISOR_H

#include "machine/prng.h"
#include "tlfs/accounts.h"
#include "tlfs/adversary.h"
#include "tlfs/messages.h"
#include "tlfs/overlays.h"
#include "tlfs/partition.h"
#include "tlfs/ports.h"
#include "tlfs/reference_time.h"
#include "tlfs/stimer.h"
#include "tlfs/synic.h"
#include "tlfs/trace_ids.h"
#include "tlfs/unhalted.h"

enum { DEBUG_BUFFER_BYTES = 8176 };
enum { VPS_MAX = 240, CRASH_PARAMETERS = 5, STATISTICS_PAGES = 2, DEBUG_REGISTERS = 5, DEFAULT_TURN_CYCLES = 10000 };

#define HV_PARTITION_ID_SELF UINT64_MAX
#define HV_VP_INDEX_SELF 0xfffffffeu

/* Synthetic registers of the partition. TLFS 6.0b appendix C. */
struct partition_registers {
    uint64_t guest_os_id;
    struct overlay_register hypercall, reference_tsc;
    struct overlay_register statistics[STATISTICS_PAGES]; /* retail, internal */
    uint64_t crash[CRASH_PARAMETERS];
    uint64_t debug[DEBUG_REGISTERS];
    uint64_t reenlightenment_control, tsc_emulation_control, tsc_invariant_control;
};
struct vp_registers {
    struct overlay_register assist;
    struct overlay_register statistics[STATISTICS_PAGES];
    struct synic_registers synic;
    struct stimer stimer[STIMERS];
    struct unhalted_timer unhalted;
};

struct hv_vp {
    struct partition *partition;
    struct vcpu *vcpu;
    struct vp_registers registers;
    struct stimer_source timer_source[STIMERS];
    struct synic synic;
    uint64_t run_cycles; /* the clock moved so far while this VP ran */
    struct hv_account account;
};

struct partition {
    struct machine *machine;
    struct cpu *cpu;
    struct cpu_config cpu_config;
    struct cpu_hooks hooks;
    struct {
        void *owner;
        void (*eoi)(void *owner, uint8_t vector);
        uint8_t (*extint_acknowledge)(void *owner);
    } platform;       /* NULL until partition_wire_platform() */
    bool enlightened; /* a profile is shown */
    struct profile profile;

    struct partition_registers registers;
    struct crash_report crash;
    struct reference_time reference;
    uint64_t host_tsc_hz;        /* what the processor below has; the guest's differs while it is emulated */
    uint32_t reference_sequence; /* of the TSC page, when it is valid */
    bool reference_page_invalid;
    struct messages messages;
    struct {
        struct port *port;
        uint32_t count;
    } ports; /* ports.c */

    /* Turns, turns.c. */
    uint64_t turn_cycles;
    uint32_t turn_vp;                    /* whose turn it is, or was last */
    uint64_t turn_end;                   /* the turn is over at this cycle */
    uint64_t away_until;                 /* no VP runs before this cycle */
    uint64_t awake[(VPS_MAX + 63) / 64]; /* bit clear: that VP is not runnable. Rebuilt, not saved */
    struct hv_vp *running;               /* inside vp_run() */
    uint64_t running_since;
    bool pause_requested;

    /* How far a rep hypercall gets before it returns to be repeated, hypercall.c. */
    uint32_t rep_elements_max;
    bool rep_stop_random;
    struct prng rep_prng;

    int statistics_event;         /* statistics.c; there is one where the registers are announced */
    uint32_t debug_pending_bytes; /* posted to the debugger, calls_debug.c */
    struct adversary adversary;

    unsigned vp_count;
    struct hv_vp vps[];
};

static inline struct hv_vp *hv_vp_of(struct partition *p, const struct vcpu *vcpu)
{
    return &p->vps[vp_index(vcpu)];
}
static inline unsigned hv_vp_index(const struct hv_vp *vp)
{
    return vp_index(vp->vcpu);
}
static inline uint64_t partition_reference_time(const struct partition *p)
{
    return reference_time_at(&p->reference, machine_now(p->machine));
}

/* ---- turns.c ---- */
void turns_reset(struct partition *p);
void turns_state(struct state *s, struct partition *p);
/* hooks.activity: this VP may have become runnable. */
void turns_activity(struct partition *p, struct vcpu *vcpu);
/* The running VP gives up the rest of its turn at the next boundary. */
void turns_yield(struct partition *p);
/* events_watch() and machine->end_requested */
void turns_event_earlier(void *partition, uint64_t cycle);
void turns_end_requested(void *partition);
/* HV_X64_MSR_VP_RUNTIME in 100 ns units, TLFS 6.0b §7.9.1. */
uint64_t turns_vp_runtime(const struct partition *p, const struct hv_vp *vp);

/* ---- cpuid.c, msr.c, hypercall.c: the hooks ---- */
void hv_cpuid(void *partition, struct vcpu *vcpu, uint32_t leaf, uint32_t subleaf, struct cpuid_result *r);
enum msr_outcome hv_rdmsr(void *partition, struct vcpu *vcpu, uint32_t msr, uint64_t *value);
enum msr_outcome hv_wrmsr(void *partition, struct vcpu *vcpu, uint32_t msr, uint64_t value);
int hv_hypercall(void *partition, struct vcpu *vcpu, bool is_vmcall, bool *again);

/* ---- msr_crash.c ---- */
void crash_state(struct state *s, struct partition *p);

/* ---- ports.c ---- */
void hv_ports_destroy(struct partition *p);
void hv_ports_reset(struct partition *p);
void hv_ports_state(struct state *s, struct partition *p);

/* ---- msr_apic.c: hooks of the processor ---- */
bool hv_eoi_offer(void *partition, struct vcpu *vcpu, bool offer);
bool hv_eoi_taken(void *partition, const struct vcpu *vcpu);

/* ---- statistics.c ---- */
bool statistics_create(struct partition *p); /* false: no overlay frame is left */
void statistics_reset(struct partition *p);
void vp_statistics_reset(struct hv_vp *vp);

/* ---- overlays.c ---- */
/* False when no overlay frame is left. Fills the pages that never change: hypercall code, reference TSC. */
bool overlays_create(struct partition *p);
void overlays_reset(struct partition *p);
/* A page of a VP that the guest may write: disabled, and zero. */
void vp_page_reset(struct partition *p, struct overlay_register *r);
/* Stores the value and lets the page follow. A page beyond the GPA space is nowhere. */
void overlay_register_write(struct partition *p, uint32_t vp, uint32_t msr, struct overlay_register *r, uint64_t value);
bool partition_gpa_valid(const struct partition *p, uint64_t address);
void reference_tsc_page_update(struct partition *p);
struct reference_page {
    uint32_t sequence;
    uint64_t scale, offset;
};
struct reference_page reference_tsc_page(const struct partition *p);

/* ---- migration.c ---- */
/* Time, and with it the TSC page, begins anew where VP 0's TSC is. */
void reference_time_start(struct partition *p);
/* HV_TSC_EMULATION_STATUS.InProgress */
bool tsc_emulated(const struct partition *p);
void tsc_emulation_end(struct partition *p);
/* Page, counter and clock agree; aborts when they do not. */
void reference_time_check(const struct partition *p);
void migration_state(struct state *s, struct partition *p);

#endif
