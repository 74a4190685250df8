/* Reenlightenment and TSC emulation without a migration. Clauses: reenlightenment.*, tsc-emulation.*; TLFS 6.0b §16.6. */
#include "vps.h"

enum { CONTROL = HV_X64_MSR_REENLIGHTENMENT_CONTROL, EMULATION = HV_X64_MSR_TSC_EMULATION_CONTROL };
enum { STATUS = HV_X64_MSR_TSC_EMULATION_STATUS, VECTOR = 0x60 };
#define ENABLED (1ULL << 16)

/* The first test: behind each, the kit writes both. */
TEST(control_at_creation, "reenlightenment.control.reset", "tsc-emulation.control")
{
    NEEDS(AccessReenlightenmentControls);
    EXPECT_EQ_FOR("reenlightenment.control.reset", rdmsr(CONTROL), 0);
    EXPECT_EQ_FOR("tsc-emulation.control", rdmsr(EMULATION), 0);
}

TEST(control_write_read, "reenlightenment.control.layout", "reenlightenment.control.read")
{
    NEEDS(AccessReenlightenmentControls);
    const uint64_t values[] = {VECTOR | ENABLED, 0xffULL, 1ULL << 32 | VECTOR | ENABLED, 0};
    for (unsigned i = 0; i < ARRAY_COUNT(values); i++) {
        EXPECT_EQ(wrmsr_try(CONTROL, values[i]), NO_FAULT);
        EXPECT_EQ(rdmsr(CONTROL), values[i]);
    }
}

static void expect_reserved(uint32_t msr, uint64_t value, unsigned first, unsigned last)
{
    wrmsr(msr, value);
    for (unsigned bit = first; bit <= last; bit++) {
        unsigned vector = wrmsr_try(msr, 1ULL << bit | value);
        EXPECT(vector == VEC_GP || vector == NO_FAULT, "bit %u: exception %u", bit, vector);
        EXPECT_EQ(rdmsr(msr), value);
    }
    wrmsr(msr, 0);
}

TEST(control_reserved, "reenlightenment.control.reserved")
{
    NEEDS(AccessReenlightenmentControls);
    expect_reserved(CONTROL, VECTOR, 8, 15);
    expect_reserved(CONTROL, VECTOR, 17, 31);
}

TEST(control_partition_wide, "reenlightenment.control.partition")
{
    NEEDS(AccessReenlightenmentControls);
    NEEDS_VPS(2);
    wrmsr(CONTROL, VECTOR | ENABLED);
    EXPECT_EQ(rdmsr_on(1, CONTROL), VECTOR | ENABLED);
    wrmsr(CONTROL, 0);
}

TEST(control_bad_vector, "reenlightenment.control.vector")
{
    NEEDS(AccessReenlightenmentControls);
    unsigned vector = wrmsr_try(CONTROL, 5 | ENABLED);
    EXPECT(vector == VEC_GP || vector == NO_FAULT, "exception %u", vector);
    take_interrupts(20 * US_100NS); /* were it delivered, it would look like an exception and fail the test */
    wrmsr(CONTROL, 0);
}

TEST(emulation_control, "tsc-emulation.control")
{
    NEEDS(AccessReenlightenmentControls);
    EXPECT_EQ(rdmsr(EMULATION), 0);
    EXPECT_EQ(wrmsr_try(EMULATION, 1), NO_FAULT);
    EXPECT_EQ(rdmsr(EMULATION), 1);
    EXPECT_EQ(wrmsr_try(EMULATION, 0), NO_FAULT);
    EXPECT_EQ(rdmsr(EMULATION), 0);
}

TEST(emulation_control_reserved, "tsc-emulation.control.reserved")
{
    NEEDS(AccessReenlightenmentControls);
    expect_reserved(EMULATION, 0, 1, 63);
}

TEST(emulation_status_idle, "tsc-emulation.status")
{
    NEEDS(AccessReenlightenmentControls);
    EXPECT_EQ(rdmsr(STATUS) & 1, 0);
}

TEST(withheld, "reenlightenment.withheld")
{
    NEEDS_WITHHELD(AccessReenlightenmentControls);
    EXPECT(msr_absent(CONTROL));
    EXPECT(msr_absent(EMULATION));
    EXPECT(msr_absent(STATUS));
}
