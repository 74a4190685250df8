/* A guest that breaks one rule of `orrery lint` at a time, and once keeps them all: tests/lint/run asks for each by name.
 *
 * Its clauses are of no document: what is judged is the linter. Nothing runs unless the command line has breach=1.
 */
#include "synic_use.h"

#define BREACH()                                                                                                               \
    NEEDS_THAT(arg_present("breach") && hv_present(), "breach=1 asks for it");                                                 \
    EXPECT(true)

static void vmmcall(void *control)
{
    uint64_t rcx = (uint64_t)control;
    __asm__ volatile("vmmcall" : "+c"(rcx) : "a"(0), "d"(0) : "r8", "r9", "r10", "r11", "memory");
}

static uint64_t page_gpa(void)
{
    return gpa_of(page_alloc());
}

enum { LONG_SPIN_WAIT_FAST = 0x10008 };

TEST(none, "kit.lint.none")
{
    BREACH();
    EXPECT(hv_enable());
    EXPECT_EQ(hv_fast(HvCallNotifyLongSpinWait, 1, 0), 0);
    EXPECT(synic_open());
    sint_on(3, 0x51, 0);
    for (unsigned timer = 0; timer < 2; timer++) {
        wrmsr(config_msr(timer), 3 << 16 | 8); /* one-shot, AutoEnable, SINT 3 */
        wrmsr(count_msr(timer), 1);
    }
    for (unsigned i = 0; i < 2; i++) {
        EXPECT(slot_fills(3));
        message_done(3);
    }
    wrmsr(config_msr(0), 0x51 << 4 | 1 << 12 | 8); /* direct, AutoEnable */
    wrmsr(count_msr(0), 1);
    spin_100ns(30 * MS_100NS);
}

TEST(identity_first, "kit.lint.identity-first")
{
    BREACH();
    wrmsr(HV_X64_MSR_HYPERCALL, page_gpa() | 1);
}

TEST(page_first, "kit.lint.page-first")
{
    BREACH();
    try_run(vmmcall, (void *)LONG_SPIN_WAIT_FAST);
}

TEST(page_entry, "kit.lint.page-entry")
{
    BREACH();
    EXPECT(hv_enable());
    vmmcall((void *)LONG_SPIN_WAIT_FAST);
}

TEST(msr_privilege, "kit.lint.msr-privilege")
{
    uint64_t value;
    BREACH();
    rdmsr_try(0x400001f0, &value);
}

TEST(call_privilege, "kit.lint.call-privilege")
{
    BREACH();
    EXPECT(hv_enable());
    hv_fast(HvCallSignalEvent, CONNECTION_EVENTS, 0); /* the scenario grants no SignalEvents */
}

TEST(call_code, "kit.lint.call-code")
{
    BREACH();
    EXPECT(hv_enable());
    hv_fast(0x7fff, 0, 0);
}

TEST(call_control, "kit.lint.call-control")
{
    BREACH();
    EXPECT(hv_enable());
    hv_call(LONG_SPIN_WAIT_FAST | 1ULL << 60, 0, 0);
}

TEST(call_alignment, "kit.lint.call-alignment")
{
    BREACH();
    EXPECT(hv_enable());
    hv_call(HvCallPostMessage, page_gpa() + 4, 0);
}

TEST(call_parameter, "kit.lint.call-parameter")
{
    BREACH();
    uint32_t *input = page_alloc();
    input[0] = CONNECTION_SINK;
    input[2] = 1;
    input[3] = 241; /* one more than a message holds */
    EXPECT(hv_enable());
    hv_call(HvCallPostMessage, gpa_of(input), 0);
}

TEST(keep_hypercall, "kit.lint.keep-hypercall")
{
    BREACH();
    wrmsr(HV_X64_MSR_GUEST_OS_ID, HV_KIT_GUEST_OS_ID);
    wrmsr(HV_X64_MSR_HYPERCALL, page_gpa() | 0x800 | 1);
}

TEST(keep_tsc_page, "kit.lint.keep-tsc-page")
{
    BREACH();
    wrmsr(HV_X64_MSR_REFERENCE_TSC, page_gpa() | 0x800 | 1);
}

TEST(keep_assist, "kit.lint.keep-assist")
{
    BREACH();
    wrmsr(HV_X64_MSR_VP_ASSIST_PAGE, page_gpa() | 0x800 | 1);
}

TEST(keep_scontrol, "kit.lint.keep-scontrol")
{
    BREACH();
    wrmsr_try(HV_X64_MSR_SCONTROL, 3);
}

TEST(keep_siefp, "kit.lint.keep-siefp")
{
    BREACH();
    wrmsr(HV_X64_MSR_SIEFP, page_gpa() | 0x800 | 1);
}

TEST(keep_simp, "kit.lint.keep-simp")
{
    BREACH();
    wrmsr(HV_X64_MSR_SIMP, page_gpa() | 0x800 | 1);
}

TEST(keep_sint, "kit.lint.keep-sint")
{
    BREACH();
    wrmsr(sint_msr(3), 0x10000 | 0x100);
}

TEST(sint_vector, "kit.lint.sint-vector")
{
    BREACH();
    wrmsr_try(sint_msr(3), 15);
}

TEST(auto_eoi, "kit.lint.auto-eoi")
{
    BREACH();
    wrmsr(sint_msr(3), 0x51 | 1 << 17);
}

TEST(timer_sint, "kit.lint.timer-sint")
{
    BREACH();
    wrmsr(count_msr(0), 1000);
    wrmsr(config_msr(0), 1);
}

TEST(timer_vector, "kit.lint.timer-vector")
{
    BREACH();
    wrmsr(count_msr(0), 1000);
    wrmsr_try(config_msr(0), 1 << 12 | 8 << 4 | 1);
}

TEST(end_of_message, "kit.lint.end-of-message")
{
    BREACH();
    EXPECT(synic_open());
    for (unsigned timer = 0; timer < 2; timer++) {
        wrmsr(config_msr(timer), 3 << 16 | 8);
        wrmsr(count_msr(timer), 1);
    }
    EXPECT(slot_fills(3));
    spin_100ns(MS_100NS);
    slot_clear(3); /* and no EOM */
    spin_100ns(30 * MS_100NS);
}
