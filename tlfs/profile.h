/* Interface profiles: what an edition of the hypervisor shows in CPUID leaves 0x40000000.., as data (tlfs/profiles/NAME.yaml).
 * The file states the edition's whole truth; what is not built is withheld and `orrery profile NAME` lists it.
 *
 * Some features are of use only with another (feature_needs in profile.c): a feature comes with what it needs and goes with it.
 */
#ifndef ORRERY_TLFS_PROFILE_H
#define ORRERY_TLFS_PROFILE_H

#include "machine/types.h"

struct profile_leaf {
    uint32_t eax, ebx, ecx, edx;
};
enum { PROFILE_LEAVES = 11 }; /* 0x40000000-0x4000000A */

/* The text that a profile follows. Rules that changed between texts ask for it. */
enum tlfs_edition {
    EDITION_REQUIREMENTS = 0, /* Requirements for Implementing the Microsoft Hypervisor Interface: the least that is allowed */
    EDITION_2_0 = 20,
    EDITION_3_0 = 30,
    EDITION_4_0 = 40,
    EDITION_5_0 = 50,
    EDITION_6_0 = 60,
};

struct profile {
    char name[32];
    char title[64]; /* the Windows generation, for people */
    enum tlfs_edition edition;
    uint32_t max_leaf;
    struct profile_leaf truth[PROFILE_LEAVES];     /* as the edition has it */
    struct profile_leaf announced[PROFILE_LEAVES]; /* what the guest sees: truth less what is not built */
};

/* One bit of a leaf by its TLFS name (e.g. "AccessPartitionReferenceTsc"). `built`: this program does it. */
struct feature_row {
    uint32_t leaf;    /* 0x40000003 .. */
    uint8_t reg, bit; /* reg: 0 EAX .. 3 EDX */
    const char *name;
    bool built;
    const char *why_withheld; /* always when not built; also when it is built but needs another feature; else NULL */
};
extern const struct feature_row feature_rows[];
extern const size_t feature_row_count;

enum hv_feature {
#define FEATURE(name, leaf, reg, bit, built, why) HV_##name,
#include "tlfs/features.def"
#undef FEATURE
    HV_FEATURES
};

/* A built-in profile by name; false when unknown. */
bool profile_find(const char *name, struct profile *p);
/* Names of the built-in profiles, oldest interface first. */
extern const char *const profile_names[];
extern const size_t profile_name_count;
/* Sets or clears one feature by TLFS name, and with it what it needs (or what needs it); false with *why set when unknown or
 * not built. */
bool profile_set(struct profile *p, const char *feature, bool on, const char **why);
/* Is it announced? In truth? */
bool profile_has(const struct profile *p, enum hv_feature f);
bool profile_truth_has(const struct profile *p, enum hv_feature f);

/* The text of a profile (YAML) into *p; false with a message "NAME:line:column: ..." in `why`. For built-in texts and tests. */
bool profile_parse(const char *name, const uint8_t *text, size_t size, struct profile *p, char *why, size_t why_size);

#endif
