/* Constants of the hypervisor's interface as the TLFS prints them, for probes.
 *
 * Written from the specification (6.0b unless a line says otherwise), not from the model's headers: a wrong number in the model
 * must meet a right one here. Names keep the text's spelling. Leaves out: what only a parent or root partition may use.
 */
#ifndef KIT_HV_H
#define KIT_HV_H

#include <stdint.h>

enum edition {
    EDITION_REQUIREMENTS = 0, /* Requirements for Implementing the Microsoft Hypervisor Interface, 2012 */
    EDITION_2_0 = 20,
    EDITION_3_0 = 30,
    EDITION_4_0 = 40,
    EDITION_5_0 = 50,
    EDITION_6_0 = 60,
    EDITION_LAST = EDITION_6_0,
};

/* ---- CPUID, §2.2-2.4 ---- */

enum {
    HV_CPUID_VENDOR = 0x40000000,
    HV_CPUID_INTERFACE = 0x40000001,
    HV_CPUID_VERSION = 0x40000002,
    HV_CPUID_FEATURES = 0x40000003,
    HV_CPUID_RECOMMENDATIONS = 0x40000004,
    HV_CPUID_LIMITS = 0x40000005,
    HV_CPUID_HARDWARE = 0x40000006,
    HV_CPUID_RANGE_LAST = 0x400000ff,
    HV_INTERFACE_SIGNATURE = 0x31237648, /* "Hv#1" */
};

/* A bit of a leaf: what NEEDS() and has() take. */
#define HV_BIT(leaf, reg, bit) ((leaf) << 16 | (reg) << 8 | (bit))
enum { HV_EAX, HV_EBX, HV_ECX, HV_EDX };
enum hv_bit {
    /* 0x40000003 EAX, EBX: §4.2.2 */
    AccessVpRunTimeReg = HV_BIT(3, HV_EAX, 0),
    AccessPartitionReferenceCounter = HV_BIT(3, HV_EAX, 1),
    AccessSynicRegs = HV_BIT(3, HV_EAX, 2),
    AccessSyntheticTimerRegs = HV_BIT(3, HV_EAX, 3),
    AccessIntrCtrlRegs = HV_BIT(3, HV_EAX, 4),
    AccessHypercallMsrs = HV_BIT(3, HV_EAX, 5),
    AccessVpIndex = HV_BIT(3, HV_EAX, 6),
    AccessResetReg = HV_BIT(3, HV_EAX, 7),
    AccessStatsReg = HV_BIT(3, HV_EAX, 8),
    AccessPartitionReferenceTsc = HV_BIT(3, HV_EAX, 9),
    AccessGuestIdleReg = HV_BIT(3, HV_EAX, 10),
    AccessFrequencyRegs = HV_BIT(3, HV_EAX, 11),
    AccessDebugRegs = HV_BIT(3, HV_EAX, 12),
    AccessReenlightenmentControls = HV_BIT(3, HV_EAX, 13),
    AccessRootSchedulerReg = HV_BIT(3, HV_EAX, 14),
    AccessTscInvariantControls = HV_BIT(3, HV_EAX, 15),
    CreatePartitions = HV_BIT(3, HV_EBX, 0),
    AccessPartitionId = HV_BIT(3, HV_EBX, 1),
    AccessMemoryPool = HV_BIT(3, HV_EBX, 2),
    AdjustMessageBuffers = HV_BIT(3, HV_EBX, 3),
    PostMessages = HV_BIT(3, HV_EBX, 4),
    SignalEvents = HV_BIT(3, HV_EBX, 5),
    CreatePort = HV_BIT(3, HV_EBX, 6),
    ConnectPort = HV_BIT(3, HV_EBX, 7),
    AccessStats = HV_BIT(3, HV_EBX, 8),
    Debugging = HV_BIT(3, HV_EBX, 11),
    CpuManagement = HV_BIT(3, HV_EBX, 12),
    ConfigureProfiler = HV_BIT(3, HV_EBX, 13),
    EnableExpandedStackwalking = HV_BIT(3, HV_EBX, 14),
    ExtendedGvaRangesForFlushPrivilege = HV_BIT(3, HV_EBX, 15),
    AccessVSM = HV_BIT(3, HV_EBX, 16),
    AccessVpRegisters = HV_BIT(3, HV_EBX, 17),
    FastHypercallOutputPrivilege = HV_BIT(3, HV_EBX, 19),
    EnableExtendedHypercalls = HV_BIT(3, HV_EBX, 20),
    StartVirtualProcessor = HV_BIT(3, HV_EBX, 21),
    Isolation = HV_BIT(3, HV_EBX, 22),
    /* 0x40000003 EDX: §2.4.4 */
    MwaitAvailable = HV_BIT(3, HV_EDX, 0),
    GuestDebuggingAvailable = HV_BIT(3, HV_EDX, 1),
    PerformanceMonitorsAvailable = HV_BIT(3, HV_EDX, 2),
    CpuDynamicPartitioningAvailable = HV_BIT(3, HV_EDX, 3),
    XmmRegistersForFastHypercallAvailable = HV_BIT(3, HV_EDX, 4),
    GuestIdleAvailable = HV_BIT(3, HV_EDX, 5),
    HypervisorSleepStateSupportAvailable = HV_BIT(3, HV_EDX, 6),
    NumaDistanceQueryAvailable = HV_BIT(3, HV_EDX, 7),
    FrequencyRegsAvailable = HV_BIT(3, HV_EDX, 8),
    SyntheticMachineCheckAvailable = HV_BIT(3, HV_EDX, 9),
    GuestCrashRegsAvailable = HV_BIT(3, HV_EDX, 10),
    DebugRegsAvailable = HV_BIT(3, HV_EDX, 11),
    Npiep1Available = HV_BIT(3, HV_EDX, 12),
    DisableHypervisorAvailable = HV_BIT(3, HV_EDX, 13),
    ExtendedGvaRangesForFlushVirtualAddressListAvailable = HV_BIT(3, HV_EDX, 14),
    FastHypercallOutputAvailable = HV_BIT(3, HV_EDX, 15),
    SvmFeaturesAvailable = HV_BIT(3, HV_EDX, 16),
    SintPollingModeAvailable = HV_BIT(3, HV_EDX, 17),
    HypercallMsrLockAvailable = HV_BIT(3, HV_EDX, 18),
    DirectSyntheticTimers = HV_BIT(3, HV_EDX, 19),
    RegisterPatAvailable = HV_BIT(3, HV_EDX, 20),
    RegisterBndcfgsAvailable = HV_BIT(3, HV_EDX, 21),
    WatchdogTimerAvailable = HV_BIT(3, HV_EDX, 22),
    SyntheticTimeUnhaltedTimerAvailable = HV_BIT(3, HV_EDX, 23),
    DeviceDomainsAvailable = HV_BIT(3, HV_EDX, 24),
    LbrAvailable = HV_BIT(3, HV_EDX, 26),
    /* 0x40000004 EAX: §2.4.5 */
    UseHypercallForAddressSpaceSwitch = HV_BIT(4, HV_EAX, 0),
    UseHypercallForLocalFlush = HV_BIT(4, HV_EAX, 1),
    UseHypercallForRemoteFlush = HV_BIT(4, HV_EAX, 2),
    UseApicMsrs = HV_BIT(4, HV_EAX, 3),
    UseMsrForReset = HV_BIT(4, HV_EAX, 4),
    UseRelaxedTiming = HV_BIT(4, HV_EAX, 5),
    UseDmaRemapping = HV_BIT(4, HV_EAX, 6),
    UseInterruptRemapping = HV_BIT(4, HV_EAX, 7),
    UseX2ApicMsrs = HV_BIT(4, HV_EAX, 8),
    DeprecateAutoEoi = HV_BIT(4, HV_EAX, 9),
    UseSyntheticClusterIpi = HV_BIT(4, HV_EAX, 10),
    UseExProcessorMasks = HV_BIT(4, HV_EAX, 11),
    Nested = HV_BIT(4, HV_EAX, 12),
    UseIntForMbecSystemCalls = HV_BIT(4, HV_EAX, 13),
    UseVmcsEnlightenments = HV_BIT(4, HV_EAX, 14),
    UseSyncedTimeline = HV_BIT(4, HV_EAX, 15),
    UseDirectLocalFlushEntire = HV_BIT(4, HV_EAX, 17),
    NoNonArchitecturalCoreSharing = HV_BIT(4, HV_EAX, 18),
};

/* ---- MSRs, appendix C; 0x400000E0-E3: 2.0 appendix H; 0x400000F1-F5: the public symbols of Windows' debugger transport ----
 */

enum {
    HV_X64_MSR_GUEST_OS_ID = 0x40000000,
    HV_X64_MSR_HYPERCALL = 0x40000001,
    HV_X64_MSR_VP_INDEX = 0x40000002,
    HV_X64_MSR_RESET = 0x40000003,
    HV_X64_MSR_VP_RUNTIME = 0x40000010,
    HV_X64_MSR_TIME_REF_COUNT = 0x40000020,
    HV_X64_MSR_REFERENCE_TSC = 0x40000021,
    HV_X64_MSR_TSC_FREQUENCY = 0x40000022,
    HV_X64_MSR_APIC_FREQUENCY = 0x40000023,
    HV_X64_MSR_NPIEP_CONFIG = 0x40000040,
    HV_X64_MSR_EOI = 0x40000070,
    HV_X64_MSR_ICR = 0x40000071,
    HV_X64_MSR_TPR = 0x40000072,
    HV_X64_MSR_VP_ASSIST_PAGE = 0x40000073, /* 2.0: HV_X64_MSR_APIC_ASSIST_PAGE */
    HV_X64_MSR_SCONTROL = 0x40000080,
    HV_X64_MSR_SVERSION = 0x40000081,
    HV_X64_MSR_SIEFP = 0x40000082,
    HV_X64_MSR_SIMP = 0x40000083,
    HV_X64_MSR_EOM = 0x40000084,
    HV_X64_MSR_SINT0 = 0x40000090,
    HV_X64_MSR_SINT15 = 0x4000009f,
    HV_X64_MSR_STIMER0_CONFIG = 0x400000b0,
    HV_X64_MSR_STIMER0_COUNT = 0x400000b1,
    HV_X64_MSR_STIMER3_COUNT = 0x400000b7,
    HV_X64_MSR_STATS_PARTITION_RETAIL_PAGE = 0x400000e0,
    HV_X64_MSR_STATS_PARTITION_INTERNAL_PAGE = 0x400000e1,
    HV_X64_MSR_STATS_VP_RETAIL_PAGE = 0x400000e2,
    HV_X64_MSR_STATS_VP_INTERNAL_PAGE = 0x400000e3,
    HV_X64_MSR_GUEST_IDLE = 0x400000f0,
    HV_X64_MSR_SYNDBG_CONTROL = 0x400000f1,
    HV_X64_MSR_SYNDBG_PENDING_BUFFER = 0x400000f5,
    HV_X64_MSR_CRASH_P0 = 0x40000100,
    HV_X64_MSR_CRASH_P4 = 0x40000104,
    HV_X64_MSR_CRASH_CTL = 0x40000105,
    HV_X64_MSR_REENLIGHTENMENT_CONTROL = 0x40000106,
    HV_X64_MSR_TSC_EMULATION_CONTROL = 0x40000107,
    HV_X64_MSR_TSC_EMULATION_STATUS = 0x40000108,
    HV_X64_MSR_STIME_UNHALTED_TIMER_CONFIG = 0x40000114,
    HV_X64_MSR_STIME_UNHALTED_TIMER_COUNT = 0x40000115,
    HV_X64_MSR_TSC_INVARIANT_CONTROL = 0x40000118,
};

/* ---- hypercalls, appendix A ---- */

enum {
    HvCallSwitchVirtualAddressSpace = 0x0001,
    HvCallFlushVirtualAddressSpace = 0x0002,
    HvCallFlushVirtualAddressList = 0x0003,
    HvCallGetLogicalProcessorRunTime = 0x0004,
    HvCallNotifyLongSpinWait = 0x0008,
    HvCallParkedVirtualProcessors = 0x0009,
    HvCallSendSyntheticClusterIpi = 0x000b,
    HvCallModifyVtlProtectionMask = 0x000c,
    HvCallEnablePartitionVtl = 0x000d,
    HvCallDisablePartitionVtl = 0x000e,
    HvCallEnableVpVtl = 0x000f,
    HvCallDisableVpVtl = 0x0010,
    HvCallVtlCall = 0x0011,
    HvCallVtlReturn = 0x0012,
    HvCallFlushVirtualAddressSpaceEx = 0x0013,
    HvCallFlushVirtualAddressListEx = 0x0014,
    HvCallSendSyntheticClusterIpiEx = 0x0015,
    HvCallCreatePartition = 0x0040,
    HvCallGetPartitionId = 0x0046,
    HvCallGetVpRegisters = 0x0050,
    HvCallSetVpRegisters = 0x0051,
    HvCallTranslateVirtualAddress = 0x0052,
    HvCallPostMessage = 0x005c,
    HvCallSignalEvent = 0x005d,
    HvCallPostDebugData = 0x0069,
    HvCallRetrieveDebugData = 0x006a,
    HvCallResetDebugSession = 0x006b,
    HvCallRetargetDeviceInterrupt = 0x007e,
    HvCallAssertVirtualInterrupt = 0x0094,
    HvCallStartVirtualProcessor = 0x0099,
    HvCallGetVpIndexFromApicId = 0x009a,
    HvExtCallQueryCapabilities = 0x8001,
};

/* The control word (hypercall input value), §3.7. */
#define HV_FAST (1ULL << 16)
#define HV_VARHEAD(qwords) ((uint64_t)(qwords) << 17)
#define HV_NESTED (1ULL << 31)
#define HV_REPS(count) ((uint64_t)(count) << 32)
#define HV_START(index) ((uint64_t)(index) << 48)
/* The result value, §3.8. */
#define HV_STATUS_OF(result) ((unsigned)((result)&0xffff))
#define HV_REPS_DONE(result) ((unsigned)((result) >> 32 & 0xfff))

/* ---- status codes, appendix B ---- */

enum {
    HV_STATUS_SUCCESS = 0x0000,
    HV_STATUS_INVALID_HYPERCALL_CODE = 0x0002,
    HV_STATUS_INVALID_HYPERCALL_INPUT = 0x0003,
    HV_STATUS_INVALID_ALIGNMENT = 0x0004,
    HV_STATUS_INVALID_PARAMETER = 0x0005,
    HV_STATUS_ACCESS_DENIED = 0x0006,
    HV_STATUS_INVALID_PARTITION_STATE = 0x0007,
    HV_STATUS_OPERATION_DENIED = 0x0008,
    HV_STATUS_UNKNOWN_PROPERTY = 0x0009,
    HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE = 0x000a,
    HV_STATUS_INSUFFICIENT_MEMORY = 0x000b,
    HV_STATUS_PARTITION_TOO_DEEP = 0x000c,
    HV_STATUS_INVALID_PARTITION_ID = 0x000d,
    HV_STATUS_INVALID_VP_INDEX = 0x000e,
    HV_STATUS_INVALID_PORT_ID = 0x0011,
    HV_STATUS_INVALID_CONNECTION_ID = 0x0012,
    HV_STATUS_INSUFFICIENT_BUFFERS = 0x0013, /* 6.0b prints 0x0033 for it, its other editions and every host 0x0013 */
    HV_STATUS_NOT_ACKNOWLEDGED = 0x0014,
    HV_STATUS_INVALID_VP_STATE = 0x0015,
    HV_STATUS_ACKNOWLEDGED = 0x0016,
    HV_STATUS_INVALID_SAVE_RESTORE_STATE = 0x0017,
    HV_STATUS_INVALID_SYNIC_STATE = 0x0018,
    HV_STATUS_OBJECT_IN_USE = 0x0019,
    HV_STATUS_INVALID_PROXIMITY_DOMAIN_INFO = 0x001a,
    HV_STATUS_NO_DATA = 0x001b,
    HV_STATUS_INACTIVE = 0x001c,
    HV_STATUS_NO_RESOURCES = 0x001d,
    HV_STATUS_FEATURE_UNAVAILABLE = 0x001e,
    HV_STATUS_PARTIAL_PACKET = 0x001f,
    HV_STATUS_INVALID_REGISTER_VALUE = 0x0050,
};

/* ---- SynIC, §11.6-11.11 ---- */

enum {
    HV_SYNIC_SINT_MASKED = 1 << 16,
    HV_SYNIC_SINT_AUTO_EOI = 1 << 17,
    HV_SYNIC_SINT_POLLING = 1 << 18,
    HV_MESSAGE_PENDING = 1, /* bit 0 of the flags */
    HV_MESSAGE_PAYLOAD_BYTES = 240,
    HvMessageTypeNone = 0,
    HvMessageTimerExpired = (int)0x80000010,
};

struct hv_message {
    volatile uint32_t type;
    volatile uint8_t payload_bytes, flags;
    uint16_t reserved;
    volatile uint64_t sender;
    volatile uint64_t payload[HV_MESSAGE_PAYLOAD_BYTES / 8];
};

/* §14.4.1; the payload of a timer's message. */
struct hv_timer_message {
    uint32_t timer_index, reserved;
    uint64_t expiration_time_100ns, delivery_time_100ns;
};

/* §11.11.1 */
struct hv_post_message_input {
    uint32_t connection_id, reserved, message_type, payload_bytes;
    uint64_t payload[HV_MESSAGE_PAYLOAD_BYTES / 8];
};

/* ---- timers, §12.5.1: HV_X64_MSR_STIMERn_CONFIG ---- */

#define HV_STIMER_ENABLED (1ULL << 0)
#define HV_STIMER_PERIODIC (1ULL << 1)
#define HV_STIMER_LAZY (1ULL << 2)
#define HV_STIMER_AUTO_ENABLE (1ULL << 3)
#define HV_STIMER_APIC_VECTOR(vector) ((uint64_t)(vector) << 4)
#define HV_STIMER_DIRECT (1ULL << 12)
#define HV_STIMER_SINT(sint) ((uint64_t)(sint) << 16)

/* ---- reference TSC page, §12.7.2 ---- */

struct hv_reference_tsc_page {
    volatile uint32_t sequence;
    uint32_t reserved;
    volatile uint64_t scale;
    volatile int64_t offset;
};

#endif
