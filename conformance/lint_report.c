/* Findings for people, as JSON and as SARIF. See lint.h. */
#include "conformance/lint.h"

#include <inttypes.h>
#include <string.h>

static void count_by_severity(const struct lint *l, size_t counts[LINT_SEVERITIES])
{
    size_t count;
    const struct lint_finding *f = lint_findings(l, &count);
    memset(counts, 0, LINT_SEVERITIES * sizeof *counts);
    for (size_t i = 0; i < count; i++) {
        counts[f[i].rule->severity]++;
    }
}

static void put_place(FILE *out, const struct lint_finding *f)
{
    fprintf(out, "cycle %" PRIu64, f->cycle);
    if (f->vp != TRACE_NO_VP) {
        fprintf(out, ", VP %" PRIu32, f->vp);
    }
    if (f->rip != 0) {
        fprintf(out, ", RIP 0x%" PRIx64, f->rip);
    }
}

void lint_print(FILE *out, const struct lint *l, const struct runner *r)
{
    size_t count, counts[LINT_SEVERITIES];
    const struct lint_finding *f = lint_findings(l, &count);
    char end[32];
    uint32_t code;
    enum run_end how = runner_end(r, &code);
    run_end_text(how, code, end);
    count_by_severity(l, counts);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "%-7s %s: %s\n        ", lint_severity_names[f[i].rule->severity], f[i].rule->name, f[i].message);
        put_place(out, &f[i]);
        if (f[i].count > 1) {
            fprintf(out, ", and %" PRIu64 " times more", f[i].count - 1);
        }
        fprintf(out, "\n        clause %s: %s\n", f[i].rule->clause, f[i].rule->duty);
    }
    fprintf(out, "%s: %zu errors, %zu warnings, %zu notes by %zu rules; end %s at cycle %" PRIu64 "\n",
            runner_scenario(r)->name, counts[LINT_ERROR], counts[LINT_WARNING], counts[LINT_NOTE], lint_rule_count, end,
            runner_cycles(r));
}

static json_t *finding_json(const struct lint_finding *f)
{
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "rule", f->rule->name, "severity",
                          lint_severity_names[f->rule->severity], "clause", f->rule->clause, "message", f->message, "count",
                          (json_int_t)f->count, "cycle", (json_int_t)f->cycle);
    char rip[24];
    snprintf(rip, sizeof rip, "0x%" PRIx64, f->rip);
    json_object_set_new(o, "vp", f->vp != TRACE_NO_VP ? json_integer(f->vp) : json_null());
    json_object_set_new(o, "rip", f->rip != 0 ? json_string(rip) : json_null());
    json_object_set_new(o, "duty", json_string(f->rule->duty));
    return o;
}

json_t *lint_json(const struct lint *l, const struct runner *r)
{
    size_t count, counts[LINT_SEVERITIES];
    const struct lint_finding *f = lint_findings(l, &count);
    char end[32];
    uint32_t code;
    enum run_end how = runner_end(r, &code);
    json_t *o = json_object(), *list = json_array(), *summary = json_object();
    run_end_text(how, code, end);
    count_by_severity(l, counts);
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(list, finding_json(&f[i]));
    }
    for (unsigned i = LINT_SEVERITIES; i-- > 0;) {
        json_object_set_new(summary, lint_severity_names[i], json_integer((json_int_t)counts[i]));
    }
    json_object_set_new(o, "scenario", json_string(runner_scenario(r)->name));
    json_object_set_new(o, "summary", summary);
    json_object_set_new(o, "findings", list);
    json_object_set_new(o, "rules", json_integer((json_int_t)lint_rule_count));
    json_object_set_new(o, "end", json_string(end));
    json_object_set_new(o, "cycles", json_integer((json_int_t)runner_cycles(r)));
    return o;
}

/* ---- SARIF 2.1.0 ---- */

static json_t *sarif_rules(void)
{
    json_t *rules = json_array();
    for (size_t i = 0; i < lint_rule_count; i++) {
        const struct lint_rule *rule = &lint_rules[i];
        json_array_append_new(rules, json_pack("{s:s, s:{s:s}, s:{s:s}, s:{s:s}}", "id", rule->name, "shortDescription", "text",
                                               rule->duty, "defaultConfiguration", "level", lint_severity_names[rule->severity],
                                               "properties", "clause", rule->clause));
    }
    return rules;
}

/* A guest has no source here: the place is its scenario, and where in the run. */
static json_t *sarif_result(const struct lint_finding *f, const struct scenario *s)
{
    char where[120];
    snprintf(where, sizeof where, "cycle %" PRIu64 " vp%d rip 0x%" PRIx64, f->cycle, f->vp != TRACE_NO_VP ? (int)f->vp : -1,
             f->rip);
    json_t *uri = json_string(s->file);
    json_t *result =
        json_pack("{s:s, s:i, s:s, s:{s:s}, s:I, s:[{s:{s:{s:o}}, s:[{s:s, s:s}]}]}", "ruleId", f->rule->name, "ruleIndex",
                  (int)(f->rule - lint_rules), "level", lint_severity_names[f->rule->severity], "message", "text", f->message,
                  "occurrenceCount", (json_int_t)f->count, "locations", "physicalLocation", "artifactLocation", "uri",
                  uri != NULL ? uri : json_string("scenario"), "logicalLocations", "name", where, "kind", "instruction");
    return result;
}

json_t *lint_sarif(const struct lint *l, const struct runner *r)
{
    size_t count;
    const struct lint_finding *f = lint_findings(l, &count);
    json_t *results = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(results, sarif_result(&f[i], runner_scenario(r)));
    }
    return json_pack("{s:s, s:s, s:[{s:{s:{s:s, s:s, s:o}}, s:o}]}", "$schema", "https://json.schemastore.org/sarif-2.1.0.json",
                     "version", "2.1.0", "runs", "tool", "driver", "name", "orrery lint", "version", ORRERY_VERSION, "rules",
                     sarif_rules(), "results", results);
}
