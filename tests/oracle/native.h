/* The host's own processor as an oracle: one instruction (or a few) runs natively, in this process, from a given state to a
 * resulting one.
 *
 * The instruction stands at NATIVE_CODE and its data at NATIVE_DATA; a test gives its guest the same linear addresses, so that
 * RIP-relative operands and pushed addresses compare too. All sixteen GPRs, RSP among them, the arithmetic flags and DF, x87,
 * MMX, XMM and MXCSR come from the state and return to it. A fault ends the run as a signal, with the state at the faulting
 * instruction.
 *
 * Left out: segments, privileged state, anything that leaves the straight line (a branch must stay within the given bytes).
 */
#ifndef ORRERY_TESTS_ORACLE_NATIVE_H
#define ORRERY_TESTS_ORACLE_NATIVE_H

#include <stdbool.h>
#include <stdint.h>

#define NATIVE_CODE 0x10000800ULL
#define NATIVE_DATA 0x20000000ULL
enum { NATIVE_CODE_BYTES = 64, NATIVE_DATA_BYTES = 8192 };

/* The FXSAVE image of 64-bit mode (SDM 1 table 10-2), by its fields. */
struct native_fx {
    uint16_t fcw, fsw;
    uint8_t ftw, reserved;
    uint16_t fop;
    uint64_t fip, fdp;
    uint32_t mxcsr, mxcsr_mask;
    struct {
        uint64_t significand;
        uint16_t sign_exponent;
        uint16_t reserved[3];
    } st[8]; /* ST(0) first */
    uint64_t xmm[16][2];
    uint8_t unused[96];
} __attribute__((aligned(16)));
_Static_assert(sizeof(struct native_fx) == 512, "as FXSAVE lays it out");

struct native_state {
    struct native_fx fx;
    uint64_t gpr[16];
    uint64_t rflags; /* in: the flags a user may set; TF and AC are left out */
    uint64_t rip;    /* out: after the bytes, or of the faulting instruction */
};

/* False, with a message on stderr, when the host refuses the fixed addresses. */
bool native_open(void);
void native_close(void);
/* NATIVE_DATA_BYTES at NATIVE_DATA; the pages before and after are not mapped. */
uint8_t *native_data(void);
/* Returns 0, or the signal that the bytes raised (SIGFPE, SIGSEGV, SIGILL, SIGBUS, SIGTRAP). `count` at most NATIVE_CODE_BYTES.
 * SIGILL only when three runs in a row raise it. */
int native_run(const uint8_t *code, unsigned count, struct native_state *s);

#endif
