/* measure SECONDS COMMAND...: runs a command and says what it took: "CPU-SECONDS PEAK-RSS-KIB STATUS" on descriptor 3.
 *
 * CPU seconds are user and system time of the process and of the children that it waited for (wait4). STATUS is the exit code,
 * or 128 + the signal that ended it. After SECONDS of CPU time the command is ended (SIGXCPU).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: measure SECONDS COMMAND [ARGUMENT...] 3>RESULT\n");
        return 2;
    }
    pid_t child = fork();
    if (child < 0) {
        perror("measure: fork");
        return 2;
    }
    if (child == 0) {
        rlim_t limit = strtoul(argv[1], NULL, 10);
        setrlimit(RLIMIT_CPU, &(struct rlimit){limit, limit});
        close(3);
        execvp(argv[2], argv + 2);
        fprintf(stderr, "measure: %s: cannot be run\n", argv[2]);
        _exit(127);
    }
    int status;
    struct rusage usage;
    while (wait4(child, &status, 0, &usage) < 0) {
        if (errno != EINTR) {
            perror("measure: wait4");
            return 2;
        }
    }
    dprintf(3, "%.4f %ld %d\n", seconds(usage.ru_utime) + seconds(usage.ru_stime), usage.ru_maxrss,
            WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    return 0;
}
