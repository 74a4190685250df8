/* The input log and its file. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "machine/clock.h"
#include "machine/inputs.h"
#include "machine/prng.h"
#include "machine/state.h"

static struct inputs *sample(void)
{
    struct inputs *in = inputs_create();
    cr_assert(inputs_append(in, 1200, "console", "ls\n", 3));
    cr_assert(inputs_append(in, 1200, "action", "", 0));
    cr_assert(inputs_append(in, 5000, "console", "\"\\\x00\xff~ ", 6));
    return in;
}

/* The file's three lines as inputs.h describes them; the checksum is the only thing not written by hand. */
#define SAMPLE_LINES "orrery-inputs 1\n1200 console \"ls\\x0a\"\n1200 action \"\"\n5000 console \"\\x22\\x5c\\x00\\xff~ \"\n"

static void expect_same(const struct inputs *a, const struct inputs *b)
{
    cr_assert_eq(inputs_count(a), inputs_count(b));
    for (size_t i = 0; i < inputs_count(a); i++) {
        struct input x = inputs_at(a, i), y = inputs_at(b, i);
        cr_expect_eq(x.cycle, y.cycle);
        cr_expect_str_eq(x.source, y.source);
        cr_expect_eq(x.length, y.length);
        cr_expect(x.length == 0 || memcmp(x.bytes, y.bytes, x.length) == 0);
    }
}

/* From a heap copy of exactly that size. */
static struct inputs *read_copy(const char *text, size_t length, char why[160])
{
    char *copy = malloc(length > 0 ? length : 1);
    memcpy(copy, text, length);
    why[0] = '\0';
    struct inputs *in = inputs_read(copy, length, why, 160);
    free(copy);
    cr_assert_eq(in == NULL, why[0] != '\0', "a refusal has a reason");
    return in;
}

Test(inputs, are_taken_in_order_when_due)
{
    struct inputs *in = sample();
    struct input got;
    cr_expect_eq(inputs_due(in), 1200);
    cr_expect_not(inputs_take(in, 1199, &got));
    cr_expect(inputs_take(in, 1300, &got));
    cr_expect_str_eq(got.source, "console");
    cr_expect(inputs_take(in, 1300, &got));
    cr_expect_str_eq(got.source, "action");
    cr_expect_not(inputs_take(in, 1300, &got));
    cr_expect_eq(inputs_due(in), 5000);
    cr_expect(inputs_take(in, 5000, &got));
    cr_expect_eq(inputs_due(in), CYCLE_NEVER);
    cr_expect_not(inputs_take(in, CYCLE_NEVER, &got));
    inputs_destroy(in);
}

Test(inputs, out_of_order_misnamed_or_too_long_are_refused)
{
    struct inputs *in = sample();
    static uint8_t large[INPUT_BYTES_MAX + 1];
    cr_expect_not(inputs_append(in, 4999, "console", "x", 1));
    cr_expect_not(inputs_append(in, CLOCK_CYCLE_MAX + 1, "console", "x", 1));
    cr_expect_not(inputs_append(in, 5000, "", "x", 1));
    cr_expect_not(inputs_append(in, 5000, "two words", "x", 1));
    cr_expect_not(inputs_append(in, 5000, "a2345678901234567890123456789012", "x", 1));
    cr_expect_not(inputs_append(in, 5000, "console", large, sizeof large));
    cr_expect_eq(inputs_count(in), 3);
    cr_expect(inputs_append(in, 5000, "a234567890123456789012345678901", large, INPUT_BYTES_MAX));
    inputs_destroy(in);
}

Test(inputs, all_bytes_together_have_a_limit)
{
    struct inputs *in = inputs_create();
    static uint8_t large[INPUT_BYTES_MAX];
    for (unsigned i = 0; i < INPUTS_BYTES_MAX / INPUT_BYTES_MAX; i++) {
        cr_assert(inputs_append(in, i, "console", large, sizeof large));
    }
    cr_expect_not(inputs_append(in, CLOCK_CYCLE_MAX, "console", "x", 1));
    cr_expect(inputs_append(in, CLOCK_CYCLE_MAX, "console", "", 0));
    inputs_destroy(in);
}

Test(inputs, file_is_the_text_that_the_header_shows)
{
    struct inputs *in = sample();
    size_t length;
    char *text = inputs_write(in, &length);
    cr_expect_eq(strlen(text), length);
    cr_expect_eq(strncmp(text, SAMPLE_LINES "end 3 ", strlen(SAMPLE_LINES "end 3 ")), 0, "%s", text);
    cr_expect_eq(length, strlen(SAMPLE_LINES "end 3 ") + 33);
    free(text);
    inputs_destroy(in);
}

Test(inputs, file_reads_back)
{
    struct inputs *in = sample(), *empty = inputs_create();
    char why[160];
    size_t length;
    char *text = inputs_write(in, &length);
    struct inputs *back = read_copy(text, length, why);
    cr_assert_not_null(back, "%s", why);
    expect_same(in, back);
    cr_expect_eq(inputs_due(back), 1200, "nothing of it is taken");
    inputs_destroy(back);
    free(text);
    text = inputs_write(empty, &length);
    back = read_copy(text, length, why);
    cr_assert_not_null(back, "%s", why);
    cr_expect_eq(inputs_count(back), 0);
    inputs_destroy(back);
    free(text);
    inputs_destroy(in);
    inputs_destroy(empty);
}

Test(inputs, every_changed_byte_and_truncation_is_refused)
{
    struct inputs *in = sample();
    char why[160];
    size_t length;
    char *text = inputs_write(in, &length);
    for (size_t i = 0; i < length; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            text[i] = (char)(text[i] ^ 1 << bit);
            cr_expect_null(read_copy(text, length, why), "byte %zu bit %u", i, bit);
            text[i] = (char)(text[i] ^ 1 << bit);
        }
        cr_expect_null(read_copy(text, i, why), "%zu bytes", i);
    }
    free(text);
    inputs_destroy(in);
}

Test(inputs, refusals_name_the_line)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "line 1: "},
        {"orrery-inputs 2\n", "line 1: "},
        {"orrery-inputs 1\n", "line 2: the last line"},
        {"orrery-inputs 1\n5 console \"\"\n4 console \"\"\n", "line 3: an input earlier"},
        {"orrery-inputs 1\n05 console \"\"\n", "line 2: a decimal"},
        {"orrery-inputs 1\n99999999999999999999 console \"\"\n", "line 2: a number beyond"},
        {"orrery-inputs 1\n5 Console \"\"\n", "line 2: the name"},
        {"orrery-inputs 1\n5 console \"\\x41\"\n", "line 2: \\x"},
        {"orrery-inputs 1\n5 console \"\\x0A\"\n", "line 2: \\x"},
        {"orrery-inputs 1\n5 console \"\t\"\n", "line 2: a byte"},
        {"orrery-inputs 1\n5 console \"abc", "line 2: the line should end"},
        {"orrery-inputs 1\n5 console \"abc\\x", "line 2: \\x"},
        {"orrery-inputs 1\nend 0 00000000000000000000000000000000\n", "line 2: count or checksum"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char why[160];
        cr_expect_null(read_copy(cases[i].text, strlen(cases[i].text), why));
        cr_expect_eq(strncmp(why, cases[i].why, strlen(cases[i].why)), 0, "case %zu: %s", i, why);
    }
}

static bool restore(struct inputs *in, const uint8_t *file, size_t length)
{
    struct state *s = state_begin_restore(file, length);
    inputs_state(s, in);
    bool fine = state_finish_restore(s);
    state_end(s);
    return fine;
}

Test(inputs, save_and_restore_keep_what_is_taken)
{
    struct inputs *a = sample(), *b = inputs_create();
    struct input got;
    inputs_take(a, 1200, &got);
    inputs_append(b, 9, "console", "forgotten", 9);
    struct state *s = state_begin_save();
    size_t length;
    inputs_state(s, a);
    uint8_t *file = state_finish_save(s, &length);
    state_end(s);
    cr_expect(restore(b, file, length));
    expect_same(a, b);
    cr_expect(inputs_take(b, 1200, &got));
    cr_expect_str_eq(got.source, "action");
    free(file);
    inputs_destroy(a);
    inputs_destroy(b);
}

Test(inputs, restored_log_out_of_order_or_overtaken_is_refused)
{
    for (unsigned damage = 0; damage < 4; damage++) {
        struct state *s = state_begin_save();
        uint32_t count = 2, taken = damage == 1 ? 3 : 1, bytes = 1;
        size_t length;
        state_section(s, "inputs", 1);
        state_u32(s, &count);
        state_u32(s, &taken);
        for (unsigned i = 0; i < 2; i++) {
            uint64_t cycle = damage == 2 ? 5 - i : 5 + i;
            char source[INPUT_SOURCE_MAX] = "console";
            source[20] = damage == 3 ? 'x' : '\0';
            state_u64(s, &cycle);
            state_bytes(s, source, sizeof source);
            state_u32(s, &bytes);
            state_bytes(s, "x", 1);
        }
        uint8_t *file = state_finish_save(s, &length);
        state_end(s);
        struct inputs *in = inputs_create();
        cr_expect_eq(restore(in, file, length), damage == 0, "damage %u", damage);
        free(file);
        inputs_destroy(in);
    }
}

Test(inputs, digest_does_not_see_the_future)
{
    struct inputs *a = sample(), *b = inputs_create();
    struct state_digest d[2];
    for (unsigned k = 0; k < 2; k++) {
        struct state *s = state_begin_digest();
        inputs_state(s, k ? b : a);
        d[k] = state_finish_digest(s);
        state_end(s);
    }
    cr_expect_eq(d[0].low, d[1].low);
    inputs_destroy(a);
    inputs_destroy(b);
}
