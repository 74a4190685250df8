/* A crash message: P3 and P4 as address and length. Clauses: crash.message.*; TLFS 6.0b §4.3.1.1.
 *
 * The text of message_given, the last of these tests, is what stands in the result of the run.
 */
#include "vps.h"

enum { CTL = HV_X64_MSR_CRASH_CTL, P0 = HV_X64_MSR_CRASH_P0, P3 = HV_X64_MSR_CRASH_P0 + 3, P4 = HV_X64_MSR_CRASH_P4 };
#define CRASH_NOTIFY (1ULL << 63)
#define CRASH_MESSAGE (1ULL << 62)

#define NEEDS_MESSAGE()                                                                                                        \
    NEEDS_EDITION(EDITION_6_0, EDITION_LAST);                                                                                  \
    NEEDS(GuestCrashRegsAvailable);                                                                                            \
    NEEDS_THAT(rdmsr(CTL) & CRASH_MESSAGE, "the control register does not list CrashMessage")

static unsigned report(uint64_t action, uint64_t gpa, uint64_t bytes)
{
    wrmsr(P0, 0x1234);
    wrmsr(P3, gpa);
    wrmsr(P4, bytes);
    unsigned vector = wrmsr_try(CTL, action);
    EXPECT_EQ(rdmsr(P3), gpa);
    EXPECT_EQ(rdmsr(P4), bytes);
    return vector;
}

TEST(message_of_a_page, "crash.message.longest")
{
    NEEDS_MESSAGE();
    char *text = page_alloc();
    memset(text, 'x', PAGE_BYTES);
    EXPECT_EQ(report(CRASH_NOTIFY | CRASH_MESSAGE, gpa_of(text), PAGE_BYTES), NO_FAULT);
}

static void expect_harmless(unsigned vector)
{
    EXPECT(vector == NO_FAULT || vector == VEC_GP, "exception %u", vector);
}

TEST(message_too_long, "crash.message.too-long")
{
    NEEDS_MESSAGE();
    char *text = pages_alloc(2);
    expect_harmless(report(CRASH_NOTIFY | CRASH_MESSAGE, gpa_of(text), PAGE_BYTES + 1));
    expect_harmless(report(CRASH_NOTIFY | CRASH_MESSAGE, gpa_of(text), ~0ULL));
    expect_harmless(report(CRASH_NOTIFY | CRASH_MESSAGE, gpa_of(text) + 100, PAGE_BYTES));
}

TEST(message_outside_memory, "crash.message.bad-address")
{
    NEEDS_MESSAGE();
    expect_harmless(report(CRASH_NOTIFY | CRASH_MESSAGE, 0x700000000, 16));
    expect_harmless(report(CRASH_NOTIFY | CRASH_MESSAGE, ~0xfULL, 64));
}

TEST(message_without_notify, "crash.message.alone")
{
    NEEDS_MESSAGE();
    char *text = page_alloc();
    expect_harmless(report(CRASH_MESSAGE, gpa_of(text), 16));
}

TEST(message_empty, "crash.message.empty")
{
    NEEDS_MESSAGE();
    EXPECT_EQ(report(CRASH_NOTIFY | CRASH_MESSAGE, gpa_of(page_alloc()), 0), NO_FAULT);
}

TEST(message_given, "crash.message.text")
{
    NEEDS_MESSAGE();
    static const char sentence[] = "The orrery has stopped.";
    char *text = page_alloc();
    memcpy(text, sentence, sizeof sentence - 1);
    EXPECT_EQ(report(CRASH_NOTIFY | CRASH_MESSAGE, gpa_of(text), sizeof sentence - 1), NO_FAULT);
}
