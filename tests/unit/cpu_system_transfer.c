/* IRET, far JMP, CALL and RET, SYSCALL and SYSENTER with their returns. SDM 2 "Operation" of each; 3A §5.8. */
#include "cpu_system_fixture.h"

static void push64(struct guest *g, uint64_t value)
{
    g->s.gpr[RSP] -= 8;
    poke(g, g->s.gpr[RSP], value, 8);
}
static void push32(struct guest *g, uint32_t value)
{
    g->s.gpr[RSP] -= 4;
    poke(g, g->s.gpr[RSP], value, 4);
}
#define SPIN 0xeb, 0xfe
/* The run ended spinning at `at`. */
#define EXPECT_SPIN_AT(g, at)                                                                                                  \
    cr_expect((g)->stop == STOP_UNTIL && (g)->s.rip == (uint64_t)(at), "stop %d at %#lx (vector %d), not spinning at %#lx",    \
              (g)->stop, (g)->s.rip, stopped_in(g), (uint64_t)(at))

/* ---- IRETQ ---- */

static struct guest iretq_guest(uint64_t rip, uint16_t cs, uint64_t flags, uint64_t rsp, uint16_t ss)
{
    struct guest g = guest_64(VENDOR_INTEL, 0);
    CODE(&g, CODE0, 0x48, 0xcf);
    CODE(&g, CODE0 + 0x100, SPIN);
    CODE(&g, CODE3, SPIN);
    push64(&g, ss);
    push64(&g, rsp);
    push64(&g, flags);
    push64(&g, cs);
    push64(&g, rip);
    return g;
}

/* SDM 2A IRET: in 64-bit mode SS:RSP is popped even at the same privilege. */
Test(iret_64, same_privilege_pops_the_stack)
{
    GUEST g = iretq_guest(CODE0 + 0x100, SEL_CODE0_64, 2 | RFLAGS_CF, 0x45678, SEL_DATA0);
    guest_run(&g);
    EXPECT_SPIN_AT(&g, CODE0 + 0x100);
    cr_expect_eq(g.s.gpr[RSP], 0x45678);
    cr_expect_eq(g.s.rflags, 2 | RFLAGS_CF);
}

/* A null SS is good for 64-bit code of rings 0 to 2 when its RPL is right. */
Test(iret_64, null_ss_is_good_below_ring_3)
{
    GUEST g = iretq_guest(CODE0 + 0x100, SEL_CODE0_64, 2, STACK0, 0);
    guest_run(&g);
    EXPECT_SPIN_AT(&g, CODE0 + 0x100);
    cr_expect(g.s.seg[SEG_SS].selector == 0 && g.s.seg[SEG_SS].attributes == 0);
}

Test(iret_64, to_ring_3_drops_data_segments_of_ring_0)
{
    GUEST g = iretq_guest(CODE3, SEL_CODE3_64 | 3, 2 | RFLAGS_IF, STACK3, SEL_DATA3 | 3);
    g.s.seg[SEG_DS] = segment_of(SEL_DATA3 | 3, 0xf3, 0xc);
    g.s.nmi_blocked = true;
    guest_run(&g);
    EXPECT_SPIN_AT(&g, CODE3);
    cr_expect_eq(g.s.cpl, 3);
    cr_expect_eq(g.s.gpr[RSP], STACK3);
    cr_expect_eq(g.s.rflags, 2 | RFLAGS_IF);
    cr_expect_eq(g.s.seg[SEG_DS].selector, SEL_DATA3 | 3, "ring 3's own stays");
    cr_expect(g.s.seg[SEG_ES].selector == 0 && g.s.seg[SEG_ES].attributes == 0, "ring 0's becomes null");
    cr_expect_eq(g.s.nmi_blocked, false, "3A §6.7.1");
}

/* To compatibility mode: EIP and ESP of 32 bits. */
Test(iret_64, to_compatibility_mode)
{
    GUEST g = iretq_guest(CODE3, SEL_CODE3_32 | 3, 2, STACK3, SEL_DATA3 | 3);
    CODE(&g, CODE3, 0x40, SPIN); /* INC EAX there, a REX prefix in 64-bit mode */
    guest_run(&g);
    EXPECT_SPIN_AT(&g, CODE3 + 1);
    cr_expect_eq(g.s.gpr[RAX], 1);
}

struct iret_case {
    uint64_t rip;
    uint16_t cs, ss;
    int vector;
    unsigned error;
};
Test(iret_64, bad_frames_fault_in_ring_0)
{
    static const struct iret_case cases[] = {
        {CODE3, 0, SEL_DATA3 | 3, VEC_GP, 0},
        {CODE3, 3, SEL_DATA3 | 3, VEC_GP, 0},
        {CODE3, 0x100 | 3, SEL_DATA3 | 3, VEC_GP, 0x100},
        {CODE3, SEL_DATA3 | 3, SEL_DATA3 | 3, VEC_GP, SEL_DATA3},
        {CODE3, SEL_CODE0_64 | 3, SEL_DATA3 | 3, VEC_GP, SEL_CODE0_64}, /* DPL below RPL */
        {CODE3, SEL_CODE3_64, SEL_DATA3 | 3, VEC_GP, SEL_CODE3_64},     /* DPL above RPL */
        {CODE3, SEL_CODE3_64 | 3, 3, VEC_GP, 0},                        /* null SS for ring 3 */
        {CODE3, SEL_CODE3_64 | 3, SEL_DATA0, VEC_GP, SEL_DATA0},
        {CODE3, SEL_CODE3_64 | 3, SEL_DATA3, VEC_GP, SEL_DATA3}, /* RPL 0 */
        {CODE3, SEL_CODE3_64 | 3, SEL_CODE3_64 | 3, VEC_GP, SEL_CODE3_64},
        {1ULL << 47, SEL_CODE3_64 | 3, SEL_DATA3 | 3, VEC_GP, 0},
        {1ULL << 32, SEL_CODE3_32 | 3, SEL_DATA3 | 3, VEC_GP, 0}, /* beyond the limit of a 32-bit segment */
        {CODE0 + 0x100, SEL_CODE0_32, 0, VEC_GP, 0},              /* null SS for compatibility mode */
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct iret_case *c = &cases[i];
        GUEST g = iretq_guest(c->rip, c->cs, 2, STACK3, c->ss);
        guest_run(&g);
        cr_expect(stopped_in(&g) == c->vector && frame_word(&g, 0) == c->error && frame_word(&g, 1) == CODE0,
                  "case %u: vector %d, error %#lx, rip %#lx", i, stopped_in(&g), frame_word(&g, 0), frame_word(&g, 1));
        cr_expect_eq(frame_word(&g, 4), STACK0 - 40, "RSP as before IRET");
    }
}

/* SDM 2A IRET: no task returns in IA-32e mode. */
Test(iret_64, nested_task_flag_is_gp)
{
    GUEST g = iretq_guest(CODE0 + 0x100, SEL_CODE0_64, 2, STACK0, SEL_DATA0);
    g.s.rflags |= RFLAGS_NT;
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_GP, 0, CODE0);
}

/* At CPL 3 with IOPL 0, IRET leaves IF and IOPL alone. */
Test(iret_64, ring_3_cannot_change_if_or_iopl)
{
    GUEST g = guest_64(VENDOR_INTEL, 3);
    CODE(&g, CODE3, 0x48, 0xcf);
    CODE(&g, CODE3 + 0x100, SPIN);
    push64(&g, SEL_DATA3 | 3);
    push64(&g, STACK3);
    push64(&g, 2 | RFLAGS_IF | RFLAGS_IOPL | RFLAGS_VIF | RFLAGS_AC | RFLAGS_DF);
    push64(&g, SEL_CODE3_64 | 3);
    push64(&g, CODE3 + 0x100);
    guest_run(&g);
    EXPECT_SPIN_AT(&g, CODE3 + 0x100);
    cr_expect_eq(g.s.rflags, 2 | RFLAGS_AC | RFLAGS_DF);
}

/* ---- IRETD ---- */

Test(iret_32, same_privilege_pops_three)
{
    GUEST g = guest_32(0);
    CODE(&g, CODE0, 0xcf);
    CODE(&g, CODE0 + 0x100, SPIN);
    push32(&g, 2 | RFLAGS_ZF);
    push32(&g, SEL_CODE0_32);
    push32(&g, CODE0 + 0x100);
    guest_run(&g);
    EXPECT_SPIN_AT(&g, CODE0 + 0x100);
    cr_expect_eq(g.s.gpr[RSP], STACK0);
    cr_expect_eq(g.s.rflags, 2 | RFLAGS_ZF);
}

Test(iret_32, outer_privilege_pops_five)
{
    GUEST g = guest_32(0);
    CODE(&g, CODE0, 0xcf);
    CODE(&g, CODE3, SPIN);
    push32(&g, SEL_DATA3 | 3);
    push32(&g, STACK3);
    push32(&g, 2);
    push32(&g, SEL_CODE3_32 | 3);
    push32(&g, CODE3);
    guest_run(&g);
    EXPECT_SPIN_AT(&g, CODE3);
    cr_expect(g.s.cpl == 3 && g.s.gpr[RSP] == STACK3 && g.s.seg[SEG_DS].attributes == 0);
}

/* "RETURN-TO-VIRTUAL-8086-MODE": nine doublewords. */
Test(iret_32, ring_0_returns_to_v86)
{
    GUEST g = guest_32(0);
    CODE(&g, CODE0, 0xcf);
    CODE(&g, 0x28010, SPIN);
    static const uint32_t frame[] = {0x6666, 0x5555, 0x4444, 0x3333, 0x5000, 0xfffe, 2 | RFLAGS_VM | RFLAGS_IOPL, 0x2800, 0x10};
    for (unsigned i = 0; i < ARRAY_COUNT(frame); i++) {
        push32(&g, frame[i]);
    }
    guest_run(&g);
    EXPECT_SPIN_AT(&g, 0x10);
    cr_expect_eq(g.s.rflags, 2 | RFLAGS_VM | RFLAGS_IOPL);
    cr_expect(g.s.cpl == 3 && g.s.gpr[RSP] == 0xfffe);
    cr_expect(g.s.seg[SEG_ES].selector == 0x3333 && g.s.seg_base[SEG_ES] == 0x33330 && g.s.seg[SEG_GS].selector == 0x6666);
    cr_expect(g.s.seg[SEG_SS].selector == 0x5000 && g.s.seg[SEG_SS].limit == 0xffff);
}

/* At CPL 3 a popped VM flag means nothing. */
Test(iret_32, ring_3_cannot_enter_v86)
{
    GUEST g = guest_32(3);
    CODE(&g, CODE3, 0xcf);
    CODE(&g, CODE3 + 0x100, SPIN);
    push32(&g, 2 | RFLAGS_VM);
    push32(&g, SEL_CODE3_32 | 3);
    push32(&g, CODE3 + 0x100);
    guest_run(&g);
    EXPECT_SPIN_AT(&g, CODE3 + 0x100);
    cr_expect_eq(g.s.rflags, 2);
}

/* Real mode: IP, CS, FLAGS. */
Test(iret_16, real_mode_pops_three_words)
{
    GUEST g = guest_16();
    CODE(&g, CODE0, 0xcf);
    CODE(&g, 0x28010, SPIN);
    poke(&g, 0x41000, 0x0246280000100000 >> 16, 6);
    guest_run(&g);
    EXPECT_SPIN_AT(&g, 0x10);
    cr_expect(g.s.seg[SEG_CS].selector == 0x2800 && g.s.gpr[RSP] == 0x1006 && g.s.rflags == 0x246);
}

/* ---- far JMP, CALL, RET ---- */

/* Long mode: JMP m16:32 into compatibility mode and m16:64 back. */
Test(far_transfer, jmp_changes_between_64_bit_and_compatibility_mode)
{
    GUEST g = guest_64(VENDOR_INTEL, 0);
    CODE(&g, CODE0, 0xff, 0x2b);         /* JMP FAR [RBX] */
    CODE(&g, CODE0 + 0x100, 0x40, SPIN); /* INC EAX */
    poke(&g, DATA, CODE0 + 0x100, 4);
    poke(&g, DATA + 4, SEL_CODE0_32, 2);
    g.s.gpr[RBX] = DATA;
    guest_run(&g);
    EXPECT_SPIN_AT(&g, CODE0 + 0x101);
    cr_expect(g.s.gpr[RAX] == 1 && g.s.seg[SEG_CS].selector == SEL_CODE0_32);
    CODE(&g, CODE0 + 0x101, 0xea, 0x00, 0x02, 0x02, 0x00, SEL_CODE0_64, 0x00); /* JMP 10:20200 */
    CODE(&g, CODE0 + 0x200, 0x48, 0xff, 0xc0, SPIN);                           /* INC RAX */
    guest_run(&g);
    EXPECT_SPIN_AT(&g, CODE0 + 0x203);
    cr_expect_eq(g.s.gpr[RAX], 2);
}

/* RETFQ is how 64-bit code reaches another code segment. */
Test(far_transfer, retfq_pops_quadwords)
{
    GUEST g = guest_64(VENDOR_INTEL, 0);
    CODE(&g, CODE0, 0x48, 0xca, 0x10, 0x00);
    CODE(&g, CODE0 + 0x100, SPIN);
    push64(&g, SEL_CODE0_64);
    push64(&g, CODE0 + 0x100);
    guest_run(&g);
    EXPECT_SPIN_AT(&g, CODE0 + 0x100);
    cr_expect_eq(g.s.gpr[RSP], STACK0 + 0x10);
}

Test(far_transfer, call_pushes_cs_and_eip)
{
    GUEST g = guest_32(0);
    CODE(&g, CODE0, 0x9a, 0x00, 0x01, 0x02, 0x00, SEL_CONFORMING_32, 0x00); /* CALL 78:20100 */
    CODE(&g, CODE0 + 0x100, SPIN);
    guest_run(&g);
    EXPECT_SPIN_AT(&g, CODE0 + 0x100);
    cr_expect_eq(g.s.seg[SEG_CS].selector, SEL_CONFORMING_32);
    cr_expect(peek(&g, STACK0 - 8, 4) == CODE0 + 7 && peek(&g, STACK0 - 4, 4) == SEL_CODE0_32 && g.s.gpr[RSP] == STACK0 - 8);
}

/* 3A §5.8.1: a conforming segment runs with the caller's CPL. */
Test(far_transfer, conforming_code_keeps_cpl)
{
    GUEST g = guest_32(3);
    CODE(&g, CODE3, 0xea, 0x00, 0x81, 0x02, 0x00, SEL_CONFORMING_32, 0x00);
    CODE(&g, CODE3 + 0x100, SPIN);
    guest_run(&g);
    EXPECT_SPIN_AT(&g, CODE3 + 0x100);
    cr_expect(g.s.cpl == 3 && g.s.seg[SEG_CS].selector == (SEL_CONFORMING_32 | 3));
}

struct target_case {
    uint16_t selector;
    int vector;
    unsigned error;
};
Test(far_transfer, bad_targets_of_a_direct_jump)
{
    static const struct target_case cases[] = {
        {0, VEC_GP, 0},
        {3, VEC_GP, 0},
        {0x100, VEC_GP, 0x100},
        {SEL_LDT, VEC_GP, SEL_LDT},
        {SEL_DATA0, VEC_GP, SEL_DATA0},
        {SEL_CODE3_32 | 3, VEC_GP, SEL_CODE3_32},
        {SEL_CODE0_32 | 3, VEC_GP, SEL_CODE0_32}, /* RPL above CPL */
        {4, VEC_GP, 4},                           /* no LDT */
        {SEL_SPARE, VEC_NP, SEL_SPARE},
        {SEL_SPARE2, VEC_GP, 0}, /* limit below the offset */
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        GUEST g = guest_32(0);
        set_gdt(&g, SEL_SPARE, make_descriptor(0, 0xfffff, 0x1b, 0xc));
        set_gdt(&g, SEL_SPARE2, make_descriptor(0, 0xff, 0x9b, 0x4));
        CODE(&g, CODE0, 0xea, 0x00, 0x01, 0x02, 0x00, (uint8_t)cases[i].selector, (uint8_t)(cases[i].selector >> 8));
        guest_run(&g);
        EXPECT_EVENT(&g, cases[i].vector, cases[i].error, CODE0);
    }
}

/* 3A §5.8.5: a call gate to inner privilege copies parameters to the stack that the TSS names. */
Test(far_transfer, call_gate_switches_stacks_and_copies_parameters)
{
    GUEST g = guest_32(3);
    set_gdt(&g, SEL_SPARE, make_gate(SEL_CODE0_32, CODE0, 0xec, 2));
    CODE(&g, CODE3, 0x9a, 0, 0, 0, 0, SEL_SPARE | 3, 0); /* the offset does not count */
    CODE(&g, CODE3 + 7, SPIN);
    CODE(&g, CODE0, 0xca, 0x08, 0x00); /* RETF 8 */
    push32(&g, 0x1111);
    push32(&g, 0x2222);
    guest_run(&g);
    EXPECT_SPIN_AT(&g, CODE3 + 7);
    cr_expect_eq(g.s.gpr[RSP], STACK3, "RETF 8 pops the parameters from both stacks");
    cr_expect_eq(peek(&g, STACK0 - 4, 4), SEL_DATA3 | 3);
    cr_expect_eq(peek(&g, STACK0 - 8, 4), STACK3 - 8);
    cr_expect_eq(peek(&g, STACK0 - 12, 4), 0x1111);
    cr_expect_eq(peek(&g, STACK0 - 16, 4), 0x2222);
    cr_expect_eq(peek(&g, STACK0 - 20, 4), SEL_CODE3_32 | 3);
    cr_expect_eq(peek(&g, STACK0 - 24, 4), CODE3 + 7);
}

/* 3A §5.8.3.1: in IA-32e mode call gates are of 64 bits and 16 bytes, copy nothing and give a null SS. */
Test(far_transfer, call_gate_in_long_mode)
{
    GUEST g = guest_64(VENDOR_INTEL, 3);
    set_gdt(&g, SEL_SPARE, make_gate(SEL_CODE0_64, CODE0, 0xec, 0));
    set_gdt(&g, SEL_SPARE2, 0);
    CODE(&g, CODE3, 0xff, 0x1b); /* CALL FAR [RBX] */
    CODE(&g, CODE3 + 2, SPIN);
    CODE(&g, CODE0, 0x48, 0xcb);
    poke(&g, DATA + 4, SEL_SPARE | 3, 2);
    g.s.gpr[RBX] = DATA;
    guest_run(&g);
    EXPECT_SPIN_AT(&g, CODE3 + 2);
    cr_expect(g.s.cpl == 3 && g.s.gpr[RSP] == STACK3);
    cr_expect(peek(&g, STACK0 - 8, 8) == (SEL_DATA3 | 3) && peek(&g, STACK0 - 16, 8) == STACK3);
    cr_expect(peek(&g, STACK0 - 24, 8) == (SEL_CODE3_64 | 3) && peek(&g, STACK0 - 32, 8) == CODE3 + 2);
}

/* Its upper half must have type 0. */
Test(far_transfer, call_gate_with_a_bad_upper_half_is_gp)
{
    GUEST g = guest_64(VENDOR_INTEL, 3);
    set_gdt(&g, SEL_SPARE, make_gate(SEL_CODE0_64, CODE0, 0xec, 0));
    set_gdt(&g, SEL_SPARE2, 1ULL << 40);
    CODE(&g, CODE3, 0xff, 0x1b);
    poke(&g, DATA + 4, SEL_SPARE | 3, 2);
    g.s.gpr[RBX] = DATA;
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_GP, SEL_SPARE, CODE3);
}

/* 3A §5.8.4: gate DPL below CPL or RPL, gate absent, target not more privileged for JMP. */
Test(far_transfer, call_gate_privileges)
{
    static const struct {
        uint64_t gate;
        uint8_t opcode;
        int vector;
        unsigned error;
    } cases[] = {
        {0, 0x9a, VEC_GP, SEL_SPARE}, /* an empty descriptor */
        {1, 0x9a, VEC_GP, SEL_SPARE}, {2, 0x9a, VEC_NP, SEL_SPARE}, {3, 0xea, VEC_GP, SEL_CODE0_32},
        {4, 0x9a, VEC_GP, SEL_DATA0}, {5, 0x9a, VEC_GP, 0},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        GUEST g = guest_32(3);
        const uint64_t gates[] = {
            0,
            make_gate(SEL_CODE0_32, CODE0, 0x8c, 0), /* DPL 0 */
            make_gate(SEL_CODE0_32, CODE0, 0x6c, 0), /* absent */
            make_gate(SEL_CODE0_32, CODE0, 0xec, 0), /* for JMP: target of another privilege */
            make_gate(SEL_DATA0, CODE0, 0xec, 0),
            make_gate(0, CODE0, 0xec, 0),
        };
        set_gdt(&g, SEL_SPARE, gates[cases[i].gate]);
        CODE(&g, CODE3, cases[i].opcode, 0, 0, 0, 0, SEL_SPARE | 3, 0);
        guest_run(&g);
        EXPECT_EVENT(&g, cases[i].vector, cases[i].error, CODE3);
    }
}

/* 3A §5.8.4: the gate's DPL bounds the selector's RPL too, whatever CPL is. */
Test(far_transfer, call_gate_rpl_counts)
{
    GUEST g = guest_32(0);
    set_gdt(&g, SEL_SPARE, make_gate(SEL_CODE0_32, CODE0, 0x8c, 0));
    CODE(&g, CODE0, 0x9a, 0, 0, 0, 0, SEL_SPARE | 3, 0);
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_GP, SEL_SPARE, CODE0);
}

/* Real mode: CS base is selector * 16, the limit stays (3A §20.1.1). */
Test(far_transfer, real_mode_call_and_return)
{
    GUEST g = guest_16();
    CODE(&g, CODE0, 0x9a, 0x10, 0x00, 0x00, 0x28, 0xf4); /* CALL 2800:0010 */
    CODE(&g, 0x28010, 0xcb);
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 5);
    cr_expect(g.s.gpr[RSP] == 0x1000 && peek(&g, 0x40ffe, 2) == 0x2000 && peek(&g, 0x40ffc, 2) == 5);
}

/* ---- SYSCALL, SYSRET ---- */

static struct guest syscall_guest(enum cpu_vendor vendor, unsigned cpl)
{
    struct guest g = guest_64(vendor, cpl);
    g.s.star = (uint64_t)(SEL_CODE3_32 | 3) << 48 | (uint64_t)SEL_CODE0_64 << 32;
    g.s.lstar = CODE0;
    g.s.fmask = RFLAGS_IF | RFLAGS_TF;
    return g;
}

/* SDM 2B SYSCALL. */
Test(fast_call, syscall_saves_rip_and_flags_and_loads_flat_segments)
{
    GUEST g = syscall_guest(VENDOR_INTEL, 3);
    CODE(&g, CODE3, 0x0f, 0x05);
    CODE(&g, CODE0, 0xf4);
    g.s.rflags |= RFLAGS_IF | RFLAGS_CF;
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0);
    cr_expect(g.s.gpr[RCX] == CODE3 + 2 && g.s.gpr[R11] == (2 | RFLAGS_IF | RFLAGS_CF));
    cr_expect_eq(g.s.rflags, 2 | RFLAGS_CF);
    cr_expect(g.s.seg[SEG_CS].selector == SEL_CODE0_64 && g.s.seg[SEG_CS].attributes == 0xa09b);
    cr_expect(g.s.seg[SEG_SS].selector == SEL_DATA0 && g.s.seg[SEG_SS].attributes == 0xc093);
    cr_expect(g.s.cpl == 0 && g.s.gpr[RSP] == STACK3, "RSP stays");
}

Test(fast_call, syscall_without_sce_is_undefined)
{
    GUEST g = syscall_guest(VENDOR_INTEL, 3);
    CODE(&g, CODE3, 0x0f, 0x05);
    g.s.efer &= ~EFER_SCE;
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_UD, NO_ERROR, CODE3);
}

/* APM 3 SYSCALL: in compatibility mode AMD goes to CSTAR; SDM 2B: on Intel it is undefined there. */
Test(fast_call, syscall_in_compatibility_mode_is_amds)
{
    for (unsigned amd = 0; amd < 2; amd++) {
        GUEST g = syscall_guest(amd ? VENDOR_AMD : VENDOR_INTEL, 3);
        CODE(&g, CODE3, 0x0f, 0x05);
        CODE(&g, CODE0 + 0x200, 0xf4);
        g.s.seg[SEG_CS] = segment_of(SEL_CODE3_32 | 3, 0xfb, 0xc);
        g.s.cstar = CODE0 + 0x200;
        guest_run(&g);
        if (amd) {
            EXPECT_HALT_AT(&g, CODE0 + 0x200);
            cr_expect_eq(g.s.gpr[RCX], CODE3 + 2);
        } else {
            EXPECT_EVENT(&g, VEC_UD, NO_ERROR, CODE3);
        }
    }
}

/* SDM 2B SYSRET: RCX and R11 come back; RF and VM do not. */
Test(fast_call, sysretq_returns_to_64_bit_ring_3)
{
    GUEST g = syscall_guest(VENDOR_INTEL, 0);
    CODE(&g, CODE0, 0x48, 0x0f, 0x07);
    CODE(&g, CODE3, SPIN);
    g.s.gpr[RCX] = CODE3;
    g.s.gpr[R11] = RFLAGS_IF | RFLAGS_ZF | RFLAGS_VM;
    guest_run(&g);
    EXPECT_SPIN_AT(&g, CODE3);
    cr_expect_eq(g.s.rflags, 2 | RFLAGS_IF | RFLAGS_ZF);
    cr_expect(g.s.cpl == 3 && g.s.seg[SEG_CS].selector == (SEL_CODE3_64 | 3) && g.s.seg[SEG_CS].attributes == 0xa0fb);
    cr_expect(g.s.seg[SEG_SS].selector == (SEL_DATA3 | 3) && g.s.seg[SEG_SS].attributes == 0xc0f3);
}

Test(fast_call, sysretl_returns_to_compatibility_mode)
{
    GUEST g = syscall_guest(VENDOR_INTEL, 0);
    CODE(&g, CODE0, 0x0f, 0x07);
    CODE(&g, CODE3, 0x40, SPIN);
    g.s.gpr[RCX] = 0xffffffff00000000 | CODE3;
    guest_run(&g);
    EXPECT_SPIN_AT(&g, CODE3 + 1);
    cr_expect(g.s.gpr[RAX] == 1 && g.s.seg[SEG_CS].selector == (SEL_CODE3_32 | 3));
}

/* SDM 2B SYSRET: a non-canonical RCX is #GP in ring 0; APM 3: AMD's processor finds it in ring 3. */
Test(fast_call, sysret_to_a_noncanonical_rip_differs_by_vendor)
{
    for (unsigned amd = 0; amd < 2; amd++) {
        GUEST g = syscall_guest(amd ? VENDOR_AMD : VENDOR_INTEL, 0);
        CODE(&g, CODE0, 0x48, 0x0f, 0x07);
        g.s.gpr[RCX] = 1ULL << 47;
        guest_run(&g);
        EXPECT_EVENT(&g, VEC_GP, 0, amd ? 1ULL << 47 : CODE0);
        cr_expect_eq(frame_word(&g, 2) & 3, amd ? 3 : 0);
    }
}

/* APM 3 SYSRET: SS gets a selector only. */
Test(fast_call, amds_sysret_keeps_the_hidden_part_of_ss)
{
    GUEST g = syscall_guest(VENDOR_AMD, 0);
    CODE(&g, CODE0, 0x48, 0x0f, 0x07);
    CODE(&g, CODE3, SPIN);
    g.s.gpr[RCX] = CODE3;
    g.s.seg[SEG_SS] = (struct segment){0};
    guest_run(&g);
    EXPECT_SPIN_AT(&g, CODE3);
    cr_expect(g.s.seg[SEG_SS].selector == (SEL_DATA3 | 3) && g.s.seg[SEG_SS].attributes == 0);
}

/* TF: SYSCALL does not trap when FMASK clears TF; SYSRET with TF in R11 traps before the first user instruction. */
Test(fast_call, single_step_across_syscall_and_sysret)
{
    GUEST g = syscall_guest(VENDOR_INTEL, 3);
    CODE(&g, CODE3, 0x0f, 0x05);
    CODE(&g, CODE0, 0xf4);
    g.s.rflags |= RFLAGS_TF;
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0);

    GUEST h = syscall_guest(VENDOR_INTEL, 0);
    CODE(&h, CODE0, 0x48, 0x0f, 0x07);
    CODE(&h, CODE3, SPIN);
    h.s.gpr[RCX] = CODE3;
    h.s.gpr[R11] = RFLAGS_TF;
    guest_run(&h);
    EXPECT_EVENT(&h, VEC_DB, NO_ERROR, CODE3);
}

/* ---- SYSENTER, SYSEXIT ---- */

/* SDM 2B SYSENTER, SYSEXIT: selectors at fixed distances from IA32_SYSENTER_CS. */
Test(fast_call, sysenter_and_sysexit_in_32_bit_mode)
{
    GUEST g = guest_32(3);
    CODE(&g, CODE3, 0x0f, 0x34);
    CODE(&g, CODE0, 0x0f, 0x35);
    CODE(&g, CODE3 + 0x100, SPIN);
    g.s.sysenter_cs = SEL_CODE0_64; /* 10h: ring 0 code, 18h data, 20h ring 3 code, 28h data */
    g.s.sysenter_eip = CODE0;
    g.s.sysenter_esp = STACK0;
    g.s.gpr[RDX] = CODE3 + 0x100;
    g.s.gpr[RCX] = STACK3 - 0x100;
    g.s.rflags |= RFLAGS_IF;
    guest_run(&g);
    EXPECT_SPIN_AT(&g, CODE3 + 0x100);
    cr_expect(g.s.cpl == 3 && g.s.gpr[RSP] == STACK3 - 0x100);
    cr_expect(g.s.seg[SEG_CS].selector == (SEL_CODE3_32 | 3) && g.s.seg[SEG_SS].selector == (SEL_DATA3 | 3));
    cr_expect_eq(g.s.rflags & RFLAGS_IF, 0, "SYSENTER cleared IF");
}

/* APM 3 SYSENTER: undefined in long mode. SDM 2B: on Intel it enters 64-bit ring 0. */
Test(fast_call, sysenter_in_long_mode_is_intels)
{
    for (unsigned amd = 0; amd < 2; amd++) {
        GUEST g = guest_64(amd ? VENDOR_AMD : VENDOR_INTEL, 3);
        CODE(&g, CODE3, 0x0f, 0x34);
        CODE(&g, CODE0, 0xf4);
        g.s.sysenter_cs = SEL_CODE0_64;
        g.s.sysenter_eip = CODE0;
        g.s.sysenter_esp = STACK0 - 8;
        guest_run(&g);
        if (amd) {
            EXPECT_EVENT(&g, VEC_UD, NO_ERROR, CODE3);
        } else {
            EXPECT_HALT_AT(&g, CODE0);
            cr_expect(g.s.cpl == 0 && g.s.gpr[RSP] == STACK0 - 8 && g.s.seg[SEG_CS].attributes == 0xa09b);
        }
    }
}
