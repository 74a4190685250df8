/* The kit judged by itself: each helper, each way to fault, each mode, four processors. Needs no hypervisor.
 *
 * Its clauses are of no document. The words that a passing run cannot show (fail, broken) are in tests with `words=1` on the
 * command line, whose report tests/guests/probes compares.
 */
#include "kit.h"

TEST(arithmetic_of_format, "kit.expect")
{
    EXPECT(1 + 1 == 2);
    EXPECT_EQ(0x123456789abcdef0, 0x123456789abcdef0);
    EXPECT_FOR("kit.expect", true, "never shown %d", 1);
}

TEST(word_fail, "kit.word.fail", "kit.word.fail-one")
{
    NEEDS_THAT(arg_present("words"), "words=1 asks for it");
    EXPECT_FOR("kit.word.fail-one", true);
    EXPECT_FOR("kit.word.fail", 1 == 2, "one is not %d", 2);
    EXPECT_EQ_FOR("kit.word.fail", 3, 4); /* the first failure stays */
}

TEST(word_fault, "kit.word.fault")
{
    NEEDS_THAT(arg_present("words"), "words=1 asks for it");
    EXPECT(true);
    *(volatile char *)0x123456789000 = 1;
}

TEST(word_broken, "kit.word.broken")
{
    NEEDS_THAT(arg_present("words"), "words=1 asks for it");
}

TEST(word_broken_by_name, "kit.word.broken-name")
{
    NEEDS_THAT(arg_present("words"), "words=1 asks for it");
    EXPECT_FOR("kit.word.other", true);
}

static void spin_for_ever(void *unused)
{
    for (;;) {
        pause();
    }
}

TEST(word_lost, "kit.word.lost")
{
    NEEDS_THAT(arg_present("words") && vp_count() > 1, "words=1 and two processors ask for it");
    smp_start();
    EXPECT(true);
    on_vp(1, spin_for_ever, NULL);
}

TEST(word_skip, "kit.word.skip")
{
    NEEDS_THAT(false, "this one never runs");
    EXPECT(false);
}

TEST(edition_and_arguments, "kit.arguments")
{
    EXPECT_EQ(arg("number"), 0x1f);
    EXPECT_EQ(arg("decimal"), 42);
    EXPECT(arg_present("flag"));
    EXPECT(!arg_present("fla"));
    EXPECT_EQ(edition(), 50);
    EXPECT(profile_is("none"));
    EXPECT(!profile_is("non"));
}

/* ---- faults ---- */

static void divide(void *unused)
{
    __asm__ volatile("xor %%edx, %%edx; mov $1, %%eax; xor %%ecx, %%ecx; div %%ecx" ::: "eax", "ecx", "edx");
}

static void undefined(void *unused)
{
    __asm__ volatile("ud2");
}

static void touch(void *at)
{
    *(volatile uint8_t *)at = 1;
}

static void breakpoint(void *unused)
{
    __asm__ volatile("int3");
}

static void segment_beyond(void *unused)
{
    __asm__ volatile("mov %0, %%es" ::"r"(0x7ff0));
}

static void no_segment(void *unused)
{
    __asm__ volatile("mov %0, %%fs" ::"r"(0x7ff8));
}

static void nothing(void *unused)
{
}

static void two_levels(void *inner)
{
    *(struct fault *)inner = try_run(undefined, NULL);
    divide(NULL);
}

TEST(fault_of_each_kind, "kit.fault")
{
    EXPECT_EQ(try_run(nothing, NULL).vector, NO_FAULT);
    EXPECT_EQ(try_run(divide, NULL).vector, VEC_DE);
    struct fault f = try_run(undefined, NULL);
    EXPECT_EQ(f.vector, VEC_UD);
    EXPECT_EQ(*(const uint16_t *)f.rip, 0x0b0f);
    EXPECT_EQ(try_run(breakpoint, NULL).vector, VEC_BP);
    EXPECT_EQ(try_run(segment_beyond, NULL).vector, VEC_GP);
    f = try_run(no_segment, NULL);
    EXPECT_EQ(f.vector, VEC_GP);
    EXPECT_EQ(f.error, 0x7ff8);
    f = try_run(touch, (void *)KIT_GVA);
    EXPECT_EQ(f.vector, VEC_PF);
    EXPECT_EQ(f.cr2, KIT_GVA);
    EXPECT_EQ(f.error, 2); /* a write to a page that is not there */
    EXPECT_EQ(try_run(touch, (void *)0x8000000000000000).vector, VEC_GP);
    struct fault inner;
    EXPECT_EQ(try_run(two_levels, &inner).vector, VEC_DE);
    EXPECT_EQ(inner.vector, VEC_UD);
}

TEST(fault_keeps_interrupts, "kit.fault.flags")
{
    irqs(true);
    try_run(undefined, NULL);
    EXPECT(irqs(false), "interrupts were on before the fault and off after it");
    try_run(undefined, NULL);
    EXPECT(!irqs(false));
}

struct msr_faults {
    unsigned read, write;
};

static void cpl3_uses_msr(void *p)
{
    struct msr_faults *f = p;
    uint64_t value;
    f->read = rdmsr_try(0x1b, &value);
    f->write = wrmsr_try(0x1b, 0);
}

/* Not by a number that no MSR has: QEMU's emulator lets those pass. */
TEST(msrs, "kit.msr")
{
    uint64_t value = 0;
    struct msr_faults at_cpl3 = {0};
    EXPECT_EQ(run_at_cpl3(cpl3_uses_msr, &at_cpl3).vector, NO_FAULT);
    EXPECT_EQ(at_cpl3.read, VEC_GP);
    EXPECT_EQ(at_cpl3.write, VEC_GP);
    EXPECT_EQ(rdmsr_try(0x1b, &value), NO_FAULT); /* IA32_APIC_BASE */
    EXPECT_EQ(value & ~0xfffULL, 0xfee00000);
    EXPECT_EQ(wrmsr_try(0x1b, value), NO_FAULT);
    EXPECT_EQ(rdmsr(0x1b), value);
}

/* ---- memory ---- */

TEST(mappings, "kit.map")
{
    volatile uint64_t *page = page_alloc(), *window = (void *)(KIT_GVA + 0x5000);
    EXPECT_EQ(page[0] | page[511], 0);
    EXPECT_EQ(gpa_of(page) % PAGE_BYTES, 0);
    map((uint64_t)window, gpa_of(page), MAP_WRITE);
    window[3] = 0x55aa;
    EXPECT_EQ(page[3], 0x55aa);
    map((uint64_t)window, gpa_of(page), MAP_READ);
    EXPECT_EQ(window[3], 0x55aa);
    struct fault f = try_run(touch, (void *)window);
    EXPECT_EQ(f.vector, VEC_PF);
    EXPECT_EQ(f.error, 3);
    unmap((uint64_t)window);
    EXPECT_EQ(try_run(touch, (void *)window).vector, VEC_PF);
    /* in the identity mapping */
    unmap((uint64_t)page);
    EXPECT_EQ(try_run(touch, (void *)page).error, 2);
    EXPECT_EQ(try_run(touch, page_alloc()).vector, NO_FAULT);
}

TEST(mappings_end_with_the_test, "kit.map.end")
{
    EXPECT_EQ(try_run(touch, (void *)(KIT_GVA + 0x5000)).vector, VEC_PF);
    EXPECT_EQ(try_run(touch, page_alloc()).vector, NO_FAULT); /* the page that was unmapped */
}

/* ---- levels and modes ---- */

static void cpl3_reads(void *level)
{
    uint16_t cs;
    __asm__ volatile("mov %%cs, %0" : "=r"(cs));
    *(unsigned *)level = cs & 3;
}

static void cpl3_halts(void *unused)
{
    __asm__ volatile("hlt");
}

TEST(user_level, "kit.cpl3")
{
    unsigned level = 9;
    EXPECT_EQ(run_at_cpl3(cpl3_reads, &level).vector, NO_FAULT);
    EXPECT_EQ(level, 3);
    EXPECT_EQ(run_at_cpl3(cpl3_halts, NULL).vector, VEC_GP);
    EXPECT_EQ(run_at_cpl3(undefined, NULL).vector, VEC_UD);
    cpl3_reads(&level);
    EXPECT_EQ(level, 0);
}

KIT_CODE(real_adds, 16, "mov %cr0, %esi; add %ebx, %eax; mov %cs, %di");
KIT_CODE(real_faults, 16, "nop; ud2");
KIT_CODE(wide_adds, 32, "mov %cr0, %esi; add %ebx, %eax; push %edx; pop %edi");
KIT_CODE(wide_faults, 32, "nop; nop; ud2");
KIT_CODE(wide_general, 32, "mov $0x7ff8, %eax; mov %eax, %fs");

TEST(real_mode, "kit.real")
{
    struct regs32 r = {.eax = 0x10000, .ebx = 0x20003};
    EXPECT_EQ(run_in_16bit_real(real_adds, (size_t)(real_adds_end - real_adds), &r).vector, NO_FAULT);
    EXPECT_EQ(r.eax, 0x30003);
    EXPECT_EQ(r.esi & 1, 0);
    EXPECT_EQ(r.edi & 0xffff, 0);
    struct fault f = run_in_16bit_real(real_faults, (size_t)(real_faults_end - real_faults), NULL);
    EXPECT_EQ(f.vector, VEC_UD);
    EXPECT_EQ(f.rip & 0xfff, 1);
}

TEST(protected_mode, "kit.protected")
{
    struct regs32 r = {.eax = 1, .ebx = 2, .edx = 0xabcd0123};
    EXPECT_EQ(run_in_32bit(wide_adds, (size_t)(wide_adds_end - wide_adds), &r).vector, NO_FAULT);
    EXPECT_EQ(r.eax, 3);
    EXPECT_EQ(r.edi, 0xabcd0123);
    EXPECT_EQ(r.esi >> 31, 0);
    struct fault f = run_in_32bit(wide_faults, (size_t)(wide_faults_end - wide_faults), NULL);
    EXPECT_EQ(f.vector, VEC_UD);
    EXPECT_EQ(f.rip & 0xfff, 2);
    EXPECT_EQ(run_in_32bit(wide_general, (size_t)(wide_general_end - wide_general), NULL).vector, VEC_GP);
}

TEST(compatibility_mode, "kit.compat")
{
    struct regs32 r = {.eax = 7, .ebx = 8, .edx = 0x89ab4567};
    EXPECT_EQ(run_in_32bit_compat(wide_adds, (size_t)(wide_adds_end - wide_adds), &r).vector, NO_FAULT);
    EXPECT_EQ(r.eax, 15);
    EXPECT_EQ(r.edi, 0x89ab4567);
    EXPECT_EQ(r.esi >> 31, 1);
    EXPECT_EQ(run_in_32bit_compat(wide_faults, (size_t)(wide_faults_end - wide_faults), NULL).vector, VEC_UD);
}

/* ---- interrupts and time ---- */

static volatile unsigned handled;

static void handler(unsigned vector)
{
    handled = vector;
}

TEST(own_interrupt, "kit.irq")
{
    irq_on(0x51, handler);
    ipi(this_vp(), 0x51);
    EXPECT(WAIT_FOR(lapic_bit(LAPIC_IRR, 0x51), MS_100NS));
    EXPECT_EQ(irq_count(0x51), 0);
    irqs(true);
    EXPECT(WAIT_FOR(irq_count(0x51) == 1, MS_100NS));
    EXPECT_EQ(handled, 0x51);
    EXPECT_EQ(irq_count_on(0, 0x51), 1);
    EXPECT(!lapic_bit(LAPIC_ISR, 0x51));
    irq_eoi(0x52, false);
    ipi(this_vp(), 0x52);
    EXPECT(WAIT_FOR(irq_count(0x52) == 1, MS_100NS));
    EXPECT(lapic_bit(LAPIC_ISR, 0x52));
}

TEST(interrupts_end_with_the_test, "kit.irq.end")
{
    EXPECT_EQ(irq_count(0x51), 0);
    EXPECT(!lapic_bit(LAPIC_ISR, 0x52));
    EXPECT(!irqs(false));
}

TEST(own_nmi, "kit.nmi")
{
    ipi_nmi(this_vp());
    EXPECT(WAIT_FOR(nmi_count() == 1, MS_100NS));
}

TEST(timeouts, "kit.time")
{
    uint64_t from = now_100ns();
    EXPECT(!WAIT_FOR(false, MS_100NS));
    EXPECT(now_100ns() - from >= MS_100NS);
    irqs(true);
    from = now_100ns();
    EXPECT(!WAIT_FOR(false, 2 * MS_100NS));
    EXPECT(now_100ns() - from >= 2 * MS_100NS);
    EXPECT(irq_count(VECTOR_TICK) != 0);
}

/* ---- processors ---- */

static void who_am_i(void *result)
{
    *(unsigned *)result = this_vp() + 100;
}

static void fault_job(void *unused)
{
    undefined(NULL);
}

static void sleep_until_told(void *flag)
{
    irqs(true);
    WAIT_FOR(*(volatile uint32_t *)flag != 0, 100 * MS_100NS);
}

TEST(four_processors, "kit.smp")
{
    EXPECT_EQ(vp_count(), 4);
    smp_start();
    for (unsigned i = 0; i < vp_count(); i++) {
        unsigned seen = 0;
        on_vp(i, who_am_i, &seen);
        EXPECT_EQ(seen, i + 100);
        EXPECT_EQ(vp_apic_id(i), i);
    }
    EXPECT_EQ(on_vp_try(3, fault_job, NULL).vector, VEC_UD);
    EXPECT_EQ(on_vp_try(3, nothing, NULL).vector, NO_FAULT);
    volatile uint32_t flag = 0;
    on_vp_async(2, sleep_until_told, (void *)&flag);
    EXPECT(!vp_done(2));
    ipi(2, 0x60);
    EXPECT(WAIT_FOR(irq_count_on(2, 0x60) == 1, 10 * MS_100NS));
    EXPECT_EQ(irq_count_on(0, 0x60), 0);
    flag = 1;
    vp_wait(2);
    unsigned level = 9;
    on_vp(1, cpl3_reads, &level);
    EXPECT_EQ(level, 0);
}

/* ---- the hypervisor's absence ---- */

TEST(no_hypervisor, "kit.hv.absent")
{
    NEEDS_THAT(!hv_present(), "there is a hypervisor");
    EXPECT(!has(AccessHypercallMsrs));
    EXPECT(!hv_enable());
    EXPECT(!synic_enable());
}

TEST(hypervisor_calls, "kit.hv.call")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    uint64_t result = 0;
    EXPECT_EQ(HV_STATUS_OF(hv_call(0x0fff, 0, 0)), HV_STATUS_INVALID_HYPERCALL_CODE);
    EXPECT_EQ(hv_call_try(0x0fff, 0, 0, &result), NO_FAULT);
    EXPECT_EQ(HV_STATUS_OF(result), HV_STATUS_INVALID_HYPERCALL_CODE);
    struct hv_regs r;
    memset(&r, 0x5a, sizeof r);
    r.rcx = 0x0fff;
    EXPECT_EQ(hv_call_regs_try(&r), NO_FAULT);
    EXPECT_EQ(r.r15, 0x5a5a5a5a5a5a5a5a);
    EXPECT_EQ(r.rbp, 0x5a5a5a5a5a5a5a5a);
    EXPECT_EQ(r.xmm[15][1], 0x5a5a5a5a5a5a5a5a);
    EXPECT_EQ(HV_STATUS_OF(r.rax), HV_STATUS_INVALID_HYPERCALL_CODE);
    hv_disable();
    EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL) & 1, 0);
    EXPECT_EQ(rdmsr(HV_X64_MSR_GUEST_OS_ID), 0);
}
