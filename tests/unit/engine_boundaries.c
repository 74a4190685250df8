/* The engine's promises (cpu/vcpu.h, cpu/block.h): exact stops, code that changes under its feet, translations that are never
 * stale, and time that is right wherever a device can see it. Everything that is cached must stay invisible. */
#include "tests/unit/cpu_system_fixture.h"

#include "cpu/vcpu.h"

static struct guest code_guest(const void *code, size_t bytes)
{
    struct guest g = guest_64(VENDOR_AMD, 0);
    guest_bytes(&g, CODE0, code, bytes);
    return g;
}
#define CODE_GUEST(name, ...)                                                                                                  \
    const uint8_t name##_code[] = {__VA_ARGS__};                                                                               \
    struct guest name = code_guest(name##_code, sizeof name##_code)

/* ---- boundaries ---- */

/* A loop with a fused comparison, memory, a call and REP MOVSB: many kinds of block ends in few bytes. */
static const uint8_t busy_loop[] = {
    0xb9, 0x05, 0,    0,    0,       /* mov ecx, 5 */
    0xbe, 0x00, 0x00, 0x03, 0,       /* mov esi, 0x30000 */
    0xbf, 0x40, 0x00, 0x03, 0,       /* mov edi, 0x30040 */
    0xf3, 0xa4,                      /* rep movsb */
    0xff, 0xc3,                      /* inc ebx */
    0x89, 0x1e,                      /* mov [rsi], ebx */
    0xe8, 0x09, 0,    0,    0,       /* call the last line */
    0x81, 0xfb, 0x90, 0x01, 0,    0, /* cmp ebx, 400 */
    0x72, 0xde,                      /* jb start */
    0xf4,                            /* hlt */
    0x01, 0xd8, 0xd1, 0xc0, 0xc3,    /* add eax, ebx; rol eax, 1; ret */
};
/* Instructions of one round: 3 moves, rep, inc, mov, call, 3 in the callee, cmp, jb. Cycles: REP costs one for each of its 5
 * iterations. */
enum { ROUND_INSTRUCTIONS = 12, ROUND_CYCLES = 16, ROUNDS = 400 };

static struct guest busy_guest(void)
{
    return code_guest(busy_loop, sizeof busy_loop);
}

Test(boundaries, instructions_and_cycles_are_counted_exactly)
{
    struct guest g = busy_guest();
    guest_run(&g);
    cr_expect_eq(g.stop, STOP_HALT);
    cr_expect_eq(vp_account(g.vp).instructions, (uint64_t)ROUNDS * ROUND_INSTRUCTIONS + 1);
    cr_expect_eq(machine_now(g.machine), (uint64_t)ROUNDS * ROUND_CYCLES + 1 + cost_table_by_name("ipc1")->event[EXIT_HALT]);
    guest_destroy(&g);
}

Test(boundaries, ipc1_stops_at_every_cycle)
{
    struct guest g = busy_guest();
    cr_assert(vp_set_state(g.vp, &g.s));
    for (uint64_t cycle = 1; cycle < 3000; cycle++) {
        cr_assert_eq(vp_run(g.vp, cycle), STOP_UNTIL);
        cr_assert_eq(machine_now(g.machine), cycle);
    }
    guest_destroy(&g);
}

Test(boundaries, slices_change_nothing)
{
    struct guest whole = busy_guest();
    guest_run(&whole);
    static const uint64_t slices[] = {1, 2, 3, 7, 13, 100, 1000};
    for (unsigned i = 0; i < ARRAY_COUNT(slices); i++) {
        struct guest g = busy_guest();
        cr_assert(vp_set_state(g.vp, &g.s));
        enum vp_stop stop;
        do {
            stop = vp_run(g.vp, machine_now(g.machine) + slices[i]);
        } while (stop == STOP_UNTIL);
        vp_get_state(g.vp, &g.s);
        cr_expect_eq(memcmp(g.s.gpr, whole.s.gpr, sizeof g.s.gpr), 0, "slices of %lu", slices[i]);
        cr_expect_eq(g.s.rflags, whole.s.rflags);
        cr_expect_eq(machine_now(g.machine), machine_now(whole.machine));
        cr_expect_eq(vp_account(g.vp).instructions, vp_account(whole.vp).instructions);
        guest_destroy(&g);
    }
    guest_destroy(&whole);
}

/* SDM 2B REP: between iterations RIP still names the instruction and RCX what is left. */
Test(boundaries, rep_stops_between_iterations)
{
    CODE_GUEST(g, 0xf3, 0xaa, 0xf4); /* rep stosb; hlt */
    g.s.gpr[RCX] = 10000;
    g.s.gpr[RDI] = DATA;
    cr_assert(vp_set_state(g.vp, &g.s));
    cr_assert_eq(vp_run(g.vp, 5003), STOP_UNTIL);
    cr_expect_eq(vp_gpr(g.vp, RCX), 10000 - 5003);
    cr_expect_eq(vp_gpr(g.vp, RDI), DATA + 5003);
    cr_expect_eq(vp_account(g.vp).instructions, 0, "not retired before its last iteration");
    guest_destroy(&g);
}

/* ---- code that changes ---- */

Test(self_modifying, a_store_to_the_next_instruction_takes_effect)
{
    /* mov byte [rip+1], 5 ; mov eax, 1 (whose immediate the store has just changed) ; hlt */
    CODE_GUEST(g, 0xc6, 0x05, 0x01, 0, 0, 0, 0x05, 0xb8, 0x01, 0, 0, 0, 0xf4);
    guest_run(&g);
    cr_expect_eq(g.s.gpr[RAX], 5);
    guest_destroy(&g);
}

Test(self_modifying, a_loop_that_patches_itself_sees_each_patch)
{
    /* start: inc byte [rip+2+imm]; add ebx, imm8; cmp byte [imm], 10; jb start; hlt: ebx = 1+2+...+10 */
    CODE_GUEST(g, 0xfe, 0x05, 0x02, 0, 0, 0, 0x83, 0xc3, 0x00, 0x80, 0x3d, 0xf8, 0xff, 0xff, 0xff, 0x0a, 0x72, 0xee, 0xf4);
    guest_run(&g);
    cr_expect_eq(g.s.gpr[RBX], 55);
    guest_destroy(&g);
}

Test(self_modifying, code_changed_from_outside_is_decoded_anew)
{
    CODE_GUEST(g, 0xb8, 0x01, 0, 0, 0, 0xf4);
    guest_run(&g);
    cr_expect_eq(g.s.gpr[RAX], 1);
    poke(&g, CODE0 + 1, 7, 1);
    g.s.rip = CODE0;
    g.s.activity = VP_RUNNING;
    guest_run(&g);
    cr_expect_eq(g.s.gpr[RAX], 7);
    guest_destroy(&g);
}

/* The return address that a CALL pushes lands on the CALL's own target. */
Test(self_modifying, a_call_that_overwrites_its_target)
{
    CODE_GUEST(g, 0xe8, 0x0b, 0, 0, 0); /* call CODE0 + 0x10, where `hlt` waits */
    poke(&g, CODE0 + 0x10, 0xf4, 1);
    guest_run(&g); /* the block at the target is known now */
    EXPECT_HALT_AT(&g, CODE0 + 0x10);
    g.s.activity = VP_RUNNING;
    g.s.rip = CODE0;
    g.s.gpr[RSP] = CODE0 + 0x18; /* pushes CODE0+5 = 05 00 02 00 ...: add eax, imm32 = ... */
    guest_run(&g);
    cr_expect_neq(g.s.rip, (uint64_t)CODE0 + 0x11, "the old HLT did not run");
    guest_destroy(&g);
}

/* ---- instructions across a page end ---- */

Test(crossing, an_instruction_may_span_two_pages)
{
    struct guest g = guest_64(VENDOR_AMD, 0);
    static const uint8_t code[] = {0xb8, 0x78, 0x56, 0x34, 0x12, 0xf4};
    guest_bytes(&g, 0x21ffe, code, sizeof code);
    g.s.rip = 0x21ffe;
    guest_run(&g);
    cr_expect_eq(g.s.gpr[RAX], 0x12345678);
    poke(&g, 0x22000, 0xff, 1); /* its third byte, in the second page */
    g.s.rip = 0x21ffe;
    g.s.activity = VP_RUNNING;
    guest_run(&g);
    cr_expect_eq(g.s.gpr[RAX], 0x1234ff78);
    guest_destroy(&g);
}

/* 4 KiB pages for the first 2 MiB; returns the address of the entry for a page. */
static uint64_t small_pages(struct guest *g)
{
    uint64_t table = TABLES + 0x3000;
    for (unsigned i = 0; i < 512; i++) {
        poke(g, table + 8 * i, (uint64_t)i << 12 | 7, 8);
    }
    poke(g, TABLES + 0x2000, table | 7, 8);
    return table;
}

/* SDM 3A §4.7: CR2 is the address that failed: the second page's first byte. */
Test(crossing, a_fault_on_the_second_page_names_it)
{
    struct guest g = guest_64(VENDOR_AMD, 0);
    uint64_t table = small_pages(&g);
    static const uint8_t code[] = {0xb8, 0x78};
    guest_bytes(&g, 0x24ffe, code, sizeof code);
    poke(&g, table + 8 * 0x25, 0, 8);
    g.s.rip = 0x24ffe;
    guest_run(&g);
    EXPECT_EVENT(&g, VEC_PF, 0x10, 0x24ffe); /* instruction fetch; NXE is on */
    cr_expect_eq(g.s.cr2, 0x25000);
    guest_destroy(&g);
}

/* One byte is enough for HLT: the absent next page must not matter. */
Test(crossing, an_instruction_that_ends_at_the_page_end_does_not_touch_the_next)
{
    struct guest g = guest_64(VENDOR_AMD, 0);
    uint64_t table = small_pages(&g);
    poke(&g, 0x24fff, 0xf4, 1);
    poke(&g, table + 8 * 0x25, 0, 8);
    g.s.rip = 0x24fff;
    guest_run(&g);
    EXPECT_HALT_AT(&g, 0x24fff);
    guest_destroy(&g);
}

/* ---- translations: policy `fresh` ---- */

/* mov eax, [0x30000]; mov qword [entry], value; mov ebx, [0x30000]; hlt */
static void remap_code(struct guest *g, uint64_t entry, uint64_t value)
{
    uint8_t code[] = {0x8b, 0x04, 0x25, 0x00, 0x00, 0x03, 0, 0x48, 0xb9, 0,    0,    0,    0,    0,    0, 0,   0,
                      0x48, 0x89, 0x0c, 0x25, 0,    0,    0, 0,    0x8b, 0x1c, 0x25, 0x00, 0x00, 0x03, 0, 0xf4};
    memcpy(code + 9, &value, 8);
    uint32_t at = (uint32_t)entry;
    memcpy(code + 21, &at, 4);
    guest_bytes(g, CODE0, code, sizeof code);
}

Test(fresh, a_changed_leaf_is_seen_by_the_next_access)
{
    struct guest g = guest_64(VENDOR_AMD, 0);
    uint64_t table = small_pages(&g);
    poke(&g, 0x30000, 11, 4);
    poke(&g, 0x31000, 22, 4);
    remap_code(&g, table + 8 * 0x30, 0x31000 | 7);
    guest_run(&g);
    cr_expect_eq(g.s.gpr[RAX], 11);
    cr_expect_eq(g.s.gpr[RBX], 22);
    guest_destroy(&g);
}

Test(fresh, a_changed_directory_is_seen_by_the_next_access)
{
    struct guest g = guest_64(VENDOR_AMD, 0);
    uint64_t table = small_pages(&g), other = TABLES + 0x4000;
    for (unsigned i = 0; i < 512; i++) {
        poke(&g, other + 8 * i, (uint64_t)(i == 0x30 ? 0x31 : i) << 12 | 7, 8);
    }
    (void)table;
    poke(&g, 0x30000, 11, 4);
    poke(&g, 0x31000, 22, 4);
    remap_code(&g, TABLES + 0x2000, other | 7);
    guest_run(&g);
    cr_expect_eq(g.s.gpr[RAX], 11);
    cr_expect_eq(g.s.gpr[RBX], 22);
    guest_destroy(&g);
}

/* The page that runs is mapped elsewhere by a store in it: the next instruction comes from the new page. */
Test(fresh, code_remapped_under_itself)
{
    struct guest g = guest_64(VENDOR_AMD, 0);
    uint64_t table = small_pages(&g);
    /* mov [entry of 0x20000], rcx; mov eax, 1; hlt   -- and in the other page: same length, mov eax, 2 */
    uint32_t entry = (uint32_t)(table + 8 * 0x20);
    uint8_t code[] = {0x48, 0x89, 0x0c, 0x25, 0, 0, 0, 0, 0xb8, 1, 0, 0, 0, 0xf4};
    memcpy(code + 4, &entry, 4);
    guest_bytes(&g, CODE0, code, sizeof code);
    code[9] = 2;
    guest_bytes(&g, 0x32000, code, sizeof code);
    g.s.gpr[RCX] = 0x32000 | 7;
    guest_run(&g);
    cr_expect_eq(g.s.gpr[RAX], 2);
    guest_destroy(&g);
}

/* Two address spaces; the one that is not loaded changes; on return the change is seen (no stale remembered space). */
Test(fresh, a_leaf_changed_while_its_space_is_not_loaded)
{
    struct guest g = guest_64(VENDOR_AMD, 0);
    uint64_t table = small_pages(&g), second = TABLES + 0x8000;
    for (unsigned i = 0; i < 3; i++) { /* a second set of upper tables over the same 4 KiB table */
        for (unsigned k = 0; k < 512; k++) {
            poke(&g, second + 0x1000 * i + 8 * k, peek(&g, TABLES + 0x1000 * i + 8 * k, 8), 8);
        }
    }
    poke(&g, second, (second + 0x1000) | 7, 8);
    poke(&g, second + 0x1000, (second + 0x2000) | 7, 8);
    poke(&g, 0x30000, 11, 4);
    poke(&g, 0x31000, 22, 4);
    uint32_t entry = (uint32_t)(table + 8 * 0x30);
    /* mov eax,[0x30000]; mov cr3, rdx; mov [entry], rcx; mov cr3, rsi; mov ebx,[0x30000]; hlt */
    uint8_t code[] = {0x8b, 0x04, 0x25, 0x00, 0x00, 0x03, 0,    0x0f, 0x22, 0xda, 0x48, 0x89, 0x0c, 0x25, 0,
                      0,    0,    0,    0x0f, 0x22, 0xde, 0x8b, 0x1c, 0x25, 0x00, 0x00, 0x03, 0,    0xf4};
    memcpy(code + 14, &entry, 4);
    guest_bytes(&g, CODE0, code, sizeof code);
    g.s.gpr[RCX] = 0x31000 | 7;
    g.s.gpr[RDX] = second;
    g.s.gpr[RSI] = TABLES;
    guest_run(&g);
    cr_expect_eq(g.s.gpr[RAX], 11);
    cr_expect_eq(g.s.gpr[RBX], 22);
    guest_destroy(&g);
}

/* SDM 3A §4.8: the dirty bit is set by the first write, also when a read came first; clearing it in the table makes the next
 * write set it again. */
Test(fresh, dirty_and_accessed_bits_come_back_after_they_were_cleared)
{
    struct guest g = guest_64(VENDOR_AMD, 0);
    uint64_t table = small_pages(&g), entry = table + 8 * 0x30;
    uint32_t at = (uint32_t)entry;
    /* mov eax,[0x30000]; mov rbx,[entry]; mov [0x30000],eax; mov rcx,[entry]; mov qword [entry],0x30007; mov [0x30000],eax; mov
     * rdx,[entry]; hlt */
    uint8_t code[] = {0x8b, 0x04, 0x25, 0,    0,    3, 0, 0x48, 0x8b, 0x1c, 0x25, 0,    0,    0, 0, 0x89, 0x04, 0x25, 0, 0, 3,
                      0,    0x48, 0x8b, 0x0c, 0x25, 0, 0, 0,    0,    0x48, 0xc7, 0x04, 0x25, 0, 0, 0,    0,    7,    0, 3, 0,
                      0x89, 0x04, 0x25, 0,    0,    3, 0, 0x48, 0x8b, 0x14, 0x25, 0,    0,    0, 0, 0xf4};
    memcpy(code + 11, &at, 4);
    memcpy(code + 26, &at, 4);
    memcpy(code + 34, &at, 4);
    memcpy(code + 53, &at, 4);
    guest_bytes(&g, CODE0, code, sizeof code);
    guest_run(&g);
    cr_expect_eq(g.s.gpr[RBX], 0x30027, "after a read: accessed");
    cr_expect_eq(g.s.gpr[RCX], 0x30067, "after a write: accessed and dirty");
    cr_expect_eq(g.s.gpr[RDX], 0x30067, "cleared, then written again");
    guest_destroy(&g);
}

/* ---- devices see the exact moment ---- */

struct probe {
    struct machine *machine;
    uint64_t seen_cycle[8];
    uint64_t seen_value[8];
    unsigned count;
};
static uint64_t probe_read(void *owner, uint64_t offset, unsigned bytes)
{
    struct probe *p = owner;
    p->seen_cycle[p->count & 7] = machine_now(p->machine);
    p->seen_value[p->count++ & 7] = ~0ULL;
    return 0x55;
}
static void probe_write(void *owner, uint64_t offset, unsigned bytes, uint64_t value)
{
    struct probe *p = owner;
    p->seen_cycle[p->count & 7] = machine_now(p->machine);
    p->seen_value[p->count++ & 7] = value;
}
static const struct mmio_ops probe_ops = {probe_read, probe_write};

Test(moments, mmio_in_the_middle_of_a_block_sees_its_own_cycle)
{
    /* nop x3; mov eax,[0x800000]; nop x2; add dword [0x800000], 1; nop; hlt */
    CODE_GUEST(g, 0x90, 0x90, 0x90, 0x8b, 0x04, 0x25, 0, 0, 0x80, 0, 0x90, 0x90, 0x83, 0x04, 0x25, 0, 0, 0x80, 0, 1, 0x90,
               0xf4);
    struct probe p = {.machine = g.machine};
    cr_assert(mmio_add(g.machine->memory, "probe", gpa(0x800000), 4096, &probe_ops, &p));
    uint64_t cost = cost_table_by_name("ipc1")->event[EXIT_MMIO];
    guest_run(&g);
    cr_assert_eq(p.count, 3);
    cr_expect_eq(p.seen_cycle[0], 4 + cost, "the fourth instruction, and its exit");
    cr_expect_eq(p.seen_cycle[1], 7 + 2 * cost, "read of the read-modify-write");
    cr_expect_eq(p.seen_cycle[2], 7 + 3 * cost, "write of the read-modify-write");
    cr_expect_eq(p.seen_value[2], 0x56);
    cr_expect_eq(vp_account(g.vp).instructions, 9);
    guest_destroy(&g);
}

Test(moments, a_deadline_set_in_a_device_stops_the_run_there)
{
    CODE_GUEST(g, 0x8b, 0x04, 0x25, 0, 0, 0x80, 0, 0x90, 0x90, 0x90, 0x90, 0xeb, 0xfe); /* mov eax,[mmio]; nops; jmp self */
    struct probe p = {.machine = g.machine};
    cr_assert(mmio_add(g.machine->memory, "probe", gpa(0x800000), 4096, &probe_ops, &p));
    cr_assert(vp_set_state(g.vp, &g.s));
    uint64_t cost = cost_table_by_name("ipc1")->event[EXIT_MMIO];
    cr_assert_eq(vp_run(g.vp, 1 + cost + 2), STOP_UNTIL);
    cr_expect_eq(machine_now(g.machine), 1 + cost + 2);
    guest_destroy(&g);
}
