/* x87 control: initial state, control and status words, environments in their four shapes, availability, pending exceptions.
 * SDM 1 §8.1, §8.3. */
#include "tests/unit/x87_fixture.h"

/* ---- control and status ---- */

Test(x87_control, fninit_sets_the_words_and_keeps_the_registers)
{
    struct guest g = x87_guest();
    given_st0(&g, st_of(7));
    g.s.fpu.fcw = 0x40;
    g.s.fpu.fip = 0x1234;
    RUN_X87(&g, 0xdb, 0xe3);
    cr_expect_eq(g.s.fpu.fcw, 0x37f);
    cr_expect_eq(g.s.fpu.fsw, 0);
    cr_expect_eq(g.s.fpu.ftw, EMPTY_STACK);
    cr_expect_eq(g.s.fpu.fip, 0);
    EXPECT_ST(g.s.fpu.r[7], st_of(7));
    guest_destroy(&g);
}

/* SDM 1 figure 8-6: bit 6 reads as 1, bits 7 and 15-13 as 0. */
Test(x87_control, fldcw_keeps_reserved_bits_fixed)
{
    struct guest g = x87_guest();
    poke(&g, DATA, 0xffff0000, 4);
    RUN_X87(&g, 0xd9, 0x2b, 0xd9, 0x7b, 0x10, 0xd9, 0x6b, 0x02, 0xd9, 0x7b, 0x12); /* FLDCW, FNSTCW, twice */
    cr_expect_eq(peek(&g, DATA + 0x10, 4), 0x1f7f0040);
    guest_destroy(&g);
}

Test(x87_control, fnclex_clears_exceptions_and_not_condition_codes)
{
    struct guest g = x87_guest();
    g.s.fpu.fcw = 0x340;
    g.s.fpu.fsw = 0xffff;
    RUN_X87(&g, 0xdb, 0xe2);
    cr_expect_eq(g.s.fpu.fsw, FSW_C0 | FSW_C1 | FSW_C2 | FSW_C3 | FSW_TOP);
    guest_destroy(&g);
}

Test(x87_control, fnstsw_writes_ax_alone)
{
    struct guest g = x87_guest();
    g.s.gpr[RAX] = 0x1122334455667788;
    g.s.fpu.fsw = 0x3a61;
    RUN_X87(&g, 0xdf, 0xe0);
    cr_expect_eq(g.s.gpr[RAX], 0x1122334455663a61);
    guest_destroy(&g);
}

/* ---- availability and pending exceptions ---- */

/* SDM 3A table 2-2: EM or TS make x87 instructions #NM, waiting or not. */
Test(x87_available, em_and_ts_raise_nm)
{
    static const uint8_t codes[][2] = {{0xd9, 0xe8}, {0xdb, 0xe3}, {0xdf, 0xe0}, {0xdd, 0x33}, {0xd9, 0x2b}};
    for (unsigned i = 0; i < ARRAY_COUNT(codes); i++) {
        for (unsigned k = 0; k < 2; k++) {
            struct guest g = x87_guest();
            g.s.cr0 |= k ? CR0_EM : CR0_TS;
            FAULT_X87(&g, VEC_NM, NO_ERROR, 0, codes[i][0], codes[i][1]);
            guest_destroy(&g);
        }
    }
}

/* SDM 3A table 2-2: FWAIT looks at TS together with MP, never at EM. */
Test(x87_available, fwait_faults_only_for_ts_with_mp)
{
    struct guest g = x87_guest();
    g.s.cr0 = (g.s.cr0 | CR0_TS | CR0_EM) & ~CR0_MP;
    RUN_X87(&g, 0x9b);
    guest_destroy(&g);
    g = x87_guest();
    g.s.cr0 |= CR0_TS | CR0_MP;
    FAULT_X87(&g, VEC_NM, NO_ERROR, 0, 0x9b);
    guest_destroy(&g);
}

/* SDM 1 §8.3.13, §8.6: an unmasked exception waits for the next waiting instruction. */
Test(x87_pending, exception_is_raised_at_the_next_waiting_instruction)
{
    struct guest g = x87_guest();
    g.s.fpu.fcw &= (uint16_t)~FSW_ZE;
    given_st0(&g, st_of(0));
    given_st0(&g, st_of(1));
    FAULT_X87(&g, VEC_MF, NO_ERROR, 7, 0xd8, 0xf1, 0x90, 0xdf, 0xe0, 0xd9, 0x3b, 0xd9,
              0xe8); /* FDIV; NOP; FNSTSW; FNSTCW; FLD1 */
    guest_destroy(&g);
}

Test(x87_pending, fwait_and_mov_differ)
{
    struct guest g = x87_guest();
    g.s.fpu.fcw &= (uint16_t)~FSW_IE;
    FAULT_X87(&g, VEC_MF, NO_ERROR, 4, 0xd9, 0xfa, 0x89, 0xc0, 0x9b); /* FSQRT of nothing; MOV EAX, EAX; FWAIT */
    guest_destroy(&g);
}

Test(x87_pending, instructions_that_do_not_wait_go_on)
{
    struct guest g = x87_guest();
    g.s.fpu.fcw = 0x340;
    g.s.fpu.fsw = FSW_IE | FSW_ES | FSW_B;
    RUN_X87(&g, 0xdf, 0xe0, 0xd9, 0x3b, 0xdd, 0x3b, 0xdd, 0x33, 0xdb, 0xe2, 0xdb,
            0xe3); /* FNSTSW, FNSTCW, FNSTSW, FNSAVE, FNCLEX, FNINIT */
    guest_destroy(&g);
}

/* SDM 2A FLDCW: unmasking an exception that is flagged makes it pending. */
Test(x87_pending, fldcw_can_unmask_a_flag_that_stands)
{
    struct guest g = x87_guest();
    g.s.fpu.fsw = FSW_PE;
    poke(&g, DATA, 0x35f, 2);
    FAULT_X87(&g, VEC_MF, NO_ERROR, 2, 0xd9, 0x2b, 0xd9, 0xe8);
    cr_expect_eq(g.s.fpu.fsw, FSW_PE | FSW_ES | FSW_B);
    guest_destroy(&g);
}

/* ---- the environment ---- */

static void given_environment(struct guest *g)
{
    struct fpu_state *f = &g->s.fpu;
    f->fcw = 0x37e;
    f->fsw = 0x3000 | FSW_C0; /* TOP 6 */
    f->ftw = 0xc3;
    f->r[0] = st_one(false);
    f->r[1] = st_zero(true);
    f->r[6] = st_infinity(false);
    f->r[7] = st_make(false, 0, 5);
    f->fop = 0x5a7;
    f->fip = 0x12345678;
    f->fcs = 0x10;
    f->fdp = 0x9abcdef0;
    f->fds = 0x18;
}
enum { TAG_WORD = 0xaff4 }; /* R7 special, R6 special, R5-R2 empty, R1 zero, R0 valid: SDM 1 figure 8-7 */

/* SDM 1 figure 8-9. */
Test(x87_environment, protected_mode_32_bits)
{
    struct guest g = guest_32(0);
    g.s.gpr[RBX] = DATA;
    given_environment(&g);
    RUN_X87(&g, 0xd9, 0x33);
    static const uint32_t expected[7] = {0xffff037e, 0xffff3100, 0xffff0000 | TAG_WORD, 0x12345678, 0x05a70010,
                                         0x9abcdef0, 0xffff0018};
    for (unsigned i = 0; i < 7; i++) {
        cr_expect_eq(peek(&g, DATA + 4 * i, 4), expected[i], "word %u: %lx", i, peek(&g, DATA + 4 * i, 4));
    }
    guest_destroy(&g);
}

/* SDM 1 figure 8-11. */
Test(x87_environment, protected_mode_16_bits)
{
    struct guest g = guest_32(0);
    g.s.gpr[RBX] = DATA;
    given_environment(&g);
    RUN_X87(&g, 0x66, 0xd9, 0x33);
    static const uint16_t expected[7] = {0x037e, 0x3100, TAG_WORD, 0x5678, 0x0010, 0xdef0, 0x0018};
    for (unsigned i = 0; i < 7; i++) {
        cr_expect_eq(peek(&g, DATA + 2 * i, 2), expected[i], "word %u: %lx", i, peek(&g, DATA + 2 * i, 2));
    }
    cr_expect_eq(peek(&g, DATA + 14, 2), 0, "14 bytes and no more");
    guest_destroy(&g);
}

/* SDM 1 figure 8-12: linear addresses of 20 bits; 1000:5678 + 10 << 4. */
Test(x87_environment, real_mode_16_bits)
{
    struct guest g = guest_16();
    given_environment(&g);
    g.s.fpu.fip = 0x5678;
    g.s.fpu.fcs = 0x2000;
    g.s.fpu.fdp = 0xdef0;
    g.s.fpu.fds = 0x3000;
    RUN_X87(&g, 0xd9, 0x37); /* FNSTENV [BX] */
    static const uint16_t expected[7] = {0x037e, 0x3100, TAG_WORD, 0x5678, 0x25a7, 0xdef0, 0x3000};
    for (unsigned i = 0; i < 7; i++) {
        cr_expect_eq(peek(&g, DATA + 2 * i, 2), expected[i], "word %u: %lx", i, peek(&g, DATA + 2 * i, 2));
    }
    guest_destroy(&g);
}

/* SDM 1 figure 8-10. */
Test(x87_environment, real_mode_32_bits)
{
    struct guest g = guest_16();
    given_environment(&g);
    g.s.fpu.fip = 0x5678;
    g.s.fpu.fcs = 0x2000;
    g.s.fpu.fdp = 0xdef0;
    g.s.fpu.fds = 0x3000;
    RUN_X87(&g, 0x66, 0xd9, 0x37);
    static const uint32_t expected[7] = {0xffff037e, 0xffff3100, 0xffff0000 | TAG_WORD, 0xffff5678, 0x000025a7,
                                         0xffffdef0, 0x00003000};
    for (unsigned i = 0; i < 7; i++) {
        cr_expect_eq(peek(&g, DATA + 4 * i, 4), expected[i], "word %u: %lx", i, peek(&g, DATA + 4 * i, 4));
    }
    guest_destroy(&g);
}

/* SDM 2A FNSTENV: masks every exception after storing. */
Test(x87_environment, storing_masks_all_exceptions)
{
    struct guest g = x87_guest();
    g.s.fpu.fcw = 0x340;
    g.s.fpu.fsw = FSW_PE | FSW_ES | FSW_B;
    RUN_X87(&g, 0xd9, 0x33);
    cr_expect_eq(g.s.fpu.fcw, 0x37f);
    cr_expect_eq(g.s.fpu.fsw, FSW_PE);
    cr_expect_eq(peek(&g, DATA + 4, 2), FSW_PE | FSW_ES | FSW_B);
    guest_destroy(&g);
}

Test(x87_environment, loading_takes_only_emptiness_from_the_tags)
{
    struct guest g = x87_guest();
    static const uint32_t image[7] = {0x37f,      0x3800, 0xc01b, 0x111,
                                      0x07ff0022, 0x333,  0x44}; /* R7 empty, R2 zero, R1 special, R0 empty */
    guest_bytes(&g, DATA, image, sizeof image);
    RUN_X87(&g, 0xd9, 0x23);
    cr_expect_eq(g.s.fpu.ftw, 0x7e);
    cr_expect_eq(g.s.fpu.fsw, 0x3800);
    cr_expect_eq(g.s.fpu.fip, 0x111);
    cr_expect_eq(g.s.fpu.fcs, 0x22);
    cr_expect_eq(g.s.fpu.fop, 0x7ff);
    cr_expect_eq(g.s.fpu.fdp, 0x333);
    cr_expect_eq(g.s.fpu.fds, 0x44);
    guest_destroy(&g);
}

Test(x87_environment, fnsave_and_frstor_are_inverse_and_fnsave_initialises)
{
    struct guest g = guest_32(0);
    g.s.gpr[RBX] = DATA;
    given_environment(&g);
    for (unsigned i = 2; i < 6; i++) {
        g.s.fpu.r[i] = st_make(i & 1, 100 + i, ~0ULL / (i + 1));
    }
    struct fpu_state before = g.s.fpu;
    RUN_X87(&g, 0xdd, 0x33);
    cr_expect_eq(g.s.fpu.fcw, 0x37f);
    cr_expect_eq(g.s.fpu.ftw, EMPTY_STACK);
    cr_expect_eq(peek(&g, DATA + 28 + 20, 8), before.r[0].significand, "ST(2) is R0, twenty bytes in");
    g.s.rip = CODE0;
    g.s.activity = VP_RUNNING;
    RUN_X87(&g, 0xdd, 0x23);
    cr_expect_eq(memcmp(g.s.fpu.r, before.r, sizeof before.r), 0);
    cr_expect_eq(g.s.fpu.fcw, before.fcw);
    cr_expect_eq(g.s.fpu.fsw, before.fsw);
    cr_expect_eq(g.s.fpu.ftw, before.ftw);
    guest_destroy(&g);
}

/* All 108 bytes or none: the image crosses into a page that is not there. */
Test(x87_environment, fnsave_that_faults_leaves_memory_and_state)
{
    struct guest g = x87_guest();
    given_st0(&g, st_of(3));
    g.s.gpr[RBX] = (16 << 20) - 64;
    FAULT_X87(&g, VEC_PF, 2, 0, 0xdd, 0x33);
    cr_expect_eq(peek(&g, (16 << 20) - 64, 4), 0);
    cr_expect_eq(g.s.fpu.ftw, 0x80);
    guest_destroy(&g);
}

/* ---- where the last instruction was: SDM 1 §8.1.8, §8.1.9 ---- */

Test(x87_pointers, non_control_instructions_note_where_they_and_their_operand_are)
{
    struct guest g = guest_32(0);
    x87_init(&g.s.fpu);
    g.s.gpr[RBX] = DATA;
    RUN_X87(&g, 0x90, 0xd9, 0x43, 0x08, 0xd9, 0x3b, 0xdb, 0xe2); /* NOP; FLD m32; FNSTCW; FNCLEX */
    cr_expect_eq(g.s.fpu.fip, CODE0 + 1, "the control instructions changed nothing");
    cr_expect_eq(g.s.fpu.fcs, SEL_CODE0_32);
    cr_expect_eq(g.s.fpu.fdp, DATA + 8);
    cr_expect_eq(g.s.fpu.fds, SEL_DATA0);
    guest_destroy(&g);
}

/* In real mode FIP is the offset, beside the selector. */
Test(x87_pointers, offsets_are_relative_to_their_segments)
{
    struct guest g = guest_16();
    x87_init(&g.s.fpu);
    g.s.gpr[RBX] = 0x20;
    RUN_X87(&g, 0x90, 0xd9, 0x07); /* FLD m32 [BX] */
    cr_expect_eq(g.s.fpu.fip, 1);
    cr_expect_eq(g.s.fpu.fcs, CODE0 >> 4);
    cr_expect_eq(g.s.fpu.fdp, 0x20);
    cr_expect_eq(g.s.fpu.fds, 0x3000);
    guest_destroy(&g);
}

Test(x87_pointers, fs_base_is_no_part_of_the_operand_pointer)
{
    struct guest g = x87_guest();
    g.s.seg_base[SEG_FS] = 0x1000;
    RUN_X87(&g, 0x64, 0xd9, 0x43, 0x08);
    cr_expect_eq(g.s.fpu.fdp, DATA + 8, "%lx", g.s.fpu.fdp);
    guest_destroy(&g);
}

/* SDM 1 §8.1.9.1: Intel's processors note FOP for unmasked exceptions only; AMD's always. */
Test(x87_pointers, opcode_is_noted_by_the_vendors_rule)
{
    struct guest intel = x87_guest_of(VENDOR_INTEL), amd = x87_guest_of(VENDOR_AMD);
    RUN_X87(&intel, 0xd9, 0xe8);
    RUN_X87(&amd, 0xd9, 0xe8);
    cr_expect_eq(intel.s.fpu.fop, 0);
    cr_expect_eq(amd.s.fpu.fop, 0x1e8);
    guest_destroy(&intel);
    guest_destroy(&amd);
    intel = x87_guest_of(VENDOR_INTEL);
    intel.s.fpu.fcw &= (uint16_t)~FSW_IE;
    RUN_X87(&intel, 0xd9, 0xfa);
    cr_expect_eq(intel.s.fpu.fop, 0x1fa);
    guest_destroy(&intel);
}
