/* device_sim: a network device that is not there: frames travel over a Unix SEQPACKET socket, one
 * frame a message.
 *
 * It connects to the `peer` of the manifest, where a program plays the wire. For machines on which
 * no interface may be made, and for tests. Both halves use one connection, so both must be out of
 * it before it is replaced: the half that finds it broken only shuts it down; the receiving half,
 * under the lock `swapping`, makes the new one. Its MAC is made from the path of the peer, so that
 * it is the same after a restart, and marked as locally administered. */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/device_ops.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/home.h"

#define SIM_MTU          1500u
#define FRAME_BYTES_MAX  (SIM_MTU + ETH_HLEN + DEVICE_VLAN_BYTES)
#define MEND_INTERVAL_NS (20 * NS_PER_MS)

struct sim {
    char *peer;
    struct device_counters *counters;
    pthread_rwlock_t
        swapping; /* held for reading while fd is used, for writing while it is replaced */
    int fd;
    _Atomic uint64_t tried_ns;
};

static int sim_connect(struct sim *s, int *ret_fd, struct device_why why)
{
    int r = unix_connect_path(s->peer, SOCK_SEQPACKET | SOCK_NONBLOCK, ret_fd);

    s->tried_ns = clock_ns();
    return r == 0 ? 0
                  : device_fail(why, r, "nobody plays the wire at '%.160s' (%s)", s->peer,
                                r < 0 ? strerror(-r) : rhodes_result_sentence(r));
}

static void sim_close(void *device)
{
    struct sim *s = device;

    fd_closep(&s->fd);
    pthread_rwlock_destroy(&s->swapping);
    free(s->peer);
    free(s);
}

static int sim_open(const char *target, struct device_counters *counters, void **ret,
                    struct device_why why)
{
    struct sim *s;
    int r;

    if (target[0] != '/') {
        return device_fail(why, RHODES_INVALID, "the peer of a sim device is an absolute path");
    }
    s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return device_fail(why, failed(-ENOMEM), "no memory for a sim device");
    }
    s->fd = -1;
    s->counters = counters;
    pthread_rwlock_init(&s->swapping, NULL);
    s->peer = strdup(target);
    r = s->peer == NULL ? device_fail(why, failed(-ENOMEM), "no memory for a sim device")
                        : sim_connect(s, &s->fd, why);
    if (r != 0) {
        sim_close(s);
        return r;
    }
    *ret = s;
    return 0;
}

/* Has the connection ended? Frames that arrived before its end are still read. */
static bool sim_broken(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)) != 0 &&
           recv(fd, &(char){ 0 }, 1, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT) <= 0;
}

static int sim_mend(void *device, struct device_why why)
{
    struct sim *s = device;
    int fd = -1, r;

    if (!sim_broken(s->fd)) {
        return 0;
    }
    if (clock_ns() - s->tried_ns < MEND_INTERVAL_NS) {
        return device_fail(why, -ENETDOWN, "the wire at '%.160s' is gone", s->peer);
    }
    r = sim_connect(s, &fd, why);
    if (r != 0) {
        return r;
    }
    pthread_rwlock_wrlock(&s->swapping);
    close(s->fd);
    s->fd = fd;
    pthread_rwlock_unlock(&s->swapping);
    return 0;
}

/* The sending half never replaces the connection; it says that it is broken until the other has
 * mended it. */
static int sim_mend_sender(void *device, struct device_why why)
{
    (void)device;
    (void)why;
    return 0;
}

static int sim_receive(void *device, struct frame_batch *batch, struct device_why why)
{
    struct sim *s = device;

    while (batch->count < batch->count_max &&
           batch->used + FRAME_BYTES_MAX <= DEVICE_BATCH_BYTES_MAX) {
        ssize_t n =
            recv(s->fd, batch->data + batch->used, FRAME_BYTES_MAX, MSG_TRUNC | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EAGAIN) {
            return 0;
        }
        if (n <= 0) {
            int r = n == 0 ? -ENETDOWN : -errno;

            return batch->count > 0
                       ? 0
                       : device_fail(why, failed(r), "the wire at '%.160s' is gone", s->peer);
        }
        if (!device_frame_fits((size_t)n, SIM_MTU)) {
            DEVICE_COUNT(s->counters->rx_dropped, 1);
            continue;
        }
        batch->bytes[batch->count++] = (uint32_t)n;
        batch->used += (uint32_t)n;
        DEVICE_COUNT(s->counters->rx_frames, 1);
        DEVICE_COUNT(s->counters->rx_bytes, n);
    }
    return 0;
}

static int send_one(struct sim *s, const struct iovec *frame, struct device_why why)
{
    if (send(s->fd, frame->iov_base, frame->iov_len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        int r = -errno;

        return r == -EAGAIN || r == -ENOBUFS
                   ? -EAGAIN
                   : device_fail(why, failed(r), "the wire at '%.160s' is gone", s->peer);
    }
    DEVICE_COUNT(s->counters->tx_frames, 1);
    DEVICE_COUNT(s->counters->tx_bytes, frame->iov_len);
    return 0;
}

static int sim_send(void *device, const struct iovec *frames, uint32_t count, uint32_t *ret_sent,
                    uint32_t *ret_accepted, struct device_why why)
{
    struct sim *s = device;
    int r = 0;

    pthread_rwlock_rdlock(&s->swapping);
    for (uint32_t i = 0; r == 0 && i < count; i++) {
        if (!device_frame_fits(frames[i].iov_len, SIM_MTU)) {
            DEVICE_COUNT(s->counters->tx_dropped, 1);
            (*ret_sent)++;
            continue;
        }
        r = send_one(s, &frames[i], why);
        if (r == 0) {
            (*ret_sent)++;
            (*ret_accepted)++;
        }
    }
    pthread_rwlock_unlock(&s->swapping);
    return r;
}

static int sim_fd(void *device)
{
    struct sim *s = device;
    int fd;

    pthread_rwlock_rdlock(&s->swapping);
    fd = s->fd;
    pthread_rwlock_unlock(&s->swapping);
    return fd;
}

static int sim_describe(void *device, struct device_facts *ret, struct device_why why)
{
    struct sim *s = device;
    uint64_t hash = hash_bytes(s->peer, strlen(s->peer));
    size_t bytes = strlen(s->peer), room = sizeof(ret->name) - 1;

    (void)why;
    memcpy(ret->mac, &hash, ETH_ALEN);
    ret->mac[0] = (uint8_t)((ret->mac[0] & 0xfc) | 0x02);
    ret->mtu = SIM_MTU;
    snprintf(ret->name, sizeof(ret->name), "%s", bytes > room ? s->peer + bytes - room : s->peer);
    return 0;
}

const struct device_ops device_sim = {
    .name = "sim",
    .open = sim_open,
    .close = sim_close,
    .mend_receiver = sim_mend,
    .mend_sender = sim_mend_sender,
    .receive = sim_receive,
    .receiver_fd = sim_fd,
    .sender_fd = sim_fd,
    .send = sim_send,
    .describe = sim_describe,
};
