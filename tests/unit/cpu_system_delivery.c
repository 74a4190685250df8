/* Event delivery in every mode, and what faults on the way become. SDM 3A chapter 6; SDM 2A INT n. */
#include "cpu_system_fixture.h"

static const uint8_t ud2[] = {0x0f, 0x0b}, int80[] = {0xcd, 0x80}, int3[] = {0xcc};
#define NOWHERE 0x7000000000ULL /* not mapped */

/* ---- 64-bit ---- */

/* 3A §6.14.2: SS:RSP is pushed even without a change of privilege, below a 16-byte boundary. */
Test(delivery_64, same_privilege_aligns_and_pushes_the_stack)
{
    GUEST g = guest_64(VENDOR_INTEL, 0);
    guest_bytes(&g, CODE0, ud2, 2);
    g.s.gpr[RSP] = STACK0 - 3;
    g.s.rflags |= RFLAGS_IF | RFLAGS_CF;
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_UD, NO_ERROR, CODE0);
    cr_expect_eq(g.s.gpr[RSP], STACK0 - 16 - 40);
    cr_expect_eq(frame_word(&g, 1), SEL_CODE0_64);
    cr_expect_eq(frame_word(&g, 2), 2 | RFLAGS_IF | RFLAGS_CF | RFLAGS_RF, "a fault pushes RF set, 3A §17.3.1.1");
    cr_expect_eq(frame_word(&g, 3), STACK0 - 3);
    cr_expect_eq(frame_word(&g, 4), SEL_DATA0);
    cr_expect_eq(g.s.rflags & (RFLAGS_IF | RFLAGS_RF | RFLAGS_TF), 0);
    cr_expect_eq(g.s.seg[SEG_SS].selector, SEL_DATA0, "SS stays without a change of privilege");
}

/* 3A §6.14.2-6.14.4: RSP0 of the TSS; SS becomes null with RPL 0. */
Test(delivery_64, inner_privilege_takes_rsp0_and_a_null_ss)
{
    GUEST g = guest_64(VENDOR_INTEL, 3);
    guest_bytes(&g, CODE3, int80, 2);
    set_idt64(&g, 0x80, SEL_CODE0_64, handler(0x80), 0xee, 0);
    guest_run(&g);
    EXPECT_EVENT(&g, 0x80, NO_ERROR, CODE3 + 2);
    cr_expect_eq(g.s.gpr[RSP], STACK0 - 40);
    cr_expect_eq(frame_word(&g, 1), SEL_CODE3_64 | 3);
    cr_expect_eq(frame_word(&g, 3), STACK3);
    cr_expect_eq(frame_word(&g, 4), SEL_DATA3 | 3);
    cr_expect(g.s.seg[SEG_SS].selector == 0 && g.s.seg[SEG_SS].attributes == 0);
    cr_expect_eq(g.s.cpl, 0);
}

/* 3A §6.14.5: an IST entry switches stacks even at the same privilege; SS stays then. */
Test(delivery_64, ist_switches_at_any_privilege)
{
    GUEST g = guest_64(VENDOR_INTEL, 0);
    guest_bytes(&g, CODE0, ud2, 2);
    set_idt64(&g, VEC_UD, SEL_CODE0_64, handler(VEC_UD), 0x8e, 1);
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_UD, NO_ERROR, CODE0);
    cr_expect_eq(g.s.gpr[RSP], STACK_IST - 40);
    cr_expect_eq(g.s.seg[SEG_SS].selector, SEL_DATA0);
}

/* 3A §6.12.1.3: a trap gate leaves IF, an interrupt gate clears it. */
Test(delivery_64, trap_gate_leaves_if)
{
    GUEST g = guest_64(VENDOR_INTEL, 0);
    guest_bytes(&g, CODE0, int80, 2);
    set_idt64(&g, 0x80, SEL_CODE0_64, handler(0x80), 0x8f, 0);
    g.s.rflags |= RFLAGS_IF | RFLAGS_NT | RFLAGS_AC;
    guest_run(&g);
    EXPECT_EVENT(&g, 0x80, NO_ERROR, CODE0 + 2);
    cr_expect_eq(g.s.rflags & (RFLAGS_IF | RFLAGS_NT | RFLAGS_AC), RFLAGS_IF | RFLAGS_AC);
    cr_expect_eq(frame_word(&g, 2) & (RFLAGS_RF | RFLAGS_NT), RFLAGS_NT, "a trap does not set RF");
}

/* 3A §6.12.1.2: INT n, INT3 and INTO may use a gate only if CPL <= its DPL: #GP(vector * 8 + 2). */
Test(delivery_64, software_interrupt_checks_gate_dpl)
{
    GUEST g = guest_64(VENDOR_INTEL, 3);
    guest_bytes(&g, CODE3, int80, 2);
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_GP, 0x80 * 8 + 2, CODE3);

    GUEST b = guest_64(VENDOR_INTEL, 3);
    guest_bytes(&b, CODE3, int3, 1);
    guest_run(&b);
    EXPECT_EVENT(&b, VEC_GP, VEC_BP * 8 + 2, CODE3);
}

/* SDM 2A INT1: the gate's DPL is not checked, and the #DB is a trap. */
Test(delivery_64, int1_ignores_gate_dpl)
{
    GUEST g = guest_64(VENDOR_INTEL, 3);
    CODE(&g, CODE3, 0xf1);
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_DB, NO_ERROR, CODE3 + 1);
}

/* A gate of each wrong kind; error codes by 3A §6.13: index * 8, IDT bit 1, EXT bit 0 for events that no INT caused. */
static void bad_gate(uint16_t selector, uint64_t offset, unsigned access, int vector, unsigned error)
{
    GUEST g = guest_64(VENDOR_INTEL, 0);
    guest_bytes(&g, CODE0, int80, 2);
    set_idt64(&g, 0x80, selector, offset, access, 0);
    guest_run(&g);
    EXPECT_EVENT(&g, vector, error, CODE0);
}
Test(delivery_64, gates_are_checked_in_order)
{
    bad_gate(SEL_CODE0_64, handler(0x80), 0x8c, VEC_GP, 0x80 * 8 + 2); /* a call gate */
    bad_gate(SEL_CODE0_64, handler(0x80), 0x86, VEC_GP, 0x80 * 8 + 2); /* 16-bit gates do not exist in IA-32e mode */
    bad_gate(SEL_CODE0_64, handler(0x80), 0x0e, VEC_NP, 0x80 * 8 + 2); /* not present */
    bad_gate(0, handler(0x80), 0x8e, VEC_GP, 0);                       /* null CS */
    bad_gate(0x100, handler(0x80), 0x8e, VEC_GP, 0x100);               /* beyond the GDT */
    bad_gate(SEL_DATA0, handler(0x80), 0x8e, VEC_GP, SEL_DATA0);       /* not code */
    bad_gate(SEL_CODE0_32, handler(0x80), 0x8e, VEC_GP, SEL_CODE0_32); /* not 64-bit code */
    bad_gate(SEL_CODE3_64, handler(0x80), 0x8e, VEC_GP, SEL_CODE3_64); /* DPL above CPL */
    bad_gate(SEL_CODE0_64, 1ULL << 47, 0x8e, VEC_GP, 0);               /* handler not canonical */
}

/* 3A §6.10: a vector beyond the IDT limit is #GP(vector * 8 + 2). */
Test(delivery_64, vector_beyond_the_idt_limit_is_gp)
{
    GUEST g = guest_64(VENDOR_INTEL, 0);
    guest_bytes(&g, CODE0, int80, 2);
    g.s.idtr.limit = 0x80 * 16 + 14;
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_GP, 0x80 * 8 + 2, CODE0);
}

/* SDM 2A INT n: a TSS too short for RSP0 is #TS(TR); it is raised by INT n, so EXT is 0. */
Test(delivery_64, tss_too_short_is_ts)
{
    GUEST g = guest_64(VENDOR_INTEL, 3);
    guest_bytes(&g, CODE3, int80, 2);
    set_idt64(&g, 0x80, SEL_CODE0_64, handler(0x80), 0xee, 0);
    set_idt64(&g, VEC_TS, SEL_CODE0_64, handler(VEC_TS), 0x8e, 1);
    g.s.tr.seg.limit = 10;
    guest_run(&g);
    cr_expect_eq(g.stop, STOP_SHUTDOWN, "the #TS handler needs RSP from the same TSS: IST1 at 24h is beyond it too");

    GUEST h = guest_64(VENDOR_INTEL, 3);
    guest_bytes(&h, CODE3, int80, 2);
    set_idt64(&h, 0x80, SEL_CODE0_64, handler(0x80), 0xee, 2);
    h.s.tr.seg.limit = 0x2c; /* IST1 fits, IST2 does not */
    guest_run(&h);
    EXPECT_EVENT(&h, VEC_TS, SEL_TSS, CODE3);
}

/* 3A §6.14.2: a non-canonical stack is #SS; here in the delivery of INT 80h. */
Test(delivery_64, noncanonical_stack_is_ss)
{
    GUEST g = guest_64(VENDOR_INTEL, 0);
    guest_bytes(&g, CODE0, int80, 2);
    g.s.gpr[RSP] = 1ULL << 63;
    set_idt64(&g, VEC_SS, SEL_CODE0_64, handler(VEC_SS), 0x8e, 1);
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_SS, 0, CODE0);
}

/* ---- double and triple faults, 3A §6.15 table 6-5 ---- */

/* #GP, then #NP in its delivery: two contributory faults. */
Test(double_fault, two_contributory_faults_make_one)
{
    GUEST g = guest_64(VENDOR_INTEL, 0);
    CODE(&g, CODE0, 0x0f, 0x32); /* RDMSR of 0: #GP */
    set_idt64(&g, VEC_GP, SEL_CODE0_64, handler(VEC_GP), 0x0e, 0);
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_DF, 0, CODE0);
}

/* #UD is benign: the #NP of its delivery is delivered itself, with EXT set. */
Test(double_fault, a_benign_fault_gives_way)
{
    GUEST g = guest_64(VENDOR_INTEL, 0);
    guest_bytes(&g, CODE0, ud2, 2);
    set_idt64(&g, VEC_UD, SEL_CODE0_64, handler(VEC_UD), 0x0e, 0);
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_NP, VEC_UD * 8 + 3, CODE0);
}

/* #PF, then #PF on the stack. */
Test(double_fault, page_fault_in_a_page_fault)
{
    GUEST g = guest_64(VENDOR_INTEL, 0);
    CODE(&g, CODE0, 0x8a, 0x00); /* MOV AL, [RAX] */
    g.s.gpr[RAX] = NOWHERE;
    g.s.gpr[RSP] = NOWHERE + 0x1000;
    set_idt64(&g, VEC_DF, SEL_CODE0_64, handler(VEC_DF), 0x8e, 1);
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_DF, 0, CODE0);
    cr_expect_eq(g.s.cr2, NOWHERE + 0x1000 - 8, "CR2 names the push, top first");
}

/* #GP (contributory), then #PF on the stack: no double fault, the page fault is delivered. */
Test(double_fault, page_fault_after_a_contributory_fault_is_delivered)
{
    GUEST g = guest_64(VENDOR_INTEL, 0);
    CODE(&g, CODE0, 0x0f, 0x32);
    g.s.gpr[RSP] = NOWHERE + 0x1000;
    set_idt64(&g, VEC_PF, SEL_CODE0_64, handler(VEC_PF), 0x8e, 1);
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_PF, 2, CODE0);
}

/* A fault in the delivery of a double fault shuts the processor down. */
Test(double_fault, a_third_fault_is_shutdown)
{
    GUEST g = guest_64(VENDOR_INTEL, 0);
    guest_bytes(&g, CODE0, ud2, 2);
    g.s.idtr.limit = 0;
    guest_run(&g);
    cr_expect_eq(g.stop, STOP_SHUTDOWN);
    cr_expect_eq(g.s.activity, VP_SHUTDOWN);
    cr_expect_eq(g.s.rip, CODE0);
}

/* exception.c: an alignment check whose delivery raises it again, for ever, ends in shutdown (a processor would hang). */
Test(double_fault, endless_alignment_checks_are_shutdown)
{
    GUEST g = guest_32(3);
    CODE(&g, CODE3, 0x8b, 0x03); /* MOV EAX, [EBX] */
    poke(&g, IDT + 8 * VEC_AC, make_gate(SEL_CODE3_32, handler(VEC_AC), 0x8e, 0), 8);
    g.s.cr0 |= CR0_AM;
    g.s.rflags |= RFLAGS_AC;
    g.s.gpr[RBX] = DATA + 1;
    g.s.gpr[RSP] = STACK3 - 1;
    guest_run(&g);
    cr_expect_eq(g.stop, STOP_SHUTDOWN);
}

/* A fault during delivery leaves the registers as they were at the instruction. */
Test(double_fault, failed_delivery_changes_nothing)
{
    GUEST g = guest_64(VENDOR_INTEL, 3);
    guest_bytes(&g, CODE3, int80, 2);
    set_idt64(&g, 0x80, SEL_CODE0_64, 1ULL << 47, 0xee, 0); /* found last: the handler is not canonical */
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_GP, 0, CODE3);
    cr_expect_eq(frame_word(&g, 2), SEL_CODE3_64 | 3);
    cr_expect_eq(frame_word(&g, 4), STACK3);
    cr_expect_eq(frame_word(&g, 5), SEL_DATA3 | 3);
}

/* ---- external events ---- */

/* 3A §6.8.1; the local APIC delivers when IF is set. */
Test(external, interrupt_goes_through_its_gate_without_dpl_check)
{
    GUEST g = guest_64(VENDOR_INTEL, 3);
    CODE(&g, CODE3, 0xeb, 0xfe);
    g.s.rflags |= RFLAGS_IF;
    lapic_write(g.vp, 0xf0, 0x1ff);
    lapic_interrupt(g.vp, 0x55, false);
    guest_run(&g);
    EXPECT_EVENT(&g, 0x55, NO_ERROR, CODE3);
    cr_expect_eq(frame_word(&g, 2), 2 | RFLAGS_IF);
}

/* A fault on the way of an external event has EXT set (3A §6.13). */
Test(external, fault_in_the_delivery_of_an_interrupt_has_ext)
{
    GUEST g = guest_64(VENDOR_INTEL, 0);
    CODE(&g, CODE0, 0xeb, 0xfe);
    g.s.rflags |= RFLAGS_IF;
    set_idt64(&g, 0x55, SEL_CODE0_64, handler(0x55), 0x0e, 0);
    lapic_write(g.vp, 0xf0, 0x1ff);
    lapic_interrupt(g.vp, 0x55, false);
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_NP, 0x55 * 8 + 3, CODE0);
}

/* STI, then one more instruction, before the interrupt (SDM 2B STI). */
Test(external, sti_delays_by_one_instruction)
{
    GUEST g = guest_64(VENDOR_INTEL, 0);
    CODE(&g, CODE0, 0xfb, 0x90, 0xf4);
    lapic_write(g.vp, 0xf0, 0x1ff);
    lapic_interrupt(g.vp, 0x55, false);
    guest_run(&g);
    EXPECT_EVENT(&g, 0x55, NO_ERROR, CODE0 + 2);
}

/* SDM 2B MOV: a load of SS holds interrupts back for one instruction. */
Test(external, mov_ss_delays_by_one_instruction)
{
    GUEST g = guest_64(VENDOR_INTEL, 0);
    CODE(&g, CODE0, 0x8e, 0xd0, 0x90, 0xf4); /* MOV SS, AX; NOP */
    g.s.gpr[RAX] = SEL_DATA0;
    g.s.rflags |= RFLAGS_IF;
    g.s.interrupt_shadow = 1; /* so that MOV SS itself begins */
    lapic_write(g.vp, 0xf0, 0x1ff);
    lapic_interrupt(g.vp, 0x55, false);
    guest_run(&g);
    EXPECT_EVENT(&g, 0x55, NO_ERROR, CODE0 + 3);
}

/* 3A §6.7.1: a second NMI waits for IRET. */
Test(external, nmi_blocks_nmis_until_iret)
{
    GUEST g = guest_64(VENDOR_INTEL, 0);
    CODE(&g, CODE0, 0xeb, 0xfe);
    CODE(&g, handler(VEC_NMI), 0xff, 0xc0, 0x83, 0xf8, 0x02, 0x74, 0x03, 0x48, 0xcf, 0x90, 0xf4); /* INC EAX; 2nd: HLT; IRETQ */
    vp_set_nmi(g.vp);
    g.s.nmi_pending = true;
    guest_run(&g);
    cr_expect_eq(g.stop, STOP_UNTIL, "one NMI, then the loop again");
    cr_expect_eq(g.s.gpr[RAX], 1);
    cr_expect_eq(g.s.nmi_blocked, false);
    g.s.nmi_pending = true;
    g.s.nmi_blocked = true;
    guest_run(&g);
    cr_expect_eq(g.s.gpr[RAX], 1, "blocked");
    g.s.nmi_blocked = false;
    guest_run(&g);
    cr_expect_eq(g.s.gpr[RAX], 2);
    cr_expect_eq(g.s.nmi_blocked, true);
}

/* ---- 32-bit protected mode ---- */

Test(delivery_32, same_privilege_pushes_three_doublewords)
{
    GUEST g = guest_32(0);
    guest_bytes(&g, CODE0, ud2, 2);
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_UD, NO_ERROR, CODE0);
    cr_expect_eq(g.s.gpr[RSP], STACK0 - 12);
    cr_expect_eq(frame_word(&g, 1), SEL_CODE0_32);
}

/* 3A §6.12.1: SS0:ESP0 of the TSS, then SS, ESP, EFLAGS, CS, EIP. */
Test(delivery_32, inner_privilege_switches_stacks)
{
    GUEST g = guest_32(3);
    guest_bytes(&g, CODE3, ud2, 2);
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_UD, NO_ERROR, CODE3);
    cr_expect_eq(g.s.gpr[RSP], STACK0 - 20);
    cr_expect_eq(frame_word(&g, 1), SEL_CODE3_32 | 3);
    cr_expect_eq(frame_word(&g, 3), STACK3);
    cr_expect_eq(frame_word(&g, 4), SEL_DATA3 | 3);
    cr_expect_eq(g.s.seg[SEG_SS].selector, SEL_DATA0);
}

/* A 16-bit gate pushes words and cuts the offset to 16 bits. */
Test(delivery_32, sixteen_bit_gate_pushes_words)
{
    GUEST g = guest_32(0);
    guest_bytes(&g, CODE0, int80, 2);
    poke(&g, IDT + 8 * 0x80, make_gate(SEL_CODE0_32, 0xffff0000 | handler(0x80), 0x86, 0), 8);
    guest_run(&g);
    cr_expect_eq(stopped_in(&g), 0x80);
    cr_expect_eq(g.s.gpr[RSP], STACK0 - 6);
    cr_expect_eq(peek(&g, STACK0 - 6, 2), (CODE0 + 2) & 0xffff);
    cr_expect_eq(peek(&g, STACK0 - 4, 2), SEL_CODE0_32);
}

/* The inner stack segment of the TSS: null, wrong RPL, not writable are #TS; absent is #SS. */
static void bad_ss0(uint16_t ss, int vector, unsigned error)
{
    GUEST g = guest_32(3);
    guest_bytes(&g, CODE3, ud2, 2);
    poke(&g, TSS + 8, ss, 2);
    /* the fault's own handler stays at CPL 3, in a conforming segment */
    set_gdt(&g, SEL_SPARE, make_descriptor(0, 0xfffff, 0xff, 0xc));
    poke(&g, IDT + 8 * vector, make_gate(SEL_SPARE, CODE3 + 0x100, 0x8e, 0), 8);
    CODE(&g, CODE3 + 0x100, 0xeb, 0xfe);
    guest_run(&g);
    cr_expect(g.stop == STOP_UNTIL && g.s.rip == CODE3 + 0x100, "SS0 %#x: stop %d at %#lx", ss, g.stop, g.s.rip);
    cr_expect_eq(frame_word(&g, 0), error, "SS0 %#x: error %#lx", ss, frame_word(&g, 0));
    cr_expect_eq(frame_word(&g, 1), CODE3);
}
Test(delivery_32, inner_stack_segment_is_checked)
{
    bad_ss0(0, VEC_TS, 1);
    bad_ss0(0x100, VEC_TS, 0x101);
    bad_ss0(SEL_DATA0 | 1, VEC_TS, SEL_DATA0 | 1);
    bad_ss0(SEL_READ_ONLY, VEC_TS, SEL_READ_ONLY | 1);
    bad_ss0(SEL_DATA3, VEC_TS, SEL_DATA3 | 1);
    bad_ss0(SEL_ABSENT, VEC_SS, SEL_ABSENT | 1);
}

/* A stack without room for the frame: #SS(0) at the same privilege, found before anything is written. */
Test(delivery_32, stack_without_room_is_ss)
{
    GUEST g = guest_32(0);
    guest_bytes(&g, CODE0, int80, 2);
    set_gdt(&g, SEL_SPARE, make_descriptor(0, 0xfff, 0x93, 0x4));
    g.s.seg[SEG_SS] = (struct segment){.selector = SEL_SPARE, .attributes = 0x4093, .limit = 0xfff};
    g.s.gpr[RSP] = 0x1004; /* beyond the limit but for the last doubleword */
    poke(&g, 0x1000, 0x1234567812345678, 8);
    poke(&g, IDT + 8 * VEC_SS, make_gate(SEL_TSS2, 0, 0x85, 0), 8);
    poke(&g, TSS2 + 0x20, handler(VEC_SS), 4);
    poke(&g, TSS2 + 0x24, 2, 4);
    poke(&g, TSS2 + 0x38, STACK0, 4);
    poke(&g, TSS2 + 0x48, SEL_DATA0, 2);
    poke(&g, TSS2 + 0x4c, SEL_CODE0_32, 2);
    poke(&g, TSS2 + 0x50, SEL_DATA0, 2);
    guest_run(&g);
    cr_expect_eq(stopped_in(&g), VEC_SS);
    cr_expect_eq(frame_word(&g, 0), 0, "raised by INT n itself: EXT 0");
    cr_expect_eq(peek(&g, TSS + 0x20, 4), CODE0, "the old task stops at INT n");
    cr_expect_eq(peek(&g, 0x1000, 8), 0x1234567812345678);
}

/* ---- v86 ---- */

/* 3A §20.3.1.1: out of v86 mode with GS, FS, DS, ES below SS:ESP, and null data segments. */
Test(delivery_v86, exception_pushes_data_segments)
{
    GUEST g = guest_v86(0);
    guest_bytes(&g, CODE0, ud2, 2);
    g.s.seg[SEG_GS].selector = 0x1111;
    g.s.seg_base[SEG_GS] = 0x11110;
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_UD, NO_ERROR, 0);
    cr_expect_eq(g.s.gpr[RSP], STACK0 - 36);
    cr_expect_eq(frame_word(&g, 1), CODE0 >> 4);
    cr_expect_eq(frame_word(&g, 2), 2 | RFLAGS_VM | RFLAGS_RF);
    cr_expect_eq(frame_word(&g, 3), 0x1000);
    cr_expect_eq(frame_word(&g, 4), 0x4000);
    cr_expect_eq(frame_word(&g, 5), 0x3000, "ES");
    cr_expect_eq(frame_word(&g, 8), 0x1111, "GS");
    cr_expect_eq(g.s.rflags & RFLAGS_VM, 0);
    cr_expect(g.s.seg[SEG_DS].selector == 0 && g.s.seg[SEG_DS].attributes == 0);
}

/* SDM 2A INT n: out of v86 mode only to a nonconforming segment of DPL 0. */
Test(delivery_v86, handler_must_be_nonconforming_ring_0)
{
    GUEST g = guest_v86(3);
    guest_bytes(&g, CODE0, int80, 2);
    poke(&g, IDT + 8 * 0x80, make_gate(SEL_CONFORMING_32, handler(0x80), 0xee, 0), 8);
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_GP, SEL_CONFORMING_32, 0);
}

/* 3A §20.3.3: with VME, a clear bit in the redirection bitmap sends INT n to the program's own table, at any IOPL. */
Test(delivery_v86, vme_redirects_by_bitmap)
{
    GUEST g = guest_v86(0);
    CODE(&g, CODE0, 0xcd, 0x21);
    poke(&g, TSS + 0x66, 0x100, 2); /* the redirection bitmap lies at 0xe0, all clear */
    poke(&g, 0x21 * 4, 0x20000100, 4);
    CODE(&g, CODE0 + 0x100, 0xeb, 0xfe);
    g.s.cr4 |= CR4_VME;
    g.s.rflags |= RFLAGS_VIF;
    guest_run(&g);
    cr_expect(g.stop == STOP_UNTIL && g.s.rip == 0x100 && g.s.seg[SEG_CS].selector == 0x2000);
    cr_expect_eq(g.s.gpr[RSP], 0x1000 - 6);
    cr_expect_eq(peek(&g, 0x40ffa, 2), 2);
    cr_expect_eq(peek(&g, 0x40ffc, 2), 0x2000);
    cr_expect_eq(peek(&g, 0x40ffe, 2), 2 | RFLAGS_IF | RFLAGS_IOPL, "IF shows VIF, IOPL shows 3");
    cr_expect_eq(g.s.rflags & (RFLAGS_VM | RFLAGS_VIF), RFLAGS_VM);
}

Test(delivery_v86, vme_set_bit_below_iopl_3_is_gp)
{
    GUEST g = guest_v86(0);
    CODE(&g, CODE0, 0xcd, 0x21);
    poke(&g, TSS + 0x66, 0x100, 2);
    poke(&g, TSS + 0xe0 + 0x21 / 8, 1 << (0x21 & 7), 1);
    g.s.cr4 |= CR4_VME;
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_GP, 0, 0);
}

/* 3A §20.3: STI with VIP set traps to the monitor; without, it sets VIF. */
Test(delivery_v86, vme_sti_uses_vif_and_vip)
{
    GUEST g = guest_v86(0), h = guest_v86(0);
    CODE(&g, CODE0, 0xfb, 0xfa, 0xfb, 0x9c, 0xeb, 0xfe); /* STI, CLI, STI, PUSHF */
    g.s.cr4 |= CR4_VME;
    guest_run(&g);
    cr_expect_eq(g.s.rflags & (RFLAGS_VIF | RFLAGS_IF), RFLAGS_VIF);
    cr_expect_eq(peek(&g, 0x40ffe, 2), 2 | RFLAGS_IF | RFLAGS_IOPL);
    CODE(&h, CODE0, 0xfb);
    h.s.cr4 |= CR4_VME;
    h.s.rflags |= RFLAGS_VIP;
    guest_run(&h);
    EXPECT_EVENT(&h, VEC_GP, 0, 0);
}

/* ---- real mode ---- */

/* 3A §20.1.4: FLAGS, CS, IP; IF, TF and AC cleared; no error code. */
Test(delivery_16, int_n_pushes_three_words)
{
    GUEST g = guest_16();
    guest_bytes(&g, CODE0, int80, 2);
    g.s.rflags |= RFLAGS_IF | RFLAGS_AC;
    guest_run(&g);
    cr_expect_eq(stopped_in(&g), 0x80);
    cr_expect_eq(g.s.gpr[RSP], 0x1000 - 6);
    cr_expect_eq(peek(&g, 0x40ffa, 2), 2);
    cr_expect_eq(peek(&g, 0x40ffc, 2), CODE0 >> 4);
    cr_expect_eq(peek(&g, 0x40ffe, 2), 2 | RFLAGS_IF);
    cr_expect_eq(g.s.rflags & (RFLAGS_IF | RFLAGS_AC | RFLAGS_TF), 0);
}

Test(delivery_16, exception_has_no_error_code)
{
    GUEST g = guest_16();
    CODE(&g, CODE0, 0x0f, 0x32); /* RDMSR of 0 */
    guest_run(&g);
    cr_expect_eq(stopped_in(&g), VEC_GP);
    cr_expect_eq(g.s.gpr[RSP], 0x1000 - 6);
    cr_expect_eq(peek(&g, 0x40ffa, 2), 0);
}

/* 3A §20.1.4: a vector beyond IDTR.limit is a double fault's or shutdown's way: here #GP, beyond too, then shutdown. */
Test(delivery_16, empty_ivt_shuts_down)
{
    GUEST g = guest_16();
    guest_bytes(&g, CODE0, int80, 2);
    g.s.idtr.limit = 0;
    guest_run(&g);
    cr_expect_eq(g.stop, STOP_SHUTDOWN);
}

/* SDM 2A BOUND and INTO. */
Test(delivery_16, bound_and_into)
{
    GUEST g = guest_16();
    CODE(&g, CODE0, 0x62, 0x07);   /* BOUND AX, [BX] */
    poke(&g, DATA, 0x0005fffe, 4); /* -2 .. 5 */
    g.s.gpr[RAX] = 6;
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_BR, NO_ERROR, 0);

    GUEST inside = guest_16();
    CODE(&inside, CODE0, 0x62, 0x07, 0xf4);
    poke(&inside, DATA, 0x0005fffe, 4);
    inside.s.gpr[RAX] = 0xfffe;
    guest_run(&inside);
    EXPECT_HALT_AT(&inside, CODE0 + 2);

    GUEST overflow = guest_16();
    CODE(&overflow, CODE0, 0xce);
    overflow.s.rflags |= RFLAGS_OF;
    guest_run(&overflow);
    EXPECT_EVENT(&overflow, VEC_OF, NO_ERROR, 1);
}

/* ---- traps ---- */

/* 3A §17.3.1.4: TF traps after each instruction; delivery clears TF; DR6.BS says so. */
Test(debug, single_step_traps_after_one_instruction)
{
    GUEST g = guest_64(VENDOR_INTEL, 0);
    CODE(&g, CODE0, 0x90, 0x90, 0xf4);
    g.s.rflags |= RFLAGS_TF;
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_DB, NO_ERROR, CODE0 + 1);
    cr_expect_eq(g.s.dr6, 0xffff0ff0 | 1 << 14);
    cr_expect_eq(frame_word(&g, 2) & (RFLAGS_TF | RFLAGS_RF), RFLAGS_TF);
    cr_expect_eq(g.s.rflags & RFLAGS_TF, 0);
}

/* 3A §17.3.1.1: an instruction breakpoint is a fault; RF in the saved flags stays clear, and RF set runs the instruction. */
Test(debug, instruction_breakpoint_faults_once)
{
    GUEST g = guest_64(VENDOR_INTEL, 0);
    CODE(&g, CODE0, 0x90, 0x90, 0xf4);
    g.s.dr[2] = CODE0 + 1;
    g.s.dr7 = 0x400 | 2 << 4;
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_DB, NO_ERROR, CODE0 + 1);
    cr_expect_eq(g.s.dr6 & 0xf, 4);
    cr_expect_eq(frame_word(&g, 2) & RFLAGS_RF, 0);
    g.s.activity = VP_RUNNING;
    g.s.rip = CODE0 + 1;
    g.s.rflags = 2 | RFLAGS_RF;
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 2);
}

/* 3A §17.3.1.2: a data breakpoint is a trap after the access. */
Test(debug, data_breakpoint_traps_after_the_write)
{
    GUEST g = guest_64(VENDOR_INTEL, 0);
    CODE(&g, CODE0, 0x88, 0x03, 0x90, 0xf4); /* MOV [RBX], AL */
    g.s.gpr[RBX] = DATA + 3;
    g.s.dr[1] = DATA;
    g.s.dr7 = 0x400 | 1 << 2 | 0xd << 20; /* L1, four bytes, writes */
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_DB, NO_ERROR, CODE0 + 2);
    cr_expect_eq(g.s.dr6 & 0xf, 2);
}

/* 3A §17.2.4: with GD set a MOV of a debug register is a fault with BD; the handler runs with GD clear. */
Test(debug, general_detect_faults_and_clears_gd)
{
    GUEST g = guest_64(VENDOR_INTEL, 0);
    CODE(&g, CODE0, 0x0f, 0x21, 0xc0);
    g.s.dr7 = 0x400 | 1 << 13;
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_DB, NO_ERROR, CODE0);
    cr_expect_eq(g.s.dr6, 0xffff0ff0 | 1 << 13);
    cr_expect_eq(g.s.dr7, 0x400);
    cr_expect_eq(frame_word(&g, 2) & RFLAGS_RF, RFLAGS_RF);
}

/* 3A §17.2.2: I/O breakpoints need CR4.DE. */
Test(debug, io_breakpoint_traps_after_the_access)
{
    for (unsigned de = 0; de < 2; de++) {
        GUEST g = guest_64(VENDOR_INTEL, 0);
        CODE(&g, CODE0, 0xe6, 0x80, 0xf4); /* OUT 80h, AL */
        g.s.dr[0] = 0x80;
        g.s.dr7 = 0x400 | 1 | 2 << 16;
        g.s.cr4 |= de ? CR4_DE : 0;
        guest_run(&g);
        if (de) {
            EXPECT_EVENT(&g, VEC_DB, NO_ERROR, CODE0 + 2);
            cr_expect_eq(g.s.dr6 & 0xf, 1);
        } else {
            EXPECT_HALT_AT(&g, CODE0 + 2);
        }
    }
}
