/* From records to verdicts. See judge.h. */
#define _GNU_SOURCE
#include "conformance/judge.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/folder.h"

/* The lines of one column by clause: a chain for each, in the order in which they were said. */
struct answer {
    const struct record *record;
    const struct ktap_line *line;
    size_t next; /* SIZE_MAX: the last */
};
struct answers {
    size_t *first, *last; /* by the clause's place in ledger.by_id */
    struct answer *list;
    size_t count;
};

static size_t place_of(const struct ledger *l, const char *id)
{
    const struct clause *c = ledger_find(l, id);
    size_t low = 0, high = l->count;
    while (c != NULL && low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(l->by_id[middle]->id, id) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return c != NULL ? low : SIZE_MAX;
}

static bool of_column(const struct record *r, const struct column_result *c)
{
    return strcmp(r->suite, c->suite->name) == 0 && strcmp(r->profile, c->profile) == 0;
}

static bool collect(struct answers *a, struct column_result *c, const struct record *records, size_t record_count,
                    const struct ledger *l)
{
    size_t lines = 0;
    for (size_t i = 0; i < record_count; i++) {
        lines += of_column(&records[i], c) ? records[i].count : 0;
    }
    a->first = malloc((l->count + 1) * sizeof *a->first);
    a->last = malloc((l->count + 1) * sizeof *a->last);
    a->list = malloc((lines + 1) * sizeof *a->list);
    if (a->first == NULL || a->last == NULL || a->list == NULL) {
        return false;
    }
    memset(a->first, 0xff, (l->count + 1) * sizeof *a->first);
    for (size_t i = 0; i < record_count; i++) {
        for (size_t k = 0; of_column(&records[i], c) && k < records[i].count; k++) {
            size_t place = place_of(l, records[i].lines[k].clause);
            if (place == SIZE_MAX) {
                c->strangers++;
                continue;
            }
            a->list[a->count] = (struct answer){&records[i], &records[i].lines[k], SIZE_MAX};
            if (a->first[place] == SIZE_MAX) {
                a->first[place] = a->count;
            } else {
                a->list[a->last[place]].next = a->count;
            }
            a->last[place] = a->count++;
        }
    }
    return true;
}

static void answers_free(struct answers *a)
{
    free(a->first);
    free(a->last);
    free(a->list);
}

static bool tested_by(const struct clause *c, const char *probe)
{
    for (unsigned i = 0; i < c->test_count; i++) {
        if (strcmp(c->tests[i].probe, probe) == 0) {
            return true;
        }
    }
    return false;
}

static bool answered(const struct answers *a, size_t place, const struct record *r)
{
    for (size_t i = a->first[place]; i != SIZE_MAX; i = a->list[i].next) {
        if (a->list[i].record == r) {
            return true;
        }
    }
    return false;
}

static void take(struct clause_result *result, bool *any, enum verdict_word word, const struct record *r,
                 const struct ktap_line *line, const char *message)
{
    if (!*any || (word != result->word && verdict_worse(result->word, word) == word)) {
        result->word = word;
        result->record = r;
        result->line = line;
        result->message = message;
    }
    *any = true;
}

/* False: nothing can be said, for the clause's scenarios, or those with its test, belong to other shards. */
static bool decide(struct clause_result *result, size_t place, const struct answers *a, const struct column_result *c,
                   const struct record *records, size_t record_count, const struct judge_rules *rules)
{
    bool any = false;
    for (size_t i = a->first[place]; i != SIZE_MAX; i = a->list[i].next) {
        const struct ktap_line *line = a->list[i].line;
        take(result, &any, line->word, a->list[i].record, line, line->message[0] != 0 ? line->message : NULL);
    }
    const struct record *silent = NULL;
    for (size_t i = 0; i < record_count; i++) {
        const struct record *r = &records[i];
        if (!of_column(r, c) || !tested_by(result->clause, r->probe)) {
            continue;
        }
        silent = silent == NULL ? r : silent;
        if (r->trouble[0] != 0 && !answered(a, place, r)) {
            take(result, &any, VERDICT_BROKEN, r, NULL, r->trouble);
        }
    }
    if (!any && silent != NULL && !rules->partial) {
        take(result, &any, VERDICT_BROKEN, silent, NULL, "a probe with a test of it ran and said nothing of it");
    }
    if (!any && !rules->partial) {
        take(result, &any, VERDICT_NOT_SUPPORTED, NULL, NULL, "the suite runs none of its tests under this profile");
    }
    return any;
}

static const struct known_failure *known_find(const struct known *k, const char *clause, const char *profile)
{
    for (size_t i = 0; i < k->count; i++) {
        if (strcmp(k->list[i].clause, clause) == 0 && strcmp(k->list[i].profile, profile) == 0) {
            return &k->list[i];
        }
    }
    return NULL;
}

static bool in_baseline(const struct baseline *b, const char *id)
{
    for (size_t i = 0; i < b->count; i++) {
        if (strcmp(b->ids[i], id) == 0) {
            return true;
        }
    }
    return false;
}

static void compare(struct clause_result *r, struct column_result *c, const struct judge_rules *rules, const struct baseline *b)
{
    const struct known_failure *k = known_find(rules->known, r->clause->id, c->profile);
    if (k != NULL && (r->word == VERDICT_FAIL || r->word == VERDICT_PASS)) {
        r->known = k;
        c->unexpected += r->word == VERDICT_PASS;
        r->word = r->word == VERDICT_FAIL ? VERDICT_KNOWN : r->word;
    }
    r->new_pass = c->has_baseline && r->word == VERDICT_PASS && !in_baseline(b, r->clause->id);
    c->new_passes += r->new_pass;
}

static const struct clause_result *result_of(const struct column_result *c, const char *id)
{
    for (size_t i = 0; i < c->count; i++) {
        if (strcmp(c->results[i].clause->id, id) == 0) {
            return &c->results[i];
        }
    }
    return NULL;
}

/* What had to pass and does not. A part of a run says nothing of the rest. */
static bool find_fallen(struct column_result *c, const struct judge_rules *rules, const struct baseline *b)
{
    c->fallen = calloc(b->count + 1, sizeof *c->fallen);
    for (size_t i = 0; c->fallen != NULL && i < b->count; i++) {
        const struct clause_result *r = result_of(c, b->ids[i]);
        bool elsewhere = rules->partial && (r == NULL || r->word == VERDICT_NOT_SUPPORTED);
        bool outside = elsewhere || (r == NULL && rules->clause_glob != NULL && !glob_match(rules->clause_glob, b->ids[i]));
        if (!outside && (r == NULL || r->word != VERDICT_PASS)) {
            c->fallen[c->fallen_count++] = b->ids[i];
        }
    }
    return c->fallen != NULL;
}

static bool judge_column(struct column_result *c, const struct record *records, size_t record_count,
                         const struct judge_rules *rules, const struct baseline *b)
{
    const struct ledger *l = rules->ledger;
    struct answers a = {NULL, NULL, NULL, 0};
    c->has_baseline = b->text != NULL;
    c->results = calloc(l->count + 1, sizeof *c->results);
    if (c->results == NULL || !collect(&a, c, records, record_count, l)) {
        answers_free(&a);
        return false;
    }
    for (size_t i = 0; i < l->chapter_count; i++) {
        for (size_t k = 0; k < l->chapters[i].count; k++) {
            const struct clause *clause = &l->chapters[i].clauses[k];
            if (!suite_has(c->suite, clause) || (rules->clause_glob != NULL && !glob_match(rules->clause_glob, clause->id))) {
                continue;
            }
            struct clause_result *r = &c->results[c->count];
            *r = (struct clause_result){.clause = clause};
            if (clause->reason != REASON_NONE) {
                c->excused[clause->reason]++;
            } else if (decide(r, place_of(l, clause->id), &a, c, records, record_count, rules)) {
                compare(r, c, rules, b);
                c->summary[r->word]++;
                c->count++;
            }
        }
    }
    answers_free(&a);
    return find_fallen(c, rules, b);
}

/* Each clause once, however many columns show it. */
static bool count_judged(struct judgement *j, const struct ledger *l)
{
    uint8_t *seen = calloc(l->count + 1, 1);
    if (seen == NULL) {
        return false;
    }
    for (size_t i = 0; i < j->count; i++) {
        for (size_t k = 0; k < j->columns[i].count; k++) {
            const struct clause_result *r = &j->columns[i].results[k];
            bool decided = r->word == VERDICT_PASS || r->word == VERDICT_FAIL || r->word == VERDICT_KNOWN;
            seen[place_of(l, r->clause->id)] |= decided ? 3 : 1;
        }
    }
    for (size_t i = 0; i < l->count; i++) {
        j->with_tests += seen[i] & 1;
        j->judged += seen[i] >> 1;
        j->unproven += seen[i] >> 1 && l->by_id[i]->unproven;
    }
    free(seen);
    return true;
}

bool judge(struct judgement *j, const struct plan_column *columns, size_t column_count, const struct record *records,
           size_t record_count, const struct judge_rules *rules)
{
    *j = (struct judgement){.columns = calloc(column_count + 1, sizeof *j->columns), .clause_glob = rules->clause_glob};
    for (size_t i = 0; j->columns != NULL && i < column_count; i++, j->count++) {
        struct column_result *c = &j->columns[i];
        c->suite = columns[i].suite;
        c->profile = columns[i].profile;
        if (!judge_column(c, records, record_count, rules, &rules->baselines[i])) {
            j->count++;
            return false;
        }
    }
    return j->columns != NULL && count_judged(j, rules->ledger);
}

void judgement_free(struct judgement *j)
{
    for (size_t i = 0; i < j->count; i++) {
        free(j->columns[i].results);
        free(j->columns[i].fallen);
    }
    free(j->columns);
    *j = (struct judgement){.columns = NULL};
}

bool judgement_good(const struct judgement *j)
{
    for (size_t i = 0; i < j->count; i++) {
        const struct column_result *c = &j->columns[i];
        if (c->summary[VERDICT_FAIL] > 0 || c->summary[VERDICT_BROKEN] > 0 || c->fallen_count > 0) {
            return false;
        }
    }
    return true;
}

char *result_evidence(const struct clause_result *r)
{
    char *text = NULL;
    if (r->record == NULL) {
        return NULL;
    }
    uint64_t cycle = r->line != NULL ? r->line->cycle : r->record->cycles;
    if (r->line == NULL && r->record->cycles == 0) {
        return strdup(r->record->command);
    }
    return asprintf(&text, "%s --stop-at %" PRIu64, r->record->command, cycle) < 0 ? NULL : text;
}
