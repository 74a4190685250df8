/* What SSE and MMX instructions do to MXCSR and to the x87 state beside their result; the string instructions that share a
 * mnemonic with SSE2; values fixed by us where the SDM leaves them open. */
#include <math.h>

#include "cpu/exec/sse.h"
#include "cpu/fp/approximate.h"
#include "tests/unit/cpu_system_fixture.h"

#define WITH_CODE(g, ...)                                                                                                      \
    GUEST g = guest_64(VENDOR_INTEL, 0);                                                                                       \
    CODE(&g, CODE0, __VA_ARGS__, 0xf4)

/* ---- MXCSR: SDM 1 §10.2.3 ---- */

/* Sticky flags that the guest had stay, and new ones join them. */
Test(mxcsr, flags_are_sticky)
{
    WITH_CODE(g, 0xf2, 0x0f, 0x5e, 0xc1 /* DIVSD xmm0, xmm1 */);
    g.s.mxcsr = MXCSR_RESET | MXCSR_DE;
    g.s.xmm[0].q[0] = 0x3ff0000000000000;
    g.s.xmm[1].q[0] = 0x4008000000000000;
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 4);
    cr_expect_eq(g.s.mxcsr, MXCSR_RESET | MXCSR_DE | MXCSR_PE);
}
/* STMXCSR in the same run sees them, LDMXCSR clears them. */
Test(mxcsr, stored_and_loaded_within_a_run)
{
    WITH_CODE(g, 0xf2, 0x0f, 0x5e, 0xc1 /* DIVSD */, 0x0f, 0xae, 0x18 /* STMXCSR [rax] */, 0x0f, 0xae, 0x50,
              0x04 /* LDMXCSR [rax + 4] */, 0x0f, 0xae, 0x58, 0x08 /* STMXCSR [rax + 8] */);
    g.s.gpr[RAX] = DATA;
    poke(&g, DATA + 4, 0x1fc0, 4);
    g.s.mxcsr = MXCSR_RESET;
    g.s.xmm[0].q[0] = 0x3ff0000000000000;
    g.s.xmm[1].q[0] = 0x4008000000000000;
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 15);
    cr_expect_eq(peek(&g, DATA, 4), MXCSR_RESET | MXCSR_PE);
    cr_expect_eq(peek(&g, DATA + 8, 4), 0x1fc0);
    cr_expect_eq(g.s.mxcsr, 0x1fc0);
}
/* A rounding mode loaded by the guest rules the next instruction: 1/3 upwards and downwards differ in the last bit. */
Test(mxcsr, rounding_mode_takes_effect_at_once)
{
    WITH_CODE(g, 0x0f, 0xae, 0x10 /* LDMXCSR [rax] */, 0xf2, 0x0f, 0x5e, 0xc1 /* DIVSD xmm0, xmm1 */, 0x0f, 0xae, 0x50,
              0x04 /* LDMXCSR [rax+4] */, 0xf2, 0x0f, 0x5e, 0xd1 /* DIVSD xmm2, xmm1 */);
    g.s.gpr[RAX] = DATA;
    poke(&g, DATA, 0x5f80, 4);     /* up */
    poke(&g, DATA + 4, 0x3f80, 4); /* down */
    g.s.xmm[0].q[0] = g.s.xmm[2].q[0] = 0x3ff0000000000000;
    g.s.xmm[1].q[0] = 0x4008000000000000;
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 15);
    cr_expect_eq(g.s.xmm[0].q[0], g.s.xmm[2].q[0] + 1);
}
/* The guest's MXCSR does not outlive its run in the emulator. */
Test(mxcsr, host_gets_its_own_back)
{
    WITH_CODE(g, 0xf2, 0x0f, 0x5e, 0xc1);
    g.s.mxcsr = 0xffc0;
    guest_run(&g);
    cr_expect_eq(host_mxcsr() & ~(uint32_t)MXCSR_FLAGS, MXCSR_RESET);
}

/* ---- MMX: SDM 3A §12.2 table 12-1 ---- */

Test(mmx_state, write_sets_top_tags_and_exponent)
{
    WITH_CODE(g, 0x0f, 0x6e, 0xd0 /* MOVD mm2, eax */);
    g.s.gpr[RAX] = 0xffffffff80000001;
    g.s.fpu.fsw = 0x3d00; /* TOP 7 and condition codes */
    g.s.fpu.ftw = 0;
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 3);
    cr_expect_eq(g.s.fpu.r[2].significand, 0x80000001);
    cr_expect_eq(g.s.fpu.r[2].sign_exponent, 0xffff);
    cr_expect_eq(g.s.fpu.r[3].sign_exponent, 0, "other registers keep theirs");
    cr_expect_eq(g.s.fpu.fsw, 0x0500, "the condition codes stay");
    cr_expect_eq(g.s.fpu.ftw, 0xff);
}
Test(mmx_state, read_sets_top_and_tags)
{
    WITH_CODE(g, 0x0f, 0x7e, 0xd0 /* MOVD eax, mm2 */);
    g.s.fpu.fsw = 0x3800;
    g.s.fpu.ftw = 0x81;
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 3);
    cr_expect(g.s.fpu.fsw == 0 && g.s.fpu.ftw == 0xff && g.s.fpu.r[2].sign_exponent == 0);
}
Test(mmx_state, emms_empties_all_tags)
{
    WITH_CODE(g, 0x0f, 0x77);
    g.s.fpu.fsw = 0x3800;
    g.s.fpu.ftw = 0xff;
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 2);
    cr_expect(g.s.fpu.fsw == 0 && g.s.fpu.ftw == 0);
}

/* ---- one mnemonic, two instructions ---- */

/* F2 0F 10 moves a double, A5 moves a string; F2 0F C2 compares doubles, A7 strings (SDM 2A CMPS, CMPSD; 2B MOVS, MOVSD). */
Test(mnemonics, movsd_and_cmpsd_are_string_instructions_too)
{
    WITH_CODE(g, 0xf2, 0x0f, 0x10, 0x06 /* MOVSD xmm0, [rsi] */, 0xa5 /* MOVSD */, 0xf3, 0xa5 /* REP MOVSD */, 0xf2, 0x0f, 0xc2,
              0xc1,
              0x04
              /* CMPNEQSD xmm0, xmm1 */,
              0xa7 /* CMPSD */);
    g.s.gpr[RSI] = DATA;
    g.s.gpr[RDI] = DATA + 0x100;
    g.s.gpr[RCX] = 2;
    poke(&g, DATA, 0x4000000000000001, 8);
    poke(&g, DATA + 8, 0x1122334455667788, 8);
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 13);
    cr_expect_eq(g.s.xmm[0].q[0], UINT64_MAX);
    cr_expect_eq(g.s.gpr[RSI], DATA + 16);
    cr_expect_eq(g.s.gpr[RDI], DATA + 0x110);
    cr_expect_eq(peek(&g, DATA + 0x104, 8), 0x5566778840000000);
    cr_expect(!(g.s.rflags & RFLAGS_ZF), "1122... is not 0");
}

/* ---- approximations: SDM 2B RCPPS, RSQRTPS ---- */

static float single_of(uint32_t x)
{
    float f;
    memcpy(&f, &x, 4);
    return f;
}
/* Every fraction in steps that hit all upper bits, at several exponents: |relative error| <= 1.5 * 2^-12. */
Test(approximate, relative_error_is_within_the_bound)
{
    static const unsigned exponents[] = {1, 64, 126, 127, 128, 200, 252};
    for (unsigned i = 0; i < ARRAY_COUNT(exponents); i++) {
        for (uint32_t fraction = 0; fraction < 0x800000; fraction += 61) {
            uint32_t x = exponents[i] << 23 | fraction;
            double exact = 1 / (double)single_of(x), root = 1 / sqrt((double)single_of(x));
            cr_assert_leq(fabs((double)single_of(approximate_rcp(x)) - exact), 1.5 / 4096 * exact, "1 / %a", single_of(x));
            cr_assert_leq(fabs((double)single_of(approximate_rsqrt(x)) - root), 1.5 / 4096 * root, "1 / sqrt %a", single_of(x));
        }
    }
}
/* SDM 2B: special operands. */
Test(approximate, special_operands)
{
    cr_expect_eq(approximate_rcp(0x00000000), 0x7f800000);
    cr_expect_eq(approximate_rcp(0x80000000), 0xff800000);
    cr_expect_eq(approximate_rcp(0x807fffff), 0xff800000, "a denormal counts as zero");
    cr_expect_eq(approximate_rcp(0xff800000), 0x80000000);
    cr_expect_eq(approximate_rcp(0x7f800001), 0x7fc00001, "SNaN becomes quiet");
    cr_expect_eq(approximate_rcp(0x7f7fffff), 0x00000000, "a tiny result becomes zero");
    cr_expect_eq(approximate_rsqrt(0x80000000), 0xff800000);
    cr_expect_eq(approximate_rsqrt(0x00000001), 0x7f800000);
    cr_expect_eq(approximate_rsqrt(0xbf800000), 0xffc00000, "default NaN");
    cr_expect_eq(approximate_rsqrt(0x7f800000), 0x00000000);
    cr_expect_eq(approximate_rsqrt(0xff800000), 0xffc00000);
    cr_expect_eq(approximate_rsqrt(0xffa00000), 0xffe00000);
}
/* Our own choice: powers of two (and of four) have exact results. */
Test(approximate, powers_of_two_are_exact)
{
    for (int e = -125; e <= 125; e++) {
        cr_expect_eq(approximate_rcp((uint32_t)(e + 127) << 23), (uint32_t)(127 - e) << 23);
        if (e % 2 == 0) {
            cr_expect_eq(approximate_rsqrt((uint32_t)(e + 127) << 23), (uint32_t)(127 - e / 2) << 23);
        }
    }
}

/* ---- CRC32: SDM 2A ---- */

/* The definition, a bit at a time: polynomial 11EDC6F41H reflected. */
static uint32_t crc_by_bits(uint32_t crc, uint64_t data, unsigned bits)
{
    for (unsigned i = 0; i < bits; i++) {
        unsigned out = (crc ^ (unsigned)(data >> i)) & 1;
        crc = crc >> 1 ^ (out ? 0x82f63b78 : 0);
    }
    return crc;
}
Test(crc32, tables_agree_with_the_polynomial)
{
    WITH_CODE(g, 0xf2, 0x0f, 0x38, 0xf0, 0xcb /* CRC32 ecx, bl */, 0x66, 0xf2, 0x0f, 0x38, 0xf1, 0xd3 /* edx, bx */, 0xf2, 0x0f,
              0x38, 0xf1,
              0xf3
              /* esi, ebx */,
              0xf2, 0x48, 0x0f, 0x38, 0xf1, 0xfb /* rdi, rbx */);
    const struct vp_state start = g.s;
    for (unsigned bit = 0; bit < 64; bit++) {
        g.s = start;
        g.s.gpr[RBX] = 1ULL << bit;
        g.s.gpr[RCX] = g.s.gpr[RDX] = g.s.gpr[RSI] = g.s.gpr[RDI] = 0xffffffff00000000 | (0x9e3779b9u * bit);
        guest_run(&g);
        EXPECT_HALT_AT(&g, CODE0 + 22);
        uint32_t crc = 0x9e3779b9u * bit;
        cr_expect_eq(g.s.gpr[RCX], crc_by_bits(crc, g.s.gpr[RBX], 8));
        cr_expect_eq(g.s.gpr[RDX], crc_by_bits(crc, g.s.gpr[RBX], 16));
        cr_expect_eq(g.s.gpr[RSI], crc_by_bits(crc, g.s.gpr[RBX], 32));
        cr_expect_eq(g.s.gpr[RDI], crc_by_bits(crc, g.s.gpr[RBX], 64));
    }
}
