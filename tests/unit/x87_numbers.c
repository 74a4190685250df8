/* The x87's arithmetic itself (cpu/fp/): rounding, exceptions, special operands. Expectations are worked out from the SDM. */
#include <criterion/criterion.h>

#include "tests/unit/x87_fixture.h"

enum { MASKED = FCW_INITIAL, PC_SINGLE = 0x007f, PC_DOUBLE = 0x027f, RC_DOWN = 0x077f, RC_UP = 0x0b7f, RC_ZERO = 0x0f7f };

static struct f80_context with(unsigned control)
{
    return (struct f80_context){.control = (uint16_t)control};
}
static struct f80 unpacked(double x)
{
    return f80_unpack(st_of(x));
}
#define SIG(x) (1ULL << 63 | (x))
static const uint64_t one_bit = 1ULL << 63;

/* SDM 1 §8.1.5.2: PC cuts the significand, not the exponent. */
Test(x87_rounding, single_precision_keeps_24_bits_and_the_whole_exponent_range)
{
    struct f80_context c = with(PC_SINGLE);
    struct f80 huge = f80_unpack(st_make(false, 0x7000, SIG(1))), one = unpacked(1);
    EXPECT_ST(f80_multiply(&c, huge, one), st_make(false, 0x7000, one_bit));
    cr_expect_eq(c.raised, FSW_PE);
}

Test(x87_rounding, double_precision_keeps_53_bits)
{
    struct f80_context c = with(PC_DOUBLE);
    EXPECT_ST(f80_add(&c, unpacked(1), f80_unpack(st_make(false, F80_BIAS - 53, SIG(1)))),
              st_make(false, F80_BIAS, SIG(1 << 11)));
    cr_expect_eq(c.raised, FSW_PE | FSW_C1, "above half of the last place: up");
}

/* SDM 1 §4.8.4.1: a tie goes to the even neighbour. */
Test(x87_rounding, nearest_resolves_a_tie_to_even)
{
    struct f80 half_ulp = f80_unpack(st_make(false, F80_BIAS - 64, one_bit));
    struct f80_context c = with(MASKED);
    EXPECT_ST(f80_add(&c, unpacked(1), half_ulp), st_one(false));
    EXPECT_ST(f80_add(&c, f80_unpack(st_make(false, F80_BIAS, SIG(1))), half_ulp), st_make(false, F80_BIAS, SIG(2)));
}

Test(x87_rounding, each_direction_is_told_by_c1)
{
    static const struct {
        unsigned control;
        bool up;
    } rows[] = {{MASKED, false}, {RC_DOWN, false}, {RC_UP, true}, {RC_ZERO, false}};
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        struct f80_context c = with(rows[i].control);
        st_t r = f80_divide(&c, unpacked(1), unpacked(3)); /* 0.AAAA AAAA AAAA AAAA | AAAA...: last bit of 64 is a half-up 1 */
        bool nearest_up = rows[i].control == MASKED;
        EXPECT_ST(r, st_make(false, F80_BIAS - 2, 0xaaaaaaaaaaaaaaaa + (rows[i].up || nearest_up)));
        cr_expect_eq(c.raised, FSW_PE | (rows[i].up || nearest_up ? FSW_C1 : 0));
    }
}

/* SDM 1 §4.8.3.1, SDM 2A FADD: an exact zero sum is +0, but -0 when rounding down. */
Test(x87_rounding, exact_zero_difference_takes_its_sign_from_the_rounding_mode)
{
    struct f80_context c = with(MASKED), down = with(RC_DOWN);
    EXPECT_ST(f80_subtract(&c, unpacked(5), unpacked(5)), st_zero(false));
    EXPECT_ST(f80_subtract(&down, unpacked(5), unpacked(5)), st_zero(true));
}

/* SDM 1 §4.9.1.5: tiny is judged after rounding to the full exponent range. */
Test(x87_underflow, number_that_rounds_to_the_smallest_normal_is_not_tiny)
{
    struct f80_context c = with(MASKED);
    st_t r = f80_round(&c, false, F80_EXPONENT_MIN - 1, ~0ULL, 1ULL << 63);
    EXPECT_ST(r, st_make(false, 1, one_bit));
    cr_expect_eq(c.raised, FSW_PE | FSW_C1, "no UE");
}

Test(x87_underflow, masked_and_exact_denormal_raises_nothing)
{
    struct f80_context c = with(MASKED);
    EXPECT_ST(f80_round(&c, false, F80_EXPONENT_MIN - 1, one_bit, 0), st_make(false, 0, one_bit >> 1));
    cr_expect_eq(c.raised, 0);
}

Test(x87_underflow, masked_and_inexact_raises_ue_and_pe)
{
    struct f80_context c = with(MASKED);
    EXPECT_ST(f80_round(&c, false, F80_EXPONENT_MIN - 1, SIG(1), 0), st_make(false, 0, one_bit >> 1));
    cr_expect_eq(c.raised, FSW_UE | FSW_PE);
}

/* SDM 1 §8.5.5: with UE unmasked the exponent is raised by 24576. */
Test(x87_underflow, unmasked_wraps_the_exponent)
{
    struct f80_context c = with(MASKED & ~FSW_UE);
    EXPECT_ST(f80_round(&c, false, F80_EXPONENT_MIN - 1, one_bit, 0), st_make(false, 24576, one_bit));
    cr_expect_eq(c.raised, FSW_UE);
}

/* SDM 1 §4.9.1.4, table 4-10. */
Test(x87_overflow, masked_gives_infinity_or_the_largest_number_by_rounding_mode)
{
    static const struct {
        unsigned control;
        bool negative, infinite;
    } rows[] = {{MASKED, false, true}, {MASKED, true, true}, {RC_DOWN, false, false}, {RC_DOWN, true, true},
                {RC_UP, false, true},  {RC_UP, true, false}, {RC_ZERO, false, false}, {RC_ZERO, true, false}};
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        struct f80_context c = with(rows[i].control);
        st_t r = f80_round(&c, rows[i].negative, F80_EXPONENT_MAX + 1, one_bit, 0);
        EXPECT_ST(r, rows[i].infinite ? st_infinity(rows[i].negative) : st_make(rows[i].negative, 0x7ffe, ~0ULL));
        cr_expect_eq(c.raised & (FSW_OE | FSW_PE), FSW_OE | FSW_PE);
    }
}

Test(x87_overflow, unmasked_wraps_the_exponent)
{
    struct f80_context c = with(MASKED & ~FSW_OE);
    EXPECT_ST(f80_round(&c, true, F80_EXPONENT_MAX + 1, one_bit, 0), st_make(true, 0x7fff - 24576, one_bit));
    cr_expect_eq(c.raised, FSW_OE);
}

/* SDM 1 §8.5.4: so large that not even the wrapped exponent fits. */
Test(x87_overflow, massive_overflow_of_fscale_is_infinite_even_unmasked)
{
    struct f80_context c = with(MASKED & ~FSW_OE);
    EXPECT_ST(f80_scale(&c, unpacked(1), unpacked(60000)), st_infinity(false));
    cr_expect(c.raised & FSW_OE);
}

/* SDM 1 table 4-7, x87 column. */
Test(x87_nan, operands_are_chosen_by_the_table)
{
    st_t quiet = st_make(false, 0x7fff, 3ULL << 62 | 5), larger = st_make(true, 0x7fff, 3ULL << 62 | 9);
    st_t signaling = st_make(false, 0x7fff, SIG(77)), signaling_quieted = st_make(false, 0x7fff, 3ULL << 62 | 77);
    const struct {
        st_t a, b, expected;
        unsigned raised;
    } rows[] = {
        {quiet, st_one(false), quiet, 0},
        {st_one(false), quiet, quiet, 0},
        {quiet, larger, larger, 0},
        {larger, quiet, larger, 0},
        {signaling, larger, larger, FSW_IE},
        {quiet, signaling, quiet, FSW_IE},
        {signaling, st_one(true), signaling_quieted, FSW_IE},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        struct f80_context c = with(MASKED);
        EXPECT_ST(f80_multiply(&c, f80_unpack(rows[i].a), f80_unpack(rows[i].b)), rows[i].expected);
        cr_expect_eq(c.raised, rows[i].raised, "row %u", i);
    }
}

/* SDM 1 §8.2.2: encodings that the 387 gave up are invalid operands. */
Test(x87_nan, unsupported_encodings_are_invalid)
{
    const st_t encodings[] = {st_make(false, 5, 1), st_make(false, 0x7fff, 0), st_make(true, 0x7fff, 1ULL << 62)};
    for (unsigned i = 0; i < ARRAY_COUNT(encodings); i++) {
        struct f80_context c = with(MASKED);
        EXPECT_ST(f80_add(&c, f80_unpack(encodings[i]), unpacked(1)), st_indefinite());
        cr_expect_eq(c.raised, FSW_IE);
    }
}

/* SDM 1 §8.2.2: a pseudo-denormal is a denormal operand with the exponent of the smallest normal. */
Test(x87_nan, pseudo_denormal_counts_as_two_to_the_minus_16382)
{
    struct f80_context c = with(MASKED);
    EXPECT_ST(f80_add(&c, f80_unpack(st_make(false, 0, one_bit)), unpacked(0)), st_make(false, 1, one_bit));
    cr_expect_eq(c.raised, FSW_DE);
}

/* SDM 1 table 8-10. */
Test(x87_invalid, operations_without_a_meaning_give_the_indefinite)
{
    struct f80 inf = f80_unpack(st_infinity(false)), minus_inf = f80_unpack(st_infinity(true)), zero = unpacked(0);
    struct f80_context c = with(MASKED);
    const st_t results[] = {
        f80_add(&c, inf, minus_inf),
        f80_subtract(&c, inf, inf),
        f80_multiply(&c, inf, zero),
        f80_divide(&c, inf, minus_inf),
        f80_divide(&c, zero, zero),
        f80_sqrt(&c, unpacked(-1)),
        f80_remainder(&c, inf, zero, 0).value,
        f80_remainder(&c, zero, zero, 1).value,
        f80_scale(&c, zero, inf),
        f80_scale(&c, inf, minus_inf),
        f80_y_log2(&c, zero, inf),
        f80_y_log2(&c, unpacked(1), unpacked(-1)),
        f80_y_log2(&c, inf, unpacked(1)),
        f80_y_log2(&c, zero, zero),
    };
    for (unsigned i = 0; i < ARRAY_COUNT(results); i++) {
        EXPECT_ST(results[i], st_indefinite());
    }
    cr_expect_eq(c.raised, FSW_IE);
}

Test(x87_invalid, square_root_of_minus_zero_is_minus_zero)
{
    struct f80_context c = with(MASKED);
    EXPECT_ST(f80_sqrt(&c, f80_unpack(st_zero(true))), st_zero(true));
    cr_expect_eq(c.raised, 0);
}

/* SDM 1 §8.5.3. */
Test(x87_zero_divide, finite_by_zero_is_infinite_with_the_product_of_signs)
{
    struct f80_context c = with(MASKED);
    EXPECT_ST(f80_divide(&c, unpacked(-3), unpacked(0)), st_infinity(true));
    cr_expect_eq(c.raised, FSW_ZE);
}

Test(x87_zero_divide, logarithm_of_zero_and_extraction_from_zero_divide_by_zero)
{
    struct f80_context c = with(MASKED), d = with(MASKED);
    EXPECT_ST(f80_y_log2(&c, unpacked(2), unpacked(0)), st_infinity(true));
    cr_expect_eq(c.raised, FSW_ZE);
    struct f80_parts p = f80_extract(&d, f80_unpack(st_zero(true)));
    EXPECT_ST(p.exponent, st_infinity(true));
    EXPECT_ST(p.significand, st_zero(true));
    cr_expect_eq(d.raised, FSW_ZE);
}

/* SDM 2A FPREM: 17 = 3*5 + 2; FPREM1 takes the nearest quotient: 17 = 3*6 - 1. */
Test(x87_remainder, chops_or_rounds_the_quotient)
{
    struct f80_context c = with(MASKED);
    struct f80_remainder chopped = f80_remainder(&c, unpacked(17), unpacked(3), false),
                         nearest = f80_remainder(&c, unpacked(17), unpacked(3), true);
    EXPECT_ST(chopped.value, st_of(2));
    cr_expect_eq(chopped.quotient, 5);
    EXPECT_ST(nearest.value, st_of(-1));
    cr_expect_eq(nearest.quotient, 6);
}

Test(x87_remainder, of_numbers_64_binary_places_apart_is_partial)
{
    struct f80_context c = with(MASKED);
    struct f80 a = f80_unpack(st_make(false, F80_BIAS + 64, SIG(7)));
    cr_expect(f80_remainder(&c, a, unpacked(1.5), false).partial);
    cr_expect(!f80_remainder(&c, a, unpacked(3), false).partial, "63 places");
}

/* SDM 1 table 4-4 and 8-10: integer and BCD indefinites. */
Test(x87_integers, what_does_not_fit_is_the_indefinite)
{
    struct f80_context c = with(MASKED);
    cr_expect_eq(f80_to_integer(&c, unpacked(32768), 2, ROUND_NEAREST), INT16_MIN);
    cr_expect_eq(c.raised, FSW_IE);
    c.raised = 0;
    cr_expect_eq(f80_to_integer(&c, unpacked(-32768), 2, ROUND_NEAREST), INT16_MIN);
    cr_expect_eq(c.raised, 0, "-32768 itself fits");
    cr_expect_eq(f80_to_integer(&c, f80_unpack(st_make(false, F80_BIAS + 63, one_bit)), 8, ROUND_NEAREST), INT64_MIN);
    cr_expect_eq(c.raised, FSW_IE);
}

Test(x87_integers, bcd_holds_eighteen_digits)
{
    struct f80_context c = with(MASKED);
    uint8_t bytes[10];
    f80_to_bcd(&c, f80_from_integer(-123456789012345678), bytes);
    cr_expect_arr_eq(bytes, ((uint8_t[10]){0x78, 0x56, 0x34, 0x12, 0x90, 0x78, 0x56, 0x34, 0x12, 0x80}), 10);
    cr_expect_eq(c.raised, 0);
    EXPECT_ST(f80_pack(f80_from_bcd(bytes)), f80_pack(f80_from_integer(-123456789012345678)));
    f80_to_bcd(&c, f80_from_integer(1000000000000000000), bytes);
    cr_expect_arr_eq(bytes, ((uint8_t[10]){0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff}), 10);
    cr_expect_eq(c.raised, FSW_IE);
}

/* SDM 2A FPATAN, its table: angles of the axes and diagonals. */
Test(x87_transcendental, arctangent_knows_all_four_quadrants)
{
    struct f80 inf = f80_unpack(st_infinity(false)), minus_inf = f80_unpack(st_infinity(true));
    struct f80 zero = unpacked(0), minus_zero = f80_unpack(st_zero(true)), one = unpacked(1), minus_one = unpacked(-1);
    const st_t pi = st_make(false, F80_BIAS + 1, 0xc90fdaa22168c235), half_pi = st_make(false, F80_BIAS, 0xc90fdaa22168c235);
    const st_t quarter_pi = st_make(false, F80_BIAS - 1, 0xc90fdaa22168c235),
               three = st_make(false, F80_BIAS + 1, 0x96cbe3f9990e91a8);
    const struct {
        struct f80 y, x;
        st_t angle;
    } rows[] = {
        {zero, zero, st_zero(false)}, {zero, one, st_zero(false)}, {zero, inf, st_zero(false)}, {one, inf, st_zero(false)},
        {zero, minus_zero, pi},       {zero, minus_one, pi},       {one, minus_inf, pi},        {one, zero, half_pi},
        {one, minus_zero, half_pi},   {inf, one, half_pi},         {inf, minus_one, half_pi},   {inf, inf, quarter_pi},
        {one, one, quarter_pi},       {inf, minus_inf, three},     {one, minus_one, three},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        struct f80_context c = with(MASKED);
        EXPECT_ST(f80_arctangent(&c, rows[i].y, rows[i].x), rows[i].angle);
        struct f80 below = rows[i].y;
        below.negative = true;
        st_t mirrored = rows[i].angle;
        mirrored.sign_exponent |= 0x8000;
        EXPECT_ST(f80_arctangent(&c, below, rows[i].x), mirrored);
    }
}

Test(x87_transcendental, exact_results_raise_no_precision_exception)
{
    struct f80_context c = with(MASKED);
    EXPECT_ST(f80_y_log2(&c, unpacked(3), unpacked(0.125)), st_of(-9));
    EXPECT_ST(f80_power_minus_1(&c, unpacked(1)), st_of(1));
    EXPECT_ST(f80_power_minus_1(&c, unpacked(-1)), st_of(-0.5));
    EXPECT_ST(f80_y_log2_plus_1(&c, unpacked(5), unpacked(-0.0)), st_zero(true));
    cr_expect_eq(c.raised, 0);
}

Test(x87_transcendental, trigonometric_argument_of_2_to_the_63_is_out_of_range)
{
    struct f80_context c = with(MASKED);
    st_t r;
    cr_expect(!f80_sine_cosine(&c, f80_unpack(st_make(false, F80_BIAS + 63, one_bit)), &r, NULL));
    cr_expect(f80_sine_cosine(&c, f80_unpack(st_make(false, F80_BIAS + 62, ~0ULL)), &r, NULL), "one step below is not");
}

/* The reduction is exact: pi rounded to 64 bits is not pi, and its sine is what rounding took away (2^-62 * 0.3b39...). */
Test(x87_transcendental, sine_of_the_nearest_number_to_pi_is_the_rounding_error)
{
    struct f80_context c = with(MASKED);
    st_t r;
    f80_sine_cosine(&c, f80_unpack(st_make(false, F80_BIAS + 1, 0xc90fdaa22168c235)), &r, NULL);
    EXPECT_ST(r, st_make(true, F80_BIAS - 65, 0xece675d1fc8f8cbb));
}
