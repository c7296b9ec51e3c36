/* base/result.h - the three kinds of answer, and the tools to pass them on.
 *
 * Every function that can go wrong returns int and is marked MUST_CHECK:
 *   0         done;
 *   negative  -errno, a failure: the machine or a peer let us down; passed up unchanged, traced once by failed();
 *   positive  enum rhodes_verdict: the rules said no; handled by the direct caller. */
#ifndef BASE_RESULT_H
#define BASE_RESULT_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "rhodes/verdict.h"

#define MUST_CHECK               __attribute__((warn_unused_result))
#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))

/* CLEANUP(x_freep) releases a local when it goes out of scope; x_freep takes the address of the local. */
#define CLEANUP(function) __attribute__((cleanup(function)))

/* Returns a failure unchanged, after tracing where it began (at debug level). Use it once, where the -errno is made. */
#define failed(r) result_negative(result_failed((r), __FILE__, __LINE__))
int result_failed(int r, const char *file, int line);

/* A failure can never look like success, not even to a static analyser that does not know that errno is positive. */
static inline int result_negative(int r)
{
    return r < 0 ? r : -EIO;
}

/* Closes *fd unless it is negative, and sets it to -1. For CLEANUP(fd_closep). */
static inline void fd_closep(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

/* For CLEANUP(memory_freep) on any pointer got from malloc. */
static inline void memory_freep(void *address)
{
    void **pointer = address;
    free(*pointer);
    *pointer = NULL;
}

#endif
