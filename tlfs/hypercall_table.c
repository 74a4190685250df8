/* The table of hypercalls: TLFS 6.0b appendix A. Sorted by code. A code that is not here is unknown. */
#include "tlfs/calls.h"

enum { SIMPLE = HYPERCALL_SIMPLE, REP = HYPERCALL_REP };
#define NO_PRIVILEGE HV_FEATURES

/* clang-format off: a table */
const struct hypercall_row hv_hypercall_rows[] = {
    /* code, name, TLFS 6.0b, since, until, caller, privilege, hints; then: variable header, kind, input and output bytes, those
     * of an element, check, run */
    {0x0008, "HvCallNotifyLongSpinWait", "§14.5.1", EDITION_2_0, 0, CALLER_ANY, NO_PRIVILEGE, 0, false, SIMPLE, 8, 0, 0, 0,
     NULL, call_notify_long_spin_wait},
    {0x005c, "HvCallPostMessage", "§11.11.1", EDITION_2_0, 0, CALLER_ANY, HV_PostMessages, 0, false, SIMPLE, 256, 0, 0, 0, NULL,
     call_post_message},
    {0x005d, "HvCallSignalEvent", "§11.11.2", EDITION_2_0, 0, CALLER_ANY, HV_SignalEvents, 0, false, SIMPLE, 8, 0, 0, 0, NULL,
     call_signal_event},
};
/* clang-format on */
const size_t hv_hypercall_row_count = ARRAY_COUNT(hv_hypercall_rows);
