/* 192-bit arithmetic, schoolbook. */
#include "cpu/fp/wide.h"

typedef unsigned __int128 u128;

static struct wide normalise(bool negative, int32_t exponent, const uint64_t *limb, unsigned limbs)
{
    struct wide r = {.negative = negative};
    unsigned skip = 0;
    while (skip < limbs && limb[skip] == 0) {
        skip++;
    }
    if (skip == limbs) {
        return (struct wide){0};
    }
    unsigned shift = (unsigned)__builtin_clzll(limb[skip]);
    r.exponent = exponent - (int32_t)(64 * skip + shift);
    uint64_t rest = 0;
    for (unsigned i = skip; i < limbs; i++) {
        uint64_t next = i + 1 < limbs ? limb[i + 1] : 0;
        uint64_t x = shift == 0 ? limb[i] : limb[i] << shift | next >> (64 - shift);
        if (i - skip < WIDE_LIMBS) {
            r.limb[i - skip] = x;
        } else {
            rest |= x;
        }
    }
    r.limb[WIDE_LIMBS - 1] |= rest != 0;
    return r;
}

struct wide wide_from_f80(struct f80 x)
{
    if (x.kind == F80_ZERO) {
        return (struct wide){0};
    }
    return (struct wide){.negative = x.negative, .exponent = x.exponent, .limb = {x.significand}};
}

struct wide wide_from_integer(int64_t i)
{
    return wide_from_f80(f80_from_integer(i));
}

struct wide wide_from_fraction(const uint64_t *limb, unsigned limbs)
{
    return normalise(false, -1, limb, limbs);
}

/* x / 2^shift in one limb more, the last bit sticky. */
static void align(const struct wide *x, unsigned shift, uint64_t to[WIDE_LIMBS + 1])
{
    uint64_t from[WIDE_LIMBS + 1] = {x->limb[0], x->limb[1], x->limb[2], 0};
    unsigned words = shift / 64, bits = shift % 64;
    uint64_t rest = 0;
    for (unsigned i = 0; i <= WIDE_LIMBS; i++) {
        to[i] = 0;
    }
    for (unsigned i = 0; i <= WIDE_LIMBS; i++) {
        uint64_t low = bits == 0 ? 0 : from[i] << (64 - bits);
        if (i + words <= WIDE_LIMBS) {
            to[i + words] |= from[i] >> bits;
        } else {
            rest |= from[i] >> bits;
        }
        if (i + words + 1 <= WIDE_LIMBS) {
            to[i + words + 1] |= low;
        } else {
            rest |= low;
        }
    }
    to[WIDE_LIMBS] |= rest != 0;
}

struct wide wide_add(struct wide a, struct wide b)
{
    if (wide_is_zero(&a)) {
        return b;
    }
    if (wide_is_zero(&b)) {
        return a;
    }
    if (a.exponent < b.exponent) {
        struct wide t = a;
        a = b;
        b = t;
    }
    int64_t distance = (int64_t)a.exponent - b.exponent;
    uint64_t y[WIDE_LIMBS + 1];
    align(&b, distance > 4 * WIDE_BITS ? 4 * WIDE_BITS : (unsigned)distance, y);
    uint64_t x[WIDE_LIMBS + 2] = {0, a.limb[0], a.limb[1], a.limb[2], 0}; /* room for a carry in front */
    bool negative = a.negative, subtract = a.negative != b.negative;
    uint64_t carry = 0;
    for (unsigned i = WIDE_LIMBS + 1; i > 0; i--) {
        u128 t = subtract ? (u128)x[i] - y[i - 1] - carry : (u128)x[i] + y[i - 1] + carry;
        x[i] = (uint64_t)t;
        carry = subtract ? (uint64_t)(t >> 64) & 1 : (uint64_t)(t >> 64);
    }
    if (!subtract) {
        x[0] = carry;
    } else if (carry) { /* b was larger (then the exponents were equal): negate */
        negative = !negative;
        carry = 1;
        for (unsigned i = WIDE_LIMBS + 1; i > 0; i--) {
            u128 t = (u128)~x[i] + carry;
            x[i] = (uint64_t)t;
            carry = (uint64_t)(t >> 64);
        }
    }
    return normalise(negative, a.exponent + 64, x, WIDE_LIMBS + 2);
}

struct wide wide_subtract(struct wide a, struct wide b)
{
    return wide_add(a, wide_negate(b));
}

struct wide wide_multiply(struct wide a, struct wide b)
{
    if (wide_is_zero(&a) || wide_is_zero(&b)) {
        return (struct wide){0};
    }
    uint64_t product[2 * WIDE_LIMBS] = {0};
    for (unsigned i = WIDE_LIMBS; i-- > 0;) {
        uint64_t carry = 0;
        for (unsigned j = WIDE_LIMBS; j-- > 0;) {
            u128 t = (u128)a.limb[i] * b.limb[j] + product[i + j + 1] + carry;
            product[i + j + 1] = (uint64_t)t;
            carry = (uint64_t)(t >> 64);
        }
        product[i] = carry;
    }
    return normalise(a.negative != b.negative, a.exponent + b.exponent + 1, product, 2 * WIDE_LIMBS);
}

/* a < b, both as 192-bit integers. */
static bool below(const uint64_t a[WIDE_LIMBS], const uint64_t b[WIDE_LIMBS])
{
    return a[0] != b[0] ? a[0] < b[0] : a[1] != b[1] ? a[1] < b[1] : a[2] < b[2];
}

static void subtract_limbs(uint64_t a[WIDE_LIMBS], const uint64_t b[WIDE_LIMBS])
{
    uint64_t borrow = 0;
    for (unsigned i = WIDE_LIMBS; i-- > 0;) {
        u128 t = (u128)a[i] - b[i] - borrow;
        a[i] = (uint64_t)t;
        borrow = (uint64_t)(t >> 64) & 1;
    }
}

/* Long division, bit by bit: the quotient of significands lies in (1/2, 2). */
struct wide wide_divide(struct wide a, struct wide b)
{
    if (wide_is_zero(&a)) {
        return a;
    }
    uint64_t quotient[WIDE_LIMBS + 2] = {0}, *rest = a.limb;
    bool above = false; /* bit 192 of the rest */
    for (unsigned i = 0; i < WIDE_BITS + 64; i++) {
        if (above || !below(rest, b.limb)) {
            subtract_limbs(rest, b.limb);
            quotient[i / 64] |= 1ULL << (63 - i % 64);
        }
        above = rest[0] >> 63;
        rest[0] = rest[0] << 1 | rest[1] >> 63;
        rest[1] = rest[1] << 1 | rest[2] >> 63;
        rest[2] <<= 1;
    }
    quotient[WIDE_LIMBS + 1] = above || rest[0] || rest[1] || rest[2];
    return normalise(a.negative != b.negative, a.exponent - b.exponent, quotient, WIDE_LIMBS + 2);
}

struct wide wide_divide_small(struct wide a, uint32_t b)
{
    uint64_t quotient[WIDE_LIMBS + 2];
    uint64_t rest = 0;
    for (unsigned i = 0; i <= WIDE_LIMBS; i++) { /* half a limb at a time: 64-bit divisions are enough */
        uint64_t limb = i < WIDE_LIMBS ? a.limb[i] : 0;
        uint64_t high = rest << 32 | limb >> 32, low = (high % b) << 32 | (uint32_t)limb;
        quotient[i] = (high / b) << 32 | low / b;
        rest = low % b;
    }
    quotient[WIDE_LIMBS + 1] = rest != 0;
    return normalise(a.negative, a.exponent, quotient, WIDE_LIMBS + 2);
}

st_t wide_round(struct f80_context *c, struct wide x, bool inexact)
{
    if (wide_is_zero(&x)) {
        return st_zero(x.negative);
    }
    return f80_round(c, x.negative, x.exponent, x.limb[0], x.limb[1] | (x.limb[2] != 0) | inexact);
}
