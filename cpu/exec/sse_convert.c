/* Conversions between integers, single and double precision, in XMM, MMX and general registers; and ROUNDPS and its kin. SDM 1
 * §4.8.4, §11.4.1.6.
 *
 * Conversions are the host's. MMX forms are XMM ones on the low half, with the upper lanes zero so that they raise nothing.
 * ROUNDxx (SSE4.1) is software: the host baseline has no instruction that rounds to integer in every mode without converting.
 */
#include "cpu/exec/simd.h"

#define CONVERT_ASM(name)                                                                                                      \
    static inline __m128i name(__m128i s)                                                                                      \
    {                                                                                                                          \
        __m128i r;                                                                                                             \
        __asm__ volatile(#name " %1, %0" : "=x"(r) : "x"(s));                                                                  \
        return r;                                                                                                              \
    }
CONVERT_ASM(cvtdq2ps)
CONVERT_ASM(cvtps2dq)
CONVERT_ASM(cvttps2dq)
CONVERT_ASM(cvtdq2pd)
CONVERT_ASM(cvtpd2dq)
CONVERT_ASM(cvttpd2dq)
CONVERT_ASM(cvtps2pd)
CONVERT_ASM(cvtpd2ps)
FP_ASM(cvtss2sd)
FP_ASM(cvtsd2ss)

/* ---- between packed formats ---- */

FP_XMM_FORMS(CVTDQ2PS, 16, cvtdq2ps(s))
FP_XMM_FORMS(CVTPS2DQ, 16, cvtps2dq(s))
FP_XMM_FORMS(CVTTPS2DQ, 16, cvttps2dq(s))
FP_XMM_FORMS(CVTPD2DQ, 16, cvtpd2dq(s))
FP_XMM_FORMS(CVTTPD2DQ, 16, cvttpd2dq(s))
FP_XMM_FORMS(CVTPS2PD, 8, cvtps2pd(s))
FP_XMM_JUDGED(CVTPD2PS, 16, cvtpd2ps(s), fp_judge(v, &narrow_double, 3, s, s))
FP_XMM_FORMS(CVTSS2SD, 4, cvtss2sd(a, s))
FP_XMM_JUDGED(CVTSD2SS, 8, cvtsd2ss(a, s), fp_judge(v, &narrow_double, 1, s, s))
XMM_FORMS(CVTDQ2PD, 8, cvtdq2pd(s)) /* always exact */

/* ---- general registers ---- */

#define FROM_INTEGER(name, suffix, type, kind, instruction)                                                                    \
    static inline __m128i name##_value(__m128i a, type x)                                                                      \
    {                                                                                                                          \
        __asm__ volatile(instruction " %1, %0" : "+x"(a) : "r"(x));                                                            \
        return a;                                                                                                              \
    }                                                                                                                          \
    FP_FORMS(name, NOTHING_MORE, gpr_get, kind, const __m128i r = name##_value(xmm_get(v, u->d), (type)_mm_cvtsi128_si64(s)),  \
             fp_found(v), xmm_set(v, u->d, r))
FROM_INTEGER(CVTSI2SS32, ss, int32_t, 4, "cvtsi2ssl")
FROM_INTEGER(CVTSI2SS64, ss, int64_t, 8, "cvtsi2ssq")
FROM_INTEGER(CVTSI2SD32, sd, int32_t, 4, "cvtsi2sdl")
FROM_INTEGER(CVTSI2SD64, sd, int64_t, 8, "cvtsi2sdq")

#define TO_INTEGER(name, bits, kind, instruction)                                                                              \
    static inline uint##bits##_t name##_value(__m128i s)                                                                       \
    {                                                                                                                          \
        uint##bits##_t x;                                                                                                      \
        __asm__ volatile(instruction " %1, %0" : "=r"(x) : "x"(s));                                                            \
        return x;                                                                                                              \
    }                                                                                                                          \
    FP_FORMS(name, NOTHING_MORE, xmm_get, kind, const uint##bits##_t r = name##_value(s), fp_found(v),                         \
             set_reg##bits(v, u->d, r))
TO_INTEGER(CVTSS2SI32, 32, 4, "cvtss2si")
TO_INTEGER(CVTSS2SI64, 64, 4, "cvtss2si")
TO_INTEGER(CVTTSS2SI32, 32, 4, "cvttss2si")
TO_INTEGER(CVTTSS2SI64, 64, 4, "cvttss2si")
TO_INTEGER(CVTSD2SI32, 32, 8, "cvtsd2si")
TO_INTEGER(CVTSD2SI64, 64, 8, "cvtsd2si")
TO_INTEGER(CVTTSD2SI32, 32, 8, "cvttsd2si")
TO_INTEGER(CVTTSD2SI64, 64, 8, "cvttsd2si")

/* ---- MMX ---- */

/* These bring the x87 state into MMX shape even when they end in #XM: so hosts do, and the SDM says "transition", not when.
 * CVTPI2PS and CVTPI2PD from memory touch no MMX register, and on AMD processors are no MMX instructions; on Intel ones that is
 * so for CVTPI2PD alone (SDM 2A CVTPI2PS, CVTPI2PD). */
FP_FORMS(CVTPI2PS, MMX_ENTER, mmx_get, 8, mmx_touch(v);
         const __m128i r = low64_of(cvtdq2ps(_mm_move_epi64(s)), xmm_get(v, u->d)), fp_found(v), xmm_set(v, u->d, r))
FP_LOADS(cvtpi2ps_amd, NOTHING_MORE, 8, const __m128i r = low64_of(cvtdq2ps(_mm_move_epi64(s)), xmm_get(v, u->d)), fp_found(v),
         xmm_set(v, u->d, r))
static HANDLER(CVTPI2PD)
{
    SSE_ENTER(v, u);
    MMX_ENTER(v, u);
    xmm_set(v, u->d, cvtdq2pd(mmx_get(v, u->s)));
    mmx_touch(v);
    NEXT;
}
#define TO_MMX(name, kind, value)                                                                                              \
    FP_FORMS(name, MMX_ENTER, xmm_get, kind, mmx_touch(v); const __m128i r = (value), fp_found(v), mmx_set(v, u->d, r))
TO_MMX(CVTPS2PI, 8, cvtps2dq(_mm_move_epi64(s)))
TO_MMX(CVTTPS2PI, 8, cvttps2dq(_mm_move_epi64(s)))
TO_MMX(CVTPD2PI, 16, cvtpd2dq(s))
TO_MMX(CVTTPD2PI, 16, cvttpd2dq(s))

/* Two forms: Intel's, AMD's. */
static bool emit_cvtpi2ps(struct emit *e, const struct insn *in, const void *forms)
{
    return emit_simd(e, in, (const struct simd_form *)forms + (e->model->vendor == VENDOR_AMD));
}

/* ---- ROUNDxx ----
 * imm[1:0] is the rounding mode unless imm[2] takes MXCSR's; imm[3] keeps the precision flag quiet. Of MXCSR's other controls
 * DAZ counts. A denormal operand raises no flag of its own (SDM 2B ROUNDPD). */

enum { ROUND_NEAREST, ROUND_DOWN, ROUND_UP, ROUND_ZERO };

/* One more, when `half_way` compares the dropped part with a half: -1 less, 0 equal, 1 more; it is not zero. */
static inline bool rounds_away(unsigned mode, bool negative, bool odd, int half_way)
{
    switch (mode) {
    case ROUND_NEAREST:
        return half_way > 0 || (half_way == 0 && odd);
    case ROUND_DOWN:
        return negative;
    case ROUND_UP:
        return !negative;
    default:
        return false;
    }
}

/* For a format of `bits` with `fraction` bits of fraction. The new magnitude's integer part is put together in place: bits
 * below the binary point are cleared, and adding one unit there carries into the exponent as it should. */
#define ROUND_TO_INTEGER(bits, fraction)                                                                                       \
    static inline uint##bits##_t round##bits(uint##bits##_t x, unsigned mode, bool daz, uint32_t *flags)                       \
    {                                                                                                                          \
        typedef uint##bits##_t word;                                                                                           \
        const word sign = x & (word)1 << (bits - 1), one = (word)(((word)1 << (bits - 2 - fraction)) - 1) << fraction;         \
        const word infinite = (word)(((word)1 << (bits - 1 - fraction)) - 1) << fraction;                                      \
        const int bias = (1 << (bits - 2 - fraction)) - 1;                                                                     \
        word magnitude = x ^ sign;                                                                                             \
        if (magnitude > infinite) {                                                                                            \
            const word quiet = (word)1 << (fraction - 1);                                                                      \
            *flags |= x & quiet ? 0 : MXCSR_IE;                                                                                \
            return x | quiet;                                                                                                  \
        }                                                                                                                      \
        const int exponent = (int)(magnitude >> fraction) - bias;                                                              \
        if (exponent >= fraction || magnitude == 0 || (daz && exponent == -bias)) {                                            \
            return exponent == -bias ? sign : x;                                                                               \
        }                                                                                                                      \
        if (exponent < 0) {                                                                                                    \
            const word half = one - ((word)1 << fraction);                                                                     \
            const int half_way = magnitude < half ? -1 : magnitude > half;                                                     \
            *flags |= MXCSR_PE;                                                                                                \
            return sign | (rounds_away(mode, sign != 0, false, half_way) ? one : 0);                                           \
        }                                                                                                                      \
        const word unit = (word)1 << (fraction - exponent), dropped = magnitude & (unit - 1), half = unit >> 1;                \
        if (dropped == 0) {                                                                                                    \
            return x;                                                                                                          \
        }                                                                                                                      \
        *flags |= MXCSR_PE;                                                                                                    \
        const bool odd = exponent == 0 || (magnitude & unit); /* at exponent 0 the unit is the implicit one */                 \
        const int half_way = dropped < half ? -1 : dropped > half;                                                             \
        magnitude -= dropped;                                                                                                  \
        return sign | (rounds_away(mode, sign != 0, odd, half_way) ? magnitude + unit : magnitude);                            \
    }
ROUND_TO_INTEGER(32, 23)
ROUND_TO_INTEGER(64, 52)

static inline unsigned round_mode(const struct vcpu *v, unsigned imm)
{
    return imm & 4 ? v->s.mxcsr >> MXCSR_RC_SHIFT & 3 : imm & 3;
}
static inline __m128i round_ps(struct vcpu *v, __m128i s, unsigned imm, unsigned lanes)
{
    const unsigned mode = round_mode(v, imm);
    const bool daz = v->s.mxcsr & MXCSR_DAZ;
    uint32_t flags = 0;
    xmm_t x = to_array(s);
    for (unsigned i = 0; i < lanes; i++) {
        x.d[i] = round32(x.d[i], mode, daz, &flags);
    }
    fp_raise_flags(v, imm & 8 ? flags & ~(uint32_t)MXCSR_PE : flags);
    return to_vector(x);
}
static inline __m128i round_pd(struct vcpu *v, __m128i s, unsigned imm, unsigned lanes)
{
    const unsigned mode = round_mode(v, imm);
    const bool daz = v->s.mxcsr & MXCSR_DAZ;
    uint32_t flags = 0;
    xmm_t x = to_array(s);
    for (unsigned i = 0; i < lanes; i++) {
        x.q[i] = round64(x.q[i], mode, daz, &flags);
    }
    fp_raise_flags(v, imm & 8 ? flags & ~(uint32_t)MXCSR_PE : flags);
    return to_vector(x);
}
FP_XMM_FORMS(ROUNDPS, 16, round_ps(v, s, imm, 4))
FP_XMM_FORMS(ROUNDPD, 16, round_pd(v, s, imm, 2))
FP_XMM_FORMS(ROUNDSS, 4, low32_of(round_ps(v, s, imm, 1), a))
FP_XMM_FORMS(ROUNDSD, 8, low64_of(round_pd(v, s, imm, 1), a))

/* ---- rows ---- */

#define CONVERT_ROW(name) XMM_ROW(name, name)
#define SIZED_ROW(name)                                                                                                        \
    {                                                                                                                          \
        ZYDIS_MNEMONIC_##name, COST_SSE, 0, emit_simd_sized, &(const struct simd_form[2])                                      \
        {                                                                                                                      \
            {.xmm = SET_LOAD(name##32)},                                                                                       \
            {                                                                                                                  \
                .xmm = SET_LOAD(name##64)                                                                                      \
            }                                                                                                                  \
        }                                                                                                                      \
    }
#define MMX_RESULT_ROW(name) SIMD_ROW(name, COST_SSE, .mmx = MMX_SET(SET_LOAD(name)))

const struct insn_row sse_convert_rows[] = {
    CONVERT_ROW(CVTDQ2PS),
    CONVERT_ROW(CVTPS2DQ),
    CONVERT_ROW(CVTTPS2DQ),
    CONVERT_ROW(CVTDQ2PD),
    CONVERT_ROW(CVTPD2DQ),
    CONVERT_ROW(CVTTPD2DQ),
    CONVERT_ROW(CVTPS2PD),
    CONVERT_ROW(CVTPD2PS),
    CONVERT_ROW(CVTSS2SD),
    CONVERT_ROW(CVTSD2SS),
    SIZED_ROW(CVTSI2SS),
    SIZED_ROW(CVTSI2SD),
    SIZED_ROW(CVTSS2SI),
    SIZED_ROW(CVTTSS2SI),
    SIZED_ROW(CVTSD2SI),
    SIZED_ROW(CVTTSD2SI),
    {ZYDIS_MNEMONIC_CVTPI2PS, COST_SSE, 0, emit_cvtpi2ps,
     &(const struct simd_form[2]){{.xmm = SET_LOAD_ONLY(CVTPI2PS), .mmx = MMX_SET(SET_REG(CVTPI2PS_x))},
                                  {.xmm = SET_LOAD_ONLY(cvtpi2ps_amd), .mmx = MMX_SET(SET_REG(CVTPI2PS_x))}}},
    SIMD_ROW(CVTPI2PD, COST_SSE, .xmm = SET_LOAD_ONLY(CVTDQ2PD), .mmx = MMX_SET(SET_REG(CVTPI2PD))),
    MMX_RESULT_ROW(CVTPS2PI),
    MMX_RESULT_ROW(CVTTPS2PI),
    MMX_RESULT_ROW(CVTPD2PI),
    MMX_RESULT_ROW(CVTTPD2PI),
    CONVERT_ROW(ROUNDPS),
    CONVERT_ROW(ROUNDPD),
    CONVERT_ROW(ROUNDSS),
    CONVERT_ROW(ROUNDSD),
};
const size_t sse_convert_row_count = ARRAY_COUNT(sse_convert_rows);
