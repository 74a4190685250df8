/* VP sets of more than one bank: 131 VPs and more. Clauses: ipi.set.*, ipi.ex.high-bank, vp.index.many; TLFS 6.0b §7.8.7.3-5.
 */
#include "sets.h"

enum { VEC = TARGET_VECTOR, MANY = 131 };

#define NEEDS_MANY()                                                                                                           \
    NEEDS(AccessVpIndex);                                                                                                      \
    NEEDS_VPS(MANY)
#define NEEDS_MANY_EX()                                                                                                        \
    NEEDS(UseExProcessorMasks);                                                                                                \
    NEEDS(UseSyntheticClusterIpi);                                                                                             \
    NEEDS_MANY();                                                                                                              \
    NEEDS_CALLS()

/* The kit's VP with that index of the hypervisor. */
static unsigned vp_of_index(unsigned index)
{
    for (unsigned i = 0; i < vp_count(); i++) {
        unsigned vp = (index + i) % vp_count(); /* the most likely one first */
        if (vp_index(vp) == index) {
            return vp;
        }
    }
    broken("no VP has index %u", index);
    return 0;
}

static void expect_reached(const unsigned *indices, unsigned count)
{
    struct reached r = who_got(VEC), want = {{0}, false};
    for (unsigned i = 0; i < count; i++) {
        unsigned vp = vp_of_index(indices[i]);
        want.word[vp / 64] |= 1ULL << vp % 64;
    }
    for (unsigned i = 0; i < ARRAY_COUNT(r.word); i++) {
        EXPECT_EQ(r.word[i], want.word[i]);
    }
    EXPECT(!r.twice, "delivered twice");
}

TEST(index_of_many, "vp.index.many")
{
    NEEDS_MANY();
    uint64_t seen[4] = {0};
    for (unsigned vp = 0; vp < vp_count(); vp++) {
        uint64_t index = rdmsr_on(vp, HV_X64_MSR_VP_INDEX);
        REQUIRE(index < vp_count(), "VP %u: 0x%lx", vp, index);
        EXPECT(!(seen[index / 64] >> index % 64 & 1), "index %lu is there twice", index);
        seen[index / 64] |= 1ULL << index % 64;
    }
}

TEST(ex_high_bank, "ipi.ex.high-bank")
{
    NEEDS_MANY_EX();
    const uint64_t bank = 1ULL << 1;
    const unsigned want[] = {65};
    EXPECT_EQ(HV_STATUS_OF(cluster_send_ex(VEC, SET_SPARSE, 2, &bank, 1)), HV_STATUS_SUCCESS);
    expect_reached(want, ARRAY_COUNT(want));
}

TEST(set_banks, "ipi.set.bank", "ipi.set.order")
{
    NEEDS_MANY_EX();
    const uint64_t banks[] = {1ULL << 1, 1ULL << 63 | 1ULL << 2, 1ULL << 1};
    const unsigned want[] = {1, 66, 127, 129};
    EXPECT_EQ(HV_STATUS_OF(cluster_send_ex(VEC, SET_SPARSE, 7, banks, 3)), HV_STATUS_SUCCESS);
    expect_reached(want, ARRAY_COUNT(want));
}

TEST(set_skips_banks, "ipi.set.absent-bank")
{
    NEEDS_MANY_EX();
    const uint64_t bank = 1ULL << 2;
    const unsigned want[] = {130};
    EXPECT_EQ(HV_STATUS_OF(cluster_send_ex(VEC, SET_SPARSE, 4, &bank, 1)), HV_STATUS_SUCCESS);
    expect_reached(want, ARRAY_COUNT(want));
}

TEST(set_example, "ipi.set.example")
{
    NEEDS_MANY_EX();
    const uint64_t banks[] = {0x21, 4};
    const unsigned want[] = {0, 5, 130};
    EXPECT_EQ(HV_STATUS_OF(cluster_send_ex(VEC, SET_SPARSE, 5, banks, 2)), HV_STATUS_SUCCESS);
    expect_reached(want, ARRAY_COUNT(want));
}
