/* Our processor outside long mode, for what neither the host's can show nor guest.h does: one VP in real mode, or in 32-bit
 * protected mode at CPL 3, without paging; the segments have the bases of a `struct place`. As in guest.h, an exception is a
 * vector and the state at the faulting instruction: in protected mode the handlers' stack is another, in real mode what the
 * delivery pushed is taken back.
 */
#ifndef ORRERY_TESTS_ORACLE_GUEST_LEGACY_H
#define ORRERY_TESTS_ORACLE_GUEST_LEGACY_H

#include "tests/oracle/guest.h"
#include "tests/oracle/integer_forms.h"

/* Where it must be: below 64 KiB, so that 16-bit offsets reach it; below LEGACY_CODE are the tables. */
enum { LEGACY_CODE = 0x7800, LEGACY_DATA = 0x8000 };

struct legacy_guest;

/* NULL with a message on stderr when it cannot be made. */
struct legacy_guest *legacy_guest_create(const struct place *p);
void legacy_guest_destroy(struct legacy_guest *g);
void legacy_guest_code(struct legacy_guest *g, const uint8_t *code, unsigned count);
void legacy_guest_data_write(struct legacy_guest *g, const uint8_t *from); /* NATIVE_DATA_BYTES */
void legacy_guest_data_read(const struct legacy_guest *g, uint8_t *to);
/* As guest_run(); of the state, eight GPRs and the flags count. */
int legacy_guest_run(struct legacy_guest *g, struct native_state *s);

#endif
