/* Words that every room shares: address types, page size, hints to the compiler.
 * Guest-physical and guest-virtual addresses are structs, so that the compiler catches a mix-up. */
#ifndef ORRERY_MACHINE_TYPES_H
#define ORRERY_MACHINE_TYPES_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t v;
} gpa_t; /* guest physical */
typedef struct {
    uint64_t v;
} gva_t; /* guest virtual, linear */

static inline gpa_t gpa(uint64_t v)
{
    return (gpa_t){v};
}
static inline gva_t gva(uint64_t v)
{
    return (gva_t){v};
}

enum { PAGE_BYTES = 4096, PAGE_SHIFT = 12 };
#define PAGE_OFFSET_MASK 0xfffULL

/* "No such moment": later than every cycle. */
#define CYCLE_NEVER UINT64_MAX

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define COLD __attribute__((cold, noinline))
#define NOINLINE __attribute__((noinline))
#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))

#endif
