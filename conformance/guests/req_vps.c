/* Requirements document: VP indices, with as many VPs as the scenario gives. */
#include "req.h"

static void index_read(void *index)
{
    *(uint64_t *)index = rdmsr(HV_X64_MSR_VP_INDEX);
}

TEST(indices_are_unique, "req.msr.vp-index.every-vp", "req.msr.vp-index.unique")
{
    static uint64_t index[KIT_VPS_MAX];
    NEEDS(AccessVpIndex);
    EXPECT_FOR("req.msr.vp-index.every-vp", vp_count() == arg("vps"), "%u VPs, not %lu", vp_count(), arg("vps"));
    smp_start();
    for (unsigned i = 0; i < vp_count(); i++) {
        EXPECT_EQ_FOR("req.msr.vp-index.every-vp", on_vp_try(i, index_read, &index[i]).vector, NO_FAULT);
    }
    for (unsigned i = 0; i < vp_count(); i++) {
        for (unsigned j = 0; j < i; j++) {
            if (index[i] == index[j]) {
                EXPECT_FOR("req.msr.vp-index.unique", false, "VPs %u and %u are both %lu", i, j, index[i]);
            }
        }
    }
    EXPECT_FOR("req.msr.vp-index.unique", true);
}
