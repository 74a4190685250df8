/* orrery profile: an interface profile in full. What the edition has, what of it a guest is shown, what is withheld and why. */
#include <stdio.h>
#include <string.h>

#include "tlfs/profile.h"
#include "tools/commands.h"

static int help(void)
{
    puts("usage: orrery profile [NAME]\n"
         "       orrery profile --diff NAME NAME\n"
         "\n"
         "Shows the hypervisor's CPUID leaves under a profile: as the edition has them and as a guest of this program sees\n"
         "them, each feature by its TLFS name; features that are withheld come with the reason. Without NAME: the names.\n"
         "With --diff: only what the second profile has otherwise than the first.\n"
         "\n"
         "A scenario starts from a profile (partition: { profile: NAME }) and sets or clears single features\n"
         "(features: { AccessVpIndex: off }). Exit code: 0, or 2 for an unknown name.");
    return EXIT_AS_EXPECTED;
}

static uint32_t leaf_register(const struct profile_leaf *leaf, unsigned reg)
{
    const uint32_t registers[] = {leaf->eax, leaf->ebx, leaf->ecx, leaf->edx};
    return registers[reg];
}

static void print_leaf(const char *what, const struct profile_leaf *leaf)
{
    printf("  %-10s eax %08x  ebx %08x  ecx %08x  edx %08x\n", what, leaf->eax, leaf->ebx, leaf->ecx, leaf->edx);
}

static void print_features(const struct profile *p, uint32_t leaf)
{
    static const char *const registers[] = {"eax", "ebx", "ecx", "edx"};
    const struct profile_leaf *truth = &p->truth[leaf - 0x40000000], *announced = &p->announced[leaf - 0x40000000];
    for (size_t i = 0; i < feature_row_count; i++) {
        const struct feature_row *row = &feature_rows[i];
        if (row->leaf != leaf || !(leaf_register(truth, row->reg) >> row->bit & 1)) {
            continue;
        }
        bool shown = leaf_register(announced, row->reg) >> row->bit & 1;
        printf("    %s[%2u]  %-9s %s", registers[row->reg], row->bit, shown ? "announced" : "withheld", row->name);
        printf(shown ? "\n" : ": %s\n", row->why_withheld != NULL ? row->why_withheld : "needs a feature that is withheld");
    }
}

/* What the numbers of the leaves mean, for people. TLFS 6.0b §2.4. */
enum { FACTS = 6, FACT_BYTES = 48 };
static const char *const fact_names[FACTS] = {"text",        "host version",        "highest leaf",
                                              "VPs at most", "spins before a call", "features"};

static void facts(const struct profile *p, char text[FACTS][FACT_BYTES])
{
    const struct profile_leaf *leaf = p->announced;
    unsigned announced = 0, withheld = 0;
    for (int f = 0; f < HV_FEATURES; f++) {
        announced += profile_has(p, (enum hv_feature)f);
        withheld += profile_truth_has(p, (enum hv_feature)f) && !profile_has(p, (enum hv_feature)f);
    }
    if (p->edition == EDITION_REQUIREMENTS) {
        snprintf(text[0], FACT_BYTES, "Requirements, June 2012");
    } else {
        snprintf(text[0], FACT_BYTES, "TLFS %d.%d", p->edition / 10, p->edition % 10);
    }
    snprintf(text[1], FACT_BYTES, "%u.%u.%u-%u-%u-%u", leaf[2].ebx >> 16, leaf[2].ebx & 0xffff, leaf[2].eax, leaf[2].ecx,
             leaf[2].edx >> 24, leaf[2].edx & 0xffffff);
    snprintf(text[2], FACT_BYTES, "0x%08x", leaf[0].eax);
    snprintf(text[3], FACT_BYTES, leaf[5].eax != 0 ? "%u" : "not said", leaf[5].eax);
    snprintf(text[4], FACT_BYTES, leaf[4].ebx == UINT32_MAX ? "never calls" : "%u", leaf[4].ebx);
    snprintf(text[5], FACT_BYTES, "%u announced, %u withheld", announced, withheld);
}

/* "announced", "withheld" or "-": the edition has it not. */
static const char *feature_state(const struct profile *p, enum hv_feature f)
{
    return profile_has(p, f) ? "announced" : profile_truth_has(p, f) ? "withheld" : "-";
}

static int diff(const struct profile *a, const struct profile *b)
{
    static const char *const registers[] = {"eax", "ebx", "ecx", "edx"};
    char left[FACTS][FACT_BYTES], right[FACTS][FACT_BYTES];
    unsigned differences = 0;
    facts(a, left);
    facts(b, right);
    printf("%-69s %-26s %s\n", "", a->name, b->name);
    for (unsigned i = 0; i < FACTS; i++) {
        if (strcmp(left[i], right[i]) != 0) {
            printf("%-69s %-26s %s\n", fact_names[i], left[i], right[i]);
            differences++;
        }
    }
    for (size_t f = 0; f < feature_row_count; f++) {
        const struct feature_row *row = &feature_rows[f];
        const char *x = feature_state(a, (enum hv_feature)f), *y = feature_state(b, (enum hv_feature)f);
        if (strcmp(x, y) != 0) {
            printf("%08x %s[%2u] %-52s %-26s %s\n", row->leaf, registers[row->reg], row->bit, row->name, x, y);
            differences++;
        }
    }
    if (differences == 0) {
        puts("no difference");
    }
    return EXIT_AS_EXPECTED;
}

static int show(const struct profile *p)
{
    char text[FACTS][FACT_BYTES];
    facts(p, text);
    printf("%s: %s\n", p->name, p->title);
    for (unsigned i = 0; i < FACTS; i++) {
        printf("  %-20s %s\n", fact_names[i], text[i]);
    }
    for (uint32_t leaf = 0x40000000; leaf < 0x40000000 + PROFILE_LEAVES; leaf++) {
        if (leaf > p->max_leaf) {
            break;
        }
        printf("leaf %08x\n", leaf);
        print_leaf("edition", &p->truth[leaf - 0x40000000]);
        print_leaf("announced", &p->announced[leaf - 0x40000000]);
        print_features(p, leaf);
    }
    return EXIT_AS_EXPECTED;
}

int command_profile(int argc, char **argv)
{
    struct profile p;
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        return help();
    }
    if (argc >= 2 && strcmp(argv[1], "--diff") == 0) {
        struct profile other;
        if (argc != 4) {
            return complain("profile --diff takes two names; see orrery profile --help");
        }
        for (int i = 2; i < 4; i++) {
            if (!profile_find(argv[i], i == 2 ? &p : &other)) {
                return complain("no profile has the name %s; `orrery profile` lists them", quote_text(argv[i]).text);
            }
        }
        return diff(&p, &other);
    }
    if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
        return complain("profile takes one NAME; see orrery profile --help");
    }
    if (argc == 2) {
        return profile_find(argv[1], &p)
                   ? show(&p)
                   : complain("no profile has the name %s; `orrery profile` lists them", quote_text(argv[1]).text);
    }
    for (size_t i = 0; i < profile_name_count; i++) {
        if (profile_find(profile_names[i], &p)) {
            printf("%-14s %s\n", profile_names[i], p.title);
        }
    }
    return EXIT_AS_EXPECTED;
}
