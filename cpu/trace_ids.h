/* Ids of cpu/trace.def. */
#ifndef ORRERY_CPU_TRACE_IDS_H
#define ORRERY_CPU_TRACE_IDS_H

#include "machine/trace_rows.h"

#define TRACE_EVENT TRACE_EVENT_ID
enum cpu_trace {
    TRACE_CPU_BEFORE_FIRST = TRACE_BLOCK_CPU - 1,
#include "cpu/trace.def"
    TRACE_CPU_END
};
#undef TRACE_EVENT

extern const struct trace_row cpu_trace_rows[];
enum { CPU_TRACE_ROWS = TRACE_CPU_END - TRACE_BLOCK_CPU };

#endif
