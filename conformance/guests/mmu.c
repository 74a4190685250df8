/* Translations, architectural flushes and HvFlushVirtualAddressSpace. Clauses: conformance/clauses/mmu.yaml; TLFS 6.0b
 * §9.1-9.4.
 *
 * The scenario's translation policy keeps entries until something flushes them, so a flush that does too little is seen.
 */
#include "flush.h"

/* ---- compatibility ---- */

TEST(cr3_cache_bits, "mmu.cr3.cache-bits")
{
    NEEDS_HV();
    uint64_t before = cr3();
    cr3_set(before | PTE_PWT | PTE_PCD);
    uint64_t now = cr3();
    cr3_set(before);
    EXPECT_EQ(now & ~(uint64_t)(PTE_PWT | PTE_PCD), before);
}

TEST(cr0_cache_disable, "mmu.cr0.cd")
{
    enum { CR0_CD = 1 << 30 };
    NEEDS_HV();
    uint64_t before, now;
    __asm__ volatile("mov %%cr0, %0" : "=r"(before));
    __asm__ volatile("mov %0, %%cr0" ::"r"(before | CR0_CD) : "memory");
    __asm__ volatile("mov %%cr0, %0" : "=r"(now));
    __asm__ volatile("mov %0, %%cr0" ::"r"(before) : "memory");
    EXPECT_EQ(now & ~(uint64_t)CR0_CD, before & ~(uint64_t)CR0_CD);
}

TEST(leaf_cache_bits, "mmu.leaf.cache-bits")
{
    NEEDS_HV();
    uint64_t gpa = page_with(NEW);
    const uint64_t bits[] = {0, PTE_PWT, PTE_PCD, PTE_PWT | PTE_PCD, 0x80, 0x80 | PTE_PWT | PTE_PCD}; /* 0x80: PAT */
    for (unsigned i = 0; i < ARRAY_COUNT(bits); i++) {
        map(GVA, gpa, bits[i] | MAP_WRITE);
        EXPECT_EQ(load(GVA), NEW);
    }
}

TEST(pat_each_vp, "mmu.pat.per-vp")
{
    enum { IA32_PAT = 0x277 };
    NEEDS_HV();
    NEEDS_VPS(2);
    uint64_t before = rdmsr(IA32_PAT), other = rdmsr_on(1, IA32_PAT);
    wrmsr(IA32_PAT, before ^ 0x0100000000000000ULL); /* one of the upper four entries, which nothing here uses */
    EXPECT_EQ(rdmsr_on(1, IA32_PAT), other);
    wrmsr(IA32_PAT, before);
}

TEST(invd_keeps_data, "mmu.invd")
{
    NEEDS_HV();
    volatile uint64_t *p = page_alloc();
    *p = NEW;
    __asm__ volatile("invd" ::: "memory");
    EXPECT_EQ(*p, NEW);
}

TEST(not_present_uncached, "mmu.uncached.entries")
{
    NEEDS_HV();
    unmap(GVA);
    uint64_t gva = GVA;
    struct fault f = try_run(load_job, &gva);
    EXPECT_EQ(f.vector, VEC_PF);
    *pte_of(GVA) = page_with(NEW) | PTE_P;
    EXPECT_EQ(load(GVA), NEW);
}

TEST(page_fault, "mmu.page-fault")
{
    NEEDS_HV();
    unmap(GVA);
    uint64_t gva = GVA + 0x123;
    struct fault f = try_run(load_job, &gva);
    EXPECT_EQ(f.vector, VEC_PF);
    EXPECT_EQ(f.cr2, GVA + 0x123);
    EXPECT_EQ(f.error, 0);
}

static void store_job(void *gva)
{
    *(volatile uint64_t *)*(uint64_t *)gva = 1;
}

TEST(write_protect, "mmu.write-protect")
{
    enum { CR0_WP = 1 << 16 };
    NEEDS_HV();
    uint64_t before, gva = GVA;
    __asm__ volatile("mov %%cr0, %0" : "=r"(before));
    __asm__ volatile("mov %0, %%cr0" ::"r"(before | CR0_WP) : "memory");
    map(GVA, page_with(OLD), MAP_READ);
    struct fault f = try_run(store_job, &gva);
    __asm__ volatile("mov %0, %%cr0" ::"r"(before) : "memory");
    EXPECT_EQ(f.vector, VEC_PF);
    EXPECT_EQ(f.error, 3);
    EXPECT_EQ(load(GVA), OLD);
}

TEST(accessed_dirty, "mmu.accessed-dirty")
{
    NEEDS_HV();
    uint64_t gva = GVA;
    map(GVA, page_with(OLD), MAP_WRITE);
    EXPECT_EQ(*pte_of(GVA) & (PTE_A | PTE_D), 0);
    load(GVA);
    EXPECT_EQ(*pte_of(GVA) & (PTE_A | PTE_D), PTE_A);
    store_job(&gva);
    EXPECT_EQ(*pte_of(GVA) & (PTE_A | PTE_D), PTE_A | PTE_D);
    EXPECT(*entry_of(cr3(), GVA, 4) & PTE_A, "the PML4 entry's accessed bit is clear");
}

/* ---- architectural flushes ---- */

enum { CR4_PSE = 1 << 4 };

static void cr4_toggle(uint64_t bit)
{
    uint64_t value;
    __asm__ volatile("mov %%cr4, %0" : "=r"(value));
    __asm__ volatile("mov %0, %%cr4" ::"r"(value ^ bit) : "memory");
    __asm__ volatile("mov %0, %%cr4" ::"r"(value) : "memory");
}

TEST(invlpg_page, "mmu.invlpg.page")
{
    NEEDS_HV();
    change_under(0, GVA, 1, 0);
    invlpg(GVA);
    EXPECT_EQ(load(GVA), NEW);
}

TEST(invlpg_global, "mmu.invlpg.global")
{
    NEEDS_HV();
    globals_on(true);
    change_under(0, GVA, 1, MAP_GLOBAL);
    invlpg(GVA);
    EXPECT_EQ(load(GVA), NEW);
    globals_on(false);
}

TEST(invlpg_large, "mmu.invlpg.large")
{
    NEEDS_HV();
    NEEDS_THAT(large_change_under(0), "0x%lx bytes of memory are too few", memory_bytes());
    invlpg(LARGE_GVA + 0x3000);
    EXPECT_EQ(load(LARGE_GVA + LARGE_OFFSET), NEW);
}

TEST(mov_cr3, "mmu.mov-cr3")
{
    NEEDS_HV();
    change_under(0, GVA, 1, 0);
    cr3_set(cr3());
    EXPECT_EQ(load(GVA), NEW);
}

static void toggle_flushes(uint64_t bit)
{
    globals_on(true);
    change_under(0, GVA, 1, 0);
    change_under(0, GVA + PAGE_BYTES, 1, MAP_GLOBAL);
    cr4_toggle(bit);
    EXPECT_EQ(load(GVA), NEW);
    EXPECT_EQ(load(GVA + PAGE_BYTES), NEW);
    globals_on(false);
}

TEST(cr4_pge, "mmu.cr4.pge", "mmu.hint.direct", "disc.hint.direct-local-flush")
{
    NEEDS_HV();
    if (!has(UseDirectLocalFlushEntire)) {
        skip_for("mmu.hint.direct", "UseDirectLocalFlushEntire is not announced");
        skip_for("disc.hint.direct-local-flush", "UseDirectLocalFlushEntire is not announced");
    }
    if (has(UseDirectLocalFlushEntire)) {
        toggle_flushes(CR4_PGE);
        return;
    }
    globals_on(true);
    change_under(0, GVA, 1, 0);
    cr4_toggle(CR4_PGE);
    EXPECT_EQ_FOR("mmu.cr4.pge", load(GVA), NEW);
    globals_on(false);
}

TEST(cr4_pse, "mmu.cr4.pse")
{
    NEEDS_HV();
    toggle_flushes(CR4_PSE);
}

TEST(flush_by_each, "mmu.local-only")
{
    NEEDS_HV();
    NEEDS_VPS(2);
    change_under(1, GVA, 1, 0);
    invlpg(GVA);
    EXPECT_EQ(load(GVA), NEW);
    EXPECT_EQ(load_afresh_on(1, GVA), NEW);
}

/* ---- HvFlushVirtualAddressSpace ---- */

static uint64_t flush_space(uint64_t space, uint64_t flags, uint64_t mask)
{
    uint64_t *in = page_alloc();
    in[0] = space;
    in[1] = flags;
    in[2] = mask;
    return HV_STATUS_OF(hv_call(CODE_SPACE, gpa_of(in), 0));
}

TEST(space_self, "mmu.space.self")
{
    NEEDS_FLUSH();
    change_under(0, GVA, 1, 0);
    EXPECT_EQ(flush_space(cr3(), 0, mask_of(0)), HV_STATUS_SUCCESS);
    EXPECT_EQ(load(GVA), NEW);
}

TEST(space_remote, "mmu.space.remote")
{
    NEEDS_FLUSH();
    NEEDS_VPS(2);
    change_under(1, GVA, 1, 0);
    EXPECT_EQ(flush_space(cr3(), 0, mask_of(1)), HV_STATUS_SUCCESS);
    EXPECT_EQ(load_on(1, GVA), NEW);
}

static volatile bool flushed;
static volatile uint64_t reads, stale_reads;

static void reading_job(void *unused)
{
    for (bool last = false; !last;) {
        last = flushed; /* read first: what follows comes after the call's return */
        uint64_t word = load(GVA);
        reads++;
        stale_reads += last && word != NEW;
    }
}

TEST(space_on_return, "mmu.space.on-return")
{
    NEEDS_FLUSH();
    NEEDS_VPS(2);
    reads = stale_reads = 0;
    flushed = false;
    uint64_t mask = mask_of(1);
    map(GVA, page_with(OLD), 0);
    on_vp_async(1, reading_job, NULL);
    WAIT_FOR(reads > 10, 10 * MS_100NS);
    *pte_of(GVA) = page_with(NEW) | PTE_P;
    EXPECT_EQ(flush_space(cr3(), 0, mask), HV_STATUS_SUCCESS);
    flushed = true;
    vp_wait(1);
    EXPECT(reads > 10, "VP 1 read %lu times", reads);
    EXPECT_EQ(stale_reads, 0);
}

TEST(space_mask_bits, "mmu.space.mask")
{
    NEEDS(AccessVpIndex);
    NEEDS_FLUSH();
    NEEDS_VPS(3);
    for (unsigned vp = 0; vp < vp_count() && vp < 8; vp++) {
        change_under(vp, GVA, 1, 0);
        EXPECT_EQ(flush_space(cr3(), 0, mask_of(vp)), HV_STATUS_SUCCESS);
        EXPECT_EQ(load_on(vp, GVA), NEW);
        unmap(GVA);
        flush_space(0, FLUSH_ALL_PROCESSORS | FLUSH_ALL_SPACES, 0);
    }
}

TEST(space_all_processors, "mmu.space.all-processors")
{
    NEEDS_FLUSH();
    NEEDS_VPS(3);
    change_under(1, GVA, 1, 0);
    change_under(2, GVA + PAGE_BYTES, 1, 0);
    EXPECT_EQ(flush_space(cr3(), FLUSH_ALL_PROCESSORS, 0), HV_STATUS_SUCCESS);
    EXPECT_EQ(load_on(1, GVA), NEW);
    EXPECT_EQ(load_on(2, GVA + PAGE_BYTES), NEW);
    change_under(1, GVA + 2 * PAGE_BYTES, 1, 0);
    EXPECT_EQ(flush_space(cr3(), FLUSH_ALL_PROCESSORS, mask_of(0)), HV_STATUS_SUCCESS);
    EXPECT_EQ(load_on(1, GVA + 2 * PAGE_BYTES), NEW);
}

static void cr3_set_job(void *value)
{
    cr3_set(*(uint64_t *)value);
}

TEST(space_all_spaces, "mmu.space.all-spaces", "mmu.space.all-spaces-ignores-id")
{
    NEEDS_FLUSH();
    NEEDS_VPS(2);
    map(GVA, page_with(OLD), 0); /* the tables below the PML4 are there, and shared */
    uint64_t *copy = page_alloc(), other = gpa_of(copy), own = cr3();
    memcpy(copy, (const void *)(own & PTE_ADDRESS), PAGE_BYTES);
    on_vp(1, cr3_set_job, &other);
    change_under(1, GVA, 1, 0);
    EXPECT_EQ(flush_space(~0ULL, FLUSH_ALL_PROCESSORS | FLUSH_ALL_SPACES, 0), HV_STATUS_SUCCESS);
    EXPECT_EQ_FOR("mmu.space.all-spaces", load_on(1, GVA), NEW);
    on_vp(1, cr3_set_job, &own);
}

TEST(space_global, "mmu.space.global")
{
    NEEDS_FLUSH();
    globals_on(true);
    change_under(0, GVA, 1, MAP_GLOBAL);
    EXPECT_EQ(flush_space(cr3(), FLUSH_ALL_PROCESSORS, 0), HV_STATUS_SUCCESS);
    EXPECT_EQ(load(GVA), NEW);
    globals_on(false);
}

TEST(space_non_global, "mmu.space.non-global", "mmu.space.non-global-may")
{
    NEEDS_FLUSH();
    globals_on(true);
    change_under(0, GVA, 1, 0);
    change_under(0, GVA + PAGE_BYTES, 1, MAP_GLOBAL);
    EXPECT_EQ(flush_space(cr3(), FLUSH_ALL_PROCESSORS | FLUSH_NON_GLOBAL_ONLY, 0), HV_STATUS_SUCCESS);
    EXPECT_EQ_FOR("mmu.space.non-global", load(GVA), NEW);
    uint64_t word = load(GVA + PAGE_BYTES);
    EXPECT_FOR("mmu.space.non-global-may", word == OLD || word == NEW, "0x%lx", word);
    globals_on(false);
}

TEST(space_reserved_flags, "mmu.space.flags-reserved")
{
    NEEDS_FLUSH();
    for (unsigned i = 0; i < ARRAY_COUNT(undefined_flags); i++) {
        EXPECT_EQ(flush_space(cr3(), undefined_flags[i] | FLUSH_ALL_PROCESSORS, 0), HV_STATUS_INVALID_PARAMETER);
    }
}

TEST(space_empty_mask, "mmu.space.no-target")
{
    NEEDS_FLUSH();
    EXPECT_EQ(flush_space(cr3(), 0, 0), HV_STATUS_INVALID_PARAMETER);
    EXPECT_EQ(flush_space(0, FLUSH_ALL_SPACES, 0), HV_STATUS_INVALID_PARAMETER);
}

TEST(space_bad_id, "mmu.space.bad-id")
{
    NEEDS_FLUSH();
    EXPECT_EQ(flush_space(cr3() | RESERVED_CR3_BIT, FLUSH_ALL_PROCESSORS, 0), HV_STATUS_INVALID_PARAMETER);
}

TEST(space_other_id, "mmu.space.other-id")
{
    NEEDS_FLUSH();
    EXPECT_EQ(flush_space(gpa_of(page_alloc()), FLUSH_ALL_PROCESSORS, 0), HV_STATUS_SUCCESS);
}

TEST(space_is_simple, "mmu.space.simple")
{
    NEEDS_FLUSH();
    uint64_t *in = page_alloc();
    in[1] = FLUSH_ALL_PROCESSORS | FLUSH_ALL_SPACES;
    EXPECT_EQ(HV_STATUS_OF(hv_call(CODE_SPACE | HV_REPS(1), gpa_of(in), 0)), HV_STATUS_INVALID_HYPERCALL_INPUT);
}

TEST(space_xmm, "mmu.space.xmm")
{
    NEEDS_FLUSH();
    NEEDS(XmmRegistersForFastHypercallAvailable);
    change_under(0, GVA, 1, 0);
    const uint64_t in[14] = {cr3(), 0, mask_of(0)};
    EXPECT_EQ(HV_STATUS_OF(hv_call_xmm(CODE_SPACE | HV_FAST, in, NULL)), HV_STATUS_SUCCESS);
    EXPECT_EQ(load(GVA), NEW);
}

TEST(mixed_flushes, "mmu.mixed")
{
    NEEDS_FLUSH();
    for (unsigned i = 0; i < 4; i++) {
        change_under(0, GVA, 1, 0);
        if (i % 2 == 0) {
            EXPECT_EQ(flush_space(cr3(), 0, mask_of(0)), HV_STATUS_SUCCESS);
        } else {
            invlpg(GVA);
        }
        EXPECT_EQ(load(GVA), NEW);
    }
}
