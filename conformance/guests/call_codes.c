/* Judges call-codes.yaml and status.yaml: the lists of hypercalls and statuses, as a child without further rights meets them.
 */
#include "kit.h"

#define UNKNOWN_CONNECTION 0x00abcdefULL
#define SELF 0xffffffffffffffffULL
#define VP_SELF 0xfffffffeULL
enum { HvX64RegisterCr4 = 0x40003, HvX64RegisterLstar = 0x80009, UNKNOWN_PARTITION = 0x7777, UNKNOWN_VP = 0x7777 };

/* A page of zero input, a page of output. */
static unsigned call(uint64_t control)
{
    return HV_STATUS_OF(hv_call(control, gpa_of(page_alloc()), gpa_of(page_alloc())));
}

/* A call that a child may not make, with a rep count where it has a list: refused for want of rights, or not known to it. */
static void expect_refused(unsigned code)
{
    unsigned simple = call(code), list = call(code | HV_REPS(1));
    EXPECT(simple != HV_STATUS_SUCCESS && list != HV_STATUS_SUCCESS, "code 0x%x succeeded", code);
    EXPECT(simple == HV_STATUS_ACCESS_DENIED || simple == HV_STATUS_INVALID_HYPERCALL_CODE || list == HV_STATUS_ACCESS_DENIED ||
               list == HV_STATUS_INVALID_HYPERCALL_CODE,
           "code 0x%x: status 0x%x, as a list 0x%x", code, simple, list);
}

static void expect_unknown(unsigned first, unsigned last)
{
    for (unsigned code = first; code <= last; code++) {
        unsigned status = call(code);
        EXPECT(status == HV_STATUS_INVALID_HYPERCALL_CODE, "code 0x%x: status 0x%x", code, status);
    }
}

#define REFUSED_TEST(name, clause, first_edition, last_edition, code)                                                          \
    TEST(name, clause)                                                                                                         \
    {                                                                                                                          \
        NEEDS(AccessHypercallMsrs);                                                                                            \
        NEEDS_EDITION(first_edition, last_edition);                                                                            \
        REQUIRE(hv_enable());                                                                                                  \
        expect_refused(code);                                                                                                  \
    }
#define REFUSED_WITHOUT_TEST(name, clause, bit, first_edition, last_edition, code)                                             \
    TEST(name, clause)                                                                                                         \
    {                                                                                                                          \
        NEEDS(AccessHypercallMsrs);                                                                                            \
        NEEDS_THAT(!has(bit), "%s is granted", #bit);                                                                          \
        NEEDS_EDITION(first_edition, last_edition);                                                                            \
        REQUIRE(hv_enable());                                                                                                  \
        expect_refused(code);                                                                                                  \
    }
#define UNKNOWN_TEST(name, clause, first_edition, last_edition, first, last)                                                   \
    TEST(name, clause)                                                                                                         \
    {                                                                                                                          \
        NEEDS(AccessHypercallMsrs);                                                                                            \
        NEEDS_EDITION(first_edition, last_edition);                                                                            \
        REQUIRE(hv_enable());                                                                                                  \
        expect_unknown(first, last);                                                                                           \
    }

/* clang-format off: a table */
REFUSED_TEST(initialize_partition, "code.initialize-partition", EDITION_2_0, EDITION_LAST, 0x41)
REFUSED_TEST(finalize_partition, "code.finalize-partition", EDITION_2_0, EDITION_LAST, 0x42)
REFUSED_TEST(delete_partition, "code.delete-partition", EDITION_2_0, EDITION_LAST, 0x43)
REFUSED_TEST(get_partition_property, "code.get-partition-property", EDITION_2_0, EDITION_LAST, 0x44)
REFUSED_TEST(set_partition_property, "code.set-partition-property", EDITION_2_0, EDITION_LAST, 0x45)
REFUSED_TEST(get_next_child, "code.get-next-child", EDITION_2_0, EDITION_LAST, 0x47)
REFUSED_TEST(map_gpa_pages, "code.map-gpa-pages", EDITION_2_0, EDITION_LAST, 0x4b)
REFUSED_TEST(unmap_gpa_pages, "code.unmap-gpa-pages", EDITION_2_0, EDITION_LAST, 0x4c)
REFUSED_TEST(install_intercept, "code.install-intercept", EDITION_2_0, EDITION_LAST, 0x4d)
REFUSED_TEST(create_vp, "code.create-vp", EDITION_2_0, EDITION_LAST, 0x4e)
REFUSED_TEST(delete_vp, "code.delete-vp", EDITION_2_0, EDITION_LAST, 0x4f)
REFUSED_TEST(read_gpa, "code.read-gpa", EDITION_2_0, EDITION_LAST, 0x53)
REFUSED_TEST(write_gpa, "code.write-gpa", EDITION_2_0, EDITION_LAST, 0x54)
REFUSED_TEST(clear_virtual_interrupt, "code.clear-virtual-interrupt", EDITION_2_0, EDITION_LAST, 0x56)
REFUSED_TEST(save_partition_state, "code.save-partition-state", EDITION_2_0, EDITION_LAST, 0x5e)
REFUSED_TEST(restore_partition_state, "code.restore-partition-state", EDITION_2_0, EDITION_LAST, 0x5f)
REFUSED_TEST(initialize_event_log, "code.initialize-event-log", EDITION_2_0, EDITION_LAST, 0x60)
REFUSED_TEST(finalize_event_log, "code.finalize-event-log", EDITION_2_0, EDITION_LAST, 0x61)
REFUSED_TEST(create_event_log_buffer, "code.create-event-log-buffer", EDITION_2_0, EDITION_LAST, 0x62)
REFUSED_TEST(delete_event_log_buffer, "code.delete-event-log-buffer", EDITION_2_0, EDITION_LAST, 0x63)
REFUSED_TEST(map_event_log_buffer, "code.map-event-log-buffer", EDITION_2_0, EDITION_LAST, 0x64)
REFUSED_TEST(unmap_event_log_buffer, "code.unmap-event-log-buffer", EDITION_2_0, EDITION_LAST, 0x65)
REFUSED_TEST(set_event_log_sources, "code.set-event-log-sources", EDITION_2_0, EDITION_LAST, 0x66)
REFUSED_TEST(release_event_log_buffer, "code.release-event-log-buffer", EDITION_2_0, EDITION_LAST, 0x67)
REFUSED_TEST(flush_event_log_buffer, "code.flush-event-log-buffer", EDITION_2_0, EDITION_LAST, 0x68)
REFUSED_TEST(map_sparse_gpa_pages, "code.map-sparse-gpa-pages", EDITION_2_0, EDITION_LAST, 0x6e)
REFUSED_TEST(set_system_property, "code.set-system-property", EDITION_2_0, EDITION_LAST, 0x6f)
REFUSED_WITHOUT_TEST(get_vp_registers_2008r2, "code.get-vp-registers-2008r2", AccessVpRegisters, EDITION_2_0, EDITION_4_0, 0x50)
REFUSED_WITHOUT_TEST(set_vp_registers_2008r2, "code.set-vp-registers-2008r2", AccessVpRegisters, EDITION_2_0, EDITION_4_0, 0x51)
REFUSED_WITHOUT_TEST(translate_2008r2, "code.translate-2008r2", AccessVpRegisters, EDITION_2_0, EDITION_4_0, 0x52)
REFUSED_TEST(assert_interrupt_2008r2, "code.assert-interrupt-2008r2", EDITION_2_0, EDITION_4_0, 0x55)
REFUSED_TEST(add_logical_processor, "code.add-logical-processor", EDITION_5_0, EDITION_LAST, 0x76)
REFUSED_TEST(remove_logical_processor, "code.remove-logical-processor", EDITION_5_0, EDITION_LAST, 0x77)
REFUSED_TEST(query_numa_distance, "code.query-numa-distance", EDITION_5_0, EDITION_LAST, 0x78)
REFUSED_TEST(set_lp_property, "code.set-lp-property", EDITION_5_0, EDITION_LAST, 0x79)
REFUSED_TEST(get_lp_property, "code.get-lp-property", EDITION_5_0, EDITION_LAST, 0x7a)
REFUSED_TEST(map_device_interrupt, "code.map-device-interrupt", EDITION_5_0, EDITION_LAST, 0x7c)
REFUSED_TEST(unmap_device_interrupt, "code.unmap-device-interrupt", EDITION_5_0, EDITION_LAST, 0x7d)
REFUSED_TEST(map_device_pages, "code.map-device-pages", EDITION_5_0, EDITION_LAST, 0x80)
REFUSED_TEST(unmap_device_pages, "code.unmap-device-pages", EDITION_5_0, EDITION_LAST, 0x81)
REFUSED_TEST(attach_device, "code.attach-device", EDITION_5_0, EDITION_LAST, 0x82)
REFUSED_TEST(detach_device, "code.detach-device", EDITION_5_0, EDITION_LAST, 0x83)
REFUSED_TEST(notify_standby, "code.notify-standby", EDITION_5_0, EDITION_LAST, 0x84)
REFUSED_TEST(prepare_for_sleep, "code.prepare-for-sleep", EDITION_5_0, EDITION_LAST, 0x85)
REFUSED_TEST(prepare_for_hibernate, "code.prepare-for-hibernate", EDITION_5_0, EDITION_LAST, 0x86)
REFUSED_TEST(notify_partition_event, "code.notify-partition-event", EDITION_5_0, EDITION_LAST, 0x87)
REFUSED_TEST(get_lp_registers, "code.get-lp-registers", EDITION_5_0, EDITION_LAST, 0x88)
REFUSED_TEST(set_lp_registers, "code.set-lp-registers", EDITION_5_0, EDITION_LAST, 0x89)
REFUSED_TEST(query_associated_lps, "code.query-associated-lps", EDITION_5_0, EDITION_LAST, 0x8a)
REFUSED_TEST(notify_ring_empty, "code.notify-ring-empty", EDITION_5_0, EDITION_LAST, 0x8b)
REFUSED_TEST(inject_machine_check, "code.inject-machine-check", EDITION_5_0, EDITION_LAST, 0x8c)
REFUSED_TEST(scrub_partition, "code.scrub-partition", EDITION_5_0, EDITION_LAST, 0x8d)
REFUSED_TEST(collect_livedump, "code.collect-livedump", EDITION_5_0, EDITION_LAST, 0x8e)
REFUSED_TEST(disable_hypervisor, "code.disable-hypervisor", EDITION_5_0, EDITION_LAST, 0x8f)
REFUSED_TEST(modify_sparse_gpa_pages, "code.modify-sparse-gpa-pages", EDITION_5_0, EDITION_LAST, 0x90)
REFUSED_TEST(register_intercept_result, "code.register-intercept-result", EDITION_5_0, EDITION_LAST, 0x91)
REFUSED_TEST(unregister_intercept_result, "code.unregister-intercept-result", EDITION_5_0, EDITION_LAST, 0x92)
REFUSED_TEST(create_port, "code.create-port", EDITION_5_0, EDITION_LAST, 0x95)
REFUSED_TEST(connect_port, "code.connect-port", EDITION_5_0, EDITION_LAST, 0x96)
REFUSED_TEST(get_spa_page_list, "code.get-spa-page-list", EDITION_5_0, EDITION_LAST, 0x97)
REFUSED_TEST(get_system_property, "code.get-system-property", EDITION_5_0, EDITION_LAST, 0x7b)
REFUSED_WITHOUT_TEST(delete_port, "code.delete-port", CreatePort, EDITION_2_0, EDITION_LAST, 0x58)
REFUSED_WITHOUT_TEST(get_port_property, "code.get-port-property", CreatePort, EDITION_2_0, EDITION_LAST, 0x5a)
REFUSED_WITHOUT_TEST(set_port_property, "code.set-port-property", CreatePort, EDITION_2_0, EDITION_LAST, 0x70)
REFUSED_WITHOUT_TEST(disconnect_port, "code.disconnect-port", ConnectPort, EDITION_2_0, EDITION_LAST, 0x5b)
REFUSED_WITHOUT_TEST(map_stats, "code.map-stats", AccessStats, EDITION_2_0, EDITION_LAST, 0x6c)
REFUSED_WITHOUT_TEST(unmap_stats, "code.unmap-stats", AccessStats, EDITION_2_0, EDITION_LAST, 0x6d)
REFUSED_TEST(deprecated_assert, "code.deprecated-assert", EDITION_5_0, EDITION_LAST, 0x55)
REFUSED_TEST(deprecated_create_port, "code.deprecated-create-port", EDITION_5_0, EDITION_LAST, 0x57)
UNKNOWN_TEST(reserved_low, "code.reserved.low", EDITION_2_0, EDITION_LAST, 0x5, 0x7)
UNKNOWN_TEST(reserved_0a_3f, "code.reserved.2008r2-0a", EDITION_2_0, EDITION_4_0, 0xa, 0x3f)
UNKNOWN_TEST(reserved_0a, "code.reserved.0a", EDITION_5_0, EDITION_LAST, 0xa, 0xa)
UNKNOWN_TEST(reserved_16_3f, "code.reserved.16", EDITION_5_0, EDITION_LAST, 0x16, 0x3f)
UNKNOWN_TEST(reserved_72_2_0, "code.reserved.2008r2-71", EDITION_2_0, EDITION_2_0, 0x72, 0xff)
UNKNOWN_TEST(reserved_71_75, "code.reserved.71", EDITION_5_0, EDITION_LAST, 0x71, 0x75)
REFUSED_TEST(reserved_7f, "code.reserved.7f", EDITION_5_0, EDITION_LAST, 0x7f)
UNKNOWN_TEST(reserved_9b_ae, "code.reserved.9b", EDITION_5_0, EDITION_LAST, 0x9b, 0xae)
REFUSED_TEST(get_system_property_2_0, "code.get-system-property-2008r2", EDITION_2_0, EDITION_2_0, 0x71)
UNKNOWN_TEST(no_flush_ex_before_5, "code.since-5.flush-ex", EDITION_2_0, EDITION_4_0, 0x13, 0x14)
UNKNOWN_TEST(no_extended_before_5, "code.since-5.extended", EDITION_2_0, EDITION_4_0, 0x8001, 0x8006)
UNKNOWN_TEST(no_vtl_before_5, "code.since-5.vtl", EDITION_2_0, EDITION_4_0, 0xc, 0x12)
/* clang-format on */

TEST(reserved_93, "code.reserved.93")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    REQUIRE(hv_enable());
    expect_unknown(0x93, 0x93);
    expect_unknown(0x98, 0x98);
}

TEST(reserved_b1_up, "code.reserved.b1")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    REQUIRE(hv_enable());
    expect_unknown(0xb1, 0xff);
    expect_unknown(0x1000, 0x1010);
    expect_unknown(0x7ff0, 0x7fff);
}

TEST(no_ipi_before_5, "code.since-5.ipi")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_2_0, EDITION_4_0);
    REQUIRE(hv_enable());
    expect_unknown(0x0b, 0x0b);
    expect_unknown(0x15, 0x15);
}

TEST(no_start_vp_before_5, "code.since-5.start-vp")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_2_0, EDITION_4_0);
    REQUIRE(hv_enable());
    expect_unknown(HvCallStartVirtualProcessor, HvCallGetVpIndexFromApicId);
}

TEST(gpa_flush_withheld, "code.gpa-flush")
{
    enum { LEAF_NESTED_OPTIMISATIONS = 0x4000000a, GPA_FLUSH = 1 << 18 };
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    NEEDS_THAT(!(cpuid(LEAF_NESTED_OPTIMISATIONS, 0).eax & GPA_FLUSH), "the calls are announced");
    REQUIRE(hv_enable());
    expect_refused(0xaf);
    expect_refused(0xb0);
}

TEST(any_long_spin, "code.any.long-spin")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    EXPECT_EQ(call(HvCallNotifyLongSpinWait), HV_STATUS_SUCCESS);
}

static uint64_t read_cr3(void)
{
    uint64_t cr3;
    __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
    return cr3;
}

TEST(any_switch, "code.any.switch")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(UseHypercallForAddressSpaceSwitch);
    REQUIRE(hv_enable());
    EXPECT_EQ(HV_STATUS_OF(hv_fast(HvCallSwitchVirtualAddressSpace, read_cr3(), 0)), HV_STATUS_SUCCESS);
}

TEST(any_flush, "code.any.flush")
{
    enum { FLUSH_ALL = 3 };
    NEEDS(AccessHypercallMsrs);
    NEEDS(UseHypercallForRemoteFlush);
    REQUIRE(hv_enable());
    uint64_t *in = page_alloc();
    in[1] = FLUSH_ALL;
    EXPECT_EQ(HV_STATUS_OF(hv_call(HvCallFlushVirtualAddressSpace, gpa_of(in), 0)), HV_STATUS_SUCCESS);
    EXPECT_EQ(HV_STATUS_OF(hv_call(HvCallFlushVirtualAddressList | HV_REPS(1), gpa_of(in), 0)), HV_STATUS_SUCCESS);
}

/* ---- form ---- */

TEST(simple_calls_refuse_reps, "code.form.simple")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    const struct {
        uint16_t code;
        bool may;
    } simple[] = {
        {HvCallSwitchVirtualAddressSpace, has(UseHypercallForAddressSpaceSwitch)},
        {HvCallFlushVirtualAddressSpace, true},
        {HvCallNotifyLongSpinWait, true},
        {HvCallGetPartitionId, has(AccessPartitionId)},
        {HvCallTranslateVirtualAddress, has(AccessVpRegisters) && edition() >= EDITION_5_0},
        {HvCallPostMessage, has(PostMessages)},
        {HvCallSignalEvent, has(SignalEvents)},
        {HvCallPostDebugData, has(Debugging)},
        {HvCallRetrieveDebugData, has(Debugging)},
        {HvCallResetDebugSession, has(Debugging)},
        {HvCallRetargetDeviceInterrupt, edition() >= EDITION_5_0},
        {HvCallAssertVirtualInterrupt, edition() >= EDITION_5_0},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(simple); i++) {
        EXPECT(!simple[i].may || call(simple[i].code | HV_REPS(1)) == HV_STATUS_INVALID_HYPERCALL_INPUT, "code 0x%x",
               simple[i].code);
    }
}

TEST(rep_calls_refuse_zero, "code.form.rep")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    EXPECT_EQ(call(HvCallFlushVirtualAddressList), HV_STATUS_INVALID_HYPERCALL_INPUT);
    if (has(AccessVpRegisters) && edition() >= EDITION_5_0) {
        EXPECT_EQ(call(HvCallGetVpRegisters), HV_STATUS_INVALID_HYPERCALL_INPUT);
        EXPECT_EQ(call(HvCallSetVpRegisters), HV_STATUS_INVALID_HYPERCALL_INPUT);
    }
    if (has(AccessVpIndex) && edition() >= EDITION_5_0) {
        EXPECT_EQ(call(HvCallGetVpIndexFromApicId), HV_STATUS_INVALID_HYPERCALL_INPUT);
    }
}

TEST(fast_spin, "code.form.fast-spin")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    EXPECT_EQ(HV_STATUS_OF(hv_fast(HvCallNotifyLongSpinWait, 1, 0)), HV_STATUS_SUCCESS);
}

/* ---- statuses, appendix B ---- */

TEST(status_success, "status.success")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    EXPECT_EQ(call(HvCallNotifyLongSpinWait), 0x0000);
}

TEST(unknown_code, "status.invalid-hypercall-code")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    EXPECT_EQ(call(0x0fff), 0x0002);
}

TEST(bad_control, "status.invalid-hypercall-input")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    EXPECT_EQ(call(HvCallNotifyLongSpinWait | HV_REPS(1)), 0x0003);
    EXPECT_EQ(call(HvCallNotifyLongSpinWait | 1ULL << 63), 0x0003);
}

TEST(bad_alignment, "status.invalid-alignment")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    uint64_t pages = gpa_of(pages_alloc(2));
    EXPECT_EQ(HV_STATUS_OF(hv_call(HvCallNotifyLongSpinWait, pages + 4, 0)), 0x0004);
    EXPECT_EQ(HV_STATUS_OF(hv_call(HvCallFlushVirtualAddressSpace, pages + PAGE_BYTES - 8, 0)), 0x0004);
    if (has(UseHypercallForAddressSpaceSwitch)) {
        EXPECT_EQ(HV_STATUS_OF(hv_call(HvCallSwitchVirtualAddressSpace, pages + 4, 0)), 0x0004);
    }
}

/* An empty set of processors, or a flag that does not exist. */
TEST(bad_parameter, "status.invalid-parameter")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_THAT(has(UseHypercallForRemoteFlush) || has(UseHypercallForLocalFlush), "flushing by hypercall is not recommended");
    REQUIRE(hv_enable());
    uint64_t *in = page_alloc();
    in[0] = read_cr3();
    EXPECT_EQ(HV_STATUS_OF(hv_call(HvCallFlushVirtualAddressSpace, gpa_of(in), 0)), 0x0005);
    if (has(UseExProcessorMasks) && edition() >= EDITION_5_0) {
        in[1] = 1ULL << 63; /* no such flag */
        EXPECT_EQ(HV_STATUS_OF(hv_call(HvCallFlushVirtualAddressListEx | HV_REPS(1), gpa_of(in), 0)), 0x0005);
    }
}

TEST(no_right, "status.access-denied")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_THAT(!has(AccessPartitionId), "AccessPartitionId is granted");
    REQUIRE(hv_enable());
    EXPECT_EQ(call(HvCallGetPartitionId), 0x0006);
}

static unsigned get_register(uint64_t partition, uint64_t vp, uint32_t name)
{
    uint64_t *in = page_alloc();
    in[0] = partition;
    in[1] = vp;
    in[2] = name;
    return HV_STATUS_OF(hv_call(HvCallGetVpRegisters | HV_REPS(1), gpa_of(in), gpa_of(page_alloc())));
}

TEST(partition_id_status, "status.invalid-partition-id")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(AccessVpRegisters);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST); /* before, only a parent reads and writes registers */
    REQUIRE(hv_enable());
    EXPECT_EQ(get_register(0, VP_SELF, HvX64RegisterLstar), 0x000d);
}

TEST(vp_index_status, "status.invalid-vp-index")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(AccessVpRegisters);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST); /* before, only a parent reads and writes registers */
    REQUIRE(hv_enable());
    EXPECT_EQ(get_register(SELF, UNKNOWN_VP, HvX64RegisterLstar), 0x000e);
}

TEST(connection_status, "status.invalid-connection-id")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(PostMessages);
    REQUIRE(hv_enable());
    struct hv_post_message_input *in = page_alloc();
    *in = (struct hv_post_message_input){.connection_id = UNKNOWN_CONNECTION, .message_type = 1, .payload_bytes = 8};
    EXPECT_EQ(HV_STATUS_OF(hv_call(HvCallPostMessage, gpa_of(in), 0)), 0x0012);
}

/* A connection whose messages come back to a SINT whose slot nobody empties. */
TEST(buffers_status, "status.insufficient-buffers")
{
    enum { CONNECTION = 0x10, SINT = 3, ATTEMPTS = 4096 };
    NEEDS(AccessHypercallMsrs);
    NEEDS(PostMessages);
    NEEDS(AccessSynicRegs);
    NEEDS_THAT(arg("connection") == CONNECTION, "the scenario has no connection");
    REQUIRE(hv_enable() && synic_enable());
    wrmsr(HV_X64_MSR_SINT0 + SINT, HV_SYNIC_SINT_MASKED);
    struct hv_post_message_input *in = page_alloc();
    *in = (struct hv_post_message_input){.connection_id = CONNECTION, .message_type = 1, .payload_bytes = 8};
    unsigned status = HV_STATUS_SUCCESS;
    for (unsigned i = 0; i < ATTEMPTS && status == HV_STATUS_SUCCESS; i++) {
        status = HV_STATUS_OF(hv_call(HvCallPostMessage, gpa_of(in), 0));
    }
    EXPECT_EQ(status, 0x0013);
}

/* This processor runs, so it cannot be started. */
TEST(vp_state_status, "status.invalid-vp-state")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(StartVirtualProcessor);
    NEEDS(AccessVpIndex);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    REQUIRE(hv_enable());
    uint64_t *in = page_alloc();
    in[0] = SELF;
    in[1] = rdmsr(HV_X64_MSR_VP_INDEX);
    EXPECT_EQ(HV_STATUS_OF(hv_call(HvCallStartVirtualProcessor, gpa_of(in), 0)), 0x0015);
}

TEST(no_data_status, "status.no-data")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(Debugging);
    REQUIRE(hv_enable());
    uint32_t *in = page_alloc();
    in[0] = 1; /* bytes wanted */
    EXPECT_EQ(HV_STATUS_OF(hv_call(HvCallRetrieveDebugData, gpa_of(in), gpa_of(page_alloc()))), 0x001b);
}

/* Reserved bits of CR4. */
TEST(register_value_status, "status.invalid-register-value")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(AccessVpRegisters);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST); /* before, only a parent reads and writes registers */
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    REQUIRE(hv_enable());
    uint64_t *in = page_alloc();
    in[0] = SELF;
    in[1] = VP_SELF;
    in[2] = HvX64RegisterCr4;
    in[4] = 1ULL << 63;
    EXPECT_EQ(HV_STATUS_OF(hv_call(HvCallSetVpRegisters | HV_REPS(1), gpa_of(in), 0)), 0x0050);
}

/* Statuses of every code in every form, but for calls that would do something: reset, idle and start have no code here. */
static bool harmless(unsigned code)
{
    return code != HvCallSwitchVirtualAddressSpace && code != HvCallSetVpRegisters && code != HvCallStartVirtualProcessor;
}

TEST(status_one_never, "status.reserved-one")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    void *in = page_alloc(), *out = page_alloc();
    for (unsigned code = 0; code < 0x100; code++) {
        if (harmless(code)) {
            EXPECT(HV_STATUS_OF(hv_call(code, gpa_of(in), gpa_of(out))) != 1, "code 0x%x", code);
            EXPECT(HV_STATUS_OF(hv_call(code | HV_REPS(1), gpa_of(in), gpa_of(out))) != 1, "code 0x%x as a list", code);
        }
    }
}

TEST(status_is_16_bits, "status.width")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    uint64_t unknown = hv_call(0x0fff, 0, 0), done = hv_call(HvCallNotifyLongSpinWait | HV_FAST, 1, 0);
    EXPECT_EQ(unknown & 0xffffffff, HV_STATUS_INVALID_HYPERCALL_CODE);
    EXPECT_EQ(done & 0xffffffff, HV_STATUS_SUCCESS);
}

TEST(only_known_statuses, "status.known-only")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    void *in = page_alloc(), *out = page_alloc();
    for (unsigned code = 0; code < 0x100; code++) {
        if (harmless(code)) {
            unsigned status = HV_STATUS_OF(hv_call(code, gpa_of(in), gpa_of(out)));
            EXPECT(status != 1 && status != 0xf && status != 0x10 && status <= 0x72 &&
                       (status != 0x15 || edition() >= EDITION_5_0),
                   "code 0x%x: status 0x%x", code, status);
        }
    }
}
