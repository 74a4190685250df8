/* The user's side of a run: the guest's console as it prints, a progress line, and Ctrl-C.
 *
 * On a terminal the guest's control bytes are shown, not obeyed (but newline, carriage return, tab, backspace): a guest is
 * hostile, and a terminal does what it is told. Into a pipe or file its bytes go unchanged. Host clocks are read here and
 * nowhere deeper.
 */
#ifndef ORRERY_TOOLS_TERMINAL_H
#define ORRERY_TOOLS_TERMINAL_H

#include "scenarios/files.h"
#include "scenarios/runner.h"

struct terminal {
    bool show;                   /* print the guest's console to stdout */
    bool filter;                 /* stdout is a terminal */
    bool progress;               /* stderr is a terminal */
    struct file_writer *console; /* raw bytes; may be NULL */
    int signals;                 /* signalfd, or -1 */
    bool interrupted;
    bool at_line_start, progress_shown;
    uint64_t last_poll_ns, last_progress_ns, start_cpu_ns, start_instructions;
};

void terminal_open(struct terminal *t, bool quiet);
void terminal_close(struct terminal *t);
/* A run begins. */
void terminal_begin(struct terminal *t);
/* CPU seconds of this process since terminal_begin(). */
double terminal_cpu_seconds(const struct terminal *t);
/* The guest prints no more: ends an unfinished line, clears the progress line. */
void terminal_end(struct terminal *t);

/* For struct run_options; `owner` is the terminal. */
void terminal_console(void *owner, unsigned port, uint8_t byte);
bool terminal_go_on(void *owner, const struct runner *r);

#endif
