/* FPREM, FPREM1, FSCALE and FXTRACT: exact but for over- and underflow. SDM 2A, their pages and tables of special operands.
 *
 * Precision control has no part in them (SDM 1 §8.1.5.2). */
#include "cpu/fp/float80.h"

/* One long division in binary: `bits` quotient bits of a/b, with a < 2b on entry, a < b after. Returns the bits' low three. */
static unsigned divide_steps(uint64_t *a, uint64_t b, unsigned bits)
{
    unsigned quotient = 0;
    bool above = false; /* bit 64 of *a */
    for (unsigned i = 0; i < bits; i++) {
        if (i != 0) {
            above = *a >> 63;
            *a <<= 1;
        }
        quotient <<= 1;
        if (above || *a >= b) {
            *a -= b;
            quotient |= 1;
        }
    }
    return quotient & 7;
}

/* a = rest * 2^(exponent - 63), |a| < |b|: the remainder with the sign of the dividend. */
static st_t remainder_value(struct f80_context *c, bool negative, uint64_t rest, int32_t exponent)
{
    if (rest == 0) {
        return st_zero(negative);
    }
    unsigned shift = (unsigned)__builtin_clzll(rest);
    return f80_round(c, negative, exponent - (int32_t)shift, rest << shift, 0);
}

/* True when twice the remainder rest * 2^exponent exceeds b, or equals it and the quotient is odd: one more step (FPREM1). */
static bool nearer_above(uint64_t rest, uint64_t b, unsigned quotient)
{
    return rest > b - rest || (rest == b - rest && (quotient & 1));
}

static struct f80_remainder remainder_finite(struct f80_context *c, struct f80 a, struct f80 b, bool nearest)
{
    struct f80_remainder r = {.defined = true};
    int32_t difference = a.exponent - b.exponent;
    uint64_t rest = a.significand;
    if (difference >= 64) { /* N is the processor's choice from 32 to 63 (SDM 2A FPREM); this one is what real ones choose */
        unsigned n = 32 + (unsigned)difference % 32;
        divide_steps(&rest, b.significand, n + 1);
        r.partial = true;
        r.value = remainder_value(c, a.negative, rest, a.exponent - (int32_t)n);
        return r;
    }
    bool negative = a.negative;
    if (difference >= 0) {
        r.quotient = divide_steps(&rest, b.significand, (unsigned)difference + 1);
        if (nearest && rest != 0 && nearer_above(rest, b.significand, r.quotient)) {
            rest = b.significand - rest;
            negative = !negative;
            r.quotient = (r.quotient + 1) & 7;
        }
        r.value = remainder_value(c, negative, rest, b.exponent);
        return r;
    }
    if (nearest && difference == -1 && a.significand > b.significand) { /* b/2 < a < b: the quotient is 1 */
        unsigned __int128 distance = ((unsigned __int128)b.significand << 1) - a.significand;
        r.quotient = 1;
        r.value = remainder_value(c, !negative, (uint64_t)distance, a.exponent); /* a > b/2, so distance < a */
        return r;
    }
    r.value = f80_round(c, a.negative, a.exponent, a.significand, 0);
    return r;
}

struct f80_remainder f80_remainder(struct f80_context *c, struct f80 a, struct f80 b, bool nearest)
{
    struct f80_remainder r = {0};
    if (f80_nan_result(c, a, b, &r.value)) {
        return r;
    }
    if (a.kind == F80_INFINITE || b.kind == F80_ZERO) {
        r.value = f80_invalid(c);
        return r;
    }
    if (f80_denormal_stops(c, a, b)) {
        r.value = st_indefinite();
        return r;
    }
    r.defined = true;
    if (a.kind == F80_ZERO) {
        r.value = st_zero(a.negative);
        return r;
    }
    if (b.kind == F80_INFINITE) {
        r.value = f80_round(c, a.negative, a.exponent, a.significand, 0);
        return r;
    }
    return remainder_finite(c, a, b, nearest);
}

/* trunc(by), within what can matter: from the smallest denormal to beyond the largest number is some 33000. */
static int32_t scale_of(struct f80 by)
{
    enum { FAR = 70000 };
    if (by.kind == F80_ZERO || by.exponent < 0) {
        return 0;
    }
    int32_t n = by.exponent > 16 ? FAR : (int32_t)(by.significand >> (63 - by.exponent));
    return by.negative ? -n : n;
}

st_t f80_scale(struct f80_context *c, struct f80 a, struct f80 by)
{
    st_t nan;
    if (f80_nan_result(c, a, by, &nan)) {
        return nan;
    }
    if (by.kind == F80_INFINITE && ((a.kind == F80_ZERO && !by.negative) || (a.kind == F80_INFINITE && by.negative))) {
        return f80_invalid(c);
    }
    if (f80_denormal_stops(c, a, by)) {
        return st_indefinite();
    }
    if (a.kind == F80_ZERO) {
        return st_zero(a.negative);
    }
    if (a.kind == F80_INFINITE) {
        return st_infinity(a.negative);
    }
    if (by.kind == F80_INFINITE) {
        return by.negative ? st_zero(a.negative) : st_infinity(a.negative);
    }
    return f80_round(c, a.negative, a.exponent + scale_of(by), a.significand, 0);
}

struct f80_parts f80_extract(struct f80_context *c, struct f80 a)
{
    st_t nan;
    if (f80_nan_result(c, a, a, &nan)) {
        return (struct f80_parts){nan, nan};
    }
    if (a.kind == F80_ZERO) {
        c->raised |= FSW_ZE;
        return (struct f80_parts){st_infinity(true), st_zero(a.negative)};
    }
    if (f80_denormal_stops(c, a, a)) {
        return (struct f80_parts){st_indefinite(), st_indefinite()};
    }
    if (a.kind == F80_INFINITE) {
        return (struct f80_parts){st_infinity(false), st_infinity(a.negative)};
    }
    struct f80 exponent = f80_from_integer(a.exponent);
    return (struct f80_parts){f80_pack(exponent), st_make(a.negative, F80_BIAS, a.significand)};
}
