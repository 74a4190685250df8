/* Forked tasks. See workers.h. */
#define _GNU_SOURCE
#include "tools/workers.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TASK_BYTES_MAX = 64 << 20 };

struct slot {
    pid_t pid; /* 0: free */
    int fd;
    size_t task;
    char *bytes;
    size_t used, room;
    bool too_much;
};

static void run_child(const struct workers *w, size_t task, int fd, const sigset_t *mask)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigprocmask(SIG_SETMASK, mask, NULL);
    FILE *out = fdopen(fd, "w");
    if (out == NULL) {
        _exit(1);
    }
    w->work(w->owner, task, out);
    _exit(fclose(out) == 0 ? 0 : 1);
}

static bool slot_start(const struct workers *w, struct slot *s, size_t task, const sigset_t *mask, struct message *why)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return message_say(why, "cannot start a worker: %s", strerror(errno));
    }
    fflush(NULL); /* or the child would write it again */
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        run_child(w, task, ends[1], mask);
    }
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return message_say(why, "cannot start a worker: %s", strerror(errno));
    }
    *s = (struct slot){.pid = pid, .fd = ends[0], .task = task};
    return true;
}

/* The child is at its end, or past its bounds. */
static void slot_finish(const struct workers *w, struct slot *s)
{
    char lost[100] = "";
    int status = 0;
    if (s->too_much) {
        kill(s->pid, SIGKILL);
    }
    while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (s->too_much) {
        snprintf(lost, sizeof lost, "the worker wrote more than %d bytes", TASK_BYTES_MAX);
    } else if (WIFSIGNALED(status)) {
        snprintf(lost, sizeof lost, "the worker died of signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    } else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        snprintf(lost, sizeof lost, "the worker ended with status %d", WEXITSTATUS(status));
    }
    close(s->fd);
    w->done(w->owner, s->task, s->bytes, s->used, lost[0] != 0 ? lost : NULL);
    free(s->bytes);
    *s = (struct slot){.pid = 0};
}

static void slot_read(const struct workers *w, struct slot *s)
{
    if (s->room - s->used < 65536) {
        size_t room = s->room == 0 ? 1 << 17 : 2 * s->room;
        char *bytes = realloc(s->bytes, room);
        s->too_much = bytes == NULL || room > TASK_BYTES_MAX;
        s->bytes = bytes != NULL ? bytes : s->bytes;
        s->room = bytes != NULL ? room : s->room;
    }
    ssize_t got = s->too_much ? 0 : read(s->fd, s->bytes + s->used, s->room - s->used);
    if (got < 0 && errno == EINTR) {
        return;
    }
    if (got <= 0) {
        slot_finish(w, s);
    } else {
        s->used += (size_t)got;
    }
}

static void slots_kill(struct slot *slots, unsigned jobs)
{
    for (unsigned i = 0; i < jobs; i++) {
        if (slots[i].pid != 0) {
            kill(slots[i].pid, SIGKILL);
            waitpid(slots[i].pid, NULL, 0);
            close(slots[i].fd);
            free(slots[i].bytes);
        }
    }
}

/* Waits until a child has something to say. False: a signal came. */
static bool wait_and_read(const struct workers *w, struct slot *slots, unsigned jobs, int signals)
{
    struct pollfd fds[WORKERS_JOBS_MAX + 1];
    for (unsigned i = 0; i < jobs; i++) {
        fds[i] = (struct pollfd){.fd = slots[i].pid != 0 ? slots[i].fd : -1, .events = POLLIN};
    }
    fds[jobs] = (struct pollfd){.fd = signals, .events = POLLIN};
    if (poll(fds, jobs + 1, -1) < 0) {
        return true; /* EINTR; all else comes back */
    }
    for (unsigned i = 0; i < jobs; i++) {
        if (fds[i].revents != 0) {
            slot_read(w, &slots[i]);
        }
    }
    struct signalfd_siginfo info; /* taken off, or it would end us when signals are let through again */
    return fds[jobs].revents == 0 || read(signals, &info, sizeof info) < 0;
}

bool workers_run(const struct workers *w, bool *interrupted, struct message *why)
{
    struct slot slots[WORKERS_JOBS_MAX] = {{.pid = 0}};
    unsigned jobs = w->jobs < 1 ? 1 : w->jobs > WORKERS_JOBS_MAX ? WORKERS_JOBS_MAX : w->jobs, busy = 1;
    sigset_t wanted, before;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGINT);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGHUP);
    sigprocmask(SIG_BLOCK, &wanted, &before);
    int signals = signalfd(-1, &wanted, SFD_CLOEXEC);
    bool ok = true;
    *interrupted = false;
    for (size_t next = 0; ok && !*interrupted && (next < w->tasks || busy > 0);) {
        busy = 0;
        for (unsigned i = 0; ok && i < jobs; i++) {
            if (slots[i].pid == 0 && next < w->tasks) {
                ok = slot_start(w, &slots[i], next++, &before, why);
            }
            busy += slots[i].pid != 0;
        }
        *interrupted = ok && busy > 0 && !wait_and_read(w, slots, jobs, signals);
    }
    slots_kill(slots, jobs);
    if (signals >= 0) {
        close(signals);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return ok;
}
