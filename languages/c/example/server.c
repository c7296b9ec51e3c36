/* A service in C: two functions, served on two threads until it is asked to stop.
 *
 *   rhodes apply -f manifest.yaml
 *   rhodes run --as service/statistics -- ./server */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

#include <rhodes/rhodes.h>

static struct rhodes *session; /* for the signal handler */

static void on_signal(int number)
{
    (void)number;
    rhodes_serve_stop(session); // NOLINT(bugprone-signal-handler): made for signal handlers
}

/* Arguments are read in order, the result is written in order; the types have been checked before
 * this runs. */
static int summarize(struct rhodes_request *request, struct rhodes_reader *arguments,
                     struct rhodes_writer *result, void *data)
{
    int64_t total = 0, value;
    uint32_t count;
    int r = rhodes_get_list(arguments, &count);

    (void)request;
    (void)data;
    for (uint32_t i = 0; r == 0 && i < count; i++) {
        r = rhodes_get_s64(arguments, &value);
        if (r == 0 && __builtin_add_overflow(total, value, &total)) {
            return rhodes_request_fail(request, 1,
                                       "the sum of these %" PRIu32 " numbers does not fit", count);
        }
    }
    if (r != 0) {
        return r;
    }
    rhodes_put_begin(result); /* a record: its members in order */
    rhodes_put_u32(result, count);
    rhodes_put_s64(result, total);
    rhodes_put_option(result, count > 0);
    if (count > 0) {
        rhodes_put_f64(result, (double)total / count);
    }
    return rhodes_put_end(result); /* an error sticks: looking at the last is enough */
}

static int divide(struct rhodes_request *request, struct rhodes_reader *arguments,
                  struct rhodes_writer *result, void *data)
{
    int64_t a, b;
    int r = rhodes_get_s64(arguments, &a);

    (void)data;
    r = r ? r : rhodes_get_s64(arguments, &b);
    if (r != 0) {
        return r;
    }
    if (b == 0 ||
        (a == INT64_MIN && b == -1)) { /* the caller gets CALLEE_FAILED and this sentence */
        return rhodes_request_fail(request, 1, "%" PRId64 " cannot be divided by %" PRId64, a, b);
    }
    return rhodes_put_s64(result, a / b);
}

int main(void)
{
    int r = rhodes_open(NULL, &session); /* the agent that started this program */

    if (r != 0) {
        fprintf(stderr, "server: %s\n", rhodes_open_error());
        return 1;
    }
    r = rhodes_serve(session, "summarize: func(numbers: list<s64>) -> summary",
                     "record summary { count: u32, total: s64, mean: option<f64> }", summarize,
                     NULL);
    r = r ? r : rhodes_serve(session, "divide: func(a: s64, b: s64) -> s64", NULL, divide, NULL);
    r = r ? r : rhodes_serve_start(session, 2);
    if (r != 0) {
        fprintf(stderr, "server: %s\n", rhodes_bind_error(session));
        rhodes_close(session);
        return 1;
    }
    signal(SIGTERM, on_signal); /* how an agent stops its program */
    signal(SIGINT, on_signal);
    r = rhodes_serve_wait(session);
    rhodes_close(session); /* running functions end first */
    return r ? 1 : 0;
}
