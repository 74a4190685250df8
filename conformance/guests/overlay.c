/* Judges overlay.yaml: pages that the hypervisor lays over the guest's memory, and the GPA space below them. */
#include "kit.h"

#define APIC_GPA 0xfee00000ULL

static uint64_t *patterned_page(void)
{
    uint64_t *page = page_alloc();
    for (unsigned i = 0; i < PAGE_BYTES / 8; i++) {
        page[i] = 0x5a5a000000000000ULL + i;
    }
    return page;
}

static bool pattern_whole(const void *page)
{
    for (unsigned i = 0; i < PAGE_BYTES / 8; i++) {
        if (((const volatile uint64_t *)page)[i] != 0x5a5a000000000000ULL + i) {
            return false;
        }
    }
    return true;
}

static void cover(const void *page)
{
    wrmsr(HV_X64_MSR_GUEST_OS_ID, HV_KIT_GUEST_OS_ID);
    wrmsr(HV_X64_MSR_HYPERCALL, gpa_of(page) | 1);
}

static void uncover(void)
{
    wrmsr(HV_X64_MSR_HYPERCALL, 0);
}

static bool calls(uint64_t address)
{
    uint64_t result = 0xdead, control = HvCallNotifyLongSpinWait | HV_FAST, input = 1;
    __asm__ volatile("call *%[at]"
                     : "+a"(result), "+c"(control), "+d"(input)
                     : [at] "r"(address)
                     : "r8", "r9", "r10", "r11", "memory", "cc");
    return HV_STATUS_OF(result) == HV_STATUS_SUCCESS;
}

static uint64_t hole(void)
{
    return (memory_bytes() + 0x1fffff) & ~0x1fffffULL;
}

/* ---- what an overlay hides and shows ---- */

TEST(obscures_memory, "ovl.obscures")
{
    NEEDS(AccessHypercallMsrs);
    uint64_t *page = patterned_page();
    cover(page);
    EXPECT(!pattern_whole(page));
}

struct remote {
    void *page;
    bool whole;
};

static void remote_look(void *p)
{
    struct remote *r = p;
    r->whole = pattern_whole(r->page);
}

TEST(obscures_for_every_vp, "ovl.obscures.every-vp")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_THAT(vp_count() > 1, "one processor");
    smp_start();
    struct remote r = {.page = patterned_page()};
    on_vp(1, remote_look, &r);
    EXPECT(r.whole);
    cover(r.page);
    on_vp(1, remote_look, &r);
    EXPECT(!r.whole, "the other processor reads the memory");
    uncover();
    on_vp(1, remote_look, &r);
    EXPECT(r.whole, "the other processor does not read the memory again");
}

TEST(memory_below_kept, "ovl.memory-kept")
{
    NEEDS(AccessHypercallMsrs);
    uint64_t *page = patterned_page();
    cover(page);
    calls(gpa_of(page));
    uncover();
    EXPECT(pattern_whole(page));
}

TEST(disable_uncovers, "ovl.uncovered.disable")
{
    NEEDS(AccessHypercallMsrs);
    uint64_t *page = patterned_page();
    cover(page);
    REQUIRE(!pattern_whole(page));
    uncover();
    EXPECT(pattern_whole(page));
    page[0] = 1;
    EXPECT_EQ(((volatile uint64_t *)page)[0], 1);
}

TEST(move_uncovers, "ovl.uncovered.move")
{
    NEEDS(AccessHypercallMsrs);
    uint64_t *a = patterned_page(), *b = patterned_page();
    cover(a);
    cover(b);
    EXPECT(pattern_whole(a));
    EXPECT(!pattern_whole(b));
}

TEST(uncovered_at_once, "ovl.uncovered.at-once")
{
    NEEDS(AccessHypercallMsrs);
    uint64_t *a = patterned_page(), *b = patterned_page();
    volatile uint64_t *at_a = a, *at_b = b;
    for (unsigned i = 0; i < 8; i++) {
        cover(i % 2 == 0 ? a : b);
        uint64_t first = *at_a, second = *at_b;
        EXPECT((first == a[0]) && ((first == 0x5a5a000000000000) == (i % 2 != 0)), "round %u", i);
        EXPECT((second == 0x5a5a000000000000) == (i % 2 == 0), "round %u", i);
    }
}

/* MOV EAX,n; RET at the page's start, executed before the overlay comes and after it has gone. */
static uint32_t run_code(uint64_t at)
{
    uint32_t value = HvCallNotifyLongSpinWait | HV_FAST;
    uint64_t control = value, input = 1;
    __asm__ volatile("call *%[at]"
                     : "+a"(value), "+c"(control), "+d"(input)
                     : [at] "r"(at)
                     : "r8", "r9", "r10", "r11", "memory", "cc");
    return value;
}

TEST(uncovered_code_runs, "ovl.uncovered.decoded")
{
    NEEDS(AccessHypercallMsrs);
    static const uint8_t code[] = {0xb8, 0x78, 0x56, 0x34, 0x12, 0xc3};
    void *page = page_alloc();
    memcpy(page, code, sizeof code);
    EXPECT_EQ(run_code(gpa_of(page)), 0x12345678);
    cover(page);
    EXPECT_EQ(run_code(gpa_of(page)), HV_STATUS_SUCCESS);
    uncover();
    EXPECT_EQ(run_code(gpa_of(page)), 0x12345678);
}

/* ROM at the end of the first megabyte cannot be written, an overlay over it can be executed as elsewhere. */
TEST(rights_below_ignored, "ovl.access-rights")
{
    enum { ROM = 0xff000 };
    NEEDS(AccessHypercallMsrs);
    const volatile uint64_t *at = (const volatile uint64_t *)ROM;
    uint64_t before = *at;
    cover((void *)ROM);
    REQUIRE(rdmsr(HV_X64_MSR_HYPERCALL) & 1);
    EXPECT(calls(ROM));
    uncover();
    EXPECT_EQ(*at, before);
}

TEST(over_a_hole, "ovl.hole")
{
    NEEDS(AccessHypercallMsrs);
    cover((void *)hole());
    EXPECT(calls(hole()));
}

static void read_byte(void *at)
{
    (void)*(volatile uint8_t *)at;
}

TEST(guest_paging_counts, "ovl.paging")
{
    NEEDS(AccessHypercallMsrs);
    void *page = page_alloc();
    cover(page);
    map(KIT_GVA, gpa_of(page), MAP_READ);
    EXPECT_EQ(try_run(read_byte, (void *)KIT_GVA).vector, NO_FAULT);
    unmap(KIT_GVA);
    struct fault f = try_run(read_byte, (void *)KIT_GVA);
    EXPECT_EQ(f.vector, VEC_PF);
    EXPECT_EQ(f.cr2, KIT_GVA);
}

/* ---- two on one page ---- */

/* The hypercall page and the reference TSC page on one page: what stands there is either's or the memory's. */
struct stack {
    uint8_t memory[PAGE_BYTES], hypercall[PAGE_BYTES];
};
static struct stack seen;

static uint64_t *stack_up(void)
{
    uint64_t *page = patterned_page();
    memcpy(seen.memory, page, PAGE_BYTES);
    cover(page);
    memcpy(seen.hypercall, page, PAGE_BYTES);
    wrmsr(HV_X64_MSR_REFERENCE_TSC, gpa_of(page) | 1);
    return page;
}

/* The TSC page's numbers move, but its rest is zero; it is neither the hypercall page nor the pattern. */
enum shown { SHOWN_MEMORY, SHOWN_HYPERCALL, SHOWN_TSC };

static enum shown shown_at(const void *page)
{
    return memcmp(page, seen.memory, PAGE_BYTES) == 0      ? SHOWN_MEMORY
           : memcmp(page, seen.hypercall, PAGE_BYTES) == 0 ? SHOWN_HYPERCALL
                                                           : SHOWN_TSC;
}

TEST(one_of_two_visible, "ovl.stack.one-visible")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(AccessPartitionReferenceTsc);
    const void *page = stack_up();
    enum shown s = shown_at(page);
    EXPECT(s != SHOWN_MEMORY, "the memory shows");
    if (s == SHOWN_HYPERCALL) {
        EXPECT(calls(gpa_of(page)));
    } else {
        EXPECT(((const volatile struct hv_reference_tsc_page *)page)->scale != 0, "neither of the two shows");
    }
}

TEST(other_appears, "ovl.stack.other-appears")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(AccessPartitionReferenceTsc);
    const void *page = stack_up();
    if (shown_at(page) == SHOWN_HYPERCALL) {
        uncover();
        EXPECT_EQ(shown_at(page), SHOWN_TSC);
    } else {
        wrmsr(HV_X64_MSR_REFERENCE_TSC, 0);
        EXPECT_EQ(shown_at(page), SHOWN_HYPERCALL);
    }
}

TEST(memory_appears_last, "ovl.stack.memory-last")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS(AccessPartitionReferenceTsc);
    const void *page = stack_up();
    uncover();
    wrmsr(HV_X64_MSR_REFERENCE_TSC, 0);
    EXPECT(pattern_whole(page));
    page = stack_up();
    wrmsr(HV_X64_MSR_REFERENCE_TSC, 0);
    uncover();
    EXPECT(pattern_whole(page));
}

TEST(over_the_apic, "ovl.stack.apic")
{
    NEEDS(AccessHypercallMsrs);
    uint32_t version = lapic_read(0x30);
    cover((void *)APIC_GPA);
    EXPECT(rdmsr(HV_X64_MSR_HYPERCALL) & 1);
    uint8_t first = *(volatile uint8_t *)APIC_GPA;
    EXPECT(first == 0x0f || lapic_read(0x30) == version, "neither the page nor the APIC");
    uncover();
    EXPECT_EQ(lapic_read(0x30), version);
}

/* A page table with its entry for KIT_GVA, and the hypercall page over it. */
TEST(page_table_on_overlay, "ovl.page-table")
{
    NEEDS(AccessHypercallMsrs);
    volatile uint64_t *data = page_alloc();
    data[0] = 0x1234;
    map(KIT_GVA, gpa_of(data), MAP_WRITE);
    volatile uint64_t *table = (volatile uint64_t *)((uint64_t)pte_of(KIT_GVA) & ~0xfffULL);
    cover((void *)table);
    uint64_t cr3;
    __asm__ volatile("mov %%cr3, %0\n mov %0, %%cr3" : "=r"(cr3)::"memory");
    struct fault f = try_run(read_byte, (void *)KIT_GVA);
    EXPECT(f.vector == NO_FAULT || f.vector == VEC_PF, "vector %u", f.vector);
    uncover();
    __asm__ volatile("mov %%cr3, %0\n mov %0, %%cr3" : "=r"(cr3)::"memory");
    EXPECT_EQ(*(volatile uint64_t *)KIT_GVA, 0x1234);
}

TEST(low_bits_do_not_shift, "ovl.low-bits")
{
    NEEDS(AccessHypercallMsrs);
    uint64_t *pages = pages_alloc(2);
    for (unsigned i = 0; i < PAGE_BYTES / 8; i++) {
        pages[512 + i] = 0x5a5a000000000000ULL + i;
    }
    wrmsr(HV_X64_MSR_GUEST_OS_ID, HV_KIT_GUEST_OS_ID);
    wrmsr(HV_X64_MSR_HYPERCALL, gpa_of(pages) | 0xffc | 1);
    EXPECT(calls(gpa_of(pages)));
    EXPECT(pattern_whole(pages + 512));
}

TEST(tsc_page_beyond, "ovl.beyond.tsc")
{
    NEEDS(AccessPartitionReferenceTsc);
    uint64_t value = 1ULL << (cpuid(0x80000008, 0).eax & 0xff) | 1;
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_REFERENCE_TSC, value), NO_FAULT);
}

/* ---- the kinds of overlay ---- */

static void expect_overlay(uint32_t msr)
{
    uint64_t *a = patterned_page(), *b = patterned_page();
    wrmsr(msr, gpa_of(a) | 1);
    EXPECT(!pattern_whole(a), "nothing appeared");
    wrmsr(msr, gpa_of(b) | 1);
    EXPECT(pattern_whole(a), "the old place does not show its memory");
    EXPECT(!pattern_whole(b), "nothing at the new place");
    wrmsr(msr, gpa_of(b));
    EXPECT(pattern_whole(b), "the memory is not back");
}

TEST(hypercall_page_is_overlay, "ovl.kind.hypercall")
{
    NEEDS(AccessHypercallMsrs);
    wrmsr(HV_X64_MSR_GUEST_OS_ID, HV_KIT_GUEST_OS_ID);
    expect_overlay(HV_X64_MSR_HYPERCALL);
}

TEST(tsc_page_is_overlay, "ovl.kind.reference-tsc")
{
    NEEDS(AccessPartitionReferenceTsc);
    expect_overlay(HV_X64_MSR_REFERENCE_TSC);
}

TEST(assist_page_is_overlay, "ovl.kind.assist")
{
    NEEDS(AccessIntrCtrlRegs);
    expect_overlay(HV_X64_MSR_VP_ASSIST_PAGE);
}

TEST(message_page_is_overlay, "ovl.kind.simp")
{
    NEEDS(AccessSynicRegs);
    expect_overlay(HV_X64_MSR_SIMP);
}

TEST(event_page_is_overlay, "ovl.kind.siefp")
{
    NEEDS(AccessSynicRegs);
    expect_overlay(HV_X64_MSR_SIEFP);
}

struct remote_page {
    uint32_t msr;
    uint64_t value, word;
    volatile uint64_t *at;
};

static void remote_enable(void *p)
{
    struct remote_page *r = p;
    wrmsr(r->msr, r->value);
    if (r->value & 1) {
        r->at[100] = r->word;
    }
}

static void remote_word(void *p)
{
    struct remote_page *r = p;
    r->word = r->at[100];
}

/* Two processors, two pages: each has what its own processor wrote. */
static void expect_per_vp(uint32_t msr)
{
    smp_start();
    struct remote_page mine = {msr, 0, 0x1111, page_alloc()}, theirs = {msr, 0, 0x2222, page_alloc()};
    mine.value = gpa_of(mine.at) | 1;
    theirs.value = gpa_of(theirs.at) | 1;
    remote_enable(&mine);
    on_vp(1, remote_enable, &theirs);
    remote_word(&mine);
    on_vp(1, remote_word, &theirs);
    EXPECT_EQ(mine.word, 0x1111);
    EXPECT_EQ(theirs.word, 0x2222);
    EXPECT_EQ(rdmsr(msr), mine.value);
    theirs.value = 0;
    on_vp(1, remote_enable, &theirs);
    EXPECT_EQ(rdmsr(msr), mine.value);
    remote_word(&mine);
    EXPECT_EQ(mine.word, 0x1111);
}

TEST(assist_page_per_vp, "ovl.per-vp.assist")
{
    NEEDS(AccessIntrCtrlRegs);
    NEEDS_THAT(vp_count() > 1, "one processor");
    expect_per_vp(HV_X64_MSR_VP_ASSIST_PAGE);
}

TEST(message_page_per_vp, "ovl.per-vp.simp")
{
    NEEDS(AccessSynicRegs);
    NEEDS_THAT(vp_count() > 1, "one processor");
    expect_per_vp(HV_X64_MSR_SIMP);
}

TEST(contents_move_along, "ovl.contents-move")
{
    NEEDS(AccessSynicRegs);
    for (uint32_t msr = HV_X64_MSR_SIEFP; msr <= HV_X64_MSR_SIMP; msr++) {
        volatile uint64_t *a = page_alloc(), *b = page_alloc();
        wrmsr(msr, gpa_of(a) | 1);
        a[3] = 0x8000000000000001;
        wrmsr(msr, gpa_of(b) | 1);
        EXPECT_EQ(b[3], 0x8000000000000001);
        EXPECT_EQ(a[3], 0);
        b[3] = 0;
        wrmsr(msr, 0);
    }
}

/* ---- the GPA space below ---- */

TEST(gpa_space_size, "ovl.space.size")
{
    NEEDS(AccessHypercallMsrs);
    uint64_t end = 1ULL << (cpuid(0x80000008, 0).eax & 0xff);
    EXPECT(memory_bytes() <= end);
    wrmsr(HV_X64_MSR_GUEST_OS_ID, HV_KIT_GUEST_OS_ID);
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_HYPERCALL, (end - PAGE_BYTES) | 1), NO_FAULT);
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_HYPERCALL, end | 1), VEC_GP);
}

TEST(mapped_pages, "ovl.space.mapped")
{
    NEEDS_THAT(hv_present(), "no hypervisor");
    volatile uint64_t *first = page_alloc(), *last = (volatile uint64_t *)(memory_bytes() - 8);
    first[0] = 0x123456789abcdef0;
    *last = 0xfedcba9876543210;
    EXPECT_EQ(first[0], 0x123456789abcdef0);
    EXPECT_EQ(*last, 0xfedcba9876543210);
}

TEST(unmapped_page, "ovl.space.unmapped")
{
    NEEDS_THAT(hv_present(), "no hypervisor");
    volatile uint64_t *at = (volatile uint64_t *)hole();
    uint64_t before = at[0];
    at[0] = ~before;
    at[1] = 0x123456789abcdef0;
    EXPECT_EQ(at[0], before);
    EXPECT(at[1] != 0x123456789abcdef0, "a write was kept where no memory is");
}

static void crossing_store(void *p)
{
    __asm__ volatile("movl $0x11223344, (%0)" ::"r"(p) : "memory");
}

TEST(crossing_write, "ovl.rights.crossing")
{
    NEEDS(AccessHypercallMsrs);
    uint8_t *pages = pages_alloc(2);
    memset(pages, 0x5a, 2 * PAGE_BYTES);
    cover(pages + PAGE_BYTES);
    uint8_t first = pages[PAGE_BYTES];
    for (unsigned before = 1; before < 4; before++) {
        struct fault f = try_run(crossing_store, pages + PAGE_BYTES - before);
        EXPECT(f.vector != NO_FAULT, "%u bytes before the page", before);
        for (unsigned i = 1; i <= before; i++) {
            EXPECT(((volatile uint8_t *)pages)[PAGE_BYTES - i] == 0x5a, "byte %u before the page was written", i);
        }
    }
    EXPECT_EQ(((volatile uint8_t *)pages)[PAGE_BYTES], first);
}

static void crossing_load(void *p)
{
    (void)*(volatile uint32_t *)p;
}

TEST(crossing_read, "ovl.rights.crossing-read")
{
    NEEDS_THAT(hv_present(), "no hypervisor");
    uint8_t *page = page_alloc();
    map(KIT_GVA, gpa_of(page), MAP_READ);
    unmap(KIT_GVA + PAGE_BYTES);
    struct fault f = try_run(crossing_load, (void *)(KIT_GVA + PAGE_BYTES - 2));
    EXPECT_EQ(f.vector, VEC_PF);
    EXPECT_EQ(f.cr2, KIT_GVA + PAGE_BYTES);
}
