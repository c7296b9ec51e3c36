/* The session with the agent: joining it, asking it, noticing its end.
 *
 * The background thread is the only reader of the socket. It hands an answer to the one thread that
 * waits for its tag, and at the end of the stream (the kernel closes it when the agent dies) it
 * ends the epoch: every wait of every channel is interrupted, and the agent's successor is looked
 * for every 5 to 20 ms. Joining says again what the agent must know of this program (HELLO, SERVE,
 * READY); channels and bindings follow when a thread needs them. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "client/client.h"

#define JOIN_STEP_NS      (2 * NS_PER_S) /* one answer while joining */
#define RETRY_NS_MIN      (5 * NS_PER_MS)
#define RETRY_NS_SPAN     (15 * NS_PER_MS)
#define RETRY_NS_LATER    (100 * NS_PER_MS)
#define RETRY_SOON_FOR_NS (5 * NS_PER_S)

uint64_t random_id(void)
{
    uint64_t id = 0;

    while (getrandom(&id, sizeof(id), 0) != sizeof(id) || id == 0) {
    }
    return id;
}

int thread_start(pthread_t *ret, void *(*run)(void *), void *data)
{
    sigset_t all, before;
    int r;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = -pthread_create(ret, NULL, run, data);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r ? failed(r) : 0;
}

static void message_begin(struct session_message *m, enum session_type type)
{
    m->type = (uint16_t)type;
    m->tag = 0;
    m->result = 0;
    m->flags = 0;
    memset(m->number, 0, sizeof(m->number));
    memset(m->key, 0, sizeof(m->key));
    for (size_t i = 0; i < sizeof(m->text) / sizeof(m->text[0]); i++) {
        m->text[i][0] = 0;
    }
}

/* --- joining: on a socket that only the joining thread knows, with the background thread's buffers
 * --- */

static int packet_send(int fd, const struct session_message *m, void *packet,
                       const struct descriptors *d)
{
    size_t bytes;
    int r = session_encode(m, packet, SESSION_BYTES_MAX, &bytes);

    if (r) {
        return r;
    }
    r = unix_send(fd, packet, bytes, d ? d->fd : NULL, d ? d->count : 0);
    return r == -EAGAIN ? RHODES_TIMEOUT : r < 0 ? -ECANCELED : r; /* it has hung; it is gone */
}

/* Takes one packet. -EAGAIN: none is there; -ECANCELED: the stream ended, or it is no session. */
static int packet_receive(struct rhodes *r, int fd, struct descriptors *ret)
{
    size_t bytes = 0;
    int result =
        unix_receive(fd, r->watch_packet, sizeof(r->watch_packet), &bytes, ret->fd, &ret->count);

    if (result || bytes == 0) {
        return result == -EAGAIN ? result : -ECANCELED;
    }
    result = session_decode(r->watch_packet, bytes, &r->watch_message);
    if (result) {
        descriptors_close(ret);
        return -ECANCELED;
    }
    return 0;
}

/* Sends watch_message and receives its answer into it. */
static int join_ask(struct rhodes *r, int fd)
{
    struct pollfd events[2] = { { .fd = fd, .events = POLLIN },
                                { .fd = r->wake, .events = POLLIN } };
    struct descriptors none = { 0 };
    uint16_t type = r->watch_message.type;
    uint32_t tag = ++r->tag_last;
    uint64_t deadline = clock_ns() + JOIN_STEP_NS;
    int result;

    r->watch_message.tag = tag;
    result = packet_send(fd, &r->watch_message, r->watch_packet, NULL);
    while (!result) {
        struct timespec left = clock_timespec(clock_left_ns(deadline));
        int n = ppoll(events, 2, &left, NULL);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0 || events[1].revents) {
            return n == 0 ? RHODES_TIMEOUT : -ECANCELED;
        }
        result = packet_receive(r, fd, &none);
        if (result == -EAGAIN) {
            result = 0;
            continue;
        }
        descriptors_close(&none);
        if (!result && r->watch_message.tag == tag &&
            r->watch_message.type == (type | SESSION_ANSWER)) {
            return r->watch_message.result;
        }
    }
    return result;
}

static void why_keep(struct rhodes *r, int result)
{
    const struct session_message *m = &r->watch_message;

    if (result > 0 && result != RHODES_TIMEOUT && m->text[0][0]) {
        snprintf(r->lost, sizeof(r->lost), "%.700s%s%.200s", m->text[0], m->text[1][0] ? "; " : "",
                 m->text[1]);
    } else if (result == RHODES_TIMEOUT) {
        snprintf(r->lost, sizeof(r->lost), "the agent at %.700s does not answer", r->agent);
    } else {
        snprintf(r->lost, sizeof(r->lost), "no agent at %.700s (%s)", r->agent,
                 rhodes_result_name(result));
    }
}

static int join_hello(struct rhodes *r, int fd)
{
    struct session_message *m = &r->watch_message;
    int result;

    message_begin(m, SESSION_HELLO);
    m->flags = r->flags;
    m->number[0] = r->client;
    snprintf(m->text[0], sizeof(m->text[0]), "%s", r->wanted);
    result = join_ask(r, fd);
    if (result) {
        return result;
    }
    if (strlen(m->text[0]) >= sizeof(r->resource)) {
        return -ECANCELED;
    }
    if (!r->resource[0]) { /* once: rhodes_resource() gives it out without a lock */
        snprintf(r->resource, sizeof(r->resource), "%.*s", (int)sizeof(r->resource) - 1,
                 m->text[0]);
    }
    return 0;
}

static int join_serve(struct rhodes *r, int fd)
{
    struct session_message *m = &r->watch_message;
    struct served *served;
    bool serving;
    int result = 0;

    pthread_mutex_lock(&r->lock);
    served = r->served; /* the list grows at its front only */
    serving = r->serving;
    pthread_mutex_unlock(&r->lock);
    for (; served && !result; served = served->next) {
        message_begin(m, SESSION_SERVE);
        snprintf(m->text[0], sizeof(m->text[0]), "%s", served->signature);
        snprintf(m->text[1], sizeof(m->text[1]), "%s", served->types);
        result = join_ask(r, fd);
        if (result > 0 && result != RHODES_TIMEOUT) {
            result = 0; /* its manifest does not provide it any more; the others go on */
        }
    }
    if (!result && serving) {
        message_begin(m, SESSION_READY);
        result = join_ask(r, fd);
    }
    return result;
}

/* One try. On success the session is published. */
static int session_join(struct rhodes *r)
{
    CLEANUP(fd_closep) int fd = -1;
    int result;

    message_begin(&r->watch_message, SESSION_HELLO);
    result = unix_connect_path(r->agent, SOCK_SEQPACKET | SOCK_NONBLOCK, &fd);
    result = result ? result : join_hello(r, fd);
    result = result ? result : join_serve(r, fd);
    pthread_mutex_lock(&r->lock);
    if (result) {
        why_keep(r, result);
    } else {
        r->socket = fd;
        fd = -1;
        atomic_store(&r->epoch, ++r->epoch_last);
        pthread_cond_broadcast(&r->changed);
    }
    pthread_mutex_unlock(&r->lock);
    return result;
}

/* Waits a moment between two tries; true when the handle is closing. */
static bool retry_pause(struct rhodes *r, uint64_t since_ns)
{
    bool soon = clock_ns() - since_ns < RETRY_SOON_FOR_NS;
    uint64_t pause = soon ? RETRY_NS_MIN + random_id() % RETRY_NS_SPAN : RETRY_NS_LATER;
    struct timespec left = clock_timespec(pause);
    struct pollfd event = { .fd = r->wake, .events = POLLIN };

    return ppoll(&event, 1, &left, NULL) > 0;
}

int session_open(struct rhodes *r, uint64_t deadline_ns)
{
    uint64_t since = clock_ns();

    for (;;) {
        int result = session_join(r);

        if (result == 0) {
            return 0;
        }
        if (result == RHODES_INVALID || (result > 0 && result != RHODES_TIMEOUT) ||
            clock_left_ns(deadline_ns) == 0) {
            result = result == -ECONNREFUSED || result == -ECANCELED || result == RHODES_TIMEOUT
                         ? -ENOENT
                         : result;
            return error_say(result, "%s", r->lost);
        }
        retry_pause(r, since);
    }
}

/* --- the background thread --- */

static void epoch_end(struct rhodes *r)
{
    pthread_mutex_lock(&r->lock);
    atomic_store(&r->epoch, 0);
    fd_closep(&r->socket);
    snprintf(r->lost, sizeof(r->lost), "the agent of %s ended", r->resource);
    for (struct channel *ch = r->channels; ch; ch = ch->next) {
        if (ch->conduit) {
            ch->conduit->transmitter->interrupt(ch->conduit);
        }
    }
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

/* Reads until the end of the stream; false: the handle is closing. */
static bool session_read(struct rhodes *r)
{
    struct pollfd events[2] = { { .fd = r->socket, .events = POLLIN },
                                { .fd = r->wake, .events = POLLIN } };

    for (;;) {
        struct descriptors received = { 0 };
        int result;

        if (ppoll(events, 2, NULL, NULL) < 0) {
            continue;
        }
        if (events[1].revents) {
            return false;
        }
        result = packet_receive(r, events[0].fd, &received);
        if (result == -EAGAIN) {
            continue;
        }
        if (result) {
            return true;
        }
        pthread_mutex_lock(&r->lock);
        if (r->tag_waiting && r->watch_message.tag == r->tag_waiting &&
            r->watch_message.type == (r->request.type | SESSION_ANSWER)) {
            r->answer = r->watch_message;
            descriptors_close(&r->answer_descriptors);
            r->answer_descriptors = received;
            received.count = 0;
            r->tag_waiting = 0;
            r->answered = true;
            pthread_cond_broadcast(&r->changed);
        }
        pthread_mutex_unlock(&r->lock);
        descriptors_close(&received); /* a late answer's */
    }
}

static void *watcher_run(void *data)
{
    struct rhodes *r = data;

    while (session_read(r)) {
        uint64_t since = clock_ns();

        epoch_end(r);
        while (session_join(r) != 0) {
            if (retry_pause(r, since)) {
                return NULL;
            }
        }
    }
    return NULL;
}

int watcher_start(struct rhodes *r)
{
    int result = thread_start(&r->watcher, watcher_run, r);

    return result ? error_say(result, "no thread can be started") : 0;
}

/* --- asking --- */

struct session_message *session_begin(struct rhodes *r, enum session_type type,
                                      uint64_t deadline_ns)
{
    struct timespec end = clock_timespec(deadline_ns);

    if (pthread_mutex_clocklock(&r->request_lock, CLOCK_MONOTONIC, &end) != 0) {
        return NULL;
    }
    message_begin(&r->request, type);
    return &r->request;
}

void session_end(struct rhodes *r)
{
    pthread_mutex_lock(&r->lock);
    r->tag_waiting = 0;
    r->answered = false;
    descriptors_close(&r->answer_descriptors);
    pthread_mutex_unlock(&r->lock);
    pthread_mutex_unlock(&r->request_lock);
}

/* The lock is held. */
static int answer_wait(struct rhodes *r, uint64_t epoch, uint64_t deadline_ns)
{
    struct timespec end = clock_timespec(deadline_ns);

    while (!r->answered) {
        if (atomic_load(&r->epoch) != epoch || r->closing) {
            return error_say(-ECANCELED, "%s",
                             r->closing ? "the session is being closed" : r->lost);
        }
        if (pthread_cond_clockwait(&r->changed, &r->lock, CLOCK_MONOTONIC, &end) == ETIMEDOUT &&
            !r->answered) {
            return error_say(RHODES_TIMEOUT, "the agent of %s did not answer in time", r->resource);
        }
    }
    if (r->answer.result) {
        error_say(r->answer.result, "%.700s%s%.200s", r->answer.text[0],
                  r->answer.text[1][0] ? "; " : "", r->answer.text[1]);
    }
    return r->answer.result;
}

int session_ask(struct rhodes *r, uint64_t epoch, const struct descriptors *send,
                uint64_t deadline_ns)
{
    int result;

    pthread_mutex_lock(&r->lock);
    if (atomic_load(&r->epoch) == 0 || r->closing || (epoch && epoch != atomic_load(&r->epoch))) {
        result = error_say(-ECANCELED, "%s", r->lost);
    } else {
        epoch = atomic_load(&r->epoch);
        r->request.tag = r->tag_waiting = ++r->tag_last;
        r->answered = false;
        result = packet_send(r->socket, &r->request, r->packet, send);
        if (result) {
            error_say(result, "the agent of %s takes no request", r->resource);
        }
        result = result ? result : answer_wait(r, epoch, deadline_ns);
    }
    pthread_mutex_unlock(&r->lock);
    return result;
}

int session_wait(struct rhodes *r, uint64_t deadline_ns, const _Atomic bool *stop,
                 uint64_t *ret_epoch)
{
    struct timespec end = clock_timespec(deadline_ns);
    int result = 0;

    pthread_mutex_lock(&r->lock);
    while (!result && (*ret_epoch = atomic_load(&r->epoch)) == 0) {
        if (r->closing || (stop && atomic_load((_Atomic bool *)(uintptr_t)stop))) {
            result = error_say(-ECANCELED, "the session is being closed");
        } else if (pthread_cond_clockwait(&r->changed, &r->lock, CLOCK_MONOTONIC, &end) ==
                   ETIMEDOUT) {
            result = error_say(RHODES_TIMEOUT, "%s", r->lost);
        }
    }
    pthread_mutex_unlock(&r->lock);
    return result;
}
