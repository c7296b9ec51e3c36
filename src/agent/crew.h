/* agent/crew.h - the threads that carry calls: started detached, counted, and waited for at the
 * end. Signals are blocked in them, so that the main thread's loop gets them all. */
#ifndef AGENT_CREW_H
#define AGENT_CREW_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "base/result.h"

struct crew {
    pthread_mutex_t lock;
    pthread_cond_t left;
    size_t count;
};

void crew_init(struct crew *c);
void crew_deinit(struct crew *c);
/* Starts run(data) on a thread named `name`. -EAGAIN when the system grants no more threads. Any
 * thread. */
int crew_start(struct crew *c, const char *name, void (*run)(void *data), void *data) MUST_CHECK;
/* Waits until all have ended. TIMEOUT. */
int crew_wait(struct crew *c, uint64_t deadline_ns) MUST_CHECK;

/* A condition variable that measures with CLOCK_MONOTONIC, as all deadlines do. */
void condition_init(pthread_cond_t *c);
/* 0 or TIMEOUT; spurious returns are 0. */
int condition_wait(pthread_cond_t *c, pthread_mutex_t *lock, uint64_t deadline_ns) MUST_CHECK;
/* 0 or TIMEOUT. */
int lock_until(pthread_mutex_t *lock, uint64_t deadline_ns) MUST_CHECK;

#endif
