/* Messages about input. See message.h. */
#include "scenarios/message.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void one_line(char *text)
{
    for (; *text != 0; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte < 0x20 || byte == 0x7f) {
            *text = ' ';
        }
    }
}

bool message_say(struct message *m, const char *format, ...)
{
    if (!message_set(m)) {
        va_list args;
        va_start(args, format);
        vsnprintf(m->text, sizeof m->text, format, args);
        va_end(args);
        one_line(m->text);
    }
    return false;
}

bool message_at(struct message *m, const char *file, unsigned line, unsigned column, const char *format, ...)
{
    if (!message_set(m)) {
        m->placed = true;
        /* A long path must not push the reason out of the line. */
        size_t length = strlen(file), shown = length > 250 ? 250 : length;
        int used =
            snprintf(m->text, sizeof m->text, "%s%s:%u:%u: ", shown < length ? "..." : "", file + length - shown, line, column);
        va_list args;
        va_start(args, format);
        vsnprintf(m->text + used, sizeof m->text - (size_t)used, format, args);
        va_end(args);
        one_line(m->text);
    }
    return false;
}

struct quoted quote(const char *text, size_t bytes)
{
    enum { SHOWN = 60 };
    struct quoted q;
    size_t at = 0;
    q.text[at++] = '"';
    for (size_t i = 0; i < bytes && i < SHOWN; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte >= 0x20 && byte < 0x7f) {
            q.text[at++] = (char)byte;
        } else {
            at += (size_t)snprintf(q.text + at, 5, "\\x%02x", byte);
        }
    }
    snprintf(q.text + at, sizeof q.text - at, bytes > SHOWN ? "...\"" : "\"");
    return q;
}

struct quoted quote_text(const char *text)
{
    return quote(text, strlen(text));
}
