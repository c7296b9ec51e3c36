/* transmitter/transmitter.h - layer 3: carry messages between two processes. One table per
 * invocation protocol.
 *
 * A conduit is one end of a two-way pipe of chunks between two processes; a message is one or more
 * chunks. The side that opens makes its half and the descriptors to send; the side that accepts
 * makes the other half from them and answers with its own; the opener completes. One thread uses a
 * conduit at a time (interrupt may come from any). */
#ifndef TRANSMITTER_TRANSMITTER_H
#define TRANSMITTER_TRANSMITTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/home.h"
#include "model/name.h"
#include "wire/call.h"

#define TRANSMITTER_ABI 1

struct conduit {
    const struct transmitter *transmitter;
    uint32_t chunk_bytes; /* the most that one chunk of this conduit holds when put, at most the
                             transmitter's */
    /* Where the message layer stands in the message being read. */
    const uint8_t
        *at; /* what is left of the current chunk, in foreign memory or a buffer of the conduit's */
    uint32_t left;
    uint32_t body_left; /* of the body, this chunk's part included */
    bool held, more;    /* a chunk is held; others of its message follow */
};

struct descriptors { /* at most UNIX_FDS_MAX; owned by whoever holds the struct until
                        descriptors_close() */
    size_t count;
    int fd[UNIX_FDS_MAX];
};
void descriptors_close(struct descriptors *d);

struct transmitter {
    const char *name;
    unsigned abi;
    uint32_t chunk_bytes; /* the most that one chunk holds */
    /* Makes my half. *ret_send: what the peer needs. OVER_LIMIT when the system grants no more
     * descriptors. */
    int (*open)(struct conduit **ret, struct descriptors *ret_send);
    /* Makes the other half from what the opener sent (borrowed, distrusted: INVALID); *ret_send
     * goes back, may be empty. */
    int (*accept)(const struct descriptors *received, struct conduit **ret,
                  struct descriptors *ret_send);
    /* The opener's last step, with what came back (borrowed, distrusted). */
    int (*complete)(struct conduit *c, const struct descriptors *received);
    /* As ring_put/ring_get: TIMEOUT, -ECANCELED, -EPIPE (the peer closed or is gone). */
    int (*put)(struct conduit *c, void **ret, uint64_t deadline_ns);
    int (*put_done)(struct conduit *c, uint32_t bytes, bool more, uint64_t deadline_ns);
    int (*get)(struct conduit *c, const void **ret, uint32_t *ret_bytes, bool *ret_more,
               uint64_t deadline_ns);
    void (*get_done)(struct conduit *c);
    void (*interrupt)(struct conduit *c);
    /* May be asked after the peer's death: has it taken all that was put? */
    bool (*taken)(const struct conduit *c);
    struct conduit *(*free)(struct conduit *c); /* returns NULL */
};

extern const struct transmitter transmitter_shm, transmitter_msgqueue;
const struct transmitter *transmitter_for(enum protocol protocol);

/* Sends one whole message (head and body) in as many chunks as it takes. Answers as put. After any
 * answer but 0 a part may have been sent: the conduit must be given up. */
int message_send(struct conduit *c, const struct call_head *head, const void *body,
                 uint64_t deadline_ns) MUST_CHECK;
/* Receives one whole message: the head is copied out and checked, the body is copied into `body`
 * (emptied first; its limit holds). GARBAGE when the peer's chunks do not add up: give the conduit
 * up. */
int message_receive(struct conduit *c, struct call_head *ret_head, struct bytes *body,
                    uint64_t deadline_ns) MUST_CHECK;
/* Receives only the head, leaving the rest of the message in the conduit, so that a relay can judge
 * before it copies. */
int message_head(struct conduit *c, struct call_head *ret_head, uint64_t deadline_ns) MUST_CHECK;
/* After message_head: copies the body chunk by chunk from `from` to `to`, behind `head` (which may
 * differ from the one received). On an error *ret_side is 0 when `from` failed, 1 when `to` did. */
int message_relay(struct conduit *from, struct conduit *to, const struct call_head *head,
                  uint64_t deadline_ns, int *ret_side) MUST_CHECK;
/* After message_head: reads the body and drops it. */
int message_drop(struct conduit *c, const struct call_head *head, uint64_t deadline_ns) MUST_CHECK;
/* After message_head: reads the body into `body`. */
int message_body(struct conduit *c, const struct call_head *head, struct bytes *body,
                 uint64_t deadline_ns) MUST_CHECK;

#endif
