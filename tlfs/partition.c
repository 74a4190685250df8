/* A partition: it owns the machine and the processor and answers the processor's hooks. TLFS 6.0b §4, §7.
 *
 * Invariants: what is created in an order is destroyed in the reverse; event sources and overlays are registered at creation,
 * in VP order, so a saved state fits any partition of the same configuration. Without a profile no hook of the hypervisor is
 * set: the guest sees a bare processor. Leaves out: the run loop (turns.c), registers (msr.c), and everything a parent
 * partition would do.
 */
#include "tlfs/partition.h"

#include <stdlib.h>
#include <string.h>

#include "tlfs/hypervisor.h"
#include "tlfs/mutants.h"

static void hook_activity(void *partition, struct vcpu *vcpu)
{
    turns_activity(partition, vcpu);
}

static void hook_eoi(void *partition, uint8_t vector)
{
    const struct partition *p = partition;
    if (p->platform.eoi != NULL) {
        p->platform.eoi(p->platform.owner, vector);
    }
}

/* With no 8259 pair on the bus the acknowledge cycle reads a floating bus. */
static uint8_t hook_extint_acknowledge(void *partition)
{
    const struct partition *p = partition;
    return p->platform.extint_acknowledge != NULL ? p->platform.extint_acknowledge(p->platform.owner) : 0xff;
}

static void hook_end_of_interrupt(void *partition, struct vcpu *vcpu, uint8_t vector)
{
    synic_end_of_interrupt(hv_vp_of(partition, vcpu), vector);
}

/* §11.8, §11.9, §12.5.1, TLFS 2.0a §21.3.3: a processor reset resets the VP's SynIC, timers and statistics pages too; INIT is
 * one. */
static void hook_init(void *partition, struct vcpu *vcpu)
{
    struct hv_vp *vp = hv_vp_of(partition, vcpu);
    stimers_reset(vp);
    synic_reset(vp);
    unhalted_reset(vp);
    vp_statistics_reset(vp);
}

static bool hook_ends_by_itself(void *partition, struct vcpu *vcpu, uint8_t vector)
{
    return synic_auto_eoi(hv_vp_of(partition, vcpu), vector);
}

static struct cpu_hooks hooks_of(struct partition *p)
{
    struct cpu_hooks hooks = {
        .owner = p, .activity = hook_activity, .eoi = hook_eoi, .extint_acknowledge = hook_extint_acknowledge};
    if (p->enlightened) {
        hooks.cpuid = hv_cpuid;
        hooks.rdmsr = hv_rdmsr;
        hooks.wrmsr = hv_wrmsr;
        hooks.hypercall = hv_hypercall;
        hooks.end_of_interrupt = hook_end_of_interrupt;
        hooks.init = hook_init;
        hooks.ends_by_itself = hook_ends_by_itself;
        hooks.eoi_offer = hv_eoi_offer;
        hooks.eoi_taken = hv_eoi_taken;
        mutants_wrap(&hooks);
    }
    return hooks;
}

static bool config_check(const struct partition_config *config, const char **why)
{
    if (config->cpu.vps < 1 || config->cpu.vps > VPS_MAX) {
        *why = "a partition has 1 to 240 VPs";
        return false;
    }
    if (config->cpu.model.tsc_hz < 1000000 || config->cpu.model.tsc_hz > 10000000000ULL) {
        *why = "the TSC rate is 1 MHz to 10 GHz";
        return false;
    }
    /* TLFS 6.0b §2.4.6: the limit that leaf 0x40000005 states; zero states none. */
    if (config->profile != NULL && config->profile->announced[5].eax != 0 &&
        config->cpu.vps > config->profile->announced[5].eax) {
        *why = "more VPs than the profile's limit (leaf 0x40000005)";
        return false;
    }
    return true;
}

struct partition *partition_create(const struct partition_config *config, const char **why)
{
    if (!config_check(config, why)) {
        return NULL;
    }
    struct partition *p = calloc(1, sizeof *p + config->cpu.vps * sizeof p->vps[0]);
    if (p == NULL) {
        *why = "out of memory";
        return NULL;
    }
    p->cpu_config = config->cpu;
    p->vp_count = config->cpu.vps;
    p->turn_cycles = config->turn_cycles != 0 ? config->turn_cycles : DEFAULT_TURN_CYCLES;
    p->rep_elements_max = config->rep_elements_max;
    p->rep_stop_random = config->rep_stop_random;
    p->rep_prng.state = config->seed;
    p->enlightened = config->profile != NULL;
    if (p->enlightened) {
        p->profile = *config->profile;
    }
    p->machine = machine_create(config->ram_bytes, config->cpu.model.tsc_hz, config->seed, why);
    if (p->machine == NULL) {
        partition_destroy(p);
        return NULL;
    }
    p->hooks = hooks_of(p);
    p->cpu = cpu_create(p->machine, &p->cpu_config, &p->hooks);
    if (p->cpu == NULL) {
        *why = "out of memory for the processor";
        partition_destroy(p);
        return NULL;
    }
    for (unsigned i = 0; i < p->vp_count; i++) {
        p->vps[i].partition = p;
        p->vps[i].vcpu = cpu_vp(p->cpu, i);
    }
    trace_declare(p->machine->trace, tlfs_trace_rows, TLFS_TRACE_ROWS);
    events_watch(p->machine->events, turns_event_earlier, p);
    p->machine->end_requested = turns_end_requested;
    p->machine->end_owner = p;
    p->host_tsc_hz = config->cpu.model.tsc_hz;
    reference_time_start(p);
    if (p->enlightened) {
        for (unsigned i = 0; i < p->vp_count; i++) {
            stimers_create(p, &p->vps[i]);
            synic_create(p, &p->vps[i]);
        }
        if (!messages_create(p)) {
            *why = "out of memory";
            partition_destroy(p);
            return NULL;
        }
        if (!overlays_create(p)) {
            *why = "no overlay page is left for the hypervisor";
            partition_destroy(p);
            return NULL;
        }
    }
    adversary_create(p, config);
    for (unsigned i = 0; i < p->vp_count; i++) {
        unhalted_reset(&p->vps[i]);
    }
    turns_reset(p);
    return p;
}

void partition_destroy(struct partition *p)
{
    if (p == NULL) {
        return;
    }
    hv_ports_destroy(p);
    messages_destroy(p);
    if (p->cpu != NULL) {
        cpu_destroy(p->cpu);
    }
    if (p->machine != NULL) {
        machine_destroy(p->machine);
    }
    free(p);
}

void partition_reset(struct partition *p)
{
    tsc_emulation_end(p);
    cpu_reset(p->cpu);
    reference_time_start(p);
    if (p->enlightened) {
        p->registers.guest_os_id = p->registers.tsc_invariant_control = 0;
        p->debug_pending_bytes = 0;
        p->registers.reenlightenment_control = p->registers.tsc_emulation_control = 0;
        memset(p->registers.crash, 0, sizeof p->registers.crash);
        memset(p->registers.debug, 0, sizeof p->registers.debug);
        overlays_reset(p);
        for (unsigned i = 0; i < p->vp_count; i++) {
            stimers_reset(&p->vps[i]);
            synic_reset(&p->vps[i]);
            unhalted_reset(&p->vps[i]);
        }
        hv_ports_reset(p);
        mutants_reset();
    }
    turns_reset(p);
    p->pause_requested = false;
    p->machine->end = END_NONE;
    p->machine->end_code = 0;
}

void partition_wire_platform(struct partition *p, void *platform, void (*eoi)(void *platform, uint8_t vector),
                             uint8_t (*extint_acknowledge)(void *platform))
{
    p->platform.owner = platform;
    p->platform.eoi = eoi;
    p->platform.extint_acknowledge = extint_acknowledge;
}

const struct crash_report *partition_crash(const struct partition *p)
{
    return &p->crash;
}

struct machine *partition_machine(struct partition *p)
{
    return p->machine;
}

struct cpu *partition_cpu(struct partition *p)
{
    return p->cpu;
}

/* What a guest cannot have brought about is refused. */
static void registers_check(struct state *s, const struct partition *p)
{
    if (p->registers.guest_os_id == 0 && p->registers.hypercall.value & OVERLAY_ENABLE && !(p->registers.hypercall.value & 2)) {
        state_fail(s, "hypercall page enabled without a guest OS identity");
    }
    uint64_t reenlightenment = p->registers.reenlightenment_control;
    if (reenlightenment & 0xfffeff00 ||
        (reenlightenment >> 16 & 1 && ((uint8_t)reenlightenment < 16 || reenlightenment >> 32 >= p->vp_count))) {
        state_fail(s, "reenlightenment control: impossible value 0x%llx", (unsigned long long)reenlightenment);
    }
}

void partition_state(struct state *s, struct partition *p)
{
    cpu_state(s, p->cpu);
    state_section(s, "partition", 2);
    uint32_t vps = p->vp_count;
    uint64_t turn = p->turn_cycles;
    state_u32_in(s, &vps, p->vp_count, p->vp_count, "number of VPs");
    state_u64_in(s, &turn, p->turn_cycles, p->turn_cycles, "cycles of a turn");
    turns_state(s, p);
    migration_state(s, p);
    adversary_state(s, p);
    if (!p->enlightened) {
        return;
    }
    if (p->rep_stop_random) {
        state_u64(s, &p->rep_prng.state);
    }
    state_u32_in(s, &p->debug_pending_bytes, 0, DEBUG_BUFFER_BYTES, "bytes for the debugger");
    state_u64(s, &p->registers.guest_os_id);
    state_u64(s, &p->registers.hypercall.value);
    state_u64(s, &p->registers.reference_tsc.value);
    for (unsigned i = 0; i < STATISTICS_PAGES; i++) {
        state_u64(s, &p->registers.statistics[i].value);
    }
    for (unsigned i = 0; i < CRASH_PARAMETERS; i++) {
        state_u64(s, &p->registers.crash[i]);
    }
    for (unsigned i = 0; i < DEBUG_REGISTERS; i++) {
        state_u64(s, &p->registers.debug[i]);
    }
    state_u64(s, &p->registers.reenlightenment_control);
    state_u64_in(s, &p->registers.tsc_emulation_control, 0, 1, "TSC emulation control");
    state_u64_in(s, &p->registers.tsc_invariant_control, 0, 1, "TSC invariant control");
    crash_state(s, p);
    for (unsigned i = 0; i < p->vp_count; i++) {
        state_u64(s, &p->vps[i].registers.assist.value);
        for (unsigned k = 0; k < STATISTICS_PAGES; k++) {
            state_u64(s, &p->vps[i].registers.statistics[k].value);
        }
        stimers_state(s, &p->vps[i]);
        unhalted_state(s, &p->vps[i]);
        account_state(s, &p->vps[i]);
    }
    if (state_restoring(s)) {
        registers_check(s, p);
    }
    state_section(s, "synic", 1);
    for (unsigned i = 0; i < p->vp_count; i++) {
        synic_state(s, &p->vps[i]);
    }
    messages_state(s, p);
    hv_ports_state(s, p);
}
