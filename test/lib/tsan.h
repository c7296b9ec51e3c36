/* test/lib/tsan.h - put before every file of a ThreadSanitizer build, and of no other.
 *
 * The runtime of gcc 12 knows pthread_mutex_timedlock and not pthread_mutex_clocklock, so what such
 * a lock guards looks like a race. Here the deadline is moved to the other clock and the known
 * function is called: good enough for a test. */
#ifndef TEST_LIB_TSAN_H
#define TEST_LIB_TSAN_H

#include <pthread.h>
#include <time.h>

static inline __attribute__((unused)) int tsan_clocklock(pthread_mutex_t *lock, clockid_t clock,
                                                         const struct timespec *deadline)
{
    struct timespec now, real;

    clock_gettime(clock, &now);
    clock_gettime(CLOCK_REALTIME, &real);
    real.tv_sec += deadline->tv_sec - now.tv_sec;
    real.tv_nsec += deadline->tv_nsec - now.tv_nsec;
    if (real.tv_nsec < 0) {
        real.tv_nsec += 1000000000;
        real.tv_sec--;
    } else if (real.tv_nsec >= 1000000000) {
        real.tv_nsec -= 1000000000;
        real.tv_sec++;
    }
    return pthread_mutex_timedlock(lock, &real);
}
#define pthread_mutex_clocklock tsan_clocklock

#endif
