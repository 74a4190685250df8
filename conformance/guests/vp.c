/* VP indices, the boot VP, APIC IDs, run time, the assist page. Clauses: conformance/clauses/vp.yaml; TLFS 6.0b §7.1-7.9. */
#include "vps.h"

enum { IA32_APIC_BASE = 0x1b, APIC_BASE_BSP = 1 << 8 };

/* ---- indices ---- */

TEST(index_of_boot_vp, "vp.index.read", "vp.index.width")
{
    NEEDS(AccessVpIndex);
    EXPECT_EQ(rdmsr(HV_X64_MSR_VP_INDEX), 0);
}

TEST(index_distinct, "vp.index.distinct", "vp.index.not-any")
{
    NEEDS(AccessVpIndex);
    NEEDS_VPS(2);
    for (unsigned vp = 0; vp < vp_count(); vp++) {
        uint64_t index = rdmsr_on(vp, HV_X64_MSR_VP_INDEX);
        EXPECT(index != 0xffffffff, "VP %u", vp);
        for (unsigned other = 0; other < vp; other++) {
            EXPECT(rdmsr_on(other, HV_X64_MSR_VP_INDEX) != index, "VPs %u and %u: 0x%lx", other, vp, index);
        }
    }
}

TEST(index_below_limit, "vp.index.limit")
{
    NEEDS(AccessVpIndex);
    smp_start();
    uint32_t limit = cpuid(HV_CPUID_LIMITS, 0).eax;
    for (unsigned vp = 0; vp < vp_count(); vp++) {
        uint64_t index = rdmsr_on(vp, HV_X64_MSR_VP_INDEX);
        EXPECT(limit == 0 || index < limit, "VP %u: 0x%lx of 0x%x", vp, index, limit);
    }
}

TEST(index_read_only, "vp.index.read-only")
{
    NEEDS(AccessVpIndex);
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_VP_INDEX, 0), VEC_GP);
}

TEST(index_withheld, "vp.index.withheld")
{
    NEEDS_WITHHELD(AccessVpIndex);
    EXPECT(msr_absent(HV_X64_MSR_VP_INDEX));
}

/* ---- boot VP ---- */

TEST(bsp_flag, "vp.boot.bsp-flag", "vp.boot.only")
{
    NEEDS(AccessVpIndex);
    NEEDS_VPS(2);
    for (unsigned vp = 0; vp < vp_count(); vp++) {
        bool boot = rdmsr_on(vp, HV_X64_MSR_VP_INDEX) == 0, flag = rdmsr_on(vp, IA32_APIC_BASE) & APIC_BASE_BSP;
        EXPECT_FOR(boot ? "vp.boot.bsp-flag" : "vp.boot.only", flag == boot, "VP %u: %u", vp, flag);
    }
}

struct ids {
    uint32_t initial, apic;
    uint64_t index;
};

static void ids_job(void *to)
{
    struct ids *i = to;
    i->initial = cpuid(1, 0).ebx >> 24;
    i->apic = lapic_read(LAPIC_ID) >> 24;
    i->index = rdmsr(HV_X64_MSR_VP_INDEX);
}

#define NEEDS_IDS()                                                                                                            \
    NEEDS_EDITION(EDITION_2_0, EDITION_4_0);                                                                                   \
    NEEDS(AccessVpIndex);                                                                                                      \
    NEEDS_VPS(2)

TEST(initial_apic_id, "vp.apic-id.initial")
{
    NEEDS_IDS();
    for (unsigned vp = 0; vp < vp_count(); vp++) {
        struct ids i;
        on_vp(vp, ids_job, &i);
        EXPECT_EQ(i.initial, i.index);
    }
}

TEST(apic_id_register, "vp.apic-id.register")
{
    NEEDS_IDS();
    for (unsigned vp = 0; vp < vp_count(); vp++) {
        struct ids i;
        on_vp(vp, ids_job, &i);
        EXPECT_EQ(i.apic, i.index);
    }
}

TEST(initial_apic_id_fixed, "vp.apic-id.fixed")
{
    NEEDS_EDITION(EDITION_2_0, EDITION_4_0);
    NEEDS(AccessVpIndex);
    uint32_t id = lapic_read(LAPIC_ID), initial = cpuid(1, 0).ebx >> 24;
    lapic_write(LAPIC_ID, id ^ 0x07000000);
    EXPECT_EQ(cpuid(1, 0).ebx >> 24, initial);
    lapic_write(LAPIC_ID, id);
}

/* ---- states, run time ---- */

static volatile bool halted, woken;

static void halt_job(void *unused)
{
    halted = true;
    __asm__ volatile("sti; hlt; cli" ::: "memory");
    woken = true;
}

TEST(halt_waits, "vp.state.halt")
{
    NEEDS_THAT(hv_present(), "no hypervisor");
    NEEDS_VPS(2);
    halted = woken = false;
    on_vp_async(1, halt_job, NULL);
    WAIT_FOR(halted, 10 * MS_100NS);
    spin_100ns(200 * US_100NS);
    EXPECT(!woken, "it went on");
    ipi(1, 0x50);
    vp_wait(1);
    EXPECT(woken, "it did not go on");
}

static uint64_t runtime(void)
{
    return rdmsr(HV_X64_MSR_VP_RUNTIME);
}

TEST(runtime_grows, "vp.runtime.monotonic", "vp.runtime.read")
{
    NEEDS(AccessVpRunTimeReg);
    uint64_t first = runtime(), last = first;
    for (unsigned i = 0; i < 20; i++) {
        spin_100ns(10 * US_100NS);
        uint64_t now = runtime();
        EXPECT(now >= last, "0x%lx after 0x%lx", now, last);
        last = now;
    }
    EXPECT(last > first, "0x%lx, then 0x%lx", first, last);
}

struct stretch {
    uint64_t run_100ns, passed_100ns;
};

static struct stretch stretch_from;

static void stretch_begin(void)
{
    stretch_from = (struct stretch){runtime(), ref_time()};
}

static struct stretch stretch_end(void)
{
    uint64_t run = runtime(), passed = ref_time();
    return (struct stretch){run - stretch_from.run_100ns, passed - stretch_from.passed_100ns};
}

#define NEEDS_RUNTIME()                                                                                                        \
    NEEDS(AccessVpRunTimeReg);                                                                                                 \
    NEEDS(AccessPartitionReferenceCounter)

TEST(runtime_of_busy_vp, "vp.runtime.bound", "vp.runtime.units")
{
    NEEDS_RUNTIME();
    stretch_begin();
    spin_100ns(2 * MS_100NS);
    struct stretch s = stretch_end();
    EXPECT_FOR("vp.runtime.units", s.run_100ns * 10 >= s.passed_100ns * 8, "%lu of %lu", s.run_100ns, s.passed_100ns);
    EXPECT_FOR("vp.runtime.bound", s.run_100ns <= s.passed_100ns + 1, "%lu of %lu", s.run_100ns, s.passed_100ns);
}

TEST(runtime_with_intercepts, "vp.runtime.hypervisor")
{
    NEEDS_RUNTIME();
    stretch_begin();
    for (unsigned i = 0; i < 500; i++) {
        cpuid(HV_CPUID_VENDOR, 0);
        ref_time();
    }
    struct stretch s = stretch_end();
    EXPECT(s.run_100ns * 10 >= s.passed_100ns * 8, "%lu of %lu", s.run_100ns, s.passed_100ns);
}

/* By the local APIC's timer: this VP is at HLT for that many of its ticks, more or less. */
static void halt_for(uint32_t ticks)
{
    lapic_write(LAPIC_TIMER_DIVIDE, 0xb);
    lapic_write(LAPIC_LVT_TIMER, 0x50);
    lapic_write(LAPIC_TIMER_INITIAL, ticks);
    __asm__ volatile("sti; hlt; cli" ::: "memory");
}

TEST(runtime_of_halted_vp, "vp.runtime.idle")
{
    NEEDS_RUNTIME();
    stretch_begin();
    halt_for(400000);
    struct stretch s = stretch_end();
    EXPECT(s.passed_100ns > 1000, "only %lu passed", s.passed_100ns);
    EXPECT(s.run_100ns * 5 < s.passed_100ns, "%lu of %lu", s.run_100ns, s.passed_100ns);
}

TEST(runtime_each_vp, "vp.runtime.own")
{
    NEEDS(AccessVpRunTimeReg);
    NEEDS_VPS(2);
    uint64_t own = runtime(), other = rdmsr_on(1, HV_X64_MSR_VP_RUNTIME);
    spin_100ns(2 * MS_100NS); /* VP 1 is asleep meanwhile */
    own = runtime() - own;
    other = rdmsr_on(1, HV_X64_MSR_VP_RUNTIME) - other;
    EXPECT(own > MS_100NS, "%lu", own);
    EXPECT(other < own / 2, "%lu of %lu", other, own);
}

TEST(runtime_read_only, "vp.runtime.read-only")
{
    NEEDS(AccessVpRunTimeReg);
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_VP_RUNTIME, 0), VEC_GP);
}

TEST(runtime_withheld, "vp.runtime.withheld")
{
    NEEDS_WITHHELD(AccessVpRunTimeReg);
    EXPECT(msr_absent(HV_X64_MSR_VP_RUNTIME));
}

/* ---- assist page ---- */

/* The page keeps its contents while it is disabled: who writes there puts a zero back. */
enum { ASSIST = HV_X64_MSR_VP_ASSIST_PAGE, SCRATCH = 0x800 / 8, PATTERN = 0x5ca1ab1e };

TEST(assist_at_creation, "vp.assist.reset")
{
    NEEDS(AccessIntrCtrlRegs);
    EXPECT_EQ(rdmsr(ASSIST), 0);
}

TEST(assist_write_read, "vp.assist.format")
{
    NEEDS(AccessIntrCtrlRegs);
    uint64_t value = gpa_of(page_alloc()) | 1;
    wrmsr(ASSIST, value);
    EXPECT_EQ(rdmsr(ASSIST), value);
    wrmsr(ASSIST, value & ~1ULL);
    EXPECT_EQ(rdmsr(ASSIST), value & ~1ULL);
    wrmsr(ASSIST, 0);
}

TEST(assist_preserved_bits, "vp.assist.preserved")
{
    NEEDS(AccessIntrCtrlRegs);
    uint64_t gpa = gpa_of(page_alloc());
    for (unsigned bit = 1; bit < 12; bit++) {
        EXPECT_EQ(wrmsr_try(ASSIST, gpa | 1ULL << bit), NO_FAULT);
        EXPECT_EQ(rdmsr(ASSIST) & ~0xfffULL, gpa);
    }
    wrmsr(ASSIST, 0);
}

TEST(assist_page_is_memory, "vp.assist.access")
{
    NEEDS(AccessIntrCtrlRegs);
    volatile uint64_t *p = page_alloc();
    wrmsr(ASSIST, gpa_of(p) | 1);
    p[SCRATCH] = PATTERN;
    EXPECT_EQ(p[SCRATCH], PATTERN);
    p[SCRATCH] = 0;
    wrmsr(ASSIST, 0);
}

TEST(assist_page_overlays, "vp.assist.overlay")
{
    NEEDS(AccessIntrCtrlRegs);
    volatile uint64_t *p = page_alloc();
    p[SCRATCH] = 1;
    wrmsr(ASSIST, gpa_of(p) | 1);
    p[SCRATCH] = PATTERN;
    p[SCRATCH] = 0;
    wrmsr(ASSIST, 0);
    EXPECT_EQ(p[SCRATCH], 1);
}

TEST(assist_page_moves, "vp.assist.moved")
{
    NEEDS(AccessIntrCtrlRegs);
    volatile uint64_t *p = page_alloc(), *q = page_alloc();
    p[SCRATCH] = 1;
    q[SCRATCH] = 2;
    wrmsr(ASSIST, gpa_of(p) | 1);
    p[SCRATCH] = 0;
    wrmsr(ASSIST, gpa_of(q) | 1);
    EXPECT_EQ(p[SCRATCH], 1);
    EXPECT(q[SCRATCH] != 2, "the other page is not covered");
    wrmsr(ASSIST, 0);
    EXPECT_EQ(q[SCRATCH], 2);
}

TEST(assist_each_vp, "vp.assist.own")
{
    NEEDS(AccessIntrCtrlRegs);
    NEEDS_VPS(2);
    uint64_t own = gpa_of(page_alloc()) | 1, other = gpa_of(page_alloc()) | 1;
    wrmsr(ASSIST, own);
    EXPECT_EQ(rdmsr_on(1, ASSIST), 0);
    EXPECT_EQ(wrmsr_on(1, ASSIST, other), NO_FAULT);
    EXPECT_EQ(rdmsr(ASSIST), own);
    EXPECT_EQ(rdmsr_on(1, ASSIST), other);
    wrmsr_on(1, ASSIST, 0);
    wrmsr(ASSIST, 0);
}

TEST(assist_beyond_memory, "vp.assist.beyond")
{
    NEEDS(AccessIntrCtrlRegs);
    volatile uint64_t *p = page_alloc();
    p[SCRATCH] = PATTERN;
    unsigned vector = wrmsr_try(ASSIST, 0x000ffffffffff001ULL);
    EXPECT(vector == NO_FAULT || vector == VEC_GP, "exception %u", vector);
    EXPECT_EQ(p[SCRATCH], PATTERN);
    wrmsr(ASSIST, 0);
}

TEST(assist_page_fresh, "vp.assist.zero")
{
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    NEEDS(AccessIntrCtrlRegs);
    volatile uint64_t *p = page_alloc();
    wrmsr(ASSIST, gpa_of(p) | 1);
    EXPECT_EQ(p[0] >> 32, 0);
    for (unsigned i = 10; i < PAGE_BYTES / 8; i++) {
        REQUIRE(p[i] == 0, "0x%lx at %u", p[i], i * 8);
    }
    wrmsr(ASSIST, 0);
}
