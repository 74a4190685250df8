/* What things cost, in cycles. A table is picked by name and recorded; nothing is ever charged for caches, page walks,
 * decoding or blocks. `ipc1`: one cycle an instruction and REP iteration, plus the costs of events. */
#ifndef ORRERY_CPU_COST_H
#define ORRERY_CPU_COST_H

#include "machine/types.h"

/* Instruction classes; a row in cpu/exec/ names one. Every class costs at least 1. */
enum cost_class {
    COST_SIMPLE,
    COST_LOAD_STORE,
    COST_BRANCH,
    COST_MUL,
    COST_DIV,
    COST_SSE,
    COST_X87,
    COST_STRING,
    COST_SYSTEM,
    COST_CLASSES
};

/* Events that leave the guest's straight line. The first group is the hypervisor's exit reasons. */
enum vp_exit {
    EXIT_PORT,
    EXIT_MMIO,
    EXIT_RDMSR,
    EXIT_WRMSR,
    EXIT_CPUID,
    EXIT_HYPERCALL,
    EXIT_HALT,
    EXIT_APIC, /* local APIC access, by MMIO or x2APIC MSR */
    EXIT_EXCEPTION,
    EXIT_INTERRUPT,
    EXIT_TASK_SWITCH,
    EXIT_REASONS
};
const char *vp_exit_name(enum vp_exit reason);

struct cost_table {
    const char *name;
    uint16_t instruction[COST_CLASSES]; /* cycles an instruction; COST_STRING: also each REP iteration */
    uint16_t event[EXIT_REASONS];       /* cycles on top of the instruction; exception and interrupt delivery >= 1 */
};
/* NULL when unknown. */
const struct cost_table *cost_table_by_name(const char *name);

#endif
