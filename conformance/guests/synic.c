/* SynIC registers, pages and EOM as a guest finds them. TLFS 6.0b §11.8, §11.9.
 *
 * What arrives by them is judged in message.c and event.c. The first tests judge what a VP finds that nobody has used before;
 * their VPs are those that the kit has not touched.
 */
#include "synic_use.h"

/* ---- as created ---- */

struct found {
    uint64_t scontrol, siefp, simp, sint[SINTS];
};

static void find_registers(void *arg)
{
    struct found *f = arg;
    f->scontrol = rdmsr(HV_X64_MSR_SCONTROL);
    f->siefp = rdmsr(HV_X64_MSR_SIEFP);
    f->simp = rdmsr(HV_X64_MSR_SIMP);
    for (unsigned i = 0; i < SINTS; i++) {
        f->sint[i] = rdmsr(sint_msr(i));
    }
}

TEST(creation_values, "synic.scontrol.reset", "synic.siefp.reset", "synic.simp.reset", "synic.sint.reset")
{
    NEEDS(AccessSynicRegs);
    smp_start();
    for (unsigned vp = 0; vp < vp_count(); vp++) {
        struct found f;
        on_vp(vp, find_registers, &f);
        EXPECT_EQ_FOR("synic.scontrol.reset", f.scontrol, 0);
        EXPECT_EQ_FOR("synic.siefp.reset", f.siefp, 0);
        EXPECT_EQ_FOR("synic.simp.reset", f.simp, 0);
        for (unsigned i = 0; i < SINTS; i++) {
            EXPECT_EQ_FOR("synic.sint.reset", f.sint[i], 0x10000);
        }
    }
}

struct first_look {
    volatile uint64_t *a, *b;
    uint64_t any;
};

static void look_at_pages(void *arg)
{
    struct first_look *l = arg;
    wrmsr(HV_X64_MSR_SIMP, gpa_of(l->a) | 1);
    wrmsr(HV_X64_MSR_SIEFP, gpa_of(l->b) | 1);
    for (unsigned i = 0; i < PAGE_BYTES / 8; i++) {
        l->any |= l->a[i] | l->b[i];
    }
}

TEST(pages_start_zero, "synic.pages.zero-at-creation")
{
    NEEDS(AccessSynicRegs);
    smp_start();
    for (unsigned vp = 0; vp < vp_count(); vp++) {
        struct first_look l = {page_alloc(), page_alloc(), 0};
        memset((void *)l.a, 0xa5, PAGE_BYTES);
        memset((void *)l.b, 0x5a, PAGE_BYTES);
        on_vp(vp, look_at_pages, &l);
        EXPECT(l.any == 0, "VP %u finds 0x%lx", vp, l.any);
    }
}

/* ---- which registers there are ---- */

TEST(registers_answer, "synic.registers.present")
{
    NEEDS(AccessSynicRegs);
    uint64_t value;
    for (uint32_t msr = HV_X64_MSR_SCONTROL; msr <= HV_X64_MSR_EOM; msr++) {
        EXPECT(rdmsr_try(msr, &value) == NO_FAULT, "0x%x faults", msr);
    }
    for (unsigned i = 0; i < SINTS; i++) {
        EXPECT(rdmsr_try(sint_msr(i), &value) == NO_FAULT, "SINT%u faults", i);
    }
}

TEST(gap_faults, "synic.registers.gap")
{
    NEEDS(AccessSynicRegs);
    uint64_t value;
    for (uint32_t msr = HV_X64_MSR_EOM + 1; msr < HV_X64_MSR_SINT0; msr++) {
        EXPECT(rdmsr_try(msr, &value) == VEC_GP, "0x%x can be read", msr);
        EXPECT(wrmsr_try(msr, 0) == VEC_GP, "0x%x can be written", msr);
    }
}

TEST(sixteen_sints, "synic.sint.count")
{
    NEEDS(AccessSynicRegs);
    uint64_t value;
    EXPECT(rdmsr_try(sint_msr(15), &value) == NO_FAULT);
    EXPECT(rdmsr_try(sint_msr(16), &value) == VEC_GP);
    EXPECT(wrmsr_try(sint_msr(16), HV_SYNIC_SINT_MASKED) == VEC_GP);
}

static void expect_absent(uint32_t msr)
{
    uint64_t value;
    EXPECT(rdmsr_try(msr, &value) == VEC_GP, "0x%x can be read", msr);
    EXPECT(wrmsr_try(msr, 0) == VEC_GP, "0x%x can be written", msr);
}

TEST(withheld_faults, "synic.registers.privilege")
{
    NEEDS_THAT(hv_present() && !has(AccessSynicRegs), "AccessSynicRegs is announced");
    for (uint32_t msr = HV_X64_MSR_SCONTROL; msr <= HV_X64_MSR_EOM; msr++) {
        expect_absent(msr);
    }
    for (unsigned i = 0; i < SINTS; i++) {
        expect_absent(sint_msr(i));
    }
}

static void write_some(void *page)
{
    wrmsr(HV_X64_MSR_SCONTROL, 1);
    wrmsr(HV_X64_MSR_SIEFP, gpa_of(page) | 1);
    wrmsr(HV_X64_MSR_SIMP, (gpa_of(page) + PAGE_BYTES) | 1);
    for (unsigned i = 0; i < SINTS; i++) {
        wrmsr(sint_msr(i), 0x40 + i);
    }
}

TEST(registers_are_per_vp, "synic.registers.per-vp")
{
    NEEDS(AccessSynicRegs);
    NEEDS_THAT(vp_count() > 1, "one VP");
    smp_start();
    struct found before, after, other;
    find_registers(&before);
    on_vp(1, write_some, pages_alloc(2));
    find_registers(&after);
    on_vp(1, find_registers, &other);
    EXPECT(memcmp(&before, &after, sizeof before) == 0, "VP 0 sees what VP 1 wrote");
    EXPECT_EQ(other.scontrol, 1);
    EXPECT_EQ(other.sint[15], 0x4f);
}

/* ---- SCONTROL, SVERSION, EOM ---- */

TEST(scontrol_enable, "synic.scontrol.enable")
{
    NEEDS(AccessSynicRegs);
    for (unsigned turn = 0; turn < 2; turn++) {
        wrmsr(HV_X64_MSR_SCONTROL, 1);
        EXPECT_EQ(rdmsr(HV_X64_MSR_SCONTROL) & 1, 1);
        wrmsr(HV_X64_MSR_SCONTROL, 0);
        EXPECT_EQ(rdmsr(HV_X64_MSR_SCONTROL) & 1, 0);
    }
}

TEST(scontrol_keeps_others, "synic.scontrol.keeps-others")
{
    NEEDS(AccessSynicRegs);
    struct found before, after;
    write_some(pages_alloc(2));
    find_registers(&before);
    wrmsr(HV_X64_MSR_SCONTROL, 0);
    find_registers(&after);
    before.scontrol = after.scontrol = 0;
    EXPECT(memcmp(&before, &after, sizeof before) == 0);
    EXPECT_EQ(after.sint[3], 0x43);
}

TEST(version_is_one, "synic.sversion.value")
{
    NEEDS(AccessSynicRegs);
    EXPECT_EQ((uint32_t)rdmsr(HV_X64_MSR_SVERSION), 1);
}

TEST(version_is_read_only, "synic.sversion.read-only")
{
    NEEDS(AccessSynicRegs);
    EXPECT(wrmsr_try(HV_X64_MSR_SVERSION, 0) == VEC_GP);
    EXPECT(wrmsr_try(HV_X64_MSR_SVERSION, 1) == VEC_GP);
    EXPECT_EQ((uint32_t)rdmsr(HV_X64_MSR_SVERSION), 1);
}

TEST(eom_reads_zero, "synic.eom.reads-zero")
{
    NEEDS(AccessSynicRegs);
    uint64_t value = ~0ULL;
    EXPECT(rdmsr_try(HV_X64_MSR_EOM, &value) == NO_FAULT);
    EXPECT_EQ(value, 0);
}

static void expect_write_back(const char *clause, uint32_t msr)
{
    uint64_t value = rdmsr(msr);
    EXPECT_FOR(clause, wrmsr_try(msr, value) == NO_FAULT, "0x%x refuses 0x%lx, which it gave", msr, value);
    EXPECT_EQ_FOR(clause, rdmsr(msr), value);
}

TEST(reserved_bits_write_back, "synic.scontrol.reserved", "synic.siefp.reserved", "synic.simp.reserved", "synic.sint.reserved")
{
    NEEDS(AccessSynicRegs);
    for (unsigned turn = 0; turn < 2; turn++) { /* as they are, and in use */
        expect_write_back("synic.scontrol.reserved", HV_X64_MSR_SCONTROL);
        expect_write_back("synic.siefp.reserved", HV_X64_MSR_SIEFP);
        expect_write_back("synic.simp.reserved", HV_X64_MSR_SIMP);
        for (unsigned i = 0; turn == 1 && i < SINTS; i++) {
            expect_write_back("synic.sint.reserved", sint_msr(i));
        }
        write_some(pages_alloc(2));
    }
}

/* ---- the pages ---- */

TEST(page_registers_round_trip, "synic.siefp.round-trip", "synic.simp.round-trip")
{
    NEEDS(AccessSynicRegs);
    static const struct {
        const char *clause;
        uint32_t msr;
    } registers[] = {{"synic.siefp.round-trip", HV_X64_MSR_SIEFP}, {"synic.simp.round-trip", HV_X64_MSR_SIMP}};
    for (unsigned i = 0; i < ARRAY_COUNT(registers); i++) {
        uint64_t base = gpa_of(page_alloc());
        for (unsigned enable = 0; enable < 2; enable++) {
            wrmsr(registers[i].msr, base | enable);
            EXPECT_EQ_FOR(registers[i].clause, rdmsr(registers[i].msr) & ~0xffeULL, base | enable);
        }
        wrmsr(registers[i].msr, 0);
        EXPECT_EQ_FOR(registers[i].clause, rdmsr(registers[i].msr) & ~0xffeULL, 0);
    }
}

static bool page_is(const volatile uint64_t *page, uint64_t word)
{
    for (unsigned i = 0; i < PAGE_BYTES / 8; i++) {
        if (page[i] != word) {
            return false;
        }
    }
    return true;
}

enum { RAM_A = 0xa1, RAM_B = 0xb2 };
#define WORD_OF(byte) ((byte)*0x0101010101010101ULL)

static void expect_covers(uint32_t msr)
{
    uint64_t *ram = page_alloc();
    memset(ram, RAM_A, PAGE_BYTES);
    wrmsr(msr, gpa_of(ram) | 1);
    EXPECT(!page_is(ram, WORD_OF(RAM_A)), "RAM shows through");
    volatile uint64_t *page = ram;
    page[0] = 1;
    page[511] = 2;
    EXPECT(page[0] == 1 && page[511] == 2, "the page does not keep a store");
}

static void expect_uncovers(uint32_t msr)
{
    uint64_t *ram = page_alloc();
    memset(ram, RAM_A, PAGE_BYTES);
    wrmsr(msr, gpa_of(ram) | 1);
    memset(ram, RAM_B, PAGE_BYTES);
    wrmsr(msr, gpa_of(ram));
    EXPECT(page_is(ram, WORD_OF(RAM_A)), "RAM below has changed: 0x%lx", *ram);
}

static void expect_moves(uint32_t msr)
{
    uint64_t *one = page_alloc(), *two = page_alloc();
    memset(one, RAM_A, PAGE_BYTES);
    memset(two, RAM_A, PAGE_BYTES);
    wrmsr(msr, gpa_of(one) | 1);
    wrmsr(msr, gpa_of(two) | 1);
    EXPECT(page_is(one, WORD_OF(RAM_A)), "the old place shows no RAM");
    EXPECT(!page_is(two, WORD_OF(RAM_A)), "the new place shows RAM");
}

TEST(flags_page_covers_ram, "synic.siefp.covers")
{
    NEEDS(AccessSynicRegs);
    expect_covers(HV_X64_MSR_SIEFP);
}

TEST(flags_page_uncovers_ram, "synic.siefp.uncovers")
{
    NEEDS(AccessSynicRegs);
    expect_uncovers(HV_X64_MSR_SIEFP);
}

TEST(flags_page_moves, "synic.siefp.moves")
{
    NEEDS(AccessSynicRegs);
    expect_moves(HV_X64_MSR_SIEFP);
}

TEST(message_page_covers_ram, "synic.simp.covers")
{
    NEEDS(AccessSynicRegs);
    expect_covers(HV_X64_MSR_SIMP);
}

TEST(message_page_uncovers_ram, "synic.simp.uncovers")
{
    NEEDS(AccessSynicRegs);
    expect_uncovers(HV_X64_MSR_SIMP);
}

TEST(message_page_moves, "synic.simp.moves")
{
    NEEDS(AccessSynicRegs);
    expect_moves(HV_X64_MSR_SIMP);
}

/* Past RAM but within what a physical address can be, and at the very end of that. */
TEST(pages_beyond_ram, "synic.siefp.beyond", "synic.simp.beyond")
{
    NEEDS(AccessSynicRegs);
    const uint64_t bases[] = {1ULL << 40, 0xfffffffff000ULL, ~0xfffULL};
    for (unsigned i = 0; i < ARRAY_COUNT(bases); i++) {
        EXPECT_FOR("synic.siefp.beyond", wrmsr_try(HV_X64_MSR_SIEFP, bases[i] | 1) == NO_FAULT);
        EXPECT_EQ_FOR("synic.siefp.beyond", rdmsr(HV_X64_MSR_SIEFP) & ~0xffeULL, bases[i] | 1);
        EXPECT_FOR("synic.simp.beyond", wrmsr_try(HV_X64_MSR_SIMP, bases[i] | 1) == NO_FAULT);
        EXPECT_EQ_FOR("synic.simp.beyond", rdmsr(HV_X64_MSR_SIMP) & ~0xffeULL, bases[i] | 1);
    }
}

static void expect_ram_like(uint64_t base)
{
    for (unsigned at = 0; at < PAGE_BYTES; at += 8) {
        *(volatile uint64_t *)(base + at) = WORD_OF(0x10) + at;
    }
    for (unsigned at = 0; at < PAGE_BYTES; at += 8) {
        if (!EXPECT(*(volatile uint64_t *)(base + at) == WORD_OF(0x10) + at, "at 0x%x", at)) {
            return;
        }
    }
    volatile uint8_t *bytes = (volatile uint8_t *)(base + PAGE_BYTES - 8);
    bytes[1] = 0xee;
    *(volatile uint16_t *)(bytes + 2) = 0xdddd;
    *(volatile uint32_t *)(bytes + 4) = 0xcccccccc;
    EXPECT_EQ(*(volatile uint64_t *)bytes, 0xccccccccdddd0000 | 0xee00 | *bytes);
    EXPECT_EQ(__atomic_exchange_n((uint64_t *)bytes, 0, __ATOMIC_SEQ_CST) >> 32, 0xcccccccc);
    memset((void *)base, 0, PAGE_BYTES);
}

TEST(pages_behave_like_ram, "synic.pages.ram-like")
{
    NEEDS(AccessSynicRegs);
    REQUIRE(synic_open());
    expect_ram_like(simp());
    expect_ram_like(siefp());
}

struct own_page {
    uint64_t seen_message, seen_flags;
};

static void mark_pages(void *arg)
{
    struct own_page *o = arg;
    if (!EXPECT(synic_open())) {
        return;
    }
    volatile uint64_t *m = (void *)simp(), *f = (void *)siefp();
    m[100] = f[100] = 0x1000 + this_vp();
    o->seen_message = m[100];
    o->seen_flags = f[100];
}

static void read_pages(void *arg)
{
    struct own_page *o = arg;
    o->seen_message = ((volatile uint64_t *)simp())[100];
    o->seen_flags = ((volatile uint64_t *)siefp())[100];
}

TEST(pages_are_per_vp, "synic.pages.distinct")
{
    NEEDS(AccessSynicRegs);
    NEEDS_THAT(vp_count() > 1, "one VP");
    smp_start();
    struct own_page zero, one, again;
    on_vp(0, mark_pages, &zero);
    on_vp(1, mark_pages, &one);
    on_vp(0, read_pages, &again);
    EXPECT_EQ(again.seen_message, 0x1000);
    EXPECT_EQ(again.seen_flags, 0x1000);
    EXPECT_EQ(one.seen_message, 0x1001);
    EXPECT_EQ(one.seen_flags, 0x1001);
}

static void read_foreign(void *arg)
{
    uint64_t *at = arg;
    at[1] = *(volatile uint64_t *)at[0];
}

TEST(foreign_page_access, "synic.pages.foreign-access")
{
    enum { VEC_MC = 18 };
    NEEDS(AccessSynicRegs);
    NEEDS_THAT(vp_count() > 1, "one VP");
    smp_start();
    REQUIRE(synic_open());
    *(volatile uint64_t *)(simp() + 64) = 0x1234;
    uint64_t at[2] = {simp() + 64, 0};
    struct fault f = on_vp_try(1, read_foreign, at);
    EXPECT(f.vector == NO_FAULT || f.vector == VEC_MC, "vector %u", f.vector);
    EXPECT(f.vector != NO_FAULT || at[1] == 0x1234, "VP 1 reads 0x%lx", at[1]);
    EXPECT_EQ(*(volatile uint64_t *)(simp() + 64), 0x1234);
}

/* ---- SINTs ---- */

TEST(sint_fields, "synic.sint.fields")
{
    NEEDS(AccessSynicRegs);
    const uint64_t fields = 0xff | HV_SYNIC_SINT_MASKED | HV_SYNIC_SINT_AUTO_EOI;
    for (unsigned i = 0; i < SINTS; i++) {
        const uint64_t values[] = {0x50, 0xff | HV_SYNIC_SINT_MASKED, 0x10 | HV_SYNIC_SINT_AUTO_EOI, fields};
        for (unsigned k = 0; k < ARRAY_COUNT(values); k++) {
            wrmsr(sint_msr(i), values[k]);
            EXPECT_EQ(rdmsr(sint_msr(i)) & fields, values[k]);
        }
    }
}

TEST(sint_polling_field, "synic.sint.polling-field")
{
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    NEEDS(AccessSynicRegs);
    NEEDS(SintPollingModeAvailable);
    for (unsigned i = 0; i < SINTS; i++) {
        wrmsr(sint_msr(i), 0x50 | HV_SYNIC_SINT_POLLING);
        EXPECT_EQ(rdmsr(sint_msr(i)) & HV_SYNIC_SINT_POLLING, HV_SYNIC_SINT_POLLING);
        wrmsr(sint_msr(i), 0x50);
        EXPECT_EQ(rdmsr(sint_msr(i)) & HV_SYNIC_SINT_POLLING, 0);
    }
}

TEST(sint_vector_below_16, "synic.sint.vector-min")
{
    NEEDS(AccessSynicRegs);
    for (unsigned i = 0; i < SINTS; i++) {
        wrmsr(sint_msr(i), 0x77);
        for (unsigned vector = 0; vector < 16; vector++) {
            EXPECT(wrmsr_try(sint_msr(i), vector) == VEC_GP, "SINT%u takes vector %u", i, vector);
            EXPECT(rdmsr(sint_msr(i)) == 0x77, "SINT%u has lost its value to vector %u", i, vector);
        }
    }
}

TEST(sint_vectors_16_to_255, "synic.sint.vector-valid")
{
    NEEDS(AccessSynicRegs);
    for (unsigned vector = 16; vector <= 255; vector++) {
        unsigned sint = vector % SINTS;
        EXPECT(wrmsr_try(sint_msr(sint), vector) == NO_FAULT, "SINT%u refuses vector %u", sint, vector);
        EXPECT((rdmsr(sint_msr(sint)) & 0xff) == vector, "SINT%u, vector %u", sint, vector);
    }
}

TEST(sint_reset_value_writable, "synic.sint.masked-reset-value")
{
    NEEDS(AccessSynicRegs);
    for (unsigned i = 0; i < SINTS; i++) {
        wrmsr(sint_msr(i), 0x60);
        EXPECT(wrmsr_try(sint_msr(i), 0x10000) == NO_FAULT, "SINT%u", i);
        EXPECT_EQ(rdmsr(sint_msr(i)), 0x10000);
    }
}
