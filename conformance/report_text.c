/* The judgement for a terminal, and as KTAP. See report.h. */
#include "conformance/report.h"

#include <stdlib.h>
#include <string.h>

static void print_table(FILE *out, const struct judgement *j)
{
    fprintf(out, "%-10s %-12s %6s %6s %14s %7s %6s %8s\n", "suite", "profile", "pass", "fail", "not-supported", "broken",
            "known", "excused");
    for (size_t i = 0; i < j->count; i++) {
        const struct column_result *c = &j->columns[i];
        size_t excused = 0;
        for (unsigned r = 0; r < CLAUSE_REASONS; r++) {
            excused += c->excused[r];
        }
        fprintf(out, "%-10s %-12s %6zu %6zu %14zu %7zu %6zu %8zu\n", c->suite->name, c->profile, c->summary[VERDICT_PASS],
                c->summary[VERDICT_FAIL], c->summary[VERDICT_NOT_SUPPORTED], c->summary[VERDICT_BROKEN],
                c->summary[VERDICT_KNOWN], excused);
    }
}

static void print_result(FILE *out, const struct column_result *c, const struct clause_result *r)
{
    char *evidence = result_evidence(r);
    fprintf(out, "\n%s  %s %s  %s\n", verdict_names[r->word], c->suite->name, c->profile, r->clause->id);
    if (r->record != NULL) {
        fprintf(out, "    %s%s%s%s%s\n", r->record->probe, r->line != NULL ? "/" : "", r->line != NULL ? r->line->test : "",
                r->message != NULL ? ": " : "", r->message != NULL ? r->message : "");
    }
    if (r->known != NULL) {
        fprintf(out, "    known: %s\n", r->known->cause);
    }
    if (evidence != NULL) {
        fprintf(out, "    %s\n", evidence);
    }
    free(evidence);
}

static void print_wrong(FILE *out, const struct judgement *j)
{
    for (size_t i = 0; i < j->count; i++) {
        const struct column_result *c = &j->columns[i];
        for (size_t k = 0; k < c->count; k++) {
            const struct clause_result *r = &c->results[k];
            if (r->word == VERDICT_FAIL || r->word == VERDICT_BROKEN || r->word == VERDICT_KNOWN) {
                print_result(out, c, r);
            } else if (r->known != NULL) {
                fprintf(out, "\nunexpected pass  %s %s  %s\n    known: %s; remove it from known.yaml\n", c->suite->name,
                        c->profile, r->clause->id, r->known->cause);
            }
        }
        for (size_t k = 0; k < c->fallen_count; k++) {
            fprintf(out, "\nfallen  %s %s  %s\n    it has to pass (baseline/%s@%s.txt) and does not\n", c->suite->name,
                    c->profile, c->fallen[k], c->suite->name, c->profile);
        }
    }
}

void report_text(FILE *out, const struct judgement *j)
{
    size_t new_passes = 0, strangers = 0;
    for (size_t i = 0; i < j->count; i++) {
        new_passes += j->columns[i].new_passes;
        strangers += j->columns[i].strangers;
    }
    print_table(out, j);
    print_wrong(out, j);
    fprintf(out, "\n%zu of %zu clauses with tests are judged (pass or fail under a profile that ran)", j->judged,
            j->with_tests);
    if (j->unproven > 0) {
        fprintf(out, "; no fault in the model has made %zu of them fail (conformance/unproven.txt)", j->unproven);
    }
    fputc('\n', out);
    if (new_passes > 0) {
        fprintf(out, "%zu passes are not in the baseline yet: orrery conform --update-baseline\n", new_passes);
    }
    if (strangers > 0) {
        fprintf(out, "%zu result lines name clauses that the ledger lacks: orrery conform --check\n", strangers);
    }
}

/* ---- KTAP, one subtest for each column ---- */

static void ktap_result(FILE *out, size_t number, const struct clause_result *r)
{
    bool ok = r->word != VERDICT_FAIL && r->word != VERDICT_BROKEN;
    fprintf(out, "    %s %zu %s", ok ? "ok" : "not ok", number, r->clause->id);
    if (r->word == VERDICT_NOT_SUPPORTED || r->word == VERDICT_KNOWN) {
        fprintf(out, " # SKIP %s%s", r->word == VERDICT_KNOWN ? "known: " : "",
                r->word == VERDICT_KNOWN ? r->known->cause
                : r->message != NULL     ? r->message
                                         : "not supported");
    } else if (!ok) {
        fprintf(out, " # %s%s", r->word == VERDICT_BROKEN ? "BROKEN " : "", r->message != NULL ? r->message : "");
    }
    fputc('\n', out);
}

void report_ktap(FILE *out, const struct judgement *j)
{
    fprintf(out, "KTAP version 1\n1..%zu\n", j->count);
    for (size_t i = 0; i < j->count; i++) {
        const struct column_result *c = &j->columns[i];
        bool ok = c->summary[VERDICT_FAIL] == 0 && c->summary[VERDICT_BROKEN] == 0 && c->fallen_count == 0;
        fprintf(out, "    KTAP version 1\n    1..%zu\n", c->count);
        for (size_t k = 0; k < c->count; k++) {
            ktap_result(out, k + 1, &c->results[k]);
        }
        fprintf(out, "%s %zu %s@%s\n", ok ? "ok" : "not ok", i + 1, c->suite->name, c->profile);
    }
}
