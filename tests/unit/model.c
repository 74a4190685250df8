/* Processor models: what a guest reads from CPUID, and which features go together. SDM 2A CPUID, APM 3 appendix E. */
#include <criterion/criterion.h>
#include <string.h>

#include "cpu/cost.h"
#include "cpu/model.h"

static const struct cpuid_dynamic quiet = {.xcr0 = 1, .apic_enabled = true};

static struct cpu_model model(const char *name, enum cpu_vendor vendor, unsigned vps)
{
    struct cpu_model m;
    cr_assert(cpu_model_init(&m, name, vendor, 1000000000, vps));
    return m;
}
static struct cpuid_result leaf_of(const struct cpu_model *m, uint32_t leaf, uint32_t subleaf)
{
    return cpu_model_cpuid(m, &quiet, leaf, subleaf);
}
static uint32_t register_of(struct cpuid_result r, const char *name)
{
    return strcmp(name, "EAX") == 0 ? r.eax : strcmp(name, "EBX") == 0 ? r.ebx : strcmp(name, "ECX") == 0 ? r.ecx : r.edx;
}
static bool is_zero(struct cpuid_result r)
{
    return (r.eax | r.ebx | r.ecx | r.edx) == 0;
}

static const struct {
    enum cpu_feature feature;
    const char *name;
    uint32_t leaf, subleaf;
    const char *reg;
    unsigned bit;
} rows[] = {
#define FEATURE(id, name, leaf, subleaf, reg, bit) {FEAT_##id, name, leaf, subleaf, #reg, bit},
#include "cpu/features.def"
#undef FEATURE
};

Test(model, feature_rows_are_unique_and_sorted_by_leaf)
{
    for (size_t i = 1; i < ARRAY_COUNT(rows); i++) {
        cr_expect_leq(rows[i - 1].leaf, rows[i].leaf, "%s", rows[i].name);
        for (size_t k = 0; k < i; k++) {
            cr_expect_str_neq(rows[i].name, rows[k].name);
            bool same = rows[i].leaf == rows[k].leaf && rows[i].bit == rows[k].bit && strcmp(rows[i].reg, rows[k].reg) == 0;
            cr_expect_not(same, "%s and %s", rows[i].name, rows[k].name);
        }
    }
}

/* What is in the model stands in its leaf, what is not does not. */
Test(model, every_feature_of_every_model_shows_at_its_bit)
{
    static const char *const names[] = {"v2", "minimal"};
    for (unsigned n = 0; n < 4; n++) {
        struct cpu_model m = model(names[n & 1], n & 2 ? VENDOR_INTEL : VENDOR_AMD, 1);
        for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
            uint32_t word = register_of(leaf_of(&m, rows[i].leaf, rows[i].subleaf), rows[i].reg);
            bool reachable = rows[i].leaf < 0x80000009 || m.vendor == VENDOR_AMD;
            if (reachable) {
                cr_expect_eq(word >> rows[i].bit & 1, model_has(&m, rows[i].feature), "%s %u %s", m.name, n, rows[i].name);
            } else {
                cr_expect_not(model_has(&m, rows[i].feature), "%s has no leaf to show it", rows[i].name);
            }
        }
    }
}

/* x86-64-v2 of the psABI, and the list of the processor's description. */
Test(model, v2_has_its_list_and_nothing_of_v3)
{
    static const char *const list[] = {"cmov",  "cx8",     "fpu",      "fxsr",   "mmx",    "syscall", "sse",    "sse2",
                                       "cx16",  "lahf_lm", "popcnt",   "sse3",   "sse4_1", "ssse3",   "sse4_2", "rdtscp",
                                       "nx",    "pdpe1gb", "fsgsbase", "smep",   "smap",   "umip",    "pcid",   "invpcid",
                                       "xsave", "arat",    "monitor",  "rdrand", "rdseed"};
    for (unsigned vendor = 0; vendor < 2; vendor++) {
        struct cpu_model m = model("v2", vendor, 1);
        for (size_t i = 0; i < ARRAY_COUNT(list); i++) {
            bool found = false;
            for (size_t k = 0; k < ARRAY_COUNT(rows); k++) {
                found |= strcmp(rows[k].name, list[i]) == 0 && model_has(&m, rows[k].feature);
            }
            cr_expect(found, "%s", list[i]);
        }
        cr_expect_eq(leaf_of(&m, 1, 0).ecx & (1u << 28 | 1u << 12 | 1u << 29 | 1u << 5 | 1u << 31), 0u,
                     "AVX, FMA, F16C, VMX, hypervisor");
        cr_expect_eq(leaf_of(&m, 7, 0).ebx & (1u << 5 | 1u << 3 | 1u << 8 | 1u << 16), 0u, "AVX2, BMI, AVX-512");
        cr_expect_eq(leaf_of(&m, 0x80000001, 0).ecx & (1u << 2 | 1u << 5), 0u, "SVM, LZCNT");
    }
}

Test(model, unknown_model_is_refused)
{
    struct cpu_model m;
    cr_expect_not(cpu_model_init(&m, "v9", VENDOR_AMD, 1000000000, 1));
}

/* SDM 2A CPUID leaf 0; the order is EBX, EDX, ECX. */
Test(model, vendor_identity_and_signature)
{
    struct cpu_model amd = model("v2", VENDOR_AMD, 1), intel = model("v2", VENDOR_INTEL, 1);
    struct cpuid_result r = leaf_of(&amd, 0, 0);
    cr_expect(memcmp(&r.ebx, "Auth", 4) == 0 && memcmp(&r.edx, "enti", 4) == 0 && memcmp(&r.ecx, "cAMD", 4) == 0);
    r = leaf_of(&intel, 0, 0);
    cr_expect(memcmp(&r.ebx, "Genu", 4) == 0 && memcmp(&r.edx, "ineI", 4) == 0 && memcmp(&r.ecx, "ntel", 4) == 0);
    uint32_t a = leaf_of(&amd, 1, 0).eax, i = leaf_of(&intel, 1, 0).eax;
    cr_expect_eq((a >> 8 & 0xf) + (a >> 20 & 0xff), 0x19u, "family");
    cr_expect_eq(i >> 8 & 0xf, 6u);
    cr_expect_geq((i >> 4 & 0xf) | (i >> 12 & 0xf0), 0xdu, "a model that has IA32_MISC_ENABLE");
}

/* SDM 2A CPUID: 0x80000002-4 hold 48 characters. */
Test(model, brand_string_names_the_model)
{
    struct cpu_model m = model("v2", VENDOR_AMD, 1);
    char brand[49] = {0};
    for (unsigned i = 0; i < 3; i++) {
        struct cpuid_result r = leaf_of(&m, 0x80000002 + i, 0);
        memcpy(brand + 16 * i, &r, 16);
    }
    cr_expect_str_eq(brand, "Orrery v2 virtual processor");
}

/* OSXSAVE shows CR4.OSXSAVE; CPUID's APIC bit shows the global enable (SDM 3A §10.4.3). */
Test(model, dynamic_bits_follow_cr4_and_apic_base)
{
    struct cpu_model m = model("v2", VENDOR_AMD, 1);
    struct cpuid_dynamic d = {.apic_id = 0, .cr4 = 1 << 18, .xcr0 = 1, .apic_enabled = false};
    struct cpuid_result r = cpu_model_cpuid(&m, &d, 1, 0);
    cr_expect_eq(r.ecx >> 27 & 1, 1u);
    cr_expect_eq(r.edx >> 9 & 1, 0u);
    cr_expect_eq(cpu_model_cpuid(&m, &d, 0x80000001, 0).edx >> 9 & 1, 0u, "AMD repeats it");
    cr_expect_eq(leaf_of(&m, 1, 0).ecx >> 27 & 1, 0u);
    cr_expect_eq(leaf_of(&m, 1, 0).edx >> 9 & 1, 1u);
}

/* SDM 1 §13.2: x87 and SSE, 512 + 64 bytes. */
Test(model, xsave_leaf_has_the_legacy_area_and_header)
{
    struct cpu_model m = model("v2", VENDOR_INTEL, 1);
    struct cpuid_result r = leaf_of(&m, 0xd, 0);
    cr_expect_eq(r.eax, 3u);
    cr_expect_eq(r.ebx, 576u);
    cr_expect_eq(r.ecx, 576u);
    cr_expect(is_zero(leaf_of(&m, 0xd, 1)), "no XSAVEOPT, XSAVEC, XSAVES");
    cr_expect(is_zero(leaf_of(&m, 0xd, 2)), "no AVX state");
}

/* SDM 2A CPUID: leaves beyond the last are the last basic leaf's on Intel; APM 3: zeros. The hypervisor's range is empty here.
 */
Test(model, unknown_leaves_answer_as_the_vendor_does)
{
    static const uint32_t unknown[] = {0x20, 0x7fffffff, 0x80000022, 0x8fffffff, 0xc0000000, 0xffffffff};
    struct cpu_model amd = model("v2", VENDOR_AMD, 1), intel = model("v2", VENDOR_INTEL, 1);
    struct cpuid_result last = leaf_of(&intel, leaf_of(&intel, 0, 0).eax, 0);
    cr_assert_not(is_zero(last));
    for (size_t i = 0; i < ARRAY_COUNT(unknown); i++) {
        struct cpuid_result r = leaf_of(&intel, unknown[i], 0);
        cr_expect_eq(memcmp(&r, &last, sizeof r), 0, "%x", unknown[i]);
        cr_expect(is_zero(leaf_of(&amd, unknown[i], 0)), "%x", unknown[i]);
    }
    cr_expect(is_zero(leaf_of(&intel, 0x40000000, 0)));
    cr_expect(is_zero(leaf_of(&amd, 0x4000000a, 0)));
}

/* Every leaf that the maximum covers, with any sub-leaf, is answered, and the same again. */
Test(model, answers_are_a_function_of_the_question)
{
    for (unsigned vendor = 0; vendor < 2; vendor++) {
        struct cpu_model m = model("v2", vendor, 7);
        for (uint32_t leaf = 0; leaf < 0x40; leaf++) {
            for (uint32_t subleaf = 0; subleaf < 9; subleaf++) {
                struct cpuid_result r = leaf_of(&m, leaf, subleaf), again = leaf_of(&m, leaf, subleaf);
                cr_expect_eq(memcmp(&r, &again, sizeof r), 0);
                r = leaf_of(&m, 0x80000000 + leaf, subleaf), again = leaf_of(&m, 0x80000000 + leaf, 0);
                cr_expect(leaf == 0x1d || memcmp(&r, &again, sizeof r) == 0 || vendor == VENDOR_INTEL);
            }
        }
    }
}

/* ---- topology: one core a VP, one package ---- */

static unsigned bits_for(unsigned vps)
{
    return vps <= 1 ? 0 : 32 - (unsigned)__builtin_clz(vps - 1);
}

/* SDM 3A §8.9.1: leaf 0xB shifts the x2APIC id down to core and package. */
Test(model, leaf_b_numbers_cores_of_one_package)
{
    static const unsigned counts[] = {1, 2, 3, 4, 9, 64, 65, 128, 240};
    for (unsigned i = 0; i < 2 * ARRAY_COUNT(counts); i++) {
        unsigned vps = counts[i / 2];
        struct cpu_model m = model("v2", i & 1, vps);
        struct cpuid_dynamic d = {.apic_id = vps - 1, .apic_enabled = true};
        struct cpuid_result smt = cpu_model_cpuid(&m, &d, 0xb, 0), core = cpu_model_cpuid(&m, &d, 0xb, 1);
        cr_expect_eq(smt.eax, 0u);
        cr_expect_eq(smt.ebx, 1u);
        cr_expect_eq(smt.ecx, 0x100u);
        cr_expect_eq(core.eax, bits_for(vps));
        cr_expect_eq(core.ebx, vps);
        cr_expect_eq(core.ecx, 0x201u);
        cr_expect_eq(core.edx, vps - 1);
        cr_expect_eq((vps - 1) >> core.eax, 0u, "all in package 0");
        struct cpuid_result end = cpu_model_cpuid(&m, &d, 0xb, 2);
        cr_expect_eq(end.ecx >> 8, 0u, "no further level");
        cr_expect_eq(end.ebx, 0u);
    }
}

/* SDM 2A CPUID leaf 1: HTT tells of several ids; EBX[23:16] how many, EBX[31:24] which. */
Test(model, leaf_1_counts_ids_when_there_are_several)
{
    struct cpu_model one = model("v2", VENDOR_INTEL, 1), nine = model("v2", VENDOR_INTEL, 9), amd = model("v2", VENDOR_AMD, 9);
    struct cpuid_dynamic d = {.apic_id = 8, .apic_enabled = true};
    cr_expect_eq(leaf_of(&one, 1, 0).edx >> 28 & 1, 0u);
    cr_expect_eq(cpu_model_cpuid(&nine, &d, 1, 0).edx >> 28 & 1, 1u);
    cr_expect_eq(cpu_model_cpuid(&nine, &d, 1, 0).ebx >> 16, 0x0810u, "a power of two");
    cr_expect_eq(cpu_model_cpuid(&amd, &d, 1, 0).ebx >> 16, 0x0809u);
}

/* APM 3 §E.4: NC and ApicIdSize; CmpLegacy with several; 0x8000001E one thread a core. */
Test(model, amd_leaves_agree_with_leaf_b)
{
    static const unsigned counts[] = {1, 2, 4, 9, 65, 240};
    for (size_t i = 0; i < ARRAY_COUNT(counts); i++) {
        struct cpu_model m = model("v2", VENDOR_AMD, counts[i]);
        uint32_t sizes = leaf_of(&m, 0x80000008, 0).ecx;
        cr_expect_eq(sizes & 0xff, counts[i] - 1);
        cr_expect_eq(sizes >> 12 & 0xf, leaf_of(&m, 0xb, 1).eax);
        cr_expect_eq(leaf_of(&m, 0x80000001, 0).ecx >> 1 & 1, counts[i] > 1);
        struct cpuid_dynamic d = {.apic_id = counts[i] - 1};
        struct cpuid_result node = cpu_model_cpuid(&m, &d, 0x8000001e, 0);
        cr_expect_eq(node.eax, counts[i] - 1);
        cr_expect_eq(node.ebx, counts[i] - 1, "core id, and 1 thread");
        cr_expect_eq(node.ecx, 0u, "one node");
    }
}

static unsigned cache_bytes(struct cpuid_result r)
{
    return ((r.ebx >> 22) + 1) * ((r.ebx >> 12 & 0x3ff) + 1) * ((r.ebx & 0xfff) + 1) * (r.ecx + 1);
}

/* SDM 2A CPUID leaf 4, APM 3 0x8000001D: ways * partitions * line * sets is the size; the older AMD leaves say the same. */
Test(model, cache_leaves_agree_with_each_other)
{
    struct cpu_model intel = model("v2", VENDOR_INTEL, 65), amd = model("v2", VENDOR_AMD, 65);
    static const unsigned sizes[] = {32 << 10, 32 << 10, 512 << 10, 16 << 20};
    for (uint32_t i = 0; i < 4; i++) {
        struct cpuid_result r = leaf_of(&intel, 4, i), a = leaf_of(&amd, 0x8000001d, i);
        cr_expect_eq(cache_bytes(r), sizes[i]);
        cr_expect_eq(cache_bytes(a), sizes[i]);
        cr_expect_eq(r.eax >> 14 & 0xfff, i == 3 ? 127u : 0u, "ids that share it");
        cr_expect_eq(a.eax >> 14 & 0xfff, i == 3 ? 64u : 0u, "VPs that share it");
        cr_expect_eq(r.eax >> 26, 63u, "six bits hold no more");
    }
    cr_expect(is_zero(leaf_of(&intel, 4, 4)));
    cr_expect(is_zero(leaf_of(&amd, 0x8000001d, 4)));
    cr_expect_eq(leaf_of(&amd, 0x80000005, 0).ecx >> 24, 32u);
    cr_expect_eq(leaf_of(&amd, 0x80000006, 0).ecx >> 16, 512u);
    cr_expect_eq(leaf_of(&amd, 0x80000006, 0).edx >> 18, 32u, "in units of 512 KiB");
}

/* SDM 2A CPUID 0x80000008; LA57 widens linear addresses. */
Test(model, address_sizes)
{
    struct cpu_model m = model("v2", VENDOR_INTEL, 1);
    const char *why;
    cr_expect_eq(leaf_of(&m, 0x80000008, 0).eax, 40u | 48u << 8);
    cr_assert(cpu_model_set(&m, "la57", true, &why));
    cr_expect_eq(leaf_of(&m, 0x80000008, 0).eax, 40u | 57u << 8);
}

/* A guest whose idle loop would use MWAIT hints finds none and halts instead; SDM 2A CPUID leaf 5. */
Test(model, monitor_leaf_offers_no_hints)
{
    struct cpu_model m = model("v2", VENDOR_INTEL, 1), minimal = model("minimal", VENDOR_INTEL, 1);
    struct cpuid_result r = leaf_of(&m, 5, 0);
    cr_expect_eq(r.eax, 64u);
    cr_expect_eq(r.ecx, 3u);
    cr_expect_eq(r.edx, 0u);
    cr_expect(is_zero(leaf_of(&minimal, 5, 0)));
}

/* ---- features on and off ---- */

Test(model, unknown_and_unbuilt_features_are_refused_with_a_reason)
{
    struct cpu_model m = model("v2", VENDOR_AMD, 1);
    const struct cpu_model before = m;
    const char *why = NULL;
    cr_expect_not(cpu_model_set(&m, "warp", true, &why));
    cr_expect_str_eq(why, "unknown processor feature");
    cr_expect_not(cpu_model_set(&m, "avx2", true, &why));
    cr_expect_str_eq(why, "this feature is not built");
    cr_expect_not(cpu_model_set(&m, "arch_capabilities", true, &why));
    cr_expect_str_eq(why, "a feature of Intel processors, and the vendor is amd");
    cr_expect_eq(memcmp(&before, &m, sizeof m), 0);
}

Test(model, dependencies_hold_in_both_directions)
{
    struct cpu_model m = model("v2", VENDOR_AMD, 1);
    const char *why = NULL;
    cr_expect_not(cpu_model_set(&m, "sse4_1", false, &why));
    cr_expect_str_eq(why, "sse4_2 needs sse4_1");
    cr_expect(cpu_model_set(&m, "sse4_2", false, &why));
    cr_expect_null(why);
    cr_expect(cpu_model_set(&m, "sse4_1", false, &why));
    cr_expect_not(cpu_model_set(&m, "sse4_2", true, &why));
    cr_expect_str_eq(why, "sse4_2 needs sse4_1");
    cr_expect_not(cpu_model_set(&m, "pcid", false, &why));
    cr_expect_str_eq(why, "invpcid needs pcid");
}

/* However features are thrown on and off, no accepted state has one without its base. */
Test(model, random_switching_keeps_x86_64_consistent)
{
    struct cpu_model m = model("v2", VENDOR_INTEL, 1);
    uint64_t x = 1;
    for (unsigned i = 0; i < 20000; i++) {
        const char *why;
        x = x * 6364136223846793005ULL + 1442695040888963407ULL;
        cpu_model_set(&m, cpu_feature_name((x >> 33) % FEATURES), x >> 62 & 1, &why);
        cr_expect(!model_has(&m, FEAT_SSE42) ||
                  (model_has(&m, FEAT_SSE2) && model_has(&m, FEAT_FXSR) && model_has(&m, FEAT_POPCNT)));
        cr_expect(!model_has(&m, FEAT_INVPCID) || (model_has(&m, FEAT_PCID) && model_has(&m, FEAT_LM)));
        cr_expect(!model_has(&m, FEAT_X2APIC) || model_has(&m, FEAT_APIC));
    }
}

/* ---- cost tables ---- */

Test(cost, every_class_costs_and_every_exit_has_a_name)
{
    static const char *const names[] = {"ipc1", "classes"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        const struct cost_table *t = cost_table_by_name(names[i]);
        cr_assert_not_null(t);
        for (unsigned k = 0; k < COST_CLASSES; k++) {
            cr_expect_geq(t->instruction[k], 1u);
        }
        for (unsigned k = 0; k < EXIT_REASONS; k++) {
            cr_expect_geq(t->event[k], 1u);
            cr_assert_not_null(vp_exit_name(k));
        }
    }
    cr_expect_null(cost_table_by_name("ipc2"));
    cr_expect_str_eq(vp_exit_name(EXIT_REASONS), "unknown");
}

Test(cost, ipc1_is_one_cycle_an_instruction)
{
    const struct cost_table *t = cost_table_by_name("ipc1");
    for (unsigned k = 0; k < COST_CLASSES; k++) {
        cr_expect_eq(t->instruction[k], 1u);
    }
}
