/* The input log: everything that comes from outside a run (console keys, host actions, a debugger's writes), in the order and
 * at the cycle in which the machine took it. A live run appends and takes; a replay reads the file and takes: one way in for
 * both.
 */
#ifndef ORRERY_MACHINE_INPUTS_H
#define ORRERY_MACHINE_INPUTS_H

#include "machine/types.h"

struct inputs;
struct state;

enum { INPUT_SOURCE_MAX = 31, INPUT_BYTES_MAX = 64 << 10, INPUTS_MAX = 1 << 20, INPUTS_BYTES_MAX = 64 << 20 };

/* `source` names the place where it enters ("console", "action"): 1 to 31 of a-z 0-9 . _ - */
struct input {
    uint64_t cycle;
    const char *source; /* both borrowed from the log until it changes */
    const uint8_t *bytes;
    size_t length;
};

struct inputs *inputs_create(void);
void inputs_destroy(struct inputs *in);
/* At the end. False, and nothing done: earlier than the last, a bad source, or beyond the limits above. */
bool inputs_append(struct inputs *in, uint64_t cycle, const char *source, const void *bytes, size_t length);
size_t inputs_count(const struct inputs *in);
struct input inputs_at(const struct inputs *in, size_t index);

/* The cycle of the first input that is not yet taken; CYCLE_NEVER when all are. */
uint64_t inputs_due(const struct inputs *in);
/* Takes it if it is due at `now_cycle`. */
bool inputs_take(struct inputs *in, uint64_t now_cycle, struct input *taken);

/* Text, one input a line, freed by the caller; ends in NUL beyond *length:
 *     orrery-inputs 1
 *     1200 console "ls\x0a"
 *     end 1 0123456789abcdef0123456789abcdef     (count, XXH3-128 of all lines before) */
char *inputs_write(const struct inputs *in, size_t *length);
/* A log with nothing taken. NULL, and one line in `why` with the line's number, for anything that inputs_write() does not
 * write. */
struct inputs *inputs_read(const char *text, size_t length, char *why, size_t why_room);

/* Section "inputs": the log and how far it is taken. Nothing in a digest: what a guest sees of inputs is in the devices that
 * got them, and a replay, which knows its future, has the digest of the live run. */
void inputs_state(struct state *s, struct inputs *in);

#endif
