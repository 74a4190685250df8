/* HvAssertVirtualInterrupt and HvClearVirtualInterrupt asked by a child. Clauses: apic.assert.*; TLFS 6.0b §10.5.1. */
#include "vps.h"

enum { HvCallAssertVirtualInterruptOld = 0x55, HvCallClearVirtualInterrupt = 0x56, VECTOR = 0x50 };

/* A fixed interrupt for the caller's own APIC. */
static unsigned assert_self(unsigned code)
{
    uint64_t *in = page_alloc();
    in[0] = HV_PARTITION_ID_SELF;
    in[2] = vp_apic_id(0);
    in[3] = VECTOR;
    unsigned status = HV_STATUS_OF(hv_call(code, gpa_of(in), 0));
    take_interrupts(20 * US_100NS);
    return status;
}

static bool refused_to_child(unsigned status)
{
    return status == HV_STATUS_ACCESS_DENIED || status == HV_STATUS_INVALID_PARTITION_ID;
}

TEST(old_code_refused, "apic.assert.child", "apic.assert.old-code")
{
    NEEDS_CALLS();
    NEEDS_EDITION(EDITION_2_0, EDITION_LAST);
    unsigned status = assert_self(HvCallAssertVirtualInterruptOld);
    if (edition() < EDITION_5_0) {
        skip_for("apic.assert.old-code", "not of edition %u", edition());
        EXPECT_FOR("apic.assert.child", refused_to_child(status), "status 0x%x", status);
        EXPECT_EQ_FOR("apic.assert.child", irq_count(VECTOR), 0);
    } else {
        skip_for("apic.assert.child", "not of edition %u", edition());
        EXPECT_FOR("apic.assert.old-code", status != HV_STATUS_SUCCESS);
        EXPECT_EQ_FOR("apic.assert.old-code", irq_count(VECTOR), 0);
    }
}

TEST(new_code_refused, "apic.assert.child-new-code")
{
    NEEDS_CALLS();
    NEEDS_EDITION(EDITION_5_0, EDITION_LAST);
    unsigned status = assert_self(HvCallAssertVirtualInterrupt);
    EXPECT(refused_to_child(status), "status 0x%x", status);
    EXPECT_EQ(irq_count(VECTOR), 0);
}

TEST(clear_refused, "apic.assert.clear-child")
{
    NEEDS_CALLS();
    NEEDS_EDITION(EDITION_2_0, EDITION_4_0);
    uint64_t *in = page_alloc();
    in[0] = HV_PARTITION_ID_SELF;
    unsigned status = HV_STATUS_OF(hv_call(HvCallClearVirtualInterrupt, gpa_of(in), 0));
    EXPECT(refused_to_child(status), "status 0x%x", status);
}
