/* Links of the digest chain; its content stands in digest.h. Invariant: next_cycle is a multiple of epoch_cycles, or never. */
#include "machine/digest.h"

#include <stdio.h>
#include <xxhash.h>

static uint8_t *put(uint8_t *to, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        *to++ = (uint8_t)(value >> (8 * i));
    }
    return to;
}

void digest_text(struct digest d, char text[33])
{
    snprintf(text, 33, "%016llx%016llx", (unsigned long long)d.high, (unsigned long long)d.low);
}

struct digest_chain digest_chain_start(uint64_t epoch_cycles)
{
    return (struct digest_chain){.epoch_cycles = epoch_cycles, .next_cycle = epoch_cycles > 0 ? epoch_cycles : CYCLE_NEVER};
}

struct digest digest_now(const struct digest_chain *c, struct machine *m, void (*visit)(struct state *s, void *owner),
                         void *owner)
{
    struct memory_digest ram = memory_digest(m->memory);
    struct state *s = state_begin_digest();
    visit(s, owner);
    struct state_digest rest = state_finish_digest(s);
    state_end(s);
    uint8_t raw[4 + 16 + 8 + 16 + 16], *to = raw;
    to = put(to, DIGEST_FORMAT, 4);
    to = put(to, c != NULL ? c->link.low : 0, 8);
    to = put(to, c != NULL ? c->link.high : 0, 8);
    to = put(to, machine_now(m), 8);
    to = put(to, ram.low, 8);
    to = put(to, ram.high, 8);
    to = put(to, rest.low, 8);
    to = put(to, rest.high, 8);
    XXH128_hash_t h = XXH3_128bits(raw, (size_t)(to - raw));
    return (struct digest){h.low64, h.high64};
}

/* The first multiple of `epoch` after `now`. */
static uint64_t next_epoch(uint64_t epoch, uint64_t now)
{
    uint64_t next;
    if (epoch == 0 || __builtin_add_overflow(now - now % epoch, epoch, &next)) {
        return CYCLE_NEVER;
    }
    return next;
}

struct digest digest_chain_append(struct digest_chain *c, struct machine *m, void (*visit)(struct state *s, void *owner),
                                  void *owner)
{
    c->link = digest_now(c, m, visit, owner);
    c->count++;
    c->next_cycle = next_epoch(c->epoch_cycles, machine_now(m));
    return c->link;
}

void digest_chain_state(struct state *s, struct digest_chain *c)
{
    if (state_mode(s) == STATE_DIGEST) {
        return;
    }
    state_section(s, "digest-chain", 1);
    uint64_t epoch = c->epoch_cycles;
    state_u64_in(s, &epoch, c->epoch_cycles, c->epoch_cycles, "length of an epoch in cycles");
    state_u64(s, &c->next_cycle);
    state_u64(s, &c->count);
    state_u64(s, &c->link.low);
    state_u64(s, &c->link.high);
    if (state_restoring(s) && state_ok(s) && c->next_cycle != CYCLE_NEVER &&
        (epoch == 0 || c->next_cycle == 0 || c->next_cycle % epoch != 0)) {
        state_fail(s, "the next epoch of the saved state is not a multiple of the epoch's length");
    }
}
