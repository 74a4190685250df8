/* From answers to verdicts: the worst counts, silence counts, and what is expected is on record. Clauses of
 * conformance/judge.h. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conformance/report.h"

static const char ledger_text[] = "chapter: t\ntitle: t\nclauses:\n"
                                  "  - { id: t.a, doc: tlfs, editions: '2.0+', section: { '6.0': '1' }, kind: required, gate: "
                                  "[], statement: s, tests: [p/x, q/y] }\n"
                                  "  - { id: t.b, doc: tlfs, editions: '6.0', section: { '6.0': '1' }, kind: required, gate: "
                                  "[], statement: s, tests: [p/x] }\n"
                                  "  - { id: t.c, doc: tlfs, editions: '2.0-5.0', section: { '5.0': '1' }, kind: required, "
                                  "gate: [], statement: s, tests: [p/x] }\n"
                                  "  - { id: t.d, doc: tlfs, editions: '5.0+', section: { '6.0': '1' }, kind: required, gate: "
                                  "[], statement: s, reason: not-built }\n";

static const struct suite suite = {.name = "new", .title = "t", .edition = LEDGER_6_0};
static const struct plan_column column = {&suite, "ws2019"};
static const struct baseline no_baseline = {NULL, NULL, NULL, 0};
static const struct known nothing_known = {NULL, NULL, 0};

static struct ledger *ledger(void)
{
    struct message why = {.text = {0}};
    struct ledger *l = ledger_read_text("t.yaml", ledger_text, sizeof ledger_text - 1, &why);
    cr_assert_not_null(l, "%s", why.text);
    return l;
}

static struct record said(const char *probe, struct ktap_line *lines, size_t count)
{
    return (struct record){.suite = "new",
                           .profile = "ws2019",
                           .command = "c",
                           .probe = (char *)probe,
                           .end = "debug-exit:0",
                           .lines = lines,
                           .count = count};
}

static struct ktap_line line(const char *test, const char *clause, enum verdict_word word)
{
    struct ktap_line l = {.word = word, .cycle = 9};
    strcpy(l.test, test);
    strcpy(l.clause, clause);
    return l;
}

static struct judgement judged(const struct ledger *l, const struct record *records, size_t count, const struct known *k,
                               const struct baseline *b)
{
    struct judgement j;
    const struct judge_rules rules = {l, k, b, NULL, false};
    cr_assert(judge(&j, &column, 1, records, count, &rules));
    return j;
}

static enum verdict_word word_of(const struct judgement *j, const char *id)
{
    for (size_t i = 0; i < j->columns[0].count; i++) {
        if (strcmp(j->columns[0].results[i].clause->id, id) == 0) {
            return j->columns[0].results[i].word;
        }
    }
    return VERDICT_WORDS;
}

Test(judge, the_worst_answer_counts)
{
    static const struct {
        enum verdict_word a, b, is;
    } cases[] = {
        {VERDICT_PASS, VERDICT_PASS, VERDICT_PASS},     {VERDICT_PASS, VERDICT_FAIL, VERDICT_FAIL},
        {VERDICT_FAIL, VERDICT_BROKEN, VERDICT_FAIL},   {VERDICT_NOT_SUPPORTED, VERDICT_PASS, VERDICT_PASS},
        {VERDICT_PASS, VERDICT_BROKEN, VERDICT_BROKEN}, {VERDICT_NOT_SUPPORTED, VERDICT_NOT_SUPPORTED, VERDICT_NOT_SUPPORTED},
    };
    struct ledger *l = ledger();
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct ktap_line one[] = {line("x", "t.a", cases[i].a), line("x", "t.b", VERDICT_PASS)},
                         two = line("y", "t.a", cases[i].b);
        struct record records[] = {said("p", one, 2), said("q", &two, 1)};
        struct judgement j = judged(l, records, 2, &nothing_known, &no_baseline);
        cr_expect_eq(word_of(&j, "t.a"), cases[i].is, "case %zu", i);
        cr_expect_eq(word_of(&j, "t.b"), VERDICT_PASS);
        judgement_free(&j);
    }
    ledger_free(l);
}

Test(judge, other_editions_and_reasons_have_no_verdict)
{
    struct ledger *l = ledger();
    struct judgement j = judged(l, NULL, 0, &nothing_known, &no_baseline);
    cr_expect_eq(j.columns[0].count, 2);
    cr_expect_eq(word_of(&j, "t.c"), VERDICT_WORDS);
    cr_expect_eq(word_of(&j, "t.d"), VERDICT_WORDS);
    cr_expect_eq(j.columns[0].excused[REASON_NOT_BUILT], 1);
    judgement_free(&j);
    ledger_free(l);
}

Test(judge, silence_is_not_supported_without_a_run_and_broken_with_one)
{
    struct ledger *l = ledger();
    struct judgement j = judged(l, NULL, 0, &nothing_known, &no_baseline);
    cr_expect_eq(word_of(&j, "t.a"), VERDICT_NOT_SUPPORTED);
    cr_expect(judgement_good(&j));
    judgement_free(&j);
    struct record r = said("p", NULL, 0);
    j = judged(l, &r, 1, &nothing_known, &no_baseline);
    cr_expect_eq(word_of(&j, "t.a"), VERDICT_BROKEN);
    cr_expect_not(judgement_good(&j));
    judgement_free(&j);
    ledger_free(l);
}

Test(judge, trouble_breaks_what_was_not_said)
{
    struct ledger *l = ledger();
    struct ktap_line a = line("x", "t.a", VERDICT_PASS);
    struct record r = said("p", &a, 1);
    strcpy(r.trouble, "it died");
    struct judgement j = judged(l, &r, 1, &nothing_known, &no_baseline);
    cr_expect_eq(word_of(&j, "t.a"), VERDICT_PASS);
    cr_expect_eq(word_of(&j, "t.b"), VERDICT_BROKEN);
    judgement_free(&j);
    ledger_free(l);
}

Test(judge, known_failures_are_known_under_their_profile_alone)
{
    struct ledger *l = ledger();
    struct ktap_line lines[] = {line("x", "t.a", VERDICT_FAIL), line("x", "t.b", VERDICT_PASS)};
    struct record r = said("p", lines, 2);
    struct known_failure here[] = {{"t.a", "ws2019", "odd"}, {"t.b", "ws2019", "odd"}}, there = {"t.a", "ws2016", "odd"};
    const struct known both = {NULL, here, 2}, other = {NULL, &there, 1};
    struct judgement j = judged(l, &r, 1, &both, &no_baseline);
    cr_expect_eq(word_of(&j, "t.a"), VERDICT_KNOWN);
    cr_expect(judgement_good(&j));
    cr_expect_eq(j.columns[0].unexpected, 1, "t.b passes, and was known to fail");
    judgement_free(&j);
    j = judged(l, &r, 1, &other, &no_baseline);
    cr_expect_eq(word_of(&j, "t.a"), VERDICT_FAIL);
    judgement_free(&j);
    ledger_free(l);
}

Test(judge, baseline_must_pass)
{
    struct ledger *l = ledger();
    struct ktap_line lines[] = {line("x", "t.a", VERDICT_NOT_SUPPORTED), line("x", "t.b", VERDICT_PASS)};
    struct record r = said("p", lines, 2);
    const char *ids[] = {"t.a", "t.gone"};
    const struct baseline b = {NULL, "", ids, 2};
    struct judgement j = judged(l, &r, 1, &nothing_known, &b);
    cr_expect_eq(j.columns[0].fallen_count, 2, "one is no longer supported, one left the ledger");
    cr_expect_eq(j.columns[0].new_passes, 1);
    cr_expect_not(judgement_good(&j));
    judgement_free(&j);
    ledger_free(l);
}

Test(judge, lines_of_unknown_clauses_are_counted)
{
    struct ledger *l = ledger();
    struct ktap_line lines[] = {line("x", "t.a", VERDICT_PASS), line("x", "t.b", VERDICT_PASS), line("x", "t.z", VERDICT_FAIL)};
    struct record r = said("p", lines, 3);
    struct judgement j = judged(l, &r, 1, &nothing_known, &no_baseline);
    cr_expect_eq(j.columns[0].strangers, 1);
    judgement_free(&j);
    ledger_free(l);
}

Test(record, json_goes_there_and_back)
{
    struct message why = {.text = {0}};
    struct ktap_line lines[] = {line("x", "t.a", VERDICT_FAIL), line("x", "t.b", VERDICT_BROKEN)};
    strcpy(lines[0].message, "got \"1\" <2>");
    struct record r = said("p", lines, 2), back;
    r.number = 7;
    r.cycles = 123456789012;
    strcpy(r.trouble, "odd");
    json_t *o = record_json(&r);
    cr_assert(record_from_json(o, &back, &why), "%s", why.text);
    json_t *again = record_json(&back);
    cr_expect(json_equal(o, again));
    cr_expect_eq(back.number, 7);
    json_decref(o);
    json_decref(again);
    record_free(&back);
}

Test(record, what_is_no_record_is_refused)
{
    static const char good[] =
        "{\"number\":0,\"suite\":\"s\",\"profile\":\"p\",\"command\":\"c\",\"probe\":\"q\",\"end\":\"e\",\"cycles\":1,"
        "\"lines\":[{\"test\":\"x\",\"clause\":\"t.a\",\"verdict\":\"pass\",\"cycle\":1}]}";
    static const struct {
        const char *from, *to;
    } edits[] = {
        {"\"number\":0", "\"number\":-1"},   {"\"suite\":\"s\"", "\"suite\":5"}, {"\"cycles\":1", "\"cycles\":1.5"},
        {"\"pass\"", "\"passed\""},          {"\"pass\"", "\"known\""},          {"\"t.a\"", "\"\\u0007\""},
        {"\"lines\":[", "\"lines\":[null,"}, {"\"probe\":\"q\",", ""},           {"\"test\":\"x\"", "\"test\":\"\""},
    };
    for (size_t i = 0; i < ARRAY_COUNT(edits); i++) {
        struct message why = {.text = {0}};
        struct record r;
        char text[600];
        const char *at = strstr(good, edits[i].from);
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good), good, edits[i].to, at + strlen(edits[i].from));
        json_t *o = json_loads(text, 0, NULL);
        cr_assert_not_null(o, "%s", text);
        cr_expect_not(record_from_json(o, &r, &why), "%s", text);
        json_decref(o);
    }
}

Test(judge, in_a_shard_silence_says_nothing)
{
    struct ledger *l = ledger();
    struct ktap_line lines[] = {line("x", "t.b", VERDICT_PASS)};
    struct record r = said("p", lines, 1);
    struct judgement whole = judged(l, &r, 1, &nothing_known, &no_baseline), part;
    const struct judge_rules rules = {l, &nothing_known, &no_baseline, NULL, true};
    cr_assert(judge(&part, &column, 1, &r, 1, &rules));
    cr_expect_eq(word_of(&whole, "t.a"), VERDICT_BROKEN, "its probe ran and said nothing of it");
    cr_expect(part.columns[0].count == 1 && part.columns[0].summary[VERDICT_PASS] == 1, "another shard's run may say it");
    cr_expect(judgement_good(&part));
    judgement_free(&whole);
    judgement_free(&part);
    lines[0].word = VERDICT_NOT_SUPPORTED;
    const char *ids[] = {"t.a", "t.b"};
    const struct baseline both = {"f", (char *)"", ids, 2};
    const struct judge_rules of_part = {l, &nothing_known, &both, NULL, true};
    cr_assert(judge(&part, &column, 1, &r, 1, &of_part));
    cr_expect_eq(part.columns[0].fallen_count, 0, "another shard's run may pass");
    judgement_free(&part);
    ledger_free(l);
}

/* ---- what no mutant has proven ---- */

/* A folder with that unproven.txt; what its ids are not gives the place and no more. */
static bool read_unproven(struct ledger *l, const char *text, struct message *why)
{
    char folder[] = "/tmp/orrery-test-XXXXXX", file[64];
    cr_assert_not_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/unproven.txt", folder);
    FILE *f = fopen(file, "w");
    cr_assert(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
    bool ok = unproven_read(folder, l, why);
    cr_expect(unlink(file) == 0 && rmdir(folder) == 0);
    return ok;
}

Test(unproven, marks_its_clauses_and_judged_ones_are_counted)
{
    struct ledger *l = ledger();
    struct message why = {.text = {0}};
    cr_assert(read_unproven(l, "# those\n\nt.b\nt.c\n", &why), "%s", why.text);
    cr_expect(!ledger_find(l, "t.a")->unproven && ledger_find(l, "t.b")->unproven);
    struct ktap_line lines[] = {line("x", "t.a", VERDICT_PASS), line("x", "t.b", VERDICT_PASS)};
    struct record r = said("p", lines, 2);
    struct judgement j = judged(l, &r, 1, &nothing_known, &no_baseline);
    cr_expect_eq(j.unproven, 1, "t.c is of other editions");
    judgement_free(&j);
    ledger_free(l);
}

Test(unproven, names_clauses_with_tests)
{
    static const char *const wrong[] = {"t.a\nt.x\n", "t.a\nt.d\n", "t.a\nT!\n"};
    for (unsigned i = 0; i < 3; i++) {
        struct ledger *l = ledger();
        struct message why = {.text = {0}};
        cr_expect_not(read_unproven(l, wrong[i], &why));
        cr_expect(strstr(why.text, "unproven.txt:2:1: ") != NULL, "%s", why.text);
        ledger_free(l);
    }
}
