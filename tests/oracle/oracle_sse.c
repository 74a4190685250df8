/* SSE to SSE4.2 and MMX against the host's processor: every form of every mnemonic that these families have rows for.
 *
 * Each case: random registers, MXCSR (four rounding modes, FTZ, DAZ, sticky flags) and x87 state; a memory operand that may be
 * misaligned or cross a page. All of GPRs, XMM, x87/MMX, flags, MXCSR and memory is compared; a fault must be the same fault. A
 * second series unmasks exceptions at random. RCPxx and RSQRTxx, which the SDM leaves approximate, are held against its bound
 * in place of the host's result.
 *
 *     oracle_sse [--cases N] [--seed N] [--vendor amd|intel] [MNEMONIC...]
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cpu/insn.h"
#include "tests/oracle/report.h"
#include "tests/oracle/trial.h"

enum { FORMS_MAX = 64, SHOWN_MISMATCHES = 3, REENCODE_EVERY = 8, UNMASKED_PART = 2 };

struct oracle {
    struct guest *guest;
    unsigned cases;
    bool intel; /* the model's vendor */
    uint64_t seed;
    struct report report;
};

/* What the host has of an instruction set; NULL: not one of ours. */
static const char *feature_name(uint16_t isa_set)
{
    switch (isa_set) {
    case ZYDIS_ISA_SET_PENTIUMMMX:
        return "mmx";
    case ZYDIS_ISA_SET_SSE:
        return "sse";
    case ZYDIS_ISA_SET_SSE2:
    case ZYDIS_ISA_SET_SSE2MMX:
        return "sse2";
    case ZYDIS_ISA_SET_SSE3:
        return "sse3";
    case ZYDIS_ISA_SET_SSSE3:
    case ZYDIS_ISA_SET_SSSE3MMX:
        return "ssse3";
    case ZYDIS_ISA_SET_SSE4:
        return "sse4.1";
    case ZYDIS_ISA_SET_SSE42:
        return "sse4.2";
    default:
        return NULL;
    }
}
static bool host_has(uint16_t isa_set)
{
    switch (isa_set) {
    case ZYDIS_ISA_SET_SSE3:
        return __builtin_cpu_supports("sse3");
    case ZYDIS_ISA_SET_SSSE3:
    case ZYDIS_ISA_SET_SSSE3MMX:
        return __builtin_cpu_supports("ssse3");
    case ZYDIS_ISA_SET_SSE4:
        return __builtin_cpu_supports("sse4.1");
    case ZYDIS_ISA_SET_SSE42:
        return __builtin_cpu_supports("sse4.2");
    default:
        return true;
    }
}

static bool host_is_intel(void)
{
    return __builtin_cpu_is("intel");
}

/* ---- approximations: SDM 2B RCPPS, RSQRTPS ---- */

static float single_of(uint64_t x)
{
    uint32_t low = (uint32_t)x;
    float f;
    memcpy(&f, &low, 4);
    return f;
}
/* |result - exact| <= 1.5 * 2^-12 * |exact|, for ordinary arguments; the special ones must be the host's to the bit. */
static bool approximation_good(bool root, uint32_t x, uint32_t ours, uint32_t host)
{
    uint32_t magnitude = x & 0x7fffffff;
    bool ordinary = magnitude >= 0x00800000 && magnitude < (root ? 0x7f800000 : 0x7e800000) && !(root && x >> 31);
    if (!ordinary) { /* above 2^126 the result is tiny: the SDM lets it be zero or not near the border */
        return ours == host ||
               (!root && magnitude >= 0x7e800000 && magnitude < 0x7f800000 && (ours & 0x7fffffff) <= 0x00800000);
    }
    double exact = root ? 1 / sqrt((double)single_of(x)) : 1 / (double)single_of(x);
    return fabs((double)single_of(ours) - exact) <= 1.5 / 4096 * fabs(exact);
}
/* Replaces the host's lanes by ours where they are as good. */
static void accept_approximations(const struct form *f, struct trial *t)
{
    bool root = f->mnemonic == ZYDIS_MNEMONIC_RSQRTPS || f->mnemonic == ZYDIS_MNEMONIC_RSQRTSS;
    bool scalar = f->mnemonic == ZYDIS_MNEMONIC_RCPSS || f->mnemonic == ZYDIS_MNEMONIC_RSQRTSS;
    ZydisDecoder decoder;
    ZydisDecodedInstruction zi;
    ZydisDecodedOperand zo[ZYDIS_MAX_OPERAND_COUNT];
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    ZydisDecoderDecodeFull(&decoder, t->code, t->length, &zi, zo);
    unsigned d = (unsigned)(zo[0].reg.value - ZYDIS_REGISTER_XMM0);
    uint32_t source[4], ours[4], host[4];
    if (zo[1].type == ZYDIS_OPERAND_TYPE_MEMORY) {
        ZyanU64 at = 0;
        ZydisRegisterContext registers = {0};
        for (unsigned i = 0; i < 16; i++) {
            registers.values[ZYDIS_REGISTER_RAX + i] = t->in.gpr[i];
            registers.values[ZYDIS_REGISTER_EAX + i] = (uint32_t)t->in.gpr[i];
        }
        ZydisCalcAbsoluteAddressEx(&zi, &zo[1], NATIVE_CODE, &registers, &at);
        memcpy(source, t->memory_in + (at - NATIVE_DATA), scalar ? 4 : 16);
    } else {
        memcpy(source, t->in.fx.xmm[zo[1].reg.value - ZYDIS_REGISTER_XMM0], 16);
    }
    memcpy(ours, t->ours.fx.xmm[d], 16);
    memcpy(host, t->native.fx.xmm[d], 16);
    for (unsigned i = 0; i < (scalar ? 1 : 4); i++) {
        host[i] = approximation_good(root, source[i], ours[i], host[i]) ? ours[i] : host[i];
    }
    memcpy(t->native.fx.xmm[d], host, 16);
}
static bool is_approximation(const struct form *f)
{
    return f->mnemonic == ZYDIS_MNEMONIC_RSQRTPS || f->mnemonic == ZYDIS_MNEMONIC_RSQRTSS ||
           f->mnemonic == ZYDIS_MNEMONIC_RCPPS || f->mnemonic == ZYDIS_MNEMONIC_RCPSS;
}

/* ---- one form ---- */

static bool address_is_implicit(const struct form *f)
{
    return f->mnemonic == ZYDIS_MNEMONIC_MASKMOVDQU || f->mnemonic == ZYDIS_MNEMONIC_MASKMOVQ;
}

static void run_form(struct oracle *o, const struct form *f)
{
    char text[64];
    struct dice d = {o->seed ^ (uint64_t)f->mnemonic << 32 ^ (uint64_t)f->shape[0] << 16 ^ (uint64_t)f->shape[1] << 8 ^
                     (f->raw != NULL)};
    unsigned cases = o->cases + o->cases / UNMASKED_PART, bad = 0, faults = 0;
    static struct trial t;
    form_text(f, text, sizeof text);
    if (f->mnemonic == ZYDIS_MNEMONIC_CVTPI2PS && form_has_memory(f) && o->intel != host_is_intel()) {
        report_exclusion(&o->report, "64-bit", text, "nobody",
                         "an MMX instruction on Intel processors only (SDM 2A CVTPI2PS), and the host is another vendor's");
        return;
    }
    if (!host_has(f->isa_set)) {
        report_exclusion(&o->report, feature_name(f->isa_set), text, "nobody", "the host lacks the instruction set");
        return;
    }
    uint64_t seed_of_code = 0, address = NATIVE_DATA;
    for (unsigned i = 0; i < cases; i++) {
        trial_randomise(&d, &t.in, i >= o->cases);
        if (i % REENCODE_EVERY == 0) {
            seed_of_code = dice_roll(&d);
            address = trial_address(&d);
        }
        /* The same dice give the same registers: the code changes only now and then, the base register's value is always set.
         */
        struct dice same = {seed_of_code};
        uint8_t before[FORM_BYTES_MAX];
        memcpy(before, t.code, sizeof before);
        t.length = form_encode(f, &same, NATIVE_CODE, address, t.in.gpr, t.code);
        if (t.length == 0) {
            continue;
        }
        if (i % REENCODE_EVERY == 0 || memcmp(before, t.code, t.length) != 0) {
            guest_code(o->guest, t.code, t.length);
        }
        if (address_is_implicit(f)) {
            t.in.gpr[RDI] = address;
        }
        trial_run(&t, o->guest, address, &d);
        if (is_approximation(f) && t.signal == 0 && t.vector == GUEST_NO_FAULT) {
            accept_approximations(f, &t);
        }
        faults += t.signal != 0;
        const char *what = trial_difference(&t, RFLAGS_ARITHMETIC);
        if (what != NULL && bad++ < SHOWN_MISMATCHES) {
            printf("%s\n", text);
            trial_print(&t, what, address);
        }
    }
    report_row(&o->report, feature_name(f->isa_set), text, 1, cases, faults, bad);
}

/* Encodings that the encoder never chooses. */
static const struct raw_form raw_forms[] = {
    {ZYDIS_MNEMONIC_MOVUPS, {SHAPE_XMM, SHAPE_XMM}, 0x00, false, 0x0f, 0x11, true},
    {ZYDIS_MNEMONIC_MOVUPD, {SHAPE_XMM, SHAPE_XMM}, 0x66, false, 0x0f, 0x11, true},
    {ZYDIS_MNEMONIC_MOVSS, {SHAPE_XMM, SHAPE_XMM}, 0xf3, false, 0x0f, 0x11, true},
    {ZYDIS_MNEMONIC_MOVSD, {SHAPE_XMM, SHAPE_XMM}, 0xf2, false, 0x0f, 0x11, true},
    {ZYDIS_MNEMONIC_MOVAPS, {SHAPE_XMM, SHAPE_XMM}, 0x00, false, 0x0f, 0x29, true},
    {ZYDIS_MNEMONIC_MOVAPD, {SHAPE_XMM, SHAPE_XMM}, 0x66, false, 0x0f, 0x29, true},
    {ZYDIS_MNEMONIC_MOVDQA, {SHAPE_XMM, SHAPE_XMM}, 0x66, false, 0x0f, 0x7f, true},
    {ZYDIS_MNEMONIC_MOVDQU, {SHAPE_XMM, SHAPE_XMM}, 0xf3, false, 0x0f, 0x7f, true},
    {ZYDIS_MNEMONIC_MOVQ, {SHAPE_XMM, SHAPE_XMM}, 0x66, false, 0x0f, 0xd6, true},
    {ZYDIS_MNEMONIC_MOVQ, {SHAPE_MMX, SHAPE_MMX}, 0x00, false, 0x0f, 0x7f, true},
    {ZYDIS_MNEMONIC_PEXTRW, {SHAPE_R32, SHAPE_XMM, SHAPE_IMM8}, 0x66, false, 0x3a, 0x15, true},
    {ZYDIS_MNEMONIC_PEXTRW, {SHAPE_R64, SHAPE_XMM, SHAPE_IMM8}, 0x66, true, 0x0f, 0xc5, false},
    {ZYDIS_MNEMONIC_MOVMSKPS, {SHAPE_R64, SHAPE_XMM}, 0x00, true, 0x0f, 0x50, false},
    {ZYDIS_MNEMONIC_PMOVMSKB, {SHAPE_R64, SHAPE_XMM}, 0x66, true, 0x0f, 0xd7, false},
    {ZYDIS_MNEMONIC_PCMPESTRI, {SHAPE_XMM, SHAPE_XMM, SHAPE_IMM8}, 0x66, true, 0x3a, 0x61, false},
    {ZYDIS_MNEMONIC_PCMPESTRM, {SHAPE_XMM, SHAPE_XMM, SHAPE_IMM8}, 0x66, true, 0x3a, 0x60, false},
};

static bool is_wanted(uint16_t mnemonic, char **names, int count)
{
    for (int i = 0; i < count; i++) {
        if (strcasecmp(names[i], ZydisMnemonicGetString((ZydisMnemonic)mnemonic)) == 0) {
            return true;
        }
    }
    return count == 0;
}

static void run_rows(struct oracle *o, const struct insn_row *rows, size_t count, char **names, int name_count)
{
    for (size_t i = 0; i < count; i++) {
        struct form forms[FORMS_MAX];
        if (!is_wanted(rows[i].mnemonic, names, name_count)) {
            continue;
        }
        unsigned n = forms_of(rows[i].mnemonic, forms, FORMS_MAX), ours = 0;
        for (unsigned k = 0; k < n; k++) {
            if (feature_name(forms[k].isa_set) != NULL) {
                run_form(o, &forms[k]);
                ours++;
            }
        }
        for (unsigned k = 0; k < sizeof raw_forms / sizeof raw_forms[0]; k++) {
            struct form f;
            if (raw_forms[k].mnemonic == rows[i].mnemonic) {
                if (form_from_raw(&raw_forms[k], &f)) {
                    run_form(o, &f);
                } else {
                    printf("a raw form of %s is not one\n", ZydisMnemonicGetString((ZydisMnemonic)rows[i].mnemonic));
                    o->report.mismatches++;
                }
            }
        }
        if (ours == 0) {
            printf("%s: no form found\n", ZydisMnemonicGetString((ZydisMnemonic)rows[i].mnemonic));
            o->report.mismatches++;
        }
    }
}

int main(int argc, char **argv)
{
    struct oracle o = {.report.oracle = "sse", .cases = 2000, .seed = 1};
    enum cpu_vendor vendor = VENDOR_AMD;
    int first = 1;
    for (; first + 1 < argc && argv[first][0] == '-'; first += 2) {
        if (strcmp(argv[first], "--cases") == 0) {
            o.cases = (unsigned)strtoul(argv[first + 1], NULL, 10);
        } else if (strcmp(argv[first], "--seed") == 0) {
            o.seed = strtoull(argv[first + 1], NULL, 10);
        } else if (strcmp(argv[first], "--vendor") == 0) {
            vendor = strcmp(argv[first + 1], "intel") == 0 ? VENDOR_INTEL : VENDOR_AMD;
        } else {
            fprintf(stderr, "usage: oracle_sse [--cases N] [--seed N] [--vendor amd|intel] [MNEMONIC...]\n");
            return 2;
        }
    }
    o.intel = vendor == VENDOR_INTEL;
    o.guest = guest_create(vendor);
    if (o.guest == NULL || !native_open()) {
        return 2;
    }
    char **names = argv + first;
    int name_count = argc - first;
#define RUN(family) run_rows(&o, family##_rows, family##_row_count, names, name_count)
    RUN(sse);
    RUN(sse_convert);
    RUN(sse_int);
    RUN(sse_move);
    RUN(sse_shuffle);
    RUN(sse42);
    RUN(mmx);
    report_exclusion(
        &o.report, "sse", "RCPxx, RSQRTxx to the bit", "nobody",
        "approximations: ours are held to the SDM's bound of the relative error, 1.5 * 2^-12 (SDM 2B RCPPS, RSQRTPS)");
    native_close();
    guest_destroy(o.guest);
    return report_sum(&o.report);
}
