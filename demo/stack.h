/* demo/stack.h - TCP over a network card that is somewhere else: frames go in and out through
 * functions.
 *
 * A thin, blocking face on lwIP (Debian's liblwip, with its own thread for timers). One stack a
 * process, because lwIP itself is one. Life: stack_start; from then on stack_input with what the
 * card received; connections by number. Every wait has a deadline (CLOCK_MONOTONIC, ns). Results
 * are 0 or -errno with a sentence in *why: -ETIMEDOUT, -ECONNREFUSED, -ECONNRESET, -ENOTCONN
 * (closed), -EBADF (no such connection), -EMFILE (too many), -EINVAL, and -ENETDOWN while
 * stack_fault says that the card is out of reach. All functions may be called from any thread. */
#ifndef DEMO_STACK_H
#define DEMO_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STACK_CONNECTIONS_MAX 64u
#define STACK_WHY_BYTES       512
#define STACK_IDLE_NS                                                                              \
    (30ull * 1000 * 1000 * 1000) /* a connection nobody uses for so long may be taken away */

struct stack;

struct stack_options {
    const char *address, *netmask, *gateway; /* IPv4, dotted; gateway may be NULL */
    uint8_t mac[6];
    uint32_t mtu;
    /* A frame is to be sent: it is borrowed. Called with lwIP locked: must not wait and must not
     * call the stack. */
    void (*on_frame)(void *data, const void *frame, size_t bytes);
    void *data;
};

struct stack_why {
    char text[STACK_WHY_BYTES];
};

struct stack_counters {
    uint32_t connections;
    uint64_t frames_in, frames_out, bytes_in, bytes_out; /* bytes: of all connections' payload */
};

/* The stack lives until the process ends. */
int stack_start(const struct stack_options *options, struct stack **ret, struct stack_why *why);

/* A frame from the card; borrowed. stack_input_begin and _end around a batch take and leave lwIP's
 * lock once for all. */
void stack_input_begin(struct stack *s);
void stack_input(struct stack *s, const void *frame, size_t bytes);
void stack_input_end(struct stack *s);

/* The card is out of reach, for the reason given: whoever waits is told so and ends. NULL: it is
 * back. */
void stack_fault(struct stack *s, const char *reason);

int stack_connect(struct stack *s, const char *host, uint16_t port, uint64_t deadline_ns,
                  uint32_t *ret_connection, struct stack_why *why);
/* Waits until all is taken into the send window, or for the deadline with *ret_sent of it. */
int stack_send(struct stack *s, uint32_t connection, const void *data, size_t bytes,
               uint64_t deadline_ns, size_t *ret_sent, struct stack_why *why);
/* Waits for the first byte; *ret_bytes is 0 at the end of the stream only. */
int stack_recv(struct stack *s, uint32_t connection, void *data, size_t room, uint64_t deadline_ns,
               size_t *ret_bytes, struct stack_why *why);
/* Sends what is left and says goodbye; does not wait. */
int stack_close(struct stack *s, uint32_t connection, struct stack_why *why);
/* No more will be sent; receiving goes on. */
int stack_shutdown(struct stack *s, uint32_t connection, struct stack_why *why);

/* Accepts connections to `port`; on_accept is told their numbers, with lwIP locked: must not wait
 * or call the stack. */
int stack_listen(struct stack *s, uint16_t port, void (*on_accept)(void *data, uint32_t connection),
                 void *data, struct stack_why *why);

void stack_count(struct stack *s, struct stack_counters *ret);

#endif
