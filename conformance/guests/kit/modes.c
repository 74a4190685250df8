/* Excursions into other modes: the caller's code is copied below 64 KiB, with the way back behind it. See modes.S. */
#include "parts.h"

static void way_back_append(uint8_t *at, unsigned mode)
{
    /* jmp rel16 or rel32: both sides lie in the same 64 KiB */
    const uint8_t *target = mode == MODE_REAL16 ? kit_back_real : mode == MODE_COMPAT32 ? kit_back_compat : kit_back_32;
    unsigned width = mode == MODE_REAL16 ? 2 : 4;
    uint32_t distance = (uint32_t)((uint64_t)target - ((uint64_t)at + 1 + width));
    at[0] = 0xe9;
    memcpy(at + 1, &distance, width);
}

struct excursion {
    struct regs32 *r;
    unsigned mode;
};

static void excursion_run(void *p)
{
    struct excursion *e = p;
    kit_mode_enter(e->r, e->mode);
}

static struct fault run_in(unsigned mode, const void *code, size_t bytes, struct regs32 *r)
{
    struct regs32 none = {0};
    struct excursion e = {r != NULL ? r : &none, mode};
    if (bytes > LOW_CODE_BYTES || this_vp() != 0) {
        kit_panic("code for another mode: at most %u bytes, on VP 0", LOW_CODE_BYTES);
    }
    memcpy((void *)LOW_CODE, code, bytes);
    way_back_append((uint8_t *)LOW_CODE + bytes, mode);
    struct fault f = try_run(excursion_run, &e); /* compatibility mode faults through the IDT of long mode */
    if (f.vector == NO_FAULT && kit_mode_fault != NO_FAULT) {
        f = (struct fault){.vector = kit_mode_fault, .rip = kit_mode_fault_ip};
    }
    return f;
}

struct fault run_in_16bit_real(const void *code, size_t bytes, struct regs32 *r)
{
    return run_in(MODE_REAL16, code, bytes, r);
}

struct fault run_in_32bit(const void *code, size_t bytes, struct regs32 *r)
{
    return run_in(MODE_PROTECTED32, code, bytes, r);
}

struct fault run_in_32bit_compat(const void *code, size_t bytes, struct regs32 *r)
{
    return run_in(MODE_COMPAT32, code, bytes, r);
}
