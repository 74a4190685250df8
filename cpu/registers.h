/* The one register table: every register of a VP by its TLFS name (HV_REGISTER_NAME, TLFS 6.0b §7.2).
 *
 * Save state, dumps, the debugger and hypercalls read and write a VP through it. Values are 128 bits, as
 * HV_REGISTER_VALUE has them: segment registers as base, limit, selector, attributes; others in `low`.
 */
#ifndef ORRERY_CPU_REGISTERS_H
#define ORRERY_CPU_REGISTERS_H

#include "cpu/cpu.h"

struct register_value {
    uint64_t low, high;
};
struct register_row {
    uint32_t name;     /* HvX64RegisterRax = 0x00020000 ... */
    const char *title; /* "Rax", "Cr0", "Cs", "Efer", "Xmm0" ... as the TLFS spells it after HvX64Register */
    uint8_t bits;      /* 8, 16, 32, 64, 80 or 128 */
    struct register_value (*get)(const struct vp_state *s, unsigned argument);
    /* False when the value is impossible; nothing changed then. NULL: read only. */
    bool (*set)(struct vp_state *s, unsigned argument, struct register_value v);
    unsigned argument;
};

extern const struct register_row register_rows[];
extern const size_t register_row_count;
const struct register_row *register_by_name(uint32_t name); /* NULL when unknown */

#endif
