/* One case of an oracle: the same bytes from the same state, on the host's processor and on ours, and what differs afterwards.
 */
#ifndef ORRERY_TESTS_ORACLE_TRIAL_H
#define ORRERY_TESTS_ORACLE_TRIAL_H

#include "tests/oracle/forms.h"
#include "tests/oracle/guest.h"

struct trial {
    uint8_t code[FORM_BYTES_MAX];
    unsigned length;
    struct native_state in, native, ours;
    uint8_t memory_in[NATIVE_DATA_BYTES], memory_native[NATIVE_DATA_BYTES], memory_ours[NATIVE_DATA_BYTES];
    int signal, vector; /* how the host and we ended */
    uint32_t error;
};

/* GPRs, flags, x87, XMM, MXCSR. `unmasked`: SSE exceptions are unmasked at random; else all are masked. */
void trial_randomise(struct dice *d, struct native_state *s, bool unmasked);
/* Of an operand of up to 16 bytes within the data: mostly aligned, sometimes not, sometimes across the page end. */
uint64_t trial_address(struct dice *d);
/* Runs t->code from t->in on both, with a fresh operand at `address`. The code has been given to guest_code(). */
void trial_run(struct trial *t, struct guest *g, uint64_t address, struct dice *d);
/* The first thing that differs, or NULL. `flags`: those that the instruction defines (or leaves alone). */
const char *trial_difference(const struct trial *t, uint64_t flags);
void trial_print(const struct trial *t, const char *what, uint64_t address);

#endif
