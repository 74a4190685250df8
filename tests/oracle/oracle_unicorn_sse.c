/* SSE to SSE4.2 and MMX against unicorn: every form (forms.h) with masked exceptions, as oracle_sse.c does against the host.
 *
 * Left out, since unicorn does not have them: alignment faults, #XM, the sticky flags of MXCSR.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "cpu/exec/sse.h"
#include "cpu/insn.h"
#include "tests/oracle/oracle_unicorn.h"
#include "tests/oracle/trial.h"

enum { FORMS_MAX = 64, SHOWN_MISMATCHES = 1, ALIGNMENT = 16 };

struct exclusion {
    uint16_t mnemonic;
    const char *who, *why;
};
#define APPROXIMATE                                                                                                            \
    "an approximation, of which the SDM bounds the error only; oracle_sse holds ours to the bound (SDM 2B RCPPS, RSQRTPS)"
static const struct exclusion exclusions[] = {
    {ZYDIS_MNEMONIC_RCPPS, "nobody", APPROXIMATE},
    {ZYDIS_MNEMONIC_RCPSS, "nobody", APPROXIMATE},
    {ZYDIS_MNEMONIC_RSQRTPS, "nobody", APPROXIMATE},
    {ZYDIS_MNEMONIC_RSQRTSS, "nobody", APPROXIMATE},
};

/* Cases that unicorn does otherwise. */
enum quirk { QUIRK_NONE, QUIRK_SAME_REGISTER, QUIRK_STRINGS, QUIRK_COMPARE, QUIRK_DOT_PRODUCT };
static enum quirk quirk_of(uint16_t mnemonic)
{
    switch (mnemonic) {
    case ZYDIS_MNEMONIC_PHADDW:
    case ZYDIS_MNEMONIC_PHADDD:
    case ZYDIS_MNEMONIC_PHADDSW:
    case ZYDIS_MNEMONIC_PHSUBW:
    case ZYDIS_MNEMONIC_PHSUBD:
    case ZYDIS_MNEMONIC_PHSUBSW:
        return QUIRK_SAME_REGISTER;
    case ZYDIS_MNEMONIC_PCMPESTRI:
    case ZYDIS_MNEMONIC_PCMPESTRM:
    case ZYDIS_MNEMONIC_PCMPISTRI:
    case ZYDIS_MNEMONIC_PCMPISTRM:
        return QUIRK_STRINGS;
    case ZYDIS_MNEMONIC_CMPPS:
    case ZYDIS_MNEMONIC_CMPPD:
    case ZYDIS_MNEMONIC_CMPSS:
    case ZYDIS_MNEMONIC_CMPSD:
        return QUIRK_COMPARE;
    case ZYDIS_MNEMONIC_DPPS:
        return QUIRK_DOT_PRODUCT;
    default:
        return QUIRK_NONE;
    }
}
/* False: the case is not for comparing. */
static bool prepare(struct duel *t, enum quirk quirk)
{
    uint8_t *last = &t->code[t->length - 1];
    switch (quirk) {
    case QUIRK_SAME_REGISTER: {
        unsigned rex = 0;
        for (unsigned i = 0; i < t->length && t->code[i] != 0x0f; i++) {
            rex = (t->code[i] & 0xf0) == 0x40 ? t->code[i] : 0;
        }
        bool high_reg = rex & 4, high_rm = rex & 1;
        return *last < 0xc0 || (*last >> 3 & 7) != (*last & 7) || high_reg != high_rm;
    }
    case QUIRK_STRINGS:
        return (*last >> 2 & 3) != 3 && (uint32_t)t->in.gpr[RAX] != 1u << 31 && (uint32_t)t->in.gpr[RDX] != 1u << 31;
    case QUIRK_COMPARE:
        *last &= 7;
        return true;
    case QUIRK_DOT_PRODUCT:
        return __builtin_popcount(*last >> 4) <= 2;
    default:
        return true;
    }
}
static bool is_single_nan(uint32_t x)
{
    return (x & 0x7fffffff) > 0x7f800000;
}
static bool is_double_nan(uint64_t x)
{
    return (x & 0x7fffffffffffffff) > 0x7ff0000000000000;
}
/* Of floating-point results: where both are NaNs, or of dot products both zeros, theirs becomes ours. */
static void accept_alike(struct duel *t, bool zeros)
{
    for (unsigned i = 0; i < 32; i++) {
        uint64_t *theirs = &t->theirs.fx.xmm[i / 2][i % 2], ours = t->ours.fx.xmm[i / 2][i % 2];
        uint32_t low = (uint32_t)*theirs, high = (uint32_t)(*theirs >> 32), our_low = (uint32_t)ours,
                 our_high = (uint32_t)(ours >> 32);
        bool two_zeros = zeros && ((*theirs | ours) & ~(1ULL << 63)) == 0;
        if ((is_double_nan(*theirs) && is_double_nan(ours)) || two_zeros) {
            *theirs = ours;
            continue;
        }
        low = (is_single_nan(low) && is_single_nan(our_low)) || (zeros && ((low | our_low) & 0x7fffffff) == 0) ? our_low : low;
        high = (is_single_nan(high) && is_single_nan(our_high)) || (zeros && ((high | our_high) & 0x7fffffff) == 0) ? our_high
                                                                                                                    : high;
        *theirs = (uint64_t)high << 32 | low;
    }
}
static void report_quirks(struct report *r)
{
    report_exclusion(
        r, "64-bit", "PHADDx, PHSUBx x, x of one register", "unicorn",
        "it overwrites the source while it still reads it; all sums are of the operands as they were (SDM 2B PHADDW)");
    report_exclusion(
        r, "64-bit", "PCMPxSTRx with \"equal ordered\"", "unicorn",
        "it errs on substrings that begin near the end; invalid elements past the end do not spoil a match (SDM 2B §4.1.6)");
    report_exclusion(r, "64-bit", "PCMPESTRx with a length of -2^31", "unicorn",
                     "it reads outside its own memory; the length is the absolute value, at most 16 or 8 (SDM 2B §4.1.5)");
    report_exclusion(r, "64-bit", "DPPS of more than two products", "unicorn",
                     "it adds from left to right; the pairs are summed first, and then their sums (SDM 2A DPPS)");
    report_exclusion(r, "64-bit", "sign of a zero from DPPS, DPPD", "unicorn",
                     "it begins its sum with +0; the sum is of the products alone, and -0 plus -0 is -0 (SDM 2A DPPD)");
    report_exclusion(r, "64-bit", "CMPxx with imm8 above 7", "unicorn",
                     "#UD; bits 7:3 of the predicate are reserved without VEX, and processors ignore them (SDM 2A CMPPS)");
    report_exclusion(r, "64-bit", "which NaN, of arithmetic and conversions", "unicorn",
                     "of two NaNs it returns the x87's choice; SSE returns the first operand's (SDM 1 table 4-7)");
    report_exclusion(
        r, "64-bit", "FTZ and DAZ", "unicorn",
        "it flushes no SSE results, and MINxx, MAXxx return the denormal (SDM 1 §10.2.3.3, §10.2.3.4); both are 0 here");
    report_exclusion(r, "64-bit", "sticky flags of MXCSR, #XM, alignment #GP", "unicorn",
                     "it has none of them (SDM 1 §11.5.1, SDM 3A §6.15 #XM, SDM 2A table 2-21); oracle_sse compares them");
}

static bool is_simd(uint16_t isa_set)
{
    switch (isa_set) {
    case ZYDIS_ISA_SET_PENTIUMMMX:
    case ZYDIS_ISA_SET_SSE:
    case ZYDIS_ISA_SET_SSE2:
    case ZYDIS_ISA_SET_SSE2MMX:
    case ZYDIS_ISA_SET_SSE3:
    case ZYDIS_ISA_SET_SSSE3:
    case ZYDIS_ISA_SET_SSSE3MMX:
    case ZYDIS_ISA_SET_SSE4:
    case ZYDIS_ISA_SET_SSE42:
        return true;
    default:
        return false;
    }
}

/* MMX registers in use and TOP 0, as MMX instructions leave them: unicorn is given no x87 control words. */
static void randomise(struct dice *d, struct native_state *s)
{
    trial_randomise(d, s, false);
    s->fx.fsw = 0;
    s->fx.ftw = 0xff;
    s->fx.mxcsr &= ~(uint32_t)(MXCSR_FTZ | MXCSR_DAZ);
}

static void run_form(struct report *r, struct arena *a, struct duel *t, struct dice *d, unsigned cases, bool floats,
                     const struct form *f)
{
    char text[64];
    unsigned bad = 0, done = 0, faults = 0;
    form_text(f, text, sizeof text);
    for (unsigned i = 0; i < cases; i++) {
        uint64_t address = NATIVE_DATA + (uint64_t)dice_below(d, NATIVE_DATA_BYTES / ALIGNMENT) * ALIGNMENT;
        randomise(d, &t->in);
        t->length = form_encode(f, d, NATIVE_CODE, address, t->in.gpr, t->code);
        if (t->length == 0 || !prepare(t, quirk_of(f->mnemonic))) {
            continue;
        }
        if (f->mnemonic == ZYDIS_MNEMONIC_MASKMOVDQU || f->mnemonic == ZYDIS_MNEMONIC_MASKMOVQ) {
            t->in.gpr[RDI] = address;
        }
        dice_operand(d, t->memory_in + (address - NATIVE_DATA), 16);
        duel_run(t, a, true);
        done++;
        faults += t->our_vector >= 0;
        if (floats) {
            accept_alike(t, f->mnemonic == ZYDIS_MNEMONIC_DPPS || f->mnemonic == ZYDIS_MNEMONIC_DPPD);
        }
        const char *what = duel_difference(t, a, RFLAGS_ARITHMETIC, true);
        if (what != NULL && bad++ < SHOWN_MISMATCHES) {
            printf("  FAIL %s\n", text);
            duel_print(t, a, what);
        }
    }
    report_row(r, "64-bit", text, 1, done, faults, bad);
}

static void run_rows(struct report *r, struct arena *a, struct duel *t, struct dice *d, unsigned cases, const char *only,
                     bool floats, const struct insn_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct form forms[FORMS_MAX];
        const char *name = ZydisMnemonicGetString((ZydisMnemonic)rows[i].mnemonic);
        const struct exclusion *e = NULL;
        for (size_t k = 0; k < ARRAY_COUNT(exclusions); k++) {
            e = exclusions[k].mnemonic == rows[i].mnemonic ? &exclusions[k] : e;
        }
        if (only != NULL && strcasecmp(only, name) != 0) {
            continue;
        }
        if (e != NULL) {
            report_exclusion(r, "64-bit", name, e->who, e->why);
            continue;
        }
        unsigned n = forms_of(rows[i].mnemonic, forms, FORMS_MAX);
        for (unsigned k = 0; k < n; k++) {
            if (is_simd(forms[k].isa_set)) {
                run_form(r, a, t, d, cases, floats, &forms[k]);
            }
        }
    }
}

void unicorn_run_sse(struct report *r, struct arena *a, struct duel *t, struct dice *d, unsigned cases, const char *only)
{
#define RUN(family, floats) run_rows(r, a, t, d, cases, only, floats, family##_rows, family##_row_count)
    RUN(sse, true);
    RUN(sse_convert, true);
    RUN(sse_int, false);
    RUN(sse_move, false);
    RUN(sse_shuffle, false);
    RUN(sse42, false);
    RUN(mmx, false);
#undef RUN
    report_quirks(r);
}
