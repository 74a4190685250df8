/* What a guest sees after it changed its tables, with and without a flush: SDM 3A rev. 060 §4.10 Caching Translation
 * Information.
 *
 * Policy `fresh`: always the new tables. Policy `stalest`: the old translation, until an operation that §4.10.4.1 names for it.
 * Every case runs whole, and in slices of one cycle with host-side caches that are small and emptied all the time: what is
 * cached on the host may not show. */
#include "tests/unit/cpu_system_fixture.h"

/* X is the page that is remapped, from OLD to NEW; beside the code that does it. */
enum {
    X = 0x30000,
    OLD = 0x30000,
    NEW = 0x31000,
    OTHER = 0x32000,
    INVPCID_AT = 0x33000,
    G_BIT = 0x100,
    IN_OLD = 11,
    IN_NEW = 22
};
enum {
    TABLE4K = TABLES + 0x3000,
    TABLE4K_NEW = TABLES + 0x4000,
    ENTRY_X = TABLE4K + 8 * (X >> PAGE_SHIFT),
    PDE0 = TABLES + 0x2000
};

struct host {
    unsigned tlb_entries, flush_every, slice;
};
static const struct host hosts[] = {{0, 0, 0}, {0, 0, 1}, {16, 1, 0}, {16, 1, 1}, {16, 3, 2}};

/* 64-bit mode, CPL 0, 4 KiB supervisor pages but for CODE3 and the stack of ring 3. */
static struct guest flush_guest(enum translation_policy policy, const struct host *host, unsigned vps)
{
    struct guest plain = guest_64(VENDOR_INTEL, 0);
    struct cpu_config config = plain.config;
    config.policy = policy;
    config.vps = vps;
    config.host_tlb_entries = host->tlb_entries;
    config.host_cache_flush_every = host->flush_every;
    for (uint64_t i = 0; i < 512; i++) {
        poke(&plain, TABLE4K + 8 * i, i << 12 | 3, 8);
        poke(&plain, TABLE4K_NEW + 8 * i, (i == X >> 12 ? NEW : i << 12) | 3, 8);
    }
    poke(&plain, PDE0, TABLE4K | 7, 8);
    poke(&plain, OLD, IN_OLD, 4);
    poke(&plain, NEW, IN_NEW, 4);
    struct guest g = guest_twin(&plain, &config, NULL);
    guest_destroy(&plain);
    g.s.gpr[RBX] = X;
    g.s.gpr[RSI] = ENTRY_X;
    g.s.gpr[RDI] = NEW | 3;
    g.s.gpr[R9] = g.s.cr3;
    return g;
}

static void run_in_slices(struct guest *g, struct vcpu *vp, unsigned slice)
{
    cr_assert(vp_set_state(vp, &g->s));
    const uint64_t end = machine_now(g->machine) + 100000;
    do {
        g->stop = vp_run(vp, slice == 0 ? end : machine_now(g->machine) + slice);
    } while (g->stop == STOP_UNTIL && machine_now(g->machine) < end);
    vp_get_state(vp, &g->s);
}

/* ---- which operation flushes what ---- */

struct flush_case {
    const char *name;
    const char *code; /* between the change and the second access */
    unsigned bytes;
    bool old; /* the old translation is still seen */
    uint64_t leaf, cr4;
    uint64_t type, descriptor[2]; /* of INVPCID */
};
#define FLUSH(text) text, sizeof(text) - 1
#define INVPCID FLUSH("\x66\x45\x0f\x38\x82\x75\x00") /* invpcid r14, [r13] */
#define INVLPG_X FLUSH("\x0f\x01\x3b")                /* invlpg [rbx] */
#define MOV_CR3 FLUSH("\x41\x0f\x22\xd9")             /* mov cr3, r9: the same value */
#define MOV_CR4(bit)                                                                                                           \
    FLUSH("\x41\x0f\x20\xe2\x49\x0f\xba\xfa" bit "\x41\x0f\x22\xe2") /* mov r10, cr4; btc r10, bit; mov cr4, r10 */

/* mov cr3, r12: PCID 1; mov cr3, r9: PCID 0; mov cr3, r15: PCID 0 with bit 63, which keeps */
static const struct flush_case cases[] = {
    {"nothing", FLUSH(""), true, 0, 0},
    {"INVLPG", INVLPG_X, false, 0, 0},
    {"INVLPG of its last byte", FLUSH("\x0f\x01\xbb\xff\x0f\x00\x00"), false, 0, 0},
    {"INVLPG of the next page", FLUSH("\x0f\x01\xbb\x00\x10\x00\x00"), true, 0, 0},
    {"INVLPG of a global page", INVLPG_X, false, G_BIT, CR4_PGE},
    {"MOV CR3", MOV_CR3, false, 0, 0},
    {"MOV CR3, other pages global", MOV_CR3, false, 0, CR4_PGE},
    {"MOV CR3, a global page", MOV_CR3, true, G_BIT, CR4_PGE},
    {"MOV CR3, G without CR4.PGE", MOV_CR3, false, G_BIT, 0},
    {"CR4.PGE set", MOV_CR4("\x07"), false, 0, 0},
    {"CR4.PGE cleared, a global page", MOV_CR4("\x07"), false, G_BIT, CR4_PGE},
    {"CR4.SMEP set", MOV_CR4("\x14"), false, 0, 0},
    {"CR4.SMEP cleared", MOV_CR4("\x14"), true, 0, CR4_SMEP},
    {"CR4.SMAP set", MOV_CR4("\x15"), true, 0, 0},
    {"CR4.PCIDE set", MOV_CR4("\x11"), true, 0, 0},
    {"CR4.PCIDE cleared", MOV_CR4("\x11"), false, 0, CR4_PCIDE},
    {"CR4.PCIDE cleared, a global page", MOV_CR4("\x11"), false, G_BIT, CR4_PGE | CR4_PCIDE},
    {"CR4.DE set", MOV_CR4("\x03"), true, 0, 0},
    {"CR0.WP cleared", FLUSH("\x41\x0f\x20\xc2\x49\x0f\xba\xfa\x10\x41\x0f\x22\xc2"), true, 0, 0},
    {"another PCID and back", FLUSH("\x41\x0f\x22\xdc\x41\x0f\x22\xd9"), false, 0, CR4_PCIDE},
    {"another PCID and back, kept", FLUSH("\x41\x0f\x22\xdc\x41\x0f\x22\xdf"), true, 0, CR4_PCIDE},
    {"another PCID and back, a global page", FLUSH("\x41\x0f\x22\xdc\x41\x0f\x22\xd9"), true, G_BIT, CR4_PCIDE | CR4_PGE},
    {"to another PCID and stay", FLUSH("\x41\x0f\x22\xdc"), false, 0, CR4_PCIDE},
    {"to another PCID and stay, a global page", FLUSH("\x41\x0f\x22\xdc"), true, G_BIT, CR4_PCIDE | CR4_PGE},
    {"INVLPG in another PCID", FLUSH("\x41\x0f\x22\xdc\x0f\x01\x3b\x41\x0f\x22\xdf"), true, 0, CR4_PCIDE},
    {"INVLPG in another PCID, a global page", FLUSH("\x41\x0f\x22\xdc\x0f\x01\x3b\x41\x0f\x22\xdf"), false, G_BIT,
     CR4_PCIDE | CR4_PGE},
    {"INVPCID, the address", INVPCID, false, 0, CR4_PCIDE, 0, {0, X + 5}},
    {"INVPCID, the address in PCID 1", INVPCID, true, 0, CR4_PCIDE, 0, {1, X}},
    {"INVPCID, another address", INVPCID, true, 0, CR4_PCIDE, 0, {0, X + 0x1000}},
    {"INVPCID, the address, a global page", INVPCID, true, G_BIT, CR4_PCIDE | CR4_PGE, 0, {0, X}},
    {"INVPCID, the PCID", INVPCID, false, 0, CR4_PCIDE, 1, {0, 0}},
    {"INVPCID, another PCID", INVPCID, true, 0, CR4_PCIDE, 1, {1, 0}},
    {"INVPCID, the PCID, a global page", INVPCID, true, G_BIT, CR4_PCIDE | CR4_PGE, 1, {0, 0}},
    {"INVPCID, all", INVPCID, false, 0, 0, 2, {0, 0}},
    {"INVPCID, all, a global page", INVPCID, false, G_BIT, CR4_PGE, 2, {0, 0}},
    {"INVPCID, all but global pages", INVPCID, false, 0, CR4_PGE, 3, {0, 0}},
    {"INVPCID, all but global pages, a global page", INVPCID, true, G_BIT, CR4_PGE, 3, {0, 0}},
};

/* mov eax, [rbx]; mov [rsi], rdi; the case; mov edx, [rbx]; hlt */
static void flush_case(const struct flush_case *c, enum translation_policy policy, const struct host *host, bool directory)
{
    GUEST g = flush_guest(policy, host, 1);
    uint8_t code[64] = {0x8b, 0x03, 0x48, 0x89, 0x3e};
    memcpy(code + 5, c->code, c->bytes);
    memcpy(code + 5 + c->bytes, "\x8b\x13\xf4", 3);
    guest_bytes(&g, CODE0, code, sizeof code);
    poke(&g, ENTRY_X, OLD | 3 | c->leaf, 8);
    g.s.gpr[RDI] = NEW | 3 | c->leaf;
    if (directory) { /* the change is one level higher */
        poke(&g, TABLE4K_NEW + 8 * (X >> PAGE_SHIFT), NEW | 3 | c->leaf, 8);
        g.s.gpr[RSI] = PDE0;
        g.s.gpr[RDI] = TABLE4K_NEW | 7;
    }
    g.s.cr4 |= c->cr4;
    g.s.gpr[R9] = g.s.cr3;
    g.s.gpr[R12] = g.s.cr3 | 1;
    g.s.gpr[R15] = g.s.cr3 | 1ULL << 63;
    g.s.gpr[R13] = INVPCID_AT;
    g.s.gpr[R14] = c->type;
    guest_bytes(&g, INVPCID_AT, c->descriptor, 16);
    run_in_slices(&g, g.vp, host->slice);
    EXPECT_HALT_AT(&g, CODE0 + 7 + c->bytes);
    uint64_t want = policy == TRANSLATE_STALEST && c->old ? IN_OLD : IN_NEW;
    cr_expect(g.s.gpr[RAX] == IN_OLD && g.s.gpr[RDX] == want,
              "%s%s: %lu then %lu, not %lu (host caches: %u entries, every %u, slices %u)", c->name,
              directory ? " (directory)" : "", g.s.gpr[RAX], g.s.gpr[RDX], want, host->tlb_entries, host->flush_every,
              host->slice);
}

static void flush_cases(enum translation_policy policy, bool directory)
{
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        for (unsigned h = 0; h < ARRAY_COUNT(hosts); h++) {
            flush_case(&cases[i], policy, &hosts[h], directory);
        }
    }
}

/* SDM 3A §4.10.4.1, SDM 2A INVLPG, INVPCID. */
Test(stalest, an_old_translation_lives_until_a_flush_names_it)
{
    flush_cases(TRANSLATE_STALEST, false);
}
/* §4.10.3: so do translations made through a changed directory entry. */
Test(stalest, an_old_directory_lives_until_a_flush_names_its_pages)
{
    flush_cases(TRANSLATE_STALEST, true);
}
/* The design's `fresh`: as if there were no TLB. */
Test(fresh, every_change_is_seen_with_or_without_a_flush)
{
    flush_cases(TRANSLATE_FRESH, false);
    flush_cases(TRANSLATE_FRESH, true);
}

#define FOR_EACH_HOST(h) for (const struct host *h = hosts; h < hosts + ARRAY_COUNT(hosts); h++)
enum { LAPIC_PAGE = 0xfee00000, LAPIC_VERSION_AT = 0x30, LAPIC_TPR_AT = 0x80 };

/* The local APIC's page becomes memory and comes back, used before and after each change. */
Test(fresh, a_page_of_registers_that_becomes_memory_is_memory)
{
    FOR_EACH_HOST(h)
    {
        GUEST g = flush_guest(TRANSLATE_FRESH, h, 1);
        poke(&g, ENTRY_X, LAPIC_PAGE | 3, 8);
        poke(&g, NEW + LAPIC_VERSION_AT, IN_NEW, 4);
        g.s.gpr[R8] = LAPIC_PAGE | 3;
        CODE(&g, CODE0, 0x8b, 0x43, 0x30, /* mov eax, [rbx+0x30] */
             0x8b, 0x43, 0x30,            /* once more */
             0x48, 0x89, 0x3e,            /* mov [rsi], rdi */
             0x8b, 0x4b, 0x30,            /* mov ecx, [rbx+0x30] */
             0x4c, 0x89, 0x06,            /* mov [rsi], r8 */
             0x8b, 0x53, 0x30,            /* mov edx, [rbx+0x30] */
             0xf4);
        run_in_slices(&g, g.vp, h->slice);
        EXPECT_HALT_AT(&g, CODE0 + 18);
        cr_expect_eq(g.s.gpr[RAX] & 0xff, 0x14, "SDM 3A §10.4.8: version 14h");
        cr_expect_eq(g.s.gpr[RCX], IN_NEW);
        cr_expect_eq(g.s.gpr[RDX], g.s.gpr[RAX]);
    }
}

/* A read does not allow the write after it: D is set by that write, and a page that is read-only by then refuses it. */
Test(fresh, a_register_that_was_read_is_written_by_its_own_right)
{
    for (unsigned writable = 0; writable < 2; writable++) {
        FOR_EACH_HOST(h)
        {
            GUEST g = flush_guest(TRANSLATE_FRESH, h, 1);
            poke(&g, ENTRY_X, LAPIC_PAGE | (writable ? 3 : 1), 8);
            g.s.cr0 |= CR0_WP;
            g.s.gpr[RDX] = 0x20;
            CODE(&g, CODE0, 0x8b, 0x83, 0x80, 0, 0, 0, /* mov eax, [rbx+0x80] */
                 0x8b, 0x3e,                           /* mov edi, [rsi] */
                 0x89, 0x93, 0x80, 0, 0, 0,            /* mov [rbx+0x80], edx */
                 0xf4);
            run_in_slices(&g, g.vp, h->slice);
            cr_expect_eq(g.s.gpr[RDI] & 0x60, 0x20, "accessed, not dirty");
            if (writable) {
                EXPECT_HALT_AT(&g, CODE0 + 14);
                cr_expect_eq(peek(&g, ENTRY_X, 4) & 0x60, 0x60, "dirty");
                cr_expect_eq(lapic_read(g.vp, LAPIC_TPR_AT), 0x20);
            } else {
                EXPECT_EVENT(&g, VEC_PF, 3, CODE0 + 8);
                cr_expect_eq(g.s.cr2, X + LAPIC_TPR_AT);
            }
        }
    }
}

/* ---- rights, accessed and dirty bits ---- */

/* §4.10.2.3: what is not present is never remembered: no flush is needed after it appears. */
Test(stalest, a_page_that_appears_needs_no_flush)
{
    FOR_EACH_HOST(h)
    {
        GUEST g = flush_guest(TRANSLATE_STALEST, h, 1);
        poke(&g, ENTRY_X, 0, 8);
        CODE(&g, CODE0, 0x8b, 0x03, 0xf4);
        CODE(&g, handler(VEC_PF), 0x48, 0x89, 0x3e, 0x48, 0x83, 0xc4, 0x08, 0x48, 0xcf); /* mov [rsi], rdi; add rsp, 8; iretq */
        run_in_slices(&g, g.vp, h->slice);
        EXPECT_HALT_AT(&g, CODE0 + 2);
        cr_expect_eq(g.s.gpr[RAX], IN_NEW);
    }
}

/* Cleared P, or W after a write: the remembered right serves on; after INVLPG it does not. */
Test(stalest, rights_taken_away_stay_until_the_flush)
{
    static const struct {
        uint64_t entry;
        bool flush;
        int error;
    } rights[] = {{0, false, NO_ERROR}, {0, true, 2}, {OLD | 1, false, NO_ERROR}, {OLD | 1, true, 3}};
    for (unsigned i = 0; i < ARRAY_COUNT(rights); i++) {
        FOR_EACH_HOST(h)
        {
            GUEST g = flush_guest(TRANSLATE_STALEST, h, 1);
            CODE(&g, CODE0, 0x89, 0x03, 0x48, 0x89, 0x3e, 0x0f, 0x01, 0x3b, 0x89, 0x13,
                 0xf4); /* write; change; invlpg; write; hlt */
            if (!rights[i].flush) {
                CODE(&g, CODE0 + 5, 0x0f, 0x1f, 0x03); /* nop [rbx] */
            }
            g.s.gpr[RDI] = rights[i].entry;
            g.s.gpr[RDX] = 77;
            run_in_slices(&g, g.vp, h->slice);
            if (rights[i].flush) {
                EXPECT_EVENT(&g, VEC_PF, rights[i].error, CODE0 + 8);
                cr_expect_eq(g.s.cr2, X);
            } else {
                EXPECT_HALT_AT(&g, CODE0 + 10);
                cr_expect_eq(peek(&g, OLD, 4), 77);
            }
        }
    }
}

/* §4.8, §4.10.2.3: bits that software cleared are set again only by an access that walks the tables. */
Test(stalest, cleared_accessed_and_dirty_bits_stay_cleared_until_the_flush)
{
    for (unsigned flush = 0; flush < 2; flush++) {
        FOR_EACH_HOST(h)
        {
            GUEST g = flush_guest(TRANSLATE_STALEST, h, 1);
            CODE(&g, CODE0, 0x89, 0x03, 0x48, 0x89, 0x3e, 0x0f, 0x01, 0x3b, 0x89, 0x13, 0x8b, 0x03,
                 0xf4); /* ... write; read; hlt */
            if (!flush) {
                CODE(&g, CODE0 + 5, 0x0f, 0x1f, 0x03);
            }
            g.s.gpr[RDI] = OLD | 3;
            run_in_slices(&g, g.vp, h->slice);
            EXPECT_HALT_AT(&g, CODE0 + 12);
            cr_expect_eq(peek(&g, ENTRY_X, 8), (uint64_t)(OLD | 3 | (flush ? 0x60 : 0)));
        }
    }
}

/* §4.10.2.3: a translation whose D flag is clear cannot serve a write: the tables are walked, and what they say now is what all
 * see, whatever CPL 3 had from the old ones. */
Test(stalest, a_first_write_walks_and_renews_it_for_every_mode)
{
    FOR_EACH_HOST(h)
    {
        GUEST g = flush_guest(TRANSLATE_STALEST, h, 1);
        poke(&g, TABLE4K + 8 * (CODE3 >> 12), CODE3 | 7, 8);
        poke(&g, ENTRY_X, OLD | 7, 8);
        set_flat(&g, 3, SEL_CODE3_64, 0xa);
        g.s.gpr[RDI] = NEW | 7;
        g.s.gpr[RDX] = 5;
        set_idt64(&g, 0x80, SEL_CODE0_64, CODE0, 0xee, 0);
        CODE(&g, CODE3, 0x8b, 0x03, 0xcd, 0x80, 0x8b, 0x0b, 0xf4);       /* mov eax, [rbx]; int 0x80; mov ecx, [rbx]; hlt */
        CODE(&g, CODE0, 0x48, 0x89, 0x3e, 0x89, 0x53, 0x04, 0x48, 0xcf); /* mov [rsi], rdi; mov [rbx+4], edx; iretq */
        run_in_slices(&g, g.vp, h->slice);
        EXPECT_EVENT(&g, VEC_GP, 0, CODE3 + 6);
        cr_expect_eq(g.s.gpr[RAX], IN_OLD);
        cr_expect_eq(peek(&g, NEW + 4, 4), 5);
        cr_expect_eq(g.s.gpr[RCX], IN_NEW, "slices %u", h->slice);
    }
}

/* §4.10.4.1: a page fault takes the translations of its address along, here the supervisor's with a user's fault. */
Test(stalest, a_page_fault_is_a_flush_of_its_page)
{
    FOR_EACH_HOST(h)
    {
        GUEST g = flush_guest(TRANSLATE_STALEST, h, 1);
        poke(&g, TABLE4K + 8 * (CODE3 >> 12), CODE3 | 7, 8);
        g.s.gpr[RSP] = STACK0 - 40;
        const uint64_t frame[] = {CODE3, SEL_CODE3_64 | 3, 2, STACK3, SEL_DATA3 | 3};
        guest_bytes(&g, STACK0 - 40, frame, sizeof frame);
        CODE(&g, CODE0, 0x8b, 0x03, 0x48, 0x89, 0x3e, 0x48, 0xcf); /* mov eax, [rbx]; mov [rsi], rdi; iretq */
        CODE(&g, CODE3, 0x8b, 0x0b, 0xf4);                         /* mov ecx, [rbx]: a supervisor page */
        CODE(&g, handler(VEC_PF), 0x8b, 0x13, 0xf4);               /* mov edx, [rbx]; hlt */
        run_in_slices(&g, g.vp, h->slice);
        EXPECT_HALT_AT(&g, handler(VEC_PF) + 2);
        cr_expect_eq(g.s.gpr[RAX], IN_OLD);
        cr_expect_eq(g.s.gpr[RDX], IN_NEW);
    }
}

/* ---- instructions ---- */

/* mov eax, n; ret -- in OLD with 1, in NEW with 2; called before and after the change. */
static void code_case(const char *between, unsigned bytes, uint64_t want)
{
    FOR_EACH_HOST(h)
    {
        GUEST g = flush_guest(TRANSLATE_STALEST, h, 1);
        CODE(&g, OLD, 0xb8, 1, 0, 0, 0, 0xc3);
        CODE(&g, NEW, 0xb8, 2, 0, 0, 0, 0xc3);
        uint8_t code[32] = {0xff, 0xd3, 0x48, 0x89, 0x3e}; /* call rbx; mov [rsi], rdi */
        memcpy(code + 5, between, bytes);
        memcpy(code + 5 + bytes, "\xff\xd3\xf4", 3);
        guest_bytes(&g, CODE0, code, sizeof code);
        run_in_slices(&g, g.vp, h->slice);
        EXPECT_HALT_AT(&g, CODE0 + 7 + bytes);
        cr_expect_eq(g.s.gpr[RAX], want, "%lu, not %lu (slices %u)", g.s.gpr[RAX], want, h->slice);
    }
}
Test(stalest, old_code_runs_until_the_flush)
{
    code_case(FLUSH(""), 1);
    code_case(INVLPG_X, 2);
    code_case(MOV_CR3, 2);
}

/* A page whose code remaps it and then is the first to write to it: the next instruction is the new page's. */
Test(stalest, a_walk_that_moves_the_running_page_counts_for_the_next_instruction)
{
    FOR_EACH_HOST(h)
    {
        GUEST g = flush_guest(TRANSLATE_STALEST, h, 1);
        uint8_t code[] = {0x90, 0x48, 0x89, 0x3e, 0x89, 0x93, 0, 1,
                          0,    0,    0xb8, 1,    0,    0,    0, 0xf4}; /* nop; mov [rsi], rdi; mov [rbx+256], edx; */
        guest_bytes(&g, OLD, code, sizeof code);                        /* mov eax, 1; hlt */
        code[11] = 2;
        guest_bytes(&g, NEW, code, sizeof code);
        g.s.rip = X;
        run_in_slices(&g, g.vp, h->slice);
        EXPECT_HALT_AT(&g, X + 15);
        cr_expect_eq(g.s.gpr[RAX], 2, "slices %u", h->slice);
    }
}

/* ---- large pages, other processors, saved states ---- */

/* §4.10.2.3, §4.10.4.1 INVLPG: of a large page that was remembered in parts all parts go; of its neighbour none. */
Test(stalest, invlpg_takes_all_of_a_large_page)
{
    FOR_EACH_HOST(h)
    {
        GUEST g = flush_guest(TRANSLATE_STALEST, h, 1);
        for (unsigned i = 0; i < 4;
             i++) { /* 2 MiB pages: linear 2-4 and 4-6 MiB, physical first there, then both 4 MiB further */
            poke(&g, (2 + 2 * i) * 0x100000 + 0x5000, 2 + 2 * i, 4);
        }
        /* mov eax, [0x205000]; mov ecx, [0x405000]; mov qword [rsi], 0x6000a3; mov qword [rsi+8], 0x8000a3; invlpg [0x3ff000]
         */
        CODE(&g, CODE0, 0x8b, 0x04, 0x25, 0, 0x50, 0x20, 0, 0x8b, 0x0c, 0x25, 0, 0x50, 0x40, 0, 0x48, 0xc7, 0x06, 0xa3, 0, 0x60,
             0, 0x48, 0xc7, 0x46, 0x08, 0xa3, 0, 0x80, 0, 0x0f, 0x01, 0x3c, 0x25, 0, 0xf0, 0x3f, 0);
        CODE(&g, CODE0 + 37, 0x8b, 0x14, 0x25, 0, 0x50, 0x20, 0, 0x8b, 0x3c, 0x25, 0, 0x50, 0x40, 0,
             0xf4); /* mov edx, ...; mov edi, ...; hlt */
        g.s.gpr[RSI] = PDE0 + 8;
        run_in_slices(&g, g.vp, h->slice);
        EXPECT_HALT_AT(&g, CODE0 + 51);
        cr_expect(g.s.gpr[RAX] == 2 && g.s.gpr[RCX] == 4);
        cr_expect_eq(g.s.gpr[RDX], 6, "flushed by its last page");
        cr_expect_eq(g.s.gpr[RDI], 4, "not named");
    }
}

/* §4.10.5: INVLPG reaches no other processor: without a shootdown that one stays with the old. */
Test(stalest, another_processor_keeps_its_own)
{
    FOR_EACH_HOST(h)
    {
        GUEST g = flush_guest(TRANSLATE_STALEST, h, 2);
        struct vcpu *second = cpu_vp(g.cpu, 1);
        CODE(&g, CODE0, 0x8b, 0x03, 0xf4);                              /* mov eax, [rbx]; hlt */
        CODE(&g, CODE0 + 16, 0x48, 0x89, 0x3e, 0x0f, 0x01, 0x3b, 0xf4); /* mov [rsi], rdi; invlpg [rbx]; hlt */
        struct vp_state begin = g.s;
        static const struct {
            unsigned vp, rip;
            uint64_t rax;
        } steps[] = {{0, CODE0, IN_OLD}, {1, CODE0, IN_OLD}, {0, CODE0 + 16, 0}, {0, CODE0, IN_NEW}, {1, CODE0, IN_OLD}};
        for (unsigned i = 0; i < ARRAY_COUNT(steps); i++) {
            g.s = begin;
            g.s.rip = steps[i].rip;
            g.s.gpr[RAX] = 0;
            run_in_slices(&g, steps[i].vp == 0 ? g.vp : second, h->slice);
            cr_assert_eq(g.stop, STOP_HALT);
            cr_expect_eq(g.s.gpr[RAX], steps[i].rax, "step %u", i);
        }
    }
}

/* The translations are part of the machine's state: who restores it, sees the old page too. */
Test(stalest, a_restored_machine_keeps_the_old_translation)
{
    GUEST g = flush_guest(TRANSLATE_STALEST, &hosts[0], 1);
    CODE(&g, CODE0, 0x8b, 0x03, 0x48, 0x89, 0x3e, 0xf4, 0x8b, 0x13,
         0xf4); /* mov eax, [rbx]; mov [rsi], rdi; hlt; mov edx, [rbx]; hlt */
    run_in_slices(&g, g.vp, 0);
    struct state *save = state_begin_save();
    cpu_state(save, g.cpu);
    size_t length;
    uint8_t *file = state_finish_save(save, &length);
    cr_assert_not_null(file);
    GUEST twin = guest_twin(&g, &g.config, NULL);
    struct state *restore = state_begin_restore(file, length);
    cpu_state(restore, twin.cpu);
    cr_assert(state_finish_restore(restore), "%s", state_error(restore));
    vp_get_state(twin.vp, &twin.s);
    twin.s.activity = VP_RUNNING;
    run_in_slices(&twin, twin.vp, 0);
    cr_expect_eq(twin.s.gpr[RDX], IN_OLD);
    state_end(restore);
    state_end(save);
    free(file);
}
