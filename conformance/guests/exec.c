/* Execution of virtual processors: CPUID, real mode, ports, memory, TSC, exceptions. Clauses: conformance/clauses/exec.yaml;
 * TLFS 6.0b §8.1-8.13.
 */
#include "vps.h"

#define NEEDS_HV() NEEDS_THAT(hv_present(), "no hypervisor")
/* ---- CPUID ---- */

static void signature_job(void *to)
{
    *(uint32_t *)to = cpuid(1, 0).eax;
}

TEST(cpuid_same_on_all, "exec.cpuid.same")
{
    NEEDS_HV();
    NEEDS_VPS(2);
    for (unsigned vp = 1; vp < vp_count(); vp++) {
        uint32_t signature = 0;
        on_vp(vp, signature_job, &signature);
        EXPECT_EQ(signature, cpuid(1, 0).eax);
    }
}

KIT_CODE(cpuid_16, 16, "cpuid");

TEST(cpuid_in_real_mode, "exec.cpuid.real-mode")
{
    NEEDS_HV();
    for (uint32_t leaf = HV_CPUID_VENDOR; leaf <= HV_CPUID_LIMITS; leaf++) {
        struct regs32 r = {.eax = leaf};
        struct fault f = run_in_16bit_real(cpuid_16, cpuid_16_end - cpuid_16, &r);
        struct cpuid here = cpuid(leaf, 0);
        EXPECT(f.vector == NO_FAULT, "leaf 0x%x: exception %u", leaf, f.vector);
        EXPECT(r.eax == here.eax && r.ebx == here.ebx && r.ecx == here.ecx && r.edx == here.edx, "leaf 0x%x differs", leaf);
    }
}

static void user_cpuid_job(void *to)
{
    struct cpuid *c = to;
    *c = cpuid(c->eax, 0);
}

TEST(cpuid_at_cpl3, "exec.cpuid.cpl3")
{
    NEEDS_HV();
    for (uint32_t leaf = HV_CPUID_VENDOR; leaf <= HV_CPUID_LIMITS; leaf++) {
        struct cpuid c = {.eax = leaf}, here = cpuid(leaf, 0);
        EXPECT_EQ(run_at_cpl3(user_cpuid_job, &c).vector, NO_FAULT);
        EXPECT(memcmp(&c, &here, sizeof c) == 0, "leaf 0x%x differs", leaf);
    }
}

/* ---- real mode, SMM, MONITOR ---- */

/* DS is 1234h; at offset 8 lies what EAX gets: linear address 12348h. */
KIT_CODE(segment_16, 16, "mov $0x1234, %cx\n mov %cx, %ds\n movl %eax, 8\n movl 8, %ebx\n xor %cx, %cx\n mov %cx, %ds");

TEST(real_mode_runs, "exec.real-mode.runs")
{
    NEEDS_HV();
    volatile uint32_t *word = (volatile uint32_t *)0x12348;
    struct regs32 r = {.eax = 0x900df00d};
    *word = 0;
    struct fault f = run_in_16bit_real(segment_16, segment_16_end - segment_16, &r);
    EXPECT_EQ(f.vector, NO_FAULT);
    EXPECT_EQ(*word, 0x900df00d);
    EXPECT_EQ(r.ebx, 0x900df00d);
}

/* Puts a handler at vector 60h of the table at 0, which sets EBX and returns; the handler stands at 0:500h. The kit has an IDT
 * of its own in real mode, which comes back afterwards. */
KIT_CODE(interrupt_16, 16,
         "xor %cx, %cx\n mov %cx, %ds\n movl $0x500, 0x180\n movl $0x1234bb66, 0x500\n movl $0x00cf5678, 0x504\n"
         "movw $0x3ff, 0x510\n movl $0, 0x512\n sidtl 0x518\n lidtl 0x510\n int $0x60\n lidtl 0x518");

TEST(real_mode_interrupt, "exec.real-mode.interrupt")
{
    NEEDS_HV();
    struct regs32 r = {0};
    struct fault f = run_in_16bit_real(interrupt_16, interrupt_16_end - interrupt_16, &r);
    EXPECT_EQ(f.vector, NO_FAULT);
    EXPECT_EQ(r.ebx, 0x56781234); /* 66 bb 34 12 78 56: mov $0x56781234, %ebx; cf: iret */
}

static void rsm_job(void *unused)
{
    __asm__ volatile("rsm");
}

TEST(rsm_undefined, "exec.smm.absent")
{
    NEEDS_HV();
    EXPECT_EQ(try_run(rsm_job, NULL).vector, VEC_UD);
}

static void monitor_job(void *at)
{
    __asm__ volatile("monitor" ::"a"(at), "c"(0), "d"(0));
}

static void mwait_job(void *unused)
{
    __asm__ volatile("mwait" ::"a"(0), "c"(0));
}

TEST(monitor_undefined, "exec.monitor.undefined")
{
    NEEDS_HV();
    static uint64_t line;
    EXPECT_EQ(try_run(monitor_job, &line).vector, VEC_UD);
}

TEST(mwait_undefined, "exec.mwait.undefined")
{
    NEEDS_HV();
    NEEDS_THAT(!has(MwaitAvailable), "MwaitAvailable is announced");
    EXPECT_EQ(try_run(mwait_job, NULL).vector, VEC_UD);
}

/* ---- ports ---- */

enum { ABSENT_PORT = 0x5e8, RTC_INDEX = 0x70, RTC_DATA = 0x71 };

TEST(absent_port_reads_ones, "exec.port.absent-read")
{
    NEEDS_HV();
    uint16_t word;
    __asm__ volatile("inw %w1, %0" : "=a"(word) : "Nd"(ABSENT_PORT));
    EXPECT_EQ(in8(ABSENT_PORT), 0xff);
    EXPECT_EQ(word, 0xffff);
    EXPECT_EQ(in32(ABSENT_PORT), 0xffffffff);
}

TEST(absent_port_writes, "exec.port.absent-write")
{
    NEEDS_HV();
    out8(ABSENT_PORT, 0x5a);
    out32(ABSENT_PORT, 0x5a5a5a5a);
    EXPECT_EQ(in8(ABSENT_PORT), 0xff);
}

TEST(emulated_port, "exec.port.emulated")
{
    NEEDS_HV();
    out8(RTC_INDEX, 0x0d); /* status D: bits 6:0 read zero */
    EXPECT_EQ(in8(RTC_DATA) & 0x7f, 0);
}

TEST(string_port, "exec.port.string")
{
    NEEDS_HV();
    uint8_t bytes[4] = {0};
    void *at = bytes;
    uint64_t count = 4;
    __asm__ volatile("rep insb" : "+D"(at), "+c"(count) : "d"(ABSENT_PORT) : "memory");
    for (unsigned i = 0; i < 4; i++) {
        EXPECT_EQ(bytes[i], 0xff);
    }
    EXPECT_EQ((uint64_t)at, (uint64_t)bytes + 4);
    EXPECT_EQ(count, 0);
}

/* ---- memory ---- */

static void store_job(void *at)
{
    *(volatile uint8_t *)at = 0x90;
}

TEST(overlay_write_refused, "exec.memory.overlay-refused")
{
    NEEDS_CALLS();
    uint64_t before = *(volatile uint64_t *)hv_page();
    struct fault f = try_run(store_job, (void *)hv_page());
    EXPECT_EQ(f.vector, VEC_GP);
    EXPECT_EQ(*(volatile uint64_t *)hv_page(), before);
}

TEST(overlay_access_allowed, "exec.memory.overlay-allowed")
{
    NEEDS_CALLS();
    uint64_t word = *(volatile uint64_t *)hv_page();
    EXPECT(word != 0, "the hypercall page reads zero");
    uint64_t result;
    EXPECT_EQ(hv_call_try(0xffff, 0, 0, &result), NO_FAULT);
}

TEST(memory_widths, "exec.memory.normal")
{
    NEEDS_HV();
    volatile uint8_t *p = pages_alloc(2);
    volatile uint8_t *edge = p + PAGE_BYTES - 3;
    *(volatile uint64_t *)edge = 0x1122334455667788;
    EXPECT_EQ(*(volatile uint64_t *)edge, 0x1122334455667788);
    EXPECT_EQ(*(volatile uint32_t *)(edge + 1), 0x44556677);
    EXPECT_EQ(*(volatile uint16_t *)(edge + 2), 0x5566);
    EXPECT_EQ(p[PAGE_BYTES], 0x55);
}

/* ---- time-stamp counter ---- */

TEST(tsc_over_halt, "exec.tsc.runs")
{
    NEEDS_HV();
    lapic_write(LAPIC_TIMER_DIVIDE, 0xb);
    lapic_write(LAPIC_LVT_TIMER, 0x50);
    lapic_write(LAPIC_TIMER_INITIAL, 100000);
    uint64_t before = rdtsc();
    __asm__ volatile("sti; hlt; cli" ::: "memory");
    uint64_t passed = rdtsc() - before;
    EXPECT(passed >= 10000, "%lu cycles", passed);
}

TEST(tsc_forward, "exec.tsc.forward")
{
    NEEDS_HV();
    uint64_t last = rdtsc();
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t now = rdtsc();
        EXPECT(now >= last, "0x%lx after 0x%lx", now, last);
        last = now;
    }
}

enum { IA32_TSC = 0x10 };

TEST(tsc_each_vp, "exec.tsc.own")
{
    NEEDS_HV();
    NEEDS_VPS(2);
    uint64_t other = rdmsr_on(1, IA32_TSC), own = rdtsc();
    EXPECT_EQ(wrmsr_on(1, IA32_TSC, other + (1ULL << 44)), NO_FAULT);
    uint64_t moved = rdmsr_on(1, IA32_TSC);
    uint64_t own_after = rdtsc();
    wrmsr_on(1, IA32_TSC, moved - (1ULL << 44) + 1000);
    EXPECT(moved >= other + (1ULL << 44), "0x%lx", moved);
    EXPECT(own_after - own < 1ULL << 40, "VP 0's went from 0x%lx to 0x%lx", own, own_after);
}

static void rdtsc_job(void *unused)
{
    rdtsc();
}

TEST(tsc_at_cpl3, "exec.tsc.read")
{
    enum { CR4_TSD = 4 };
    NEEDS_HV();
    uint64_t cr4;
    EXPECT_EQ(run_at_cpl3(rdtsc_job, NULL).vector, NO_FAULT);
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    __asm__ volatile("mov %0, %%cr4" ::"r"(cr4 | CR4_TSD));
    unsigned vector = run_at_cpl3(rdtsc_job, NULL).vector;
    __asm__ volatile("mov %0, %%cr4" ::"r"(cr4));
    EXPECT_EQ(vector, VEC_GP);
}

/* ---- exceptions ---- */

extern const uint8_t undefined_here[];

static void undefined_job(void *unused)
{
    __asm__ volatile(".globl undefined_here\n undefined_here: ud2");
}

TEST(exception_restartable, "exec.exception.normal")
{
    NEEDS_HV();
    struct fault f = try_run(undefined_job, NULL);
    EXPECT_EQ(f.vector, VEC_UD);
    EXPECT_EQ(f.rip, (uint64_t)undefined_here);
}

/* A #GP whose own delivery finds no usable gate: the IDT ends before it. */
static void short_idt_job(void *unused)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } idtr;
    __asm__ volatile("sidt %0" : "=m"(idtr));
    idtr.limit = VEC_GP * 16 - 1; /* vectors below 13: the double fault's is there */
    __asm__ volatile("lidt %0" ::"m"(idtr));
    rdmsr(0xffffffff);
}

TEST(double_fault, "exec.exception.double")
{
    NEEDS_HV();
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } idtr;
    __asm__ volatile("sidt %0" : "=m"(idtr));
    struct fault f = try_run(short_idt_job, NULL);
    __asm__ volatile("lidt %0" ::"m"(idtr));
    EXPECT_EQ(f.vector, VEC_DF);
    EXPECT_EQ(f.error, 0);
}

static void int3_job(void *unused)
{
    __asm__ volatile("int3");
}

TEST(software_interrupts, "exec.exception.software")
{
    NEEDS_HV();
    irq_eoi(0x50, false);
    __asm__ volatile("int $0x50");
    EXPECT_EQ(irq_count(0x50), 1);
    EXPECT_EQ(try_run(int3_job, NULL).vector, VEC_BP);
}
