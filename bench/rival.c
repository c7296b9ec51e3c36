/* The rivals: two processes that exchange blocks over a socket pair or two pipes, as a careful C
 * programmer would write it: one write for head and data where they fit, and reads of whole blocks.
 * The answering side copies nothing it need not. */
#include "rival.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define RIVAL_BYTES_MAX (1u << 20)

struct head {
    uint32_t bytes, reply_bytes;
};

static int read_whole(int fd, void *data, size_t bytes)
{
    for (char *at = data; bytes > 0;) {
        ssize_t n = read(fd, at, bytes);
        if (n <= 0) {
            return n < 0 && errno != EPIPE ? -errno : -EPIPE;
        }
        at += n;
        bytes -= (size_t)n;
    }
    return 0;
}

static int write_whole(int fd, struct iovec *parts, int count)
{
    while (count > 0) {
        ssize_t n = writev(fd, parts, count);
        if (n < 0) {
            return -errno;
        }
        while (count > 0 && (size_t)n >= parts->iov_len) {
            n -= (ssize_t)parts->iov_len;
            parts++;
            count--;
        }
        if (count > 0) {
            parts->iov_base = (char *)parts->iov_base + n;
            parts->iov_len -= (size_t)n;
        }
    }
    return 0;
}

static void answer(int from, int to)
{
    char *data = calloc(1, RIVAL_BYTES_MAX);
    struct head head;
    while (data && read_whole(from, &head, sizeof(head)) == 0 && head.bytes <= RIVAL_BYTES_MAX &&
           head.reply_bytes <= RIVAL_BYTES_MAX && read_whole(from, data, head.bytes) == 0) {
        struct iovec part = { .iov_base = data, .iov_len = head.reply_bytes };
        if (write_whole(to, &part, 1) != 0) {
            break;
        }
    }
    free(data);
}

static int ends_make(enum rival_kind kind, int request[2], int reply[2])
{
    if (kind == RIVAL_PIPE) {
        return pipe2(request, O_CLOEXEC) < 0 || pipe2(reply, O_CLOEXEC) < 0 ? -errno : 0;
    }
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        return -errno;
    }
    request[1] = pair[0];
    reply[0] = dup(pair[0]);
    request[0] = pair[1];
    reply[1] = dup(pair[1]);
    return reply[0] < 0 || reply[1] < 0 ? -errno : 0;
}

int rival_start(enum rival_kind kind, const struct rival *others, size_t others_count,
                struct rival *ret)
{
    int request[2], reply[2];
    int r = ends_make(kind, request, reply);
    if (r) {
        return r;
    }
    pid_t pid = fork();
    if (pid < 0) {
        return -errno;
    }
    if (pid == 0) {
        for (size_t i = 0; i < others_count; i++) {
            close(others[i].to);
            close(others[i].from);
        }
        close(request[1]);
        close(reply[0]);
        answer(request[0], reply[1]);
        _exit(0);
    }
    close(request[0]);
    close(reply[1]);
    *ret = (struct rival){ .to = request[1], .from = reply[0], .pid = pid };
    return 0;
}

int rival_call(struct rival *r, const void *data, uint32_t bytes, void *reply, uint32_t reply_bytes)
{
    struct head head = { .bytes = bytes, .reply_bytes = reply_bytes };
    struct iovec parts[] = { { .iov_base = &head, .iov_len = sizeof(head) },
                             { .iov_base = (void *)(uintptr_t)data, .iov_len = bytes } };
    int result = write_whole(r->to, parts, 2);
    return result ? result : read_whole(r->from, reply, reply_bytes);
}

void rival_stop(struct rival *r)
{
    close(r->to);
    close(r->from);
    waitpid(r->pid, NULL, 0);
}
