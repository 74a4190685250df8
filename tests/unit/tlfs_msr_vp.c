/* A VP's own affairs: prevention of SGDT and its like (NPIEP), the idle state, the debugger's registers, the TSC
 * invariant control. TLFS 6.0b §8.12, §7.5. */
#include "tests/unit/tlfs_fixture.h"

enum {
    NPIEP_CONFIG = 0x40000040,
    GUEST_IDLE = 0x400000f0,
    SYNDBG_CONTROL = 0x400000f1,
    SYNDBG_STATUS = 0x400000f2,
    TSC_INVARIANT_CONTROL = 0x40000118,
};

static void partition_end(struct partition **p)
{
    partition_destroy(*p);
}
#define PARTITION(name, ...) __attribute__((cleanup(partition_end))) struct partition *name = __VA_ARGS__

static struct partition *with(const char *feature)
{
    struct partition *p = fresh("ws2019");
    const char *why;
    cr_assert(profile_set(&p->profile, feature, true, &why), "%s", why);
    return p;
}

/* ---- NPIEP, §8.12 ---- */

/* Runs one instruction on VP 0 in 32-bit mode, without paging, at a CPL: false when it faults (there is no IDT: shutdown). */
static bool runs(struct partition *p, const uint8_t code[3], unsigned cpl)
{
    uint8_t text[5] = {code[0], code[1], code[2], 0xeb, 0xfe}; /* jmp . */
    uint8_t withheld = vp_withheld(p->vps[0].vcpu);
    guest(p, BOOT_MODE_32, CODE, text, sizeof text);
    struct vp_state s;
    vp_get_state(p->vps[0].vcpu, &s);
    s.cpl = (uint8_t)cpl;
    s.seg[SEG_CS].attributes |= (uint16_t)(cpl << ATTR_DPL_SHIFT);
    s.seg[SEG_SS].attributes |= (uint16_t)(cpl << ATTR_DPL_SHIFT);
    s.gpr[RDI] = 0x80000;
    s.idtr = (struct descriptor_table){0};
    s.withheld = withheld;
    cr_assert(vp_set_state(p->vps[0].vcpu, &s));
    return vp_run(p->vps[0].vcpu, p->machine->clock.cycle + 2000) == STOP_UNTIL;
}

/* sgdt [edi], sidt [edi], sldt eax, str eax: in the order of the register's bits. */
static const uint8_t stores[4][3] = {{0x0f, 0x01, 0x07}, {0x0f, 0x01, 0x0f}, {0x0f, 0x00, 0xc0}, {0x0f, 0x00, 0xc8}};

Test(npiep, each_bit_prevents_its_instruction_in_user_code_alone)
{
    for (unsigned bit = 0; bit < 4; bit++) {
        for (unsigned i = 0; i < 4; i++) {
            PARTITION(p, fresh("ws2019"));
            cr_expect_eq(rd(p, 0, NPIEP_CONFIG), 0);
            cr_assert(wr(p, 0, NPIEP_CONFIG, 1ULL << bit) == MSR_OK);
            cr_expect_eq(rd(p, 0, NPIEP_CONFIG), 1ULL << bit);
            cr_expect_eq(runs(p, stores[i], 3), i != bit, "bit %u, instruction %u", bit, i);
        }
        PARTITION(p, fresh("ws2019"));
        cr_assert(wr(p, 0, NPIEP_CONFIG, 0xf) == MSR_OK);
        cr_expect(runs(p, stores[bit], 0), "CPL 0, instruction %u", bit);
    }
}

Test(npiep, is_a_vps_own_and_goes_again)
{
    PARTITION(p, fresh("ws2019"));
    cr_assert(wr(p, 1, NPIEP_CONFIG, 0xf) == MSR_OK);
    cr_expect(rd(p, 0, NPIEP_CONFIG) == 0 && runs(p, stores[0], 3));
    cr_assert(wr(p, 0, NPIEP_CONFIG, 0xf) == MSR_OK && wr(p, 0, NPIEP_CONFIG, 0) == MSR_OK);
    cr_expect(runs(p, stores[1], 3));
    partition_reset(p);
    cr_expect_eq(rd(p, 1, NPIEP_CONFIG), 0);
}

/* ---- guest idle, §7.5 ---- */

/* mov ecx, 0x400000f0; rdmsr; inc r15; hlt. Interrupts are off throughout, and VP 1 sleeps. */
static const uint8_t idler[] = {0xb9, 0xf0, 0x00, 0x00, 0x40, 0x0f, 0x32, 0x49, 0xff, 0xc7, 0xf4};

static void idle_guest(struct partition *p)
{
    sleep_all(p);
    guest(p, BOOT_MODE_64, CODE, idler, sizeof idler);
    apic_on(p);
}

/* When all sleep and nothing is due the machine ends; it may go on. */
static void run_on(struct partition *p, uint64_t until)
{
    partition_run(p, until);
    p->machine->end = END_NONE;
}

static uint64_t woken(struct partition *p)
{
    return vp_gpr(p->vps[0].vcpu, R15);
}

Test(guest_idle, ends_with_an_interrupt_that_is_masked)
{
    PARTITION(p, fresh("ws2019"));
    idle_guest(p);
    run_on(p, 100000);
    cr_expect_eq(woken(p), 0);
    cr_assert(lapic_interrupt(p->vps[0].vcpu, 0x40, false));
    run_on(p, 110000);
    cr_expect_eq(woken(p), 1, "IF is clear, and it is awake");
    cr_expect(irr(p, 0, 0x40), "the interrupt waits");
}

Test(guest_idle, does_not_begin_with_an_interrupt_there)
{
    PARTITION(p, fresh("ws2019"));
    idle_guest(p);
    lapic_write(p->vps[0].vcpu, 0x80, 0xff); /* the task priority holds back everything */
    cr_assert(lapic_interrupt(p->vps[0].vcpu, 0x40, false));
    run_on(p, 100000);
    cr_expect_eq(woken(p), 1);
}

Test(guest_idle, ends_with_an_nmi_and_costs_no_time_to_others)
{
    PARTITION(p, fresh("ws2019"));
    idle_guest(p);
    run_on(p, 100000);
    struct vp_state s;
    vp_get_state(p->vps[0].vcpu, &s);
    cr_expect_eq(s.activity, VP_IDLE);
    cr_expect(p->vps[0].run_cycles < 5000, "it does not run while it sleeps");
    cr_expect_not(vp_runnable(p->vps[0].vcpu));
    vp_set_nmi(p->vps[0].vcpu);
    cr_expect(vp_runnable(p->vps[0].vcpu));
}

Test(guest_idle, is_saved_and_restored)
{
    PARTITION(p, fresh("ws2019"));
    PARTITION(q, fresh("ws2019"));
    idle_guest(p);
    run_on(p, 100000);
    struct state *s = state_begin_save();
    machine_state(s, p->machine);
    partition_state(s, p);
    size_t length;
    uint8_t *bytes = state_finish_save(s, &length);
    state_end(s);
    s = state_begin_restore(bytes, length);
    machine_state(s, q->machine);
    partition_state(s, q);
    cr_assert(state_finish_restore(s), "%s", state_error(s));
    state_end(s);
    free(bytes);
    cr_assert(lapic_interrupt(q->vps[0].vcpu, 0x40, false));
    run_on(q, 110000);
    cr_expect_eq(woken(q), 1);
}

/* ---- the debugger's registers ---- */

Test(debug_registers, with_no_debugger_nothing_is_sent_and_nothing_comes)
{
    PARTITION(p, with("AccessDebugRegs"));
    for (uint32_t msr = SYNDBG_CONTROL; msr <= SYNDBG_CONTROL + 4; msr++) {
        cr_expect_eq(wr(p, 0, msr, 0x100000001) == MSR_OK, msr != SYNDBG_STATUS);
        cr_expect_eq(rd(p, 1, msr), msr == SYNDBG_STATUS ? 0 : 0x100000001);
    }
    partition_reset(p);
    cr_expect_eq(rd(p, 0, SYNDBG_CONTROL), 0);
}

/* ---- TSC invariant control ---- */

Test(tsc_invariant, is_shown_once_it_is_asked_for)
{
    PARTITION(p, with("AccessTscInvariantControls"));
    struct cpuid_result r = {0, 0, 0, 1 << 8};
    hv_cpuid(p, p->vps[0].vcpu, 0x80000007, 0, &r);
    cr_expect_eq(r.edx, 0);
    cr_assert(wr(p, 1, TSC_INVARIANT_CONTROL, 1) == MSR_OK);
    r.edx = 1 << 8;
    hv_cpuid(p, p->vps[0].vcpu, 0x80000007, 0, &r);
    cr_expect_eq(r.edx, 1 << 8);
    PARTITION(q, fresh("ws2019"));
    hv_cpuid(q, q->vps[0].vcpu, 0x80000007, 0, &r);
    cr_expect_eq(r.edx, 1 << 8, "without the control it is as the processor has it");
}
