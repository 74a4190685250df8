/* Cluster interrupts and what of VP sets fits four VPs. Clauses: conformance/clauses/ipi.yaml; TLFS 6.0b §10.5.2-10.5.4,
 * §7.8.7. */
#include "sets.h"

enum { VEC = TARGET_VECTOR };
#define VTL(n) ((uint64_t)(n) << 32)
#define USE_VTL(n) VTL(0x10 | (n))

#define NEEDS_CLUSTER()                                                                                                        \
    NEEDS(UseSyntheticClusterIpi);                                                                                             \
    NEEDS_CALLS()
#define NEEDS_CLUSTER_EX()                                                                                                     \
    NEEDS(UseExProcessorMasks);                                                                                                \
    NEEDS_CLUSTER()

TEST(cluster_memory, "ipi.cluster.memory", "ipi.cluster.once")
{
    NEEDS_CLUSTER();
    NEEDS_VPS(2);
    EXPECT_EQ(HV_STATUS_OF(cluster_send(VEC, vp_bit(1))), HV_STATUS_SUCCESS);
    struct reached r = who_got(VEC);
    EXPECT_EQ(r.word[0], 2);
    EXPECT(!r.twice, "delivered twice");
}

TEST(cluster_fast, "ipi.cluster.fast")
{
    NEEDS_CLUSTER();
    NEEDS_VPS(2);
    EXPECT_EQ(HV_STATUS_OF(hv_fast(HvCallSendSyntheticClusterIpi, VEC, vp_bit(1))), HV_STATUS_SUCCESS);
    EXPECT_EQ(who_got(VEC).word[0], 2);
}

TEST(cluster_mask_exact, "ipi.cluster.mask")
{
    NEEDS_CLUSTER();
    NEEDS_VPS(4);
    EXPECT_EQ(HV_STATUS_OF(cluster_send(VEC, vp_bit(1) | vp_bit(3))), HV_STATUS_SUCCESS);
    EXPECT_EQ(who_got(VEC).word[0], 0xa);
}

TEST(cluster_self, "ipi.cluster.self")
{
    NEEDS_CLUSTER();
    EXPECT_EQ(HV_STATUS_OF(cluster_send(VEC, vp_bit(0))), HV_STATUS_SUCCESS);
    EXPECT_EQ(who_got(VEC).word[0], 1);
}

TEST(cluster_pending_when_masked, "ipi.cluster.fixed")
{
    NEEDS_CLUSTER();
    cluster_send(VEC, vp_bit(0));
    EXPECT(lapic_bit(LAPIC_IRR, VEC), "the IRR bit is clear");
    EXPECT_EQ(irq_count(VEC), 0);
    EXPECT_EQ(who_got(VEC).word[0], 1);
}

TEST(cluster_is_edge, "ipi.cluster.edge")
{
    enum { LAPIC_TMR = 0x180 };
    NEEDS_CLUSTER();
    cluster_send(VEC, vp_bit(0));
    EXPECT(!lapic_bit(LAPIC_TMR, VEC), "the TMR bit is set");
    EXPECT(lapic_bit(LAPIC_IRR, VEC), "the IRR bit is clear");
}

TEST(cluster_vector_range, "ipi.cluster.vector-max", "ipi.cluster.vector-min")
{
    NEEDS_CLUSTER();
    const uint32_t low[] = {0, 1, 0xf}, high[] = {0x100, 0x151, 0x80000000, 0xffffffff};
    for (unsigned i = 0; i < ARRAY_COUNT(low); i++) {
        EXPECT_EQ_FOR("ipi.cluster.vector-min", HV_STATUS_OF(cluster_send(low[i], vp_bit(0))), HV_STATUS_INVALID_PARAMETER);
    }
    for (unsigned i = 0; i < ARRAY_COUNT(high); i++) {
        EXPECT_EQ_FOR("ipi.cluster.vector-max", HV_STATUS_OF(cluster_send(high[i], vp_bit(0))), HV_STATUS_INVALID_PARAMETER);
    }
    EXPECT(nobody_got(VEC), "vector 0x151 was sent as 0x51");
    for (unsigned v = 0; v < 256; v += 32) {
        EXPECT_EQ(lapic_read(LAPIC_IRR + v / 2), 0);
    }
}

static void take_job(void *unused)
{
    take_interrupts(10 * US_100NS);
}

TEST(cluster_vector_ends, "ipi.cluster.vector-ends")
{
    NEEDS_CLUSTER();
    EXPECT_EQ(HV_STATUS_OF(cluster_send(0x10, vp_bit(0))), HV_STATUS_SUCCESS);
    EXPECT(lapic_bit(LAPIC_IRR, 0x10), "vector 10h is not pending");
    EXPECT_EQ(try_run(take_job, NULL).vector, 0x10); /* to the kit it looks like an exception */
    irqs(false);
    lapic_write(LAPIC_EOI, 0);
    EXPECT_EQ(HV_STATUS_OF(cluster_send(0xff, vp_bit(0))), HV_STATUS_SUCCESS);
    EXPECT(lapic_bit(LAPIC_IRR, 0xff), "vector FFh is not pending");
    take_interrupts(10 * US_100NS);
    EXPECT_EQ(irq_count(0xff), 1);
    lapic_write(LAPIC_EOI, 0);
}

TEST(cluster_no_nmi, "ipi.cluster.no-nmi")
{
    NEEDS_CLUSTER();
    NEEDS_VPS(2);
    EXPECT_EQ(HV_STATUS_OF(cluster_send(VEC_NMI, vp_bit(1))), HV_STATUS_INVALID_PARAMETER);
    spin_100ns(50 * US_100NS);
    EXPECT_EQ(nmi_count(), 0);
}

TEST(cluster_reserved_bytes, "ipi.cluster.reserved")
{
    NEEDS_CLUSTER();
    for (unsigned bit = 40; bit < 64; bit += 8) {
        EXPECT_EQ(HV_STATUS_OF(cluster_send(1ULL << bit | VEC, vp_bit(0))), HV_STATUS_INVALID_PARAMETER);
    }
    EXPECT(nobody_got(VEC), "it was sent");
}

TEST(cluster_vtl_zero, "ipi.cluster.vtl-zero")
{
    NEEDS_CLUSTER();
    EXPECT_EQ(HV_STATUS_OF(cluster_send(USE_VTL(0) | VEC, vp_bit(0))), HV_STATUS_SUCCESS);
    EXPECT_EQ(who_got(VEC).word[0], 1);
}

TEST(cluster_vtl_absent, "ipi.cluster.vtl-absent")
{
    NEEDS_CLUSTER();
    NEEDS_THAT(!has(AccessVSM), "VTLs may be there");
    EXPECT(HV_STATUS_OF(cluster_send(USE_VTL(1) | VEC, vp_bit(0))) != HV_STATUS_SUCCESS, "VTL 1 was taken");
    EXPECT(nobody_got(VEC), "it was sent");
}

TEST(cluster_vtl_reserved, "ipi.cluster.vtl-reserved")
{
    NEEDS_CLUSTER();
    EXPECT_EQ(HV_STATUS_OF(cluster_send(VTL(0x20) | VEC, vp_bit(0))), HV_STATUS_INVALID_PARAMETER);
    EXPECT_EQ(HV_STATUS_OF(cluster_send(VTL(0x80) | VEC, vp_bit(0))), HV_STATUS_INVALID_PARAMETER);
    EXPECT(nobody_got(VEC), "it was sent");
}

static bool success_or_invalid(uint64_t result)
{
    return HV_STATUS_OF(result) == HV_STATUS_SUCCESS || HV_STATUS_OF(result) == HV_STATUS_INVALID_PARAMETER;
}

TEST(cluster_empty_mask, "ipi.cluster.empty")
{
    NEEDS_CLUSTER();
    NEEDS_VPS(2);
    uint64_t result = cluster_send(VEC, 0);
    EXPECT(success_or_invalid(result), "status 0x%x", HV_STATUS_OF(result));
    EXPECT(nobody_got(VEC), "it was sent");
}

/* With VPs that are not there: all that are there are reached, or the call is refused and nobody is. */
static void expect_all_or_refused(uint64_t result, uint64_t there)
{
    struct reached r = who_got(VEC);
    if (HV_STATUS_OF(result) == HV_STATUS_SUCCESS) {
        EXPECT_EQ(r.word[0], there);
    } else {
        EXPECT(HV_STATUS_OF(result) == HV_STATUS_INVALID_PARAMETER || HV_STATUS_OF(result) == HV_STATUS_INVALID_VP_INDEX,
               "status 0x%x", HV_STATUS_OF(result));
        EXPECT_EQ(r.word[0], 0);
    }
}

TEST(cluster_absent_vps, "ipi.cluster.absent")
{
    NEEDS_CLUSTER();
    NEEDS_VPS(2);
    NEEDS_THAT(vp_count() < 64, "%u VPs fill the mask", vp_count());
    expect_all_or_refused(cluster_send(VEC, ~0ULL << vp_count() | vp_bit(0) | vp_bit(1)), 3);
}

static volatile bool woken;

static void halting_job(void *unused)
{
    __asm__ volatile("sti; hlt; cli" ::: "memory");
    woken = true;
}

TEST(cluster_wakes_halted, "ipi.cluster.wakes")
{
    NEEDS_CLUSTER();
    NEEDS_VPS(2);
    uint64_t mask = vp_bit(1);
    woken = false;
    on_vp_async(1, halting_job, NULL);
    spin_100ns(50 * US_100NS);
    EXPECT(!woken, "VP 1 did not halt");
    cluster_send(VEC, mask);
    vp_wait(1);
    EXPECT(woken, "VP 1 still halts");
    EXPECT_EQ(irq_count_on(1, VEC), 1);
}

TEST(cluster_is_simple, "ipi.cluster.no-header", "ipi.cluster.simple")
{
    NEEDS_CLUSTER();
    call_in = page_alloc();
    call_in[0] = VEC;
    call_in[1] = vp_bit(0);
    uint64_t gpa = gpa_of(call_in), code = HvCallSendSyntheticClusterIpi;
    EXPECT_EQ_FOR("ipi.cluster.simple", HV_STATUS_OF(hv_call(code | HV_REPS(1), gpa, 0)), HV_STATUS_INVALID_HYPERCALL_INPUT);
    EXPECT_EQ_FOR("ipi.cluster.simple", HV_STATUS_OF(hv_call(code | HV_START(1), gpa, 0)), HV_STATUS_INVALID_HYPERCALL_INPUT);
    EXPECT_EQ_FOR("ipi.cluster.no-header", HV_STATUS_OF(hv_call(code | HV_VARHEAD(1), gpa, 0)),
                  HV_STATUS_INVALID_HYPERCALL_INPUT);
    EXPECT(nobody_got(VEC), "it was sent");
}

static unsigned status_of_empty_call(unsigned code)
{
    return HV_STATUS_OF(hv_call(code, gpa_of(page_alloc()), gpa_of(page_alloc())));
}

TEST(cluster_unknown_before, "ipi.cluster.before")
{
    NEEDS_EDITION(EDITION_2_0, EDITION_4_0);
    NEEDS_CALLS();
    EXPECT_EQ(status_of_empty_call(HvCallSendSyntheticClusterIpi), HV_STATUS_INVALID_HYPERCALL_CODE);
}

/* ---- Ex ---- */

TEST(ex_sparse, "ipi.ex.sparse")
{
    NEEDS_CLUSTER_EX();
    NEEDS_VPS(4);
    uint64_t bank = vp_bit(0) | vp_bit(2);
    EXPECT_EQ(HV_STATUS_OF(cluster_send_ex(VEC, SET_SPARSE, 1, &bank, 1)), HV_STATUS_SUCCESS);
    EXPECT_EQ(who_got(VEC).word[0], 5);
}

TEST(ex_all, "ipi.ex.all", "ipi.set.all", "ipi.set.all-needs-no-bank")
{
    NEEDS_CLUSTER_EX();
    NEEDS_VPS(2);
    EXPECT_EQ(HV_STATUS_OF(cluster_send_ex(VEC, SET_ALL, 0, NULL, 0)), HV_STATUS_SUCCESS);
    struct reached r = who_got(VEC);
    for (unsigned vp = 0; vp < vp_count(); vp++) {
        EXPECT(r.word[vp / 64] >> vp % 64 & 1, "VP %u got nothing", vp);
    }
}

TEST(ex_header_size, "ipi.ex.header-size")
{
    NEEDS_CLUSTER_EX();
    const uint64_t banks[] = {vp_bit(0), 0};
    EXPECT_EQ(HV_STATUS_OF(cluster_send_ex(VEC, SET_SPARSE, 3, banks, 1)), HV_STATUS_INVALID_HYPERCALL_INPUT);
    EXPECT_EQ(HV_STATUS_OF(cluster_send_ex(VEC, SET_SPARSE, 1, banks, 2)), HV_STATUS_INVALID_HYPERCALL_INPUT);
    EXPECT_EQ(HV_STATUS_OF(cluster_send_ex(VEC, SET_SPARSE, 1, banks, 0)), HV_STATUS_INVALID_HYPERCALL_INPUT);
    EXPECT(nobody_got(VEC), "it was sent");
}

TEST(ex_vector_range, "ipi.ex.no-nmi", "ipi.ex.vector-max", "ipi.ex.vector-min")
{
    NEEDS_CLUSTER_EX();
    uint64_t bank = vp_bit(0);
    EXPECT_EQ_FOR("ipi.ex.vector-min", HV_STATUS_OF(cluster_send_ex(0xf, SET_SPARSE, 1, &bank, 1)),
                  HV_STATUS_INVALID_PARAMETER);
    EXPECT_EQ_FOR("ipi.ex.vector-max", HV_STATUS_OF(cluster_send_ex(0x151, SET_SPARSE, 1, &bank, 1)),
                  HV_STATUS_INVALID_PARAMETER);
    EXPECT_EQ_FOR("ipi.ex.no-nmi", HV_STATUS_OF(cluster_send_ex(VEC_NMI, SET_SPARSE, 1, &bank, 1)),
                  HV_STATUS_INVALID_PARAMETER);
    EXPECT_EQ_FOR("ipi.ex.no-nmi", nmi_count(), 0);
    EXPECT(nobody_got(VEC), "it was sent");
}

TEST(ex_reserved_bytes, "ipi.ex.reserved")
{
    NEEDS_CLUSTER_EX();
    uint64_t bank = vp_bit(0);
    for (unsigned bit = 40; bit < 64; bit += 8) {
        EXPECT_EQ(HV_STATUS_OF(cluster_send_ex(1ULL << bit | VEC, SET_SPARSE, 1, &bank, 1)), HV_STATUS_INVALID_PARAMETER);
    }
    EXPECT(nobody_got(VEC), "it was sent");
}

TEST(ex_bad_format, "ipi.ex.format")
{
    NEEDS_CLUSTER_EX();
    uint64_t bank = vp_bit(0);
    EXPECT(HV_STATUS_OF(cluster_send_ex(VEC, 2, 1, &bank, 1)) != HV_STATUS_SUCCESS, "format 2 was taken");
    EXPECT(HV_STATUS_OF(cluster_send_ex(VEC, 1ULL << 32, 1, &bank, 1)) != HV_STATUS_SUCCESS,
           "the upper half was not looked at");
    EXPECT(nobody_got(VEC), "it was sent");
}

TEST(ex_withheld, "ipi.ex.withheld")
{
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    NEEDS_WITHHELD(UseExProcessorMasks);
    NEEDS_CALLS();
    uint64_t bank = 1;
    unsigned status = HV_STATUS_OF(cluster_send_ex(VEC, SET_SPARSE, 1, &bank, 1));
    EXPECT(status == HV_STATUS_INVALID_HYPERCALL_CODE || status == HV_STATUS_ACCESS_DENIED, "status 0x%x", status);
    EXPECT(nobody_got(VEC), "it was sent");
}

TEST(ex_unknown_before, "ipi.ex.before")
{
    NEEDS_EDITION(EDITION_2_0, EDITION_4_0);
    NEEDS_CALLS();
    EXPECT_EQ(status_of_empty_call(HvCallSendSyntheticClusterIpiEx), HV_STATUS_INVALID_HYPERCALL_CODE);
}

/* ---- sets ---- */

TEST(set_empty_bank, "ipi.set.empty-bank")
{
    NEEDS_EDITION(EDITION_6_0, EDITION_LAST);
    NEEDS_CLUSTER_EX();
    const uint64_t banks[] = {vp_bit(0), 0};
    EXPECT_EQ(HV_STATUS_OF(cluster_send_ex(VEC, SET_SPARSE, 3, banks, 2)), HV_STATUS_SUCCESS);
    EXPECT_EQ(who_got(VEC).word[0], 1);
    EXPECT_EQ(HV_STATUS_OF(cluster_send_ex(VEC, SET_SPARSE, 1, banks + 1, 1)), HV_STATUS_SUCCESS);
    EXPECT_EQ(irq_count(VEC), 1);
}

TEST(set_absent_vps, "ipi.set.absent-vp")
{
    NEEDS_CLUSTER_EX();
    NEEDS_VPS(2);
    NEEDS_THAT(vp_count() < 64, "%u VPs fill the bank", vp_count());
    uint64_t bank = ~0ULL << vp_count() | vp_bit(0) | vp_bit(1);
    expect_all_or_refused(cluster_send_ex(VEC, SET_SPARSE, 1, &bank, 1), 3);
}

/* ---- HvRetargetDeviceInterrupt, §10.5.4 ---- */

enum { TARGET_PROCESSOR_SET = 2, SOURCE_MSI = 1 };

static uint64_t *retarget_input(void)
{
    uint64_t *in = page_alloc();
    in[0] = HV_PARTITION_ID_SELF;
    in[1] = 0x1234;
    in[2] = SOURCE_MSI;
    in[3] = (uint64_t)VEC << 32 | 0xfee00000; /* address, data */
    in[5] = VEC;
    in[6] = 1;
    return in;
}

static unsigned retarget(const uint64_t *in, unsigned header)
{
    return HV_STATUS_OF(hv_call(HvCallRetargetDeviceInterrupt | HV_VARHEAD(header), gpa_of(in), 0));
}

#define NEEDS_RETARGET()                                                                                                       \
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);                                                                                  \
    NEEDS_CALLS()

TEST(retarget_partition, "ipi.retarget.self-only")
{
    NEEDS_RETARGET();
    uint64_t *in = retarget_input();
    in[0] = 0x77;
    unsigned status = retarget(in, 0);
    EXPECT(status == HV_STATUS_INVALID_PARTITION_ID || status == HV_STATUS_ACCESS_DENIED, "status 0x%x", status);
}

TEST(retarget_unknown_device, "ipi.retarget.device")
{
    NEEDS_RETARGET();
    EXPECT_EQ(retarget(retarget_input(), 0), HV_STATUS_INVALID_DEVICE_ID);
}

/* The device is unknown as well, and the order of errors is free. */
static bool invalid_something(unsigned status)
{
    return status == HV_STATUS_INVALID_PARAMETER || status == HV_STATUS_INVALID_DEVICE_ID ||
           status == HV_STATUS_INVALID_VP_INDEX || status == HV_STATUS_INVALID_HYPERCALL_INPUT;
}

TEST(retarget_all, "ipi.retarget.all")
{
    NEEDS_RETARGET();
    uint64_t *in = retarget_input();
    in[5] |= (uint64_t)TARGET_PROCESSOR_SET << 32;
    in[6] = SET_ALL;
    in[7] = 0;
    unsigned status = retarget(in, 2);
    EXPECT(invalid_something(status), "status 0x%x", status);
}

TEST(retarget_absent_vp, "ipi.retarget.vps")
{
    NEEDS_RETARGET();
    uint64_t *in = retarget_input();
    in[6] = 1ULL << 63;
    unsigned status = retarget(in, 0);
    EXPECT(invalid_something(status), "status 0x%x", status);
}

TEST(retarget_reserved, "ipi.retarget.reserved")
{
    NEEDS_RETARGET();
    uint64_t *in = retarget_input();
    in[4] = 1;
    unsigned status = retarget(in, 0);
    EXPECT(invalid_something(status), "status 0x%x", status);
    in[4] = 0;
    in[2] |= 1ULL << 32;
    status = retarget(in, 0);
    EXPECT(invalid_something(status), "status 0x%x", status);
}

TEST(retarget_source, "ipi.retarget.source")
{
    NEEDS_RETARGET();
    uint64_t *in = retarget_input();
    in[2] = 2;
    unsigned status = retarget(in, 0);
    EXPECT(invalid_something(status), "status 0x%x", status);
}

TEST(retarget_unknown_before, "ipi.retarget.before")
{
    NEEDS_EDITION(EDITION_2_0, EDITION_2_0);
    NEEDS_CALLS();
    EXPECT_EQ(status_of_empty_call(HvCallRetargetDeviceInterrupt), HV_STATUS_INVALID_HYPERCALL_CODE);
}
