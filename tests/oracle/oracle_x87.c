/* x87, FXSAVE, XSAVE and MXCSR instructions against the host's processor: every ModR/M byte of the eight escape opcodes, memory
 * and register.
 *
 * Each case: random control word (rounding, precision, masks), TOP, tags, condition codes, sticky or pending exceptions,
 * registers and memory operand, special values among them. Status, tags, all eight registers, RFLAGS, GPRs, memory and (with an
 * unmasked exception pending) FOP, FIP and FDP are compared; a fault must be the same fault. What is not compared stands in
 * `exclusions`, and is printed.
 *
 *     oracle_x87 [--cases N] [--seed N] [--vendor amd|intel] [HEX-OPCODE [HEX-MODRM]]
 */
#include <Zydis/Zydis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/exec/x87.h"
#include "tests/oracle/forms.h"
#include "tests/oracle/guest.h"

enum { IMAGE_BYTES = 576, OPERAND_AT = 1024, SHOWN = 3 };

enum skip {
    SKIP_ULP = 1,      /* results may differ by one in the last place; PE, UE and C1 are not compared */
    SKIP_LARGE = 2,    /* operands from 1/2 on */
    SKIP_POINTERS = 4, /* of an environment in memory: FIP, FCS, FOP, FDP, FDS */
    SKIP_XSTATE_BV = 8,
    SKIP_MXCSR_MASK = 16,
};
struct exclusion {
    uint8_t opcode, modrm; /* for 0F AE the opcode is AE and modrm the REG field */
    uint16_t skip;
    const char *why;
};
static const struct exclusion exclusions[] = {
    {0xd9, 0xfe, SKIP_ULP | SKIP_LARGE,
     "FSIN: real processors reduce by a pi of 66 bits (SDM 1 §8.3.8), Orrery by an exact one; mpfr_x87 judges"},
    {0xd9, 0xff, SKIP_ULP | SKIP_LARGE, "FCOS: as FSIN"},
    {0xd9, 0xfb, SKIP_ULP | SKIP_LARGE, "FSINCOS: as FSIN"},
    {0xd9, 0xf2, SKIP_ULP | SKIP_LARGE, "FPTAN: as FSIN"},
    {0xd9, 0xf0, SKIP_ULP, "F2XM1: within 1 ulp (SDM 1 §8.3.10); mpfr_x87 judges"},
    {0xd9, 0xf1, SKIP_ULP, "FYL2X: as F2XM1; AMD raises PE for exact results too"},
    {0xd9, 0xf3, SKIP_ULP, "FPATAN: as F2XM1"},
    {0xd9, 0xf9, SKIP_ULP, "FYL2XP1: as F2XM1"},
    {0xd9, 0x33, SKIP_POINTERS,
     "FNSTENV: hosts differ in what FIP, FCS, FOP, FDP, FDS hold without an exception (SDM 1 §8.1.8)"},
    {0xdd, 0x33, SKIP_POINTERS, "FNSAVE: as FNSTENV"},
    {0xae, 0, SKIP_POINTERS | SKIP_MXCSR_MASK, "FXSAVE: as FNSTENV; AMD's MXCSR_MASK has bit 17"},
    {0xae, 4, SKIP_POINTERS | SKIP_MXCSR_MASK | SKIP_XSTATE_BV,
     "XSAVE: as FXSAVE; XINUSE is the processor's choice (SDM 1 §13.6)"},
};

struct form_x87 {
    uint8_t code[4];
    unsigned length;
    uint8_t opcode, modrm;
    bool memory;
    unsigned skip;
    char text[96];
};

struct trial {
    struct native_state in, native, ours;
    uint8_t memory_in[NATIVE_DATA_BYTES], memory_native[NATIVE_DATA_BYTES], memory_ours[NATIVE_DATA_BYTES];
    int signal, vector;
    uint32_t error;
};

/* ---- random state ---- */

static void random_f80(struct dice *d, uint64_t *significand, uint16_t *sign_exponent)
{
    uint64_t m = dice_roll(d);
    switch (dice_below(d, 10)) {
    case 0:
        m = 1ULL << 63;
        break;
    case 1:
        m = UINT64_MAX;
        break;
    case 2:
        m = (m | 1ULL << 63) & UINT64_MAX << dice_below(d, 64);
        break;
    case 3:
        m = 1ULL << 63 | m >> dice_below(d, 64);
        break;
    case 4:
        m = dice_below(d, 4) == 0 ? m : 3ULL << 62 | dice_below(d, 3);
        break;
    default:
        m |= 1ULL << 63;
        break;
    }
    unsigned e = F80_BIAS - 70 + dice_below(d, 140);
    switch (dice_below(d, 14)) {
    case 0:
        e = 0;
        m = dice_below(d, 3) == 0 ? 0 : m >> dice_below(d, 64);
        break;
    case 1:
        e = 0x7fff;
        m = dice_below(d, 3) == 0 ? 1ULL << 63 : m;
        break;
    case 2:
        e = 1 + dice_below(d, 66);
        break;
    case 3:
        e = 0x7fff - dice_below(d, 66);
        break;
    case 4:
        e = dice_below(d, 0x8000);
        break;
    case 5:
        e = F80_BIAS + 120 - dice_below(d, 300); /* edges of singles */
        break;
    case 6:
        e = F80_BIAS + 1030 - dice_below(d, 2200); /* edges of doubles */
        break;
    default:
        break;
    }
    *significand = m;
    *sign_exponent = (uint16_t)(e | dice_below(d, 2) << 15);
}

static void random_fx(struct dice *d, struct native_fx *fx)
{
    *fx = (struct native_fx){.mxcsr = 0x1f80, .mxcsr_mask = 0xffff};
    fx->fcw = (uint16_t)(0x40 | (dice_roll(d) & 0x1f00));
    fx->fcw |= dice_below(d, 2) ? 0x3f : (uint16_t)(dice_roll(d) & 0x3f);
    fx->fsw = (uint16_t)(dice_roll(d) & 0x7f00);
    if (dice_below(d, 4) == 0) {
        fx->fsw |= (uint16_t)(dice_roll(d) & 0x7f);
    }
    if (dice_below(d, 4) != 0) {
        fx->fsw &= (uint16_t) ~(~fx->fcw & 0x3f); /* nothing pending */
    }
    if (fx->fsw & ~fx->fcw & 0x3f) {
        fx->fsw |= FSW_ES | FSW_B;
    }
    fx->ftw = dice_below(d, 4) != 0 ? 0x7f : (uint8_t)dice_roll(d); /* mostly seven, so that a push has room */
    if (dice_below(d, 4) != 0) {
        unsigned top = fx->fsw >> 11 & 7;
        fx->ftw = (uint8_t)(0xff & ~(1u << ((top + 7) & 7)));
    }
    fx->fop = (uint16_t)(dice_roll(d) & 0x7ff);
    fx->fip = dice_roll(d) & 0x7fffffffffff;
    fx->fdp = dice_roll(d) & 0x7fffffffffff;
    for (unsigned i = 0; i < 8; i++) {
        random_f80(d, &fx->st[i].significand, &fx->st[i].sign_exponent);
    }
    for (unsigned i = 0; i < 16; i++) {
        fx->xmm[i][0] = dice_roll(d);
        fx->xmm[i][1] = dice_roll(d);
    }
    if (dice_below(d, 3) == 0) { /* two close numbers */
        fx->st[1] = fx->st[dice_below(d, 8)];
        fx->st[0].sign_exponent = (uint16_t)(fx->st[1].sign_exponent + dice_below(d, 5) - 2);
    }
    if (dice_below(d, 3) == 0) { /* the transcendentals' usual range */
        fx->st[0].sign_exponent = (uint16_t)(F80_BIAS - dice_below(d, 40));
        fx->st[0].significand |= 1ULL << 63;
    }
}

static void random_image(struct dice *d, uint8_t *to)
{
    struct native_fx fx;
    random_fx(d, &fx);
    fx.mxcsr = (uint32_t)(dice_roll(d) & 0xffff) | 0x1f80;
    if (dice_below(d, 16) == 0) {
        fx.mxcsr |= 1u << (18 + dice_below(d, 14));
    }
    memcpy(to, &fx, sizeof fx);
    uint64_t header[8] = {dice_below(d, 4)};
    if (dice_below(d, 8) == 0) {
        header[dice_below(d, 3)] |= 1ULL << 62; /* not bit 63 of XCOMP_BV: the host may know compaction */
    }
    memcpy(to + 512, header, sizeof header);
}

/* Bytes for the operand of a memory form. */
static void random_operand(struct dice *d, const struct form_x87 *f, uint8_t *to)
{
    unsigned key = f->opcode << 4 | (f->modrm >> 3 & 7);
    for (unsigned i = 0; i < 128; i++) {
        to[i] = (uint8_t)dice_roll(d);
    }
    if (f->opcode == 0xae && (f->modrm >> 3 & 7) != 2) {
        random_image(d, to);
    } else if (f->opcode == 0xae) {
        uint32_t mxcsr = (uint32_t)dice_roll(d) & (dice_below(d, 8) == 0 ? 0xfffdffff : 0xffff);
        memcpy(to, &mxcsr, 4);
    } else if (key == 0xdb5) {
        uint64_t m;
        uint16_t e;
        random_f80(d, &m, &e);
        memcpy(to, &m, 8);
        memcpy(to + 8, &e, 2);
    } else if (key == 0xdf4) { /* sometimes with digits that are none */
        unsigned digits = dice_below(d, 4) ? 10 : 16;
        for (unsigned i = 0; i < 9; i++) {
            to[i] = (uint8_t)(dice_below(d, digits) << 4 | dice_below(d, digits));
        }
    } else {
        dice_operand(d, to, f->opcode == 0xdc || f->opcode == 0xdd ? 8 : 4);
    }
}

/* ---- comparing ---- */

static int expected_signal(int vector)
{
    switch (vector) {
    case GUEST_NO_FAULT:
        return 0;
    case VEC_MF:
        return SIGFPE;
    case VEC_UD:
        return SIGILL;
    case VEC_GP:
    case VEC_PF:
        return SIGSEGV;
    default:
        return -1;
    }
}

static bool near(uint64_t ma, uint16_t ea, uint64_t mb, uint16_t eb, bool ulp)
{
    if (ma == mb && ea == eb) {
        return true;
    }
    unsigned __int128 a = (unsigned __int128)ea << 63 | (ma & ~(1ULL << 63)),
                      b = (unsigned __int128)eb << 63 | (mb & ~(1ULL << 63));
    return ulp && (a > b ? a - b : b - a) <= 1;
}

static const char *compare_fpu(const struct form_x87 *f, const struct trial *t)
{
    const struct native_fx *a = &t->native.fx, *b = &t->ours.fx;
    unsigned mask = 0xffff;
    if (f->skip & SKIP_ULP) {
        mask &= ~(unsigned)(FSW_PE | FSW_UE | FSW_C1);
        if ((a->fsw ^ b->fsw) & (FSW_PE | FSW_UE)) {
            mask &= ~(unsigned)(FSW_ES | FSW_B); /* follows from an unmasked one of them */
        }
    }
    if ((a->fsw ^ b->fsw) & mask) {
        return "status word";
    }
    if (a->fcw != b->fcw) {
        return "control word";
    }
    if (a->ftw != b->ftw) {
        return "tags";
    }
    bool unmasked = f->skip & SKIP_ULP && (a->fsw ^ b->fsw) & FSW_ES;
    for (unsigned i = 0; i < 8 && !unmasked; i++) {
        if (!near(a->st[i].significand, a->st[i].sign_exponent, b->st[i].significand, b->st[i].sign_exponent,
                  f->skip & SKIP_ULP)) {
            return "a register";
        }
    }
    if ((a->fsw & b->fsw & FSW_ES) && t->vector == GUEST_NO_FAULT && f->opcode != 0xae) {
        bool fdp_known = f->memory || (t->in.fx.fsw & FSW_ES);
        if (a->fip != b->fip || a->fop != b->fop || (fdp_known && a->fdp != b->fdp)) {
            return "FIP, FOP or FDP";
        }
    }
    return memcmp(a->xmm, b->xmm, sizeof a->xmm) != 0 ? "XMM" : a->mxcsr != b->mxcsr ? "MXCSR" : NULL;
}

static bool byte_compared(const struct form_x87 *f, unsigned i)
{
    bool image = f->opcode == 0xae;
    unsigned words = f->code[0] == 0x66 ? 2 : 4;
    if ((f->skip & SKIP_POINTERS) && (image ? i >= 6 && i < 24 : i >= 3 * words && i < 7 * words)) {
        return false;
    }
    return !((f->skip & SKIP_MXCSR_MASK) && i >= 28 && i < 32) && !((f->skip & SKIP_XSTATE_BV) && i >= 512 && i < 520);
}

static const char *difference(const struct form_x87 *f, const struct trial *t)
{
    if (t->signal != expected_signal(t->vector)) {
        return "fault";
    }
    if (t->native.rip != t->ours.rip) {
        return "RIP";
    }
    if (memcmp(t->native.gpr, t->ours.gpr, sizeof t->native.gpr) != 0) {
        return "GPR";
    }
    if ((t->native.rflags ^ t->ours.rflags) & RFLAGS_ARITHMETIC) {
        return "RFLAGS";
    }
    for (unsigned i = 0; i < NATIVE_DATA_BYTES; i++) {
        bool compared = i < OPERAND_AT || i >= OPERAND_AT + IMAGE_BYTES || byte_compared(f, i - OPERAND_AT);
        if (compared && t->memory_native[i] != t->memory_ours[i]) {
            return "memory";
        }
    }
    return compare_fpu(f, t);
}

static bool left_out(const struct form_x87 *f, const struct trial *t)
{
    unsigned e = t->in.fx.st[0].sign_exponent & 0x7fff;
    return (f->skip & SKIP_LARGE) && e >= F80_BIAS - 1 && e < F80_BIAS + 63;
}

static void print_state(const char *who, const struct native_state *s)
{
    printf("    %-6s fcw %04x fsw %04x ftw %02x fop %03x fip %llx fdp %llx rflags %03llx", who, s->fx.fcw, s->fx.fsw, s->fx.ftw,
           s->fx.fop, (unsigned long long)s->fx.fip, (unsigned long long)s->fx.fdp, (unsigned long long)s->rflags & 0x8d5);
    for (unsigned i = 0; i < 8; i++) {
        printf("%s%04x:%016llx", i % 4 == 0 ? "\n           " : " ", s->fx.st[i].sign_exponent,
               (unsigned long long)s->fx.st[i].significand);
    }
    printf("\n");
}

static void print_bytes(const char *who, const uint8_t *p)
{
    printf("    %-6s", who);
    for (unsigned i = 0; i < 40; i++) {
        printf("%s%02x", i % 4 == 0 ? " " : "", p[OPERAND_AT + i]);
    }
    printf("\n");
}

static void print_trial(const struct form_x87 *f, const struct trial *t, const char *what)
{
    printf("  %s: %s differs (host signal %d, our vector %d)\n", f->text, what, t->signal, t->vector);
    print_state("in", &t->in);
    print_state("host", &t->native);
    print_state("ours", &t->ours);
    if (f->memory) {
        print_bytes("in", t->memory_in);
        print_bytes("host", t->memory_native);
        print_bytes("ours", t->memory_ours);
    }
}

/* ---- forms ---- */

static bool make_form(struct form_x87 *f, const uint8_t *code, unsigned length)
{
    ZydisDisassembledInstruction z;
    *f = (struct form_x87){.length = length};
    memcpy(f->code, code, length);
    if (!ZYAN_SUCCESS(ZydisDisassembleIntel(ZYDIS_MACHINE_MODE_LONG_64, NATIVE_CODE, code, length, &z))) {
        snprintf(f->text, sizeof f->text, "(%02x %02x undefined)", code[0], code[length - 1]);
    } else {
        snprintf(f->text, sizeof f->text, "%s", z.text);
    }
    f->modrm = code[length - 1];
    f->opcode = length == 1 ? 0x9b : code[length - 2];
    f->memory = length > 1 && f->modrm < 0xc0;
    for (unsigned i = 0; i < sizeof exclusions / sizeof exclusions[0]; i++) {
        unsigned modrm = f->opcode == 0xae ? f->modrm >> 3 & 7 : f->modrm;
        if (exclusions[i].opcode == f->opcode && exclusions[i].modrm == modrm) {
            f->skip |= exclusions[i].skip;
        }
    }
    return true;
}

struct oracle {
    struct guest *guest;
    unsigned cases, forms;
    uint64_t seed, total, excluded, mismatches;
};

static void run_trial(struct oracle *o, const struct form_x87 *f, struct trial *t)
{
    memcpy(native_data(), t->memory_in, NATIVE_DATA_BYTES);
    t->native = t->in;
    t->signal = native_run(f->code, f->length, &t->native);
    memcpy(t->memory_native, native_data(), NATIVE_DATA_BYTES);
    guest_data_write(o->guest, t->memory_in);
    t->ours = t->in;
    t->vector = guest_run(o->guest, &t->ours, &t->error);
    guest_data_read(o->guest, t->memory_ours);
}

static void run_form(struct oracle *o, const uint8_t *code, unsigned length)
{
    struct form_x87 f;
    static struct trial t;
    unsigned bad = 0, faults = 0, excluded = 0;
    make_form(&f, code, length);
    struct dice d = {o->seed + (uint64_t)f.opcode * 65537 + f.modrm * 257u + length};
    guest_code(o->guest, f.code, f.length);
    for (unsigned done = 0; done < o->cases;) {
        memset(&t, 0, sizeof t);
        random_fx(&d, &t.in.fx);
        for (unsigned r = 0; r < 16; r++) {
            t.in.gpr[r] = dice_roll(&d);
        }
        t.in.gpr[RBX] = NATIVE_DATA + OPERAND_AT + (f.opcode == 0xae && dice_below(&d, 16) == 0 ? 8 : 0);
        t.in.gpr[RDX] = 0;
        t.in.rflags = dice_roll(&d) & RFLAGS_ARITHMETIC;
        random_operand(&d, &f, t.memory_in + OPERAND_AT);
        if (f.opcode == 0xae) {
            t.in.gpr[RAX] &= 3;
        }
        if (left_out(&f, &t)) {
            excluded++;
            continue;
        }
        done++;
        run_trial(o, &f, &t);
        faults += t.signal != 0;
        const char *what = difference(&f, &t);
        if (what != NULL && bad++ < SHOWN) {
            print_trial(&f, &t, what);
        }
    }
    printf("%-32s %6u cases %6u faults %6u left out %6u mismatches\n", f.text, o->cases, faults, excluded, bad);
    o->forms++;
    o->total += o->cases;
    o->excluded += excluded;
    o->mismatches += bad;
}

static bool host_has_xsave(void)
{
    unsigned a, b, c, d;
    __asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(1), "c"(0));
    return c >> 27 & 1;
}

/* The few answers in which vendors differ (FCOM after an unmasked exception, FOP, C1 after FCOMI) follow the model's vendor. */
static enum cpu_vendor host_vendor(void)
{
    unsigned a, b, c, d;
    __asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0), "c"(0));
    return b == 0x756e6547 ? VENDOR_INTEL : VENDOR_AMD; /* "Genu" */
}

static void run_all(struct oracle *o, long only_opcode, long only_modrm)
{
    for (unsigned opcode = 0xd8; opcode <= 0xdf; opcode++) {
        for (unsigned modrm = 0; modrm < 256; modrm++) {
            bool memory = modrm < 0x40 && (modrm & 7) == 3; /* [rbx] */
            if ((!memory && modrm < 0xc0) || (only_opcode >= 0 && only_opcode != opcode) ||
                (only_modrm >= 0 && only_modrm != modrm)) {
                continue;
            }
            const uint8_t code[3] = {0x66, (uint8_t)opcode, (uint8_t)modrm};
            run_form(o, code + 1, 2);
            unsigned reg = modrm >> 3 & 7;
            if (memory && (opcode == 0xd9 || opcode == 0xdd) && (reg == 4 || reg == 6)) {
                run_form(o, code, 3);
            }
        }
    }
    if (only_opcode < 0 || only_opcode == 0x9b) {
        run_form(o, (const uint8_t[]){0x9b}, 1);
    }
    for (unsigned reg = 0; reg <= 5; reg++) {
        const uint8_t code[4] = {0x48, 0x0f, 0xae, (uint8_t)(3 | reg << 3)};
        if ((only_opcode >= 0 && only_opcode != 0xae) || (reg >= 4 && !host_has_xsave())) {
            continue;
        }
        run_form(o, code + 1, 3);
        if (reg != 2 && reg != 3) {
            run_form(o, code, 4);
        }
    }
}

int main(int argc, char **argv)
{
    struct oracle o = {.cases = 2000, .seed = 1};
    enum cpu_vendor vendor = host_vendor();
    int first = 1;
    for (; first + 1 < argc && argv[first][0] == '-'; first += 2) {
        if (strcmp(argv[first], "--cases") == 0) {
            o.cases = (unsigned)strtoul(argv[first + 1], NULL, 10);
        } else if (strcmp(argv[first], "--seed") == 0) {
            o.seed = strtoull(argv[first + 1], NULL, 10);
        } else if (strcmp(argv[first], "--vendor") == 0) {
            vendor = strcmp(argv[first + 1], "intel") == 0 ? VENDOR_INTEL : VENDOR_AMD;
        } else {
            fprintf(stderr, "usage: oracle_x87 [--cases N] [--seed N] [--vendor amd|intel] [HEX-OPCODE [HEX-MODRM]]\n");
            return 2;
        }
    }
    o.guest = guest_create(vendor);
    if (o.guest == NULL || !native_open()) {
        return 2;
    }
    guest_start(o.guest)->cr4 |= CR4_OSXSAVE;
    guest_start(o.guest)->xcr0 = 3;
    for (unsigned i = 0; i < sizeof exclusions / sizeof exclusions[0]; i++) {
        printf("not compared: %s\n", exclusions[i].why);
    }
    run_all(&o, first < argc ? strtol(argv[first], NULL, 16) : -1, first + 1 < argc ? strtol(argv[first + 1], NULL, 16) : -1);
    printf("%u forms, %llu cases, %llu left out, %llu mismatches\n", o.forms, (unsigned long long)o.total,
           (unsigned long long)o.excluded, (unsigned long long)o.mismatches);
    native_close();
    guest_destroy(o.guest);
    return o.mismatches != 0 || o.forms == 0;
}
