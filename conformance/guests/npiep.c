/* Non-privileged instruction execution prevention. Clauses: exec.npiep.*; TLFS 6.0b §8.12. */
#include "vps.h"

enum { CONFIG = HV_X64_MSR_NPIEP_CONFIG, PREVENT_ALL = 0xf };

static uint8_t store_buffer[16];

static void sgdt_job(void *to)
{
    __asm__ volatile("sgdt (%0)" ::"r"(to) : "memory");
}

static void sidt_job(void *to)
{
    __asm__ volatile("sidt (%0)" ::"r"(to) : "memory");
}

static void sldt_job(void *to)
{
    __asm__ volatile("sldt (%0)" ::"r"(to) : "memory");
}

static void str_job(void *to)
{
    __asm__ volatile("str (%0)" ::"r"(to) : "memory");
}

/* In the order of the bits. */
static const struct {
    kit_fn *fn;
    const char *clause;
} instructions[] = {
    {sgdt_job, "exec.npiep.sgdt"},
    {sidt_job, "exec.npiep.sidt"},
    {sldt_job, "exec.npiep.sldt"},
    {str_job, "exec.npiep.str"},
};

static unsigned user_fault(unsigned instruction)
{
    return run_at_cpl3(instructions[instruction].fn, store_buffer).vector;
}

TEST(prevents_each, "exec.npiep.own-bit", "exec.npiep.sgdt", "exec.npiep.sidt", "exec.npiep.sldt", "exec.npiep.str")
{
    NEEDS(Npiep1Available);
    for (unsigned bit = 0; bit < 4; bit++) {
        wrmsr(CONFIG, 1ULL << bit);
        for (unsigned i = 0; i < 4; i++) {
            EXPECT_EQ_FOR(i == bit ? instructions[i].clause : "exec.npiep.own-bit", user_fault(i),
                          i == bit ? VEC_GP : NO_FAULT);
        }
    }
    wrmsr(CONFIG, 0);
}

TEST(supervisor_free, "exec.npiep.supervisor")
{
    NEEDS(Npiep1Available);
    wrmsr(CONFIG, PREVENT_ALL);
    for (unsigned i = 0; i < 4; i++) {
        EXPECT_EQ(try_run(instructions[i].fn, store_buffer).vector, NO_FAULT);
    }
    wrmsr(CONFIG, 0);
}

static void user_job(void *vectors)
{
    for (unsigned i = 0; i < 4; i++) {
        ((unsigned *)vectors)[i] = user_fault(i);
    }
}

TEST(each_vp, "exec.npiep.per-vp")
{
    NEEDS(Npiep1Available);
    NEEDS_VPS(2);
    unsigned vectors[4];
    wrmsr(CONFIG, PREVENT_ALL);
    EXPECT_EQ(rdmsr_on(1, CONFIG), 0);
    on_vp(1, user_job, vectors);
    for (unsigned i = 0; i < 4; i++) {
        EXPECT_EQ(vectors[i], NO_FAULT);
        EXPECT_EQ(user_fault(i), VEC_GP);
    }
    wrmsr(CONFIG, 0);
}

TEST(off_at_creation, "exec.npiep.off")
{
    NEEDS(Npiep1Available);
    EXPECT_EQ(rdmsr(CONFIG), 0);
    for (unsigned i = 0; i < 4; i++) {
        EXPECT_EQ(user_fault(i), NO_FAULT);
    }
}

TEST(reads_as_written, "exec.npiep.read-back")
{
    NEEDS(Npiep1Available);
    for (unsigned value = 0; value <= PREVENT_ALL; value++) {
        wrmsr(CONFIG, value);
        EXPECT_EQ(rdmsr(CONFIG), value);
    }
    wrmsr(CONFIG, 0);
}

TEST(reserved_bits, "exec.npiep.reserved")
{
    NEEDS(Npiep1Available);
    wrmsr(CONFIG, 5);
    for (unsigned bit = 4; bit < 64; bit += 7) {
        unsigned vector = wrmsr_try(CONFIG, 1ULL << bit | 5);
        EXPECT(vector == VEC_GP || vector == NO_FAULT, "exception %u", vector);
        EXPECT_EQ(rdmsr(CONFIG), 5);
    }
    wrmsr(CONFIG, 0);
}

TEST(withheld, "exec.npiep.withheld")
{
    NEEDS_WITHHELD(Npiep1Available);
    EXPECT(msr_absent(CONFIG));
}
