/* Moves between XMM registers, MMX registers, GPRs and memory, non-temporal ones among them; sign masks; fences. SDM 1 §10.4.1,
 * §11.4.1, §12.3.
 *
 * None looks at MXCSR: a NaN moves as any bits. Caches do not exist here, so non-temporal hints and fences order nothing.
 * MASKMOVDQU and MASKMOVQ store the selected bytes alone and fault for them alone.
 */
#include "cpu/exec/simd.h"

/* ---- 16 bytes ---- */

XMM_FORMS(aligned, 16, s)
XMM_STORE_FORMS(aligned, 16, s)
XMM_FORMS(unaligned, 16u, s)
XMM_STORE_FORMS(unaligned, 16u, s)

/* ---- parts of a register ---- */

/* MOVSS, MOVSD: between registers the rest stays, from memory it becomes zero. */
static HANDLER(movss_between)
{
    SSE_ENTER(v, u);
    xmm_set(v, u->d, low32_of(xmm_get(v, u->s), xmm_get(v, u->d)));
    NEXT;
}
static HANDLER(movsd_between)
{
    SSE_ENTER(v, u);
    xmm_set(v, u->d, low64_of(xmm_get(v, u->s), xmm_get(v, u->d)));
    NEXT;
}
SIMD_LOADS(dword, SSE_ENTER, 4, xmm_set(v, u->d, s))
XMM_STORE_FORMS(dword, 4, s)
XMM_FORMS(qword, 8, _mm_move_epi64(s))
XMM_STORE_FORMS(qword, 8, s)

SIMD_LOADS(to_low, SSE_ENTER, 8, xmm_set(v, u->d, low64_of(s, xmm_get(v, u->d))))
XMM_FORMS(to_high, 8, _mm_unpacklo_epi64(a, s))
XMM_STORE_FORMS(from_high, 8, _mm_unpackhi_epi64(s, s))
static HANDLER(movhlps)
{
    SSE_ENTER(v, u);
    __m128i s = xmm_get(v, u->s);
    xmm_set(v, u->d, low64_of(_mm_unpackhi_epi64(s, s), xmm_get(v, u->d)));
    NEXT;
}
XMM_FORMS(movddup, 8, _mm_unpacklo_epi64(s, s))
XMM_FORMS(movsldup, 16, _mm_shuffle_epi32(s, 0xa0))
XMM_FORMS(movshdup, 16, _mm_shuffle_epi32(s, 0xf5))

/* ---- MMX, and GPRs to and fro ---- */

SIMD_LOADS(mmx_dword, MMX_ENTER, 4, mmx_set(v, u->d, s); mmx_touch(v))
MMX_STORE_FORMS(mmx_dword, 4, s)
MMX_FORMS(mmx_qword, 8, s)
MMX_STORE_FORMS(mmx_qword, 8, s)

static HANDLER(xmm_from_gpr32)
{
    SSE_ENTER(v, u);
    xmm_set(v, u->d, _mm_cvtsi32_si128((int32_t)reg32(v, u->s)));
    NEXT;
}
static HANDLER(xmm_from_gpr64)
{
    SSE_ENTER(v, u);
    xmm_set(v, u->d, gpr_get(v, u->s));
    NEXT;
}
static HANDLER(gpr32_from_xmm)
{
    SSE_ENTER(v, u);
    set_reg32(v, u->d, v->s.xmm[u->s].d[0]);
    NEXT;
}
static HANDLER(gpr64_from_xmm)
{
    SSE_ENTER(v, u);
    set_reg64(v, u->d, v->s.xmm[u->s].q[0]);
    NEXT;
}
static HANDLER(mmx_from_gpr32)
{
    MMX_ENTER(v, u);
    mmx_set(v, u->d, _mm_cvtsi32_si128((int32_t)reg32(v, u->s)));
    mmx_touch(v);
    NEXT;
}
static HANDLER(mmx_from_gpr64)
{
    MMX_ENTER(v, u);
    mmx_set(v, u->d, gpr_get(v, u->s));
    mmx_touch(v);
    NEXT;
}
static HANDLER(gpr32_from_mmx)
{
    MMX_ENTER(v, u);
    set_reg32(v, u->d, (uint32_t)v->s.fpu.r[u->s].significand);
    mmx_touch(v);
    NEXT;
}
static HANDLER(gpr64_from_mmx)
{
    MMX_ENTER(v, u);
    set_reg64(v, u->d, v->s.fpu.r[u->s].significand);
    mmx_touch(v);
    NEXT;
}

/* MOVD and MOVQ: the forms with a GPR, and the rest. */
struct transfer {
    struct simd_form form;
    struct {
        uop_fn *from_gpr, *to_gpr;
    } xmm, mmx;
};
static const struct transfer movd = {
    {.xmm = {NULL, dword_m, dword_g, dword_s, dword_sg, NULL},
     .mmx = MMX_SET({NULL, mmx_dword_m, mmx_dword_g, mmx_dword_s, mmx_dword_sg, NULL})},
    .xmm = {xmm_from_gpr32, gpr32_from_xmm},
    .mmx = {mmx_from_gpr32, gpr32_from_mmx},
};
static const struct transfer movq = {
    {.xmm = SET_BOTH(qword), .mmx = MMX_SET(SET_BOTH(mmx_qword))},
    .xmm = {xmm_from_gpr64, gpr64_from_xmm},
    .mmx = {mmx_from_gpr64, gpr64_from_mmx},
};

static bool emit_transfer(struct emit *e, const struct insn *in, const void *transfer)
{
    const struct transfer *t = transfer;
    struct simd_form f = t->form;
    struct simd_set mmx = *t->form.mmx;
    if (in->op[0].kind == OPERAND_GPR) {
        f.xmm.reg = t->xmm.to_gpr;
        mmx.reg = t->mmx.to_gpr;
    } else if (in->op[1].kind == OPERAND_GPR) {
        f.xmm.reg = t->xmm.from_gpr;
        mmx.reg = t->mmx.from_gpr;
    }
    f.mmx = &mmx;
    return emit_simd(e, in, &f);
}

/* ---- sign masks ---- */

static HANDLER(movmskps)
{
    SSE_ENTER(v, u);
    set_reg32(v, u->d, (uint32_t)_mm_movemask_ps(_mm_castsi128_ps(xmm_get(v, u->s))));
    NEXT;
}
static HANDLER(movmskpd)
{
    SSE_ENTER(v, u);
    set_reg32(v, u->d, (uint32_t)_mm_movemask_pd(_mm_castsi128_pd(xmm_get(v, u->s))));
    NEXT;
}
static HANDLER(pmovmskb)
{
    SSE_ENTER(v, u);
    set_reg32(v, u->d, (uint32_t)_mm_movemask_epi8(xmm_get(v, u->s)));
    NEXT;
}
static HANDLER(mmx_pmovmskb)
{
    MMX_ENTER(v, u);
    set_reg32(v, u->d, (uint32_t)_mm_movemask_epi8(mmx_get(v, u->s)));
    mmx_touch(v);
    NEXT;
}

/* ---- stores past the cache ---- */

/* MOVNTI moves a GPR, and asks nothing of CR0 and CR4. */
static HANDLER(movnti32)
{
    store32(v, u, ea_flat(v, u), reg32(v, u->s));
    NEXT;
}
static HANDLER(movnti32_g)
{
    store32(v, u, ea_general(v, u, 4, ACCESS_WRITE), reg32(v, u->s));
    NEXT;
}
static HANDLER(movnti64)
{
    store64(v, u, ea_flat(v, u), reg64(v, u->s));
    NEXT;
}
static HANDLER(movnti64_g)
{
    store64(v, u, ea_general(v, u, 8, ACCESS_WRITE), reg64(v, u->s));
    NEXT;
}
static const struct simd_form movnti_forms[2] = {
    {.xmm = {.store = movnti32, .store_g = movnti32_g}},
    {.xmm = {.store = movnti64, .store_g = movnti64_g}},
};
static bool emit_movnti(struct emit *e, const struct insn *in, const void *argument)
{
    return emit_simd(e, in, &movnti_forms[in->op[1].bytes == 8]);
}

/* Bit i of `select`: byte i of `s` is stored. Permission for all of them first, so that a fault leaves memory as it was. */
static void store_selected(struct vcpu *v, const struct uop *u, uint64_t a, unsigned select, __m128i s)
{
    if (select == 0) {
        return;
    }
    unsigned first = (unsigned)__builtin_ctz(select), last = 31 - (unsigned)__builtin_clz(select);
    v->current = u;
    vp_probe_write(v, a + first, last - first + 1);
    xmm_t x = to_array(s);
    for (unsigned i = first; i <= last; i++) {
        if (select >> i & 1) {
            store8(v, u, a + i, x.b[i]);
        }
    }
}
static HANDLER(maskmovdqu)
{
    SSE_ENTER(v, u);
    store_selected(v, u, ea_flat(v, u), (unsigned)_mm_movemask_epi8(xmm_get(v, u->s)), xmm_get(v, u->d));
    NEXT;
}
static HANDLER(maskmovdqu_g)
{
    SSE_ENTER(v, u);
    store_selected(v, u, ea_general(v, u, 16, ACCESS_WRITE), (unsigned)_mm_movemask_epi8(xmm_get(v, u->s)), xmm_get(v, u->d));
    NEXT;
}
static HANDLER(maskmovq)
{
    MMX_ENTER(v, u);
    store_selected(v, u, ea_flat(v, u), (unsigned)_mm_movemask_epi8(mmx_get(v, u->s)), mmx_get(v, u->d));
    mmx_touch(v);
    NEXT;
}
static HANDLER(maskmovq_g)
{
    MMX_ENTER(v, u);
    store_selected(v, u, ea_general(v, u, 8, ACCESS_WRITE), (unsigned)_mm_movemask_epi8(mmx_get(v, u->s)), mmx_get(v, u->d));
    mmx_touch(v);
    NEXT;
}
/* The address is implicit: DS (or an override) and DI, EDI, RDI by the address size. */
static bool emit_maskmov(struct emit *e, const struct insn *in, const void *argument)
{
    const struct handler_pair *pair = argument;
    struct insn with_memory = *in;
    with_memory.has_mem = true;
    with_memory.mem.base = RDI;
    with_memory.mem.index = -1;
    with_memory.mem.scale_log2 = 0;
    with_memory.mem.disp = 0;
    e->u->fn = emit_memory(e, &with_memory) ? pair->flat : pair->general;
    e->u->d = in->op[0].reg;
    e->u->s = in->op[1].reg;
    return true;
}

/* Memory is sequentially consistent here: a fence has nothing to order. */
static HANDLER(fence)
{
    NEXT;
}

/* ---- rows ---- */

static const struct simd_form movsd = {.xmm = {movsd_between, qword_m, qword_g, qword_s, qword_sg, NULL}};

#define MOVE_ROW(mnemonic, ...) SIMD_ROW(mnemonic, COST_SSE, .xmm = __VA_ARGS__)

const struct insn_row sse_move_rows[] = {
    MOVE_ROW(MOVAPS, SET_BOTH(aligned)),
    MOVE_ROW(MOVAPD, SET_BOTH(aligned)),
    MOVE_ROW(MOVDQA, SET_BOTH(aligned)),
    MOVE_ROW(MOVUPS, SET_BOTH(unaligned)),
    MOVE_ROW(MOVUPD, SET_BOTH(unaligned)),
    MOVE_ROW(MOVDQU, SET_BOTH(unaligned)),
    MOVE_ROW(LDDQU, SET_LOAD_ONLY(unaligned)),
    MOVE_ROW(MOVNTDQA, SET_LOAD_ONLY(aligned)),
    MOVE_ROW(MOVNTDQ, SET_STORE(aligned)),
    MOVE_ROW(MOVNTPS, SET_STORE(aligned)),
    MOVE_ROW(MOVNTPD, SET_STORE(aligned)),
    MOVE_ROW(MOVSS, {movss_between, dword_m, dword_g, dword_s, dword_sg, NULL}),
    {ZYDIS_MNEMONIC_MOVSD, COST_SSE, 0, emit_simd, &movsd},
    MOVE_ROW(MOVLPS, {NULL, to_low_m, to_low_g, qword_s, qword_sg, NULL}),
    MOVE_ROW(MOVLPD, {NULL, to_low_m, to_low_g, qword_s, qword_sg, NULL}),
    MOVE_ROW(MOVHPS, {NULL, to_high_m, to_high_g, from_high_s, from_high_sg, NULL}),
    MOVE_ROW(MOVHPD, {NULL, to_high_m, to_high_g, from_high_s, from_high_sg, NULL}),
    MOVE_ROW(MOVHLPS, SET_REG(movhlps)),
    MOVE_ROW(MOVLHPS, SET_REG(to_high_x)),
    MOVE_ROW(MOVDDUP, SET_LOAD(movddup)),
    MOVE_ROW(MOVSLDUP, SET_LOAD(movsldup)),
    MOVE_ROW(MOVSHDUP, SET_LOAD(movshdup)),
    {ZYDIS_MNEMONIC_MOVD, COST_SSE, 0, emit_transfer, &movd},
    {ZYDIS_MNEMONIC_MOVQ, COST_SSE, 0, emit_transfer, &movq},
    MOVE_ROW(MOVMSKPS, SET_REG(movmskps)),
    MOVE_ROW(MOVMSKPD, SET_REG(movmskpd)),
    SIMD_ROW(PMOVMSKB, COST_SSE, .xmm = SET_REG(pmovmskb), .mmx = MMX_SET(SET_REG(mmx_pmovmskb))),
    {ZYDIS_MNEMONIC_MOVNTI, COST_SSE, 0, emit_movnti, NULL},
    {ZYDIS_MNEMONIC_MASKMOVDQU, COST_SSE, 0, emit_maskmov, &(const struct handler_pair){maskmovdqu, maskmovdqu_g}},
    {ZYDIS_MNEMONIC_MASKMOVQ, COST_SSE, 0, emit_maskmov, &(const struct handler_pair){maskmovq, maskmovq_g}},
    MOVE_ROW(LFENCE, SET_REG(fence)),
    MOVE_ROW(SFENCE, SET_REG(fence)),
    MOVE_ROW(MFENCE, SET_REG(fence)),
};
const size_t sse_move_row_count = ARRAY_COUNT(sse_move_rows);
