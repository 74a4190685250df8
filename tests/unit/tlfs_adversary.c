/* An adversarial but legal hypervisor: spurious wake-ups, busy slots. And the accounts of what a guest used. */
#include "tests/unit/tlfs_fixture.h"

static void partition_end(struct partition **p)
{
    partition_destroy(*p);
}
#define PARTITION(name, ...) __attribute__((cleanup(partition_end))) struct partition *name = __VA_ARGS__

static struct partition *adversarial(uint64_t wake_cycles, uint32_t busy_every)
{
    struct profile profile;
    cr_assert(profile_find("ws2019", &profile));
    struct partition_config config = {.ram_bytes = 64 * MIB,
                                      .turn_cycles = 1000,
                                      .profile = &profile,
                                      .spurious_wake_cycles = wake_cycles,
                                      .busy_slots_every = busy_every};
    cr_assert(cpu_model_init(&config.cpu.model, "v2", VENDOR_AMD, GHZ, 2));
    config.cpu.cost = cost_table_by_name("ipc1");
    config.cpu.vps = 2;
    const char *why = "";
    struct partition *p = partition_create(&config, &why);
    cr_assert(p != NULL, "%s", why);
    return p;
}

/* inc r15; hlt; jmp */
static const uint8_t sleeper[] = {0x49, 0xff, 0xc7, 0xf4, 0xeb, 0xfa};

Test(adversary, sleepers_wake_in_turn_at_exact_moments)
{
    PARTITION(p, adversarial(10000, 0));
    guest(p, BOOT_MODE_64, CODE, sleeper, sizeof sleeper);
    also(p, 1, CODE, 0);
    struct seen seen;
    see(p, "spurious_wake", &seen);
    partition_run(p, 100500);
    cr_assert_eq(seen.count, 10);
    for (unsigned i = 0; i < 10; i++) {
        cr_expect(seen.event[i].cycle == 10000 * (i + 1) && seen.event[i].vp == i % 2, "%u", i);
    }
    cr_expect(vp_gpr(p->vps[0].vcpu, R15) == 6 && vp_gpr(p->vps[1].vcpu, R15) == 6);
    cr_expect_eq(p->machine->end, END_NONE, "nobody sleeps for ever");
}

Test(adversary, a_vp_that_waits_for_a_sipi_or_runs_is_left_alone)
{
    PARTITION(p, adversarial(10000, 0));
    static const uint8_t busy[] = {0xeb, 0xfe};
    guest(p, BOOT_MODE_64, CODE, busy, sizeof busy);
    struct seen seen;
    see(p, "spurious_wake", &seen);
    partition_run(p, 100000);
    cr_expect_eq(seen.count, 0);
}

Test(adversary, every_nth_slot_looks_busy_and_never_two)
{
    PARTITION(p, adversarial(0, 3));
    for (unsigned i = 1; i <= 30; i++) {
        cr_expect_eq(adversary_slot_busy(p), i % 3 == 0, "%u", i);
    }
    PARTITION(q, fresh("ws2019"));
    for (unsigned i = 0; i < 30; i++) {
        cr_expect_not(adversary_slot_busy(q));
    }
}

Test(account, lines_tell_what_was_used)
{
    PARTITION(p, fresh("ws2019"));
    rd(p, 1, 0x40000020);
    rd(p, 1, 0x40000020);
    cr_assert(wr(p, 1, 0x40000020, 1) == MSR_GP);
    uint64_t reads = 0, writes = 0, cycles = 0;
    struct account_line line;
    for (size_t i = 0; partition_account_line(p, 1, i, &line); i++) {
        if (strcmp(line.name, "HV_X64_MSR_TIME_REF_COUNT") == 0) {
            *(strcmp(line.kind, "read") == 0 ? &reads : &writes) += line.count;
            cycles += line.cycles;
        } else {
            cr_expect_eq(line.count, 0, "%s", line.name);
        }
    }
    const uint16_t *cost = cost_table_by_name("ipc1")->event;
    cr_expect(reads == 2 && writes == 1, "a refused access counts");
    cr_expect_eq(cycles, 2u * cost[EXIT_RDMSR] + cost[EXIT_WRMSR]);
}
