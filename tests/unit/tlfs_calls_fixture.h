/* What the tests of hypercalls share: a partition whose VP 0 calls by 64-bit registers, with parameters in memory. */
#ifndef ORRERY_TESTS_TLFS_CALLS_FIXTURE_H
#define ORRERY_TESTS_TLFS_CALLS_FIXTURE_H

#include "tests/unit/tlfs_fixture.h"
#include "tlfs/hypercall.h"

#define PAGE 0x200000ULL
#define INPUT 0x300000ULL
#define OUTPUT 0x301000ULL
enum { FAST = 1 << 16 };
#define REPS(start, count) ((uint64_t)(start) << 48 | (uint64_t)(count) << 32)
#define BANKS(n) ((uint64_t)(n) << 17)

static struct partition *p;

/* `features`: what is announced besides, or with a minus sign in front is not; ends with NULL. */
static inline void calls_begin(const char *profile_name, unsigned vps, enum translation_policy policy,
                               const char *const *features)
{
    struct profile profile;
    cr_assert(profile_find(profile_name, &profile));
    for (; features != NULL && *features != NULL; features++) {
        const char *why = "";
        bool on = **features != '-';
        cr_assert(profile_set(&profile, *features + !on, on, &why), "%s: %s", *features, why);
    }
    struct partition_config config = {.ram_bytes = 64 * MIB, .seed = 1, .turn_cycles = 1000, .profile = &profile};
    cr_assert(cpu_model_init(&config.cpu.model, "v2", VENDOR_AMD, GHZ, vps));
    config.cpu.cost = cost_table_by_name("ipc1");
    config.cpu.vps = vps;
    config.cpu.policy = policy;
    const char *why = "";
    p = partition_create(&config, &why);
    cr_assert(p != NULL, "%s", why);
    static const uint8_t hlt = 0xf4;
    guest(p, BOOT_MODE_64, CODE, &hlt, 1);
    cr_assert(wr(p, 0, 0x40000000, 1) == MSR_OK && wr(p, 0, 0x40000001, PAGE | 1) == MSR_OK);
}
static inline void calls_end(void)
{
    partition_destroy(p);
}

/* The vector raised, or -1 with the result in RAX. */
static inline int call_again(uint64_t control, uint64_t input, uint64_t output, bool *again)
{
    struct vcpu *v = p->vps[0].vcpu;
    vp_set_gpr(v, RAX, 0x5555555555555555);
    vp_set_gpr(v, RCX, control);
    vp_set_gpr(v, RDX, input);
    vp_set_gpr(v, R8, output);
    return hv_hypercall(p, v, false, again);
}
static inline uint64_t result(uint64_t control, uint64_t input, uint64_t output)
{
    bool again = true;
    cr_assert_eq(call_again(control, input, output, &again), -1);
    cr_assert_not(again);
    return vp_gpr(p->vps[0].vcpu, RAX);
}
/* The same with the words of the input in memory. */
#define CALL(control, ...) call_words(control, (const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}))
static inline uint64_t call_words(uint64_t control, const uint64_t *words, size_t bytes)
{
    cr_assert(memory_write(p->machine->memory, gpa(INPUT), words, bytes));
    return result(control, INPUT, OUTPUT);
}
static inline uint64_t done(uint64_t reps, hv_status_t status)
{
    return reps << 32 | status;
}
static inline struct vp_state state_of(unsigned vp)
{
    struct vp_state s;
    vp_get_state(p->vps[vp].vcpu, &s);
    return s;
}

#endif
