/* demo/stack_inner.h - what stack.c (the card) and stack_tcp.c (connections) share.
 *
 * Locks, in this order: lwIP's core lock (callbacks run with it held), then `lock`. `pcb` of a
 * connection belongs to the core lock, everything else here to `lock`. Nobody waits with the core
 * lock held. */
#ifndef DEMO_STACK_INNER_H
#define DEMO_STACK_INNER_H

#include <lwip/netif.h>
#include <lwip/tcp.h>
#include <lwip/tcpip.h>
#include <pthread.h>

#include "stack.h"

enum connection_state { CONNECTION_FREE, CONNECTION_OPENING, CONNECTION_OPEN, CONNECTION_CLOSED };

/* Room for all that the peer may send before we say that we have read it, so that it never
 * overflows. */
#define CONNECTION_RING_BYTES (1u << 17)
_Static_assert(TCP_WND <= CONNECTION_RING_BYTES, "the receive window fits into the ring");

struct connection {
    struct stack *stack;
    struct tcp_pcb *pcb; /* NULL once lwIP has let go of it */
    enum connection_state state;
    uint32_t id, users; /* users: calls that are inside */
    err_t error;        /* ERR_OK, or why it broke */
    bool ended;         /* the peer has sent its last byte */
    uint8_t *ring;
    size_t head, used;
    uint64_t touched_ns;
    char peer[32]; /* "10.0.0.2:80" */
    pthread_cond_t changed;
};

struct stack {
    struct netif netif;
    struct stack_options options;
    pthread_mutex_t lock;
    struct connection connections[STACK_CONNECTIONS_MAX];
    uint32_t id_next;
    char fault[STACK_WHY_BYTES]; /* "" while the card is in reach */
    uint64_t faults;             /* how often it went out of reach */
    struct stack_counters counters;
    void (*on_accept)(void *data, uint32_t connection);
    void *on_accept_data;
};

int stack_fail(struct stack_why *why, int r, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
uint64_t stack_now_ns(void);
void stack_tcp_init(struct stack *s);

#endif
