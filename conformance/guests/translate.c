/* HvTranslateVirtualAddress asked about oneself. Clauses: conformance/clauses/translate.yaml; TLFS 6.0b §9.3.4, §9.4.6.
 *
 * No test calls smp_start(): VP 1 still waits for its start-up interrupt, with paging off.
 */
#include "tables.h"

enum {
    VALIDATE_READ = 1,
    VALIDATE_WRITE = 2,
    VALIDATE_EXECUTE = 4,
    PRIVILEGE_EXEMPT = 8,
    SET_PAGE_TABLE_BITS = 0x10,
};
enum { GVA_SUCCESS, GVA_NOT_PRESENT, GVA_PRIVILEGE_VIOLATION, GVA_INVALID_FLAGS, GVA_GPA_UNMAPPED, GVA_ILLEGAL_OVERLAY = 7 };
enum { CACHE_UNCACHED = 0, CACHE_WRITE_BACK = 6, HvCallReadGpa = 0x53, HvCallWriteGpa = 0x54 };
#define FAR_GPA 0x700000000ULL /* 28 GiB: no memory, no device */
#define GVA KIT_GVA

struct translation {
    unsigned status, result, cache_type;
    bool overlay;
    uint64_t page;
};

static struct translation translate_for(uint64_t partition, unsigned vp, uint64_t flags, uint64_t gva)
{
    uint64_t *in = page_alloc(), *out = page_alloc();
    in[0] = partition;
    in[1] = vp;
    in[2] = flags;
    in[3] = gva >> 12;
    out[0] = out[1] = ~0ULL;
    unsigned status = HV_STATUS_OF(hv_call(HvCallTranslateVirtualAddress, gpa_of(in), gpa_of(out)));
    return (struct translation){status, (uint32_t)out[0], out[0] >> 32 & 0xff, out[0] >> 40 & 1, out[1]};
}

static struct translation translate(uint64_t flags, uint64_t gva)
{
    return translate_for(HV_PARTITION_ID_SELF, HV_VP_INDEX_SELF, flags, gva);
}

#define NEEDS_TRANSLATE()                                                                                                      \
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);                                                                                  \
    NEEDS(AccessVpRegisters);                                                                                                  \
    NEEDS_CALLS()

static void expect_page(struct translation t, uint64_t gpa)
{
    EXPECT_EQ(t.status, HV_STATUS_SUCCESS);
    EXPECT_EQ(t.result, GVA_SUCCESS);
    EXPECT_EQ(t.page, gpa >> 12);
}

static void expect_result(struct translation t, unsigned result)
{
    EXPECT_EQ(t.status, HV_STATUS_SUCCESS);
    EXPECT_EQ(t.result, result);
}

TEST(identity, "translate.identity")
{
    NEEDS_TRANSLATE();
    uint64_t gpa = gpa_of(page_alloc());
    expect_page(translate(VALIDATE_READ, gpa), gpa);
}

TEST(remapped, "translate.remapped")
{
    NEEDS_TRANSLATE();
    uint64_t gpa = page_with(1);
    map(GVA, gpa, MAP_WRITE);
    expect_page(translate(VALIDATE_READ, GVA), gpa);
}

TEST(large_page, "translate.large-page")
{
    NEEDS_TRANSLATE();
    map(GVA, 0, 0);
    *entry_of(cr3(), GVA + LARGE_PAGE_BYTES, 2) = 0x400000 | PTE_LARGE | PTE_P;
    expect_page(translate(VALIDATE_READ, GVA + LARGE_PAGE_BYTES + 0x5000), 0x405000);
}

TEST(child_denied, "translate.child")
{
    NEEDS_EDITION(EDITION_2_0, EDITION_4_0);
    NEEDS_WITHHELD(AccessVpRegisters);
    NEEDS_CALLS();
    EXPECT_EQ(translate(VALIDATE_READ, 0).status, HV_STATUS_ACCESS_DENIED);
}

TEST(withheld, "translate.withheld")
{
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    NEEDS_WITHHELD(AccessVpRegisters);
    NEEDS_CALLS();
    EXPECT_EQ(translate(VALIDATE_READ, 0).status, HV_STATUS_ACCESS_DENIED);
}

/* ---- control flags ---- */

TEST(no_access_flag, "translate.access-needed")
{
    NEEDS_TRANSLATE();
    EXPECT_EQ(translate(0, 0).status, HV_STATUS_INVALID_PARAMETER);
    EXPECT_EQ(translate(PRIVILEGE_EXEMPT, 0).status, HV_STATUS_INVALID_PARAMETER);
}

TEST(reserved_flags, "translate.reserved-flags")
{
    NEEDS_TRANSLATE();
    const uint64_t flags[] = {0x40, 0x100, 1ULL << 31, 1ULL << 55};
    for (unsigned i = 0; i < ARRAY_COUNT(flags); i++) {
        EXPECT_EQ(translate(flags[i] | VALIDATE_READ, 0).status, HV_STATUS_INVALID_PARAMETER);
    }
}

TEST(combined_access, "translate.combinations")
{
    NEEDS_TRANSLATE();
    uint64_t gpa = page_with(1);
    map(GVA, gpa, MAP_WRITE);
    for (unsigned access = 1; access < 8; access++) {
        expect_page(translate(access, GVA), gpa);
    }
}

/* ---- results ---- */

TEST(not_present, "translate.not-present")
{
    NEEDS_TRANSLATE();
    map(GVA, 0, 0);
    unmap(GVA);
    expect_result(translate(VALIDATE_READ, GVA), GVA_NOT_PRESENT);
    expect_result(translate(VALIDATE_READ, GVA + (1ULL << 40)), GVA_NOT_PRESENT);
}

TEST(beyond_range, "translate.beyond-range")
{
    NEEDS_TRANSLATE();
    expect_result(translate(VALIDATE_READ, 0x0000800000000000ULL), GVA_NOT_PRESENT);
    expect_result(translate(VALIDATE_READ, 0x8000000000000000ULL), GVA_NOT_PRESENT);
}

TEST(write_violation, "translate.read-only-read", "translate.write-violation")
{
    enum { CR0_WP = 1 << 16 };
    NEEDS_TRANSLATE();
    uint64_t before, gpa = page_with(1);
    map(GVA, gpa, MAP_READ);
    __asm__ volatile("mov %%cr0, %0" : "=r"(before));
    __asm__ volatile("mov %0, %%cr0" ::"r"(before | CR0_WP) : "memory");
    struct translation w = translate(VALIDATE_WRITE, GVA), r = translate(VALIDATE_READ, GVA);
    __asm__ volatile("mov %0, %%cr0" ::"r"(before) : "memory");
    EXPECT_EQ_FOR("translate.write-violation", w.status, HV_STATUS_SUCCESS);
    EXPECT_EQ_FOR("translate.write-violation", w.result, GVA_PRIVILEGE_VIOLATION);
    EXPECT_EQ_FOR("translate.read-only-read", r.result, GVA_SUCCESS);
    EXPECT_EQ_FOR("translate.read-only-read", r.page, gpa >> 12);
}

enum { IA32_EFER = (int)0xc0000080, EFER_NXE = 1 << 11 };

TEST(execute_violation, "translate.execute-violation")
{
    NEEDS_TRANSLATE();
    uint64_t before = rdmsr((uint32_t)IA32_EFER);
    wrmsr((uint32_t)IA32_EFER, before | EFER_NXE);
    map(GVA, page_with(1), MAP_NX);
    struct translation x = translate(VALIDATE_EXECUTE, GVA), r = translate(VALIDATE_READ, GVA);
    unmap(GVA);
    wrmsr((uint32_t)IA32_EFER, before);
    expect_result(x, GVA_PRIVILEGE_VIOLATION);
    expect_result(r, GVA_SUCCESS);
}

TEST(reserved_entry_bit, "translate.reserved-bit")
{
    NEEDS_TRANSLATE();
    map(GVA, page_with(1), 0);
    *pte_of(GVA) |= 1ULL << 51; /* above the physical address width */
    expect_result(translate(VALIDATE_READ, GVA), GVA_INVALID_FLAGS);
    *pte_of(GVA) = 0;
}

TEST(unmapped_table, "translate.unmapped-table")
{
    NEEDS_TRANSLATE();
    map(GVA, page_with(1), 0);
    volatile uint64_t *pde = entry_of(cr3(), GVA, 2);
    uint64_t before = *pde;
    *pde = FAR_GPA | PTE_P;
    struct translation t = translate(VALIDATE_READ, GVA);
    *pde = before;
    expect_result(t, GVA_GPA_UNMAPPED);
    EXPECT_EQ(t.page, FAR_GPA >> 12);
}

TEST(overlay_flag, "translate.not-overlay", "translate.overlay")
{
    NEEDS_TRANSLATE();
    struct translation over = translate(VALIDATE_READ, hv_page()), plain = translate(VALIDATE_READ, gpa_of(page_alloc()));
    EXPECT_EQ_FOR("translate.overlay", over.result, GVA_SUCCESS);
    EXPECT_FOR("translate.overlay", over.overlay, "the flag is clear for the hypercall page");
    EXPECT_EQ_FOR("translate.not-overlay", plain.result, GVA_SUCCESS);
    EXPECT_FOR("translate.not-overlay", !plain.overlay, "the flag is set for ordinary memory");
}

TEST(illegal_overlay, "translate.illegal-overlay")
{
    NEEDS_TRANSLATE();
    struct translation t = translate(VALIDATE_WRITE, hv_page());
    expect_result(t, GVA_ILLEGAL_OVERLAY);
    EXPECT_EQ(t.page, hv_page() >> 12);
}

TEST(cache_type, "translate.cache-type")
{
    enum { MTRR_DEF_TYPE = 0x2ff, MTRR_ENABLED = 1 << 11 };
    NEEDS_TRANSLATE();
    uint64_t gpa = page_with(1);
    map(GVA, gpa, 0);
    map(GVA + PAGE_BYTES, gpa, PTE_PCD | PTE_PWT); /* PAT entry 3: uncached since reset */
    uint64_t mtrr = MTRR_ENABLED | 6;
    rdmsr_try(MTRR_DEF_TYPE, &mtrr);
    unsigned type = translate(VALIDATE_READ, GVA).cache_type;
    /* with MTRRs that are off, or that say otherwise, an implementation which has them may say uncached */
    EXPECT(type == CACHE_WRITE_BACK || (type == CACHE_UNCACHED && (!(mtrr & MTRR_ENABLED) || (mtrr & 0xff) == 0)), "type %u",
           type);
    EXPECT_EQ(translate(VALIDATE_READ, GVA + PAGE_BYTES).cache_type, CACHE_UNCACHED);
}

TEST(paging_off, "translate.other-vp", "translate.paging-off")
{
    NEEDS_TRANSLATE();
    NEEDS_THAT(vp_count() >= 2, "one VP");
    map(GVA, page_with(1), 0);
    expect_page(translate_for(HV_PARTITION_ID_SELF, 1, VALIDATE_READ, 0x5000), 0x5000);
    expect_page(translate_for(HV_PARTITION_ID_SELF, 1, VALIDATE_WRITE, 0x123000), 0x123000);
}

/* ---- accessed and dirty bits ---- */

TEST(sets_accessed_dirty, "translate.sets-accessed", "translate.sets-dirty")
{
    NEEDS_TRANSLATE();
    map(GVA, page_with(1), MAP_WRITE);
    translate(VALIDATE_READ | SET_PAGE_TABLE_BITS, GVA);
    uint64_t after_read = *pte_of(GVA);
    translate(VALIDATE_WRITE | SET_PAGE_TABLE_BITS, GVA);
    EXPECT_FOR("translate.sets-accessed", after_read & PTE_A, "the accessed bit is clear");
    EXPECT_FOR("translate.sets-accessed", *entry_of(cr3(), GVA, 2) & PTE_A, "the directory's accessed bit is clear");
    EXPECT_FOR("translate.sets-dirty", !(after_read & PTE_D), "read access set the dirty bit");
    EXPECT_FOR("translate.sets-dirty", *pte_of(GVA) & PTE_D, "write access left the dirty bit clear");
}

TEST(leaves_tables, "translate.leaves-bits")
{
    NEEDS_TRANSLATE();
    map(GVA, page_with(1), MAP_WRITE);
    uint64_t entries[5];
    for (unsigned level = 1; level <= 4; level++) {
        entries[level] = *entry_of(cr3(), GVA, level);
    }
    translate(VALIDATE_READ | VALIDATE_WRITE, GVA);
    for (unsigned level = 1; level <= 4; level++) {
        EXPECT_EQ(*entry_of(cr3(), GVA, level), entries[level]);
    }
}

TEST(aborted_walk, "translate.aborted-walk")
{
    NEEDS_TRANSLATE();
    map(GVA, page_with(1), MAP_WRITE);
    unmap(GVA);
    expect_result(translate(VALIDATE_READ | SET_PAGE_TABLE_BITS, GVA), GVA_NOT_PRESENT);
    EXPECT(*entry_of(cr3(), GVA, 2) & PTE_A, "the directory's accessed bit is clear");
}

TEST(privilege_exempt, "translate.privilege-exempt")
{
    NEEDS_TRANSLATE();
    uint64_t gpa = page_with(1);
    map(GVA, gpa, MAP_WRITE); /* not for users */
    expect_page(translate(VALIDATE_READ | PRIVILEGE_EXEMPT, GVA), gpa);
}

/* ---- who and what is asked ---- */

TEST(bad_vp, "translate.bad-vp")
{
    NEEDS_TRANSLATE();
    EXPECT_EQ(translate_for(HV_PARTITION_ID_SELF, 0x1000, VALIDATE_READ, 0).status, HV_STATUS_INVALID_VP_INDEX);
    EXPECT_EQ(translate_for(HV_PARTITION_ID_SELF, vp_count(), VALIDATE_READ, 0).status, HV_STATUS_INVALID_VP_INDEX);
}

TEST(bad_partition, "translate.bad-partition")
{
    NEEDS_TRANSLATE();
    unsigned status = translate_for(0x7777, HV_VP_INDEX_SELF, VALIDATE_READ, 0).status;
    EXPECT(status == HV_STATUS_INVALID_PARTITION_ID || status == HV_STATUS_ACCESS_DENIED, "status 0x%x", status);
}

TEST(gpa_calls_denied, "translate.gpa-calls")
{
    NEEDS_EDITION(EDITION_2_0, EDITION_5_0);
    NEEDS_CALLS();
    const unsigned codes[] = {HvCallReadGpa, HvCallWriteGpa};
    for (unsigned i = 0; i < ARRAY_COUNT(codes); i++) {
        uint64_t *in = page_alloc();
        in[0] = HV_PARTITION_ID_SELF;
        unsigned status = HV_STATUS_OF(hv_call(codes[i], gpa_of(in), gpa_of(page_alloc())));
        EXPECT(status == HV_STATUS_ACCESS_DENIED || (status == HV_STATUS_INVALID_HYPERCALL_CODE && edition() >= EDITION_5_0),
               "code 0x%x: status 0x%x", codes[i], status);
    }
}
