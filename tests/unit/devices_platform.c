/* The platform as a whole: memory map, save and restore, and guests that do anything to it. */
#include <zstd.h>

#include "devices_fixture.h"

/* ---- memory map ---- */

static unsigned map_for(uint64_t ram_bytes, struct e820_entry map[E820_MAX])
{
    struct platform_config config = {.vps = 1, .ram_bytes = ram_bytes};
    return platform_e820(&config, map);
}

Test(e820, small_machine_has_low_memory_below_the_ebda_and_the_rest_above_1_mib)
{
    struct e820_entry map[E820_MAX];
    cr_assert_eq(map_for(256 << 20, map), 6);
    static const struct e820_entry expected[] = {
        {0, 0x9fc00, 1},          {0x9fc00, 0x400, 2},   {0xe0000, 0x20000, 2},
        {0x100000, 255 << 20, 1}, {0xfec00000, 4096, 2}, {0xfee00000, 4096, 2},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(expected); i++) {
        cr_expect_eq(map[i].base, expected[i].base, "entry %u", i);
        cr_expect_eq(map[i].bytes, expected[i].bytes, "entry %u", i);
        cr_expect_eq(map[i].type, expected[i].type, "entry %u", i);
    }
}

Test(e820, what_does_not_fit_below_the_hole_starts_at_4_gib)
{
    struct e820_entry map[E820_MAX];
    cr_assert_eq(map_for(64ULL << 30, map), 7);
    cr_expect_eq(map[3].base + map[3].bytes, MEMORY_HOLE_GPA);
    cr_expect_eq(map[6].base, MEMORY_HIGH_GPA);
    cr_expect_eq(map[6].bytes, (64ULL << 30) - MEMORY_HOLE_GPA);
}

/* Every size: sorted, no overlap, no more RAM than there is. */
Test(e820, entries_are_sorted_and_within_ram_for_every_size)
{
    for (uint64_t bytes = 4096; bytes <= MEMORY_MAX_BYTES; bytes += bytes / 7 / 4096 * 4096 + 4096) {
        struct e820_entry map[E820_MAX];
        unsigned count = map_for(bytes, map);
        uint64_t end = 0, ram = 0;
        for (unsigned i = 0; i < count; i++) {
            cr_assert_geq(map[i].base, end, "%lu bytes, entry %u", bytes, i);
            cr_assert_gt(map[i].bytes, 0);
            end = map[i].base + map[i].bytes;
            ram += map[i].type == E820_RAM ? map[i].bytes : 0;
        }
        cr_assert_leq(ram, bytes);
    }
}

/* ---- save and restore ---- */

static void visit(struct state *s, struct rig *r)
{
    machine_state(s, r->machine);
    cpu_state(s, r->cpu);
    platform_state(s, r->platform);
}
static struct state_digest digest_of(struct rig *r)
{
    struct state *s = state_begin_digest();
    visit(s, r);
    struct state_digest d = state_finish_digest(s);
    state_end(s);
    return d;
}
static bool same_state(struct rig *a, struct rig *b)
{
    struct state_digest x = digest_of(a), y = digest_of(b);
    return x.low == y.low && x.high == y.high;
}
static void copy_state(struct rig *from, struct rig *to)
{
    size_t length = 0;
    struct state *save = state_begin_save();
    visit(save, from);
    uint8_t *file = state_finish_save(save, &length);
    state_end(save);
    struct state *restore = state_begin_restore(file, length);
    cr_assert(state_ok(restore));
    visit(restore, to);
    cr_assert(state_finish_restore(restore), "%s", state_ok(restore) ? "bytes are left" : state_error(restore));
    state_end(restore);
    free(file);
}

static const uint16_t all_ports[] = {0x20,  0x21,  0xa0,  0xa1,  0x4d0, 0x4d1, 0x40,  0x41,  0x42,  0x43,  0x61,  0x70,
                                     0x71,  0x71,  0x60,  0x64,  0x92,  0x600, 0x602, 0x604, 0x608, 0x60c, 0x60d, 0xcf8,
                                     0xcf9, 0xe9,  0xf4,  0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x3fe, 0x3ff, 0x2f8,
                                     0x2f9, 0x2fa, 0x2fb, 0x2fc, 0x3e8, 0x3e9, 0x3ea, 0x3ec, 0x2e8, 0x2e9, 0x2ec};
static const uint16_t pit_ports[] = {0x42, 0x42, 0x43, 0x43, 0x61, 0x40, 0x42};
static const uint16_t rtc_ports[] = {0x70, 0x71, 0x71, 0x600, 0x602};
static const uint16_t uart_ports[] = {0x3f8, 0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x3fe};
static const uint16_t other_ports[] = {0x600, 0x602, 0x608, 0x60, 0x64, 0x92, 0xcf9};

/* What a random guest keeps itself busy with, and how long it may wait at once: not for ages beside a PIT that ticks at a
 * microsecond. */
struct interest {
    const uint16_t *ports;
    unsigned count;
    unsigned wait_bits; /* of cycles */
};
enum { INTEREST_ALL, INTERESTS = 5 };
static const struct interest interests[INTERESTS] = {
    {all_ports, ARRAY_COUNT(all_ports), 20},     {pit_ports, ARRAY_COUNT(pit_ports), 20},
    {rtc_ports, ARRAY_COUNT(rtc_ports), 36},     {uart_ports, ARRAY_COUNT(uart_ports), 24},
    {other_ports, ARRAY_COUNT(other_ports), 40},
};

/* One step of a guest that does anything: the answer it got. */
static uint64_t random_step(struct rig *r, struct prng *p, const struct interest *in)
{
    uint64_t dice = prng_next(p), value = prng_next(p);
    uint16_t port = in->ports[(dice >> 8) % in->count];
    unsigned bytes = 1u << (dice >> 16) % 8 % 3;
    switch (dice % 8) {
    case 0:
    case 1:
    case 2:
        ports_out(r->machine->ports, port, bytes, (uint32_t)value);
        return 0;
    case 3:
    case 4:
        return ports_in(r->machine->ports, port, bytes);
    case 5:
        mmio_write(r->machine->memory, gpa(0xfec00000), 4, value >> 32 & 0x3f);
        mmio_write(r->machine->memory, gpa(0xfec00010), 4, value);
        return mmio_read(r->machine->memory, gpa(0xfec00010), 4);
    case 6:
        run_for(r, value >> (64 - in->wait_bits) >> value % 16);
        return 0;
    default:
        if (dice >> 24 & 1) {
            return platform_extint_acknowledge(r->platform);
        }
        if (dice >> 25 & 1) {
            platform_eoi(r->platform, (uint8_t)value);
            return 0;
        }
        return platform_console_input(r->platform, dice >> 26 & 3, (const uint8_t *)&value, sizeof value);
    }
}

/* Determinism: a machine that was saved and restored anywhere goes on as the one that was not. */
Test(platform, a_restored_machine_answers_as_the_original_at_any_moment)
{
    struct prng dice = {.state = 20260101};
    for (unsigned round = 0; round < 150; round++) {
        const struct interest *in = &interests[round % INTERESTS];
        struct rig *a = rig_create(), *b = rig_create();
        for (unsigned step = 0; step < 150; step++) {
            random_step(a, &dice, in);
        }
        copy_state(a, b);
        cr_assert(same_state(a, b), "round %u: restored", round);
        struct prng again = dice;
        for (unsigned step = 0; step < 150; step++) {
            cr_assert_eq(random_step(a, &dice, in), random_step(b, &again, in), "round %u, step %u", round, step);
        }
        cr_assert(same_state(a, b), "round %u: later", round);
        rig_destroy(a);
        rig_destroy(b);
    }
}

/* Moments that random guests rarely meet: `port` answers by the field in question. Ends the rig. */
static void expect_same_answer(struct rig *a, uint16_t port, uint8_t expected)
{
    struct rig *b = rig_create();
    copy_state(a, b);
    cr_expect_eq(in8(b, port), expected, "port %x", port);
    cr_expect_eq(in8(a, port), expected, "port %x", port);
    rig_destroy(a);
    rig_destroy(b);
}

Test(platform, a_counter_held_by_its_gate_is_restored)
{
    struct rig *r = rig_create();
    out8(r, 0x61, 1);
    out8(r, 0x43, 0x90); /* channel 2, low byte, mode 0 */
    out8(r, 0x42, 200);
    run_to(r, clock_cycle_of_ticks(&r->machine->clock, 1 + 50, 1193182));
    out8(r, 0x61, 0);
    run_for(r, GHZ);
    expect_same_answer(r, 0x42, 150);
}

Test(platform, a_receiver_that_timed_out_is_restored)
{
    struct rig *r = rig_create();
    out8(r, 0x3f9, 0x01);
    out8(r, 0x3fa, 0xc1);
    cr_assert(platform_console_input(r->platform, 0, (const uint8_t *)"x", 1));
    run_to(r, GHZ);
    expect_same_answer(r, 0x3fa, 0xcc);
}

Test(platform, flags_of_the_rtc_that_were_read_do_not_return)
{
    struct rig *r = rig_create();
    run_to(r, 3 * GHZ);
    out8(r, 0x70, 0x0c);
    in8(r, 0x71);
    expect_same_answer(r, 0x71, 0x00);
}

/* A file whose queue is empty while the event of its next byte is armed. */
Test(platform, an_arrival_without_a_byte_is_nothing)
{
    struct rig *a = rig_create(), *b = rig_create();
    cr_assert(platform_console_input(b->platform, 0, (const uint8_t *)"x", 1));
    size_t length = 0;
    struct state *save = state_begin_save();
    platform_state(save, a->platform);
    uint8_t *file = state_finish_save(save, &length);
    state_end(save);
    struct state *restore = state_begin_restore(file, length);
    platform_state(restore, b->platform);
    cr_assert(state_finish_restore(restore));
    state_end(restore);
    free(file);
    run_to(b, GHZ);
    cr_expect_eq(in8(b, 0x3fd), 0x60);
    rig_destroy(a);
    rig_destroy(b);
}

/* The same steps make the same machine, whether time goes by in one piece or in many. */
Test(platform, how_far_the_clock_goes_at_once_is_not_visible)
{
    struct rig *a = rig_create(), *b = rig_create();
    struct prng x = {.state = 5}, y = {.state = 5};
    for (unsigned step = 0; step < 2000; step++) {
        cr_assert_eq(random_step(a, &x, &interests[INTEREST_ALL]), random_step(b, &y, &interests[INTEREST_ALL]));
        uint64_t target = a->machine->clock.cycle + 40000;
        run_to(a, target);
        for (uint64_t cycle = b->machine->clock.cycle; cycle < target; cycle += 999) {
            run_to(b, cycle);
        }
        run_to(b, target);
    }
    cr_expect(same_state(a, b));
    rig_destroy(a);
    rig_destroy(b);
}

Test(platform, survives_a_guest_that_does_anything)
{
    static const uint64_t clocks[] = {MHZ, GHZ, 10 * GHZ};
    struct prng dice = {.state = 42};
    for (unsigned i = 0; i < ARRAY_COUNT(clocks) * INTERESTS; i++) {
        struct rig *r = rig_create_with(clocks[i / INTERESTS], NULL);
        for (unsigned step = 0; step < 5000; step++) {
            random_step(r, &dice, &interests[i % INTERESTS]);
        }
        rig_destroy(r);
    }
}

/* ---- hostile save files ---- */

/* The raw fields of a device's section, as machine/state.c lays a file out: header, name, version, two lengths, one zstd frame.
 */
static size_t saved_fields(const struct device_type *type, void *device, uint8_t *fields, size_t room)
{
    struct state *save = state_begin_save();
    type->state(save, device);
    size_t length = 0, at = 24 + 1 + strlen(type->name) + 4 + 8;
    uint8_t *file = state_finish_save(save, &length);
    cr_assert(state_ok(save), "%s: %s", type->name, state_error(save));
    state_end(save);
    uint64_t packed = 0;
    cr_assert_gt(length, at + 8, "%s: a file of %zu bytes", type->name, length);
    memcpy(&packed, file + at, 8);
    size_t bytes = ZSTD_decompress(fields, room, file + at + 8, packed);
    cr_assert_not(ZSTD_isError(bytes), "%s", type->name);
    free(file);
    return bytes;
}

static bool restore_fields(const struct device_type *type, void *device, uint8_t *fields, size_t bytes)
{
    struct state *save = state_begin_save();
    state_section(save, type->name, 1);
    state_bytes(save, fields, bytes);
    size_t length = 0;
    uint8_t *file = state_finish_save(save, &length);
    state_end(save);
    struct state *restore = state_begin_restore(file, length);
    type->state(restore, device);
    bool accepted = state_finish_restore(restore);
    state_end(restore);
    free(file);
    return accepted;
}

/* A file with a right checksum in which a few bytes of the section differ. True when the device took it; one that did not is of
 * no further use to its owner: here it gets the undamaged file. */
static bool restore_damaged(const struct device_type *type, void *device, struct prng *dice)
{
    static uint8_t fields[32768], damaged[32768];
    size_t bytes = saved_fields(type, device, fields, sizeof fields);
    memcpy(damaged, fields, bytes);
    for (uint64_t i = prng_next(dice) % 4; i > 0; i--) {
        damaged[prng_next(dice) % bytes] = (uint8_t)(prng_next(dice) >> prng_next(dice) % 8);
    }
    if (restore_fields(type, device, damaged, bytes)) {
        return true;
    }
    cr_assert(restore_fields(type, device, fields, bytes), "%s: what it saved, it takes", type->name);
    return false;
}

enum { DAMAGED_FILES = 400 };

static void random_io(struct machine *m, struct prng *dice)
{
    for (unsigned step = 0; step < 40; step++) {
        uint64_t value = prng_next(dice);
        uint16_t port = all_ports[value % ARRAY_COUNT(all_ports)];
        ports_out(m->ports, port, 1, (uint32_t)(value >> 32));
        ports_in(m->ports, port, 1);
        for (unsigned i = 0; i < 20 && events_next(m->events) != CYCLE_NEVER; i++) {
            uint64_t due = events_next(m->events);
            m->clock.cycle = due > m->clock.cycle ? due : m->clock.cycle;
            events_run(m->events, m->clock.cycle);
        }
    }
}

/* A device alone in a machine whose clock jumps to where no clock has been. */
static unsigned accepted_files(const struct device_type *type, uint64_t clock_hz, struct prng *dice)
{
    const char *why = NULL;
    struct machine *m = machine_create(1 << 20, clock_hz, 1, &why);
    struct cpu_config config = {.cost = cost_table_by_name("ipc1"), .vps = 1};
    cr_assert(m != NULL && cpu_model_init(&config.model, "v2", VENDOR_AMD, clock_hz, 1));
    static const struct cpu_hooks hooks;
    struct cpu *cpu = cpu_create(m, &config, &hooks);
    static const struct platform_config platform = {.vps = 1, .ram_bytes = 1 << 20};
    struct irq_lines *lines = irq_lines_create(m);
    const struct device_env env = {m, cpu, lines, &platform};
    void *device = type->create(&env);
    type->reset(device);
    unsigned accepted = 0;
    for (unsigned i = 0; i < DAMAGED_FILES; i++) {
        m->clock.cycle = prng_next(dice) >> prng_next(dice) % 64;
        accepted += restore_damaged(type, device, dice);
        random_io(m, dice);
    }
    type->destroy(device);
    irq_lines_destroy(lines);
    cpu_destroy(cpu);
    machine_destroy(m);
    return accepted;
}

Test(platform, damaged_save_files_are_refused_or_harmless)
{
    static const struct device_type *const types[] = {&pic_device, &ioapic_device, &pit_device, &rtc_device,
                                                      &pm_device,  &kbc_device,    &uart_device};
    struct prng dice = {.state = 666};
    for (unsigned i = 0; i < ARRAY_COUNT(types); i++) {
        unsigned accepted = accepted_files(types[i], MHZ, &dice) + accepted_files(types[i], 10 * GHZ, &dice);
        cr_expect(accepted > 0 && accepted < 2 * DAMAGED_FILES, "%s took %u", types[i]->name, accepted);
    }
}
