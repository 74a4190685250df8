/* 80-bit numbers taken apart, rounded and put together. SDM 1 §4.2.2, §4.8, §4.9, §8.2, §8.5. */
#include "cpu/fp/float80.h"

enum { QUIET_BIT = 62 };

struct f80 f80_unpack(st_t x)
{
    unsigned biased = x.sign_exponent & 0x7fff;
    struct f80 r = {.negative = st_negative(x), .significand = x.significand, .exponent = (int32_t)biased - F80_BIAS};
    bool integer_bit = x.significand >> 63;
    if (LIKELY(biased != 0 && biased != 0x7fff)) {
        r.kind = integer_bit ? F80_FINITE : F80_UNSUPPORTED; /* unnormal, SDM 1 §8.2.2 */
    } else if (biased == 0x7fff) {
        uint64_t fraction = x.significand << 1;
        if (!integer_bit) {
            r.kind = F80_UNSUPPORTED; /* pseudo-infinity, pseudo-NaN */
        } else if (fraction == 0) {
            r.kind = F80_INFINITE;
        } else {
            r.kind = x.significand >> QUIET_BIT & 1 ? F80_QUIET : F80_SIGNALING;
        }
    } else if (x.significand == 0) {
        r.kind = F80_ZERO;
    } else { /* denormal; with the integer bit a pseudo-denormal, which counts as 2^-16382 (SDM 1 §8.2.2) */
        unsigned shift = (unsigned)__builtin_clzll(x.significand);
        r.kind = F80_FINITE;
        r.denormal = true;
        r.significand <<= shift;
        r.exponent = F80_EXPONENT_MIN - (int32_t)shift;
    }
    return r;
}

/* The two smaller formats: `fraction` left-aligned in 63 bits. */
static struct f80 unpack_small(bool negative, unsigned biased, unsigned biased_max, int32_t bias, uint64_t fraction)
{
    struct f80 r = {.negative = negative, .exponent = (int32_t)biased - bias, .significand = 1ULL << 63 | fraction};
    if (biased == biased_max) {
        r.kind = fraction == 0 ? F80_INFINITE : fraction >> QUIET_BIT & 1 ? F80_QUIET : F80_SIGNALING;
    } else if (biased != 0) {
        r.kind = F80_FINITE;
    } else if (fraction == 0) {
        r.kind = F80_ZERO;
        r.significand = 0;
    } else {
        unsigned shift = (unsigned)__builtin_clzll(fraction);
        r.kind = F80_FINITE;
        r.denormal = true;
        r.significand = fraction << shift;
        r.exponent = 1 - bias - (int32_t)shift;
    }
    return r;
}

struct f80 f80_from_f32(uint32_t bits)
{
    return unpack_small(bits >> 31, bits >> 23 & 0xff, 0xff, 127, (uint64_t)(bits & 0x7fffff) << 40);
}

struct f80 f80_from_f64(uint64_t bits)
{
    return unpack_small(bits >> 63, bits >> 52 & 0x7ff, 0x7ff, 1023, (bits & 0xfffffffffffffULL) << 11);
}

struct f80 f80_from_integer(int64_t i)
{
    if (i == 0) {
        return (struct f80){.kind = F80_ZERO};
    }
    uint64_t magnitude = i < 0 ? -(uint64_t)i : (uint64_t)i;
    unsigned shift = (unsigned)__builtin_clzll(magnitude);
    return (struct f80){
        .kind = F80_FINITE, .negative = i < 0, .exponent = 63 - (int32_t)shift, .significand = magnitude << shift};
}

st_t f80_pack(struct f80 x)
{
    switch (x.kind) {
    case F80_ZERO:
        return st_zero(x.negative);
    case F80_FINITE:
        return st_make(x.negative, (unsigned)(x.exponent + F80_BIAS), x.significand);
    default:
        return st_make(x.negative, 0x7fff, x.significand);
    }
}

struct f80_rounded f80_round_bits(enum f80_rounding rounding, bool negative, uint64_t significand, uint64_t low, unsigned bits)
{
    uint64_t dropped = bits == 64 ? 0 : ~0ULL >> bits; /* bits of `significand` that go */
    bool half, sticky;
    if (bits == 64) {
        half = low >> 63;
        sticky = low << 1;
    } else {
        half = significand >> (63 - bits) & 1;
        sticky = (significand & dropped >> 1) | low;
    }
    struct f80_rounded r = {.significand = significand & ~dropped, .inexact = half || sticky};
    switch (rounding) {
    case ROUND_NEAREST:
        r.up = half && (sticky || (r.significand & (dropped + 1)));
        break;
    case ROUND_DOWN:
        r.up = negative && r.inexact;
        break;
    case ROUND_UP:
        r.up = !negative && r.inexact;
        break;
    case ROUND_ZERO:
        break;
    }
    if (r.up) {
        r.significand += dropped + 1;
        r.carry = r.significand == 0;
    }
    return r;
}

/* SDM 1 §4.9.1.4 and table 4-10: infinity, or the largest number when rounding leads away from infinity. */
static st_t overflow_masked(struct f80_context *c, bool negative, unsigned bits)
{
    enum f80_rounding rounding = f80_rounding(c);
    bool away = rounding == ROUND_NEAREST || rounding == (negative ? ROUND_DOWN : ROUND_UP);
    c->raised |= FSW_OE | FSW_PE;
    if (away) {
        c->raised |= FSW_C1;
        return st_infinity(negative);
    }
    return st_make(negative, 0x7ffe, ~0ULL << (64 - bits));
}

/* Unmasked: the exponent wraps, so that the handler has the significand (SDM 1 §8.5.4, §8.5.5). What is out of reach even so
 * ("massive", only FSCALE and a few transcendentals can) becomes infinity or zero. */
static st_t wrapped(struct f80_context *c, bool negative, int32_t exponent, uint64_t significand)
{
    if (exponent > F80_EXPONENT_MAX) {
        c->raised |= FSW_PE | FSW_C1;
        return st_infinity(negative);
    }
    if (exponent < F80_EXPONENT_MIN) {
        c->raised = (c->raised | FSW_PE) & ~FSW_C1;
        return st_zero(negative);
    }
    return st_make(negative, (unsigned)(exponent + F80_BIAS), significand);
}

static void note_rounding(struct f80_context *c, struct f80_rounded r)
{
    if (r.inexact) {
        c->raised |= FSW_PE;
    }
    if (r.up) {
        c->raised |= FSW_C1;
    }
}

/* Below the smallest normal number. Tininess is decided after rounding to the full exponent range (SDM 1 §4.9.1.5). */
static st_t round_tiny(struct f80_context *c, bool negative, int32_t exponent, uint64_t significand, uint64_t low,
                       unsigned bits)
{
    struct f80_rounded unbounded = f80_round_bits(f80_rounding(c), negative, significand, low, bits);
    bool tiny = !(exponent == F80_EXPONENT_MIN - 1 && unbounded.carry);
    if (tiny && !(c->control & FSW_UE)) {
        c->raised |= FSW_UE;
        note_rounding(c, unbounded);
        return wrapped(c, negative, exponent + F80_WRAP + unbounded.carry,
                       unbounded.carry ? 1ULL << 63 : unbounded.significand);
    }
    unsigned shift = (unsigned)(F80_EXPONENT_MIN - exponent);
    if (shift < 64) {
        low = significand << (64 - shift) | (low >> shift) | ((low << (64 - shift)) != 0);
        significand >>= shift;
    } else {
        low = shift == 64 ? significand | (low != 0) : 1;
        significand = 0;
    }
    struct f80_rounded r = f80_round_bits(f80_rounding(c), negative, significand, low, bits);
    note_rounding(c, r);
    if (r.inexact && tiny) {
        c->raised |= FSW_UE;
    }
    return st_make(negative, (unsigned)(r.significand >> 63), r.significand);
}

static st_t round_to(struct f80_context *c, bool negative, int32_t exponent, uint64_t significand, uint64_t low, unsigned bits)
{
    if (UNLIKELY(exponent < F80_EXPONENT_MIN)) {
        return round_tiny(c, negative, exponent, significand, low, bits);
    }
    struct f80_rounded r = f80_round_bits(f80_rounding(c), negative, significand, low, bits);
    if (r.carry) {
        r.significand = 1ULL << 63;
        exponent++;
    }
    if (UNLIKELY(exponent > F80_EXPONENT_MAX)) {
        if (c->control & FSW_OE) {
            return overflow_masked(c, negative, bits);
        }
        c->raised |= FSW_OE;
        note_rounding(c, r);
        return wrapped(c, negative, exponent - F80_WRAP, r.significand);
    }
    note_rounding(c, r);
    return st_make(negative, (unsigned)(exponent + F80_BIAS), r.significand);
}

st_t f80_round(struct f80_context *c, bool negative, int32_t exponent, uint64_t significand, uint64_t low)
{
    return round_to(c, negative, exponent, significand, low, 64);
}

/* PC, SDM 1 table 8-2. The reserved encoding 01 rounds to 64 bits. */
st_t f80_round_controlled(struct f80_context *c, bool negative, int32_t exponent, uint64_t significand, uint64_t low)
{
    static const uint8_t precision[4] = {24, 64, 53, 64};
    return round_to(c, negative, exponent, significand, low, precision[c->control >> FCW_PC_SHIFT & 3]);
}

st_t f80_invalid(struct f80_context *c)
{
    c->raised |= FSW_IE;
    return st_indefinite();
}

/* SDM 1 table 4-7, x87 column: a QNaN wins over an SNaN; of two alike, the larger significand; of two equal ones, the positive.
 */
bool f80_nan_result(struct f80_context *c, struct f80 a, struct f80 b, st_t *result)
{
    if (LIKELY(a.kind < F80_QUIET && b.kind < F80_QUIET)) {
        return false;
    }
    if (a.kind == F80_UNSUPPORTED || b.kind == F80_UNSUPPORTED) {
        *result = f80_invalid(c);
        return true;
    }
    if (a.kind == F80_SIGNALING || b.kind == F80_SIGNALING) {
        c->raised |= FSW_IE;
    }
    struct f80 winner = a;
    if (!f80_is_nan(a)) {
        winner = b;
    } else if (f80_is_nan(b)) {
        if (a.kind != b.kind) {
            winner = a.kind == F80_QUIET ? a : b;
        } else if (a.significand != b.significand) {
            winner = a.significand > b.significand ? a : b;
        } else {
            winner.negative = a.negative && b.negative;
        }
    }
    *result = st_make(winner.negative, 0x7fff, winner.significand | 1ULL << QUIET_BIT);
    return true;
}

bool f80_denormal_stops(struct f80_context *c, struct f80 a, struct f80 b)
{
    if (LIKELY(!a.denormal && !b.denormal)) {
        return false;
    }
    c->raised |= FSW_DE;
    return !(c->control & FSW_DE);
}
