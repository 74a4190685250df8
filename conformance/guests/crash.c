/* Crash enlightenment: parameters, control, notification. Clauses: conformance/clauses/crash.yaml; TLFS 6.0b §4.3.
 *
 * The five values of notify are what the scenario looks for outside.
 */
#include "vps.h"

enum { PARAMETERS = 5, CTL = HV_X64_MSR_CRASH_CTL, P0 = HV_X64_MSR_CRASH_P0 };
#define CRASH_NOTIFY (1ULL << 63)
#define CRASH_MESSAGE (1ULL << 62)

static const uint64_t patterns[PARAMETERS] = {0x0123456789abcdef, 0xffffffffffffffff, 0x8000000000000001, 0,
                                              0x5555aaaa5555aaaa};

static void parameters_write(const uint64_t *values)
{
    for (unsigned i = 0; i < PARAMETERS; i++) {
        EXPECT_EQ(wrmsr_try(P0 + i, values[i]), NO_FAULT);
    }
}

static void parameters_expect(const uint64_t *values)
{
    for (unsigned i = 0; i < PARAMETERS; i++) {
        EXPECT_EQ(rdmsr(P0 + i), values[i]);
    }
}

TEST(parameters_hold, "crash.parameters", "crash.parameters-hold")
{
    NEEDS(GuestCrashRegsAvailable);
    const uint64_t zeros[PARAMETERS] = {0};
    parameters_write(patterns);
    parameters_expect(patterns);
    parameters_write(zeros);
    parameters_expect(zeros);
}

TEST(control_lists_actions, "crash.control", "crash.control.notify", "crash.control.reserved")
{
    NEEDS(GuestCrashRegsAvailable);
    uint64_t value, defined = CRASH_NOTIFY | (edition() >= EDITION_6_0 ? CRASH_MESSAGE : 0);
    REQUIRE(rdmsr_try(CTL, &value) == NO_FAULT);
    EXPECT_FOR("crash.control.notify", value & CRASH_NOTIFY, "0x%lx", value);
    EXPECT_FOR("crash.control.reserved", !(value & ~defined), "0x%lx", value);
}

TEST(control_message_bit, "crash.control.message")
{
    NEEDS_EDITION(EDITION_6_0, EDITION_LAST);
    NEEDS(GuestCrashRegsAvailable);
    NEEDS_THAT(rdmsr(CTL) & CRASH_MESSAGE, "the control register does not list CrashMessage");
    EXPECT(rdmsr(CTL) & CRASH_NOTIFY, "CrashMessage is listed without CrashNotify");
}

TEST(no_action, "crash.control.none")
{
    NEEDS(GuestCrashRegsAvailable);
    uint64_t before = rdmsr(CTL);
    EXPECT_EQ(wrmsr_try(CTL, 0), NO_FAULT);
    EXPECT_EQ(rdmsr(CTL), before);
}

TEST(partition_wide, "crash.scope")
{
    NEEDS(GuestCrashRegsAvailable);
    NEEDS_VPS(2);
    parameters_write(patterns);
    for (unsigned i = 0; i < PARAMETERS; i++) {
        EXPECT_EQ(rdmsr_on(1, P0 + i), patterns[i]);
    }
    EXPECT_EQ(wrmsr_on(1, P0, 7), NO_FAULT);
    EXPECT_EQ(rdmsr(P0), 7);
}

TEST(beyond_the_six, "crash.beyond")
{
    NEEDS(GuestCrashRegsAvailable);
    uint64_t value;
    for (uint32_t msr = CTL + 4; msr < CTL + 8; msr++) {
        EXPECT_EQ(rdmsr_try(msr, &value), VEC_GP);
    }
    if (!has(AccessReenlightenmentControls)) {
        EXPECT_EQ(rdmsr_try(CTL + 1, &value), VEC_GP);
    }
}

TEST(withheld, "crash.withheld")
{
    NEEDS_WITHHELD(GuestCrashRegsAvailable);
    for (uint32_t msr = P0; msr <= CTL; msr++) {
        EXPECT(msr_absent(msr), "MSR 0x%x", msr);
    }
}

TEST(control_is_an_action, "crash.control.action")
{
    NEEDS(GuestCrashRegsAvailable);
    uint64_t before = rdmsr(CTL);
    EXPECT_EQ(wrmsr_try(CTL, CRASH_NOTIFY), NO_FAULT);
    EXPECT_EQ(rdmsr(CTL), before);
}

TEST(second_notify, "crash.control.once")
{
    NEEDS(GuestCrashRegsAvailable);
    EXPECT_EQ(wrmsr_try(CTL, CRASH_NOTIFY), NO_FAULT);
    EXPECT_EQ(wrmsr_try(CTL, CRASH_NOTIFY), NO_FAULT);
}

TEST(reserved_with_action, "crash.control.reserved-write")
{
    NEEDS(GuestCrashRegsAvailable);
    unsigned vector = wrmsr_try(CTL, CRASH_NOTIFY | 1);
    EXPECT(vector == NO_FAULT || vector == VEC_GP, "exception %u", vector);
}

/* Last, so that its report is the one that stands. */
TEST(notify, "crash.notify.keeps", "crash.notify.logs", "crash.notify.returns")
{
    NEEDS(GuestCrashRegsAvailable);
    const uint64_t report[PARAMETERS] = {0xdead0001, 0xdead0002, 0xdead0003, 0xdead0004, 0xdead0005};
    parameters_write(report);
    EXPECT_EQ(wrmsr_try(CTL, CRASH_NOTIFY), NO_FAULT);
    parameters_expect(report);
}
