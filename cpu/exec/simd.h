/* What the SSE and MMX handlers have in common: entry checks, registers as host vectors, loads and stores, the three forms of a
 * handler, and the path for unmasked floating-point exceptions. Private to the sse*.c and mmx.c families.
 *
 * Each operation is an expression over host vectors; macros make its handlers from it: NAME_x (register source), NAME_m
 * (memory, flat; its cold twin is NAME_mc), NAME_g (memory, general). Only SSE2 is asked of the host. Floating-point arithmetic
 * is always `asm volatile`: then no compiler folds it, moves it over a change of MXCSR, or swaps operands (of two NaNs the
 * first one's payload survives, SDM 1 table 4-7).
 *
 * Order of faults, SDM 2A §2.4 Instruction exception specification: #UD and #NM by CR0 and CR4, then #MF for MMX, then the
 * address (segment, canonical, alignment, page), then #XM. Nothing is written before the last of them.
 */
#ifndef ORRERY_CPU_EXEC_SIMD_H
#define ORRERY_CPU_EXEC_SIMD_H

#include <Zydis/Zydis.h>
#include <emmintrin.h>

#include "cpu/access.h"
#include "cpu/exec/sse.h"
#include "cpu/insn.h"

#ifdef ORRERY_THREADED
#define GO_TO(handler) TAIL_CALL handler(v, u)
#else
#define GO_TO(handler) return handler(v, u)
#endif

/* ---- faults (simd.c) ---- */
HANDLER(sse_fault); /* sse_blocked: #UD or #NM */
HANDLER(mmx_fault); /* mmx_blocked or a pending x87 exception: #UD, #NM, #MF */
_Noreturn void simd_raise_misaligned(struct vcpu *v, const struct uop *u); /* #GP(0) */

enum { FSW_ES = 0x0080, FSW_TOP = 0x3800 };

/* Every handler begins with one or both. They jump rather than call, so that a handler needs no stack frame. */
#define SSE_ENTER(v, u)                                                                                                        \
    do {                                                                                                                       \
        if (UNLIKELY((v)->sse_blocked)) {                                                                                      \
            GO_TO(sse_fault);                                                                                                  \
        }                                                                                                                      \
    } while (0)
#define MMX_ENTER(v, u)                                                                                                        \
    do {                                                                                                                       \
        if (UNLIKELY((v)->mmx_blocked | ((v)->s.fpu.fsw & FSW_ES))) {                                                          \
            GO_TO(mmx_fault);                                                                                                  \
        }                                                                                                                      \
    } while (0)
#define NOTHING_MORE(v, u) (void)0

/* ---- registers ---- */
static inline __m128i xmm_get(const struct vcpu *v, unsigned r)
{
    return _mm_load_si128((const __m128i *)&v->s.xmm[r]);
}
static inline void xmm_set(struct vcpu *v, unsigned r, __m128i x)
{
    _mm_store_si128((__m128i *)&v->s.xmm[r], x);
}
/* The low half; the high half is zero. */
static inline __m128i mmx_get(const struct vcpu *v, unsigned r)
{
    return _mm_loadl_epi64((const __m128i *)&v->s.fpu.r[r].significand);
}
static inline void mmx_set(struct vcpu *v, unsigned r, __m128i x)
{
    _mm_storel_epi64((__m128i *)&v->s.fpu.r[r].significand, x);
    v->s.fpu.r[r].sign_exponent = 0xffff;
}
/* SDM 3A §12.2 The MMX State: an MMX instruction sets TOP to 0 and all tags to valid. After the last thing that may fault. */
static inline void mmx_touch(struct vcpu *v)
{
    v->s.fpu.fsw &= (uint16_t)~FSW_TOP;
    v->s.fpu.ftw = 0xff;
}

/* A GPR by its slot, as the low half. */
static inline __m128i gpr_get(const struct vcpu *v, uint8_t slot)
{
    return _mm_cvtsi64_si128((int64_t)reg64(v, slot));
}

static inline xmm_t to_array(__m128i x)
{
    xmm_t a;
    __builtin_memcpy(&a, &x, 16);
    return a;
}
static inline __m128i to_vector(xmm_t a)
{
    __m128i x;
    __builtin_memcpy(&x, &a, 16);
    return x;
}
/* Bits of `a` where `mask` is set, of `b` elsewhere. */
static inline __m128i pick(__m128i mask, __m128i a, __m128i b)
{
    return _mm_or_si128(_mm_and_si128(mask, a), _mm_andnot_si128(mask, b));
}
static inline __m128i low64_of(__m128i low, __m128i rest)
{
    return _mm_castpd_si128(_mm_move_sd(_mm_castsi128_pd(rest), _mm_castsi128_pd(low)));
}
static inline __m128i low32_of(__m128i low, __m128i rest)
{
    return _mm_castps_si128(_mm_move_ss(_mm_castsi128_ps(rest), _mm_castsi128_ps(low)));
}

/* ---- memory ----
 * An access has a kind: 16 (aligned, or #GP), 16u, 8, 4, 2, 1. load_KIND and store_KIND do all of it. A hot handler first asks
 * hit_KIND whether the TLB knows the page, and otherwise goes to its cold twin: so it calls nothing and needs no stack frame.
 */
enum { BYTES_16 = 16, BYTES_16u = 16, BYTES_8 = 8, BYTES_4 = 4, BYTES_2 = 2, BYTES_1 = 1 };

#define HIT(kind)                                                                                                              \
    static inline bool hit_##kind(uint64_t a, uint64_t tag)                                                                    \
    {                                                                                                                          \
        return LIKELY((a ^ tag) <= PAGE_BYTES - BYTES_##kind);                                                                 \
    }
HIT(16u)
HIT(8)
HIT(4)
HIT(2)
HIT(1)
/* Page, permission and alignment in one comparison: low bits that are set land on top. */
static inline bool hit_16(uint64_t a, uint64_t tag)
{
    uint64_t d = a ^ tag;
    return LIKELY((d >> 4 | d << 60) <= (PAGE_BYTES - 16) >> 4);
}

static inline __m128i at_16u(const void *host)
{
    return _mm_loadu_si128(host);
}
static inline __m128i at_16(const void *host)
{
    return _mm_loadu_si128(host); /* guest pages are aligned, but this is free and asks nothing of a bounce buffer */
}
static inline __m128i at_8(const void *host)
{
    return _mm_loadl_epi64(host);
}
static inline __m128i at_4(const void *host)
{
    int32_t x;
    __builtin_memcpy(&x, host, 4);
    return _mm_cvtsi32_si128(x);
}
static inline __m128i at_2(const void *host)
{
    uint16_t x;
    __builtin_memcpy(&x, host, 2);
    return _mm_cvtsi32_si128(x);
}
static inline __m128i at_1(const void *host)
{
    return _mm_cvtsi32_si128(*(const uint8_t *)host);
}

static inline __m128i load_16u(struct vcpu *v, const struct uop *u, uint64_t a)
{
    return to_vector(load128(v, u, a));
}
static inline __m128i load_16(struct vcpu *v, const struct uop *u, uint64_t a)
{
    if (UNLIKELY(a & 15)) {
        simd_raise_misaligned(v, u);
    }
    return load_16u(v, u, a);
}
static inline __m128i load_8(struct vcpu *v, const struct uop *u, uint64_t a)
{
    return _mm_cvtsi64_si128((int64_t)load64(v, u, a));
}
static inline __m128i load_4(struct vcpu *v, const struct uop *u, uint64_t a)
{
    return _mm_cvtsi32_si128((int32_t)load32(v, u, a));
}
static inline __m128i load_2(struct vcpu *v, const struct uop *u, uint64_t a)
{
    return _mm_cvtsi32_si128(load16(v, u, a));
}
static inline __m128i load_1(struct vcpu *v, const struct uop *u, uint64_t a)
{
    return _mm_cvtsi32_si128(load8(v, u, a));
}

static inline void put_16u(void *host, __m128i x)
{
    _mm_storeu_si128(host, x);
}
static inline void put_16(void *host, __m128i x)
{
    _mm_storeu_si128(host, x);
}
static inline void put_8(void *host, __m128i x)
{
    _mm_storel_epi64(host, x);
}
static inline void put_4(void *host, __m128i x)
{
    int32_t low = _mm_cvtsi128_si32(x);
    __builtin_memcpy(host, &low, 4);
}
static inline void put_2(void *host, __m128i x)
{
    uint16_t low = (uint16_t)_mm_cvtsi128_si32(x);
    __builtin_memcpy(host, &low, 2);
}
static inline void put_1(void *host, __m128i x)
{
    *(uint8_t *)host = (uint8_t)_mm_cvtsi128_si32(x);
}

static inline void store_16u(struct vcpu *v, const struct uop *u, uint64_t a, __m128i x)
{
    store128(v, u, a, to_array(x));
}
static inline void store_16(struct vcpu *v, const struct uop *u, uint64_t a, __m128i x)
{
    if (UNLIKELY(a & 15)) {
        simd_raise_misaligned(v, u);
    }
    store_16u(v, u, a, x);
}
static inline void store_8(struct vcpu *v, const struct uop *u, uint64_t a, __m128i x)
{
    store64(v, u, a, (uint64_t)_mm_cvtsi128_si64(x));
}
static inline void store_4(struct vcpu *v, const struct uop *u, uint64_t a, __m128i x)
{
    store32(v, u, a, (uint32_t)_mm_cvtsi128_si32(x));
}
static inline void store_2(struct vcpu *v, const struct uop *u, uint64_t a, __m128i x)
{
    store16(v, u, a, (uint16_t)_mm_cvtsi128_si32(x));
}
static inline void store_1(struct vcpu *v, const struct uop *u, uint64_t a, __m128i x)
{
    store8(v, u, a, (uint8_t)_mm_cvtsi128_si32(x));
}

/* `s` from memory at a flat address, or off to the cold twin. */
#define QUICK_LOAD(kind, twin)                                                                                                 \
    const uint64_t address = ea_flat(v, u);                                                                                    \
    const struct tlb_entry *entry = tlb_entry_of(v, address);                                                                  \
    if (UNLIKELY(!hit_##kind(address, entry->read_tag))) {                                                                     \
        GO_TO(twin);                                                                                                           \
    }                                                                                                                          \
    const __m128i s = at_##kind((const void *)(address + entry->addend));
#define QUICK_STORE(kind, twin, value)                                                                                         \
    const uint64_t address = ea_flat(v, u);                                                                                    \
    const struct tlb_entry *entry = tlb_entry_of(v, address);                                                                  \
    if (UNLIKELY(!hit_##kind(address, entry->write_tag))) {                                                                    \
        GO_TO(twin);                                                                                                           \
    }                                                                                                                          \
    put_##kind((void *)(address + entry->addend), value);
#define FLAT_ADDRESS(kind, access) ea_flat(v, u)
#define GENERAL_ADDRESS(kind, access) ea_general(v, u, BYTES_##kind, access)

/* ---- forms of an integer operation ----
 * The body sees `s`, the source as a vector, and `imm`, the immediate byte. */
#define SIMD_FORMS(name, enter, get, kind, ...)                                                                                \
    static HANDLER(name##_x)                                                                                                   \
    {                                                                                                                          \
        enter(v, u);                                                                                                           \
        const __m128i s = get(v, u->s);                                                                                        \
        SIMD_BODY(__VA_ARGS__)                                                                                                 \
    }                                                                                                                          \
    SIMD_LOADS(name, enter, kind, __VA_ARGS__)
/* The memory forms alone. */
#define SIMD_LOADS(name, enter, kind, ...)                                                                                     \
    SIMD_SLOW_LOAD(name##_mc, enter, kind, FLAT_ADDRESS, __VA_ARGS__)                                                          \
    SIMD_SLOW_LOAD(name##_g, enter, kind, GENERAL_ADDRESS, __VA_ARGS__)                                                        \
    static HANDLER(name##_m)                                                                                                   \
    {                                                                                                                          \
        enter(v, u);                                                                                                           \
        QUICK_LOAD(kind, name##_mc)                                                                                            \
        SIMD_BODY(__VA_ARGS__)                                                                                                 \
    }
#define SIMD_SLOW_LOAD(name, enter, kind, address, ...)                                                                        \
    static __attribute__((noinline)) HANDLER(name)                                                                             \
    {                                                                                                                          \
        enter(v, u);                                                                                                           \
        const __m128i s = load_##kind(v, u, address(kind, ACCESS_READ));                                                       \
        SIMD_BODY(__VA_ARGS__)                                                                                                 \
    }
#define SIMD_BODY(...)                                                                                                         \
    const unsigned imm = (uint8_t)u->imm;                                                                                      \
    (void)imm;                                                                                                                 \
    __VA_ARGS__;                                                                                                               \
    NEXT;

/* XMM destination: `value` is an expression of `a` (the destination's old value), `s` and `imm`. */
#define XMM_FORMS(name, kind, value)                                                                                           \
    SIMD_FORMS(name, SSE_ENTER, xmm_get, kind, const __m128i a = xmm_get(v, u->d); (void)a; xmm_set(v, u->d, value))
#define MMX_FORMS(name, kind, value)                                                                                           \
    SIMD_FORMS(name, MMX_ENTER, mmx_get, kind, const __m128i a = mmx_get(v, u->d); (void)a; mmx_set(v, u->d, value);           \
               mmx_touch(v))

/* A store of `value`, an expression of `s` (the source register) and `imm`: NAME_s and NAME_sg. */
#define STORE_FORMS(name, enter, get, touch, kind, value)                                                                      \
    SIMD_SLOW_STORE(name##_sc, enter, get, touch, kind, FLAT_ADDRESS, value)                                                   \
    SIMD_SLOW_STORE(name##_sg, enter, get, touch, kind, GENERAL_ADDRESS, value)                                                \
    static HANDLER(name##_s)                                                                                                   \
    {                                                                                                                          \
        enter(v, u);                                                                                                           \
        const __m128i s = get(v, u->s);                                                                                        \
        const unsigned imm = (uint8_t)u->imm;                                                                                  \
        (void)imm;                                                                                                             \
        QUICK_STORE(kind, name##_sc, value)                                                                                    \
        touch(v);                                                                                                              \
        NEXT;                                                                                                                  \
    }
#define SIMD_SLOW_STORE(name, enter, get, touch, kind, address, value)                                                         \
    static __attribute__((noinline)) HANDLER(name)                                                                             \
    {                                                                                                                          \
        enter(v, u);                                                                                                           \
        const __m128i s = get(v, u->s);                                                                                        \
        const unsigned imm = (uint8_t)u->imm;                                                                                  \
        (void)imm;                                                                                                             \
        store_##kind(v, u, address(kind, ACCESS_WRITE), value);                                                                \
        touch(v);                                                                                                              \
        NEXT;                                                                                                                  \
    }
static inline void sse_touch(struct vcpu *v)
{
}
#define XMM_STORE_FORMS(name, kind, value) STORE_FORMS(name, SSE_ENTER, xmm_get, sse_touch, kind, value)
#define MMX_STORE_FORMS(name, kind, value) STORE_FORMS(name, MMX_ENTER, mmx_get, mmx_touch, kind, value)

/* ---- forms of a floating-point operation ---- */

/* True when the quick way is barred: SSE is off, or an exception is unmasked. */
static inline bool fp_barred(const struct vcpu *v)
{
    _Static_assert(offsetof(struct vcpu, sse_blocked) == offsetof(struct vcpu, fp_unmasked) + 1, "read as one word");
    uint16_t both;
    __builtin_memcpy(&both, (const char *)v + offsetof(struct vcpu, fp_unmasked), sizeof both);
    return both != 0;
}
/* Flags that a software operation raises. */
static inline void fp_raise_flags(struct vcpu *v, uint32_t flags)
{
    v->s.mxcsr |= flags;
}
/* Around an operation of the careful path (simd_unmasked.c). fp_begin() puts all sticky flags aside and returns them;
 * fp_found() is what was raised since; fp_end() leaves by #XM (or #UD without CR4.OSXMMEXCPT) if any of `raised` is unmasked.
 */
uint32_t fp_begin(struct vcpu *v);
uint32_t fp_found(const struct vcpu *v);
uint32_t fp_settle(const struct vcpu *v, uint32_t raised); /* an unmasked pre-computation exception: no others */
void fp_end(struct vcpu *v, const struct uop *u, uint32_t sticky, uint32_t raised);
/* None of these flags is for an unmasked exception. */
static inline bool fp_masked(const struct vcpu *v, uint32_t flags)
{
    return !(flags & ~(v->s.mxcsr >> MXCSR_MASKS_SHIFT) & MXCSR_FLAGS);
}
/* What fp_found() cannot know of an operation that may overflow or underflow, as those are masked on the host: see
 * simd_unmasked.c. `lanes`: bit i for the lane i that takes part. */
struct fp_operation;
extern const struct fp_operation add_single, sub_single, mul_single, div_single, add_double, sub_double, mul_double, div_double,
    narrow_double;
uint32_t fp_judge(struct vcpu *v, const struct fp_operation *o, unsigned lanes, __m128i a, __m128i s);
/* The same for one of several steps: without regard to what the others raised, and not yet settled. */
uint32_t fp_judge_step(struct vcpu *v, const struct fp_operation *o, unsigned lanes, __m128i a, __m128i s);

/* `result` declares a variable from `s` and `imm`, `raised` is an expression for its flags, `commit` writes it. The hot handler
 * is the operation alone; NAME_xc, NAME_mc, NAME_gc are its careful twins. `enter` comes on top of SSE's own checks: MMX_ENTER
 * or NOTHING_MORE. `get` reads a register source: xmm_get, mmx_get or gpr_get. */
#define FP_FORMS(name, enter, get, kind, result, raised, commit)                                                               \
    FP_CAREFUL(name##_xc, enter, get(v, u->s), result, raised, commit)                                                         \
    FP_QUICK(name##_x, name##_xc, enter, const __m128i s = get(v, u->s), result, commit)                                       \
    FP_LOADS(name, enter, kind, result, raised, commit)
#define FP_LOADS(name, enter, kind, result, raised, commit)                                                                    \
    FP_CAREFUL(name##_mc, enter, load_##kind(v, u, FLAT_ADDRESS(kind, ACCESS_READ)), result, raised, commit)                   \
    FP_CAREFUL(name##_gc, enter, load_##kind(v, u, GENERAL_ADDRESS(kind, ACCESS_READ)), result, raised, commit)                \
    FP_QUICK(name##_m, name##_mc, enter, QUICK_LOAD(kind, name##_mc), result, commit)                                          \
    FP_QUICK(name##_g, name##_gc, enter, const __m128i s = load_##kind(v, u, GENERAL_ADDRESS(kind, ACCESS_READ)), result,      \
             commit)
#define FP_QUICK(name, careful, enter, source, result, commit)                                                                 \
    static HANDLER(name)                                                                                                       \
    {                                                                                                                          \
        if (UNLIKELY(fp_barred(v))) {                                                                                          \
            GO_TO(careful);                                                                                                    \
        }                                                                                                                      \
        enter(v, u);                                                                                                           \
        source;                                                                                                                \
        FP_IMMEDIATE                                                                                                           \
        result;                                                                                                                \
        commit;                                                                                                                \
        NEXT;                                                                                                                  \
    }
#define FP_CAREFUL(name, enter, source, result, raised, commit)                                                                \
    static COLD HANDLER(name)                                                                                                  \
    {                                                                                                                          \
        SSE_ENTER(v, u);                                                                                                       \
        enter(v, u);                                                                                                           \
        const __m128i s = (source);                                                                                            \
        FP_IMMEDIATE                                                                                                           \
        const uint32_t sticky = fp_begin(v);                                                                                   \
        result;                                                                                                                \
        fp_end(v, u, sticky, raised);                                                                                          \
        commit;                                                                                                                \
        NEXT;                                                                                                                  \
    }
#define FP_IMMEDIATE                                                                                                           \
    const unsigned imm = (uint8_t)u->imm;                                                                                      \
    (void)imm;
/* XMM destination: `value` may also use `a`, its old value. */
#define FP_XMM_JUDGED(name, kind, value, raised)                                                                               \
    FP_FORMS(name, NOTHING_MORE, xmm_get, kind, const __m128i a = xmm_get(v, u->d); (void)a;                                   \
             const __m128i r = (value), raised, xmm_set(v, u->d, r))
/* The same, for what neither overflows nor underflows. */
#define FP_XMM_FORMS(name, kind, value) FP_XMM_JUDGED(name, kind, value, fp_found(v))

/* asm for `name`: d = op(d, s), both XMM. */
#define FP_ASM(name)                                                                                                           \
    static inline __m128i name(__m128i a, __m128i s)                                                                           \
    {                                                                                                                          \
        __asm__ volatile(#name " %1, %0" : "+x"(a) : "x"(s));                                                                  \
        return a;                                                                                                              \
    }

/* ---- rows ---- */

/* Handlers by kind of operand; NULL where the instruction has no such form. `by_imm`: the source is an immediate. */
struct simd_set {
    uop_fn *reg, *load, *load_g, *store, *store_g, *by_imm;
};
/* `mmx` (may be NULL) is taken when one of the operands is an MMX register. */
struct simd_form {
    struct simd_set xmm;
    const struct simd_set *mmx;
};
/* Operands: d = op[0], s = op[1] (number of an XMM or MMX register, slot of a GPR), the immediate in imm. */
bool emit_simd(struct emit *e, const struct insn *in, const void *form);
/* The same; `forms` are two, for a 32-bit and a 64-bit GPR or integer in memory. */
bool emit_simd_sized(struct emit *e, const struct insn *in, const void *forms);

#define SOURCES(name) name##_x, name##_m, name##_g
#define SET_LOAD(name)                                                                                                         \
    {                                                                                                                          \
        SOURCES(name), NULL, NULL, NULL                                                                                        \
    }
#define SET_STORE(name)                                                                                                        \
    {                                                                                                                          \
        NULL, NULL, NULL, name##_s, name##_sg, NULL                                                                            \
    }
#define SET_BOTH(name)                                                                                                         \
    {                                                                                                                          \
        SOURCES(name), name##_s, name##_sg, NULL                                                                               \
    }
#define SET_LOAD_ONLY(name)                                                                                                    \
    {                                                                                                                          \
        NULL, name##_m, name##_g, NULL, NULL, NULL                                                                             \
    }
#define SET_REG(name)                                                                                                          \
    {                                                                                                                          \
        name, NULL, NULL, NULL, NULL, NULL                                                                                     \
    }
#define SET_SHIFT(name)                                                                                                        \
    {                                                                                                                          \
        SOURCES(name), NULL, NULL, name##_i                                                                                    \
    }
#define SIMD_ROW(mnemonic, cost, ...)                                                                                          \
    {                                                                                                                          \
        ZYDIS_MNEMONIC_##mnemonic, cost, 0, emit_simd, &(const struct simd_form)                                               \
        {                                                                                                                      \
            __VA_ARGS__                                                                                                        \
        }                                                                                                                      \
    }
#define XMM_ROW(mnemonic, name) SIMD_ROW(mnemonic, COST_SSE, .xmm = SET_LOAD(name))
#define MMX_SET(...) &(const struct simd_set)__VA_ARGS__

#endif
