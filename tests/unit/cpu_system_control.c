/* Control registers, EFER, XCR0, debug registers, flags, activity, INIT, hypercalls. SDM 3A §2.5, §4.1, §9.8.5, §17; SDM 2. */
#include "cpu_system_fixture.h"

/* MOV CRn, RAX in 64-bit mode at CPL 0: does it fault with #GP(0)? */
static bool cr_write_faults(struct guest *g, unsigned cr, uint64_t value)
{
    if (cr == 8) {
        CODE(g, CODE0, 0x44, 0x0f, 0x22, 0xc0, 0xf4);
    } else {
        CODE(g, CODE0, 0x0f, 0x22, (uint8_t)(0xc0 | cr << 3), 0xf4);
    }
    g->s.gpr[RAX] = value;
    guest_run(g);
    bool faulted = stopped_in(g) == VEC_GP;
    cr_expect(faulted || (g->stop == STOP_HALT && g->s.rip == CODE0 + (cr == 8 ? 5u : 4u)), "CR%u := %#lx: stop %d at %#lx", cr,
              value, g->stop, g->s.rip);
    cr_expect(!faulted || (frame_word(g, 0) == 0 && frame_word(g, 1) == CODE0));
    return faulted;
}

/* ---- CR0 ---- */

#define CR0_NOW (CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_WP | CR0_MP)

/* SDM 2B MOV CR, #GP(0). */
Test(cr0, illegal_combinations_are_gp)
{
    static const uint64_t bad[] = {CR0_NOW & ~CR0_PE, CR0_NOW | CR0_NW, CR0_NOW | 1ULL << 32, CR0_NOW & ~CR0_PG};
    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
        GUEST g = guest_64(VENDOR_INTEL, 0);
        cr_expect(cr_write_faults(&g, 0, bad[i]), "CR0 := %#lx", bad[i]);
        cr_expect_eq(g.s.cr0, CR0_NOW);
    }
}

/* 3A §2.5: reserved bits of the lower half are ignored, ET is 1. */
Test(cr0, reserved_bits_are_ignored)
{
    GUEST g = guest_64(VENDOR_INTEL, 0);
    cr_expect(!cr_write_faults(&g, 0, (CR0_NOW & ~CR0_ET) | 0x1ff8ffc0 | CR0_CD | CR0_NW | CR0_AM));
    cr_expect_eq(g.s.cr0, CR0_NOW | CR0_CD | CR0_NW | CR0_AM);
}

/* SDM 2A LMSW: sets PE but cannot clear it. */
Test(cr0, lmsw_cannot_clear_pe)
{
    GUEST g = guest_64(VENDOR_INTEL, 0);
    CODE(&g, CODE0, 0x0f, 0x01, 0xf0, 0xf4);
    g.s.gpr[RAX] = CR0_TS | 0xfff0;
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 3);
    cr_expect_eq(g.s.cr0, (CR0_NOW & ~CR0_MP) | CR0_TS);
}

/* 3A §9.8.5 and §9.8.5.4: into IA-32e mode from paged-off protected mode, and out again through compatibility mode. */
static struct guest long_entry(void)
{
    struct guest g = guest_64(VENDOR_INTEL, 0);
    set_flat(&g, 0, SEL_CODE0_32, 0xc);
    g.s.efer = EFER_LME;
    g.s.cr0 &= ~CR0_PG;
    g.s.gpr[RAX] = g.s.cr0 | CR0_PG;
    CODE(&g, CODE0, 0x0f, 0x22, 0xc0, 0xf4);
    return g;
}
Test(cr0, paging_with_lme_activates_ia32e_mode)
{
    GUEST g = long_entry();
    CODE(&g, CODE0, 0x0f, 0x22, 0xc0, 0xea, 0x00, 0x01, 0x02, 0x00, SEL_CODE0_64, 0x00);
    CODE(&g, CODE0 + 0x100, 0x48, 0xff, 0xc3, 0xf4); /* INC RBX */
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 0x103);
    cr_expect(g.s.efer == (EFER_LME | EFER_LMA) && g.s.gpr[RBX] == 1);
    /* back: to compatibility mode, paging off */
    CODE(&g, CODE0 + 0x103, 0x48, 0xcb);                         /* RETFQ */
    CODE(&g, CODE0 + 0x200, 0x0f, 0x22, 0xc2, 0x40, 0x43, 0xf4); /* MOV CR0, EDX; INC EAX; INC EBX */
    poke(&g, STACK0 - 16, CODE0 + 0x200, 8);
    poke(&g, STACK0 - 8, SEL_CODE0_32, 8);
    g.s.gpr[RSP] = STACK0 - 16;
    g.s.gpr[RDX] = g.s.cr0 & ~CR0_PG;
    g.s.activity = VP_RUNNING;
    g.s.rip = CODE0 + 0x103;
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 0x205);
    cr_expect(g.s.efer == EFER_LME && g.s.gpr[RBX] == 2);
}
Test(cr0, ia32e_mode_needs_pae_and_no_l_bit_and_no_16_bit_tss)
{
    for (unsigned i = 0; i < 3; i++) {
        GUEST g = long_entry();
        for (unsigned n = 0; n < 32; n++) { /* 32-bit handlers: the fault happens in legacy mode */
            poke(&g, IDT + 8 * n, make_gate(SEL_CODE0_32, handler(n), 0x8e, 0), 8);
        }
        g.s.cr4 &= i == 0 ? ~CR4_PAE : ~0ULL;
        g.s.seg[SEG_CS].attributes |= i == 1 ? ATTR_L : 0;
        g.s.tr.seg.attributes = i == 2 ? 0x83 : 0x8b;
        guest_run(&g);
        EXPECT_EVENT(&g, VEC_GP, 0, CODE0);
        cr_expect(g.s.efer == EFER_LME && !(g.s.cr0 & CR0_PG));
    }
}

/* Real mode to protected mode and back: segments keep their hidden parts (3A §9.9). */
Test(cr0, pe_changes_the_meaning_of_selectors_only)
{
    GUEST g = guest_16();
    CODE(&g, CODE0, 0x0f, 0x22, 0xc0, 0x8e, 0xdb, 0x0f, 0x22, 0xc1, 0x8b, 0x07,
         0xf4); /* PE on; MOV DS, BX; PE off; MOV AX, [BX] */
    g.s.gpr[RAX] = CR0_ET | CR0_PE;
    g.s.gpr[RBX] = SEL_DATA0;
    g.s.gpr[RCX] = CR0_ET;
    poke(&g, SEL_DATA0, 0x7e57, 2);
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 10);
    cr_expect((g.s.gpr[RAX] & 0xffff) == 0x7e57 && g.s.seg[SEG_DS].limit == 0xffffffff);
}

/* ---- CR3, CR4, CR8 ---- */

Test(cr3, bits_above_maxphyaddr_are_reserved)
{
    GUEST g = guest_64(VENDOR_INTEL, 0), h = guest_64(VENDOR_INTEL, 0), k = guest_64(VENDOR_INTEL, 0);
    cr_expect(cr_write_faults(&g, 3, 1ULL << 52 | TABLES));
    cr_expect(cr_write_faults(&h, 3, 1ULL << 63 | TABLES), "bit 63 without PCIDE");
    k.s.cr4 |= CR4_PCIDE;
    cr_expect(!cr_write_faults(&k, 3, 1ULL << 63 | TABLES | 0x123));
    cr_expect_eq(k.s.cr3, TABLES | 0x123, "3A §4.10.4.1: bit 63 is not stored");
}

/* 3A §4.4.1: MOV CR3 with PAE paging loads four PDPTEs, and reserved bits in them are #GP(0). */
Test(cr3, pae_paging_loads_pdptes)
{
    for (unsigned bad = 0; bad < 2; bad++) {
        GUEST g = guest_32(0);
        CODE(&g, CODE0, 0x0f, 0x22, 0xd8, 0x0f, 0x22, 0xc1, 0xf4); /* MOV CR3, EAX; MOV CR0, ECX */
        poke(&g, TABLES, (TABLES + 0x1000) | 1, 8);
        poke(&g, TABLES + 24, bad ? 3 : 0, 8); /* bit 1 is reserved in a present PDPTE */
        poke(&g, TABLES + 0x1000, 0x83, 8);
        g.s.cr4 = CR4_PAE;
        g.s.gpr[RAX] = TABLES;
        g.s.gpr[RCX] = g.s.cr0 | CR0_PG;
        guest_run(&g);
        if (bad) {
            EXPECT_EVENT(&g, VEC_GP, 0, CODE0 + 3);
            cr_expect_eq(g.s.cr0 & CR0_PG, 0);
        } else {
            EXPECT_HALT_AT(&g, CODE0 + 6);
            cr_expect_eq(g.s.pdpte[0], (TABLES + 0x1000) | 1);
        }
    }
}

Test(cr4, reserved_and_illegal_bits_are_gp)
{
    static const struct {
        uint64_t set, clear;
        bool fault;
    } cases[] = {
        {CR4_SMEP | CR4_SMAP | CR4_UMIP | CR4_FSGSBASE | CR4_OSXSAVE | CR4_PGE | CR4_DE | CR4_TSD | CR4_VME | CR4_PVI, 0,
         false},
        {CR4_PCIDE, 0, false},
        {0, CR4_PAE, true},    /* in IA-32e mode */
        {CR4_LA57, 0, true},   /* not a feature of v2, and never in IA-32e mode */
        {1ULL << 13, 0, true}, /* VMXE */
        {1ULL << 23, 0, true}, /* CET */
        {1ULL << 32, 0, true},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        GUEST g = guest_64(VENDOR_INTEL, 0);
        for (unsigned page = 0; page < 8; page++) { /* supervisor pages, for SMEP and SMAP */
            poke(&g, TABLES + 0x2000 + 8 * page, (uint64_t)page << 21 | 0x83, 8);
        }
        uint64_t old = g.s.cr4, value = (old | cases[i].set) & ~cases[i].clear;
        cr_expect_eq(cr_write_faults(&g, 4, value), cases[i].fault, "case %u", i);
        cr_expect_eq(g.s.cr4, cases[i].fault ? old : value, "case %u", i);
    }
}

/* 3A §4.10.1: PCIDE may be set only in IA-32e mode with CR3[11:0] 0; CR0.PG may not be cleared while it is set. */
Test(cr4, pcide_needs_a_clean_cr3)
{
    GUEST g = guest_64(VENDOR_INTEL, 0);
    g.s.cr3 |= 0x18;
    cr_expect(cr_write_faults(&g, 4, g.s.cr4 | CR4_PCIDE));
    GUEST h = guest_32(0);
    CODE(&h, CODE0, 0x0f, 0x22, 0xe0);
    h.s.gpr[RAX] = CR4_PCIDE;
    guest_run(&h);
    EXPECT_EVENT(&h, VEC_GP, 0, CODE0);
}

/* 3A §10.8.6: CR8 is the TPR's upper half; bits 63:4 are reserved. */
Test(cr8, is_the_task_priority)
{
    GUEST g = guest_64(VENDOR_INTEL, 0), h = guest_64(VENDOR_INTEL, 0);
    cr_expect(cr_write_faults(&g, 8, 16));
    cr_expect(!cr_write_faults(&h, 8, 9));
    cr_expect_eq(lapic_read(h.vp, 0x80), 0x90);
}

/* ---- EFER and XCR0 ---- */

static bool wrmsr_faults(struct guest *g, uint32_t msr, uint64_t value)
{
    CODE(g, CODE0, 0x0f, 0x30, 0xf4);
    g->s.gpr[RCX] = msr;
    g->s.gpr[RAX] = (uint32_t)value;
    g->s.gpr[RDX] = value >> 32;
    guest_run(g);
    return stopped_in(g) == VEC_GP;
}

/* SDM 4, IA32_EFER; 3A §9.8.5: LME may not change while paging is on; LMA cannot be written. */
Test(efer, lme_is_locked_while_paging)
{
    GUEST g = guest_64(VENDOR_INTEL, 0), h = guest_64(VENDOR_INTEL, 0), k = guest_64(VENDOR_INTEL, 0);
    cr_expect(wrmsr_faults(&g, 0xc0000080, EFER_LMA | EFER_NXE));
    cr_expect(!wrmsr_faults(&h, 0xc0000080, EFER_LME));
    cr_expect_eq(h.s.efer, EFER_LME | EFER_LMA);
    cr_expect(wrmsr_faults(&k, 0xc0000080, EFER_LME | EFER_LMA | 1 << 12), "SVME");
}

/* SDM 2C XSETBV: bit 0 must be 1, unknown bits 0, ECX 0. */
Test(xcr0, xsetbv_checks)
{
    static const struct {
        uint64_t value, index;
        bool fault;
    } cases[] = {{3, 0, false}, {1, 0, false}, {2, 0, true}, {7, 0, true}, {3, 1, true}, {3 | 1ULL << 40, 0, true}};
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        GUEST g = guest_64(VENDOR_INTEL, 0);
        CODE(&g, CODE0, 0x0f, 0x01, 0xd1, 0xf4);
        g.s.cr4 |= CR4_OSXSAVE;
        g.s.gpr[RAX] = (uint32_t)cases[i].value;
        g.s.gpr[RDX] = cases[i].value >> 32;
        g.s.gpr[RCX] = cases[i].index;
        guest_run(&g);
        cr_expect_eq(stopped_in(&g) == VEC_GP, cases[i].fault, "case %u", i);
        cr_expect_eq(g.s.xcr0, cases[i].fault ? 1 : cases[i].value, "case %u", i);
    }
}

/* ---- debug registers, 3A §17.2 ---- */

Test(debug_registers, fixed_bits_and_upper_halves)
{
    GUEST g = guest_64(VENDOR_INTEL, 0);
    CODE(&g, CODE0, 0x0f, 0x23, 0xf0, 0x0f, 0x23, 0xf8, 0x0f, 0x21, 0xf1, 0x0f, 0x21, 0xfa,
         0xf4);                /* DR6, DR7 := RAX; RCX, RDX := */
    g.s.gpr[RAX] = 0xffffdf00; /* GD clear */
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 12);
    cr_expect(g.s.gpr[RCX] == 0xffffcff0 && g.s.gpr[RDX] == 0xffff0700, "DR6 %#lx DR7 %#lx", g.s.gpr[RCX], g.s.gpr[RDX]);

    GUEST h = guest_64(VENDOR_INTEL, 0);
    CODE(&h, CODE0, 0x0f, 0x23, 0xf8);
    h.s.gpr[RAX] = 1ULL << 32;
    guest_run(&h);
    EXPECT_EVENT(&h, VEC_GP, 0, CODE0);
}

/* 3A §17.2.2: DR4 and DR5 are DR6 and DR7, unless CR4.DE. */
Test(debug_registers, dr4_and_dr5_depend_on_de)
{
    GUEST g = guest_64(VENDOR_INTEL, 0), h = guest_64(VENDOR_INTEL, 0);
    CODE(&g, CODE0, 0x0f, 0x21, 0xe0, 0xf4);
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 3);
    cr_expect_eq(g.s.gpr[RAX], 0xffff0ff0);
    CODE(&h, CODE0, 0x0f, 0x21, 0xe0);
    h.s.cr4 |= CR4_DE;
    guest_run(&h);
    EXPECT_EVENT(&h, VEC_UD, NO_ERROR, CODE0);
}

/* ---- flags ---- */

/* SDM 2B POPF table 4-15. */
Test(flags, popf_by_privilege)
{
    static const struct {
        unsigned cpl, iopl;
        uint64_t expected;
    } cases[] = {
        {0, 0, RFLAGS_IF | RFLAGS_IOPL | RFLAGS_AC | RFLAGS_ID},
        {3, 3, RFLAGS_IF | RFLAGS_IOPL | RFLAGS_AC | RFLAGS_ID},
        {3, 0, RFLAGS_AC | RFLAGS_ID},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        GUEST g = guest_64(VENDOR_INTEL, cases[i].cpl);
        uint64_t at = g.s.rip;
        CODE(&g, at, 0x9d, 0xeb, 0xfe);
        g.s.gpr[RSP] -= 8;
        poke(&g, g.s.gpr[RSP],
             RFLAGS_IF | RFLAGS_IOPL | RFLAGS_AC | RFLAGS_ID | RFLAGS_VIF | RFLAGS_VIP | RFLAGS_VM | RFLAGS_RF | 8, 8);
        g.s.rflags |= (uint64_t)cases[i].iopl << 12;
        guest_run(&g);
        cr_expect(g.stop == STOP_UNTIL && g.s.rip == at + 1);
        cr_expect_eq(g.s.rflags, 2 | cases[i].expected, "CPL %u IOPL %u: %#lx", cases[i].cpl, cases[i].iopl, g.s.rflags);
    }
}

/* SDM 2B PUSHF: VM and RF are never seen. */
Test(flags, pushf_hides_rf)
{
    GUEST g = guest_64(VENDOR_INTEL, 0);
    CODE(&g, CODE0, 0x9c, 0xf4);
    g.s.rflags |= RFLAGS_RF | RFLAGS_OF | RFLAGS_CF;
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 1);
    cr_expect_eq(peek(&g, STACK0 - 8, 8), 2 | RFLAGS_OF | RFLAGS_CF);
}

/* SDM 2A LAHF, 2B SAHF, CLC, STC, CMC, CLD, STD. */
Test(flags, single_flag_instructions)
{
    GUEST g = guest_64(VENDOR_INTEL, 0);
    CODE(&g, CODE0, 0x9e, 0xf5, 0xfd, 0x9f, 0xf4); /* SAHF, CMC, STD, LAHF */
    g.s.gpr[RAX] = 0xff00;
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 4);
    cr_expect(g.s.gpr[RAX] == 0xd600 && g.s.rflags == (2 | RFLAGS_SF | RFLAGS_ZF | RFLAGS_AF | RFLAGS_PF | RFLAGS_DF));
}

/* 3A §20.4: at CPL 3 with CR4.PVI, CLI and STI act on VIF. */
Test(flags, protected_mode_virtual_interrupts)
{
    GUEST g = guest_64(VENDOR_INTEL, 3);
    CODE(&g, CODE3, 0xfb, 0xeb, 0xfe);
    g.s.cr4 |= CR4_PVI;
    guest_run(&g);
    cr_expect(g.stop == STOP_UNTIL && g.s.rflags == (2 | RFLAGS_VIF));
    GUEST h = guest_64(VENDOR_INTEL, 3);
    CODE(&h, CODE3, 0xfb);
    h.s.cr4 |= CR4_PVI;
    h.s.rflags |= RFLAGS_VIP;
    guest_run(&h);
    EXPECT_EVENT(&h, VEC_GP, 0, CODE3);
}

/* ---- FS and GS bases ---- */

Test(bases, fsgsbase_and_swapgs)
{
    GUEST g = guest_64(VENDOR_INTEL, 0);
    CODE(&g, CODE0, 0xf3, 0x48, 0x0f, 0xae, 0xd8, 0x0f, 0x01, 0xf8, 0xf3, 0x48, 0x0f, 0xae, 0xc9,
         0xf4); /* WRGSBASE RAX; SWAPGS; RDGSBASE RCX */
    g.s.cr4 |= CR4_FSGSBASE;
    g.s.gpr[RAX] = 0xffff900000000000;
    g.s.kernel_gs_base = 0x1234;
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 13);
    cr_expect(g.s.gpr[RCX] == 0x1234 && g.s.kernel_gs_base == 0xffff900000000000);
    GUEST h = guest_64(VENDOR_INTEL, 0);
    CODE(&h, CODE0, 0xf3, 0x48, 0x0f, 0xae, 0xd8);
    h.s.cr4 |= CR4_FSGSBASE;
    h.s.gpr[RAX] = 1ULL << 47;
    guest_run(&h);
    EXPECT_EVENT(&h, VEC_GP, 0, CODE0);
}

/* ---- INVPCID ---- */

/* SDM 2A INVPCID. */
Test(invpcid, checks_type_and_descriptor)
{
    static const struct {
        uint64_t type, pcid, linear;
        bool pcide, fault;
    } cases[] = {
        {4, 0, 0, true, true},  {3, 0, 0, false, false},        {2, 0x1000, 0, true, true}, {1, 5, 0, true, false},
        {1, 5, 0, false, true}, {0, 0, 1ULL << 47, true, true}, {0, 0, DATA, true, false},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        GUEST g = guest_64(VENDOR_INTEL, 0);
        CODE(&g, CODE0, 0x66, 0x0f, 0x38, 0x82, 0x03, 0xf4);
        g.s.cr4 |= cases[i].pcide ? CR4_PCIDE : 0;
        g.s.gpr[RAX] = cases[i].type;
        g.s.gpr[RBX] = DATA;
        poke(&g, DATA, cases[i].pcid, 8);
        poke(&g, DATA + 8, cases[i].linear, 8);
        guest_run(&g);
        cr_expect_eq(stopped_in(&g) == VEC_GP, cases[i].fault, "case %u", i);
    }
}

/* ---- hypercalls ---- */

struct seen {
    unsigned calls, vmcalls, again;
    int answer;
};
static int count_hypercall(void *owner, struct vcpu *vp, bool is_vmcall, bool *again)
{
    struct seen *s = owner;
    s->calls++;
    s->vmcalls += is_vmcall;
    *again = s->calls <= s->again;
    vp_set_gpr(vp, RAX, s->calls);
    return s->answer;
}
/* cpu.h: both instructions reach the hook; it may repeat the instruction or raise a fault. */
Test(hypercall, both_instructions_reach_the_hook)
{
    struct seen seen = {.again = 2, .answer = -1};
    struct cpu_hooks hooks = {.owner = &seen, .hypercall = count_hypercall};
    GUEST plain = guest_64(VENDOR_AMD, 0);
    GUEST g = guest_twin(&plain, &plain.config, &hooks);
    CODE(&g, CODE0, 0x0f, 0x01, 0xc1, 0x0f, 0x01, 0xd9, 0xf4);
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 6);
    cr_expect(seen.calls == 4 && seen.vmcalls == 3 && g.s.gpr[RAX] == 4);
    seen.answer = VEC_GP;
    g.s = plain.s;
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_GP, 0, CODE0);
}

/* ---- activity ---- */

/* SDM 2B MONITOR, MWAIT: an armed MWAIT ends the turn; ECX bit 0 is an extension, other bits are #GP(0). */
Test(activity, mwait_ends_the_turn)
{
    GUEST g = guest_64(VENDOR_INTEL, 0);
    CODE(&g, CODE0, 0x0f, 0x01, 0xc8, 0x0f, 0x01, 0xc9, 0x0f, 0x01, 0xc9, 0xf4); /* MONITOR, MWAIT, MWAIT */
    g.s.gpr[RAX] = DATA;
    guest_run(&g);
    cr_expect(g.stop == STOP_PAUSE && g.s.rip == CODE0 + 6);
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 9);
    GUEST h = guest_64(VENDOR_INTEL, 0);
    CODE(&h, CODE0, 0x0f, 0x01, 0xc9);
    h.s.gpr[RCX] = 2;
    guest_run(&h);
    EXPECT_EVENT(&h, VEC_GP, 0, CODE0);
}

/* 3A §9.1.1 table 9-1, power-up column. */
Test(reset, power_on_state)
{
    GUEST g = guest_create(VENDOR_INTEL);
    struct vp_state s;
    cpu_reset(g.cpu);
    vp_get_state(g.vp, &s);
    cr_expect(s.rip == 0xfff0 && s.rflags == 2 && s.cr0 == 0x60000010 && s.cr4 == 0 && s.efer == 0);
    cr_expect(s.seg[SEG_CS].selector == 0xf000 && s.seg_base[SEG_CS] == 0xffff0000 && s.seg[SEG_CS].limit == 0xffff);
    cr_expect(s.seg[SEG_SS].selector == 0 && s.seg_base[SEG_SS] == 0 && s.seg[SEG_SS].limit == 0xffff);
    cr_expect(s.gdtr.base == 0 && s.gdtr.limit == 0xffff && s.idtr.base == 0 && s.idtr.limit == 0xffff);
    cr_expect(s.dr6 == 0xffff0ff0 && s.dr7 == 0x400 && s.gpr[RAX] == 0 && s.gpr[RDX] != 0);
    cr_expect(s.fpu.fcw == 0x40 && s.mxcsr == 0x1f80 && s.xcr0 == 1 && s.activity == VP_RUNNING && s.cpl == 0);
}

/* Table 9-1, INIT column: x87, SSE, MSRs and CR0.CD, NW stay. An application processor then waits for SIPI (3A §8.4.3). */
Test(reset, init_keeps_floating_point_and_cache_bits)
{
    const char *why = NULL;
    struct machine *m = machine_create(16 << 20, 1000000000, 1, &why);
    struct cpu_config config = {.cost = cost_table_by_name("ipc1"), .vps = 2, .seed = 1};
    cr_assert(m != NULL && cpu_model_init(&config.model, "v2", VENDOR_INTEL, 1000000000, 2));
    struct cpu *c = cpu_create(m, &config, NULL);
    struct vp_state s;
    vp_get_state(cpu_vp(c, 1), &s);
    s.activity = VP_RUNNING;
    s.init_pending = true;
    s.xmm[3].q[0] = 0x1234;
    s.mxcsr = 0x1fa0;
    s.fpu.fcw = 0x37f;
    s.lstar = 0x5678;
    s.cr0 = CR0_ET | CR0_CD | CR0_TS | CR0_PE;
    s.gpr[RAX] = s.cr2 = 7;
    cr_assert(vp_set_state(cpu_vp(c, 1), &s));
    cr_expect_eq(vp_run(cpu_vp(c, 1), 100), STOP_HALT);
    vp_get_state(cpu_vp(c, 1), &s);
    cr_expect(s.activity == VP_WAIT_SIPI && s.cr0 == (CR0_ET | CR0_CD) && s.cr2 == 0 && s.gpr[RAX] == 0);
    cr_expect(s.seg_base[SEG_CS] == 0xffff0000 && s.rip == 0xfff0);
    cr_expect(s.xmm[3].q[0] == 0x1234 && s.mxcsr == 0x1fa0 && s.fpu.fcw == 0x37f && s.lstar == 0x5678);
    cpu_destroy(c);
    machine_destroy(m);
}
