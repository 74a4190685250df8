/* The user's side of a run. See terminal.h. Signals are blocked and read from a descriptor, so nothing here is global. */
#include "tools/terminal.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

void terminal_open(struct terminal *t, bool quiet)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    *t = (struct terminal){
        .show = !quiet,
        .filter = isatty(STDOUT_FILENO),
        .progress = !quiet && isatty(STDERR_FILENO),
        .signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC),
        .at_line_start = true,
    };
    if (t->signals < 0) { /* then Ctrl-C ends the program as usual */
        sigprocmask(SIG_UNBLOCK, &set, NULL);
    }
}

void terminal_close(struct terminal *t)
{
    if (t->signals >= 0) {
        close(t->signals);
    }
}

void terminal_begin(struct terminal *t)
{
    t->start_cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    t->last_progress_ns = clock_ns(CLOCK_MONOTONIC_COARSE);
}

double terminal_cpu_seconds(const struct terminal *t)
{
    return (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - t->start_cpu_ns) / 1e9;
}

static void progress_clear(struct terminal *t)
{
    if (t->progress_shown) {
        fputs("\r\033[K", stderr);
        t->progress_shown = false;
    }
}

void terminal_end(struct terminal *t)
{
    progress_clear(t);
    if (t->show && !t->at_line_start) {
        putchar('\n');
        t->at_line_start = true;
    }
    fflush(stdout);
}

void terminal_console(void *owner, unsigned port, uint8_t byte)
{
    struct terminal *t = owner;
    (void)port;
    if (t->console != NULL) {
        file_writer_put(t->console, &byte, 1);
    }
    if (!t->show) {
        return;
    }
    progress_clear(t);
    bool control = byte < 0x20 || byte == 0x7f;
    if (!t->filter || !control || byte == '\n' || byte == '\r' || byte == '\t' || byte == '\b') {
        putchar(byte);
    } else {
        putchar('^');
        putchar(byte ^ 0x40);
    }
    t->at_line_start = byte == '\n';
    if (byte == '\n') {
        fflush(stdout);
    }
}

static void progress_show(struct terminal *t, const struct runner *r)
{
    uint64_t cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - t->start_cpu_ns, instructions = runner_instructions(r);
    fprintf(stderr, "\r%.3f s virtual, %" PRIu64 " M instructions, %" PRIu64 " MIPS\033[K",
            (double)runner_cycles(r) / (double)runner_scenario(r)->model.tsc_hz, instructions / 1000000,
            cpu_ns > 0 ? instructions * 1000 / cpu_ns : 0);
    t->progress_shown = true;
}

bool terminal_go_on(void *owner, const struct runner *r)
{
    enum { PROGRESS_NS = 500000000 };
    struct terminal *t = owner;
    uint64_t now = clock_ns(CLOCK_MONOTONIC_COARSE);
    if (now == t->last_poll_ns) { /* steps may be tiny; the host's tick is often enough */
        return !t->interrupted;
    }
    t->last_poll_ns = now;
    struct signalfd_siginfo info;
    if (t->signals >= 0 && read(t->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        t->interrupted = true;
    }
    if (t->show) {
        fflush(stdout); /* an unfinished line, such as a prompt */
    }
    if (t->progress && t->at_line_start && now - t->last_progress_ns >= PROGRESS_NS) {
        t->last_progress_ns = now;
        progress_show(t, r);
    }
    return !t->interrupted;
}
