/* That what a partition was not given is not there: virtual secure mode and nested virtualisation. TLFS 6.0b §15, §16. */
#include "kit.h"

enum { CPUID_VMX = 1 << 5, HV_CPUID_NESTED = 0x4000000a };
enum { HvCallFlushGuestPhysicalAddressSpace = 0xaf, HvCallFlushGuestPhysicalAddressList = 0xb0 };

static unsigned call_status(uint64_t control, uint64_t input)
{
    return HV_STATUS_OF(hv_call(control, input, 0));
}

static bool refused(unsigned status)
{
    return status == HV_STATUS_ACCESS_DENIED || status == HV_STATUS_INVALID_HYPERCALL_CODE;
}

/* A page of zeroes: partition 0, VP 0, VTL 0, page 0. */
#define NEEDS_CALLS()                                                                                                          \
    NEEDS_THAT(hv_present() && has(AccessHypercallMsrs), "no hypercalls");                                                     \
    REQUIRE(hv_enable())

TEST(vsm_calls, "vsm.absent.partition-call", "vsm.absent.protection-call")
{
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    NEEDS_THAT(!has(AccessVSM), "AccessVSM is announced");
    NEEDS_CALLS();
    uint64_t *input = page_alloc();
    input[0] = ~0ULL; /* the caller's own partition */
    input[1] = 1;     /* VTL1 */
    unsigned status = call_status(HvCallEnablePartitionVtl, gpa_of(input));
    EXPECT_FOR("vsm.absent.partition-call", refused(status), "HvEnablePartitionVtl: 0x%x", status);
    input[1] = 1ULL << 32;
    status = call_status(HvCallEnableVpVtl, gpa_of(input));
    EXPECT_FOR("vsm.absent.partition-call", refused(status), "HvEnableVpVtl: 0x%x", status);
    for (unsigned code = HvCallDisablePartitionVtl; code <= HvCallDisableVpVtl; code += 2) {
        status = call_status(code, gpa_of(input));
        EXPECT_FOR("vsm.absent.partition-call", refused(status), "code 0x%x: 0x%x", code, status);
    }
    status = call_status(HvCallModifyVtlProtectionMask | HV_REPS(1), gpa_of(input));
    EXPECT_FOR("vsm.absent.protection-call", refused(status), "HvModifyVtlProtectionMask: 0x%x", status);
}

TEST(vsm_switch_calls, "vsm.absent.switch-calls")
{
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    NEEDS_THAT(!has(AccessVSM), "AccessVSM is announced");
    NEEDS_CALLS();
    uint64_t result = 0;
    unsigned vector = hv_call_try(HvCallVtlCall, 0, 0, &result);
    EXPECT(vector == VEC_UD || (vector == NO_FAULT && HV_STATUS_OF(result) != HV_STATUS_SUCCESS),
           "HvVtlCall: vector %u, status 0x%x", vector, HV_STATUS_OF(result));
    vector = hv_call_try(HvCallVtlReturn, 0, 0, &result);
    EXPECT(vector == VEC_UD || (vector == NO_FAULT && HV_STATUS_OF(result) != HV_STATUS_SUCCESS),
           "HvVtlReturn: vector %u, status 0x%x", vector, HV_STATUS_OF(result));
}

TEST(vsm_privileges, "vsm.absent.privileges")
{
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    NEEDS_THAT(hv_present(), "no hypervisor");
    if (has(AccessVSM)) {
        EXPECT(has(AccessVpRegisters) && has(AccessSynicRegs), "VSM without the registers that it needs");
    } else {
        EXPECT(!has(UseIntForMbecSystemCalls), "the MBEC hint without VSM");
    }
}

TEST(vsm_unknown_before_5, "vsm.absent.old-editions")
{
    NEEDS_EDITION(EDITION_2_0, EDITION_4_0);
    EXPECT(!has(AccessVSM), "bit 16 is set");
    NEEDS_CALLS();
    uint64_t input = gpa_of(page_alloc());
    for (unsigned code = HvCallModifyVtlProtectionMask; code <= HvCallVtlReturn; code++) {
        unsigned status = call_status(code, input);
        EXPECT(status == HV_STATUS_INVALID_HYPERCALL_CODE, "0x%x: status 0x%x", code, status);
    }
}

#define NEEDS_NO_NESTING()                                                                                                     \
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);                                                                                  \
    NEEDS_THAT(hv_present(), "no hypervisor");                                                                                 \
    NEEDS_THAT(!has(UseVmcsEnlightenments) && !(cpuid(1, 0).ecx & CPUID_VMX && arg_present("nesting")), "nesting is offered")

TEST(nested_not_announced, "nested.absent.hint")
{
    NEEDS_NO_NESTING();
    struct cpuid c = cpuid(HV_CPUID_NESTED, 0);
    EXPECT(c.eax == 0 && c.ebx == 0 && c.ecx == 0 && c.edx == 0, "leaf 0x4000000A: 0x%x 0x%x 0x%x 0x%x", c.eax, c.ebx, c.ecx,
           c.edx);
}

TEST(nested_no_vmx, "nested.absent.vmx")
{
    NEEDS_NO_NESTING();
    EXPECT(!(cpuid(1, 0).ecx & CPUID_VMX));
}

TEST(nested_flush_calls, "nested.absent.flush-calls")
{
    NEEDS_NO_NESTING();
    NEEDS_CALLS();
    uint64_t input = gpa_of(page_alloc());
    unsigned status = call_status(HvCallFlushGuestPhysicalAddressSpace, input);
    EXPECT(status != HV_STATUS_SUCCESS, "HvFlushGuestPhysicalAddressSpace succeeds");
    status = call_status(HvCallFlushGuestPhysicalAddressList | HV_REPS(1), input);
    EXPECT(status != HV_STATUS_SUCCESS, "HvFlushGuestPhysicalAddressList succeeds");
}

static void expect_no_msr(uint32_t msr)
{
    uint64_t value;
    EXPECT(rdmsr_try(msr, &value) == VEC_GP, "0x%x can be read", msr);
    EXPECT(wrmsr_try(msr, 0) == VEC_GP, "0x%x can be written", msr);
}

TEST(nested_msrs, "nested.absent.msrs")
{
    NEEDS_EDITION(EDITION_6_0, EDITION_LAST);
    NEEDS_THAT(hv_present() && !has(CpuManagement), "a root partition, or no hypervisor");
    expect_no_msr(0x40001002);
    for (uint32_t msr = 0x40001080; msr <= 0x40001084; msr++) {
        expect_no_msr(msr);
    }
    for (uint32_t msr = 0x40001090; msr <= 0x4000109f; msr++) {
        expect_no_msr(msr);
    }
}
