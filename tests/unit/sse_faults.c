/* When SSE and MMX instructions fault, with what, in which order; and that a fault leaves nothing behind. What they compute is
 * the oracle's business (tests/oracle/oracle_sse.c). SDM 2A §2.4 Instruction exception specification, SDM 3A chapters 12
 * and 13. */
#include "cpu/exec/sse.h"
#include "tests/unit/cpu_system_fixture.h"

enum { ABSENT = 0xe00000 /* a page of the last 2 MiB, taken away */, BEFORE_ABSENT = ABSENT - 16 };

/* A guest whose code is `bytes` and HLT, before the event. */
#define WITH_CODE(g, ...)                                                                                                      \
    GUEST g = guest_64(VENDOR_INTEL, 0);                                                                                       \
    CODE(&g, CODE0, __VA_ARGS__, 0xf4)

static void take_page_away(struct guest *g)
{
    poke(g, TABLES + 0x2000 + 8 * (ABSENT >> 21), 0, 8);
}

#define ADDPS 0x0f, 0x58, 0xc1    /* ADDPS xmm0, xmm1 */
#define PADDB_MM 0x0f, 0xfc, 0xc1 /* PADDB mm0, mm1 */

/* ---- by CR0 and CR4 ---- */

/* SDM 3A §2.5, CR0.EM: SSE instructions are #UD, even if TS is set, too. */
Test(sse_blocked, em_raises_ud_before_ts_raises_nm)
{
    WITH_CODE(g, ADDPS);
    g.s.cr0 |= CR0_EM | CR0_TS;
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_UD, NO_ERROR, CODE0);
}

/* SDM 3A §2.5, CR4.OSFXSR. */
Test(sse_blocked, without_osfxsr_ud)
{
    WITH_CODE(g, ADDPS);
    g.s.cr4 &= ~CR4_OSFXSR;
    g.s.cr0 |= CR0_TS;
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_UD, NO_ERROR, CODE0);
}

/* SDM 3A §2.5, CR0.TS. */
Test(sse_blocked, ts_raises_nm)
{
    WITH_CODE(g, ADDPS);
    g.s.cr0 |= CR0_TS;
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_NM, NO_ERROR, CODE0);
}

/* The same holds for an integer instruction, a move and a memory form; #NM comes before the page fault. */
Test(sse_blocked, nm_comes_before_the_memory_operand)
{
    static const uint8_t forms[][4] = {
        {0x66, 0x0f, 0xef, 0x00}, /* PXOR xmm0, [rax] */
        {0x66, 0x0f, 0x6f, 0x00}, /* MOVDQA xmm0, [rax] */
        {0xf2, 0x0f, 0x58, 0x00}, /* ADDSD xmm0, [rax] */
        {0x66, 0x0f, 0x7f, 0x00}, /* MOVDQA [rax], xmm0 */
        {0x66, 0x0f, 0x2a, 0x00}, /* CVTPI2PD xmm0, [rax] */
    };
    for (unsigned i = 0; i < ARRAY_COUNT(forms); i++) {
        WITH_CODE(g, 0x90);
        guest_bytes(&g, CODE0, forms[i], sizeof forms[i]);
        take_page_away(&g);
        g.s.gpr[RAX] = ABSENT;
        g.s.cr0 |= CR0_TS;
        guest_run(&g);
        EXPECT_EVENT(&g, VEC_NM, NO_ERROR, CODE0);
    }
}

/* SDM 2B MOVNTI, SDM 2A CRC32, LFENCE: they use no SSE state, and neither EM, TS nor OSFXSR concerns them. */
Test(sse_blocked, movnti_crc32_and_fences_do_not_care)
{
    WITH_CODE(g, 0x0f, 0xc3, 0x18 /* MOVNTI [rax], ebx */, 0xf2, 0x0f, 0x38, 0xf1, 0xcb /* CRC32 ecx, ebx */, 0x0f, 0xae,
              0xe8 /* LFENCE */, 0x0f, 0xae, 0xf0 /* MFENCE */, 0x0f, 0xae, 0xf8 /* SFENCE */);
    g.s.cr0 |= CR0_EM | CR0_TS;
    g.s.cr4 &= ~CR4_OSFXSR;
    g.s.gpr[RAX] = DATA;
    g.s.gpr[RBX] = 0x12345678;
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 17);
    cr_expect_eq(peek(&g, DATA, 4), 0x12345678);
}

/* SDM 3A §12.1: MMX by CR0.EM, whatever OSFXSR says. */
Test(mmx_blocked, em_raises_ud)
{
    WITH_CODE(g, PADDB_MM);
    g.s.cr0 |= CR0_EM;
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_UD, NO_ERROR, CODE0);
}
Test(mmx_blocked, ts_raises_nm)
{
    WITH_CODE(g, PADDB_MM);
    g.s.cr0 |= CR0_TS;
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_NM, NO_ERROR, CODE0);
}
Test(mmx_blocked, osfxsr_is_not_needed)
{
    WITH_CODE(g, PADDB_MM);
    g.s.cr4 &= ~CR4_OSFXSR;
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 3);
}

/* SDM 3A §12.5: a pending x87 exception is taken before an MMX instruction, EMMS included, and before its memory operand is
 * touched. */
Test(mmx_blocked, pending_x87_exception_raises_mf)
{
    static const uint8_t forms[][3] = {{PADDB_MM}, {0x0f, 0xfc, 0x00} /* PADDB mm0, [rax] */, {0x0f, 0x77, 0x90} /* EMMS */};
    for (unsigned i = 0; i < ARRAY_COUNT(forms); i++) {
        WITH_CODE(g, 0x90);
        guest_bytes(&g, CODE0, forms[i], sizeof forms[i]);
        take_page_away(&g);
        g.s.gpr[RAX] = ABSENT;
        g.s.fpu.fcw = 0x37e;
        g.s.fpu.fsw = 0x8081; /* IE, ES, B */
        guest_run(&g);
        EXPECT_EVENT(&g, VEC_MF, NO_ERROR, CODE0);
    }
}

/* SDM 2A CVTPI2PD: from memory it is no MMX instruction; CVTPI2PS from memory is one on Intel's processors. */
Test(mmx_blocked, cvtpi2pd_from_memory_is_no_mmx_instruction)
{
    WITH_CODE(g, 0x66, 0x0f, 0x2a, 0x00);
    g.s.gpr[RAX] = DATA;
    g.s.fpu.fcw = 0x37e;
    g.s.fpu.fsw = 0x9881;
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 4);
    cr_expect_eq(g.s.fpu.fsw, 0x9881);
}
Test(mmx_blocked, cvtpi2ps_from_memory_is_one_on_intel_processors)
{
    for (unsigned i = 0; i < 2; i++) {
        GUEST g = guest_64(i == 0 ? VENDOR_INTEL : VENDOR_AMD, 0);
        CODE(&g, CODE0, 0x0f, 0x2a, 0x00, 0xf4);
        g.s.gpr[RAX] = DATA;
        g.s.fpu.fsw = 0x1800;
        g.s.fpu.ftw = 0;
        guest_run(&g);
        EXPECT_HALT_AT(&g, CODE0 + 3);
        cr_expect_eq(g.s.fpu.fsw, i == 0 ? 0 : 0x1800);
        cr_expect_eq(g.s.fpu.ftw, i == 0 ? 0xff : 0);
    }
}

/* ---- memory ---- */

/* SDM 2A table 2-18 and following: 16-byte operands must be aligned, in loads, stores and operands of arithmetic. */
Test(sse_memory, misaligned_16_bytes_raise_gp0)
{
    static const uint8_t forms[][4] = {
        {0x66, 0x0f, 0x6f, 0x00}, /* MOVDQA xmm0, [rax] */
        {0x66, 0x0f, 0x7f, 0x00}, /* MOVDQA [rax], xmm0 */
        {0x66, 0x0f, 0x58, 0x00}, /* ADDPD xmm0, [rax] */
        {0x66, 0x0f, 0xef, 0x00}, /* PXOR xmm0, [rax] */
        {0x66, 0x0f, 0xe7, 0x00}, /* MOVNTDQ [rax], xmm0 */
    };
    for (unsigned i = 0; i < ARRAY_COUNT(forms); i++) {
        WITH_CODE(g, 0x90);
        guest_bytes(&g, CODE0, forms[i], sizeof forms[i]);
        g.s.gpr[RAX] = DATA + 8;
        guest_run(&g);
        EXPECT_EVENT(&g, VEC_GP, 0, CODE0);
    }
}
/* ... and that is found before the page is looked up (SDM 3A table 6-2: the general-protection check of the address). */
Test(sse_memory, misalignment_comes_before_the_page_fault)
{
    WITH_CODE(g, 0x0f, 0x28, 0x00 /* MOVAPS xmm0, [rax] */);
    take_page_away(&g);
    g.s.gpr[RAX] = ABSENT + 4;
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_GP, 0, CODE0);
}
/* SDM 2B MOVUPS, LDDQU, PCMPISTRI, and scalar operands: no alignment asked. */
Test(sse_memory, exempt_instructions_take_any_address)
{
    WITH_CODE(g, 0x0f, 0x10, 0x00 /* MOVUPS xmm0, [rax] */, 0xf2, 0x0f, 0xf0, 0x08 /* LDDQU xmm1, [rax] */, 0x66, 0x0f, 0x3a,
              0x63, 0x00,
              0x00
              /* PCMPISTRI xmm0, [rax], 0 */,
              0xf2, 0x0f, 0x58, 0x00 /* ADDSD xmm0, [rax] */, 0x0f, 0x11, 0x00 /* MOVUPS [rax], xmm0 */);
    g.s.gpr[RAX] = DATA + PAGE_BYTES - 5;
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 20);
}

/* A store into two pages of which the second is absent writes nothing into the first. */
Test(sse_memory, store_across_a_page_end_is_all_or_nothing)
{
    WITH_CODE(g, 0x0f, 0x11, 0x00 /* MOVUPS [rax], xmm0 */);
    take_page_away(&g);
    g.s.gpr[RAX] = ABSENT - 8;
    g.s.xmm[0] = (xmm_t){.q = {~0ULL, ~0ULL}};
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_PF, 2, CODE0);
    cr_expect_eq(g.s.cr2, ABSENT);
    cr_expect_eq(peek(&g, ABSENT - 8, 8), 0);
}
/* A load that faults leaves the register. */
Test(sse_memory, load_that_faults_leaves_the_register)
{
    WITH_CODE(g, 0x0f, 0x10, 0x00 /* MOVUPS xmm0, [rax] */);
    take_page_away(&g);
    g.s.gpr[RAX] = ABSENT - 8;
    g.s.xmm[0] = (xmm_t){.q = {1, 2}};
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_PF, 0, CODE0);
    cr_expect(g.s.xmm[0].q[0] == 1 && g.s.xmm[0].q[1] == 2);
}
/* SDM 3A §12.2: the tags become valid when an MMX instruction is executed, which one that faults on its operand is not. */
Test(sse_memory, mmx_load_that_faults_leaves_the_x87_state)
{
    WITH_CODE(g, 0x0f, 0x6f, 0x00 /* MOVQ mm0, [rax] */);
    take_page_away(&g);
    g.s.gpr[RAX] = ABSENT;
    g.s.fpu.fsw = 0x1800;
    g.s.fpu.ftw = 0x12;
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_PF, 0, CODE0);
    cr_expect(g.s.fpu.fsw == 0x1800 && g.s.fpu.ftw == 0x12);
}

/* In 32-bit mode segments have limits, and SS its own vector (SDM 3A §5.3). */
Test(sse_memory, segment_limits_hold_outside_64_bit_mode)
{
    for (unsigned i = 0; i < 2; i++) {
        GUEST g = guest_32(0);
        g.s.cr4 |= CR4_OSFXSR;
        CODE(&g, CODE0, 0x0f, 0x10, (uint8_t)(i == 0 ? 0x40 : 0x45), 0x00, 0xf4); /* MOVUPS xmm0, [eax + 0] or [ebp + 0] */
        g.s.seg[i == 0 ? SEG_DS : SEG_SS].limit = 0x5000d;
        g.s.gpr[RAX] = g.s.gpr[RBP] = 0x4ffff; /* the last byte lies at 5000E */
        guest_run(&g);
        EXPECT_EVENT(&g, i == 0 ? VEC_GP : VEC_SS, 0, CODE0);
    }
}
Test(sse_memory, segment_bases_and_16_bit_addresses_work)
{
    GUEST g = guest_32(0);
    g.s.cr4 |= CR4_OSFXSR;
    CODE(&g, CODE0, 0x67, 0x64, 0x66, 0x0f, 0x6f, 0x40, 0x10 /* MOVDQA xmm0, fs:[bx + si + 10] */, 0xf4);
    g.s.seg_base[SEG_FS] = DATA;
    g.s.gpr[RBX] = 0xffff0100; /* the upper half does not count */
    g.s.gpr[RSI] = 0x20;
    poke(&g, DATA + 0x130, 0x1122334455667788, 8);
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 7);
    cr_expect_eq(g.s.xmm[0].q[0], 0x1122334455667788);
}

/* ---- MASKMOVDQU, MASKMOVQ: SDM 2B ---- */

/* Without selected bytes nothing is written; that the address is not looked at either is one of the choices the SDM leaves. */
Test(maskmov, zero_mask_touches_nothing)
{
    WITH_CODE(g, 0x66, 0x0f, 0xf7, 0xc1 /* MASKMOVDQU xmm0, xmm1 */);
    take_page_away(&g);
    g.s.gpr[RDI] = ABSENT;
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 4);
}
/* Selected bytes before an absent page are stored; bytes that are not selected do not fault. */
Test(maskmov, only_selected_bytes_can_fault)
{
    WITH_CODE(g, 0x66, 0x0f, 0xf7, 0xc1);
    take_page_away(&g);
    g.s.gpr[RDI] = ABSENT - 2;
    g.s.xmm[0].q[0] = 0x8877665544332211;
    g.s.xmm[1].q[0] = 0x8080;
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 4);
    cr_expect_eq(peek(&g, ABSENT - 2, 2), 0x2211);
}
Test(maskmov, fault_in_the_second_page_leaves_the_first)
{
    WITH_CODE(g, 0x66, 0x0f, 0xf7, 0xc1);
    take_page_away(&g);
    g.s.gpr[RDI] = ABSENT - 2;
    g.s.xmm[0].q[0] = ~0ULL;
    g.s.xmm[1].q[0] = 0x808080;
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_PF, 2, CODE0);
    cr_expect_eq(peek(&g, ABSENT - 2, 2), 0);
}
/* The implicit operand is DS:EDI with a 32-bit address size, and a segment override moves it. */
Test(maskmov, address_size_and_segment_override_apply)
{
    WITH_CODE(g, 0x64, 0x67, 0x0f, 0xf7, 0xc1 /* MASKMOVQ mm0, mm1 at fs:[edi] */);
    g.s.seg_base[SEG_FS] = DATA;
    g.s.gpr[RDI] = 0x7777777700000010;
    g.s.fpu.r[0].significand = 0x1111111111111111;
    g.s.fpu.r[1].significand = 0x8000000000000080;
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 5);
    cr_expect_eq(peek(&g, DATA + 0x10, 8), 0x1100000000000011);
}

/* ---- #XM ---- */

/* SDM 1 §11.5.2.2: a division by zero that is unmasked sets its flag, and leaves the destination; CR4.OSXMMEXCPT chooses the
 * vector. */
Test(sse_unmasked, exception_sets_its_flag_and_leaves_the_destination)
{
    for (unsigned i = 0; i < 2; i++) {
        WITH_CODE(g, 0xf2, 0x0f, 0x5e, 0xc1 /* DIVSD xmm0, xmm1 */);
        g.s.mxcsr = MXCSR_RESET & ~(uint32_t)(MXCSR_ZE << MXCSR_MASKS_SHIFT);
        g.s.cr4 &= i == 0 ? ~0ULL : ~CR4_OSXMMEXCPT;
        g.s.xmm[0].q[0] = 0x3ff0000000000000;
        guest_run(&g);
        EXPECT_EVENT(&g, i == 0 ? VEC_XM : VEC_UD, NO_ERROR, CODE0);
        cr_expect_eq(g.s.xmm[0].q[0], 0x3ff0000000000000);
        cr_expect_eq(g.s.mxcsr & MXCSR_FLAGS, MXCSR_ZE);
    }
}
/* SDM 1 §11.5.3: a flag that stands already raises nothing by itself. */
Test(sse_unmasked, sticky_flag_alone_raises_nothing)
{
    WITH_CODE(g, 0xf2, 0x0f, 0x5e, 0xc1);
    g.s.mxcsr = (MXCSR_RESET & ~(uint32_t)(MXCSR_ZE << MXCSR_MASKS_SHIFT)) | MXCSR_ZE;
    g.s.xmm[0].q[0] = g.s.xmm[1].q[0] = 0x3ff0000000000000;
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 4);
}
/* SDM 1 §4.9.1.5: with underflow unmasked a tiny result is one even if exact, and FTZ does not apply (§10.2.3.3). */
Test(sse_unmasked, exact_tiny_result_is_an_underflow)
{
    WITH_CODE(g, 0xf2, 0x0f, 0x59, 0xc1 /* MULSD xmm0, xmm1 */);
    g.s.mxcsr = (MXCSR_RESET & ~(uint32_t)MXCSR_UM) | MXCSR_FTZ;
    g.s.xmm[0].q[0] = 0x0010000000000000; /* the least normal number, halved */
    g.s.xmm[1].q[0] = 0x3fe0000000000000;
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_XM, NO_ERROR, CODE0);
    cr_expect_eq(g.s.mxcsr & MXCSR_FLAGS, MXCSR_UE);
}
/* A page fault on the operand comes before what the arithmetic would raise. */
Test(sse_unmasked, page_fault_comes_first)
{
    WITH_CODE(g, 0xf2, 0x0f, 0x5e, 0x00 /* DIVSD xmm0, [rax] */);
    take_page_away(&g);
    g.s.gpr[RAX] = ABSENT;
    g.s.mxcsr = 0;
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_PF, 0, CODE0);
    cr_expect_eq(g.s.mxcsr, 0);
}

/* ---- what is not advertised does not exist ---- */

static int vector_without(const char *feature, const uint8_t *code, size_t count)
{
    struct cpu_config config = {.cost = cost_table_by_name("ipc1"), .vps = 1, .seed = 1};
    const char *why = NULL;
    GUEST whole = guest_64(VENDOR_INTEL, 0);
    cr_assert(cpu_model_init(&config.model, "v2", VENDOR_INTEL, 1000000000, 1));
    cr_assert(cpu_model_set(&config.model, feature, false, &why), "%s", why);
    guest_bytes(&whole, CODE0, code, count);
    GUEST g = guest_twin(&whole, &config, NULL);
    g.s.gpr[RAX] = DATA;
    guest_run(&g);
    return stopped_in(&g);
}
/* SDM 2A: each instruction is #UD if its CPUID bit is 0. */
Test(sse_features, without_sse42_ud)
{
    static const uint8_t pcmpgtq[] = {0x66, 0x0f, 0x38, 0x37, 0xc1, 0xf4}, crc32[] = {0xf2, 0x0f, 0x38, 0xf1, 0xc1, 0xf4};
    cr_expect_eq(vector_without("sse4_2", pcmpgtq, sizeof pcmpgtq), VEC_UD);
    cr_expect_eq(vector_without("sse4_2", crc32, sizeof crc32), VEC_UD);
}
/* SDM 2: SSE4a, AES, PCLMULQDQ, SHA and AVX are not built, and #UD with every model. */
Test(sse_features, later_extensions_are_ud)
{
    static const uint8_t forms[][6] = {
        {0x66, 0x0f, 0x38, 0xdc, 0xc1, 0xf4}, /* AESENC */
        {0x66, 0x0f, 0x3a, 0x44, 0xc1, 0x00}, /* PCLMULQDQ */
        {0x0f, 0x38, 0xc8, 0xc1, 0xf4, 0xf4}, /* SHA1NEXTE */
        {0xc5, 0xf8, 0x58, 0xc1, 0xf4, 0xf4}, /* VADDPS */
        {0x66, 0x0f, 0x79, 0xc1, 0xf4, 0xf4}, /* EXTRQ */
        {0xf2, 0x0f, 0x2b, 0x00, 0xf4, 0xf4}, /* MOVNTSD */
    };
    for (unsigned i = 0; i < ARRAY_COUNT(forms); i++) {
        WITH_CODE(g, 0x90);
        guest_bytes(&g, CODE0, forms[i], sizeof forms[i]);
        g.s.gpr[RAX] = DATA;
        guest_run(&g);
        EXPECT_EVENT(&g, VEC_UD, NO_ERROR, CODE0);
    }
}
/* SDM 2A §2.1: no SSE instruction takes LOCK. */
Test(sse_features, lock_is_ud)
{
    WITH_CODE(g, 0xf0, 0x0f, 0x58, 0x00);
    g.s.gpr[RAX] = DATA;
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_UD, NO_ERROR, CODE0);
}
