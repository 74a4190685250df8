/* orrery profile: an interface profile in full. What the edition has, what of it a guest is shown, what is withheld and why. */
#include <stdio.h>
#include <string.h>

#include "tlfs/profile.h"
#include "tools/commands.h"

static int help(void)
{
    puts("usage: orrery profile [NAME]\n"
         "\n"
         "Shows the hypervisor's CPUID leaves under a profile: as the edition has them and as a guest of this program sees\n"
         "them, each feature by its TLFS name; features that are withheld come with the reason. Without NAME: the names.\n"
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

static int show(const struct profile *p)
{
    printf("%s: %s\n", p->name, p->title);
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
