/* The judgement for programs: JSON, and back from it; JUnit XML. See report.h. */
#include "conformance/report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- JSON ---- */

static json_t *clause_json(const struct clause_result *r)
{
    json_t *o = json_object();
    char *evidence = result_evidence(r);
    char probe[160] = "";
    if (r->record != NULL) {
        snprintf(probe, sizeof probe, "%s%s%s", r->record->probe, r->line != NULL ? "/" : "",
                 r->line != NULL ? r->line->test : "");
    }
    json_object_set_new(o, "id", json_string(r->clause->id));
    json_object_set_new(o, "verdict", json_string(verdict_names[r->word]));
    json_object_set_new(o, "probe", r->record != NULL ? json_string(probe) : json_null());
    json_object_set_new(o, "cycle",
                        r->record != NULL ? json_integer((json_int_t)(r->line != NULL ? r->line->cycle : r->record->cycles))
                                          : json_null());
    json_object_set_new(o, "evidence", evidence != NULL ? json_string(evidence) : json_null());
    if (r->message != NULL) {
        json_object_set_new(o, "message", json_string(r->message));
    }
    if (r->known != NULL) {
        json_object_set_new(o, r->word == VERDICT_PASS ? "unexpected_pass" : "known", json_string(r->known->cause));
    }
    free(evidence);
    return o;
}

static json_t *counts_json(const size_t *counts, const char *const *names, unsigned first, unsigned count)
{
    json_t *o = json_object();
    for (unsigned i = first; i < count; i++) {
        json_object_set_new(o, names[i], json_integer((json_int_t)counts[i]));
    }
    return o;
}

static json_t *column_json(const struct column_result *c, const struct record *records, size_t record_count)
{
    json_t *o = json_object(), *clauses = json_array(), *fallen = json_array(), *runs = json_array();
    for (size_t i = 0; i < c->count; i++) {
        json_array_append_new(clauses, clause_json(&c->results[i]));
    }
    for (size_t i = 0; i < c->fallen_count; i++) {
        json_array_append_new(fallen, json_string(c->fallen[i]));
    }
    for (size_t i = 0; i < record_count; i++) {
        if (strcmp(records[i].suite, c->suite->name) == 0 && strcmp(records[i].profile, c->profile) == 0) {
            json_array_append_new(runs, record_json(&records[i]));
        }
    }
    json_object_set_new(o, "suite", json_string(c->suite->name));
    json_object_set_new(o, "profile", json_string(c->profile));
    json_object_set_new(o, "summary", counts_json(c->summary, verdict_names, 0, VERDICT_WORDS));
    json_object_set_new(o, "clauses", clauses);
    json_object_set_new(o, "fallen", fallen);
    json_object_set_new(o, "excused", counts_json(c->excused, clause_reason_names, 1, CLAUSE_REASONS));
    json_object_set_new(o, "runs", runs);
    return o;
}

json_t *report_json(const struct judgement *j, const struct record *records, size_t record_count, const char *shard)
{
    json_t *o = json_object(), *list = json_array();
    for (size_t i = 0; i < j->count; i++) {
        json_array_append_new(list, column_json(&j->columns[i], records, record_count));
    }
    if (json_object_set_new(o, "suites", list) != 0 ||
        (shard != NULL && json_object_set_new(o, "shard", json_string(shard)) != 0)) {
        json_decref(o);
        return NULL;
    }
    return o;
}

static bool append_record(const json_t *o, struct record **records, size_t *count, struct message *why)
{
    struct record r;
    if (!record_from_json(o, &r, why)) {
        return false;
    }
    struct record *list = realloc(*records, (*count + 1) * sizeof *list);
    if (list == NULL) {
        record_free(&r);
        return message_say(why, "the host has no memory left");
    }
    *records = list;
    list[(*count)++] = r;
    return true;
}

bool report_records(const json_t *report, struct record **records, size_t *count, char shard[16], struct message *why)
{
    const json_t *suites = json_object_get(report, "suites");
    const char *part = json_string_value(json_object_get(report, "shard"));
    if (!json_is_array(suites) || (part != NULL && strlen(part) >= 16)) {
        return message_say(why, "it is no report of conform: \"suites\" and, of a shard, \"shard\": \"I/N\" are expected");
    }
    strcpy(shard, part != NULL ? part : "");
    for (size_t i = 0; i < json_array_size(suites); i++) {
        const json_t *runs = json_object_get(json_array_get(suites, i), "runs");
        if (!json_is_array(runs)) {
            return message_say(why, "suite number %zu has no \"runs\"", i + 1);
        }
        for (size_t k = 0; k < json_array_size(runs); k++) {
            if (!append_record(json_array_get(runs, k), records, count, why)) {
                return false;
            }
        }
    }
    return true;
}

/* ---- JUnit ---- */

static void xml(FILE *out, const char *text)
{
    for (; *text != 0; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '&' || c == '<' || c == '>' || c == '"') {
            fprintf(out, "&#%u;", c);
        } else {
            fputc(c >= 0x20 && c != 0x7f ? c : '?', out);
        }
    }
}

static void junit_case(FILE *out, const struct column_result *c, const struct clause_result *r)
{
    static const char *const elements[VERDICT_WORDS] = {NULL, "failure", "skipped", "error", "skipped"};
    char *evidence = result_evidence(r);
    fprintf(out, "    <testcase classname=\"%s.%s\" name=\"", c->suite->name, c->profile);
    xml(out, r->clause->id);
    fputc('"', out);
    if (elements[r->word] == NULL) {
        fputs("/>\n", out);
    } else {
        fprintf(out, ">\n      <%s message=\"", elements[r->word]);
        xml(out, r->word == VERDICT_KNOWN ? "known: " : "");
        xml(out, r->word == VERDICT_KNOWN ? r->known->cause : r->message != NULL ? r->message : "");
        fputs("\">", out);
        xml(out, evidence != NULL ? evidence : "");
        fprintf(out, "</%s>\n    </testcase>\n", elements[r->word]);
    }
    free(evidence);
}

void report_junit(FILE *out, const struct judgement *j)
{
    fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"orrery conform\">\n", out);
    for (size_t i = 0; i < j->count; i++) {
        const struct column_result *c = &j->columns[i];
        fprintf(out, "  <testsuite name=\"%s.%s\" tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" skipped=\"%zu\">\n",
                c->suite->name, c->profile, c->count, c->summary[VERDICT_FAIL], c->summary[VERDICT_BROKEN],
                c->summary[VERDICT_NOT_SUPPORTED] + c->summary[VERDICT_KNOWN]);
        for (size_t k = 0; k < c->count; k++) {
            junit_case(out, c, &c->results[k]);
        }
        fputs("  </testsuite>\n", out);
    }
    fputs("</testsuites>\n", out);
}
