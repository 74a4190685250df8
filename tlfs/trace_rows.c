/* The rows of tlfs/trace.def. */
#include "tlfs/trace_ids.h"

#define TRACE_EVENT TRACE_EVENT_ROW
const struct trace_row tlfs_trace_rows[] = {
#include "tlfs/trace.def"
};
#undef TRACE_EVENT
