/* Requirements document: a one written to HV_X64_MSR_RESET resets the machine. Its scenario starts the guest again.
 *
 * A byte of CMOS memory that no firmware uses (0x6e) remembers the first start. It is set before the report begins, so that the
 * console shows one report, the second start's. Leaves out: hypervisors that start nothing again, where the first start ends.
 */
#include "req.h"

enum { CMOS_INDEX = 0x70, CMOS_DATA = 0x71, REMEMBER = 0x6e, FIRST_START = 0xa5, FAILED = 0x5a };
static uint8_t remembered;

static uint8_t cmos_read(void)
{
    out8(CMOS_INDEX, REMEMBER);
    return in8(CMOS_DATA);
}

static void cmos_write(uint8_t value)
{
    out8(CMOS_INDEX, REMEMBER);
    out8(CMOS_DATA, value);
}

void probe_start(void)
{
    remembered = cmos_read();
    cmos_write(0);
    if (remembered != FIRST_START && has(AccessResetReg) && !arg_present("list")) {
        cmos_write(FIRST_START);
        remembered = wrmsr_try(HV_X64_MSR_RESET, 1) == NO_FAULT ? 0 : FAILED;
        spin_100ns(MS_100NS);
    }
}

TEST(reset_msr_resets, "req.priv.reset.works")
{
    NEEDS(AccessResetReg);
    EXPECT(remembered == FIRST_START, "the write %s", remembered == FAILED ? "faulted" : "had no effect");
    EXPECT_EQ(rdmsr(HV_X64_MSR_GUEST_OS_ID), 0);
    EXPECT_EQ(rdmsr(HV_X64_MSR_HYPERCALL) & 1, 0);
}
