/* Ids of machine/trace.def. */
#ifndef ORRERY_MACHINE_TRACE_IDS_H
#define ORRERY_MACHINE_TRACE_IDS_H

#include "machine/trace_rows.h"

#define TRACE_EVENT TRACE_EVENT_ID
enum machine_trace {
    TRACE_MACHINE_BEFORE_FIRST = TRACE_BLOCK_MACHINE - 1,
#include "machine/trace.def"
    TRACE_MACHINE_END
};
#undef TRACE_EVENT

extern const struct trace_row machine_trace_rows[];
enum { MACHINE_TRACE_ROWS = TRACE_MACHINE_END - TRACE_BLOCK_MACHINE };

#endif
