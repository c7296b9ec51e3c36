/* stack_tcp: blocking TCP connections on lwIP's raw functions.
 *
 * lwIP calls back under its core lock; the callbacks put what arrived into the connection's ring
 * and wake whoever waits. What was read is told to lwIP afterwards (tcp_recved), which opens the
 * window again; since the ring is at least as large as the window, a callback never has to refuse
 * data. A connection is kept in the table until it was closed and no call is inside it. When the
 * table is full, one that nobody has used for STACK_IDLE_NS makes room: a client that died cannot
 * fill the table for ever. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stack_inner.h"

void stack_tcp_init(struct stack *s)
{
    pthread_condattr_t monotonic;

    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    for (uint32_t i = 0; i < STACK_CONNECTIONS_MAX; i++) {
        s->connections[i].stack = s;
        pthread_cond_init(&s->connections[i].changed, &monotonic);
    }
    pthread_condattr_destroy(&monotonic);
}

/* What lwIP calls: each with the core lock held. */

static err_t on_received(void *data, struct tcp_pcb *pcb, struct pbuf *p, err_t error)
{
    struct connection *c = data;
    struct stack *s = c->stack;

    (void)pcb;
    (void)error;
    pthread_mutex_lock(&s->lock);
    if (p == NULL) {
        c->ended = true;
    } else {
        for (const struct pbuf *part = p; part != NULL; part = part->next) {
            size_t at = (c->head + c->used) % CONNECTION_RING_BYTES;
            size_t first =
                CONNECTION_RING_BYTES - at < part->len ? CONNECTION_RING_BYTES - at : part->len;

            memcpy(c->ring + at, part->payload, first);
            memcpy(c->ring, (const uint8_t *)part->payload + first, part->len - first);
            c->used += part->len;
        }
        __atomic_add_fetch(&s->counters.bytes_in, p->tot_len, __ATOMIC_RELAXED);
        pbuf_free(p);
    }
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&s->lock);
    return ERR_OK;
}

static err_t on_sent(void *data, struct tcp_pcb *pcb, u16_t bytes)
{
    struct connection *c = data;

    (void)pcb;
    (void)bytes;
    pthread_mutex_lock(&c->stack->lock);
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->stack->lock);
    return ERR_OK;
}

static err_t on_connected(void *data, struct tcp_pcb *pcb, err_t error)
{
    struct connection *c = data;

    (void)pcb;
    (void)error; /* always ERR_OK */
    pthread_mutex_lock(&c->stack->lock);
    c->state = CONNECTION_OPEN;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->stack->lock);
    return ERR_OK;
}

/* lwIP has freed the pcb already. */
static void on_error(void *data, err_t error)
{
    struct connection *c = data;

    c->pcb = NULL;
    pthread_mutex_lock(&c->stack->lock);
    c->error = error;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->stack->lock);
}

static void pcb_attach(struct connection *c, struct tcp_pcb *pcb)
{
    c->pcb = pcb;
    tcp_arg(pcb, c);
    tcp_recv(pcb, on_received);
    tcp_sent(pcb, on_sent);
    tcp_err(pcb, on_error);
    tcp_nagle_disable(pcb);
}

/* Lets go of the pcb: politely, or with a reset. Core lock held. */
static void pcb_detach(struct connection *c, bool abort)
{
    struct tcp_pcb *pcb = c->pcb;

    if (pcb == NULL) {
        return;
    }
    c->pcb = NULL;
    tcp_arg(pcb, NULL);
    tcp_recv(pcb, NULL);
    tcp_sent(pcb, NULL);
    tcp_err(pcb, NULL);
    if (abort || tcp_close(pcb) != ERR_OK) {
        tcp_abort(pcb);
    }
}

static const char *error_text(err_t error)
{
    switch (error) {
    case ERR_MEM:
        return "out of memory";
    case ERR_RTE:
        return "no route";
    case ERR_ABRT:
        return "no answer to what was sent";
    case ERR_CLSD:
        return "closed";
    case ERR_USE:
        return "all ports in use";
    default:
        return "broken";
    }
}

/* The table. Core lock and `lock` held. */
static struct connection *slot_take(struct stack *s)
{
    struct connection *idle = NULL;

    for (uint32_t i = 0; i < STACK_CONNECTIONS_MAX; i++) {
        struct connection *c = &s->connections[i];

        if (c->state == CONNECTION_FREE) {
            idle = c;
            break;
        }
        if (c->users == 0 && (idle == NULL || c->touched_ns < idle->touched_ns)) {
            idle = c;
        }
    }
    if (idle == NULL ||
        (idle->state != CONNECTION_FREE && stack_now_ns() - idle->touched_ns < STACK_IDLE_NS)) {
        return NULL;
    }
    pcb_detach(idle, true);
    if (idle->ring == NULL) {
        idle->ring = malloc(CONNECTION_RING_BYTES);
        if (idle->ring == NULL) {
            return NULL;
        }
    }
    idle->id = ++s->id_next;
    idle->head = 0;
    idle->used = 0;
    idle->ended = false;
    idle->error = ERR_OK;
    idle->touched_ns = stack_now_ns();
    return idle;
}

/* Enters a call on a connection: NULL when there is none of that number. Left by call_leave. */
static struct connection *call_enter(struct stack *s, uint32_t id)
{
    struct connection *found = NULL;

    pthread_mutex_lock(&s->lock);
    for (uint32_t i = 0; found == NULL && i < STACK_CONNECTIONS_MAX; i++) {
        struct connection *c = &s->connections[i];

        if (c->id == id && c->state != CONNECTION_FREE && c->state != CONNECTION_CLOSED) {
            found = c;
            c->users++;
            c->touched_ns = stack_now_ns();
        }
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

static void call_leave(struct connection *c)
{
    pthread_mutex_lock(&c->stack->lock);
    c->users--;
    c->touched_ns = stack_now_ns();
    if (c->users == 0 && c->state == CONNECTION_CLOSED) {
        c->state = CONNECTION_FREE;
    }
    pthread_mutex_unlock(&c->stack->lock);
}

/* What ends a wait early: the connection broke or was closed, or the card went out of reach since
 * `faults`. `lock` held. */
static int wait_broken(const struct connection *c, uint64_t faults, struct stack_why *why)
{
    const struct stack *s = c->stack;

    if (c->state == CONNECTION_CLOSED) {
        return stack_fail(why, -ENOTCONN, "the connection to %s was closed", c->peer);
    }
    if (c->error == ERR_RST) {
        return c->state == CONNECTION_OPENING
                   ? stack_fail(why, -ECONNREFUSED, "%s refuses the connection", c->peer)
                   : stack_fail(why, -ECONNRESET, "%s reset the connection", c->peer);
    }
    if (c->error != ERR_OK) {
        return stack_fail(why, -ETIMEDOUT, "the connection to %s is lost (%s)", c->peer,
                          error_text(c->error));
    }
    if (s->fault[0] != '\0' || s->faults != faults) {
        return stack_fail(why, -ENETDOWN, "%s",
                          s->fault[0] != '\0' ? s->fault : "the network was out of reach");
    }
    return 0;
}

/* `lock` held. -ETIMEDOUT when the deadline has passed. */
static int wait_change(struct connection *c, uint64_t deadline_ns)
{
    struct timespec until = { .tv_sec = (time_t)(deadline_ns / 1000000000u),
                              .tv_nsec = (long)(deadline_ns % 1000000000u) };

    return pthread_cond_timedwait(&c->changed, &c->stack->lock, &until) == ETIMEDOUT ? -ETIMEDOUT
                                                                                     : 0;
}

static int connect_begin(struct stack *s, ip_addr_t *address, uint16_t port,
                         struct connection **ret, struct stack_why *why)
{
    struct connection *c;
    struct tcp_pcb *pcb;
    err_t error;

    pthread_mutex_lock(&s->lock);
    c = slot_take(s);
    if (c != NULL) {
        c->state = CONNECTION_OPENING;
        c->users = 1;
        snprintf(c->peer, sizeof(c->peer), "%s:%u", ipaddr_ntoa(address), port);
    }
    pthread_mutex_unlock(&s->lock);
    if (c == NULL) {
        return stack_fail(why, -EMFILE, "all %u connections are in use", STACK_CONNECTIONS_MAX);
    }
    pcb = tcp_new();
    error = pcb == NULL ? ERR_MEM : ERR_OK;
    if (error == ERR_OK) {
        pcb_attach(c, pcb);
        error = tcp_connect(pcb, address, port, on_connected);
    }
    if (error != ERR_OK) {
        pcb_detach(c, true);
        pthread_mutex_lock(&s->lock);
        c->state = CONNECTION_CLOSED;
        pthread_mutex_unlock(&s->lock);
        call_leave(c);
        return stack_fail(why, -EIO, "cannot connect to %s (%s)", c->peer, error_text(error));
    }
    *ret = c;
    return 0;
}

static void connection_drop(struct connection *c, bool abort)
{
    LOCK_TCPIP_CORE();
    pcb_detach(c, abort);
    UNLOCK_TCPIP_CORE();
    pthread_mutex_lock(&c->stack->lock);
    c->state = CONNECTION_CLOSED;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->stack->lock);
}

int stack_connect(struct stack *s, const char *host, uint16_t port, uint64_t deadline_ns,
                  uint32_t *ret_connection, struct stack_why *why)
{
    struct connection *c = NULL;
    ip_addr_t address = { 0 };
    struct in_addr parsed;
    uint64_t faults;
    int r;

    if (port == 0 || inet_pton(AF_INET, host, &parsed) != 1) {
        return stack_fail(why, -EINVAL, "'%.64s' port %u is not an IPv4 address and port", host,
                          port);
    }
    ip_addr_set_ip4_u32_val(address, parsed.s_addr);
    LOCK_TCPIP_CORE();
    r = connect_begin(s, &address, port, &c, why);
    UNLOCK_TCPIP_CORE();
    if (r != 0) {
        return r;
    }
    pthread_mutex_lock(&s->lock);
    faults = s->faults;
    r = wait_broken(c, faults, why); /* also when the far end was quicker than we */
    while (r == 0 && c->state == CONNECTION_OPENING) {
        r = wait_broken(c, faults, why);
        if (r == 0 && wait_change(c, deadline_ns) != 0) {
            r = stack_fail(why, -ETIMEDOUT, "%s does not answer", c->peer);
        }
    }
    pthread_mutex_unlock(&s->lock);
    if (r == 0) {
        *ret_connection = c->id;
    } else {
        connection_drop(c, true);
    }
    call_leave(c);
    return r;
}

/* Gives lwIP as much as its buffer takes now. */
static int send_some(struct connection *c, const uint8_t *data, size_t bytes, size_t *ret_sent)
{
    err_t error = ERR_OK;
    size_t n = 0;

    LOCK_TCPIP_CORE();
    if (c->pcb != NULL) {
        n = tcp_sndbuf(c->pcb);
        n = n < bytes ? n : bytes;
        n = n < 32768 ? n : 32768;
        error = n == 0 ? ERR_OK : tcp_write(c->pcb, data, (u16_t)n, TCP_WRITE_FLAG_COPY);
        n = error == ERR_OK ? n : 0;
        if (n > 0) {
            tcp_output(c->pcb);
        }
    }
    UNLOCK_TCPIP_CORE();
    *ret_sent = n;
    return error == ERR_OK || error == ERR_MEM ? 0 : -EIO;
}

int stack_send(struct stack *s, uint32_t connection, const void *data, size_t bytes,
               uint64_t deadline_ns, size_t *ret_sent, struct stack_why *why)
{
    struct connection *c = call_enter(s, connection);
    size_t sent = 0, n;
    uint64_t faults;
    int r = 0;

    if (c == NULL) {
        return stack_fail(why, -EBADF, "there is no connection %u", connection);
    }
    pthread_mutex_lock(&s->lock);
    faults = s->faults;
    r = wait_broken(c, faults, why);
    pthread_mutex_unlock(&s->lock);
    while (r == 0 && sent < bytes) {
        r = send_some(c, (const uint8_t *)data + sent, bytes - sent, &n);
        sent += n;
        __atomic_add_fetch(&s->counters.bytes_out, n, __ATOMIC_RELAXED);
        if (r != 0) {
            stack_fail(why, r, "the connection to %s takes no data", c->peer);
        } else if (sent < bytes) {
            pthread_mutex_lock(&s->lock);
            r = wait_broken(c, faults, why);
            /* The window may have opened between the two locks: look again after a moment at most.
             */
            if (r == 0 && wait_change(c, stack_now_ns() + 5000000) != 0 &&
                stack_now_ns() >= deadline_ns) {
                r = stack_fail(why, -ETIMEDOUT, "%s takes no more data", c->peer);
            }
            pthread_mutex_unlock(&s->lock);
        }
    }
    if (r == 0 || (r == -ETIMEDOUT && sent > 0)) {
        *ret_sent = sent;
        r = 0;
    }
    call_leave(c);
    return r;
}

/* `lock` held. */
static size_t ring_take(struct connection *c, void *data, size_t room)
{
    size_t n = c->used < room ? c->used : room;
    size_t first = CONNECTION_RING_BYTES - c->head < n ? CONNECTION_RING_BYTES - c->head : n;

    memcpy(data, c->ring + c->head, first);
    memcpy((uint8_t *)data + first, c->ring, n - first);
    c->head = (c->head + n) % CONNECTION_RING_BYTES;
    c->used -= n;
    return n;
}

static void window_open(struct connection *c, size_t bytes)
{
    LOCK_TCPIP_CORE();
    while (c->pcb != NULL && bytes > 0) {
        u16_t n = (u16_t)(bytes < 0xffff ? bytes : 0xffff);

        tcp_recved(c->pcb, n);
        bytes -= n;
    }
    UNLOCK_TCPIP_CORE();
}

int stack_recv(struct stack *s, uint32_t connection, void *data, size_t room, uint64_t deadline_ns,
               size_t *ret_bytes, struct stack_why *why)
{
    struct connection *c = call_enter(s, connection);
    uint64_t faults;
    int r = 0;

    if (c == NULL) {
        return stack_fail(why, -EBADF, "there is no connection %u", connection);
    }
    *ret_bytes = 0;
    pthread_mutex_lock(&s->lock);
    faults = s->faults;
    /* What has arrived is delivered, whatever happened since. */
    while (r == 0 && c->used == 0 && !c->ended) {
        r = wait_broken(c, faults, why);
        if (r == 0 && wait_change(c, deadline_ns) != 0) {
            r = stack_fail(why, -ETIMEDOUT, "nothing arrives from %s", c->peer);
        }
    }
    if (r == 0) {
        *ret_bytes = ring_take(c, data, room);
    }
    pthread_mutex_unlock(&s->lock);
    if (r == 0 && *ret_bytes > 0) {
        window_open(c, *ret_bytes);
    }
    call_leave(c);
    return r;
}

int stack_close(struct stack *s, uint32_t connection, struct stack_why *why)
{
    struct connection *c = call_enter(s, connection);

    if (c == NULL) {
        return stack_fail(why, -EBADF, "there is no connection %u", connection);
    }
    connection_drop(c, false);
    call_leave(c);
    return 0;
}

int stack_shutdown(struct stack *s, uint32_t connection, struct stack_why *why)
{
    struct connection *c = call_enter(s, connection);
    err_t error = ERR_CONN;

    if (c == NULL) {
        return stack_fail(why, -EBADF, "there is no connection %u", connection);
    }
    LOCK_TCPIP_CORE();
    if (c->pcb != NULL) {
        error = tcp_shutdown(c->pcb, 0, 1);
    }
    UNLOCK_TCPIP_CORE();
    call_leave(c);
    return error == ERR_OK ? 0
                           : stack_fail(why, -ENOTCONN, "the connection to %s is gone", c->peer);
}

static err_t on_accepted(void *data, struct tcp_pcb *pcb, err_t error)
{
    struct stack *s = data;
    struct connection *c;

    if (error != ERR_OK || pcb == NULL) {
        return ERR_VAL;
    }
    pthread_mutex_lock(&s->lock);
    c = slot_take(s);
    if (c != NULL) {
        c->state = CONNECTION_OPEN;
        c->users = 0;
        snprintf(c->peer, sizeof(c->peer), "%s:%u", ipaddr_ntoa(&pcb->remote_ip), pcb->remote_port);
    }
    pthread_mutex_unlock(&s->lock);
    if (c == NULL) {
        tcp_abort(pcb);
        return ERR_ABRT;
    }
    pcb_attach(c, pcb);
    s->on_accept(s->on_accept_data, c->id);
    return ERR_OK;
}

int stack_listen(struct stack *s, uint16_t port, void (*on_accept)(void *data, uint32_t connection),
                 void *data, struct stack_why *why)
{
    struct tcp_pcb *pcb, *listening = NULL;

    s->on_accept = on_accept;
    s->on_accept_data = data;
    LOCK_TCPIP_CORE();
    pcb = tcp_new();
    if (pcb != NULL && tcp_bind(pcb, IP_ADDR_ANY, port) == ERR_OK) {
        listening = tcp_listen(pcb);
    }
    if (listening != NULL) {
        tcp_arg(listening, s);
        tcp_accept(listening, on_accepted);
    } else if (pcb != NULL) {
        tcp_close(pcb);
    }
    UNLOCK_TCPIP_CORE();
    return listening != NULL ? 0 : stack_fail(why, -EADDRINUSE, "cannot listen on port %u", port);
}

void stack_count(struct stack *s, struct stack_counters *ret)
{
    pthread_mutex_lock(&s->lock);
    ret->frames_in = __atomic_load_n(&s->counters.frames_in, __ATOMIC_RELAXED);
    ret->frames_out = __atomic_load_n(&s->counters.frames_out, __ATOMIC_RELAXED);
    ret->bytes_in = __atomic_load_n(&s->counters.bytes_in, __ATOMIC_RELAXED);
    ret->bytes_out = __atomic_load_n(&s->counters.bytes_out, __ATOMIC_RELAXED);
    ret->connections = 0;
    for (uint32_t i = 0; i < STACK_CONNECTIONS_MAX; i++) {
        ret->connections += s->connections[i].state == CONNECTION_OPEN;
    }
    pthread_mutex_unlock(&s->lock);
}
