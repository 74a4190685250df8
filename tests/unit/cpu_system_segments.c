/* Segment registers, descriptor tables, questions about selectors, and hardware tasks. SDM 3A chapters 3, 5, 7; SDM 2. */
#include "cpu_system_fixture.h"

#define SPIN 0xeb, 0xfe

/* ---- loads ---- */

struct load_case {
    uint8_t segment; /* ModRM reg field: ES 0, SS 2, DS 3 */
    uint16_t selector;
    int vector;
    unsigned error;
};
enum { NO_FAULT = -1 };

static void load_cases(const struct load_case *cases, unsigned count, unsigned cpl)
{
    for (unsigned i = 0; i < count; i++) {
        const struct load_case *c = &cases[i];
        GUEST g = guest_32(cpl);
        uint64_t at = g.s.rip;
        set_gdt(&g, SEL_SPARE, make_descriptor(0, 0xfffff, 0x73, 0xc)); /* absent data, DPL 3 */
        CODE(&g, at, 0x8e, 0xc0 | c->segment << 3, SPIN);
        g.s.gpr[RAX] = c->selector;
        guest_run(&g);
        if (c->vector == NO_FAULT) {
            cr_expect(g.stop == STOP_UNTIL && g.s.rip == at + 2 && g.s.seg[c->segment].selector == c->selector,
                      "selector %#x to segment %u: stop %d, vector %d", c->selector, c->segment, g.stop, stopped_in(&g));
        } else {
            cr_expect(stopped_in(&g) == c->vector && frame_word(&g, 0) == c->error && frame_word(&g, 1) == at,
                      "selector %#x to segment %u: vector %d, error %#lx", c->selector, c->segment, stopped_in(&g),
                      frame_word(&g, 0));
        }
    }
}

/* SDM 2B MOV, "Loading a segment register while in protected mode". */
Test(segment_load, data_segments)
{
    static const struct load_case cases[] = {
        {SEG_DS, 0, NO_FAULT, 0},
        {SEG_DS, 3, NO_FAULT, 0},
        {SEG_DS, SEL_DATA3 | 3, NO_FAULT, 0},
        {SEG_DS, SEL_CODE3_32 | 3, NO_FAULT, 0},
        {SEG_DS, SEL_CONFORMING_32 | 3, NO_FAULT, 0},
        {SEG_DS, SEL_DATA0, VEC_GP, SEL_DATA0},
        {SEG_DS, SEL_DATA0 | 3, VEC_GP, SEL_DATA0},
        {SEG_ES, SEL_EXECUTE_ONLY | 3, VEC_GP, SEL_EXECUTE_ONLY},
        {SEG_ES, SEL_LDT | 3, VEC_GP, SEL_LDT},
        {SEG_ES, 0x100, VEC_GP, 0x100},
        {SEG_ES, 0xc | 3, VEC_GP, 0xc}, /* LDT, which is null */
        {SEG_ES, SEL_SPARE | 3, VEC_NP, SEL_SPARE},
    };
    load_cases(cases, ARRAY_COUNT(cases), 3);
}

Test(segment_load, segments_of_ring_0)
{
    static const struct load_case cases[] = {
        {SEG_SS, SEL_DATA0, NO_FAULT, 0},
        {SEG_SS, 0, VEC_GP, 0},
        {SEG_SS, SEL_DATA0 | 3, VEC_GP, SEL_DATA0},
        {SEG_SS, SEL_DATA3, VEC_GP, SEL_DATA3},
        {SEG_SS, SEL_READ_ONLY, VEC_GP, SEL_READ_ONLY},
        {SEG_SS, SEL_CODE0_32, VEC_GP, SEL_CODE0_32},
        {SEG_SS, SEL_ABSENT, VEC_SS, SEL_ABSENT},
        {SEG_DS, SEL_READ_ONLY, NO_FAULT, 0},
        {SEG_DS, SEL_DATA0 | 3, VEC_GP, SEL_DATA0}, /* RPL above DPL */
    };
    load_cases(cases, ARRAY_COUNT(cases), 0);
}

/* SDM 2B MOV: in 64-bit mode SS may be null below ring 3, with RPL = CPL. */
Test(segment_load, null_ss_in_64_bit_mode)
{
    GUEST g = guest_64(VENDOR_INTEL, 0);
    CODE(&g, CODE0, 0x8e, 0xd0, 0xf4);
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 2);
    cr_expect_eq(g.s.seg[SEG_SS].attributes, 0);

    GUEST h = guest_64(VENDOR_INTEL, 3);
    CODE(&h, CODE3, 0x8e, 0xd0);
    h.s.gpr[RAX] = 3;
    guest_run(&h);
    EXPECT_EVENT(&h, VEC_GP, 0, CODE3);
}

/* 3A §3.4.5.1: the accessed bit is set in memory by the load. */
Test(segment_load, sets_the_accessed_bit)
{
    GUEST g = guest_32(0);
    set_gdt(&g, SEL_SPARE, make_descriptor(0x123456, 0xabcd, 0x92, 0x4));
    CODE(&g, CODE0, 0x8e, 0xd8, 0xf4);
    g.s.gpr[RAX] = SEL_SPARE;
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 2);
    cr_expect_eq(peek(&g, GDT + SEL_SPARE + 5, 1), 0x93);
    cr_expect(g.s.seg_base[SEG_DS] == 0x123456 && g.s.seg[SEG_DS].limit == 0xabcd && g.s.seg[SEG_DS].attributes == 0x4093);
}

/* POP of a segment register that faults leaves ESP alone; POP SS moves it by the operand size. */
Test(segment_load, pop_moves_the_stack_only_on_success)
{
    GUEST g = guest_32(0);
    CODE(&g, CODE0, 0x1f);
    poke(&g, STACK0 - 4, 0x100, 4);
    g.s.gpr[RSP] = STACK0 - 4;
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_GP, 0x100, CODE0);
    cr_expect_eq(g.s.gpr[RSP], STACK0 - 4 - 16);

    GUEST h = guest_32(0);
    CODE(&h, CODE0, 0x17, 0x06, 0xf4); /* POP SS, PUSH ES */
    poke(&h, STACK0 - 4, SEL_DATA0, 4);
    h.s.gpr[RSP] = STACK0 - 4;
    guest_run(&h);
    EXPECT_HALT_AT(&h, CODE0 + 2);
    cr_expect(h.s.gpr[RSP] == STACK0 - 4 && peek(&h, STACK0 - 4, 4) == SEL_DATA0);
}

/* Real mode: base = selector * 16, limit and attributes stay ("unreal mode"); 3A §20.1.1. */
Test(segment_load, real_mode_keeps_limits)
{
    GUEST g = guest_16();
    CODE(&g, CODE0, 0x8e, 0xd8, 0x67, 0x8a, 0x03, 0xf4); /* MOV DS, AX; MOV AL, [EBX] */
    g.s.gpr[RAX] = 0x1000;
    g.s.gpr[RBX] = 0x100000;
    g.s.seg[SEG_DS].limit = 0xffffffff;
    poke(&g, 0x110000, 0x77, 1);
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 5);
    cr_expect(g.s.gpr[RAX] == 0x1077 && g.s.seg_base[SEG_DS] == 0x10000);
}

/* SDM 2A LDS/LES/...: offset first, then selector; nothing changes when the selector is bad. */
Test(segment_load, far_pointers)
{
    GUEST g = guest_32(0);
    CODE(&g, CODE0, 0x0f, 0xb4, 0x0b, 0x0f, 0xb5, 0x4b, 0x10, 0xf4); /* LFS ECX, [EBX]; LGS ECX, [EBX+16] */
    g.s.gpr[RBX] = DATA;
    poke(&g, DATA, 0x11223344, 4);
    poke(&g, DATA + 4, SEL_DATA3, 2);
    poke(&g, DATA + 0x10, 0x55667788, 4);
    poke(&g, DATA + 0x14, 0x100, 2);
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_GP, 0x100, CODE0 + 3);
    cr_expect(g.s.gpr[RCX] == 0x11223344 && g.s.seg[SEG_FS].selector == SEL_DATA3 && g.s.seg[SEG_GS].selector == SEL_DATA0);
}

/* ---- tables ---- */

/* SDM 2A LGDT: 2 + 8 bytes in 64-bit mode, base canonical; with a 16-bit operand 24 bits of base; SGDT stores all 32. */
Test(tables, lgdt_and_sgdt)
{
    GUEST g = guest_64(VENDOR_INTEL, 0);
    CODE(&g, CODE0, 0x0f, 0x01, 0x13, 0x0f, 0x01, 0x43, 0x20, 0xf4);
    g.s.gpr[RBX] = DATA;
    poke(&g, DATA, 0x0fff, 2);
    poke(&g, DATA + 2, 0xffff800000001000, 8);
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 7);
    cr_expect(g.s.gdtr.base == 0xffff800000001000 && g.s.gdtr.limit == 0xfff);
    cr_expect(peek(&g, DATA + 0x20, 2) == 0xfff && peek(&g, DATA + 0x22, 8) == 0xffff800000001000);

    GUEST b = guest_64(VENDOR_INTEL, 0);
    CODE(&b, CODE0, 0x0f, 0x01, 0x13);
    b.s.gpr[RBX] = DATA;
    poke(&b, DATA + 2, 0x0000800000001000, 8);
    guest_run(&b);
    EXPECT_EVENT(&b, VEC_GP, 0, CODE0);

    GUEST s = guest_32(0);
    CODE(&s, CODE0, 0x66, 0x0f, 0x01, 0x1b, 0xf4); /* 16-bit LIDT */
    s.s.gpr[RBX] = DATA;
    poke(&s, DATA + 2, 0xaabbccdd, 4);
    guest_run(&s);
    EXPECT_HALT_AT(&s, CODE0 + 4);
    cr_expect_eq(s.s.idtr.base, 0xbbccdd);
}

/* SDM 2A LLDT, 2B LTR. */
Test(tables, lldt_and_ltr_check_the_descriptor)
{
    static const struct {
        uint8_t modrm;
        uint16_t selector;
        int vector;
        unsigned error;
    } cases[] = {
        {0xd0, 0, NO_FAULT, 0},
        {0xd0, SEL_LDT, NO_FAULT, 0},
        {0xd0, SEL_LDT | 4, VEC_GP, SEL_LDT | 4},
        {0xd0, SEL_TSS2, VEC_GP, SEL_TSS2},
        {0xd0, 0x100, VEC_GP, 0x100},
        {0xd0, SEL_SPARE, VEC_NP, SEL_SPARE},
        {0xd8, SEL_TSS2, NO_FAULT, 0},
        {0xd8, 0, VEC_GP, 0},
        {0xd8, SEL_TSS, VEC_GP, SEL_TSS}, /* busy */
        {0xd8, SEL_LDT, VEC_GP, SEL_LDT},
        {0xd8, SEL_SPARE2, VEC_NP, SEL_SPARE2},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        GUEST g = guest_32(0);
        set_gdt(&g, SEL_SPARE, make_descriptor(LDT, 0x7f, 0x02, 0));
        set_gdt(&g, SEL_SPARE2, make_descriptor(TSS2, 0x67, 0x09, 0));
        CODE(&g, CODE0, 0x0f, 0x00, cases[i].modrm, 0xf4);
        g.s.gpr[RAX] = cases[i].selector;
        guest_run(&g);
        if (cases[i].vector == NO_FAULT) {
            EXPECT_HALT_AT(&g, CODE0 + 3);
        } else {
            EXPECT_EVENT(&g, cases[i].vector, cases[i].error, CODE0);
        }
        if (cases[i].vector == NO_FAULT && cases[i].modrm == 0xd8) {
            cr_expect(peek(&g, GDT + SEL_TSS2 + 5, 1) == 0x8b && g.s.tr.base == TSS2 && g.s.tr.seg.attributes == 0x8b);
        }
    }
}

/* 3A §7.2.3: in IA-32e mode the descriptor has 16 bytes and the base 64 bits, which must be canonical. */
Test(tables, ltr_in_long_mode_reads_sixteen_bytes)
{
    GUEST g = guest_64(VENDOR_INTEL, 0), h = guest_64(VENDOR_INTEL, 0);
    for (unsigned i = 0; i < 2; i++) {
        struct guest *x = i == 0 ? &g : &h;
        set_gdt(x, SEL_SPARE, make_descriptor(TSS2, 0x67, 0x89, 0));
        poke(x, GDT + SEL_SPARE + 8, i == 0 ? 0xffffff80 : 0x80000000, 8);
        CODE(x, CODE0, 0x0f, 0x00, 0xd8, 0xf4);
        x->s.gpr[RAX] = SEL_SPARE;
        guest_run(x);
    }
    EXPECT_HALT_AT(&g, CODE0 + 3);
    cr_expect_eq(g.s.tr.base, 0xffffff8000000000 + TSS2);
    EXPECT_EVENT(&h, VEC_GP, SEL_SPARE, CODE0);
}

/* An LDT's descriptors work like the GDT's. */
Test(tables, selectors_of_the_ldt)
{
    GUEST g = guest_32(0);
    poke(&g, LDT + 8, make_descriptor(0x1000, 0xfff, 0xf3, 4), 8);
    CODE(&g, CODE0, 0x0f, 0x00, 0xd0, 0x8e, 0xdb, 0x8e, 0xd9); /* LLDT AX; MOV DS, BX; MOV DS, CX */
    g.s.gpr[RAX] = SEL_LDT;
    g.s.gpr[RBX] = 8 | 4 | 3;
    g.s.gpr[RCX] = 0x80 | 4; /* beyond its limit */
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_GP, 0x84, CODE0 + 5);
    cr_expect_eq(g.s.seg_base[SEG_DS], 0x1000);
}

/* ---- LAR, LSL, VERR, VERW, ARPL ---- */

struct question_case {
    uint16_t selector;
    bool lar, lsl, verr, verw;
};
static void questions(struct guest (*create)(void), const struct question_case *cases, unsigned count)
{
    static const uint8_t forms[4][3] = {{0x0f, 0x02, 0xc8}, {0x0f, 0x03, 0xc8}, {0x0f, 0x00, 0xe0}, {0x0f, 0x00, 0xe8}};
    for (unsigned i = 0; i < count; i++) {
        const bool expected[4] = {cases[i].lar, cases[i].lsl, cases[i].verr, cases[i].verw};
        for (unsigned f = 0; f < 4; f++) {
            GUEST g = create();
            uint64_t at = g.s.rip;
            set_gdt(&g, SEL_SPARE, make_gate(SEL_CODE0_32, 0, 0xec, 0));  /* call gate, DPL 3 */
            set_gdt(&g, SEL_SPARE2, make_gate(SEL_TSS2, 0, 0xe5, 0));     /* task gate, DPL 3 */
            set_gdt(&g, SEL_SPARE3, make_gate(SEL_CODE0_32, 0, 0xee, 0)); /* interrupt gate, DPL 3 */
            guest_bytes(&g, at, forms[f], 3);
            CODE(&g, at + 3, SPIN);
            g.s.gpr[RAX] = cases[i].selector;
            g.s.gpr[RCX] = 0x5555;
            guest_run(&g);
            cr_expect_eq(g.stop, STOP_UNTIL);
            cr_expect_eq((g.s.rflags & RFLAGS_ZF) != 0, expected[f], "selector %#x, form %u", cases[i].selector, f);
            cr_expect(expected[f] || g.s.gpr[RCX] == 0x5555, "selector %#x, form %u: destination changed", cases[i].selector,
                      f);
        }
    }
}
static struct guest create_32_ring3(void)
{
    return guest_32(3);
}
static struct guest create_64_ring3(void)
{
    return guest_64(VENDOR_INTEL, 3);
}

/* SDM 2A LAR, LSL; 2C VERR/VERW. */
Test(questions, protected_mode)
{
    static const struct question_case cases[] = {
        {0, false, false, false, false},
        {0x100, false, false, false, false},
        {SEL_DATA3 | 3, true, true, true, true},
        {SEL_CODE3_32 | 3, true, true, true, false},
        {SEL_DATA0 | 3, false, false, false, false},
        {SEL_CONFORMING_32 | 3, true, true, true, false},
        {SEL_TSS | 3, false, false, false, false}, /* DPL 0 */
        {SEL_SPARE | 3, true, false, false, false},
        {SEL_SPARE2 | 3, true, false, false, false},
        {SEL_SPARE3 | 3, false, false, false, false},
    };
    questions(create_32_ring3, cases, ARRAY_COUNT(cases));
}

/* The IA-32e columns of the type tables know no task gates. */
Test(questions, long_mode)
{
    static const struct question_case cases[] = {
        {SEL_DATA3 | 3, true, true, true, true},
        {SEL_SPARE | 3, true, false, false, false},
        {SEL_SPARE2 | 3, false, false, false, false},
    };
    questions(create_64_ring3, cases, ARRAY_COUNT(cases));
}

/* LAR gives the second doubleword AND 00F0FF00H; LSL the limit in bytes. */
Test(questions, lar_and_lsl_values)
{
    GUEST g = guest_32(0);
    set_gdt(&g, SEL_SPARE, make_descriptor(0x12345678, 0x9abcd, 0xf3, 0xd));
    CODE(&g, CODE0, 0x0f, 0x02, 0xc8, 0x0f, 0x03, 0xd0, 0xf4);
    g.s.gpr[RAX] = SEL_SPARE;
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 6);
    cr_expect(g.s.gpr[RCX] == 0x00d0f300 && g.s.gpr[RDX] == 0x9abcdfff);
}

/* SDM 2A ARPL. */
Test(questions, arpl_raises_rpl)
{
    GUEST g = guest_32(0);
    CODE(&g, CODE0, 0x63, 0xd8, 0x9c, 0x63, 0x1e, 0x9c, 0xf4); /* ARPL AX, BX; PUSHF; ARPL [ESI], BX; PUSHF */
    g.s.gpr[RAX] = 0x11;
    g.s.gpr[RBX] = 2;
    g.s.gpr[RSI] = DATA;
    poke(&g, DATA, 0x13, 2);
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 6);
    cr_expect(g.s.gpr[RAX] == 0x12 && (peek(&g, STACK0 - 4, 4) & RFLAGS_ZF));
    cr_expect(peek(&g, DATA, 2) == 0x13 && !(peek(&g, STACK0 - 8, 4) & RFLAGS_ZF));
}

/* ---- hardware tasks, 3A chapter 7 ---- */

/* A 32-bit TSS at TSS2: ring 0, code at CODE0 + 0x400, all registers distinct. */
static void make_task(struct guest *g, uint32_t eip)
{
    poke(g, TSS2 + 0x20, eip, 4);
    poke(g, TSS2 + 0x24, 2 | RFLAGS_CF, 4);
    for (unsigned i = 0; i < 8; i++) {
        poke(g, TSS2 + 0x28 + 4 * i, i == RSP ? STACK_IST : 0x100 + i, 4);
    }
    for (unsigned i = 0; i < 6; i++) {
        poke(g, TSS2 + 0x48 + 4 * i, i == SEG_CS ? SEL_CODE0_32 : SEL_DATA0, 2);
    }
    poke(g, TSS2 + 0x60, 0, 2);
}

/* §7.3, §7.4: CALL saves the old state, links, sets NT and TS, and IRET comes back. */
Test(task, call_and_iret)
{
    GUEST g = guest_32(0);
    make_task(&g, CODE0 + 0x400);
    CODE(&g, CODE0, 0x9a, 0, 0, 0, 0, SEL_TSS2, 0, 0xf4); /* CALL TSS2; HLT */
    CODE(&g, CODE0 + 0x400, 0xcf);
    g.s.gpr[RBX] = 0xabcd;
    g.s.rflags |= RFLAGS_ZF;
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 7);
    cr_expect(g.s.gpr[RBX] == 0xabcd && g.s.gpr[RSP] == STACK0 && g.s.rflags == (2 | RFLAGS_ZF));
    cr_expect_eq(g.s.cr0 & CR0_TS, CR0_TS);
    cr_expect_eq(peek(&g, TSS2, 2), SEL_TSS, "back link");
    cr_expect_eq(peek(&g, TSS2 + 0x20, 4), CODE0 + 0x401);
    cr_expect_eq(peek(&g, TSS2 + 0x24, 4) & RFLAGS_NT, 0, "IRET saves NT clear");
    cr_expect_eq(peek(&g, TSS2 + 0x28 + 4 * RBX, 4), 0x100 + RBX);
    cr_expect_eq(peek(&g, GDT + SEL_TSS + 5, 1), 0x8b, "the caller was busy all along");
    cr_expect_eq(peek(&g, GDT + SEL_TSS2 + 5, 1), 0x89, "the callee is free again");
    cr_expect_eq(g.s.tr.seg.selector, SEL_TSS);
}

/* §7.3: JMP does not nest; the old task becomes available. */
Test(task, jmp_does_not_nest)
{
    GUEST g = guest_32(0);
    make_task(&g, CODE0 + 0x400);
    CODE(&g, CODE0, 0xea, 0, 0, 0, 0, SEL_TSS2, 0);
    CODE(&g, CODE0 + 0x400, 0xf4);
    g.s.gpr[RCX] = 0x77;
    g.s.dr7 = 0x400 | 1; /* L0 is local to the task */
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 0x400);
    cr_expect_eq(g.s.rflags, 2 | RFLAGS_CF);
    cr_expect(g.s.gpr[RAX] == 0x100 && g.s.gpr[RSP] == STACK_IST);
    cr_expect_eq(peek(&g, TSS + 0x20, 4), CODE0 + 7);
    cr_expect_eq(peek(&g, TSS + 0x28 + 4 * RCX, 4), 0x77);
    cr_expect(peek(&g, GDT + SEL_TSS + 5, 1) == 0x89 && peek(&g, GDT + SEL_TSS2 + 5, 1) == 0x8b);
    cr_expect_eq(g.s.dr7, 0x400);
}

/* §7.2.5, §6.12.2: a fault through a task gate pushes its error code on the new stack and saves RF in the old EFLAGS. */
Test(task, exception_through_a_task_gate)
{
    GUEST g = guest_32(3);
    make_task(&g, CODE0 + 0x400);
    poke(&g, IDT + 8 * VEC_GP, make_gate(SEL_TSS2, 0, 0x85, 0), 8);
    CODE(&g, CODE3, 0xf4); /* #GP(0) at CPL 3 */
    CODE(&g, CODE0 + 0x400, 0xf4);
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 0x400);
    cr_expect(g.s.gpr[RSP] == STACK_IST - 4 && peek(&g, STACK_IST - 4, 4) == 0);
    cr_expect_eq(peek(&g, TSS + 0x20, 4), CODE3);
    cr_expect_eq(peek(&g, TSS + 0x24, 4), 2 | RFLAGS_RF);
    cr_expect_eq(g.s.rflags & RFLAGS_NT, RFLAGS_NT);
}

/* §7.2.1: the T flag of the new TSS is a debug trap (DR6.BT) before its first instruction. */
Test(task, trap_flag)
{
    GUEST g = guest_32(0);
    make_task(&g, CODE0 + 0x400);
    poke(&g, TSS2 + 0x64, 1, 1);
    CODE(&g, CODE0, 0xea, 0, 0, 0, 0, SEL_TSS2, 0);
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_DB, NO_ERROR, CODE0 + 0x400);
    cr_expect_eq(g.s.dr6 & 0xe00f, 0x8000);
}

/* §7.3 step 1-6: what is wrong before the switch faults in the old task, which stays as it was. */
Test(task, faults_before_the_switch_belong_to_the_old_task)
{
    static const struct {
        uint64_t access;
        uint32_t limit;
        int vector;
    } cases[] = {{0x8b, 0x67, VEC_GP}, {0x09, 0x67, VEC_NP}, {0x89, 0x66, VEC_TS}};
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        GUEST g = guest_32(0);
        make_task(&g, CODE0 + 0x400);
        set_gdt(&g, SEL_TSS2, make_descriptor(TSS2, cases[i].limit, (unsigned)cases[i].access, 0));
        CODE(&g, CODE0, 0xea, 0, 0, 0, 0, SEL_TSS2, 0);
        guest_run(&g);
        EXPECT_EVENT(&g, cases[i].vector, SEL_TSS2, CODE0);
        cr_expect_eq(g.s.tr.seg.selector, SEL_TSS);
    }
}

/* §7.3, §6.15 #TS: bad segments of the new task fault in its context. */
Test(task, faults_after_the_switch_belong_to_the_new_task)
{
    static const struct {
        unsigned offset;
        uint16_t selector;
        int vector;
        unsigned error;
    } cases[] = {
        {0x60, SEL_DATA0, VEC_TS, SEL_DATA0}, /* LDT */
        {0x54, SEL_LDT, VEC_TS, SEL_LDT},     /* DS */
        {0x54, SEL_SPARE, VEC_NP, SEL_SPARE},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        GUEST g = guest_32(0);
        make_task(&g, CODE0 + 0x400);
        poke(&g, TSS2 + cases[i].offset, cases[i].selector, 2);
        set_gdt(&g, SEL_SPARE, make_descriptor(0, 0xfffff, 0x13, 0xc));
        /* a handler that needs neither the old stack nor the new segments: a third task would be cleaner, a 32-bit gate will do
         */
        CODE(&g, CODE0, 0xea, 0, 0, 0, 0, SEL_TSS2, 0);
        guest_run(&g);
        if (cases[i].offset == 0x60) {
            /* SS is not loaded yet: the #TS itself has no stack, and neither has the double fault */
            cr_expect_eq(g.stop, STOP_SHUTDOWN);
            cr_expect_eq(g.s.tr.seg.selector, SEL_TSS2);
        } else {
            EXPECT_EVENT(&g, cases[i].vector, cases[i].error, CODE0 + 0x400);
            cr_expect_eq(g.s.tr.seg.selector, SEL_TSS2);
        }
    }
}

/* §7.6: 16-bit tasks. */
Test(task, sixteen_bit_tss)
{
    GUEST g = guest_32(0);
    set_gdt(&g, SEL_TSS2, make_descriptor(TSS2, 0x2b, 0x81, 0));
    poke(&g, TSS2 + 0x0e, 0x400, 2);
    poke(&g, TSS2 + 0x10, 2, 2);
    poke(&g, TSS2 + 0x12 + 2 * RAX, 0x1234, 2);
    poke(&g, TSS2 + 0x12 + 2 * RSP, 0x8000, 2);
    poke(&g, TSS2 + 0x22, SEL_DATA0, 2);
    poke(&g, TSS2 + 0x24, SEL_SPARE, 2);
    poke(&g, TSS2 + 0x26, SEL_DATA0, 2);
    poke(&g, TSS2 + 0x28, SEL_DATA0, 2);
    set_gdt(&g, SEL_SPARE, make_descriptor(CODE0, 0xffff, 0x9b, 0));
    CODE(&g, CODE0, 0xea, 0, 0, 0, 0, SEL_TSS2, 0);
    CODE(&g, CODE0 + 0x400, 0xf4);
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 0x400);
    cr_expect((g.s.gpr[RAX] & 0xffff) == 0x1234 && g.s.seg[SEG_FS].selector == 0 && g.s.tr.seg.attributes == 0x83);
    cr_expect_eq(peek(&g, TSS + 0x20, 4), CODE0 + 7, "the old task was a 32-bit one");
}

/* §7.7: no tasks in IA-32e mode. */
Test(task, long_mode_refuses)
{
    GUEST g = guest_64(VENDOR_INTEL, 0);
    CODE(&g, CODE0, 0xff, 0x2b);
    poke(&g, DATA + 4, SEL_TSS2, 2);
    g.s.gpr[RBX] = DATA;
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_GP, SEL_TSS2, CODE0);
}
