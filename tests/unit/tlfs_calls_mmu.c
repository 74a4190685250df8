/* Hypercalls of the virtual MMU: TLFS 6.0b §9.4. Flushes are looked at under policy `stalest`, by what a load then sees. */
#include "tests/unit/tlfs_calls_fixture.h"

enum {
    SWITCH = 0x0001,
    FLUSH_SPACE = 0x0002,
    FLUSH_LIST = 0x0003,
    FLUSH_SPACE_EX = 0x0013,
    FLUSH_LIST_EX = 0x0014,
    TRANSLATE = 0x0052
};
enum { ALL_VPS = 1, ALL_SPACES = 2, NON_GLOBAL = 4, EXTENDED = 8 };
/* Tables of our own: everything identity by 2 MiB pages, but for the 2 MiB at X by 4 KiB pages. */
#define PML4 0x400000ULL
#define PML4_OTHER 0x410000ULL
#define PT 0x403000ULL
#define X 0x800000ULL
#define OLD 0x600000ULL
#define NEW 0x601000ULL
enum { IN_OLD = 11, IN_NEW = 22, P_W_U = 7, PS = 0x80, G = 0x100 };

static void tables(uint64_t root)
{
    set_mem64(p, root, (root + 0x1000) | P_W_U);
    set_mem64(p, root + 0x1000, (root + 0x2000) | P_W_U);
    for (uint64_t i = 0; i < 32; i++) {
        set_mem64(p, root + 0x2000 + 8 * i, i << 21 | PS | P_W_U);
    }
    set_mem64(p, root + 0x2000 + 8 * (X >> 21), PT | P_W_U);
}
static void map_x(unsigned page, uint64_t to)
{
    set_mem64(p, PT + 8 * page, to | P_W_U);
}

/* mov eax, [rbx]; hlt, by one VP: what it sees at `address`. */
static uint32_t sees(unsigned vp, uint64_t address)
{
    static const uint8_t code[] = {0x8b, 0x03, 0xf4};
    cr_assert(memory_write(p->machine->memory, gpa(CODE), code, sizeof code));
    struct vp_state s = state_of(vp);
    s.rip = CODE;
    s.gpr[RBX] = address;
    s.activity = VP_RUNNING;
    cr_assert(vp_set_state(p->vps[vp].vcpu, &s));
    cr_assert(vp_run(p->vps[vp].vcpu, machine_now(p->machine) + 100000) == STOP_HALT);
    return (uint32_t)vp_gpr(p->vps[vp].vcpu, RAX);
}

/* Two VPs that have seen OLD at X and its neighbour, after which the tables say NEW. */
static void setup_with(uint64_t leaf)
{
    static const char *const features[] = {"UseHypercallForAddressSpaceSwitch", "AccessVpRegisters", NULL};
    calls_begin("ws2019", 2, TRANSLATE_STALEST, features);
    tables(PML4);
    tables(PML4_OTHER);
    set_mem64(p, OLD, IN_OLD);
    set_mem64(p, NEW, IN_NEW);
    also(p, 1, CODE, 0);
    for (unsigned vp = 0; vp < 2; vp++) {
        struct vp_state s = state_of(vp);
        s.cr3 = PML4;
        s.cr4 |= CR4_PGE;
        cr_assert(vp_set_state(p->vps[vp].vcpu, &s));
    }
    map_x(0, OLD | leaf);
    map_x(1, OLD | leaf);
    for (unsigned vp = 0; vp < 2; vp++) {
        cr_assert(sees(vp, X) == IN_OLD && sees(vp, X + 0x1000) == IN_OLD);
    }
    map_x(0, NEW | leaf);
    map_x(1, NEW | leaf);
    cr_assert(sees(0, X) == IN_OLD, "the policy keeps what it has");
}
static void setup(void)
{
    setup_with(0);
}
TestSuite(flush, .init = setup, .fini = calls_end);

/* ---- whole spaces ---- */

Test(flush, of_a_space_reaches_the_named_vp_and_no_other)
{
    cr_expect_eq(CALL(FLUSH_SPACE, PML4, 0, 2), HV_STATUS_SUCCESS);
    cr_expect(sees(1, X) == IN_NEW && sees(1, X + 0x1000) == IN_NEW);
    cr_expect_eq(sees(0, X), IN_OLD);
}

Test(flush, of_another_space_leaves_this_one)
{
    cr_expect_eq(CALL(FLUSH_SPACE, PML4_OTHER, 0, 3), HV_STATUS_SUCCESS);
    cr_expect(sees(0, X) == IN_OLD && sees(1, X) == IN_OLD);
}

Test(flush, of_all_spaces_and_all_vps_ignores_space_and_mask)
{
    cr_expect_eq(CALL(FLUSH_SPACE, UINT64_MAX, ALL_VPS | ALL_SPACES, 0), HV_STATUS_SUCCESS);
    cr_expect(sees(0, X) == IN_NEW && sees(1, X) == IN_NEW);
}

Test(flush, in_registers_is_the_same)
{
    xmm_t mask = {.q = {1, 0}};
    vp_set_xmm(p->vps[0].vcpu, 0, mask);
    cr_expect_eq(result(FLUSH_SPACE | FAST, PML4, 0), HV_STATUS_SUCCESS);
    cr_expect(sees(0, X) == IN_NEW && sees(1, X) == IN_OLD);
}

Test(flush_global, goes_with_the_space_unless_the_flag_leaves_it)
{
    setup_with(G);
    cr_expect_eq(CALL(FLUSH_SPACE, PML4, NON_GLOBAL, 3), HV_STATUS_SUCCESS);
    cr_expect_eq(sees(0, X), IN_OLD);
    cr_expect_eq(CALL(FLUSH_SPACE, PML4, 0, 1), HV_STATUS_SUCCESS);
    cr_expect_eq(sees(0, X), IN_NEW);
    cr_expect_eq(CALL(FLUSH_LIST | REPS(0, 1), PML4, 0, 2, X), done(1, HV_STATUS_SUCCESS));
    cr_expect(sees(1, X) == IN_NEW && sees(1, X + 0x1000) == IN_OLD);
    calls_end();
}

Test(flush, is_refused_for_flags_spaces_and_masks_that_mean_nothing)
{
    cr_expect_eq(CALL(FLUSH_SPACE, PML4, 0, 0), HV_STATUS_INVALID_PARAMETER);
    cr_expect_eq(CALL(FLUSH_SPACE, 1ULL << 52, 0, 1), HV_STATUS_INVALID_PARAMETER);
    for (unsigned bit = 3; bit < 64; bit++) {
        cr_expect_eq(CALL(FLUSH_SPACE, PML4, 1ULL << bit, 1), HV_STATUS_INVALID_PARAMETER, "flag %u", bit);
    }
    cr_expect_eq(CALL(FLUSH_LIST | REPS(0, 1), PML4, NON_GLOBAL, 1, X), done(0, HV_STATUS_INVALID_PARAMETER));
    cr_expect_eq(CALL(FLUSH_LIST | REPS(0, 1), PML4, 16, 1, X), done(0, HV_STATUS_INVALID_PARAMETER));
    cr_expect_eq(sees(0, X), IN_OLD, "nothing was done");
}

/* ---- lists ---- */

Test(flush, of_a_list_takes_the_listed_pages)
{
    cr_expect_eq(CALL(FLUSH_LIST | REPS(0, 2), PML4, 0, 1, 0x123000, X + 0x1000), done(2, HV_STATUS_SUCCESS));
    cr_expect(sees(0, X) == IN_OLD && sees(0, X + 0x1000) == IN_NEW);
}

Test(flush, of_a_range_counts_the_further_pages)
{
    cr_expect_eq(CALL(FLUSH_LIST | REPS(0, 1), PML4, 0, 1, X | 1), done(1, HV_STATUS_SUCCESS));
    cr_expect(sees(0, X) == IN_NEW && sees(0, X + 0x1000) == IN_NEW);
}

Test(flush, of_a_list_begins_at_its_start_index)
{
    cr_expect_eq(CALL(FLUSH_LIST | REPS(1, 2), PML4, 0, 1, X, X + 0x1000), done(2, HV_STATUS_SUCCESS));
    cr_expect(sees(0, X) == IN_OLD && sees(0, X + 0x1000) == IN_NEW);
}

Test(flush, of_addresses_beyond_the_space_is_done_with_nothing)
{
    cr_expect_eq(CALL(FLUSH_LIST | REPS(0, 2), PML4, 0, 1, 1ULL << 63, 0xfff0000000000fff), done(2, HV_STATUS_SUCCESS));
    cr_expect_eq(sees(0, X), IN_OLD);
}

/* Bit 11: large pages of 2 MiB, or with bit 12 of 1 GiB; without it eleven bits count. */
Test(flush, of_extended_ranges_counts_large_pages)
{
    cr_expect_eq(CALL(FLUSH_LIST | REPS(0, 1), PML4, EXTENDED, 1, (X - 0x200000) | 0x800), done(1, HV_STATUS_SUCCESS));
    cr_expect_eq(sees(0, X), IN_OLD);
    cr_expect_eq(CALL(FLUSH_LIST | REPS(0, 1), PML4, EXTENDED, 1, (X - 0x200000) | 0x801), done(1, HV_STATUS_SUCCESS));
    cr_expect_eq(sees(0, X), IN_NEW);
    cr_expect_eq(CALL(FLUSH_LIST | REPS(0, 1), PML4, EXTENDED, 2, 0x1800), done(1, HV_STATUS_SUCCESS));
    cr_expect_eq(sees(1, X), IN_NEW);
}

Test(flush, of_a_list_is_repeated_where_the_policy_stops_it)
{
    p->rep_elements_max = 1;
    static const uint64_t input[] = {PML4, 0, 1, X + 0x1000, X};
    cr_assert(memory_write(p->machine->memory, gpa(INPUT), input, sizeof input));
    bool again = false;
    cr_assert_eq(call_again(FLUSH_LIST | REPS(0, 2), INPUT, OUTPUT, &again), -1);
    cr_expect(again);
    cr_expect_eq(vp_gpr(p->vps[0].vcpu, RCX), FLUSH_LIST | REPS(1, 2));
    cr_expect_eq(vp_gpr(p->vps[0].vcpu, RDX), INPUT);
    cr_expect(sees(0, X) == IN_OLD && sees(0, X + 0x1000) == IN_NEW);
    cr_expect_eq(result(FLUSH_LIST | REPS(1, 2), INPUT, OUTPUT), done(2, HV_STATUS_SUCCESS));
    cr_expect_eq(sees(0, X), IN_NEW);
}

/* §3.2: at least one element in each go, and the whole list in the end; the seed decides where the goes end. */
Test(flush, of_a_list_gets_on_wherever_chance_stops_it)
{
    p->rep_stop_random = true;
    uint64_t words[3 + 100] = {PML4, 0, 1};
    for (unsigned i = 0; i < 100; i++) {
        words[3 + i] = X + 0x1000 * i;
    }
    cr_assert(memory_write(p->machine->memory, gpa(INPUT), words, sizeof words));
    uint64_t control = FLUSH_LIST | REPS(0, 100);
    bool again = true;
    unsigned goes = 0;
    while (again) {
        unsigned start = control >> 48;
        cr_assert_eq(call_again(control, INPUT, OUTPUT, &again), -1);
        control = vp_gpr(p->vps[0].vcpu, RCX);
        cr_assert(!again || (control >> 48 > start && control >> 48 <= start + 8));
        goes++;
    }
    cr_expect(goes >= 13 && goes < 100, "%u", goes);
    cr_expect_eq(vp_gpr(p->vps[0].vcpu, RAX), done(100, HV_STATUS_SUCCESS));
    cr_expect_eq(sees(0, X), IN_NEW);
}

/* ---- processor sets, §7.8.7.3 ---- */

Test(flush, by_a_sparse_set_reaches_its_vps)
{
    cr_expect_eq(CALL(FLUSH_SPACE_EX | BANKS(1), PML4, 0, 0, 1, 2), HV_STATUS_SUCCESS);
    cr_expect(sees(0, X) == IN_OLD && sees(1, X) == IN_NEW);
    cr_expect_eq(CALL(FLUSH_LIST_EX | BANKS(1) | REPS(0, 1), PML4, 0, 0, 1, 1, X), done(1, HV_STATUS_SUCCESS));
    cr_expect(sees(0, X) == IN_NEW && sees(0, X + 0x1000) == IN_OLD);
}

Test(flush, by_a_set_of_all_needs_no_bank)
{
    cr_expect_eq(CALL(FLUSH_SPACE_EX, PML4, 0, 1, 0), HV_STATUS_SUCCESS);
    cr_expect(sees(0, X) == IN_NEW && sees(1, X) == IN_NEW);
}

Test(flush, by_a_set_that_is_none_is_refused)
{
    cr_expect_eq(CALL(FLUSH_SPACE_EX, PML4, 0, 2, 0), HV_STATUS_INVALID_PARAMETER);
    cr_expect_eq(CALL(FLUSH_SPACE_EX, PML4, 0, 0, 0), HV_STATUS_INVALID_PARAMETER);
    cr_expect_eq(CALL(FLUSH_SPACE_EX | BANKS(1), PML4, 0, 0, 3, 1), HV_STATUS_INVALID_HYPERCALL_INPUT);
    cr_expect_eq(CALL(FLUSH_SPACE_EX | BANKS(2), PML4, 0, 0, 1, 1, 1), HV_STATUS_INVALID_HYPERCALL_INPUT);
    cr_expect_eq(CALL(FLUSH_SPACE_EX | BANKS(1), PML4, 0, 0, 1ULL << 63, 1), HV_STATUS_SUCCESS, "nobody is there");
    cr_expect_eq(sees(0, X), IN_OLD);
}

Test(flush_withheld, is_denied_without_the_hints_and_unknown_without_sets)
{
    static const char *const features[] = {"-UseHypercallForRemoteFlush", "-UseHypercallForLocalFlush", "-UseExProcessorMasks",
                                           "-ExtendedGvaRangesForFlushVirtualAddressListAvailable", NULL};
    calls_begin("ws2019", 1, TRANSLATE_FRESH, features);
    cr_expect_eq(CALL(FLUSH_SPACE, PML4, 0, 1), HV_STATUS_ACCESS_DENIED);
    cr_expect_eq(CALL(FLUSH_LIST | REPS(0, 1), PML4, 0, 1, X), HV_STATUS_ACCESS_DENIED);
    cr_expect_eq(CALL(FLUSH_SPACE_EX, PML4, 0, 1, 0), HV_STATUS_INVALID_HYPERCALL_CODE);
    cr_expect_eq(CALL(SWITCH, PML4), HV_STATUS_ACCESS_DENIED);
    calls_end();
    calls_begin("ws2019", 1, TRANSLATE_FRESH, &features[3]);
    cr_expect_eq(CALL(FLUSH_LIST | REPS(0, 1), PML4, EXTENDED, 1, X), HV_STATUS_INVALID_PARAMETER);
    calls_end();
}

/* ---- §9.4.1 ---- */

Test(flush, is_no_part_of_a_switch)
{
    cr_expect_eq(result(SWITCH | FAST, PML4_OTHER, 0), HV_STATUS_SUCCESS);
    cr_expect_eq(state_of(0).cr3, PML4_OTHER);
    cr_expect_eq(state_of(1).cr3, PML4);
    cr_expect_eq(sees(0, X), IN_NEW, "the other space never had the old page");
    cr_expect_eq(result(SWITCH | FAST, PML4, 0), HV_STATUS_SUCCESS);
    cr_expect_eq(sees(0, X), IN_OLD, "and this one has it still");
    cr_expect_eq(result(SWITCH | FAST, 1ULL << 63, 0), HV_STATUS_INVALID_PARAMETER);
    cr_expect_eq(state_of(0).cr3, PML4);
}

/* A saved TLB says of which space each entry is. */
Test(flush, of_a_restored_state_is_of_the_same_spaces)
{
    struct state *s = state_begin_save();
    partition_state(s, p);
    size_t length;
    uint8_t *bytes = state_finish_save(s, &length);
    cr_assert_not_null(bytes);
    state_end(s);
    cr_expect_eq(CALL(FLUSH_SPACE, PML4, 0, 3), HV_STATUS_SUCCESS);
    cr_assert_eq(sees(0, X), IN_NEW);
    struct state *r = state_begin_restore(bytes, length);
    partition_state(r, p);
    cr_assert(state_finish_restore(r));
    state_end(r);
    free(bytes);
    cr_expect_eq(sees(0, X), IN_OLD);
    cr_expect_eq(CALL(FLUSH_SPACE, PML4_OTHER, 0, 3), HV_STATUS_SUCCESS);
    cr_expect_eq(sees(0, X), IN_OLD);
    cr_expect_eq(CALL(FLUSH_SPACE, PML4, 0, 3), HV_STATUS_SUCCESS);
    cr_expect_eq(sees(0, X), IN_NEW);
}

/* ---- §9.4.6: result code and attributes in the first word, the page in the second ---- */

enum { READ = 1, WRITE = 2, EXECUTE = 4, EXEMPT = 8, SET_BITS = 16, INHIBIT = 32, WRITE_BACK = 6 };
#define SELF UINT64_MAX
#define VP_SELF 0xfffffffeULL

static uint64_t translated(uint64_t flags, uint64_t address, uint64_t *page)
{
    cr_expect_eq(CALL(TRANSLATE, SELF, VP_SELF, flags, address >> 12), HV_STATUS_SUCCESS);
    *page = mem64(p, OUTPUT + 8) << 12;
    return mem64(p, OUTPUT);
}

Test(flush, is_not_asked_by_a_translation)
{
    uint64_t page;
    cr_expect_eq(translated(READ, X, &page), (uint64_t)WRITE_BACK << 32);
    cr_expect_eq(page, NEW, "by the tables, whatever the TLB has");
    cr_expect_eq(translated(READ, 0x345000, &page), (uint64_t)WRITE_BACK << 32);
    cr_expect_eq(page, 0x345000, "inside a large page");
    cr_expect_eq(translated(READ, PAGE, &page), (uint64_t)(WRITE_BACK | 0x100) << 32, "an overlay");
    cr_expect_eq(translated(WRITE, PAGE, &page), 7, "that cannot be written");
    cr_expect_eq(page, PAGE);
    map_x(2, 0x700000 | 0x10);
    cr_expect_eq(translated(READ, X + 0x2000, &page), 0, "uncached");
}

Test(flush, aside_a_translation_tells_why_it_fails)
{
    uint64_t page;
    set_mem64(p, PT + 8 * 3, 0);
    set_mem64(p, PT + 8 * 4, NEW | 5);
    set_mem64(p, PT + 8 * 5, NEW | 7 | 1ULL << 51);
    cr_expect_eq(translated(READ, X + 0x3000, &page), 1);
    cr_expect_eq(translated(READ, 1ULL << 60, &page), 1);
    struct vp_state s = state_of(0);
    s.cr0 |= CR0_WP;
    cr_assert(vp_set_state(p->vps[0].vcpu, &s));
    cr_expect_eq(translated(READ | WRITE, X + 0x4000, &page), 2);
    cr_expect_eq(translated(READ, X + 0x5000, &page), 3);
    set_mem64(p, PML4 + 0x2000 + 8 * (X >> 21), 0xd0000000 | P_W_U);
    cr_expect_eq(translated(READ, X, &page), 4);
    cr_expect_eq(page, 0xd0000000);
}

Test(flush, aside_a_translation_sets_bits_only_when_asked)
{
    enum { ACCESSED = 0x20, DIRTY = 0x40 };
    uint64_t page;
    map_x(6, NEW);
    translated(WRITE, X + 0x6000, &page);
    cr_expect_eq(mem64(p, PT + 48), NEW | P_W_U);
    translated(READ | SET_BITS, X + 0x6000, &page);
    cr_expect_eq(mem64(p, PT + 48), NEW | P_W_U | ACCESSED);
    translated(WRITE | SET_BITS, X + 0x6000, &page);
    cr_expect_eq(mem64(p, PT + 48), NEW | P_W_U | ACCESSED | DIRTY);
}

Test(flush, aside_a_translation_is_refused_without_access_or_for_others)
{
    cr_expect_eq(CALL(TRANSLATE, SELF, VP_SELF, 0, 0), HV_STATUS_INVALID_PARAMETER);
    cr_expect_eq(CALL(TRANSLATE, SELF, VP_SELF, READ | 0x40, 0), HV_STATUS_INVALID_PARAMETER);
    cr_expect_eq(CALL(TRANSLATE, SELF, VP_SELF, READ | INHIBIT, 0), HV_STATUS_ACCESS_DENIED);
    cr_expect_eq(CALL(TRANSLATE, SELF, 2, READ, 0), HV_STATUS_INVALID_VP_INDEX);
    cr_expect_eq(CALL(TRANSLATE, 77, 0, READ, 0), HV_STATUS_INVALID_PARTITION_ID);
}
