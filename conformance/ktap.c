/* KTAP from a guest that may be hostile. See ktap.h. */
#include "conformance/ktap.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((format(printf, 2, 3))) static void trouble(struct ktap *k, const char *format, ...)
{
    if (k->trouble[0] == 0) {
        va_list args;
        va_start(args, format);
        vsnprintf(k->trouble, sizeof k->trouble, format, args);
        va_end(args);
    }
}

static bool take(const char **at, const char *word)
{
    size_t n = strlen(word);
    bool there = strncmp(*at, word, n) == 0;
    *at += there ? n : 0;
    return there;
}

/* Digits, at most KTAP_LINES_MAX. */
static bool take_number(const char **at, unsigned *value)
{
    const char *from = *at;
    *value = 0;
    while (**at >= '0' && **at <= '9') {
        *value = *value * 10 + (unsigned)(*(*at)++ - '0');
        if (*value > KTAP_LINES_MAX) {
            return false;
        }
    }
    return *at > from;
}

static bool name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
}

static bool take_name(const char **at, char *name, size_t room)
{
    size_t n = 0;
    while (name_byte(**at)) {
        if (n + 1 >= room) {
            return false;
        }
        name[n++] = *(*at)++;
    }
    name[n] = 0;
    return n > 0;
}

static struct ktap_line *append(struct ktap *k)
{
    if (k->count == k->room) {
        size_t room = k->room == 0 ? 32 : 2 * k->room;
        struct ktap_line *lines = realloc(k->lines, room * sizeof *lines);
        if (lines == NULL) {
            return NULL;
        }
        k->lines = lines;
        k->room = room;
    }
    return &k->lines[k->count++];
}

/* What stands behind '#'. */
static bool read_remark(const char *at, bool ok, struct ktap_line *l)
{
    if (take(&at, "SKIP")) {
        l->word = VERDICT_NOT_SUPPORTED;
    } else if (take(&at, "BROKEN")) {
        l->word = VERDICT_BROKEN;
    }
    at += strspn(at, " ");
    snprintf(l->message, sizeof l->message, "%s", at);
    return l->word == VERDICT_NOT_SUPPORTED ? ok : l->word != VERDICT_BROKEN || !ok;
}

/* Behind "ok " or "not ok ". */
static bool read_result(struct ktap *k, const char *at, bool ok, uint64_t cycle)
{
    struct ktap_line l = {.word = ok ? VERDICT_PASS : VERDICT_FAIL, .cycle = cycle};
    unsigned number;
    if (!take_number(&at, &number) || !take(&at, " ") || !take_name(&at, l.test, sizeof l.test) || !take(&at, " ") ||
        !take_name(&at, l.clause, sizeof l.clause)) {
        return false;
    }
    if (*at != 0 && (!take(&at, " # ") || !read_remark(at, ok, &l))) {
        return false;
    }
    if (number != k->count + 1 || (k->planned && number > k->plan)) {
        trouble(k, "result line %u came as number %zu of %u", number, k->count + 1, k->plan);
        return true;
    }
    struct ktap_line *to = append(k);
    if (to == NULL) {
        trouble(k, "the host has no memory left");
        return true;
    }
    *to = l;
    return true;
}

static void read_line(struct ktap *k, uint64_t cycle)
{
    const char *at = k->line;
    bool good = true;
    if (k->trouble[0] != 0) {
        return;
    }
    if (take(&at, "KTAP version ")) {
        good = !k->version && strcmp(at, "1") == 0;
        k->version = true;
    } else if (take(&at, "1..")) {
        good = k->version && !k->planned && k->count == 0 && take_number(&at, &k->plan) && *at == 0;
        k->planned = true;
    } else if (take(&at, "ok ")) {
        good = read_result(k, at, true, cycle);
    } else if (take(&at, "not ok ")) {
        good = read_result(k, at, false, cycle);
    }
    if (take(&at, "Bail out!")) {
        trouble(k, "the probe gave up:%.200s", at);
    }
    if (!good) {
        trouble(k, "not KTAP: %s", quote_text(k->line).text);
    }
}

void ktap_byte(struct ktap *k, uint8_t byte, uint64_t cycle)
{
    if (byte == '\n') {
        k->line[k->used] = 0;
        read_line(k, cycle);
        k->used = 0;
    } else if (byte != '\r' && k->used + 1 < sizeof k->line) {
        k->line[k->used++] = byte >= 0x20 && byte < 0x7f ? (char)byte : '?';
    }
}

void ktap_end(struct ktap *k)
{
    if (!k->planned) {
        trouble(k, "the probe printed no plan (1..N)");
    } else if (k->count < k->plan) {
        trouble(k, "the probe ended after %zu of %u result lines", k->count, k->plan);
    }
}

void ktap_free(struct ktap *k)
{
    free(k->lines);
    *k = (struct ktap){0};
}
