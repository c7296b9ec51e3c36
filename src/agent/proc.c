/* /proc/PID/stat. The second field is the program's name in parentheses and may hold anything,
 * parentheses and spaces too, so the fields are counted from the last ')'. */
#include "agent/proc.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define ANCESTORS_MAX 64 /* how deep a program's helpers may be nested */

enum { FIELD_PARENT = 4, FIELD_START = 22 }; /* proc(5) counts from 1 */

/* The number at *at, which moves behind it. False when there is none. */
static bool number_take(const char **at, unsigned long long *ret)
{
    char *end;

    errno = 0;
    *ret = strtoull(*at, &end, 10); /* fields that may be negative are not asked for by value */
    if (end == *at || errno) {
        return false;
    }
    *at = end;
    return true;
}

int proc_parse(const char *text, struct proc *ret)
{
    const char *at = strrchr(text, ')');
    unsigned long long parent = 0, field = 0;

    if (!at || at[1] != ' ' || !at[2] || at[3] != ' ') {
        return RHODES_INVALID;
    }
    ret->state = at[2];
    at += 3;
    if (!number_take(&at, &parent) || parent > INT_MAX) {
        return RHODES_INVALID;
    }
    for (int i = FIELD_PARENT + 1; i <= FIELD_START; i++) {
        if (!number_take(&at, &field)) {
            return RHODES_INVALID;
        }
    }
    ret->parent = (int)parent;
    ret->start = field;
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
