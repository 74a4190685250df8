/* SSE, SSE2, SSE3, SSE4.1 floating-point arithmetic: add to square root, horizontal forms, logic, compares, dot products,
 * reciprocals. SDM 1 chapters 10-12.
 *
 * The host's instructions compute under the guest's MXCSR (simd.h, sse.h). What the host baseline lacks (SSE3, SSE4.1) is put
 * together from SSE2 so that neither results nor flags differ: lanes that take no part are zeroed first, for 0 op 0 raises
 * nothing.
 */
#include "cpu/exec/simd.h"
#include "cpu/fp/approximate.h"

/* ---- two operands: d = d op s ---- */

#define ARITHMETIC(X) X(add) X(sub) X(mul) X(div)
#define ORDER(X) X(min) X(max)
#define X(op)                                                                                                                  \
    FP_ASM(op##ps)                                                                                                             \
    FP_ASM(op##pd)                                                                                                             \
    FP_ASM(op##ss)                                                                                                             \
    FP_ASM(op##sd)
ARITHMETIC(X)
ORDER(X)
#undef X
enum { ONE = 1, TWO = 3, FOUR = 15 }; /* lanes that take part */
#define X(op)                                                                                                                  \
    FP_XMM_JUDGED(op##ps_op, 16, op##ps(a, s), fp_judge(v, &op##_single, FOUR, a, s))                                          \
    FP_XMM_JUDGED(op##pd_op, 16, op##pd(a, s), fp_judge(v, &op##_double, TWO, a, s))                                           \
    FP_XMM_JUDGED(op##ss_op, 4, op##ss(a, s), fp_judge(v, &op##_single, ONE, a, s))                                            \
    FP_XMM_JUDGED(op##sd_op, 8, op##sd(a, s), fp_judge(v, &op##_double, ONE, a, s))
ARITHMETIC(X)
#undef X
#define X(op)                                                                                                                  \
    FP_XMM_FORMS(op##ps_op, 16, op##ps(a, s))                                                                                  \
    FP_XMM_FORMS(op##pd_op, 16, op##pd(a, s))                                                                                  \
    FP_XMM_FORMS(op##ss_op, 4, op##ss(a, s))                                                                                   \
    FP_XMM_FORMS(op##sd_op, 8, op##sd(a, s))
ORDER(X)
#undef X

/* Square roots look at `s` alone; the scalar ones keep the destination's upper part. A root is never tiny. */
FP_ASM(sqrtps)
FP_ASM(sqrtpd)
FP_ASM(sqrtss)
FP_ASM(sqrtsd)
FP_XMM_FORMS(sqrtps_op, 16, sqrtps(a, s))
FP_XMM_FORMS(sqrtpd_op, 16, sqrtpd(a, s))
FP_XMM_FORMS(sqrtss_op, 4, sqrtss(a, s))
FP_XMM_FORMS(sqrtsd_op, 8, sqrtsd(a, s))

/* ---- reciprocals: software, no flags, MXCSR not consulted ---- */

static inline __m128i each_float(uint32_t (*f)(uint32_t), __m128i s)
{
    xmm_t x = to_array(s);
    return to_vector((xmm_t){.d = {f(x.d[0]), f(x.d[1]), f(x.d[2]), f(x.d[3])}});
}
static inline __m128i first_float(uint32_t (*f)(uint32_t), __m128i s, __m128i rest)
{
    return low32_of(_mm_cvtsi32_si128((int32_t)f((uint32_t)_mm_cvtsi128_si32(s))), rest);
}
XMM_FORMS(rcpps_op, 16, each_float(approximate_rcp, s))
XMM_FORMS(rcpss_op, 4, first_float(approximate_rcp, s, a))
XMM_FORMS(rsqrtps_op, 16, each_float(approximate_rsqrt, s))
XMM_FORMS(rsqrtss_op, 4, first_float(approximate_rsqrt, s, a))

/* ---- SSE3: horizontal, and alternating add and subtract ---- */

#define SHUFFLE_PS(a, b, order) _mm_castps_si128(_mm_shuffle_ps(_mm_castsi128_ps(a), _mm_castsi128_ps(b), order))
enum { EVEN_LANES = 0x88, ODD_LANES = 0xdd };

static inline __m128i even_singles(__m128i a, __m128i s)
{
    return SHUFFLE_PS(a, s, EVEN_LANES);
}
static inline __m128i odd_singles(__m128i a, __m128i s)
{
    return SHUFFLE_PS(a, s, ODD_LANES);
}
#define HORIZONTAL(op)                                                                                                         \
    FP_XMM_JUDGED(h##op##ps_op, 16, op##ps(even_singles(a, s), odd_singles(a, s)),                                             \
                  fp_judge(v, &op##_single, FOUR, even_singles(a, s), odd_singles(a, s)))                                      \
    FP_XMM_JUDGED(h##op##pd_op, 16, op##pd(_mm_unpacklo_epi64(a, s), _mm_unpackhi_epi64(a, s)),                                \
                  fp_judge(v, &op##_double, TWO, _mm_unpacklo_epi64(a, s), _mm_unpackhi_epi64(a, s)))
HORIZONTAL(add)
HORIZONTAL(sub)

static inline __m128i alternate(__m128i (*sub)(__m128i, __m128i), __m128i (*add)(__m128i, __m128i), __m128i even, __m128i a,
                                __m128i s)
{
    __m128i difference = sub(_mm_and_si128(even, a), _mm_and_si128(even, s));
    __m128i sum = add(_mm_andnot_si128(even, a), _mm_andnot_si128(even, s));
    return pick(even, difference, sum);
}
FP_XMM_JUDGED(addsubps_op, 16, alternate(subps, addps, _mm_set_epi32(0, -1, 0, -1), a, s),
              fp_settle(v, fp_judge_step(v, &sub_single, 0x5, a, s) | fp_judge_step(v, &add_single, 0xa, a, s)))
FP_XMM_JUDGED(addsubpd_op, 16, alternate(subpd, addpd, _mm_set_epi32(0, 0, -1, -1), a, s),
              fp_settle(v, fp_judge_step(v, &sub_double, 0x1, a, s) | fp_judge_step(v, &add_double, 0x2, a, s)))

/* ---- SSE4.1: dot products. Lanes that the immediate leaves out count as +0 and are not even multiplied. ---- */

/* All bits of lane i when bit i of `select` is set. */
static inline __m128i lanes4(unsigned select)
{
    const __m128i bits = _mm_set_epi32(8, 4, 2, 1);
    return _mm_cmpeq_epi32(_mm_and_si128(_mm_set1_epi32((int)select), bits), bits);
}
static inline __m128i lanes2(unsigned select)
{
    return _mm_set_epi64x(-(int64_t)(select >> 1 & 1), -(int64_t)(select & 1));
}
/* DPPS in its steps: four products; (p0 + p1) and (p2 + p3); their sum. Each rounds. */
static inline __m128i dpps_products(__m128i a, __m128i s, unsigned imm)
{
    __m128i take = lanes4(imm >> 4);
    return _mm_and_si128(take, mulps(_mm_and_si128(take, a), _mm_and_si128(take, s)));
}
static inline __m128i dpps_pairs(__m128i products)
{
    __m128i zero = _mm_setzero_si128();
    return _mm_and_si128(lanes4(3), addps(even_singles(products, zero), odd_singles(products, zero)));
}
static inline __m128i dpps(__m128i a, __m128i s, unsigned imm)
{
    __m128i pairs = dpps_pairs(dpps_products(a, s, imm));
    __m128i sum = addss(pairs, _mm_srli_si128(pairs, 4));
    return _mm_and_si128(lanes4(imm & 15), _mm_shuffle_epi32(sum, 0));
}
static inline __m128i dppd_products(__m128i a, __m128i s, unsigned imm)
{
    __m128i take = lanes2(imm >> 4);
    return _mm_and_si128(take, mulpd(_mm_and_si128(take, a), _mm_and_si128(take, s)));
}
static inline __m128i dppd(__m128i a, __m128i s, unsigned imm)
{
    __m128i products = dppd_products(a, s, imm);
    __m128i sum = addsd(products, _mm_srli_si128(products, 8));
    return _mm_and_si128(lanes2(imm & 3), _mm_unpacklo_epi64(sum, sum));
}

/* Unmasked: the first step that raises an unmasked exception is the last one. */
static COLD uint32_t dpps_raised(struct vcpu *v, __m128i a, __m128i s, unsigned imm)
{
    uint32_t raised = fp_settle(v, fp_judge_step(v, &mul_single, imm >> 4, a, s));
    if (fp_masked(v, raised)) {
        __m128i products = dpps_products(a, s, imm);
        __m128i even = even_singles(products, _mm_setzero_si128()), odd = odd_singles(products, _mm_setzero_si128());
        raised |= fp_settle(v, fp_judge_step(v, &add_single, TWO, even, odd));
        if (fp_masked(v, raised)) {
            __m128i pairs = dpps_pairs(products);
            raised |= fp_settle(v, fp_judge_step(v, &add_single, ONE, pairs, _mm_srli_si128(pairs, 4)));
        }
    }
    return raised;
}
static COLD uint32_t dppd_raised(struct vcpu *v, __m128i a, __m128i s, unsigned imm)
{
    uint32_t raised = fp_settle(v, fp_judge_step(v, &mul_double, imm >> 4 & TWO, a, s));
    if (fp_masked(v, raised)) {
        __m128i products = dppd_products(a, s, imm);
        raised |= fp_settle(v, fp_judge_step(v, &add_double, ONE, products, _mm_srli_si128(products, 8)));
    }
    return raised;
}
FP_XMM_JUDGED(dpps_op, 16, dpps(a, s, imm), dpps_raised(v, a, s, imm))
FP_XMM_JUDGED(dppd_op, 16, dppd(a, s, imm), dppd_raised(v, a, s, imm))

/* ---- compares ---- */

/* CMPPS and its kin: the legacy encodings look at bits 2:0 of the immediate (SDM 2A CMPPD, table 3-1). */
#define COMPARE(lanes)                                                                                                         \
    static inline __m128i cmp##lanes(__m128i a, __m128i s, unsigned predicate)                                                 \
    {                                                                                                                          \
        switch (predicate & 7) {                                                                                               \
        case 0:                                                                                                                \
            __asm__ volatile("cmpeq" #lanes " %1, %0" : "+x"(a) : "x"(s));                                                     \
            break;                                                                                                             \
        case 1:                                                                                                                \
            __asm__ volatile("cmplt" #lanes " %1, %0" : "+x"(a) : "x"(s));                                                     \
            break;                                                                                                             \
        case 2:                                                                                                                \
            __asm__ volatile("cmple" #lanes " %1, %0" : "+x"(a) : "x"(s));                                                     \
            break;                                                                                                             \
        case 3:                                                                                                                \
            __asm__ volatile("cmpunord" #lanes " %1, %0" : "+x"(a) : "x"(s));                                                  \
            break;                                                                                                             \
        case 4:                                                                                                                \
            __asm__ volatile("cmpneq" #lanes " %1, %0" : "+x"(a) : "x"(s));                                                    \
            break;                                                                                                             \
        case 5:                                                                                                                \
            __asm__ volatile("cmpnlt" #lanes " %1, %0" : "+x"(a) : "x"(s));                                                    \
            break;                                                                                                             \
        case 6:                                                                                                                \
            __asm__ volatile("cmpnle" #lanes " %1, %0" : "+x"(a) : "x"(s));                                                    \
            break;                                                                                                             \
        default:                                                                                                               \
            __asm__ volatile("cmpord" #lanes " %1, %0" : "+x"(a) : "x"(s));                                                    \
            break;                                                                                                             \
        }                                                                                                                      \
        return a;                                                                                                              \
    }
COMPARE(ps)
COMPARE(pd)
COMPARE(ss)
COMPARE(sd)
FP_XMM_FORMS(cmpps_op, 16, cmpps(a, s, imm))
FP_XMM_FORMS(cmppd_op, 16, cmppd(a, s, imm))
FP_XMM_FORMS(cmpss_op, 4, cmpss(a, s, imm))
FP_XMM_FORMS(cmpsd_op, 8, cmpsd(a, s, imm))

/* COMISS and its kin: ZF, PF, CF as compared; OF, SF, AF cleared. Value as vcpu.fl. */
#define COMPARE_FLAGS(name, kind)                                                                                              \
    static inline uint16_t name(__m128i a, __m128i s)                                                                          \
    {                                                                                                                          \
        bool zf, pf, cf;                                                                                                       \
        __asm__ volatile(#name " %4, %3" : "=@ccz"(zf), "=@ccp"(pf), "=@ccc"(cf) : "x"(a), "x"(s));                            \
        return (uint16_t)(zf << 14 | pf << 10 | cf << 8);                                                                      \
    }                                                                                                                          \
    FP_FORMS(name##_op, NOTHING_MORE, xmm_get, kind, const uint16_t r = name(xmm_get(v, u->d), s), fp_found(v), v->fl = r)
COMPARE_FLAGS(comiss, 4)
COMPARE_FLAGS(comisd, 8)
COMPARE_FLAGS(ucomiss, 4)
COMPARE_FLAGS(ucomisd, 8)

/* ---- rows ---- */

#define FP_ROWS(MNEMONIC, op, cost)                                                                                            \
    SIMD_ROW(MNEMONIC##PS, cost, .xmm = SET_LOAD(op##ps_op)), SIMD_ROW(MNEMONIC##PD, cost, .xmm = SET_LOAD(op##pd_op)),        \
        SIMD_ROW(MNEMONIC##SS, cost, .xmm = SET_LOAD(op##ss_op)), SIMD_ROW(MNEMONIC##SD, cost, .xmm = SET_LOAD(op##sd_op))

const struct insn_row sse_rows[] = {
    FP_ROWS(ADD, add, COST_SSE),
    FP_ROWS(SUB, sub, COST_SSE),
    FP_ROWS(MUL, mul, COST_SSE),
    FP_ROWS(DIV, div, COST_DIV),
    FP_ROWS(SQRT, sqrt, COST_DIV),
    FP_ROWS(MIN, min, COST_SSE),
    FP_ROWS(MAX, max, COST_SSE),
    XMM_ROW(CMPPS, cmpps_op),
    XMM_ROW(CMPPD, cmppd_op),
    XMM_ROW(CMPSS, cmpss_op),
    {ZYDIS_MNEMONIC_CMPSD, COST_SSE, 0, emit_simd, &(const struct simd_form){.xmm = SET_LOAD(cmpsd_op)}},
    XMM_ROW(COMISS, comiss_op),
    XMM_ROW(COMISD, comisd_op),
    XMM_ROW(UCOMISS, ucomiss_op),
    XMM_ROW(UCOMISD, ucomisd_op),
    XMM_ROW(RCPPS, rcpps_op),
    XMM_ROW(RCPSS, rcpss_op),
    XMM_ROW(RSQRTPS, rsqrtps_op),
    XMM_ROW(RSQRTSS, rsqrtss_op),
    XMM_ROW(HADDPS, haddps_op),
    XMM_ROW(HADDPD, haddpd_op),
    XMM_ROW(HSUBPS, hsubps_op),
    XMM_ROW(HSUBPD, hsubpd_op),
    XMM_ROW(ADDSUBPS, addsubps_op),
    XMM_ROW(ADDSUBPD, addsubpd_op),
    XMM_ROW(DPPS, dpps_op),
    XMM_ROW(DPPD, dppd_op),
};
const size_t sse_row_count = ARRAY_COUNT(sse_rows);
