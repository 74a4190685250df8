/* Ids of devices/trace.def. */
#ifndef ORRERY_DEVICES_TRACE_IDS_H
#define ORRERY_DEVICES_TRACE_IDS_H

#include "machine/trace_rows.h"

#define TRACE_EVENT TRACE_EVENT_ID
enum devices_trace {
    TRACE_DEVICES_BEFORE_FIRST = TRACE_BLOCK_DEVICES - 1,
#include "devices/trace.def"
    TRACE_DEVICES_END
};
#undef TRACE_EVENT

extern const struct trace_row devices_trace_rows[];
enum { DEVICES_TRACE_ROWS = TRACE_DEVICES_END - TRACE_BLOCK_DEVICES };

#endif
