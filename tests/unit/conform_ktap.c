/* What a probe says is believed only as far as it keeps to the form. Clauses of conformance/ktap.h and folder.h. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "conformance/folder.h"
#include "conformance/ktap.h"
#include "machine/prng.h"

static struct ktap heard(const char *text)
{
    struct ktap k = {.used = 0};
    for (uint64_t cycle = 0; *text != 0; cycle++) {
        ktap_byte(&k, (uint8_t)*text++, cycle);
    }
    ktap_end(&k);
    return k;
}

#define HEAD "KTAP version 1\n1..3\n"

Test(ktap, lines_have_words_names_messages_and_cycles)
{
    struct ktap k = heard(HEAD "ok 1 a t.a\nnot ok 2 b t.b # k.c:7: got 0x1\nok 3 c t.c-d # SKIP not announced\n");
    cr_assert_eq(k.count, 3);
    cr_expect_str_empty(k.trouble, "%s", k.trouble);
    cr_expect_eq(k.lines[0].word, VERDICT_PASS);
    cr_expect_eq(k.lines[0].cycle, strlen(HEAD "ok 1 a t.a"));
    cr_expect_str_eq(k.lines[0].test, "a");
    cr_expect_str_empty(k.lines[0].message);
    cr_expect_eq(k.lines[1].word, VERDICT_FAIL);
    cr_expect_str_eq(k.lines[1].message, "k.c:7: got 0x1");
    cr_expect_eq(k.lines[2].word, VERDICT_NOT_SUPPORTED);
    cr_expect_str_eq(k.lines[2].clause, "t.c-d");
    cr_expect_str_eq(k.lines[2].message, "not announced");
    ktap_free(&k);
}

Test(ktap, broken_has_a_word_of_its_own)
{
    struct ktap k = heard("KTAP version 1\n1..1\nnot ok 1 a t.a # BROKEN no expectation ran\n");
    cr_assert_eq(k.count, 1);
    cr_expect_eq(k.lines[0].word, VERDICT_BROKEN);
    cr_expect_str_eq(k.lines[0].message, "no expectation ran");
    ktap_free(&k);
}

Test(ktap, other_output_is_passed_over)
{
    struct ktap k = heard("SeaBIOS\r\n" HEAD "# a remark\r\nok 1 a t.a\r\nokay\n\nok 2 b t.b\nok 3 c t.c\nbye");
    cr_expect_eq(k.count, 3);
    cr_expect_str_empty(k.trouble, "%s", k.trouble);
    ktap_free(&k);
}

Test(ktap, what_breaks_the_form_makes_it_unsound)
{
    static const struct {
        const char *text;
        size_t count; /* lines believed */
    } cases[] = {
        {"", 0},
        {"1..1\nok 1 a t.a\n", 0},
        {"KTAP version 2\n1..1\nok 1 a t.a\n", 0},
        {HEAD "ok 1 a t.a\nok 2 b t.b\n", 2},
        {HEAD "ok 2 a t.a\n", 0},
        {HEAD "ok 1 a t.a\nok 1 a t.a\n", 1},
        {HEAD "ok 1 a t.a\nok 2 b t.b\nok 3 c t.c\nok 4 d t.d\n", 3},
        {HEAD "ok 1 a\nok 1 a t.a\n", 0},
        {HEAD "ok 1 a t.a rest\n", 0},
        {HEAD "ok 1 a t.a # \n1..3\n", 1},
        {HEAD "not ok 1 a t.a # SKIP why\n", 0},
        {HEAD "ok 1 a t.a # BROKEN why\n", 0},
        {HEAD "ok 1 a t.<script>\n", 0},
        {HEAD "ok 99999999999999999999 a t.a\n", 0},
        {"KTAP version 1\n1..5000\n", 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct ktap k = heard(cases[i].text);
        cr_expect_str_not_empty(k.trouble, "case %zu", i);
        cr_expect_eq(k.count, cases[i].count, "case %zu: %zu lines", i, k.count);
        ktap_free(&k);
    }
}

Test(ktap, long_lines_and_control_bytes_are_tamed)
{
    char text[4096] = "KTAP version 1\n1..1\nnot ok 1 a t.a # \033[2J";
    size_t at = strlen(text);
    memset(text + at, 'x', 3000);
    strcpy(text + at + 3000, "\n");
    struct ktap k = heard(text);
    cr_assert_eq(k.count, 1);
    cr_expect_eq(strlen(k.lines[0].message), KTAP_MESSAGE_MAX - 1);
    cr_expect_eq(strncmp(k.lines[0].message, "?[2Jxxx", 7), 0);
    ktap_free(&k);
}

Test(ktap, any_bytes_are_survived)
{
    static const char *const words[] = {"ok ",  "not ok ", "1..",  "1",      "2 ", " a",
                                        " t.a", " # ",     "SKIP", "BROKEN", "\n", "KTAP version 1\n"};
    struct prng random = {.state = 5};
    for (unsigned run = 0; run < 2000; run++) {
        struct ktap k = {.used = 0};
        for (unsigned i = 0; i < 100; i++) {
            uint64_t dice = prng_next(&random);
            const char *word = words[dice % ARRAY_COUNT(words)];
            for (size_t b = 0; b < strlen(word); b++) {
                ktap_byte(&k, (uint8_t)(dice >> 32) < 5 ? (uint8_t)(dice >> 40) : (uint8_t)word[b], i);
            }
        }
        ktap_end(&k);
        cr_assert_leq(k.count, k.plan);
        ktap_free(&k);
    }
}

Test(glob, stars_and_question_marks)
{
    cr_expect(glob_match("synic.*", "synic.sint.min"));
    cr_expect(glob_match("*", ""));
    cr_expect(glob_match("a*b*c", "a-b-b-c"));
    cr_expect(glob_match("?.x", "a.x"));
    cr_expect_not(glob_match("synic", "synic.sint"));
    cr_expect_not(glob_match("a*b", "a-c"));
    cr_expect_not(glob_match("?", ""));
}
