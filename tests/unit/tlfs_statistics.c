/* Statistics pages: registers, groups, counters. TLFS 2.0a §21, appendix J. */
#include "tests/unit/tlfs_fixture.h"

enum {
    STATS_PARTITION_RETAIL = 0x400000e0,
    STATS_PARTITION_INTERNAL = 0x400000e1,
    STATS_VP_RETAIL = 0x400000e2,
    STATS_VP_INTERNAL = 0x400000e3,
};
/* Type 2, version 1.0, bytes behind the header: packed, the least significant first. */
#define HEADER(bytes) (2ULL | 0x10000ULL << 16 | (uint64_t)(bytes) << 48)
#define AT 0x200000ULL

static void partition_end(struct partition **p)
{
    partition_destroy(*p);
}
#define PARTITION(name, ...) __attribute__((cleanup(partition_end))) struct partition *name = __VA_ARGS__

/* Two VPs whose registers of statistics are announced. */
static struct partition *counting(void)
{
    struct partition_config config = {.ram_bytes = 64 * MIB, .seed = 1, .turn_cycles = 1000};
    struct profile profile;
    const char *why = "";
    cr_assert(profile_find("ws2019", &profile));
    cr_assert(profile_set(&profile, "AccessStatsReg", true, &why), "%s", why);
    config.profile = &profile;
    cr_assert(cpu_model_init(&config.cpu.model, "v2", VENDOR_AMD, GHZ, 2));
    config.cpu.cost = cost_table_by_name("ipc1");
    config.cpu.vps = 2;
    struct partition *p = partition_create(&config, &why);
    cr_assert(p != NULL, "%s", why);
    return p;
}

Test(statistics, four_pages_that_cannot_be_written)
{
    PARTITION(p, counting());
    for (uint32_t msr = STATS_PARTITION_RETAIL; msr <= STATS_VP_INTERNAL; msr++) {
        uint64_t at = AT + 0x1000 * (msr - STATS_PARTITION_RETAIL), ones = ~0ULL;
        set_mem64(p, at, ones);
        cr_expect_eq(rd(p, 0, msr), 0);
        cr_assert(wr(p, 0, msr, at | 0xffd) == MSR_OK);
        cr_expect_eq(rd(p, 0, msr), at | 0xffd);
        cr_expect_not(memory_write(p->machine->memory, gpa(at), &ones, sizeof ones));
        cr_assert(wr(p, 0, msr, at) == MSR_OK);
        cr_expect_eq(mem64(p, at), ones);
    }
}

Test(statistics, the_partitions_are_shared_and_the_vps_are_not)
{
    PARTITION(p, counting());
    cr_assert(wr(p, 0, STATS_PARTITION_RETAIL, AT) == MSR_OK && wr(p, 0, STATS_VP_INTERNAL, 0x300000) == MSR_OK);
    cr_expect_eq(rd(p, 1, STATS_PARTITION_RETAIL), AT);
    cr_expect_eq(rd(p, 1, STATS_VP_INTERNAL), 0);
    partition_reset(p);
    cr_expect(rd(p, 0, STATS_PARTITION_RETAIL) == 0 && rd(p, 0, STATS_VP_INTERNAL) == 0);
}

Test(statistics, internal_pages_are_empty_lists)
{
    PARTITION(p, counting());
    cr_assert(wr(p, 0, STATS_PARTITION_INTERNAL, AT | 1) == MSR_OK && wr(p, 0, STATS_VP_INTERNAL, (AT + 0x1000) | 1) == MSR_OK);
    cr_expect(mem64(p, AT) == 0 && mem64(p, AT + 0x1000) == 0);
}

Test(statistics, the_partition_counts_its_vps)
{
    PARTITION(p, counting());
    cr_assert(wr(p, 1, STATS_PARTITION_RETAIL, AT | 1) == MSR_OK);
    cr_expect_eq(mem64(p, AT), HEADER(8));
    cr_expect_eq(mem64(p, AT + 8), 2);
    cr_expect_eq(mem64(p, AT + 16), 0, "the list ends");
}

/* l: cpuid; jmp l. 64-bit code. */
static const uint8_t asker[] = {0x0f, 0xa2, 0xeb, 0xfc};

Test(statistics, a_vp_counts_its_run_time_and_that_in_the_hypervisor)
{
    PARTITION(p, counting());
    sleep_all(p);
    guest(p, BOOT_MODE_64, CODE, asker, sizeof asker);
    cr_assert(wr(p, 0, STATS_VP_RETAIL, AT | 1) == MSR_OK && wr(p, 1, STATS_VP_RETAIL, (AT + 0x1000) | 1) == MSR_OK);
    cr_expect_eq(mem64(p, AT), HEADER(16));
    cr_expect(mem64(p, AT + 8) == 0 && mem64(p, AT + 16) == 0 && mem64(p, AT + 24) == 0);
    partition_run(p, 10500000); /* ten periods of a millisecond, and half of one */
    const struct vp_account account = vp_account(p->vps[0].vcpu);
    uint64_t exits_100ns = account.event_cycles[EXIT_CPUID] / 100;
    cr_expect(exits_100ns > 50000, "most of its cycles");
    uint64_t run_100ns = mem64(p, AT + 8), in_hypervisor_100ns = mem64(p, AT + 16);
    cr_expect(run_100ns >= 100000 && run_100ns < 100010, "%lu: as of the tenth period", run_100ns);
    cr_expect(in_hypervisor_100ns > exits_100ns * 94 / 100 && in_hypervisor_100ns < exits_100ns * 96 / 100, "%lu",
              in_hypervisor_100ns);
    cr_expect_eq(mem64(p, AT + 0x1000 + 8), 0, "VP 1 sleeps");
    cr_assert(wr(p, 0, STATS_VP_RETAIL, AT | 1) == MSR_OK);
    cr_expect(mem64(p, AT + 8) >= 105000, "as of now");
}

Test(statistics, nothing_is_due_while_no_page_of_a_vp_is_enabled)
{
    PARTITION(p, counting());
    cr_assert(wr(p, 0, STATS_PARTITION_RETAIL, AT | 1) == MSR_OK && wr(p, 0, STATS_VP_INTERNAL, AT | 1) == MSR_OK);
    cr_expect_eq(event_due(p->machine->events, p->statistics_event), CYCLE_NEVER);
    cr_assert(wr(p, 1, STATS_VP_RETAIL, AT | 1) == MSR_OK);
    cr_expect_eq(event_due(p->machine->events, p->statistics_event), p->machine->clock.cycle + 1000000);
    cr_assert(wr(p, 1, STATS_VP_RETAIL, 0) == MSR_OK);
    events_run(p->machine->events, p->machine->clock.cycle + 1000000);
    cr_expect_eq(event_due(p->machine->events, p->statistics_event), CYCLE_NEVER);
}
