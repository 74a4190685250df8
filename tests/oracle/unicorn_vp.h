/* Unicorn (QEMU 5.0's translator as a library) under the interface that the oracles give the host's processor and ours: one
 * engine in the mode and with the segments of a `struct place`, at CPL 0; GPRs, flags, XMM and MMX in and out, MXCSR in.
 *
 * It checks no segment limits, and knows no alignment faults of SSE; cases must not need them.
 */
#ifndef ORRERY_TESTS_ORACLE_UNICORN_VP_H
#define ORRERY_TESTS_ORACLE_UNICORN_VP_H

#include "tests/oracle/integer_forms.h"

struct unicorn_vp;

/* NULL with a message on stderr when it cannot be made. */
struct unicorn_vp *unicorn_create(const struct place *p);
void unicorn_destroy(struct unicorn_vp *u);
/* NATIVE_DATA_BYTES at place.data, shared with the engine. */
uint8_t *unicorn_data(struct unicorn_vp *u);
/* Runs the bytes. Returns the vector of the exception, or as guest_run(). `simd`: XMM, MMX and MXCSR too; 64-bit mode only. */
int unicorn_run(struct unicorn_vp *u, const uint8_t *code, unsigned count, bool simd, struct native_state *s);

#endif
