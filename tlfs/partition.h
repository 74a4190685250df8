/* A partition: machine, processor, the hypervisor's face, and the turns of its VPs on the one clock.
 *
 * The scheduler: VPs take turns in index order; a turn ends after `turn_cycles`, at HLT or at PAUSE. When no VP is runnable the
 * clock jumps to the next event. Turn and order are state: where a chunk ends is never visible.
 */
#ifndef ORRERY_TLFS_PARTITION_H
#define ORRERY_TLFS_PARTITION_H

#include "cpu/cpu.h"
#include "tlfs/profile.h"

struct partition;

struct partition_config {
    uint64_t ram_bytes;
    uint64_t seed;
    uint64_t turn_cycles;          /* 0: default 10 000 */
    uint32_t rep_elements_max;     /* a rep hypercall returns to be repeated after so many elements; 0: after 50 us of work */
    bool rep_stop_random;          /* ... after 1 to that many (0: 1 to 8), by the seed */
    uint64_t spurious_wake_cycles; /* a sleeping VP wakes without a reason every so often; 0: never */
    uint32_t busy_slots_every;     /* every so many deliveries a free message slot looks busy; 0: never, else at least 2 */
    struct cpu_config cpu;         /* clock rate = cpu.model.tsc_hz */
    const struct profile *profile; /* NULL: no hypervisor is shown (CPUID.1:ECX[31] clear, its MSRs #GP) */
};

/* NULL with *why set. Devices attach to partition_machine() before the first run. */
struct partition *partition_create(const struct partition_config *config, const char **why);
void partition_destroy(struct partition *p);
/* Power-on reset of VPs and hypervisor, after which the machine may run again (its `end` is END_NONE); RAM and clock stay.
 * Devices are the caller's. Reference time starts again where VP 0's TSC does. */
void partition_reset(struct partition *p);

/* The platform's part of the processor's hooks: EOI of level interrupts, acknowledge of the 8259 pair. */
void partition_wire_platform(struct partition *p, void *platform, void (*eoi)(void *platform, uint8_t vector),
                             uint8_t (*extint_acknowledge)(void *platform));

/* What the guest said of its crash, last. TLFS 6.0b §4.3. */
enum { CRASH_MESSAGE_BYTES_MAX = 4096 };
struct crash_report {
    uint32_t count; /* how often it reported one; 0: never */
    uint32_t vp;
    uint64_t parameter[5];
    uint32_t message_bytes;
    uint8_t message[CRASH_MESSAGE_BYTES_MAX];
};
const struct crash_report *partition_crash(const struct partition *p);

/* Live migration, between two runs: the VPs stand still for `away_cycles` while time passes and devices go on; on the other
 * side the TSC runs at `tsc_hz` (0: as before), at once or, when the guest has asked for it, once it says so. Reference time
 * goes on. Another rate only while partition_shows_invariant_tsc() is false. */
struct migration {
    uint64_t tsc_hz;
    uint64_t away_cycles;
    bool page_invalid; /* the new host cannot vouch for its TSC: the reference TSC page says so */
};
void partition_migrate(struct partition *p, const struct migration *m);
uint64_t partition_tsc_hz(const struct partition *p);
/* Does CPUID promise the guest, at this moment, that its TSC keeps its rate, on this host and the next? TLFS 6.0b §2.4.4 */
bool partition_shows_invariant_tsc(const struct partition *p);

/* What a VP used of the hypervisor's interface. Lines have one order, the same for every VP; false beyond the last. */
struct account_line {
    const char *name, *kind; /* "HV_X64_MSR_EOI", "written" */
    uint64_t count, cycles;
};
bool partition_account_line(const struct partition *p, unsigned vp, size_t index, struct account_line *line);

struct machine *partition_machine(struct partition *p);
struct cpu *partition_cpu(struct partition *p);

enum partition_stop {
    PARTITION_UNTIL,  /* the clock reached `until` */
    PARTITION_END,    /* machine.end says how the guest ended */
    PARTITION_PAUSED, /* partition_stop() was called */
};
/* Runs events and VPs until the first boundary at or after `until_cycle`. All VPs asleep and nothing armed: END_HALTED. */
enum partition_stop partition_run(struct partition *p, uint64_t until_cycle);
/* From a device callback or trace listener: partition_run() returns PARTITION_PAUSED at the next boundary. */
void partition_stop(struct partition *p);

/* Everything but RAM (machine_state() has that and the clock): VPs, local APICs, hypervisor, scheduler. */
void partition_state(struct state *s, struct partition *p);

#endif
