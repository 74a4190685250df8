/* The rows of cpu/trace.def. */
#include "cpu/trace_ids.h"

#define TRACE_EVENT TRACE_EVENT_ROW
const struct trace_row cpu_trace_rows[] = {
#include "cpu/trace.def"
};
#undef TRACE_EVENT

_Static_assert(ARRAY_COUNT(cpu_trace_rows) == CPU_TRACE_ROWS, "ids and rows come from the same lines");
