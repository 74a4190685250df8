/* Makes ids and rows from a folder's trace.def. Use, in the folder's header:
 *
 *     #define TRACE_EVENT TRACE_EVENT_ID
 *     enum cpu_trace { TRACE_CPU_BASE = TRACE_BLOCK_CPU - 1,
 *     #include "cpu/trace.def"
 *     };
 *     #undef TRACE_EVENT
 *
 * and in one .c of the folder:
 *
 *     #define TRACE_EVENT TRACE_EVENT_ROW
 *     const struct trace_row cpu_trace_rows[] = {
 *     #include "cpu/trace.def"
 *     };
 *     #undef TRACE_EVENT
 *
 * A trace.def line is  TRACE_EVENT(name, "help", F(u32, msr), F(x64, value))  (fields separated by commas). */
#ifndef ORRERY_MACHINE_TRACE_ROWS_H
#define ORRERY_MACHINE_TRACE_ROWS_H

#include "machine/trace.h"

#define TRACE_TYPE_u8 1, false
#define TRACE_TYPE_u16 2, false
#define TRACE_TYPE_u32 4, false
#define TRACE_TYPE_u64 8, false
#define TRACE_TYPE_x8 1, true
#define TRACE_TYPE_x16 2, true
#define TRACE_TYPE_x32 4, true
#define TRACE_TYPE_x64 8, true

#define TRACE_EVENT_ID(name, help, ...) TRACE_ID_##name,
#define TRACE_EVENT_ROW(name_, help_, ...)                                                                                     \
    {.name = #name_,                                                                                                           \
     .help = help_,                                                                                                            \
     .id = TRACE_ID_##name_,                                                                                                   \
     .field_count = sizeof((struct trace_field[]){__VA_ARGS__}) / sizeof(struct trace_field),                                  \
     .fields = {__VA_ARGS__}},
/* clang-format off */
#define F(type, field) {#field, TRACE_TYPE_##type}
/* clang-format on */

#endif
