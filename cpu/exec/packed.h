/* Packed-integer operations on a host vector, for what one SSE2 intrinsic does not already say: the SSSE3 and SSE4 ones, and
 * how an MMX operation is had from the XMM one. An MMX value is the low half of a vector, whatever stands above it. Private to
 * sse_int.c and mmx.c.
 */
#ifndef ORRERY_CPU_EXEC_PACKED_H
#define ORRERY_CPU_EXEC_PACKED_H

#include "cpu/exec/simd.h"

/* ---- MMX from XMM, where the low half of the result is not it ---- */

/* Both MMX operands in one vector, `a` below: horizontal and packing operations then yield all four (or eight) results in the
 * low half. */
static inline __m128i both(__m128i a, __m128i s)
{
    return _mm_unpacklo_epi64(a, s);
}
static inline __m128i high_half(__m128i x)
{
    return _mm_srli_si128(x, 8);
}

/* ---- shifts by bytes ----
 * In halves, whose shifts give 0 for a count above 63: a negative count, too, is such a one. So `n` may be anything, and
 * anything that is not in 0..15 leaves nothing. */

static inline __m128i count_of(int bits)
{
    return _mm_cvtsi32_si128(bits);
}
static inline __m128i bytes_right(__m128i x, int n)
{
    __m128i high = _mm_srli_si128(x, 8);
    __m128i within = _mm_srl_epi64(x, count_of(8 * n)), across = _mm_sll_epi64(high, count_of(64 - 8 * n));
    return _mm_or_si128(_mm_or_si128(within, across), _mm_srl_epi64(high, count_of(8 * n - 64)));
}
static inline __m128i bytes_left(__m128i x, int n)
{
    __m128i low = _mm_slli_si128(x, 8);
    __m128i within = _mm_sll_epi64(x, count_of(8 * n)), across = _mm_srl_epi64(low, count_of(64 - 8 * n));
    return _mm_or_si128(_mm_or_si128(within, across), _mm_sll_epi64(low, count_of(8 * n - 64)));
}
/* Bytes n..n+15 of a:s, `s` below (SDM 2B PALIGNR): of the three parts those out of place are 0. */
static inline __m128i align_right(__m128i a, __m128i s, int n)
{
    return _mm_or_si128(_mm_or_si128(bytes_right(s, n), bytes_left(a, 16 - n)), bytes_right(a, n - 16));
}

/* ---- minimum and maximum that SSE2 lacks ---- */

#define SIGN_BITS_32 _mm_set1_epi32((int)0x80000000)
static inline __m128i greater_u32(__m128i a, __m128i s)
{
    return _mm_cmpgt_epi32(_mm_xor_si128(a, SIGN_BITS_32), _mm_xor_si128(s, SIGN_BITS_32));
}
static inline __m128i min_s8(__m128i a, __m128i s)
{
    return pick(_mm_cmpgt_epi8(a, s), s, a);
}
static inline __m128i max_s8(__m128i a, __m128i s)
{
    return pick(_mm_cmpgt_epi8(a, s), a, s);
}
static inline __m128i min_u16(__m128i a, __m128i s)
{
    return _mm_sub_epi16(a, _mm_subs_epu16(a, s));
}
static inline __m128i max_u16(__m128i a, __m128i s)
{
    return _mm_add_epi16(s, _mm_subs_epu16(a, s));
}
static inline __m128i min_s32(__m128i a, __m128i s)
{
    return pick(_mm_cmpgt_epi32(a, s), s, a);
}
static inline __m128i max_s32(__m128i a, __m128i s)
{
    return pick(_mm_cmpgt_epi32(a, s), a, s);
}
static inline __m128i min_u32(__m128i a, __m128i s)
{
    return pick(greater_u32(a, s), s, a);
}
static inline __m128i max_u32(__m128i a, __m128i s)
{
    return pick(greater_u32(a, s), a, s);
}

/* ---- SSSE3 ---- */

#define NEGATE_BY(bits)                                                                                                        \
    static inline __m128i absolute##bits(__m128i s)                                                                            \
    {                                                                                                                          \
        __m128i negative = _mm_cmpgt_epi##bits(_mm_setzero_si128(), s);                                                        \
        return _mm_sub_epi##bits(_mm_xor_si128(s, negative), negative);                                                        \
    }                                                                                                                          \
    static inline __m128i sign##bits(__m128i a, __m128i s)                                                                     \
    {                                                                                                                          \
        __m128i zero = _mm_setzero_si128(), negative = _mm_cmpgt_epi##bits(zero, s);                                           \
        return _mm_andnot_si128(_mm_cmpeq_epi##bits(s, zero), _mm_sub_epi##bits(_mm_xor_si128(a, negative), negative));        \
    }
NEGATE_BY(8)
NEGATE_BY(16)
NEGATE_BY(32)

/* Sums and differences of neighbours as 32 bits: of `a` below, of `s` above. */
static inline __m128i even_words(__m128i x)
{
    return _mm_srai_epi32(_mm_slli_epi32(x, 16), 16);
}
static inline __m128i odd_words(__m128i x)
{
    return _mm_srai_epi32(x, 16);
}
static inline __m128i wrap_words(__m128i a, __m128i s)
{
    return _mm_packs_epi32(even_words(a), even_words(s));
}
static inline __m128i phaddw(__m128i a, __m128i s)
{
    return wrap_words(_mm_add_epi32(even_words(a), odd_words(a)), _mm_add_epi32(even_words(s), odd_words(s)));
}
static inline __m128i phaddsw(__m128i a, __m128i s)
{
    return _mm_packs_epi32(_mm_add_epi32(even_words(a), odd_words(a)), _mm_add_epi32(even_words(s), odd_words(s)));
}
static inline __m128i phsubw(__m128i a, __m128i s)
{
    return wrap_words(_mm_sub_epi32(even_words(a), odd_words(a)), _mm_sub_epi32(even_words(s), odd_words(s)));
}
static inline __m128i phsubsw(__m128i a, __m128i s)
{
    return _mm_packs_epi32(_mm_sub_epi32(even_words(a), odd_words(a)), _mm_sub_epi32(even_words(s), odd_words(s)));
}
#define DWORDS(a, s, order) _mm_castps_si128(_mm_shuffle_ps(_mm_castsi128_ps(a), _mm_castsi128_ps(s), order))
static inline __m128i phaddd(__m128i a, __m128i s)
{
    return _mm_add_epi32(DWORDS(a, s, 0x88), DWORDS(a, s, 0xdd));
}
static inline __m128i phsubd(__m128i a, __m128i s)
{
    return _mm_sub_epi32(DWORDS(a, s, 0x88), DWORDS(a, s, 0xdd));
}

/* Eight bytes of `x` by the low nibbles of `control`. */
static inline uint64_t look_up(const xmm_t *x, uint64_t control)
{
    uint64_t r = 0;
    for (int i = 0; i < 64; i += 8) {
        r |= (uint64_t)x->b[control >> i & 15] << i;
    }
    return r;
}
static inline __m128i pshufb(__m128i a, __m128i s)
{
    xmm_t x = to_array(a), control = to_array(s);
    __m128i r = _mm_set_epi64x((int64_t)look_up(&x, control.q[1]), (int64_t)look_up(&x, control.q[0]));
    return _mm_andnot_si128(_mm_cmpgt_epi8(_mm_setzero_si128(), s), r);
}
/* ((a * s >> 14) + 1) >> 1 */
static inline __m128i pmulhrsw(__m128i a, __m128i s)
{
    __m128i low = _mm_mullo_epi16(a, s), high = _mm_mulhi_epi16(a, s), one = _mm_set1_epi32(1);
    __m128i first = _mm_srai_epi32(_mm_unpacklo_epi16(low, high), 14), last = _mm_srai_epi32(_mm_unpackhi_epi16(low, high), 14);
    return wrap_words(_mm_srai_epi32(_mm_add_epi32(first, one), 1), _mm_srai_epi32(_mm_add_epi32(last, one), 1));
}
/* Unsigned bytes of `a` times signed bytes of `s`, neighbours added with signed saturation. No product leaves 16 bits. */
static inline __m128i pmaddubsw(__m128i a, __m128i s)
{
    __m128i even = _mm_mullo_epi16(_mm_and_si128(a, _mm_set1_epi16(0xff)), _mm_srai_epi16(_mm_slli_epi16(s, 8), 8));
    __m128i odd = _mm_mullo_epi16(_mm_srli_epi16(a, 8), _mm_srai_epi16(s, 8));
    return _mm_adds_epi16(even, odd);
}

/* ---- SSE4.1 and SSE4.2 ---- */

static inline __m128i pmulld(__m128i a, __m128i s)
{
    __m128i even = _mm_mul_epu32(a, s), odd = _mm_mul_epu32(_mm_srli_epi64(a, 32), _mm_srli_epi64(s, 32));
    return _mm_unpacklo_epi32(_mm_shuffle_epi32(even, 0x08), _mm_shuffle_epi32(odd, 0x08));
}
static inline __m128i pmuldq(__m128i a, __m128i s)
{
    xmm_t x = to_array(a), y = to_array(s);
    return _mm_set_epi64x((int64_t)(int32_t)x.d[2] * (int32_t)y.d[2], (int64_t)(int32_t)x.d[0] * (int32_t)y.d[0]);
}
/* Signed 32 to unsigned 16 bits: clamp to 0..65535, then pack around zero. */
static inline __m128i clamp_u16(__m128i x)
{
    const __m128i most = _mm_set1_epi32(65535);
    x = _mm_andnot_si128(_mm_srai_epi32(x, 31), x);
    return _mm_sub_epi32(pick(_mm_cmpgt_epi32(x, most), most, x), _mm_set1_epi32(32768));
}
static inline __m128i packusdw(__m128i a, __m128i s)
{
    return _mm_xor_si128(_mm_packs_epi32(clamp_u16(a), clamp_u16(s)), _mm_set1_epi16((int16_t)0x8000));
}
static inline __m128i pcmpeqq(__m128i a, __m128i s)
{
    __m128i equal = _mm_cmpeq_epi32(a, s);
    return _mm_and_si128(equal, _mm_shuffle_epi32(equal, 0xb1));
}
static inline __m128i pcmpgtq(__m128i a, __m128i s)
{
    xmm_t x = to_array(a), y = to_array(s);
    return _mm_set_epi64x(-(int64_t)((int64_t)x.q[1] > (int64_t)y.q[1]), -(int64_t)((int64_t)x.q[0] > (int64_t)y.q[0]));
}
/* The least word, and its index (the lowest, if it stands there more than once). */
static inline __m128i phminposuw(__m128i s)
{
    xmm_t x = to_array(s);
    unsigned least = 0;
    for (unsigned i = 1; i < 8; i++) {
        least = x.w[i] < x.w[least] ? i : least;
    }
    return _mm_set_epi64x(0, x.w[least] | least << 16);
}
/* Eight sums of absolute differences: four bytes of `s` (imm 1:0) against those of `a` at a sliding offset (from imm 2). */
static inline __m128i mpsadbw(__m128i a, __m128i s, unsigned imm)
{
    xmm_t x = to_array(a), y = to_array(s), r;
    for (unsigned i = 0; i < 8; i++) {
        unsigned sum = 0;
        for (unsigned j = 0; j < 4; j++) {
            int difference = x.b[(imm & 4) + i + j] - y.b[(imm & 3) * 4 + j];
            sum += (unsigned)(difference < 0 ? -difference : difference);
        }
        r.w[i] = (uint16_t)sum;
    }
    return to_vector(r);
}

/* Widening of the low elements: `s` twice in each wider element, shifted down from the upper copy. */
static inline __m128i sx8to16(__m128i s)
{
    return _mm_srai_epi16(_mm_unpacklo_epi8(s, s), 8);
}
static inline __m128i sx16to32(__m128i s)
{
    return _mm_srai_epi32(_mm_unpacklo_epi16(s, s), 16);
}
static inline __m128i sx32to64(__m128i s)
{
    return _mm_unpacklo_epi32(s, _mm_srai_epi32(s, 31));
}
static inline __m128i zx8to16(__m128i s)
{
    return _mm_unpacklo_epi8(s, _mm_setzero_si128());
}
static inline __m128i zx16to32(__m128i s)
{
    return _mm_unpacklo_epi16(s, _mm_setzero_si128());
}
static inline __m128i zx32to64(__m128i s)
{
    return _mm_unpacklo_epi32(s, _mm_setzero_si128());
}

#endif
