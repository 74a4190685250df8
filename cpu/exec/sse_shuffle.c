/* Rearranging: shuffles, unpacks, inserts and extracts, blends, shifts by bytes, widening. SSE to SSE4.1. Nothing is computed
 * and MXCSR plays no part. Selectors come from the immediate byte; bits that an instruction does not define are ignored (SDM
 * 2B).
 */
#include "cpu/exec/packed.h"

/* ---- shuffles and unpacks ---- */

static inline __m128i shuffle32(__m128i low, __m128i high, unsigned imm)
{
    xmm_t x = to_array(low), y = to_array(high);
    return to_vector((xmm_t){.d = {x.d[imm & 3], x.d[imm >> 2 & 3], y.d[imm >> 4 & 3], y.d[imm >> 6 & 3]}});
}
static inline __m128i shuffle64(__m128i low, __m128i high, unsigned imm)
{
    xmm_t x = to_array(low), y = to_array(high);
    return _mm_set_epi64x((int64_t)y.q[imm >> 1 & 1], (int64_t)x.q[imm & 1]);
}
/* Four words from `from` on; the other half as it is. */
static inline __m128i shuffle16(__m128i s, unsigned from, unsigned imm)
{
    xmm_t x = to_array(s), r = x;
    for (unsigned i = 0; i < 4; i++) {
        r.w[from + i] = x.w[from + (imm >> 2 * i & 3)];
    }
    return to_vector(r);
}
XMM_FORMS(SHUFPS, 16, shuffle32(a, s, imm))
XMM_FORMS(SHUFPD, 16, shuffle64(a, s, imm))
XMM_FORMS(PSHUFD, 16, shuffle32(s, s, imm))
XMM_FORMS(PSHUFLW, 16, shuffle16(s, 0, imm))
XMM_FORMS(PSHUFHW, 16, shuffle16(s, 4, imm))
XMM_FORMS(UNPCKLPS, 16, _mm_unpacklo_epi32(a, s))
XMM_FORMS(UNPCKHPS, 16, _mm_unpackhi_epi32(a, s))
XMM_FORMS(UNPCKLPD, 16, _mm_unpacklo_epi64(a, s))
XMM_FORMS(UNPCKHPD, 16, _mm_unpackhi_epi64(a, s))

/* ---- inserts: a GPR's low part, or memory of that size ---- */

#define XMM_INSERT(name, kind, element, mask)                                                                                  \
    static inline __m128i insert_##element(__m128i a, __m128i s, unsigned imm)                                                 \
    {                                                                                                                          \
        xmm_t r = to_array(a);                                                                                                 \
        r.element[imm & mask] = to_array(s).element[0];                                                                        \
        return to_vector(r);                                                                                                   \
    }                                                                                                                          \
    SIMD_FORMS(name, SSE_ENTER, gpr_get, kind, xmm_set(v, u->d, insert_##element(xmm_get(v, u->d), s, imm)))
XMM_INSERT(PINSRB, 1, b, 15)
XMM_INSERT(PINSRW, 2, w, 7)
XMM_INSERT(PINSRD, 4, d, 3)
XMM_INSERT(PINSRQ, 8, q, 1)
SIMD_FORMS(mmx_PINSRW, MMX_ENTER, gpr_get, 2, mmx_set(v, u->d, insert_w(mmx_get(v, u->d), s, imm & 3)); mmx_touch(v))

/* INSERTPS: lane imm[7:6] of a register, or the 4 bytes of memory, into lane imm[5:4]; then lanes imm[3:0] become zero. */
static inline __m128i insertps(__m128i a, uint32_t value, unsigned imm)
{
    xmm_t r = to_array(a);
    r.d[imm >> 4 & 3] = value;
    for (unsigned i = 0; i < 4; i++) {
        r.d[i] = imm >> i & 1 ? 0 : r.d[i];
    }
    return to_vector(r);
}
SIMD_LOADS(INSERTPS, SSE_ENTER, 4, xmm_set(v, u->d, insertps(xmm_get(v, u->d), to_array(s).d[0], imm)))
static HANDLER(insertps_between)
{
    const unsigned imm = (uint8_t)u->imm;
    SSE_ENTER(v, u);
    xmm_set(v, u->d, insertps(xmm_get(v, u->d), v->s.xmm[u->s].d[imm >> 6 & 3], imm));
    NEXT;
}

/* ---- extracts: into a GPR, zero-extended, or memory of that size ---- */

#define XMM_EXTRACT(name, kind, element, mask)                                                                                 \
    XMM_STORE_FORMS(name, kind, _mm_cvtsi64_si128((int64_t)to_array(s).element[imm & mask]))                                   \
    static HANDLER(name##_x)                                                                                                   \
    {                                                                                                                          \
        SSE_ENTER(v, u);                                                                                                       \
        set_reg64(v, u->d, v->s.xmm[u->s].element[u->imm & mask]);                                                             \
        NEXT;                                                                                                                  \
    }
XMM_EXTRACT(PEXTRB, 1, b, 15)
XMM_EXTRACT(PEXTRW, 2, w, 7)
XMM_EXTRACT(PEXTRD, 4, d, 3)
XMM_EXTRACT(PEXTRQ, 8, q, 1)
static HANDLER(mmx_PEXTRW)
{
    MMX_ENTER(v, u);
    set_reg64(v, u->d, v->s.fpu.r[u->s].significand >> 16 * (u->imm & 3) & 0xffff);
    mmx_touch(v);
    NEXT;
}

/* ---- blends ---- */

/* Element i of `s` where bit i of the immediate is set. */
static inline __m128i chosen(unsigned imm, __m128i bits)
{
    return _mm_cmpeq_epi16(_mm_and_si128(_mm_set1_epi16((int16_t)imm), bits), bits);
}
XMM_FORMS(PBLENDW, 16, pick(chosen(imm, _mm_set_epi16(128, 64, 32, 16, 8, 4, 2, 1)), s, a))
XMM_FORMS(BLENDPS, 16, pick(chosen(imm, _mm_set_epi16(8, 8, 4, 4, 2, 2, 1, 1)), s, a))
XMM_FORMS(BLENDPD, 16, pick(chosen(imm, _mm_set_epi16(2, 2, 2, 2, 1, 1, 1, 1)), s, a))
/* By the sign of XMM0's elements, the implicit third operand. */
XMM_FORMS(PBLENDVB, 16, pick(_mm_cmpgt_epi8(_mm_setzero_si128(), xmm_get(v, 0)), s, a))
XMM_FORMS(BLENDVPS, 16, pick(_mm_srai_epi32(xmm_get(v, 0), 31), s, a))
XMM_FORMS(BLENDVPD, 16, pick(_mm_shuffle_epi32(_mm_srai_epi32(xmm_get(v, 0), 31), 0xf5), s, a))

/* ---- shifts of the whole register ---- */

static HANDLER(PSLLDQ)
{
    SSE_ENTER(v, u);
    xmm_set(v, u->d, bytes_left(xmm_get(v, u->d), (uint8_t)u->imm));
    NEXT;
}
static HANDLER(PSRLDQ)
{
    SSE_ENTER(v, u);
    xmm_set(v, u->d, bytes_right(xmm_get(v, u->d), (uint8_t)u->imm));
    NEXT;
}

/* ---- widening ---- */

XMM_FORMS(PMOVSXBW, 8, sx8to16(s))
XMM_FORMS(PMOVSXBD, 4, sx16to32(sx8to16(s)))
XMM_FORMS(PMOVSXBQ, 2, sx32to64(sx16to32(sx8to16(s))))
XMM_FORMS(PMOVSXWD, 8, sx16to32(s))
XMM_FORMS(PMOVSXWQ, 4, sx32to64(sx16to32(s)))
XMM_FORMS(PMOVSXDQ, 8, sx32to64(s))
XMM_FORMS(PMOVZXBW, 8, zx8to16(s))
XMM_FORMS(PMOVZXBD, 4, zx16to32(zx8to16(s)))
XMM_FORMS(PMOVZXBQ, 2, zx32to64(zx16to32(zx8to16(s))))
XMM_FORMS(PMOVZXWD, 8, zx16to32(s))
XMM_FORMS(PMOVZXWQ, 4, zx32to64(zx16to32(s)))
XMM_FORMS(PMOVZXDQ, 8, zx32to64(s))

/* ---- rows ---- */

#define SHUFFLE_ROW(name) XMM_ROW(name, name)
#define EXTRACT_SET(name)                                                                                                      \
    {                                                                                                                          \
        name##_x, NULL, NULL, name##_s, name##_sg, NULL                                                                        \
    }

const struct insn_row sse_shuffle_rows[] = {
    SHUFFLE_ROW(SHUFPS),
    SHUFFLE_ROW(SHUFPD),
    SHUFFLE_ROW(PSHUFD),
    SHUFFLE_ROW(PSHUFLW),
    SHUFFLE_ROW(PSHUFHW),
    SHUFFLE_ROW(UNPCKLPS),
    SHUFFLE_ROW(UNPCKHPS),
    SHUFFLE_ROW(UNPCKLPD),
    SHUFFLE_ROW(UNPCKHPD),
    SHUFFLE_ROW(PINSRB),
    SIMD_ROW(PINSRW, COST_SSE, .xmm = SET_LOAD(PINSRW), .mmx = MMX_SET(SET_LOAD(mmx_PINSRW))),
    SHUFFLE_ROW(PINSRD),
    SHUFFLE_ROW(PINSRQ),
    SIMD_ROW(INSERTPS, COST_SSE, .xmm = {insertps_between, INSERTPS_m, INSERTPS_g, NULL, NULL, NULL}),
    SIMD_ROW(PEXTRB, COST_SSE, .xmm = EXTRACT_SET(PEXTRB)),
    SIMD_ROW(PEXTRW, COST_SSE, .xmm = EXTRACT_SET(PEXTRW), .mmx = MMX_SET(SET_REG(mmx_PEXTRW))),
    SIMD_ROW(PEXTRD, COST_SSE, .xmm = EXTRACT_SET(PEXTRD)),
    SIMD_ROW(PEXTRQ, COST_SSE, .xmm = EXTRACT_SET(PEXTRQ)),
    SIMD_ROW(EXTRACTPS, COST_SSE, .xmm = EXTRACT_SET(PEXTRD)),
    SHUFFLE_ROW(PBLENDW),
    SHUFFLE_ROW(BLENDPS),
    SHUFFLE_ROW(BLENDPD),
    SHUFFLE_ROW(PBLENDVB),
    SHUFFLE_ROW(BLENDVPS),
    SHUFFLE_ROW(BLENDVPD),
    SIMD_ROW(PSLLDQ, COST_SSE, .xmm = {.by_imm = PSLLDQ}),
    SIMD_ROW(PSRLDQ, COST_SSE, .xmm = {.by_imm = PSRLDQ}),
    SHUFFLE_ROW(PMOVSXBW),
    SHUFFLE_ROW(PMOVSXBD),
    SHUFFLE_ROW(PMOVSXBQ),
    SHUFFLE_ROW(PMOVSXWD),
    SHUFFLE_ROW(PMOVSXWQ),
    SHUFFLE_ROW(PMOVSXDQ),
    SHUFFLE_ROW(PMOVZXBW),
    SHUFFLE_ROW(PMOVZXBD),
    SHUFFLE_ROW(PMOVZXBQ),
    SHUFFLE_ROW(PMOVZXWD),
    SHUFFLE_ROW(PMOVZXWQ),
    SHUFFLE_ROW(PMOVZXDQ),
};
const size_t sse_shuffle_row_count = ARRAY_COUNT(sse_shuffle_rows);
