/* The fork-and-leak-check layer over cmocka. cmocka keeps its jump buffer in a static, so a failing
 * assertion in a forked child would jump into the child's copy of the whole group run and go on
 * with the next test; therefore the child starts a nested group of one, whose result is the child's
 * exit status. Its output goes to a memfd and is shown only when the case failed.
 *
 * The child counts what it holds before and after from /proc/self, which sees what the code under
 * test really did and needs nothing of it. Child and parent are subreapers, so a process that was
 * orphaned on the way still counts, and is killed. */
#include "test/lib/isolated.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define HOLDINGS_MAX 512
#define SETTLE_MS    2000 /* how long a joined thread may stay visible in /proc */

#ifdef __SANITIZE_THREAD__
#define RUNTIME_THREADS 1 /* ThreadSanitizer may start one of its own */
#else
#define RUNTIME_THREADS 0
#endif

enum { EXIT_FAILED = 1, EXIT_LEFT_SOMETHING = 2, EXIT_BROKEN = 3 };

/* What a process holds, as sorted texts: "fd 5 -> socket:[77]", "shared /memfd:ring". */
struct holdings {
    size_t count;
    char *text[HOLDINGS_MAX];
};

int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static void holdings_free(struct holdings *h)
{
    for (size_t i = 0; i < h->count; i++) {
        free(h->text[i]);
    }
    h->count = 0;
}

static void holdings_add(struct holdings *h, const char *text)
{
    if (h->count == HOLDINGS_MAX) {
        fprintf(stderr, "isolated: more than %d descriptors or mappings\n", HOLDINGS_MAX);
        _exit(EXIT_BROKEN);
    }
    h->text[h->count++] = strdup(text);
}

static void descriptors_list(struct holdings *h)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        char target[256], text[320];
        ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

        if (n < 0 || atoi(entry->d_name) == dirfd(dir)) {
            continue;
        }
        target[n] = 0;
        snprintf(text, sizeof(text), "fd %.10s -> %s", entry->d_name, target);
        holdings_add(h, text);
    }
    if (dir) {
        closedir(dir);
    }
}

/* Every shared mapping counts: that is what all kinds of shared segment have in common. */
static void mappings_list(struct holdings *h)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[1024];

    while (maps && fgets(line, sizeof(line), maps)) {
        char access[8], inode[32], text[512];
        int path = 0;

        if (sscanf(line, "%*s %7s %*s %*s %31s %n", access, inode, &path) == 2 && path &&
            access[3] == 's') {
            line[strcspn(line, "\n")] = 0;
            snprintf(text, sizeof(text), "shared mapping %.400s (inode %s)", line + path, inode);
            holdings_add(h, text);
        }
    }
    if (maps) {
        fclose(maps);
    }
}

static void holdings_take(struct holdings *h)
{
    h->count = 0;
    descriptors_list(h);
    mappings_list(h);
}

static size_t threads_count(void)
{
    DIR *dir = opendir("/proc/self/task");
    struct dirent *entry;
    size_t count = 0;

    while (dir && (entry = readdir(dir))) {
        count += entry->d_name[0] != '.';
    }
    if (dir) {
        closedir(dir);
    }
    return count;
}

/* Prints what is in `a` and not in `b`; equal texts count as often as they stand there. */
static size_t difference_print(const struct holdings *a, const struct holdings *b, const char *word)
{
    bool matched[HOLDINGS_MAX] = { false };
    size_t found = 0;

    for (size_t i = 0; i < a->count; i++) {
        size_t j = 0;

        while (j < b->count && (matched[j] || strcmp(a->text[i], b->text[j]) != 0)) {
            j++;
        }
        if (j < b->count) {
            matched[j] = true;
        } else {
            fprintf(stderr, "%s: %s\n", word, a->text[i]);
            found++;
        }
    }
    return found;
}

/* Kills and reaps every child, adopted ones too; returns how many there were. */
static size_t children_end(void)
{
    size_t found = 0;

    for (;;) {
        char path[64], list[4096] = "";
        siginfo_t who = { 0 };
        FILE *children;

        if (waitid(P_ALL, 0, &who, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0) {
            return found; /* ECHILD: none */
        }
        snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
        children = fopen(path, "re");
        if (children) {
            if (!fgets(list, sizeof(list), children)) {
                list[0] = 0;
            }
            fclose(children);
        }
        for (char *rest = list, *word; (word = strsep(&rest, " ")) && *word;) {
            pid_t pid = (pid_t)atoi(word);

            kill(pid, SIGKILL);
            waitpid(pid, NULL, __WALL);
            found++;
        }
        if (!list[0] && waitpid(-1, NULL, __WALL) > 0) {
            found++;
        }
    }
}

static bool threads_gone(size_t before)
{
    for (int ms = 0; threads_count() > before && ms < SETTLE_MS; ms++) {
        usleep(1000); /* the kernel unlinks a joined thread a moment after it woke the joiner */
    }
    return threads_count() <= before;
}

static int leftovers_judge(const struct holdings *before, size_t threads_before)
{
    struct holdings after;
    size_t found = 0, children;

    if (!threads_gone(threads_before)) {
        fprintf(stderr, "left: %zu threads\n", threads_count() - threads_before);
        found++;
    }
    children = children_end();
    if (children) {
        fprintf(stderr, "left: %zu child processes\n", children);
        found++;
    }
    holdings_take(&after);
    found += difference_print(&after, before, "left");
    found += difference_print(before, &after, "closed or unmapped, but not the test's own");
    holdings_free(&after);
    if (__lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check()) {
        fprintf(stderr, "left: heap (see above)\n");
        found++;
    }
    return found ? EXIT_LEFT_SOMETHING : 0;
}

static _Noreturn void child_run(const struct isolated_case *c, int output)
{
    const struct CMUnitTest one[] = { { c->name, c->function, c->setup, c->teardown, NULL } };
    struct holdings before;
    size_t threads_before;
    int bad;

    prctl(PR_SET_CHILD_SUBREAPER, 1L);
    if (dup2(output, STDOUT_FILENO) < 0 || dup2(output, STDERR_FILENO) < 0) {
        _exit(EXIT_BROKEN);
    }
    close(output);
    setvbuf(stdout, NULL, _IOLBF, 0);
    holdings_take(&before);
    threads_before = threads_count() + RUNTIME_THREADS;
    bad = _cmocka_run_group_tests(c->name, one, 1, NULL, NULL) ? EXIT_FAILED : 0;
    fflush(NULL);
    if (!bad) {
        bad = leftovers_judge(&before, threads_before);
    }
    holdings_free(&before);
    fflush(NULL);
    _exit(bad);
}

/* Waits for the child by its pidfd; the status is told as a sentence, NULL when all was well. */
static const char *child_wait(pid_t pid, unsigned seconds, char *text, size_t room)
{
    int fd = pidfd_open(pid, 0), status = 0, ready;
    struct pollfd wait = { .fd = fd, .events = POLLIN };

    do {
        ready = poll(&wait, 1, (int)seconds * 1000);
    } while (ready < 0 && errno == EINTR);
    close(fd);
    if (ready == 0) {
        kill(pid, SIGKILL);
    }
    waitpid(pid, &status, 0);
    children_end();
    if (ready == 0) {
        snprintf(text, room, "it did not end within %u s", seconds);
    } else if (WIFSIGNALED(status)) {
        snprintf(text, room, "it died by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    } else if (WEXITSTATUS(status) == EXIT_LEFT_SOMETHING) {
        snprintf(text, room, "it left something behind");
    } else if (WEXITSTATUS(status)) {
        snprintf(text, room, "it failed (status %d)", WEXITSTATUS(status));
    } else {
        return NULL;
    }
    return text;
}

int isolated_run(const struct isolated_case *c, char *ret_why, size_t room)
{
    int output = memfd_create("isolated", MFD_CLOEXEC);
    char text[128];
    ssize_t printed;
    size_t used;
    pid_t pid;

    if (output < 0) {
        snprintf(ret_why, room, "memfd_create: %s", strerror(errno));
        return -1;
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1L);
    fflush(NULL);
    pid = fork();
    if (pid < 0) {
        snprintf(ret_why, room, "fork: %s", strerror(errno));
        close(output);
        return -1;
    }
    if (pid == 0) {
        child_run(c, output);
    }
    if (!child_wait(pid, c->seconds, text, sizeof(text))) {
        close(output);
        return 0;
    }
    used = (size_t)snprintf(ret_why, room, "%s: %s; it printed:\n", c->name, text);
    used = used < room ? used : room - 1;
    printed = pread(output, ret_why + used, room - used - 1, 0);
    ret_why[used + (printed > 0 ? (size_t)printed : 0)] = 0;
    close(output);
    return -1;
}

void isolated_entry(void **state)
{
    static char why[65536]; /* too large for a stack frame; the runner is single-threaded */

    if (isolated_run(*state, why, sizeof(why))) {
        fputs(why, stderr);
        fail();
    }
}
