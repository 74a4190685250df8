/* What happened around a failure: its scenario again, with an ear to the trace.
 *
 * A window holds the last events before a result line's end, from the end of the test before it, and a few after it. Left out
 * are bytes on their way to the serial line, which are the report itself, and the local APIC's MMIO, which has events of its
 * own. The run is the same as without listening.
 */
#ifndef ORRERY_CONFORMANCE_TRACE_WINDOW_H
#define ORRERY_CONFORMANCE_TRACE_WINDOW_H

#include "conformance/plan.h"

enum { WINDOW_BEFORE = 96, WINDOW_AFTER = 6, WINDOW_TEXT = 240, WINDOWS_MAX = 256 };

struct window_wish {
    uint64_t from_cycle, at_cycle;
};
struct window_lines {
    char lines[WINDOW_BEFORE + WINDOW_AFTER][WINDOW_TEXT];
    unsigned count, after; /* of `count`, the last `after` came later than at_cycle */
};

/* Runs the ask once for all its windows (at most WINDOWS_MAX). False with a message. */
bool trace_windows(const struct ask *a, const struct window_wish *wishes, size_t count, struct window_lines *windows,
                   struct message *why);

#endif
