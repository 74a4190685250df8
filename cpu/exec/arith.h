/* Integer operations with their flags, done by the host's own ALU: LAHF and SETO right after the operation give all six
 * arithmetic flags in one word (vcpu.fl). What the SDM leaves undefined is made definite: AF is 0 after logic.
 */
#ifndef ORRERY_CPU_EXEC_ARITH_H
#define ORRERY_CPU_EXEC_ARITH_H

#include "cpu/exec/control.h"

#define TAKE_FLAGS "\n\tlahf\n\tseto %%al"

/* Each: *a = *a op b; returns fl. `old` is the fl before (for CF). */
#define ARITH_WIDTH(bits, type, suffix)                                                                                        \
    static inline uint16_t add##bits(type *a, type b, uint16_t old)                                                            \
    {                                                                                                                          \
        uint16_t fl;                                                                                                           \
        (void)old;                                                                                                             \
        __asm__("add" suffix " %2, %0" TAKE_FLAGS : "+r"(*a), "=a"(fl) : "r"(b) : "cc");                                       \
        return fl;                                                                                                             \
    }                                                                                                                          \
    static inline uint16_t sub##bits(type *a, type b, uint16_t old)                                                            \
    {                                                                                                                          \
        uint16_t fl;                                                                                                           \
        (void)old;                                                                                                             \
        __asm__("sub" suffix " %2, %0" TAKE_FLAGS : "+r"(*a), "=a"(fl) : "r"(b) : "cc");                                       \
        return fl;                                                                                                             \
    }                                                                                                                          \
    static inline uint16_t adc##bits(type *a, type b, uint16_t old)                                                            \
    {                                                                                                                          \
        uint16_t fl;                                                                                                           \
        __asm__("btw $8, %w3\n\tadc" suffix " %2, %0" TAKE_FLAGS : "+r"(*a), "=&a"(fl) : "r"(b), "r"(old) : "cc");             \
        return fl;                                                                                                             \
    }                                                                                                                          \
    static inline uint16_t sbb##bits(type *a, type b, uint16_t old)                                                            \
    {                                                                                                                          \
        uint16_t fl;                                                                                                           \
        __asm__("btw $8, %w3\n\tsbb" suffix " %2, %0" TAKE_FLAGS : "+r"(*a), "=&a"(fl) : "r"(b), "r"(old) : "cc");             \
        return fl;                                                                                                             \
    }                                                                                                                          \
    static inline uint16_t logic_flags##bits(type x)                                                                           \
    {                                                                                                                          \
        uint16_t fl;                                                                                                           \
        __asm__("test" suffix " %1, %1" TAKE_FLAGS : "=a"(fl) : "r"(x) : "cc");                                                \
        return fl & (uint16_t)~FL_AF;                                                                                          \
    }                                                                                                                          \
    static inline uint16_t and##bits(type *a, type b, uint16_t old)                                                            \
    {                                                                                                                          \
        (void)old;                                                                                                             \
        return logic_flags##bits(*a &= b);                                                                                     \
    }                                                                                                                          \
    static inline uint16_t or ##bits(type *a, type b, uint16_t old)                                                            \
    {                                                                                                                          \
        (void)old;                                                                                                             \
        return logic_flags##bits(*a |= b);                                                                                     \
    }                                                                                                                          \
    static inline uint16_t xor ##bits(type *a, type b, uint16_t old)                                                           \
    {                                                                                                                          \
        (void)old;                                                                                                             \
        return logic_flags##bits(*a ^= b);                                                                                     \
    }                                                                                                                          \
    static inline uint16_t inc##bits(type *a, uint16_t old)                                                                    \
    {                                                                                                                          \
        uint16_t fl;                                                                                                           \
        __asm__("inc" suffix " %0" TAKE_FLAGS : "+r"(*a), "=a"(fl) : : "cc");                                                  \
        return (uint16_t)((fl & ~FL_CF) | (old & FL_CF));                                                                      \
    }                                                                                                                          \
    static inline uint16_t dec##bits(type *a, uint16_t old)                                                                    \
    {                                                                                                                          \
        uint16_t fl;                                                                                                           \
        __asm__("dec" suffix " %0" TAKE_FLAGS : "+r"(*a), "=a"(fl) : : "cc");                                                  \
        return (uint16_t)((fl & ~FL_CF) | (old & FL_CF));                                                                      \
    }                                                                                                                          \
    static inline uint16_t neg##bits(type *a, uint16_t old)                                                                    \
    {                                                                                                                          \
        uint16_t fl;                                                                                                           \
        (void)old;                                                                                                             \
        __asm__("neg" suffix " %0" TAKE_FLAGS : "+r"(*a), "=a"(fl) : : "cc");                                                  \
        return fl;                                                                                                             \
    }                                                                                                                          \
    static inline uint16_t not ##bits(type * a, uint16_t old)                                                                  \
    {                                                                                                                          \
        *a = (type) ~*a;                                                                                                       \
        return old;                                                                                                            \
    }
ARITH_WIDTH(8, uint8_t, "b")
ARITH_WIDTH(16, uint16_t, "w")
ARITH_WIDTH(32, uint32_t, "l")
ARITH_WIDTH(64, uint64_t, "q")
#undef ARITH_WIDTH

/* Widths as X(bits, type). */
#define WIDTHS(X) X(8, uint8_t) X(16, uint16_t) X(32, uint32_t) X(64, uint64_t)

/* A table of four handlers by size_index(). */
#define BY_WIDTH(name)                                                                                                         \
    {                                                                                                                          \
        name##8, name##16, name##32, name##64                                                                                  \
    }
#define PAIRS_BY_WIDTH(name)                                                                                                   \
    {                                                                                                                          \
        {name##8, name##8_g}, {name##16, name##16_g}, {name##32, name##32_g},                                                  \
        {                                                                                                                      \
            name##64, name##64_g                                                                                               \
        }                                                                                                                      \
    }

static inline uop_fn *pick(const struct handler_pair *p, bool flat)
{
    return flat ? p->flat : p->general;
}

#endif
