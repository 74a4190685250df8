/* A scenario: the machine, the guest, the script, as one YAML file says it, checked to the last key.
 *
 * Everything a run depends on is here, so two runs of equal scenarios are equal; `scenario_identity()` names that in 128 bits.
 * Strings are borrowed from the tree, which lives as long. Images are read by scenario_load_images(), not before.
 */
#ifndef ORRERY_SCENARIOS_SCENARIO_H
#define ORRERY_SCENARIOS_SCENARIO_H

#include "cpu/cpu.h"
#include "scenarios/boot.h"
#include "scenarios/script.h"
#include "tlfs/ports.h"
#include "tlfs/profile.h"

enum { SCENARIO_PORTS_MAX = 64, SCENARIO_MODULES_MAX = 32, SCENARIO_COVERS_MAX = 256 };
#define SCENARIO_IMAGE_MAX (1ULL << 30)
#define SCENARIO_EPOCHS_MAX 1000000ULL

struct scenario_image {
    struct yaml_node *where; /* NULL: there is none */
    const char *name;        /* the file's name without its folders */
    uint8_t *bytes;          /* NULL until loaded */
    size_t size;
    struct yaml_hash content;
    const char *cmdline; /* of a module; may be NULL */
};

struct scenario {
    struct yaml_tree *tree;
    char *file; /* as given, for messages */
    const char *name;

    const struct profile *profile; /* NULL: no hypervisor is shown */
    struct profile profile_store;
    unsigned vps;
    uint64_t memory_bytes, seed, turn_cycles;
    struct port_config ports[SCENARIO_PORTS_MAX];
    unsigned port_count;
    uint64_t epoch_cycles;
    struct {
        uint32_t rep_elements, busy_slots;
        uint64_t spurious_wake_cycles;
        bool rep_random;
    } adversary; /* 0: not */
    enum translation_policy translation;
    struct cpu_model model;
    const struct cost_table *cost;
    int64_t rtc_unix_seconds;
    bool restart_on_reset;
    uint64_t limit_cycles, limit_instructions;
    unsigned limit_restarts;

    enum boot_kind guest;
    const struct yaml_node *guest_where;
    struct scenario_image kernel, initrd, modules[SCENARIO_MODULES_MAX];
    unsigned module_count;
    const char *cmdline;
    uint64_t address;
    enum boot_mode mode;

    struct script script;
};

/* What the command line puts above the file. */
struct scenario_overrides {
    bool has_seed;
    uint64_t seed;
    const char *cost; /* NULL: as the file says */
};

/* NULL with one message. `variables` and `overrides` may be NULL. */
struct scenario *scenario_load(const char *path, const struct yaml_variables *variables,
                               const struct scenario_overrides *overrides, struct message *why);
/* The same from memory. */
struct scenario *scenario_read(const char *file, const char *text, size_t bytes, const struct yaml_variables *variables,
                               const struct scenario_overrides *overrides, struct message *why);
void scenario_free(struct scenario *s);
/* Reads kernel, initrd, modules. A relative path in the file counts from the scenario's folder, one that came by ${NAME} from
 * the current one. */
bool scenario_load_images(struct scenario *s, struct message *why);
/* Call after the images are loaded: the scenario's meaning, its seed and costs, its images' contents; no path, no comment. */
struct yaml_hash scenario_identity(const struct scenario *s);
/* The images as the boot loaders want them. `modules` has room for SCENARIO_MODULES_MAX; `platform` is borrowed. */
struct boot_config scenario_boot(const struct scenario *s, struct boot_module *modules, const struct platform_config *platform);

#endif
