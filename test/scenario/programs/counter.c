/* A callee that writes down each execution before it answers, so that a scenario can count them
 * after any crash.
 *
 *     counter FILE [THREADS]
 *
 * hit appends (caller, number) to FILE in one write and answers the number; nap sleeps; long
 * answers so many bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rhodes/rhodes.h>

static int file = -1;
static struct rhodes *session;

static uint32_t hit_ms;

static void wait_ms(uint32_t ms)
{
    struct timespec left = { ms / 1000, (long)(ms % 1000) * 1000000 };

    while (ms && nanosleep(&left, &left) < 0 && errno == EINTR) {
    }
}

static int on_hit(struct rhodes_request *request, struct rhodes_reader *arguments,
                  struct rhodes_writer *result, void *data)
{
    uint64_t record[2];
    int r = rhodes_get_u64(arguments, &record[0]);

    r = r ? r : rhodes_get_u64(arguments, &record[1]);
    if (r || write(file, record, sizeof(record)) != sizeof(record)) {
        return rhodes_request_fail(request, 1, "the execution could not be written down");
    }
    wait_ms(hit_ms);
    return rhodes_put_u64(result, record[1]);
}

static int on_nap(struct rhodes_request *request, struct rhodes_reader *arguments,
                  struct rhodes_writer *result, void *data)
{
    uint32_t ms;
    int r = rhodes_get_u32(arguments, &ms);

    if (r) {
        return r;
    }
    wait_ms(ms);
    return rhodes_put_u32(result, ms);
}

static int on_long(struct rhodes_request *request, struct rhodes_reader *arguments,
                   struct rhodes_writer *result, void *data)
{
    const void *block;
    size_t bytes;
    int r = rhodes_get_bytes(arguments, &block, &bytes);

    return r ? r : rhodes_put_bytes(result, block, bytes);
}

static void on_term(int number)
{
    rhodes_serve_stop(session);
}

int main(int count, char **arguments)
{
    if (count < 2) {
        return 2;
    }
    hit_ms = getenv("HIT_MS") ? (uint32_t)atoi(getenv("HIT_MS")) : 0;
    file = open(arguments[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0 || rhodes_open(NULL, &session)) {
        fprintf(stderr, "counter: %s\n", file < 0 ? strerror(errno) : rhodes_open_error());
        return 1;
    }
    signal(SIGTERM, on_term);
    if (rhodes_serve(session, "hit: func(caller: u64, number: u64) -> u64", NULL, on_hit, NULL) ||
        rhodes_serve(session, "nap: func(ms: u32) -> u32", NULL, on_nap, NULL) ||
        rhodes_serve(session, "long: func(block: list<u8>) -> list<u8>", NULL, on_long, NULL) ||
        rhodes_serve_start(session, count > 2 ? (unsigned)atoi(arguments[2]) : 4)) {
        fprintf(stderr, "counter: %s\n", rhodes_bind_error(session));
        return 1;
    }
    if (rhodes_serve_wait(session)) {
        return 1;
    }
    rhodes_close(session);
    return 0;
}
