/* Requirements document: discovery, and what the hypervisor's CPUID leaves must and may hold. Privileges: req_privileges.c. */
#include "req.h"

struct leaves {
    struct cpuid leaf[7]; /* 0x40000000-0x40000006 */
};

static bool same(struct cpuid a, struct cpuid b)
{
    return a.eax == b.eax && a.ebx == b.ebx && a.ecx == b.ecx && a.edx == b.edx;
}

static bool zero(struct cpuid c)
{
    return (c.eax | c.ebx | c.ecx | c.edx) == 0;
}

static void leaves_read(void *p)
{
    struct leaves *l = p;
    for (uint32_t i = 0; i < ARRAY_COUNT(l->leaf); i++) {
        l->leaf[i] = cpuid(HV_CPUID_VENDOR + i, 0);
    }
}

static void leaf1_ecx_read(void *ecx)
{
    *(uint32_t *)ecx = cpuid(1, 0).ecx;
}

/* First of all, before anything is written. */
TEST(discovery_needs_no_setup, "req.minimal.discovery", "req.disc.no-setup")
{
    struct leaves before, after;
    NEEDS_HYPERVISOR();
    leaves_read(&before);
    EXPECT_EQ_FOR("req.minimal.discovery", cpuid(1, 0).ecx >> 31, 1);
    EXPECT_FOR("req.minimal.discovery", before.leaf[0].eax >= HV_CPUID_LIMITS, "maximum 0x%x", before.leaf[0].eax);
    EXPECT_EQ_FOR("req.minimal.discovery", before.leaf[1].eax, HV_INTERFACE_SIGNATURE);
    EXPECT_FOR("req.disc.no-setup", hv_enable(), "the hypercall page could not be enabled");
    leaves_read(&after);
    for (unsigned i = 0; i < ARRAY_COUNT(before.leaf); i++) {
        if (HV_CPUID_VENDOR + i != HV_CPUID_VERSION) { /* the TLFS lets that one wait for the guest's identity */
            EXPECT_FOR("req.disc.no-setup", same(before.leaf[i], after.leaf[i]), "leaf 0x%x changed", HV_CPUID_VENDOR + i);
        }
    }
}

TEST(present_on_every_vp, "req.disc.present")
{
    NEEDS_THAT(hv_signs(), "no hypervisor");
    smp_start();
    for (unsigned i = 0; i < vp_count(); i++) {
        uint32_t ecx = 0;
        on_vp(i, leaf1_ecx_read, &ecx);
        EXPECT(ecx >> 31, "VP %u does not see the bit", i);
    }
}

KIT_CODE(cpuid_real, 16, "mov $1, %eax; cpuid");
KIT_CODE(cpuid_protected, 32, "mov $1, %eax; cpuid");

TEST(present_at_every_level, "req.disc.present.modes")
{
    uint32_t ecx = 0;
    struct regs32 real = {0}, wide = {0};
    NEEDS_THAT(hv_signs(), "no hypervisor");
    EXPECT_EQ(run_at_cpl3(leaf1_ecx_read, &ecx).vector, NO_FAULT);
    EXPECT(ecx >> 31, "not at CPL3");
    EXPECT_EQ(run_in_16bit_real(cpuid_real, (size_t)(cpuid_real_end - cpuid_real), &real).vector, NO_FAULT);
    EXPECT(real.ecx >> 31, "not in real mode");
    EXPECT_EQ(run_in_32bit(cpuid_protected, (size_t)(cpuid_protected_end - cpuid_protected), &wide).vector, NO_FAULT);
    EXPECT(wide.ecx >> 31, "not in protected mode");
}

TEST(two_leaves_are_guaranteed, "req.disc.leaf.vendor", "req.disc.leaf.interface")
{
    NEEDS_THAT(cpuid(1, 0).ecx >> 31, "no hypervisor");
    struct cpuid beyond = cpuid(cpuid(0, 0).eax, 0); /* what processors answer for leaves that they lack */
    struct cpuid vendor = cpuid(HV_CPUID_VENDOR, 0), interface = cpuid(HV_CPUID_INTERFACE, 0);
    EXPECT_FOR("req.disc.leaf.vendor", vendor.eax >= HV_CPUID_INTERFACE && !same(vendor, beyond), "EAX 0x%x", vendor.eax);
    EXPECT_FOR("req.disc.leaf.interface", interface.eax != 0 && !same(interface, beyond), "EAX 0x%x", interface.eax);
}

TEST(highest_leaf, "req.minimal.leaves", "req.disc.range", "req.disc.max-leaf")
{
    NEEDS_HYPERVISOR();
    uint32_t max = cpuid(HV_CPUID_VENDOR, 0).eax;
    EXPECT_FOR("req.minimal.leaves", max >= HV_CPUID_LIMITS, "0x%x", max);
    EXPECT_FOR("req.disc.range", max >= HV_CPUID_VENDOR && max <= HV_CPUID_RANGE_LAST, "0x%x", max);
    /* The number is honest: nothing above it answers. */
    for (uint32_t leaf = max + 1; leaf <= HV_CPUID_RANGE_LAST && leaf > max; leaf++) {
        EXPECT_FOR("req.disc.max-leaf", zero(cpuid(leaf, 0)), "leaf 0x%x above the maximum answers", leaf);
    }
}

TEST(interface_signature, "req.minimal.signature", "req.disc.signature")
{
    NEEDS_THAT(cpuid(1, 0).ecx >> 31, "no hypervisor");
    EXPECT_EQ(cpuid(HV_CPUID_INTERFACE, 0).eax, 0x31237648);
}

TEST(same_identity_on_every_vp, "req.disc.signature.every-vp", "req.cpuid.vendor.every-vp")
{
    struct leaves own, other;
    NEEDS_HYPERVISOR();
    leaves_read(&own);
    smp_start();
    for (unsigned i = 1; i < vp_count(); i++) {
        on_vp(i, leaves_read, &other);
        EXPECT_EQ_FOR("req.disc.signature.every-vp", other.leaf[1].eax, HV_INTERFACE_SIGNATURE);
        EXPECT_FOR("req.cpuid.vendor.every-vp", same(own.leaf[0], other.leaf[0]), "VP %u sees another vendor or maximum", i);
    }
}

TEST(vendor_signature, "req.cpuid.vendor.ebx", "req.cpuid.vendor.ecx", "req.cpuid.vendor.edx")
{
    NEEDS_HYPERVISOR();
    struct cpuid c = cpuid(HV_CPUID_VENDOR, 0);
    const uint32_t words[3] = {c.ebx, c.ecx, c.edx};
    const char *const clauses[3] = {"req.cpuid.vendor.ebx", "req.cpuid.vendor.ecx", "req.cpuid.vendor.edx"};
    for (unsigned w = 0; w < 3; w++) {
        for (unsigned byte = 0; byte < 4; byte++) {
            unsigned letter = words[w] >> 8 * byte & 0xff;
            EXPECT_FOR(clauses[w], letter >= ' ' && letter <= '~', "character 0x%x", letter);
        }
    }
}

/* Build, major.minor, service pack, service branch and number, or nothing. */
TEST(version_leaf, "req.cpuid.version")
{
    NEEDS_HYPERVISOR();
    struct cpuid c = cpuid(HV_CPUID_VERSION, 0);
    EXPECT(zero(c) || (c.eax != 0 && c.ebx >> 16 != 0), "build %u of version %u.%u", c.eax, c.ebx >> 16, c.ebx & 0xffff);
    EXPECT(!same(c, cpuid(cpuid(0, 0).eax, 0)), "the leaf shows what the processor answers for leaves that it lacks");
}

TEST(nothing_where_nothing_is_implemented, "req.cpuid.unimplemented", "req.cpuid.minimal")
{
    NEEDS_HYPERVISOR();
    struct cpuid interface = cpuid(HV_CPUID_INTERFACE, 0);
    EXPECT_EQ_FOR("req.cpuid.unimplemented", interface.ebx | interface.ecx | interface.edx, 0);
    EXPECT_FOR("req.cpuid.unimplemented", zero(cpuid(HV_CPUID_RANGE_LAST, 0)));
    if (!profile_is("hv1-minimal")) {
        skip_for("req.cpuid.minimal", "the profile is not the least one");
        return;
    }
    struct cpuid features = cpuid(HV_CPUID_FEATURES, 0);
    EXPECT_EQ_FOR("req.cpuid.minimal", features.ecx | features.edx, 0);
    static const uint32_t leaves[] = {HV_CPUID_VERSION, HV_CPUID_RECOMMENDATIONS, HV_CPUID_LIMITS, HV_CPUID_HARDWARE};
    for (unsigned i = 0; i < ARRAY_COUNT(leaves); i++) {
        EXPECT_FOR("req.cpuid.minimal", zero(cpuid(leaves[i], 0)), "leaf 0x%x is not zero", leaves[i]);
    }
}

TEST(feature_leaf, "req.cpuid.features.eax", "req.cpuid.features.ebx", "req.cpuid.features.ecx", "req.cpuid.features.edx")
{
    NEEDS_HYPERVISOR();
    struct cpuid c = cpuid(HV_CPUID_FEATURES, 0);
    EXPECT_EQ_FOR("req.cpuid.features.eax", c.eax & 0x60, 0x60);
    EXPECT_EQ_FOR("req.cpuid.features.ebx", c.ebx & 0x314f, 0);
    /* TLFS 2.0a §3.4: a power state in bits 3:0; Windows 8 asks for the HPET by bit 4 */
    EXPECT_EQ_FOR("req.cpuid.features.ecx", c.ecx & ~0x1fU, 0);
    EXPECT_EQ_FOR("req.cpuid.features.edx", c.edx & ~0x07ffffffU, 0);
}

TEST(recommendation_leaf, "req.rec.reserved", "req.rec.ebx")
{
    NEEDS_2012();
    struct cpuid c = cpuid(HV_CPUID_RECOMMENDATIONS, 0);
    EXPECT_EQ_FOR("req.rec.reserved", c.ecx, 0);
    EXPECT_EQ_FOR("req.rec.reserved", c.edx, 0);
    /* With a count between never and always, the call that it asks for must be there. */
    REQUIRE(hv_enable());
    uint64_t result = hv_fast(HvCallNotifyLongSpinWait, 1, 0);
    if (c.ebx == 0 || c.ebx == 0xffffffff) {
        EXPECT_FOR("req.rec.ebx",
                   HV_STATUS_OF(result) == HV_STATUS_SUCCESS || HV_STATUS_OF(result) == HV_STATUS_INVALID_HYPERCALL_CODE,
                   "status 0x%x", HV_STATUS_OF(result));
    } else {
        EXPECT_EQ_FOR("req.rec.ebx", HV_STATUS_OF(result), HV_STATUS_SUCCESS);
    }
}

TEST(limits_leaf, "req.limits.vps", "req.limits.lps", "req.limits.reserved", "req.limits.unlimited")
{
    NEEDS_HYPERVISOR();
    struct cpuid c = cpuid(HV_CPUID_LIMITS, 0), r = cpuid(HV_CPUID_RECOMMENDATIONS, 0);
    EXPECT_FOR("req.limits.vps", c.eax == 0 || c.eax >= vp_count(), "%u of %u VPs", c.eax, vp_count());
    EXPECT_FOR("req.limits.lps", c.ebx == 0 || c.ebx == 0xffffffff || c.ebx < 0x10000, "0x%x logical processors", c.ebx);
    EXPECT_FOR("req.limits.unlimited", c.eax != 0xffffffff || (r.eax & 6) == 0, "no limit, and flush calls with a 64-bit mask");
    if (!of_2012()) {
        skip_for("req.limits.reserved", "the profile is of a later edition");
        return;
    }
    EXPECT_EQ_FOR("req.limits.reserved", c.ecx, 0);
    EXPECT_EQ_FOR("req.limits.reserved", c.edx, 0);
}

TEST(hardware_leaf, "req.hardware.eax", "req.hardware.reserved")
{
    NEEDS_HYPERVISOR();
    struct cpuid c = cpuid(HV_CPUID_HARDWARE, 0);
    if (cpuid(HV_CPUID_VENDOR, 0).eax < HV_CPUID_HARDWARE) {
        EXPECT_EQ_FOR("req.hardware.eax", c.eax, 0);
    } else {
        EXPECT_EQ_FOR("req.hardware.eax", c.eax & ~0x1fffU, 0);
    }
    EXPECT_EQ_FOR("req.hardware.reserved", c.ebx | c.ecx | c.edx, 0);
}
