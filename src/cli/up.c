/* rhodes up: starts the center as a daemon and waits until it is ready. Starting twice is no error:
 * whoever finds a center that answers is done, also when two people start it at the same moment and
 * the slower center gives way. */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "cli/center.h"
#include "cli/companion.h"
#include "cli/options.h"
#include "cli/show.h"
#include "cli/text.h"

#define UP_WAIT_NS     (20 * NS_PER_S)
#define LOG_TAIL_BYTES 2048

static _Noreturn void center_become(const char *path, const char *home, const char *store,
                                    int log_fd)
{
    char *const argv[] = {
        (char *)(uintptr_t) "rhodes-center", (char *)(uintptr_t) "--home", (char *)(uintptr_t)home,
        (char *)(uintptr_t) "--store",       (char *)(uintptr_t)store,     NULL
    };
    int null = open("/dev/null", O_RDONLY);

    if (setsid() < 0 || null < 0 || dup2(null, STDIN_FILENO) < 0 ||
        dup2(log_fd, STDOUT_FILENO) < 0 || dup2(log_fd, STDERR_FILENO) < 0 ||
        close_range(STDERR_FILENO + 1, ~0u, 0) < 0 || chdir("/") < 0) {
        _exit(EXIT_FAILED);
    }
    execv(path, argv);
    dprintf(STDERR_FILENO, "rhodes-center cannot be started: %s\n", rhodes_result_sentence(-errno));
    _exit(EXIT_FAILED);
}

/* The end of what the center logged since `from`, for a start that failed. */
static void log_show(struct cli *cli, int log_fd, off_t from)
{
    char tail[LOG_TAIL_BYTES + 1];
    off_t end = lseek(log_fd, 0, SEEK_END),
          begin = end - LOG_TAIL_BYTES > from ? end - LOG_TAIL_BYTES : from;
    ssize_t n = pread(log_fd, tail, LOG_TAIL_BYTES, begin);
    char *rest = NULL;

    tail[n > 0 ? n : 0] = 0;
    for (char *line = strtok_r(tail, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        say(cli->err, "  %s", line);
    }
}

/* Waits until the center answers, or the process ends and no other center answers either. */
static int ready_wait(struct cli *cli, pid_t pid)
{
    uint64_t began_ns = clock_ns(), shown = 0;
    bool ended = false, ready = false;

    while (!ready && !ended && clock_ns() - began_ns < UP_WAIT_NS) {
        struct timespec pause = { .tv_nsec = 5000000 };

        ended = waitpid(pid, NULL, WNOHANG) == pid;
        ready = center_ready(cli);
        progress_show(cli, "waiting for the center", began_ns, &shown);
        if (!ready && !ended) {
            nanosleep(&pause, NULL);
        }
    }
    for (int i = 0; ended && !ready && i < 100;
         i++) { /* it gave way to another that is not ready yet */
        struct timespec pause = { .tv_nsec = 5000000 };

        nanosleep(&pause, NULL);
        ready = center_ready(cli);
    }
    progress_end(cli, shown);
    return ready ? 0 : ended ? -ESRCH : -ETIMEDOUT;
}

static int center_start(struct cli *cli, const char *store)
{
    CLEANUP(memory_freep) char *path = NULL;
    CLEANUP(fd_closep) int directory = -1;
    CLEANUP(fd_closep) int log_fd = -1;
    off_t from;
    pid_t pid;
    int r = companion_find(cli, "rhodes-center", X_OK, &path);

    if (r) {
        return r;
    }
    r = home_open_dir(cli->home, "center", &directory);
    if (!r) {
        log_fd = openat(directory, "center.log",
                        O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
        r = log_fd < 0 ? -errno : 0;
    }
    if (r) {
        complain(cli, 0, "%s/center/center.log cannot be written: %s", cli->home,
                 rhodes_result_sentence(r));
        say(cli->err, "  next: choose another place with --home DIR or RHODES_HOME");
        return EXIT_FAILED;
    }
    from = lseek(log_fd, 0, SEEK_END);
    fflush(NULL);
    pid = fork();
    if (pid < 0) {
        return complain(cli, EXIT_FAILED, "no process can be started: %s",
                        rhodes_result_sentence(-errno));
    }
    if (pid == 0) {
        center_become(path, cli->home, store, log_fd);
    }
    r = ready_wait(cli, pid);
    if (r) {
        complain(cli, 0,
                 r == -ESRCH ? "the center ended instead of getting ready; its log says:"
                             : "the center is not ready after 20 s; its log says:");
        log_show(cli, log_fd, from);
        say(cli->err, "  the whole log: %s/center/center.log", cli->home);
        return EXIT_FAILED;
    }
    return 0;
}

int up_run(struct cli *cli, const struct arguments *arguments)
{
    const char *store = option_value(arguments, "store", NULL), *running;
    CLEANUP(answer_deinit) struct answer answer = { 0 };
    bool was_ready = center_ready(cli);
    int r = was_ready ? 0 : center_start(cli, store ? store : "sqlite");

    if (!r) {
        r = center_get(cli, "/v1/status", &answer);
    }
    if (r) {
        return r;
    }
    running = json_text(json_object_get(answer.json, "store"), "driver");
    if (store && *running && strcmp(store, running) != 0) {
        return complain(
            cli, EXIT_CONFLICT,
            "a center is up at %s with the store %s, not %s; stop it first with: rhodes down",
            cli->home, running, store);
    }
    report(cli, "%s at %s (pid %llu, store %s, revision %llu)",
           was_ready ? "the center is up already" : "the center is up", cli->home,
           (unsigned long long)json_number(answer.json, "pid"), running,
           (unsigned long long)json_number(answer.json, "revision"));
    return EXIT_DONE;
}
