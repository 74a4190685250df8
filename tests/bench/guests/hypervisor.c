/* What the hypervisor's own events cost: one of HV_CALL, HV_EVENT, HV_MESSAGE, HV_STIMER is defined, and each round is one
 * event from its request to the end of its interrupt. The scenario (hypervisor.yaml) declares the two ports. */
#include "guest.h"

enum {
    GUEST_OS_ID = 0x40000000,
    HYPERCALL = 0x40000001,
    TIME_REF_COUNT = 0x40000020,
    EOI = 0x40000070,
    SCONTROL = 0x40000080,
    SIEFP = 0x40000082,
    SIMP = 0x40000083,
    EOM = 0x40000084,
    SINT3 = 0x40000093,
    STIMER0_CONFIG = 0x400000b0,
    STIMER0_COUNT = 0x400000b1,
    HYPERCALL_PAGE = WORK,
    MESSAGE_PAGE = WORK + 0x1000,
    EVENT_PAGE = WORK + 0x2000,
    INPUT_PAGE = WORK + 0x3000,
    SLOT_BYTES = 256,
    VECTOR = 31, /* the last that start.s has a gate for */
    MESSAGE_CONNECTION = 0x10,
    EVENT_CONNECTION = 0x11,
    CALL_LONG_SPIN_WAIT = 0x10008, /* fast */
    CALL_POST_MESSAGE = 0x5c,
    CALL_SIGNAL_EVENT = 0x1005d, /* fast */
};

void gate_set(uint32_t vector, void *handler);

__attribute__((unused)) static void wrmsr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

__attribute__((unused)) static uint64_t rdmsr(uint32_t msr)
{
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (uint64_t)high << 32 | low;
}

__attribute__((unused)) static uint64_t call(uint64_t control, uint64_t input, uint64_t output)
{
    uint64_t result;
    register uint64_t r8 __asm__("r8") = output;
    __asm__ volatile("call *%[page]"
                     : "=a"(result), "+c"(control), "+d"(input), "+r"(r8)
                     : [page] "r"((uint64_t)HYPERCALL_PAGE)
                     : "r9", "r10", "r11", "memory");
    return result;
}

static volatile uint64_t taken;

/* The slot (or flag word) of SINT 3 in a page. */
static volatile uint32_t *of_sint3(uint64_t page)
{
    return memory_at(page + 3 * SLOT_BYTES);
}

__attribute__((interrupt, target("general-regs-only"))) static void on_interrupt(void *frame)
{
    (void)frame;
    taken++;
    *of_sint3(EVENT_PAGE) = 0;
    volatile uint32_t *slot = of_sint3(MESSAGE_PAGE);
    if (*slot != 0) {
        *slot = 0;
        if (slot[1] >> 8 & 1) {
            wrmsr(EOM, 0);
        }
    }
    wrmsr(EOI, 0);
}

static void wait_for(uint64_t count)
{
    while (taken != count) {
        __asm__ volatile("cli");
        if (taken != count) {
            __asm__ volatile("sti; hlt");
        }
    }
}

static void round_once(uint64_t n)
{
#if defined HV_CALL
    taken += call(CALL_LONG_SPIN_WAIT, 0, 0) == 0;
#elif defined HV_EVENT
    call(CALL_SIGNAL_EVENT, EVENT_CONNECTION, 0);
#elif defined HV_MESSAGE
    call(CALL_POST_MESSAGE, INPUT_PAGE, 0);
#elif defined HV_STIMER
    wrmsr(STIMER0_COUNT, rdmsr(TIME_REF_COUNT) + 1);
#endif
    wait_for(n);
}

uint64_t main(void)
{
    *(volatile uint32_t *)memory_at(0xfee000f0) = 0x1ff;
    gate_set(VECTOR, on_interrupt);
    wrmsr(GUEST_OS_ID, 1);
    wrmsr(HYPERCALL, HYPERCALL_PAGE | 1);
    wrmsr(SIMP, MESSAGE_PAGE | 1);
    wrmsr(SIEFP, EVENT_PAGE | 1);
    wrmsr(SINT3, VECTOR);
    wrmsr(SCONTROL, 1);
    wrmsr(STIMER0_CONFIG, 1 << 12 | VECTOR << 4 | 1 << 3); /* direct, auto-enable */
    uint32_t *input = memory_at(INPUT_PAGE);               /* HV_INPUT_POST_MESSAGE: connection, 0, type, size, payload */
    input[0] = MESSAGE_CONNECTION;
    input[2] = 1;
    input[3] = 16;
    __asm__ volatile("sti");
    for (uint64_t n = 1; n <= rounds(); n++) {
        round_once(n);
    }
    return taken;
}
