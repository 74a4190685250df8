/* Processor models: feature bits as data, and every CPUID leaf computed from them. SDM 2A CPUID, APM 3 appendix E.
 *
 * Invariants: a leaf shows a feature exactly when the model has it, for cpu/features.def names both; a model never holds a
 * feature without what it builds on; one core a VP and all in one package, so the APIC id is the core's number; nothing depends
 * on the host. Where the vendors differ, they differ here as they do in silicon: unknown leaves, cache leaves, what 0x80000001
 * repeats. Left out: performance monitoring (leaf 0xA), TSC and bus ratios (0x15, 0x16), SVM and VMX; their leaves read as
 * zeros. Intel's rule that SYSCALL is announced in 64-bit mode only: the bit stands in every mode.
 */
#include "cpu/model.h"

#include <string.h>

/* ---- features ---- */

enum cpuid_register { EAX, EBX, ECX, EDX, CPUID_REGISTERS };

struct feature {
    const char *name;
    uint32_t leaf, subleaf;
    enum cpuid_register reg;
    unsigned bit;
};
static const struct feature features[FEATURES] = {
#define FEATURE(id, name, leaf, subleaf, reg, bit) {name, leaf, subleaf, reg, bit},
#include "cpu/features.def"
#undef FEATURE
};
_Static_assert(FEATURES <= 128, "struct cpu_model has two words of features");

/* What builds on what. The sentence is the whole answer for who asks for one without the other. */
#define NEEDS(feature, name, base, base_name)                                                                                  \
    {                                                                                                                          \
        FEAT_##feature, FEAT_##base, name " needs " base_name                                                                  \
    }
static const struct dependency {
    enum cpu_feature feature, base;
    const char *sentence;
} dependencies[] = {
    NEEDS(MMX, "mmx", FPU, "fpu"),
    NEEDS(FXSR, "fxsr", FPU, "fpu"),
    NEEDS(SSE, "sse", FXSR, "fxsr"),
    NEEDS(SSE, "sse", MMX, "mmx"),
    NEEDS(SSE2, "sse2", SSE, "sse"),
    NEEDS(SSE3, "sse3", SSE2, "sse2"),
    NEEDS(SSSE3, "ssse3", SSE3, "sse3"),
    NEEDS(SSE41, "sse4_1", SSSE3, "ssse3"),
    NEEDS(SSE42, "sse4_2", SSE41, "sse4_1"),
    NEEDS(SSE42, "sse4_2", POPCNT, "popcnt"),
    NEEDS(XSAVE, "xsave", FXSR, "fxsr"),
    NEEDS(CX16, "cx16", CX8, "cx8"),
    NEEDS(PSE36, "pse36", PSE, "pse"),
    NEEDS(SEP, "sep", MSR, "msr"),
    NEEDS(MTRR, "mtrr", MSR, "msr"),
    NEEDS(MCA, "mca", MCE, "mce"),
    NEEDS(MCA, "mca", MSR, "msr"),
    NEEDS(PAT, "pat", MSR, "msr"),
    NEEDS(APIC, "apic", MSR, "msr"),
    NEEDS(X2APIC, "x2apic", APIC, "apic"),
    NEEDS(ARAT, "arat", APIC, "apic"),
    NEEDS(TSC_DEADLINE, "tsc_deadline", APIC, "apic"),
    NEEDS(TSC_DEADLINE, "tsc_deadline", TSC, "tsc"),
    NEEDS(TSC_ADJUST, "tsc_adjust", TSC, "tsc"),
    NEEDS(TSC_ADJUST, "tsc_adjust", MSR, "msr"),
    NEEDS(RDTSCP, "rdtscp", TSC, "tsc"),
    NEEDS(RDTSCP, "rdtscp", MSR, "msr"),
    NEEDS(INVARIANT_TSC, "invtsc", TSC, "tsc"),
    NEEDS(NX, "nx", PAE, "pae"),
    NEEDS(NX, "nx", MSR, "msr"),
    NEEDS(SYSCALL, "syscall", MSR, "msr"),
    NEEDS(LM, "lm", PAE, "pae"),
    NEEDS(LM, "lm", MSR, "msr"),
    NEEDS(LM, "lm", SSE2, "sse2"),
    NEEDS(LM, "lm", SYSCALL, "syscall"),
    NEEDS(LAHF, "lahf_lm", LM, "lm"),
    NEEDS(PDPE1GB, "pdpe1gb", LM, "lm"),
    NEEDS(LA57, "la57", LM, "lm"),
    NEEDS(FSGSBASE, "fsgsbase", LM, "lm"),
    NEEDS(PCID, "pcid", LM, "lm"),
    NEEDS(INVPCID, "invpcid", PCID, "pcid"),
    NEEDS(SPEC_CTRL, "spec_ctrl", MSR, "msr"),
    NEEDS(ARCH_CAPABILITIES, "arch_capabilities", MSR, "msr"),
};
#undef NEEDS

/* Bits that only one vendor defines. */
static const struct {
    enum cpu_feature feature;
    enum cpu_vendor vendor;
} vendor_features[] = {
    {FEAT_SPEC_CTRL, VENDOR_INTEL}, {FEAT_ARCH_CAPABILITIES, VENDOR_INTEL},
    {FEAT_TOPOEXT, VENDOR_AMD},     {FEAT_SSB_NO, VENDOR_AMD},
    {FEAT_BTC_NO, VENDOR_AMD},      {FEAT_LFENCE_RDTSC, VENDOR_AMD},
    {FEAT_SRSO_NO, VENDOR_AMD},     {FEAT_TSA_SQ_NO, VENDOR_AMD},
    {FEAT_TSA_L1_NO, VENDOR_AMD},   {FEAT_NULL_SEL_CLR_BASE, VENDOR_AMD},
};

/* Names that people will try: known to the manuals, not to cpu/. */
static const char *const not_built[] = {
    "adx",   "aes",  "avx", "avx2",  "avx512f", "bmi1", "bmi2",  "cet",     "clflushopt", "clwb",      "f16c",
    "fma",   "fsrm", "ht",  "lzcnt", "mca",     "mce",  "movbe", "mpx",     "osxsave",    "pclmulqdq", "pku",
    "rdpid", "sgx",  "sha", "shstk", "svm",     "tsx",  "vmx",   "waitpkg", "xsavec",     "xsaveopt",  "xsaves",
};

const char *cpu_feature_name(enum cpu_feature f)
{
    return (unsigned)f < FEATURES ? features[f].name : NULL;
}

static void put_feature(struct cpu_model *m, enum cpu_feature f, bool on)
{
    uint64_t bit = 1ULL << (f % 64);
    m->features[f / 64] = on ? m->features[f / 64] | bit : m->features[f / 64] & ~bit;
}

static bool vendor_defines(enum cpu_vendor vendor, enum cpu_feature f)
{
    for (size_t i = 0; i < ARRAY_COUNT(vendor_features); i++) {
        if (vendor_features[i].feature == f) {
            return vendor_features[i].vendor == vendor;
        }
    }
    return true;
}

static const char *refusal(const struct cpu_model *m, enum cpu_feature f, bool on)
{
    if (on && !vendor_defines(m->vendor, f)) {
        return m->vendor == VENDOR_AMD ? "a feature of Intel processors, and the vendor is amd"
                                       : "a feature of AMD processors, and the vendor is intel";
    }
    for (size_t i = 0; i < ARRAY_COUNT(dependencies); i++) {
        const struct dependency *d = &dependencies[i];
        if (on ? d->feature == f && !model_has(m, d->base) : d->base == f && model_has(m, d->feature)) {
            return d->sentence;
        }
    }
    return NULL;
}

bool cpu_model_set(struct cpu_model *m, const char *feature, bool on, const char **why)
{
    for (unsigned f = 0; f < FEATURES; f++) {
        if (strcmp(features[f].name, feature) == 0) {
            *why = refusal(m, f, on);
            if (*why == NULL) {
                put_feature(m, f, on);
            }
            return *why == NULL;
        }
    }
    *why = "unknown processor feature";
    for (size_t i = 0; i < ARRAY_COUNT(not_built); i++) {
        if (strcmp(not_built[i], feature) == 0) {
            *why = "this feature is not built";
        }
    }
    return false;
}

/* ---- models ---- */

enum { ANY_VENDOR = -1 };
struct feature_list {
    int vendor;
    const uint8_t *list;
    size_t count;
};
#define LIST(vendor, ...)                                                                                                      \
    {                                                                                                                          \
        vendor, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})                                         \
    }

#define FEATURES_OF_MINIMAL                                                                                                    \
    FEAT_FPU, FEAT_DE, FEAT_PSE, FEAT_TSC, FEAT_MSR, FEAT_PAE, FEAT_CX8, FEAT_APIC, FEAT_SEP, FEAT_PGE, FEAT_CMOV, FEAT_PAT,   \
        FEAT_CLFLUSH, FEAT_MMX, FEAT_FXSR, FEAT_SSE, FEAT_SSE2, FEAT_CX16, FEAT_ARAT, FEAT_LAHF, FEAT_SYSCALL, FEAT_NX,        \
        FEAT_LM

/* What nothing speculative can suffer from, for either vendor. */
#define FEATURES_OF_AMD                                                                                                        \
    FEAT_SSB_NO, FEAT_BTC_NO, FEAT_LFENCE_RDTSC, FEAT_NULL_SEL_CLR_BASE, FEAT_SRSO_NO, FEAT_TSA_SQ_NO, FEAT_TSA_L1_NO
#define FEATURES_OF_INTEL FEAT_ARCH_CAPABILITIES

/* `v2` shows the invariant TSC, for so it is here; without it Linux calibrates its delay loop on every AMD processor anew. */
static const struct model_row {
    const char *name, *brand;
    struct feature_list lists[3];
} models[] = {
    {"minimal",
     "Orrery minimal virtual processor",
     {LIST(ANY_VENDOR, FEATURES_OF_MINIMAL), LIST(VENDOR_AMD, FEATURES_OF_AMD), LIST(VENDOR_INTEL, FEATURES_OF_INTEL)}},
    {"v2",
     "Orrery v2 virtual processor",
     {LIST(ANY_VENDOR, FEATURES_OF_MINIMAL, FEAT_VME, FEAT_PSE36, FEAT_SSE3, FEAT_SSSE3, FEAT_SSE41, FEAT_SSE42, FEAT_POPCNT,
           FEAT_MONITOR, FEAT_PCID, FEAT_XSAVE, FEAT_RDRAND, FEAT_RDSEED, FEAT_FSGSBASE, FEAT_SMEP, FEAT_SMAP, FEAT_UMIP,
           FEAT_INVPCID, FEAT_PREFETCHW, FEAT_PDPE1GB, FEAT_RDTSCP, FEAT_INVARIANT_TSC),
      LIST(VENDOR_AMD, FEATURES_OF_AMD, FEAT_TOPOEXT), LIST(VENDOR_INTEL, FEATURES_OF_INTEL)}},
};

/* Family, model and stepping that guests know. AMD: family 0x19 model 1 (third generation of Zen). Intel: family 6 model 0x8F.
 * Guests have few special cases for either that a virtual machine would meet. */
static const struct vendor_row {
    const char *identity; /* leaf 0, in the order EBX EDX ECX */
    uint32_t signature;   /* leaf 1 EAX: extended family 27:20, extended model 19:16, family 11:8, model 7:4, stepping 3:0 */
} vendors[] = {
    [VENDOR_AMD] = {"AuthenticAMD", 0x00a00f11},
    [VENDOR_INTEL] = {"GenuineIntel", 0x000806f8},
};

static const struct model_row *model_row(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(models); i++) {
        if (strcmp(models[i].name, name) == 0) {
            return &models[i];
        }
    }
    return NULL;
}

bool cpu_model_init(struct cpu_model *m, const char *name, enum cpu_vendor vendor, uint64_t tsc_hz, unsigned vps)
{
    const struct model_row *row = model_row(name);
    if (row == NULL) {
        return false;
    }
    *m = (struct cpu_model){.name = row->name, .vendor = vendor, .physical_bits = 40, .tsc_hz = tsc_hz, .vps = vps};
    for (size_t i = 0; i < ARRAY_COUNT(row->lists); i++) {
        const struct feature_list *l = &row->lists[i];
        for (size_t k = 0; k < l->count && (l->vendor == ANY_VENDOR || l->vendor == (int)vendor); k++) {
            put_feature(m, l->list[k], true);
        }
    }
    return true;
}

/* ---- CPUID ---- */

/* Caches, as leaves 4 and 0x8000001D, 0x80000005 and 0x80000006 describe them. Nothing is modelled behind them. */
enum cache_type { CACHE_DATA = 1, CACHE_CODE = 2, CACHE_UNIFIED = 3 };
static const struct cache {
    enum cache_type type;
    unsigned level, kib, ways;
    bool shared; /* by all VPs */
} caches[] = {
    {CACHE_DATA, 1, 32, 8, false},
    {CACHE_CODE, 1, 32, 8, false},
    {CACHE_UNIFIED, 2, 512, 8, false},
    {CACHE_UNIFIED, 3, 16384, 16, true},
};
enum { LINE_BYTES = 64 };

/* Bits that number `vps` cores. */
static unsigned core_id_bits(const struct cpu_model *m)
{
    unsigned bits = 0;
    while (1u << bits < m->vps) {
        bits++;
    }
    return bits;
}

static unsigned at_most(unsigned value, unsigned max)
{
    return value < max ? value : max;
}

/* The feature bits of one leaf; the rows are in the order of leaves. */
static struct cpuid_result feature_bits(const struct cpu_model *m, uint32_t leaf, uint32_t subleaf)
{
    uint32_t r[CPUID_REGISTERS] = {0};
    for (unsigned f = 0; f < FEATURES && features[f].leaf <= leaf; f++) {
        if (features[f].leaf == leaf && features[f].subleaf == subleaf && model_has(m, f)) {
            r[features[f].reg] |= 1u << features[f].bit;
        }
    }
    return (struct cpuid_result){r[EAX], r[EBX], r[ECX], r[EDX]};
}

static uint32_t four_chars(const char *s)
{
    return (uint32_t)(uint8_t)s[0] | (uint32_t)(uint8_t)s[1] << 8 | (uint32_t)(uint8_t)s[2] << 16 |
           (uint32_t)(uint8_t)s[3] << 24;
}

static struct cpuid_result identity(const struct cpu_model *m, uint32_t max_leaf)
{
    const char *s = vendors[m->vendor].identity;
    return (struct cpuid_result){.eax = max_leaf, .ebx = four_chars(s), .edx = four_chars(s + 4), .ecx = four_chars(s + 8)};
}

static uint32_t max_basic_leaf(const struct cpu_model *m)
{
    return model_has(m, FEAT_XSAVE) ? 0xd : 0xb;
}

static uint32_t max_extended_leaf(const struct cpu_model *m)
{
    struct cpuid_result r = feature_bits(m, 0x80000021, 0);
    if (r.eax != 0 || r.ecx != 0) {
        return 0x80000021;
    }
    return model_has(m, FEAT_TOPOEXT) ? 0x8000001e : 0x80000008;
}

/* Leaf 1: version, APIC id and features. Several VPs: HTT with the number of ids in the package (Intel), of processors (AMD).
 */
static struct cpuid_result version_and_features(const struct cpu_model *m, const struct cpuid_dynamic *d)
{
    struct cpuid_result r = feature_bits(m, 1, 0);
    unsigned count = at_most(m->vendor == VENDOR_AMD ? m->vps : 1u << core_id_bits(m), 255);
    r.eax = vendors[m->vendor].signature;
    r.ebx = (d->apic_id & 0xff) << 24 | count << 16;
    if (model_has(m, FEAT_CLFLUSH)) {
        r.ebx |= LINE_BYTES / 8 << 8;
    }
    if (m->vps > 1) {
        r.edx |= 1u << 28; /* HTT */
    }
    if (d->cr4 >> 18 & 1) {
        r.ecx |= 1u << 27; /* OSXSAVE follows CR4.OSXSAVE */
    }
    if (!d->apic_enabled) {
        r.edx &= ~(1u << 9); /* SDM 3A §10.4.3 */
    }
    return r;
}

/* Leaf 4 (Intel) and 0x8000001D (AMD): one cache a sub-leaf. Leaf 4 counts ids, and says in EAX[31:26] how many cores have ids.
 */
static struct cpuid_result cache_leaf(const struct cpu_model *m, uint32_t subleaf)
{
    if (subleaf >= ARRAY_COUNT(caches)) {
        return (struct cpuid_result){0};
    }
    const struct cache *c = &caches[subleaf];
    bool amd = m->vendor == VENDOR_AMD;
    unsigned ids = 1u << core_id_bits(m);
    unsigned sharing = !c->shared ? 1 : amd ? m->vps : ids;
    unsigned sets = c->kib * 1024 / (c->ways * LINE_BYTES);
    struct cpuid_result r = {
        .eax = c->type | c->level << 5 | 1u << 8 /* self-initialising */ | (sharing - 1) << 14,
        .ebx = (LINE_BYTES - 1) | (c->ways - 1) << 22,
        .ecx = sets - 1,
    };
    if (!amd) {
        r.eax |= (at_most(ids, 64) - 1) << 26;
    }
    return r;
}

/* Leaf 0xB: threads of a core (one), then cores of the package. */
static struct cpuid_result topology_leaf(const struct cpu_model *m, const struct cpuid_dynamic *d, uint32_t subleaf)
{
    struct cpuid_result r = {.ecx = subleaf & 0xff, .edx = d->apic_id};
    if (subleaf == 0) {
        r.ebx = 1;
        r.ecx |= 1 << 8;
    } else if (subleaf == 1) {
        r.eax = core_id_bits(m);
        r.ebx = m->vps;
        r.ecx |= 2 << 8;
    }
    return r;
}

/* Leaf 0xD: legacy area and header; x87 and SSE are the only components (SDM 1 §13.2). */
static struct cpuid_result xsave_leaf(const struct cpu_model *m, uint32_t subleaf)
{
    enum { X87_AND_SSE = 3, LEGACY_AND_HEADER_BYTES = 512 + 64 };
    if (subleaf != 0 || !model_has(m, FEAT_XSAVE)) {
        return (struct cpuid_result){0};
    }
    return (struct cpuid_result){X87_AND_SSE, LEGACY_AND_HEADER_BYTES, LEGACY_AND_HEADER_BYTES, 0};
}

static struct cpuid_result basic_leaf(const struct cpu_model *m, const struct cpuid_dynamic *d, uint32_t leaf, uint32_t subleaf)
{
    bool intel = m->vendor == VENDOR_INTEL;
    switch (leaf) {
    case 0:
        return identity(m, max_basic_leaf(m));
    case 1:
        return version_and_features(m, d);
    case 2: /* one descriptor: 0xFF, "leaf 4 has it" */
        return intel ? (struct cpuid_result){.eax = 0x0000ff01} : (struct cpuid_result){0};
    case 4:
        return intel ? cache_leaf(m, subleaf) : (struct cpuid_result){0};
    case 5: /* lines of 64 bytes; extensions, interrupts break even when masked; no C-state hints, so guests idle with HLT */
        return model_has(m, FEAT_MONITOR) ? (struct cpuid_result){LINE_BYTES, LINE_BYTES, 3, 0} : (struct cpuid_result){0};
    case 0xb:
        return topology_leaf(m, d, subleaf);
    case 0xd:
        return xsave_leaf(m, subleaf);
    default: /* 6 and 7 are features and nothing else; 3, 8, 9, 0xA, 0xC are zeros */
        return feature_bits(m, leaf, subleaf);
    }
}

/* 0x80000001. AMD repeats there what leaf 1 says of the oldest features, and marks several cores in one package as such. */
static struct cpuid_result extended_features(const struct cpu_model *m, const struct cpuid_dynamic *d)
{
    struct cpuid_result r = feature_bits(m, 0x80000001, 0);
    if (m->vendor == VENDOR_AMD) {
        r.eax = vendors[m->vendor].signature;
        r.edx |= version_and_features(m, d).edx & 0x0183f3ff;
        if (m->vps > 1) {
            r.ecx |= 1 << 1; /* CmpLegacy */
        }
    }
    return r;
}

static struct cpuid_result brand_leaf(const struct cpu_model *m, unsigned part)
{
    char brand[48] = {0};
    const char *text = model_row(m->name)->brand;
    memcpy(brand, text, at_most((unsigned)strlen(text), sizeof brand - 1));
    const char *p = brand + 16 * part;
    return (struct cpuid_result){four_chars(p), four_chars(p + 4), four_chars(p + 8), four_chars(p + 12)};
}

/* 0x80000005 (AMD) and 0x80000006: the same caches in the older form. Associativity is a code: 6 = 8 ways, 8 = 16 ways. */
static struct cpuid_result old_cache_leaf(const struct cpu_model *m, uint32_t leaf)
{
    bool amd = m->vendor == VENDOR_AMD;
    uint32_t first_level = caches[0].kib << 24 | caches[0].ways << 16 | 1 << 8 | LINE_BYTES;
    if (leaf == 0x80000005) {
        return amd ? (struct cpuid_result){.ecx = first_level, .edx = first_level} : (struct cpuid_result){0};
    }
    uint32_t second_level = caches[2].kib << 16 | 6 << 12 | LINE_BYTES;
    uint32_t third_level = caches[3].kib / 512 << 18 | 8 << 12 | 1 << 8 | LINE_BYTES;
    return amd ? (struct cpuid_result){.ecx = second_level | 1 << 8, .edx = third_level}
               : (struct cpuid_result){.ecx = second_level};
}

/* 0x80000008: address sizes; AMD adds the number of cores and of APIC id bits. */
static struct cpuid_result address_sizes(const struct cpu_model *m)
{
    struct cpuid_result r = feature_bits(m, 0x80000008, 0);
    unsigned linear_bits = !model_has(m, FEAT_LM) ? 32 : model_has(m, FEAT_LA57) ? 57 : 48;
    r.eax = m->physical_bits | linear_bits << 8;
    if (m->vendor == VENDOR_AMD) {
        r.ecx = at_most(m->vps - 1, 255) | core_id_bits(m) << 12;
    }
    return r;
}

static struct cpuid_result extended_leaf(const struct cpu_model *m, const struct cpuid_dynamic *d, uint32_t leaf,
                                         uint32_t subleaf)
{
    switch (leaf) {
    case 0x80000000:
        return m->vendor == VENDOR_AMD ? identity(m, max_extended_leaf(m)) : (struct cpuid_result){.eax = max_extended_leaf(m)};
    case 0x80000001:
        return extended_features(m, d);
    case 0x80000002:
    case 0x80000003:
    case 0x80000004:
        return brand_leaf(m, leaf - 0x80000002);
    case 0x80000005:
    case 0x80000006:
        return old_cache_leaf(m, leaf);
    case 0x80000008:
        return address_sizes(m);
    case 0x8000001d:
        return model_has(m, FEAT_TOPOEXT) ? cache_leaf(m, subleaf) : (struct cpuid_result){0};
    case 0x8000001e: /* extended APIC id; core id with one thread; one node */
        return model_has(m, FEAT_TOPOEXT) ? (struct cpuid_result){.eax = d->apic_id, .ebx = d->apic_id & 0xff}
                                          : (struct cpuid_result){0};
    default:
        return feature_bits(m, leaf, 0);
    }
}

/* A leaf that does not exist: zeros on AMD (APM 3 §E.2), the highest basic leaf's answer on Intel (SDM 2A CPUID). The range
 * 0x40000000-0x4FFFFFFF is the hypervisor's to fill and zeros here. */
struct cpuid_result cpu_model_cpuid(const struct cpu_model *m, const struct cpuid_dynamic *d, uint32_t leaf, uint32_t subleaf)
{
    if (leaf <= max_basic_leaf(m)) {
        return basic_leaf(m, d, leaf, subleaf);
    }
    if (leaf >= 0x80000000 && leaf <= max_extended_leaf(m)) {
        return extended_leaf(m, d, leaf, subleaf);
    }
    if (m->vendor == VENDOR_AMD || leaf >> 28 == 4) {
        return (struct cpuid_result){0};
    }
    return basic_leaf(m, d, max_basic_leaf(m), subleaf);
}
