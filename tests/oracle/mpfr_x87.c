/* The x87's transcendentals against MPFR: every result within one unit in the last place, in all rounding modes. SDM 1 §8.3.10.
 *
 * MPFR computes with 420 bits, from the same 64-bit operands; error is measured against that, and the result correctly rounded
 * to the 80-bit format tells how many were not. Operands: the whole range of each function, with special attention to where it
 * is hard (next to multiples of pi/2, next to 1, tiny, denormal results). PE and C1 must say what rounding did.
 *
 *     mpfr_x87 [--cases N] [--seed N]       (cases of each function and rounding mode)
 */
#include <mpfr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/fp/float80.h"
#include "tests/oracle/forms.h"

enum { REFERENCE_BITS = 420, SHOWN = 3 };

enum function { SINE, COSINE, SINCOS_SINE, SINCOS_COSINE, TANGENT, ARCTANGENT, POWER, Y_LOG2, Y_LOG2_PLUS_1, FUNCTIONS };
static const char *const names[] = {"FSIN",   "FCOS",  "FSINCOS (sine)", "FSINCOS (cosine)", "FPTAN",
                                    "FPATAN", "F2XM1", "FYL2X",          "FYL2XP1"};

/* ---- operands ---- */

static st_t number(struct dice *d, int low, int high, bool any_sign)
{
    uint64_t m = dice_roll(d) | 1ULL << 63;
    switch (dice_below(d, 6)) {
    case 0:
        m &= UINT64_MAX << dice_below(d, 64);
        break;
    case 1:
        m = 1ULL << 63 | m >> dice_below(d, 64);
        break;
    case 2:
        m = ~(dice_roll(d) >> dice_below(d, 64) >> 1) | 1ULL << 63;
        break;
    default:
        break;
    }
    int exponent = low + (int)dice_below(d, (unsigned)(high - low + 1));
    return st_make(any_sign && dice_below(d, 2), (unsigned)(exponent + F80_BIAS), m);
}

/* k * pi/2, rounded to 64 bits: where sines and cosines lose the most. */
static st_t near_quarter_turn(struct dice *d)
{
    mpfr_t x;
    mpfr_init2(x, REFERENCE_BITS);
    mpfr_const_pi(x, MPFR_RNDN);
    mpfr_mul_ui(x, x, (dice_roll(d) >> dice_below(d, 60) >> 4) | 1, MPFR_RNDN);
    mpfr_div_2ui(x, x, 1, MPFR_RNDN);
    mpfr_prec_round(x, 64, MPFR_RNDN);
    mpz_t z;
    mpz_init(z);
    mpfr_exp_t e = mpfr_get_z_2exp(z, x);
    uint64_t m = mpz_get_ui(z);
    mpz_clear(z);
    mpfr_clear(x);
    return st_make(dice_below(d, 2), (unsigned)(e + 63 + F80_BIAS), m);
}

static void operands(struct dice *d, enum function f, st_t *x, st_t *y)
{
    *y = number(d, -70, 70, true);
    switch (f) {
    case POWER:
        *x = dice_below(d, 8) == 0 ? number(d, F80_EXPONENT_MIN, -1, true) : number(d, -70, -1, true);
        break;
    case ARCTANGENT:
        *x = dice_below(d, 4) == 0 ? number(d, F80_EXPONENT_MIN, F80_EXPONENT_MAX, true) : number(d, -40, 40, true);
        *y = dice_below(d, 4) == 0 ? number(d, F80_EXPONENT_MIN, F80_EXPONENT_MAX, true) : number(d, -40, 40, true);
        break;
    case Y_LOG2:
        *x = dice_below(d, 3) ? number(d, -1, 0, false) : number(d, F80_EXPONENT_MIN, F80_EXPONENT_MAX, false);
        *y = dice_below(d, 8) == 0 ? number(d, F80_EXPONENT_MIN, F80_EXPONENT_MAX - 15, true) : *y;
        break;
    case Y_LOG2_PLUS_1: /* -(1 - sqrt(1/2)) to sqrt(2) - 1, and tiny ones */
        do {
            *x = dice_below(d, 8) == 0 ? number(d, F80_EXPONENT_MIN, -2, true) : number(d, -70, -2, true);
        } while (x->sign_exponent == (0x8000 | (F80_BIAS - 2)) && x->significand > 0x95f619980c4336f7);
        break;
    default:
        *x = dice_below(d, 4) == 0   ? near_quarter_turn(d)
             : dice_below(d, 8) == 0 ? number(d, F80_EXPONENT_MIN, 62, true)
                                     : number(d, -40, 62, true);
        break;
    }
}

/* ---- ours, and the reference ---- */

static st_t ours(enum function f, struct f80_context *c, st_t x, st_t y)
{
    st_t r = {0}, other = {0};
    struct f80 a = f80_unpack(x), b = f80_unpack(y);
    switch (f) {
    case SINE:
        f80_sine_cosine(c, a, &r, NULL);
        break;
    case COSINE:
        f80_sine_cosine(c, a, NULL, &r);
        break;
    case SINCOS_SINE:
        f80_sine_cosine(c, a, &r, &other);
        break;
    case SINCOS_COSINE:
        f80_sine_cosine(c, a, &other, &r);
        break;
    case TANGENT:
        f80_tangent(c, a, &r, &other);
        break;
    case ARCTANGENT:
        return f80_arctangent(c, b, a);
    case POWER:
        return f80_power_minus_1(c, a);
    case Y_LOG2:
        return f80_y_log2(c, b, a);
    default:
        return f80_y_log2_plus_1(c, b, a);
    }
    return r;
}

static void to_mpfr(mpfr_t to, st_t x)
{
    struct f80 n = f80_unpack(x);
    if (n.kind == F80_ZERO) {
        mpfr_set_zero(to, n.negative ? -1 : 1);
        return;
    }
    mpfr_set_ui_2exp(to, n.significand, n.exponent - 63, MPFR_RNDN);
    if (n.negative) {
        mpfr_neg(to, to, MPFR_RNDN);
    }
}

/* Returns MPFR's ternary value: 0 when `to` is exact. */
static int reference(enum function f, mpfr_t to, const mpfr_t x, const mpfr_t y)
{
    mpfr_t t;
    int inexact;
    switch (f) {
    case SINE:
    case SINCOS_SINE:
        return mpfr_sin(to, x, MPFR_RNDN);
    case COSINE:
    case SINCOS_COSINE:
        return mpfr_cos(to, x, MPFR_RNDN);
    case TANGENT:
        return mpfr_tan(to, x, MPFR_RNDN);
    case ARCTANGENT:
        return mpfr_atan2(to, y, x, MPFR_RNDN);
    default:
        break;
    }
    mpfr_init2(t, REFERENCE_BITS + 80);
    mpfr_const_log2(t, MPFR_RNDN);
    if (f == POWER) {
        mpfr_mul(t, t, x, MPFR_RNDN);
        inexact = mpfr_expm1(to, t, MPFR_RNDN);
    } else if (f == Y_LOG2) {
        inexact = mpfr_log2(t, x, MPFR_RNDN);
        inexact |= mpfr_mul(to, t, y, MPFR_RNDN);
    } else {
        mpfr_t l;
        mpfr_init2(l, REFERENCE_BITS + 80);
        mpfr_log1p(l, x, MPFR_RNDN);
        mpfr_div(l, l, t, MPFR_RNDN);
        inexact = 1;
        mpfr_mul(to, l, y, MPFR_RNDN);
        mpfr_clear(l);
    }
    mpfr_clear(t);
    return inexact;
}

/* ---- the judgement ---- */

struct tally {
    uint64_t cases, not_correctly_rounded, beyond, flags;
    double worst_ulp;
};

static void complain(struct tally *t, enum function f, unsigned control, st_t x, st_t y, st_t r, unsigned raised,
                     const char *what)
{
    if (t->not_correctly_rounded + t->beyond + t->flags <= SHOWN) {
        printf("  %s fcw %04x x %04x:%016llx y %04x:%016llx: %04x:%016llx raised %03x: %s\n", names[f], control,
               x.sign_exponent, (unsigned long long)x.significand, y.sign_exponent, (unsigned long long)y.significand,
               r.sign_exponent, (unsigned long long)r.significand, raised, what);
    }
}

/* Bits that an 80-bit result of this exponent (MPFR's: 0.1xxx * 2^e) has; below 1: smaller than half the smallest denormal, or
 * about. */
static long precision_at(mpfr_exp_t e)
{
    return e - 1 >= F80_EXPONENT_MIN ? 64 : 64 - (F80_EXPONENT_MIN - (e - 1));
}

static void judge(struct tally *t, enum function f, unsigned rounding, struct dice *d)
{
    static const mpfr_rnd_t modes[] = {MPFR_RNDN, MPFR_RNDD, MPFR_RNDU, MPFR_RNDZ};
    st_t x, y;
    operands(d, f, &x, &y);
    struct f80_context c = {.control = (uint16_t)(FCW_INITIAL | rounding << FCW_RC_SHIFT)};
    mpfr_t a, b, exact, rounded, result, error;
    mpfr_inits2(64, a, b, result, (mpfr_ptr)0);
    mpfr_inits2(REFERENCE_BITS, exact, error, (mpfr_ptr)0);
    mpfr_init2(rounded, 64);
    to_mpfr(a, x);
    to_mpfr(b, y);
    int inexact = reference(f, exact, a, b);
    long bits = mpfr_regular_p(exact) ? precision_at(mpfr_get_exp(exact)) : 0;
    if (bits >= 2 && mpfr_get_exp(exact) <= F80_EXPONENT_MAX) {
        st_t r = ours(f, &c, x, y);
        t->cases++;
        mpfr_set_prec(rounded, bits);
        if (inexact != 0 &&
            mpfr_min_prec(exact) <= 64) { /* 420 bits were too few: step to the side where the true value lies */
            (inexact > 0 ? mpfr_nextbelow : mpfr_nextabove)(exact);
        }
        int up = mpfr_set(rounded, exact, modes[rounding]);
        to_mpfr(result, r);
        mpfr_sub(error, result, exact, MPFR_RNDN);
        mpfr_div_2si(error, error, mpfr_get_exp(exact) - bits, MPFR_RNDN);
        double ulp = mpfr_get_d(error, MPFR_RNDA);
        ulp = ulp < 0 ? -ulp : ulp;
        t->worst_ulp = ulp > t->worst_ulp ? ulp : t->worst_ulp;
        if (ulp > 1) {
            t->beyond++;
            complain(t, f, c.control, x, y, r, c.raised, "more than one unit off");
        } else if (mpfr_cmp(rounded, result) != 0) {
            t->not_correctly_rounded++;
            complain(t, f, c.control, x, y, r, c.raised, "not correctly rounded");
        }
        bool rounded_up = mpfr_sgn(exact) > 0 ? up > 0 : mpfr_cmp(rounded, exact) < 0;
        bool c1_known = f != SINCOS_SINE && f != SINCOS_COSINE;
        if (!(c.raised & FSW_PE) != (up == 0) || (c1_known && !(c.raised & FSW_C1) != !rounded_up)) {
            t->flags++;
            complain(t, f, c.control, x, y, r, c.raised, "PE or C1 wrong");
        }
    }
    mpfr_clears(a, b, exact, rounded, result, error, (mpfr_ptr)0);
}

int main(int argc, char **argv)
{
    unsigned cases = 5000;
    uint64_t seed = 1;
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 < argc && strcmp(argv[i], "--cases") == 0) {
            cases = (unsigned)strtoul(argv[i + 1], NULL, 10);
        } else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0) {
            seed = strtoull(argv[i + 1], NULL, 10);
        } else {
            fprintf(stderr, "usage: mpfr_x87 [--cases N] [--seed N]\n");
            return 2;
        }
    }
    static const char *const roundings[] = {"nearest", "down", "up", "to zero"};
    uint64_t beyond = 0, flags = 0;
    for (unsigned f = 0; f < FUNCTIONS; f++) {
        for (unsigned rounding = 0; rounding < 4; rounding++) {
            struct tally t = {0};
            struct dice d = {seed + f * 4 + rounding};
            while (t.cases < cases) {
                judge(&t, f, rounding, &d);
            }
            printf("%-17s %-8s %8llu cases  worst error %.6f ulp  %llu not correctly rounded  %llu beyond 1 ulp  %llu with "
                   "wrong PE or C1\n",
                   names[f], roundings[rounding], (unsigned long long)t.cases, t.worst_ulp,
                   (unsigned long long)t.not_correctly_rounded, (unsigned long long)t.beyond, (unsigned long long)t.flags);
            beyond += t.beyond;
            flags += t.flags;
        }
    }
    mpfr_free_cache();
    printf("%llu results beyond 1 ulp, %llu with wrong flags\n", (unsigned long long)beyond, (unsigned long long)flags);
    return beyond != 0 || flags != 0;
}
