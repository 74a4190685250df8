/* Unmasked SSE floating-point exceptions. SDM 1 §4.9 Overview of Floating-Point Exceptions, §11.5 SSE, SSE2, and SSE3
 * Exceptions.
 *
 * The host computes with everything masked, so its flags are those of the masked responses. With overflow or underflow unmasked
 * the architecture asks for others: underflow as soon as the result is tiny, even if exact (§4.9.1.5), and precision only if
 * the result would be inexact had the exponent no bounds (§4.9.1.4). For that the operation is judged again, lane by lane, and
 * exactness is decided in integers. Pre-computation exceptions, if one is unmasked, are reported alone: nothing was computed
 * then.
 */
#include "cpu/exec/simd.h"

/* With underflow unmasked FTZ has no effect (SDM 1 §10.2.3.3), but the host's is masked: so the host's FTZ goes off, too. */
uint32_t fp_begin(struct vcpu *v)
{
    uint32_t sticky = mxcsr_read(v) & MXCSR_FLAGS;
    v->s.mxcsr &= ~(uint32_t)MXCSR_FLAGS;
    uint32_t host = v->s.mxcsr | MXCSR_MASKS;
    host_mxcsr_set(v->s.mxcsr & MXCSR_UM ? host : host & ~(uint32_t)MXCSR_FTZ);
    return sticky;
}

static uint32_t fp_enabled(const struct vcpu *v)
{
    return ~(v->s.mxcsr >> MXCSR_MASKS_SHIFT) & MXCSR_FLAGS;
}

uint32_t fp_settle(const struct vcpu *v, uint32_t raised)
{
    return raised & fp_enabled(v) & MXCSR_PRE_COMPUTATION ? raised & MXCSR_PRE_COMPUTATION : raised;
}

uint32_t fp_found(const struct vcpu *v)
{
    return fp_settle(v, mxcsr_read(v) & MXCSR_FLAGS);
}

void fp_end(struct vcpu *v, const struct uop *u, uint32_t sticky, uint32_t raised)
{
    mxcsr_write(v, (v->s.mxcsr & ~(uint32_t)MXCSR_FLAGS) | sticky | raised);
    if (!fp_masked(v, raised)) {
        v->current = u;
        vp_raise(v, v->s.cr4 & CR4_OSXMMEXCPT ? VEC_XM : VEC_UD);
    }
}

/* ---- exactness with unbounded exponent ---- */

/* A finite number: odd significand (or 0) times a power of two. */
struct number {
    bool negative;
    uint64_t significand;
    int exponent;
};

static struct number number_of(uint64_t bits, unsigned format_bits, unsigned fraction, bool daz)
{
    uint64_t field = bits >> fraction & ((1ULL << (format_bits - 1 - fraction)) - 1);
    struct number n = {
        .negative = bits >> (format_bits - 1) & 1, .significand = bits & ((1ULL << fraction) - 1), .exponent = (int)field};
    if (field != 0) {
        n.significand |= 1ULL << fraction;
    } else {
        n.significand = daz ? 0 : n.significand;
        n.exponent = 1;
    }
    while (n.significand != 0 && !(n.significand & 1)) {
        n.significand >>= 1;
        n.exponent++;
    }
    return n;
}

static unsigned width_of(unsigned __int128 x)
{
    unsigned width = 0;
    for (; x != 0; x >>= 1) {
        width++;
    }
    return width;
}
/* Bits from the highest to the lowest set one. */
static unsigned span_of(unsigned __int128 x)
{
    while (x != 0 && !(x & 1)) {
        x >>= 1;
    }
    return width_of(x);
}

typedef bool exact_fn(struct number a, struct number s, unsigned precision);

static bool exact_product(struct number a, struct number s, unsigned precision)
{
    return width_of((unsigned __int128)a.significand * s.significand) <= precision;
}
/* Both are odd: the quotient has an end only if the division leaves nothing, and then it fits. */
static bool exact_quotient(struct number a, struct number s, unsigned precision)
{
    return s.significand == 0 || a.significand % s.significand == 0;
}
static bool exact_sum(struct number a, struct number s, unsigned precision)
{
    struct number high = a.exponent >= s.exponent ? a : s, low = a.exponent >= s.exponent ? s : a;
    unsigned distance = (unsigned)(high.exponent - low.exponent);
    if (a.significand == 0 || s.significand == 0) {
        return true;
    }
    if (distance > 64) { /* the two do not even overlap */
        return false;
    }
    __int128 x = (__int128)high.significand << distance, y = low.significand;
    __int128 sum = high.negative == low.negative ? x + y : x - y;
    return span_of((unsigned __int128)(sum < 0 ? -sum : sum)) <= precision;
}
static bool exact_difference(struct number a, struct number s, unsigned precision)
{
    s.negative = !s.negative;
    return exact_sum(a, s, precision);
}
static bool exact_narrowing(struct number a, struct number s, unsigned precision)
{
    return width_of(s.significand) <= precision;
}

/* ---- judging ---- */

FP_ASM(addss)
FP_ASM(subss)
FP_ASM(mulss)
FP_ASM(divss)
FP_ASM(addsd)
FP_ASM(subsd)
FP_ASM(mulsd)
FP_ASM(divsd)
FP_ASM(cvtsd2ss)

enum { SINGLE_FRACTION = 23, DOUBLE_FRACTION = 52 };
struct fp_operation {
    __m128i (*lowest)(__m128i a, __m128i s); /* on lane 0 */
    exact_fn *exact;
    bool from_double, to_double;
};
const struct fp_operation add_single = {addss, exact_sum, false, false}, sub_single = {subss, exact_difference, false, false},
                          mul_single = {mulss, exact_product, false, false}, div_single = {divss, exact_quotient, false, false},
                          add_double = {addsd, exact_sum, true, true}, sub_double = {subsd, exact_difference, true, true},
                          mul_double = {mulsd, exact_product, true, true}, div_double = {divsd, exact_quotient, true, true},
                          narrow_double = {cvtsd2ss, exact_narrowing, true, false};

static uint64_t lane_of(xmm_t x, bool is_double, unsigned lane)
{
    return is_double ? x.q[lane] : x.d[lane];
}
static bool is_tiny(uint64_t x, bool is_double)
{
    return is_double ? !(x & 0x7ff0000000000000) && (x & 0x000fffffffffffff) : !(x & 0x7f800000) && (x & 0x007fffff);
}

static uint32_t judge_lane(const struct vcpu *v, const struct fp_operation *o, uint64_t a, uint64_t s)
{
    uint32_t enabled = fp_enabled(v);
    host_mxcsr_set(host_mxcsr() & ~(uint32_t)MXCSR_FLAGS);
    xmm_t result = to_array(o->lowest(_mm_cvtsi64_si128((int64_t)a), _mm_cvtsi64_si128((int64_t)s)));
    uint32_t raised = host_mxcsr() & MXCSR_FLAGS;
    if (is_tiny(lane_of(result, o->to_double, 0), o->to_double)) {
        raised |= enabled & MXCSR_UE;
    }
    if (raised & enabled & (MXCSR_OE | MXCSR_UE)) {
        unsigned bits = o->from_double ? 64 : 32, fraction = o->from_double ? DOUBLE_FRACTION : SINGLE_FRACTION;
        bool daz = v->s.mxcsr & MXCSR_DAZ;
        bool exact = o->exact(number_of(a, bits, fraction, daz), number_of(s, bits, fraction, daz),
                              1 + (o->to_double ? DOUBLE_FRACTION : SINGLE_FRACTION));
        raised = (raised & ~(uint32_t)MXCSR_PE) | (exact ? 0 : MXCSR_PE);
    }
    return raised;
}

uint32_t fp_judge_step(struct vcpu *v, const struct fp_operation *o, unsigned lanes, __m128i a, __m128i s)
{
    uint32_t raised = 0;
    xmm_t x = to_array(a), y = to_array(s);
    for (unsigned lane = 0; lanes >> lane != 0; lane++) {
        if (lanes >> lane & 1) {
            raised |= judge_lane(v, o, lane_of(x, o->from_double, lane), lane_of(y, o->from_double, lane));
        }
    }
    return raised;
}

uint32_t fp_judge(struct vcpu *v, const struct fp_operation *o, unsigned lanes, __m128i a, __m128i s)
{
    uint32_t found = fp_found(v), enabled = fp_enabled(v);
    if (!(enabled & MXCSR_UE) && !(found & enabled & MXCSR_OE)) {
        return found; /* the masked responses' flags are right */
    }
    return fp_settle(v, fp_judge_step(v, o, lanes, a, s));
}
