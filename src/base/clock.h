/* base/clock.h - the one clock that deadlines and measurements use: CLOCK_MONOTONIC in nanoseconds. A jump of the
 * wall clock moves nothing. Any thread, does not wait. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_US 1000ULL
#define NS_PER_MS 1000000ULL
#define NS_PER_S  1000000000ULL

static inline uint64_t clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* What is left until `deadline_ns`, 0 when it has passed. */
static inline uint64_t clock_left_ns(uint64_t deadline_ns)
{
    uint64_t now = clock_ns();

    return deadline_ns > now ? deadline_ns - now : 0;
}

static inline struct timespec clock_timespec(uint64_t ns)
{
    return (struct timespec){ .tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S) };
}

#endif
