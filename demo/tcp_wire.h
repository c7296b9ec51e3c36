/* demo/tcp_wire.h - the way between service/tcp's stack and driver/netdriver.
 *
 * Life: wire_start, then wire_stack waits for the stack (the driver must be there to tell the
 * card's address), then wire_stop. While the driver refuses or does not answer, the stack is told
 * so (stack_fault); it mends by itself. */
#ifndef DEMO_TCP_WIRE_H
#define DEMO_TCP_WIRE_H

#include <rhodes/rhodes.h>

#include "stack.h"

struct wire;

struct wire_counters {
    uint64_t recv_calls, xmit_calls; /* that the driver answered */
    uint64_t frames_in, frames_out;  /* as the driver gave and took them */
    uint64_t dropped;                /* for want of room or of a driver */
    uint64_t refused;                /* calls that ended in an error */
};

/* `options` holds the addresses; the MAC and MTU come from the driver. */
int wire_start(struct rhodes *r, const struct stack_options *options, struct wire **ret);
struct wire *wire_stop(struct wire *w);

/* The stack, NULL with a sentence when it is not up at the deadline. */
struct stack *wire_stack(struct wire *w, uint64_t deadline_ns, struct stack_why *why);
void wire_count(struct wire *w, struct wire_counters *ret);

#endif
