/* Expressions matched byte by byte, against POSIX's own matcher as oracle. Clauses of scenarios/pattern.h. */
#include <criterion/criterion.h>
#include <regex.h>
#include <string.h>

#include "machine/prng.h"
#include "scenarios/pattern.h"

/* The number of bytes after which the line first matches; -1: never. */
static int first_match(const char *expression, const char *line)
{
    struct message why = {.text = {0}};
    struct pattern *p = pattern_create(expression, &why);
    cr_assert_not_null(p, "%s: %s", expression, why.text);
    struct pattern_run run;
    int found = -1;
    pattern_begin(p, &run);
    for (int i = 0; found < 0; i++) {
        if (pattern_matches(p, &run)) {
            found = i;
        } else if (line[i] == 0) {
            break;
        } else {
            pattern_feed(p, &run, (uint8_t)line[i]);
        }
    }
    pattern_destroy(p);
    return found;
}

Test(pattern, deciding_byte_is_the_first_that_completes_a_match)
{
    cr_expect_eq(first_match("login:", "debian login: "), 13);
    cr_expect_eq(first_match("login: $", "debian login: "), 14);
    cr_expect_eq(first_match("[0-9]+ MHz", "at 2400 MHz"), 11);
    cr_expect_eq(first_match("a|bc", "xbca"), 3);
    cr_expect_eq(first_match("b{2,3}c", "abcbbbbc"), 8);
    cr_expect_eq(first_match("x", "aaaa"), -1);
}

Test(pattern, caret_matches_at_the_line_begin_only)
{
    cr_expect_eq(first_match("^ab", "ab"), 2);
    cr_expect_eq(first_match("^ab", "xab"), -1);
    cr_expect_eq(first_match("(^|-)b", "a-b"), 3);
}

Test(pattern, dollar_matches_at_the_present_end)
{
    cr_expect_eq(first_match("^ab$", "abc"), 2, "at the end of what was there then");
    cr_expect_eq(first_match("a$b", "ab"), -1);
    cr_expect_eq(first_match("^$", ""), 0);
}

Test(pattern, begin_inside_looks_at_nothing_before)
{
    struct message why = {.text = {0}};
    struct pattern *p = pattern_create("^# $", &why);
    struct pattern_run run;
    pattern_begin_inside(p, &run);
    pattern_feed(p, &run, '#');
    pattern_feed(p, &run, ' ');
    cr_expect_not(pattern_matches(p, &run));
    pattern_destroy(p);
}

Test(pattern, what_posix_leaves_undefined_is_refused)
{
    static const char *const bad[] = {
        "",           "a|",      "|a",      "()",     "*a",     "(*a)",  "a|*b",     "(a",        "a)",  "[a",
        "[]",         "a{",      "a{1",     "a{2,1}", "a{256}", "a{,2}", "\\d",      "\\1",       "a\\", "[b-a]",
        "[[:nope:]]", "[[.a.]]", "[[=a=]]", "^*",     "$+",     "{1}",   "a{0,999}", "[[:alpha]",
    };
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct message why = {.text = {0}};
        struct pattern *p = pattern_create(bad[i], &why);
        cr_expect_null(p, "accepted: %s", bad[i]);
        cr_expect(message_set(&why), "%s", bad[i]);
        pattern_destroy(p);
    }
}

Test(pattern, expressions_that_would_explode_are_refused_at_once)
{
    static const char *const bad[] = {"((((x{1,255}){1,255}){1,255}){1,255})", "(x{255}){255}",
                                      "(((((x{0}){255}){255}){255}y{255}){255})"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct message why = {.text = {0}};
        cr_expect_null(pattern_create(bad[i], &why));
        cr_expect_not_null(strstr(why.text, "too large"), "%s", why.text);
    }
    char deep[PATTERN_TEXT_MAX + 1];
    memset(deep, '(', sizeof deep - 1);
    deep[sizeof deep - 1] = 0;
    struct message why = {.text = {0}};
    cr_expect_null(pattern_create(deep, &why));
}

/* A random expression of the grammar, over the alphabet a, b, c. Anchors stand at the ends of the outermost alternatives only:
 * inside a repeated group glibc lets "^" match after the line's begin ("((bb)+$|^[bc]){2}[bc]?$" on "bc", which POSIX does not
 * match). */
enum { OUTERMOST = 2 };
struct writer {
    struct prng prng;
    char text[400];
    size_t used;
};

static unsigned pick(struct writer *w, unsigned n)
{
    return (unsigned)(prng_next(&w->prng) >> 33) % n;
}

static void add(struct writer *w, const char *text)
{
    size_t n = strlen(text);
    if (w->used + n < sizeof w->text - 100) {
        memcpy(w->text + w->used, text, n + 1);
        w->used += n;
    }
}

static void write_expression(struct writer *w, unsigned depth)
{
    static const char *const atoms[] = {"a", "b", "c", ".", "[ab]", "[^a]", "[b-c]", "[[:alpha:]]", "\\."};
    static const char *const repeats[] = {"", "", "", "*", "+", "?", "{2}", "{0,2}", "{1,}"};
    for (unsigned branch = 0, branches = 1 + pick(w, 2); branch < branches; branch++) {
        add(w, branch > 0 ? "|" : "");
        add(w, depth == OUTERMOST && pick(w, 8) == 0 ? "^" : "");
        for (unsigned i = 0, n = 1 + pick(w, 3); i < n; i++) {
            size_t before = w->used;
            if (depth > 0 && pick(w, 3) == 0 && w->used < 200) {
                add(w, "(");
                write_expression(w, depth - 1);
                strcat(w->text, ")");
                w->used++;
            } else {
                add(w, atoms[pick(w, ARRAY_COUNT(atoms))]);
            }
            if (w->used > before) {
                add(w, repeats[pick(w, ARRAY_COUNT(repeats))]);
            }
        }
        add(w, depth == OUTERMOST && pick(w, 8) == 0 ? "$" : "");
    }
}

/* glibc's regcomp() keeps some memory for ever; with the leak checker present, what it allocates is not looked at. */
void __lsan_disable(void) __attribute__((weak));
void __lsan_enable(void) __attribute__((weak));

static bool oracle_compile(regex_t *regex, const char *expression)
{
    if (__lsan_disable != NULL) {
        __lsan_disable();
    }
    bool ok = regcomp(regex, expression, REG_EXTENDED | REG_NOSUB) == 0;
    if (__lsan_enable != NULL) {
        __lsan_enable();
    }
    return ok;
}

/* After each byte the answer must be regexec()'s for the line so far. */
Test(pattern, agrees_with_regexec_after_every_byte)
{
    struct writer w = {.prng = {7}};
    unsigned matched = 0, compared = 0;
    for (unsigned round = 0; round < 3000; round++) {
        regex_t regex;
        struct message why = {.text = {0}};
        w.used = 0;
        w.text[0] = 0;
        write_expression(&w, OUTERMOST);
        struct pattern *p = pattern_create(w.text, &why);
        cr_assert_not_null(p, "%s: %s", w.text, why.text);
        cr_assert(oracle_compile(&regex, w.text), "%s", w.text);
        for (unsigned line = 0; line < 4; line++) {
            char text[16] = "";
            struct pattern_run run;
            bool seen = false;
            pattern_begin(p, &run);
            for (unsigned i = 0; i + 1 < sizeof text; i++) {
                bool posix = regexec(&regex, text, 0, NULL, 0) == 0;
                bool ends_here = pattern_matches(p, &run);
                /* regexec finds matches anywhere; ours are those that end now. A match without "$" stays true for regexec. */
                cr_assert(!ends_here || posix, "%s on \"%s\": we match, POSIX does not", w.text, text);
                cr_assert(!posix || ends_here || seen, "%s on \"%s\": POSIX matches, we never did", w.text, text);
                seen |= ends_here;
                matched += ends_here;
                compared++;
                text[i] = "abc."[pick(&w, 4)];
                text[i + 1] = 0;
                pattern_feed(p, &run, (uint8_t)text[i]);
            }
        }
        regfree(&regex);
        pattern_destroy(p);
    }
    cr_assert(matched > 10000 && matched < compared, "%u of %u: the comparison is empty", matched, compared);
}
