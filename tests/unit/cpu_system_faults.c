/* Which system instruction faults where: privilege, mode, feature. SDM 2, "Exceptions" of each page; 3A §5.9 Privileged
 * Instructions. */
#include "cpu_system_fixture.h"

struct fault_case {
    const char *what;
    uint8_t code[8];
    uint8_t bytes;
    int ring0, ring3; /* vector in 64-bit mode at CPL 0 and CPL 3; NONE: goes on */
};
enum { NONE = -1, UD = VEC_UD, GP = VEC_GP };

/* A case that goes on meets the HLT behind it: in ring 0 the run stops there, in ring 3 HLT raises #GP itself. */
#define BYTES(...) {__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})
static const struct fault_case cases[] = {
    {"HLT", BYTES(0xf4), NONE, GP},
    {"CLTS", BYTES(0x0f, 0x06), NONE, GP},
    {"MOV RAX, CR0", BYTES(0x0f, 0x20, 0xc0), NONE, GP},
    {"MOV RAX, CR1", BYTES(0x0f, 0x20, 0xc8), UD, UD},
    {"MOV RAX, CR2", BYTES(0x0f, 0x20, 0xd0), NONE, GP},
    {"MOV RAX, CR5", BYTES(0x0f, 0x20, 0xe8), UD, UD},
    {"MOV RAX, CR8", BYTES(0x44, 0x0f, 0x20, 0xc0), NONE, GP},
    {"MOV RAX, CR9", BYTES(0x44, 0x0f, 0x20, 0xc8), UD, UD},
    {"MOV CR2, RAX", BYTES(0x0f, 0x22, 0xd0), NONE, GP},
    {"MOV RAX, DR0", BYTES(0x0f, 0x21, 0xc0), NONE, GP},
    {"MOV RAX, DR8", BYTES(0x44, 0x0f, 0x21, 0xc0), UD, UD},
    {"MOV DR0, RAX", BYTES(0x0f, 0x23, 0xc0), NONE, GP},
    {"LMSW AX", BYTES(0x0f, 0x01, 0xf0), NONE, GP},
    {"SMSW AX without UMIP", BYTES(0x0f, 0x01, 0xe0), NONE, NONE},
    {"LGDT", BYTES(0x0f, 0x01, 0x55, 0x00), NONE, GP},
    {"LIDT", BYTES(0x0f, 0x01, 0x5d, 0x20), NONE, GP},
    {"LLDT AX", BYTES(0x0f, 0x00, 0xd0), NONE, GP},
    {"LTR AX (null)", BYTES(0x0f, 0x00, 0xd8), GP, GP},
    {"INVLPG", BYTES(0x0f, 0x01, 0x7d, 0x00), NONE, GP},
    {"INVPCID", BYTES(0x66, 0x0f, 0x38, 0x82, 0x45, 0x30), NONE, GP},
    {"INVD", BYTES(0x0f, 0x08), NONE, GP},
    {"WBINVD", BYTES(0x0f, 0x09), NONE, GP},
    {"WBNOINVD is WBINVD", BYTES(0xf3, 0x0f, 0x09), NONE, GP},
    {"RDMSR of 0", BYTES(0x0f, 0x32), GP, GP},
    {"WRMSR of 0", BYTES(0x0f, 0x30), GP, GP},
    {"RDPMC", BYTES(0x0f, 0x33), GP, GP},
    {"RDTSC", BYTES(0x0f, 0x31), NONE, NONE},
    {"RDTSCP", BYTES(0x0f, 0x01, 0xf9), NONE, NONE},
    {"CPUID", BYTES(0x0f, 0xa2), NONE, NONE},
    {"SWAPGS", BYTES(0x0f, 0x01, 0xf8), NONE, GP},
    {"RDFSBASE without CR4.FSGSBASE", BYTES(0xf3, 0x0f, 0xae, 0xc0), UD, UD},
    {"WRGSBASE without CR4.FSGSBASE", BYTES(0xf3, 0x0f, 0xae, 0xd8), UD, UD},
    {"XGETBV without CR4.OSXSAVE", BYTES(0x0f, 0x01, 0xd0), UD, UD},
    {"XSETBV without CR4.OSXSAVE", BYTES(0x0f, 0x01, 0xd1), UD, UD},
    {"STAC", BYTES(0x0f, 0x01, 0xcb), NONE, UD},
    {"CLAC", BYTES(0x0f, 0x01, 0xca), NONE, UD},
    {"MWAIT unarmed", BYTES(0x0f, 0x01, 0xc9), NONE, UD},
    {"VMCALL without a hypervisor", BYTES(0x0f, 0x01, 0xc1), UD, UD},
    {"VMMCALL without a hypervisor", BYTES(0x0f, 0x01, 0xd9), UD, UD},
    {"CLI", BYTES(0xfa), NONE, GP},
    {"STI", BYTES(0xfb), NONE, GP},
    {"IN AL, DX", BYTES(0xec), NONE, GP},
    {"IN EAX, 80h", BYTES(0xe5, 0x80), NONE, GP},
    {"OUT DX, EAX", BYTES(0xef), NONE, GP},
    {"RDRAND EAX", BYTES(0x0f, 0xc7, 0xf0), NONE, NONE},
    {"RDSEED RAX", BYTES(0x48, 0x0f, 0xc7, 0xf8), NONE, NONE},
    {"RDPID is not there", BYTES(0xf3, 0x0f, 0xc7, 0xf8), UD, UD},
    {"UD0", BYTES(0x0f, 0xff, 0xc0), UD, UD},
    {"UD1", BYTES(0x0f, 0xb9, 0xc0), UD, UD},
    {"UD2", BYTES(0x0f, 0x0b), UD, UD},
    {"RSM", BYTES(0x0f, 0xaa), UD, UD},
    {"SYSEXIT with IA32_SYSENTER_CS 0", BYTES(0x0f, 0x35), GP, GP},
    {"SYSENTER with IA32_SYSENTER_CS 0", BYTES(0x0f, 0x34), GP, GP},
    {"MOV CS, AX", BYTES(0x8e, 0xc8), UD, UD},
    {"segment register 6", BYTES(0x8e, 0xf0), UD, UD},
    {"PUSH ES in 64-bit mode", BYTES(0x06), UD, UD},
    {"POP DS in 64-bit mode", BYTES(0x1f), UD, UD},
    {"LDS in 64-bit mode is a VEX prefix", BYTES(0xc5, 0x00), UD, UD},
    {"INTO in 64-bit mode", BYTES(0xce), UD, UD},
    {"BOUND in 64-bit mode is an EVEX prefix", BYTES(0x62, 0x00), UD, UD},
    {"JMP ptr16:32 in 64-bit mode", BYTES(0xea, 0, 0, 0, 0, 0, 0), UD, UD},
    {"CALL ptr16:32 in 64-bit mode", BYTES(0x9a, 0, 0, 0, 0, 0, 0), UD, UD},
    {"LOCK before HLT", BYTES(0xf0, 0xf4), UD, UD},
    {"CLFLUSH", BYTES(0x0f, 0xae, 0x7d, 0x00), NONE, NONE},
    {"PREFETCHW", BYTES(0x0f, 0x0d, 0x4d, 0x00), NONE, NONE},
    {"PREFETCHNTA of a bad address", BYTES(0x0f, 0x18, 0x04, 0x25, 0, 0, 0, 0x70), NONE, NONE},
    {"ENDBR64 is a NOP without CET", BYTES(0xf3, 0x0f, 0x1e, 0xfa), NONE, NONE},
    {"RDSSPQ is a NOP without CET", BYTES(0xf3, 0x48, 0x0f, 0x1e, 0xc8), NONE, NONE},
    {"NOP r/m", BYTES(0x0f, 0x1f, 0x00), NONE, NONE},
    {"PAUSE", BYTES(0xf3, 0x90), NONE, NONE},
    {"SGDT without UMIP", BYTES(0x0f, 0x01, 0x45, 0x40), NONE, NONE},
    {"STR without UMIP", BYTES(0x0f, 0x00, 0xc8), NONE, NONE},
    {"LAR", BYTES(0x0f, 0x02, 0xc3), NONE, NONE},
    {"VERW", BYTES(0x0f, 0x00, 0xeb), NONE, NONE},
};

/* [RBP] holds what LGDT may load, [RBP+20h] what LIDT may, [RBP+30h] zeros for INVPCID; RAX, RCX and RDX are 0. */
static void run_case(const struct fault_case *c, unsigned cpl, int vector)
{
    GUEST g = guest_64(VENDOR_INTEL, cpl);
    uint64_t at = g.s.rip, next = at + c->bytes;
    guest_bytes(&g, at, c->code, c->bytes);
    poke(&g, next, 0xf4, 1);
    poke(&g, DATA, GDT_LIMIT, 2);
    poke(&g, DATA + 2, GDT, 8);
    poke(&g, DATA + 0x20, 0xfff, 2);
    poke(&g, DATA + 0x22, IDT, 8);
    g.s.gpr[RBP] = DATA;
    g.s.gpr[RBX] = SEL_DATA3;
    guest_run(&g);
    if (vector == NONE && g.stop == STOP_PAUSE) {
        guest_run(&g);
    }
    if (vector != NONE) {
        cr_expect_eq(stopped_in(&g), vector, "%s at CPL %u: stop %d, vector %d, not %d", c->what, cpl, g.stop, stopped_in(&g),
                     vector);
        bool error = vector == GP;
        cr_expect(!error || frame_word(&g, 0) == 0, "%s at CPL %u: error code %#lx", c->what, cpl, frame_word(&g, 0));
        cr_expect_eq(frame_word(&g, error), at, "%s at CPL %u: saved RIP %#lx", c->what, cpl, frame_word(&g, error));
        cr_expect_eq(frame_word(&g, error + 1) & 3, cpl, "%s at CPL %u: saved CS", c->what, cpl);
    } else if (cpl == 0) {
        cr_expect(g.stop == STOP_HALT && g.s.rip == (c->code[0] == 0xf4 ? next : next + 1),
                  "%s at CPL 0: stop %d, vector %d, rip %#lx", c->what, g.stop, stopped_in(&g), g.s.rip);
    } else {
        cr_expect(stopped_in(&g) == GP && frame_word(&g, 1) == next, "%s at CPL 3: stop %d, vector %d", c->what, g.stop,
                  stopped_in(&g));
    }
}

/* SDM 3A §5.9 and the pages of the instructions. */
Test(system_faults, each_instruction_at_cpl_0_faults_as_its_page_says)
{
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        run_case(&cases[i], 0, cases[i].ring0);
    }
}

Test(system_faults, each_instruction_at_cpl_3_faults_as_its_page_says)
{
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        run_case(&cases[i], 3, cases[i].ring3);
    }
}

/* SDM 3A §2.5, CR4.UMIP. */
Test(system_faults, umip_makes_the_store_instructions_privileged)
{
    static const uint8_t stores[][3] = {
        {0x0f, 0x01, 0x00} /* SGDT */, {0x0f, 0x01, 0x08} /* SIDT */, {0x0f, 0x00, 0xc0} /* SLDT */,
        {0x0f, 0x00, 0xc8} /* STR */,  {0x0f, 0x01, 0xe0} /* SMSW */,
    };
    for (unsigned i = 0; i < ARRAY_COUNT(stores); i++) {
        GUEST g = guest_64(VENDOR_INTEL, 3);
        guest_bytes(&g, CODE3, stores[i], 3);
        g.s.cr4 |= CR4_UMIP;
        g.s.gpr[RAX] = DATA;
        guest_run(&g);
        EXPECT_EVENT(&g, VEC_GP, 0, CODE3);
    }
}

/* SDM 3A §2.5, CR4.TSD. */
Test(system_faults, tsd_makes_rdtsc_privileged)
{
    GUEST g = guest_64(VENDOR_INTEL, 3);
    CODE(&g, CODE3, 0x0f, 0x31);
    g.s.cr4 |= CR4_TSD;
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_GP, 0, CODE3);
}

/* SDM 2A LLDT, LTR, SLDT, STR, LAR, LSL, VERR, VERW, ARPL: not recognised in real-address and virtual-8086 mode. */
Test(system_faults, selector_instructions_are_undefined_in_real_and_v86_mode)
{
    static const uint8_t forms[][3] = {
        {0x0f, 0x00, 0xd0}, {0x0f, 0x00, 0xd8}, {0x0f, 0x00, 0xc0}, {0x0f, 0x00, 0xc8}, {0x0f, 0x02, 0xc0},
        {0x0f, 0x03, 0xc0}, {0x0f, 0x00, 0xe0}, {0x0f, 0x00, 0xe8}, {0x63, 0xc0, 0x90},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(forms); i++) {
        GUEST real = guest_16(), v86 = guest_v86(3);
        guest_bytes(&real, CODE0, forms[i], 3);
        guest_bytes(&v86, CODE0, forms[i], 3);
        guest_run(&real);
        EXPECT_EVENT(&real, VEC_UD, NO_ERROR, 0);
        guest_run(&v86);
        EXPECT_EVENT(&v86, VEC_UD, NO_ERROR, 0);
    }
}

/* SDM 3A §20.2.8: in virtual-8086 mode these depend on IOPL. */
Test(system_faults, v86_below_iopl_3_may_not_touch_the_interrupt_flag)
{
    static const uint8_t forms[][2] = {{0xfa}, {0xfb}, {0x9c}, {0x9d}, {0xcf}, {0xcd, 0x80}};
    for (unsigned i = 0; i < ARRAY_COUNT(forms); i++) {
        GUEST g = guest_v86(0);
        guest_bytes(&g, CODE0, forms[i], 2);
        guest_run(&g);
        EXPECT_EVENT(&g, VEC_GP, 0, 0);
    }
}

/* SDM 1 §19.5.2: a clear bit of the TSS's bitmap lets CPL 3 at IOPL 0 through to the port; a set one does not. */
Test(system_faults, io_bitmap_decides_port_by_port)
{
    for (unsigned allowed = 0; allowed < 2; allowed++) {
        GUEST g = guest_64(VENDOR_INTEL, 3);
        CODE(&g, CODE3, 0x66, 0xed, 0xf4); /* IN AX, DX */
        poke(&g, TSS + 0x66, 0x70, 2);
        for (unsigned i = 0x70; i < 0x100; i++) {
            poke(&g, TSS + i, 0xff, 1);
        }
        poke(&g, TSS + 0x70 + 0x3f8 / 8, allowed ? 0xfc : 0xfe, 1); /* 3F8 and 3F9, or only 3F8 */
        g.s.gpr[RDX] = 0x3f8;
        guest_run(&g);
        EXPECT_EVENT(&g, VEC_GP, 0, allowed ? CODE3 + 2 : CODE3);
        cr_expect_eq(g.s.gpr[RAX], allowed ? 0xffff : 0);
    }
}

/* SDM 1 §19.5.2: two bytes of the map are read, and both must lie within the TSS limit. */
Test(system_faults, io_bitmap_beyond_the_tss_limit_denies)
{
    GUEST g = guest_64(VENDOR_INTEL, 3);
    CODE(&g, CODE3, 0xec);
    poke(&g, TSS + 0x66, 0x70, 2);
    g.s.tr.seg.limit = 0x70 + 0x3f8 / 8; /* its last byte is the map's byte for port 3F8 */
    g.s.gpr[RDX] = 0x3f8;
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_GP, 0, CODE3);
}

/* ---- pages that a guest may only read, TLFS 6.0b §3.13, 2.0a §21.1.2 ---- */

enum { READ_ONLY_PAGE = 0x1000000, TABLES_BEHIND = 0x40 }; /* beyond RAM; entry of the PML4 */

/* CODE0: MOV [RBX], RAX; HLT, at a page that answers writes with `write`. */
static struct guest store_to_overlay(enum overlay_write write, bool machine_checks, uint64_t cr4)
{
    struct guest plain = guest_64(VENDOR_INTEL, 0);
    struct cpu_config config = plain.config;
    const char *why;
    cr_assert(!machine_checks || cpu_model_set(&config.model, "mce", true, &why));
    struct guest g = guest_twin(&plain, &config, NULL);
    guest_destroy(&plain);
    int overlay = overlay_create(g.machine->memory, "page", write);
    overlay_touch(g.machine->memory, overlay);
    memset(overlay_host(g.machine->memory, overlay), 0x11, PAGE_BYTES);
    cr_assert(overlay_place(g.machine->memory, overlay, gpa(READ_ONLY_PAGE)));
    poke(&g, TABLES + 0x2000 + 8 * (READ_ONLY_PAGE >> 21), READ_ONLY_PAGE | 0x87, 8);
    CODE(&g, CODE0, 0x48, 0x89, 0x03, 0xf4);
    g.s.gpr[RAX] = 0x2222222222222222;
    g.s.gpr[RBX] = READ_ONLY_PAGE + 8;
    g.s.cr4 |= cr4;
    guest_run(&g);
    return g;
}

Test(read_only_page, refuses_a_write_by_gp)
{
    GUEST g = store_to_overlay(OVERLAY_WRITE_GP, true, CR4_MCE);
    EXPECT_EVENT(&g, VEC_GP, 0, CODE0);
    cr_expect_eq(peek(&g, READ_ONLY_PAGE + 8, 8), 0x1111111111111111);
}

Test(read_only_page, refuses_a_write_by_mc)
{
    GUEST g = store_to_overlay(OVERLAY_WRITE_MC, true, CR4_MCE);
    EXPECT_EVENT(&g, VEC_MC, NO_ERROR, CODE0);
    cr_expect_eq(peek(&g, READ_ONLY_PAGE + 8, 8), 0x1111111111111111);
}

/* SDM 3A §6.15, interrupt 18: the processor shuts down. */
Test(read_only_page, a_machine_check_that_is_not_enabled_is_the_end)
{
    GUEST g = store_to_overlay(OVERLAY_WRITE_MC, true, 0);
    cr_expect_eq(g.stop, STOP_SHUTDOWN);
    cr_expect_eq(peek(&g, READ_ONLY_PAGE + 8, 8), 0x1111111111111111);
}

Test(read_only_page, without_machine_checks_it_is_gp)
{
    GUEST g = store_to_overlay(OVERLAY_WRITE_MC, false, 0);
    EXPECT_EVENT(&g, VEC_GP, 0, CODE0);
}

/* A ROM. */
Test(read_only_page, loses_a_write)
{
    GUEST g = store_to_overlay(OVERLAY_WRITE_LOST, true, CR4_MCE);
    EXPECT_HALT_AT(&g, CODE0 + 3);
    cr_expect_eq(peek(&g, READ_ONLY_PAGE + 8, 8), 0x1111111111111111);
}

/* ... by an instruction that reads it first, and into the page behind it. */
Test(read_only_page, loses_a_write_and_keeps_the_part_beyond)
{
    GUEST g = store_to_overlay(OVERLAY_WRITE_LOST, false, 0);
    CODE(&g, CODE0, 0x48, 0x01, 0x03, 0x48, 0x87, 0x43, 0xf4, 0xf4); /* ADD [RBX], RAX; XCHG [RBX - 12], RAX; HLT */
    g.s.activity = VP_RUNNING;
    g.s.rip = CODE0;
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 7);
    cr_expect_eq(peek(&g, READ_ONLY_PAGE + 8, 8), 0x1111111111111111);
    cr_expect_eq(peek(&g, READ_ONLY_PAGE, 4), 0x11111111);
    cr_expect_eq(peek(&g, READ_ONLY_PAGE - 4, 4), 0x22222222);
    cr_expect_eq(g.s.gpr[RAX], 0x1111111100000000);
}

/* MOV RAX, [RBX] through a page-directory-pointer table that lies on a read-only page: its accessed bit would be a write. */
static void load_through(uint64_t entry, enum overlay_write write, int vector)
{
    GUEST g = guest_64(VENDOR_INTEL, 0);
    int overlay = overlay_create(g.machine->memory, "table", write);
    overlay_touch(g.machine->memory, overlay);
    memcpy(overlay_host(g.machine->memory, overlay), &entry, sizeof entry);
    cr_assert(overlay_place(g.machine->memory, overlay, gpa(READ_ONLY_PAGE)));
    poke(&g, TABLES + 8 * TABLES_BEHIND, READ_ONLY_PAGE | 7, 8);
    poke(&g, DATA, 0x3333, 8);
    CODE(&g, CODE0, 0x48, 0x8b, 0x03, 0xf4);
    g.s.gpr[RBX] = (uint64_t)TABLES_BEHIND << 39 | DATA;
    guest_run(&g);
    cr_expect_eq(stopped_in(&g), vector);
    cr_expect_eq(peek(&g, READ_ONLY_PAGE, 8), entry, "the table became %#lx", peek(&g, READ_ONLY_PAGE, 8));
    cr_expect(vector != NO_ERROR || g.s.gpr[RAX] == 0x3333);
}

Test(read_only_page, keeps_its_accessed_bits)
{
    load_through((TABLES + 0x2000) | 7, OVERLAY_WRITE_GP, VEC_GP);
    load_through((TABLES + 0x2000) | 0x27, OVERLAY_WRITE_GP, NO_ERROR); /* nothing to set */
    load_through((TABLES + 0x2000) | 7, OVERLAY_WRITE_LOST, NO_ERROR);
}

/* The local APIC's page lies above all memory: what a hypervisor laid there does not matter to a write. */
Test(read_only_page, below_the_local_apic_is_not_met)
{
    enum { LAPIC_PAGE = 0xfee00000, TPR = 0x80 };
    GUEST g = guest_64(VENDOR_INTEL, 0);
    int overlay = overlay_create(g.machine->memory, "page", OVERLAY_WRITE_GP);
    cr_assert(overlay_place(g.machine->memory, overlay, gpa(LAPIC_PAGE)));
    poke(&g, TABLES + 0x2000 + 8 * 8, (LAPIC_PAGE & ~0x1fffffULL) | 0x87, 8);
    CODE(&g, CODE0, 0x89, 0x03, 0xf4); /* MOV [RBX], EAX; HLT */
    g.s.gpr[RAX] = 0x30;
    g.s.gpr[RBX] = 0x1000000 + (LAPIC_PAGE & 0x1fffff) + TPR;
    guest_run(&g);
    EXPECT_HALT_AT(&g, CODE0 + 2);
    cr_expect_eq(lapic_cr8(g.vp), 3);
    cr_expect_eq(peek(&g, LAPIC_PAGE + TPR, 4), 0);
}
