/* Guests that want to break the processor: damaged tables, wild registers, system instructions in any order, in every mode.
 *
 * Nothing may crash or hang, and what happens may not depend on how the run is cut into slices, or on the host-side caches:
 * each case runs whole, and again in slices of 1 to 7 cycles with small caches that are flushed at odd moments.
 */
#include "cpu_system_fixture.h"
#include "machine/prng.h"

enum { CASES = 600, CYCLES = 6000, SLICED_CYCLES_MAX = 7 };

static uint64_t draw(struct prng *p, uint64_t below)
{
    return (prng_next(p) >> 11) % below;
}

/* First bytes of what this part of the processor does; operands follow at random. */
static const struct {
    uint8_t bytes;
    uint8_t code[4];
} starts[] = {
    {2, {0x0f, 0x00}},
    {2, {0x0f, 0x01}},
    {2, {0x0f, 0x02}},
    {2, {0x0f, 0x03}},
    {2, {0x0f, 0x05}},
    {3, {0x48, 0x0f, 0x07}},
    {2, {0x0f, 0x07}},
    {2, {0x0f, 0x20}},
    {2, {0x0f, 0x22}},
    {2, {0x0f, 0x21}},
    {2, {0x0f, 0x23}},
    {2, {0x0f, 0x30}},
    {2, {0x0f, 0x31}},
    {2, {0x0f, 0x34}},
    {2, {0x0f, 0x35}},
    {1, {0x8e}},
    {1, {0x8c}},
    {2, {0x0f, 0xa0}},
    {2, {0x0f, 0xa9}},
    {1, {0x17}},
    {1, {0x1f}},
    {1, {0x06}},
    {2, {0x0f, 0xb2}},
    {2, {0x0f, 0xb4}},
    {1, {0xc4}},
    {1, {0xcc}},
    {1, {0xcd}},
    {1, {0xce}},
    {1, {0xcf}},
    {2, {0x48, 0xcf}},
    {2, {0x66, 0xcf}},
    {1, {0xcb}},
    {1, {0xca}},
    {2, {0x48, 0xcb}},
    {1, {0xea}},
    {1, {0x9a}},
    {1, {0xff}},
    {2, {0x48, 0xff}},
    {1, {0xf1}},
    {1, {0x62}},
    {1, {0x63}},
    {1, {0x9c}},
    {1, {0x9d}},
    {1, {0xfa}},
    {1, {0xfb}},
    {1, {0xe4}},
    {1, {0xe7}},
    {1, {0xec}},
    {1, {0xef}},
    {1, {0x50}},
    {1, {0x58}},
    {1, {0xb8}},
    {1, {0xbc}},
    {3, {0x66, 0x0f, 0x38}},
    {2, {0x0f, 0xae}},
    {3, {0xf3, 0x0f, 0xae}},
    {3, {0x0f, 0x01, 0xf8}},
    {1, {0x89}},
    {1, {0x8b}},
};

static void write_code(struct guest *g, struct prng *p, uint64_t at, unsigned bytes)
{
    for (unsigned n = 0; n < bytes;) {
        unsigned i = (unsigned)draw(p, ARRAY_COUNT(starts));
        guest_bytes(g, at + n, starts[i].code, starts[i].bytes);
        n += starts[i].bytes;
        uint64_t operands = prng_next(p);
        if (draw(p, 2)) { /* a selector that means something, for immediates */
            operands = (operands & 0xffff0000ff00ffffULL) | draw(p, 24) << 3 << 40;
        }
        unsigned tail = 1 + (unsigned)draw(p, 6);
        poke(g, at + n, operands, 8);
        n += tail;
    }
}

static void damage(struct guest *g, struct prng *p, uint64_t at, unsigned bytes, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        uint64_t where = at + draw(p, bytes);
        poke(g, where, draw(p, 2) ? prng_next(p) : peek(g, where, 1) ^ 1u << draw(p, 8), 1);
    }
}

static void wild_registers(struct guest *g, struct prng *p)
{
    static const uint64_t values[] = {0,
                                      3,
                                      SEL_DATA3 | 3,
                                      SEL_CODE0_32,
                                      SEL_TSS2,
                                      SEL_LDT,
                                      SEL_SPARE | 3,
                                      DATA,
                                      STACK3,
                                      CODE0,
                                      CODE3,
                                      1ULL << 47,
                                      UINT64_MAX,
                                      0xc0000080,
                                      CR0_PE | CR0_PG | CR0_TS,
                                      CR4_PAE | CR4_VME | CR4_DE};
    for (unsigned i = 0; i < 16; i++) {
        if (i != RSP) {
            g->s.gpr[i] = draw(p, 4) ? values[draw(p, ARRAY_COUNT(values))] : prng_next(p);
        }
    }
    g->s.rflags |=
        prng_next(p) & (RFLAGS_IF | RFLAGS_IOPL | RFLAGS_AC | (draw(p, 8) ? 0 : RFLAGS_TF) | (draw(p, 8) ? 0 : RFLAGS_NT));
    g->s.cr0 |= draw(p, 2) ? CR0_AM : 0;
    g->s.cr4 |= prng_next(p) & (CR4_VME | CR4_PVI | CR4_UMIP | CR4_FSGSBASE | CR4_OSXSAVE | CR4_TSD);
    g->s.star = (uint64_t)(SEL_CODE3_32 | 3) << 48 | (uint64_t)SEL_CODE0_64 << 32;
    g->s.lstar = g->s.cstar = g->s.sysenter_eip = draw(p, 4) ? CODE0 : prng_next(p);
    g->s.sysenter_cs = SEL_CODE0_64;
    g->s.sysenter_esp = STACK0;
    g->s.dr[0] = CODE0 + draw(p, 64);
    g->s.dr[1] = STACK0 - draw(p, 64);
    g->s.dr7 = 0x400 | (draw(p, 4) ? 0 : prng_next(p) & 0xffff00ff);
}

/* Everything of a case follows from its seed. */
static struct guest hostile_guest(uint64_t seed)
{
    struct prng p = {.state = seed};
    struct guest g;
    switch (draw(&p, 5)) {
    case 0:
        g = guest_64(draw(&p, 2) ? VENDOR_AMD : VENDOR_INTEL, 0);
        break;
    case 1:
        g = guest_64(draw(&p, 2) ? VENDOR_AMD : VENDOR_INTEL, 3);
        break;
    case 2:
        g = guest_32(draw(&p, 2) ? 3 : 0);
        break;
    case 3:
        g = guest_v86((unsigned)draw(&p, 4));
        break;
    default:
        g = guest_16();
        break;
    }
    write_code(&g, &p, CODE0, 0x400);
    write_code(&g, &p, CODE3, 0x400);
    for (unsigned i = 0; i < 64; i++) { /* handlers: back, on, or anything */
        if (draw(&p, 3) == 0) {
            CODE(&g, handler(i), 0x48, 0xcf);
        } else {
            write_code(&g, &p, handler(i), 8);
        }
    }
    for (unsigned i = 0; i < 64; i++) {
        poke(&g, DATA + 8 * i, prng_next(&p), 8);
        poke(&g, STACK0 - 8 * i, draw(&p, 2) ? draw(&p, 0x100) : CODE0 + draw(&p, 0x400), 8);
        poke(&g, STACK3 - 8 * i, draw(&p, 2) ? draw(&p, 0x100) : CODE3 + draw(&p, 0x400), 8);
    }
    set_gdt(&g, SEL_SPARE, make_gate(SEL_CODE0_32, CODE0, 0xec, (unsigned)draw(&p, 32)));
    set_gdt(&g, SEL_SPARE2, make_gate(SEL_TSS2, 0, 0xe5, 0));
    set_gdt(&g, SEL_SPARE3, prng_next(&p));
    damage(&g, &p, GDT, 0x100, (unsigned)draw(&p, 24));
    damage(&g, &p, LDT, 0x80, 16);
    damage(&g, &p, IDT, 0x400, (unsigned)draw(&p, 24));
    damage(&g, &p, TSS, 0x100, (unsigned)draw(&p, 12));
    damage(&g, &p, TSS2, 0x100, 64);
    wild_registers(&g, &p);
    return g;
}

static void run_to_the_end(struct guest *g, uint64_t cycles, struct prng *slices)
{
    cr_assert(vp_set_state(g->vp, &g->s));
    uint64_t end = machine_now(g->machine) + cycles;
    while (machine_now(g->machine) < end) {
        uint64_t now = machine_now(g->machine), until = slices == NULL ? end : now + 1 + draw(slices, SLICED_CYCLES_MAX);
        g->stop = vp_run(g->vp, until < end ? until : end);
        if (g->stop == STOP_SHUTDOWN || g->stop == STOP_HALT) {
            break;
        }
    }
    vp_get_state(g->vp, &g->s);
}

static bool same(const struct guest *a, const struct guest *b)
{
    struct memory_digest x = memory_digest(a->machine->memory), y = memory_digest(b->machine->memory);
    return a->stop == b->stop && machine_now(a->machine) == machine_now(b->machine) && memcmp(&a->s, &b->s, sizeof a->s) == 0 &&
           x.low == y.low && x.high == y.high && vp_account(a->vp).instructions == vp_account(b->vp).instructions;
}

Test(hostile, nothing_a_guest_holds_crashes_hangs_or_depends_on_slices)
{
    unsigned ends[STOP_REQUEST + 1] = {0};
    for (uint64_t seed = 1; seed <= CASES; seed++) {
        GUEST whole = hostile_guest(seed);
        struct cpu_config small = whole.config;
        small.host_tlb_entries = 4;
        small.host_cache_flush_every = 5;
        GUEST sliced = guest_twin(&whole, &small, NULL);
        struct prng slices = {.state = seed};
        run_to_the_end(&whole, CYCLES, NULL);
        run_to_the_end(&sliced, CYCLES, &slices);
        cr_expect(same(&whole, &sliced), "seed %lu: stop %d and %d, rip %#lx and %#lx, cycle %lu and %lu", seed, whole.stop,
                  sliced.stop, whole.s.rip, sliced.s.rip, machine_now(whole.machine), machine_now(sliced.machine));
        ends[whole.stop]++;
    }
    cr_expect(ends[STOP_SHUTDOWN] > 0 && ends[STOP_UNTIL] > 0, "cases end in more than one way");
}
