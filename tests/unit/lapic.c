/* Local APIC registers, priorities, acceptance and EOI, as SDM 3A chapter 10 has them. */
#include "lapic_fixture.h"

enum {
    TPR = 0x080,
    PPR = 0x0a0,
    EOI = 0x0b0,
    LDR = 0x0d0,
    DFR = 0x0e0,
    SVR = 0x0f0,
    LVT_TIMER_REG = 0x320,
    LINT0 = 0x350,
    ERROR_LVT = 0x370
};

/* SDM 3A §10.4.7.1: the state after power-up. */
Test(lapic, power_up_masks_the_lvt_and_disables_by_software)
{
    struct bench *b = bench_create(2);
    for (uint32_t offset = LVT_TIMER_REG; offset <= ERROR_LVT; offset += 0x10) {
        cr_expect_eq(lapic_read(vp(b, 0), offset), 0x10000u, "LVT at %x", offset);
    }
    cr_expect_eq(lapic_read(vp(b, 0), SVR), 0xffu);
    cr_expect_eq(lapic_read(vp(b, 0), DFR), 0xffffffffu);
    cr_expect_eq(lapic_read(vp(b, 1), 0x020), 1u << 24, "the id is the VP's index");
    cr_expect_eq(lapic_read(vp(b, 0), 0x030) & 0xff, 0x14u, "an integrated APIC");
    bench_destroy(b);
}

/* SDM 3A §10.4.7.2: software-disabled, only INIT, NMI, SMI and SIPI are taken. */
Test(lapic, software_disabled_refuses_vectors_and_takes_nmi)
{
    struct bench *b = bench_create(1);
    cr_expect_not(lapic_interrupt(vp(b, 0), 0x40, false));
    cr_expect_eq(lapic_pending(vp(b, 0)), -1);
    cr_expect_eq(cpu_interrupt_message(b->cpu, 0, false, DELIVER_NMI, 0, false), 1u);
    cr_expect(vp(b, 0)->s.nmi_pending);
    bench_destroy(b);
}

/* SDM 3A §10.4.7.2: what stands in IRR when software disables stays there. */
Test(lapic, software_disable_keeps_requests_and_masks_the_lvt)
{
    struct bench *b = bench_create(1);
    struct vcpu *v = enabled_vp(b, 0);
    lapic_write(v, LINT0, 0x700);
    lapic_interrupt(v, 0x40, false);
    lapic_write(v, SVR, 0xff);
    cr_expect(requested(v, 0x40));
    cr_expect_eq(lapic_read(v, LINT0), 0x10700u);
    lapic_write(v, LINT0, 0x700);
    cr_expect_eq(lapic_read(v, LINT0), 0x10700u, "the mask bit cannot be cleared while disabled");
    bench_destroy(b);
}

/* SDM 3A §10.8.3.1: a vector is dispensed when its class is above the processor priority class. */
Test(lapic, every_class_is_held_back_by_its_own_and_higher_tpr_classes)
{
    struct bench *b = bench_create(1);
    struct vcpu *v = enabled_vp(b, 0);
    for (unsigned vector = 16; vector < 256; vector++) {
        lapic_interrupt(v, (uint8_t)vector, false);
        for (unsigned tpr = 0; tpr < 256; tpr++) {
            lapic_write(v, TPR, tpr);
            cr_expect_eq(lapic_pending(v), vector / 16 > tpr / 16 ? (int)vector : -1, "vector %x TPR %x", vector, tpr);
        }
        lapic_write(v, TPR, 0);
        lapic_acknowledge(v);
        lapic_write(v, EOI, 0);
    }
    bench_destroy(b);
}

/* SDM 3A §10.8.3.1: PPR[7:4] is the larger of TPR[7:4] and the class in service; PPR[3:0] is TPR's only if TPR's class is not
 * the smaller. */
Test(lapic, ppr_follows_tpr_and_the_vector_in_service)
{
    struct bench *b = bench_create(1);
    struct vcpu *v = enabled_vp(b, 0);
    for (unsigned vector = 16; vector < 256; vector += 7) {
        lapic_write(v, TPR, 0);
        lapic_interrupt(v, (uint8_t)vector, false);
        cr_assert_eq(lapic_acknowledge(v), vector);
        for (unsigned tpr = 0; tpr < 256; tpr += 3) {
            lapic_write(v, TPR, tpr);
            unsigned expected = tpr / 16 >= vector / 16 ? tpr : vector / 16 * 16;
            cr_expect_eq(lapic_read(v, PPR), expected, "TPR %x in service %x", tpr, vector);
        }
        lapic_write(v, EOI, 0);
    }
    bench_destroy(b);
}

/* SDM 3A §10.8.4: the highest vector first; a higher class nests, EOI ends the highest in service. */
Test(lapic, interrupts_nest_by_class_and_end_in_reverse)
{
    struct bench *b = bench_create(1);
    struct vcpu *v = enabled_vp(b, 0);
    lapic_interrupt(v, 0x35, false);
    lapic_interrupt(v, 0x52, false);
    lapic_interrupt(v, 0x58, false);
    cr_expect_eq(lapic_acknowledge(v), 0x58);
    cr_expect_eq(lapic_pending(v), -1, "0x52 is of the same class");
    lapic_interrupt(v, 0x61, false);
    cr_expect_eq(lapic_acknowledge(v), 0x61);
    lapic_eoi(v);
    cr_expect_not(in_service(v, 0x61));
    cr_expect(in_service(v, 0x58));
    lapic_eoi(v);
    cr_expect_eq(lapic_acknowledge(v), 0x52);
    lapic_eoi(v);
    cr_expect_eq(lapic_acknowledge(v), 0x35);
    bench_destroy(b);
}

/* SDM 3A §10.8.5: the EOI of a level-triggered interrupt is broadcast, of an edge-triggered one not. */
Test(lapic, eoi_reaches_the_ioapic_for_level_only)
{
    struct bench *b = bench_create(1);
    struct vcpu *v = enabled_vp(b, 0);
    lapic_interrupt(v, 0x41, true);
    lapic_acknowledge(v);
    lapic_write(v, EOI, 0);
    cr_expect_eq(b->eois, 1u);
    cr_expect_eq(b->last_eoi, 0x41);
    lapic_interrupt(v, 0x41, false);
    lapic_acknowledge(v);
    lapic_write(v, EOI, 0);
    cr_expect_eq(b->eois, 1u, "the same vector as an edge clears TMR");
    lapic_write(v, EOI, 0);
    cr_expect_eq(b->eois, 1u, "nothing in service: nothing ends");
    bench_destroy(b);
}

/* SDM 3A §10.5.2: vectors 0-15 are illegal, §10.5.3: receive illegal vector is bit 6. */
Test(lapic, illegal_vectors_set_esr_and_never_stand_in_irr)
{
    struct bench *b = bench_create(1);
    struct vcpu *v = enabled_vp(b, 0);
    for (unsigned vector = 0; vector < 16; vector++) {
        lapic_interrupt(v, (uint8_t)vector, false);
        cr_expect_eq(errors(v), 0x40u);
    }
    cr_expect_eq(lapic_read(v, 0x200), 0u);
    cr_expect_eq(lapic_pending(v), -1);
    bench_destroy(b);
}

/* SDM 3A §10.5.3: a write moves gathered errors into ESR and arms the error interrupt again. */
Test(lapic, error_interrupt_comes_once_until_esr_is_written)
{
    struct bench *b = bench_create(1);
    struct vcpu *v = enabled_vp(b, 0);
    lapic_write(v, ERROR_LVT, 0xfe);
    lapic_interrupt(v, 3, false);
    cr_expect_eq(lapic_acknowledge(v), 0xfe);
    lapic_eoi(v);
    cr_expect_eq(lapic_read(v, 0x280), 0u, "not before a write");
    lapic_interrupt(v, 3, false);
    cr_expect_eq(lapic_pending(v), -1);
    cr_expect_eq(errors(v), 0x40u);
    lapic_interrupt(v, 3, false);
    cr_expect_eq(lapic_pending(v), 0xfe);
    bench_destroy(b);
}

/* An error entry with an illegal vector is itself an error; it must not chase its tail. */
Test(lapic, error_entry_with_illegal_vector_ends)
{
    struct bench *b = bench_create(1);
    struct vcpu *v = enabled_vp(b, 0);
    lapic_write(v, ERROR_LVT, 0x05);
    lapic_read(v, 0x000);
    cr_expect_eq(errors(v), 0xc0u);
    bench_destroy(b);
}

/* SDM 3A §10.5.3: reserved offsets set bit 7; APR and RRD, which old processors had, do not (table 10-1). */
Test(lapic, reserved_offsets_are_illegal_registers)
{
    static const uint16_t reserved[] = {0x000, 0x010, 0x040, 0x070, 0x290, 0x2f0, 0x3a0, 0x3d0, 0x3f0, 0x400, 0xff0};
    struct bench *b = bench_create(1);
    struct vcpu *v = enabled_vp(b, 0);
    for (size_t i = 0; i < ARRAY_COUNT(reserved); i++) {
        cr_expect_eq(lapic_read(v, reserved[i]), 0u);
        cr_expect_eq(errors(v), 0x80u, "read %x", reserved[i]);
        lapic_write(v, reserved[i], 0xffffffff);
        cr_expect_eq(errors(v), 0x80u, "write %x", reserved[i]);
    }
    lapic_read(v, 0x090);
    lapic_read(v, 0x0c0);
    cr_expect_eq(errors(v), 0u);
    bench_destroy(b);
}

/* SDM 3A §10.8.6: CR8 is TPR[7:4]; a write clears TPR[3:0]. */
Test(lapic, cr8_is_the_task_priority_class)
{
    struct bench *b = bench_create(1);
    struct vcpu *v = enabled_vp(b, 0);
    lapic_write(v, TPR, 0x5f);
    cr_expect_eq(lapic_cr8(v), 5u);
    lapic_set_cr8(v, 9);
    cr_expect_eq(lapic_read(v, TPR), 0x90u);
    bench_destroy(b);
}

/* SDM 3A §10.9: an interrupt that is held back between request and acknowledge gives the spurious vector, without ISR. */
Test(lapic, vanished_interrupt_is_spurious)
{
    struct bench *b = bench_create(1);
    struct vcpu *v = enabled_vp(b, 0);
    lapic_interrupt(v, 0x40, false);
    lapic_write(v, TPR, 0x40);
    cr_expect_eq(lapic_acknowledge(v), 0xff);
    cr_expect(requested(v, 0x40));
    cr_expect_not(in_service(v, 0xff));
    bench_destroy(b);
}

/* SDM 3A §10.5.1, §10.4.3: the 8259 pair is heard through LINT0 as ExtINT, or when the local APIC is off. */
Test(lapic, extint_passes_through_lint0_or_a_disabled_apic)
{
    struct bench *b = bench_create(1);
    struct vcpu *v = enabled_vp(b, 0);
    cpu_set_extint(b->cpu, true);
    cr_expect_eq(lapic_pending(v), -1, "LINT0 is masked");
    lapic_write(v, LINT0, 0x700);
    lapic_write(v, TPR, 0xff);
    cr_expect_eq(lapic_pending(v), PENDING_EXTINT, "not subject to priorities");
    cr_expect_eq(lapic_acknowledge(v), 0x77);
    cr_expect_eq(b->extint_acks, 1u);
    lapic_write(v, LINT0, 0x10700);
    cr_expect_eq(lapic_pending(v), -1);
    cr_expect_eq(lapic_wrmsr(v, 0x1b, 0xfee00100), MSR_OK);
    cr_expect_eq(lapic_pending(v), PENDING_EXTINT);
    cpu_set_extint(b->cpu, false);
    cr_expect_eq(lapic_pending(v), -1);
    bench_destroy(b);
}

/* SDM 3A §10.5.1: LINT0 in fixed mode gives its own vector, at the edge. */
Test(lapic, fixed_lint0_gives_its_vector_at_the_edge)
{
    struct bench *b = bench_create(1);
    struct vcpu *v = enabled_vp(b, 0);
    lapic_write(v, LINT0, 0x33);
    cpu_set_extint(b->cpu, true);
    cr_expect_eq(lapic_acknowledge(v), 0x33);
    lapic_eoi(v);
    cpu_set_extint(b->cpu, true);
    cr_expect_eq(lapic_pending(v), -1, "the line is still up: no edge");
    cpu_set_extint(b->cpu, false);
    cpu_set_extint(b->cpu, true);
    cr_expect_eq(lapic_pending(v), 0x33);
    bench_destroy(b);
}

/* MP specification §3.6.2.2: the state in which firmware hands over. */
Test(lapic, virtual_wire_lets_the_8259_through)
{
    struct bench *b = bench_create(1);
    lapic_virtual_wire(vp(b, 0));
    cpu_set_extint(b->cpu, true);
    cr_expect_eq(lapic_pending(vp(b, 0)), PENDING_EXTINT);
    bench_destroy(b);
}

/* SDM 3A §10.6.2.2: LDR has its id in 31:24, DFR its model in 31:28; other bits are fixed. */
Test(lapic, ldr_and_dfr_keep_their_fixed_bits)
{
    struct bench *b = bench_create(1);
    struct vcpu *v = enabled_vp(b, 0);
    lapic_write(v, LDR, 0xffffffff);
    cr_expect_eq(lapic_read(v, LDR), 0xff000000u);
    lapic_write(v, DFR, 0);
    cr_expect_eq(lapic_read(v, DFR), 0x0fffffffu);
    bench_destroy(b);
}

/* An interrupt that can be delivered asks the VP to look; a halted one is told to its scheduler. */
Test(lapic, deliverable_interrupt_calls_attention)
{
    struct bench *b = bench_create(1);
    struct vcpu *v = enabled_vp(b, 0);
    v->attention = false;
    lapic_interrupt(v, 0x40, false);
    cr_expect(v->attention);
    cr_expect_eq(b->activities, 0u);
    v->s.activity = VP_HALTED;
    lapic_interrupt(v, 0x41, false);
    cr_expect_eq(b->activities, 1u);
    bench_destroy(b);
}

static void save_and_restore(struct bench *b, struct vcpu *v)
{
    struct state *s = state_begin_save();
    state_section(s, "lapic", 1);
    lapic_state(s, v);
    size_t length;
    uint8_t *bytes = state_finish_save(s, &length);
    state_end(s);
    struct lapic before = v->lapic;
    memset(&v->lapic, 0, sizeof v->lapic);
    struct state *r = state_begin_restore(bytes, length);
    state_section(r, "lapic", 1);
    lapic_state(r, v);
    cr_assert(state_finish_restore(r), "%s", state_error(r));
    state_end(r);
    free(bytes);
    cr_assert_eq(before.irr[7], v->lapic.irr[7]);
    cr_assert_eq(before.lvt[LVT_TIMER], v->lapic.lvt[LVT_TIMER]);
    cr_assert_eq(before.timer_start_cycle, v->lapic.timer_start_cycle);
    cr_assert_eq(before.tsc_deadline, v->lapic.tsc_deadline);
    cr_assert_eq(before.extint_message, v->lapic.extint_message);
}

/* Any sequence of register and MSR writes leaves a state that saves, restores and keeps its invariants. */
Test(lapic, hostile_writes_leave_a_possible_state)
{
    struct bench *b = bench_create(3);
    struct prng r = {7};
    for (unsigned i = 0; i < 60000; i++) {
        struct vcpu *v = vp(b, (unsigned)(prng_next(&r) % 3));
        uint64_t value = prng_next(&r), x;
        value = i % 3 == 0 ? value : i % 3 == 1 ? (uint32_t)value & 0x000fffff : value & 0xcff;
        switch (prng_next(&r) % 6) {
        case 0:
            lapic_wrmsr(v, 0x800 + prng_next(&r) % 0x48, value);
            break;
        case 1:
            lapic_rdmsr(v, 0x800 + prng_next(&r) % 0x48, &x);
            break;
        case 2:
            lapic_wrmsr(v, prng_next(&r) % 8 ? 0x6e0 : 0x1b, prng_next(&r) % 2 ? 0xfee00000 | (value & 0xd00) : value);
            break;
        case 3:
            if (lapic_pending(v) >= 0) {
                lapic_acknowledge(v);
            }
            advance_to(b, b->m->clock.cycle + value % 4096);
            break;
        default:
            if (lapic_mmio_gpa(v) != UINT64_MAX) {
                lapic_write(v, prng_next(&r) % 0x41 * 16, (uint32_t)value);
                lapic_read(v, prng_next(&r) % 0x41 * 16);
            }
        }
        cr_assert_eq((v->lapic.irr[0] | v->lapic.isr[0] | v->lapic.tmr[0]) & 0xffff, 0u);
        if (i % 100 == 0) {
            save_and_restore(b, v);
        }
    }
    bench_destroy(b);
}

static bool restores(struct vcpu *v)
{
    struct state *s = state_begin_save();
    state_section(s, "lapic", 1);
    lapic_state(s, v);
    size_t length;
    uint8_t *bytes = state_finish_save(s, &length);
    state_end(s);
    struct state *r = state_begin_restore(bytes, length);
    state_section(r, "lapic", 1);
    lapic_state(r, v);
    bool ok = state_ok(r);
    state_end(r);
    free(bytes);
    return ok;
}

/* A save file may come from an enemy: what no writes can produce is refused. */
Test(lapic, impossible_saved_states_are_refused)
{
    struct bench *b = bench_create(1);
    struct vcpu *v = vp(b, 0);
    const struct lapic good = v->lapic;
    cr_expect(restores(v));
#define REFUSED(change)                                                                                                        \
    v->lapic = good;                                                                                                           \
    v->lapic.change;                                                                                                           \
    cr_expect_not(restores(v), #change)
    REFUSED(base_msr = 0xfee00400);
    REFUSED(base_msr = 1ULL << 60 | 0x800);
    REFUSED(id = 5);
    REFUSED(tpr = 0x100);
    REFUSED(irr[0] = 1);
    REFUSED(isr[0] = 0x8000);
    REFUSED(timer_divide = 4);
    REFUSED(lvt[LVT_TIMER] = 0);
    REFUSED(lvt[LVT_TIMER] = 0x70000);
    REFUSED(lvt[LVT_CMCI] = 0);
    REFUSED(svr = 0x10000);
    REFUSED(icr_low = 0x1000);
    v->lapic = good;
    bench_destroy(b);
}
