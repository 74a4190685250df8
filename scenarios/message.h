/* One line that says what is wrong in somebody's input, where, and what would be right.
 *
 * The first message wins: a reader that goes on after a failure cannot hide the cause. Text that comes from outside is quoted
 * with everything unprintable escaped, so that a message is always one line and never drives a terminal.
 */
#ifndef ORRERY_SCENARIOS_MESSAGE_H
#define ORRERY_SCENARIOS_MESSAGE_H

#include "machine/types.h"

struct message {
    char text[768]; /* empty: nothing is wrong */
    bool placed;    /* begins with file, line and column */
};

static inline bool message_set(const struct message *m)
{
    return m->text[0] != 0;
}
/* "text", or "file:line:column: text" when `line` is not 0. Both return false, for `return message_...`. */
bool message_say(struct message *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool message_at(struct message *m, const char *file, unsigned line, unsigned column, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* `"text"` with unprintable bytes as \xNN, cut after some 60 bytes. */
struct quoted {
    char text[280];
};
struct quoted quote(const char *text, size_t bytes);
struct quoted quote_text(const char *text);

#endif
