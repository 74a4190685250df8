/* The ACPI tables as a guest finds them: devices/acpi.c and aml.c. ACPI 6.3 chapter 5; iasl is the judge of the AML. */
#define _GNU_SOURCE /* memmem */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/aml.h"
#include "devices/platform.h"

enum { TABLES = 5 };
enum table { XSDT, FADT, FACS, DSDT, MADT };

struct acpi {
    struct machine *machine;
    uint64_t rsdp, at[TABLES];
    uint8_t bytes[TABLES][4096];
    uint32_t length[TABLES];
};

static uint64_t load(const uint8_t *from, unsigned bytes)
{
    uint64_t value = 0;
    memcpy(&value, from, bytes);
    return value;
}
static uint8_t sum(const uint8_t *bytes, size_t count)
{
    uint8_t s = 0;
    for (size_t i = 0; i < count; i++) {
        s += bytes[i];
    }
    return s;
}
static void fetch(struct acpi *a, enum table which, uint64_t at)
{
    uint8_t header[8];
    cr_assert(memory_read(a->machine->memory, gpa(at), header, sizeof header));
    a->at[which] = at;
    a->length[which] = (uint32_t)load(header + 4, 4);
    cr_assert(a->length[which] >= 36 && a->length[which] <= sizeof a->bytes[which]);
    cr_assert(memory_read(a->machine->memory, gpa(at), a->bytes[which], a->length[which]));
}
/* Follows the tables from the RSDP, as a guest does. */
static struct acpi *built(unsigned vps, bool vmbus)
{
    const char *why = NULL;
    struct acpi *a = calloc(1, sizeof *a);
    const struct platform_config config = {.vps = vps, .ram_bytes = 16 << 20, .vmbus = vmbus};
    a->machine = machine_create(config.ram_bytes, 1000000000, 1, &why);
    a->rsdp = acpi_build(a->machine, &config);
    uint8_t rsdp[36];
    cr_assert(memory_read(a->machine->memory, gpa(a->rsdp), rsdp, sizeof rsdp));
    fetch(a, XSDT, load(rsdp + 24, 8));
    fetch(a, FADT, load(a->bytes[XSDT] + 36, 8));
    fetch(a, MADT, load(a->bytes[XSDT] + 44, 8));
    fetch(a, FACS, load(a->bytes[FADT] + 36, 4));
    fetch(a, DSDT, load(a->bytes[FADT] + 140, 8));
    return a;
}
static void drop(struct acpi *a)
{
    machine_destroy(a->machine);
    free(a);
}

/* §5.2.5.3: on a 16-byte boundary between E0000h and FFFFFh, two checksums. */
Test(acpi, rsdp_is_where_a_scan_finds_it)
{
    struct acpi *a = built(1, false);
    uint8_t rsdp[36];
    memory_read(a->machine->memory, gpa(a->rsdp), rsdp, sizeof rsdp);
    cr_expect(a->rsdp >= 0xe0000 && a->rsdp < 0x100000 && a->rsdp % 16 == 0);
    cr_expect_eq(memcmp(rsdp, "RSD PTR ", 8), 0);
    cr_expect_eq(rsdp[15], 2, "revision");
    cr_expect_eq(load(rsdp + 20, 4), 36);
    cr_expect_eq(sum(rsdp, 20), 0);
    cr_expect_eq(sum(rsdp, 36), 0);
    drop(a);
}

Test(acpi, every_table_has_its_signature_and_sums_to_zero)
{
    static const char signatures[TABLES][5] = {"XSDT", "FACP", "FACS", "DSDT", "APIC"};
    static const unsigned vps[] = {1, 2, 240};
    for (unsigned i = 0; i < ARRAY_COUNT(vps); i++) {
        struct acpi *a = built(vps[i], i == 1);
        for (unsigned t = 0; t < TABLES; t++) {
            cr_expect_eq(memcmp(a->bytes[t], signatures[t], 4), 0, "%s", signatures[t]);
            cr_expect(t == FACS || sum(a->bytes[t], a->length[t]) == 0, "%s", signatures[t]);
            cr_expect_leq(a->at[t] + a->length[t], 0x100000);
        }
        cr_expect_eq(a->at[FACS] % 64, 0, "§5.2.10: aligned to 64 bytes");
        drop(a);
    }
}

Test(acpi, fadt_names_the_ports_of_the_devices)
{
    struct acpi *a = built(1, false);
    const uint8_t *f = a->bytes[FADT];
    cr_expect_eq(a->length[FADT], 276);
    cr_expect_eq(f[8], 6, "revision");
    cr_expect_eq(load(f + 46, 2), 9, "SCI");
    cr_expect_eq(load(f + 48, 4), 0, "no SMI command: always in ACPI mode");
    cr_expect_eq(load(f + 56, 4), 0x600);
    cr_expect_eq(load(f + 64, 4), 0x604);
    cr_expect_eq(load(f + 76, 4), 0x608);
    cr_expect_eq(load(f + 152, 8), 0x600, "X_PM1a_EVT");
    cr_expect_eq(load(f + 176, 8), 0x604, "X_PM1a_CNT");
    cr_expect_eq(load(f + 212, 8), 0x608, "X_PM_TMR");
    cr_expect_eq(load(f + 120, 8), 0xcf9, "reset register");
    cr_expect_eq(f[128], 6);
    cr_expect(load(f + 112, 4) & 1 << 10, "RESET_REG_SUP");
    cr_expect(load(f + 112, 4) & 1 << 8, "TMR_VAL_EXT");
    cr_expect_not(load(f + 112, 4) & 1 << 20, "not hardware-reduced");
    cr_expect_eq(load(f + 109, 2) & 3, 1, "legacy devices, no 8042 to probe");
    cr_expect_eq(load(f + 40, 4), load(f + 140, 8), "DSDT and X_DSDT agree");
    drop(a);
}

Test(acpi, madt_lists_each_vp_once_and_the_two_overrides)
{
    static const unsigned counts[] = {1, 4, 240};
    for (unsigned i = 0; i < ARRAY_COUNT(counts); i++) {
        struct acpi *a = built(counts[i], false);
        const uint8_t *m = a->bytes[MADT];
        unsigned lapics = 0, ioapics = 0, overrides = 0, nmis = 0, at = 44;
        cr_expect_eq(load(m + 36, 4), 0xfee00000);
        cr_expect_eq(load(m + 40, 4), 1, "PCAT_COMPAT");
        for (; at < a->length[MADT]; at += m[at + 1]) {
            cr_assert_gt(m[at + 1], 1);
            if (m[at] == 0) {
                cr_expect_eq(m[at + 3], lapics, "APIC id");
                cr_expect_eq(load(m + at + 4, 4), 1, "enabled");
                lapics++;
            } else if (m[at] == 1) {
                cr_expect_eq(load(m + at + 4, 4), 0xfec00000);
                ioapics++;
            } else if (m[at] == 2) {
                bool timer = m[at + 3] == 0;
                cr_expect_eq(load(m + at + 4, 4), timer ? 2 : 9);
                cr_expect_eq(load(m + at + 8, 2), timer ? 0 : 0x0d);
                overrides++;
            } else {
                cr_expect_eq(m[at], 4);
                nmis++;
            }
        }
        cr_expect_eq(at, a->length[MADT]);
        cr_expect(lapics == counts[i] && ioapics == 1 && overrides == 2 && nmis == 1);
        drop(a);
    }
}

static bool contains(const struct acpi *a, enum table t, const char *bytes, size_t count)
{
    return memmem(a->bytes[t], a->length[t], bytes, count) != NULL;
}

Test(acpi, dsdt_has_s5_and_no_s4)
{
    struct acpi *a = built(1, true);
    cr_expect(contains(a, DSDT, "\\_S5_\x12\x49\x00\x04\x0a\x05\x0a\x05\x00\x00", 15), "Package (4) {5, 5, 0, 0}");
    cr_expect_not(contains(a, DSDT, "_S4_", 4));
    drop(a);
}

Test(acpi, vmbus_device_is_there_only_when_the_bus_is)
{
    struct acpi *with = built(1, true), *without = built(1, false);
    cr_expect(contains(with, DSDT, "_CID\rVMBUS", 11));
    cr_expect_not(contains(without, DSDT, "VMBUS", 5));
    drop(with);
    drop(without);
}

Test(acpi, too_little_memory_builds_nothing)
{
    const char *why = NULL;
    const struct platform_config config = {.vps = 1, .ram_bytes = 0xe0000};
    struct machine *m = machine_create(config.ram_bytes, 1000000000, 1, &why);
    cr_expect_eq(acpi_build(m, &config), 0);
    machine_destroy(m);
}

/* ---- iasl: what it disassembles, it compiles again without a complaint ---- */

static int run(const char *format, const char *folder)
{
    char command[512];
    snprintf(command, sizeof command, format, folder);
    return system(command);
}
static size_t slurp(const char *folder, const char *name, uint8_t *to, size_t room)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    cr_assert_not_null(f, "%s", path);
    size_t count = fread(to, 1, room, f);
    fclose(f);
    return count;
}
static void dump(const char *folder, const char *name, const struct acpi *a, enum table t)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    cr_assert_not_null(f, "%s", path);
    cr_assert_eq(fwrite(a->bytes[t], 1, a->length[t], f), a->length[t]);
    fclose(f);
}

Test(acpi, iasl_disassembles_and_recompiles_every_table)
{
    static const struct {
        enum table table;
        const char *file;
    } files[] = {{DSDT, "dsdt.aml"}, {FADT, "facp.aml"}, {MADT, "apic.aml"}, {XSDT, "xsdt.aml"}, {FACS, "facs.aml"}};
    cr_assert_eq(system("iasl -v >/dev/null 2>&1"), 0, "iasl is missing: install acpica-tools");
    for (unsigned vmbus = 0; vmbus < 2; vmbus++) {
        char folder[] = "/tmp/orrery-acpi-XXXXXX";
        cr_assert_not_null(mkdtemp(folder));
        struct acpi *a = built(4, vmbus);
        for (unsigned i = 0; i < ARRAY_COUNT(files); i++) {
            dump(folder, files[i].file, a, files[i].table);
        }
        cr_expect_eq(run("cd %s && iasl -d dsdt.aml facp.aml apic.aml xsdt.aml facs.aml >log 2>&1", folder), 0);
        cr_expect_neq(run("cd %s && grep -iE 'invalid|incorrect|warning|error' log *.dsl", folder), 0, "iasl complains");
        cr_expect_eq(run("cd %s && iasl -we -p again dsdt.dsl >log2 2>&1 || { cat log2; false; }", folder), 0);
        cr_expect_eq(run("cd %s && grep -q '0 Errors, 0 Warnings' log2", folder), 0);
        uint8_t again[4096];
        size_t size = slurp(folder, "again.aml", again, sizeof again);
        cr_expect_gt(size, 36);
        run("rm -r %s", folder);
        drop(a);
    }
}

/* ---- the writer ---- */

/* §20.2.3: the shortest form of a constant. */
Test(aml, integers_take_as_few_bytes_as_they_need)
{
    static const struct {
        uint64_t value;
        size_t bytes;
        uint8_t op;
    } cases[] = {{0, 1, 0x00},      {1, 1, 0x01},       {2, 2, 0x0a},          {0xff, 2, 0x0a},        {0x100, 3, 0x0b},
                 {0xffff, 3, 0x0b}, {0x10000, 5, 0x0c}, {0xffffffff, 5, 0x0c}, {0x100000000, 9, 0x0e}, {~0ULL, 9, 0x0e}};
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct aml a = {.size = 0};
        aml_integer(&a, cases[i].value);
        cr_expect_eq(a.size, cases[i].bytes);
        cr_expect_eq(a.bytes[0], cases[i].op);
        cr_expect_eq(load(a.bytes + 1, (unsigned)a.size - 1), cases[i].bytes == 1 ? 0 : cases[i].value);
    }
}

/* §20.2.4: the length counts its own two bytes; the low nibble stands in the lead byte. */
Test(aml, package_length_counts_itself)
{
    struct aml a = {.size = 0};
    size_t scope = aml_scope(&a, "\\_SB_");
    for (unsigned i = 0; i < 100; i++) {
        aml_integer(&a, 0);
    }
    aml_end(&a, scope);
    cr_expect_eq(a.bytes[0], 0x10);
    cr_expect_eq(a.bytes[1], 0x40 | (107 & 15));
    cr_expect_eq(a.bytes[2], 107 >> 4);
}

/* §20.2.5.4: a Buffer's size counts its bytes; an empty template is an end tag. */
Test(aml, resource_buffers_have_the_size_of_their_descriptors)
{
    struct aml a = {.size = 0};
    aml_resources_end(&a, aml_resources(&a));
    static const uint8_t expected[] = {0x08, '_', 'C', 'R', 'S', 0x11, 0x47, 0x00, 0x0b, 0x02, 0x00, 0x79, 0x00};
    cr_assert_eq(a.size, sizeof expected);
    cr_expect_eq(memcmp(a.bytes, expected, sizeof expected), 0);
}

/* "PNP0A03" is 0x030AD041, the example that every ACPI namespace shows. */
Test(aml, eisa_ids_are_compressed_as_everywhere)
{
    struct aml a = {.size = 0};
    aml_name_eisa_id(&a, "_HID", "PNP0A03");
    cr_expect_eq(load(a.bytes + a.size - 4, 4), 0x030ad041);
}

Test(aml, what_does_not_fit_is_reported)
{
    struct aml a = {.size = 0};
    size_t mark = aml_scope(&a, "\\_SB_");
    for (unsigned i = 0; i < AML_MAX; i++) {
        aml_integer(&a, 5);
    }
    aml_end(&a, mark);
    cr_expect(a.overflow);
    cr_expect_leq(a.size, AML_MAX);
}
