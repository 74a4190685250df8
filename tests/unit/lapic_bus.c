/* IPIs, bus messages, destinations, INIT and SIPI, x2APIC mode. SDM 3A §10.6, §10.11, §10.12, §8.4. */
#include "lapic_fixture.h"

enum { LDR = 0x0d0, DFR = 0x0e0, ICR = 0x300, ICR_HIGH = 0x310 };

static void send_xapic(struct vcpu *v, uint8_t destination, uint32_t low)
{
    lapic_write(v, ICR_HIGH, (uint32_t)destination << 24);
    lapic_write(v, ICR, low);
}

static struct bench *bench_all_enabled(unsigned vps)
{
    struct bench *b = bench_create(vps);
    for (unsigned i = 0; i < vps; i++) {
        enabled_vp(b, i);
    }
    return b;
}

/* Which VPs have the vector requested, as a mask; and forget it. */
static uint64_t take(struct bench *b, uint8_t vector)
{
    uint64_t mask = 0;
    for (unsigned i = 0; i < cpu_vps(b->cpu); i++) {
        uint32_t *word = &vp(b, i)->lapic.irr[vector / 32];
        mask |= (uint64_t)(*word >> (vector % 32) & 1) << i;
        *word = 0;
    }
    return mask;
}

/* SDM 3A §10.6.2.1: physical mode names one APIC id; 0xFF is everybody. */
Test(lapic_bus, physical_destination_is_one_id_or_everybody)
{
    struct bench *b = bench_all_enabled(5);
    send_xapic(vp(b, 0), 3, 0x40);
    cr_expect_eq(take(b, 0x40), 1u << 3);
    send_xapic(vp(b, 0), 0xff, 0x40);
    cr_expect_eq(take(b, 0x40), 0x1fu);
    send_xapic(vp(b, 0), 9, 0x40);
    cr_expect_eq(take(b, 0x40), 0u, "nobody has that id");
    cr_expect_eq(errors(vp(b, 0)), 0u, "and nobody complains");
    bench_destroy(b);
}

/* SDM 3A §10.6.2.2, flat model: any common bit of destination and LDR. */
Test(lapic_bus, flat_logical_destination_matches_any_common_bit)
{
    struct bench *b = bench_all_enabled(8);
    for (unsigned i = 0; i < 8; i++) {
        lapic_write(vp(b, i), LDR, 1u << (24 + i));
    }
    for (unsigned destination = 0; destination < 256; destination++) {
        send_xapic(vp(b, 2), (uint8_t)destination, 1 << 11 | 0x51);
        cr_expect_eq(take(b, 0x51), destination, "destination %x", destination);
    }
    bench_destroy(b);
}

/* SDM 3A §10.6.2.2, cluster model: the high nibble names the cluster (15: all), the low one members. */
Test(lapic_bus, cluster_logical_destination_matches_cluster_and_member)
{
    struct bench *b = bench_all_enabled(8);
    for (unsigned i = 0; i < 8; i++) {
        lapic_write(vp(b, i), DFR, 0);
        lapic_write(vp(b, i), LDR, (i / 4) << 28 | 1u << (24 + i % 4));
    }
    for (unsigned destination = 0; destination < 255; destination++) {
        unsigned cluster = destination >> 4, members = destination & 0xf;
        uint64_t expected = cluster == 15 ? members | members << 4 : cluster < 2 ? members << 4 * cluster : 0;
        send_xapic(vp(b, 0), (uint8_t)destination, 1 << 11 | 0x51);
        cr_expect_eq(take(b, 0x51), expected, "destination %x", destination);
    }
    bench_destroy(b);
}

/* SDM 3A table 10-3: shorthands need no destination. */
Test(lapic_bus, shorthands_mean_self_all_and_others)
{
    struct bench *b = bench_all_enabled(4);
    send_xapic(vp(b, 2), 0, 1u << 18 | 0x61);
    cr_expect_eq(take(b, 0x61), 1u << 2);
    send_xapic(vp(b, 2), 0, 2u << 18 | 0x61);
    cr_expect_eq(take(b, 0x61), 0xfu);
    send_xapic(vp(b, 2), 0, 3u << 18 | 0x61);
    cr_expect_eq(take(b, 0x61), 0xbu);
    bench_destroy(b);
}

/* SDM 3A §10.6.2.4: the lowest priority wins; here, among equals, the lowest index. */
Test(lapic_bus, lowest_priority_goes_to_the_least_busy)
{
    struct bench *b = bench_all_enabled(3);
    lapic_write(vp(b, 0), 0x080, 0x50);
    lapic_write(vp(b, 1), 0x080, 0x30);
    lapic_write(vp(b, 2), 0x080, 0x30);
    cr_expect_eq(cpu_interrupt_message(b->cpu, 0xff, false, DELIVER_LOWEST, 0x61, false), 1u);
    cr_expect_eq(take(b, 0x61), 1u << 1);
    lapic_write(vp(b, 1), 0x0f0, 0xff);
    cpu_interrupt_message(b->cpu, 0xff, false, DELIVER_LOWEST, 0x61, false);
    cr_expect_eq(take(b, 0x61), 1u << 2, "a disabled one does not take part");
    bench_destroy(b);
}

/* SDM 3A §10.5.3: an ICR write with a vector below 16 is a send error, and nothing is sent. */
Test(lapic_bus, illegal_vector_is_a_send_error)
{
    struct bench *b = bench_all_enabled(2);
    send_xapic(vp(b, 0), 1, 0x0f);
    cr_expect_eq(errors(vp(b, 0)), 0x20u);
    cr_expect_eq(errors(vp(b, 1)), 0u);
    bench_destroy(b);
}

/* SDM 3A §10.6.1: delivery status (bit 12) reads idle; reserved bits are not kept. */
Test(lapic_bus, icr_reads_back_idle)
{
    struct bench *b = bench_all_enabled(2);
    send_xapic(vp(b, 0), 1, 0xfff33fff & ~0x700u);
    cr_expect_eq(lapic_read(vp(b, 0), ICR), 0x000008ffu);
    cr_expect_eq(lapic_read(vp(b, 0), ICR_HIGH), 1u << 24);
    bench_destroy(b);
}

/* SDM 3A §8.4.3: INIT, then SIPI; the start-up vector counts only for who waits. */
Test(lapic_bus, sipi_is_taken_by_who_waits_for_it)
{
    struct bench *b = bench_all_enabled(2);
    cr_assert_eq(vp(b, 1)->s.activity, VP_WAIT_SIPI);
    cr_expect_not(vp_runnable(vp(b, 1)));
    send_xapic(vp(b, 0), 1, 0x4600 | 0x9a);
    cr_expect(vp(b, 1)->s.sipi_pending);
    cr_expect_eq(vp(b, 1)->s.sipi_vector, 0x9a);
    cr_expect(vp_runnable(vp(b, 1)));
    vp(b, 1)->s.sipi_pending = false;
    vp(b, 1)->s.activity = VP_RUNNING;
    send_xapic(vp(b, 0), 1, 0x4600 | 0x9b);
    cr_expect_not(vp(b, 1)->s.sipi_pending, "a running VP ignores it");
    bench_destroy(b);
}

/* SDM 3A §10.6.1: INIT; its level de-assert form does nothing since the Pentium 4. */
Test(lapic_bus, init_asserts_and_its_deassert_does_nothing)
{
    struct bench *b = bench_all_enabled(2);
    vp(b, 1)->s.activity = VP_RUNNING;
    send_xapic(vp(b, 0), 1, 0x8500);
    cr_expect_not(vp(b, 1)->s.init_pending);
    send_xapic(vp(b, 0), 1, 0xc500);
    cr_expect(vp(b, 1)->s.init_pending);
    send_xapic(vp(b, 0), 1, 0x4600 | 0x12);
    cr_expect(vp(b, 1)->s.sipi_pending, "SIPI may follow before the INIT was served");
    send_xapic(vp(b, 0), 1, 0x4500);
    cr_expect_not(vp(b, 1)->s.sipi_pending, "an INIT forgets the SIPI before it");
    bench_destroy(b);
}

/* SDM 3A §8.4.1: the bootstrap processor does not wait for SIPI after INIT. */
Test(lapic_bus, bootstrap_processor_takes_no_sipi)
{
    struct bench *b = bench_all_enabled(2);
    send_xapic(vp(b, 1), 0, 0x4500);
    send_xapic(vp(b, 1), 0, 0x4612);
    cr_expect(vp(b, 0)->s.init_pending);
    cr_expect_not(vp(b, 0)->s.sipi_pending);
    bench_destroy(b);
}

/* SDM 3A §10.6.1: NMI ignores the vector; SMI and the reserved modes have no effect here. */
Test(lapic_bus, nmi_is_delivered_and_reserved_modes_are_not)
{
    struct bench *b = bench_all_enabled(2);
    static const uint32_t without_effect[] = {0x200, 0x300, 0x700};
    for (size_t i = 0; i < ARRAY_COUNT(without_effect); i++) {
        send_xapic(vp(b, 0), 1, without_effect[i] | 0x40);
        cr_expect_not(vp(b, 1)->s.nmi_pending);
        cr_expect_eq(take(b, 0x40), 0u);
        cr_expect_eq(lapic_pending(vp(b, 1)), -1);
    }
    send_xapic(vp(b, 0), 1, 0x400);
    cr_expect(vp(b, 1)->s.nmi_pending);
    bench_destroy(b);
}

/* SDM 3A §10.4.3: a local APIC that is globally disabled hears nothing of the bus. */
Test(lapic_bus, globally_disabled_hears_nothing)
{
    struct bench *b = bench_all_enabled(2);
    cr_assert_eq(lapic_wrmsr(vp(b, 1), 0x1b, 0xfee00000), MSR_OK);
    cr_expect_eq(cpu_interrupt_message(b->cpu, 1, false, DELIVER_FIXED, 0x40, false), 0u);
    cr_expect_eq(cpu_interrupt_message(b->cpu, 1, false, DELIVER_NMI, 0, false), 0u);
    cr_expect_eq(cpu_interrupt_message(b->cpu, 1, false, DELIVER_INIT, 0, false), 0u);
    bench_destroy(b);
}

/* SDM 3A §10.11: a message carries its trigger mode into TMR. */
Test(lapic_bus, level_messages_set_tmr)
{
    struct bench *b = bench_all_enabled(1);
    cpu_interrupt_message(b->cpu, 0, false, DELIVER_FIXED, 0x45, true);
    cr_expect_eq(lapic_read(vp(b, 0), 0x1a0), 1u << 5);
    cpu_interrupt_message(b->cpu, 0, false, DELIVER_FIXED, 0x45, false);
    cr_expect_eq(lapic_read(vp(b, 0), 0x1a0), 0u);
    bench_destroy(b);
}

/* An IOAPIC entry in ExtINT mode: the vector comes from the 8259 pair, once. */
Test(lapic_bus, extint_message_is_acknowledged_once)
{
    struct bench *b = bench_all_enabled(1);
    cr_expect_eq(cpu_interrupt_message(b->cpu, 0, false, DELIVER_EXTINT, 0, false), 1u);
    cr_expect_eq(lapic_pending(vp(b, 0)), PENDING_EXTINT);
    cr_expect_eq(lapic_acknowledge(vp(b, 0)), 0x77);
    cr_expect_eq(lapic_pending(vp(b, 0)), -1);
    bench_destroy(b);
}

/* ---- modes: SDM 3A figure 10-27 ---- */

enum { OFF, INVALID, XAPIC, X2APIC }; /* bits 11 and 10 */

static uint64_t base_of(unsigned mode)
{
    return 0xfee00000 | (uint64_t)(mode >> 1) << 11 | (uint64_t)(mode & 1) << 10;
}

static void reach(struct vcpu *v, unsigned mode)
{
    lapic_wrmsr(v, 0x1b, base_of(OFF));
    if (mode != OFF) {
        lapic_wrmsr(v, 0x1b, base_of(XAPIC));
    }
    lapic_wrmsr(v, 0x1b, base_of(mode));
    cr_assert_eq(v->lapic.base_msr & 0xc00, base_of(mode) & 0xc00);
}

Test(lapic_modes, transitions_are_those_of_the_figure)
{
    static const bool legal[4][4] = {
        /* to:      OFF   INVALID XAPIC  X2APIC */
        [OFF] = {true, false, true, false},
        [XAPIC] = {true, false, true, true},
        [X2APIC] = {true, false, false, true},
    };
    struct bench *b = bench_create(1);
    struct vcpu *v = vp(b, 0);
    for (unsigned from = 0; from < 4; from++) {
        for (unsigned to = 0; from != INVALID && to < 4; to++) {
            reach(v, from);
            uint64_t before = v->lapic.base_msr;
            cr_expect_eq(lapic_wrmsr(v, 0x1b, base_of(to)), legal[from][to] ? MSR_OK : MSR_GP, "%u to %u", from, to);
            cr_expect_eq(v->lapic.base_msr, legal[from][to] ? base_of(to) : before);
        }
    }
    bench_destroy(b);
}

/* SDM 3A §10.4.4: reserved bits, and address bits above MAXPHYADDR, raise #GP. */
Test(lapic_modes, reserved_bits_of_apic_base_raise_gp)
{
    struct bench *b = bench_create(1);
    for (unsigned bit = 0; bit < 64; bit++) {
        bool reserved = bit < 8 || bit == 9 || bit >= b->cpu->config.model.physical_bits;
        uint64_t value = 0xfee00900 | 1ULL << bit;
        if (bit != 10) {
            cr_expect_eq(lapic_wrmsr(vp(b, 0), 0x1b, value), reserved ? MSR_GP : MSR_OK, "bit %u", bit);
        }
    }
    bench_destroy(b);
}

/* SDM 3A §10.12.1: without the feature the x2APIC enable bit is reserved. */
Test(lapic_modes, x2apic_needs_the_feature)
{
    struct bench *b = bench_with(VENDOR_AMD, 1, GHZ, NULL);
    cr_expect_eq(lapic_wrmsr(vp(b, 0), 0x1b, 0xfee00d00), MSR_GP);
    bench_destroy(b);
}

/* SDM 3A §10.4.5, §10.12: the page moves with the base and is gone in x2APIC mode and when off. */
Test(lapic_modes, mmio_page_follows_the_mode)
{
    struct bench *b = bench_create(1);
    struct vcpu *v = vp(b, 0);
    cr_expect_eq(lapic_mmio_gpa(v), 0xfee00000u);
    cr_expect_eq(lapic_wrmsr(v, 0x1b, 0xfed00900), MSR_OK);
    cr_expect_eq(lapic_mmio_gpa(v), 0xfed00000u);
    reach(v, X2APIC);
    cr_expect_eq(lapic_mmio_gpa(v), UINT64_MAX);
    reach(v, OFF);
    cr_expect_eq(lapic_mmio_gpa(v), UINT64_MAX);
    bench_destroy(b);
}

static struct vcpu *x2_vp(struct bench *b, unsigned index)
{
    reach(vp(b, index), X2APIC);
    cr_assert_eq(lapic_wrmsr(vp(b, index), 0x80f, 0x1ff), MSR_OK);
    return vp(b, index);
}

/* SDM 3A table 10-6: which MSRs of 0x800-0x8FF can be read and written. */
Test(lapic_modes, x2apic_registers_are_those_of_the_table)
{
    struct bench *b = bench_create(1);
    struct vcpu *v = x2_vp(b, 0);
    for (uint32_t i = 0; i < 0x100; i++) {
        bool vectors = i >= 0x10 && i < 0x28, lvt = i >= 0x32 && i <= 0x37;
        bool both = i == 0x08 || i == 0x0f || i == 0x28 || i == 0x30 || lvt || i == 0x38 || i == 0x3e;
        bool readable = both || vectors || i == 0x02 || i == 0x03 || i == 0x0a || i == 0x0d || i == 0x39;
        bool writable = both || i == 0x0b;
        uint64_t value = 0;
        cr_expect_eq(lapic_rdmsr(v, 0x800 + i, &value) == MSR_OK, readable, "RDMSR %x", 0x800 + i);
        if (i != 0x30 && i != 0x3f) { /* zero there is an IPI */
            cr_expect_eq(lapic_wrmsr(v, 0x800 + i, 0) == MSR_OK, writable, "WRMSR %x", 0x800 + i);
        }
    }
    bench_destroy(b);
}

/* SDM 3A §10.12.1.3: reserved bits raise #GP in x2APIC mode; EOI and ESR take only 0. */
Test(lapic_modes, x2apic_reserved_bits_raise_gp)
{
    static const struct {
        uint32_t msr;
        uint64_t legal;
    } rows[] = {{0x808, 0xff}, {0x80b, 0}, {0x80f, 0x3ff}, {0x828, 0}, {0x838, 0xffffffff}, {0x83e, 0xb}, {0x837, 0x110ff}};
    struct bench *b = bench_create(1);
    struct vcpu *v = x2_vp(b, 0);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        for (unsigned bit = 0; bit < 64; bit++) {
            bool legal = rows[i].legal >> bit & 1;
            cr_expect_eq(lapic_wrmsr(v, rows[i].msr, 1ULL << bit), legal ? MSR_OK : MSR_GP, "%x bit %u", rows[i].msr, bit);
        }
    }
    bench_destroy(b);
}

/* SDM 3A §10.12.10.2: LDR is cluster (id / 16) and member (id mod 16); a logical IPI takes 16 members of one cluster. */
Test(lapic_modes, x2apic_logical_ids_derive_from_the_apic_id)
{
    struct bench *b = bench_create(40);
    for (unsigned i = 0; i < 40; i++) {
        uint64_t ldr = 0;
        x2_vp(b, i);
        lapic_rdmsr(vp(b, i), 0x80d, &ldr);
        cr_expect_eq(ldr, (i / 16) << 16 | 1u << (i % 16));
    }
    lapic_wrmsr(vp(b, 0), 0x830, (0x00010000ULL | 0x8003) << 32 | 1 << 11 | 0x44);
    cr_expect_eq(take(b, 0x44), 1ULL << 16 | 1ULL << 17 | 1ULL << 31);
    lapic_wrmsr(vp(b, 0), 0x830, 0xffffffffULL << 32 | 0x44);
    cr_expect_eq(take(b, 0x44), (1ULL << 40) - 1, "all ones: everybody");
    lapic_wrmsr(vp(b, 0), 0x830, 0xffULL << 32 | 0x44);
    cr_expect_eq(take(b, 0x44), 0u, "255 is an id here");
    bench_destroy(b);
}

/* SDM 3A §10.12.11: SELF IPI is one write. */
Test(lapic_modes, self_ipi_requests_its_vector)
{
    struct bench *b = bench_create(2);
    struct vcpu *v = x2_vp(b, 1);
    v->attention = false;
    cr_expect_eq(lapic_wrmsr(v, 0x83f, 0x92), MSR_OK);
    cr_expect(v->attention);
    cr_expect_eq(lapic_pending(v), 0x92);
    cr_expect_eq(take(b, 0x92), 1u << 1);
    cr_expect_eq(lapic_wrmsr(v, 0x83f, 0x05), MSR_OK);
    lapic_wrmsr(v, 0x828, 0);
    uint64_t esr;
    lapic_rdmsr(v, 0x828, &esr);
    cr_expect_eq(esr, 0x20u, "send illegal vector, §10.5.3");
    bench_destroy(b);
}

/* SDM 3A §10.12.5.1: INIT keeps x2APIC mode and the id, and resets the rest. */
Test(lapic_modes, init_keeps_x2apic_mode)
{
    struct bench *b = bench_create(2);
    struct vcpu *v = x2_vp(b, 1);
    lapic_wrmsr(v, 0x808, 0x30);
    lapic_reset(v, true);
    uint64_t value;
    cr_expect_eq(lapic_rdmsr(v, 0x802, &value), MSR_OK);
    cr_expect_eq(value, 1u);
    lapic_rdmsr(v, 0x808, &value);
    cr_expect_eq(value, 0u);
    lapic_rdmsr(v, 0x80d, &value);
    cr_expect_eq(value, 2u);
    bench_destroy(b);
}

/* SDM 3A §10.4.3: switched off and on again it is as after power-up. */
Test(lapic_modes, off_and_on_forgets)
{
    struct bench *b = bench_create(1);
    struct vcpu *v = enabled_vp(b, 0);
    lapic_interrupt(v, 0x40, false);
    lapic_wrmsr(v, 0x1b, 0xfee00100);
    lapic_wrmsr(v, 0x1b, 0xfee00900);
    cr_expect_eq(lapic_pending(v), -1);
    cr_expect_eq(lapic_read(v, 0x0f0), 0xffu);
    bench_destroy(b);
}
