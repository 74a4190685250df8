/* Judges architectural-msr.yaml: the processor's own MSRs as a partition has them. TLFS 2.0a appendices F and G, 5.0C D and E.
 */
#include "kit.h"

enum {
    IA32_TIME_STAMP_COUNTER = 0x10,
    IA32_APIC_BASE = 0x1b,
    IA32_MTRRCAP = 0xfe,
    IA32_SYSENTER_CS = 0x174,
    IA32_SYSENTER_ESP = 0x175,
    IA32_SYSENTER_EIP = 0x176,
    IA32_MCG_CAP = 0x179,
    IA32_MCG_STATUS = 0x17a,
    IA32_DEBUGCTL = 0x1d9,
    IA32_MTRR_PHYSBASE0 = 0x200,
    IA32_PAT = 0x277,
    IA32_MTRR_DEF_TYPE = 0x2ff,
    IA32_EFER = 0xc0000080,
    IA32_STAR = 0xc0000081,
    IA32_LSTAR = 0xc0000082,
    IA32_CSTAR = 0xc0000083,
    IA32_FMASK = 0xc0000084,
    IA32_FS_BASE = 0xc0000100,
    IA32_GS_BASE = 0xc0000101,
    IA32_KERNEL_GS_BASE = 0xc0000102,
    MTRR_PAIRS = 8,
    BOOT_PROCESSOR = 1 << 8,
};

#define NEEDS_TABLE()                                                                                                          \
    NEEDS_THAT(hv_present(), "no hypervisor");                                                                                 \
    NEEDS_EDITION(EDITION_2_0, EDITION_5_0)
#define NEEDS_VENDOR(first_letters)                                                                                            \
    NEEDS_TABLE();                                                                                                             \
    NEEDS_THAT(cpuid(0, 0).ebx == (first_letters), "a processor of another maker")
enum { INTEL = 0x756e6547, AMD = 0x68747541 }; /* "Genu", "Auth" */

static void expect_keeps(uint32_t msr, uint64_t value)
{
    uint64_t before, after = 0;
    EXPECT(rdmsr_try(msr, &before) == NO_FAULT, "RDMSR 0x%x raised an exception", msr);
    EXPECT(wrmsr_try(msr, value) == NO_FAULT, "WRMSR 0x%x raised an exception", msr);
    rdmsr_try(msr, &after);
    wrmsr_try(msr, before);
    EXPECT(after == value, "0x%x reads 0x%lx after 0x%lx was written", msr, after, value);
}

static void expect_faults(uint32_t first, uint32_t last)
{
    for (uint32_t msr = first; msr <= last; msr++) {
        uint64_t value;
        EXPECT(rdmsr_try(msr, &value) == VEC_GP, "RDMSR 0x%x did not raise #GP", msr);
        EXPECT(wrmsr_try(msr, 0) == VEC_GP, "WRMSR 0x%x did not raise #GP", msr);
    }
}

/* Reads zero, and a write changes nothing. */
static void expect_zero_ignored(uint32_t msr)
{
    uint64_t value = 1;
    EXPECT_EQ(rdmsr_try(msr, &value), NO_FAULT);
    EXPECT_EQ(value, 0);
    EXPECT_EQ(wrmsr_try(msr, 0x12345678), NO_FAULT);
    EXPECT_EQ(rdmsr_try(msr, &value), NO_FAULT);
    EXPECT_EQ(value, 0);
}

/* ---- for every maker ---- */

TEST(tsc_virtualised, "amsr.tsc")
{
    NEEDS_TABLE();
    uint64_t before = rdtsc(), value = 0;
    EXPECT_EQ(rdmsr_try(IA32_TIME_STAMP_COUNTER, &value), NO_FAULT);
    EXPECT(value >= before && value <= rdtsc());
}

TEST(tsc_can_be_written, "amsr.tsc.write")
{
    NEEDS_TABLE();
    uint64_t before = rdtsc(), forward = before + (1ULL << 40);
    EXPECT_EQ(wrmsr_try(IA32_TIME_STAMP_COUNTER, forward), NO_FAULT);
    uint64_t after = rdtsc();
    EXPECT(after >= forward && after < forward + (1ULL << 30), "0x%lx after 0x%lx was written", after, forward);
    wrmsr(IA32_TIME_STAMP_COUNTER, before + (rdtsc() - forward));
}

static void read_apic_base(void *value)
{
    *(uint64_t *)value = rdmsr(IA32_APIC_BASE);
}

TEST(apic_base_virtualised, "amsr.apic-base")
{
    NEEDS_TABLE();
    smp_start();
    unsigned marks = 0;
    for (unsigned vp = 0; vp < vp_count(); vp++) {
        uint64_t value;
        on_vp(vp, read_apic_base, &value);
        marks += (value & BOOT_PROCESSOR) != 0;
    }
    EXPECT_EQ(marks, 1);
    EXPECT(rdmsr(IA32_APIC_BASE) & BOOT_PROCESSOR);
}

TEST(mtrrcap_readable, "amsr.mtrrcap")
{
    NEEDS_TABLE();
    uint64_t value;
    EXPECT_EQ(rdmsr_try(IA32_MTRRCAP, &value), NO_FAULT);
}

TEST(mtrrcap_not_writable, "amsr.mtrrcap.write")
{
    NEEDS_TABLE();
    EXPECT_EQ(wrmsr_try(IA32_MTRRCAP, 0), VEC_GP);
}

#define KEEPS_TEST(name, clause, msr, value)                                                                                   \
    TEST(name, clause)                                                                                                         \
    {                                                                                                                          \
        NEEDS_TABLE();                                                                                                         \
        expect_keeps(msr, value);                                                                                              \
    }

KEEPS_TEST(sysenter_cs_keeps, "amsr.sysenter-cs", IA32_SYSENTER_CS, 0x1238)
KEEPS_TEST(sysenter_esp_keeps, "amsr.sysenter-esp", IA32_SYSENTER_ESP, 0x12345678)
KEEPS_TEST(sysenter_eip_keeps, "amsr.sysenter-eip", IA32_SYSENTER_EIP, 0x23456789)
KEEPS_TEST(star_keeps, "amsr.star", IA32_STAR, 0x0023001012345678)
KEEPS_TEST(lstar_keeps, "amsr.lstar", IA32_LSTAR, 0x123456789abc)
KEEPS_TEST(cstar_keeps, "amsr.cstar", IA32_CSTAR, 0x234567890abc)
KEEPS_TEST(sfmask_keeps, "amsr.sfmask", IA32_FMASK, 0x47700)
KEEPS_TEST(pat_keeps, "amsr.pat", IA32_PAT, 0x0007010600070106)

TEST(mcg_cap_zero, "amsr.mcg-cap")
{
    NEEDS_TABLE();
    uint64_t value = 1;
    EXPECT_EQ(rdmsr_try(IA32_MCG_CAP, &value), NO_FAULT);
    EXPECT_EQ(value, 0);
}

TEST(mcg_status_virtualised, "amsr.mcg-status")
{
    NEEDS_TABLE();
    uint64_t value;
    EXPECT_EQ(rdmsr_try(IA32_MCG_STATUS, &value), NO_FAULT);
    EXPECT_EQ(wrmsr_try(IA32_MCG_STATUS, 0), NO_FAULT);
}

TEST(debugctl_virtualised, "amsr.debugctl")
{
    NEEDS_TABLE();
    uint64_t value;
    EXPECT_EQ(rdmsr_try(IA32_DEBUGCTL, &value), NO_FAULT);
    EXPECT_EQ(wrmsr_try(IA32_DEBUGCTL, 0), NO_FAULT);
}

TEST(variable_mtrrs_keep, "amsr.mtrr.variable")
{
    NEEDS_TABLE();
    for (uint32_t i = 0; i < MTRR_PAIRS; i++) {
        expect_keeps(IA32_MTRR_PHYSBASE0 + 2 * i, 0x40000006 + ((uint64_t)i << 28)); /* write-back */
        expect_keeps(IA32_MTRR_PHYSBASE0 + 2 * i + 1, 0xf0000000);                   /* not valid */
    }
}

TEST(fixed_mtrrs_keep, "amsr.mtrr.fixed")
{
    static const uint32_t fixed[] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f};
    NEEDS_TABLE();
    for (unsigned i = 0; i < ARRAY_COUNT(fixed); i++) {
        expect_keeps(fixed[i], 0x0606060606060606);
    }
}

TEST(mtrr_default_keeps, "amsr.mtrr.default")
{
    NEEDS_TABLE();
    expect_keeps(IA32_MTRR_DEF_TYPE, 0xc06);
}

TEST(efer_virtualised, "amsr.efer")
{
    enum { SCE = 1, LME = 1 << 8, LMA = 1 << 10 };
    NEEDS_TABLE();
    uint64_t value = rdmsr(IA32_EFER);
    EXPECT((value & (LME | LMA)) == (LME | LMA), "0x%lx", value);
    wrmsr(IA32_EFER, value ^ SCE);
    EXPECT_EQ(rdmsr(IA32_EFER), value ^ SCE);
    wrmsr(IA32_EFER, value);
}

TEST(fs_base_keeps, "amsr.fs-base")
{
    NEEDS_TABLE();
    uint64_t *page = page_alloc(), value;
    page[1] = 0x1234;
    expect_keeps(IA32_FS_BASE, 0x123456789000);
    uint64_t before = rdmsr(IA32_FS_BASE);
    wrmsr(IA32_FS_BASE, gpa_of(page));
    __asm__ volatile("mov %%fs:8, %0" : "=r"(value));
    wrmsr(IA32_FS_BASE, before);
    EXPECT_EQ(value, 0x1234);
}

TEST(gs_base_keeps, "amsr.gs-base")
{
    NEEDS_TABLE();
    uint64_t *page = page_alloc(), value;
    page[1] = 0x5678;
    uint64_t before = rdmsr(IA32_GS_BASE);
    wrmsr(IA32_GS_BASE, gpa_of(page));
    __asm__ volatile("mov %%gs:8, %0" : "=r"(value));
    EXPECT_EQ(rdmsr(IA32_GS_BASE), gpa_of(page));
    wrmsr(IA32_GS_BASE, before);
    EXPECT_EQ(value, 0x5678);
}

TEST(kernel_gs_base_keeps, "amsr.kernel-gs-base")
{
    NEEDS_TABLE();
    uint64_t gs = rdmsr(IA32_GS_BASE), kernel = rdmsr(IA32_KERNEL_GS_BASE);
    wrmsr(IA32_KERNEL_GS_BASE, 0x123456789000);
    EXPECT_EQ(rdmsr(IA32_KERNEL_GS_BASE), 0x123456789000);
    __asm__ volatile("swapgs");
    EXPECT_EQ(rdmsr(IA32_GS_BASE), 0x123456789000);
    EXPECT_EQ(rdmsr(IA32_KERNEL_GS_BASE), gs);
    __asm__ volatile("swapgs");
    wrmsr(IA32_KERNEL_GS_BASE, kernel);
}

static const uint32_t per_vp[] = {IA32_STAR, IA32_LSTAR, IA32_SYSENTER_ESP, IA32_SYSENTER_EIP};

static void write_per_vp(void *value)
{
    for (unsigned i = 0; i < ARRAY_COUNT(per_vp); i++) {
        wrmsr(per_vp[i], (uint64_t)value + i);
    }
}

TEST(msrs_are_per_vp, "amsr.per-vp")
{
    NEEDS_TABLE();
    NEEDS_THAT(vp_count() > 1, "one processor");
    smp_start();
    write_per_vp((void *)0x1000);
    on_vp(1, write_per_vp, (void *)0x2000);
    for (unsigned i = 0; i < ARRAY_COUNT(per_vp); i++) {
        EXPECT_EQ(rdmsr(per_vp[i]), 0x1000 + i);
    }
    write_per_vp(NULL);
    on_vp(1, write_per_vp, NULL);
}

static const uint32_t unknown[] = {0x5, 0x1234, 0xc0001234, 0xdeadbeef};

TEST(unknown_msr_faults, "amsr.unknown")
{
    NEEDS_TABLE();
    for (unsigned i = 0; i < ARRAY_COUNT(unknown); i++) {
        expect_faults(unknown[i], unknown[i]);
    }
}

/* For the length of a test #GP leads here: behind the two bytes of the instruction, with all registers as they are. */
extern const uint8_t arch_msr_gp_entry[];
__asm__(".pushsection .text\n"
        "arch_msr_gp_entry:\n"
        "    add $8, %rsp\n"
        "    addq $2, (%rsp)\n"
        "    iretq\n"
        ".popsection\n");

TEST(unknown_msr_keeps_registers, "amsr.unknown.no-effect")
{
    enum { GATE_BYTES = 16 };
    NEEDS_TABLE();
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } idt;
    __asm__ volatile("sidt %0" : "=m"(idt));
    uint64_t *gate = (uint64_t *)(idt.base + VEC_GP * GATE_BYTES), low = gate[0], high = gate[1];
    uint64_t at = (uint64_t)arch_msr_gp_entry, rax = 0x1111222233334444, rdx = 0x5555666677778888;
    gate[0] = (low & 0x0000ffffffff0000) | (at & 0xffff) | (at >> 16 & 0xffff) << 48;
    gate[1] = at >> 32;
    __asm__ volatile("rdmsr" : "+a"(rax), "+d"(rdx) : "c"(unknown[0]) : "memory");
    gate[0] = low;
    gate[1] = high;
    EXPECT_EQ(rax, 0x1111222233334444);
    EXPECT_EQ(rdx, 0x5555666677778888);
}

/* ---- AMD ---- */

TEST(syscfg, "amsr.amd.syscfg")
{
    NEEDS_VENDOR(AMD);
    expect_zero_ignored(0xc0010010);
}

TEST(nb_cfg, "amsr.amd.nb-cfg")
{
    NEEDS_VENDOR(AMD);
    expect_zero_ignored(0xc001001f);
}

/* ---- Intel ---- */

#define INTEL_FAULT_TEST(name, clause, first, last)                                                                            \
    TEST(name, clause)                                                                                                         \
    {                                                                                                                          \
        NEEDS_VENDOR(INTEL);                                                                                                   \
        expect_faults(first, last);                                                                                            \
    }

INTEL_FAULT_TEST(monitor_filter, "amsr.intel.monitor-filter", 0x6, 0x6)
INTEL_FAULT_TEST(feature_control, "amsr.intel.feature-control", 0x3a, 0x3a)
INTEL_FAULT_TEST(perf_global, "amsr.intel.perf-global", 0x38d, 0x390)
INTEL_FAULT_TEST(pebs, "amsr.intel.pebs", 0x3f1, 0x3f1)
INTEL_FAULT_TEST(vmx_capabilities, "amsr.intel.vmx", 0x480, 0x48a)
INTEL_FAULT_TEST(ds_area, "amsr.intel.ds-area", 0x600, 0x600)

TEST(platform_id, "amsr.intel.platform-id")
{
    NEEDS_VENDOR(INTEL);
    uint64_t value = 1;
    EXPECT_EQ(rdmsr_try(0x17, &value), NO_FAULT);
    EXPECT_EQ(value, 0);
}

TEST(platform_id_write, "amsr.intel.platform-id-write")
{
    NEEDS_VENDOR(INTEL);
    expect_zero_ignored(0x17);
}

TEST(bios_trigger, "amsr.intel.bios-trigger")
{
    NEEDS_VENDOR(INTEL);
    expect_zero_ignored(0x79);
}

/* The revision is in the upper half, as the processor's manual has it. */
TEST(bios_signature, "amsr.intel.bios-signature")
{
    NEEDS_VENDOR(INTEL);
    uint64_t value = 0;
    EXPECT_EQ(rdmsr_try(0x8b, &value), NO_FAULT);
    EXPECT_EQ(value >> 32, 0x8fffffff);
    EXPECT_EQ(wrmsr_try(0x8b, 0), NO_FAULT);
    EXPECT_EQ(rdmsr_try(0x8b, &value), NO_FAULT);
    EXPECT_EQ(value >> 32, 0x8fffffff);
}

TEST(misc_enable, "amsr.intel.misc-enable")
{
    NEEDS_VENDOR(INTEL);
    uint64_t before, after;
    EXPECT_EQ(rdmsr_try(0x1a0, &before), NO_FAULT);
    EXPECT_EQ(wrmsr_try(0x1a0, before ^ 1), NO_FAULT);
    EXPECT_EQ(rdmsr_try(0x1a0, &after), NO_FAULT);
    EXPECT_EQ(after, before);
}
