/* The five words of judgement.
 *
 * pass, fail; not-supported: the profile makes no such claim; broken: the test could not run; known: a failure that is
 * expected, with its cause on record.
 */
#ifndef ORRERY_CONFORMANCE_VERDICT_H
#define ORRERY_CONFORMANCE_VERDICT_H

#include "scenarios/message.h"

enum verdict_word { VERDICT_PASS, VERDICT_FAIL, VERDICT_NOT_SUPPORTED, VERDICT_BROKEN, VERDICT_KNOWN, VERDICT_WORDS };
extern const char *const verdict_names[VERDICT_WORDS];

/* false: no such word. */
bool verdict_by_name(const char *name, enum verdict_word *word);
/* One clause, several answers: a failure outweighs all, then what is broken, then a pass. */
enum verdict_word verdict_worse(enum verdict_word a, enum verdict_word b);

#endif
