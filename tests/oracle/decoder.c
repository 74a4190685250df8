/* Lengths of decode_insn() against capstone: over the code of large system binaries, and over random bytes in every mode.
 *
 * The two need not agree on what exists (capstone knows extensions that our models lack, and the reverse), so a difference is a
 * *class*: who says what. A class that is explained below is counted; any other fails. oracle_decoder [--random N] [--seed S]
 * [FILE...]
 */
#include <capstone/capstone.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/block.h"

/* Lengths may differ where the manuals leave room. */
static const char *explained(const uint8_t *b, enum code_mode mode, unsigned theirs)
{
    unsigned i = 0;
    bool operand = false;
    while (i < 14 &&
           (b[i] == 0x66 || b[i] == 0x67 || b[i] == 0xf0 || b[i] == 0xf2 || b[i] == 0xf3 || b[i] == 0x26 || b[i] == 0x2e ||
            b[i] == 0x36 || b[i] == 0x3e || b[i] == 0x64 || b[i] == 0x65 || (mode == CODE_64 && (b[i] & 0xf0) == 0x40))) {
        operand |= b[i] == 0x66;
        i++;
    }
    if (b[i] == 0x9b) {
        return "WAIT joined with the x87 instruction after it (capstone)";
    }
    bool near_branch =
        b[i] == 0xe8 || b[i] == 0xe9 || (b[i] == 0x0f && (b[i + 1] & 0xf0) == 0x80) || (b[i] == 0xc7 && b[i + 1] == 0xf8);
    if (mode == CODE_64 && operand && near_branch) {
        return "66h before a near branch: ignored by Intel (SDM 2A JMP), cut to 16 bits by AMD";
    }
    if (b[i] == 0x0f && (b[i + 1] == 0xff || b[i + 1] == 0xb9)) {
        return "UD0 and UD1 have a ModRM byte (SDM 2B UD); capstone stops before it";
    }
    if (theirs == 1 && i >= 1) {
        return "capstone ends at a lone prefix";
    }
    return NULL;
}

/* What only one of the two decodes, by mnemonic: to be read, since each may know extensions that the other lacks. */
struct names {
    struct {
        char name[24];
        unsigned long count;
    } e[512];
    unsigned used;
};
static void note(struct names *n, const char *name)
{
    unsigned i = 0;
    while (i < n->used && strcmp(n->e[i].name, name) != 0) {
        i++;
    }
    if (i == ARRAY_COUNT(n->e)) {
        return;
    }
    if (i == n->used) {
        snprintf(n->e[n->used++].name, sizeof n->e[0].name, "%s", name);
    }
    n->e[i].count++;
}
static void print_names(const char *what, const struct names *n)
{
    printf("%s:", what);
    for (unsigned i = 0; i < n->used; i++) {
        printf(" %s %lu", n->e[i].name, n->e[i].count);
    }
    printf("\n");
}

struct tally {
    unsigned long total, same, only_capstone, only_ours, explained, unexplained;
};

static struct names only_capstone, only_ours;

static void compare(csh handle, enum code_mode mode, const uint8_t *bytes, unsigned count, struct tally *t, unsigned *advance)
{
    struct insn in;
    enum decode_status status = decode_insn(bytes, count, mode, &in);
    unsigned ours = status == DECODE_OK ? in.length : 0;
    cs_insn *out = NULL;
    size_t n = cs_disasm(handle, bytes, count, 0x1000, 1, &out);
    unsigned theirs = n == 1 ? out->size : 0;
    t->total++;
    if (ours == theirs) {
        t->same++;
    } else if (ours == 0) {
        t->only_capstone++;
        note(&only_capstone, out->mnemonic);
    } else if (theirs == 0) {
        t->only_ours++;
        note(&only_ours, decode_mnemonic_name(in.mnemonic));
    } else if (explained(bytes, mode, theirs) != NULL) {
        t->explained++;
    } else {
        if (t->unexplained++ < 20) {
            printf("  FAIL mode %d: ours %u (%s), capstone %u (%s %s):", mode, ours, decode_mnemonic_name(in.mnemonic), theirs,
                   out->mnemonic, out->op_str);
            for (unsigned i = 0; i < 15 && i < count; i++) {
                printf(" %02x", bytes[i]);
            }
            printf("\n");
        }
    }
    if (n) {
        cs_free(out, n);
    }
    *advance = ours ? ours : theirs ? theirs : 1;
}

static void print_tally(const char *what, const struct tally *t)
{
    printf(
        "%-28s %9lu compared %9lu same length %7lu only capstone decodes %7lu only we decode %5lu explained %4lu unexplained\n",
        what, t->total, t->same, t->only_capstone, t->only_ours, t->explained, t->unexplained);
}

static bool compare_file(csh handle, const char *path, struct tally *t)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        printf("%-28s absent, left out\n", path);
        return true;
    }
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    rewind(f);
    uint8_t *file = malloc((size_t)size + 16);
    bool read = file != NULL && fread(file, 1, (size_t)size, f) == (size_t)size;
    fclose(f);
    if (!read || size < (long)sizeof(Elf64_Ehdr) || memcmp(file, ELFMAG, SELFMAG) != 0) {
        free(file);
        return false;
    }
    const Elf64_Ehdr *e = (const Elf64_Ehdr *)file;
    const Elf64_Shdr *s = (const Elf64_Shdr *)(file + e->e_shoff);
    for (unsigned i = 0; i < e->e_shnum; i++) {
        if (!(s[i].sh_flags & SHF_EXECINSTR) || s[i].sh_type != SHT_PROGBITS) {
            continue;
        }
        for (uint64_t at = 0; at + 15 < s[i].sh_size;) {
            unsigned advance;
            compare(handle, CODE_64, file + s[i].sh_offset + at, 15, t, &advance);
            at += advance;
        }
    }
    free(file);
    return true;
}

int main(int argc, char **argv)
{
    unsigned long random_count = 1000000;
    struct prng prng = {.state = 1};
    const char *files[16] = {"/usr/bin/qemu-system-x86_64", "/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/bin/perl",
                             "/usr/lib/x86_64-linux-gnu/libcapstone.so.4"};
    unsigned file_count = 4;
    bool own_files = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--random") == 0 && i + 1 < argc) {
            random_count = strtoul(argv[++i], NULL, 0);
        } else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            prng.state = strtoull(argv[++i], NULL, 0);
        } else {
            file_count = own_files ? file_count : 0;
            own_files = true;
            files[file_count++ & 15] = argv[i];
        }
    }
    static const cs_mode modes[CODE_MODES] = {CS_MODE_64, CS_MODE_32, CS_MODE_16};
    static const char *const names[CODE_MODES] = {"random bytes, 64-bit", "random bytes, 32-bit", "random bytes, 16-bit"};
    csh handle[CODE_MODES];
    for (unsigned m = 0; m < CODE_MODES; m++) {
        if (cs_open(CS_ARCH_X86, modes[m], &handle[m]) != CS_ERR_OK) {
            return 1;
        }
    }
    unsigned long unexplained = 0;
    for (unsigned i = 0; i < file_count; i++) {
        struct tally t = {0};
        if (!compare_file(handle[CODE_64], files[i], &t)) {
            return 1;
        }
        print_tally(files[i], &t);
        unexplained += t.unexplained;
    }
    for (unsigned m = 0; m < CODE_MODES; m++) {
        struct tally t = {0};
        for (unsigned long i = 0; i < random_count; i++) {
            uint8_t bytes[16];
            uint64_t a = prng_next(&prng), b = prng_next(&prng);
            memcpy(bytes, &a, 8);
            memcpy(bytes + 8, &b, 8);
            unsigned advance;
            compare(handle[m], m, bytes, 15, &t, &advance);
        }
        print_tally(names[m], &t);
        unexplained += t.unexplained;
    }
    print_names("only capstone decodes", &only_capstone);
    print_names("only we decode", &only_ours);
    printf("decoder: %lu unexplained\n", unexplained);
    return unexplained != 0;
}
