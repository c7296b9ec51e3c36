/* An application in C that calls a service: its arguments are numbers, and it prints their summary.
 *
 *   rhodes run --as application/report -- ./client 3 4 5 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <rhodes/rhodes.h>

static int print_summary(struct rhodes_call *call)
{
    struct rhodes_reader *result = rhodes_call_result(call);
    uint32_t count = 0;
    int64_t total = 0;
    bool present = false;
    double mean = 0;
    int r = rhodes_get_begin(result);

    r = r ? r : rhodes_get_u32(result, &count);
    r = r ? r : rhodes_get_s64(result, &total);
    r = r ? r : rhodes_get_option(result, &present);
    r = r || !present ? r : rhodes_get_f64(result, &mean);
    if (r == 0) {
        printf("%" PRIu32 " numbers, %" PRId64 " in all", count, total);
        printf(present ? ", %g on average\n" : "\n", mean);
    }
    return r;
}

static int summarize(struct rhodes *session, char **numbers, int count)
{
    struct rhodes_function *function;
    struct rhodes_call *call;
    struct rhodes_writer *arguments;
    int r = rhodes_bind(session, "service/statistics", "summarize", NULL, NULL, &function);

    if (r != 0) {
        fprintf(stderr, "client: %s: %s\n", rhodes_result_name(r), rhodes_bind_error(session));
        return r;
    }
    r = rhodes_call_new(session, &call); /* may be used again for the next call */
    if (r != 0) {
        return r;
    }
    arguments = rhodes_call_begin(call, function);
    rhodes_put_list(arguments, (uint32_t)count);
    for (int i = 0; i < count; i++) {
        rhodes_put_s64(arguments, strtoll(numbers[i], NULL, 10));
    }
    rhodes_put_end(arguments); /* an error sticks and comes out of rhodes_call_run */
    r = rhodes_call_run(call, 0);
    if (r == 0) {
        r = print_summary(call);
    } else {
        fprintf(stderr, "client: %s: %s\n", rhodes_result_name(r), rhodes_call_error(call));
    }
    rhodes_call_free(call);
    return r;
}

int main(int argc, char **argv)
{
    struct rhodes *session;
    int r = rhodes_open(NULL, &session);

    if (r != 0) {
        fprintf(stderr, "client: %s\n", rhodes_open_error());
        return 1;
    }
    r = summarize(session, argv + 1, argc - 1);
    rhodes_close(session);
    return r ? 1 : 0;
}
