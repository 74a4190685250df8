/* Our processor under the same interface as the host's (native.h): one VP in 64-bit mode at CPL 0, the bytes under test at
 * NATIVE_CODE, data at NATIVE_DATA, whose two pages lie in frames that are not neighbours. Exceptions go through an IDT of
 * gates with a stack of their own, so that a result is a vector, an error code and the state at the faulting instruction.
 */
#ifndef ORRERY_TESTS_ORACLE_GUEST_H
#define ORRERY_TESTS_ORACLE_GUEST_H

#include "cpu/cpu.h"
#include "tests/oracle/native.h"

struct guest;

enum { GUEST_NO_FAULT = -1, GUEST_STUCK = -2 };

/* Model v2. NULL with a message on stderr when it cannot be made. */
struct guest *guest_create(enum cpu_vendor vendor);
void guest_destroy(struct guest *g);
/* CR0, CR4 and all the rest, for who wants another start; rip, gpr, rflags, xmm, fpu and mxcsr are overwritten by guest_run().
 */
struct vp_state *guest_start(struct guest *g);
void guest_code(struct guest *g, const uint8_t *code, unsigned count);
void guest_data_write(struct guest *g, const uint8_t *from); /* NATIVE_DATA_BYTES */
void guest_data_read(const struct guest *g, uint8_t *to);
/* Runs the bytes given last. Returns GUEST_NO_FAULT, the vector of the exception, or GUEST_STUCK when RIP did not arrive. */
int guest_run(struct guest *g, struct native_state *s, uint32_t *error_code);

#endif
