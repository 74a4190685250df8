/* What a listener hears: each thing once, and at moments that never fall, also when an instruction that was already seen to act
 * faults afterwards. machine/ctf.h relies on it. */
#include "cpu_system_fixture.h"

struct heard {
    unsigned count;
    uint64_t cycle[16];
    char name[16][24];
};

static void hear(void *owner, const struct trace_event *e)
{
    struct heard *h = owner;
    if (h->count < 16) {
        h->cycle[h->count] = e->cycle;
        strncpy(h->name[h->count], e->row->name, sizeof h->name[0] - 1);
        h->count++;
    }
}

static unsigned times_heard(const struct heard *h, const char *name)
{
    unsigned n = 0;
    for (unsigned i = 0; i < h->count; i++) {
        n += strcmp(h->name[i], name) == 0;
    }
    return n;
}

static struct heard run_heard(struct guest *g)
{
    struct heard h = {0};
    trace_listen(g->machine->trace, NULL, hear, &h);
    cr_assert(vp_set_state(g->vp, &g->s));
    (void)vp_run(g->vp, 1000000);
    trace_unlisten(g->machine->trace, hear, &h);
    for (unsigned i = 1; i < h.count; i++) {
        cr_expect_leq(h.cycle[i - 1], h.cycle[i], "%s after %s", h.name[i], h.name[i - 1]);
    }
    return h;
}

Test(trace_clock, a_refused_msr_is_heard_once_and_before_its_exception)
{
    GUEST g = guest_64(VENDOR_AMD, 0);
    CODE(&g, CODE0, 0x90, 0x90, 0xb9, 0x78, 0x56, 0x34, 0x12, 0x0f, 0x30); /* nop; nop; mov ecx, 12345678h; wrmsr */
    struct heard h = run_heard(&g);
    cr_expect_eq(times_heard(&h, "msr_refused"), 1);
    cr_expect_eq(times_heard(&h, "exception"), 1);
}

Test(trace_clock, a_written_msr_is_heard_once)
{
    GUEST g = guest_64(VENDOR_AMD, 0);
    g.s.gpr[RAX] = g.s.gpr[RDX] = 0;
    CODE(&g, CODE0, 0xb9, 0x02, 0x01, 0x00, 0xc0, 0x0f, 0x30, 0x0f, 0x32,
         0xf4); /* mov ecx, KERNEL_GS_BASE; wrmsr; rdmsr; hlt */
    struct heard h = run_heard(&g);
    cr_expect_eq(times_heard(&h, "msr_write"), 1);
    cr_expect_eq(times_heard(&h, "msr_read"), 1);
}

/* SDM 2B PUSH: the operand is read before the stack is written. */
Test(trace_clock, an_mmio_read_whose_instruction_then_faults_stays_in_the_past)
{
    GUEST g = guest_64(VENDOR_AMD, 0);
    poke(&g, TABLES + 0x1018, (TABLES + 0x4000) | 7, 8); /* 3 GiB to 4 GiB: the local APIC's page */
    poke(&g, TABLES + 0x4000 + 0x1f7 * 8, 0xfee00000 | 0x87, 8);
    g.s.gpr[RBX] = 0xfee00030;
    g.s.gpr[RSP] = 0x40000000; /* not mapped */
    set_idt64(&g, VEC_PF, SEL_CODE0_64, handler(VEC_PF), 0x8e, 1);
    CODE(&g, CODE0, 0x90, 0xff, 0x33, 0x90, 0xf4); /* nop; push qword [rbx] */
    struct heard h = run_heard(&g);
    cr_expect_geq(times_heard(&h, "mmio_read"), 1);
    cr_expect_eq(times_heard(&h, "exception"), 1);
}
