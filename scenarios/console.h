/* What the guest has printed, kept for the result: the first and the last CONSOLE_KEPT bytes; the loss between is counted.
 * Plain data, part of a saved run, so that a restored run reports the whole text. */
#ifndef ORRERY_SCENARIOS_CONSOLE_H
#define ORRERY_SCENARIOS_CONSOLE_H

#include "machine/state.h"

enum { CONSOLE_KEPT = 1 << 20 };

struct console {
    uint64_t total;
    uint8_t *head; /* the first CONSOLE_KEPT bytes */
    uint8_t *tail; /* a ring of those behind: byte number n at n % CONSOLE_KEPT */
};

bool console_create(struct console *c);
void console_destroy(struct console *c);
void console_put(struct console *c, uint8_t byte);
/* The text as UTF-8 (invalid bytes as U+FFFD), with one line in the middle that states how many bytes are lost, if any.
 * Freed by the caller; NULL when the host has no memory. */
char *console_text(const struct console *c, size_t *length);
void console_state(struct state *s, struct console *c);

/* Any bytes as UTF-8, invalid ones as U+FFFD; returns the length. `out` has room for 3 * bytes. */
size_t utf8_clean(const uint8_t *bytes, size_t count, char *out);

#endif
