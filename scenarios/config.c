/* The tree becomes a scenario: every key is known, every value in range, or the file is refused with the place of the fault.
 *
 * One function for each section of the file. Defaults stand in scenario_defaults() and in FORMAT.md.
 */
#include "scenarios/config_parts.h"
#include "scenarios/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct config_reader {
    struct value_reader value;
    struct scenario *scenario;
    const struct scenario_overrides *overrides;
};

#define KEYS(...) (const char *const[]){__VA_ARGS__}, ARRAY_COUNT(((const char *const[]){__VA_ARGS__}))

/* Reads a number when its key is there; leaves the default otherwise. */
static bool optional(struct config_reader *r, const struct yaml_node *mapping, const char *key,
                     const struct unit_family *family, uint64_t min, uint64_t max, uint64_t *value)
{
    const struct yaml_node *n = yaml_find(mapping, key);
    return n == NULL || value_quantity(&r->value, n, family, min, max, value);
}

static bool optional_word(struct config_reader *r, const struct yaml_node *mapping, const char *key, const char *const *words,
                          size_t count, unsigned *index)
{
    const struct yaml_node *n = yaml_find(mapping, key);
    return n == NULL || value_word(&r->value, n, words, count, index);
}

/* ---- partition ---- */

static bool read_profile(struct config_reader *r, const struct yaml_node *n)
{
    const char *name = "ws2016";
    struct scenario *s = r->scenario;
    if (n != NULL && !value_text(&r->value, n, "a profile's name", &name)) {
        return false;
    }
    s->profile = NULL;
    if (strcmp(name, "none") == 0) {
        return true;
    }
    if (!profile_find(name, &s->profile_store)) {
        char list[200];
        size_t used = 0;
        for (size_t i = 0; i < profile_name_count && used < sizeof list; i++) {
            used += (size_t)snprintf(list + used, sizeof list - used, "%s, ", profile_names[i]);
        }
        return value_refuse(&r->value, n != NULL ? n : s->tree->root, "unknown profile %s; expected one of %snone",
                            quote_text(name).text, list);
    }
    s->profile = &s->profile_store;
    return true;
}

static bool read_profile_features(struct config_reader *r, const struct yaml_node *n)
{
    if (n == NULL) {
        return true;
    }
    if (!value_mapping(&r->value, n, "{ FEATURE: on or off } by TLFS name")) {
        return false;
    }
    for (size_t i = 0; i < n->count; i++) {
        const struct yaml_node *key = yaml_key(n, i);
        const char *why = NULL;
        bool on;
        if (!value_switch(&r->value, yaml_value(n, i), &on)) {
            return false;
        }
        if (r->scenario->profile == NULL) {
            return value_refuse(&r->value, key, "there is no hypervisor to have features; give a profile other than none");
        }
        if (!profile_set(&r->scenario->profile_store, key->text, on, &why)) {
            return value_refuse(&r->value, key, "feature %s: %s; `orrery profile NAME` lists those that can be set",
                                quote_text(key->text).text, why != NULL ? why : "refused");
        }
    }
    return true;
}

/* What a legal hypervisor may do and seldom does. Its moments are cycles, so the clock must be known: read after the processor.
 */
static bool read_adversary(struct config_reader *r, const struct yaml_node *n)
{
    struct scenario *s = r->scenario;
    if (n == NULL) {
        return true;
    }
    static const char *const stops[] = {"fixed", "random"};
    unsigned stop = 0;
    uint64_t elements = 0, slots = 0;
    struct moment wake = {0};
    const struct yaml_node *wakes = yaml_find(n, "spurious-wakes");
    if (!value_keys(&r->value, n, "the adversary's ways", KEYS("rep-elements", "rep-stop", "spurious-wakes", "busy-slots")) ||
        !optional(r, n, "rep-elements", &units_integer, 1, 4095, &elements) ||
        !optional_word(r, n, "rep-stop", stops, ARRAY_COUNT(stops), &stop) ||
        !optional(r, n, "busy-slots", &units_integer, 2, 1000000, &slots) ||
        (wakes != NULL && !value_moment(&r->value, wakes, &wake))) {
        return false;
    }
    s->adversary.rep_elements = (uint32_t)elements;
    s->adversary.rep_random = stop == 1;
    s->adversary.busy_slots = (uint32_t)slots;
    s->adversary.spurious_wake_cycles = wakes != NULL ? moment_cycles(wake, s->model.tsc_hz) : 0;
    if (wakes != NULL && s->adversary.spurious_wake_cycles < 1000) {
        return value_refuse(&r->value, wakes, "spurious wakes come too often; at least 1000 cycles must lie between two");
    }
    if ((elements != 0 || stop != 0 || slots != 0) && s->profile == NULL) {
        return value_refuse(&r->value, n, "there is no hypervisor to be adversarial; give a profile other than none");
    }
    return true;
}

static bool read_partition(struct config_reader *r, const struct yaml_node *n)
{
    static const char *const policies[] = {"fresh", "stalest"};
    struct scenario *s = r->scenario;
    uint64_t vps = s->vps;
    unsigned policy = TRANSLATE_FRESH;
    if (n != NULL && !value_keys(&r->value, n, "the partition's settings",
                                 KEYS("profile", "vps", "memory", "seed", "turn", "epoch", "features", "translation", "ports",
                                      "adversary"))) {
        return false;
    }
    if (!read_profile(r, yaml_find(n, "profile")) || !optional(r, n, "vps", &units_integer, 1, 240, &vps) ||
        !optional(r, n, "memory", &units_size, 1 << 20, MEMORY_MAX_BYTES, &s->memory_bytes) ||
        !optional(r, n, "seed", &units_integer, 0, UINT64_MAX, &s->seed) ||
        !optional(r, n, "turn", &units_count, 1, 1000000000, &s->turn_cycles) ||
        !optional_word(r, n, "translation", policies, ARRAY_COUNT(policies), &policy)) {
        return false;
    }
    if (s->memory_bytes % PAGE_BYTES != 0) {
        return value_refuse(&r->value, yaml_find(n, "memory"), "memory comes in pages of 4 KiB; write a multiple of 4 KiB");
    }
    s->vps = (unsigned)vps;
    s->translation = policy == 0 ? TRANSLATE_FRESH : TRANSLATE_STALEST;
    return read_profile_features(r, yaml_find(n, "features")) && config_ports_read(&r->value, yaml_find(n, "ports"), s);
}

/* ---- cpu, cost ---- */

static bool read_cpu_features(struct config_reader *r, const struct yaml_node *n)
{
    if (n == NULL) {
        return true;
    }
    if (!value_mapping(&r->value, n, "{ FEATURE: on or off } by the SDM's name in lower case")) {
        return false;
    }
    for (size_t i = 0; i < n->count; i++) {
        const struct yaml_node *key = yaml_key(n, i);
        const char *why = NULL;
        bool on;
        if (!value_switch(&r->value, yaml_value(n, i), &on)) {
            return false;
        }
        if (!cpu_model_set(&r->scenario->model, key->text, on, &why)) {
            return value_refuse(&r->value, key, "processor feature %s: %s", quote_text(key->text).text,
                                why != NULL ? why : "refused");
        }
    }
    return true;
}

static bool read_cpu(struct config_reader *r, const struct yaml_node *n)
{
    static const char *const vendors[] = {"amd", "intel"};
    struct scenario *s = r->scenario;
    const char *model = "v2";
    unsigned vendor = 0;
    uint64_t hz = 1000000000;
    if (n != NULL && !value_keys(&r->value, n, "the processor", KEYS("model", "vendor", "features", "tsc"))) {
        return false;
    }
    const struct yaml_node *name = yaml_find(n, "model");
    if ((name != NULL && !value_text(&r->value, name, "a processor model", &model)) ||
        !optional_word(r, n, "vendor", vendors, ARRAY_COUNT(vendors), &vendor) ||
        !optional(r, n, "tsc", &units_frequency, 1000000, 10000000000, &hz)) {
        return false;
    }
    if (!cpu_model_init(&s->model, model, vendor == 0 ? VENDOR_AMD : VENDOR_INTEL, hz, s->vps)) {
        return value_refuse(&r->value, name != NULL ? name : s->tree->root,
                            "unknown processor model %s; expected v2 or minimal", quote_text(model).text);
    }
    /* TLFS 6.0b §8.5: no guest of the hypervisor has MONITOR and MWAIT, unless the scenario says so. */
    if (s->profile != NULL) {
        const char *why = NULL;
        cpu_model_set(&s->model, "monitor", false, &why);
    }
    return read_cpu_features(r, yaml_find(n, "features"));
}

static bool read_cost(struct config_reader *r, const struct yaml_node *n)
{
    const char *name = "ipc1";
    if (n != NULL && !value_text(&r->value, n, "the name of a cost table", &name)) {
        return false;
    }
    r->scenario->cost = cost_table_by_name(name);
    if (r->scenario->cost == NULL) {
        return value_refuse(&r->value, n != NULL ? n : r->scenario->tree->root, "unknown cost table %s; ipc1 is always there",
                            quote_text(name).text);
    }
    if (r->overrides != NULL && r->overrides->cost != NULL) {
        r->scenario->cost = cost_table_by_name(r->overrides->cost);
        return r->scenario->cost != NULL ||
               message_say(r->value.why, "--cost %s: there is no such cost table; ipc1 is always there",
                           quote_text(r->overrides->cost).text);
    }
    return true;
}

/* ---- time and limits ---- */

static bool read_times(struct config_reader *r, const struct yaml_node *root)
{
    static const char *const on_reset[] = {"end", "restart"};
    struct scenario *s = r->scenario;
    const struct yaml_node *rtc = yaml_find(root, "rtc"), *limits = yaml_find(root, "limits");
    const struct yaml_node *epoch = yaml_find(yaml_find(root, "partition"), "epoch");
    struct moment epoch_time = {.value = 100000000}; /* 100 ms */
    unsigned reset = 0;
    uint64_t time_ns = 60ULL * 1000000000, restarts = s->limit_restarts;
    if (limits != NULL &&
        !value_keys(&r->value, limits, "when a run ends at the latest", KEYS("time", "instructions", "restarts"))) {
        return false;
    }
    if ((rtc != NULL && !value_date(&r->value, rtc, &s->rtc_unix_seconds)) ||
        !optional_word(r, root, "on-reset", on_reset, ARRAY_COUNT(on_reset), &reset) ||
        !optional(r, limits, "time", &units_time, 1, 365 * 24 * 3600000000000ULL, &time_ns) ||
        !optional(r, limits, "instructions", &units_count, 1, 1000000000000000ULL, &s->limit_instructions) ||
        !optional(r, limits, "restarts", &units_integer, 0, 1000, &restarts) ||
        (epoch != NULL && !value_moment(&r->value, epoch, &epoch_time))) {
        return false;
    }
    s->restart_on_reset = reset == 1;
    s->limit_restarts = (unsigned)restarts;
    s->limit_cycles = moment_cycles((struct moment){.value = time_ns}, s->model.tsc_hz);
    s->epoch_cycles = moment_cycles(epoch_time, s->model.tsc_hz);
    if (epoch == NULL && s->limit_cycles / s->epoch_cycles > SCENARIO_EPOCHS_MAX) {
        s->epoch_cycles = s->limit_cycles / SCENARIO_EPOCHS_MAX + 1;
    }
    if (epoch != NULL && (s->epoch_cycles < 1000 || s->limit_cycles / s->epoch_cycles > SCENARIO_EPOCHS_MAX)) {
        return value_refuse(
            &r->value, epoch,
            "the epoch is too short; at least 1000 cycles, and at most %llu epochs within limits.time, are possible",
            SCENARIO_EPOCHS_MAX);
    }
    return true;
}

/* ---- guest ---- */

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL && slash[1] != 0 ? slash + 1 : path;
}

static bool read_image(struct config_reader *r, struct yaml_node *n, struct scenario_image *image)
{
    const char *path;
    if (!value_text(&r->value, n, "the path of a file", &path)) {
        return false;
    }
    if (path[0] == 0) {
        return value_refuse(&r->value, n, "an empty path; write the path of a file");
    }
    n->outside = true;
    *image = (struct scenario_image){.where = n, .name = file_name(path)};
    return true;
}

static bool read_kernel(struct config_reader *r, const struct yaml_node *guest, const char *key)
{
    struct yaml_node *n = yaml_find(guest, key);
    if (n == NULL) {
        return value_refuse(&r->value, r->scenario->guest_where, "the guest lacks %s: the path of its image",
                            quote_text(key).text);
    }
    return read_image(r, n, &r->scenario->kernel);
}

static bool read_cmdline(struct config_reader *r, const struct yaml_node *n, const char **cmdline)
{
    if (n == NULL) {
        return true;
    }
    if (n->kind == YAML_IS_SCALAR && n->text[0] == 0) {
        *cmdline = "";
        return true;
    }
    return value_text(&r->value, n, "a command line", cmdline);
}

static bool read_module(struct config_reader *r, struct yaml_node *n, struct scenario_image *module)
{
    if (n->kind != YAML_IS_MAPPING) {
        return read_image(r, n, module);
    }
    if (!value_keys(&r->value, n, "a module", KEYS("image", "cmdline"))) {
        return false;
    }
    struct yaml_node *image = yaml_find(n, "image");
    if (image == NULL) {
        return value_refuse(&r->value, n, "the module lacks \"image\": the path of its file");
    }
    return read_image(r, image, module) && read_cmdline(r, yaml_find(n, "cmdline"), &module->cmdline);
}

static bool read_modules(struct config_reader *r, const struct yaml_node *n)
{
    struct scenario *s = r->scenario;
    if (n == NULL) {
        return true;
    }
    if (!value_sequence(&r->value, n, "modules")) {
        return false;
    }
    if (n->count > SCENARIO_MODULES_MAX) {
        return value_refuse(&r->value, n, "%zu modules; at most %d are possible", n->count, SCENARIO_MODULES_MAX);
    }
    for (size_t i = 0; i < n->count; i++, s->module_count = (unsigned)i) {
        if (!read_module(r, n->items[i], &s->modules[i])) {
            return false;
        }
    }
    return true;
}

static bool read_linux(struct config_reader *r, const struct yaml_node *n)
{
    struct yaml_node *initrd = yaml_find(n, "initrd");
    return value_keys(&r->value, n, "a Linux guest", KEYS("kernel", "initrd", "cmdline")) && read_kernel(r, n, "kernel") &&
           (initrd == NULL || read_image(r, initrd, &r->scenario->initrd)) &&
           read_cmdline(r, yaml_find(n, "cmdline"), &r->scenario->cmdline);
}

static bool read_elf(struct config_reader *r, const struct yaml_node *n)
{
    return value_keys(&r->value, n, "the guest", KEYS("kernel", "cmdline", "modules")) && read_kernel(r, n, "kernel") &&
           read_cmdline(r, yaml_find(n, "cmdline"), &r->scenario->cmdline) && read_modules(r, yaml_find(n, "modules"));
}

static bool read_flat(struct config_reader *r, const struct yaml_node *n)
{
    static const char *const modes[] = {"16", "32", "64"};
    unsigned mode = 0;
    if (!value_keys(&r->value, n, "a flat guest", KEYS("image", "address", "mode")) || !read_kernel(r, n, "image")) {
        return false;
    }
    const struct yaml_node *address = yaml_find(n, "address"), *mode_node = yaml_find(n, "mode");
    if (address == NULL || mode_node == NULL) {
        return value_refuse(&r->value, r->scenario->guest_where, "a flat guest lacks %s",
                            address == NULL ? "\"address\": where it lies and runs, such as 0x7c00" : "\"mode\": 16, 32 or 64");
    }
    if (!value_quantity(&r->value, address, &units_integer, 0, MEMORY_MAX_BYTES, &r->scenario->address) ||
        !value_word(&r->value, mode_node, modes, ARRAY_COUNT(modes), &mode)) {
        return false;
    }
    r->scenario->mode = mode == 0 ? BOOT_MODE_16 : mode == 1 ? BOOT_MODE_32 : BOOT_MODE_64;
    return true;
}

static bool read_rom(struct config_reader *r, const struct yaml_node *n)
{
    return value_keys(&r->value, n, "a ROM", KEYS("image")) && read_kernel(r, n, "image");
}

static bool read_guest(struct config_reader *r, const struct yaml_node *n)
{
    static const struct {
        const char *name;
        enum boot_kind kind;
        bool (*read)(struct config_reader *r, const struct yaml_node *n);
    } guests[] = {
        {"linux", BOOT_LINUX, read_linux}, {"multiboot", BOOT_MULTIBOOT, read_elf},
        {"pvh", BOOT_PVH, read_elf},       {"flat", BOOT_FLAT, read_flat},
        {"rom", BOOT_ROM, read_rom},
    };
    static const char all[] = "linux, multiboot, pvh, flat, rom";
    if (n == NULL) {
        return value_refuse(&r->value, r->scenario->tree->root, "no \"guest\"; a scenario has one of %s", all);
    }
    if (n->kind != YAML_IS_MAPPING || n->count != 1) {
        return value_refuse(&r->value, n, "the guest is exactly one of %s", all);
    }
    const struct yaml_node *key = yaml_key(n, 0);
    for (size_t i = 0; i < ARRAY_COUNT(guests); i++) {
        if (strcmp(guests[i].name, key->text) == 0) {
            r->scenario->guest = guests[i].kind;
            r->scenario->guest_where = key;
            return guests[i].read(r, yaml_value(n, 0));
        }
    }
    return value_refuse(&r->value, key, "unknown key %s; expected one of %s", quote_text(key->text).text, all);
}

/* ---- the rest ---- */

/* Clause ids: words joined by dots, as the ledger has them. */
static bool read_covers(struct config_reader *r, const struct yaml_node *n)
{
    if (n == NULL) {
        return true;
    }
    if (!value_sequence(&r->value, n, "clause ids such as ic.shutdown.graceful")) {
        return false;
    }
    for (size_t i = 0; i < n->count; i++) {
        const char *id;
        if (!value_text(&r->value, n->items[i], "a clause id such as ic.shutdown.graceful", &id)) {
            return false;
        }
        if (id[0] == 0 || strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789.-_") != strlen(id)) {
            return value_refuse(&r->value, n->items[i], "%s is no clause id; write lower-case words joined by dots and hyphens",
                                quote_text(id).text);
        }
    }
    return true;
}

static bool read_devices(struct config_reader *r, const struct yaml_node *n)
{
    if (n == NULL) {
        return true;
    }
    if (!value_sequence(&r->value, n, "devices")) {
        return false;
    }
    if (n->count == 0) {
        return true;
    }
    const struct yaml_node *first = n->items[0];
    const struct yaml_node *name = first->kind == YAML_IS_MAPPING && first->count > 0 ? yaml_key(first, 0) : first;
    return value_refuse(&r->value, first, "device %s is not built; this version has the platform alone: leave \"devices\" out",
                        name->kind == YAML_IS_SCALAR ? quote_text(name->text).text : "\"\"");
}

/* The name goes to terminals and into traces. */
static bool read_name(struct config_reader *r, const struct yaml_node *n)
{
    enum { NAME_MAX_BYTES = 100 };
    if (!value_text(&r->value, n, "the scenario's name", &r->scenario->name)) {
        return false;
    }
    for (const char *c = n->text; *c != 0; c++) {
        if (*c < 0x20 || *c > 0x7e) {
            return value_refuse(&r->value, n, "the name holds an unprintable byte; write one such as linux/cloud");
        }
    }
    return (n->text[0] != 0 && strlen(n->text) <= NAME_MAX_BYTES) ||
           value_refuse(&r->value, n, "the name has %zu bytes; from 1 to %d are possible", strlen(n->text), NAME_MAX_BYTES);
}

static bool read_root(struct config_reader *r)
{
    struct scenario *s = r->scenario;
    const struct yaml_node *root = s->tree->root;
    if (!value_keys(&r->value, root, "a scenario begins with \"orrery: 1\"",
                    KEYS("orrery", "scenario", "covers", "partition", "cpu", "cost", "rtc", "on-reset", "limits", "guest",
                         "devices", "timeline", "expect"))) {
        return false;
    }
    const struct yaml_node *version = yaml_find(root, "orrery"), *name = yaml_find(root, "scenario");
    if (version == NULL || version->kind != YAML_IS_SCALAR || strcmp(version->text, "1") != 0) {
        return value_refuse(&r->value, version != NULL ? version : root,
                            "this is no scenario of format 1; write \"orrery: 1\" first");
    }
    if (name == NULL) {
        return value_refuse(&r->value, root, "no \"scenario\"; give it a name such as linux/cloud");
    }
    return read_name(r, name) && read_covers(r, yaml_find(root, "covers")) && read_partition(r, yaml_find(root, "partition")) &&
           read_cpu(r, yaml_find(root, "cpu")) && read_adversary(r, yaml_find(yaml_find(root, "partition"), "adversary")) &&
           read_cost(r, yaml_find(root, "cost")) && read_times(r, root) && read_guest(r, yaml_find(root, "guest")) &&
           read_devices(r, yaml_find(root, "devices")) &&
           script_read(&s->script, yaml_find(root, "timeline"), yaml_find(root, "expect"), s->file, r->value.why) &&
           config_actions_check(&r->value, s);
}

static void scenario_defaults(struct scenario *s)
{
    s->vps = 1;
    s->memory_bytes = 512ULL << 20;
    s->turn_cycles = 10000;
    s->rtc_unix_seconds = 1767225600; /* 2026-01-01T00:00:00Z */
    s->limit_instructions = 20000000000ULL;
    s->limit_restarts = 16;
}

struct scenario *scenario_read(const char *file, const char *text, size_t bytes, const struct yaml_variables *variables,
                               const struct scenario_overrides *overrides, struct message *why)
{
    struct scenario *s = calloc(1, sizeof *s);
    if (s == NULL || (s->file = strdup(file)) == NULL) {
        message_say(why, "the host has no memory left");
        free(s);
        return NULL;
    }
    scenario_defaults(s);
    s->tree = yaml_tree_read(s->file, text, bytes, variables, why);
    struct config_reader r = {.value = {.file = s->file, .why = why}, .scenario = s, .overrides = overrides};
    if (s->tree == NULL || !read_root(&r)) {
        scenario_free(s);
        return NULL;
    }
    if (overrides != NULL && overrides->has_seed) {
        s->seed = overrides->seed;
    }
    return s;
}

struct scenario *scenario_load(const char *path, const struct yaml_variables *variables,
                               const struct scenario_overrides *overrides, struct message *why)
{
    struct message reason = {.text = {0}};
    uint8_t *text;
    size_t bytes;
    if (!file_read(path, YAML_FILE_MAX, &text, &bytes, &reason)) {
        message_at(why, path, 1, 1, "cannot read the scenario: %s; give the path of a YAML file", reason.text);
        return NULL;
    }
    struct scenario *s = scenario_read(path, (const char *)text, bytes, variables, overrides, why);
    free(text);
    return s;
}

void scenario_free(struct scenario *s)
{
    if (s == NULL) {
        return;
    }
    free(s->kernel.bytes);
    free(s->initrd.bytes);
    for (unsigned i = 0; i < SCENARIO_MODULES_MAX; i++) {
        free(s->modules[i].bytes);
    }
    script_free(&s->script);
    yaml_tree_free(s->tree);
    free(s->file);
    free(s);
}
