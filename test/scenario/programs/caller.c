/* A caller that makes numbered calls on several threads and writes down how each ended.
 *
 *     caller CALLEE OUTCOMES THREADS CALLS TIMEOUT_MS [GAP_US [BLOCK_BYTES]]
 *
 * OUTCOMES gets one line a call: thread, number, the result's name, how long it took in us, its
 * sentence. Every 16th call carries a block of BLOCK_BYTES there and back (long) instead of
 * counting (hit), when that is not 0. CALLS 0: until SIGTERM. With NAP_MS in the environment the
 * calls are nap(NAP_MS) instead.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rhodes/rhodes.h>

static struct rhodes *session;
static struct rhodes_function *hit, *block, *nap;
static uint32_t nap_ms;
static FILE *outcomes;
static uint64_t calls, timeout_ns, gap_us, block_bytes;
static _Atomic bool stop;
static _Atomic bool broken;

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void write_down(uint64_t thread, uint64_t number, const char *what, uint64_t took_us,
                       const char *why)
{
    flockfile(outcomes);
    fprintf(outcomes, "%llu %llu %s %llu %s\n", (unsigned long long)thread,
            (unsigned long long)number, what, (unsigned long long)took_us, why);
    fflush(outcomes);
    funlockfile(outcomes);
}

/* There and back: is it the same block? */
static int call_block(struct rhodes_call *c, uint64_t number)
{
    unsigned char *made = malloc(block_bytes);
    const void *got;
    size_t bytes;
    int r;

    if (!made) {
        return -1;
    }
    for (uint64_t i = 0; i < block_bytes; i++) {
        made[i] = (unsigned char)(i * 31 + number);
    }
    rhodes_put_bytes(rhodes_call_begin(c, block), made, block_bytes);
    r = rhodes_call_run(c, timeout_ns);
    if (!r) {
        r = rhodes_get_bytes(rhodes_call_result(c), &got, &bytes);
        if (r || bytes != block_bytes || memcmp(got, made, bytes) != 0) {
            broken = true;
        }
    }
    free(made);
    return r;
}

static int call_hit(struct rhodes_call *c, uint64_t thread, uint64_t number)
{
    struct rhodes_writer *w = rhodes_call_begin(c, hit);
    uint64_t got;
    int r;

    rhodes_put_u64(w, thread);
    rhodes_put_u64(w, number);
    r = rhodes_call_run(c, timeout_ns);
    if (!r && (rhodes_get_u64(rhodes_call_result(c), &got) || got != number)) {
        broken = true; /* the answer to another call */
    }
    return r;
}

static int call_nap(struct rhodes_call *c)
{
    rhodes_put_u32(rhodes_call_begin(c, nap), nap_ms);
    return rhodes_call_run(c, timeout_ns);
}

static void *thread_run(void *data)
{
    uint64_t thread = (uint64_t)(uintptr_t)data;
    struct rhodes_call *c;

    if (rhodes_call_new(session, &c)) {
        broken = true;
        return NULL;
    }
    for (uint64_t number = 1; !stop && (!calls || number <= calls); number++) {
        uint64_t began = now_us();
        bool blocks = block_bytes && number % 16 == 0;
        int r = nap_ms ? call_nap(c) : blocks ? call_block(c, number) : call_hit(c, thread, number);

        write_down(thread, number, blocks && !r ? "BLOCK" : rhodes_result_name(r), now_us() - began,
                   r ? rhodes_call_error(c) : "");
        if (gap_us) {
            struct timespec gap = { (time_t)(gap_us / 1000000), (long)(gap_us % 1000000) * 1000 };

            nanosleep(&gap, NULL);
        }
    }
    rhodes_call_free(c);
    return NULL;
}

static void on_term(int number)
{
    stop = true;
}

static int bind_all(const char *callee)
{
    for (int i = 0; i < 500 && !stop; i++) {
        struct timespec pause = { 0, 10000000 };

        if (rhodes_bind(session, callee, "hit", NULL, NULL, &hit) == 0 &&
            rhodes_bind(session, callee, "nap", NULL, NULL, &nap) == 0 &&
            rhodes_bind(session, callee, "long", NULL, NULL, &block) == 0) {
            return 0;
        }
        nanosleep(&pause, NULL);
    }
    fprintf(stderr, "caller: %s\n", rhodes_bind_error(session));
    return 1;
}

int main(int count, char **arguments)
{
    pthread_t threads[64];
    int n;

    if (count < 6 || (n = atoi(arguments[3])) < 1 || n > 64) {
        return 2;
    }
    calls = strtoull(arguments[4], NULL, 10);
    timeout_ns = strtoull(arguments[5], NULL, 10) * 1000000;
    gap_us = count > 6 ? strtoull(arguments[6], NULL, 10) : 0;
    block_bytes = count > 7 ? strtoull(arguments[7], NULL, 10) : 0;
    nap_ms = getenv("NAP_MS") ? (uint32_t)atoi(getenv("NAP_MS")) : 0;
    outcomes = fopen(arguments[2], "ae");
    signal(SIGTERM, on_term);
    if (!outcomes || rhodes_open(NULL, &session)) {
        fprintf(stderr, "caller: %s\n", rhodes_open_error());
        return 1;
    }
    if (bind_all(arguments[1])) {
        return 1;
    }
    for (int i = 0; i < n; i++) {
        pthread_create(&threads[i], NULL, thread_run, (void *)(uintptr_t)(i + 1));
    }
    for (int i = 0; i < n; i++) {
        pthread_join(threads[i], NULL);
    }
    fprintf(outcomes, "end\n");
    fclose(outcomes);
    rhodes_close(session);
    return broken ? 1 : 0;
}
