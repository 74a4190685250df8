/* Scenario files: what is accepted and what it means; and each file of tests/scenarios/bad is refused with the message at the
 * place that its first line states ("# wants LINE:COLUMN: BEGINNING OF THE MESSAGE"). */
#include <criterion/criterion.h>
#include <dirent.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scenarios/files.h"
#include "scenarios/runner.h"

static const char *value_of(void *owner, const char *name)
{
    (void)owner;
    return strcmp(name, "KERNEL") == 0 ? "boot/vmlinuz" : NULL;
}
static const struct yaml_variables variables = {.value = value_of};

static struct scenario *read_text(const char *text, const struct scenario_overrides *overrides)
{
    struct message why = {.text = {0}};
    struct scenario *s = scenario_read("dir/f.yaml", text, strlen(text), &variables, overrides, &why);
    cr_assert_not_null(s, "%s", why.text);
    return s;
}

#define HEAD "orrery: 1\nscenario: t\n"
#define FLAT "guest: { flat: { image: x.bin, address: 0x7c00, mode: 16 } }\n"

Test(config, defaults_are_those_of_the_format)
{
    struct scenario *s = read_text(HEAD FLAT, NULL);
    cr_expect_str_eq(s->profile->name, "ws2016");
    cr_expect_str_eq(s->model.name, "v2");
    cr_expect_eq(s->model.vendor, VENDOR_AMD);
    cr_expect_eq(s->model.tsc_hz, 1000000000);
    cr_expect_str_eq(s->cost->name, "ipc1");
    cr_expect_eq(s->vps, 1);
    cr_expect_eq(s->memory_bytes, 512ULL << 20);
    cr_expect_eq(s->seed, 0);
    cr_expect_eq(s->turn_cycles, 10000);
    cr_expect_eq(s->epoch_cycles, 100000000, "100 ms");
    cr_expect_eq(s->limit_cycles, 60000000000, "60 s");
    cr_expect_eq(s->limit_instructions, 20000000000, "20 G");
    cr_expect_eq(s->rtc_unix_seconds, 1767225600);
    cr_expect_not(s->restart_on_reset);
    scenario_free(s);
}

Test(config, every_key_reaches_the_scenario)
{
    struct scenario *s = read_text(
        HEAD "covers: [ a.b-c ]\n"
             "partition: { profile: none, vps: 4, memory: 1.5 GiB, seed: 0xff, turn: 5 k, epoch: 2 ms, translation: stalest }\n"
             "cpu: { model: v2, vendor: intel, tsc: 2 GHz, features: { la57: on, rdseed: off } }\n"
             "cost: ipc1\nrtc: 2000-01-01T00:00:00Z\non-reset: restart\n"
             "limits: { time: 3 s, instructions: 2 M, restarts: 2 }\n"
             "guest: { linux: { kernel: \"${KERNEL}\", initrd: i, cmdline: a b } }\n"
             "devices: []\n",
        NULL);
    cr_expect_null(s->profile);
    cr_expect_eq(s->vps, 4);
    cr_expect_eq(s->memory_bytes, 1536ULL << 20);
    cr_expect_eq(s->seed, 255);
    cr_expect_eq(s->turn_cycles, 5000);
    cr_expect_eq(s->epoch_cycles, 4000000);
    cr_expect_eq(s->translation, TRANSLATE_STALEST);
    cr_expect_eq(s->model.vendor, VENDOR_INTEL);
    cr_expect(model_has(&s->model, FEAT_LA57));
    cr_expect_not(model_has(&s->model, FEAT_RDSEED));
    cr_expect_eq(s->rtc_unix_seconds, 946684800);
    cr_expect(s->restart_on_reset);
    cr_expect_eq(s->limit_cycles, 6000000000);
    cr_expect_eq(s->limit_instructions, 2000000);
    cr_expect_eq(s->limit_restarts, 2);
    cr_expect_eq(s->guest, BOOT_LINUX);
    cr_expect_str_eq(s->kernel.name, "vmlinuz", "the file's name without its folders");
    cr_expect_str_eq(s->cmdline, "a b");
    scenario_free(s);
}

Test(config, modules_have_images_and_command_lines)
{
    struct scenario *s = read_text(
        HEAD "guest: { multiboot: { kernel: k, cmdline: c, modules: [ m1, { image: d/m2, cmdline: x y } ] } }\n", NULL);
    struct boot_module modules[SCENARIO_MODULES_MAX];
    struct boot_config boot = scenario_boot(s, modules, NULL);
    cr_expect_eq(boot.kind, BOOT_MULTIBOOT);
    cr_assert_eq(boot.module_count, 2);
    cr_expect_str_eq(boot.modules[1].image.name, "m2");
    cr_expect_str_eq(boot.modules[1].cmdline, "x y");
    scenario_free(s);
}

Test(config, command_line_stands_above_the_file)
{
    struct scenario_overrides overrides = {.has_seed = true, .seed = 9, .cost = "ipc1"};
    struct scenario *s = read_text(HEAD "partition: { seed: 1 }\n" FLAT, &overrides);
    cr_expect_eq(s->seed, 9);
    scenario_free(s);
    struct message why = {.text = {0}};
    overrides.cost = "nope";
    cr_expect_null(scenario_read("f", HEAD FLAT, strlen(HEAD FLAT), NULL, &overrides, &why));
    cr_expect_not_null(strstr(why.text, "--cost \"nope\""), "%s", why.text);
}

static struct yaml_hash identity_of(const char *text, uint64_t seed)
{
    struct scenario_overrides overrides = {.has_seed = true, .seed = seed};
    struct scenario *s = read_text(text, &overrides);
    struct yaml_hash h = scenario_identity(s);
    scenario_free(s);
    return h;
}

Test(config, identity_is_of_the_meaning_and_not_of_places_and_paths)
{
    struct yaml_hash a = identity_of(HEAD FLAT, 1);
    struct yaml_hash moved =
        identity_of(HEAD "# elsewhere\nguest:\n  flat: { image: \"other/x.bin\", address: 0x7c00, mode: 16 }\n", 1);
    struct yaml_hash seeded = identity_of(HEAD FLAT, 2);
    struct yaml_hash changed = identity_of(HEAD "guest: { flat: { image: x.bin, address: 0x7c01, mode: 16 } }\n", 1);
    cr_expect(a.low == moved.low && a.high == moved.high);
    cr_expect(a.low != seeded.low);
    cr_expect(a.low != changed.low);
}

/* ---- the corpus ---- */

static const char *corpus(void)
{
    static char path[2000]; /* filled once, before any test looks */
    char here[2000];
    snprintf(here, sizeof here, "%s", __FILE__);
    snprintf(path, sizeof path, "%s/../scenarios/bad", dirname(here));
    return path;
}

/* What `orrery check` does. */
static bool accepted(const char *path, struct message *why)
{
    static const struct run_options idle = {.stop_at_cycle = CYCLE_NEVER};
    struct scenario *s = scenario_load(path, &variables, NULL, why);
    struct runner *r = s != NULL && scenario_load_images(s, why) ? runner_create(s, &idle, why) : NULL;
    bool good = r != NULL;
    runner_destroy(r);
    scenario_free(s);
    return good;
}

static void refused_as_wanted(const char *path)
{
    uint8_t *text;
    size_t bytes;
    struct message why = {.text = {0}}, got = {.text = {0}};
    cr_assert(file_read(path, YAML_FILE_MAX, &text, &bytes, &why), "%s: %s", path, why.text);
    char *end = memchr(text, '\n', bytes);
    cr_assert(end != NULL && strncmp((char *)text, "# wants ", 8) == 0, "%s does not say what it wants", path);
    *end = 0;
    const char *wants = (char *)text + 8;
    cr_expect_not(accepted(path, &got), "%s is accepted", path);
    const char *message = strstr(got.text, ".yaml:");
    cr_assert_not_null(message, "%s: %s", path, got.text);
    cr_expect(strncmp(message + 6, wants, strlen(wants)) == 0, "%s:\n  got   %s\n  wants %s", path, message + 6, wants);
    cr_expect(strlen(wants) > 8 && strchr(got.text, '\n') == NULL);
    free(text);
}

Test(config, every_bad_file_is_refused_at_its_place)
{
    DIR *dir = opendir(corpus());
    cr_assert_not_null(dir, "%s", corpus());
    unsigned count = 0;
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (strstr(e->d_name, ".yaml") != NULL) {
            char path[2400];
            snprintf(path, sizeof path, "%s/%s", corpus(), e->d_name);
            refused_as_wanted(path);
            count++;
        }
    }
    closedir(dir);
    cr_expect_geq(count, 100, "only %u files", count);
}

Test(config, file_that_is_none_is_refused)
{
    static const char *const bad[] = {"/nonexistent/x.yaml", "/", "/dev/zero"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct message why = {.text = {0}};
        cr_expect_null(scenario_load(bad[i], NULL, NULL, &why));
        cr_expect(strncmp(why.text, bad[i], strlen(bad[i])) == 0 && strstr(why.text, ":1:1: cannot read") != NULL, "%s",
                  why.text);
    }
}

/* A good file with one value replaced by something else: refused with a message of its own, or accepted; never anything worse.
 */
Test(config, every_mutation_is_accepted_or_refused_with_one_message)
{
    static const char good[] =
        HEAD "partition: { profile: ws2016, vps: 2, memory: 64 MiB, seed: 7, epoch: 1 s, features: { AccessVpIndex: off } }\n"
             "cpu: { model: v2, vendor: amd, tsc: 1 GHz }\nrtc: 2026-01-01T00:00:00Z\nlimits: { time: 1 s }\n" FLAT
             "timeline: [ { when: { console: 'a+' }, do: [ { send: x }, stop ] }, { at: 5 s, do: stop } ]\n"
             "expect: [ { before: [ { halt: }, { console: '(x|y)$' } ] }, { count: { cpuid: { leaf: 1 } }, is: 2 }, { end: "
             "reset } ]\n";
    static const char odd[] = "[]{}&*'\":-, \n0129xMGaz$\\(";
    uint64_t state = 3;
    for (unsigned i = 0; i < 5000; i++) {
        char text[sizeof good];
        memcpy(text, good, sizeof good);
        for (unsigned k = 0; k <= i % 3; k++) {
            state = state * 6364136223846793005ULL + 1442695040888963407ULL;
            text[(state >> 33) % (sizeof good - 1)] = odd[(state >> 20) % (sizeof odd - 1)];
        }
        struct message why = {.text = {0}};
        struct scenario *s = scenario_read("f", text, sizeof good - 1, &variables, NULL, &why);
        cr_assert_eq(s == NULL, message_set(&why));
        cr_assert(s != NULL || strncmp(why.text, "f:", 2) == 0, "%s", why.text);
        scenario_free(s);
    }
}
