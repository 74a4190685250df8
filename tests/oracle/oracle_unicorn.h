/* One case of the unicorn oracle on both sides. */
#ifndef ORRERY_TESTS_ORACLE_ORACLE_UNICORN_H
#define ORRERY_TESTS_ORACLE_ORACLE_UNICORN_H

#include "tests/oracle/guest_legacy.h"
#include "tests/oracle/report.h"
#include "tests/oracle/unicorn_vp.h"

/* Both processors in one mode; either `guest` or `legacy` is ours. */
struct arena {
    const struct place *place;
    struct unicorn_vp *unicorn;
    struct guest *guest;
    struct legacy_guest *legacy;
};
struct duel {
    uint8_t code[32];
    unsigned length;
    struct native_state in, theirs, ours;
    int their_vector, our_vector;                                         /* as guest_run() */
    uint8_t memory_in[NATIVE_DATA_BYTES], memory_ours[NATIVE_DATA_BYTES]; /* theirs: unicorn_data() */
};

/* `simd`: XMM, MMX and MXCSR are given to unicorn and compared too. */
void duel_run(struct duel *t, struct arena *a, bool simd);
/* The first thing that differs, or NULL. `flags`: those that the instruction defines. */
const char *duel_difference(const struct duel *t, struct arena *a, uint64_t flags, bool simd);
void duel_print(const struct duel *t, struct arena *a, const char *what);

/* The forms of SSE to SSE4.2 and MMX (oracle_unicorn_sse.c). `only` may be NULL. */
void unicorn_run_sse(struct report *r, struct arena *a, struct duel *t, struct dice *d, unsigned cases, const char *only);

#endif
