/* device: the life of a hardware agent's device and the four functions that it serves (info, rx,
 * tx, stat).
 *
 * Invariant: each half of a device (receiving, sending) is used by one thread at a time, under its
 * own lock, so that a long wait for frames never delays a frame that is to be sent. Frames are
 * copied once out of the device into a batch before they are written into the reply: the reply's
 * list must be told its length first, and a slot of the ring can then go back to the kernel at
 * once, however long the rest takes. Waiting is done here and not in the kinds of device, so that
 * device_close wakes every waiter in one way: an eventfd that is written once and never read stays
 * readable for all of them. */
#include "agent/device.h"

#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#include "agent/device_ops.h"
#include "base/clock.h"
#include "model/device.h"

/* The last moments before a deadline, in which the answer travels back. */
#define ANSWER_NS_MAX (20 * NS_PER_MS)
/* A sender's queue that is full for so long is reported, not waited for. */
#define SEND_WAIT_NS_MAX (200 * NS_PER_MS)

struct device_instance {
    const struct device_ops *ops;
    void *device;
    struct device_counters counters;
    int stop_fd; /* readable once device_close has begun */
    atomic_bool stopping;
    pthread_mutex_t receiving, sending; /* guard the halves; `receiving` guards batch too */
    struct frame_batch batch;
    pthread_mutex_t life; /* guards users */
    pthread_cond_t left;
    unsigned users;
};

int device_fail(struct device_why why, int r, const char *format, ...)
{
    va_list arguments;

    if (why.bytes > 0) {
        va_start(arguments, format);
        vsnprintf(why.text, why.bytes, format, arguments);
        va_end(arguments);
    }
    return r;
}

static struct device_instance *device_free(struct device_instance *d)
{
    if (d->device != NULL) {
        d->ops->close(d->device);
    }
    fd_closep(&d->stop_fd);
    pthread_mutex_destroy(&d->receiving);
    pthread_mutex_destroy(&d->sending);
    pthread_mutex_destroy(&d->life);
    pthread_cond_destroy(&d->left);
    free(d->batch.data);
    free(d);
    return NULL;
}

static int device_new(const struct device_ops *ops, struct device_instance **ret)
{
    struct device_instance *d = calloc(1, sizeof(*d));

    if (d == NULL) {
        return failed(-ENOMEM);
    }
    d->ops = ops;
    pthread_mutex_init(&d->receiving, NULL);
    pthread_mutex_init(&d->sending, NULL);
    pthread_mutex_init(&d->life, NULL);
    pthread_cond_init(&d->left, NULL);
    d->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    d->batch.data = malloc(DEVICE_BATCH_BYTES_MAX);
    if (d->stop_fd < 0 || d->batch.data == NULL) {
        int r = d->stop_fd < 0 ? -errno : -ENOMEM;

        device_free(d);
        return failed(r);
    }
    *ret = d;
    return 0;
}

int device_open(uint8_t kind, const char *target, struct device_instance **ret, char *why,
                size_t why_bytes)
{
    struct device_why sentence = { why, why_bytes };
    const struct device_ops *ops = kind == DEVICE_NIC   ? &device_nic
                                   : kind == DEVICE_SIM ? &device_sim
                                                        : NULL;
    struct device_instance *d = NULL;
    int r;

    if (ops == NULL) {
        return device_fail(sentence, RHODES_INVALID, "there is no device of kind %u", kind);
    }
    if (target == NULL || target[0] == '\0') {
        return device_fail(sentence, RHODES_INVALID, "a %s device needs a target", ops->name);
    }
    r = device_new(ops, &d);
    if (r != 0) {
        return device_fail(sentence, r, "no memory for the %s device", ops->name);
    }
    r = ops->open(target, &d->counters, &d->device, sentence);
    if (r != 0) {
        device_free(d);
        return r;
    }
    *ret = d;
    return 0;
}

void device_stop(struct device_instance *d)
{
    ssize_t written;

    atomic_store(&d->stopping, true);
    written = write(d->stop_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
    (void)written; /* cannot fail: the counter is far from its end */
}

struct device_instance *device_close(struct device_instance *d)
{
    if (d == NULL) {
        return NULL;
    }
    device_stop(d);
    pthread_mutex_lock(&d->life);
    while (d->users > 0) {
        pthread_cond_wait(&d->left, &d->life);
    }
    pthread_mutex_unlock(&d->life);
    return device_free(d);
}

/* One call's way through the device. */
struct visit {
    struct device_instance *d;
    uint64_t deadline_ns;
    struct device_why why;
};

/* Waits until `fd` is ready for `events`. 0; TIMEOUT when wait_until_ns has passed; NOT_EXECUTED
 * when closing. An error on the descriptor counts as ready: the next use of it says what it is. */
static int visit_poll(const struct visit *v, int fd, short events, uint64_t wait_until_ns)
{
    struct pollfd fds[2] = { { .fd = fd, .events = events },
                             { .fd = v->d->stop_fd, .events = POLLIN } };
    struct timespec left = clock_timespec(clock_left_ns(wait_until_ns));
    int n = ppoll(fds, 2, &left, NULL);

    if (n < 0 && errno != EINTR) {
        return device_fail(v->why, failed(-errno), "cannot wait for the device: %s",
                           strerror(errno));
    }
    if (atomic_load(&v->d->stopping)) {
        return device_fail(v->why, RHODES_NOT_EXECUTED, "the device is being closed");
    }
    return n == 0 ? RHODES_TIMEOUT : 0;
}

/* Takes a half of the device. TIMEOUT when another thread keeps it until the deadline. */
static int half_take(pthread_mutex_t *half, uint64_t until_ns)
{
    struct timespec until = clock_timespec(until_ns);

    return pthread_mutex_clocklock(half, CLOCK_MONOTONIC, &until) == 0 ? 0 : RHODES_TIMEOUT;
}

/* The batch stays empty when nothing came in time. */
static int receive_batch(const struct visit *v, uint64_t until_ns)
{
    struct device_instance *d = v->d;

    for (;;) {
        int r = d->ops->mend_receiver(d->device, v->why);

        r = r != 0 ? r : d->ops->receive(d->device, &d->batch, v->why);
        if (r != 0 || d->batch.count > 0) {
            return r;
        }
        r = visit_poll(v, d->ops->receiver_fd(d->device), POLLIN, until_ns);
        if (r != 0) {
            return r == RHODES_TIMEOUT ? 0 : r;
        }
    }
}

static int put_batch(const struct frame_batch *batch, struct rhodes_writer *result)
{
    const uint8_t *at = batch->data;
    int r = rhodes_put_list(result, batch->count);

    for (uint32_t i = 0; r == 0 && i < batch->count; i++) {
        r = rhodes_put_bytes(result, at, batch->bytes[i]);
        at += batch->bytes[i];
    }
    return r != 0 ? r : rhodes_put_end(result);
}

static int call_rx(const struct visit *v, struct rhodes_reader *arguments,
                   struct rhodes_writer *result)
{
    struct device_instance *d = v->d;
    uint32_t count_max, wait_ms;
    uint64_t now = clock_ns(), until_ns, latest_ns;
    int r = rhodes_get_u32(arguments, &count_max);

    r = r != 0 ? r : rhodes_get_u32(arguments, &wait_ms);
    if (r != 0) {
        return device_fail(v->why, r, "rx takes max and wait-ms, both u32");
    }
    if (count_max == 0) {
        return device_fail(v->why, RHODES_CALLEE_FAILED, "rx: max must be 1 or more");
    }
    latest_ns = v->deadline_ns > now ? v->deadline_ns - now : 0;
    latest_ns = now + latest_ns - (latest_ns / 4 < ANSWER_NS_MAX ? latest_ns / 4 : ANSWER_NS_MAX);
    until_ns = now + wait_ms * NS_PER_MS;
    until_ns = until_ns < latest_ns ? until_ns : latest_ns;
    if (half_take(&d->receiving, until_ns) != 0) {
        return rhodes_put_list(result, 0) != 0 ? RHODES_TYPE_MISMATCH : rhodes_put_end(result);
    }
    d->batch.used = 0;
    d->batch.count = 0;
    d->batch.count_max = count_max < DEVICE_BATCH_FRAMES_MAX ? count_max : DEVICE_BATCH_FRAMES_MAX;
    r = receive_batch(v, until_ns);
    r = r != 0 ? r : put_batch(&d->batch, result);
    pthread_mutex_unlock(&d->receiving);
    return r;
}

/* Sends frames in the order given, waiting while the device's queue is full. */
static int send_frames(const struct visit *v, const struct iovec *frames, uint32_t count,
                       uint32_t *accepted)
{
    struct device_instance *d = v->d;
    uint64_t until_ns = clock_ns() + SEND_WAIT_NS_MAX;
    uint32_t done = 0;

    until_ns = until_ns < v->deadline_ns ? until_ns : v->deadline_ns;
    while (done < count) {
        uint32_t sent = 0, taken = 0;
        int r = d->ops->mend_sender(d->device, v->why);

        r = r != 0 ? r
                   : d->ops->send(d->device, frames + done, count - done, &sent, &taken, v->why);
        done += sent;
        *accepted += taken;
        if (r == -EAGAIN) {
            r = visit_poll(v, d->ops->sender_fd(d->device), POLLOUT, until_ns);
            if (r == RHODES_TIMEOUT) {
                DEVICE_COUNT(d->counters.tx_dropped, count - done);
                return 0;
            }
        }
        if (r != 0) {
            DEVICE_COUNT(d->counters.tx_dropped, count - done);
            return r;
        }
    }
    return 0;
}

#define SEND_CHUNK 64u

static int call_tx(const struct visit *v, struct rhodes_reader *arguments,
                   struct rhodes_writer *result)
{
    struct iovec frames[SEND_CHUNK];
    uint32_t count, accepted = 0;
    int r = rhodes_get_list(arguments, &count);

    if (r != 0) {
        return device_fail(v->why, r, "tx takes frames: list<list<u8>>");
    }
    if (half_take(&v->d->sending, v->deadline_ns) != 0) {
        return device_fail(v->why, RHODES_CALLEE_FAILED, "other senders keep the device busy");
    }
    while (r == 0 && count > 0) {
        uint32_t n = count < SEND_CHUNK ? count : SEND_CHUNK;

        for (uint32_t i = 0; r == 0 && i < n; i++) {
            const void *data;

            r = rhodes_get_bytes(arguments, &data, &frames[i].iov_len);
            frames[i].iov_base = r == 0 ? (void *)(uintptr_t)data : NULL; /* only read */
        }
        r = r != 0 ? r : send_frames(v, frames, n, &accepted);
        count -= n;
    }
    pthread_mutex_unlock(&v->d->sending);
    r = r != 0 ? r : rhodes_get_end(arguments);
    return r != 0 ? r : rhodes_put_u32(result, accepted);
}

static int call_info(const struct visit *v, struct rhodes_writer *result)
{
    struct device_facts facts = { 0 };
    int r = v->d->ops->describe(v->d->device, &facts, v->why);

    r = r != 0 ? r : rhodes_put_begin(result);
    r = r != 0 ? r : rhodes_put_bytes(result, facts.mac, sizeof(facts.mac));
    r = r != 0 ? r : rhodes_put_u32(result, facts.mtu);
    r = r != 0 ? r : rhodes_put_string(result, facts.name, strlen(facts.name));
    return r != 0 ? r : rhodes_put_end(result);
}

static int call_stat(const struct visit *v, struct rhodes_writer *result)
{
    struct device_counters *c = &v->d->counters;
    _Atomic uint64_t *const fields[] = { &c->rx_frames, &c->rx_bytes, &c->rx_dropped,
                                         &c->tx_frames, &c->tx_bytes, &c->tx_dropped };
    int r = rhodes_put_begin(result);

    for (size_t i = 0; r == 0 && i < sizeof(fields) / sizeof(fields[0]); i++) {
        r = rhodes_put_u64(result, atomic_load_explicit(fields[i], memory_order_relaxed));
    }
    return r != 0 ? r : rhodes_put_end(result);
}

static int visit_run(const struct visit *v, const char *name, struct rhodes_reader *arguments,
                     struct rhodes_writer *result)
{
    if (strcmp(name, "rx") == 0) {
        return call_rx(v, arguments, result);
    }
    if (strcmp(name, "tx") == 0) {
        return call_tx(v, arguments, result);
    }
    if (strcmp(name, "info") == 0) {
        return call_info(v, result);
    }
    if (strcmp(name, "stat") == 0) {
        return call_stat(v, result);
    }
    return device_fail(v->why, RHODES_NOT_FOUND, "a %s device has no function '%.64s'",
                       v->d->ops->name, name);
}

int device_call(struct device_instance *d, const char *function_name,
                struct rhodes_reader *arguments, struct rhodes_writer *result, uint64_t deadline_ns,
                char *why, size_t why_bytes)
{
    struct visit v = { d, deadline_ns, { why, why_bytes } };
    int r;

    pthread_mutex_lock(&d->life);
    d->users++;
    pthread_mutex_unlock(&d->life);
    device_fail(v.why, 0, "%s", "");
    if (atomic_load(&d->stopping)) {
        r = device_fail(v.why, RHODES_NOT_EXECUTED, "the device is being closed");
    } else {
        r = visit_run(&v, function_name, arguments, result);
    }
    if (r != 0 && why_bytes > 0 && why[0] == '\0') {
        device_fail(v.why, r, "%s: %s", function_name, rhodes_result_sentence(r));
    }
    pthread_mutex_lock(&d->life);
    d->users--;
    if (d->users == 0) {
        pthread_cond_broadcast(&d->left);
    }
    pthread_mutex_unlock(&d->life);
    return r < 0 ? RHODES_CALLEE_FAILED : r;
}
