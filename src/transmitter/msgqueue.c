/* The invocation protocol `msgqueue`: message queues of the kernel, one per direction, written by the
 * side that made it.
 *
 * POSIX message queues first. They have no name that anyone could guess or squat: each is made under a
 * random one, opened a second time for reading, and unlinked at once; the reading descriptor is
 * what travels (on Linux it is a file). They are charged to the user (RLIMIT_MSGQUEUE, 800 KiB by
 * default, which is nine of them), so when no more are granted the queue is a SEQPACKET socket
 * pair instead: the kernel's other queue that keeps messages whole, limited only by descriptors. A
 * message of the queue is a chunk behind a small head that counts and says whether more follow or
 * whether the writer has left.
 *
 * Waiting is ppoll on the queue and on a private eventfd. mq_timedreceive's own waiting runs on the
 * wall clock, which may jump; a deadline that has always passed already makes it a plain attempt,
 * even if the peer, who shares the open file, clears O_NONBLOCK. */
#include <fcntl.h>
#include <linux/sockios.h>
#include <mqueue.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/clock.h"
#include "transmitter/transmitter.h"

#define MQUEUE_MAGIC    0x19800202
#define QUEUE_BYTES_MAX 8192u
#define QUEUE_BYTES_MIN 512u
#define QUEUES_RLIMIT   (64u << 20) /* what a process that may raise the limit raises it to */
#define CHUNK_MORE      1u
#define CHUNK_CLOSE     2u

struct chunk_head {
    uint32_t sequence; /* from 1 in each queue */
    uint32_t flags;
};

struct msgqueue_conduit {
    struct conduit conduit;
    int out, in, doorbell; /* in: -1 until the peer's queue is known */
    uint32_t out_sequence, in_sequence;
    uint32_t in_bytes; /* a chunk that arrived and is not given out yet: its length, head included;
                          0: none */
    bool in_more, closed;
    bool out_socket, in_socket; /* else a POSIX message queue */
    bool out_gone; /* a socket whose reader left before it had the last message whole */
    struct {
        struct chunk_head head;
        uint8_t payload[QUEUE_BYTES_MAX - sizeof(struct chunk_head)];
    } out_buffer, in_buffer;
};

static const struct timespec always_past = { 0 };

static struct msgqueue_conduit *queue_of(const struct conduit *c)
{
    return (struct msgqueue_conduit *)(uintptr_t)c;
}

/* Raising the soft limit is always allowed; the hard one with CAP_SYS_RESOURCE. Failing is fine:
 * sockets take over. */
static void queue_limit_raise(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_MSGQUEUE, &limit) == 0 && limit.rlim_cur < QUEUES_RLIMIT) {
        struct rlimit wanted = { QUEUES_RLIMIT, QUEUES_RLIMIT };

        if (setrlimit(RLIMIT_MSGQUEUE, &wanted) < 0) {
            limit.rlim_cur = limit.rlim_max;
            if (setrlimit(RLIMIT_MSGQUEUE, &limit) < 0) {
                return;
            }
        }
    }
}

/* 0, OVER_LIMIT when the system grants no more, -errno. */
static int posix_make(int *ret_write, int *ret_read)
{
    static const long depths[] = { 16, 10 }; /* 10 is what needs no privilege */
    uint64_t random[2];
    char name[64];

    if (getrandom(random, sizeof(random), 0) != sizeof(random)) {
        return failed(-errno);
    }
    snprintf(name, sizeof(name), "/rhodes-%016llx%016llx", (unsigned long long)random[0],
             (unsigned long long)random[1]);
    queue_limit_raise();
    for (size_t i = 0; i < sizeof(depths) / sizeof(depths[0]); i++) {
        struct mq_attr wanted = { .mq_maxmsg = depths[i], .mq_msgsize = QUEUE_BYTES_MAX };
        int fd = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NONBLOCK, 0400, &wanted);

        if (fd >= 0) {
            int reading = mq_open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r = -errno;

            mq_unlink(name);
            if (reading < 0) {
                mq_close(fd);
                return failed(r);
            }
            *ret_write = fd;
            *ret_read = reading;
            return 0;
        }
        if (errno != EINVAL) { /* EINVAL: deeper than this user may */
            break;
        }
    }
    return RHODES_OVER_LIMIT;
}

static int socket_make(int *ret_write, int *ret_read)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
        return errno == EMFILE || errno == ENFILE ? RHODES_OVER_LIMIT : failed(-errno);
    }
    if (shutdown(pair[0], SHUT_RD) < 0) { /* one direction, as a queue has */
        int r = failed(-errno);

        close(pair[0]);
        close(pair[1]);
        return r;
    }
    *ret_write = pair[0];
    *ret_read = pair[1];
    return 0;
}

/* One attempt. 0, -EAGAIN when there is no room, -errno. */
static int queue_send(struct msgqueue_conduit *q, const void *message, size_t bytes)
{
    int r;

    do {
        r = q->out_socket ? (int)send(q->out, message, bytes, MSG_DONTWAIT | MSG_NOSIGNAL)
                          : mq_timedsend(q->out, message, bytes, 0, &always_past);
    } while (r < 0 && errno == EINTR);
    if (r >= 0) {
        return 0;
    }
    return errno == ETIMEDOUT || errno == EAGAIN ? -EAGAIN : -errno;
}

/* One attempt into in_buffer. The message's length, -EAGAIN when there is none, -EPIPE at the end of
 * a socket, -errno. Descriptors that a peer sends along are dropped by the kernel: no room is given
 * for them. */
static ssize_t queue_receive(struct msgqueue_conduit *q)
{
    ssize_t n;

    do {
        n = q->in_socket
                ? recv(q->in, &q->in_buffer, sizeof(q->in_buffer), MSG_DONTWAIT | MSG_TRUNC)
                : mq_timedreceive(q->in, (char *)&q->in_buffer, sizeof(q->in_buffer), NULL,
                                  &always_past);
    } while (n < 0 && errno == EINTR);
    if (n == 0 && q->in_socket) {
        return -EPIPE;
    }
    if (n < 0) {
        return errno == ETIMEDOUT || errno == EAGAIN ? -EAGAIN : -errno;
    }
    return n;
}

/* The peer must see that nothing more will come, even when the queue is full of chunks that it did
 * not take: those give way, the gap in the sequence tells the peer that they are lost. The end of a
 * socket is seen by itself. */
static void close_send(struct msgqueue_conduit *q)
{
    struct chunk_head bye = { ++q->out_sequence, CHUNK_CLOSE };

    while (!q->out_socket && queue_send(q, &bye, sizeof(bye)) == -EAGAIN) {
        if (mq_timedreceive(q->out, (char *)&q->out_buffer, QUEUE_BYTES_MAX, NULL, &always_past) <
                0 &&
            errno != ETIMEDOUT) {
            return;
        }
    }
}

static struct conduit *msgqueue_free(struct conduit *c)
{
    struct msgqueue_conduit *q = queue_of(c);

    if (!q) {
        return NULL;
    }
    if (q->out >= 0) {
        close_send(q);
    }
    fd_closep(&q->out);
    fd_closep(&q->in);
    fd_closep(&q->doorbell);
    free(q);
    return NULL;
}

static int msgqueue_open(struct conduit **ret, struct descriptors *ret_send)
{
    struct msgqueue_conduit *q = calloc(1, sizeof(*q));
    int reading = -1, r;

    if (!q) {
        return failed(-ENOMEM);
    }
    q->conduit.transmitter = &transmitter_msgqueue;
    q->in = q->out = -1;
    q->doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r = q->doorbell < 0 ? failed(-errno) : posix_make(&q->out, &reading);
    if (r == RHODES_OVER_LIMIT) {
        q->out_socket = true;
        r = socket_make(&q->out, &reading);
    }
    if (r) {
        msgqueue_free(&q->conduit);
        return r;
    }
    q->conduit.chunk_bytes = sizeof(q->out_buffer.payload);
    *ret_send = (struct descriptors){ .count = 1, .fd = { reading } };
    *ret = &q->conduit;
    return 0;
}

/* What kind of queue was sent? INVALID when it is none that can be read. */
static int queue_check(int fd, bool *ret_socket)
{
    struct statfs system;
    struct mq_attr attributes;
    struct stat status;
    int mode = fcntl(fd, F_GETFL), type = 0, domain = 0;
    socklen_t bytes = sizeof(type);

    if (mode < 0 || (mode & O_ACCMODE) == O_WRONLY || fstat(fd, &status) < 0) {
        return RHODES_INVALID;
    }
    *ret_socket = S_ISSOCK(status.st_mode);
    if (*ret_socket) {
        return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes) == 0 && type == SOCK_SEQPACKET &&
                       getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &bytes) == 0 &&
                       domain == AF_UNIX
                   ? 0
                   : RHODES_INVALID;
    }
    return fstatfs(fd, &system) == 0 && system.f_type == MQUEUE_MAGIC &&
                   mq_getattr(fd, &attributes) == 0 && attributes.mq_msgsize >= QUEUE_BYTES_MIN &&
                   attributes.mq_msgsize <= QUEUE_BYTES_MAX
               ? 0
               : RHODES_INVALID;
}

static int msgqueue_complete(struct conduit *c, const struct descriptors *received)
{
    struct msgqueue_conduit *q = queue_of(c);
    int fd, r;

    if (received->count != 1 || q->in >= 0) {
        return RHODES_INVALID;
    }
    r = queue_check(received->fd[0], &q->in_socket);
    if (r) {
        return r;
    }
    fd = fcntl(received->fd[0], F_DUPFD_CLOEXEC, 3);
    if (fd < 0) {
        return failed(-errno);
    }
    q->in = fd;
    return 0;
}

static int msgqueue_accept(const struct descriptors *received, struct conduit **ret,
                           struct descriptors *ret_send)
{
    struct descriptors mine = { 0 };
    struct conduit *c;
    int r = msgqueue_open(&c, &mine);

    if (r) {
        return r;
    }
    r = msgqueue_complete(c, received);
    if (r) {
        descriptors_close(&mine);
        msgqueue_free(c);
        return r;
    }
    *ret_send = mine;
    *ret = c;
    return 0;
}

/* Takes a chunk into in_buffer if one is there; in_bytes stays 0 when none is. TIMEOUT when none is
 * at the deadline: a peer that takes its own chunks back cannot keep us running after it. */
static int chunk_receive(struct msgqueue_conduit *q, uint64_t deadline_ns)
{
    ssize_t n;

    if (q->closed) {
        return -EPIPE;
    }
    n = queue_receive(q);
    if (n == -EAGAIN) {
        return clock_left_ns(deadline_ns) ? 0 : RHODES_TIMEOUT;
    }
    if (n == -EPIPE || n == -ECONNRESET) {
        q->closed = true;
        return -EPIPE;
    }
    if (n < 0) {
        return failed((int)n);
    }
    if ((size_t)n < sizeof(struct chunk_head) || (size_t)n > sizeof(q->in_buffer)) {
        return RHODES_GARBAGE;
    }
    if (q->in_buffer.head.flags == CHUNK_CLOSE || q->in_buffer.head.sequence != ++q->in_sequence) {
        q->closed = true;
        return -EPIPE;
    }
    if ((q->in_buffer.head.flags & ~CHUNK_MORE) != 0) {
        return RHODES_GARBAGE;
    }
    q->in_more = q->in_buffer.head.flags & CHUNK_MORE;
    q->in_bytes = (uint32_t)n;
    return 0;
}

/* Waits until a chunk may be there, or (for_room) until my queue has room or a chunk is there that
 * may say that the peer left. */
static int queue_wait(struct msgqueue_conduit *q, bool for_room, uint64_t deadline_ns)
{
    struct pollfd events[3] = {
        { .fd = q->doorbell, .events = POLLIN },
        { .fd = q->in_bytes ? -1 : q->in, .events = POLLIN },
        { .fd = for_room ? q->out : -1, .events = POLLOUT },
    };
    struct timespec left = clock_timespec(clock_left_ns(deadline_ns));
    uint64_t rings;
    int n = ppoll(events, 3, &left, NULL);

    if (n < 0) {
        return errno == EINTR ? 0 : failed(-errno);
    }
    if (n == 0) {
        return RHODES_TIMEOUT;
    }
    if (events[1].revents || events[2].revents) {
        return 0;
    }
    if (read(q->doorbell, &rings, sizeof(rings)) < 0 && errno != EAGAIN) {
        return failed(-errno);
    }
    return -ECANCELED;
}

static int msgqueue_put(struct conduit *c, void **ret, uint64_t deadline_ns)
{
    struct msgqueue_conduit *q = queue_of(c);

    if (q->in < 0) {
        return failed(-ENOTCONN);
    }
    if (q->closed) {
        return -EPIPE;
    }
    *ret = q->out_buffer.payload;
    return 0;
}

static int msgqueue_put_done(struct conduit *c, uint32_t bytes, bool more, uint64_t deadline_ns)
{
    struct msgqueue_conduit *q = queue_of(c);
    size_t whole = sizeof(struct chunk_head) + bytes;
    int sent;

    q->out_buffer.head = (struct chunk_head){ q->out_sequence + 1, more ? CHUNK_MORE : 0 };
    while ((sent = queue_send(q, &q->out_buffer, whole)) < 0) {
        int r;

        if (sent == -EPIPE) {
            q->out_gone = true;
            return sent;
        }
        if (sent != -EAGAIN) {
            return failed(sent);
        }
        r = queue_wait(q, true, deadline_ns);
        if (!r && !q->in_bytes) {
            r = chunk_receive(q, deadline_ns);
        }
        if (r) {
            return r;
        }
    }
    q->out_sequence++;
    return 0;
}

static int msgqueue_get(struct conduit *c, const void **ret, uint32_t *ret_bytes, bool *ret_more,
                        uint64_t deadline_ns)
{
    struct msgqueue_conduit *q = queue_of(c);

    if (q->in < 0) {
        return failed(-ENOTCONN);
    }
    /* Between messages the queue is most often empty, so waiting first saves an attempt; within one
     * it is most often not. */
    for (bool wait = !q->conduit.more; !q->in_bytes; wait = true) {
        int r = q->closed ? -EPIPE : wait ? queue_wait(q, false, deadline_ns) : 0;

        if (!r) {
            r = chunk_receive(q, deadline_ns);
        }
        if (r) {
            return r;
        }
    }
    *ret = q->in_buffer.payload;
    *ret_bytes = q->in_bytes - (uint32_t)sizeof(struct chunk_head);
    *ret_more = q->in_more;
    return 0;
}

static void msgqueue_get_done(struct conduit *c)
{
    queue_of(c)->in_bytes = 0;
}

static void msgqueue_interrupt(struct conduit *c)
{
    uint64_t one = 1;

    if (write(queue_of(c)->doorbell, &one, sizeof(one)) < 0) {
        return; /* EAGAIN: it has been rung 2^64 times */
    }
}

/* A socket's unread messages are gone with its reader, so it says "taken" then: the careful answer,
 * since what was taken may have run. */
static bool msgqueue_taken(const struct conduit *c)
{
    struct mq_attr attributes;
    int unread;

    if (queue_of(c)->out_gone) {
        return false;
    }
    if (queue_of(c)->out_socket) {
        return ioctl(queue_of(c)->out, SIOCOUTQ, &unread) < 0 || unread == 0;
    }
    return mq_getattr(queue_of(c)->out, &attributes) == 0 && attributes.mq_curmsgs == 0;
}

const struct transmitter transmitter_msgqueue = {
    .name = "msgqueue",
    .abi = TRANSMITTER_ABI,
    .chunk_bytes = QUEUE_BYTES_MAX - sizeof(struct chunk_head),
    .open = msgqueue_open,
    .accept = msgqueue_accept,
    .complete = msgqueue_complete,
    .put = msgqueue_put,
    .put_done = msgqueue_put_done,
    .get = msgqueue_get,
    .get_done = msgqueue_get_done,
    .interrupt = msgqueue_interrupt,
    .taken = msgqueue_taken,
    .free = msgqueue_free,
};
