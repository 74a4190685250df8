/* Add, subtract, multiply, divide, square root and compare. SDM 1 §8.3.5, §8.3.6; special operands by SDM 2A FADD to FDIVR,
 * FSQRT.
 *
 * Each takes the special operands in the SDM's order of precedence (invalid, NaN, zero divide, denormal; SDM 1 §4.9.2), then
 * computes 64 bits and 64 more of which the last is sticky: rounding once from there is exact. */
#include "cpu/fp/float80.h"

typedef unsigned __int128 u128;

static u128 shift_right_jam(u128 x, unsigned shift)
{
    if (shift == 0) {
        return x;
    }
    return shift > 127 ? x != 0 : x >> shift | (x << (128 - shift) != 0);
}

static st_t round_u128(struct f80_context *c, bool negative, int32_t exponent, u128 x)
{
    unsigned shift = x >> 64 ? (unsigned)__builtin_clzll((uint64_t)(x >> 64)) : 64 + (unsigned)__builtin_clzll((uint64_t)x);
    x <<= shift;
    return f80_round_controlled(c, negative, exponent - (int32_t)shift, (uint64_t)(x >> 64), (uint64_t)x);
}

/* |a| + |b| with the sign of a, or |a| - |b| with the sign of the larger; both finite. */
static st_t add_magnitudes(struct f80_context *c, struct f80 a, struct f80 b)
{
    if (a.exponent < b.exponent) {
        struct f80 t = a;
        a = b;
        b = t;
    }
    /* One bit of room above for the carry. */
    u128 x = (u128)a.significand << 63, y = shift_right_jam((u128)b.significand << 63, (unsigned)(a.exponent - b.exponent));
    if (a.negative == b.negative) {
        return round_u128(c, a.negative, a.exponent + 1, x + y);
    }
    if (x == y) { /* an exact zero is positive, but negative when rounding down (SDM 2A FADD) */
        return st_zero(f80_rounding(c) == ROUND_DOWN);
    }
    return x > y ? round_u128(c, a.negative, a.exponent + 1, x - y) : round_u128(c, b.negative, a.exponent + 1, y - x);
}

st_t f80_add(struct f80_context *c, struct f80 a, struct f80 b)
{
    st_t nan;
    if (f80_nan_result(c, a, b, &nan)) {
        return nan;
    }
    if (a.kind == F80_INFINITE && b.kind == F80_INFINITE && a.negative != b.negative) {
        return f80_invalid(c);
    }
    if (f80_denormal_stops(c, a, b)) {
        return st_indefinite();
    }
    if (a.kind == F80_FINITE && b.kind == F80_FINITE) {
        return add_magnitudes(c, a, b);
    }
    if (a.kind == F80_INFINITE || b.kind == F80_INFINITE) {
        return st_infinity(a.kind == F80_INFINITE ? a.negative : b.negative);
    }
    if (a.kind == F80_ZERO && b.kind == F80_ZERO) {
        return st_zero(a.negative == b.negative ? a.negative : f80_rounding(c) == ROUND_DOWN);
    }
    struct f80 x = a.kind == F80_ZERO ? b : a;
    return f80_round_controlled(c, x.negative, x.exponent, x.significand, 0);
}

st_t f80_subtract(struct f80_context *c, struct f80 a, struct f80 b)
{
    if (!f80_is_nan(b)) {
        b.negative = !b.negative;
    }
    return f80_add(c, a, b);
}

st_t f80_multiply(struct f80_context *c, struct f80 a, struct f80 b)
{
    st_t nan;
    if (f80_nan_result(c, a, b, &nan)) {
        return nan;
    }
    bool infinite = a.kind == F80_INFINITE || b.kind == F80_INFINITE, zero = a.kind == F80_ZERO || b.kind == F80_ZERO;
    bool negative = a.negative != b.negative;
    if (infinite && zero) {
        return f80_invalid(c);
    }
    if (f80_denormal_stops(c, a, b)) {
        return st_indefinite();
    }
    if (infinite) {
        return st_infinity(negative);
    }
    if (zero) {
        return st_zero(negative);
    }
    return round_u128(c, negative, a.exponent + b.exponent + 1, (u128)a.significand * b.significand);
}

st_t f80_divide(struct f80_context *c, struct f80 a, struct f80 b)
{
    st_t nan;
    if (f80_nan_result(c, a, b, &nan)) {
        return nan;
    }
    bool negative = a.negative != b.negative;
    if (a.kind == b.kind && a.kind != F80_FINITE) { /* 0/0, inf/inf */
        return f80_invalid(c);
    }
    if (b.kind == F80_ZERO && a.kind == F80_FINITE) {
        c->raised |= FSW_ZE;
        return st_infinity(negative);
    }
    if (f80_denormal_stops(c, a, b)) {
        return st_indefinite();
    }
    if (a.kind == F80_INFINITE || b.kind == F80_ZERO) {
        return st_infinity(negative);
    }
    if (a.kind == F80_ZERO || b.kind == F80_INFINITE) {
        return st_zero(negative);
    }
    /* Quotient of significands lies in (1/2, 2): scale the dividend so that it lies in [1/2, 1) and get 64 bits, then 64 more.
     */
    unsigned shift = a.significand >= b.significand;
    u128 dividend = (u128)a.significand << (64 - shift);
    uint64_t high = (uint64_t)(dividend / b.significand), rest = (uint64_t)(dividend % b.significand);
    u128 second = (u128)rest << 64;
    uint64_t low = (uint64_t)(second / b.significand);
    low |= second % b.significand != 0;
    return round_u128(c, negative, a.exponent - b.exponent - 1 + (int32_t)shift, (u128)high << 64 | low);
}

/* floor(sqrt(x)) and the remainder, digit by digit. x >= 2^126. */
static uint64_t integer_sqrt(u128 x, u128 *remainder)
{
    uint64_t root = 0;
    u128 rest = 0;
    for (unsigned i = 0; i < 64; i++) {
        rest = rest << 2 | x >> 126;
        x <<= 2;
        u128 trial = (u128)root << 2 | 1;
        root <<= 1;
        if (rest >= trial) {
            rest -= trial;
            root |= 1;
        }
    }
    *remainder = rest;
    return root;
}

st_t f80_sqrt(struct f80_context *c, struct f80 a)
{
    st_t nan;
    if (f80_nan_result(c, a, a, &nan)) {
        return nan;
    }
    if (a.kind == F80_ZERO) {
        return st_zero(a.negative);
    }
    if (a.negative) {
        return f80_invalid(c);
    }
    if (f80_denormal_stops(c, a, a)) {
        return st_indefinite();
    }
    if (a.kind == F80_INFINITE) {
        return st_infinity(false);
    }
    bool odd = a.exponent & 1;
    u128 rest;
    uint64_t root = integer_sqrt((u128)a.significand << (odd ? 64 : 63), &rest);
    /* (root + 1/2)^2 = root^2 + root + 1/4: the rest tells on which side of the half the exact root lies; never on it. */
    uint64_t low = rest == 0 ? 0 : rest > root ? 1ULL << 63 | 1 : 1;
    return f80_round_controlled(c, false, (a.exponent - odd) / 2, root, low);
}

enum f80_order f80_compare(struct f80_context *c, struct f80 a, struct f80 b, bool signaling)
{
    if (a.kind >= F80_QUIET || b.kind >= F80_QUIET) {
        if (signaling || a.kind > F80_QUIET || b.kind > F80_QUIET) {
            c->raised |= FSW_IE;
        }
        return F80_UNORDERED;
    }
    f80_denormal_stops(c, a, b); /* whether the order counts all the same, the caller decides */
    if (a.kind == F80_ZERO && b.kind == F80_ZERO) {
        return F80_EQUAL;
    }
    bool a_negative = a.kind == F80_ZERO ? b.negative == false : a.negative; /* a zero lies on the other side of b */
    bool b_negative = b.kind == F80_ZERO ? a.negative == false : b.negative;
    if (a_negative != b_negative) {
        return a_negative ? F80_LESS : F80_GREATER;
    }
    /* Same sign, neither is zero: infinity is the largest. */
    int order = (a.kind == F80_INFINITE) - (b.kind == F80_INFINITE);
    if (order == 0 && a.kind == F80_FINITE) {
        order = a.exponent != b.exponent ? (a.exponent > b.exponent ? 1 : -1)
                                         : (a.significand > b.significand) - (a.significand < b.significand);
    }
    if (order == 0) {
        return F80_EQUAL;
    }
    return (order > 0) != a_negative ? F80_GREATER : F80_LESS;
}
