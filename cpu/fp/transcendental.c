/* FSIN, FCOS, FSINCOS, FPTAN, FPATAN, F2XM1, FYL2X, FYL2XP1. SDM 1 §8.3.7-§8.3.10 and their pages in SDM 2A.
 *
 * Each reduces its argument to where a power series converges, sums the series in 192 bits and rounds once, as the rounding
 * control says (precision control has no part in it, SDM 1 §8.1.5.2). An error below 2^-120 of the result leaves a wrong last
 * bit one case in 2^50 or so: a correctly rounded result, the same on every host, where the SDM asks for one unit in the last
 * place.
 *
 * Chosen where the SDM leaves it open:
 *  - Trigonometric arguments are reduced by an exact pi. (SDM 1 §8.3.8 describes one of 66 bits inside Intel's processors,
 * which loses accuracy near multiples of pi.)
 *  - F2XM1 outside [-1, 1] gives its operand back, and PE (as processors seen do). FYL2XP1 outside its range computes the same
 * function as far as there is one; from -1 down its operand comes back too.
 *  - C1 after FSINCOS: one of the two results was rounded up.
 */
#include "cpu/fp/wide.h"

static const struct wide wide_pi = {.exponent = 1, .limb = {0xc90fdaa22168c234, 0xc4c6628b80dc1cd1, 0x29024e088a67cc74}};
static const struct wide wide_one = {.exponent = 0, .limb = {1ULL << 63}};
static const struct wide wide_ln2 = {.exponent = -1, .limb = {0xb17217f7d1cf79ab, 0xc9e3b39803f2f6af, 0x40f343267298b62d}};
static const struct wide wide_log2_e = {.exponent = 0, .limb = {0xb8aa3b295c17f0bb, 0xbe87fed0691d3e88, 0xeb577aa8dd695a58}};
enum { REDUCTION_LIMBS = 5 };
static const uint64_t two_over_pi[REDUCTION_LIMBS] = {0xa2f9836e4e441529, 0xfc2757d1f534ddc0, 0xdb6295993c439041,
                                                      0xfe5163abdebbc561,
                                                      0xb7246e3a424dd2e0}; /* as a binary fraction, 320 bits */

/* ---- series ---- */

/* A term that cannot move the sum any more; it was still added, so that the sum's last bit knows of it. */
static bool negligible(const struct wide *term, const struct wide *sum)
{
    return wide_is_zero(term) || term->exponent < sum->exponent - WIDE_BITS;
}

/* first * (1 - a^2/((n)(n+1)) + a^4/((n)..(n+3)) - ...): the sine (first a, n 2) or the cosine (first 1, n 1). */
static struct wide trigonometric_series(struct wide first, struct wide a, uint32_t n)
{
    struct wide square = wide_negate(wide_multiply(a, a)), term = first, sum = first;
    do {
        term = wide_divide_small(wide_multiply(term, square), n * (n + 1));
        sum = wide_add(sum, term);
        n += 2;
    } while (!negligible(&term, &sum));
    return sum;
}

/* s + s^3/3 + s^5/5 + ... = artanh(s), or with alternating signs arctan(s). |s| < 1/2. */
static struct wide odd_series(struct wide s, bool alternating)
{
    struct wide square = wide_multiply(s, s), power = s, sum = s, term;
    if (alternating) {
        square = wide_negate(square);
    }
    uint32_t n = 1;
    do {
        power = wide_multiply(power, square);
        n += 2;
        term = wide_divide_small(power, n);
        sum = wide_add(sum, term);
    } while (!negligible(&term, &sum));
    return sum;
}

/* a + a^2/2! + a^3/3! + ... = e^a - 1. |a| <= ln 2. */
static struct wide exponential_series(struct wide a)
{
    struct wide term = a, sum = a;
    uint32_t n = 1;
    do {
        term = wide_divide_small(wide_multiply(term, a), ++n);
        sum = wide_add(sum, term);
    } while (!negligible(&term, &sum));
    return sum;
}

/* ---- sine, cosine, tangent ---- */

/* |x| = (quadrant + fraction) * pi/2 with |fraction| <= 1/2; returns fraction * pi/2. |x| < 2^63. The worst case, an x within
 * some 2^-68 of a multiple of pi/2, still leaves some 190 correct bits of the fraction's 257. */
static struct wide reduce(struct f80 x, unsigned *quadrant)
{
    *quadrant = 0;
    if (x.exponent < -1) { /* |x| < 1/2 < pi/4 */
        x.negative = false;
        return wide_from_f80(x);
    }
    /* significand * 2/pi with the point after the first limb, then shifted to its place: 1 to 64 bits to the right. */
    uint64_t product[REDUCTION_LIMBS + 1] = {0}, carry = 0;
    for (unsigned i = REDUCTION_LIMBS; i-- > 0;) {
        unsigned __int128 t = (unsigned __int128)x.significand * two_over_pi[i] + carry;
        product[i + 1] = (uint64_t)t;
        carry = (uint64_t)(t >> 64);
    }
    product[0] = carry;
    unsigned shift = (unsigned)(63 - x.exponent);
    for (unsigned i = REDUCTION_LIMBS + 1; i-- > 0;) {
        uint64_t above = i > 0 ? product[i - 1] : 0;
        product[i] = shift == 64 ? above : product[i] >> shift | above << (64 - shift);
    }
    uint64_t *fraction = product + 1;
    bool round_up = fraction[0] >> 63;
    *quadrant = (unsigned)(product[0] + round_up) & 3;
    if (round_up) { /* 1 - fraction, but for the last of 320 bits */
        for (unsigned i = 0; i < REDUCTION_LIMBS; i++) {
            fraction[i] = ~fraction[i];
        }
    }
    struct wide r = wide_multiply(wide_from_fraction(fraction, REDUCTION_LIMBS), wide_scale(wide_pi, -1));
    r.negative = round_up;
    return r;
}

static struct wide sine_of(struct wide angle, unsigned quadrant)
{
    struct wide r = quadrant & 1 ? trigonometric_series(wide_one, angle, 1) : trigonometric_series(angle, angle, 2);
    return quadrant & 2 ? wide_negate(r) : r;
}

enum trigonometric_case { ORDINARY, OUT_OF_RANGE, DECIDED };

/* What sine, cosine and tangent share. DECIDED: *special is the result of each, zero apart. */
static enum trigonometric_case trigonometric_operand(struct f80_context *c, struct f80 x, st_t *special)
{
    if (f80_nan_result(c, x, x, special)) {
        return DECIDED;
    }
    if (x.kind == F80_INFINITE) {
        *special = f80_invalid(c);
        return DECIDED;
    }
    if (x.kind == F80_FINITE && x.exponent >= 63) {
        return OUT_OF_RANGE;
    }
    if (f80_denormal_stops(c, x, x)) {
        *special = st_indefinite();
        return DECIDED;
    }
    return ORDINARY;
}

bool f80_sine_cosine(struct f80_context *c, struct f80 x, st_t *sine, st_t *cosine)
{
    st_t s, k;
    switch (trigonometric_operand(c, x, &s)) {
    case OUT_OF_RANGE:
        return false;
    case DECIDED:
        k = s;
        break;
    default:
        if (x.kind == F80_ZERO) {
            s = st_zero(x.negative);
            k = st_one(false);
            break;
        }
        unsigned quadrant;
        struct wide angle = reduce(x, &quadrant);
        if (sine != NULL) {
            struct wide r = sine_of(angle, quadrant);
            s = wide_round(c, x.negative ? wide_negate(r) : r, true);
        }
        if (cosine != NULL) {
            k = wide_round(c, sine_of(angle, quadrant + 1), true);
        }
        break;
    }
    if (sine != NULL) {
        *sine = s;
    }
    if (cosine != NULL) {
        *cosine = k;
    }
    return true;
}

bool f80_tangent(struct f80_context *c, struct f80 x, st_t *tangent, st_t *one)
{
    switch (trigonometric_operand(c, x, tangent)) {
    case OUT_OF_RANGE:
        return false;
    case DECIDED:
        *one = *tangent;
        return true;
    default:
        break;
    }
    *one = st_one(false);
    if (x.kind == F80_ZERO) {
        *tangent = st_zero(x.negative);
        return true;
    }
    unsigned quadrant;
    struct wide angle = reduce(x, &quadrant);
    struct wide r;
    if (x.exponent < -60) { /* x + x^3/3: here 1 - x^2/2 would have too few bits to tell on which side of x the quotient lies */
        r = wide_add(angle, wide_divide_small(wide_multiply(wide_multiply(angle, angle), angle), 3));
    } else {
        r = wide_divide(sine_of(angle, quadrant), sine_of(angle, quadrant + 1));
    }
    *tangent = wide_round(c, x.negative ? wide_negate(r) : r, true);
    return true;
}

/* ---- arctangent ---- */

/* The angle in [0, pi] of the point (x, |y|), neither NaN, not both zero or both infinite. */
static struct wide angle_of(struct f80 y, struct f80 x)
{
    bool steep = y.kind == F80_INFINITE || x.kind == F80_ZERO ||
                 (x.kind == F80_FINITE && y.kind == F80_FINITE &&
                  (y.exponent != x.exponent ? y.exponent > x.exponent : y.significand > x.significand));
    struct f80 small = steep ? x : y, large = steep ? y : x;
    bool west = x.negative;
    small.negative = large.negative = false;
    struct wide r = {0};
    if (small.kind == F80_FINITE && large.kind == F80_FINITE) {
        static const struct wide tan_pi_8 = {.exponent = -2, .limb = {0xd413cccfe7799211}}; /* sqrt(2) - 1, roughly */
        struct wide a = wide_from_f80(small), b = wide_from_f80(large), q = wide_divide(a, b);
        if (q.exponent > tan_pi_8.exponent || (q.exponent == tan_pi_8.exponent && q.limb[0] > tan_pi_8.limb[0])) {
            struct wide s = wide_divide(wide_subtract(a, b), wide_add(a, b));
            r = wide_scale(wide_pi, -2);
            r = wide_is_zero(&s) ? r : wide_add(r, odd_series(s, true));
        } else {
            r = odd_series(q, true);
        }
    }
    if (steep) {
        r = wide_subtract(wide_scale(wide_pi, -1), r);
    }
    return west ? wide_subtract(wide_pi, r) : r;
}

st_t f80_arctangent(struct f80_context *c, struct f80 y, struct f80 x)
{
    st_t nan;
    if (f80_nan_result(c, y, x, &nan)) {
        return nan;
    }
    if (f80_denormal_stops(c, y, x)) {
        return st_indefinite();
    }
    struct wide r;
    if (y.kind == F80_ZERO || (x.kind == F80_INFINITE && y.kind == F80_FINITE)) {
        if (!x.negative) {
            return st_zero(y.negative);
        }
        r = wide_pi;
    } else if (x.kind == F80_INFINITE) { /* both: pi/4 or 3pi/4 */
        r = wide_scale(wide_pi, -2);
        r = x.negative ? wide_subtract(wide_pi, r) : r;
    } else {
        r = angle_of(y, x);
    }
    r.negative = y.negative;
    return wide_round(c, r, true);
}

/* ---- powers and logarithms of two ---- */

st_t f80_power_minus_1(struct f80_context *c, struct f80 x)
{
    st_t nan;
    if (f80_nan_result(c, x, x, &nan)) {
        return nan;
    }
    if (f80_denormal_stops(c, x, x)) {
        return st_indefinite();
    }
    if (x.kind == F80_ZERO) {
        return st_zero(x.negative);
    }
    if (x.kind == F80_INFINITE) {
        return x.negative ? st_one(true) : st_infinity(false);
    }
    if (x.exponent >= 0) {
        if (x.significand == 1ULL << 63 && x.exponent == 0) { /* exact: 2 - 1 and 1/2 - 1 */
            return x.negative ? st_make(true, F80_BIAS - 1, 1ULL << 63) : st_one(false);
        }
        c->raised |= FSW_PE;
        return f80_pack(x);
    }
    return wide_round(c, exponential_series(wide_multiply(wide_from_f80(x), wide_ln2)), true);
}

/* log2(1 + t) for 1 + t in [sqrt(1/2), sqrt(2)], by artanh(t / (2 + t)). */
static struct wide log2_near_1(struct wide t)
{
    struct wide s = wide_divide(t, wide_add(t, wide_scale(wide_one, 1)));
    return wide_scale(wide_multiply(odd_series(s, false), wide_log2_e), 1);
}

/* log2 of x > 0. Exact, a whole number, when x is a power of two. */
static struct wide log2_of(struct wide x, bool *exact)
{
    int32_t e = x.exponent;
    x.exponent = 0;
    if (x.limb[0] > 0xb504f333f9de6484) { /* sqrt(2) */
        x.exponent = -1;
        e++;
    }
    struct wide t = wide_subtract(x, wide_one), r = wide_from_integer(e);
    *exact = wide_is_zero(&t);
    return *exact ? r : wide_add(r, log2_near_1(t));
}

/* l = log2 of x, or of x + 1: zero (with a sign), infinite or finite. */
struct logarithm {
    uint8_t kind;
    bool negative, exact;
    bool zero_divide; /* of zero */
    bool undefined;   /* of a negative number, where that is not an invalid operation */
    struct wide value;
};

/* y * l, NaNs being gone. Precedence as in a division: invalid, zero divide, denormal operand. */
static st_t times_logarithm(struct f80_context *c, struct f80 y, struct f80 x, const struct logarithm *l)
{
    bool negative = y.negative != l->negative;
    if ((y.kind == F80_ZERO && l->kind == F80_INFINITE) || (y.kind == F80_INFINITE && l->kind == F80_ZERO)) {
        return f80_invalid(c);
    }
    if (l->zero_divide && y.kind == F80_FINITE) { /* log2(0) */
        c->raised |= FSW_ZE;
        return st_infinity(negative);
    }
    if (f80_denormal_stops(c, y, x)) {
        return st_indefinite();
    }
    if (y.kind == F80_INFINITE || l->kind == F80_INFINITE) {
        return st_infinity(negative);
    }
    if (y.kind == F80_ZERO || l->kind == F80_ZERO) {
        return st_zero(negative);
    }
    if (l->undefined) {
        c->raised |= FSW_PE;
        return f80_pack(x);
    }
    return wide_round(c, wide_multiply(wide_from_f80(y), l->value), !l->exact);
}

st_t f80_y_log2(struct f80_context *c, struct f80 y, struct f80 x)
{
    st_t nan;
    if (f80_nan_result(c, y, x, &nan)) {
        return nan;
    }
    if (x.negative && x.kind != F80_ZERO) {
        return f80_invalid(c);
    }
    struct logarithm l = {0};
    if (x.kind == F80_FINITE) {
        l.value = log2_of(wide_from_f80(x), &l.exact);
        l.kind = wide_is_zero(&l.value) ? F80_ZERO : F80_FINITE;
        l.negative = l.value.negative;
    } else {
        l.kind = F80_INFINITE;
        l.negative = l.zero_divide = x.kind == F80_ZERO;
    }
    return times_logarithm(c, y, x, &l);
}

st_t f80_y_log2_plus_1(struct f80_context *c, struct f80 y, struct f80 x)
{
    st_t nan;
    if (f80_nan_result(c, y, x, &nan)) {
        return nan;
    }
    struct logarithm l = {.kind = F80_FINITE, .negative = x.negative};
    if (x.kind == F80_FINITE) {
        struct wide t = wide_from_f80(x), sum = wide_add(wide_one, t);
        if (sum.negative || wide_is_zero(&sum)) {
            l.undefined = true;
        } else if (x.exponent < -2) { /* |x| < 1/4 */
            l.value = log2_near_1(t);
        } else {
            l.value = log2_of(sum, &l.exact);
        }
    } else if (x.kind == F80_INFINITE && x.negative) {
        return f80_invalid(c);
    } else {
        l.kind = x.kind;
    }
    return times_logarithm(c, y, x, &l);
}
