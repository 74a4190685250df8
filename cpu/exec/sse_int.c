/* Packed-integer arithmetic, compares, logic, packing and shifts on XMM registers: SSE2, SSSE3, SSE4.1, SSE4.2; and PTEST.
 * The list is packed.def. What moves data without computing is in sse_move.c and sse_shuffle.c.
 */
#include "cpu/exec/mmx.h"
#include "cpu/exec/packed.h"

#define PACKED_BOTH(name, xmm, mmx) XMM_FORMS(name, 16, xmm)
#define PACKED_LOW(name, xmm, mmx) XMM_FORMS(name, 16, xmm)
#define PACKED_XMM(name, value) XMM_FORMS(name, 16, value)
#define PACKED_SHIFT(name, op)                                                                                                 \
    XMM_FORMS(name, 16, op(a, s))                                                                                              \
    static HANDLER(name##_i)                                                                                                   \
    {                                                                                                                          \
        SSE_ENTER(v, u);                                                                                                       \
        xmm_set(v, u->d, op(xmm_get(v, u->d), count_of((uint8_t)u->imm)));                                                     \
        NEXT;                                                                                                                  \
    }
#include "cpu/exec/packed.def"
#undef PACKED_BOTH
#undef PACKED_LOW
#undef PACKED_XMM
#undef PACKED_SHIFT

/* ZF: a AND s is zero; CF: s AND NOT a is zero; the others cleared (SDM 2B PTEST). */
static inline bool all_zero(__m128i x)
{
    return _mm_movemask_epi8(_mm_cmpeq_epi8(x, _mm_setzero_si128())) == 0xffff;
}
SIMD_FORMS(PTEST, SSE_ENTER, xmm_get, 16, const __m128i a = xmm_get(v, u->d);
           v->fl = (uint16_t)(all_zero(_mm_and_si128(a, s)) << 14 | all_zero(_mm_andnot_si128(a, s)) << 8))

#define PACKED_BOTH(name, xmm_value, mmx_value) SIMD_ROW(name, COST_SSE, .xmm = SET_LOAD(name), .mmx = &mmx_##name),
#define PACKED_LOW(name, xmm_value, mmx_value) SIMD_ROW(name, COST_SSE, .xmm = SET_LOAD(name), .mmx = &mmx_##name),
#define PACKED_SHIFT(name, op) SIMD_ROW(name, COST_SSE, .xmm = SET_SHIFT(name), .mmx = &mmx_##name),
#define PACKED_XMM(name, value) XMM_ROW(name, name),
const struct insn_row sse_int_rows[] = {
#include "cpu/exec/packed.def"
    XMM_ROW(PTEST, PTEST),
};
const size_t sse_int_row_count = ARRAY_COUNT(sse_int_rows);
