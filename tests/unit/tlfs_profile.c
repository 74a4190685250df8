/* Profiles: what an edition has, what is announced, and single features. */
#include <criterion/criterion.h>
#include <string.h>

#include "tlfs/profile.h"

static struct profile of(const char *name)
{
    struct profile p;
    cr_assert(profile_find(name, &p), "%s", name);
    return p;
}

Test(profile, every_builtin_text_parses_under_its_own_name)
{
    cr_assert_eq(profile_name_count, 7);
    for (size_t i = 0; i < profile_name_count; i++) {
        cr_expect_str_eq(of(profile_names[i]).name, profile_names[i]);
    }
    struct profile p;
    cr_expect_not(profile_find("ws2022", &p));
}

/* TLFS 6.0b §2.4.1, §2.4.2; Requirements, "Hypervisor Discovery". */
Test(profile, every_profile_has_the_signatures_and_at_least_leaf_5)
{
    for (size_t i = 0; i < profile_name_count; i++) {
        struct profile p = of(profile_names[i]);
        cr_expect_geq(p.announced[0].eax, 0x40000005);
        cr_expect_arr_eq(&p.announced[0].ebx, "Micr", 4);
        cr_expect_arr_eq(&p.announced[0].ecx, "osof", 4);
        cr_expect_arr_eq(&p.announced[0].edx, "t Hv", 4);
        cr_expect_arr_eq(&p.announced[1].eax, "Hv#1", 4);
        cr_expect(p.announced[1].ebx == 0 && p.announced[1].ecx == 0 && p.announced[1].edx == 0);
    }
}

/* Requirements: AccessVpIndex and AccessHypercallMsrs must be set; partition flags that only a parent has must be clear. */
Test(profile, every_profile_announces_the_required_privileges_and_no_parents_one)
{
    for (size_t i = 0; i < profile_name_count; i++) {
        struct profile p = of(profile_names[i]);
        cr_expect_eq(p.announced[3].eax & 0x60, 0x60);
        cr_expect_eq(p.announced[3].ebx & 0x314f, 0);
    }
}

/* What guests of real hosts printed (leaf 0x40000003 EAX, leaf 0x40000004 EAX, leaf 0x40000003 EDX). */
Test(profile, truth_is_what_real_hosts_showed)
{
    static const struct {
        const char *name;
        uint32_t eax, hints;
    } samples[] = {{"ws2008r2", 0x67f, 0x2c}, {"ws2012", 0xe7f, 0x2c}, {"ws2016", 0x2e7f, 0x4c2c}, {"ws2019", 0x2e7f, 0x60e24}};
    for (size_t i = 0; i < ARRAY_COUNT(samples); i++) {
        struct profile p = of(samples[i].name);
        cr_expect_eq(p.truth[3].eax, samples[i].eax, "%s", p.name);
        cr_expect_eq(p.truth[4].eax, samples[i].hints, "%s", p.name);
    }
    cr_expect_eq(of("ws2019").truth[3].edx, 0xbed7b2);
    cr_expect_eq(of("ws2019").truth[2].eax, 17763);
    cr_expect_eq(of("ws2008r2").truth[2].ebx, 0x60001);
}

/* Requirements: only leaves 0x40000000 to 0x40000005, and nothing optional. */
Test(profile, hv1_minimal_announces_nothing_optional)
{
    struct profile p = of("hv1-minimal");
    cr_expect_eq(p.announced[3].eax, 0x60);
    for (int leaf = 2; leaf < PROFILE_LEAVES; leaf++) {
        const struct profile_leaf *l = &p.announced[leaf];
        cr_expect((leaf == 3 || l->eax == 0) && l->ebx == 0 && l->ecx == 0 && l->edx == 0, "leaf %d", leaf);
    }
}

Test(profile, only_what_is_built_is_announced_and_all_that_is_withheld_has_a_reason)
{
    for (size_t i = 0; i < profile_name_count; i++) {
        struct profile p = of(profile_names[i]);
        for (int f = 0; f < HV_FEATURES; f++) {
            cr_expect(!profile_has(&p, f) || (feature_rows[f].built && profile_truth_has(&p, f)), "%s", feature_rows[f].name);
            cr_expect(profile_has(&p, f) || !profile_truth_has(&p, f) || feature_rows[f].why_withheld != NULL, "%s %s", p.name,
                      feature_rows[f].name);
            cr_expect(feature_rows[f].built || feature_rows[f].why_withheld != NULL, "%s", feature_rows[f].name);
        }
    }
}

/* Every bit of the feature leaves that a profile announces is a feature's: nothing leaks beside the table. */
Test(profile, announced_bits_are_all_in_the_feature_table)
{
    for (size_t i = 0; i < profile_name_count; i++) {
        struct profile p = of(profile_names[i]);
        for (int f = 0; f < HV_FEATURES; f++) {
            struct profile_leaf *l = &p.announced[feature_rows[f].leaf - 0x40000000];
            uint32_t *words[] = {&l->eax, &l->ebx, &l->ecx, &l->edx};
            *words[feature_rows[f].reg] &= ~(1u << feature_rows[f].bit);
        }
        cr_expect(p.announced[3].eax == 0 && p.announced[3].ebx == 0 && p.announced[3].ecx == 0 && p.announced[3].edx == 0);
        cr_expect(p.announced[4].eax == 0 && p.announced[6].eax == 0);
    }
}

Test(profile, the_feature_table_is_sorted_without_duplicates)
{
    cr_assert_eq(feature_row_count, (size_t)HV_FEATURES);
    for (size_t i = 1; i < feature_row_count; i++) {
        const struct feature_row *a = &feature_rows[i - 1], *b = &feature_rows[i];
        cr_expect((a->leaf << 16 | (uint32_t)a->reg << 8 | a->bit) < (b->leaf << 16 | (uint32_t)b->reg << 8 | b->bit), "%s",
                  b->name);
        for (size_t k = 0; k < i; k++) {
            cr_expect_str_neq(feature_rows[k].name, b->name);
        }
    }
}

/* §12.2: before direct mode every timer sends messages. */
Test(profile, synthetic_timers_do_not_need_direct_mode)
{
    struct profile p = of("ws2012");
    cr_expect(profile_has(&p, HV_AccessSyntheticTimerRegs) && !profile_has(&p, HV_DirectSyntheticTimers));
}

Test(profile_set, a_feature_comes_with_what_it_needs_and_goes_with_it)
{
    struct profile p = of("ws2012");
    const char *why = NULL;
    cr_assert(profile_set(&p, "AccessSynicRegs", false, &why));
    cr_assert(profile_set(&p, "SintPollingModeAvailable", true, &why));
    cr_expect(profile_has(&p, HV_SintPollingModeAvailable) && profile_has(&p, HV_AccessSynicRegs));
    cr_assert(profile_set(&p, "AccessSynicRegs", false, &why));
    cr_expect(!profile_has(&p, HV_SintPollingModeAvailable) && !profile_has(&p, HV_AccessSynicRegs));
}

Test(profile_set, frequency_bits_stand_and_fall_together)
{
    struct profile p = of("ws2016");
    const char *why = NULL;
    cr_assert(profile_set(&p, "AccessFrequencyRegs", false, &why));
    cr_expect_not(profile_has(&p, HV_FrequencyRegsAvailable));
    cr_assert(profile_set(&p, "FrequencyRegsAvailable", true, &why));
    cr_expect(profile_has(&p, HV_AccessFrequencyRegs));
}

Test(profile_set, what_is_not_built_is_refused_with_the_reason)
{
    struct profile p = of("ws2016"), before = p;
    const char *why = NULL;
    cr_expect_not(profile_set(&p, "AccessVSM", true, &why));
    cr_expect_str_eq(why, "virtual secure mode is not built");
    cr_expect_not(profile_set(&p, "AccessEverything", true, &why));
    cr_expect_str_eq(why, "no such feature");
    cr_expect_arr_eq(&p, &before, sizeof p);
    cr_expect(profile_set(&p, "AccessVSM", false, &why), "what is off may be set off");
}

Test(profile_set, truth_stays_as_the_edition_has_it)
{
    struct profile p = of("ws2016"), before = p;
    const char *why = NULL;
    cr_assert(profile_set(&p, "AccessVpIndex", false, &why));
    cr_expect_arr_eq(p.truth, before.truth, sizeof p.truth);
    cr_expect_eq(p.announced[3].eax, before.announced[3].eax & ~0x40u);
}

static void refused(const char *text, const char *message)
{
    struct profile p;
    char why[160] = "";
    cr_expect_not(profile_parse("t", (const uint8_t *)text, strlen(text), &p, why, sizeof why), "%s", text);
    cr_expect_str_eq(why, message);
}

Test(profile_parse, a_mistake_is_refused_with_its_place)
{
    refused("", "t:1:1: a profile is a mapping");
    refused("profile: x\nmax-leaf: 0x40000005\nfeature: 1\n", "t:3:10: unknown key \"feature\"");
    refused("profile: x\nprivileges: [AccessVpIndex, Acess]\n", "t:2:29: \"Acess\" is not one of the privileges");
    refused("features: [AccessVpIndex]\n", "t:1:12: \"AccessVpIndex\" is not one of the features");
    refused("version: { major: 65536 }\n", "t:1:19: \"major\" wants a number of at most 16 bits");
    refused("version: { major: -1 }\n", "t:1:19: \"major\" wants a number");
    refused("edition: 7.0\n", "t:1:10: unknown edition \"7.0\"; one of requirements, 2.0, 3.0, 4.0, 5.0, 6.0");
    refused("profile: x\nmax-leaf: 0x40000004\n", "t:1:1: a profile has a name, and a max-leaf of 0x40000005 to 0x4000000A");
    refused("profile: [x\n", "t:2:1: did not find expected ',' or ']'");
}
