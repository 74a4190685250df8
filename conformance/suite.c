/* Suites: YAML to lists of scenarios. See suite.h. */
#define _GNU_SOURCE
#include "conformance/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/folder.h"
#include "scenarios/files.h"
#include "scenarios/value.h"

#define KEYS(...) (const char *const[]){__VA_ARGS__}, ARRAY_COUNT(((const char *const[]){__VA_ARGS__}))

struct suite_reader {
    struct value_reader value;
    struct suite *suite;
    const char *folder;
    const struct yaml_node *list; /* "scenarios" */
};

bool suite_has(const struct suite *s, const struct clause *c)
{
    return (c->editions >> s->edition & 1) != 0;
}

/* ---- profiles ---- */

static bool known_profile(const char *name)
{
    for (size_t i = 0; i < profile_name_count; i++) {
        if (strcmp(profile_names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static int suite_profile(const struct suite *s, const char *name)
{
    for (unsigned i = 0; i < s->profile_count; i++) {
        if (strcmp(s->profiles[i], name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static bool read_profiles(struct suite_reader *r, const struct yaml_node *n)
{
    struct suite *s = r->suite;
    if (n == NULL) {
        return true;
    }
    if (!value_sequence(&r->value, n, "profiles such as [ws2019]")) {
        return false;
    }
    for (size_t i = 0; i < n->count; i++) {
        const char *name;
        if (!value_text(&r->value, n->items[i], "a profile's name", &name)) {
            return false;
        }
        if (!known_profile(name)) {
            return value_refuse(&r->value, n->items[i], "unknown profile %s; `orrery profile` lists them",
                                quote_text(name).text);
        }
        if (suite_profile(s, name) >= 0 || s->profile_count == SUITE_PROFILES_MAX) {
            return value_refuse(&r->value, n->items[i], "profile %s twice, or more than %d", name, SUITE_PROFILES_MAX);
        }
        s->profiles[s->profile_count++] = name;
    }
    return true;
}

/* ---- scenarios ---- */

static bool entry_append(struct suite_reader *r, const struct suite_entry *e)
{
    struct suite *s = r->suite;
    struct suite_entry *entries =
        s->entry_count < SUITE_ENTRIES_MAX ? realloc(s->entries, (s->entry_count + 1) * sizeof *entries) : NULL;
    if (e->file == NULL || entries == NULL) {
        free(e->file);
        return value_refuse(&r->value, e->where, "too many scenarios (at most %d), or the host has no memory left",
                            SUITE_ENTRIES_MAX);
    }
    s->entries = entries;
    entries[s->entry_count++] = *e;
    return true;
}

static char *path_of(const struct suite_reader *r, const char *file)
{
    char *path;
    return asprintf(&path, "%s/%s", r->folder, file) < 0 ? NULL : path;
}

/* The file that an entry names by itself; NULL: a pattern. */
static const char *own_file(const struct yaml_node *entry)
{
    const struct yaml_node *file = entry->kind == YAML_IS_MAPPING ? yaml_find(entry, "file") : entry;
    return file != NULL && file->kind == YAML_IS_SCALAR && strchr(file->text, '*') == NULL ? file->text : NULL;
}

static bool excepted(const struct suite *s, const char *file)
{
    for (size_t i = 0; s->except != NULL && i < s->except->count; i++) {
        if (strcmp(s->except->items[i]->text, file) == 0) {
            return true;
        }
    }
    return false;
}

static bool listed_alone(const struct suite_reader *r, const char *file)
{
    for (size_t i = 0; i < r->list->count; i++) {
        const char *own = own_file(r->list->items[i]);
        if (own != NULL && strcmp(own, file) == 0) {
            return true;
        }
    }
    return false;
}

/* "scenarios/NAME*.yaml": the pattern stands in the last part. */
static bool add_pattern(struct suite_reader *r, const struct suite_entry *like, const char *pattern)
{
    const char *slash = strrchr(pattern, '/');
    char below[256];
    struct folder files;
    if (slash == NULL || (size_t)(slash - pattern) >= sizeof below || memchr(pattern, '*', (size_t)(slash - pattern)) != NULL) {
        return value_refuse(&r->value, like->where, "a pattern is FOLDER/NAME with \"*\" in NAME alone");
    }
    snprintf(below, sizeof below, "%.*s", (int)(slash - pattern), pattern);
    char *folder = path_of(r, below);
    struct message reason = {.text = {0}};
    if (folder == NULL || !folder_read(folder, ".yaml", &files, &reason)) {
        free(folder);
        return value_refuse(&r->value, like->where, "%s", message_set(&reason) ? reason.text : "the host has no memory left");
    }
    free(folder);
    bool ok = true;
    for (size_t i = 0; ok && i < files.count; i++) {
        char *file = NULL;
        if (glob_match(slash + 1, files.names[i]) && asprintf(&file, "%s/%s", below, files.names[i]) >= 0 &&
            !listed_alone(r, file) && !excepted(r->suite, file)) {
            struct suite_entry e = *like;
            e.file = path_of(r, file);
            ok = entry_append(r, &e);
        }
        free(file);
    }
    folder_free(&files);
    return ok;
}

static bool read_entry_profiles(struct suite_reader *r, const struct yaml_node *n, struct suite_entry *e)
{
    if (n == NULL) {
        e->profiles = (1u << SUITE_PROFILES_MAX) - 1;
        return true;
    }
    if (!value_sequence(&r->value, n, "some of the suite's profiles")) {
        return false;
    }
    for (size_t i = 0; i < n->count; i++) {
        const char *name;
        if (!value_text(&r->value, n->items[i], "one of the suite's profiles", &name)) {
            return false;
        }
        int index = suite_profile(r->suite, name);
        if (index < 0) {
            return value_refuse(&r->value, n->items[i], "%s is none of this suite's profiles", quote_text(name).text);
        }
        e->profiles |= 1u << index;
    }
    return true;
}

static bool read_set(struct suite_reader *r, const struct yaml_node *n, struct suite_entry *e)
{
    static const char *const given[] = {"EDITION", "PROFILE", "PROBES"};
    e->set = n;
    if (n == NULL) {
        return true;
    }
    if (!value_mapping(&r->value, n, "{ NAME: VALUE } for ${NAME}") || n->count > SUITE_SETS_MAX) {
        return value_refuse(&r->value, n, "at most %d variables are possible", SUITE_SETS_MAX);
    }
    for (size_t i = 0; i < n->count; i++) {
        const char *name = yaml_key(n, i)->text, *value;
        bool good = name[0] != 0 && strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == strlen(name);
        for (size_t k = 0; k < ARRAY_COUNT(given); k++) {
            good = good && strcmp(name, given[k]) != 0;
        }
        if (!good) {
            return value_refuse(&r->value, yaml_key(n, i),
                                "variable %s; write capitals, digits and _, and none of EDITION, PROFILE, PROBES",
                                quote_text(name).text);
        }
        if (!value_text(&r->value, yaml_value(n, i), "a value", &value)) {
            return false;
        }
    }
    return true;
}

static bool read_entry(struct suite_reader *r, const struct yaml_node *n)
{
    struct suite_entry e = {.where = n};
    const struct yaml_node *file = n;
    const char *path;
    if (n->kind == YAML_IS_MAPPING) {
        if (!value_keys(&r->value, n, "a scenario of the suite", KEYS("file", "set", "profiles"))) {
            return false;
        }
        file = yaml_find(n, "file");
        if (file == NULL) {
            return value_refuse(&r->value, n, "the entry has no \"file\"");
        }
    }
    if (!value_text(&r->value, file, "the path of a scenario", &path) ||
        !read_set(r, n->kind == YAML_IS_MAPPING ? yaml_find(n, "set") : NULL, &e) ||
        !read_entry_profiles(r, n->kind == YAML_IS_MAPPING ? yaml_find(n, "profiles") : NULL, &e)) {
        return false;
    }
    if (own_file(n) == NULL) {
        return add_pattern(r, &e, path);
    }
    e.file = path_of(r, path);
    return entry_append(r, &e);
}

/* ---- a suite ---- */

static bool read_except(struct suite_reader *r, const struct yaml_node *n)
{
    if (n != NULL && !value_sequence(&r->value, n, "scenario files that no pattern means")) {
        return false;
    }
    for (size_t i = 0; n != NULL && i < n->count; i++) {
        const char *file;
        if (!value_text(&r->value, n->items[i], "the path of a scenario", &file)) {
            return false;
        }
    }
    r->suite->except = n;
    return true;
}

static bool read_suite(struct suite_reader *r)
{
    struct suite *s = r->suite;
    const struct yaml_node *root = s->tree->root;
    static const char *const needed[] = {"suite", "title", "edition", "profiles", "scenarios"};
    unsigned edition;
    if (!value_keys(&r->value, root, "a suite", KEYS("suite", "title", "edition", "profiles", "also", "scenarios", "except"))) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_COUNT(needed); i++) {
        if (yaml_find(root, needed[i]) == NULL) {
            return value_refuse(&r->value, root, "the suite has no \"%s\"", needed[i]);
        }
    }
    if (!value_text(&r->value, yaml_find(root, "suite"), "the suite's name", &s->name) ||
        !value_text(&r->value, yaml_find(root, "title"), "the suite's title", &s->title) ||
        !value_word(&r->value, yaml_find(root, "edition"), ledger_edition_names, LEDGER_EDITIONS, &edition) ||
        !read_profiles(r, yaml_find(root, "profiles"))) {
        return false;
    }
    s->edition = (enum ledger_edition)edition;
    s->default_count = s->profile_count;
    r->list = yaml_find(root, "scenarios");
    if (!read_profiles(r, yaml_find(root, "also")) || !read_except(r, yaml_find(root, "except")) ||
        !value_sequence(&r->value, r->list, "scenario files")) {
        return false;
    }
    for (size_t i = 0; i < r->list->count; i++) {
        if (!read_entry(r, r->list->items[i])) {
            return false;
        }
    }
    return true;
}

static bool read_file(struct suite *s, const char *folder, const char *name, struct message *why)
{
    struct message reason = {.text = {0}};
    uint8_t *text;
    size_t bytes;
    if (asprintf(&s->file, "%s/suites/%s", folder, name) < 0) {
        s->file = NULL;
        return message_say(why, "the host has no memory left");
    }
    if (!file_read(s->file, YAML_FILE_MAX, &text, &bytes, &reason)) {
        return message_at(why, s->file, 1, 1, "cannot read the suite: %s", reason.text);
    }
    s->tree = yaml_tree_read(s->file, (const char *)text, bytes, NULL, why);
    free(text);
    struct suite_reader r = {.value = {.file = s->file, .why = why}, .suite = s, .folder = folder};
    if (s->tree == NULL || !read_suite(&r)) {
        return false;
    }
    size_t length = strlen(s->name);
    return (strncmp(s->name, name, length) == 0 && strcmp(name + length, ".yaml") == 0) ||
           value_refuse(&r.value, yaml_find(s->tree->root, "suite"), "the suite's name is its file's; expected %.*s",
                        (int)(strlen(name) - 5), name);
}

bool suites_read(const char *folder, struct suites *s, struct message *why)
{
    struct folder files = {NULL, 0};
    char *below;
    *s = (struct suites){NULL, 0};
    if (asprintf(&below, "%s/suites", folder) < 0) {
        return message_say(why, "the host has no memory left");
    }
    bool ok = folder_read(below, ".yaml", &files, why);
    free(below);
    s->list = calloc(files.count + 1, sizeof *s->list);
    ok = ok && (s->list != NULL || message_say(why, "the host has no memory left"));
    for (size_t i = 0; ok && i < files.count; i++) {
        s->count++;
        ok = read_file(&s->list[i], folder, files.names[i], why);
    }
    folder_free(&files);
    return ok;
}

void suites_free(struct suites *s)
{
    for (size_t i = 0; i < s->count; i++) {
        struct suite *one = &s->list[i];
        for (unsigned k = 0; k < one->entry_count; k++) {
            free(one->entries[k].file);
        }
        free(one->entries);
        yaml_tree_free(one->tree);
        free(one->file);
    }
    free(s->list);
    *s = (struct suites){NULL, 0};
}

bool suite_lists(const struct suite *s, const char *folder, const char *file)
{
    size_t length = strlen(folder);
    for (unsigned i = 0; i < s->entry_count; i++) {
        if (strcmp(s->entries[i].file, file) == 0) {
            return true;
        }
    }
    return strncmp(file, folder, length) == 0 && file[length] == '/' && excepted(s, file + length + 1);
}

const struct suite *suites_find(const struct suites *s, const char *name)
{
    for (size_t i = 0; i < s->count; i++) {
        if (strcmp(s->list[i].name, name) == 0) {
            return &s->list[i];
        }
    }
    return NULL;
}
