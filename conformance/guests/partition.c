/* Judges what a child meets of partition.yaml, memory-pool.yaml, gpa-space.yaml, intercept.yaml, save-restore.yaml,
 * event-log.yaml and system.yaml: its own id, and the refusal of everything else. */
#include "kit.h"

enum { HvX64RegisterLstar = 0x80009, FOREIGN_PARTITION = 0x123456 };
#define SELF 0xffffffffffffffffULL
#define VP_SELF 0xfffffffeULL

/* ---- the own id, TLFS 2.0a 5.2.1 and 5.6.7 ---- */

static unsigned own_id(uint64_t *id)
{
    uint64_t *out = page_alloc();
    unsigned status = HV_STATUS_OF(hv_call(HvCallGetPartitionId, 0, gpa_of(out)));
    *id = out[0];
    return status;
}

#define NEEDS_OWN_ID()                                                                                                         \
    NEEDS(AccessHypercallMsrs);                                                                                                \
    NEEDS(AccessPartitionId);                                                                                                  \
    REQUIRE(hv_enable())

TEST(own_id, "part.id.own")
{
    NEEDS_OWN_ID();
    uint64_t id = 0;
    EXPECT_EQ(own_id(&id), HV_STATUS_SUCCESS);
    EXPECT(id != 0);
}

static void remote_id(void *p)
{
    own_id(p);
}

TEST(own_id_stable, "part.id.own.stable")
{
    NEEDS_OWN_ID();
    uint64_t first = 0, again = 0;
    own_id(&first);
    smp_start();
    for (unsigned vp = 0; vp < vp_count(); vp++) {
        on_vp(vp, remote_id, &again);
        EXPECT_EQ(again, first);
    }
}

TEST(own_id_is_no_placeholder, "part.id.own.not-self")
{
    NEEDS_OWN_ID();
    uint64_t id = SELF;
    EXPECT_EQ(own_id(&id), HV_STATUS_SUCCESS);
    EXPECT(id != SELF);
}

TEST(own_id_eight_bytes, "part.id.own.eight-bytes")
{
    NEEDS_OWN_ID();
    uint64_t *out = page_alloc();
    memset(out, 0xa5, PAGE_BYTES);
    EXPECT_EQ(HV_STATUS_OF(hv_call(HvCallGetPartitionId, 0, gpa_of(out + 1))), HV_STATUS_SUCCESS);
    for (unsigned i = 0; i < PAGE_BYTES / 8; i++) {
        EXPECT(i == 1 || out[i] == 0xa5a5a5a5a5a5a5a5, "quadword %u", i);
    }
}

TEST(own_id_no_input, "part.id.own.no-input")
{
    NEEDS_EDITION(EDITION_2_0, EDITION_2_0);
    NEEDS_OWN_ID();
    EXPECT_EQ(HV_STATUS_OF(hv_call(HvCallGetPartitionId, 0xffffffffffffffff, gpa_of(page_alloc()))), HV_STATUS_SUCCESS);
}

static unsigned read_register_of(uint64_t partition, uint64_t *value)
{
    uint64_t *in = page_alloc(), *out = page_alloc();
    in[0] = partition;
    in[1] = VP_SELF;
    in[2] = HvX64RegisterLstar;
    unsigned status = HV_STATUS_OF(hv_call(HvCallGetVpRegisters | HV_REPS(1), gpa_of(in), gpa_of(out)));
    *value = out[0];
    return status;
}

#define NEEDS_REGISTERS()                                                                                                      \
    NEEDS(AccessHypercallMsrs);                                                                                                \
    NEEDS(AccessVpRegisters);                                                                                                  \
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);                                                                                  \
    REQUIRE(hv_enable())

TEST(invalid_id_refused, "part.id.invalid")
{
    NEEDS_REGISTERS();
    uint64_t value;
    unsigned status = read_register_of(0, &value);
    EXPECT(status == HV_STATUS_INVALID_PARTITION_ID || status == HV_STATUS_ACCESS_DENIED, "status 0x%x", status);
}

TEST(self_id_taken, "part.id.self")
{
    NEEDS_REGISTERS();
    uint64_t value;
    EXPECT_EQ(read_register_of(SELF, &value), HV_STATUS_SUCCESS);
}

TEST(self_and_own_agree, "part.id.self-own")
{
    enum { MSR_LSTAR = 0xc0000082 };
    NEEDS_REGISTERS();
    NEEDS(AccessPartitionId);
    uint64_t id, by_self = 0, by_id = 1;
    REQUIRE(own_id(&id) == HV_STATUS_SUCCESS);
    wrmsr(MSR_LSTAR, 0x123456789000);
    EXPECT_EQ(read_register_of(SELF, &by_self), HV_STATUS_SUCCESS);
    EXPECT_EQ(read_register_of(id, &by_id), HV_STATUS_SUCCESS);
    EXPECT_EQ(by_self, by_id);
}

TEST(foreign_id_refused, "part.id.foreign")
{
    NEEDS_REGISTERS();
    uint64_t value;
    unsigned status = read_register_of(FOREIGN_PARTITION, &value);
    EXPECT(status == HV_STATUS_INVALID_PARTITION_ID || status == HV_STATUS_ACCESS_DENIED, "status 0x%x", status);
}

/* ---- what is refused ---- */

#define DENIED_TEST(name, clause, bit, control)                                                                                \
    TEST(name, clause)                                                                                                         \
    {                                                                                                                          \
        NEEDS(AccessHypercallMsrs);                                                                                            \
        NEEDS_THAT(!has(bit), "%s is granted", #bit);                                                                          \
        NEEDS_EDITION(EDITION_2_0, EDITION_4_0);                                                                               \
        REQUIRE(hv_enable());                                                                                                  \
        EXPECT_EQ(HV_STATUS_OF(hv_call(control, gpa_of(page_alloc()), gpa_of(page_alloc()))), HV_STATUS_ACCESS_DENIED);        \
    }

/* clang-format off: a table */
DENIED_TEST(own_id_refused, "part.id.own.refused", AccessPartitionId, HvCallGetPartitionId)
DENIED_TEST(create_refused, "part.create.refused", CreatePartitions, HvCallCreatePartition)
DENIED_TEST(deposit_refused, "pool.deposit.refused", AccessMemoryPool, 0x48 | HV_REPS(1))
DENIED_TEST(withdraw_refused, "pool.withdraw.refused", AccessMemoryPool, 0x49 | HV_REPS(1))
DENIED_TEST(balance_refused, "pool.balance.refused", AccessMemoryPool, 0x4a)
DENIED_TEST(map_refused, "gpa.map.refused", CreatePartitions, 0x4b | HV_REPS(1))
DENIED_TEST(unmap_refused, "gpa.unmap.refused", CreatePartitions, 0x4c | HV_REPS(1))
DENIED_TEST(sparse_refused, "gpa.sparse.refused", CreatePartitions, 0x6e | HV_REPS(1))
DENIED_TEST(intercept_refused, "icpt.install.refused", CreatePartitions, 0x4d)
DENIED_TEST(save_refused, "save.call.save.refused", CreatePartitions, 0x5e)
DENIED_TEST(restore_refused, "save.call.restore.refused", CreatePartitions, 0x5f)
DENIED_TEST(event_log_initialize_refused, "evlog.initialize.refused", CreatePartitions, 0x60)
DENIED_TEST(event_log_finalize_refused, "evlog.finalize.refused", CreatePartitions, 0x61)
DENIED_TEST(event_log_create_refused, "evlog.create.refused", CreatePartitions, 0x62)
DENIED_TEST(event_log_delete_refused, "evlog.delete.refused", CreatePartitions, 0x63)
DENIED_TEST(event_log_map_refused, "evlog.map.refused", CreatePartitions, 0x64)
DENIED_TEST(event_log_unmap_refused, "evlog.unmap.refused", CreatePartitions, 0x65)
DENIED_TEST(event_log_sources_refused, "evlog.sources.refused", CreatePartitions, 0x66)
DENIED_TEST(event_log_release_refused, "evlog.release.refused", CreatePartitions, 0x67)
DENIED_TEST(event_log_flush_refused, "evlog.flush.refused", CreatePartitions, 0x68)
DENIED_TEST(lp_run_time_refused, "sys.run-time.refused", CpuManagement, HvCallGetLogicalProcessorRunTime)
DENIED_TEST(park_refused, "sys.park.refused", CpuManagement, HvCallParkedVirtualProcessors)
DENIED_TEST(set_system_property_refused, "sys.property.set-refused", CpuManagement, 0x6f)
DENIED_TEST(get_system_property_refused, "sys.property.get-refused", CpuManagement, 0x71)
/* clang-format on */
