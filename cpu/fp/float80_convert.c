/* From 80 bits to smaller formats, integers and packed BCD, and to an integral value. SDM 1 §4.8.4, §8.3.3; SDM 2A FST, FIST,
 * FISTTP, FBSTP, FRNDINT. The way in (FLD m32, FILD) is exact and needs no rounding: float80.c. */
#include "cpu/fp/float80.h"

/* A smaller binary format: `fraction_bits` without the leading one. */
struct small_format {
    unsigned fraction_bits;
    int32_t bias;
    uint64_t exponent_all; /* all ones, in place */
};
static const struct small_format single = {23, 127, 0xffULL << 23}, real = {52, 1023, 0x7ffULL << 52};

static uint64_t small_finite(struct f80_context *c, struct f80 x, const struct small_format *f)
{
    enum f80_rounding rounding = f80_rounding(c);
    unsigned bits = f->fraction_bits + 1;
    int32_t biased = x.exponent + f->bias;
    struct f80_rounded r = f80_round_bits(rounding, x.negative, x.significand, 0, bits);
    bool tiny = biased < 0 || (biased == 0 && !r.carry);
    if (biased <= 0) {
        if (tiny && !(c->control & FSW_UE)) { /* nothing will be stored: SDM 1 §8.5.5 */
            c->raised |= FSW_UE;
            return 0;
        }
        unsigned shift = (unsigned)(1 - biased); /* at least 1 */
        uint64_t high = shift < 64 ? x.significand >> shift : 0;
        uint64_t low = shift < 64 ? x.significand << (64 - shift) : 1;
        r = f80_round_bits(rounding, x.negative, high, low, bits);
        if (r.inexact && tiny) {
            c->raised |= FSW_UE;
        }
        biased = (int32_t)(r.significand >> 63);
    } else if (r.carry) {
        r.significand = 1ULL << 63;
        biased++;
    }
    uint64_t exponent_all = f->exponent_all >> f->fraction_bits;
    if (biased >= (int32_t)exponent_all) {
        c->raised |= FSW_OE;
        if (!(c->control & FSW_OE)) {
            return 0;
        }
        bool away = rounding == ROUND_NEAREST || rounding == (x.negative ? ROUND_DOWN : ROUND_UP);
        c->raised |= FSW_PE | (away ? FSW_C1 : 0);
        return away ? f->exponent_all : f->exponent_all - 1;
    }
    c->raised |= (r.inexact ? FSW_PE : 0) | (r.up ? FSW_C1 : 0);
    return (uint64_t)biased << f->fraction_bits | (r.significand << 1 >> (64 - f->fraction_bits));
}

static uint64_t to_small(struct f80_context *c, struct f80 x, const struct small_format *f)
{
    uint64_t sign = (uint64_t)x.negative, value = 0;
    switch (x.kind) {
    case F80_ZERO:
        break;
    case F80_FINITE:
        value = small_finite(c, x, f);
        break;
    case F80_INFINITE:
        value = f->exponent_all;
        break;
    case F80_UNSUPPORTED:
        c->raised |= FSW_IE;
        sign = 1;
        value = f->exponent_all | 1ULL << (f->fraction_bits - 1);
        break;
    case F80_SIGNALING:
        c->raised |= FSW_IE;
        x.significand |= 1ULL << 62;
        /* fall through */
    default:
        value = f->exponent_all | x.significand << 1 >> (64 - f->fraction_bits);
        break;
    }
    return sign << (f->fraction_bits == 23 ? 31 : 63) | value;
}

uint32_t f80_to_f32(struct f80_context *c, struct f80 x)
{
    return (uint32_t)to_small(c, x, &single);
}

uint64_t f80_to_f64(struct f80_context *c, struct f80 x)
{
    return to_small(c, x, &real);
}

/* The magnitude as an integer, with what was dropped told by PE and C1 in *raised; false when it needs more than 64 bits. */
static bool integral_magnitude(struct f80 x, enum f80_rounding rounding, uint64_t *magnitude, uint16_t *raised)
{
    *magnitude = 0;
    *raised = 0;
    if (x.kind == F80_ZERO) {
        return true;
    }
    if (x.kind != F80_FINITE || x.exponent > 63) {
        return false;
    }
    unsigned shift = (unsigned)(63 - x.exponent);
    uint64_t high = shift < 64 ? x.significand >> shift : 0;
    uint64_t low = shift == 0 ? 0 : shift < 64 ? x.significand << (64 - shift) : shift == 64 ? x.significand : 1;
    struct f80_rounded r = f80_round_bits(rounding, x.negative, high, low, 64);
    *magnitude = r.significand;
    *raised = (r.inexact ? FSW_PE : 0) | (r.up ? FSW_C1 : 0);
    return !r.carry;
}

int64_t f80_to_integer(struct f80_context *c, struct f80 x, unsigned bytes, enum f80_rounding rounding)
{
    uint64_t magnitude, limit = 1ULL << (8 * bytes - 1); /* as a negative number it still fits */
    uint16_t raised;
    if (!integral_magnitude(x, rounding, &magnitude, &raised) || magnitude > limit - !x.negative) {
        c->raised |= FSW_IE;
        return (int64_t)-limit;
    }
    c->raised |= raised;
    return (int64_t)(x.negative ? -magnitude : magnitude);
}

void f80_to_bcd(struct f80_context *c, struct f80 x, uint8_t to[10])
{
    uint64_t magnitude;
    uint16_t raised;
    if (!integral_magnitude(x, f80_rounding(c), &magnitude, &raised) || magnitude > 999999999999999999ULL) {
        static const uint8_t indefinite[10] = {0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff}; /* SDM 1 table 4-4 */
        c->raised |= FSW_IE;
        __builtin_memcpy(to, indefinite, 10);
        return;
    }
    c->raised |= raised;
    for (unsigned i = 0; i < 9; i++) {
        unsigned pair = (unsigned)(magnitude % 100);
        magnitude /= 100;
        to[i] = (uint8_t)(pair / 10 << 4 | pair % 10);
    }
    to[9] = x.negative ? 0x80 : 0;
}

/* Digits above 9 are undefined (SDM 2A FBLD): each counts its own value here. */
struct f80 f80_from_bcd(const uint8_t from[10])
{
    uint64_t magnitude = 0; /* at most 15 * 111111111111111111 */
    for (unsigned i = 9; i-- > 0;) {
        magnitude = magnitude * 100 + (from[i] >> 4) * 10u + (from[i] & 15);
    }
    struct f80 r = f80_from_integer((int64_t)magnitude);
    r.negative = from[9] >> 7; /* -0 too */
    return r;
}

st_t f80_round_to_integer(struct f80_context *c, struct f80 x)
{
    st_t nan;
    if (f80_nan_result(c, x, x, &nan)) {
        return nan;
    }
    if (f80_denormal_stops(c, x, x)) {
        return st_indefinite();
    }
    if (x.kind != F80_FINITE || x.exponent >= 63) {
        return f80_pack(x);
    }
    uint64_t magnitude;
    uint16_t raised;
    integral_magnitude(x, f80_rounding(c), &magnitude, &raised);
    c->raised |= raised;
    if (magnitude == 0) {
        return st_zero(x.negative);
    }
    struct f80 r = f80_from_integer((int64_t)magnitude); /* up to 2^63, whose sign is put right next */
    r.negative = x.negative;
    return f80_pack(r);
}
