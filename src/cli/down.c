/* rhodes down: asks the center to end and waits until its process is gone, which is the only proof
 * that it let go of the store. The process is held by a pidfd from before the request, so that a
 * number taken over by another does not fool it. */
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "cli/center.h"
#include "cli/options.h"
#include "cli/problem.h"
#include "cli/show.h"
#include "cli/text.h"

#define DOWN_WAIT_NS (30 * NS_PER_S)

static bool gone(struct cli *cli, int process)
{
    struct pollfd p = { .fd = process, .events = POLLIN };

    if (process >= 0) {
        return poll(&p, 1, 50) > 0;
    }
    poll(NULL, 0, 20); /* of another process namespace: ask the socket instead */
    return !center_ready(cli);
}

static int gone_wait(struct cli *cli, int process)
{
    uint64_t began_ns = clock_ns(), shown = 0;
    bool done = false;

    while (!done && clock_ns() - began_ns < DOWN_WAIT_NS) {
        done = gone(cli, process);
        progress_show(cli, "waiting for the agents and the center to end", began_ns, &shown);
    }
    progress_end(cli, shown);
    return done ? EXIT_DONE
                : complain(cli, EXIT_FAILED,
                           "the center was asked to end 30 s ago and still runs; its log: "
                           "%s/center/center.log",
                           cli->home);
}

int down_run(struct cli *cli, const struct arguments *arguments)
{
    CLEANUP(answer_deinit) struct answer status = { 0 };
    CLEANUP(answer_deinit) struct answer stopped = { 0 };
    CLEANUP(fd_closep) int process = -1;
    struct request stop = { .method = "POST", .path = "/v1/stop" };
    int r;

    if (!center_ready(cli)) {
        struct cli silent = *cli;

        silent.err = fopen("/dev/null", "we");
        r = silent.err ? center_get(&silent, "/livez", &status) : EXIT_FAILED;
        if (silent.err) {
            fclose(silent.err);
        }
        answer_deinit(&status);
        if (r == EXIT_NO_CENTER) {
            report(cli, "no center is up at %s", cli->home);
            return EXIT_DONE;
        }
    }
    r = center_get(cli, "/v1/status", &status);
    if (r) {
        return r;
    }
    process = (int)syscall(SYS_pidfd_open, (pid_t)json_number(status.json, "pid"), 0);
    r = center_ask(cli, &stop, &stopped);
    if (r) {
        return r;
    }
    if (stopped.status / 100 != 2) {
        return answer_check(cli, &stopped, NULL);
    }
    r = gone_wait(cli, process);
    if (!r) {
        report(cli, "the center at %s is down", cli->home);
    }
    return r;
}
