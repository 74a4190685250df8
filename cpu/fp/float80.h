/* The x87's arithmetic in integers: 80-bit operands, every rounding and precision control, every flag. SDM 1 §4.8, §8.
 *
 * Written in software, so that no host's processor, compiler or floating-point mode has a say in a guest's result.
 *
 * Invariants:
 *  - An operation reads the control word and adds to `raised`; it keeps nothing else and touches no guest state.
 *  - `raised` has the layout of the x87 status word: exceptions in bits 5-0, C1 (rounded up) in bit 9.
 *  - After an unmasked IE, ZE or DE ("pre-computation", SDM 1 §4.9.3) the value returned means nothing: the caller leaves its
 *    operands as they are. f80_stopped() tells.
 *
 * Leaves out: the register stack, its faults, C0, C2 and C3 in the status word; they belong to exec/x87.c.
 */
#ifndef ORRERY_CPU_FP_FLOAT80_H
#define ORRERY_CPU_FP_FLOAT80_H

#include "cpu/state.h"

/* Status word, SDM 1 §8.1.3. */
enum {
    FSW_IE = 0x0001,
    FSW_DE = 0x0002,
    FSW_ZE = 0x0004,
    FSW_OE = 0x0008,
    FSW_UE = 0x0010,
    FSW_PE = 0x0020,
    FSW_EXCEPTIONS = 0x003f,
    FSW_SF = 0x0040,
    FSW_ES = 0x0080,
    FSW_C0 = 0x0100,
    FSW_C1 = 0x0200,
    FSW_C2 = 0x0400,
    FSW_TOP_SHIFT = 11,
    FSW_TOP = 0x3800,
    FSW_C3 = 0x4000,
    FSW_B = 0x8000,
};
/* Control word, SDM 1 §8.1.5: masks in bits 5-0 as the exceptions; PC in 9-8, RC in 11-10. */
enum { FCW_PC_SHIFT = 8, FCW_RC_SHIFT = 10, FCW_INITIAL = 0x037f };
enum f80_rounding { ROUND_NEAREST, ROUND_DOWN, ROUND_UP, ROUND_ZERO };

struct f80_context {
    uint16_t control;
    uint16_t raised;
};

/* A number taken apart. Finite ones are normalised (bit 63 of the significand set), value = significand * 2^(exponent - 63),
 * whatever the exponent: it is unbiased and unbounded here. NaNs keep their significand. */
enum f80_kind { F80_ZERO, F80_FINITE, F80_INFINITE, F80_QUIET, F80_SIGNALING, F80_UNSUPPORTED };
struct f80 {
    uint8_t kind;
    bool negative;
    bool denormal; /* in the format it came from: raises DE when used */
    int32_t exponent;
    uint64_t significand;
};
enum { F80_BIAS = 16383, F80_EXPONENT_MAX = 16383, F80_EXPONENT_MIN = -16382, F80_WRAP = 24576 };

static inline st_t st_make(bool negative, unsigned biased_exponent, uint64_t significand)
{
    return (st_t){.significand = significand, .sign_exponent = (uint16_t)(negative << 15 | biased_exponent)};
}
static inline st_t st_zero(bool negative)
{
    return st_make(negative, 0, 0);
}
static inline st_t st_infinity(bool negative)
{
    return st_make(negative, 0x7fff, 1ULL << 63);
}
static inline st_t st_one(bool negative)
{
    return st_make(negative, F80_BIAS, 1ULL << 63);
}
/* QNaN floating-point indefinite, SDM 1 table 4-3. */
static inline st_t st_indefinite(void)
{
    return st_make(true, 0x7fff, 3ULL << 62);
}
static inline bool st_negative(st_t x)
{
    return x.sign_exponent >> 15;
}
static inline bool f80_is_nan(struct f80 x)
{
    return x.kind == F80_QUIET || x.kind == F80_SIGNALING;
}
static inline enum f80_rounding f80_rounding(const struct f80_context *c)
{
    return c->control >> FCW_RC_SHIFT & 3;
}
/* An exception that leaves operands alone was raised and is not masked. */
static inline bool f80_stopped(const struct f80_context *c)
{
    return c->raised & ~c->control & (FSW_IE | FSW_DE | FSW_ZE);
}

/* ---- float80.c: taking apart and putting together ---- */

struct f80 f80_unpack(st_t x);
struct f80 f80_from_f32(uint32_t bits);
struct f80 f80_from_f64(uint64_t bits);
struct f80 f80_from_integer(int64_t i);
/* Without rounding: x came from one of the formats above and is not denormal as an 80-bit number. */
st_t f80_pack(struct f80 x);

/* Rounds (significand:low) * 2^(exponent - 63 - 64) to 64 bits, or to the control word's precision, with overflow and underflow
 * as SDM 1 §4.9.1 and §8.5 have them. Bit 63 of `significand` is set. */
st_t f80_round(struct f80_context *c, bool negative, int32_t exponent, uint64_t significand, uint64_t low);
st_t f80_round_controlled(struct f80_context *c, bool negative, int32_t exponent, uint64_t significand, uint64_t low);

/* Invalid operation: raises IE, the masked response is the indefinite. */
st_t f80_invalid(struct f80_context *c);
/* True when an operand is a NaN or unsupported; *result is then the masked response (SDM 1 table 4-7). */
bool f80_nan_result(struct f80_context *c, struct f80 a, struct f80 b, st_t *result);
/* Raises DE when an operand is denormal; true when that stops the operation. */
bool f80_denormal_stops(struct f80_context *c, struct f80 a, struct f80 b);
/* One step of rounding; 24, 53 or 64 bits are kept. */
struct f80_rounded {
    uint64_t significand;
    bool carry; /* it became 2.0: the significand is 1.0 again */
    bool inexact, up;
};
struct f80_rounded f80_round_bits(enum f80_rounding rounding, bool negative, uint64_t significand, uint64_t low, unsigned bits);

/* ---- float80_arith.c ---- */

st_t f80_add(struct f80_context *c, struct f80 a, struct f80 b);
st_t f80_subtract(struct f80_context *c, struct f80 a, struct f80 b);
st_t f80_multiply(struct f80_context *c, struct f80 a, struct f80 b);
st_t f80_divide(struct f80_context *c, struct f80 a, struct f80 b);
st_t f80_sqrt(struct f80_context *c, struct f80 a);

enum f80_order { F80_LESS, F80_EQUAL, F80_GREATER, F80_UNORDERED };
/* FCOM is signaling: a QNaN is invalid too; FUCOM is not. The order is right even when an unmasked exception was raised. */
enum f80_order f80_compare(struct f80_context *c, struct f80 a, struct f80 b, bool signaling);

/* ---- float80_convert.c ---- */

/* To a smaller format; IE, OE, UE, PE as raised. The value means nothing after an unmasked IE, OE or UE. */
uint32_t f80_to_f32(struct f80_context *c, struct f80 x);
uint64_t f80_to_f64(struct f80_context *c, struct f80 x);
/* To an integer of 2, 4 or 8 bytes; the integer indefinite (and IE) when it does not fit. */
int64_t f80_to_integer(struct f80_context *c, struct f80 x, unsigned bytes, enum f80_rounding rounding);
/* 18 digits of packed BCD, SDM 1 §4.7. */
void f80_to_bcd(struct f80_context *c, struct f80 x, uint8_t to[10]);
struct f80 f80_from_bcd(const uint8_t from[10]);
st_t f80_round_to_integer(struct f80_context *c, struct f80 x);

/* ---- float80_scale.c ---- */

struct f80_remainder {
    st_t value;
    unsigned quotient; /* its low three bits */
    bool partial;      /* C2: reduction is not complete */
    bool defined;      /* there is a quotient: neither a NaN nor an exception */
};
/* FPREM (quotient chopped) and FPREM1 (to nearest even). */
struct f80_remainder f80_remainder(struct f80_context *c, struct f80 a, struct f80 b, bool nearest);
st_t f80_scale(struct f80_context *c, struct f80 a, struct f80 by);
struct f80_parts {
    st_t exponent, significand;
};
struct f80_parts f80_extract(struct f80_context *c, struct f80 a);

/* ---- transcendental.c ---- */

/* False: |x| >= 2^63, out of range: C2, nothing else happens. `sine` or `cosine` may be NULL. */
bool f80_sine_cosine(struct f80_context *c, struct f80 x, st_t *sine, st_t *cosine);
/* As above. *one is what FPTAN pushes: 1.0, or the NaN again. */
bool f80_tangent(struct f80_context *c, struct f80 x, st_t *tangent, st_t *one);
st_t f80_arctangent(struct f80_context *c, struct f80 y, struct f80 x);
st_t f80_power_minus_1(struct f80_context *c, struct f80 x);               /* 2^x - 1, |x| <= 1 */
st_t f80_y_log2(struct f80_context *c, struct f80 y, struct f80 x);        /* y * log2(x) */
st_t f80_y_log2_plus_1(struct f80_context *c, struct f80 y, struct f80 x); /* y * log2(x + 1) */

#endif
