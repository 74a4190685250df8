/* Hypercalls: who may call, control word, registers, input in memory. TLFS 6.0b §3. */
#include "tests/unit/tlfs_fixture.h"
#include "tlfs/hypercall.h"

#define PAGE 0x200000ULL
#define INPUT 0x300000ULL
enum { LONG_SPIN_WAIT = 0x0008, FAST = 1 << 16 };

static struct partition *p;

static void setup_profile(const char *profile)
{
    p = fresh(profile);
    uint8_t hlt = 0xf4;
    guest(p, BOOT_MODE_64, CODE, &hlt, 1);
    cr_assert(wr(p, 0, 0x40000000, 1) == MSR_OK && wr(p, 0, 0x40000001, PAGE | 1) == MSR_OK);
}
static void setup(void)
{
    setup_profile("ws2019");
}
static void teardown(void)
{
    partition_destroy(p);
}
TestSuite(hypercall, .init = setup, .fini = teardown);

/* A call by 64-bit registers; the vector raised, or -1 with the result in RAX. */
static int call(uint64_t control, uint64_t input, uint64_t output)
{
    struct vcpu *v = p->vps[0].vcpu;
    vp_set_gpr(v, RAX, 0x5555555555555555);
    vp_set_gpr(v, RCX, control);
    vp_set_gpr(v, RDX, input);
    vp_set_gpr(v, R8, output);
    bool again = true;
    int vector = hv_hypercall(p, v, false, &again);
    cr_expect_not(again);
    return vector;
}
static uint64_t result(uint64_t control, uint64_t input, uint64_t output)
{
    cr_assert_eq(call(control, input, output), -1);
    return vp_gpr(p->vps[0].vcpu, RAX);
}

/* §3.12.3 */
Test(hypercall, an_unknown_code_is_answered_whatever_its_arguments)
{
    static const uint64_t codes[] = {0,    5,    7,    0xa,   0x16,   0x3f,   0x71,   0x75,
                                     0x93, 0x98, 0xb1, 0xfff, 0x7fff, 0x8000, 0x8007, 0xffff};
    for (size_t i = 0; i < ARRAY_COUNT(codes); i++) {
        cr_expect_eq(result(codes[i], 1, UINT64_MAX), HV_STATUS_INVALID_HYPERCALL_CODE, "%llx", (unsigned long long)codes[i]);
        cr_expect_eq(result(codes[i] | UINT64_MAX << 16, 1, 1), HV_STATUS_INVALID_HYPERCALL_CODE);
    }
}

/* Requirements, "Hypercall Interface": a minimal hypervisor knows no call at all. */
Test(hypercall_minimal, every_code_is_unknown)
{
    setup_profile("hv1-minimal");
    for (uint64_t code = 0; code <= 0xffff; code++) {
        cr_assert_eq(result(code | FAST, 0, 0), HV_STATUS_INVALID_HYPERCALL_CODE);
    }
    teardown();
}

/* §14.5.1 */
Test(hypercall, long_spin_wait_succeeds_in_both_forms)
{
    cr_expect_eq(result(LONG_SPIN_WAIT | FAST, 0, UINT64_MAX), HV_STATUS_SUCCESS);
    cr_expect_eq(result(LONG_SPIN_WAIT | FAST, UINT64_MAX, 0), HV_STATUS_SUCCESS);
    cr_expect_eq(result(LONG_SPIN_WAIT, INPUT, UINT64_MAX), HV_STATUS_SUCCESS);
}

/* §3.7 */
Test(hypercall, each_reserved_bit_of_the_control_word_is_refused)
{
    for (unsigned bit = 27; bit < 64; bit++) {
        bool reserved = (bit <= 31) || (bit >= 44 && bit <= 47) || bit >= 60;
        uint64_t status = result(LONG_SPIN_WAIT | FAST | 1ULL << bit, 0, 0);
        cr_expect_eq(status, HV_STATUS_INVALID_HYPERCALL_INPUT, "bit %u: %s", bit,
                     reserved ? "reserved" : "reps of a simple call");
    }
}

/* §3.7.1 */
Test(hypercall, a_variable_header_is_refused_where_the_call_takes_none)
{
    for (unsigned bit = 17; bit <= 26; bit++) {
        cr_expect_eq(result(LONG_SPIN_WAIT | FAST | 1ULL << bit, 0, 0), HV_STATUS_INVALID_HYPERCALL_INPUT);
    }
}

/* §3.6 */
Test(hypercall, input_must_be_aligned_in_one_page_inside_the_gpa_space)
{
    uint64_t beyond = 1ULL << p->cpu_config.model.physical_bits;
    cr_expect_eq(result(LONG_SPIN_WAIT, INPUT + 4, 0), HV_STATUS_INVALID_ALIGNMENT);
    cr_expect_eq(result(LONG_SPIN_WAIT, INPUT + 0xff8, 0), HV_STATUS_SUCCESS, "a block that ends with its page");
    cr_expect_eq(result(LONG_SPIN_WAIT, INPUT + 0xffc, 0), HV_STATUS_INVALID_ALIGNMENT);
    cr_expect_eq(result(LONG_SPIN_WAIT, beyond, 0), HV_STATUS_INVALID_ALIGNMENT);
    cr_expect_eq(result(LONG_SPIN_WAIT, UINT64_MAX - 7, 0), HV_STATUS_INVALID_ALIGNMENT);
    cr_expect_eq(result(LONG_SPIN_WAIT, 0xd0000000, 0), HV_STATUS_INVALID_ALIGNMENT, "where no memory is");
}

/* §3.9: nothing but RAX changes. */
Test(hypercall, only_the_result_register_changes)
{
    struct vp_state before, after;
    struct vcpu *v = p->vps[0].vcpu;
    vp_get_state(v, &before);
    cr_assert_eq(result(LONG_SPIN_WAIT | FAST, 77, 88), HV_STATUS_SUCCESS);
    vp_get_state(v, &after);
    before.gpr[RAX] = HV_STATUS_SUCCESS;
    before.gpr[RCX] = LONG_SPIN_WAIT | FAST;
    before.gpr[RDX] = 77;
    before.gpr[R8] = 88;
    cr_expect_arr_eq(before.gpr, after.gpr, sizeof before.gpr);
    cr_expect(before.rflags == after.rflags && before.rip == after.rip);
}

/* §3.13: without the page the interface is not there. */
Test(hypercall, raises_ud_while_the_page_is_disabled)
{
    cr_assert(wr(p, 0, 0x40000001, PAGE) == MSR_OK);
    cr_expect_eq(call(LONG_SPIN_WAIT | FAST, 0, 0), VEC_UD);
}

static void with(void (*change)(struct vp_state *s))
{
    struct vp_state s;
    vp_get_state(p->vps[0].vcpu, &s);
    change(&s);
    cr_assert(vp_set_state(p->vps[0].vcpu, &s));
}
static void to_ring_3(struct vp_state *s)
{
    s->cpl = 3;
    s->seg[SEG_CS].selector |= 3;
    s->seg[SEG_SS].selector |= 3;
    s->seg[SEG_CS].attributes |= 3 << ATTR_DPL_SHIFT;
    s->seg[SEG_SS].attributes |= 3 << ATTR_DPL_SHIFT;
}

/* §3.5 */
Test(hypercall, raises_ud_outside_ring_0)
{
    with(to_ring_3);
    cr_expect_eq(call(LONG_SPIN_WAIT | FAST, 0, 0), VEC_UD);
}

/* ---- by guest code, through the page ---- */

/* mov ecx,0x10008; mov edx,5; xor r8d,r8d; mov rax,PAGE; call rax; hlt */
static const uint8_t code64[] = {0xb9, 8,    0,    1,    0, 0xba, 5,    0, 0,    0,    0x45, 0x31,
                                 0xc0, 0x48, 0xc7, 0xc0, 0, 0,    0x20, 0, 0xff, 0xd0, 0xf4};

static void guest_calls(enum cpu_vendor vendor, enum boot_mode mode, const uint8_t *code, size_t bytes)
{
    p = partition_of("ws2016", 1, GHZ, vendor);
    struct seen calls;
    see(p, "hypercall", &calls);
    guest(p, mode, CODE, code, bytes);
    cr_assert(wr(p, 0, 0x40000000, 1) == MSR_OK && wr(p, 0, 0x40000001, PAGE | 1) == MSR_OK);
    cr_expect(partition_run(p, 1000000) == PARTITION_END && p->machine->end == END_HALTED);
    cr_assert_eq(calls.count, 1);
    cr_expect_eq(calls.event[0].values[0], LONG_SPIN_WAIT);
    cr_expect_eq(calls.event[0].values[2], 5);
    struct vp_state s;
    vp_get_state(p->vps[0].vcpu, &s);
    cr_expect_eq(s.gpr[RAX], HV_STATUS_SUCCESS);
    cr_expect_eq(s.gpr[RSP], 0x80000, "CALL and RET balance");
    cr_expect_eq(s.rip, CODE + bytes);
}

Test(hypercall_guest, calls_through_the_page_with_vmmcall)
{
    guest_calls(VENDOR_AMD, BOOT_MODE_64, code64, sizeof code64);
    teardown();
}

Test(hypercall_guest, calls_through_the_page_with_vmcall)
{
    guest_calls(VENDOR_INTEL, BOOT_MODE_64, code64, sizeof code64);
    teardown();
}

/* §3.7: EDX:EAX control, EBX:ECX input, EDI:ESI output; the result comes in EDX:EAX. The same page serves.
 * mov eax,0x10008; xor edx,edx; xor ebx,ebx; mov ecx,5; xor edi,edi; mov esi,PAGE; call esi; hlt */
Test(hypercall_guest, calls_from_32_bit_code_pass_register_pairs)
{
    static const uint8_t code32[] = {0xb8, 8, 0,    1,    0,    0x31, 0xd2, 0x31, 0xdb, 0xb9, 5,    0,
                                     0,    0, 0x31, 0xff, 0xbe, 0,    0,    0x20, 0,    0xff, 0xd6, 0xf4};
    guest_calls(VENDOR_AMD, BOOT_MODE_32, code32, sizeof code32);
    cr_expect_eq(vp_gpr(p->vps[0].vcpu, RDX), 0);
    teardown();
}

/* §3.5: real mode is illegal. VMMCALL raises #UD; the handler (IVT entry 6 at 0000:0018) notes it. */
Test(hypercall_guest, from_real_mode_raises_ud)
{
    p = partition_of("ws2016", 1, GHZ, VENDOR_AMD);
    static const uint8_t code16[] = {0x0f, 0x01, 0xd9, 0xf4,
                                     0xbb, 0x34, 0x12, 0xf4}; /* vmmcall; hlt; handler: mov bx,0x1234; hlt */
    guest(p, BOOT_MODE_16, 0x8000, code16, sizeof code16);
    set_mem64(p, 6 * 4, 0x8004);
    cr_assert(wr(p, 0, 0x40000000, 1) == MSR_OK && wr(p, 0, 0x40000001, PAGE | 1) == MSR_OK);
    cr_expect(partition_run(p, 1000000) == PARTITION_END && p->machine->end == END_HALTED);
    cr_expect_eq(vp_gpr(p->vps[0].vcpu, RBX), 0x1234);
    teardown();
}

/* ---- the form: what the control word alone decides ---- */

static const struct hypercall_row simple = {.kind = HYPERCALL_SIMPLE}, rep = {.kind = HYPERCALL_REP},
                                  sized = {.kind = HYPERCALL_SIMPLE, .variable_header = true};
#define REPS(start, count) ((uint64_t)(start) << 48 | (uint64_t)(count) << 32)

Test(hypercall_form, a_simple_call_has_no_reps)
{
    cr_expect_eq(hypercall_form_check(&simple, EDITION_6_0, 0), HV_STATUS_SUCCESS);
    cr_expect_eq(hypercall_form_check(&simple, EDITION_6_0, REPS(0, 1)), HV_STATUS_INVALID_HYPERCALL_INPUT);
    cr_expect_eq(hypercall_form_check(&simple, EDITION_6_0, REPS(1, 0)), HV_STATUS_INVALID_HYPERCALL_INPUT);
}

Test(hypercall_form, a_rep_call_starts_below_its_count)
{
    cr_expect_eq(hypercall_form_check(&rep, EDITION_6_0, REPS(0, 0)), HV_STATUS_INVALID_HYPERCALL_INPUT);
    cr_expect_eq(hypercall_form_check(&rep, EDITION_6_0, REPS(0, 1)), HV_STATUS_SUCCESS);
    cr_expect_eq(hypercall_form_check(&rep, EDITION_6_0, REPS(2, 2)), HV_STATUS_INVALID_HYPERCALL_INPUT);
    cr_expect_eq(hypercall_form_check(&rep, EDITION_6_0, REPS(4094, 4095)), HV_STATUS_SUCCESS);
}

Test(hypercall_form, fast_rep_calls_came_with_6_0)
{
    cr_expect_eq(hypercall_form_check(&rep, EDITION_5_0, REPS(0, 1) | FAST), HV_STATUS_INVALID_HYPERCALL_INPUT);
    cr_expect_eq(hypercall_form_check(&rep, EDITION_6_0, REPS(0, 1) | FAST), HV_STATUS_SUCCESS);
}

Test(hypercall_form, the_variable_header_came_with_5_0)
{
    cr_expect_eq(hypercall_form_check(&sized, EDITION_5_0, 1 << 17), HV_STATUS_SUCCESS);
    cr_expect_eq(hypercall_form_check(&sized, EDITION_4_0, 1 << 17), HV_STATUS_INVALID_HYPERCALL_INPUT);
    cr_expect_eq(hypercall_control_of(0x3ff << 17).variable_header_qwords, 0x3ff);
}

/* §3.6 */
Test(hypercall_form, a_block_may_end_with_its_page_but_not_cross_it)
{
    cr_expect(hypercall_block_fits(0x1f00, 256));
    cr_expect_not(hypercall_block_fits(0x1f08, 256));
    cr_expect_not(hypercall_block_fits(0x1ff8, 16));
    cr_expect_not(hypercall_block_fits(0x1004, 16));
    cr_expect(hypercall_block_fits(0x1ff8, 8));
}

Test(hypercall_form, rows_are_sorted_cited_and_answered)
{
    for (size_t i = 0; i < hv_hypercall_row_count; i++) {
        const struct hypercall_row *r = &hv_hypercall_rows[i];
        const struct hypercall_row *before = i == 0 ? NULL : &hv_hypercall_rows[i - 1];
        cr_expect(i == 0 || before->code < r->code ||
                  (before->code == r->code && before->until != 0 && before->until < r->since));
        cr_expect(r->name != NULL && r->section != NULL, "%x", r->code);
        cr_expect(r->run != NULL || r->caller != CALLER_ANY || r->gate != HV_FEATURES || r->refusal != 0, "%x", r->code);
        cr_expect(r->run == NULL || (r->caller == CALLER_ANY && r->call_cycles != 0), "%x", r->code);
        bool list = r->kind == HYPERCALL_REP;
        cr_expect(r->run == NULL || list == (r->element_in_bytes + r->element_out_bytes != 0), "%x", r->code);
        cr_expect(r->run == NULL || list == (r->element_cycles != 0), "%x", r->code);
        cr_expect(r->input_bytes % 8 == 0 && r->output_bytes % 8 == 0 && r->input_bytes <= PAGE_BYTES, "%x", r->code);
        cr_expect(r->until == 0 || r->since <= r->until, "%x", r->code);
    }
}

/* §3.13: "Attempts to write to the hypercall page will result in a protection (#GP) exception", and the page stays as it was.
 * mov dword [PAGE],0x90; hlt. Handler of #GP: pop rax (the error code); mov ebx,0x13; hlt */
Test(hypercall_guest, a_store_to_the_page_raises_gp)
{
    enum { IDT = 0x700000 };
    static const uint8_t code[] = {0xc7, 0x04, 0x25, 0, 0, 0x20, 0, 0x90, 0, 0, 0, 0xf4, 0x58, 0xbb, 0x13, 0, 0, 0, 0xf4};
    p = partition_of("ws2016", 1, GHZ, VENDOR_AMD);
    guest(p, BOOT_MODE_64, CODE, code, sizeof code);
    set_mem64(p, IDT + 16 * VEC_GP, ((CODE + 12) & 0xffff) | 0x10ULL << 16 | 0x8e00ULL << 32 | (uint64_t)(CODE >> 16) << 48);
    struct vp_state s;
    vp_get_state(p->vps[0].vcpu, &s);
    s.idtr = (struct descriptor_table){IDT, 0xfff};
    cr_assert(vp_set_state(p->vps[0].vcpu, &s));
    cr_assert(wr(p, 0, 0x40000000, 1) == MSR_OK && wr(p, 0, 0x40000001, PAGE | 1) == MSR_OK);
    cr_expect(partition_run(p, 1000000) == PARTITION_END && p->machine->end == END_HALTED);
    cr_expect_eq(vp_gpr(p->vps[0].vcpu, RBX), 0x13);
    cr_expect_eq(vp_gpr(p->vps[0].vcpu, RAX), 0);
    cr_expect_eq((uint32_t)mem64(p, PAGE), 0xc3d9010f);
    teardown();
}
