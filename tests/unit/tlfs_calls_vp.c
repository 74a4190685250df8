/* Hypercalls about VPs, interrupts, the partition, debugging and memory: TLFS 6.0b §7.10, §10.5, §3.14; 2.0a §20.3. */
#include <stdio.h>

#include "tests/unit/tlfs_calls_fixture.h"
#include "tlfs/vp_registers.h"

enum {
    SEND_IPI = 0x0b,
    SEND_IPI_EX = 0x15,
    PARTITION_ID = 0x46,
    GET_REGISTERS = 0x50,
    SET_REGISTERS = 0x51,
    POST_DEBUG = 0x69,
    RETRIEVE_DEBUG = 0x6a,
    RESET_DEBUG = 0x6b,
    RETARGET = 0x7e,
    ASSERT_INTERRUPT = 0x94,
    START_VP = 0x99,
    FIND_VP = 0x9a,
    QUERY = 0x8001,
    BOOT_ZEROED = 0x8002,
    HEAT_HINT = 0x8003
};
#define SELF UINT64_MAX
#define VP_SELF 0xfffffffeULL

static void setup(void)
{
    static const char *const features[] = {"AccessVpRegisters",     "AccessPartitionId",        "Debugging",
                                           "StartVirtualProcessor", "EnableExtendedHypercalls", NULL};
    calls_begin("ws2019", 3, TRANSLATE_FRESH, features);
    apic_on(p);
}
TestSuite(calls, .init = setup, .fini = calls_end);

/* ---- §10.5.2, §10.5.3 ---- */

Test(calls, cluster_ipi_reaches_the_vps_of_its_mask)
{
    cr_expect_eq(result(SEND_IPI | FAST, 0x55, 0x5), HV_STATUS_SUCCESS);
    cr_expect(irr(p, 0, 0x55) && !irr(p, 1, 0x55) && irr(p, 2, 0x55));
    cr_expect_eq(CALL(SEND_IPI, 0x56 | 0x10ULL << 32, 1ULL << 63 | 2), HV_STATUS_SUCCESS);
    cr_expect(!irr(p, 0, 0x56) && irr(p, 1, 0x56));
}

Test(calls, cluster_ipi_ex_reaches_the_vps_of_its_set)
{
    cr_expect_eq(CALL(SEND_IPI_EX | BANKS(2), 0x60, 0, 5, 2, UINT64_MAX), HV_STATUS_SUCCESS);
    cr_expect(!irr(p, 0, 0x60) && irr(p, 1, 0x60) && !irr(p, 2, 0x60));
    cr_expect_eq(CALL(SEND_IPI_EX, 0x61, 1, 0), HV_STATUS_SUCCESS);
    cr_expect(irr(p, 0, 0x61) && irr(p, 1, 0x61) && irr(p, 2, 0x61));
    cr_expect_eq(CALL(SEND_IPI_EX, 0x62, 0, 1), HV_STATUS_INVALID_HYPERCALL_INPUT);
    cr_expect_eq(CALL(SEND_IPI_EX, 0x62, 3, 0), HV_STATUS_INVALID_PARAMETER);
    cr_expect_not(irr(p, 0, 0x62));
}

Test(calls, cluster_ipi_refuses_vectors_bytes_and_vtls)
{
    static const uint64_t bad[] = {
        0, 0x0f, 0x100, 1ULL << 32 << 8 | 0x50, 1ULL << 63 | 0x50, 0x11ULL << 32 | 0x50, 0x20ULL << 32 | 0x50};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        cr_expect_eq(result(SEND_IPI | FAST, bad[i], 1), HV_STATUS_INVALID_PARAMETER, "%llx", (unsigned long long)bad[i]);
    }
    cr_expect_not(irr(p, 0, 0x50));
}

/* §10.5.4: checks of the parameters, then no device is known. */
Test(calls, retarget_knows_no_device)
{
    cr_expect_eq(CALL(RETARGET, SELF, 7, 1, 0, 0, 0x50, 1), HV_STATUS_INVALID_DEVICE_ID);
    cr_expect_eq(CALL(RETARGET | BANKS(2), SELF, 7, 1, 0, 0, 0x50 | 2ULL << 32, 0, 1, 4), HV_STATUS_INVALID_DEVICE_ID);
    cr_expect_eq(CALL(RETARGET, 2, 7, 1, 0, 0, 0x50, 1), HV_STATUS_INVALID_PARTITION_ID);
    cr_expect_eq(CALL(RETARGET, SELF, 7, 2, 0, 0, 0x50, 1), HV_STATUS_INVALID_PARAMETER, "not an MSI");
    cr_expect_eq(CALL(RETARGET, SELF, 7, 1, 0, 9, 0x50, 1), HV_STATUS_INVALID_PARAMETER, "reserved");
    cr_expect_eq(CALL(RETARGET, SELF, 7, 1, 0, 0, 0x50, 8), HV_STATUS_INVALID_PARAMETER, "VP 3 is not there");
    cr_expect_eq(CALL(RETARGET, SELF, 7, 1, 0, 0, 0x50 | 2ULL << 32, 1), HV_STATUS_INVALID_PARAMETER, "all");
    cr_expect_eq(CALL(RETARGET, SELF, 7, 1, 0, 0, 0x50 | 4ULL << 32, 1), HV_STATUS_INVALID_PARAMETER, "flags");
    cr_expect_eq(CALL(ASSERT_INTERRUPT, SELF, 0, 0, 0x50), HV_STATUS_ACCESS_DENIED, "for a parent");
}

/* ---- §7.10.1, §7.10.2 ---- */

/* One register of a VP by HvCallGetVpRegisters. */
static uint64_t read_register(uint64_t vp, uint32_t name, uint64_t *low)
{
    uint64_t r = CALL(GET_REGISTERS | REPS(0, 1), SELF, vp, name);
    *low = mem64(p, OUTPUT);
    return r;
}
static uint64_t write_register(uint64_t vp, uint32_t name, uint64_t low, uint64_t high)
{
    return CALL(SET_REGISTERS | REPS(0, 1), SELF, vp, name, 0, low, high);
}

Test(calls, registers_are_read_in_the_order_of_their_names)
{
    uint64_t names = 0x00020004 | 0x00090003ULL << 32; /* Rsp, VpIndex */
    cr_expect_eq(CALL(GET_REGISTERS | REPS(0, 3), SELF, VP_SELF, names, 0x00040002), done(3, HV_STATUS_SUCCESS));
    cr_expect(mem64(p, OUTPUT) == state_of(0).gpr[RSP] && mem64(p, OUTPUT + 8) == 0);
    cr_expect(mem64(p, OUTPUT + 16) == 0 && mem64(p, OUTPUT + 32) == state_of(0).cr3);
}

Test(calls, registers_before_the_start_index_are_left_alone)
{
    set_mem64(p, OUTPUT, 0x1234);
    cr_expect_eq(CALL(GET_REGISTERS | REPS(1, 3), SELF, 1, 0x00090003 | 0x00090003ULL << 32, 0xffffffff),
                 done(2, HV_STATUS_INVALID_PARAMETER));
    cr_expect(mem64(p, OUTPUT) == 0x1234 && mem64(p, OUTPUT + 16) == 1);
}

/* §3.8.1: input of 24 bytes fills RDX, R8 and half of XMM0; output begins in XMM1. */
Test(calls, registers_come_in_registers)
{
    struct vcpu *v = p->vps[0].vcpu;
    vp_set_xmm(v, 0, (xmm_t){.d = {0x00090003, 0x00020003, 7, 7}});
    vp_set_xmm(v, 3, (xmm_t){.d = {9, 9, 9, 9}});
    vp_set_gpr(v, RBX, 0xbbbb);
    cr_expect_eq(result(GET_REGISTERS | FAST | REPS(0, 2), SELF, VP_SELF), done(2, HV_STATUS_SUCCESS));
    cr_expect(vp_xmm(v, 1).q[0] == 0 && vp_xmm(v, 1).q[1] == 0);
    cr_expect(vp_xmm(v, 2).q[0] == 0xbbbb && vp_xmm(v, 2).q[1] == 0);
    cr_expect(vp_xmm(v, 0).d[2] == 7 && vp_xmm(v, 3).d[0] == 9, "and the others stay");
    cr_expect_eq(result(GET_REGISTERS | FAST | REPS(0, 9), SELF, VP_SELF), done(0, HV_STATUS_INVALID_HYPERCALL_INPUT));
}

Test(calls, every_named_register_reads_and_takes_back_what_it_read)
{
    for (size_t i = 0; i < register_row_count; i++) {
        uint64_t low;
        cr_expect_eq(read_register(1, register_rows[i].name, &low), done(1, HV_STATUS_SUCCESS), "%s", register_rows[i].title);
        uint64_t high = mem64(p, OUTPUT + 8);
        if (register_rows[i].set != NULL) {
            cr_expect_eq(write_register(1, register_rows[i].name, low, high), done(1, HV_STATUS_SUCCESS), "%s",
                         register_rows[i].title);
        }
    }
    static const uint32_t others[] = {0x00010004, 0x00040004, 0x00080000, 0x00080003, 0x0008000c};
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        uint64_t low;
        cr_expect_eq(read_register(1, others[i], &low), done(1, HV_STATUS_SUCCESS), "%x", others[i]);
    }
}

/* A synthetic register is the MSR of its name, and has none where the partition has no access to that. */
Test(calls, synthetic_registers_are_sorted_and_read_as_their_msrs)
{
    for (size_t i = 0; i < synthetic_register_count; i++) {
        const struct synthetic_register *r = &synthetic_registers[i];
        cr_expect(i == 0 || synthetic_registers[i - 1].name < r->name, "%s", r->title);
        uint64_t low, want = 0;
        uint64_t status = read_register(0, r->name, &low);
        if (r->leaf) {
            cr_expect_eq(status, done(1, HV_STATUS_SUCCESS), "%s", r->title);
        } else if (rd_outcome(p, 0, r->msr) == MSR_OK) {
            cr_expect_eq(status, done(1, HV_STATUS_SUCCESS), "%s", r->title);
            want = rd(p, 0, r->msr);
            cr_expect_eq(low, want, "%s", r->title);
        } else {
            cr_expect_eq(status, done(0, HV_STATUS_INVALID_PARAMETER), "%s", r->title);
        }
    }
}

Test(calls, registers_are_written_and_shown)
{
    cr_expect_eq(write_register(VP_SELF, 0x00080009, 0xffff800000001000, 0), done(1, HV_STATUS_SUCCESS));
    cr_expect_eq(state_of(0).lstar, 0xffff800000001000);
    cr_expect_eq(write_register(1, 0x00020010, 0x1000, 0), done(1, HV_STATUS_SUCCESS));
    cr_expect_eq(state_of(1).rip, 0x1000);
    cr_expect_eq(write_register(VP_SELF, 0x00040004, 9, 0), done(1, HV_STATUS_SUCCESS));
    cr_expect_eq(lapic_cr8(p->vps[0].vcpu), 9);
}

Test(calls, registers_refuse_values_that_no_vp_can_have)
{
    cr_expect_eq(write_register(VP_SELF, 0x00080009, 1ULL << 50, 0), done(0, HV_STATUS_INVALID_REGISTER_VALUE));
    cr_expect_eq(write_register(VP_SELF, 0x00020000, 0, 1), done(0, HV_STATUS_INVALID_REGISTER_VALUE));
    cr_expect_eq(write_register(VP_SELF, 0x00040003, 1ULL << 13, 0), done(0, HV_STATUS_INVALID_REGISTER_VALUE), "CR4.VMXE");
    cr_expect_eq(write_register(VP_SELF, 0x00040000, CR0_ET, 0), done(0, HV_STATUS_INVALID_REGISTER_VALUE), "LMA without PG");
    cr_expect_eq(write_register(VP_SELF, 0x00090003, 1, 0), done(0, HV_STATUS_INVALID_PARAMETER), "an MSR that is read only");
    cr_expect_eq(write_register(VP_SELF, 0x0008000d, 0x508, 0), done(0, HV_STATUS_INVALID_PARAMETER), "read only");
    cr_expect_eq(write_register(VP_SELF, 0xdead, 0, 0), done(0, HV_STATUS_INVALID_PARAMETER), "no such name");
    cr_expect_eq(write_register(3, 0x00020000, 0, 0), done(0, HV_STATUS_INVALID_VP_INDEX));
    cr_expect_eq(CALL(SET_REGISTERS | REPS(0, 1), SELF, 1ULL << 40, 0x00020000, 0, 0, 0), HV_STATUS_INVALID_PARAMETER, "RsvdZ");
    cr_expect_eq(CALL(GET_REGISTERS | REPS(0, 1), SELF, 0x11ULL << 32, 0x00020000), HV_STATUS_INVALID_PARAMETER, "VTL 1");
    cr_expect_eq(CALL(GET_REGISTERS | REPS(0, 1), 9, 0, 0x00020000), HV_STATUS_INVALID_PARTITION_ID);
}

/* 2.0a appendix B: a parent's calls, whatever privilege of a later text is announced. */
Test(calls_before_5_0, registers_and_translation_are_a_parents)
{
    static const char *const features[] = {"AccessVpRegisters", NULL};
    calls_begin("ws2008r2", 1, TRANSLATE_FRESH, features);
    for (unsigned code = GET_REGISTERS; code <= GET_REGISTERS + 2; code++) {
        cr_expect_eq(CALL(code | REPS(0, 1), SELF, VP_SELF, 0x00090003), HV_STATUS_ACCESS_DENIED, "%x", code);
    }
    calls_end();
}

/* ---- §7.10.3, §7.10.4 ---- */

/* The context of VP 0 with another RIP, for VP 1. */
static void start_input(uint64_t words[30])
{
    struct vp_state s = state_of(0);
    s.rip = 0x123000;
    memset(words, 0, 240);
    words[0] = SELF;
    words[1] = 1;
    static const uint32_t order[] = {0x20010, 0x20004, 0x20011, 0x60001, 0x60003, 0x60000, 0x60004, 0x60005, 0x60002,
                                     0x60007, 0x60006, 0x70000, 0x70001, 0x80001, 0x40000, 0x40002, 0x40003, 0x80004};
    unsigned n = 2;
    for (size_t i = 0; i < ARRAY_COUNT(order); i++) {
        const struct register_row *row = register_by_name(order[i]);
        struct register_value v = row->get(&s, row->argument);
        words[n++] = v.low;
        if (row->bits == 128) {
            words[n++] = v.high;
        }
    }
    cr_assert_eq(n, 30);
}

Test(calls, a_vp_starts_in_the_given_context)
{
    uint64_t words[30];
    start_input(words);
    cr_assert_eq(state_of(1).activity, VP_WAIT_SIPI);
    cr_expect_eq(call_words(START_VP, words, sizeof words), HV_STATUS_SUCCESS);
    struct vp_state a = state_of(0), b = state_of(1);
    cr_expect(b.activity == VP_RUNNING && b.rip == 0x123000 && b.gpr[RSP] == a.gpr[RSP] && b.cr3 == a.cr3);
    cr_expect(b.cr0 == a.cr0 && b.cr4 == a.cr4 && b.efer == a.efer && b.pat == a.pat);
    cr_expect(vp_in_64bit_mode(p->vps[1].vcpu) && b.gdtr.base == a.gdtr.base);
    cr_expect_eq(call_words(START_VP, words, sizeof words), HV_STATUS_INVALID_VP_STATE, "it runs");
}

Test(calls, a_start_is_refused_as_a_whole)
{
    struct {
        unsigned word;
        uint64_t value;
        hv_status_t want;
    } bad[] = {{0, 5, HV_STATUS_INVALID_PARTITION_ID},
               {1, 3, HV_STATUS_INVALID_VP_INDEX},
               {1, 0, HV_STATUS_INVALID_VP_STATE},
               {1, 1 | 1ULL << 32, HV_STATUS_INVALID_VTL_STATE},
               {2, 1ULL << 60, HV_STATUS_INVALID_REGISTER_VALUE}, /* Rip */
               {4, 0, HV_STATUS_INVALID_REGISTER_VALUE},          /* Rflags without bit 1 */
               {25, 1ULL << 7, HV_STATUS_INVALID_REGISTER_VALUE}, /* Efer */
               {26, CR0_PG | CR0_ET, HV_STATUS_INVALID_REGISTER_VALUE},
               {27, 1ULL << 60, HV_STATUS_INVALID_REGISTER_VALUE}, /* Cr3 */
               {28, 1ULL << 13, HV_STATUS_INVALID_REGISTER_VALUE}, /* Cr4 */
               {29, 2, HV_STATUS_INVALID_REGISTER_VALUE}};         /* Pat */
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        uint64_t words[30];
        start_input(words);
        words[bad[i].word] = bad[i].value;
        cr_expect_eq(call_words(START_VP, words, sizeof words), bad[i].want, "%zu", i);
        cr_expect(state_of(1).activity == VP_WAIT_SIPI && state_of(1).rip == 0xfff0, "%zu", i);
    }
}

Test(calls, vp_indices_are_found_by_apic_id)
{
    cr_expect_eq(CALL(FIND_VP | REPS(0, 3), SELF, 0, 2, 0xffffffff00000001, 50), done(2, HV_STATUS_INVALID_PARAMETER));
    cr_expect(mem64(p, OUTPUT) == 2 && mem64(p, OUTPUT + 8) == 1);
    cr_expect_eq(CALL(FIND_VP | REPS(0, 1), SELF, 1, 2), HV_STATUS_INVALID_VTL_STATE);
    cr_expect_eq(CALL(FIND_VP | REPS(0, 1), 3, 0, 2), HV_STATUS_INVALID_PARTITION_ID);
}

/* ---- the partition and its memory ---- */

Test(calls, the_partition_has_an_id_that_means_itself)
{
    cr_expect_eq(result(PARTITION_ID, 1, OUTPUT), HV_STATUS_SUCCESS);
    uint64_t id = mem64(p, OUTPUT), low;
    cr_expect(id != 0 && id != SELF);
    cr_expect_eq(CALL(GET_REGISTERS | REPS(0, 1), id, VP_SELF, 0x00090003), done(1, HV_STATUS_SUCCESS));
    cr_expect_eq(result(PARTITION_ID | FAST, 0, 0), HV_STATUS_SUCCESS);
    cr_expect(vp_gpr(p->vps[0].vcpu, RDX) == id && vp_gpr(p->vps[0].vcpu, R8) == 0, "output where no input is");
    cr_expect_eq(read_register(VP_SELF, 0x00090003, &low), done(1, HV_STATUS_SUCCESS));
}

Test(calls, extended_calls_are_those_of_the_capabilities)
{
    cr_expect_eq(result(QUERY, 1, OUTPUT), HV_STATUS_SUCCESS);
    cr_expect_eq(mem64(p, OUTPUT), 3);
    cr_expect_eq(result(QUERY, 1, OUTPUT + 4), HV_STATUS_INVALID_ALIGNMENT);
    cr_expect_eq(CALL(HEAT_HINT | REPS(0, 2), 1, 0, 0), done(2, HV_STATUS_SUCCESS));
    cr_expect_eq(CALL(HEAT_HINT | REPS(0, 2), 2, 0, 0), done(0, HV_STATUS_INVALID_PARAMETER));
    for (unsigned code = 0x8004; code < 0x8010; code++) {
        cr_expect_eq(result(code, INPUT, OUTPUT), HV_STATUS_INVALID_HYPERCALL_CODE);
    }
}

Test(calls, boot_zeroed_memory_is_zero)
{
    enum { TOP = 64 << 20 };
    set_mem64(p, TOP - 0x3000 - 8, 1);
    cr_expect_eq(result(BOOT_ZEROED, 1, OUTPUT), HV_STATUS_SUCCESS);
    cr_expect(mem64(p, OUTPUT) == 1 && mem64(p, OUTPUT + 8) == (TOP - 0x3000) >> 12 && mem64(p, OUTPUT + 16) == 3);
    set_mem64(p, TOP - 8, 1);
    cr_expect_eq(result(BOOT_ZEROED, 1, OUTPUT), HV_STATUS_SUCCESS);
    cr_expect(mem64(p, OUTPUT) == 0 && mem64(p, OUTPUT + 16) == 0);
}

/* ---- 2.0a §20.3: nobody takes what is posted, and nothing comes ---- */

Test(calls, debug_data_waits_until_it_is_purged)
{
    cr_expect_eq(CALL(POST_DEBUG, 100), HV_STATUS_SUCCESS);
    cr_expect_eq(mem64(p, OUTPUT), 100);
    cr_expect_eq(CALL(POST_DEBUG, 4088), HV_STATUS_SUCCESS);
    cr_expect_eq(CALL(POST_DEBUG, 4088), HV_STATUS_INSUFFICIENT_BUFFERS);
    cr_expect_eq(CALL(POST_DEBUG, 1ULL << 32), HV_STATUS_SUCCESS, "loop");
    cr_expect_eq(mem64(p, OUTPUT), 4188);
    cr_expect_eq(result(RESET_DEBUG | FAST, 1, 0), HV_STATUS_NO_DATA);
    cr_expect_eq(result(RESET_DEBUG | FAST, 3, 0), HV_STATUS_SUCCESS);
    cr_expect_eq(result(RESET_DEBUG | FAST, 2, 0), HV_STATUS_NO_DATA);
    cr_expect_eq(CALL(RETRIEVE_DEBUG, 16, 0), HV_STATUS_NO_DATA);
    cr_expect_eq(CALL(RETRIEVE_DEBUG, 16 | 2ULL << 32, 0), HV_STATUS_INACTIVE);
}

Test(calls, debug_calls_refuse_lengths_and_options)
{
    cr_expect_eq(CALL(POST_DEBUG, 4089), HV_STATUS_INVALID_PARAMETER);
    cr_expect_eq(CALL(POST_DEBUG, 2ULL << 32), HV_STATUS_INVALID_PARAMETER);
    cr_expect_eq(result(POST_DEBUG, INPUT + 0xff8, OUTPUT), HV_STATUS_SUCCESS);
    set_mem64(p, INPUT + 0xff8, 1);
    cr_expect_eq(result(POST_DEBUG, INPUT + 0xff8, OUTPUT), HV_STATUS_INVALID_PARAMETER, "data beyond the page");
    cr_expect_eq(CALL(RETRIEVE_DEBUG, 4089, 0), HV_STATUS_INVALID_PARAMETER);
    cr_expect_eq(CALL(RETRIEVE_DEBUG, 4ULL << 32, 0), HV_STATUS_INVALID_PARAMETER);
    cr_expect_eq(result(RESET_DEBUG | FAST, 0, 0), HV_STATUS_INVALID_PARAMETER);
    cr_expect_eq(result(RESET_DEBUG | FAST, 4, 0), HV_STATUS_INVALID_PARAMETER);
}

/* ---- privileges: each row, withheld; the status comes before anything else ---- */

Test(calls_withheld, every_gated_call_is_denied)
{
    for (size_t i = 0; i < hv_hypercall_row_count; i++) {
        const struct hypercall_row *row = &hv_hypercall_rows[i];
        if (row->gate == HV_FEATURES || row->since > EDITION_6_0 || (row->until != 0 && row->until < EDITION_6_0)) {
            continue;
        }
        char off[80];
        snprintf(off, sizeof off, "-%s", feature_rows[row->gate].name);
        const char *const features[] = {off, NULL};
        calls_begin("ws2019", 1, TRANSLATE_FRESH, features);
        cr_expect_eq(result(row->code | UINT64_MAX << 16, 1, 1), HV_STATUS_ACCESS_DENIED, "%s", row->name);
        calls_end();
    }
}

Test(calls, of_a_parent_or_the_root_are_denied)
{
    for (size_t i = 0; i < hv_hypercall_row_count; i++) {
        const struct hypercall_row *row = &hv_hypercall_rows[i];
        if (row->caller != CALLER_ANY && row->until == 0) {
            cr_expect_eq(result(row->code, 1, 1), HV_STATUS_ACCESS_DENIED, "%s", row->name);
        }
    }
}

/* ---- §3.6: output ---- */

Test(calls, output_must_be_aligned_in_one_page_writable_and_apart_from_the_input)
{
    cr_expect_eq(result(PARTITION_ID, 0, OUTPUT + 0xff8), HV_STATUS_SUCCESS);
    cr_expect_eq(result(PARTITION_ID, 0, OUTPUT + 0xffc), HV_STATUS_INVALID_ALIGNMENT);
    cr_expect_eq(result(PARTITION_ID, 0, 0xd0000000), HV_STATUS_INVALID_ALIGNMENT, "where no memory is");
    cr_expect_eq(result(PARTITION_ID, 0, 1ULL << 51), HV_STATUS_INVALID_ALIGNMENT);
    cr_expect_eq(result(PARTITION_ID, 0, PAGE), HV_STATUS_INVALID_ALIGNMENT, "the hypercall page");
    static const uint64_t words[] = {SELF, VP_SELF, 0x00090003};
    cr_assert(memory_write(p->machine->memory, gpa(INPUT), words, sizeof words));
    cr_expect_eq(result(GET_REGISTERS | REPS(0, 1), INPUT, INPUT + 16), HV_STATUS_INVALID_ALIGNMENT, "over the input");
    cr_expect_eq(result(GET_REGISTERS | REPS(0, 1), INPUT, INPUT + 24), done(1, HV_STATUS_SUCCESS), "behind the input");
}

Test(calls, xmm_registers_need_to_be_announced)
{
    static const char *const features[] = {"AccessPartitionId", "-XmmRegistersForFastHypercallAvailable",
                                           "-FastHypercallOutputAvailable", NULL};
    calls_end();
    calls_begin("ws2019", 1, TRANSLATE_FRESH, features);
    bool again;
    cr_expect_eq(call_again(2 | FAST, 0, 1, &again), VEC_UD, "24 bytes of input");
    cr_expect_eq(call_again(PARTITION_ID | FAST, 0, 1, &again), VEC_UD, "output");
    cr_expect_eq(result(PARTITION_ID, 0, OUTPUT), HV_STATUS_SUCCESS);
}
