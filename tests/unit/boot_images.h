/* What the tests of the boot loaders share: a machine, and what lies in it after a load. */
#ifndef ORRERY_TESTS_BOOT_IMAGES_H
#define ORRERY_TESTS_BOOT_IMAGES_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/lapic.h"
#include "scenarios/boot.h"
#include "tests/unit/boot_make.h"

#define MIB (1ULL << 20)

/* ---- the machine ---- */

static struct machine *m;
static struct cpu *c;
static struct platform_config platform;
static char why[300];

static void machine_up_bytes(uint64_t ram)
{
    const char *problem;
    struct cpu_config config = {.vps = 2, .cost = cost_table_by_name("ipc1")};
    cr_assert(cpu_model_init(&config.model, "v2", VENDOR_AMD, 1000000000, 2));
    m = machine_create(ram, 1000000000, 1, &problem);
    cr_assert(m != NULL);
    c = cpu_create(m, &config, &(struct cpu_hooks){0});
    cr_assert(c != NULL);
    platform = (struct platform_config){.vps = 2, .ram_bytes = ram};
    why[0] = '\0';
}
static void machine_up(void)
{
    machine_up_bytes(128 * MIB);
}
static void machine_down(void)
{
    cpu_destroy(c);
    machine_destroy(m);
}

static inline uint64_t at64(uint64_t at)
{
    uint64_t v = 0;
    cr_assert(memory_read(m->memory, gpa(at), &v, sizeof v), "%llx", (unsigned long long)at);
    return v;
}
static inline uint32_t at32(uint64_t at)
{
    return (uint32_t)at64(at);
}
static inline uint8_t at8(uint64_t at)
{
    return (uint8_t)at64(at);
}
static inline bool text_at(uint64_t at, const char *text)
{
    char there[300] = "";
    return memory_read(m->memory, gpa(at), there, strlen(text) + 1) && strcmp(there, text) == 0;
}
static inline struct vp_state vp0(void)
{
    struct vp_state s;
    vp_get_state(cpu_vp(c, 0), &s);
    return s;
}

static inline int load(struct boot_config config)
{
    config.platform = &platform;
    return boot_load(m, c, &config, why, sizeof why);
}
/* Refused, with these words in the message; VP 0 is as it was. */
static inline void refused(struct boot_config config, const char *words)
{
    struct vp_state before = vp0(), after;
    why[0] = '\0';
    cr_expect_eq(load(config), -1, "expected: %s", words);
    cr_expect(strstr(why, words) != NULL, "\"%s\" is not in \"%s\"", words, why);
    after = vp0();
    cr_expect_arr_eq(&before, &after, sizeof before);
}

static inline struct boot_image image_of(const struct made *i)
{
    return (struct boot_image){"image", i->bytes, i->size};
}

#endif
