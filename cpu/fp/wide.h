/* Numbers of 192 bits, in which transcendentals are computed before they are rounded to 64.
 *
 * Invariants: a number is zero (limb[0] == 0) or normalised (bit 63 of limb[0] set), value = 1.fraction * 2^exponent. Each
 * operation cuts its result and, when something was cut off, sets the last bit: so an inexact result never looks exact, and a
 * final rounding goes the right way. One step errs by less than one unit in the 192nd bit.
 *
 * Leaves out infinities, NaNs and bounds of the exponent: callers take those cases first.
 */
#ifndef ORRERY_CPU_FP_WIDE_H
#define ORRERY_CPU_FP_WIDE_H

#include "cpu/fp/float80.h"

enum { WIDE_LIMBS = 3, WIDE_BITS = 192 };
struct wide {
    bool negative;
    int32_t exponent;
    uint64_t limb[WIDE_LIMBS]; /* the most significant first */
};

static inline bool wide_is_zero(const struct wide *x)
{
    return x->limb[0] == 0;
}
static inline struct wide wide_negate(struct wide x)
{
    x.negative = !x.negative;
    return x;
}
static inline struct wide wide_scale(struct wide x, int32_t exponent)
{
    x.exponent += exponent;
    return x;
}

struct wide wide_from_f80(struct f80 x); /* zero or finite */
struct wide wide_from_integer(int64_t i);
/* 0.limb[0]limb[1]... of any length, as a binary fraction. */
struct wide wide_from_fraction(const uint64_t *limb, unsigned limbs);
struct wide wide_add(struct wide a, struct wide b);
struct wide wide_subtract(struct wide a, struct wide b);
struct wide wide_multiply(struct wide a, struct wide b);
struct wide wide_divide(struct wide a, struct wide b); /* b is not zero */
struct wide wide_divide_small(struct wide a, uint32_t b);

/* To an 80-bit number of 64 bits. `inexact`: x stands for a number that has no exact form, whatever its last bits are. */
st_t wide_round(struct f80_context *c, struct wide x, bool inexact);

#endif
