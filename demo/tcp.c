/* tcp: the program of service/tcp, a TCP/IP stack (lwIP) in user space over driver/netdriver.
 *
 * It serves connect, send, recv, close and stat. All of the kernel that a connection touches is the
 * agents' channels: the frames come from the driver's recv and go to its xmit. Its address comes
 * from the manifest: TCP_ADDRESS, TCP_NETMASK and (optional) TCP_GATEWAY. A call that waits ends
 * shortly before its deadline, so that its error arrives as an answer. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stack_inner.h"
#include "tcp_wire.h"

#define RECV_BYTES_MAX  65536u
#define SERVING_THREADS 8u
#define ANSWER_NS_MAX   50000000ull

struct service {
    struct wire *wire;
    struct rhodes *rhodes;
    _Atomic uint64_t connects, sends, recvs, closes;
};

/* What is left of the request's time, less what the answer needs on its way. */
static uint64_t deadline_before(const struct rhodes_request *q)
{
    uint64_t deadline = rhodes_request_deadline_ns(q), now = stack_now_ns();
    uint64_t left = deadline > now ? deadline - now : 0;

    return deadline - (left / 4 < ANSWER_NS_MAX ? left / 4 : ANSWER_NS_MAX);
}

static int answer(struct rhodes_request *q, int r, const struct stack_why *why)
{
    return r == 0 ? 0 : rhodes_request_fail(q, r, "%s", why->text);
}

static int serve_connect(struct rhodes_request *q, struct rhodes_reader *arguments,
                         struct rhodes_writer *result, void *data)
{
    struct service *service = data;
    struct stack_why why;
    struct stack *stack;
    const char *text = NULL;
    char host[64] = "";
    size_t bytes = 0;
    uint16_t port = 0;
    uint32_t connection = 0;
    int r = rhodes_get_string(arguments, &text, &bytes);

    r = r != 0 ? r : rhodes_get_u16(arguments, &port);
    if (r != 0) {
        return rhodes_request_fail(q, r, "connect takes host and port");
    }
    service->connects++;
    stack = wire_stack(service->wire, deadline_before(q), &why);
    if (stack == NULL) {
        return answer(q, -ENETDOWN, &why);
    }
    if (bytes >= sizeof(host)) {
        return rhodes_request_fail(q, -EINVAL,
                                   "the host is too long: only IPv4 addresses are known");
    }
    memcpy(host, text, bytes);
    r = stack_connect(stack, host, port, deadline_before(q), &connection, &why);
    return r == 0 ? rhodes_put_u32(result, connection) : answer(q, r, &why);
}

static int serve_send(struct rhodes_request *q, struct rhodes_reader *arguments,
                      struct rhodes_writer *result, void *data)
{
    struct service *service = data;
    struct stack_why why;
    struct stack *stack;
    const void *block = NULL;
    uint32_t connection = 0;
    size_t bytes = 0, sent = 0;
    int r = rhodes_get_u32(arguments, &connection);

    r = r != 0 ? r : rhodes_get_bytes(arguments, &block, &bytes);
    if (r != 0) {
        return rhodes_request_fail(q, r, "send takes connection and data");
    }
    service->sends++;
    stack = wire_stack(service->wire, deadline_before(q), &why);
    r = stack == NULL
            ? -ENETDOWN
            : stack_send(stack, connection, block, bytes, deadline_before(q), &sent, &why);
    return r == 0 ? rhodes_put_u32(result, (uint32_t)sent) : answer(q, r, &why);
}

static int serve_recv(struct rhodes_request *q, struct rhodes_reader *arguments,
                      struct rhodes_writer *result, void *data)
{
    struct service *service = data;
    struct stack_why why;
    struct stack *stack;
    uint32_t connection = 0, max = 0;
    size_t bytes = 0;
    uint8_t *block;
    int r = rhodes_get_u32(arguments, &connection);

    r = r != 0 ? r : rhodes_get_u32(arguments, &max);
    if (r != 0 || max == 0) {
        return rhodes_request_fail(q, r != 0 ? r : -EINVAL,
                                   "recv takes connection and max, 1 or more");
    }
    service->recvs++;
    stack = wire_stack(service->wire, deadline_before(q), &why);
    if (stack == NULL) {
        return answer(q, -ENETDOWN, &why);
    }
    max = max < RECV_BYTES_MAX ? max : RECV_BYTES_MAX;
    block = malloc(max);
    if (block == NULL) {
        return rhodes_request_fail(q, -ENOMEM, "no memory for %u bytes", max);
    }
    r = stack_recv(stack, connection, block, max, deadline_before(q), &bytes, &why);
    r = r == 0 ? rhodes_put_bytes(result, block, bytes) : answer(q, r, &why);
    free(block);
    return r;
}

static int serve_close(struct rhodes_request *q, struct rhodes_reader *arguments,
                       struct rhodes_writer *result, void *data)
{
    struct service *service = data;
    struct stack_why why;
    struct stack *stack;
    uint32_t connection = 0;
    int r = rhodes_get_u32(arguments, &connection);

    (void)result;
    if (r != 0) {
        return rhodes_request_fail(q, r, "close takes connection");
    }
    service->closes++;
    stack = wire_stack(service->wire, deadline_before(q), &why);
    return answer(q, stack == NULL ? -ENETDOWN : stack_close(stack, connection, &why), &why);
}

static int serve_stat(struct rhodes_request *q, struct rhodes_reader *arguments,
                      struct rhodes_writer *result, void *data)
{
    struct service *service = data;
    struct stack_counters stacked = { 0 };
    struct wire_counters wired;
    struct stack_why why;
    struct stack *stack = wire_stack(service->wire, 0, &why);
    int r;

    (void)q;
    (void)arguments;
    if (stack != NULL) {
        stack_count(stack, &stacked);
    }
    wire_count(service->wire, &wired);
    r = rhodes_put_begin(result);
    r = r != 0 ? r : rhodes_put_u32(result, stacked.connections);
    const uint64_t fields[] = { service->connects, service->sends,   service->recvs,
                                service->closes,   stacked.bytes_in, stacked.bytes_out,
                                wired.recv_calls,  wired.xmit_calls, wired.frames_in,
                                wired.frames_out,  wired.dropped,    wired.refused };
    for (size_t i = 0; r == 0 && i < sizeof(fields) / sizeof(fields[0]); i++) {
        r = rhodes_put_u64(result, fields[i]);
    }
    return r != 0 ? r : rhodes_put_end(result);
}

static const char stat_types[] = "record tcp-stat { connections: u32, connects: u64, sends: u64, "
                                 "recvs: u64, closes: u64, bytes-in: u64, "
                                 "bytes-out: u64, recv-calls: u64, xmit-calls: u64, frames-in: "
                                 "u64, frames-out: u64, dropped: u64, "
                                 "refused: u64 }";

static int serve_all(struct service *service)
{
    static const struct {
        const char *signature;
        rhodes_handler *handler;
    } functions[] = {
        { "connect: func(host: string, port: u16) -> u32", serve_connect },
        { "send: func(connection: u32, data: list<u8>) -> u32", serve_send },
        { "recv: func(connection: u32, max: u32) -> list<u8>", serve_recv },
        { "close: func(connection: u32)", serve_close },
        { "stat: func() -> tcp-stat", serve_stat },
    };

    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        int r = rhodes_serve(service->rhodes, functions[i].signature, stat_types,
                             functions[i].handler, service);

        if (r != 0) {
            fprintf(stderr, "tcp: cannot serve '%s': %s\n", functions[i].signature,
                    rhodes_bind_error(service->rhodes));
            return r;
        }
    }
    return rhodes_serve_start(service->rhodes, SERVING_THREADS);
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

static int run(struct service *service, const struct stack_options *options)
{
    pthread_t stopper;
    int r = wire_start(service->rhodes, options, &service->wire);

    if (r != 0) {
        fprintf(stderr, "tcp: cannot start: %s\n", strerror(-r));
        return r;
    }
    r = pthread_create(&stopper, NULL, wait_for_stop, service->rhodes);
    if (r == 0) {
        r = serve_all(service);
        r = r != 0 ? r : rhodes_serve_wait(service->rhodes);
        pthread_cancel(stopper);
        pthread_join(stopper, NULL);
    }
    wire_stop(service->wire);
    return r;
}

int main(void)
{
    struct stack_options options = { .address = getenv("TCP_ADDRESS"),
                                     .netmask = getenv("TCP_NETMASK"),
                                     .gateway = getenv("TCP_GATEWAY") };
    struct service service = { 0 };
    sigset_t stop;
    int r;

    if (options.address == NULL || options.netmask == NULL) {
        fprintf(stderr, "tcp: set TCP_ADDRESS and TCP_NETMASK in the manifest's run.env\n");
        return 2;
    }
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    pthread_sigmask(SIG_BLOCK, &stop, NULL);
    r = rhodes_open(NULL, &service.rhodes);
    if (r != 0) {
        fprintf(stderr, "tcp: %s\n", rhodes_open_error());
        return 1;
    }
    r = run(&service, &options);
    rhodes_close(service.rhodes);
    return r == 0 ? 0 : 1;
}
