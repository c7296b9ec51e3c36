/* The caller's agent towards the callees' agents. A connection is made when the first lane needs it
 * and kept; when it ends, every lane that was made over it is lost at that moment (lanes_lost),
 * whoever notices first: the main loop through epoll, or the thread that is just talking. The
 * serial tells one connection from the next, so that a lane made just before the end cannot be
 * taken for one of the new connection.
 *
 * An agent that died is back within some hundred milliseconds, so a thread that finds nobody tries
 * again until its call's deadline instead of failing at once. */
#include "agent/peer.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "agent/agent.h"
#include "base/clock.h"

#define RETRY_NS_MIN (2 * NS_PER_MS)
#define RETRY_NS_MAX (20 * NS_PER_MS)
#define SLICE_NS     (50 * NS_PER_MS) /* how late a thread that waits here sees *stop */

struct peer {
    char callee[RESOURCE_ID_BYTES_MAX], path[RESOURCE_ID_BYTES_MAX + 16];
    pthread_mutex_t lock; /* all but `serial`: one exchange at a time */
    int fd;
    uint64_t fd_serial;
    uint32_t tag;
    struct session_message message;
    uint8_t packet[SESSION_BYTES_MAX];
    _Atomic uint64_t serial; /* of the connection that lives, or of the next one */
};

int peers_init(struct peers *p)
{
    *p = (struct peers){ .deaths_fd = epoll_create1(EPOLL_CLOEXEC) };
    pthread_mutex_init(&p->lock, NULL);
    return p->deaths_fd < 0 ? failed(-errno) : 0;
}

void peers_deinit(struct peers *p)
{
    for (size_t i = 0; i < p->count; i++) {
        fd_closep(&p->list[i]->fd);
        pthread_mutex_destroy(&p->list[i]->lock);
        free(p->list[i]);
    }
    fd_closep(&p->deaths_fd);
    pthread_mutex_destroy(&p->lock);
}

static int peer_new(const char *callee, struct peer **ret)
{
    enum layer layer;
    char name[NAME_BYTES_MAX], id[RESOURCE_ID_BYTES_MAX];
    struct peer *p;
    int r = resource_id_parse(callee, '/', &layer, name);

    if (r) {
        return r;
    }
    p = calloc(1, sizeof(*p));
    if (!p) {
        return failed(-ENOMEM);
    }
    resource_id_make(layer, name, '.', id);
    snprintf(p->callee, sizeof(p->callee), "%s", callee);
    snprintf(p->path, sizeof(p->path), "%s/agent.sock", id);
    pthread_mutex_init(&p->lock, NULL);
    p->fd = -1;
    p->serial = 1;
    *ret = p;
    return 0;
}

int peer_find(struct agent *a, const char *callee, struct peer **ret)
{
    struct peers *all = &a->peers;
    struct peer *found = NULL;
    int r = 0;

    pthread_mutex_lock(&all->lock);
    for (size_t i = 0; i < all->count && !found; i++) {
        found = strcmp(all->list[i]->callee, callee) == 0 ? all->list[i] : NULL;
    }
    if (!found) {
        r = all->count < AGENT_PEERS_MAX ? peer_new(callee, &found) : RHODES_OVER_LIMIT;
        if (!r) {
            all->list[all->count++] = found;
        }
    }
    pthread_mutex_unlock(&all->lock);
    if (!r) {
        *ret = found;
    }
    return r;
}

bool peer_alive(const struct peer *p, uint64_t serial)
{
    return atomic_load_explicit(&p->serial, memory_order_acquire) == serial;
}

/* The connection with this serial is over. Any thread, with or without the peer's lock; the first
 * one does the work. */
static void peer_ended(struct agent *a, struct peer *p, uint64_t serial)
{
    uint64_t expected = serial;

    if (atomic_compare_exchange_strong(&p->serial, &expected, serial + 1)) {
        lanes_lost(a, p, serial);
    }
}

static void peer_hang_up(struct agent *a, struct peer *p)
{
    fd_closep(&p->fd);
    peer_ended(a, p, p->fd_serial);
}

void peers_on_deaths(struct agent *a)
{
    struct epoll_event events[16];
    int n = epoll_wait(a->peers.deaths_fd, events, 16, 0);

    for (int i = 0; i < n; i++) {
        struct peer *p;

        pthread_mutex_lock(&a->peers.lock);
        p = a->peers.list[events[i].data.u64 >> 32]; /* the list only grows */
        pthread_mutex_unlock(&a->peers.lock);
        /* The low half of the serial is enough to tell a connection from its successors. */
        uint64_t serial = p->serial;
        if ((uint32_t)serial == (uint32_t)events[i].data.u64) {
            peer_ended(a, p, serial);
        }
    }
}

static int wait_for(int fd, short events, const struct patience *patience)
{
    for (;;) {
        struct pollfd poll_fd = { .fd = fd, .events = events };
        uint64_t left = clock_left_ns(patience->deadline_ns);
        struct timespec slice = clock_timespec(left < SLICE_NS ? left : SLICE_NS);
        int n;

        if (atomic_load(patience->stop)) {
            return -ECANCELED;
        }
        n = ppoll(&poll_fd, fd >= 0, &slice, NULL);
        if (n > 0) {
            return 0;
        }
        if (n < 0 && errno != EINTR) {
            return failed(-errno);
        }
        if (left == 0) {
            return RHODES_TIMEOUT;
        }
    }
}

/* Sends p->message and waits for its answer, which replaces it. Late answers to earlier requests
 * are dropped. */
static int exchange(struct peer *p, const struct descriptors *send, const struct patience *patience,
                    struct descriptors *ret_received)
{
    const uint16_t type = p->message.type;
    const uint32_t tag = p->message.tag = ++p->tag;
    struct descriptors received = { 0 };
    size_t bytes;
    int r = session_encode(&p->message, p->packet, sizeof(p->packet), &bytes);

    while (!r) {
        r = unix_send(p->fd, p->packet, bytes, send->fd, send->count);
        if (r != -EAGAIN) {
            break;
        }
        r = wait_for(p->fd, POLLOUT, patience);
    }
    while (!r) {
        r = wait_for(p->fd, POLLIN, patience);
        if (r) {
            break;
        }
        r = unix_receive(p->fd, p->packet, sizeof(p->packet), &bytes, received.fd, &received.count);
        if (r == -EAGAIN) {
            r = 0;
            continue;
        }
        if (!r && bytes == 0) {
            r = -EPIPE;
        }
        r = r ? r : session_decode(p->packet, bytes, &p->message);
        if (!r && p->message.tag == tag && p->message.type == (type | SESSION_ANSWER)) {
            *ret_received = received;
            return 0;
        }
        descriptors_close(&received);
    }
    return r == -ECONNRESET ? -EPIPE : r;
}

static void message_begin(struct peer *p, enum session_type type)
{
    struct session_message *m = &p->message;

    m->type = (uint16_t)type;
    m->tag = 0;
    m->result = 0;
    m->flags = 0;
    memset(m->number, 0, sizeof(m->number));
    memset(m->key, 0, sizeof(m->key));
    for (int i = 0; i < 4; i++) {
        m->text[i][0] = 0;
    }
}

/* What the other agent answered, as a result with a sentence. */
static int answered(const struct peer *p, char *why)
{
    if (p->message.result) {
        snprintf(why, WHY_BYTES, "%.*s", WHY_BYTES - 1, p->message.text[0]);
    }
    return p->message.result;
}

static int greet(struct agent *a, struct peer *p, const uint8_t *key,
                 const struct patience *patience, char *why)
{
    const struct descriptors none = { 0 };
    struct descriptors received = { 0 };
    int r;

    message_begin(p, SESSION_PEER);
    p->message.number[0] = a->incarnation;
    memcpy(p->message.key, key, EDGE_KEY_BYTES);
    strcpy(p->message.text[0], a->options.resource);
    strcpy(p->message.text[1], p->callee);
    r = exchange(p, &none, patience, &received);
    descriptors_close(&received);
    return r ? r : answered(p, why);
}

/* Enters the new connection into the epoll set; from here on its end cannot be missed. */
static int watch_end(struct agent *a, struct peer *p)
{
    struct epoll_event event = { .events = EPOLLRDHUP | EPOLLONESHOT };
    uint64_t index = 0;

    pthread_mutex_lock(&a->peers.lock);
    while (a->peers.list[index] != p) {
        index++;
    }
    pthread_mutex_unlock(&a->peers.lock);
    event.data.u64 = index << 32 | (uint32_t)p->fd_serial;
    return epoll_ctl(a->peers.deaths_fd, EPOLL_CTL_ADD, p->fd, &event) < 0 ? failed(-errno) : 0;
}

/* Makes p->fd a greeted connection. Nobody there is waited for. */
static int peer_connect(struct agent *a, struct peer *p, const uint8_t *key,
                        const struct patience *patience, char *why)
{
    uint64_t pause = RETRY_NS_MIN;

    for (;;) {
        int r = unix_connect_at(a->agents_fd, p->path, SOCK_SEQPACKET | SOCK_NONBLOCK, &p->fd);

        if (!r) {
            p->fd_serial = p->serial;
            r = watch_end(a, p);
            r = r ? r : greet(a, p, key, patience, why);
            if (!r) {
                return 0;
            }
            peer_hang_up(a, p);
            if (r != -EPIPE) {
                return r;
            }
        }
        struct patience nap = { clock_ns() + pause, patience->stop };
        if (nap.deadline_ns > patience->deadline_ns) {
            nap.deadline_ns = patience->deadline_ns;
        }
        if (clock_left_ns(patience->deadline_ns) == 0) {
            snprintf(why, WHY_BYTES, "the agent of %s was not there until the deadline (%s)",
                     p->callee, rhodes_result_sentence(r));
            return RHODES_NOT_EXECUTED;
        }
        r = wait_for(-1, 0, &nap);
        if (r != RHODES_TIMEOUT) {
            return r;
        }
        pause = pause * 2 < RETRY_NS_MAX ? pause * 2 : RETRY_NS_MAX;
    }
}

static int lane_locked(struct agent *a, struct peer *p, const struct lane_request *request,
                       const struct patience *patience, struct lane_answer *ret, char *why)
{
    int r = 0;

    if (p->fd >= 0 && !peer_alive(p, p->fd_serial)) {
        fd_closep(&p->fd);
    }
    if (p->fd < 0) {
        r = peer_connect(a, p, request->edge->key, patience, why);
    }
    if (r) {
        return r;
    }
    message_begin(p, SESSION_LANE);
    p->message.number[0] = request->lane;
    p->message.number[1] = request->protocol;
    p->message.number[2] = request->epoch;
    *ret = (struct lane_answer){ .serial = p->fd_serial };
    r = exchange(p, request->send, patience, &ret->received);
    if (r) {
        snprintf(why, WHY_BYTES, "the agent of %s did not answer: %s", p->callee,
                 rhodes_result_sentence(r));
        if (r != RHODES_TIMEOUT && r != -ECANCELED) {
            peer_hang_up(a, p);
        }
        return r;
    }
    ret->executor = p->message.number[0];
    r = answered(p, why);
    if (r) {
        descriptors_close(&ret->received);
    }
    return r;
}

int peer_lane(struct agent *a, struct peer *p, const struct lane_request *request,
              const struct patience *patience, struct lane_answer *ret, char *why)
{
    int r = lock_until(&p->lock, patience->deadline_ns);

    if (r) {
        snprintf(why, WHY_BYTES, "other calls to %s were still waiting for its agent", p->callee);
        return RHODES_NOT_EXECUTED;
    }
    r = lane_locked(a, p, request, patience, ret, why);
    pthread_mutex_unlock(&p->lock);
    return r;
}

void peer_lane_close(struct agent *a, struct peer *p, uint64_t lane, uint64_t serial)
{
    size_t bytes;

    if (lock_until(&p->lock, clock_ns() + RETRY_NS_MAX)) {
        return; /* the conduit's own end says it too, only later */
    }
    if (p->fd >= 0 && p->fd_serial == serial) {
        message_begin(p, SESSION_CLOSE);
        p->message.tag = ++p->tag;
        p->message.number[0] = lane;
        if (session_encode(&p->message, p->packet, sizeof(p->packet), &bytes) == 0 &&
            unix_send(p->fd, p->packet, bytes, NULL, 0) != 0) {
            peer_hang_up(
                a, p); /* it does not take what it is sent: better no connection than a full one */
        }
    }
    pthread_mutex_unlock(&p->lock);
}
