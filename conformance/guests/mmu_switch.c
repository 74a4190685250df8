/* HvSwitchVirtualAddressSpace. Clauses: mmu.switch.*; TLFS 6.0b §9.4.1. */
#include "tables.h"

enum { CODE_SWITCH = HvCallSwitchVirtualAddressSpace };
#define RESERVED_CR3_BIT (1ULL << 60)

#define NEEDS_SWITCH()                                                                                                         \
    NEEDS(UseHypercallForAddressSpaceSwitch);                                                                                  \
    NEEDS_CALLS()

/* A copy of the PML4 that stands: another ID for the same translations. */
static uint64_t space_copy(void)
{
    uint64_t *copy = page_alloc();
    memcpy(copy, (const void *)(cr3() & PTE_ADDRESS), PAGE_BYTES);
    return gpa_of(copy);
}

TEST(loads_cr3, "mmu.switch.cr3", "mmu.switch.fast")
{
    NEEDS_SWITCH();
    uint64_t own = cr3(), other = space_copy();
    EXPECT_EQ(HV_STATUS_OF(hv_fast(CODE_SWITCH, other, 0)), HV_STATUS_SUCCESS);
    EXPECT_EQ(cr3(), other);
    EXPECT_EQ(HV_STATUS_OF(hv_fast(CODE_SWITCH, own, 0)), HV_STATUS_SUCCESS);
    EXPECT_EQ(cr3(), own);
    cr3_set(own);
}

TEST(from_memory, "mmu.switch.memory")
{
    NEEDS_SWITCH();
    uint64_t own = cr3(), *in = page_alloc();
    *in = space_copy();
    EXPECT_EQ(HV_STATUS_OF(hv_call(CODE_SWITCH, gpa_of(in), 0)), HV_STATUS_SUCCESS);
    EXPECT_EQ(cr3(), *in);
    cr3_set(own);
}

TEST(new_tables, "mmu.switch.space")
{
    NEEDS_SWITCH();
    uint64_t own = cr3(), other = space_copy(), here = page_with(1), there = page_with(2);
    map(KIT_GVA, here, 0);
    /* tables of the other space's own, below the same PML4 index */
    uint64_t pdpt = gpa_of(page_alloc()), pd = gpa_of(page_alloc()), pt = gpa_of(page_alloc());
    *(uint64_t *)pt = there | PTE_P;
    *(uint64_t *)pd = pt | PTE_P;
    *(uint64_t *)pdpt = pd | PTE_P;
    *entry_of(other, KIT_GVA, 4) = pdpt | PTE_P;
    EXPECT_EQ(HV_STATUS_OF(hv_fast(CODE_SWITCH, other, 0)), HV_STATUS_SUCCESS);
    EXPECT_EQ(load(KIT_GVA), 2);
    cr3_set(own);
    EXPECT_EQ(load(KIT_GVA), 1);
}

TEST(reserved_bits, "mmu.switch.reserved")
{
    NEEDS_SWITCH();
    uint64_t own = cr3();
    EXPECT_EQ(HV_STATUS_OF(hv_fast(CODE_SWITCH, own | RESERVED_CR3_BIT, 0)), HV_STATUS_INVALID_PARAMETER);
    EXPECT_EQ(cr3(), own);
}

TEST(cache_bits, "mmu.switch.cache-bits")
{
    NEEDS_SWITCH();
    uint64_t own = cr3();
    unsigned status = HV_STATUS_OF(hv_fast(CODE_SWITCH, own | PTE_PWT | PTE_PCD, 0));
    EXPECT(status == HV_STATUS_SUCCESS || status == HV_STATUS_INVALID_PARAMETER, "status 0x%x", status);
    EXPECT_EQ(cr3() & ~(uint64_t)(PTE_PWT | PTE_PCD), own);
    cr3_set(own);
}

static void cr3_job(void *to)
{
    *(uint64_t *)to = cr3();
}

TEST(only_caller, "mmu.switch.self")
{
    NEEDS_SWITCH();
    NEEDS_VPS(2);
    uint64_t own = cr3(), before, after;
    on_vp(1, cr3_job, &before);
    EXPECT_EQ(HV_STATUS_OF(hv_fast(CODE_SWITCH, space_copy(), 0)), HV_STATUS_SUCCESS);
    on_vp(1, cr3_job, &after);
    EXPECT_EQ(after, before);
    cr3_set(own);
}
