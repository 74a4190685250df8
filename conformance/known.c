/* Failures that are expected, and passes that must stay. See judge.h. */
#define _GNU_SOURCE
#include "conformance/judge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scenarios/files.h"
#include "scenarios/value.h"

#define KEYS(...) (const char *const[]){__VA_ARGS__}, ARRAY_COUNT(((const char *const[]){__VA_ARGS__}))

/* ---- known.yaml: known: [ { clause, profile, cause } ] ---- */

static bool read_failure(struct value_reader *r, const struct yaml_node *n, const struct ledger *l, struct known_failure *k)
{
    static const char *const needed[] = {"clause", "profile", "cause"};
    const char **const texts[] = {&k->clause, &k->profile, &k->cause};
    if (!value_keys(r, n, "a known failure", needed, ARRAY_COUNT(needed))) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_COUNT(needed); i++) {
        const struct yaml_node *value = yaml_find(n, needed[i]);
        if (value == NULL || value->kind != YAML_IS_SCALAR || value->text[0] == 0) {
            return value_refuse(r, n, "a known failure has \"clause\", \"profile\" and \"cause\"");
        }
        *texts[i] = value->text;
    }
    const struct clause *c = ledger_find(l, k->clause);
    if (c == NULL) {
        return value_refuse(r, yaml_find(n, "clause"), "%s is no clause of the ledger", quote_text(k->clause).text);
    }
    return c->document != DOCUMENT_REQUIREMENTS ||
           value_refuse(r, yaml_find(n, "clause"), "nothing of hv1 may be known to fail: repair it");
}

static bool read_known(const char *file, const char *text, size_t bytes, const struct ledger *l, struct known *k,
                       struct message *why)
{
    k->tree = yaml_tree_read(file, text, bytes, NULL, why);
    if (k->tree == NULL) {
        return false;
    }
    struct value_reader r = {.file = file, .why = why};
    const struct yaml_node *list = yaml_find(k->tree->root, "known");
    if (!value_keys(&r, k->tree->root, "known failures", KEYS("known"))) {
        return false;
    }
    if (list == NULL || list->kind != YAML_IS_SEQUENCE) {
        return value_refuse(&r, k->tree->root, "expected \"known\" and its list; write known: [] for none");
    }
    k->list = calloc(list->count + 1, sizeof *k->list);
    for (size_t i = 0; k->list != NULL && i < list->count; i++, k->count++) {
        if (!read_failure(&r, list->items[i], l, &k->list[i])) {
            return false;
        }
    }
    return k->list != NULL || message_say(why, "the host has no memory left");
}

bool known_read(const char *file, const struct ledger *l, struct known *k, struct message *why)
{
    struct message reason = {.text = {0}};
    uint8_t *text;
    size_t bytes;
    *k = (struct known){NULL, NULL, 0};
    if (access(file, F_OK) != 0) {
        return true;
    }
    if (!file_read(file, YAML_FILE_MAX, &text, &bytes, &reason)) {
        return message_at(why, file, 1, 1, "cannot read it: %s", reason.text);
    }
    bool ok = read_known(file, (const char *)text, bytes, l, k, why);
    free(text);
    return ok;
}

void known_free(struct known *k)
{
    yaml_tree_free(k->tree);
    free(k->list);
    *k = (struct known){NULL, NULL, 0};
}

/* ---- baselines ---- */

static bool split(struct baseline *b, struct message *why)
{
    size_t lines = 1, number = 0;
    for (const char *c = b->text; *c != 0; c++) {
        lines += *c == '\n';
    }
    b->ids = calloc(lines, sizeof *b->ids);
    if (b->ids == NULL) {
        return message_say(why, "the host has no memory left");
    }
    for (char *line = b->text, *end; line != NULL && *line != 0; line = end) {
        end = strchr(line, '\n');
        if (end != NULL) {
            *end++ = 0;
        }
        number++;
        if (line[0] == '#' || line[0] == 0) {
            continue;
        }
        if (strspn(line, "abcdefghijklmnopqrstuvwxyz0123456789.-") != strlen(line)) {
            return message_at(why, b->file, (unsigned)number, 1, "%s is no clause id; one a line", quote_text(line).text);
        }
        b->ids[b->count++] = line;
    }
    return true;
}

/* False with `why` set, or `text` left NULL: there is no such file. */
static bool ids_read(struct baseline *b, struct message *why)
{
    enum { LIST_MAX = 1 << 20 };
    struct message reason = {.text = {0}};
    uint8_t *text;
    size_t bytes;
    if (access(b->file, F_OK) != 0) {
        return true;
    }
    if (!file_read(b->file, LIST_MAX, &text, &bytes, &reason)) {
        return message_at(why, b->file, 1, 1, "cannot read it: %s", reason.text);
    }
    b->text = (char *)text;
    return split(b, why);
}

bool baseline_read(const char *folder, const struct plan_column *c, struct baseline *b, struct message *why)
{
    *b = (struct baseline){NULL, NULL, NULL, 0};
    if (asprintf(&b->file, "%s/baseline/%s@%s.txt", folder, c->suite->name, c->profile) < 0) {
        b->file = NULL;
        return message_say(why, "the host has no memory left");
    }
    return ids_read(b, why);
}

static unsigned line_of(const struct baseline *b, const char *id)
{
    unsigned line = 1;
    for (const char *c = b->text; c < id; c++) {
        line += *c == 0;
    }
    return line;
}

bool unproven_read(const char *folder, struct ledger *l, struct message *why)
{
    struct baseline list = {NULL, NULL, NULL, 0};
    bool ok = asprintf(&list.file, "%s/unproven.txt", folder) >= 0;
    if (!ok) {
        list.file = NULL;
        return message_say(why, "the host has no memory left");
    }
    ok = ids_read(&list, why);
    for (size_t i = 0; ok && i < list.count; i++) {
        ok = ledger_mark_unproven(l, list.ids[i]) || message_at(why, list.file, line_of(&list, list.ids[i]), 1,
                                                                "%s is no clause with tests", quote_text(list.ids[i]).text);
    }
    baseline_free(&list);
    return ok;
}

void baseline_free(struct baseline *b)
{
    free(b->file);
    free(b->text);
    free(b->ids);
    *b = (struct baseline){NULL, NULL, NULL, 0};
}
