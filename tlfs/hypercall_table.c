/* The table of hypercalls: TLFS 6.0b appendix A, TLFS 2.0a appendix B. A code that is not here is unknown.
 *
 * Columns as the appendix has them: code, name, caller, privilege; sections are those of 6.0b, or of 2.0a where it says so.
 * What only a parent or the root may call has no handler and is denied, whatever its arguments: a child is neither (§3.12.2).
 * Names that begin with Use... stand in the appendix's privilege column though they are recommendations: where none of them is
 * given, the call is denied.
 *
 * Cycles come on top of the exit's own cost (cpu/cost.c): 200 for a call that looks and answers, 400 for one that makes other
 * VPs forget translations, 300 for one that interrupts them; 100 for an element, so that 500 are done in 50 us at 1 GHz. Round
 * numbers of the size that hypercalls of a microsecond and less have, to be compared with each other.
 */
#include "tlfs/calls.h"

enum { SIMPLE = HYPERCALL_SIMPLE, REP = HYPERCALL_REP };
enum { ANY = CALLER_ANY, PARENT = CALLER_PARENT, ROOT = CALLER_ROOT };
enum { E2_0 = EDITION_2_0, E3_0 = EDITION_3_0, E4_0 = EDITION_4_0, E5_0 = EDITION_5_0, E6_0 = EDITION_6_0, LAST = 0 };
enum { DENIED = HV_STATUS_ACCESS_DENIED, UNKNOWN = HV_STATUS_INVALID_HYPERCALL_CODE };
#define NONE HV_FEATURES
#define FIXED false
#define VARIABLE true
/* leaf 0x40000004 EAX */
enum { USE_SWITCH = 1 << 0, USE_LOCAL_FLUSH = 1 << 1, USE_REMOTE_FLUSH = 1 << 2, USE_IPI = 1 << 10, USE_EX = 1 << 11 };
enum { USE_FLUSH = USE_LOCAL_FLUSH | USE_REMOTE_FLUSH };

/* clang-format off: a table */
const struct hypercall_row hv_hypercall_rows[] = {
    /* code, name, section, editions, caller, privilege; then: hints, refusal, header, kind, bytes of input, output, of an
     * element's input, output, cycles of the call, of an element, check, run */
    {0x0001, "HvCallSwitchVirtualAddressSpace", "§9.4.1", E2_0, LAST, ANY, NONE, USE_SWITCH, DENIED, FIXED, SIMPLE, 8, 0, 0, 0,
     200, 0, NULL, call_switch_virtual_address_space},
    {0x0002, "HvCallFlushVirtualAddressSpace", "§9.4.2", E2_0, LAST, ANY, NONE, USE_FLUSH, DENIED, FIXED, SIMPLE, 24, 0, 0, 0,
     400, 0, NULL, call_flush_virtual_address_space},
    {0x0003, "HvCallFlushVirtualAddressList", "§9.4.4", E2_0, LAST, ANY, NONE, USE_FLUSH, DENIED, FIXED, REP, 24, 0, 8, 0, 400,
     100, check_flush, call_flush_virtual_address_list},
    {0x0004, "HvCallGetLogicalProcessorRunTime", "App. A", E2_0, LAST, ANY, HV_CpuManagement},
    {0x0008, "HvCallNotifyLongSpinWait", "§14.5.1", E2_0, LAST, ANY, NONE, 0, 0, FIXED, SIMPLE, 8, 0, 0, 0, 100, 0, NULL,
     call_notify_long_spin_wait},
    {0x0009, "HvCallParkedVirtualProcessors", "App. A", E2_0, LAST, ANY, HV_CpuManagement},
    {0x000b, "HvCallSendSyntheticClusterIpi", "§10.5.2", E5_0, LAST, ANY, NONE, USE_IPI, 0, FIXED, SIMPLE, 16, 0, 0, 0, 300, 0,
     NULL, call_send_synthetic_cluster_ipi},
    {0x000c, "HvCallModifyVtlProtectionMask", "§15.15.2", E5_0, LAST, ANY, HV_AccessVSM},
    {0x000d, "HvCallEnablePartitionVtl", "§15.15.3", E5_0, LAST, ANY, HV_AccessVSM},
    {0x000e, "HvCallDisablePartitionVtl", "App. A", E5_0, LAST, ANY, HV_AccessVSM},
    {0x000f, "HvCallEnableVpVtl", "§15.15.4", E5_0, LAST, ANY, HV_AccessVSM},
    {0x0010, "HvCallDisableVpVtl", "App. A", E5_0, LAST, ANY, HV_AccessVSM},
    {0x0011, "HvCallVtlCall", "§15.15.5", E5_0, LAST, ANY, HV_AccessVSM},
    {0x0012, "HvCallVtlReturn", "§15.15.6", E5_0, LAST, ANY, HV_AccessVSM},
    {0x0013, "HvCallFlushVirtualAddressSpaceEx", "§9.4.3", E5_0, LAST, ANY, NONE, USE_EX, UNKNOWN, VARIABLE, SIMPLE, 32, 0, 0,
     0, 400, 0, NULL, call_flush_virtual_address_space},
    {0x0014, "HvCallFlushVirtualAddressListEx", "§9.4.5", E5_0, LAST, ANY, NONE, USE_EX, UNKNOWN, VARIABLE, REP, 32, 0, 8, 0,
     400, 100, check_flush, call_flush_virtual_address_list},
    {0x0015, "HvCallSendSyntheticClusterIpiEx", "§10.5.3", E5_0, LAST, ANY, NONE, USE_EX, UNKNOWN, VARIABLE, SIMPLE, 24, 0, 0,
     0, 300, 0, NULL, call_send_synthetic_cluster_ipi_ex},
    {0x0040, "HvCallCreatePartition", "App. A", E2_0, LAST, ANY, HV_CreatePartitions},
    {0x0041, "HvCallInitializePartition", "App. A", E2_0, LAST, PARENT, NONE},
    {0x0042, "HvCallFinalizePartition", "App. A", E2_0, LAST, PARENT, NONE},
    {0x0043, "HvCallDeletePartition", "App. A", E2_0, LAST, PARENT, NONE},
    {0x0044, "HvCallGetPartitionProperty", "App. A", E2_0, LAST, PARENT, NONE},
    {0x0045, "HvCallSetPartitionProperty", "App. A", E2_0, LAST, PARENT, NONE},
    {0x0046, "HvCallGetPartitionId", "App. A", E2_0, LAST, ANY, HV_AccessPartitionId, 0, 0, FIXED, SIMPLE, 0, 8, 0, 0, 200, 0,
     NULL, call_get_partition_id},
    {0x0047, "HvCallGetNextChildPartition", "App. A", E2_0, LAST, PARENT, NONE},
    {0x0048, "HvCallDepositMemory", "App. A", E2_0, LAST, PARENT, HV_AccessMemoryPool},
    {0x0049, "HvCallWithdrawMemory", "App. A", E2_0, LAST, PARENT, HV_AccessMemoryPool},
    {0x004a, "HvCallGetMemoryBalance", "App. A", E2_0, LAST, PARENT, HV_AccessMemoryPool},
    {0x004b, "HvCallMapGpaPages", "App. A", E2_0, LAST, PARENT, NONE},
    {0x004c, "HvCallUnmapGpaPages", "App. A", E2_0, LAST, PARENT, NONE},
    {0x004d, "HvCallInstallIntercept", "App. A", E2_0, LAST, PARENT, NONE},
    {0x004e, "HvCallCreateVp", "App. A", E2_0, LAST, PARENT, NONE},
    {0x004f, "HvCallDeleteVp", "App. A", E2_0, LAST, PARENT, NONE},
    /* A parent's, until 5.0 brought a privilege to do it to oneself. The restriction of 0x0050 lets any partition read itself;
     * the privilege's description, and 6.0b, do not. */
    {0x0050, "HvCallGetVpRegisters", "2.0a App. B", E2_0, E4_0, PARENT, NONE},
    {0x0050, "HvCallGetVpRegisters", "§7.10.2", E5_0, LAST, ANY, HV_AccessVpRegisters, 0, 0, FIXED, REP, 16, 0, 4, 16, 200, 100,
     check_get_vp_registers, call_get_vp_registers},
    {0x0051, "HvCallSetVpRegisters", "2.0a App. B", E2_0, E4_0, PARENT, NONE},
    {0x0051, "HvCallSetVpRegisters", "§7.10.1", E5_0, LAST, ANY, HV_AccessVpRegisters, 0, 0, FIXED, REP, 16, 0, 32, 0, 200, 100,
     check_set_vp_registers, call_set_vp_registers},
    {0x0052, "HvCallTranslateVirtualAddress", "2.0a App. B", E2_0, E4_0, PARENT, NONE},
    {0x0052, "HvCallTranslateVirtualAddress", "§9.4.6", E5_0, LAST, ANY, HV_AccessVpRegisters, 0, 0, FIXED, SIMPLE, 32, 16, 0,
     0, 200, 0, NULL, call_translate_virtual_address},
    {0x0053, "HvCallReadGpa", "App. A", E2_0, LAST, PARENT, NONE},
    {0x0054, "HvCallWriteGpa", "App. A", E2_0, LAST, PARENT, NONE},
    {0x0055, "HvCallAssertVirtualInterrupt", "2.0a App. B", E2_0, E4_0, PARENT, NONE},
    {0x0056, "HvCallClearVirtualInterrupt", "App. A", E2_0, LAST, PARENT, NONE},
    {0x0057, "HvCallCreatePort", "2.0a App. B", E2_0, E4_0, PARENT, HV_CreatePort},
    {0x0058, "HvCallDeletePort", "App. A", E2_0, LAST, PARENT, NONE},
    {0x0059, "HvCallConnectPort", "App. A", E2_0, LAST, PARENT, HV_ConnectPort},
    {0x005a, "HvCallGetPortProperty", "App. A", E2_0, LAST, PARENT, NONE},
    {0x005b, "HvCallDisconnectPort", "App. A", E2_0, LAST, PARENT, NONE},
    {0x005c, "HvCallPostMessage", "§11.11.1", E2_0, LAST, ANY, HV_PostMessages, 0, 0, FIXED, SIMPLE, 256, 0, 0, 0, 300, 0, NULL,
     call_post_message},
    {0x005d, "HvCallSignalEvent", "§11.11.2", E2_0, LAST, ANY, HV_SignalEvents, 0, 0, FIXED, SIMPLE, 8, 0, 0, 0, 300, 0, NULL,
     call_signal_event},
    {0x005e, "HvCallSavePartitionState", "App. A", E2_0, LAST, PARENT, NONE},
    {0x005f, "HvCallRestorePartitionState", "App. A", E2_0, LAST, PARENT, HV_CreatePartitions},
    {0x0060, "HvCallInitializeEventLogBufferGroup", "App. A", E2_0, LAST, ROOT, NONE},
    {0x0061, "HvCallFinalizeEventLogBufferGroup", "App. A", E2_0, LAST, ROOT, NONE},
    {0x0062, "HvCallCreateEventLogBuffer", "App. A", E2_0, LAST, ROOT, NONE},
    {0x0063, "HvCallDeleteEventLogBuffer", "App. A", E2_0, LAST, ROOT, NONE},
    {0x0064, "HvCallMapEventLogBuffer", "App. A", E2_0, LAST, ROOT, NONE},
    {0x0065, "HvCallUnmapEventLogBuffer", "App. A", E2_0, LAST, ROOT, NONE},
    {0x0066, "HvCallSetEventLogGroupSources", "App. A", E2_0, LAST, ROOT, NONE},
    {0x0067, "HvCallReleaseEventLogBuffer", "App. A", E2_0, LAST, ROOT, NONE},
    {0x0068, "HvCallFlushEventLogBuffer", "App. A", E2_0, LAST, ROOT, NONE},
    {0x0069, "HvCallPostDebugData", "2.0a §20.3.1", E2_0, LAST, ANY, HV_Debugging, 0, 0, FIXED, SIMPLE, 8, 8, 0, 0, 200, 0,
     NULL, call_post_debug_data},
    {0x006a, "HvCallRetrieveDebugData", "2.0a §20.3.2", E2_0, LAST, ANY, HV_Debugging, 0, 0, FIXED, SIMPLE, 16, 8, 0, 0, 200, 0,
     NULL, call_retrieve_debug_data},
    {0x006b, "HvCallResetDebugSession", "2.0a §20.3.3", E2_0, LAST, ANY, HV_Debugging, 0, 0, FIXED, SIMPLE, 8, 0, 0, 0, 200, 0,
     NULL, call_reset_debug_session},
    {0x006c, "HvCallMapStatsPage", "App. A", E2_0, LAST, PARENT, HV_AccessStats},
    {0x006d, "HvCallUnmapStatsPage", "App. A", E2_0, LAST, PARENT, HV_AccessStats},
    {0x006e, "HvCallMapSparseGpaPages", "App. A", E2_0, LAST, PARENT, NONE},
    {0x006f, "HvCallSetSystemProperty", "App. A", E2_0, LAST, ROOT, HV_ConfigureProfiler},
    {0x0070, "HvCallSetPortProperty", "App. A", E2_0, LAST, PARENT, HV_CreatePort},
    {0x0071, "HvCallGetSystemProperty", "2.0a App. B", E2_0, E4_0, ROOT, NONE},
    /* The group of the root's processor management came between 3.0 and 5.0; 0x8F with 4.0. */
    {0x0076, "HvCallAddLogicalProcessor", "App. A", E3_0, LAST, ROOT, HV_CpuManagement},
    {0x0077, "HvCallRemoveLogicalProcessor", "App. A", E3_0, LAST, ROOT, HV_CpuManagement},
    {0x0078, "HvCallQueryNumaDistance", "App. A", E3_0, LAST, ROOT, HV_CpuManagement},
    {0x0079, "HvCallSetLogicalProcessorProperty", "App. A", E3_0, LAST, ROOT, HV_CpuManagement},
    {0x007a, "HvCallGetLogicalProcessorProperty", "App. A", E3_0, LAST, ROOT, HV_CpuManagement},
    {0x007b, "HvCallGetSystemProperty", "App. A", E3_0, LAST, ANY, HV_CpuManagement},
    {0x007c, "HvCallMapDeviceInterrupt", "App. A", E3_0, LAST, ROOT, HV_CpuManagement},
    {0x007d, "HvCallUnmapDeviceInterrupt", "App. A", E3_0, LAST, ROOT, HV_CpuManagement},
    /* The appendix asks for CpuManagement, the section for nothing; guests with assigned devices have no such privilege. */
    {0x007e, "HvCallRetargetDeviceInterrupt", "§10.5.4", E5_0, LAST, ANY, NONE, 0, 0, VARIABLE, SIMPLE, 56, 0, 0, 0, 300, 0,
     NULL, call_retarget_device_interrupt},
    {0x007f, "Reserved", "App. A", E5_0, LAST, ROOT, HV_CpuManagement},
    {0x0080, "HvCallMapDevicePages", "App. A", E3_0, LAST, ROOT, HV_CpuManagement},
    {0x0081, "HvCallUnmapDevicePages", "App. A", E3_0, LAST, ROOT, HV_CpuManagement},
    {0x0082, "HvCallAttachDevice", "App. A", E3_0, LAST, ROOT, HV_CpuManagement},
    {0x0083, "HvCallDetachDevice", "App. A", E3_0, LAST, ROOT, HV_CpuManagement},
    {0x0084, "HvCallNotifyStandbyTransition", "App. A", E3_0, LAST, ROOT, HV_CpuManagement},
    {0x0085, "HvCallPrepareForSleep", "App. A", E3_0, LAST, ROOT, HV_CpuManagement},
    {0x0086, "HvCallPrepareForHibernate", "App. A", E3_0, LAST, ROOT, HV_CpuManagement},
    {0x0087, "HvCallNotifyPartitionEvent", "App. A", E3_0, LAST, ROOT, HV_CpuManagement},
    {0x0088, "HvCallGetLogicalProcessorRegisters", "App. A", E3_0, LAST, ROOT, HV_CpuManagement},
    {0x0089, "HvCallSetLogicalProcessorRegisters", "App. A", E3_0, LAST, ROOT, HV_CpuManagement},
    {0x008a, "HvCallQueryAssociatedLpsforMca", "App. A", E3_0, LAST, ROOT, HV_CpuManagement},
    {0x008b, "HvCallNotifyRingEmpty", "App. A", E3_0, LAST, ROOT, HV_CpuManagement},
    {0x008c, "HvCallInjectSyntheticMachineCheck", "App. A", E3_0, LAST, ROOT, HV_CpuManagement},
    {0x008d, "HvCallScrubPartition", "App. A", E5_0, LAST, ROOT, NONE},
    {0x008e, "HvCallCollectLivedump", "App. A", E5_0, LAST, ROOT, HV_Debugging},
    {0x008f, "HvCallDisableHypervisor", "App. A", E4_0, LAST, ROOT, NONE},
    {0x0090, "HvCallModifySparseGpaPages", "App. A", E5_0, LAST, ROOT, NONE},
    {0x0091, "HvCallRegisterInterceptResult", "App. A", E5_0, LAST, ROOT, NONE},
    {0x0092, "HvCallUnregisterInterceptResult", "App. A", E5_0, LAST, ROOT, NONE},
    {0x0094, "HvCallAssertVirtualInterrupt", "§10.5.1", E5_0, LAST, ANY, NONE, 0, 0, FIXED, SIMPLE, 32, 0, 0, 0, 200, 0, NULL,
     call_assert_virtual_interrupt},
    {0x0095, "HvCallCreatePort", "App. A", E5_0, LAST, ROOT, NONE},
    {0x0096, "HvCallConnectPort", "App. A", E5_0, LAST, ROOT, NONE},
    {0x0097, "HvCallGetSpaPageList", "App. A", E5_0, LAST, ROOT, NONE},
    {0x0099, "HvCallStartVirtualProcessor", "§7.10.3", E5_0, LAST, ANY, HV_StartVirtualProcessor, 0, 0, FIXED, SIMPLE, 240, 0,
     0, 0, 300, 0, NULL, call_start_virtual_processor},
    {0x009a, "HvCallGetVpIndexFromApicId", "§7.10.4", E5_0, LAST, ANY, HV_AccessVpIndex, 0, 0, FIXED, REP, 16, 0, 8, 8, 200,
     100, check_get_vp_index_from_apic_id, call_get_vp_index_from_apic_id},
    /* For a hypervisor whose own guests are nested; leaf 0x4000000A says whether there are any. */
    {0x00af, "HvCallFlushGuestPhysicalAddressSpace", "§16.13.1", E5_0, LAST, ANY, NONE, 0, UNKNOWN},
    {0x00b0, "HvCallFlushGuestPhysicalAddressList", "§16.13.2", E5_0, LAST, ANY, NONE, 0, UNKNOWN},
    {0x8001, "HvExtCallQueryCapabilities", "§3.14.1", E5_0, LAST, ANY, HV_EnableExtendedHypercalls, 0, 0, FIXED, SIMPLE, 0, 8,
     0, 0, 200, 0, NULL, call_ext_query_capabilities},
    {0x8002, "HvExtCallGetBootZeroedMemory", "§9.4.7", E5_0, LAST, ANY, HV_EnableExtendedHypercalls, 0, 0, FIXED, SIMPLE, 0,
     0xff8, 0, 0, 200, 0, NULL, call_ext_get_boot_zeroed_memory},
    {0x8003, "HvExtCallMemoryHeatHint", "§3.14", E6_0, LAST, ANY, HV_EnableExtendedHypercalls, 0, 0, FIXED, REP, 8, 0, 8, 0,
     200, 100, check_ext_memory_heat_hint, call_ext_memory_heat_hint},
    /* Listed; their bits are clear in what HvExtCallQueryCapabilities says. */
    {0x8004, "HvExtCallEpfSetup", "§3.14", E6_0, LAST, ANY, HV_EnableExtendedHypercalls, 0, UNKNOWN},
    {0x8005, "HvExtCallSchedulerAssistSetup", "§3.14", E6_0, LAST, ANY, HV_EnableExtendedHypercalls, 0, UNKNOWN},
    {0x8006, "HvExtCallMemoryHeatHintAsync", "§3.14", E6_0, LAST, ANY, HV_EnableExtendedHypercalls, 0, UNKNOWN},
};
/* clang-format on */
const size_t hv_hypercall_row_count = ARRAY_COUNT(hv_hypercall_rows);
