/* Values with units are exact or refused. Clauses of scenarios/value.h. */
#include <criterion/criterion.h>
#include <string.h>

#include "scenarios/value.h"

static void gives(const char *text, const struct unit_family *family, uint64_t want)
{
    uint64_t value = 0;
    cr_expect_eq(quantity_parse(text, family, &value), QUANTITY_OK, "%s", text);
    cr_expect_eq(value, want, "%s: %llu", text, (unsigned long long)value);
}

static void fails(const char *text, const struct unit_family *family, enum quantity_error want)
{
    uint64_t value = 0;
    cr_expect_eq(quantity_parse(text, family, &value), want, "%s", text);
}

Test(values, sizes_are_powers_of_1024)
{
    gives("512 MiB", &units_size, 512ULL << 20);
    gives("64GiB", &units_size, 64ULL << 30);
    gives("0x10 KiB", &units_size, 16384);
    gives("0 B", &units_size, 0);
}

Test(values, times_are_whole_nanoseconds)
{
    gives("20 s", &units_time, 20000000000ULL);
    gives("5 ms", &units_time, 5000000);
    gives("2 min", &units_time, 120000000000ULL);
}

Test(values, frequencies_are_hertz)
{
    gives("1 GHz", &units_frequency, 1000000000);
    gives("3.579545 MHz", &units_frequency, 3579545);
}

Test(values, counts_may_go_without_unit)
{
    gives("20 G", &units_count, 20000000000ULL);
    gives("7", &units_count, 7);
    gives("0xffffffffffffffff", &units_integer, UINT64_MAX);
    gives("18446744073709551615", &units_integer, UINT64_MAX);
}

Test(values, fraction_is_taken_only_when_the_result_is_whole)
{
    gives("1.5 GiB", &units_size, 1610612736);
    gives("0.000000001 s", &units_time, 1);
    fails("0.0000000001 s", &units_time, QUANTITY_NOT_WHOLE);
    fails("0.1 KiB", &units_size, QUANTITY_NOT_WHOLE);
    fails("1.5", &units_integer, QUANTITY_NOT_WHOLE);
}

Test(values, unit_is_needed_where_there_is_more_than_one)
{
    fails("512", &units_size, QUANTITY_NO_UNIT);
    fails("512 MB", &units_size, QUANTITY_BAD_UNIT);
    fails("512 mib", &units_size, QUANTITY_BAD_UNIT);
    fails("1 s", &units_size, QUANTITY_BAD_UNIT);
    fails("7 x", &units_integer, QUANTITY_BAD_UNIT);
}

Test(values, what_does_not_fit_64_bits_is_refused)
{
    fails("18446744073709551616", &units_integer, QUANTITY_TOO_LARGE);
    fails("0x10000000000000000", &units_integer, QUANTITY_TOO_LARGE);
    fails("17179869184 GiB", &units_size, QUANTITY_TOO_LARGE);
    gives("17179869183 GiB", &units_size, 17179869183ULL << 30);
    fails("99999999999999999999999999999999999999999999999999999999999999999999999999999 B", &units_size, QUANTITY_TOO_LARGE);
}

Test(values, what_is_not_a_number_is_refused)
{
    fails("", &units_integer, QUANTITY_NO_NUMBER);
    fails("x", &units_integer, QUANTITY_NO_NUMBER);
    fails("-1", &units_integer, QUANTITY_NO_NUMBER);
    fails("+1", &units_integer, QUANTITY_NO_NUMBER);
    fails("0x", &units_integer, QUANTITY_NO_NUMBER);
    fails("010", &units_integer, QUANTITY_NO_NUMBER);
    fails(".5 s", &units_time, QUANTITY_NO_NUMBER);
}

/* Expected values from date -u -d ... +%s. */
Test(values, dates_are_utc_seconds_since_1970)
{
    int64_t s;
    cr_expect(date_parse("1970-01-01T00:00:00Z", &s) && s == 0);
    cr_expect(date_parse("2026-01-01T00:00:00Z", &s) && s == 1767225600);
    cr_expect(date_parse("2000-02-29T23:59:59Z", &s) && s == 951868799);
    cr_expect(date_parse("2099-12-31T23:59:59Z", &s) && s == 4102444799);
}

Test(values, impossible_dates_are_refused)
{
    static const char *const bad[] = {
        "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z", "2026-04-31T00:00:00Z",
        "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:60Z", "1969-12-31T23:59:59Z", "2100-01-01T00:00:00Z",
        "2026-01-01",           "2026-01-01T00:00:00",  "2026-01-01 00:00:00Z", "2026-1-01T00:00:00ZZ", "",
    };
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        int64_t s;
        cr_expect_not(date_parse(bad[i], &s), "%s", bad[i]);
    }
}

Test(values, moment_is_the_first_cycle_at_or_after_it)
{
    cr_expect_eq(moment_cycles((struct moment){.value = 1}, 1000000), 1, "a nanosecond at 1 MHz");
    cr_expect_eq(moment_cycles((struct moment){.value = 1000}, 1000000), 1);
    cr_expect_eq(moment_cycles((struct moment){.value = 1001}, 1000000), 2);
    cr_expect_eq(moment_cycles((struct moment){.value = 20000000000}, 2000000000), 40000000000);
    cr_expect_eq(moment_cycles((struct moment){.value = 7, .in_cycles = true}, 1000000), 7);
    cr_expect_eq(moment_cycles((struct moment){.value = UINT64_MAX}, 10000000000), UINT64_MAX, "beyond 64 bits: never");
}

Test(messages, quoted_text_is_one_printable_line)
{
    cr_expect_str_eq(quote_text("a\n\x1b[31m\xff").text, "\"a\\x0a\\x1b[31m\\xff\"");
    char text[200];
    memset(text, 1, sizeof text);
    struct quoted q = quote(text, sizeof text);
    cr_expect_eq(strlen(q.text), 1 + 60 * 4 + 4);
    cr_expect_str_eq(q.text + strlen(q.text) - 4, "...\"");
}

Test(messages, first_message_wins_and_long_paths_are_cut)
{
    struct message why = {.text = {0}};
    char path[2000];
    memset(path, 'p', sizeof path - 1);
    path[sizeof path - 1] = 0;
    cr_expect_not(message_at(&why, path, 3, 4, "the %s", "reason"));
    cr_expect_not(message_say(&why, "another"));
    cr_expect_not_null(strstr(why.text, "p:3:4: the reason"));
}
