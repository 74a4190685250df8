/* The judgement as one page: suites, what is wrong, and the matrix of clauses. See report.h.
 *
 * Invariants: the page needs nothing beside itself and reads without its script, which only filters; every text that comes from
 * a file or a guest goes through put(). Style and script are files of their own (report.css, report.js).
 */
#include "conformance/report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/folder.h"
#include "conformance/report_assets.h"

struct page {
    FILE *out;
    const struct judgement *j;
    const struct ledger *ledger;
    const struct trace_window *windows;
    size_t window_count;
    size_t *at; /* for each column, the next of its results in the ledger's order */
};

/* Text as text. */
static void put(FILE *out, const char *text)
{
    for (; *text != 0; text++) {
        switch (*text) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        default:
            fputc((unsigned char)*text >= 0x20 || *text == '\n' ? *text : ' ', out);
        }
    }
}

static const char *glyph(enum verdict_word w)
{
    static const char *const glyphs[VERDICT_WORDS] = {"✓", "✕", "–", "!", "≈"};
    return glyphs[w];
}

static void put_tag(FILE *out, enum verdict_word w)
{
    fprintf(out, "<span class=\"tag t-%s\">%s</span>", verdict_names[w], verdict_names[w]);
}

/* ---- top ---- */

static void put_head(struct page *p)
{
    size_t wrong[VERDICT_WORDS] = {0}, fallen = 0;
    for (size_t i = 0; i < p->j->count; i++) {
        for (unsigned w = 0; w < VERDICT_WORDS; w++) {
            wrong[w] += p->j->columns[i].summary[w];
        }
        fallen += p->j->columns[i].fallen_count;
    }
    fputs("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Orrery conformance</title>\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<style>\n",
          p->out);
    fputs(report_css, p->out);
    fputs("</style></head><body><div class=\"page\">\n<header>"
          "<svg viewBox=\"0 0 100 100\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"2\" aria-hidden=\"true\">"
          "<circle cx=\"50\" cy=\"50\" r=\"9\" fill=\"currentColor\"/><circle cx=\"50\" cy=\"50\" r=\"21\"/>"
          "<circle cx=\"50\" cy=\"50\" r=\"33\"/><circle cx=\"50\" cy=\"50\" r=\"45\"/>"
          "<g fill=\"currentColor\" stroke=\"none\"><circle cx=\"65\" cy=\"35\" r=\"4\"/><circle cx=\"22\" cy=\"67\" r=\"5\"/>"
          "<circle cx=\"84\" cy=\"79\" r=\"6\"/></g></svg>\n<div><h1>Orrery conformance</h1>",
          p->out);
    if (judgement_good(p->j)) {
        fputs("<p class=\"verdict good\">Nothing fails, breaks or falls out of the baseline.</p>", p->out);
    } else {
        fprintf(p->out, "<p class=\"verdict bad\">%zu fail, %zu broken, %zu fallen out of the baseline.</p>",
                wrong[VERDICT_FAIL], wrong[VERDICT_BROKEN], fallen);
    }
    fprintf(p->out,
            "<p>%zu of %zu clauses with tests are judged, %zu of these unproven: no fault in the model has made their tests "
            "fail; the ledger holds %zu. "
            "A run is a function of its scenario: every command below shows the same again.</p></div></header>\n",
            p->j->judged, p->j->with_tests, p->j->unproven, p->ledger->count);
}

static void put_bar(struct page *p, const char *name, size_t count)
{
    if (count > 0) {
        fprintf(p->out, "<span class=\"b-%s\" style=\"flex:%zu\" title=\"%zu %s\"></span>", name, count, count, name);
    }
}

static void put_count(struct page *p, const char *name, size_t count)
{
    if (count > 0) {
        fprintf(p->out, "<span class=\"%s\"><b>%zu</b> %s</span>", name, count, name);
    }
}

static void put_suites(struct page *p)
{
    static const enum verdict_word order[] = {VERDICT_PASS, VERDICT_FAIL, VERDICT_BROKEN, VERDICT_KNOWN, VERDICT_NOT_SUPPORTED};
    fputs("<div class=\"suites\">\n", p->out);
    for (size_t i = 0; i < p->j->count; i++) {
        const struct column_result *c = &p->j->columns[i];
        size_t excused = 0;
        for (unsigned r = 0; r < CLAUSE_REASONS; r++) {
            excused += c->excused[r];
        }
        fprintf(p->out, "<div class=\"suite\"><b>%s</b><i>%s</i><p>", c->suite->name, c->profile);
        put(p->out, c->suite->title);
        fputs("</p><div class=\"bar\">", p->out);
        for (size_t k = 0; k < ARRAY_COUNT(order); k++) {
            put_bar(p, verdict_names[order[k]], c->summary[order[k]]);
        }
        put_bar(p, "excused", excused);
        fputs("</div><div class=\"counts\">", p->out);
        for (size_t k = 0; k < ARRAY_COUNT(order); k++) {
            put_count(p, verdict_names[order[k]], c->summary[order[k]]);
        }
        put_count(p, "excused", excused);
        put_count(p, "fallen", c->fallen_count);
        fputs("</div></div>\n", p->out);
    }
    fputs("</div>\n", p->out);
}

/* ---- what is wrong ---- */

static void put_command(FILE *out, const struct clause_result *r)
{
    char *evidence = result_evidence(r);
    if (evidence != NULL) {
        fputs("<code class=\"command\" title=\"click to copy\">", out);
        put(out, evidence);
        fputs("</code>", out);
    }
    free(evidence);
}

static void put_test(FILE *out, const struct clause_result *r)
{
    if (r->record != NULL) {
        put(out, r->record->probe);
        if (r->line != NULL) {
            fprintf(out, "/%s", r->line->test);
        }
    }
}

/* "1200 vp0 msr_write msr=..." with its cycle dim and its name bright; the line's own end marked between. */
static void put_trace(struct page *p, const struct clause_result *r)
{
    const struct trace_window *w = NULL;
    for (size_t i = 0; i < p->window_count; i++) {
        w = p->windows[i].result == r ? &p->windows[i] : w;
    }
    if (w == NULL || r->line == NULL) {
        return;
    }
    bool marked = false;
    fputs("<pre class=\"trace\">", p->out);
    for (size_t i = 0; i < w->count; i++) {
        uint64_t cycle = strtoull(w->lines[i], NULL, 10);
        const char *rest = w->lines[i] + strcspn(w->lines[i], " ");
        if (cycle > r->line->cycle && !marked) {
            fprintf(p->out, "<u>%" PRIu64 " the verdict</u>", r->line->cycle);
            marked = true;
        }
        fprintf(p->out, "<i>%" PRIu64 "</i>", cycle);
        put(p->out, rest);
        fputc('\n', p->out);
    }
    if (!marked) {
        fprintf(p->out, "<u>%" PRIu64 " the verdict</u>", r->line->cycle);
    }
    fputs("</pre>", p->out);
}

static const struct clause_result *result_in(const struct column_result *c, const struct clause *clause)
{
    for (size_t i = 0; i < c->count; i++) {
        if (c->results[i].clause == clause) {
            return &c->results[i];
        }
    }
    return NULL;
}

/* Of one suite under one profile: what was said, how to see it again, and the trace before it. */
static void put_case(struct page *p, const struct column_result *c, const struct clause_result *r)
{
    fprintf(p->out, "<details class=\"case\"><summary><b>%s</b> %s · ", c->suite->name, c->profile);
    put_test(p->out, r);
    if (r->message != NULL) {
        fputs("<span class=\"message\">", p->out);
        put(p->out, r->message);
        fputs("</span>", p->out);
    }
    fputs("</summary>", p->out);
    put_command(p->out, r);
    put_trace(p, r);
    fputs("</details>", p->out);
}

/* A clause that has this word somewhere: once, with all its cases. */
static void put_failure(struct page *p, const struct clause_result *first)
{
    fprintf(p->out, "<div class=\"wrong %s\"><h3><a class=\"id\" href=\"#%s\">%s</a>", verdict_names[first->word],
            first->clause->id, first->clause->id);
    put_tag(p->out, first->word);
    fputs("</h3><p>", p->out);
    put(p->out, first->clause->statement);
    fputs("</p>", p->out);
    if (first->known != NULL) {
        fputs("<p>Known: ", p->out);
        put(p->out, first->known->cause);
        fputs("</p>", p->out);
    }
    for (size_t i = 0; i < p->j->count; i++) {
        const struct clause_result *r = result_in(&p->j->columns[i], first->clause);
        if (r != NULL && r->word == first->word) {
            put_case(p, &p->j->columns[i], r);
        }
    }
    fputs("</div>\n", p->out);
}

/* Is it shown with a column before this one? */
static bool shown_before(const struct page *p, size_t column, const struct clause_result *r)
{
    for (size_t i = 0; i < column; i++) {
        const struct clause_result *other = result_in(&p->j->columns[i], r->clause);
        if (other != NULL && other->word == r->word) {
            return true;
        }
    }
    return false;
}

static void put_fallen(struct page *p, const struct column_result *c, const char *id)
{
    fprintf(p->out,
            "<div class=\"wrong fallen\"><h3><a class=\"id\" href=\"#%s\">%s</a><span class=\"tag t-fallen\">fallen</span></h3>"
            "<p class=\"where\">%s under %s: it has to pass and does not (baseline/%s@%s.txt)</p></div>\n",
            id, id, c->suite->name, c->profile, c->suite->name, c->profile);
}

static void put_wrong(struct page *p)
{
    static const enum verdict_word order[] = {VERDICT_FAIL, VERDICT_BROKEN, VERDICT_KNOWN};
    bool titled = false;
    for (size_t w = 0; w < ARRAY_COUNT(order); w++) {
        for (size_t i = 0; i < p->j->count; i++) {
            const struct column_result *c = &p->j->columns[i];
            for (size_t k = 0; k < c->count; k++) {
                if (c->results[k].word == order[w] && !shown_before(p, i, &c->results[k])) {
                    fputs(titled ? "" : "<h2>What is wrong</h2>\n", p->out);
                    titled = true;
                    put_failure(p, &c->results[k]);
                }
            }
        }
    }
    for (size_t i = 0; i < p->j->count; i++) {
        for (size_t k = 0; k < p->j->columns[i].fallen_count; k++) {
            fputs(titled ? "" : "<h2>What is wrong</h2>\n", p->out);
            titled = true;
            put_fallen(p, &p->j->columns[i], p->j->columns[i].fallen[k]);
        }
    }
}

/* ---- the matrix ---- */

static void put_filters(struct page *p)
{
    static const char *const words[] = {"fail", "broken", "known", "not-supported", "pass", "excused"};
    fputs("<div class=\"filters\"><input type=\"search\" id=\"search\" placeholder=\"Find a clause, a word, a test\" "
          "aria-label=\"Find\">",
          p->out);
    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        fprintf(p->out, "<label><input type=\"checkbox\" value=\"%s\" checked><span class=\"tag t-%s\">%s</span></label>",
                words[i], words[i], words[i]);
    }
    fputs("<select id=\"kind\" aria-label=\"Kind\"><option value=\"\">every kind</option>", p->out);
    for (unsigned i = 0; i < CLAUSE_KINDS; i++) {
        fprintf(p->out, "<option>%s</option>", clause_kind_names[i]);
    }
    fputs("</select><select id=\"document\" aria-label=\"Document\"><option value=\"\">both documents</option>"
          "<option>requirements</option><option>tlfs</option></select><span class=\"shown\" id=\"shown\"></span></div>\n",
          p->out);
    fputs("<div class=\"grid names\"><span></span>", p->out);
    for (size_t i = 0; i < p->j->count; i++) {
        fprintf(p->out, "<span><b>%s</b>%s</span>", p->j->columns[i].suite->name, p->j->columns[i].profile);
    }
    fputs("</div>\n", p->out);
}

/* The column's result for this clause, if it has one; clauses come in the ledger's order. */
static const struct clause_result *next_result(struct page *p, size_t column, const struct clause *c)
{
    const struct column_result *k = &p->j->columns[column];
    bool here = p->at[column] < k->count && k->results[p->at[column]].clause == c;
    return here ? &k->results[p->at[column]++] : NULL;
}

static void put_citations(FILE *out, const struct clause *c)
{
    for (unsigned e = 0; e < LEDGER_EDITIONS; e++) {
        if (c->sections[e] != NULL && e == LEDGER_2012) {
            fputs("<span>Requirements, ", out);
            put(out, c->sections[e]->text);
            fputs("</span> ", out);
        } else if (c->sections[e] != NULL) {
            fprintf(out, "<span>TLFS %s §", ledger_edition_names[e]);
            put(out, c->sections[e]->text);
            fputs("</span> ", out);
        }
    }
}

static void put_facts(FILE *out, const struct clause *c)
{
    fprintf(out, "<p class=\"facts\"><span class=\"tag t-plain\">%s</span>", clause_kind_names[c->kind]);
    put_citations(out, c);
    for (unsigned i = 0; i < c->gate_count; i++) {
        fprintf(out, "%s%s", i == 0 ? " · behind " : ", ", feature_rows[c->gates[i]].name);
    }
    fputs(c->derived ? " · derived" : "", out);
    if (c->reason != REASON_NONE) {
        fprintf(out, " · not tested: <b>%s</b>", clause_reason_names[c->reason]);
    }
    fputs("</p>", out);
    if (c->unproven) {
        fputs("<p class=\"facts\">Unproven: no fault in the model has made a test of it fail.</p>", out);
    }
    if (c->note != NULL) {
        fputs("<p class=\"facts\">", out);
        put(out, c->note);
        fputs("</p>", out);
    }
}

static void put_row(struct page *p, const struct column_result *c, const struct clause_result *r)
{
    fputs("<tr><td>", p->out);
    put_tag(p->out, r->word);
    fprintf(p->out, "</td><td>%s · %s</td><td>", c->suite->name, c->profile);
    put_test(p->out, r);
    if (r->message != NULL) {
        fputs("<div class=\"message\">", p->out);
        put(p->out, r->message);
        fputs("</div>", p->out);
    }
    if (r->known != NULL) {
        fputs(r->word == VERDICT_PASS ? "<div>passes unexpectedly; known: " : "<div>known: ", p->out);
        put(p->out, r->known->cause);
        fputs("</div>", p->out);
    }
    put_command(p->out, r);
    fputs("</td></tr>", p->out);
}

static void put_clause(struct page *p, const struct clause *c)
{
    const struct clause_result *results[64] = {NULL};
    unsigned words = 0;
    size_t columns = p->j->count < ARRAY_COUNT(results) ? p->j->count : ARRAY_COUNT(results);
    for (size_t i = 0; i < columns; i++) {
        results[i] = next_result(p, i, c);
        words |= results[i] != NULL ? 1u << results[i]->word : 0;
    }
    fprintf(p->out, "<details class=\"c\" id=\"%s\" data-kind=\"%s\" data-document=\"%s\" data-words=\"", c->id,
            clause_kind_names[c->kind], c->document == DOCUMENT_TLFS ? "tlfs" : "requirements");
    for (unsigned w = 0; w < VERDICT_WORDS; w++) {
        fprintf(p->out, "%s%s", words >> w & 1 ? verdict_names[w] : "", words >> w & 1 ? " " : "");
    }
    fprintf(p->out, "%s\" data-tests=\"", words == 0 ? "excused" : "");
    for (unsigned i = 0; i < c->test_count; i++) {
        fprintf(p->out, "%s/%s ", c->tests[i].probe, c->tests[i].test);
    }
    fprintf(p->out, "\"><summary class=\"grid\"><span><span class=\"id\">%s</span><span class=\"st\">", c->id);
    put(p->out, c->statement);
    fputs("</span></span>", p->out);
    for (size_t i = 0; i < columns; i++) {
        const struct column_result *k = &p->j->columns[i];
        if (results[i] != NULL) {
            const char *word = verdict_names[results[i]->word];
            fprintf(p->out, "<span class=\"v %s\" title=\"%s · %s: %s\">%s</span>", word, k->suite->name, k->profile, word,
                    glyph(results[i]->word));
        } else if (c->reason != REASON_NONE && suite_has(k->suite, c)) {
            fprintf(p->out, "<span class=\"v excused\" title=\"%s\">·</span>", clause_reason_names[c->reason]);
        } else {
            fputs("<span></span>", p->out);
        }
    }
    fputs("</summary><div class=\"body\">", p->out);
    put_facts(p->out, c);
    fputs(words != 0 ? "<table>" : "", p->out);
    for (size_t i = 0; i < columns; i++) {
        if (results[i] != NULL) {
            put_row(p, &p->j->columns[i], results[i]);
        }
    }
    fputs(words != 0 ? "</table></div></details>\n" : "</div></details>\n", p->out);
}

/* Does any of the suites that ran state it? */
static bool shown(const struct page *p, const struct clause *c)
{
    bool meant = p->j->clause_glob == NULL || glob_match(p->j->clause_glob, c->id);
    for (size_t i = 0; meant && i < p->j->count; i++) {
        if (suite_has(p->j->columns[i].suite, c)) {
            return true;
        }
    }
    return false;
}

static void put_chapter(struct page *p, const struct chapter *chapter)
{
    size_t count = 0;
    for (size_t i = 0; i < chapter->count; i++) {
        count += shown(p, &chapter->clauses[i]);
    }
    if (count == 0) {
        return;
    }
    fprintf(p->out, "<section class=\"chapter\" data-count=\"%zu\"><h2>", count);
    put(p->out, chapter->title);
    fprintf(p->out, "<small>%zu</small></h2>\n", count);
    for (size_t i = 0; i < chapter->count; i++) {
        if (shown(p, &chapter->clauses[i])) {
            put_clause(p, &chapter->clauses[i]);
        }
    }
    fputs("</section>\n", p->out);
}

void report_html(FILE *out, const struct judgement *j, const struct ledger *l, const struct trace_window *windows,
                 size_t window_count)
{
    struct page p = {out, j, l, windows, window_count, calloc(j->count + 1, sizeof *p.at)};
    if (p.at == NULL) {
        return;
    }
    put_head(&p);
    put_suites(&p);
    put_wrong(&p);
    fprintf(out, "<main style=\"--columns:%zu\">\n", j->count);
    put_filters(&p);
    for (size_t i = 0; i < l->chapter_count; i++) {
        put_chapter(&p, &l->chapters[i]);
    }
    fputs("</main>\n<footer>✓ pass · ✕ fail · – not-supported: the profile makes no such claim · ! broken: the test could not "
          "run · "
          "≈ known failure · a dot: no test, for a stated reason. Each clause is stated in our own words; the section is its "
          "source.</footer>\n</div>\n<script>\n",
          out);
    fputs(report_js, out);
    fputs("</script></body></html>\n", out);
    free(p.at);
}
