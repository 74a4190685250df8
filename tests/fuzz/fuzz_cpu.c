/* Fuzzer of the processor (libFuzzer): any code, in any mode, from damaged tables and registers. What must hold: no crash, no
 * hang, no undefined behaviour; and the run in slices, on small host caches that are emptied all the time, ends in the same
 * state. input: byte 0: bits 0-2 mode, bit 3 vendor, bit 4 policy `stalest`, bit 5 handlers go on in the code, bit 6 more
 * features on in CR4 byte 1: longest slice; byte 2: number of patches patches of 10 bytes: 2 bytes place, 8 bytes value: below
 * 0x8000 eight bytes of memory (place * 8), above of the registers the rest: code of both rings */
#include "tests/unit/cpu_system_fixture.h"

enum { HEAD_BYTES = 3, PATCH_BYTES = 10, CODE_MAX = 2048, CYCLES = 600, REGISTER_PATCH = 0x8000 };
/* Of vp_state, what is plain numbers (a bool may not hold anything else). */
enum { PATCHABLE = offsetof(struct vp_state, activity) - 8 };

static struct guest guest_of_mode(unsigned mode, enum cpu_vendor vendor)
{
    switch (mode) {
    case 0:
        return guest_64(vendor, 0);
    case 1:
        return guest_64(vendor, 3);
    case 2:
        return guest_32(0);
    case 3:
        return guest_32(3);
    case 4:
        return guest_v86(3);
    case 5:
        return guest_v86(0);
    case 6:
        return guest_16();
    default:
        break;
    }
    struct guest g = guest_64(vendor, 3);
    set_flat(&g, 3, SEL_CODE3_32, 0xc); /* compatibility mode */
    return g;
}

static void patch(struct guest *g, const uint8_t *p)
{
    unsigned place = p[0] | (unsigned)p[1] << 8;
    if (place < REGISTER_PATCH) {
        guest_bytes(g, (uint64_t)place * 8, p + 2, 8);
    } else {
        memcpy((uint8_t *)&g->s + (place - REGISTER_PATCH) % PATCHABLE, p + 2, 8);
    }
}

/* False when no machine can be in the state that the input asks for. */
static bool guest_of_input(struct guest *g, const uint8_t *data, size_t size)
{
    *g = guest_of_mode(data[0] & 7, data[0] & 8 ? VENDOR_INTEL : VENDOR_AMD);
    unsigned patches = data[2];
    data += HEAD_BYTES;
    size -= HEAD_BYTES;
    if (data[-HEAD_BYTES] & 0x40) {
        g->s.cr4 |= CR4_VME | CR4_PVI | CR4_DE | CR4_FSGSBASE | CR4_OSXSAVE | CR4_UMIP | CR4_OSFXSR | CR4_OSXMMEXCPT;
        g->s.cr0 |= CR0_AM;
        g->s.star = (uint64_t)(SEL_CODE3_32 | 3) << 48 | (uint64_t)SEL_CODE0_64 << 32;
        g->s.lstar = g->s.cstar = g->s.sysenter_eip = CODE0;
        g->s.sysenter_cs = SEL_CODE0_64;
        g->s.sysenter_esp = STACK0;
    }
    for (unsigned i = 0; i < 256 && (data[-HEAD_BYTES] & 0x20); i++) { /* jmp into the code */
        int32_t away = (int32_t)(CODE0 + 4 * i) - (int32_t)(handler(i) + 5);
        poke(g, handler(i), 0xe9, 1);
        poke(g, handler(i) + 1, (uint32_t)away, 4);
    }
    for (; patches != 0 && size >= PATCH_BYTES; patches--, data += PATCH_BYTES, size -= PATCH_BYTES) {
        patch(g, data);
    }
    size = size > CODE_MAX ? CODE_MAX : size;
    guest_bytes(g, CODE0, data, size);
    guest_bytes(g, CODE3, data, size);
    return vp_set_state(g->vp, &g->s);
}

struct end {
    enum vp_stop stop;
    uint64_t now, instructions;
    struct memory_digest memory;
    struct state_digest state;
};

static struct end run(struct guest *g, unsigned slice_max)
{
    cr_assert(vp_set_state(g->vp, &g->s));
    const uint64_t last = machine_now(g->machine) + CYCLES;
    struct end e = {.stop = STOP_UNTIL};
    for (unsigned n = 1; machine_now(g->machine) < last && e.stop != STOP_HALT && e.stop != STOP_SHUTDOWN; n = n * 5 + 3) {
        uint64_t before = machine_now(g->machine), until = slice_max == 0 ? last : before + 1 + n % slice_max;
        e.stop = vp_run(g->vp, until < last ? until : last);
        cr_assert(machine_now(g->machine) > before || e.stop != STOP_UNTIL); /* time goes on */
    }
    struct state *s = state_begin_digest();
    cpu_state(s, g->cpu);
    e.state = state_finish_digest(s);
    state_end(s);
    cpu_drop_writable(g->cpu);
    e.memory = memory_digest(g->machine->memory);
    e.now = machine_now(g->machine);
    e.instructions = vp_account(g->vp).instructions;
    return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD_BYTES + 1) {
        return 0;
    }
    GUEST base = {.machine = NULL};
    if (!guest_of_input(&base, data, size)) {
        return 0;
    }
    struct cpu_config config = base.config;
    config.policy = data[0] & 0x10 ? TRANSLATE_STALEST : TRANSLATE_FRESH;
    GUEST whole = guest_twin(&base, &config, NULL);
    config.host_tlb_entries = 4;
    config.host_cache_flush_every = 7;
    GUEST sliced = guest_twin(&base, &config, NULL);
    struct end a = run(&whole, 0), b = run(&sliced, 1 + data[1] % 16);
    if (getenv("FUZZ_SAY") != NULL) {
        fprintf(stderr, "whole: stop %d at cycle %lu after %lu instructions; sliced: stop %d at cycle %lu after %lu\n", a.stop,
                a.now, a.instructions, b.stop, b.now, b.instructions);
    }
    cr_assert(a.now == b.now && a.instructions == b.instructions && a.stop == b.stop);
    cr_assert(a.state.low == b.state.low && a.state.high == b.state.high);
    cr_assert(a.memory.low == b.memory.low && a.memory.high == b.memory.high);
    return 0;
}
