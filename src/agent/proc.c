/* /proc/PID/stat. The second field is the program's name in parentheses and may hold anything,
 * parentheses and spaces too, so the fields are counted from the last ')'. */
#include "agent/proc.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define ANCESTORS_MAX 64 /* how deep a program's helpers may be nested */

int proc_parse(const char *text, struct proc *ret)
{
    const char *at = strrchr(text, ')');
    unsigned long long start;
    int parent;
    char state;

    if (!at ||
        sscanf(at + 1,
               " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &state, &parent, &start) != 3) {
        return RHODES_INVALID;
    }
    *ret = (struct proc){ .parent = parent, .start = start, .state = state };
    return 0;
}

int proc_read(int pid, struct proc *ret)
{
    char path[32], text[1024];
    CLEANUP(fd_closep) int fd = -1;
    ssize_t n;

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n < 0) {
        return -errno;
    }
    text[n] = 0;
    return proc_parse(text, ret);
}

bool proc_descends(int pid, int ancestor)
{
    struct proc p;

    for (int i = 0; i < ANCESTORS_MAX && pid > 1; i++) {
        if (pid == ancestor) {
            return true;
        }
        if (proc_read(pid, &p)) {
            return false;
        }
        pid = p.parent;
    }
    return false;
}
