/* MMX: the packed-integer operations of packed.def on MMX registers, EMMS, MASKMOVQ, and what moves between MMX and XMM. SDM 1
 * chapter 9.
 *
 * MMi is the significand of the physical x87 register Ri. Every instruction here sets TOP to 0, all tags to valid (EMMS: to
 * empty), and the exponent and sign of the register it writes to ones (SDM 3A §12.2). Rows of mnemonics that SSE2 shares are in
 * sse_int.c, sse_move.c, sse_shuffle.c.
 */
#include "cpu/exec/mmx.h"
#include "cpu/exec/packed.h"

#define PACKED_BOTH(name, xmm, mmx)                                                                                            \
    MMX_FORMS(name, 8, mmx)                                                                                                    \
    const struct simd_set mmx_##name = SET_LOAD(name);
#define PACKED_LOW(name, xmm, mmx)                                                                                             \
    MMX_FORMS(name, 4, mmx)                                                                                                    \
    const struct simd_set mmx_##name = SET_LOAD(name);
#define PACKED_XMM(name, value)
#define PACKED_SHIFT(name, op)                                                                                                 \
    MMX_FORMS(name, 8, op(a, s))                                                                                               \
    static HANDLER(name##_i)                                                                                                   \
    {                                                                                                                          \
        MMX_ENTER(v, u);                                                                                                       \
        mmx_set(v, u->d, op(mmx_get(v, u->d), count_of((uint8_t)u->imm)));                                                     \
        mmx_touch(v);                                                                                                          \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    const struct simd_set mmx_##name = SET_SHIFT(name);
#include "cpu/exec/packed.def"

/* PSHUFW: word i of the result is word imm[2i+1:2i] of the source. */
static inline __m128i pshufw(__m128i s, unsigned imm)
{
    uint64_t x = (uint64_t)_mm_cvtsi128_si64(s), r = 0;
    for (unsigned i = 0; i < 4; i++) {
        r |= (x >> 16 * (imm >> 2 * i & 3) & 0xffff) << 16 * i;
    }
    return _mm_cvtsi64_si128((int64_t)r);
}
MMX_FORMS(PSHUFW, 8, pshufw(s, imm))
MMX_STORE_FORMS(MOVNTQ, 8, s)

/* EMMS: all tags empty, and TOP 0 as after any MMX instruction (SDM 3A §12.2 The MMX State and MMX Register Aliasing). */
static HANDLER(EMMS)
{
    MMX_ENTER(v, u);
    mmx_touch(v);
    v->s.fpu.ftw = 0;
    NEXT;
}

/* MOVQ2DQ and MOVDQ2Q are SSE2 instructions and MMX instructions: both kinds of checks. */
static HANDLER(MOVQ2DQ)
{
    SSE_ENTER(v, u);
    MMX_ENTER(v, u);
    xmm_set(v, u->d, mmx_get(v, u->s));
    mmx_touch(v);
    NEXT;
}
static HANDLER(MOVDQ2Q)
{
    SSE_ENTER(v, u);
    MMX_ENTER(v, u);
    mmx_set(v, u->d, xmm_get(v, u->s));
    mmx_touch(v);
    NEXT;
}

const struct insn_row mmx_rows[] = {
    SIMD_ROW(PSHUFW, COST_SSE, .mmx = MMX_SET(SET_LOAD(PSHUFW))),
    SIMD_ROW(MOVNTQ, COST_SSE, .mmx = MMX_SET(SET_STORE(MOVNTQ))),
    SIMD_ROW(MOVQ2DQ, COST_SSE, .mmx = MMX_SET(SET_REG(MOVQ2DQ))),
    SIMD_ROW(MOVDQ2Q, COST_SSE, .mmx = MMX_SET(SET_REG(MOVDQ2Q))),
    SIMD_ROW(EMMS, COST_SSE, .xmm = SET_REG(EMMS)),
};
const size_t mmx_row_count = ARRAY_COUNT(mmx_rows);
