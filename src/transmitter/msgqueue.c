/* The invocation protocol `msgqueue`: POSIX message queues, one per direction, written by the side
 * that made it.
 *
 * The queues have no name that anyone could guess or squat: each is made under a random one, opened
 * a second time for reading, and unlinked at once; the reading descriptor is what travels (on Linux
 * it is a file). A message of the queue is a chunk behind a small head that counts and says whether
 * more follow or whether the writer has left.
 *
 * Waiting is ppoll on the queue and on a private eventfd. mq_timedreceive's own waiting runs on the
 * wall clock, which may jump; a deadline that has always passed already makes it a plain attempt,
 * even if the peer, who shares the open file, clears O_NONBLOCK. Queues are charged to the user
 * (RLIMIT_MSGQUEUE), so depth and width are taken as granted, in steps. */
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/resource.h>
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
 * the steps below adapt. */
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

static int queue_make(int *ret_write, int *ret_read, uint32_t *ret_bytes)
{
    static const struct {
        long depth, bytes;
    } steps[] = { { 16, QUEUE_BYTES_MAX }, { 10, QUEUE_BYTES_MAX }, { 8, 4096 }, { 4, 2048 } };
    uint64_t random[2];
    char name[64];

    if (getrandom(random, sizeof(random), 0) != sizeof(random)) {
        return failed(-errno);
    }
    snprintf(name, sizeof(name), "/rhodes-%016llx%016llx", (unsigned long long)random[0],
             (unsigned long long)random[1]);
    queue_limit_raise();
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct mq_attr wanted = { .mq_maxmsg = steps[i].depth, .mq_msgsize = steps[i].bytes };
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
            *ret_bytes = (uint32_t)steps[i].bytes;
            return 0;
        }
        if (errno == ENOSPC) {
            break;
        }
        if (errno != EINVAL && errno != EMFILE && errno != ENOMEM) {
            return failed(-errno);
        }
    }
    return RHODES_OVER_LIMIT;
}

/* The peer must see that nothing more will come, even when the queue is full of chunks that it did
 * not take: those give way, the gap in the sequence tells the peer that they are lost. */
static void close_send(struct msgqueue_conduit *q)
{
    struct chunk_head bye = { ++q->out_sequence, CHUNK_CLOSE };

    while (mq_timedsend(q->out, (char *)&bye, sizeof(bye), 0, &always_past) < 0 &&
           errno == ETIMEDOUT) {
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
    uint32_t bytes = 0;
    int reading = -1, r;

    if (!q) {
        return failed(-ENOMEM);
    }
    q->conduit.transmitter = &transmitter_msgqueue;
    q->in = q->out = -1;
    q->doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r = q->doorbell < 0 ? failed(-errno) : queue_make(&q->out, &reading, &bytes);
    if (r) {
        msgqueue_free(&q->conduit);
        return r;
    }
    q->conduit.chunk_bytes = bytes - (uint32_t)sizeof(struct chunk_head);
    *ret_send = (struct descriptors){ .count = 1, .fd = { reading } };
    *ret = &q->conduit;
    return 0;
}

static int msgqueue_complete(struct conduit *c, const struct descriptors *received)
{
    struct msgqueue_conduit *q = queue_of(c);
    struct statfs system;
    struct mq_attr attributes;
    int mode, fd;

    if (received->count != 1 || q->in >= 0) {
        return RHODES_INVALID;
    }
    mode = fcntl(received->fd[0], F_GETFL);
    if (mode < 0 || (mode & O_ACCMODE) == O_WRONLY || fstatfs(received->fd[0], &system) < 0 ||
        system.f_type != MQUEUE_MAGIC || mq_getattr(received->fd[0], &attributes) < 0 ||
        attributes.mq_msgsize < (long)QUEUE_BYTES_MIN ||
        attributes.mq_msgsize > (long)QUEUE_BYTES_MAX) {
        return RHODES_INVALID;
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
    do {
        n = mq_timedreceive(q->in, (char *)&q->in_buffer, sizeof(q->in_buffer), NULL, &always_past);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        if (errno != ETIMEDOUT && errno != EAGAIN) {
            return failed(-errno);
        }
        return clock_left_ns(deadline_ns) ? 0 : RHODES_TIMEOUT;
    }
    if ((size_t)n < sizeof(struct chunk_head)) {
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

    q->out_buffer.head = (struct chunk_head){ q->out_sequence + 1, more ? CHUNK_MORE : 0 };
    while (mq_timedsend(q->out, (char *)&q->out_buffer, whole, 0, &always_past) < 0) {
        int r;

        if (errno == EINTR) {
            continue;
        }
        if (errno != ETIMEDOUT && errno != EAGAIN) {
            return failed(-errno);
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

static bool msgqueue_taken(const struct conduit *c)
{
    struct mq_attr attributes;

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
