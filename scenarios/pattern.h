/* POSIX extended regular expressions, matched byte by byte as a console prints.
 *
 * An expression becomes an automaton of at most PATTERN_STATES states; a run is the set of states that the current line has
 * reached. So each byte costs time that is bounded by the expression alone, whatever the guest prints, lines may be of any
 * length, and a run is plain data that saves and restores. (A library's regexec() would scan the line again for every byte.)
 *
 * Bytes, not characters: "." is any byte, ranges go by byte value. `^` and `$` are the line's begin and its present end. What
 * POSIX leaves undefined ("a**" is fine, "*a", "()", "\d" are not) is refused, as are back-references and collating elements.
 */
#ifndef ORRERY_SCENARIOS_PATTERN_H
#define ORRERY_SCENARIOS_PATTERN_H

#include "scenarios/message.h"

enum { PATTERN_STATES = 1024, PATTERN_TEXT_MAX = 1024, PATTERN_WORDS = PATTERN_STATES / 64 };

struct pattern;

/* NULL with a message (no place: the caller knows it) that says what is wrong at which character of the expression. */
struct pattern *pattern_create(const char *expression, struct message *why);
void pattern_destroy(struct pattern *p);
unsigned pattern_words(const struct pattern *p); /* of a set in use; <= PATTERN_WORDS */

/* The states that a line has reached. */
struct pattern_run {
    uint64_t set[PATTERN_WORDS];
};
/* The line begins. */
void pattern_begin(const struct pattern *p, struct pattern_run *run);
/* In the middle of a line: what came before is not looked at, and `^` does not match here. */
void pattern_begin_inside(const struct pattern *p, struct pattern_run *run);
void pattern_feed(const struct pattern *p, struct pattern_run *run, uint8_t byte);
/* Does the line so far contain a match that ends at its end? */
bool pattern_matches(const struct pattern *p, const struct pattern_run *run);

#endif
