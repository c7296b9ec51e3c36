/* rhodes-center: the governance center's program. Reads its options, goes into the background
 * unless told not to, and runs the center. In the background the program that was started returns
 * only when the center answers, or with the reason why it does not; so whoever starts it need not
 * poll. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/log.h"
#include "center/center.h"

struct options {
    char home[HOME_PATH_BYTES_MAX];
    struct center_options center;
    bool foreground;
};

static const char usage[] =
    "rhodes-center [options]: the governance center of Rhodes\n"
    "  --home DIR            where its state lives (default: RHODES_HOME, XDG_STATE_HOME/rhodes, "
    "~/.local/state/rhodes)\n"
    "  --store sqlite|memory where rules are kept (default: sqlite; memory keeps nothing)\n"
    "  --log-revisions N     how many of the last revisions can be watched from (default: 100000)\n"
    "  --foreground          stay in the foreground and log to standard error\n"
    "  --help, --version\n"
    "In the background it logs to DIR/center/center.log. It returns when the center answers on "
    "DIR/center/center.sock.\n";

static int number_read(const char *text, uint64_t *ret)
{
    char *end;

    errno = 0;
    *ret = strtoull(text, &end, 10);
    return errno || *end || end == text || *text == '-' || !*ret || *ret > INT64_MAX
               ? RHODES_INVALID
               : 0;
}

/* 0 to go on, 1 when it is done (help), 2 for wrong usage. */
static int options_read(int count, char **arguments, struct options *o)
{
    static const struct option table[] = {
        { "home", required_argument, NULL, 'd' },
        { "store", required_argument, NULL, 's' },
        { "log-revisions", required_argument, NULL, 'l' },
        { "foreground", no_argument, NULL, 'f' },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'v' },
        { NULL, 0, NULL, 0 },
    };
    int which;

    while ((which = getopt_long(count, arguments, "", table, NULL)) != -1) {
        switch (which) {
        case 'd':
            if (setenv("RHODES_HOME", optarg, 1) < 0) {
                return 2;
            }
            break;
        case 's':
            o->center.driver = store_driver_find(optarg);
            if (!o->center.driver) {
                fprintf(stderr,
                        "rhodes-center: there is no store '%s'; there are sqlite and memory\n",
                        optarg);
                return 2;
            }
            break;
        case 'l':
            if (number_read(optarg, &o->center.log_revisions_max) != 0) {
                fprintf(stderr, "rhodes-center: --log-revisions takes a number from 1\n");
                return 2;
            }
            break;
        case 'f':
            o->foreground = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return 1;
        case 'v':
            puts("rhodes-center " RHODES_VERSION);
            return 1;
        default:
            fputs(usage, stderr);
            return 2;
        }
    }
    if (optind < count) {
        fprintf(stderr, "rhodes-center: unexpected argument '%s'\n%s", arguments[optind], usage);
        return 2;
    }
    return 0;
}

/* Runs the center; says on `ready_fd` (-1: nowhere) that it is ready by a byte 0, or why it is not
 * by a sentence. */
static int center_main(const struct options *o, int ready_fd)
{
    static struct center center;
    char why[CENTER_WHY_BYTES] = "";
    int r;

    log_open("center");
    r = center_init(&center, &o->center, why);
    if (r && ready_fd >= 0) {
        r = write(ready_fd, why, strlen(why)) < 0 ? -errno : r;
    } else if (r) {
        fprintf(stderr, "rhodes-center: %s (%s)\n", why, rhodes_result_sentence(r));
    }
    if (!r && ready_fd >= 0) {
        r = write(ready_fd, "", 1) == 1 ? 0 : -errno;
        close(ready_fd);
    }
    if (!r) {
        r = center_run(&center);
    }
    center_deinit(&center);
    return r ? 1 : 0;
}

/* The child: away from the terminal, with its log in a file. Returns 0 or says why not on standard
 * error. */
static int child_detach(const char *home)
{
    CLEANUP(fd_closep) int directory = -1;
    CLEANUP(fd_closep) int log = -1;
    CLEANUP(fd_closep) int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    int r = home_open_dir(home, "center", &directory);

    if (!r) {
        log = openat(directory, "center.log",
                     O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    }
    if (r || log < 0 || nothing < 0) {
        fprintf(stderr, "rhodes-center: cannot write %s/center/center.log: %s\n", home,
                strerror(r ? -r : errno));
        return -1;
    }
    setsid();
    return dup2(nothing, 0) < 0 || dup2(nothing, 1) < 0 || dup2(log, 2) < 0 ? -1 : 0;
}

/* The parent: waits for the child's word. */
static int parent_wait(int ready_fd, pid_t child)
{
    char why[CENTER_WHY_BYTES];
    ssize_t used = 0, n;

    while (used < (ssize_t)sizeof(why) - 1 &&
           ((n = read(ready_fd, why + used, sizeof(why) - 1 - (size_t)used)) > 0 ||
            (n < 0 && errno == EINTR))) {
        used += n > 0 ? n : 0;
        if (used && why[0] == 0) {
            return 0;
        }
    }
    why[used] = 0;
    waitpid(child, NULL, 0);
    fprintf(stderr, "rhodes-center: %s\n",
            used ? why : "the center ended before it was ready; see center.log");
    return 1;
}

static int background(const struct options *o)
{
    int pipes[2];
    pid_t child;

    if (pipe2(pipes, O_CLOEXEC) < 0 || (child = fork()) < 0) {
        fprintf(stderr, "rhodes-center: %s\n", strerror(errno));
        return 1;
    }
    if (child) {
        close(pipes[1]);
        return parent_wait(pipes[0], child);
    }
    close(pipes[0]);
    return child_detach(o->home) == 0 ? center_main(o, pipes[1]) : 1;
}

int main(int count, char **arguments)
{
    static struct options o;
    int r;

    o.center = (struct center_options){ .home = o.home,
                                        .driver = &store_sqlite,
                                        .log_revisions_max = STORE_LOG_REVISIONS_DEFAULT };
    r = options_read(count, arguments, &o);
    if (r) {
        return r == 1 ? 0 : r;
    }
    if (home_path(o.home) != 0) {
        fprintf(
            stderr,
            "rhodes-center: the home directory must be an absolute path that is not too long\n");
        return 2;
    }
    return o.foreground ? center_main(&o, -1) : background(&o);
}
