/* What a probe says on its console: KTAP result lines, each with the cycle of its end.
 *
 *     KTAP version 1
 *     1..N
 *     ok 1 sint_vector_below_16 synic.sint.vector-min
 *     not ok 2 sint_auto_eoi synic.sint.auto-eoi # synic.c:41: got 0x1, want 0x0
 *     ok 3 poll synic.sint.polling # SKIP SintPollingModeAvailable is not announced
 *     not ok 4 x y.z # BROKEN no expectation ran
 *
 * A guest is hostile: lines and their number are bounded, names are checked, text is made printable, numbers must count up.
 * What is no result line is passed over; what begins like one and is none makes the report unsound, and so does a plan not
 * kept.
 */
#ifndef ORRERY_CONFORMANCE_KTAP_H
#define ORRERY_CONFORMANCE_KTAP_H

#include "conformance/verdict.h"

enum {
    KTAP_LINE_MAX = 512, /* bytes; what is longer is cut */
    KTAP_LINES_MAX = 4096,
    KTAP_NAME_MAX = 80,
    KTAP_MESSAGE_MAX = 256
};

struct ktap_line {
    enum verdict_word word;
    uint64_t cycle; /* of the line's end */
    char test[KTAP_NAME_MAX], clause[KTAP_NAME_MAX + 1];
    char message[KTAP_MESSAGE_MAX]; /* empty: none */
};
struct ktap {
    char line[KTAP_LINE_MAX];
    size_t used;
    bool version, planned;
    unsigned plan;
    struct ktap_line *lines;
    size_t count, room;
    char trouble[KTAP_MESSAGE_MAX]; /* the first that makes it unsound; empty: none */
};

/* Starts zeroed. */
void ktap_byte(struct ktap *k, uint8_t byte, uint64_t cycle);
/* The guest prints no more: is the plan kept? */
void ktap_end(struct ktap *k);
void ktap_free(struct ktap *k);

#endif
