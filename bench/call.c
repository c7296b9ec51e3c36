/* The two programs of bench/call: a service that answers, and an application that measures.
 *
 *   bench-call serve     service/bench: echo gives a block back, sink takes one and answers with
 * its length bench-call measure   application/bench: reads one command a line and answers each with
 * one line
 *
 * A command is `KIND SYSTEM BYTES CALLS`: KIND is `trip` (one thread; echo; the time of each call
 * in ns) or `rate` (two threads that share the calls; sink; one number, the ns that all took);
 * SYSTEM is `rhodes`, `socketpair` or `pipe`. Rivals are measured by the same loop in the same
 * process, moments apart, so that both see the same machine. Each thread warms up first. */
#include "rhodes/rhodes.h"
#include "rival.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define THREADS       2
#define WARM_UP_CALLS 50
#define BYTES_MAX     (1u << 20)
#define CALLS_MAX     1000000u

static const char echo_signature[] = "echo: func(data: list<u8>) -> list<u8>";
static const char sink_signature[] = "sink: func(data: list<u8>) -> u32";

static int on_echo(struct rhodes_request *request, struct rhodes_reader *arguments,
                   struct rhodes_writer *result, void *data)
{
    const void *block;
    size_t bytes;
    int r = rhodes_get_bytes(arguments, &block, &bytes);
    return r ? r : rhodes_put_bytes(result, block, bytes);
}

static int on_sink(struct rhodes_request *request, struct rhodes_reader *arguments,
                   struct rhodes_writer *result, void *data)
{
    const void *block;
    size_t bytes;
    int r = rhodes_get_bytes(arguments, &block, &bytes);
    return r ? r : rhodes_put_u32(result, (uint32_t)bytes);
}

static int serve(void)
{
    struct rhodes *session;
    int r = rhodes_open(NULL, &session);
    if (r) {
        fprintf(stderr, "bench-call: %s: %s\n", rhodes_result_name(r), rhodes_open_error());
        return 1;
    }
    r = rhodes_serve(session, echo_signature, NULL, on_echo, NULL);
    r = r ? r : rhodes_serve(session, sink_signature, NULL, on_sink, NULL);
    r = r ? r : rhodes_serve_start(session, THREADS);
    r = r ? r : rhodes_serve_wait(session);
    if (r) {
        fprintf(stderr, "bench-call: %s: %s\n", rhodes_result_name(r), rhodes_bind_error(session));
    }
    rhodes_close(session);
    return r ? 1 : 0;
}

struct bench {
    struct rhodes *session;
    struct rhodes_function *echo, *sink;
    struct rival rivals[2 * THREADS]; /* those of enum rival_kind K begin at K * THREADS */
};

/* One thread's part of a series. */
struct series {
    struct bench *bench;
    unsigned thread;
    int system; /* enum rival_kind, or -1: rhodes */
    bool echoes;
    uint32_t bytes, calls;
    uint64_t *times; /* of each call, or NULL */
    char *data, *reply;
    struct rhodes_call *call;
    pthread_barrier_t *ready;
    int result;
    char error[256];
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* 0 when the reply is what it must be, -EPROTO when not. */
static int rhodes_result_check(struct series *s)
{
    struct rhodes_reader *reader = rhodes_call_result(s->call);
    if (s->echoes) {
        const void *block;
        size_t bytes;
        int r = rhodes_get_bytes(reader, &block, &bytes);
        if (r || bytes != s->bytes) {
            return r ? r : -EPROTO;
        }
        memcpy(s->reply, block, bytes);
        return 0;
    }
    uint32_t bytes;
    int r = rhodes_get_u32(reader, &bytes);
    return r || bytes == s->bytes ? r : -EPROTO;
}

static int call_rhodes(struct series *s)
{
    struct rhodes_writer *w =
        rhodes_call_begin(s->call, s->echoes ? s->bench->echo : s->bench->sink);
    int r = rhodes_put_bytes(w, s->data, s->bytes);
    r = r ? r : rhodes_call_run(s->call, 0);
    if (r) {
        snprintf(s->error, sizeof(s->error), "%s", rhodes_call_error(s->call));
    }
    return r ? r : rhodes_result_check(s);
}

static int call_once(struct series *s)
{
    if (s->system < 0) {
        return call_rhodes(s);
    }
    struct rival *rival = &s->bench->rivals[(unsigned)s->system * THREADS + s->thread];
    return rival_call(rival, s->data, s->bytes, s->reply, s->echoes ? s->bytes : sizeof(uint32_t));
}

static int warm_up(struct series *s)
{
    for (uint32_t i = 0; i < WARM_UP_CALLS && i < s->calls; i++) {
        memset(s->data, (int)(i & 0xff), s->bytes);
        memset(s->reply, 0xff, s->bytes);
        int r = call_once(s);
        if (r) {
            return r;
        }
        if (s->echoes && memcmp(s->data, s->reply, s->bytes) != 0) {
            return -EPROTO;
        }
    }
    return 0;
}

static void *series_run(void *data)
{
    struct series *s = data;
    s->data = calloc(2, BYTES_MAX);
    s->reply = s->data + BYTES_MAX;
    s->result = s->data ? 0 : -ENOMEM;
    if (!s->result && s->system < 0) {
        s->result = rhodes_call_new(s->bench->session, &s->call);
    }
    if (!s->result) {
        s->result = warm_up(s);
    }
    pthread_barrier_wait(s->ready); /* all are warm: the measured time begins */
    pthread_barrier_wait(s->ready);
    for (uint32_t i = 0; !s->result && i < s->calls; i++) {
        uint64_t before = s->times ? now_ns() : 0;
        s->result = call_once(s);
        if (s->times) {
            s->times[i] = now_ns() - before;
        }
    }
    pthread_barrier_wait(s->ready);
    rhodes_call_free(s->call);
    free(s->data);
    return NULL;
}

static void report(const struct series *series, unsigned threads, uint64_t total_ns)
{
    for (unsigned i = 0; i < threads; i++) {
        if (series[i].result) {
            const struct series *s = &series[i];
            printf("error %s %s\n", rhodes_result_name(s->result),
                   s->error[0] ? s->error : rhodes_result_sentence(s->result));
            return;
        }
    }
    if (series->times) {
        for (uint32_t i = 0; i < series->calls; i++) {
            printf("%llu ", (unsigned long long)series->times[i]);
        }
        printf("\n");
    } else {
        printf("%llu\n", (unsigned long long)total_ns);
    }
}

static int measure_one(struct bench *b, bool trip, int system, uint32_t bytes, uint32_t calls)
{
    unsigned threads = trip ? 1 : THREADS;
    struct series series[THREADS];
    pthread_t ids[THREADS];
    pthread_barrier_t ready;
    uint64_t *times = trip ? calloc(calls, sizeof(*times)) : NULL;
    if ((trip && !times) || pthread_barrier_init(&ready, NULL, threads + 1)) {
        free(times);
        return -ENOMEM;
    }
    for (unsigned i = 0; i < threads; i++) {
        series[i] = (struct series){ .bench = b,
                                     .thread = i,
                                     .system = system,
                                     .echoes = trip,
                                     .bytes = bytes,
                                     .calls = calls / threads,
                                     .times = times,
                                     .ready = &ready };
        if (pthread_create(&ids[i], NULL, series_run, &series[i])) {
            abort(); /* the others wait at the barrier for ever */
        }
    }
    pthread_barrier_wait(&ready);
    uint64_t before = now_ns();
    pthread_barrier_wait(&ready);
    pthread_barrier_wait(&ready);
    uint64_t total_ns = now_ns() - before;
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
    }
    pthread_barrier_destroy(&ready);
    report(series, threads, total_ns);
    free(times);
    return 0;
}

static int command(struct bench *b, const char *line)
{
    char kind[16], system[16];
    unsigned bytes, calls;
    if (sscanf(line, "%15s %15s %u %u", kind, system, &bytes, &calls) != 4 || bytes == 0 ||
        bytes > BYTES_MAX || calls < THREADS || calls > CALLS_MAX) {
        return -EINVAL;
    }
    bool trip = strcmp(kind, "trip") == 0;
    int which = strcmp(system, "pipe") == 0     ? RIVAL_PIPE
                : strcmp(system, "rhodes") == 0 ? -1
                                                : RIVAL_SOCKETPAIR;
    if ((!trip && strcmp(kind, "rate") != 0) ||
        (which == RIVAL_SOCKETPAIR && strcmp(system, "socketpair") != 0)) {
        return -EINVAL;
    }
    return measure_one(b, trip, which, bytes, calls);
}

static int commands_run(struct bench *b)
{
    char line[128];
    printf("ready\n");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        int r = command(b, line);
        if (r) {
            printf("error %s %s\n", rhodes_result_name(r), rhodes_result_sentence(r));
        }
        fflush(stdout);
    }
    return 0;
}

static int rivals_start(struct bench *b)
{
    struct rival *all = b->rivals;
    for (size_t i = 0; i < 2 * THREADS; i++) {
        int r = rival_start(i < THREADS ? RIVAL_SOCKETPAIR : RIVAL_PIPE, all, i, &all[i]);
        if (r) {
            return r;
        }
    }
    return 0;
}

static int measure(void)
{
    struct bench b = { 0 };
    signal(SIGPIPE, SIG_IGN);
    int r = rivals_start(&b);
    if (r) {
        fprintf(stderr, "bench-call: %s\n", rhodes_result_sentence(r));
        return 1;
    }
    r = rhodes_open(NULL, &b.session);
    if (r) {
        fprintf(stderr, "bench-call: %s: %s\n", rhodes_result_name(r), rhodes_open_error());
        return 1;
    }
    r = rhodes_bind(b.session, "service/bench", "echo", echo_signature, NULL, &b.echo);
    r = r ? r : rhodes_bind(b.session, "service/bench", "sink", sink_signature, NULL, &b.sink);
    if (r) {
        fprintf(stderr, "bench-call: %s: %s\n", rhodes_result_name(r),
                rhodes_bind_error(b.session));
    } else {
        r = commands_run(&b);
    }
    for (size_t i = 0; i < 2 * THREADS; i++) {
        rival_stop(&b.rivals[i]);
    }
    rhodes_close(b.session);
    return r ? 1 : 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "serve") == 0) {
        return serve();
    }
    if (argc == 2 && strcmp(argv[1], "measure") == 0) {
        return measure();
    }
    fprintf(stderr, "usage: bench-call serve|measure\n");
    return 2;
}
