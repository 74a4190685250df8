/* Cost tables: what an instruction of a class, and an event, cost in cycles.
 *
 * Invariants: every instruction class costs at least 1, so that time moves and a REP iteration is a moment of its own; delivery
 * of an exception or interrupt costs at least 1, so that a guest caught in faults meets its limits. Costs are constants of the
 * table: nothing depends on caches, addresses or data.
 *
 * Event costs are round numbers of the size that current hardware shows at 1 GHz: delivery through the IDT and back is some
 * dozens of cycles; leaving the guest for the hypervisor and coming back is 1000 or a little more, and more again when the
 * hypervisor has to decode and emulate an instruction (MMIO) or look up a device (port). They are there to be compared with
 * each other ("what does this enlightenment save?"), not to predict a given machine. Left out: models of caches, TLBs and
 * pipelines.
 */
#include "cpu/cost.h"

#include <string.h>

static const char *const exit_names[EXIT_REASONS] = {
    [EXIT_PORT] = "port",
    [EXIT_MMIO] = "mmio",
    [EXIT_RDMSR] = "rdmsr",
    [EXIT_WRMSR] = "wrmsr",
    [EXIT_CPUID] = "cpuid",
    [EXIT_HYPERCALL] = "hypercall",
    [EXIT_HALT] = "halt",
    [EXIT_APIC] = "apic",
    [EXIT_EXCEPTION] = "exception",
    [EXIT_INTERRUPT] = "interrupt",
    [EXIT_TASK_SWITCH] = "task-switch",
};

#define EVENT_COSTS                                                                                                            \
    {                                                                                                                          \
        [EXIT_PORT] = 1500, [EXIT_MMIO] = 2000, [EXIT_RDMSR] = 1200, [EXIT_WRMSR] = 1200, [EXIT_CPUID] = 1200,                 \
        [EXIT_HYPERCALL] = 1000, [EXIT_HALT] = 1000, [EXIT_APIC] = 1500, [EXIT_EXCEPTION] = 40, [EXIT_INTERRUPT] = 40,         \
        [EXIT_TASK_SWITCH] = 400,                                                                                              \
    }

static const struct cost_table tables[] = {
    {
        .name = "ipc1", /* the default: one cycle an instruction */
        .instruction = {[0 ... COST_CLASSES - 1] = 1},
        .event = EVENT_COSTS,
    },
    {
        .name = "classes", /* multiply, divide, vector, x87 and system instructions cost what they are known for */
        .instruction = {[COST_SIMPLE] = 1,
                        [COST_LOAD_STORE] = 1,
                        [COST_BRANCH] = 1,
                        [COST_MUL] = 3,
                        [COST_DIV] = 20,
                        [COST_SSE] = 2,
                        [COST_X87] = 4,
                        [COST_STRING] = 1,
                        [COST_SYSTEM] = 50},
        .event = EVENT_COSTS,
    },
};

const char *vp_exit_name(enum vp_exit reason)
{
    return (unsigned)reason < EXIT_REASONS ? exit_names[reason] : "unknown";
}

const struct cost_table *cost_table_by_name(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(tables); i++) {
        if (strcmp(tables[i].name, name) == 0) {
            return &tables[i];
        }
    }
    return NULL;
}
