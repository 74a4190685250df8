/* What tests of x87 instructions share, on top of the bare machine of cpu_system_fixture.h. */
#ifndef ORRERY_TESTS_X87_FIXTURE_H
#define ORRERY_TESTS_X87_FIXTURE_H

#include "cpu/exec/x87.h"
#include "tests/unit/cpu_system_fixture.h"

enum { EMPTY_STACK = 0, ALL_VALID = 0xff };

/* 64-bit mode, kernel, the x87 as after FNINIT, RBX at the data. */
static inline struct guest x87_guest_of(enum cpu_vendor vendor)
{
    struct guest g = guest_64(vendor, 0);
    x87_init(&g.s.fpu);
    g.s.gpr[RBX] = DATA;
    return g;
}
static inline struct guest x87_guest(void)
{
    return x87_guest_of(VENDOR_INTEL);
}
/* ST(i), counted from TOP. */
static inline st_t st(const struct guest *g, unsigned i)
{
    return x87_get(&g->s.fpu, i);
}
/* What a push would do, from the outside. */
static inline void given_st0(struct guest *g, st_t x)
{
    x87_push(&g->s.fpu, x);
}
static inline st_t st_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, 8);
    return f80_pack(f80_from_f64(bits));
}
static inline bool st_equal(st_t a, st_t b)
{
    return a.significand == b.significand && a.sign_exponent == b.sign_exponent;
}
#define EXPECT_ST(actual, expected)                                                                                            \
    do {                                                                                                                       \
        st_t actual_ = (actual), expected_ = (expected);                                                                       \
        cr_expect(st_equal(actual_, expected_), "%04x:%016lx, not %04x:%016lx", actual_.sign_exponent, actual_.significand,    \
                  expected_.sign_exponent, expected_.significand);                                                             \
    } while (0)

/* Runs the bytes and expects the HLT behind them to be reached. */
#define RUN_X87(g, ...)                                                                                                        \
    do {                                                                                                                       \
        const uint8_t bytes_[] = {__VA_ARGS__, 0xf4};                                                                          \
        uint64_t at_ = (g)->s.rip + (g)->s.seg_base[SEG_CS];                                                                   \
        guest_bytes(g, at_, bytes_, sizeof bytes_);                                                                            \
        guest_run(g);                                                                                                          \
        EXPECT_HALT_AT(g, at_ + sizeof bytes_ - 1);                                                                            \
    } while (0)
/* Runs the bytes and expects `vector` for the instruction at `offset` into them. */
#define FAULT_X87(g, vector, error, offset, ...)                                                                               \
    do {                                                                                                                       \
        const uint8_t bytes_[] = {__VA_ARGS__, 0xf4};                                                                          \
        uint64_t rip_ = (g)->s.rip;                                                                                            \
        guest_bytes(g, rip_ + (g)->s.seg_base[SEG_CS], bytes_, sizeof bytes_);                                                 \
        guest_run(g);                                                                                                          \
        EXPECT_EVENT(g, vector, error, rip_ + (offset));                                                                       \
    } while (0)

#endif
