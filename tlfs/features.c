/* The table of feature bits, and bits of a profile by name.
 * What a bit means stands in features.def; which need each other in profile.c. */
#include "tlfs/profile.h"

const struct feature_row feature_rows[] = {
#define FEATURE(name_, leaf_, reg_, bit_, built_, why_)                                                                        \
    {.leaf = 0x40000000u + (leaf_), .reg = (reg_), .bit = (bit_), .name = #name_, .built = (built_), .why_withheld = (why_)},
#include "tlfs/features.def"
#undef FEATURE
};
const size_t feature_row_count = ARRAY_COUNT(feature_rows);

static bool leaf_has(const struct profile_leaf *leaves, enum hv_feature f)
{
    const struct feature_row *row = &feature_rows[f];
    const struct profile_leaf *leaf = &leaves[row->leaf - 0x40000000u];
    const uint32_t words[4] = {leaf->eax, leaf->ebx, leaf->ecx, leaf->edx};
    return words[row->reg] >> row->bit & 1;
}

bool profile_has(const struct profile *p, enum hv_feature f)
{
    return leaf_has(p->announced, f);
}

bool profile_truth_has(const struct profile *p, enum hv_feature f)
{
    return leaf_has(p->truth, f);
}
