/* MXCSR, and the way in and out of guest floating point. SDM 1 §10.2.3 MXCSR Control and Status Register, §11.5 SSE exceptions.
 *
 * While vp_run() is active the host's MXCSR holds the guest's rounding, FTZ and DAZ bits with every exception masked, so
 * that host instructions compute what the guest asked for and collect its sticky flags. s.mxcsr always has the right control
 * bits and masks; its sticky flags are complete only together with the host's (mxcsr_read()).
 */
#ifndef ORRERY_CPU_EXEC_SSE_H
#define ORRERY_CPU_EXEC_SSE_H

#include "cpu/vcpu.h"

enum mxcsr_bits {
    MXCSR_IE = 0x01,
    MXCSR_DE = 0x02,
    MXCSR_ZE = 0x04,
    MXCSR_OE = 0x08,
    MXCSR_UE = 0x10,
    MXCSR_PE = 0x20,
    MXCSR_FLAGS = 0x3f,
    MXCSR_PRE_COMPUTATION = MXCSR_IE | MXCSR_DE | MXCSR_ZE, /* SDM 1 §11.5.2: found before anything is computed */
    MXCSR_DAZ = 0x40,
    MXCSR_MASKS_SHIFT = 7,
    MXCSR_MASKS = MXCSR_FLAGS << MXCSR_MASKS_SHIFT,
    MXCSR_UM = MXCSR_UE << MXCSR_MASKS_SHIFT,
    MXCSR_RC_SHIFT = 13,
    MXCSR_FTZ = 0x8000,
    MXCSR_RESET = 0x1f80,
    MXCSR_VALID = 0xffff, /* MXCSR_MASK of the FXSAVE image: DAZ is there; LDMXCSR of any other bit is #GP */
};

static inline uint32_t host_mxcsr(void)
{
    uint32_t value;
    __asm__ volatile("stmxcsr %0" : "=m"(value));
    return value;
}
static inline void host_mxcsr_set(uint32_t value)
{
    __asm__ volatile("ldmxcsr %0" : : "m"(value));
}

/* Around vp_run(): the guest's MXCSR becomes the host's, and comes back with its sticky flags complete in s.mxcsr. */
void sse_enter_guest(struct vcpu *v);
void sse_leave_guest(struct vcpu *v);
/* The guest's whole MXCSR; right at any time. */
uint32_t mxcsr_read(const struct vcpu *v);
/* Within vp_run() only. `value` has no bit outside MXCSR_VALID: the caller has raised #GP(0) for such. */
void mxcsr_write(struct vcpu *v, uint32_t value);

#endif
