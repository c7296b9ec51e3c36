/* agent/proc.h - what /proc says of a process: its parent and when it started. A number and a start
 * time together name a process for good, though numbers are used again. Any thread; reads small
 * files of the kernel, which do not wait. */
#ifndef AGENT_PROC_H
#define AGENT_PROC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/result.h"

struct proc {
    int parent;
    uint64_t start; /* clock ticks since boot */
    char state;     /* 'R', 'S', ..., 'Z' */
};

int proc_read(int pid, struct proc *ret) MUST_CHECK; /* -ENOENT, -ESRCH: no such process */
/* Reads the text of /proc/PID/stat. INVALID. */
int proc_parse(const char *text, struct proc *ret) MUST_CHECK;
/* Is `pid` this process or one that it started, directly or through others? */
bool proc_descends(int pid, int ancestor);

#endif
