/* Threads for calls. One per caller's channel and per incoming lane, not a pool with a queue: a
 * call then wakes exactly one thread on its way through this process, and a call that hangs holds
 * up nobody else. They are cheap because they are few (each list has its limit) and their stacks
 * are small; large buffers live in the objects they serve. */
#include "agent/crew.h"

#include <signal.h>
#include <time.h>

#include "base/clock.h"

#define STACK_BYTES (256u << 10)

struct start {
    struct crew *crew;
    const char *name;
    void (*run)(void *data);
    void *data;
};

void condition_init(pthread_cond_t *c)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(c, &attributes);
    pthread_condattr_destroy(&attributes);
}

int condition_wait(pthread_cond_t *c, pthread_mutex_t *lock, uint64_t deadline_ns)
{
    struct timespec end = clock_timespec(deadline_ns);

    return pthread_cond_timedwait(c, lock, &end) == ETIMEDOUT ? RHODES_TIMEOUT : 0;
}

int lock_until(pthread_mutex_t *lock, uint64_t deadline_ns)
{
    struct timespec end = clock_timespec(deadline_ns);

    return pthread_mutex_clocklock(lock, CLOCK_MONOTONIC, &end) ? RHODES_TIMEOUT : 0;
}

void crew_init(struct crew *c)
{
    c->count = 0;
    pthread_mutex_init(&c->lock, NULL);
    condition_init(&c->left);
}

void crew_deinit(struct crew *c)
{
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->left);
}

static void crew_count(struct crew *c, int change)
{
    pthread_mutex_lock(&c->lock);
    c->count += (size_t)change;
    pthread_cond_broadcast(&c->left);
    pthread_mutex_unlock(&c->lock);
}

static void *crew_run(void *data)
{
    struct start start = *(struct start *)data;

    free(data);
    pthread_setname_np(pthread_self(), start.name);
    start.run(start.data);
    crew_count(start.crew, -1);
    return NULL;
}

int crew_start(struct crew *c, const char *name, void (*run)(void *data), void *data)
{
    struct start *start = malloc(sizeof(*start));
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_t thread;
    int r;

    if (!start) {
        return failed(-ENOMEM);
    }
    *start = (struct start){ c, name, run, data };
    crew_count(c, 1);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&thread, &attributes, crew_run, start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (r) {
        crew_count(c, -1);
        free(start);
        return failed(-r);
    }
    return 0;
}

int crew_wait(struct crew *c, uint64_t deadline_ns)
{
    int r = 0;

    pthread_mutex_lock(&c->lock);
    while (c->count && !r) {
        r = condition_wait(&c->left, &c->lock, deadline_ns);
    }
    r = c->count ? RHODES_TIMEOUT : 0;
    pthread_mutex_unlock(&c->lock);
    return r;
}
