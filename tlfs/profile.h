/* Interface profiles: what an edition of the hypervisor shows in CPUID leaves 0x40000000.., as data (tlfs/profiles/NAME.yaml).
 * The file states the edition's whole truth; what is not built is withheld and `orrery profile NAME` lists it. */
#ifndef ORRERY_TLFS_PROFILE_H
#define ORRERY_TLFS_PROFILE_H

#include "machine/types.h"

struct profile_leaf {
    uint32_t eax, ebx, ecx, edx;
};
enum { PROFILE_LEAVES = 11 }; /* 0x40000000-0x4000000A */
struct profile {
    char name[32];
    uint32_t max_leaf;
    struct profile_leaf truth[PROFILE_LEAVES];     /* as the edition has it */
    struct profile_leaf announced[PROFILE_LEAVES]; /* what the guest sees: truth less what is not built */
};

/* One bit of a leaf by its TLFS name (e.g. "AccessPartitionReferenceTsc"). `built`: this program does it. */
struct feature_row {
    uint32_t leaf;
    uint8_t reg, bit; /* reg: 0 EAX .. 3 EDX */
    const char *name;
    bool built;
    const char *why_withheld; /* when not built, or NULL */
};
extern const struct feature_row feature_rows[];
extern const size_t feature_row_count;

/* A built-in profile by name; false when unknown. */
bool profile_find(const char *name, struct profile *p);
/* Sets or clears one feature by TLFS name; false with *why set when unknown or not built. */
bool profile_set(struct profile *p, const char *feature, bool on, const char **why);

#endif
