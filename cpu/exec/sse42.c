/* SSE4.2: string compares (PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM; SDM 2B §4.1 Imm8 control byte) and CRC32.
 * The third of SSE4.2's subjects, PCMPGTQ, is in packed.def.
 *
 * String compares follow the SDM's three steps: IntRes1 by aggregation, IntRes2 by polarity, then index or mask. Sets of
 * elements are bit masks, element 0 lowest. Memory operands need no alignment.
 */
#include "cpu/exec/simd.h"

/* ---- string compares ---- */

enum {
    STRING_WORDS = 0x01,
    STRING_SIGNED = 0x02,
    STRING_AGGREGATION = 0x0c,
    STRING_NEGATE = 0x10,
    STRING_NEGATE_VALID = 0x20,
    STRING_LAST = 0x40,
    STRING_EXPAND = 0x40
};
enum { EQUAL_ANY = 0x00, RANGES = 0x04, EQUAL_EACH = 0x08, EQUAL_ORDERED = 0x0c };

/* Elements widened to int, and how many are valid. */
struct text {
    int32_t e[16];
    unsigned length;
};

static inline unsigned string_elements(unsigned imm)
{
    return imm & STRING_WORDS ? 8 : 16;
}
static inline int32_t string_element(const xmm_t *x, unsigned imm, unsigned i)
{
    switch (imm & (STRING_WORDS | STRING_SIGNED)) {
    case 0:
        return x->b[i];
    case STRING_WORDS:
        return x->w[i];
    case STRING_SIGNED:
        return (int8_t)x->b[i];
    default:
        return (int16_t)x->w[i];
    }
}
static inline struct text text_of(const xmm_t *x, unsigned imm, unsigned length)
{
    struct text t = {.length = length};
    for (unsigned i = 0; i < string_elements(imm); i++) {
        t.e[i] = string_element(x, imm, i);
    }
    return t;
}
/* Implicit length: up to the first zero element. */
static inline unsigned implicit_length(const xmm_t *x, unsigned imm)
{
    unsigned n = 0;
    while (n < string_elements(imm) && string_element(x, imm, n) != 0) {
        n++;
    }
    return n;
}
/* Explicit length: the absolute value, not above the number of elements. */
static inline unsigned explicit_length(int64_t value, unsigned imm)
{
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    return magnitude > string_elements(imm) ? string_elements(imm) : (unsigned)magnitude;
}

/* Bit j: element j of `s` is one of `a` (or in one of its ranges). Invalid elements match nothing. */
static inline unsigned match_any(const struct text *a, const struct text *s)
{
    unsigned result = 0;
    for (unsigned j = 0; j < s->length; j++) {
        for (unsigned i = 0; i < a->length; i++) {
            result |= (unsigned)(a->e[i] == s->e[j]) << j;
        }
    }
    return result;
}
static inline unsigned match_ranges(const struct text *a, const struct text *s)
{
    unsigned result = 0;
    for (unsigned j = 0; j < s->length; j++) {
        for (unsigned i = 0; i + 1 < a->length; i += 2) {
            result |= (unsigned)(a->e[i] <= s->e[j] && s->e[j] <= a->e[i + 1]) << j;
        }
    }
    return result;
}
/* Bit j: both have the same element j, or both have ended. */
static inline unsigned match_each(const struct text *a, const struct text *s, unsigned n)
{
    unsigned result = 0;
    for (unsigned j = 0; j < n; j++) {
        bool in_a = j < a->length, in_s = j < s->length;
        result |= (unsigned)(in_a && in_s ? a->e[j] == s->e[j] : in_a == in_s) << j;
    }
    return result;
}
/* Bit j: `a`, as far as it fits, stands in `s` from j on. Past the end of `a` everything matches, past that of `s` nothing. */
static inline unsigned match_ordered(const struct text *a, const struct text *s, unsigned n)
{
    unsigned result = 0;
    for (unsigned j = 0; j < n; j++) {
        bool all = true;
        for (unsigned i = 0; i < a->length && j + i < n; i++) {
            all = all && j + i < s->length && a->e[i] == s->e[j + i];
        }
        result |= (unsigned)all << j;
    }
    return result;
}

/* IntRes2, and the flags: CF any bit, ZF `s` is short, SF `a` is short, OF bit 0; AF and PF cleared. Not inlined: one copy for
 * twelve handlers. Takes the operands by register number and by value, for a handler's locals may not escape. */
static __attribute__((noinline)) unsigned string_compare(struct vcpu *v, unsigned a_register, __m128i s_vector, unsigned imm,
                                                         unsigned a_length, unsigned s_length)
{
    const unsigned n = string_elements(imm), all = (1u << n) - 1;
    const xmm_t s_bytes = to_array(s_vector);
    const struct text a = text_of(&v->s.xmm[a_register], imm, a_length), s = text_of(&s_bytes, imm, s_length);
    unsigned result = 0;
    switch (imm & STRING_AGGREGATION) {
    case EQUAL_ANY:
        result = match_any(&a, &s);
        break;
    case RANGES:
        result = match_ranges(&a, &s);
        break;
    case EQUAL_EACH:
        result = match_each(&a, &s, n);
        break;
    default:
        result = match_ordered(&a, &s, n);
        break;
    }
    if (imm & STRING_NEGATE) {
        result ^= imm & STRING_NEGATE_VALID ? (1u << s.length) - 1 : all;
    }
    v->fl = (uint16_t)((a.length < n) << 15 | (s.length < n) << 14 | (result != 0) << 8 | (result & 1));
    return result;
}

/* ECX: the lowest or highest set bit, or the number of elements. */
static inline void write_index(struct vcpu *v, unsigned imm, unsigned result)
{
    unsigned index = result == 0         ? string_elements(imm)
                     : imm & STRING_LAST ? 31 - (unsigned)__builtin_clz(result)
                                         : (unsigned)__builtin_ctz(result);
    set_reg32(v, slot_gpr(RCX), index);
}
/* XMM0: the bits, or each widened to its element. */
static inline void write_mask(struct vcpu *v, unsigned imm, unsigned result)
{
    xmm_t r = {.q = {result, 0}};
    if (imm & STRING_EXPAND) {
        for (unsigned i = 0; i < 16; i++) {
            r.b[i] = result >> (imm & STRING_WORDS ? i / 2 : i) & 1 ? 0xff : 0;
        }
    }
    v->s.xmm[0] = r;
}

/* Lengths of `a` and `s` in EAX and EDX, or with REX.W (u->x) in RAX and RDX. */
static inline int64_t length_register(const struct vcpu *v, const struct uop *u, unsigned r)
{
    return u->x ? (int64_t)v->s.gpr[r] : (int32_t)v->s.gpr[r];
}
#define EXPLICIT_COMPARE                                                                                                       \
    string_compare(v, u->d, s, imm, explicit_length(length_register(v, u, RAX), imm),                                          \
                   explicit_length(length_register(v, u, RDX), imm))
/* The length of `s` first: it is in a register of ours, which the call needs. */
static __attribute__((noinline)) unsigned implicit_compare(struct vcpu *v, unsigned a_register, __m128i s, unsigned imm)
{
    const xmm_t bytes = to_array(s);
    return string_compare(v, a_register, s, imm, implicit_length(&v->s.xmm[a_register], imm), implicit_length(&bytes, imm));
}
SIMD_FORMS(PCMPESTRI, SSE_ENTER, xmm_get, 16u, write_index(v, imm, EXPLICIT_COMPARE))
SIMD_FORMS(PCMPESTRM, SSE_ENTER, xmm_get, 16u, write_mask(v, imm, EXPLICIT_COMPARE))
SIMD_FORMS(PCMPISTRI, SSE_ENTER, xmm_get, 16u, write_index(v, imm, implicit_compare(v, u->d, s, imm)))
SIMD_FORMS(PCMPISTRM, SSE_ENTER, xmm_get, 16u, write_mask(v, imm, implicit_compare(v, u->d, s, imm)))

static bool emit_explicit(struct emit *e, const struct insn *in, const void *form)
{
    e->u->x = in->operand_bytes == 8;
    return emit_simd(e, in, form);
}

/* ---- CRC32: polynomial 11EDC6F41H, bits reflected (SDM 2A CRC32) ----
 * A byte's eight bits contribute to the remainder independently, so a table entry is the sum of its bits' parts. Table k is for
 * a byte that k more bytes follow: then the bytes of an operand are looked up side by side. Part b of table k is what bit b
 * becomes in 8 * (k + 1) steps of the register (a unit test takes these steps one by one). */
#define CRC_PARTS(X)                                                                                                           \
    X(0, 0xf26b8303, 0xe13b70f7, 0xc79a971f, 0x8ad958cf, 0x105ec76f, 0x20bd8ede, 0x417b1dbc, 0x82f63b78)                       \
    X(1, 0x13a29877, 0x274530ee, 0x4e8a61dc, 0x9d14c3b8, 0x3fc5f181, 0x7f8be302, 0xff17c604, 0xfbc3faf9)                       \
    X(2, 0xa541927e, 0x4f6f520d, 0x9edea41a, 0x38513ec5, 0x70a27d8a, 0xe144fb14, 0xc76580d9, 0x8b277743)                       \
    X(3, 0xdd45aab8, 0xbf672381, 0x7b2231f3, 0xf64463e6, 0xe964b13d, 0xd725148b, 0xaba65fe7, 0x52a0c93f)                       \
    X(4, 0x38116fac, 0x7022df58, 0xe045beb0, 0xc5670b91, 0x8f2261d3, 0x1ba8b557, 0x37516aae, 0x6ea2d55c)                       \
    X(5, 0xef306b19, 0xdb8ca0c3, 0xb2f53777, 0x6006181f, 0xc00c303e, 0x85f4168d, 0x0e045beb, 0x1c08b7d6)                       \
    X(6, 0x68032cc8, 0xd0065990, 0xa5e0c5d1, 0x4e2dfd53, 0x9c5bfaa6, 0x3d5b83bd, 0x7ab7077a, 0xf56e0ef4)                       \
    X(7, 0x493c7d27, 0x9278fa4e, 0x211d826d, 0x423b04da, 0x847609b4, 0x0d006599, 0x1a00cb32, 0x34019664)
#define PART(i, b, part) ((i) >> (b)&1 ? part##u : 0)
#define ENTRY(i, p0, p1, p2, p3, p4, p5, p6, p7)                                                                               \
    PART(i, 0, p0) ^ PART(i, 1, p1) ^ PART(i, 2, p2) ^ PART(i, 3, p3) ^ PART(i, 4, p4) ^ PART(i, 5, p5) ^ PART(i, 6, p6) ^     \
        PART(i, 7, p7)
#define ENTRIES_4(i, ...) ENTRY(i, __VA_ARGS__), ENTRY(i + 1, __VA_ARGS__), ENTRY(i + 2, __VA_ARGS__), ENTRY(i + 3, __VA_ARGS__)
#define ENTRIES_16(i, ...)                                                                                                     \
    ENTRIES_4(i, __VA_ARGS__), ENTRIES_4(i + 4, __VA_ARGS__), ENTRIES_4(i + 8, __VA_ARGS__), ENTRIES_4(i + 12, __VA_ARGS__)
#define ENTRIES_64(i, ...)                                                                                                     \
    ENTRIES_16(i, __VA_ARGS__), ENTRIES_16(i + 16, __VA_ARGS__), ENTRIES_16(i + 32, __VA_ARGS__),                              \
        ENTRIES_16(i + 48, __VA_ARGS__)
#define ENTRIES_256(k, ...)                                                                                                    \
    [k] = {ENTRIES_64(0, __VA_ARGS__), ENTRIES_64(64, __VA_ARGS__), ENTRIES_64(128, __VA_ARGS__), ENTRIES_64(192, __VA_ARGS__)},
static const uint32_t crc_table[8][256] = {CRC_PARTS(ENTRIES_256)};

static inline uint32_t crc32_of(uint32_t crc, uint64_t data, unsigned bytes)
{
    uint64_t x = crc ^ data;
    uint32_t r = bytes < 4 ? crc >> 8 * bytes : 0;
    for (unsigned i = 0; i < bytes; i++) {
        r ^= crc_table[bytes - 1 - i][x >> 8 * i & 0xff];
    }
    return r;
}
/* CRC32 works on GPRs and asks nothing of CR0 and CR4. The destination's upper half becomes zero in every form. */
#define CRC32(bits, bytes)                                                                                                     \
    static HANDLER(crc32_r##bits)                                                                                              \
    {                                                                                                                          \
        set_reg32(v, u->d, crc32_of(reg32(v, u->d), reg##bits(v, u->s), bytes));                                               \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    static HANDLER(crc32_m##bits)                                                                                              \
    {                                                                                                                          \
        set_reg32(v, u->d, crc32_of(reg32(v, u->d), load##bits(v, u, ea_flat(v, u)), bytes));                                  \
        NEXT;                                                                                                                  \
    }                                                                                                                          \
    static HANDLER(crc32_g##bits)                                                                                              \
    {                                                                                                                          \
        set_reg32(v, u->d, crc32_of(reg32(v, u->d), load##bits(v, u, ea_general(v, u, bytes, ACCESS_READ)), bytes));           \
        NEXT;                                                                                                                  \
    }
CRC32(8, 1)
CRC32(16, 2)
CRC32(32, 4)
CRC32(64, 8)
#define CRC32_FORM(bits)                                                                                                       \
    {                                                                                                                          \
        .xmm = { crc32_r##bits, crc32_m##bits, crc32_g##bits, NULL, NULL, NULL }                                               \
    }
static const struct simd_form crc32_forms[4] = {CRC32_FORM(8), CRC32_FORM(16), CRC32_FORM(32), CRC32_FORM(64)};

static bool emit_crc32(struct emit *e, const struct insn *in, const void *argument)
{
    return emit_simd(e, in, &crc32_forms[size_index(in->op[1].bytes)]);
}

/* ---- rows ---- */

#define STRING_ROW(name, emit)                                                                                                 \
    {                                                                                                                          \
        ZYDIS_MNEMONIC_##name, COST_SSE, 0, emit, &(const struct simd_form)                                                    \
        {                                                                                                                      \
            .xmm = SET_LOAD(name)                                                                                              \
        }                                                                                                                      \
    }

const struct insn_row sse42_rows[] = {
    STRING_ROW(PCMPESTRI, emit_explicit),
    STRING_ROW(PCMPESTRM, emit_explicit),
    STRING_ROW(PCMPISTRI, emit_simd),
    STRING_ROW(PCMPISTRM, emit_simd),
    {ZYDIS_MNEMONIC_CRC32, COST_SSE, 0, emit_crc32, NULL},
};
const size_t sse42_row_count = ARRAY_COUNT(sse42_rows);
