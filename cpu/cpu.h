/* The processor, as the rest of the house sees it: VPs, their run loop, their lines, and the hooks through which a hypervisor
 * answers for what it intercepts. cpu/ knows no Hyper-V.
 *
 * All VPs of a partition share one host thread; the caller gives them turns. `struct vcpu` is opaque outside cpu/.
 */
#ifndef ORRERY_CPU_CPU_H
#define ORRERY_CPU_CPU_H

#include "cpu/cost.h"
#include "cpu/model.h"
#include "cpu/state.h"
#include "cpu/tsc.h"
#include "machine/machine.h"

struct cpu;  /* all VPs of a partition, and what they share: model, costs, decoded code */
struct vcpu; /* one VP */

enum msr_outcome { MSR_OK, MSR_GP, MSR_NOT_MINE };

/* All may be NULL. They are called at an exact moment (machine_now() is right), before anything is committed. */
struct cpu_hooks {
    void *owner;
    /* A CPUID leaf the hypervisor owns or changes: `r` holds the processor's own answer. */
    void (*cpuid)(void *owner, struct vcpu *vp, uint32_t leaf, uint32_t subleaf, struct cpuid_result *r);
    /* MSRs that cpu/ does not know: MSR_NOT_MINE and MSR_GP both raise #GP(0). And a few that it knows but that hypervisors
     * show in a way of their own (msr.h, hook_first): MSR_NOT_MINE leaves those to the processor. */
    enum msr_outcome (*rdmsr)(void *owner, struct vcpu *vp, uint32_t msr, uint64_t *value);
    enum msr_outcome (*wrmsr)(void *owner, struct vcpu *vp, uint32_t msr, uint64_t value);
    /* VMCALL or VMMCALL. Returns a vector to raise (VEC_UD, VEC_GP) or -1 when done; it reads and writes registers through
     * vp_gpr()/vp_set_gpr(). `*again` true repeats the instruction (RIP stays). Without a hook: #UD. */
    int (*hypercall)(void *owner, struct vcpu *vp, bool is_vmcall, bool *again);
    /* An EOI for a level-triggered vector went out on the bus (to the IOAPIC). */
    void (*eoi)(void *owner, uint8_t vector);
    /* The VP ended an interrupt of any kind by an EOI. */
    void (*end_of_interrupt)(void *owner, struct vcpu *vp, uint8_t vector);
    /* INIT has reset the VP. */
    void (*init)(void *owner, struct vcpu *vp);
    /* The VP takes an interrupt: does it end by that alone, without an EOI? */
    bool (*ends_by_itself)(void *owner, struct vcpu *vp, uint8_t vector);
    /* EOIs that need no exit. The VP takes an interrupt whose end nobody needs to hear of: the hypervisor may offer the guest
     * to end it without an EOI, and says whether it did; with `offer` false it takes an offer back. */
    bool (*eoi_offer)(void *owner, struct vcpu *vp, bool offer);
    /* Has the guest taken the offer: is its interrupt over? */
    bool (*eoi_taken)(void *owner, const struct vcpu *vp);
    /* The external interrupt controller (8259 pair) is acknowledged: it answers its vector. */
    uint8_t (*extint_acknowledge)(void *owner);
    /* A VP was woken, halted, started or shut down: the scheduler may look again. */
    void (*activity)(void *owner, struct vcpu *vp);
};

enum translation_policy { TRANSLATE_FRESH, TRANSLATE_STALEST };

struct cpu_config {
    struct cpu_model model;
    const struct cost_table *cost;
    unsigned vps; /* 1..240; VP i has APIC id i */
    enum translation_policy policy;
    uint64_t seed; /* for RDRAND and RDSEED */
    /* For tests: host-side caches made small, or emptied every so many block entries; never visible to the guest. 0: default.
     */
    unsigned host_tlb_entries, host_cache_flush_every;
};

struct cpu *cpu_create(struct machine *m, const struct cpu_config *config, const struct cpu_hooks *hooks);
void cpu_destroy(struct cpu *c);
struct vcpu *cpu_vp(struct cpu *c, unsigned index);
unsigned cpu_vps(const struct cpu *c);
/* Power-on reset of all VPs (SDM 3A §9.1.1): VP 0 at F000:FFF0, others wait for SIPI. */
void cpu_reset(struct cpu *c);
void cpu_state(struct state *s, struct cpu *c);
/* Takes back every write permission that the software TLBs hold; to be called before memory_digest(). */
void cpu_drop_writable(struct cpu *c);

/* ---- running ---- */

enum vp_stop {
    STOP_UNTIL,    /* the clock reached `until` (first boundary at or after it) */
    STOP_HALT,     /* the VP is not runnable any more: HLT, MWAIT, wait for SIPI */
    STOP_PAUSE,    /* PAUSE: the turn ends */
    STOP_SHUTDOWN, /* triple fault */
    STOP_REQUEST,  /* vp_stop() was called from a hook or device */
};
/* Runs from clock.cycle on; on return clock.cycle is the boundary reached. */
enum vp_stop vp_run(struct vcpu *vp, uint64_t until_cycle);
/* From within a callback: the running VP must return at the first boundary at or after `cycle`. */
void vp_deadline(struct vcpu *vp, uint64_t cycle);
/* From within a callback: return STOP_REQUEST at the next boundary. */
void vp_stop(struct vcpu *vp);
bool vp_runnable(const struct vcpu *vp); /* running, or halted with something that wakes it */

/* ---- lines and state ---- */

unsigned vp_index(const struct vcpu *vp);
struct machine *vp_machine(const struct vcpu *vp);
void vp_get_state(const struct vcpu *vp, struct vp_state *s);
/* False with nothing changed when the state is impossible (state came from outside). */
bool vp_set_state(struct vcpu *vp, const struct vp_state *s);
/* Does the state fit the model's features and each register the others, as a processor would have checked it on the way there?
 */
bool vp_state_reachable(const struct vcpu *vp, const struct vp_state *s);
uint64_t vp_gpr(const struct vcpu *vp, unsigned r);
void vp_set_gpr(struct vcpu *vp, unsigned r, uint64_t value);
xmm_t vp_xmm(const struct vcpu *vp, unsigned r);
void vp_set_xmm(struct vcpu *vp, unsigned r, xmm_t value);
unsigned vp_cpl(const struct vcpu *vp);
bool vp_in_long_mode(const struct vcpu *vp);  /* EFER.LMA */
bool vp_in_64bit_mode(const struct vcpu *vp); /* EFER.LMA and CS.L */
uint64_t vp_tsc(const struct vcpu *vp);
/* The rate of all VPs' TSC: at first the clock's. A change happens now; TSC and deadlines go on from where they are. */
const struct tsc *cpu_tsc(const struct cpu *c);
void cpu_set_tsc_rate(struct cpu *c, uint64_t hz);
void vp_set_nmi(struct vcpu *vp);
/* Bits of enum vp_withheld (state.h). */
void vp_withhold(struct vcpu *vp, uint8_t instructions);
uint8_t vp_withheld(const struct vcpu *vp);
/* From a hook: the VP sleeps (VP_IDLE) from the next boundary on, unless an interrupt is there already. */
void vp_idle(struct vcpu *vp);
/* Ends HLT, MWAIT or idle without a reason; false when the VP is in none of them. Not while it runs. */
bool vp_wake(struct vcpu *vp);
/* The 8259's INTR output, wired to every local APIC's LINT0 (and to a VP whose local APIC is disabled). */
void cpu_set_extint(struct cpu *c, bool level);
void cpu_set_a20(struct cpu *c, bool on);
/* Linear to physical by this VP's tables, without setting A or D bits and without faults; false when not mapped. */
bool vp_translate(struct vcpu *vp, gva_t linear, gpa_t *physical);

/* ---- what a hypervisor does to a VP's address spaces, mmu_orders.c ---- */

/* Every VP of `cpu` refuses the CR3 value by a set reserved bit? Then false. */
bool cpu_cr3_valid(const struct cpu *c, uint64_t cr3);
/* CR3 of the running VP, without the flush of MOV to CR3; false with nothing changed when its PDPTEs are not valid. */
bool vp_switch_space(struct vcpu *vp, uint64_t cr3);
/* Forgets the translations of the space that `cr3` names (or of all), with or without global ones; or those of [from, last].
 * Under the policy `fresh` there are none. */
void vp_flush_space(struct vcpu *vp, uint64_t cr3, bool all_spaces, bool leave_global);
void vp_flush_range(struct vcpu *vp, uint64_t cr3, bool all_spaces, gva_t from, gva_t last);

enum vp_walk { WALK_DONE, WALK_NOT_PRESENT, WALK_FORBIDDEN, WALK_RESERVED_BITS, WALK_TABLE_MISSING };
enum { WALK_READ = 1, WALK_WRITE = 2, WALK_EXECUTE = 4, WALK_AS_SUPERVISOR = 8, WALK_SET_ACCESSED = 16 };
struct vp_walk_result {
    gpa_t page;       /* WALK_DONE: what the address means; WALK_TABLE_MISSING: the table that is not memory */
    uint8_t pat_type; /* WALK_DONE: memory type by PAT and CR0.CD, SDM 3A table 11-10 */
};
/* By the VP's tables as they are, whatever its TLB holds. */
enum vp_walk vp_walk(struct vcpu *vp, gva_t linear, unsigned how, struct vp_walk_result *result);

struct vp_account {
    uint64_t instructions; /* retired */
    uint64_t guest_cycles; /* without events */
    uint64_t event_cycles[EXIT_REASONS];
    uint64_t events[EXIT_REASONS];
    uint64_t eois_avoided; /* interrupts that ended by an offer taken */
};
struct vp_account vp_account(const struct vcpu *vp);
uint64_t vp_event_cycles(const struct vcpu *vp, enum vp_exit reason);
/* Charges an event to the running VP. */
void vp_charge(struct vcpu *vp, enum vp_exit reason, uint64_t cycles);
/* For a hook: cycles on top of what cpu/ charges for the event by itself (e.g. by hypercall code). */
void vp_charge_more(struct vcpu *vp, enum vp_exit reason, uint64_t cycles);

#endif
