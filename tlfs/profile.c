/* Profiles: YAML text to CPUID leaves, and what of them is announced.
 *
 * Invariants: a bit is announced only when it is built and everything it needs is announced; leaves 0x40000000 and 0x40000001
 * are the same in all profiles (TLFS 6.0b §2.4). The texts are part of the program (profile_data.c): a mistake in one is ours,
 * and a test reads all. Leaves out: MSRs and hypercalls, which ask profile_has() and profile.edition.
 */
#include "tlfs/profile.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "tlfs/profile_data.h"

/* `feature` is of no use to a guest, or would mislead it, without `needs`. */
static const struct {
    enum hv_feature feature, needs;
} feature_needs[] = {
    /* Bits and hints about SINTs, whose registers the privilege grants (§4.2.2). */
    {HV_SintPollingModeAvailable, HV_AccessSynicRegs},
    {HV_DeprecateAutoEoi, HV_AccessSynicRegs},
    /* Both bits stand for the two MSRs: one grants them, the other says that they are there (§4.2.2, §2.4). */
    {HV_AccessFrequencyRegs, HV_FrequencyRegsAvailable},
    {HV_FrequencyRegsAvailable, HV_AccessFrequencyRegs},
    /* When the page is invalid the guest is told to read the counter's MSR (§12.7.3.2). */
    {HV_AccessPartitionReferenceTsc, HV_AccessPartitionReferenceCounter},
    {HV_GuestIdleAvailable, HV_AccessGuestIdleReg},
    {HV_AccessGuestIdleReg, HV_GuestIdleAvailable},
    /* §12.6: both grant the two MSRs. */
    {HV_SyntheticTimeUnhaltedTimerAvailable, HV_AccessSyntheticTimerRegs},
    {HV_AccessDebugRegs, HV_DebugRegsAvailable},
    {HV_DebugRegsAvailable, HV_AccessDebugRegs},
    {HV_UseApicMsrs, HV_AccessIntrCtrlRegs},
    {HV_Debugging, HV_GuestDebuggingAvailable},
    /* The privilege is of use only where the hypervisor has what it grants. */
    {HV_ExtendedGvaRangesForFlushPrivilege, HV_ExtendedGvaRangesForFlushVirtualAddressListAvailable},
    {HV_FastHypercallOutputPrivilege, HV_FastHypercallOutputAvailable},
    {HV_UseMsrForReset, HV_AccessResetReg},
};

static uint32_t *leaf_word(struct profile_leaf *leaves, uint32_t leaf, unsigned reg)
{
    struct profile_leaf *l = &leaves[leaf & 0xff];
    uint32_t *const words[4] = {&l->eax, &l->ebx, &l->ecx, &l->edx};
    return words[reg];
}

static void leaf_bit(struct profile_leaf *leaves, enum hv_feature f, bool on)
{
    const struct feature_row *row = &feature_rows[f];
    uint32_t *word = leaf_word(leaves, row->leaf, row->reg);
    *word = on ? *word | 1u << row->bit : *word & ~(1u << row->bit);
}

/* ---- YAML ---- */

/* A number in a profile: where it lies, and whether a guest is told it. */
struct value_row {
    const char *group, *key; /* group NULL: at the top */
    uint8_t leaf, reg, shift, bits;
    bool announced;
};
static const struct value_row value_rows[] = {
    {NULL, "max-leaf", 0, 0, 0, 32, true},
    {"version", "build", 2, 0, 0, 32, true},
    {"version", "major", 2, 1, 16, 16, true},
    {"version", "minor", 2, 1, 0, 16, true},
    {"version", "service-pack", 2, 2, 0, 32, true},
    {"version", "service-branch", 2, 3, 24, 8, true},
    {"version", "service-number", 2, 3, 0, 24, true},
    /* C-states, the host's address width and its remapping vectors are facts of hardware that is not there. */
    {NULL, "max-processor-power-state", 3, 2, 0, 4, false},
    {NULL, "spin-count", 4, 1, 0, 32, true},
    {NULL, "physical-address-bits", 4, 2, 0, 7, false},
    {"limits", "virtual-processors", 5, 0, 0, 32, true},
    {"limits", "logical-processors", 5, 1, 0, 32, true},
    {"limits", "interrupt-vectors", 5, 2, 0, 32, false},
};
static const struct {
    const char *key;
    uint8_t leaf, regs; /* bit set of registers whose feature names may stand in the list */
} list_rows[] = {{"privileges", 3, 0x3}, {"features", 3, 0x8}, {"recommendations", 4, 0x1}, {"hardware", 6, 0x1}};
static const struct {
    const char *key;
    enum tlfs_edition edition;
} editions[] = {{"requirements", EDITION_REQUIREMENTS},
                {"2.0", EDITION_2_0},
                {"3.0", EDITION_3_0},
                {"4.0", EDITION_4_0},
                {"5.0", EDITION_5_0},
                {"6.0", EDITION_6_0}};

struct reader {
    const char *name;
    yaml_document_t document;
    struct profile *p;
    char *why;
    size_t why_size;
};

__attribute__((format(printf, 3, 4))) static bool refuse(struct reader *r, const yaml_node_t *at, const char *format, ...)
{
    int n = snprintf(r->why, r->why_size, "%s:%zu:%zu: ", r->name, at->start_mark.line + 1, at->start_mark.column + 1);
    if (n >= 0 && (size_t)n < r->why_size) {
        va_list args;
        va_start(args, format);
        vsnprintf(r->why + n, r->why_size - (size_t)n, format, args);
        va_end(args);
    }
    return false;
}

static const char *scalar(const yaml_node_t *node)
{
    return node != NULL && node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

static bool read_value(struct reader *r, const char *group, const char *key, const yaml_node_t *node)
{
    for (size_t i = 0; i < ARRAY_COUNT(value_rows); i++) {
        const struct value_row *row = &value_rows[i];
        if (strcmp(row->key, key) != 0 || (row->group == NULL) != (group == NULL) ||
            (group != NULL && strcmp(row->group, group) != 0)) {
            continue;
        }
        const char *text = scalar(node);
        if (text == NULL || *text < '0' || *text > '9') {
            return refuse(r, node, "\"%s\" wants a number", key);
        }
        char *end;
        unsigned long long value = strtoull(text, &end, 0);
        if (*end != '\0' || value >> row->bits != 0) {
            return refuse(r, node, "\"%s\" wants a number of at most %u bits", key, row->bits);
        }
        *leaf_word(r->p->truth, row->leaf, row->reg) |= (uint32_t)value << row->shift;
        return true;
    }
    return refuse(r, node, "unknown key \"%s\"", key);
}

static bool read_group(struct reader *r, const char *group, const yaml_node_t *node)
{
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(&r->document, pair->key);
        if (scalar(key) == NULL) {
            return refuse(r, node, "a key must be a word");
        }
        if (!read_value(r, group, scalar(key), yaml_document_get_node(&r->document, pair->value))) {
            return false;
        }
    }
    return true;
}

static bool read_list(struct reader *r, const char *key, const yaml_node_t *node)
{
    size_t list = 0;
    while (list < ARRAY_COUNT(list_rows) && strcmp(list_rows[list].key, key) != 0) {
        list++;
    }
    if (list == ARRAY_COUNT(list_rows)) {
        return refuse(r, node, "unknown list \"%s\"", key);
    }
    for (yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++) {
        const yaml_node_t *entry = yaml_document_get_node(&r->document, *item);
        const char *name = scalar(entry);
        size_t f = 0;
        while (f < feature_row_count && (name == NULL || strcmp(feature_rows[f].name, name) != 0)) {
            f++;
        }
        if (f == feature_row_count || feature_rows[f].leaf != 0x40000000u + list_rows[list].leaf ||
            !(list_rows[list].regs >> feature_rows[f].reg & 1)) {
            return refuse(r, entry, "\"%s\" is not one of the %s", name ? name : "", key);
        }
        leaf_bit(r->p->truth, (enum hv_feature)f, true);
    }
    return true;
}

static bool read_top(struct reader *r, const char *key, const yaml_node_t *node)
{
    const char *text = scalar(node);
    if (node->type == YAML_SEQUENCE_NODE) {
        return read_list(r, key, node);
    }
    if (node->type == YAML_MAPPING_NODE) {
        return read_group(r, key, node);
    }
    if (strcmp(key, "profile") == 0) {
        return snprintf(r->p->name, sizeof r->p->name, "%s", text) < (int)sizeof r->p->name ||
               refuse(r, node, "the name is too long");
    }
    if (strcmp(key, "title") == 0) {
        return snprintf(r->p->title, sizeof r->p->title, "%s", text) < (int)sizeof r->p->title ||
               refuse(r, node, "the title is too long");
    }
    if (strcmp(key, "edition") == 0) {
        for (size_t i = 0; i < ARRAY_COUNT(editions); i++) {
            if (strcmp(editions[i].key, text) == 0) {
                r->p->edition = editions[i].edition;
                return true;
            }
        }
        return refuse(r, node, "unknown edition \"%s\"; one of requirements, 2.0, 3.0, 4.0, 5.0, 6.0", text);
    }
    return read_value(r, NULL, key, node);
}

static bool read_document(struct reader *r)
{
    const yaml_node_t *root = yaml_document_get_root_node(&r->document);
    if (root == NULL || root->type != YAML_MAPPING_NODE) {
        snprintf(r->why, r->why_size, "%s:1:1: a profile is a mapping", r->name);
        return false;
    }
    for (yaml_node_pair_t *pair = root->data.mapping.pairs.start; pair < root->data.mapping.pairs.top; pair++) {
        const char *key = scalar(yaml_document_get_node(&r->document, pair->key));
        if (key == NULL) {
            return refuse(r, root, "a key must be a word");
        }
        if (!read_top(r, key, yaml_document_get_node(&r->document, pair->value))) {
            return false;
        }
    }
    uint32_t max_leaf = r->p->truth[0].eax;
    if (r->p->name[0] == '\0' || max_leaf < 0x40000005u || max_leaf >= 0x40000000u + PROFILE_LEAVES) {
        return refuse(r, root, "a profile has a name, and a max-leaf of 0x40000005 to 0x4000000A");
    }
    return true;
}

/* ---- what is announced ---- */

static void announce(struct profile *p)
{
    for (size_t i = 0; i < ARRAY_COUNT(value_rows); i++) {
        const struct value_row *row = &value_rows[i];
        uint32_t mask = (uint32_t)(((1ULL << row->bits) - 1) << row->shift);
        *leaf_word(p->announced, row->leaf, row->reg) |= row->announced ? *leaf_word(p->truth, row->leaf, row->reg) & mask : 0;
    }
    for (int f = 0; f < HV_FEATURES; f++) {
        leaf_bit(p->announced, f, feature_rows[f].built && profile_truth_has(p, f));
    }
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < ARRAY_COUNT(feature_needs); i++) {
            if (profile_has(p, feature_needs[i].feature) && !profile_has(p, feature_needs[i].needs)) {
                leaf_bit(p->announced, feature_needs[i].feature, false);
                changed = true;
            }
        }
    }
}

bool profile_parse(const char *name, const uint8_t *text, size_t size, struct profile *p, char *why, size_t why_size)
{
    memset(p, 0, sizeof *p);
    struct reader r = {.name = name, .p = p, .why = why, .why_size = why_size};
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) {
        snprintf(why, why_size, "%s: out of memory", name);
        return false;
    }
    yaml_parser_set_input_string(&parser, text, size);
    bool ok = yaml_parser_load(&parser, &r.document);
    if (!ok) {
        snprintf(why, why_size, "%s:%zu:%zu: %s", name, parser.problem_mark.line + 1, parser.problem_mark.column + 1,
                 parser.problem ? parser.problem : "not YAML");
    } else {
        ok = read_document(&r);
        yaml_document_delete(&r.document);
    }
    yaml_parser_delete(&parser);
    if (ok) {
        /* §2.4: "Microsoft Hv" and "Hv#1". Guests compare both. */
        p->truth[0].ebx = 0x7263694d;
        p->truth[0].ecx = 0x666f736f;
        p->truth[0].edx = 0x76482074;
        p->truth[1].eax = 0x31237648;
        p->max_leaf = p->truth[0].eax;
        p->announced[0] = p->truth[0];
        p->announced[1] = p->truth[1];
        announce(p);
    }
    return ok;
}

bool profile_find(const char *name, struct profile *p)
{
    for (size_t i = 0; i < profile_name_count; i++) {
        if (strcmp(profile_names[i], name) == 0) {
            char why[160];
            bool ok = profile_parse(name, profile_texts[i].start, (size_t)(profile_texts[i].end - profile_texts[i].start), p,
                                    why, sizeof why);
            assert(ok && "a built-in profile must parse");
            return ok;
        }
    }
    return false;
}

bool profile_set(struct profile *p, const char *feature, bool on, const char **why)
{
    size_t f = 0;
    while (f < feature_row_count && strcmp(feature_rows[f].name, feature) != 0) {
        f++;
    }
    if (f == feature_row_count) {
        *why = "no such feature";
        return false;
    }
    if (on && !feature_rows[f].built) {
        *why = feature_rows[f].why_withheld;
        return false;
    }
    leaf_bit(p->announced, (enum hv_feature)f, on);
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < ARRAY_COUNT(feature_needs); i++) {
            if (profile_has(p, feature_needs[i].feature) && !profile_has(p, feature_needs[i].needs)) {
                leaf_bit(p->announced, on ? feature_needs[i].needs : feature_needs[i].feature, on);
                changed = true;
            }
        }
    }
    return true;
}
