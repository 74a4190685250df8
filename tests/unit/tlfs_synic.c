/* SynIC registers, pages and interrupts. TLFS 6.0b §11.8, §11.9, §11.5. */
#include "tests/unit/synic_fixture.h"

static void setup(void)
{
    synic_setup("ws2019");
}
static void teardown(void)
{
    partition_destroy(p);
}
TestSuite(synic, .init = setup, .fini = teardown);

/* ---- registers ---- */

/* §11.8.1-11.8.6 */
Test(synic, registers_after_creation_and_reset)
{
    for (int round = 0; round < 2; round++) {
        cr_expect(rd(p, 0, SCONTROL) == 0 && rd(p, 0, SIEFP) == 0 && rd(p, 0, SIMP) == 0 && rd(p, 0, EOM) == 0);
        cr_expect_eq(rd(p, 0, SVERSION), 1);
        for (unsigned sint = 0; sint < 16; sint++) {
            cr_expect_eq(rd(p, 0, SINT0 + sint), 0x10000);
        }
        synic_on(0, 2, 0x30);
        partition_reset(p);
    }
}

Test(synic, each_vp_has_its_own_registers)
{
    synic_on(1, 5, 0x30);
    cr_expect(rd(p, 0, SCONTROL) == 0 && rd(p, 0, SIMP) == 0 && rd(p, 0, SIEFP) == 0 && rd(p, 0, SINT0 + 5) == 0x10000);
}

/* §11.8.2 */
Test(synic, the_version_cannot_be_written)
{
    cr_expect(wr(p, 0, SVERSION, 1) == MSR_GP);
}

/* RsvdP: kept as written. */
Test(synic, reserved_bits_are_kept)
{
    static const struct {
        uint32_t msr;
        uint64_t value;
    } rows[] = {{SCONTROL, ~0ULL}, {SIEFP, SIEF_AT | 0xfff}, {SIMP, SIM_AT | 0xfff}, {SINT0 + 7, ~0xffULL | 0x10}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        cr_expect(wr(p, 0, rows[i].msr, rows[i].value) == MSR_OK);
        cr_expect_eq(rd(p, 0, rows[i].msr), rows[i].value, "%x", rows[i].msr);
    }
}

/* §11.8.5: 16 to 255. Masked, the vector means nothing, as the reset value shows. */
Test(synic, vectors_below_16_raise_gp_and_keep_the_register)
{
    cr_assert(wr(p, 0, SINT0 + 4, 0x45) == MSR_OK);
    for (uint64_t vector = 0; vector < 16; vector++) {
        cr_expect(wr(p, 0, SINT0 + 4, vector) == MSR_GP && wr(p, 0, SINT0 + 4, vector | AUTO_EOI | POLLING) == MSR_GP);
    }
    cr_expect_eq(rd(p, 0, SINT0 + 4), 0x45);
    cr_expect(wr(p, 0, SINT0 + 4, 0x10000) == MSR_OK && wr(p, 0, SINT0 + 4, 0x10) == MSR_OK &&
              wr(p, 0, SINT0 + 4, 0xff) == MSR_OK);
}

Test(synic, registers_around_the_block_are_not_there)
{
    for (uint32_t msr = 0x40000085; msr < SINT0; msr++) {
        cr_expect(rd_outcome(p, 0, msr) == MSR_NOT_MINE && wr(p, 0, msr, 0) == MSR_NOT_MINE);
    }
}

/* §4.2.2: AccessSynicRegs. */
Test(synic, without_the_privilege_every_access_faults)
{
    const char *why;
    cr_assert(profile_set(&p->profile, "AccessSynicRegs", false, &why));
    for (uint32_t msr = SCONTROL; msr < SINT0 + 16; msr += msr == EOM ? SINT0 - EOM : 1) {
        cr_expect(rd_outcome(p, 0, msr) == MSR_GP && wr(p, 0, msr, 0x20) == MSR_GP, "%x", msr);
    }
}

/* ---- pages ---- */

/* §11.9, §5.2.1: an overlay hides RAM and gives it back; its bytes are its own, and stay while it is away. */
Test(synic, pages_are_overlays_that_keep_their_bytes)
{
    static const uint32_t msrs[] = {SIMP, SIEFP};
    for (size_t i = 0; i < ARRAY_COUNT(msrs); i++) {
        set_mem64(p, 0x400000, 0x1111);
        set_mem64(p, 0x500000, 0x2222);
        cr_assert(wr(p, 0, msrs[i], 0x400001) == MSR_OK);
        cr_expect_eq(mem64(p, 0x400000), 0);
        set_mem64(p, 0x400000, 0x3333);
        cr_assert(wr(p, 0, msrs[i], 0x500001) == MSR_OK);
        cr_expect(mem64(p, 0x400000) == 0x1111 && mem64(p, 0x500000) == 0x3333);
        cr_assert(wr(p, 0, msrs[i], 0x500000) == MSR_OK);
        cr_expect_eq(mem64(p, 0x500000), 0x2222);
        cr_assert(wr(p, 0, msrs[i], 0x400001) == MSR_OK);
        cr_expect_eq(mem64(p, 0x400000), 0x3333);
        partition_reset(p);
        cr_expect_eq(mem64(p, 0x400000), 0x1111);
        cr_assert(wr(p, 0, msrs[i], 0x400001) == MSR_OK);
        cr_expect_eq(mem64(p, 0x400000), 0, "zero after a reset");
        cr_assert(wr(p, 0, msrs[i], 0) == MSR_OK);
    }
}

/* §11.8.3, §11.8.4: no fault, no access; what is delivered there is unseen and occupies the slot. */
Test(synic, a_page_beyond_the_gpa_space_is_not_accessible)
{
    cr_assert(wr(p, 0, SIMP, 0xfff0000000000001) == MSR_OK && wr(p, 0, SIEFP, 0xffffffffffffffff) == MSR_OK);
    cr_assert(wr(p, 0, SINT0 + 2, 0x50) == MSR_OK && wr(p, 0, SCONTROL, 1) == MSR_OK);
    cr_expect(post(0, 2, 7) == HV_STATUS_SUCCESS && host_signal(p, 0, 2, 9) == HV_STATUS_SUCCESS && irr(p, 0, 0x50));
    cr_assert(wr(p, 0, SIMP, sim_at(0) | 1) == MSR_OK);
    cr_expect_eq(slot_of(0, 2).type, 7);
}

/* Undefined by §11.9; nothing may break, and the page placed last is seen. */
Test(synic, pages_may_lie_on_each_other_and_on_mmio)
{
    static const uint64_t at[] = {0x300000, 0, 0xfee00000, 0xfec00000, 0xa0000};
    for (size_t i = 0; i < ARRAY_COUNT(at); i++) {
        cr_assert(wr(p, 0, 0x40000000, 1) == MSR_OK && wr(p, 0, 0x40000001, at[i] | 1) == MSR_OK);
        cr_assert(wr(p, 1, SIEFP, at[i] | 1) == MSR_OK && wr(p, 0, SIEFP, at[i] | 1) == MSR_OK);
        cr_assert(wr(p, 0, SIMP, at[i] | 1) == MSR_OK && wr(p, 0, SINT0 + 2, 0x50) == MSR_OK &&
                  wr(p, 0, SCONTROL, 1) == MSR_OK);
        cr_expect_eq(post(0, 2, 7), HV_STATUS_SUCCESS);
        uint32_t type = 0;
        cr_expect(memory_read(p->machine->memory, gpa(at[i] + 512), &type, 4) && type == 7);
        partition_reset(p);
        apic_on(p);
    }
}

/* ---- interrupts of SINTs ---- */

/* §11.8.5, §11.4: masked, the message comes and the interrupt is lost: unmasking does not bring it back. */
Test(synic, a_masked_sint_loses_its_interrupt)
{
    synic_on(0, 2, 0x50 | MASKED);
    cr_expect_eq(post(0, 2, 7), HV_STATUS_SUCCESS);
    cr_expect(slot_of(0, 2).type == 7 && !irr(p, 0, 0x50));
    cr_assert(wr(p, 0, SINT0 + 2, 0x50) == MSR_OK);
    cr_expect_not(irr(p, 0, 0x50));
}

/* §11.8.5: polling unmasks, without an interrupt. */
Test(synic, a_polled_sint_takes_messages_and_events_without_interrupt)
{
    static const uint64_t values[] = {0x50 | POLLING, 0x50 | POLLING | MASKED};
    for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
        synic_on(0, 2, values[i]);
        cr_expect(post(0, 2, 7) == HV_STATUS_SUCCESS && host_signal(p, 0, 2, (unsigned)i) == HV_STATUS_SUCCESS);
        cr_expect(slot_of(0, 2).type == 7 && flag_of(0, 2, (unsigned)i) && !irr(p, 0, 0x50));
        slot_free(0, 2);
    }
}

/* Before 5.0 the bit is one of RsvdP. */
Test(synic_2_0, bit_18_means_nothing)
{
    synic_setup("ws2008r2");
    synic_on(0, 2, 0x50 | POLLING);
    cr_expect_eq(rd(p, 0, SINT0 + 2), 0x50 | POLLING);
    cr_expect(post(0, 2, 7) == HV_STATUS_SUCCESS && irr(p, 0, 0x50));
    teardown();
}

/* §11.4: "If the APIC is software disabled ... the interrupt is lost." */
Test(synic, a_disabled_local_apic_loses_the_interrupt)
{
    synic_on(0, 2, 0x50);
    lapic_write(p->vps[0].vcpu, 0xf0, 0xff);
    cr_expect_eq(post(0, 2, 7), HV_STATUS_SUCCESS);
    lapic_write(p->vps[0].vcpu, 0xf0, 0x1ff);
    cr_expect(slot_of(0, 2).type == 7 && !irr(p, 0, 0x50));
}

Test(synic, interrupts_are_edges_of_the_sints_own_vector)
{
    synic_on(0, 2, 0x50);
    synic_on(0, 3, 0x51);
    cr_expect_eq(post(0, 3, 7), HV_STATUS_SUCCESS);
    cr_expect(irr(p, 0, 0x51) && !irr(p, 0, 0x50) && !irr(p, 1, 0x51));
    cr_expect_eq(vp_lapic(p->vps[0].vcpu)->tmr[0x51 / 32], 0);
}

Test(synic, sints_may_share_a_vector)
{
    synic_on(0, 2, 0x50);
    synic_on(0, 3, 0x50);
    cr_expect(post(0, 2, 7) == HV_STATUS_SUCCESS && irr(p, 0, 0x50));
    irr_clear(p, 0, 0x50);
    cr_expect(post(0, 3, 8) == HV_STATUS_SUCCESS && irr(p, 0, 0x50));
    cr_expect(slot_of(0, 2).type == 7 && slot_of(0, 3).type == 8);
}

/* §11.8.5: with AutoEOI the bit in the ISR is cleared at delivery, without it it waits for the guest. */
Test(synic, auto_eoi_leaves_nothing_in_service)
{
    struct vcpu *v = p->vps[0].vcpu;
    synic_on(0, 2, 0x50 | AUTO_EOI);
    cr_expect(post(0, 2, 7) == HV_STATUS_SUCCESS && lapic_acknowledge(v) == 0x50 && !in_service(0, 0x50));
    slot_free(0, 2);
    cr_assert(wr(p, 0, SINT0 + 2, 0x50) == MSR_OK);
    cr_expect(post(0, 2, 8) == HV_STATUS_SUCCESS && lapic_acknowledge(v) == 0x50 && in_service(0, 0x50));
    cr_assert(wr(p, 0, SINT0 + 2, 0x50 | AUTO_EOI) == MSR_OK);
    cr_expect(in_service(0, 0x50), "one in flight still wants its EOI");
    lapic_eoi(v);
    cr_expect_not(in_service(0, 0x50));
}

Test(synic, auto_eoi_of_a_masked_or_polled_sint_or_another_vector_does_nothing)
{
    static const uint64_t values[] = {0x50 | AUTO_EOI | MASKED, 0x50 | AUTO_EOI | POLLING, 0x51 | AUTO_EOI, 0x50};
    for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
        cr_assert(wr(p, 0, SINT0 + 2, values[i]) == MSR_OK);
        lapic_interrupt(p->vps[0].vcpu, 0x50, false);
        cr_expect(lapic_acknowledge(p->vps[0].vcpu) == 0x50 && in_service(0, 0x50), "%zu", i);
        lapic_eoi(p->vps[0].vcpu);
    }
}

/* ---- event flags, §11.5 ---- */

Test(synic, a_flag_is_one_bit_of_the_sints_256_bytes)
{
    static const unsigned flags[] = {0, 1, 7, 8, 9, 1000, 2047};
    synic_on(0, 2, 0x50);
    for (size_t i = 0; i < ARRAY_COUNT(flags); i++) {
        cr_expect_eq(host_signal(p, 0, 2, flags[i]), HV_STATUS_SUCCESS);
        cr_expect(flag_of(0, 2, flags[i]));
    }
    unsigned set = 0;
    for (unsigned bit = 0; bit < 16 * 2048; bit++) {
        set += flag_of(0, bit / 2048, bit % 2048);
    }
    cr_expect_eq(set, ARRAY_COUNT(flags));
}

Test(synic, only_a_flag_that_was_clear_interrupts)
{
    synic_on(0, 2, 0x50);
    cr_assert(host_signal(p, 0, 2, 9) == HV_STATUS_SUCCESS && irr(p, 0, 0x50));
    irr_clear(p, 0, 0x50);
    cr_expect(host_signal(p, 0, 2, 9) == HV_STATUS_SUCCESS && !irr(p, 0, 0x50), "set already");
    cr_expect(host_signal(p, 0, 2, 10) == HV_STATUS_SUCCESS && irr(p, 0, 0x50), "another one");
    irr_clear(p, 0, 0x50);
    cr_assert(wr(p, 0, EOM, 0) == MSR_OK);
    cr_expect_not(irr(p, 0, 0x50), "events are not queued");
    set_mem64(p, SIEF_AT + 512, 0);
    cr_expect(host_signal(p, 0, 2, 9) == HV_STATUS_SUCCESS && irr(p, 0, 0x50), "cleared by the guest");
}

Test(synic, no_flag_is_set_where_none_is_taken)
{
    static const struct {
        uint32_t msr;
        uint64_t value;
    } off[] = {{SCONTROL, 0}, {SIEFP, SIEF_AT}, {SINT0 + 2, 0x50 | MASKED}};
    for (size_t i = 0; i < ARRAY_COUNT(off); i++) {
        synic_on(0, 2, 0x50);
        cr_assert(wr(p, 0, off[i].msr, off[i].value) == MSR_OK);
        cr_expect_eq(host_signal(p, 0, 2, 9), HV_STATUS_INVALID_SYNIC_STATE, "%zu", i);
        synic_on(0, 2, 0x50);
        cr_expect(!flag_of(0, 2, 9) && !irr(p, 0, 0x50));
    }
    cr_assert(wr(p, 0, SIMP, 0) == MSR_OK);
    cr_expect_eq(host_signal(p, 0, 2, 9), HV_STATUS_SUCCESS, "the message page has no part in it");
}
