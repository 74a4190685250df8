/* The chain of digests by which two runs are compared.
 *
 * Format 1. At each epoch boundary (the first boundary at or after a multiple of epoch_cycles) and at the end:
 *   link(n) = XXH3-128( format, link(n-1), cycle, RAM digest, digest of every state section in registration order )
 * all little-endian. Tracing, host caches and chunk sizes never enter.
 */
#ifndef ORRERY_MACHINE_DIGEST_H
#define ORRERY_MACHINE_DIGEST_H

#include "machine/machine.h"

enum { DIGEST_FORMAT = 1 };

struct digest {
    uint64_t low, high;
};
struct digest_chain {
    uint64_t epoch_cycles;
    uint64_t next_cycle; /* of the next epoch */
    uint64_t count;
    struct digest link;  /* the last one */
};
/* 32 hexadecimal digits, high half first, and NUL. */
void digest_text(struct digest d, char text[33]);
/* `visit` names all state but RAM. Appends one link and moves next_cycle beyond now. */
struct digest digest_chain_append(struct digest_chain *c, struct machine *m, void (*visit)(struct state *s, void *owner), void *owner);
/* The digest of this moment, the chain left as it is. */
struct digest digest_now(const struct digest_chain *c, struct machine *m, void (*visit)(struct state *s, void *owner), void *owner);
void digest_chain_state(struct state *s, struct digest_chain *c);

#endif
