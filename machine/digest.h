/* The chain of digests by which two runs are compared.
 *
 * Format 1. At each epoch boundary (the first boundary at or after a multiple of epoch_cycles) and at the end:
 *   link(n) = XXH3-128( u32 format, link(n-1), u64 cycle, RAM digest, digest of the state's sections in the order of the visit
 * ) digests as low half, high half; all little-endian; link(0) is zero; the RAM digest is memory_digest() and the other
 * state_finish_digest(). Tracing, host caches and chunk sizes never enter.
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
    struct digest link; /* the last one */
};
/* 32 hexadecimal digits, high half first, and NUL. */
void digest_text(struct digest d, char text[33]);
/* A chain without links whose first epoch ends at `epoch_cycles`; 0: no epochs, only the digests one asks for. */
struct digest_chain digest_chain_start(uint64_t epoch_cycles);
/* `visit` names all state (RAM bytes do not come through it; see memory_state()). Appends one link and moves next_cycle beyond
 * now. As for memory_digest(): the caller first takes back write permissions (cpu_drop_writable()). */
struct digest digest_chain_append(struct digest_chain *c, struct machine *m, void (*visit)(struct state *s, void *owner),
                                  void *owner);
/* The link that append would give now, the chain left as it is; `c` NULL: of this state alone, whatever came before. */
struct digest digest_now(const struct digest_chain *c, struct machine *m, void (*visit)(struct state *s, void *owner),
                         void *owner);
/* Section "digest-chain" in save and restore. Nothing in a digest: a chain is made of digests and not part of what they see. */
void digest_chain_state(struct state *s, struct digest_chain *c);

#endif
