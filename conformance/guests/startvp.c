/* HvStartVirtualProcessor and HvGetVpIndexFromApicId. Clauses: conformance/clauses/startvp.yaml; TLFS 6.0b §7.10.3-7.10.4.
 *
 * No test calls smp_start(): VP 1 waits for its start-up interrupt, and each test brings it back to that by INIT. The context
 * that a test passes is built from the text's layout and the state of the VP that runs.
 */
#include "vps.h"

struct segment {
    uint64_t base;
    uint32_t limit;
    uint16_t selector, attributes;
};
struct table {
    uint16_t pad[3], limit;
    uint64_t base;
};
struct start_input {
    uint64_t partition_id;
    uint32_t vp_index;
    uint8_t vtl, padding[3];
    uint64_t rip, rsp, rflags;
    struct segment cs, ds, es, fs, gs, ss, tr, ldtr;
    struct table idtr, gdtr;
    uint64_t efer, cr0, cr3, cr4, pat;
};
_Static_assert(sizeof(struct start_input) == 240, "the text's layout");

enum {
    CODE64 = 0xa09b,
    CODE32 = 0xc09b,
    DATA = 0xc093,
    TSS_BUSY = 0x008b,
    LDT = 0x0082,
    IA32_PAT = 0x277,
    ICR_INIT = 5 << 8,
    ICR_ASSERT = 1 << 14,
};
#define IA32_EFER 0xc0000080U
#define RESET_PAT 0x0007040600070406ULL
#define OTHER_PAT 0x0107040600070406ULL /* the last entry write-combining */

struct __attribute__((packed)) table_pointer {
    uint16_t limit;
    uint64_t base;
};

/* What the started VP saw, written by itself. */
static struct {
    volatile uint64_t started, rsp, rflags, cr0, cr3, cr4, efer, pat, fs_base;
    struct table_pointer gdtr, idtr;
    uint16_t cs, ss, fs, tr, ldtr;
} seen;

__attribute__((used)) static void started_main(uint64_t rsp, uint64_t rflags)
{
    uint64_t value;
    seen.rsp = rsp;
    seen.rflags = rflags;
    __asm__ volatile("mov %%cr0, %0" : "=r"(value));
    seen.cr0 = value;
    __asm__ volatile("mov %%cr3, %0" : "=r"(value));
    seen.cr3 = value;
    __asm__ volatile("mov %%cr4, %0" : "=r"(value));
    seen.cr4 = value;
    __asm__ volatile("sgdt %0; sidt %1" : "=m"(seen.gdtr), "=m"(seen.idtr));
    __asm__ volatile("mov %%cs, %0; mov %%ss, %1; mov %%fs, %2; str %3; sldt %4"
                     : "=r"(seen.cs), "=r"(seen.ss), "=r"(seen.fs), "=r"(seen.tr), "=r"(seen.ldtr));
    seen.efer = rdmsr(IA32_EFER);
    seen.pat = rdmsr(IA32_PAT);
    seen.fs_base = rdmsr(0xc0000100);
    __atomic_store_n(&seen.started, 1, __ATOMIC_RELEASE);
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}

__attribute__((naked)) static void started_entry(void)
{
    __asm__ volatile("mov %rsp, %rdi; pushfq; pop %rsi; sub $8, %rsp; jmp started_main");
}

static void init(void)
{
    lapic_write(LAPIC_ICR_HIGH, (uint32_t)vp_apic_id(1) << 24);
    lapic_write(LAPIC_ICR, ICR_INIT | ICR_ASSERT);
    spin_100ns(20 * US_100NS);
}

/* A context of the mode that runs here, for VP 1. */
static struct start_input *input_build(void)
{
    struct start_input *in = page_alloc();
    struct table_pointer gdtr, idtr;
    uint16_t cs, ss;
    memset(&seen, 0, sizeof seen);
    __asm__ volatile("sgdt %0; sidt %1; mov %%cs, %2; mov %%ss, %3" : "=m"(gdtr), "=m"(idtr), "=r"(cs), "=r"(ss));
    in->partition_id = HV_PARTITION_ID_SELF;
    in->vp_index = 1;
    in->rip = (uint64_t)started_entry;
    in->rsp = (uint64_t)page_alloc() + PAGE_BYTES - 64;
    in->rflags = 2;
    in->cs = (struct segment){0, 0xffffffff, cs, CODE64};
    in->ss = in->ds = in->es = in->fs = in->gs = (struct segment){0, 0xffffffff, ss, DATA};
    in->tr = (struct segment){(uint64_t)page_alloc(), 0x67, 0x40, TSS_BUSY};
    in->ldtr = (struct segment){0, 0xffff, 0, LDT};
    in->gdtr = (struct table){.limit = gdtr.limit, .base = gdtr.base};
    in->idtr = (struct table){.limit = idtr.limit, .base = idtr.base};
    in->efer = rdmsr(IA32_EFER);
    in->pat = RESET_PAT;
    __asm__ volatile("mov %%cr0, %0" : "=r"(in->cr0));
    __asm__ volatile("mov %%cr3, %0" : "=r"(in->cr3));
    __asm__ volatile("mov %%cr4, %0" : "=r"(in->cr4));
    return in;
}

static unsigned start(const struct start_input *in)
{
    return HV_STATUS_OF(hv_call(HvCallStartVirtualProcessor, gpa_of(in), 0));
}

static bool started(void)
{
    return WAIT_FOR(__atomic_load_n(&seen.started, __ATOMIC_ACQUIRE) != 0, 10 * MS_100NS);
}

#define NEEDS_START()                                                                                                          \
    NEEDS(StartVirtualProcessor);                                                                                              \
    NEEDS_CALLS();                                                                                                             \
    NEEDS_THAT(vp_count() >= 2, "one VP")

/* A refusal leaves VP 1 waiting. */
static void expect_refused(const struct start_input *in, unsigned status)
{
    EXPECT_EQ(start(in), status);
    spin_100ns(20 * US_100NS);
    EXPECT(!seen.started, "VP 1 started");
}

/* ---- starting ---- */

TEST(starts_at_rip, "startvp.long-mode", "startvp.starts")
{
    NEEDS_START();
    EXPECT_EQ(start(input_build()), HV_STATUS_SUCCESS);
    EXPECT(started(), "VP 1 did not start");
    init();
}

TEST(whole_context, "startvp.control", "startvp.layout", "startvp.ldtr-tr", "startvp.pat", "startvp.rsp-rflags",
     "startvp.segments", "startvp.tables")
{
    NEEDS_START();
    struct start_input *in = input_build();
    in->rflags = 0x202; /* IF */
    in->fs.base = 0x123456789a0;
    in->pat = OTHER_PAT;
    in->ldtr.selector = 0x50;
    in->ldtr.base = (uint64_t)page_alloc();
    EXPECT_EQ(start(in), HV_STATUS_SUCCESS);
    EXPECT(started(), "VP 1 did not start");
    EXPECT_EQ_FOR("startvp.rsp-rflags", seen.rsp, in->rsp);
    EXPECT_EQ_FOR("startvp.rsp-rflags", seen.rflags & 0xffff, in->rflags);
    EXPECT_EQ_FOR("startvp.segments", seen.cs, in->cs.selector);
    EXPECT_EQ_FOR("startvp.segments", seen.ss, in->ss.selector);
    EXPECT_EQ_FOR("startvp.segments", seen.fs, in->fs.selector);
    EXPECT_EQ_FOR("startvp.segments", seen.fs_base, in->fs.base);
    EXPECT_EQ_FOR("startvp.tables", seen.gdtr.base, in->gdtr.base);
    EXPECT_EQ_FOR("startvp.tables", seen.gdtr.limit, in->gdtr.limit);
    EXPECT_EQ_FOR("startvp.tables", seen.idtr.base, in->idtr.base);
    EXPECT_EQ_FOR("startvp.tables", seen.idtr.limit, in->idtr.limit);
    EXPECT_EQ_FOR("startvp.control", seen.cr0, in->cr0);
    EXPECT_EQ_FOR("startvp.control", seen.cr3, in->cr3);
    EXPECT_EQ_FOR("startvp.control", seen.cr4, in->cr4);
    EXPECT_EQ_FOR("startvp.control", seen.efer, in->efer);
    EXPECT_EQ_FOR("startvp.pat", seen.pat, OTHER_PAT);
    EXPECT_EQ_FOR("startvp.ldtr-tr", seen.tr, in->tr.selector);
    EXPECT_EQ_FOR("startvp.ldtr-tr", seen.ldtr, in->ldtr.selector);
    init();
}

/* movl $1, (mailbox); cli; hlt; jmp back to hlt */
static void code32_build(uint8_t *code, uint32_t mailbox)
{
    const uint8_t text[] = {0xc7, 0x05, 0, 0, 0, 0, 1, 0, 0, 0, 0xfa, 0xf4, 0xeb, 0xfd};
    memcpy(code, text, sizeof text);
    memcpy(code + 2, &mailbox, sizeof mailbox);
}

TEST(protected_mode, "startvp.protected-mode")
{
    NEEDS_START();
    volatile uint32_t *mailbox = page_alloc();
    uint8_t *code = page_alloc();
    struct start_input *in = input_build();
    code32_build(code, (uint32_t)gpa_of(mailbox));
    in->rip = gpa_of(code);
    in->cs.attributes = CODE32;
    in->efer = 0;
    in->cr0 = 0x11; /* PE, ET */
    in->cr3 = in->cr4 = 0;
    EXPECT_EQ(start(in), HV_STATUS_SUCCESS);
    EXPECT(WAIT_FOR(*mailbox == 1, 10 * MS_100NS), "the code did not run");
    init();
}

/* ---- refusals ---- */

TEST(withheld, "startvp.withheld")
{
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    NEEDS_WITHHELD(StartVirtualProcessor);
    NEEDS_CALLS();
    NEEDS_THAT(vp_count() >= 2, "one VP");
    expect_refused(input_build(), HV_STATUS_ACCESS_DENIED);
}

TEST(unknown_before, "startvp.before", "startvp.index.before")
{
    NEEDS_EDITION(EDITION_2_0, EDITION_4_0);
    NEEDS_CALLS();
    EXPECT_EQ_FOR("startvp.before", start(input_build()), HV_STATUS_INVALID_HYPERCALL_CODE);
    EXPECT_EQ_FOR("startvp.index.before",
                  HV_STATUS_OF(hv_call(HvCallGetVpIndexFromApicId | HV_REPS(1), gpa_of(page_alloc()), gpa_of(page_alloc()))),
                  HV_STATUS_INVALID_HYPERCALL_CODE);
}

static bool no_such_partition(unsigned status)
{
    return status == HV_STATUS_INVALID_PARTITION_ID || status == HV_STATUS_ACCESS_DENIED;
}

TEST(bad_partition, "startvp.bad-partition")
{
    NEEDS_START();
    struct start_input *in = input_build();
    in->partition_id = 0x7777;
    unsigned status = start(in);
    EXPECT(no_such_partition(status), "status 0x%x", status);
    EXPECT(!seen.started, "VP 1 started");
}

TEST(bad_vp, "startvp.bad-vp")
{
    NEEDS_START();
    struct start_input *in = input_build();
    in->vp_index = 0xfff0;
    expect_refused(in, HV_STATUS_INVALID_VP_INDEX);
    in->vp_index = vp_count();
    expect_refused(in, HV_STATUS_INVALID_VP_INDEX);
}

TEST(bad_cr0, "startvp.bad-cr0")
{
    NEEDS_START();
    struct start_input *in = input_build();
    in->cr0 &= ~1ULL;
    expect_refused(in, HV_STATUS_INVALID_REGISTER_VALUE);
}

TEST(bad_cr4, "startvp.bad-cr4")
{
    NEEDS_START();
    struct start_input *in = input_build();
    in->cr4 |= 1ULL << 40;
    expect_refused(in, HV_STATUS_INVALID_REGISTER_VALUE);
}

TEST(bad_efer, "startvp.bad-efer")
{
    NEEDS_START();
    struct start_input *in = input_build();
    in->efer |= 1ULL << 40;
    expect_refused(in, HV_STATUS_INVALID_REGISTER_VALUE);
}

TEST(bad_pat, "startvp.bad-pat")
{
    NEEDS_START();
    struct start_input *in = input_build();
    in->pat = 0x0207040600070406ULL; /* 2 is no type */
    expect_refused(in, HV_STATUS_INVALID_REGISTER_VALUE);
}

TEST(bad_rflags, "startvp.bad-rflags")
{
    NEEDS_START();
    struct start_input *in = input_build();
    in->rflags |= 1ULL << 35;
    expect_refused(in, HV_STATUS_INVALID_REGISTER_VALUE);
}

TEST(running, "startvp.running")
{
    NEEDS_START();
    struct start_input *in = input_build();
    EXPECT_EQ(start(in), HV_STATUS_SUCCESS);
    EXPECT(started(), "VP 1 did not start");
    EXPECT_EQ(start(in), HV_STATUS_INVALID_VP_STATE);
    init();
}

TEST(self, "startvp.self")
{
    NEEDS_START();
    struct start_input *in = input_build();
    in->vp_index = vp_index(0);
    EXPECT_EQ(start(in), HV_STATUS_INVALID_VP_STATE);
}

TEST(vtl_absent, "startvp.vtl-absent")
{
    NEEDS_START();
    NEEDS_THAT(!has(AccessVSM), "VTLs may be there");
    struct start_input *in = input_build();
    in->vtl = 1;
    expect_refused(in, HV_STATUS_INVALID_VTL_STATE);
}

TEST(refused_then_started, "startvp.refused-keeps")
{
    NEEDS_START();
    struct start_input *in = input_build();
    in->cr4 |= 1ULL << 40;
    EXPECT_EQ(start(in), HV_STATUS_INVALID_REGISTER_VALUE);
    in->cr4 &= ~(1ULL << 40);
    EXPECT_EQ(start(in), HV_STATUS_SUCCESS);
    EXPECT(started(), "VP 1 did not start");
    init();
}

TEST(init_after, "startvp.as-init")
{
    NEEDS_START();
    for (unsigned i = 0; i < 2; i++) {
        EXPECT_EQ(start(input_build()), HV_STATUS_SUCCESS);
        EXPECT(started(), "VP 1 did not start");
        init();
    }
}

/* ---- HvGetVpIndexFromApicId ---- */

struct indices {
    unsigned status, done;
    uint32_t index[8];
};

static struct indices indices_of(uint64_t partition, uint64_t vtl, const uint32_t *apic_ids, unsigned count)
{
    uint64_t *in = page_alloc(), *out = page_alloc();
    struct indices x;
    in[0] = partition;
    in[1] = vtl;
    for (unsigned i = 0; i < count; i++) {
        in[2 + i] = apic_ids[i];
    }
    uint64_t result = hv_call(HvCallGetVpIndexFromApicId | HV_REPS(count), gpa_of(in), gpa_of(out));
    x.status = HV_STATUS_OF(result);
    x.done = HV_REPS_DONE(result);
    for (unsigned i = 0; i < count; i++) {
        x.index[i] = (uint32_t)out[i];
    }
    return x;
}

#define NEEDS_INDEX_CALL()                                                                                                     \
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);                                                                                  \
    NEEDS(AccessVpIndex);                                                                                                      \
    NEEDS_CALLS()

TEST(index_of_self, "startvp.index.self")
{
    NEEDS_INDEX_CALL();
    const uint32_t id = vp_apic_id(0);
    struct indices x = indices_of(HV_PARTITION_ID_SELF, 0, &id, 1);
    EXPECT_EQ(x.status, HV_STATUS_SUCCESS);
    EXPECT_EQ(x.done, 1);
    EXPECT_EQ(x.index[0], rdmsr(HV_X64_MSR_VP_INDEX));
}

/* Up to four VPs, in reverse order; the VPs have not run. */
static void expect_all_indices(void)
{
    uint32_t ids[4] = {0};
    unsigned count = vp_count() < 4 ? vp_count() : 4;
    for (unsigned i = 0; i < count; i++) {
        ids[i] = vp_apic_id(count - 1 - i);
    }
    struct indices x = indices_of(HV_PARTITION_ID_SELF, 0, ids, count);
    EXPECT_EQ(x.status, HV_STATUS_SUCCESS);
    EXPECT_EQ(x.done, count);
    uint32_t all = 0;
    for (unsigned i = 0; i < count; i++) {
        all |= 1U << (x.index[i] & 31);
    }
    EXPECT_EQ(x.index[count - 1], rdmsr(HV_X64_MSR_VP_INDEX));
    EXPECT_EQ(all, (1U << count) - 1);
}

TEST(index_of_others, "startvp.index.others", "startvp.index.rep")
{
    NEEDS_INDEX_CALL();
    NEEDS_THAT(vp_count() >= 2, "one VP");
    expect_all_indices();
}

TEST(index_before_start, "startvp.index.before-start")
{
    NEEDS_INDEX_CALL();
    NEEDS_THAT(vp_count() >= 2, "one VP");
    init();
    const uint32_t id = vp_apic_id(1);
    struct indices x = indices_of(HV_PARTITION_ID_SELF, 0, &id, 1);
    EXPECT_EQ(x.status, HV_STATUS_SUCCESS);
    EXPECT(x.index[0] != 0 && x.index[0] < vp_count(), "index 0x%x", x.index[0]);
}

TEST(index_unknown_id, "startvp.index.unknown")
{
    NEEDS_INDEX_CALL();
    const uint32_t ids[] = {vp_apic_id(0), 0xfe};
    struct indices x = indices_of(HV_PARTITION_ID_SELF, 0, ids, 2);
    EXPECT(x.status == HV_STATUS_INVALID_PARAMETER || x.status == HV_STATUS_INVALID_VP_INDEX, "status 0x%x", x.status);
    EXPECT_EQ(x.done, 1);
}

TEST(index_bad_partition, "startvp.index.bad-partition")
{
    NEEDS_INDEX_CALL();
    const uint32_t id = vp_apic_id(0);
    unsigned status = indices_of(0x7777, 0, &id, 1).status;
    EXPECT(no_such_partition(status), "status 0x%x", status);
}

TEST(index_bad_vtl, "startvp.index.vtl")
{
    NEEDS_INDEX_CALL();
    NEEDS_THAT(!has(AccessVSM), "VTLs may be there");
    const uint32_t id = vp_apic_id(0);
    struct indices x = indices_of(HV_PARTITION_ID_SELF, 1, &id, 1);
    EXPECT(x.status == HV_STATUS_INVALID_VTL_STATE || x.status == HV_STATUS_INVALID_PARAMETER, "status 0x%x", x.status);
}

TEST(index_withheld, "startvp.index.withheld")
{
    NEEDS_EDITION(EDITION_6_0, EDITION_LAST);
    NEEDS_WITHHELD(AccessVpIndex);
    NEEDS_CALLS();
    const uint32_t id = vp_apic_id(0);
    EXPECT_EQ(indices_of(HV_PARTITION_ID_SELF, 0, &id, 1).status, HV_STATUS_ACCESS_DENIED);
}

TEST(index_consecutive, "startvp.index.consecutive")
{
    NEEDS_INDEX_CALL();
    NEEDS_EDITION(EDITION_5_0, EDITION_5_0);
    expect_all_indices();
}
