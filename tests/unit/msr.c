/* RDMSR and WRMSR: the table and its rules. SDM 4 chapter 2, and the section each row names. */
#include "cpu/msr.h"
#include "lapic_fixture.h"

static enum msr_outcome read_of(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    *value = 0;
    return msr_read(v, msr, value);
}
static uint64_t value_of(struct vcpu *v, uint32_t msr)
{
    uint64_t value;
    cr_expect_eq(read_of(v, msr, &value), MSR_OK, "RDMSR %x", msr);
    return value;
}

Test(msr, rows_are_sorted_unique_and_cited)
{
    for (size_t i = 0; i < msr_row_count; i++) {
        cr_expect(i == 0 || msr_rows[i - 1].index < msr_rows[i].index, "%s", msr_rows[i].name);
        cr_expect(strstr(msr_rows[i].section, "SDM") || strstr(msr_rows[i].section, "APM"), "%s", msr_rows[i].name);
        cr_expect_eq(msr_rows[i].reset & msr_rows[i].reserved, 0u, "%s", msr_rows[i].name);
        cr_expect(msr_rows[i].access != MSR_RW || msr_rows[i].field != MSR_NO_FIELD || msr_rows[i].write, "%s",
                  msr_rows[i].name);
    }
}

static bool shown(const struct vcpu *v, const struct msr_row *row)
{
    bool vendor = row->vendor == MSR_ANY_VENDOR || row->vendor == (int)v->cpu->config.model.vendor;
    return vendor && (row->feature == MSR_ALWAYS || vp_has(v, row->feature));
}

/* Each row, with everything on: readable unless write-only, reset value, reserved bits and read-only raise #GP and change
 * nothing. */
static void walk(enum cpu_vendor vendor)
{
    static const char *const on[] = {"mtrr", "mce", "mca", "tsc_adjust", "tsc_deadline", "x2apic", NULL};
    struct bench *b = bench_with(vendor, 1, GHZ, on);
    struct vcpu *v = vp(b, 0);
    msr_reset(v);
    for (size_t i = 0; i < msr_row_count; i++) {
        const struct msr_row *row = &msr_rows[i];
        uint64_t value, again;
        cr_expect_eq(read_of(v, row->index, &value), shown(v, row) && row->access != MSR_WO ? MSR_OK : MSR_GP, "%s", row->name);
        if (!shown(v, row)) {
            cr_expect_eq(msr_write(v, row->index, 0), MSR_GP, "%s", row->name);
            continue;
        }
        if (row->field != MSR_NO_FIELD && row->read == NULL) {
            cr_expect_eq(value, row->reset, "%s", row->name);
        }
        if (row->access == MSR_RO) {
            cr_expect_eq(msr_write(v, row->index, value), MSR_GP, "%s", row->name);
        }
        for (unsigned bit = 0; bit < 64; bit++) {
            if (row->reserved >> bit & 1) {
                cr_expect_eq(msr_write(v, row->index, value | 1ULL << bit), MSR_GP, "%s bit %u", row->name, bit);
            }
        }
        if (row->access != MSR_WO && row->index != 0x10) {
            read_of(v, row->index, &again);
            cr_expect_eq(again, value, "%s", row->name);
        }
    }
    bench_destroy(b);
}

Test(msr, every_row_keeps_its_rules_on_amd)
{
    walk(VENDOR_AMD);
}
Test(msr, every_row_keeps_its_rules_on_intel)
{
    walk(VENDOR_INTEL);
}

/* What nobody knows raises #GP; operating systems probe for it. */
Test(msr, unknown_indices_raise_gp)
{
    static const uint32_t unknown[] = {0x0,   0x11,       0x3a,       0xce,       0x140,      0x186,     0x800,
                                       0x83f, 0x40000000, 0x400001ff, 0xc0010000, 0xc0010020, 0xffffffff};
    struct bench *b = bench_with(VENDOR_AMD, 1, GHZ, NULL);
    for (size_t i = 0; i < ARRAY_COUNT(unknown); i++) {
        uint64_t value;
        cr_expect_eq(read_of(vp(b, 0), unknown[i], &value), MSR_GP, "%x", unknown[i]);
        cr_expect_eq(msr_write(vp(b, 0), unknown[i], 0), MSR_GP, "%x", unknown[i]);
    }
    bench_destroy(b);
}

/* SDM 3A §3.3.7.1: linear addresses in MSRs must be canonical. */
Test(msr, addresses_must_be_canonical)
{
    static const uint32_t addresses[] = {0x175, 0x176, 0xc0000082, 0xc0000083, 0xc0000100, 0xc0000101, 0xc0000102};
    struct bench *b = bench_with(VENDOR_INTEL, 1, GHZ, NULL);
    struct vcpu *v = vp(b, 0);
    for (size_t i = 0; i < ARRAY_COUNT(addresses); i++) {
        cr_expect_eq(msr_write(v, addresses[i], 0xffff800000000000), MSR_OK, "%x", addresses[i]);
        cr_expect_eq(msr_write(v, addresses[i], 0x0000800000000000), MSR_GP, "%x", addresses[i]);
        cr_expect_eq(value_of(v, addresses[i]), 0xffff800000000000, "%x", addresses[i]);
        v->s.cr4 |= CR4_LA57;
        cr_expect_eq(msr_write(v, addresses[i], 0x0000800000000000), MSR_OK, "57 bits: %x", addresses[i]);
        cr_expect_eq(msr_write(v, addresses[i], 0x0100000000000000), MSR_GP, "57 bits: %x", addresses[i]);
        v->s.cr4 = 0;
    }
    bench_destroy(b);
}

/* FS and GS bases are the segment registers' own. SDM 3A §3.4.4. */
Test(msr, fs_and_gs_base_are_the_segment_bases)
{
    struct bench *b = bench_create(1);
    struct vcpu *v = vp(b, 0);
    msr_write(v, 0xc0000100, 0x1234567890);
    msr_write(v, 0xc0000101, 0xfffffff000000000);
    cr_expect_eq(v->s.seg_base[SEG_FS], 0x1234567890u);
    cr_expect_eq(v->s.seg_base[SEG_GS], 0xfffffff000000000u);
    bench_destroy(b);
}

/* 32-bit registers: the upper half is reserved on Intel; APM 2 reads it as zero. */
Test(msr, narrow_registers_differ_by_vendor)
{
    static const uint32_t narrow[] = {0x174, 0xc0000084, 0xc0000103};
    struct bench *intel = bench_with(VENDOR_INTEL, 1, GHZ, NULL), *amd = bench_with(VENDOR_AMD, 1, GHZ, NULL);
    for (size_t i = 0; i < ARRAY_COUNT(narrow); i++) {
        cr_expect_eq(msr_write(vp(intel, 0), narrow[i], 0x1ffffffff), MSR_GP, "%x", narrow[i]);
        cr_expect_eq(msr_write(vp(intel, 0), narrow[i], 0xffffffff), MSR_OK, "%x", narrow[i]);
        cr_expect_eq(msr_write(vp(amd, 0), narrow[i], 0x1fffffff0), MSR_OK, "%x", narrow[i]);
        cr_expect_eq(value_of(vp(amd, 0), narrow[i]), 0xfffffff0u, "%x", narrow[i]);
    }
    cr_expect_eq(msr_write(vp(amd, 0), 0x175, 0xffff888012345678), MSR_OK);
    cr_expect_eq(value_of(vp(amd, 0), 0x175), 0x12345678u, "SYSENTER has 32 bits on AMD");
    bench_destroy(intel);
    bench_destroy(amd);
}

/* SDM 3A §11.12.2: types 2, 3 and 8-255 are reserved in every byte. */
Test(msr, pat_takes_only_memory_types)
{
    struct bench *b = bench_create(1);
    for (unsigned type = 0; type < 256; type++) {
        bool legal = type < 8 && type != 2 && type != 3;
        for (unsigned byte = 0; byte < 8; byte++) {
            uint64_t value = (0x0606060606060606 & ~(0xffULL << 8 * byte)) | (uint64_t)type << 8 * byte;
            cr_expect_eq(msr_write(vp(b, 0), 0x277, value), legal ? MSR_OK : MSR_GP, "type %u byte %u", type, byte);
        }
    }
    bench_destroy(b);
}

/* SDM 3A §11.11.2: types, reserved bits, MAXPHYADDR. */
Test(msr, mtrrs_check_types_and_addresses)
{
    static const char *const on[] = {"mtrr", NULL};
    struct bench *b = bench_with(VENDOR_INTEL, 1, GHZ, on);
    struct vcpu *v = vp(b, 0);
    cr_expect_eq(value_of(v, 0xfe), 0x508u, "8 ranges, fixed ranges, write combining");
    cr_expect_eq(msr_write(v, 0x200, 0x80000006), MSR_OK);
    cr_expect_eq(msr_write(v, 0x200, 0x80000002), MSR_GP);
    cr_expect_eq(msr_write(v, 0x20e, 0x80000106), MSR_GP);
    cr_expect_eq(msr_write(v, 0x20f, 0xff80000800), MSR_OK);
    cr_expect_eq(msr_write(v, 0x20f, 0x1ff80000800), MSR_GP, "40 bits of physical address");
    cr_expect_eq(msr_write(v, 0x250, 0x0606060606060605), MSR_OK);
    cr_expect_eq(msr_write(v, 0x250, 0x0607060606060605), MSR_GP, "UC- is the PAT's");
    cr_expect_eq(msr_write(v, 0x2ff, 0xc06), MSR_OK);
    cr_expect_eq(msr_write(v, 0x2ff, 0xc03), MSR_GP);
    bench_destroy(b);
}

/* SDM 3B §17.17.3: TSC and IA32_TSC_ADJUST move together. */
Test(msr, tsc_and_its_adjustment_move_together)
{
    static const char *const on[] = {"tsc_adjust", NULL};
    struct bench *b = bench_with(VENDOR_INTEL, 1, GHZ, on);
    struct vcpu *v = vp(b, 0);
    b->m->clock.cycle = 5000;
    uint64_t tsc = value_of(v, 0x10);
    cr_expect_eq(msr_write(v, 0x10, tsc + 100), MSR_OK);
    cr_expect_eq(value_of(v, 0x3b), 100u);
    cr_expect_eq(msr_write(v, 0x3b, 0), MSR_OK);
    cr_expect_eq(value_of(v, 0x10), tsc);
    b->m->clock.cycle = 5007;
    cr_expect_eq(value_of(v, 0x10), tsc + 7, "it runs with the clock");
    cr_expect_eq(vp_tsc(v), tsc + 7, "RDTSC reads the same");
    bench_destroy(b);
}

/* SDM 4: fast strings are on, BTS and PEBS are not available, MONITOR is; bit 34 (NX disable) reads 0 before any handler
 * exists. */
Test(msr, misc_enable_is_calm)
{
    struct bench *b = bench_with(VENDOR_INTEL, 1, GHZ, NULL);
    struct vcpu *v = vp(b, 0);
    msr_reset(v);
    cr_expect_eq(value_of(v, 0x1a0), 0x41801u);
    cr_expect_eq(msr_write(v, 0x1a0, 0x41800), MSR_OK);
    cr_expect_eq(value_of(v, 0x1a0), 0x41800u);
    cr_expect_eq(msr_write(v, 0x1a0, 1ULL << 34 | 0x41801), MSR_GP);
    cr_expect_eq(msr_write(v, 0x1a0, 1ULL << 22 | 0x41801), MSR_GP);
    bench_destroy(b);
}

/* Bits that Linux sets in passing are taken; HWCR tells that the TSC counts at P0's rate. */
Test(msr, amd_configuration_reads_fixed_and_takes_writes)
{
    struct bench *b = bench_with(VENDOR_AMD, 1, GHZ, NULL);
    struct vcpu *v = vp(b, 0);
    cr_expect_eq(msr_write(v, 0xc001001f, 1ULL << 46), MSR_OK);
    cr_expect_eq(value_of(v, 0xc001001f), 0u);
    cr_expect_eq(value_of(v, 0xc0010015) >> 24 & 1, 1u);
    cr_expect_eq(value_of(v, 0xc0011029), 2u);
    bench_destroy(b);
}

/* SDM 4 table 2-2: no Meltdown, L1TF, MDS or TAA where nothing is speculative; and none of the bits that promise a mitigation
 * to switch. */
Test(msr, arch_capabilities_deny_faults_and_promise_no_switches)
{
    struct bench *b = bench_with(VENDOR_INTEL, 1, GHZ, NULL);
    uint64_t value = value_of(vp(b, 0), 0x10a);
    cr_expect_eq(value & 0x139, 0x139u, "RDCL_NO, SKIP_L1DFL_VMENTRY, SSB_NO, MDS_NO, TAA_NO");
    cr_expect_eq(value & (1 << 1 | 1 << 2 | 1 << 7 | 1 << 17 | 1 << 18), 0u,
                 "IBRS_ALL, RSBA, TSX_CTRL, FB_CLEAR, FB_CLEAR_CTRL");
    bench_destroy(b);
}

/* ---- hooks and charges ---- */

struct hooked {
    uint32_t msr;
    unsigned reads, writes;
    uint64_t value;
};
static enum msr_outcome hook_read(void *owner, struct vcpu *v, uint32_t msr, uint64_t *value)
{
    struct hooked *h = owner;
    h->reads++;
    *value = 0x5678;
    return msr == h->msr ? MSR_OK : msr == h->msr + 1 ? MSR_GP : MSR_NOT_MINE;
}
static enum msr_outcome hook_write(void *owner, struct vcpu *v, uint32_t msr, uint64_t value)
{
    struct hooked *h = owner;
    h->writes++;
    h->value = value;
    return msr == h->msr ? MSR_OK : msr == h->msr + 1 ? MSR_GP : MSR_NOT_MINE;
}

Test(msr, the_hypervisors_range_goes_to_the_hook_and_is_charged)
{
    struct bench *b = bench_create(1);
    struct vcpu *v = vp(b, 0);
    struct hooked h = {.msr = 0x40000020};
    b->cpu->hooks = (struct cpu_hooks){.owner = &h, .rdmsr = hook_read, .wrmsr = hook_write};
    cr_expect_eq(value_of(v, 0x40000020), 0x5678u);
    cr_expect_eq(msr_write(v, 0x40000020, 9), MSR_OK);
    cr_expect_eq(h.value, 9u);
    cr_expect_eq(msr_write(v, 0x40000021, 9), MSR_GP);
    cr_expect_eq(msr_write(v, 0x40000022, 9), MSR_GP);
    cr_expect_eq(vp_account(v).events[EXIT_RDMSR], 1u);
    cr_expect_eq(vp_account(v).events[EXIT_WRMSR], 3u);
    value_of(v, 0xc0000080);
    cr_expect_eq(vp_account(v).events[EXIT_RDMSR], 1u, "the processor's own are not intercepts");
    cr_expect_eq(h.reads, 1u);
    bench_destroy(b);
}

Test(msr, x2apic_registers_are_charged_as_apic_accesses)
{
    struct bench *b = bench_create(1);
    struct vcpu *v = vp(b, 0);
    cr_assert_eq(msr_write(v, 0x1b, 0xfee00d00), MSR_OK);
    cr_expect_eq(msr_write(v, 0x808, 0x20), MSR_OK);
    cr_expect_eq(value_of(v, 0x808), 0x20u);
    cr_expect_eq(vp_account(v).events[EXIT_APIC], 2u);
    bench_destroy(b);
}

/* ---- trace points ---- */

static void keep_last(void *owner, const struct trace_event *e)
{
    *(struct trace_event *)owner = *e;
}

Test(msr, accesses_are_traced_with_value_and_rip)
{
    struct bench *b = bench_create(1);
    struct vcpu *v = vp(b, 0);
    struct trace_event last = {0};
    v->s.rip = 0x8000;
    trace_listen(b->m->trace, NULL, keep_last, &last);
    msr_write(v, 0xc0000100, 0x1000);
    cr_expect_eq(last.row->id, TRACE_ID_msr_write);
    cr_expect(last.values[0] == 0xc0000100 && last.values[1] == 0x1000 && last.values[2] == 0x8000);
    value_of(v, 0xc0000100);
    cr_expect_eq(last.row->id, TRACE_ID_msr_read);
    msr_write(v, 0x999, 3);
    cr_expect_eq(last.row->id, TRACE_ID_msr_refused);
    cr_expect(last.values[0] == 0x999 && last.values[1] == 1 && last.values[2] == 3);
    bench_destroy(b);
}
