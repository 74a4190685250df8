/* Time for time-outs and pauses: by the TSC, whose rate is asked for once.
 *
 * The rate comes from HV_X64_MSR_TSC_FREQUENCY, else from 100 us of the reference counter, else from 200 us of the PIT's
 * channel
 * 2. What judges a clock must not use these: it has to compare two clocks itself.
 */
#include "parts.h"

enum { PIT_HZ = 1193182, PIT_TICKS = 239, PIT_CHANNEL2 = 0x42, PIT_COMMAND = 0x43, SPEAKER = 0x61, SPEAKER_OUT2 = 0x20 };

static uint64_t hz;
static uint64_t tick_per_us; /* of the local APIC's timer, divided by 1 */

uint64_t ref_time(void)
{
    return rdmsr(HV_X64_MSR_TIME_REF_COUNT);
}

static uint64_t hz_by_counter(void)
{
    uint64_t from = ref_time(), tsc = rdtsc(), to;
    while ((to = ref_time()) < from + 1000) {
        pause();
    }
    return (rdtsc() - tsc) * 10000000 / (to - from);
}

static uint64_t hz_by_pit(void)
{
    out8(SPEAKER, (in8(SPEAKER) & 0xfc) | 1); /* gate on, speaker off */
    out8(PIT_COMMAND, 0xb0);                  /* channel 2, both bytes, mode 0: OUT rises at the end */
    out8(PIT_CHANNEL2, PIT_TICKS & 0xff);
    out8(PIT_CHANNEL2, PIT_TICKS >> 8);
    uint64_t from = rdtsc();
    while (!(in8(SPEAKER) & SPEAKER_OUT2)) {
    }
    return (rdtsc() - from) * PIT_HZ / PIT_TICKS;
}

uint64_t tsc_hz(void)
{
    if (hz == 0) {
        hz = has(AccessFrequencyRegs) && has(FrequencyRegsAvailable) ? rdmsr(HV_X64_MSR_TSC_FREQUENCY)
             : has(AccessPartitionReferenceCounter)                  ? hz_by_counter()
                                                                     : hz_by_pit();
        hz = hz < 1000000 ? 1000000 : hz;
    }
    return hz;
}

uint64_t now_100ns(void)
{
    uint64_t rate = tsc_hz(), tsc = rdtsc();
    return tsc / rate * 10000000 + tsc % rate * 10000000 / rate;
}

void spin_100ns(uint64_t time)
{
    uint64_t deadline = now_100ns() + time;
    while (now_100ns() < deadline) {
        pause();
    }
}

static void tick_measure(void)
{
    lapic_write(LAPIC_TIMER_DIVIDE, 0xb);
    lapic_write(LAPIC_TIMER_INITIAL, 0xffffffff);
    uint64_t from = now_100ns();
    spin_100ns(20 * US_100NS);
    uint64_t ticks = 0xffffffff - lapic_read(LAPIC_TIMER_CURRENT), passed = now_100ns() - from;
    lapic_write(LAPIC_TIMER_INITIAL, 0);
    tick_per_us = ticks * US_100NS / passed; /* late by what lay between the two readings: good enough for a nap */
    tick_per_us = tick_per_us == 0 ? 1 : tick_per_us;
}

/* With interrupts on: asleep for up to 20 us, or until an interrupt. */
bool kit_relax(uint64_t deadline_100ns)
{
    enum { NAP_US = 20, SVR_ENABLE = 0x100 };
    uint64_t now = now_100ns(), flags;
    if (now >= deadline_100ns) {
        return false;
    }
    __asm__ volatile("pushfq; pop %0" : "=r"(flags)::"memory");
    if (!(flags & RFLAGS_IF) || !(lapic_read(LAPIC_SVR) & SVR_ENABLE)) {
        pause();
        return true;
    }
    if (tick_per_us == 0) {
        tick_measure();
    }
    irqs(false); /* or the tick could come before HLT */
    lapic_write(LAPIC_LVT_TIMER, VECTOR_TICK);
    lapic_write(LAPIC_TIMER_DIVIDE, 0xb);
    lapic_write(LAPIC_TIMER_INITIAL, (uint32_t)(tick_per_us * NAP_US));
    __asm__ volatile("sti; hlt" ::: "memory");
    return true;
}

bool wait_until(bool (*condition)(void), uint64_t timeout_100ns)
{
    return WAIT_FOR(condition(), timeout_100ns);
}
