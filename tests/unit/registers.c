/* The register table by HV_REGISTER_NAME. TLFS 6.0b §7.8.2, §7.9. */
#include <criterion/criterion.h>
#include <string.h>

#include "cpu/registers.h"
#include "machine/prng.h"

/* A VP as the processor leaves it at reset, as far as registers constrain each other. */
static struct vp_state fresh(void)
{
    struct vp_state s;
    memset(&s, 0, sizeof s);
    s.rflags = RFLAGS_FIXED;
    s.cr0 = CR0_ET;
    s.xcr0 = 1;
    s.dr6 = 0xffff0ff0;
    s.dr7 = 0x400;
    s.fpu.fcw = 0x40;
    s.mxcsr = 0x1f80;
    s.pat = 0x0007040600070406;
    return s;
}
static const struct register_row *row_of(uint32_t name)
{
    const struct register_row *row = register_by_name(name);
    cr_assert_not_null(row, "%x", name);
    return row;
}
static struct register_value get(const struct vp_state *s, uint32_t name)
{
    return row_of(name)->get(s, row_of(name)->argument);
}
static bool set(struct vp_state *s, uint32_t name, uint64_t low, uint64_t high)
{
    return row_of(name)->set(s, row_of(name)->argument, (struct register_value){low, high});
}

/* By value, not by bytes: structs have padding. */
static bool same(const struct vp_state *a, const struct vp_state *b)
{
    for (size_t i = 0; i < register_row_count; i++) {
        struct register_value x = register_rows[i].get(a, register_rows[i].argument);
        struct register_value y = register_rows[i].get(b, register_rows[i].argument);
        if (x.low != y.low || x.high != y.high) {
            return false;
        }
    }
    return a->cpl == b->cpl && a->interrupt_shadow == b->interrupt_shadow;
}

Test(registers, rows_are_sorted_unique_and_found)
{
    for (size_t i = 0; i < register_row_count; i++) {
        cr_expect(i == 0 || register_rows[i - 1].name < register_rows[i].name, "%s", register_rows[i].title);
        cr_expect_eq(register_by_name(register_rows[i].name), &register_rows[i]);
        for (size_t k = 0; k < i; k++) {
            cr_expect_str_neq(register_rows[k].title, register_rows[i].title);
        }
    }
    cr_expect_null(register_by_name(0));
    cr_expect_null(register_by_name(0x00030020));
    cr_expect_null(register_by_name(UINT32_MAX));
}

/* Numbers straight from §7.8.2, one of each group. */
Test(registers, names_are_those_of_the_tlfs)
{
    static const struct {
        uint32_t name;
        const char *title;
    } names[] = {
        {0x00010002, "PendingInterruption"},
        {0x00010003, "InterruptState"},
        {0x00020003, "Rbx"},
        {0x00020004, "Rsp"},
        {0x00020006, "Rsi"},
        {0x0002000f, "R15"},
        {0x00020010, "Rip"},
        {0x00020011, "Rflags"},
        {0x0003000f, "Xmm15"},
        {0x00030017, "FpMmx7"},
        {0x00030018, "FpControlStatus"},
        {0x00030019, "XmmControlStatus"},
        {0x00040000, "Cr0"},
        {0x00040003, "Cr4"},
        {0x00040005, "Xfem"},
        {0x00050005, "Dr7"},
        {0x00060000, "Es"},
        {0x00060001, "Cs"},
        {0x00060007, "Tr"},
        {0x00070000, "Idtr"},
        {0x00070001, "Gdtr"},
        {0x00080001, "Efer"},
        {0x00080002, "KernelGsBase"},
        {0x00080004, "Pat"},
        {0x00080006, "SysenterRip"},
        {0x00080007, "SysenterRsp"},
        {0x0008000b, "Sfmask"},
        {0x0008000d, "MtrrCap"},
        {0x00080017, "MtrrPhysBase7"},
        {0x00080040, "MtrrPhysMask0"},
        {0x0008007a, "MtrrFix4kF8000"},
        {0x000800a0, "MsrIa32MiscEnable"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        cr_expect_str_eq(row_of(names[i].name)->title, names[i].title);
    }
}

/* Random values: what set() takes, get() gives back; what it refuses changes nothing. Every settable row takes some. */
Test(registers, accepted_values_come_back_and_refused_ones_change_nothing)
{
    struct prng r = {3};
    unsigned *taken = calloc(register_row_count, sizeof *taken);
    for (unsigned round = 0; round < 4000; round++) {
        for (size_t i = 0; i < register_row_count; i++) {
            const struct register_row *row = &register_rows[i];
            struct vp_state s = fresh(), before = s;
            uint64_t mask = prng_next(&r) & prng_next(&r) & prng_next(&r);
            struct register_value now = row->get(&s, row->argument);
            struct register_value v = {now.low ^ (prng_next(&r) & mask) >> (round % 64),
                                       now.high ^ (prng_next(&r) & mask) >> (round % 61)};
            if (row->bits == 64 && round % 8 != 0) {
                v.high = 0;
            }
            if (row->set == NULL) {
                continue;
            }
            if (!row->set(&s, row->argument, v)) {
                cr_assert(same(&s, &before), "%s", row->title);
                continue;
            }
            struct register_value back = row->get(&s, row->argument);
            bool null_segment = (row->name & 0xffff0000) == 0x00060000 && !(v.high >> 55 & 1);
            bool pending = row->name == 0x00010002, mask_word = row->name == 0x00030019;
            cr_assert(pending || back.low == v.low, "%s %lx %lx", row->title, v.low, back.low);
            cr_assert(null_segment || mask_word || back.high == v.high, "%s %lx %lx", row->title, v.high, back.high);
            taken[i] += v.low != now.low || v.high != now.high;
            struct vp_state after = s;
            cr_assert(row->set(&s, row->argument, back), "%s: its own value", row->title);
            cr_assert(same(&s, &after), "%s: its own value changes nothing", row->title);
        }
    }
    for (size_t i = 0; i < register_row_count; i++) {
        cr_expect(register_rows[i].set == NULL || taken[i] > 0, "%s took nothing", register_rows[i].title);
    }
    free(taken);
}

/* Values narrower than 128 bits are zero-extended (§7.8.3): anything above is refused. */
Test(registers, upper_halves_of_64_bit_registers_are_zero)
{
    for (size_t i = 0; i < register_row_count; i++) {
        const struct register_row *row = &register_rows[i];
        struct vp_state s = fresh();
        if (row->bits == 64 && row->set) {
            cr_expect_eq(row->get(&s, row->argument).high, 0u);
            struct register_value v = {row->get(&s, row->argument).low, 1};
            cr_expect_not(row->set(&s, row->argument, v), "%s", row->title);
        }
    }
}

/* SDM: bits that no processor of this kind lets one set. */
Test(registers, impossible_values_are_refused)
{
    struct vp_state s = fresh();
    cr_expect_not(set(&s, 0x00020011, 0, 0), "RFLAGS bit 1 is 1");
    cr_expect_not(set(&s, 0x00020011, RFLAGS_FIXED | 1 << 15, 0));
    cr_expect_not(set(&s, 0x00040000, CR0_ET | CR0_PG, 0), "paging without protection");
    cr_expect_not(set(&s, 0x00040000, CR0_ET | CR0_NW, 0), "NW without CD");
    cr_expect_not(set(&s, 0x00040003, 1ULL << 13, 0), "VMXE");
    cr_expect_not(set(&s, 0x00040005, 2, 0), "XCR0 without x87");
    cr_expect_not(set(&s, 0x00040005, 7, 0), "AVX");
    cr_expect_not(set(&s, 0x00050005, 0, 0), "DR7 bit 10 is 1");
    cr_expect_not(set(&s, 0x00050004, 0xffff0ff0 | 1 << 12, 0));
    cr_expect_not(set(&s, 0x00080001, 1 << 12, 0), "SVME");
    cr_expect_not(set(&s, 0x00080004, 2, 0), "memory type 2");
    cr_expect_not(set(&s, 0x00080009, 0x0000800000000000, 0), "LSTAR");
    cr_expect_not(set(&s, 0x00080005, 1ULL << 32, 0), "SYSENTER_CS");
    cr_expect_not(set(&s, 0x00030018, 0x80, 0), "FCW bit 7");
    cr_expect_not(set(&s, 0x00030018, 0x40 | 0x0800ULL << 48, 0), "12 bits of opcode");
    cr_expect_not(set(&s, 0x00030019, 0, 0x10000), "MXCSR bit 16");
    cr_expect_not(set(&s, 0x00030010, 0, 0x10000), "above 80 bits");
    struct vp_state untouched = fresh();
    cr_expect(same(&s, &untouched));
}

static uint64_t segment_high(uint32_t limit, uint16_t selector, uint16_t attributes)
{
    return limit | (uint64_t)selector << 32 | (uint64_t)attributes << 48;
}

/* §7.9.5: base, limit, selector, attributes. */
Test(registers, segments_have_their_four_fields)
{
    struct vp_state s = fresh();
    cr_expect(set(&s, 0x00060003, 0x12345, segment_high(0xffffffff, 0x18, 0xc093)));
    cr_expect_eq(s.seg_base[SEG_DS], 0x12345u);
    cr_expect_eq(s.seg[SEG_DS].limit, 0xffffffffu);
    cr_expect_eq(s.seg[SEG_DS].selector, 0x18);
    cr_expect_eq(s.seg[SEG_DS].attributes, 0xc093);
    cr_expect_eq(get(&s, 0x00060003).high, segment_high(0xffffffff, 0x18, 0xc093));
}

/* §7.9.5: with G the low 12 bits of the limit are ones; SDM 3A §3.4.5: without, the limit has 20 bits. */
Test(registers, limits_must_be_expressible)
{
    struct vp_state s = fresh();
    cr_expect_not(set(&s, 0x00060003, 0, segment_high(0xfffff000, 0x18, 0xc093)));
    cr_expect_not(set(&s, 0x00060003, 0, segment_high(0x100000, 0x18, 0x4093)));
    cr_expect(set(&s, 0x00060003, 0, segment_high(0xfffff, 0x18, 0x4093)));
    cr_expect_not(set(&s, 0x00060003, 0, segment_high(0xfffff, 0x18, 0x4193)), "attribute bits 11:8 are reserved");
    cr_expect_not(set(&s, 0x00060003, 0, segment_high(0xfffff, 0x18, 0x4083)), "a system descriptor");
}

/* CPL is SS.DPL; a null SS keeps it. */
Test(registers, cpl_travels_with_ss)
{
    struct vp_state s = fresh();
    cr_expect(set(&s, 0x00060002, 0, segment_high(0xffffffff, 0x2b, 0xc0f3)));
    cr_expect_eq(s.cpl, 3);
    cr_expect(set(&s, 0x00060002, 0, segment_high(0, 0, 0x20)));
    cr_expect_eq(s.cpl, 1);
    cr_expect_eq(s.seg[SEG_SS].attributes, 0);
    cr_expect_eq(get(&s, 0x00060002).high, segment_high(0, 0, 0x20));
}

/* SDM 3A table 3-2: LDTR holds type 2, TR a TSS. */
Test(registers, system_segments_hold_system_types)
{
    struct vp_state s = fresh();
    cr_expect(set(&s, 0x00060006, 0x1000, segment_high(0xff, 0x30, 0x82)));
    cr_expect_not(set(&s, 0x00060006, 0x1000, segment_high(0xff, 0x30, 0x8b)));
    cr_expect(set(&s, 0x00060007, 0x1000, segment_high(0x67, 0x40, 0x8b)));
    cr_expect_not(set(&s, 0x00060007, 0x1000, segment_high(0x67, 0x40, 0x82)));
    cr_expect_not(set(&s, 0x00060007, 0x1000, segment_high(0x67, 0x40, 0x9b)), "a code segment");
    cr_expect(set(&s, 0x00060006, 0, segment_high(0, 0, 0)), "a null LDT");
}

/* §7.9.6: padding, limit, base. */
Test(registers, tables_have_limit_and_base)
{
    struct vp_state s = fresh();
    cr_expect(set(&s, 0x00070001, 0x7fULL << 48, 0xffff888000001000));
    cr_expect_eq(s.gdtr.limit, 0x7f);
    cr_expect_eq(s.gdtr.base, 0xffff888000001000u);
    cr_expect_not(set(&s, 0x00070001, 0x7fULL << 48 | 1, 0), "padding");
    cr_expect_not(set(&s, 0x00070000, 0, 0x8000000000000000), "not canonical");
}

/* §7.9.4: control, status, tags, opcode, RIP; operand, MXCSR and its mask. */
Test(registers, floating_point_words_are_packed_as_the_tlfs_has_them)
{
    struct vp_state s = fresh();
    s.fpu.fcw = 0x37f;
    s.fpu.fsw = 0x3800;
    s.fpu.ftw = 0x81;
    s.fpu.fop = 0x123;
    s.fpu.fip = 0xffff888000001234;
    s.fpu.fdp = 0x5678;
    s.fpu.fds = 0x2b;
    cr_expect_eq(get(&s, 0x00030018).low, 0x012300813800037fu);
    cr_expect_eq(get(&s, 0x00030018).high, 0xffff888000001234u);
    cr_expect_eq(get(&s, 0x00030019).low, 0x0000002b00005678u);
    cr_expect_eq(get(&s, 0x00030019).high, 0x0000ffff00001f80u);
}

/* §7.9.2, §7.9.3. */
Test(registers, interrupt_state_and_pending_nmi)
{
    struct vp_state s = fresh();
    s.interrupt_shadow = 2;
    s.nmi_blocked = true;
    cr_expect_eq(get(&s, 0x00010003).low, 3u);
    cr_expect(set(&s, 0x00010003, 1, 0));
    cr_expect_eq(s.interrupt_shadow, 2, "the shadow of MOV SS stays one");
    cr_expect_not(s.nmi_blocked);
    cr_expect_not(set(&s, 0x00010003, 4, 0));
    cr_expect(set(&s, 0x00010002, 1 | 2 << 1 | 2 << 16, 0));
    cr_expect(s.nmi_pending);
    cr_expect_not(set(&s, 0x00010002, 1 | 3 << 1 | 13 << 16, 0), "vp_state cannot hold a pending exception");
    cr_expect(set(&s, 0x00010002, 0, 0));
    cr_expect_not(s.nmi_pending);
}

Test(registers, mtrr_capabilities_are_read_only)
{
    struct vp_state s = fresh();
    cr_expect_null(row_of(0x0008000d)->set);
    cr_expect_eq(get(&s, 0x0008000d).low, 0x508u);
}
