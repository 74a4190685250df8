/* Chapters of the ledger: YAML to clauses, every key known and every value in range. See ledger.h. */
#include "conformance/ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/folder.h"
#include "scenarios/files.h"
#include "scenarios/value.h"

#define KEYS(...) (const char *const[]){__VA_ARGS__}, ARRAY_COUNT(((const char *const[]){__VA_ARGS__}))

const char *const ledger_edition_names[LEDGER_EDITIONS] = {"2012", "2.0", "3.0", "4.0", "5.0", "6.0"};
const char *const clause_kind_names[CLAUSE_KINDS] = {"required", "optional", "prohibited", "behaviour"};
const char *const clause_reason_names[CLAUSE_REASONS] = {"none", "parent-only", "real-hardware", "no-observable", "not-built"};

enum tlfs_edition ledger_probe_edition(enum ledger_edition e)
{
    static const enum tlfs_edition editions[LEDGER_EDITIONS] = {
        EDITION_REQUIREMENTS, EDITION_2_0, EDITION_3_0, EDITION_4_0, EDITION_5_0, EDITION_6_0,
    };
    return editions[e];
}

/* ---- editions ---- */

static bool edition_named(const char *text, size_t length, enum ledger_edition *e)
{
    for (unsigned i = 0; i < LEDGER_EDITIONS; i++) {
        if (strlen(ledger_edition_names[i]) == length && memcmp(ledger_edition_names[i], text, length) == 0) {
            *e = (enum ledger_edition)i;
            return true;
        }
    }
    return false;
}

/* "2.0", "2.0-4.0", "5.0+"; "2012". */
static bool read_editions(struct value_reader *r, const struct yaml_node *n, struct clause *c)
{
    const char *text, *dash;
    if (!value_text(r, n, "editions such as \"2.0+\"", &text)) {
        return false;
    }
    size_t length = strlen(text);
    bool open_ended = length > 1 && text[length - 1] == '+';
    enum ledger_edition first, last = LEDGER_6_0;
    dash = strchr(text, '-');
    size_t first_length = dash != NULL ? (size_t)(dash - text) : length - open_ended;
    bool good = edition_named(text, first_length, &first);
    if (good && dash != NULL) {
        good = edition_named(dash + 1, strlen(dash + 1), &last) && last > first;
    } else if (good && !open_ended) {
        last = first;
    }
    bool requirements = good && first == LEDGER_2012;
    if (!good || (requirements && last != LEDGER_2012)) {
        return value_refuse(r, n,
                            "editions %s; expected one such as \"2.0\", \"2.0-4.0\", \"5.0+\", or \"2012\" of requirements",
                            quote_text(text).text);
    }
    if (requirements != (c->document == DOCUMENT_REQUIREMENTS)) {
        return value_refuse(r, n, "editions %s do not belong to this document; requirements has \"2012\", tlfs 2.0 to 6.0",
                            quote_text(text).text);
    }
    for (unsigned e = first; e <= (unsigned)last; e++) {
        c->editions |= 1u << e;
    }
    return true;
}

static bool read_sections(struct value_reader *r, const struct yaml_node *n, struct clause *c)
{
    unsigned derived_editions = 1u << LEDGER_3_0 | 1u << LEDGER_4_0;
    if (n == NULL && c->derived) {
        return true;
    }
    if (n == NULL) {
        return value_refuse(r, c->where, "the clause cites no section; write section: { \"6.0\": \"11.8.5\" }");
    }
    if (!value_mapping(r, n, "{ EDITION: SECTION }") || n->count == 0) {
        return value_refuse(r, n, "no section is cited; write section: { \"6.0\": \"11.8.5\" }");
    }
    for (size_t i = 0; i < n->count; i++) {
        const struct yaml_node *key = yaml_key(n, i), *value = yaml_value(n, i);
        const char *text;
        enum ledger_edition e;
        if (!value_text(r, value, "a section such as \"11.8.5\"", &text)) {
            return false;
        }
        if (!edition_named(key->text, strlen(key->text), &e) || !(c->editions >> e & 1) || (derived_editions >> e & 1)) {
            return value_refuse(r, key,
                                "edition %s cannot be cited here; only those of \"editions\" that have a text (not 3.0, 4.0)",
                                quote_text(key->text).text);
        }
        c->sections[e] = value;
    }
    return true;
}

/* ---- a clause ---- */

static bool id_good(const char *id)
{
    size_t length = strlen(id);
    bool good = length > 0 && length <= CLAUSE_ID_MAX && strchr(id, '.') != NULL;
    char before = '.';
    for (const char *c = id; good && *c != 0; before = *c++) {
        bool word = (*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9');
        good = word || ((*c == '.' || *c == '-') && before != '.' && before != '-');
    }
    return good && before != '.' && before != '-';
}

static bool read_id(struct value_reader *r, const struct yaml_node *n, struct clause *c)
{
    const struct yaml_node *id = yaml_find(n, "id");
    if (id == NULL) {
        return value_refuse(r, n, "the clause has no \"id\"");
    }
    c->where = id;
    return value_text(r, id, "a clause id", &c->id) &&
           (id_good(c->id) ||
            value_refuse(r, id, "%s is no clause id; write lower-case words with hyphens, joined by dots, at most %d bytes",
                         quote_text(c->id).text, CLAUSE_ID_MAX));
}

static bool read_gate(struct value_reader *r, const struct yaml_node *n, struct clause *c)
{
    if (n == NULL) {
        return value_refuse(r, c->where, "the clause has no \"gate\"; write gate: [] when it stands behind no feature");
    }
    if (!value_sequence(r, n, "TLFS feature names")) {
        return false;
    }
    if (n->count > CLAUSE_GATES_MAX) {
        return value_refuse(r, n, "%zu features; at most %d are possible", n->count, CLAUSE_GATES_MAX);
    }
    for (size_t i = 0; i < n->count; i++) {
        const char *name;
        size_t f = 0;
        if (!value_text(r, n->items[i], "a TLFS feature name", &name)) {
            return false;
        }
        while (f < feature_row_count && strcmp(feature_rows[f].name, name) != 0) {
            f++;
        }
        if (f == feature_row_count) {
            return value_refuse(r, n->items[i], "%s is no feature; `orrery profile NAME` lists them", quote_text(name).text);
        }
        c->gates[c->gate_count++] = (enum hv_feature)f;
    }
    return true;
}

static bool name_good(const char *text, size_t length, size_t room, const char *more)
{
    bool good = length > 0 && length < room;
    for (size_t i = 0; good && i < length; i++) {
        char b = text[i];
        good = (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9') || strchr(more, b) != NULL;
    }
    return good;
}

static bool read_tests(struct value_reader *r, const struct yaml_node *n, struct clause *c)
{
    if (!value_sequence(r, n, "tests such as synic/sint_vector_below_16")) {
        return false;
    }
    if (n->count == 0 || n->count > CLAUSE_TESTS_MAX) {
        return value_refuse(r, n, "%zu tests; from 1 to %d, or a reason", n->count, CLAUSE_TESTS_MAX);
    }
    c->tests = calloc(n->count, sizeof *c->tests);
    if (c->tests == NULL) {
        return value_refuse(r, n, "the host has no memory left");
    }
    for (size_t i = 0; i < n->count; i++, c->test_count++) {
        const char *text, *slash;
        struct clause_test *t = &c->tests[i];
        if (!value_text(r, n->items[i], "a test such as synic/sint_vector_below_16", &text)) {
            return false;
        }
        slash = strchr(text, '/');
        if (slash == NULL || !name_good(text, (size_t)(slash - text), sizeof t->probe, "_-") ||
            !name_good(slash + 1, strlen(slash + 1), sizeof t->test, "_")) {
            return value_refuse(r, n->items[i], "%s is no test; write PROBE/TEST such as synic/sint_vector_below_16",
                                quote_text(text).text);
        }
        t->where = n->items[i];
        memcpy(t->probe, text, (size_t)(slash - text));
        strcpy(t->test, slash + 1);
    }
    return true;
}

static bool read_judgement(struct value_reader *r, const struct yaml_node *n, struct clause *c)
{
    const struct yaml_node *tests = yaml_find(n, "tests"), *reason = yaml_find(n, "reason");
    if ((tests == NULL) == (reason == NULL)) {
        return value_refuse(r, c->where, "the clause has %s \"tests\" and \"reason\"; it has exactly one of them",
                            tests == NULL ? "neither of" : "both");
    }
    if (tests != NULL) {
        return read_tests(r, tests, c);
    }
    unsigned index;
    if (!value_word(r, reason, clause_reason_names + 1, CLAUSE_REASONS - 1, &index)) {
        return false;
    }
    c->reason = (enum clause_reason)(index + 1);
    return true;
}

static bool read_clause(struct value_reader *r, const struct yaml_node *n, struct clause *c)
{
    static const char *const documents[] = {"requirements", "tlfs"};
    const struct yaml_node *statement = yaml_find(n, "statement"), *derived = yaml_find(n, "derived"),
                           *note = yaml_find(n, "note");
    unsigned document, kind;
    if (!value_keys(
            r, n, "a clause",
            KEYS("id", "doc", "editions", "derived", "section", "kind", "gate", "statement", "note", "tests", "reason")) ||
        !read_id(r, n, c)) {
        return false;
    }
    static const char *const needed[] = {"doc", "editions", "kind", "statement"};
    for (size_t i = 0; i < ARRAY_COUNT(needed); i++) {
        if (yaml_find(n, needed[i]) == NULL) {
            return value_refuse(r, c->where, "the clause has no \"%s\"", needed[i]);
        }
    }
    if (!value_word(r, yaml_find(n, "doc"), documents, ARRAY_COUNT(documents), &document) ||
        !value_word(r, yaml_find(n, "kind"), clause_kind_names, CLAUSE_KINDS, &kind) ||
        (derived != NULL && !value_switch(r, derived, &c->derived)) ||
        (note != NULL && !value_text(r, note, "a sentence", &c->note))) {
        return false;
    }
    c->document = (enum ledger_document)document;
    c->kind = (enum clause_kind)kind;
    return read_editions(r, yaml_find(n, "editions"), c) && read_sections(r, yaml_find(n, "section"), c) &&
           value_text(r, statement, "a sentence", &c->statement) && read_gate(r, yaml_find(n, "gate"), c) &&
           read_judgement(r, n, c);
}

/* ---- chapters ---- */

static bool read_chapter(struct chapter *c, const char *text, size_t bytes, struct message *why)
{
    c->tree = yaml_tree_read(c->file, text, bytes, NULL, why);
    if (c->tree == NULL) {
        return false;
    }
    struct value_reader r = {.file = c->file, .why = why};
    const struct yaml_node *root = c->tree->root, *list = yaml_find(root, "clauses"), *name = yaml_find(root, "chapter"),
                           *title = yaml_find(root, "title");
    if (!value_keys(&r, root, "a chapter of the ledger", KEYS("chapter", "title", "clauses"))) {
        return false;
    }
    if (name == NULL || title == NULL || list == NULL) {
        return value_refuse(&r, root, "a chapter has \"chapter\", \"title\" and \"clauses\"");
    }
    if (!value_text(&r, name, "the chapter's name", &c->name) || !value_text(&r, title, "the chapter's title", &c->title) ||
        !value_sequence(&r, list, "clauses")) {
        return false;
    }
    c->clauses = calloc(list->count + 1, sizeof *c->clauses);
    if (c->clauses == NULL) {
        return message_say(why, "the host has no memory left");
    }
    for (size_t i = 0; i < list->count; i++) {
        c->clauses[i].chapter = c;
        c->count++;
        if (!read_clause(&r, list->items[i], &c->clauses[i])) {
            return false;
        }
    }
    return true;
}

static int by_id(const void *a, const void *b)
{
    return strcmp((*(const struct clause *const *)a)->id, (*(const struct clause *const *)b)->id);
}

/* Chapters do not move any more: their clauses may be pointed at. */
static bool make_index(struct ledger *l, struct message *why)
{
    for (size_t i = 0; i < l->chapter_count; i++) {
        l->count += l->chapters[i].count;
    }
    l->by_id = calloc(l->count + 1, sizeof *l->by_id);
    if (l->by_id == NULL) {
        return message_say(why, "the host has no memory left");
    }
    size_t at = 0;
    for (size_t i = 0; i < l->chapter_count; i++) {
        for (size_t k = 0; k < l->chapters[i].count; k++) {
            l->by_id[at++] = &l->chapters[i].clauses[k];
        }
    }
    qsort(l->by_id, l->count, sizeof *l->by_id, by_id);
    for (size_t i = 1; i < l->count; i++) {
        const struct clause *a = l->by_id[i - 1], *b = l->by_id[i];
        if (strcmp(a->id, b->id) == 0) {
            /* Which of two equals comes first is the sort's whim; the message must not be. */
            const struct clause *later = a->chapter > b->chapter || (a->chapter == b->chapter && a > b) ? a : b;
            const struct clause *earlier = later == a ? b : a;
            return message_at(why, later->chapter->file, later->where->line, later->where->column,
                              "clause %s already stands in %s:%u; ids are unique", later->id, earlier->chapter->file,
                              earlier->where->line);
        }
    }
    return true;
}

static bool read_files(struct ledger *l, const char *folder, const struct folder *files, struct message *why)
{
    l->chapters = calloc(files->count + 1, sizeof *l->chapters);
    for (size_t i = 0; l->chapters != NULL && i < files->count; i++) {
        struct chapter *c = &l->chapters[i];
        size_t room = strlen(folder) + strlen(files->names[i]) + 2, bytes;
        uint8_t *text;
        struct message reason = {.text = {0}};
        c->file = malloc(room);
        if (c->file == NULL) {
            return message_say(why, "the host has no memory left");
        }
        l->chapter_count++;
        snprintf(c->file, room, "%s/%s", folder, files->names[i]);
        if (!file_read(c->file, YAML_FILE_MAX, &text, &bytes, &reason)) {
            return message_at(why, c->file, 1, 1, "cannot read the chapter: %s", reason.text);
        }
        bool ok = read_chapter(c, (const char *)text, bytes, why);
        free(text);
        if (!ok) {
            return false;
        }
    }
    return l->chapters != NULL || message_say(why, "the host has no memory left");
}

static struct ledger *ledger_finish(struct ledger *l, bool ok, struct message *why)
{
    if (!ok || !make_index(l, why)) {
        ledger_free(l);
        return NULL;
    }
    return l;
}

struct ledger *ledger_read(const char *folder, struct message *why)
{
    struct folder files;
    struct ledger *l = calloc(1, sizeof *l);
    if (l == NULL) {
        message_say(why, "the host has no memory left");
        return NULL;
    }
    bool ok = folder_read(folder, ".yaml", &files, why) && read_files(l, folder, &files, why);
    folder_free(&files);
    return ledger_finish(l, ok, why);
}

struct ledger *ledger_read_text(const char *file, const char *text, size_t bytes, struct message *why)
{
    struct ledger *l = calloc(1, sizeof *l);
    bool ok =
        l != NULL && (l->chapters = calloc(1, sizeof *l->chapters)) != NULL && (l->chapters[0].file = strdup(file)) != NULL;
    if (!ok) {
        message_say(why, "the host has no memory left");
        ledger_free(l);
        return NULL;
    }
    l->chapter_count = 1;
    return ledger_finish(l, read_chapter(&l->chapters[0], text, bytes, why), why);
}

void ledger_free(struct ledger *l)
{
    if (l == NULL) {
        return;
    }
    for (size_t i = 0; i < l->chapter_count; i++) {
        struct chapter *c = &l->chapters[i];
        for (size_t k = 0; k < c->count; k++) {
            free(c->clauses[k].tests);
        }
        free(c->clauses);
        yaml_tree_free(c->tree);
        free(c->file);
    }
    free(l->chapters);
    free(l->by_id);
    free(l);
}

static struct clause *find(const struct ledger *l, const char *id)
{
    size_t low = 0, high = l->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(id, l->by_id[middle]->id);
        if (order == 0) {
            return l->by_id[middle];
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

const struct clause *ledger_find(const struct ledger *l, const char *id)
{
    return find(l, id);
}

bool ledger_mark_unproven(struct ledger *l, const char *id)
{
    struct clause *c = find(l, id);
    if (c == NULL || c->test_count == 0) {
        return false;
    }
    c->unproven = true;
    return true;
}
