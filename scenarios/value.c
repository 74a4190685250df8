/* Values with units. See value.h: exact or refused. */
#include "scenarios/value.h"

#include "machine/clock.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct unit size_units[] = {
    {"B", 1}, {"KiB", 1ULL << 10}, {"MiB", 1ULL << 20}, {"GiB", 1ULL << 30}, {"TiB", 1ULL << 40},
};
static const struct unit time_units[] = {
    {"ns", 1}, {"us", 1000}, {"ms", 1000000}, {"s", 1000000000}, {"min", 60000000000}, {"h", 3600000000000},
};
static const struct unit frequency_units[] = {
    {"Hz", 1},
    {"kHz", 1000},
    {"MHz", 1000000},
    {"GHz", 1000000000},
};
static const struct unit count_units[] = {
    {"", 1}, {"k", 1000}, {"M", 1000000}, {"G", 1000000000}, {"T", 1000000000000},
};

#define FAMILY(what_, example_, names_, units_)                                                                                \
    {                                                                                                                          \
        what_, example_, names_, units_, ARRAY_COUNT(units_)                                                                   \
    }
const struct unit_family units_size = FAMILY("a size", "512 MiB", "B, KiB, MiB, GiB, TiB", size_units);
const struct unit_family units_time = FAMILY("a time", "20 s", "ns, us, ms, s, min, h", time_units);
const struct unit_family units_frequency = FAMILY("a frequency", "1 GHz", "Hz, kHz, MHz, GHz", frequency_units);
const struct unit_family units_count = FAMILY("a count", "20 G", "none, k, M, G, T", count_units);
const struct unit_family units_integer = {"a whole number", "7 or 0x7", "none", count_units, 1};

/* ---- text to number ---- */

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static int hex_digit(char c)
{
    if (digit(c)) {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Digits of `base` into *value, which goes on from what it holds; false on overflow. `*text` moves behind the last digit. */
static bool take_digits(const char **text, unsigned base, uint64_t *value, unsigned *digits)
{
    for (; *digits < 64; (*text)++, (*digits)++) {
        int d = base == 16 ? hex_digit(**text) : digit(**text) ? **text - '0' : -1;
        if (d < 0) {
            return true;
        }
        if (__builtin_mul_overflow(*value, base, value) || __builtin_add_overflow(*value, (uint64_t)d, value)) {
            return false;
        }
    }
    return false;
}

static enum quantity_error parse_number(const char **text, uint64_t *mantissa, uint64_t *divisor)
{
    unsigned digits = 0, fraction = 0;
    *mantissa = 0;
    *divisor = 1;
    if ((*text)[0] == '0' && (*text)[1] == 'x') {
        *text += 2;
        if (!take_digits(text, 16, mantissa, &digits)) {
            return QUANTITY_TOO_LARGE;
        }
        return digits > 0 ? QUANTITY_OK : QUANTITY_NO_NUMBER;
    }
    if ((*text)[0] == '0' && digit((*text)[1])) {
        return QUANTITY_NO_NUMBER;
    }
    if (!take_digits(text, 10, mantissa, &digits)) {
        return QUANTITY_TOO_LARGE;
    }
    if (digits > 0 && **text == '.' && digit((*text)[1])) {
        (*text)++;
        if (!take_digits(text, 10, mantissa, &fraction) || fraction > 18) {
            return QUANTITY_NOT_WHOLE;
        }
        for (unsigned i = 0; i < fraction; i++) {
            *divisor *= 10;
        }
    }
    return digits > 0 ? QUANTITY_OK : QUANTITY_NO_NUMBER;
}

enum quantity_error quantity_parse(const char *text, const struct unit_family *family, uint64_t *value)
{
    uint64_t mantissa, divisor;
    enum quantity_error e = parse_number(&text, &mantissa, &divisor);
    if (e != QUANTITY_OK) {
        return e;
    }
    while (*text == ' ') {
        text++;
    }
    const struct unit *unit = NULL;
    for (size_t i = 0; i < family->count; i++) {
        if (strcmp(family->units[i].name, text) == 0) {
            unit = &family->units[i];
        }
    }
    if (unit == NULL) {
        return *text == 0 ? QUANTITY_NO_UNIT : QUANTITY_BAD_UNIT;
    }
    unsigned __int128 exact = (unsigned __int128)mantissa * unit->worth;
    if (exact % divisor != 0) {
        return QUANTITY_NOT_WHOLE;
    }
    if (exact / divisor > UINT64_MAX) {
        return QUANTITY_TOO_LARGE;
    }
    *value = (uint64_t)(exact / divisor);
    return QUANTITY_OK;
}

static bool leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

bool date_parse(const char *text, int64_t *unix_seconds)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:ddZ";
    static const uint8_t month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (strlen(text) != sizeof shape - 1) {
        return false;
    }
    int64_t part[6] = {0}; /* year, month, day, hour, minute, second */
    unsigned which = 0;
    for (size_t i = 0; i < sizeof shape - 1; i++) {
        if (shape[i] == 'd') {
            if (!digit(text[i])) {
                return false;
            }
            part[which] = part[which] * 10 + (text[i] - '0');
        } else if (text[i] != shape[i]) {
            return false;
        } else {
            which++;
        }
    }
    int64_t year = part[0], month = part[1], day = part[2];
    if (year < 1970 || year > 2099 || month < 1 || month > 12 || part[3] > 23 || part[4] > 59 || part[5] > 59) {
        return false;
    }
    if (day < 1 || day > month_days[month - 1] + (month == 2 && leap(year))) {
        return false;
    }
    int64_t days = day - 1;
    for (int64_t y = 1970; y < year; y++) {
        days += leap(y) ? 366 : 365;
    }
    for (int64_t m = 1; m < month; m++) {
        days += month_days[m - 1] + (m == 2 && leap(year));
    }
    *unix_seconds = days * 86400 + part[3] * 3600 + part[4] * 60 + part[5];
    return true;
}

uint64_t moment_cycles(struct moment m, uint64_t hz)
{
    return m.in_cycles ? m.value : mul_div_up(m.value, hz, RATE_NS_HZ);
}

/* ---- readers of nodes ---- */

bool value_refuse(struct value_reader *r, const struct yaml_node *n, const char *format, ...)
{
    char text[600];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return message_at(r->why, r->file, n->line, n->column, "%s", text);
}

bool value_text(struct value_reader *r, const struct yaml_node *n, const char *what, const char **text)
{
    if (n->kind != YAML_IS_SCALAR || (n->text[0] == 0 && !n->quoted)) {
        return value_refuse(r, n, "expected %s as text", what);
    }
    *text = n->text;
    return true;
}

static const char *complaint(enum quantity_error e)
{
    switch (e) {
    case QUANTITY_NO_UNIT:
        return "lacks a unit";
    case QUANTITY_BAD_UNIT:
        return "has a wrong unit";
    case QUANTITY_NOT_WHOLE:
        return "is not a whole number of the smallest unit";
    case QUANTITY_TOO_LARGE:
        return "is too large for 64 bits";
    default:
        return "is not a number";
    }
}

/* A bound, in the largest unit that says it exactly. */
static void bound_text(const struct unit_family *family, uint64_t value, char text[40])
{
    const struct unit *best = &family->units[0];
    for (size_t i = 0; i < family->count; i++) {
        if (value != 0 && value % family->units[i].worth == 0) {
            best = &family->units[i];
        }
    }
    snprintf(text, 40, "%" PRIu64 "%s%s", value / best->worth, best->name[0] != 0 ? " " : "", best->name);
}

bool value_quantity(struct value_reader *r, const struct yaml_node *n, const struct unit_family *family, uint64_t min,
                    uint64_t max, uint64_t *value)
{
    if (n->kind != YAML_IS_SCALAR) {
        return value_refuse(r, n, "expected %s such as %s", family->what, family->example);
    }
    uint64_t got = 0;
    enum quantity_error e = quantity_parse(n->text, family, &got);
    if (e != QUANTITY_OK) {
        return value_refuse(r, n, "%s %s; write %s such as %s (units: %s)", quote_text(n->text).text, complaint(e),
                            family->what, family->example, family->names);
    }
    if (got < min || got > max) {
        char low[40], high[40];
        bound_text(family, min, low);
        bound_text(family, max, high);
        return value_refuse(r, n, "%s is out of range; from %s to %s is possible", quote_text(n->text).text, low, high);
    }
    *value = got;
    return true;
}

bool value_moment(struct value_reader *r, const struct yaml_node *n, struct moment *m)
{
    static const struct unit cycle_units[] = {{"cycles", 1}, {"cycle", 1}};
    static const struct unit_family cycles = FAMILY("a number of cycles", "1000 cycles", "cycles", cycle_units);
    if (n->kind == YAML_IS_SCALAR) {
        enum quantity_error as_time = quantity_parse(n->text, &units_time, &m->value);
        m->in_cycles = as_time != QUANTITY_OK;
        if (as_time == QUANTITY_OK || quantity_parse(n->text, &cycles, &m->value) == QUANTITY_OK) {
            return true;
        }
        return value_refuse(r, n, "%s %s; write a time such as 20 s (units: %s) or a cycle such as 1000 cycles",
                            quote_text(n->text).text, complaint(as_time), units_time.names);
    }
    return value_refuse(r, n, "expected a time such as 20 s or a cycle such as 1000 cycles");
}

bool value_date(struct value_reader *r, const struct yaml_node *n, int64_t *unix_seconds)
{
    if (n->kind == YAML_IS_SCALAR && date_parse(n->text, unix_seconds)) {
        return true;
    }
    return value_refuse(r, n, "%s is not a date; write UTC date and time such as 2026-01-01T00:00:00Z, from 1970 to 2099",
                        n->kind == YAML_IS_SCALAR ? quote_text(n->text).text : "a list or mapping");
}

bool value_switch(struct value_reader *r, const struct yaml_node *n, bool *on)
{
    static const char *const words[] = {"off", "on", "false", "true"};
    unsigned index = 0;
    if (!value_word(r, n, words, ARRAY_COUNT(words), &index)) {
        return false;
    }
    *on = index & 1;
    return true;
}

static void list_words(const char *const *words, size_t count, char *text, size_t size)
{
    size_t used = 0;
    text[0] = 0;
    for (size_t i = 0; i < count && used < size; i++) {
        int n = snprintf(text + used, size - used, "%s%s", i > 0 ? ", " : "", words[i]);
        used += (size_t)n;
    }
}

bool value_word(struct value_reader *r, const struct yaml_node *n, const char *const *words, size_t count, unsigned *index)
{
    for (size_t i = 0; n->kind == YAML_IS_SCALAR && i < count; i++) {
        if (strcmp(n->text, words[i]) == 0) {
            *index = (unsigned)i;
            return true;
        }
    }
    char list[300];
    list_words(words, count, list, sizeof list);
    return value_refuse(r, n, "%s is unknown; expected one of %s",
                        n->kind == YAML_IS_SCALAR ? quote_text(n->text).text : "a list or mapping", list);
}

bool value_mapping(struct value_reader *r, const struct yaml_node *n, const char *what)
{
    return n->kind == YAML_IS_MAPPING || value_refuse(r, n, "expected a mapping: %s", what);
}

bool value_sequence(struct value_reader *r, const struct yaml_node *n, const char *what)
{
    return n->kind == YAML_IS_SEQUENCE || value_refuse(r, n, "expected a list: %s", what);
}

bool value_keys(struct value_reader *r, const struct yaml_node *n, const char *what, const char *const *keys, size_t count)
{
    if (!value_mapping(r, n, what)) {
        return false;
    }
    for (size_t i = 0; i < n->count; i++) {
        const struct yaml_node *key = yaml_key(n, i);
        bool known = false;
        for (size_t k = 0; k < count; k++) {
            known |= strcmp(key->text, keys[k]) == 0;
        }
        if (!known) {
            char list[300];
            list_words(keys, count, list, sizeof list);
            return value_refuse(r, key, "unknown key %s; expected one of %s", quote_text(key->text).text, list);
        }
    }
    return true;
}
