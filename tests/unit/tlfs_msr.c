/* Synthetic MSRs, overlay pages, CPUID leaves. TLFS 6.0b §2-4, §7, §10.2.3, §12.4, §12.7. */
#include "cpu/vcpu.h"
#include "tests/unit/tlfs_fixture.h"
#include "tlfs/msr.h"

enum {
    GUEST_OS_ID = 0x40000000,
    HYPERCALL = 0x40000001,
    VP_INDEX = 0x40000002,
    RESET = 0x40000003,
    VP_RUNTIME = 0x40000010,
    TIME_REF_COUNT = 0x40000020,
    REFERENCE_TSC = 0x40000021,
    TSC_FREQUENCY = 0x40000022,
    APIC_FREQUENCY = 0x40000023,
    EOI = 0x40000070,
    ICR = 0x40000071,
    TPR = 0x40000072,
    VP_ASSIST = 0x40000073,
    CRASH_P0 = 0x40000100,
    CRASH_CTL = 0x40000105,
    TSC_EMULATION_STATUS = 0x40000108,
    EOM = 0x40000084,
};
#define LINUX_ID 0x8100000601000000ULL
#define AT_A 0x200000ULL
#define AT_B 0x300000ULL

static void partition_end(struct partition **p)
{
    partition_destroy(*p);
}
#define PARTITION(name, ...) __attribute__((cleanup(partition_end))) struct partition *name = __VA_ARGS__

/* ---- the table ---- */

/* A partition that has every register. */
static struct partition *with_every_register(void)
{
    struct partition *p = fresh("ws2019");
    for (size_t i = 0; i < hv_msr_row_count; i++) {
        const char *why;
        cr_assert(profile_set(&p->profile, feature_rows[hv_msr_rows[i].gate].name, true, &why), "%s", why);
    }
    return p;
}

Test(msr_table, rows_are_sorted_cited_and_complete)
{
    for (size_t i = 0; i < hv_msr_row_count; i++) {
        const struct msr_row *r = &hv_msr_rows[i];
        cr_expect(i == 0 || hv_msr_rows[i - 1].index < r->index, "%s", r->name);
        cr_expect(r->name != NULL && strncmp(r->name, "HV_X64_MSR_", 11) == 0 && r->section != NULL);
        cr_expect(r->access & MSR_READ || r->write != NULL, "%s", r->name);
        cr_expect(feature_rows[r->gate].built, "%s", r->name);
    }
}

/* §4.2.2: without the privilege an access raises #GP. */
Test(msr_table, every_row_faults_without_its_privilege)
{
    for (size_t i = 0; i < hv_msr_row_count; i++) {
        const struct msr_row *r = &hv_msr_rows[i];
        PARTITION(p, with_every_register());
        const char *why;
        cr_assert(profile_set(&p->profile, feature_rows[r->gate].name, false, &why));
        cr_expect(rd_outcome(p, 0, r->index) == MSR_GP, "%s", r->name);
        cr_expect(wr(p, 0, r->index, 0) == MSR_GP, "%s", r->name);
    }
}

Test(msr_table, a_read_only_register_faults_on_write_and_a_write_only_one_on_read)
{
    PARTITION(p, with_every_register());
    for (size_t i = 0; i < hv_msr_row_count; i++) {
        const struct msr_row *r = &hv_msr_rows[i];
        if (r->access == MSR_READ) {
            cr_expect(wr(p, 0, r->index, 0) == MSR_GP, "%s", r->name);
        } else if (r->access == MSR_WRITE) {
            cr_expect(rd_outcome(p, 0, r->index) == MSR_GP, "%s", r->name);
        }
    }
    cr_expect(wr(p, 0, TIME_REF_COUNT, 1) == MSR_GP, "§12.4.1");
    cr_expect(rd_outcome(p, 0, EOI) == MSR_GP, "§10.2.3.1");
}

Test(msr_table, each_reserved_bit_faults_and_changes_nothing)
{
    PARTITION(p, with_every_register());
    unsigned bits = 0;
    for (size_t i = 0; i < hv_msr_row_count; i++) {
        for (unsigned bit = 0; bit < 64; bit++) {
            if (hv_msr_rows[i].must_be_zero >> bit & 1) {
                uint64_t before = rd(p, 0, hv_msr_rows[i].index);
                cr_expect(wr(p, 0, hv_msr_rows[i].index, 1ULL << bit) == MSR_GP, "%s bit %u", hv_msr_rows[i].name, bit);
                cr_expect_eq(rd(p, 0, hv_msr_rows[i].index), before);
                bits++;
            }
        }
    }
    /* four timers: 63:20 and 15:13; TPR: 63:8; NPIEP: 63:4; RESET, TSC emulation and invariance: 63:1; reenlightenment: 31:17,
     * 15:8 */
    cr_expect_eq(bits, 4 * 47 + 56 + 60 + 3 * 63 + 15 + 8 + 55);
}

/* Requirements, "Hypervisor Synthetic MSRs": three MSRs, and nothing else. */
Test(msr_table, hv1_minimal_has_three_registers)
{
    PARTITION(p, fresh("hv1-minimal"));
    unsigned present = 0;
    for (uint32_t msr = 0x40000000; msr < 0x40000200; msr++) {
        present += rd_outcome(p, 0, msr) == MSR_OK;
    }
    cr_expect_eq(present, 3);
    cr_expect(rd_outcome(p, 0, GUEST_OS_ID) == MSR_OK && rd_outcome(p, 0, HYPERCALL) == MSR_OK &&
              rd_outcome(p, 0, VP_INDEX) == MSR_OK);
}

Test(msr_table, an_unknown_register_is_nobodys)
{
    PARTITION(p, fresh("ws2019"));
    cr_expect(rd_outcome(p, 0, 0x400000c1) == MSR_NOT_MINE);
    cr_expect(wr(p, 0, 0x400000d1, 1) == MSR_NOT_MINE);
}

/* ---- CPUID ---- */

static struct cpuid_result cpuid(struct partition *p, uint32_t leaf)
{
    struct cpuid_result r = {1, 2, 3, 4};
    hv_cpuid(p, p->vps[0].vcpu, leaf, 0, &r);
    return r;
}

/* §2.2 */
Test(cpuid, leaf_1_shows_the_hypervisor_and_keeps_the_rest)
{
    PARTITION(p, fresh("ws2016"));
    struct cpuid_result r = cpuid(p, 1);
    cr_expect(r.eax == 1 && r.ebx == 2 && r.ecx == (3 | 1u << 31) && r.edx == 4);
    cr_expect_eq(cpuid(p, 7).eax, 1, "other leaves are the processor's");
}

/* §2.3 */
Test(cpuid, leaves_beyond_the_maximum_read_zero)
{
    PARTITION(p, fresh("ws2016"));
    for (uint32_t leaf = 0x40000007; leaf <= 0x400000ff; leaf++) {
        struct cpuid_result r = cpuid(p, leaf);
        cr_expect(r.eax == 0 && r.ebx == 0 && r.ecx == 0 && r.edx == 0, "%x", leaf);
    }
    cr_expect_eq(cpuid(p, 0x40000000).eax, 0x40000006);
}

/* §2.4.3 */
Test(cpuid, the_version_shows_while_the_guest_has_an_identity)
{
    PARTITION(p, fresh("ws2016"));
    cr_expect(cpuid(p, 0x40000002).eax == 0 && cpuid(p, 0x40000002).ebx == 0, "before");
    cr_expect_eq(wr(p, 0, 0x40000000, 1), MSR_OK);
    cr_expect(cpuid(p, 0x40000002).eax == 14393 && cpuid(p, 0x40000002).ebx == 10u << 16, "with one");
    cr_expect_eq(wr(p, 0, 0x40000000, 0), MSR_OK);
    cr_expect_eq(cpuid(p, 0x40000002).eax, 0, "after");
}

/* ---- identity and hypercall page, §2.6, §3.13 ---- */

Test(guest_os_id, any_value_is_kept_and_shared_by_all_vps)
{
    PARTITION(p, fresh("ws2016"));
    cr_expect_eq(rd(p, 0, GUEST_OS_ID), 0);
    static const uint64_t values[] = {1, LINUX_ID, 0x0001040600001db0, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
        cr_assert(wr(p, 0, GUEST_OS_ID, values[i]) == MSR_OK);
        cr_expect_eq(rd(p, 1, GUEST_OS_ID), values[i]);
    }
}

Test(hypercall_page, enable_stays_clear_without_an_identity)
{
    PARTITION(p, fresh("ws2016"));
    set_mem64(p, AT_A, 0x1234);
    cr_assert(wr(p, 0, HYPERCALL, AT_A | 1) == MSR_OK);
    cr_expect_eq(rd(p, 0, HYPERCALL), AT_A);
    cr_expect_eq(mem64(p, AT_A), 0x1234);
}

static void page_code(enum cpu_vendor vendor, uint32_t code)
{
    PARTITION(p, partition_of("ws2016", 1, GHZ, vendor));
    cr_assert(wr(p, 0, GUEST_OS_ID, 1) == MSR_OK && wr(p, 0, HYPERCALL, AT_A | 1) == MSR_OK);
    cr_expect_eq(rd(p, 0, HYPERCALL), AT_A | 1);
    cr_expect_eq((uint32_t)mem64(p, AT_A), code);
}

Test(hypercall_page, holds_vmmcall_and_ret_on_amd)
{
    page_code(VENDOR_AMD, 0xc3d9010f);
}

Test(hypercall_page, holds_vmcall_and_ret_on_intel)
{
    page_code(VENDOR_INTEL, 0xc3c1010f);
}

/* §5.2.1 */
Test(hypercall_page, hides_ram_and_gives_it_back)
{
    PARTITION(p, fresh("ws2016"));
    set_mem64(p, AT_A, 0x1111);
    set_mem64(p, AT_B, 0x2222);
    cr_assert(wr(p, 0, GUEST_OS_ID, 1) == MSR_OK && wr(p, 0, HYPERCALL, AT_A | 1) == MSR_OK);
    cr_expect_neq(mem64(p, AT_A), 0x1111);
    cr_assert(wr(p, 0, HYPERCALL, AT_B | 1) == MSR_OK);
    cr_expect_eq(mem64(p, AT_A), 0x1111);
    cr_expect_eq((uint32_t)mem64(p, AT_B), 0xc3d9010f);
    cr_assert(wr(p, 1, HYPERCALL, AT_B) == MSR_OK);
    cr_expect_eq(mem64(p, AT_B), 0x2222);
}

Test(hypercall_page, cannot_be_written)
{
    PARTITION(p, fresh("ws2016"));
    cr_assert(wr(p, 0, GUEST_OS_ID, 1) == MSR_OK && wr(p, 0, HYPERCALL, AT_A | 1) == MSR_OK);
    uint64_t zero = 0;
    cr_expect_not(memory_write(p->machine->memory, gpa(AT_A), &zero, sizeof zero));
    cr_expect_eq((uint32_t)mem64(p, AT_A), 0xc3d9010f);
}

Test(hypercall_page, vanishes_when_the_identity_is_cleared)
{
    PARTITION(p, fresh("ws2016"));
    set_mem64(p, AT_A, 0x1111);
    cr_assert(wr(p, 0, GUEST_OS_ID, 1) == MSR_OK && wr(p, 0, HYPERCALL, AT_A | 1) == MSR_OK &&
              wr(p, 1, GUEST_OS_ID, 0) == MSR_OK);
    cr_expect_eq(rd(p, 0, HYPERCALL), AT_A);
    cr_expect_eq(mem64(p, AT_A), 0x1111);
    cr_assert(wr(p, 0, GUEST_OS_ID, 2) == MSR_OK && wr(p, 0, HYPERCALL, AT_A | 1) == MSR_OK);
    cr_expect_eq((uint32_t)mem64(p, AT_A), 0xc3d9010f, "and can be set up again");
}

Test(hypercall_page, beyond_the_gpa_space_faults_and_changes_nothing)
{
    PARTITION(p, fresh("ws2016"));
    unsigned bits = p->cpu_config.model.physical_bits;
    cr_assert(wr(p, 0, GUEST_OS_ID, 1) == MSR_OK && wr(p, 0, HYPERCALL, AT_A | 1) == MSR_OK);
    cr_expect(wr(p, 0, HYPERCALL, 1ULL << bits | 1) == MSR_GP);
    cr_expect(wr(p, 0, HYPERCALL, 0xfffffffffffff001) == MSR_GP);
    cr_expect_eq(rd(p, 0, HYPERCALL), AT_A | 1);
    cr_expect(wr(p, 0, HYPERCALL, ((1ULL << bits) - PAGE_BYTES) | 1) == MSR_OK, "the last page is inside");
}

Test(hypercall_page, preserved_bits_are_kept_and_do_not_move_it)
{
    PARTITION(p, fresh("ws2016"));
    cr_assert(wr(p, 0, GUEST_OS_ID, 1) == MSR_OK && wr(p, 0, HYPERCALL, AT_A | 0xffd) == MSR_OK);
    cr_expect_eq(rd(p, 0, HYPERCALL), AT_A | 0xffd);
    cr_expect_eq((uint32_t)mem64(p, AT_A), 0xc3d9010f);
}

Test(hypercall_page, locked_it_stays_until_reset)
{
    PARTITION(p, fresh("ws2016"));
    cr_assert(wr(p, 0, GUEST_OS_ID, 1) == MSR_OK && wr(p, 0, HYPERCALL, AT_A | 3) == MSR_OK);
    cr_expect(wr(p, 0, HYPERCALL, AT_B | 1) == MSR_GP);
    cr_expect(wr(p, 0, GUEST_OS_ID, 0) == MSR_OK);
    cr_expect_eq(rd(p, 0, HYPERCALL), AT_A | 3);
    partition_reset(p);
    cr_expect_eq(rd(p, 0, HYPERCALL), 0);
}

/* §2.4.4: EDX bit 18 says whether bit 1 locks. */
Test(hypercall_page, bit_1_is_only_kept_where_the_lock_is_not_announced)
{
    PARTITION(p, fresh("ws2012"));
    cr_assert(wr(p, 0, GUEST_OS_ID, 1) == MSR_OK && wr(p, 0, HYPERCALL, AT_A | 3) == MSR_OK);
    cr_expect(wr(p, 0, HYPERCALL, AT_B | 1) == MSR_OK);
    cr_expect_eq((uint32_t)mem64(p, AT_B), 0xc3d9010f);
}

Test(vp_index, is_the_number_of_the_vp)
{
    PARTITION(p, partition_of("ws2016", 5, GHZ, VENDOR_INTEL));
    for (unsigned i = 0; i < 5; i++) {
        cr_expect_eq(rd(p, i, VP_INDEX), i);
    }
}

/* TLFS 2.0a §6.3.5 */
Test(reset_register, reads_zero_and_a_one_ends_the_machine)
{
    PARTITION(p, fresh("ws2016"));
    const char *why;
    cr_assert(profile_set(&p->profile, "AccessResetReg", true, &why));
    cr_expect_eq(rd(p, 0, RESET), 0);
    cr_expect(wr(p, 0, RESET, 0) == MSR_OK && p->machine->end == END_NONE);
    cr_expect(wr(p, 0, RESET, 1) == MSR_OK && p->machine->end == END_RESET);
}

/* ---- time ---- */

/* §12.4: 100 ns units since creation, one counter for all. */
Test(reference_counter, counts_hundreds_of_nanoseconds)
{
    PARTITION(p, fresh("ws2016"));
    cr_expect_eq(rd(p, 0, TIME_REF_COUNT), 0);
    static const uint64_t cycles[] = {99, 100, 101, 1000000000, 3600 * GHZ + 199};
    for (size_t i = 0; i < ARRAY_COUNT(cycles); i++) {
        p->machine->clock.cycle = cycles[i];
        cr_expect_eq(rd(p, 0, TIME_REF_COUNT), cycles[i] / 100);
        cr_expect_eq(rd(p, 1, TIME_REF_COUNT), cycles[i] / 100);
    }
}

static uint64_t random_cycle(struct prng *prng)
{
    return prng_next(prng) >> (12 + prng_next(prng) % 45);
}

/* §12.7.3: ReferenceTime = ((VirtualTsc * TscScale) >> 64) + TscOffset, for the TSC of each VP, at any moment, to the last
 * unit. */
Test(reference_tsc_page, formula_equals_the_counter_at_random_cycles_and_rates)
{
    struct prng prng = {42};
    for (int rate = 0; rate < 40; rate++) {
        uint64_t hz = rate < 5 ? (rate + 1) * GHZ : 10000001 + prng_next(&prng) % (10 * GHZ - 10000001);
        PARTITION(p, partition_of("ws2016", 2, hz, VENDOR_AMD));
        cr_assert(wr(p, 0, REFERENCE_TSC, AT_A | 1) == MSR_OK);
        uint64_t scale = mem64(p, AT_A + 8), offset = mem64(p, AT_A + 16);
        cr_assert_eq((uint32_t)mem64(p, AT_A), 1, "a valid sequence");
        for (int i = 0; i < 200; i++) {
            uint64_t cycle = random_cycle(&prng);
            if (i % 2 != 0) { /* where the counter steps */
                cycle = reference_time_cycle(&p->reference, 1 + (cycle >> 10)) - i / 2 % 2;
            }
            p->machine->clock.cycle = cycle;
            for (unsigned vp = 0; vp < 2; vp++) {
                uint64_t tsc = vp_tsc(p->vps[vp].vcpu);
                uint64_t page = (uint64_t)((unsigned __int128)tsc * scale >> 64) + offset;
                cr_assert_eq(page, rd(p, vp, TIME_REF_COUNT), "hz %llu cycle %llu", (unsigned long long)hz,
                             (unsigned long long)p->machine->clock.cycle);
            }
        }
    }
}

/* The same after a reset in mid-flight, where the TSC starts again at zero. */
Test(reference_tsc_page, formula_holds_after_a_reset)
{
    PARTITION(p, partition_of("ws2016", 2, 2999999999, VENDOR_AMD));
    p->machine->clock.cycle = 123456789012345;
    partition_reset(p);
    cr_assert(wr(p, 0, REFERENCE_TSC, AT_A | 1) == MSR_OK);
    uint64_t scale = mem64(p, AT_A + 8), offset = mem64(p, AT_A + 16);
    for (uint64_t step = 1; step < 1ULL << 40; step *= 3) {
        p->machine->clock.cycle += step;
        uint64_t page = (uint64_t)((unsigned __int128)vp_tsc(p->vps[1].vcpu) * scale >> 64) + offset;
        cr_expect_eq(page, rd(p, 0, TIME_REF_COUNT));
    }
}

/* Reference time where the TSC has the clock's rate, and was zero at `origin`. */
static struct reference_time line_of(uint64_t hz, uint64_t origin)
{
    const struct tsc tsc = {.hz = hz, .clock_hz = hz};
    return reference_time_init(&tsc, 0 - origin, 0);
}

/* scale = 2^64 * 10^7 / Hz, within a millionth; and the counter is the exact quotient for an hour at common rates. */
Test(reference_tsc_page, scale_is_the_ratio_of_the_rates)
{
    static const uint64_t rates[] = {GHZ, 2 * GHZ, 2999999999, 3579545000, 10 * GHZ, 10000001};
    for (size_t i = 0; i < ARRAY_COUNT(rates); i++) {
        struct reference_time r = line_of(rates[i], 0);
        unsigned __int128 tenth_ppm = (unsigned __int128)r.scale * rates[i] / 1000000;
        unsigned __int128 wanted = ((unsigned __int128)RATE_100NS_HZ << 64) / 1000000;
        cr_expect(tenth_ppm >= wanted && tenth_ppm <= wanted + wanted / 1000000);
    }
    struct reference_time r = line_of(GHZ, 0);
    for (uint64_t cycle = 3600 * GHZ - 1000; cycle < 3600 * GHZ + 1000; cycle++) {
        cr_assert_eq(reference_time_at(&r, cycle), cycle / 100);
    }
}

/* The inverse that timers use: the first cycle with that time, none before. */
Test(reference_time, inverse_finds_the_first_cycle)
{
    struct prng prng = {7};
    for (int i = 0; i < 20000; i++) {
        uint64_t hz = 1000000 + prng_next(&prng) % (10 * GHZ - 1000000 + 1), origin = random_cycle(&prng);
        struct reference_time r = line_of(hz, origin);
        uint64_t time = 1 + (random_cycle(&prng) >> 10);
        uint64_t cycle = reference_time_cycle(&r, time);
        if (cycle == CYCLE_NEVER) {
            continue;
        }
        cr_assert_geq(reference_time_at(&r, cycle), time);
        cr_assert_lt(reference_time_at(&r, cycle - 1), time);
    }
    struct reference_time r = line_of(GHZ, 0);
    cr_expect_eq(reference_time_cycle(&r, UINT64_MAX), CYCLE_NEVER);
}

/* §12.7.3.2: sequence 0 sends the guest to the MSR; at 10 MHz the scale would be 2^64. */
Test(reference_tsc_page, is_invalid_where_the_scale_does_not_fit)
{
    PARTITION(p, partition_of("ws2016", 1, 10000000, VENDOR_AMD));
    cr_assert(wr(p, 0, REFERENCE_TSC, AT_A | 1) == MSR_OK);
    cr_expect_eq((uint32_t)mem64(p, AT_A), 0);
    p->machine->clock.cycle = 12345;
    cr_expect_eq(rd(p, 0, TIME_REF_COUNT), 12345);
}

Test(reference_tsc_page, hides_ram_moves_and_gives_it_back)
{
    PARTITION(p, fresh("ws2016"));
    set_mem64(p, AT_A, 0x1111);
    cr_expect_eq(rd(p, 0, REFERENCE_TSC), 0);
    cr_assert(wr(p, 0, REFERENCE_TSC, AT_A | 0xffd) == MSR_OK, "before the guest has named itself");
    cr_expect_eq(rd(p, 1, REFERENCE_TSC), AT_A | 0xffd);
    cr_expect_eq(mem64(p, AT_A), 1);
    for (uint64_t offset = 24; offset < PAGE_BYTES; offset += 8) {
        cr_assert_eq(mem64(p, AT_A + offset), 0);
    }
    cr_assert(wr(p, 0, REFERENCE_TSC, AT_B | 1) == MSR_OK);
    cr_expect_eq(mem64(p, AT_A), 0x1111);
    cr_assert(wr(p, 0, REFERENCE_TSC, 0) == MSR_OK);
    cr_expect_eq(mem64(p, AT_B), 0);
}

/* §12.7.1: "will not be accessible to the guest"; no fault is stated. */
Test(reference_tsc_page, beyond_the_gpa_space_is_kept_and_nowhere)
{
    PARTITION(p, fresh("ws2016"));
    cr_assert(wr(p, 0, REFERENCE_TSC, AT_A | 1) == MSR_OK);
    cr_expect(wr(p, 0, REFERENCE_TSC, 0xfffffffffffff001) == MSR_OK);
    cr_expect_eq(rd(p, 0, REFERENCE_TSC), 0xfffffffffffff001);
    cr_expect_eq(mem64(p, AT_A), 0);
}

Test(frequencies, are_those_of_the_clock_and_of_the_apic_timer)
{
    PARTITION(p, partition_of("ws2016", 1, 2500000000, VENDOR_AMD));
    cr_expect_eq(rd(p, 0, TSC_FREQUENCY), 2500000000);
    cr_expect_eq(rd(p, 0, APIC_FREQUENCY), LAPIC_TIMER_HZ);
}

/* ---- VP assist page, §7.8.7 ---- */

Test(vp_assist, each_vp_has_a_writable_page_of_its_own_before_any_identity)
{
    PARTITION(p, fresh("ws2016"));
    set_mem64(p, AT_A, 0x1111);
    cr_assert(wr(p, 0, VP_ASSIST, AT_A | 1) == MSR_OK && wr(p, 1, VP_ASSIST, AT_B | 1) == MSR_OK);
    cr_expect_eq(rd(p, 0, VP_ASSIST), AT_A | 1);
    cr_expect_eq(mem64(p, AT_A), 0);
    set_mem64(p, AT_A, 0x77);
    set_mem64(p, AT_B, 0x88);
    cr_expect_eq(mem64(p, AT_A), 0x77);
    cr_assert(wr(p, 0, VP_ASSIST, (AT_A + PAGE_BYTES) | 1) == MSR_OK);
    cr_expect_eq(mem64(p, AT_A), 0x1111);
    cr_expect_eq(mem64(p, AT_A + PAGE_BYTES), 0x77, "its contents travel with it");
    cr_expect_eq(mem64(p, AT_B), 0x88);
}

/* §5.2.1: of two overlays at one page one is seen; when it goes the other is there. */
Test(vp_assist, of_two_overlays_at_a_page_the_other_appears_when_one_goes)
{
    PARTITION(p, fresh("ws2016"));
    cr_assert(wr(p, 0, REFERENCE_TSC, AT_A | 1) == MSR_OK && wr(p, 0, VP_ASSIST, AT_A | 1) == MSR_OK);
    cr_assert(wr(p, 0, VP_ASSIST, 0) == MSR_OK);
    cr_expect_eq(mem64(p, AT_A), 1);
}

/* ---- local APIC by MSR, §10.2.3 ---- */

Test(apic_msrs, tpr_is_the_local_apics)
{
    PARTITION(p, fresh("ws2016"));
    cr_assert(wr(p, 0, TPR, 0x25) == MSR_OK);
    cr_expect_eq(rd(p, 0, TPR), 0x25);
    cr_expect_eq(lapic_read(p->vps[0].vcpu, 0x80), 0x25);
    cr_expect_eq(lapic_cr8(p->vps[0].vcpu), 2);
    cr_expect_eq(rd(p, 1, TPR), 0);
}

Test(apic_msrs, one_write_of_icr_sends_to_the_destination_in_its_high_half)
{
    PARTITION(p, fresh("ws2016"));
    apic_on(p);
    cr_assert(wr(p, 0, ICR, 1ULL << 56 | 0x41) == MSR_OK);
    cr_expect(irr(p, 1, 0x41) && !irr(p, 0, 0x41));
    cr_expect_eq(lapic_read(p->vps[0].vcpu, 0x310), 1u << 24);
    cr_expect_eq(rd(p, 0, ICR) >> 32, 1u << 24);
    cr_expect_eq(rd(p, 0, ICR) & 0xff, 0x41);
}

Test(apic_msrs, eoi_ends_the_interrupt_in_service_whatever_is_written)
{
    PARTITION(p, fresh("ws2016"));
    apic_on(p);
    lapic_interrupt(p->vps[0].vcpu, 0x55, false);
    cr_assert_eq(lapic_acknowledge(p->vps[0].vcpu), 0x55);
    cr_assert_neq(vp_lapic(p->vps[0].vcpu)->isr[2], 0);
    cr_assert(wr(p, 0, EOI, 0xffffffffffffffff) == MSR_OK);
    cr_expect_eq(vp_lapic(p->vps[0].vcpu)->isr[2], 0);
}

/* ---- crash, §4.3 ---- */

Test(crash, parameters_are_kept_and_partition_wide)
{
    PARTITION(p, fresh("ws2012"));
    for (unsigned i = 0; i < 5; i++) {
        cr_expect_eq(rd(p, 0, CRASH_P0 + i), 0);
        cr_assert(wr(p, 0, CRASH_P0 + i, UINT64_MAX - i) == MSR_OK);
    }
    for (unsigned i = 0; i < 5; i++) {
        cr_expect_eq(rd(p, 1, CRASH_P0 + i), UINT64_MAX - i);
    }
}

/* §4.3.1.1; CrashMessage came with 6.0. */
Test(crash, control_shows_capabilities_whatever_is_written)
{
    PARTITION(older, fresh("ws2016"));
    PARTITION(p, fresh("ws2019"));
    cr_expect_eq(rd(older, 0, CRASH_CTL), 1ULL << 63);
    cr_expect(wr(p, 0, CRASH_CTL, 1) == MSR_OK);
    cr_expect_eq(rd(p, 0, CRASH_CTL), 3ULL << 62);
}

Test(crash, notify_reports_the_parameters_and_at_most_a_page_of_message)
{
    PARTITION(p, fresh("ws2019"));
    struct seen seen;
    see(p, "crash_report", &seen);
    for (unsigned i = 0; i < 5; i++) {
        cr_assert(wr(p, 0, CRASH_P0 + i, 0x1000 * (i + 1)) == MSR_OK);
    }
    cr_assert(wr(p, 1, CRASH_CTL, 1ULL << 62) == MSR_OK);
    cr_expect_eq(seen.count, 0, "a message needs the notification");
    cr_assert(wr(p, 1, CRASH_CTL, 1ULL << 63) == MSR_OK);
    cr_assert(memory_write(p->machine->memory, gpa(0x4000), "Kernel panic: at tea", 21));
    cr_assert(wr(p, 1, CRASH_CTL, 3ULL << 62) == MSR_OK);
    cr_assert_eq(seen.count, 2);
    cr_expect(seen.event[0].vp == 1 && seen.event[0].values[0] == 0x1000 && seen.event[0].values[4] == 0x5000);
    cr_expect_eq(seen.event[0].values[5], 0);
    cr_expect_eq(seen.event[1].values[5], 4096);
    const struct crash_report *report = partition_crash(p);
    cr_expect(report->count == 2 && report->vp == 1 && report->parameter[2] == 0x3000 && report->message_bytes == 4096);
    cr_expect_str_eq((const char *)report->message, "Kernel panic: at tea");
}

Test(crash, a_message_outside_memory_is_none)
{
    PARTITION(p, fresh("ws2019"));
    static const uint64_t places[] = {64 * MIB - 8, 1ULL << 39, UINT64_MAX, 0xfec00000};
    for (size_t i = 0; i < ARRAY_COUNT(places); i++) {
        cr_assert(wr(p, 0, CRASH_P0 + 3, places[i]) == MSR_OK && wr(p, 0, CRASH_P0 + 4, 16) == MSR_OK);
        cr_assert(wr(p, 0, CRASH_CTL, 3ULL << 62) == MSR_OK);
        cr_expect(partition_crash(p)->count == i + 1 && partition_crash(p)->message_bytes == 0, "%zu", i);
    }
}

/* ---- reset, state ---- */

Test(reset, clears_every_synthetic_register_and_removes_every_overlay)
{
    PARTITION(p, fresh("ws2019"));
    set_mem64(p, AT_A, 0x1111);
    cr_assert(wr(p, 0, GUEST_OS_ID, 1) == MSR_OK && wr(p, 0, HYPERCALL, AT_A | 1) == MSR_OK);
    cr_assert(wr(p, 0, REFERENCE_TSC, AT_B | 1) == MSR_OK && wr(p, 1, VP_ASSIST, 0x400001) == MSR_OK);
    set_mem64(p, 0x400000, 0x99);
    cr_assert(wr(p, 1, 0x400000b0, 0x1ed9) == MSR_OK && wr(p, 1, 0x400000b1, 12345) == MSR_OK &&
              wr(p, 0, CRASH_P0, 3) == MSR_OK);
    partition_reset(p);
    static const uint32_t stored[] = {GUEST_OS_ID, HYPERCALL, REFERENCE_TSC, VP_ASSIST, 0x400000b0, 0x400000b1, CRASH_P0};
    for (size_t i = 0; i < ARRAY_COUNT(stored); i++) {
        cr_expect(rd(p, 0, stored[i]) == 0 && rd(p, 1, stored[i]) == 0, "%x", stored[i]);
    }
    cr_expect(mem64(p, AT_A) == 0x1111 && mem64(p, AT_B) == 0 && mem64(p, 0x400000) == 0);
    cr_assert(wr(p, 1, VP_ASSIST, 0x400001) == MSR_OK);
    cr_expect_eq(mem64(p, 0x400000), 0, "the page is empty again");
    cr_expect_eq(events_next(p->machine->events), CYCLE_NEVER);
}

static uint8_t *saved(struct partition *p, size_t *length)
{
    struct state *s = state_begin_save();
    machine_state(s, p->machine);
    partition_state(s, p);
    uint8_t *bytes = state_finish_save(s, length);
    state_end(s);
    return bytes;
}

static bool restored(struct partition *p, const uint8_t *bytes, size_t length)
{
    struct state *s = state_begin_restore(bytes, length);
    machine_state(s, p->machine);
    partition_state(s, p);
    bool ok = state_finish_restore(s);
    state_end(s);
    return ok;
}

Test(state, a_restored_partition_is_equal_in_every_register)
{
    PARTITION(p, fresh("ws2019"));
    PARTITION(q, fresh("ws2019"));
    p->machine->clock.cycle = 777777;
    cr_assert(wr(p, 0, GUEST_OS_ID, LINUX_ID) == MSR_OK && wr(p, 0, HYPERCALL, AT_A | 1) == MSR_OK);
    cr_assert(wr(p, 0, REFERENCE_TSC, AT_B | 1) == MSR_OK && wr(p, 1, VP_ASSIST, 0x400001) == MSR_OK);
    set_mem64(p, 0x400010, 0x99);
    cr_assert(wr(p, 1, 0x400000b0, 0x1ed9) == MSR_OK && wr(p, 1, 0x400000b1, 1234567) == MSR_OK &&
              wr(p, 0, CRASH_P0 + 2, 3) == MSR_OK);
    size_t length;
    uint8_t *bytes = saved(p, &length);
    cr_assert(restored(q, bytes, length));
    free(bytes);
    cr_expect_arr_eq(&p->vps[1].account, &q->vps[1].account, sizeof p->vps[1].account, "the accounts too");
    for (size_t i = 0; i < hv_msr_row_count; i++) {
        uint32_t msr = hv_msr_rows[i].index;
        for (unsigned vp = 0; vp < 2 && rd_outcome(p, vp, msr) == MSR_OK; vp++) {
            cr_expect_eq(rd(p, vp, msr), rd(q, vp, msr), "%s", hv_msr_rows[i].name);
        }
    }
    cr_expect_eq(mem64(q, 0x400010), 0x99);
    cr_expect_eq(events_next(p->machine->events), events_next(q->machine->events));
    cr_expect(digest_equal(digest_of(p), digest_of(q)));
}

Test(state, a_change_of_any_stored_register_changes_the_digest)
{
    PARTITION(p, fresh("ws2019"));
    cr_assert(wr(p, 0, GUEST_OS_ID, 1) == MSR_OK);
    for (size_t i = 0; i < hv_msr_row_count; i++) {
        const struct msr_row *r = &hv_msr_rows[i];
        if (r->access != MSR_READ_WRITE || r->index == CRASH_CTL || r->index == RESET || r->index == TSC_EMULATION_STATUS ||
            r->index == EOM || !profile_has(&p->profile, r->gate)) {
            continue;
        }
        struct whole_digest before = digest_of(p);
        uint64_t value = r->index == ICR             ? 0x00040041
                         : r->index == TPR           ? 0x10
                         : r->must_be_zero & 0x20000 ? 1
                                                     : rd(p, 1, r->index) + 0x10000 * 2;
        cr_assert(wr(p, 1, r->index, value) == MSR_OK, "%s", r->name);
        cr_expect_not(digest_equal(before, digest_of(p)), "%s", r->name);
    }
}

Test(state, what_no_guest_can_bring_about_is_refused)
{
    static const struct {
        uint64_t config, count, hypercall;
    } bad[] = {
        {0x1001, 5, 0},   /* enabled with vector 0 */
        {0x1ed1, 0, 0},   /* enabled without a count */
        {0x1, 5, 0},      /* enabled with a message for SINT 0 */
        {0x2000, 5, 0},   /* a reserved bit */
        {0, 0, 0x200001}, /* a hypercall page without identity */
    };
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        PARTITION(p, fresh("ws2019"));
        PARTITION(q, fresh("ws2019"));
        p->vps[1].registers.stimer[2].config = bad[i].config;
        p->vps[1].registers.stimer[2].count = bad[i].count;
        p->registers.hypercall.value = bad[i].hypercall;
        size_t length;
        uint8_t *bytes = saved(p, &length);
        cr_expect_not(restored(q, bytes, length), "%zu", i);
        free(bytes);
    }
}

/* Whatever a guest writes and calls, its partition can be saved and restored: no access leaves a state that a restore refuses.
 */
Test(state, random_accesses_never_leave_an_impossible_state)
{
    struct prng prng = {2026};
    PARTITION(p, fresh("ws2019"));
    PARTITION(q, fresh("ws2019"));
    const char *why;
    cr_assert(profile_set(&p->profile, "AccessResetReg", true, &why));
    for (int i = 0; i < 40000; i++) {
        unsigned vp = prng_next(&prng) % 2;
        const struct msr_row *r = &hv_msr_rows[prng_next(&prng) % hv_msr_row_count];
        uint64_t value = prng_next(&prng);
        switch (prng_next(&prng) % 4) {
        case 0:
            value &= 0x3ffff001; /* pages, and enable */
            break;
        case 1:
            value &= 0xf1fff; /* timer configurations */
            break;
        case 2:
            value >>= 40;
            break;
        default:
            break;
        }
        wr(p, vp, r->index, value);
        rd_outcome(p, vp, r->index);
        bool again;
        vp_set_gpr(p->vps[vp].vcpu, RAX, value);
        hv_hypercall(p, p->vps[vp].vcpu, value & 1, &again);
        p->machine->clock.cycle += prng_next(&prng) % 5000;
        events_run(p->machine->events, p->machine->clock.cycle);
        p->machine->end = END_NONE;
        if (i % 1000 == 999) {
            size_t length;
            uint8_t *bytes = saved(p, &length);
            cr_assert(bytes != NULL && restored(q, bytes, length), "after %d", i);
            free(bytes);
            cr_assert(digest_equal(digest_of(p), digest_of(q)), "after %d", i);
        }
    }
}

Test(create, refuses_what_cannot_be_with_a_reason)
{
    struct profile profile;
    cr_assert(profile_find("ws2012", &profile));
    struct partition_config config = {.ram_bytes = 64 * MIB, .profile = &profile};
    cr_assert(cpu_model_init(&config.cpu.model, "v2", VENDOR_AMD, GHZ, 65));
    config.cpu.cost = cost_table_by_name("ipc1");
    const char *why = NULL;
    static const unsigned vps[] = {0, 65, 241, 100000};
    for (size_t i = 0; i < ARRAY_COUNT(vps); i++) {
        why = NULL;
        config.cpu.vps = vps[i];
        cr_expect(partition_create(&config, &why) == NULL && why != NULL, "%u", vps[i]);
    }
    config.cpu.vps = 1;
    config.ram_bytes = 4097;
    why = NULL;
    cr_expect(partition_create(&config, &why) == NULL && why != NULL);
    config.ram_bytes = 64 * MIB;
    config.cpu.model.tsc_hz = 999999;
    why = NULL;
    cr_expect(partition_create(&config, &why) == NULL && why != NULL);
}

/* Without a profile there is no hypervisor: nothing is hooked. */
Test(create, without_a_profile_no_register_is_there)
{
    PARTITION(p, partition_of(NULL, 1, GHZ, VENDOR_AMD));
    cr_expect(p->hooks.cpuid == NULL && p->hooks.rdmsr == NULL && p->hooks.wrmsr == NULL && p->hooks.hypercall == NULL);
}

/* TLFS 5.0C appendices D and E: what a partition shows of an Intel processor's own registers; writes have no effect. */
Test(msr_architectural, the_hypervisor_answers_for_some_of_the_processors_own)
{
    struct partition *p = partition_of("ws2016", 1, GHZ, VENDOR_INTEL);
    struct vcpu *v = p->vps[0].vcpu;
    static const struct {
        uint32_t msr;
        uint64_t reads;
    } rows[] = {{0x17, 0}, {0x79, 0}, {0x8b, 0x8fffffffULL << 32}, {0x1d9, 0}};
    uint64_t value, before;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        cr_expect_eq(msr_write(v, rows[i].msr, 0x1234), MSR_OK, "%x", rows[i].msr);
        cr_expect(msr_read(v, rows[i].msr, &value) == MSR_OK && value == rows[i].reads, "%x", rows[i].msr);
    }
    cr_assert_eq(msr_read(v, 0x1a0, &before), MSR_OK);
    cr_expect_eq(msr_write(v, 0x1a0, 1ULL << 34 | 1ULL << 22), MSR_OK);
    cr_expect(msr_read(v, 0x1a0, &value) == MSR_OK && value == before);
    cr_expect_eq(msr_read(v, 0x179, &value), MSR_GP, "no machine-check architecture, no register");
    partition_destroy(p);
}

/* SDM 4: on a processor without a hypervisor they are what they are. */
Test(msr_architectural, a_bare_processor_answers_for_itself)
{
    struct partition *p = partition_of(NULL, 1, GHZ, VENDOR_INTEL);
    struct vcpu *v = p->vps[0].vcpu;
    uint64_t value;
    cr_expect_eq(msr_write(v, 0x17, 0), MSR_GP, "IA32_PLATFORM_ID is read-only");
    cr_expect_eq(msr_write(v, 0x1a0, 1ULL << 34), MSR_GP);
    cr_expect_eq(msr_read(v, 0x1d9, &value), MSR_GP);
    cr_expect(msr_read(v, 0x8b, &value) == MSR_OK && value == 0);
    partition_destroy(p);
}
