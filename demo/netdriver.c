/* netdriver: the program of driver/netdriver. It serves recv, xmit and info on top of
 * hardware/nic0's rx, tx and info.
 *
 * Each serving thread has its own reusable call, so that a recv that waits for frames never delays
 * an xmit. An error of the card is passed on with its verdict in the sentence; nothing is retried
 * here, because only the one who asked knows how long it is worth waiting. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rhodes/rhodes.h>

#define CARD            "hardware/nic0"
#define SERVING_THREADS 3u /* one waits for frames, one sends, one answers info */
#define WAIT_MS_MAX     1000u
#define ANSWER_NS       20000000ull

struct driver {
    struct rhodes *rhodes;
    struct rhodes_function *rx, *tx, *info;
    _Atomic uint64_t rx_calls, tx_calls, rx_frames, tx_frames, failed;
    pthread_key_t call; /* each thread's struct rhodes_call */
};

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* What is left for a call to the card, less what the answer to our caller needs. 1 ns when all is
 * over. */
static uint64_t time_left(const struct rhodes_request *q)
{
    uint64_t deadline = rhodes_request_deadline_ns(q), now = now_ns();
    uint64_t left = deadline > now ? deadline - now : 0;

    return left > 2 * ANSWER_NS ? left - ANSWER_NS : left / 2 + 1;
}

static void call_free(void *call)
{
    rhodes_call_free(call);
}

static struct rhodes_call *call_mine(struct driver *d)
{
    struct rhodes_call *call = pthread_getspecific(d->call);

    if (call == NULL && rhodes_call_new(d->rhodes, &call) == 0) {
        pthread_setspecific(d->call, call);
    }
    return call;
}

static int card_run(struct driver *d, struct rhodes_request *q, struct rhodes_call *call, int r)
{
    r = r != 0 ? r : rhodes_call_run(call, time_left(q));
    if (r != 0) {
        d->failed++;
        return rhodes_request_fail(q, r, CARD ": %s: %s", rhodes_result_name(r),
                                   rhodes_call_error(call));
    }
    return 0;
}

static int serve_recv(struct rhodes_request *q, struct rhodes_reader *arguments,
                      struct rhodes_writer *result, void *data)
{
    struct driver *d = data;
    struct rhodes_call *call = call_mine(d);
    struct rhodes_writer *w;
    struct rhodes_reader *frames;
    uint32_t max = 0, wait_ms = 0, count = 0;
    int r = rhodes_get_u32(arguments, &max);

    r = r != 0 ? r : rhodes_get_u32(arguments, &wait_ms);
    if (r != 0 || call == NULL) {
        return rhodes_request_fail(q, r != 0 ? r : -ENOMEM, "recv takes max and wait-ms");
    }
    w = rhodes_call_begin(call, d->rx);
    r = rhodes_put_u32(w, max);
    r = r != 0 ? r : rhodes_put_u32(w, wait_ms < WAIT_MS_MAX ? wait_ms : WAIT_MS_MAX);
    r = card_run(d, q, call, r);
    if (r != 0) {
        return r;
    }
    d->rx_calls++;
    frames = rhodes_call_result(call);
    r = rhodes_get_list(frames, &count);
    r = r != 0 ? r : rhodes_put_list(result, count);
    for (uint32_t i = 0; r == 0 && i < count; i++) {
        const void *frame;
        size_t bytes;

        r = rhodes_get_bytes(frames, &frame, &bytes);
        r = r != 0 ? r : rhodes_put_bytes(result, frame, bytes);
    }
    d->rx_frames += count;
    return r != 0 ? r : rhodes_put_end(result);
}

static int serve_xmit(struct rhodes_request *q, struct rhodes_reader *arguments,
                      struct rhodes_writer *result, void *data)
{
    struct driver *d = data;
    struct rhodes_call *call = call_mine(d);
    struct rhodes_writer *w;
    uint32_t count = 0, accepted = 0;
    int r = rhodes_get_list(arguments, &count);

    if (r != 0 || call == NULL) {
        return rhodes_request_fail(q, r != 0 ? r : -ENOMEM, "xmit takes frames");
    }
    w = rhodes_call_begin(call, d->tx);
    r = rhodes_put_list(w, count);
    for (uint32_t i = 0; r == 0 && i < count; i++) {
        const void *frame;
        size_t bytes;

        r = rhodes_get_bytes(arguments, &frame, &bytes);
        r = r != 0 ? r : rhodes_put_bytes(w, frame, bytes);
    }
    r = r != 0 ? r : rhodes_put_end(w);
    r = card_run(d, q, call, r);
    if (r != 0) {
        return r;
    }
    r = rhodes_get_u32(rhodes_call_result(call), &accepted);
    d->tx_calls++;
    d->tx_frames += accepted;
    return r != 0 ? r : rhodes_put_u32(result, accepted);
}

static int put_counters(struct driver *d, struct rhodes_writer *result)
{
    const uint64_t fields[] = { d->rx_calls, d->rx_frames, d->tx_calls, d->tx_frames, d->failed };
    int r = 0;

    for (size_t i = 0; r == 0 && i < sizeof(fields) / sizeof(fields[0]); i++) {
        r = rhodes_put_u64(result, fields[i]);
    }
    return r != 0 ? r : rhodes_put_end(result);
}

static int serve_info(struct rhodes_request *q, struct rhodes_reader *arguments,
                      struct rhodes_writer *result, void *data)
{
    struct driver *d = data;
    struct rhodes_call *call = call_mine(d);
    struct rhodes_reader *card;
    const void *mac = NULL;
    const char *name = NULL;
    size_t mac_bytes = 0, name_bytes = 0;
    uint32_t mtu = 0;
    int r;

    (void)arguments;
    if (call == NULL) {
        return rhodes_request_fail(q, -ENOMEM, "no memory for a call");
    }
    (void)rhodes_call_begin(call, d->info);
    r = card_run(d, q, call, 0);
    if (r != 0) {
        return r;
    }
    card = rhodes_call_result(call);
    r = rhodes_get_begin(card);
    r = r != 0 ? r : rhodes_get_bytes(card, &mac, &mac_bytes);
    r = r != 0 ? r : rhodes_get_u32(card, &mtu);
    r = r != 0 ? r : rhodes_get_string(card, &name, &name_bytes);
    r = r != 0 ? r : rhodes_put_begin(result);
    r = r != 0 ? r : rhodes_put_bytes(result, mac, mac_bytes);
    r = r != 0 ? r : rhodes_put_u32(result, mtu);
    r = r != 0 ? r : rhodes_put_string(result, name, name_bytes);
    return r != 0 ? r : put_counters(d, result);
}

static const char info_types[] =
    "record driver-info { mac: list<u8>, mtu: u32, name: string, rx-calls: u64, rx-frames: u64, "
    "tx-calls: u64, tx-frames: u64, failed: u64 }";

static int card_bind(struct driver *d)
{
    int r = rhodes_bind(d->rhodes, CARD, "rx", "rx: func(max: u32, wait-ms: u32) -> list<list<u8>>",
                        NULL, &d->rx);

    r = r != 0 ? r
               : rhodes_bind(d->rhodes, CARD, "tx", "tx: func(frames: list<list<u8>>) -> u32", NULL,
                             &d->tx);
    r = r != 0 ? r : rhodes_bind(d->rhodes, CARD, "info", NULL, NULL, &d->info);
    if (r != 0) {
        fprintf(stderr, "netdriver: cannot bind " CARD ": %s: %s\n", rhodes_result_name(r),
                rhodes_bind_error(d->rhodes));
    }
    return r;
}

static int serve_all(struct driver *d)
{
    int r = rhodes_serve(d->rhodes, "recv: func(max: u32, wait-ms: u32) -> list<list<u8>>", NULL,
                         serve_recv, d);

    r = r != 0 ? r
               : rhodes_serve(d->rhodes, "xmit: func(frames: list<list<u8>>) -> u32", NULL,
                              serve_xmit, d);
    r = r != 0 ? r
               : rhodes_serve(d->rhodes, "info: func() -> driver-info", info_types, serve_info, d);
    if (r != 0) {
        fprintf(stderr, "netdriver: cannot serve: %s\n", rhodes_bind_error(d->rhodes));
        return r;
    }
    return rhodes_serve_start(d->rhodes, SERVING_THREADS);
}

/* SIGTERM is taken by a thread of its own, so that a stop is an ordinary function call. */
static void *wait_for_stop(void *data)
{
    sigset_t stop;
    int signal_number;

    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    sigwait(&stop, &signal_number);
    rhodes_serve_stop(data);
    return NULL;
}

int main(void)
{
    struct driver d = { 0 };
    pthread_t stopper;
    sigset_t stop;
    int r;

    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    pthread_sigmask(SIG_BLOCK, &stop, NULL);
    if (pthread_key_create(&d.call, call_free) != 0 || rhodes_open(NULL, &d.rhodes) != 0) {
        fprintf(stderr, "netdriver: %s\n", rhodes_open_error());
        return 1;
    }
    r = pthread_create(&stopper, NULL, wait_for_stop, d.rhodes);
    if (r == 0) {
        r = card_bind(&d);
        r = r != 0 ? r : serve_all(&d);
        r = r != 0 ? r : rhodes_serve_wait(d.rhodes);
        pthread_cancel(stopper);
        pthread_join(stopper, NULL);
    }
    rhodes_close(d.rhodes);
    return r == 0 ? 0 : 1;
}
