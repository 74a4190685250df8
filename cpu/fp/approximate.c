/* RCPSS and RSQRTSS. The choice, for both: the exact result rounded to nearest at 12 bits after the leading one (ties, which
 * only 1/x has and only at powers of two, are exact). Its relative error is at most 2^-13, well within the SDM's 1.5 * 2^-12,
 * and powers of two (of four) are exact.
 *
 * Special operands by SDM 2B RCPSS, RSQRTSS: a denormal counts as a zero of its sign; 1/0 and 1/sqrt(0) are infinities of that
 * sign; a tiny result becomes a zero; SNaN becomes quiet; the root of a negative number is the default NaN.
 */
#include "cpu/fp/approximate.h"

enum { FRACTION = 12, BIAS = 127 };
#define SIGN 0x80000000u
#define INFINITE 0x7f800000u
#define QUIET 0x00400000u
#define DEFAULT_NAN 0xffc00000u
#define IMPLICIT 0x00800000u

/* q has its leading one at bit FRACTION (or just above, after rounding up): q * 2^(exponent - FRACTION). */
static uint32_t assemble(uint32_t sign, uint32_t q, int exponent)
{
    if (q >> (FRACTION + 1)) {
        q >>= 1;
        exponent++;
    }
    if (exponent + BIAS <= 0) {
        return sign;
    }
    return sign | (uint32_t)(exponent + BIAS) << 23 | (q << (23 - FRACTION) & (IMPLICIT - 1));
}

uint32_t approximate_rcp(uint32_t x)
{
    uint32_t sign = x & SIGN, magnitude = x & ~SIGN;
    if (magnitude > INFINITE) {
        return x | QUIET;
    }
    if (magnitude == INFINITE) {
        return sign;
    }
    if (magnitude < IMPLICIT) {
        return sign | INFINITE;
    }
    /* x = m * 2^e with 1 <= m < 2: 1/x is 2^-e for m = 1, else 2/m * 2^(-e-1) with 1 < 2/m < 2. */
    uint32_t m = (magnitude & (IMPLICIT - 1)) | IMPLICIT;
    int e = (int)(magnitude >> 23) - BIAS;
    if (m == IMPLICIT) {
        return assemble(sign, 1u << FRACTION, -e);
    }
    uint64_t dividend = 1ULL << (23 + FRACTION + 1);
    return assemble(sign, (uint32_t)((dividend + m / 2) / m), -e - 1);
}

uint32_t approximate_rsqrt(uint32_t x)
{
    uint32_t sign = x & SIGN, magnitude = x & ~SIGN;
    if (magnitude > INFINITE) {
        return x | QUIET;
    }
    if (magnitude < IMPLICIT) {
        return sign | INFINITE;
    }
    if (sign) {
        return DEFAULT_NAN;
    }
    if (magnitude == INFINITE) {
        return 0;
    }
    /* x = m * 4^h with 1 <= m < 4: 1/sqrt(x) is 2^-h for m = 1, else 2/sqrt(m) * 2^(-h-1) with 1 < 2/sqrt(m) < 2. */
    int e = (int)(magnitude >> 23) - BIAS;
    uint64_t m = (uint64_t)((magnitude & (IMPLICIT - 1)) | IMPLICIT) << (e & 1);
    int h = (e - (e & 1)) / 2;
    if (m == IMPLICIT) {
        return assemble(0, 1u << FRACTION, -h);
    }
    /* The largest q with (q - 1/2) <= 2 / sqrt(m) * 2^FRACTION, that is (2q - 1)^2 * m <= 2^(2 * FRACTION + 4 + 23). */
    uint64_t q = 0;
    for (uint64_t bit = 1ULL << (FRACTION + 1); bit != 0; bit >>= 1) {
        uint64_t twice = 2 * (q | bit) - 1;
        if (twice * twice * m <= 1ULL << (2 * FRACTION + 4 + 23)) {
            q |= bit;
        }
    }
    return assemble(0, (uint32_t)q, -h - 1);
}
