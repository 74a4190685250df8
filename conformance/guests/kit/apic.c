/* The local APIC in xAPIC mode, by MMIO at its usual place (SDM 3A, Advanced Programmable Interrupt Controller). */
#include "parts.h"

enum { LAPIC_BASE = (int)0xfee00000, SVR_ENABLE = 0x100, LVT_MASKED = 1 << 16, ICR_NMI = 4 << 8, ICR_ASSERT = 1 << 14 };

uint32_t lapic_read(unsigned reg)
{
    return *(volatile uint32_t *)((uint64_t)(uint32_t)LAPIC_BASE + reg);
}

void lapic_write(unsigned reg, uint32_t value)
{
    *(volatile uint32_t *)((uint64_t)(uint32_t)LAPIC_BASE + reg) = value;
}

bool lapic_bit(unsigned reg, unsigned vector)
{
    return lapic_read(reg + vector / 32 * 16) >> vector % 32 & 1;
}

void kit_lapic_start(void)
{
    lapic_write(LAPIC_SVR, SVR_ENABLE | VECTOR_SPURIOUS);
    lapic_write(LAPIC_LVT_LINT0, LVT_MASKED);
    lapic_write(LAPIC_LVT_LINT1, LVT_MASKED);
}

/* Ends what is in service, so that the next test starts with an open controller. */
void kit_lapic_quiet(void)
{
    lapic_write(LAPIC_SVR, SVR_ENABLE | VECTOR_SPURIOUS);
    lapic_write(LAPIC_LVT_TIMER, LVT_MASKED);
    lapic_write(LAPIC_TIMER_INITIAL, 0);
    lapic_write(LAPIC_TPR, 0);
    for (unsigned vectors = 0; vectors < 256; vectors += 32) {
        while (lapic_read(LAPIC_ISR + vectors / 2) != 0) {
            lapic_write(LAPIC_EOI, 0);
        }
    }
}

static void icr_write(unsigned vp, uint32_t low)
{
    bool before = irqs(false);
    lapic_write(LAPIC_ICR_HIGH, (uint32_t)kit_vps[vp].apic_id << 24);
    lapic_write(LAPIC_ICR, low | ICR_ASSERT);
    irqs(before);
}

void ipi(unsigned vp, unsigned vector)
{
    icr_write(vp, vector);
}

void ipi_nmi(unsigned vp)
{
    icr_write(vp, ICR_NMI);
}
