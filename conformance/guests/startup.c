/* Processors before they run: what INIT leaves, and starting one by the APIC's MSRs. Clauses: apic.icr.start,
 * vp.boot.application, vp.state.wait-sipi, vp.index.stable; TLFS 6.0b §7.2, §7.4, §7.6, §10.2.3.
 *
 * No test here calls smp_start(): VP 1 belongs to the test, which brings it back to waiting for its start-up interrupt. Its
 * code runs in real mode from the page that the kit keeps for code of other modes.
 */
#include "vps.h"

enum { CODE_PAGE = 0xa000, MAILBOX = 0xaf00, ICR_INIT = 5 << 8, ICR_STARTUP = 6 << 8, ICR_ASSERT = 1 << 14 };

/* Counts at MAILBOX and leaves the VP index there, if there is one to read. */
KIT_CODE(count_up, 16, "cli\n xor %ax, %ax\n mov %ax, %ds\n incl 0xaf00\n 1: jmp 1b");
KIT_CODE(read_index, 16,
         "cli\n xor %ax, %ax\n mov %ax, %ds\n mov $0x40000002, %ecx\n rdmsr\n mov %eax, 0xaf04\n mov %edx, 0xaf08\n"
         "incl 0xaf00\n 1: hlt\n jmp 1b");

static volatile uint32_t *mailbox(unsigned word)
{
    return (volatile uint32_t *)(uint64_t)(MAILBOX + 4 * word);
}

static void code_put(const uint8_t *code, const uint8_t *end)
{
    memcpy((void *)(uint64_t)CODE_PAGE, code, (size_t)(end - code));
    for (unsigned i = 0; i < 4; i++) {
        *mailbox(i) = 0;
    }
}

static void command(uint32_t low)
{
    lapic_write(LAPIC_ICR_HIGH, (uint32_t)vp_apic_id(1) << 24);
    lapic_write(LAPIC_ICR, low | ICR_ASSERT);
}

#define NEEDS_WAITING_VP()                                                                                                     \
    NEEDS_THAT(vp_count() >= 2, "one VP");                                                                                     \
    NEEDS_THAT(hv_present(), "no hypervisor")

TEST(application_vps_wait, "vp.boot.application")
{
    NEEDS_WAITING_VP();
    code_put(count_up, count_up_end);
    spin_100ns(100 * US_100NS);
    EXPECT_EQ(*mailbox(0), 0);
    command(ICR_STARTUP | CODE_PAGE >> 12);
    EXPECT(WAIT_FOR(*mailbox(0) != 0, 10 * MS_100NS), "VP 1 did not start");
    command(ICR_INIT);
}

TEST(init_waits, "vp.state.wait-sipi")
{
    NEEDS_WAITING_VP();
    code_put(count_up, count_up_end);
    command(ICR_STARTUP | CODE_PAGE >> 12);
    WAIT_FOR(*mailbox(0) != 0, 10 * MS_100NS);
    command(ICR_INIT);
    spin_100ns(100 * US_100NS);
    *mailbox(0) = 0;
    ipi(1, 0x50);
    spin_100ns(100 * US_100NS);
    EXPECT_EQ(*mailbox(0), 0);
    command(ICR_STARTUP | CODE_PAGE >> 12);
    EXPECT(WAIT_FOR(*mailbox(0) == 1, 10 * MS_100NS), "VP 1 did not start again");
    command(ICR_INIT);
}

TEST(index_after_init, "vp.index.stable")
{
    NEEDS(AccessVpIndex);
    NEEDS_WAITING_VP();
    uint32_t index[2];
    for (unsigned i = 0; i < 2; i++) {
        code_put(read_index, read_index_end);
        command(ICR_INIT);
        spin_100ns(20 * US_100NS);
        command(ICR_STARTUP | CODE_PAGE >> 12);
        EXPECT(WAIT_FOR(*mailbox(0) != 0, 10 * MS_100NS), "VP 1 did not start");
        index[i] = *mailbox(1);
        EXPECT_EQ(*mailbox(2), 0);
    }
    EXPECT(index[0] != 0, "it has the boot VP's index");
    EXPECT_EQ(index[1], index[0]);
    command(ICR_INIT);
}

TEST(init_sipi_by_msr, "apic.icr.start")
{
    NEEDS(AccessIntrCtrlRegs);
    NEEDS_WAITING_VP();
    uint64_t to = (uint64_t)vp_apic_id(1) << 56;
    code_put(count_up, count_up_end);
    wrmsr(HV_X64_MSR_ICR, to | ICR_INIT | ICR_ASSERT);
    spin_100ns(20 * US_100NS);
    EXPECT_EQ(*mailbox(0), 0);
    wrmsr(HV_X64_MSR_ICR, to | ICR_STARTUP | ICR_ASSERT | CODE_PAGE >> 12);
    EXPECT(WAIT_FOR(*mailbox(0) != 0, 10 * MS_100NS), "VP 1 did not start");
    command(ICR_INIT);
}
