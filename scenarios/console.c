/* The guest's text. See console.h. UTF-8 as RFC 3629 §4 has it: no surrogates, nothing overlong, nothing above U+10FFFF. */
#include "scenarios/console.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool console_create(struct console *c)
{
    *c = (struct console){.head = malloc(CONSOLE_KEPT), .tail = malloc(CONSOLE_KEPT)};
    return c->head != NULL && c->tail != NULL;
}

void console_destroy(struct console *c)
{
    free(c->head);
    free(c->tail);
}

void console_put(struct console *c, uint8_t byte)
{
    if (c->total < CONSOLE_KEPT) {
        c->head[c->total] = byte;
    } else {
        c->tail[c->total % CONSOLE_KEPT] = byte;
    }
    c->total++;
}

/* Length of the well-formed sequence at `b`, 0 when there is none. */
static unsigned utf8_length(const uint8_t *b, size_t left)
{
    static const struct {
        uint8_t lead_low, lead_high, second_low, second_high;
        unsigned length;
    } rows[] = {
        {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (b[0] >= rows[i].lead_low && b[0] <= rows[i].lead_high) {
            if (rows[i].length > left || (rows[i].length > 1 && (b[1] < rows[i].second_low || b[1] > rows[i].second_high))) {
                return 0;
            }
            for (unsigned k = 2; k < rows[i].length; k++) {
                if ((b[k] & 0xc0) != 0x80) {
                    return 0;
                }
            }
            return rows[i].length;
        }
    }
    return 0;
}

size_t utf8_clean(const uint8_t *bytes, size_t count, char *out)
{
    size_t used = 0;
    for (size_t at = 0; at < count;) {
        unsigned length = utf8_length(bytes + at, count - at);
        if (length == 0) {
            memcpy(out + used, "\xef\xbf\xbd", 3);
            used += 3;
            at++;
        } else {
            memcpy(out + used, bytes + at, length);
            used += length;
            at += length;
        }
    }
    return used;
}

char *console_text(const struct console *c, size_t *length)
{
    size_t head = c->total < CONSOLE_KEPT ? (size_t)c->total : CONSOLE_KEPT;
    uint64_t behind = c->total - head;
    size_t tail = behind < CONSOLE_KEPT ? (size_t)behind : CONSOLE_KEPT;
    char note[96] = "";
    if (behind > tail) {
        snprintf(note, sizeof note, "\n[orrery: %" PRIu64 " bytes of console text are not kept here]\n", behind - tail);
    }
    size_t noted = strlen(note);
    uint8_t *raw = malloc(head + noted + tail + 1);
    char *text = malloc(3 * (head + noted + tail) + 1);
    if (raw == NULL || text == NULL) {
        free(raw);
        free(text);
        return NULL;
    }
    memcpy(raw, c->head, head);
    memcpy(raw + head, note, noted);
    for (size_t i = 0; i < tail; i++) {
        raw[head + noted + i] = c->tail[(c->total - tail + i) % CONSOLE_KEPT];
    }
    *length = utf8_clean(raw, head + noted + tail, text);
    text[*length] = 0;
    free(raw);
    return text;
}

void console_state(struct state *s, struct console *c)
{
    state_section(s, "scenario.console", 1);
    state_u64_in(s, &c->total, 0, INT64_MAX, "console bytes");
    if (!state_ok(s)) {
        c->total = 0;
        return;
    }
    size_t head = c->total < CONSOLE_KEPT ? (size_t)c->total : CONSOLE_KEPT;
    uint64_t behind = c->total - head;
    state_bytes(s, c->head, head);
    /* The ring holds bytes at their number's place: it is full, or filled from place 0 on. */
    state_bytes(s, c->tail, behind < CONSOLE_KEPT ? (size_t)behind : CONSOLE_KEPT);
}
