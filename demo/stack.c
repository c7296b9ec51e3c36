/* stack: a network card for lwIP that is a pair of functions.
 *
 * Frames that arrive are handed to lwIP on the thread that brings them, under the core lock, a
 * batch at a time: the way through lwIP's mailbox would cost two thread switches a frame. lwIP's
 * own thread is left with the timers. */
#include "stack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <lwip/etharp.h>
#include <netif/ethernet.h>

#include "stack_inner.h"

int stack_fail(struct stack_why *why, int r, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(why->text, sizeof(why->text), format, arguments);
    va_end(arguments);
    return r;
}

uint64_t stack_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static err_t netif_output(struct netif *netif, struct pbuf *p)
{
    struct stack *s = netif->state;
    uint8_t whole[2048];

    __atomic_add_fetch(&s->counters.frames_out, 1, __ATOMIC_RELAXED);
    if (p->next == NULL) {
        s->options.on_frame(s->options.data, p->payload, p->len);
    } else if (p->tot_len <= sizeof(whole)) {
        pbuf_copy_partial(p, whole, p->tot_len, 0);
        s->options.on_frame(s->options.data, whole, p->tot_len);
    } else {
        return ERR_BUF;
    }
    return ERR_OK;
}

static err_t netif_begin(struct netif *netif)
{
    const struct stack *s = netif->state;

    netif->name[0] = 'r';
    netif->name[1] = 'h';
    netif->output = etharp_output;
    netif->linkoutput = netif_output;
    netif->hwaddr_len = sizeof(s->options.mac);
    memcpy(netif->hwaddr, s->options.mac, sizeof(s->options.mac));
    netif->mtu = (u16_t)s->options.mtu;
    netif->flags =
        NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_LINK_UP;
    return ERR_OK;
}

static void on_lwip_ready(void *data)
{
    int *ready = data;

    __atomic_store_n(ready, 1, __ATOMIC_RELEASE);
}

/* lwIP starts its thread and answers on it; its headers offer a mailbox but no plain wait, so this
 * one looks. */
static int lwip_begin(struct stack_why *why)
{
    int ready = 0;

    tcpip_init(on_lwip_ready, &ready);
    for (unsigned i = 0; i < 5000; i++) {
        if (__atomic_load_n(&ready, __ATOMIC_ACQUIRE) != 0) {
            return 0;
        }
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    return stack_fail(why, -ETIMEDOUT, "lwIP's thread does not start");
}

static int address_parse(const char *what, const char *text, ip4_addr_t *ret, struct stack_why *why)
{
    struct in_addr address;

    if (text == NULL || inet_pton(AF_INET, text, &address) != 1) {
        return stack_fail(why, -EINVAL, "%s '%.64s' is not an IPv4 address", what,
                          text == NULL ? "" : text);
    }
    ret->addr = address.s_addr;
    return 0;
}

int stack_start(const struct stack_options *options, struct stack **ret, struct stack_why *why)
{
    ip4_addr_t address, netmask, gateway = { 0 };
    struct stack *s;
    struct netif *added;
    int r = address_parse("the address", options->address, &address, why);

    r = r != 0 ? r : address_parse("the netmask", options->netmask, &netmask, why);
    if (r == 0 && options->gateway != NULL) {
        r = address_parse("the gateway", options->gateway, &gateway, why);
    }
    if (r == 0 && (options->mtu < 576 || options->mtu > 1500)) {
        r = stack_fail(why, -EINVAL, "an MTU of %u is not between 576 and 1500", options->mtu);
    }
    r = r != 0 ? r : lwip_begin(why);
    if (r != 0) {
        return r;
    }
    s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return stack_fail(why, -ENOMEM, "no memory for the stack");
    }
    s->options = *options;
    stack_tcp_init(s);
    LOCK_TCPIP_CORE();
    added = netif_add(&s->netif, &address, &netmask, &gateway, s, netif_begin, ethernet_input);
    if (added != NULL) {
        netif_set_default(&s->netif);
        netif_set_up(&s->netif);
    }
    UNLOCK_TCPIP_CORE();
    if (added == NULL) {
        free(s);
        return stack_fail(why, -EINVAL, "lwIP refuses the interface");
    }
    *ret = s;
    return 0;
}

void stack_input_begin(struct stack *s)
{
    (void)s;
    LOCK_TCPIP_CORE();
}

void stack_input(struct stack *s, const void *frame, size_t bytes)
{
    struct pbuf *p;

    if (bytes > 1518 || bytes < 14) {
        return;
    }
    p = pbuf_alloc(PBUF_RAW, (u16_t)bytes, PBUF_RAM);
    if (p == NULL) {
        return; /* as if the wire had lost it */
    }
    memcpy(p->payload, frame, bytes);
    __atomic_add_fetch(&s->counters.frames_in, 1, __ATOMIC_RELAXED);
    if (s->netif.input(p, &s->netif) != ERR_OK) {
        pbuf_free(p);
    }
}

void stack_input_end(struct stack *s)
{
    (void)s;
    UNLOCK_TCPIP_CORE();
}

void stack_fault(struct stack *s, const char *reason)
{
    pthread_mutex_lock(&s->lock);
    if (reason == NULL) {
        s->fault[0] = '\0';
    } else {
        s->faults++;
        snprintf(s->fault, sizeof(s->fault), "%s", reason);
        for (uint32_t i = 0; i < STACK_CONNECTIONS_MAX; i++) {
            pthread_cond_broadcast(&s->connections[i].changed);
        }
    }
    pthread_mutex_unlock(&s->lock);
}
