/* Ids of tlfs/trace.def. */
#ifndef ORRERY_TLFS_TRACE_IDS_H
#define ORRERY_TLFS_TRACE_IDS_H

#include "machine/trace_rows.h"

#define TRACE_EVENT TRACE_EVENT_ID
enum tlfs_trace {
    TRACE_TLFS_BEFORE_FIRST = TRACE_BLOCK_TLFS - 1,
#include "tlfs/trace.def"
    TRACE_TLFS_END
};
#undef TRACE_EVENT

extern const struct trace_row tlfs_trace_rows[];
enum { TLFS_TRACE_ROWS = TRACE_TLFS_END - TRACE_BLOCK_TLFS };

#endif
