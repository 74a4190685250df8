/* What a bench guest written in C is given: how often to do its work, and memory to do it in. */
#ifndef ORRERY_BENCH_GUEST_H
#define ORRERY_BENCH_GUEST_H

#include <stddef.h>
#include <stdint.h>

/* The linker sets the address of this symbol to the number of rounds: one object file serves every length of run. */
extern char bench_rounds[];
static inline uint64_t rounds(void)
{
    uint64_t n;
    __asm__ volatile("movabs $bench_rounds, %0" : "=r"(n)); /* volatile: the compiler knows nothing of the count */
    return n;
}

/* RAM from 16 MiB on is the guest's to use; it is zero at the start. */
static inline void *memory_at(uint64_t address)
{
    __asm__("" : "+r"(address));
    return (void *)address;
}
enum { WORK = 16 << 20 };

/* Marsaglia's xorshift64: cheap, and the same everywhere. */
static inline uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

uint64_t main(void);

#endif
