/* agent/device_ops.h - what device.c asks of each kind of network device: one const table a kind.
 *
 * A device has two independent halves, receiving and sending, each guarded by its own lock in
 * device.c: `receive` is never called twice at once, nor is `send`, but one of each may run
 * together, and `describe` beside both. Errors are -errno with a sentence in *why; device.c reports
 * them to the caller as CALLEE_FAILED. */
#ifndef AGENT_DEVICE_OPS_H
#define AGENT_DEVICE_OPS_H

#include <net/ethernet.h>
#include <net/if.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/result.h"

#define DEVICE_BATCH_BYTES_MAX  (512u << 10)
#define DEVICE_BATCH_FRAMES_MAX 1024u
#define DEVICE_VLAN_BYTES       4u

/* Frames that were received, one behind the other in `data`. Owned by device.c. */
struct frame_batch {
    uint8_t *data; /* DEVICE_BATCH_BYTES_MAX bytes */
    uint32_t used, count;
    uint32_t count_max; /* what the caller asked for, at most DEVICE_BATCH_FRAMES_MAX */
    uint32_t bytes[DEVICE_BATCH_FRAMES_MAX];
};

struct device_facts {
    uint8_t mac[ETH_ALEN];
    uint32_t mtu;
    char name[108]; /* the interface, or the end of the peer's path */
};

/* Counted where it happens; each counter has one writing half. */
struct device_counters {
    _Atomic uint64_t rx_frames, rx_bytes, rx_dropped, tx_frames, tx_bytes, tx_dropped;
};

struct device_why { /* a sentence, with room for it */
    char *text;
    size_t bytes;
};

/* Writes the sentence and returns r. */
int device_fail(struct device_why why, int r, const char *format, ...) PRINTF_LIKE(3, 4);

struct device_ops {
    const char *name;
    /* Opens both halves. The counters outlive the device. */
    int (*open)(const char *target, struct device_counters *counters, void **ret,
                struct device_why why);
    void (*close)(void *device);
    /* Mends the half after a failure, else does nothing and costs nothing. */
    int (*mend_receiver)(void *device, struct device_why why);
    int (*mend_sender)(void *device, struct device_why why);
    /* Appends frames that are there, up to the batch's limits; none is no error. Does not wait. */
    int (*receive)(void *device, struct frame_batch *batch, struct device_why why);
    /* Descriptors to poll for input and for room to send. */
    int (*receiver_fd)(void *device);
    int (*sender_fd)(void *device);
    /* Sends the first of `count` frames; *ret_sent were taken or dropped with a count. -EAGAIN: no
     * room now, with what was sent so far. Does not wait. */
    int (*send)(void *device, const struct iovec *frames, uint32_t count, uint32_t *ret_sent,
                uint32_t *ret_accepted, struct device_why why);
    int (*describe)(void *device, struct device_facts *ret, struct device_why why);
};

extern const struct device_ops device_nic, device_sim;

#define DEVICE_COUNT(counter, n)                                                                   \
    atomic_fetch_add_explicit(&(counter), (uint64_t)(n), memory_order_relaxed)

/* May the frame go over a link of this MTU? Ethernet header and one VLAN tag are allowed on top of
 * it. */
static inline bool device_frame_fits(size_t bytes, uint32_t mtu)
{
    return bytes >= ETH_HLEN && bytes <= (size_t)mtu + ETH_HLEN + DEVICE_VLAN_BYTES;
}

/* Fills in the TCP or UDP checksum of an IPv4 or IPv6 frame that was sent without one (its sender
 * counted on hardware to do it). Leaves alone what is none of these, or a fragment, or cut. */
void frame_checksum_fill(uint8_t *frame, size_t bytes);

#endif
