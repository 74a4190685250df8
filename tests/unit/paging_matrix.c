/* The paging access matrix: every form of paging, every flag of the entries on the way to a page, every control that has a say,
 * and every kind of access. What must happen is computed here from the text of SDM 3A rev. 060 chapter 4 by `walk()`, which
 * knows nothing of cpu/mmu.c: §4.3-4.5 (formats), §4.6 Access Rights, §4.7 Page-Fault Exceptions, §4.8 Accessed and Dirty
 * Flags.
 *
 * One trial: the flags go into the entries, one instruction accesses the test page, and the vector, error code, CR2, the A and
 * D bits of all entries and the memory behind are compared. §4.8 leaves open which entries of a faulting access are marked;
 * cpu/ marks none. Left out: flushes and stale translations (paging_flush.c).
 *
 * Map: the first 2 MiB are the fixture's, supervisor pages but for CODE3. The test page is elsewhere in linear space, at an
 * address with a table of its own at each level, and always leads to DATA. */
#include "tests/unit/cpu_system_fixture.h"

/* ---- forms of paging ---- */

enum { LEVELS_MAX = 5, PT = 0, PD = 1, PDPT = 2, PML4 = 3, PML5 = 4 };

struct form {
    const char *name;
    uint64_t cr4; /* beside the controls */
    bool long_mode;
    uint8_t top, leaf;   /* levels; in PAE paging the registers PDPTE stand above `top` */
    uint8_t entry_bytes; /* 4: no NX */
    uint64_t leaf_bits;  /* PS; the page's address is DATA's, less what the linear address gives */
    uint64_t reserved;   /* a reserved bit of the leaf; 0: it has none */
    uint64_t linear;     /* of the test page */
};
/* Distinct indices at each level: 4 KiB, 2 MiB, 1 GiB, 512 GiB, 256 TiB. */
#define AT_PD (1ULL << 21)
#define AT_PDPT (1ULL << 30)
#define AT_PML4 (1ULL << 39)
#define AT_PML5 (1ULL << 48)
#define PS 0x80ULL
#define BIT(n) (1ULL << (n))
static const struct form forms[] = {
    {"32-bit, 4 KiB", 0, false, PD, PT, 4, 0, 0, (1 << 22) + DATA},
    {"32-bit, 4 KiB, PSE on", CR4_PSE, false, PD, PT, 4, 0, 0, (1 << 22) + DATA},
    {"32-bit, 4 MiB", CR4_PSE, false, PD, PD, 4, PS, BIT(21), (1 << 22) + DATA},
    {"PAE, 4 KiB", CR4_PAE, false, PD, PT, 8, 0, BIT(51), AT_PDPT + AT_PD + DATA},
    {"PAE, 2 MiB", CR4_PAE, false, PD, PD, 8, PS, BIT(20), AT_PDPT + AT_PD + DATA},
    {"4-level, 4 KiB", CR4_PAE, true, PML4, PT, 8, 0, BIT(40), AT_PML4 + AT_PDPT + AT_PD + DATA},
    {"4-level, 2 MiB", CR4_PAE, true, PML4, PD, 8, PS, BIT(13), AT_PML4 + AT_PDPT + AT_PD + DATA},
    {"4-level, 1 GiB", CR4_PAE, true, PML4, PDPT, 8, PS, BIT(29), AT_PML4 + AT_PDPT + DATA},
    {"5-level, 4 KiB", CR4_PAE | CR4_LA57, true, PML5, PT, 8, 0, BIT(51), AT_PML5 + AT_PML4 + AT_PDPT + AT_PD + DATA},
    {"5-level, 2 MiB", CR4_PAE | CR4_LA57, true, PML5, PD, 8, PS, BIT(20), AT_PML5 + AT_PML4 + AT_PDPT + AT_PD + DATA},
    {"5-level, 1 GiB", CR4_PAE | CR4_LA57, true, PML5, PDPT, 8, PS, BIT(13), AT_PML5 + AT_PML4 + AT_PDPT + DATA},
};
enum { PAE_4K = 3, PAE_2M, LONG_4K, LONG_2M, LONG_1G, LA57_4K, LA57_2M, LA57_1G };

static bool is_pae_32(const struct form *f)
{
    return !f->long_mode && f->entry_bytes == 8;
}

/* ---- flags, accesses and controls ---- */

enum { P = 1, W = 2, U = 4, NX = 8, RSV = 16, ALL_FLAGS = 32 }; /* of one entry */
enum { WP = 1, SMEP = 2, SMAP = 4, AC = 8, NXE = 16, ALL_CONTROLS = 32 };
enum { A_BIT = 0x20, D_BIT = 0x40, PF_P = 1, PF_W = 2, PF_U = 4, PF_RSVD = 8, PF_I = 16 };
/* An implicit access is of supervisor mode at any CPL (§4.6): here LDTR names the test page and MOV ES reads a descriptor
 * there; one that is not marked accessed is also written. */
enum kind { READ, WRITE, MODIFY, FETCH, IMPLICIT_READ, IMPLICIT_WRITE, KINDS };

struct trial {
    const struct form *form;
    unsigned flags[LEVELS_MAX]; /* by level, leaf to top */
    unsigned controls, cpl;
    enum kind kind;
};

/* ---- the model ---- */

struct outcome {
    bool fault, read_done; /* read_done: of a read and a write, the read was allowed */
    uint32_t error;
};

static uint32_t fetch_bit(const struct trial *t)
{
    /* §4.7: the I/D flag says fetch only with SMEP, or with PAE and NXE. */
    bool told = (t->controls & SMEP) || (t->form->entry_bytes == 8 && (t->controls & NXE));
    return told ? PF_I : 0;
}

/* One access. `user`: its mode, not its CPL. */
static struct outcome walk(const struct trial *t, bool user, bool write, bool fetch)
{
    const uint32_t error = (write ? PF_W : 0) | (user ? PF_U : 0) | (fetch ? fetch_bit(t) : 0);
    const bool nxe = t->controls & NXE;
    bool writable = true, user_page = true, no_execute = false;
    for (int level = t->form->top; level >= t->form->leaf; level--) {
        unsigned flags = t->flags[level];
        if (!(flags & P)) {
            return (struct outcome){.fault = true, .error = error}; /* what else the entry holds is ignored */
        }
        if ((flags & RSV) || ((flags & NX) && !nxe)) {
            return (struct outcome){.fault = true, .error = error | PF_P | PF_RSVD};
        }
        writable &= (flags & W) != 0;
        user_page &= (flags & U) != 0; /* §4.6: a user-mode address has U/S 1 in every entry */
        no_execute |= (flags & NX) != 0;
    }
    bool allowed;
    if (user) {
        allowed = user_page && (!write || writable) && (!fetch || !no_execute);
    } else if (fetch) {
        allowed = !no_execute && !(user_page && (t->controls & SMEP));
    } else {
        bool implicit = t->kind == IMPLICIT_READ || t->kind == IMPLICIT_WRITE;
        bool smap_forbids = user_page && (t->controls & SMAP) && (implicit || !(t->controls & AC));
        allowed = !smap_forbids && (!write || writable || !(t->controls & WP));
    }
    return (struct outcome){.fault = !allowed, .error = error | PF_P};
}

static struct outcome expected(const struct trial *t)
{
    const bool user = t->cpl == 3;
    switch (t->kind) {
    case READ:
        return walk(t, user, false, false);
    case WRITE:
    case MODIFY: /* needs both, and is a write for the error code */
        return walk(t, user, true, false);
    case FETCH:
        return walk(t, user, false, true);
    case IMPLICIT_READ:
        return walk(t, false, false, false);
    default:
        break;
    }
    struct outcome read = walk(t, false, false, false), write = walk(t, false, true, false);
    write.read_done = !read.fault;
    return read.fault ? read : write;
}

/* ---- the guest ---- */

static uint64_t fixture_table(unsigned level)
{
    return TABLES + 0x1000 * level;
}
static uint64_t test_table(unsigned level)
{
    return TABLES + 0x8000 + 0x1000 * level;
}

static uint64_t entry_address(const struct form *f, unsigned level)
{
    unsigned bits = f->entry_bytes == 8 ? 9 : 10;
    uint64_t index = f->linear >> (12 + bits * level) & ((1u << bits) - 1);
    uint64_t table = level == f->top && !is_pae_32(f) ? fixture_table(level) : test_table(level);
    return table + index * f->entry_bytes;
}

static uint64_t entry_value(const struct form *f, unsigned level, unsigned flags)
{
    uint64_t e = level > f->leaf ? test_table(level - 1) : f->leaf_bits | (level == PT ? DATA : 0);
    uint64_t reserved = level == f->leaf ? f->reserved : f->entry_bytes == 8 ? BIT(45) : 0;
    return e | (flags & 7) | (flags & NX ? BIT(63) : 0) | (flags & RSV ? reserved : 0);
}

static void put_flags(struct guest *g, const struct form *f, unsigned level, unsigned flags)
{
    poke(g, entry_address(f, level), entry_value(f, level, flags), f->entry_bytes);
}

/* The flags that an entry of this level can have. */
static unsigned possible_flags(const struct form *f, unsigned level)
{
    return f->entry_bytes == 8 ? P | W | U | NX | RSV : level == f->leaf && f->reserved ? P | W | U | RSV : P | W | U;
}

enum { DESCRIPTOR = 8, FRESH_DESCRIPTOR = 16 }; /* offsets in DATA of two descriptors: marked accessed, and not */

static void data_reset(struct guest *g)
{
    poke(g, DATA, 0x123456f4, 4); /* as code: HLT */
    poke(g, DATA + DESCRIPTOR, make_descriptor(0, 0xfffff, 0xf3, 0xc), 8);
    poke(g, DATA + FRESH_DESCRIPTOR, make_descriptor(0, 0xfffff, 0xf2, 0xc), 8);
}

static struct guest paging_guest(const struct form *f)
{
    struct guest plain = f->long_mode ? guest_64(VENDOR_INTEL, 0) : guest_32(0);
    struct cpu_config config = plain.config;
    const char *why = NULL;
    cr_assert(cpu_model_set(&config.model, "la57", true, &why), "%s", why);
    struct guest g = guest_twin(&plain, &config, NULL);
    guest_destroy(&plain);
    for (uint64_t at = TABLES; at < CODE0; at += 8) {
        poke(&g, at, 0, 8);
    }
    for (unsigned i = 0; i < 512; i++) {
        uint64_t user = i == CODE3 >> PAGE_SHIFT ? U : 0;
        poke(&g, fixture_table(PT) + i * f->entry_bytes, (uint64_t)i << 12 | P | W | A_BIT | D_BIT | user, f->entry_bytes);
    }
    for (unsigned level = PD; level <= f->top; level++) {
        poke(&g, fixture_table(level), fixture_table(level - 1) | P | W | U | A_BIT, f->entry_bytes);
    }
    for (unsigned level = f->leaf; level <= f->top; level++) {
        put_flags(&g, f, level, P | W | U);
    }
    g.s.cr3 = fixture_table(f->top);
    if (is_pae_32(f)) { /* §4.4.1: four PDPTEs in registers, without W and U */
        g.s.cr3 = TABLES + 0x5000;
        g.s.pdpte[0] = fixture_table(PD) | P;
        g.s.pdpte[1] = test_table(PD) | P;
        poke(&g, g.s.cr3, g.s.pdpte[0], 8);
        poke(&g, g.s.cr3 + 8, g.s.pdpte[1], 8);
    }
    g.s.ldtr = (struct system_segment){.base = f->linear, .seg = {.selector = SEL_LDT, .attributes = 0x82, .limit = 0xfff}};
    g.s.gpr[RBX] = f->linear;
    data_reset(&g);
    for (unsigned ring = 0; ring < 2; ring++) { /* one short piece of code for each kind, 16 bytes apart */
        uint64_t code = ring == 0 ? CODE0 : CODE3;
        CODE(&g, code + 16 * READ, 0x8b, 0x03, 0xf4);           /* mov eax, [rbx]; hlt */
        CODE(&g, code + 16 * WRITE, 0x89, 0x03, 0xf4);          /* mov [rbx], eax; hlt */
        CODE(&g, code + 16 * MODIFY, 0x01, 0x03, 0xf4);         /* add [rbx], eax; hlt */
        CODE(&g, code + 16 * IMPLICIT_READ, 0x8e, 0xc0, 0xf4);  /* mov es, eax; hlt */
        CODE(&g, code + 16 * IMPLICIT_WRITE, 0x8e, 0xc0, 0xf4); /* mov es, eax; hlt */
    }
    return g;
}

/* The state in which a trial of this kind, CPL and controls begins. */
static void trial_state(const struct guest *g, const struct trial *t, struct vp_state *s)
{
    struct guest begin = {.s = g->s};
    const struct form *f = t->form;
    uint16_t cs = t->cpl == 3 ? (f->long_mode ? SEL_CODE3_64 : SEL_CODE3_32) : f->long_mode ? SEL_CODE0_64 : SEL_CODE0_32;
    set_flat(&begin, t->cpl, cs, f->long_mode ? 0xa : 0xc);
    *s = begin.s;
    s->cr0 = CR0_PE | CR0_PG | CR0_NE | CR0_ET | (t->controls & WP ? CR0_WP : 0);
    s->cr4 = f->cr4 | (t->controls & SMEP ? CR4_SMEP : 0) | (t->controls & SMAP ? CR4_SMAP : 0);
    s->efer = (f->long_mode ? EFER_LME | EFER_LMA : 0) | (t->controls & NXE ? EFER_NXE : 0);
    s->rflags |= t->controls & AC ? RFLAGS_AC : 0;
    s->rip = t->kind == FETCH ? f->linear : s->rip + 16 * t->kind;
    s->gpr[RAX] = t->kind == IMPLICIT_READ ? DESCRIPTOR | 7 : t->kind == IMPLICIT_WRITE ? FRESH_DESCRIPTOR | 7 : 0x11;
    s->cr2 = 0x5a5a;
}

/* ---- comparing ---- */

/* CR2 is the address that faulted. Which byte of a descriptor its accessed bit is written through, the SDM does not say. */
static bool cr2_right(const struct trial *t, uint64_t cr2, struct outcome want)
{
    unsigned offset = t->kind == IMPLICIT_READ ? DESCRIPTOR : t->kind == IMPLICIT_WRITE ? FRESH_DESCRIPTOR : 0;
    uint64_t at = cr2 - (t->form->linear + offset);
    return at == 0 || (want.read_done && at < 8);
}

static const char *fault_wrong(struct guest *g, const struct trial *t, const struct vp_state *begin, struct outcome want)
{
    if (want.fault) {
        return stopped_in(g) != VEC_PF            ? "no page fault"
               : frame_word(g, 0) != want.error   ? "error code"
               : frame_word(g, 1) != begin->rip   ? "return address"
               : !cr2_right(t, g->s.cr2, want)    ? "CR2"
               : g->s.gpr[RAX] != begin->gpr[RAX] ? "an effect in a register"
                                                  : NULL;
    }
    /* The HLT after the access: at CPL 3 itself a #GP(0). */
    uint64_t end = begin->rip + (t->kind == FETCH ? 0 : 2);
    bool there = t->cpl == 0 ? g->stop == STOP_HALT && g->s.rip == end + 1
                             : stopped_in(g) == VEC_GP && frame_word(g, 0) == 0 && frame_word(g, 1) == end;
    return !there ? "a fault where none is due" : g->s.cr2 != 0x5a5a ? "CR2 without a fault" : NULL;
}

static const char *memory_wrong(struct guest *g, const struct trial *t, struct outcome want)
{
    uint64_t word = want.fault ? 0x123456f4 : t->kind == WRITE ? 0x11 : t->kind == MODIFY ? 0x12345705 : 0x123456f4;
    if (peek(g, DATA, 4) != word) {
        return "memory";
    }
    bool marked = peek(g, DATA + FRESH_DESCRIPTOR + 5, 1) & 1;
    if (marked != (t->kind == IMPLICIT_WRITE && !want.fault)) {
        return "the descriptor's accessed bit";
    }
    return t->kind == READ && !want.fault && g->s.gpr[RAX] != word ? "what was read" : NULL;
}

static const char *entries_wrong(struct guest *g, const struct trial *t, struct outcome want)
{
    bool writes = t->kind == WRITE || t->kind == MODIFY || t->kind == IMPLICIT_WRITE;
    uint64_t accessed = !want.fault || want.read_done ? A_BIT : 0;
    for (unsigned level = t->form->leaf; level <= t->form->top; level++) {
        uint64_t dirty = level == t->form->leaf && writes && !want.fault ? D_BIT : 0;
        if (peek(g, entry_address(t->form, level), t->form->entry_bytes) !=
            (entry_value(t->form, level, t->flags[level]) | accessed | dirty)) {
            return "A and D bits";
        }
    }
    return NULL;
}

static bool trial_passes(struct guest *g, const struct trial *t, const struct vp_state *begin)
{
    struct outcome want = expected(t);
    struct vp_state kept = g->s;
    g->s = *begin;
    guest_run(g);
    const char *wrong = fault_wrong(g, t, begin, want);
    wrong = wrong != NULL ? wrong : memory_wrong(g, t, want);
    wrong = wrong != NULL ? wrong : entries_wrong(g, t, want);
    cr_expect(wrong == NULL, "%s: wrong %s: kind %d cpl %u controls %#x flags (leaf first) %#x %#x %#x %#x %#x", t->form->name,
              wrong, t->kind, t->cpl, t->controls, t->flags[0], t->flags[1], t->flags[2], t->flags[3], t->flags[4]);
    g->s = kept;
    if (!want.fault && t->kind != READ && t->kind != FETCH && t->kind != IMPLICIT_READ) {
        data_reset(g);
    }
    return wrong == NULL;
}

/* Every kind, CPL and control against the entries as they are. Returns the trials made; stops at the first that fails. */
static unsigned long controls_and_kinds(struct guest *g, struct trial *t, const struct vp_state *states)
{
    unsigned long trials = 0;
    for (t->controls = 0; t->controls < ALL_CONTROLS; t->controls++) {
        for (unsigned n = 0; n < 2 * KINDS; n++, states++) {
            t->kind = n / 2;
            t->cpl = n % 2 * 3;
            cr_assert(trial_passes(g, t, states), "after %lu trials", trials);
            trials++;
            for (unsigned level = t->form->leaf; level <= t->form->top; level++) { /* A and D bits away */
                put_flags(g, t->form, level, t->flags[level]);
            }
        }
    }
    return trials;
}

static struct vp_state *states_make(const struct guest *g, const struct form *f)
{
    struct vp_state *states = calloc(ALL_CONTROLS * 2 * KINDS, sizeof *states), *s = states;
    for (unsigned controls = 0; controls < ALL_CONTROLS; controls++) {
        for (unsigned n = 0; n < 2 * KINDS; n++, s++) {
            struct trial t = {.form = f, .controls = controls, .kind = n / 2, .cpl = n % 2 * 3};
            trial_state(g, &t, s);
        }
    }
    return states;
}

/* All flags of the leaf with all flags of the entry at `upper`; those between let everything through. upper == leaf: the leaf
 * alone. */
static unsigned long matrix(const struct form *f, unsigned upper)
{
    GUEST g = paging_guest(f);
    struct vp_state *states = states_make(&g, f);
    unsigned long trials = 0;
    struct trial t = {.form = f, .flags = {P | W | U, P | W | U, P | W | U, P | W | U, P | W | U}};
    for (unsigned leaf = 0; leaf < ALL_FLAGS; leaf++) {
        if (leaf & ~possible_flags(f, f->leaf)) {
            continue;
        }
        for (unsigned above = 0; above < ALL_FLAGS; above++) {
            /* What is not present says nothing else: one such entry with all other flags, one with none. */
            bool twice = !(above & P) && above != 0 && above != (possible_flags(f, upper) & ~(unsigned)P);
            if (upper == f->leaf ? above != leaf : (above & ~possible_flags(f, upper)) || twice) {
                continue;
            }
            t.flags[f->leaf] = leaf;
            t.flags[upper] = above;
            put_flags(&g, f, f->leaf, leaf);
            put_flags(&g, f, upper, above);
            trials += controls_and_kinds(&g, &t, states);
        }
    }
    free(states);
    return trials;
}

/* ---- the tests: one for each form, and in it for each level above the leaf ---- */

enum { EACH = ALL_CONTROLS * 2 * KINDS };

Test(paging_matrix, of_32_bit_paging)
{
    cr_expect_eq(matrix(&forms[0], PD), 8 * 6 * EACH);
    cr_expect_eq(matrix(&forms[1], PD), 8 * 6 * EACH);
    cr_expect_eq(matrix(&forms[2], PD), 16 * EACH);
}

Test(paging_matrix, of_pae_paging)
{
    cr_expect_eq(matrix(&forms[PAE_4K], PD), 32 * 18 * EACH);
    cr_expect_eq(matrix(&forms[PAE_2M], PD), 32 * EACH);
}

static void long_matrix(unsigned form)
{
    unsigned long want = 0, made = 0;
    for (unsigned level = forms[form].leaf; level <= forms[form].top; level++) {
        made += matrix(&forms[form], level);
        want += (level == forms[form].leaf ? 32 : 32 * 18) * EACH;
    }
    cr_expect_eq(made, want);
}
Test(paging_matrix, of_4_level_paging_with_4_kib_pages)
{
    long_matrix(LONG_4K);
}
Test(paging_matrix, of_4_level_paging_with_2_mib_pages)
{
    long_matrix(LONG_2M);
}
Test(paging_matrix, of_4_level_paging_with_1_gib_pages)
{
    long_matrix(LONG_1G);
}
Test(paging_matrix, of_5_level_paging_with_4_kib_pages)
{
    long_matrix(LA57_4K);
}
Test(paging_matrix, of_5_level_paging_with_2_mib_pages)
{
    long_matrix(LA57_2M);
}
Test(paging_matrix, of_5_level_paging_with_1_gib_pages)
{
    long_matrix(LA57_1G);
}

/* ---- every reserved bit ---- */

enum { MAXPHYADDR = 40 };
#define BITS(high, low) ((UINT64_MAX >> (63 - (high))) & ~(BIT(low) - 1))

/* SDM 3A tables 4-4 (4 MiB), 4-9 to 4-11 (PAE), 4-15 to 4-20 (4 and 5 levels). Bit 63 without NXE apart. */
static uint64_t reserved_bits(const struct form *f, unsigned level)
{
    bool large = level == f->leaf && level != PT;
    if (f->entry_bytes == 4) {
        return large ? BIT(21) : 0; /* PSE-36: bits 20:13 are the address's 39:32, all within MAXPHYADDR */
    }
    uint64_t bits = is_pae_32(f) ? BITS(62, MAXPHYADDR) : BITS(51, MAXPHYADDR);
    bits |= large && level == PD ? BITS(20, 13) : large ? BITS(29, 13) : 0;
    return bits | (level >= PML4 ? PS : 0);
}

/* Bits that make another entry of it: not present, another address of the next table, another kind of page. */
static bool changes_the_walk(const struct form *f, unsigned level, unsigned bit)
{
    bool address = bit >= 12 && bit < (f->entry_bytes == 8 ? MAXPHYADDR : 32);
    bool size = bit == 7 && (level == PD || level == PDPT);
    return bit == 0 || (level != f->leaf && address) || size;
}

static void reserved_sweep(const struct form *f)
{
    GUEST g = paging_guest(f);
    struct vp_state base = g.s;
    for (unsigned level = f->leaf; level <= f->top; level++) {
        for (unsigned n = 0; n < 2 * 8u * f->entry_bytes; n++) {
            unsigned bit = n / 2;
            struct trial t = {.form = f, .kind = READ, .controls = n % 2 * NXE};
            uint64_t reserved = reserved_bits(f, level) | (t.controls & NXE || f->entry_bytes == 4 ? 0 : BIT(63));
            if (changes_the_walk(f, level, bit)) {
                continue;
            }
            poke(&g, entry_address(f, level), entry_value(f, level, P | W) | BIT(bit), f->entry_bytes);
            trial_state(&g, &t, &g.s);
            guest_run(&g);
            if (reserved >> bit & 1) {
                cr_expect(stopped_in(&g) == VEC_PF && frame_word(&g, 0) == (PF_P | PF_RSVD),
                          "%s: bit %u of level %u, controls %#x", f->name, bit, level, t.controls);
            } else {
                cr_expect(stopped_in(&g) == -1 && g.stop == STOP_HALT, "%s: bit %u of level %u is not reserved", f->name, bit,
                          level);
            }
            g.s = base;
        }
        put_flags(&g, f, level, P | W | U);
    }
}

/* SDM 3A §4.4.2, §4.5.4: the reserved bits of each entry, one by one; the ignored ones do nothing. */
Test(paging_reserved, each_bit_of_each_entry)
{
    for (unsigned i = 0; i < ARRAY_COUNT(forms); i++) {
        reserved_sweep(&forms[i]);
    }
}

/* ---- what a first access leaves behind allows no second one ---- */

enum change { NO_CHANGE, CHANGE_WP, CHANGE_SMEP, CHANGE_SMAP, CHANGE_AC, CHANGE_NXE, CHANGE_CPL, CHANGES };
enum { RETURN_INSN = 0x40 }; /* offset in DATA of a RET */

struct code {
    uint8_t bytes[64];
    unsigned count;
};
static void emit(struct code *c, const char *bytes, unsigned count)
{
    memcpy(c->bytes + c->count, bytes, count);
    c->count += count;
}
#define EMIT(c, text) emit(c, text, sizeof(text) - 1)

static void emit_access(struct code *c, enum kind kind, bool last)
{
    if (kind == READ) {
        EMIT(c, "\x8b\x03"); /* mov eax, [rbx] */
    } else if (kind == WRITE) {
        EMIT(c, "\x89\x03"); /* mov [rbx], eax */
    } else if (last) {
        EMIT(c, "\xff\xe3"); /* jmp rbx */
    } else {
        EMIT(c, "\xff\xd6"); /* call rsi */
    }
}

static unsigned changed_controls(unsigned controls, enum change change)
{
    static const uint8_t bit[CHANGES] = {
        [CHANGE_WP] = WP, [CHANGE_SMEP] = SMEP, [CHANGE_SMAP] = SMAP, [CHANGE_AC] = AC, [CHANGE_NXE] = NXE};
    return controls ^ bit[change];
}

/* access; the change; access; hlt. At CPL 0, until CHANGE_CPL's IRETQ goes on at CODE3. */
static void pair_code(struct guest *g, enum kind first, enum kind second, enum change change)
{
    struct code c = {.count = 0}, user = {.count = 0};
    emit_access(&c, first, false);
    switch (change) {
    case CHANGE_WP:
        EMIT(&c, "\x0f\x22\xc7"); /* mov cr0, rdi */
        break;
    case CHANGE_SMEP:
    case CHANGE_SMAP:
        EMIT(&c, "\x0f\x22\xe7"); /* mov cr4, rdi */
        break;
    case CHANGE_AC:
        EMIT(&c, "\x57\x9d"); /* push rdi; popfq */
        break;
    case CHANGE_NXE:
        EMIT(&c, "\x89\xf8\x0f\x30"); /* mov eax, edi; wrmsr */
        break;
    case CHANGE_CPL:
        EMIT(&c, "\x48\xcf"); /* iretq */
        break;
    default:
        break;
    }
    struct code *next = change == CHANGE_CPL ? &user : &c;
    emit_access(next, second, true);
    EMIT(next, "\xf4");
    guest_bytes(g, CODE0, c.bytes, c.count);
    guest_bytes(g, CODE3, user.bytes, user.count);
}

static void pair_state(struct guest *g, const struct trial *first, const struct trial *second, enum change change)
{
    struct vp_state after;
    trial_state(g, second, &after);
    trial_state(g, first, &g->s);
    g->s.rip = CODE0;
    g->s.gpr[RSI] = g->s.gpr[RBX] + RETURN_INSN;
    g->s.gpr[RAX] = 0xf4;       /* what a write leaves is a HLT again */
    g->s.gpr[RCX] = 0xc0000080; /* EFER */
    g->s.gpr[RDX] = 0;
    g->s.gpr[RDI] = change == CHANGE_WP    ? after.cr0
                    : change == CHANGE_NXE ? after.efer
                    : change == CHANGE_AC  ? after.rflags
                                           : after.cr4;
    g->s.gpr[RSP] = STACK0 - 40;
    const uint64_t frame[] = {CODE3, SEL_CODE3_64 | 3, after.rflags, STACK3, SEL_DATA3 | 3};
    guest_bytes(g, STACK0 - 40, frame, sizeof frame);
}

static void pair(struct guest *g, const struct form *f, unsigned flags, unsigned controls, enum kind one, enum kind two,
                 enum change change)
{
    struct trial first = {.form = f, .flags = {P | W | U, P | W | U, P | W | U, P | W | U}, .controls = controls, .kind = one};
    first.flags[f->leaf] = flags;
    struct trial second = first;
    second.kind = two;
    second.cpl = change == CHANGE_CPL ? 3 : 0;
    second.controls = changed_controls(controls, change);
    if (expected(&first).fault) {
        return;
    }
    struct vp_state kept = g->s;
    put_flags(g, f, f->leaf, flags);
    pair_code(g, one, two, change);
    pair_state(g, &first, &second, change);
    guest_run(g);
    struct outcome want = expected(&second);
    /* At CPL 3 the last HLT is a #GP. */
    bool right = want.fault        ? stopped_in(g) == VEC_PF && frame_word(g, 0) == want.error && g->s.cr2 == f->linear
                 : second.cpl == 3 ? stopped_in(g) == VEC_GP
                                   : g->stop == STOP_HALT && stopped_in(g) == -1;
    bool dirty = peek(g, entry_address(f, f->leaf), 8) & D_BIT;
    cr_expect(right && dirty == (one == WRITE || (two == WRITE && !want.fault)),
              "%s: flags %#x controls %#x, %d then %d after change %d: vector %d", f->name, flags, controls, one, two, change,
              stopped_in(g));
    g->s = kept;
    data_reset(g);
}

static void pairs(const struct form *f)
{
    GUEST g = paging_guest(f);
    poke(&g, DATA + RETURN_INSN, 0xc3, 1);
    for (unsigned n = 0; n < ALL_FLAGS * ALL_CONTROLS * CHANGES * 9; n++) {
        unsigned kinds = n % 9, change = n / 9 % CHANGES, rest = n / 9 / CHANGES;
        static const uint8_t kind[] = {READ, WRITE, FETCH};
        pair(&g, f, rest % ALL_FLAGS, rest / ALL_FLAGS, kind[kinds / 3], kind[kinds % 3], change);
    }
}

/* SDM 3A §4.6, §4.10.2.2: rights are those of the moment, whatever an earlier access with other rights has left in a TLB. */
Test(paging_pairs, a_second_access_is_judged_by_itself)
{
    pairs(&forms[LONG_4K]);
    pairs(&forms[LONG_2M]);
    pairs(&forms[LONG_1G]);
}
