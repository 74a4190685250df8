/* Judges hypercall-page.yaml: HV_X64_MSR_HYPERCALL and the page it puts into the guest's memory. The lock bit is judged by
 * hypercall_lock.c, for nothing but a reset undoes it. */
#include "kit.h"

enum { CODE_UNKNOWN = 0x0fff };

static uint64_t *patterned_page(void)
{
    uint64_t *page = page_alloc();
    for (unsigned i = 0; i < PAGE_BYTES / 8; i++) {
        page[i] = 0x5a5a000000000000ULL + i;
    }
    return page;
}

static bool pattern_whole(const uint64_t *page)
{
    for (unsigned i = 0; i < PAGE_BYTES / 8; i++) {
        if (((const volatile uint64_t *)page)[i] != 0x5a5a000000000000ULL + i) {
            return false;
        }
    }
    return true;
}

static void identify(void)
{
    wrmsr(HV_X64_MSR_GUEST_OS_ID, HV_KIT_GUEST_OS_ID);
}

static void enable_at(const void *page)
{
    identify();
    wrmsr(HV_X64_MSR_HYPERCALL, gpa_of(page) | 1);
}

static bool enabled(void)
{
    return rdmsr(HV_X64_MSR_HYPERCALL) & 1;
}

/* Calls a page at any address: HvNotifyLongSpinWait in registers, which anyone may call. */
static uint64_t call_at(uint64_t address)
{
    uint64_t result = 0xdead, control = HvCallNotifyLongSpinWait | HV_FAST, input = 1;
    register uint64_t r8 __asm__("r8") = 0;
    __asm__ volatile("call *%[at]"
                     : "+a"(result), "+c"(control), "+d"(input), "+r"(r8)
                     : [at] "r"(address)
                     : "r9", "r10", "r11", "memory", "cc");
    return result;
}

static bool calls(uint64_t address)
{
    return HV_STATUS_OF(call_at(address)) == HV_STATUS_SUCCESS;
}

static uint64_t beyond_gpa_space(void)
{
    return 1ULL << (cpuid(0x80000008, 0).eax & 0xff);
}

/* ---- the register ---- */

TEST(initial_disabled, "hcpg.reset")
{
    NEEDS(AccessHypercallMsrs);
    EXPECT(!enabled());
}

TEST(recipe, "hcpg.steps")
{
    NEEDS_THAT(cpuid(1, 0).ecx >> 31, "no hypervisor");
    NEEDS(AccessHypercallMsrs);
    EXPECT(cpuid(HV_CPUID_VENDOR, 0).eax >= HV_CPUID_LIMITS);
    EXPECT_EQ(cpuid(HV_CPUID_INTERFACE, 0).eax, HV_INTERFACE_SIGNATURE);
    if (rdmsr(HV_X64_MSR_GUEST_OS_ID) == 0) {
        identify();
    }
    uint64_t value = rdmsr(HV_X64_MSR_HYPERCALL);
    REQUIRE(!(value & 1));
    uint64_t page = gpa_of(page_alloc());
    wrmsr(HV_X64_MSR_HYPERCALL, (value & 0xffe) | page | 1);
    EXPECT(enabled());
    EXPECT(calls(page));
    EXPECT(cpuid(HV_CPUID_FEATURES, 0).eax != 0);
}

TEST(signature_implies_msrs, "hcpg.signature-implies")
{
    NEEDS_THAT(hv_present(), "no hypervisor");
    NEEDS_THAT(!arg_present("withheld"), "the scenario withholds what the signature implies");
    static const uint32_t msrs[] = {HV_X64_MSR_GUEST_OS_ID, HV_X64_MSR_HYPERCALL, HV_X64_MSR_VP_INDEX};
    for (unsigned i = 0; i < ARRAY_COUNT(msrs); i++) {
        uint64_t value;
        EXPECT(rdmsr_try(msrs[i], &value) == NO_FAULT, "MSR 0x%x raised an exception", msrs[i]);
    }
}

TEST(layout, "hcpg.layout")
{
    NEEDS(AccessHypercallMsrs);
    uint64_t page = gpa_of(page_alloc());
    enable_at((void *)page);
    EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL) & ~0xffeULL, page | 1);
    wrmsr(HV_X64_MSR_HYPERCALL, page);
    EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL) & ~0xffeULL, page);
}

static void expect_reserved_harmless(uint64_t bits)
{
    uint64_t *page = patterned_page();
    identify();
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_HYPERCALL, gpa_of(page) | bits | 1), NO_FAULT);
    EXPECT(enabled());
    EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL) >> 12, gpa_of(page) >> 12);
    EXPECT(calls(gpa_of(page)));
}

TEST(reserved_kept_11_1, "hcpg.reserved.kept")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_2_0, EDITION_4_0);
    expect_reserved_harmless(0xffe);
}

TEST(reserved_kept_11_2, "hcpg.reserved.kept-5")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    expect_reserved_harmless(0xffc);
}

TEST(enable_without_identity, "hcpg.enable.refused")
{
    NEEDS(AccessHypercallMsrs);
    wrmsr(HV_X64_MSR_GUEST_OS_ID, 0);
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_HYPERCALL, gpa_of(page_alloc()) | 1), NO_FAULT);
    EXPECT(!enabled());
}

TEST(enable_without_identity_no_page, "hcpg.enable.refused-no-page")
{
    NEEDS(AccessHypercallMsrs);
    uint64_t *page = patterned_page();
    wrmsr(HV_X64_MSR_GUEST_OS_ID, 0);
    wrmsr_try(HV_X64_MSR_HYPERCALL, gpa_of(page) | 1);
    EXPECT(pattern_whole(page));
}

TEST(enable_with_identity, "hcpg.enable.takes")
{
    NEEDS(AccessHypercallMsrs);
    enable_at(page_alloc());
    EXPECT(enabled());
}

/* ---- where it stands ---- */

TEST(covers_memory, "hcpg.covers")
{
    NEEDS(AccessHypercallMsrs);
    uint64_t *page = patterned_page();
    enable_at(page);
    EXPECT(!pattern_whole(page));
}

TEST(keeps_memory_below, "hcpg.covers.keeps-memory")
{
    NEEDS(AccessHypercallMsrs);
    uint64_t *page = patterned_page();
    enable_at(page);
    REQUIRE(!pattern_whole(page));
    wrmsr(HV_X64_MSR_HYPERCALL, gpa_of(page));
    EXPECT(pattern_whole(page));
}

TEST(page_over_hole, "hcpg.covers.hole")
{
    NEEDS(AccessHypercallMsrs);
    uint64_t hole = (memory_bytes() + 0x1fffff) & ~0x1fffffULL;
    enable_at((void *)hole);
    REQUIRE(enabled());
    EXPECT(calls(hole));
}

TEST(moves, "hcpg.moves")
{
    NEEDS(AccessHypercallMsrs);
    uint64_t *a = patterned_page(), *b = patterned_page();
    enable_at(a);
    EXPECT(calls(gpa_of(a)));
    wrmsr(HV_X64_MSR_HYPERCALL, gpa_of(b) | 1);
    EXPECT(pattern_whole(a), "the old place does not show its memory");
    EXPECT(!pattern_whole(b), "nothing at the new place");
    EXPECT(calls(gpa_of(b)));
}

TEST(beyond_gpa_space, "hcpg.moves.beyond")
{
    NEEDS(AccessHypercallMsrs);
    identify();
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_HYPERCALL, beyond_gpa_space() | 1), VEC_GP);
    uint64_t page = gpa_of(page_alloc());
    wrmsr(HV_X64_MSR_HYPERCALL, page | 1);
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_HYPERCALL, beyond_gpa_space() | 1), VEC_GP);
}

TEST(beyond_gpa_space_unchanged, "hcpg.moves.beyond-unchanged")
{
    NEEDS(AccessHypercallMsrs);
    uint64_t page = gpa_of(page_alloc());
    enable_at((void *)page);
    uint64_t before = rdmsr(HV_X64_MSR_HYPERCALL);
    wrmsr_try(HV_X64_MSR_HYPERCALL, beyond_gpa_space() | 1);
    EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL), before);
    EXPECT(calls(page));
}

TEST(last_memory_page, "hcpg.moves.last-page")
{
    NEEDS(AccessHypercallMsrs);
    uint64_t page = memory_bytes() - PAGE_BYTES;
    enable_at((void *)page);
    EXPECT(enabled());
    EXPECT(calls(page));
}

/* ---- one for all processors ---- */

struct remote {
    uint64_t value, address;
    bool ok;
};

static void remote_read(void *p)
{
    ((struct remote *)p)->value = rdmsr(HV_X64_MSR_HYPERCALL);
}

static void remote_write(void *p)
{
    wrmsr(HV_X64_MSR_HYPERCALL, ((struct remote *)p)->value);
}

static void remote_call(void *p)
{
    struct remote *r = p;
    r->ok = calls(r->address);
}

TEST(partition_wide, "hcpg.partition-wide")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_THAT(vp_count() > 1, "one processor");
    smp_start();
    enable_at(page_alloc());
    struct remote r = {0};
    on_vp(1, remote_read, &r);
    EXPECT_EQ(r.value, rdmsr(HV_X64_MSR_HYPERCALL));
    r.value = gpa_of(page_alloc()) | 1;
    on_vp(1, remote_write, &r);
    EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL), r.value);
}

TEST(every_vp_calls, "hcpg.partition-wide.calls")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_THAT(vp_count() > 1, "one processor");
    smp_start();
    uint64_t page = gpa_of(page_alloc());
    enable_at((void *)page);
    for (unsigned vp = 0; vp < vp_count(); vp++) {
        struct remote r = {.address = page};
        on_vp(vp, remote_call, &r);
        EXPECT(r.ok, "VP %u cannot call", vp);
    }
}

TEST(disable_by_another_vp, "hcpg.partition-wide.disable")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_THAT(vp_count() > 1, "one processor");
    smp_start();
    uint64_t *page = patterned_page();
    enable_at(page);
    struct remote r = {.value = gpa_of(page)};
    on_vp(1, remote_write, &r);
    EXPECT(!enabled());
    EXPECT(pattern_whole(page));
}

/* ---- reading, executing, writing ---- */

static void read_all(void *page)
{
    for (unsigned i = 0; i < PAGE_BYTES; i++) {
        (void)((volatile uint8_t *)page)[i];
    }
}

TEST(readable, "hcpg.readable")
{
    NEEDS(AccessHypercallMsrs);
    void *page = page_alloc();
    enable_at(page);
    EXPECT_EQ(try_run(read_all, page).vector, NO_FAULT);
}

static uint8_t copy[PAGE_BYTES], copy_there[PAGE_BYTES];

static void remote_copy(void *page)
{
    memcpy(copy_there, page, PAGE_BYTES);
}

TEST(readable_stable, "hcpg.readable.stable")
{
    NEEDS(AccessHypercallMsrs);
    void *page = page_alloc();
    enable_at(page);
    memcpy(copy, page, PAGE_BYTES);
    calls(gpa_of(page));
    EXPECT(memcmp(copy, page, PAGE_BYTES) == 0, "a call changed the page");
    smp_start();
    on_vp(vp_count() - 1, remote_copy, page);
    EXPECT(memcmp(copy, copy_there, PAGE_BYTES) == 0, "another processor reads another page");
}

TEST(executable, "hcpg.executable")
{
    NEEDS(AccessHypercallMsrs);
    void *page = page_alloc();
    enable_at(page);
    EXPECT(calls(gpa_of(page)));
}

static void store8(void *p)
{
    *(volatile uint8_t *)p = 0xcc;
}

static void store16(void *p)
{
    *(volatile uint16_t *)p = 0xcccc;
}

static void store32(void *p)
{
    *(volatile uint32_t *)p = 0xcccccccc;
}

static void store64(void *p)
{
    *(volatile uint64_t *)p = 0xcccccccccccccccc;
}

static void store_locked(void *p)
{
    __asm__ volatile("lock; xaddl %0, (%1)" ::"r"(1), "r"(p) : "memory");
}

static void store_string(void *p)
{
    uint64_t count = 16;
    __asm__ volatile("rep stosb" : "+D"(p), "+c"(count) : "a"(0xcc) : "memory");
}

static kit_fn *const stores[] = {store8, store16, store32, store64, store_locked, store_string};

TEST(write_raises_gp, "hcpg.write.gp")
{
    NEEDS(AccessHypercallMsrs);
    void *page = page_alloc();
    enable_at(page);
    EXPECT_EQ(try_run(store64, page).vector, VEC_GP);
}

TEST(write_sizes_raise_gp, "hcpg.write.sizes")
{
    NEEDS(AccessHypercallMsrs);
    uint8_t *page = page_alloc();
    enable_at(page);
    for (unsigned i = 0; i < ARRAY_COUNT(stores); i++) {
        EXPECT(try_run(stores[i], page).vector == VEC_GP, "store %u at the start", i);
        EXPECT(try_run(stores[i], page + 2048).vector == VEC_GP, "store %u in the middle", i);
    }
}

TEST(write_changes_nothing, "hcpg.write.unchanged")
{
    NEEDS(AccessHypercallMsrs);
    uint8_t *page = page_alloc();
    enable_at(page);
    memcpy(copy, page, PAGE_BYTES);
    for (unsigned i = 0; i < ARRAY_COUNT(stores); i++) {
        try_run(stores[i], page);
        try_run(stores[i], page + 4000);
    }
    EXPECT(memcmp(copy, page, PAGE_BYTES) == 0);
    EXPECT(calls(gpa_of(page)));
}

TEST(write_changes_nothing_below, "hcpg.write.below-unchanged")
{
    NEEDS(AccessHypercallMsrs);
    uint64_t *page = patterned_page();
    enable_at(page);
    for (unsigned i = 0; i < ARRAY_COUNT(stores); i++) {
        try_run(stores[i], page);
    }
    wrmsr(HV_X64_MSR_HYPERCALL, gpa_of(page));
    EXPECT(pattern_whole(page));
}

/* ---- calling ---- */

TEST(entry_at_start, "hcpg.entry")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    EXPECT_EQ(hv_call(CODE_UNKNOWN, 0, 0), HV_STATUS_INVALID_HYPERCALL_CODE);
    EXPECT(calls(hv_page()));
}

TEST(returns_near, "hcpg.return")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    uint64_t before, after, result = 0, control = HvCallNotifyLongSpinWait | HV_FAST, input = 1, marker = 0;
    __asm__ volatile("mov %%rsp, %[before]\n call *%[at]\n mov $1, %[marker]\n mov %%rsp, %[after]"
                     : "+a"(result), "+c"(control),
                       "+d"(input), [before] "=&b"(before), [after] "=&S"(after), [marker] "+&D"(marker)
                     : [at] "r"(hv_page())
                     : "r8", "r9", "r10", "r11", "memory", "cc");
    EXPECT_EQ(marker, 1);
    EXPECT_EQ(after, before);
}

TEST(uses_no_more_stack, "hcpg.return.stack")
{
    enum { SLOTS = 32 };
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    uint64_t *stack = page_alloc(), result = 0, control = HvCallNotifyLongSpinWait | HV_FAST, input = 1;
    for (unsigned i = 0; i <= SLOTS; i++) {
        stack[i] = 0x5a5a5a5a00000000ULL + i;
    }
    uint64_t *top = stack + SLOTS;
    __asm__ volatile("mov %%rsp, %%rbx\n mov %[top], %%rsp\n call *%[at]\n mov %%rbx, %%rsp"
                     : "+a"(result), "+c"(control), "+d"(input)
                     : [at] "r"(hv_page()), [top] "S"(top)
                     : "rbx", "r8", "r9", "r10", "r11", "memory", "cc");
    for (unsigned i = 0; i <= SLOTS; i++) {
        if (i != SLOTS - 1) { /* the return address */
            EXPECT(stack[i] == 0x5a5a5a5a00000000ULL + i, "slot %u from the top", SLOTS - i);
        }
    }
}

TEST(caller_may_jump, "hcpg.return.ret-only")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    uint64_t result = 0xdead, control = HvCallNotifyLongSpinWait | HV_FAST, input = 1, scratch;
    __asm__ volatile("lea 1f(%%rip), %[scratch]\n push %[scratch]\n jmp *%[at]\n 1:"
                     : "+a"(result), "+c"(control), "+d"(input), [scratch] "=&b"(scratch)
                     : [at] "S"(hv_page())
                     : "r8", "r9", "r10", "r11", "memory", "cc");
    EXPECT_EQ(HV_STATUS_OF(result), HV_STATUS_SUCCESS);
}

/* EDX:EAX control, EBX:ECX input; the page's address comes in EDI, which this call does not use. */
KIT_CODE(call_32, 32, "mov %edi, %ebp\n xor %edi, %edi\n xor %esi, %esi\n call *%ebp");

TEST(serves_32_and_64_bit, "hcpg.callers")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    EXPECT(calls(hv_page()));
    struct regs32 r = {.eax = HvCallNotifyLongSpinWait | HV_FAST, .ecx = 1, .edi = (uint32_t)hv_page()};
    EXPECT_EQ(run_in_32bit(call_32, call_32_end - call_32, &r).vector, NO_FAULT);
    EXPECT_EQ(r.eax & 0xffff, HV_STATUS_SUCCESS);
    r = (struct regs32){.eax = HvCallNotifyLongSpinWait | HV_FAST, .ecx = 1, .edi = (uint32_t)hv_page()};
    EXPECT_EQ(run_in_32bit_compat(call_32, call_32_end - call_32, &r).vector, NO_FAULT);
    EXPECT_EQ(r.eax & 0xffff, HV_STATUS_SUCCESS);
    EXPECT(calls(hv_page()));
}

TEST(any_mapping, "hcpg.alias")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    map(KIT_GVA, hv_page(), MAP_READ);
    EXPECT(calls(KIT_GVA));
    unmap(KIT_GVA);
}

static void call_job(void *address)
{
    call_at((uint64_t)address);
}

TEST(opcode_without_page, "hcpg.disabled-call")
{
    NEEDS(AccessHypercallMsrs);
    REQUIRE(hv_enable());
    uint8_t *code = page_alloc();
    memcpy(code, (void *)hv_page(), PAGE_BYTES);
    hv_disable();
    EXPECT_EQ(try_run(call_job, code).vector, VEC_UD);
}

TEST(already_enabled, "hcpg.already-enabled")
{
    NEEDS(AccessHypercallMsrs);
    enable_at(page_alloc());
    /* what a second program does */
    uint64_t value = rdmsr(HV_X64_MSR_HYPERCALL);
    EXPECT(value & 1);
    EXPECT(calls(value & ~0xfffULL));
}

TEST(disable, "hcpg.disable")
{
    NEEDS(AccessHypercallMsrs);
    uint64_t *page = patterned_page();
    enable_at(page);
    wrmsr(HV_X64_MSR_HYPERCALL, 0);
    EXPECT(!enabled());
    EXPECT(pattern_whole(page));
}

TEST(disable_and_move, "hcpg.disable.elsewhere")
{
    NEEDS(AccessHypercallMsrs);
    uint64_t *a = patterned_page(), *b = patterned_page();
    enable_at(a);
    wrmsr(HV_X64_MSR_HYPERCALL, gpa_of(b));
    EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL) & ~0xffeULL, gpa_of(b));
    EXPECT(pattern_whole(a));
    EXPECT(pattern_whole(b));
}

TEST(lock_absent, "hcpg.lock.absent")
{
    NEEDS(AccessHypercallMsrs);
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    NEEDS_THAT(!has(HypercallMsrLockAvailable), "the lock is announced");
    uint64_t a = gpa_of(page_alloc()), b = gpa_of(page_alloc());
    identify();
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_HYPERCALL, a | 3), NO_FAULT);
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_HYPERCALL, b | 1), NO_FAULT);
    EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL) >> 12, b >> 12);
    EXPECT(calls(b));
}

TEST(withheld, "hcpg.withheld")
{
    NEEDS_THAT(hv_present() && !has(AccessHypercallMsrs), "AccessHypercallMsrs is granted");
    uint64_t value;
    EXPECT_EQ(rdmsr_try(HV_X64_MSR_HYPERCALL, &value), VEC_GP);
    EXPECT_EQ(wrmsr_try(HV_X64_MSR_HYPERCALL, 0), VEC_GP);
}

TEST(features_after_page, "hcpg.step9")
{
    NEEDS(AccessHypercallMsrs);
    struct cpuid before = cpuid(HV_CPUID_FEATURES, 0);
    REQUIRE(hv_enable());
    struct cpuid after = cpuid(HV_CPUID_FEATURES, 0);
    EXPECT(memcmp(&before, &after, sizeof before) == 0);
}
