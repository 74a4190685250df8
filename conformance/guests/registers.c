/* HvGetVpRegisters and HvSetVpRegisters of one's own partition. Clauses: conformance/clauses/registers.yaml; TLFS 6.0b
 * §7.8-7.10.
 *
 * No test calls smp_start(): VP 1 waits for its start-up interrupt, and its registers can be changed without harm.
 */
#include "vps.h"

/* HV_REGISTER_NAME, §7.8.2 */
enum {
    HvRegisterHypervisorVersion = 0x100,
    HvRegisterPrivilegesAndFeaturesInfo = 0x200,
    HvRegisterPendingInterruption = 0x10002,
    HvRegisterInterruptState = 0x10003,
    HvRegisterPendingEvent0 = 0x10004,
    HvX64RegisterRsp = 0x20004,
    HvX64RegisterRip = 0x20010,
    HvX64RegisterRflags = 0x20011,
    HvX64RegisterCr3 = 0x40002,
    HvX64RegisterCr8 = 0x40004,
    HvX64RegisterDr7 = 0x50005,
    HvX64RegisterCs = 0x60001,
    HvX64RegisterFs = 0x60004,
    HvX64RegisterGs = 0x60005,
    HvX64RegisterLdtr = 0x60006,
    HvX64RegisterIdtr = 0x70000,
    HvX64RegisterGdtr = 0x70001,
    HvX64RegisterEfer = 0x80001,
    HvX64RegisterKernelGsBase = 0x80002,
    HvX64RegisterApicBase = 0x80003,
    HvX64RegisterSysenterCs = 0x80005,
    HvX64RegisterStar = 0x80008,
    HvX64RegisterLstar = 0x80009,
    HvX64RegisterCstar = 0x8000a,
    HvX64RegisterSfmask = 0x8000b,
    HvRegisterGuestOsId = 0x90002,
    HvRegisterVpIndex = 0x90003,
    HvRegisterTimeRefCount = 0x90004,
    HvRegisterVpAssistPage = 0x90013,
};
enum { UNKNOWN_NAME = 0x7fffffff, USE_VTL = 0x10, NAMES_MAX = 4 };

struct register_value {
    uint64_t low, high;
};
struct got {
    unsigned status, done;
    struct register_value value[NAMES_MAX];
};

static struct got get_for(uint64_t partition, uint64_t vp_word, const uint32_t *names, unsigned count)
{
    uint64_t *in = page_alloc();
    struct register_value *out = page_alloc();
    struct got g;
    in[0] = partition;
    in[1] = vp_word;
    memcpy(in + 2, names, count * sizeof *names);
    memset(out, 0x5a, sizeof g.value);
    uint64_t result = hv_call(HvCallGetVpRegisters | HV_REPS(count), gpa_of(in), gpa_of(out));
    g.status = HV_STATUS_OF(result);
    g.done = HV_REPS_DONE(result);
    memcpy(g.value, out, sizeof g.value);
    return g;
}

static struct got get(uint32_t name)
{
    return get_for(HV_PARTITION_ID_SELF, HV_VP_INDEX_SELF, &name, 1);
}

static uint64_t set_for(uint64_t partition, uint64_t vp_word, const uint32_t *names, const struct register_value *values,
                        unsigned count)
{
    uint64_t *in = page_alloc();
    in[0] = partition;
    in[1] = vp_word;
    for (unsigned i = 0; i < count; i++) {
        in[2 + 4 * i] = names[i];
        in[4 + 4 * i] = values[i].low;
        in[5 + 4 * i] = values[i].high;
    }
    return hv_call(HvCallSetVpRegisters | HV_REPS(count), gpa_of(in), 0);
}

static unsigned set(uint32_t name, uint64_t low, uint64_t high)
{
    struct register_value v = {low, high};
    return HV_STATUS_OF(set_for(HV_PARTITION_ID_SELF, HV_VP_INDEX_SELF, &name, &v, 1));
}

#define NEEDS_REGISTERS()                                                                                                      \
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);                                                                                  \
    NEEDS(AccessVpRegisters);                                                                                                  \
    NEEDS_CALLS()
/* Clauses of all editions are asked for where the privilege exists. */

static void expect_value(uint32_t name, uint64_t want)
{
    struct got g = get(name);
    EXPECT(g.status == HV_STATUS_SUCCESS, "name 0x%x: status 0x%x", name, g.status);
    EXPECT(g.value[0].low == want, "name 0x%x: 0x%lx, want 0x%lx", name, g.value[0].low, want);
}

/* ---- who may call ---- */

static void expect_rip(struct got g)
{
    EXPECT_EQ(g.status, HV_STATUS_SUCCESS);
    EXPECT_EQ(g.done, 1);
    EXPECT(g.value[0].low >= hv_page() && g.value[0].low < hv_page() + PAGE_BYTES, "RIP 0x%lx", g.value[0].low);
    EXPECT_EQ(g.value[0].high, 0);
}

TEST(get_rip, "registers.get.high-zero", "registers.get.self")
{
    NEEDS_REGISTERS();
    expect_rip(get(HvX64RegisterRip));
}

TEST(get_own_index, "registers.get.own-index")
{
    NEEDS_REGISTERS();
    NEEDS(AccessVpIndex);
    const uint32_t name = HvX64RegisterRip;
    expect_rip(get_for(HV_PARTITION_ID_SELF, rdmsr(HV_X64_MSR_VP_INDEX), &name, 1));
}

TEST(get_withheld, "registers.get.withheld")
{
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    NEEDS_WITHHELD(AccessVpRegisters);
    NEEDS_CALLS();
    struct got g = get(HvX64RegisterRip);
    EXPECT_EQ(g.status, HV_STATUS_ACCESS_DENIED);
    EXPECT_EQ(g.done, 0);
}

TEST(set_withheld, "registers.set.withheld")
{
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    NEEDS_WITHHELD(AccessVpRegisters);
    NEEDS_CALLS();
    const uint32_t name = HvX64RegisterCr8;
    const struct register_value v = {0, 0};
    uint64_t result = set_for(HV_PARTITION_ID_SELF, HV_VP_INDEX_SELF, &name, &v, 1);
    EXPECT_EQ(HV_STATUS_OF(result), HV_STATUS_ACCESS_DENIED);
    EXPECT_EQ(HV_REPS_DONE(result), 0);
}

TEST(get_child, "registers.get.child")
{
    NEEDS_EDITION(EDITION_2_0, EDITION_4_0);
    NEEDS_WITHHELD(AccessVpRegisters);
    NEEDS_CALLS();
    struct got g = get_for(HV_PARTITION_ID_SELF, 0, (const uint32_t[]){HvX64RegisterRip}, 1);
    EXPECT(g.status == HV_STATUS_ACCESS_DENIED || g.status == HV_STATUS_SUCCESS, "status 0x%x", g.status);
    EXPECT_EQ(g.done, g.status == HV_STATUS_SUCCESS);
}

TEST(set_child, "registers.set.child")
{
    NEEDS_EDITION(EDITION_2_0, EDITION_4_0);
    NEEDS_WITHHELD(AccessVpRegisters);
    NEEDS_CALLS();
    const uint32_t name = HvX64RegisterCr8;
    const struct register_value v = {0, 0};
    EXPECT_EQ(HV_STATUS_OF(set_for(HV_PARTITION_ID_SELF, 0, &name, &v, 1)), HV_STATUS_ACCESS_DENIED);
}

/* ---- reading ---- */

static uint64_t cr3(void)
{
    uint64_t value;
    __asm__ volatile("mov %%cr3, %0" : "=r"(value));
    return value;
}

static uint64_t cr8(void)
{
    uint64_t value;
    __asm__ volatile("mov %%cr8, %0" : "=r"(value));
    return value;
}

TEST(get_two, "registers.get.completed", "registers.get.rep")
{
    NEEDS_REGISTERS();
    const uint32_t names[] = {HvX64RegisterCr3, HvX64RegisterRip, HvX64RegisterCr3};
    struct got g = get_for(HV_PARTITION_ID_SELF, HV_VP_INDEX_SELF, names, 3);
    EXPECT_EQ(g.status, HV_STATUS_SUCCESS);
    EXPECT_EQ(g.done, 3);
    EXPECT_EQ_FOR("registers.get.rep", g.value[0].low, cr3());
    EXPECT_EQ_FOR("registers.get.rep", g.value[1].low & ~0xfffULL, hv_page());
    EXPECT_EQ_FOR("registers.get.rep", g.value[2].low, cr3());
}

TEST(get_unknown_name, "registers.get.unknown")
{
    NEEDS_REGISTERS();
    const uint32_t names[] = {HvX64RegisterCr3, UNKNOWN_NAME, HvX64RegisterCr3};
    struct got g = get_for(HV_PARTITION_ID_SELF, HV_VP_INDEX_SELF, names, 3);
    EXPECT_EQ(g.status, HV_STATUS_INVALID_PARAMETER);
    EXPECT_EQ(g.done, 1);
}

TEST(get_bad_vp, "registers.get.bad-vp")
{
    NEEDS_REGISTERS();
    const uint32_t name = HvX64RegisterRip;
    EXPECT_EQ(get_for(HV_PARTITION_ID_SELF, 0x1000, &name, 1).status, HV_STATUS_INVALID_VP_INDEX);
    EXPECT_EQ(get_for(HV_PARTITION_ID_SELF, vp_count(), &name, 1).status, HV_STATUS_INVALID_VP_INDEX);
}

static bool no_such_partition(unsigned status)
{
    return status == HV_STATUS_INVALID_PARTITION_ID || status == HV_STATUS_ACCESS_DENIED;
}

TEST(get_bad_partition, "registers.get.bad-partition")
{
    NEEDS_REGISTERS();
    const uint32_t name = HvX64RegisterRip;
    unsigned status = get_for(0x7777, HV_VP_INDEX_SELF, &name, 1).status;
    EXPECT(no_such_partition(status), "status 0x%x", status);
}

TEST(get_other_vp, "registers.get.other-vp")
{
    NEEDS_REGISTERS();
    NEEDS_THAT(vp_count() >= 2, "one VP");
    const uint32_t names[] = {HvX64RegisterRip, HvX64RegisterCr3};
    struct got g = get_for(HV_PARTITION_ID_SELF, 1, names, 2);
    EXPECT_EQ(g.status, HV_STATUS_SUCCESS);
    EXPECT_EQ(g.value[0].low, 0xfff0); /* as INIT leaves it */
    EXPECT_EQ(g.value[1].low, 0);
}

TEST(get_vtl_zero, "registers.get.vtl")
{
    NEEDS_REGISTERS();
    const uint32_t name = HvX64RegisterCr3;
    struct got g = get_for(HV_PARTITION_ID_SELF, (uint64_t)USE_VTL << 32 | HV_VP_INDEX_SELF, &name, 1);
    EXPECT_EQ(g.status, HV_STATUS_SUCCESS);
    EXPECT_EQ(g.value[0].low, cr3());
}

TEST(get_vtl_absent, "registers.get.vtl-absent")
{
    NEEDS_REGISTERS();
    NEEDS_THAT(!has(AccessVSM), "VTLs may be there");
    const uint32_t name = HvX64RegisterCr3;
    struct got g = get_for(HV_PARTITION_ID_SELF, (uint64_t)(USE_VTL | 1) << 32 | HV_VP_INDEX_SELF, &name, 1);
    EXPECT(g.status != HV_STATUS_SUCCESS, "VTL 1 was read");
    EXPECT_EQ(g.done, 0);
}

TEST(get_padding, "registers.get.padding")
{
    NEEDS_REGISTERS();
    NEEDS_EDITION(EDITION_5_0, EDITION_5_0);
    const uint32_t name = HvX64RegisterCr3;
    struct got g = get_for(HV_PARTITION_ID_SELF, 0xffffff0000000000ULL | HV_VP_INDEX_SELF, &name, 1);
    EXPECT(g.status == HV_STATUS_SUCCESS || g.status == HV_STATUS_INVALID_PARAMETER, "status 0x%x", g.status);
}

TEST(get_rsp_rflags, "registers.get.gprs")
{
    NEEDS_REGISTERS();
    uint64_t rsp;
    __asm__ volatile("mov %%rsp, %0" : "=r"(rsp));
    struct got g = get(HvX64RegisterRsp);
    EXPECT_EQ(g.status, HV_STATUS_SUCCESS);
    EXPECT(g.value[0].low < rsp && g.value[0].low > rsp - PAGE_BYTES, "RSP 0x%lx below 0x%lx", g.value[0].low, rsp);
    g = get(HvX64RegisterRflags);
    EXPECT_EQ(g.status, HV_STATUS_SUCCESS);
    EXPECT_EQ(g.value[0].low & 0x20a, 2); /* bit 1 is one; IF is off, bit 3 zero */
}

TEST(get_control, "registers.get.control")
{
    NEEDS_REGISTERS();
    uint64_t dr7;
    __asm__ volatile("mov %0, %%cr8" ::"r"(5ULL));
    __asm__ volatile("mov %%dr7, %0" : "=r"(dr7));
    expect_value(HvX64RegisterCr3, cr3());
    expect_value(HvX64RegisterCr8, 5);
    expect_value(HvX64RegisterDr7, dr7);
}

TEST(get_cs, "registers.get.segments")
{
    NEEDS_REGISTERS();
    uint16_t cs;
    __asm__ volatile("mov %%cs, %0" : "=r"(cs));
    struct got g = get(HvX64RegisterCs);
    EXPECT_EQ(g.status, HV_STATUS_SUCCESS);
    EXPECT_EQ(g.value[0].low, 0);                                                    /* base */
    EXPECT_EQ(g.value[0].high >> 32 & 0xffff, cs);                                   /* selector */
    EXPECT_EQ(g.value[0].high >> 48 & 0x209a, 0x2098 | (g.value[0].high >> 48 & 2)); /* long, present, code */
}

struct __attribute__((packed)) table_pointer {
    uint16_t limit;
    uint64_t base;
};

TEST(get_tables, "registers.get.tables")
{
    NEEDS_REGISTERS();
    struct table_pointer gdtr, idtr;
    __asm__ volatile("sgdt %0; sidt %1" : "=m"(gdtr), "=m"(idtr));
    struct got g = get(HvX64RegisterGdtr), i = get(HvX64RegisterIdtr);
    EXPECT_EQ(g.status, HV_STATUS_SUCCESS);
    EXPECT_EQ(g.value[0].low >> 48, gdtr.limit);
    EXPECT_EQ(g.value[0].high, gdtr.base);
    EXPECT_EQ(i.value[0].low >> 48, idtr.limit);
    EXPECT_EQ(i.value[0].high, idtr.base);
}

static const struct {
    uint32_t name, msr;
    uint64_t value; /* for writing; 0: only read */
} msrs[] = {
    {HvX64RegisterEfer, 0xc0000080, 0},
    {HvX64RegisterApicBase, 0x1b, 0},
    {HvX64RegisterStar, 0xc0000081, 0x0023001000000000},
    {HvX64RegisterLstar, 0xc0000082, 0x00007000deadb000},
    {HvX64RegisterCstar, 0xc0000083, 0x0000600012345000},
    {HvX64RegisterSfmask, 0xc0000084, 0x47700},
    {HvX64RegisterKernelGsBase, 0xc0000102, 0x00005000abcde000},
    {HvX64RegisterSysenterCs, 0x174, 0x10},
};

TEST(get_msrs, "registers.get.msrs")
{
    NEEDS_REGISTERS();
    for (unsigned i = 0; i < ARRAY_COUNT(msrs); i++) {
        uint64_t before = rdmsr(msrs[i].msr);
        if (msrs[i].value != 0) {
            wrmsr(msrs[i].msr, msrs[i].value);
        }
        expect_value(msrs[i].name, rdmsr(msrs[i].msr));
        wrmsr(msrs[i].msr, before);
    }
}

enum { IA32_FS_BASE = (int)0xc0000100, IA32_GS_BASE = (int)0xc0000101 };

TEST(get_fs_gs_base, "registers.get.fs-gs")
{
    NEEDS_REGISTERS();
    uint64_t fs = rdmsr((uint32_t)IA32_FS_BASE), gs = rdmsr((uint32_t)IA32_GS_BASE);
    wrmsr((uint32_t)IA32_FS_BASE, 0x11223344550);
    wrmsr((uint32_t)IA32_GS_BASE, 0x66778899aa0);
    expect_value(HvX64RegisterFs, 0x11223344550);
    expect_value(HvX64RegisterGs, 0x66778899aa0);
    wrmsr((uint32_t)IA32_FS_BASE, fs);
    wrmsr((uint32_t)IA32_GS_BASE, gs);
}

TEST(get_assist_page, "registers.get.assist")
{
    NEEDS_REGISTERS();
    NEEDS(AccessIntrCtrlRegs);
    wrmsr(HV_X64_MSR_VP_ASSIST_PAGE, gpa_of(page_alloc()) | 1);
    expect_value(HvRegisterVpAssistPage, rdmsr(HV_X64_MSR_VP_ASSIST_PAGE));
    wrmsr(HV_X64_MSR_VP_ASSIST_PAGE, 0);
}

TEST(get_pending_event, "registers.get.pending-event")
{
    NEEDS_REGISTERS();
    struct got g = get(HvRegisterPendingEvent0);
    EXPECT_EQ(g.status, HV_STATUS_SUCCESS);
    EXPECT_EQ(g.value[0].low & 1, 0); /* nothing is pending for a VP that runs */
}

/* A name that the call need not know: the value, or a refusal. */
static void expect_value_or_refusal(uint32_t name, uint64_t low, uint64_t high)
{
    struct got g = get(name);
    if (g.status != HV_STATUS_SUCCESS) {
        EXPECT(g.status == HV_STATUS_INVALID_PARAMETER, "name 0x%x: status 0x%x", name, g.status);
    } else {
        EXPECT(g.value[0].low == low && g.value[0].high == high, "name 0x%x: 0x%lx:0x%lx, want 0x%lx:0x%lx", name,
               g.value[0].high, g.value[0].low, high, low);
    }
}

TEST(get_synthetic, "registers.get.identity")
{
    NEEDS_REGISTERS();
    NEEDS(AccessVpIndex);
    expect_value_or_refusal(HvRegisterGuestOsId, rdmsr(HV_X64_MSR_GUEST_OS_ID), 0);
    expect_value_or_refusal(HvRegisterVpIndex, rdmsr(HV_X64_MSR_VP_INDEX), 0);
}

TEST(get_cpuid_words, "registers.get.cpuid")
{
    NEEDS_REGISTERS();
    for (unsigned i = 0; i < 5; i++) {
        uint32_t name = i == 0 ? HvRegisterHypervisorVersion : HvRegisterPrivilegesAndFeaturesInfo + i - 1;
        struct cpuid c = cpuid(HV_CPUID_VERSION + i, 0);
        expect_value_or_refusal(name, (uint64_t)c.ebx << 32 | c.eax, (uint64_t)c.edx << 32 | c.ecx);
    }
}

TEST(get_interrupt_state, "registers.format.interrupt-state")
{
    NEEDS_REGISTERS();
    expect_value_or_refusal(HvRegisterInterruptState, 0, 0);
}

TEST(get_pending_interruption, "registers.format.pending-interruption")
{
    NEEDS_REGISTERS();
    struct got g = get(HvRegisterPendingInterruption);
    EXPECT(g.status == HV_STATUS_INVALID_PARAMETER || (g.status == HV_STATUS_SUCCESS && !(g.value[0].low & 1)),
           "status 0x%x, value 0x%lx", g.status, g.value[0].low);
}

TEST(get_null_segment, "registers.format.null-segment")
{
    NEEDS_REGISTERS();
    __asm__ volatile("lldt %0" ::"r"((uint16_t)0));
    struct got g = get(HvX64RegisterLdtr);
    EXPECT_EQ(g.status, HV_STATUS_SUCCESS);
    EXPECT_EQ(g.value[0].high >> 32 & 0xffff, 0);
    EXPECT_EQ(g.value[0].high >> 48 & 0x80, 0);
}

/* ---- writing ---- */

TEST(set_cr8, "registers.set.effect", "registers.set.element")
{
    NEEDS_REGISTERS();
    EXPECT_EQ(set(HvX64RegisterCr8, 3, 0), HV_STATUS_SUCCESS);
    EXPECT_EQ(cr8(), 3);
    EXPECT_EQ(set(HvX64RegisterCr8, 0, 0), HV_STATUS_SUCCESS);
    EXPECT_EQ(cr8(), 0);
}

TEST(set_other_vp, "registers.set.rsp-rip")
{
    NEEDS_REGISTERS();
    NEEDS_THAT(vp_count() >= 2, "one VP");
    const uint32_t names[] = {HvX64RegisterRip, HvX64RegisterRsp, HvX64RegisterRflags};
    const struct register_value values[] = {{0x1234, 0}, {0x5670, 0}, {0x46, 0}};
    uint64_t result = set_for(HV_PARTITION_ID_SELF, 1, names, values, 3);
    EXPECT_EQ(HV_STATUS_OF(result), HV_STATUS_SUCCESS);
    EXPECT_EQ(HV_REPS_DONE(result), 3);
    struct got g = get_for(HV_PARTITION_ID_SELF, 1, names, 3);
    for (unsigned i = 0; i < 3; i++) {
        EXPECT_EQ(g.value[i].low, values[i].low);
    }
    const struct register_value after[] = {{0xfff0, 0}, {0, 0}, {2, 0}};
    set_for(HV_PARTITION_ID_SELF, 1, names, after, 3);
}

TEST(set_msrs, "registers.set.msrs")
{
    NEEDS_REGISTERS();
    for (unsigned i = 0; i < ARRAY_COUNT(msrs); i++) {
        if (msrs[i].value != 0) {
            uint64_t before = rdmsr(msrs[i].msr);
            EXPECT_EQ(set(msrs[i].name, msrs[i].value, 0), HV_STATUS_SUCCESS);
            EXPECT_EQ(rdmsr(msrs[i].msr), msrs[i].value);
            wrmsr(msrs[i].msr, before);
        }
    }
}

TEST(set_fs_base, "registers.set.fs-gs")
{
    NEEDS_REGISTERS();
    const struct {
        uint32_t name, msr;
    } bases[] = {{HvX64RegisterFs, (uint32_t)IA32_FS_BASE}, {HvX64RegisterGs, (uint32_t)IA32_GS_BASE}};
    for (unsigned i = 0; i < ARRAY_COUNT(bases); i++) {
        struct got g = get(bases[i].name);
        EXPECT_EQ(set(bases[i].name, 0x22334455660, g.value[0].high), HV_STATUS_SUCCESS);
        EXPECT_EQ(rdmsr(bases[i].msr), 0x22334455660);
        EXPECT_EQ(set(bases[i].name, g.value[0].low, g.value[0].high), HV_STATUS_SUCCESS);
    }
}

TEST(set_read_only, "registers.set.read-only")
{
    NEEDS_REGISTERS();
    EXPECT_EQ(set(HvRegisterVpIndex, 5, 0), HV_STATUS_INVALID_PARAMETER);
    EXPECT_EQ(set(HvRegisterTimeRefCount, 5, 0), HV_STATUS_INVALID_PARAMETER);
    EXPECT_EQ(set(HvRegisterHypervisorVersion, 5, 0), HV_STATUS_INVALID_PARAMETER);
}

TEST(set_unknown_name, "registers.set.unknown")
{
    NEEDS_REGISTERS();
    EXPECT_EQ(set(UNKNOWN_NAME, 0, 0), HV_STATUS_INVALID_PARAMETER);
}

static bool invalid_value(unsigned status)
{
    return status == HV_STATUS_INVALID_PARAMETER || status == HV_STATUS_INVALID_REGISTER_VALUE;
}

TEST(set_reserved_bits, "registers.set.reserved")
{
    NEEDS_REGISTERS();
    uint64_t efer = rdmsr(0xc0000080);
    unsigned status = set(HvX64RegisterEfer, efer | 1ULL << 40, 0);
    EXPECT(invalid_value(status), "EFER: status 0x%x", status);
    EXPECT_EQ(rdmsr(0xc0000080), efer);
    status = set(HvX64RegisterCr8, 0x10, 0);
    EXPECT(invalid_value(status), "CR8: status 0x%x", status);
    EXPECT_EQ(cr8(), 0);
}

TEST(set_too_wide, "registers.set.too-wide")
{
    NEEDS_REGISTERS();
    unsigned status = set(HvX64RegisterCr8, 2, 1);
    EXPECT(status == HV_STATUS_SUCCESS || invalid_value(status), "status 0x%x", status);
    EXPECT_EQ(cr8(), status == HV_STATUS_SUCCESS ? 2 : 0);
}

TEST(set_bad_vp, "registers.set.bad-vp")
{
    NEEDS_REGISTERS();
    const uint32_t name = HvX64RegisterCr8;
    const struct register_value v = {0, 0};
    EXPECT_EQ(HV_STATUS_OF(set_for(HV_PARTITION_ID_SELF, 0x1000, &name, &v, 1)), HV_STATUS_INVALID_VP_INDEX);
}

TEST(set_bad_partition, "registers.set.bad-partition")
{
    NEEDS_REGISTERS();
    const uint32_t name = HvX64RegisterCr8;
    const struct register_value v = {0, 0};
    unsigned status = HV_STATUS_OF(set_for(0x7777, HV_VP_INDEX_SELF, &name, &v, 1));
    EXPECT(no_such_partition(status), "status 0x%x", status);
}

TEST(set_partial, "registers.set.partial")
{
    NEEDS_REGISTERS();
    const uint32_t names[] = {HvX64RegisterCr8, UNKNOWN_NAME, HvX64RegisterCr8};
    const struct register_value values[] = {{2, 0}, {0, 0}, {4, 0}};
    uint64_t result = set_for(HV_PARTITION_ID_SELF, HV_VP_INDEX_SELF, names, values, 3);
    EXPECT_EQ(HV_STATUS_OF(result), HV_STATUS_INVALID_PARAMETER);
    EXPECT_EQ(HV_REPS_DONE(result), 1);
    EXPECT_EQ(cr8(), 2);
}

TEST(set_reserved_header, "registers.set.reserved-header")
{
    NEEDS_REGISTERS();
    const uint32_t name = HvX64RegisterCr8;
    const struct register_value v = {6, 0};
    uint64_t result = set_for(HV_PARTITION_ID_SELF, 1ULL << 63 | HV_VP_INDEX_SELF, &name, &v, 1);
    EXPECT_EQ(HV_STATUS_OF(result), HV_STATUS_INVALID_PARAMETER);
    EXPECT_EQ(cr8(), 0);
}
