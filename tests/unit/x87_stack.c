/* x87 instructions on the register stack: stack faults, tags, condition codes, stores. SDM 1 §8. */
#include "tests/unit/x87_fixture.h"

/* ---- stack faults, SDM 1 §8.5.1.1 ---- */

Test(x87_stack, push_onto_a_full_stack_gives_the_indefinite_and_c1)
{
    struct guest g = x87_guest();
    g.s.fpu.ftw = ALL_VALID;
    RUN_X87(&g, 0xd9, 0xe8); /* FLD1 */
    EXPECT_ST(st(&g, 0), st_indefinite());
    cr_expect_eq(g.s.fpu.fsw, 7 << 11 | FSW_IE | FSW_SF | FSW_C1);
    guest_destroy(&g);
}

Test(x87_stack, unmasked_overflow_changes_nothing_but_flags)
{
    struct guest g = x87_guest();
    g.s.fpu.ftw = ALL_VALID;
    g.s.fpu.fcw &= (uint16_t)~FSW_IE;
    g.s.fpu.r[7] = st_one(true);
    RUN_X87(&g, 0xd9, 0xe8);
    EXPECT_ST(g.s.fpu.r[7], st_one(true));
    cr_expect_eq(g.s.fpu.fsw, FSW_IE | FSW_SF | FSW_C1 | FSW_ES | FSW_B);
    guest_destroy(&g);
}

Test(x87_stack, reading_an_empty_register_gives_the_indefinite_with_c1_clear)
{
    struct guest g = x87_guest();
    g.s.fpu.fsw = FSW_C1;
    RUN_X87(&g, 0xd9, 0xfa); /* FSQRT */
    EXPECT_ST(st(&g, 0), st_indefinite());
    cr_expect_eq(g.s.fpu.fsw, FSW_IE | FSW_SF);
    cr_expect_eq(g.s.fpu.ftw, 1, "the result is there");
    guest_destroy(&g);
}

Test(x87_stack, exchange_fills_the_empty_one_of_two)
{
    struct guest g = x87_guest();
    given_st0(&g, st_of(4));
    RUN_X87(&g, 0xd9, 0xc9); /* FXCH ST(1) */
    EXPECT_ST(st(&g, 0), st_indefinite());
    EXPECT_ST(st(&g, 1), st_of(4));
    cr_expect_eq(g.s.fpu.ftw, 0x81);
    guest_destroy(&g);
}

/* SDM 2A FINCSTP: not a pop. */
Test(x87_stack, fincstp_leaves_tags_alone)
{
    struct guest g = x87_guest();
    given_st0(&g, st_of(4));
    RUN_X87(&g, 0xd9, 0xf7);
    cr_expect_eq(g.s.fpu.fsw & FSW_TOP, 0);
    cr_expect_eq(g.s.fpu.ftw, 0x80);
    guest_destroy(&g);
}

Test(x87_stack, ffree_leaves_top_and_contents_alone)
{
    struct guest g = x87_guest();
    given_st0(&g, st_of(4));
    RUN_X87(&g, 0xdd, 0xc0);
    cr_expect_eq(g.s.fpu.fsw & FSW_TOP, 7 << 11);
    cr_expect_eq(g.s.fpu.ftw, 0);
    EXPECT_ST(st(&g, 0), st_of(4));
    guest_destroy(&g);
}

/* ---- arithmetic forms ---- */

/* SDM 2A FSUB, FSUBR: which operand is taken from which. */
Test(x87_arithmetic, forms_subtract_in_the_order_the_sdm_says)
{
    static const struct {
        uint8_t opcode, modrm;
        unsigned at; /* where the result stands afterwards */
        double expected;
    } rows[] = {
        {0xd8, 0xe1, 0, 10 - 3}, /* FSUB ST(0), ST(1) */
        {0xd8, 0xe9, 0, 3 - 10}, /* FSUBR ST(0), ST(1) */
        {0xdc, 0xe9, 1, 3 - 10}, /* FSUB ST(1), ST(0) */
        {0xdc, 0xe1, 1, 10 - 3}, /* FSUBR ST(1), ST(0) */
        {0xde, 0xe9, 0, 3 - 10}, /* FSUBP: what was ST(1) is the top */
        {0xde, 0xe1, 0, 10 - 3}, /* FSUBRP */
    };
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        struct guest g = x87_guest();
        given_st0(&g, st_of(3));
        given_st0(&g, st_of(10));
        RUN_X87(&g, rows[i].opcode, rows[i].modrm);
        EXPECT_ST(st(&g, rows[i].at), st_of(rows[i].expected));
        guest_destroy(&g);
    }
}

Test(x87_arithmetic, memory_operands_of_four_formats)
{
    static const struct {
        uint8_t opcode;
        uint64_t bits;
    } rows[] = {{0xd8, 0xc0200000}, {0xdc, 0xc004000000000000}, {0xda, 0xfffffffe}, {0xde, 0xfffe}}; /* -2.5, -2.5, -2, -2 */
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        struct guest g = x87_guest();
        given_st0(&g, st_of(10));
        poke(&g, DATA, rows[i].bits, 8);
        RUN_X87(&g, rows[i].opcode, 0x0b); /* FMUL [RBX] */
        EXPECT_ST(st(&g, 0), st_of(i < 2 ? -25 : -20));
        guest_destroy(&g);
    }
}

Test(x87_arithmetic, unmasked_zero_divide_leaves_the_operands)
{
    struct guest g = x87_guest();
    g.s.fpu.fcw &= (uint16_t)~FSW_ZE;
    given_st0(&g, st_of(0));
    given_st0(&g, st_of(5));
    RUN_X87(&g, 0xde, 0xf1); /* FDIVRP: ST(1) = ST(0) / ST(1), pop */
    EXPECT_ST(st(&g, 0), st_of(5));
    EXPECT_ST(st(&g, 1), st_of(0));
    cr_expect_eq(g.s.fpu.fsw, 6 << 11 | FSW_ZE | FSW_ES | FSW_B, "nothing popped");
    guest_destroy(&g);
}

/* ---- comparison ---- */

/* SDM 2A FCOM: C3 C2 C0. */
Test(x87_compare, fcom_reports_in_the_condition_codes)
{
    static const struct {
        double a, b;
        unsigned codes;
    } rows[] = {{2, 1, 0}, {1, 2, FSW_C0}, {2, 2, FSW_C3}, {0.0, -0.0, FSW_C3}, {-1, 1, FSW_C0}, {-1, -2, 0}};
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        struct guest g = x87_guest();
        given_st0(&g, st_of(rows[i].b));
        given_st0(&g, st_of(rows[i].a));
        RUN_X87(&g, 0xde, 0xd9); /* FCOMPP */
        cr_expect_eq(g.s.fpu.fsw & ~FSW_TOP, rows[i].codes, "row %u", i);
        cr_expect_eq(g.s.fpu.ftw, 0);
        guest_destroy(&g);
    }
}

/* SDM 2A FCOM, FUCOM: only FCOM minds a QNaN. */
Test(x87_compare, quiet_nan_is_invalid_to_fcom_and_not_to_fucom)
{
    for (unsigned i = 0; i < 2; i++) {
        struct guest g = x87_guest();
        given_st0(&g, st_indefinite());
        RUN_X87(&g, i ? 0xdd : 0xd8, i ? 0xe0 : 0xd0);
        cr_expect_eq(g.s.fpu.fsw & ~FSW_TOP, FSW_C0 | FSW_C2 | FSW_C3 | (i ? 0 : FSW_IE));
        guest_destroy(&g);
    }
}

/* SDM 2A FCOM: after an unmasked invalid operation the codes stay; AMD's processors set them. */
Test(x87_compare, unmasked_invalid_operation_sets_codes_on_amd_only)
{
    for (unsigned vendor = 0; vendor < 2; vendor++) {
        struct guest g = x87_guest_of(vendor == 0 ? VENDOR_INTEL : VENDOR_AMD);
        g.s.fpu.fcw &= (uint16_t)~FSW_IE;
        given_st0(&g, st_indefinite());
        RUN_X87(&g, 0xd8, 0xd0);
        cr_expect_eq(g.s.fpu.fsw & (FSW_C0 | FSW_C2 | FSW_C3), vendor == 0 ? 0 : FSW_C0 | FSW_C2 | FSW_C3);
        guest_destroy(&g);
    }
}

/* SDM 2A FCOMI: ZF PF CF; OF SF AF cleared. */
Test(x87_compare, fcomi_writes_the_arithmetic_flags)
{
    struct guest g = x87_guest();
    g.s.rflags |= RFLAGS_ARITHMETIC;
    given_st0(&g, st_of(2));
    given_st0(&g, st_of(1));
    RUN_X87(&g, 0xdb, 0xf1);
    cr_expect_eq(g.s.rflags & RFLAGS_ARITHMETIC, RFLAGS_CF);
    guest_destroy(&g);
}

Test(x87_compare, fcmov_moves_by_the_flags)
{
    for (unsigned below = 0; below < 2; below++) {
        struct guest g = x87_guest();
        g.s.rflags |= below ? RFLAGS_CF : 0;
        given_st0(&g, st_of(2));
        given_st0(&g, st_of(1));
        RUN_X87(&g, 0xda, 0xc1); /* FCMOVB ST(0), ST(1) */
        EXPECT_ST(st(&g, 0), st_of(below ? 2 : 1));
        guest_destroy(&g);
    }
}

/* SDM 2A FXAM, its table: C3 C2 C0 by class, C1 the sign. */
Test(x87_examine, names_every_class)
{
    const struct {
        st_t x;
        unsigned codes;
    } rows[] = {
        {st_make(true, 9, 1), FSW_C1}, {st_indefinite(), FSW_C0 | FSW_C1},
        {st_one(false), FSW_C2},       {st_infinity(true), FSW_C2 | FSW_C0 | FSW_C1},
        {st_zero(false), FSW_C3},      {st_make(false, 0, 1), FSW_C3 | FSW_C2},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        struct guest g = x87_guest();
        given_st0(&g, rows[i].x);
        RUN_X87(&g, 0xd9, 0xe5);
        cr_expect_eq(g.s.fpu.fsw & ~FSW_TOP, rows[i].codes, "row %u", i);
        guest_destroy(&g);
    }
    struct guest g = x87_guest();
    RUN_X87(&g, 0xd9, 0xe5);
    cr_expect_eq(g.s.fpu.fsw, FSW_C3 | FSW_C0, "empty");
    guest_destroy(&g);
}

/* ---- loads and stores ---- */

/* SDM 2A FLD: converting an SNaN is invalid, a denormal a denormal operand; 80 bits are moved as they are. */
Test(x87_load, single_converts_with_exceptions_and_extended_without)
{
    struct guest g = x87_guest();
    poke(&g, DATA, 0x7f800001, 4);
    poke(&g, DATA + 16, SIZE_MAX >> 2 | 1ULL << 63, 8);
    poke(&g, DATA + 24, 0x7fff, 2);
    RUN_X87(&g, 0xd9, 0x03, 0xdb, 0x6b, 0x10); /* FLD m32 [RBX]; FLD m80 [RBX+16] */
    EXPECT_ST(st(&g, 1), st_make(false, 0x7fff, 3ULL << 62 | 1ULL << 40));
    EXPECT_ST(st(&g, 0), st_make(false, 0x7fff, SIZE_MAX >> 2 | 1ULL << 63));
    cr_expect_eq(g.s.fpu.fsw & FSW_EXCEPTIONS, FSW_IE, "of the first alone");
    guest_destroy(&g);
}

/* SDM 2A FLD1: the constants are rounded as RC says, silently. Values: SDM 1 §8.3.4 to 64 bits and the next. */
Test(x87_load, constants_follow_the_rounding_control)
{
    static const struct {
        uint8_t modrm;
        uint64_t down, nearest;
    } rows[] = {
        {0xe9, 0xd49a784bcd1b8afe, 0xd49a784bcd1b8afe}, {0xea, 0xb8aa3b295c17f0bb, 0xb8aa3b295c17f0bc},
        {0xeb, 0xc90fdaa22168c234, 0xc90fdaa22168c235}, {0xec, 0x9a209a84fbcff798, 0x9a209a84fbcff799},
        {0xed, 0xb17217f7d1cf79ab, 0xb17217f7d1cf79ac}, {0xe8, 0x8000000000000000, 0x8000000000000000},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        for (unsigned rounding = 0; rounding < 4; rounding++) {
            struct guest g = x87_guest();
            g.s.fpu.fcw = (uint16_t)(FCW_INITIAL | rounding << FCW_RC_SHIFT);
            RUN_X87(&g, 0xd9, rows[i].modrm);
            uint64_t up = rows[i].down + (rows[i].modrm != 0xe8);
            cr_expect_eq(st(&g, 0).significand, rounding == ROUND_NEAREST ? rows[i].nearest
                                                : rounding == ROUND_UP    ? up
                                                                          : rows[i].down);
            cr_expect_eq(g.s.fpu.fsw & ~FSW_TOP, 0);
            guest_destroy(&g);
        }
    }
}

/* SDM 1 §8.5.4, SDM 2A FST: an unmasked overflow stores nothing and pops nothing. */
Test(x87_store, unmasked_overflow_stores_nothing)
{
    struct guest g = x87_guest();
    g.s.fpu.fcw &= (uint16_t)~FSW_OE;
    poke(&g, DATA, 0x1122334455667788, 8);
    given_st0(&g, st_of(1e300));
    RUN_X87(&g, 0xd9, 0x1b); /* FSTP m32 */
    cr_expect_eq(peek(&g, DATA, 8), 0x1122334455667788);
    cr_expect_eq(g.s.fpu.fsw, 7 << 11 | FSW_OE | FSW_ES | FSW_B);
    guest_destroy(&g);
}

Test(x87_store, empty_register_stores_the_formats_indefinite)
{
    static const struct {
        uint8_t opcode, modrm;
        uint64_t low;
        uint16_t high;
        unsigned bytes;
    } rows[] = {
        {0xd9, 0x1b, 0xffc00000, 0, 4},
        {0xdd, 0x1b, 0xfff8000000000000, 0, 8},
        {0xdb, 0x3b, 0xc000000000000000, 0xffff, 10},
        {0xdf, 0x1b, 0x8000, 0, 2},
        {0xdb, 0x1b, 0x80000000, 0, 4},
        {0xdf, 0x3b, 0x8000000000000000, 0, 8},
        {0xdf, 0x33, 0xc000000000000000, 0xffff, 10},
        {0xdb, 0x0b, 0x80000000, 0, 4},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        struct guest g = x87_guest();
        RUN_X87(&g, rows[i].opcode, rows[i].modrm);
        unsigned low = rows[i].bytes < 8 ? rows[i].bytes : 8;
        cr_expect_eq(peek(&g, DATA, low), rows[i].low, "row %u", i);
        cr_expect_eq(peek(&g, DATA + 8, 2), rows[i].high, "row %u", i);
        cr_expect_eq(g.s.fpu.fsw, 1 << 11 | FSW_IE | FSW_SF, "row %u", i);
        guest_destroy(&g);
    }
}

/* SDM 2A FISTTP: truncates whatever RC says. */
Test(x87_store, fisttp_truncates)
{
    struct guest g = x87_guest();
    g.s.fpu.fcw = FCW_INITIAL | ROUND_UP << FCW_RC_SHIFT;
    given_st0(&g, st_of(2.75));
    RUN_X87(&g, 0xdb, 0x0b);
    cr_expect_eq(peek(&g, DATA, 4), 2);
    cr_expect_eq(g.s.fpu.fsw & ~FSW_TOP, FSW_PE);
    guest_destroy(&g);
}

/* A page that is not there: nothing may have changed. SDM 3A §6.15 #PF. */
Test(x87_store, page_fault_pops_nothing)
{
    struct guest g = x87_guest();
    given_st0(&g, st_of(2.75));
    g.s.gpr[RBX] = (16 << 20) - 4; /* the last four bytes that are mapped; ten are stored */
    uint16_t fsw = g.s.fpu.fsw;
    FAULT_X87(&g, VEC_PF, 2, 0, 0xdb, 0x3b);
    cr_expect_eq(g.s.fpu.fsw, fsw);
    cr_expect_eq(g.s.cr2, 16 << 20);
    cr_expect_eq(peek(&g, (16 << 20) - 4, 4), 0);
    guest_destroy(&g);
}

/* ---- functions ---- */

Test(x87_function, fptan_pushes_one)
{
    struct guest g = x87_guest();
    given_st0(&g, st_of(0));
    RUN_X87(&g, 0xd9, 0xf2);
    EXPECT_ST(st(&g, 0), st_one(false));
    EXPECT_ST(st(&g, 1), st_zero(false));
    guest_destroy(&g);
}

Test(x87_function, sine_out_of_range_sets_c2_and_leaves_the_operand)
{
    struct guest g = x87_guest();
    given_st0(&g, st_of(0x1p70));
    RUN_X87(&g, 0xd9, 0xfe);
    EXPECT_ST(st(&g, 0), st_of(0x1p70));
    cr_expect_eq(g.s.fpu.fsw, 7 << 11 | FSW_C2);
    guest_destroy(&g);
}

/* SDM 2A FPREM: C0 C3 C1 = quotient bits 2 1 0. 29 = 4*7 + 1. */
Test(x87_function, fprem_reports_the_quotient)
{
    struct guest g = x87_guest();
    given_st0(&g, st_of(4));
    given_st0(&g, st_of(29));
    RUN_X87(&g, 0xd9, 0xf8);
    EXPECT_ST(st(&g, 0), st_of(1));
    cr_expect_eq(g.s.fpu.fsw & ~FSW_TOP, FSW_C0 | FSW_C3 | FSW_C1);
    guest_destroy(&g);
}
