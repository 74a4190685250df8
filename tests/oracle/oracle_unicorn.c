/* A second opinion on the instructions that user programs use: unicorn against our processor, in 64-bit mode (general-purpose
 * and SSE), 32-bit protected mode and real mode. The last two are out of the native oracle's reach: decimal adjust, PUSHA,
 * 16-bit addressing, operand and address prefixes seen from the other side, segment bases and overrides.
 *
 *     oracle_unicorn [--cases N] [--seed S] [--only NAME]
 *
 * N random cases for each opcode, operand form and width; ORRERY_ORACLE_CASES in the environment says the same.
 */
#include "tests/oracle/oracle_unicorn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CASES = 2000, TRIES = 8, SHOWN_MISMATCHES = 1 };

/* Distinct bases, so that a wrong segment is a wrong address. CS is flat. */
static const struct place places[] = {
    {.bits = 64, .code = NATIVE_CODE, .data = NATIVE_DATA},
    {.bits = 32, .code = LEGACY_CODE, .data = LEGACY_DATA, .base = {0x100, 0, 0x200, 0x300, 0x400, 0x500}},
    {.bits = 16, .real = true, .code = LEGACY_CODE, .data = LEGACY_DATA, .base = {0x100, 0, 0x200, 0x300, 0x400, 0x500}},
};
static const char *place_name(const struct place *p)
{
    return p->bits == 64 ? "64-bit" : p->bits == 32 ? "32-bit" : "16-bit";
}

/* ---- one case on both sides ---- */

void duel_run(struct duel *t, struct arena *a, bool simd)
{
    bool legacy = a->place->bits != 64;
    uint32_t error_code;
    memcpy(unicorn_data(a->unicorn), t->memory_in, NATIVE_DATA_BYTES);
    t->theirs = t->ours = t->in;
    t->their_vector = unicorn_run(a->unicorn, t->code, t->length, simd, &t->theirs);
    if (legacy) {
        legacy_guest_code(a->legacy, t->code, t->length);
        legacy_guest_data_write(a->legacy, t->memory_in);
        t->our_vector = legacy_guest_run(a->legacy, &t->ours);
        legacy_guest_data_read(a->legacy, t->memory_ours);
    } else {
        guest_code(a->guest, t->code, t->length);
        guest_data_write(a->guest, t->memory_in);
        t->our_vector = guest_run(a->guest, &t->ours, &error_code);
        guest_data_read(a->guest, t->memory_ours);
    }
}

const char *duel_difference(const struct duel *t, struct arena *a, uint64_t flags, bool simd)
{
    if (t->their_vector != t->our_vector || t->our_vector == GUEST_STUCK) {
        return "exception";
    }
    if (t->theirs.rip != t->ours.rip) {
        return "rip";
    }
    if (memcmp(t->theirs.gpr, t->ours.gpr, sizeof t->ours.gpr) != 0) {
        return "gpr";
    }
    if (((t->theirs.rflags ^ t->ours.rflags) & flags) != 0) {
        return "flags";
    }
    if (simd && memcmp(t->theirs.fx.xmm, t->ours.fx.xmm, sizeof t->ours.fx.xmm) != 0) {
        return "xmm";
    }
    for (unsigned i = 0; simd && i < 8; i++) {
        if (t->theirs.fx.st[i].significand != t->ours.fx.st[i].significand) {
            return "mmx";
        }
    }
    return memcmp(unicorn_data(a->unicorn), t->memory_ours, NATIVE_DATA_BYTES) != 0 ? "memory" : NULL;
}

static void print_state(const char *who, const struct native_state *in, const struct native_state *s, int vector)
{
    printf("      %-7s vector %d flags %03x rip %llx\n", who, vector, (unsigned)(s->rflags & 0xfff),
           (unsigned long long)s->rip);
    for (unsigned i = 0; i < 16; i++) {
        if (s == in ? s->gpr[i] != 0 : s->gpr[i] != in->gpr[i]) {
            printf("        gpr%-2u %016llx\n", i, (unsigned long long)s->gpr[i]);
        }
        if (s->fx.xmm[i][0] != in->fx.xmm[i][0] || s->fx.xmm[i][1] != in->fx.xmm[i][1]) {
            printf("        xmm%-2u %016llx %016llx\n", i, (unsigned long long)s->fx.xmm[i][1],
                   (unsigned long long)s->fx.xmm[i][0]);
        }
    }
}
void duel_print(const struct duel *t, struct arena *a, const char *what)
{
    printf("    differs: %s; code", what);
    for (unsigned i = 0; i < t->length; i++) {
        printf(" %02x", t->code[i]);
    }
    printf("\n");
    print_state("in", &t->in, &t->in, 0);
    print_state("unicorn", &t->in, &t->theirs, t->their_vector);
    print_state("ours", &t->in, &t->ours, t->our_vector);
    const uint8_t *theirs = unicorn_data(a->unicorn);
    unsigned shown = 0;
    for (unsigned i = 0; i < NATIVE_DATA_BYTES && shown < 16; i++) {
        if (theirs[i] != t->memory_ours[i]) {
            printf("        [%llx] in %02x unicorn %02x ours %02x\n", (unsigned long long)a->place->data + i, t->memory_in[i],
                   theirs[i], t->memory_ours[i]);
            shown++;
        }
    }
}

/* ---- what unicorn does otherwise ---- */

enum treatment {
    SKIP_ROW,
    SKIP_RIP_RELATIVE,
    LOW_HALVES, /* of GPRs are compared */
    SAME_UPPER, /* ESP and EBP begin with the same upper half */
};
struct exclusion {
    const char *name, *form;
    unsigned bits, width;  /* 0: all */
    uint8_t opcode, digit; /* 0: all; digit of `opcode` */
    enum treatment treatment;
    const char *who, *why;
};
#define RIP_WHY "it takes the imm8 as if it were not there: RIP-relative is relative to the next instruction (SDM 2A §2.2.1.6)"
#define SCAN_WHY                                                                                                               \
    "upper half of r32 when the source is 0: the destination is then undefined (SDM 2A BSF, BSR); ours is the host's, "        \
    "unchanged"
static const struct exclusion exclusions[] = {
    {"test", "TEST r/m, imm by F6 /1, F7 /1", 0, 0, 0xf6, 1, SKIP_ROW, "unicorn",
     "#UD; the SDM's opcode map has no entry, processors do what /0 does (APM 3 table A-6, and the native oracle)"},
    {"popcnt", "POPCNT", 0, 0, 0, 0, SKIP_ROW, "unicorn", "#UD in every CPU model it has; the native oracle compares it"},
    {"shld", "SHLD [rip], r, imm8", 64, 0, 0xa4, 0, SKIP_RIP_RELATIVE, "unicorn", RIP_WHY},
    {"shrd", "SHRD [rip], r, imm8", 64, 0, 0xac, 0, SKIP_RIP_RELATIVE, "unicorn", RIP_WHY},
    {"bsf", "BSF r32, r/m32", 64, 4, 0, 0, LOW_HALVES, "nobody", SCAN_WHY},
    {"bsr", "BSR r32, r/m32", 64, 4, 0, 0, LOW_HALVES, "nobody", SCAN_WHY},
    {"cmpxchg", "CMPXCHG r/m32, r32", 64, 4, 0, 0, LOW_HALVES, "unicorn",
     "upper halves: it writes both EAX and the destination whatever the outcome; only one of them is loaded (SDM 2A CMPXCHG)"},
    {"enter", "ENTER with 32-bit operands, 16-bit stack", 16, 4, 0, 0, SAME_UPPER, "unicorn",
     "it keeps EBP's upper half; the frame pointer is all of ESP after the push (SDM 2A ENTER, OperandSize = 32)"},
};

static const struct exclusion *exclusion_of(const struct integer_row *r, const struct place *p, unsigned width)
{
    for (size_t i = 0; i < ARRAY_COUNT(exclusions); i++) {
        const struct exclusion *e = &exclusions[i];
        if (strcmp(e->name, r->name) == 0 && (e->bits == 0 || e->bits == p->bits) && (e->width == 0 || e->width == width) &&
            (e->opcode == 0 || (e->opcode == r->opcode && e->digit == r->digit))) {
            return e;
        }
    }
    return NULL;
}

/* False: the case is not for comparing. */
static bool prepare(const struct exclusion *e, const struct integer_case *c, struct native_state *in)
{
    if (e->treatment == SAME_UPPER) {
        in->gpr[RBP] = (in->gpr[RBP] & 0xffff) | (in->gpr[RSP] & 0xffff0000);
    }
    return e->treatment != SKIP_RIP_RELATIVE || !c->rip_relative;
}

/* ---- general-purpose instructions ---- */

struct oracle {
    struct report report;
    struct dice dice;
    unsigned cases;
    const char *only;
    struct arena arena;
    struct duel duel;
};
struct row_sum {
    unsigned forms;
    uint64_t cases, faults, mismatches;
};

static void run_form(struct oracle *o, const struct integer_row *r, unsigned width, bool memory, struct row_sum *sum)
{
    struct duel *t = &o->duel;
    const struct place *p = o->arena.place;
    const struct exclusion *e = exclusion_of(r, p, width);
    unsigned done = 0, bad = 0;
    if (e != NULL && e->treatment == SKIP_ROW) {
        return;
    }
    for (unsigned tries = 0; done < o->cases && tries < TRIES * o->cases; tries++) {
        struct integer_case c;
        for (unsigned i = 0; i < 16; i++) {
            t->in.gpr[i] = dice_integer(&o->dice);
        }
        t->in.rflags = dice_roll(&o->dice) & RFLAGS_ARITHMETIC;
        if (!integer_build(r, p, width, memory, &o->dice, &t->in, &c) || (e != NULL && !prepare(e, &c, &t->in))) {
            continue;
        }
        memcpy(t->code, c.code, sizeof t->code);
        t->length = c.length;
        dice_operand(&o->dice, t->memory_in + (c.address - p->data), 16);
        duel_run(t, &o->arena, false);
        done++;
        sum->faults += t->our_vector >= 0;
        for (unsigned i = 0; i < 16 && e != NULL && e->treatment == LOW_HALVES; i++) {
            t->theirs.gpr[i] = (uint32_t)t->theirs.gpr[i];
            t->ours.gpr[i] = (uint32_t)t->ours.gpr[i];
        }
        const char *what = duel_difference(t, &o->arena, c.flags, false);
        if (what != NULL && bad++ < SHOWN_MISMATCHES) {
            printf("  FAIL %s %s %s%s\n", place_name(p), r->name, memory ? "m" : "r", integer_width_name(width));
            duel_print(t, &o->arena, what);
        }
    }
    sum->forms++;
    sum->cases += done;
    sum->mismatches += bad;
}

static void run_row(struct oracle *o, const struct integer_row *r, struct row_sum *sum)
{
    for (unsigned width = 1; width <= 16; width *= 2) {
        if (!integer_exists(r, o->arena.place, width)) {
            continue;
        }
        if (integer_has_register(r)) {
            run_form(o, r, width, false, sum);
        }
        if (integer_has_memory(r)) {
            run_form(o, r, width, true, sum);
        }
    }
}

static void run_integer(struct oracle *o)
{
    struct row_sum sum = {0};
    for (unsigned i = 0; i < integer_row_count; i++) {
        const struct integer_row *r = &integer_rows[i];
        if (o->only == NULL || strcmp(o->only, r->name) == 0) {
            run_row(o, r, &sum);
        }
        if (sum.forms != 0 && (i + 1 == integer_row_count || strcmp(integer_rows[i + 1].name, r->name) != 0)) {
            report_row(&o->report, place_name(o->arena.place), r->name, sum.forms, sum.cases, sum.faults, sum.mismatches);
            sum = (struct row_sum){0};
        }
    }
}

static bool run_place(struct oracle *o, const struct place *p)
{
    struct arena *a = &o->arena;
    bool legacy = p->bits != 64;
    *a = (struct arena){.place = p, .unicorn = unicorn_create(p)};
    a->guest = legacy ? NULL : guest_create(VENDOR_AMD);
    a->legacy = legacy ? legacy_guest_create(p) : NULL;
    if (a->unicorn == NULL || (a->guest == NULL && a->legacy == NULL)) {
        return false;
    }
    run_integer(o);
    if (!legacy) {
        unicorn_run_sse(&o->report, a, &o->duel, &o->dice, o->cases, o->only);
    }
    unicorn_destroy(a->unicorn);
    if (legacy) {
        legacy_guest_destroy(a->legacy);
    } else {
        guest_destroy(a->guest);
    }
    return true;
}

int main(int argc, char **argv)
{
    static struct oracle o = {.report.oracle = "unicorn", .cases = CASES, .dice.state = 1};
    const char *wanted = getenv("ORRERY_ORACLE_CASES");
    o.cases = wanted != NULL ? (unsigned)strtoul(wanted, NULL, 0) : CASES;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--cases") == 0) {
            o.cases = (unsigned)strtoul(argv[i + 1], NULL, 0);
        } else if (strcmp(argv[i], "--seed") == 0) {
            o.dice.state = strtoull(argv[i + 1], NULL, 0);
        } else if (strcmp(argv[i], "--only") == 0) {
            o.only = argv[i + 1];
        }
    }
    for (size_t i = 0; i < ARRAY_COUNT(places); i++) {
        if (!run_place(&o, &places[i])) {
            return 2;
        }
    }
    for (size_t i = 0; i < ARRAY_COUNT(exclusions); i++) {
        const struct exclusion *e = &exclusions[i];
        const char *where = e->bits == 64 ? "64-bit" : e->bits == 16 ? "16-bit" : "all";
        report_exclusion(&o.report, where, e->form, e->who, e->why);
    }
    report_exclusion(&o.report, "all", "SHLD, SHRD r/m16 by more than 16", "nobody",
                     "a count beyond the operand's size leaves the result undefined (SDM 2B SHLD, SHRD)");
    report_exclusion(&o.report, "all", "flags", "nobody",
                     "those that \"Flags Affected\" calls undefined are not compared (SDM 2A-2D)");
    return report_sum(&o.report);
}
