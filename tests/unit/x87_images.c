/* FXSAVE, FXRSTOR, XSAVE, XRSTOR, LDMXCSR, STMXCSR. SDM 1 §10.5, §13; SDM 2A, 2D. */
#include "tests/unit/x87_fixture.h"

enum { XSTATE_BV = 512, XCOMP_BV = 520, AREA = 576, PATTERN = 0xa5 };

static struct guest image_guest(enum cpu_vendor vendor)
{
    struct guest g = x87_guest_of(vendor);
    g.s.cr4 |= CR4_OSXSAVE;
    g.s.xcr0 = 3;
    g.s.fpu.fcw = 0x27f;
    g.s.fpu.fsw = 0x3802;
    g.s.fpu.ftw = 0x81;
    g.s.fpu.fop = 0x123;
    g.s.fpu.fip = 0x1122334455667788;
    g.s.fpu.fdp = 0x99aabbccddeeff00;
    g.s.fpu.fcs = 0x10;
    g.s.fpu.fds = 0x18;
    g.s.mxcsr = 0x1fa0;
    for (unsigned i = 0; i < 8; i++) {
        g.s.fpu.r[i] = st_make(i & 1, 0x1000 + i, ~0ULL / (i + 1));
    }
    for (unsigned i = 0; i < 16; i++) {
        g.s.xmm[i].q[0] = 0x0101010101010101 * i;
        g.s.xmm[i].q[1] = ~g.s.xmm[i].q[0];
    }
    uint8_t filler[AREA];
    memset(filler, PATTERN, sizeof filler);
    memset(filler + XSTATE_BV, 0, 64);
    guest_bytes(&g, DATA, filler, sizeof filler);
    return g;
}
#define FXSAVE 0x0f, 0xae, 0x03
#define FXSAVE64 0x48, 0x0f, 0xae, 0x03
#define FXRSTOR 0x0f, 0xae, 0x0b
#define FXRSTOR64 0x48, 0x0f, 0xae, 0x0b
#define XSAVE 0x0f, 0xae, 0x23
#define XRSTOR 0x0f, 0xae, 0x2b
#define LDMXCSR 0x0f, 0xae, 0x13
#define STMXCSR 0x0f, 0xae, 0x1b

/* ---- FXSAVE: SDM 1 table 10-2 ---- */

Test(fxsave, image_has_every_field_in_its_place)
{
    struct guest g = image_guest(VENDOR_INTEL);
    RUN_X87(&g, FXSAVE);
    cr_expect_eq(peek(&g, DATA, 8), 0x012300813802027f, "FCW FSW FTW FOP");
    cr_expect_eq(peek(&g, DATA + 8, 8), 0x0000001055667788, "FIP FCS");
    cr_expect_eq(peek(&g, DATA + 16, 8), 0x00000018ddeeff00, "FDP FDS");
    cr_expect_eq(peek(&g, DATA + 24, 8), 0x0000ffff00001fa0, "MXCSR MXCSR_MASK");
    for (unsigned i = 0; i < 8; i++) {
        unsigned r = (7 + i) & 7; /* TOP is 7 */
        cr_expect_eq(peek(&g, DATA + 32 + 16 * i, 8), g.s.fpu.r[r].significand);
        cr_expect_eq(peek(&g, DATA + 40 + 16 * i, 8), g.s.fpu.r[r].sign_exponent, "the rest of the sixteen bytes is 0");
    }
    for (unsigned i = 0; i < 16; i++) {
        cr_expect_eq(peek(&g, DATA + 160 + 16 * i, 8), g.s.xmm[i].q[0]);
        cr_expect_eq(peek(&g, DATA + 168 + 16 * i, 8), g.s.xmm[i].q[1]);
    }
    for (unsigned i = 416; i < 512; i++) {
        cr_expect_eq(peek(&g, DATA + i, 1), PATTERN, "byte %u is nobody's", i);
    }
    guest_destroy(&g);
}

Test(fxsave, rex_w_saves_64_bit_pointers)
{
    struct guest g = image_guest(VENDOR_INTEL);
    RUN_X87(&g, FXSAVE64);
    cr_expect_eq(peek(&g, DATA + 8, 8), 0x1122334455667788);
    cr_expect_eq(peek(&g, DATA + 16, 8), 0x99aabbccddeeff00);
    guest_destroy(&g);
}

/* AMD APM 2 §11.4.4: without an exception pending the pointers are not saved. */
Test(fxsave, amd_saves_pointers_only_with_an_exception_pending)
{
    struct guest g = image_guest(VENDOR_AMD);
    RUN_X87(&g, FXSAVE64);
    cr_expect_eq(peek(&g, DATA + 8, 8), 0xa5a5a5a5a5a5a5a5);
    cr_expect_eq(peek(&g, DATA + 6, 2), 0xa5a5);
    guest_destroy(&g);
    g = image_guest(VENDOR_AMD);
    g.s.fpu.fcw = 0x27d;
    g.s.fpu.fsw |= FSW_ES | FSW_B;
    RUN_X87(&g, FXSAVE64);
    cr_expect_eq(peek(&g, DATA + 8, 8), 0x1122334455667788);
    guest_destroy(&g);
}

/* SDM 1 §10.5.1: outside 64-bit mode XMM8-XMM15 are not there. */
Test(fxsave, only_eight_xmm_registers_outside_64_bit_mode)
{
    struct guest g = guest_32(0);
    g.s.cr4 |= CR4_OSFXSR;
    g.s.gpr[RBX] = DATA;
    memset(g.s.xmm, 0x77, sizeof g.s.xmm);
    RUN_X87(&g, FXSAVE);
    cr_expect_eq(peek(&g, DATA + 160 + 16 * 7, 8), 0x7777777777777777);
    cr_expect_eq(peek(&g, DATA + 160 + 16 * 8, 8), 0);
    guest_destroy(&g);
}

Test(fxsave, restores_what_it_saved)
{
    struct guest g = image_guest(VENDOR_INTEL);
    struct vp_state before = g.s;
    RUN_X87(&g, FXSAVE64, 0xdb, 0xe3, 0x0f, 0x57, 0xc0, FXRSTOR64); /* FNINIT; XORPS XMM0, XMM0 between */
    cr_expect_eq(memcmp(g.s.fpu.r, before.fpu.r, sizeof before.fpu.r), 0);
    cr_expect_eq(memcmp(g.s.xmm, before.xmm, sizeof before.xmm), 0);
    cr_expect_eq(g.s.fpu.fcw, before.fpu.fcw);
    cr_expect_eq(g.s.fpu.fsw, before.fpu.fsw);
    cr_expect_eq(g.s.fpu.ftw, before.fpu.ftw);
    cr_expect_eq(g.s.fpu.fop, before.fpu.fop);
    cr_expect_eq(g.s.fpu.fip, before.fpu.fip);
    cr_expect_eq(g.s.fpu.fdp, before.fpu.fdp);
    cr_expect_eq(g.s.mxcsr, before.mxcsr);
    guest_destroy(&g);
}

Test(fxsave, misaligned_image_is_gp)
{
    struct guest g = image_guest(VENDOR_INTEL);
    g.s.gpr[RBX] += 8;
    FAULT_X87(&g, VEC_GP, 0, 0, FXSAVE);
    guest_destroy(&g);
    g = image_guest(VENDOR_INTEL);
    g.s.gpr[RBX] += 8;
    FAULT_X87(&g, VEC_GP, 0, 0, FXRSTOR);
    guest_destroy(&g);
}

Test(fxsave, noncanonical_stack_address_is_ss)
{
    struct guest g = image_guest(VENDOR_INTEL);
    g.s.gpr[RBP] = 0x0000800000000000;
    FAULT_X87(&g, VEC_SS, 0, 0, 0x0f, 0xae, 0x45, 0x00); /* FXSAVE [RBP] */
    guest_destroy(&g);
}

/* SDM 2A FXRSTOR: #GP for reserved MXCSR bits; nothing is loaded. */
Test(fxsave, reserved_mxcsr_bits_refuse_the_whole_restore)
{
    struct guest g = image_guest(VENDOR_INTEL);
    struct vp_state before = g.s;
    uint8_t zeros[512] = {[26] = 1};
    guest_bytes(&g, DATA, zeros, sizeof zeros);
    FAULT_X87(&g, VEC_GP, 0, 0, FXRSTOR);
    cr_expect_eq(memcmp(&g.s.fpu, &before.fpu, sizeof before.fpu), 0);
    cr_expect_eq(memcmp(g.s.xmm, before.xmm, sizeof before.xmm), 0);
    cr_expect_eq(g.s.mxcsr, before.mxcsr);
    guest_destroy(&g);
}

Test(fxsave, restored_flag_whose_mask_is_clear_is_pending)
{
    struct guest g = image_guest(VENDOR_INTEL);
    uint8_t image[512] = {0x7e, 0x03, 0x01, 0x00};
    guest_bytes(&g, DATA, image, sizeof image);
    FAULT_X87(&g, VEC_MF, NO_ERROR, 3, FXRSTOR, 0xd9, 0xe8);
    guest_destroy(&g);
}

/* SDM 2A FXSAVE: #NM for EM and for TS; a pending x87 exception does not matter. */
Test(fxsave, needs_em_and_ts_clear_and_does_not_wait)
{
    struct guest g = image_guest(VENDOR_INTEL);
    g.s.cr0 |= CR0_TS;
    FAULT_X87(&g, VEC_NM, NO_ERROR, 0, FXSAVE);
    guest_destroy(&g);
    g = image_guest(VENDOR_INTEL);
    g.s.fpu.fcw = 0x27d;
    g.s.fpu.fsw |= FSW_ES | FSW_B;
    RUN_X87(&g, FXSAVE);
    guest_destroy(&g);
}

Test(fxsave, fault_in_the_second_page_writes_nothing_in_the_first)
{
    struct guest g = image_guest(VENDOR_INTEL);
    g.s.gpr[RBX] = (16 << 20) - 256;
    FAULT_X87(&g, VEC_PF, 2, 0, FXSAVE);
    cr_expect_eq(g.s.cr2, 16 << 20);
    cr_expect_eq(peek(&g, (16 << 20) - 256, 8), 0);
    guest_destroy(&g);
}

/* ---- XSAVE: SDM 1 §13.7 ---- */

Test(xsave, writes_only_the_components_asked_for)
{
    struct guest g = image_guest(VENDOR_INTEL);
    g.s.gpr[RAX] = 2;
    g.s.gpr[RDX] = 0;
    RUN_X87(&g, XSAVE);
    cr_expect_eq(peek(&g, DATA, 8), 0xa5a5a5a5a5a5a5a5, "x87 was not asked for");
    cr_expect_eq(peek(&g, DATA + 32, 8), 0xa5a5a5a5a5a5a5a5);
    cr_expect_eq(peek(&g, DATA + 24, 4), 0x1fa0, "MXCSR belongs to SSE");
    cr_expect_eq(peek(&g, DATA + 176, 8), g.s.xmm[1].q[0]);
    cr_expect_eq(peek(&g, DATA + XSTATE_BV, 8), 2);
    guest_destroy(&g);
}

Test(xsave, components_that_xcr0_disables_are_left_out)
{
    struct guest g = image_guest(VENDOR_INTEL);
    g.s.xcr0 = 1;
    g.s.gpr[RAX] = 7;
    RUN_X87(&g, XSAVE);
    cr_expect_eq(peek(&g, DATA, 2), 0x27f);
    cr_expect_eq(peek(&g, DATA + 160, 8), 0xa5a5a5a5a5a5a5a5);
    cr_expect_eq(peek(&g, DATA + XSTATE_BV, 8), 1);
    guest_destroy(&g);
}

/* §13.7: bits of XSTATE_BV outside RFBM stay as they were; the rest of the header is not written. */
Test(xsave, keeps_the_other_bits_of_xstate_bv_and_the_header)
{
    struct guest g = image_guest(VENDOR_INTEL);
    poke(&g, DATA + XSTATE_BV, 0x8000000000000004, 8);
    poke(&g, DATA + XCOMP_BV, 0x1234, 8);
    g.s.gpr[RAX] = 1;
    RUN_X87(&g, XSAVE);
    cr_expect_eq(peek(&g, DATA + XSTATE_BV, 8), 0x8000000000000005);
    cr_expect_eq(peek(&g, DATA + XCOMP_BV, 8), 0x1234);
    guest_destroy(&g);
}

/* SDM 2D XSAVE: #UD without CR4.OSXSAVE, #NM for TS (EM does not matter), #GP below 64-byte alignment. */
Test(xsave, faults_in_order)
{
    struct guest g = image_guest(VENDOR_INTEL);
    g.s.cr4 &= ~CR4_OSXSAVE;
    g.s.cr0 |= CR0_TS;
    FAULT_X87(&g, VEC_UD, NO_ERROR, 0, XSAVE);
    guest_destroy(&g);
    g = image_guest(VENDOR_INTEL);
    g.s.cr0 |= CR0_TS;
    FAULT_X87(&g, VEC_NM, NO_ERROR, 0, XRSTOR);
    guest_destroy(&g);
    g = image_guest(VENDOR_INTEL);
    g.s.gpr[RBX] += 16;
    FAULT_X87(&g, VEC_GP, 0, 0, XSAVE);
    guest_destroy(&g);
    g = image_guest(VENDOR_INTEL);
    g.s.cr0 |= CR0_EM;
    RUN_X87(&g, XSAVE);
    guest_destroy(&g);
}

/* ---- XRSTOR: SDM 1 §13.8 ---- */

Test(xrstor, component_absent_from_xstate_bv_is_initialised)
{
    struct guest g = image_guest(VENDOR_INTEL);
    poke(&g, DATA + 24, 0x1f80, 4);
    g.s.gpr[RAX] = 3;
    RUN_X87(&g, XRSTOR);
    cr_expect_eq(g.s.fpu.fcw, 0x37f);
    cr_expect_eq(g.s.fpu.fsw, 0);
    cr_expect_eq(g.s.fpu.ftw, EMPTY_STACK);
    cr_expect_eq(g.s.fpu.fip, 0);
    for (unsigned i = 0; i < 8; i++) {
        EXPECT_ST(g.s.fpu.r[i], st_zero(false));
    }
    for (unsigned i = 0; i < 16; i++) {
        cr_expect(g.s.xmm[i].q[0] == 0 && g.s.xmm[i].q[1] == 0);
    }
    guest_destroy(&g);
}

/* §13.8.1: MXCSR comes from memory although XSTATE_BV[1] is 0. */
Test(xrstor, mxcsr_is_loaded_even_when_xmm_is_initialised)
{
    struct guest g = image_guest(VENDOR_INTEL);
    poke(&g, DATA + 24, 0x3f80, 4);
    g.s.gpr[RAX] = 2;
    RUN_X87(&g, XRSTOR);
    cr_expect_eq(g.s.mxcsr, 0x3f80);
    guest_destroy(&g);
}

Test(xrstor, leaves_components_not_asked_for)
{
    struct guest g = image_guest(VENDOR_INTEL);
    struct vp_state before = g.s;
    g.s.gpr[RAX] = 1;
    RUN_X87(&g, XRSTOR);
    cr_expect_eq(g.s.fpu.fcw, 0x37f);
    cr_expect_eq(memcmp(g.s.xmm, before.xmm, sizeof before.xmm), 0);
    cr_expect_eq(g.s.mxcsr, before.mxcsr);
    guest_destroy(&g);
}

Test(xrstor, restores_what_xsave_saved)
{
    struct guest g = image_guest(VENDOR_INTEL);
    g.s.gpr[RAX] = 3;
    struct vp_state before = g.s;
    RUN_X87(&g, XSAVE, 0xdb, 0xe3, 0x0f, 0x57, 0xc0, XRSTOR);
    cr_expect_eq(memcmp(g.s.fpu.r, before.fpu.r, sizeof before.fpu.r), 0);
    cr_expect_eq(memcmp(g.s.xmm, before.xmm, sizeof before.xmm), 0);
    cr_expect_eq(g.s.fpu.fsw, before.fpu.fsw);
    guest_destroy(&g);
}

Test(xrstor, reserved_header_bits_are_gp_with_nothing_changed)
{
    static const struct {
        unsigned at;
        uint64_t value;
    } rows[] = {{XSTATE_BV, 4}, {XSTATE_BV, 1ULL << 63}, {XCOMP_BV, 1}, {XCOMP_BV, 1ULL << 63}, {XCOMP_BV + 8, 1}};
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        struct guest g = image_guest(VENDOR_INTEL);
        struct vp_state before = g.s;
        poke(&g, DATA + 24, 0x1f80, 4);
        poke(&g, DATA + rows[i].at, rows[i].value, 8);
        g.s.gpr[RAX] = 3;
        FAULT_X87(&g, VEC_GP, 0, 0, XRSTOR);
        cr_expect_eq(memcmp(&g.s.fpu, &before.fpu, sizeof before.fpu), 0);
        guest_destroy(&g);
    }
}

Test(xrstor, rest_of_the_header_is_ignored)
{
    struct guest g = image_guest(VENDOR_INTEL);
    poke(&g, DATA + 24, 0x1f80, 4);
    poke(&g, DATA + XSTATE_BV + 24, ~0ULL, 8);
    g.s.gpr[RAX] = 3;
    RUN_X87(&g, XRSTOR);
    guest_destroy(&g);
}

/* ---- MXCSR: SDM 2A LDMXCSR ---- */

Test(mxcsr, loads_and_stores)
{
    struct guest g = x87_guest();
    poke(&g, DATA, 0x9fc0, 4);
    RUN_X87(&g, LDMXCSR, 0x0f, 0xae, 0x5b, 0x08); /* STMXCSR [RBX+8] */
    cr_expect_eq(g.s.mxcsr, 0x9fc0);
    cr_expect_eq(peek(&g, DATA + 8, 4), 0x9fc0);
    guest_destroy(&g);
}

Test(mxcsr, reserved_bits_are_gp)
{
    struct guest g = x87_guest();
    uint32_t before = g.s.mxcsr;
    poke(&g, DATA, 0x11f80, 4);
    FAULT_X87(&g, VEC_GP, 0, 0, LDMXCSR);
    cr_expect_eq(g.s.mxcsr, before);
    guest_destroy(&g);
}

Test(mxcsr, needs_osfxsr_and_em_and_ts_clear)
{
    static const struct {
        uint64_t cr0, cr4_clear;
        unsigned vector;
    } rows[] = {{CR0_EM, 0, VEC_UD}, {CR0_TS, CR4_OSFXSR, VEC_UD}, {CR0_TS, 0, VEC_NM}};
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        struct guest g = x87_guest();
        g.s.cr0 |= rows[i].cr0;
        g.s.cr4 &= ~rows[i].cr4_clear;
        FAULT_X87(&g, rows[i].vector, NO_ERROR, 0, STMXCSR);
        guest_destroy(&g);
    }
}
