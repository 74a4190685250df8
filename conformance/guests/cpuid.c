/* Judges cpuid.yaml: the leaves of the processor itself as a partition has them. TLFS 2.0a appendix D, 5.0C appendix C.
 *
 * What a processor can do is the scenario's choice; the tables say what a partition's processor does and does not show.
 */
#include "kit.h"

enum {
    LEAF_1 = 1,
    EXTENDED_1 = 0x80000001,
    EXTENDED_POWER = 0x80000007,
    EXTENDED_SIZES = 0x80000008,
    EXTENDED_SVM = 0x8000000a
};

static bool zero(uint32_t leaf)
{
    struct cpuid c = cpuid(leaf, 0);
    return (c.eax | c.ebx | c.ecx | c.edx) == 0;
}

static bool extended(uint32_t leaf)
{
    return cpuid(0x80000000, 0).eax >= leaf;
}

#define NEEDS_TABLE(last)                                                                                                      \
    NEEDS_THAT(hv_signs(), "no hypervisor"); /* whose bit in leaf 1 is judged too */                                           \
    NEEDS_EDITION(EDITION_2_0, last)

/* One bit of leaf 1. */
#define BIT_TEST(name, clause, reg, bit, value)                                                                                \
    TEST(name, clause)                                                                                                         \
    {                                                                                                                          \
        NEEDS_TABLE(EDITION_5_0);                                                                                              \
        EXPECT_EQ(cpuid(LEAF_1, 0).reg >> (bit)&1, value);                                                                     \
    }

/* clang-format off: a table */
BIT_TEST(monitor_cleared, "cpuid.monitor", ecx, 3, 0)
BIT_TEST(ds_cpl_cleared, "cpuid.ds-cpl", ecx, 4, 0)
BIT_TEST(vmx_cleared, "cpuid.vmx", ecx, 5, 0)
BIT_TEST(smx_cleared, "cpuid.smx", ecx, 6, 0)
BIT_TEST(eist_cleared, "cpuid.eist", ecx, 7, 0)
BIT_TEST(tm2_cleared, "cpuid.tm2", ecx, 8, 0)
BIT_TEST(cnxt_id_cleared, "cpuid.cnxt-id", ecx, 10, 0)
BIT_TEST(xtpr_cleared, "cpuid.xtpr", ecx, 14, 0)
BIT_TEST(pdcm_cleared, "cpuid.pdcm", ecx, 15, 0)
BIT_TEST(dca_cleared, "cpuid.dca", ecx, 18, 0)
BIT_TEST(x2apic_cleared, "cpuid.x2apic", ecx, 21, 0)
BIT_TEST(tsc_deadline_cleared, "cpuid.tsc-deadline", ecx, 24, 0)
BIT_TEST(dtes64_cleared, "cpuid.dtes64", ecx, 2, 0)
BIT_TEST(present_set, "cpuid.present", ecx, 31, 1)
BIT_TEST(fpu_set, "cpuid.fpu", edx, 0, 1)
BIT_TEST(vme_set, "cpuid.vme", edx, 1, 1)
BIT_TEST(de_set, "cpuid.de", edx, 2, 1)
BIT_TEST(pse_set, "cpuid.pse", edx, 3, 1)
BIT_TEST(tsc_set, "cpuid.tsc", edx, 4, 1)
BIT_TEST(msr_set, "cpuid.msr", edx, 5, 1)
BIT_TEST(pae_set, "cpuid.pae", edx, 6, 1)
BIT_TEST(mce_set, "cpuid.mce", edx, 7, 1)
BIT_TEST(cx8_set, "cpuid.cx8", edx, 8, 1)
BIT_TEST(apic_set, "cpuid.apic", edx, 9, 1)
BIT_TEST(sep_set, "cpuid.sep", edx, 11, 1)
BIT_TEST(mtrr_set, "cpuid.mtrr", edx, 12, 1)
BIT_TEST(pge_set, "cpuid.pge", edx, 13, 1)
BIT_TEST(mca_set, "cpuid.mca", edx, 14, 1)
BIT_TEST(cmov_set, "cpuid.cmov", edx, 15, 1)
BIT_TEST(pat_set, "cpuid.pat", edx, 16, 1)
BIT_TEST(pse36_set, "cpuid.pse36", edx, 17, 1)
BIT_TEST(clflush_set, "cpuid.clflush", edx, 19, 1)
BIT_TEST(mmx_set, "cpuid.mmx", edx, 23, 1)
BIT_TEST(fxsr_set, "cpuid.fxsr", edx, 24, 1)
BIT_TEST(sse_set, "cpuid.sse", edx, 25, 1)
BIT_TEST(sse2_set, "cpuid.sse2", edx, 26, 1)
BIT_TEST(psn_cleared, "cpuid.psn", edx, 18, 0)
BIT_TEST(ds_cleared, "cpuid.ds", edx, 21, 0)
BIT_TEST(acpi_cleared, "cpuid.acpi", edx, 22, 0)
BIT_TEST(tm_cleared, "cpuid.tm", edx, 29, 0)
BIT_TEST(pbe_cleared, "cpuid.pbe", edx, 31, 0)
/* clang-format on */

TEST(max_basic, "cpuid.max-basic")
{
    NEEDS_TABLE(EDITION_5_0);
    EXPECT(cpuid(0, 0).eax >= LEAF_1);
}

TEST(max_basic_six, "cpuid.max-basic.six")
{
    NEEDS_TABLE(EDITION_5_0);
    EXPECT(cpuid(0, 0).eax <= 6, "%u", cpuid(0, 0).eax);
}

TEST(family_reserved, "cpuid.family.reserved")
{
    NEEDS_TABLE(EDITION_5_0);
    EXPECT_EQ(cpuid(LEAF_1, 0).eax & 0xf000c000, 0);
}

struct remote {
    uint32_t leaf;
    struct cpuid found;
};

static void remote_cpuid(void *p)
{
    struct remote *r = p;
    r->found = cpuid(r->leaf, 0);
}

static struct cpuid cpuid_on(unsigned vp, uint32_t leaf)
{
    struct remote r = {.leaf = leaf};
    on_vp(vp, remote_cpuid, &r);
    return r.found;
}

TEST(family_same, "cpuid.family.same")
{
    NEEDS_TABLE(EDITION_5_0);
    smp_start();
    for (unsigned vp = 0; vp < vp_count(); vp++) {
        EXPECT_EQ(cpuid_on(vp, LEAF_1).eax, cpuid(LEAF_1, 0).eax);
    }
}

TEST(initial_apic_id, "cpuid.apic-id")
{
    NEEDS_TABLE(EDITION_5_0);
    smp_start();
    for (unsigned a = 0; a < vp_count(); a++) {
        uint32_t id = cpuid_on(a, LEAF_1).ebx >> 24;
        EXPECT(id == vp_apic_id(a), "VP %u: %u", a, id);
        for (unsigned b = 0; b < a; b++) {
            EXPECT(id != cpuid_on(b, LEAF_1).ebx >> 24, "VPs %u and %u", a, b);
        }
    }
}

TEST(reserved_ecx_2_0, "cpuid.reserved-ecx-2008r2")
{
    NEEDS_TABLE(EDITION_2_0);
    EXPECT_EQ(cpuid(LEAF_1, 0).ecx & (1u << 1 | 1u << 11 | 1u << 12 | 1u << 16 | 1u << 17 | 1u << 22 | 1u << 25 | 0x78000000u),
              0);
}

TEST(reserved_ecx_5_0, "cpuid.reserved-ecx")
{
    NEEDS_THAT(hv_present(), "no hypervisor");
    NEEDS_EDITION(EDITION_5_0, EDITION_5_0);
    EXPECT_EQ(cpuid(LEAF_1, 0).ecx & (1u << 11 | 1u << 16 | 1u << 22), 0);
}

TEST(reserved_edx, "cpuid.reserved-edx")
{
    NEEDS_TABLE(EDITION_5_0);
    EXPECT_EQ(cpuid(LEAF_1, 0).edx & (1u << 10 | 1u << 20 | 1u << 30), 0);
}

TEST(serial_number_zero, "cpuid.serial-number")
{
    NEEDS_TABLE(EDITION_5_0);
    EXPECT(zero(3));
}

TEST(cache_edx_zero, "cpuid.cache.edx")
{
    NEEDS_TABLE(EDITION_2_0);
    EXPECT_EQ(cpuid(4, 0).edx, 0);
}

TEST(monitor_leaf_zero, "cpuid.monitor-leaf")
{
    NEEDS_TABLE(EDITION_5_0);
    EXPECT(zero(5));
}

TEST(power_leaf_zero, "cpuid.power-leaf")
{
    NEEDS_TABLE(EDITION_5_0);
    NEEDS_THAT(!has(CpuManagement), "CpuManagement is granted");
    EXPECT(cpuid(0, 0).eax < 6 || (cpuid(6, 0).eax & 3) == 0);
}

TEST(nx_and_lm_set, "cpuid.extended.syscall")
{
    NEEDS_TABLE(EDITION_5_0);
    EXPECT(cpuid(EXTENDED_1, 0).edx >> 20 & 1);
    EXPECT(cpuid(EXTENDED_1, 0).edx >> 29 & 1);
}

TEST(page1gb_cleared, "cpuid.extended.page1gb")
{
    NEEDS_TABLE(EDITION_2_0);
    EXPECT_EQ(cpuid(EXTENDED_1, 0).edx >> 26 & 1, 0);
}

TEST(rdtscp_cleared, "cpuid.extended.rdtscp")
{
    NEEDS_TABLE(EDITION_2_0);
    EXPECT_EQ(cpuid(EXTENDED_1, 0).edx >> 27 & 1, 0);
}

TEST(svm_cleared, "cpuid.extended.svm")
{
    NEEDS_TABLE(EDITION_5_0);
    EXPECT_EQ(cpuid(EXTENDED_1, 0).ecx >> 2 & 1, 0);
}

TEST(invariant_tsc_cleared, "cpuid.extended.invariant-tsc")
{
    NEEDS_TABLE(EDITION_2_0);
    EXPECT(!extended(EXTENDED_POWER) || (cpuid(EXTENDED_POWER, 0).edx >> 8 & 1) == 0);
}

TEST(power_management_cleared, "cpuid.extended.power")
{
    NEEDS_TABLE(EDITION_2_0);
    EXPECT(!extended(EXTENDED_POWER) || (cpuid(EXTENDED_POWER, 0).edx & 0xff) == 0);
}

TEST(physical_bits, "cpuid.extended.physical-bits")
{
    NEEDS_TABLE(EDITION_5_0);
    REQUIRE(extended(EXTENDED_SIZES));
    uint32_t bits = cpuid(EXTENDED_SIZES, 0).eax & 0xff;
    EXPECT(bits >= 32 && bits <= 52, "%u", bits);
    EXPECT(memory_bytes() <= 1ULL << bits);
}

TEST(linear_bits, "cpuid.extended.linear-bits")
{
    NEEDS_TABLE(EDITION_5_0);
    REQUIRE(extended(EXTENDED_SIZES));
    uint32_t bits = cpuid(EXTENDED_SIZES, 0).eax >> 8 & 0xff;
    EXPECT(bits == 48 || bits == 57, "%u", bits);
}

TEST(svm_leaf_zero, "cpuid.extended.svm-leaf")
{
    NEEDS_TABLE(EDITION_5_0);
    EXPECT(!extended(EXTENDED_SVM) || zero(EXTENDED_SVM));
}

TEST(brand_same, "cpuid.extended.brand")
{
    NEEDS_TABLE(EDITION_5_0);
    smp_start();
    for (uint32_t leaf = 0x80000002; leaf <= 0x80000004; leaf++) {
        struct cpuid mine = cpuid(leaf, 0);
        for (unsigned vp = 0; vp < vp_count(); vp++) {
            struct cpuid there = cpuid_on(vp, leaf);
            EXPECT(memcmp(&mine, &there, sizeof mine) == 0, "leaf 0x%x of VP %u", leaf, vp);
        }
    }
}

TEST(reserved_extended_zero, "cpuid.extended.reserved")
{
    NEEDS_TABLE(EDITION_2_0);
    EXPECT(!extended(0x80000009) || zero(0x80000009));
    for (uint32_t leaf = 0x8000000b; leaf <= 0x80000018; leaf++) {
        EXPECT(!extended(leaf) || zero(leaf), "leaf 0x%x", leaf);
    }
}
